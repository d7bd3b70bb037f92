"""A fitted twin and a cohort it was not fitted on in, the twin's quality there, as it is, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from twin.arrays import Floats
from twin.evaluation.evaluate import (
    POLICY,
    SYMPTOMS,
    Evaluation,
    EvaluationSettings,
    Kind,
    Omission,
    Teller,
    as_fitted,
    never,
    outcome_evaluation,
    targets_of,
)
from twin.evaluation.held_out import AVERAGES, TWIN, HeldOut, ModelRisks, Said, fit_references, moment_of, questions
from twin.evaluation.landmarks import evaluate_landmark, landmark_plans
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.references import Average, Reference, reference_inputs
from twin.evaluation.targets import Target, later, reached, target
from twin.fitting import Progress
from twin.prediction import FittedTwin
from twin.threads import one_thread


def validate(
    twin: FittedTwin,
    cohort: Cohort,
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
    training: Cohort | None = None,
) -> Evaluation:
    """Score a twin as it is on the patients of another cohort; nothing is fitted on them.

    Decisions that are not recorded are completed by the habits of the cohort itself. The average beside the twin is the
    cohort's own Kaplan-Meier (Aalen-Johansen) curve, which a model from elsewhere does not know: skill over it is hard
    to come by. Ridge regression is fitted on the patients that taught the twin, where they are at hand.

    Args:
        twin: Fitted on other patients.
        cohort: n patients of the same disease.
        settings: How; its fits and splits are not used.
        progress: Told what is being done.
        training: The patients that taught the twin.

    Raises:
        Refused: another disease, or no outcome that the twin predicts can be scored.
    """
    if twin.spec.name != cohort.spec.name:
        raise Refused(
            f"the model is of {twin.spec.name}, cohort '{cohort.name}' of {cohort.spec.name}",
            remedy="name a model of the same disease",
        )
    settings = replace(settings or EvaluationSettings(), folds=1, splits=False, policy=False, fit=as_fitted(twin))
    targets, omitted = _targets(twin, cohort, settings)
    if not targets:
        reasons = "; ".join(f"{omission.what}: {omission.reason}" for omission in omitted)
        raise Refused(f"nothing that the model predicts can be scored in '{cohort.name}' ({reasons})")
    asked = landmark_plans(cohort, targets) if settings.landmarks else ()
    every = [*targets, *(one for plan in asked for one in plan.targets)]
    one_fold = np.zeros(cohort.size, dtype=np.intp)
    everybody = np.ones(cohort.size, dtype=bool)
    plans = plan_texts(complete_plans(cohort, cohort, twin.capability.held))
    moments = len({one.landmarks_reached for one in every})
    tell = Teller(progress, moments)
    told = tell.fits("asking at moment", moments)
    with one_thread():
        found: list[HeldOut] = []
        for done, said in enumerate(questions(twin, cohort, plans, every, everybody)):
            told(done)
            here_asked = [one for one in every if one.landmarks_reached == said.landmarks_reached]
            found += [_answered(twin, cohort, one, said, plans, training) for one in here_asked]
        outcomes = tuple(
            outcome_evaluation(cohort, one, here, one_fold, settings)
            for one, here in zip(targets, found[: len(targets)], strict=True)
        )
        rest, landmarks = found[len(targets) :], []
        for plan in asked:
            here, rest = rest[: len(plan.targets)], rest[len(plan.targets) :]
            landmarks.append(evaluate_landmark(plan, here, one_fold, settings.resamples, settings.seed))
    tell.done()
    elsewhere = (
        Omission("decisions", "a model says how physicians decided where it was fitted, not here"),
        Omission(SYMPTOMS, "expected ratings are cross-validated on the model's own cohort"),
        Omission(POLICY, "valued on the model's own cohort only: how physicians decide elsewhere it does not know"),
    )
    return Evaluation(
        kind=Kind.EXTERNAL,
        cohort=cohort.name,
        version=cohort.version,
        spec=cohort.spec.name,
        synthetic=cohort.synthetic,
        time_zero=str(cohort.time_zero),
        patients=cohort.size,
        settings=settings,
        outcomes=outcomes,
        decisions=(),
        landmarks=tuple(landmarks),
        splits=(),
        symptoms=None,
        policy=None,
        not_evaluated=(*omitted, *elsewhere, *never(targets)),
    )


def _targets(twin: FittedTwin, cohort: Cohort, settings: EvaluationSettings) -> tuple[list[Target], list[Omission]]:
    """What the twin predicts and the cohort records, up to the end of either's follow-up."""
    within = tuple(month for month in settings.horizons if month <= twin.last_month)
    if not within:
        raise Refused(f"the model predicts to month {twin.last_month:g}", remedy="give earlier horizons")
    targets, omitted = targets_of(cohort, within)
    unknown = [one.outcome.name for one in targets if one.outcome.name not in twin.outcomes]
    omitted += [Omission(name, "the model does not predict it") for name in unknown]
    return [one for one in targets if one.outcome.name not in unknown], omitted


def _answered(
    twin: FittedTwin, cohort: Cohort, one: Target, said: Said, plans: Sequence[str], training: Cohort | None
) -> HeldOut:
    risk, drawn = said.of(one, one.rows)
    risks: ModelRisks = {TWIN: risk, AVERAGES[one.outcome.kind]: _average(one)}
    own = [plans[row] for row in one.rows]
    if training is not None:
        patients = replace(cohort, frame=cohort.frame.iloc[one.rows].reset_index(drop=True))
        digits = np.array([[float(digit) for digit in plan] for plan in own])
        inputs = reference_inputs(patients.frame, patients.spec, digits, moment_of(one, patients))
        fitted = _fitted_there(twin, training, one)
        risks.update({name: model.risks(inputs, one.months) for name, model in fitted.items() if name not in risks})
    return HeldOut(risks, drawn, np.array(own, dtype=object))


def _average(one: Target) -> Floats:
    """(n, months) the cohort's own curve for everybody."""
    if one.is_binary:
        return np.full((one.observed.size, len(one.months)), one.observed.event.mean())
    return np.repeat(Average.of_times(one.observed).curve.at(one.months), one.observed.size, axis=0)


def _fitted_there(twin: FittedTwin, training: Cohort, one: Target) -> dict[str, Reference]:
    """The regressions of the same question, fitted on the patients that taught the twin; none where too few did."""
    there = target(training, training.spec.outcome(one.outcome.name), (one.last_month,))
    if isinstance(there, Target) and one.landmarks_reached:
        there = later(training, there, one.landmarks_reached, reached(training, one.landmarks_reached))
    if isinstance(there, str):
        return {}
    patients = replace(training, frame=training.frame.iloc[there.rows].reset_index(drop=True))
    plans = complete_plans(training, patients, twin.capability.held)
    return fit_references(there, patients, plans, there.observed)
