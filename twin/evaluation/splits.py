"""How a twin does on patients unlike those it learnt from: a cohort in, scores on later years and other centres out.

Beside them stand the same patients as predicted in the random folds, by twins that had learnt from their like: what
the difference takes away is what chance folds flatter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.schema import Split, SplitKind
from twin.arrays import Integers
from twin.evaluation.brief import BriefEvaluation, brief
from twin.evaluation.held_out import TWIN, Fold, HeldOut, held_out
from twin.evaluation.scores import Sample
from twin.evaluation.targets import Target
from twin.fitting import FitSettings
from twin.metrics.intervals import resample_counts

RANDOM_FOLDS: Final = "twin_in_random_folds"
"""Name of the twin that had learnt from the like of the patients it is scored on."""

LATER_SHARE: Final = 0.3
"""Share of the patients that the later years should hold, as nearly as whole years allow"""
FEWEST: Final = 50
"""Patients of a part that is scored"""
MOST_CENTRES: Final = 10
"""Centres that are held out in turn, the largest: each takes a fit"""


@dataclass(frozen=True)
class SplitEvaluation:
    """What a twin is worth on patients set apart by one column."""

    column: str
    kind: SplitKind
    description: str
    """Who taught and who was scored, in words"""
    patients: int
    """Who were scored"""
    outcomes: tuple[BriefEvaluation, ...]
    """Models: the twin, the same in random folds, and the references of this split"""
    not_scored: tuple[str, ...]
    """Outcomes that this split leaves out, each with the reason"""


@dataclass(frozen=True, eq=False)
class Plan:
    """How patients are set apart."""

    split: Split
    parts: tuple[Fold, ...]
    description: str


def plans(cohort: Cohort, split: Split) -> Plan | str:
    """How a split of the specification sets the patients of a cohort apart, or why it cannot."""
    if not cohort.records(split.column):
        return "not recorded in this cohort"
    return _temporal(cohort, split) if split.kind is SplitKind.TEMPORAL else _centres(cohort, split)


def _temporal(cohort: Cohort, split: Split) -> Plan | str:
    values = cohort.frame[split.column].to_numpy(dtype=float)
    known = ~np.isnan(values)
    cuts = np.unique(values[known])[1:]
    shares = np.array([(values[known] >= cut).mean() for cut in cuts])
    if not cuts.size:
        return "the same for everybody"
    cut = float(cuts[np.argmin(np.abs(shares - LATER_SHARE))])
    later, earlier = known & (values >= cut), known & (values < cut)
    if min(later.sum(), earlier.sum()) < FEWEST:
        return f"fewer than {FEWEST} patients on one side of {cut:g}"
    description = (
        f"learnt from {_span(values[earlier])} ({earlier.sum()} patients), "
        f"scored on {_span(values[later])} ({later.sum()} patients)"
    )
    return Plan(split, (Fold.of(cohort, later, earlier),), description)


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _centres(cohort: Cohort, split: Split) -> Plan | str:
    values = cohort.frame[split.column].astype(object)
    sizes = values.value_counts()
    large = sorted(str(name) for name in sizes.index[sizes >= FEWEST][:MOST_CENTRES])
    if len(sizes) < 2 or not large:
        return f"no second centre, or none with {FEWEST} patients"
    parts = tuple(Fold.of(cohort, (values.astype(str) == name).to_numpy(dtype=bool)) for name in large)
    description = f"learnt from all centres but one, scored on that one, each of {len(large)} in turn"
    return Plan(split, parts, description)


def evaluate_split(
    plan: Plan,
    targets: Sequence[Target],
    in_folds: Sequence[HeldOut],
    settings: FitSettings,
    resamples: int,
    seed: int,
    told: Callable[[int], None],
) -> SplitEvaluation:
    """Score twins on the patients that a split sets apart.

    Args:
        plan: How they are set apart.
        targets: At time zero.
        in_folds: For each target, what the random folds say of its patients.
        settings: How twins are fitted.
        resamples: Of the scored patients.
        seed: Of the resamples.
        told: Called with the number of fits that are done.
    """
    scored_at_all = np.any([part.rows for part in plan.parts], axis=0)
    chosen, omitted = [], []
    for target, random in zip(targets, in_folds, strict=True):
        name, rows = target.outcome.name, scored_at_all[target.rows]
        scored = target.among(rows)
        if isinstance(scored, str):
            omitted.append(f"{name}: {scored}")
        elif any(name not in part.capability.outcomes for part in plan.parts):
            omitted.append(f"{name}: too few events are left for fitting")
        else:
            chosen.append((target, rows, scored, random.take(rows, scored).risks[TWIN]))
    found = held_out(plan.parts, [target for target, *_ in chosen], settings, told)
    stratum = _stratum(plan)
    evaluated = []
    for (_, rows, scored, random_risks), here in zip(chosen, found, strict=True):
        own = here.take(rows, scored).risks
        sample = Sample(resample_counts(len(scored.rows), resamples, seed), stratum[scored.rows])
        evaluated.append(brief(scored, {TWIN: own[TWIN], RANDOM_FOLDS: random_risks, **own}, sample))
    return SplitEvaluation(
        column=plan.split.column,
        kind=plan.split.kind,
        description=plan.description,
        patients=int(scored_at_all.sum()),
        outcomes=tuple(evaluated),
        not_scored=tuple(omitted),
    )


def _stratum(plan: Plan) -> Integers:
    """(patients,) the part in which each patient is scored; patients of different parts are not ranked."""
    stratum = np.zeros(len(plan.parts[0].rows), dtype=np.int64)
    for k, part in enumerate(plan.parts):
        stratum[part.rows] = k
    return stratum
