"""Published effects, effect terms and patients in, the normal distribution of the terms that they imply out.

A publication reports an average: over everybody, over those older than 70, over a subgroup. Here each one counts as a
noisy observation of the average effect over those patients of the cohort whom it applies to, and a Bayesian linear
regression finds the terms that agree with all of them. So publications may overlap, differ in detail and disagree, and
what nobody reports keeps the wide prior of its term. Evidence from elsewhere as a normal prior of a log ratio, and its
discounting by an added variance for bias and for other patients: Spiegelhalter, Abrams, Myles, Bayesian Approaches to
Clinical Trials and Health-Care Evaluation, Wiley 2004, chapters 5 and 7 (doi 10.1002/0470092602). Results of trials
regressed on averages of their patients: Thompson, Higgins, Stat Med 2002;21:1559 (doi 10.1002/sim.1187).

What a decision does more in those who show a state before it (`StateTerm`) is worked out beside the terms, from the
same publications: `joint_prior`.

The difference between where the effects of a decision were published and here is one and the same for all of them:
five publications on the same trials do not make it five times smaller. Their sampling errors are taken as independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from data.evidence import YES, Design, Evidence, Group, PublishedEffect, StateTerm, weak_prior_sd
from data.schema import Outcome
from twin.arrays import Flags, Floats
from twin.effects.distribution import EffectDistribution, EffectTerm, term_matrix
from twin.effects.states import StateEffects


@dataclass(frozen=True)
class PriorSettings:
    """How far published effects are trusted here: standard deviations of log ratios, all three of them assumed."""

    transport_sd: float = 0.10
    """Between the effect where it was published and here: other years, tumour sites, doses. Assumed: nine in ten are
    within a ratio of 1.18 of each other. With 0 publications are taken at their word."""
    observational_sd: float = 0.20
    """What confounding may have left where treatment was not drawn by lot. Assumed: in nine in ten less than a ratio of
    1.39."""
    triggered_sd: float = 0.20
    """Of a decision that the outcome can bring about and that nobody has published on: a cohort cannot tell cause from
    consequence there, so that 'little effect' is all there is to say. Assumed: nine in ten between 0.72 and 1.39."""


SETTINGS: Final = PriorSettings()


def triggered(outcome: Outcome, terms: tuple[EffectTerm, ...]) -> Flags:
    """(q,) which of `terms` must not be learnt from a cohort: the outcome can bring their decision about."""
    return np.array([term.decision in outcome.triggers for term in terms], dtype=bool)


def evidence_prior(
    evidence: Evidence,
    terms: tuple[EffectTerm, ...],
    outcome: Outcome,
    frame: pd.DataFrame,
    settings: PriorSettings = SETTINGS,
) -> EffectDistribution:
    """The distribution of `terms` where no decision depends on a state; arguments as of `joint_prior`."""
    return joint_prior(evidence, terms, (), np.zeros(0), outcome, frame, settings)[0]


def joint_prior(
    evidence: Evidence,
    terms: tuple[EffectTerm, ...],
    states: tuple[StateTerm, ...],
    shares: Floats,
    outcome: Outcome,
    frame: pd.DataFrame,
    settings: PriorSettings = SETTINGS,
) -> tuple[EffectDistribution, StateEffects]:
    """The distribution of `terms` (log hazard ratios, log odds ratios of a binary outcome) before a cohort is asked.

    The terms are theta ~ N(prior_mean, diag(prior_sd^2)); an effect that is used on the outcome is one observation of
    h . theta, where h is the mean of the term matrix of its decision over the patients it applies to. Its variance is
    that of the publication, plus that of confounding if it is observational, plus that of transport, which all
    observations on one decision share. The result is the posterior of this linear model, in closed form (Lindley,
    Smith, J R Stat Soc B 1972;34:1, doi 10.1111/j.2517-6161.1972.tb00885.x).

    The term of a decision itself is its effect on average, before a state is seen. Its prior says what the decision
    does in those who do not show the state; a state term delta with the share p moves the average by p x delta, and the
    effect is the average plus (1 - p) x delta in those who show it and less p x delta in the others. A publication on
    patients whom the state chose is an observation of the effect on those.

    Effects on the manner of a decision are left to `manner_prior`. An effect on a group that nobody is in says nothing.

    Args:
        evidence: published effects; those that are not used are passed over.
        terms: those of `outcome`, q of them, each with a prior standard deviation above 0.
        states: state terms of the same decisions, k of them.
        shares: (k,) how much of the average is of patients who show each state.
        outcome: what the effects are on. A decision that it triggers has the narrow prior of `settings` unless
            something is published on it.
        frame: canonical columns of the cohort with its missing values imputed: one completion, or several stacked. A
            value that is missing nevertheless counts as outside a group, and as 0 in a term. States as they are
            recorded.
        settings: how far publications are trusted.

    Returns:
        The terms, and the state terms given them.
    """
    size, every = len(terms), _all(terms, states)
    prior_sd = np.array([term.prior_sd for term in every])
    unpublished = np.array([not evidence.rows(term.decision, outcome.name) for term in terms], dtype=bool)
    narrow = np.flatnonzero(triggered(outcome, terms) & unpublished)
    prior_sd[narrow] = np.minimum(prior_sd[narrow], settings.triggered_sd)
    averaged = np.eye(len(prior_sd))
    for k, state in enumerate(states):
        itself = [term.decision == state.decision and not term.name for term in terms]
        averaged[:size, size + k] = np.where(itself, shares[k], 0.0)
    precision = np.linalg.inv((averaged * prior_sd**2) @ averaged.T)
    weighted = precision @ averaged @ np.array([term.prior_mean for term in every])
    for averages, ratios, variances in _observations(evidence, terms, states, shares, outcome, frame, settings):
        error = np.linalg.inv(np.diag(variances) + settings.transport_sd**2)
        precision += averages.T @ error @ averages
        weighted += averages.T @ error @ ratios
    covariance = np.linalg.inv(precision)
    covariance, mean = (covariance + covariance.T) / 2.0, covariance @ weighted
    found = EffectDistribution(terms, mean[:size], covariance[:size, :size])
    return found, StateEffects.of(states, shares, found, mean[size:], covariance[size:])


def _observations(
    evidence: Evidence,
    terms: tuple[EffectTerm, ...],
    states: tuple[StateTerm, ...],
    shares: Floats,
    outcome: Outcome,
    frame: pd.DataFrame,
    settings: PriorSettings,
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Of each decision with effects on somebody in `frame`: averages of the terms there (k, q), log ratios, variances.

    The variances are those of each publication by itself.
    """
    values = np.hstack([term_matrix(terms, frame), _departures(states, shares, frame)])
    for decision in dict.fromkeys(term.decision for term in terms):
        own = np.array([term.decision == decision for term in _all(terms, states)], dtype=float)
        found = []
        for effect in evidence.rows(decision, outcome.name):
            members = effect.applies_to(frame) == 1.0
            if members.any():
                ratio = effect.log_ratio if effect.option == YES else -effect.log_ratio
                chosen = [True] * len(terms) + [state.column in effect.group.columns for state in states]
                found.append((values[members].mean(axis=0) * own * chosen, ratio, _variance(effect, settings)))
        if found:
            averages, ratios, variances = zip(*found, strict=True)
            yield np.stack(averages), np.array(ratios), np.array(variances)


def _all(terms: tuple[EffectTerm, ...], states: tuple[StateTerm, ...]) -> list[EffectTerm | StateTerm]:
    return [*terms, *states]


def _departures(states: tuple[StateTerm, ...], shares: Floats, frame: pd.DataFrame) -> Floats:
    """(n, k) what multiplies each state term in each patient, beside the average; 0 where the state is unrecorded."""
    shown = np.column_stack([np.empty((len(frame), 0)), *(state.membership(frame) for state in states)])
    return np.nan_to_num(shown - shares)


@dataclass(frozen=True)
class MannerEffect:
    """What is published about one way of carrying out a decision, in the patients whom the publications are about."""

    level: str
    inside: tuple[str, ...]
    """Groups that the patients are all in, in the grammar of `data.evidence.groups`; text, so that it is plain data"""
    outside: tuple[str, ...]
    """Groups of other publications on the same level, which the patients are not in"""
    mean: float
    """Log ratio to the level that all publications compare with"""
    sd: float

    @property
    def for_everybody(self) -> bool:
        """Whether no patient is left to whom nothing published applies."""
        return "" in self.inside

    def members(self, frame: pd.DataFrame) -> Floats:
        """(n,) 1 for the patients, 0 for others; a value that is missing counts as outside of a group."""
        result = np.ones(len(frame))
        for text in self.inside:
            result *= _in(text, frame)
        for text in self.outside:
            result *= 1.0 - _in(text, frame)
        return result


def _in(text: str, frame: pd.DataFrame) -> Floats:
    return np.asarray(Group.parse(text).membership(frame) == 1.0, dtype=float)


def manner_prior(
    evidence: Evidence, column: str, outcome: Outcome, settings: PriorSettings = SETTINGS
) -> tuple[MannerEffect, ...]:
    """Log ratios of the levels of `column`, the manner of a decision, in those whom publications are about.

    They are ratios to the level that all used effects compare with. Levels that nothing is published on are not
    listed, nor are patients whom no publication on a level is about: an effect found in one group says nothing about
    the others. Whoever applies them has to normalise, because the effect of the decision is an average over the manners
    of those who have it: take the logarithm of the average ratio among these from each.

    Each level has the weak prior of a whole effect, which its effects (independent but for transport) draw towards
    themselves. Where the groups of two effects overlap, both count for those who are in both.

    Args:
        evidence: published effects; those that are not used are passed over.
        column: category that says how a decision is carried out, e.g. with which agent.
        outcome: what the effects are on.
        settings: how far publications are trusted.
    """
    effects = evidence.rows(column, outcome.name)
    found = []
    for level in dict.fromkeys(effect.option for effect in effects):
        own = [effect for effect in effects if effect.option == level]
        groups = tuple(dict.fromkeys(str(effect.group) for effect in own))
        for is_in in product((True, False), repeat=len(groups)):
            inside, outside = (
                tuple(g for g, yes in zip(groups, is_in, strict=True) if yes is at) for at in (True, False)
            )
            if inside and "" not in outside:
                applying = [effect for effect in own if str(effect.group) in inside]
                mean, sd = _drawn_towards(applying, weak_prior_sd(outcome), settings)
                found.append(MannerEffect(level, inside, outside, mean, sd))
    return tuple(found)


def _drawn_towards(effects: Sequence[PublishedEffect], weak_sd: float, settings: PriorSettings) -> tuple[float, float]:
    """Mean and standard deviation of a log ratio: a weak prior around 0 and some effects on the same comparison."""
    weights = np.array([1.0 / _variance(effect, settings) for effect in effects])
    ratio = float(weights @ [effect.log_ratio for effect in effects] / weights.sum())
    published = 1.0 / (1.0 / float(weights.sum()) + settings.transport_sd**2)
    precision = weak_sd**-2.0 + published
    return ratio * published / precision, precision**-0.5


def _variance(effect: PublishedEffect, settings: PriorSettings) -> float:
    """Of the log ratio of a used effect, as an observation of the effect where it was published."""
    published = effect.log_sd or 0.0
    confounding = settings.observational_sd if effect.design is Design.OBSERVATIONAL else 0.0
    return published**2 + confounding**2
