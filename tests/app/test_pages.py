"""Pages without a browser: what cannot be shown is said in a panel, and sessions do not share patients."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from data.cohort import Cohort
from pages.parts.session import COHORT_KEY, PATIENT_KEY
from pages.parts.words import counted, out_of_hundred, percent, percent_range, plain
from twin import workspace
from twin.record import PatientRecord

APP = str(Path(__file__).parents[2] / "app.py")
SECONDS = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a small demonstration, made once."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_HOME", str(folder))
        patch.delenv("TWIN_STORE", raising=False)
        patch.setattr(workspace, "DEMONSTRATION_PATIENTS", 150)
        workspace.open_workspace().prepare_demonstration()
    return folder


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("TWIN_HOME", str(home))
    monkeypatch.delenv("TWIN_STORE", raising=False)
    st.cache_resource.clear()
    return AppTest.from_file(APP, default_timeout=SECONDS)


def test_the_first_page_shows_the_first_demonstration_patient(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert not app.error
    assert app.title[0].value.startswith("SYN\\-00001")
    assert [box.label for box in app.selectbox][:1] == ["Patient"]


def numbers(app: AppTest) -> pd.DataFrame:
    """The table of risks on the twin's page."""
    return next(frame.value for frame in app.dataframe if "By month" in frame.value)


def test_harms_that_come_together_are_said_in_numbers_words_and_table(app: AppTest) -> None:
    app.run()
    desk = workspace.open_workspace()
    twin, cohort = desk.twin(desk.serving_version(workspace.DEMONSTRATION)), desk.store.load(workspace.DEMONSTRATION)
    record = PatientRecord.from_row(cohort.spec, cohort.frame.iloc[0].to_dict()).known_after(0)
    plans = [next(box for box in app.selectbox if box.label == f"Plan {name}").value for name in "AB"]
    answer = twin.answer(record, plans, [12.0])
    first, second = "feeding tube at 6 months", "aspiration within 6 months"
    said = [text.value.replace("\\", "") for text in app.markdown]
    table = numbers(app).set_index("Outcome")
    for k, label in enumerate((f"Both {first} and {second}", f"{first.capitalize()}, {second}, or both")):
        (shown,) = [text for text in said if text.startswith(f"**{label}**")]
        for name, plan, colour in zip("AB", plans, ("blue", "orange"), strict=True):
            (pair,) = answer.together(plan).values()
            estimate = pair[k]
            number = percent_range(estimate.value, estimate.lower, estimate.upper)
            assert f":{colour}[**{name}** {number}]" in shown
            assert table.loc[label, f"Plan {name} ({plan})"] == number
            (words,) = [text for text in said if text.startswith(f"**Plan {name}:")]
            assert f"{label}: {out_of_hundred(estimate.value)} patients like this one" in words


def test_a_chosen_agent_changes_the_numbers_as_the_twin_says_of_it(app: AppTest) -> None:
    """Cetuximab for a complete patient: the table holds what a situation with that agent on record says."""
    desk = workspace.open_workspace()
    twin = desk.twin(desk.serving_version(workspace.DEMONSTRATION))
    frame = desk.store.load(workspace.DEMONSTRATION).frame
    known = twin.marginal.known(frame, twin.spec)
    app.session_state[PATIENT_KEY] = frame[twin.spec.key].loc[~twin.marginal.incomplete(known)].iloc[0]
    app.run()
    next(box for box in app.selectbox if box.label == "Plan A").select("010").run()
    before = numbers(app)["Plan A (010)"].tolist()
    agent = next(box for box in app.selectbox if box.label == twin.spec.column("concurrent_agent").label)
    assert agent.value == ""
    agent.select("cetuximab").run()
    assert not app.exception
    shown = numbers(app)
    assert shown["Plan A (010)"].tolist() != before
    record = PatientRecord.from_row(
        twin.spec, known.frame[frame[twin.spec.key] == app.session_state[PATIENT_KEY]].iloc[0]
    )
    given = record.with_value("induction_chemo", 0).with_value("concurrent_chemo", 1)
    situation = twin.situation(given.with_value("concurrent_agent", "cetuximab").to_frame())
    expected = percent(float(situation.risks("010", [60.0])["death"][0, 0]))
    (row,) = shown[(shown["Outcome"] == "Death") & (shown["By month"] == "60")].to_dict("records")
    assert row["Plan A (010)"].startswith(f"{expected} (")


def test_what_lies_ahead_is_shown_with_its_probabilities_under_plan_a(app: AppTest) -> None:
    app.session_state["ahead-open"] = True
    app.run()
    next(box for box in app.selectbox if box.label == "Plan A").select("110").run()
    assert not app.exception
    headings = [markdown.value for markdown in app.markdown]
    assert "**Response to induction, about month 3**" in headings
    induction, agent, _radiotherapy = (table.value for table in app.table)
    assert "Response of the primary after induction" in induction["What"].tolist()
    assert induction["Likely"].str.fullmatch(r"[^%]+\s\d+\s%\s\(\d+-\d+\)( · [^%]+\s(<\s)?\d+\s%\s\(\d+-\d+\))*").all()
    assert agent["What"].tolist() == ["Concurrent agent"]
    next(box for box in app.selectbox if box.label == "Plan A").select("000").run()
    (only,) = (table.value for table in app.table)
    assert not only["What"].str.contains("induction|toxicit").any()


@pytest.mark.parametrize(("other", "groups"), [("011", ["plan A and B"]), ("000", ["plan A", "plan B"])])
def test_observed_patients_are_not_told_apart_by_a_dissection(app: AppTest, other: str, groups: list[str]) -> None:
    """One grey curve in each panel where plans differ in nothing else; caption and text alternative say so."""
    app.run()
    for name, plan in (("A", "010"), ("B", other)):
        next(box for box in app.selectbox if box.label == f"Plan {name}").select(plan).run()
    assert not app.exception
    (chart,) = (each.proto for each in app.get("plotly_chart") if "Observed on" in each.proto.spec)
    called = [f"{group}, neck dissection or not" for group in groups]
    seen = [trace["name"] for trace in json.loads(chart.spec)["data"] if trace.get("name", "").startswith("Observed")]
    assert {name.split(" (n=")[0] for name in seen} == {f"Observed on {each}" for each in called}
    assert "Grey steps: observed on " + "; on ".join(called) + ". " in chart.alt
    (caption,) = (each.value for each in app.markdown if "Grey: observed" in each.value)
    assert "neck dissection or not, as a failure can bring it about" in caption
    assert ("both plans share one group" in caption) == (len(groups) == 1)


def test_a_cohort_without_a_twin_is_explained_not_crashed(app: AppTest, small_cohort: Cohort) -> None:
    store = workspace.open_workspace().store
    store.import_cohort("untaught", small_cohort, source="test", mapping=None, report={}, replace=True, actor="test")
    app.session_state[COHORT_KEY] = "untaught"
    app.run()
    assert not app.exception
    (panel,) = app.error
    assert "fit one" in panel.value.lower()


def test_a_cohort_that_was_deleted_meanwhile_is_explained(app: AppTest) -> None:
    app.session_state[COHORT_KEY] = "gone"
    app.run()
    assert not app.exception
    assert not app.error
    assert "no longer there" in app.warning[0].value
    assert app.title[0].value.startswith("SYN")


def test_every_page_names_cohort_and_model_version(app: AppTest) -> None:
    version = workspace.open_workspace().serving_version(workspace.DEMONSTRATION)
    for page in ("pages/twin.py", "pages/patients.py", "pages/cohorts.py"):
        app.run()
        app.switch_page(page).run()
        shown = " ".join(markdown.value for markdown in app.markdown)
        assert plain(version) in shown, page
        assert "demonstration data" in shown, page


@pytest.mark.parametrize(
    ("risk", "text"), [(0.0, "0 %"), (0.004, "< 1 %"), (0.0149, "1 %"), (0.154, "15 %"), (1.0, "100 %")]
)
def test_percentages_never_round_a_risk_away(risk: float, text: str) -> None:
    assert percent(risk) == text


def test_the_same_number_is_said_in_several_ways() -> None:
    assert percent_range(0.154, 0.11, 0.2) == "15 % (11-20)"
    assert out_of_hundred(0.154) == "15 of 100"
    assert out_of_hundred(0.001) == "fewer than 1 of 100"
    assert counted(1, "finding") == "1 finding"
    assert counted(1200, "row") == "1,200 rows"


@pytest.mark.parametrize("payload", ["[x](https://e.org)", "![i](u)", ":red[x]", "$x$", "`x`", "<b>", "**x**"])
def test_text_from_files_cannot_become_markdown(payload: str) -> None:
    escaped = plain(payload)
    assert escaped.replace("\\", "").replace("\u200b", "") == payload
    assert "://" not in escaped.replace("\\", "")
    for mark in "[]()$:`<>*!":
        assert f"\\{mark}" in escaped or mark not in payload
