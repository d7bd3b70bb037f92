"""The plan each patient had, as digits for a prediction: a training part and new patients in, complete plans out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.cohort import Cohort
from twin.arrays import Floats
from twin.record import decision_matrix


def complete_plans(training: Cohort, patients: Cohort, held: Mapping[str, int]) -> Floats:
    """The decisions of `patients`, with those that are not recorded filled in from `training`.

    A decision is missing mostly because the patient died or was lost before it. It is filled in with what the
    physicians of the training part chose most often after the same earlier decisions (after any, where nobody there
    had the same; "no" on a tie). The rule reads decisions alone, neither outcomes nor the held-out part, so that the
    completed plan carries nothing about the patient's future beyond what a recorded plan carries.

    Args:
        training: The patients a twin is fitted on.
        patients: n patients, of `training` or not.
        held: Decisions that `training` does not teach, and the value each is held at.

    Returns:
        (n, decisions) of 0 and 1.
    """
    seen = decision_matrix(training.spec, training.frame)
    plans = decision_matrix(patients.spec, patients.frame)
    for k, decision in enumerate(training.spec.decisions):
        if decision.column in held:
            plans[:, k] = seen[:, k] = held[decision.column]
            continue
        for row in np.flatnonzero(np.isnan(plans[:, k])):
            plans[row, k] = _usual_option(seen, plans[row, :k])
    return plans


def _usual_option(seen: Floats, earlier: Floats) -> float:
    k = len(earlier)
    same = seen[(seen[:, :k] == earlier).all(axis=1), k]
    choices = same[~np.isnan(same)]
    if choices.size == 0:
        choices = seen[~np.isnan(seen[:, k]), k]
    return float(choices.mean() > 0.5)


def plan_texts(plans: Floats) -> list[str]:
    """The plans (n, decisions) as digits, e.g. ``"010"``."""
    return ["".join("1" if digit else "0" for digit in row) for row in plans]
