"""Patients' records in; who stands at the same place, and which decision comes next there, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from twin.arrays import Flags, Floats, Integers
from twin.plans import Group
from twin.prediction import FittedTwin
from twin.record import decision_matrix, states_seen
from twin.simulation.states import UNOBSERVED
from twin.timeline import locate, plan_digits, plan_text


@dataclass(frozen=True, eq=False)
class Standing:
    """Patients who stand at the same place: the same decisions open, the same states recorded."""

    rows: Integers
    """Positions in the frame"""
    so_far: str
    """Decisions taken, held ones included; open ones as ``-``"""
    next_open: int
    """Position of the next open decision"""
    alive_until: float
    """Month to which they are known to have lived"""
    observed: tuple[Integers, ...]
    """For each step, (variables,) what is recorded"""
    assumed: tuple[str, ...] = ()
    """Columns of decisions that are past and not recorded: taken as the record, or else the physicians, make likely"""
    barred: frozenset[tuple[str, str]] = frozenset()
    """Decisions with manners in which they cannot be carried out"""

    @property
    def nothing_seen(self) -> bool:
        """Whether no state is recorded."""
        return all((codes == UNOBSERVED).all() for codes in self.observed)


_Key: TypeAlias = tuple[str, int, float, tuple[int, ...], tuple[str, ...], tuple[tuple[str, str], ...]]


def standings(
    twin: FittedTwin, frame: pd.DataFrame, barred: Sequence[frozenset[tuple[str, str]]] | None = None
) -> Iterator[Standing]:
    """Where the patients of `frame` stand; those who have nothing left to decide are left out.

    Args:
        twin: Which decisions can be compared, and which states are told apart.
        frame: Typed columns; what is known so far.
        barred: For each patient, manners of decisions that are not possible; none by default.

    Raises:
        Refused: a decision of a patient contradicts one that the cohort holds.
    """
    together: defaultdict[_Key, list[int]] = defaultdict(list)
    steps = [model.step for model in twin.states.transitions.steps]
    columns = [decision.column for decision in twin.spec.decisions]
    for group in twin.book.groups(frame):
        some = frame.iloc[group.rows]
        seen = np.column_stack([np.zeros((len(some), 0), dtype=np.intp), *(step.codes(some) for step in steps)])
        decided, assumed, upcoming = _decided(twin, some, group, seen)
        for position, k in enumerate(upcoming.tolist()):
            if k < len(twin.spec.decisions):
                row = int(group.rows[position])
                past = tuple(np.array(columns)[assumed[position]].tolist())
                not_so = tuple(sorted(barred[row])) if barred else ()
                codes = tuple(seen[position].tolist())
                together[plan_text(decided[position]), k, group.alive_until, codes, past, not_so].append(row)
    ends = np.cumsum([len(step.variables) for step in steps])[:-1]
    for (so_far, k, alive_until, codes, past, not_so), rows in sorted(together.items()):
        observed = tuple(np.split(np.array(codes, dtype=np.intp), ends)) if steps else ()
        yield Standing(np.array(rows, dtype=np.intp), so_far, k, alive_until, observed, past, frozenset(not_so))


def _decided(twin: FittedTwin, frame: pd.DataFrame, group: Group, seen: Integers) -> tuple[Floats, Flags, Integers]:
    """(n, decisions) taken or open (NaN), which of them are assumed, and (n,) position of the next open one."""
    spec = twin.spec
    recorded = decision_matrix(spec, frame)
    decided = np.tile(plan_digits(spec, group.so_far), (len(frame), 1))
    place = locate(spec, recorded, decided, states_seen(spec, frame))
    is_open = np.isnan(decided)
    ahead = is_open & (np.arange(len(spec.decisions)) >= place.next_decision[:, None])
    upcoming = np.where(ahead.any(axis=1), ahead.argmax(axis=1), len(spec.decisions))
    past = is_open & ~ahead
    for k in np.flatnonzero(past.any(axis=0)):
        rows = np.flatnonzero(past[:, k])
        decided[rows, k] = _likely(twin, frame.iloc[rows], seen[rows], int(k))
    return decided, past, upcoming


def _likely(twin: FittedTwin, frame: pd.DataFrame, seen: Integers, decision: int) -> Floats:
    """(n,) how a decision that is not recorded was probably taken: a state that only "yes" can show settles it."""
    first = 0
    shows = np.zeros(len(frame), dtype=bool)
    for model in twin.states.transitions.steps:
        last = first + len(model.step.variables)
        if model.step.decision == decision and model.step.needed:
            shows |= (seen[:, first:last] != UNOBSERVED).any(axis=1)
        first = last
    column, behaviour = twin.spec.decisions[decision].column, twin.effects.behaviour
    probable = behaviour.probability(frame, column) if column in behaviour.decisions else np.zeros(len(frame))
    return np.where(shows, 1.0, (probable > 0.5).astype(float))
