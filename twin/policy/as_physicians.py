"""What lies ahead of patients in; how likely the physicians are to take a decision at every history of it out.

A habit (`twin.behaviour`) is additive on the logit scale before it is bent: what is known at first contributes by
patient, decisions and states on the way contribute by history. Whatever histories do not tell (doses, sums of
toxicities) counts as average.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from data.schema import Specification
from twin.arrays import Flags, Floats
from twin.behaviour import Behaviour, Habit
from twin.policy.exact import Decide, Question
from twin.policy.prospects import Prospects, Sight
from twin.state import Known


def as_physicians(behaviour: Behaviour, some: Prospects, frame: pd.DataFrame) -> Decide:
    """The policy of the physicians, for n patients.

    Args:
        behaviour: Their habits; a decision without one is answered "no" and "yes" alike.
        some: The n patients.
        frame: That the patients of `some` are rows of, as they were known at first.
    """
    asked = frame.iloc[some.rows].reset_index(drop=True)

    def decide(question: Question) -> Floats:
        column = some.spec.decisions[question.decision].column
        if column not in behaviour.decisions:
            return np.full(question.probability.shape, 0.5)
        habit = behaviour.habit(column)
        ahead = _histories(some, question)
        told = _of_columns(habit, some.spec, set(ahead.columns))
        at_first = _of_columns(habit, some.spec, set(asked.columns))
        first = _contribution(habit, some.spec, asked, ~told & at_first)
        later = _contribution(habit, some.spec, ahead, told)
        log_odds = habit.intercept + first[:, None] + later
        return np.asarray(expit(habit.bend.calibrated(log_odds.ravel()))).reshape(log_odds.shape)

    return decide


def _contribution(habit: Habit, spec: Specification, frame: pd.DataFrame, of: Flags) -> Floats:
    """(rows,) log odds that some inputs (p + flags,) of a frame add."""
    inputs = habit.inputs(Known.at(frame, spec, habit.encoding.moment))
    return np.asarray(inputs[:, of] @ habit.coefficients[of])


def _of_columns(habit: Habit, spec: Specification, columns: set[str]) -> Flags:
    """(p + flags,) inputs that are read from some columns."""
    sums = {feature.name for feature in spec.features if columns & set(feature.members)}
    sources = columns | sums
    encoded = [source.source in sources for source in habit.encoding.inputs for _ in source.names]
    return np.array([*encoded, *(name in columns for name in habit.flags)], dtype=bool)


def _histories(some: Prospects, question: Question) -> pd.DataFrame:
    """The decisions and states before a question, one row a history, in the order of its histories."""
    sights = some.through(question.so_far).seen_before(question.decision)
    counts = [sight.states for sight in sights]
    rows = int(np.prod(counts, dtype=int))
    places = np.indices(counts).reshape(len(sights), rows)
    columns = {}
    for sight, state in zip(sights, places, strict=True):
        columns.update({name: values[state] for name, values in _values(some.spec, sight).items()})
    decided = {
        decision.column: np.full(rows, float(digit))
        for decision, digit in zip(some.spec.decisions[: question.decision], question.so_far, strict=False)
    }
    return pd.DataFrame({**columns, **decided}, index=range(rows))


def _values(spec: Specification, sight: Sight) -> dict[str, npt.NDArray[Any]]:
    """By column, (states,) the value that each state shows; nothing of sums."""
    found = {}
    for k, variable in enumerate(sight.step.variables):
        if variable.summed:
            continue
        numeric = spec.column(variable.columns[0]).is_numeric
        shown = [float(values[0]) if numeric else values[0] for values in variable.levels]
        # A code that is unobserved is -1: the last entry.
        levels = np.array([*shown, np.nan if numeric else None], dtype=float if numeric else object)
        found[variable.columns[0]] = levels[sight.codes[:, k]]
    return found
