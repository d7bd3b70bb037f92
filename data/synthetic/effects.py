"""A synthetic cohort in, the true effect of every decision beside what a naive comparison shows out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.cohort import SyntheticCohort
from data.synthetic.draws import BoolArray, FloatArray
from data.synthetic.hazards import LANDMARK
from data.synthetic.parameters import T_STAGES
from data.synthetic.treatment import PLANS
from data.synthetic.truth import SURVIVAL_OUTCOMES

HORIZON = 60.0
"""Month at which effects are taken."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The true effect of one plan against another on death in a group of patients."""

    comparison: str
    group: str
    patients: int
    hazard_ratio: float
    """Geometric mean over patients of the ratio of cumulative hazards at `HORIZON`."""
    risk_difference: float
    """Mean difference of the risk at `HORIZON`."""
    intended: str
    """What the literature lets expect."""


def true_effects(synthetic: SyntheticCohort) -> list[Effect]:
    """Effects of the three decisions on death, also in the groups in which they differ."""
    risk = synthetic.truth(PLANS, [HORIZON])[:, :, SURVIVAL_OUTCOMES.index("death"), 0]
    b = synthetic.baseline
    everyone = np.ones(b.size, dtype=bool)
    age = b.age_years
    advanced = (b.t == T_STAGES.index("T4")) | b.bulky_nodes
    negative = ~b.hpv_positive
    concurrent, induction, neck = (
        ("010", "000", "concurrent therapy"),
        ("110", "010", "induction before it"),
        ("011", "010", "planned neck dissection after it"),
    )
    asked: list[tuple[tuple[str, str, str], str, BoolArray, str]] = [
        (concurrent, "all", everyone, "about .80 (MACH-NC .83)"),
        (concurrent, "under 55 years", age < 55.0, "largest in the young"),
        (concurrent, "55 to 64 years", (age >= 55.0) & (age < 65.0), "smaller"),
        (concurrent, "70 years and over", age >= 70.0, "none: 1.0"),
        (induction, "all", everyone, "about 1.0 (pooled trials 1.01)"),
        (induction, "HPV-positive", b.hpv_positive, "harm, 1.1-1.6 (Sher 2016)"),
        (induction, "HPV-negative, T4 or N3", negative & advanced, "about .65 (Sher 2016 .63)"),
        (induction, "HPV-negative, other", negative & ~advanced, "about 1.0"),
        (neck, "all", everyone, "about 1.0 (PET-NECK)"),
    ]
    return [_effect(risk, *question) for question in asked]


def _effect(
    risk: FloatArray, comparison: tuple[str, str, str], group: str, members: BoolArray, intended: str
) -> Effect:
    given, withheld, name = comparison
    with_it, without = (risk[members, PLANS.index(plan)] for plan in (given, withheld))
    log_ratio = np.log(np.log1p(-with_it) / np.log1p(-without))
    return Effect(
        comparison=f"{name} ({given} against {withheld})",
        group=group,
        patients=int(members.sum()),
        hazard_ratio=float(np.exp(log_ratio.mean())),
        risk_difference=float((with_it - without).mean()),
        intended=intended,
    )


@dataclass(frozen=True, slots=True)
class Confounding:
    """What a comparison of treated with untreated shows, and what treating the same patients would do."""

    decision: str
    crude: float
    """Risk of death at month 48 in those who had it minus in those who had not, of those alive at month 6."""
    true: float
    """Mean over all patients of the risk had everyone had it minus had nobody had it, other decisions as taken."""


MONTH = 48.0
"""At which crude and true differences of risk are compared."""


def confounding(synthetic: SyntheticCohort) -> list[Confounding]:
    """Crude and true differences in the risk of death for every decision, in potential outcomes.

    The crude difference uses the true month of death, so that censoring plays no part.
    """
    happened = synthetic.happened
    digits = np.stack([happened.induction, happened.agent > 0, happened.planned_dissection], axis=1)
    risk = synthetic.truth(PLANS, [MONTH])[:, :, SURVIVAL_OUTCOMES.index("death"), 0]
    alive = happened.death_month > LANDMARK
    recorded = digits.copy()
    recorded[:, 2] |= np.isfinite(happened.late_dissection_month)
    dead = happened.death_month <= MONTH
    results = []
    for k, decision in enumerate(synthetic.cohort.spec.decisions):
        had = recorded[:, k]
        crude = dead[alive & had].mean() - dead[alive & ~had].mean()
        true = _risk_with(risk, digits, k, True).mean() - _risk_with(risk, digits, k, False).mean()
        results.append(Confounding(decision.label, float(crude), float(true)))
    return results


def _risk_with(risk: FloatArray, digits: BoolArray, decision: int, given: bool) -> FloatArray:
    """Each patient's risk under the plan they had, but for one decision."""
    changed = digits.copy()
    changed[:, decision] = given
    plans = changed @ np.array([4, 2, 1])
    return np.asarray(risk[np.arange(len(risk)), plans])
