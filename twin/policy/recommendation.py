"""A twin and patients in; what to do next, how much better it is, how sure that is, and when to say nothing, out.

The option that is recommended is the learnt policy's, or the exact one where no policy was learnt or the learnt one
falls short. Whoever is recommended an option is always told what the other is worth, outcome by outcome, as differences
within draws. Where the doubt is too great the recommendation abstains and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import pandas as pd

from twin.arrays import Flags, Floats, Integers
from twin.interval import percentile_interval
from twin.plans import identifier
from twin.policy.exact import NO, TIE, YES, Course, Decide, follow, plan_probabilities, plan_values, solve, spread
from twin.policy.options import Exclusion, Options
from twin.policy.patients import Patients
from twin.policy.prospects import Prospects, drawn_losses, prospects
from twin.policy.standing import Standing, standings
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.support import Support, SupportLevel
from twin.threads import one_thread

MARGIN: Final = 0.03
"""Utility that an option may lose by, within the interval of its gain, and still be recommended. Assumed: as much as
1.8 months of life within 60, or 6 failures in a hundred patients."""
FALLS_SHORT: Final = 0.02
"""Share of the spread between a patient's best and worst plan by which the learnt policy may fall short and be shown"""


class Learnt(Protocol):
    """A learnt policy, such as `twin.policy.agent.Agent`."""

    def decide(self, patients: Patients, weights: Floats) -> Decide:
        """How it decides for n patients and weights (n, outcomes)."""


@dataclass(frozen=True, eq=False)
class Advice:
    """What is recommended to n patients who stand at the same place."""

    standing: Standing
    prospects: Prospects
    exact: Course
    """Under the best policy"""
    weights: Floats
    """(n, outcomes)"""
    options: Options
    """What is possible, and why not, for everybody who was asked about"""
    learnt: Integers | None
    """(n,) option of the learnt policy; ``None`` without one"""
    regret: Floats
    """(n,) value that the learnt policy falls short of the exact one by; NaN without one"""
    recommended: Integers
    """(n,) 0 or 1"""
    losses: Floats
    """(1 + draws, n, 2, outcomes) with each option of the next decision and the best way on; row 0 is the fit"""

    @property
    def differences(self) -> Floats:
        """(1 + draws, n, outcomes) losses with the recommended option less those with the other."""
        rows = np.arange(self.prospects.size)
        return self.losses[:, rows, self.recommended] - self.losses[:, rows, 1 - self.recommended]

    @property
    def falls_short(self) -> Flags:
        """(n,) whether the learnt policy loses so much that the exact option stands in its place."""
        return np.asarray(np.nan_to_num(self.regret) > FALLS_SHORT * self.spread + TIE)

    @property
    def best(self) -> Integers:
        """(n,) option of the exact policy."""
        return self.exact.yes[self.prospects.so_far][:, 0].astype(np.intp)

    @property
    def spread(self) -> Floats:
        """(n,) between the values of the best and the worst plan."""
        return np.asarray(np.ptp(plan_values(self.prospects, self.weights), axis=1))

    @property
    def values(self) -> Floats:
        """(n, 2) utility with each option and the best way on, whether it is possible or not."""
        question = self.exact.first
        return np.asarray(1.0 - np.einsum("nao,no->na", question.losses[:, 0], self.weights))

    @property
    def gains(self) -> Floats:
        """(1 + draws, n) value of the recommended option less that of the other."""
        return np.asarray(-np.einsum("dno,no->dn", self.differences, self.weights))

    def so_far_with(self, option: Integers) -> list[str]:
        """For each patient, the decisions taken with an option (n,) of the next one; later ones as they stand."""
        place, so_far = self.standing.next_open, self.standing.so_far
        return [f"{so_far[:place]}{chosen}{so_far[place + 1 :]}" for chosen in option.tolist()]

    def plans(self, option: Integers) -> list[str]:
        """For each patient, the sequence to be expected most after an option (n,) of the next decision."""
        chances = plan_probabilities(self.prospects, self.exact, option.astype(float))
        return [self.prospects.plans[k] for k in chances.argmax(axis=1)]


def advise(
    twin: FittedTwin,
    frame: pd.DataFrame,
    weights: Weights,
    learnt: Learnt | None = None,
    excluded: Sequence[Exclusion] = (),
) -> Iterator[Advice]:
    """What is recommended to the patients of a typed frame who have a decision open, some of them at a time.

    Args:
        twin: The models.
        frame: What is known so far.
        weights: Of the losses.
        learnt: The learnt policy, if there is one.
        excluded: Options that are ruled out for all of them.

    Raises:
        Refused: a decision of a patient contradicts one that the cohort holds.
        WrongUsage: both options of a decision are ruled out.
    """
    options = Options.of(twin.spec, frame, excluded)
    with one_thread():
        for standing in standings(twin, frame, options.barred_manners):
            for some in prospects(twin, frame, standing):
                yield _advice(twin, frame, standing, some, weights.array(twin.outcomes), options, learnt)


def _advice(
    twin: FittedTwin,
    frame: pd.DataFrame,
    standing: Standing,
    some: Prospects,
    weights: Floats,
    options: Options,
    learnt: Learnt | None,
) -> Advice:
    own, allowed = spread(weights, some.size), options.allowed[some.rows]
    exact = solve(some, own, allowed)
    recommended = exact.yes[some.so_far][:, 0].astype(np.intp)
    regret, chosen = np.full(some.size, np.nan), None
    if learnt is not None:
        course = _followed(twin, frame, standing, some, own, allowed, learnt)
        chosen = (course.yes[some.so_far][:, 0] > 0.5).astype(np.intp)
        regret = np.maximum(exact.value(own) - course.value(own), 0.0)
    losses = _losses(some, exact, drawn_losses(twin, frame, standing, some.rows))
    advice = Advice(standing, some, exact, own, options, chosen, regret, recommended, losses)
    if chosen is None:
        return advice
    return replace(advice, recommended=np.where(advice.falls_short, recommended, chosen))


def _followed(
    twin: FittedTwin,
    frame: pd.DataFrame,
    standing: Standing,
    some: Prospects,
    weights: Floats,
    allowed: Flags,
    learnt: Learnt,
) -> Course:
    """How patients fare under a learnt policy."""
    return follow(some, learnt.decide(Patients.with_ahead(twin, frame, standing, some), weights), allowed)


def relative_regret(twin: FittedTwin, frame: pd.DataFrame, weights: Weights, learnt: Learnt) -> Floats:
    """(n,) value that a learnt policy falls short of the exact one by, as a share of the best plan's less the worst's.

    0 for patients who have nothing left to decide, and for those to whom all plans are worth the same.
    """
    options, result = Options.of(twin.spec, frame), np.zeros(len(frame))
    with one_thread():
        for standing in standings(twin, frame, options.barred_manners):
            for some in prospects(twin, frame, standing):
                own, allowed = spread(weights.array(twin.outcomes), some.size), options.allowed[some.rows]
                course = _followed(twin, frame, standing, some, own, allowed, learnt)
                short = np.maximum(solve(some, own, allowed).value(own) - course.value(own), 0.0)
                span = np.ptp(plan_values(some, own), axis=1)
                result[some.rows] = np.divide(short, span, out=np.zeros_like(short), where=span > TIE)
    return result


def _losses(some: Prospects, exact: Course, drawn: Floats) -> Floats:
    """(1 + draws, n, 2, outcomes) losses with each option.

    The fit is exact. A draw is that of whole plans, each weighted by how likely the policy ends with it after the
    option, and set off by as much as that mixture errs for the fit: what the policy gains by looking is small beside
    the doubt about what each plan does (tested against draws of the policy itself).
    """
    fit = exact.first.losses[:, 0]
    shares = np.stack([plan_probabilities(some, exact, np.full(some.size, float(option))) for option in (NO, YES)], 1)
    static = np.stack([some.losses(plan) for plan in some.plans], axis=1)
    draws = np.einsum("dnpo,nap->dnao", drawn, shares) + (fit - np.einsum("npo,nap->nao", static, shares))
    return np.concatenate([fit[None], draws])


@dataclass(frozen=True)
class Verdict:
    """Whether a recommendation is given to a patient."""

    abstained: bool
    reason: str
    """Why it abstains, or why there is only one option; empty otherwise"""


def verdict(standing: Standing, gain_lower: float, support: Support, only: str) -> Verdict:
    """Whether to recommend.

    Args:
        standing: Where the patient stands.
        gain_lower: Lower end of the interval of the gain.
        support: Of the recommended option after the decisions taken.
        only: Why the other option is not possible; empty where it is.
    """
    if standing.assumed:
        return Verdict(True, f"{', '.join(standing.assumed)} not recorded although what came after is")
    if only:
        return Verdict(False, f"the other option is not possible: {only}")
    reasons = []
    if gain_lower < -MARGIN:
        reasons.append(
            f"the other option may be better by up to {-gain_lower:.3f} of utility, more than the margin of {MARGIN:g}"
        )
    if support.level is not SupportLevel.SUPPORTED:
        reasons.append(f"support is {support.level.value}: {support.reasons[0]}")
    return Verdict(bool(reasons), "; ".join(reasons))


def verdicts(advice: Advice, gain_lower: Floats, supports: Sequence[Support]) -> list[Verdict]:
    """For each patient of some advice whether to recommend; arguments as of `verdict`, one a patient."""
    rows, decision = advice.prospects.rows, advice.prospects.spec.decisions[advice.standing.next_open].column
    of_each = zip(rows.tolist(), gain_lower.tolist(), supports, advice.recommended.tolist(), strict=True)
    return [
        verdict(advice.standing, low, support, advice.options.reasons[row].get((decision, 1 - option), ""))
        for row, low, support, option in of_each
    ]


def physicians(twin: FittedTwin, frame: pd.DataFrame, advice: Advice) -> Floats:
    """(n,) probability that the cohort's physicians take the recommended option; NaN where their habit is unknown."""
    column = twin.spec.decisions[advice.standing.next_open].column
    if column not in twin.effects.behaviour.decisions:
        return np.full(advice.prospects.size, np.nan)
    yes = twin.effects.behaviour.probability(frame.iloc[advice.prospects.rows], column)
    return np.where(advice.recommended == YES, yes, 1.0 - yes)


COLUMNS: Final = (
    "patient_id",
    "decision",
    "recommendation",
    "plan",
    "value",
    "value_next_best",
    "gain_lower",
    "gain_upper",
    "physician_probability",
    "support",
    "abstained",
    "reason",
    "policy_regret",
    "model",
)


def recommend(
    twin: FittedTwin,
    frame: pd.DataFrame,
    weights: Weights,
    learnt: Learnt | None = None,
    excluded: Sequence[Exclusion] = (),
) -> pd.DataFrame:
    """The recommendations as a table, one row a patient who has a decision open, in the order of `frame`.

    Arguments and errors as of `advise`.

    Returns:
        `COLUMNS`. ``value`` is the utility to be expected with the recommended option and the best way on,
        ``value_next_best`` that with the other; the gain is their difference. ``policy_regret`` is missing where no
        policy was learnt.
    """
    tables = [_table(twin, frame, one) for one in advise(twin, frame, weights, learnt, excluded)]
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)


def _table(twin: FittedTwin, frame: pd.DataFrame, advice: Advice) -> pd.DataFrame:
    rows, decision = advice.prospects.rows, twin.spec.decisions[advice.standing.next_open].column
    lower, upper = percentile_interval(advice.gains, twin.origin.interval)
    plans = advice.plans(advice.recommended)
    supports = twin.supports(as_assumed(twin, frame, advice), advice.so_far_with(advice.recommended))
    given = verdicts(advice, lower, supports)
    here = np.arange(len(rows))
    return pd.DataFrame(
        {
            "patient_id": [identifier(frame, twin.spec, row) for row in rows.tolist()],
            "decision": decision,
            "recommendation": advice.recommended,
            "plan": plans,
            "value": advice.values[here, advice.recommended],
            "value_next_best": advice.values[here, 1 - advice.recommended],
            "gain_lower": lower,
            "gain_upper": upper,
            "physician_probability": physicians(twin, frame, advice),
            "support": [support.level.value for support in supports],
            "abstained": [int(one.abstained) for one in given],
            "reason": [one.reason for one in given],
            "policy_regret": advice.regret,
            "model": twin.version,
        },
        index=rows,
        columns=list(COLUMNS),
    )


def as_assumed(twin: FittedTwin, frame: pd.DataFrame, advice: Advice) -> pd.DataFrame:
    """The patients of some advice with past decisions that are not recorded filled in."""
    some = frame.iloc[advice.prospects.rows].reset_index(drop=True)
    columns = [decision.column for decision in twin.spec.decisions]
    taken = {name: float(advice.standing.so_far[columns.index(name)]) for name in advice.standing.assumed}
    return some.assign(**taken)
