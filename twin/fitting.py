"""A cohort in, a fitted twin out: one model per landmark and outcome, each refitted on resamples of the patients."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np

from data.cohort import Cohort, content_digest
from data.errors import Refused
from data.schema import Outcome, OutcomeKind
from twin.arrays import Floats
from twin.capability import MIN_EVENTS, Subject
from twin.models.estimators import Ridge, fit_binary, fit_hazard
from twin.models.followup import EVENT, FIRST_DAY_MONTHS, FORESTALLED, FollowUp, episodes, follow_up
from twin.models.hazard import Episodes
from twin.models.outcome import BinaryModel
from twin.prediction import FittedTwin
from twin.sample import Cut, Sample
from twin.stage import Origin, OutcomeHazards, Stage
from twin.support import SupportModel
from twin.threads import one_thread

LIBRARIES: Final = ("numpy", "scipy", "pandas", "scikit-learn", "lifelines")
FEWEST_REFITS: Final = 20

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done."""


@dataclass(frozen=True)
class FitSettings:
    """How a twin is fitted.

    Raises:
        Refused: too few refits for an interval, or an interval that is not between 0 and 1.
    """

    refits: int = 200
    """Resamples of the patients that every model is refitted on"""
    seed: int = 0
    """Of the resamples, and of the folds that choose the penalties"""
    interval: float = 0.90
    """Share of the refits within an interval"""
    hazard_decision_prior_sd: float = 0.35
    """Ridge penalty of the decisions: standard deviation of a normal prior on their log hazard ratios. 95 % of it lies
    within a hazard ratio of 2 in either direction, wider than what trials of treatment sequences have found."""
    binary_decision_prior_sd: float = 1.0
    """The same on their log odds ratios; effects on toxicity are larger (within a ratio of 7)."""

    def __post_init__(self) -> None:
        if self.refits < FEWEST_REFITS:
            raise Refused(f"{self.refits} refits", remedy=f"ask for {FEWEST_REFITS} or more: fewer are no interval")
        if not 0 < self.interval < 1:
            raise Refused(f"interval {self.interval:g}", remedy="give a share between 0 and 1, such as 0.9")


def fit_twin(cohort: Cohort, settings: FitSettings | None = None, progress: Progress | None = None) -> FittedTwin:
    """Fit a twin on a cohort.

    Ridge Cox models for every time-to-event outcome (cause-specific where another event can forestall it) and ridge
    logistic models for the others, at time zero and at every landmark whose states the cohort records.

    Raises:
        Refused: the cohort cannot teach a single outcome.
    """
    settings = settings or FitSettings()
    sample = Sample.of(cohort, settings.refits, settings.seed)
    offered = [cohort.spec.outcome(name) for name in sample.capability.outcomes]
    if not offered:
        reasons = "; ".join(f"{able.name}: {able.reason}" for able in sample.capability.about(Subject.OUTCOME))
        raise Refused(f"cohort '{cohort.name}' cannot teach any outcome ({reasons})", remedy="add patients or columns")
    cuts = list(sample.cuts())
    tell = _Teller(progress, len(cuts) * len(offered))
    with one_thread():
        stages = tuple(_fit_stage(cut, offered, settings, tell) for cut in cuts)
    tell("fitted")
    return FittedTwin(cohort.spec, sample.capability, _origin(cohort, settings), stages)


class _Teller:
    """Counts what is done and tells it."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, what: str) -> None:
        if self._progress is not None:
            self._progress(self._done / self._total, what)
        self._done += 1


def _fit_stage(cut: Cut, offered: list[Outcome], settings: FitSettings, tell: _Teller) -> Stage:
    hazards: dict[str, OutcomeHazards] = {}
    binaries: dict[str, BinaryModel] = {}
    for outcome in offered:
        tell(f"{outcome.label}, from month {cut.month:g}")
        if outcome.kind is OutcomeKind.BINARY:
            logistic = _binary(cut, outcome, Ridge(settings.binary_decision_prior_sd, settings.seed))
            binaries.update({outcome.name: logistic} if logistic else {})
        else:
            cox = _hazards(cut, outcome, Ridge(settings.hazard_decision_prior_sd, settings.seed))
            hazards.update({outcome.name: cox} if cox else {})
    support = SupportModel.fit(cut.inputs, cut.decisions)
    return Stage(cut.landmarks_reached, cut.month, cut.encoding, hazards, binaries, support)


def _hazards(cut: Cut, outcome: Outcome, ridge: Ridge) -> OutcomeHazards | None:
    """The hazards of an outcome from a landmark on; ``None`` where too few events follow it.

    A decision that the outcome can bring about has no effect on it in the model: it would be the outcome's own trace.
    """
    spec = cut.sample.cohort.spec
    followed = follow_up(cut.sample.cohort.frame, spec, outcome).take(cut.rows)
    events = _episodes(cut, followed, EVENT)
    if events.event.sum() < MIN_EVENTS:
        return None
    grid = _grid(cut, float(events.stop.max()))
    varied = cut.sample.varied & np.array([d.column not in outcome.triggers for d in spec.decisions], dtype=bool)
    event = fit_hazard(events, cut.counts, varied, grid, ridge)
    if outcome.competing is None:
        return OutcomeHazards(event, None)
    return OutcomeHazards(event, fit_hazard(_episodes(cut, followed, FORESTALLED), cut.counts, varied, grid, ridge))


def _episodes(cut: Cut, followed: FollowUp, cause: int) -> Episodes:
    return episodes(followed, cause, cut.inputs, cut.decisions, cut.effect_months, cut.month)


def _grid(cut: Cut, last_month: float) -> Floats:
    """Whole months, the months at which decisions can take effect, and the ends of the follow-up."""
    months = np.concatenate([np.arange(last_month), cut.sample.effect_months.ravel(), [cut.month, last_month]])
    grid = np.unique(months[(months >= cut.month) & (months <= last_month)])
    return grid if cut.month else np.union1d(grid, [FIRST_DAY_MONTHS])


def _binary(cut: Cut, outcome: Outcome, ridge: Ridge) -> BinaryModel | None:
    """The model of a yes-or-no outcome; ``None`` where too few patients have it or are free of it.

    A decision that a patient did not live to counts as not taken; one that nobody recorded leaves the patient out.
    Decisions after the month at which the outcome is judged do not enter.
    """
    sample = cut.sample
    positive = sample.cohort.frame.loc[cut.rows, outcome.event].to_numpy(dtype=float)
    lived_to = cut.followed_until[:, None] > cut.effect_months
    decisions = np.where(np.isnan(cut.decisions) & ~lived_to, 0.0, cut.decisions)
    used = ~np.isnan(positive) & ~np.isnan(decisions).any(axis=1)
    with_event, without = int((positive[used] == 1).sum()), int((positive[used] == 0).sum())
    if min(with_event, without) < MIN_EVENTS:
        return None
    before = np.array([outcome.month is None or d.month <= outcome.month for d in sample.cohort.spec.decisions], bool)
    inputs = np.hstack([cut.inputs[used], decisions[used]])
    return fit_binary(inputs, positive[used], cut.counts[:, used], sample.varied & before, ridge)


def _origin(cohort: Cohort, settings: FitSettings) -> Origin:
    return Origin(
        cohort=cohort.name,
        version=cohort.version,
        digest=content_digest(cohort.frame, cohort.spec),
        synthetic=cohort.synthetic,
        time_zero=cohort.time_zero,
        patients=cohort.size,
        refits=settings.refits,
        seed=settings.seed,
        interval=settings.interval,
        libraries={"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    )
