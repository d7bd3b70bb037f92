"""A table of many diseases in, the rows of the one that a specification is about out, where a column names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from data.mapping.model import Unresolved
from data.names import normalised
from data.reader.table import BoolArray, RawTable, TextColumn
from data.schema import Specification

_GENERIC: Final = frozenset(
    {"cancer", "carcinoma", "ca", "scc", "squamous", "cell", "of", "the", "primary", "tumor", "tumour"}
)
"""Words that may stand beside the name of a disease without changing which one it is."""


@dataclass(frozen=True)
class Disease:
    """Which rows are about the disease."""

    rows: BoolArray
    filter: dict[str, tuple[str, ...]]
    """Filter of a mapping: the cells that name the disease, by their column; empty where none is needed."""
    questions: tuple[Unresolved, ...] = ()


def disease_filter(table: RawTable, spec: Specification) -> Disease:
    """The rows of the disease of `spec`, told by the only column whose cells name it in some rows and not in others."""
    every_row = np.ones(table.size, dtype=np.bool_)
    naming = {name: _naming(cells, spec) for name, cells in table.columns.items()}
    naming = {name: cells for name, cells in naming.items() if cells}
    deciding = {
        name: cells
        for name, cells in naming.items()
        if not set(filter(None, table.columns[name].frequencies())) <= set(cells)
    }
    if len(deciding) > 1:
        reason = f"several columns could tell which rows are {spec.label.lower()}: {', '.join(deciding)}"
        return Disease(every_row, {}, tuple(Unresolved(column=name, reason=reason) for name in deciding))
    if not deciding:
        return Disease(every_row, {})
    [(name, cells)] = deciding.items()
    return Disease(table.columns[name].mask(set(cells).__contains__), {name: tuple(cells)})


def _naming(cells: TextColumn, spec: Specification) -> list[str]:
    terms = {normalised(term) for term in spec.disease_terms}
    return [text for text in cells.frequencies() if _names_disease(text, terms)]


def _names_disease(text: str, terms: set[str]) -> bool:
    words = normalised(text)
    return words in terms or " ".join(word for word in words.split() if word not in _GENERIC) in terms
