"""A cohort, an outcome and the propensities of its decisions in, doubly robust effects of the decisions out.

A marginal structural model (Robins, Hernán & Brumback 2000, doi:10.1097/00001648-200009000-00011): proportional hazards
(of a yes-or-no outcome: log odds) of the decisions in effect, fitted with

* weights: over the decisions in effect, the share of what was decided divided by its propensity. Who was decided for
  then looks like who was decided against in everything known at that moment, states in between included;
* an offset: what a regression on the inputs known at the start, beside the same decisions, expects of the patient.

Both come from models that were not fitted on the patient (cross-fitting: Chernozhukov et al. 2018,
doi:10.1111/ectj.12097), so that what they overfit does not pass for an effect. With the right propensities the weights
remove the confounding, whatever the offset is. With the right offset it is removed whatever the weights are, where a
decision follows from what is known at the start; one that also follows from states seen later depends on its weights.
All of this is approximate: a hazard or odds ratio given the inputs is a little further from 1 than the same ratio over
all patients (Greenland, Robins & Pearl 1999, doi:10.1214/ss/1009211805), and the offset moves the estimate from the
second to the first. Nothing of it helps against what nobody recorded; `CohortSettings.confounding_sd` stands for that.

A decision that an outcome can bring about (`Outcome.triggers`) is recorded alike whether planned or brought about, and
is estimated apart. Not for that outcome; for others in those in whom it never happened, whatever was decided, from the
decision's month on and with all that was known by then as the start. What the decision does by way of that outcome is
therefore not in its estimate. The other decisions are estimated from everybody, with whatever followed them of such a
decision: without those patients, what they do by way of that outcome would not be in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import numpy as np
import pandas as pd
from scipy.special import expit

from data.cohort import Cohort
from data.errors import NotFound, Refused
from data.schema import Outcome, OutcomeKind
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.behaviour import FOLDS, Behaviour, cross_folds, triggered
from twin.capability import MIN_EVENTS, capability
from twin.effects.distribution import EffectDistribution, EffectTerm, term_matrix
from twin.models.encoding import Encoding
from twin.models.followup import CENSORED, EVENT, FollowUp, episodes, follow_up
from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox
from twin.models.logistic import fit_ridge_logistic
from twin.record import decision_matrix
from twin.state import Known
from twin.timeline import effect_months, question_moment

UNLEARNT_SD: Final = 10.0
"""Of the log ratio of a term that the cohort cannot teach: as good as nothing is known"""
TOLERANCE: Final = 1e-6
"""Of an outcome regression, in units of log-likelihood"""
BOTH_REAL: Final = (0.05, 0.95)
"""Propensities between which either option is a real one"""


@dataclass(frozen=True)
class CohortSettings:
    """How effects are estimated from a cohort.

    Raises:
        Refused: a truncation outside 0 to 0.5, or a standard deviation that is not positive.
    """

    truncated: float = 0.01
    """Share of the weights at either end that is set to the largest (smallest) of the others: Cole & Hernán 2008
    (doi:10.1093/aje/kwn164)"""
    prior_sd: float = 1.0
    """Ridge penalty of the effects: standard deviation of a normal prior on the log ratio of each term. It keeps what
    few patients teach finite, and sandwich variances from being too small there. Combined with a prior of its own, an
    effect on which nothing is published is shrunk by both: by about a tenth of its log ratio at 536 patients."""
    regression_prior_sd: float = 1.0
    """The same on the inputs of the outcome regression, per indicator or per two standard deviations of a number. It is
    wide on purpose: a penalty tuned to predict leaves confounding behind (Belloni, Chernozhukov & Hansen 2014,
    doi:10.1093/restud/rdt044)."""
    confounding_sd: float = 0.20
    """Systematic error of an adjusted log ratio, by what nobody recorded (assumed): 95 % of it lies within a ratio of
    1.5 in either direction. It enters when the estimate is combined with other evidence."""

    def __post_init__(self) -> None:
        if not 0 <= self.truncated < 0.5:
            raise Refused(f"truncation of {self.truncated:g}", remedy="give a share from 0 to below 0.5, such as 0.01")
        if min(self.prior_sd, self.regression_prior_sd) <= 0 or self.confounding_sd < 0:
            raise Refused("a standard deviation that is not positive", remedy="give one above 0, such as 1")


@dataclass(frozen=True)
class Overlap:
    """Whether patients who had a decision can be compared with patients who had not."""

    decision: str
    treated: int
    untreated: int
    effective_treated: float
    """Kish's effective number: as many unweighted patients would tell as much (1965, ISBN 978-0-471-48900-9)"""
    effective_untreated: float
    share_both_real: float
    """Of the patients, with a propensity within `BOTH_REAL`"""
    lowest: float
    """Propensity"""
    highest: float
    largest_weight: float
    imbalance_before: float
    """Largest standardised difference of means over the inputs of the propensity (Austin 2009, doi:10.1002/sim.3697)"""
    imbalance_after: float
    """The same in the weighted patients"""
    least_balanced: str
    """Input of which the weighted patients differ most; the offset still adjusts for it if it is known at the start"""


@dataclass(frozen=True, eq=False)
class CohortEstimate:
    """Effects of q terms as a cohort of n patients shows them."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    outcome: str
    distribution: EffectDistribution
    """With sampling error only"""
    learnt: Flags
    """(q,) whether the cohort teaches the term; the others have mean 0 and `UNLEARNT_SD`"""
    average: Floats
    """(q,) mean over the cohort of what multiplies each term: the average patient"""
    overlap: tuple[Overlap, ...]
    """One a decision that is estimated"""
    patients: int
    """In whom the outcome is recorded"""
    events: int
    confounding_sd: float
    """Systematic error of the log ratio of each decision"""

    @property
    def decisions(self) -> tuple[str, ...]:
        """Decision columns that are estimated."""
        return tuple(dict.fromkeys(t.decision for t, k in zip(self.distribution.terms, self.learnt, strict=True) if k))


def cohort_effects(
    cohort: Cohort,
    outcome: Outcome,
    terms: tuple[EffectTerm, ...],
    behaviour: Behaviour,
    settings: CohortSettings | None = None,
    seed: int = 0,
    cause: int = EVENT,
    completed: Sequence[pd.DataFrame] = (),
) -> CohortEstimate:
    """The effects of the terms on the log hazard (of a yes-or-no outcome: log odds) of an outcome.

    The ridge estimate's covariance is ``H^-1 (M + P) H^-1`` with the information H (penalty P included) and the
    patients' squared scores M: Lin & Wei's sandwich (1989, doi:10.1080/01621459.1989.10478874) for the sampling error,
    and the mean square of what the penalty shrinks away, over effects as its prior expects them. A term that nobody
    teaches keeps the prior. The propensities and the offset count as known, which for weights is conservative.

    Args:
        cohort: n patients.
        outcome: One of the specification.
        terms: Of any decisions; those of decisions that `behaviour` lacks are not learnt.
        behaviour: Of the same patients in the same order.
        settings: Penalty and truncation.
        seed: Of the folds of the outcome regression.
        cause: Of a time to an event, which end of follow-up counts (`twin.models.followup.EVENT`, or `FORESTALLED` for
            the event that forestalls it).
        completed: The cohort's frame with missing values filled in, once or several times: what multiplies a term is
            the mean over them. Without, a term is 0 where its value is missing.

    Raises:
        Refused: the behaviour is of another number of patients.
        NotFound: a term is of a decision that there is not.
    """
    study = _Study.of(cohort, outcome, terms, behaviour, settings or CohortSettings(), seed, cause, completed)
    size = len(terms)
    mean, learnt, overlap = np.zeros(size), np.zeros(size, dtype=bool), []
    influence, shrinkage = np.zeros((cohort.size, size)), np.zeros((size, size))
    recorded, events = study.counts()
    for question in study.questions():
        rows = study.rows(question)
        if rows is None:
            continue
        weights = study.weights(rows, question)
        solution = study.solve(rows, question, weights)
        kept = np.flatnonzero(study.terms_of(question.estimated))
        among = np.searchsorted(np.flatnonzero(study.terms_of(question.used)), kept)
        mean[kept], learnt[kept] = solution.mean[among], True
        influence[:, kept] = _by_patient(solution.influence[:, among], rows.patient, cohort.size)
        shrinkage[np.ix_(kept, kept)] = solution.shrinkage[np.ix_(among, among)]
        overlap += [study.overlap(rows, question, int(k), weights) for k in np.flatnonzero(question.estimated)]
    covariance = influence.T @ influence + shrinkage + np.diag(np.where(learnt, 0.0, UNLEARNT_SD**2))
    return CohortEstimate(
        outcome=outcome.name,
        distribution=EffectDistribution(terms, mean, covariance),
        learnt=learnt,
        average=study.values.mean(axis=0),
        overlap=tuple(overlap),
        patients=recorded,
        events=events,
        confounding_sd=study.settings.confounding_sd,
    )


def offsets(
    cohort: Cohort,
    outcome: Outcome,
    terms: tuple[EffectTerm, ...],
    behaviour: Behaviour,
    settings: CohortSettings | None = None,
    seed: int = 0,
    cause: int = EVENT,
) -> tuple[Floats, ...]:
    """What the outcome regressions expect of each patient, by models that were not fitted on the patient.

    Args: as of `cohort_effects`.

    Returns:
        For each set of decisions that is estimated together, (n,) log hazard (or log odds) relative to the average.
    """
    study = _Study.of(cohort, outcome, terms, behaviour, settings or CohortSettings(), seed, cause)
    found = ((question, study.rows(question)) for question in study.questions())
    return tuple(study.offset(rows, question) for question, rows in found if rows is not None)


@dataclass(frozen=True, eq=False)
class _Question:
    """Decisions that are estimated together; (d,) flags over the decisions of the specification."""

    estimated: Flags
    used: Flags
    """Those that are estimated, and those after them that stand beside them"""
    leaving: Flags
    """(n,) patients who leave at the months of the estimated decisions"""
    inputs: Floats
    """(n, p) what is known at the start"""
    later: bool
    """Whether the start is the month of the estimated decision, and not time zero"""


@dataclass(frozen=True, eq=False)
class _Solution:
    """Ridge estimates of q terms from m rows."""

    mean: Floats
    """(q,)"""
    influence: Floats
    """(m, q) by how much each row moved the estimate"""
    shrinkage: Floats
    """(q, q) mean square of what the penalty shrank away"""


class _Rows(Protocol):
    """What was observed: m rows, each of one patient while the same decisions were in effect."""

    @property
    def patient(self) -> Integers:
        """(m,)."""

    @property
    def in_effect(self) -> Floats:
        """(m, u) each decision's value once it acts, before that 0."""

    @property
    def taken(self) -> Floats:
        """(m, u) 1 once the decision acts, whichever way it was taken."""

    def take(self, chosen: Flags) -> _Rows:
        """The chosen rows (m,)."""

    def regression(self, columns: Floats, chosen: Flags, precision: Floats) -> Floats:
        """(b,) ridge coefficients of columns (m, b) in the chosen rows (m,)."""

    def enough(self) -> bool:
        """Whether `MIN_EVENTS` rows or more end with the outcome and, of a yes-or-no outcome, without."""

    def solve(self, terms: Floats, weights: Floats, offset: Floats, precision: Floats) -> _Solution:
        """The weighted ridge estimate of terms (m, q) beside an offset (m,)."""


@dataclass(frozen=True, eq=False)
class _HazardRows:
    """Episodes, in ascending order of their end."""

    cut: Episodes
    in_effect: Floats
    taken: Floats

    @classmethod
    def of(cls, cut: Episodes) -> _HazardRows:
        """From episodes whose inputs are decisions in effect, then whether each acts."""
        ordered = cut.by_stop()
        in_effect, taken = np.hsplit(ordered.inputs, 2)
        return cls(ordered, in_effect, taken)

    @property
    def patient(self) -> Integers:
        return self.cut.patient

    def take(self, chosen: Flags) -> _HazardRows:
        return _HazardRows(self.cut.take(chosen), self.in_effect[chosen], self.taken[chosen])

    def regression(self, columns: Floats, chosen: Flags, precision: Floats) -> Floats:
        cut = self.cut.with_inputs(columns).take(chosen)
        return fit_ridge_cox(CoxLikelihood(cut, np.ones(len(cut.stop))), precision, tolerance=TOLERANCE)

    def enough(self) -> bool:
        return bool(self.cut.event.sum() >= MIN_EVENTS)

    def solve(self, terms: Floats, weights: Floats, offset: Floats, precision: Floats) -> _Solution:
        likelihood = CoxLikelihood(self.cut.with_inputs(terms), weights, offset)
        mean = fit_ridge_cox(likelihood, precision)
        _, _, information = likelihood.derivatives(mean)
        inverse = np.linalg.inv(information + np.diag(precision))
        return _Solution(mean, _score_residuals(likelihood, mean) @ inverse, (inverse * precision) @ inverse)


@dataclass(frozen=True, eq=False)
class _BinaryRows:
    """One row a patient."""

    patient: Integers
    in_effect: Floats
    taken: Floats
    positive: Floats
    """(m,) 0 or 1"""

    def take(self, chosen: Flags) -> _BinaryRows:
        return _BinaryRows(self.patient[chosen], self.in_effect[chosen], self.taken[chosen], self.positive[chosen])

    def regression(self, columns: Floats, chosen: Flags, precision: Floats) -> Floats:
        ones = np.ones(int(chosen.sum()))
        return fit_ridge_logistic(columns[chosen], self.positive[chosen], ones, precision, tolerance=TOLERANCE)[1:]

    def enough(self) -> bool:
        return bool(min(self.positive.sum(), (1.0 - self.positive).sum()) >= MIN_EVENTS)

    def solve(self, terms: Floats, weights: Floats, offset: Floats, precision: Floats) -> _Solution:
        fitted = fit_ridge_logistic(terms, self.positive, weights, precision, offset=offset)
        design = np.hstack([np.ones((len(terms), 1)), terms])
        risk = expit(design @ fitted + offset)
        penalty = np.concatenate([[0.0], precision])
        information = design.T @ ((weights * risk * (1.0 - risk))[:, None] * design) + np.diag(penalty)
        inverse = np.linalg.inv(information)
        scores = (weights * (self.positive - risk))[:, None] * design
        return _Solution(fitted[1:], (scores @ inverse)[:, 1:], ((inverse * penalty) @ inverse)[1:, 1:])


@dataclass(frozen=True, eq=False)
class _Study:
    """A cohort of n patients as the estimate reads it; d decisions of the specification, q terms."""

    cohort: Cohort
    outcome: Outcome
    behaviour: Behaviour
    settings: CohortSettings
    ends: Floats
    """(n,) months until which each patient was followed for the outcome; NaN where it is not recorded"""
    happened: Flags
    """(n,) whether the outcome happened"""
    decisions: Floats
    """(n, d) 0, 1 or NaN"""
    months: Floats
    """(n, d)"""
    propensity: Floats
    """(n, d) out-of-fold; NaN for a decision without a habit"""
    values: Floats
    """(n, q) what multiplies each term"""
    decision_of: Integers
    """(q,) decision of each term"""
    folds: Integers
    """(n,)"""

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        outcome: Outcome,
        terms: tuple[EffectTerm, ...],
        behaviour: Behaviour,
        settings: CohortSettings,
        seed: int,
        cause: int,
        completed: Sequence[pd.DataFrame] = (),
    ) -> _Study:
        """The study of an outcome.

        Raises:
            Refused: the behaviour is of another number of patients.
            NotFound: a term is of a decision that there is not.
        """
        spec = cohort.spec
        if len(behaviour.held_out) != cohort.size:
            got = f"behaviour of {len(behaviour.held_out)} patients for a cohort of {cohort.size}"
            raise Refused(got, remedy="learn the behaviour from the same cohort")
        decisions = capability(cohort).with_held(spec, decision_matrix(spec, cohort.frame))
        columns = [decision.column for decision in spec.decisions]
        propensity = np.full(decisions.shape, np.nan)
        for column in behaviour.decisions:
            propensity[:, columns.index(column)] = behaviour.out_of_fold(column)
        ends, happened = _observed(cohort, outcome, cause)
        return cls(
            cohort=cohort,
            outcome=outcome,
            behaviour=behaviour,
            settings=settings,
            ends=ends,
            happened=happened,
            decisions=decisions,
            months=effect_months(spec, decisions),
            propensity=propensity,
            values=np.mean([term_matrix(terms, frame) for frame in completed or [cohort.frame]], axis=0),
            decision_of=np.array([_place(term.decision, columns) for term in terms], dtype=np.intp),
            folds=cross_folds(cohort.size, seed),
        )

    def questions(self) -> Iterator[_Question]:
        """The decisions that no outcome brings about together, then each of the others beside them."""
        spec = self.cohort.spec
        brought = np.array([d.column in spec.brought_about for d in spec.decisions], dtype=bool)
        judged = np.inf if self.outcome.month is None else self.outcome.month
        leaving = np.zeros((self.cohort.size, len(spec.decisions)), dtype=bool)
        for position, decision in enumerate(spec.decisions):
            leaving[:, position] = triggered(self.cohort, decision.column)
        offered = np.array(
            [
                d.column not in self.outcome.triggers and d.month <= judged and self._both(k, leaving[:, k])
                for k, d in enumerate(spec.decisions)
            ],
            dtype=bool,
        )
        plain = offered & ~brought
        if plain.any():
            known = Known.at(self.cohort.frame, spec, question_moment(spec, 0))
            nobody = np.zeros(self.cohort.size, dtype=bool)
            yield _Question(plain, plain, nobody, Encoding.fit(known).encode(known), later=False)
        for k in np.flatnonzero(offered & brought):
            alone, after = (compare(np.arange(len(offered)), k) for compare in (np.equal, np.greater))
            yield _Question(alone, alone | (plain & after), leaving[:, k], self._history(int(k)), later=True)

    def _history(self, decision: int) -> Floats:
        """(n, p) what is known when a decision is taken: encoded inputs and earlier decisions."""
        columns = [d.column for d in self.cohort.spec.decisions]
        habit = self.behaviour.habit(columns[decision])
        known = self.behaviour.known(self.cohort.frame, habit.decision)
        return habit.inputs(known)[:, [name in habit.encoding.names or name in columns for name in habit.names]]

    def _both(self, decision: int, leaving: Flags) -> bool:
        """Whether a decision has a propensity, and enough who lived to it had it and had it not."""
        reached = ~np.isnan(self.propensity[:, decision]) & ~leaving & (self.ends > self.months[:, decision])
        values = self.decisions[reached, decision]
        return bool(min((values == 1).sum(), (values == 0).sum()) >= MIN_EVENTS)

    def terms_of(self, decisions: Flags) -> Flags:
        """(q,) terms of the chosen decisions (d,)."""
        return np.asarray(decisions[self.decision_of])

    def counts(self) -> tuple[int, int]:
        """Patients in whom the outcome is recorded, and those who had it."""
        return int((~np.isnan(self.ends)).sum()), int(self.happened.sum())

    def rows(self, question: _Question) -> _Rows | None:
        """What was observed of the decisions in use; ``None`` where too few had the outcome (or were free of it)."""
        decided = self.decisions.copy()
        decided[np.ix_(question.leaving, question.estimated)] = np.nan
        decided, months = decided[:, question.used], self.months[:, question.used]
        binary = self.outcome.kind is OutcomeKind.BINARY
        rows: _Rows = self._binary(decided, months) if binary else self._hazard(decided, months)
        if question.later:
            rows = rows.take(rows.taken[:, 0] == 1)
        return rows if rows.enough() else None

    def _hazard(self, decided: Floats, months: Floats) -> _HazardRows:
        followed = FollowUp(self.ends, np.where(self.happened, EVENT, CENSORED))
        # Episodes are joined where nothing changes; that a decision was taken changes the weight even if it was "no".
        acting = np.hstack([decided, np.where(np.isnan(decided), np.nan, 1.0)])
        nothing = np.empty((self.cohort.size, 0))
        cut = episodes(followed, EVENT, nothing, acting, np.hstack([months, months]), 0.0)
        return _HazardRows.of(cut)

    def _binary(self, decided: Floats, months: Floats) -> _BinaryRows:
        """A decision that a patient did not live to counts as not taken."""
        lived = self.ends[:, None] > months
        in_effect = np.where(lived, decided, 0.0)
        chosen = np.flatnonzero(~np.isnan(self.ends) & ~np.isnan(in_effect).any(axis=1))
        positive = self.happened[chosen].astype(float)
        return _BinaryRows(chosen, in_effect[chosen], lived[chosen].astype(float), positive)

    def terms_in_effect(self, rows: _Rows, question: _Question) -> Floats:
        """(m, terms of the decisions in use) what multiplies each coefficient."""
        mine = self.terms_of(question.used)
        place = np.cumsum(question.used) - 1
        return np.asarray(self.values[:, mine][rows.patient] * rows.in_effect[:, place[self.decision_of[mine]]])

    def weights(self, rows: _Rows, question: _Question) -> Floats:
        """(m,) stabilised inverse propensity of all decisions in effect, truncated."""
        decided, propensity = self.decisions[:, question.used], self.propensity[:, question.used]
        share = (rows.in_effect.sum(axis=0) + 0.5) / (rows.taken.sum(axis=0) + 1.0)  # never 0 or 1
        stabilised = np.where(decided == 1, share / propensity, (1.0 - share) / (1.0 - propensity))
        log_weight = (rows.taken * np.log(np.where(np.isnan(decided), 1.0, stabilised))[rows.patient]).sum(axis=1)
        lower, upper = np.quantile(log_weight, [self.settings.truncated, 1.0 - self.settings.truncated])
        return np.asarray(np.exp(np.clip(log_weight, lower, upper)))

    def offset(self, rows: _Rows, question: _Question) -> Floats:
        """(n,) prognosis by what is known at the start, from regressions on patients of other folds."""
        terms, size = self.terms_in_effect(rows, question), question.inputs.shape[1]
        columns = np.hstack([question.inputs[rows.patient], terms])
        sds = [self.settings.regression_prior_sd] * size + [self.settings.prior_sd] * terms.shape[1]
        found = np.zeros(self.cohort.size)
        for fold in range(FOLDS):
            chosen = self.folds[rows.patient] != fold
            coefficients = rows.regression(columns, chosen, np.array(sds) ** -2.0)
            found[self.folds == fold] = question.inputs[self.folds == fold] @ coefficients[:size]
        return found

    def solve(self, rows: _Rows, question: _Question, weights: Floats) -> _Solution:
        """The estimate of the terms of the decisions in use."""
        terms = self.terms_in_effect(rows, question)
        offset = self.offset(rows, question)[rows.patient]
        return rows.solve(terms, weights, offset, np.full(terms.shape[1], self.settings.prior_sd**-2.0))

    def overlap(self, rows: _Rows, question: _Question, decision: int, weights: Floats) -> Overlap:
        """How comparable those with and without a decision are when it starts to act."""
        place = int(question.used[:decision].sum())
        acting = np.flatnonzero(rows.taken[:, place] == 1)
        patients, first = np.unique(rows.patient[acting], return_index=True)
        weight = weights[acting[first]]
        treated = self.decisions[patients, decision] == 1
        propensity = self.propensity[patients, decision]
        column = self.cohort.spec.decisions[decision].column
        habit = self.behaviour.habit(column)
        inputs = habit.inputs(self.behaviour.known(self.cohort.frame.iloc[patients], column))
        before, after = (_differences(inputs, treated, w) for w in (np.ones(len(weight)), weight))
        return Overlap(
            decision=column,
            treated=int(treated.sum()),
            untreated=int((~treated).sum()),
            effective_treated=_effective(weight[treated]),
            effective_untreated=_effective(weight[~treated]),
            share_both_real=float(((propensity >= BOTH_REAL[0]) & (propensity <= BOTH_REAL[1])).mean()),
            lowest=float(propensity.min()),
            highest=float(propensity.max()),
            largest_weight=float(weight.max()),
            imbalance_before=float(before.max(initial=0.0)),
            imbalance_after=float(after.max(initial=0.0)),
            least_balanced=habit.names[int(after.argmax())] if len(after) else "",
        )


def _observed(cohort: Cohort, outcome: Outcome, cause: int) -> tuple[Floats, Flags]:
    """(n,) months of follow-up for an outcome, NaN where it is not recorded, and (n,) whether it happened."""
    if outcome.kind is not OutcomeKind.BINARY:
        followed = follow_up(cohort.frame, cohort.spec, outcome)
        return followed.months, followed.cause == cause
    frame = cohort.frame.reindex(columns=[outcome.event, cohort.spec.follow_up])
    event, months = frame.to_numpy(dtype=float).T
    return np.where(np.isnan(event), np.nan, months), event == 1


def _place(decision: str, columns: list[str]) -> int:
    if decision not in columns:
        raise NotFound.named("decision", decision, columns)
    return columns.index(decision)


def _score_residuals(likelihood: CoxLikelihood, coefficients: Floats) -> Floats:
    """(m, q) weighted score of each episode, ties as by Breslow.

    Therneau & Grambsch 2000 (ISBN 978-0-387-98784-2), section 4.6.
    """
    cut, times = likelihood.episodes, likelihood.ties.times
    linear = likelihood.linear(coefficients)
    risk = likelihood.weights * np.exp(linear)
    at_risk, events = likelihood.at_event_times(linear)
    weighted = risk[:, None] * cut.inputs
    mean = (_from(weighted, cut.stop, times) - _from(weighted, cut.start, times)) / at_risk[:, None]
    hazard = np.concatenate([[0.0], np.cumsum(events / at_risk)])
    moved = np.vstack([np.zeros(mean.shape[1]), np.cumsum(mean * (events / at_risk)[:, None], axis=0)])
    first, last = (np.searchsorted(times, month, side="right") for month in (cut.start, cut.stop))
    expected = weighted * (hazard[last] - hazard[first])[:, None] - risk[:, None] * (moved[last] - moved[first])
    died = np.flatnonzero(cut.event)
    expected[died] -= likelihood.weights[died, None] * (cut.inputs[died] - mean[last[died] - 1])
    return np.asarray(-expected)


def _from(values: Floats, at: Floats, times: Floats) -> Floats:
    """(k, q) sums of `values` (m, q) over the rows that are `at` (m,) each of `times` (k,) or later."""
    order = np.argsort(at)
    sums = np.vstack([np.cumsum(values[order][::-1], axis=0)[::-1], np.zeros(values.shape[1])])
    return np.asarray(sums[np.searchsorted(at[order], times, side="left")])


def _by_patient(influence: Floats, patient: Integers, patients: int) -> Floats:
    """(n, q) sums of the rows of each patient."""
    sums = np.zeros((patients, influence.shape[1]))
    np.add.at(sums, patient, influence)
    return sums


def _effective(weights: Floats) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def _differences(inputs: Floats, treated: Flags, weights: Floats) -> Floats:
    """(p,) distance between the means of two arms, in standard deviations (of both arms, unweighted)."""
    arms = [treated, ~treated]
    means = [weights[arm] @ inputs[arm] / weights[arm].sum() for arm in arms]
    spread = np.sqrt(np.mean([inputs[arm].var(axis=0) for arm in arms], axis=0))
    return np.asarray(np.abs(means[0] - means[1]) / np.where(spread > 0, spread, np.inf))
