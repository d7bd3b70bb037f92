"""A cohort and the ratings of its patients in, a fitted model of symptoms out. Nothing in it is left to chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from data.symptoms import Questionnaire, SymptomTable
from twin.arrays import Flags, Floats
from twin.capability import Capability, Subject, capability
from twin.models.encoding import Encoding
from twin.record import decision_matrix
from twin.state import Known
from twin.symptoms.clock import compared_decisions, in_effect
from twin.symptoms.model import LEVEL, SymptomModel
from twin.symptoms.parts import FittedPart, Part, fit_part
from twin.symptoms.scale import on_scale
from twin.symptoms.stage import Correlation, SymptomStage, design, scatter
from twin.threads import one_thread
from twin.timeline import question_moment

FEWEST_RATINGS: Final = 20
"""Fewer ratings of an item at a week teach nothing that could be shown to a person."""
DECISION_PRIOR_SD: Final = 0.5
"""Of the effect of a decision on a patient's mean rating, in standard deviations of ratings: half of one is what Cohen
1988 (ISBN 978-0-8058-0283-2) calls a medium effect. It is fixed, so that what is tuned to predict does not decide
how different plans look; how the effect differs between items and weeks is left to the evidence."""
LEAST_RESIDUAL: Final = 0.01
"""Standard deviation in ratings, for answers that are all alike; for the same reason as the next."""
LEAST_OF_AN_ANSWER: Final = 0.05
"""Share of a residual's variance that nothing else shares, at the least: matrices then have inverses."""


def fit_symptoms(cohort: Cohort, table: SymptomTable) -> SymptomModel:
    """Fit expected ratings at time zero and at every landmark whose states the cohort records.

    Raises:
        Refused: no item has enough ratings at any week, or a number of the cohort stands in another unit than the
            dictionary's.
    """
    asked = table.questionnaire
    on_scale(cohort.frame, cohort.spec)
    ratings = table.ratings(cohort.frame[cohort.spec.key].tolist())
    if (~np.isnan(ratings)).sum(axis=0).max() < FEWEST_RATINGS:
        raise Refused(
            f"no symptom was rated by {FEWEST_RATINGS} patients of cohort '{cohort.name}' in one week",
            remedy="import more ratings",
        )
    able = capability(cohort)
    compared = compared_decisions(cohort.spec, able.held)
    decisions = able.with_held(cohort.spec, decision_matrix(cohort.spec, cohort.frame))
    undecided = np.isnan(decisions[:, list(compared)]).any(axis=1, keepdims=True)
    rated = np.where(np.expand_dims(undecided, 2), np.nan, ratings)
    acting = in_effect(cohort.spec, asked, decisions, compared)
    with one_thread():
        stages = tuple(
            _fit_stage(reached, Known.at(cohort.frame[rows], cohort.spec, moment), rated[rows], acting[rows], asked)
            for reached, moment, rows in _moments_asked(cohort, able)
        )
    return SymptomModel(cohort.spec, asked, able, cohort.name, table.digest, compared, stages)


def _moments_asked(cohort: Cohort, able: Capability) -> Iterator[tuple[int, str, Flags]]:
    """Landmarks behind, moment of the question, and who is alive and followed then (n,).

    First nobody has one behind; then every landmark whose states the cohort records.
    """
    spec = cohort.spec
    yield 0, question_moment(spec, 0), np.ones(cohort.size, dtype=bool)
    for reached, landmark in enumerate(spec.landmarks, start=1):
        beyond = cohort.frame[spec.follow_up].to_numpy(dtype=float) > landmark.month
        if able.offers(Subject.STATE, landmark.moment) and beyond.any():
            yield reached, question_moment(spec, reached), beyond


def _fit_stage(
    landmarks_reached: int, known: Known, ratings: Floats, acting: Floats, asked: Questionnaire
) -> SymptomStage:
    encoding = Encoding.fit(known)
    inputs = design(encoding.encode(known), acting)[:, :, 1:]
    enough = (~np.isnan(ratings)).sum(axis=0) >= FEWEST_RATINGS
    location, scale = _moments(ratings, enough)
    fits = _Parts.fit(inputs, (ratings - location) / scale, decisions=acting.shape[2])
    left = scale * fits.left_out
    residual = np.maximum(np.sqrt(_mean(left**2, axis=0)), LEAST_RESIDUAL)
    return SymptomStage(
        landmarks_reached=landmarks_reached,
        encoding=encoding,
        location=location,
        scale=scale,
        patient=fits.patient.part,
        visit=fits.visit.part,
        item=fits.item.part,
        answer=fits.answer.part,
        correlation=_correlation(left / residual),
        residual=residual,
        width=_widths(ratings, ratings - left, asked),
    )


def _moments(ratings: Floats, enough: Flags) -> tuple[Floats, Floats]:
    """Mean and standard deviation (items, weeks); NaN where there are too few ratings."""
    location = _mean(ratings, axis=0)
    scale = np.sqrt(_mean((ratings - location) ** 2, axis=0))
    # Ratings that are all alike have no scale of their own; any will do, as nothing departs from their mean.
    return np.where(enough, location, np.nan), np.where(enough, np.where(scale > 0, scale, 1.0), np.nan)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The regressions of the four parts."""

    patient: FittedPart
    visit: FittedPart
    item: FittedPart
    answer: FittedPart

    @property
    def left_out(self) -> Floats:
        """(n, items, weeks) ratings in units of `scale`, less their prediction without the patient."""
        return np.asarray(
            self.patient.left_out[0][:, :, None]
            + np.concatenate(self.visit.left_out, axis=1)[:, None, :]
            + self.item.left_out[0][:, :, None]
            + np.stack(self.answer.left_out, axis=2)
        )

    @classmethod
    def fit(cls, inputs: Floats, units: Floats, decisions: int) -> _Parts:
        """From inputs (n, weeks, q), the last `decisions` of which are decisions in effect, and ratings in units.

        A patient's mean over items and weeks, the departures of weeks and of items from it, and what is left add up to
        the rating. As decisions are in effect at some weeks only, the mean over weeks is regressed on their mean over
        the same weeks, and what a decision does to the mean is taken from the departures before they are regressed.
        """
        weeks, q = inputs.shape[1:]
        kinds = np.repeat([0, 1], [q - decisions, decisions])
        by_evidence = np.array([np.nan, np.nan])
        at_visit = _mean(units, axis=1)
        came = ~np.isnan(at_visit)
        acting = inputs[:, :, q - decisions :]
        usual = inputs[:, 0].copy()
        usual[:, q - decisions :] = (acting * came[:, :, None]).sum(axis=1) / np.maximum(came.sum(axis=1), 1)[:, None]
        departing = acting - usual[:, None, q - decisions :]

        overall = _mean(at_visit, axis=1)
        patient = fit_part([usual], [overall[:, None]], kinds, np.array([np.nan, DECISION_PRIOR_SD**2]))
        shift = departing @ _effects(patient.part, decisions)[0]
        by_week = [inputs[:, w] for w in range(weeks)]
        of_visit = at_visit - overall[:, None] - shift
        visit = fit_part(by_week, [of_visit[:, [w]] for w in range(weeks)], kinds, by_evidence)

        departure = units - at_visit[:, None, :]
        of_item = _mean(departure, axis=2)
        item = fit_part([usual], [of_item], kinds, by_evidence)
        shift = departing @ _effects(item.part, decisions).T
        rest = departure - of_item[:, :, None] - shift.swapaxes(1, 2)
        answer = fit_part(by_week, [rest[:, :, w] for w in range(weeks)], kinds, by_evidence)
        return cls(patient, visit, item, answer)


def _effects(part: Part, decisions: int) -> Floats:
    """(r, decisions) coefficients of the decisions."""
    return part.coefficients[:, part.coefficients.shape[1] - decisions :]


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what is not NaN along `axis`; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _correlation(standard: Floats) -> Correlation:
    """Correlations of residuals (n, items, weeks) of variance 1, averaged over the pairs of answers of each kind."""
    n, items, weeks = standard.shape
    flat = standard.reshape(n, items * weeks)
    known = ~np.isnan(flat)
    filled = np.where(known, flat, 0.0)
    products, pairs = filled.T @ filled, known.T.astype(float) @ known
    item, week = np.divmod(np.arange(items * weeks), weeks)
    same_item, same_week = np.equal.outer(item, item), np.equal.outer(week, week)

    def averaged(kind: Flags) -> float:
        return max(0.0, float(products[kind].sum() / max(pairs[kind].sum(), 1.0)))

    patient = averaged(~same_item & ~same_week)
    visit = max(0.0, averaged(same_week & ~same_item) - patient)
    lasting = max(0.0, averaged(same_item & ~same_week) - patient)
    shared = patient + visit + lasting
    fitting = min(1.0, (1.0 - LEAST_OF_AN_ANSWER) / shared) if shared else 1.0
    return Correlation(patient * fitting, visit * fitting, lasting * fitting)


def _widths(ratings: Floats, predicted: Floats, asked: Questionnaire) -> Floats:
    """(items, weeks) half widths of the ranges, in units of `scatter`, that hold `LEVEL` of the ratings.

    Conformal: the rank-th smallest of the scores of patients each predicted without themselves, a score being how far a
    rating's own cell lies from the prediction. Vovk, Gammerman & Shafer 2005 (doi:10.1007/b106715); with leaving out
    one patient at a time, the jackknife of Barber et al. 2021 (doi:10.1214/20-AOS1965), whose share is close to `LEVEL`
    for regressions as stable as these.
    """
    low, high = asked.lowest, asked.highest
    within = np.clip(predicted, low, high)
    below = np.where(ratings <= low, -np.inf, ratings - 0.5)
    above = np.where(ratings >= high, np.inf, ratings + 0.5)
    scores = np.maximum(np.maximum(below - within, within - above), 0.0) / scatter(within, low, high)
    counts = (~np.isnan(ratings)).sum(axis=0)
    rank = np.ceil((counts + 1) * LEVEL).astype(int)
    ordered = np.sort(np.where(np.isnan(ratings), np.inf, scores), axis=0)
    nth = np.minimum(rank, len(ordered)) - 1
    chosen = np.take_along_axis(ordered, nth[None], axis=0)[0]
    return np.where(rank > counts, np.inf, chosen)
