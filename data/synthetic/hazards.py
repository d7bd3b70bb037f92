"""Baseline, frailty, treatment and responses in, hazards of death and failure out.

Every transition has a piecewise constant baseline hazard times the exponential of a linear predictor. Before month 6
(`LANDMARK`) patients can only die: disease that persists or returns is declared from the response assessment on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.baseline import REFERENCE_AGE, Baseline
from data.synthetic.draws import BoolArray, FloatArray, IntArray
from data.synthetic.parameters import AGENTS, HEAVY_PACK_YEARS, T_STAGES, Parameters, Prognosis, TreatmentEffects

LANDMARK = 6.0
"""Month of the response to radiotherapy, the planned neck dissection and the first possible failure."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is given; arrays broadcast against the baseline."""

    induction: BoolArray
    agent: IntArray
    """Index into `AGENTS`; 0 is radiotherapy alone."""
    dissection: BoolArray
    """Planned at month 6; dissection after failure belongs to the course, not to the plan."""

    @property
    def concurrent(self) -> BoolArray:
        """Whether any agent accompanies radiotherapy."""
        return np.asarray(self.agent > 0)


@dataclass(frozen=True, slots=True)
class Responses:
    """Responses to radiotherapy, as indices into `RESPONSES`."""

    primary: IntArray
    nodal: IntArray


@dataclass(frozen=True, slots=True)
class LogHazards:
    """Log hazard ratios of the transitions against their baseline hazards."""

    death: FloatArray
    locoregional: FloatArray
    distant: FloatArray
    after_failure: FloatArray
    """Of death from any state with failure."""


def early_death_rate(
    b: Baseline, frailty: FloatArray, induction: BoolArray, concurrent: BoolArray, p: Parameters
) -> FloatArray:
    """Hazard of death per month before `LANDMARK`."""
    c = p.course
    log_ratio = (
        np.log(c.early_per_ecog) * b.ecog
        + np.log(c.early_per_year_of_age) * (b.age_years - REFERENCE_AGE)
        + np.log(c.early_frailty) * frailty
        + np.log(p.effects.early_death_induction) * induction
        + np.log(p.effects.early_death_concurrent) * concurrent
    )
    return np.asarray(c.early_death * np.exp(log_ratio))


def log_hazards(b: Baseline, frailty: FloatArray, treatment: Treatment, seen: Responses, p: Parameters) -> LogHazards:
    """Linear predictors from `LANDMARK` on."""
    c, e = p.course, p.effects
    shared = _induction(b, treatment, e) + _agent(treatment, e)
    residue = treatment.dissection & (seen.nodal > 0)
    young = _chemotherapy_share(b.age_years, e) * treatment.concurrent
    return LogHazards(
        death=_prognosis(b, frailty, seen, c.death_prognosis)
        + shared
        + np.log(e.concurrent_death) * young
        + np.log(e.dissection_death) * treatment.dissection,
        locoregional=_prognosis(b, frailty, seen, c.locoregional_prognosis)
        + shared
        + np.log(e.concurrent_locoregional) * young
        + np.log(e.dissection_locoregional) * residue,
        distant=_prognosis(b, frailty, seen, c.distant_prognosis) + shared + np.log(e.concurrent_distant) * young,
        after_failure=np.log(c.after_failure_hpv_negative) * ~b.hpv_positive
        + np.log(c.after_failure_per_year_of_age) * (b.age_years - REFERENCE_AGE)
        + np.log(c.after_failure_frailty) * frailty,
    )


def _prognosis(b: Baseline, frailty: FloatArray, seen: Responses, r: Prognosis) -> FloatArray:
    return np.asarray(
        np.log(r.hpv_positive) * b.hpv_positive
        + np.log(r.per_pack_year) * b.pack_years
        + np.log(r.heavy_smoker) * (b.pack_years > HEAVY_PACK_YEARS)
        + np.log(r.per_year_of_age) * (b.age_years - REFERENCE_AGE)
        + np.log(r.t_stage)[b.t]
        + np.log(r.bulky_nodes) * b.bulky_nodes
        + np.log(r.contralateral) * b.contralateral
        + np.log(r.low_neck) * b.level_4
        + np.log(r.per_ecog) * b.ecog
        + np.log(r.female) * b.female
        + np.log(r.primary_response)[seen.primary]
        + np.log(r.nodal_response)[seen.nodal]
        + np.log(r.frailty) * frailty
    )


def _induction(b: Baseline, treatment: Treatment, e: TreatmentEffects) -> FloatArray:
    advanced = (b.t == T_STAGES.index("T4")) | b.bulky_nodes
    negative = np.where(advanced, e.induction_hpv_negative_advanced, e.induction_hpv_negative)
    return np.asarray(np.log(np.where(b.hpv_positive, e.induction_hpv_positive, negative)) * treatment.induction)


def _agent(treatment: Treatment, e: TreatmentEffects) -> FloatArray:
    ratios = {"none": 1.0, "platinum": e.platinum, "cetuximab": e.cetuximab, "other": e.other_agent}
    return np.log([ratios[name] for name in AGENTS])[treatment.agent]


def _chemotherapy_share(age_years: FloatArray, e: TreatmentEffects) -> FloatArray:
    """Share of the full effect of concurrent therapy left at an age: 1 in the young, falling linearly to 0."""
    span = e.no_effect_from_age - e.full_effect_until_age
    return np.clip((e.no_effect_from_age - age_years) / span, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class BaselineHazard:
    """A piecewise constant hazard per month, from `LANDMARK` on."""

    breaks: tuple[float, ...]
    rates: tuple[float, ...]

    def rate(self, month: float) -> float:
        """The hazard just after `month`."""
        return self.rates[int(np.searchsorted(self.breaks, month, side="right"))]

    def cumulative(self, month: FloatArray) -> FloatArray:
        """Its integral from `LANDMARK` to `month`."""
        return np.interp(month, *self._knots())

    def inverse(self, cumulative: FloatArray) -> FloatArray:
        """The month at which the integral reaches `cumulative`."""
        months, values = self._knots()
        return np.interp(cumulative, values, months)

    def _knots(self) -> tuple[FloatArray, FloatArray]:
        months = np.array([LANDMARK, *self.breaks, _FOREVER])
        return months, np.concatenate([[0.0], np.cumsum(np.diff(months) * self.rates)])


_FOREVER = 1e7
"""A month (800,000 years) that no simulated time is meant to reach; later ones are set to it."""
