"""Patients' records and named plans in; which plans go on from where each patient stands, or a refusal, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from data.errors import Refused
from data.schema import Specification
from twin.arrays import Floats, Integers
from twin.capability import Capability
from twin.record import decision_matrix, states_seen
from twin.timeline import agrees, all_plans, locate, plan_digits, plan_text


@dataclass(frozen=True, eq=False)
class Group:
    """Patients who stand at the same place: the same models answer for them, from one month on, for the same plans."""

    rows: Integers
    """Positions in the frame"""
    landmarks_reached: int
    alive_until: float
    so_far: str
    """Decisions taken, held ones included; open ones as ``-``"""


@dataclass(frozen=True)
class PlanBook:
    """The plans that a cohort can compare."""

    spec: Specification
    capability: Capability
    cohort: str

    @cached_property
    def plans(self) -> tuple[str, ...]:
        """Complete plans; decisions the cohort does not vary are held."""
        nobody = np.full((1, len(self.spec.decisions)), np.nan)
        held = plan_text(self.capability.with_held(self.spec, nobody)[0])
        return tuple(plan for plan in all_plans(self.spec) if agrees(plan, held))

    def groups(self, frame: pd.DataFrame) -> Iterator[Group]:
        """The patients of `frame`, those together who stand at the same place.

        Raises:
            Refused: a decision of a patient contradicts one that is held.
        """
        recorded = decision_matrix(self.spec, frame)
        self._refuse_other_than_held(frame, recorded)
        assumed = self.capability.with_held(self.spec, recorded)
        place = locate(self.spec, recorded, assumed, states_seen(self.spec, frame))
        standing = zip(
            place.landmarks_reached.tolist(), place.alive_until.tolist(), map(plan_text, assumed), strict=True
        )
        together: defaultdict[tuple[int, float, str], list[int]] = defaultdict(list)
        for row, key in enumerate(standing):
            together[key].append(row)
        for key, rows in sorted(together.items()):
            yield Group(np.array(rows, dtype=np.intp), *key)

    def going_on(self, group: Group) -> tuple[str, ...]:
        """Every plan that agrees with what was decided for a group."""
        return tuple(plan for plan in self.plans if agrees(plan, group.so_far))

    def chosen(self, frame: pd.DataFrame, group: Group, plans: Sequence[str] | str) -> tuple[str, ...]:
        """`plans` by name, or those that go on from the group for ``"all"``.

        Raises:
            Refused: a plan leaves a decision open, changes one that is held, or disagrees with one that was taken.
        """
        if plans == "all":
            return self.going_on(group)
        named = (plans,) if isinstance(plans, str) else tuple(dict.fromkeys(plans))
        for plan in named:
            self._refuse_open_or_held(plan)
            if not agrees(plan, group.so_far):
                raise self._disagreement(identifier(frame, self.spec, int(group.rows[0])), plan, group.so_far)
        return named

    def _refuse_open_or_held(self, plan: str) -> None:
        if np.isnan(plan_digits(self.spec, plan)).any():
            raise Refused(f"plan '{plan}' leaves a decision open", remedy="name a complete plan, or ask for all")
        if plan not in self.plans:
            held = ", ".join(f"{column} at {value}" for column, value in self.capability.held.items())
            raise Refused(
                f"plan '{plan}' changes a decision that cohort '{self.cohort}' cannot compare (held: {held})",
                remedy=f"plans it can compare: {', '.join(self.plans)}",
            )

    def _refuse_other_than_held(self, frame: pd.DataFrame, recorded: Floats) -> None:
        for k, decision in enumerate(self.spec.decisions):
            if decision.column not in self.capability.held:
                continue
            held = self.capability.held[decision.column]
            other = np.flatnonzero(~np.isnan(recorded[:, k]) & (recorded[:, k] != held))
            if other.size:
                raise Refused(
                    f"patient {identifier(frame, self.spec, int(other[0]))}: {decision.column} is "
                    f"{recorded[other[0], k]:g}, but cohort '{self.cohort}' cannot compare it and holds it at {held}",
                    remedy="clear the value, or use a twin of a cohort that records the decision",
                )

    def _disagreement(self, patient: str, plan: str, so_far: str) -> Refused:
        wrong = [
            f"{decision.column} is {taken}"
            for decision, digit, taken in zip(self.spec.decisions, plan, so_far, strict=True)
            if not agrees(digit, taken)
        ]
        return Refused(
            f"patient {patient}: plan '{plan}' disagrees with what was decided ({', '.join(wrong)})",
            remedy=f"name plans that go on from {so_far}, or ask for all",
        )


def identifier(frame: pd.DataFrame, spec: Specification, row: int) -> str:
    """What a message calls the patient at position `row`."""
    return str(frame[spec.key].iloc[row]) if spec.key in frame else f"in row {row + 1}"
