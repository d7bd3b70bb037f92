"""Baseline, frailty and treatment in, probabilities of what is seen between decisions out.

Simulation draws from these and the exact truth sums over them, so that both rest on the same equations. Arguments
broadcast; the categories of a state are a new last axis.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from data.synthetic.baseline import Baseline
from data.synthetic.draws import BoolArray, FloatArray, IntArray, ordered_probabilities, softmax
from data.synthetic.parameters import (
    N_STAGES,
    NEUROLOGIC,
    RESPONSES,
    ConcurrentHabit,
    InductionStates,
    RadiotherapyStates,
)

NO_INDUCTION = -1
"""Response index of a patient without induction."""


def induction_primary(b: Baseline, frailty: FloatArray, p: InductionStates) -> FloatArray:
    """Response of the primary to induction, over `RESPONSES`."""
    linear = p.hpv_positive * b.hpv_positive + np.array(p.t_stage)[b.t] + p.frailty * frailty
    return ordered_probabilities(p.primary_cutpoints, linear)


def induction_nodal(b: Baseline, frailty: FloatArray, p: InductionStates) -> FloatArray:
    """Response of the nodes to induction, over `RESPONSES`; without nodes nothing is left: complete."""
    linear = p.hpv_positive * b.hpv_positive + p.bulky_nodes * b.bulky_nodes + p.frailty * frailty
    return _complete_without_nodes(ordered_probabilities(p.nodal_cutpoints, linear), b)


def induction_toxicity(b: Baseline, frailty: FloatArray, p: InductionStates) -> FloatArray:
    """Dose-limiting toxicity of induction, over `TOXICITY_SITES` (not exclusive)."""
    linear = p.toxicity_frailty * frailty + p.toxicity_per_decade * b.decades
    return np.asarray(expit(logit(np.array(p.toxicity)) + np.asarray(linear)[..., None]))


def agent(b: Baseline, induction: BoolArray, neurotoxic: BoolArray, p: ConcurrentHabit) -> FloatArray:
    """Agent given that systemic therapy is given, over platinum, cetuximab, other."""
    cetuximab = (
        p.cetuximab
        + p.cetuximab_after_induction * induction
        + p.cetuximab_per_decade * b.decades
        + p.cetuximab_per_ecog * b.ecog
        + p.cetuximab_after_neurotoxicity * neurotoxic
    )
    other = p.other + p.other_after_induction * induction + np.zeros_like(cetuximab)
    return softmax(np.stack([np.zeros_like(cetuximab), cetuximab, other], axis=-1))


def agent_under_plan(
    b: Baseline, frailty: FloatArray, induction: BoolArray, p: ConcurrentHabit, s: InductionStates
) -> FloatArray:
    """The same summed over the neurotoxicity of induction, which bears on the choice."""
    neurotoxic = induction_toxicity(b, frailty, s)[..., NEUROLOGIC] * induction
    without, with_it = (agent(b, induction, np.asarray(toxic), p) for toxic in (False, True))
    return (1.0 - neurotoxic[..., None]) * without + neurotoxic[..., None] * with_it


def radiotherapy_primary(
    b: Baseline, frailty: FloatArray, concurrent: BoolArray, induction_response: IntArray, p: RadiotherapyStates
) -> FloatArray:
    """Response of the primary to radiotherapy, over `RESPONSES`."""
    linear = (
        np.array(p.primary_t_stage)[b.t]
        + _after_response(p.primary_after_induction, induction_response)
        + p.hpv_positive * b.hpv_positive
        + p.concurrent * concurrent
        + p.frailty * frailty
    )
    return ordered_probabilities(p.primary_cutpoints, linear)


def radiotherapy_nodal(
    b: Baseline, frailty: FloatArray, concurrent: BoolArray, induction_response: IntArray, p: RadiotherapyStates
) -> FloatArray:
    """Response of the nodes to radiotherapy, over `RESPONSES`; without nodes nothing is left: complete."""
    linear = (
        np.array(p.nodal_n_stage)[b.n]
        + _after_response(p.nodal_after_induction, induction_response)
        + p.hpv_positive * b.hpv_positive
        + p.concurrent * concurrent
        + p.frailty * frailty
    )
    return _complete_without_nodes(ordered_probabilities(p.nodal_cutpoints, linear), b)


def radiotherapy_toxicity(frailty: FloatArray, agent_index: IntArray, p: RadiotherapyStates) -> FloatArray:
    """Dose-limiting toxicity of concurrent therapy, over `TOXICITY_SITES`; none without concurrent therapy."""
    rates = np.array([p.toxicity_platinum, p.toxicity_platinum, p.toxicity_cetuximab, p.toxicity_other])
    probability = expit(logit(rates[agent_index]) + p.toxicity_frailty * np.asarray(frailty)[..., None])
    return np.where(np.asarray(agent_index)[..., None] == 0, 0.0, probability)


def _after_response(effects: tuple[float, ...], response: IntArray) -> FloatArray:
    """Effect of the response to induction; 0 for `NO_INDUCTION`, which indexes the entry appended last."""
    return np.array([*effects, 0.0])[response]


def _complete_without_nodes(probabilities: FloatArray, b: Baseline) -> FloatArray:
    certain = np.eye(len(RESPONSES))[0]
    return np.where(np.asarray(b.n == N_STAGES.index("N0"))[..., None], certain, probabilities)
