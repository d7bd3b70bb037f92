"""Which candidate serves: by hand-made numbers, by fits that are known, and in worlds whose winner is known."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from test_candidates import PlainCox, exponential, some_inputs, steps

from data.errors import Refused
from twin.metrics.accuracy import brier_curve, integrated_brier
from twin.metrics.discrimination import harrell_c
from twin.metrics.observed import COMPETING, EVENT, Observed
from twin.models.candidates.boosting import BoostingSettings, GradientBoosting
from twin.models.candidates.discrete import DiscreteSettings, DiscreteTime
from twin.models.candidates.folds import even_folds
from twin.models.candidates.forest import HazardForest
from twin.models.candidates.protocol import HazardData
from twin.models.hazard import Episodes
from twin.selection import CandidateScore, Selection, select, serves

HORIZONS = (12.0, 24.0)
MONTHS = np.arange(0.0, 25.0)


@dataclass(frozen=True, eq=False)
class Constant:
    """A hazard that is known: the rate times the exponential of the first input."""

    rate: float
    seen: frozenset[float]

    def increments(self, inputs: np.ndarray, edges: np.ndarray) -> np.ndarray:
        assert self.seen.isdisjoint(inputs[:, -1]), "a patient is predicted by a fit that saw that patient"
        return self.rate * np.exp(inputs[:, :1]) * np.diff(edges)


@dataclass(frozen=True, eq=False)
class Known:
    """A candidate that returns what it was told, and remembers whom it was shown (the last input is the patient)."""

    rate: float
    name: str = "known"
    rival_rate: float = 0.0
    label: str = "known hazard"
    shown: list[frozenset[float]] = field(default_factory=list)

    def fit(self, data: HazardData, seed: int) -> Constant:
        self.shown.append(frozenset(data.episodes.inputs[:, -1]))
        is_rival = bool(data.episodes.inputs[0, 1])
        return Constant(self.rival_rate if is_rival else self.rate, self.shown[-1])


def of_patients(first: np.ndarray, *, rival: bool = False) -> np.ndarray:
    """Inputs that carry which cause the data is of, and who the patient is."""
    return np.column_stack([first, np.full(len(first), float(rival)), np.arange(len(first))])


def seen(data: HazardData) -> Observed:
    return Observed(data.episodes.stop, data.episodes.event.astype(np.int64))


def scored(name: str, brier: float, error: float, plain: float, chosen: bool) -> CandidateScore:
    return CandidateScore(name, f"{name} model", brier, 0.7, brier - plain, error, chosen)


@pytest.mark.parametrize(
    ("brier", "errors", "chosen"),
    [
        ([0.171, 0.170], [0.0, 0.002], 0),
        ([0.171, 0.168], [0.0, 0.002], 1),
        ([0.170, 0.171], [0.0, 0.0001], 0),
        ([0.175, 0.170, 0.165], [0.0, 0.001, 0.02], 0),
        ([0.175, 0.165, 0.170], [0.0, 0.005, 0.001], 1),
        ([0.25, 0.125], [0.0, 0.125], 0),
        ([0.25, 0.25], [0.0, 0.0], 0),
    ],
)
def test_the_lowest_serves_unless_the_plain_one_is_within_a_standard_error(
    brier: list[float], errors: list[float], chosen: int
) -> None:
    assert serves(np.array(brier), np.array(errors)) == chosen


@pytest.mark.parametrize(
    ("brier", "error", "chosen", "said"),
    [
        (
            0.170,
            0.002,
            0,
            "Ridge model serves: its integrated Brier score 0.1710 is within one standard error (0.0020) of the best, "
            "tree model 0.1700",
        ),
        (
            0.165,
            0.002,
            1,
            "Tree model serves: its integrated Brier score 0.1650 is below that of ridge model, 0.1710, by more "
            "than one standard error (0.0020)",
        ),
        (0.172, 0.002, 0, "Ridge model serves: its integrated Brier score 0.1710 is the lowest of 2 candidates"),
    ],
)
def test_a_page_can_say_who_serves_and_why(brier: float, error: float, chosen: int, said: str) -> None:
    scores = (
        scored("ridge", 0.171, 0.0, 0.171, chosen == 0),
        scored("tree", brier, error, 0.171, chosen == 1),
    )
    assert Selection(scores, folds=5, horizon=60.0, patients=500, events=200).sentence == said


def test_scores_are_the_metrics_of_known_hazards() -> None:
    inputs = of_patients(some_inputs(400, 1, 0)[:, 0])
    data = exponential(0.02 * np.exp(inputs[:, 0]), inputs, 1)
    observed = seen(data)
    found = select({EVENT: data}, observed, [Known(0.05, "wrong"), Known(0.02, "true")], 5, 0, HORIZONS)
    ratio = np.exp(inputs[:, :1])
    for score, rate in zip(found.scores, (0.05, 0.02), strict=True):
        risk = 1.0 - np.exp(-rate * ratio * MONTHS)
        assert score.integrated_brier == pytest.approx(integrated_brier(observed, risk, MONTHS)[0], rel=1e-9)
        strata = even_folds(observed.event, 5, 0)
        assert score.harrell_c == pytest.approx(harrell_c(observed, risk[:, -1], strata=strata)[0], rel=1e-9)
    assert found.scores[1].difference == found.scores[1].integrated_brier - found.scores[0].integrated_brier
    assert found.serving.name == "true"
    assert (found.patients, found.events, found.horizon, found.folds) == (400, observed.events, 24.0, 5)


def test_the_standard_error_of_a_paired_difference_is_the_textbook_one_without_censoring() -> None:
    inputs = of_patients(some_inputs(600, 1, 2)[:, 0])
    rng = np.random.default_rng(3)
    stop = np.minimum(rng.exponential(1.0 / (0.03 * np.exp(inputs[:, 0]))), 30.0)
    cut = Episodes(inputs, np.zeros(600), stop, stop < 30.0, np.arange(600))
    data = HazardData(cut, np.zeros(600), np.ones(600))
    found = select({EVENT: data}, seen(data), [Known(0.06, "wrong"), Known(0.03, "true")], 5, 0, HORIZONS)
    had = stop[:, None] <= MONTHS
    squares = [(had - 1.0 + np.exp(-rate * np.exp(inputs[:, :1]) * MONTHS)) ** 2 for rate in (0.06, 0.03)]
    each = np.trapezoid(squares[1] - squares[0], MONTHS, axis=1) / 24.0
    assert found.scores[1].difference == pytest.approx(each.mean(), rel=1e-9)
    assert found.scores[1].standard_error == pytest.approx(each.std() / np.sqrt(600), rel=0.15)
    assert (found.scores[0].difference, found.scores[0].standard_error) == (0.0, 0.0)


def test_a_rival_is_combined_into_the_cumulative_incidence() -> None:
    rng = np.random.default_rng(4)
    event, rival = rng.exponential(1 / 0.02, 300), rng.exponential(1 / 0.03, 300)
    stop = np.minimum(np.minimum(event, rival), rng.uniform(20.0, 60.0, 300))
    cause = np.where(stop == event, EVENT, np.where(stop == rival, COMPETING, 0))
    by_cause = {
        one: HazardData(
            Episodes(
                of_patients(np.zeros(300), rival=one == COMPETING), np.zeros(300), stop, cause == one, np.arange(300)
            ),
            np.zeros(300),
            np.ones(300),
        )
        for one in (EVENT, COMPETING)
    }
    observed = Observed(stop, cause.astype(np.int64))
    known = Known(0.02, rival_rate=0.03)
    found = select(by_cause, observed, [known], 5, 0, HORIZONS)
    risk = np.tile(0.4 * (1.0 - np.exp(-0.05 * MONTHS)), (300, 1))
    assert found.scores[0].integrated_brier == pytest.approx(integrated_brier(observed, risk, MONTHS)[0], rel=1e-9)
    assert len(known.shown) == 10


def test_nobody_is_predicted_by_a_fit_that_saw_them_and_everybody_is_held_out_once() -> None:
    """`Constant` itself refuses patients whom its fit was shown."""
    data = exponential(np.full(203, 0.03), of_patients(np.zeros(203)), 5)
    known = Known(0.03)
    select({EVENT: data}, seen(data), [known], 5, 0, HORIZONS)
    held_out = [set(range(203)) - shown for shown in known.shown]
    assert sorted(len(one) for one in held_out) == [40, 40, 41, 41, 41]
    assert set.union(*held_out) == set(range(203))


def test_decisions_act_on_the_held_out_from_their_month_on() -> None:
    """A decision in month 6.5 that triples the hazard of whoever is followed to it."""
    decided = np.arange(400) % 2 == 0
    death = steps(np.full(400, 0.02), np.where(decided, 0.06, 0.02), 6.5, 6)
    stop = np.minimum(death, 48.0)
    goes_on = stop > 6.5
    first = Episodes(
        of_patients(np.zeros(400)), np.zeros(400), np.minimum(stop, 6.5), (death == stop) & ~goes_on, np.arange(400)
    )
    later = replace(first, start=np.full(400, 6.5), stop=stop, event=death == stop).take(goes_on)
    cut = Episodes(
        *(
            np.concatenate([getattr(first, name), getattr(later, name)])
            for name in ("inputs", "start", "stop", "event")
        ),
        patient=np.concatenate([first.patient, later.patient]),
    )
    offset = np.concatenate([np.zeros(400), np.where(decided[goes_on], np.log(3.0), 0.0)])
    data = HazardData(cut, offset, np.ones(len(offset)))
    observed = Observed(stop, (death == stop).astype(np.int64))
    found = select({EVENT: data}, observed, [Known(0.02)], 5, 0, HORIZONS)
    extra = np.where(decided & goes_on, 0.04, 0.0)[:, None] * np.maximum(MONTHS - 6.5, 0.0)
    risk = 1.0 - np.exp(-0.02 * MONTHS - extra)
    assert found.scores[0].integrated_brier == pytest.approx(integrated_brier(observed, risk, MONTHS)[0], rel=1e-9)


def test_patients_are_scored_as_much_as_they_weigh() -> None:
    data = exponential(np.full(200, 0.03), of_patients(np.zeros(200)), 7)
    weights = np.random.default_rng(8).uniform(0.2, 3.0, 200)
    found = select({EVENT: replace(data, weights=weights)}, seen(data), [Known(0.03)], 5, 0, HORIZONS)
    risk = np.tile(1.0 - np.exp(-0.03 * MONTHS), (200, 1))
    wanted = integrated_brier(seen(data), risk, MONTHS, weights[None, :])[0]
    assert found.scores[0].integrated_brier == pytest.approx(wanted, rel=1e-9)


WORLD_CANDIDATES = (
    PlainCox(),
    DiscreteTime(DiscreteSettings(0.35, 0.1)),
    GradientBoosting(BoostingSettings(depth=3, rounds=100)),
    HazardForest(12.0),
)
"""Settings given, so that the folds take seconds; choosing them is tested with each candidate."""


def test_patients_without_an_episode_are_left_out() -> None:
    data = exponential(np.full(200, 0.03), of_patients(np.zeros(200)), 16)
    kept = np.arange(200) % 7 != 0
    few = select({EVENT: data.take(kept)}, seen(data), [Known(0.03)], 5, 0, HORIZONS)
    risk = np.tile(1.0 - np.exp(-0.03 * MONTHS), (int(kept.sum()), 1))
    wanted = integrated_brier(seen(data).take(kept), risk, MONTHS)[0]
    assert few.scores[0].integrated_brier == pytest.approx(wanted, rel=1e-9)
    assert few.patients == kept.sum()


def test_where_hazards_are_proportional_and_linear_cox_serves() -> None:
    inputs = some_inputs(500, 6, 9)
    data = exponential(0.025 * np.exp(inputs @ [1.0, 0.7, -0.5, 0.3, 0.0, 0.0]), inputs, 10)
    found = select({EVENT: data}, seen(data), WORLD_CANDIDATES, 5, 0, HORIZONS)
    assert found.serving.name == "cox"
    assert found.sentence.startswith("Ridge Cox serves")


def test_where_hazards_are_a_checkerboard_trees_serve() -> None:
    inputs = some_inputs(500, 4, 11)
    data = exponential(np.where((inputs[:, 0] > 0) ^ (inputs[:, 1] > 0), 0.08, 0.008), inputs, 12)
    found = select({EVENT: data}, seen(data), WORLD_CANDIDATES, 5, 0, HORIZONS)
    assert found.serving.name in {"boosting", "forest"}
    cox, serving = found.scores[0], found.serving
    assert serving.integrated_brier < cox.integrated_brier - serving.standard_error
    assert serving.harrell_c > cox.harrell_c


def test_progress_rises_and_names_the_candidate() -> None:
    data = exponential(np.full(100, 0.03), of_patients(np.zeros(100)), 13)
    told: list[tuple[float, str]] = []
    select(
        {EVENT: data}, seen(data), [Known(0.03), Known(0.02, "other")], 5, 0, HORIZONS, lambda *said: told.append(said)
    )
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (told[0], told[-1][0]) == ((0.0, "known hazard without fold 1"), 1.0)
    assert len(told) == 11


def test_the_same_seed_gives_the_same_selection_and_scores_begin_at_the_landmark() -> None:
    data = exponential(np.full(200, 0.03), of_patients(np.zeros(200)), 14)
    late = replace(
        data, episodes=replace(data.episodes, start=data.episodes.start + 6.0, stop=data.episodes.stop + 6.0)
    )
    one, same = (select({EVENT: late}, seen(late), [Known(0.03)], 5, 1, HORIZONS) for _ in range(2))
    assert one == same
    months = np.arange(6.0, 25.0)
    risk = np.tile(1.0 - np.exp(-0.03 * (months - 6.0)), (200, 1))
    curve = brier_curve(seen(late), risk, months)
    wanted = np.trapezoid(curve[0], months) / 18.0
    assert one.scores[0].integrated_brier == pytest.approx(wanted, rel=1e-9)


def test_what_cannot_be_compared_is_refused() -> None:
    data = exponential(np.full(100, 0.03), of_patients(np.zeros(100)), 15)
    observed = seen(data)
    nobody = replace(data, episodes=replace(data.episodes, event=np.zeros(100, dtype=bool)))
    with pytest.raises(Refused, match="0 events cannot be spread over 5 folds"):
        select({EVENT: nobody}, seen(nobody), [Known(0.03)], 5, 0, HORIZONS)
    with pytest.raises(Refused, match=r"horizon 60 months: .* followed to 4\d"):
        select({EVENT: data}, observed, [Known(0.03)], 5, 0, (60.0,))
    with pytest.raises(ValueError, match="each with a name of its own"):
        select({EVENT: data}, observed, [Known(0.03), Known(0.02)], 5, 0, HORIZONS)
    with pytest.raises(ValueError, match="each with a name of its own"):
        select({EVENT: data}, observed, [], 5, 0, HORIZONS)
    with pytest.raises(ValueError, match="causes"):
        select({COMPETING: data}, observed, [Known(0.03)], 5, 0, HORIZONS)
    with pytest.raises(ValueError, match="of the same patients"):
        select({EVENT: data, COMPETING: data.take(np.arange(99))}, observed, [Known(0.03)], 5, 0, HORIZONS)
