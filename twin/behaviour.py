"""A cohort in, its physicians' behaviour out: how likely each decision was "yes", given what was known before it.

That probability is the propensity of the decision. It is learnt from what was decided, in those who lived to decide it:
how patients fared plays no part. A decision that an outcome can bring about (`Outcome.triggers`) is recorded for both
reasons alike; whoever had that outcome does not teach it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from data.cohort import Cohort
from data.errors import NotFound
from data.schema import Decision, Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.capability import MIN_EVENTS, Subject, capability
from twin.metrics.binary import expected_calibration_error
from twin.metrics.discrimination import auc
from twin.models.candidates.folds import even_folds
from twin.models.encoding import Encoding
from twin.models.followup import FIRST_DAY_MONTHS
from twin.models.posterior import LogisticProblem
from twin.record import decision_matrix
from twin.state import Known
from twin.timeline import effect_months

FOLDS: Final = 5
PRIOR_SDS: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.7)
"""Penalties to choose from, each as the standard deviation of a normal prior on a log odds ratio, per indicator or per
two standard deviations of a number; wider than for outcomes, because habits can be strict"""
CALIPER_SDS: Final = 0.2
"""Width of a caliper in standard deviations of the logit of the propensity: Austin 2011 (doi:10.1002/pst.433)"""
NEARLY_CERTAIN: Final = 1e-6
"""Propensities nearer to 0 or 1 count as this far from it, so that their logit is finite."""


@dataclass(frozen=True)
class BehaviourQuality:
    """How well a decision is foretold in patients on whom it was not learnt."""

    patients: int
    """Who teach the decision"""
    given: int
    """Of them, who had it"""
    auc: float | None
    """Patients of one fold compared; ``None`` where no fold has both"""
    ece: float | None
    """Expected calibration error over tenths of the propensity"""


@dataclass(frozen=True, eq=False)
class Habit:
    """How one decision is taken: a ridge logistic regression on what is known before it.

    Besides the encoded inputs it reads the decisions before it, and the flags that outcome models read as sums only:
    one involved level, say, can settle a decision, and there are far more decisions than events to learn that from.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    decision: str
    """Decision column"""
    encoding: Encoding
    """Of what is known at the decision's moment"""
    flags: tuple[str, ...]
    """Columns of the earlier decisions, and of the flags that are summed in the encoding"""
    shares: Floats
    """(flags,) share of "yes" in each among those who teach; one that is not recorded counts as this"""
    intercept: float
    coefficients: Floats
    """(p + flags,) log odds ratios, the mode of their posterior"""
    prior_sd: float
    quality: BehaviourQuality

    @classmethod
    def blank(cls, known: Known, decision: Decision, rows: Flags) -> Self:
        """A habit that nothing has been learnt for yet, with the inputs as the patients at `rows` (n,) have them."""
        part = Known(known.spec, known.moment, known.frame[rows])
        encoding = Encoding.fit(part)
        flags = _varying(part.frame, _flags(known.spec, decision))
        shares = part.frame[list(flags)].mean().to_numpy(dtype=float)
        nothing = np.zeros(len(encoding.names) + len(flags))
        quality = BehaviourQuality(int(rows.sum()), 0, None, None)
        return cls(decision.column, encoding, flags, shares, 0.0, nothing, 0.0, quality)

    @property
    def names(self) -> tuple[str, ...]:
        """(p + flags,) names of the inputs."""
        return (*self.encoding.names, *self.flags)

    def inputs(self, known: Known) -> Floats:
        """(n, p + flags) centred inputs of patients as they are known at the decision's moment."""
        values = known.frame.reindex(columns=list(self.flags)).to_numpy(dtype=float)
        return np.hstack([self.encoding.encode(known), np.nan_to_num(values - self.shares)])


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The habits of a cohort's physicians, one a decision that the cohort can teach."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    spec: Specification
    habits: tuple[Habit, ...]
    held_out: Floats
    """(n, habits) probability of "yes" for each patient of the cohort, by models that were not fitted on the patient;
    of patients who did not come to the decision, what it would have been as far as they are known"""

    @property
    def decisions(self) -> tuple[str, ...]:
        """Decision columns that have a habit."""
        return tuple(habit.decision for habit in self.habits)

    def habit(self, decision: str) -> Habit:
        """The habit of a decision column.

        Raises:
            NotFound: the cohort does not teach that decision.
        """
        return self.habits[self._position(decision)]

    def known(self, frame: pd.DataFrame, decision: str) -> Known:
        """What of `frame` is known strictly before a decision column's moment.

        Raises:
            NotFound: the cohort does not teach that decision.
        """
        return Known.at(frame, self.spec, self.habit(decision).encoding.moment)

    def probability(self, frame: pd.DataFrame, decision: str) -> Floats:
        """(n,) how likely the patients of a typed frame are to have a decision.

        Columns from the decision's moment on are not read; what is not recorded counts as average.

        Raises:
            NotFound: the cohort does not teach that decision.
        """
        habit = self.habit(decision)
        inputs = habit.inputs(self.known(frame, decision))
        return np.asarray(expit(habit.intercept + inputs @ habit.coefficients))

    def out_of_fold(self, decision: str) -> Floats:
        """(n,) the same for the cohort's own patients, by models that were not fitted on the patient.

        Raises:
            NotFound: the cohort does not teach that decision.
        """
        return np.asarray(self.held_out[:, self._position(decision)])

    def _position(self, decision: str) -> int:
        if decision not in self.decisions:
            raise NotFound.named("decision", decision, self.decisions, "ask about one that the cohort varies")
        return self.decisions.index(decision)


def fit_behaviour(cohort: Cohort, seed: int = 0) -> Behaviour:
    """The behaviour that a cohort shows: a habit for every decision that it varies and that enough patients teach.

    A decision is taught by those in whom it is recorded and who were followed beyond its month, but for patients in
    whom an outcome happened that can bring it about. The penalty is the one with the highest marginal likelihood (by
    Laplace's approximation), in every fold anew.

    Args:
        cohort: n patients.
        seed: Of the folds.
    """
    able, spec = capability(cohort), cohort.spec
    decisions = able.with_held(spec, decision_matrix(spec, cohort.frame))
    months = effect_months(spec, decisions)
    folds = cross_folds(cohort.size, seed)
    habits, held_out = [], []
    for k, decision in enumerate(spec.decisions):
        rows = _teachers(cohort, decision, decisions[:, k], months[:, k])
        given = int((decisions[rows, k] == 1).sum())
        if able.offers(Subject.DECISION, decision.column) and min(given, int(rows.sum()) - given) >= MIN_EVENTS:
            known = Known.at(cohort.frame, spec, decision.moment)
            habit, out_of_fold = _learn(Habit.blank(known, decision, rows), known, decisions[:, k] == 1, rows, folds)
            habits.append(habit)
            held_out.append(out_of_fold)
    return Behaviour(spec, tuple(habits), np.column_stack([np.empty((cohort.size, 0)), *held_out]))


def cross_folds(patients: int, seed: int) -> Integers:
    """(n,) fold of each patient at random, whatever happened to them."""
    return even_folds(np.zeros(patients, dtype=bool), FOLDS, seed)


def triggered(cohort: Cohort, decision: str) -> Flags:
    """(n,) patients with an outcome that can bring a decision column about: theirs may not have been planned."""
    found = np.zeros(cohort.size, dtype=bool)
    for outcome in cohort.spec.outcomes:
        if decision in outcome.triggers and outcome.event in cohort.frame:
            found |= cohort.frame[outcome.event].to_numpy(dtype=float) == 1
    return found


def caliper(propensity: Floats) -> float:
    """How far apart patients may be matched, in units of `distance`: 0.2 standard deviations of the logit.

    Austin 2011 (doi:10.1002/pst.433).

    Args:
        propensity: (n,) of the patients among whom is matched.
    """
    return CALIPER_SDS * float(np.std(_logit(propensity), ddof=1))


def distance(one: Floats, other: Floats) -> Floats:
    """How far apart propensities are, on the logit scale, on which a `caliper` is measured; arrays that broadcast."""
    return np.abs(_logit(one) - _logit(other))


def _logit(propensity: Floats) -> Floats:
    return np.asarray(logit(np.clip(propensity, NEARLY_CERTAIN, 1.0 - NEARLY_CERTAIN)))


def _flags(spec: Specification, decision: Decision) -> tuple[str, ...]:
    """The earlier decisions, and the members of sums that are known before the decision."""
    known = {column.name for column in spec.available_before(decision.moment)}
    columns = [other.column for other in spec.decisions] + [name for sums in spec.features for name in sums.members]
    return tuple(column for column in columns if column in known)


def _varying(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(column for column in columns if column in frame and frame[column].nunique() > 1)


def _teachers(cohort: Cohort, decision: Decision, values: Floats, months: Floats) -> Flags:
    """(n,) whether each patient lived to a decision that is recorded and that no outcome brought about."""
    followed = np.full(cohort.size, np.inf)
    if cohort.spec.follow_up in cohort.frame:
        recorded = cohort.frame[cohort.spec.follow_up].to_numpy(dtype=float)
        followed = np.where(np.isnan(recorded), np.inf, np.maximum(recorded, FIRST_DAY_MONTHS))
    return np.asarray(~np.isnan(values) & (followed > months) & ~triggered(cohort, decision.column))


def _learn(blank: Habit, known: Known, yes: Flags, rows: Flags, folds: Integers) -> tuple[Habit, Floats]:
    """The habit that the patients at `rows` teach, and (n,) out-of-fold probabilities of everybody."""
    inputs = blank.inputs(known)
    out_of_fold = np.empty(len(yes))
    for fold in range(FOLDS):
        train, test = rows & (folds != fold), folds == fold
        coefficients, _ = _fit(inputs[train], yes[train])
        out_of_fold[test] = expit(coefficients[0] + inputs[test] @ coefficients[1:])
    coefficients, prior_sd = _fit(inputs[rows], yes[rows])
    habit = replace(
        blank,
        intercept=float(coefficients[0]),
        coefficients=coefficients[1:],
        prior_sd=prior_sd,
        quality=_quality(yes[rows], out_of_fold[rows], folds[rows]),
    )
    return habit, out_of_fold


def _fit(inputs: Floats, yes: Flags) -> tuple[Floats, float]:
    """Intercept and log odds ratios (1 + p,) under the penalty of highest marginal likelihood, and that penalty."""
    problem = LogisticProblem(inputs, yes.astype(float), np.zeros(len(yes)), np.empty((len(yes), 0)))
    best, chosen, start = None, 0.0, None
    for prior_sd in PRIOR_SDS:
        mode = problem.mode(np.full(inputs.shape[1], prior_sd**-2.0), start)
        start = mode.coefficients
        if best is None or mode.evidence > best.evidence:
            best, chosen = mode, prior_sd
    assert best is not None  # noqa: S101 - there are penalties to choose from
    return best.coefficients, chosen


def _quality(yes: Flags, probability: Floats, folds: Integers) -> BehaviourQuality:
    ranked = float(auc(yes, probability, np.ones((1, len(yes))), folds.astype(np.int64))[0])
    return BehaviourQuality(
        patients=len(yes),
        given=int(yes.sum()),
        auc=ranked if np.isfinite(ranked) else None,
        ece=float(expected_calibration_error(yes, probability)[0]),
    )
