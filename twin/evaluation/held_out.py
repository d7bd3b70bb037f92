"""Risks of patients by models that never saw them: a cohort and folds in, held-out risks of every model out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from sklearn.model_selection import StratifiedKFold

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind
from twin.arrays import Flags, Floats, Integers, Texts
from twin.capability import Capability, capability
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.references import Average, Reference, RidgeCox, RidgeLogistic, reference_inputs
from twin.evaluation.targets import Target
from twin.fitting import FitSettings, fit_twin
from twin.metrics.observed import EVENT, Observed
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

PATIENTS_AT_ONCE: Final = 256
"""Patients whose draws are held in memory together."""

ModelRisks: TypeAlias = dict[str, Floats]
"""Model -> (n, months of the target) risks of the target's patients."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One part held out, and the part that models are fitted on."""

    training: Cohort
    held_out: Cohort
    taught_by: Flags
    """(patients,) who of the whole cohort is in the training part"""
    rows: Flags
    """(patients,) who is held out"""
    capability: Capability
    """What the training part can teach"""

    @classmethod
    def of(cls, cohort: Cohort, rows: Flags, taught_by: Flags | None = None) -> Fold:
        """The patients at `rows` held out, and models fitted on those of `taught_by`, or on all others."""
        taught_by = ~rows if taught_by is None else taught_by
        training = part(cohort, taught_by)
        return cls(training, part(cohort, rows), taught_by, rows, capability(training))

    def plans(self, patients: Cohort) -> Floats:
        """(n, decisions) of the n `patients`, completed by the habits of the training part."""
        return complete_plans(self.training, patients, self.capability.held)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is said of the n patients of a target by models that never saw them; NaN for who is never held out."""

    risks: ModelRisks
    draws: Floats
    """(1 + draws, n, horizons) of the twin; row 0 is the fit. Draws of one row belong together within a fold"""
    plans: Texts
    """(n,) under which each patient was predicted"""

    @property
    def known(self) -> Flags:
        """(n,) who was held out."""
        return ~np.isnan(self.risks[TWIN][:, 0])

    def take(self, rows: Flags, target: Target) -> HeldOut:
        """The same for the patients at `rows` (n,) and the months of `target`, whose months are the first of these."""
        months, horizons = len(target.months), len(target.horizons)
        risks = {name: found[rows, :months] for name, found in self.risks.items()}
        return HeldOut(risks, self.draws[:, rows, :horizons], self.plans[rows])


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
    return [Fold.of(cohort, folds == fold) for fold in np.unique(folds)]


def part(cohort: Cohort, rows: Flags) -> Cohort:
    """Some of the patients (patients,) of a cohort."""
    return replace(cohort, frame=cohort.frame[rows].reset_index(drop=True))


def held_out(
    parts: Sequence[Fold],
    targets: Sequence[Target],
    settings: FitSettings,
    told: Callable[[int], None],
    keep: list[FittedTwin] | None = None,
) -> list[HeldOut]:
    """Risks of every target by the twin and the reference models, each patient by models fitted without that patient.

    Args:
        parts: Nobody is held out twice.
        targets: Outcomes that every training part can teach, at time zero or later.
        settings: How the twins are fitted.
        told: Called with the number of parts that are done.
        keep: To which the twin of each part is added, for whoever asks them later what follows from states.

    Returns:
        One entry a target.
    """
    result = [_nobody_yet(target, settings.draws) for target in targets]
    # Where nothing is asked later, what is seen later need not be modelled: answers from time zero are the same.
    asked_later = keep is not None or any(target.landmarks_reached for target in targets)
    settings = settings if asked_later else replace(settings, states=False)
    for done, one in enumerate(parts):
        told(done)
        twin = fit_twin(one.training, settings)
        if keep is not None:
            keep.append(twin)
        plans = plan_texts(one.plans(one.held_out))
        for said in questions(twin, one.held_out, plans, targets, one.rows):
            for target, whole in zip(targets, result, strict=True):
                scored = one.rows[target.rows]
                if target.landmarks_reached == said.landmarks_reached and scored.any():
                    _fill(whole, scored, one, target, said)
    told(len(parts))
    return result


def _fill(whole: HeldOut, scored: Flags, one: Fold, target: Target, said: Said) -> None:
    """Write what is said of the patients at `scored` (n,) of a target, all held out in `one`, into `whole`."""
    patients = of_target(one.held_out, one.rows, target)
    plans = one.plans(patients)
    whole.plans[scored] = plan_texts(plans)
    risk, whole.draws[:, scored] = said.of(target, _positions(one.rows, target))
    taught = one.taught_by[target.rows]
    teachers = of_target(one.training, one.taught_by, target)
    fitted = fit_references(target, teachers, one.plans(teachers), target.observed.take(taught))
    inputs = reference_inputs(patients.frame, patients.spec, plans, moment_of(target, patients))
    found = {name: model.risks(inputs, target.months) for name, model in fitted.items()}
    for name, of_model in {TWIN: risk, **found}.items():
        whole.risks.setdefault(name, np.full((len(target.rows), len(target.months)), np.nan))[scored] = of_model


def of_target(cohort: Cohort, rows: Flags, target: Target) -> Cohort:
    """The patients of a target among those of `cohort`, who are at `rows` (patients,) of the whole."""
    return replace(cohort, frame=cohort.frame.iloc[_positions(rows, target)].reset_index(drop=True))


def _positions(rows: Flags, target: Target) -> Integers:
    """Positions, among the patients at `rows` (patients,) of the whole, of those of a target."""
    return np.asarray((np.cumsum(rows) - 1)[target.rows[rows[target.rows]]])


def _nobody_yet(target: Target, draws: int) -> HeldOut:
    n = len(target.rows)
    return HeldOut({}, np.full((1 + draws, n, len(target.horizons)), np.nan), np.full(n, "", dtype=object))


def moment_of(target: Target, cohort: Cohort) -> str:
    """The moment of the question that a target asks."""
    return question_moment(cohort.spec, target.landmarks_reached)


@dataclass(frozen=True, eq=False)
class Said:
    """What a twin says of n patients at one landmark, all its outcomes together."""

    landmarks_reached: int
    months: Floats
    """(m,) ascending, from time zero"""
    patients: Integers
    """(n,) positions in the cohort that was asked about"""
    risks: Mapping[str, Floats]
    """By outcome, (n, m), or (n, 1) of a yes-or-no outcome"""
    draws: Mapping[str, Floats]
    """By outcome, (1 + draws, n, horizons), or (1 + draws, n, 1)"""
    horizons: Floats
    """(horizons,) those of all targets, from time zero"""

    def of(self, target: Target, positions: Integers) -> tuple[Floats, Floats]:
        """Risks (k, months of the target) and draws (1 + draws, k, horizons) of the patients at `positions` (k,)."""
        rows, name = np.searchsorted(self.patients, positions), target.outcome.name
        if target.is_binary:
            return self.risks[name][rows], self.draws[name][:, rows]
        at = np.searchsorted(self.months, target.origin + target.months)
        ends = np.searchsorted(self.horizons, target.origin + np.array(target.horizons))
        return self.risks[name][rows][:, at], self.draws[name][:, rows][..., ends]


def questions(
    twin: FittedTwin, patients: Cohort, plans: Sequence[str], targets: Sequence[Target], rows: Flags
) -> Iterator[Said]:
    """What a twin says at time zero and at each landmark, about those patients whom a target there is about.

    Args:
        twin: Asked.
        patients: n patients.
        plans: (n,) that each of them had.
        targets: What is asked.
        rows: (patients of the targets' cohort,) where the n are.
    """
    for reached in sorted({target.landmarks_reached for target in targets}):
        here = [target for target in targets if target.landmarks_reached == reached]
        about = np.unique(np.concatenate([_positions(rows, target) for target in here]))
        if about.size:
            yield _ask(twin, patients, np.array(plans, dtype=object), here, about)


def _ask(twin: FittedTwin, patients: Cohort, plans: Texts, targets: Sequence[Target], about: Integers) -> Said:
    """What a twin says of the patients at `about`, each under the own plan, at one landmark.

    Only columns from before the moment of the question are shown to it: neither later decisions, states nor outcomes.
    Decisions that the twin holds at one value are not shown either: it would refuse any other.
    """
    known = Known.at(patients.frame, patients.spec, moment_of(targets[0], patients)).frame.iloc[about]
    known = known.drop(columns=[column for column in twin.capability.held if column in known])
    timed = [one for one in targets if not one.is_binary]
    months = np.unique(np.concatenate([np.zeros(0), *(one.origin + one.months for one in timed)]))
    horizons = np.unique(np.concatenate([np.zeros(0), *(one.origin + np.array(one.horizons) for one in timed)]))
    # A part that was followed a little less far than the whole cohort says nothing of the last days.
    end = min((twin.domain_end(one.outcome.name) for one in timed), default=0.0)
    asked, at = np.unique(np.minimum(months, end), return_inverse=True)
    ends = at[np.searchsorted(months, horizons)]
    wanted = [one.outcome.name for one in targets]
    risks: dict[str, Floats] = {}
    draws: dict[str, Floats] = {}
    for plan in np.unique(plans[about]):
        of_plan = np.flatnonzero(plans[about] == plan)
        for some in np.array_split(of_plan, -(-len(of_plan) // PATIENTS_AT_ONCE)):
            found = twin.predict_draws(known.iloc[some].reset_index(drop=True), [str(plan)], asked, wanted)
            for target in targets:
                name, said = target.outcome.name, found[target.outcome.name][:, :, 0]
                whole = said[0] if target.is_binary else said[0][:, at]
                drawn = said if target.is_binary else said[..., ends]
                risks.setdefault(name, np.empty((len(about), whole.shape[1])))[some] = whole
                draws.setdefault(name, np.empty((len(drawn), len(about), drawn.shape[2])))[:, some] = drawn
    return Said(targets[0].landmarks_reached, months, about, risks, draws, horizons)


def fit_references(target: Target, patients: Cohort, plans: Floats, observed: Observed) -> dict[str, Reference]:
    """The reference models of a target, fitted on n patients.

    Args:
        target: What is asked, and when.
        patients: n patients in whom it is recorded.
        plans: (n, decisions) that they had.
        observed: What was seen of them.
    """
    kind = target.outcome.kind
    inputs = reference_inputs(patients.frame, patients.spec, plans, moment_of(target, patients))
    if target.is_binary:
        positive = observed.event.astype(np.float64)
        average, ridge = Average.of_share(float(positive.mean())), RidgeLogistic.fit(inputs, positive)
        return {AVERAGES[kind]: average, RIDGES[kind]: ridge}
    return {AVERAGES[kind]: Average.of_times(observed), RIDGES[kind]: RidgeCox.fit(inputs, observed)}
