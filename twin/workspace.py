"""Where facts meet science: the store and the fitted twins behind one object that pages and command line share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data.checks.identifiers import Pseudonymiser
from data.cohort import Cohort, content_digest
from data.errors import NotFound, Refused
from data.export import cohort_csv
from data.importing import COMMAND_LINE_LIMITS, Checked, ImportReport, Limits, check_source
from data.mapping import Mapping
from data.schema import Specification
from data.settings import Settings
from data.store import ModelSummary, Store
from data.symptom_files import check_ratings, ratings_csv
from data.symptoms import SymptomTable
from twin import registry
from twin.arrays import Floats
from twin.evaluations import SavedEvaluation, save_evaluation, saved_evaluations
from twin.prediction import FittedTwin
from twin.symptoms import SymptomModel, fit_symptoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from twin.assessment import Assessment
    from twin.policy.agent import Agent
    from twin.policy.options import Exclusion
    from twin.policy.utility import Weights

DEMONSTRATION: Final = "demonstration"
"""Name of the synthetic cohort that a fresh installation shows."""

DEMONSTRATION_PATIENTS: Final = 536
"""As many as the reference cohort (section 1 of the synthetic cohort's page in docs/)."""

AGENTS: Final = "agents"
"""Folder of all agents, within that of the models; it holds no manifest, hence is no model."""

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
class RatingsRequest:
    """What an import of ratings of symptoms needs beside the bytes."""

    cohort: str
    file_name: str
    limits: Limits = COMMAND_LINE_LIMITS
    replace: bool = False
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

    def import_symptoms(self, content: bytes, request: RatingsRequest) -> ImportReport:
        """Check ratings of a cohort's patients and, when nothing stands against them, store them in one transaction.

        Raises:
            NotFound: there is no such cohort.
            Conflict: the cohort has ratings and `request.replace` is not set.
            Refused: nobody asks patients with the cohort's disease about symptoms.
        """
        cohort = self.store.load(request.cohort)
        pseudonymiser = self.pseudonymiser if request.pseudonymise else None
        checked = check_ratings(content, request.file_name, cohort, limits=request.limits, pseudonymiser=pseudonymiser)
        if checked.table is not None:
            self.store.import_symptoms(
                request.cohort,
                checked.table,
                version=cohort.version,
                source=request.file_name,
                report=checked.report.as_dict(),
                replace=request.replace,
                actor=self.settings.actor,
            )
        return checked.report

    def export_symptoms(self, name: str) -> bytes:
        """The ratings of symptoms of the current version of a cohort as CSV; recorded in the audit.

        Raises:
            NotFound: there is no such cohort.
            Refused: it has no ratings.
        """
        cohort = self.store.load(name)
        table = self.store.symptoms(name, cohort.version)
        if table is None:
            raise Refused(
                f"version {cohort.version} of cohort '{name}' has no ratings of symptoms",
                remedy=f"import them: python -m twin import-symptoms FILE --cohort {name}",
            )
        content = ratings_csv(table, cohort)
        details = {"version": cohort.version, "bytes": len(content)}
        self.store.record(self.settings.actor, "symptoms.export", name, details)
        return content

    def fit(
        self,
        name: str,
        seed: int = 0,
        progress: Progress | None = None,
        *,
        evidence_weight: float = 0.5,
        compare: bool = True,
    ) -> str:
        """Fit a twin on the current version of a cohort, keep it, and return its version.

        Where the cohort has ratings of symptoms, these are fitted, too; the summary says why when they teach nothing.

        Args:
            name: Of the cohort.
            seed: Of the draws and folds.
            progress: Told how far it is.
            evidence_weight: Of published effects against the cohort's own, 0 to 1.
            compare: Whether other candidates than Cox regression may serve; comparing them takes minutes.

        Raises:
            NotFound: there is no such cohort.
            Refused: the cohort cannot teach a single outcome.
        """
        from twin.fitting import FitSettings, fit_twin  # imported here: a page that only reads need not wait for it

        cohort = self.store.load(name)
        twin = fit_twin(cohort, FitSettings(seed=seed, evidence_weight=evidence_weight, select=compare), progress)
        symptoms, said = self._fit_symptoms(cohort, progress)
        twin = replace(twin, symptoms=symptoms)
        number = self.store.next_model_number(name)
        inputs = f"{twin.origin.digest} {seed} {evidence_weight:g} {compare} {symptoms.ratings if symptoms else ''}"
        version = f"{name}-{number}-{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"
        registry.save(twin, self.settings.models_folder, version)
        summary = ModelSummary(
            version=version, cohort=name, cohort_version=cohort.version, summary={**twin.headline(), **said}
        )
        self.store.record_model(summary, actor=self.settings.actor)
        return version

    def _fit_symptoms(self, cohort: Cohort, progress: Progress | None) -> tuple[SymptomModel | None, dict[str, Any]]:
        """The model of a cohort's ratings, and what a list of models says of it; nothing where there are no ratings."""
        table = self.store.symptoms(cohort.name, cohort.version)
        if table is None:
            return None, {}
        if progress is not None:
            progress(1.0, "symptoms over time")
        try:
            model = fit_symptoms(cohort, table)
        except Refused as reason:
            return None, {"symptoms": {"fitted": False, "reason": reason.what}}
        return model, {"symptoms": {"fitted": True, "ratings": len(table.given), "ratings_digest": table.digest}}

    def recommend(
        self,
        twin: FittedTwin,
        frame: pd.DataFrame,
        weights: Weights,
        excluded: Sequence[Exclusion] = (),
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """What `twin.policy.recommendation.recommend` says of patients, with the twin's agent if one was trained.

        Raises:
            Refused: a decision of a patient contradicts one that the cohort holds.
            WrongUsage: both options of a decision are ruled out.
        """
        from twin.policy.many import recommend_many  # imported here: a page that only reads need not wait for it

        return recommend_many(twin, frame, weights, self.agent(twin.version), excluded, progress)

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

    def evaluate(self, name: str, version: str | None = None, progress: Progress | None = None) -> Assessment:
        """Evaluate a twin on a cohort and keep the result with its version.

        On the cohort that taught it a twin is cross-validated, on the version of the cohort that it was fitted on; on
        any other it is scored as it is.

        Args:
            name: Of the cohort.
            version: Of the twin; the one that serves the cohort when left out.
            progress: Told how far it is.

        Raises:
            NotFound: there is no such cohort or model.
            Refused: no twin serves the cohort, or nothing can be evaluated.
        """
        # Imported here: it takes seconds that others need not wait.
        from twin.assessment import assess_elsewhere, assess_own

        version = version or self.serving_version(name)
        twin = self.twin(version)
        if twin.origin.cohort == name:
            cohort = self.store.load(name, twin.origin.version)
            truth, ratings = self._true_risks(cohort), self._ratings(twin)
            found = assess_own(twin, cohort, progress, truth, ratings, self.agent(version))
        else:
            found = assess_elsewhere(twin, self.store.load(name), progress, self.taught(twin))
        seal = registry.seal(self.settings.models_folder, version)
        saved = save_evaluation(self._evaluations_folder, version, seal, found.as_dict())
        details = {"cohort": name, "kind": found.evaluation.kind, "number": saved.number}
        self.store.record(self.settings.actor, "model.evaluate", version, details)
        return found

    def evaluations(self, version: str) -> tuple[SavedEvaluation, ...]:
        """What was found of a twin so far, oldest first, each verified.

        Raises:
            NotFound: there is no such model.
            DamagedArtefact: a file is not what was saved.
        """
        seal = registry.seal(self.settings.models_folder, version)
        return saved_evaluations(self._evaluations_folder, version, seal)

    def train(
        self,
        version: str,
        seeds: int | None = None,
        minutes: float | None = None,
        *,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Agent:
        """Train an agent for a twin, keep it beside the twin, and return it; the newest one serves.

        Args:
            version: Of the twin.
            seeds: How many are tried, from 0 on; as many as by default when left out.
            minutes: After which the best so far is kept; what is left can be resumed.
            resume: Whether to go on where training was stopped, with the settings it was begun with.
            progress: Told how far it is.

        Raises:
            NotFound: there is no such model.
            Refused: the patients who taught the twin are not in the store any more or are too few, nothing can be
                resumed, or there was no time for anything.
            DamagedArtefact: a file is not what was saved.
            KeyboardInterrupt: stopped; training can be resumed.
        """
        # Imported here: others need not wait for it.
        from twin import agents
        from twin.policy.checkpoint import Checkpoint, TrainingSettings
        from twin.policy.training import train

        twin = self.twin(version)
        cohort = self.taught(twin)
        if cohort is None:
            raise Refused(f"the patients who taught {version} are not in the store", remedy="fit their cohort again")
        seal, folder = registry.seal(self.settings.models_folder, version), self._agents_folder
        settings = TrainingSettings() if seeds is None else TrainingSettings(seeds=tuple(range(seeds)))
        start = agents.load_checkpoint(folder, version, seal) if resume else None
        if resume and start is None:
            raise Refused(f"no training for {version} was stopped", remedy="train without --resume")

        def keep(checkpoint: Checkpoint) -> None:
            agents.save_checkpoint(folder, version, seal, checkpoint)

        if start is not None:
            settings = start.settings
        agent = train(twin, cohort.frame, settings, progress, start=start, keep=keep, minutes=minutes)
        number = agents.save_agent(folder, version, seal, agent)
        if agent.complete:
            agents.discard_checkpoint(folder, version)
        details = {"number": number, "seed": agent.document["seed"], "complete": agent.complete}
        self.store.record(self.settings.actor, "agent.train", version, details)
        return agent

    def agent(self, version: str) -> Agent | None:
        """The newest agent of a twin, every file verified; ``None`` where none was trained.

        Raises:
            NotFound: there is no such model.
            DamagedArtefact: a file is not what was saved, or the agent was trained for another model.
        """
        from twin.agents import load_agent

        seal = registry.seal(self.settings.models_folder, version)
        return load_agent(self._agents_folder, version, seal)

    def newest_agent(self, version: str) -> int:
        """Number of the newest agent of a twin; 0 where none was trained."""
        from twin.agents import newest

        return newest(self._agents_folder, version)

    @property
    def _agents_folder(self) -> Path:
        return self.settings.models_folder / AGENTS

    @property
    def _evaluations_folder(self) -> Path:
        return self.settings.home / "evaluations"

    def taught(self, twin: FittedTwin) -> Cohort | None:
        """The patients that taught a twin, where the store still has them."""
        try:
            cohort = self.store.load(twin.origin.cohort, twin.origin.version)
        except NotFound:
            return None
        return cohort if content_digest(cohort.frame, cohort.spec) == twin.origin.digest else None

    def _ratings(self, twin: FittedTwin) -> SymptomTable | None:
        """The ratings that taught a twin's model of symptoms, where it has one and the store still has them."""
        table = self.store.symptoms(twin.origin.cohort, twin.origin.version)
        same = table is not None and twin.symptoms is not None and table.digest == twin.symptoms.ratings
        return table if same else None

    def _true_risks(self, cohort: Cohort) -> dict[str, Floats] | None:
        """The true risks of the demonstration's patients, who can be made again; of nobody else are they known."""
        if not cohort.synthetic or cohort.size != DEMONSTRATION_PATIENTS:
            return None
        from data.synthetic import generate
        from twin.evaluation.evaluate import EvaluationSettings
        from twin.evaluation.truth import true_risks

        synthetic = generate(DEMONSTRATION_PATIENTS)
        same = content_digest(synthetic.cohort.frame, cohort.spec) == content_digest(cohort.frame, cohort.spec)
        return true_risks(synthetic, EvaluationSettings.horizons) if same else None

    def prepare_demonstration(self, progress: Progress | None = None) -> bool:
        """Create the demonstration cohort and its twin where they are missing; whether anything was missing."""
        with _preparing:
            missing_data = self._make_demonstration()
            missing_model = self.store.serving(DEMONSTRATION) is None
            if missing_model:
                # A first start shall not wait for the comparison; fitting again makes it.
                self.fit(DEMONSTRATION, progress=progress, compare=False)
            return missing_data or missing_model

    def _make_demonstration(self) -> bool:
        """Create the demonstration cohort and the ratings of its patients where missing; whether anything was."""
        there = DEMONSTRATION in {cohort.name for cohort in self.store.cohorts()}
        if there and self.store.symptom_summary(DEMONSTRATION) is not None:
            return False
        from data.synthetic import generate  # imported here: needed once in the life of an installation
        from data.synthetic.symptoms import symptoms

        synthetic = generate(DEMONSTRATION_PATIENTS)
        source = f"synthetic, {DEMONSTRATION_PATIENTS} patients, seed 0"
        actor = self.settings.actor
        if not there:
            self.store.import_cohort(
                DEMONSTRATION, synthetic.cohort, source=source, mapping=None, report={}, actor=actor
            )
        elif self.store.cohort(DEMONSTRATION).digest != content_digest(synthetic.cohort.frame, synthetic.cohort.spec):
            return False  # somebody's own patients under that name
        self.store.import_symptoms(DEMONSTRATION, symptoms(synthetic), source=source, report={}, actor=actor)
        return True


def open_workspace(settings: Settings | None = None) -> Workspace:
    """The workspace of this installation (environment variables decide where it lies)."""
    return Workspace(settings or Settings.from_environment())
