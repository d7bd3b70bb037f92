"""Held-out risks of one kind of question in, few figures that can be set beside those of other kinds out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.schema import OutcomeKind
from twin.evaluation.held_out import AVERAGES, TWIN, ModelRisks
from twin.evaluation.scores import Draws, Sample, Scores, differences, in_brief, scores, with_skill, without_slope
from twin.evaluation.targets import Target
from twin.metrics.intervals import MetricValue
from twin.metrics.observed import COMPETING


@dataclass(frozen=True)
class BriefEvaluation:
    """One outcome in few figures."""

    outcome: str
    label: str
    kind: OutcomeKind
    patients: int
    events: int
    competing_events: int
    month: float
    """Months from time zero up to which risks are scored"""
    models: Mapping[str, Scores]
    """The twin first, then the models beside it"""
    differences: Mapping[str, Mapping[str, MetricValue]]
    """Other model -> metric -> the twin less that model on the same patients"""


def brief(target: Target, risks: ModelRisks, sample: Sample) -> BriefEvaluation:
    """The figures of the twin and of the models beside it.

    Args:
        target: n patients.
        risks: (n, months of the target) of each model.
        sample: Resampling counts and strata of the n: ranks are compared within a stratum only.
    """
    average = AVERAGES[target.outcome.kind]
    found: dict[str, Draws] = {name: in_brief(target, of_model, sample) for name, of_model in risks.items()}
    if average in found:
        found = {name: with_skill(of_model, found[average]) for name, of_model in found.items()}
        found[average] = without_slope(found[average])
    return BriefEvaluation(
        outcome=target.outcome.name,
        label=target.outcome.label,
        kind=target.outcome.kind,
        patients=target.observed.size,
        events=target.observed.events,
        competing_events=int((target.observed.event == COMPETING).sum()),
        month=target.last_month,
        models={name: scores(of_model) for name, of_model in found.items()},
        differences={name: differences(found[TWIN], of_model) for name, of_model in found.items() if name != TWIN},
    )
