"""A process of treatment in; the same one patient at a time (Gymnasium) and many at once (stable-baselines3) out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from twin.arrays import Flags, Integers
from twin.policy.observation import BOUND, Layout, Singles, shares
from twin.policy.preferences import Preferences
from twin.policy.process import END, Actions, Place, Process


def observation_space(layout: Layout) -> spaces.Box[Any]:
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
        self.observation_space: spaces.Space[Singles] = observation_space(process.layout)
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
