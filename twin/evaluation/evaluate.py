"""A cohort in, the cross-validated quality of its twin out, beside the models it must beat and group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind
from twin.arrays import Integers
from twin.capability import Subject, capability
from twin.evaluation.held_out import AVERAGES, TWIN, Fold, ModelRisks, assign_folds, held_out_risks, split
from twin.evaluation.scores import (
    CalibrationGroup,
    Sample,
    Scores,
    calibration_groups,
    differences,
    draws,
    scores,
    with_skill,
    without_slope,
)
from twin.evaluation.subgroups import Subgroup, subgroups
from twin.evaluation.targets import Target, target
from twin.fitting import FEWEST_REFITS, FitSettings, Progress
from twin.metrics.intervals import MetricValue, resample_counts
from twin.metrics.observed import COMPETING
from twin.threads import one_thread

SHARE_OF_FITTING: Final = 0.8
"""Of the time that an evaluation takes, for the progress bar."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How a twin is evaluated."""

    folds: int = 5
    """Parts of the cohort, each held out once"""
    seed: int = 0
    """Of the folds and of the resamples"""
    resamples: int = 200
    """Resamples of the patients behind each interval"""
    horizons: tuple[float, ...] = (12.0, 24.0, 36.0, 48.0, 60.0)
    """Months at which risks are scored, as far as the follow-up reaches"""
    fit: FitSettings = field(default_factory=lambda: FitSettings(refits=FEWEST_REFITS))
    """How the twins are fitted; refits do not change the risk itself, and only the risk is scored"""


@dataclass(frozen=True)
class OutcomeEvaluation:
    """How well one outcome is predicted."""

    outcome: str
    label: str
    kind: OutcomeKind
    patients: int
    """Those in whom the outcome is recorded"""
    events: int
    competing_events: int
    horizons: tuple[float, ...]
    """Months at which risks are scored; integrals and rankings end at the last"""
    models: Mapping[str, Scores]
    """The twin first, then the reference models"""
    differences: Mapping[str, Mapping[str, MetricValue]]
    """Reference model -> metric -> the twin less that model on the same patients"""
    calibration: tuple[CalibrationGroup, ...]
    """Fifths of the twin's risk by the last horizon"""
    subgroups: tuple[Subgroup, ...]


@dataclass(frozen=True)
class Omission:
    """Something that is not evaluated, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """The cross-validated quality of a cohort's twin; values are of held-out patients, intervals 95 % bootstrap."""

    cohort: str
    version: int
    spec: str
    synthetic: bool
    time_zero: str
    patients: int
    settings: EvaluationSettings
    outcomes: tuple[OutcomeEvaluation, ...]
    not_evaluated: tuple[Omission, ...]

    def as_dict(self) -> dict[str, Any]:
        """The evaluation as the JSON of ``evaluate --json``; a metric is ``{"value", "lower", "upper"}``."""
        plain = asdict(self)
        plain["outcomes"] = {one.pop("outcome"): {**one, "kind": str(one["kind"])} for one in plain["outcomes"]}
        return {**plain, "interval": "95% bootstrap", "policy": None}


def evaluate(
    cohort: Cohort, settings: EvaluationSettings | None = None, progress: Progress | None = None
) -> Evaluation:
    """Cross-validate the twin of a cohort.

    In every fold a twin is fitted on the other patients and predicts those held out from what is known at first, under
    the plan they had (see `twin.evaluation.plans_given` for decisions that are not recorded). Kaplan-Meier or
    Aalen-Johansen and ridge regression are fitted on the same patients. Intervals resample the patients
    whose risks are scored and leave the fitted models as they are: they say how sure the figures of these models are,
    not how much models of another cohort would differ.

    The plan a patient had is known at the end, not at first: whoever had a late treatment lived to it. The ranks of all
    models profit a little from that; a comparison at later landmarks does not.

    Raises:
        Refused: no outcome can be evaluated, or the first one has fewer events than there are folds.
    """
    settings = settings or EvaluationSettings()
    told = progress or _silent
    targets, omitted = _targets(cohort, settings.horizons)
    if not targets:
        reasons = "; ".join(f"{omission.what}: {omission.reason}" for omission in omitted)
        raise Refused(f"no outcome of cohort '{cohort.name}' can be evaluated ({reasons})", remedy="add patients")
    folds = assign_folds(targets[0], cohort.size, settings.folds, settings.seed)
    parts = split(cohort, folds)
    taught, untaught = _taught(targets, parts)
    with one_thread():
        evaluated = _evaluated(cohort, taught, parts, folds, settings, told)
    return Evaluation(
        cohort=cohort.name,
        version=cohort.version,
        spec=cohort.spec.name,
        synthetic=cohort.synthetic,
        time_zero=str(cohort.time_zero),
        patients=cohort.size,
        settings=settings,
        outcomes=evaluated,
        not_evaluated=(*omitted, *untaught, *_never_evaluated(taught)),
    )


def _evaluated(
    cohort: Cohort,
    targets: Sequence[Target],
    parts: Sequence[Fold],
    folds: Integers,
    settings: EvaluationSettings,
    told: Progress,
) -> tuple[OutcomeEvaluation, ...]:
    def fitted(done: int) -> None:
        told(SHARE_OF_FITTING * done / len(parts), f"fitting without fold {min(done + 1, len(parts))}")

    risks = held_out_risks(parts, targets, settings.fit, fitted)
    evaluated = []
    for done, one in enumerate(targets):
        told(SHARE_OF_FITTING + (1.0 - SHARE_OF_FITTING) * done / len(targets), f"scoring {one.outcome.label}")
        evaluated.append(_outcome(cohort, one, risks[one.outcome.name], folds, settings))
    told(1.0, "evaluated")
    return tuple(evaluated)


def _silent(fraction: float, what: str) -> None:
    """Progress that nobody watches."""


def _targets(cohort: Cohort, horizons: Sequence[float]) -> tuple[list[Target], list[Omission]]:
    targets, omitted = [], []
    for ability in capability(cohort).about(Subject.OUTCOME):
        found = target(cohort, cohort.spec.outcome(ability.name), horizons) if ability.offered else ability.reason
        if isinstance(found, str):
            omitted.append(Omission(ability.name, found))
        else:
            targets.append(found)
    return targets, omitted


def _taught(targets: Sequence[Target], parts: Sequence[Fold]) -> tuple[list[Target], list[Omission]]:
    """The targets that every training part can teach, and the others with the reason."""
    taught, omitted = [], []
    for one in targets:
        name = one.outcome.name
        if all(name in part.capability.outcomes for part in parts):
            taught.append(one)
        else:
            omitted.append(Omission(name, "too few events are left for fitting when a fold is held out"))
    return taught, omitted


def _never_evaluated(targets: Sequence[Target]) -> list[Omission]:
    competing = [one.outcome.label.lower() for one in targets if one.outcome.kind is OutcomeKind.COMPETING]
    omitted = [
        Omission("coverage of the stated intervals", "needs the true risks, which only synthetic patients have"),
        Omission("decisions", "no model of the physicians' decisions is fitted in this version"),
        Omission("policy", "no policy is learnt in this version"),
        Omission("later landmarks", "only predictions from time zero are scored, not those after a state was seen"),
    ]
    if competing:
        omitted.append(Omission(f"d_calibration_p of {', '.join(competing)}", "defined without competing events only"))
    return omitted


def _outcome(
    cohort: Cohort, one: Target, risks: ModelRisks, folds: Integers, settings: EvaluationSettings
) -> OutcomeEvaluation:
    sample = Sample(resample_counts(len(one.rows), settings.resamples, settings.seed), folds[one.rows])
    average = AVERAGES[one.outcome.kind]
    found = {name: draws(one, of_model, sample) for name, of_model in risks.items()}
    found = {name: with_skill(of_model, found[average]) for name, of_model in found.items()}
    found[average] = without_slope(found[average])
    return OutcomeEvaluation(
        outcome=one.outcome.name,
        label=one.outcome.label,
        kind=one.outcome.kind,
        patients=one.observed.size,
        events=one.observed.events,
        competing_events=int((one.observed.event == COMPETING).sum()),
        horizons=one.horizons,
        models={name: scores(of_model) for name, of_model in found.items()},
        differences={name: differences(found[TWIN], of_model) for name, of_model in found.items() if name != TWIN},
        calibration=calibration_groups(one, risks[TWIN], sample),
        subgroups=subgroups(cohort, one, risks[TWIN], sample),
    )
