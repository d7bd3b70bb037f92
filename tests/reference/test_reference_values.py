"""The twin's own estimators and metrics against printed values, and against lifelines and scikit-survival.

`reference_values.json` says where each value comes from; `make_reference_values.py` wrote it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung, load_rossi
from sksurv.datasets import load_veterans_lung_cancer

from twin.metrics.accuracy import brier_curve, integrated_brier
from twin.metrics.censoring import aalen_johansen, kaplan_meier
from twin.metrics.discrimination import auc_at, harrell_c, uno_c
from twin.metrics.observed import COMPETING, EVENT, Observed
from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox

REFERENCE = json.loads(Path(__file__).with_name("reference_values.json").read_text(encoding="utf-8"))
PRINTED, COMPUTED = REFERENCE["printed"], REFERENCE["computed"]
NEARLY_FREE = 1e-10


def agrees_as_printed(ours: float, printed: str) -> bool:
    """Whether rounding `ours` gives what was printed; a half is granted either way."""
    decimals = len(printed.partition(".")[2])
    return abs(ours - float(printed)) <= 0.5000001 * 10.0**-decimals


def lung() -> pd.DataFrame:
    return load_lung().rename(columns={"status": "event"})


def veteran() -> pd.DataFrame:
    covariates, outcome = load_veterans_lung_cancer()
    cells = pd.get_dummies(covariates["Celltype"], dtype=float).rename(columns={"smallcell": "small"})
    frame = pd.DataFrame({"time": outcome["Survival_in_days"], "event": outcome["Status"].astype(int)})
    trt = (covariates["Treatment"] == "test").astype(float) + 1.0
    return frame.assign(trt=trt, age=covariates["Age_in_years"], **{name: cells[name] for name in cells})


def rossi() -> pd.DataFrame:
    return load_rossi().rename(columns={"week": "time", "arrest": "event"})


def dataset(name: str) -> pd.DataFrame:
    if name == "ovarian":
        return pd.DataFrame(REFERENCE["ovarian"])
    return {"lung": lung, "veteran": veteran, "rossi": rossi}[name]()


def likelihood(frame: pd.DataFrame, columns: list[str]) -> CoxLikelihood:
    used = frame.dropna(subset=columns)
    time = used["time"].to_numpy(dtype=float)
    inputs = used[columns].to_numpy(dtype=float)
    episodes = Episodes(
        inputs, np.zeros_like(time), time, used["event"].to_numpy(dtype=float) == 1, np.arange(len(time))
    )
    return CoxLikelihood(episodes.by_stop(), np.ones(len(time)))


def inputs_of(printed: dict) -> list[str]:
    every = list(dataset(printed["dataset"]).columns.drop(["time", "event"]))
    return every if printed["dataset"] == "rossi" else list(printed["coef"])


@pytest.mark.parametrize("printed", PRINTED["cox"], ids=lambda p: f"{p['dataset']}: {' + '.join(p['coef'])}")
def test_cox_regression_gives_the_printed_output(printed: dict) -> None:
    frame, columns = dataset(printed["dataset"]), inputs_of(printed)
    model = likelihood(frame, columns)
    fitted = fit_ridge_cox(model, np.full(len(columns), NEARLY_FREE), tolerance=1e-14)
    error = np.sqrt(np.diag(np.linalg.inv(model.derivatives(fitted)[2])))
    for name, text in printed["coef"].items():
        assert agrees_as_printed(fitted[columns.index(name)], text), name
    for name, text in printed["se"].items():
        assert agrees_as_printed(error[columns.index(name)], text), name
    if "lr" in printed:
        gain = model.value(fitted) - model.value(np.zeros(len(columns)))
        assert agrees_as_printed(2.0 * gain, printed["lr"])
    if "c" in printed:
        used = frame.dropna(subset=columns)
        observed = Observed(used["time"].to_numpy(dtype=float), used["event"].to_numpy(dtype=np.int64))
        # Equal risks differ in the last bit after the product; ties are ties.
        risk = np.round(used[columns].to_numpy(dtype=float) @ fitted, 10)
        assert agrees_as_printed(harrell_c(observed, risk)[0], printed["c"])


@pytest.mark.parametrize("name", PRINTED["textbook"])
def test_cox_regression_solves_the_textbook(name: str) -> None:
    """Tied deaths, delayed entry and case weights, with what the book derives by hand."""
    book = PRINTED["textbook"][name]
    columns = {key: np.array(book[key], dtype=float) for key in ("start", "stop", "event", "x", "weight")}
    order = np.argsort(columns["stop"], kind="stable")
    start, stop, event, x, weight = (columns[key][order] for key in ("start", "stop", "event", "x", "weight"))
    model = CoxLikelihood(Episodes(x[:, None], start, stop, event == 1, np.arange(len(x))), weight)
    assert model.value(np.zeros(1)) == pytest.approx(book["value_at_0"], rel=1e-12)
    fitted = fit_ridge_cox(model, np.array([NEARLY_FREE]), tolerance=1e-14)
    exact = name == "tied"
    assert fitted[0] == pytest.approx(book["coef"], abs=1e-8 if exact else 5.1e-5)
    information = model.derivatives(fitted)[2][0, 0]
    assert information == pytest.approx(book["information"], rel=1e-8 if exact else 2e-4)
    if "information_at_0" in book:
        assert model.derivatives(np.zeros(1))[2][0, 0] == pytest.approx(book["information_at_0"], rel=1e-12)
    if "value" in book:
        assert model.value(fitted) == pytest.approx(book["value"], rel=1e-12)


@pytest.mark.parametrize("precision", COMPUTED["cox"]["by_precision"])
def test_ridge_cox_equals_scikit_survival(precision: str) -> None:
    covariates, outcome = load_veterans_lung_cancer()
    inputs = pd.get_dummies(covariates, drop_first=True, dtype=float)[COMPUTED["cox"]["columns"]]
    frame = inputs.assign(time=outcome["Survival_in_days"], event=outcome["Status"])
    model = likelihood(frame, list(inputs.columns))
    ours = fit_ridge_cox(model, np.full(inputs.shape[1], float(precision)), tolerance=1e-14)
    np.testing.assert_allclose(ours, COMPUTED["cox"]["by_precision"][precision], atol=1e-6)


def test_kaplan_meier_gives_the_printed_table() -> None:
    printed, frame = PRINTED["curves"]["kaplan_meier_ovarian"], dataset("ovarian")
    observed = Observed(frame["time"].to_numpy(dtype=float), frame["event"].to_numpy(dtype=np.int64))
    curve = kaplan_meier(observed)
    for day, text in printed["survival"].items():
        assert agrees_as_printed(curve.at(np.array([float(day)]))[0, 0], text), day


def test_aalen_johansen_gives_the_printed_incidence() -> None:
    printed = PRINTED["curves"]["breast_cancer"]
    others = printed["patients"] - len(printed["time"])
    time = np.concatenate([printed["time"], np.full(others, 60.0)])
    observed = Observed(time, np.concatenate([printed["event"], np.zeros(others, dtype=np.int64)]))
    incidence, survival = aalen_johansen(observed), kaplan_meier(observed)
    # The paper adds up rounded steps: these are printed exactly, their sum is not.
    for month, text in printed["steps_of_incidence"].items():
        at = np.array([float(month)])
        assert agrees_as_printed(100.0 * (incidence.at(at) - incidence.before(at))[0, 0], text), month
    for month, text in printed["survival"].items():
        assert agrees_as_printed(100.0 * survival.at(np.array([float(month)]))[0, 0], text), month


@pytest.mark.parametrize(("cause", "name"), [(1, "mortality"), (2, "relapse")])
def test_aalen_johansen_with_ties_equals_the_hand_computed(cause: int, name: str) -> None:
    worked = PRINTED["curves"]["acute_myeloid_leukaemia"]
    event = np.array(worked["event"])
    codes = np.select([event == cause, event > 0], [EVENT, COMPETING], 0)
    curve = aalen_johansen(Observed(np.array(worked["time"], dtype=float), codes))
    months = np.array(worked[f"{name}_months"], dtype=float)
    np.testing.assert_allclose(curve.at(months)[0], worked[name], atol=1e-14)
    np.testing.assert_allclose(curve.before(months)[0], [0.0, *worked[name][:-1]], atol=1e-14)


def test_aalen_johansen_equals_lifelines() -> None:
    computed = COMPUTED["incidence"]
    observed = Observed(np.array(computed["time"]), np.array(computed["event"]))
    ours = aalen_johansen(observed).at(np.array(computed["months"]))[0]
    np.testing.assert_allclose(ours, computed["incidence"], atol=1e-12)


def test_harrell_c_counts_the_printed_pairs() -> None:
    printed = PRINTED["concordance"]
    frame = lung().dropna(subset=["ph.ecog"])
    observed = Observed(frame["time"].to_numpy(dtype=float), frame["event"].to_numpy(dtype=np.int64))
    pairs = printed["concordant"] + printed["discordant"] + printed["tied"]
    expected = (printed["concordant"] + printed["tied"] / 2) / pairs
    assert harrell_c(observed, frame["ph.ecog"].to_numpy())[0] == pytest.approx(expected, abs=1e-12)


def test_scores_equal_the_hand_computed() -> None:
    worked = PRINTED["scores"]
    observed = Observed(np.array(worked["time"], dtype=float), np.array(worked["event"]))
    score = brier_curve(observed, np.array(worked["risk"])[:, None], np.array([worked["month"]]))
    assert score[0, 0] == pytest.approx(worked["brier"], abs=1e-14)
    assert uno_c(observed, np.array(worked["ranked"]), worked["month"])[0] == pytest.approx(worked["uno_c"], abs=1e-14)


def test_metrics_equal_scikit_survival_under_heavy_censoring() -> None:
    computed = COMPUTED["metrics"]
    observed = Observed(np.array(computed["time"]), np.array(computed["event"]))
    assert observed.events < observed.size / 2
    grid, nodes = np.array(computed["grid"]), np.array(computed["nodes"], dtype=float)
    risk = np.round(-np.expm1(-np.outer(np.exp(0.06 * np.minimum(nodes, 25.0)), grid / 130.0)), 6)
    np.testing.assert_allclose(brier_curve(observed, risk, grid)[0], computed["brier"], atol=1e-12)
    assert integrated_brier(observed, risk, grid)[0] == pytest.approx(computed["integrated_brier"], abs=1e-12)
    assert uno_c(observed, nodes, computed["tau"])[0] == pytest.approx(computed["uno_c"], abs=1e-12)
    assert harrell_c(observed, nodes)[0] == pytest.approx(computed["harrell_c"], abs=1e-12)
    np.testing.assert_allclose([auc_at(observed, nodes, month)[0] for month in grid], computed["auc"], atol=1e-12)
