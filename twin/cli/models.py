"""Commands about twins: fit, list, promote, evaluate, describe, predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import pandas as pd
import typer

from data.cohort import Cohort
from data.errors import Refused, WrongUsage
from data.importing import check_source
from twin.ahead import state_table
from twin.capability import Subject
from twin.cli.terminal import (
    CohortOption,
    JsonOption,
    SeedOption,
    StoreOption,
    answer,
    progress_bar,
    read_bytes,
    remark,
    say,
    workspace,
    write_bytes,
)
from twin.fit_settings import FitSettings
from twin.prediction import FittedTwin
from twin.timeline import plan_digits
from twin.workspace import Workspace

DEFAULT_HORIZONS_MONTHS: Final = (12.0, 24.0, 36.0, 48.0, 60.0)

DEFAULT_EVIDENCE_WEIGHT: Final = FitSettings.evidence_weight

LATER: Final = {
    "explain": "0.4, with exact attributions",
    "similar": "0.4, with matched comparable patients",
    "report": "0.4, with the board sheet",
}
"""Commands of the contract that this version does not have, and the version that brings them."""

ModelOption = Annotated[str | None, typer.Option("--model", help="Version of a fitted twin.")]
WeightOption = Annotated[
    float,
    typer.Option(
        "--evidence-weight", help="Of published effects: 0 the cohort alone, 0.5 each by its variance, 1 trials alone."
    ),
]
CohortChoice = Annotated[str | None, typer.Option("--cohort", help="Cohort whose serving twin is used.")]


def register(program: typer.Typer) -> None:
    """Add these commands to the program."""
    program.command("fit")(fit)
    program.command("models")(models)
    program.command("promote")(promote)
    program.command("evaluate")(evaluate)
    program.command("card")(card)
    program.command("predict")(predict)
    program.command("recommend")(recommend)
    for name in LATER:
        program.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_later(name))


def _later(name: str) -> Callable[[], int]:
    def announce() -> int:
        raise Refused(f"'{name}' is not in this version", remedy=f"it comes with version {LATER[name]}")

    announce.__doc__ = f"Comes with version {LATER[name]}."
    return announce


def fit(
    cohort: CohortOption,
    seed: SeedOption = 0,
    evidence_weight: WeightOption = DEFAULT_EVIDENCE_WEIGHT,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Fit ridge Cox regression alone: seconds instead of minutes.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Fit a new twin on a cohort and print its version; the first one of a cohort serves at once."""
    with progress_bar(f"twin of {cohort}") as report:
        desk = workspace(store)
        version = desk.fit(cohort, seed, report, evidence_weight=evidence_weight, compare=not no_compare)
    _remark_not_predicted(desk.twin(version))
    if as_json:
        answer({"model": version, "cohort": cohort, "seed": seed, "evidence_weight": evidence_weight})
    else:
        say(version)
    return 0


def models(
    cohort: CohortChoice = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the fitted twins, newest first."""
    found = workspace(store).store.models(cohort)
    if as_json:
        answer([model.as_dict() for model in found])
        return 0
    for model in found:
        state = "serves" if model.serves else ("promoted before" if model.promoted_at else "not promoted")
        say(f"{model.version}  cohort {model.cohort} version {model.cohort_version}, {state}")
    if not found:
        say("no twins yet: python -m twin fit --cohort NAME fits one")
    return 0


def promote(
    model: Annotated[str, typer.Option("--model", help="Version that is to serve its cohort.")],
    store: StoreOption = None,
) -> int:
    """Let a fitted twin serve its cohort: a person's act, recorded in the audit."""
    workspace(store).promote(model)
    say(f"{model} serves")
    return 0


def evaluate(
    cohort: CohortOption, model: ModelOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> int:
    """How good a twin is: cross-validated on its own cohort, or as it is on another one, with what has moved there.

    The result is kept with the model; `card` writes it down for readers.
    """
    with progress_bar(f"evaluation of {model or cohort}") as report:
        found = workspace(store).evaluate(cohort, model, report)
    if as_json:
        answer(found.as_dict())
    else:
        say(found.as_text())
    return 0


def card(
    model: Annotated[str, typer.Option("--model", help="Version of a fitted twin.")],
    out: Annotated[Path, typer.Option("--out", help="Markdown file to write.")],
    store: StoreOption = None,
) -> int:
    """Write the model card of a twin: what it is for, what it learnt from, how good it is and for whom."""
    from twin.card import model_card  # imported here: it takes seconds that others need not wait

    desk = workspace(store)
    twin, found = desk.twin(model), desk.evaluations(model)
    write_bytes(out, model_card(twin, [one.document for one in found], desk.taught(twin)).encode())
    say(f"{out}: the card of {model}, from {len(found)} evaluation{'' if len(found) == 1 else 's'}")
    if not found:
        remark("nothing was evaluated yet: python -m twin evaluate --cohort NAME --model VERSION does")
    return 0


def predict(
    patients: Annotated[Path, typer.Option(help="Patients in canonical columns; only what is known so far.")],
    out: Annotated[Path, typer.Option(help="File to write: CSV, or Parquet when it ends in .parquet.")],
    plans: Annotated[str, typer.Option(help="'all', or plans such as 010,110.")] = "all",
    horizons: Annotated[
        str | None, typer.Option(help="Months, separated by commas (default: 12,24,36,48,60 within the follow-up).")
    ] = None,
    manner: Annotated[
        list[str] | None,
        typer.Option(help="How an open decision is carried out, e.g. concurrent_agent=cetuximab; else as is usual."),
    ] = None,
    states: Annotated[
        Path | None, typer.Option(help="Second file to write: what is likely to be seen on the way, by plan.")
    ] = None,
    cohort: CohortChoice = None,
    model: ModelOption = None,
    store: StoreOption = None,
) -> int:
    """Risks of patients under plans, with intervals and support.

    What is recorded conditions them: decisions, with the agent, and states. Decisions that are open follow each plan.
    """
    twin = chosen_twin(workspace(store), cohort, model)
    wanted = "all" if plans == "all" else [plan.strip() for plan in plans.split(",")]
    for plan in () if wanted == "all" else wanted:
        plan_digits(twin.spec, plan)
    months = _months(horizons, twin)
    with progress_bar("prediction") as report:
        report(0.0, "reading the patients")
        known, code = _patients(patients, twin)
        report(0.2, "computing")
        manners = _manners(manner or ())
        predictions = twin.predict(known.frame, wanted, months, manners)
        if states is not None:
            report(0.6, "what may be seen on the way")
            seen = state_table(twin, known.frame, wanted, manners)
            _write_table(states, seen)
    _write_table(out, predictions)
    _remark_not_predicted(twin)
    say(f"{out}: {len(predictions)} risks of {known.size} patients by {twin.version}")
    if states is not None:
        say(f"{states}: {len(seen)} probabilities of what may be seen on the way")
    return code


def recommend(
    patients: Annotated[Path, typer.Option(help="Patients in canonical columns; only what is known so far.")],
    out: Annotated[Path, typer.Option(help="File to write: CSV, or Parquet when it ends in .parquet.")],
    weights: Annotated[
        str, typer.Option(help="Weights of losses, e.g. death=1,aspiration_6m=0.5; else those of the disease.")
    ] = "",
    exclude: Annotated[
        list[str] | None, typer.Option(help="An option to rule out, e.g. induction_chemo=1; again for more.")
    ] = None,
    cohort: CohortChoice = None,
    model: ModelOption = None,
    store: StoreOption = None,
) -> int:
    """The next decision of each patient: what is recommended, how much better it is, how sure, and why not.

    Judged from which cells are filled. Whoever has nothing left to decide gets no row.
    """
    from twin.policy.options import Exclusion  # imported here: other commands need not wait for them
    from twin.policy.utility import Weights

    desk = workspace(store)
    twin = chosen_twin(desk, cohort, model)
    wanted = Weights.parse(twin.spec, weights)
    excluded = tuple(Exclusion.parse(twin.spec, text) for text in exclude or ())
    with progress_bar("recommendation") as report:
        report(0.0, "reading the patients")
        known, code = _patients(patients, twin)
        table = desk.recommend(twin, known.frame, wanted, excluded, report)
    _write_table(out, table)
    _remark_not_predicted(twin)
    decided = known.size - len(table)
    if decided:
        remark(f"{decided} of {known.size} patients have nothing left to decide that this twin can compare")
    abstained = int(table["abstained"].sum())
    say(f"{out}: {len(table)} recommendations by {twin.version}, {abstained} of them withheld with the reason")
    return code


def chosen_twin(desk: Workspace, cohort: str | None, model: str | None) -> FittedTwin:
    """The twin of the selectors `--cohort` and `--model`, exactly one of which must be given.

    Raises:
        WrongUsage: both or none.
    """
    if (cohort is None) == (model is None):
        raise WrongUsage("name either --cohort or --model", remedy="--cohort uses the twin that serves that cohort")
    return desk.twin(model or desk.serving_version(cohort or ""))


def _remark_not_predicted(twin: FittedTwin) -> None:
    """Which outcomes a twin has no risks of, and why."""
    for ability in twin.capability.about(Subject.OUTCOME):
        if not ability.offered:
            remark(f"{ability.label} is not predicted: {ability.reason}")


def _patients(path: Path, twin: FittedTwin) -> tuple[Cohort, int]:
    """The patients of a file and the exit code of its findings; errors refuse it, all named on standard error."""
    checked = check_source(read_bytes(path), path.name, twin.spec, partial=True)
    for finding in checked.report.findings:
        remark(str(finding))
    if checked.cohort is None:
        count = sum(checked.report.counts.values())
        error = Refused(f"{path.name} cannot be used: {count} findings", remedy="they are listed above")
        error.exit_code = checked.report.exit
        raise error
    return checked.cohort, checked.report.exit


def _months(text: str | None, twin: FittedTwin) -> list[float]:
    """The months asked for; those of the default that the cohort was followed to, when none are."""
    if text is None:
        return [month for month in DEFAULT_HORIZONS_MONTHS if month <= twin.last_month]
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise WrongUsage(f"--horizons '{text}' is not a list of months", remedy="write e.g. 12,24,60") from error


def _manners(texts: Sequence[str]) -> dict[str, str]:
    """Values by column, of options such as ``concurrent_agent=cetuximab``."""
    pairs = [text.partition("=") for text in texts]
    for column, equals, value in pairs:
        if not (column and equals and value):
            raise WrongUsage(
                f"--manner '{column}{equals}{value}' names no value", remedy="write e.g. concurrent_agent=cetuximab"
            )
    return {column: value for column, _, value in pairs}


def _write_table(path: Path, table: pd.DataFrame) -> None:
    if path.suffix == ".parquet":
        write_bytes(path, table.to_parquet(index=False))
    else:
        write_bytes(path, table.to_csv(index=False).encode())
