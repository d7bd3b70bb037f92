"""A cohort in, the states that are told apart between decisions out: when they are seen, by whom, and their levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from data.errors import SpecificationError, WrongUsage
from data.schema import UNKNOWN, ColumnType, Decision, Landmark, Role, Specification
from twin.arrays import Flags, Floats, Integers, Texts
from twin.timeline import effect_months

RARE: Final = 10
"""A level that fewer patients show is not told apart from its neighbour."""
ODD_CHANCE: Final = 0.01
"""Below this chance that all who declined a decision show the same level, it is no chance."""
NOT_APPLICABLE: Final = "not applicable"
"""The state of whoever was not given what the state is a result of"""
UNOBSERVED: Final = -1
"""Code of a value that is missing, unknown or not applicable"""
NONE, ANY = "none", "any"
"""Levels of a sum of flags"""
_NO, _YES = "0", "1"
_IN_WORDS: Final = {_NO: "no", _YES: "yes"}


@dataclass(frozen=True)
class StateVariable:
    """One thing that is seen about a patient: a category, a flag, or whether any of several flags is set."""

    name: str
    label: str
    columns: tuple[str, ...]
    """What is read: one column, or the flags that are summed"""
    summed: bool
    levels: tuple[tuple[str, ...], ...]
    """Values of each level, in the order of the dictionary; several where rare ones are pooled"""
    common: int
    """Position of the level that most patients show"""

    @property
    def labels(self) -> tuple[str, ...]:
        """Each level in words, e.g. ``SD or PD``."""
        return tuple(" or ".join(_IN_WORDS.get(value, value) for value in values) for values in self.levels)

    def level(self, value: str) -> int:
        """Position of the level that a value belongs to.

        Raises:
            WrongUsage: the cohort shows no such value, or it does not exist.
        """
        for position, members in enumerate(self.levels):
            if value in members:
                return position
        known = [value for members in self.levels for value in members]
        raise WrongUsage(
            f"{self.name} '{value}' is unknown to the cohort", remedy=f"values it knows: {', '.join(known)}"
        )

    def codes(self, frame: pd.DataFrame) -> Integers:
        """(n,) position of each patient's level; `UNOBSERVED` where it is missing or unknown."""
        values = _values(frame, self.columns, summed=self.summed)
        result = np.full(len(frame), UNOBSERVED, dtype=np.intp)
        for position, members in enumerate(self.levels):
            for member in members:
                result[values == member] = position
        return result


@dataclass(frozen=True)
class Step:
    """A moment at which something is revealed: a landmark, or the manner in which a decision is carried out."""

    moment: str
    label: str
    manner: bool
    decision: int
    """Position of the last decision taken before; -1 when there is none"""
    needed: bool
    """Whether nothing is to be seen in those who declined that decision"""
    month: float
    variables: tuple[StateVariable, ...]
    """What is carried on, in the order in which one depends on another"""
    certain: tuple[int, ...]
    """For each variable, the level that all who declined the decision show; `UNOBSERVED` where they differ"""

    @property
    def width(self) -> int:
        """How many levels the variables have together."""
        return sum(len(variable.levels) for variable in self.variables)

    @property
    def commonest(self) -> Flags:
        """(width,) which levels are the commonest of their variable."""
        return np.concatenate(
            [np.arange(len(variable.levels)) == variable.common for variable in self.variables]
        ).astype(bool)

    def applies(self, digits: Floats) -> Flags:
        """Whether there is anything to be seen after decisions (..., d)."""
        if not self.needed:
            return np.ones(digits.shape[:-1], dtype=bool)
        return np.asarray(digits[..., self.decision] == 1)

    def acts_from(self, spec: Specification, digits: Floats) -> float:
        """The month from which what is seen bears on the hazards, under decisions (d,)."""
        return float(effect_months(spec, digits)[self.decision]) if self.manner else self.month

    def allowed(self, variable: int, digits: Floats) -> tuple[int, ...]:
        """Levels of a variable that are possible after decisions (d,)."""
        certain = self.certain[variable]
        if certain != UNOBSERVED and digits[self.decision] == 0:
            return (certain,)
        return tuple(range(len(self.variables[variable].levels)))

    def space(self, digits: Floats) -> Integers:
        """(states, variables) the levels of every state that is possible after decisions (d,)."""
        if not bool(self.applies(digits)):
            return np.full((1, len(self.variables)), UNOBSERVED, dtype=np.intp)
        levels = [self.allowed(variable, digits) for variable in range(len(self.variables))]
        return np.array(list(product(*levels)), dtype=np.intp)

    def codes(self, frame: pd.DataFrame) -> Integers:
        """(n, variables) what is recorded."""
        return np.column_stack([variable.codes(frame) for variable in self.variables])

    def indicators(self, codes: Integers) -> Floats:
        """(n, width) one column a level of codes (n, variables); 0 throughout for what is unobserved."""
        blocks = [
            (codes[:, [k]] == np.arange(len(variable.levels))).astype(float)
            for k, variable in enumerate(self.variables)
        ]
        return np.hstack(blocks)

    def words(self, codes: Integers) -> tuple[str, ...]:
        """One state (variables,) in words."""
        return tuple(
            NOT_APPLICABLE if code == UNOBSERVED else variable.labels[code]
            for variable, code in zip(self.variables, codes, strict=True)
        )


def learn_steps(spec: Specification, frame: pd.DataFrame, decisions: Floats) -> tuple[Step, ...]:
    """Every step at which the cohort's patients are seen to differ, in time.

    Args:
        spec: The disease; names what is carried.
        frame: n patients.
        decisions: (n, d) 0, 1 or NaN (not recorded).
    """
    learnt = (_learn_step(spec, step, names, frame, decisions) for step, names in _bare_steps(spec))
    return tuple(step for step in learnt if step is not None)


def _bare_steps(spec: Specification) -> Iterator[tuple[Step, tuple[str, ...]]]:
    """Steps in time with the names of what they carry; the manner of a decision comes with the decision."""
    steps = [
        (spec.rank(landmark.moment), _landmark_step(spec, landmark), landmark.carried) for landmark in spec.landmarks
    ]
    for position, decision in enumerate(spec.decisions):
        if decision.manner is not None:
            steps.append((spec.rank(decision.moment), _manner_step(decision, position), (decision.manner,)))
    for _, step, names in sorted(steps, key=lambda entry: entry[0]):
        yield step, names


def _landmark_step(spec: Specification, landmark: Landmark) -> Step:
    """What those who declined the decision before skip is judged as in `twin.timeline.locate`."""
    rank = spec.rank(landmark.moment)
    before = sum(spec.rank(decision.moment) < rank for decision in spec.decisions)
    skipped = 0 < before < len(spec.decisions) and spec.decisions[before].month_if_previous_declined < landmark.month
    return Step(landmark.moment, landmark.label, False, before - 1, skipped, landmark.month, (), ())


def _manner_step(decision: Decision, position: int) -> Step:
    return Step(decision.moment, decision.label, True, position, True, decision.month, (), ())


def _learn_step(
    spec: Specification, step: Step, names: Sequence[str], frame: pd.DataFrame, decisions: Floats
) -> Step | None:
    shown = frame[step.applies(decisions)]
    learnt = [learn_variable(spec, name, shown, unseen=not step.manner) for name in names]
    variables = tuple(variable for variable in learnt if variable is not None)
    if not variables:
        return None
    certain = tuple(certain_if_declined(spec, step, variable, frame, decisions) for variable in variables)
    return Step(step.moment, step.label, step.manner, step.decision, step.needed, step.month, variables, certain)


def certain_if_declined(
    spec: Specification, step: Step, variable: StateVariable, frame: pd.DataFrame, decisions: Floats
) -> int:
    """The one level possible in those who declined the decision before a step; `UNOBSERVED` where there are several.

    A toxicity of concurrent therapy, say, cannot appear without it. The specification says so, as a contradiction, or
    the cohort does: all who declined show one level, which by the share of it in the others would be an odd chance.
    """
    if step.needed or step.decision < 0:
        return UNOBSERVED
    implied = _implied(spec, variable, spec.decisions[step.decision].column)
    if implied != UNOBSERVED:
        return implied
    codes = variable.codes(frame)
    declined, others = (codes[(decisions[:, step.decision] == digit) & (codes != UNOBSERVED)] for digit in (0, 1))
    if not len(declined) or (declined != declined[0]).any():
        return UNOBSERVED
    share = float((others == declined[0]).mean()) if len(others) else 1.0
    return int(declined[0]) if share ** len(declined) < ODD_CHANCE else UNOBSERVED


def _implied(spec: Specification, variable: StateVariable, decision: str) -> int:
    """The level that contradictions of the specification leave to those who declined a decision."""
    allowed: dict[str, set[str]] = {}
    for rule in spec.contradictions:
        if len(rule.when) == 1 and rule.when[0].column == decision and rule.when[0].values == (_NO,):
            for expected in rule.expect:
                allowed.setdefault(expected.column, set(expected.values) - {UNKNOWN})
    if variable.summed:
        return 0 if all(allowed.get(column) == {_NO} for column in variable.columns) else UNOBSERVED
    values = allowed.get(variable.columns[0], set())
    levels = [k for k, members in enumerate(variable.levels) if values & set(members)]
    return levels[0] if len(levels) == 1 else UNOBSERVED


def learn_variable(spec: Specification, name: str, frame: pd.DataFrame, *, unseen: bool) -> StateVariable | None:
    """A state with its levels; ``None`` where the patients of `frame` do not differ in it.

    Args:
        spec: The disease.
        name: A column, or a sum of flags.
        frame: Patients who could show it.
        unseen: Whether a level that nobody shows is pooled with its neighbour like a rare one, or left out.

    Raises:
        SpecificationError: the column is a number without levels, or text.
    """
    label, columns, values, summed = _source(spec, name)
    columns = tuple(column for column in columns if column in frame)
    if not columns:
        return None
    shown = _values(frame, columns, summed=summed)
    counts = {value: int((shown == value).sum()) for value in values}
    levels = _pooled({value: count for value, count in counts.items() if unseen or count})
    if len(levels) < 2:
        return None
    sizes = [sum(counts[value] for value in members) for members in levels]
    return StateVariable(name, label, columns, summed, levels, int(np.argmax(sizes)))


def leaf_names(spec: Specification, step: Step) -> tuple[str, ...]:
    """States of a landmark that are seen and not carried, those that a carried sum consists of first."""
    if step.manner:
        return ()
    carried = {variable.name for variable in step.variables}
    summed = [column for variable in step.variables if variable.summed for column in variable.columns]
    columns = [column.name for column in spec.having(Role.STATE) if column.available_from == step.moment]
    return tuple(dict.fromkeys([*summed, *(name for name in columns if name not in carried)]))


def _source(spec: Specification, name: str) -> tuple[str, tuple[str, ...], tuple[str, ...], bool]:
    """Label, columns, possible values in order, and whether it is a sum."""
    for feature in spec.features:
        if feature.name == name:
            return feature.label, feature.members, (NONE, ANY), True
    column = spec.column(name)
    if column.type is ColumnType.FLAG:
        return column.label, (name,), (_NO, _YES), False
    levels = tuple(level for level in column.levels if level != UNKNOWN)
    if not levels:
        raise SpecificationError(f"{name} is carried as a state but has no levels", remedy="carry categories and flags")
    return column.label, (name,), levels, False


def _values(frame: pd.DataFrame, columns: Sequence[str], *, summed: bool) -> Texts:
    """(n,) the value as text, empty where it is missing; of a sum, whether any recorded flag is set."""
    present = [name for name in columns if name in frame]
    if not present:
        return np.full(len(frame), "", dtype=object)
    if summed:
        flags = frame[present].to_numpy(dtype=float)
        recorded = ~np.isnan(flags).all(axis=1)
        return np.where(recorded, np.where((flags > 0).any(axis=1), ANY, NONE), "").astype(object)
    values = frame[present[0]].to_numpy(dtype=object)
    return np.array(["" if pd.isna(value) else _text(value) for value in values], dtype=object)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pooled(counts: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    """Levels with their rare ones joined to the rarer neighbour, until none is rare or one is left."""
    groups: list[tuple[tuple[str, ...], int]] = [((value,), count) for value, count in counts.items()]
    while len(groups) > 1:
        rarest = min(range(len(groups)), key=lambda k: groups[k][1])
        if groups[rarest][1] >= RARE:
            break
        beside = [k for k in (rarest - 1, rarest + 1) if 0 <= k < len(groups)]
        other = min(beside, key=lambda k: groups[k][1])
        first, second = sorted((rarest, other))
        joined = (groups[first][0] + groups[second][0], groups[first][1] + groups[second][1])
        groups[first : second + 1] = [joined]
    return tuple(values for values, _ in groups)
