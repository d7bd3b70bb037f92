"""The candidates for a hazard, and the forms in which a fitted one can be stored."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import Field

from twin.models.candidates.boosting import BoostedHazard, GradientBoosting
from twin.models.candidates.discrete import DiscreteHazard, DiscreteTime
from twin.models.candidates.forest import ForestHazard, HazardForest
from twin.models.candidates.mixture import DeepHazard, DeepMixture
from twin.models.candidates.periods import MarginalHazard
from twin.models.candidates.protocol import Candidate

AnyHazard: TypeAlias = Annotated[
    MarginalHazard | BoostedHazard | DiscreteHazard | ForestHazard | DeepHazard, Field(discriminator="kind")
]
"""Every fitted form; `kind` tells a loader which one a stored document is."""

CANDIDATES: Final[tuple[Candidate, ...]] = (GradientBoosting(), DiscreteTime(), HazardForest(), DeepMixture())
"""Each chooses its settings by itself."""
