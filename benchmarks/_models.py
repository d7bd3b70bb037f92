"""A training part in, risks of new patients out: the twin, and the models that it is compared with.

Everybody reads the same: what is known before the first decision, and the plan that was given as if known at time zero.
Nothing is tuned by hand; what a model chooses, it chooses within its training part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from sksurv.ensemble import (  # type: ignore[import-untyped]
    GradientBoostingSurvivalAnalysis,
    RandomSurvivalForest,
)

from data.cohort import Cohort
from data.schema import Specification
from twin.arrays import Flags, Floats
from twin.evaluation.plans_given import plan_texts
from twin.evaluation.references import Average, RidgeCox, reference_inputs
from twin.fitting import FEWEST_DRAWS, FitSettings, fit_twin
from twin.metrics.censoring import StepCurves
from twin.metrics.observed import EVENT, Observed
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.candidates.mixture import DeepMixture
from twin.models.candidates.protocol import HazardData
from twin.models.encoding import Encoding
from twin.models.hazard import Episodes
from twin.state import Known
from twin.timeline import question_moment

TREES: Final = 200
SMALLEST_LEAF: Final = 10

FIT: Final = FitSettings(draws=FEWEST_DRAWS)
"""Draws do not change the risk itself, and only the risk is scored."""


@dataclass(frozen=True, eq=False)
class Patients:
    """n patients as they are known at first, and the plan each of them had; nothing of what happened to them."""

    known: Known
    plans: Floats
    """(n, decisions) 0 or 1"""

    @classmethod
    def of(cls, cohort: Cohort, plans: Floats) -> Patients:
        """The patients of a cohort with their plans (n, decisions)."""
        return cls(Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 0)), plans)

    def take(self, rows: Flags) -> Patients:
        """The patients of a mask (n,)."""
        frame = self.known.frame[rows].reset_index(drop=True)
        return Patients(replace(self.known, frame=frame), self.plans[rows])

    @property
    def spec(self) -> Specification:
        """What the columns mean."""
        return self.known.spec

    @property
    def inputs(self) -> pd.DataFrame:
        """Covariates and decisions by name, as the reference models read them."""
        return reference_inputs(self.known.frame, self.spec, self.plans)

    def matrix(self, encoding: Encoding) -> Floats:
        """(n, p) covariates as the twin encodes them, and the decisions."""
        return np.hstack([encoding.encode(self.known), self.plans - 0.5])


@dataclass(frozen=True, eq=False)
class Training:
    """What a model is fitted on."""

    cohort: Cohort
    """n patients with everything that is recorded of them"""
    patients: Patients
    observed: Observed
    outcome: str
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A fitted model."""

    risks: Callable[[Patients, Floats], Floats]
    """From n patients and (m,) months, ascending from 0, the risk (n, m) by each month"""
    served_by: str = ""
    """What the twin chose to predict with"""


@dataclass(frozen=True)
class Model:
    """A way to predict."""

    name: str
    label: str
    fit: Callable[[Training], Fitted]


def twin(settings: FitSettings) -> Model:
    """The twin of this project; it learns every outcome of the cohort, and its seconds are those of all of them."""

    def fit(training: Training) -> Fitted:
        fitted = fit_twin(training.cohort, replace(settings, seed=training.seed))
        selection = fitted.marginal.hazards[training.outcome].selection

        def risks(patients: Patients, months: Floats) -> Floats:
            plans = np.array(plan_texts(patients.plans))
            result = np.empty((len(plans), len(months)))
            for plan in np.unique(plans):
                rows = plans == plan
                asked = patients.take(rows).known.frame
                draws = fitted.predict_draws(asked, [str(plan)], months, [training.outcome])
                result[rows] = draws[training.outcome][0, :, 0]
            return result

        return Fitted(risks, selection.serving.label if selection else "ridge Cox regression")

    return Model("twin", "this twin", fit)


def ridge_cox(training: Training) -> Fitted:
    """Main effects with a ridge penalty: the form in which clinical prediction models are mostly published."""
    model = RidgeCox.fit(training.patients.inputs, training.observed)
    return Fitted(lambda patients, months: model.risks(patients.inputs, months))


def kaplan_meier(training: Training) -> Fitted:
    """The same risk for everybody."""
    average = Average.of_times(training.observed)
    return Fitted(lambda patients, months: average.risks(patients.inputs, months))


def forest(training: Training) -> Fitted:
    """Ishwaran et al. 2008 (doi:10.1214/08-AOAS169)."""
    return _of_scikit_survival(
        RandomSurvivalForest(TREES, min_samples_leaf=SMALLEST_LEAF, random_state=training.seed), training
    )


def boosting(training: Training) -> Fitted:
    """Boosted trees on the Cox likelihood: Ridgeway 1999 (Computing Science and Statistics 31:172-181)."""
    return _of_scikit_survival(GradientBoostingSurvivalAnalysis(random_state=training.seed), training)


def _of_scikit_survival(model: Any, training: Training) -> Fitted:
    encoding = Encoding.fit(training.patients.known)
    seen = np.array(
        list(zip(training.observed.event == EVENT, training.observed.time, strict=True)),
        dtype=[("event", bool), ("time", float)],
    )
    model.fit(training.patients.matrix(encoding), seen)

    def risks(patients: Patients, months: Floats) -> Floats:
        survival = model.predict_survival_function(patients.matrix(encoding), return_array=True)
        return StepCurves(model.unique_times_, 1.0 - survival, start=0.0).at(months)

    return Fitted(risks)


def deep_mixture(training: Training) -> Fitted:
    """The project's own deep survival machine with decisions among its inputs.

    It stands for DITTO (Wentzel et al. 2025, arXiv:2407.13107), a twin for head and neck cancer whose outcomes are
    deep survival machines, and is not its code.
    """
    encoding = Encoding.fit(training.patients.known)
    observed = training.observed
    rows = np.arange(observed.size)
    cut = Episodes(
        training.patients.matrix(encoding), np.zeros(observed.size), observed.time, observed.event == EVENT, rows
    )
    hazard = DeepMixture().fit(HazardData(cut, np.zeros(observed.size), np.ones(observed.size)), training.seed)
    return Fitted(
        lambda patients, months: cumulative_incidence(hazard.increments(patients.matrix(encoding), months), None)
    )


COX: Final = Model("cox", "ridge Cox (lifelines)", ridge_cox)
AVERAGE: Final = Model("kaplan_meier", "Kaplan-Meier", kaplan_meier)
RIVALS: Final = (
    COX,
    Model("forest", "random survival forest (scikit-survival)", forest),
    Model("boosting", "gradient boosting (scikit-survival)", boosting),
    Model("deep", "deep survival machine (ours, DITTO-like)", deep_mixture),
)
MODELS: Final = (twin(FIT), *RIVALS, AVERAGE)
