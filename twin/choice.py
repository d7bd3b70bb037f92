"""A fitted twin in, which kind of model serves for each outcome and by how much, or why nothing was compared, out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from data.schema import Outcome
from twin.marginal import OutcomeHazards
from twin.prediction import FittedTwin
from twin.selection import Selection
from twin.trainer import FEWEST_TO_COMPARE

LOGISTIC: Final = "ridge logistic regression"
BY_CHOICE: Final = "not compared: this twin was fitted without the comparison"


@dataclass(frozen=True)
class Choice:
    """The kind of model that serves for one outcome."""

    outcome: Outcome
    serving: str
    margin: str
    """Over the plain model or the best other one; or why there is none"""


def choices(twin: FittedTwin) -> Iterator[Choice]:
    """One an outcome, in their order."""
    for name in twin.outcomes:
        outcome, found = twin.spec.outcome(name), twin.marginal.hazards.get(name)
        if found is None:
            yield Choice(outcome, LOGISTIC, "no other kind is tried on a yes-or-no outcome")
        else:
            yield Choice(outcome, found.serving, _margin(found.selection) if found.selection else not_compared(found))


def not_compared(found: OutcomeHazards) -> str:
    """Why the candidates for an outcome were not compared."""
    events = found.event.events
    return BY_CHOICE if events >= FEWEST_TO_COMPARE else f"not compared: {events} events, below {FEWEST_TO_COMPARE}"


def _margin(selection: Selection) -> str:
    serving, plain = selection.serving, selection.scores[0]
    said = f"integrated Brier score {serving.integrated_brier:.4f}"
    if serving is not plain:
        return f"{said}, {-serving.difference:.4f} (SE {serving.standard_error:.4f}) below {plain.label}"
    best = min(selection.scores[1:], key=lambda score: score.integrated_brier)
    side = "below" if best.difference < 0 else "above"
    within = ", within one SE" if best.difference < 0 else ""
    return f"{said}; best other: {best.label}, {abs(best.difference):.4f} (SE {best.standard_error:.4f}) {side}{within}"
