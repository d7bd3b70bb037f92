"""A fitted twin and another cohort in, how far that cohort has moved from what the twin learnt out, flagged in words.

Risks are compared with what was seen (calibration in the large and slope), inputs with those of the patients that
taught the twin, and support is judged as for any patient. Nothing is fitted on the cohort.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from data.cohort import Cohort
from data.errors import Refused
from data.schema import OutcomeKind
from twin.arrays import Floats
from twin.evaluation.cells import aligned
from twin.evaluation.evaluate import targets_of
from twin.evaluation.held_out import Said, questions
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.scores import Metric, Sample, in_brief
from twin.evaluation.shift import InputShift, input_shifts
from twin.evaluation.targets import Target
from twin.metrics.censoring import aalen_johansen
from twin.metrics.intervals import MetricValue, estimate, resample_counts
from twin.prediction import FittedTwin
from twin.state import Known
from twin.support import SupportLevel
from twin.threads import one_thread
from twin.timeline import question_moment

HORIZONS_MONTHS: Final = (12.0, 24.0, 36.0, 48.0, 60.0)
"""The last of these that both the twin and the cohort reach is where risks are compared."""
RESAMPLES: Final = 200

TOLERATED: Final = 1.25
"""Observed over expected risk, or its inverse, up to which risks may be used as they are, and the same of the slope.
Chosen, not estimated"""
MODERATE_SHIFT: Final = 0.10
LARGE_SHIFT: Final = 0.25
"""Customary limits of the population stability index (Siddiqi 2006, Credit Risk Scorecards, ISBN 978-0-471-75451-0)"""
CHANCE: Final = 0.01
"""Probability, over all inputs together, that chance alone flags one: limits that ignore the number of patients flag
small cohorts that have not moved (Yurdakul & Naranjo 2020, J Risk Model Validation 14(4):89-100)"""
MORE_MISSING: Final = 0.10
"""Change of the share that is not recorded from which on it is flagged"""
UNSUPPORTED_SHARE: Final = 0.10
"""Of patients, from which on they are flagged"""


class Severity(StrEnum):
    """What a flag asks for."""

    ALERT = "alert"
    """Do not use the risks here before this is looked into"""
    WATCH = "watch"
    """Keep an eye on it"""


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that has moved."""

    severity: Severity
    subject: str
    """Name of the outcome, the input or the kind of thing"""
    words: str


@dataclass(frozen=True, slots=True)
class OutcomeDrift:
    """Whether the risks of one outcome still mean what they say."""

    outcome: str
    label: str
    kind: OutcomeKind
    patients: int
    events: int
    month: float
    """By which risks are compared"""
    expected: float
    """Mean risk that the twin states"""
    observed: float
    """Aalen-Johansen"""
    observed_over_expected: MetricValue
    """Its 95 % interval resamples the patients and takes a draw of the twin for each resample: it holds the doubt of
    both"""
    calibration_slope: MetricValue
    """Below 1: risks are too extreme here"""


@dataclass(frozen=True, slots=True)
class SupportShift:
    """How the cohort's patients are supported under the plans they had."""

    patients: int
    supported: float
    thin: float
    unsupported: float
    """Shares; they add up to 1"""


@dataclass(frozen=True)
class DriftReport:
    """How far a cohort has moved from the one that taught a twin."""

    model: str
    taught_by: str
    cohort: str
    version: int
    synthetic: bool
    patients: int
    outcomes: tuple[OutcomeDrift, ...]
    inputs: tuple[InputShift, ...]
    support: SupportShift
    flags: tuple[Flag, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        plain = asdict(self)
        plain["outcomes"] = {one.pop("outcome"): {**one, "kind": str(one["kind"])} for one in plain["outcomes"]}
        plain["inputs"] = {one.pop("name"): one for one in plain["inputs"]}
        plain["flags"] = [{**flag, "severity": str(flag["severity"])} for flag in plain["flags"]]
        return plain


def drift(twin: FittedTwin, cohort: Cohort, seed: int = 0) -> DriftReport:
    """How far `cohort` has moved from the patients that taught `twin`.

    Args:
        twin: Fitted before.
        cohort: n patients of the same disease, of any outcome that the twin predicts recorded or not.
        seed: Of the resamples.

    Raises:
        Refused: another disease, or a cohort without patients.
    """
    if twin.spec.name != cohort.spec.name:
        raise Refused(
            f"the model is of {twin.spec.name}, cohort '{cohort.name}' of {cohort.spec.name}",
            remedy="name a model of the same disease",
        )
    if not cohort.size:
        raise Refused(f"cohort '{cohort.name}' has no patients", remedy="import some")
    plans = plan_texts(complete_plans(cohort, cohort, twin.capability.held))
    with one_thread():
        outcomes = tuple(_outcomes(twin, cohort, plans, seed))
        support = _support(twin, cohort, plans)
    inputs = tuple(input_shifts(twin, cohort))
    return DriftReport(
        model=twin.version,
        taught_by=twin.origin.cohort,
        cohort=cohort.name,
        version=cohort.version,
        synthetic=cohort.synthetic,
        patients=cohort.size,
        outcomes=outcomes,
        inputs=inputs,
        support=support,
        flags=tuple(_flags(twin, cohort, outcomes, inputs, support)),
    )


def _outcomes(twin: FittedTwin, cohort: Cohort, plans: list[str], seed: int) -> Iterator[OutcomeDrift]:
    targets, _ = targets_of(cohort, [month for month in HORIZONS_MONTHS if month <= twin.last_month])
    asked = [one for one in targets if one.outcome.name in twin.outcomes and one.observed.events]
    if asked:
        (said,) = questions(twin, cohort, plans, asked, np.ones(cohort.size, dtype=bool))
        for one in asked:
            yield _outcome(one, said, seed)


def _outcome(one: Target, said: Said, seed: int) -> OutcomeDrift:
    risks, draws = said.of(one, one.rows)
    sample = Sample(resample_counts(len(one.rows), RESAMPLES, seed), np.zeros(len(one.rows), dtype=np.int64))
    ratio = _observed_over_expected(one, draws[..., -1], sample.counts)
    return OutcomeDrift(
        outcome=one.outcome.name,
        label=one.outcome.label,
        kind=one.outcome.kind,
        patients=one.observed.size,
        events=one.observed.events,
        month=one.last_month,
        expected=float(draws[0, :, -1].mean()),
        observed=float(aalen_johansen(one.observed).at(np.array(one.horizons[-1:]))[0, 0]),
        observed_over_expected=estimate(ratio),
        calibration_slope=estimate(in_brief(one, risks, sample)[Metric("calibration_slope")]),
    )


def _observed_over_expected(one: Target, draws: Floats, counts: Floats) -> Floats:
    """(1 + resamples,) the first with the fit and every patient once; each resample with a draw (1 + draws, n)."""
    which = np.concatenate([[0], 1 + np.arange(len(counts) - 1) % (len(draws) - 1)])
    seen = aalen_johansen(one.observed, counts).at(np.array(one.horizons[-1:]))[:, 0]
    return np.asarray(seen / ((counts * draws[which]).sum(axis=1) / counts.sum(axis=1)))


def _support(twin: FittedTwin, cohort: Cohort, plans: list[str]) -> SupportShift:
    known = Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 0)).frame
    own, levels = np.array(plans), []
    for plan in np.unique(own):
        some = known.iloc[np.flatnonzero(own == plan)].reset_index(drop=True)
        levels.append(twin.predict(some, [str(plan)], [0.0]).drop_duplicates(cohort.spec.key)["support"])
    shares = pd.concat(levels).value_counts(normalize=True)
    return SupportShift(
        patients=cohort.size,
        supported=float(shares.get(SupportLevel.SUPPORTED.value, 0.0)),
        thin=float(shares.get(SupportLevel.THIN.value, 0.0)),
        unsupported=float(shares.get(SupportLevel.UNSUPPORTED.value, 0.0)),
    )


def _flags(
    twin: FittedTwin,
    cohort: Cohort,
    outcomes: tuple[OutcomeDrift, ...],
    inputs: tuple[InputShift, ...],
    support: SupportShift,
) -> Iterator[Flag]:
    if twin.origin.time_zero != cohort.time_zero:
        yield Flag(
            Severity.ALERT,
            "time zero",
            f"the model counts from {_words(twin.origin.time_zero)}, this cohort from {_words(cohort.time_zero)}",
        )
    for one in outcomes:
        yield from _of_outcome(one)
    for shift in inputs:
        yield from _of_input(shift, CHANCE / max(len(inputs), 1))
    count = round(support.unsupported * support.patients)
    if binomtest(count, support.patients).proportion_ci(0.90, "wilson").low > UNSUPPORTED_SHARE:
        yield Flag(
            Severity.ALERT,
            "support",
            f"{100 * support.unsupported:.0f} % of the patients are unlike those that taught the model, "
            "or had a plan that hardly anybody like them had",
        )


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _of_outcome(one: OutcomeDrift) -> Iterator[Flag]:
    ratio, slope = one.observed_over_expected, one.calibration_slope
    if _away_from_one(ratio):
        more = "more" if (ratio.value or 0.0) > 1.0 else "fewer"
        yield Flag(
            _severity(ratio),
            one.outcome,
            f"{one.label}: {more} than the model states: {_ratio(ratio)} times as many by month {one.month:g}, "
            f"{100 * one.observed:.0f} % instead of {100 * one.expected:.0f} %",
        )
    # Above 1, risks are less far apart than they could be: no harm, and usual in the patients that taught the twin.
    if _away_from_one(slope) and (slope.value or 0.0) < 1.0 / TOLERATED:
        words = (
            f"{one.label}: risks are too far apart here, slope {_ratio(slope)}: other patients, or learnt too closely"
        )
        yield Flag(Severity.WATCH, one.outcome, words)


def _away_from_one(value: MetricValue) -> bool:
    return value.lower is not None and value.upper is not None and not value.lower <= 1.0 <= value.upper


def _severity(value: MetricValue) -> Severity:
    tolerated = value.value is not None and 1.0 / TOLERATED <= value.value <= TOLERATED
    return Severity.WATCH if tolerated else Severity.ALERT


def _ratio(value: MetricValue) -> str:
    return f"{value.value:.2f} ({value.lower:.2f} to {value.upper:.2f})"


def _of_input(shift: InputShift, chance: float) -> Iterator[Flag]:
    index, p_value = shift.stability_index, shift.p_value
    if index is not None and p_value is not None and index > MODERATE_SHIFT and p_value < chance:
        severity = Severity.ALERT if index > LARGE_SHIFT else Severity.WATCH
        words = f"{shift.label}: {shift.now} here, {shift.before} before (stability index {index:.2f})"
        yield Flag(severity, shift.name, words)
    if abs(shift.missing_now - shift.missing_before) > MORE_MISSING:
        now, before = 100 * shift.missing_now, 100 * shift.missing_before
        yield Flag(
            Severity.WATCH, shift.name, f"{shift.label}: not recorded in {now:.0f} % here, {before:.0f} % before"
        )


def drift_text(report: DriftReport) -> str:
    """The report as text of several lines, without a final line break."""
    return "\n".join(_lines(report))


def _lines(report: DriftReport) -> Iterator[str]:
    yield f"Has cohort {report.cohort} moved from {report.taught_by}, which taught {report.model or 'the model'}?"
    if not report.flags:
        yield "  Nothing is flagged."
    for flag in report.flags:
        yield f"  {str(flag.severity).upper()}: {flag.words}"
    yield from aligned(_outcome_rows(report))
    yield from aligned(_input_rows(report))
    support = report.support
    yield (
        f"  support under the plans given: {100 * support.supported:.0f} % supported, {100 * support.thin:.0f} % thin, "
        f"{100 * support.unsupported:.0f} % unsupported"
    )


def _outcome_rows(report: DriftReport) -> Iterator[tuple[str, ...]]:
    yield ("", "events", "month", "expected", "observed", "observed / expected", "calibration slope")
    for one in report.outcomes:
        yield (
            one.label,
            f"{one.events} of {one.patients}",
            f"{one.month:g}",
            f"{one.expected:.3f}",
            f"{one.observed:.3f}",
            _ratio_or_nothing(one.observed_over_expected),
            _ratio_or_nothing(one.calibration_slope),
        )


def _ratio_or_nothing(value: MetricValue) -> str:
    if value.value is None:
        return ""
    return f"{value.value:.2f}" if value.lower is None else _ratio(value)


def _input_rows(report: DriftReport) -> Iterator[tuple[str, ...]]:
    yield ("inputs and decisions", "before", "here", "stability index", "missing before", "missing here")
    for one in report.inputs:
        yield (
            one.label,
            one.before,
            one.now,
            "" if one.stability_index is None else f"{one.stability_index:.2f}",
            f"{100 * one.missing_before:.0f} %",
            f"{100 * one.missing_now:.0f} %",
        )
