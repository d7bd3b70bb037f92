"""What lies ahead of many patients in; the same process one patient at a time (Gymnasium) and many at once (SB3) out.

An episode is a patient with weights: at each open decision the agent says no (0) or yes (1), then the states up to the
next decision are drawn given the history. The reward comes at the end: ``1 - weights . losses``, the losses being those
to be expected after that history, with weights that add up to 1. Nothing is discounted. An option that is barred acts
as the one that is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from twin.arrays import Flags, Floats, Integers
from twin.policy.exact import NO, YES, keys
from twin.policy.observation import BOUND, Layout, Singles, at_question, shares, steps_before
from twin.policy.prospects import Prospects
from twin.timeline import OPEN

END: Final = -1
"""Stands for the question after the last"""
OPTIONS: Final = (NO, YES)
DIRICHLET: Final = 1.0
"""Concentration of the weights that anybody might have: 1 is uniform over all shares"""
NEAR: Final = 0.5
"""Standard deviation of the logarithm of weights around those of the specification"""
SILENT: Final = 0.3
"""Chance that an outcome counts for nothing, in a third of all weights"""

Actions: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Preferences:
    """Weights that people may have: a third near those of the specification, a third anywhere, a third with zeros."""

    usual: Floats
    """(outcomes,) those of the specification"""

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, outcomes) weights that add up to 1."""
        outcomes = len(self.usual)
        anywhere = rng.dirichlet(np.full(outcomes, DIRICHLET), count)
        near = shares(self.usual * np.exp(NEAR * rng.standard_normal((count, outcomes))))
        kept = rng.random((count, outcomes)) >= SILENT
        kept[np.arange(count), rng.integers(outcomes, size=count)] = True
        sparse = shares(anywhere * kept)
        kind = rng.integers(3, size=count)[:, None]
        return np.asarray(np.where(kind == 0, near, np.where(kind == 1, anywhere, sparse)))


@dataclass(frozen=True, eq=False)
class Node:
    """A question with every history that can have been seen before it, of n patients."""

    key: str
    """Decisions before it; open ones as ``-``"""
    decision: int
    seen: Floats
    """(histories, states) indicators"""
    then: tuple[int, int]
    """Position of the next question after no and yes, or `END`"""
    onwards: tuple[Floats, Floats]
    """After no and yes, (n, histories, k): where a question follows, the probability that the state is one of the
    first ones, up to each; where none does, the losses to be expected (k outcomes)"""


@dataclass(frozen=True, eq=False)
class Process:
    """The decisions and states of n patients who stand at the same place."""

    layout: Layout
    inputs: Floats
    """(n, inputs) encoded"""
    nodes: tuple[Node, ...]
    """In time; the first is the next open decision"""
    allowed: Flags
    """(n, decisions, 2) options that are possible"""

    @classmethod
    def of(
        cls,
        layout: Layout,
        inputs: Floats,
        ahead: Sequence[Prospects],
        behind: Floats | None = None,
        allowed: Flags | None = None,
    ) -> Self:
        """The process of patients.

        Args:
            layout: Of observations.
            inputs: (n, inputs) encoded.
            ahead: Of the n patients, some at a time, in their order.
            behind: (states,) indicators of what was seen before, as by `Layout.behind`; nothing by default.
            allowed: (n, decisions, 2) options that are possible, at least one of each decision; all by default.
        """
        behind = np.zeros(layout.states) if behind is None else behind
        allowed = np.ones((len(inputs), len(layout.decisions), 2), dtype=bool) if allowed is None else allowed
        order = keys(ahead[0])
        return cls(layout, inputs, tuple(_node(layout, ahead, order, key, behind) for key in order), allowed)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self.inputs)

    def take(self, rows: Integers) -> Process:
        """The same process of some of the patients."""
        nodes = tuple(
            Node(n.key, n.decision, n.seen, n.then, (n.onwards[NO][rows], n.onwards[YES][rows])) for n in self.nodes
        )
        return Process(self.layout, self.inputs[rows], nodes, self.allowed[rows])

    def observe(self, place: Place) -> Singles:
        """(k, size) observations."""
        result = np.empty((place.size, self.layout.size), dtype=np.float32)
        first, second = len(self.layout.inputs), len(self.layout.inputs) + self.layout.states
        result[:, :first] = np.clip(self.inputs[place.patient], -BOUND, BOUND)
        result[:, self.layout.weights] = place.weights
        for number, node in enumerate(self.nodes):
            here = np.flatnonzero(place.node == number)
            result[here, first:second] = node.seen[place.history[here]]
            result[here, second : self.layout.weights.start] = self.layout.question(node.key)
        return result

    def masks(self, place: Place) -> Flags:
        """(k, 2) options that are possible."""
        decisions = np.array([node.decision for node in self.nodes])
        return np.asarray(self.allowed[place.patient, decisions[place.node]])

    def act(self, place: Place, actions: Actions, uniform: Floats) -> tuple[Integers, Integers, Floats]:
        """What follows from actions (k,).

        Args:
            place: Where k patients are.
            actions: (k,) 0 no or 1 yes.
            uniform: (k,) random numbers, by which the states are drawn.

        Returns:
            (k,) the next question, or `END`; (k,) the history there; (k,) rewards.
        """
        masks = self.masks(place)
        actions = np.where(masks[np.arange(place.size), actions], actions, 1 - actions)
        node, history, reward = np.full(place.size, END), np.zeros(place.size, dtype=np.intp), np.zeros(place.size)
        for number, option in ((number, option) for number in range(len(self.nodes)) for option in OPTIONS):
            here = np.flatnonzero((place.node == number) & (actions == option))
            if not here.size:
                continue
            onwards = self.nodes[number].onwards[option][place.patient[here], place.history[here]]
            node[here] = then = self.nodes[number].then[option]
            if then == END:
                reward[here] = 1.0 - (onwards * place.weights[here]).sum(axis=1)
                continue
            states = onwards.shape[1]
            state = np.minimum((uniform[here, None] >= onwards).sum(axis=1), states - 1)
            history[here] = place.history[here] * states + state
        return node, history, reward


@dataclass(frozen=True, eq=False)
class Place:
    """Where k patients are in a process."""

    patient: Integers
    """(k,) which patient"""
    weights: Floats
    """(k, outcomes) that add up to 1"""
    node: Integers
    """(k,) position of the question"""
    history: Integers
    """(k,) what was seen before it"""

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.patient)

    @classmethod
    def start(cls, process: Process, preferences: Preferences, rng: np.random.Generator, count: int) -> Self:
        """Patients and weights drawn at random, at the first question."""
        nowhere = np.zeros(count, dtype=np.intp)
        patient = rng.integers(process.patients, size=count)
        return cls(patient, preferences.draw(rng, count), nowhere, nowhere)


def observation_space(layout: Layout) -> spaces.Box:
    """Inputs within their bound, the rest between 0 and 1."""
    low, high = np.zeros(layout.size, dtype=np.float32), np.ones(layout.size, dtype=np.float32)
    low[: len(layout.inputs)], high[: len(layout.inputs)] = -BOUND, BOUND
    return spaces.Box(low, high, dtype=np.float32)


class TreatmentEnv(gymnasium.Env[Singles, np.int64]):
    """One patient at a time.

    `reset` takes ``options={"patient": position, "weights": (outcomes,)}``; what is left out is drawn.
    """

    def __init__(self, process: Process, preferences: Preferences) -> None:
        self.process, self.preferences = process, preferences
        self.observation_space = observation_space(process.layout)
        self.action_space = spaces.Discrete(2)
        self._place: Place | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Singles, dict[str, Any]]:
        """A patient at the first question."""
        super().reset(seed=seed)
        place = Place.start(self.process, self.preferences, self.np_random, 1)
        asked = options or {}
        patient = np.array([asked["patient"]]) if "patient" in asked else place.patient
        weights = shares(np.asarray(asked["weights"], dtype=float))[None] if "weights" in asked else place.weights
        self._place = Place(patient, weights, place.node, place.history)
        return self.process.observe(self._place)[0], {}

    @property
    def place(self) -> Place:
        """Where the patient is.

        Raises:
            RuntimeError: the episode is over, or none was begun.
        """
        if self._place is None:
            raise RuntimeError("no episode goes on: reset first")
        return self._place

    def step(self, action: np.int64) -> tuple[Singles, float, bool, bool, dict[str, Any]]:
        """Decide, and see what comes before the next question; the last observation of an episode is repeated."""
        place = self.place
        node, history, reward = self.process.act(place, np.array([action]), self.np_random.random(1))
        ended = bool(node[0] == END)
        now = place if ended else Place(place.patient, place.weights, node, history)
        self._place = None if ended else now
        return self.process.observe(now)[0], float(reward[0]), ended, False, {}

    def action_masks(self) -> Flags:
        """(2,) options that are possible."""
        return np.asarray(self.process.masks(self.place)[0])


class TreatmentVecEnv(VecEnv):
    """Many patients at once, by tables; each starts again with another patient and other weights when it is over."""

    def __init__(self, process: Process, preferences: Preferences, count: int, seed: int = 0) -> None:
        self.process, self.preferences = process, preferences
        self.render_mode = None
        self._rng = np.random.default_rng(seed)
        self._actions: Actions = np.zeros(count, dtype=np.intp)
        self.place = Place.start(process, preferences, self._rng, count)
        super().__init__(count, observation_space(process.layout), spaces.Discrete(2))

    def reset(self) -> Singles:
        """All patients at their first question, new ones drawn; seeded if `seed` was called."""
        if self._seeds[0] is not None:
            self._rng = np.random.default_rng(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self.place = Place.start(self.process, self.preferences, self._rng, self.num_envs)
        return self.process.observe(self.place)

    def step_async(self, actions: Actions) -> None:
        """Take note of actions (count,)."""
        self._actions = actions

    def step_wait(self) -> tuple[Singles, npt.NDArray[np.float32], Flags, list[dict[str, Any]]]:
        """Decide, and see what comes before the next question."""
        before = self.place
        node, history, reward = self.process.act(before, self._actions, self._rng.random(self.num_envs))
        ended = node == END
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self.place = self._renewed(before, node, history, ended)
        if ended.any():
            over = np.flatnonzero(ended)
            rows = Place(before.patient[over], before.weights[over], before.node[over], before.history[over])
            for position, last in zip(over.tolist(), self.process.observe(rows), strict=True):
                infos[position] = {"terminal_observation": last, "TimeLimit.truncated": False}
        return self.process.observe(self.place), reward.astype(np.float32), ended, infos

    def _renewed(self, before: Place, node: Integers, history: Integers, ended: Flags) -> Place:
        """The places after a step, those that are over begun again."""
        new = Place.start(self.process, self.preferences, self._rng, self.num_envs)
        return Place(
            np.where(ended, new.patient, before.patient),
            np.where(ended[:, None], new.weights, before.weights),
            np.where(ended, new.node, node),
            np.where(ended, new.history, history),
        )

    def action_masks(self) -> Flags:
        """(count, 2) options that are possible."""
        return self.process.masks(self.place)

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this object, once for each position."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute, of all at once."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **named: Any) -> list[Any]:
        """What a method that answers for all says for each position."""
        found = getattr(self, method_name)(*args, **named)
        return [found[position] for position in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """No position is."""
        return [False] * len(list(self._get_indices(indices)))


def _node(layout: Layout, ahead: Sequence[Prospects], order: Sequence[str], key: str, behind: Floats) -> Node:
    decision = key.index(OPEN)
    some = at_question(ahead[0], key)
    depth = steps_before(some, decision)
    after = [key[:decision] + answer + key[decision + 1 :] for answer in "01"]
    then = [order.index(option) if OPEN in option else END for option in after]
    onwards = [np.concatenate([_onwards(each, some.histories(depth), option) for each in ahead]) for option in after]
    return Node(key, decision, layout.seen(some, depth, behind), (then[NO], then[YES]), (onwards[NO], onwards[YES]))


def _onwards(prospects: Prospects, histories: int, key: str) -> Floats:
    """(n, histories, states) cumulative probabilities of the states before the next question, or losses at the end."""
    ahead = at_question(prospects, key)
    if OPEN not in key:
        likely = ahead.probability[..., None]
        return np.divide(ahead.losses, likely, out=np.zeros_like(ahead.losses), where=likely > 0)
    reached = ahead.histories(steps_before(ahead, key.index(OPEN)))
    chances = ahead.probability.reshape(prospects.size, reached, -1).sum(axis=2).reshape(prospects.size, histories, -1)
    cumulative = np.cumsum(chances, axis=2)
    total = cumulative[..., -1:]
    return np.divide(cumulative, total, out=np.ones_like(cumulative), where=total > 0)
