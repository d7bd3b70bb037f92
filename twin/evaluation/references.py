"""The models a twin must beat, built apart from it: a training part in, risks of new patients by month out.

`Average` gives everybody the same risk; `RidgeRegression` has the main effects of the baseline covariates and of the
decisions, taken as known at time zero: the form in which clinical prediction models are mostly published.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceWarning
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from data.schema import Role, Specification
from twin.arrays import Floats
from twin.metrics.censoring import StepCurves, aalen_johansen
from twin.metrics.observed import COMPETING, EVENT, Observed
from twin.state import Known
from twin.timeline import question_moment

PRIOR_SD: Final = 0.1
"""Ridge penalty as the standard deviation of a normal prior on a log hazard or odds ratio a standard deviation of the
input: nineteen in twenty ratios within 1.22 in either direction. The data overrule it as patients grow in number."""

RAREST_LEVEL: Final = 10
"""Patients that a level needs for an indicator of its own; rarer ones share one."""

_MISSING: Final = "missing"


class Reference(Protocol):
    """A fitted reference model."""

    def risks(self, inputs: pd.DataFrame, months: Floats) -> Floats:
        """(n, m) risk by each month for the rows of `inputs` (as by `reference_inputs`)."""


def reference_inputs(
    frame: pd.DataFrame, spec: Specification, plans: Floats, moment: str | None = None
) -> pd.DataFrame:
    """What is known at a moment and the complete plans, one row a patient; sums stand for their members.

    Args:
        frame: Typed columns, n patients.
        spec: The disease.
        plans: (n, decisions) of 0 and 1.
        moment: Covariates and states known strictly before it are read; the first question where ``None``. At a later
            one this is a landmark model (van Houwelingen 2007, doi:10.1111/j.1467-9469.2006.00529.x).
    """
    known = Known.at(frame, spec, moment or question_moment(spec, 0)).frame
    summed = {member for feature in spec.features for member in feature.members}
    names = [column.name for column in spec.having(Role.COVARIATE, Role.STATE) if column.name in known]
    members = {feature.name: [name for name in feature.members if name in known] for feature in spec.features}
    sums = {name: known[found].sum(axis=1, min_count=1) for name, found in members.items() if found}
    decisions = {decision.column: plans[:, k] for k, decision in enumerate(spec.decisions)}
    return known[[name for name in names if name not in summed]].assign(**sums, **decisions)


def reference_encoder(inputs: pd.DataFrame) -> Pipeline:
    """Indicators of levels and of missing numbers, numbers in standard deviations with the median for missing ones."""
    recorded = [name for name in inputs.columns if inputs[name].notna().any()]
    numbers = [name for name in recorded if inputs[name].dtype == np.float64]
    categories = [name for name in recorded if name not in numbers]
    encoder = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), numbers),
            (
                "categories",
                make_pipeline(
                    SimpleImputer(strategy="constant", fill_value=_MISSING, missing_values=None),
                    OneHotEncoder(handle_unknown="ignore", min_frequency=RAREST_LEVEL, sparse_output=False),
                ),
                categories,
            ),
        ]
    )
    return make_pipeline(encoder, VarianceThreshold(), StandardScaler())


def _plain(inputs: pd.DataFrame) -> pd.DataFrame:
    """Categories as text objects with ``None`` for missing, which is what the encoder reads."""
    plain = inputs.astype(object).where(inputs.notna(), None)
    return plain.astype({name: np.float64 for name in inputs.columns if inputs[name].dtype == np.float64})


@dataclass(frozen=True)
class Average:
    """Kaplan-Meier, Aalen-Johansen, or the share of patients: what is said without looking at the patient."""

    curve: StepCurves

    @classmethod
    def of_times(cls, observed: Observed) -> Self:
        """The cumulative incidence of a training part."""
        return cls(aalen_johansen(observed))

    @classmethod
    def of_share(cls, share: float) -> Self:
        """The same share whatever the month."""
        return cls(StepCurves(np.zeros(0), np.zeros((1, 0)), start=share))

    def risks(self, inputs: pd.DataFrame, months: Floats) -> Floats:
        """The same risks for every row of `inputs`."""
        return np.repeat(self.curve.at(months), len(inputs), axis=0)


@dataclass(frozen=True)
class RidgeCox:
    """Cause-specific ridge Cox models of lifelines, combined into a cumulative incidence."""

    encoder: Pipeline
    event: CoxPHFitter
    rival: CoxPHFitter | None

    @classmethod
    def fit(cls, inputs: pd.DataFrame, observed: Observed) -> Self:
        """Fitted on the training part; the competing event has a model of its own where it was seen."""
        plain = _plain(inputs)
        encoder = reference_encoder(plain)
        matrix = encoder.fit_transform(plain)
        rivals = (observed.event == COMPETING).any()
        return cls(encoder, _cox(matrix, observed, EVENT), _cox(matrix, observed, COMPETING) if rivals else None)

    def risks(self, inputs: pd.DataFrame, months: Floats) -> Floats:
        """(n, m) cumulative incidence; each step leaves or stays with probability by the sum of both hazards."""
        matrix = pd.DataFrame(self.encoder.transform(_plain(inputs)))
        times, hazard = _hazard(self.event, matrix)
        total = hazard + _hazard(self.rival, matrix)[1] if self.rival is not None else hazard
        free = np.exp(-np.cumsum(total, axis=1))
        leaving = np.hstack([np.ones((len(free), 1)), free[:, :-1]]) - free
        share = np.divide(hazard, total, out=np.zeros_like(hazard), where=total > 0)
        return StepCurves(times, np.cumsum(leaving * share, axis=1), start=0.0).at(months)


def _cox(matrix: Floats, observed: Observed, cause: int) -> CoxPHFitter:
    table = pd.DataFrame(matrix).assign(time=observed.time, event=observed.event == cause)
    # lifelines weighs the penalty against the mean log-likelihood.
    penalty = PRIOR_SD**-2.0 / observed.size
    with warnings.catch_warnings():
        # A rare level that is never seen with the event is what the penalty is for.
        warnings.filterwarnings("ignore", message=r"(?s).*very low variance", category=ConvergenceWarning)
        return CoxPHFitter(penalizer=penalty).fit(table, duration_col="time", event_col="event")


def _hazard(cox: CoxPHFitter, matrix: pd.DataFrame) -> tuple[Floats, Floats]:
    """Times (m,) and hazard steps (n, m) of the rows of `matrix`."""
    baseline = cox.baseline_hazard_.iloc[:, 0]
    ratios = np.exp(cox.predict_log_partial_hazard(matrix).to_numpy())
    return baseline.index.to_numpy(dtype=float), np.outer(ratios, baseline.to_numpy())


@dataclass(frozen=True)
class RidgeLogistic:
    """Ridge logistic regression of scikit-learn."""

    model: Any
    """Pipeline of encoder and regression"""

    @classmethod
    def fit(cls, inputs: pd.DataFrame, positive: Floats) -> Self:
        """Fitted on the training part; `positive` (n,) is 0 or 1."""
        plain = _plain(inputs)
        model = make_pipeline(reference_encoder(plain), LogisticRegression(C=PRIOR_SD**2, max_iter=1000))
        return cls(model.fit(plain, positive))

    def risks(self, inputs: pd.DataFrame, months: Floats) -> Floats:
        """(n, m) the same probability at every month."""
        probability = self.model.predict_proba(_plain(inputs))[:, 1]
        return np.repeat(probability[:, None], len(months), axis=1)
