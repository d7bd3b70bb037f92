"""How large a file may be, on a page and on the command line (contract, section 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest file that is read."""

    max_bytes: int
    max_rows: int
    max_columns: int = 2_000
    max_cell_bytes: int = 10_000

    def with_megabytes(self, megabytes: int) -> Limits:
        """The same limits for files of up to so many megabytes."""
        return replace(self, max_bytes=megabytes * MEGABYTE)


PAGE_LIMITS: Final = Limits(max_bytes=10 * MEGABYTE, max_rows=50_000)
COMMAND_LINE_LIMITS: Final = Limits(max_bytes=512 * MEGABYTE, max_rows=2_000_000)
