"""Writes reference_values.json beside it: run by hand when the reference has to change.

The first half of the file is what others have printed: textbooks, R's survival package and its own tests, a paper. Such
numbers are kept as the text they were printed as, so that a test knows how exact they are. The second half is computed
here with lifelines and scikit-survival, on data with more censoring than in `survival_metrics.json`.
"""

import json
from fractions import Fraction
from pathlib import Path

import lifelines
import numpy as np
import pandas as pd
import sksurv
from lifelines import AalenJohansenFitter
from lifelines.datasets import load_gbsg2
from sksurv import metrics
from sksurv.datasets import load_veterans_lung_cancer
from sksurv.linear_model import CoxPHSurvivalAnalysis

SURVIVAL = "R package survival (Therneau), https://github.com/therneau/survival"
BOOK = "Therneau and Grambsch 2000, Modeling Survival Data (ISBN 978-0-387-98784-2), appendix E; worked by hand in "

OVARIAN = pd.DataFrame(
    [
        (59, 1, 72.3315, 2, 1, 1),
        (115, 1, 74.4932, 2, 1, 1),
        (156, 1, 66.4658, 2, 1, 2),
        (421, 0, 53.3644, 2, 2, 1),
        (431, 1, 50.3397, 2, 1, 1),
        (448, 0, 56.4301, 1, 1, 2),
        (464, 1, 56.937, 2, 2, 2),
        (475, 1, 59.8548, 2, 2, 2),
        (477, 0, 64.1753, 2, 1, 1),
        (563, 1, 55.1781, 1, 2, 2),
        (638, 1, 56.7562, 1, 1, 2),
        (744, 0, 50.1096, 1, 2, 1),
        (769, 0, 59.6301, 2, 2, 2),
        (770, 0, 57.0521, 2, 2, 1),
        (803, 0, 39.2712, 1, 1, 1),
        (855, 0, 43.1233, 1, 1, 2),
        (1040, 0, 38.8932, 2, 1, 2),
        (1106, 0, 44.6, 1, 1, 1),
        (1129, 0, 53.9068, 1, 2, 1),
        (1206, 0, 44.2055, 2, 2, 1),
        (1227, 0, 59.589, 1, 2, 2),
        (268, 1, 74.5041, 2, 1, 2),
        (329, 1, 43.137, 2, 1, 1),
        (353, 1, 63.2192, 1, 2, 2),
        (365, 1, 64.4247, 2, 2, 1),
        (377, 0, 58.3096, 1, 2, 1),
    ],
    columns=["time", "event", "age", "resid.ds", "rx", "ecog.ps"],
)
"""The ovarian cancer trial (Edmunson et al. 1979) as in R's survival: 26 patients, 12 deaths, no tied times."""


def cox(dataset: str, coef: dict[str, str], se: dict[str, str], source: str, **others: str) -> dict[str, object]:
    return {"source": source, "dataset": dataset, "coef": coef, "se": se, **others}


def printed_cox() -> list[dict[str, object]]:
    """Output of R's coxph with Efron's ties, as printed; lr is the likelihood ratio test, c the concordance."""
    ovarian = f"{SURVIVAL}, tests/ovarian.Rout.save"
    return [
        cox(
            "lung",
            {"age": "0.011067", "sex": "-0.552612", "ph.ecog": "0.463728"},
            {"age": "0.009267", "sex": "0.167739", "ph.ecog": "0.113577"},
            "R: coxph(Surv(time, status) ~ age + sex + ph.ecog, data = lung), printed at "
            "https://cloud.tencent.com/developer/article/1374595",
            lr="30.5",
            c="0.637",
        ),
        cox(
            "veteran",
            {"trt": "0.179011", "small": "1.080310", "adeno": "1.170470", "large": "0.292624", "age": "0.004097"},
            {"trt": "0.201404", "small": "0.274647", "adeno": "0.294727", "large": "0.285504", "age": "0.009581"},
            "R: coxph(Surv(time, status) ~ trt + celltype + age, data = veteran), printed at "
            "https://stats.stackexchange.com/questions/498946",
            lr="26.04",
            c="0.619",
        ),
        cox(
            "veteran",
            {"trt": "0.01774"},
            {"trt": "0.18066"},
            "R: coxph(Surv(stime, status) ~ treat, data = VA), printed at "
            "https://dathomas1.github.io/STA6257_finished_coxph/slides",
            lr="0.01",
            c="0.525",
        ),
        cox("ovarian", {"age": "0.162"}, {"age": "0.0497"}, ovarian, lr="14.3"),
        cox(
            "ovarian",
            {"resid.ds": "1.347", "rx": "-0.749", "ecog.ps": "0.453"},
            {"resid.ds": "0.680", "rx": "0.595", "ecog.ps": "0.590"},
            ovarian,
            lr="6.03",
        ),
        cox(
            "ovarian",
            {"age": "0.147", "rx": "-0.815", "ecog.ps": "0.103"},
            {"age": "0.0463", "rx": "0.6342", "ecog.ps": "0.6064"},
            ovarian,
            lr="15.9",
        ),
        cox(
            "ovarian",
            {"age": "0.129", "resid.ds": "0.696", "rx": "-0.849"},
            {"age": "0.0473", "resid.ds": "0.7585", "rx": "0.6392"},
            ovarian,
            lr="16.8",
        ),
        cox(
            "rossi",
            {"fin": "-0.379", "age": "-0.057", "race": "0.314", "wexp": "-0.150", "mar": "-0.434"},
            {"fin": "0.191", "age": "0.022", "race": "0.308", "wexp": "0.212"},
            "lifelines: CoxPHFitter on all seven covariates of its rossi data, printed at "
            "https://pymargins.readthedocs.io/en/stable/demos/rossi_recidivism.html",
        ),
    ]


def textbook_cox() -> dict[str, object]:
    """Small data sets with closed forms: coefficient, log likelihood and information at 0, and baseline hazards."""
    log = np.log
    r = 2 * np.sqrt(23 / 3) * np.cos(np.arccos(45 / 23 * np.sqrt(3 / 23)) / 3)
    spread = sum(p * (1 - p) for p in (r / (r + 1), r / (r + 5), r / (r + 3)))
    tied = {
        "source": f"{BOOK}{SURVIVAL}, tests/book2.R (Efron's ties)",
        "start": [0] * 6,
        "stop": [9, 1, 1, 6, 6, 8],
        "event": [1, 1, 0, 1, 1, 0],
        "x": [0, 1, 1, 1, 0, 0],
        "weight": [1] * 6,
        "coef": float(log(r)),
        "value_at_0": float(-(log(6) + log(3) + log(4))),
        "information_at_0": 1 / 4 + 1 / 6 * 5 / 6 + 1 / 4 * 3 / 4,
        "value": float(2 * log(r) - log(3 * r + 3) - log((r + 5) / 2) - log(r + 3)),
        "information": float(spread),
    }
    entries = {
        "source": f"{BOOK}{SURVIVAL}, tests/book4.R and its output (delayed entry, Efron's ties)",
        "start": [1, 2, 5, 2, 1, 7, 3, 4, 8, 8],
        "stop": [2, 3, 6, 7, 8, 9, 9, 9, 14, 17],
        "event": [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "x": [1, 0, 0, 1, 0, 1, 1, 1, 0, 0],
        "weight": [1] * 10,
        # Printed are linear predictors of -0.0105526 (x 1) and 0.0105526 (x 0), and 0.3975884 as the error of each.
        "coef": -2 * 0.0105526,
        "value_at_0": float(-(log(2) + log(3) + 2 * log(5) + 2 * log(4) + log(4))),
        "information_at_0": 1 / 4 + 2 / 9 + 6 / 25 + 6 / 16 + 6 / 25 + 4 / 16,
        "information": (2 * 0.3975884) ** -2,
    }
    weighted = {
        "source": f"{BOOK}{SURVIVAL}, tests/book6.R and its output (case weights, Efron's ties)",
        "start": [0] * 9,
        "stop": [1, 1, 2, 2, 2, 2, 3, 4, 5],
        "event": [1, 0, 1, 1, 1, 0, 0, 1, 0],
        "x": [2, 0, 1, 1, 0, 1, 0, 1, 0],
        "weight": [1, 2, 3, 4, 3, 2, 1, 2, 1],
        "coef": 0.8726,
        "value_at_0": float(-(log(19) + 10 / 3 * (log(16) + log(38 / 3) + log(28 / 3)) + 2 * log(3))),
        "information": 0.7126**-2,
    }
    return {"tied": tied, "delayed entry": entries, "weighted": weighted}


def printed_curves() -> dict[str, object]:
    """Kaplan-Meier, and the incidence of one cause among two."""
    return {
        "kaplan_meier_ovarian": {
            "source": f"{SURVIVAL}, tests/ovarian.Rout.save: summary(survfit(Surv(futime, fustat) ~ 1))",
            "survival": {
                59: "0.962",
                115: "0.923",
                156: "0.885",
                268: "0.846",
                329: "0.808",
                353: "0.769",
                365: "0.731",
            }
            | {421: "0.731", 431: "0.688", 464: "0.642", 475: "0.596", 563: "0.546", 638: "0.497", 1227: "0.497"},
        },
        "breast_cancer": {
            "source": "Satagopan et al. 2004, Br J Cancer 91:1229-35 (doi:10.1038/sj.bjc.6602102), table 2: the first "
            "9 of 305 patients, the others followed for longer; per cent",
            "patients": 305,
            "time": [7, 10, 14, 16, 18, 23, 24, 26, 27],
            "event": [0, 1, 0, 1, 2, 1, 0, 2, 1],
            "steps_of_incidence": {10: "0.3", 16: "0.3", 23: "0.3", 27: "0.3"},
            "survival": {10: "99.7", 16: "99.3", 18: "99.0", 23: "98.7", 26: "98.3", 27: "98.0"},
        },
        "acute_myeloid_leukaemia": by_hand_incidence(),
    }


def by_hand_incidence() -> dict[str, object]:
    """The AML patients of Scrucca et al. 2007: at 2, 3, 4, 7, 8 and 10 months 18, 16, 13, 10, 8, 6 are at risk."""
    free = [Fraction(17, 18), Fraction(13, 16), Fraction(11, 13), Fraction(9, 10), Fraction(7, 8)]
    before = [Fraction(1)]
    for share in free:
        before.append(before[-1] * share)
    mortality = [before[1] * Fraction(3, 16), before[2] * Fraction(2, 13), before[4] * Fraction(1, 8)]
    relapse = [Fraction(1, 18), before[3] * Fraction(1, 10), before[5] * Fraction(1, 6)]
    return {
        "source": "worked by hand; patients with acute myeloid leukaemia of Scrucca et al. 2007, Bone Marrow "
        "Transplant 40:381-7 (doi:10.1038/sj.bmt.1705727); 1 transplant-related mortality, 2 relapse; months with ties",
        "time": [2, 2, 3, 3, 3, 4, 4, 4, 7, 7, 8, 8, 10, 32, 35, 67, 68, 70],
        "event": [2, 0, 1, 1, 1, 0, 1, 1, 0, 2, 1, 0, 2, 0, 0, 0, 0, 0],
        "mortality_months": [3, 4, 8],
        "mortality": [float(sum(mortality[: k + 1])) for k in range(3)],
        "relapse_months": [2, 7, 10],
        "relapse": [float(sum(relapse[: k + 1])) for k in range(3)],
    }


def printed_concordance() -> dict[str, object]:
    return {
        "source": f"{SURVIVAL}, tests/concordance2.Rout.save: pairs of lung by ph.ecog, reverse = TRUE",
        "concordant": 8392,
        "discordant": 4258,
        "tied": 7137,
    }


def by_hand_scores() -> dict[str, object]:
    """Five patients; one leaves at month 2, when four are left: whoever is seen later weighs 4/3.

    Brier score at 3.5: patient 1 weighs 1; 3, 4 and 5 weigh 4/3. Concordance up to 3.5: patient 1 (weight 1) wins one
    of four pairs, patient 3 (weight 16/9) both.
    """
    squares = Fraction(1, 5) ** 2 + Fraction(4, 3) * (Fraction(1, 2) ** 2 + Fraction(1, 10) ** 2 + Fraction(3, 10) ** 2)
    return {
        "source": "worked by hand: Graf et al. 1999 (Brier score), Uno et al. 2011 (concordance)",
        "time": [1, 2, 3, 4, 5],
        "event": [1, 0, 1, 0, 1],
        "month": 3.5,
        "risk": [0.8, 0.4, 0.5, 0.1, 0.3],
        "brier": float(squares / 5),
        "ranked": [0.2, 0.4, 0.5, 0.1, 0.3],
        "uno_c": float((1 + 2 * Fraction(16, 9)) / (4 + 2 * Fraction(16, 9))),
    }


def computed_cox() -> dict[str, object]:
    """Ridge Cox of scikit-survival on the veterans' trial, all covariates, Efron's ties."""
    covariates, outcome = load_veterans_lung_cancer()
    inputs = pd.get_dummies(covariates, drop_first=True, dtype=float)
    fits = {}
    for alpha in (1e-8, 25.0):
        model = CoxPHSurvivalAnalysis(alpha=alpha, ties="efron", tol=1e-14, n_iter=200).fit(inputs, outcome)
        fits[f"{alpha:g}"] = model.coef_.tolist()
    return {
        "source": f"scikit-survival {sksurv.__version__}: CoxPHSurvivalAnalysis(ties='efron', alpha=precision)",
        "columns": list(inputs.columns),
        "by_precision": fits,
    }


def computed_incidence() -> dict[str, object]:
    """Aalen-Johansen of lifelines, without ties: those it breaks at random."""
    rng = np.random.default_rng(0)
    time = np.round(np.sort(rng.exponential(24.0, 60)) + 0.001 * np.arange(60), 3)
    event = rng.choice([0, 1, 2], 60, p=[0.4, 0.35, 0.25])
    months = [3.0, 6.0, 12.0, 24.0, 48.0]
    fitted = AalenJohansenFitter(calculate_variance=False).fit(time, event, event_of_interest=1)
    curve = fitted.cumulative_density_.iloc[:, 0]
    return {
        "source": f"lifelines {lifelines.__version__}: AalenJohansenFitter, 60 drawn patients",
        "time": time.tolist(),
        "event": event.tolist(),
        "months": months,
        "incidence": [float(curve[curve.index <= month].iloc[-1]) for month in months],
    }


def computed_metrics() -> dict[str, object]:
    """Scores of scikit-survival on the German breast cancer study: more than half are censored.

    Ties are broken in the order of the file: what belongs to whom in a tie differs between packages. The risk by a
    month is 1 - exp(-(month / 130) exp(0.06 nodes)), rounded.
    """
    data = load_gbsg2()
    months = np.round(data["time"].to_numpy(dtype=float) / 30.4375, 3)
    order = np.argsort(months, kind="stable")
    time = np.empty_like(months)
    time[order] = np.round(months[order] + 1e-5 * np.arange(len(months)), 5)
    event = data["cens"].to_numpy().astype(bool)
    nodes = data["pnodes"].to_numpy(dtype=float)
    grid = np.arange(6.0, 61.0, 6.0)
    risk = np.round(-np.expm1(-np.outer(np.exp(0.06 * np.minimum(nodes, 25.0)), grid / 130.0)), 6)
    labels = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    tau = 60.0
    return {
        "source": f"scikit-survival {sksurv.__version__}: brier_score, integrated_brier_score, concordance_index_ipcw, "
        "concordance_index_censored, cumulative_dynamic_auc",
        "data": "German Breast Cancer Study Group 2 (Schumacher et al. 1994), days as months, ties broken",
        "time": time.tolist(),
        "event": event.astype(int).tolist(),
        "nodes": nodes.astype(int).tolist(),
        "grid": grid.tolist(),
        "tau": tau,
        "brier": metrics.brier_score(labels, labels, 1.0 - risk, grid)[1].tolist(),
        "integrated_brier": metrics.integrated_brier_score(labels, labels, 1.0 - risk, grid),
        "uno_c": metrics.concordance_index_ipcw(labels, labels, nodes, tau=tau)[0],
        "harrell_c": metrics.concordance_index_censored(event, time, nodes)[0],
        "auc": metrics.cumulative_dynamic_auc(labels, labels, nodes, grid)[0].tolist(),
    }


def reference() -> dict[str, object]:
    return {
        "ovarian": OVARIAN.to_dict(orient="list"),
        "printed": {
            "cox": printed_cox(),
            "textbook": textbook_cox(),
            "curves": printed_curves(),
            "concordance": printed_concordance(),
            "scores": by_hand_scores(),
        },
        "computed": {"cox": computed_cox(), "incidence": computed_incidence(), "metrics": computed_metrics()},
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("reference_values.json")
    target.write_text(json.dumps(reference(), separators=(",", ":")) + "\n", encoding="utf-8")
