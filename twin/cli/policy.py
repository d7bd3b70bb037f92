"""Commands about policies: train."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from data.errors import WrongUsage
from twin.cli.models import CohortChoice, ModelOption, chosen_twin
from twin.cli.terminal import JsonOption, StoreOption, answer, progress_bar, remark, say, workspace

INCOMPLETE: Final = 3
"""Exit code where time was over before training came to its end"""
GO_ON: Final = "the same command with --resume goes on"


def register(program: typer.Typer) -> None:
    """Add these commands to the program."""
    program.command("train")(train)


def train(
    cohort: CohortChoice = None,
    model: ModelOption = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="How many seeds are tried; the best serves.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.0, help="After which the best so far serves.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where training was stopped.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> int:
    """Train an agent for a twin on its simulator; its regret to the exact optimum is measured on patients held out."""
    if resume and seeds is not None:
        raise WrongUsage("--seeds with --resume", remedy="training goes on with the seeds it was begun with")
    desk = workspace(store)
    twin = chosen_twin(desk, cohort, model)
    try:
        with progress_bar("training") as report:
            agent = desk.train(twin.version, seeds, minutes, resume=resume, progress=report)
    except KeyboardInterrupt:
        remark(f"stopped: {GO_ON}")
        raise
    document, regret = agent.document, agent.document["regret"]
    if as_json:
        answer({"model": twin.version, **document})
    else:
        say(f"{twin.version}: {document['algorithm']}, seed {document['seed']}")
        say(
            f"regret on {document['patients']['held_out']} patients held out, of the spread between their best and "
            f"worst plan: mean {regret['mean']:.2%}, 95th percentile {regret['p95']:.2%}"
            f" ({'met' if regret['met'] else 'missed'}: at most {document['target']['mean']:.0%} and"
            f" {document['target']['p95']:.0%})"
        )
    if not agent.complete:
        remark(f"time was over before training came to its end: {GO_ON}")
        return INCOMPLETE
    return 0
