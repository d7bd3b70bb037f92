"""Ratings of symptoms inside a transaction: tables of ratings in, rows of the store out, and the same ratings back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
from pydantic import TypeAdapter
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from data.errors import Conflict, DamagedArtefact, Refused
from data.store import cohorts
from data.store.summaries import SymptomSummary, now
from data.store.tables import CohortVersionRow, PatientRow, SymptomRatingRow, SymptomSetRow
from data.symptoms import Questionnaire, SymptomTable


@dataclass(frozen=True)
class PreparedRatings:
    """Ratings made ready outside the transaction, so that the store is locked for the writing alone."""

    spec: str
    row: SymptomSetRow
    bodies: Mapping[str, str]
    """By patient identifier"""


def prepare(table: SymptomTable, source: str, report: Mapping[str, Any]) -> PreparedRatings:
    """Pack ratings; touches no database.

    Raises:
        Refused: there is no answer in the table.
    """
    patients = table.patients
    if not patients:
        raise Refused("the table has no ratings", remedy="import at least one answer")
    row = SymptomSetRow(
        questionnaire=_adapter().dump_json(table.questionnaire).decode(),
        patients=len(patients),
        ratings=len(table.given),
        source=source,
        digest=table.digest,
        imported_at=now(),
        report=dict(report),
    )
    by_visit = np.ascontiguousarray(table.ratings(patients).transpose(0, 2, 1))
    bodies = [orjson.dumps(visits, option=orjson.OPT_SERIALIZE_NUMPY).decode() for visits in by_visit]
    return PreparedRatings(table.questionnaire.spec, row, dict(zip(patients, bodies, strict=True)))


def add(
    session: Session, name: str, version: int | None, prepared: PreparedRatings, replace: bool
) -> tuple[SymptomSummary, str | None]:
    """Store prepared ratings with a version of a cohort; their summary, and the digest of those they replace.

    Raises:
        NotFound: there is no such cohort or version.
        Conflict: the version has ratings and `replace` is not set.
        Refused: the ratings are of another disease, or of patients whom the version does not have.
    """
    version_row = cohorts.find(session, name, version)
    if prepared.spec != version_row.spec:
        raise Refused(
            f"ratings of '{prepared.spec}' for cohort '{name}' of '{version_row.spec}'",
            remedy="name the cohort whose patients gave them",
        )
    existing = session.get(SymptomSetRow, version_row.id)
    if existing is not None and not replace:
        raise Conflict(
            f"version {version_row.version} of cohort '{name}' has ratings of symptoms",
            remedy="replace them (--replace): the old ones are removed",
        )
    if existing is not None:
        session.execute(delete(SymptomRatingRow).where(SymptomRatingRow.version_id == version_row.id))
        session.delete(existing)
        session.flush()
    row = prepared.row
    row.version_id = version_row.id
    session.add(row)
    session.flush()
    _insert_ratings(session, version_row, prepared)
    return _summary(version_row, row), existing.digest if existing is not None else None


def _insert_ratings(session: Session, version: CohortVersionRow, prepared: PreparedRatings) -> None:
    patients = select(PatientRow.patient_id, PatientRow.row).where(PatientRow.version_id == version.id)
    place = {found.patient_id: found.row for found in session.execute(patients)}
    strangers = len(prepared.bodies.keys() - place.keys())
    if strangers:
        raise Refused(
            f"ratings of {strangers} patients who are not in version {version.version} of cohort '{version.cohort}'",
            remedy="import these patients with the cohort first",
        )
    ratings = [
        {"version_id": version.id, "row": place[identifier], "body": body}
        for identifier, body in prepared.bodies.items()
    ]
    for start in range(0, len(ratings), cohorts.CHUNK):
        session.execute(insert(SymptomRatingRow), ratings[start : start + cohorts.CHUNK])


def summary(session: Session, name: str, version: int | None) -> SymptomSummary | None:
    """What is told about the ratings of a version; ``None`` where it has none.

    Raises:
        NotFound: there is no such cohort or version.
    """
    version_row = cohorts.find(session, name, version)
    row = session.get(SymptomSetRow, version_row.id)
    return None if row is None else _summary(version_row, row)


def _summary(version: CohortVersionRow, row: SymptomSetRow) -> SymptomSummary:
    return SymptomSummary(
        cohort=version.cohort,
        version=version.version,
        patients=row.patients,
        ratings=row.ratings,
        source=row.source,
        digest=row.digest,
        imported_at=row.imported_at,
    )


@dataclass(frozen=True)
class PackedRatings:
    """Stored ratings as they were fetched: what is left to do needs no database."""

    place: str
    """The cohort and version, as an error names them"""
    row: SymptomSetRow
    identifiers: Sequence[str]
    bodies: Sequence[str]

    def table(self) -> SymptomTable:
        """The ratings.

        Raises:
            DamagedArtefact: they cannot be read.
        """
        try:
            asked = _adapter().validate_json(self.row.questionnaire)
            shape = (len(self.bodies), len(asked.weeks), len(asked.items))
            by_visit = np.array(orjson.loads("[" + ",".join(self.bodies) + "]"), dtype=np.float64).reshape(shape)
            return SymptomTable.of(asked, self.identifiers, by_visit.transpose(0, 2, 1))
        except (ValueError, TypeError, Refused) as error:
            raise self._damaged("cannot be read") from error

    def verified(self) -> SymptomTable:
        """All ratings of the version, checked against the digest of their import.

        Raises:
            DamagedArtefact: they are not what was imported.
        """
        table = self.table()
        if table.digest != self.row.digest:
            raise self._damaged(f"are not what was imported (digest {self.row.digest[:12]})")
        return table

    def _damaged(self, how: str) -> DamagedArtefact:
        return DamagedArtefact(
            f"the ratings of symptoms of {self.place} {how}",
            remedy="somebody changed the database outside this program: restore a copy or import the ratings again",
        )


def fetch(session: Session, name: str, version: int | None, patient: str | None = None) -> PackedRatings | None:
    """The ratings of a version, patients in the order of the cohort; ``None`` where it has none.

    Args:
        session: the transaction.
        name: name of the cohort.
        version: the current one when ``None``.
        patient: identifier of the one patient wanted, who may have given none; all where ``None``.

    Raises:
        NotFound: there is no such cohort or version.
    """
    version_row = cohorts.find(session, name, version)
    row = session.get(SymptomSetRow, version_row.id)
    if row is None:
        return None
    wanted = SymptomRatingRow.version_id == version_row.id
    if patient is not None:
        wanted &= PatientRow.patient_id == patient
    same = (PatientRow.version_id == SymptomRatingRow.version_id) & (PatientRow.row == SymptomRatingRow.row)
    statement = select(PatientRow.patient_id, SymptomRatingRow.body).join(PatientRow, same).where(wanted)
    found = session.execute(statement.order_by(SymptomRatingRow.row)).all()
    place = f"version {version_row.version} of cohort '{version_row.cohort}'"
    return PackedRatings(place, row, [identifier for identifier, _ in found], [body for _, body in found])


@cache
def _adapter() -> TypeAdapter[Questionnaire]:
    return TypeAdapter(Questionnaire)
