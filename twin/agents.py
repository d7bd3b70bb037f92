"""Agents of saved models in, folders of plain data beside the models out, and back; and where their training stands.

Within the folder of models lies ``agents/<model version>/<number>``, numbered in the order of saving; the newest
serves. Each holds `agent.json`, `agent.safetensors` and `manifest.json`, which names the hash of each file and the seal
of the model that the agent was trained for. All is verified before it is read, and nothing in it is ever run: the
network is built in code. A checkpoint is one file whose name is its hash.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from data.errors import DamagedArtefact
from twin.policy.agent import Agent, Network
from twin.policy.checkpoint import Checkpoint
from twin.policy.observation import Layout, Singles
from twin.registry import MANIFEST, digest, sync, verified_files, write_new

FORMAT: Final = 1
"""Raised when older programs could not read what this one writes"""
DOCUMENT: Final = "agent.json"
ARRAYS: Final = "agent.safetensors"
_CHECKPOINT: Final = "checkpoint-"
_SUFFIX: Final = ".safetensors"
_SAID: Final = "document"
"""Name of the array of bytes that holds the document of a checkpoint"""


def save_agent(folder: Path, model: str, model_seal: str, agent: Agent) -> int:
    """Keep an agent, completely or not at all, under the next free number.

    Args:
        folder: Of all agents of this installation.
        model: Version.
        model_seal: As by `twin.registry.seal`.
        agent: For that model.
    """
    files = {
        DOCUMENT: _as_bytes({"layout": agent.layout.as_dict(), "training": agent.document}),
        ARRAYS: safetensors.numpy.save(_contiguous(agent.network.arrays)),
    }
    said = {
        "format": FORMAT,
        "model": model,
        "model_seal": model_seal,
        "files": {name: {"sha256": digest(content), "bytes": len(content)} for name, content in files.items()},
    }
    files[MANIFEST] = _as_bytes({**said, "seal": digest(_as_bytes(said))})
    of_model = folder / model
    of_model.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=of_model))
    try:
        for name, content in files.items():
            write_new(draft / name, content)
        sync(draft)
        number = _publish(draft, of_model)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    sync(of_model)
    return number


def newest(folder: Path, model: str) -> int:
    """Number of the newest agent of a model; 0 where it has none."""
    return max(_numbers(folder / model), default=0)


def load_agent(folder: Path, model: str, model_seal: str) -> Agent | None:
    """The newest agent of a model; ``None`` where it has none.

    Args:
        folder: Of all agents of this installation.
        model: Version.
        model_seal: That of the model as it is now; agents of anything else are refused.

    Raises:
        DamagedArtefact: a file is not what was saved, or the agent is another model's; the message names the file.
    """
    number = newest(folder, model)
    if not number:
        return None
    of_agent = folder / model / str(number)
    contents = _verified(of_agent, model, model_seal)
    try:
        document = json.loads(contents[DOCUMENT])
        layout = Layout.from_dict(document["layout"])
        agent = Agent(layout, _network(contents[ARRAYS], layout), document["training"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(of_agent / DOCUMENT, "an agent that this program can read", str(error)) from error
    return agent


def _network(content: bytes, layout: Layout) -> Network:
    network = Network.from_arrays(safetensors.numpy.load(content))
    if network.weights[0].shape[1] != layout.size or network.scale.shape[1] != len(layout.outcomes):
        raise ValueError("a network for another layout")
    return network


def save_checkpoint(folder: Path, model: str, model_seal: str, checkpoint: Checkpoint) -> None:
    """Keep where the training for a model stands, in place of what was kept before, completely or not at all."""
    said = {"format": FORMAT, "model": model, "model_seal": model_seal, "training": checkpoint.as_dict()}
    document = np.frombuffer(_as_bytes(said), dtype=np.uint8)
    content = safetensors.numpy.save({**_contiguous(checkpoint.arrays), _SAID: document})
    of_model = folder / model
    of_model.mkdir(parents=True, exist_ok=True)
    earlier = _checkpoints(of_model)
    target = of_model / f"{_CHECKPOINT}{digest(content)}{_SUFFIX}"
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=of_model) as draft:
        written = Path(draft) / target.name
        write_new(written, content)
        written.replace(target)
    sync(of_model)
    for path in earlier:
        if path != target:
            path.unlink(missing_ok=True)


def load_checkpoint(folder: Path, model: str, model_seal: str) -> Checkpoint | None:
    """Where the training for a model stands; ``None`` where none was begun, or it was completed.

    Raises:
        DamagedArtefact: the file is not what was saved, or is about another model.
    """
    found = _checkpoints(folder / model)
    if not found:
        return None
    path = found[-1]
    content = path.read_bytes()
    if path.name != f"{_CHECKPOINT}{digest(content)}{_SUFFIX}":
        raise _damaged(path, "the content that its name stands for", digest(content))
    try:
        arrays = safetensors.numpy.load(content)
        said = json.loads(arrays.pop(_SAID).tobytes())
        if (said["format"], said["model"], said["model_seal"]) != (FORMAT, model, model_seal):
            raise _damaged(path, f"training for {model} as it is", "another")
        return Checkpoint.from_parts(said["training"], arrays)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(path, "a checkpoint that this program can read", str(error)) from error


def discard_checkpoint(folder: Path, model: str) -> None:
    """Forget where the training for a model stands."""
    for path in _checkpoints(folder / model):
        path.unlink(missing_ok=True)


def _verified(of_agent: Path, model: str, model_seal: str) -> dict[str, bytes]:
    """The content of every file, once all of them are what the manifest says."""
    manifest = _manifest(of_agent / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("model") != model:
        raise _damaged(of_agent / MANIFEST, f"format {FORMAT} of {model}", "another format or model")
    if manifest.get("model_seal") != model_seal:
        raise _damaged(of_agent / MANIFEST, f"an agent for {model} as it is", "one for another model")
    if set(manifest["files"]) != {DOCUMENT, ARRAYS}:
        raise _damaged(of_agent / MANIFEST, f"{DOCUMENT} and {ARRAYS}", ", ".join(sorted(manifest["files"])))
    return verified_files(of_agent, manifest["files"], _damaged)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        intact = said.pop("seal") == digest(_as_bytes(said))
    except (OSError, ValueError, AttributeError, KeyError):
        raise _damaged(path, "a manifest under its seal", "something else") from None
    if not intact:
        raise _damaged(path, "a manifest under its seal", "something else")
    return said


def _publish(draft: Path, of_model: Path) -> int:
    number = max(_numbers(of_model), default=0) + 1
    while True:
        try:
            draft.rename(of_model / str(number))
        except OSError:
            if not (of_model / str(number)).exists():
                raise
            number += 1  # somebody else took the number meanwhile
        else:
            return number


def _numbers(of_model: Path) -> list[int]:
    entries = of_model.iterdir() if of_model.is_dir() else ()
    return [int(entry.name) for entry in entries if entry.name.isdecimal() and entry.is_dir()]


def _checkpoints(of_model: Path) -> list[Path]:
    """Oldest first; more than one only where saving was cut short."""
    return sorted(of_model.glob(f"{_CHECKPOINT}*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)


def _contiguous(arrays: Mapping[str, Singles]) -> dict[str, Singles]:
    return {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}


def _as_bytes(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _damaged(path: Path, expected: str, got: str) -> DamagedArtefact:
    return DamagedArtefact(f"{path}: expected {expected}, got {got}", remedy="remove it and train again")
