"""Hazards of an illness-death course in, exact probabilities of its states out.

States: event-free, locoregional failure, distant failure, both, dead. Without a way back, and with constant hazards
in an interval, the occupancy at its end is a sum of exponentials (Andersen & Keiding 2002,
doi:10.1191/0962280202SM276ra); divided differences of the exponential keep the sums stable where hazards are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import exprel

from data.synthetic.draws import FloatArray
from data.synthetic.hazards import LANDMARK, BaselineHazard, LogHazards
from data.synthetic.parameters import Course


@dataclass(frozen=True, slots=True)
class Risks:
    """Probabilities of events by some month in those alive at `LANDMARK`."""

    death: FloatArray
    locoregional: FloatArray
    """Cumulative incidence, also after a distant failure; death competes."""
    distant: FloatArray
    """Cumulative incidence, also after a locoregional failure; death competes."""
    months: FloatArray
    """Expected months of life from `LANDMARK` to that month: restricted mean."""


@dataclass(frozen=True, slots=True)
class _Rates:
    """Hazards per month in one interval."""

    death: FloatArray
    locoregional: FloatArray
    distant: FloatArray
    locoregional_after_distant: FloatArray
    distant_after_locoregional: FloatArray
    death_after_locoregional: FloatArray
    death_after_distant: FloatArray
    death_after_both: FloatArray


@dataclass(frozen=True, slots=True)
class _Occupancy:
    """Probabilities of the living states, and the cumulative incidences and months of life so far."""

    free: FloatArray
    locoregional: FloatArray
    distant: FloatArray
    both: FloatArray
    ever_locoregional: FloatArray
    ever_distant: FloatArray
    months: FloatArray


def risks_at(log: LogHazards, months: Sequence[float], course: Course) -> list[Risks]:
    """Exact risks at each of `months` (ascending, none before `LANDMARK`)."""
    ratios = LogHazards(*(np.exp(part) for part in (log.death, log.locoregional, log.distant, log.after_failure)))
    shape = np.broadcast_shapes(log.death.shape, log.locoregional.shape, log.distant.shape)
    zero = np.zeros(shape)
    state = _Occupancy(np.ones(shape), zero, zero, zero, zero, zero, zero)
    month, results = LANDMARK, []
    for target in months:
        inside = [edge for edge in course.breaks if month < edge < target]
        for end in (*inside, target):
            if end > month:
                state = _advance(state, _rates(ratios, month, course), end - month)
            month = end
        results.append(_risks(state))
    return results


def _risks(state: _Occupancy) -> Risks:
    alive = state.free + state.locoregional + state.distant + state.both
    return Risks(1.0 - alive, state.ever_locoregional, state.ever_distant, state.months)


def _rates(ratios: LogHazards, month: float, c: Course) -> _Rates:
    """Hazards just after `month`, from hazard ratios (not their logarithms)."""
    locoregional = BaselineHazard(c.breaks, c.locoregional).rate(month) * ratios.locoregional
    distant = BaselineHazard(c.breaks, c.distant).rate(month) * ratios.distant
    after_failure = BaselineHazard(c.breaks, c.after_failure_shape).rate(month) * ratios.after_failure
    return _Rates(
        death=BaselineHazard(c.breaks, c.death).rate(month) * ratios.death,
        locoregional=locoregional,
        distant=distant,
        locoregional_after_distant=c.locoregional_after_distant * locoregional,
        distant_after_locoregional=c.distant_after_locoregional * distant,
        death_after_locoregional=c.death_after_locoregional * after_failure,
        death_after_distant=c.death_after_distant * after_failure,
        death_after_both=c.death_after_both * after_failure,
    )


def _advance(s: _Occupancy, r: _Rates, h: float) -> _Occupancy:
    """Occupancy after `h` months of constant hazards."""
    leave_free = r.death + r.locoregional + r.distant
    leave_lr = _apart(r.death_after_locoregional + r.distant_after_locoregional, leave_free, h)
    leave_dm = _apart(r.death_after_distant + r.locoregional_after_distant, leave_free, h)
    leave_both = r.death_after_both
    stay_lr, stay_dm, stay_both = np.exp(-leave_lr * h), np.exp(-leave_dm * h), np.exp(-leave_both * h)
    months_free, months_lr, months_dm = _months_in(leave_free, h), _months_in(leave_lr, h), _months_in(leave_dm, h)
    free_to_both = _divided(leave_free, leave_both, stay_both, h)
    lr_to_both = _divided(leave_lr, leave_both, stay_both, h)
    dm_to_both = _divided(leave_dm, leave_both, stay_both, h)
    to_lr, to_dm = s.free * r.locoregional, s.free * r.distant
    by_lr, by_dm = to_lr / (leave_lr - leave_free), to_dm / (leave_dm - leave_free)
    in_lr = s.locoregional * months_lr + by_lr * (months_free - months_lr)
    in_dm = s.distant * months_dm + by_dm * (months_free - months_dm)
    both = (
        s.both * stay_both
        + r.distant_after_locoregional * (s.locoregional * lr_to_both + by_lr * (free_to_both - lr_to_both))
        + r.locoregional_after_distant * (s.distant * dm_to_both + by_dm * (free_to_both - dm_to_both))
    )
    # Whoever came into the state and is no longer in it has left it at its constant rate.
    came_to_both = s.both + r.distant_after_locoregional * in_lr + r.locoregional_after_distant * in_dm
    in_both = (came_to_both - both) / leave_both
    return _Occupancy(
        free=s.free * np.exp(-leave_free * h),
        locoregional=s.locoregional * stay_lr + to_lr * _divided(leave_free, leave_lr, stay_lr, h),
        distant=s.distant * stay_dm + to_dm * _divided(leave_free, leave_dm, stay_dm, h),
        both=both,
        ever_locoregional=s.ever_locoregional
        + r.locoregional * s.free * months_free
        + r.locoregional_after_distant * in_dm,
        ever_distant=s.ever_distant + r.distant * s.free * months_free + r.distant_after_locoregional * in_lr,
        months=s.months + s.free * months_free + in_lr + in_dm + in_both,
    )


_SMALLEST_GAP = 1e-7
"""Rates of leaving, times duration, that are closer are set apart by it; the error is of that relative order."""


def _apart(rate: FloatArray, other: FloatArray, h: float) -> FloatArray:
    """`rate`, moved away from `other` where the two are too close to divide by their difference."""
    return np.where(np.abs(rate - other) * h < _SMALLEST_GAP, other + _SMALLEST_GAP / h, rate)


def _months_in(leave: FloatArray, h: float) -> FloatArray:
    """Expected months of the next `h` spent in a state that is left at this rate and not entered again."""
    return np.asarray(h * exprel(-leave * h))


def _divided(first: FloatArray, second: FloatArray, stay_second: FloatArray, h: float) -> FloatArray:
    """Divided difference of exp(-rate h): being in the second state at h, entered from the first at unit rate."""
    return np.asarray(stay_second * h * exprel((second - first) * h))
