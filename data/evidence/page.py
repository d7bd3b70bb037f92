"""The evidence in words: the tables of published effects and of effect terms in, their documentation page out.

Run ``python -m data.evidence.page --out docs/evidence.md`` after every change of a table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.dictionary import DEFAULT_SPECIFICATION, load_specification
from data.evidence.load import load_evidence
from data.evidence.table import NO, YES, Basis, Design, Evidence, GivenAs, Measure, PublishedEffect, Spread
from data.evidence.terms import StateTerm, TermRow, load_term_rows
from data.schema import Specification

_MEASURES = {Measure.HAZARD_RATIO: "HR", Measure.ODDS_RATIO: "OR"}

NOT_SHOWN = "steers the prior, not verified: number not shown"
"""In place of an effect that nobody read in a text"""

_DESIGNS = {
    Design.META_ANALYSIS: "pooled randomised trials",
    Design.RANDOMISED: "randomised trial",
    Design.OBSERVATIONAL: "observational",
}


def evidence_page(spec: Specification, evidence: Evidence, terms: Sequence[TermRow] = ()) -> str:
    """The documentation page of the published effects of a disease, and of its effect terms, in Markdown."""
    return "\n".join(
        [
            f"# Published effects of treatment: {spec.label}",
            "",
            "This page is generated from the table of published effects; change that, not this page.",
            "",
            *_reading_guide(),
            *(line for decision in evidence.decisions for line in _decision(spec, evidence, decision)),
            *_terms(spec, terms),
            *_unread(spec, evidence),
            *_missing(spec, evidence),
        ]
    )


def _reading_guide() -> Iterator[str]:
    yield "## How to read it"
    yield ""
    yield "A ratio below 1 means that the first option of the comparison lowers the risk: HR a hazard ratio, OR an odds"
    yield "ratio, with the 95 % interval unless another is named. A ratio marked * is not printed as such by its source"
    yield "and was worked out as the note says."
    yield ""
    yield "**Used** says that the effect enters the prior of a model, as one observation of the average effect on"
    yield "those it applies to, with that standard deviation (SD) of its logarithm and more for being carried over to"
    yield "other patients. Used effects may apply to the same patients and may disagree. Every other row is context and"
    yield "moves no figure."
    yield ""
    yield "A figure is printed only if it was read in a text that can be named (*read in*). One that is recalled and"
    yield "was not read may steer the prior, with a wide assumed SD; its row says so and names the source. Where no row"
    yield "behind a prior was read, screen and model card call it assumed and print no ratio as published."
    yield ""


def _decision(spec: Specification, evidence: Evidence, decision: str) -> Iterator[str]:
    shown = [effect for effect in evidence.effects if effect.verified or effect.used]
    effects = [effect for effect in shown if effect.decision == decision]
    if not effects:
        return
    yield f"## {_label(spec, decision)}"
    yield ""
    for outcome in spec.outcomes:
        rows = [effect for effect in effects if effect.outcome == outcome.name]
        if rows:
            yield f"### {outcome.label}"
            yield ""
            header = ("used", "effect", "comparison", "for whom", "patients", "design", "source", "note")
            yield from _table(header, map(_cells, sorted(rows, key=lambda effect: not effect.used)))


def _cells(effect: PublishedEffect) -> Sequence[str]:
    """One row; of an effect that was not read nothing that may be a figure of its source."""
    scope = [f"Applied to `{effect.group}`."] if effect.group.clauses else []
    return (
        f"**used**, SD {effect.log_sd or 0:.2f}{' assumed' if effect.spread is Spread.ASSUMED else ''}"
        if effect.used
        else "context",
        _ratio(effect) if effect.verified else NOT_SHOWN,
        _comparison(effect),
        " ".join([f"{effect.population}.", *scope]),
        str(effect.patients or "") if effect.verified else "",
        _DESIGNS[effect.design],
        _source(effect) + (f"; [read in]({effect.read_in})" if effect.verified else ""),
        _note(effect) if effect.verified else "",
    )


def _source(effect: PublishedEffect) -> str:
    return f"{effect.source} ({effect.doi_or_pmid})" if effect.doi_or_pmid else effect.source


def _note(effect: PublishedEffect) -> str:
    return " ".join([*([f"Measured: {effect.endpoint}."] if effect.endpoint else []), effect.note])


def _ratio(effect: PublishedEffect) -> str:
    mark = "" if effect.given_as is GivenAs.RATIO else "*"
    text = f"{_MEASURES[effect.measure]} {effect.effect:.2f}{mark}"
    if effect.lower is not None and effect.upper is not None and effect.interval_level is not None:
        level = "" if effect.interval_level == 0.95 else f", {effect.interval_level:.0%} interval"
        return f"{text} ({effect.lower:.2f} to {effect.upper:.2f}{level})"
    return text if effect.p_value is None else f"{text} (P {effect.p_value:g})"


def _comparison(effect: PublishedEffect) -> str:
    if (effect.option, effect.against) == (YES, NO):
        return "given against not given"
    return f"{effect.option} against {effect.against}"


def _terms(spec: Specification, rows: Sequence[TermRow]) -> Iterator[str]:
    if not rows:
        return
    yield "## What is assumed of effects"
    yield ""
    yield "Every decision has an effect on each outcome; before any evidence its log ratio is 0 with an SD of 0.5 (of"
    yield "an odds ratio 1), unless a row says otherwise. A row on patients or a state adds to that effect in whom it"
    yield "names: the ratio is that of the effect there to the effect in the others, with the SD of its logarithm. A"
    yield "state is seen before the decision; until it is, the decision has its average effect. All of these are"
    yield "assumed."
    yield ""
    header = ("decision", "outcome", "what", "ratio", "SD", "reason")
    yield from _table(header, (_term_cells(spec, row) for row in rows))


def _term_cells(spec: Specification, row: TermRow) -> Sequence[str]:
    term = row.term
    read = term.state if isinstance(term, StateTerm) else term.group
    return (
        _label(spec, term.decision),
        spec.outcome(row.outcome).label if row.outcome else "every outcome",
        " ".join([term.name or "the effect itself", *([f"(`{read}`)"] if read else [])]),
        f"{math.exp(term.prior_mean):.2f}",
        f"{term.prior_sd:.2f}",
        row.reason,
    )


def _unread(spec: Specification, evidence: Evidence) -> Iterator[str]:
    effects = [effect for effect in evidence.effects if not (effect.verified or effect.used)]
    if not effects:
        return
    yield "## Known of and not read"
    yield ""
    yield "Figures that stand in the table and were not read in a text: they move nothing and are not printed here."
    yield ""
    yield from _table(
        ("decision", "outcome", "comparison", "for whom", "source"),
        (
            (
                _label(spec, effect.decision),
                spec.outcome(effect.outcome).label,
                _comparison(effect),
                effect.population,
                _source(effect),
            )
            for effect in effects
        ),
    )


def _missing(spec: Specification, evidence: Evidence) -> Iterator[str]:
    yield "## What is missing"
    yield ""
    yield "No published effect is used for:"
    yield ""
    yield from _resting_on(spec, evidence, Basis.NONE)
    yield ""
    unread = list(_resting_on(spec, evidence, Basis.UNREAD))
    if unread:
        yield "No published figure stands behind these: they are assumed, from sources that nobody here could read."
        yield ""
        yield from unread
        yield ""
    if evidence.open_questions:
        yield evidence.open_questions
        yield ""


def _resting_on(spec: Specification, evidence: Evidence, basis: Basis) -> Iterator[str]:
    """An item a subject that has such outcomes."""
    for subject in dict.fromkeys([*(decision.column for decision in spec.decisions), *evidence.decisions]):
        found = [outcome.label.lower() for outcome in spec.outcomes if evidence.basis(subject, outcome.name) is basis]
        if found:
            yield f"* {_label(spec, subject)}: {', '.join(found)}"


def _label(spec: Specification, column: str) -> str:
    decisions = {decision.column: decision.label for decision in spec.decisions}
    return decisions.get(column) or spec.column(column).label


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(header)
    yield _line(["---"] * len(header))
    yield from map(_line, rows)
    yield ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of the published effects of a disease to a file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as docs/evidence.md")
    parser.add_argument("--spec", default=DEFAULT_SPECIFICATION, help="name or TOML file of a specification")
    chosen = parser.parse_args(arguments)
    spec = load_specification(chosen.spec)
    chosen.out.write_text(evidence_page(spec, load_evidence(spec), load_term_rows(spec)), encoding="utf-8")


if __name__ == "__main__":
    main()
