"""The table of effect terms of a disease in, the terms in which each outcome's effects are expressed out.

A row of the table adds to the effect of a decision in a group of patients or by a number, or in those who show a state
before it (`StateTerm`); one that names none of these says what is held of the effect itself before any evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from data.evidence.cells import Cells, fault, read_rows, refuse, shipped
from data.evidence.groups import FloatArray, Group, parse_group
from data.schema import Decision, Outcome, OutcomeKind, Specification

_HEADER: Final = (
    "decision",
    "outcome",
    "name",
    "column",
    "centre",
    "per",
    "group",
    "state",
    "prior_mean",
    "prior_sd",
    "reason",
)
_EVERY: Final = ""
"""In place of an outcome: all of them."""

HAZARD_PRIOR_SD: Final = 0.5
"""Of the log hazard ratio of a decision before any evidence: nine in ten such ratios are between 0.44 and 2.3. Assumed;
weak beside any trial."""
ODDS_PRIOR_SD: Final = 1.0
"""The same of a log odds ratio: nine in ten between 0.19 and 5.2. Assumed."""


@dataclass(frozen=True)
class EffectTerm:
    """One way in which a decision acts: on everybody alike, on a group, or by a number that is known of the patient.

    A term without a column and without a group is the effect itself; the others add to it.
    """

    decision: str
    """Decision column"""
    name: str
    """In words, as a part of a sentence, e.g. ``per 10 years of age above 60``; empty for the effect itself"""
    column: str = ""
    """Number whose distance from `centre`, in steps of `per`, multiplies the term"""
    centre: float = 0.0
    per: float = 1.0
    group: str = ""
    """Whom it is confined to, in the grammar of `data.evidence.groups`; text, so that a term is plain data"""
    prior_sd: float = 1.0
    """Of the log ratio when nothing is published"""
    prior_mean: float = 0.0
    """Of the same"""

    def values(self, frame: pd.DataFrame) -> FloatArray:
        """What multiplies the term in each patient (n,): 0 for who is outside the group or whose value is missing."""
        values = Group.parse(self.group).membership(frame)
        if self.column:
            read = frame[self.column].to_numpy(dtype=float) if self.column in frame else np.full(len(frame), np.nan)
            values = values * (read - self.centre) / self.per
        return np.nan_to_num(values)


@dataclass(frozen=True)
class StateTerm:
    """How much more a decision does in those who show a state before it: it adds to what it does in the others."""

    decision: str
    """Decision column"""
    name: str
    """In words, as a part of a sentence, e.g. ``after an incomplete response``"""
    state: str
    """Who shows it: conditions on one column, in the grammar of `data.evidence.groups`"""
    prior_mean: float
    """Log ratio of the ratio in those who show it to the ratio in the others"""
    prior_sd: float

    @property
    def column(self) -> str:
        """The column that the state is read from."""
        return Group.parse(self.state).columns[0]

    def membership(self, frame: pd.DataFrame) -> FloatArray:
        """(n,) 1 for who shows the state, 0 for who does not, NaN where it is not recorded."""
        return Group.parse(self.state).membership(frame)


Term = EffectTerm | StateTerm


@dataclass(frozen=True)
class TermRow:
    """A row of the table."""

    line: int
    outcome: str
    """Empty for all of them"""
    term: Term
    reason: str

    def concerns(self, outcome: str) -> bool:
        """Whether it says something about an outcome."""
        return self.outcome in (_EVERY, outcome)


def load_term_rows(spec: Specification) -> tuple[TermRow, ...]:
    """The rows of the table that stands under the name of `spec`; none when there is no such table.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    path = shipped(f"{spec.name}_terms")
    return read_term_rows(path, spec) if path else ()


def load_terms(spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    """The effect terms of each outcome of `spec`, by its name.

    Each decision has the effect itself, with a weak prior unless the table gives one, and behind it the terms that the
    table of the disease adds; a disease without a table has the effects themselves only. Decisions stand in their
    order, and so do rows.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    return effect_terms(load_term_rows(spec), spec)


def load_state_terms(spec: Specification) -> dict[str, tuple[StateTerm, ...]]:
    """The state terms of each outcome of `spec`, by its name, in the order of the table.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    return state_terms(load_term_rows(spec), spec)


def read_term_rows(path: Path, spec: Specification) -> tuple[TermRow, ...]:
    """The rows of the table at `path`.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    rows: list[TermRow] = []
    faults: list[str] = []
    for line, row in read_rows(path, _HEADER):
        cells = _TermCells(line, row, spec)
        rows.append(TermRow(line, row["outcome"], cells.term(), row["reason"]))
        faults += cells.faults
    refuse(path, faults or list(_repeated(rows)))
    return tuple(rows)


def effect_terms(rows: tuple[TermRow, ...], spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    """Of each outcome the effects themselves, and the terms that `rows` add to them."""
    return {
        outcome.name: tuple(term for decision in spec.decisions for term in _terms(decision, outcome, rows))
        for outcome in spec.outcomes
    }


def state_terms(rows: tuple[TermRow, ...], spec: Specification) -> dict[str, tuple[StateTerm, ...]]:
    """Of each outcome the state terms among `rows`."""
    return {
        outcome.name: tuple(row.term for row in rows if isinstance(row.term, StateTerm) and row.concerns(outcome.name))
        for outcome in spec.outcomes
    }


def _terms(decision: Decision, outcome: Outcome, rows: tuple[TermRow, ...]) -> Iterator[EffectTerm]:
    given = [row.term for row in rows if row.concerns(outcome.name)]
    own = [term for term in given if isinstance(term, EffectTerm) and term.decision == decision.column]
    weak = EffectTerm(decision.column, "", prior_sd=weak_prior_sd(outcome))
    yield next((term for term in own if not term.name), weak)
    yield from (term for term in own if term.name)


def weak_prior_sd(outcome: Outcome) -> float:
    """Standard deviation of the log ratio of a whole effect on `outcome` before any evidence."""
    return ODDS_PRIOR_SD if outcome.kind is OutcomeKind.BINARY else HAZARD_PRIOR_SD


def _repeated(rows: list[TermRow]) -> Iterator[str]:
    for one, two in combinations(rows, 2):
        shared = one.concerns(two.outcome) or two.concerns(one.outcome)
        if shared and (one.term.decision, one.term.name) == (two.term.decision, two.term.name):
            yield fault(
                two.line, "name", f"another name than in line {one.line}", two.term.name, "leave one of them out"
            )


class _TermCells(Cells):
    """The cells of a row of effect terms."""

    def term(self) -> Term:
        """The term; worth something only without faults."""
        self.check_surplus()
        self.text("reason")
        self.check_outcome()
        return self.state_term() if self.row["state"] else self.effect_term()

    def effect_term(self) -> EffectTerm:
        """A term without a state."""
        centre, per, mean = self.number("centre", above=-math.inf), self.number("per"), self.mean()
        term = EffectTerm(
            decision=self.text("decision"),
            name=self.text("name") if self.row["column"] or self.row["group"] else self.row["name"],
            column=self.row["column"],
            centre=0.0 if centre is None else centre,
            per=1.0 if per is None else per,
            group=str(self.group()),
            prior_sd=self.required("prior_sd"),
            prior_mean=0.0 if mean is None else mean,
        )
        if not self.faults:
            self.check_subject(term)
            self.check_modifier(term)
        return term

    def state_term(self) -> StateTerm:
        """A term with a state."""
        if self.mean() is None:
            self.fault("prior_mean", "a log ratio", "", "say how much more is expected in those who show the state")
        term = StateTerm(
            decision=self.text("decision"),
            name=self.text("name"),
            state=self.row["state"],
            prior_mean=self.mean() or 0.0,
            prior_sd=self.required("prior_sd"),
        )
        others = [name for name in ("column", "centre", "per", "group") if self.row[name]]
        for name in others:
            self.fault(name, "nothing beside a state", self.row[name], "give it a row of its own")
        if not self.faults:
            self.check_state(term)
        return term

    def mean(self) -> float | None:
        """The mean of the prior; ``None`` for an empty cell."""
        return self.number("prior_mean", above=-math.inf)

    def decision(self, column: str) -> Decision | None:
        """The decision of the specification; a fault where there is none."""
        found = next((entry for entry in self.spec.decisions if entry.column == column), None)
        if found is None:
            expected = "one of " + ", ".join(entry.column for entry in self.spec.decisions)
            self.fault("decision", expected, column, "name a decision")
        return found

    def check_outcome(self) -> None:
        """The outcome is the specification's, or all of them are meant."""
        outcomes = [outcome.name for outcome in self.spec.outcomes]
        if self.row["outcome"] not in (_EVERY, *outcomes):
            expected = "one of " + ", ".join(outcomes)
            self.fault("outcome", expected, self.row["outcome"], "name an outcome, or leave the cell empty for all")

    def check_subject(self, term: EffectTerm) -> None:
        """The decision is the specification's, and what the term reads is known when deciding."""
        decision = self.decision(term.decision)
        if decision is not None:
            self.check_known("group", Group.parse(term.group).columns, decision.moment)
        if decision is not None and term.column:
            self.check_known("column", (term.column,), decision.moment)

    def check_modifier(self, term: EffectTerm) -> None:
        """A term has a number or a group and a name, or none of them; only with a number are there centre and steps."""
        column = self.spec.by_name.get(term.column)
        if term.column and (column is None or not column.is_numeric):
            self.fault("column", "a number of the specification", term.column, "name one, or describe a group instead")
        if bool(term.column) != bool(self.row["centre"] and self.row["per"]):
            got = f"{self.row['centre']}' and '{self.row['per']}"
            self.fault("per", "centre and per with a column, and neither without", got, "complete the row")
        if term.name and not (term.column or term.group):
            expected = "a column, a group or a state, or no name for the effect itself"
            self.fault("group", expected, "", "say whom the term is about, or take its name out")

    def check_state(self, term: StateTerm) -> None:
        """The state is one column, which a landmark before the decision carries on."""
        decision = self.decision(term.decision)
        if decision is None:
            return
        try:
            columns = parse_group(term.state, self.spec).columns
        except ValueError as error:
            self.fault("state", str(error), term.state, "describe the state in columns of the dictionary")
            return
        before = [mark for mark in self.spec.landmarks if self.spec.rank(mark.moment) < self.spec.rank(decision.moment)]
        carried = [name for mark in before for name in mark.carried if name in self.spec.by_name]
        if len(columns) != 1 or columns[0] not in carried:
            expected = f"conditions on one of {', '.join(carried) or 'none'}, which are seen before {decision.moment}"
            self.fault("state", expected, term.state, "name what a landmark before the decision carries")
