"""A seed and a purpose in, a stream of random numbers of their own out."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *purpose: str) -> np.random.Generator:
    """Random numbers that no other purpose shares, whatever else is drawn and in whatever order."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in purpose)])
