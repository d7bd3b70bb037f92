"""Twins fitted in cross-validation in, what the treatment policy that follows from them would have been worth out.

In every fold the twin that was fitted on the other patients decides for those held out, at first and at every later
decision they really came to, with what was recorded of them by then. Its value is estimated from how they fared
(`twin.policy.off_policy`): by weights of who was treated so, and by the model's own expectations corrected by them.
Beside it, by the same estimators: the physicians as observed, every fixed plan, a coin, and the plan that ridge
regression states to be best for each patient at first.

The policies decide what no outcome can bring about (`Outcome.triggers`), if the physicians' habit is known. A decision
that can be the consequence of a failure is left to the physicians in all of them: whoever has it recorded may not have
been given it by plan. So the figures tell what the other decisions are worth, with that one taken as it always was.
Options that are ruled out for a patient (contraindications) are in no policy.

The Pareto front, its fixed plans and the choices behind it are what the models expect: nothing corrects them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind
from twin.arrays import Floats, Integers
from twin.behaviour import triggered
from twin.evaluation.policy_gathered import EXACT, GREEDY, RANDOM, Gathered, death_outcome, sweep, weightings
from twin.evaluation.policy_values import Said
from twin.evaluation.subgroups import SMALLEST_GROUP, audited_groups
from twin.metrics.intervals import MetricValue, estimate, resample_counts
from twin.policy.observed_utility import observed_losses
from twin.policy.off_policy import (
    Estimator,
    ModelValues,
    OffPolicyEvaluation,
    Treated,
    of_option_taken,
    off_policy,
)
from twin.policy.sensitivity import Sensitivity, sensitivity
from twin.policy.utility import utility

COMMON: Final = (0.1, 0.9)
"""Between which propensities both options are common"""
HEADLINE: Final = Estimator.DOUBLY_ROBUST
"""Estimator where one is shown"""


@dataclass(frozen=True)
class GroupChoice:
    """How often "yes" is recommended and given in an audited group; only its size where it is too small."""

    column: str
    group: str
    patients: int
    suppressed: bool
    recommended: float | None = None
    given: float | None = None


@dataclass(frozen=True)
class Choice:
    """One decision as the exact policy and the physicians take it, in those who came to it."""

    decision: str
    label: str
    valued: bool
    """Whether policies take it in the values; else it is left to the physicians there"""
    patients: int
    """Who came to it by plan: without those in whom an outcome may have brought it about"""
    recommended: MetricValue
    """Share of "yes" """
    given: MetricValue
    agreement: MetricValue
    """Share in whom the recommendation is what was done"""
    overlap: MetricValue | None
    """Share whose propensity is common for both options; ``None`` where it is not valued"""
    groups: tuple[GroupChoice, ...]


@dataclass(frozen=True)
class Loss:
    """One loss under the physicians and under the exact policy, so that benefit and harm are shown apart."""

    physicians: MetricValue
    policy: MetricValue
    """Doubly robust"""
    difference: MetricValue


@dataclass(frozen=True)
class Abstention:
    """How often the recommendation says nothing for certain."""

    decision: str
    """At which it was asked: it needs every draw of a twin, which takes long where states are recorded"""
    patients: int
    share: MetricValue


@dataclass(frozen=True)
class Regret:
    """What a learnt policy falls short of the exact one by, as shares of the spread between best and worst plan."""

    patients: int
    mean: MetricValue
    percentile_95: MetricValue


@dataclass(frozen=True)
class Weighting:
    """The exact policy for other weights of outcomes."""

    name: str
    weights: Mapping[str, float]
    physicians: MetricValue
    value: MetricValue
    """Doubly robust, by these weights"""
    difference: MetricValue
    effective_sample_size: float
    claim: bool
    recommended: Mapping[str, float]
    """By valued decision, share of "yes" in those who came to it"""


@dataclass(frozen=True)
class Point:
    """Benefit and harm of one policy."""

    name: str
    months_lost: float
    """Mean months of life lost before the horizon"""
    toxicity: float
    """Mean sum of the probabilities of yes-or-no outcomes"""
    best: bool
    """Whether no other point that the models expect has less of both"""


@dataclass(frozen=True)
class Front:
    """Months of life lost against toxicity, as the models expect them of the patients; the observed beside."""

    exact: tuple[Point, ...]
    """The exact policy with the weights of toxicities multiplied"""
    fixed: tuple[Point, ...]
    observed: Point
    """As it was under the physicians"""


@dataclass(frozen=True)
class PolicyEvaluation:
    """What the policy would have been worth to patients that its models never saw."""

    patients: int
    left_out: Mapping[str, int]
    """Reason -> patients in whom the policy cannot be valued"""
    horizon: float
    """Month by which losses are counted"""
    weights: Mapping[str, float]
    """Of the losses that count"""
    valued: tuple[str, ...]
    """Decisions that policies take"""
    left_to_physicians: tuple[str, ...]
    policies: Mapping[str, OffPolicyEvaluation]
    """`EXACT`, `RANDOM`, `GREEDY`, and fixed plans by their digits, with ``-`` for what is left to the physicians"""
    model: Mapping[str, MetricValue]
    """By policy, the value that the models expect, without a correction"""
    fixed: tuple[str, ...]
    """Names of the fixed plans among them"""
    best_fixed: str
    """Fixed plan of the highest doubly robust value; chosen on these very patients, which flatters it"""
    sensitivity: Sensitivity
    """Of the lead of the exact policy"""
    losses: Mapping[str, Loss]
    choices: tuple[Choice, ...]
    abstention: Abstention
    regret: Regret | None
    """``None`` without a learnt policy"""
    weightings: tuple[Weighting, ...]
    front: Front | None
    """``None`` where survival or no yes-or-no outcome is predicted"""
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Policies that could not be made, and why"""

    @property
    def physicians(self) -> MetricValue:
        """Mean utility as observed."""
        return self.policies[EXACT].physicians

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "patients": self.patients,
            "left_out": dict(self.left_out),
            "horizon": self.horizon,
            "weights": dict(self.weights),
            "valued": list(self.valued),
            "left_to_physicians": list(self.left_to_physicians),
            "physicians": self.physicians.as_dict(),
            "policies": {
                name: {**found.as_dict(), "model": self.model[name].as_dict()} for name, found in self.policies.items()
            },
            "fixed": list(self.fixed),
            "best_fixed": self.best_fixed,
            "sensitivity": self.sensitivity.as_dict(),
            "losses": {name: asdict(loss) for name, loss in self.losses.items()},
            "choices": {one.decision: _without(asdict(one), "decision") for one in self.choices},
            "abstention": asdict(self.abstention),
            "regret": None if self.regret is None else asdict(self.regret),
            "weightings": {one.name: _without(asdict(one), "name") for one in self.weightings},
            "front": None if self.front is None else asdict(self.front),
            "not_compared": dict(self.not_compared),
        }


def _without(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


def evaluate_policy(gathered: Gathered, resamples: int, seed: int) -> PolicyEvaluation | str:
    """The value of the policy and of those beside it; or why it cannot be told.

    Args:
        gathered: What twins said of patients they never saw.
        resamples: Of the patients, behind each interval.
        seed: Of the resamples.
    """
    patients = int(gathered.kept.sum())
    if not patients:
        return "no patient has every decision recorded that was reached"
    try:
        judge = _Judge.of(gathered, resamples, seed)
    except Refused as refused:
        return str(refused.what)
    spec, own = gathered.cohort.spec, judge.weights(gathered.weights.by_outcome)
    exact = judge.said[EXACT]
    named = (EXACT, *gathered.fixed, RANDOM, *(() if GREEDY in gathered.not_compared else (GREEDY,)))
    policies = {name: judge.value(judge.said[name], own) for name in named}
    return PolicyEvaluation(
        patients=patients,
        left_out=_left_out(gathered),
        horizon=gathered.horizon,
        weights={name: gathered.weights.by_outcome[name] for name in gathered.outcomes},
        valued=tuple(decision.column for decision in gathered.decisions),
        left_to_physicians=_left_to_physicians(gathered),
        policies=policies,
        model={name: judge.mean(utility(judge.said[name].first, own)) for name in named},
        fixed=gathered.fixed,
        best_fixed=max(gathered.fixed, key=lambda name: policies[name].values[HEADLINE].value.value or 0.0),
        sensitivity=sensitivity(judge.treated(exact, own), judge.counts),
        losses={name: judge.loss(exact, k) for k, name in enumerate(gathered.outcomes)},
        choices=tuple(_choices(gathered, resamples, seed)),
        abstention=_abstention(gathered, resamples, seed),
        regret=_regret(gathered, resamples, seed),
        weightings=tuple(
            judge.weighting(name, weights)
            for name, weights in weightings(spec, gathered.weights, gathered.outcomes).items()
        ),
        front=judge.front(gathered.fixed),
        not_compared=gathered.not_compared,
    )


def _left_out(gathered: Gathered) -> dict[str, int]:
    return {
        "lived to a decision that is not recorded": int(gathered.unrecorded.sum()),
        "came to a decision by a history that the model holds impossible": int(
            (gathered.impossible & ~gathered.unrecorded).sum()
        ),
    }


def _left_to_physicians(gathered: Gathered) -> tuple[str, ...]:
    """Decisions that were compared, and that policies do not take."""
    return tuple(
        decision.column
        for k, decision in enumerate(gathered.cohort.spec.decisions)
        if gathered.compared[k] and k not in gathered.valued
    )


@dataclass(frozen=True, eq=False)
class _Judge:
    """The n patients in whom policies can be valued."""

    gathered: Gathered
    said: Mapping[str, Said]
    taken: Floats
    """(n, T)"""
    behaviour: Floats
    """(n, T) of what was decided"""
    observed: Floats
    """(n, outcomes) losses"""
    counts: Floats

    @classmethod
    def of(cls, gathered: Gathered, resamples: int, seed: int) -> _Judge:
        """Those of everything that was gathered.

        Raises:
            Refused: an outcome is recorded in too few of them, or they are not followed to the horizon.
        """
        kept, spec = gathered.kept, gathered.cohort.spec
        frame = gathered.cohort.frame[kept].reset_index(drop=True)
        taken = gathered.taken[kept][:, list(gathered.valued)]
        return cls(
            gathered=gathered,
            said={name: one.rows(kept) for name, one in gathered.said.items()},
            taken=taken,
            behaviour=of_option_taken(gathered.propensity[kept], taken),
            observed=observed_losses(frame, spec, gathered.outcomes, gathered.horizon),
            counts=resample_counts(len(frame), resamples, seed),
        )

    def weights(self, by_outcome: Mapping[str, float]) -> Floats:
        """(outcomes,) in the order of the losses."""
        return np.array([by_outcome[name] for name in self.gathered.outcomes])

    def treated(self, said: Said, weights: Floats) -> Treated:
        """What was decided, for one policy and weights."""
        return Treated(
            taken=self.taken,
            target=of_option_taken(said.yes, self.taken),
            behaviour=self.behaviour,
            returns=utility(self.observed, weights),
        )

    def value(self, said: Said, weights: Floats) -> OffPolicyEvaluation:
        """The value of a policy by every estimator, for weights (outcomes,)."""
        model = ModelValues(utility(said.taken, weights), utility(said.policy, weights))
        return off_policy(self.treated(said, weights), model, self.counts)

    def mean(self, values: Floats) -> MetricValue:
        """Mean of values (n,) with its interval."""
        return _mean(values, self.counts)

    def loss(self, said: Said, outcome: int) -> Loss:
        """One loss under a policy: its utility is less by as much as it is more."""
        found = self.value(said, np.eye(len(self.gathered.outcomes))[outcome])
        best = found.values[HEADLINE]
        return Loss(_lost(found.physicians), _lost(best.value), _lost(best.difference, of=0.0))

    def weighting(self, name: str, by_outcome: Mapping[str, float]) -> Weighting:
        """The exact policy for other weights."""
        said, own = self.said[name], self.weights(by_outcome)
        found = self.value(said, own)
        best = found.values[HEADLINE]
        return Weighting(
            name=name,
            weights=dict(by_outcome),
            physicians=found.physicians,
            value=best.value,
            difference=best.difference,
            effective_sample_size=best.effective_sample_size,
            claim=best.claim,
            recommended={
                decision.column: float(said.yes[~np.isnan(self.taken[:, t]), t].mean())
                for t, decision in enumerate(self.gathered.decisions)
                if not np.isnan(self.taken[:, t]).all()
            },
        )

    def front(self, fixed: Sequence[str]) -> Front | None:
        """Benefit against harm along the sweep of weights; ``None`` where there are no two sides."""
        spec, outcomes = self.gathered.cohort.spec, self.gathered.outcomes
        swept = sweep(spec, self.gathered.weights, outcomes)
        if not swept:
            return None
        places = {name: self._place(self.said[name].first) for name in (*swept, *fixed)}
        best = {name: _undominated(place, list(places.values())) for name, place in places.items()}
        points = {name: Point(name, *place, best[name]) for name, place in places.items()}
        observed = Point("physicians", *self._place(self.observed), best=False)
        return Front(tuple(points[name] for name in swept), tuple(points[name] for name in fixed), observed)

    def _place(self, losses: Floats) -> tuple[float, float]:
        """Mean months lost and sum of toxicities, of losses (n, outcomes)."""
        spec, outcomes = self.gathered.cohort.spec, self.gathered.outcomes
        mean = dict(zip(outcomes, losses.mean(axis=0).tolist(), strict=True))
        toxic = sum(mean[name] for name in outcomes if spec.outcome(name).kind is OutcomeKind.BINARY)
        return self.gathered.horizon * mean[death_outcome(spec, outcomes) or ""], toxic


def _undominated(place: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    return not any(other[0] <= place[0] and other[1] <= place[1] and other != place for other in others)


def _lost(found: MetricValue, of: float = 1.0) -> MetricValue:
    """A loss from a utility, with the ends of its interval changed over."""
    if found.value is None:
        return found
    lower = None if found.upper is None else of - found.upper
    upper = None if found.lower is None else of - found.lower
    return MetricValue(of - found.value, lower, upper)


def _mean(values: Floats, counts: Floats) -> MetricValue:
    """Mean of values (n,) with its interval."""
    total = counts.sum(axis=1)
    means = np.divide(counts @ values, total, out=np.full(len(counts), np.nan), where=total > 0)
    return estimate(means)


def _choices(gathered: Gathered, resamples: int, seed: int) -> Iterator[Choice]:
    for k, decision in enumerate(gathered.cohort.spec.decisions):
        came = ~np.isnan(gathered.advised[:, k]) & ~triggered(gathered.cohort, decision.column)
        rows = np.flatnonzero(came)
        if len(rows):
            advised, given = gathered.advised[rows, k], gathered.taken[rows, k]
            counts = resample_counts(len(rows), resamples, seed)
            yield Choice(
                decision=decision.column,
                label=decision.label,
                valued=k in gathered.valued,
                patients=len(rows),
                recommended=_mean(advised, counts),
                given=_mean(given, counts),
                agreement=_mean((advised == given).astype(float), counts),
                overlap=_mean(_common(gathered, rows, k), counts) if k in gathered.valued else None,
                groups=tuple(_groups(gathered.cohort, rows, advised, given)),
            )


def _common(gathered: Gathered, rows: Integers, decision: int) -> Floats:
    """(k,) whether both options of a decision are common in patients like these."""
    propensity = gathered.propensity[rows, gathered.valued.index(decision)]
    return np.asarray((propensity >= COMMON[0]) & (propensity <= COMMON[1]), dtype=float)


def _groups(cohort: Cohort, rows: Integers, advised: Floats, given: Floats) -> Iterator[GroupChoice]:
    for column, group, members in audited_groups(cohort, rows):
        size = int(members.sum())
        if size < SMALLEST_GROUP:
            yield GroupChoice(column, group, size, suppressed=True)
        else:
            yield GroupChoice(column, group, size, False, float(advised[members].mean()), float(given[members].mean()))


def _abstention(gathered: Gathered, resamples: int, seed: int) -> Abstention:
    asked = gathered.abstained[~np.isnan(gathered.abstained)]
    first = gathered.cohort.spec.decisions[int(gathered.compared.argmax())]
    return Abstention(first.column, len(asked), _mean(asked, resample_counts(len(asked), resamples, seed)))


def _regret(gathered: Gathered, resamples: int, seed: int) -> Regret | None:
    if gathered.regret is None:
        return None
    counts = resample_counts(len(gathered.regret), resamples, seed)
    drawn = [np.quantile(np.repeat(gathered.regret, row.astype(np.intp)), 0.95) for row in counts]
    return Regret(len(gathered.regret), _mean(gathered.regret, counts), estimate(np.array(drawn)))
