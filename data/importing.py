"""The bytes of a file in, a report of everything seen and, where nothing stands against it, a cohort out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from data.cells import CellReader, TypedColumn, read_column
from data.checks.coherence import check_coherence
from data.checks.completeness import check_completeness
from data.checks.draft import Draft
from data.checks.identifiers import Pseudonymiser, identifying_columns, report_identifiers
from data.checks.status import check_status_columns
from data.cohort import Cohort, TimeZero, content_digest, typed_frame
from data.findings import Finding, Findings, Severity
from data.mapping.deriving import Deriver
from data.mapping.model import BetweenDates, FromNumber, Mapping
from data.mapping.planning import Step, filtered, identity_mapping, plan_columns, report_unused, unused_columns
from data.reader.limits import COMMAND_LINE_LIMITS, PAGE_LIMITS, Limits
from data.reader.marker import Marker, agreed_time_zero, check_specification, read_marker
from data.reader.read import read_table
from data.reader.table import RawTable, TextColumn
from data.schema import Specification

__all__ = [
    "COMMAND_LINE_LIMITS",
    "PAGE_LIMITS",
    "Checked",
    "ImportReport",
    "Limits",
    "check_source",
]

DONE: Final = 0
REFUSED: Final = 1
UNREADABLE: Final = 2
WITH_WARNINGS: Final = 3


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a check of a file saw and what an import would store."""

    file: str
    exit: int
    """0 done, 1 refused, 2 unreadable, 3 done with warnings or with rows left out."""
    rows: int
    """Rows read: those that pass the filters of the mapping, readable or not."""
    kept: int
    """Rows that are stored; 0 where an error stops the import."""
    findings: tuple[Finding, ...]
    """Worst first; at most a thousand."""
    counts: dict[str, int]
    """Findings per code, listed or not."""
    digest: str
    """SHA-256 of the canonical content of the rows kept; empty where nothing is."""
    ignored_columns: tuple[str, ...] = ()
    left_out_rows: tuple[int, ...] = ()
    """Record numbers of the rows with errors, which are not among those kept."""
    filtered_out: int = 0
    delimiter: str = ""
    encoding: str = ""
    time_zero: str = ""
    synthetic: bool = False

    @classmethod
    def unreadable(cls, file: str, *findings: Finding) -> Self:
        """The report of a file of which nothing can be read."""
        found = Findings(findings)
        return cls(file, UNREADABLE, 0, 0, tuple(found.listed), found.counts, "")

    def as_dict(self) -> dict[str, Any]:
        """The report as the contract's JSON object, with what the import further knows behind it."""
        return {
            "file": self.file,
            "exit": self.exit,
            "rows": self.rows,
            "kept": self.kept,
            "findings": [finding.as_dict() for finding in self.findings],
            "counts": self.counts,
            "digest": self.digest,
            "ignored_columns": list(self.ignored_columns),
            "left_out_rows": list(self.left_out_rows),
            "filtered_out": self.filtered_out,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "time_zero": self.time_zero,
            "synthetic": self.synthetic,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """A report, and the cohort that may be stored; ``None`` when nothing may."""

    report: ImportReport
    cohort: Cohort | None


def check_source(
    content: bytes,
    file_name: str,
    spec: Specification,
    mapping: Mapping | None = None,
    *,
    limits: Limits = COMMAND_LINE_LIMITS,
    skip_bad_rows: bool = False,
    pseudonymiser: Pseudonymiser | None = None,
    partial: bool = False,
) -> Checked:
    """Check a file as a whole; every fault of the input is a finding, never an exception.

    Args:
        content: the bytes of the file.
        file_name: what the report calls it.
        spec: the dictionary and its rules.
        mapping: how its columns become canonical; ``None`` for a file in canonical columns.
        limits: how large the file may be.
        skip_bad_rows: leave rows with errors out instead of refusing the file.
        pseudonymiser: replaces identifiers by keyed hashes; ``None`` refuses files that name persons.
        partial: the patients are new ones, of whom only some columns are known.
    """
    request = _Request(file_name, spec, mapping, limits, skip_bad_rows, pseudonymiser, partial)
    return _Check(request).run(content)


@dataclass(frozen=True)
class _Request:
    file_name: str
    spec: Specification
    mapping: Mapping | None
    limits: Limits
    skip_bad_rows: bool
    pseudonymiser: Pseudonymiser | None
    partial: bool


@dataclass
class _Check:
    """One check of one file: the findings grow from step to step."""

    request: _Request
    findings: Findings = field(default_factory=Findings)

    def run(self, content: bytes) -> Checked:
        read = self.request.mapping.read if self.request.mapping else None
        table = read_table(
            content,
            self.findings,
            self.request.limits,
            delimiter=read.delimiter if read else None,
            encoding=read.encoding if read else None,
        )
        if table is None:
            return Checked(ImportReport.unreadable(self.request.file_name, *self.findings), None)
        mapping = self.request.mapping or identity_mapping(table, self.request.spec)
        marker = read_marker(table.comments, self.findings)
        check_specification(marker, self.request.spec.name, self.findings)
        time_zero = agreed_time_zero(marker, mapping.time_zero, self.findings)
        steps = plan_columns(mapping, table, self.request.spec, self.findings, partial=self.request.partial)
        unused = unused_columns(mapping, table, steps)
        report_unused(unused, self.findings)
        identifying = self._stop_identifiers(table, steps)
        chosen = filtered(table, mapping, self.findings)
        draft = self._draft(chosen, mapping, steps, identifying)
        self._judge(draft, chosen, [name for name in unused if name not in identifying])
        return self._decide(draft, table, chosen, marker, time_zero, unused)

    def _stop_identifiers(self, table: RawTable, steps: Sequence[Step]) -> dict[str, str]:
        """Columns that name a person; a finding each where they may not be there, or would be stored as they are."""
        spec = self.request.spec
        targets = {step.source: step.target.name for step in steps if step.source}
        key_source = next((source for source, target in targets.items() if target == spec.key), None)
        if self.request.pseudonymiser is None:
            return report_identifiers(table, key_source, targets, self.findings)
        # Keys are hashed, dates become durations, and what is not mapped is dropped: only a plain copy would name.
        copied = {name for name, target in targets.items() if not spec.column(target).identifier}
        stored = replace(table, columns={name: table.columns[name] for name in table.columns if name in copied})
        report_identifiers(stored, None, targets, self.findings)
        return identifying_columns(table, key_source)

    def _draft(self, table: RawTable, mapping: Mapping, steps: Sequence[Step], identifying: dict[str, str]) -> Draft:
        named = {step.target.name for step in steps if set(step.sources) & set(identifying)}
        keys = {column.name for column in self.request.spec.columns if column.identifier}
        hidden = named | keys if self.request.pseudonymiser else named
        draft = Draft(self.request.spec, table.rows, self.findings, confidential=frozenset(hidden))
        for step in steps:
            draft.sources[step.target.name] = step.label
            column = self._column(step, table, mapping, draft)
            draft.columns[step.target.name] = self._pseudonymous(column) if step.target.identifier else column
        return draft

    def _column(self, step: Step, table: RawTable, mapping: Mapping, draft: Draft) -> TypedColumn:
        name = step.target.name
        spellings = {s.casefold(): level for target, level, s in self.request.spec.synonyms if target == name}
        reader = CellReader(step.target, table.decimal_comma, mapping.replacements(name), spellings)
        if step.derivation is None:
            cells: TextColumn = table.columns[step.label]
            return read_column(cells, reader, draft.place(name), table.rows, self.findings)
        derived = Deriver(table, reader, self.findings, confidential=name in draft.confidential).derive(step.derivation)
        if isinstance(step.derivation, BetweenDates) and isinstance(step.derivation.otherwise, FromNumber):
            self._remark_origins(draft, name, step.derivation, step.derivation.otherwise)
        if derived.stand_in is not None:
            draft.stand_in[name] = derived.stand_in
        return derived.column

    def _remark_origins(self, draft: Draft, name: str, between: BetweenDates, otherwise: FromNumber) -> None:
        draft.remark(
            name,
            "two_origins_of_time",
            Severity.WARNING,
            "all times of a column counted from time zero",
            f"dates count from '{between.start}', the others are taken from '{otherwise.source}'",
            "make sure that both start at time zero, best with a second `between` as `else`",
        )

    def _pseudonymous(self, column: TypedColumn) -> TypedColumn:
        pseudonymiser = self.request.pseudonymiser
        if pseudonymiser is None:
            return column
        hashed = column.values.map(lambda text: None if text is None else pseudonymiser.pseudonym(text))
        return TypedColumn(hashed.astype(object), column.invalid)

    def _judge(self, draft: Draft, table: RawTable, unused: Sequence[str]) -> None:
        check_completeness(draft, partial=self.request.partial)
        check_coherence(draft)
        check_status_columns(draft, table, unused)

    def _decide(
        self,
        draft: Draft,
        table: RawTable,
        chosen: RawTable,
        marker: Marker,
        time_zero: TimeZero,
        unused: Sequence[str],
    ) -> Checked:
        bad = self.findings.rows_with_errors()
        cohort = self._cohort(draft, bad, marker, time_zero)
        kept = cohort.size if cohort else 0
        report = ImportReport(
            file=self.request.file_name,
            exit=self._exit(cohort, bad),
            rows=chosen.records,
            kept=kept,
            findings=tuple(self.findings.listed),
            counts=self.findings.counts,
            digest=content_digest(cohort.frame, cohort.spec) if cohort else "",
            ignored_columns=tuple(unused),
            left_out_rows=tuple(sorted(bad)),
            filtered_out=table.records - chosen.records,
            delimiter=table.delimiter,
            encoding=table.encoding,
            time_zero=time_zero.value,
            synthetic=marker.synthetic,
        )
        return Checked(report, cohort)

    def _cohort(self, draft: Draft, bad: set[int], marker: Marker, time_zero: TimeZero) -> Cohort | None:
        if self._whole_file_stops() or (bad and not self.request.skip_bad_rows):
            return None
        keep = ~np.isin(draft.rows, np.fromiter(bad, dtype=np.int64, count=len(bad)))
        values = {name: column.values[keep] for name, column in draft.columns.items()}
        recorded = pd.DataFrame({name: column for name, column in values.items() if column.notna().any()})
        if recorded.empty:
            return None
        frame = typed_frame(recorded, draft.spec)
        return Cohort(draft.spec, frame, time_zero=time_zero, synthetic=marker.synthetic)

    def _whole_file_stops(self) -> bool:
        """Whether an error is not about one patient, so that leaving rows out cannot help."""
        return any(f.severity is Severity.ERROR and f.row <= 1 for f in self.findings)

    def _exit(self, cohort: Cohort | None, bad: set[int]) -> int:
        if cohort is None:
            return REFUSED
        return WITH_WARNINGS if bad or self.findings.has(Severity.WARNING) else DONE
