"""Baseline covariates and plans in, the true risk of every outcome out.

For a patient and a plan the risk is the exact sum over everything that happens in between: the frailty by
Gauss-Hermite quadrature, and the neurotoxicity and responses of induction, the agent (by the physicians' habit) and the
responses to radiotherapy by enumeration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from data.errors import WrongUsage
from data.synthetic import states
from data.synthetic.baseline import Baseline
from data.synthetic.draws import FloatArray
from data.synthetic.hazards import LANDMARK, Responses, Treatment, early_death_rate, log_hazards
from data.synthetic.late_toxicity import aspiration_logit, tube_logit
from data.synthetic.multistate import risks_at
from data.synthetic.parameters import AGENTS, RESPONSES, Parameters
from data.synthetic.treatment import PLANS

SURVIVAL_OUTCOMES = ("death", "locoregional_failure", "distant_failure")
TOXICITY_OUTCOMES = ("feeding_tube_6m", "aspiration_6m")
QUADRATURE_NODES = 8
"""Nodes for the frailty: thrice as many change no risk by 1e-4 (tested)."""
_CHUNK = 128
"""Patients at a time: the working arrays then stay within the processor's cache."""
_SEEN = np.array([0, 1, 2])
"""Responses that differ in hazard: complete, partial, none (stable and progressive act alike)."""


def true_risk(b: Baseline, plans: Sequence[str], months: Sequence[float], p: Parameters) -> FloatArray:
    """Cumulative incidence of death, locoregional and distant failure under each plan.

    Returns:
        (patients, plans, outcomes, months), outcomes as in `SURVIVAL_OUTCOMES`.

    Raises:
        WrongUsage: an unknown plan, or a month below 0.
    """
    _check(plans, months)
    result = np.empty((b.size, len(plans), len(SURVIVAL_OUTCOMES), len(months)))
    for start in range(0, b.size, _CHUNK):
        rows = slice(start, start + _CHUNK)
        chunk = b.rows(rows)
        for k, plan in enumerate(plans):
            result[rows, k] = _risk_under(chunk, plan, months, p)
    return result


def true_toxicity(b: Baseline, plans: Sequence[str], p: Parameters) -> FloatArray:
    """Probability of a feeding tube and of aspiration at 6 months among those alive then, under each plan.

    Returns:
        (patients, plans, outcomes), outcomes as in `TOXICITY_OUTCOMES`.

    Raises:
        WrongUsage: an unknown plan.
    """
    _check(plans, ())
    return np.stack([_toxicity_under(b, plan, p) for plan in plans], axis=1)


def _check(plans: Sequence[str], months: Sequence[float]) -> None:
    unknown = sorted(set(plans) - set(PLANS))
    if unknown:
        raise WrongUsage(f"unknown plan '{unknown[0]}'", remedy="use some of " + ", ".join(PLANS))
    if any(not np.isfinite(month) or month < 0 for month in months):
        raise WrongUsage(f"months {list(months)} cannot be answered", remedy="give finite months from 0 on")


def frailty_nodes(count: int = QUADRATURE_NODES) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def _risk_under(b: Baseline, plan: str, months: Sequence[float], p: Parameters) -> FloatArray:
    """Shape (patients, outcomes, months)."""
    induction, concurrent, _ = (np.asarray(digit == "1") for digit in plan)
    nodes, weights = frailty_nodes()
    rate = early_death_rate(b.with_axes(1), nodes, induction, concurrent, p)
    order = sorted(set(months))
    late = [month for month in order if month > LANDMARK]
    landmark_risks = dict(zip(late, _late_risks(b, plan, late, weights * np.exp(-rate * LANDMARK), p), strict=True))
    died_early = {month: -np.expm1(-rate * min(month, LANDMARK)) @ weights for month in order}
    risks = np.zeros((b.size, len(SURVIVAL_OUTCOMES), len(months)))
    for k, month in enumerate(months):
        risks[:, 0, k] = died_early[month]
        if month in landmark_risks:
            risks[:, :, k] += landmark_risks[month]
    return risks


def _late_risks(
    b: Baseline, plan: str, months: Sequence[float], weights: FloatArray, p: Parameters
) -> list[FloatArray]:
    """Risks after `LANDMARK` (patients, outcomes) per month; `weights` (patients, nodes) of being alive then.

    Axes inside: patients, frailty, agent, primary response, nodal response.
    """
    wide = b.with_axes(4)
    frailty = frailty_nodes()[0].reshape(-1, 1, 1, 1)
    agents = _agents(plan).reshape(-1, 1, 1)
    treatment = Treatment(np.asarray(plan[0] == "1"), agents, np.asarray(plan[2] == "1"))
    log = log_hazards(wide, frailty, treatment, Responses(_SEEN.reshape(-1, 1), _SEEN), p)
    chance = weights[:, :, None, None, None] * _state_probabilities(b, plan, p)
    return [
        np.stack([np.sum(chance * part, axis=(1, 2, 3, 4)) for part in (r.death, r.locoregional, r.distant)], axis=-1)
        for r in risks_at(log, months, p.course)
    ]


def _agents(plan: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.arange(1, len(AGENTS)) if plan[1] == "1" else np.zeros(1, dtype=np.int64)


def _state_probabilities(b: Baseline, plan: str, p: Parameters) -> FloatArray:
    """(patients, frailty, agent, primary response, nodal response) given being alive; sums to 1 over the states."""
    column, frailty = b.with_axes(1), frailty_nodes()[0]
    induction, concurrent = (np.asarray(digit == "1") for digit in plan[:2])
    responses = []
    for after_induction, after_radiotherapy in (
        (states.induction_primary, states.radiotherapy_primary),
        (states.induction_nodal, states.radiotherapy_nodal),
    ):
        if induction:
            before = after_induction(column, frailty, p.induction)
            after = [
                after_radiotherapy(column, frailty, concurrent, np.asarray(k), p.radiotherapy)
                for k in range(len(RESPONSES))
            ]
            response = sum(before[..., [k]] * after[k] for k in range(len(RESPONSES)))
        else:
            none = np.asarray(states.NO_INDUCTION)
            response = after_radiotherapy(column, frailty, concurrent, none, p.radiotherapy)
        responses.append(_merged(np.asarray(response)))
    primary, nodal = responses
    return np.asarray(
        _agent_probabilities(b, plan, p)[:, :, :, None, None]
        * primary[:, :, None, :, None]
        * nodal[:, :, None, None, :]
    )


def _merged(response: FloatArray) -> FloatArray:
    """Stable and progressive disease taken together."""
    return np.concatenate([response[..., :2], response[..., 2:].sum(axis=-1, keepdims=True)], axis=-1)


def _agent_probabilities(b: Baseline, plan: str, p: Parameters) -> FloatArray:
    """Shape (patients, frailty, agent)."""
    nodes = frailty_nodes()[0]
    if plan[1] == "0":
        return np.ones((b.size, len(nodes), 1))
    return states.agent_under_plan(b.with_axes(1), nodes, np.asarray(plan[0] == "1"), p.concurrent_habit, p.induction)


def _toxicity_under(b: Baseline, plan: str, p: Parameters) -> FloatArray:
    """Shape (patients, outcomes)."""
    induction, concurrent, dissection = (np.asarray(digit == "1") for digit in plan)
    nodes, weights = frailty_nodes()
    rate = early_death_rate(b.with_axes(1), nodes, induction, concurrent, p)
    alive = weights * np.exp(-rate * LANDMARK)
    chance = (alive / alive.sum(axis=1, keepdims=True))[..., None] * _agent_probabilities(b, plan, p)
    wide, frailty = b.with_axes(2), nodes[:, None]
    treatment = Treatment(induction, _agents(plan), dissection)
    aspirates = expit(aspiration_logit(wide, frailty, treatment, p.toxicity))
    tube = [
        expit(tube_logit(wide, frailty, treatment, np.asarray(aspirating), p.toxicity)) for aspirating in (False, True)
    ]
    either = (1.0 - aspirates) * tube[0] + aspirates * tube[1]
    return np.stack([np.sum(chance * outcome, axis=(1, 2)) for outcome in (either, aspirates)], axis=-1)
