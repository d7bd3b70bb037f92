import io
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort, structural_twin

from data.errors import Conflict, DamagedArtefact, NotFound, WrongUsage
from twin import registry

FILES = [registry.MANIFEST, registry.DOCUMENT, registry.ARRAYS]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    registry.save(structural_twin(), tmp_path / "models", "demo-1")
    return tmp_path / "models"


def test_a_loaded_twin_predicts_the_same_to_the_last_bit(models: Path) -> None:
    loaded = registry.load(models, "demo-1")
    patients = structural_cohort().frame.head(20)
    expected = structural_twin().named("demo-1").predict(patients, "all", [12, 60])
    pd.testing.assert_frame_equal(loaded.predict(patients, "all", [12, 60]), expected, check_exact=True)
    assert loaded.version == "demo-1"
    assert loaded.spec == structural_twin().spec
    assert loaded.capability == structural_twin().capability
    assert loaded.origin == structural_twin().origin


def test_the_manifest_says_where_the_twin_comes_from(models: Path) -> None:
    manifest = json.loads((models / "demo-1" / registry.MANIFEST).read_text())
    origin = structural_twin().origin
    assert manifest["cohort"] == {"name": origin.cohort, "version": origin.version, "digest": origin.digest}
    assert manifest["specification"] == {"name": "oropharynx", "version": 1}
    assert {"python", "numpy", "scikit-learn"} <= set(manifest["libraries"])
    assert set(manifest["files"]) == {registry.DOCUMENT, registry.ARRAYS}
    assert {path.name for path in (models / "demo-1").iterdir()} == set(FILES)


def test_no_identifier_of_a_patient_is_kept(models: Path) -> None:
    identifiers = structural_cohort().frame["patient_id"]
    for name in FILES:
        content = (models / "demo-1" / name).read_bytes()
        assert not any(identifier.encode() in content for identifier in identifiers)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_bit_is_refused_and_the_file_named(models: Path, name: str, where: float) -> None:
    path = models / "demo-1" / name
    content = bytearray(path.read_bytes())
    content[round(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedArtefact, match=name):
        registry.load(models, "demo-1")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(models: Path, name: str) -> None:
    path = models / "demo-1" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedArtefact, match=name):
        registry.load(models, "demo-1")


@pytest.mark.parametrize("name", [registry.DOCUMENT, registry.ARRAYS])
def test_a_missing_file_or_a_link_is_refused(models: Path, name: str) -> None:
    path = models / "demo-1" / name
    moved = path.rename(models / name)
    with pytest.raises(DamagedArtefact, match=name):
        registry.load(models, "demo-1")
    path.symlink_to(moved)
    with pytest.raises(DamagedArtefact, match=name):
        registry.load(models, "demo-1")


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("an artefact was unpickled",))


def test_a_pickle_beside_the_files_is_refused(models: Path) -> None:
    (models / "demo-1" / "model.pkl").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DamagedArtefact, match=r"model\.pkl"):
        registry.load(models, "demo-1")


def test_a_pickle_among_the_arrays_is_not_run_even_under_a_valid_seal(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    np.savez(packed, trap=np.array([Trap()], dtype=object))
    files = registry._files(structural_twin().named("evil-1"))
    forged = {registry.DOCUMENT: files[registry.DOCUMENT], registry.ARRAYS: packed.getvalue()}
    folder = models / "evil-1"
    folder.mkdir()
    for name, content in {
        **forged,
        registry.MANIFEST: registry._manifest(structural_twin().named("evil-1"), forged),
    }.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DamagedArtefact, match=registry.ARRAYS):
        registry.load(models, "evil-1")


def test_a_folder_under_another_name_is_refused(models: Path) -> None:
    (models / "demo-1").rename(models / "demo-2")
    with pytest.raises(DamagedArtefact, match="expected format 4 of demo-2"):
        registry.load(models, "demo-2")


def test_an_unknown_version_lists_those_there_are(models: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"unknown model 'demo-9' \(available: demo-1\)"):
        registry.load(models, "demo-9")
    with pytest.raises(NotFound, match="available: none"):
        registry.load(tmp_path / "nowhere", "demo-1")


def test_a_version_never_changes(models: Path) -> None:
    with pytest.raises(Conflict, match="model version 'demo-1' exists"):
        registry.save(structural_twin(), models, "demo-1")


@pytest.mark.parametrize("version", ["", "..", "../up", "a/b", ".hidden", "x" * 200])
def test_a_version_that_is_no_folder_name_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(WrongUsage):
        registry.save(structural_twin(), tmp_path, version)
    with pytest.raises(NotFound):
        registry.load(tmp_path, version)


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        registry.save(structural_twin(), tmp_path, "demo-1")
    assert list(tmp_path.iterdir()) == []
    assert registry.versions(tmp_path) == ()


def test_a_draft_of_a_killed_save_is_no_version(models: Path) -> None:
    draft = models / ".draft-killed"
    draft.mkdir()
    (draft / registry.MANIFEST).write_text("{}")
    assert registry.versions(models) == ("demo-1",)
