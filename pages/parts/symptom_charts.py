"""One symptom over time: typed values in, a small plotly figure out; nothing here draws on a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from data.symptoms import Questionnaire
from pages.parts.charts import FONT, hatching
from pages.parts.palette import Palette
from twin.arrays import Flags, Floats

PANEL_HEIGHT_PX: Final = 170
APART_WEEKS: Final = 0.5
"""How far the bars of the two plans stand from their week: they would hide one another"""
MARGIN_WEEKS: Final = 1.5
MARGIN_OF_SCALE: Final = 0.04
"""Of the scale above and below it, so that a rating at its end is a whole dot"""


@dataclass(frozen=True, eq=False)
class Course:
    """The ratings of one item to be expected under a plan; every array is (weeks,), NaN where nothing is known."""

    mean: Floats
    lower: Floats
    upper: Floats
    range_lower: Floats
    range_upper: Floats
    supported: bool = True
    """Whether the means may be shown, and not their intervals only"""


@dataclass(frozen=True, eq=False)
class SymptomPanel:
    """One item under one or two plans, and what the patient answered."""

    courses: tuple[Course, ...]
    """Under plan A and, where there is one, plan B"""
    own: Floats
    """(weeks,) the patient's ratings, NaN where there is none"""
    used: Flags
    """(weeks,) which of them are known when the question is asked"""


def symptom_course(panel: SymptomPanel, asked: Questionnaire, palette: Palette) -> go.Figure:
    """Expected ratings with their interval as a band, the range of single ratings as bars, own ratings as dots."""
    weeks = np.array(asked.weeks)
    looks = (("A", -APART_WEEKS, palette.plan_a, "solid"), ("B", APART_WEEKS, palette.plan_b, "dash"))
    traces = [
        trace
        for course, (name, apart, colour, dash) in zip(panel.courses, looks, strict=False)
        for trace in _plan(course, weeks, name, apart, {"color": colour, "dash": dash, "width": 2.5}, palette)
    ]
    return go.Figure(data=[*traces, *_own(panel.own, panel.used, weeks, palette)], layout=_layout(asked, palette))


def _plan(
    course: Course, weeks: Floats, name: str, apart: float, drawn: dict[str, Any], palette: Palette
) -> list[dict[str, Any]]:
    """The band, the bars `apart` weeks beside their week, and the line, `drawn` as it says, of one plan.

    Of a plan that is not supported the band is an outline, hatched, and there is no line.
    """
    colour = drawn["color"]
    there = ~np.isnan(course.mean)
    x, mean, lower, upper = weeks[there], course.mean[there], course.lower[there], course.upper[there]
    least, most = course.range_lower[there], course.range_upper[there]
    gap = np.full_like(x, np.nan)
    band = {
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([upper, lower[::-1]]),
        "mode": "lines",
        "fill": "toself",
        **(
            {"fillcolor": palette.band(colour, 0.22), "line": {"width": 0}}
            if course.supported
            else {"fillpattern": hatching(drawn["dash"], palette), "line": {**drawn, "width": 1}}
        ),
        "hoverinfo": "skip",
    }
    bars = {
        "x": np.column_stack([x + apart, x + apart, gap]).ravel(),
        "y": np.column_stack([least, most, gap]).ravel(),
        "mode": "lines+markers",
        "line": {"color": colour, "width": 1},
        "marker": {"color": colour, "symbol": "line-ew-open", "size": 5},
        "hoverinfo": "skip",
    }
    line = {
        "x": x,
        "y": mean,
        "customdata": np.column_stack([lower, upper, least, most]),
        "mode": "lines",
        "line": drawn,
        "hovertemplate": f"{name}: "
        + "%{y:.1f} (%{customdata[0]:.1f}-%{customdata[1]:.1f}), singly %{customdata[2]:.0f}-%{customdata[3]:.0f}"
        + "<extra></extra>",
    }
    traces = (band, bars, line) if course.supported else (band, bars)
    return [{"type": "scatter", "showlegend": False, **trace} for trace in traces]


def _own(own: Floats, used: Flags, weeks: Floats, palette: Palette) -> list[dict[str, Any]]:
    given = ~np.isnan(own)
    return [
        {
            "type": "scatter",
            "showlegend": False,
            "x": weeks[given & (used == known)],
            "y": own[given & (used == known)],
            "mode": "markers",
            "marker": {"color": palette.text, "symbol": symbol, "size": 8, "line": {"width": 1.5}},
            "hovertemplate": "own rating: %{y:.0f}<extra></extra>",
        }
        for known, symbol in ((True, "circle"), (False, "circle-open"))
    ]


def _layout(asked: Questionnaire, palette: Palette) -> dict[str, Any]:
    beyond = MARGIN_OF_SCALE * (asked.highest - asked.lowest)
    return {
        "height": PANEL_HEIGHT_PX,
        "margin": {"l": 24, "r": 4, "t": 6, "b": 22},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": palette.text, "family": FONT},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": palette.ground, "font": {"color": palette.text}},
        "xaxis": {
            "range": [asked.weeks[0] - MARGIN_WEEKS, asked.weeks[-1] + MARGIN_WEEKS],
            "tickvals": list(asked.weeks),
            "ticktext": [f"week {asked.weeks[0]:g}", *(f"{week:g}" for week in asked.weeks[1:])],
            "showgrid": False,
            "linecolor": palette.grid,
            "tickfont": {"color": palette.muted},
            "zeroline": False,
            "unifiedhovertitle": {"text": "week %{x}"},
        },
        "yaxis": {
            "range": [asked.lowest - beyond, asked.highest + beyond],
            "nticks": 6,
            "gridcolor": palette.grid,
            "tickfont": {"color": palette.muted},
            "zeroline": False,
        },
    }
