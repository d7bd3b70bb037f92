"""What a patient's history shows in, decisions and prescriptions out: the simulated physicians' habits, or a plan.

Habits read recorded values and, a little, the unrecorded frailty: sicker patients are treated harder, which makes every
treatment look worse than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.errors import WrongUsage
from data.synthetic.baseline import REFERENCE_YEAR, Baseline
from data.synthetic.draws import BoolArray, Draw, FloatArray, IntArray, choose, happens
from data.synthetic.parameters import (
    T_STAGES,
    ConcurrentHabit,
    InductionHabit,
    NeckHabit,
    Parameters,
    RadiotherapyStates,
)

PLANS = ("000", "001", "010", "011", "100", "101", "110", "111")
"""Treatment sequences: induction, concurrent therapy, planned neck dissection."""


class Decider(Protocol):
    """Somebody, or something, that takes the three decisions for every patient."""

    def induction(self, b: Baseline, frailty: FloatArray) -> BoolArray:
        """Decision 1, at baseline."""

    def concurrent(self, b: Baseline, frailty: FloatArray, induction: BoolArray, primary: IntArray) -> BoolArray:
        """Decision 2, after induction; `primary` is its response (`NO_INDUCTION` without)."""

    def dissection(self, b: Baseline, frailty: FloatArray, primary: IntArray, nodal: IntArray) -> BoolArray:
        """Decision 3, from the responses to radiotherapy."""


@dataclass(frozen=True)
class Physicians:
    """The habits of the reference cohort."""

    draw: Draw
    parameters: Parameters

    def induction(self, b: Baseline, frailty: FloatArray) -> BoolArray:
        """Mostly for extensive nodal disease."""
        return happens(self.draw("induction"), induction_logit(b, frailty, self.parameters.induction_habit))

    def concurrent(self, b: Baseline, frailty: FloatArray, induction: BoolArray, primary: IntArray) -> BoolArray:
        """Mostly by T; less after a good response to induction."""
        logit = concurrent_logit(b, frailty, induction, primary, self.parameters.concurrent_habit)
        return happens(self.draw("concurrent"), logit)

    def dissection(self, b: Baseline, frailty: FloatArray, primary: IntArray, nodal: IntArray) -> BoolArray:
        """Mostly for a nodal response short of complete."""
        return happens(self.draw("dissection"), neck_logit(b, frailty, primary, nodal, self.parameters.neck_habit))


@dataclass(frozen=True)
class Forced:
    """A plan imposed on everybody, or one plan a patient."""

    digits: BoolArray
    """(patients, 3)"""

    @classmethod
    def from_plans(cls, plans: str | Sequence[str], patients: int) -> Forced:
        """From one plan for all or one per patient.

        Raises:
            WrongUsage: a plan is not three digits 0 or 1, or their number is not that of the patients.
        """
        listed = [plans] * patients if isinstance(plans, str) else list(plans)
        unknown = sorted(set(listed) - set(PLANS))
        if unknown:
            raise WrongUsage(f"unknown plan '{unknown[0]}'", remedy="use one of " + ", ".join(PLANS))
        if len(listed) != patients:
            raise WrongUsage(f"{len(listed)} plans for {patients} patients", remedy="give one plan, or one per patient")
        return cls(np.array([[digit == "1" for digit in plan] for plan in listed], dtype=bool).reshape(patients, 3))

    def induction(self, b: Baseline, frailty: FloatArray) -> BoolArray:
        """The first digit."""
        return self.digits[:, 0]

    def concurrent(self, b: Baseline, frailty: FloatArray, induction: BoolArray, primary: IntArray) -> BoolArray:
        """The second digit."""
        return self.digits[:, 1]

    def dissection(self, b: Baseline, frailty: FloatArray, primary: IntArray, nodal: IntArray) -> BoolArray:
        """The third digit."""
        return self.digits[:, 2]


def induction_logit(b: Baseline, frailty: FloatArray, p: InductionHabit) -> FloatArray:
    """(patients,) log-odds of induction."""
    return np.asarray(
        p.intercept
        + np.array(p.t_stage)[b.t]
        + np.array(p.n_stage)[b.n]
        + p.level_4 * b.level_4
        + p.contralateral_2a * b.contralateral_2a
        + p.retropharyngeal * b.retropharyngeal
        + p.hpv_negative * (b.hpv_recorded == -1)
        + p.per_year * (b.year - REFERENCE_YEAR)
        + p.per_decade_of_age * b.decades
        + p.per_ecog * b.ecog
        + p.frailty * frailty
        + np.array(p.site)[b.site]
    )


def concurrent_logit(
    b: Baseline, frailty: FloatArray, induction: BoolArray, primary: IntArray, p: ConcurrentHabit
) -> FloatArray:
    """(patients,) log-odds of concurrent therapy; `primary` is the response to induction."""
    after = p.after_induction + p.induction_per_year * (b.year - REFERENCE_YEAR)
    return np.asarray(
        p.intercept
        + np.array(p.t_stage)[b.t]
        + np.array(p.n_stage)[b.n]
        + after * induction
        + p.complete_primary_response * (primary == 0)
        + p.hpv_negative * (b.hpv_recorded == -1)
        + p.level_4 * b.level_4
        + p.contralateral_2a * b.contralateral_2a
        + p.per_decade_of_age * b.decades
        + p.frailty * frailty
    )


def neck_logit(b: Baseline, frailty: FloatArray, primary: IntArray, nodal: IntArray, p: NeckHabit) -> FloatArray:
    """(patients,) log-odds of a planned neck dissection; the responses are those to radiotherapy."""
    return np.asarray(
        np.array(p.by_nodal_response)[nodal]
        + np.array(p.n_stage)[b.n]
        + p.level_4 * b.level_4
        + p.primary_partial * (primary > 0)
        + p.current_smoker * b.current_smoker
        + p.frailty * frailty
    )


def prescription(
    draw: Draw, b: Baseline, concurrent: BoolArray, p: RadiotherapyStates
) -> tuple[FloatArray, FloatArray]:
    """Radiotherapy dose in Gy and number of fractions; large primaries treated alone get the concurrent schedules."""
    small_alone = ~concurrent & (b.t < T_STAGES.index("T3"))
    shares = np.array([p.schedule_concurrent, p.schedule_alone])[small_alone.astype(int)]
    schedule = np.array(p.schedules)[choose(draw("schedule"), shares)]
    return schedule[:, 0], schedule[:, 1]
