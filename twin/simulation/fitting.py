"""A cohort and its models from time zero in, what the states between decisions are likely to be and say out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data.schema import OutcomeKind, Specification
from twin.arrays import Floats
from twin.effects.prior import MannerEffect
from twin.marginal import Marginal
from twin.models.followup import EVENT, FORESTALLED, follow_up
from twin.models.outcome import CELL_MONTHS, EventModel, Patients
from twin.simulation.acting import ActingPrior
from twin.simulation.individual import cohort_increments, cohort_probabilities
from twin.simulation.revealed import Revealed, fit_revealed_hazards, fit_revealed_probability, period_starts
from twin.simulation.situation import StateModels
from twin.simulation.transition import Learning, fit_transitions


def fit_state_models(
    spec: Specification,
    frame: pd.DataFrame,
    decisions: Floats,
    cohort: Patients,
    completed: pd.DataFrame,
    marginal: Marginal,
    seed: int,
    priors: Mapping[str, Mapping[str, Sequence[MannerEffect]]] | None = None,
    depending: Mapping[str, Sequence[ActingPrior]] | None = None,
) -> StateModels:
    """What a cohort teaches about the states.

    Args:
        spec: The disease.
        frame: n patients.
        decisions: (n, d) 0, 1 or NaN, with those filled in that the cohort holds.
        cohort: Completed copies of the same patients, as the models from time zero were fitted on.
        completed: The same as columns, copy after copy.
        marginal: The models from time zero.
        seed: Of the draws.
        priors: By outcome and manner, what is published about the manner's levels.
        depending: By outcome, what decisions are held to do more in those who show a state.
    """
    rng = np.random.default_rng([seed, len(frame)])
    learning = Learning(spec, frame, cohort.inputs.mean(axis=0), completed, decisions, marginal.draws, rng)
    transitions = fit_transitions(learning)
    revealed: dict[str, Revealed] = {}
    if not transitions.steps:
        return StateModels(transitions, revealed)
    for outcome in spec.outcomes:
        published, held = (priors or {}).get(outcome.name), (depending or {}).get(outcome.name, ())
        if outcome.kind is OutcomeKind.BINARY:
            if outcome.name in marginal.binaries:
                positive = frame[outcome.event].to_numpy(dtype=float)
                before = cohort_probabilities(outcome.name, spec, marginal, cohort, decisions)
                revealed[outcome.name] = fit_revealed_probability(
                    outcome, positive, before, transitions, learning, published, held
                )
        elif outcome.name in marginal.hazards:
            hazards = marginal.hazards[outcome.name]
            by_cause = {EVENT: hazards.event, FORESTALLED: hazards.rival}
            logs = {
                cause: _log_hazards(model, spec, marginal, cohort, decisions)
                for cause, model in by_cause.items()
                if model is not None
            }
            followed = follow_up(frame, spec, outcome)
            revealed[outcome.name] = fit_revealed_hazards(
                outcome, followed, logs, transitions, learning, published, held
            )
    return StateModels(transitions, revealed)


def _log_hazards(
    model: EventModel, spec: Specification, marginal: Marginal, cohort: Patients, decisions: Floats
) -> Floats:
    """(n, periods) log of the mean hazard in each period, that in the last over what follows it."""
    starts = period_starts(spec)
    edges = np.append(starts, max(float(model.prognosis.grid[-1]), float(starts[-1]) + CELL_MONTHS))
    increments = cohort_increments(model, spec, marginal, cohort, decisions, edges)
    return np.log(np.maximum(increments, np.finfo(float).tiny))
