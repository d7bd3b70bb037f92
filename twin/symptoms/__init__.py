"""Symptoms over time: ratings of a cohort in, expected ratings of a patient under a plan with their intervals out."""

from twin.symptoms.curves import SymptomCurves
from twin.symptoms.fitting import fit_symptoms
from twin.symptoms.model import SymptomModel

__all__ = ["SymptomCurves", "SymptomModel", "fit_symptoms"]
