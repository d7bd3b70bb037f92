"""A deep survival machine: episodes in, a mixture of log-normal times whose parameters a small network sets out.

Nagpal, Li & Dubrawski 2021 (doi:10.1109/JBHI.2021.3052441), with the likelihood of delayed entry and a known log
hazard ratio: the hazard is ``exp(offset) * h``, ``h`` that of the mixture. Several networks, each stopped early on
another part of the patients, make one larger mixture (deep ensembles, Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from scipy.special import log_ndtr, logsumexp

from twin.arrays import AS_THEY_ARE, Flags, Floats
from twin.models.candidates.folds import INNER_FOLDS, inner_folds
from twin.models.candidates.periods import MarginalHazard, only_the_average
from twin.models.candidates.protocol import HazardData

if TYPE_CHECKING:
    import torch
    from torch import Tensor

COMPONENTS: Final = 3
WIDTH: Final = 32
DROPOUT: Final = (0.1, 0.5)
"""Of the inputs and of the embedding, as Wentzel et al. 2025 (arXiv:2407.13107) chose them"""
RATE: Final = 0.01
WEIGHT_DECAY: Final = 1.0
"""Of the network, a step of the optimiser shrinking it by this times the rate"""
AVERAGE_STEPS: Final = 150
"""Of the fit without inputs, which starts the other"""
MOST_STEPS: Final = 400
PATIENCE: Final = 40
"""Steps without a better held-out likelihood after which a network stops"""
NARROWEST: Final = 0.1
"""Standard deviation of a component's log time: a narrower one would be a spike on single events"""
EARLIEST: Final = 1e-3
"""Times are not below this share of the typical time, so that their logarithm stays moderate."""


@dataclass(frozen=True, eq=False)
class DeepHazard:
    """The hazard of an equal mixture of networks, each a mixture of log-normal times since the origin."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    origin: float
    """Month at which time begins"""
    unit: float
    """Months in the networks' unit of time"""
    embedding: Floats
    """(networks, p, width)"""
    heads: Floats
    """(networks, width, 3 * components) of gates, locations and log scales"""
    biases: Floats
    """(networks, 3 * components)"""
    kind: Literal["deep"] = "deep"

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) as by `FittedHazard`."""
        time = np.maximum((edges - self.origin) / self.unit, 0.0)
        log_time = np.log(np.maximum(time, EARLIEST))
        outputs = np.tanh(inputs @ self.embedding) @ self.heads + self.biases[:, None, :]
        gates, means, log_scales = np.split(outputs, 3, axis=2)
        weights = gates - logsumexp(gates, axis=2, keepdims=True) - np.log(len(outputs))
        scales = NARROWEST + np.exp(log_scales)
        cumulative = np.empty((len(inputs), len(edges)))
        for column, (month, clock) in enumerate(zip(time, log_time, strict=True)):
            survival = logsumexp(weights + log_ndtr((means - clock) / scales), axis=(0, 2))
            # The first thousandth of the typical time is a straight line to the hazard at its end.
            cumulative[:, column] = -survival * min(1.0, month / EARLIEST)
        return np.asarray(np.maximum(np.diff(cumulative, axis=1), 0.0))


@dataclass(frozen=True)
class DeepMixture:
    """Candidate: deep survival machines."""

    name: ClassVar = "deep"
    label: ClassVar = "deep survival machine"

    def fit(self, data: HazardData, seed: int) -> DeepHazard | MarginalHazard:
        """As by `Candidate`; how long to train is chosen on each held-out part."""
        if only_the_average(data):
            return MarginalHazard.fit(data)
        unit = float(np.median(data.episodes.stop[data.episodes.event])) - data.origin
        fold = inner_folds(data, seed)
        with _reproducible(seed):
            task = _Task.of(data, unit)
            networks = [task.network(fold == k) for k in range(INNER_FOLDS)]
        embedding, heads, biases = (np.stack(parts) for parts in zip(*networks, strict=True))
        return DeepHazard(data.origin, unit, embedding, heads, biases)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and a generator of our own; what the caller had comes back afterwards."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class _Task:
    """The episodes as tensors, times since the origin in units."""

    inputs: Tensor
    log_start: Tensor
    log_stop: Tensor
    late: Tensor
    """Whether an episode starts after the origin"""
    event: Tensor
    offset: Tensor
    weight: Tensor

    @classmethod
    def of(cls, data: HazardData, unit: float) -> _Task:
        """The task of some episodes."""
        import torch

        def tensor(values: Floats | Flags) -> Tensor:
            return torch.tensor(np.asarray(values, dtype=float), dtype=torch.float64)

        start, stop = (data.episodes.start - data.origin) / unit, (data.episodes.stop - data.origin) / unit
        return cls(
            inputs=tensor(data.episodes.inputs),
            log_start=tensor(np.log(np.maximum(start, EARLIEST))),
            log_stop=tensor(np.log(np.maximum(stop, EARLIEST))),
            late=tensor(start > 0),
            event=tensor(data.episodes.event),
            offset=tensor(data.offset),
            weight=tensor(data.weights / data.weights.mean()),
        )

    def take(self, rows: Flags) -> _Task:
        """The episodes of a mask."""
        import torch

        kept = torch.from_numpy(rows)
        return _Task(*(values[kept] for values in vars(self).values()))

    def loss(self, outputs: Tensor) -> Tensor:
        """Negative log-likelihood a patient of outputs (m, 3 * components).

        ``event * (log h(stop) + offset) - exp(offset) * (H(stop) - H(start))``.
        """
        import torch

        gates, means, log_scales = outputs.chunk(3, dim=1)
        weights = torch.log_softmax(gates, dim=1)
        scales = NARROWEST + torch.exp(log_scales)

        def survival(log_time: Tensor) -> Tensor:
            return torch.logsumexp(weights + torch.special.log_ndtr((means - log_time[:, None]) / scales), dim=1)

        standard = (self.log_stop[:, None] - means) / scales
        density = torch.logsumexp(weights - torch.log(scales) - standard**2 / 2.0, dim=1) - self.log_stop
        stopped = survival(self.log_stop)
        hazard = density - stopped + self.offset
        exposed = torch.exp(self.offset) * (self.late * survival(self.log_start) - stopped)
        return (self.weight * (exposed - self.event * hazard)).sum() / self.weight.sum()

    def network(self, held_out: Flags) -> tuple[Floats, Floats, Floats]:
        """Embedding, heads and biases of a network fitted on some patients and stopped by the others."""
        import torch

        train, test = self.take(~held_out), self.take(held_out)
        embedding = torch.randn(self.inputs.shape[1], WIDTH, dtype=torch.float64) / np.sqrt(self.inputs.shape[1])
        heads = torch.zeros(WIDTH, 3 * COMPONENTS, dtype=torch.float64)
        biases = torch.zeros(3 * COMPONENTS, dtype=torch.float64)
        biases[COMPONENTS : 2 * COMPONENTS] = torch.linspace(-1.0, 1.0, COMPONENTS, dtype=torch.float64)
        parts = (embedding.requires_grad_(), heads.requires_grad_(), biases.requires_grad_())
        _average(train, biases)
        best = _descend(train, test, parts)
        return best[0], best[1], best[2]


def _average(task: _Task, biases: Tensor) -> None:
    """Fit the mixture that all patients share, so that the network starts from it."""
    import torch

    optimiser = torch.optim.Adam([biases], lr=5 * RATE)
    for _ in range(AVERAGE_STEPS):
        _step(optimiser, task.loss(biases.expand(len(task.event), -1)))


def _descend(train: _Task, test: _Task, parts: tuple[Tensor, Tensor, Tensor]) -> list[Floats]:
    """The weights at which the held-out loss was lowest."""
    import torch

    embedding, heads, biases = parts
    decayed = {"params": [embedding, heads], "weight_decay": WEIGHT_DECAY}
    optimiser = torch.optim.AdamW([decayed, {"params": [biases], "weight_decay": 0.0}], lr=RATE)
    lowest, waited, best = np.inf, 0, _weights(parts)
    for _ in range(MOST_STEPS):
        with torch.no_grad():
            loss = float(test.loss(torch.tanh(test.inputs @ embedding) @ heads + biases))
        lowest, waited, best = (loss, 0, _weights(parts)) if loss < lowest else (lowest, waited + 1, best)
        if waited > PATIENCE:
            break
        shown = torch.dropout(train.inputs, DROPOUT[0], train=True)
        embedded = torch.dropout(torch.tanh(shown @ embedding), DROPOUT[1], train=True)
        _step(optimiser, train.loss(embedded @ heads + biases))
    return best


def _weights(parts: tuple[Tensor, ...]) -> list[Floats]:
    return [part.detach().numpy().copy() for part in parts]


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
    optimiser.step()
