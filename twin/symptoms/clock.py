"""Decisions and a questionnaire in, when the patient answers and which decisions are in effect then out."""

from __future__ import annotations

import numpy as np

from data.schema import Specification
from data.symptoms import Questionnaire
from data.units import conversion_factor
from twin.arrays import Floats
from twin.timeline import effect_months


def compared_decisions(spec: Specification, held: dict[str, int]) -> tuple[int, ...]:
    """Positions of the decisions whose effect on ratings is fitted.

    Left out are those that the cohort holds at one value, and those that an outcome can bring about: they are recorded
    without a date and may lie after the rating.
    """
    return tuple(
        k
        for k, decision in enumerate(spec.decisions)
        if decision.column not in held and decision.column not in spec.brought_about
    )


def rating_months(spec: Specification, asked: Questionnaire, decisions: Floats) -> Floats:
    """(n, weeks) months from time zero at which ratings are given, for decisions (n, decisions) of 0, 1 and NaN (open).

    After an open decision the earlier of the two possible months, as in `effect_months`.
    """
    clock = [decision.column for decision in spec.decisions].index(asked.clock)
    weeks = np.array(asked.weeks) * (conversion_factor("weeks", "months") or np.nan)
    return effect_months(spec, decisions)[:, [clock]] + weeks


def in_effect(spec: Specification, asked: Questionnaire, decisions: Floats, compared: tuple[int, ...]) -> Floats:
    """(n, weeks, compared decisions) of 1 where a decision was "yes" and takes effect before the week's rating, else 0.

    Args:
        spec: the disease.
        asked: when ratings are given.
        decisions: (n, decisions) of 0, 1 and NaN; what is open counts as "no".
        compared: positions of the decisions that are looked at.
    """
    effect, rated = effect_months(spec, decisions), rating_months(spec, asked, decisions)
    began = effect[:, None, list(compared)] < rated[:, :, None]
    return np.where(began, np.nan_to_num(decisions[:, None, list(compared)]), 0.0)
