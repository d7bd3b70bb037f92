"""The specification of a disease as typed values: its columns, decisions, states, outcomes and rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from string import Formatter

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import NotFound, SpecificationError

UNKNOWN = "unknown"
"""The level that says that somebody looked and could not tell."""


class ColumnType(StrEnum):
    """What a cell of a column holds."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    FLAG = "flag"
    CATEGORY = "category"


class Role(StrEnum):
    """What a column is for."""

    KEY = "key"
    COVARIATE = "covariate"
    AUDIT = "audit"
    CHECK = "check"
    DECISION = "decision"
    STATE = "state"
    TIME = "time"
    EVENT = "event"
    BINARY = "binary"


class OutcomeKind(StrEnum):
    """How an outcome is observed."""

    SURVIVAL = "survival"
    """A time to an event that nothing but censoring can hide."""
    COMPETING = "competing"
    """A time to an event that another event can forestall."""
    BINARY = "binary"
    """Present or absent at a stated month."""


@dataclass(frozen=True, slots=True)
class Column:
    """One canonical column: a row of the dictionary."""

    name: str
    label: str
    type: ColumnType
    unit: str
    levels: tuple[str, ...]
    """Allowed levels of a category (or the allowed values of an integer), in dictionary order; else empty."""
    minimum: float | None
    maximum: float | None
    available_from: str
    role: Role
    required: bool
    identifier: bool
    aliases: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether values are held as floating-point numbers (numbers, integers and flags)."""
        return self.type in (ColumnType.NUMBER, ColumnType.INTEGER, ColumnType.FLAG)

    def expected(self) -> str:
        """What a cell may hold, in words: the text of findings, templates and help."""
        if self.levels and self.type is not ColumnType.FLAG:
            return "one of " + ", ".join(self.levels)
        if self.type is ColumnType.FLAG:
            return "1 or 0 (also yes/no, true/false)"
        if self.type is ColumnType.STRING:
            return "text"
        kind = "a whole number" if self.type is ColumnType.INTEGER else "a number"
        bounds = "" if self.minimum is None else f" from {self.minimum:g} to {self.maximum:g}"
        unit = f" ({self.unit})" if self.unit and self.unit != "year" else ""
        return f"{kind}{bounds}{unit}"


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice of a treatment sequence: a digit of a plan."""

    column: str
    moment: str
    label: str
    phrase: str
    """The option "yes" inside a sentence, e.g. "chemoradiation"."""
    phrase_without: str
    """The option "no" inside a sentence; empty when nothing needs saying."""
    month: float
    """When the decision takes effect, months from time zero."""
    month_if_previous_declined: float
    """The same when the decision before it was "no"."""
    manner: str | None = None
    """Category that says how a "yes" is carried out (an agent, say): a part of the decision, known with it."""


@dataclass(frozen=True, slots=True)
class Landmark:
    """A moment at which states are seen, in those who are alive then."""

    moment: str
    label: str
    month: float
    carried: tuple[str, ...] = ()
    """States, or sums of them, that later states and outcomes depend on; the others are seen and passed over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What may happen to a patient and how it is recorded."""

    name: str
    label: str
    kind: OutcomeKind
    event: str
    time: str | None
    """Column of the time to event or censoring in months; ``None`` for a binary outcome."""
    competing: str | None
    """Name of the outcome that forestalls this one."""
    month: float | None
    """When a binary outcome is judged, months."""
    triggers: tuple[str, ...] = ()
    """Decisions that the outcome can bring about: recorded without a date, they are no sign of what caused it."""
    weight: float = 0.0
    """Of its loss in the utility of a treatment sequence, where nobody asks for another"""


@dataclass(frozen=True, slots=True)
class SumFeature:
    """A sum of flags that stands for its members in the models."""

    name: str
    label: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """Values a column must have for a rule to hold: listed levels (or numbers), or bounds."""

    column: str
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def holds_of(self, values: pd.Series) -> npt.NDArray[np.bool_]:
        """(n,) whether each value of the column, numbers or texts, fulfils it; what is missing does not."""
        if not pd.api.types.is_numeric_dtype(values):
            return values.isin(self.values).to_numpy(dtype=np.bool_)
        numbers = values.to_numpy(dtype=float)
        listed = np.isin(numbers, [float(value) for value in self.values]) if self.values else ~np.isnan(numbers)
        lowest = -np.inf if self.minimum is None else self.minimum
        highest = np.inf if self.maximum is None else self.maximum
        return np.asarray(listed & (numbers >= lowest) & (numbers <= highest), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """When all of `when` holds, every recorded column of `expect` must hold as well."""

    code: str
    severity: str
    when: tuple[Expectation, ...]
    expect: tuple[Expectation, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class Contraindication:
    """When all of `when` holds in what is recorded, a decision, or one manner of carrying it out, is not possible."""

    decision: str
    """Column whose "yes" is contraindicated"""
    manner: str | None
    """The one value of the decision's manner that is; ``None`` for all of them"""
    when: tuple[Expectation, ...]
    reason: str
    """Inside a sentence, e.g. "performance status 3 or worse" """


@dataclass(frozen=True, slots=True)
class RatioRule:
    """Plausible bounds of one column divided by another."""

    code: str
    severity: str
    numerator: str
    denominator: str
    minimum: float
    maximum: float
    unit: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ImputationRule:
    """What must not be used to guess a value that is missing."""

    column: str
    without: tuple[str, ...]
    """Columns that are coded by the value itself, so that they mean something else where it is missing."""


@dataclass(frozen=True, slots=True)
class AuditGroup:
    """Patients whom an evaluation looks at apart: one group a level, or one on either side of a threshold."""

    column: str
    above: float | None = None
    """Threshold of a number in the column's unit; ``None`` for a category, a flag or a text."""


class SplitKind(StrEnum):
    """How an evaluation sets patients apart who are unlike those it learns from."""

    TEMPORAL = "temporal"
    """Learnt from the earlier, scored on the later."""
    CENTRE = "centre"
    """Learnt from all but one, scored on that one, each in turn."""


@dataclass(frozen=True, slots=True)
class Split:
    """A column by which an evaluation sets patients apart; no model may read it."""

    column: str
    kind: SplitKind


@dataclass(frozen=True)
class Specification:
    """A disease: its columns, decisions, landmarks, outcomes and rules."""

    name: str
    label: str
    version: int
    columns: tuple[Column, ...]
    moments: tuple[str, ...]
    follow_up: str
    summary: tuple[str, ...]
    """Phrases that introduce a patient, with column names in braces, e.g. ``"HPV {hpv_status}"``."""
    disease_terms: tuple[str, ...]
    decisions: tuple[Decision, ...]
    landmarks: tuple[Landmark, ...]
    outcomes: tuple[Outcome, ...]
    features: tuple[SumFeature, ...]
    contradictions: tuple[Contradiction, ...]
    ratios: tuple[RatioRule, ...]
    synonyms: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    """(column, level, spelling met in real files): evidence for mapping suggestions, never applied unasked."""
    stage_groups: tuple[dict[str, str], ...] = field(default=(), repr=False)
    """Rows of the staging table: values of columns and the `stage_group` they imply."""
    interacting: tuple[str, ...] = ()
    """Columns (or sums) whose products in pairs enter the outcome models, chosen before any data were seen."""
    imputation: tuple[ImputationRule, ...] = ()
    """Rules for guessing missing values."""
    audit_groups: tuple[AuditGroup, ...] = ()
    """By what patients are grouped when a model is audited for groups it serves worse."""
    contraindications: tuple[Contraindication, ...] = ()
    """What is never recommended to whom"""
    splits: tuple[Split, ...] = ()
    """By what patients are set apart when a model is tried on later patients, or on those of another centre."""

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name, in dictionary order."""
        return {column.name: column for column in self.columns}

    @cached_property
    def summary_columns(self) -> tuple[str, ...]:
        """Columns that the introducing phrases mention, in their order."""
        return tuple(name for phrase in self.summary for _, name, _, _ in Formatter().parse(phrase) if name)

    @cached_property
    def key(self) -> str:
        """Name of the column that identifies a patient."""
        return next(column.name for column in self.columns if column.role is Role.KEY)

    @cached_property
    def brought_about(self) -> frozenset[str]:
        """Columns of decisions that an outcome can bring about."""
        return frozenset(column for outcome in self.outcomes for column in outcome.triggers)

    def column(self, name: str) -> Column:
        """The column called `name`.

        Raises:
            NotFound: there is none.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise NotFound.named("column", name, self.by_name) from None

    def outcome(self, name: str) -> Outcome:
        """The outcome called `name`.

        Raises:
            NotFound: there is none.
        """
        for outcome in self.outcomes:
            if outcome.name == name:
                return outcome
        raise NotFound.named("outcome", name, [outcome.name for outcome in self.outcomes])

    def rank(self, moment: str) -> int:
        """Position of `moment` in the order of availability.

        Raises:
            NotFound: there is no such moment.
        """
        try:
            return self.moments.index(moment)
        except ValueError:
            raise NotFound.named("moment", moment, self.moments) from None

    def available_before(self, moment: str) -> tuple[Column, ...]:
        """Columns whose values are known strictly before `moment`."""
        limit = self.rank(moment)
        return tuple(column for column in self.columns if self.rank(column.available_from) < limit)

    def having(self, *roles: Role) -> tuple[Column, ...]:
        """Columns with one of `roles`, in dictionary order."""
        return tuple(column for column in self.columns if column.role in roles)

    def plan_label(self, plan: str) -> str:
        """A plan such as ``"110"`` in words; open decisions (``-``) are named as open.

        Raises:
            SpecificationError: the plan has another number of digits than the disease has decisions.
        """
        if len(plan) != len(self.decisions):
            raise SpecificationError(f"plan '{plan}' needs {len(self.decisions)} digits, one per decision")
        words = [_decision_phrase(decision, digit) for decision, digit in zip(self.decisions, plan, strict=True)]
        said = [word for word in words if word]
        return " + ".join(said) if said else "no treatment of this plan"


def _decision_phrase(decision: Decision, digit: str) -> str:
    if digit == "-":
        return f"{decision.label.lower()} open"
    return decision.phrase if digit == "1" else decision.phrase_without
