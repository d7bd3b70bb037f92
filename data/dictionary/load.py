"""A specification's TOML file and its CSV of columns in, a verified `Specification` out."""

from __future__ import annotations

import csv
import fnmatch
import math
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from data.errors import NotFound, SpecificationError
from data.schema import (
    AuditGroup,
    Column,
    ColumnType,
    Contradiction,
    Contraindication,
    Decision,
    Expectation,
    ImputationRule,
    Landmark,
    Outcome,
    OutcomeKind,
    RatioRule,
    Role,
    Specification,
    Split,
    SplitKind,
    SumFeature,
)

DEFAULT_SPECIFICATION = "oropharynx"

WEIGHTS: Final = {OutcomeKind.SURVIVAL: 1.0, OutcomeKind.COMPETING: 0.5, OutcomeKind.BINARY: 0.2}
"""Of the loss of an outcome whose specification gives none"""


def load_specification(name_or_path: str = DEFAULT_SPECIFICATION) -> Specification:
    """The built-in specification of that name, or the one in that TOML file.

    Raises:
        NotFound: neither a built-in name nor an existing file.
        SpecificationError: the file breaks the rules of a specification.
    """
    path = Path(name_or_path)
    if name_or_path not in _built_in() and path.suffix == ".toml" and path.is_file():
        return _load(path)
    return load_built_in(name_or_path)


def load_built_in(name: str) -> Specification:
    """The built-in specification of that name.

    Raises:
        NotFound: there is none.
    """
    known = _built_in()
    if name not in known:
        raise NotFound.named("specification", name, known, "name one of these or give the path of a .toml file")
    return _load(known[name])


def _built_in() -> dict[str, Path]:
    folder = Path(str(resources.files("data.dictionary")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


@cache
def _load(path: Path) -> Specification:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return _build(document, path.parent)
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, StopIteration) as error:
        raise SpecificationError(f"specification {path.name} cannot be used: {error!r}") from error


def _build(document: dict[str, Any], folder: Path) -> Specification:
    columns = tuple(_column(row) for row in _rows(folder / document["columns"]))
    names = [column.name for column in columns]
    spec = Specification(
        name=document["name"],
        label=document["label"],
        version=int(document["version"]),
        columns=columns,
        moments=tuple(document["moments"]),
        follow_up=document["follow_up"],
        summary=tuple(document.get("summary", ())),
        disease_terms=tuple(document.get("disease_terms", ())),
        decisions=tuple(_decision(entry) for entry in document.get("decisions", ())),
        landmarks=tuple(_landmark(entry) for entry in document.get("landmarks", ())),
        outcomes=tuple(_outcome(entry) for entry in document["outcomes"]),
        features=tuple(
            SumFeature(entry["name"], entry["label"], tuple(fnmatch.filter(names, entry["sum_of"])))
            for entry in document.get("features", ())
        ),
        contradictions=tuple(_contradiction(entry) for entry in document.get("contradictions", ())),
        ratios=tuple(_ratio(entry) for entry in document.get("ratios", ())),
        synonyms=tuple(
            (row["column"], row["level"], row["spelling"]) for row in _optional_rows(folder, document.get("synonyms"))
        ),
        stage_groups=tuple(_optional_rows(folder, document.get("stage_groups"))),
        interacting=tuple(document.get("interacting", ())),
        imputation=tuple(
            ImputationRule(entry["column"], tuple(entry["without"])) for entry in document.get("imputation", ())
        ),
        audit_groups=tuple(AuditGroup(**entry) for entry in document.get("audit_groups", ())),
        contraindications=tuple(_contraindication(entry) for entry in document.get("contraindications", ())),
        splits=tuple(Split(column, SplitKind(kind)) for kind, column in document.get("splits", {}).items()),
    )
    _verify(spec)
    return spec


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, strict=True))


def _optional_rows(folder: Path, name: str | None) -> list[dict[str, str]]:
    return _rows(folder / name) if name else []


def _column(row: dict[str, str]) -> Column:
    kind = ColumnType(row["type"])
    minimum = maximum = None
    levels: tuple[str, ...] = ()
    if kind is ColumnType.CATEGORY:
        levels = tuple(row["levels"].split("|"))
    elif kind is ColumnType.FLAG:
        minimum, maximum = 0.0, 1.0
    elif ".." in row["levels"]:
        minimum, maximum = (float(bound) for bound in row["levels"].split(".."))
    elif row["levels"]:
        levels = tuple(row["levels"].split("|"))
        minimum, maximum = min(map(float, levels)), max(map(float, levels))
    return Column(
        name=row["name"],
        label=row["label"],
        type=kind,
        unit=row["unit"],
        levels=levels,
        minimum=minimum,
        maximum=maximum,
        available_from=row["available_from"],
        role=Role(row["role"]),
        required=row["required"] == "row",
        identifier=row["identifier"] == "yes",
        aliases=tuple(alias for alias in row["aliases"].split("|") if alias),
    )


def _decision(entry: dict[str, Any]) -> Decision:
    month = float(entry["month"])
    return Decision(
        column=entry["column"],
        moment=entry["moment"],
        label=entry["label"],
        phrase=entry["phrase"],
        phrase_without=entry.get("phrase_without", ""),
        month=month,
        month_if_previous_declined=float(entry.get("month_if_previous_declined", month)),
        manner=entry.get("manner"),
    )


def _landmark(entry: dict[str, Any]) -> Landmark:
    return Landmark(entry["moment"], entry["label"], float(entry["month"]), tuple(entry.get("carried", ())))


def _outcome(entry: dict[str, Any]) -> Outcome:
    return Outcome(
        name=entry["name"],
        label=entry["label"],
        kind=OutcomeKind(entry["kind"]),
        event=entry["event"],
        time=entry.get("time"),
        competing=entry.get("competing"),
        month=entry.get("month"),
        triggers=tuple(entry.get("triggers", ())),
        weight=float(entry.get("weight", WEIGHTS[OutcomeKind(entry["kind"])])),
    )


def _expectations(entry: dict[str, Any]) -> tuple[Expectation, ...]:
    return tuple(
        Expectation(column, minimum=wanted.get("min"), maximum=wanted.get("max"))
        if isinstance(wanted, dict)
        else Expectation(column, values=tuple(str(value) for value in wanted))
        for column, wanted in entry.items()
    )


def _contradiction(entry: dict[str, Any]) -> Contradiction:
    return Contradiction(
        code=entry["code"],
        severity=entry["severity"],
        when=_expectations(entry["when"]),
        expect=_expectations(entry["expect"]),
        remedy=entry["remedy"],
    )


def _contraindication(entry: dict[str, Any]) -> Contraindication:
    return Contraindication(
        decision=entry["decision"],
        manner=entry.get("manner"),
        when=_expectations(entry["when"]),
        reason=entry["reason"],
    )


def _ratio(entry: dict[str, Any]) -> RatioRule:
    return RatioRule(
        code=entry["code"],
        severity=entry["severity"],
        numerator=entry["numerator"],
        denominator=entry["denominator"],
        minimum=float(entry["min"]),
        maximum=float(entry["max"]),
        unit=entry["unit"],
        remedy=entry["remedy"],
    )


def _verify(spec: Specification) -> None:
    """Refuse a specification that refers to columns or moments it does not define; all faults at once."""
    mentioned = [
        spec.follow_up,
        *spec.summary_columns,
        *(decision.column for decision in spec.decisions),
        *(outcome.event for outcome in spec.outcomes),
        *(outcome.time for outcome in spec.outcomes if outcome.time),
        *(rule.numerator for rule in spec.ratios),
        *(rule.denominator for rule in spec.ratios),
        *(e.column for rule in spec.contradictions for e in (*rule.when, *rule.expect)),
        *(e.column for rule in spec.contraindications for e in rule.when),
        *(column for column, _, _ in spec.synonyms),
        *(group.column for group in spec.audit_groups),
        *(split.column for split in spec.splits),
        *(decision.manner for decision in spec.decisions if decision.manner),
        *(name for rule in spec.imputation for name in (rule.column, *rule.without)),
    ]
    sums = {feature.name for feature in spec.features}
    mentioned += [name for name in spec.interacting if name not in sums]
    mentioned += [name for landmark in spec.landmarks for name in landmark.carried if name not in sums]
    faults = [f"column '{name}' is mentioned and not defined" for name in mentioned if name not in spec.by_name]
    moments = [
        *(column.available_from for column in spec.columns),
        *(decision.moment for decision in spec.decisions),
        *(landmark.moment for landmark in spec.landmarks),
    ]
    faults += [f"moment '{moment}' is not in the order of moments" for moment in moments if moment not in spec.moments]
    outcomes = {outcome.name for outcome in spec.outcomes}
    faults += [
        f"outcome '{o.name}' competes with unknown '{o.competing}'"
        for o in spec.outcomes
        if o.competing is not None and o.competing not in outcomes
    ]
    faults += [
        f"outcome '{o.name}' needs a time column"
        for o in spec.outcomes
        if o.kind is not OutcomeKind.BINARY and not o.time
    ]
    faults += [
        f"outcome '{o.name}' has a weight that is no number from 0 on"
        for o in spec.outcomes
        if not 0.0 <= o.weight < math.inf
    ]
    faults += [fault for rule in spec.contraindications for fault in _contraindicated(spec, rule)]
    faults += [
        f"audit group '{group.column}' is a number without a threshold `above`, or something else with one"
        for group in spec.audit_groups
        if group.column in spec.by_name and _measured(spec.by_name[group.column]) == (group.above is None)
    ]
    faults += [
        f"split '{split.column}' is not a column for audits, or its values have no order in time"
        for split in spec.splits
        if split.column in spec.by_name and not _separates(spec.by_name[split.column], split.kind)
    ]
    if len(spec.by_name) != len(spec.columns):
        faults.append("two columns have the same name")
    if faults:
        raise SpecificationError(f"specification {spec.name} is inconsistent: " + "; ".join(sorted(set(faults))))


def _contraindicated(spec: Specification, rule: Contraindication) -> Iterator[str]:
    """What is wrong with a contraindication."""
    decision = next((decision for decision in spec.decisions if decision.column == rule.decision), None)
    if decision is None:
        yield f"contraindication of '{rule.decision}', which is no decision"
        return
    manner = spec.by_name.get(decision.manner or "")
    if rule.manner is not None and (manner is None or rule.manner not in manner.levels):
        yield f"contraindication of '{rule.manner}', which is no manner of '{rule.decision}'"
    known = {column.name for column in spec.available_before(decision.moment)}
    late = [expected.column for expected in rule.when if expected.column not in known]
    yield from (f"contraindication of '{rule.decision}' by '{name}', which is not known before it" for name in late)


def _separates(column: Column, kind: SplitKind) -> bool:
    return column.role is Role.AUDIT and (kind is SplitKind.CENTRE or _measured(column))


def _measured(column: Column) -> bool:
    return column.type in (ColumnType.NUMBER, ColumnType.INTEGER)
