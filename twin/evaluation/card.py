"""An evaluation as JSON in, its sections of a model card as lines of Markdown out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from data.schema import OutcomeKind
from twin.evaluation.held_out import AVERAGES, RIDGES, TWIN
from twin.evaluation.policy import HEADLINE
from twin.evaluation.policy_gathered import EXACT
from twin.evaluation.policy_text import NAMES as POLICY_NAMES
from twin.evaluation.splits import RANDOM_FOLDS
from twin.evaluation.text import MODELS
from twin.policy.off_policy import FEWEST_EFFECTIVE, Estimator

Document: TypeAlias = Mapping[str, Any]
"""An evaluation as `evaluate --json` prints it"""
Found: TypeAlias = Mapping[str, Any]
"""A part of one: a metric is ``{"value", "lower", "upper"}``"""

GAP_MONTHS: Final = ("24", "60")
"""At which the largest gap between predicted and observed risk is shown, where they are scored"""
TOLERATED_GAP: Final = 0.06
"""Largest gap over fifths of risk that is no limit to name; chosen"""


def not_evaluated_yet() -> Iterator[str]:
    """What stands where no evaluation was kept, under the headings of one."""
    yield "## How good it is"
    yield ""
    yield "Not evaluated yet: `python -m twin evaluate --cohort NAME --model VERSION` does, and keeps the result."
    for heading in ("For whom it is good", "Other years, other centres"):
        yield ""
        yield f"## {heading}"
        yield ""
        yield "Not evaluated yet."


def limits(own: Document) -> Iterator[str]:
    """What a cross-validation found wanting."""
    for one in own["outcomes"].values():
        scores = one["models"][TWIN]
        skill = scores[_skill(one)]
        if skill["lower"] is None or skill["lower"] <= 0:
            yield f"* {one['label']}: not shown to be foretold better than by the average (skill {metric(skill)})."
        for month, gap in _gaps(one):
            if gap["value"] > TOLERATED_GAP:
                yield (
                    f"* {one['label']}: in the worst fifth of risk, predicted and observed risk by month {month} are "
                    f"{gap['value']:.2f} apart."
                )
    few = {f"{g['column']}: {g['group']}" for o in own["outcomes"].values() for g in o["subgroups"] if g["suppressed"]}
    if few:
        yield f"* Too few patients to say anything of: {', '.join(sorted(few))}."


def performance(own: Document) -> Iterator[str]:
    """How good a twin is on the patients of its own cohort."""
    settings = own["settings"]
    yield "## How good it is"
    yield ""
    yield (
        f"{settings['folds']}-fold cross-validation, seed {settings['seed']}, {own['patients']} patients: every risk "
        "is of "
        "a patient whom the model behind it never saw. In brackets 95 % intervals by "
        f"{settings['resamples']} bootstrap resamples of the patients. The reference is ridge regression of main "
        "effects."
    )
    yield ""
    yield from _performance_table(own)
    yield ""
    yield (
        "C or AUC: pairs in the right order, 0.5 is chance. Skill: share of the error of saying the average that is "
        "avoided. Observed / predicted: 1 is right. Slope: 1 is right, below 1 risks are too extreme. Largest gap: "
        f"|predicted - observed| in the worst fifth of risk, by months {' and '.join(GAP_MONTHS)}."
    )
    yield ""
    yield from _coverage(own)
    if own["decisions"]:
        yield ""
        yield "### Physicians' decisions"
        yield ""
        rows = [
            (one["label"], f"{one['given']} of {one['patients']}", metric(one["auc"]), metric(one["ece"]))
            for one in own["decisions"].values()
        ]
        yield from table(("Decision", "Given", "AUC", "Calibration error"), rows)
    for one in own["landmarks"]:
        if one["outcomes"]:
            yield ""
            yield f"### Asked at month {one['month']:g}: {one['label'].lower()}"
            yield ""
            yield "From what is known then, in those known to have reached it and free of the event."
            yield ""
            yield from _brief(one["outcomes"])
    yield from _policy(own.get("policy"))
    yield from _symptoms(own.get("symptoms"))
    yield ""
    yield "Not evaluated: " + "; ".join(f"{one['what']} ({one['reason']})" for one in own["not_evaluated"]) + "."


def policy_limits(own: Document | None) -> Iterator[str]:
    """What is not known of the policy; `own` may have been kept before policies were valued."""
    found = own.get("policy") if own else None
    if found is None:
        yield "* No policy for choosing treatments is evaluated."
        return
    value = found["policies"][EXACT]["values"][HEADLINE.name.lower()]
    if not value["better"]:
        reason = f": {value['reason']}" if value["reason"] else ""
        yield f"* Its policy for choosing treatments is not shown to be better than the physicians{reason}."
    if found["left_to_physicians"]:
        yield f"* What its policy says of {', '.join(found['left_to_physicians'])} cannot be valued, and is not."


def _policy(found: Found | None) -> Iterator[str]:
    """What the policy would have been worth; nothing where it is not valued, as in evaluations kept before it was."""
    if found is None:
        return
    weights = ", ".join(f"`{name}` {weight:g}" for name, weight in found["weights"].items())
    decided = ", ".join(f"`{name}`" for name in found["valued"])
    left = "".join(f"; `{name}` is as the physicians took it in all of them" for name in found["left_to_physicians"])
    yield ""
    yield "### The policy"
    yield ""
    yield (
        f"Mean utility of {found['patients']} patients, 1 less weighted losses by month {found['horizon']:g} "
        f"({weights}), under policies that decide {decided}{left}. Estimated from how those fared who were treated so, "
        "with the values of twins that never saw them (doubly robust), as if every cause of decisions were recorded. "
        f"Below {FEWEST_EFFECTIVE:g} effective patients nothing is claimed. The best fixed plan was chosen on these "
        "very patients."
    )
    yield ""
    header = ("Policy", "Utility", "Less the physicians", "Weighted sampling", "Effective patients", "May be compared")
    yield from table(header, _policy_rows(found))
    yield ""
    yield from table(
        ("Decision", "Patients", "Recommended", "Given", "Agreement", "Both options common"),
        [
            (
                one["label"],
                str(one["patients"]),
                *(metric(one[share], digits=2) for share in ("recommended", "given", "agreement", "overlap")),
            )
            for one in found["choices"].values()
        ],
    )
    yield ""
    share = metric(found["abstention"]["share"], digits=2)
    yield f"Asked about `{found['abstention']['decision']}` at first, it abstains in {share} of the patients."


def _policy_rows(found: Found) -> Iterator[tuple[str, ...]]:
    yield ("physicians, as observed", metric(found["physicians"]), "", "", "", "")
    for name, one in found["policies"].items():
        value, weighted = (one["values"][by.name.lower()] for by in (HEADLINE, Estimator.WEIGHTED))
        best = ", best" if name == found["best_fixed"] else ""
        yield (
            f"everybody `{name}`{best}" if name in found["fixed"] else POLICY_NAMES[name],
            metric(value["value"]),
            metric(value["difference"], signed=True),
            metric(weighted["value"]),
            f"{value['effective_sample_size']:.0f}",
            "yes" if value["claim"] else "no",
        )


def _symptoms(found: Found | None) -> Iterator[str]:
    """The error of expected ratings; nothing where none are scored, as in evaluations kept before they were."""
    if found is None:
        return
    yield ""
    yield "### Symptoms over time"
    yield ""
    yield (
        f"Root mean square error of expected ratings, from {found['lowest']:g} to {found['highest']:g}, beside that of "
        f"the mean of the other patients, and how many ratings lie within {100 * found['level']:g} % ranges; last the "
        "items of largest error, each at its worst week."
    )
    yield ""
    yield from table(
        ("Item", "Week", "Ratings", "Error", "Of the mean", "Difference", "Within range"),
        [
            (
                one["label"],
                "all" if one["week"] is None else f"{one['week']:g}",
                str(one["ratings"]),
                metric(one["rmse"], digits=2),
                "" if one["mean_rmse"] is None else f"{one['mean_rmse']:.2f}",
                metric(one["difference"], digits=2, signed=True),
                metric(one["range_coverage"], digits=2),
            )
            for one in (found["overall"], *found["by_week"], *found["worst"])
        ],
    )


def _performance_table(found: Document) -> Iterator[str]:
    header = (
        "Outcome",
        "Events",
        "C or AUC",
        "Less the reference",
        "Skill",
        "Observed / predicted",
        "Slope",
        "Largest gap",
    )
    yield from table(header, [_performance_row(one) for one in found["outcomes"].values()])


def _performance_row(one: Found) -> tuple[str, ...]:
    scores = one["models"][TWIN]
    reference: Found = next((value for name, value in one["differences"].items() if name.startswith("ridge")), {})
    return (
        one["label"],
        f"{one['events']} of {one['patients']}",
        metric(scores[_rank(one)]),
        metric(reference.get(_rank(one)), signed=True),
        metric(scores[_skill(one)]),
        metric(_last(scores["observed_over_predicted"])),
        metric(_last(scores["calibration_slope"])),
        " / ".join(f"{gap['value']:.3f}" for _, gap in _gaps(one)),
    )


def _rank(one: Found) -> str:
    return "auc" if one["kind"] == "binary" else "harrell_c"


def _skill(one: Found) -> str:
    return "brier_skill" if one["kind"] == "binary" else "integrated_brier_skill"


def _gaps(one: Found) -> list[tuple[str, Found]]:
    found = one["models"][TWIN].get("largest_calibration_gap", {})
    return [(month, found[month]) for month in GAP_MONTHS if month in found]


def _last(found: Found) -> Found:
    """The value of the last month, or the value itself where there are no months."""
    last: Found = found if "value" in found else list(found.values())[-1]
    return last


def _coverage(found: Document) -> Iterator[str]:
    covered = [(one["label"], one["coverage"]) for one in found["outcomes"].values()]
    true = any(one["true_risks"] for _, one in covered)
    yield "### Intervals"
    yield ""
    yield (
        f"How often {100 * covered[0][1]['level']:g} % intervals hold what they are of. Nobody sees a patient's true "
        "risk; "
        "a group's observed risk is seen, and it is held against the interval of that group, the chance of who has the "
        "event included."
    )
    yield ""
    header = ("Outcome", "Groups by risk", "Audited groups", "True risks of the synthetic patients")
    rows = [
        (
            label,
            metric(one["groups_of_risk"], digits=2),
            metric(one["audited_groups"], digits=2),
            metric(one["true_risks"]["overall"], digits=2) if one["true_risks"] else "",
        )
        for label, one in covered
    ]
    count = len(header) if true else len(header) - 1
    yield from table(header[:count], [row[:count] for row in rows])
    yield from _true_groups(found)


def _true_groups(found: Document) -> Iterator[str]:
    """Coverage of true risks group by group; nothing where nobody knows them."""
    true = {one["label"]: one["coverage"]["true_risks"] or {} for one in found["outcomes"].values()}
    covered = {label: of_outcome.get("by_group", {}) for label, of_outcome in true.items()}
    groups = dict.fromkeys(group for of_group in covered.values() for group in of_group)
    if groups:
        yield ""
        yield "The same share of true risks in each group of enough patients:"
        yield ""
        yield from table(
            ("Group", *covered),
            [(group, *(metric(of_group.get(group), digits=2) for of_group in covered.values())) for group in groups],
        )


def for_whom(own: Document) -> Iterator[str]:
    """How good it is group by group, beside the models it must beat."""
    yield "## For whom it is good"
    yield ""
    yield (
        "The twin and the models beside it in the same patients, up to the last month. Observed / predicted: above 1, "
        "the risk of the group is stated too low."
    )
    for one in own["outcomes"].values():
        if one["subgroups"]:
            yield ""
            yield f"### {one['label']}, group by group"
            yield ""
            yield from _group_table(one)


def _group_table(one: Found) -> Iterator[str]:
    kind = OutcomeKind(one["kind"])
    ridge, average = RIDGES[kind], AVERAGES[kind]
    brier = "brier" if kind is OutcomeKind.BINARY else "integrated_brier"
    large = "observed_over_predicted"
    shown = [
        ("C or AUC", TWIN, _rank(one)),
        (MODELS[ridge], ridge, _rank(one)),
        ("Brier", TWIN, brier),
        (MODELS[ridge], ridge, brier),
        (MODELS[average], average, brier),
        ("Observed / predicted", TWIN, large),
        (MODELS[ridge], ridge, large),
        (MODELS[average], average, large),
    ]
    yield from table(
        ("Group", "Patients", "Events", *(title for title, *_ in shown)),
        [
            (
                f"{group['column']}: {group['group']}",
                str(group["patients"]),
                "too few" if group["suppressed"] else str(group["events"]),
                *(metric(_models(group).get(model, {}).get(name), digits=2) for _, model, name in shown),
            )
            for group in one["subgroups"]
        ],
    )


def _models(group: Found) -> Mapping[str, Found]:
    """Scores in a group by model; none in evaluations that were kept before groups had any."""
    found: Mapping[str, Found] = group.get("models", {})
    return found


def apart(own: Document) -> Iterator[str]:
    """How good it is on patients unlike those it learnt from."""
    yield "## Other years, other centres"
    yield ""
    if not own["splits"]:
        yield "Not tried: the cohort records neither, or too few patients on one side."
        return
    yield (
        "Fitted again on some patients and scored on others who are unlike them; beside it the same patients as "
        "predicted in random folds."
    )
    for one in own["splits"]:
        yield ""
        yield f"### By `{one['column']}`"
        yield ""
        yield one["description"][:1].upper() + one["description"][1:] + "."
        yield ""
        yield from _brief(one["outcomes"], (TWIN, RANDOM_FOLDS))


def _brief(outcomes: Mapping[str, Found], shown: Sequence[str] | None = None) -> Iterator[str]:
    rows = [
        (
            one["label"],
            MODELS[name],
            f"{one['events']} of {one['patients']}",
            metric(scores[_rank(one)]),
            metric(scores.get(_skill(one))),
            metric(scores["observed_over_predicted"]),
        )
        for one in outcomes.values()
        for name, scores in one["models"].items()
        if name not in AVERAGES.values() and (shown is None or name in shown)
    ]
    yield from table(("Outcome", "Model", "Events", "C or AUC", "Skill", "Observed / predicted"), rows)


def on_other_cohorts(elsewhere: Sequence[Document]) -> Iterator[str]:
    """How good it is on other cohorts, as it is, and what has moved there."""
    yield "## On other cohorts"
    yield ""
    if not elsewhere:
        yield "Not evaluated on any: `python -m twin evaluate --cohort OTHER --model VERSION` does."
    for found in elsewhere:
        kind = "synthetic patients" if found["synthetic"] else "patients"
        yield f"### {found['cohort']}, version {found['version']}: {found['patients']} {kind}"
        yield ""
        yield from _performance_table(found)
        yield ""
        flags = (found.get("drift") or {}).get("flags", [])
        yield from ([f"* {flag['severity']}: {flag['words']}" for flag in flags] or ["Nothing is flagged as moved."])
        yield ""


def metric(value: Found | None, digits: int = 3, signed: bool = False) -> str:
    """A metric with its interval; empty where there is none."""
    if value is None or value["value"] is None:
        return ""
    form = f"{'+' if signed else ''}.{digits}f"
    interval = "" if value["lower"] is None else f" ({value['lower']:{form}} to {value['upper']:{form}})"
    return f"{value['value']:{form}}{interval}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
