"""The public RADCURE table: what its twin is worth in cross-validation."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.importing import check_source
from data.mapping import load_mapping
from twin.evaluation.evaluate import EvaluationSettings, evaluate
from twin.policy.off_policy import Estimator

ROOT = Path(__file__).parents[2]
RADCURE = Path(os.environ.get("GEMINA_SHARED_DATA", ROOT.parent / "shared" / "data")) / "radcure_training.csv"
MAPPING = ROOT / "tests" / "fixtures" / "radcure_mapping.json"


@pytest.mark.slow
@pytest.mark.skipif(
    not RADCURE.is_file(), reason=f"the RADCURE table is not at {RADCURE}; GEMINA_SHARED_DATA may name its folder"
)
def test_survival_is_ranked_as_well_as_experts_rank_it(spec):
    """As the project asks of itself: a C of 0.76 or more, gaps of 0.06 or less at months 24 and 60.

    Over seeds 0 to 2 the C is 0.765 to 0.770, the gaps 0.030 to 0.040, and intervals hold 0.88 to 0.92 of the groups by
    risk, the mean of the three outcomes. With all risks a fifth too low or a quarter too high they hold 0.78 and 0.80,
    and of the audited groups, all of which they hold otherwise, so few that chance is excluded for an outcome.
    """
    mapping = load_mapping(MAPPING.read_bytes(), MAPPING.name)
    cohort = check_source(RADCURE.read_bytes(), RADCURE.name, spec, mapping, skip_bad_rows=True).cohort
    evaluation = evaluate(replace(cohort, name="radcure"), EvaluationSettings(resamples=50))
    outcomes = {one.outcome: one for one in evaluation.outcomes}
    assert set(outcomes) == {"death", "locoregional_failure", "distant_failure"}
    death = outcomes["death"]
    assert (death.patients, death.events) == (775, 288)
    twin = death.models["twin"]
    assert twin["harrell_c"].value >= 0.76
    assert death.differences["kaplan_meier"]["integrated_brier"].upper < 0.0
    # Below ridge Cox, or within one standard error of it.
    against_ridge = death.differences["ridge_cox"]["integrated_brier"]
    assert against_ridge.value <= (against_ridge.upper - against_ridge.lower) / (2 * 1.96)
    for month in ("24", "60"):
        assert twin["largest_calibration_gap"][month].value <= 0.06
    assert twin["calibration_slope"]["60"].lower < 1.0 < twin["calibration_slope"]["60"].upper
    assert np.mean([one.coverage.groups_of_risk.value for one in outcomes.values()]) >= 0.82
    for one in outcomes.values():
        assert one.coverage.audited_groups.upper >= one.coverage.level
    # One decision varies there; about half of the patients had it, and most could have had either.
    policy = evaluation.policy
    assert policy.valued == ("concurrent_chemo",)
    assert set(policy.fixed) == {"000", "010"}
    (choice,) = policy.choices
    assert choice.overlap.value > 0.75
    value = policy.policies["exact"].values[Estimator.DOUBLY_ROBUST]
    assert value.claim
    assert value.effective_sample_size > 100
