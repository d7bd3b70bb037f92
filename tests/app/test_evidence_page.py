"""The Evidence page, and what the Twin page says about how far it can be relied on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from data.evidence import Evidence, load_evidence, parse_group
from data.schema import Specification
from pages.parts import palette, unknowns
from pages.parts.charts import Band, RiskPanel, risk_curves
from pages.parts.evidence import DISAGREE, Picture, published_text, weight_text
from pages.parts.forest import axis_end, forest
from pages.parts.trust import model_text, support_facts
from pages.parts.words import OUTSIDE, group_text, input_text, listed, percent, percent_span, plain
from twin import workspace
from twin.choice import choices
from twin.cli.main import main
from twin.effects import combination
from twin.effects.sources import ASSUMED, ASSUMED_SMALL, ASSUMED_UNREAD, NOTHING_PUBLISHED
from twin.prediction import FittedTwin
from twin.record import PatientRecord
from twin.selection import CandidateScore, Selection
from twin.support import Support, SupportLevel
from twin.trainer import FEWEST_TO_COMPARE
from twin.unknowns import Narrowing, narrowings

APP = str(Path(__file__).parents[2] / "app.py")
SECONDS = 60
PATIENTS = 150


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation with a small demonstration."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWIN_HOME", str(folder))
        patch.delenv("TWIN_STORE", raising=False)
        patch.setattr(workspace, "DEMONSTRATION_PATIENTS", PATIENTS)
        workspace.open_workspace().prepare_demonstration()
        yield folder


@pytest.fixture(scope="module")
def twin(home: Path) -> FittedTwin:
    desk = workspace.open_workspace()
    return desk.twin(desk.serving_version(workspace.DEMONSTRATION))


@pytest.fixture
def app(home: Path) -> AppTest:
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=SECONDS)


@pytest.fixture(scope="module")
def evidence(spec: Specification) -> Evidence:
    return load_evidence(spec)


def picture(twin: FittedTwin, outcome: str) -> Picture:
    effects = twin.effects.by_outcome[outcome]
    return Picture(twin.spec, twin.spec.outcome(outcome), effects, load_evidence(twin.spec))


def shown(app: AppTest) -> str:
    """Everything the page says in words."""
    return "\n".join(markdown.value for markdown in app.markdown)


def alternatives(app: AppTest) -> list[str]:
    return [figure.proto.alt for figure in app.get("plotly_chart")]


def on_evidence(app: AppTest) -> AppTest:
    app.run()
    app.switch_page("pages/evidence.py").run()
    assert not app.exception
    assert not app.error
    return app


def test_every_decision_has_a_figure_that_says_what_each_source_says(app: AppTest, twin: FittedTwin) -> None:
    on_evidence(app)
    figures = alternatives(app)
    assert len(figures) == len(twin.spec.decisions)
    for alternative, decision in zip(figures, twin.spec.decisions, strict=True):
        assert alternative.startswith(f"{decision.label} and death: hazard ratios with 90 % intervals")
        for source in ("Published", "Cohort", "Combined"):
            assert re.search(rf"On average[^;]*{source} \d\.\d\d \(\d\.\d\d-\d\.\d\d\)", alternative), alternative


def test_where_nothing_is_published_no_interval_stands_in_its_place(app: AppTest) -> None:
    on_evidence(app)
    app.selectbox[0].select("feeding_tube_6m").run()
    assert len(alternatives(app)) == 3
    for alternative in alternatives(app):
        assert "odds ratio" in alternative
        if alternative.startswith("Concurrent"):
            assert re.search(r"Published \d", alternative)
            continue
        held = ASSUMED_SMALL if alternative.startswith("Neck dissection") else NOTHING_PUBLISHED
        assert f"Published {held}" in alternative
        assert not re.search(r"Published \d", alternative)
    text = shown(app)
    assert "nothing is published that the cohort" in text.lower()
    assert text.count("against trials") == 1


def test_a_decision_that_the_outcome_brings_about_is_not_asked_of_the_cohort(app: AppTest) -> None:
    on_evidence(app)
    app.selectbox[0].select("locoregional_failure").run()
    said = next(text for text in alternatives(app) if text.startswith("Neck dissection"))
    assert f"Published {ASSUMED}, Cohort not asked" in said
    assert re.search(
        r"After an incomplete nodal response its ratio is \d\\?\.\d\d .*times that in the others", shown(app)
    )
    assert "can bring this decision about" in shown(app)


@pytest.mark.parametrize("flagged", [True, False])
def test_what_rests_on_rows_nobody_read_is_nowhere_printed_as_published(
    app: AppTest, twin: FittedTwin, monkeypatch: pytest.MonkeyPatch, flagged: bool
) -> None:
    outcome = "distant_failure"
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", 0.0 if flagged else np.inf)
    on_evidence(app)
    app.selectbox[0].select(outcome).run()
    assert not app.error
    unread = [row for row in picture(twin, outcome).rows if row.decision == "concurrent_chemo"]
    said = next(text for text in alternatives(app) if text.startswith("Concurrent chemotherapy"))
    assert said.count(f"Published {ASSUMED_UNREAD}") == len(unread)
    assert not re.search(r"Published \d", said)
    table = next(frame.value for frame in app.dataframe if "Combined" in frame.value)
    mine = table[table["Decision"] == "Concurrent chemotherapy"]
    assert list(mine["Published"]) == [ASSUMED_UNREAD] * len(unread)
    text = shown(app).replace("\\", "")
    assert "against a prior assumed from sources that nobody here could read" in text
    assert ("Assumption and cohort disagree" in text) is flagged
    assert not [row.prior for row in unread if str(row.prior) in text]


def test_overlap_is_a_row_a_decision_with_whole_patients(app: AppTest, twin: FittedTwin) -> None:
    on_evidence(app)
    tables = [frame.value for frame in app.dataframe]
    overlap = next(table for table in tables if "Propensity" in table)
    assert list(overlap["Decision"]) == [decision.label for decision in twin.spec.decisions]
    decisions = workspace.open_workspace().store.load(workspace.DEMONSTRATION).frame[twin.spec.decisions[0].column]
    assert overlap["With / without"][0] == f"{int((decisions == 1).sum())} / {int((decisions == 0).sum())}"


def test_a_disagreement_has_words_and_a_sign_in_figure_and_table(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", np.inf)
    on_evidence(app)
    assert DISAGREE not in "".join(alternatives(app))
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", 0.0)
    app.run()
    assert all(f"On average, {DISAGREE}" in alternative for alternative in alternatives(app))
    assert shown(app).count("Trials and cohort disagree") == len(alternatives(app))
    table = next(frame.value for frame in app.dataframe if "Combined" in frame.value)
    assert table["Published and cohort"].str.startswith(DISAGREE).sum() == len(alternatives(app))


def test_the_command_on_the_page_fits_a_twin_with_another_weight(
    app: AppTest, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = next(code.value for code in on_evidence(app).code)
    words = command.replace(" W", " 1").split()
    assert words[:4] == ["python", "-m", "twin", "fit"]
    before = shown(app)
    assert "weight **0.5**" in before
    assert main([*words[3:], "--no-compare"]) == 0
    version = capsys.readouterr().out.split()[-1]
    assert main(["promote", "--model", version]) == 0
    try:
        on_evidence(app)
        assert f"weight **1**: {weight_text(1.0)}" in shown(app)
        table = next(frame.value for frame in app.dataframe if "Combined" in frame.value)
        assert list(table["Published"]) == list(table["Combined"])
    finally:
        main(["promote", "--model", version.replace("-2-", "-1-")])


def test_wrong_weights_are_refused_by_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--cohort", workspace.DEMONSTRATION, "--evidence-weight", "1.5"]) != 0
    assert "evidence weight 1.5" in capsys.readouterr().err


def test_figures_that_nobody_read_are_not_printed(spec: Specification, evidence: Evidence) -> None:
    unread = [effect for effect in evidence.effects if not effect.verified]
    assert unread
    for effect in unread:
        text = published_text(spec, effect)
        figures = [effect.effect, effect.lower, effect.upper]
        assert "not verified" in text
        for figure in figures:
            assert figure is None or f"{figure:.2f}" not in text.replace("\\", ""), effect.id
        assert effect.patients is None or "patients" not in text


def test_figures_that_were_read_stand_with_source_population_and_address(
    spec: Specification, evidence: Evidence
) -> None:
    effect = next(entry for entry in evidence.effects if entry.verified and entry.used and entry.lower)
    text = published_text(spec, effect)
    assert f"{effect.effect:.2f} ({effect.lower:.2f}-{effect.upper:.2f}, 95 % interval)" in text.replace("\\", "")
    assert f"[read in](<{effect.read_in}>)" in text
    assert effect.source.split(" ")[0] in text
    assert plain(effect.population.split(";")[0][1:]) in text


def test_a_ratio_that_was_worked_out_says_from_what(spec: Specification, evidence: Evidence) -> None:
    """The published figure of the trial of dissection stands beside what it says of those dissected."""
    by_name = {effect.id: effect for effect in evidence.effects}
    text = published_text(spec, by_name["petneck_2016_death"]).replace("\\", "")
    assert text.startswith("* **Hazard ratio 1.15**")
    assert "Worked out from 0.92 (0.65 to 1.32)" in text
    printed = by_name["petneck_2016_policy_death"]
    assert printed.note not in published_text(spec, printed).replace("\\", "")


def test_every_mark_stands_at_its_ratio_and_the_axis_holds_its_interval(twin: FittedTwin) -> None:
    groups = picture(twin, "death").groups("concurrent_chemo")
    end = axis_end(groups)
    figure = forest(groups, end, "hazard ratio", palette.LIGHT)
    ratios = [mark.ratio for group in groups for mark in group.marks if mark.ratio is not None]
    assert [trace.x[0] for trace in figure.data] == [ratio.ratio for ratio in ratios]
    for trace, ratio in zip(figure.data, ratios, strict=True):
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(ratio.upper)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(ratio.lower)
        assert 1 / end <= ratio.lower
        assert ratio.upper <= end
    assert len({trace.y[0] for trace in figure.data}) == len(ratios)
    assert len({trace.marker.symbol for trace in figure.data}) == 3


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_every_weight_is_said_in_words(weight: float) -> None:
    others = {weight_text(other) for other in (0.0, 0.2, 0.5, 0.9, 1.0) if other != weight}
    assert weight_text(weight) not in others


def as_unsupported(plan: str) -> object:
    """`FittedTwin.support` for which nothing is known about one plan."""
    judge = FittedTwin.support

    def judged(self: FittedTwin, record: PatientRecord, asked: str) -> Support:
        found = judge(self, record, asked)
        reasons = ("nobody like this had it", *found.reasons)
        return replace(found, level=SupportLevel.UNSUPPORTED, reasons=reasons) if asked == plan else found

    return judged


def test_an_unsupported_plan_shows_intervals_and_no_single_number(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.run()
    plan_b = next(box for box in app.selectbox if box.label == "Plan B").value
    assert OUTSIDE not in shown(app) + "".join(alternatives(app))
    monkeypatch.setattr(FittedTwin, "support", as_unsupported(plan_b))
    app.run()
    assert not app.error
    numbers = [text for text in (markdown.value for markdown in app.markdown) if ":orange[**B**" in text]
    assert len(numbers) == 7  # five outcomes, either of two and both
    for text in numbers:
        of_a, of_b = text.split(":orange")
        assert re.search(r"\d+ % \(\d+-\d+\)", of_a)
        assert re.search(rf"\d+-\d+ %, {OUTSIDE}", of_b)
        assert not re.search(r"% \(", of_b)
    assert "Nobody like this had it" in shown(app)
    said = alternatives(app)[0]
    assert said.count(OUTSIDE) == 3
    words = next(text.value for text in app.markdown if text.value.startswith("**Plan B:"))
    assert words.count(OUTSIDE) == 7
    assert "patients like this one" not in words
    table = next(frame.value for frame in app.dataframe if "By month" in frame.value)
    column = next(name for name in table.columns if name.startswith("Plan B"))
    assert table[column].str.contains(OUTSIDE).all()


def test_the_facts_behind_support_stand_there_whatever_the_level(app: AppTest, twin: FittedTwin) -> None:
    frame = workspace.open_workspace().store.load(workspace.DEMONSTRATION).frame
    for patient in patients(twin):
        app.run()
        app.selectbox[0].select(patient).run()
        record = PatientRecord.from_row(twin.spec, frame[frame[twin.spec.key] == patient].iloc[0].to_dict())
        plans = [next(box for box in app.selectbox if box.label == f"Plan {name}").value for name in "AB"]
        facts = next(table.value for table in app.dataframe if "Alike with this plan" in table.value)
        for (_, row), plan in zip(facts.iterrows(), plans, strict=True):
            support = twin.support(record.known_after(0), plan)
            assert row["Plan"].endswith(support.level.value)
            assert row["Distance"] == f"farther than {int(100 * support.farther_than)} % of the cohort"
            assert row["Alike with this plan"] == f"{support.alike_with_plan} of {support.alike}"
            assert row["Effective number"] == f"{support.effective_with_plan:.1f}"
            assert row["Propensity"] == percent(support.propensity)
            assert [label for label in support.missing if label not in row["Not recorded"]] == []
            assert ("% of the cohort" in row["Not recorded"]) == bool(support.missing)


def test_an_unknown_propensity_is_said_to_be_unknown() -> None:
    support = Support(SupportLevel.THIN, 40, 5, 4.25, float("nan"), 0.96, ("A", "B"), 0.126, ("few",))
    facts = support_facts("A", support)
    assert list(facts.values()) == [
        "A, thin",
        "farther than 96 % of the cohort",
        "5 of 40",
        "4.2",
        "not known",
        "A and B (as in 13 % of the cohort)",
    ]


def test_an_unsupported_curve_has_no_line_at_the_estimate() -> None:
    months, risk = np.array([0.0, 12.0, 24.0]), np.array([0.0, 0.11, 0.2])
    band = Band(months, risk, risk / 2, risk * 3)

    def drawn(supported: bool) -> list[list[float]]:
        panel = RiskPanel("Death", band, replace(band, supported=supported), None, None)
        figure = risk_curves([panel], 24.0, 100, palette.LIGHT)
        return [list(trace.y) for trace in figure.data if "B" in (trace.name or "")]

    assert [100 * value for value in risk] in drawn(supported=True)
    (outline,) = drawn(supported=False)
    assert sorted(outline) == pytest.approx([0.0, 0.0, 5.5, 10.0, 33.0, 60.0])


def test_the_twin_names_only_disagreements_about_what_the_plans_differ_in(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", 0.0)
    app.run()
    next(box for box in app.selectbox if box.label == "Plan A").select("010").run()
    next(box for box in app.selectbox if box.label == "Plan B").select("011").run()
    (said,) = [text.value for text in app.markdown if "and this cohort disagree" in text.value]
    assert "what neck dissection does to death, by more than chance" in said
    assert "chemotherapy" not in said
    assert [link.proto.page for link in app.get("page_link")] == ["evidence"]


def test_the_twin_is_quiet_where_trials_and_cohort_agree(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", np.inf)
    app.run()
    assert "disagree" not in shown(app)
    assert not app.get("page_link")


def score(name: str, brier: float, *, serves: bool) -> CandidateScore:
    return CandidateScore(name, f"{name} model", brier, None, brier - 0.2, 0.001, serves)


def test_the_serving_model_is_named_with_its_margin(twin: FittedTwin) -> None:
    hazards = twin.marginal.hazards
    enough = replace(hazards["death"], event=replace(hazards["death"].event, events=FEWEST_TO_COMPARE))
    left_out = replace(twin, marginal=replace(twin.marginal, hazards={**hazards, "death": enough}))
    text = model_text(left_out, list(choices(left_out)))
    assert f"were not compared; this does: `python -m twin fit --cohort {workspace.DEMONSTRATION}`" in text
    scores = (score("plain", 0.2, serves=False), score("clever", 0.1, serves=True), score("odd", 0.3, serves=False))
    ahead = Selection(scores, folds=5, horizon=60.0, patients=150, events=60)
    behind = replace(ahead, scores=tuple(replace(one, serves=one.name == "plain") for one in scores))
    few = replace(hazards["distant_failure"].event, events=FEWEST_TO_COMPARE - 1)
    changed = {
        "death": replace(hazards["death"], selection=ahead),
        "locoregional_failure": replace(hazards["locoregional_failure"], selection=behind),
        "distant_failure": replace(hazards["distant_failure"], event=few, selection=None),
    }
    compared = replace(twin, marginal=replace(twin.marginal, hazards=changed))
    found = {one.outcome.name: one for one in choices(compared)}
    assert list(found) == list(twin.outcomes)
    assert found["death"].margin == "integrated Brier score 0.1000, 0.1000 (SE 0.0010) below plain model"
    assert found["locoregional_failure"].margin == (
        "integrated Brier score 0.2000; best other: clever model, 0.1000 (SE 0.0010) below, within one SE"
    )
    assert found["distant_failure"].margin == "not compared: 49 events, below 50"
    text = model_text(compared, list(found.values())).replace("\\", "")
    assert text.startswith("Prognosis by clever model for death; plain model for locoregional failure; ridge Cox")
    assert "were not compared" not in text


def test_the_margin_of_every_outcome_stands_on_the_page(app: AppTest, twin: FittedTwin) -> None:
    app.run()
    (said,) = [text.value for text in app.markdown if "yes\\-or\\-no outcome" in text.value]
    for one in choices(twin):
        (line,) = [line for line in said.splitlines() if plain(one.outcome.label).lower() in line.lower()]
        assert line.endswith(f": {plain(f'{one.serving}; {one.margin}')}.")


def patients(twin: FittedTwin) -> tuple[str, str]:
    """A patient of whom nothing is unknown, and one of whom something is."""
    cohort = workspace.open_workspace().store.load(workspace.DEMONSTRATION)
    incomplete = twin.marginal.incomplete(twin.marginal.known(cohort.frame, twin.spec))
    identifiers = cohort.frame[cohort.spec.key].to_numpy()
    return str(identifiers[~incomplete][0]), str(identifiers[incomplete][0])


def test_nothing_is_said_of_narrowing_where_nothing_is_unknown(app: AppTest, twin: FittedTwin) -> None:
    complete, incomplete = patients(twin)
    for patient, offered in ((complete, False), (incomplete, True)):
        app.run()
        app.selectbox[0].select(patient).run()
        assert ("What would narrow this most" in [expander.label for expander in app.expander]) is offered


def test_what_would_narrow_most_is_said_with_its_share(app: AppTest) -> None:
    st.cache_data.clear()  # another test's twin may carry the same version
    desk = workspace.open_workspace()
    twin = desk.twin(desk.serving_version(workspace.DEMONSTRATION))  # which another test may have promoted meanwhile
    _, incomplete = patients(twin)
    app.run()
    app.session_state["unknowns-open"] = True
    app.selectbox[0].select(incomplete).run()
    assert not app.error
    plan = next(box for box in app.selectbox if box.label == "Plan A").value
    frame = workspace.open_workspace().store.load(workspace.DEMONSTRATION).frame
    row = frame[frame[twin.spec.key] == incomplete].iloc[0].to_dict()
    first = narrowings(twin, PatientRecord.from_row(twin.spec, row).known_after(0), plan, "death", 60.0)[0]
    (said,) = [text.value for text in app.markdown if text.value.startswith("* Learning")]
    top = said.split("\n")[0].replace("\\", "")
    assert first.label.lower() in top.lower()
    telling = first.narrowed > unknowns.NOTHING_TO_GAIN
    assert (f"narrow it by {100 * first.narrowed:.0f} %" in top) is telling
    assert ("would not narrow it" in top) is not telling


def test_at_most_three_unknowns_are_named_the_most_telling_first() -> None:
    found = tuple(Narrowing(f"c{k}", f"Label {k}", 1.0, 1.0 - share) for k, share in enumerate((0.3, 0.2, 0.02, 0.015)))
    assert re.findall(r"label (\d)\*\* would narrow it by (\d+) %", unknowns.sentences(found)) == [
        ("0", "30"),
        ("1", "20"),
        ("2", "2"),
    ]


def test_what_would_tell_nothing_is_said_to_tell_nothing() -> None:
    found = (Narrowing("a", "Stage", 1.0, 0.9), Narrowing("b", "HPV", 1.0, 0.995), Narrowing("c", "Grade", 1.0, 1.02))
    first, second = unknowns.sentences(found).split("\n")
    assert "by 10 %" in first
    assert second == "* Learning HPV and grade would not narrow it."


def test_inputs_and_groups_are_said_in_words(spec: Specification) -> None:
    t_stage, age = spec.column("t_stage").label, spec.column("age_years").label
    assert input_text(spec, "t_stage T4") == f"{t_stage} T4"
    assert input_text(spec, "induction_chemo") == "Induction chemotherapy"
    assert input_text(spec, "nodal_levels_contralateral").startswith("Involved nodal levels")
    assert group_text(spec, parse_group("age_years>=51 & age_years<61", spec)) == (
        f"{age} at least 51 years and {age} below 61 years"
    )
    alternatives = group_text(spec, parse_group("hpv_status=negative & (t_stage=T4 | n_stage=N3)", spec))
    assert alternatives.endswith(f"and ({t_stage} T4 or {spec.column('n_stage').label} N3)")
    assert listed(["one"]) == "one"
    assert listed(["one", "two", "three"]) == "one, two and three"
    assert percent_span(0.114, 0.2) == "11-20 %"


def test_the_table_lists_every_group_of_every_decision(app: AppTest, twin: FittedTwin) -> None:
    table = next(frame.value for frame in on_evidence(app).dataframe if "Combined" in frame.value)
    assert isinstance(table, pd.DataFrame)
    assert list(zip(table["Decision"], table["Patients"].str.lower(), strict=True)) == [
        (next(d.label for d in twin.spec.decisions if d.column == row.decision), row.group.lower())
        for row in picture(twin, "death").rows
    ]
