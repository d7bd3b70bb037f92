"""Errors a user can act on: each says what is wrong, where, what was expected, what came, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class GeminaError(Exception):
    """Base of every error that is the input's fault or the situation's, never a fault of ours.

    ``str(error)`` is one line for a person; `exit_code` is what the command line ends with.
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}: {remedy}" if remedy else what)


class Refused(GeminaError):
    """The request is understood and cannot be carried out as things are."""


class UnreadableInput(GeminaError):
    """The input cannot be read at all."""

    exit_code = 2


class WrongUsage(GeminaError):
    """The words of the call are off."""

    exit_code = 64


class SpecificationError(UnreadableInput):
    """A specification file breaks its own rules."""


class NotFound(Refused):
    """Something named does not exist; says what does."""

    @classmethod
    def named(cls, kind: str, name: str, available: Iterable[str], remedy: str = "") -> Self:
        """An unknown `name` of a `kind`, with the names that would have worked."""
        listed = ", ".join(sorted(available)) or "none"
        return cls(f"unknown {kind} '{name}' (available: {listed})", remedy=remedy)


class Conflict(Refused):
    """The request would overwrite something that somebody may rely on."""


class NotConverged(Refused):
    """A model has no estimate that could be found on these data."""

    @classmethod
    def after(cls, steps: int, model: str) -> Self:
        """A `model` that was still moving after so many steps."""
        return cls(
            f"{model} did not converge in {steps} steps",
            remedy="look for columns with extreme values or that nearly repeat another, correct or leave them out",
        )


class DamagedArtefact(Refused):
    """A stored file is not what its manifest says."""
