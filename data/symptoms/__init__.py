"""Symptoms that patients rate themselves: which are asked when, and the ratings of a cohort.

Files of ratings are read by `data.symptoms.reading`, which is apart because the science, which uses the rest, reads no
files.
"""

from data.symptoms.questionnaire import Item, Questionnaire, load_questionnaire
from data.symptoms.table import ITEM, PATIENT, RATING, WEEK, SymptomTable

__all__ = [
    "ITEM",
    "PATIENT",
    "RATING",
    "WEEK",
    "Item",
    "Questionnaire",
    "SymptomTable",
    "load_questionnaire",
]
