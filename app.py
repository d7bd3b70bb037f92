"""Gemina: the entry of the dashboard. Page configuration, first preparation and navigation; the pages do the rest."""

import streamlit as st

from pages.parts.preparation import prepare_demonstration

st.set_page_config(page_title="Gemina", layout="wide")

page = st.navigation(
    [
        st.Page("pages/twin.py", title="Twin", icon=":material/timeline:", default=True),
        st.Page("pages/recommendation.py", title="Recommended sequence", icon=":material/route:"),
        st.Page("pages/patients.py", title="Patients", icon=":material/groups:"),
        st.Page("pages/cohorts.py", title="Cohorts", icon=":material/dataset:"),
        st.Page("pages/evidence.py", title="Evidence", icon=":material/balance:"),
    ],
    position="top",
)
prepare_demonstration()
page.run()
