"""What the commands share: options, progress bars, and where answers and remarks go."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from data.dictionary import load_specification
from data.errors import UnreadableInput
from data.schema import Specification
from data.settings import Settings
from twin.workspace import Progress as Reporter
from twin.workspace import Workspace

SEVERITY_OF_EXIT: Final = (0, 3, 1, 2)
"""Exit codes from best to worst: of several files the worst counts."""

StoreOption = Annotated[str | None, typer.Option("--store", help="URL of the store (default: TWIN_STORE).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer on standard output.")]
SpecOption = Annotated[str | None, typer.Option("--spec", help="Specification: a built-in name or a .toml file.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
CohortOption = Annotated[str, typer.Option("--cohort", help="Name of the cohort in the store.")]
MappingOption = Annotated[Path | None, typer.Option("--mapping", help="Mapping file (JSON).")]
OutOption = Annotated[Path, typer.Option("--out", help="File to write.")]


def workspace(store: str | None) -> Workspace:
    """The workspace of the environment, with another store when one is named."""
    return Workspace(Settings.from_environment(store=store))


def specification(name: str | None, fallback: str | None = None) -> Specification:
    """The specification of the option, else the mapping's, else the default."""
    chosen = name or fallback
    return load_specification(chosen) if chosen else load_specification()


def say(text: str) -> None:
    """An answer for a person, on standard output."""
    sys.stdout.write(text + "\n")


def remark(text: str) -> None:
    """Something beside the answer, on standard error."""
    sys.stderr.write(text + "\n")


def answer(document: object) -> None:
    """An answer for a machine: one JSON document on one line of standard output."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def worst(codes: list[int]) -> int:
    """The exit code that stands for several files."""
    return max(codes, key=SEVERITY_OF_EXIT.index, default=0)


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnreadableInput: it is not there, is a folder, or may not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"cannot read {path}: {error.strerror}", remedy="check the path") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file beside its place and move it there, so that a half-written one never stands.

    A link keeps pointing to the file it names, and what is no regular file (a pipe, a device) is written to as it is.

    Raises:
        UnreadableInput: the place cannot be written.
    """
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
            try:
                draft.write(content)
                draft.flush()
                Path(draft.name).chmod(0o644)
                Path(draft.name).replace(target)
            except OSError:
                Path(draft.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UnreadableInput(f"cannot write {path}: {error.strerror}", remedy="name a file in a folder") from error


@contextmanager
def progress_bar(task: str) -> Iterator[Reporter]:
    """A bar on standard error; silent when that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(task, total=1.0)

        def report(fraction: float, doing: str) -> None:
            bars.update(bar, completed=fraction, description=f"{task}: {doing}")

        yield report
