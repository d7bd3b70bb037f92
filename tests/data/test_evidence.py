from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.stats.contingency import odds_ratio

from data.cohort import typed_frame
from data.errors import SpecificationError
from data.evidence import (
    Basis,
    EffectTerm,
    Evidence,
    PublishedEffect,
    Spread,
    effect_terms,
    load_evidence,
    load_state_terms,
    load_term_rows,
    load_terms,
    parse_group,
    read_evidence,
    read_term_rows,
    state_terms,
)
from data.evidence.page import evidence_page, main
from data.schema import OutcomeKind, Specification

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"

GOOD = {
    "id": "one",
    "decision": "concurrent_chemo",
    "option": "yes",
    "against": "no",
    "outcome": "death",
    "endpoint": "",
    "measure": "hazard_ratio",
    "effect": "0.80",
    "lower": "0.64",
    "upper": "1.00",
    "interval_level": "0.95",
    "p_value": "",
    "prior_sd": "",
    "group": "",
    "population": "everybody in the trial",
    "patients": "100",
    "year": "2001",
    "design": "randomised",
    "given_as": "ratio",
    "source": "A trial",
    "doi_or_pmid": "",
    "read_in": "https://example.org",
    "verified": "yes",
    "used": "yes",
    "note": "",
}


def table(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "some.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(GOOD))
        writer.writeheader()
        writer.writerows({**GOOD, **row} for row in rows)
    return path


def one(folder: Path, spec: Specification, **cells: str) -> PublishedEffect:
    return read_evidence(table(folder, cells), spec).effects[0]


@pytest.fixture(scope="module")
def shipped(spec: Specification) -> dict[str, PublishedEffect]:
    return {effect.id: effect for effect in load_evidence(spec).effects}


# The published table


def test_the_page_in_the_documentation_is_up_to_date(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "page.md")])
    generated = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == generated, "run: python -m data.evidence.page --out docs/evidence.md"


def test_a_disease_without_a_table_has_no_evidence(spec: Specification) -> None:
    evidence = load_evidence(dataclasses.replace(spec, name="elsewhere"))
    assert evidence == Evidence()
    assert evidence.rows("concurrent_chemo", "death", used=None) == ()


def test_what_steers_was_read_or_is_assumed_to_be_uncertain(spec: Specification) -> None:
    evidence = load_evidence(spec)
    used = [effect for effect in evidence.effects if effect.used]
    assert all(effect.read_in.startswith("http") for effect in used if effect.verified)
    unread = [effect for effect in used if not effect.verified]
    assert unread
    for effect in unread:
        implied = dataclasses.replace(effect, prior_sd=None).log_sd or 0.0
        assert effect.prior_sd is not None
        assert effect.prior_sd >= max(0.12, 2 * implied)
    assert all(effect.log_sd is not None and 0.01 < effect.log_sd < 1.0 for effect in used)


def test_the_bands_of_age_hold_everybody_once(spec: Specification, shipped: dict[str, PublishedEffect]) -> None:
    bands = [effect for name, effect in shipped.items() if name.startswith("machnc_2009_concurrent_death_")]
    ages = typed_frame(pd.DataFrame({"age_years": np.arange(18, 110, 0.25)}), spec)
    assert len(bands) == 4
    np.testing.assert_array_equal(sum(band.applies_to(ages) for band in bands), np.ones(len(ages)))


def test_effects_worked_out_from_other_figures(shipped: dict[str, PublishedEffect]) -> None:
    # Under proportional hazards survival in one arm is that of the other to the power of the hazard ratio.
    assert 0.16 ** shipped["gortec_2004_death"].effect == pytest.approx(0.22, abs=5e-4)
    assert 0.25 ** shipped["gortec_2004_locoregional_failure"].effect == pytest.approx(0.48, abs=5e-4)
    # Among 282 each, 221 and 54 were dissected: a policy's effect on the log scale is that share of a dissection's.
    policy, neck = shipped["petneck_2016_policy_death"], shipped["petneck_2016_death"]
    assert (policy.effect, policy.lower, policy.upper) == (0.92, 0.65, 1.32)
    share = (221 - 54) / 282
    assert neck.log_ratio == pytest.approx(-policy.log_ratio / share, abs=2e-3)
    assert neck.log_sd == pytest.approx((policy.log_sd or 0.0) / share, abs=5e-3)
    assert (neck.used, policy.used) == (True, False)
    percent = shipped["ma_2012_distant_failure"]
    assert (percent.effect, percent.lower, percent.upper) == pytest.approx((1 - 0.07, 1 - 0.13, 1.0))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("digest_2018_induction_aspiration", [[14, 9], [13, 44]]),
        ("digest_2018_concurrent_aspiration", [[13, 44], [2, 14]]),
    ],
)
def test_odds_ratios_worked_out_from_counts(
    shipped: dict[str, PublishedEffect], name: str, counts: list[list[int]]
) -> None:
    effect = shipped[name]
    reference = odds_ratio(counts, kind="sample")
    interval = reference.confidence_interval(0.95)
    assert effect.effect == pytest.approx(reference.statistic, abs=5e-3)
    assert (effect.lower, effect.upper) == pytest.approx((interval.low, interval.high), abs=5e-3)


def test_an_interval_and_a_p_value_of_one_publication_imply_one_spread(shipped: dict[str, PublishedEffect]) -> None:
    both = dataclasses.replace(shipped["ma_2012_distant_failure"], prior_sd=None)
    only_p = dataclasses.replace(both, lower=None, upper=None, interval_level=None)
    assert both.log_sd == pytest.approx(only_p.log_sd, rel=0.1)


# The spread of an effect


def test_the_spread_of_an_interval_is_recovered_at_any_level(tmp_path: Path, spec: Specification) -> None:
    # Quantiles of the standard normal from tables: 1.959964 (95 %), 1.644854 (90 %).
    for level, quantile in (("0.95", 1.959964), ("0.90", 1.644854)):
        bounds = {"lower": repr(0.8 * math.exp(-quantile * 0.2)), "upper": repr(0.8 * math.exp(quantile * 0.2))}
        effect = one(tmp_path, spec, interval_level=level, **bounds)
        assert effect.spread is Spread.INTERVAL
        assert effect.log_sd == pytest.approx(0.2, abs=1e-6)
        assert effect.log_ratio == pytest.approx(-0.2231436, abs=1e-6)


NO_INTERVAL = {"lower": "", "upper": "", "interval_level": ""}


def test_the_spread_of_a_p_value_puts_the_effect_at_its_quantile(tmp_path: Path, spec: Specification) -> None:
    # 2.575829 is the two-sided 1 % point.
    effect = one(tmp_path, spec, effect=repr(math.exp(-2.575829 * 0.3)), p_value="0.01", **NO_INTERVAL)
    assert effect.spread is Spread.P_VALUE
    assert effect.log_sd == pytest.approx(0.3, abs=1e-6)


def test_an_assumed_spread_goes_before_the_published_one(tmp_path: Path, spec: Specification) -> None:
    effect = one(tmp_path, spec, prior_sd="0.35", note="The spread is assumed.")
    assert (effect.spread, effect.log_sd) == (Spread.ASSUMED, 0.35)


def test_context_may_come_without_any_spread(tmp_path: Path, spec: Specification) -> None:
    effect = one(tmp_path, spec, used="no", **NO_INTERVAL)
    assert (effect.spread, effect.log_sd) == (None, None)


# Whom an effect applies to

COMPOUND = "hpv_status=negative & (t_stage=T4 | n_stage=N3)"


def test_membership_is_that_of_the_same_query_in_pandas(spec: Specification) -> None:
    generator = np.random.default_rng(7)
    values = pd.DataFrame(
        {
            "hpv_status": generator.choice(["positive", "negative"], 400),
            "t_stage": generator.choice(["T1", "T2", "T3", "T4"], 400),
            "n_stage": generator.choice(["N0", "N1", "N2", "N3"], 400),
            "age_years": generator.integers(40, 90, 400).astype(float),
        }
    )
    frame = typed_frame(values, spec)
    text = COMPOUND + " & age_years>50 & age_years<=70"
    query = "hpv_status == 'negative' and (t_stage == 'T4' or n_stage == 'N3') and 50 < age_years <= 70"
    wanted = values.eval(query).to_numpy(dtype=float)
    assert 0 < wanted.sum() < 400
    np.testing.assert_array_equal(parse_group(text, spec).membership(frame), wanted)


def test_another_level_is_one_that_is_known_and_not_this(spec: Specification) -> None:
    levels = ["CR", "PR", "SD", "unknown", None]
    frame = typed_frame(pd.DataFrame({"rt_response_nodal": levels, "age_years": [50.0, 51.0, 50.0, 52.0, None]}), spec)
    nan = math.nan
    np.testing.assert_array_equal(parse_group("rt_response_nodal!=CR", spec).membership(frame), [0, 1, 1, nan, nan])
    np.testing.assert_array_equal(parse_group("age_years!=50", spec).membership(frame), [0, 1, 0, 1, nan])
    assert str(parse_group("rt_response_nodal != CR", spec)) == "rt_response_nodal!=CR"


def test_membership_is_open_exactly_where_the_missing_values_decide(spec: Specification) -> None:
    levels = {"hpv_status": ["positive", "negative"], "t_stage": ["T2", "T4"], "n_stage": ["N1", "N3"]}
    group = parse_group(COMPOUND, spec)

    def answer(hpv: str, t: str, n: str) -> bool:
        return hpv == "negative" and (t == "T4" or n == "N3")

    cases = list(itertools.product(*([*known, None] for known in levels.values())))
    wanted = []
    for case in cases:
        completions = itertools.product(
            *(levels[name] if value is None else [value] for name, value in zip(levels, case, strict=True))
        )
        answers = {answer(*completion) for completion in completions}
        wanted.append(float(answers.pop()) if len(answers) == 1 else math.nan)
    frame = typed_frame(pd.DataFrame(cases, columns=list(levels)), spec)
    np.testing.assert_array_equal(group.membership(frame), np.array(wanted))
    assert 0 < np.isnan(wanted).sum() < len(cases)


def test_unknown_is_no_answer_and_neither_is_a_column_that_is_not_there(spec: Specification) -> None:
    frame = typed_frame(pd.DataFrame({"hpv_status": ["unknown", "positive", None], "age_years": [70.5, 71, 80]}), spec)
    nan = math.nan
    np.testing.assert_array_equal(parse_group("hpv_status=negative", spec).membership(frame), [nan, 0.0, nan])
    np.testing.assert_array_equal(parse_group("age_years<71", spec).membership(frame), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(parse_group("t_stage=T4", spec).membership(frame), [nan, nan, nan])
    np.testing.assert_array_equal(
        parse_group("t_stage=T4 & hpv_status=negative", spec).membership(frame), [nan, 0, nan]
    )
    np.testing.assert_array_equal(parse_group("", spec).membership(frame), [1.0, 1.0, 1.0])
    assert parse_group("", spec).membership(frame.head(0)).shape == (0,)


def test_an_effect_applies_to_its_group(tmp_path: Path, spec: Specification) -> None:
    frame = typed_frame(pd.DataFrame({"bilateral_primary": [1.0, 0.0, math.nan]}), spec)
    effect = one(tmp_path, spec, group="bilateral_primary=1")
    np.testing.assert_array_equal(effect.applies_to(frame), [1.0, 0.0, math.nan])


@pytest.mark.parametrize("text", ["", "age_years>50 & age_years<=60", COMPOUND])
def test_a_group_reads_back_from_its_own_words(spec: Specification, text: str) -> None:
    group = parse_group(text, spec)
    assert str(group) == text
    assert parse_group(str(group), spec) == group


# What is refused


@pytest.mark.parametrize(
    ("cells", "column", "expected"),
    [
        ({"effect": ""}, "effect", "a value"),
        ({"effect": "0,80"}, "effect", "a number above 0"),
        ({"effect": "-0.8"}, "effect", "a number above 0"),
        ({"effect": "0.08"}, "effect", "near the middle of 0.64 to 1, about 0.8"),
        ({"lower": "1.00", "upper": "0.64"}, "effect", "near the middle"),
        ({"upper": ""}, "interval_level", "or none of them"),
        ({"interval_level": "95"}, "interval_level", "above 0 and below 1"),
        ({"p_value": "1.0"}, "p_value", "above 0 and below 1"),
        ({"patients": "1.5"}, "patients", "a whole number"),
        ({"source": " "}, "source", "a value"),
        ({"decision": "os_months"}, "decision", "induction_chemo, concurrent_chemo, neck_dissection"),
        ({"outcome": "relapse"}, "outcome", "one of death, locoregional_failure"),
        ({"measure": "risk_ratio"}, "measure", "one of hazard_ratio, odds_ratio"),
        ({"measure": "odds_ratio"}, "measure", "hazard_ratio for death"),
        ({"outcome": "aspiration_6m"}, "measure", "odds_ratio for aspiration_6m"),
        ({"design": "expert"}, "design", "one of meta_analysis, randomised, observational"),
        ({"verified": "maybe"}, "verified", "yes or no"),
        ({"read_in": ""}, "read_in", "the address of the text read"),
        (
            {"verified": "no", "read_in": ""},
            "prior_sd",
            "an assumed standard deviation, because the figure was not read",
        ),
        ({**NO_INTERVAL}, "used", "an interval, a P value or prior_sd"),
        ({**NO_INTERVAL, "effect": "1.0", "p_value": "0.5"}, "used", "an interval, a P value or prior_sd"),
        ({"prior_sd": "0.3"}, "note", "that prior_sd is assumed"),
        ({"option": "cisplatin"}, "option", "two different ones of yes, no"),
        ({"option": "no"}, "option", "two different ones of yes, no"),
        ({"decision": "concurrent_agent"}, "option", "none, platinum, cetuximab, other"),
        ({"group": "age_years>seventy"}, "group", "a number from 18 to 110"),
        ({"group": "age_years>7"}, "group", "a number from 18 to 110"),
        ({"group": "smoker=yes"}, "group", "a column of the specification in place of 'smoker'"),
        ({"group": "hpv_status=unknown"}, "group", "positive, negative"),
        ({"group": "t_stage>T2"}, "group", "'t_stage' with ="),
        ({"group": "bilateral_primary=yes"}, "group", "'bilateral_primary' compared with 1 or 0"),
        ({"group": "t_stage=T3 | t_stage=T4"}, "group", "alternatives in brackets"),
        ({"group": "everybody"}, "group", "conditions such as"),
        ({"group": "hpv_status=positive & "}, "group", "conditions such as"),
        ({"group": "site_id=01"}, "group", "'site_id' with one of its levels"),
        ({"group": "rt_response_primary=CR"}, "group", "columns known before decision_cc"),
    ],
)
def test_a_fault_says_where_it_is_and_what_to_do(
    tmp_path: Path, spec: Specification, cells: dict[str, str], column: str, expected: str
) -> None:
    path = table(tmp_path, {"id": "sound", "used": "no"}, cells)
    with pytest.raises(SpecificationError) as refused:
        read_evidence(path, spec)
    message = str(refused.value)
    assert message.startswith(f"evidence some.csv cannot be used: line 3, column {column}: expected ")
    assert expected in message
    assert "got '" in message
    assert message.endswith(")")


def test_all_faults_are_told_at_once(tmp_path: Path, spec: Specification) -> None:
    with pytest.raises(SpecificationError, match=r"line 2, column effect.*line 2, column used.*line 3, column year"):
        read_evidence(table(tmp_path, {"effect": "x", "used": "?"}, {"id": "two", "year": "late"}), spec)


def test_rows_may_steer_the_same_patients_together(tmp_path: Path, spec: Specification) -> None:
    rows = ({}, {"id": "two", "group": "age_years>70"}, {"id": "three", "option": "no", "against": "yes"})
    chosen = read_evidence(table(tmp_path, *rows), spec).rows("concurrent_chemo", "death")
    assert [effect.id for effect in chosen] == ["one", "two", "three"]


def test_all_that_steers_the_choice_of_a_manner_compares_with_one_option(tmp_path: Path, spec: Specification) -> None:
    agent = {"decision": "concurrent_agent", "option": "cetuximab", "against": "platinum"}
    other = {**agent, "id": "two", "option": "other"}
    assert len(read_evidence(table(tmp_path, agent, other), spec).effects) == 2
    astray = {**other, "option": "platinum", "against": "other"}
    with pytest.raises(SpecificationError, match="line 3, column against: expected 'platinum' as in line 2"):
        read_evidence(table(tmp_path, agent, astray), spec)
    for harmless in ({"used": "no"}, {"outcome": "distant_failure"}):
        assert len(read_evidence(table(tmp_path, agent, {**astray, **harmless}), spec).effects) == 2


def test_a_name_stands_for_one_row(tmp_path: Path, spec: Specification) -> None:
    with pytest.raises(SpecificationError, match="line 3, column id: expected a name that line 2 does not have"):
        read_evidence(table(tmp_path, {"used": "no"}, {"used": "no"}), spec)


def test_a_prior_rests_on_what_was_read_if_any_of_its_rows_was(tmp_path: Path, spec: Specification) -> None:
    unread = {
        "verified": "no",
        "read_in": "",
        "prior_sd": "0.3",
        "note": "The SD is assumed.",
        "outcome": "distant_failure",
    }
    context = {"id": "context", "used": "no", "outcome": "locoregional_failure"}
    mixed = {**unread, "id": "mixed", "outcome": "death"}
    evidence = read_evidence(table(tmp_path, {}, mixed, {**unread, "id": "unread"}, context), spec)
    found = [evidence.basis("concurrent_chemo", name) for name in ("death", "distant_failure", "locoregional_failure")]
    assert found == [Basis.READ, Basis.UNREAD, Basis.NONE]
    page = evidence_page(spec, evidence)
    assumed = page[page.index("No published figure stands behind these") :]
    assert "\n* Concurrent chemotherapy: distant failure\n" in assumed
    assert "death" not in assumed


def test_an_option_that_is_not_on_record_stands_as_context(tmp_path: Path, spec: Specification) -> None:
    evidence = read_evidence(table(tmp_path, {"option": "three drugs", "against": "two drugs", "used": "no"}), spec)
    assert evidence.rows("concurrent_chemo", "death") == ()
    assert [effect.option for effect in evidence.rows("concurrent_chemo", "death", used=False)] == ["three drugs"]


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, spec: Specification) -> None:
    path = tmp_path / "other.csv"
    path.write_text("id,effect\none,0.8\n", encoding="utf-8")
    with pytest.raises(SpecificationError, match="line 1, column header: expected id,decision,option"):
        read_evidence(path, spec)
    path.write_bytes(b"id,\xff\n")
    with pytest.raises(SpecificationError, match=r"other\.csv is no CSV file in UTF-8"):
        read_evidence(path, spec)
    surplus = table(tmp_path, {}).read_text(encoding="utf-8").rstrip() + ",astray\n"
    path.write_text(surplus, encoding="utf-8")
    with pytest.raises(SpecificationError, match="nothing after the last column"):
        read_evidence(path, spec)


# The page


UNREAD = {"verified": "no", "read_in": "", "source": "Hearsay 2001", "effect": "7.77", "patients": "3333"}
UNREAD |= {"lower": "6.66", "upper": "9.06", "interval_level": "0.5", "note": "Said to be 7.77; assumed."}


@pytest.mark.parametrize("used", [{"used": "no"}, {"used": "yes", "prior_sd": "0.44"}])
def test_a_figure_nobody_read_is_named_and_not_printed(
    tmp_path: Path, spec: Specification, used: dict[str, str]
) -> None:
    page = evidence_page(spec, read_evidence(table(tmp_path, {**UNREAD, **used}), spec))
    assert "Hearsay 2001" in page
    assert not [figure for figure in ("7.77", "6.66", "9.06", "3333") if figure in page]
    told = "| **used**, SD 0.44 assumed | steers the prior, not verified: number not shown |"
    assert (told in page) == (used["used"] == "yes")


def test_the_published_page_says_the_same_whatever_the_figures_nobody_read(spec: Specification) -> None:
    evidence = load_evidence(spec)
    other = {"effect": 9.87, "lower": 8.76, "upper": 11.1, "p_value": 0.0123, "patients": 54321, "note": "9.87"}
    changed = tuple(e if e.verified else dataclasses.replace(e, **other) for e in evidence.effects)
    assert changed != evidence.effects
    page = evidence_page(spec, dataclasses.replace(evidence, effects=changed), load_term_rows(spec))
    assert page == PAGE.read_text(encoding="utf-8")
    figures = {f"{e.effect:.2f}" for e in evidence.effects if not e.verified}
    assert not figures & set(re.findall(r"\d+\.\d+", evidence.open_questions))


def test_the_page_tells_effect_comparison_group_and_use(tmp_path: Path, spec: Specification) -> None:
    agent = {"decision": "concurrent_agent", "option": "cetuximab", "against": "platinum"}
    rows = (
        {"group": COMPOUND},
        {"id": "two", **agent, "given_as": "counts", "used": "no", "interval_level": "0.9"},
    )
    page = evidence_page(spec, read_evidence(table(tmp_path, *rows), spec))
    lines = [line for line in page.splitlines() if "A trial" in line]
    assert len(lines) == 2
    assert "| **used**, SD 0.11 | HR 0.80 (0.64 to 1.00) | given against not given |" in lines[0]
    assert "hpv_status=negative & (t_stage=T4 \\| n_stage=N3)" in lines[0]
    assert "| context | HR 0.80* (0.64 to 1.00, 90% interval) | cetuximab against platinum |" in lines[1]
    assert "* Concurrent chemotherapy: locoregional failure, distant failure," in page
    assert "* Concurrent agent: death, locoregional failure," in page


def test_open_questions_beside_the_table_stand_on_the_page(tmp_path: Path, spec: Specification) -> None:
    path = table(tmp_path, {})
    path.with_name("some_open.md").write_text("* Nobody asked.\n", encoding="utf-8")
    assert "* Nobody asked." in evidence_page(spec, read_evidence(path, spec))


# The terms of effects


def terms_table(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "some_terms.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(GOOD_TERM))
        writer.writeheader()
        writer.writerows({**GOOD_TERM, **row} for row in rows)
    return path


GOOD_TERM = {
    "decision": "concurrent_chemo",
    "outcome": "death",
    "name": "per 10 years of age above 60",
    "column": "age_years",
    "centre": "60",
    "per": "10",
    "group": "",
    "state": "",
    "prior_mean": "",
    "prior_sd": "0.15",
    "reason": "Trials say so.",
}
IN_GROUP = {"column": "", "centre": "", "per": "", "name": "in T4", "group": "t_stage=T4"}


IN_STATE = {
    "decision": "neck_dissection",
    "column": "",
    "centre": "",
    "per": "",
    "name": "after an incomplete response",
    "state": "rt_response_nodal!=CR",
    "prior_mean": "-0.5",
}
ITSELF = {"column": "", "centre": "", "per": "", "name": ""}


def read(path: Path, spec: Specification) -> dict[str, tuple[EffectTerm, ...]]:
    return effect_terms(read_term_rows(path, spec), spec)


def test_a_disease_without_a_table_of_terms_has_the_effects_themselves(spec: Specification) -> None:
    terms = load_terms(dataclasses.replace(spec, name="elsewhere"))
    decisions = ["induction_chemo", "concurrent_chemo", "neck_dissection"]
    for outcome in spec.outcomes:
        weak = 1.0 if outcome.kind is OutcomeKind.BINARY else 0.5
        assert terms[outcome.name] == tuple(EffectTerm(decision, "", prior_sd=weak) for decision in decisions)


def test_terms_stand_with_their_decision_and_outcome(tmp_path: Path, spec: Specification) -> None:
    path = terms_table(tmp_path, {}, {**IN_GROUP, "outcome": ""}, {**IN_GROUP, "decision": "induction_chemo"})
    named = {name: [(term.decision, term.name) for term in terms] for name, terms in read(path, spec).items()}
    everywhere = [("concurrent_chemo", ""), ("concurrent_chemo", "in T4")]
    assert named["feeding_tube_6m"] == [("induction_chemo", ""), *everywhere, ("neck_dissection", "")]
    assert named["death"] == [
        ("induction_chemo", ""),
        ("induction_chemo", "in T4"),
        ("concurrent_chemo", ""),
        ("concurrent_chemo", "per 10 years of age above 60"),
        ("concurrent_chemo", "in T4"),
        ("neck_dissection", ""),
    ]


def test_a_row_without_a_name_is_the_effect_itself(tmp_path: Path, spec: Specification) -> None:
    path = terms_table(tmp_path, {**ITSELF, "outcome": "distant_failure", "prior_mean": "-0.1"})
    terms = read(path, spec)
    weak = EffectTerm("concurrent_chemo", "", prior_sd=0.5)
    assert terms["death"][1] == weak
    assert terms["distant_failure"][1] == dataclasses.replace(weak, prior_sd=0.15, prior_mean=-0.1)
    assert [len(of_outcome) for of_outcome in terms.values()] == [3] * len(spec.outcomes)


def test_a_state_term_is_apart_from_the_terms_that_are_known_at_the_start(tmp_path: Path, spec: Specification) -> None:
    path = terms_table(tmp_path, {**IN_STATE, "outcome": "locoregional_failure"})
    rows = read_term_rows(path, spec)
    assert effect_terms(rows, spec) == load_terms(dataclasses.replace(spec, name="elsewhere"))
    found = {name: terms for name, terms in state_terms(rows, spec).items() if terms}
    (term,) = found.pop("locoregional_failure")
    assert not found
    assert (term.column, term.prior_mean, term.prior_sd) == ("rt_response_nodal", -0.5, 0.15)
    levels = ["CR", "PR", "SD", "PD", "unknown", None]
    seen = typed_frame(pd.DataFrame({"rt_response_nodal": levels}), spec)
    np.testing.assert_array_equal(term.membership(seen), [0, 1, 1, 1, math.nan, math.nan])


def test_the_shipped_states_are_seen_before_their_decision(spec: Specification) -> None:
    moments = {name: column.available_from for name, column in spec.by_name.items()}
    decided = {decision.column: decision.moment for decision in spec.decisions}
    found = [term for terms in load_state_terms(spec).values() for term in terms]
    assert found
    for term in found:
        assert spec.rank(moments[term.column]) < spec.rank(decided[term.decision])


def test_a_term_counts_steps_from_its_centre_within_its_group(spec: Specification) -> None:
    values = {"age_years": [45.0, 60.0, 75.0, math.nan, 75.0], "t_stage": ["T4", "T4", "T4", "T4", "T1"]}
    frame = typed_frame(pd.DataFrame(values), spec)
    ageing = EffectTerm("concurrent_chemo", "per 10 years", "age_years", 60.0, 10.0)
    np.testing.assert_array_equal(ageing.values(frame), [-1.5, 0.0, 1.5, 0.0, 1.5])
    np.testing.assert_array_equal(dataclasses.replace(ageing, group="t_stage=T4").values(frame), [-1.5, 0, 1.5, 0, 0])
    np.testing.assert_array_equal(EffectTerm("concurrent_chemo", "", group="t_stage=T4").values(frame), [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(EffectTerm("concurrent_chemo", "").values(frame), np.ones(5))
    np.testing.assert_array_equal(EffectTerm("concurrent_chemo", "", "pack_years").values(frame), np.zeros(5))


def test_a_term_survives_storage_as_plain_data(spec: Specification) -> None:
    adapter = TypeAdapter(tuple[EffectTerm, ...])
    terms = load_terms(spec)["death"]
    assert any(term.group for term in terms)
    assert any(term.column for term in terms)
    assert adapter.validate_python(json.loads(json.dumps(adapter.dump_python(terms)))) == terms


@pytest.mark.parametrize(
    ("cells", "column", "expected"),
    [
        ({"decision": "concurrent_agent"}, "decision", "one of induction_chemo, concurrent_chemo, neck_dissection"),
        ({"outcome": "relapse"}, "outcome", "one of death, locoregional_failure"),
        ({"name": ""}, "name", "a value"),
        ({"prior_mean": "half"}, "prior_mean", "a number"),
        ({**IN_STATE, "name": ""}, "name", "a value"),
        ({**IN_STATE, "prior_mean": ""}, "prior_mean", "a log ratio"),
        ({**IN_STATE, "decision": "surgery"}, "decision", "one of induction_chemo"),
        ({**IN_STATE, "group": "sex=male"}, "group", "nothing beside a state"),
        ({**IN_STATE, "state": "rt_response_nodal~CR"}, "state", "conditions such as"),
        ({**IN_STATE, "state": "rt_response_nodal!=gone"}, "state", "'rt_response_nodal' with one of its levels"),
        ({**IN_STATE, "state": "n_stage=N2"}, "state", "conditions on one of ic_response_primary, ic_response_nodal"),
        ({**IN_STATE, "state": "rt_dlt_other=1"}, "state", "conditions on one of ic_response_primary"),
        ({**IN_STATE, "decision": "concurrent_chemo"}, "state", "conditions on one of ic_response_primary, ic_resp"),
        ({**IN_STATE, "decision": "induction_chemo"}, "state", "conditions on one of none, which are seen before"),
        (
            {**IN_STATE, "state": "rt_response_nodal=PR & rt_response_primary=CR"},
            "state",
            "conditions on one of ic_response_primary",
        ),
        ({"column": "sex"}, "column", "a number of the specification"),
        ({"column": "weight"}, "column", "columns known before decision_cc"),
        ({"column": "rt_dose_gy"}, "column", "columns known before decision_cc"),
        ({"group": "rt_response_primary=CR"}, "group", "columns known before decision_cc"),
        ({"group": "t_stage=T9"}, "group", "'t_stage' with one of its levels"),
        ({"centre": "sixty"}, "centre", "a number"),
        ({"per": "0"}, "per", "a number above 0"),
        ({"per": ""}, "per", "centre and per with a column, and neither without"),
        ({**IN_GROUP, "centre": "60", "per": "10"}, "per", "centre and per with a column, and neither without"),
        ({**IN_GROUP, "group": ""}, "group", "a column, a group or a state, or no name for the effect itself"),
        ({"prior_sd": ""}, "prior_sd", "a value"),
        ({"prior_sd": "-1"}, "prior_sd", "a number above 0"),
        ({"reason": ""}, "reason", "a value"),
        ({"name": "again", "outcome": ""}, "name", "another name than in line 2"),
    ],
)
def test_a_fault_of_a_term_says_where_it_is_and_what_to_do(
    tmp_path: Path, spec: Specification, cells: dict[str, str], column: str, expected: str
) -> None:
    path = terms_table(tmp_path, {"name": "again"}, cells)
    with pytest.raises(SpecificationError) as refused:
        read(path, spec)
    message = str(refused.value)
    assert message.startswith("evidence some_terms.csv cannot be used: line 3, column ")
    assert f"line 3, column {column}: expected {expected}" in message
    assert "got '" in message
    assert message.endswith(")")


def test_all_faults_of_terms_are_told_at_once(tmp_path: Path, spec: Specification) -> None:
    with pytest.raises(
        SpecificationError, match=r"line 2, column prior_sd.*line 3, column reason.*line 3, column name"
    ):
        read(terms_table(tmp_path, {"prior_sd": "wide"}, {"reason": "", "name": ""}), spec)
