"""What is recommended to one patient in; what a reader needs to judge it, as plain values, out.

Losses become months of life and percentage points, options become sequences with their support, and the exact solution
becomes a list of the questions to come, with what would be decided for which answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.schema import Decision, Outcome, OutcomeKind, Specification
from twin.arrays import Flags, Floats, Integers
from twin.curve import Estimate
from twin.interval import percentile_interval
from twin.policy.exact import Question, plan_probabilities, plan_values, reach
from twin.policy.options import Exclusion
from twin.policy.prospects import Sight, horizon_months
from twin.policy.recommendation import Advice, Learnt, Verdict, advise, as_assumed, physicians, verdicts
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.simulation.states import NOT_APPLICABLE, UNOBSERVED
from twin.support import Support, SupportLevel

PERCENT: Final = 100.0
TELLS: Final = 1e-9
"""Variance between the levels of a state from which on what is decided depends on it"""
REACHED: Final = 0.005
"""Questions that come up less often than this are left out."""


@dataclass(frozen=True)
class Way:
    """One option of the next decision and where it leads."""

    option: int
    plan: str
    """The sequence to be expected most"""
    chance: float
    """Of ending with it"""
    value: float
    """Utility to be expected with the best way on"""
    support: Support
    """Of the option after the decisions taken"""
    barred: str
    """Why the option is not possible; empty where it is"""

    @property
    def supported(self) -> bool:
        """Whether single numbers may be shown, and not intervals only."""
        return self.support.level is not SupportLevel.UNSUPPORTED


@dataclass(frozen=True)
class Contrast:
    """One outcome under the recommended option and under the other, in months of life or in per cent."""

    outcome: Outcome
    in_months: bool
    """Whether months of life lost are counted, and not the chance of the outcome in per cent"""
    recommended: Estimate
    other: Estimate
    difference: Estimate
    """Recommended less other; its interval is that of differences within draws"""

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        return self.difference.lower > 0.0 or self.difference.upper < 0.0


@dataclass(frozen=True)
class LearntSays:
    """What a learnt policy says, and how far it falls short of the exact one."""

    option: int
    regret: float
    share: float
    """Of the spread between the best and the worst sequence"""
    falls_short: bool
    """Whether by so much that the exact option stands in its place"""


@dataclass(frozen=True)
class Seen:
    """One level of a state, and what would be decided after it."""

    label: str
    chance: float
    """Among those who are asked"""
    yes: float
    """Share for whom "yes" is better"""
    values: tuple[float, float]
    """Utility to be expected with "no" and with "yes", and the best way on"""


@dataclass(frozen=True)
class Later:
    """A later question as it would be decided by the exact solution."""

    so_far: str
    """Decisions before it; open ones as ``-``"""
    decision: Decision
    chance: float
    """That it comes up after the first option"""
    yes: float
    """Share of what may have been seen by then for which "yes" is better"""
    values: tuple[float, float]
    """Utility to be expected with "no" and with "yes", and the best way on"""
    told_by: str
    """The state that tells most which; empty where the answer is always the same"""
    seen: tuple[Seen, ...]
    """Its levels"""


@dataclass(frozen=True)
class Followed:
    """A whole plan that is followed whatever is seen."""

    plan: str
    value: float
    """Utility"""
    possible: bool
    """Whether none of its options is ruled out or contraindicated"""


@dataclass(frozen=True)
class Explanation:
    """A recommendation to one patient with everything that speaks for and against it."""

    decision: Decision
    verdict: Verdict
    recommended: Way
    other: Way
    gain: Estimate
    """Utility with the recommended option less that with the other"""
    contrasts: tuple[Contrast, ...]
    exact: int
    """Option of the exact optimum"""
    learnt: LearntSays | None
    """``None`` where no policy was learnt"""
    physician: float
    """Probability that the cohort's physicians take the recommended option; NaN where their habit is unknown"""
    later: tuple[tuple[Later, ...], tuple[Later, ...]]
    """Questions after the recommended option, and after the other"""
    sequences: tuple[Followed, ...]
    """All that go on from here, best first"""
    assumed: tuple[str, ...]
    """Labels of past decisions that are not recorded"""
    left_out: tuple[str, ...]
    """Manners of decisions that are not possible, with reasons, in words"""
    horizon_months: float
    """By when events count, and over which months of life are lost"""

    @property
    def ways(self) -> tuple[Way, Way]:
        """The recommended option and the other."""
        return self.recommended, self.other

    @property
    def supported(self) -> bool:
        """Whether both options are supported so far that single numbers may be shown."""
        return all(way.supported for way in self.ways)


def explain(
    twin: FittedTwin,
    patient: pd.DataFrame,
    weights: Weights,
    learnt: Learnt | None = None,
    excluded: Sequence[Exclusion] = (),
) -> Explanation | None:
    """The recommendation to one patient, explained; ``None`` where nothing is left to decide.

    Args:
        twin: The models.
        patient: One row of typed columns; what is known so far.
        weights: Of the losses.
        learnt: The learnt policy, if there is one.
        excluded: Options that are ruled out.

    Raises:
        Refused: a decision contradicts one that the cohort holds.
        WrongUsage: both options of a decision are ruled out.
    """
    advice = next(advise(twin, patient, weights, learnt, excluded), None)
    return None if advice is None else _explained(twin, patient, advice)


def _explained(twin: FittedTwin, patient: pd.DataFrame, advice: Advice) -> Explanation:
    spec, recommended = twin.spec, int(advice.recommended[0])
    decision = spec.decisions[advice.standing.next_open]
    ways = [_way(twin, patient, advice, option) for option in (recommended, 1 - recommended)]
    gain = _estimate(advice.gains[:, 0], twin.origin.interval)
    (verdict,) = verdicts(advice, np.array([gain.lower]), [ways[0].support])
    labels = {one.column: one.label for one in spec.decisions}
    horizon = horizon_months(twin)
    return Explanation(
        decision=decision,
        verdict=verdict,
        recommended=ways[0],
        other=ways[1],
        gain=gain,
        contrasts=tuple(_contrasts(advice, twin.origin.interval, horizon)),
        exact=int(advice.best[0]),
        learnt=_learnt(advice),
        physician=float(physicians(twin, patient, advice)[0]),
        later=(_later(advice, recommended), _later(advice, 1 - recommended)),
        sequences=_sequences(advice),
        assumed=tuple(labels[name] for name in advice.standing.assumed),
        left_out=tuple(_left_out(spec, advice.options.barred_manners[0])),
        horizon_months=horizon,
    )


def _way(twin: FittedTwin, patient: pd.DataFrame, advice: Advice, option: int) -> Way:
    chances = plan_probabilities(advice.prospects, advice.exact, np.array([float(option)]))[0]
    plan = advice.prospects.plans[int(chances.argmax())]
    (support,) = twin.supports(as_assumed(twin, patient, advice), advice.so_far_with(np.array([option])))
    column = twin.spec.decisions[advice.standing.next_open].column
    barred = advice.options.reasons[0].get((column, option), "")
    return Way(option, plan, float(chances.max()), float(advice.values[0, option]), support, barred)


def _contrasts(advice: Advice, level: float, horizon: float) -> Iterator[Contrast]:
    recommended = int(advice.recommended[0])
    for k, name in enumerate(advice.prospects.outcomes):
        outcome = advice.prospects.spec.outcome(name)
        in_months = outcome.kind is OutcomeKind.SURVIVAL
        unit = horizon if in_months else PERCENT
        # What a draw of a mixture is set off by can take a risk near 0 below it.
        own, other = (np.clip(unit * advice.losses[:, 0, o, k], 0.0, unit) for o in (recommended, 1 - recommended))
        difference = _estimate(unit * advice.differences[:, 0, k], level)
        yield Contrast(outcome, in_months, _estimate(own, level), _estimate(other, level), difference)


def _estimate(draws: Floats, level: float) -> Estimate:
    lower, upper = percentile_interval(draws, level)
    return Estimate(float(draws[0]), float(lower), float(upper))


def _learnt(advice: Advice) -> LearntSays | None:
    if advice.learnt is None:
        return None
    regret, spread = float(advice.regret[0]), float(advice.spread[0])
    share = regret / spread if spread > 0.0 else 0.0
    return LearntSays(int(advice.learnt[0]), regret, share, bool(advice.falls_short[0]))


def _sequences(advice: Advice) -> tuple[Followed, ...]:
    values = plan_values(advice.prospects, advice.weights)[0].tolist()
    allowed = {question.decision: question.allowed[0] for question in advice.exact.questions.values()}
    found = [
        Followed(plan, value, all(options[int(plan[k])] for k, options in allowed.items()))
        for plan, value in zip(advice.prospects.plans, values, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -one.value))


def _left_out(spec: Specification, barred: frozenset[tuple[str, str]]) -> Iterator[str]:
    for rule in spec.contraindications:
        if rule.manner is not None and (rule.decision, rule.manner) in barred:
            yield f"{rule.manner}: {rule.reason}"


def _later(advice: Advice, option: int) -> tuple[Later, ...]:
    """Every later question that comes up after an option of the next decision, in time."""
    some, course = advice.prospects, advice.exact
    reached = reach(some, course, np.array([float(option)]))
    found = []
    for key, question in list(course.questions.items())[1:]:
        weight = reached[key][0]
        if weight.sum() < REACHED:
            continue
        here = _Histories(weight / weight.sum(), course.yes[key][0], _values(question, advice.weights)[0])
        told_by, seen = _telling(some.through(key).seen_before(question.decision), here)
        decision = some.spec.decisions[question.decision]
        found.append(Later(key, decision, float(weight.sum()), here.share, here.worth, told_by, seen))
    return tuple(found)


def _values(question: Question, weights: Floats) -> Floats:
    """(n, histories, 2) utility with each option given the history, whether it is possible or not."""
    likely = question.probability[..., None]
    costs = np.einsum("nhao,no->nha", question.losses, weights)
    return np.asarray(1.0 - np.divide(costs, likely, out=np.zeros_like(costs), where=likely > 0))


@dataclass(frozen=True, eq=False)
class _Histories:
    """What one patient may have seen before a question, and what is decided then."""

    weight: Floats
    """(histories,) sums to 1"""
    yes: Floats
    """(histories,)"""
    values: Floats
    """(histories, 2)"""

    @property
    def share(self) -> float:
        """Of those for which "yes" is better."""
        return float(self.weight @ self.yes)

    @property
    def worth(self) -> tuple[float, float]:
        """Utility with "no" and with "yes"."""
        no, yes = (self.weight @ self.values).tolist()
        return no, yes

    def given(self, some: Flags) -> _Histories:
        """Some of them, as if they were all."""
        kept = self.weight * some
        return _Histories(kept / kept.sum(), self.yes, self.values)


def _telling(sights: Sequence[Sight], here: _Histories) -> tuple[str, tuple[Seen, ...]]:
    """The state whose levels differ most in what is decided, and its levels; nothing where the answer is the same."""
    best: tuple[str, tuple[Seen, ...]] = ("", ())
    spread = TELLS
    shape = [sight.states for sight in sights]
    states = np.unravel_index(np.arange(len(here.weight)), shape) if shape else ()
    for sight, state in zip(sights, states, strict=True):
        for position, variable in enumerate(sight.step.variables):
            codes = sight.codes[state, position]
            seen = tuple(_levels(variable.labels, codes, here))
            between = sum(one.chance * (one.yes - here.share) ** 2 for one in seen)
            if between > spread:
                best, spread = (variable.label, seen), float(between)
    return best


def _levels(labels: Sequence[str], codes: Integers, here: _Histories) -> Iterator[Seen]:
    for code in np.unique(codes).tolist():
        chance = float(here.weight @ (codes == code))
        if chance > 0.0:
            label = NOT_APPLICABLE if code == UNOBSERVED else labels[code]
            given = here.given(codes == code)
            yield Seen(label, chance, given.share, given.worth)
