"""A patient at a question, with a history and weights, in; a vector of numbers of a fixed layout out.

The vector holds, in this order: the encoded inputs, averaged over completed copies and bounded; an indicator of each
state that can be seen before the last decision, 0 where it is not seen (yet); for each decision whether it is open, no
or yes; which decision is asked about; the weights of the outcomes as shares of their sum.

Weights that are multiplied alike rank everything alike, so that the agent reads shares. A value that it learns is the
utility with weights that add up to 1, and lies between 0 and 1 as every loss does; with weights w of sum s the utility
is ``1 - s x (1 - value)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from twin.arrays import Floats, Integers
from twin.policy.prospects import Prospects
from twin.policy.standing import Standing
from twin.prediction import FittedTwin
from twin.simulation.states import UNOBSERVED
from twin.timeline import OPEN, plan_text

BOUND: Final = 8.0
"""Encoded inputs beyond it, sixteen standard deviations from the cohort's mean, count as that far"""
PATIENTS_AT_ONCE: Final = 1000
"""Whose completed copies are held in memory together"""
ANSWERS: Final = (OPEN, "0", "1")
"""What a decision can stand at, in the order of its indicators"""

Singles: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StepStates:
    """A step at which states are seen, as it stands in a layout."""

    moment: str
    decision: int
    """Position of the last decision before it"""
    states: tuple[str, ...]
    """Each level of each variable"""


@dataclass(frozen=True)
class Layout:
    """What stands where in an observation; as plain JSON by `as_dict`."""

    inputs: tuple[str, ...]
    """Names of encoded inputs"""
    steps: tuple[StepStates, ...]
    """Those before the last decision"""
    decisions: tuple[str, ...]
    outcomes: tuple[str, ...]

    @classmethod
    def of(cls, twin: FittedTwin) -> Self:
        """The layout of a twin's patients."""
        decisions = tuple(decision.column for decision in twin.spec.decisions)
        steps = tuple(
            StepStates(
                step.moment,
                step.decision,
                tuple(f"{variable.name} {label}" for variable in step.variables for label in variable.labels),
            )
            for step in (model.step for model in twin.states.transitions.steps)
            if step.decision < len(decisions) - 1
        )
        return cls(twin.marginal.encoding.names, steps, decisions, twin.outcomes)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The layout that `as_dict` put in plain words.

        Raises:
            KeyError, TypeError: the document is of something else.
        """
        steps = tuple(StepStates(**{**step, "states": tuple(step["states"])}) for step in document["steps"])
        names = {name: tuple(document[name]) for name in ("inputs", "decisions", "outcomes")}
        return cls(steps=steps, **names)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @property
    def states(self) -> int:
        """Number of indicators of states."""
        return sum(len(step.states) for step in self.steps)

    @property
    def size(self) -> int:
        """Length of an observation."""
        return len(self.inputs) + self.states + (len(ANSWERS) + 1) * len(self.decisions) + len(self.outcomes)

    @property
    def weights(self) -> slice:
        """Where the weights stand."""
        return slice(self.size - len(self.outcomes), self.size)

    def question(self, key: str) -> Singles:
        """(4 x decisions,) decisions taken, and which is asked about: the first that is open."""
        taken = [float(digit == answer) for digit in key for answer in ANSWERS]
        asked = [float(k == key.index(OPEN)) for k in range(len(key))]
        return np.array([*taken, *asked], dtype=np.float32)

    def observe(self, inputs: Floats, seen: Floats, key: str, weights: Floats) -> Singles:
        """Observations of every patient with every history.

        Args:
            inputs: (n, inputs) encoded.
            seen: (histories, states) indicators, as by `seen`.
            key: Decisions before the question; open ones as ``-``.
            weights: (n, outcomes).

        Returns:
            (n, histories, size)
        """
        patient, history = np.divmod(np.arange(len(inputs) * len(seen)), len(seen))
        return self.rows(inputs[patient], seen[history], key, weights[patient]).reshape(len(inputs), len(seen), -1)

    def rows(self, inputs: Floats, seen: Floats, key: str, weights: Floats) -> Singles:
        """(k, size) observations of patients with a history each: inputs (k, p), seen (k, states), weights (k, o)."""
        result = np.empty((len(inputs), self.size), dtype=np.float32)
        first, second = len(self.inputs), len(self.inputs) + self.states
        result[:, :first] = np.clip(inputs, -BOUND, BOUND)
        result[:, first:second] = seen
        result[:, second : self.weights.start] = self.question(key)
        result[:, self.weights] = shares(weights)
        return result

    def behind(self, twin: FittedTwin, standing: Standing) -> Floats:
        """(states,) indicators of what is recorded of the steps before patients' next open decision."""
        result = [np.empty(0)]
        for model, codes in zip(twin.states.transitions.steps, standing.observed, strict=True):
            if model.step.decision < min(standing.next_open, len(self.decisions) - 1):
                result.append(model.step.indicators(codes[None])[0])
        return np.asarray(self._padded(np.concatenate(result)[None])[0])

    def seen(self, prospects: Prospects, key: str, behind: Floats) -> Floats:
        """(histories, states) indicators at every history of a question.

        Args:
            prospects: Of patients who stand at the same place.
            key: Decisions before the question; open ones as ``-``.
            behind: (states,) what was seen before they came there, as by `behind`.
        """
        width = sum(len(step.states) for step in self.steps[: prospects.steps_behind])
        result = behind[None, :width]
        for sight in prospects.through(key).seen_before(key.index(OPEN)):
            states = sight.step.indicators(sight.codes)
            result = np.hstack([np.repeat(result, len(states), axis=0), np.tile(states, (len(result), 1))])
        return self._padded(result)

    def _padded(self, seen: Floats) -> Floats:
        """(k, states) with zeros for the steps that are still to come."""
        return np.hstack([seen, np.zeros((len(seen), self.states - seen.shape[1]))])


def shares(weights: Floats) -> Floats:
    """(..., outcomes) weights that add up to 1; zeros where all are 0 and every option is worth the same."""
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights, dtype=float), where=total > 0))


def encoded(twin: FittedTwin, frame: pd.DataFrame) -> Floats:
    """(n, inputs) of patients, averaged over completed copies."""
    result = np.empty((len(frame), len(twin.marginal.encoding.names)))
    incomplete = twin.marginal.incomplete(twin.marginal.known(frame, twin.spec))
    for rows in (np.flatnonzero(~incomplete), np.flatnonzero(incomplete)):
        for start in range(0, len(rows), PATIENTS_AT_ONCE):
            some = rows[start : start + PATIENTS_AT_ONCE]
            known = twin.marginal.known(frame.iloc[some].reset_index(drop=True), twin.spec)
            result[some] = twin.marginal.completed(known).inputs.mean(axis=0)
    return result


def at_first(twin: FittedTwin, patients: int) -> Standing:
    """Patients before anything is decided or seen; decisions that the cohort does not vary are held."""
    nobody = np.full((1, len(twin.spec.decisions)), np.nan)
    so_far = plan_text(twin.capability.with_held(twin.spec, nobody)[0])
    observed: tuple[Integers, ...] = tuple(
        np.full(len(model.step.variables), UNOBSERVED) for model in twin.states.transitions.steps
    )
    return Standing(np.arange(patients), so_far, so_far.find(OPEN), 0.0, observed)
