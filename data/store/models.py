"""Versions of fitted models inside a transaction: summaries in and out, and which one serves its cohort."""

from __future__ import annotations

import re

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from data.errors import Conflict, NotFound, WrongUsage
from data.store.summaries import ModelSummary, now
from data.store.tables import MODEL_NAME_LENGTH, ModelRow

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def add(session: Session, model: ModelSummary) -> ModelSummary:
    """Record a fitted model; it serves at once when none serves its cohort.

    Raises:
        WrongUsage: the version could not name a folder.
        Conflict: the version is taken.
    """
    if not _VERSION.fullmatch(model.version) or len(model.version) > MODEL_NAME_LENGTH:
        raise WrongUsage(f"'{model.version}' cannot name a model", remedy="use letters, digits and - _ .")
    if session.get(ModelRow, model.version) is not None:
        raise Conflict(f"model '{model.version}' exists", remedy="models are immutable: fit again for a new version")
    row = ModelRow(
        version=model.version,
        cohort=model.cohort,
        cohort_version=model.cohort_version,
        number=1 + (session.scalar(select(func.max(ModelRow.number))) or 0),
        created_at=model.created_at,
        summary=dict(model.summary),
    )
    session.add(row)
    session.flush()
    if _last_promotion(session, model.cohort) is None:
        _promote(session, row)
    return _summary(session, row)


def promote(session: Session, version: str) -> ModelSummary:
    """Let a model serve its cohort from now on.

    Raises:
        NotFound: there is no such model.
    """
    row = session.get(ModelRow, version)
    if row is None:
        raise NotFound.named("model", version, session.scalars(select(ModelRow.version)))
    _promote(session, row)
    return _summary(session, row)


def _promote(session: Session, row: ModelRow) -> None:
    row.promotion = 1 + (_last_promotion(session, row.cohort) or 0)
    row.promoted_at = now()
    session.flush()


def withdraw(session: Session, cohort: str) -> None:
    """Let no model serve `cohort` any more: its data are gone."""
    session.execute(update(ModelRow).where(ModelRow.cohort == cohort).values(promotion=None))


def count(session: Session, cohort: str) -> int:
    """How many models were ever fitted on any version of `cohort`."""
    return session.scalar(select(func.count()).select_from(ModelRow).where(ModelRow.cohort == cohort)) or 0


def summaries(session: Session, cohort: str | None) -> list[ModelSummary]:
    """The models of a cohort, or all, newest first."""
    statement = select(ModelRow).order_by(ModelRow.number.desc())
    if cohort is not None:
        statement = statement.where(ModelRow.cohort == cohort)
    return [_summary(session, row) for row in session.scalars(statement)]


def _last_promotion(session: Session, cohort: str) -> int | None:
    return session.scalar(select(func.max(ModelRow.promotion)).where(ModelRow.cohort == cohort))


def _summary(session: Session, row: ModelRow) -> ModelSummary:
    return ModelSummary(
        version=row.version,
        cohort=row.cohort,
        cohort_version=row.cohort_version,
        summary=row.summary,
        created_at=row.created_at,
        promoted_at=row.promoted_at,
        serves=row.promotion is not None and row.promotion == _last_promotion(session, row.cohort),
    )
