"""The first start: makes the demonstration cohort and its twin, with a progress bar, when they are missing."""

from __future__ import annotations

import gc
import threading

import streamlit as st

from pages.parts.guard import guarded
from pages.parts.session import workspace
from pages.parts.widgets import shown_on


@st.cache_resource(show_spinner=False)
def _done() -> threading.Event:
    """Whether this process has seen to the demonstration."""
    return threading.Event()


def prepare_demonstration() -> None:
    """See that there is something to show; an error becomes a panel."""
    if not _done().is_set():
        guarded(_prepare)


def _prepare() -> None:
    bar = st.progress(0.0, text="Preparing the demonstration: a synthetic cohort and its twin. This happens once.")
    workspace().prepare_demonstration(shown_on(bar, "Preparing the demonstration"))
    bar.empty()
    gc.collect()
    gc.freeze()  # what is loaded by now stays: later collections need not look at it
    _done().set()
