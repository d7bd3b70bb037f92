"""A fitted twin and a cohort in, everything that is said of its quality there out, as text and as JSON.

On its own cohort a twin is cross-validated; on another it is scored as it is, and the cohort is compared with its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.cohort import Cohort
from data.symptoms import SymptomTable
from twin.arrays import Floats
from twin.drift import DriftReport, drift, drift_text
from twin.evaluation.evaluate import Evaluation, EvaluationSettings, as_fitted, evaluate
from twin.evaluation.external import validate
from twin.evaluation.text import as_text
from twin.fitting import Progress
from twin.policy.recommendation import Learnt, relative_regret
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.state import Known
from twin.timeline import question_moment


@dataclass(frozen=True)
class Assessment:
    """The quality of one version of a twin on one cohort."""

    model: str
    evaluation: Evaluation
    drift: DriftReport | None
    """On another cohort than the twin's own"""

    def as_dict(self) -> dict[str, Any]:
        """The JSON of ``evaluate --json``."""
        moved = self.drift.as_dict() if self.drift else None
        return {**self.evaluation.as_dict(), "model": self.model, "drift": moved}

    def as_text(self) -> str:
        """What the command line prints."""
        parts = [f"Model {self.model}", drift_text(self.drift) + "\n" if self.drift else "", as_text(self.evaluation)]
        return "\n".join(part for part in parts if part)


def assess_own(
    twin: FittedTwin,
    cohort: Cohort,
    progress: Progress | None = None,
    truth: Mapping[str, Floats] | None = None,
    ratings: SymptomTable | None = None,
    learnt: Learnt | None = None,
) -> Assessment:
    """Cross-validate a twin on the cohort that taught it; the other arguments as in `twin.evaluation.evaluate`.

    A learnt policy is held against the exact one of the twin itself, in the patients as they were at first.

    Raises:
        Refused: no outcome can be evaluated, or there are fewer events than folds.
    """
    settings = EvaluationSettings(fit=as_fitted(twin))
    regret = None
    if learnt is not None:
        known = Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 0)).frame
        regret = relative_regret(twin, known, Weights.of(cohort.spec), learnt)
    return Assessment(twin.version, evaluate(cohort, settings, progress, truth, ratings, regret), None)


def assess_elsewhere(
    twin: FittedTwin, cohort: Cohort, progress: Progress | None = None, training: Cohort | None = None
) -> Assessment:
    """Score a twin as it is on another cohort; `training` are the patients that taught it, where they are at hand.

    Raises:
        Refused: another disease, or nothing that the twin predicts can be scored there.
    """
    evaluation = validate(twin, cohort, progress=progress, training=training)
    return Assessment(twin.version, evaluation, drift(twin, cohort))
