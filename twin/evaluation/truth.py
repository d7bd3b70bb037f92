"""A synthetic cohort with its maker's knowledge in, the true risks that intervals are held against out."""

from __future__ import annotations

from collections.abc import Sequence

from data.synthetic import SURVIVAL_OUTCOMES, TOXICITY_OUTCOMES, SyntheticCohort
from data.synthetic.cohort import Given
from twin.arrays import Floats
from twin.timeline import all_plans


def true_risks(synthetic: SyntheticCohort, horizons: Sequence[float]) -> dict[str, Floats]:
    """By outcome, (patients, plans, horizons) true risks under every complete plan; given what is recorded at first.

    A yes-or-no outcome has one horizon. A value that was not recorded is averaged over, as a twin has to.
    """
    asked = all_plans(synthetic.cohort.spec)
    over_time = synthetic.truth(asked, sorted(horizons), Given.RECORDED)
    toxicity = synthetic.toxicity_truth(asked, Given.RECORDED)
    return {
        **{name: over_time[:, :, k] for k, name in enumerate(SURVIVAL_OUTCOMES)},
        **{name: toxicity[:, :, [k]] for k, name in enumerate(TOXICITY_OUTCOMES)},
    }
