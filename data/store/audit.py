"""The audit: who did what to the store and when, in a chain of hashes; entries in, a verdict on the chain out.

Each entry's SHA-256 covers its own fields and the hash of the entry before it; the head row keeps the hash and the
number of the last one. A changed, missing or moved entry breaks the chain at its place; a tail that was cut off no
longer agrees with the head. What this cannot show is a chain rewritten from some entry to the end together with the
head: against that, keep the head's hash (`AuditVerdict.digest`) outside the store from time to time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from data.errors import DamagedArtefact, WrongUsage
from data.store.summaries import now
from data.store.tables import AuditHeadRow, AuditRow, moment_text

FIRST_PREVIOUS: Final = "0" * 64
"""What stands for the hash before the first entry."""

_FETCHED_AT_ONCE: Final = 1_000


@dataclass(frozen=True)
class AuditEntry:
    """One act that changed the store or took data out of it."""

    number: int
    """Position in the chain, from 1."""
    at: str
    """ISO 8601, UTC."""
    actor: str
    action: str
    """What was done, such as ``cohort.import``."""
    subject: str
    """What it was done to."""
    details: Mapping[str, Any]
    """Facts about the act as JSON values; never about a patient."""
    previous: str
    """Hash of the entry before."""
    digest: str
    """Hash of this entry."""

    def as_dict(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class AuditVerdict:
    """Whether the chain holds, and where it breaks first."""

    entries: int
    """Entries that were found good, counted from the first."""
    digest: str
    """Hash of the last good entry."""
    bad_entry: int | None = None
    """Number of the first entry that is changed, missing or out of place."""
    reason: str = ""

    @property
    def intact(self) -> bool:
        """Whether every entry is as it was written."""
        return self.bad_entry is None

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {"intact": self.intact, **asdict(self)}

    def __str__(self) -> str:
        if self.intact:
            return f"the audit is intact: {self.entries} entries, last hash {self.digest}"
        return f"the audit is broken at entry {self.bad_entry}: {self.reason}"


def canonical_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: one text for one value.

    Raises:
        ValueError: a number is not finite.
        TypeError: something has no JSON form.

    >>> canonical_json({"b": 1, "a": "é"})
    '{"a":"é","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def entry_digest(row: AuditRow) -> str:
    """SHA-256 over the canonical JSON of all other fields of an entry, as 64 hexadecimal digits."""
    fields = ("number", "at", "actor", "action", "subject", "details", "previous")
    return hashlib.sha256(canonical_json({name: getattr(row, name) for name in fields}).encode()).hexdigest()


def take_turn(session: Session) -> None:
    """Wait until no other writer is at work; the turn ends with the transaction.

    SQLite's writers already follow one another; on PostgreSQL they queue for the head row.
    """
    session.execute(select(AuditHeadRow.id).with_for_update())


def append(session: Session, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> None:
    """Add an entry in the transaction of the change that it tells of; `take_turn` comes before.

    Raises:
        WrongUsage: nobody is named as the actor.
        DamagedArtefact: the head row is gone, so that there is nothing to continue.
    """
    if not actor.strip():
        raise WrongUsage("a change of the store needs an actor", remedy="say who acts")
    head = session.get(AuditHeadRow, 1)
    if head is None:
        raise DamagedArtefact(
            "the end of the audit is not recorded any more", remedy="run: python -m twin audit verify"
        )
    row = AuditRow(
        number=head.number + 1,
        at=moment_text(now()),
        actor=actor,
        action=action,
        subject=subject,
        details=canonical_json(details),
        previous=head.digest,
    )
    row.digest = entry_digest(row)
    head.number, head.digest = row.number, row.digest
    session.add(row)
    session.flush()


def entries(session: Session) -> list[AuditEntry]:
    """All entries, oldest first, as they stand: `verify` says whether to believe them.

    Raises:
        DamagedArtefact: the details of an entry are no JSON object any more.
    """
    return [_entry(row) for row in _rows(session)]


def _entry(row: AuditRow) -> AuditEntry:
    try:
        details = json.loads(row.details)
    except ValueError as error:
        raise DamagedArtefact(
            f"audit entry {row.number} cannot be read", remedy="run: python -m twin audit verify"
        ) from error
    return AuditEntry(
        number=row.number,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        details=details,
        previous=row.previous,
        digest=row.digest,
    )


def verify(session: Session) -> AuditVerdict:
    """Recompute the whole chain and name the first entry that is not as it was written."""
    number, digest = 0, FIRST_PREVIOUS
    for row in _rows(session):
        fault = _fault(row, number + 1, digest)
        if fault:
            return AuditVerdict(number, digest, number + 1, fault)
        number, digest = row.number, row.digest
    head = session.get(AuditHeadRow, 1)
    if head is None:
        return AuditVerdict(number, digest, number + 1, "the end of the chain is not recorded any more")
    if head.number > number:
        return AuditVerdict(number, digest, number + 1, f"missing, like all up to entry {head.number}")
    if head.number < number:
        return AuditVerdict(number, digest, head.number + 1, f"the chain was recorded to end at entry {head.number}")
    if head.digest != digest:
        return AuditVerdict(number, digest, number, "the recorded end of the chain has another hash")
    return AuditVerdict(number, digest)


def _fault(row: AuditRow, number: int, previous: str) -> str:
    if row.number != number:
        return f"missing, the next one found is entry {row.number}"
    if row.previous != previous:
        return "does not follow the entry before it"
    if row.digest != entry_digest(row):
        return "its content is not what was written"
    return ""


def _rows(session: Session) -> Iterator[AuditRow]:
    ordered = select(AuditRow).order_by(AuditRow.number).limit(_FETCHED_AT_ONCE)
    rows = session.scalars(ordered).all()
    while rows:
        yield from rows
        rows = session.scalars(ordered.where(AuditRow.number > rows[-1].number)).all()
