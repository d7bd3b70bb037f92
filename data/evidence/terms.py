"""The table of effect terms of a disease in, the terms in which each outcome's effects are expressed out."""

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
from data.evidence.groups import FloatArray, Group
from data.schema import Decision, Outcome, OutcomeKind, Specification

_HEADER: Final = ("decision", "outcome", "name", "column", "centre", "per", "group", "prior_sd", "reason")
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

    def values(self, frame: pd.DataFrame) -> FloatArray:
        """What multiplies the term in each patient (n,): 0 for who is outside the group or whose value is missing."""
        values = Group.parse(self.group).membership(frame)
        if self.column:
            read = frame[self.column].to_numpy(dtype=float) if self.column in frame else np.full(len(frame), np.nan)
            values = values * (read - self.centre) / self.per
        return np.nan_to_num(values)


def load_terms(spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    """The effect terms of each outcome of `spec`, by its name.

    Each decision has the effect itself, with a weak prior, and behind it the terms that the table of the disease adds;
    a disease without a table has the effects themselves only. Decisions stand in their order, and so do rows.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    path = shipped(f"{spec.name}_terms")
    return read_terms(path, spec) if path else _arranged([], spec)


def read_terms(path: Path, spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    """The effect terms of each outcome of `spec`, with those that the table at `path` adds.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    added: list[_Added] = []
    faults: list[str] = []
    for line, row in read_rows(path, _HEADER):
        cells = _TermCells(line, row, spec)
        added.append(_Added(line, row["outcome"], cells.term()))
        faults += cells.faults
    refuse(path, faults or list(_repeated(added)))
    return _arranged(added, spec)


@dataclass(frozen=True)
class _Added:
    line: int
    outcome: str
    term: EffectTerm

    def concerns(self, outcome: str) -> bool:
        return self.outcome in (_EVERY, outcome)


def _arranged(added: list[_Added], spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    return {
        outcome.name: tuple(term for decision in spec.decisions for term in _terms(decision, outcome, added))
        for outcome in spec.outcomes
    }


def _terms(decision: Decision, outcome: Outcome, added: list[_Added]) -> Iterator[EffectTerm]:
    yield EffectTerm(decision.column, "", prior_sd=weak_prior_sd(outcome))
    yield from (row.term for row in added if row.term.decision == decision.column and row.concerns(outcome.name))


def weak_prior_sd(outcome: Outcome) -> float:
    """Standard deviation of the log ratio of a whole effect on `outcome` before any evidence."""
    return ODDS_PRIOR_SD if outcome.kind is OutcomeKind.BINARY else HAZARD_PRIOR_SD


def _repeated(added: list[_Added]) -> Iterator[str]:
    for one, two in combinations(added, 2):
        shared = one.concerns(two.outcome) or two.concerns(one.outcome)
        if shared and (one.term.decision, one.term.name) == (two.term.decision, two.term.name):
            yield fault(
                two.line, "name", f"another name than in line {one.line}", two.term.name, "leave one of them out"
            )


class _TermCells(Cells):
    """The cells of a row of effect terms."""

    def term(self) -> EffectTerm:
        """The term; worth something only without faults."""
        self.check_surplus()
        self.text("reason")
        centre, per = self.number("centre", above=-math.inf), self.number("per")
        term = EffectTerm(
            decision=self.text("decision"),
            name=self.text("name"),
            column=self.row["column"],
            centre=0.0 if centre is None else centre,
            per=1.0 if per is None else per,
            group=str(self.group()),
            prior_sd=self.required("prior_sd"),
        )
        if not self.faults:
            self.check_subject(term)
            self.check_modifier(term)
        return term

    def check_subject(self, term: EffectTerm) -> None:
        """Decision and outcome are the specification's, and what the term reads is known when deciding."""
        outcomes = [outcome.name for outcome in self.spec.outcomes]
        if self.row["outcome"] not in (_EVERY, *outcomes):
            expected = "one of " + ", ".join(outcomes)
            self.fault("outcome", expected, self.row["outcome"], "name an outcome, or leave the cell empty for all")
        decision = next((entry for entry in self.spec.decisions if entry.column == term.decision), None)
        if decision is None:
            expected = "one of " + ", ".join(entry.column for entry in self.spec.decisions)
            self.fault("decision", expected, term.decision, "name a decision")
            return
        self.check_known("group", Group.parse(term.group).columns, decision.moment)
        if term.column:
            self.check_known("column", (term.column,), decision.moment)

    def check_modifier(self, term: EffectTerm) -> None:
        """A term has a number or a group; only with a number does it have a centre and steps."""
        column = self.spec.by_name.get(term.column)
        if term.column and (column is None or not column.is_numeric):
            self.fault("column", "a number of the specification", term.column, "name one, or describe a group instead")
        if bool(term.column) != bool(self.row["centre"] and self.row["per"]):
            got = f"{self.row['centre']}' and '{self.row['per']}"
            self.fault("per", "centre and per with a column, and neither without", got, "complete the row")
        if not term.column and not term.group:
            self.fault("group", "a column or a group", "", "name one: the effect on everybody is there already")
