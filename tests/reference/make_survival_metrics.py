"""Writes survival_metrics.json beside it, with scikit-survival: run by hand when the reference has to change."""

import json
from pathlib import Path

import numpy as np
import sksurv
from sksurv import metrics
from sksurv.datasets import load_veterans_lung_cancer
from sksurv.linear_model import CoxPHSurvivalAnalysis

GRID = np.arange(1.0, 10.0)
MONTHS = np.array([2.0, 4.0, 6.0, 9.0])
TAU = 9.0


def reference() -> dict[str, object]:
    covariates, outcome = load_veterans_lung_cancer()
    # Broken ties: what belongs to whom in a tie differs between packages and has tests of its own.
    jitter = np.round(np.random.default_rng(0).uniform(0.0001, 0.001, len(outcome)), 7)
    months = np.round(outcome["Survival_in_days"] / 30.4375, 6) + jitter
    event = outcome["Status"].astype(bool)
    labels = np.array(list(zip(event, months, strict=True)), dtype=[("event", bool), ("time", float)])
    inputs = covariates[["Karnofsky_score", "Age_in_years"]].astype(float)
    curves = CoxPHSurvivalAnalysis().fit(inputs, labels).predict_survival_function(inputs)
    risk = np.round([1.0 - curve(GRID) for curve in curves], 6)
    last, at_months = risk[:, -1], risk[:, np.searchsorted(GRID, MONTHS)]
    return {
        "source": f"scikit-survival {sksurv.__version__}: concordance_index_censored, concordance_index_ipcw, "
        "cumulative_dynamic_auc, brier_score, integrated_brier_score",
        "data": "Veterans' Administration lung cancer trial (Kalbfleisch and Prentice 1980), days as months, "
        "ties broken at random; risks of a Cox model on Karnofsky score and age",
        "time": months.tolist(),
        "event": event.astype(int).tolist(),
        "grid": GRID.tolist(),
        "risk": risk.tolist(),
        "months": MONTHS.tolist(),
        "tau": TAU,
        "harrell_c": metrics.concordance_index_censored(event, months, last)[0],
        "uno_c": metrics.concordance_index_ipcw(labels, labels, last, tau=TAU)[0],
        "auc": metrics.cumulative_dynamic_auc(labels, labels, at_months, MONTHS)[0].tolist(),
        "brier": metrics.brier_score(labels, labels, 1.0 - at_months, MONTHS)[1].tolist(),
        "integrated_brier": metrics.integrated_brier_score(labels, labels, 1.0 - risk, GRID),
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("survival_metrics.json")
    target.write_text(json.dumps(reference(), separators=(",", ":")) + "\n", encoding="utf-8")
