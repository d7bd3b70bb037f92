"""Data sets in; how well this twin and models of other packages predict patients whom they never saw out, as one table.

    python -m benchmarks.survival --data gbsg2,radcure,synthetic --folds 5 --seed 0

All models have the same folds, read the same, and are scored by the same functions (`twin.metrics`). Predictions are
made from time zero under the plan that was given. Patients are ranked within their folds only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from benchmarks._cohorts import DATA, Problem
from benchmarks._models import AVERAGE, COX, MODELS, Model, Patients, Training
from data.cohort import Cohort
from data.errors import GeminaError, Refused, WrongUsage
from twin.arrays import Flags, Floats, Integers
from twin.capability import capability
from twin.evaluation.plans_given import complete_plans
from twin.metrics.accuracy import integrated_brier
from twin.metrics.calibration import groups_at
from twin.metrics.censoring import censoring_survival
from twin.metrics.discrimination import harrell_c, uno_c
from twin.metrics.intervals import over_resamples, resample_counts
from twin.metrics.observed import CENSORED, EVENT, Observed
from twin.models.candidates.folds import even_folds
from twin.threads import one_thread

RESAMPLES: Final = 200
TWIN: Final = MODELS[0]

HARRELL, UNO, BRIER, RATIO, EARLY_GAP, LATE_GAP, SECONDS = MEASURES = (
    "Harrell C",
    "Uno C",
    "integrated Brier",
    "over Cox",
    "early gap",
    "late gap",
    "fit s",
)
COLUMNS: Final = ["data", "model", "measure", "value", "se"]
"""Of a table of scores"""

TARGETS_FOR: Final = "radcure"
"""The data set on which the twin has targets"""
LOWEST_C: Final = 0.76
C_BEHIND_BEST: Final = 0.01
LARGEST_GAP: Final = 0.06


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models said of the n patients of a problem, each by a fit without that patient."""

    fold: Integers
    """(n,)"""
    risks: Mapping[str, Floats]
    """By model, (n, months of the problem)"""
    seconds: Mapping[str, Floats]
    """By model, (folds,) of one processor to fit it"""
    served_by: Mapping[str, tuple[str, ...]]
    """By model, (folds,) what it chose to predict with; empty texts where there was no choice"""


def held_out(
    problem: Problem, models: Sequence[Model], folds: int, seed: int, told: Callable[[str], None] | None = None
) -> HeldOut:
    """Fit all models without each fold in turn and ask them for the risks of its patients.

    Raises:
        Refused: fewer events than folds.
    """
    if not 2 <= folds <= problem.observed.events:
        raise Refused(f"{folds} folds", remedy=f"ask for 2 to {problem.observed.events}, the number of events")
    fold = even_folds(problem.observed.event, folds, seed)
    months = problem.months
    risks = {model.name: np.empty((problem.cohort.size, len(months))) for model in models}
    seconds: dict[str, list[float]] = {model.name: [] for model in models}
    served: dict[str, list[str]] = {model.name: [] for model in models}
    for part in range(folds):
        training, asked = split(problem, fold == part, seed)
        for model in models:
            if told is not None:
                told(f"{problem.name}: {model.label} without fold {part + 1}")
            begun = time.process_time()
            fitted = model.fit(training)
            seconds[model.name].append(time.process_time() - begun)
            risks[model.name][fold == part] = fitted.risks(asked, months)
            served[model.name].append(fitted.served_by)
    return HeldOut(
        fold,
        risks,
        {name: np.array(spent) for name, spent in seconds.items()},
        {name: tuple(chosen) for name, chosen in served.items()},
    )


def split(problem: Problem, held_out: Flags, seed: int) -> tuple[Training, Patients]:
    """The patients of a mask (n,) as they can be asked about, and the others as models are fitted on them.

    Plans of which a part is not recorded are completed by the habits of the training part.
    """
    rest, apart = (_part(problem.cohort, rows) for rows in (~held_out, held_out))
    held = capability(rest).held
    training = Training(
        cohort=rest,
        patients=Patients.of(rest, complete_plans(rest, rest, held)),
        observed=problem.observed.take(~held_out),
        outcome=problem.outcome,
        seed=seed,
    )
    return training, Patients.of(apart, complete_plans(rest, apart, held))


def _part(cohort: Cohort, rows: Flags) -> Cohort:
    return Cohort(
        cohort.spec, cohort.frame[rows].reset_index(drop=True), cohort.time_zero, cohort.synthetic, cohort.name
    )


def scores(problem: Problem, said: HeldOut, seed: int) -> pd.DataFrame:
    """Every measure of every model: `COLUMNS`.

    Standard errors are standard deviations over bootstrap resamples of the patients, the same for all models; they
    leave the fitted models as they are. That of the seconds is over folds.
    """
    counts = resample_counts(problem.observed.size, RESAMPLES, seed)
    drawn = {name: _draws(problem, risk, said.fold, counts) for name, risk in said.risks.items()}
    rows = []
    for name, measured in drawn.items():
        measured[RATIO] = measured[BRIER] / drawn[COX.name][BRIER]
        rows += [
            (problem.name, name, measure, float(values[0]), float(np.nanstd(values[1:], ddof=1)))
            for measure, values in measured.items()
        ]
        spent = said.seconds[name]
        rows.append((problem.name, name, SECONDS, float(spent.mean()), float(spent.std(ddof=1) / np.sqrt(len(spent)))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _draws(problem: Problem, risk: Floats, fold: Integers, counts: Floats) -> dict[str, Floats]:
    """(1 + resamples,) of each measure of risks (n, m); the first is that of the sample itself."""
    observed, months, (early, late) = problem.observed, problem.months, problem.horizons
    at_early, at_late = (risk[:, np.searchsorted(months, month)] for month in (early, late))
    measures: dict[str, Callable[[Floats], Floats]] = {
        HARRELL: lambda some: harrell_c(observed, at_late, some, fold),
        UNO: lambda some: uno_c(observed, at_late, late, some, fold),
        BRIER: lambda some: integrated_brier(observed, risk, months, some),
        EARLY_GAP: lambda some: groups_at(observed, at_early, early, some).largest_gap,
        LATE_GAP: lambda some: groups_at(observed, at_late, late, some).largest_gap,
    }
    return {name: over_resamples(measure, counts) for name, measure in measures.items()}


def fifths(problem: Problem, said: HeldOut) -> pd.DataFrame:
    """Fifths of predicted risk, lowest first: ``data, model, month, fifth, patients, predicted, observed``."""
    rows = []
    for name, risk in said.risks.items():
        for month in problem.horizons:
            found = groups_at(problem.observed, risk[:, np.searchsorted(problem.months, month)], month)
            pairs = zip(found.patients, found.predicted[0], found.observed[0], strict=True)
            rows += [(problem.name, name, month, k, *row) for k, row in enumerate(pairs, start=1)]
    return pd.DataFrame(rows, columns=["data", "model", "month", "fifth", "patients", "predicted", "observed"])


def gaps_of_perfect_risks(problem: Problem, risk: Floats, month: float, seed: int) -> Floats:
    """(resamples,) largest gaps that patients with exactly the stated risks (n, months) would show, by chance alone.

    Times are drawn from the risks, and ended as those of the problem's patients are, whoever the patient is.
    """
    rng = np.random.default_rng(seed)
    months, at = problem.months, risk[:, np.searchsorted(problem.months, month)]
    ending = censoring_survival(problem.observed)
    gaps = np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        share = rng.random(len(risk))
        steps = (risk < share[:, None]).sum(axis=1)
        failed = np.append(months, np.inf)[steps]
        lost = np.append(ending.times, np.inf)[np.searchsorted(-ending.values[0], -rng.random(len(risk)))]
        time = np.minimum(np.minimum(failed, lost), months[-1])
        seen = Observed(time, np.where(failed <= time, EVENT, CENSORED))
        gaps[k] = groups_at(seen, at, month).largest_gap[0]
    return gaps


def as_text(table: pd.DataFrame, models: Sequence[Model]) -> str:
    """Scores as one table, a row a data set and model."""
    labels = {model.name: model.label for model in models}
    cells = [
        f"{value:.1f} ±{se:.1f}" if measure == SECONDS else f"{value:.3f} ±{se:.3f}"
        for measure, value, se in table[["measure", "value", "se"]].itertuples(index=False)
    ]
    shown = table.assign(cell=cells, model=table["model"].map(labels))
    wide = shown.pivot_table(index=["data", "model"], columns="measure", values="cell", aggfunc="first", sort=False)
    return wide[list(MEASURES)].rename_axis(columns=None).reset_index().to_string(index=False)


def footnotes(problem: Problem, said: HeldOut) -> Iterator[str]:
    """What was predicted and who served the twin, for a person."""
    observed, (early, late) = problem.observed, problem.horizons
    label = problem.cohort.spec.outcome(problem.outcome).label.lower()
    yield (
        f"{problem.name}: {label}, {observed.events} events in {observed.size} patients, {said.fold.max() + 1} folds; "
        f"scored to month {late:g}, gaps at months {early:g} and {late:g}"
    )
    for chosen in said.served_by.values():
        if any(chosen):
            counts = pd.Series(chosen).value_counts()
            yield f"  the twin predicted with {', '.join(f'{what} ({times})' for what, times in counts.items())}"


def targets(problem: Problem, said: HeldOut, table: pd.DataFrame, seed: int) -> Iterator[str]:
    """Whether the twin meets its targets in the scores of a problem, one line a target."""
    value = table.set_index(["model", "measure"])["value"]
    error = table.set_index(["model", "measure"])["se"]
    rivals = [name for name in table["model"].unique() if name not in (TWIN.name, AVERAGE.name)]
    best = max(rivals, key=lambda name: value[name, HARRELL])
    c, best_c = value[TWIN.name, HARRELL], value[best, HARRELL]
    met = c >= max(LOWEST_C, best_c - C_BEHIND_BEST)
    yield _verdict(met, f"Harrell C {c:.3f}: at least {LOWEST_C} and within {C_BEHIND_BEST} of the best, {best_c:.3f}")
    ratio, spread = value[TWIN.name, RATIO], error[TWIN.name, RATIO]
    met = ratio <= 1.0 + spread
    yield _verdict(
        met, f"integrated Brier {ratio:.3f} of ridge Cox's: below, or within one standard error, {spread:.3f}"
    )
    for measure, month in zip((EARLY_GAP, LATE_GAP), problem.horizons, strict=True):
        gap = value[TWIN.name, measure]
        middle, most = np.quantile(gaps_of_perfect_risks(problem, said.risks[TWIN.name], month, seed), [0.5, 0.95])
        chance = f"perfect risks would show {middle:.3f}, and up to {most:.3f} in 19 of 20 samples"
        yield _verdict(gap <= LARGEST_GAP, f"{measure} {gap:.3f}: at most {LARGEST_GAP}; {chance}")


def _verdict(met: bool, what: str) -> str:
    return f"  {'met   ' if met else 'missed'}  {what}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Score the twin beside models of other packages.")
    parser.add_argument("--data", default=",".join(DATA), help="one or more of " + ", ".join(DATA) + ", with commas")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of folds, fits, resamples and invented patients")
    parser.add_argument("--fifths", action="store_true", help="add predicted and observed risk by fifths of it")
    parser.add_argument("--out", type=Path, help="CSV file for the scores")
    chosen = parser.parse_args(arguments)
    try:
        problems = list(_problems(chosen.data.split(","), chosen.seed))
        text, table = _measured(problems, chosen.folds, chosen.seed, chosen.fifths)
    except GeminaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if chosen.out is not None:
        table.to_csv(chosen.out, index=False)
    sys.stdout.write(text)
    return 0


def _problems(names: Sequence[str], seed: int) -> Iterator[Problem]:
    """The data sets of that name which are here; one sentence on each that is not."""
    for name in names:
        if name not in DATA:
            raise WrongUsage(f"unknown data '{name}'", remedy="use one of " + ", ".join(DATA))
        try:
            yield DATA[name](seed)
        except Refused as refused:
            sys.stderr.write(f"{name} is skipped: {refused}\n")


def _measured(problems: Sequence[Problem], folds: int, seed: int, with_fifths: bool) -> tuple[str, pd.DataFrame]:
    """What is printed, and the scores; nothing where there are no data."""
    tables: list[pd.DataFrame] = []
    notes: list[str] = []
    groups: list[pd.DataFrame] = []
    for problem in problems:
        with one_thread():
            said = held_out(problem, MODELS, folds, seed, _tell)
            found = scores(problem, said, seed)
        tables.append(found)
        groups.append(fifths(problem, said))
        notes.extend(footnotes(problem, said))
        if problem.name == TARGETS_FOR:
            notes.extend(targets(problem, said, found, seed))
    if not tables:
        return "", pd.DataFrame(columns=COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    parts = [as_text(table, MODELS), "\n".join(notes)]
    if with_fifths:
        parts.append(pd.concat(groups).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    return "\n\n".join(parts) + "\n", table


def _tell(what: str) -> None:
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    sys.exit(main())
