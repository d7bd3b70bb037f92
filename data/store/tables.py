"""The tables of the store, as SQLAlchemy classes; `data/store/migrations` brings a database to exactly these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

COHORT_NAME_LENGTH: Final = 64
MODEL_NAME_LENGTH: Final = 128
DIGEST_LENGTH: Final = 64
"""Hexadecimal digits of a SHA-256."""
_MOMENT_LENGTH: Final = 32


class UtcMoment(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond, kept as ISO 8601 text: the same on every database, sorted as text."""

    impl = String(_MOMENT_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """The text of a moment.

        Raises:
            ValueError: `value` has no time zone.
        """
        return None if value is None else moment_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """The moment of a text."""
        return None if value is None else datetime.fromisoformat(value)


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC, always with microseconds.

    Raises:
        ValueError: the moment has no time zone.

    >>> moment_text(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05.000000+00:00'
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone is ambiguous")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class Base(DeclarativeBase):
    """What all tables share."""


class CohortRow(Base):
    """A name of a cohort and where its versions stand; outlives the deletion, so that no number is given twice."""

    __tablename__ = "cohorts"

    name: Mapped[str] = mapped_column(String(COHORT_NAME_LENGTH), primary_key=True)
    last_version: Mapped[int] = mapped_column(Integer)
    """Highest version number ever given."""
    current_version: Mapped[int | None] = mapped_column(Integer)
    """Version that is read when none is named; ``None`` once the cohort is deleted."""


class CohortVersionRow(Base):
    """One imported content of a cohort: immutable."""

    __tablename__ = "cohort_versions"
    __table_args__ = (UniqueConstraint("cohort", "version", name="uq_cohort_versions_cohort_version"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    cohort: Mapped[str] = mapped_column(ForeignKey("cohorts.name", name="fk_cohort_versions_cohort"))
    version: Mapped[int] = mapped_column(Integer)
    spec: Mapped[str] = mapped_column(String(128))
    spec_version: Mapped[int] = mapped_column(Integer)
    spec_document: Mapped[str] = mapped_column(Text, deferred=True)
    """The whole specification as JSON, for one that does not come with the program (or no longer does)."""
    columns: Mapped[list[str]] = mapped_column(JSON)
    """Names of the values in each patient's `body`, in order."""
    recorded: Mapped[list[str]] = mapped_column(JSON)
    """Those of them in which anything was recorded."""
    patients: Mapped[int] = mapped_column(Integer)
    synthetic: Mapped[bool] = mapped_column(Boolean)
    time_zero: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    imported_at: Mapped[datetime] = mapped_column(UtcMoment)
    mapping: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    report: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)


class PatientRow(Base):
    """One patient of a version of a cohort."""

    __tablename__ = "patients"
    __table_args__ = (
        UniqueConstraint("version_id", "patient_id", name="uq_patients_version_id_patient_id"),
        # Rows of one version lie together in their order, so that loading a cohort reads the file in one go.
        {"sqlite_with_rowid": False},
    )

    version_id: Mapped[int] = mapped_column(
        ForeignKey("cohort_versions.id", name="fk_patients_version_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    row: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Position in the cohort, from 0."""
    patient_id: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    """The values as a JSON array, in the order of the version's `columns`; null where nothing is recorded."""


class SymptomSetRow(Base):
    """The ratings of symptoms that belong to a version of a cohort, as one import brought them."""

    __tablename__ = "symptom_sets"

    version_id: Mapped[int] = mapped_column(
        ForeignKey("cohort_versions.id", name="fk_symptom_sets_version_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    questionnaire: Mapped[str] = mapped_column(Text)
    """What was asked, as JSON: ratings are read by the items, weeks and scale under which they were given."""
    patients: Mapped[int] = mapped_column(Integer)
    """Number of patients who answered a question."""
    ratings: Mapped[int] = mapped_column(Integer)
    """Number of answers."""
    source: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    imported_at: Mapped[datetime] = mapped_column(UtcMoment)
    report: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)


class SymptomRatingRow(Base):
    """The ratings of one patient of a version of a cohort."""

    __tablename__ = "symptom_ratings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["version_id", "row"],
            ["patients.version_id", "patients.row"],
            name="fk_symptom_ratings_patient",
            ondelete="CASCADE",
        ),
        {"sqlite_with_rowid": False},
    )

    version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    row: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Position of the patient in the cohort."""
    body: Mapped[str] = mapped_column(Text)
    """A JSON array of one entry a week of the questionnaire: null for a visit without an answer, else an array of one
    rating an item, null where a question was left out."""


class ModelRow(Base):
    """A fitted model; its files lie in the models folder. Names its cohort by value and outlives it."""

    __tablename__ = "models"

    version: Mapped[str] = mapped_column(String(MODEL_NAME_LENGTH), primary_key=True)
    cohort: Mapped[str] = mapped_column(String(COHORT_NAME_LENGTH), index=True)
    cohort_version: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)
    """Order in which the models of the store were recorded, from 1."""
    created_at: Mapped[datetime] = mapped_column(UtcMoment)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)
    promoted_at: Mapped[datetime | None] = mapped_column(UtcMoment)
    promotion: Mapped[int | None] = mapped_column(Integer)
    """Order of promotions within the cohort: the highest serves. A clock may go backwards, this does not."""


class AuditRow(Base):
    """One entry of the audit: written once."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Position in the chain, from 1 without gaps."""
    at: Mapped[str] = mapped_column(String(_MOMENT_LENGTH))
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    """Canonical JSON object, without patients' data."""
    previous: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))


class AuditHeadRow(Base):
    """The end of the audit's chain: one row, which also is what writers queue for."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="ck_audit_head_single"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
