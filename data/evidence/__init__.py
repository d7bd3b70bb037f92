"""Randomised and pooled evidence about the effects of treatments: one table a disease, and what reads it."""

from data.evidence.groups import Comparison, Condition, Group, parse_group
from data.evidence.load import load_evidence, read_evidence
from data.evidence.table import NO, YES, Basis, Design, Evidence, GivenAs, Measure, PublishedEffect, Spread
from data.evidence.terms import (
    EffectTerm,
    StateTerm,
    TermRow,
    effect_terms,
    load_state_terms,
    load_term_rows,
    load_terms,
    read_term_rows,
    state_terms,
    weak_prior_sd,
)

__all__ = [
    "NO",
    "YES",
    "Basis",
    "Comparison",
    "Condition",
    "Design",
    "EffectTerm",
    "Evidence",
    "GivenAs",
    "Group",
    "Measure",
    "PublishedEffect",
    "Spread",
    "StateTerm",
    "TermRow",
    "effect_terms",
    "load_evidence",
    "load_state_terms",
    "load_term_rows",
    "load_terms",
    "parse_group",
    "read_evidence",
    "read_term_rows",
    "state_terms",
    "weak_prior_sd",
]
