"""A cohort in, its physicians' behaviour out: how likely each decision was "yes", given what was known before it.

That probability is the propensity of the decision. It is learnt from what was decided, in those who lived to decide it:
how patients fared plays no part. A decision that an outcome can bring about (`Outcome.triggers`) is recorded for both
reasons alike; whoever had that outcome does not teach it.

What matters of a propensity is that it is calibrated. Habits are partly rules ("extensive disease gets induction"), and
main effects alone say too little of whoever meets a rule and too much of whoever nearly does. So the log odds are bent
by a curve, learnt from what the regression says of each patient with that patient left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax

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
from twin.models.posterior import LogisticProblem, Mode
from twin.record import decision_matrix
from twin.state import Known
from twin.timeline import effect_months

FOLDS: Final = 5
PRIOR_SDS: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.7)
"""Penalties to average over, each as the standard deviation of a normal prior on a log odds ratio, per indicator or per
two standard deviations of a number; wider than for outcomes, because habits can be strict"""
BEND_SDS: Final = (0.1, 0.3, 1.0)
"""Penalties of the bends to average over: standard deviations of the change of slope at a knot"""
SLOPE_SD: Final = 0.5
"""Standard deviation of the slope below the first knot, relative to that of a change of slope"""
KNOTS: Final = (0.25, 0.5, 0.75)
"""Quantiles of the log odds at which the curve may bend"""
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
class Bend:
    """A piecewise linear curve from the log odds of a regression to calibrated ones; it never falls."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    shift: float
    knots: Floats
    """(k,) log odds, rising"""
    slopes: Floats
    """(1 + k,) below the first knot, between knots, and above the last; at least 0"""

    @classmethod
    def none(cls) -> Self:
        """The curve that leaves everything as it is."""
        return cls(0.0, np.empty(0), np.ones(1))

    def calibrated(self, log_odds: Floats) -> Floats:
        """(n,) calibrated log odds."""
        changes = np.maximum(log_odds[:, None] - self.knots, 0.0) @ np.diff(self.slopes)
        return np.asarray(self.shift + self.slopes[0] * log_odds + changes)


@dataclass(frozen=True, eq=False)
class Habit:
    """How one decision is taken: a ridge logistic regression on what is known before it, and a curve of its log odds.

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
    """(p + flags,) log odds ratios, the mean over the penalties of the modes of their posterior"""
    prior_sd: float
    """Geometric mean of the penalties, each as a standard deviation"""
    bend: Bend
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
        return cls(decision.column, encoding, flags, shares, 0.0, nothing, 0.0, Bend.none(), quality)

    @property
    def names(self) -> tuple[str, ...]:
        """(p + flags,) names of the inputs."""
        return (*self.encoding.names, *self.flags)

    def inputs(self, known: Known) -> Floats:
        """(n, p + flags) centred inputs of patients as they are known at the decision's moment."""
        unknown = np.full(known.size, np.nan)
        flags = np.array([known.columns.get(flag, unknown) for flag in self.flags], dtype=float)
        values = flags.reshape(len(self.flags), known.size).T
        return np.hstack([self.encoding.encode(known), np.nan_to_num(values - self.shares)])

    def chance(self, inputs: Floats) -> Floats:
        """(n,) probability of "yes" for `inputs` (n, p + flags)."""
        return np.asarray(expit(self.bend.calibrated(self.intercept + inputs @ self.coefficients)))


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
        return habit.chance(habit.inputs(self.known(frame, decision)))

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
    whom an outcome happened that can bring it about. Penalties are averaged over by their marginal likelihood
    (Laplace's approximation), and the curve is bent, in every fold anew: no patient enters what is said of the patient.

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
        out_of_fold[test] = _taught(blank, inputs[train], yes[train]).chance(inputs[test])
    quality = _quality(yes[rows], out_of_fold[rows], folds[rows])
    return replace(_taught(blank, inputs[rows], yes[rows]), quality=quality), out_of_fold


def _taught(blank: Habit, inputs: Floats, yes: Flags) -> Habit:
    """The habit as m patients teach it, from inputs (m, p + flags) and what was decided (m,)."""
    problem = LogisticProblem(inputs, yes.astype(float), np.zeros(len(yes)), np.empty((len(yes), 0)))
    penalties = [np.full(inputs.shape[1], prior_sd**-2.0) for prior_sd in PRIOR_SDS]
    modes, chance = _averaged(problem, penalties)
    coefficients = np.sum([share * mode.coefficients for mode, share in zip(modes, chance, strict=True)], axis=0)
    left_out = np.sum([share * _left_out(problem, mode) for mode, share in zip(modes, chance, strict=True)], axis=0)
    return replace(
        blank,
        intercept=float(coefficients[0]),
        coefficients=coefficients[1:],
        prior_sd=float(np.exp(chance @ np.log(PRIOR_SDS))),
        bend=_bent(left_out, yes),
    )


def _averaged(problem: LogisticProblem, penalties: Sequence[Floats]) -> tuple[list[Mode], Floats]:
    """The posterior under each penalty, and the probability of each penalty, all alike beforehand."""
    modes: list[Mode] = []
    start = np.zeros(1 + problem.inputs.shape[1])
    for precision in penalties:
        modes.append(problem.mode(precision, modes[-1].coefficients if modes else start))
    return modes, np.asarray(softmax([mode.evidence for mode in modes]))


def _left_out(problem: LogisticProblem, mode: Mode) -> Floats:
    """(m,) log odds of each patient by the regression without that patient, to first order.

    Approximate leave-one-out of Rad and Maleki 2020 (doi:10.1111/rssb.12374): refits would take as many regressions as
    there are patients.
    """
    design = np.hstack([np.ones((len(problem.inputs), 1)), problem.inputs])
    log_odds = design @ mode.coefficients
    risk = expit(log_odds)
    variance = np.einsum("ij,ij->i", design @ mode.covariance, design)
    return np.asarray(log_odds + variance / (1.0 - variance * risk * (1.0 - risk)) * (risk - problem.positive))


def _bent(log_odds: Floats, yes: Flags) -> Bend:
    """The curve that (m,) log odds need, judged by what was decided: the diagonal, as far as nothing speaks against it.

    Its slope may change at quantiles of the log odds, under a ridge penalty that is averaged over. A habit does not
    turn back: where the curve would fall, it is level.
    """
    knots = np.unique(np.quantile(log_odds, KNOTS))
    columns = np.column_stack([log_odds, np.maximum(log_odds[:, None] - knots, 0.0)])
    centre = columns.mean(axis=0)
    problem = LogisticProblem(columns - centre, yes.astype(float), log_odds, np.empty((len(yes), 0)))
    relative = np.array([SLOPE_SD, *np.ones(len(knots))])
    modes, chance = _averaged(problem, [(bend_sd * relative) ** -2.0 for bend_sd in BEND_SDS])
    added = np.sum([share * mode.coefficients for mode, share in zip(modes, chance, strict=True)], axis=0)
    return Bend(
        shift=float(added[0] - centre @ added[1:]),
        knots=knots,
        slopes=np.maximum(1.0 + np.cumsum(added[1:]), 0.0),
    )


def _quality(yes: Flags, probability: Floats, folds: Integers) -> BehaviourQuality:
    ranked = float(auc(yes, probability, np.ones((1, len(yes))), folds.astype(np.int64))[0])
    return BehaviourQuality(
        patients=len(yes),
        given=int(yes.sum()),
        auc=ranked if np.isfinite(ranked) else None,
        ece=float(expected_calibration_error(yes, probability)[0]),
    )
