"""Settings in; a stable-baselines3 DQN whose network tells losses of options, taught by the exact solution, out.

Mnih et al. 2015 (doi:10.1038/nature14236) for DQN. The network is warm-started by regression on what the exact solution
says (as in learning from demonstrations, Hester et al. 2018, arXiv:1704.03732), then goes on learning from episodes.
Torch is imported here and in nothing that serves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from twin.policy.agent import CENTRE, SCALE, Network
from twin.policy.environment import TreatmentVecEnv
from twin.policy.lessons import Lesson
from twin.policy.observation import Singles

ENVIRONMENTS: Final = 64
BUFFER: Final = 50_000
"""Decisions that are replayed"""
WARM_UP: Final = 2_000
"""Decisions before the first is replayed"""
EXPLORATION: Final = 0.3
"""Share of decisions at random, throughout: episodes are short"""
REPLAYED: Final = 256
UPDATES: Final = 4
"""Gradient steps after each decision in every environment"""
TARGET_EVERY: Final = 1_280
"""Decisions between two copies of the network to the one that targets are read from"""
LEVEL: Final = 0.2
"""Weight of the error of the mean of both options, which decides nothing"""
DECIDING: Final = 10.0
"""Weight of the squared error of the difference of utility over the spread of the patient's plans"""
CLIPPED: Final = 4.0
"""Of that squared error: those of nearly indifferent patients shall not rule"""


class LossNetwork(QNetwork):
    """Tells the losses of both options; the observation ends with the weights, by which they become values."""

    def __init__(self, *args: Any, outcomes: int, **named: Any) -> None:
        super().__init__(*args, **named)
        self.outcomes = outcomes
        self.centre: torch.Tensor
        self.scale: torch.Tensor
        sizes = [self.features_dim, *self.net_arch]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.q_net = nn.Sequential(*layers, nn.Linear(sizes[-1], 2 * outcomes))
        self.register_buffer(CENTRE, torch.zeros(2, outcomes))
        self.register_buffer(SCALE, torch.full((2, outcomes), 0.1))

    def losses(self, observations: torch.Tensor) -> torch.Tensor:
        """(k, 2, outcomes)."""
        output = self.q_net(observations).reshape(-1, 2, self.outcomes)
        mean, added = (output * self.scale + self.centre).unbind(dim=1)
        return torch.stack([mean - 0.5 * added, mean + 0.5 * added], dim=1)

    def forward(self, obs: PyTorchObs) -> torch.Tensor:
        """(k, 2) values of no and yes."""
        features = self.extract_features(obs, self.features_extractor)
        return 1.0 - (self.losses(features) * features[:, None, -self.outcomes :]).sum(dim=-1)


class LossPolicy(DQNPolicy):
    """A DQN policy whose networks are `LossNetwork`."""

    def __init__(self, *args: Any, outcomes: int, **named: Any) -> None:
        self._outcomes = outcomes
        super().__init__(*args, **named)

    def make_q_net(self) -> LossNetwork:
        """A network and its own features."""
        named = self._update_features_extractor(self.net_args, features_extractor=None)
        return LossNetwork(**named, outcomes=self._outcomes).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "outcomes": self._outcomes}


class Learner:
    """A DQN that can be taught, can practise, and can be taken down as arrays."""

    def __init__(self, environment: TreatmentVecEnv, seed: int, width: int, rate: float) -> None:
        outcomes = len(environment.process.layout.outcomes)
        self.dqn = DQN(
            LossPolicy,
            environment,
            learning_rate=rate,
            buffer_size=BUFFER,
            learning_starts=WARM_UP,
            batch_size=REPLAYED,
            gamma=1.0,
            train_freq=1,
            gradient_steps=UPDATES,
            target_update_interval=TARGET_EVERY,
            exploration_initial_eps=EXPLORATION,
            exploration_final_eps=EXPLORATION,
            policy_kwargs={"outcomes": outcomes, "net_arch": [width, width]},
            seed=seed,
            device="cpu",
        )

    @property
    def q_net(self) -> LossNetwork:
        """The network that decides."""
        network = self.dqn.policy.q_net
        assert isinstance(network, LossNetwork)  # noqa: S101 - `LossPolicy` made it
        return network

    def scale_to(self, lesson: Lesson) -> None:
        """Let outputs of 0 and 1 stand for the mean loss of a lesson and one standard deviation more."""
        level, added = lesson.losses.mean(axis=1), lesson.losses[:, 1] - lesson.losses[:, 0]
        for name, of in ((CENTRE, np.mean), (SCALE, np.std)):
            told = np.stack([of(level, axis=0), of(added, axis=0)]) + (1e-6 if name == SCALE else 0.0)
            getattr(self.q_net, name).copy_(torch.from_numpy(told.astype(np.float32)))

    def learn(self, lesson: Lesson, batch: int, rate: float) -> None:
        """One pass over a lesson, in batches; a rest that fills none is left out."""
        optimiser = self.dqn.policy.optimizer
        for group in optimiser.param_groups:
            group["lr"] = rate
        for start in range(0, len(lesson.spread) - batch + 1, batch):
            rows = slice(start, start + batch)
            error = self._error(lesson.observations[rows], lesson.losses[rows], lesson.spread[rows])
            optimiser.zero_grad()
            torch.autograd.backward(error)
            optimiser.step()

    def _error(self, observations: Singles, losses: Singles, spread: Singles) -> torch.Tensor:
        seen = torch.from_numpy(observations)
        wrong = self.q_net.losses(seen) - torch.from_numpy(losses)
        level, added = wrong.mean(dim=1), wrong[:, 1] - wrong[:, 0]
        scale = self.q_net.scale
        deciding = (added * seen[:, -self.q_net.outcomes :]).sum(dim=1) / torch.from_numpy(spread)
        of_level, of_added = ((level / scale[0]) ** 2).mean(), ((added / scale[1]) ** 2).mean()
        return LEVEL * of_level + of_added + DECIDING * (deciding**2).clamp(max=CLIPPED).mean()

    def practise(self, decisions: int, rate: float, go_on: Callable[[int], bool], every: int) -> None:
        """Learn from episodes, telling `go_on` after every so many decisions how many there were, until it says no."""
        self.dqn.lr_schedule = lambda _: rate
        self.dqn.policy.q_net_target.load_state_dict(self.q_net.state_dict())
        self.dqn.learn(decisions, callback=_Every(every, go_on))

    def network(self) -> Network:
        """What decides, as numpy reads it."""
        linear = [layer for layer in self.q_net.q_net if isinstance(layer, nn.Linear)]
        return Network(
            tuple(_array(layer.weight) for layer in linear),
            tuple(_array(layer.bias) for layer in linear),
            _array(self.q_net.centre),
            _array(self.q_net.scale),
        )

    def adopt(self, network: Network) -> None:
        """Decide as a network does."""
        arrays = {CENTRE: network.centre, SCALE: network.scale}
        linear = [k for k, layer in enumerate(self.q_net.q_net) if isinstance(layer, nn.Linear)]
        for k, weight, bias in zip(linear, network.weights, network.biases, strict=True):
            arrays |= {f"q_net.{k}.weight": weight, f"q_net.{k}.bias": bias}
        state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        for each in (self.q_net, self.dqn.policy.q_net_target):
            each.load_state_dict(state)

    def momentum(self) -> dict[str, Singles]:
        """The state of the optimiser, by name."""
        found = self.dqn.policy.optimizer.state_dict()["state"]
        return {f"{k}.{name}": _array(value) for k, of in found.items() for name, value in of.items()}

    def resume(self, momentum: Mapping[str, Singles]) -> None:
        """Go on with the optimiser as `momentum` took it down."""
        optimiser = self.dqn.policy.optimizer
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in momentum.items():
            parameter, _, part = name.partition(".")
            state.setdefault(int(parameter), {})[part] = torch.from_numpy(array.copy())
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


class _Every(BaseCallback):
    """Asks after every so many decisions whether to go on."""

    def __init__(self, every: int, go_on: Callable[[int], bool]) -> None:
        super().__init__()
        self._every, self._go_on, self._next = every, go_on, every

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next += self._every
        return self._go_on(self.num_timesteps)


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread and deterministic algorithms, so that the same seed gives the same bytes; as it was, afterwards.

    The generators that all of a process share are put back, too: the library seeds them.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    shared = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        random.setstate(shared[0])
        np.random.set_state(shared[1])
        torch.set_rng_state(shared[2])


def _array(tensor: torch.Tensor) -> Singles:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)
