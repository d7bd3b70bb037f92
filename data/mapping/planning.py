"""A mapping and a table in, the columns to build out: every name that fits neither file nor dictionary is a finding."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.mapping.model import AnyOf, BetweenDates, Derivation, FromNumber, Mapping, Matches
from data.reader.table import RawTable
from data.schema import Column, ColumnType, Specification
from data.units import conversion_factor, convertible_units

_NAMES_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Step:
    """One canonical column to build."""

    target: Column
    source: str | None
    """Source column that holds its values; ``None`` when it is derived."""
    derivation: Derivation | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads."""
        if self.source is not None:
            return (self.source,)
        return self.derivation.sources if self.derivation else ()

    @property
    def label(self) -> str:
        """What findings call the source: of a time between dates, the date that ends it."""
        if isinstance(self.derivation, BetweenDates):
            return " or ".join(self.derivation.ends)
        return " and ".join(dict.fromkeys(self.sources))


def identity_mapping(table: RawTable, spec: Specification) -> Mapping:
    """The mapping of a file that is already in canonical columns: names as they are, aliases never."""
    return Mapping(columns={name: name for name in table.columns if name in spec.by_name})


def plan_columns(
    mapping: Mapping, table: RawTable, spec: Specification, findings: Findings, *, partial: bool = False
) -> list[Step]:
    """The columns that `mapping` builds from `table`, in dictionary order.

    Args:
        mapping: what a person or a suggestion wrote.
        table: the file.
        spec: the dictionary.
        findings: takes an error for each name or unit that does not exist.
        partial: the file may lack columns that the mapping reads, as a file of new patients does.
    """
    _report_specification(mapping, spec, findings)
    _report_unknown_targets(mapping, spec, findings)
    steps = [Step(spec.by_name[t], s) for s, t in mapping.columns.items() if t in spec.by_name]
    steps += [Step(spec.by_name[t], None, d) for t, d in mapping.derive.items() if t in spec.by_name]
    usable = [
        step for step in steps if _has_sources(step, table, findings, partial=partial) and _fits_target(step, findings)
    ]
    order = list(spec.by_name)
    return sorted(usable, key=lambda step: order.index(step.target.name))


def filtered(table: RawTable, mapping: Mapping, findings: Findings) -> RawTable:
    """The rows of `table` that pass every filter of `mapping`; raw cells are compared as they are, trimmed."""
    passes = np.ones(table.size, dtype=np.bool_)
    for name, wanted in mapping.filter.items():
        if name not in table.columns:
            findings.add(_missing_source(name, "filter", table, Severity.ERROR))
            continue
        listed = {value.strip() for value in wanted}
        passes &= table.columns[name].mask(listed.__contains__)
    if table.size and not passes.any():
        findings.add(_nothing_passes(mapping, table))
    return table.take(passes) if mapping.filter else table


def unused_columns(mapping: Mapping, table: RawTable, steps: Iterable[Step]) -> list[str]:
    """Source columns that nothing reads, in file order."""
    used = {source for step in steps for source in step.sources} | set(mapping.filter)
    return [name for name in table.columns if name not in used]


def report_unused(names: list[str], findings: Findings) -> None:
    """One note with all source columns that nothing reads."""
    if not names:
        return
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if names[_NAMES_SHOWN:] else "")
    findings.add(
        Finding(
            "ignored_columns",
            Severity.INFO,
            WHOLE_FILE,
            "",
            "",
            "columns that the mapping uses or the dictionary names",
            shown,
            "map them if they are needed: suggest-mapping proposes what they could be",
        )
    )


def _report_specification(mapping: Mapping, spec: Specification, findings: Findings) -> None:
    if mapping.spec is not None and mapping.spec != spec.name:
        findings.add(
            Finding(
                "other_specification",
                Severity.ERROR,
                WHOLE_FILE,
                "",
                "",
                f"a mapping for '{spec.name}'",
                f"one for '{mapping.spec}'",
                "choose that specification, or write a mapping for this one",
            )
        )


def _report_unknown_targets(mapping: Mapping, spec: Specification, findings: Findings) -> None:
    mentioned = {target: source for source, target in mapping.columns.items()}
    mentioned |= {target: "" for target in (*mapping.derive, *mapping.values) if target not in mentioned}
    for target, source in mentioned.items():
        if target not in spec.by_name:
            remedy = f"correct the name in the mapping{_nearest(target, spec.by_name)}"
            expected = f"a column of the dictionary '{spec.name}'"
            findings.add(
                Finding("unknown_target", Severity.ERROR, WHOLE_FILE, source, target, expected, repr(target), remedy)
            )


def _has_sources(step: Step, table: RawTable, findings: Findings, *, partial: bool) -> bool:
    missing = [name for name in dict.fromkeys(step.sources) if name not in table.columns]
    severity = Severity.INFO if partial else Severity.ERROR
    findings.extend(_missing_source(name, step.target.name, table, severity) for name in missing)
    return not missing


def _missing_source(name: str, target: str, table: RawTable, severity: Severity) -> Finding:
    remedy = f"correct the name in the mapping{_nearest(name, table.columns)}"
    expected = "a column of this name in the file"
    canonical = "" if target == "filter" else target
    return Finding("missing_source", severity, WHOLE_FILE, name, canonical, expected, "no such column", remedy)


def _nearest(name: str, available: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(available), n=1)
    return f" (nearest: {near[0]})" if near else ""


def _fits_target(step: Step, findings: Findings) -> bool:
    """Whether the kind of derivation can make the kind of column; reports it where not."""
    if step.derivation is None:
        return True
    problem = _misfit(step.derivation, step.target)
    if problem:
        expected, got, remedy = problem
        findings.add(
            Finding(
                "impossible_derivation",
                Severity.ERROR,
                WHOLE_FILE,
                step.label,
                step.target.name,
                expected,
                got,
                remedy,
            )
        )
    return problem is None


def _misfit(derivation: Derivation, target: Column) -> tuple[str, str, str] | None:
    """What was expected, what came and what to do, where `derivation` cannot make `target`."""
    if isinstance(derivation, AnyOf | Matches) and target.type is not ColumnType.FLAG:
        return "a flag as target", f"a {target.type.value}", "derive flags only with `any_of` and `matches`"
    wrong = [unit for unit in _units(derivation) if conversion_factor(unit, target.unit) is None]
    if wrong:
        expected = (
            "a unit out of " + ", ".join(convertible_units(target.unit)) if target.unit else "a column with a unit"
        )
        return expected, ", ".join(wrong), "correct the unit or the target in the mapping"
    return None


def _units(derivation: Derivation) -> list[str]:
    """Units of the numbers that `derivation` computes."""
    match derivation:
        case FromNumber():
            return [derivation.unit]
        case BetweenDates():
            return ["days", *(_units(derivation.otherwise) if derivation.otherwise else ())]
        case _:
            return []


def _nothing_passes(mapping: Mapping, table: RawTable) -> Finding:
    name = next((name for name in mapping.filter if name in table.columns), "")
    present = list(table.columns[name].frequencies())[:10] if name else []
    return Finding(
        "filter_matches_nothing",
        Severity.ERROR,
        WHOLE_FILE,
        name,
        "",
        "rows that pass the filter",
        f"none; the column holds {', '.join(map(repr, present))}",
        "correct the values of the filter: they are compared exactly",
    )
