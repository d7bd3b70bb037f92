"""A number and a seed in, a synthetic oropharynx cohort out whose true risk under every plan is known.

A structural causal model: covariates, latent frailty, physicians' habits, states between decisions and a multistate
course, calibrated to a published cohort of 536 patients (`docs/synthetic.md`). No patient in it ever lived.
"""

from data.synthetic.baseline import Baseline
from data.synthetic.cohort import Given, SyntheticCohort, generate
from data.synthetic.simulation import Trajectories, simulate
from data.synthetic.treatment import PLANS
from data.synthetic.truth import SURVIVAL_OUTCOMES, TOXICITY_OUTCOMES

__all__ = [
    "PLANS",
    "SURVIVAL_OUTCOMES",
    "TOXICITY_OUTCOMES",
    "Baseline",
    "Given",
    "SyntheticCohort",
    "Trajectories",
    "generate",
    "simulate",
]
