"""Effects and the published rows behind them in, what each source may be said to say of a decision out.

A row that nobody could read may steer a prior and is never printed as evidence: where no other row stands behind a
prior, its ratio is an assumption and is not called published.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from data.evidence import Basis, Evidence, PublishedEffect, weak_prior_sd
from data.schema import Outcome, Specification
from twin.effects.combination import CombinedEffects, Conflict, EffectRow
from twin.effects.groups import side_by_side
from twin.effects.states import StateRow

NOTHING_PUBLISHED: Final = "no published effect; wide prior"
ASSUMED_SMALL: Final = "no published effect; assumed small"
ASSUMED: Final = "no published effect; assumed"
ASSUMED_UNREAD: Final = "assumed: its sources were not read"
MAY_BE_A_CONSEQUENCE: Final = "not asked: it may be a consequence"
TOO_FEW: Final = "too few to tell"
ROUNDING: Final = 1e-9
"""Of a log ratio that is 0"""


@dataclass(frozen=True)
class Sources:
    """What is published, what the cohort says and what is used, of every decision on one outcome."""

    spec: Specification
    outcome: Outcome
    effects: CombinedEffects
    evidence: Evidence
    states: tuple[StateRow, ...] = ()
    """What decisions do more in those who show a state"""

    @cached_property
    def rows(self) -> tuple[EffectRow, ...]:
        """By decision and group."""
        return side_by_side(self.effects, self.spec)

    def basis(self, decision: str) -> Basis:
        """What stands behind the prior of a decision."""
        return self.evidence.basis(decision, self.outcome.name)

    def unpublished(self, decision: str) -> str:
        """What is said in place of a published ratio; empty where the ratio may be printed."""
        if self.basis(decision) is Basis.NONE:
            return self._assumed(decision)
        return ASSUMED_UNREAD if self.basis(decision) is Basis.UNREAD else ""

    def _assumed(self, decision: str) -> str:
        """What is held of the effect of a decision that nothing is published on."""
        prior = self.effects.prior
        position = next(k for k, term in enumerate(prior.terms) if term.decision == decision and not term.name)
        if abs(prior.mean[position]) > ROUNDING:
            return ASSUMED
        narrow = prior.terms[position].prior_sd < weak_prior_sd(self.outcome)
        return ASSUMED_SMALL if narrow or decision in self.outcome.triggers else NOTHING_PUBLISHED

    def untaught(self, decision: str) -> str:
        """What is said in place of a cohort's ratio; empty where it has one."""
        if decision in self.effects.cohort.decisions:
            return ""
        return MAY_BE_A_CONSEQUENCE if decision in self.outcome.triggers else TOO_FEW

    def conflict(self, decision: str) -> Conflict | None:
        """How far prior and cohort are apart; ``None`` where one of them says nothing."""
        mine = (entry for entry in self.effects.conflicts if entry.decision == decision)
        return None if self.basis(decision) is Basis.NONE else next(mine, None)

    def disagreement(self, decision: str) -> Conflict | None:
        """The conflict of a decision, if it is more than chance."""
        conflict = self.conflict(decision)
        return conflict if conflict is not None and conflict.flagged else None

    def sentence(self, conflict: Conflict) -> str:
        """A conflict in words; of a prior that nobody could read without its ratio."""
        unread = self.basis(conflict.decision) is Basis.UNREAD
        return conflict.sentence_without_prior if unread else conflict.sentence


def bearing_on(
    evidence: Evidence, spec: Specification, decision: str, patient: pd.DataFrame
) -> tuple[PublishedEffect, ...]:
    """What was read of the effects of a decision and its manner, and applies to a patient as far as is known.

    Args:
        evidence: Of the disease.
        spec: The disease.
        decision: Its column.
        patient: One row of typed columns.
    """
    manners = [one.manner for one in spec.decisions if one.column == decision and one.manner]
    rows = (
        effect
        for subject in (decision, *manners)
        for outcome in spec.outcomes
        for effect in evidence.rows(subject, outcome.name)
    )
    return tuple(effect for effect in rows if effect.verified and effect.applies_to(patient)[0] != 0.0)
