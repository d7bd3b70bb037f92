"""What was seen of a cohort's patients and how they fared in, how much each state changes each hazard out.

A state is worth what it adds to the prediction before it was seen. So the models from time zero enter as an offset, and
a state is compared with what was expected of the same patient: with hazards ``before x w(s) / E[w]``, the derivative of
their logarithm is the state less its expectation under the tilted distribution of states.

A decision that does more in those who show a state adds to what the state says, from the month of the decision on
(`twin.simulation.acting`). The same normalisation leaves the decision the effect on average that it has before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import pandas as pd
from scipy.special import logit

from data.schema import Outcome, Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.effects.prior import MannerEffect
from twin.models.followup import EVENT, FORESTALLED, FollowUp
from twin.models.hazard import CoxLikelihood, Episodes
from twin.models.outcome import Rows
from twin.models.posterior import CoxProblem, LogisticProblem, Mode, Posterior, Problem, posterior
from twin.simulation.acting import Acting, ActingPrior, acting_before, added_ratios, product_columns, updated
from twin.simulation.reveal import reveal_probability
from twin.simulation.states import UNOBSERVED
from twin.simulation.transition import Learning, Transitions
from twin.simulation.tree import Tree
from twin.timeline import effect_months

ITERATIONS: Final = 3
"""Fits, each with the expectations of the one before; the fourth changes no log ratio by 0.01"""
FEWEST_EVENTS: Final = 5
"""Fewer say nothing about any state."""


@dataclass(frozen=True)
class Apart:
    """A level that says something of its own in some patients, because it is published about them."""

    column: int
    """Position of the level among those of all steps"""
    effect: MannerEffect


def members_of(apart: Sequence[Apart], completed: pd.DataFrame) -> Floats:
    """(n, apart) in which of them each patient is, for n rows of completed columns."""
    return np.column_stack([np.zeros((len(completed), 0)), *(one.effect.members(completed) for one in apart)])


def ratios_of(coefficients: Floats, apart: Sequence[Apart], members: Floats) -> Floats:
    """(..., width) log ratio of every level in patients with members (..., apart).

    Args:
        coefficients: (..., width + apart) of every level in those about whom nothing is published, then in the others.
        apart: Levels that say something of their own in some patients.
        members: How much of each patient belongs to those: 0 or 1, between them for the mean of several copies.
    """
    own, published = np.split(coefficients, [coefficients.shape[-1] - len(apart)], axis=-1)
    onto = _onto(apart, own.shape[-1])
    return np.asarray(own * (1.0 - members @ onto) + (published * members) @ onto)


def _spread(levels: Floats, apart: Sequence[Apart], members: Floats) -> Floats:
    """(n, width + apart) what multiplies the coefficients in patients who show levels (n, width)."""
    onto = _onto(apart, levels.shape[1])
    return np.hstack([levels * (1.0 - members @ onto), (levels @ onto.T) * members])


def _onto(apart: Sequence[Apart], width: int) -> Floats:
    """(apart, width) which level each is one of."""
    return np.eye(width)[[one.column for one in apart]].reshape(len(apart), width)


@dataclass(frozen=True, eq=False)
class Revealed:
    """What the states say about an outcome, and about what forestalls it; row 0 is the fit."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    outcome: str
    coefficients: Floats
    """(causes, 1 + draws, width + apart) log hazard (or odds) ratio of every level of all steps, then of those apart"""
    events: tuple[int, ...]
    """Of each cause, once a state can have been seen"""
    prior_sds: tuple[float, ...]
    """Width of the prior of each cause's log ratios; 0 where too few events say anything"""
    apart: tuple[Apart, ...] = ()
    acting: tuple[Acting, ...] = ()
    """What decisions do more in those who show a state; on the outcome itself, not on what forestalls it"""

    def ratios(self, completed: pd.DataFrame, rows: Rows) -> Floats:
        """(causes, rows, width) log ratio of every level in a patient of whom `completed` has the copies, one a row."""
        members = members_of(self.apart, completed)[rows.copy]
        return ratios_of(self.coefficients[:, rows.draw], self.apart, members)

    def ratios_from(
        self, spec: Specification, digits: Floats, own: Floats, rows: Rows
    ) -> tuple[tuple[float, Floats], ...]:
        """Under decisions (d,): log ratios of every level, `own` as of `ratios`, each with the month it is added from.

        A level acts from its own month on in any case.
        """
        found = [(0.0, own)]
        for one in self.acting:
            month = float(one.acts_from(spec, digits))
            if np.isfinite(month):
                added = np.zeros_like(own)
                added[0] = np.outer(one.ratios[rows.draw], one.levels)
                found.append((month, added))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Expectations:
    """What might have been seen of each of n patients under their own decisions, by the fit."""

    histories: Floats
    """(n, width) what was seen; what was not is there as its probability"""
    groups: tuple[tuple[Integers, Floats, Floats, Floats], ...]
    """For patients with the same decisions: rows, paths as indicators (paths, width), their probabilities (rows, paths)
    and the month from which each level acts (width,)"""

    @classmethod
    def of(cls, transitions: Transitions, learning: Learning) -> Expectations:
        """The expectations of a cohort; a decision that is not recorded counts as 0 until its month."""
        digits = np.nan_to_num(learning.decisions)
        last = max((model.step.decision for model in transitions.steps), default=-1)
        digits[:, last + 1 :] = 0.0
        groups = []
        for pattern in np.unique(digits, axis=0):
            rows = np.flatnonzero((digits == pattern).all(axis=1))
            draw = np.zeros(len(rows), dtype=np.intp)
            tree = Tree.grow(transitions, learning.spec, learning.inputs[rows], draw, pattern)
            depth = len(tree.levels)
            paths = tree.histories(np.arange(tree.paths), depth)
            acts = np.concatenate([np.full(level.model.step.width, level.acts_from) for level in tree.levels])
            groups.append((rows, paths, tree.probabilities(depth), acts))
        return cls(transitions.histories(learning.frame, learning.inputs, learning.decisions), tuple(groups))

    def known(self, spec: Specification, decisions: Floats, month: float) -> Flags:
        """(n,) whether every decision that has been taken by `month` is recorded."""
        open_from = np.where(np.isnan(decisions), effect_months(spec, decisions), np.inf)
        return np.asarray(open_from.min(axis=1, initial=np.inf) > month)

    def hazards(self, ratios: Floats, month: float) -> tuple[Floats, Floats]:
        """At `month`: (n, width) the state less its expectation, and (n,) its log multiplier over the expected one.

        Args:
            ratios: (n, width) log ratio of every level in each patient.
            month: From which on states act that were seen by then.
        """
        centred, log_ratio = np.zeros_like(self.histories), np.zeros(len(self.histories))
        for rows, paths, probability, acts in self.groups:
            acting = acts <= month
            here = np.ix_(rows, np.flatnonzero(acting))
            weighted = probability * np.exp(ratios[here] @ paths[:, acting].T)
            expected = weighted.sum(axis=1)
            seen = self.histories[here]
            centred[here] = seen - weighted @ paths[:, acting] / expected[:, None]
            log_ratio[rows] = (seen * ratios[here]).sum(axis=1) - np.log(expected)
        return centred, log_ratio

    def odds(self, ratios: Floats, month: float, probability_before: Floats) -> tuple[Floats, Floats]:
        """The same of a yes-or-no outcome judged at `month`: (n, width), and (n,) log odds given what was seen."""
        centred, log_odds = np.zeros_like(self.histories), np.zeros(len(self.histories))
        for rows, paths, probability, acts in self.groups:
            acting = acts <= month
            here = np.ix_(rows, np.flatnonzero(acting))
            score = ratios[here] @ paths[:, acting].T
            given = reveal_probability(probability_before[rows], probability, score)
            level = logit(given[:, 0]) - score[:, 0]
            weighted = probability * given * (1.0 - given)
            expected = weighted @ paths[:, acting] / weighted.sum(axis=1)[:, None]
            seen = self.histories[here]
            centred[here] = seen - expected
            log_odds[rows] = level + (seen * ratios[here]).sum(axis=1)
        return centred, log_odds


@dataclass(frozen=True, eq=False)
class _Held:
    """A problem some of whose priors are given."""

    problem: Problem
    precision: Floats
    """(b,) NaN where the prior is to be learnt"""

    def mode(self, precision: Floats, start: Floats | None) -> Mode:
        """The posterior for prior precisions (b,), of which those that are given are replaced."""
        return self.problem.mode(np.where(np.isnan(self.precision), precision, self.precision), start)


def period_starts(spec: Specification) -> Floats:
    """(periods,) months at which what is known, or what is decided, can change."""
    months = [landmark.month for landmark in spec.landmarks]
    months += [month for d in spec.decisions for month in (d.month, d.month_if_previous_declined)]
    return np.unique([0.0, *months])


@dataclass(frozen=True, eq=False)
class _Start:
    """What is known of the coefficients before the cohort is asked: of each level of all steps, then of those apart.

    One level of each variable is the reference: the commonest of those about which nothing is published.
    """

    chosen: Flags
    """(b,) whether it has a coefficient"""
    mean: Floats
    """(b,)"""
    held: Floats
    """(b,) precision; NaN where it is to be learnt"""
    apart: tuple[Apart, ...]
    members: Floats
    """(n, apart) in which of those each of the cohort's patients is, averaged over their copies"""

    @classmethod
    def of(cls, transitions: Transitions, priors: Mapping[str, Sequence[MannerEffect]], learning: Learning) -> _Start:
        """What is published about manners, and nothing about other states."""
        chosen: list[bool] = []
        apart: list[Apart] = []
        for model in transitions.steps:
            for variable in model.step.variables:
                published = [_about(values, priors.get(variable.name, ())) for values in variable.levels]
                without = [k for k, effects in enumerate(published) if not effects]
                reference = variable.common if variable.common in without else next(iter(without), UNOBSERVED)
                for position, effects in enumerate(published):
                    apart += [Apart(len(chosen), effect) for effect in effects]
                    chosen.append(position != reference and not any(effect.for_everybody for effect in effects))
        effects = [one.effect for one in apart]
        members = members_of(apart, learning.completed)
        by_copy = np.split(members, len(members) // len(learning.frame))
        return cls(
            chosen=np.array([*chosen, *(True for _ in apart)], dtype=bool),
            mean=np.array([*(0.0 for _ in chosen), *(effect.mean for effect in effects)]),
            held=np.array([*(np.nan for _ in chosen), *(effect.sd**-2.0 for effect in effects)]),
            apart=tuple(apart),
            members=np.mean(by_copy, axis=0),
        )

    def ratios(self, fit: Floats) -> Floats:
        """(n, width) log ratio of every level in each of the cohort's patients, by coefficients (b,)."""
        return ratios_of(fit, self.apart, self.members)

    def spread(self, levels: Floats) -> Floats:
        """(n, b) what multiplies the coefficients in each of the cohort's patients, of levels (n, width)."""
        return _spread(levels, self.apart, self.members)

    def coefficients(self, drawn: Posterior | None, learning: Learning) -> Floats:
        """(1 + draws, b); where the cohort teaches nothing what is published, and 0 elsewhere."""
        result = np.zeros((1 + learning.draws, len(self.chosen)))
        if drawn is not None:
            result[:, self.chosen] = self.mean[self.chosen] + drawn.coefficients
            return result
        published = np.flatnonzero(self.chosen & ~np.isnan(self.held))
        result[:, published] = self.mean[published]
        result[1:, published] += learning.rng.normal(size=(learning.draws, len(published))) / np.sqrt(
            self.held[published]
        )
        return result


def _about(values: Sequence[str], published: Sequence[MannerEffect]) -> list[MannerEffect]:
    """What is published about a level; of several that are pooled, about the first that anything is published on."""
    for value in values:
        found = [effect for effect in published if effect.level == value]
        if found:
            return found
    return []


def fit_revealed_hazards(
    outcome: Outcome,
    followed: FollowUp,
    log_hazards: Mapping[int, Floats],
    transitions: Transitions,
    learning: Learning,
    priors: Mapping[str, Sequence[MannerEffect]] | None = None,
    depending: Sequence[ActingPrior] = (),
) -> Revealed:
    """What the states say about a time-to-event outcome.

    Args:
        outcome: Which.
        followed: n patients.
        log_hazards: By cause (`EVENT`, and `FORESTALLED` where there is a competing event), (n, periods) log hazard of
            each patient under the decisions in effect in each of `period_starts`, up to a constant, by the models from
            time zero.
        transitions: What is seen at every step.
        learning: The cohort.
        priors: By manner, what is published about its levels.
        depending: What decisions are held to do more in those who show a state.
    """
    causes = (EVENT,) if outcome.competing is None else (EVENT, FORESTALLED)
    cohort = _Cohort.of(transitions, priors or {}, depending, learning)
    courses = [_Course(followed, cause, log_hazards[cause]) for cause in causes]
    fitted = [_fit_cause(cohort.on(cause), course) for cause, course in zip(causes, courses, strict=True)]
    fit = fitted[0][0][0]
    return Revealed(
        outcome.name,
        np.stack([coefficients for coefficients, _, _ in fitted]),
        tuple(events for _, events, _ in fitted),
        tuple(prior_sd for _, _, prior_sd in fitted),
        cohort.start.apart,
        cohort.taught(lambda now, prior, acting: _hazard_mode(now, courses[0], fit, prior, acting)),
    )


@dataclass(frozen=True, eq=False)
class _Cohort:
    """What is learnt from, what is held before that, and what is expected of everybody."""

    learning: Learning
    expectations: Expectations
    start: _Start
    priors: tuple[ActingPrior, ...]
    acting: tuple[Acting, ...]
    """One for each of the priors: what decisions do more in those who show a state, as it is held or found"""

    @classmethod
    def of(
        cls,
        transitions: Transitions,
        manners: Mapping[str, Sequence[MannerEffect]],
        depending: Sequence[ActingPrior],
        learning: Learning,
    ) -> _Cohort:
        """Before anything is learnt; a state that the cohort does not tell apart is left out."""
        acting = acting_before(depending, transitions, learning)
        kept = {one.term for one in acting}
        priors = tuple(prior for prior in depending if prior.term in kept)
        expectations, start = Expectations.of(transitions, learning), _Start.of(transitions, manners, learning)
        return cls(learning, expectations, start, priors, acting)

    def on(self, cause: int) -> _Cohort:
        """The same for one cause: decisions do more on the outcome itself only."""
        return self if cause == EVENT else replace(self, priors=(), acting=())

    def ratios(self, fit: Floats, month: float) -> Floats:
        """(n, width) log ratio of every level in each patient, with what the decisions that act at `month` add."""
        own = self.start.ratios(fit)
        return own + added_ratios(self.acting, self.learning, month) if self.acting else own

    def taught(self, ask: Callable[[_Cohort, ActingPrior, Acting], Mode | None]) -> tuple[Acting, ...]:
        """The state terms with what the cohort says of each, the others as they are held.

        Args:
            ask: The mode of one of them around what is held, where the cohort is taken with the others as they are
                and this one as it was found last; ``None`` where too few had the outcome.
        """
        return tuple(self._taught(ask, position) for position in range(len(self.acting)))

    def _taught(self, ask: Callable[[_Cohort, ActingPrior, Acting], Mode | None], position: int) -> Acting:
        prior, found = self.priors[position], self.acting[position]
        for _ in range(ITERATIONS):
            now = replace(self, acting=(*self.acting[:position], found, *self.acting[position + 1 :]))
            mode = ask(now, prior, found)
            if mode is None:
                break
            found = replace(found, ratios=updated(prior, mode, self.learning), taught=True)
        return found


@dataclass(frozen=True, eq=False)
class _Course:
    """How n patients fared, and what was expected of them."""

    followed: FollowUp
    cause: int
    log_hazard: Floats
    """(n, periods)"""


def _fit_cause(cohort: _Cohort, course: _Course) -> tuple[Floats, int, float]:
    """(1 + draws, width + apart) coefficients, number of events and width of the prior."""
    start, learning = cohort.start, cohort.learning
    chosen, mean = start.chosen, start.mean
    fit = np.where(chosen, mean, 0.0)
    drawn: Posterior | None = None
    events = 0
    for _ in range(ITERATIONS):
        parts = list(_periods(cohort, course, fit))
        if not parts:
            break
        cut, shift = _together(parts)
        offset = shift + cut.inputs[:, chosen] @ mean[chosen]
        events = int(cut.event.sum())
        if events < FEWEST_EVENTS:
            break
        problem = _cox(replace(cut, inputs=cut.inputs[:, chosen]), offset)
        drawn = _posterior(problem, start.held[chosen], learning)
        fit[chosen] = mean[chosen] + drawn.coefficients[0]
    return start.coefficients(drawn, learning), events, 0.0 if drawn is None else drawn.prior_sd


def _periods(cohort: _Cohort, course: _Course, fit: Floats) -> Iterator[tuple[Episodes, Floats]]:
    """Episodes of each period with the states less their expectation as inputs, and their offsets."""
    for period, unspread, log_hazard in _expected(cohort, course, fit):
        if not unspread.any():
            continue
        centred = cohort.start.spread(unspread)
        cut = _episodes(cohort, course, period, centred)
        yield cut, (log_hazard - centred @ fit)[cut.patient]


def _expected(cohort: _Cohort, course: _Course, fit: Floats) -> Iterator[tuple[int, Floats, Floats]]:
    """Each period, the states less their expectation (n, width), and the log hazard given them (n,)."""
    for period, begin in enumerate(period_starts(cohort.learning.spec)):
        unspread, log_ratio = cohort.expectations.hazards(cohort.ratios(fit, begin), begin)
        yield period, unspread, course.log_hazard[:, period] + log_ratio


def _episodes(cohort: _Cohort, course: _Course, period: int, inputs: Floats) -> Episodes:
    """One of each patient who is watched in a period, with inputs (n, b)."""
    learning, followed = cohort.learning, course.followed
    edges = np.append(period_starts(learning.spec), np.inf)
    begin, end = edges[period], edges[period + 1]
    known = cohort.expectations.known(learning.spec, learning.decisions, begin)
    rows = np.flatnonzero((followed.months > begin) & known & np.isfinite(course.log_hazard[:, period]))
    stop = np.minimum(followed.months[rows], end)
    event = (followed.cause[rows] == course.cause) & (followed.months[rows] <= end)
    return Episodes(inputs[rows], np.full(len(rows), begin), stop, event, rows)


def _together(parts: Sequence[tuple[Episodes, Floats]]) -> tuple[Episodes, Floats]:
    """The episodes of several periods, with their offsets (m,)."""
    names = ("inputs", "start", "stop", "event", "patient")
    cut = Episodes(*(np.concatenate([getattr(part, name) for part, _ in parts]) for name in names))
    return cut, np.concatenate([offset for _, offset in parts])


def _cox(cut: Episodes, offset: Floats) -> CoxProblem:
    order = np.argsort(cut.stop, kind="stable")
    return CoxProblem(CoxLikelihood(cut.take(order), np.ones(len(order)), offset[order]), np.zeros((len(order), 0)))


def _hazard_mode(cohort: _Cohort, course: _Course, fit: Floats, prior: ActingPrior, acting: Acting) -> Mode | None:
    """Of a state term, by the months from its decision on, given the fit of what the states say by themselves."""
    learning = cohort.learning
    months = effect_months(learning.spec, learning.decisions)[:, acting.decision]
    starts = period_starts(learning.spec)
    parts = []
    for period, unspread, log_hazard in _expected(cohort, course, fit):
        three = product_columns(acting, learning, unspread)
        cut = _episodes(cohort, course, period, three)
        cut = cut.take((prior.teachers & (months <= starts[period]))[cut.patient])
        offset = log_hazard - three[:, -1] * (acting.ratios[0] - prior.draws[0])
        parts.append((cut, offset[cut.patient]))
    cut, offset = _together(parts)
    return None if cut.event.sum() < FEWEST_EVENTS else _cox(cut, offset).mode(prior.precision, None)


def fit_revealed_probability(
    outcome: Outcome,
    positive: Floats,
    probability: Floats,
    transitions: Transitions,
    learning: Learning,
    priors: Mapping[str, Sequence[MannerEffect]] | None = None,
    depending: Sequence[ActingPrior] = (),
) -> Revealed:
    """What the states say about a yes-or-no outcome.

    Args:
        outcome: Which.
        positive: (n,) 0 or 1; NaN where not recorded.
        probability: (n,) of each patient under the decisions taken, by the models from time zero.
        transitions: What is seen at every step.
        learning: The cohort.
        priors: By manner, what is published about its levels.
        depending: What decisions are held to do more in those who show a state.
    """
    month = np.inf if outcome.month is None else outcome.month
    cohort = _Cohort.of(transitions, priors or {}, depending, learning)
    rows = ~np.isnan(positive) & cohort.expectations.known(learning.spec, learning.decisions, month)
    judged, start = _Judged(positive, probability, month, rows), cohort.start
    chosen, mean = start.chosen, start.mean
    fit = np.where(chosen, mean, 0.0)
    drawn: Posterior | None = None
    for _ in range(ITERATIONS):
        if not judged.enough(rows):
            break
        unspread, log_odds = judged.expected(cohort, fit)
        centred = start.spread(unspread)
        offset = (log_odds - centred @ fit + centred[:, chosen] @ mean[chosen])[rows]
        problem = LogisticProblem(centred[rows][:, chosen], positive[rows], offset, np.zeros((int(rows.sum()), 0)))
        found = _posterior(problem, start.held[chosen], learning)
        drawn = replace(found, coefficients=found.coefficients[:, 1:])
        fit[chosen] = mean[chosen] + drawn.coefficients[0]
    events, prior_sd = int((positive[rows] == 1).sum()), 0.0 if drawn is None else drawn.prior_sd
    coefficients = start.coefficients(drawn, learning)[None]
    taught = cohort.taught(lambda now, prior, acting: judged.mode(now, fit, prior, acting))
    return Revealed(outcome.name, coefficients, (events,), (prior_sd,), start.apart, taught)


@dataclass(frozen=True, eq=False)
class _Judged:
    """In whom of n patients a yes-or-no outcome was positive, and what was expected of them."""

    positive: Floats
    """(n,)"""
    probability: Floats
    """(n,)"""
    month: float
    """When it is judged"""
    rows: Flags
    """(n,) who can teach"""

    def enough(self, rows: Flags) -> bool:
        """Whether enough of the patients had the outcome, and enough had not."""
        events = int((self.positive[rows] == 1).sum())
        return min(events, int(rows.sum()) - events) >= FEWEST_EVENTS

    def expected(self, cohort: _Cohort, fit: Floats) -> tuple[Floats, Floats]:
        """The states less their expectation (n, width), and the log odds given them (n,)."""
        return cohort.expectations.odds(cohort.ratios(fit, self.month), self.month, self.probability)

    def mode(self, cohort: _Cohort, fit: Floats, prior: ActingPrior, acting: Acting) -> Mode | None:
        """Of a state term, given the fit of what the states say by themselves."""
        learning = cohort.learning
        acts = effect_months(learning.spec, learning.decisions)[:, acting.decision] <= self.month
        rows = self.rows & prior.teachers & acts
        if not self.enough(rows):
            return None
        unspread, log_odds = self.expected(cohort, fit)
        three = product_columns(acting, learning, unspread)[rows]
        offset = log_odds[rows] - three[:, -1] * (acting.ratios[0] - prior.draws[0])
        return LogisticProblem(three, self.positive[rows], offset, np.zeros((len(three), 0))).mode(
            prior.precision, None
        )


def _posterior(problem: Problem, held: Floats, learning: Learning) -> Posterior:
    nothing = np.zeros((1 + learning.draws, 0))
    return posterior([_Held(problem, held)], np.ones(len(held)), nothing, learning.rng)
