"""Names for the array types that the science passes around."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.intp]
Flags: TypeAlias = npt.NDArray[np.bool_]
Texts: TypeAlias = npt.NDArray[np.object_]

AS_THEY_ARE = ConfigDict(arbitrary_types_allowed=True)
"""Lets pydantic take arrays in a dataclass as they are."""
