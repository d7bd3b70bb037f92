"""Ways to learn whom to treat how in; their exact regret over training time out, on patients whom none of them saw.

The demonstration's twin is solved exactly, so that regret is measured through every history and not by episodes; it is
relative to the difference between the patient's best and worst plan (`twin.policy.regret`).

* ``taught``: the agent that serves, a DQN that the exact solution teaches and that then practises on episodes;
* ``distilled``: the same lessons and no practice, as the reference of what supervised learning reaches;
* ``dqn``: the same DQN on episodes alone;
* ``ppo``: PPO on episodes alone.

    python -m benchmarks.policy --seeds 0-2 --algorithms taught,distilled,dqn,ppo --seconds 60
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.truth import numbers
from data.errors import GeminaError, WrongUsage
from data.synthetic import generate
from twin.arrays import Floats
from twin.fitting import FitSettings, fit_twin
from twin.policy.agent import Agent
from twin.policy.checkpoint import TrainingSettings
from twin.policy.environment import TreatmentVecEnv
from twin.policy.exact import YES, Decide, Question
from twin.policy.learner import ENVIRONMENTS, Learner, reproducible
from twin.policy.observation import Singles
from twin.policy.patients import Patients
from twin.policy.regret import TARGET_MEAN, TARGET_P95, Examination, Policy
from twin.policy.training import SLOWEST, Classes
from twin.streams import stream
from twin.threads import one_thread

PATIENTS: Final = 536
CHOICES: Final = 6
"""Choices of weights a patient is examined with, the usual ones among them"""
POINTS: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""When regret is measured, as shares of the time"""
DQN_RATE: Final = 5e-4
PPO_ENVIRONMENTS: Final = 256
PPO_SETTINGS: Final[Mapping[str, Any]] = {
    "n_steps": 12,
    "batch_size": 512,
    "n_epochs": 4,
    "learning_rate": 1e-3,
    "gamma": 1.0,
    "gae_lambda": 1.0,
}
EVERY: Final = 512
"""Decisions between two looks at the clock"""
ENDLESS: Final = 1_000_000_000
SERVES: Final = "taught"


@dataclass(eq=False)
class Clock:
    """Seconds of training, without those of measuring, and the regret at each point."""

    examination: Examination
    seconds: float
    rows: list[dict[str, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)
    measuring: float = 0.0

    def go_on(self, policy: Policy) -> bool:
        """Measure when it is time to; whether any is left."""
        now = time.perf_counter() - self.begun - self.measuring
        if len(self.rows) < len(POINTS) and now >= POINTS[len(self.rows)] * self.seconds:
            self.measure(policy, now)
        return now < self.seconds

    def measure(self, policy: Policy, now: float | None = None) -> None:
        """Note the regret."""
        before = time.perf_counter()
        now = before - self.begun - self.measuring if now is None else now
        regret = self.examination.regret(policy)
        self.rows.append({"seconds": now, "mean": regret.mean, "p95": regret.p95, "absolute": regret.absolute})
        self.measuring += time.perf_counter() - before


def taught(classes: Classes, settings: TrainingSettings, seed: int, clock: Clock) -> None:
    """Lessons, then practice."""
    learner = _lessons(classes, settings, seed, clock)
    decisions = settings.decisions
    learner.practise(decisions, settings.practice_rate, lambda _: clock.go_on(_agent(classes, learner).decide), EVERY)
    clock.measure(_agent(classes, learner).decide)


def distilled(classes: Classes, settings: TrainingSettings, seed: int, clock: Clock) -> None:
    """Lessons alone."""
    clock.measure(_agent(classes, _lessons(classes, settings, seed, clock)).decide)


def dqn(classes: Classes, settings: TrainingSettings, seed: int, clock: Clock) -> None:
    """Episodes alone."""
    learner = _learner(classes, settings, seed, DQN_RATE)
    learner.practise(ENDLESS, DQN_RATE, lambda _: clock.go_on(_agent(classes, learner).decide), EVERY)


def ppo(classes: Classes, settings: TrainingSettings, seed: int, clock: Clock) -> None:
    """Episodes alone."""
    environment = TreatmentVecEnv(classes.process, classes.teacher.preferences, PPO_ENVIRONMENTS, seed)
    kwargs = {"net_arch": [settings.width, settings.width]}
    learner = PPO("MlpPolicy", environment, policy_kwargs=kwargs, seed=seed, device="cpu", **PPO_SETTINGS)

    def yes(observations: Singles) -> Floats:
        with torch.no_grad():
            distribution = learner.policy.get_distribution(torch.from_numpy(observations))
        return np.asarray(distribution.mode().numpy() == YES, dtype=float)

    learner.learn(ENDLESS, callback=_Watched(lambda: clock.go_on(partial(_as_policy, yes))))


ALGORITHMS: Final[Mapping[str, Callable[[Classes, TrainingSettings, int, Clock], None]]] = {
    SERVES: taught,
    "distilled": distilled,
    "dqn": dqn,
    "ppo": ppo,
}


class _Watched(BaseCallback):
    """Stops when the clock says so."""

    def __init__(self, go_on: Callable[[], bool]) -> None:
        super().__init__()
        self._go_on = go_on

    def _on_step(self) -> bool:
        return self._go_on()


def _as_policy(yes: Callable[[Singles], Floats], patients: Patients, weights: Floats) -> Decide:
    def decide(question: Question) -> Floats:
        observations = patients.observe(question, weights)
        return yes(observations.reshape(-1, observations.shape[-1])).reshape(observations.shape[:2])

    return decide


def _learner(classes: Classes, settings: TrainingSettings, seed: int, rate: float) -> Learner:
    environment = TreatmentVecEnv(classes.process, classes.teacher.preferences, ENVIRONMENTS, seed)
    return Learner(environment, seed, settings.width, rate)


def _lessons(classes: Classes, settings: TrainingSettings, seed: int, clock: Clock) -> Learner:
    learner = _learner(classes, settings, seed, settings.rate)
    for number in range(settings.lessons):
        lesson = classes.teacher.lesson(stream(seed, "agent", "lesson", str(number)))
        if number == 0:
            learner.scale_to(lesson)
        slower = max(SLOWEST, 0.5 * (1.0 + np.cos(np.pi * number / settings.lessons)))
        learner.learn(lesson, settings.batch, settings.rate * slower)
        clock.go_on(_agent(classes, learner).decide)
    return learner


def _agent(classes: Classes, learner: Learner) -> Agent:
    return Agent(classes.process.layout, learner.network(), {})


def run(
    classes: Classes, algorithms: Sequence[str], seeds: Sequence[int], seconds: float, settings: TrainingSettings
) -> pd.DataFrame:
    """Train and measure: columns ``algorithm, seed, seconds, mean, p95, absolute``.

    Raises:
        WrongUsage: there is no such algorithm.
    """
    for name in algorithms:
        if name not in ALGORITHMS:
            raise WrongUsage(f"unknown algorithm '{name}'", remedy="use some of " + ", ".join(ALGORITHMS))
    whole = classes.held_out
    examination = replace(
        whole, weights=whole.weights[:CHOICES], best=whole.best[:CHOICES], spread=whole.spread[:CHOICES]
    )
    tables = []
    for name, seed in product(algorithms, seeds):
        clock = Clock(examination, seconds)
        with reproducible(), one_thread():
            ALGORITHMS[name](classes, settings, seed, clock)
        tables.append(pd.DataFrame(clock.rows).assign(algorithm=name, seed=seed))
        sys.stderr.write(f"{name}, seed {seed}: {time.perf_counter() - clock.begun:.0f} s\n")
    return pd.concat(tables, ignore_index=True)[["algorithm", "seed", "seconds", "mean", "p95", "absolute"]]


def report(table: pd.DataFrame) -> str:
    """The measures as text, for a person."""
    return "\n\n".join(_paragraphs(table))


def _paragraphs(table: pd.DataFrame) -> Iterator[str]:
    for name, part in table.groupby("algorithm", sort=False):
        yield f"== {name}: regret, % of the spread between best and worst plan, by seed and seconds of training"
        shown = part.assign(mean=100.0 * part["mean"], p95=100.0 * part["p95"])
        columns = ["seed", "seconds", "mean", "p95", "absolute"]
        formats = {"seconds": "{:.1f}".format, "mean": "{:.2f}".format, "p95": "{:.2f}".format}
        yield shown[columns].to_string(index=False, formatters={**formats, "absolute": "{:.1e}".format})
    yield "\n".join(_verdicts(table))


def _verdicts(table: pd.DataFrame) -> Iterator[str]:
    """The targets, and whether each algorithm meets them at its end with its worst seed."""
    last = table.groupby(["algorithm", "seed"], sort=False).last().reset_index()
    for name, part in last.groupby("algorithm", sort=False):
        mean, p95, seconds = (float(part[column].max()) for column in ("mean", "p95", "seconds"))
        word = "met   " if mean <= TARGET_MEAN and p95 <= TARGET_P95 else "missed"
        said = f"mean {mean:.2%} and 95th percentile {p95:.2%} of the worst of {len(part)} seeds after {seconds:.0f} s"
        yield f"  {word}  {name}: {said}: at most {TARGET_MEAN:.0%} and {TARGET_P95:.0%}"


def demonstration(settings: TrainingSettings) -> Classes:
    """The demonstration's patients, divided, with what is best for them."""
    cohort = generate(PATIENTS).cohort
    return Classes.of(fit_twin(cohort, FitSettings(select=False)), cohort.frame, settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Exact regret of learnt policies over training time.")
    parser.add_argument("--seeds", default="0-2", help="of training, e.g. 0-2")
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS), help="some of " + ", ".join(ALGORITHMS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, for each algorithm and seed")
    parser.add_argument("--out", type=Path, help="CSV file for all measures")
    chosen = parser.parse_args(arguments)
    settings = TrainingSettings()
    try:
        seeds = numbers(chosen.seeds)
        table = run(demonstration(settings), chosen.algorithms.split(","), seeds, chosen.seconds, settings)
    except GeminaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if chosen.out is not None:
        table.to_csv(chosen.out, index=False)
    sys.stdout.write(report(table) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
