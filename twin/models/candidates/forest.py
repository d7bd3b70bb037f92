"""A forest of hazards: episodes in, many trees of the inputs out, each leaf with a hazard by cell of time.

A tree splits by the likelihood of proportional hazards with the baseline held at that of all patients (LeBlanc &
Crowley 1992, doi:10.2307/2532300): events against expected events, a Poisson regression tree of scikit-learn with one
row an episode. As in a random survival forest (Ishwaran et al. 2008, doi:10.1214/08-AOAS169) trees are grown on
resamples of the patients with few inputs offered at each split, and leaves keep a hazard in time, not one number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np

from twin.arrays import AS_THEY_ARE, Floats, Integers
from twin.models.candidates.periods import (
    MarginalHazard,
    PersonPeriods,
    cell_edges,
    marginal_rates,
    only_the_average,
    over_edges,
    person_periods,
)
from twin.models.candidates.protocol import HazardData

TREES: Final = 150
TREES_TO_CHOOSE: Final = 60
LEAF_EVENTS: Final = (3.0, 6.0, 12.0, 24.0)
"""Expected events that a leaf needs, to choose from"""
INPUTS_OFFERED: Final = "sqrt"
"""At each split: the square root of their number, as in random survival forests"""
LEAF_PRIOR_EVENTS: Final = 2.0
"""A leaf's events against the expected ones, shrunk to 1 as if by this many events more that were as expected"""
CELL_PRIOR_EVENTS: Final = 4.0
"""The same of a leaf's events in one cell, shrunk to what the whole leaf has: hazards are proportional unless a leaf
shows otherwise"""
SLOPE_PENALTY: Final = 1e-6
"""Keeps the slope finite where no tree has split"""
VALUES_AT_ONCE: Final = 4_000_000
"""Hazard ratios looked up together, 32 MB"""


@dataclass(frozen=True, eq=False)
class ForestHazard:
    """Marginal hazard times the recalibrated mean ratio of the leaves that a patient falls into.

    The nodes of all trees stand behind each other. Level and slope of the recalibration are those of patients out of
    the bag: the mean over trees is too high (a leaf with many events has short follow-up, hence many patients for its
    expected events) and, where there is little to learn, too wide.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    cells: Floats
    """(cells + 1,) months"""
    roots: Integers
    """(trees,) position of the first node of each tree"""
    feature: Integers
    """(nodes,) input that a node asks for; 0 in a leaf"""
    threshold: Floats
    """(nodes,) values up to it go left"""
    left: Integers
    """(nodes,) position of the next node; a leaf's own"""
    right: Integers
    """(nodes,)"""
    ratios: Floats
    """(nodes, cells) hazard against the marginal one; 0 in nodes that are no leaves"""
    depth: int
    """Steps from a root to the farthest leaf"""
    marginal: Floats
    """(cells,) events a month of everybody"""
    level: float
    """Added to the log of the mean ratio"""
    slope: float
    """Multiplies the log of the mean ratio"""
    kind: Literal["forest"] = "forest"

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) as by `FittedHazard`."""
        ratios = np.empty((len(inputs), len(self.marginal)))
        blocks = max(1, -(-ratios.size * len(self.roots) // VALUES_AT_ONCE))
        for rows in np.array_split(np.arange(len(inputs)), blocks):
            ratios[rows] = self.ratios[self._leaves(inputs[rows])].mean(axis=1)
        rates = self.marginal * np.exp(self.level + self.slope * np.log(ratios))
        return over_edges(rates, self.cells, edges)

    def _leaves(self, inputs: Floats) -> Integers:
        """(n, trees) node at which each patient ends."""
        known = inputs.astype(np.float32)  # the precision in which scikit-learn compared them
        node = np.tile(self.roots, (len(inputs), 1))
        rows = np.arange(len(inputs))[:, None]
        for _ in range(self.depth):
            goes_left = known[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return node


@dataclass(frozen=True)
class HazardForest:
    """Candidate: a random forest of relative risk trees with hazards by time in their leaves."""

    leaf_events: float | None = None
    """Chosen by the likelihood of patients out of the bag where ``None``"""

    name: ClassVar = "forest"
    label: ClassVar = "hazard forest"

    def fit(self, data: HazardData, seed: int) -> ForestHazard | MarginalHazard:
        """As by `Candidate`."""
        if only_the_average(data):
            return MarginalHazard.fit(data)
        task = _Task.of(data)
        leaf_events = self.leaf_events or _best(task, seed)
        return _joined(task, _grown(task, leaf_events, TREES, seed))

    def tuned(self, data: HazardData, seed: int) -> HazardForest:
        """The candidate with the settings that `data` speaks for."""
        return self if only_the_average(data) else HazardForest(self.leaf_events or _best(_Task.of(data), seed))


@dataclass(frozen=True, eq=False)
class _Tree:
    """A grown tree: scikit-learn's nodes, and the hazard ratios of each."""

    nodes: Any
    ratios: Floats


@dataclass(frozen=True, eq=False)
class _Task:
    """What all trees of a forest share."""

    data: HazardData
    edges: Floats
    periods: PersonPeriods
    marginal: Floats
    """(cells,) events a month"""
    of_patient: Integers
    """(m,) position of the patient of each episode"""
    patients: int
    known: Any
    """(m, p) inputs in single precision"""
    expected: Floats
    """(m,) events that each episode would have at the marginal hazard"""

    @classmethod
    def of(cls, data: HazardData) -> _Task:
        """The task of some episodes."""
        edges = cell_edges(data)
        periods = person_periods(data, edges)
        marginal = marginal_rates(periods, len(edges) - 1)
        patients, of_patient = np.unique(data.episodes.patient, return_inverse=True)
        rows = len(data.episodes.stop)
        hazard = periods.exposure * marginal[periods.cell]
        expected = np.asarray(np.bincount(periods.episode, hazard, minlength=rows), dtype=np.float64)
        known = data.episodes.inputs.astype(np.float32)
        return cls(data, edges, periods, marginal, of_patient, len(patients), known, expected)

    def trees(self, leaf_events: float, count: int, seed: int) -> Iterator[tuple[_Tree, Floats]]:
        """`count` trees, each with how often every episode's patient was drawn for it (m,)."""
        rng = np.random.default_rng(seed)
        for _ in range(count):
            drawn = self._drawn(rng)
            yield self._tree(leaf_events, drawn, int(rng.integers(2**31))), drawn

    def _drawn(self, rng: np.random.Generator) -> Floats:
        """(m,) how often each episode's patient is in a resample with at least one event: without, no tree grows."""
        while True:
            counts = rng.multinomial(self.patients, np.full(self.patients, 1.0 / self.patients)).astype(float)
            drawn = counts[self.of_patient]
            if drawn[self.data.episodes.event].any():
                return np.asarray(drawn)

    def _tree(self, leaf_events: float, drawn: Floats, seed: int) -> _Tree:
        from sklearn.tree import DecisionTreeRegressor

        used = drawn > 0
        expected = (drawn * self.data.weights * self.expected)[used]
        tree = DecisionTreeRegressor(
            criterion="poisson",
            min_weight_fraction_leaf=min(0.5, leaf_events / (expected.sum() / self.data.weights.mean())),
            max_features=INPUTS_OFFERED,
            random_state=seed,
        )
        ratio = self.data.episodes.event[used] / self.expected[used]
        nodes = tree.fit(self.known[used], ratio, sample_weight=expected).tree_
        return _Tree(nodes, self._ratios(nodes, drawn))

    def _ratios(self, nodes: Any, drawn: Floats) -> Floats:
        """(nodes, cells) events against expected events of the episodes drawn."""
        weight = self.periods.weight / self.data.weights.mean() * drawn[self.periods.episode]
        place = nodes.apply(self.known)[self.periods.episode] * len(self.marginal) + self.periods.cell
        shape = (nodes.node_count, len(self.marginal))
        size = shape[0] * shape[1]
        hazard = self.periods.exposure * self.marginal[self.periods.cell]
        events = np.bincount(place, weight * self.periods.event, minlength=size).reshape(shape)
        expected = np.bincount(place, weight * hazard, minlength=size).reshape(shape)
        whole = (events.sum(axis=1) + LEAF_PRIOR_EVENTS) / (expected.sum(axis=1) + LEAF_PRIOR_EVENTS)
        return np.asarray((events + CELL_PRIOR_EVENTS * whole[:, None]) / (expected + CELL_PRIOR_EVENTS))


@dataclass(frozen=True, eq=False)
class _Grown:
    """A forest, and how its trees predict patients for whom they were not grown."""

    trees: list[_Tree]
    level: float
    slope: float
    likelihood: float
    """Of the patients out of the bag, after recalibration"""


def _grown(task: _Task, leaf_events: float, count: int, seed: int) -> _Grown:
    """A forest with its out-of-bag recalibration (Breiman 2001, doi:10.1023/A:1010933404324, section 3.1)."""
    total, trees = np.zeros((len(task.expected), len(task.marginal))), np.zeros(len(task.expected))
    kept = []
    for tree, drawn in task.trees(leaf_events, count, seed):
        kept.append(tree)
        out = drawn == 0
        total[out] += tree.ratios[tree.nodes.apply(task.known[out])]
        trees += out
    periods = task.periods.take((trees > 0)[task.periods.episode])
    log_ratio = np.log(total[periods.episode, periods.cell] / trees[periods.episode])
    level, slope = _recalibration(task, periods, log_ratio)
    rates = task.marginal[periods.cell] * np.exp(level + slope * log_ratio)
    return _Grown(kept, level, slope, periods.likelihood(rates))


def _recalibration(task: _Task, periods: PersonPeriods, log_ratio: Floats) -> tuple[float, float]:
    """Level and slope of the log hazard ratio against what happened."""
    from sklearn.linear_model import PoissonRegressor

    expected = periods.exposure * task.marginal[periods.cell]
    model = PoissonRegressor(alpha=SLOPE_PENALTY, solver="newton-cholesky")
    model.fit(log_ratio[:, None], periods.event / expected, sample_weight=periods.weight * expected)
    if model.coef_[0] > 0:
        return float(model.intercept_), float(model.coef_[0])
    # Trees that rank patients the wrong way round have learnt nothing: everybody has the average.
    return float(np.log(periods.weight @ periods.event / (periods.weight @ expected))), 0.0


def _best(task: _Task, seed: int) -> float:
    """The leaf size with the highest likelihood of patients by the trees for which they were not drawn."""
    return max(LEAF_EVENTS, key=lambda leaf_events: _grown(task, leaf_events, TREES_TO_CHOOSE, seed).likelihood)


def _joined(task: _Task, grown: _Grown) -> ForestHazard:
    trees = grown.trees
    sizes = np.array([tree.nodes.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    own = np.arange(sizes.sum())
    left = np.concatenate([tree.nodes.children_left + root for tree, root in zip(trees, roots, strict=True)])
    right = np.concatenate([tree.nodes.children_right + root for tree, root in zip(trees, roots, strict=True)])
    feature = np.concatenate([tree.nodes.feature for tree in trees])
    leaf = feature < 0
    return ForestHazard(
        cells=task.edges,
        roots=roots,
        feature=np.where(leaf, 0, feature),
        threshold=np.where(leaf, 0.0, np.concatenate([tree.nodes.threshold for tree in trees])),
        left=np.where(leaf, own, left),
        right=np.where(leaf, own, right),
        ratios=np.where(leaf[:, None], np.concatenate([tree.ratios for tree in trees]), 0.0),
        marginal=task.marginal,
        level=grown.level,
        slope=grown.slope,
        depth=max(int(tree.nodes.max_depth) for tree in trees),
    )
