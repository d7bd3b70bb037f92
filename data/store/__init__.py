"""Where cohorts, models and the audit stay: SQLite or PostgreSQL, versioned, one transaction a change."""

from data.store.store import Store
from data.store.summaries import CohortSummary, ModelSummary, PatientPage, SymptomSummary

__all__ = ["CohortSummary", "ModelSummary", "PatientPage", "Store", "SymptomSummary"]
