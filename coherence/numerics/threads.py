"""One thread of the linear algebra library where matrices are small: more cost more than they bring (2 to 4 times at n = 300)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

THREADED = 800  # rows from which on threads pay


def single_thread(rows: int) -> AbstractContextManager[Any]:
    """A context in which BLAS and LAPACK use one thread, for matrices of up to 800 rows."""
    return nullcontext() if rows > THREADED else _controller().limit(limits=1, user_api="blas")


@lru_cache
def _controller() -> Any:
    import numpy.linalg  # noqa: F401  (the libraries must be loaded before they are found)
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
