"""Published effects of treatments as typed values: what a prior may build on, and what stands beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import pandas as pd

from data.evidence.groups import FloatArray, Group

YES = "yes"
"""The option of having the treatment, for a column that is a decision."""
NO = "no"
"""The option of not having it."""


class Measure(StrEnum):
    """What an effect is a ratio of."""

    HAZARD_RATIO = "hazard_ratio"
    ODDS_RATIO = "odds_ratio"


class Design(StrEnum):
    """How the effect was come by."""

    META_ANALYSIS = "meta_analysis"
    """Pooled from randomised trials."""
    RANDOMISED = "randomised"
    OBSERVATIONAL = "observational"


class Basis(StrEnum):
    """What the rows behind a prior rest on."""

    READ = "read"
    """At least one of them was read."""
    UNREAD = "unread"
    """None of them was: their figures steer, and are not printed as evidence."""
    NONE = "none"
    """There are none."""


class GivenAs(StrEnum):
    """How the publication gives the effect; anything but `RATIO` was worked out, as the note says."""

    RATIO = "ratio"
    DILUTED = "diluted"
    """As the ratio of a policy that not everybody had followed."""
    PERCENT = "percent"
    """As a reduction of risk in percent."""
    PROPORTIONS = "proportions"
    """As two proportions free of the event at one time."""
    COUNTS = "counts"
    """As patients with and without the event."""


class Spread(StrEnum):
    """What the standard deviation of a log ratio rests on."""

    INTERVAL = "interval"
    P_VALUE = "p_value"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class PublishedEffect:
    """One effect of one option against another on one outcome: a row of the table."""

    id: str
    decision: str
    """A decision column, or a category that is chosen together with a decision (an agent, say)."""
    option: str
    """`YES` or `NO` for a decision column, a level for a category; words where the dictionary has no such option."""
    against: str
    outcome: str
    endpoint: str
    """What the publication measured, where that is not quite the outcome; else empty."""
    measure: Measure
    effect: float
    """Ratio of `option` to `against`: below 1 the option lowers the risk."""
    lower: float | None
    upper: float | None
    interval_level: float | None
    """Coverage of the interval, e.g. 0.95."""
    p_value: float | None
    """Two-sided."""
    prior_sd: float | None
    """Assumed standard deviation of the log ratio; it goes before any that the publication implies."""
    group: Group
    """Whom the effect applies to."""
    population: str
    patients: int | None
    year: int | None
    design: Design
    given_as: GivenAs
    source: str
    doi_or_pmid: str
    read_in: str
    """Address of the text in which the figure was read; empty for a row that is not verified."""
    verified: bool
    """Whether somebody read the figure in a text that can be named."""
    used: bool
    """Whether the row enters the prior; one that is not verified does so with an assumed `prior_sd` only."""
    note: str

    @property
    def log_ratio(self) -> float:
        """Natural logarithm of the effect."""
        return math.log(self.effect)

    @property
    def spread(self) -> Spread | None:
        """What `log_sd` rests on; ``None`` when there is nothing."""
        if self.prior_sd is not None:
            return Spread.ASSUMED
        if self.lower is not None:
            return Spread.INTERVAL
        return None if self.p_value is None else Spread.P_VALUE

    @property
    def log_sd(self) -> float | None:
        """Standard deviation of the log ratio; ``None`` when the row holds nothing to take it from.

        From an interval (ln upper - ln lower) / (2 z), from a two-sided P value |ln effect| / z
        (Tierney et al., Trials 2007;8:16, doi 10.1186/1745-6215-8-16).
        """
        if self.prior_sd is not None:
            return self.prior_sd
        if self.lower is not None and self.upper is not None and self.interval_level is not None:
            return math.log(self.upper / self.lower) / (2.0 * _two_sided(1.0 - self.interval_level))
        return None if self.p_value is None else abs(self.log_ratio) / _two_sided(self.p_value)

    def applies_to(self, frame: pd.DataFrame) -> FloatArray:
        """1 for patients the effect applies to, 0 for others, NaN where a missing or unknown value decides; (n,).

        Args:
            frame: canonical columns with the types of a cohort; a column that is not there is missing for all.
        """
        return self.group.membership(frame)


def _two_sided(tail: float) -> float:
    return NormalDist().inv_cdf(1.0 - tail / 2.0)


@dataclass(frozen=True)
class Evidence:
    """The published effects of one disease, in the order of their file; without a file none."""

    effects: tuple[PublishedEffect, ...] = ()
    open_questions: str = ""
    """What was looked for and not found, in Markdown."""

    @property
    def decisions(self) -> tuple[str, ...]:
        """Columns that effects are about, each once, in the order of the file."""
        return tuple(dict.fromkeys(effect.decision for effect in self.effects))

    def rows(self, decision: str, outcome: str, *, used: bool | None = True) -> tuple[PublishedEffect, ...]:
        """Effects of `decision` on `outcome`: those that enter the prior, or (`used` false) the others, or (None) all.

        Effects that enter the prior may apply to the same patients, and may disagree: each is an observation of the
        average effect on its group. Those on the manner of a decision have `against` in common.
        """
        return tuple(
            effect
            for effect in self.effects
            if effect.decision == decision and effect.outcome == outcome and used in (None, effect.used)
        )

    def basis(self, decision: str, outcome: str) -> Basis:
        """What the prior of `decision` on `outcome` rests on."""
        rows = self.rows(decision, outcome)
        if not rows:
            return Basis.NONE
        return Basis.READ if any(effect.verified for effect in rows) else Basis.UNREAD
