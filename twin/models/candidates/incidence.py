"""Hazards of an event and of its rival by cell in, cumulative incidence out."""

from __future__ import annotations

import numpy as np

from twin.arrays import Floats


def cumulative_incidence(event: Floats, rival: Floats | None) -> Floats:
    """Risk of the event by each edge of the cells, for somebody who is free of both at the first.

    Over each cell whoever is still free leaves with probability ``1 - exp(-sum of both)``, split between the causes as
    their hazards are (Aalen & Johansen 1978, Scand J Stat 5:141-150). Without a rival this is ``1 - exp(-sum)``.

    Args:
        event: (..., cells) cumulative hazard over each cell, at least 0.
        rival: (..., cells) of the event that forestalls it; ``None`` when there is none.

    Returns:
        (..., cells + 1), 0 at the first edge
    """
    total = event if rival is None else event + rival
    passed = np.zeros((*total.shape[:-1], total.shape[-1] + 1))
    np.cumsum(total, axis=-1, out=passed[..., 1:])
    if rival is None:
        return np.asarray(-np.expm1(-passed))
    free = np.exp(-passed)
    share = np.divide(event, total, out=np.zeros_like(total), where=total > 0)
    risk = np.zeros_like(passed)
    np.cumsum((free[..., :-1] - free[..., 1:]) * share, axis=-1, out=risk[..., 1:])
    return risk
