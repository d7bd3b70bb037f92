"""The symptoms on the Twin page, without a browser: what is drawn is what the model says, and what it knew."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from fixtures.cohorts import QUICK
from streamlit.testing.v1 import AppTest

from data.symptoms import SymptomTable
from pages.parts.session import COHORT_KEY, PATIENT_KEY
from pages.parts.words import OUTSIDE
from twin import fitting, workspace
from twin.fitting import fit_twin
from twin.prediction import FittedTwin
from twin.record import PatientRecord
from twin.support import Support, SupportLevel
from twin.symptoms import SymptomModel
from twin.workspace import DEMONSTRATION, Workspace, open_workspace

APP = str(Path(__file__).parents[2] / "app.py")
SECONDS = 60
PANEL = re.compile(r"^(?P<label>.+), expected rating from 0 to 10: (?P<said>.+)\. The table below")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a small demonstration, made once; its twin is fitted with few draws."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_HOME", str(folder))
        patch.delenv("TWIN_STORE", raising=False)
        patch.setattr(workspace, "DEMONSTRATION_PATIENTS", 150)
        patch.setattr(fitting, "fit_twin", lambda cohort, *_: fit_twin(cohort, QUICK))
        open_workspace().prepare_demonstration()
    return folder


@pytest.fixture
def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("TWIN_HOME", str(home))
    monkeypatch.delenv("TWIN_STORE", raising=False)
    monkeypatch.setattr(workspace, "DEMONSTRATION_PATIENTS", 150)
    return open_workspace()


@pytest.fixture
def app(desk: Workspace) -> AppTest:
    st.cache_resource.clear()
    return AppTest.from_file(APP, default_timeout=SECONDS)


@pytest.fixture
def model(desk: Workspace) -> SymptomModel:
    found = desk.twin(desk.serving_version(DEMONSTRATION)).symptoms
    assert found is not None
    return found


def open_patient(app: AppTest, desk: Workspace, plan: str) -> tuple[PatientRecord, np.ndarray]:
    """Let the page show a patient who had `plan` and came to every visit.

    Returns:
        The whole record, and (items, weeks) all their ratings.
    """
    cohort, table = desk.store.load(DEMONSTRATION), desk.store.symptoms(DEMONSTRATION)
    ratings = table.ratings(cohort.frame["patient_id"].tolist())
    came = ~np.isnan(ratings).all(axis=1).any(axis=1) & ~np.isnan(ratings[:, 0]).any(axis=1)
    records = [PatientRecord.from_row(cohort.spec, row) for row in cohort.frame.to_dict("records")]
    row = next(k for k, record in enumerate(records) if record.plan_so_far == plan and came[k])
    app.session_state[COHORT_KEY] = DEMONSTRATION
    app.session_state[PATIENT_KEY] = records[row].patient_id
    return records[row], ratings[row]


def compare(app: AppTest, plan_a: str, plan_b: str) -> None:
    """Open the page with these two plans."""
    app.run()
    for name, plan in (("A", plan_a), ("B", plan_b)):
        box = next(box for box in app.selectbox if box.label == f"Plan {name}")
        if box.value != plan:
            box.select(next(option for option in box.options if f"({plan})" in option)).run()


def panels(app: AppTest) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """By symptom, what the text alternative says and the traces of the figure."""
    assert not app.exception
    assert not app.error
    found = {}
    for chart in (chart.proto for chart in app.get("plotly_chart")):
        if match := PANEL.match(chart.alt):
            found[match["label"]] = (match["said"], json.loads(chart.spec)["data"])
    return found


def numbers(packed: Any) -> np.ndarray:
    """The numbers of an axis of a trace as plotly sends them."""
    if isinstance(packed, list):
        return np.array(packed)
    return np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])


def plan_traces(traces: list[dict[str, Any]], name: str) -> list[np.ndarray]:
    """Band, bars and line of a plan: the heights of each."""
    at = 3 * "AB".index(name)
    return [numbers(each["y"]) for each in traces[at : at + 3]]


def dots(traces: list[dict[str, Any]], symbol: str) -> dict[float, float]:
    """Week and rating of the filled or the open dots."""
    (found,) = [each for each in traces if each.get("marker", {}).get("symbol") == symbol]
    return dict(zip(numbers(found["x"]).tolist(), numbers(found["y"]).tolist(), strict=True))


def words(app: AppTest) -> str:
    return " ".join(markdown.value for markdown in app.markdown)


def test_the_overview_draws_what_the_model_says(app: AppTest, desk: Workspace, model: SymptomModel) -> None:
    record = open_patient(app, desk, "010")[0].known_after(0)
    compare(app, "010", "110")
    found = panels(app)
    assert list(found) == [item.label for item in model.questionnaire.items if item.shown]
    for name, plan in (("A", "010"), ("B", "110")):
        curves = model.curves(record, plan)
        for label, (said, traces) in found.items():
            row = [item.label for item in curves.items].index(label)
            band, bars, line = plan_traces(traces, name)
            mean = curves.mean[0, row]
            np.testing.assert_array_equal(line, mean)
            np.testing.assert_array_equal(band, [*curves.upper[0, row], *curves.lower[0, row][::-1]])
            np.testing.assert_array_equal(bars[0::3], curves.range_lower[0, row])
            np.testing.assert_array_equal(bars[1::3], curves.range_upper[0, row])
            weeks = ", ".join(f"week {week}: {mean[k]:.1f}" for k, week in enumerate((0, 7, 12, 27)))
            assert f"Plan {name} ({plan}) {weeks}" in said
    said = words(app)
    for remark in (
        "90% interval of the mean",
        "range of 90% of such patients' ratings",
        "a difference is an association",
    ):
        assert remark in said


def test_ratings_known_under_both_plans_are_used_and_filled(app: AppTest, desk: Workspace, model: SymptomModel) -> None:
    complete, ratings = open_patient(app, desk, "010")
    record = complete.known_after(0)
    compare(app, "010", "000")
    traces = panels(app)["Pain"][1]
    assert dots(traces, "circle") == {0.0: ratings[0, 0]}
    assert dots(traces, "circle-open") == dict(zip((7.0, 12.0, 27.0), ratings[0, 1:], strict=True))
    first = np.where(np.arange(4) == 0, ratings, np.nan)[None]
    np.testing.assert_array_equal(plan_traces(traces, "B")[2], model.curves(record, "000", observed=first).mean[0, 0])
    assert (model.curves(record, "000").mean[0, 0, 1:] != plan_traces(traces, "B")[2][1:]).all()

    compare(app, "010", "110")  # week 0 of plan B lies three months later: not known at the moment asked
    assert not dots(panels(app)["Pain"][1], "circle")

    next(box for box in app.selectbox if box.label == "Seen from").select_index(1).run()
    assert dots(panels(app)["Pain"][1], "circle").keys() == {0.0, 7.0, 12.0}  # seen from month 6


def test_what_came_after_another_decision_is_not_known_before_it(app: AppTest, desk: Workspace) -> None:
    open_patient(app, desk, "110")  # this patient's week 0 is in month 3
    compare(app, "010", "000")
    traces = panels(app)["Pain"][1]
    assert not dots(traces, "circle")
    assert len(dots(traces, "circle-open")) == 4


def test_a_plan_without_support_shows_intervals_of_ratings_and_no_means(
    app: AppTest, desk: Workspace, model: SymptomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = FittedTwin.support

    def judged(twin: FittedTwin, record: PatientRecord, plan: str) -> Support:
        level = SupportLevel.UNSUPPORTED if plan == "110" else SupportLevel.SUPPORTED
        return replace(judge(twin, record, plan), level=level)

    monkeypatch.setattr(FittedTwin, "support", judged)
    record = open_patient(app, desk, "010")[0].known_after(0)
    compare(app, "010", "110")
    of_a, of_b = model.curves(record, "010"), model.curves(record, "110")
    assert "no means" in words(app)
    (legend,) = [text.value for text in app.markdown if "**Plan A** (solid)" in text.value]
    assert "**Plan B** (hatched: not supported, interval only)" in legend
    for label, (said, traces) in panels(app).items():
        row = [item.label for item in of_b.items].index(label)
        lines = [numbers(each["y"]) for each in traces if each["mode"] == "lines"]
        assert sum(np.array_equal(line, of_a.mean[0, row]) for line in lines) == 1
        assert not [line for line in lines if np.array_equal(line, of_b.mean[0, row])]
        (outline,) = [each for each in traces if "fillpattern" in each]
        np.testing.assert_array_equal(numbers(outline["y"]), [*of_b.upper[0, row], *of_b.lower[0, row][::-1]])
        before, after = said.split("Plan B (110) ")
        assert OUTSIDE not in before
        ends = zip(of_b.lower[0, row], of_b.upper[0, row], strict=True)
        weeks = zip((0, 7, 12, 27), ends, strict=True)
        assert after.startswith(", ".join(f"week {week}: {low:.1f}-{high:.1f}" for week, (low, high) in weeks))
        assert OUTSIDE in after
    table = next(table.value for table in app.dataframe if "Symptom" in table.value)
    assert table["Plan B (110)"].str.fullmatch(rf"\d+\.\d-\d+\.\d, singly \d+-\d+, {OUTSIDE}").all()
    assert not table["Plan A (010)"].str.contains(OUTSIDE).any()


def test_every_part_of_the_questionnaire_can_be_looked_at(app: AppTest, model: SymptomModel) -> None:
    app.run()
    seen = []
    for group in ("core", "head and neck", "interference"):
        next(control for control in app.segmented_control if control.key == "symptom-group").set_value(group).run()
        of_group = [item.label for item in model.questionnaire.items if item.group == group]
        assert list(panels(app)) == of_group
        table = next(table.value for table in app.dataframe if "Symptom" in table.value)
        assert table["Symptom"].drop_duplicates().tolist() == of_group
        assert table.filter(like="Plan A").squeeze().str.fullmatch(r"\d+\.\d \(\d+\.\d-\d+\.\d\), singly \d+-\d+").all()
        seen += of_group
    assert len(seen) == 28


@pytest.mark.parametrize(("plan_b", "alike"), [("011", True), ("001", False), ("000", False)])
def test_a_decision_whose_effect_is_not_fitted_is_named(
    app: AppTest, desk: Workspace, plan_b: str, alike: bool
) -> None:
    open_patient(app, desk, "010")
    compare(app, "010", plan_b)
    assert ("What neck dissection does to ratings is not fitted" in words(app)) == (plan_b != "000")
    assert ("the curves are the same" in words(app)) == alike


def test_without_ratings_one_sentence_stands_there(
    app: AppTest, desk: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(desk.twin(desk.serving_version(DEMONSTRATION)), symptoms=None)
    monkeypatch.setattr(fitting, "fit_twin", lambda *_: bare)
    cohort, whole = desk.store.load(DEMONSTRATION), desk.store.symptoms(DEMONSTRATION)
    desk.store.import_cohort("silent", cohort, source="x", mapping=None, report={}, actor="me")
    desk.fit("silent")
    app.session_state[COHORT_KEY] = "silent"
    assert panels(app.run()) == {}
    assert not app.header
    assert "Symptoms over time are not shown: this cohort has no ratings of them" in words(app)

    few = SymptomTable(whole.questionnaire, whole.frame.iloc[:5])
    desk.store.import_symptoms("silent", few, source="x", report={}, actor="me")
    assert panels(app.run()) == {}
    assert "the twin was fitted before the ratings came, fit it again" in words(app)

    desk.promote(desk.fit("silent"))
    assert panels(app.run()) == {}
    assert "no symptom was rated by 20 patients of cohort 'silent' in one week" in words(app)
