"""Recorded baseline columns in, the probability that a patient of undetermined status is HPV-positive out (Bayes)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr

from data.synthetic.baseline import codes
from data.synthetic.draws import BoolArray, FloatArray, IntArray
from data.synthetic.parameters import GRADES, SMOKING, SUBSITES, T_STAGES, Parameters, Population


def probability_hpv_positive(frame: pd.DataFrame, parameters: Parameters) -> FloatArray:
    """P(HPV-positive | recorded baseline): 0 or 1 where recorded, else exact by Bayes from the generating densities.

    Only age, smoking, T, grade and subsite depend on HPV in the model, so only they carry information.
    """
    p = parameters.population
    smoking = codes(frame, "smoking_status", SMOKING)
    log_odds = (
        logit(p.hpv_positive)
        + _age_evidence(frame["age_years"].to_numpy(dtype=np.float64), p)
        + _level_evidence(smoking, p.smoking)
        + _exposure_evidence(frame["pack_years"].to_numpy(dtype=np.float64), smoking, p)
        + _level_evidence(codes(frame, "t_stage", T_STAGES), p.t_stage)
        + _level_evidence(codes(frame, "grade", GRADES), p.grade)
        + _level_evidence(codes(frame, "subsite", SUBSITES), p.subsite)
    )
    recorded = frame["hpv_status"].astype(object).to_numpy()
    return np.select([recorded == "positive", recorded == "negative"], [1.0, 0.0], default=expit(log_odds))


def _level_evidence(codes: IntArray, tables: tuple[tuple[float, ...], ...]) -> FloatArray:
    """Log likelihood ratio, positive over negative, of a category."""
    negative, positive = np.log(np.array(tables))
    return np.asarray((positive - negative)[codes])


def _age_evidence(age: FloatArray, p: Population) -> FloatArray:
    """That of an age recorded to a tenth of a year."""
    bounds = (np.maximum(age - 0.05, p.age_bounds[0]), np.minimum(age + 0.05, p.age_bounds[1]))
    negative, positive = (_interval(bounds, median, p.log_age_sd, p.age_bounds) for median in p.median_age)
    return np.asarray(np.log(positive) - np.log(negative))


def _exposure_evidence(exposure: FloatArray, smoking: IntArray, p: Population) -> FloatArray:
    """That of whole pack-years; none in never-smokers."""
    smokes: BoolArray = smoking != SMOKING.index("never")
    bounds = (exposure[smokes] - 0.5, exposure[smokes] + 0.5)
    likelihood = [
        _interval(bounds, np.array([1.0, *medians])[smoking[smokes]], sd, p.pack_year_bounds)
        for medians, sd in zip(p.median_pack_years, p.log_pack_years_sd, strict=True)
    ]
    evidence = np.zeros(len(exposure))
    evidence[smokes] = np.log(likelihood[1]) - np.log(likelihood[0])
    return evidence


def _interval(
    bounds: tuple[FloatArray, FloatArray], median: FloatArray | float, sd: float, support: tuple[float, float]
) -> FloatArray:
    """Probability of an interval under a log-normal distribution cut to its support."""
    low, high, start, stop = (ndtr((np.log(edge) - np.log(median)) / sd) for edge in (*bounds, *support))
    return np.asarray((high - low) / (stop - start))
