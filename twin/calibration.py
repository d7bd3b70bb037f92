"""Fitted models and the patients they learnt from in, how far these models may be wrong out: from folds left out.

Every patient is predicted by a fit that never saw them, from the record alone. What happened, held against that, says
how wide the departure from the model's form may be (`twin.models.departure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, logit

from twin.arrays import Floats, Integers
from twin.models.candidates.folds import even_folds
from twin.models.candidates.protocol import Candidate, HazardData
from twin.models.departure import Departure, Waves, expected_chances, width_chances
from twin.models.outcome import BinaryModel, EventModel, Patients, Rows, decision_effects, linear
from twin.models.posterior import CountProblem, LogisticProblem, posterior

FOLDS: Final = 5
FEWEST_EVENTS: Final = 30
"""With fewer, what departs cannot be told from chance, and the prior of the width speaks alone."""
MOST_PATIENTS: Final = 2000
"""Who judge the width; more would not narrow what is known of it enough to matter."""
MOMENTS: Final = 12
"""Months, quantiles of the ends of follow-up, at which draws of a cumulative hazard are read"""
SMALLEST_EXPECTED: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Learners:
    """The n patients that a model learnt from, as it is asked about them."""

    asked: Patients
    """Completed from the record alone, as for a patient whose outcome nobody knows"""
    given: Floats
    """(n, d) decisions, 0 or 1 while they were followed"""
    decision_of_term: Integers
    draws: int
    seed: int
    """Of the folds"""

    @property
    def size(self) -> int:
        """Number n of patients."""
        return len(self.given)

    def rows(self) -> Rows:
        """Rows of the fit and its draws."""
        return Rows.of(self.draws, self.asked.copies)

    def effects(self, effects: Floats) -> Floats:
        """(rows, n) log ratio of what was decided."""
        decisions = self.given.shape[1]
        by_decision = decision_effects(effects, self.asked.terms, self.decision_of_term, decisions, self.rows())
        return np.asarray((by_decision * self.given).sum(axis=-1))


def hazard_departure(
    model: EventModel, candidate: Candidate, data: HazardData, learners: Learners, rng: np.random.Generator
) -> Departure:
    """How far the hazard of a candidate may be wrong.

    Args:
        model: The candidate fitted on all of `data`, with its draws.
        candidate: Fits the folds.
        data: Episodes of the patients, numbered as `learners` are.
        learners: The patients.
        rng: Of the features and the draws.
    """
    waves = Waves.learn(data.episodes.inputs, rng)
    if data.events < FEWEST_EVENTS:
        return Departure.drawn(waves, expected_chances(), learners.draws, rng)
    end, happened = np.zeros(learners.size), np.zeros(learners.size)
    np.maximum.at(end, data.episodes.patient, data.episodes.stop)
    happened[data.episodes.patient[data.episodes.event]] = 1.0
    expected = np.maximum(_expected_events(candidate, data, happened, learners), SMALLEST_EXPECTED)
    spread = _spread(_log_cumulative(model, learners, end), learners.rows())
    some = _some(np.unique(data.episodes.patient), rng)
    chances = width_chances(
        lambda columns: CountProblem(columns, happened[some], expected[some]),
        _features(waves, learners)[some],
        spread[some],
    )
    return Departure.drawn(waves, chances, learners.draws, rng)


def binary_departure(
    model: BinaryModel,
    happened: Floats,
    learners: Learners,
    inputs: Floats,
    scale: Floats,
    rng: np.random.Generator,
) -> Departure:
    """How far a logistic model may be wrong.

    Args:
        model: Fitted, with its draws.
        happened: (n,) 0, 1, or NaN in those on whom it was not fitted.
        learners: The patients.
        inputs: (n, p) theirs, as the model learnt from them.
        scale: (b,) prior standard deviations of the coefficients.
        rng: Of the features and the draws.
    """
    fitted_on = np.flatnonzero(~np.isnan(happened))
    waves = Waves.learn(inputs[fitted_on], rng)
    if model.events < FEWEST_EVENTS:
        return Departure.drawn(waves, expected_chances(), learners.draws, rng)
    rows, effects = learners.rows(), learners.effects(model.effects)
    odds = _expected_log_odds(model, happened, learners, inputs, scale, effects[: learners.asked.copies])
    own = model.intercepts[rows.draw, None] + linear(
        model.basis.expand(learners.asked.inputs), model.coefficients, rows
    )
    spread = _spread(own + effects, rows)
    some = _some(fitted_on, rng)
    chances = width_chances(
        lambda columns: LogisticProblem(columns, happened[some], odds[some], np.zeros((len(some), 0))),
        _features(waves, learners)[some],
        spread[some],
    )
    return Departure.drawn(waves, chances, learners.draws, rng)


def _features(waves: Waves, learners: Learners) -> Floats:
    return np.asarray(waves.features(learners.asked.inputs).mean(axis=0))


def _some(people: Integers, rng: np.random.Generator) -> Integers:
    return people if len(people) <= MOST_PATIENTS else np.sort(rng.choice(people, MOST_PATIENTS, replace=False))


def _expected_events(candidate: Candidate, data: HazardData, happened: Floats, learners: Learners) -> Floats:
    """(n,) events expected during the own follow-up of each patient, by fits on other patients."""
    result = np.zeros(learners.size)
    fold = even_folds(happened == 1, FOLDS, learners.seed)
    for part in range(FOLDS):
        learnt, asked = (data.take(mask[data.episodes.patient]) for mask in (fold != part, fold == part))
        fitted, cut = candidate.fit(learnt, learners.seed), asked.episodes
        start, stop = (np.clip(months, learnt.origin, learnt.last_month) for months in (cut.start, cut.stop))
        edges = np.union1d(start, stop)
        held_out, row = np.unique(cut.patient, return_inverse=True)
        passed = np.zeros((len(held_out), len(edges)))
        for inputs in learners.asked.inputs[:, held_out]:
            passed[:, 1:] += np.cumsum(fitted.increments(inputs, edges), axis=1) / learners.asked.copies
        during = passed[row, np.searchsorted(edges, stop)] - passed[row, np.searchsorted(edges, start)]
        np.add.at(result, cut.patient, during * np.exp(asked.offset))
    return result


def _expected_log_odds(
    model: BinaryModel, happened: Floats, learners: Learners, inputs: Floats, scale: Floats, effect: Floats
) -> Floats:
    """(n,) log odds of the outcome by fits on other patients, with the effects (copies, n) of what was decided."""
    result = np.zeros(learners.size)
    known = ~np.isnan(happened)
    fold = even_folds(happened == 1, FOLDS, learners.seed)
    columns, asked = model.basis.expand(inputs), model.basis.expand(learners.asked.inputs)
    nothing = np.zeros((1, 0))
    for part in range(FOLDS):
        learnt, held_out = known & (fold != part), known & (fold == part)
        offset = effect.mean(axis=0)[learnt]
        problem = LogisticProblem(columns[learnt], happened[learnt], offset, np.zeros((len(offset), 0)))
        found = posterior([problem], scale, nothing, np.random.default_rng(learners.seed)).coefficients[0]
        risk = expit(found[0] + asked[:, held_out] @ found[1:] + effect[:, held_out]).mean(axis=0)
        result[held_out] = logit(risk)
    return result


def _log_cumulative(model: EventModel, learners: Learners, end: Floats) -> Floats:
    """(rows, n) log cumulative hazard by about the end of each patient's follow-up."""
    first, rows = float(model.prognosis.grid[0]), learners.rows()
    months = np.unique(np.quantile(end[end > first], np.arange(1, MOMENTS + 1) / MOMENTS, method="inverted_cdf"))
    passed = np.cumsum(model.prognosis.increments(learners.asked.inputs, rows, np.append(first, months)), axis=-1)
    at = np.minimum(np.searchsorted(months, end), len(months) - 1)
    own = np.maximum(passed[:, np.arange(learners.size), at], SMALLEST_EXPECTED)
    return np.asarray(np.log(own) + learners.effects(model.effects))


def _spread(values: Floats, rows: Rows) -> Floats:
    """(n, draws) how draws (rows, n) depart from their mean; wider, as a fold has fewer patients than all."""
    draws = rows.collapsed(values)[1:]
    return np.asarray((draws - draws.mean(axis=0)).T * np.sqrt(FOLDS / (FOLDS - 1)))
