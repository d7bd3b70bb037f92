"""Patients of the demonstration's structural model in, their hidden states with every course and loss out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.policy_worlds import Choices, Hidden, Histories, History, PolicyWorld, Value, summed
from benchmarks.truth import halves
from data.synthetic import SURVIVAL_OUTCOMES, TOXICITY_OUTCOMES, Baseline, generate, states
from data.synthetic.hazards import LANDMARK, Responses, Treatment, early_death_rate, log_hazards
from data.synthetic.hpv import probability_hpv_positive
from data.synthetic.late_toxicity import aspiration_logit, tube_logit
from data.synthetic.multistate import risks_at
from data.synthetic.parameters import AGENTS, RESPONSES, TOXICITY_SITES, Parameters
from data.synthetic.treatment import concurrent_logit, induction_logit, neck_logit
from data.synthetic.truth import frailty_nodes
from twin.arrays import Floats, Integers
from twin.policy.utility import HORIZON_MONTHS, Weights

OUTCOMES: Final = SURVIVAL_OUTCOMES + TOXICITY_OUTCOMES
PAIRS: Final = tuple(product(range(len(RESPONSES)), repeat=2))
"""Of responses, of primary and nodes"""
_PRIMARY, _NODAL = np.array(PAIRS).T
_ALIKE: Final = np.array([0, 1, 2, 2])
"""Progressive disease has the hazards of stable disease."""
_DECISION: Final = np.array([False, True])


def _no_toxicity(prefix: str, **decided: Value) -> dict[str, Value]:
    return {**decided, **{f"{prefix}_{site}": 0.0 for site in TOXICITY_SITES}}


def _responses(prefix: str, primary: int, nodal: int, **decided: Value) -> dict[str, Value]:
    seen = {f"{prefix}_response_primary": RESPONSES[primary], f"{prefix}_response_nodal": RESPONSES[nodal]}
    return {**decided, **seen}


def _treated(agent: str) -> History:
    return {"concurrent_chemo": 1.0, "concurrent_agent": agent}


HISTORIES: Final = Histories(
    induction=(
        _no_toxicity("ic_dlt", induction_chemo=0.0, ic_dose_change="none"),
        *(_responses("ic", *pair, induction_chemo=1.0) for pair in PAIRS),
    ),
    concurrent=(
        _no_toxicity("rt_dlt", concurrent_chemo=0.0, concurrent_agent=AGENTS[0]),
        *(_treated(agent) for agent in AGENTS[1:]),
    ),
    radiotherapy=tuple(_responses("rt", *pair) for pair in PAIRS),
)


def own_policies(patients: int, seed: int, weights: Weights) -> PolicyWorld:
    """`patients` patients to learn from, as many others, and the value of every policy on these."""
    made = generate(2 * patients, seed)
    cohort, asked = halves(made.cohort)
    hidden = OwnStates(asked.frame, made.baseline.rows(slice(patients, None)), made.parameters, weights.array(OUTCOMES))
    losses, physicians = summed(patients, HISTORIES.shape, hidden.at)
    return PolicyWorld(
        name="own",
        cohort=cohort,
        asked=asked,
        outcomes=OUTCOMES,
        weights=weights,
        histories=HISTORIES,
        # A neck without nodes has no response to radiotherapy.
        unrecorded={"rt_response_nodal": hidden.baseline.node_negative},
        losses=losses,
        physicians=physicians,
    )


@dataclass(frozen=True, eq=False)
class OwnStates:
    """Hidden are the frailty and, where it was not determined, the HPV status."""

    record: pd.DataFrame
    """Of n patients"""
    baseline: Baseline
    """(n,); its HPV status is not read"""
    parameters: Parameters
    weights: Floats
    """As in `OUTCOMES`"""

    def at(self, rows: Integers) -> Hidden:
        """Those of the patients at `rows`; inside, axes are statuses with a patient, frailty, and what follows."""
        people, b, chance = self._people(rows)
        nodes, weights = frailty_nodes()
        course = _Course(b, nodes.reshape(-1, 1), self.parameters)
        count = len(people) * len(nodes)
        after_induction, responses, habits = course.after_induction(), course.responses(), course.habits()
        losses = course.losses(self.weights)
        return Hidden(
            patient=np.repeat(people, len(nodes)),
            chance=np.outer(chance, weights).ravel(),
            after_induction=after_induction.reshape(count, -1),
            agents=course.agents().reshape(count, 2, -1),
            responses=responses.reshape(count, *responses.shape[2:]),
            losses=losses.reshape(count, *losses.shape[2:]),
            habits=Choices(*(part.reshape(count, *part.shape[2:]) for part in habits)),
        )

    def _people(self, rows: Integers) -> tuple[Integers, Baseline, Floats]:
        """Each patient with each HPV status there may be: positions among `rows`, baseline and probability."""
        positive = probability_hpv_positive(self.record.iloc[rows], self.parameters)
        chance = np.stack([1.0 - positive, positive], axis=1)
        patient, status = np.nonzero(chance)
        b = replace(self.baseline.rows(rows[patient]), hpv_positive=status == 1)
        return patient, b, chance[patient, status]


@dataclass(frozen=True, eq=False)
class _Course:
    """Everything that may happen to m people at each of f frailties."""

    b: Baseline
    frailty: Floats
    """(f, 1)"""
    p: Parameters

    def after_induction(self) -> Floats:
        """(m, f, h)."""
        b, frailty, p = self.b.with_axes(1), self.frailty[:, 0], self.p.induction
        primary, nodal = states.induction_primary(b, frailty, p), states.induction_nodal(b, frailty, p)
        seen = primary[..., _PRIMARY] * nodal[..., _NODAL]
        return np.concatenate([np.ones_like(seen[..., :1]), seen], axis=-1)

    def agents(self) -> Floats:
        """(m, f, 2, g)."""
        given = states.agent_under_plan(
            self.b.with_axes(2), self.frailty, _DECISION, self.p.concurrent_habit, self.p.induction
        )
        return np.concatenate([np.ones_like(given[..., :1]), given], axis=-1)

    def responses(self) -> Floats:
        """(m, f, h, 2, r)."""
        b, frailty, p = self.b.with_axes(3), self.frailty[..., None], self.p.radiotherapy
        before = np.array([states.NO_INDUCTION, *range(len(RESPONSES))])
        primary = states.radiotherapy_primary(b, frailty, _DECISION, before[:, None], p)
        nodal = states.radiotherapy_nodal(b, frailty, _DECISION, before[:, None], p)
        by_primary, by_nodal = (np.array([0, *(codes + 1)]) for codes in (_PRIMARY, _NODAL))
        return np.asarray(primary[:, :, by_primary][..., _PRIMARY] * nodal[:, :, by_nodal][..., _NODAL])

    def habits(self) -> tuple[Floats, Floats, Floats]:
        """(m, f), (m, f, h) and (m, f, 1, 1, r) probabilities of a yes by the physicians."""
        p, wide = self.p, self.b.with_axes(2)
        response = np.array([states.NO_INDUCTION, *_PRIMARY])
        given = response != states.NO_INDUCTION
        dissection = expit(neck_logit(wide, self.frailty, _PRIMARY, _NODAL, p.neck_habit))
        return (
            expit(induction_logit(self.b.with_axes(1), self.frailty[:, 0], p.induction_habit)),
            expit(concurrent_logit(wide, self.frailty, given, response, p.concurrent_habit)),
            dissection[:, :, None, None],
        )

    def losses(self, weights: Floats) -> Floats:
        """(m, f, 2, g, r, 2) weighted."""
        early, alive = self._before_landmark()
        toxic = (self._toxicities() * weights[len(SURVIVAL_OUTCOMES) :]).sum(axis=-1)
        after = self._after_landmark(weights[: len(SURVIVAL_OUTCOMES)]) + toxic[..., None, None, :]
        whole = (weights[0] * early)[..., None, None, None] + alive[..., None, None, None] * after
        alike = whole[..., _ALIKE, :, :][..., _ALIKE, :]
        return np.asarray(alike.reshape(*alike.shape[:4], -1, 2))

    def _before_landmark(self) -> tuple[Floats, Floats]:
        """(m, f, 2, g) share of the months to the horizon lost by those who die before, and who does not."""
        induction, agent = _DECISION[:, None], np.arange(len(AGENTS))
        rate = early_death_rate(self.b.with_axes(3), self.frailty[..., None], induction, agent > 0, self.p)
        dies = -np.expm1(-rate * LANDMARK)
        lived = dies / rate - LANDMARK * (1.0 - dies)
        return np.asarray(dies - lived / HORIZON_MONTHS), 1.0 - dies

    def _after_landmark(self, weights: Floats) -> Floats:
        """(m, f, 2, g, 3, 3, 2) weighted, of those alive then; by induction, agent, both responses and dissection."""
        induction, agent = _DECISION.reshape(-1, 1, 1, 1, 1), np.arange(len(AGENTS)).reshape(-1, 1, 1, 1)
        seen = np.arange(_ALIKE.max() + 1)
        log = log_hazards(
            self.b.with_axes(6),
            self.frailty.reshape(-1, 1, 1, 1, 1, 1),
            Treatment(induction, agent, _DECISION),
            Responses(seen.reshape(-1, 1, 1), seen.reshape(-1, 1)),
            self.p,
        )
        (risk,) = risks_at(log, [HORIZON_MONTHS], self.p.course)
        dead = 1.0 - (LANDMARK + risk.months) / HORIZON_MONTHS
        return np.asarray(weights[0] * dead + weights[1] * risk.locoregional + weights[2] * risk.distant)

    def _toxicities(self) -> Floats:
        """(m, f, 2, g, 1 of the primary's responses, 2, outcomes) of those alive at the landmark."""
        wide, frailty, p = self.b.with_axes(4), self.frailty[..., None, None], self.p.toxicity
        agent = np.arange(len(AGENTS)).reshape(-1, 1)
        treatment = Treatment(_DECISION.reshape(-1, 1, 1), agent, _DECISION)
        aspirates = expit(aspiration_logit(wide, frailty, treatment, p))
        without, with_it = (expit(tube_logit(wide, frailty, treatment, at, p)) for at in _DECISION)
        tube = (1.0 - aspirates) * without + aspirates * with_it
        return np.stack([tube, aspirates], axis=-1)
