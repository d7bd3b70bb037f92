"""The line above the header by which an exported cohort says what its cells cannot: written and read back here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from data.cohort import Cohort, TimeZero
from data.findings import WHOLE_FILE, Finding, Findings, Severity

_START: Final = "gemina:"


@dataclass(frozen=True, slots=True)
class Marker:
    """What is true of a whole cohort."""

    synthetic: bool = False
    time_zero: TimeZero | None = None
    spec: str | None = None

    @classmethod
    def of(cls, cohort: Cohort) -> Self:
        """The marker of a cohort."""
        return cls(cohort.synthetic, cohort.time_zero, cohort.spec.name)

    def line(self) -> str:
        """The comment line, without a line end."""
        said = {"synthetic": int(self.synthetic), "time_zero": self.time_zero, "spec": self.spec}
        return f"# {_START} " + " ".join(f"{key}={value}" for key, value in said.items() if value is not None)


def read_marker(comments: tuple[str, ...], findings: Findings) -> Marker:
    """The marker among the comments of a file; a mark of invented patients, once made, holds.

    Args:
        comments: lines above the header, without ``#``.
        findings: takes an error for each entry that cannot be understood or contradicts another.
    """
    said: dict[str, str] = {}
    synthetic = False
    for comment in comments:
        if not comment.casefold().startswith(_START):
            continue
        # Spreadsheet programs pad every line to the width of the table.
        for entry in comment[len(_START) :].rstrip(",;\t ").split():
            key, _, value = entry.partition("=")
            synthetic |= (key, value) == ("synthetic", "1")
            if not _understood(key, value) or (key != "synthetic" and said.setdefault(key, value) != value):
                findings.add(_bad_entry(entry))
                said.pop(key, None)
    time_zero = said.get("time_zero")
    return Marker(synthetic, TimeZero(time_zero) if time_zero else None, said.get("spec"))


def agreed_time_zero(marker: Marker, stated: TimeZero | None, findings: Findings) -> TimeZero:
    """Time zero of a cohort by its marker and its mapping, which must not contradict each other."""
    if marker.time_zero and stated and marker.time_zero is not stated:
        findings.add(
            _contradiction("time_zero_contradiction", f"time zero {marker.time_zero}", f"{stated} in the mapping")
        )
    return stated or marker.time_zero or TimeZero.TREATMENT_START


def check_specification(marker: Marker, name: str, findings: Findings) -> None:
    """Report a file that says it belongs to another specification than `name`."""
    if marker.spec and marker.spec != name:
        findings.add(_contradiction("other_specification", f"specification '{marker.spec}'", f"'{name}'"))


def _understood(key: str, value: str) -> bool:
    allowed = {"synthetic": ("0", "1"), "time_zero": tuple(TimeZero)}
    return bool(value) and (key == "spec" or value in allowed.get(key, ()))


def _bad_entry(entry: str) -> Finding:
    expected = "synthetic=0 or 1, time_zero=treatment_start or diagnosis, spec=NAME, each once"
    remedy = "restore the line as it was exported, or remove the entry"
    return Finding("bad_marker", Severity.ERROR, WHOLE_FILE, "", "", expected, repr(entry[:60]), remedy)


def _contradiction(code: str, marked: str, got: str) -> Finding:
    remedy = "correct the mapping or the call, or the line above the header"
    return Finding(code, Severity.ERROR, WHOLE_FILE, "", "", f"{marked}, as the file is marked", got, remedy)
