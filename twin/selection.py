"""Candidates for the hazards of an outcome in, their cross-validated scores and the one that serves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from data.errors import Refused
from twin.arrays import Flags, Floats, Integers
from twin.metrics.accuracy import integrated_brier
from twin.metrics.discrimination import harrell_c
from twin.metrics.intervals import over_resamples, resample_counts
from twin.metrics.observed import COMPETING, EVENT, Observed
from twin.models.candidates.folds import even_folds
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.candidates.protocol import Candidate, HazardData
from twin.threads import one_thread

RESAMPLES: Final = 200
"""Of the patients, for the standard error of a difference"""
GRID_STEP_MONTHS: Final = 1.0

Progress: TypeAlias = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done."""


@dataclass(frozen=True)
class CandidateScore:
    """How well one candidate predicts patients on whom it was not fitted."""

    name: str
    label: str
    integrated_brier: float
    """Mean Brier score from the first month to the last horizon: 0 is perfect"""
    harrell_c: float | None
    """Of the risk by the last horizon, patients of one fold compared; ``None`` without comparable pairs"""
    difference: float
    """Its integrated Brier score less that of the plain candidate"""
    standard_error: float
    """Of the difference, over resamples of the patients"""
    serves: bool


@dataclass(frozen=True)
class Selection:
    """Which candidate serves, and why."""

    scores: tuple[CandidateScore, ...]
    """In the order in which the candidates were given; the first is the plain one"""
    folds: int
    horizon: float
    """Months up to which the integrated Brier score was taken"""
    patients: int
    events: int

    @property
    def serving(self) -> CandidateScore:
        """The candidate that serves."""
        return next(score for score in self.scores if score.serves)

    @property
    def sentence(self) -> str:
        """Who serves and why, for a page."""
        serving, plain = self.serving, self.scores[0]
        best = min(self.scores, key=lambda score: score.integrated_brier)
        opening = f"{serving.label[:1].upper()}{serving.label[1:]} serves: its integrated Brier score "
        opening += f"{serving.integrated_brier:.4f} is "
        if serving is not best:
            within = f"within one standard error ({best.standard_error:.4f}) of the best, "
            return f"{opening}{within}{best.label} {best.integrated_brier:.4f}"
        if serving is plain:
            return f"{opening}the lowest of {len(self.scores)} candidates"
        beyond = f"below that of {plain.label}, {plain.integrated_brier:.4f}, by more than one standard error"
        return f"{opening}{beyond} ({serving.standard_error:.4f})"


def select(
    data_by_cause: Mapping[int, HazardData],
    observed: Observed,
    candidates: Sequence[Candidate],
    folds: int,
    seed: int,
    horizons: Sequence[float],
    progress: Progress | None = None,
    asked: Floats | None = None,
) -> Selection:
    """Cross-validate candidates on the same folds and let the best serve, or the plain one where it is as good.

    The first candidate is the plain one. The lowest integrated Brier score serves, unless it is within one standard
    error of that of the plain candidate: then the plain one does (the rule of Breiman et al. 1984,
    doi:10.1201/9781315139470, section 3.4.3). The standard error is that of the paired difference over bootstrap
    resamples of the patients; it leaves the fitted models as they are.

    A candidate is fitted on the training part alone, and whatever it chooses it chooses within that part. Held-out
    patients are predicted under the decisions they had, as far as they were followed; the last ones stay in effect.
    All candidates have the same decisions, and their effects are given. Patients without an episode are left out.

    Where values are missing, the inputs of `data_by_cause` may be guesses that know the outcome. A patient who is held
    out must not bring such guesses along: `asked` holds those from the record alone.

    Args:
        data_by_cause: Episodes of the event, under `twin.metrics.observed.EVENT`, and where another event can forestall
            it of that one, under `COMPETING`. Their `patient` is a position in `observed`, the same patients in both,
            and all are watched from the same month on.
        observed: n patients.
        candidates: The plain one first.
        folds: Parts of the patients, each held out once.
        seed: Of the folds, of the fits and of the resamples.
        horizons: Months; scores are integrated up to the last one.
        progress: Told after each fit.
        asked: (copies, n, p) completed inputs by which held-out patients are predicted, their risks averaged over the
            copies; those of `data_by_cause` by default.

    Raises:
        Refused: fewer events than folds, or a horizon beyond the follow-up of a training part.
        ValueError: no candidates, two of one name, no data of the event, or different patients in the two causes.
    """
    _check(data_by_cause, candidates)
    with_episodes = np.unique(data_by_cause[EVENT].episodes.patient)
    position = np.searchsorted(with_episodes, np.arange(observed.size))
    data_by_cause = {cause: data.renumbered(position) for cause, data in data_by_cause.items()}
    observed = observed.take(with_episodes)
    if observed.events < folds:
        raise Refused(
            f"{observed.events} events cannot be spread over {folds} folds", remedy="use a cohort with more events"
        )
    fold = even_folds(observed.event, folds, seed)
    task = _Task.of(data_by_cause, fold, horizons, None if asked is None else asked[:, with_episodes])
    with one_thread():
        risks = task.risks(candidates, seed, progress or _silent)
        return _selection(task, observed, candidates, risks, seed)


def serves(integrated_brier: Floats, standard_errors: Floats) -> int:
    """Position of the candidate that serves.

    Args:
        integrated_brier: (candidates,) the plain one first.
        standard_errors: (candidates,) of the paired difference of each to the plain one.
    """
    best = int(np.argmin(integrated_brier))
    return best if integrated_brier[0] - integrated_brier[best] > standard_errors[best] else 0


def _silent(fraction: float, what: str) -> None:
    """Progress that nobody watches."""


def _check(data_by_cause: Mapping[int, HazardData], candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"candidates {names}: at least one, each with a name of its own")
    if EVENT not in data_by_cause or not set(data_by_cause) <= {EVENT, COMPETING}:
        raise ValueError(f"causes {sorted(data_by_cause)}: expected {EVENT}, and {COMPETING} where there is a rival")
    patients = [set(data.episodes.patient.tolist()) for data in data_by_cause.values()]
    if any(one != patients[0] for one in patients):
        raise ValueError("both causes must have episodes of the same patients")


@dataclass(frozen=True, eq=False)
class _Cause:
    """The episodes of one cause, and what its held-out patients are predicted from."""

    data: HazardData
    asked: Floats
    """(copies, n, p)"""
    ratios: Floats
    """(n, cells) hazard ratio of the decisions in effect"""

    @classmethod
    def of(cls, data: HazardData, edges: Floats, patients: int, asked: Floats | None) -> _Cause:
        """One cause on the cells between `edges`."""
        offsets = np.zeros((patients, len(edges) - 1))
        if asked is None:
            asked = np.empty((1, patients, data.episodes.inputs.shape[1]))
            asked[0, data.episodes.patient] = data.episodes.inputs
        for start in np.unique(data.episodes.start):
            rows = data.episodes.start == start
            offsets[data.episodes.patient[rows], np.searchsorted(edges[:-1], start) :] = data.offset[rows, None]
        return cls(data, asked, np.exp(offsets))

    def held_out(self, candidate: Candidate, training: Flags, edges: Floats, seed: int) -> Floats:
        """(copies, held-out patients, cells) cumulative hazard by a fit on the patients of a mask (n,)."""
        fitted = candidate.fit(self.data.take(training[self.data.episodes.patient]), seed)
        by_copy = np.stack([fitted.increments(inputs, edges) for inputs in self.asked[:, ~training]])
        return np.asarray(by_copy * self.ratios[~training])


@dataclass(frozen=True, eq=False)
class _Task:
    """What every candidate has to predict."""

    event: _Cause
    rival: _Cause | None
    fold: Integers
    """(n,)"""
    months: Floats
    """(m,) at which risks are scored, from the origin to the last horizon"""
    edges: Floats
    """The months, and those at which a decision takes effect in between"""

    @classmethod
    def of(
        cls,
        data_by_cause: Mapping[int, HazardData],
        fold: Integers,
        horizons: Sequence[float],
        asked: Floats | None,
    ) -> _Task:
        """The task of an outcome.

        Raises:
            Refused: nobody of a training part is followed to the last horizon.
        """
        origin, last = data_by_cause[EVENT].origin, float(max(horizons))
        for data in data_by_cause.values():
            reached = min(data.take(fold[data.episodes.patient] != k).last_month for k in np.unique(fold))
            if last > reached:
                raise Refused(f"horizon {last:g} months", remedy=f"parts of the patients are followed to {reached:g}")
        months = np.union1d(np.arange(origin, last, GRID_STEP_MONTHS), [h for h in horizons if h > origin])
        starts = np.concatenate([data.episodes.start for data in data_by_cause.values()])
        edges = np.union1d(months, starts[starts < last])
        causes = {cause: _Cause.of(data, edges, len(fold), asked) for cause, data in data_by_cause.items()}
        return cls(causes[EVENT], causes.get(COMPETING), fold, months, edges)

    def risks(self, candidates: Sequence[Candidate], seed: int, told: Progress) -> Floats:
        """(candidates, n, m) risks of all patients, each held out once."""
        result = np.empty((len(candidates), len(self.fold), len(self.months)))
        parts = np.unique(self.fold)
        read = np.searchsorted(self.edges, self.months)
        for k, part in enumerate(parts):
            training = self.fold != part
            for row, candidate in enumerate(candidates):
                done = (k * len(candidates) + row) / (len(parts) * len(candidates))
                told(done, f"{candidate.label} without fold {k + 1}")
                event = self.event.held_out(candidate, training, self.edges, seed)
                rival = self.rival.held_out(candidate, training, self.edges, seed) if self.rival else None
                result[row, ~training] = cumulative_incidence(event, rival)[..., read].mean(axis=0)
        told(1.0, "candidates compared")
        return result


def _selection(task: _Task, observed: Observed, candidates: Sequence[Candidate], risks: Floats, seed: int) -> Selection:
    weights = np.empty(observed.size)
    weights[task.event.data.episodes.patient] = task.event.data.weights
    counts = resample_counts(observed.size, RESAMPLES, seed) * weights
    brier = np.stack([_integrated_brier(observed, risk, task.months, counts) for risk in risks])
    differences = brier - brier[0]
    errors = np.nanstd(differences[:, 1:], axis=1, ddof=1)
    chosen = serves(brier[:, 0], errors)
    return Selection(
        scores=tuple(
            CandidateScore(
                name=candidate.name,
                label=candidate.label,
                integrated_brier=float(brier[k, 0]),
                harrell_c=_concordance(observed, risks[k], counts[:1], task.fold),
                difference=float(differences[k, 0]),
                standard_error=float(errors[k]),
                serves=k == chosen,
            )
            for k, candidate in enumerate(candidates)
        ),
        folds=len(np.unique(task.fold)),
        horizon=float(task.months[-1]),
        patients=observed.size,
        events=observed.events,
    )


def _integrated_brier(observed: Observed, risk: Floats, months: Floats, counts: Floats) -> Floats:
    return over_resamples(lambda some: integrated_brier(observed, risk, months, some), counts)


def _concordance(observed: Observed, risk: Floats, counts: Floats, fold: Integers) -> float | None:
    found = float(harrell_c(observed, risk[:, -1], counts, fold)[0])
    return found if np.isfinite(found) else None
