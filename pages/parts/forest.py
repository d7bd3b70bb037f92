"""Forest plots: ratios with their intervals from several sources in, a plotly figure and its text alternative out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from pages.parts.charts import FONT
from pages.parts.palette import Palette
from twin.effects.combination import Ratio

TICKS: Final = {
    1.5: (0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.5),
    2.0: (0.5, 0.7, 1.0, 1.4, 2.0),
    3.0: (0.33, 0.5, 1.0, 2.0, 3.0),
    5.0: (0.2, 0.5, 1.0, 2.0, 5.0),
    10.0: (0.1, 0.3, 1.0, 3.0, 10.0),
}
"""How far an axis may reach on either side of 1, and the ratios that are written on it, few enough for a phone; an
interval that goes beyond the last end is cut off"""
LINE_PX: Final = 19
ABOVE_PX: Final = 44
BELOW_PX: Final = 6
LABELS_PX: Final = 78
NUMBERS_PX: Final = 116


@dataclass(frozen=True)
class Mark:
    """What one source says of one group, or why it says nothing."""

    source: str
    ratio: Ratio | None
    absent: str = ""
    """In place of a ratio"""

    @property
    def text(self) -> str:
        """The ratio with its interval, or why there is none."""
        return self.absent if self.ratio is None else str(self.ratio)


@dataclass(frozen=True)
class ForestGroup:
    """One group of patients."""

    label: str
    marks: tuple[Mark, ...]
    remark: str = ""
    """Stands beside the label"""


@dataclass(frozen=True)
class _Look:
    symbol: str
    size: int
    width: float


LOOKS: Final = (_Look("diamond-open", 10, 1.5), _Look("circle", 8, 1.5), _Look("square", 10, 3.0))
"""Of the sources in their order: shapes differ, so that no colour is needed to tell them apart"""


def axis_end(groups: Sequence[ForestGroup]) -> float:
    """The smallest end of `TICKS` that holds every interval; figures that are compared share the largest of theirs."""
    ratios = [mark.ratio for group in groups for mark in group.marks if mark.ratio is not None]
    farthest = max((max(ratio.upper, 1.0 / ratio.lower) for ratio in ratios), default=1.0)
    return next((end for end in TICKS if farthest <= end), max(TICKS))


def forest(groups: Sequence[ForestGroup], end: float, measure: str, palette: Palette) -> go.Figure:
    """One line a source under the label of each group, on a logarithmic axis from ``1 / end`` to `end`."""
    figure = go.Figure()
    lines = list(_lines(groups))
    for y, mark, look in lines:
        _add_mark(figure, y, mark, look, palette)
    count = lines[-1][0] + 1 if lines else 0
    starts = _starts(groups)
    for y, group in zip(starts, groups, strict=True):
        said = f"<b>{group.label}</b>" + (f"  {group.remark}" if group.remark else "")
        _add_text(figure, y, said, palette.text, x=0.0, shift=-LABELS_PX)
    figure.add_vline(x=1.0, line={"color": palette.muted, "width": 1})
    _style(figure, lines, count, end, measure, palette)
    return figure


def alternative(title: str, groups: Sequence[ForestGroup], measure: str) -> str:
    """What a forest plot shows, for those who do not see it."""
    said = [
        f"{group.label}{f', {group.remark}' if group.remark else ''}: "
        + ", ".join(f"{mark.source} {mark.text}" for mark in group.marks)
        for group in groups
    ]
    return f"{title}: {measure}s with 90 % intervals. {'; '.join(said)}. The table below the figures holds the numbers."


def _starts(groups: Sequence[ForestGroup]) -> list[int]:
    """The line of each group's label."""
    starts, line = [], 0
    for group in groups:
        starts.append(line)
        line += 1 + len(group.marks)
    return starts


def _lines(groups: Sequence[ForestGroup]) -> Iterator[tuple[int, Mark, _Look]]:
    for start, group in zip(_starts(groups), groups, strict=True):
        for offset, (mark, look) in enumerate(zip(group.marks, LOOKS, strict=True), start=1):
            yield start + offset, mark, look


def _add_mark(figure: go.Figure, y: int, mark: Mark, look: _Look, palette: Palette) -> None:
    if mark.ratio is None:
        _add_text(figure, y, f"<i>{mark.absent}</i>", palette.muted, x=0.0, shift=4, ground=palette.ground)
        return
    ratio, last = mark.ratio, look is LOOKS[-1]
    colour = palette.text if last else palette.observed
    figure.add_trace(
        go.Scatter(
            x=[ratio.ratio],
            y=[y],
            error_x={
                "array": [ratio.upper - ratio.ratio],
                "arrayminus": [ratio.ratio - ratio.lower],
                "color": colour,
                "thickness": look.width,
                "width": 0,
            },
            mode="markers",
            marker={"symbol": look.symbol, "size": look.size, "color": colour, "line": {"width": 2, "color": colour}},
            name=mark.source,
            showlegend=False,
            hovertemplate=f"{mark.source}: {mark.text}<extra></extra>",
        )
    )
    _add_text(figure, y, f"<b>{mark.text}</b>" if last else mark.text, palette.text, x=1.0, shift=6)


def _add_text(
    figure: go.Figure, y: int, text: str, colour: str, *, x: float, shift: int, ground: str | None = None
) -> None:
    figure.add_annotation(
        x=x,
        xref="paper",
        xanchor="left",
        xshift=shift,
        y=y,
        yanchor="middle",
        text=text,
        showarrow=False,
        align="left",
        bgcolor=ground,
        font={"size": 12, "color": colour},
    )


def _style(
    figure: go.Figure, lines: list[tuple[int, Mark, _Look]], count: int, end: float, measure: str, palette: Palette
) -> None:
    figure.update_layout(
        height=ABOVE_PX + BELOW_PX + LINE_PX * count,
        margin={"l": LABELS_PX, "r": NUMBERS_PX, "t": ABOVE_PX, "b": BELOW_PX},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12, "color": palette.text, "family": FONT},
        hoverlabel={"bgcolor": palette.ground, "font": {"color": palette.text}},
    )
    figure.update_xaxes(
        type="log",
        range=[-math.log10(end), math.log10(end)],
        tickvals=TICKS[end],
        ticktext=[f"{tick:g}" for tick in TICKS[end]],
        tickangle=0,
        side="top",
        title={"text": f"lower risk ← {measure} → higher", "font": {"size": 12, "color": palette.muted}, "standoff": 4},
        gridcolor=palette.grid,
        tickfont={"color": palette.muted},
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(
        range=[count - 0.5, -0.5],
        tickvals=[y for y, _, _ in lines],
        ticktext=[mark.source for _, mark, _ in lines],
        tickfont={"color": palette.muted},
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
