"""The colours of figures in both themes (the theme itself stands in .streamlit/config.toml)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st


@dataclass(frozen=True)
class Palette:
    """Colours by role, as hexadecimal RGB."""

    plan_a: str
    plan_b: str
    observed: str
    text: str
    muted: str
    ground: str
    grid: str

    def band(self, colour: str, opacity: float = 0.16) -> str:
        """A colour as a translucent fill."""
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


LIGHT: Final = Palette(
    plan_a="#0b5cad",
    plan_b="#c2570c",
    observed="#6b7785",
    text="#17202b",
    muted="#4d5866",
    ground="#ffffff",
    grid="#d5dbe3",
)
DARK: Final = Palette(
    plan_a="#6db1ff",
    plan_b="#f5a25d",
    observed="#9aa7b5",
    text="#e8edf3",
    muted="#b3bdc9",
    ground="#10151c",
    grid="#2d3946",
)


def current() -> Palette:
    """The palette of the theme that the reader looks at."""
    return DARK if st.context.theme.type == "dark" else LIGHT
