"""Fitted twins in, folders of plain data with a manifest of hashes out, and back: the only loader of artefacts.

A folder holds `twin.json` (everything but numbers in bulk), `arrays.npz` and `manifest.json`. All files are verified
against the manifest before the first of them is opened, and nothing in them is ever run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter

from data.errors import Conflict, DamagedArtefact, NotFound, WrongUsage
from twin.arrays import Floats
from twin.prediction import FittedTwin

MANIFEST: Final = "manifest.json"
DOCUMENT: Final = "twin.json"
ARRAYS: Final = "arrays.npz"
FORMAT: Final = 5
"""Raised when older programs could not read what this one writes"""

_ARRAY: Final = "$array"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def versions(models_folder: Path) -> tuple[str, ...]:
    """The versions that are saved in `models_folder`, in alphabetical order."""
    if not models_folder.is_dir():
        return ()
    named = (entry for entry in models_folder.iterdir() if _NAME.fullmatch(entry.name))
    return tuple(sorted(entry.name for entry in named if (entry / MANIFEST).is_file()))


def save(twin: FittedTwin, models_folder: Path, version: str) -> Path:
    """Write `twin` as `version`, completely or not at all, and return its folder.

    Raises:
        WrongUsage: the version cannot be the name of a folder.
        Conflict: there is such a version; a version never changes.
    """
    if not _NAME.fullmatch(version):
        raise WrongUsage(f"model version '{version}'", remedy="use letters, digits, '.', '_' and '-'")
    target = models_folder / version
    if target.exists():
        raise _taken(version)
    models_folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=models_folder))
    try:
        for name, content in _files(twin.named(version)).items():
            write_new(draft / name, content)
        sync(draft)
        _publish(draft, target)
        sync(models_folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def load(models_folder: Path, version: str) -> FittedTwin:
    """The twin saved as `version`.

    Raises:
        NotFound: there is no such version; the message lists those there are.
        DamagedArtefact: a file is not what the manifest says; the message names it.
    """
    if version not in (available := versions(models_folder)):
        raise NotFound.named("model", version, available, "name one of these, or fit a cohort")
    folder = models_folder / version
    verified = _verified(folder, version)
    arrays = _read_arrays(folder / ARRAYS, verified[ARRAYS])
    try:
        return _adapter().validate_python(_joined(json.loads(verified[DOCUMENT]), arrays))
    except (ValueError, KeyError) as error:
        raise _damaged(folder / DOCUMENT, "a twin that this program can read", "another document") from error


def _read_arrays(path: Path, content: bytes) -> dict[str, Floats]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise _damaged(path, "arrays of numbers", str(error)) from error


@cache
def _adapter() -> TypeAdapter[FittedTwin]:
    return TypeAdapter(FittedTwin)


def _files(twin: FittedTwin) -> dict[str, bytes]:
    arrays: dict[str, Floats] = {}
    document = _split(_adapter().dump_python(twin), arrays, "twin")
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    files = {DOCUMENT: _canonical(document), ARRAYS: packed.getvalue()}
    return {**files, MANIFEST: _manifest(twin, files)}


def _split(value: Any, arrays: dict[str, Floats], path: str) -> Any:
    """`value` as plain JSON, its arrays moved to `arrays` under their path."""
    if isinstance(value, np.ndarray):
        arrays[path] = np.ascontiguousarray(value)
        return {_ARRAY: path}
    if isinstance(value, dict):
        return {key: _split(entry, arrays, f"{path}.{key}") for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_split(entry, arrays, f"{path}.{k}") for k, entry in enumerate(value)]
    return value


def _joined(value: Any, arrays: dict[str, Floats]) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return {key: _joined(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list):
        return tuple(_joined(entry, arrays) for entry in value)
    return value


def seal(models_folder: Path, version: str) -> str:
    """The seal of a saved version: it stands for every byte of it.

    Raises:
        NotFound: there is no such version.
        DamagedArtefact: a file is not what the manifest says.
    """
    if version not in (available := versions(models_folder)):
        raise NotFound.named("model", version, available, "name one of these, or fit a cohort")
    _verified(models_folder / version, version)
    return digest(_canonical(_read_manifest(models_folder / version / MANIFEST)))


def _manifest(twin: FittedTwin, files: dict[str, bytes]) -> bytes:
    said = {
        "format": FORMAT,
        "version": twin.version,
        "specification": {"name": twin.spec.name, "version": twin.spec.version},
        "cohort": {"name": twin.origin.cohort, "version": twin.origin.version, "digest": twin.origin.digest},
        "synthetic": twin.origin.synthetic,
        "seed": twin.origin.seed,
        "libraries": dict(twin.origin.libraries),
        "files": {name: {"sha256": digest(content), "bytes": len(content)} for name, content in files.items()},
    }
    return _canonical({**said, "seal": digest(_canonical(said))})


def _verified(folder: Path, version: str) -> dict[str, bytes]:
    """The content of every file of `folder`, once all of them are what the manifest says."""
    manifest = _read_manifest(folder / MANIFEST)
    if manifest.get("version") != version or manifest.get("format") != FORMAT:
        raise _damaged(folder / MANIFEST, f"format {FORMAT} of {version}", "another format or version")
    return verified_files(folder, manifest["files"], _damaged)


def verified_files(
    folder: Path, wanted: Mapping[str, Mapping[str, Any]], damaged: Callable[[Path, str, str], DamagedArtefact]
) -> dict[str, bytes]:
    """The content of every file of `folder`, once all of them, and no others, are what a manifest says.

    Args:
        folder: Holds the manifest, too.
        wanted: By name of the file, its ``sha256`` and ``bytes``.
        damaged: The error for a path, what was expected there and what was got.

    Raises:
        DamagedArtefact: a file is not what the manifest says.
    """
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST and path.name not in wanted:
            raise damaged(path, "no such file", "a file that the manifest does not name")
    contents = {}
    for name, said in wanted.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise damaged(path, f"a file of {said['bytes']} bytes", "none")
        content = path.read_bytes()
        if len(content) != said["bytes"]:
            raise damaged(path, f"{said['bytes']} bytes", f"{len(content)}")
        if digest(content) != said["sha256"]:
            raise damaged(path, f"SHA-256 {said['sha256']}", digest(content))
        contents[name] = content
    return contents


def _read_manifest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        said = {key: value for key, value in manifest.items() if key != "seal"}
        intact = content == _canonical(manifest) and manifest["seal"] == digest(_canonical(said))
    except (ValueError, AttributeError, KeyError):
        intact = False
    if not intact:
        raise _damaged(path, "a manifest under its seal", "something else")
    return said


def _damaged(path: Path, expected: str, got: str) -> DamagedArtefact:
    return DamagedArtefact(f"{path}: expected {expected}, got {got}", remedy="restore it, or fit the cohort again")


def _canonical(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def digest(content: bytes) -> str:
    """SHA-256 as text."""
    return hashlib.sha256(content).hexdigest()


def _publish(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if target.exists():  # somebody else saved this version meanwhile
            raise _taken(target.name) from None
        raise


def _taken(version: str) -> Conflict:
    return Conflict(f"model version '{version}' exists", remedy="a version never changes; save under another name")


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, to the disk.

    Raises:
        FileExistsError: it is there.
    """
    with path.open("xb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def sync(folder: Path) -> None:
    """See to it that the entries of a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
