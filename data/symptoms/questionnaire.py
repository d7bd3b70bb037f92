"""A disease in, the questionnaire its patients answer out: items, weeks, scale and what starts the clock."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

from data.errors import NotFound, SpecificationError
from data.schema import Specification


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a questionnaire."""

    name: str
    label: str
    group: str
    """Part of the questionnaire, e.g. ``interference``"""
    shown: bool
    """Whether a screen shows the item before anybody asks for the rest"""


@dataclass(frozen=True)
class Questionnaire:
    """What is asked, on which scale and when."""

    spec: str
    """Name of the specification whose patients answer it"""
    items: tuple[Item, ...]
    weeks: tuple[float, ...]
    """Ascending, counted from the month at which the decision `clock` takes effect; week 0 comes before its effect"""
    lowest: float
    """Not present"""
    highest: float
    """As bad as can be imagined"""
    clock: str
    """Column of the decision that starts the weeks"""
    counted_from: str
    """What starts the weeks, in words"""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the items, in their order."""
        return tuple(item.name for item in self.items)

    def item(self, name: str) -> Item:
        """The item called `name`.

        Raises:
            NotFound: there is none.
        """
        return self.items[self.positions([name])[0]]

    def positions(self, names: Sequence[str]) -> list[int]:
        """Where the items called `names` stand in `items`.

        Raises:
            NotFound: there is no item of that name.
        """
        unknown = next((name for name in names if name not in self.names), None)
        if unknown is not None:
            raise NotFound.named("symptom", unknown, self.names)
        return [self.names.index(name) for name in names]


def load_questionnaire(spec: Specification) -> Questionnaire | None:
    """The built-in questionnaire of a disease; ``None`` where it has none.

    Raises:
        SpecificationError: the file breaks the rules of a questionnaire.
    """
    path = Path(str(resources.files("data.dictionary"))) / f"{spec.name}_symptoms.csv"
    if not path.is_file():
        return None
    return read_questionnaire(path, spec.name, tuple(decision.column for decision in spec.decisions))


@cache
def read_questionnaire(path: Path, spec: str, decisions: tuple[str, ...]) -> Questionnaire:
    """The questionnaire in a CSV file: `name, label, group, shown, scale, weeks, clock, counted_from`, one row an item.

    Args:
        path: the file.
        spec: name of the specification.
        decisions: columns of its decisions, one of which starts the clock.

    Raises:
        SpecificationError: a column is absent or a cell unreadable, items differ in scale, weeks or clock, two have one
            name, weeks are not ascending, or the clock is none of the decisions.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, strict=True))
        alike = [(row["scale"], row["weeks"], row["clock"], row["counted_from"]) for row in rows]
        (scale, weeks, clock, counted_from), *others = dict.fromkeys(alike)
        lowest, highest = (float(bound) for bound in scale.split(".."))
        found = Questionnaire(
            spec=spec,
            items=tuple(Item(row["name"], row["label"], row["group"], row["shown"] == "yes") for row in rows),
            weeks=tuple(float(week) for week in weeks.split("|")),
            lowest=lowest,
            highest=highest,
            clock=clock,
            counted_from=counted_from,
        )
    except (KeyError, ValueError, csv.Error) as error:
        raise SpecificationError(f"symptoms {path.name} cannot be used: {error!r}") from error
    faults = _faults(found, differing=bool(others), decisions=decisions)
    if faults:
        raise SpecificationError(f"symptoms {path.name} are inconsistent: " + "; ".join(faults))
    return found


def _faults(found: Questionnaire, *, differing: bool, decisions: Sequence[str]) -> list[str]:
    said = {
        "items differ in scale, weeks or clock": differing,
        "two items have the same name": len(set(found.names)) != len(found.names),
        "weeks are not ascending from 0 or later": list(found.weeks) != sorted(set(found.weeks)) or found.weeks[0] < 0,
        "the scale is empty": found.lowest >= found.highest,
        f"the clock '{found.clock}' is no decision (decisions: {', '.join(decisions)})": found.clock not in decisions,
    }
    return [fault for fault, holds in said.items() if holds]
