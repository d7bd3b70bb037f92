"""What other weights would have bought: months of life against toxicity, from the newest evaluation of the twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.parts import charts, palette
from pages.parts.session import Session
from pages.parts.widgets import note


def show(session: Session) -> None:
    """The front when it is asked for: reading an evaluation takes longer than the rest of the page."""
    if not st.toggle("Benefit against harm in the cohort, by the weight of toxicities", key="policy-front"):
        return
    front = _front(session)
    if front is None:
        note(f"Not evaluated yet: `python -m twin evaluate --cohort {session.cohort_name}`.")
        return
    st.plotly_chart(
        charts.benefit_and_harm(front, palette.current()),
        alt=charts.benefit_and_harm_alternative(front),
        config={"displayModeBar": False},
    )
    note(
        "What the models expect of patients they never saw, uncorrected, under the exact policy with the weights of "
        "toxicities multiplied, and under one plan for everybody; the physicians as observed."
    )


def _front(session: Session) -> Mapping[str, Any] | None:
    """Of the newest evaluation of the twin that serves which values its policy."""
    version = session.workspace.serving_version(session.cohort_name)
    for saved in reversed(session.workspace.evaluations(version)):
        policy = saved.document.get("policy")
        if policy and policy["front"]:
            front: Mapping[str, Any] = policy["front"]
            return front
    return None
