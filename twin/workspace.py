"""Where facts meet science: the store and the fitted twins behind one object that pages and command line share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from data.checks.identifiers import Pseudonymiser
from data.errors import Refused
from data.export import cohort_csv
from data.importing import COMMAND_LINE_LIMITS, Checked, ImportReport, Limits, check_source
from data.mapping import Mapping
from data.schema import Specification
from data.settings import Settings
from data.store import ModelSummary, Store
from twin import registry
from twin.prediction import FittedTwin

DEMONSTRATION: Final = "demonstration"
"""Name of the synthetic cohort that a fresh installation shows."""

DEMONSTRATION_PATIENTS: Final = 536
"""As many as the reference cohort (section 1 of the synthetic cohort's page in docs/)."""

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done."""

_preparing = threading.Lock()


@dataclass(frozen=True)
class ImportRequest:
    """What an import needs beside the bytes."""

    cohort: str
    file_name: str
    spec: Specification
    mapping: Mapping | None = None
    limits: Limits = COMMAND_LINE_LIMITS
    replace: bool = False
    skip_bad_rows: bool = False
    pseudonymise: bool = False


@dataclass(frozen=True)
class Workspace:
    """The store and the models of one installation."""

    settings: Settings

    @cached_property
    def store(self) -> Store:
        """The store, created and migrated on first use."""
        return Store.open(self.settings.store_url)

    @cached_property
    def pseudonymiser(self) -> Pseudonymiser:
        """The keyed hash of this installation; its key lies apart from the data."""
        return Pseudonymiser.from_key_file(self.settings.key_file)

    def import_cohort(self, content: bytes, request: ImportRequest) -> ImportReport:
        """Check `content` and, when nothing stands against it, store it in one transaction.

        Raises:
            Conflict: a cohort of that name exists and `request.replace` is not set.
        """
        checked = self.check(content, request)
        if checked.cohort is not None:
            self.store.import_cohort(
                request.cohort,
                checked.cohort,
                source=request.file_name,
                mapping=request.mapping.as_dict() if request.mapping else None,
                report=checked.report.as_dict(),
                replace=request.replace,
                actor=self.settings.actor,
            )
        return checked.report

    def check(self, content: bytes, request: ImportRequest) -> Checked:
        """What an import of `content` would find and keep; stores nothing."""
        return check_source(
            content,
            request.file_name,
            request.spec,
            request.mapping,
            limits=request.limits,
            skip_bad_rows=request.skip_bad_rows,
            pseudonymiser=self.pseudonymiser if request.pseudonymise else None,
        )

    def export_cohort(self, name: str) -> bytes:
        """The current version of a cohort as CSV; recorded in the audit.

        Raises:
            NotFound: there is no such cohort.
        """
        cohort = self.store.load(name)
        content = cohort_csv(cohort)
        self.store.record(self.settings.actor, "export", name, {"version": cohort.version, "bytes": len(content)})
        return content

    def fit(self, name: str, seed: int = 0, progress: Progress | None = None) -> str:
        """Fit a twin on the current version of a cohort, keep it, and return its version.

        Raises:
            NotFound: there is no such cohort.
            Refused: the cohort cannot teach a single outcome.
        """
        from twin.fitting import FitSettings, fit_twin  # imported here: a page that only reads need not wait for it

        cohort = self.store.load(name)
        twin = fit_twin(cohort, FitSettings(seed=seed), progress)
        number = self.store.next_model_number(name)
        content = hashlib.sha256(f"{twin.origin.digest} {seed}".encode()).hexdigest()[:8]
        version = f"{name}-{number}-{content}"
        registry.save(twin, self.settings.models_folder, version)
        summary = ModelSummary(version=version, cohort=name, cohort_version=cohort.version, summary=twin.headline())
        self.store.record_model(summary, actor=self.settings.actor)
        return version

    def promote(self, version: str) -> None:
        """Let a fitted twin serve its cohort; its files are verified first.

        Raises:
            NotFound: there is no such model.
            DamagedArtefact: a file is not what the manifest says.
        """
        self.twin(version)
        self.store.promote(version, actor=self.settings.actor)

    def twin(self, version: str) -> FittedTwin:
        """The twin of that version, every file verified against its manifest.

        Raises:
            NotFound: there is no such model.
            DamagedArtefact: a file is not what the manifest says.
        """
        return registry.load(self.settings.models_folder, version)

    def serving_version(self, name: str) -> str:
        """Version of the newest promoted twin of a cohort.

        Raises:
            NotFound: there is no such cohort.
            Refused: no twin was fitted on it yet.
        """
        model = self.store.serving(name)
        if model is not None:
            return model.version
        self.store.load(name)
        raise Refused(f"cohort '{name}' has no fitted twin", remedy=f"fit one: python -m twin fit --cohort {name}")

    def prepare_demonstration(self, progress: Progress | None = None) -> bool:
        """Create the demonstration cohort and its twin where they are missing; whether anything was missing."""
        from data.synthetic import generate  # imported here: needed once in the life of an installation

        with _preparing:
            missing_cohort = DEMONSTRATION not in {cohort.name for cohort in self.store.cohorts()}
            if missing_cohort:
                synthetic = generate(DEMONSTRATION_PATIENTS)
                self.store.import_cohort(
                    DEMONSTRATION,
                    synthetic.cohort,
                    source=f"synthetic, {DEMONSTRATION_PATIENTS} patients, seed 0",
                    mapping=None,
                    report={},
                    actor=self.settings.actor,
                )
            missing_model = self.store.serving(DEMONSTRATION) is None
            if missing_model:
                self.fit(DEMONSTRATION, progress=progress)
            return missing_cohort or missing_model


def open_workspace(settings: Settings | None = None) -> Workspace:
    """The workspace of this installation (environment variables decide where it lies)."""
    return Workspace(settings or Settings.from_environment())
