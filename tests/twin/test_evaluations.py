"""Evaluations kept with a version: complete, numbered, sealed, and never of another model."""

import json
from pathlib import Path

import pytest

from data.errors import DamagedArtefact
from twin.evaluations import save_evaluation, saved_evaluations

DOCUMENT = {"kind": "cross-validation", "outcomes": {"death": {"value": 0.1 + 0.2, "none": None, "name": "Zoë"}}}


def test_what_is_saved_is_read_back_in_the_order_of_saving(tmp_path: Path):
    first = save_evaluation(tmp_path, "model-1", "seal", DOCUMENT)
    second = save_evaluation(tmp_path, "model-1", "seal", {"b": 2, "a": 1})
    save_evaluation(tmp_path, "model-2", "seal", {})
    found = saved_evaluations(tmp_path, "model-1", "seal")
    assert [one.number for one in found] == [first.number, second.number] == [1, 2]
    assert found[0].document == DOCUMENT
    assert list(found[1].document) == ["b", "a"]
    assert saved_evaluations(tmp_path, "model-3") == ()


def test_nothing_but_the_evaluations_is_left_behind(tmp_path: Path):
    save_evaluation(tmp_path, "model-1", "seal", DOCUMENT)
    assert [path.name for path in (tmp_path / "model-1").iterdir()] == ["1.json"]


def test_a_number_that_is_taken_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_evaluation(tmp_path, "model-1", "seal", {"first": True})
    monkeypatch.setattr("twin.evaluations._numbers", lambda folder: [])
    saved = save_evaluation(tmp_path, "model-1", "seal", {"second": True})
    monkeypatch.undo()
    assert saved.number == 2
    assert [list(one.document) for one in saved_evaluations(tmp_path, "model-1")] == [["first"], ["second"]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.30000000000000004", "0.9"),
        lambda text: text.replace("cross-validation", "external validation"),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"number": 1', '"number": 7'),
    ],
)
def test_a_changed_file_is_refused_by_name(tmp_path: Path, damage):
    save_evaluation(tmp_path, "model-1", "seal", DOCUMENT)
    path = tmp_path / "model-1" / "1.json"
    before = path.read_text(encoding="utf-8")
    path.write_text(damage(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    with pytest.raises(DamagedArtefact, match=r"1\.json"):
        saved_evaluations(tmp_path, "model-1")


def test_an_evaluation_of_another_model_is_refused(tmp_path: Path):
    save_evaluation(tmp_path, "model-1", "seal", DOCUMENT)
    (tmp_path / "model-2").mkdir()
    copy = (tmp_path / "model-1" / "1.json").read_bytes()
    (tmp_path / "model-2" / "1.json").write_bytes(copy)
    with pytest.raises(DamagedArtefact):
        saved_evaluations(tmp_path, "model-2")
    with pytest.raises(DamagedArtefact, match="an evaluation of model-1 as it is"):
        saved_evaluations(tmp_path, "model-1", "another seal")


def test_a_document_that_is_no_json_is_not_saved(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_evaluation(tmp_path, "model-1", "seal", {"value": float("nan")})
    assert list((tmp_path / "model-1").iterdir()) == []


def test_the_file_is_plain_json(tmp_path: Path):
    save_evaluation(tmp_path, "model-1", "seal", DOCUMENT)
    document = json.loads((tmp_path / "model-1" / "1.json").read_text(encoding="utf-8"))
    assert document["document"] == DOCUMENT
    assert document["model"] == "model-1"
