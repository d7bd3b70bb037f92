"""Patients and somebody who decides in, what happens to them out: one draw of the structural model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri

from data.synthetic import states
from data.synthetic.baseline import Baseline
from data.synthetic.draws import BoolArray, Draw, FloatArray, IntArray, choose, generator_draw
from data.synthetic.hazards import (
    LANDMARK,
    BaselineHazard,
    LogHazards,
    Responses,
    Treatment,
    early_death_rate,
    log_hazards,
)
from data.synthetic.late_toxicity import aspiration_logit, tube_logit
from data.synthetic.parameters import (
    DOSE_CHANGES,
    NEUROLOGIC,
    PARAMETERS,
    TOXICITY_SITES,
    Course,
    InductionStates,
    NeckHabit,
    Parameters,
)
from data.synthetic.treatment import Decider, Forced, Physicians, prescription


@dataclass(frozen=True, slots=True)
class Trajectories:
    """What happens to each patient, also what nobody would see; times in months, infinite when never.

    States are drawn for everybody; whether a patient lived to show one is for the reader to ask of `death_month`.
    """

    frailty: FloatArray
    induction: BoolArray
    induction_primary: IntArray
    """Index into `RESPONSES`; `NO_INDUCTION` without induction. So for the nodes."""
    induction_nodal: IntArray
    dose_change: IntArray
    induction_toxicity: BoolArray
    """(patients, toxicity sites)"""
    agent: IntArray
    dose_gy: FloatArray
    fractions: FloatArray
    primary: IntArray
    nodal: IntArray
    toxicity: BoolArray
    """Of concurrent therapy: (patients, toxicity sites)."""
    planned_dissection: BoolArray
    late_dissection_month: FloatArray
    """Of dissection after a locoregional failure, in patients without a planned one."""
    death_month: FloatArray
    locoregional_month: FloatArray
    distant_month: FloatArray
    aspiration: BoolArray
    feeding_tube: BoolArray


def simulate(
    baseline: Baseline,
    plan: str | Sequence[str],
    generator: np.random.Generator,
    parameters: Parameters = PARAMETERS,
) -> Trajectories:
    """One draw of what happens under a plan (one for all, or one per patient): a sample of `truth`.

    Raises:
        WrongUsage: a plan is not one of `PLANS`.
    """
    draw = generator_draw(baseline.size, generator)
    return run(baseline, Forced.from_plans(plan, baseline.size), draw, parameters)


def observe(baseline: Baseline, draw: Draw, parameters: Parameters = PARAMETERS) -> Trajectories:
    """One draw of what happens under the physicians' habits."""
    return run(baseline, Physicians(draw, parameters), draw, parameters)


def run(b: Baseline, decider: Decider, draw: Draw, p: Parameters) -> Trajectories:
    """One draw of the model with `decider` taking the decisions."""
    frailty = ndtri(draw("frailty"))
    induction = decider.induction(b, frailty)
    ic_primary, ic_nodal, ic_toxicity, dose_change = _after_induction(b, frailty, induction, draw, p.induction)
    concurrent = decider.concurrent(b, frailty, induction, ic_primary)
    choice = states.agent(b, induction, ic_toxicity[:, NEUROLOGIC], p.concurrent_habit)
    agent = np.where(concurrent, 1 + choose(draw("agent"), choice), 0)
    dose_gy, fractions = prescription(draw, b, concurrent, p.radiotherapy)
    r = p.radiotherapy
    seen = Responses(
        choose(draw("rt_primary"), states.radiotherapy_primary(b, frailty, concurrent, ic_primary, r)),
        choose(draw("rt_nodal"), states.radiotherapy_nodal(b, frailty, concurrent, ic_nodal, r)),
    )
    planned = decider.dissection(b, frailty, seen.primary, seen.nodal)
    treatment = Treatment(induction, agent, planned)
    death, locoregional, distant = _events(b, frailty, treatment, seen, draw, p)
    late = np.where(planned, np.inf, _salvage(draw("salvage"), death, locoregional, p.neck_habit))
    aspiration = draw("aspiration") < expit(aspiration_logit(b, frailty, treatment, p.toxicity))
    return Trajectories(
        frailty=frailty,
        induction=induction,
        induction_primary=ic_primary,
        induction_nodal=ic_nodal,
        dose_change=dose_change,
        induction_toxicity=ic_toxicity,
        agent=agent,
        dose_gy=dose_gy,
        fractions=fractions,
        primary=seen.primary,
        nodal=seen.nodal,
        toxicity=_each_site(draw, "rt_toxicity", states.radiotherapy_toxicity(frailty, agent, r)),
        planned_dissection=planned,
        late_dissection_month=late,
        death_month=death,
        locoregional_month=locoregional,
        distant_month=distant,
        aspiration=aspiration,
        feeding_tube=draw("feeding_tube") < expit(tube_logit(b, frailty, treatment, aspiration, p.toxicity)),
    )


def _salvage(uniform: FloatArray, death: FloatArray, locoregional: FloatArray, p: NeckHabit) -> FloatArray:
    """Month of dissection after failure: in some of those who live long enough to have it."""
    operated = locoregional + p.salvage_delay
    return np.where((operated < death) & (uniform < p.salvage), operated, np.inf)


def _after_induction(
    b: Baseline, frailty: FloatArray, induction: BoolArray, draw: Draw, p: InductionStates
) -> tuple[IntArray, IntArray, BoolArray, IntArray]:
    primary = choose(draw("ic_primary"), states.induction_primary(b, frailty, p))
    nodal = choose(draw("ic_nodal"), states.induction_nodal(b, frailty, p))
    toxicity = _each_site(draw, "ic_toxicity", states.induction_toxicity(b, frailty, p)) & induction[:, None]
    changes = np.array([p.dose_change, p.dose_change_toxic])[toxicity.any(axis=1).astype(int)]
    change = np.where(induction, choose(draw("ic_dose_change"), changes), DOSE_CHANGES.index("none"))
    none = states.NO_INDUCTION
    return np.where(induction, primary, none), np.where(induction, nodal, none), toxicity, change


def _each_site(draw: Draw, name: str, probabilities: FloatArray) -> BoolArray:
    uniforms = [draw(f"{name}_{site}") for site in TOXICITY_SITES]
    return np.stack(uniforms, axis=-1) < probabilities


def _events(
    b: Baseline, frailty: FloatArray, treatment: Treatment, seen: Responses, draw: Draw, p: Parameters
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Months of death, locoregional and distant failure: the course of `LogHazards` walked state by state."""
    early = _waiting(draw("early_death")) / early_death_rate(b, frailty, treatment.induction, treatment.concurrent, p)
    late = _late_events(log_hazards(b, frailty, treatment, seen, p), draw, p.course)
    dies_early = early < LANDMARK
    never = np.full(b.size, np.inf)
    return (
        np.where(dies_early, early, late[0]),
        np.where(dies_early, never, late[1]),
        np.where(dies_early, never, late[2]),
    )


def _late_events(log: LogHazards, draw: Draw, c: Course) -> tuple[FloatArray, FloatArray, FloatArray]:
    death = BaselineHazard(c.breaks, c.death)
    locoregional = BaselineHazard(c.breaks, c.locoregional)
    distant = BaselineHazard(c.breaks, c.distant)
    start = np.full(len(log.death), LANDMARK)
    death_first = _next(death, log.death, start, draw("death"))
    lr_first = _next(locoregional, log.locoregional, start, draw("locoregional"))
    dm_first = _next(distant, log.distant, start, draw("distant"))
    first = np.minimum(np.minimum(lr_first, dm_first), death_first)
    lr_is_first, dm_is_first = lr_first == first, dm_first == first

    failing = BaselineHazard(c.breaks, c.after_failure_shape)
    level_one = np.log(np.where(lr_is_first, c.death_after_locoregional, c.death_after_distant))
    dies_with_one = _next(failing, log.after_failure + level_one, first, draw("death_after_one"))
    dm_second = _next(distant, log.distant + np.log(c.distant_after_locoregional), first, draw("distant_second"))
    lr_second = _next(
        locoregional, log.locoregional + np.log(c.locoregional_after_distant), first, draw("locoregional_second")
    )
    second = np.where(lr_is_first, dm_second, lr_second)
    both = second < dies_with_one
    level_both = np.log(c.death_after_both)
    dies_with_both = _next(failing, log.after_failure + level_both, second, draw("death_after_both"))

    failed = lr_is_first | dm_is_first
    death_month = np.where(failed, np.where(both, dies_with_both, dies_with_one), death_first)
    lr_month = np.where(lr_is_first, first, np.where(dm_is_first & both, second, np.inf))
    dm_month = np.where(dm_is_first, first, np.where(lr_is_first & both, second, np.inf))
    return death_month, lr_month, dm_month


def _waiting(uniform: FloatArray) -> FloatArray:
    """A standard exponential waiting time."""
    return -np.log1p(-uniform)


def _next(baseline: BaselineHazard, log_ratio: FloatArray, since: FloatArray, uniform: FloatArray) -> FloatArray:
    """Month of the next event of one transition in those at risk since `since`."""
    return baseline.inverse(baseline.cumulative(since) + _waiting(uniform) / np.exp(log_ratio))
