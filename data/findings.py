"""Findings: what a check of a file saw, each with where, what was expected, what came and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

LISTED_PER_FILE: Final = 1_000
"""Findings listed in full; beyond that they are counted per code (contract, section 1.3)."""

WHOLE_FILE: Final = 0
"""Row number of a finding about the whole file; the header is row 1."""


class Severity(StrEnum):
    """How much a finding matters: an error stops the import of its row or file."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check saw."""

    code: str
    severity: Severity
    row: int
    """Record number in the file, the header being 1; 0 for the whole file."""
    column: str
    """Name of the column in the file; empty when the finding is not about one."""
    target: str
    """Canonical column; empty when there is none."""
    expected: str
    got: str
    remedy: str

    def as_dict(self) -> dict[str, str | int]:
        """The finding as the contract's JSON object."""
        return {**asdict(self), "severity": self.severity.value}

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else "file"
        column = f", column {self.column}" if self.column else ""
        seen = f"expected {self.expected}, got {self.got}"
        return f"{self.severity.value} {self.code} ({place}{column}): {seen}: {self.remedy}"


class Findings:
    """Collects findings: keeps the first `LISTED_PER_FILE` of a file and counts all of them per code.

    Errors are kept before warnings, and warnings before information, so that a flood of notes cannot hide an error.
    """

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._found: list[Finding] = []
        self._counted: Counter[str] = Counter()
        self._counted_error_rows: set[int] = set()
        self.extend(found)

    def add(self, finding: Finding) -> None:
        """Take one finding."""
        self._found.append(finding)

    def extend(self, found: Iterable[Finding]) -> None:
        """Take several findings."""
        self._found.extend(found)

    def add_rows(self, rows: Sequence[int], finding_at: Callable[[int], Finding]) -> None:
        """Take one finding for each of `rows` (ascending), all alike in code and severity.

        `finding_at(position)` builds the finding of ``rows[position]``. It is called only as often as findings are
        listed, so that a file with a million faults does not cost a million objects; the rest are counted.
        """
        built = [finding_at(position) for position in range(min(len(rows), LISTED_PER_FILE))]
        self.extend(built)
        if len(rows) > len(built):
            self._counted[built[0].code] += len(rows) - len(built)
            if built[0].severity is Severity.ERROR:
                self._counted_error_rows.update(int(row) for row in rows[len(built) :])

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found) + self._counted.total()

    @property
    def listed(self) -> list[Finding]:
        """The findings to show, worst first and then in file order; at most `LISTED_PER_FILE`."""
        order = list(Severity)
        ranked = sorted(self._found, key=lambda f: (order.index(f.severity), f.row))
        return ranked[:LISTED_PER_FILE]

    @property
    def counts(self) -> dict[str, int]:
        """How often each code was found, listed or not."""
        listed = Counter(finding.code for finding in self._found)
        return dict(sorted((listed + self._counted).items()))

    def has(self, severity: Severity) -> bool:
        """Whether anything of that severity was found."""
        return any(finding.severity is severity for finding in self._found)

    def rows_with_errors(self) -> set[int]:
        """Record numbers that have an error of their own (without 0, the whole file)."""
        listed = {f.row for f in self._found if f.severity is Severity.ERROR and f.row != WHOLE_FILE}
        return listed | self._counted_error_rows
