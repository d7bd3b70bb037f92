"""A fitted twin and the patients who taught it in; an agent, with its regret on patients it never saw, out.

The patients are divided: most teach (and are mixed into imagined ones), some choose which seed and how much practice
serves, and the rest only tell the regret that is reported. For each seed a DQN is taught by the exact solution, then
practises on episodes for as long as that does not make it worse. Torch is imported while training and never to serve.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd

from data.errors import Refused
from twin.arrays import Floats, Integers
from twin.policy.agent import Agent, Network
from twin.policy.checkpoint import Checked, Checkpoint, Trained, TrainingSettings, Underway
from twin.policy.exact import spread
from twin.policy.lessons import Teacher, imagined
from twin.policy.observation import Layout, at_first, shares
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences
from twin.policy.process import Process
from twin.policy.regret import TARGET_MEAN, TARGET_P95, Examination, pooled
from twin.prediction import FittedTwin
from twin.state import Known
from twin.streams import stream
from twin.threads import one_thread
from twin.timeline import OPEN

if TYPE_CHECKING:
    from twin.policy.learner import Learner

ALGORITHM: Final = "DQN (stable-baselines3), warm-started by regression on the exact solution"
LIBRARIES: Final = ("stable-baselines3", "torch", "numpy", "safetensors")
PARTS_SEED: Final = 0
"""Which patients teach, choose and are held out is the same for all seeds."""
FEWEST: Final = 30
"""Patients below which dividing them leaves nobody to ask"""
CHECKED_WEIGHTS, HELD_OUT_WEIGHTS = 6, 20
"""Choices of weights a patient is examined with, drawn at random; the usual ones come on top"""
VEILS: Final = 12
"""Ways in which something may not be recorded that patients are examined with"""
CHECKPOINT_SECONDS: Final = 5.0
SLOWEST: Final = 0.02
"""Share of the rate of learning that is left at the last lesson"""
CHECKS: Final = 3
"""How often regret is measured during the lessons, and again during practice"""
PREPARED: Final = 0.2
"""Fraction of the work that is done once the exact solution is known"""

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done"""


Keep = Callable[[Checkpoint], None]


class _OutOfTime(Exception):
    """The minutes are over; what is underway is worth checking."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The patients of a cohort, divided, with what is best for them."""

    teacher: Teacher
    checked: Examination
    held_out: Examination
    usual: Examination
    """The held-out patients with the usual weights"""
    unrecorded: tuple[Examination, ...]
    """The held-out patients, of whom part of what is to be seen is not recorded"""
    counts: Mapping[str, int]

    @cached_property
    def process(self) -> Process:
        """Of those who teach."""
        return Process.of(self.teacher.patients)

    @classmethod
    def of(cls, twin: FittedTwin, frame: pd.DataFrame, settings: TrainingSettings) -> Self:
        """Divide the patients of `frame`, by what is known of them before anything is decided.

        Raises:
            Refused: there are too few, or nothing is left to decide.
        """
        known = Known.at(frame, twin.spec, twin.marginal.encoding.moment).frame
        if len(known) < FEWEST:
            raise Refused(f"{len(known)} patients", remedy=f"an agent is taught by {FEWEST} or more")
        if OPEN not in at_first(twin, 1).so_far:
            raise Refused("the cohort varies no decision", remedy="use a twin of a cohort that records decisions")
        parts = divided(len(known), settings)
        preferences = Preferences.of(twin)
        teach = known.iloc[parts["taught"]].reset_index(drop=True)
        more = imagined(teach, settings.imagined, stream(PARTS_SEED, "agent", "imagined"))
        teacher = Teacher(_patients(twin, pd.concat([teach, more], ignore_index=True)), preferences)
        checked, held_out = (_patients(twin, known.iloc[parts[name]]) for name in ("checked", "held_out"))
        usual = shares(preferences.usual)[None, None]
        return cls(
            teacher,
            Examination.of(checked, _weights(preferences, checked, CHECKED_WEIGHTS, "checked")),
            Examination.of(held_out, _weights(preferences, held_out, HELD_OUT_WEIGHTS, "held out")),
            Examination.of(held_out, np.broadcast_to(usual, (1, held_out.size, usual.shape[-1]))),
            tuple(_unrecorded(preferences, held_out)),
            {**{name: len(rows) for name, rows in parts.items()}, "imagined": settings.imagined},
        )


def divided(patients: int, settings: TrainingSettings) -> dict[str, Integers]:
    """Positions of the patients who teach, who choose, and who are held out."""
    order = stream(PARTS_SEED, "agent", "parts").permutation(patients)
    cuts = np.cumsum([max(1, round(share * patients)) for share in (settings.held_out, settings.checked)])
    held_out, checked, taught = np.split(order, cuts)
    return {"taught": np.sort(taught), "checked": np.sort(checked), "held_out": np.sort(held_out)}


def _patients(twin: FittedTwin, frame: pd.DataFrame) -> Patients:
    return Patients.of(twin, frame.reset_index(drop=True), at_first(twin, len(frame)))


def _unrecorded(preferences: Preferences, patients: Patients) -> Iterator[Examination]:
    rng = stream(PARTS_SEED, "agent", "unrecorded")
    for _ in range(VEILS):
        yield Examination.of(patients.veiled(patients.veil(rng)), preferences.draw(rng, patients.size)[None])


def _weights(preferences: Preferences, patients: Patients, choices: int, purpose: str) -> Floats:
    """(choices + 1, n, outcomes), the usual ones first."""
    rng = stream(PARTS_SEED, "agent", purpose)
    drawn = [preferences.draw(rng, patients.size) for _ in range(choices)]
    return np.stack([spread(shares(preferences.usual), patients.size), *drawn])


def train(
    twin: FittedTwin,
    frame: pd.DataFrame,
    settings: TrainingSettings,
    progress: Progress | None = None,
    *,
    start: Checkpoint | None = None,
    keep: Keep | None = None,
    minutes: float | None = None,
) -> Agent:
    """Train an agent for a twin.

    Args:
        twin: Whose patients and effects are learnt.
        frame: The cohort that taught the twin; nothing is read but what is known before the first decision.
        settings: How.
        progress: Told how far it is.
        start: Where an earlier run with the same settings stood.
        keep: Given where training stands every few seconds, and when it is stopped.
        minutes: After which the best so far is taken; its document then says that it is not complete.

    Raises:
        Refused: too few patients, nothing to decide, or no time for a single lesson.
        KeyboardInterrupt: stopped; what was reached was given to `keep` before.
    """
    from twin.policy.learner import reproducible  # imported here: takes seconds, and serving never needs it

    ends = np.inf if minutes is None else time.monotonic() + 60.0 * minutes
    course = _Course(twin, frame, settings, progress or _silent, keep or _forget, ends, start or Checkpoint(settings))
    with reproducible(), one_thread():
        return course.run()


@dataclass(eq=False)
class _Course:
    """One run of training; `stands` moves on."""

    twin: FittedTwin
    frame: pd.DataFrame
    settings: TrainingSettings
    progress: Progress
    keep: Keep
    ends: float
    """When to stop, by the monotonic clock"""
    stands: Checkpoint
    kept_at: float = field(default_factory=time.monotonic)

    @cached_property
    def classes(self) -> Classes:
        """The patients, divided."""
        self.progress(0.0, "what is best for each patient")
        return Classes.of(self.twin, self.frame, self.settings)

    def run(self) -> Agent:
        """Every seed that is not done."""
        try:
            for seed in self.settings.seeds[len(self.stands.done) :]:
                trained = self._seed(seed)
                self.stands = replace(self.stands, done=(*self.stands.done, trained), underway=None)
        except _OutOfTime:
            self.keep(self.stands)
        except KeyboardInterrupt:
            if self.stands.done or self.stands.underway:  # else an earlier stop may be worth more
                self.keep(self.stands)
            raise
        self.progress(1.0, "regret on patients held out")
        return self._best()

    def _seed(self, seed: int) -> Trained:
        from twin.policy.environment import TreatmentVecEnv
        from twin.policy.learner import ENVIRONMENTS, Learner

        underway = self.stands.underway
        process, preferences = self.classes.process, self.classes.teacher.preferences
        # Practice that goes on after a stop shall not meet the same episodes again.
        drawn = seed if underway is None else seed + underway.decisions
        environment = TreatmentVecEnv(process, preferences, ENVIRONMENTS, drawn)
        learner = Learner(environment, drawn, self.settings.width, self.settings.rate)
        if underway is not None:
            learner.adopt(underway.network)
            learner.resume(underway.momentum)
        else:
            underway = Underway(seed, learner.network(), {})
        underway = self._teach(learner, underway)
        return self._practise(learner, underway)

    def _teach(self, learner: Learner, underway: Underway) -> Underway:
        lessons, seed = self.settings.lessons, underway.seed
        for number in range(underway.lessons, lessons):
            lesson = self.classes.teacher.lesson(stream(seed, "agent", "lesson", str(number)))
            if number == 0:
                learner.scale_to(lesson)
            slower = max(SLOWEST, 0.5 * (1.0 + np.cos(np.pi * number / lessons)))
            learner.learn(lesson, self.settings.batch, self.settings.rate * slower)
            underway = replace(underway, network=learner.network(), momentum=learner.momentum(), lessons=number + 1)
            if (number + 1) % max(1, lessons // CHECKS) == 0 or number + 1 == lessons:
                underway = self._check(underway)
            self._passed(underway)
        return underway

    def _practise(self, learner: Learner, underway: Underway) -> Trained:
        every = max(1, self.settings.decisions // CHECKS)
        before = underway.decisions

        def go_on(decisions: int) -> bool:
            nonlocal underway
            reached = before + decisions
            now = replace(underway, network=learner.network(), momentum=learner.momentum(), decisions=reached)
            underway = self._check(now)
            self._passed(underway)
            return reached < self.settings.decisions

        if before < self.settings.decisions:
            learner.practise(self.settings.decisions - before, self.settings.practice_rate, go_on, every)
        assert underway.best is not None  # noqa: S101 - the last lesson was checked
        return Trained(underway.seed, underway.best, underway.curve)

    def _check(self, underway: Underway) -> Underway:
        """What is underway with its regret noted, and the best so far."""
        regret = self.classes.checked.regret(self._agent(underway.network).decide)
        said = {"lessons": underway.lessons, "decisions": underway.decisions, "mean": regret.mean, "p95": regret.p95}
        best = underway.best
        if best is None or regret.mean < best.regret.mean:
            best = Checked(underway.network, regret, underway.lessons, underway.decisions)
        return replace(underway, best=best, curve=(*underway.curve, said))

    def _passed(self, underway: Underway) -> None:
        """Note where training stands, tell it, and see whether there is time left."""
        self.stands = replace(self.stands, underway=underway)
        taught = underway.lessons / self.settings.lessons
        practised = min(1.0, underway.decisions / max(1, self.settings.decisions))
        seeds = len(self.settings.seeds)
        share = (len(self.stands.done) + 0.7 * taught + 0.3 * practised) / seeds
        doing = "taught by the exact solution" if taught < 1.0 else "practising on episodes"
        self.progress(PREPARED + (1.0 - PREPARED) * share, f"seed {underway.seed} is {doing}")
        now = time.monotonic()
        if now - self.kept_at >= CHECKPOINT_SECONDS:
            self.keep(self.stands)
            self.kept_at = now
        if now >= self.ends:
            raise _OutOfTime

    def _best(self) -> Agent:
        trained = list(self.stands.done)
        complete = len(trained) == len(self.settings.seeds)
        underway = self.stands.underway
        if not complete and underway is not None:
            checked = self._check(underway)
            assert checked.best is not None  # noqa: S101 - it has just been checked
            trained.append(Trained(underway.seed, checked.best, checked.curve))
        if not trained:
            raise Refused("no time for a single lesson", remedy="give more minutes")
        serving = min(trained, key=lambda one: one.best.regret.mean)
        agent = self._agent(serving.best.network)
        return replace(agent, document=self._document(agent, serving, trained, complete))

    def _agent(self, network: Network) -> Agent:
        return Agent(Layout.of(self.twin), network, {})

    def _document(self, agent: Agent, serving: Trained, trained: list[Trained], complete: bool) -> dict[str, Any]:
        held_out = partial(self._regrets, [self.classes.held_out])
        return {
            "algorithm": ALGORITHM,
            "network": {"layers": [weight.shape[0] for weight in agent.network.weights], "activation": "rectifier"},
            "seed": serving.seed,
            "complete": complete,
            "settings": {**asdict(self.settings), "seeds": list(self.settings.seeds)},
            "patients": dict(self.classes.counts),
            "target": {"mean": TARGET_MEAN, "p95": TARGET_P95},
            "regret": held_out(serving),
            "regret_usual_weights": self._regrets([self.classes.usual], serving),
            "regret_unrecorded": self._regrets(self.classes.unrecorded, serving),
            "seeds": [
                {
                    "seed": one.seed,
                    "lessons": one.best.lessons,
                    "decisions": one.best.decisions,
                    "checked": one.best.regret.as_dict(),
                    "held_out": held_out(one),
                    "curve": list(one.curve),
                }
                for one in trained
            ],
            "libraries": {name: version(name) for name in LIBRARIES},
        }

    def _regrets(self, examinations: Sequence[Examination], of: Trained) -> dict[str, Any]:
        regret = pooled(examinations, self._agent(of.best.network).decide)
        return {**regret.as_dict(), "met": regret.met}


def _silent(fraction: float, doing: str) -> None:
    """Nobody is told."""


def _forget(checkpoint: Checkpoint) -> None:
    """Nothing is kept."""
