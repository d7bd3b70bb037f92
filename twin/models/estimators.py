"""Episodes or yes-or-no outcomes in, one model with its refits out.

The fit itself is by lifelines and scikit-learn; the many refits are by our own solvers of the same likelihoods, which
take a hundredth of the time and which tests hold equal to theirs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from twin.arrays import Flags, Floats
from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox
from twin.models.logistic import fit_ridge_logistic
from twin.models.outcome import BinaryModel, HazardModel
from twin.models.penalty import binary_prior_sd, hazard_prior_sd, precision_of

REFIT_TOLERANCE: Final = 1e-6
"""Of a refit, in units of log-likelihood: far below what one resample differs from another by."""
AGREEMENT: Final = 1e-3
"""Log hazard ratios of the two solvers may differ by this; both stop when the likelihood no longer changes."""


@dataclass(frozen=True)
class Ridge:
    """How a model is shrunk and reproduced."""

    decision_prior_sd: float
    seed: int


def fit_hazard(cut: Episodes, counts: Floats, varied: Flags, grid: Floats, ridge: Ridge) -> HazardModel:
    """A ridge Cox model and its refits.

    Args:
        cut: Episodes whose last inputs are the decisions.
        counts: (1 + refits, n) how often each patient is in each resample.
        varied: (d,) decisions that are estimated; the log hazard ratio of the others is 0.
        grid: (g,) months at which the baseline hazard is kept.
        ridge: Penalty of the decisions, and seed.
    """
    decisions = len(varied)
    size = cut.inputs.shape[1]
    live = np.ptp(cut.inputs, axis=0) > 0 if len(cut.inputs) else np.zeros(size, dtype=bool)
    live[size - decisions :] &= varied
    ordered = cut.by_stop()
    ordered = Episodes(ordered.inputs[:, live], ordered.start, ordered.stop, ordered.event, ordered.patient)
    live_decisions = int(live[size - decisions :].sum())
    events = int(cut.event.sum())
    prior_sd = hazard_prior_sd(ordered, live_decisions, ridge.decision_prior_sd, ridge.seed)
    precision = precision_of(prior_sd, int(live.sum()) - live_decisions, ridge.decision_prior_sd, live_decisions)
    coefficients = np.zeros((len(counts), size))
    cumulative = np.zeros((len(counts), len(grid)))
    if events:
        coefficients[:, live], cumulative = _refits(ordered, counts, precision, grid)
    return HazardModel(
        coefficients=coefficients[:, : size - decisions],
        effects=coefficients[:, size - decisions :],
        grid=grid,
        cumulative=cumulative,
        patients=len(np.unique(cut.patient)),
        events=events,
        prior_sd=prior_sd,
    )


def _refits(cut: Episodes, counts: Floats, precision: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """Coefficients (1 + refits, p) and cumulative baseline hazards (1 + refits, g)."""
    fit = lifelines_cox(cut, precision)
    coefficients = np.empty((len(counts), len(precision)))
    cumulative = np.empty((len(counts), len(grid)))
    for row, count in enumerate(counts):
        weights = count[cut.patient]
        drawn = weights > 0
        likelihood = CoxLikelihood(cut.take(drawn), weights[drawn])
        coefficients[row] = fit if row == 0 else fit_ridge_cox(likelihood, precision, fit, REFIT_TOLERANCE)
        cumulative[row] = likelihood.baseline(coefficients[row], grid)
    return coefficients, cumulative


def lifelines_cox(cut: Episodes, precision: Floats) -> Floats:
    """The log hazard ratios (p,) by lifelines, started from our own and checked against them.

    lifelines scales every input by its standard deviation and divides the penalty by the number of rows.

    Raises:
        ArithmeticError: the two solvers disagree, which would be a fault of ours.
    """
    start = fit_ridge_cox(CoxLikelihood(cut, np.ones(len(cut.stop))), precision)
    if not len(precision):
        return start
    from lifelines import CoxPHFitter  # a second of import that serving a fitted twin does without
    from lifelines.exceptions import ConvergenceWarning

    spread = cut.inputs.std(axis=0, ddof=1)
    table = pd.DataFrame(cut.inputs).rename(columns=str).assign(start=cut.start, stop=cut.stop, event=cut.event)
    fitter = CoxPHFitter(penalizer=precision / (len(table) * spread**2))
    with warnings.catch_warnings():
        # It warns of rare levels; the penalty makes their estimates finite, and the check below the result certain.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitter.fit(table, "stop", "event", entry_col="start", initial_point=start * spread)
    fitted = np.asarray(fitter.params_, dtype=float)
    if np.abs(fitted - start).max() > AGREEMENT:
        raise ArithmeticError(f"two Cox solvers differ by {np.abs(fitted - start).max():.2g}")
    return fitted


def fit_binary(inputs: Floats, positive: Floats, counts: Floats, varied: Flags, ridge: Ridge) -> BinaryModel:
    """A ridge logistic model and its refits.

    Args:
        inputs: (n, p + d), the last being decisions.
        positive: (n,) 0 or 1
        counts: (1 + refits, n) how often each patient is in each resample.
        varied: (d,) decisions that are estimated; the log odds ratio of the others is 0.
        ridge: Penalty of the decisions, and seed.
    """
    size, decisions = inputs.shape[1], len(varied)
    live = np.ptp(inputs, axis=0) > 0
    live[size - decisions :] &= varied
    used = inputs[:, live]
    live_decisions = int(live[size - decisions :].sum())
    prior_sd = binary_prior_sd(used, positive, live_decisions, ridge.decision_prior_sd, ridge.seed)
    precision = precision_of(prior_sd, used.shape[1] - live_decisions, ridge.decision_prior_sd, live_decisions)
    fit = sklearn_logistic(used, positive, precision)
    intercepts = np.empty(len(counts))
    coefficients = np.zeros((len(counts), size))
    for row, weights in enumerate(counts):
        fitted = fit if row == 0 else fit_ridge_logistic(used, positive, weights, precision, fit, REFIT_TOLERANCE)
        intercepts[row], coefficients[row, live] = fitted[0], fitted[1:]
    return BinaryModel(
        intercepts=intercepts,
        coefficients=coefficients[:, : size - decisions],
        effects=coefficients[:, size - decisions :],
        patients=len(positive),
        events=int(positive.sum()),
        prior_sd=prior_sd,
    )


def sklearn_logistic(inputs: Floats, positive: Floats, precision: Floats) -> Floats:
    """Intercept and log odds ratios (1 + p,) by scikit-learn.

    It penalises all inputs alike, so that each is scaled by the standard deviation of its prior.
    """
    if not len(precision):
        return fit_ridge_logistic(inputs, positive, np.ones(len(positive)), precision)
    from sklearn.linear_model import LogisticRegression

    scale = precision**-0.5
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(inputs * scale, positive)
    return np.concatenate([model.intercept_, model.coef_[0] * scale])
