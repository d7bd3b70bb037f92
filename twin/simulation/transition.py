"""Complete baseline inputs, decisions and what was seen before in, the probability of every next state out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import pandas as pd
from scipy.special import expit

from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.posterior import LogisticProblem, posterior
from twin.simulation.states import (
    UNOBSERVED,
    StateVariable,
    Step,
    certain_if_declined,
    leaf_names,
    learn_steps,
    learn_variable,
)

STATE_SCALE: Final = 2.0
"""Prior standard deviation of the log odds ratio of a decision or an earlier state relative to that of a baseline
input: what is seen of the same tumour, or brought about by a treatment, tells more than what was known (assumed)."""
SPLIT_SCALE: Final = 10.0
"""The same of the level of each split: wide, since no two levels need be alike in frequency"""
DEVIATION: Final = 0.7
"""How far the ratios of one split may differ from those of another, relative to themselves (assumed): for ordered
levels they are nearly the same, for others they need not be"""


@dataclass(frozen=True, eq=False)
class OrderedModel:
    """Continuation-ratio logistic regressions: is it this level, given that it is none of those before?

    Agresti 2010 (ISBN 978-0-470-08289-8), section 4.2. Row 0 is the fit, the others are draws from the posterior.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    intercepts: Floats
    """(1 + draws, splits)"""
    inputs: Floats
    """(1 + draws, splits, p) log odds ratios of the baseline inputs"""
    decisions: Floats
    """(1 + draws, splits, d)"""
    history: Floats
    """(1 + draws, splits, h) of what was seen before"""
    patients: int
    prior_sd: float

    def base(self, inputs: Floats, draw: Integers, digits: Floats) -> Floats:
        """(rows, splits) log odds without what was seen before, for inputs (rows, p) of draws (rows,)."""
        known = np.einsum("rsp,rp->rs", self.inputs[draw], inputs)
        return np.asarray(self.intercepts[draw] + known + self.decisions[draw] @ digits)

    def seen(self, history: Floats, draw: Integers, columns: slice) -> Floats:
        """(rows, k, splits) the part of some columns of what was seen before, for histories (k, columns)."""
        return np.asarray(np.einsum("rsh,kh->rks", self.history[draw, :, columns], history))

    def each(self, inputs: Floats, draw: Integers, decisions: Floats, history: Floats) -> Floats:
        """(n, levels) of n patients with a history each: inputs (n, p), draw (n,), decisions (n, d), history (n, h)."""
        log_odds = self.intercepts[draw]
        for ratios, values in ((self.inputs, inputs), (self.decisions, decisions), (self.history, history)):
            log_odds = log_odds + np.einsum("nsc,nc->ns", ratios[draw], values)
        return level_probabilities(log_odds)


def level_probabilities(log_odds: Floats) -> Floats:
    """(..., levels) from the log odds (..., splits) of each level against those after it."""
    here = expit(log_odds)
    beyond = np.cumprod(1.0 - here, axis=-1)
    result = np.empty((*here.shape[:-1], here.shape[-1] + 1))
    result[..., 0] = here[..., 0]
    result[..., 1:-1] = beyond[..., :-1] * here[..., 1:]
    result[..., -1] = beyond[..., -1]
    return result


@dataclass(frozen=True, eq=False)
class Learning:
    """n patients as every transition model reads them."""

    spec: Specification
    frame: pd.DataFrame
    inputs: Floats
    """(n, p) complete"""
    completed: pd.DataFrame
    """Complete columns of one or several copies of the same patients, copy after copy"""
    decisions: Floats
    """(n, d) 0, 1 or NaN (not recorded)"""
    draws: int
    rng: np.random.Generator


def fit_ordered(
    variable: StateVariable, codes: Integers, rows: Flags, history: Floats, learning: Learning, decisions: int
) -> OrderedModel:
    """The model of a variable.

    Args:
        variable: What is seen.
        codes: (n,) its levels; `UNOBSERVED` where not recorded.
        rows: (n,) who could show it.
        history: (n, h) what was seen before.
        learning: The cohort.
        decisions: How many decisions had been taken.
    """
    used = rows & (codes != UNOBSERVED)
    size = (learning.inputs.shape[1], learning.decisions.shape[1], history.shape[1])
    taken = np.where(np.arange(size[1]) < decisions, learning.decisions, 0.0)
    columns = np.hstack([learning.inputs, np.nan_to_num(taken), history])[used]
    live = np.flatnonzero((columns != columns[:1]).any(axis=0))
    scale = np.concatenate([np.ones(size[0]), np.full(size[1] + size[2], STATE_SCALE)])[live]
    splits = len(variable.levels) - 1
    split, positive, stacked = _stacked(codes[used], columns[:, live], splits)
    own = [stacked * (split == k)[:, None] for k in range(splits)] if splits > 1 else []
    levels = (split[:, None] == np.arange(1, splits)).astype(float)
    design = np.hstack([levels, stacked, *own])
    scales = np.concatenate([np.full(splits - 1, SPLIT_SCALE), scale, *[DEVIATION * scale for _ in own]])
    nothing = np.zeros((len(design), 0))
    problem = LogisticProblem(design, positive, np.zeros(len(design)), nothing)
    drawn = posterior([problem], scales, np.zeros((1 + learning.draws, 0)), learning.rng)
    shift = np.hstack([np.zeros((1 + learning.draws, 1)), drawn.coefficients[:, 1:splits]])
    ratios = drawn.coefficients[:, splits:].reshape(1 + learning.draws, -1, len(live))
    whole = np.zeros((1 + learning.draws, splits, sum(size)))
    whole[:, :, live] = ratios[:, :1] + (ratios[:, 1:] if splits > 1 else 0.0)
    inputs, effects, seen = np.split(whole, np.cumsum(size)[:2], axis=2)
    return OrderedModel(drawn.coefficients[:, :1] + shift, inputs, effects, seen, int(used.sum()), drawn.prior_sd)


def _stacked(codes: Integers, columns: Floats, splits: int) -> tuple[Integers, Floats, Floats]:
    """Which split each row is of, whether it is that level, and the columns: everybody who got as far as the split.

    A split at which all went one way gets two average patients who did not agree, so that its odds are finite.
    """
    parts = []
    for k in range(splits):
        here, reached = (codes[codes >= k] == k).astype(float), columns[codes >= k]
        if len(np.unique(here)) < 2:
            here = np.concatenate([here, [0.0, 1.0]])
            reached = np.vstack([reached, np.zeros((2, columns.shape[1]))])
        parts.append((np.full(len(here), k), here, reached))
    split, positive, stacked = (np.concatenate(part) for part in zip(*parts, strict=True))
    return split, positive, stacked


@dataclass(frozen=True, eq=False)
class Leaf:
    """A state that is seen and shown and on which nothing else depends."""

    variable: StateVariable
    model: OrderedModel
    """Its history ends with whether an earlier flag of the same sum is set"""
    part_of: int
    """Position of the carried sum that it is a flag of; `UNOBSERVED` when of none"""
    last: bool
    """Whether it is the last flag of the sum: set for certain where the sum is and no other flag"""
    certain: int
    """The level of all who declined the decision before; `UNOBSERVED` where they differ"""

    def within(self, probability: Floats, taken: Floats, codes: Integers, earlier: Flags) -> Floats:
        """Probabilities (..., k, levels) in agreement with what is certain.

        Args:
            probability: (..., k, levels) by the model.
            taken: (k,) or (1,) the decision before.
            codes: (k, variables) what is carried on.
            earlier: (k,) or (1,) whether an earlier flag of the same sum is set.
        """
        sure = np.eye(len(self.variable.levels))
        if self.part_of != UNOBSERVED:
            if self.last:
                probability = np.where(earlier[:, None], probability, sure[-1])
            probability = np.where(codes[:, [self.part_of]] == 0, sure[0], probability)
        if self.certain != UNOBSERVED:
            probability = np.where((taken == 0)[:, None], sure[self.certain], probability)
        return probability


@dataclass(frozen=True, eq=False)
class StepModel:
    """What is seen at one step."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    step: Step
    before: int
    """Number of levels of all earlier steps together: where this step's begin in a history"""
    models: tuple[OrderedModel, ...]
    """One a variable of the step, each given those before it"""
    leaves: tuple[Leaf, ...]

    def probabilities(self, inputs: Floats, draw: Integers, digits: Floats, history: Floats) -> Floats:
        """Probability of each state of `step.space(digits)` for those alive then.

        Args:
            inputs: (rows, p) of one patient, as each row of the draws reads them.
            draw: (rows,) which draw each row is of.
            digits: (d,) decisions, at least those taken so far.
            history: (k, before) ways in which the earlier steps may have gone.

        Returns:
            (rows, k, states)
        """
        result = np.ones((len(inputs), len(history), 1))
        if not bool(self.step.applies(digits)):
            return result
        taken = _taken(digits, self.step)
        so_far = np.zeros((1, 0))
        for position, model in enumerate(self.models):
            allowed = self.step.allowed(position, digits)
            each = np.eye(len(self.step.variables[position].levels))[list(allowed)]
            if len(allowed) > 1:
                base = model.base(inputs, draw, taken)[:, None, None, :]
                seen = model.seen(history, draw, slice(0, self.before))[:, :, None, :]
                here = model.seen(so_far, draw, slice(self.before, None))[:, None, :, :]
                result = result[..., None] * level_probabilities(base + seen + here)
            result = result.reshape(len(inputs), len(history), -1)
            so_far = np.hstack([np.repeat(so_far, len(each), axis=0), np.tile(each, (len(so_far), 1))])
        return result

    def leaf_probabilities(
        self, inputs: Floats, draw: Integers, digits: Floats, history: Floats, codes: Integers
    ) -> dict[str, Floats]:
        """By leaf, (rows, k, levels) given states (k, variables) after histories (k, before); none if none are."""
        if not bool(self.step.applies(digits)):
            return {}
        taken = _taken(digits, self.step)
        seen = np.hstack([history, self.step.indicators(codes)])
        earlier: dict[int, Floats] = {}
        result = {}
        for leaf in self.leaves:
            none_yet, some_yet = (self._leaf(leaf, inputs, draw, taken, seen, codes, flag) for flag in (0.0, 1.0))
            some = earlier.get(leaf.part_of, np.zeros(none_yet.shape[:2]))[..., None]
            result[leaf.variable.name] = (1.0 - some) * none_yet + some * some_yet
            if leaf.part_of != UNOBSERVED:
                earlier[leaf.part_of] = (some + (1.0 - some) * none_yet[..., [-1]])[..., 0]
        return result

    def _leaf(
        self,
        leaf: Leaf,
        inputs: Floats,
        draw: Integers,
        taken: Floats,
        seen: Floats,
        codes: Integers,
        earlier: float,
    ) -> Floats:
        """(rows, k, levels) given whether an earlier flag of the same sum is set."""
        whole = np.hstack([seen, np.full((len(seen), 1), earlier)])
        base = leaf.model.base(inputs, draw, taken)[:, None, :]
        probability = level_probabilities(base + leaf.model.seen(whole, draw, slice(None)))
        return leaf.within(probability, taken[[self.step.decision]], codes, np.array([earlier > 0]))

    def draw_leaves(
        self,
        inputs: Floats,
        draw: Integers,
        digits: Floats,
        history: Floats,
        codes: Integers,
        rng: np.random.Generator,
    ) -> dict[str, Integers]:
        """By leaf, (n,) levels drawn for n patients with a state each; none where nothing is seen.

        Args:
            inputs: (n, p)
            draw: (n,)
            digits: (d,) decisions, the same for all.
            history: (n, before)
            codes: (n, variables)
            rng: Of the draws.
        """
        if not bool(self.step.applies(digits)):
            return {}
        taken = np.tile(_taken(digits, self.step), (len(codes), 1))
        seen = np.hstack([history, self.step.indicators(codes)])
        earlier = np.zeros((len(codes), len(self.step.variables)), dtype=bool)
        result = {}
        for leaf in self.leaves:
            some = earlier[:, leaf.part_of] if leaf.part_of != UNOBSERVED else np.zeros(len(codes), dtype=bool)
            probability = leaf.model.each(inputs, draw, taken, np.column_stack([seen, some]))
            probability = leaf.within(probability, taken[:, self.step.decision], codes, some)
            level = drawn_levels(probability, rng)
            if leaf.part_of != UNOBSERVED:
                earlier[:, leaf.part_of] |= level == 1
            result[leaf.variable.name] = level
        return result


def drawn_levels(probability: Floats, rng: np.random.Generator) -> Integers:
    """(n,) one level for each row of (n, levels)."""
    beyond = rng.random((len(probability), 1)) * probability.sum(axis=1, keepdims=True) > np.cumsum(probability, axis=1)
    return np.asarray(np.minimum(beyond.sum(axis=1), probability.shape[1] - 1), dtype=np.intp)


def _taken(digits: Floats, step: Step) -> Floats:
    """(d,) the decisions taken before a step, 0 for those after it."""
    return np.where(np.arange(len(digits)) <= step.decision, digits, 0.0)


@dataclass(frozen=True, eq=False)
class Transitions:
    """What is seen at every step, in time."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    steps: tuple[StepModel, ...]

    @property
    def width(self) -> int:
        """Number of levels of all steps together: columns of a whole history."""
        return sum(model.step.width for model in self.steps)

    def histories(self, frame: pd.DataFrame, inputs: Floats, decisions: Floats) -> Floats:
        """(n, width) what each patient showed, as indicators; what is not recorded as its probability by the fit.

        Args:
            frame: n patients.
            inputs: (n, p)
            decisions: (n, d) 0, 1 or NaN, which counts as 0.
        """
        history = np.zeros((len(frame), self.width))
        for model in self.steps:
            _fill(history, model, model.step.codes(frame), inputs, decisions)
        return history


def _fill(history: Floats, model: StepModel, codes: Integers, inputs: Floats, decisions: Floats) -> None:
    """Writes what was seen at one step into the histories (n, width)."""
    step, start = model.step, model.before
    applies, known = step.applies(decisions), np.nan_to_num(decisions)
    taken = np.where(np.arange(known.shape[1]) <= step.decision, known, 0.0)
    fit = np.zeros(len(inputs), dtype=np.intp)
    for position, variable in enumerate(step.variables):
        columns = slice(start, start + len(variable.levels))
        shown = (codes[:, [position]] == np.arange(len(variable.levels))).astype(float)
        guessed = model.models[position].each(inputs, fit, taken, history[:, :start])
        if step.certain[position] != UNOBSERVED:
            sure = np.eye(len(variable.levels))[step.certain[position]]
            guessed = np.where((decisions[:, step.decision] == 0)[:, None], sure, guessed)
        filled = np.where((codes[:, position] == UNOBSERVED)[:, None], guessed, shown)
        history[:, columns] = np.where(applies[:, None], filled, 0.0)
        start = columns.stop


def fit_transitions(learning: Learning) -> Transitions:
    """The transition models that a cohort teaches.

    Each variable is learnt from those in whom it is recorded; an earlier state that is not recorded enters as its
    probability.
    """
    steps = learn_steps(learning.spec, learning.frame, learning.decisions)
    history = np.zeros((len(learning.frame), sum(step.width for step in steps)))
    fitted: list[StepModel] = []
    before = 0
    for step in steps:
        model = StepModel(step, before, (), ())
        codes = step.codes(learning.frame)
        rows = step.applies(learning.decisions) & ~np.isnan(learning.decisions[:, : step.decision + 1]).any(axis=1)
        start = before
        for position, variable in enumerate(step.variables):
            could = rows & _open(step.certain[position], step, learning.decisions)
            ordered = fit_ordered(variable, codes[:, position], could, history[:, :start], learning, step.decision + 1)
            model = replace(model, models=(*model.models, ordered))
            partial = replace(model, step=replace(step, variables=step.variables[: position + 1]))
            _fill(history, partial, codes, learning.inputs, learning.decisions)
            start += len(variable.levels)
        fitted.append(replace(model, leaves=_fit_leaves(step, rows, codes, history[:, :start], learning)))
        before = start
    return Transitions(tuple(fitted))


def _open(certain: int, step: Step, decisions: Floats) -> Flags:
    """(n,) in whom a variable can differ."""
    if certain == UNOBSERVED:
        return np.ones(len(decisions), dtype=bool)
    return np.asarray(decisions[:, step.decision] == 1)


def _fit_leaves(step: Step, rows: Flags, codes: Integers, history: Floats, learning: Learning) -> tuple[Leaf, ...]:
    shown = learning.frame[rows]
    leaves: list[Leaf] = []
    earlier = np.zeros((len(step.variables), len(rows)), dtype=bool)
    for name, part_of, last in _leaves_of(learning.spec, step, shown):
        variable = _leaf_variable(learning.spec, name, shown)
        if variable is None:
            continue
        of_leaf = variable.codes(learning.frame)
        certain = certain_if_declined(learning.spec, step, variable, learning.frame, learning.decisions)
        could = rows & _open(certain, step, learning.decisions)
        flag = np.zeros(len(rows))
        if part_of != UNOBSERVED:
            could &= codes[:, part_of] == 1
            flag = earlier[part_of].astype(float)
            if last:
                could &= earlier[part_of]
            earlier[part_of] |= of_leaf == 1
        model = fit_ordered(variable, of_leaf, could, np.column_stack([history, flag]), learning, step.decision + 1)
        leaves.append(Leaf(variable, model, part_of, last, certain))
    return tuple(leaves)


def _leaves_of(spec: Specification, step: Step, shown: pd.DataFrame) -> Sequence[tuple[str, int, bool]]:
    """Name of each leaf, position of the carried sum it belongs to, and whether it is the last of the sum's flags.

    Where a flag is too rare to be shown apart, none is the last: the sum may be set by that one alone.
    """
    result = []
    names = leaf_names(spec, step)
    for name in names:
        owners = [k for k, variable in enumerate(step.variables) if variable.summed and name in variable.columns]
        owner = owners[0] if owners else UNOBSERVED
        flags = [other for other in names if owners and other in step.variables[owner].columns]
        shown_apart = [other for other in flags if _leaf_variable(spec, other, shown) is not None]
        complete = not any((shown[other] == 1).any() for other in flags if other not in shown_apart)
        result.append((name, owner, complete and name in shown_apart[-1:]))
    return result


def _leaf_variable(spec: Specification, name: str, shown: pd.DataFrame) -> StateVariable | None:
    return learn_variable(spec, name, shown, unseen=True)
