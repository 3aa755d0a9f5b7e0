"""Names for the array types used in signatures, and the check that turns s or omega into one axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coherence.errors import InputError

Real = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]
Int = NDArray[np.signedinteger[Any]]

__all__ = ["ArrayLike", "Complex", "Int", "Real", "frequencies", "laplace_points", "real_vector"]


def laplace_points(s: ArrayLike) -> Complex:
    """Return s as a one-dimensional complex array, frequency axis first; refuse what is not finite."""
    try:
        points = np.atleast_1d(np.asarray(s, dtype=complex))
    except (TypeError, ValueError):
        raise InputError(f"s = {s!r:.60}; give Laplace points, complex numbers in rad/s") from None
    if points.ndim != 1:
        raise InputError(f"s has {points.ndim} axes; give a number or a one-dimensional array of Laplace points")
    if not np.isfinite(points).all():
        raise InputError(f"s[{int(np.argmin(np.isfinite(points)))}] is not finite; give finite Laplace points")
    return points


def frequencies(omega: ArrayLike) -> Real:
    """Return omega [rad/s] as a one-dimensional real array; refuse negative, unsorted or non-finite values."""
    w = real_vector(omega, "omega")
    if w.size == 0:
        raise InputError("omega is empty; give at least one frequency in rad/s")
    if (w < 0).any():
        where = int(np.argmax(w < 0))
        raise InputError(f"omega[{where}] = {w[where]:g} is negative; frequencies are in rad/s and >= 0")
    if (np.diff(w) < 0).any():
        where = int(np.argmax(np.diff(w) < 0)) + 1
        raise InputError(f"omega[{where}] = {w[where]:g} is smaller than its predecessor; sort the frequencies")
    return w


def real_vector(values: Any, name: str) -> Real:
    """Return `values` as a finite one-dimensional float array; `name` stands in the message."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        raise InputError(f"{name} is {values!r}; give real numbers") from None
    if array.ndim != 1:
        raise InputError(f"{name} has {array.ndim} axes; give a number or a one-dimensional array")
    if not np.isfinite(array).all():
        where = int(np.argmin(np.isfinite(array)))
        raise InputError(f"{name}[{where}] = {array[where]} is not finite; give finite numbers")
    return array
