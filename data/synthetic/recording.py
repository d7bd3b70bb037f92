"""Baseline columns and trajectories in, the canonical columns that a registry would hold out.

A state is recorded only for those alive when it is seen; a decision only for those alive when it is taken.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.synthetic.draws import BoolArray, Draw, FloatArray, IntArray
from data.synthetic.hazards import LANDMARK
from data.synthetic.parameters import AGENTS, DOSE_CHANGES, RESPONSES, TOXICITY_SITES, FollowUp, Parameters
from data.synthetic.simulation import Trajectories

CAUSES = ("other", "index_cancer")
"""Of death: without, with a failure before it."""
INDUCTION_END = 3.0
"""Month at which induction has been judged and radiotherapy begins."""


def record(baseline: pd.DataFrame, happened: Trajectories, draw: Draw, p: Parameters) -> pd.DataFrame:
    """The canonical columns of a cohort, untyped."""
    last_contact = _last_contact(baseline["diagnosis_year"].to_numpy(dtype=float), draw, p.follow_up)
    followed = np.minimum(happened.death_month, last_contact)
    later = {
        **_induction(happened, draw, p),
        **_radiotherapy(happened),
        **_responses(happened, (baseline["n_stage"] == "N0").to_numpy(), draw, p),
        **_dissection(happened, followed),
        **_outcomes(happened, followed),
    }
    return pd.concat([baseline, pd.DataFrame(later)], axis=1)


def _induction(happened: Trajectories, draw: Draw, p: Parameters) -> dict[str, object]:
    given = happened.induction
    seen = ~given | (happened.death_month > INDUCTION_END)
    hidden = p.induction.unrecorded
    return {
        "induction_chemo": given.astype(float),
        "ic_response_primary": _response(
            happened.induction_primary, given & seen & (draw("ic_primary_unrecorded") >= hidden)
        ),
        "ic_response_nodal": _response(
            happened.induction_nodal, given & seen & (draw("ic_nodal_unrecorded") >= hidden)
        ),
        "ic_dose_change": _levels(DOSE_CHANGES, happened.dose_change, seen),
        **_toxicities("ic_dlt", happened.induction_toxicity, seen),
    }


def _radiotherapy(happened: Trajectories) -> dict[str, object]:
    started = ~happened.induction | (happened.death_month > INDUCTION_END)
    return {
        "concurrent_chemo": _where(started, happened.agent > 0),
        "concurrent_agent": _levels(AGENTS, happened.agent, started),
        "rt_dose_gy": _where(started, happened.dose_gy),
        "rt_fractions": _where(started, happened.fractions),
    }


def _responses(happened: Trajectories, node_negative: BoolArray, draw: Draw, p: Parameters) -> dict[str, object]:
    """A neck without nodes has no response; it makes up the share that the published cohort leaves unrecorded."""
    judged = _judged(happened)
    recorded = draw("rt_unrecorded") >= p.radiotherapy.unrecorded
    return {
        "rt_response_primary": _response(happened.primary, judged & recorded),
        "rt_response_nodal": _response(happened.nodal, judged & ~node_negative),
        **_toxicities("rt_dlt", happened.toxicity, judged),
    }


def _dissection(happened: Trajectories, followed: FloatArray) -> dict[str, object]:
    """Planned or late: a registry does not tell them apart, which is the reverse causation to be met in real data."""
    late = happened.late_dissection_month < followed
    return {"neck_dissection": _where(_judged(happened), happened.planned_dissection | late)}


def _outcomes(happened: Trajectories, followed: FloatArray) -> dict[str, object]:
    """Times to the first of event, death and last contact."""
    died = happened.death_month <= followed
    locoregional = happened.locoregional_month < followed
    distant = happened.distant_month < followed
    cause = (locoregional | distant).astype(np.int64)
    judged = _judged(happened)
    return {
        "os_months": _months(followed),
        "death": died.astype(float),
        "cause_of_death": _levels(CAUSES, cause, died),
        "lrf_months": _months(np.minimum(happened.locoregional_month, followed)),
        "locoregional_failure": locoregional.astype(float),
        "df_months": _months(np.minimum(happened.distant_month, followed)),
        "distant_failure": distant.astype(float),
        "feeding_tube_6m": _where(judged, happened.feeding_tube),
        "aspiration_6m": _where(judged, happened.aspiration),
    }


def _judged(happened: Trajectories) -> BoolArray:
    return np.asarray(happened.death_month > LANDMARK)


def _last_contact(year: FloatArray, draw: Draw, p: FollowUp) -> FloatArray:
    closing = (p.closing_year - year - draw("day_of_year")) * 12.0
    lost = p.earliest_loss - np.log1p(-draw("lost")) / p.loss_rate
    return np.minimum(closing, lost)


def _months(value: FloatArray) -> FloatArray:
    """Rounded up, so that a time is never 0 and an event never falls into an earlier hundredth."""
    return np.ceil(value * 100.0) / 100.0


def _where(known: BoolArray, value: FloatArray | BoolArray) -> FloatArray:
    return np.where(known, value, np.nan)


def _levels(levels: tuple[str, ...], index: IntArray, known: BoolArray) -> NDArray[np.object_]:
    named = np.array(levels, dtype=object)[index]
    named[~known] = None
    return np.asarray(named)


def _response(index: IntArray, known: BoolArray) -> NDArray[np.object_]:
    return _levels(RESPONSES, np.where(known, index, 0), known)


def _toxicities(prefix: str, happened: BoolArray, known: BoolArray) -> dict[str, FloatArray]:
    return {f"{prefix}_{site}": _where(known, happened[:, k]) for k, site in enumerate(TOXICITY_SITES)}
