"""Synthetic worlds whose best treatment policy is known in; how near to it policies learnt from a cohort come out.

A policy is learnt from one half of the patients and decides for the other half, on whom its value, that of the
physicians' habits and the highest of all are exact (`benchmarks.policy_worlds`). What a policy recovers is 0 when it is
as good as the physicians, who see more than is recorded, and 1 when it is as good as the best that records allow.

    python -m benchmarks.policy_truth --seeds 0-4 --patients 1500 --world own,other,other-confounded
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from benchmarks._other_policies import other_policies
from benchmarks._own_policies import own_policies
from benchmarks.policy_worlds import Decide, PolicyWorld
from benchmarks.truth import fit_settings, known_at_first, numbers
from data.dictionary import load_specification
from data.errors import GeminaError, WrongUsage
from data.synthetic import PLANS
from twin.arrays import Floats, Integers
from twin.capability import capability
from twin.evaluation.plug_in import plug_in
from twin.fitting import FitSettings, fit_twin
from twin.policy.exact import NO, YES, best, spread
from twin.policy.table import Table
from twin.policy.utility import Weights
from twin.threads import one_thread
from twin.timeline import plan_digits

OPTIMUM: Final = "optimum"
PHYSICIANS: Final = "physicians"
RANDOM: Final = "random"
BEST_FIXED: Final = "best fixed plan"
"""By the truth, on the patients asked about: more than anybody can know"""
BEST_EACH: Final = "best plan of each"
"""The same for each patient: what no policy can surpass that decides everything at time zero"""
TWIN: Final = "twin, exact"
GREEDY: Final = "ridge Cox, a plan each"
FIXED_BY_COHORT: Final = "ridge Cox, one plan"
YARDSTICKS: Final = (GREEDY, FIXED_BY_COHORT)
"""Learnt like those that are judged, and not judged themselves"""
LEAST_RECOVERED: Final = {"own": 0.6, "other": 0.5, "other-confounded": 0.25}
SURPASSED: Final[Mapping[str, tuple[str, ...]]] = {"own": (BEST_FIXED, GREEDY)}
"""Targets: what is recovered at least, and whose value is surpassed, by the mean over seeds"""

Make = Callable[[int, int, Weights], PolicyWorld]
WORLDS: Final[Mapping[str, Make]] = {
    "own": own_policies,
    "other": other_policies,
    "other-confounded": partial(other_policies, confounder=True),
}
"""By name, from the number of patients (in each half), a seed and the weights of outcomes."""


@dataclass(frozen=True, eq=False)
class Planned:
    """The policy that keeps to a plan made for each of n patients beforehand."""

    decisions: Sequence[str]
    digits: Floats
    """(n, decisions)"""

    @classmethod
    def of(cls, world: PolicyWorld, plans: Integers) -> Planned:
        """From (n,) positions in `PLANS`."""
        return cls(world.decisions, np.array([plan_digits(world.asked.spec, plan) for plan in PLANS])[plans])

    def __call__(self, decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        """As `Decide`."""
        return np.asarray(self.digits[patients, self.decisions.index(decision)])


@dataclass(frozen=True, eq=False)
class Exact:
    """The best policy by a twin: at every history that is recorded, the option that loses less."""

    table: Table
    weights: Floats
    """(outcomes,) as the twin orders them"""

    @classmethod
    def learnt(cls, world: PolicyWorld, settings: FitSettings) -> Exact:
        """By the twin of the world's cohort, for the patients asked about."""
        twin = fit_twin(world.cohort, settings)
        weights = world.weights.array(twin.outcomes)
        table = Table.of(twin, known_at_first(world.asked), lambda some: best(spread(weights, some.size)))
        return cls(table, weights)

    def __call__(self, decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        """As `Decide`."""
        costs = self.table.at(decision, patients, frame) @ self.weights
        return np.asarray(costs[:, YES] < costs[:, NO], dtype=float)


def policies(world: PolicyWorld, settings: FitSettings) -> Mapping[str, Decide]:
    """Policies learnt from the world's cohort, by name: those that are judged.

    Raises:
        Refused: the cohort cannot teach an outcome.
    """
    with one_thread():
        held = capability(world.cohort).held
        stated = plug_in(world.cohort, world.asked, world.outcomes, world.weights, PLANS, held)
    best = stated.argmax(axis=1)
    one = np.full(world.asked.size, stated.mean(axis=0).argmax())
    return {
        TWIN: Exact.learnt(world, settings),
        GREEDY: Planned.of(world, best),
        FIXED_BY_COHORT: Planned.of(world, one),
    }


Policies = Callable[[PolicyWorld, FitSettings], Mapping[str, Decide]]


def recovered(value: float, physicians: float, optimum: float) -> float:
    """Of what the best policy gains over the physicians."""
    return (value - physicians) / (optimum - physicians)


def values(world: PolicyWorld, learnt: Mapping[str, Decide], histories: int | None = None) -> dict[str, float]:
    """Mean utility of the patients asked about under each policy.

    Args:
        world: The world.
        learnt: Policies by name.
        histories: As in `PolicyWorld.estimated_value_of`; all where ``None``, which is exact.
    """

    def value(decide: Decide) -> Floats:
        return world.value_of(decide) if histories is None else world.estimated_value_of(decide, histories)

    fixed = {f"plan {plan}": world.value(world.fixed(plan)) for plan in PLANS}
    means = {
        OPTIMUM: world.value(world.optimum),
        PHYSICIANS: world.physicians,
        RANDOM: world.value(world.constant(0.5, 0.5, 0.5)),
        BEST_FIXED: max(fixed.values(), key=np.mean),
        BEST_EACH: np.max(list(fixed.values()), axis=0),
        **fixed,
        **{name: value(decide) for name, decide in learnt.items()},
    }
    return {name: float(each.mean()) for name, each in means.items()}


def run(
    world: str,
    patients: int,
    seed: int,
    weights: Weights,
    settings: FitSettings | None = None,
    learn: Policies = policies,
    histories: int | None = None,
) -> pd.DataFrame:
    """One world: columns ``world, patients, seed, policy, learnt, value, recovered``.

    Raises:
        WrongUsage: there is no such world.
        Refused: the cohort cannot teach an outcome.
    """
    if world not in WORLDS:
        raise WrongUsage(f"unknown world '{world}'", remedy="use one of " + ", ".join(WORLDS))
    made = WORLDS[world](patients, seed, weights)
    learnt = learn(made, settings or FitSettings())
    found = values(made, learnt, histories)
    return pd.DataFrame(
        {
            "world": world,
            "patients": patients,
            "seed": seed,
            "policy": list(found),
            "learnt": [name in learnt and name not in YARDSTICKS for name in found],
            "value": list(found.values()),
            "recovered": [recovered(value, found[PHYSICIANS], found[OPTIMUM]) for value in found.values()],
        }
    )


def report(table: pd.DataFrame) -> str:
    """What `run` found, for a person."""
    parts = []
    for (world, patients), part in table.groupby(["world", "patients"], sort=False):
        parts.append(f"== world {world!s}, {patients!s} patients")
        parts.append("Mean utility by seed\n" + _by_seed(part, "value", 4))
        parts.append("Share recovered by seed\n" + _by_seed(part, "recovered", 3))
        parts.append("\n".join(_verdicts(str(world), part)))
    return "\n\n".join(parts)


def _by_seed(part: pd.DataFrame, values: str, digits: int) -> str:
    wide = part.pivot_table(index="policy", columns="seed", values=values, sort=False)
    spread = pd.DataFrame({"mean": wide.mean(axis=1), "sd": wide.std(axis=1), "se": wide.sem(axis=1)})
    return pd.concat([wide, spread], axis=1).to_string(float_format=lambda value: f"{value:.{digits}f}", na_rep="")


def _verdicts(world: str, part: pd.DataFrame) -> Iterator[str]:
    """The targets, and whether the means over seeds meet them."""

    def verdict(met: bool, said: str) -> str:
        return f"  {'met   ' if met else 'missed'}  {said}"

    mean = part.groupby("policy", sort=False)[["value", "recovered"]].mean()
    for name in part.loc[part["learnt"], "policy"].unique():
        share, value = mean.loc[name, "recovered"], mean.loc[name, "value"]
        yield verdict(
            share >= LEAST_RECOVERED[world], f"{name}: recovers {share:.2f}: at least {LEAST_RECOVERED[world]}"
        )
        for other in SURPASSED.get(world, ()):
            if other != name:
                least = mean.loc[other, "value"]
                yield verdict(value > least, f"{name}: utility {value:.4f}: above {least:.4f} of {other}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Score treatment policies against the best, in known worlds.")
    parser.add_argument("--seeds", default="0-4", help="of the worlds, e.g. 0-4")
    parser.add_argument("--patients", default="1500", help="sizes of the cohorts, e.g. 536,1500")
    parser.add_argument("--world", default=",".join(WORLDS), help="one or more of " + ", ".join(WORLDS))
    parser.add_argument("--weights", default="", help="of outcomes, e.g. death=1,aspiration_6m=0")
    parser.add_argument(
        "--histories", type=int, help="after which a policy is asked for dissection, a patient; else all"
    )
    parser.add_argument("--set", default=[], action="append", help="a setting of the fit, e.g. seed=3; again for more")
    parser.add_argument("--out", type=Path, help="CSV file for all values")
    chosen = parser.parse_args(arguments)
    try:
        weights = Weights.parse(load_specification(), chosen.weights)
        asked = product(chosen.world.split(","), numbers(chosen.patients), numbers(chosen.seeds))
        table = _measured(asked, weights, fit_settings(chosen.set), chosen.histories)
    except GeminaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if chosen.out is not None:
        table.to_csv(chosen.out, index=False)
    sys.stdout.write(report(table) + "\n")
    return 0


def _measured(
    asked: Iterator[tuple[str, int, int]], weights: Weights, settings: FitSettings, histories: int | None
) -> pd.DataFrame:
    tables = []
    for world, patients, seed in asked:
        begun = time.perf_counter()
        tables.append(run(world, patients, seed, weights, settings, histories=histories))
        sys.stderr.write(f"{world}, {patients} patients, seed {seed}: {time.perf_counter() - begun:.0f} s\n")
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    sys.exit(main())
