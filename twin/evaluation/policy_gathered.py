"""Twins fitted in cross-validation in, what they say of the patients held out under every policy compared, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from data.schema import Decision, OutcomeKind, Specification
from twin.arrays import Flags, Floats
from twin.evaluation.held_out import Fold
from twin.evaluation.plug_in import plug_in
from twin.evaluation.policy_values import RANDOM_CHANCE, Asked, Rule, Said, known_at_first
from twin.policy.prospects import horizon_months
from twin.policy.recommendation import recommend
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.timeline import OPEN, all_plans, plan_digits

EXACT: Final = "exact"
RANDOM: Final = "random"
GREEDY: Final = "ridge_cox"
SWEEP: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Multiples of the weights of yes-or-no outcomes along the Pareto front"""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Everything that is said of the n patients of a cohort by twins that never saw them, and how they fared."""

    cohort: Cohort
    valued: tuple[int, ...]
    outcomes: tuple[str, ...]
    weights: Weights
    horizon: float
    taken: Floats
    """(n, decisions) what was done; NaN where not reached or not recorded"""
    unrecorded: Flags
    """(n,) who lived to a valued decision that is not recorded"""
    propensity: Floats
    """(n, T) probability of "yes" """
    fixed: tuple[str, ...]
    """Fixed plans by their digits"""
    said: Mapping[str, Said]
    """By policy"""
    advised: Floats
    """(n, decisions) what the exact policy says at every decision they reached"""
    abstained: Floats
    """(n,) 0 or 1; NaN where nothing is asked"""
    regret: Floats | None
    """(n,)"""
    not_compared: Mapping[str, str]

    @cached_property
    def impossible(self) -> Flags:
        """(n,) who came to a decision by a history that the twin holds impossible."""
        exact, reached = self.said[EXACT], ~np.isnan(self.taken[:, self.valued])
        known = np.isfinite(exact.policy).all(axis=2) & np.isfinite(exact.taken).all(axis=2)
        return np.asarray((reached & ~known).any(axis=1))

    @cached_property
    def kept(self) -> Flags:
        """(n,) in whom policies can be valued."""
        return np.asarray(~self.unrecorded & ~self.impossible)

    @cached_property
    def compared(self) -> Flags:
        """(decisions,) those that the twins compare, and that somebody came to."""
        return np.asarray((~np.isnan(self.advised)).any(axis=0))

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The T valued ones."""
        return tuple(self.cohort.spec.decisions[k] for k in self.valued)


def valued_decisions(cohort: Cohort, twins: Sequence[FittedTwin]) -> tuple[int, ...]:
    """Positions of the decisions that policies take: no outcome brings them about, every twin knows the habit."""
    brought_about = {column for outcome in cohort.spec.outcomes for column in outcome.triggers}
    return tuple(
        k
        for k, decision in enumerate(cohort.spec.decisions)
        if decision.column not in brought_about
        and all(decision.column in twin.effects.behaviour.decisions for twin in twins)
        and all(decision.column not in twin.capability.held for twin in twins)
    )


def gather(
    cohort: Cohort,
    parts: Sequence[Fold],
    twins: Sequence[FittedTwin],
    weights: Weights,
    regret: Floats | None = None,
) -> Gathered | str:
    """Ask the twin of each part about the patients held out of it; or why that tells nothing.

    Args:
        cohort: The patients, each held out once.
        parts: How they are held out.
        twins: Fitted, one a part.
        weights: Of the losses.
        regret: (patients,) what a learnt policy falls short of the exact one by, as a share of best plan less worst.
    """
    valued = valued_decisions(cohort, twins)
    if not valued:
        return "no decision that physicians take by plan varies enough in this cohort for policies to be compared"
    outcomes = tuple(name for name in twins[0].outcomes if all(name in twin.outcomes for twin in twins))
    horizon = min(horizon_months(twin) for twin in twins)
    asked = [
        Asked.of(twin, part.held_out, outcomes, valued, weights.by_outcome)
        for twin, part in zip(twins, parts, strict=True)
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(part.rows) for part in parts]), kind="stable")
    greedy = _greedy(asked, parts, weights, horizon)
    fixed = fixed_plans(cohort.spec, valued, twins[0].capability.held)
    rules = [_rules(one, weights, fixed, position, greedy) for position, one in enumerate(asked)]
    said = {
        name: Said.together([one.say(own[name]) for one, own in zip(asked, rules, strict=True)], order)
        for name in rules[0]
    }

    def together(tables: Sequence[Floats]) -> Floats:
        return np.concatenate(tables)[order]

    return Gathered(
        cohort=cohort,
        valued=valued,
        outcomes=outcomes,
        weights=weights,
        horizon=horizon,
        taken=together([one.decided.taken for one in asked]),
        unrecorded=np.concatenate([_unrecorded(one) for one in asked])[order],
        propensity=together([one.propensity for one in asked]),
        fixed=fixed,
        said=said,
        advised=together([one.advised() for one in asked]),
        abstained=together([_abstained(one, weights) for one in asked]),
        regret=regret,
        not_compared={GREEDY: greedy} if isinstance(greedy, str) else {},
    )


def _unrecorded(asked: Asked) -> Flags:
    """(n,) who lived to a valued decision that is not recorded."""
    return np.asarray(asked.decided.unrecorded[:, list(asked.valued)].any(axis=1))


def _rules(
    asked: Asked, weights: Weights, fixed: Sequence[str], position: int, greedy: Sequence[Floats] | str
) -> dict[str, Rule]:
    """Every policy that the patients of one part are asked about, by name."""
    spec = asked.twin.spec
    rules: dict[str, Rule] = {EXACT: asked.exact()}
    for plan in fixed:
        rules[plan] = asked.always(np.nan_to_num(plan_digits(spec, plan)))
    rules[RANDOM] = asked.always(np.full(len(spec.decisions), RANDOM_CHANCE))
    if not isinstance(greedy, str):
        rules[GREEDY] = asked.always(greedy[position])
    for name, other in weightings(spec, weights, asked.outcomes).items():
        rules[name] = asked.exact(other)
    for multiple, other in sweep(spec, weights, asked.outcomes).items():
        rules[multiple] = asked.exact(other)
    return rules


def _greedy(asked: Sequence[Asked], parts: Sequence[Fold], weights: Weights, horizon: float) -> list[Floats] | str:
    """In every part, (n, decisions) the plan that ridge regression states to be best for each patient; or why not."""
    try:
        return [_best_stated(one, part, weights, horizon) for one, part in zip(asked, parts, strict=True)]
    except Refused as refused:
        return refused.what


def _best_stated(asked: Asked, part: Fold, weights: Weights, horizon: float) -> Floats:
    plans = asked.twin.plans
    held = asked.twin.capability.held
    stated = plug_in(part.training, part.held_out, asked.outcomes, weights, plans, held, horizon)
    digits = np.array([plan_digits(asked.twin.spec, plan) for plan in plans])
    return np.asarray(digits[stated.argmax(axis=1)])


def _abstained(asked: Asked, weights: Weights) -> Floats:
    """(n,) whether the recommendation abstains at the first open decision."""
    table = recommend(asked.twin, known_at_first(asked.patients, asked.twin), weights)
    result = np.full(asked.patients.size, np.nan)
    result[: len(table)] = table["abstained"].to_numpy(dtype=float)
    return result


def fixed_plans(spec: Specification, valued: Sequence[int], held: Mapping[str, int]) -> tuple[str, ...]:
    """Every way to fix the valued decisions, with held ones at their value and ``-`` for the others."""
    digits = [str(held.get(decision.column, OPEN)) for decision in spec.decisions]
    found = ("".join(plan[k] if k in valued else digits[k] for k in range(len(digits))) for plan in all_plans(spec))
    return tuple(dict.fromkeys(found))


def weightings(spec: Specification, weights: Weights, outcomes: Sequence[str]) -> dict[str, dict[str, float]]:
    """A handful of other weights of outcomes, by name; those that change nothing are left out."""
    own = {name: weights.by_outcome[name] for name in outcomes}

    def multiplied(kind: OutcomeKind, factor: float) -> dict[str, float]:
        return {name: value * (factor if spec.outcome(name).kind is kind else 1.0) for name, value in own.items()}

    survival = {name: value * (spec.outcome(name).kind is OutcomeKind.SURVIVAL) for name, value in own.items()}
    tried = {
        "death alone": survival,
        "toxicities not counted": multiplied(OutcomeKind.BINARY, 0.0),
        "toxicities counted three times": multiplied(OutcomeKind.BINARY, 3.0),
        "failures counted twice": multiplied(OutcomeKind.COMPETING, 2.0),
    }
    return {name: one for name, one in tried.items() if one != own and any(one.values())}


def sweep(spec: Specification, weights: Weights, outcomes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Weights along the Pareto front, by multiple of those of yes-or-no outcomes; none where there are no two sides."""
    own = {name: weights.by_outcome[name] for name in outcomes}
    toxic = [name for name in outcomes if spec.outcome(name).kind is OutcomeKind.BINARY]
    if not toxic or death_outcome(spec, outcomes) is None:
        return {}
    return {
        f"toxicities x {multiple:g}": {**own, **{name: multiple * own[name] for name in toxic}} for multiple in SWEEP
    }


def death_outcome(spec: Specification, outcomes: Sequence[str]) -> str | None:
    """The outcome whose loss is months of life."""
    kinds = (name for name in outcomes if spec.outcome(name).kind is OutcomeKind.SURVIVAL)
    return next((name for name in kinds if spec.outcome(name).time == spec.follow_up), None)
