"""What was seen of a cohort's patients and how they fared in, how much each state changes each hazard out.

A state is worth what it adds to the prediction before it was seen. So the models from time zero enter as an offset, and
a state is compared with what was expected of the same patient: with hazards ``before x w(s) / E[w]``, the derivative of
their logarithm is the state less its expectation under the tilted distribution of states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from scipy.special import logit

from data.schema import Outcome, Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.followup import EVENT, FORESTALLED, FollowUp
from twin.models.hazard import CoxLikelihood, Episodes
from twin.models.posterior import CoxProblem, LogisticProblem, Mode, Posterior, Problem, posterior
from twin.simulation.reveal import reveal_probability
from twin.simulation.states import UNOBSERVED
from twin.simulation.transition import Learning, Transitions
from twin.simulation.tree import Tree
from twin.timeline import effect_months

ITERATIONS: Final = 3
"""Fits, each with the expectations of the one before; the fourth changes no log ratio by 0.01"""
FEWEST_EVENTS: Final = 5
"""Fewer say nothing about any state."""

Prior = Mapping[str, tuple[float, float]]
"""By level of a manner: mean and standard deviation of its log ratio against the levels that are not named"""


@dataclass(frozen=True, eq=False)
class Revealed:
    """What the states say about an outcome, and about what forestalls it; row 0 is the fit."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    outcome: str
    coefficients: Floats
    """(causes, 1 + draws, width) log hazard (or odds) ratio of every level of every step"""
    events: tuple[int, ...]
    """Of each cause, once a state can have been seen"""
    prior_sds: tuple[float, ...]
    """Width of the prior of each cause's log ratios; 0 where too few events say anything"""


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

    def hazards(self, coefficients: Floats, month: float) -> tuple[Floats, Floats]:
        """At `month`: (n, width) the state less its expectation, and (n,) its log multiplier over the expected one."""
        centred, log_ratio = np.zeros_like(self.histories), np.zeros(len(self.histories))
        for rows, paths, probability, acts in self.groups:
            acting = acts <= month
            multiplier = np.exp(paths[:, acting] @ coefficients[acting])
            weighted = probability * multiplier
            expected = weighted.sum(axis=1)
            seen = self.histories[np.ix_(rows, np.flatnonzero(acting))]
            centred[np.ix_(rows, np.flatnonzero(acting))] = seen - weighted @ paths[:, acting] / expected[:, None]
            log_ratio[rows] = seen @ coefficients[acting] - np.log(expected)
        return centred, log_ratio

    def odds(self, coefficients: Floats, month: float, probability_before: Floats) -> tuple[Floats, Floats]:
        """The same of a yes-or-no outcome judged at `month`: (n, width), and (n,) log odds given what was seen."""
        centred, log_odds = np.zeros_like(self.histories), np.zeros(len(self.histories))
        for rows, paths, probability, acts in self.groups:
            acting = acts <= month
            score = paths[:, acting] @ coefficients[acting]
            given = reveal_probability(probability_before[rows], probability, np.tile(score, (len(rows), 1)))
            level = logit(given[:, 0]) - score[0]
            weighted = probability * given * (1.0 - given)
            expected = weighted @ paths[:, acting] / weighted.sum(axis=1)[:, None]
            seen = self.histories[np.ix_(rows, np.flatnonzero(acting))]
            centred[np.ix_(rows, np.flatnonzero(acting))] = seen - expected
            log_odds[rows] = level + seen @ coefficients[acting]
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


def fit_revealed_hazards(
    outcome: Outcome,
    followed: FollowUp,
    log_hazards: Mapping[int, Floats],
    transitions: Transitions,
    learning: Learning,
    priors: Mapping[str, Prior] | None = None,
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
    """
    causes = (EVENT,) if outcome.competing is None else (EVENT, FORESTALLED)
    expectations = Expectations.of(transitions, learning)
    fitted = [
        _fit_cause(followed, cause, log_hazards[cause], transitions, expectations, learning, priors or {})
        for cause in causes
    ]
    return Revealed(
        outcome.name,
        np.stack([coefficients for coefficients, _, _ in fitted]),
        tuple(events for _, events, _ in fitted),
        tuple(prior_sd for _, _, prior_sd in fitted),
    )


def _fit_cause(
    followed: FollowUp,
    cause: int,
    log_hazard: Floats,
    transitions: Transitions,
    expectations: Expectations,
    learning: Learning,
    priors: Mapping[str, Prior],
) -> tuple[Floats, int, float]:
    """(1 + draws, width) coefficients, number of events and width of the prior."""
    starts = period_starts(learning.spec)
    chosen, mean, held = _priors(transitions, priors)
    fit = np.where(chosen, mean, 0.0)
    drawn: Posterior | None = None
    events = 0
    for _ in range(ITERATIONS):
        parts = list(_periods(followed, cause, log_hazard, starts, fit, expectations, learning))
        if not parts:
            break
        cut = Episodes(*(np.concatenate([getattr(part, name) for part, _ in parts]) for name in _EPISODE))
        offset = np.concatenate([shift for _, shift in parts]) + cut.inputs[:, chosen] @ mean[chosen]
        order = np.argsort(cut.stop, kind="stable")
        events = int(cut.event.sum())
        if events < FEWEST_EVENTS:
            break
        likelihood = CoxLikelihood(
            replace(cut, inputs=cut.inputs[:, chosen]).take(order), np.ones(len(order)), offset[order]
        )
        drawn = _posterior(CoxProblem(likelihood, np.zeros((len(order), 0))), held[chosen], learning)
        fit[chosen] = mean[chosen] + drawn.coefficients[0]
    return _coefficients(drawn, chosen, mean, learning.draws), events, 0.0 if drawn is None else drawn.prior_sd


_EPISODE: Final = ("inputs", "start", "stop", "event", "patient")


def _periods(
    followed: FollowUp,
    cause: int,
    log_hazard: Floats,
    starts: Floats,
    fit: Floats,
    expectations: Expectations,
    learning: Learning,
) -> Iterator[tuple[Episodes, Floats]]:
    """Episodes of each period with the states less their expectation as inputs, and their offsets."""
    ends = np.append(starts[1:], np.inf)
    for period, (start, end) in enumerate(zip(starts, ends, strict=True)):
        centred, log_ratio = expectations.hazards(fit, start)
        if not centred.any():
            continue
        known = expectations.known(learning.spec, learning.decisions, start)
        rows = np.flatnonzero((followed.months > start) & known & np.isfinite(log_hazard[:, period]))
        stop = np.minimum(followed.months[rows], end)
        event = (followed.cause[rows] == cause) & (followed.months[rows] <= end)
        offset = log_hazard[rows, period] + log_ratio[rows] - centred[rows] @ fit
        yield Episodes(centred[rows], np.full(len(rows), start), stop, event, rows), offset


def fit_revealed_probability(
    outcome: Outcome,
    positive: Floats,
    probability: Floats,
    transitions: Transitions,
    learning: Learning,
    priors: Mapping[str, Prior] | None = None,
) -> Revealed:
    """What the states say about a yes-or-no outcome.

    Args:
        outcome: Which.
        positive: (n,) 0 or 1; NaN where not recorded.
        probability: (n,) of each patient under the decisions taken, by the models from time zero.
        transitions: What is seen at every step.
        learning: The cohort.
        priors: By manner, what is published about its levels.
    """
    month = np.inf if outcome.month is None else outcome.month
    expectations = Expectations.of(transitions, learning)
    rows = ~np.isnan(positive) & expectations.known(learning.spec, learning.decisions, month)
    chosen, mean, held = _priors(transitions, priors or {})
    fit = np.where(chosen, mean, 0.0)
    drawn: Posterior | None = None
    events = int((positive[rows] == 1).sum())
    for _ in range(ITERATIONS):
        if min(events, int(rows.sum()) - events) < FEWEST_EVENTS:
            break
        centred, log_odds = expectations.odds(fit, month, probability)
        offset = (log_odds - centred @ fit + centred[:, chosen] @ mean[chosen])[rows]
        problem = LogisticProblem(centred[rows][:, chosen], positive[rows], offset, np.zeros((int(rows.sum()), 0)))
        found = _posterior(problem, held[chosen], learning)
        drawn = replace(found, coefficients=found.coefficients[:, 1:])
        fit[chosen] = mean[chosen] + drawn.coefficients[0]
    prior_sd = 0.0 if drawn is None else drawn.prior_sd
    return Revealed(outcome.name, _coefficients(drawn, chosen, mean, learning.draws)[None], (events,), (prior_sd,))


def _posterior(problem: Problem, held: Floats, learning: Learning) -> Posterior:
    nothing = np.zeros((1 + learning.draws, 0))
    return posterior([_Held(problem, held)], np.ones(len(held)), nothing, learning.rng)


def _coefficients(drawn: Posterior | None, chosen: Flags, mean: Floats, draws: int) -> Floats:
    """(1 + draws, width); 0 where nothing could be learnt."""
    result = np.zeros((1 + draws, len(chosen)))
    if drawn is not None:
        result[:, chosen] = mean[chosen] + drawn.coefficients
    return result


def _priors(transitions: Transitions, priors: Mapping[str, Prior]) -> tuple[Flags, Floats, Floats]:
    """For each of the levels of all steps: whether it has a coefficient, its prior mean, and its precision if given.

    One level of each variable is the reference: the commonest of those about which nothing is published.
    """
    chosen, mean, held = [], [], []
    for model in transitions.steps:
        for variable in model.step.variables:
            published = [
                next((priors[variable.name][value] for value in values if value in priors[variable.name]), None)
                if variable.name in priors
                else None
                for values in variable.levels
            ]
            without = [k for k, known in enumerate(published) if known is None]
            reference = variable.common if variable.common in without else next(iter(without), UNOBSERVED)
            for position, known in enumerate(published):
                chosen.append(position != reference)
                mean.append(0.0 if known is None else known[0])
                held.append(np.nan if known is None else known[1] ** -2.0)
    return np.array(chosen, dtype=bool), np.array(mean), np.array(held)
