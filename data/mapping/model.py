"""The mapping file: JSON in, a checked description of how source columns become canonical ones out (contract, 1.2)."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from data.cohort import TimeZero
from data.errors import UnreadableInput

MAX_PATTERN_LENGTH = 200


class MappingError(UnreadableInput):
    """A mapping file that cannot be used."""


class _Part(BaseModel):
    """A part of a mapping: unknown keys are faults, because a misspelt key would silently do nothing."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, coerce_numbers_to_str=True
    )


class FromNumber(_Part):
    """A number in a stated unit."""

    source: str = Field(alias="from")
    unit: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads."""
        return (self.source,)


class BetweenDates(_Part):
    """The time from one date to another; where the second is absent, `otherwise` stands in."""

    between: tuple[str, str | Annotated[tuple[str, ...], Field(min_length=1)]]
    """Start and end; several end columns stand for the earliest of them."""
    date_format: str
    otherwise: Duration | None = Field(default=None, alias="else")

    @property
    def start(self) -> str:
        """Name of the column with the first date."""
        return self.between[0]

    @property
    def ends(self) -> tuple[str, ...]:
        """Names of the columns whose earliest date ends the time."""
        end = self.between[1]
        return (end,) if isinstance(end, str) else end

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads."""
        return (self.start, *self.ends, *(self.otherwise.sources if self.otherwise else ()))

    @field_validator("date_format")
    @classmethod
    def _names_a_day(cls, date_format: str) -> str:
        day = datetime(2001, 2, 3)
        try:
            is_day = datetime.strptime(day.strftime(date_format), date_format) == day
        except ValueError:
            is_day = False
        if not is_day:
            raise ValueError("a date format names day, month and year, e.g. %m/%d/%Y")
        return date_format


class Listed(_Part):
    """Cells of a column that count as yes."""

    column: str
    values: tuple[str, ...] = Field(alias="in", min_length=1)


class AnyOf(_Part):
    """A flag that is 1 where any of the conditions holds, else 0."""

    any_of: tuple[Listed, ...] = Field(min_length=1)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads."""
        return tuple(condition.column for condition in self.any_of)


_NESTED_REPEAT = re.compile(r"\([^()]*[+*}][^()]*\)[+*{]")
"""The commonest form of a pattern whose search time grows exponentially with the cell."""


class Pattern(_Part):
    """A regular expression to look for in a column, without regard to case."""

    column: str
    pattern: str = Field(max_length=MAX_PATTERN_LENGTH)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if _NESTED_REPEAT.search(pattern):
            raise ValueError("a repeat inside a repeat, as in (a+)+, can take for ever: repeat only once")
        return pattern


class Matches(_Part):
    """A flag that is 1 where a text matches, 0 where it does not, and missing where there is no text."""

    matches: Pattern

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads."""
        return (self.matches.column,)


class Constant(_Part):
    """The same value in every row."""

    constant: bool | int | float | str

    @property
    def text(self) -> str:
        """The value as a cell would hold it."""
        return str(self.constant)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source columns it reads: none."""
        return ()


_TAGS = ("from", "between", "any_of", "matches", "constant")
_KEYS = "'from', 'between', 'any_of', 'matches' or 'constant'"


def _kind(entry: Any) -> str | None:
    keys = entry if isinstance(entry, dict) else vars(entry) if isinstance(entry, BaseModel) else ()
    # A model that is already built knows `from`, a reserved word, as `source`.
    return "from" if "source" in keys else next((tag for tag in _TAGS if tag in keys), None)


Duration = Annotated[
    Annotated[FromNumber, Tag("from")] | Annotated[BetweenDates, Tag("between")],
    Discriminator(
        _kind,
        custom_error_type="no_duration",
        custom_error_message="needs 'from' with 'unit', or 'between' with 'date_format'",
    ),
]
Derivation = Annotated[
    Annotated[FromNumber, Tag("from")]
    | Annotated[BetweenDates, Tag("between")]
    | Annotated[AnyOf, Tag("any_of")]
    | Annotated[Matches, Tag("matches")]
    | Annotated[Constant, Tag("constant")],
    Discriminator(_kind, custom_error_type="no_derivation", custom_error_message=f"needs one of {_KEYS}"),
]


class ReadOptions(_Part):
    """How the bytes of the file are read, where that is not left to its header."""

    # A tab is white space: it must survive.
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    delimiter: Literal[",", ";", "\t"] | None = None
    encoding: str | None = None

    @field_validator("encoding")
    @classmethod
    def _is_text_encoding(cls, encoding: str | None) -> str | None:
        try:
            if encoding is not None:
                "a".encode(encoding)  # also refuses codecs that are not of text, such as zip
        except (LookupError, ValueError) as error:
            raise ValueError("not the name of a text encoding, e.g. utf-8 or windows-1252") from error
        return encoding


class Unresolved(_Part):
    """A question about a source column that only a person can answer."""

    column: str
    reason: str
    candidates: tuple[str, ...] = ()


class Mapping(_Part):
    """How the columns of a file become canonical columns."""

    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    derive: dict[str, Derivation] = Field(default_factory=dict)
    filter: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    read: ReadOptions = ReadOptions()
    time_zero: TimeZero | None = None
    spec: str | None = None
    unresolved: tuple[Unresolved, ...] = ()

    @field_validator("values")
    @classmethod
    def _fold_keys(cls, values: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for target, replacements in values.items():
            _refuse_clashes(target, replacements)
        return values

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        sources_of: dict[str, list[str]] = {}
        for source, target in self.columns.items():
            sources_of.setdefault(target, []).append(f"'{source}'")
        for target in self.derive:
            sources_of.setdefault(target, []).append("derive")
        twice = [f"{target} from {' and '.join(sources)}" for target, sources in sources_of.items() if len(sources) > 1]
        if twice:
            raise ValueError("each canonical column is produced once, got " + "; ".join(twice))
        return self

    def replacements(self, target: str) -> dict[str, str]:
        """What the cells of canonical column `target` are replaced with, by folded cell."""
        return {cell.strip().casefold(): value for cell, value in self.values.get(target, {}).items()}

    def as_dict(self) -> dict[str, Any]:
        """The mapping as the JSON object of the contract, without what is not said."""
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {key: value for key, value in document.items() if value}

    def as_json(self) -> str:
        """The text of the mapping file."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2) + "\n"


def load_mapping(content: bytes, name: str = "mapping") -> Mapping:
    """The mapping in the bytes of a JSON file; `name` is what messages call it.

    Raises:
        MappingError: the bytes do not hold a mapping; every fault is named at once.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique_keys)
        return Mapping.model_validate(document)
    except json.JSONDecodeError as error:
        raise MappingError(
            f"mapping {name} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            remedy="correct the syntax there",
        ) from error
    except UnicodeDecodeError as error:
        raise MappingError(
            f"mapping {name} is not UTF-8 at byte {error.start}", remedy="save it as JSON in UTF-8"
        ) from error
    except ValidationError as error:
        raise MappingError(
            f"mapping {name} is not valid: " + "; ".join(map(_said, error.errors())),
            remedy="correct these entries; keys and values are those of the mapping file's description",
        ) from error
    except (ValueError, RecursionError) as error:
        raise MappingError(f"mapping {name} is not valid: {error}", remedy="correct the file") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"the key {', '.join(map(repr, twice))} stands twice in one object")
    return dict(pairs)


def _refuse_clashes(target: str, replacements: dict[str, str]) -> None:
    seen: dict[str, str] = {}
    for cell, value in replacements.items():
        folded = cell.strip().casefold()
        if seen.setdefault(folded, value) != value:
            raise ValueError(f"the cell '{cell}' of {target} is mapped to two values (case does not count)")


def _said(error: Any) -> str:
    # The tags of the derivations are no keys of the file.
    place = ".".join(
        str(part) for part in error["loc"] if part not in ("any_of", "matches", "constant", "function-after")
    )
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
