"""The store: cohorts, fitted models and the audit behind one object; every change is one transaction with its entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pandas as pd
from sqlalchemy.orm import Session

from data.cohort import Cohort
from data.store import audit, cohorts, models, symptoms
from data.store.audit import AuditEntry, AuditVerdict
from data.store.database import Database
from data.store.migrations import bring_up_to_date
from data.store.summaries import CohortSummary, ModelSummary, PatientPage, SymptomSummary
from data.symptoms import SymptomTable

__all__ = ["AuditEntry", "AuditVerdict", "CohortSummary", "ModelSummary", "PatientPage", "Store", "SymptomSummary"]


class Store:
    """Everything that stays: safe to share between threads, and with other processes.

    Reading methods see one state of the store. Changing methods either happen wholly, together with their entry in
    the audit, or not at all; one writer follows another. All of them raise `Refused` when the database is busy for
    longer than five seconds or cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str) -> Self:
        """The store at `url`, created when it does not exist and migrated when it is older than this program.

        Args:
            url: ``sqlite:////folder/store.db`` or ``postgresql://user:password@host/database``.

        Raises:
            WrongUsage: `url` is not of these two forms.
            Refused: the database cannot be reached, or was made by a newer program.
        """
        database = Database(url)
        try:
            bring_up_to_date(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _change(self) -> Iterator[Session]:
        with self._database.writing() as session:
            audit.take_turn(session)
            yield session

    def import_cohort(
        self,
        name: str,
        cohort: Cohort,
        *,
        source: str,
        mapping: Mapping[str, Any] | None,
        report: Mapping[str, Any],
        replace: bool = False,
        actor: str,
    ) -> CohortSummary:
        """Store `cohort` as the current version of `name`; a version that it replaces stays readable until purged.

        Args:
            name: letters, digits and ``- _ .``, at most 64.
            cohort: its own name and version are not looked at.
            source: the file it came from, or how it was made.
            mapping: the mapping file's content, ``None`` for a file in canonical columns.
            report: what the import's check found, as JSON values.
            replace: whether a cohort of that name may be replaced.
            actor: who imports.

        Raises:
            WrongUsage: the name is not a possible one.
            Conflict: the name is taken and `replace` is not set.
            Refused: the cohort could not be read back as it is.
        """
        cohorts.check_name(name)
        prepared = cohorts.prepare(cohort, source, mapping, report)
        with self._change() as session:
            stored = cohorts.add(session, name, prepared, replace)
            details = {
                "version": stored.version,
                "patients": stored.patients,
                "digest": stored.digest,
                "spec": f"{stored.spec} {stored.spec_version}",
                "synthetic": stored.synthetic,
            }
            audit.append(session, actor, "cohort.import", name, details)
        return stored

    def cohorts(self) -> list[CohortSummary]:
        """The current version of every cohort, by name."""
        with self._database.reading() as session:
            names = cohorts.current_names(session)
            return [cohorts.summary(session, cohorts.find(session, name)) for name in names]

    def cohort(self, name: str, version: int | None = None) -> CohortSummary:
        """One version of a cohort without its patients, the current one when none is named.

        Raises:
            NotFound: there is no such cohort or version.
        """
        with self._database.reading() as session:
            return cohorts.summary(session, cohorts.find(session, name, version))

    def versions(self, name: str) -> list[CohortSummary]:
        """Every readable version of a cohort, newest first.

        Raises:
            NotFound: there is no such cohort.
        """
        with self._database.reading() as session:
            cohorts.find(session, name)
            return [cohorts.summary(session, row) for row in cohorts.versions(session, name)]

    def load(self, name: str, version: int | None = None) -> Cohort:
        """A cohort exactly as it was imported, the current version when none is named.

        Raises:
            NotFound: there is no such cohort or version; says which there are.
            DamagedArtefact: the content does not agree with the digest of its import.
        """
        with self._database.reading() as session:
            packed = cohorts.fetch(session, name, version)
        return packed.cohort()

    def patient_ids(
        self, name: str, version: int | None = None, *, search: str = "", offset: int = 0, limit: int | None = None
    ) -> PatientPage:
        """Identifiers that contain `search`, in the order of the import: `limit` of them after the first `offset`.

        Raises:
            NotFound: there is no such cohort or version.
        """
        with self._database.reading() as session:
            return cohorts.identifiers(session, name, version, search, offset, limit)

    def patient(self, name: str, patient_id: str, version: int | None = None) -> pd.DataFrame:
        """One patient as a typed frame of one row.

        Raises:
            NotFound: there is no such cohort, version or patient.
        """
        with self._database.reading() as session:
            packed = cohorts.fetch_patient(session, name, patient_id, version)
        return packed.frame()

    def mapping_of(self, name: str, version: int | None = None) -> dict[str, Any] | None:
        """The mapping file a version was imported with; ``None`` for a file in canonical columns.

        Raises:
            NotFound: there is no such cohort or version.
        """
        with self._database.reading() as session:
            return cohorts.find(session, name, version).mapping

    def report_of(self, name: str, version: int | None = None) -> dict[str, Any]:
        """What the check of a version's import found.

        Raises:
            NotFound: there is no such cohort or version.
        """
        with self._database.reading() as session:
            return cohorts.find(session, name, version).report

    def import_symptoms(
        self,
        name: str,
        table: SymptomTable,
        *,
        version: int | None = None,
        source: str,
        report: Mapping[str, Any],
        replace: bool = False,
        actor: str,
    ) -> SymptomSummary:
        """Store the ratings of symptoms of a version of a cohort; ratings that they replace are gone for good.

        Args:
            name: the cohort.
            table: the ratings, each of a patient of that version.
            version: the version whose patients were looked at; the current one when ``None``.
            source: the file they came from, or how they were made.
            report: what the import's check found, as JSON values.
            replace: whether ratings that the version has may be replaced.
            actor: who imports.

        Raises:
            NotFound: there is no such cohort or version.
            Conflict: the version has ratings and `replace` is not set.
            Refused: there is no answer in the table, or ratings are of another disease or of strangers.
        """
        prepared = symptoms.prepare(table, source, report)
        with self._change() as session:
            stored, replaced = symptoms.add(session, name, version, prepared, replace)
            details = {
                "version": stored.version,
                "patients": stored.patients,
                "ratings": stored.ratings,
                "digest": stored.digest,
                "replaced": replaced,
            }
            audit.append(session, actor, "symptoms.import", name, details)
        return stored

    def symptom_summary(self, name: str, version: int | None = None) -> SymptomSummary | None:
        """What is told about the ratings of a version of a cohort, the current one when none is named.

        ``None`` where the version has none.

        Raises:
            NotFound: there is no such cohort or version.
        """
        with self._database.reading() as session:
            return symptoms.summary(session, name, version)

    def symptoms(self, name: str, version: int | None = None) -> SymptomTable | None:
        """The ratings of a version of a cohort, the current one when none is named; ``None`` where it has none.

        Raises:
            NotFound: there is no such cohort or version.
            DamagedArtefact: they do not agree with the digest of their import.
        """
        with self._database.reading() as session:
            packed = symptoms.fetch(session, name, version)
        return None if packed is None else packed.verified()

    def patient_symptoms(self, name: str, patient_id: str, version: int | None = None) -> SymptomTable | None:
        """The ratings of one patient, none where there is no such patient; ``None`` where the version has no ratings.

        Raises:
            NotFound: there is no such cohort or version.
            DamagedArtefact: they cannot be read.
        """
        with self._database.reading() as session:
            packed = symptoms.fetch(session, name, version, patient_id)
        return None if packed is None else packed.table()

    def purge(self, name: str, version: int, actor: str) -> None:
        """Remove a replaced version of a cohort for good, with its ratings of symptoms.

        Raises:
            NotFound: there is no such cohort or version.
            Conflict: it is the current version.
        """
        with self._change() as session:
            gone = cohorts.purge(session, name, version)
            details = {"version": version, "patients": gone.patients, "digest": gone.digest}
            audit.append(session, actor, "cohort.purge", name, details)

    def delete(self, name: str, actor: str) -> None:
        """Remove a cohort with all its versions and ratings for good; its models stay listed and serve no more.

        Raises:
            NotFound: there is no such cohort.
        """
        with self._change() as session:
            versions = cohorts.remove(session, name)
            models.withdraw(session, name)
            audit.append(session, actor, "cohort.delete", name, {"versions": versions})

    def record_model(self, model: ModelSummary, actor: str) -> ModelSummary:
        """Record a fitted model; it serves its cohort at once when no other does.

        Raises:
            NotFound: the version of the cohort that it names is not in the store.
            Conflict: a model of that version exists.
        """
        with self._change() as session:
            cohorts.find(session, model.cohort, model.cohort_version)
            recorded = models.add(session, model)
            details = {"cohort": model.cohort, "cohort_version": model.cohort_version, "promoted": recorded.serves}
            audit.append(session, actor, "model.record", model.version, details)
        return recorded

    def promote(self, version: str, actor: str) -> ModelSummary:
        """Let a model serve its cohort from now on.

        Raises:
            NotFound: there is no such model, or its cohort is deleted.
        """
        with self._change() as session:
            promoted = models.promote(session, version)
            cohorts.find(session, promoted.cohort)
            audit.append(session, actor, "model.promote", version, {"cohort": promoted.cohort})
        return promoted

    def models(self, cohort: str | None = None) -> list[ModelSummary]:
        """The models of a cohort, or all of them, newest first."""
        with self._database.reading() as session:
            return models.summaries(session, cohort)

    def serving(self, cohort: str) -> ModelSummary | None:
        """The newest promoted model of a cohort; ``None`` when it has none."""
        return next((model for model in self.models(cohort) if model.serves), None)

    def next_model_number(self, cohort: str) -> int:
        """Number for the next model of a cohort, from 1; never given twice, deleted cohorts included."""
        with self._database.reading() as session:
            return 1 + models.count(session, cohort)

    def record(self, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> None:
        """Enter an act that changes nothing in the store, such as an export; `details` never tell of a patient."""
        with self._change() as session:
            audit.append(session, actor, action, subject, details)

    def audit(self) -> Iterator[AuditEntry]:
        """Every entry, oldest first, as it stands.

        Raises:
            DamagedArtefact: an entry cannot be read any more.
        """
        with self._database.reading() as session:
            return iter(audit.entries(session))

    def verify_audit(self) -> AuditVerdict:
        """Whether the chain of entries holds, and the first entry at which it does not."""
        with self._database.reading() as session:
            return audit.verify(session)
