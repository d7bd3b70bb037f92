"""The dictionary in words: a specification in, its documentation page and the help text of a column out.

Run ``python -m data.dictionary_page --out docs/dictionary.md`` after every change of a specification.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.dictionary import DEFAULT_SPECIFICATION, load_specification
from data.schema import (
    Column,
    Contradiction,
    Decision,
    Expectation,
    Outcome,
    OutcomeKind,
    RatioRule,
    Role,
    Specification,
)

_ROLES = {
    Role.KEY: "identifies the patient",
    Role.COVARIATE: "describes the patient or the disease",
    Role.AUDIT: "compares groups and describes the cohort",
    Role.CHECK: "checked against other columns",
    Role.DECISION: "a decision",
    Role.STATE: "seen after a decision",
    Role.TIME: "time of an outcome",
    Role.EVENT: "whether an outcome happened",
    Role.BINARY: "whether an outcome happened by a stated month",
}

_KINDS = {
    OutcomeKind.SURVIVAL: "time to event",
    OutcomeKind.COMPETING: "time to event with a competing event",
    OutcomeKind.BINARY: "yes or no",
}


def column_help(column: Column) -> str:
    """What a person should know before filling a column in: meaning, values, when known, whether it may be missing."""
    missing = "Every patient needs a value." if column.required else "May be missing."
    identifier = " Use a pseudonym, never a name or record number." if column.identifier else ""
    return f"{column.label}: {column.expected()}. Known from: {_words(column.available_from)}. {missing}{identifier}"


def dictionary_page(spec: Specification) -> str:
    """The documentation page of a specification, in Markdown."""
    return "\n".join(
        [
            f"# Dictionary: {spec.label}",
            "",
            f"Specification `{spec.name}`, version {spec.version}: {len(spec.columns)} columns, one row per patient.",
            "This page is generated from the specification; change that, not this page.",
            "",
            *_reading_guide(spec),
            *_columns(spec),
            *_decisions(spec),
            *_landmarks(spec),
            *_outcomes(spec),
            *_features(spec),
            *_rules(spec),
        ]
    )


def _reading_guide(spec: Specification) -> Iterator[str]:
    order = " < ".join(f"`{moment}`" for moment in spec.moments)
    yield "## When a value is known"
    yield ""
    yield f"In this order: {order}."
    yield "A question asked at one moment is answered from the columns that are known before it, and from no others."
    yield f"The length of follow-up is `{spec.follow_up}`; every other time lies within it."
    yield ""


def _columns(spec: Specification) -> Iterator[str]:
    yield "## Columns"
    yield ""
    for moment in spec.moments:
        columns = [column for column in spec.columns if column.available_from == moment]
        if columns:
            yield f"### Known from `{moment}`"
            yield ""
            yield from _table(
                ("column", "meaning", "values", "unit", "may be missing", "what it is for", "also recognised as"),
                (_column_cells(column) for column in columns),
            )


def _column_cells(column: Column) -> Sequence[str]:
    aliases = ", ".join(f"`{alias}`" for alias in column.aliases)
    missing = "no" if column.required else "yes"
    return (f"`{column.name}`", column.label, column.expected(), column.unit, missing, _ROLES[column.role], aliases)


def _decisions(spec: Specification) -> Iterator[str]:
    if not spec.decisions:
        return
    yield "## Decisions"
    yield ""
    yield f"A plan is {len(spec.decisions)} digits, one per decision in this order: 1 yes, 0 no, - still open."
    yield ""
    yield from _table(
        ("digit", "decision", "column", "taken at", "takes effect", "in words"),
        (_decision_cells(number, decision) for number, decision in enumerate(spec.decisions, start=1)),
    )


def _decision_cells(number: int, decision: Decision) -> Sequence[str]:
    effect = f"month {decision.month:g}"
    if decision.month_if_previous_declined != decision.month:
        effect += f" (month {decision.month_if_previous_declined:g} when the decision before was no)"
    words = " / ".join(phrase for phrase in (decision.phrase, decision.phrase_without) if phrase)
    return (str(number), decision.label, f"`{decision.column}`", f"`{decision.moment}`", effect, words)


def _landmarks(spec: Specification) -> Iterator[str]:
    if not spec.landmarks:
        return
    yield "## Landmarks"
    yield ""
    yield "States between decisions are seen in those who are alive then; whoever died before has no state to miss."
    yield ""
    yield from _table(
        ("moment", "what is seen", "about month"),
        ((f"`{mark.moment}`", mark.label, f"{mark.month:g}") for mark in spec.landmarks),
    )


def _outcomes(spec: Specification) -> Iterator[str]:
    yield "## Outcomes"
    yield ""
    yield from _table(
        ("outcome", "kind", "event", "time", "competing event"),
        (_outcome_cells(spec, outcome) for outcome in spec.outcomes),
    )


def _outcome_cells(spec: Specification, outcome: Outcome) -> Sequence[str]:
    time = f"`{outcome.time}`" if outcome.time else f"judged at month {outcome.month or 0:g}"
    competing = spec.outcome(outcome.competing).label if outcome.competing else ""
    return (outcome.label, _KINDS[outcome.kind], f"`{outcome.event}`", time, competing)


def _features(spec: Specification) -> Iterator[str]:
    if not spec.features:
        return
    yield "## Sums used by the models"
    yield ""
    yield from _table(
        ("sum", "of"),
        ((feature.label, ", ".join(f"`{name}`" for name in feature.members)) for feature in spec.features),
    )


def _rules(spec: Specification) -> Iterator[str]:
    if not spec.contradictions and not spec.ratios:
        return
    yield "## Rules between columns"
    yield ""
    yield "An error stops the import of its row, a warning is listed. Columns without a value break no rule."
    yield ""
    rules = [*map(_contradiction_cells, spec.contradictions), *map(_ratio_cells, spec.ratios)]
    yield from _table(("finding", "severity", "rule", "what to do"), rules)


def _contradiction_cells(rule: Contradiction) -> Sequence[str]:
    when = " and ".join(map(_expectation, rule.when))
    expect = "; ".join(map(_expectation, rule.expect))
    return (f"`{rule.code}`", rule.severity, f"when {when}: {expect}", rule.remedy)


def _ratio_cells(rule: RatioRule) -> Sequence[str]:
    bounds = f"from {rule.minimum:g} to {rule.maximum:g} {rule.unit}"
    return (f"`{rule.code}`", rule.severity, f"`{rule.numerator}` / `{rule.denominator}` {bounds}", rule.remedy)


def _expectation(wanted: Expectation) -> str:
    allowed = [" or ".join(wanted.values)] if wanted.values else []
    if wanted.minimum is not None:
        allowed.append(f"at least {wanted.minimum:g}")
    if wanted.maximum is not None:
        allowed.append(f"at most {wanted.maximum:g}")
    return f"`{wanted.column}` is {' and '.join(allowed)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(header)
    yield _line(["---"] * len(header))
    yield from map(_line, rows)
    yield ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _words(moment: str) -> str:
    return moment.replace("_", " ")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of a specification to a file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as docs/dictionary.md")
    parser.add_argument("--spec", default=DEFAULT_SPECIFICATION, help="name or TOML file of a specification")
    chosen = parser.parse_args(arguments)
    chosen.out.write_text(dictionary_page(load_specification(chosen.spec)), encoding="utf-8")


if __name__ == "__main__":
    main()
