"""Baseline, frailty and treatment in, log-odds of aspiration and of a feeding tube at month 6 out."""

from __future__ import annotations

import numpy as np

from data.synthetic.baseline import REFERENCE_AGE, Baseline
from data.synthetic.draws import BoolArray, FloatArray
from data.synthetic.hazards import Treatment
from data.synthetic.parameters import AGENTS, N_STAGES, LateToxicity


def aspiration_logit(b: Baseline, frailty: FloatArray, treatment: Treatment, p: LateToxicity) -> FloatArray:
    """Log-odds of aspiration within 6 months, in those alive then."""
    return np.asarray(
        p.aspiration_intercept
        + _shared(b, frailty, treatment, p)
        + np.log(p.aspiration_baseline) * b.aspiration
        + np.log(p.dissection_aspiration) * treatment.dissection
    )


def tube_logit(
    b: Baseline, frailty: FloatArray, treatment: Treatment, aspiration: BoolArray, p: LateToxicity
) -> FloatArray:
    """Log-odds of a feeding tube at 6 months given whether the patient aspirates, in those alive then."""
    return np.asarray(
        p.tube_intercept
        + p.tube_share * _shared(b, frailty, treatment, p)
        + np.log(p.tube_given_aspiration) * aspiration
        + np.log(p.dissection_tube) * treatment.dissection
    )


def _shared(b: Baseline, frailty: FloatArray, treatment: Treatment, p: LateToxicity) -> FloatArray:
    agents = {"none": 1.0, "platinum": p.platinum, "cetuximab": p.cetuximab, "other": p.other_agent}
    return np.asarray(
        np.log([agents[name] for name in AGENTS])[treatment.agent]
        + np.log(p.induction) * treatment.induction
        + np.log(p.t_stage)[b.t]
        + np.log(p.n2_or_more) * (b.n >= N_STAGES.index("N2"))
        + np.log(p.per_year_of_age) * (b.age_years - REFERENCE_AGE)
        + np.log(p.current_smoker) * b.current_smoker
        + np.log(p.hpv_negative) * ~b.hpv_positive
        + np.log(p.frailty) * frailty
    )
