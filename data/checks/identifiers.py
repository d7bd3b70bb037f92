"""Columns that name a person in, findings that stop the file out; and keyed pseudonyms for those who need the rows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from data.errors import Refused
from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.names import normalised
from data.reader.table import RawTable, TextColumn
from data.remedies import looks_like_date

_HEADERS: Final = {
    "a person's name": (
        "name|patient name|pat name|patients name|full name|first name|firstname|forename|given name|last name|lastname"
        "|surname|family name|middle name|maiden name|initials|vorname|nachname|nom|prenom|apellido"
    ),
    "a full date of birth": "dob|date of birth|birth date|birthdate|birthday|d o b|geburtsdatum|date de naissance",
    "a record number": (
        "mrn|medical record number|medical record no|medical record|hospital number|record number|chart number|nhs"
        "|nhs number|ssn|social security number|insurance number|health card number|patient mrn|accession number"
    ),
    "a telephone number": "phone|telephone|tel|mobile|cell phone|phone number|telephone number|fax|telefon|handy",
    "an e-mail address": "email|e mail|email address|e mail address|mail",
    "a postal address": (
        "address|street|home address|street address|postcode|postal code|zip|zip code|plz|adresse|strasse|straße"
    ),
}
_KIND_OF_HEADER: Final = {header: kind for kind, headers in _HEADERS.items() for header in headers.split("|")}
_RECORD_NUMBER: Final = "a record number"

# Bounded, so that a long cell without an address costs no more than its length.
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.\w")
_SOCIAL_SECURITY: Final = re.compile(r"\d{3}-\d{2}-\d{4}")
_NHS: Final = re.compile(r"\d{3}[ -]\d{3}[ -]\d{4}")
_PHONE: Final = re.compile(r"(\+|00|\()[\d][\d ()./-]{6,17}\d")
_NAME: Final = re.compile(
    r"(?P<last>[^\W\d_][\w'\u2019-]*( [^\W\d_][\w'\u2019-]*)?), ?[^\W\d_][\w'\u2019.-]*( [^\W\d_][\w'\u2019.-]*)?"
)
_ADDRESS: Final = re.compile(
    r"\d+[a-z]? ([A-Z][\w'\u2019.-]* )+(street|st|avenue|ave|road|rd|lane|ln|drive|dr|court|ct|boulevard|blvd)\.?"
    r"|[A-ZÄÖÜ][\w'\u2019.-]*(straße|strasse|str\.|weg|platz|gasse) \d+[a-z]?",
    re.IGNORECASE,
)
_LONG_NUMBER: Final = re.compile(r"\d{7,}")

_LONGEST_SHAPE: Final = 120
"""No name, number or address is longer: longer cells are free text, in which only e-mail addresses are looked for."""
_USUAL_SHARE: Final = 0.5
"""Share of filled cells of one shape from which a column counts as holding such things."""
_NAME_SHARE: Final = 0.8
_DISTINCT_SURNAMES: Final = 3
"""Two words and a comma are a name only where the first words differ as surnames do."""
_KEY_BYTES: Final = 32
_PSEUDONYM_LENGTH: Final = 16
"""Base32 characters: 80 bits, so that a million patients collide with a chance of one in two million million."""


def report_identifiers(
    table: RawTable, key_source: str | None, targets: Mapping[str, str], findings: Findings
) -> dict[str, str]:
    """Stop a file that names persons.

    Args:
        table: the file.
        key_source: name of the source column that identifies a patient, if there is one.
        targets: canonical column by source column, for the findings.
        findings: takes one error a column, without any of its cells.

    Returns:
        What kind of identifier each such column holds, by its name in the file.
    """
    kinds = identifying_columns(table, key_source)
    for name, kind in kinds.items():
        findings.add(
            Finding(
                "direct_identifier",
                Severity.ERROR,
                WHOLE_FILE,
                name,
                targets.get(name, ""),
                "no direct identifier anywhere in the file",
                f"{kind} (cells are not shown)",
                "remove the column, or pseudonymise on import: identifiers become keyed hashes, the rest is dropped",
            )
        )
    return kinds


def identifying_columns(table: RawTable, key_source: str | None = None) -> dict[str, str]:
    """Columns that name a person, by their header or by their cells, and what they hold."""
    found = {}
    for name, cells in table.columns.items():
        kind = _kind_by_header(name, cells) or _kind_by_cells(cells.frequencies())
        if kind is None and name == key_source and _all(cells.frequencies(), _LONG_NUMBER.fullmatch):
            kind = _RECORD_NUMBER
        if kind is not None:
            found[name] = kind
    return found


def _kind_by_header(name: str, cells: TextColumn) -> str | None:
    words = normalised(name)
    kind = _KIND_OF_HEADER.get(words)
    if kind is not None:
        return kind if any(cells.frequencies()) else None
    is_birth = {"birth", "dob", "geburt"} & set(words.split())
    return "a full date of birth" if is_birth and _share(cells.frequencies(), looks_like_date) > 0 else None


def _kind_by_cells(frequencies: dict[str, int]) -> str | None:
    if all(text.replace(".", "", 1).isdecimal() for text in frequencies if text):
        return None  # plain numbers: the shapes below need not be tried on each of millions
    if _share(frequencies, lambda text: "@" in text and _EMAIL.search(text)) > 0:
        return "an e-mail address"
    frequencies = {text: count for text, count in frequencies.items() if len(text) <= _LONGEST_SHAPE}
    if _share(frequencies, _SOCIAL_SECURITY.fullmatch) > 0:
        return "a social security number"
    if _share(frequencies, _is_nhs_number) >= _USUAL_SHARE:
        return "a health service number"
    if _share(frequencies, _PHONE.fullmatch) >= _USUAL_SHARE:
        return "a telephone number"
    if _share(frequencies, _ADDRESS.match) >= _USUAL_SHARE:
        return "a postal address"
    return "a person's name" if _are_names(frequencies) else None


def _share(frequencies: dict[str, int], holds: Callable[[str], object]) -> float:
    filled = sum(count for text, count in frequencies.items() if text)
    return sum(count for text, count in frequencies.items() if text and holds(text)) / filled if filled else 0.0


def _all(frequencies: dict[str, int], holds: Callable[[str], object]) -> bool:
    return _share(frequencies, holds) == 1.0


def _is_nhs_number(text: str) -> bool:
    """Whether `text` is a British health service number: ten digits, the last a checksum modulo 11."""
    if not _NHS.fullmatch(text):
        return False
    digits = [int(sign) for sign in text if sign.isdigit()]
    check = 11 - sum(digit * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    return check % 11 == digits[9]


def _are_names(frequencies: dict[str, int]) -> bool:
    if _share(frequencies, _NAME.fullmatch) < _NAME_SHARE:
        return False
    filled = [text for text in frequencies if text]
    surnames = {match["last"].casefold() for text in filled if (match := _NAME.fullmatch(text))}
    return len(surnames) >= _DISTINCT_SURNAMES and len(surnames) >= len(filled) / 2


@dataclass(frozen=True)
class Pseudonymiser:
    """Replaces identifiers by keyed hashes (HMAC-SHA256): the same key gives the same person the same pseudonym."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < _KEY_BYTES:
            raise Refused(
                f"the pseudonym key has {len(self.key)} bytes, {_KEY_BYTES} are needed",
                remedy="restore the key file from its backup, or remove it to have a new one made",
            )

    @classmethod
    def from_key_file(cls, path: Path) -> Self:
        """The pseudonymiser of the key in `path`, which is made (readable by its owner alone) where absent.

        Raises:
            Refused: others can read the file, or it does not hold a key.
        """
        if not path.exists():
            _create_key_file(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise Refused(f"the pseudonym key {path} can be read by others", remedy=f"chmod 600 {path}")
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii")))
        except ValueError as error:
            remedy = "restore it from its backup: another key would give patients other pseudonyms"
            raise Refused(f"the pseudonym key {path} is damaged", remedy=remedy) from error

    def pseudonym(self, identifier: str) -> str:
        """The pseudonym of a trimmed identifier: ``P-`` and 16 base32 characters."""
        digest = hmac.new(self.key, identifier.encode("utf-8"), hashlib.sha256).digest()
        return "P-" + base64.b32encode(digest).decode("ascii")[:_PSEUDONYM_LENGTH]


def _create_key_file(path: Path) -> None:
    """Write a new key so that no reader sees half of it, and an existing one is never replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # mode 600 by itself
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES))
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was faster: its key holds
    finally:
        Path(temporary).unlink()
