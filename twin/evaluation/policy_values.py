"""A twin and patients whom it never saw in, what policies would have them given, and what it expects of each, out.

All policies take the same decisions (`Asked.valued`): those that no outcome can bring about and whose habit is known.
Any other decision is left to the physicians, in what was done and in what the model expects, whatever the policy would
say of it: a neck dissection, say, that is recorded alike whether it was planned or followed from a failure. So the
value of an option and the value of the policy are of the same later course, and agree where the policy takes that
option for certain, as `twin.policy.off_policy` asks.

The model's probability of a yes-or-no outcome is that of those alive when it is judged, while of the dead it is
observed as 0; it is multiplied by the probability to be alive under the plan. At a later decision the model's values
are those of all who set out that way; that a few of them die before is left to the correction by what was observed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol, Self

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.schema import OutcomeKind
from twin.arrays import Flags, Floats, Integers
from twin.behaviour import NEARLY_CERTAIN
from twin.models.followup import FIRST_DAY_MONTHS
from twin.policy.as_physicians import as_physicians
from twin.policy.exact import NO, TIE, YES, Course, Decide, Question, best, follow, spread
from twin.policy.options import Options
from twin.policy.prospects import Prospects
from twin.policy.table import Table
from twin.prediction import FittedTwin
from twin.record import decision_matrix
from twin.state import Known
from twin.timeline import effect_months, question_moment

RANDOM_CHANCE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Decided:
    """What n patients really came to."""

    taken: Floats
    """(n, decisions) 0 or 1; NaN where it was not reached, or is not recorded"""
    unrecorded: Flags
    """(n, decisions) whether the patient lived to a decision that is not recorded"""


def decided(cohort: Cohort, held: Mapping[str, int]) -> Decided:
    """What the n patients of a cohort came to: a decision takes effect at its month, and they must be followed beyond.

    Args:
        cohort: The patients.
        held: Decisions that are held at a value, and the value.
    """
    spec = cohort.spec
    values = decision_matrix(spec, cohort.frame)
    fill = np.array([float(held.get(decision.column, np.nan)) for decision in spec.decisions])
    values = np.where(np.isnan(values), fill, values)
    followed = np.full(cohort.size, np.inf)
    if spec.follow_up in cohort.frame:
        recorded = cohort.frame[spec.follow_up].to_numpy(dtype=float)
        followed = np.where(np.isnan(recorded), np.inf, np.maximum(recorded, FIRST_DAY_MONTHS))
    lived = followed[:, None] > effect_months(spec, values)
    return Decided(np.where(lived, values, np.nan), lived & np.isnan(values))


class Rule(Protocol):
    """A policy: as it is followed on whatever may come, and what it says of what came."""

    def ahead(self, some: Prospects) -> Decide:
        """How it decides for patients at every history."""

    def now(self, decision: int, patients: Integers, frame: pd.DataFrame) -> Floats:
        """(k,) probability of "yes" at a decision.

        Args:
            decision: Its position.
            patients: (k,) positions of the patients among those asked about.
            frame: k rows, with what is recorded before it.
        """


@dataclass(frozen=True, eq=False)
class Planned:
    """Keeps to probabilities that are set beforehand, whatever is seen."""

    yes: Floats
    """(n, decisions)"""

    def ahead(self, some: Prospects) -> Decide:
        """As of `Rule`."""
        own = self.yes[some.rows]
        return lambda question: np.repeat(own[:, [question.decision]], question.probability.shape[1], axis=1)

    def now(self, decision: int, patients: Integers, frame: pd.DataFrame) -> Floats:
        """As of `Rule`."""
        return np.asarray(self.yes[patients, decision])


@dataclass(frozen=True, eq=False)
class Best:
    """The exact policy of a twin for some weights: at every history the option that loses less."""

    table: Table
    """Under that policy"""
    weights: Floats
    """(outcomes,) as the twin orders them"""

    @cached_property
    def _by_patient(self) -> dict[int, Course]:
        return {int(some.rows[0]): course for some, course in self.table.parts}

    def ahead(self, some: Prospects) -> Decide:
        """As of `Rule`."""
        course = self._by_patient[int(some.rows[0])]
        return lambda question: course.yes[question.so_far]

    def now(self, decision: int, patients: Integers, frame: pd.DataFrame) -> Floats:
        """As of `Rule`; a state that is not recorded is averaged over before the options are compared."""
        column = self.table.twin.spec.decisions[decision].column
        costs = self.table.at(column, patients, frame) @ self.weights
        return np.where(np.isnan(costs[:, YES]), np.nan, costs[:, YES] < costs[:, NO] - TIE)


@dataclass(frozen=True, eq=False)
class Said:
    """One policy in n patients, as one twin sees it: what it says, and the losses that are expected of it."""

    yes: Floats
    """(n, T) probability of "yes" at the valued decisions they reached; NaN elsewhere"""
    taken: Floats
    """(n, T, outcomes) losses with what was decided, and then the policy; NaN where not reached"""
    policy: Floats
    """(n, T, outcomes) losses under the policy from that decision on; NaN where not reached"""
    first: Floats
    """(n, outcomes) losses under the policy, as known at first"""

    @classmethod
    def together(cls, parts: Sequence[Self], order: Integers) -> Self:
        """Those of several parts, as rows in `order`."""
        names = ("yes", "taken", "policy", "first")
        return cls(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in names))

    def rows(self, chosen: Flags) -> Said:
        """The same of some patients (n,)."""
        return Said(self.yes[chosen], self.taken[chosen], self.policy[chosen], self.first[chosen])


@dataclass(frozen=True, eq=False)
class Asked:
    """n patients held out, a twin fitted on others, and what lies ahead of them by it."""

    twin: FittedTwin
    patients: Cohort
    outcomes: tuple[str, ...]
    """That count"""
    valued: tuple[int, ...]
    """Positions of the T decisions that policies take"""
    options: Options
    table: Table
    """Under the exact policy, for weights as of `weights`"""
    weights: Floats
    """(outcomes of the twin,)"""

    @classmethod
    def of(
        cls,
        twin: FittedTwin,
        patients: Cohort,
        outcomes: Sequence[str],
        valued: Sequence[int],
        weights: Mapping[str, float],
    ) -> Self:
        """Ask a twin.

        Args:
            twin: Fitted on other patients.
            patients: The n.
            outcomes: That count; the twin predicts them.
            valued: Positions of the decisions that policies take.
            weights: By outcome.
        """
        frame = known_at_first(patients, twin)
        own = np.array([weights[name] if name in outcomes else 0.0 for name in twin.outcomes])
        table = Table.of(twin, frame, lambda some: best(spread(own, some.size)))
        return cls(twin, patients, tuple(outcomes), tuple(valued), Options.of(twin.spec, frame), table, own)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The patients as known at first."""
        return known_at_first(self.patients, self.twin)

    @cached_property
    def columns(self) -> Integers:
        """(outcomes,) positions of those that count among the twin's."""
        return np.array([self.twin.outcomes.index(name) for name in self.outcomes], dtype=np.intp)

    @cached_property
    def decided(self) -> Decided:
        """What they came to."""
        return decided(self.patients, self.twin.capability.held)

    @cached_property
    def propensity(self) -> Floats:
        """(n, T) probability of "yes" among the physicians of the training part."""
        behaviour = self.twin.effects.behaviour
        columns = [self.twin.spec.decisions[k].column for k in self.valued]
        probability = [behaviour.probability(self.patients.frame, column) for column in columns]
        return np.clip(np.column_stack(probability), NEARLY_CERTAIN, 1.0 - NEARLY_CERTAIN)

    def exact(self, weights: Mapping[str, float] | None = None) -> Best:
        """The exact policy, for other weights by outcome than those it was asked with."""
        if weights is None:
            return Best(self.table, self.weights)
        own = np.array([weights[name] if name in self.outcomes else 0.0 for name in self.twin.outcomes])
        return Best(self._table(lambda some: best(spread(own, some.size)), self._parts), own)

    def always(self, yes: Floats) -> Planned:
        """The same probabilities of "yes" (decisions,), or those of each patient (n, decisions)."""
        return Planned(np.broadcast_to(yes, (self.patients.size, len(self.twin.spec.decisions))))

    def say(self, rule: Rule) -> Said:
        """What a policy says of the patients, and what is expected of it."""
        table = self._table(lambda some: self._with_physicians(rule, some), self._as_observed)
        shape = (self.patients.size, len(self.valued))
        yes, taken, policy = np.full(shape, np.nan), *(np.full((*shape, len(self.outcomes)), np.nan) for _ in range(2))
        for t, k in enumerate(self.valued):
            rows = np.flatnonzero(~np.isnan(self.decided.taken[:, k]))
            frame = self.patients.frame.iloc[rows].reset_index(drop=True)
            at = table.at(self.twin.spec.decisions[k].column, rows, frame)[:, :, self.columns]
            yes[rows, t] = self._possible(k, rows, rule.now(k, rows, frame))
            taken[rows, t] = at[np.arange(len(rows)), self.decided.taken[rows, k].astype(np.intp)]
            chance = yes[rows, t][:, None]
            policy[rows, t] = at[:, NO] * (1.0 - chance) + at[:, YES] * chance
        return Said(yes, taken, policy, table.first_losses()[:, self.columns])

    def advised(self) -> Floats:
        """(n, decisions) what the exact policy says at every decision they reached, also where it is not valued."""
        result = np.full(self.decided.taken.shape, np.nan)
        rule = self.exact()
        for k, decision in enumerate(self.twin.spec.decisions):
            if decision.column not in self.twin.capability.held:
                rows = np.flatnonzero(~np.isnan(self.decided.taken[:, k]))
                frame = self.patients.frame.iloc[rows].reset_index(drop=True)
                result[rows, k] = self._possible(k, rows, rule.now(k, rows, frame))
        return result

    def _with_physicians(self, rule: Rule, some: Prospects) -> Decide:
        physicians, own = as_physicians(self.twin.effects.behaviour, some, self.frame), rule.ahead(some)

        def decide(question: Question) -> Floats:
            return own(question) if question.decision in self.valued else physicians(question)

        return decide

    def _possible(self, decision: int, rows: Integers, yes: Floats) -> Floats:
        """(k,) probability of "yes" where only what is possible is done."""
        allowed = self.options.allowed[rows, decision]
        return np.where(allowed.all(axis=1), yes, allowed[:, YES])

    def _table(self, policy: Callable[[Prospects], Decide], parts: Sequence[Prospects]) -> Table:
        """The table under another policy, of patients as they are in `parts`."""
        allowed = self.options.allowed
        return replace(
            self.table, parts=tuple((some, follow(some, policy(some), allowed[some.rows])) for some in parts)
        )

    @cached_property
    def _parts(self) -> tuple[Prospects, ...]:
        return tuple(some for some, _ in self.table.parts)

    @cached_property
    def _as_observed(self) -> tuple[Prospects, ...]:
        """What lies ahead with yes-or-no outcomes as they are observed: not in the dead."""
        return tuple(self._of_the_living(some) for some in self._parts)

    def _of_the_living(self, some: Prospects) -> Prospects:
        spec = self.twin.spec
        ahead = dict(some.ahead)
        for k, name in enumerate(some.outcomes):
            outcome = spec.outcome(name)
            if outcome.kind is OutcomeKind.BINARY:
                alive = alive_at(self.twin, self.frame.iloc[some.rows], some.plans, outcome.month or 0.0)
                for at, plan in enumerate(some.plans):
                    losses = ahead[plan].losses.copy()
                    losses[:, :, k] *= alive[:, [at]]
                    ahead[plan] = replace(ahead[plan], losses=losses)
        return replace(some, ahead=ahead)


def known_at_first(patients: Cohort, twin: FittedTwin) -> pd.DataFrame:
    """What is known of patients before the first decision, without what the twin holds."""
    known = Known.at(patients.frame, patients.spec, question_moment(patients.spec, 0)).frame
    return known.drop(columns=[column for column in twin.capability.held if column in known])


def alive_at(twin: FittedTwin, frame: pd.DataFrame, plans: Sequence[str], month: float) -> Floats:
    """(n, plans) probability to be alive at a month; 1 where death is not predicted."""
    deaths = [
        name
        for name in twin.outcomes
        if twin.spec.outcome(name).kind is OutcomeKind.SURVIVAL and twin.spec.outcome(name).time == twin.spec.follow_up
    ]
    if not deaths:
        return np.ones((len(frame), len(plans)))
    asked = frame.reset_index(drop=True)
    found = twin.predict_draws(asked, plans, [min(month, twin.last_month)], deaths[:1])
    return np.asarray(1.0 - found[deaths[0]][0, :, :, 0])
