"""A cohort in, the models of one outcome after another out: what `twin.fitting` puts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Final, cast

import numpy as np
import pandas as pd

from data.evidence import load_evidence
from data.schema import Outcome, OutcomeKind
from twin.arrays import Floats, Integers
from twin.behaviour import triggered
from twin.calibration import Learners, binary_departure, hazard_departure
from twin.effects.distribution import term_matrix
from twin.effects.estimate import Effects, estimate_effects
from twin.effects.prior import manner_prior
from twin.fit_settings import FitSettings
from twin.marginal import Marginal, OutcomeHazards, decision_of_term
from twin.metrics.observed import Observed
from twin.models.basis import Basis
from twin.models.candidates.catalogue import CANDIDATES, AnyHazard
from twin.models.candidates.protocol import Candidate, HazardData
from twin.models.departure import Departure
from twin.models.dependence import Dependence
from twin.models.followup import EVENT, FIRST_DAY_MONTHS, FORESTALLED, FollowUp, episodes, follow_up, taken
from twin.models.hazard import CoxLikelihood, Episodes
from twin.models.imputation import Imputer
from twin.models.outcome import BinaryModel, EventModel, FlexibleHazard, Patients, RegressionHazard
from twin.models.posterior import CoxProblem, LogisticProblem, baseline_draws, posterior
from twin.models.ridge_cox import RidgeCox
from twin.models.time_varying import CoxForm, TimeVarying
from twin.sample import Sample
from twin.selection import Selection, select
from twin.simulation.acting import ActingPrior
from twin.simulation.fitting import fit_state_models
from twin.simulation.individual import cohort_probabilities
from twin.simulation.situation import StateModels
from twin.simulation.transition import Transitions
from twin.streams import stream

FEWEST_TO_COMPARE: Final = 50
"""Events; with fewer no difference between candidates would exceed its standard error."""
COMPARED_UNTIL_MONTHS: Final = 60.0
CAUSES: Final = {EVENT: "event", FORESTALLED: "forestalled"}

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done."""


class Teller:
    """Counts what is done and tells it."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, what: str) -> None:
        """The next part begins."""
        if self._progress is not None:
            self._progress(min(1.0, self._done / self._total), what)
        self._done += 1

    def part(self, what: str) -> Progress:
        """Tells the progress within what was told last."""

        def told(fraction: float, within: str) -> None:
            if self._progress is not None:
                self._progress(min(1.0, (self._done - 1 + fraction) / self._total), f"{what}: {within}")

        return told


@dataclass(frozen=True, eq=False)
class Trainer:
    """What the models of all outcomes are fitted on."""

    sample: Sample
    settings: FitSettings
    imputer: Imputer
    """Guesses from the record alone, as for a patient who is asked about"""
    copies: Patients
    """Completed copies of the cohort, guessed with its outcomes"""
    completed: pd.DataFrame
    """The same as columns, copy after copy"""
    basis: Basis
    effects: Effects
    drawn: Mapping[str, Floats]
    """By outcome: (1 + draws, q) coefficients of the effect terms"""

    @classmethod
    def of(cls, sample: Sample, outcomes: list[Outcome], settings: FitSettings) -> Trainer:
        """Completes the cohort and estimates the effects of its decisions."""
        known, encoding = sample.known, sample.encoding
        beside = _outcomes_beside(sample, outcomes)
        with_outcomes = Imputer.fit(known, encoding, beside)
        count = settings.imputations if with_outcomes.missing(known).any() else 1
        completed = with_outcomes.complete(known, count, settings.seed, beside)
        varied = frozenset(d.column for d, can in zip(known.spec.decisions, sample.varied, strict=True) if can)
        effects = estimate_effects(
            sample.cohort, outcomes, varied, completed.frame, settings.evidence_weight, settings.seed
        )
        terms = term_matrix(effects.terms, completed.frame).reshape(count, known.size, -1)
        return cls(
            sample=sample,
            settings=settings,
            imputer=Imputer.fit(known, encoding),
            copies=Patients(completed.inputs, terms),
            completed=completed.frame,
            basis=Basis.learn(encoding, completed.inputs[0], known.spec),
            effects=effects,
            drawn=effects.draws(settings.draws, settings.seed),
        )

    def marginal(self, hazards: Mapping[str, OutcomeHazards], binaries: Mapping[str, BinaryModel]) -> Marginal:
        """The models from time zero together."""
        return Marginal(
            encoding=self.sample.encoding,
            imputer=self.imputer,
            terms=self.effects.terms,
            hazards=hazards,
            binaries=binaries,
            draws=self.settings.draws,
        )

    def states(self, marginal: Marginal) -> StateModels:
        """What is seen between decisions, and what it says; nothing where the settings leave it out."""
        if not self.settings.states:
            return StateModels(Transitions(()), {})
        cohort, seed = self.sample.cohort, self.settings.seed
        evidence = load_evidence(cohort.spec)
        manners = [decision.manner for decision in cohort.spec.decisions if decision.manner]
        published = {
            outcome.name: {manner: manner_prior(evidence, manner, outcome) for manner in manners}
            for outcome in cohort.spec.outcomes
        }
        return fit_state_models(
            cohort.spec,
            cohort.frame,
            self.sample.decisions,
            self.copies,
            self.completed,
            marginal,
            seed,
            published,
            {outcome.name: self._depending(outcome) for outcome in cohort.spec.outcomes},
        )

    def _depending(self, outcome: Outcome) -> tuple[ActingPrior, ...]:
        """What decisions are held to do more on an outcome in those who show a state, and who may teach it."""
        effects = self.effects.states.get(outcome.name)
        if effects is None:
            return ()
        cohort = self.sample.cohort
        drawn = effects.draws(self.drawn[outcome.name], stream(self.settings.seed, "state terms", outcome.name))
        _, sd = effects.beside(self.effects.by_outcome[outcome.name].combined)
        found = []
        for k, term in enumerate(effects.terms):
            teachers = ~triggered(cohort, term.decision) & (term.decision not in outcome.triggers)
            found.append(ActingPrior(term, drawn[:, k], float(sd[k]), teachers))
        return tuple(found)

    def own_propensity(self) -> Floats:
        """(n,) how likely the physicians were to decide as they did, at the least likely of the decisions.

        By models of other patients; NaN where a decision is open.
        """
        behaviour, spec = self.effects.behaviour, self.sample.cohort.spec
        result = np.ones(len(self.sample.decisions))
        for k, decision in enumerate(spec.decisions):
            if decision.column in behaviour.decisions:
                yes, given = behaviour.out_of_fold(decision.column), self.sample.decisions[:, k]
                result = np.minimum(result, np.where(np.isnan(given), np.nan, np.where(given == 1, yes, 1.0 - yes)))
        return result

    def dependences(self, marginal: Marginal) -> tuple[Dependence, ...]:
        """How often two yes-or-no outcomes go together in the patients in whom both are recorded."""
        cohort, decisions = self.sample.cohort, self.sample.decisions
        happened = {name: cohort.frame[cohort.spec.outcome(name).event].to_numpy(float) for name in marginal.binaries}
        rng = stream(self.settings.seed, "dependence")
        found = []
        for one, other in combinations(happened, 2):
            used = ~np.isnan(happened[one]) & ~np.isnan(happened[other]) & ~np.isnan(decisions).any(axis=1)
            first, second = (
                cohort_probabilities(name, cohort.spec, marginal, self.copies, decisions)[used] for name in (one, other)
            )
            seen = (happened[one][used], happened[other][used])
            found.append(Dependence.fit((one, other), seen, (first, second), self.settings.draws, rng))
        return tuple(found)

    def hazards(self, outcome: Outcome, tell: Teller) -> OutcomeHazards:
        """The hazards of an outcome that the cohort can teach."""
        followed = follow_up(self.sample.cohort.frame, self.sample.cohort.spec, outcome)
        effects_on = {EVENT: outcome.name}
        if outcome.competing and self._cut(followed, FORESTALLED)[0].event.any():
            effects_on[FORESTALLED] = outcome.competing
        plain = {cause: self._event(followed, cause, name) for cause, name in effects_on.items()}
        data = {cause: self._data(followed, cause, name) for cause, name in effects_on.items()}
        served, candidate, selection = plain, self._cox, None
        if self.settings.select and plain[EVENT].events >= FEWEST_TO_COMPARE:
            selection = self._compare(outcome, followed, data, tell)
            candidate = next(c for c in self._candidates if c.name == selection.serving.name)
            if candidate is not self._cox:
                served = {cause: self._flexible(candidate, data[cause], model) for cause, model in plain.items()}
        calibrated = {
            cause: replace(model, departure=self._departure(outcome, cause, model, candidate, data[cause]))
            for cause, model in served.items()
        }
        return OutcomeHazards(calibrated[EVENT], calibrated.get(FORESTALLED), selection)

    def _departure(
        self, outcome: Outcome, cause: int, model: EventModel, candidate: Candidate, data: HazardData
    ) -> Departure:
        rng = stream(self.settings.seed, "departure", outcome.name, CAUSES[cause])
        return hazard_departure(model, candidate, data, self.learners, rng)

    @cached_property
    def _cox(self) -> Candidate:
        return RidgeCox(self.basis)

    @property
    def _candidates(self) -> tuple[Candidate, ...]:
        """The plain one first."""
        return (self._cox, *CANDIDATES)

    @cached_property
    def learners(self) -> Learners:
        """The patients as the fitted models are asked about them."""
        sample, copies = self.sample, self.copies.copies
        asked = self.imputer.complete(sample.known, copies, self.settings.seed)
        terms = term_matrix(self.effects.terms, asked.frame).reshape(copies, sample.known.size, -1)
        lived_to = sample.followed_until[:, None] > sample.effect_months
        return Learners(
            asked=Patients(asked.inputs, terms),
            given=np.where(lived_to, np.nan_to_num(sample.decisions), 0.0),
            decision_of_term=decision_of_term(sample.cohort.spec, self.effects.terms),
            draws=self.settings.draws,
            seed=self.settings.seed,
        )

    def _compare(self, outcome: Outcome, followed: FollowUp, data: Mapping[int, HazardData], tell: Teller) -> Selection:
        """How the candidates compare on patients whom they have not seen."""
        observed = Observed(followed.months[followed.recorded], followed.cause[followed.recorded])
        horizon = min(COMPARED_UNTIL_MONTHS, 0.8 * float(observed.time.max()))
        return select(
            {cause: of_cause.renumbered(_position(followed)) for cause, of_cause in data.items()},
            observed,
            self._candidates,
            self.settings.folds,
            self.settings.seed,
            (horizon,),
            tell.part(outcome.label),
            self.learners.asked.inputs[:, followed.recorded],
        )

    def _cut(self, followed: FollowUp, cause: int) -> tuple[Episodes, Floats]:
        """Episodes without inputs in the order of their ends, and which terms are in effect in each (m, q)."""
        sample = self.sample
        nothing = np.empty((len(sample.decisions), 0))
        cut = episodes(followed, cause, nothing, sample.decisions, sample.effect_months, 0.0).by_stop()
        return cut, cut.inputs[:, decision_of_term(sample.cohort.spec, self.effects.terms)]

    def _data(self, followed: FollowUp, cause: int, effects_on: str) -> HazardData:
        """What candidates are fitted on: the first completed copy, the effects as they are estimated."""
        cut, in_effect = self._cut(followed, cause)
        offset = (self.copies.terms[0][cut.patient] * in_effect) @ self.drawn[effects_on][0]
        return HazardData(cut.with_inputs(self.copies.inputs[0][cut.patient]), offset, np.ones(len(offset)))

    def _flexible(self, candidate: Candidate, data: HazardData, plain: EventModel) -> EventModel:
        """The model with the prognosis by a candidate other than Cox."""
        # What the catalogue does not list could be fitted but not stored; there pydantic says so.
        fitted = cast(AnyHazard, candidate.fit(data, self.settings.seed))
        return replace(plain, prognosis=FlexibleHazard(fitted, cast(RegressionHazard, plain.prognosis)))

    @property
    def _no_departure(self) -> Departure:
        """Until it is learnt."""
        return Departure.none(self.basis.inputs, self.settings.draws)

    def _event(self, followed: FollowUp, cause: int, effects_on: str) -> EventModel:
        sample = self.sample
        cut, in_effect = self._cut(followed, cause)
        effects = self.drawn[effects_on]
        rng = stream(self.settings.seed, "hazard", effects_on, CAUSES[cause])
        form = CoxForm(self.basis, TimeVarying.learn(cut))
        grid = _grid(sample, float(cut.stop.max()))
        cut, row, score = form.time_varying.split(cut)
        problems = []
        for inputs, terms in zip(self.copies.inputs, self.copies.terms, strict=True):
            acting = terms[cut.patient] * in_effect[row]
            columns = cut.with_inputs(form.columns(inputs[cut.patient], score))
            problems.append(CoxProblem(CoxLikelihood(columns, np.ones(len(row)), acting @ effects[0]), acting))
        found = posterior(problems, form.scale, effects, rng)
        linear = [
            np.vstack([found.coefficients[[0]], found.coefficients[found.completion == k]])
            @ problem.likelihood.episodes.inputs.T
            + np.vstack([effects[[0]], effects[found.completion == k]]) @ problem.terms.T
            for k, problem in enumerate(problems)
        ]
        cumulative = baseline_draws([p.likelihood for p in problems], linear, found.completion, grid, rng)
        prognosis = RegressionHazard.of(form, found.coefficients, grid, cumulative, found.prior_sd)
        return EventModel(prognosis, effects, self._no_departure, len(np.unique(cut.patient)), int(cut.event.sum()))

    def binary(self, outcome: Outcome) -> BinaryModel:
        """The model of a yes-or-no outcome that the cohort can teach.

        A decision that a patient did not live to counts as not taken; one that nobody recorded leaves the patient out.
        Decisions after the month at which the outcome is judged do not act.
        """
        sample = self.sample
        positive = sample.cohort.frame[outcome.event].to_numpy(dtype=float)
        decisions = taken(sample.decisions, sample.effect_months, sample.followed_until)
        used = ~np.isnan(positive) & ~np.isnan(decisions).any(axis=1)
        spec = sample.cohort.spec
        acting = np.array([float(outcome.month is None or d.month <= outcome.month) for d in spec.decisions])
        in_effect = (decisions * acting)[used][:, decision_of_term(spec, self.effects.terms)]
        effects = self.drawn[outcome.name]
        rng = stream(self.settings.seed, "risk", outcome.name)
        problems = []
        for inputs, terms in zip(self.copies.inputs, self.copies.terms, strict=True):
            shift = terms[used] * in_effect
            columns = self.basis.expand(inputs[used])
            problems.append(LogisticProblem(columns, positive[used], shift @ effects[0], shift))
        found = posterior(problems, self.basis.scale, effects, rng)
        model = BinaryModel(
            basis=self.basis,
            intercepts=found.coefficients[:, 0],
            coefficients=found.coefficients[:, 1:],
            effects=effects,
            departure=self._no_departure,
            acting=acting,
            patients=int(used.sum()),
            events=int(positive[used].sum()),
            prior_sd=found.prior_sd,
        )
        learners = replace(self.learners, given=np.nan_to_num(decisions) * acting)
        happened = np.where(used, positive, np.nan)
        own = stream(self.settings.seed, "departure", outcome.name)
        departure = binary_departure(model, happened, learners, self.copies.inputs[0], self.basis.scale, own)
        return replace(model, departure=departure)


def _position(followed: FollowUp) -> Integers:
    """(n,) of each patient among those in whom the outcome is recorded."""
    return np.cumsum(followed.recorded) - 1


def _outcomes_beside(sample: Sample, outcomes: list[Outcome]) -> Floats:
    """(n, k) what the decisions and outcomes tell about a missing value: event and cumulative hazard of each."""
    frame, spec = sample.cohort.frame, sample.cohort.spec
    told = [np.where(np.isnan(sample.decisions), 0.5, sample.decisions)]
    for outcome in outcomes:
        if outcome.kind is OutcomeKind.BINARY:
            told.append(frame[outcome.event].to_numpy(dtype=float)[:, None])
            continue
        followed = follow_up(frame, spec, outcome)
        told.append(np.column_stack([followed.cause == EVENT, _nelson_aalen(followed)]).astype(float))
    columns = np.hstack(told)
    columns = np.where(np.isnan(columns), np.nanmean(columns, axis=0), columns)
    spread = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(spread > 0, 2.0 * spread, 1.0))


def _nelson_aalen(followed: FollowUp) -> Floats:
    """(n,) cumulative hazard of the event at the end of each patient's follow-up; NaN where not recorded."""
    known = np.flatnonzero(followed.recorded)
    order = known[np.argsort(followed.months[known], kind="stable")]
    steps = (followed.cause[order] == EVENT) / np.arange(len(order), 0, -1)
    result = np.full(len(followed.months), np.nan)
    result[order] = np.cumsum(steps)
    return result


def _grid(sample: Sample, last_month: float) -> Floats:
    """Whole months, the months at which decisions can take effect, and the ends of the follow-up."""
    months = np.concatenate([np.arange(last_month), sample.effect_months.ravel(), [0.0, FIRST_DAY_MONTHS, last_month]])
    return np.unique(months[(months >= 0.0) & (months <= last_month)])
