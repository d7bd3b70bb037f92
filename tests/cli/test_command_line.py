"""The command line as a script sees it: words in, exit codes and files out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from twin.cli.main import main

GOOD = "patient_id,age_years,sex,t_stage,n_stage,os_months,death\nA1,60,male,T2,N1,24,0\nA2,71,female,T3,N2,12,1\n"
BAD_AGE = GOOD.replace("71", "710")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own."""
    for name in ("TWIN_STORE", "TWIN_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    return tmp_path


def file(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("words", [["nonsense"], ["check"], ["fit"], ["fit", "--cohort", "x", "--seed", "many"], []])
def test_wrong_usage_exits_64_with_one_line(words: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_every_command_has_help(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        "init", "synth", "template", "suggest-mapping", "check", "import", "export", "import-symptoms",
        "export-symptoms", "cohorts", "models", "delete", "fit", "evaluate", "predict", "recommend", "explain",
        "similar", "report", "audit", "serve",
    ]  # fmt: skip
    for command in commands:
        assert main([command, "--help"]) == 0, command
        assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("command", ["explain", "similar", "report"])
def test_commands_of_later_versions_say_which(command: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--cohort", "demonstration", "--patients", "x.csv"]) == 1
    assert "version 0." in capsys.readouterr().err


def test_check_of_several_files_lists_each_and_ends_with_the_worst(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = file(home, "good.csv", GOOD), file(home, "bad.csv", BAD_AGE)
    absent = str(home / "absent.csv")

    code = main(["check", good, bad, absent, "--json"])

    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 2
    assert [report["exit"] for report in reports] == [0, 1, 2]
    assert [report["file"] for report in reports] == [good, bad, absent]
    (finding,) = [found for found in reports[1]["findings"] if found["severity"] == "error"]
    assert (finding["row"], finding["column"]) == (3, "age_years")


def test_import_export_import_gives_the_same_cohort(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, out = file(home, "good.csv", GOOD), str(home / "out.csv")
    assert main(["import", good, "--cohort", "first", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["export", "--cohort", "first", "--out", out]) == 0
    capsys.readouterr()
    assert main(["import", out, "--cohort", "second", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == first["digest"]


def test_an_import_with_an_error_stores_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", file(home, "bad.csv", BAD_AGE), "--cohort", "bad"]) == 1
    capsys.readouterr()
    assert main(["cohorts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_skip_bad_rows_keeps_the_others_and_exits_3(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["import", file(home, "bad.csv", BAD_AGE), "--cohort", "some", "--skip-bad-rows", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["rows"], report["kept"]) == (3, 2, 1)


def test_an_existing_cohort_is_not_overwritten_unasked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = file(home, "good.csv", GOOD)
    assert main(["import", good, "--cohort", "one"]) == 0
    assert main(["import", good, "--cohort", "one"]) == 1
    assert main(["import", good, "--cohort", "one", "--replace"]) == 0
    capsys.readouterr()
    main(["cohorts", "--json"])
    (cohort,) = json.loads(capsys.readouterr().out)
    assert cohort["version"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--cohort", "nobody", "--out", "x.csv"],
        ["delete", "--cohort", "nobody"],
        ["fit", "--cohort", "nobody"],
        ["evaluate", "--cohort", "nobody"],
        ["predict", "--model", "none-1", "--patients", "p.csv", "--out", "o.csv"],
    ],
)
def test_unknown_names_are_refused_in_one_line(
    words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "unknown" in error


def test_audit_of_a_fresh_store_passes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify"]) == 0


def test_template_has_every_column_and_passes_once_filled(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "template.csv"
    assert main(["template", "--out", str(out)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    header = next(line for line in lines if not line.startswith("#"))
    with (Path(__file__).parents[2] / "data/dictionary/oropharynx.csv").open(encoding="utf-8") as dictionary:
        assert header.split(",") == [row["name"] for row in csv.DictReader(dictionary)]


def test_synth_writes_the_same_file_for_the_same_seed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, other = (home / name for name in ("a.csv", "b.csv", "c.csv"))
    for path, seed in ((first, 3), (second, 3), (other, 4)):
        assert main(["synth", "--n", "40", "--out", str(path), "--seed", str(seed)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


@pytest.mark.slow
def test_from_an_empty_machine_to_predictions(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """synth, import, fit, predict: 17 rows a patient and plan at five horizons, and the same again from Parquet."""
    cohort, patients = home / "cohort.csv", home / "patients.csv"
    assert main(["synth", "--n", "150", "--out", str(cohort)]) == 0
    assert main(["import", str(cohort), "--cohort", "demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kept"] == 150
    assert main(["fit", "--cohort", "demo", "--no-compare"]) == 0
    version = capsys.readouterr().out.strip()
    known = "patient_id,age_years,sex,t_stage,n_stage,hpv_status,pack_years\n007,58,male,T3,N2,positive,12\n"
    patients.write_text(known, encoding="utf-8")

    for out in ("risks.csv", "risks.parquet"):
        words = ["predict", "--model", version, "--patients", str(patients), "--plans", "all", "--out", str(home / out)]
        assert main([*words, "--states", str(home / f"states-{out}")]) == 0

    risks = pd.read_csv(home / "risks.csv", dtype={"patient_id": str, "plan": str})
    assert len(risks) == 8 * 17
    assert set(risks["patient_id"]) == {"007"}
    assert risks["risk"].between(0, 1).all()
    assert (risks["lower"] <= risks["risk"]).all()
    assert (risks["risk"] <= risks["upper"]).all()
    assert set(risks["model"]) == {version}
    assert set(risks["interval"]) == {"90% calibrated"}
    pd.testing.assert_frame_equal(pd.read_parquet(home / "risks.parquet"), risks)
    states = pd.read_csv(home / "states-risks.csv", dtype={"patient_id": str, "plan": str}, keep_default_na=False)
    assert list(states.columns) == [
        "patient_id", "plan", "moment", "state", "level", "probability", "lower", "upper", "model",
    ]  # fmt: skip
    assert set(states["patient_id"]) == {"007"}
    assert set(states["plan"]) == set(risks["plan"])
    totals = states.groupby(["plan", "moment", "state"])["probability"].sum()
    assert totals.between(1 - 1e-9, 1 + 1e-9).all()
    pd.testing.assert_frame_equal(pd.read_parquet(home / "states-risks.parquet"), states)


def test_agent_of_a_prediction_is_recorded_or_chosen(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is on record conditions the risks, and so does a choice; neither is asked of a plan without it."""
    cohort = str(home / "cohort.csv")
    assert main(["synth", "--n", "150", "--out", cohort]) == 0
    assert main(["import", cohort, "--cohort", "small"]) == 0
    assert main(["fit", "--cohort", "small", "--no-compare"]) == 0
    baseline = "patient_id,age_years,sex,hpv_status,t_stage,n_stage"
    usual = file(home, "usual.csv", f"{baseline}\nA,60,male,positive,T2,N1\n")
    recorded = file(
        home,
        "recorded.csv",
        f"{baseline},induction_chemo,concurrent_chemo,concurrent_agent\nA,60,male,positive,T2,N1,0,1,cetuximab\n",
    )

    def deaths(patients: str, *further: str) -> pd.Series:
        out = home / "out.csv"
        words = ["predict", "--cohort", "small", "--patients", patients, "--out", str(out), "--horizons", "60"]
        assert main([*words, *further]) in (0, 3)
        table = pd.read_csv(out, dtype={"plan": str})
        return table[table["outcome"] == "death"].set_index("plan")["risk"]

    cetuximab = ("--manner", "concurrent_agent=cetuximab")
    plain, chosen, on_record = deaths(usual), deaths(usual, *cetuximab), deaths(recorded)
    assert chosen["000"] == plain["000"]
    assert chosen["010"] > plain["010"]
    assert on_record["010"] > plain["010"]
    assert set(on_record.index) == {"010", "011"}
    capsys.readouterr()
    wrong = ["predict", "--cohort", "small", "--patients", usual, "--out", str(home / "o.csv"), "--manner"]
    assert main([*wrong, "concurrent_agent=water"]) == 64
    assert "values it knows: platinum, cetuximab" in capsys.readouterr().err
    assert main([*wrong, "cetuximab"]) == 64
    assert "write e.g. concurrent_agent=cetuximab" in capsys.readouterr().err


def test_predict_needs_exactly_one_selector(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--patients", "p.csv", "--out", "o.csv"]) == 64
    assert main(["predict", "--cohort", "a", "--model", "b", "--patients", "p.csv", "--out", "o.csv"]) == 64
