"""How strongly to shrink: held-out likelihood of several ridge penalties in, the best one out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy.special import expit

from twin.arrays import Flags, Floats, Integers
from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox
from twin.models.logistic import fit_ridge_logistic

PRIOR_SDS: Final = (0.1, 0.2, 0.35, 0.6, 1.0)
"""Penalties to choose from, each as the standard deviation of a normal prior on a log hazard or odds ratio, per
indicator or per two standard deviations of a number: from "hardly any effect" to "a ratio within 7 in either direction"
"""

FOLDS: Final = 5
_TOLERANCE: Final = 1e-5

HeldOut = Callable[[float, Flags], float]
"""(prior sd, (n,) patients to fit on) -> likelihood of the others"""


def precision_of(prior_sd: float, inputs: int, decision_prior_sd: float, decisions: int) -> Floats:
    """(inputs + decisions,) ridge precision.

    Decisions have a wide prior of their own: what is tuned to predict must not shrink what is compared.
    """
    return np.concatenate([np.full(inputs, prior_sd**-2.0), np.full(decisions, decision_prior_sd**-2.0)])


def best_prior_sd(events: Integers, held_out: HeldOut, seed: int) -> float:
    """The prior whose held-out likelihood over the folds is highest; the middle one where folds cannot be formed.

    Args:
        events: (n,) 0 or 1, kept in the same proportion in every fold.
        held_out: Fits on some patients and scores the others.
        seed: Of the assignment to folds.
    """
    if min(np.bincount(events, minlength=2)) < FOLDS:
        return PRIOR_SDS[len(PRIOR_SDS) // 2]
    from sklearn.model_selection import StratifiedKFold  # a second of import that serving a fitted twin does without

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(events)), events)
    tests = [test for _, test in folds]
    return max(PRIOR_SDS, key=lambda prior_sd: _score(prior_sd, tests, len(events), held_out))


def _score(prior_sd: float, tests: Sequence[Integers], patients: int, held_out: HeldOut) -> float:
    total = 0.0
    for test in tests:
        train = np.ones(patients, dtype=bool)
        train[test] = False
        total += held_out(prior_sd, train)
    return total


def hazard_prior_sd(episodes: Episodes, decisions: int, decision_prior_sd: float, seed: int) -> float:
    """The prior of a Cox model by cross-validated partial likelihood.

    Verweij & van Houwelingen 1993 (doi:10.1002/sim.4780122407): the gain of the whole likelihood over that of the
    patients fitted on.

    Args:
        episodes: In ascending order of `stop`, the last `decisions` inputs being decisions.
        decisions: How many decisions.
        decision_prior_sd: Their own prior.
        seed: Of the assignment to folds.
    """
    patients, rows = np.unique(episodes.patient, return_inverse=True)
    events = np.zeros(len(patients), dtype=np.intp)
    np.maximum.at(events, rows, episodes.event.astype(np.intp))
    whole = CoxLikelihood(episodes, np.ones(len(rows)))
    inputs = episodes.inputs.shape[1] - decisions

    def held_out(prior_sd: float, train: Flags) -> float:
        kept = train[rows]
        part = CoxLikelihood(episodes.take(kept), np.ones(int(kept.sum())))
        precision = precision_of(prior_sd, inputs, decision_prior_sd, decisions)
        coefficients = fit_ridge_cox(part, precision, tolerance=_TOLERANCE)
        return whole.value(coefficients) - part.value(coefficients)

    return best_prior_sd(events, held_out, seed)


def binary_prior_sd(inputs: Floats, positive: Floats, decisions: int, decision_prior_sd: float, seed: int) -> float:
    """The prior of a logistic model by cross-validated likelihood; `inputs` (n, p + decisions), `positive` (n,)."""

    def held_out(prior_sd: float, train: Flags) -> float:
        precision = precision_of(prior_sd, inputs.shape[1] - decisions, decision_prior_sd, decisions)
        fitted = fit_ridge_logistic(inputs[train], positive[train], np.ones(int(train.sum())), precision)
        linear = fitted[0] + inputs[~train] @ fitted[1:]
        return float(np.log(expit(np.where(positive[~train] == 1, linear, -linear))).sum())

    return best_prior_sd(positive.astype(np.intp), held_out, seed)
