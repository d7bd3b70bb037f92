"""A patient's hazards and how much each possible sight changes them in, the hazards given each sight out.

Whatever is seen, the average over what might have been seen is the hazard before: hazards given a state are those
before times the state's multiplier, divided in each cell by what makes the mixture of states leave at the same rate.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import expit, logit

from twin.arrays import Floats, Integers

MAX_ITERATIONS: Final = 60
CLOSE: Final = 4e-6
"""Newton's relative step times the largest hazard in the cell below which what is left is far below 1e-9"""
SMALL: Final = 0.2
"""Cumulative hazard in a cell up to which the expansion's derivatives serve for the first step"""
_LEAST: Final = 1e-12


def reveal(increments: Floats, probability: Floats, log_multipliers: Floats, period: Integers) -> Floats:
    """Hazards given each state whose mixture has the hazards before.

    Args:
        increments: (causes, rows, cells) cumulative hazard of each cause over each cell, before anything is seen.
        probability: (rows, states) of each state in those who are free of every cause at the start.
        log_multipliers: (causes, rows, states, periods) log ratio of each state, up to a constant common to the states.
        period: (cells,) which period each cell belongs to.

    Returns:
        (causes, rows, states, cells) cumulative hazards whose cumulative incidences, averaged over the states, are
        those of `increments` at the end of every cell.
    """
    scale = scales(increments, probability, log_multipliers, period)
    return np.asarray(np.exp(log_multipliers[..., period]) * scale[:, :, None, :])


def scales(
    increments: Floats, probability: Floats, log_multipliers: Floats, period: Integers, close: float = CLOSE
) -> Floats:
    """(causes, rows, cells) cumulative hazard in a cell of a state with multiplier 1; arguments as of `reveal`.

    `close` is the relative step times the largest hazard in the cell at which Newton's method stops.

    Who stays free is followed from cell to cell: those in a bad state leave earlier, and the mixture of those who
    remain becomes better.
    """
    result = np.empty_like(increments)
    informative = np.ptp(log_multipliers, axis=2).max(axis=(0, 1)) > 0
    seen = np.maximum.accumulate(informative[period])
    multipliers = np.ascontiguousarray(np.exp(np.moveaxis(log_multipliers, (3, 2), (0, 2))))
    free = np.ascontiguousarray(probability.T)
    products: dict[int, Floats] = {}
    for cell, now in enumerate(period.tolist()):
        multiplier, hazard = multipliers[now], increments[..., cell]
        if not seen[cell]:
            result[..., cell] = hazard / multiplier[:, 0]
            continue
        if now not in products:
            products = {now: np.concatenate([multiplier, *(multiplier * other for other in multiplier)])}
        result[..., cell], stays = _solve(free, multiplier, products[now], hazard, close)
        free = free * stays
        left = free.sum(axis=0)
        free /= np.where(left > 0, left, 1.0)
    return result


def _solve(free: Floats, multiplier: Floats, products: Floats, hazard: Floats, close: float) -> tuple[Floats, Floats]:
    """One cell: (causes, rows) hazards of a state with multiplier 1, and (states, rows) who of each state stays free.

    Within a cell the causes keep their ratio, so that a state with hazards h_k leaves by cause k with probability
    ``h_k * (1 - exp(-H)) / H``, H being their sum. Newton's method on the average of these probabilities over `free`
    (states, rows), from the solution of its second-order expansion.

    Args:
        free: (states, rows) shares among those free at the start of the cell.
        multiplier: (causes, states, rows)
        products: (causes + causes**2, states, rows) the multipliers and their products in pairs.
        hazard: (causes, rows) before anything is seen.
        close: As of `scales`.
    """
    causes = len(hazard)
    wanted = hazard * _spent(hazard.sum(axis=0))[0]
    moments = _means(free, products)
    mean, square = moments[:causes], moments[causes:].reshape(causes, causes, -1)
    lost = 0.5 * (square * (wanted / mean)).sum(axis=1)
    level = wanted / np.maximum(mean - lost, mean / 4.0)
    bend = -0.5 * square
    for iteration in range(MAX_ITERATIONS):
        total = _sum(multiplier, level)
        largest = total.max()
        spent, stays = _spent(total)
        rate = _means(free * spent, multiplier)
        if iteration or largest > SMALL:
            slope = free * (stays - spent) / np.maximum(total, _LEAST)
            bend = _means(slope, products[causes:]).reshape(bend.shape)
        step = _newton(level * rate - wanted, rate, level, bend)
        moved = np.clip(-step, -0.8 * level, 4.0 * level)
        level = level + moved
        if np.max(np.abs(moved)) * largest <= close * level.max():
            break
    change = _sum(multiplier, moved)
    return level, stays * (1.0 - change + 0.5 * change**2)


def _means(weights: Floats, values: Floats) -> Floats:
    """(k, rows) sums over the states of weights (states, rows) times values (k, states, rows)."""
    return np.asarray(np.einsum("sr,ksr->kr", weights, values))


def _sum(multiplier: Floats, level: Floats) -> Floats:
    """(states, rows) hazard of all causes together."""
    total = multiplier[0] * level[0]
    for of_cause, at in zip(multiplier[1:], level[1:], strict=True):
        total += of_cause * at
    return np.asarray(total)


def _newton(excess: Floats, rate: Floats, level: Floats, bend: Floats) -> Floats:
    """(causes, rows) step of Newton's method for one cause or two: solves (diag(rate) + level * bend) step = excess."""
    if len(level) == 1:
        return np.asarray(excess / np.maximum(rate + level * bend[0], _LEAST))
    one, other = rate[0] + level[0] * bend[0, 0], rate[1] + level[1] * bend[1, 1]
    crossed = level * np.stack([bend[0, 1], bend[1, 0]])
    determinant = np.maximum(one * other - crossed[0] * crossed[1], _LEAST)
    solved = np.stack([other * excess[0] - crossed[0] * excess[1], one * excess[1] - crossed[1] * excess[0]])
    return np.asarray(solved / determinant)


def _spent(hazard: Floats) -> tuple[Floats, Floats]:
    """Of a cell with a cumulative hazard: the mean share that is free during it, and the share free at its end."""
    positive = np.maximum(hazard, _LEAST)
    stays = np.exp(-positive)
    return np.asarray((1.0 - stays) / positive), stays


def reveal_probability(before: Floats, probability: Floats, log_odds: Floats, close: float = CLOSE) -> Floats:
    """Probabilities of a yes-or-no outcome given each state whose mixture has the probability before.

    Args:
        before: (rows,) of the outcome, above 0 and below 1.
        probability: (rows, states) of each state.
        log_odds: (rows, states) log odds ratio of each state, up to a constant common to the states.
        close: The square root of the step of the log odds at which Newton's method stops.

    Returns:
        (rows, states)
    """
    low = logit(before) - log_odds.max(axis=1)
    high = logit(before) - log_odds.min(axis=1)
    level = np.clip(logit(before) - np.log(np.einsum("rs,rs->r", probability, np.exp(log_odds))), low, high)
    for _ in range(MAX_ITERATIONS):
        given = expit(level[:, None] + log_odds)
        excess = np.einsum("rs,rs->r", probability, given) - before
        low, high = np.where(excess <= 0, level, low), np.where(excess >= 0, level, high)
        slope = np.einsum("rs,rs->r", probability, given * (1.0 - given))
        newton = level - excess / np.maximum(slope, _LEAST)
        new = np.where((newton > low) & (newton < high), newton, (low + high) / 2.0)
        moved = np.max(np.abs(new - level), initial=0.0)
        level = new
        if moved < close**2:
            break
    return np.asarray(expit(level[:, None] + log_odds))
