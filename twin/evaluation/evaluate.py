"""A cohort in, the cross-validated quality of its twin out, beside the models it must beat and group by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind
from data.symptoms import SymptomTable
from twin.arrays import Floats, Integers
from twin.capability import Subject, capability
from twin.evaluation.coverage import Coverage, coverage
from twin.evaluation.decisions import DecisionEvaluation, evaluate_decisions
from twin.evaluation.held_out import AVERAGES, TWIN, Fold, HeldOut, assign_folds, held_out, split
from twin.evaluation.landmarks import LandmarkEvaluation, evaluate_landmark, landmark_plans
from twin.evaluation.policy import PolicyEvaluation, evaluate_policy
from twin.evaluation.policy_gathered import gather
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
from twin.evaluation.splits import Plan, SplitEvaluation, evaluate_split, plans
from twin.evaluation.subgroups import Subgroup, subgroups
from twin.evaluation.symptoms import SymptomEvaluation, evaluate_symptoms
from twin.evaluation.targets import Target, target
from twin.fitting import FitSettings, Progress
from twin.metrics.intervals import MetricValue, resample_counts
from twin.metrics.observed import COMPETING
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.threads import one_thread

DRAWS: Final = 100
"""Of every twin that is fitted for an evaluation: enough for the ends of a 90 % interval of a group"""


POLICY: Final = "policy"
SYMPTOMS: Final = "symptoms over time"
"""What is not evaluated where ratings are not scored"""


class Kind(StrEnum):
    """How patients come to be scored by models that never saw them."""

    CROSS_VALIDATION = "cross-validation"
    EXTERNAL = "external validation"


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
    """Months at which risks are scored, ascending, as far as the follow-up reaches"""
    landmarks: bool = True
    """Whether to ask again at landmarks, where the cohort records states: every patient takes a moment"""
    splits: bool = True
    """Whether to fit again on earlier years and on other centres, where the cohort records them"""
    policy: bool = True
    """Whether to value the treatment policy that follows from the twins: seconds"""
    fit: FitSettings = field(default_factory=lambda: FitSettings(draws=DRAWS, select=False))
    """How the twins are fitted"""


def as_fitted(twin: FittedTwin) -> FitSettings:
    """How to fit twins that are held to `twin`: like it, with fewer draws.

    Where ridge Cox regression serves for every outcome, the twins are fitted with it. Where another candidate serves,
    the choice between candidates is made anew in every part, because a choice made on patients flatters them.
    """
    chosen = [hazards.selection for hazards in twin.marginal.hazards.values() if hazards.selection is not None]
    others = any(one.serving is not one.scores[0] for one in chosen)
    origin = twin.origin
    return FitSettings(draws=DRAWS, interval=origin.interval, select=others, evidence_weight=origin.evidence_weight)


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
    coverage: Coverage
    subgroups: tuple[Subgroup, ...]


@dataclass(frozen=True)
class Omission:
    """Something that is not evaluated, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """The quality of a twin on patients that it never saw; intervals are 95 % bootstrap."""

    kind: Kind
    cohort: str
    version: int
    spec: str
    synthetic: bool
    time_zero: str
    patients: int
    settings: EvaluationSettings
    outcomes: tuple[OutcomeEvaluation, ...]
    decisions: tuple[DecisionEvaluation, ...]
    landmarks: tuple[LandmarkEvaluation, ...]
    splits: tuple[SplitEvaluation, ...]
    symptoms: SymptomEvaluation | None
    """``None`` where no ratings are scored; `not_evaluated` says why"""
    policy: PolicyEvaluation | None
    """``None`` where no policy is valued; `not_evaluated` says why"""
    not_evaluated: tuple[Omission, ...]

    def as_dict(self) -> dict[str, Any]:
        """The evaluation as the JSON of ``evaluate --json``; a metric is ``{"value", "lower", "upper"}``."""
        plain = {**asdict(replace(self, policy=None)), "kind": str(self.kind)}
        for one, evaluated in zip(plain["outcomes"], self.outcomes, strict=True):
            for group, covered in zip(one["coverage"]["by_group"], evaluated.coverage.by_group, strict=True):
                group["within"] = covered.within
        plain["outcomes"] = _by_name(plain["outcomes"], "outcome")
        plain["decisions"] = _by_name(plain["decisions"], "decision")
        for part in ("landmarks", "splits"):
            for one in plain[part]:
                one["outcomes"] = _by_name(one["outcomes"], "outcome")
        policy = None if self.policy is None else self.policy.as_dict()
        return {**plain, "interval": "95% bootstrap", "policy": policy}


def _by_name(entries: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    return {entry.pop(key): entry for entry in entries}


def evaluate(
    cohort: Cohort,
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
    truth: Mapping[str, Floats] | None = None,
    ratings: SymptomTable | None = None,
    regret: Floats | None = None,
) -> Evaluation:
    """Cross-validate the twin of a cohort.

    In every fold a twin is fitted on the other patients and predicts those held out from what is known at first, under
    the plan they had (see `twin.evaluation.plans_given` for decisions that are not recorded), and at every landmark
    they reached from what is known then. Kaplan-Meier or Aalen-Johansen and ridge regression are fitted on the same
    patients. Intervals resample the patients whose risks are scored and leave the fitted models as they are: they say
    how sure the figures of these models are, not how much models of another cohort would differ.

    The plan a patient had is known at the end, not at first: whoever had a late treatment lived to it. The ranks of all
    models at time zero profit a little from that; those at later landmarks less.

    Args:
        cohort: n patients.
        settings: How.
        progress: Told what is being done.
        truth: True risks of synthetic patients, by outcome: (n, plans, horizons) under every plan of
            `twin.timeline.all_plans`; a yes-or-no outcome has one horizon.
        ratings: Of symptoms, by these patients.
        regret: (patients,) what a learnt policy falls short of the exact one by, as a share of best plan less worst.

    Raises:
        Refused: no outcome can be evaluated, or the first one has fewer events than there are folds.
    """
    settings = settings or EvaluationSettings()
    targets, omitted = targets_of(cohort, settings.horizons)
    if not targets:
        reasons = "; ".join(f"{omission.what}: {omission.reason}" for omission in omitted)
        raise Refused(f"no outcome of cohort '{cohort.name}' can be evaluated ({reasons})", remedy="add patients")
    folds = assign_folds(targets[0], cohort.size, settings.folds, settings.seed)
    parts = split(cohort, folds)
    taught, untaught = _taught(targets, parts)
    tried = [(one, plans(cohort, one)) for one in cohort.spec.splits] if settings.splits else []
    set_apart = sum(len(plan.parts) for _, plan in tried if isinstance(plan, Plan))
    tell = Teller(progress, len(parts) + settings.policy + set_apart + (ratings is not None))
    twins: list[FittedTwin] = []
    with one_thread():
        asked = landmark_plans(cohort, taught) if settings.landmarks else ()
        every = [*taught, *(one for plan in asked for one in plan.targets)]
        told = tell.fits("fitting without fold", len(parts))
        found = held_out(parts, every, settings.fit, told, twins if settings.policy else None)
        first, later = found[: len(taught)], found[len(taught) :]
        outcomes = tuple(
            outcome_evaluation(cohort, one, here, folds, settings, (truth or {}).get(one.outcome.name))
            for one, here in zip(taught, first, strict=True)
        )
        landmarks = []
        for plan in asked:
            here, later = later[: len(plan.targets)], later[len(plan.targets) :]
            landmarks.append(evaluate_landmark(plan, here, folds, settings.resamples, settings.seed))
        decisions = evaluate_decisions(cohort, settings.resamples, settings.seed)
        policy: PolicyEvaluation | str = "left out of this evaluation"
        if settings.policy:
            tell.fits("policy", 1)(0)
            policy = _policy(cohort, parts, twins, settings, regret)
        splits = tuple(
            evaluate_split(
                plan,
                taught,
                first,
                settings.fit,
                settings.resamples,
                settings.seed,
                tell.fits(f"apart by {one.column}", len(plan.parts)),
            )
            for one, plan in tried
            if isinstance(plan, Plan)
        )
    symptoms: SymptomEvaluation | str = "no ratings that its model learnt from are at hand"
    if ratings is not None:
        tell.fits("symptoms over time", 1)(0)
        symptoms = evaluate_symptoms(cohort, ratings, settings.folds, settings.resamples, settings.seed)
    tell.done()
    not_rated = [Omission(SYMPTOMS, symptoms)] if isinstance(symptoms, str) else []
    not_split = [Omission(f"split by {one.column}", plan) for one, plan in tried if isinstance(plan, str)]
    return Evaluation(
        kind=Kind.CROSS_VALIDATION,
        cohort=cohort.name,
        version=cohort.version,
        spec=cohort.spec.name,
        synthetic=cohort.synthetic,
        time_zero=str(cohort.time_zero),
        patients=cohort.size,
        settings=settings,
        outcomes=outcomes,
        decisions=decisions,
        landmarks=tuple(landmarks),
        splits=splits,
        symptoms=None if isinstance(symptoms, str) else symptoms,
        policy=None if isinstance(policy, str) else policy,
        not_evaluated=(
            *omitted,
            *untaught,
            *_untaught_decisions(cohort, decisions),
            *not_split,
            *not_rated,
            *_not_valued(policy),
            *never(taught),
        ),
    )


class Teller:
    """Counts fits, which take most of the time, and tells of them."""

    def __init__(self, progress: Progress | None, fits: int) -> None:
        self._progress, self._fits, self._before = progress, max(fits, 1), 0

    def fits(self, what: str, count: int) -> Callable[[int], None]:
        """Told how many of the `count` fits of one kind are done."""
        before = self._before

        def told(done: int) -> None:
            self._before = before + done
            self._tell(min(0.98, self._before / self._fits), f"{what} {min(done + 1, count)} of {count}")

        return told

    def done(self) -> None:
        """Nothing is left to do."""
        self._tell(1.0, "evaluated")

    def _tell(self, fraction: float, what: str) -> None:
        if self._progress is not None:
            self._progress(fraction, what)


def targets_of(cohort: Cohort, horizons: Sequence[float]) -> tuple[list[Target], list[Omission]]:
    """The outcomes of a cohort that can be scored at time zero, and the others with the reason."""
    targets, omitted = [], []
    for ability in capability(cohort).about(Subject.OUTCOME):
        found = target(cohort, cohort.spec.outcome(ability.name), horizons) if ability.offered else ability.reason
        if isinstance(found, str):
            omitted.append(Omission(ability.name, found))
        else:
            targets.append(found)
    return _to_a_common_end(targets, omitted)


def _to_a_common_end(targets: list[Target], omitted: list[Omission]) -> tuple[list[Target], list[Omission]]:
    """The same up to the last horizon of the outcome that is followed least far: twins predict all of them to there."""
    timed = [one for one in targets if not one.is_binary]
    shortest = min(timed, key=lambda one: one.horizons[-1], default=None)
    if shortest is None or all(one.horizons == shortest.horizons for one in timed):
        return targets, omitted
    end = shortest.horizons[-1]
    reason = f"{shortest.outcome.label.lower()} is followed no farther"
    cut = [
        one if one.is_binary else replace(one, horizons=shortest.horizons, months=one.months[one.months <= end])
        for one in targets
    ]
    return cut, [*omitted, Omission(f"risks beyond month {end:g}", reason)]


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


def _untaught_decisions(cohort: Cohort, evaluated: Sequence[DecisionEvaluation]) -> list[Omission]:
    found = {one.decision for one in evaluated}
    reasons = {ability.name: ability.reason for ability in capability(cohort).about(Subject.DECISION)}
    return [
        Omission(decision.column, f"how it is decided cannot be learnt: {reasons[decision.column]}")
        for decision in cohort.spec.decisions
        if decision.column not in found
    ]


def never(targets: Sequence[Target]) -> list[Omission]:
    """What no evaluation of this version tells."""
    competing = [one.outcome.label.lower() for one in targets if one.outcome.kind is OutcomeKind.COMPETING]
    if not competing:
        return []
    return [Omission(f"d_calibration_p of {', '.join(competing)}", "defined without competing events only")]


def _policy(
    cohort: Cohort,
    parts: Sequence[Fold],
    twins: Sequence[FittedTwin],
    settings: EvaluationSettings,
    regret: Floats | None,
) -> PolicyEvaluation | str:
    """The value of the policy that follows from the twins; or why it cannot be told."""
    gathered = gather(cohort, parts, twins, Weights.of(cohort.spec), regret)
    return gathered if isinstance(gathered, str) else evaluate_policy(gathered, settings.resamples, settings.seed)


def _not_valued(policy: PolicyEvaluation | str) -> list[Omission]:
    """What is not told of the policy, and why."""
    if isinstance(policy, str):
        return [Omission(POLICY, policy)]
    omitted = [Omission(f"policy {name}", reason) for name, reason in policy.not_compared.items()]
    if policy.left_to_physicians:
        reason = "an outcome can bring it about, or its habit is unknown: left to the physicians in all policies"
        omitted.append(Omission(f"policy for {', '.join(policy.left_to_physicians)}", reason))
    if policy.regret is None:
        omitted.append(Omission("regret of a learnt policy", "no policy is learnt: the exact one is evaluated"))
    return omitted


def outcome_evaluation(
    cohort: Cohort,
    one: Target,
    found: HeldOut,
    folds: Integers,
    settings: EvaluationSettings,
    truth: Floats | None = None,
) -> OutcomeEvaluation:
    """Everything about one outcome at time zero.

    Args:
        cohort: All patients.
        one: n of them.
        found: What was said of the n.
        folds: (patients,) within which patients are ranked.
        settings: How.
        truth: As in `twin.evaluation.coverage.coverage`.
    """
    sample = Sample(resample_counts(len(one.rows), settings.resamples, settings.seed), folds[one.rows].astype(np.int64))
    average = AVERAGES[one.outcome.kind]
    of_model = {name: draws(one, risks, sample) for name, risks in found.risks.items()}
    of_model = {name: with_skill(metrics, of_model[average]) for name, metrics in of_model.items()}
    of_model[average] = without_slope(of_model[average])
    return OutcomeEvaluation(
        outcome=one.outcome.name,
        label=one.outcome.label,
        kind=one.outcome.kind,
        patients=one.observed.size,
        events=one.observed.events,
        competing_events=int((one.observed.event == COMPETING).sum()),
        horizons=one.horizons,
        models={name: scores(metrics) for name, metrics in of_model.items()},
        differences={name: differences(of_model[TWIN], metrics) for name, metrics in of_model.items() if name != TWIN},
        calibration=calibration_groups(one, found.risks[TWIN], sample),
        coverage=coverage(cohort, one, found, sample, settings.fit.interval, truth),
        subgroups=subgroups(cohort, one, found.risks, sample),
    )
