"""A cohort as a typed table: canonical columns, one dtype a column type, one canonical text form."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from data.schema import Column, ColumnType, Specification


class TimeZero(StrEnum):
    """From when survival times are counted."""

    TREATMENT_START = "treatment_start"
    DIAGNOSIS = "diagnosis"


@dataclass(frozen=True)
class Cohort:
    """Patients of one disease in canonical columns.

    `frame` has one row per patient in file order and a fresh 0..n-1 index; its columns are a subset of the
    dictionary's, in that order. Numbers, integers and flags are float64 (NaN: missing), categories are pandas
    categoricals with the dictionary's levels, text is object (``None``: missing).
    """

    spec: Specification
    frame: pd.DataFrame
    time_zero: TimeZero = TimeZero.TREATMENT_START
    synthetic: bool = False
    """Whether the patients are invented; shown wherever the cohort is."""
    name: str = ""
    version: int = 0
    """Version in the store; 0 for a cohort that is not stored."""

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.frame)

    def records(self, column: str) -> bool:
        """Whether anything was ever recorded in `column`."""
        return column in self.frame and bool(self.frame[column].notna().any())


def typed_frame(values: pd.DataFrame, spec: Specification) -> pd.DataFrame:
    """`values`, already valid, with the dtypes of a cohort and the columns in dictionary order."""
    columns = [column for column in spec.columns if column.name in values]
    return pd.DataFrame({column.name: _typed(values[column.name], column) for column in columns}).reset_index(drop=True)


def _typed(values: pd.Series, column: Column) -> pd.Series:
    if column.is_numeric:
        return pd.Series(pd.to_numeric(values), dtype=np.float64)
    if column.type is ColumnType.CATEGORY:
        return pd.Series(pd.Categorical(values, categories=list(column.levels)), index=values.index)
    return values.astype(object).where(values.notna(), None)


def canonical_text(frame: pd.DataFrame, spec: Specification) -> pd.DataFrame:
    """The cells of a cohort as text, missing as the empty text; columns without any value are left out.

    Numbers take the shortest form that reads back as the same float64; whole numbers have no decimal point.
    """
    recorded = [column for column in spec.columns if column.name in frame and frame[column.name].notna().any()]
    return pd.DataFrame({column.name: _as_text(frame[column.name]) for column in recorded}, dtype=object)


def _as_text(values: pd.Series) -> pd.Series:
    if values.dtype == np.float64:
        codes, unique = pd.factorize(values.to_numpy(), use_na_sentinel=True)
        texts = np.array([*(_number_text(value) for value in unique), ""], dtype=object)
        return pd.Series(texts[codes], index=values.index)
    return values.astype(object).where(values.notna(), "")


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def content_digest(frame: pd.DataFrame, spec: Specification) -> str:
    """SHA-256 of the canonical content: equal exactly when two cohorts hold the same values in the same order."""
    text = canonical_text(frame, spec)
    hasher = hashlib.sha256("\x1f".join(text.columns).encode())
    for row in text.itertuples(index=False, name=None):
        hasher.update(b"\x1e" + "\x1f".join(row).encode())
    return hasher.hexdigest()
