"""A number and a seed in, a synthetic cohort with its hidden truth out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import pandas as pd

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import WrongUsage
from data.synthetic.baseline import Baseline
from data.synthetic.covariates import draw_covariates
from data.synthetic.draws import FloatArray, seeded_draw
from data.synthetic.hpv import probability_hpv_positive
from data.synthetic.parameters import PARAMETERS, Parameters
from data.synthetic.recording import record
from data.synthetic.simulation import Trajectories, observe
from data.synthetic.truth import SURVIVAL_OUTCOMES, TOXICITY_OUTCOMES, true_risk, true_toxicity


class Given(StrEnum):
    """What a true risk is conditioned on."""

    TRUE_HPV = "true_hpv"
    """All baseline columns and the true HPV status, also where it was not determined."""
    RECORDED = "recorded"
    """All baseline columns as recorded; an undetermined HPV status is averaged over by its probability."""


@dataclass(frozen=True)
class SyntheticCohort:
    """Invented patients: what a registry would hold, and what only their maker knows."""

    cohort: Cohort
    baseline: Baseline = field(repr=False)
    """What is true of the patients before treatment, with their true HPV status."""
    happened: Trajectories = field(repr=False)
    """What happened to them under the physicians' habits, beyond death and last contact too."""
    parameters: Parameters = field(repr=False)

    def truth(self, plans: Sequence[str], months: Sequence[float], given: Given = Given.TRUE_HPV) -> FloatArray:
        """Each patient's true risk of death, locoregional and distant failure by each month under each plan.

        Conditioned on the baseline covariates alone: not on the frailty, the states in between or what was done.
        The agent of concurrent therapy follows the physicians' habit; failures compete with death.

        Args:
            plans: any of `PLANS`.
            months: months from treatment start, from 0 on.
            given: with the true HPV status, or only what is recorded.

        Returns:
            (patients, plans, outcomes, months), outcomes as in `SURVIVAL_OUTCOMES`.

        Raises:
            WrongUsage: an unknown plan or an impossible month.
        """
        return self._averaged(lambda b: true_risk(b, plans, months, self.parameters), given)

    def toxicity_truth(self, plans: Sequence[str], given: Given = Given.TRUE_HPV) -> FloatArray:
        """Each patient's true probability of a feeding tube and of aspiration at month 6, if alive then.

        Returns:
            (patients, plans, outcomes), outcomes as in `TOXICITY_OUTCOMES`.

        Raises:
            WrongUsage: an unknown plan.
        """
        return self._averaged(lambda b: true_toxicity(b, plans, self.parameters), given)

    def true_risks(self, plans: Sequence[str], months: Sequence[float], given: Given = Given.TRUE_HPV) -> pd.DataFrame:
        """`truth` and `toxicity_truth` as a long table: patient_id, plan, outcome, month, risk.

        Toxicities stand at the month at which the specification judges them.
        """
        survival = _long(self.truth(plans, months, given), SURVIVAL_OUTCOMES, months, self._ids, plans)
        month = self.cohort.spec.outcome(TOXICITY_OUTCOMES[0]).month
        toxicity = self.toxicity_truth(plans, given)[..., None]
        return pd.concat(
            [survival, _long(toxicity, TOXICITY_OUTCOMES, [month or 0.0], self._ids, plans)], ignore_index=True
        )

    @property
    def _ids(self) -> list[str]:
        return list(self.cohort.frame[self.cohort.spec.key])

    def _averaged(self, truth: Callable[[Baseline], FloatArray], given: Given) -> FloatArray:
        """`truth`, or its mean over both HPV statuses where the status is not recorded."""
        if given is Given.TRUE_HPV:
            return truth(self.baseline)
        chance = probability_hpv_positive(self.cohort.frame, self.parameters)
        result = truth(replace(self.baseline, hpv_positive=chance > 0.0))
        unsure = np.flatnonzero((chance > 0.0) & (chance < 1.0))
        masked = self.baseline.rows(unsure)
        negative = truth(replace(masked, hpv_positive=np.zeros(masked.size, dtype=bool)))
        share = chance[unsure].reshape(-1, *[1] * (result.ndim - 1))
        result[unsure] = share * result[unsure] + (1.0 - share) * negative
        return result


def _long(
    risk: FloatArray, outcomes: Sequence[str], months: Sequence[float], ids: Sequence[str], plans: Sequence[str]
) -> pd.DataFrame:
    """A (patients, plans, outcomes, months) array as rows."""
    index = pd.MultiIndex.from_product([ids, plans, outcomes, months], names=["patient_id", "plan", "outcome", "month"])
    return pd.Series(risk.ravel(), index=index, name="risk").reset_index()


def generate(patients: int, seed: int = 0, parameters: Parameters = PARAMETERS) -> SyntheticCohort:
    """Invent `patients` patients.

    Patient i of a seed is the same however many are asked for.

    Raises:
        WrongUsage: fewer than one patient, or a negative seed.
    """
    if patients < 1 or seed < 0:
        raise WrongUsage(
            f"cannot invent {patients} patients with seed {seed}", remedy="ask for 1 or more, with a seed of 0 or more"
        )
    spec = load_specification()
    draw = seeded_draw(patients, seed)
    frame, hpv_positive = draw_covariates(draw, parameters, spec)
    frame.insert(0, "patient_id", [f"SYN-{number:05d}" for number in range(1, patients + 1)])
    baseline = Baseline.from_frame(frame, hpv_positive)
    happened = observe(baseline, draw, parameters)
    recorded = typed_frame(record(frame, happened, draw, parameters), spec)
    cohort = Cohort(spec, recorded, synthetic=True, name="synthetic")
    return SyntheticCohort(cohort, baseline, happened, parameters)
