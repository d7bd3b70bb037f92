"""One thread for linear algebra: the products here are small, and threads that wait for each other cost tenfold.

It also makes results the same to the last bit on machines with another number of cores.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """A context in which BLAS uses the calling thread only."""
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit
