"""What the store says about what it holds: plain values for lists, pages and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data.store.tables import moment_text


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class CohortSummary:
    """One version of a cohort, without its patients."""

    name: str
    version: int
    spec: str
    spec_version: int
    patients: int
    """Number of patients."""
    synthetic: bool
    time_zero: str
    source: str
    """File or generator the cohort came from."""
    digest: str
    """SHA-256 of the canonical content."""
    imported_at: datetime
    recorded: tuple[str, ...]
    """Columns in which anything is recorded, in dictionary order."""
    current: bool
    """Whether this version is the one that is read when none is named."""

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {**vars(self), "imported_at": moment_text(self.imported_at), "recorded": list(self.recorded)}


@dataclass(frozen=True)
class SymptomSummary:
    """The ratings of symptoms of one version of a cohort, without the ratings."""

    cohort: str
    version: int
    """Version of the cohort"""
    patients: int
    """Number of patients who answered a question"""
    ratings: int
    """Number of answers"""
    source: str
    """File or generator the ratings came from"""
    digest: str
    """SHA-256 of the answers"""
    imported_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {**vars(self), "imported_at": moment_text(self.imported_at)}


@dataclass(frozen=True)
class ModelSummary:
    """One fitted model, without its files."""

    version: str
    cohort: str
    cohort_version: int
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Headline of its quality, as JSON values."""
    created_at: datetime = field(default_factory=now)
    promoted_at: datetime | None = None
    serves: bool = False
    """Whether it is the newest promoted one of its cohort."""

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {
            **vars(self),
            "summary": dict(self.summary),
            "created_at": moment_text(self.created_at),
            "promoted_at": None if self.promoted_at is None else moment_text(self.promoted_at),
        }


@dataclass(frozen=True)
class PatientPage:
    """Some of a cohort's patients, in the cohort's order."""

    identifiers: tuple[str, ...]
    total: int
    """How many patients match in all."""
