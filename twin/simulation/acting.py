"""What a decision does more in those who show a state before it: learnt beside what the state says by itself.

A decision is rarely given whatever was seen, and one that an outcome brings about is given because of it. So the cohort
is asked apart from what states say: only from the month of the decision on, in patients whose decision was none of the
outcome's doing, with a shift of its own for those who had the decision and for those who show the state. What is then
left is the product of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from data.evidence import StateTerm
from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats
from twin.effects.cohort import CohortSettings
from twin.effects.combination import UNEVEN_SHARE
from twin.models.posterior import Mode
from twin.simulation.states import UNOBSERVED
from twin.simulation.transition import Learning, Transitions
from twin.timeline import effect_months

SHIFT_SD: Final = 0.5
"""Of how far those with the decision, and those with the state, may be from what is expected of them: who was asked is
a choice of the cohort's patients, and the models before are not exact (assumed)"""
SYSTEMATIC_SD: Final = UNEVEN_SHARE * CohortSettings().confounding_sd
"""Of a log ratio that differs between patients, by what nobody recorded"""


@dataclass(frozen=True, eq=False)
class ActingPrior:
    """What is held of a state term before the cohort is asked."""

    term: StateTerm
    draws: Floats
    """(1 + draws,) log ratios that go with those of the effect terms; row 0 is the mean"""
    sd: float
    teachers: Flags
    """(n,) patients who may teach it; nobody where the outcome can bring the decision about"""

    @property
    def precision(self) -> Floats:
        """(3,) of the coefficients of `product_columns`, the last less the mean."""
        return np.array([SHIFT_SD, SHIFT_SD, self.sd]) ** -2.0


@dataclass(frozen=True, eq=False)
class Acting:
    """A state term of an outcome as it enters the hazards."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    term: StateTerm
    decision: int
    """Position of the decision"""
    levels: Floats
    """(width,) how much each level of all steps belongs to the state: of pooled values the share that does"""
    ratios: Floats
    """(1 + draws,) log ratio in those who show the state to that in the others; row 0 is the fit"""
    taught: bool
    """Whether the cohort has a say in it"""

    @property
    def fit(self) -> Floats:
        """(width,) log ratios of the levels where the decision acts, by the fit."""
        return np.asarray(self.levels * self.ratios[0])

    def acts_from(self, spec: Specification, decisions: Floats) -> Floats:
        """(...) month from which it acts under decisions (..., d), infinite after a "no" and where it is open."""
        months = effect_months(spec, decisions)[..., self.decision]
        return np.where(decisions[..., self.decision] == 1, months, np.inf)


def acting_before(priors: Sequence[ActingPrior], transitions: Transitions, learning: Learning) -> tuple[Acting, ...]:
    """The state terms before the cohort is asked; one whose state the cohort does not tell apart does nothing."""
    columns = [decision.column for decision in learning.spec.decisions]
    found = []
    for prior in priors:
        levels = state_levels(prior.term, transitions, learning)
        if levels.any():
            position = columns.index(prior.term.decision)
            found.append(Acting(prior.term, position, levels, prior.draws, taught=False))
    return tuple(found)


def state_levels(term: StateTerm, transitions: Transitions, learning: Learning) -> Floats:
    """(width,) how much each level of all steps belongs to a state: the share of the patients with it who show it."""
    shown = term.membership(learning.frame)
    parts = [np.zeros(0)]
    for variable in (variable for model in transitions.steps for variable in model.step.variables):
        part = np.zeros(len(variable.levels))
        if variable.columns == (term.column,):
            codes = variable.codes(learning.frame)
            for level in np.unique(codes[(codes != UNOBSERVED) & ~np.isnan(shown)]):
                part[level] = np.nanmean(shown[codes == level])
        parts.append(part)
    return np.concatenate(parts)


def added_ratios(acting: Sequence[Acting], learning: Learning, month: float) -> Floats:
    """(n, width) what the decisions that act at `month` add to the log ratio of every level, by the fit."""
    width = len(acting[0].levels) if acting else 0
    result = np.zeros((len(learning.decisions), width))
    for one in acting:
        result += np.outer(one.acts_from(learning.spec, learning.decisions) <= month, one.fit)
    return result


def product_columns(acting: Acting, learning: Learning, centred: Floats) -> Floats:
    """(n, 3) whether the decision was taken, the state less its expectation (n, width), and their product.

    The product comes last: the shifts of those before it are not asked about.
    """
    yes = np.nan_to_num(learning.decisions[:, acting.decision])
    state = centred @ acting.levels
    return np.column_stack([yes, state, yes * state])


def updated(prior: ActingPrior, mode: Mode, learning: Learning) -> Floats:
    """(1 + draws,) log ratios once the cohort was asked, where `mode` is of the last column of `product_columns`.

    What the cohort says is the posterior without the prior; its variance is enlarged by `SYSTEMATIC_SD`. Each draw then
    moves as its own error and a draw of the cohort's lead it (Matheron's rule: Journel & Huijbregts 1978,
    ISBN 978-0-12-391050-9), so that draws keep to those of the effect terms as far as the cohort leaves them.

    Args:
        prior: Before.
        mode: The coefficients are log ratios less the mean of `prior`.
        learning: The cohort.
    """
    held, found = prior.sd**2, float(mode.covariance[-1, -1])
    said = 1.0 / found - 1.0 / held
    if said <= 0.0:
        return prior.draws
    observed = prior.draws[0] + float(mode.coefficients[-1]) * (1.0 / found) / said
    error = 1.0 / said + SYSTEMATIC_SD**2
    noise = np.sqrt(error) * learning.rng.normal(size=len(prior.draws))
    noise[0] = 0.0
    return np.asarray(prior.draws + held / (held + error) * (observed + noise - prior.draws))
