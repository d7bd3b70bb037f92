"""Numbers and records in the words a clinician uses; the same words in figures, tables and text alternatives."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from string import Formatter
from typing import Final

from data.evidence import Comparison, Condition, Group
from data.schema import Column, ColumnType, Role, Specification
from twin.record import PatientRecord

MISSING: Final = "unknown"
COMPARED: Final = {
    Comparison.AT_MOST: "at most",
    Comparison.AT_LEAST: "at least",
    Comparison.BELOW: "below",
    Comparison.ABOVE: "above",
}
OUTSIDE: Final = "outside what the cohort supports"
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&])")


def plain(text: str) -> str:
    """Text that comes from a file or a person, safe inside Markdown: no link, image or formula hides in it."""
    for start in ("://", "www.", "@"):  # what Markdown would turn into a link although it is escaped
        text = text.replace(start, f"{start[:-1]}\u200b{start[-1]}" if len(start) > 1 else f"{start}\u200b")
    return _MARKDOWN.sub(r"\\\1", text)


def value_text(column: Column, value: object) -> str:
    """A recorded value as read aloud: levels without underscores, flags as yes or no, whole numbers without a point."""
    if value is None:
        return MISSING
    if column.type is ColumnType.FLAG:
        return "yes" if float(str(value)) == 1.0 else "no"
    if column.is_numeric:
        return f"{float(str(value)):g}"
    return str(value).replace("_", " ")


def introduction(record: PatientRecord) -> str:
    """The facts an oncologist would say aloud, e.g. ``58-year-old male · HPV positive · T3 N2``."""
    return " · ".join(_phrase(record, phrase) for phrase in record.spec.summary)


def _phrase(record: PatientRecord, phrase: str) -> str:
    names = [name for _, name, _, _ in Formatter().parse(phrase) if name]
    if all(record.values.get(name) is None for name in names):
        return " and ".join(record.spec.column(name).label.lower() for name in names) + f" {MISSING}"
    return phrase.format_map({name: _spoken(record.spec.column(name), record.values.get(name)) for name in names})


def _spoken(column: Column, value: object) -> str:
    """A value as said aloud: numbers are rounded, nobody says 71.3 years."""
    return f"{value:.0f}" if isinstance(value, float) else value_text(column, value)


def unknown_covariates(record: PatientRecord, recorded: Collection[str]) -> list[str]:
    """Labels of what the cohort records before treatment and this patient lacks, in dictionary order."""
    columns = record.spec.available_before(record.spec.decisions[0].moment) if record.spec.decisions else ()
    return [
        column.label
        for column in columns
        if column.role is Role.COVARIATE and column.name in recorded and _is_unknown(record, column)
    ]


def _is_unknown(record: PatientRecord, column: Column) -> bool:
    return record.values.get(column.name) in (None, MISSING)


def percent(risk: float) -> str:
    """A probability in per cent: whole numbers, and below one per cent said so."""
    shown = 100.0 * risk
    return "< 1 %" if 0.0 < shown < 0.5 else f"{shown:.0f} %"


def percent_range(risk: float, lower: float, upper: float) -> str:
    """A probability with its interval, e.g. ``15 % (11-20)``."""
    return f"{percent(risk)} ({100 * lower:.0f}-{100 * upper:.0f})"


def out_of_hundred(risk: float) -> str:
    """A probability as a natural frequency, e.g. ``15 of 100``."""
    count = round(100 * risk)
    return "fewer than 1 of 100" if count == 0 and risk > 0 else f"{count} of 100"


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``1 finding`` and ``1,200 rows``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def plan_name(spec: Specification, plan: str) -> str:
    """A plan in words with its digits, e.g. ``Induction + chemoradiation (110)``."""
    label = spec.plan_label(plan)
    return f"{label[:1].upper()}{label[1:]} ({plan})"


def percent_span(lower: float, upper: float) -> str:
    """An interval of a probability without the probability, e.g. ``11-20 %``."""
    return f"{100 * lower:.0f}-{100 * upper:.0f} %"


def capitalised(text: str) -> str:
    """Words as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """Words as a part of a sentence, e.g. ``one, two and three``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def input_text(spec: Specification, name: str) -> str:
    """An input of a model as read aloud, e.g. ``t_stage T4`` as ``T stage T4``."""
    source, _, level = name.partition(" ")
    labels = {feature.name: feature.label for feature in spec.features}
    labels |= {column.name: column.label for column in spec.columns}
    labels |= {decision.column: decision.label for decision in spec.decisions}
    return f"{labels.get(source, source)} {level.replace('_', ' ')}".rstrip()


def group_text(spec: Specification, group: Group) -> str:
    """A group of patients as read aloud, e.g. ``HPV negative and (T stage T4 or N stage N3)``."""
    clauses = [" or ".join(_condition_text(spec, condition) for condition in clause) for clause in group.clauses]
    return " and ".join(f"({said})" if " or " in said and len(clauses) > 1 else said for said in clauses)


def _condition_text(spec: Specification, condition: Condition) -> str:
    column = spec.column(condition.column)
    if condition.comparison is Comparison.EQUAL:
        value: object = float(condition.value) if column.is_numeric else condition.value
        return f"{column.label} {value_text(column, value)}"
    return f"{column.label} {COMPARED[condition.comparison]} {condition.value} {column.unit}".rstrip()
