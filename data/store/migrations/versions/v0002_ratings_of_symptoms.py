"""Ratings of symptoms, which belong to the patients of a version of a cohort."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "symptom_sets",
        sa.Column(
            "version_id",
            sa.Integer,
            sa.ForeignKey("cohort_versions.id", name="fk_symptom_sets_version_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("questionnaire", sa.Text, nullable=False),
        sa.Column("patients", sa.Integer, nullable=False),
        sa.Column("ratings", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("imported_at", sa.String(32), nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
    )
    op.create_table(
        "symptom_ratings",
        sa.Column("version_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id", "row"],
            ["patients.version_id", "patients.row"],
            name="fk_symptom_ratings_patient",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
