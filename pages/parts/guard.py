"""One guard for every page: an error becomes a panel that says what to do, never a traceback."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import streamlit as st

from data.errors import GeminaError
from pages.parts.words import plain

logger = logging.getLogger("gemina.pages")


def guarded(render: Callable[[], None]) -> None:
    """Draw a page; whatever goes wrong is shown as a readable panel.

    An error that a user can act on says what and how. Any other is logged with a reference, and only the reference is
    shown, so that no patient's data reach the screen through an error message.
    """
    try:
        render()
    except GeminaError as error:
        advice = plain(_sentence(error.remedy)) or "Nothing was changed."
        st.error(advice, title=plain(_sentence(error.what)), icon=":material/error:")
    except Exception:  # the boundary of a page: nothing may reach the reader as a traceback
        reference = uuid.uuid4().hex[:8]
        logger.exception("page failed, reference %s", reference)
        st.error(
            f"Nothing was changed. Please report it with the reference {reference}; reloading the page may help.",
            title="This page could not be drawn: a fault of ours",
            icon=":material/error:",
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
