"""A data set's name in, its patients with the outcome to predict out, or a sentence on why they are not here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd
from sksurv.datasets import load_gbsg2  # type: ignore[import-untyped]

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import Refused
from data.importing import check_source
from data.mapping import load_mapping
from data.synthetic import generate
from data.units import DAYS_PER_MONTH
from twin.arrays import Floats
from twin.metrics.observed import Observed
from twin.models.followup import follow_up

LAST_MONTH: Final = 60.0
EARLY_MONTH: Final = 24.0
FOLLOWED_SHARE: Final = 0.8
"""Share of the times that end by the last month scored, where follow-up is too short for `LAST_MONTH`"""
STEP_MONTHS: Final = 1.0
SYNTHETIC_PATIENTS: Final = 1500

SPECIFICATION: Final = Path(__file__).with_name("gbsg2.toml")
RADCURE_FOLDER: Final = "GEMINA_SHARED_DATA"
"""Environment variable that names the folder of the RADCURE table"""
_RADCURE_FILE: Final = "radcure_training.csv"
_RADCURE_MAPPING: Final = Path(__file__).parents[1] / "tests" / "fixtures" / "radcure_mapping.json"


@dataclass(frozen=True, eq=False)
class Problem:
    """n patients and one outcome of theirs to predict."""

    name: str
    cohort: Cohort
    """Those in whom the outcome is recorded"""
    outcome: str
    observed: Observed
    horizons: tuple[float, float]
    """Months at which calibration is judged; everything else ends at the second"""

    @classmethod
    def of(cls, name: str, cohort: Cohort, outcome: str) -> Self:
        """The outcome that nothing can forestall, scored to month 60 or to the 80th percentile of the times seen."""
        followed = follow_up(cohort.frame, cohort.spec, cohort.spec.outcome(outcome))
        recorded = followed.recorded
        seen = followed.take(recorded)
        last = min(LAST_MONTH, float(np.floor(np.quantile(seen.months, FOLLOWED_SHARE))))
        return cls(
            name=name,
            cohort=replace(cohort, frame=cohort.frame[recorded].reset_index(drop=True)),
            outcome=outcome,
            observed=Observed(seen.months, seen.cause.astype(np.int64)),
            horizons=(min(EARLY_MONTH, last / 2.0), last),
        )

    @property
    def months(self) -> Floats:
        """(m,) ascending months at which risks are predicted, from 0; the horizons are among them."""
        return np.union1d(np.arange(0.0, self.horizons[1], STEP_MONTHS), self.horizons)


def gbsg2(seed: int) -> Problem:
    """The 686 patients of the German Breast Cancer Study Group 2, a file of scikit-survival.

    Schumacher et al. 1994 (doi:10.1200/JCO.1994.12.10.2086). The outcome is recurrence or death.
    """
    spec = load_specification(str(SPECIFICATION))
    read, outcome = load_gbsg2()
    frame = pd.DataFrame(
        {
            "patient_id": [f"G-{row}" for row in range(len(read))],
            "age_years": read["age"],
            "menopausal_status": read["menostat"].astype(str).str.lower(),
            "grade": read["tgrade"].astype(str).map({"I": "1", "II": "2", "III": "3"}),
            "tumour_size_mm": read["tsize"],
            "positive_nodes": read["pnodes"],
            "progesterone_receptor": read["progrec"],
            "oestrogen_receptor": read["estrec"],
            "hormonal_therapy": (read["horTh"] == "yes").astype(float),
            "rfs_months": outcome["time"] / DAYS_PER_MONTH,
            "recurrence_or_death": outcome["cens"].astype(float),
        }
    )
    return Problem.of("gbsg2", Cohort(spec, typed_frame(frame, spec), name="gbsg2"), "recurrence_or_death")


def radcure(seed: int) -> Problem:
    """The 775 oropharynx patients of the RADCURE training table, which is no part of the product.

    Welch et al. 2023 (doi:10.7937/J47W-NM11). The outcome is death.

    Raises:
        Refused: the table is not here.
    """
    folder = Path(os.environ.get(RADCURE_FOLDER, Path(__file__).parents[2] / "shared" / "data"))
    path = folder / _RADCURE_FILE
    if not path.is_file():
        raise Refused(f"the RADCURE table is not at {path}", remedy=f"{RADCURE_FOLDER} may name its folder")
    mapping = load_mapping(_RADCURE_MAPPING.read_bytes(), _RADCURE_MAPPING.name)
    checked = check_source(path.read_bytes(), path.name, load_specification(), mapping, skip_bad_rows=True)
    if checked.cohort is None:
        raise Refused(f"{path} cannot be imported", remedy="`python -m twin check` lists what is wrong with it")
    return Problem.of("radcure", checked.cohort, "death")


def synthetic(seed: int) -> Problem:
    """1,500 patients of the demonstration's structural model; the outcome is death."""
    return Problem.of("synthetic", generate(SYNTHETIC_PATIENTS, seed).cohort, "death")


DATA: Final[Mapping[str, Callable[[int], Problem]]] = {"gbsg2": gbsg2, "radcure": radcure, "synthetic": synthetic}
"""By name, from a seed, which matters to invented patients only."""
