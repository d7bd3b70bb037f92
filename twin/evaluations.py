"""Evaluations of saved models in, sealed files beside the models out, and back.

A version of a model never changes, so that what is learnt of it later is kept apart: one JSON file an evaluation, in a
folder per version, numbered in the order of saving. Each file holds the seal of the model that it is about and a seal
of its own; both are verified before it is read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from data.errors import DamagedArtefact
from twin.registry import digest, sync, write_new

FORMAT: Final = 1
"""Raised when older programs could not read what this one writes"""
_SUFFIX: Final = ".json"


@dataclass(frozen=True)
class SavedEvaluation:
    """One evaluation of one version of a model."""

    model: str
    model_seal: str
    """Of the model's manifest when it was evaluated"""
    number: int
    """1 for the first of the version"""
    saved_at: str
    """ISO 8601, UTC"""
    document: Mapping[str, Any]
    """As `evaluate --json` prints it"""


def save_evaluation(folder: Path, model: str, model_seal: str, document: Mapping[str, Any]) -> SavedEvaluation:
    """Keep an evaluation, completely or not at all, under the next free number.

    Args:
        folder: Of all evaluations of this installation.
        model: Version.
        model_seal: As by `twin.registry.seal`.
        document: Plain JSON without NaN.
    """
    of_model = folder / model
    of_model.mkdir(parents=True, exist_ok=True)
    saved_at = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=of_model) as draft:
        number = max(_numbers(of_model), default=0) + 1
        while True:
            saved = SavedEvaluation(model, model_seal, number, saved_at, document)
            written = Path(draft) / f"{number}{_SUFFIX}"
            write_new(written, _sealed(saved))
            try:
                os.link(written, of_model / written.name)
            except FileExistsError:  # somebody else took the number meanwhile
                number += 1
            else:
                break
    sync(of_model)
    return saved


def saved_evaluations(folder: Path, model: str, model_seal: str | None = None) -> tuple[SavedEvaluation, ...]:
    """The evaluations of a version, oldest first, each verified.

    Args:
        folder: Of all evaluations of this installation.
        model: Version.
        model_seal: That of the model as it is now; where given, evaluations of anything else are refused.

    Raises:
        DamagedArtefact: a file is not what was saved, or is about another model than it says.
    """
    found = [_read(folder / model / f"{number}{_SUFFIX}", model) for number in sorted(_numbers(folder / model))]
    for one in found:
        if model_seal is not None and one.model_seal != model_seal:
            raise _damaged(folder / model / f"{one.number}{_SUFFIX}", f"an evaluation of {model} as it is", "another")
    return tuple(found)


def _numbers(of_model: Path) -> list[int]:
    named = of_model.glob(f"*{_SUFFIX}") if of_model.is_dir() else ()
    return [int(path.stem) for path in named if path.stem.isdecimal()]


def _sealed(saved: SavedEvaluation) -> bytes:
    said = {"format": FORMAT, **vars(saved)}
    return _as_bytes({**said, "seal": digest(_as_bytes(said))})


def _as_bytes(document: Any) -> bytes:
    """JSON in the order of the document: that of the specification, with the twin before the models beside it."""
    return (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def _read(path: Path, model: str) -> SavedEvaluation:
    try:
        said = json.loads(path.read_bytes())
        seal = said.pop("seal")
        intact = seal == digest(_as_bytes(said)) and said.pop("format") == FORMAT
        saved = SavedEvaluation(**said)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise _damaged(path, "an evaluation under its seal", "something else") from None
    if not intact or saved.model != model or f"{saved.number}{_SUFFIX}" != path.name:
        raise _damaged(path, "an evaluation under its seal", "something else")
    return saved


def _damaged(path: Path, expected: str, got: str) -> DamagedArtefact:
    return DamagedArtefact(f"{path}: expected {expected}, got {got}", remedy="remove it and evaluate again")
