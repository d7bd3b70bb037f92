"""A cohort as rows of JSON and back: a typed frame in, one text per patient out, and the identical frame again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

from data.cohort import Cohort, typed_frame
from data.errors import DamagedArtefact, Refused
from data.schema import Specification

_CHUNK: Final = 2_000
"""Patients turned into arrays at a time: as Python values they take fifty times the room."""


def check(cohort: Cohort) -> None:
    """Refuse what cannot be stored and read back as it was.

    Raises:
        Refused: no patients, columns outside the dictionary, an identifier missing or used twice, a number that is
            not finite, or a frame without the types of a cohort.
    """
    frame, spec = cohort.frame, cohort.spec
    if frame.empty:
        raise Refused("the cohort has no patients", remedy="import at least one row")
    foreign = [str(name) for name in frame.columns if name not in spec.by_name]
    if foreign or spec.key not in frame:
        named = f"unknown columns {', '.join(foreign)}" if foreign else f"no column {spec.key}"
        raise Refused(f"the cohort has {named}", remedy="map the file to the canonical columns first")
    identifiers = frame[spec.key]
    if identifiers.isna().any() or identifiers.eq("").any() or identifiers.duplicated().any():
        raise Refused("patients without an identifier of their own", remedy=f"give every row its own {spec.key}")
    if np.isinf(frame.select_dtypes("number").to_numpy()).any():
        raise Refused("the cohort has numbers that are not finite", remedy="correct them or leave the cells empty")
    if not frame.equals(typed_frame(frame, spec)):
        raise Refused("the frame has not the types and levels of a cohort", remedy="build it with typed_frame")


def pack(frame: pd.DataFrame) -> list[str]:
    """One JSON array per patient: values in the order of the columns, null where nothing is recorded.

    Numbers take their shortest form that reads back as the same float64.
    """
    columns = [_plain(frame[name]) for name in frame]
    return [orjson.dumps(values).decode() for values in zip(*columns, strict=True)]


def _plain(values: pd.Series) -> list[Any]:
    return values.astype(object).where(values.notna(), None).tolist()


def unpack(bodies: Sequence[str], columns: Sequence[str], spec: Specification) -> pd.DataFrame:
    """The typed frame of what `pack` wrote.

    Raises:
        DamagedArtefact: a body is no JSON array of one value per column.
    """
    try:
        chunks = [
            _arrays(bodies[start : start + _CHUNK], columns, spec) for start in range(0, max(len(bodies), 1), _CHUNK)
        ]
        values = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in columns}
        return typed_frame(pd.DataFrame(values), spec)
    except (ValueError, TypeError) as error:
        raise DamagedArtefact("stored patients cannot be read", remedy="import the cohort again") from error


def _arrays(bodies: Sequence[str], columns: Sequence[str], spec: Specification) -> dict[str, np.ndarray]:
    patients = orjson.loads("[" + ",".join(bodies) + "]")
    if len(patients) != len(bodies):
        raise ValueError("a body holds more than one patient")
    by_column = zip(*patients, strict=True) if patients else iter([()] * len(columns))
    return {
        name: np.array(cells, dtype=np.float64 if spec.column(name).is_numeric else object)
        for name, cells in zip(columns, by_column, strict=True)
    }
