"""Synthetic worlds whose true risks are known in; how far a twin and its yardstick are from the truth out.

The yardstick is the form in which clinical prediction models are mostly published: a ridge Cox model per cause with the
main effects of covariates and decisions, the decisions taken as known at time zero. Both are fitted on one half of the
patients and answer for the other half, whom they never saw, under every plan, not only the plan that was given: that is
what only a world with known truth can score.

    python -m benchmarks.truth --seeds 0-4 --patients 536,1500 --world own,other,other-confounded
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from data.cohort import Cohort
from data.errors import GeminaError, Refused, WrongUsage
from data.schema import UNKNOWN, AuditGroup, OutcomeKind, Role
from data.synthetic import PLANS, SURVIVAL_OUTCOMES, Given, generate
from tests.fixtures.other_world import OUTCOMES as OTHER_OUTCOMES
from tests.fixtures.other_world import other_world
from twin.answer import Answer
from twin.arrays import Flags, Floats, Integers
from twin.capability import capability
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.references import RidgeCox, reference_inputs
from twin.evaluation.targets import Target, target
from twin.fitting import FitSettings, fit_twin
from twin.prediction import FittedTwin
from twin.state import Known
from twin.threads import one_thread
from twin.timeline import plan_digits, question_moment

MONTHS: Final = (12.0, 24.0, 36.0, 48.0, 60.0)
WITHOUT: Final = "000"
WITH: Final = "010"
"""Plans between which the individual benefit of concurrent chemotherapy is taken, at the last month."""
SMALLEST_GROUP: Final = 50
"""Patients below which the coverage in a group is noise."""
PATIENTS_AT_ONCE: Final = 128
"""Patients whose refits are held in memory together."""
ALL: Final = "all"
TWIN: Final = "twin"
YARDSTICK: Final = "yardstick"
LARGEST_RATIO: Final = {"own": 0.90, "other": 0.95, "other-confounded": 1.0}
"""Targets: of the error of the twin over that of the yardstick, all outcomes together"""
LEAST_RANK: Final = 0.7
RANKED_FROM: Final = 1500
"""Patients from which the rank of the benefit is a target, in the own world"""
COVERED: Final = (0.87, 0.93)
LEAST_COVERED: Final = 0.85
"""Of the least covered audited group"""
Row = tuple[str, str, str, str, float]
"""A measure as in `COLUMNS`"""
COLUMNS: Final = ["measure", "model", "group", "outcome", "value"]
"""Of a table of measures, beside those that say where it was measured."""


@dataclass(frozen=True, eq=False)
class World:
    """A cohort to learn from, and n other patients of the same world with their true risks."""

    cohort: Cohort
    asked: Cohort
    """The n others"""
    outcomes: tuple[str, ...]
    truths: Mapping[str, Floats]
    """By what they are conditioned on: (n, plans, outcomes, months) as in `PLANS`, `outcomes` and `MONTHS`"""


def own_world(patients: int, seed: int) -> World:
    """The structural model of the demonstration; the truth given the true HPV status, and given the record alone."""
    made = generate(2 * patients, seed)
    truths = {given.value: made.truth(PLANS, MONTHS, given)[patients:] for given in reversed(Given)}
    return World(*halves(made.cohort), SURVIVAL_OUTCOMES, truths)


def other(patients: int, seed: int, confounder: bool = False) -> World:
    """A structurally different world; the truth given the record."""
    made = other_world(2 * patients, seed, confounder)
    truths = {Given.RECORDED.value: made.truth(PLANS, MONTHS)[patients:]}
    return World(*halves(made.cohort), OTHER_OUTCOMES, truths)


def halves(cohort: Cohort) -> tuple[Cohort, Cohort]:
    """Those to learn from, and those to ask about."""
    first, second = np.split(np.arange(cohort.size), 2)
    return _some(cohort, first), _some(cohort, second)


def _some(cohort: Cohort, rows: Integers) -> Cohort:
    return replace(cohort, frame=cohort.frame.iloc[rows].reset_index(drop=True))


WORLDS: Final[Mapping[str, Callable[[int, int], World]]] = {
    "own": own_world,
    "other": other,
    "other-confounded": lambda patients, seed: other(patients, seed, confounder=True),
}


@dataclass(frozen=True, eq=False)
class Answers:
    """What a twin and the yardstick say of n patients; arrays of risks are as those of `World.truths`."""

    twin: Floats
    lower: Floats
    upper: Floats
    difference_lower: Floats
    """(n, pairs, outcomes, months) of the risk under one plan less that under another, as in `pairs`"""
    difference_upper: Floats
    yardstick: Floats


def pairs() -> list[tuple[int, int, int]]:
    """(decision, plan with it, plan without it) of all plans that differ in one decision; plans as in `PLANS`."""
    found = []
    for at, plan in enumerate(PLANS):
        for decision, digit in enumerate(plan):
            if digit == "1":
                found.append((decision, at, PLANS.index(plan[:decision] + "0" + plan[decision + 1 :])))
    return found


def known_at_first(cohort: Cohort) -> pd.DataFrame:
    """What is known before the first decision."""
    return Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 0)).frame


def answers(world: World, settings: FitSettings) -> Answers:
    """Fit both models on the world's cohort and ask them for everything.

    Raises:
        Refused: the cohort cannot teach one of the outcomes, or cannot compare one of the plans.
    """
    fitted = fit_twin(world.cohort, settings)
    frame = known_at_first(world.asked)
    parts = [
        _twin_answers(fitted, frame.iloc[start : start + PATIENTS_AT_ONCE].reset_index(drop=True), world)
        for start in range(0, len(frame), PATIENTS_AT_ONCE)
    ]
    risk, lower, upper, difference_lower, difference_upper = (np.concatenate(part) for part in zip(*parts, strict=True))
    with one_thread():
        yardstick = yardstick_risks(world.cohort, world.asked, world.outcomes)
    return Answers(risk, lower, upper, difference_lower, difference_upper, yardstick)


def _twin_answers(fitted: FittedTwin, frame: pd.DataFrame, world: World) -> tuple[Floats, ...]:
    """Risks with their ends, and the ends of differences, of a few patients."""
    table = fitted.predict(frame, PLANS, MONTHS).set_index(["patient_id", "plan", "outcome", "month"])
    order = pd.MultiIndex.from_product([frame[world.asked.spec.key], PLANS, world.outcomes, MONTHS])
    shape = (len(frame), len(PLANS), len(world.outcomes), len(MONTHS))
    stated = [table[name].loc[order].to_numpy(dtype=float).reshape(shape) for name in ("risk", "lower", "upper")]
    draws = fitted.predict_draws(frame, PLANS, MONTHS)
    ends = [_difference_ends(fitted, {name: draws[name][:, k] for name in world.outcomes}) for k in range(len(frame))]
    low, high = (np.stack(end) for end in zip(*ends, strict=True))
    return (*stated, low, high)


def _difference_ends(fitted: FittedTwin, draws: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """(pairs, outcomes, months) lower and upper ends of what one patient is told, from draws (draws, plans, months)."""
    answer = Answer(
        plans=PLANS,
        months=np.array(MONTHS),
        over_time=draws,
        binary={},
        dependences=(),
        domain_ends={name: fitted.domain_end(name) for name in draws},
        level=fitted.origin.interval,
        interval=fitted.origin.interval_label,
    )
    told = [answer.difference(PLANS[a], PLANS[b]) for _, a, b in pairs()]
    low, high = (np.array([[getattr(by[name], end) for name in draws] for by in told]) for end in ("lower", "upper"))
    return low, high


def yardstick_risks(cohort: Cohort, others: Cohort, outcomes: Sequence[str]) -> Floats:
    """(n, plans, outcomes, months) risks of n others by the yardstick, fitted on a cohort.

    Raises:
        Refused: an outcome is not followed long enough.
    """
    spec = cohort.spec
    given = complete_plans(cohort, cohort, capability(cohort).held)
    asked = [reference_inputs(others.frame, spec, np.tile(plan_digits(spec, plan), (others.size, 1))) for plan in PLANS]
    result = np.empty((others.size, len(PLANS), len(outcomes), len(MONTHS)))
    for k, name in enumerate(outcomes):
        aim = _target(cohort, name)
        inputs = reference_inputs(cohort.frame.iloc[aim.rows], spec, given[aim.rows])
        model = RidgeCox.fit(inputs, aim.observed)
        for at, under_plan in enumerate(asked):
            result[:, at, k] = model.risks(under_plan, np.array(MONTHS))
    return result


def _target(cohort: Cohort, name: str) -> Target:
    outcome = cohort.spec.outcome(name)
    if outcome.kind is OutcomeKind.BINARY:
        raise WrongUsage(f"{name} has no time", remedy="name time-to-event outcomes")
    found = target(cohort, outcome, MONTHS)
    if isinstance(found, str):
        raise Refused(f"{name}: {found}", remedy="ask for a larger cohort")
    return found


def measures(world: World, said: Answers) -> pd.DataFrame:
    """Everything that is measured in one world: columns ``given`` and `COLUMNS`.

    Measures: ``error`` (mean absolute error of the risk over all patients, plans and months), ``ratio`` (of the twin's
    error to the yardstick's), ``bias`` (mean of stated less true risk), ``coverage`` (share of true risks within their
    interval), ``difference coverage`` (of true differences between two plans, within theirs, where the twin compares
    them), ``benefit ranks`` (Spearman's correlation of the true and the stated benefit of concurrent chemotherapy),
    ``mean benefit`` and its true value.
    """
    tables = []
    for given, truth in world.truths.items():
        rows = [
            *_errors(world, said, truth),
            *_coverage(world, said, truth),
            *_difference_coverage(world, said, truth),
            *_benefits(world, said, truth),
        ]
        table = pd.DataFrame(rows, columns=COLUMNS)
        table.insert(0, "given", given)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _each(outcomes: Sequence[str]) -> Iterator[tuple[str, int | slice]]:
    """Every outcome with its position, and all together."""
    yield ALL, slice(None)
    yield from ((name, k) for k, name in enumerate(outcomes))


def _errors(world: World, said: Answers, truth: Floats) -> Iterator[Row]:
    for name, k in _each(world.outcomes):
        errors = {model: getattr(said, model)[:, :, k] - truth[:, :, k] for model in (TWIN, YARDSTICK)}
        sizes = {model: float(np.abs(error).mean()) for model, error in errors.items()}
        for model, error in errors.items():
            yield "error", model, ALL, name, sizes[model]
            yield "bias", model, ALL, name, float(error.mean())
        yield "ratio", TWIN, ALL, name, sizes[TWIN] / sizes[YARDSTICK]


def _coverage(world: World, said: Answers, truth: Floats) -> Iterator[Row]:
    within = (said.lower <= truth) & (truth <= said.upper)
    given = _plan_given(world.asked)
    for name, k in _each(world.outcomes):
        yield "coverage", TWIN, ALL, name, float(within[:, :, k].mean())
        yield "coverage", TWIN, "plan given", name, float(within[:, :, k][given].mean())
        yield "coverage", TWIN, "plan not given", name, float(within[:, :, k][~given].mean())
        for group, members in groups(world.asked):
            yield "coverage", TWIN, group, name, float(within[members][:, :, k].mean())


def _plan_given(cohort: Cohort) -> Flags:
    """(n, plans) which plan each patient had; a decision that is not recorded as the physicians mostly take it."""
    had = np.array(plan_texts(complete_plans(cohort, cohort, capability(cohort).held)))
    return np.asarray(had[:, None] == np.array(PLANS)[None, :])


def _difference_coverage(world: World, said: Answers, truth: Floats) -> Iterator[Row]:
    true = np.stack([truth[:, a] - truth[:, b] for _, a, b in pairs()], axis=1)
    within = ((said.difference_lower <= true) & (true <= said.difference_upper)).astype(float)
    within[:, ~_compared(world, said)] = np.nan
    decision = np.array([d for d, _, _ in pairs()])
    for name, k in _each(world.outcomes):
        covered = within[:, :, k]
        yield "difference coverage", TWIN, ALL, name, float(np.nanmean(covered))
        for d, described in enumerate(world.cohort.spec.decisions):
            share = covered[:, decision == d]
            if not np.isnan(share).all():
                yield "difference coverage", TWIN, described.column, name, float(np.nanmean(share))
        for group, members in groups(world.asked):
            yield "difference coverage", TWIN, group, name, float(np.nanmean(covered[members]))


def _compared(world: World, said: Answers) -> Flags:
    """(pairs, outcomes) False where the twin declines to compare.

    There the outcome can bring the decision about, and the stated difference is 0 without an interval in everybody.
    """
    spec = world.cohort.spec
    silent = (said.difference_lower == said.difference_upper).all(axis=(0, 3))
    brought_about = [
        [spec.decisions[d].column in spec.outcome(name).triggers for name in world.outcomes] for d, _, _ in pairs()
    ]
    return np.asarray(~(silent & np.array(brought_about)))


def groups(cohort: Cohort) -> Iterator[tuple[str, Flags]]:
    """The audited groups of at least `SMALLEST_GROUP` patients, by name, with (n,) who is in them; and by completeness.

    Where a value is missing, an interval also holds what it may be, while the truth is averaged over that.
    """
    first = known_at_first(cohort)
    covariates = first[[column.name for column in cohort.spec.having(Role.COVARIATE) if column.name in first]]
    incomplete = (covariates.isna() | (covariates == UNKNOWN)).any(axis=1).to_numpy()
    yield "something unknown", incomplete
    yield "nothing unknown", ~incomplete
    for audit in cohort.spec.audit_groups:
        if cohort.records(audit.column):
            for name, members in _members(cohort.frame[audit.column], audit):
                if members.sum() >= SMALLEST_GROUP:
                    yield f"{audit.column} {name}", members


def _members(values: pd.Series, audit: AuditGroup) -> Iterator[tuple[str, Flags]]:
    if audit.above is not None:
        yield f"above {audit.above:g}", (values > audit.above).to_numpy(dtype=bool)
        yield f"up to {audit.above:g}", (values <= audit.above).to_numpy(dtype=bool)
        return
    for level in sorted(values.dropna().unique()):
        yield str(level), (values == level).to_numpy(dtype=bool)


def _benefits(world: World, said: Answers, truth: Floats) -> Iterator[Row]:
    """Of the first outcome, death, at the last month."""
    death = world.outcomes[0]

    def benefit(risk: Floats) -> Floats:
        return np.asarray(risk[:, PLANS.index(WITHOUT), 0, -1] - risk[:, PLANS.index(WITH), 0, -1])

    true = benefit(truth)
    yield "mean benefit", "truth", ALL, death, float(true.mean())
    for model in (TWIN, YARDSTICK):
        stated = benefit(getattr(said, model))
        yield "benefit ranks", model, ALL, death, float(spearmanr(true, stated).statistic)
        yield "mean benefit", model, ALL, death, float(stated.mean())


def run(world: str, patients: int, seed: int, settings: FitSettings | None = None) -> pd.DataFrame:
    """Measure one world: columns ``world, patients, seed, given`` and `COLUMNS`.

    Raises:
        WrongUsage: there is no such world.
    """
    if world not in WORLDS:
        raise WrongUsage(f"unknown world '{world}'", remedy="use one of " + ", ".join(WORLDS))
    made = WORLDS[world](patients, seed)
    table = measures(made, answers(made, settings or FitSettings()))
    where = pd.DataFrame({"world": world, "patients": patients, "seed": seed}, index=table.index)
    return pd.concat([where, table], axis=1)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard error (NaN for one seed) and number of seeds of every measure of `run`."""
    keys = ["world", "patients", "given", *COLUMNS[:-1]]
    values = table.groupby(keys, sort=False)["value"]
    return pd.DataFrame({"mean": values.mean(), "se": values.sem(), "seeds": values.count()}).reset_index()


def report(table: pd.DataFrame) -> str:
    """The measures of one world and size as text, for a person."""
    parts = []
    for (world, patients, given), part in table.groupby(["world", "patients", "given"], sort=False):
        seeds = ", ".join(str(seed) for seed in part["seed"].unique())
        parts.append(f"== world {world}, {patients} patients, seeds {seeds}, truth given {given}")
        parts.extend(_paragraphs(part))
        parts.append("\n".join(_verdicts(str(world), int(patients), over_seeds(part))))
    return "\n\n".join(parts)


def _verdicts(world: str, patients: int, mean: pd.DataFrame) -> Iterator[str]:
    """The targets, and whether the means over seeds meet them."""
    together = mean[(mean["model"] == TWIN) & (mean["outcome"] == ALL)]

    def verdict(met: bool, said: str) -> str:
        return f"  {'met   ' if met else 'missed'}  {said}"

    ratio = together.loc[together["measure"] == "ratio", "mean"].item()
    yield verdict(ratio <= LARGEST_RATIO[world], f"ratio of errors {ratio:.2f}: at most {LARGEST_RATIO[world]:.2f}")
    if world == "own" and patients >= RANKED_FROM:
        of_twin = (mean["measure"] == "benefit ranks") & (mean["model"] == TWIN)
        rank = mean.loc[of_twin, "mean"].item()
        yield verdict(rank >= LEAST_RANK, f"rank of the benefit {rank:.2f}: at least {LEAST_RANK}")
    low, high = COVERED
    for measure in ("coverage", "difference coverage"):
        by_group = together[together["measure"] == measure].set_index("group")["mean"]
        whole = by_group[ALL]
        yield verdict(low <= whole <= high, f"{measure} {whole:.3f}: from {low} to {high}")
        least = by_group.drop(ALL).idxmin()
        said = f"{measure} of the least covered, {least}, {by_group[least]:.3f}: at least {LEAST_COVERED}"
        yield verdict(by_group[least] >= LEAST_COVERED, said)


def _paragraphs(part: pd.DataFrame) -> Iterator[str]:
    whole = part[part["group"] == ALL]
    mean = over_seeds(part)

    def pivot(rows: pd.DataFrame, index: str, columns: list[str] | str, values: str = "mean") -> str:
        wide = rows.pivot_table(index=index, columns=columns, values=values, sort=False)
        return wide.to_string(float_format=lambda value: f"{value:.3f}")

    errors = mean[mean["measure"].isin(["error", "bias"])]
    yield "Mean absolute error and bias of the risk\n" + pivot(errors, "outcome", ["measure", "model"])
    ratios = whole[whole["measure"] == "ratio"]
    yield "Error of the twin over that of the yardstick, by seed\n" + pivot(ratios, "outcome", "seed", "value")
    summed = mean[mean["measure"] == "ratio"].set_index("outcome")[["mean", "se"]]
    yield "The same over seeds\n" + summed.to_string(float_format=lambda value: f"{value:.3f}")
    ranks = whole[whole["measure"].isin(["benefit ranks", "mean benefit"])]
    yield "Benefit of concurrent chemotherapy by seed\n" + pivot(ranks, "seed", ["measure", "model"], "value")
    for measure in ("coverage", "difference coverage"):
        rows = mean[mean["measure"] == measure]
        spread = rows[(rows["group"] == ALL) & (rows["outcome"] == ALL)]["se"].item()
        title = f"{measure.capitalize()} (standard error of the whole over seeds {spread:.3f})"
        yield f"{title}\n" + pivot(rows, "group", "outcome")


def numbers(text: str) -> list[int]:
    """``"0-4"``, ``"536,1500"`` or both as whole numbers.

    Raises:
        WrongUsage: anything else.
    """
    found: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise WrongUsage(f"'{text}' is no list of numbers", remedy="write 0-4, or 536,1500")
        found.extend(range(int(first), int(last) + 1) if dash else [int(first)])
    return found


def fit_settings(assignments: Sequence[str]) -> FitSettings:
    """The default settings with some changed, each as ``"name=number"``.

    Raises:
        WrongUsage: there is no such setting, or its value is no number of its kind.
        Refused: the settings refuse a value.
    """
    kinds = {name: type(value) for name, value in asdict(FitSettings()).items()}
    changed: dict[str, Any] = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        try:
            changed[name] = kinds[name](value)
        except (KeyError, ValueError) as error:
            known = ", ".join(kinds)
            raise WrongUsage(f"cannot set '{assignment}'", remedy=f"write name=number, of {known}") from error
    return FitSettings(**changed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Score a twin and its yardstick against known truth.")
    parser.add_argument("--seeds", default="0-4", help="of the worlds, e.g. 0-4")
    parser.add_argument("--patients", default="536", help="sizes of the cohorts, e.g. 536,1500")
    parser.add_argument("--world", default="own", help="one or more of " + ", ".join(WORLDS) + ", with commas")
    parser.add_argument("--set", default=[], action="append", help="a setting of the fit, e.g. seed=3; again for more")
    parser.add_argument("--out", type=Path, help="CSV file for all measures")
    chosen = parser.parse_args(arguments)
    try:
        settings = fit_settings(chosen.set)
        table = _measured(chosen.world.split(","), numbers(chosen.patients), numbers(chosen.seeds), settings)
    except GeminaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if chosen.out is not None:
        table.to_csv(chosen.out, index=False)
    sys.stdout.write(report(table) + "\n")
    return 0


def _measured(worlds: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], settings: FitSettings) -> pd.DataFrame:
    tables = []
    for world, patients, seed in product(worlds, sizes, seeds):
        begun = time.perf_counter()
        tables.append(run(world, patients, seed, settings))
        sys.stderr.write(f"{world}, {patients} patients, seed {seed}: {time.perf_counter() - begun:.0f} s\n")
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    sys.exit(main())
