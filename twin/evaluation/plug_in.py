"""The policy that needs no twin: a cohort and other patients in, the utility that regression states of each plan out.

The models are those a twin must beat (`twin.evaluation.references`), asked under every plan at time zero. Whoever takes
the plan of the highest utility so stated is greedy: states between decisions play no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.cohort import Cohort
from data.errors import Refused
from data.schema import Outcome, OutcomeKind
from twin.arrays import Floats
from twin.evaluation.plans_given import complete_plans
from twin.evaluation.references import Reference, RidgeCox, RidgeLogistic, reference_inputs
from twin.evaluation.targets import target
from twin.policy.utility import HORIZON_MONTHS, Weights, utility
from twin.timeline import plan_digits


def plug_in(
    cohort: Cohort,
    others: Cohort,
    outcomes: Sequence[str],
    weights: Weights,
    plans: Sequence[str],
    held: Mapping[str, int],
    horizon: float = HORIZON_MONTHS,
) -> Floats:
    """(n, plans) utility of every plan for n others, by models fitted on a cohort.

    Args:
        cohort: Fitted on.
        others: The n.
        outcomes: That count.
        weights: Of their losses.
        plans: Complete ones.
        held: Decisions that the cohort does not teach, and the value each is held at.
        horizon: Month by which events count.

    Raises:
        Refused: the cohort cannot teach an outcome.
    """
    spec, months = cohort.spec, np.append(np.arange(np.ceil(horizon)), horizon)
    asked = [reference_inputs(others.frame, spec, np.tile(plan_digits(spec, plan), (others.size, 1))) for plan in plans]
    losses = np.empty((others.size, len(plans), len(outcomes)))
    for k, name in enumerate(outcomes):
        outcome = spec.outcome(name)
        model = _reference(cohort, outcome, held, horizon)
        for at, under_plan in enumerate(asked):
            losses[:, at, k] = _loss(outcome, model.risks(under_plan, months), months)
    return utility(losses, weights.array(outcomes))


def _reference(cohort: Cohort, outcome: Outcome, held: Mapping[str, int], horizon: float) -> Reference:
    aim = target(cohort, outcome, [horizon])
    if isinstance(aim, str):
        raise Refused(f"{outcome.name}: {aim}", remedy="ask for a larger cohort")
    given = complete_plans(cohort, cohort, held)
    inputs = reference_inputs(cohort.frame.iloc[aim.rows], cohort.spec, given[aim.rows])
    if aim.is_binary:
        return RidgeLogistic.fit(inputs, aim.observed.event.astype(float))
    return RidgeCox.fit(inputs, aim.observed)


def _loss(outcome: Outcome, risks: Floats, months: Floats) -> Floats:
    """(n,) from risks (n, months): the share of the months that is lost, or the risk by the last of them."""
    if outcome.kind is OutcomeKind.SURVIVAL:
        return np.asarray(np.trapezoid(risks, months, axis=1) / months[-1])
    return risks[:, -1]
