"""A fitted twin, patients and plans in; risks with intervals and support out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import Refused, WrongUsage
from data.schema import Decision, OutcomeKind, Specification
from twin.answer import Answer
from twin.arrays import Flags, Floats
from twin.capability import Capability, Subject
from twin.curve import DifferenceCurve, Estimate, RiskCurve, check_months
from twin.effects.estimate import Effects
from twin.interval import percentile_interval, risk_band
from twin.marginal import Marginal
from twin.models.dependence import Dependence
from twin.models.outcome import BinaryModel, EventModel
from twin.origin import Origin
from twin.plans import Group, PlanBook, identifier
from twin.record import PatientRecord
from twin.simulation.expected import carried_out
from twin.simulation.individual import MarginalIndividual
from twin.simulation.policy import AS_PHYSICIANS_CHOOSE, Manners, applying
from twin.simulation.situation import Situation, StateModels
from twin.state import Known
from twin.support import Support, SupportModel
from twin.symptoms.model import SymptomModel
from twin.threads import one_thread
from twin.timeline import OPEN, plan_digits, question_moment

PATIENTS_AT_ONCE: Final = 64
"""Patients whose draws are held in memory together"""

Draws = Mapping[str, Floats]
"""By outcome: (1 + draws, n, plans, months), with one month for a binary outcome; row 0 is the fit."""


@dataclass(frozen=True, eq=False)
class FittedTwin:
    """Models fitted on one cohort; knows what it can answer and for whom."""

    spec: Specification
    capability: Capability
    origin: Origin
    marginal: Marginal
    states: StateModels
    dependences: tuple[Dependence, ...]
    """Of pairs of binary outcomes"""
    effects: Effects
    support_model: SupportModel
    symptoms: SymptomModel | None = None
    """Fitted beside it where the cohort has ratings of symptoms"""
    version: str = ""
    """Given when the twin is saved"""

    def named(self, version: str) -> FittedTwin:
        """The same twin under a version."""
        return replace(self, version=version)

    @cached_property
    def book(self) -> PlanBook:
        """The plans that can be compared."""
        return PlanBook(self.spec, self.capability, self.origin.cohort)

    @property
    def plans(self) -> tuple[str, ...]:
        """Complete plans that can be compared: decisions the cohort does not vary are held."""
        return self.book.plans

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that are predicted, in the order of the specification."""
        return self.marginal.outcomes(self.spec)

    @cached_property
    def last_month(self) -> float:
        """The last month at which every time-to-event outcome is predicted."""
        return min((self.domain_end(name) for name in self.marginal.hazards), default=0.0)

    def domain_end(self, outcome: str) -> float:
        """The end of the longest follow-up for a time-to-event outcome, months; its risk is not predicted beyond."""
        return self.marginal.last_month(outcome)

    def headline(self) -> dict[str, Any]:
        """What a list of models shows, as plain JSON."""
        fitted: dict[str, EventModel | BinaryModel] = {
            **{name: hazards.event for name, hazards in self.marginal.hazards.items()},
            **self.marginal.binaries,
        }
        return {
            "kind": "marginal hazards with effects from trials and cohort, states revealed in between",
            "serving": {name: hazards.serving for name, hazards in self.marginal.hazards.items()},
            "patients": self.origin.patients,
            "synthetic": self.origin.synthetic,
            "time_zero": str(self.origin.time_zero),
            "data_digest": self.origin.digest,
            "seed": self.origin.seed,
            "draws": self.origin.draws,
            "evidence_weight": self.origin.evidence_weight,
            "interval": self.origin.interval_label,
            "outcomes": {name: {"patients": m.patients, "events": m.events} for name, m in fitted.items()},
            "inputs": [entry.source for entry in self.marginal.encoding.inputs],
            "held_decisions": self.capability.held,
        }

    def plans_for(self, record: PatientRecord) -> tuple[str, ...]:
        """The plans that agree with the decisions taken and change nothing that the cohort holds.

        Raises:
            Refused: a decision of the record contradicts one that the cohort holds.
        """
        (group,) = self.book.groups(record.to_frame())
        return self.book.going_on(group)

    def next_decision(self, record: PatientRecord) -> Decision | None:
        """The next open decision that the cohort lets compare; ``None`` when none is left."""
        upcoming = record.next_decision
        if upcoming is None:
            return None
        rest = self.spec.decisions[self.spec.decisions.index(upcoming) :]
        return next((decision for decision in rest if decision.column not in self.capability.held), None)

    def manners_of(self, decision: Decision) -> dict[str, str]:
        """Values by which the manner of a decision can be chosen, with their labels; none if the cohort shows no two.

        Where the cohort does not tell values apart, the first of them stands for all that its label names.
        """
        steps = (model.step for model in self.states.transitions.steps)
        own = [step for step in steps if step.manner and step.moment == decision.moment]
        return {
            values[0]: label
            for step in own
            for variable in step.variables
            for values, label in zip(variable.levels, variable.labels, strict=True)
        }

    def predict(
        self,
        frame: pd.DataFrame,
        plans: Sequence[str] | str,
        months: Sequence[float],
        manners: Manners = AS_PHYSICIANS_CHOOSE,
    ) -> pd.DataFrame:
        """Risks of every patient under every plan, by outcome and month.

        Args:
            frame: Typed columns, one row a patient; only what is known so far.
            plans: ``"all"`` for those that agree with the decisions taken, or complete plans by name.
            months: Horizons of the time-to-event outcomes.
            manners: In which decisions that are open are carried out, by plans that take them.

        Returns:
            ``patient_id, plan, outcome, month, risk, lower, upper, interval, support, model``, the patients in the
            order of `frame`; a binary outcome has one row, at the month at which it is judged.

        Raises:
            Refused: the frame has no identifiers or no patients, or a named plan disagrees with a decision taken or
                changes one that is held.
            BeyondFollowUp: a month lies outside the follow-up.
            WrongUsage: the cohort does not know such a manner.
        """
        if self.spec.key not in frame or frame.empty:
            raise Refused(f"no patients with {self.spec.key}", remedy="give at least one row that names its patient")
        asked = np.unique(np.asarray(months, dtype=float))
        tables = [
            self._table(frame, replace(group, rows=rows), self.book.chosen(frame, group, plans), asked, manners)
            for group in self.book.groups(frame)
            for rows in np.array_split(group.rows, -(-len(group.rows) // PATIENTS_AT_ONCE))
        ]
        return pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)

    def predict_draws(
        self,
        frame: pd.DataFrame,
        plans: Sequence[str],
        months: Sequence[float] | Floats,
        outcomes: Sequence[str] | None = None,
        manners: Manners = AS_PHYSICIANS_CHOOSE,
    ) -> Draws:
        """Risks of every draw; those of one draw belong together, across plans and outcomes.

        Args:
            frame: Typed columns, n patients; only what is known so far.
            plans: Complete plans, each of which agrees with every patient's decisions.
            months: (m,) horizons, ascending.
            outcomes: Which of them; all by default.
            manners: In which decisions that are open are carried out, by plans that take them.

        Raises:
            Refused: a plan disagrees with a decision taken or changes one that is held, or an outcome is not offered.
            BeyondFollowUp: a month lies outside the follow-up.
            WrongUsage: the cohort does not know such a manner.
        """
        asked = np.asarray(months, dtype=float)
        wanted = self.outcomes if outcomes is None else self._offered(outcomes)
        result: dict[str, Floats] = {}
        for group in self.book.groups(frame):
            chosen = self.book.chosen(frame, group, plans)
            for name, draws in self._draws(frame, group, chosen, asked, wanted, manners).items():
                whole = result.setdefault(name, np.empty((len(draws), len(frame), *draws.shape[2:])))
                whole[:, group.rows] = draws
        return result

    def _offered(self, outcomes: Sequence[str]) -> tuple[str, ...]:
        reasons = {able.name: able.reason for able in self.capability.about(Subject.OUTCOME) if not able.offered}
        said = "; ".join(f"{name}: {reasons[name]}" for name in outcomes if name in reasons)
        if said:
            raise Refused(f"not predicted by this twin ({said})", remedy=f"ask about {', '.join(self.outcomes)}")
        return tuple(outcomes)

    def answer(
        self,
        record: PatientRecord,
        plans: Sequence[str],
        months: Sequence[float] | Floats,
        manners: Manners = AS_PHYSICIANS_CHOOSE,
    ) -> Answer:
        """Everything about one patient under some plans, computed once; open decisions carried out in given manners.

        Raises:
            Refused: a plan disagrees with a decision taken or changes one that is held.
            BeyondFollowUp: a month lies outside the follow-up.
            WrongUsage: the cohort does not know such a manner.
        """
        asked = np.asarray(months, dtype=float)
        draws = self.predict_draws(record.to_frame(), plans, asked, manners=manners)
        timed = [name for name in self.outcomes if name in self.marginal.hazards]
        return Answer(
            plans=tuple(plans),
            months=asked,
            over_time={name: draws[name][:, 0] for name in timed},
            binary={name: draws[name][:, 0, :, 0] for name in self.outcomes if name not in timed},
            dependences=self.dependences,
            domain_ends={name: self.domain_end(name) for name in timed},
            level=self.origin.interval,
            interval=self.origin.interval_label,
        )

    def curves(self, record: PatientRecord, plan: str, months: Sequence[float] | Floats) -> dict[str, RiskCurve]:
        """Risk curves by outcome; `answer` gives several plans at once."""
        return self.answer(record, (plan,), months).curves(plan)

    def binary(self, record: PatientRecord, plan: str) -> dict[str, Estimate]:
        """Probabilities of the binary outcomes."""
        return self.answer(record, (plan,), ()).probabilities(plan)

    def difference(
        self, record: PatientRecord, plan_a: str, plan_b: str, months: Sequence[float] | Floats
    ) -> dict[str, DifferenceCurve]:
        """Risks under `plan_a` less those under `plan_b`; the interval is that of differences within draws."""
        return self.answer(record, (plan_a, plan_b), months).difference(plan_a, plan_b)

    def support(self, record: PatientRecord, plan: str) -> Support:
        """How far the cohort supports a prediction for this patient under `plan`.

        Raises:
            Refused: the plan disagrees with a decision taken or changes one that is held.
        """
        frame = record.to_frame()
        (group,) = self.book.groups(frame)
        return self._judge(frame, group, self.book.chosen(frame, group, plan))[0][0]

    def supports(self, frame: pd.DataFrame, plans: Sequence[str]) -> list[Support]:
        """The same for each patient of a typed frame under a plan of their own, of which later decisions may be open.

        Raises:
            WrongUsage: a plan disagrees with a decision taken.
        """
        found: dict[int, Support] = {}
        for group in self.book.groups(frame):
            named = tuple(dict.fromkeys(plans[row] for row in group.rows))
            for plan in named:
                if not all(
                    OPEN in (digit, taken) or digit == taken for digit, taken in zip(plan, group.so_far, strict=True)
                ):
                    raise WrongUsage(
                        f"plan '{plan}' disagrees with {group.so_far}", remedy="name plans that go on from it"
                    )
            for row, judged in zip(group.rows.tolist(), self._judge(frame, group, named), strict=True):
                found[row] = judged[named.index(plans[row])]
        return [found[row] for row in range(len(frame))]

    def _digits(self, plans: tuple[str, ...]) -> Floats:
        return np.array([plan_digits(self.spec, plan) for plan in plans]).reshape(len(plans), len(self.spec.decisions))

    def _draws(
        self,
        frame: pd.DataFrame,
        group: Group,
        plans: tuple[str, ...],
        months: Floats,
        outcomes: tuple[str, ...],
        manners: Manners,
    ) -> Draws:
        digits = self._digits(plans)
        known = self.marginal.known(frame.iloc[group.rows].reset_index(drop=True), self.spec)
        for name in outcomes:
            if name in self.marginal.hazards:
                check_months(name, months, self.domain_end(name))
        draws: dict[str, Floats] = {}
        with one_thread():
            for rows, patients in self.marginal.batches(known):
                for name in outcomes:
                    found = self.marginal.risks(self.spec, name, patients, digits, months, group.alive_until)
                    whole = draws.setdefault(name, np.empty((len(found), known.size, *found.shape[2:])))
                    whole[:, rows] = found
            for position, k, given in self._given_more(frame, group, plans, months, outcomes, manners):
                for name in outcomes:
                    draws[name][:, position, k] = given[name]
        return draws

    def _given_more(
        self,
        frame: pd.DataFrame,
        group: Group,
        plans: tuple[str, ...],
        months: Floats,
        outcomes: tuple[str, ...],
        manners: Manners,
    ) -> Iterator[tuple[int, int, Mapping[str, Floats]]]:
        """Patients of a group, plans and risks where something recorded or chosen changes the answer from time zero."""
        chosen = [self.choosable(group, plan, manners) for plan in plans]
        seen = self._having_seen(frame, group)
        for position in np.flatnonzero(seen | any(chosen)).tolist():
            situation = self.situation(frame.iloc[[group.rows[position]]], group)
            for k, plan in enumerate(plans):
                if chosen[k]:
                    yield position, k, carried_out(situation, plan, chosen[k], months)
                elif seen[position]:
                    yield position, k, situation.risks(plan, months, outcomes)

    def choosable(self, group: Group, plan: str, manners: Manners) -> Manners:
        """Those of decisions that are still open to a group and that a plan takes."""
        open_to = {d.manner for d, digit in zip(self.spec.decisions, group.so_far, strict=True) if digit == OPEN}
        return {name: manner for name, manner in applying(self.spec, plan, manners).items() if name in open_to}

    def _having_seen(self, frame: pd.DataFrame, group: Group) -> Flags:
        """(n,) in which patients of a group a state is recorded that tells about outcomes."""
        if not self.states.transitions.steps or not self.states.revealed:
            return np.zeros(len(group.rows), dtype=bool)
        rows = frame.iloc[group.rows]
        codes = [model.step.codes(rows) >= 0 for model in self.states.transitions.steps]
        return np.asarray(np.hstack(codes).any(axis=1))

    def situation(self, frame: pd.DataFrame, group: Group | None = None) -> Situation:
        """The patient in the one row of `frame` with what is recorded: states to come, and risks given every state."""
        (own,) = [group] if group else self.book.groups(frame)
        individual = MarginalIndividual.of(self.spec, self.marginal, frame)
        so_far = plan_digits(self.spec, own.so_far)
        return Situation.of(self.spec, self.states, frame, individual, so_far, own.alive_until, self.dependences)

    def _judge(self, frame: pd.DataFrame, group: Group, plans: tuple[str, ...]) -> list[list[Support]]:
        rows = frame.iloc[group.rows].reset_index(drop=True)
        known, digits = self.marginal.known(rows, self.spec), self._digits(plans)
        before = Known.at(rows, self.spec, self._asked_at(group)).frame
        propensity = self._propensity(before, plan_digits(self.spec, group.so_far), digits)
        encoded = self.marginal.encoding.encode(known)
        return self.support_model.judge(encoded, digits, known=known, propensity=propensity)

    def _asked_at(self, group: Group) -> str:
        """The moment of the next question to a group; whatever a record holds from there on is not known yet."""
        decisions, held = self.spec.decisions, self.capability.held
        taken = [k for k, d in enumerate(decisions) if group.so_far[k] != OPEN and d.column not in held]
        upcoming = [decision.moment for decision in decisions[taken[-1] + 1 :]][:1] if taken else []
        return max([question_moment(self.spec, group.landmarks_reached), *upcoming], key=self.spec.rank)

    def _propensity(self, frame: pd.DataFrame, so_far: Floats, digits: Floats) -> Floats:
        """(n, plans) how likely the physicians are to decide as each plan does, at its least likely decision.

        Decisions that a plan leaves open are of no account.
        """
        result = np.ones((len(frame), len(digits)))
        columns = [decision.column for decision in self.spec.decisions]
        for k, column in enumerate(columns):
            if not np.isnan(so_far[k]) or column not in self.effects.behaviour.decisions:
                continue
            for before in np.unique(digits[:, :k], axis=0):
                decided = frame.assign(**dict(zip(columns[:k], before, strict=True)))
                yes = self.effects.behaviour.probability(decided, column)[:, None]
                same = (digits[:, :k] == before).all(axis=1)
                chance = np.where(digits[same, k] == 1, yes, 1.0 - yes)
                result[:, same] = np.fmin(result[:, same], np.where(np.isnan(digits[same, k]), np.nan, chance))
        return result

    def _table(
        self, frame: pd.DataFrame, group: Group, plans: tuple[str, ...], months: Floats, manners: Manners
    ) -> pd.DataFrame:
        """The rows of one group; the index is the patient's position in `frame`."""
        blocks = []
        for name, draws in self._draws(frame, group, plans, months, self.outcomes, manners).items():
            outcome = self.spec.outcome(name)
            binary = outcome.kind is OutcomeKind.BINARY
            lower, upper = (percentile_interval if binary else risk_band)(draws, self.origin.interval)
            read = [float(outcome.month or 0.0)] if binary else list(months)
            blocks.append(([(name, month) for month in read], np.stack([draws[0], lower, upper])))
        labels = [label for named, _ in blocks for label in named]
        risk, lower, upper = np.concatenate([values for _, values in blocks], axis=-1).reshape(3, -1)
        patients, each = len(group.rows), len(labels)
        judged = [[support.level.value for support in of_plans] for of_plans in self._judge(frame, group, plans)]
        return pd.DataFrame(
            {
                "patient_id": np.repeat([identifier(frame, self.spec, row) for row in group.rows], len(plans) * each),
                "plan": np.tile(np.repeat(plans, each), patients),
                "outcome": np.tile([name for name, _ in labels], patients * len(plans)),
                "month": np.tile([month for _, month in labels], patients * len(plans)),
                "risk": risk,
                "lower": lower,
                "upper": upper,
                "interval": self.origin.interval_label,
                "support": np.repeat(np.array(judged).ravel(), each),
                "model": self.version,
            },
            index=np.repeat(group.rows, len(plans) * each),
        )
