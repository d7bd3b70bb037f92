"""Records, and what a clinician rules out, in; which options and manners are possible for whom, and why not, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from data.errors import NotFound, WrongUsage
from data.schema import Contraindication, Specification
from twin.arrays import Flags

RULED_OUT = "ruled out by whoever asked"


@dataclass(frozen=True)
class Exclusion:
    """An option that whoever asks rules out for everybody: a decision's "no" or "yes"."""

    decision: str
    option: int

    @classmethod
    def parse(cls, spec: Specification, text: str) -> Self:
        """From ``DECISION=0`` or ``DECISION=1``.

        Raises:
            NotFound: no such decision.
            WrongUsage: the text is no option.
        """
        decision, _, option = (piece.strip() for piece in text.partition("="))
        columns = [known.column for known in spec.decisions]
        if decision not in columns:
            raise NotFound.named("decision", decision, columns)
        if option not in ("0", "1"):
            raise WrongUsage(f"exclusion '{text}'", remedy="write DECISION=0 or DECISION=1")
        return cls(decision, int(option))


@dataclass(frozen=True, eq=False)
class Options:
    """What is possible for n patients."""

    allowed: Flags
    """(n, decisions, 2)"""
    reasons: tuple[dict[tuple[str, int], str], ...]
    """For each patient, why an option of a decision is not possible"""
    barred_manners: tuple[frozenset[tuple[str, str]], ...]
    """For each patient, manners of decisions that are not possible"""

    @classmethod
    def of(cls, spec: Specification, frame: pd.DataFrame, excluded: Sequence[Exclusion] = ()) -> Self:
        """By what is recorded of the patients of a typed frame, and what is ruled out for all of them.

        Raises:
            WrongUsage: both options of a decision are ruled out.
        """
        _refuse_nothing_left(excluded)
        columns = [decision.column for decision in spec.decisions]
        allowed = np.ones((len(frame), len(columns), 2), dtype=bool)
        reasons: list[dict[tuple[str, int], str]] = [{} for _ in range(len(frame))]
        barred: list[set[tuple[str, str]]] = [set() for _ in range(len(frame))]
        for rule in spec.contraindications:
            for row in np.flatnonzero(_applies(rule, frame)).tolist():
                if rule.manner is None:
                    allowed[row, columns.index(rule.decision), 1] = False
                    reasons[row].setdefault((rule.decision, 1), rule.reason)
                else:
                    barred[row].add((rule.decision, rule.manner))
        for one in excluded:
            place = columns.index(one.decision)
            still = allowed[:, place, 1 - one.option]
            allowed[still, place, one.option] = False
            for row in np.flatnonzero(still).tolist():
                reasons[row].setdefault((one.decision, one.option), RULED_OUT)
        return cls(allowed, tuple(reasons), tuple(frozenset(manners) for manners in barred))


def _refuse_nothing_left(excluded: Sequence[Exclusion]) -> None:
    for one in excluded:
        if Exclusion(one.decision, 1 - one.option) in excluded:
            raise WrongUsage(f"both options of {one.decision} are ruled out", remedy="leave one of them")


def _applies(rule: Contraindication, frame: pd.DataFrame) -> Flags:
    """(n,) whether everything holds that a rule asks for; what is not recorded does not."""
    if not all(expected.column in frame for expected in rule.when):
        return np.zeros(len(frame), dtype=bool)
    holds = [expected.holds_of(frame[expected.column]) for expected in rule.when]
    return np.asarray(np.logical_and.reduce(holds))
