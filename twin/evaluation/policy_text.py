"""The value of the policy in, its part of the plain text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from twin.evaluation.cells import aligned, of, signed
from twin.evaluation.policy import HEADLINE, Front, PolicyEvaluation
from twin.evaluation.policy_gathered import EXACT, GREEDY, RANDOM
from twin.policy.off_policy import FEWEST_EFFECTIVE, Estimator
from twin.policy.sensitivity import STRONGEST

WIDTH: Final = 106
"""Of running text, characters"""
NAMES: Final = {
    EXACT: "exact policy of the twin",
    GREEDY: "best plan each by ridge Cox",
    RANDOM: "a coin",
}
PHYSICIANS: Final = "physicians, as observed"


def policy_text(found: PolicyEvaluation | None) -> Iterator[str]:
    """The lines about the policy; none where it is not valued."""
    if found is None:
        return
    yield "What the treatment policy would have been worth"
    yield from _paragraph(_introduction(found))
    yield from aligned(_value_rows(found))
    yield from _paragraph(_doubt(found))
    yield "  Loss by loss, each expected under the physicians and under the exact policy:"
    yield from aligned(_loss_rows(found))
    yield "  What is recommended (share of yes), in those who came to the decision by plan:"
    yield from aligned(_choice_rows(found))
    yield from _paragraph(_certainty(found))
    if found.weightings:
        yield "  With other weights, by these:"
        yield from aligned(_weighting_rows(found))
    yield from _front(found.front)


def _paragraph(text: str) -> Iterator[str]:
    yield from wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _introduction(found: PolicyEvaluation) -> str:
    weights = ", ".join(f"{name} {weight:g}" for name, weight in found.weights.items())
    decided = " and ".join(one.label.lower() for one in found.choices if one.valued)
    left = " and ".join(one.label.lower() for one in found.choices if one.decision in found.left_to_physicians)
    kept = f" {left.capitalize()} is as the physicians took it in all of them." if left else ""
    out = sum(found.left_out.values())
    return (
        f"Mean utility of {found.patients} patients"
        + (f" ({out} left out)" if out else "")
        + f": 1 less weighted losses by month {found.horizon:g} ({weights}). Estimated from how those fared who were "
        f"treated so, by twins that never saw them. Policies decide {decided}.{kept} Effective patients: as many "
        f"unweighted ones would tell as much; below {FEWEST_EFFECTIVE:g} nothing is claimed."
    )


def _value_rows(found: PolicyEvaluation) -> Iterator[Sequence[str]]:
    yield ("", "doubly robust", "less physicians", "weighted sampling", "effective patients", "model alone", "")
    yield (PHYSICIANS, of(found.physicians))
    for name, one in found.policies.items():
        value, weighted = one.values[HEADLINE], one.values[Estimator.WEIGHTED]
        yield (
            _name(found, name),
            of(value.value),
            signed(value.difference),
            of(weighted.value),
            f"{value.effective_sample_size:.0f}",
            of(found.model[name]),
            "" if value.claim else "no claim",
        )


def _name(found: PolicyEvaluation, name: str) -> str:
    if name in found.fixed:
        best = ", best on these very patients" if name == found.best_fixed else ""
        return f"everybody {name}{best}"
    return NAMES[name]


def _doubt(found: PolicyEvaluation) -> str:
    value = found.policies[EXACT].values[HEADLINE]
    strength = found.sensitivity.estimate
    if value.better:
        said = (
            "The exact policy is better than the physicians if every cause of their decisions is recorded, which "
            "nobody can know."
        )
    elif value.claim:
        said = "The exact policy is not shown to be better than the physicians."
    else:
        said = f"Nothing is claimed of the exact policy: {value.reason}."
    if strength == 1.0 or not value.claim:
        return said
    vanishes = f"{strength:.2f}" if strength is not None else f"more than {STRONGEST:g}"
    return (
        f"{said} By weighted sampling, its lead could be nothing if a cause that nobody recorded changed the odds of "
        f"decisions by a factor of {vanishes}."
    )


def _loss_rows(found: PolicyEvaluation) -> Iterator[Sequence[str]]:
    yield ("", "physicians", "exact policy", "difference")
    for name, loss in found.losses.items():
        yield (name, of(loss.physicians), of(loss.policy), signed(loss.difference))


def _choice_rows(found: PolicyEvaluation) -> Iterator[Sequence[str]]:
    yield ("", "patients", "recommended", "given", "agreement", "both options common")
    for one in found.choices:
        shares = (one.recommended, one.given, one.agreement, one.overlap)
        yield (one.label, str(one.patients), *(of(share, digits=2) for share in shares))


def _certainty(found: PolicyEvaluation) -> str:
    asked = found.abstention
    label = next(one.label.lower() for one in found.choices if one.decision == asked.decision)
    said = f"Asked about {label} at first, the recommendation abstains in {of(asked.share, digits=2)} of the patients."
    if found.regret is None:
        return said
    return (
        f"{said} The learnt policy falls short of the exact one by {of(found.regret.mean)} of the spread between best "
        f"and worst plan, in the worst twentieth by {of(found.regret.percentile_95)} or more. Most of these patients "
        "taught it; what it loses on others was told when it was trained."
    )


def _weighting_rows(found: PolicyEvaluation) -> Iterator[Sequence[str]]:
    labels = {one.decision: one.label.lower() for one in found.choices}
    decided = [labels[name] for name in found.valued]
    yield ("", "doubly robust", "less physicians", "effective patients", *(f"{label}: yes" for label in decided))
    for one in found.weightings:
        shares = [f"{one.recommended[name]:.2f}" if name in one.recommended else "" for name in found.valued]
        yield (
            one.name,
            of(one.value),
            signed(one.difference),
            f"{one.effective_sample_size:.0f}{'' if one.claim else ', no claim'}",
            *shares,
        )


def _front(front: Front | None) -> Iterator[str]:
    if front is None:
        return
    yield "  Benefit against harm, as the models expect them (uncorrected; * has no point with less of both):"
    rows: list[Sequence[str]] = [("", "months of life lost", "sum of toxicities", "")]
    rows += [
        (name, f"{one.months_lost:.2f}", f"{one.toxicity:.3f}", "*" if one.best else "")
        for name, one in (
            *((f"exact, {one.name}", one) for one in front.exact),
            *((f"everybody {one.name}", one) for one in front.fixed),
            (PHYSICIANS, front.observed),
        )
    ]
    yield from aligned(rows)
