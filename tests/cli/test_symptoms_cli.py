"""Ratings of symptoms on the command line, and the fit that they go into."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fixtures.cohorts import QUICK, at_baseline

from data.settings import Settings
from data.symptoms import SymptomTable
from data.synthetic import generate
from data.synthetic.symptoms import symptoms
from twin import fitting, workspace
from twin.cli.main import main
from twin.fitting import fit_twin
from twin.symptoms import SymptomModel, fit_symptoms
from twin.workspace import DEMONSTRATION, Workspace, open_workspace

PATIENTS = 150
"""Of the demonstration whose twin is fitted here."""
COHORT = "patient_id,age_years,sex,t_stage,n_stage,os_months,death\nA1,60,male,T2,N1,24,0\nA2,71,female,T3,N2,12,1\n"
RATINGS = "patient_id,item,week,rating\nA1,pain,0,3\nA1,pain,7,NA\nA2,dry_mouth,27,10\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own."""
    for name in ("TWIN_STORE", "TWIN_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def cohort(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The same, with a cohort of two patients."""
    assert main(["import", file(home, "cohort.csv", COHORT), "--cohort", "one"]) == 0
    capsys.readouterr()
    return home


def file(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_ratings_go_in_come_out_and_go_in_again(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings, out = file(cohort, "ratings.csv", RATINGS), cohort / "out.csv"
    assert main(["import-symptoms", ratings, "--cohort", "one", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["file"], report["exit"], report["rows"], report["kept"]) == (ratings, 0, 3, 3)
    assert main(["export-symptoms", "--cohort", "one", "--out", str(out)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["# gemina: synthetic=0 spec=oropharynx", "patient_id,item,week,rating"]
    assert {"A1,pain,0,3", "A2,dry_mouth,27,10"} < set(lines)
    capsys.readouterr()
    assert main(["import-symptoms", str(out), "--cohort", "one", "--json"]) == 1, "not overwritten unasked"
    assert "--replace" in capsys.readouterr().err
    assert main(["import-symptoms", str(out), "--cohort", "one", "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == report["digest"]
    acts = [entry.action for entry in open_workspace().store.audit()]
    assert acts == ["cohort.import", "symptoms.import", "symptoms.export", "symptoms.import"]
    assert main(["audit", "verify"]) == 0


def test_every_finding_is_listed_and_nothing_stored(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = file(cohort, "bad.csv", RATINGS.replace("A2,dry_mouth,27,10", "A3,thirst,28,11"))
    assert main(["import-symptoms", bad, "--cohort", "one", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert {(f["row"], f["column"]) for f in report["findings"]} == {
        (4, "patient_id"),
        (4, "item"),
        (4, "week"),
        (4, "rating"),
    }
    assert main(["import-symptoms", bad, "--cohort", "one"]) == 1
    assert "count weeks from the start of radiotherapy" in capsys.readouterr().out
    assert main(["export-symptoms", "--cohort", "one", "--out", str(cohort / "out.csv")]) == 1
    assert "no ratings" in capsys.readouterr().err
    assert not (cohort / "out.csv").exists()


def test_what_cannot_be_read_and_who_is_not_there(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(cohort / "absent.csv")
    assert main(["import-symptoms", absent, "--cohort", "one", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit"] == 2
    archive = cohort / "ratings.csv"
    archive.write_bytes(b"PK\x03\x04" + b"\x00" * 40)
    assert main(["import-symptoms", str(archive), "--cohort", "one"]) == 2
    for words in (["import-symptoms", absent], ["export-symptoms", "--out", "x.csv"]):
        assert main([*words, "--help"]) == 0
        assert main(words) == 64
    good = file(cohort, "ratings.csv", RATINGS)
    capsys.readouterr()
    for words in (["import-symptoms", good], ["export-symptoms", "--out", "x.csv"]):
        assert main([*words, "--cohort", "nobody"]) == 1
        assert (
            capsys.readouterr().err
            == "twin: unknown cohort 'nobody' (available: one): python -m twin cohorts lists them\n"
        )


def test_ratings_of_a_pseudonymised_cohort(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", file(home, "cohort.csv", COHORT), "--cohort", "one", "--pseudonymise"]) == 0
    ratings = file(home, "ratings.csv", RATINGS)
    assert main(["import-symptoms", ratings, "--cohort", "one"]) == 1
    assert main(["import-symptoms", ratings, "--cohort", "one", "--pseudonymise"]) == 0
    table = open_workspace().store.symptoms("one")
    assert table is not None
    assert len(table.patients) == 2
    assert not {"A1", "A2"} & set(table.patients)


# The fit


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An installation with a small demonstration, made once; its twin is fitted with few draws."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "DEMONSTRATION_PATIENTS", PATIENTS)
        patch.setattr(fitting, "fit_twin", lambda cohort, *_: fit_twin(cohort, QUICK))
        desk = at(folder)
        assert desk.prepare_demonstration()
    return desk


def at(folder: Path) -> Workspace:
    return Workspace(Settings.from_environment({"TWIN_HOME": str(folder)}))


def test_the_demonstration_has_ratings_and_a_model_of_them(demonstration: Workspace) -> None:
    synthetic, store = generate(PATIENTS), demonstration.store
    made, stored = symptoms(synthetic), store.symptoms(DEMONSTRATION)
    assert stored is not None
    assert stored.digest == made.digest
    assert store.load(DEMONSTRATION).synthetic
    assert "synthetic" in store.symptom_summary(DEMONSTRATION).source

    version = demonstration.serving_version(DEMONSTRATION)
    saved = demonstration.twin(version).symptoms
    expected = fit_symptoms(synthetic.cohort, made)
    assert saved is not None
    assert saved.ratings == made.digest
    patients = at_baseline(synthetic.cohort).head(30)
    pd.testing.assert_frame_equal(
        saved.curves(patients, "010").table(patients["patient_id"]),
        expected.curves(patients, "010").table(patients["patient_id"]),
        check_exact=True,
    )
    assert store.serving(DEMONSTRATION).summary["symptoms"] == {
        "fitted": True,
        "ratings": int(made.frame["rating"].notna().sum()),
        "ratings_digest": made.digest,
    }
    for path in (demonstration.settings.models_folder / version).iterdir():
        assert b"SYN-0" not in path.read_bytes()


def test_preparing_again_changes_nothing(demonstration: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "DEMONSTRATION_PATIENTS", PATIENTS)
    before = list(demonstration.store.audit())
    assert not demonstration.prepare_demonstration()
    assert list(demonstration.store.audit()) == before


def test_ratings_that_an_interrupted_start_left_out_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "DEMONSTRATION_PATIENTS", 30)
    monkeypatch.setattr(Workspace, "fit", lambda *_, **__: "none")
    desk, cohort = at(tmp_path), generate(30).cohort
    desk.store.import_cohort(DEMONSTRATION, cohort, source="x", mapping=None, report={}, actor="me")
    assert desk.prepare_demonstration()
    assert desk.store.symptom_summary(DEMONSTRATION) is not None


def test_other_patients_under_that_name_get_no_invented_ratings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "DEMONSTRATION_PATIENTS", 30)
    monkeypatch.setattr(Workspace, "fit", lambda *_, **__: "none")
    desk, cohort = at(tmp_path), generate(30, seed=1).cohort
    desk.store.import_cohort(DEMONSTRATION, cohort, source="x", mapping=None, report={}, actor="me")
    desk.prepare_demonstration()
    assert desk.store.symptoms(DEMONSTRATION) is None


def test_a_twin_is_fitted_whether_or_not_there_are_enough_ratings(
    demonstration: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(demonstration.twin(demonstration.serving_version(DEMONSTRATION)), symptoms=None)
    monkeypatch.setattr(fitting, "fit_twin", lambda *_: bare)
    store, cohort = demonstration.store, demonstration.store.load(DEMONSTRATION)
    whole = store.symptoms(DEMONSTRATION)
    few = SymptomTable(whole.questionnaire, whole.frame[whole.frame["item"] == "pain"].iloc[:19].reset_index(drop=True))
    store.import_cohort("few", cohort, source="x", mapping=None, report={}, actor="me")
    fitted = []
    for ratings in (None, few, whole):
        if ratings is not None:
            store.import_symptoms("few", ratings, source="x", report={}, replace=True, actor="me")
        version = demonstration.fit("few")
        fitted.append((version, demonstration.twin(version).symptoms, store.models("few")[0].summary.get("symptoms")))
    (first, none, nothing), (second, too_few, reason), (third, enough, _) = fitted
    assert none is None
    assert nothing is None
    assert too_few is None
    assert reason == {"fitted": False, "reason": "no symptom was rated by 20 patients of cohort 'few' in one week"}
    assert isinstance(enough, SymptomModel)
    assert first[-8:] == second[-8:] != third[-8:], "the version names the ratings that were fitted"
