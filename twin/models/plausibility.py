"""Known values in, how unlike the cohort's own patients somebody is out: scores, a conformal p-value and words.

What is not recorded counts as the cohort's average here: nobody is unlike for a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Final, Self

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf

from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.encoding import NOT_RECORDED
from twin.models.reading import Reader, Source, Values

NEIGHBOURS: Final = 10
"""A patient's distance to the cohort is the mean distance to this many nearest patients."""
FOLDS: Final = 10
"""A patient of the cohort is scored by what the other folds teach, as if they came from outside."""
CUTS: Final = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Quantiles at which a number is cut for pairs; the lowest stands for a value that many share, such as 0."""
HALF_A_PATIENT: Final = 0.5
"""Added to counts before their logarithm (Jeffreys), so that none of a few is less telling than none of many."""
EXPECTED_TO_SAY: Final = 8.0
"""A pair is remarked on where this many would be expected: none of them has a probability of exp(-8) = 0.0003."""
RARE_ALONE: Final = 0.05
"""A value is called rare that no more than this share of the cohort has, or anything more extreme."""
MOST_SAID: Final = 3
TAIL: Final = 0.1
"""Above the score of this share of the cohort the tail is taken as exponential, so that scores can be compared."""
FOLDS_SEED: Final = 0


class Score(IntEnum):
    """What can be strange about a patient; each is larger the stranger, and a column of the scores."""

    WHOLE = 0
    """Mahalanobis distance in all values: several rare things at once"""
    NUMBERS = 1
    """The same in the numbers alone, where rare levels do not drown it"""
    NEAR = 2
    """Mean distance to the nearest patients: a corner that nobody lives in"""
    RANGE = 3
    """A number in or beyond the tail of the cohort's"""
    LEVEL = 4
    """A level that few or none have"""
    UNIFORM = 5
    """Another level than everybody's"""
    PAIR = 6
    """Two values that occur together far less often than they would if they had nothing to do with each other"""


BUDGET: Final = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4])
"""How the false alarms are shared among the scores (weighted Bonferroni): most for pairs, whose evidence is the
weakest in a small cohort, where ten are expected and none is seen."""


@dataclass(frozen=True)
class Event:
    """Something that holds of a patient or not: a level or another one, or a number within bounds."""

    source: int
    """Position among the sources of the reader"""
    fine: bool
    """Whether nothing finer is asked of this source: one such event holds of everybody of whom it is recorded"""
    level: str = ""
    """The level, or, of an event that is not fine, the one that it is not; empty for a number"""
    above: float | None = None
    up_to: float | None = None

    def holds(self, values: Values) -> Flags:
        """(m,) whether it holds; never of what is not recorded."""
        count = values.numbers.shape[1]
        if self.level:
            level = values.levels[:, self.source - count]
            return np.asarray(((level == self.level) == self.fine) & (level != NOT_RECORDED), dtype=bool)
        number = values.numbers[:, self.source]
        within = ~np.isnan(number)
        if self.above is not None:
            within &= number > self.above
        if self.up_to is not None:
            within &= number <= self.up_to
        return within

    def said(self, source: Source, value: str | float) -> str:
        """The event in words, with what the patient has where the event does not say it."""
        if self.level and self.fine:
            return source.said(value)
        return f"{source.label} {self._bounds(source)} (here {source.worded(value)})"

    def _bounds(self, source: Source) -> str:
        if self.level:
            return f"other than {source.worded(self.level)}"
        above = "" if self.above is None else f"above {self.above:g}"
        return above if self.up_to is None else f"{above} up to {self.up_to:g}".lstrip()


@dataclass(frozen=True)
class Verdict:
    """How unlike a cohort one patient is."""

    p_value: float
    """Conformal p-value of being one of them, 1 / (n + 1) or more"""
    farther_than: float
    """Share of the cohort that is less strange"""
    remarks: tuple[str, ...]
    """Values and pairs of values that the cohort does not have, in words"""
    rare: tuple[str, ...]
    """Values that few in the cohort have, in words, the rarest first"""


@dataclass(frozen=True, eq=False)
class Portrait:
    """What n patients look like, as far as it takes to score others."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    events: tuple[Event, ...]
    observed: Floats
    """(events, events) patients of whom both hold; the diagonal counts each alone"""
    expected: Floats
    """(events, events) the same if they had nothing to do with each other, 0 within one source"""
    ascending: Floats
    """(n, numbers) each number in ascending order, NaN last"""
    mean: Floats
    """(numbers,)"""
    scale: Floats
    """(numbers,) standard deviation, as told in `_moments`"""
    points: Floats
    """(n, axes) patients as points: numbers in two standard deviations, levels as centred indicators (Gelman 2008,
    doi:10.1002/sim.3107); the most frequent level of each category is the reference"""
    axes: Integers
    """(level axes,) the events whose indicators are axes"""
    shares: Floats
    """(level axes,) how many of those who have the category recorded have the level"""
    whole: Floats
    """(axes, axes) inverse of the shrunk covariance of the points (Ledoit & Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4)"""
    among_numbers: Floats
    """(numbers, numbers) the same of the numbers alone"""

    @classmethod
    def fit(cls, values: Values, events: tuple[Event, ...]) -> Self:
        """The portrait of at least two patients."""
        held, recorded = _held(events, values), ~values.missing
        observed = held.T @ held
        asked = recorded[:, [event.source for event in events]].astype(float)
        beside = held.T @ asked
        expected = beside * beside.T / np.maximum(asked.T @ asked, 1.0)
        source = np.array([event.source for event in events])
        expected[source[:, None] == source[None, :]] = 0.0
        mean, scale = _moments(values.numbers)
        axes = _axes(events, observed)
        portrait = cls(
            events=events,
            observed=observed,
            expected=expected,
            ascending=np.sort(values.numbers, axis=0),
            mean=mean,
            scale=scale,
            axes=axes,
            shares=_shares(axes, observed, recorded, events),
            points=np.empty((0, 0)),
            whole=np.empty((0, 0)),
            among_numbers=np.empty((0, 0)),
        )
        points = portrait._points(values, held)
        among_numbers = _precision(points[:, : values.numbers.shape[1]])
        return replace(portrait, points=points, whole=_precision(points), among_numbers=among_numbers)

    @property
    def size(self) -> int:
        """Number of patients it shows."""
        return len(self.points)

    def score(self, values: Values) -> Floats:
        """(m, scores) how strange each patient is, in the order of `Score`."""
        held = _held(self.events, values)
        points = self._points(values, held)
        count = values.numbers.shape[1]
        distances = cdist(points, self.points)
        near = min(NEIGHBOURS, self.size)
        rarity = self._rarity(values)
        columns = {
            Score.WHOLE: _mahalanobis(points, self.whole),
            Score.NUMBERS: _mahalanobis(points[:, :count], self.among_numbers),
            Score.NEAR: np.partition(distances, near - 1, axis=1)[:, :near].mean(axis=1),
            Score.RANGE: self._range(values).max(axis=1, initial=0.0),
            Score.LEVEL: rarity.max(axis=1, initial=0.0),
            Score.UNIFORM: np.where(self._uniform(values), rarity, 0.0).max(axis=1, initial=0.0),
            Score.PAIR: np.array([self._lack(np.flatnonzero(on)).max(initial=0.0) for on in held]),
        }
        return np.column_stack([columns[score] for score in Score])

    def remarks(self, values: Values, reader: Reader, row: int) -> Iterator[str]:
        """Values of a patient that lie outside the range, and levels that nobody has."""
        for k, source in enumerate(reader.numbers):
            value, column = values.numbers[row, k], self.ascending[:, k]
            lowest, highest = np.nanmin(column), np.nanmax(column)
            if value < lowest or value > highest:
                yield f"{source.said(float(value))} is outside the cohort's {lowest:g} to {highest:g}"
        nobody = (self._counts(values.take(np.array([row]))) == 0)[0]
        for level, source, none in zip(values.levels[row], reader.categories, nobody, strict=True):
            if none and level != NOT_RECORDED:
                yield f"nobody in the cohort has {source.said(level)}"

    def remark_on_pair(self, values: Values, reader: Reader, row: int) -> str | None:
        """The strangest of the pairs that hold of a patient, if enough would be expected to have it."""
        on = np.flatnonzero(_held(self.events, values.take(np.array([row])))[0])
        lack = self._lack(on)
        pair = sorted(int(on[k]) for k in np.unravel_index(lack.argmax(), lack.shape))
        seen, expected = round(float(self.observed[*pair])), float(self.expected[*pair])
        if expected < EXPECTED_TO_SAY:
            return None
        events = [self.events[k] for k in pair]
        said = [event.said(reader.sources[event.source], values.of(event.source, row)) for event in events]
        who = "nobody" if seen == 0 else f"only {seen}"
        return f"{' with '.join(said)}: {who} in the cohort, where {expected:.0f} would be by chance"

    def rare(self, values: Values, reader: Reader, row: int) -> tuple[str, ...]:
        """The rarest values of a patient."""
        one = values.take(np.array([row]))
        rarity = np.hstack([self._range(one)[0], self._rarity(one)[0]])
        order = [k for k in np.argsort(-rarity, kind="stable") if rarity[k] >= -np.log(RARE_ALONE)]
        return tuple(reader.sources[k].said(values.of(int(k), row)) for k in order[:MOST_SAID])

    def _points(self, values: Values, held: Floats) -> Floats:
        """(m, axes) patients as points around the average, which stands for what is not recorded."""
        numbers = np.nan_to_num((values.numbers - self.mean) / (2.0 * self.scale), nan=0.0)
        recorded = ~values.missing[:, [self.events[k].source for k in self.axes]]
        return np.hstack([numbers, np.where(recorded, held[:, self.axes] - self.shares, 0.0)])

    def _lack(self, on: Integers) -> Floats:
        """(held, held) log of expected over observed for the pairs of events that hold of a patient.

        A pair of fine events is a patient's own cell. Wider ones count if nobody at all is there: where somebody is,
        they are rare for the sake of other cells, which says nothing against this patient.
        """
        fine = np.array([self.events[k].fine for k in on], dtype=bool)
        expected, observed = self.expected[on][:, on], self.observed[on][:, on]
        ratio = np.log((expected + HALF_A_PATIENT) / (observed + HALF_A_PATIENT))
        return np.asarray(np.where((expected > 0) & (np.outer(fine, fine) | (observed == 0)), ratio, 0.0))

    def _range(self, values: Values) -> Floats:
        """(m, numbers) how rare a number is, 0 where it is not recorded.

        The logarithm of one over the share at least as extreme on the same side; beyond the range every half standard
        deviation adds one.
        """
        result = np.zeros(values.numbers.shape)
        for k, column in enumerate(self.ascending.T):
            known = column[~np.isnan(column)]
            if not known.size:
                continue
            value = values.numbers[:, k]
            below, above = np.searchsorted(known, value, "right"), known.size - np.searchsorted(known, value, "left")
            beyond = np.maximum(known[0] - value, value - known[-1]).clip(min=0.0) / (self.scale[k] / 2)
            rare = np.log((known.size + 1) / (np.minimum(below, above) + HALF_A_PATIENT))
            result[:, k] = np.where(np.isnan(value), 0.0, rare + beyond)
        return result

    def _counts(self, values: Values) -> Floats:
        """(m, categories) patients of the portrait who have the same level."""
        first = values.numbers.shape[1]
        counts = {
            (event.source - first, event.level): self.observed[k, k]
            for k, event in enumerate(self.events)
            if event.level and event.fine
        }
        found = [counts.get((k, level), 0.0) for row in values.levels for k, level in enumerate(row)]
        return np.array(found, dtype=float).reshape(values.levels.shape)

    def _uniform(self, values: Values) -> Flags:
        """(m, categories) whether everybody in the portrait has the same level, and the patient another one."""
        first = values.numbers.shape[1]
        seen = [
            event.source - first
            for k, event in enumerate(self.events)
            if event.level and event.fine and self.observed[k, k]
        ]
        levels = np.bincount(np.array(seen, dtype=np.intp), minlength=values.levels.shape[1])
        return np.asarray((levels == 1) & (self._counts(values) == 0), dtype=bool)

    def _rarity(self, values: Values) -> Floats:
        """(m, categories) log of one over the share who have the level, 0 where it is not recorded."""
        rare = np.log((self.size + 1) / (self._counts(values) + HALF_A_PATIENT))
        return np.where(values.levels == NOT_RECORDED, 0.0, rare)


@dataclass(frozen=True, eq=False)
class Likeness:
    """How unlike a cohort somebody is, judged by how unlike the rest each of its own patients is.

    Each patient of the cohort is scored by a portrait of the other folds. A score is turned into a negative logarithm
    of its tail probability among those; the largest of them, less what its budget allows, is the strangeness, and its
    rank among the strangeness of the cohort's own patients gives the p-value: under exchangeability a patient of the
    same kind has one of at most alpha with a probability of about alpha (Bates et al. 2023, doi:10.1214/22-AOS2244;
    across folds as in Vovk 2015, doi:10.1007/s10472-013-9368-4).
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    portrait: Portrait
    own_scores: Floats
    """(n, scores) ascending by column"""
    own_strangeness: Floats
    """(n,) ascending"""

    @classmethod
    def fit(cls, values: Values) -> Self:
        """The likeness of a cohort of at least `FOLDS` patients."""
        events = tuple(_events(values))
        fold = np.random.default_rng(FOLDS_SEED).permutation(values.size) % FOLDS
        scores = np.empty((values.size, len(Score)))
        for k in range(FOLDS):
            scores[fold == k] = Portrait.fit(values.take(fold != k), events).score(values.take(fold == k))
        own_scores = np.sort(scores, axis=0)
        own_strangeness = np.sort(_strangeness(_tail_logs(scores, own_scores)))
        return cls(Portrait.fit(values, events), own_scores, own_strangeness)

    def judge(self, values: Values, reader: Reader, unusual: float) -> list[Verdict]:
        """How unlike the cohort each patient is.

        Above a p-value of `unusual` the words are of values that nobody has, and of nothing else.
        """
        tail_logs = _tail_logs(self.portrait.score(values), self.own_scores)
        below = np.searchsorted(self.own_strangeness, _strangeness(tail_logs))
        count = len(self.own_strangeness)
        verdicts = []
        for row, less in enumerate(below.tolist()):
            p_value = (1 + count - less) / (1 + count)
            remarks = list(self.portrait.remarks(values, reader, row))
            if p_value <= unusual and tail_logs[row, Score.PAIR] >= -np.log(unusual):
                remarks.extend(filter(None, [self.portrait.remark_on_pair(values, reader, row)]))
            rare = self.portrait.rare(values, reader, row) if p_value <= unusual else ()
            verdicts.append(Verdict(p_value, less / count, tuple(remarks), rare))
        return verdicts


def _events(values: Values) -> Iterator[Event]:
    """Levels and the absence of each of three or more; numbers between neighbouring cuts, up to each, and above it."""
    for k, number in enumerate(values.numbers.T):
        recorded = number[~np.isnan(number)]
        cuts = np.unique(np.quantile(recorded, CUTS, method="lower")) if recorded.size else np.empty(0)
        inner = [float(cut) for cut in cuts if cut < recorded.max()]
        for above, up_to in zip([None, *inner], [*inner, None], strict=True):
            yield Event(k, fine=True, above=above, up_to=up_to)
        for cut in inner[1:]:
            yield Event(k, fine=False, up_to=cut)
        for cut in inner[:-1]:
            yield Event(k, fine=False, above=cut)
    for k, levels in enumerate(values.levels.T, start=values.numbers.shape[1]):
        seen = sorted({str(level) for level in levels} - {NOT_RECORDED})
        for level in seen:
            yield Event(k, fine=True, level=level)
            if len(seen) > 2:
                yield Event(k, fine=False, level=level)


def _held(events: tuple[Event, ...], values: Values) -> Floats:
    """(m, events) 1 where an event holds."""
    return np.array([event.holds(values) for event in events], dtype=float).reshape(len(events), values.size).T


def _moments(numbers: Floats) -> tuple[Floats, Floats]:
    """(columns,) mean and standard deviation over what is recorded.

    The latter is 1 where nothing varies, and infinite where nothing is recorded: no value is far from nothing.
    """
    recorded = ~np.isnan(numbers)
    count = recorded.sum(axis=0)
    mean = np.where(recorded, numbers, 0.0).sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt(np.where(recorded, (numbers - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
    return mean, np.where(count > 0, np.where(spread > 0, spread, 1.0), np.inf)


def _axes(events: tuple[Event, ...], observed: Floats) -> Integers:
    """The levels but the most frequent of each category."""
    of_source: dict[int, list[int]] = {}
    for k, event in enumerate(events):
        if event.level and event.fine:
            of_source.setdefault(event.source, []).append(k)
    references = {max(levels, key=lambda k: observed[k, k]) for levels in of_source.values()}
    return np.array([k for levels in of_source.values() for k in levels if k not in references], dtype=np.intp)


def _shares(axes: Integers, observed: Floats, recorded: Flags, events: tuple[Event, ...]) -> Floats:
    """(level axes,) share of each level among the patients whose category is recorded."""
    known = recorded.sum(axis=0)
    return np.array([observed[k, k] / max(known[events[k].source], 1) for k in axes], dtype=float)


def _precision(points: Floats) -> Floats:
    """Inverse of the shrunk covariance of centred points (n, axes)."""
    if not points.shape[1]:
        return np.empty((0, 0))
    covariance = ledoit_wolf(points, assume_centered=True)[0]
    return np.asarray(np.linalg.pinv(covariance, hermitian=True))


def _mahalanobis(points: Floats, precision: Floats) -> Floats:
    """(m,) distance of centred points (m, axes)."""
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", points, precision, points).clip(min=0.0)))


def _strangeness(tail_logs: Floats) -> Floats:
    """(m,) negative logarithm of the smallest tail probability in proportion to its budget."""
    return np.asarray((tail_logs + np.log(BUDGET)).max(axis=1))


def _tail_logs(scores: Floats, own: Floats) -> Floats:
    """(m, scores) negative logarithm of tail probabilities among the cohort's own scores (n, scores), ascending.

    Above the score of a share `TAIL` of the cohort the tail is exponential with the mean excess of those beyond it.
    """
    count = len(own)
    anchor = np.quantile(own, 1.0 - TAIL, axis=0)
    beyond = own > anchor
    excess = np.where(beyond, own - anchor, 0.0).sum(axis=0) / np.maximum(beyond.sum(axis=0), 1)
    start = np.log((count + 1.0) / (beyond.sum(axis=0) + 1.0))
    ranks = np.column_stack([np.searchsorted(own[:, k], scores[:, k]) for k in range(own.shape[1])])
    ranked = np.minimum(np.log((count + 1.0) / (count - ranks + 1.0)), start)
    return np.asarray(np.where(scores > anchor, start + (scores - anchor) / np.where(excess > 0, excess, 1.0), ranked))
