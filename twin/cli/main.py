"""The program of `python -m twin`: words in, an exit code out.

Exit codes: 0 done; 1 refused; 2 unreadable input; 3 done with warnings; 64 wrong usage; 70 a fault of ours.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import typer
from typer.exceptions import TyperException

from data.errors import GeminaError
from twin.cli import cohorts, models, operations, policy

WRONG_USAGE: Final = 64
FAULT_OF_OURS: Final = 70
INTERRUPTED: Final = 130

program = typer.Typer(
    name="twin",
    help="Gemina: an oncology digital twin. Research and education only; not a medical device.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (operations, cohorts, models, policy):
    group.register(program)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; those of this process when left out.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(program(words, standalone_mode=False, prog_name="python -m twin") or 0)
    except GeminaError as error:
        return _say(str(error), error.exit_code)
    except TyperException as error:
        if not error.format_message():  # no words at all: the help was printed
            return WRONG_USAGE
        return _say(f"{error.format_message()} (see: python -m twin --help)", WRONG_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _say("stopped", INTERRUPTED)
    except Exception as error:  # the boundary: whatever is left is our own fault, and says so
        if os.environ.get("TWIN_DEBUG"):
            traceback.print_exc()
        return _say(f"a fault of ours: {error!r}: set TWIN_DEBUG=1 to see where, and please report it", FAULT_OF_OURS)


def _say(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write("twin: " + " ".join(message.split()) + "\n")
    return code
