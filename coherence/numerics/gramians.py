r"""Gramians by their factors: A X + X A^T + B B^T = 0 with X = R R^T, R computed without forming X.

Hammarling's method on the complex Schur form: with A = [[A1, a], [0, l]], B = [B1; b^H], R = [[R1, u], [0, t]],

    t = |b| / sqrt(-2 Re l),   (A1 + conj(l) I) u = -(a t + B1 b / t),   and R1 belongs to A1 and B1 - u b^H / t.

R is accurate to rounding of its norm, so that small Hankel values and norms of differences keep their digits; a solution X has
only half as many. (S. Hammarling, Numerical solution of the stable, non-negative definite Lyapunov equation, 1982.)

Over a band of frequencies X = (1/2 pi) int (jw - A)^{-1} B B^T (jw - A)^{-*} dw, low <= |w| <= high, by Gauss rules whose columns
are the factor: a panel of half-width h whose nearest pole is at least 2 h from its middle has an error of 3.7^{-2N} with N points.
(W. Gawronski, J.-N. Juang, Model reduction in limited time and frequency intervals, 1990.)
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sla

from coherence.errors import ToleranceError
from coherence.types import Complex, Real

_POINTS = 14  # of a panel: 3.7^-28 = 1e-16
_PANELS = 4000
RESIDUAL = 1e-11  # relative to |A| |X|; 1.1e-15 is the largest seen on Iceland and 200 stiff random systems of order 30


def gramian_factor(a: Real, b: Real) -> Real:
    """R with A X + X A^T + B B^T = 0, X = R R^T, for stable A.

    Parameters
    ----------
    a : (N, N) array, all eigenvalues in Re s < 0
    b : (N, m) array

    Returns
    -------
    (N, N) array
        A real factor; O(N^3).

    Raises
    ------
    ToleranceError
        The equation is not met to rounding.
    """
    n = len(a)
    if n == 0:
        return np.zeros((0, 0))
    t, z = sla.schur(a, output="complex")
    if (np.diag(t).real >= 0).any():
        raise ToleranceError(f"a gramian of order {n}: rounding puts a pole on the axis; balance or scale the system")
    factor = z @ _triangular_factor(t, z.conj().T @ b)
    found = square_factor(np.hstack([factor.real, factor.imag]))  # X is real: Re(F F^H) = F_re F_re^T + F_im F_im^T
    x = found @ found.T
    residual = np.linalg.norm(a @ x + x @ a.T + b @ b.T)
    if not residual <= RESIDUAL * (np.linalg.norm(a) * np.linalg.norm(x) + np.linalg.norm(b) ** 2):
        raise ToleranceError(f"a gramian of order {n} leaves a residual of {residual:.1e}; balance or scale the system")
    return found


def band_gramian_factor(a: Real, b: Real, low: float, high: float) -> Real:
    """R with R R^T the gramian of (A, B) over low <= |omega| <= high [rad/s], for A without eigenvalues on the axis there.

    Raises
    ------
    ToleranceError
        A pole so near the axis that too many panels would be needed.
    """
    n = len(a)
    if n == 0:
        return np.zeros((0, 0))
    t, z = sla.schur(a, output="complex")
    poles = np.diag(t)
    panels, ready = [(low, high)], []
    while panels:
        left, right = panels.pop()
        middle, half = 0.5 * (left + right), 0.5 * (right - left)
        if np.abs(1j * middle - poles).min() >= 2 * half:
            ready.append((middle, half))
        else:
            panels += [(left, middle), (middle, right)]
        if len(panels) + len(ready) > _PANELS:
            raise ToleranceError(
                f"a pole at {poles[np.abs(poles.real).argmin()]:.3g} is too near the axis for a gramian over a band"
            )
    point, weight = np.polynomial.legendre.leggauss(_POINTS)
    centre, width = np.array(sorted(ready)).T
    omega = (centre[:, None] + width[:, None] * point).ravel()
    measure = (width[:, None] * weight).ravel() / np.pi  # both signs of omega
    drive, eye = z.conj().T @ b, np.eye(n)
    columns = [
        np.sqrt(m) * (z @ sla.solve_triangular(1j * w * eye - t, drive, check_finite=False))
        for w, m in zip(omega, measure, strict=True)
    ]
    factor = np.hstack([part for column in columns for part in (column.real, column.imag)])
    return square_factor(factor)


def square_factor(factor: Real) -> Real:
    """An (N, N) factor of the same product R R^T."""
    n = len(factor)
    found = np.asarray(np.linalg.qr(factor.T, mode="r")).T
    return np.pad(found, ((0, 0), (0, n - found.shape[1])))


def _triangular_factor(t: Complex, b: Complex) -> Complex:
    n = len(t)
    r, rest = np.zeros((n, n), dtype=complex), b.astype(complex)
    negligible = np.finfo(float).eps * np.linalg.norm(b)
    for j in range(n - 1, -1, -1):
        row = rest[j].conj()
        size = np.linalg.norm(row)
        if size <= negligible:  # a state that the input does not reach; the direction of rounding means nothing
            continue
        r[j, j] = size / np.sqrt(-2 * t[j, j].real)
        direction = row / r[j, j]
        if j:
            shifted = t[:j, :j] + np.conj(t[j, j]) * np.eye(j)
            u = sla.solve_triangular(shifted, -(t[:j, j] * r[j, j] + rest[:j] @ direction), check_finite=False)
            r[:j, j] = u
            rest[:j] = rest[:j] - np.outer(u, direction.conj())
    return r
