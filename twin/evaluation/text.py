"""An evaluation in, a plain table that explains its metrics out: what the command line prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from data.schema import OutcomeKind
from twin.evaluation.evaluate import Evaluation, OutcomeEvaluation
from twin.evaluation.subgroups import Subgroup
from twin.metrics.intervals import MetricValue

MODELS: Final = {
    "twin": "twin",
    "kaplan_meier": "Kaplan-Meier",
    "aalen_johansen": "Aalen-Johansen",
    "share": "share of patients",
    "ridge_cox": "ridge Cox",
    "ridge_logistic": "ridge logistic",
}

METRICS: Final = {
    "harrell_c": ("Harrell C", "pairs in the right order; 0.5 is chance, 1 perfect"),
    "uno_c": ("Uno C", "the same, whatever the censoring"),
    "auc": ("AUC", "tells those with the event from those without; 0.5 is chance"),
    "integrated_brier": ("integrated Brier", "mean squared error over time; 0 is perfect"),
    "integrated_brier_skill": ("skill", "share of the error of saying the average that is avoided"),
    "brier": ("Brier", "mean squared error; 0 is perfect"),
    "brier_skill": ("skill", "share of the error of saying the average that is avoided"),
    "calibration_slope": ("calibration slope", "1 is right; below 1, risks are too extreme"),
    "calibration_intercept": ("calibration intercept", "0 is right; above 0, risks are too low"),
    "largest_calibration_gap": ("largest gap", "predicted against observed, worst fifth of risk"),
    "ece": ("calibration error", "mean gap between predicted and observed share"),
    "d_calibration_p": ("D-calibration p", "a small p speaks against the curves; its interval leans low"),
}
"""Metric -> name and meaning, in the order of the table."""


def as_text(evaluation: Evaluation) -> str:
    """The evaluation as text of several lines, without a final line break."""
    blocks = [_heading(evaluation), *(_outcome(one) for one in evaluation.outcomes), _omissions(evaluation)]
    return "\n\n".join("\n".join(block) for block in blocks)


def _heading(evaluation: Evaluation) -> Iterator[str]:
    settings = evaluation.settings
    kind = "synthetic patients" if evaluation.synthetic else "patients"
    yield f"Cohort {evaluation.cohort} version {evaluation.version}: {evaluation.patients} {kind} ({evaluation.spec})"
    yield f"{settings.folds}-fold cross-validation, seed {settings.seed}: every risk is of a patient whom the models"
    yield "never saw, from what is known at first, under the plan that was given. In brackets 95 % intervals"
    yield f"by {settings.resamples} bootstrap resamples of the patients."


def _outcome(one: OutcomeEvaluation) -> Iterator[str]:
    rivals = f", {one.competing_events} with a competing event first" if one.competing_events else ""
    yield f"{one.label}: {one.events} events in {one.patients} patients{rivals}"
    yield from _aligned(_metric_rows(one))
    for name, of_metric in one.differences.items():
        compared = ", ".join(f"{METRICS[metric][0]} {_signed(value)}" for metric, value in of_metric.items())
        yield f"  twin less {MODELS[name]}: {compared}"
    yield f"  fifths of predicted risk{_by(one)}: predicted / observed"
    yield "    " + "   ".join(f"{g.predicted:.2f} / {_plain(g.observed)}" for g in one.calibration)
    if one.subgroups:
        yield from _aligned(_subgroup_rows(one))


def _metric_rows(one: OutcomeEvaluation) -> Iterator[Sequence[str]]:
    models = list(one.models.values())
    yield ("", *(MODELS[name] for name in one.models), "")
    for metric, (title, meaning) in METRICS.items():
        found = next((scores[metric] for scores in models if metric in scores), None)
        if isinstance(found, MetricValue):
            yield (title, *(_of(scores.get(metric)) for scores in models), meaning)
        elif found is not None:
            for k, month in enumerate(found):
                cells = (_of(_at(scores.get(metric), month)) for scores in models)
                yield (f"{title}, month {month}", *cells, "" if k else meaning)


def _at(scores: object, month: str) -> object:
    return scores.get(month) if isinstance(scores, dict) else None


def _subgroup_rows(one: OutcomeEvaluation) -> Iterator[Sequence[str]]:
    concordance = "AUC" if one.kind is OutcomeKind.BINARY else "Harrell C"
    yield (f"groups{_by(one)}", "patients", "events", concordance, "predicted", "observed less predicted")
    for group in one.subgroups:
        yield _subgroup_row(group)


def _subgroup_row(group: Subgroup) -> Sequence[str]:
    name = f"{group.column}: {group.group}"
    if group.suppressed:
        return (name, str(group.patients), "too few to say more")
    return (
        name,
        str(group.patients),
        str(group.events),
        _of(group.concordance),
        f"{group.predicted:.2f}",
        _signed(group.observed_less_predicted),
    )


def _by(one: OutcomeEvaluation) -> str:
    return f" by month {one.horizons[-1]:g}"


def _omissions(evaluation: Evaluation) -> Iterator[str]:
    yield "Not evaluated"
    for omission in evaluation.not_evaluated:
        yield f"  {omission.what}: {omission.reason}"


def _of(value: object) -> str:
    """A value with its interval; empty where there is none."""
    if not isinstance(value, MetricValue) or value.value is None:
        return ""
    interval = "" if value.lower is None else f" ({value.lower:.3f} to {value.upper:.3f})"
    return f"{value.value:.3f}{interval}"


def _signed(value: MetricValue | None) -> str:
    if value is None or value.value is None:
        return ""
    interval = "" if value.lower is None else f" ({value.lower:+.3f} to {value.upper:+.3f})"
    return f"{value.value:+.3f}{interval}"


def _plain(value: MetricValue) -> str:
    return "" if value.value is None else f"{value.value:.2f}"


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines, every column as wide as its widest cell."""
    table = list(rows)
    widths = [max(len(row[k]) for row in table if k < len(row)) for k in range(max(map(len, table)))]
    for row in table:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))).rstrip()
