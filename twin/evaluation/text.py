"""An evaluation in, a plain text that explains its figures out: what the command line prints.

Every metric at every month stands in the JSON; the text shows two months, and only groups that are large enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final

from data.schema import OutcomeKind
from twin.evaluation.brief import BriefEvaluation
from twin.evaluation.cells import aligned, of, signed
from twin.evaluation.coverage import PATIENTS_A_GROUP, Coverage
from twin.evaluation.evaluate import Evaluation, Kind, OutcomeEvaluation
from twin.evaluation.held_out import AVERAGES, RIDGES, TWIN
from twin.evaluation.policy_text import policy_text
from twin.evaluation.scores import Scores
from twin.evaluation.splits import RANDOM_FOLDS
from twin.evaluation.subgroups import Subgroup
from twin.evaluation.symptoms import SymptomEvaluation, SymptomScore
from twin.metrics.intervals import MetricValue

MODELS: Final = {
    "twin": "twin",
    "kaplan_meier": "Kaplan-Meier",
    "aalen_johansen": "Aalen-Johansen",
    "share": "share of patients",
    "ridge_cox": "ridge Cox",
    "ridge_logistic": "ridge logistic",
    RANDOM_FOLDS: "twin, random folds",
}

METRICS: Final = {
    "harrell_c": ("Harrell C", "pairs in the right order; 0.5 is chance, 1 perfect"),
    "uno_c": ("Uno C", "the same, whatever the censoring"),
    "auc": ("AUC", "tells those with the event from those without; 0.5 is chance"),
    "integrated_brier": ("integrated Brier", "mean squared error over time; 0 is perfect"),
    "integrated_brier_skill": ("skill", "share of the error of saying the average that is avoided"),
    "brier": ("Brier", "mean squared error; 0 is perfect"),
    "brier_skill": ("skill", "share of the error of saying the average that is avoided"),
    "observed_over_predicted": ("observed / predicted", "1 is right; above 1, risks are too low"),
    "calibration_slope": ("calibration slope", "1 is right; below 1, risks are too extreme"),
    "calibration_intercept": ("calibration intercept", "0 is right; above 0, risks are too low"),
    "largest_calibration_gap": ("largest gap", "|predicted - observed|, worst fifth of risk"),
    "ece": ("calibration error", "mean gap between predicted and observed share"),
    "d_calibration_p": ("D-calibration p", "a small p speaks against the curves; its interval leans low"),
}
"""Metric -> name and meaning, in the order of the table."""

LEFT_TO_JSON: Final = ("calibration_intercept",)
"""Metrics that say again what another one in the text says"""

AVERAGES_IN_SKILL: Final = frozenset(AVERAGES.values())
"""Models that are in the text as what skill is measured from"""

WIDTH: Final = 110
"""Of running text, characters"""

SHORT_TERM_MONTH: Final = 24.0
"""Shown beside the last horizon"""


def as_text(evaluation: Evaluation) -> str:
    """The evaluation as text of several lines, without a final line break."""
    explained: set[str] = set()
    blocks = [
        _heading(evaluation),
        _glance(evaluation),
        *(_outcome(one, explained) for one in evaluation.outcomes),
        _intervals(evaluation),
        _groups(evaluation),
        _decisions(evaluation),
        policy_text(evaluation.policy),
        *(
            _brief(f"Asked at month {one.month:g}: {one.label.lower()}", "", one.outcomes)
            for one in evaluation.landmarks
        ),
        _symptoms(evaluation.symptoms),
        *(_brief(f"Set apart by {one.column}", one.description, one.outcomes) for one in evaluation.splits),
        _omissions(evaluation),
    ]
    written = ["\n".join(block) for block in blocks]
    return "\n\n".join(block for block in written if block)


def _heading(evaluation: Evaluation) -> Iterator[str]:
    settings = evaluation.settings
    kind = "SYNTHETIC patients (none of them ever lived)" if evaluation.synthetic else "patients"
    yield f"Cohort {evaluation.cohort} version {evaluation.version} ({evaluation.spec}): {evaluation.patients} {kind}"
    if evaluation.kind == Kind.EXTERNAL:
        yield "The model as it is, on patients of another cohort than its own: nothing was fitted on them."
    else:
        yield f"{settings.folds}-fold cross-validation, seed {settings.seed}: no model is asked about patients it saw."
    yield "Risks are stated from what is known at first, under the plan that was given. In brackets 95 % intervals"
    yield f"by {settings.resamples} bootstrap resamples of the patients. --json has all months, groups and models."


def _glance(evaluation: Evaluation) -> Iterator[str]:
    yield "At a glance"
    yield from aligned(_glance_rows(evaluation))


def _glance_rows(evaluation: Evaluation) -> Iterator[Sequence[str]]:
    yield ("", "events", "C or AUC", "less ridge", "skill over average", "observed / predicted")
    for one in evaluation.outcomes:
        twin, rank = one.models["twin"], _rank(one.kind)
        ridge = next((found for name, found in one.differences.items() if name.startswith("ridge")), {})
        yield (
            one.label,
            f"{one.events} of {one.patients}",
            of(twin.get(rank)),
            signed(ridge.get(rank)),
            of(twin.get("brier_skill" if one.kind is OutcomeKind.BINARY else "integrated_brier_skill")),
            of(_last(twin.get("observed_over_predicted"))),
        )


def _rank(kind: OutcomeKind) -> str:
    return "auc" if kind is OutcomeKind.BINARY else "harrell_c"


def _last(found: object) -> object:
    return list(found.values())[-1] if isinstance(found, Mapping) else found


def _outcome(one: OutcomeEvaluation, explained: set[str]) -> Iterator[str]:
    rivals = f", {one.competing_events} with a competing event first" if one.competing_events else ""
    yield f"{one.label}: {one.events} events in {one.patients} patients{rivals}"
    yield from aligned(_metric_rows(one, explained))
    for name, of_metric in one.differences.items():
        if name in AVERAGES_IN_SKILL:
            continue
        compared = ", ".join(f"{METRICS[metric][0]} {signed(value)}" for metric, value in of_metric.items())
        yield f"  twin less {MODELS[name]}: {compared}"
    groups = "   ".join(f"{g.predicted:.2f} / {_plain(g.observed)}" for g in one.calibration)
    yield f"  predicted / observed risk by month {one.horizons[-1]:g} in fifths of risk: {groups}"


def _metric_rows(one: OutcomeEvaluation, explained: set[str]) -> Iterator[Sequence[str]]:
    shown = [name for name in one.models if name not in AVERAGES_IN_SKILL]
    models = [one.models[name] for name in shown]
    yield ("", *(MODELS[name] for name in shown), "")
    for metric, (title, meaning) in METRICS.items():
        found = models[0].get(metric)
        if found is None or metric in LEFT_TO_JSON:
            continue
        said = "" if metric in explained else meaning
        explained.add(metric)
        if isinstance(found, MetricValue):
            yield (title, *(of(scores.get(metric)) for scores in models), said)
            continue
        for k, month in enumerate(_shown(found)):
            yield (
                f"{title}, month {month}",
                *(of(_at(scores, metric, month)) for scores in models),
                "" if k else said,
            )


def _shown(by_month: Mapping[str, MetricValue]) -> list[str]:
    months = list(by_month)
    return [month for month in months[:-1] if float(month) == SHORT_TERM_MONTH] + months[-1:]


def _at(scores: Scores, metric: str, month: str) -> object:
    found = scores.get(metric)
    return found.get(month) if isinstance(found, Mapping) else None


def _intervals(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.outcomes:
        return
    level = f"{100 * evaluation.outcomes[0].coverage.level:g} %"
    yield f"Do {level} intervals hold what they say?"
    yield "  A patient's true risk is never seen, a group's observed risk is. Counted is how often it lies within"
    yield "  the interval that the model gives it, the chance of who has the event included. Near the level is right;"
    yield "  far below it, risks or their spread are wrong. The interval of a single patient cannot be checked so."
    yield from aligned(_coverage_rows(evaluation))


def _coverage_rows(evaluation: Evaluation) -> Iterator[Sequence[str]]:
    true = any(one.coverage.true_risks for one in evaluation.outcomes)
    of_truth = ("true risks of the synthetic patients", "in the worst audited group")
    yield ("", "groups by risk", "audited groups", *(of_truth if true else ()))
    for one in evaluation.outcomes:
        yield (one.label, *_coverage_cells(one.coverage))


def _coverage_cells(found: Coverage) -> Iterator[str]:
    yield of(found.groups_of_risk, digits=2)
    yield of(found.audited_groups, digits=2)
    if found.true_risks is not None:
        yield of(found.true_risks.overall, digits=2)
        worst = min(found.true_risks.by_group.items(), key=lambda group: group[1].value or 0.0, default=None)
        yield f"{of(worst[1], digits=2)} {worst[0]}" if worst else ""


def _groups(evaluation: Evaluation) -> Iterator[str]:
    told = [
        (one, group) for one in evaluation.outcomes for group in one.subgroups if group.patients >= PATIENTS_A_GROUP
    ]
    standing_out = sum(_stands_out(group) for _, group in told)
    small = sorted(
        {_name(group) for one in evaluation.outcomes for group in one.subgroups if group.patients < PATIENTS_A_GROUP}
    )
    if told:
        expected = 0.05 * len(told)
        ridge = any(name in RIDGES.values() for _, group in told for name in group.models)
        beside = "twin / ridge regression / average" if ridge else "twin / average"
        yield f"Groups whose risk is stated too low or too high: {standing_out} of {len(told)} comparisons, marked *"
        yield f"  (about {expected:.0f} would be so by chance). Figures are those of {beside}."
        yield from aligned(_group_rows(told))
    if small:
        said = f"fewer than {PATIENTS_A_GROUP} patients: {', '.join(small)}"
        yield from wrap(said, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _stands_out(group: Subgroup) -> bool:
    found = group.observed_less_predicted
    return bool(found and found.lower is not None and found.upper is not None and found.lower * found.upper > 0)


def _name(group: Subgroup) -> str:
    return f"{group.column}: {group.group}"


def _group_rows(told: Sequence[tuple[OutcomeEvaluation, Subgroup]]) -> Iterator[Sequence[str]]:
    yield ("", "", "", "patients", "C or AUC", "Brier", "observed / predicted")
    before = ""
    for one, group in told:
        brier = "brier" if one.kind is OutcomeKind.BINARY else "integrated_brier"
        yield (
            "" if one.label == before else one.label,
            _name(group),
            "*" if _stands_out(group) else "",
            str(group.patients),
            _beside(group, _rank(one.kind), AVERAGES_IN_SKILL),
            *(_beside(group, metric) for metric in (brier, "observed_over_predicted")),
        )
        before = one.label


def _beside(group: Subgroup, metric: str, without: frozenset[str] = frozenset()) -> str:
    """A metric of the twin with its interval, and of the models beside it but `without`, the average last."""
    others = sorted(group.models.keys() - {TWIN} - without, key=lambda name: name in AVERAGES_IN_SKILL)
    plain = [group.models[name].get(metric) for name in others]
    found = [of(group.models[TWIN].get(metric)), *(_plain(one, 3) for one in plain if isinstance(one, MetricValue))]
    return " / ".join(cell for cell in found if cell)


def _decisions(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.decisions:
        return
    yield "How well the physicians' decisions are foretold"
    rows: list[Sequence[str]] = [("", "given", "AUC", "calibration error", "without chance", "slope", "Brier")]
    rows += [
        (
            one.label,
            f"{one.given} of {one.patients}",
            *(of(metric) for metric in (one.auc, one.ece, one.debiased_ece, one.calibration_slope, one.brier)),
        )
        for one in evaluation.decisions
    ]
    yield from aligned(rows)


def _symptoms(found: SymptomEvaluation | None) -> Iterator[str]:
    if found is None:
        return
    better = sum(one.difference.upper is not None and one.difference.upper < 0.0 for one in found.by_item)
    worse = sum(one.difference.lower is not None and one.difference.lower > 0.0 for one in found.by_item)
    yield f"Symptoms over time: held-out ratings on a scale from {found.lowest:g} to {found.highest:g}"
    yield "  Root mean square error (RMSE) beside that of the mean of the other patients. Beyond chance, of"
    yield f"  {len(found.by_item)} items by week the model is nearer in {better}, the mean in {worse}."
    level = f"within {100 * found.level:g} % ranges"
    rows: list[Sequence[str]] = [("", "", "ratings", "RMSE", "of the mean", "difference", level)]
    rows += [_symptom_row(one) for one in (found.overall, *found.by_week)]
    rows += [_symptom_row(one, "largest error: " if k == 0 else "") for k, one in enumerate(found.worst)]
    yield from aligned(rows)


def _symptom_row(one: SymptomScore, before: str = "") -> Sequence[str]:
    return (
        f"{before}{one.label}",
        "all weeks" if one.week is None else f"week {one.week:g}",
        str(one.ratings),
        of(one.rmse, digits=2),
        "" if one.mean_rmse is None else f"{one.mean_rmse:.2f}",
        signed(one.difference),
        of(one.range_coverage, digits=2),
    )


def _brief(title: str, description: str, outcomes: Sequence[BriefEvaluation]) -> Iterator[str]:
    if not outcomes:
        return
    yield title + (
        f": {description}" if description else ", from what is known then, in those alive and free of the event"
    )
    yield from aligned(_brief_rows(outcomes))


def _brief_rows(outcomes: Sequence[BriefEvaluation]) -> Iterator[Sequence[str]]:
    yield ("", "events", "", "C or AUC", "Brier", "skill", "observed / predicted")
    for one in outcomes:
        brier = "brier" if one.kind is OutcomeKind.BINARY else "integrated_brier"
        shown = [(name, found) for name, found in one.models.items() if name not in AVERAGES_IN_SKILL]
        for k, (name, found) in enumerate(shown):
            yield (
                "" if k else one.label,
                "" if k else f"{one.events} of {one.patients}",
                MODELS[name],
                of(found.get(_rank(one.kind))),
                of(found.get(brier)),
                of(found.get(f"{brier}_skill")),
                of(found.get("observed_over_predicted")),
            )


def _omissions(evaluation: Evaluation) -> Iterator[str]:
    yield "Not evaluated"
    for omission in evaluation.not_evaluated:
        yield f"  {omission.what}: {omission.reason}"


def _plain(value: MetricValue, digits: int = 2) -> str:
    return "" if value.value is None else f"{value.value:.{digits}f}"
