"""A table and a dictionary in, the mapping that is sure out; what is not sure stands in it as an open question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from data.checks.status import main_event, tells
from data.findings import Finding, Findings
from data.mapping.model import Derivation, FromNumber, Mapping, ReadOptions, Unresolved
from data.names import Strength
from data.reader.limits import COMMAND_LINE_LIMITS, Limits
from data.reader.read import read_table
from data.reader.table import FloatArray, RawTable
from data.schema import Specification
from data.suggestion.disease import disease_filter
from data.suggestion.matching import Match, best_matches, look_alikes, resembling

DONE: Final = 0
UNREADABLE: Final = 2
OPEN_QUESTIONS: Final = 3
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggested mapping with what was seen while the file was read."""

    file: str
    mapping: Mapping | None
    """``None`` where the file is unreadable."""
    findings: tuple[Finding, ...]
    exit: int
    """0 all that is required is mapped, 3 questions are open, 2 unreadable."""


def suggest_mapping_for_source(
    content: bytes, file_name: str, spec: Specification, limits: Limits = COMMAND_LINE_LIMITS
) -> Suggestion:
    """The suggestion for the bytes of a file; unreadable ones come with the findings that say why."""
    findings = Findings()
    table = read_table(content, findings, limits)
    if table is None:
        return Suggestion(file_name, None, tuple(findings.listed), UNREADABLE)
    mapping = _asking_about_duplicates(suggest_mapping(table, spec), findings)
    return Suggestion(file_name, mapping, tuple(findings.listed), suggestion_exit(mapping, spec))


def _asking_about_duplicates(mapping: Mapping, findings: Findings) -> Mapping:
    """`mapping` with a question for each name that two columns share: which of them is meant cannot be known."""
    doubled = {finding.column for finding in findings if finding.code == "duplicate_column"}
    if not doubled:
        return mapping
    questions = [
        _question(name, "two columns have this name", [mapping.columns[name]] if name in mapping.columns else [])
        for name in sorted(doubled)
    ]
    sure = {source: target for source, target in mapping.columns.items() if source not in doubled}
    return mapping.model_copy(update={"columns": sure, "unresolved": (*mapping.unresolved, *questions)})


def suggestion_exit(mapping: Mapping, spec: Specification) -> int:
    """0 where every required column is mapped and nothing is open, else 3."""
    produced = {*mapping.columns.values(), *mapping.derive}
    complete = all(column.name in produced for column in spec.columns if column.required)
    return DONE if complete and not mapping.unresolved else OPEN_QUESTIONS


def suggest_mapping(raw: RawTable, spec: Specification) -> Mapping:
    """The mapping that names, levels, synonyms, types and ranges make sure.

    A column is mapped when its name says what it is and its cells agree. Anything else that may matter becomes a
    question: a wrong guess is worse than an open question.
    """
    disease = disease_filter(raw, spec)
    table = raw.take(disease.rows)
    questions = list(disease.questions)
    sure: list[Match] = []
    for source in table.columns:
        if source not in disease.filter:
            _sort_out(source, table, spec, sure, questions)
    sure = _without_rivals(sure, table, questions)
    sure = _without_contradicted(sure, table, spec, questions)
    questions += [_leftovers(match) for match in sure if match.fit.unplaced]
    questions += _nothing_for_required(sure, questions, spec)
    order = list(table.columns)
    questions.sort(key=lambda question: order.index(question.column) if question.column in order else len(order))
    return Mapping(
        columns={match.source: match.column.name for match in sure if not match.needs_conversion},
        values={match.column.name: match.fit.spelled for match in sure if match.fit.spelled},
        derive={match.column.name: _conversion(match) for match in sure if match.needs_conversion},
        filter=disease.filter,
        read=ReadOptions.model_validate({"delimiter": table.delimiter, "encoding": table.encoding}),
        spec=spec.name,
        unresolved=tuple(questions),
    )


def _conversion(match: Match) -> Derivation:
    return FromNumber.model_validate({"from": match.source, "unit": match.unit})


def _sort_out(
    source: str, table: RawTable, spec: Specification, sure: list[Match], questions: list[Unresolved]
) -> None:
    """Put a source column among what is sure, among the questions, or nowhere."""
    matches = best_matches(source, table, spec)
    doubts = [match.doubt() for match in matches]
    if len(matches) == 1 and doubts[0] is None:
        sure.append(matches[0])
    elif matches:
        reason = doubts[0] if len(matches) == 1 else "its name fits several columns"
        questions.append(_question(source, str(reason), [match.column.name for match in matches]))
    else:
        alike = look_alikes(source, table, spec) or resembling(source, table, spec)
        if alike:
            questions.append(_question(source, alike.reason, list(alike.candidates)))


def _question(source: str, reason: str, candidates: list[str]) -> Unresolved:
    return Unresolved(column=source, reason=reason, candidates=tuple(candidates))


def _without_rivals(sure: list[Match], table: RawTable, questions: list[Unresolved]) -> list[Match]:
    """One match a canonical column: where several could be it, the one of its very name if the others agree."""
    kept = []
    for target in dict.fromkeys(match.column.name for match in sure):
        rivals = [match for match in sure if match.column.name == target]
        exact = [match for match in rivals if match.strength is Strength.EXACT]
        disagreeing = sum(_disagreements(exact[0], rival, table) for rival in rivals) if len(exact) == 1 else None
        if len(rivals) == 1:
            kept += rivals
        elif disagreeing == 0:
            kept += exact
        else:
            names = " and ".join(f"'{match.source}'" for match in rivals)
            extent = f", and they disagree in {disagreeing:,} rows" if disagreeing else ""
            reason = f"{len(rivals)} columns could be {target}: {names}{extent}"
            questions += [_question(match.source, reason, [target]) for match in rivals]
    return kept


def _disagreements(one: Match, other: Match, table: RawTable) -> int:
    first = np.array([one.fit.values.get(text) for text in table.columns[one.source].texts], dtype=object)
    second = np.array([other.fit.values.get(text) for text in table.columns[other.source].texts], dtype=object)
    left, right = first[table.columns[one.source].codes], second[table.columns[other.source].codes]
    both = np.array([a is not None and b is not None for a, b in zip(left, right, strict=True)], dtype=np.bool_)
    return int(np.sum(both & (left != right)))


def _without_contradicted(
    sure: list[Match], table: RawTable, spec: Specification, questions: list[Unresolved]
) -> list[Match]:
    """Take the main event back where another column of the file tells it differently."""
    event = main_event(spec)
    match = next((match for match in sure if match.column.name == event), None)
    if match is None:
        return sure
    taken = {match.source for match in sure}
    for name, cells in table.columns.items():
        told = tells(name, cells, event, spec) if name not in taken else None
        differs = _differs(match, told, table) if told is not None else 0
        if differs:
            reason = f"'{match.source}' and '{name}' tell {event} differently in {differs:,} rows"
            questions += [_question(source, reason, [event]) for source in (match.source, name)]
            return [other for other in sure if other is not match]
    return sure


def _differs(match: Match, told: FloatArray, table: RawTable) -> int:
    cells = table.columns[match.source]
    numbers = np.array([match.fit.values.get(text, np.nan) for text in cells.texts], dtype=np.float64)[cells.codes]
    return int(np.sum(~np.isnan(numbers) & ~np.isnan(told) & (numbers != told)))


def _leftovers(match: Match) -> Unresolved:
    cells = sorted(match.fit.unplaced.items(), key=lambda item: -item[1])
    shown = ", ".join(f"'{text}' x {count}" for text, count in cells[:_SHOWN])
    more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    reason = f"cells that are not {match.column.expected()}: {shown}{more}: say in `values` what they mean"
    return _question(match.source, reason, [match.column.name])


def _nothing_for_required(sure: list[Match], questions: list[Unresolved], spec: Specification) -> list[Unresolved]:
    found = {match.column.name for match in sure} | {name for question in questions for name in question.candidates}
    return [
        _question("", f"no column looks like {column.name} ({column.label}), which every row needs", [column.name])
        for column in spec.columns
        if column.required and column.name not in found
    ]
