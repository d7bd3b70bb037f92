"""A fitted twin and what was found of it in, its model card as Markdown out.

The card says where each item of TRIPOD+AI (Collins et al. 2024, doi:10.1136/bmj-2023-078378) is answered, or who has to
answer it. Of the fields of the Applied Model Card of the Coalition for Health AI (v0.2,
https://mc.chai.org/v0.2/schema.xsd), in the order of its parts:

* Basic information, release: model, developer and contact, stage, version and regulatory approval are there. Date of
  release, global availability and compatibility with health records are not: nothing is released.
* Summary: there. Keywords are not.
* Uses and directions: all five are there.
* Warnings: limits and clinical risk are there, biases as far as groups are scored; ethical considerations are not.
* Trust ingredients: outputs, model type, foundation models, source and characterisation of the data, types of inputs
  and outputs, mitigation of bias, maintenance and security of the files are there. Funding and stakeholders are left to
  the holder of the cohort.
* Key metrics: results by group and overall and how they were validated are there. There is no goal of each metric.
* Resources, bibliography: no trial, publication, reimbursement or consent of patients is listed, as there is none.

It is no file of that schema. Every figure is read from the twin, its cohort and its evaluations; nothing is typed in.

Run ``python -m twin.card --out docs/model-card-demonstration.md`` for the card of the demonstration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.evidence import load_evidence
from twin.by_state import state_rows
from twin.choice import choices
from twin.effects.combination import EffectRow
from twin.effects.groups import ON_AVERAGE
from twin.effects.sources import TOO_FEW, Sources
from twin.effects.states import StateRow
from twin.evaluation.card import (
    Document,
    apart,
    for_whom,
    limits,
    not_evaluated_yet,
    on_other_cohorts,
    performance,
    policy_limits,
    table,
)
from twin.evaluation.evaluate import Kind
from twin.models.encoding import NOT_RECORDED, CategoryInput, NumberInput
from twin.models.outcome import BinaryModel, EventModel
from twin.participants import participants
from twin.prediction import FittedTwin
from twin.reporting_items import TRIPOD_AI

PAGE_PATIENTS: Final = 536
"""Of the demonstration, as `twin.workspace` makes it"""


def model_card(twin: FittedTwin, evaluations: Sequence[Document], cohort: Cohort | None = None) -> str:
    """The card of one version.

    Args:
        twin: The version.
        evaluations: What was found of it, oldest first; of several on one cohort the last counts.
        cohort: That taught it, where it is still at hand.
    """
    own = next((one for one in reversed(evaluations) if one["kind"] == Kind.CROSS_VALIDATION), None)
    elsewhere = list({one["cohort"]: one for one in evaluations if one["kind"] == Kind.EXTERNAL}.values())
    sections = [
        _opening(twin),
        _purpose(twin),
        _limits(twin, own, elsewhere),
        _outputs(twin),
        _data(twin, cohort),
        _method(twin),
        _effects(twin),
        *([performance(own), for_whom(own), apart(own)] if own else [not_evaluated_yet()]),
        on_other_cohorts(elsewhere),
        _maintenance(),
        _checklist(),
    ]
    return "\n\n".join("\n".join(section).rstrip() for section in sections) + "\n"


def _opening(twin: FittedTwin) -> Iterator[str]:
    origin, disease = twin.origin, twin.spec.label
    name = twin.version or "unnamed version"
    yield f"# Model card: {disease}, {name}"
    yield ""
    if origin.synthetic:
        yield (
            "> **SYNTHETIC.** This model learnt from invented patients. None of them ever lived, and nothing on this "
            "page "
            "says anything about a patient who does."
        )
        yield ""
    yield "Generated from the model and its evaluations: evaluate again to change it, do not edit it."
    yield ""
    yield "## What it is"
    yield ""
    rows = [
        ("Model", f"Gemina twin `{name}`, {disease.lower()}"),
        ("What it does", "states risks of outcomes under each treatment sequence, from what is known of a patient"),
        ("Developer", "Gemina (open source, Apache-2.0); fitted by whoever runs the installation, who is the contact"),
        ("Stage", "research and education; no regulatory approval, not a medical device"),
        ("Clinical risk", "high if it were used for care: its figures are about the choice of treatment"),
        ("Taught by", f"cohort `{origin.cohort}` version {origin.version}, {origin.patients} patients"),
        ("Digest of these data", f"`{origin.digest}`"),
        ("Seed", str(origin.seed)),
        ("Fitted with", ", ".join(f"{library} {number}" for library, number in origin.libraries.items())),
        ("Foundation models", "none"),
    ]
    yield from table(("Field", "Entry"), rows)


def _purpose(twin: FittedTwin) -> Iterator[str]:
    disease = twin.spec.label.lower()
    yield "## What it is for"
    yield ""
    yield (
        "* **Intended use:** to compare treatment sequences in discussion and teaching, beside what was observed in "
        "patients alike, with the doubt shown. Benefit and harm are shown apart; the clinician decides."
    )
    yield f"* **Care context:** {_care_context(twin)}"
    yield "* **Intended users:** clinicians and boards who can judge each input and each risk; analysts."
    yield (
        "* **How to use it:** enter what is known before the decision in question; look at support and interval first, "
        "then at differences between sequences. A risk without support is not to be relied on."
    )
    yield f"* **Patients:** with {disease}, like those of the cohort below, before or between the decisions it knows."
    yield "* **Out of scope:** the care of a patient, and any decision taken on its figures alone."
    yield "* **Out of scope:** other diseases, treatments not among its decisions, times beyond its follow-up."
    yield "* **Out of scope:** patients marked `unsupported`, and cohorts on which it was not evaluated."


def _care_context(twin: FittedTwin) -> str:
    decisions = ", ".join(decision.label.lower() for decision in twin.spec.decisions)
    return (
        f"treatment with curative intent is planned after staging, one decision after another: {decisions}. Trials "
        "report what each does on average; what it does to one patient is judged. Existing models that answer parts of "
        "this, and how this one does beside them, are in `docs/benchmarks.md`."
    )


def _limits(twin: FittedTwin, own: Document | None, elsewhere: Sequence[Document]) -> Iterator[str]:
    yield "## Known limits"
    yield ""
    if twin.origin.synthetic:
        yield "* It was never tried on a patient who lived."
    yield from (limits(own) if own else ["* It was not evaluated."])
    if not elsewhere:
        yield "* It was not evaluated on another cohort: how it does elsewhere is unknown."
    for ability in twin.capability.not_offered:
        yield f"* {ability.label}: {ability.reason}."
    for sources in _sources(twin):
        for decision in sources.effects.cohort.decisions:
            if conflict := sources.disagreement(decision):
                about = f"{_decision_label(twin, decision)} and {sources.outcome.label.lower()}"
                yield f"* {about[:1].upper()}{about[1:]}: {sources.sentence(conflict)}."
    yield "* Treatments were not given at random. What adjustment leaves of confounding is assumed, not known."
    yield (
        "* In evaluations the plan a patient had is taken as known at first, although it became known later: whoever "
        "had "
        "a late treatment lived to it, which flatters the ranks of every model a little."
    )
    yield from policy_limits(own)


def _outputs(twin: FittedTwin) -> Iterator[str]:
    fitted: dict[str, EventModel | BinaryModel] = {
        **{name: hazards.event for name, hazards in twin.marginal.hazards.items()},
        **twin.marginal.binaries,
    }
    yield "## What it predicts"
    yield ""
    rows = []
    for name in twin.outcomes:
        outcome = twin.spec.outcome(name)
        until = f"month {outcome.month:g}" if outcome.month else f"each month up to {twin.domain_end(name):.0f}"
        rival = f"; {twin.spec.outcome(outcome.competing).label.lower()} can come first" if outcome.competing else ""
        rows.append((outcome.label, f"risk by {until}{rival}", f"{fitted[name].events} of {fitted[name].patients}"))
    yield from table(("Outcome", "What is stated", "Events taught by"), rows)
    yield ""
    yield (
        f"Every risk has an interval ({twin.origin.interval_label}) from {twin.origin.draws} draws, and a support: "
        f"`supported`, `thin` or `unsupported`. Months count from {str(twin.origin.time_zero).replace('_', ' ')}."
    )


def _data(twin: FittedTwin, cohort: Cohort | None) -> Iterator[str]:
    origin, decisions = twin.origin, twin.support_model.decisions
    kind = "synthetic patients" if origin.synthetic else "patients"
    yield "## What it learnt from"
    yield ""
    yield f"{origin.patients} {kind} of cohort `{origin.cohort}`, version {origin.version}."
    yield ""
    given = []
    for k, decision in enumerate(twin.spec.decisions):
        known = decisions[~np.isnan(decisions[:, k]), k]
        share = f"{100 * float(np.mean(known)):.0f} %" if known.size else "not recorded"
        held = twin.capability.held.get(decision.column)
        given.append((decision.label, share if held is None else f"held at {held}"))
    yield from table(("Decision", "Given to"), given)
    yield ""
    inputs = [(_input_label(twin, one.source), *_distribution(one)) for one in twin.marginal.encoding.inputs]
    yield from table(("Input", "In the cohort", "Not recorded"), inputs)
    yield ""
    yield from participants(cohort, twin.outcomes)


def _distribution(source: NumberInput | CategoryInput) -> tuple[str, str]:
    """An input among those in whom it is recorded, and the share of the others."""
    if isinstance(source, NumberInput):
        missing = f"{100 * source.missing_share:.0f} %"
        if (source.minimum, source.maximum) == (0.0, 1.0):
            return f"yes {100 * source.mean:.0f} %", missing
        return f"mean {source.mean:.3g}, from {source.minimum:.3g} to {source.maximum:.3g}", missing
    shares = dict(zip(source.levels, source.shares, strict=True))
    absent = shares.pop(NOT_RECORDED, 0.0)
    said = (f"{level.replace('_', ' ')} {100 * share / (1.0 - absent):.0f} %" for level, share in shares.items())
    return ", ".join(said), f"{100 * absent:.0f} %"


def _input_label(twin: FittedTwin, source: str) -> str:
    sums = {feature.name: feature.label for feature in twin.spec.features}
    return sums.get(source) or twin.spec.column(source).label


def _decision_label(twin: FittedTwin, column: str) -> str:
    return next(decision.label for decision in twin.spec.decisions if decision.column == column).lower()


def _method(twin: FittedTwin) -> Iterator[str]:
    yield "## How it works"
    yield ""
    yield (
        "One hazard an outcome: prognosis from what is known before the first decision, times what the decisions in "
        "effect do. Where one outcome can forestall another, both hazards are combined into a cumulative incidence. "
        "What "
        "is seen between decisions changes a patient's hazards so that their average over all that might be seen is "
        "the "
        "risk stated at first. Missing values are imputed many times, and risks averaged over the completions. Origin, "
        "centre and year never enter. `docs/twin.md` has the details."
    )
    yield ""
    yield (
        "When it is used: a value that the dictionary does not allow is refused with the reason, a missing one is "
        "imputed and widens the interval. Each answer has a support, by how unlike the cohort the patient is, how many "
        "alike had the plan, how often physicians decide so for such patients, and what is missing: under `thin` the "
        "reasons stand beside the numbers, under `unsupported` pages show intervals and no single numbers."
    )
    yield ""
    rows = [(one.outcome.label, one.serving, one.margin) for one in choices(twin)]
    yield from table(("Outcome", "Prognosis by", "By how much"), rows)
    hazards = [
        (twin.spec.outcome(n).label, twin.marginal.hazards[n]) for n in twin.outcomes if n in twin.marginal.hazards
    ]
    compared = [
        (
            label,
            f"**{score.label}**" if score.serves else score.label,
            f"{score.integrated_brier:.4f}",
            f"{score.difference:+.4f} (SE {score.standard_error:.4f})",
            "" if score.harrell_c is None else f"{score.harrell_c:.3f}",
        )
        for label, found in hazards
        if found.selection
        for score in found.selection.scores
    ]
    if compared:
        yield ""
        yield from table(("Outcome", "Candidate", "Integrated Brier", "Less the plain one", "Harrell C"), compared)


def _effects(twin: FittedTwin) -> Iterator[str]:
    yield "## What treatments are taken to do"
    yield ""
    yield (
        "Hazard ratios (odds ratios of yes-or-no outcomes) of having a treatment, for the average patient of the "
        "cohort, "
        "with 90 % intervals. *Published* is the prior from trials and registries (`docs/evidence.md`), *cohort* the "
        "doubly robust estimate with sampling error only. Weight of what is published: "
        f"{twin.origin.evidence_weight:g} (0 the cohort alone, 0.5 each by its variance, 1 the publications alone). "
        "Where none of the sources behind a prior was read, it is an assumption, and no number of theirs stands here. "
        "Averages and differences between groups of patients are weighed together, so what is used may lie outside "
        "of both its sources."
    )
    yield ""
    rows = [
        _effect_row(twin, sources, row) for sources in _sources(twin) for row in sources.rows if row.group == ON_AVERAGE
    ]
    yield from table(("Outcome", "Treatment", "Published", "Cohort", "Used"), rows)
    by_state = [_state_row(twin, sources, row) for sources in _sources(twin) for row in sources.states]
    if by_state:
        yield ""
        yield (
            "What a treatment does can depend on a state that is seen before it. There the ratio above, which is the "
            "average, is multiplied in those who show the state by the ratio here, relative to the others; before the "
            "state is seen, the average is what counts. The prior is assumed (`docs/evidence.md`)."
        )
        yield ""
        yield from table(("Outcome", "Treatment", "In whom", "Assumed", "Used", "Cohort"), by_state)


def _sources(twin: FittedTwin) -> list[Sources]:
    """Of the outcomes that decisions have effects on, in the order of the specification."""
    evidence, effects = load_evidence(twin.spec), twin.effects.by_outcome
    return [
        Sources(twin.spec, outcome, effects[outcome.name], evidence, state_rows(twin, outcome.name))
        for outcome in twin.spec.outcomes
        if outcome.name in effects
    ]


def _effect_row(twin: FittedTwin, sources: Sources, row: EffectRow) -> tuple[str, ...]:
    return (
        sources.outcome.label,
        _decision_label(twin, row.decision),
        sources.unpublished(row.decision) or str(row.prior),
        sources.untaught(row.decision) or str(row.cohort),
        str(row.combined),
    )


def _state_row(twin: FittedTwin, sources: Sources, row: StateRow) -> tuple[str, ...]:
    asked = "has a say" if row.taught else sources.untaught(row.decision) or TOO_FEW
    return (
        sources.outcome.label,
        _decision_label(twin, row.decision),
        row.name,
        str(row.assumed),
        str(row.used),
        asked,
    )


def _maintenance() -> Iterator[str]:
    yield "## Maintenance"
    yield ""
    yield (
        "* A version never changes; its files are verified before each use. A new fit is a new version with a card of "
        "its "
        "own, and serves only once a person promotes it. Every such act is in the audit chain of the store."
    )
    yield (
        "* Before use on other patients, and whenever a cohort grows: `python -m twin evaluate --cohort NAME --model "
        "VERSION` compares risks with what was seen and inputs with those it learnt from, and flags what has moved."
    )
    yield "* Flagged `alert`: do not use the risks there; fit on a cohort of that place, or find out what differs."
    yield "* A model folder holds encoded inputs of the patients: treat it as confidentially as the cohort."


def _checklist() -> Iterator[str]:
    yield "## TRIPOD+AI"
    yield ""
    yield "Where each item of the checklist is answered (Collins et al. 2024, doi:10.1136/bmj-2023-078378)."
    yield ""
    yield from table(("Item", "Topic", "Answered in"), TRIPOD_AI)


def demonstration_card() -> str:
    """The card of the twin that a fresh installation shows; takes a minute or two."""
    from data.synthetic import generate
    from data.synthetic.symptoms import symptoms
    from twin.assessment import assess_own
    from twin.evaluation.evaluate import EvaluationSettings
    from twin.evaluation.truth import true_risks
    from twin.fitting import FitSettings, fit_twin

    synthetic = generate(PAGE_PATIENTS)
    cohort = replace(synthetic.cohort, name="demonstration", version=1)
    twin = fit_twin(cohort, FitSettings(select=False)).named("demonstration")
    truth = true_risks(synthetic, EvaluationSettings.horizons)
    found = assess_own(twin, cohort, truth=truth, ratings=symptoms(synthetic))
    return model_card(twin, [found.as_dict()], cohort)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the card of the demonstration."""
    parser = argparse.ArgumentParser(description="Fit and evaluate the demonstration and write its model card.")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    out: Path = parser.parse_args(arguments).out
    out.write_text(demonstration_card(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
