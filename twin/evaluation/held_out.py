"""Risks of patients by models that never saw them: a cohort and folds in, held-out risks of every model out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from sklearn.model_selection import StratifiedKFold

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind, Role
from twin.arrays import Flags, Floats, Integers
from twin.capability import Capability, capability
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.references import Average, Reference, RidgeCox, RidgeLogistic, reference_inputs
from twin.evaluation.targets import Target
from twin.fitting import FitSettings, fit_twin
from twin.metrics.observed import EVENT
from twin.prediction import FittedTwin
from twin.state import Known
from twin.timeline import question_moment

TWIN: Final = "twin"

AVERAGES: Final = {
    OutcomeKind.SURVIVAL: "kaplan_meier",
    OutcomeKind.COMPETING: "aalen_johansen",
    OutcomeKind.BINARY: "share",
}
"""Name of the model that looks at no patient, by kind of outcome."""

RIDGES: Final = {
    OutcomeKind.SURVIVAL: "ridge_cox",
    OutcomeKind.COMPETING: "ridge_cox",
    OutcomeKind.BINARY: "ridge_logistic",
}
"""Name of the regression in its published form, by kind of outcome."""

PATIENTS_AT_ONCE: Final = 512
"""Patients whose refits are held in memory together."""

ModelRisks: TypeAlias = dict[str, Floats]
"""Model -> (n, months of the target) risks of the target's patients."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One part held out, and the part that models are fitted on."""

    training: Cohort
    held_out: Cohort
    rows: Flags
    """(patients,) who of the whole cohort is held out"""
    capability: Capability
    """What the training part can teach"""


def assign_folds(target: Target, patients: int, folds: int, seed: int) -> Integers:
    """(patients,) fold of every patient, with about the same share of events of `target` in each.

    Raises:
        Refused: fewer events than folds.
    """
    stratum = np.zeros(patients, dtype=np.intp)
    stratum[target.rows] = target.observed.event == EVENT
    events = int(stratum.sum())
    if min(events, patients - events) < folds:
        raise Refused(
            f"{events} events of {target.outcome.name} in {patients} patients cannot be spread over {folds} folds",
            remedy="a twin can be evaluated on a cohort with more events",
        )
    result = np.empty(patients, dtype=np.intp)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(stratum, stratum)
    for fold, (_, held_out) in enumerate(splits):
        result[held_out] = fold
    return result


def split(cohort: Cohort, folds: Integers) -> list[Fold]:
    """The cohort with each fold held out in turn."""
    parts = []
    states = [column.name for column in cohort.spec.having(Role.STATE) if column.name in cohort.frame]
    for fold in np.unique(folds):
        rows = folds == fold
        training = _part(cohort, ~rows)
        # Nothing is asked at later landmarks, and without states no models are fitted there.
        training = replace(training, frame=training.frame.drop(columns=states))
        parts.append(Fold(training, _part(cohort, rows), rows, capability(training)))
    return parts


def _part(cohort: Cohort, rows: Flags) -> Cohort:
    return replace(cohort, frame=cohort.frame[rows].reset_index(drop=True))


def held_out_risks(
    parts: Sequence[Fold], targets: Sequence[Target], settings: FitSettings, told: Callable[[int], None]
) -> Mapping[str, ModelRisks]:
    """Risks of every target by the twin and the reference models, each patient by models fitted without that patient.

    Args:
        parts: Every patient is held out once.
        targets: Outcomes that every training part can teach.
        settings: How the twins are fitted.
        told: Called with the number of parts that are done.

    Returns:
        Outcome -> model -> risks.
    """
    result: dict[str, ModelRisks] = {target.outcome.name: {} for target in targets}
    for done, part in enumerate(parts):
        told(done)
        twin = fit_twin(part.training, settings)
        plans = complete_plans(part.training, part.held_out, part.capability.held)
        inputs = reference_inputs(part.held_out.frame, part.held_out.spec, plans)
        for target in targets:
            scored = part.rows[target.rows]
            among_held_out = (np.cumsum(part.rows) - 1)[target.rows[scored]]
            risks = {TWIN: twin_risks(twin, part.held_out, plan_texts(plans), target)}
            for name, model in _references(part, target).items():
                risks[name] = model.risks(inputs, target.months)
            for name, found in risks.items():
                whole = result[target.outcome.name].setdefault(name, np.empty((len(target.rows), len(target.months))))
                whole[scored] = found[among_held_out]
    told(len(parts))
    return result


def twin_risks(twin: FittedTwin, patients: Cohort, plans: Sequence[str], target: Target) -> Floats:
    """(n, months of the target) risks of n patients, each under the plan of that position, by what is known at first.

    Only columns from before the first question are shown to the twin: neither decisions, states nor outcomes.
    """
    known = Known.at(patients.frame, patients.spec, question_moment(patients.spec, 0)).frame
    asked = _answering(twin, target.outcome.name)
    given = np.array(plans)
    result = np.empty((len(known), len(target.months)))
    for plan in np.unique(given):
        rows = np.flatnonzero(given == plan)
        for some in np.array_split(rows, -(-len(rows) // PATIENTS_AT_ONCE)):
            draws = asked.predict_draws(known.iloc[some].reset_index(drop=True), [str(plan)], target.months.tolist())
            result[some] = draws[target.outcome.name][0, :, 0]
    return result


def _answering(twin: FittedTwin, outcome: str) -> FittedTwin:
    """The twin with the models of one outcome, so that another's shorter follow-up does not limit the months."""
    stages = tuple(
        replace(
            stage,
            hazards={name: hazards for name, hazards in stage.hazards.items() if name == outcome},
            binaries={name: model for name, model in stage.binaries.items() if name == outcome},
        )
        for stage in twin.stages
    )
    return replace(twin, stages=stages)


def _references(part: Fold, target: Target) -> dict[str, Reference]:
    """The reference models of a target, fitted on the patients of the training part in whom it is recorded."""
    kind = target.outcome.kind
    scored = ~part.rows[target.rows]
    observed = target.observed.take(scored)
    among_training = (np.cumsum(~part.rows) - 1)[target.rows[scored]]
    frame = part.training.frame.iloc[among_training]
    plans = complete_plans(part.training, replace(part.training, frame=frame), part.capability.held)
    inputs = reference_inputs(frame, part.training.spec, plans)
    if target.is_binary:
        positive = observed.event.astype(np.float64)
        average, ridge = Average.of_share(float(positive.mean())), RidgeLogistic.fit(inputs, positive)
        return {AVERAGES[kind]: average, RIDGES[kind]: ridge}
    return {AVERAGES[kind]: Average.of_times(observed), RIDGES[kind]: RidgeCox.fit(inputs, observed)}
