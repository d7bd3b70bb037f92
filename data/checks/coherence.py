"""A draft in, findings about values that cannot be true together out: by the rules of the specification alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.checks.draft import Draft
from data.checks.event_times import check_event_times
from data.checks.staging import check_stage_group
from data.findings import Severity
from data.reader.table import BoolArray
from data.schema import Contradiction, Expectation, RatioRule


def check_coherence(draft: Draft) -> None:
    """Report contradictions, implausible ratios, stage groups and event times."""
    for rule in draft.spec.contradictions:
        _check_contradiction(draft, rule)
    for ratio in draft.spec.ratios:
        _check_ratio(draft, ratio)
    check_stage_group(draft)
    check_event_times(draft)


def _check_contradiction(draft: Draft, rule: Contradiction) -> None:
    if not all(condition.column in draft.columns for condition in rule.when):
        return
    applies = np.logical_and.reduce([_holds(draft, condition) for condition in rule.when])
    because = " and ".join(_in_words(condition) for condition in rule.when)
    for expectation in rule.expect:
        if expectation.column in draft.columns:
            draft.report(
                applies & draft.recorded(expectation.column) & ~_holds(draft, expectation),
                expectation.column,
                rule.code,
                Severity(rule.severity),
                f"{_in_words(expectation)} where {because}",
                draft.said(expectation.column),
                rule.remedy,
            )


def _holds(draft: Draft, expectation: Expectation) -> BoolArray:
    """Rows that have a value which fulfils `expectation`."""
    if draft.spec.column(expectation.column).is_numeric:
        return expectation.holds_of(pd.Series(draft.numbers(expectation.column)))
    return expectation.holds_of(draft.values(expectation.column))


def _in_words(expectation: Expectation) -> str:
    if expectation.values:
        return f"{expectation.column} {' or '.join(expectation.values)}"
    bounds = {"at least": expectation.minimum, "at most": expectation.maximum}
    return f"{expectation.column} " + " and ".join(f"{word} {b:g}" for word, b in bounds.items() if b is not None)


def _check_ratio(draft: Draft, rule: RatioRule) -> None:
    if rule.numerator not in draft.columns or rule.denominator not in draft.columns:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = draft.numbers(rule.numerator) / draft.numbers(rule.denominator)
    draft.report(
        np.isfinite(ratio) & ((ratio < rule.minimum) | (ratio > rule.maximum)),
        rule.numerator,
        rule.code,
        Severity(rule.severity),
        f"{rule.minimum:g} to {rule.maximum:g} {rule.unit}",
        lambda position: f"{ratio[position]:.3g} {rule.unit}",
        rule.remedy,
    )
