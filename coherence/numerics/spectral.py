r"""The spectral norm of a complex symmetric operator that is known by its products only.

E = E^T has Takagi vectors, E conj(u) = sigma u: eigenvectors of x -> E conj(x), which is a real symmetric map of R^{2n} with
eigenvalues +sigma_i and -sigma_i. Its Krylov space from one vector, fully orthogonalised, gives E conj(Q) = Q S + r e^T with a
small complex symmetric S; each product with E widens it by one, where Lanczos on E^H E needs two. The largest singular value of S
is never above that of E; one of E lies within the residual, and within residual^2 / gap (Kato and Temple, the gap taken to the
second one of S). It is the largest where the start has enough of its vector: the start is the vector of a neighbouring
frequency with a random one of a tenth its length added. That is likely, not proved: with a hundredth, branches that cross are
followed beyond the crossing here and there, with errors up to 1e-2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.errors import ToleranceError
from coherence.types import Complex

TOLERANCE = 1e-8  # error estimate of the norm, relative
LEAST = 10  # products before it may end: a neighbour's vector is converged at once, what it missed is not
RANDOM = 0.1  # length of what is added to a neighbour's vector
STEPS = 1200  # products before it gives up
ROOM = 32  # vectors there is room for to begin with
WHOLE = 60  # vectors up to which all singular values of S are computed: quicker than two of them
BREAKDOWN = 1e-12  # of the largest entry of S: a new direction below it is rounding


class Norm(NamedTuple):
    """sigma_max, its Takagi vector, the estimated relative error of sigma_max, and the products it took."""

    value: float
    vector: Complex  # (n,)
    error: float
    products: int


def symmetric_norm(
    apply: Callable[[Complex], Complex], start: Complex, *, least: int = LEAST, most: int = STEPS, tolerance: float = TOLERANCE
) -> Norm:
    """sigma_max of the complex symmetric operator `apply`, x (n, 1) -> E x.

    Parameters
    ----------
    apply : callable
    start : (n,) complex
        Not zero; see `started`.
    least : int
        Products before the estimate is looked at.
    most : int
        Products before it gives up.
    tolerance : float
        Estimated relative error of sigma_max.

    Raises
    ------
    ToleranceError
        The estimate does not reach the tolerance within `most` products.
    """
    n, error, look = len(start), np.inf, least
    basis = np.empty((n, ROOM), dtype=complex, order="F")
    small = np.zeros((ROOM, ROOM), dtype=complex)
    basis[:, 0] = start / _length(start)
    for count in range(1, most + 1):
        known = basis[:, :count]
        rest = apply(basis[:, count - 1 : count].conj())[:, 0]
        along = _against(known, rest)
        small[:count, count - 1] = small[count - 1, :count] = along
        rest = rest - known @ along
        rest -= known @ _against(known, rest)  # always: what one pass leaves grows from vector to vector
        left = _length(rest)
        ends = count == n or left <= BREAKDOWN * np.abs(small[:count, :count]).max()  # then S holds sigma_max itself
        if ends or count >= look:
            look = count + max(2, count // 8)
            value, lead, gap = _leading(small[:count, :count])
            if value == 0.0:
                return Norm(0.0, known[:, -1].copy(), 0.0, count)
            miss = left * abs(lead[-1])
            error = 0.0 if ends else (min(miss, miss**2 / gap) if gap > 0 else miss) / value
            if error <= tolerance:
                return Norm(value, known @ lead, error, count)
        if count == basis.shape[1]:
            basis = np.concatenate([basis, np.empty_like(basis)], axis=1)
            small = np.pad(small, (0, count))
        basis[:, count] = rest / left
    raise ToleranceError(f"the spectral norm has an estimated error of {error:.1e} after {most} products (needed {tolerance:g})")


def started(previous: Complex | None, n: int, rng: np.random.Generator) -> Complex:
    """The vector of the neighbouring frequency with a little of a random one, or a random one alone."""
    start = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    return start if previous is None else previous + RANDOM / _length(start) * start


def _leading(small: Complex) -> tuple[float, Complex, float]:
    """The largest singular value of a complex symmetric matrix, its Takagi vector, and its distance to the second."""
    size = len(small)
    squared = small @ small.conj()
    if size <= WHOLE:
        values, vectors = np.linalg.eigh(squared)
    else:
        values, vectors = sla.eigh(squared, subset_by_index=(size - 2, size - 1), check_finite=False)
    value = math.sqrt(max(values[-1], 0.0))
    x = vectors[:, -1]
    if value == 0.0:
        return 0.0, x, 0.0
    y = small @ x.conj() / value  # S conj(y) = value x, so that both x + y and i (x - y) are Takagi vectors, unless they vanish
    both = x + y if np.vdot(x, y).real >= 0 else 1j * (x - y)
    return value, both / _length(both), value - math.sqrt(max(values[-2], 0.0)) if size > 1 else 0.0


def _against(basis: Complex, x: Complex) -> Complex:
    """basis^H x without a copy of the conjugate basis."""
    return (basis.T @ x.conj()).conj()


def _length(x: Complex) -> float:
    return math.sqrt(np.vdot(x, x).real)
