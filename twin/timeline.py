"""Plans and months: a treatment sequence in, the month from which each decision acts and where a patient stands out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.errors import WrongUsage
from data.schema import Landmark, Specification
from twin.arrays import Flags, Floats, Integers

OPEN = "-"
"""The digit of a decision that is still to be taken."""


def all_plans(spec: Specification) -> tuple[str, ...]:
    """Every complete plan of the disease, ``"000"`` first."""
    return tuple("".join(digits) for digits in itertools.product("01", repeat=len(spec.decisions)))


def plan_digits(spec: Specification, plan: str) -> Floats:
    """The digits of `plan` as numbers, NaN where a decision is open; shape (decisions,).

    Raises:
        WrongUsage: another number of digits than the disease has decisions, or a digit other than 0, 1 and ``-``.
    """
    if len(plan) != len(spec.decisions) or set(plan) - {"0", "1", OPEN}:
        columns = ", ".join(decision.column for decision in spec.decisions) or "none"
        raise WrongUsage(
            f"plan '{plan}': expected {len(spec.decisions)} digits 0, 1 or - (decisions: {columns})",
            remedy="write one digit per decision, in this order",
        )
    return np.array([np.nan if digit == OPEN else float(digit) for digit in plan])


def plan_text(digits: Floats) -> str:
    """Digits (decisions,) as a plan; open decisions as ``-``."""
    return "".join(OPEN if np.isnan(digit) else str(int(digit)) for digit in digits)


def agrees(plan: str, so_far: str) -> bool:
    """Whether `plan` is one way to go on from the decisions already taken."""
    return all(taken in (OPEN, digit) for digit, taken in zip(plan, so_far, strict=True))


def effect_months(spec: Specification, decisions: Floats) -> Floats:
    """The month from which each decision acts on the hazards.

    Args:
        spec: The disease.
        decisions: (..., decisions) of 0, 1 and NaN (open).

    Returns:
        (..., decisions) months; after an open decision the earlier of the two possible months.
    """
    months = np.empty_like(decisions)
    for k, decision in enumerate(spec.decisions):
        months[..., k] = decision.month
        if k:
            previous = decisions[..., k - 1]
            earliest = min(decision.month, decision.month_if_previous_declined)
            months[..., k] = np.where(previous == 0, decision.month_if_previous_declined, decision.month)
            months[..., k] = np.where(np.isnan(previous), earliest, months[..., k])
    return months


def question_moment(spec: Specification, landmarks_reached: int) -> str:
    """The moment of the first question that is asked after that many landmarks."""
    rank = spec.rank(spec.landmarks[landmarks_reached - 1].moment) if landmarks_reached else -1
    later = [decision.moment for decision in spec.decisions if spec.rank(decision.moment) > rank]
    return later[0] if later else spec.moments[max(rank, 0) + 1]


@dataclass(frozen=True, eq=False)
class Position:
    """Where each of n patients stands, judged by what is recorded about them."""

    landmarks_reached: Integers
    """(n,) how many landmarks lie behind the patient."""
    alive_until: Floats
    """(n,) the latest month that what is recorded shows the patient to have lived to."""
    next_decision: Integers
    """(n,) index of the next open decision; the number of decisions when none is left."""


def locate(spec: Specification, recorded: Floats, assumed: Floats, seen: Mapping[str, Flags]) -> Position:
    """Where patients stand.

    A landmark is passed over by those who declined the decision before it when the next decision is then taken at
    once: nothing was given whose result could be seen.

    Args:
        spec: The disease.
        recorded: (n, decisions) decisions as recorded, NaN where open.
        assumed: The same, with decisions that are held at one value filled in; they say when others take effect but
            are no evidence that a patient lived to them.
        seen: For each landmark's moment, (n,) whether any of its states is recorded.
    """
    patients = len(recorded)
    months = effect_months(spec, assumed)
    taken = ~np.isnan(recorded)
    ranks = np.array([spec.rank(decision.moment) for decision in spec.decisions], dtype=int)
    latest = np.max(np.where(taken, ranks, -1), axis=1, initial=-1)
    alive = np.max(np.where(taken, months, 0.0), axis=1, initial=0.0)
    reached = np.zeros(patients, dtype=np.intp)
    for k, landmark in enumerate(spec.landmarks):
        rank = spec.rank(landmark.moment)
        observed = seen[landmark.moment] & ~_passed_over(spec, landmark, assumed)
        evidence = observed | np.any(taken & (ranks > rank) & (months >= landmark.month), axis=1)
        reached[evidence] = k + 1
        alive = np.where(observed, np.maximum(alive, landmark.month), alive)
        latest = np.where(observed, np.maximum(latest, rank), latest)
    upcoming = np.sum(ranks[None, :] <= latest[:, None], axis=1)
    return Position(reached, alive, upcoming.astype(np.intp))


def _passed_over(spec: Specification, landmark: Landmark, decisions: Floats) -> Flags:
    rank = spec.rank(landmark.moment)
    before = sum(spec.rank(decision.moment) < rank for decision in spec.decisions)
    if before == 0 or before == len(spec.decisions):
        return np.zeros(len(decisions), dtype=bool)
    at_once = spec.decisions[before].month_if_previous_declined < landmark.month
    return np.asarray((decisions[:, before - 1] == 0) & at_once)
