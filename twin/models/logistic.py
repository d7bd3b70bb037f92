"""Ridge logistic regression as arrays: inputs, outcomes and weights in, log odds ratios out."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import expit

from data.errors import NotConverged
from twin.arrays import Floats

MAX_ITERATIONS: Final = 50


def fit_ridge_logistic(
    inputs: Floats,
    positive: Floats,
    weights: Floats,
    precision: Floats,
    initial: Floats | None = None,
    tolerance: float = 1e-9,
    offset: Floats | None = None,
) -> Floats:
    """Intercept and log odds ratios (1 + p,) that maximise the weighted log-likelihood less the ridge penalty.

    The penalty is ``sum(precision * coefficients**2) / 2`` over the log odds ratios, the intercept is free. Newton's
    method, each step at most as long as keeps the linear predictor's change within 10.

    Args:
        inputs: (n, p)
        positive: (n,) 0 or 1
        weights: (n,) at least 0
        precision: (p,) above 0
        initial: (1 + p,) where to start; the intercept alone by default.
        tolerance: Half the squared Newton decrement at which to stop, in units of log-likelihood.
        offset: (n,) added to the log odds of each patient.

    Raises:
        NotConverged: the maximum was not found.
    """
    design = np.hstack([np.ones((len(inputs), 1)), inputs])
    penalty = np.concatenate([[0.0], precision])
    coefficients = _intercept_only(positive, weights, design.shape[1]) if initial is None else initial.copy()
    for _ in range(MAX_ITERATIONS):
        linear = design @ coefficients
        risk = expit(linear if offset is None else linear + offset)
        gradient = design.T @ (weights * (positive - risk)) - penalty * coefficients
        information = design.T @ ((weights * risk * (1.0 - risk))[:, None] * design) + np.diag(penalty)
        information[0, 0] += 1e-10  # a resample in which nobody is positive has no finite intercept
        step = np.linalg.solve(information, gradient)
        longest = float(np.abs(design @ step).max())
        coefficients = coefficients + step * min(1.0, 10.0 / max(longest, 1e-12))
        if gradient @ step / 2 < tolerance:
            return np.asarray(coefficients)
    raise NotConverged.after(MAX_ITERATIONS, "a logistic regression")


def _intercept_only(positive: Floats, weights: Floats, size: int) -> Floats:
    share = np.clip(weights @ positive / weights.sum(), 1e-6, 1 - 1e-6)
    return np.concatenate([[np.log(share / (1 - share))], np.zeros(size - 1)])
