"""Versions of cohorts inside a transaction: typed cohorts in, rows of the store out, and the same cohorts back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from data.cohort import Cohort, TimeZero, content_digest
from data.errors import Conflict, DamagedArtefact, NotFound, WrongUsage
from data.store import rows
from data.store.specifications import specification_document, stored_specification
from data.store.summaries import CohortSummary, PatientPage, now
from data.store.tables import COHORT_NAME_LENGTH, CohortRow, CohortVersionRow, PatientRow

CHUNK: Final = 5_000
"""Patients per INSERT: enough to be fast, few enough to keep memory flat."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True)
class PreparedVersion:
    """A cohort made ready outside the transaction, so that the store is locked for the writing alone."""

    row: CohortVersionRow
    identifiers: Sequence[str]
    bodies: Sequence[str]


def check_name(name: str) -> None:
    """Refuse a name that could not stand in a command line, a URL and a folder name alike.

    Raises:
        WrongUsage: anything but letters, digits and ``- _ .``, a first character that is neither letter nor digit, or
            more than 64 characters.
    """
    if not _NAME.fullmatch(name) or len(name) > COHORT_NAME_LENGTH:
        raise WrongUsage(
            f"'{name[: COHORT_NAME_LENGTH + 1]}' cannot name a cohort",
            remedy=f"use up to {COHORT_NAME_LENGTH} letters, digits and - _ . and begin with a letter or digit",
        )


def prepare(
    cohort: Cohort, source: str, mapping: Mapping[str, Any] | None, report: Mapping[str, Any]
) -> PreparedVersion:
    """Check and pack a cohort; touches no database.

    Raises:
        Refused: the cohort could not be read back as it is.
        Conflict: its specification contradicts the built-in one of the same name and version.
    """
    rows.check(cohort)
    frame, spec = cohort.frame, cohort.spec
    row = CohortVersionRow(
        spec=spec.name,
        spec_version=spec.version,
        spec_document=specification_document(spec),
        columns=list(frame.columns),
        recorded=[name for name in frame.columns if cohort.records(name)],
        patients=cohort.size,
        synthetic=cohort.synthetic,
        time_zero=cohort.time_zero.value,
        source=source,
        digest=content_digest(frame, spec),
        imported_at=now(),
        mapping=None if mapping is None else dict(mapping),
        report=dict(report),
    )
    return PreparedVersion(row, frame[spec.key].tolist(), rows.pack(frame))


def add(session: Session, name: str, prepared: PreparedVersion, replace: bool) -> CohortSummary:
    """Store a prepared cohort as the current version of `name`.

    Raises:
        Conflict: a cohort of that name exists and `replace` is not set.
    """
    holder = session.get(CohortRow, name)
    if holder is None:
        holder = CohortRow(name=name, last_version=0)
        session.add(holder)
    elif holder.current_version is not None and not replace:
        raise Conflict(
            f"cohort '{name}' exists", remedy="replace it (--replace keeps the old version) or use a new name"
        )
    holder.last_version += 1
    holder.current_version = holder.last_version
    session.flush()
    row = prepared.row
    row.cohort, row.version = name, holder.last_version
    session.add(row)
    session.flush()
    _insert_patients(session, row.id, prepared)
    return summary(session, row)


def _insert_patients(session: Session, version_id: int, prepared: PreparedVersion) -> None:
    for start in range(0, len(prepared.bodies), CHUNK):
        chunk = slice(start, start + CHUNK)
        pairs = zip(prepared.identifiers[chunk], prepared.bodies[chunk], strict=True)
        session.execute(
            insert(PatientRow),
            [
                {"version_id": version_id, "row": row, "patient_id": identifier, "body": body}
                for row, (identifier, body) in enumerate(pairs, start=start)
            ],
        )


def current_names(session: Session) -> list[str]:
    """Names of the cohorts that can be read."""
    statement = select(CohortRow.name).where(CohortRow.current_version.is_not(None)).order_by(CohortRow.name)
    return list(session.scalars(statement))


def find(session: Session, name: str, version: int | None = None) -> CohortVersionRow:
    """A version of a cohort, the current one when none is named.

    Raises:
        NotFound: there is no such cohort, or not this version of it; says which there are.
    """
    holder = session.get(CohortRow, name)
    if holder is None or holder.current_version is None:
        raise NotFound.named("cohort", name, current_names(session), remedy="python -m twin cohorts lists them")
    found = {row.version: row for row in versions(session, name)}
    wanted = holder.current_version if version is None else version
    if wanted not in found:
        raise NotFound.named(f"version of cohort '{name}'", str(wanted), map(str, found))
    return found[wanted]


def versions(session: Session, name: str) -> list[CohortVersionRow]:
    """Every readable version of a cohort, newest first."""
    statement = select(CohortVersionRow).where(CohortVersionRow.cohort == name)
    return list(session.scalars(statement.order_by(CohortVersionRow.version.desc())))


def summary(session: Session, row: CohortVersionRow) -> CohortSummary:
    """What is told about a version."""
    return CohortSummary(
        name=row.cohort,
        version=row.version,
        spec=row.spec,
        spec_version=row.spec_version,
        patients=row.patients,
        synthetic=row.synthetic,
        time_zero=row.time_zero,
        source=row.source,
        digest=row.digest,
        imported_at=row.imported_at,
        recorded=tuple(row.recorded),
        current=session.get_one(CohortRow, row.cohort).current_version == row.version,
    )


@dataclass(frozen=True)
class PackedCohort:
    """A stored version as it was fetched: what is left to do needs no database."""

    row: CohortVersionRow
    spec_document: str
    bodies: Sequence[str]

    def frame(self) -> pd.DataFrame:
        """The patients as a typed frame.

        Raises:
            DamagedArtefact: they cannot be read.
        """
        spec = stored_specification(self.row.spec, self.row.spec_version, self.spec_document)
        return rows.unpack(self.bodies, self.row.columns, spec)

    def cohort(self) -> Cohort:
        """The whole cohort, checked against the digest of its import.

        Raises:
            DamagedArtefact: the content is not what was imported.
        """
        row = self.row
        spec = stored_specification(row.spec, row.spec_version, self.spec_document)
        frame = self.frame()
        if len(frame) != row.patients or content_digest(frame, spec) != row.digest:
            raise DamagedArtefact(
                f"cohort '{row.cohort}' version {row.version} is not what was imported (digest {row.digest[:12]})",
                remedy="somebody changed the database outside this program: restore a copy or import the file again",
            )
        return Cohort(spec, frame, TimeZero(row.time_zero), row.synthetic, row.cohort, row.version)


def fetch(session: Session, name: str, version: int | None) -> PackedCohort:
    """All patients of a version, in the order of the import.

    Raises:
        NotFound: there is no such cohort or version.
    """
    row = find(session, name, version)
    bodies = select(PatientRow.body).where(PatientRow.version_id == row.id).order_by(PatientRow.row)
    return PackedCohort(row, row.spec_document, session.scalars(bodies).all())


def fetch_patient(session: Session, name: str, identifier: str, version: int | None) -> PackedCohort:
    """One patient of a version.

    Raises:
        NotFound: there is no such cohort, version or patient.
    """
    row = find(session, name, version)
    body = session.scalars(
        select(PatientRow.body).where(PatientRow.version_id == row.id, PatientRow.patient_id == identifier)
    ).one_or_none()
    if body is None:
        raise NotFound(
            f"no patient '{identifier}' in cohort '{name}' version {row.version}",
            remedy="search the cohort's patients; identifiers match exactly",
        )
    return PackedCohort(row, row.spec_document, [body])


def identifiers(
    session: Session, name: str, version: int | None, search: str, offset: int, limit: int | None
) -> PatientPage:
    """The identifiers that contain `search` (case of ASCII letters aside), in the order of the import.

    Raises:
        NotFound: there is no such cohort or version.
    """
    row = find(session, name, version)
    matching = PatientRow.version_id == row.id
    if search:
        matching &= PatientRow.patient_id.icontains(search, autoescape=True)
    total = session.scalar(select(func.count()).select_from(PatientRow).where(matching)) or 0
    page = select(PatientRow.patient_id).where(matching).order_by(PatientRow.row).offset(offset).limit(limit)
    return PatientPage(tuple(session.scalars(page)), total)


def purge(session: Session, name: str, version: int) -> CohortVersionRow:
    """Remove a replaced version and its patients for good; what it was.

    Raises:
        NotFound: there is no such cohort or version.
        Conflict: it is the current version.
    """
    row = find(session, name, version)
    if session.get_one(CohortRow, name).current_version == version:
        raise Conflict(
            f"version {version} is the current one of cohort '{name}'", remedy="replace it first, or delete the cohort"
        )
    session.execute(delete(CohortVersionRow).where(CohortVersionRow.id == row.id))
    return row


def remove(session: Session, name: str) -> list[int]:
    """Remove a cohort with all its versions and patients; the versions it had. Their numbers are not given again.

    Raises:
        NotFound: there is no such cohort.
    """
    find(session, name)
    numbers = sorted(row.version for row in versions(session, name))
    session.execute(delete(CohortVersionRow).where(CohortVersionRow.cohort == name))
    session.get_one(CohortRow, name).current_version = None
    return numbers
