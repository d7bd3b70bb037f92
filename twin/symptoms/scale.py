"""A table of patients in, the same out if every number stands on the dictionary's scale: a dose in cGy is refused."""

from __future__ import annotations

import pandas as pd

from data.errors import Refused
from data.remedies import remedy_for_number
from data.schema import Specification


def on_scale(frame: pd.DataFrame, spec: Specification) -> pd.DataFrame:
    """`frame` itself.

    Cohort and patient are compared in one unit system by construction: both are read through the dictionary, whose
    bounds no value in another unit passes unseen.

    Raises:
        Refused: a number lies outside the bounds of its column; names the column, its unit and the value.
    """
    for column in spec.columns:
        if column.name not in frame or not column.is_numeric or column.minimum is None:
            continue
        values = frame[column.name].to_numpy(dtype=float)
        outside = (values < column.minimum) | (values > (column.maximum or 0.0))
        if outside.any():
            got = float(values[outside][0])
            raise Refused(
                f"{column.name}: expected {column.expected()}, got {got:g} (in {int(outside.sum())} of {len(values)} "
                "patients)",
                remedy=remedy_for_number(got, column),
            )
    return frame
