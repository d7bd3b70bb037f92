"""Synthetic worlds whose physicians' habits are known in; how near the model of them comes out.

The model is fitted on a cohort and scored twice: out of fold on that cohort, as `python -m twin evaluate` does it, and
on `OTHERS` other patients of the same world, in whom chance hardly adds to a calibration error. Beside it stand
ceilings: true probabilities of the same decisions in the same patients, given less and less.

    python -m benchmarks.behaviour --seeds 0-4 --patients 536,1500 --world own,other,other-confounded
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.truth import numbers
from data.cohort import Cohort
from data.errors import GeminaError, WrongUsage
from data.schema import UNKNOWN
from data.synthetic import generate
from data.synthetic.parameters import LEVELS, SITES
from data.synthetic.treatment import concurrent_logit, induction_logit, neck_logit
from data.synthetic.truth import frailty_nodes
from tests.fixtures.other_world import CONFOUNDING, QUADRATURE_NODES, other_world
from tests.fixtures.other_world import concurrent_logit as concurrent_by_rule
from tests.fixtures.other_world import dissection_logit as dissection_by_rule
from tests.fixtures.other_world import induction_logit as induction_by_rule
from twin.arrays import Flags, Floats, Integers
from twin.behaviour import Behaviour, cross_folds, fit_behaviour
from twin.evaluation.decisions import came_to
from twin.metrics.binary import debiased_calibration_error, expected_calibration_error
from twin.metrics.calibration import LOGIT, recalibration
from twin.metrics.discrimination import auc
from twin.threads import one_thread

OTHERS: Final = 20_000
"""Patients of the same world on whom nothing was learnt"""
REDRAWS: Final = 200
"""Of decisions, for what chance alone makes of a calibration error"""
MODEL: Final = "model"
READABLE: Final = "readable"
"""The true probability given what models may read: not the centre, the year and the frailty, which are averaged over"""
RECORDED: Final = "recorded"
"""Given everything that is recorded: the frailty alone is averaged over"""
HABIT: Final = "habit"
"""By which decisions were drawn: nothing is averaged over"""
COHORT: Final = "out of fold"
AMONG_OTHERS: Final = "other patients"
LEAST_AUC: Final = (0.80, 0.80, 0.66)
"""Targets for the three decisions in the own world"""
LARGEST_ECE: Final = 0.03
Row = tuple[str, str, str, str, float]
"""A measure as in `COLUMNS`"""
COLUMNS: Final = ["sample", "decision", "model", "measure", "value"]
"""Of a table of measures, beside those that say where it was measured."""
Supposed = tuple[Floats, Floats]
"""What may be so where it is not known: (n,) how likely it is, and (n, decisions) probability of each decision then"""


@dataclass(frozen=True, eq=False)
class World:
    """Patients of whom the first teach, and the probabilities by which their physicians decided."""

    cohort: Cohort
    """Everybody"""
    planned: Flags
    """(n, decisions) what physicians decided; in a record, a dissection after a failure looks the same"""
    ceilings: Mapping[str, Floats]
    """By what they are given: (n, decisions) true probabilities"""


def averaged(supposed: Iterable[Supposed], planned: Flags) -> Floats:
    """(n, decisions) probability of each decision over all that is supposed, given the decisions before it.

    What is seen between decisions also says a little of the frailty; that is left out.
    """
    above, below = np.zeros(planned.shape), np.zeros(planned.shape)
    for weight, chance in supposed:
        so_far = np.cumprod(np.where(planned, chance, 1.0 - chance), axis=1)
        before = weight[:, None] * np.column_stack([np.ones(len(planned)), so_far[:, :-1]])
        above += before * chance
        below += before
    return above / below


def shares(values: pd.DataFrame, strata: pd.DataFrame) -> Iterator[tuple[pd.Series, Floats]]:
    """Each different row of `values` with (n,) its share among the patients of the same stratum."""
    which = values.groupby(list(values), observed=True).ngroup()
    stratum = strata.groupby(list(strata), observed=True).ngroup()
    for first, kind in which.drop_duplicates().items():
        yield values.loc[first], (which == kind).groupby(stratum).transform("mean").to_numpy(dtype=float)


def own_world(patients: int, seed: int) -> World:
    """The structural model of the demonstration. Centre and year are to be guessed from whether HPV was determined."""
    made = generate(patients, seed)
    happened, p, frame = made.happened, made.parameters, made.cohort.frame

    def chance(site: Integers, year: Floats, frailty: Floats) -> Floats:
        b = replace(made.baseline, site=site, year=year)
        induction = induction_logit(b, frailty, p.induction_habit)
        concurrent = concurrent_logit(b, frailty, happened.induction, happened.induction_primary, p.concurrent_habit)
        neck = neck_logit(b, frailty, happened.primary, happened.nodal, p.neck_habit)
        return np.asarray(expit(np.column_stack([induction, concurrent, neck])))

    def of_frailty(site: Integers, year: Floats, share: Floats) -> Iterator[Supposed]:
        for node, weight in zip(*frailty_nodes(), strict=True):
            yield weight * share, chance(site, year, np.full(patients, node))

    def of_everything() -> Iterator[Supposed]:
        spread = frame[[f"ln_contra_{level}" for level in LEVELS]].any(axis=1)
        tested = {"tested": frame["hpv_status"] != UNKNOWN, "t": frame["t_stage"], "spread": spread}
        for where, share in shares(frame[["site_id", "diagnosis_year"]], pd.DataFrame(tested)):
            site, year = SITES.index(where["site_id"]), where["diagnosis_year"]
            yield from of_frailty(np.full(patients, site), np.full(patients, year), share)

    b = made.baseline
    planned = np.column_stack([happened.induction, happened.agent > 0, happened.planned_dissection])
    ceilings = {
        READABLE: averaged(of_everything(), planned),
        RECORDED: averaged(of_frailty(b.site, b.year, np.ones(patients)), planned),
        HABIT: chance(b.site, b.year, happened.frailty),
    }
    return World(made.cohort, planned, ceilings)


def other(patients: int, seed: int, confounder: bool = False) -> World:
    """A structurally different world. The centre is to be guessed from whether ECOG is recorded."""
    made = other_world(patients, seed, confounder)
    lives, frame = made.lives, made.cohort.frame
    nodes = frailty_nodes(QUADRATURE_NODES) if confounder else (np.zeros(1), np.ones(1))

    def chance(record: pd.DataFrame, fitness: Floats) -> Floats:
        concurrent = concurrent_by_rule(record, lives.induction, lives.after_induction)
        by_rule = np.column_stack([induction_by_rule(record), concurrent, dissection_by_rule(record, lives.nodal)])
        return np.asarray(expit(by_rule + CONFOUNDING * fitness[:, None]))

    def of_fitness(record: pd.DataFrame, share: Floats) -> Iterator[Supposed]:
        for node, weight in zip(*nodes, strict=True):
            yield weight * share, chance(record, np.full(patients, node))

    def of_everything() -> Iterator[Supposed]:
        for where, share in shares(frame[["site_id"]], pd.DataFrame({"asked": frame["ecog"].notna()})):
            yield from of_fitness(frame.assign(site_id=where["site_id"]), share)

    planned = np.column_stack([lives.induction, lives.concurrent, lives.dissection])
    ceilings = {
        READABLE: averaged(of_everything(), planned),
        RECORDED: averaged(of_fitness(frame, np.ones(patients)), planned),
        HABIT: chance(frame, made.fitness),
    }
    return World(made.cohort, planned, ceilings)


WORLDS: Final[Mapping[str, Callable[[int, int], World]]] = {
    "own": own_world,
    "other": other,
    "other-confounded": lambda patients, seed: other(patients, seed, confounder=True),
}


def scores(yes: Flags, probability: Floats, folds: Integers | None = None) -> dict[str, float]:
    """Measures of one model of one decision in n patients; those of one fold are ranked together."""
    once = np.ones((1, len(yes)))
    slope, intercept = recalibration(yes, probability, once, LOGIT)
    said = np.clip(probability, 1e-12, 1.0 - 1e-12)
    return {
        "AUC": float(auc(yes, probability, once, folds)[0]),
        "ECE": float(expected_calibration_error(yes, probability)[0]),
        "debiased": float(debiased_calibration_error(yes, probability)[0]),
        "slope": float(slope[0]),
        "intercept": float(intercept[0]),
        "log loss": float(-np.log(np.where(yes, said, 1.0 - said)).mean()),
    }


def floor(probability: Floats, seed: int) -> float:
    """Expected calibration error that `probability` (n,) shows on average where it is exactly right."""
    rng = np.random.default_rng(seed)
    return float(
        np.mean(
            [
                expected_calibration_error(rng.random(len(probability)) < probability, probability)
                for _ in range(REDRAWS)
            ]
        )
    )


def measures(world: World, patients: int, seed: int) -> pd.DataFrame:
    """Fit on the first `patients` of a world and score on them and on the others: `COLUMNS`.

    In the cohort those are scored who teach a decision, by what is recorded; among the others those who lived to it, by
    what was planned.
    """
    frame = world.cohort.frame
    cohort = replace(world.cohort, frame=frame.iloc[:patients].reset_index(drop=True))
    with one_thread():
        behaviour = fit_behaviour(cohort, seed)
        rows = [row for decision in behaviour.decisions for row in _measures(world, cohort, behaviour, decision, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _measures(world: World, cohort: Cohort, behaviour: Behaviour, decision: str, seed: int) -> Iterator[Row]:
    spec, frame, patients = cohort.spec, world.cohort.frame, cohort.size
    k = [described.column for described in spec.decisions].index(decision)
    rows = np.flatnonzero(came_to(cohort, spec.decisions[k]))
    recorded = cohort.frame[decision].to_numpy(dtype=float)[rows] == 1
    folds = cross_folds(patients, seed)[rows].astype(np.int64)
    probability = behaviour.out_of_fold(decision)[rows]
    yield from _rows(COHORT, decision, MODEL, scores(recorded, probability, folds))
    yield COHORT, decision, MODEL, "floor", floor(probability, seed)
    for name, ceiling in world.ceilings.items():
        yield from _rows(COHORT, decision, name, scores(recorded, ceiling[rows, k]))
    others = patients + np.flatnonzero(frame[decision].iloc[patients:].notna())
    planned = world.planned[others, k]
    probability = behaviour.probability(frame.iloc[others], decision)
    yield from _rows(AMONG_OTHERS, decision, MODEL, scores(planned, probability))
    yield AMONG_OTHERS, decision, MODEL, "floor", floor(probability, seed)
    distance = np.abs(probability - world.ceilings[READABLE][others, k])
    yield AMONG_OTHERS, decision, MODEL, "distance", float(distance.mean())
    for name, ceiling in world.ceilings.items():
        yield from _rows(AMONG_OTHERS, decision, name, scores(planned, ceiling[others, k]))


def _rows(sample: str, decision: str, model: str, found: Mapping[str, float]) -> Iterator[Row]:
    yield from ((sample, decision, model, measure, value) for measure, value in found.items())


def run(worlds: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], others: int = OTHERS) -> pd.DataFrame:
    """Measure worlds: columns ``world, patients, seed`` and `COLUMNS`. The others are the same for every size.

    Raises:
        WrongUsage: there is no such world.
    """
    unknown = [world for world in worlds if world not in WORLDS]
    if unknown:
        raise WrongUsage(f"unknown world '{unknown[0]}'", remedy="use one of " + ", ".join(WORLDS))
    tables = []
    for world, seed in product(worlds, seeds):
        made = WORLDS[world](max(sizes) + others, seed)
        for patients in sizes:
            table = measures(made, patients, seed)
            where = pd.DataFrame({"world": world, "patients": patients, "seed": seed}, index=table.index)
            tables.append(pd.concat([where, table], axis=1))
        sys.stderr.write(f"{world}, seed {seed}\n")
    return pd.concat(tables, ignore_index=True)


def report(table: pd.DataFrame) -> str:
    """The measures as text, for a person: means over seeds, and whether they meet the targets."""
    parts = []
    for (world, patients), part in table.groupby(["world", "patients"], sort=False):
        seeds = ", ".join(str(seed) for seed in part["seed"].unique())
        parts.append(f"== world {world}, {patients} patients, seeds {seeds}")
        for sample, rows in part.groupby("sample", sort=False):
            wide = rows.pivot_table(index=["decision", "model"], columns="measure", values="value", sort=False)
            parts.append(f"{sample}\n" + wide.to_string(float_format=lambda value: f"{value:.3f}", na_rep=""))
        parts.append("\n".join(verdicts(str(world), part)))
    return "\n\n".join(parts)


def verdicts(world: str, table: pd.DataFrame) -> Iterator[str]:
    """The targets among other patients, and whether means over seeds meet them, each beside its ceiling or floor."""
    means = table[table["sample"] == AMONG_OTHERS].groupby(["decision", "model", "measure"], sort=False)["value"].mean()

    def verdict(met: bool, said: str) -> str:
        return f"  {'met   ' if met else 'missed'}  {said}"

    for decision, least in zip(dict.fromkeys(table["decision"]), LEAST_AUC, strict=False):
        found, most = means[decision, MODEL, "AUC"], means[decision, READABLE, "AUC"]
        if world == "own":
            yield verdict(found >= least, f"{decision}: AUC {found:.3f}: at least {least:.2f} (ceiling {most:.3f})")
        error, chance = means[decision, MODEL, "ECE"], means[decision, MODEL, "floor"]
        said = f"{decision}: ECE {error:.3f}: at most {LARGEST_ECE:.2f} (floor {chance:.3f})"
        yield verdict(error <= LARGEST_ECE, said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Score the model of physicians' decisions against their true habits.")
    parser.add_argument("--seeds", default="0-4", help="of the worlds, e.g. 0-4")
    parser.add_argument("--patients", default="536", help="sizes of the cohorts, e.g. 536,1500")
    parser.add_argument("--world", default="own", help="one or more of " + ", ".join(WORLDS) + ", with commas")
    parser.add_argument("--out", type=Path, help="CSV file for all measures")
    chosen = parser.parse_args(arguments)
    try:
        table = run(chosen.world.split(","), numbers(chosen.patients), numbers(chosen.seeds))
    except GeminaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if chosen.out is not None:
        table.to_csv(chosen.out, index=False)
    sys.stdout.write(report(table) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
