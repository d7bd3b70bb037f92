"""Differences between two options, outcome by outcome, in; a plotly figure and its text alternative out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pages.parts.charts import FONT
from pages.parts.palette import Palette
from twin.curve import Estimate

ROW_PX: Final = 32
AXIS_PX: Final = 42
ABOVE_PX: Final = 20
ROOM: Final = 1.08
"""The axis reaches this much beyond the farthest interval"""
LABEL_ABOVE: Final = 0.22
MARK_BELOW: Final = 0.2
"""Of a row: how far its words stand above its middle, and its mark below"""
LESS: Final = "◂ less of it: benefit"
MORE: Final = "harm: more of it ▸"


@dataclass(frozen=True)
class Row:
    """One outcome."""

    label: str
    difference: Estimate
    text: str
    """The difference with its interval"""
    clear: bool
    """Whether the interval leaves 0 out"""
    supported: bool = True
    """Whether the difference may be marked; otherwise its interval is drawn alone"""


@dataclass(frozen=True)
class Panel:
    """Outcomes in one unit, on one axis."""

    unit: str
    rows: tuple[Row, ...]

    @property
    def reach(self) -> float:
        """The farthest end of an interval from 0."""
        return max(max(abs(row.difference.lower), abs(row.difference.upper)) for row in self.rows)


def differences(panels: Sequence[Panel], palette: Palette) -> go.Figure:
    """One panel a unit, one above the other, 0 in the middle of each; words above their mark."""
    heights = [ROW_PX * len(panel.rows) for panel in panels]
    plotted = sum(heights) + AXIS_PX * (len(panels) - 1)
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        row_heights=heights,
        vertical_spacing=AXIS_PX / plotted if len(panels) > 1 else 0.0,
    )
    for index, panel in enumerate(panels, start=1):
        for y, row in enumerate(panel.rows):
            _add_row(figure, index, y, row, palette)
        _style_axes(figure, index, panel, palette)
    for side, x, text in (("left", 0.0, LESS), ("right", 1.0, MORE)):
        _add_text(figure, "paper", 1.0, text, palette, side=side, x=x, shift=12)
    figure.update_layout(
        height=plotted + ABOVE_PX + AXIS_PX,
        margin={"l": 4, "r": 4, "t": ABOVE_PX, "b": AXIS_PX},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "color": palette.text, "family": FONT},
        hoverlabel={"bgcolor": palette.ground, "font": {"color": palette.text}},
        showlegend=False,
    )
    return figure


def alternative(recommended: str, other: str, panels: Sequence[Panel], interval: str) -> str:
    """What the figure shows, for those who do not see it."""
    said = [f"{row.label} {row.text} {panel.unit}" for panel in panels for row in panel.rows]
    return (
        f"Differences of the losses, {recommended} minus {other}, with the {interval} interval of paired draws; "
        f"below 0 there is less of it: {'; '.join(said)}. The table below the figure holds the numbers."
    )


def _add_row(figure: go.Figure, index: int, y: int, row: Row, palette: Palette) -> None:
    difference = row.difference
    colour = palette.text if row.clear else palette.muted
    figure.add_trace(
        go.Scatter(
            x=[difference.value],
            y=[y + MARK_BELOW],
            error_x={
                "array": [difference.upper - difference.value],
                "arrayminus": [difference.value - difference.lower],
                "color": colour,
                "thickness": 2.5 if row.clear else 1.5,
                "width": 0 if row.supported else 4,
            },
            mode="markers",
            marker={
                "symbol": "square" if row.clear else "square-open",
                "size": 9,
                "opacity": 1.0 if row.supported else 0.0,
                "color": colour,
                "line": {"width": 2, "color": colour},
            },
            hovertemplate=f"{row.label}: {row.text}<extra></extra>",
        ),
        row=index,
        col=1,
    )
    axis = "y" if index == 1 else f"y{index}"
    _add_text(figure, axis, y - LABEL_ABOVE, row.label, palette, side="left", x=0.0)
    number = f"<b>{row.text}</b>" if row.clear else row.text
    _add_text(figure, axis, y - LABEL_ABOVE, number, palette, side="right", x=1.0)


def _add_text(
    figure: go.Figure, axis: str, y: float, text: str, palette: Palette, *, side: str, x: float, shift: int = 0
) -> None:
    figure.add_annotation(
        x=x,
        xref="paper",
        xanchor=side,
        y=y,
        yref=axis,
        yanchor="middle",
        yshift=shift,
        text=text,
        showarrow=False,
        bgcolor=palette.ground,  # on a phone the line at 0 would run through words
        borderpad=1,
        font={"size": 12, "color": palette.text},
    )


def _style_axes(figure: go.Figure, index: int, panel: Panel, palette: Palette) -> None:
    end = (panel.reach or 1.0) * ROOM
    figure.update_xaxes(
        range=[-end, end],
        nticks=7,
        title={"text": panel.unit, "font": {"size": 12, "color": palette.muted}, "standoff": 2},
        showgrid=False,
        ticks="outside",
        ticklen=4,
        tickcolor=palette.muted,
        tickfont={"color": palette.muted},
        zeroline=True,
        zerolinecolor=palette.muted,
        zerolinewidth=1.5,
        fixedrange=True,
        row=index,
        col=1,
    )
    figure.update_yaxes(
        range=[len(panel.rows) - 0.5, -0.5],
        showticklabels=False,
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        row=index,
        col=1,
    )
