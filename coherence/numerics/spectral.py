r"""The spectral norm of a complex symmetric operator that is known by its products only.

E = E^T, so E^H = conj(E) and sigma_max(E)^2 is the largest eigenvalue of x -> conj(E conj(E x)): block Lanczos, fully
reorthogonalised, started with the vector of the neighbouring frequency and a random one. A Ritz value is never above the largest
eigenvalue; an eigenvalue lies within its residual, and within residual^2 / gap (Kato and Temple, the gap taken to the second Ritz
value). That one is the largest unless the start is orthogonal to its vector, against which the random one stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coherence.errors import ToleranceError
from coherence.types import Complex

TOLERANCE = 1e-8  # error estimate of the squared norm, relative
BLOCK = 2  # vectors at a time: one pass over the factors serves them all
LEAST = 4  # blocks before it may end: a neighbour's vector is converged at once, what it missed is not
STEPS = 60  # blocks before it gives up
BREAKDOWN = 1e-12  # of the Ritz value: a new direction below it is rounding


class Norm(NamedTuple):
    """sigma_max, its right singular vector, and the estimated relative error of sigma_max^2."""

    value: float
    vector: Complex  # (n, 1)
    error: float


def symmetric_norm(apply: Callable[[Complex], Complex], start: Complex, *, tolerance: float = TOLERANCE) -> Norm:
    """sigma_max of the complex symmetric operator `apply`, x (n, m) -> E x.

    Parameters
    ----------
    apply : callable
    start : (n, m) complex
        Linearly independent columns.
    tolerance : float
        Estimated relative error of sigma_max^2.

    Raises
    ------
    ToleranceError
        The estimate does not reach the tolerance within 60 blocks.
    """
    n, wide = start.shape
    room = min(n, STEPS * wide) + wide
    basis, image = np.empty((n, room), dtype=complex, order="F"), np.empty((n, room), dtype=complex, order="F")
    projected = np.zeros((room, room), dtype=complex)
    basis[:, :wide] = np.linalg.qr(start)[0]
    count, fresh = 0, slice(0, wide)
    for step in range(STEPS):
        new = apply(apply(basis[:, fresh]).conj()).conj()
        image[:, fresh] = new
        count = fresh.stop
        known = basis[:, :count]
        along = known.conj().T @ new
        projected[:count, fresh] = along
        projected[fresh, :count] = along.conj().T
        values, vectors = np.linalg.eigh(projected[:count, :count])
        top = float(values[-1])
        if top <= 0.0:
            return Norm(0.0, known[:, -wide:], 0.0)
        lead = vectors[:, -1]
        miss = float(np.linalg.norm(image[:, :count] @ lead - top * (known @ lead)))
        gap = top - float(values[-2]) if count > 1 else 0.0
        error = (min(miss, miss**2 / gap) if gap > 0 else miss) / top
        if (error <= tolerance and step + 1 >= LEAST) or count == n:
            return Norm(float(np.sqrt(top)), known @ lead[:, None], error)
        rest = new - known @ along
        fresh = slice(count, _extended(basis, count, rest, BREAKDOWN * top))
        if fresh.stop == count:  # an invariant subspace: the Ritz value is an eigenvalue, of a random start the largest
            return Norm(float(np.sqrt(top)), known @ lead[:, None], 0.0)
    raise ToleranceError(f"the spectral norm has an estimated error of {error:.1e} after {STEPS} blocks (needed {tolerance:g})")


def _extended(basis: Complex, count: int, rest: Complex, least: float) -> int:
    """Put the directions of `rest` that are more than rounding behind the first `count` columns; the new count."""
    for j in range(rest.shape[1]):
        vector = rest[:, j]
        if count == basis.shape[0] or np.linalg.norm(vector) <= least:
            continue
        for _ in range(2):
            vector = vector - basis[:, :count] @ (basis[:, :count].conj().T @ vector)
        size = float(np.linalg.norm(vector))
        if size > least:
            basis[:, count] = vector / size
            count += 1
    return count


def started(previous: Complex | None, n: int, rng: np.random.Generator) -> Complex:
    """The vector of the neighbouring frequency beside a random one; or random vectors."""
    wide = min(BLOCK, n)
    start = rng.standard_normal((n, wide)) + 1j * rng.standard_normal((n, wide))
    if previous is not None and wide > 1:
        start[:, 0] = previous[:, 0]
    return start
