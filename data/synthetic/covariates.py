"""Noise in, the baseline columns of patients out: who comes, with what disease, and what of it is recorded."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import Specification
from data.synthetic.baseline import REFERENCE_AGE, REFERENCE_YEAR
from data.synthetic.draws import (
    BoolArray,
    Draw,
    FloatArray,
    IntArray,
    choose,
    happens,
    ordered_probabilities,
    truncated_normal,
)
from data.synthetic.nodes import nodal_levels, nodal_stage
from data.synthetic.parameters import (
    FIRST_YEAR,
    GRADES,
    LAST_YEAR,
    N_STAGES,
    RACES,
    SITES,
    SMOKING,
    SUBSITES,
    T_STAGES,
    HpvTesting,
    Parameters,
    Population,
)

EDITION = 8
"""Of the TNM classification: cases are restaged, as those of the reference cohort were."""


def draw_covariates(draw: Draw, parameters: Parameters, spec: Specification) -> tuple[pd.DataFrame, BoolArray]:
    """Baseline columns (all but the identifier) and the true HPV status of every patient."""
    population = parameters.population
    hpv_positive = draw("hpv") < population.hpv_positive
    person = _person(draw, hpv_positive, population)
    site = choose(draw("site"), np.array(population.sites))
    year = _year(draw("year"), population)
    t = choose(draw("t_stage"), np.array(population.t_stage)[hpv_positive.astype(int)])
    midline = draw("bilateral") < population.bilateral
    levels, bulky = nodal_levels(draw, t, midline, parameters.nodes)
    contralateral = np.any([levels[name] for name in levels if name.startswith("ln_contra_")], axis=0)
    tested = ~happens(draw("hpv_testing"), _untested_logit(year, site, t, contralateral, parameters.hpv_testing))
    hpv_recorded = np.where(tested, np.where(hpv_positive, 1, -1), 0)
    n = nodal_stage(levels, bulky, hpv_recorded)
    disease = {
        "diagnosis_year": year,
        "site_id": np.array(SITES, dtype=object)[site],
        "hpv_status": np.array(["unknown", "positive", "negative"], dtype=object)[hpv_recorded],
        "subsite": _by_hpv(draw("subsite"), population.subsite, SUBSITES, hpv_positive),
        "bilateral_primary": midline,
        "t_stage": np.array(T_STAGES, dtype=object)[t],
        "n_stage": np.array(N_STAGES, dtype=object)[n],
        "tnm_edition": np.full(len(t), float(EDITION)),
        "grade": _by_hpv(draw("grade"), population.grade, GRADES, hpv_positive),
        "aspiration_baseline": draw("aspiration_baseline") < np.array(population.aspiration)[t],
    }
    frame = pd.DataFrame({**person, **disease, **levels})
    return frame.assign(stage_group=_stage_group(frame, spec)), hpv_positive


def _person(draw: Draw, hpv_positive: BoolArray, population: Population) -> dict[str, object]:
    age = _age(draw("age"), hpv_positive, population)
    smoking = choose(draw("smoking"), np.array(population.smoking)[hpv_positive.astype(int)])
    frailty_of_age = population.ecog_per_decade * (age - REFERENCE_AGE) / 10.0
    current = smoking == SMOKING.index("current")
    ecog = ordered_probabilities(population.ecog_cutpoints, frailty_of_age + population.ecog_current_smoker * current)
    return {
        "age_years": age,
        "sex": np.where(draw("sex") < population.male, "male", "female").astype(object),
        "race_ethnicity": np.array(RACES, dtype=object)[choose(draw("race"), np.array(population.race))],
        "ecog": choose(draw("ecog"), ecog).astype(float),
        "smoking_status": np.array(SMOKING, dtype=object)[smoking],
        "pack_years": _pack_years(draw("pack_years"), smoking, hpv_positive, population),
    }


def _age(uniform: FloatArray, hpv_positive: BoolArray, population: Population) -> FloatArray:
    """Log-normal within the cohort's range, to a tenth of a year."""
    mean = np.log(np.array(population.median_age))[hpv_positive.astype(int)]
    low, high = (float(np.log(bound)) for bound in population.age_bounds)
    age = np.exp(truncated_normal(uniform, mean, population.log_age_sd, (low, high)))
    return np.asarray(np.round(age, 1), dtype=np.float64)


def _year(uniform: FloatArray, population: Population) -> FloatArray:
    """Of diagnosis; accrual grows linearly."""
    years = np.arange(FIRST_YEAR, LAST_YEAR + 1, dtype=np.float64)
    accrual = 1.0 + population.year_growth * (years - FIRST_YEAR)
    return np.asarray(years[choose(uniform, accrual / accrual.sum())])


def _pack_years(uniform: FloatArray, smoking: IntArray, hpv_positive: BoolArray, population: Population) -> FloatArray:
    """Zero in never-smokers, else log-normal within bounds, to a whole number."""
    hpv = hpv_positive.astype(int)
    median = np.array([(1.0, *pair) for pair in population.median_pack_years])[hpv, smoking]
    low, high = (float(np.log(bound)) for bound in population.pack_year_bounds)
    sd = np.array(population.log_pack_years_sd)[hpv]
    exposure = np.round(np.exp(truncated_normal(uniform, np.log(median), sd, (low, high))))
    return np.where(smoking == SMOKING.index("never"), 0.0, np.clip(exposure, 1.0, 120.0)).astype(np.float64)


def _untested_logit(
    year: FloatArray, site: IntArray, t: IntArray, contralateral: BoolArray, testing: HpvTesting
) -> FloatArray:
    return np.asarray(
        testing.intercept
        + testing.per_year * (year - REFERENCE_YEAR)
        + testing.contralateral * contralateral
        + np.array(testing.t_stage)[t]
        + np.array(testing.site)[site]
    )


def _stage_group(frame: pd.DataFrame, spec: Specification) -> NDArray[np.object_]:
    """By the specification's own staging table."""
    table = pd.DataFrame(spec.stage_groups, dtype=object)
    rows = table[table["tnm_edition"] == str(EDITION)].drop(columns="tnm_edition")
    *conditions, implied = rows.columns
    return frame[conditions].merge(rows, how="left", on=conditions)[implied].to_numpy(dtype=object)


def _by_hpv(
    uniform: FloatArray, tables: tuple[tuple[float, ...], ...], levels: tuple[str, ...], hpv_positive: BoolArray
) -> NDArray[np.object_]:
    return np.asarray(np.array(levels, dtype=object)[choose(uniform, np.array(tables)[hpv_positive.astype(int)])])
