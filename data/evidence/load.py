"""The table of published effects of a disease in, verified typed `Evidence` out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Final

from data.evidence.cells import Cells, fault, read_rows, refuse, shipped
from data.evidence.table import NO, YES, Design, Evidence, GivenAs, Measure, PublishedEffect
from data.schema import UNKNOWN, Column, ColumnType, Decision, OutcomeKind, Specification

_HEADER: Final = tuple(entry.name for entry in fields(PublishedEffect))
_OFF_CENTRE: Final = 0.15
"""How far an effect may lie from the middle of its interval, as a share of its length on the log scale: rounding to
two decimals moves it by less, two digits swapped by more."""


def load_evidence(spec: Specification) -> Evidence:
    """The published effects that stand under the name of `spec`; none when there is no such table.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    path = shipped(spec.name)
    return read_evidence(path, spec) if path else Evidence()


def read_evidence(path: Path, spec: Specification) -> Evidence:
    """The published effects in the table at `path`, with the open questions of the Markdown file beside it, if any.

    Raises:
        SpecificationError: the table breaks its rules; every fault with line, column, expected, got and remedy.
    """
    effects: list[tuple[int, PublishedEffect]] = []
    faults: list[str] = []
    for line, row in read_rows(path, _HEADER):
        cells = _EffectCells(line, row, spec)
        effects.append((line, cells.effect()))
        faults += cells.faults
    refuse(path, faults or list(_disagreements(effects, spec)))
    open_questions = path.with_name(f"{path.stem}_open.md")
    text = open_questions.read_text(encoding="utf-8") if open_questions.is_file() else ""
    return Evidence(tuple(effect for _, effect in effects), text.strip())


class _EffectCells(Cells):
    """The cells of a row of published effects."""

    def effect(self) -> PublishedEffect:
        """The effect; worth something only without faults."""
        self.check_surplus()
        effect = PublishedEffect(
            id=self.text("id"),
            decision=self.text("decision"),
            option=self.text("option"),
            against=self.text("against"),
            outcome=self.text("outcome"),
            endpoint=self.row["endpoint"],
            measure=self.one_of("measure", Measure, Measure.HAZARD_RATIO),
            effect=self.required("effect"),
            lower=self.number("lower"),
            upper=self.number("upper"),
            interval_level=self.number("interval_level", below=1.0),
            p_value=self.number("p_value", below=1.0),
            prior_sd=self.number("prior_sd"),
            group=self.group(),
            population=self.text("population"),
            patients=self.whole("patients"),
            year=self.whole("year"),
            design=self.one_of("design", Design, Design.OBSERVATIONAL),
            given_as=self.one_of("given_as", GivenAs, GivenAs.RATIO),
            source=self.text("source"),
            doi_or_pmid=self.row["doi_or_pmid"],
            read_in=self.row["read_in"],
            verified=self.flag("verified"),
            used=self.flag("used"),
            note=self.row["note"],
        )
        if not self.faults:
            self.check_interval(effect)
            self.check_terms(effect)
            self.check_standing(effect)
        return effect

    def check_interval(self, effect: PublishedEffect) -> None:
        """An interval is whole or absent, and its effect lies near its middle on the log scale."""
        parts = (effect.lower, effect.upper, effect.interval_level)
        if effect.lower is None or effect.upper is None or effect.interval_level is None:
            if any(part is not None for part in parts):
                self.fault("interval_level", "lower, upper and interval_level, or none of them", str(parts), "complete")
            return
        length = math.log(effect.upper / effect.lower)
        middle = math.log(effect.upper * effect.lower) / 2.0
        if length <= 0.0 or abs(effect.log_ratio - middle) > _OFF_CENTRE * length:
            expected = (
                f"an effect near the middle of {effect.lower:g} to {effect.upper:g}, about {math.exp(middle):.3g}"
            )
            self.fault("effect", expected, self.row["effect"], "compare the three figures with the publication")

    def check_terms(self, effect: PublishedEffect) -> None:
        """Decision, outcome, measure and group are the specification's, and the group is known when deciding."""
        decision = _decidable(self.spec).get(effect.decision)
        if decision is None:
            expected = "one of " + ", ".join(_decidable(self.spec))
            self.fault("decision", expected, effect.decision, "name a decision or how one is carried out")
        else:
            self.check_known("group", effect.group.columns, decision.moment)
        outcome = next((entry for entry in self.spec.outcomes if entry.name == effect.outcome), None)
        if outcome is None:
            expected = "one of " + ", ".join(entry.name for entry in self.spec.outcomes)
            self.fault("outcome", expected, effect.outcome, "name an outcome of the specification")
        elif (outcome.kind is OutcomeKind.BINARY) != (effect.measure is Measure.ODDS_RATIO):
            measure = Measure.ODDS_RATIO if outcome.kind is OutcomeKind.BINARY else Measure.HAZARD_RATIO
            self.fault("measure", f"{measure} for {outcome.name}", effect.measure, "convert it or leave the row out")

    def check_standing(self, effect: PublishedEffect) -> None:
        """A verified row names the text it was read in; a used one has known options and a spread."""
        if effect.verified != bool(effect.read_in):
            expected = "the address of the text read, for verified rows and no others"
            self.fault("read_in", expected, effect.read_in, "name the text or set verified to no")
        if effect.prior_sd is not None and "assumed" not in effect.note:
            self.fault("note", "a word that prior_sd is assumed, and why", effect.note, "say so, or drop prior_sd")
        if not effect.used:
            return
        if not effect.verified and effect.prior_sd is None:
            expected = "an assumed standard deviation, because the figure was not read in a text"
            self.fault("prior_sd", expected, "", "assume a wide one, or read the figure first, or set used to no")
        elif not effect.log_sd:
            self.fault("used", "an interval, a P value or prior_sd", YES, "complete the row or set used to no")
        options = _options(effect.decision, self.spec)
        if effect.option == effect.against or not {effect.option, effect.against} <= set(options):
            expected = "two different ones of " + ", ".join(options)
            self.fault("option", expected, f"{effect.option} against {effect.against}", "set used to no or correct it")


def _decidable(spec: Specification) -> dict[str, Decision]:
    """Columns that an effect may be about, with the decision they belong to."""
    own = {decision.column: decision for decision in spec.decisions}
    return own | {decision.manner: decision for decision in spec.decisions if decision.manner}


def _options(name: str, spec: Specification) -> tuple[str, ...]:
    column: Column | None = spec.by_name.get(name)
    if column is None or column.type is not ColumnType.CATEGORY:
        return (YES, NO)
    return tuple(level for level in column.levels if level != UNKNOWN)


def _disagreements(effects: list[tuple[int, PublishedEffect]], spec: Specification) -> Iterator[str]:
    """Rows that share a name, and used rows about the manner of a decision that have no option in common."""
    manners = [decision.manner for decision in spec.decisions]
    for (first, one), (second, two) in combinations(effects, 2):
        if one.id == two.id:
            yield fault(second, "id", f"a name that line {first} does not have", two.id, "give each row its own")
        rivals = one.used and two.used and (one.decision, one.outcome) == (two.decision, two.outcome)
        if rivals and one.decision in manners and one.against != two.against:
            expected = f"'{one.against}' as in line {first}, so that both compare with the same"
            yield fault(second, "against", expected, two.against, "turn the ratio round, or leave one as context")
