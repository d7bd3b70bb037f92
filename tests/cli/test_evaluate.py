"""`evaluate` and `card` as a script sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.cohorts import with_lost_events

from data.cohort import canonical_text
from twin.cli.main import main
from twin.workspace import open_workspace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own."""
    for name in ("TWIN_STORE", "TWIN_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    return tmp_path


def cohort_file(folder: Path, name: str, seed: int, rate: float) -> str:
    """Patients with constant hazards that rise with age."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60.0, 9.0, 160).clip(30, 90).round(1)
    death = rng.exponential(1.0 / (rate * np.exp(0.05 * (age - 60.0))))
    end = rng.uniform(20.0, 110.0, 160)
    rows = [
        f"{name}{k},{age[k]},{'male' if k % 3 else 'female'},T{1 + k % 3},N{k % 3},"
        f"{min(death[k], end[k]):.2f},{int(death[k] <= end[k])}"
        for k in range(160)
    ]
    path = folder / f"{name}.csv"
    path.write_text(
        "patient_id,age_years,sex,t_stage,n_stage,os_months,death\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    return str(path)


@pytest.fixture
def fitted(home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The version of a twin of cohort `here`; cohort `there` has three times the hazard."""
    for name, seed, rate in (("here", 1, 0.012), ("there", 2, 0.036)):
        assert main(["import", cohort_file(home, name, seed, rate), "--cohort", name]) == 0
    assert main(["fit", "--cohort", "here", "--no-compare"]) == 0
    return capsys.readouterr().out.splitlines()[-1].strip()


def test_own_cohort_other_cohort_and_card(fitted: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--cohort", "here", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert (own["kind"], own["model"], own["drift"]) == ("cross-validation", fitted, None)
    assert set(own["outcomes"]) == {"death"}
    assert {one["what"] for one in own["not_evaluated"]} >= {"policy", "locoregional_failure"}

    assert main(["evaluate", "--cohort", "there", "--model", fitted, "--json"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert there["kind"] == "external validation"
    assert there["drift"]["outcomes"]["death"]["observed_over_expected"]["lower"] > 1.0
    assert "death" in {flag["subject"] for flag in there["drift"]["flags"] if flag["severity"] == "alert"}
    assert "ridge_cox" in there["outcomes"]["death"]["models"]

    assert main(["evaluate", "--cohort", "there", "--model", fitted]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Model {fitted}\nHas cohort there moved from here")
    assert "ALERT: Death: more than the model states" in text

    saved = open_workspace().evaluations(fitted)
    assert [one.number for one in saved] == [1, 2, 3]
    assert saved[0].document == own
    assert saved[1].document == there

    out = home / "card.md"
    assert main(["card", "--model", fitted, "--out", str(out)]) == 0
    assert "from 3 evaluations" in capsys.readouterr().out
    card = out.read_text(encoding="utf-8")
    assert f"# Model card: Oropharyngeal cancer, {fitted}" in card
    assert "SYNTHETIC" not in card
    assert "### there, version 1: 160 patients" in card
    assert main(["audit", "verify"]) == 0
    acts = [entry.action for entry in open_workspace().store.audit()]
    assert acts.count("model.evaluate") == 3


def test_an_outcome_that_is_not_predicted_is_named_wherever_it_is_missing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failures of patients whose decisions are not recorded teach no fit: fit, predict, evaluate and card say so."""
    cohort, out = with_lost_events(), home / "out"
    canonical_text(cohort.frame, cohort.spec).to_csv(home / "lost.csv", index=False)
    assert main(["import", str(home / "lost.csv"), "--cohort", "lost"]) in (0, 3)
    capsys.readouterr()
    said = "8 events in this cohort (without 6 events of patients with a decision that is not recorded)"
    assert main(["fit", "--cohort", "lost", "--no-compare"]) == 0
    fitted = capsys.readouterr()
    assert f"Locoregional failure is not predicted: {said}" in fitted.err
    version = fitted.out.strip()
    (home / "new.csv").write_text("patient_id,age_years,sex,t_stage,n_stage\nA,60,male,T2,N1\n", encoding="utf-8")
    assert main(["predict", "--model", version, "--patients", str(home / "new.csv"), "--out", str(out)]) in (0, 3)
    assert f"Locoregional failure is not predicted: {said}" in capsys.readouterr().err
    assert main(["evaluate", "--cohort", "lost", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["outcomes"]) == {"death"}
    (reason,) = [one["reason"] for one in found["not_evaluated"] if one["what"] == "locoregional_failure"]
    assert reason.startswith(said)
    assert main(["card", "--model", version, "--out", str(out)]) == 0
    assert f"* Locoregional failure: {said}" in out.read_text(encoding="utf-8")


def ratings_file(folder: Path, worse: int) -> str:
    """Ratings of cohort `here` that rise with age, some of them `worse` by so many points."""
    ages = [line.split(",")[:2] for line in Path(cohort_file(folder, "here", 1, 0.012)).read_text().splitlines()[1:]]
    rng = np.random.default_rng(0)
    rows = [
        f"{patient},{week},{item},{int(np.clip(rng.normal(0.2 * (float(age) - 50.0), 1.0), 0, 8).round()) + worse}"
        for patient, age in ages
        for week in (0, 7)
        for item in ("pain", "fatigue")
    ]
    path = folder / "ratings.csv"
    path.write_text("patient_id,week,item,rating\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def test_ratings_that_taught_the_model_are_evaluated_and_others_are_not(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", cohort_file(home, "here", 1, 0.012), "--cohort", "here"]) == 0
    assert main(["import-symptoms", ratings_file(home, 0), "--cohort", "here"]) == 0
    assert main(["fit", "--cohort", "here", "--no-compare"]) == 0
    version = capsys.readouterr().out.splitlines()[-1].strip()
    assert main(["evaluate", "--cohort", "here", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["symptoms"]["overall"]["ratings"] == 4 * 160
    assert found["symptoms"]["overall"]["difference"]["upper"] < 0.0
    (kept,) = open_workspace().evaluations(version)
    assert kept.document["symptoms"] == found["symptoms"]

    assert main(["import-symptoms", ratings_file(home, 1), "--cohort", "here", "--replace"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--cohort", "here", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["symptoms"] is None
    reasons = {one["what"]: one["reason"] for one in found["not_evaluated"]}
    assert reasons["symptoms over time"] == "no ratings that its model learnt from are at hand"


def test_a_card_of_what_was_never_evaluated_says_so(
    fitted: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", "--model", fitted, "--out", str(home / "card.md")]) == 0
    assert "nothing was evaluated yet" in capsys.readouterr().err
    assert "It was not evaluated." in (home / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--cohort", "nobody"],
        ["evaluate", "--cohort", "here", "--model", "none-1"],
        ["evaluate", "--cohort", "there"],
        ["card", "--model", "none-1", "--out", "card.md"],
    ],
)
def test_what_is_not_there_is_refused_in_one_line(
    words: list[str], fitted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "unknown" in error or "no fitted twin" in error


def test_a_damaged_evaluation_is_refused_by_name(fitted: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--cohort", "here"]) == 0
    path = home / "home" / "evaluations" / fitted / "1.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"death"', '"birth"', 1), encoding="utf-8")
    capsys.readouterr()
    assert main(["card", "--model", fitted, "--out", str(home / "card.md")]) == 1
    assert "1.json" in capsys.readouterr().err


def test_a_damaged_model_is_not_evaluated(fitted: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "home" / "models" / fitted / "twin.json"
    path.write_bytes(path.read_bytes().replace(b"death", b"birth", 1))
    assert main(["evaluate", "--cohort", "here"]) == 1
    assert "twin.json" in capsys.readouterr().err
