"""The page of the recommended sequence, and what its figure and words say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from fixtures.learnt_policies import AsExact, Contrary
from streamlit.testing.v1 import AppTest

from data.cohort import Cohort
from data.evidence import load_evidence
from pages.parts import advice, agreement, difference_chart, palette
from pages.parts.difference_chart import Panel, Row
from pages.parts.session import COHORT_KEY, PATIENT_KEY, Session
from pages.parts.words import plain
from twin import workspace
from twin.curve import Estimate
from twin.evaluations import SavedEvaluation
from twin.policy.explanation import Explanation, LearntSays, explain
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.record import PatientRecord
from twin.support import SupportLevel
from twin.workspace import Workspace

APP = str(Path(__file__).parents[2] / "app.py")
PAGE = "pages/recommendation.py"
SECONDS = 60
UNDISSECTED = "undissected"
FRAIL = 3.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation with a small demonstration, and a cohort that records no neck dissection."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_HOME", str(folder))
        patch.delenv("TWIN_STORE", raising=False)
        patch.setattr(workspace, "DEMONSTRATION_PATIENTS", 150)
        desk = workspace.open_workspace()
        desk.prepare_demonstration()
        _store_undissected(desk)
        desk.fit(UNDISSECTED, compare=False)
        yield folder


def _store_undissected(desk: workspace.Workspace) -> None:
    """The demonstration without the column of the last decision; the first patient is frail."""
    cohort = desk.store.load(workspace.DEMONSTRATION)
    frame = cohort.frame.drop(columns="neck_dissection").copy()
    frame.loc[frame.index[0], "ecog"] = FRAIL
    desk.store.import_cohort(
        UNDISSECTED, replace(cohort, frame=frame), source="test", mapping=None, report={}, replace=True, actor="test"
    )


@pytest.fixture(scope="module")
def twin(home: Path) -> FittedTwin:
    desk = workspace.open_workspace()
    return desk.twin(desk.serving_version(workspace.DEMONSTRATION))


@pytest.fixture(scope="module")
def cohort(home: Path) -> Cohort:
    return workspace.open_workspace().store.load(workspace.DEMONSTRATION)


@pytest.fixture
def app(home: Path) -> AppTest:
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=SECONDS)


@pytest.fixture
def told(twin: FittedTwin, cohort: Cohort) -> Explanation:
    return explained(twin, cohort.frame.iloc[[0]])


def explained(twin: FittedTwin, row: pd.DataFrame) -> Explanation:
    known = PatientRecord.from_row(twin.spec, row.iloc[0].to_dict()).known_after(0)
    found = explain(twin, known.to_frame(), Weights.of(twin.spec))
    assert found is not None
    return found


def on_page(app: AppTest) -> AppTest:
    app.run()
    app.switch_page(PAGE).run()
    assert not app.exception
    assert not app.error
    return app


def said(app: AppTest) -> str:
    """Everything the page says in words, without the marks that keep text from being Markdown."""
    return "\n".join(each.value for each in app.markdown).replace("\\", "")


def decide(app: AppTest, label: str, choice: str) -> None:
    next(each for each in app.get("button_group") if each.label == label).set_value(choice).run()
    assert not app.exception


def contrasts(app: AppTest) -> pd.DataFrame:
    return next(each.value for each in app.table if "Difference" in each.value)


def observed(app: AppTest) -> pd.DataFrame:
    return next(each.value for each in app.table if "Observed" in each.value)


def test_one_screen_says_what_is_asked_what_is_favoured_and_who_agrees(app: AppTest, told: Explanation) -> None:
    on_page(app)
    text = said(app)
    assert app.header[0].value.replace("\\", "") == f"{told.decision.label}: {advice.headline(told)}"
    for way in told.ways:
        assert advice.option_text(told.decision, way.option).capitalize() in text
        assert f"({way.plan})" in text
        had = advice.option_text(told.decision, way.option)
        assert f"{way.support.alike_with_plan} of the {way.support.alike} most alike had {had}" in text
    assert "Exact optimum" in text
    assert "no policy was learnt for this twin yet: `python -m twin train`" in text
    assert agreement.physicians_text(told) in text
    assert "serves to rank and for nothing else" in text
    assert "For research and education" in text
    assert "demonstration data" in text
    if told.verdict.abstained:
        assert "Why it abstains" in text
        assert told.verdict.reason[1:] in text


def test_figure_and_table_hold_every_outcome_apart(app: AppTest, told: Explanation) -> None:
    on_page(app)
    (figure,) = app.get("plotly_chart")
    table = contrasts(app)
    assert len(table) == len(told.contrasts)
    for contrast, row in zip(told.contrasts, table.to_dict("records"), strict=True):
        number = advice.signed(contrast.difference, 1, supported=told.supported)
        assert row["Difference"] == number
        assert f"{contrast.outcome.label} {number}" in figure.proto.alt
        assert row["Outcome"].startswith(contrast.outcome.label)
    assert "months of life lost" in figure.proto.alt
    assert "percentage points" in figure.proto.alt
    assert [str(label) for label in observed(app)["Observed"]] == [c.outcome.label for c in told.contrasts]


def test_weights_change_the_ranking_and_are_put_back(app: AppTest) -> None:
    on_page(app)
    gain = next(line for line in said(app).splitlines() if line.startswith("Gain of"))
    app.slider(key="weight-death").set_value(2.0).run()
    changed = next(line for line in said(app).splitlines() if line.startswith("Gain of"))
    assert changed != gain
    assert "The weights differ from the defaults" in said(app)
    next(button for button in app.button if button.label == "Back to the defaults").click().run()
    assert app.slider(key="weight-death").value == 1.0
    assert gain in said(app)
    assert "The weights differ" not in said(app)


def test_without_any_weight_nothing_is_worth_months_of_life(app: AppTest) -> None:
    on_page(app)
    for slider in app.slider:
        slider.set_value(0.0)
    app.run()
    assert not app.exception
    gain = next(line for line in said(app).splitlines() if line.startswith("Gain of"))
    assert "0.000 to 0.000" in gain
    assert "months of life" not in gain


def test_an_option_that_is_ruled_out_is_shown_as_not_possible(app: AppTest) -> None:
    on_page(app)
    decide(app, "Induction chemotherapy", "yes")
    assert app.header[0].value == "Induction chemotherapy: only induction chemotherapy is possible"
    assert "No induction chemotherapy is not possible: ruled out by whoever asked" in said(app)
    assert {"No induction chemotherapy", "Induction chemotherapy"} <= set(contrasts(app).columns)
    sequences = next(each.value for each in app.table if "Utility" in each.value)
    for plan, remark in zip(sequences["Sequence"], sequences["Remark"], strict=True):
        assert bool(remark) == bool(re.search(r"\(0\d\d\)", plan))


def test_a_later_moment_asks_the_next_decision(app: AppTest, cohort: Cohort) -> None:
    seen = cohort.frame[(cohort.frame["induction_chemo"] == 1) & cohort.frame["rt_response_nodal"].notna()]
    app.session_state[PATIENT_KEY] = seen["patient_id"].iloc[0]
    on_page(app)
    for moment, asked in ((1, "Concurrent chemotherapy"), (2, "Neck dissection")):
        next(box for box in app.selectbox if box.label == "Seen from").set_value(moment).run()
        assert not app.exception
        assert app.header[0].value.startswith(f"{asked}:")
    assert "No decision follows" in said(app)
    (column,) = [name for name in observed(app).columns if name != "Observed"]
    assert " or " in column, "both sequences share the patients, as a failure can bring the dissection about"


def test_a_contraindication_is_named_and_both_options_stay(app: AppTest) -> None:
    app.session_state[COHORT_KEY] = UNDISSECTED
    on_page(app)
    assert app.header[0].value == "Induction chemotherapy: only no induction chemotherapy is possible"
    assert "Induction chemotherapy is not possible: ECOG performance status 3 or worse" in said(app)
    assert {"No induction chemotherapy", "Induction chemotherapy"} <= set(contrasts(app).columns)


def test_a_held_decision_is_not_asked_and_where_nothing_is_left_that_is_said(app: AppTest) -> None:
    app.session_state[COHORT_KEY] = UNDISSECTED
    on_page(app)
    assert "Neck dissection is not asked: not recorded in this cohort, held at 0" in said(app)
    box = next(box for box in app.selectbox if box.label == "Seen from")
    box.set_value(2).run()
    assert not app.exception
    assert "Nothing is left to decide" in str(app.info[0].proto)
    assert "Neck dissection is not asked" in app.info[0].value.replace("\\", "")
    assert not app.get("plotly_chart")


def test_a_learnt_policy_that_falls_short_gives_way_and_the_page_says_so(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "learnt", property(lambda _: Contrary()))
    on_page(app)
    assert "The learnt policy chose" in said(app)
    assert "more than 2 %: the exact option is shown" in said(app)
    assert "falls short by" in said(app)


def test_a_learnt_policy_that_agrees_is_said_to(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "learnt", property(lambda _: AsExact()))
    on_page(app)
    assert "falls short by 0.0000 utility" in said(app)
    assert "The learnt policy chose" not in said(app)


def test_an_unrecorded_past_decision_is_named(told: Explanation) -> None:
    lines = list(advice.reasons(replace(told, assumed=("Induction chemotherapy",))))
    assert "Induction chemotherapy: not recorded although what came after is" in lines[0]


def test_a_clear_recommendation_favours(told: Explanation) -> None:
    clear = replace(told, verdict=replace(told.verdict, abstained=False, reason=""))
    assert advice.headline(clear).startswith("favours ")
    (line,) = advice.reasons(clear)
    assert "is not better by more than 0.03 of utility" in line.replace("\\", "")


def test_what_is_not_supported_is_told_in_intervals_only(told: Explanation) -> None:
    support = replace(told.recommended.support, level=SupportLevel.UNSUPPORTED)
    unsupported = replace(told, recommended=replace(told.recommended, support=support))
    clear = replace(told.contrasts[0], difference=Estimate(-2.0, -3.0, -1.0))
    lines = list(advice.in_words(replace(unsupported, contrasts=(clear, *told.contrasts[1:2]))))
    assert "only intervals" in lines[0]
    assert lines[1].replace("\\", "") == "**Benefit**: 1.0 to 3.0 fewer months of life lost."
    assert lines[2:] == ["**Harm**: none that is told apart.", "**Unclear**: locoregional failure."]
    assert advice.signed(Estimate(1.0, -0.04, 2.0), 1, supported=False) == "0.0 to 2.0"


def test_benefit_and_harm_are_never_subtracted(told: Explanation) -> None:
    supported = replace(told.recommended.support, level=SupportLevel.SUPPORTED)
    ways = [replace(way, support=supported) for way in told.ways]
    better = [replace(c, difference=Estimate(-2.0, -3.0, -1.0)) for c in told.contrasts[:2]]
    worse = [replace(c, difference=Estimate(2.0, -1.0, 3.0)) for c in told.contrasts[2:-1]]
    alike = replace(told.contrasts[-1], difference=Estimate(0.01, -1.0, 1.0))
    found = replace(told, recommended=ways[0], other=ways[1], contrasts=(*better, *worse, alike))
    benefit, harm, same = (line.replace("\\", "") for line in advice.in_words(found))
    assert benefit == "**Benefit**: 2.0 fewer months of life lost and locoregional failure 2.0 points less."
    assert harm.startswith("**Harm**: distant failure 2.0 points more (unclear)")
    assert same == f"**No difference**: {told.contrasts[-1].outcome.label.lower()}."


@pytest.mark.parametrize(
    ("chance", "words"),
    [(0.9, "in agreement"), (0.3, "in 30 %"), (float("nan"), "not known from the cohort")],
)
def test_physicians_are_told_as_they_mostly_do(told: Explanation, chance: float, words: str) -> None:
    assert words in agreement.physicians_text(replace(told, physician=chance))


def test_a_shortfall_is_told_in_utility_and_as_a_share(told: Explanation) -> None:
    text = agreement.learnt_text(replace(told, learnt=LearntSays(1, 0.01234, 0.1, True))).replace("\\", "")
    assert "0.0123 utility (10 % of best to worst sequence)" in text


def test_the_tree_in_words_names_the_state_that_tells(told: Explanation, twin: FittedTwin) -> None:
    for later in told.later:
        for question in later:
            rows = agreement.later_rows(twin, question)
            assert len(rows) == max(1, len(question.seen))
            assert all(row["Question"] == question.decision.label for row in rows)
            assert question.seen or rows[0]["If seen"] == "whatever is seen"
    first = agreement.later_rows(twin, told.later[0][0])[0]["Decided by then"]
    assert first.lower() == advice.option_texts(told)[0]
    assert agreement.better(told.later[0][0], 0.7).endswith(" in 70 %")
    assert agreement.better(told.later[0][0], 0.995) == "concurrent chemotherapy"


def test_unread_figures_are_never_printed(app: AppTest, twin: FittedTwin) -> None:
    """What somebody assumed from sources that nobody read steers the prior and is no evidence."""
    on_page(app)
    text = said(app)
    unread = [e for e in load_evidence(twin.spec).effects if not e.verified and e.decision == "induction_chemo"]
    assert not any(plain(effect.source).replace("\\", "") in text for effect in unread)
    assert "no published effect; wide prior" in text


def test_the_figure_has_zero_in_the_middle_and_marks_what_is_clear() -> None:
    panels = [
        Panel("months", (Row("Death", Estimate(-1.0, -2.0, -0.5), "-1.0", True),)),
        Panel(
            "points",
            (
                Row("A", Estimate(1.0, -3.0, 5.0), "1.0", False),
                Row("B", Estimate(0.0, -1.0, 1.0), "", False, supported=False),
            ),
        ),
    ]
    figure = json.loads(difference_chart.differences(panels, palette.LIGHT).to_json())
    symbols = [trace["marker"]["symbol"] for trace in figure["data"]]
    assert symbols == ["square", "square-open", "square-open"]
    assert [trace["marker"]["opacity"] > 0 for trace in figure["data"]] == [True, True, False]
    for axis, reach in (("xaxis", 2.0), ("xaxis2", 5.0)):
        low, high = figure["layout"][axis]["range"]
        assert low == -high
        assert high >= reach
    nothing = Panel("points", (Row("A", Estimate(0.0, 0.0, 0.0), "0.0", False),))
    assert np.isfinite(difference_chart.differences([nothing], palette.DARK).layout.xaxis.range).all()


def test_another_session_does_not_see_the_patient(app: AppTest, cohort: Cohort) -> None:
    chosen = str(cohort.frame["patient_id"].iloc[7])
    app.session_state[PATIENT_KEY] = chosen
    on_page(app)
    assert chosen in app.title[0].value.replace("\\", "")
    other = on_page(AppTest.from_file(APP, default_timeout=SECONDS))
    assert chosen not in other.title[0].value.replace("\\", "")


def test_benefit_against_harm_is_shown_where_it_was_evaluated(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    on_page(app)
    app.toggle(key="policy-front").set_value(True).run()
    assert "Not evaluated yet" in said(app)
    point = {"name": "01-", "months_lost": 5.5, "toxicity": 0.3, "best": True}
    document = {"policy": {"front": {"exact": [point], "fixed": [point], "observed": point}}}
    saved = SavedEvaluation("x", "x", 1, "2026-01-01", document)
    monkeypatch.setattr(Workspace, "evaluations", lambda *_: (saved,))
    app.run()
    assert not app.error
    assert not app.exception
    assert "physicians as observed" in said(app)
    app.toggle(key="policy-front").set_value(False).run()
