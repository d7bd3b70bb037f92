"""A twin, patients and plans in; what is likely to be seen on the way, with intervals, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from twin.curve import Estimate
from twin.interval import percentile_interval
from twin.plans import Group, identifier
from twin.prediction import FittedTwin
from twin.record import PatientRecord, decision_matrix
from twin.simulation.policy import AS_PHYSICIANS_CHOOSE, Manners, manner_levels
from twin.simulation.situation import Situation, StateDistribution
from twin.simulation.states import UNOBSERVED, Step
from twin.simulation.transition import StepModel
from twin.threads import one_thread
from twin.timeline import plan_digits

COLUMNS: Final = ("patient_id", "plan", "moment", "state", "level", "probability", "lower", "upper", "model")


@dataclass(frozen=True)
class Seen:
    """One thing that may be seen."""

    name: str
    label: str
    levels: tuple[tuple[str, Estimate], ...]
    """Each in words, with its probability in those alive then; together they are certain"""


@dataclass(frozen=True)
class Sight:
    """One moment at which something may be seen."""

    step: Step
    things: tuple[Seen, ...]


def sights(
    twin: FittedTwin, record: PatientRecord, plan: str, manners: Manners = AS_PHYSICIANS_CHOOSE
) -> tuple[Sight, ...]:
    """What may be seen of a patient under a plan, given what is recorded; what is recorded itself is left out.

    Raises:
        Refused: the plan disagrees with a decision taken or changes one that is held.
        WrongUsage: the cohort does not know such a manner.
    """
    frame = record.to_frame()
    (group,) = twin.book.groups(frame)
    twin.book.chosen(frame, group, plan)
    with one_thread():
        return tuple(_sights(twin, frame, group, plan, manners))


def state_table(
    twin: FittedTwin, frame: pd.DataFrame, plans: Sequence[str] | str, manners: Manners = AS_PHYSICIANS_CHOOSE
) -> pd.DataFrame:
    """What may be seen of every patient under every plan, in `COLUMNS`; arguments as of `FittedTwin.predict`.

    Probabilities are of those alive at the moment. A policy is asked through `twin.simulation`.

    Raises:
        Refused: a plan disagrees with a decision taken or changes one that is held.
        WrongUsage: the cohort does not know such a manner.
    """
    rows: list[tuple[int, tuple[object, ...]]] = []
    for group in twin.book.groups(frame):
        chosen = twin.book.chosen(frame, group, plans)
        for row in group.rows.tolist():
            patient, one = identifier(frame, twin.spec, row), frame.iloc[[row]]
            for plan in chosen:
                with one_thread():
                    cells = list(_cells(_sights(twin, one, group, plan, manners)))
                rows += [(row, (patient, plan, *cell, twin.version)) for cell in cells]
    ordered = [cells for _, cells in sorted(rows, key=lambda entry: entry[0])]
    return pd.DataFrame(ordered, columns=list(COLUMNS))


def _cells(found: Iterator[Sight]) -> Iterator[tuple[object, ...]]:
    for sight in found:
        for thing in sight.things:
            for level, chance in thing.levels:
                yield sight.step.moment, thing.name, level, chance.value, chance.lower, chance.upper


def _sights(twin: FittedTwin, frame: pd.DataFrame, group: Group, plan: str, manners: Manners) -> Iterator[Sight]:
    """The steps of a plan that lie ahead and at which anything is left to see, in time."""
    situation = twin.situation(frame, group)
    chosen = manner_levels(situation, plan, twin.choosable(group, plan, manners))
    digits = plan_digits(twin.spec, plan)
    for position, model in enumerate(situation.models.transitions.steps):
        if not bool(model.step.applies(digits)) or position in chosen or _is_past(model.step, situation):
            continue
        still_open = _open(model, frame)
        shown = situation.states(plan, model.step.moment, chosen)
        things = tuple(_seen(one, twin.origin.interval) for one in shown if one.name in still_open)
        if things:
            yield Sight(model.step, things)


def _is_past(step: Step, situation: Situation) -> bool:
    if step.manner:
        return not np.isnan(decision_matrix(situation.spec, situation.frame)[0, step.decision])
    return step.month <= situation.alive_until


def _open(model: StepModel, frame: pd.DataFrame) -> set[str]:
    """Names of what is not recorded at a step; of flags whose sum is recorded none is open."""
    variables = model.step.variables
    names = {variable.name for variable in variables if variable.codes(frame)[0] == UNOBSERVED}
    for leaf in model.leaves:
        within = leaf.part_of == UNOBSERVED or variables[leaf.part_of].name in names
        if within and leaf.variable.codes(frame)[0] == UNOBSERVED:
            names.add(leaf.variable.name)
    return names


def _seen(found: StateDistribution, level: float) -> Seen:
    ends = percentile_interval(found.probability, level)
    chances = zip(found.probability[0].tolist(), *(end.tolist() for end in ends), strict=True)
    return Seen(
        found.name, found.label, tuple(zip(found.levels, (Estimate(*chance) for chance in chances), strict=True))
    )
