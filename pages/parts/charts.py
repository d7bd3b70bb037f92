"""Figures: typed values in, plotly figures and their text alternatives out; nothing here draws on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from pages.parts.palette import Palette

FONT: Final = '"Source Sans", "Source Sans Pro", sans-serif'
MONTHS_PER_TICK: Final = 12
DENSE_UP_TO_MONTHS: Final = 36
ZOOM_STEPS_PERCENT: Final = (5, 10, 20, 30, 40, 60, 80, 100)
PANEL_HEIGHT_PX: Final = 250
ROW_HEIGHT_PX: Final = 17
INTERVAL_ONLY: Final = "not supported, interval only"
HATCHES: Final = {"solid": "/", "dash": "\\"}
"""Of a plan's interval, by how its line would be drawn"""
SHOWN_WITHOUT_MODE_BAR: Final = {"displayModeBar": False}


@dataclass(frozen=True)
class Band:
    """A risk over time with its interval; months and risks are arrays of one length, risks as fractions."""

    months: NDArray[np.float64]
    risk: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    supported: bool = True
    """Whether the risk may be drawn; otherwise its interval is, hatched, and no line inside it"""


@dataclass(frozen=True)
class Steps:
    """What was observed in a group of patients: a step function with numbers at risk at the ticks."""

    months: NDArray[np.float64]
    risk: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    at_risk: NDArray[np.int64]
    """Patients still under observation at each of `at_risk_months`."""
    patients: int
    group: str
    """Who they are, as the legend says it, e.g. ``plan A``"""


@dataclass(frozen=True)
class RiskPanel:
    """One outcome under two plans."""

    title: str
    plan_a: Band
    plan_b: Band | None
    observed_a: Steps | None
    observed_b: Steps | None
    """``None`` also where the patients of `observed_a` are observed for both plans"""


def month_ticks(horizon_months: float) -> NDArray[np.int64]:
    """Months of the axis: 0, 12, 24 ... up to the horizon."""
    return np.arange(0, int(horizon_months) + 1, MONTHS_PER_TICK)


def at_risk_months(horizon_months: float) -> NDArray[np.int64]:
    """Months at which numbers at risk are written: sparse enough to stay apart on a phone."""
    return month_ticks(horizon_months)[:: 1 if horizon_months <= DENSE_UP_TO_MONTHS else 2]


def zoomed_axis_percent(panels: Sequence[RiskPanel]) -> int:
    """The smallest round upper end that holds every curve and interval, per cent."""
    bands = [band for panel in panels for band in (panel.plan_a, panel.plan_b) if band is not None]
    steps = [step for panel in panels for step in (panel.observed_a, panel.observed_b) if step is not None]
    highest = max([float(band.upper.max()) for band in bands] + [float(step.risk.max(initial=0.0)) for step in steps])
    return next(step for step in ZOOM_STEPS_PERCENT if 100.0 * highest <= step or step == ZOOM_STEPS_PERCENT[-1])


def risk_curves(panels: Sequence[RiskPanel], horizon_months: float, axis_percent: int, palette: Palette) -> go.Figure:
    """Small multiples on one risk axis: plan A solid, plan B dashed, observed patients as grey steps."""
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=[panel.title for panel in panels],
    )
    for index, panel in enumerate(panels, start=1):
        _add_observed(figure, index, panel.observed_a, palette, "solid")
        _add_observed(figure, index, panel.observed_b, palette, "dot")
        _add_band(figure, index, panel.plan_a, "Plan A", palette.plan_a, "solid", palette)
        _add_band(figure, index, panel.plan_b, "Plan B", palette.plan_b, "dash", palette)
        _add_numbers_at_risk(figure, index, panel, horizon_months, palette)
    _style(figure, panels, horizon_months, axis_percent, palette)
    return figure


def _add_band(
    figure: go.Figure, column: int, band: Band | None, name: str, colour: str, dash: str, palette: Palette
) -> None:
    if band is None:
        return
    months = np.concatenate([band.months, band.months[::-1]])
    outline = 100.0 * np.concatenate([band.upper, band.lower[::-1]])
    if not band.supported:
        _add_hatched(figure, column, months, outline, f"{name}: {INTERVAL_ONLY}", colour, dash, palette)
        return
    shade = {"x": months, "y": outline, "fill": "toself", "fillcolor": palette.band(colour), "line": {"width": 0}}
    figure.add_trace(go.Scatter(**shade, hoverinfo="skip", showlegend=False, mode="lines"), row=1, col=column)
    ranges = 100.0 * np.column_stack([band.lower, band.upper])
    figure.add_trace(
        go.Scatter(
            x=band.months,
            y=100.0 * band.risk,
            customdata=ranges,
            name=name,
            legendgroup=name,
            legendrank=1,
            showlegend=column == 1,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate=name + ": %{y:.0f} % (%{customdata[0]:.0f}-%{customdata[1]:.0f})<extra></extra>",
        ),
        row=1,
        col=column,
    )


def hatching(dash: str, palette: Palette) -> dict[str, object]:
    """The filling of an interval within which no single number is shown, by the manner of its plan."""
    return {
        "shape": HATCHES[dash],
        "fgcolor": palette.observed,
        "fgopacity": 0.6,
        "bgcolor": "rgba(0,0,0,0)",
        "size": 9,
        "solidity": 0.1,
    }


def _add_hatched(
    figure: go.Figure,
    column: int,
    months: NDArray[np.float64],
    outline: NDArray[np.float64],
    name: str,
    colour: str,
    dash: str,
    palette: Palette,
) -> None:
    """The interval of a risk that nobody knows: its outline in the plan's manner, filled with grey hatching."""
    figure.add_trace(
        go.Scatter(
            x=months,
            y=outline,
            fill="toself",
            fillpattern=hatching(dash, palette),
            line={"color": colour, "dash": dash, "width": 1},
            mode="lines",
            name=name,
            legendgroup=name,
            legendrank=1,
            showlegend=column == 1,
            hoverinfo="skip",
        ),
        row=1,
        col=column,
    )


def _add_observed(figure: go.Figure, column: int, steps: Steps | None, palette: Palette, dash: str) -> None:
    if steps is None:
        return
    name = f"Observed on {steps.group} (n={steps.patients})"
    figure.add_trace(
        go.Scatter(
            x=steps.months,
            y=100.0 * steps.risk,
            customdata=100.0 * np.column_stack([steps.lower, steps.upper]),
            name=name,
            legendgroup=name,
            showlegend=column == 1,
            mode="lines",
            line={"color": palette.observed, "dash": dash, "width": 1.5, "shape": "hv"},
            hovertemplate=f"observed, {steps.group}: "
            + "%{y:.0f} % (%{customdata[0]:.0f}-%{customdata[1]:.0f})<extra></extra>",
        ),
        row=1,
        col=column,
    )


def _add_numbers_at_risk(
    figure: go.Figure, column: int, panel: RiskPanel, horizon_months: float, palette: Palette
) -> None:
    rows = [(panel.observed_a, palette.plan_a), (panel.observed_b, palette.plan_b)]
    for row, (steps, colour) in enumerate(rows):
        if steps is None:
            continue
        for month, count in zip(at_risk_months(horizon_months), steps.at_risk, strict=True):
            figure.add_annotation(
                x=month,
                y=0,
                yshift=-(30 + row * ROW_HEIGHT_PX),
                text=str(count),
                showarrow=False,
                font={"size": 11, "color": colour},
                row=1,
                col=column,
            )


def _style(
    figure: go.Figure, panels: Sequence[RiskPanel], horizon_months: float, axis_percent: int, palette: Palette
) -> None:
    observed_rows = max((p.observed_a is not None) + (p.observed_b is not None) for p in panels)
    below = 30 + ROW_HEIGHT_PX * observed_rows
    figure.update_layout(
        height=PANEL_HEIGHT_PX + below,
        margin={"l": 46, "r": 14, "t": 52, "b": below},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "color": palette.text, "family": FONT},
        hovermode="x unified",
        hoverlabel={"bgcolor": palette.ground, "font": {"color": palette.text}},
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "font": {"color": palette.text}},
    )
    ticks = month_ticks(horizon_months)
    figure.update_xaxes(
        range=[0, horizon_months],
        tickvals=ticks,
        showgrid=False,
        linecolor=palette.grid,
        tickfont={"color": palette.muted},
        zeroline=False,
    )
    figure.update_yaxes(
        range=[0, axis_percent],
        ticksuffix=" %",
        nticks=6,
        gridcolor=palette.grid,
        tickfont={"color": palette.muted},
        zeroline=False,
    )
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13, "color": palette.text})


FRONT_HEIGHT_PX: Final = 320


def benefit_and_harm(front: Mapping[str, Any], palette: Palette) -> go.Figure:
    """Months of life lost against toxicity: the exact policy for other weights of toxicities, and what is beside it.

    Args:
        front: ``policy.front`` of an evaluation's JSON.
        palette: Colours.
    """
    figure = go.Figure()
    _add_policies(
        figure, "exact policy, by weight of toxicities", front["exact"], palette.plan_a, "circle", "lines+markers"
    )
    _add_policies(figure, "one plan for everybody", front["fixed"], palette.plan_b, "diamond-open", "markers+text")
    _add_policies(figure, "physicians, as observed", [front["observed"]], palette.observed, "square", "markers")
    figure.update_layout(
        height=FRONT_HEIGHT_PX,
        margin={"l": 46, "r": 14, "t": 14, "b": 46},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "color": palette.text, "family": FONT},
        hoverlabel={"bgcolor": palette.ground, "font": {"color": palette.text}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": palette.text}},
    )
    axis = {"gridcolor": palette.grid, "tickfont": {"color": palette.muted}, "zeroline": False}
    figure.update_xaxes(title_text="sum of the probabilities of toxicities", **axis)
    figure.update_yaxes(title_text="months of life lost", **axis)
    return figure


def _add_policies(
    figure: go.Figure, name: str, points: Sequence[Mapping[str, Any]], colour: str, symbol: str, mode: str
) -> None:
    figure.add_trace(
        go.Scatter(
            x=[point["toxicity"] for point in points],
            y=[point["months_lost"] for point in points],
            text=[point["name"] for point in points],
            name=name,
            mode=mode,
            textposition="top center",
            marker={"color": colour, "symbol": symbol, "size": 9},
            line={"color": colour, "width": 2},
            hovertemplate="%{text}: %{y:.2f} months lost, toxicities %{x:.3f}<extra></extra>",
        )
    )


def benefit_and_harm_alternative(front: Mapping[str, Any]) -> str:
    """What that figure shows, for those who do not see it."""
    said = [
        f"{label}{point['name']} {point['months_lost']:.1f} months, {point['toxicity']:.2f}"
        for label, points in (("exact policy, ", front["exact"]), ("plan ", front["fixed"]), ("", [front["observed"]]))
        for point in points
    ]
    return f"Mean months of life lost and sum of the probabilities of toxicities: {'; '.join(said)}."
