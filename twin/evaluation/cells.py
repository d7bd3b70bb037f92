"""Metrics in, cells and lines of plain text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from twin.metrics.intervals import MetricValue


def of(value: object, digits: int = 3) -> str:
    """A value with its interval; empty where there is none."""
    if not isinstance(value, MetricValue) or value.value is None:
        return ""
    interval = "" if value.lower is None else f" ({value.lower:.{digits}f} to {value.upper:.{digits}f})"
    return f"{value.value:.{digits}f}{interval}"


def signed(value: MetricValue | None) -> str:
    """A difference with its interval; empty where there is none."""
    if value is None or value.value is None:
        return ""
    interval = "" if value.lower is None else f" ({value.lower:+.3f} to {value.upper:+.3f})"
    return f"{value.value:+.3f}{interval}"


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines, every column as wide as its widest cell; empty columns are left out."""
    table = [list(row) for row in rows]
    count = max((len(row) for row in table), default=0)
    filled = [k for k in range(count) if any(k < len(row) and row[k] for row in table)]
    widths = {k: max(len(row[k]) for row in table if k < len(row)) for k in filled}
    for row in table:
        yield ("  " + "  ".join(row[k].ljust(widths[k]) for k in filled if k < len(row))).rstrip()
