"""A cohort in, what a twin fitted on it can and cannot answer out, with the reason and the columns that are missing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.schema import Decision, Landmark, Outcome, OutcomeKind, Role, Specification
from twin.arrays import Floats
from twin.models.followup import EVENT, episodes, follow_up, taken
from twin.record import decision_matrix, states_seen
from twin.timeline import effect_months

MIN_EVENTS: Final = 10
"""Fewer events (or, of a yes-or-no outcome, fewer of either) teach nothing that could be shown to a person."""


class Subject(StrEnum):
    """What a capability is about."""

    DECISION = "decision"
    STATE = "state"
    OUTCOME = "outcome"


@dataclass(frozen=True)
class Ability:
    """Whether one decision can be compared, one landmark's states used, or one outcome predicted; and why not."""

    subject: Subject
    name: str
    """Column of a decision, moment of a landmark, name of an outcome"""
    label: str
    offered: bool
    reason: str
    missing: tuple[str, ...]
    """Columns that the cohort would have to record"""
    held: int = 0
    """The value a decision is held at when it is not offered"""


@dataclass(frozen=True)
class Capability:
    """What a cohort can teach."""

    abilities: tuple[Ability, ...]

    def about(self, subject: Subject) -> tuple[Ability, ...]:
        """The abilities of one kind, in the order of the specification."""
        return tuple(ability for ability in self.abilities if ability.subject is subject)

    @property
    def not_offered(self) -> tuple[Ability, ...]:
        """What the cohort cannot answer."""
        return tuple(ability for ability in self.abilities if not ability.offered)

    def offers(self, subject: Subject, name: str) -> bool:
        """Whether that decision can be compared, that landmark's states used, or that outcome predicted."""
        return any(ability.offered for ability in self.about(subject) if ability.name == name)

    def with_held(self, spec: Specification, decisions: Floats) -> Floats:
        """`decisions` (n, d) with the open ones among those that are held filled in."""
        fill = np.array([float(self.held.get(decision.column, np.nan)) for decision in spec.decisions])
        return np.where(np.isnan(decisions), fill, decisions)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes that can be predicted."""
        return tuple(ability.name for ability in self.about(Subject.OUTCOME) if ability.offered)

    @cached_property
    def held(self) -> dict[str, int]:
        """Decisions that cannot be compared and the value each is held at."""
        return {ability.name: ability.held for ability in self.about(Subject.DECISION) if not ability.offered}


def capability(cohort: Cohort) -> Capability:
    """What `cohort` can and cannot answer; events are counted as the fits see them."""
    spec = cohort.spec
    compared = Capability(tuple(_decision(cohort, decision) for decision in spec.decisions))
    decisions = compared.with_held(spec, decision_matrix(spec, cohort.frame))
    return Capability(
        (
            *compared.abilities,
            *(_landmark(cohort, landmark) for landmark in spec.landmarks),
            *(_outcome(cohort, outcome, decisions) for outcome in spec.outcomes),
        )
    )


def _decision(cohort: Cohort, decision: Decision) -> Ability:
    about = (Subject.DECISION, decision.column, decision.label)
    if not cohort.records(decision.column):
        return Ability(*about, False, "not recorded in this cohort, held at 0", (decision.column,))
    values = cohort.frame[decision.column].dropna().to_numpy(dtype=float)
    given, declined = int((values == 1).sum()), int((values == 0).sum())
    if not given or not declined:
        only = int(values[0])
        return Ability(*about, False, f"always {only} in this cohort, held at {only}", (), held=only)
    brought_about = [outcome.label.lower() for outcome in cohort.spec.outcomes if decision.column in outcome.triggers]
    but = f"; not compared for {', '.join(brought_about)}, which can bring it about" if brought_about else ""
    return Ability(*about, True, f"{given} patients with and {declined} without{but}", ())


def _landmark(cohort: Cohort, landmark: Landmark) -> Ability:
    about = (Subject.STATE, landmark.moment, landmark.label)
    columns = [column.name for column in cohort.spec.having(Role.STATE) if column.available_from == landmark.moment]
    missing = tuple(name for name in columns if not cohort.records(name))
    seen = int(states_seen(cohort.spec, cohort.frame)[landmark.moment].sum())
    if not seen:
        reason = "not recorded in this cohort: predictions from this moment on use what was known before it"
        return Ability(*about, False, reason, missing)
    return Ability(*about, True, f"recorded in {seen} patients", missing)


def _outcome(cohort: Cohort, outcome: Outcome, decisions: Floats) -> Ability:
    about = (Subject.OUTCOME, outcome.name, outcome.label)
    missing = tuple(column for column in outcome_columns(cohort.spec, outcome) if not cohort.records(column))
    if missing:
        return Ability(*about, False, "not recorded in this cohort", missing)
    if outcome.kind is OutcomeKind.BINARY:
        return _binary(cohort, outcome, about, decisions)
    followed = follow_up(cohort.frame, cohort.spec, outcome)
    months = effect_months(cohort.spec, decisions)
    watched = episodes(followed, EVENT, np.empty((cohort.size, 0)), decisions, months, 0.0)
    patients, events = len(np.unique(watched.patient)), int(watched.event.sum())
    lost = _lost(int((followed.cause == EVENT).sum()) - events)
    if events < MIN_EVENTS:
        return Ability(*about, False, f"{events} events in this cohort{lost}, at least {MIN_EVENTS} are needed", ())
    return Ability(*about, True, f"{events} events in {patients} patients{lost}", ())


def _binary(cohort: Cohort, outcome: Outcome, about: tuple[Subject, str, str], decisions: Floats) -> Ability:
    followed_until = cohort.frame[cohort.spec.follow_up].to_numpy(dtype=float)
    decided = ~np.isnan(taken(decisions, effect_months(cohort.spec, decisions), followed_until)).any(axis=1)
    values = cohort.frame[outcome.event].to_numpy(dtype=float)
    with_event, without = int((values[decided] == 1).sum()), int((values[decided] == 0).sum())
    lost = _lost(int((~decided & (values == 1)).sum()))
    if min(with_event, without) < MIN_EVENTS:
        said = f"{with_event} patients with and {without} without{lost}, at least {MIN_EVENTS} of each are needed"
        return Ability(*about, False, said, ())
    return Ability(*about, True, f"{with_event} of {with_event + without} patients{lost}", ())


def _lost(events: int) -> str:
    """Events that teach nothing, in words; none where none is lost."""
    return f" (without {events} events of patients with a decision that is not recorded)" if events else ""


def outcome_columns(spec: Specification, outcome: Outcome) -> tuple[str, ...]:
    """The columns an outcome is read from, those of its competing event included."""
    rival = (spec.outcome(outcome.competing),) if outcome.competing else ()
    columns = [column for one in (outcome, *rival) for column in (one.time, one.event) if column is not None]
    return tuple(dict.fromkeys(columns))
