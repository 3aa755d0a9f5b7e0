r"""The distance of 0 from conv{z_i} + f [lo, hi]: the ingredient of the hull bound.

A convex compact set C misses 0 by d = max_theta min_{c in C} Re(e^{-j theta} c) (separating half plane), negative
inside. For C = conv{z_i} + f [lo, hi] the minimum is min_i Re(e^{-j theta} z_i) + min(c lo, c hi), c = Re(e^{-j theta} f).
Every theta gives a lower bound on d, so a grid of angles errs on the safe side; the best one is then refined.
"""

from __future__ import annotations

import numpy as np

from coherence.types import Complex, Real

ANGLES = 180  # of the first grid; each refinement divides the spacing by ANGLES / 4
REFINEMENTS = 3


def hull_distance(points: Complex, f: Complex, lo: float, hi: float) -> Real:
    """A lower bound on dist(0, conv{z_i} + f [lo, hi]), tight to about 1e-6 relative; not positive if 0 is inside.

    The support function has kinks where the segment turns its other end (arg f +- 90 degrees); those angles are tried exactly.

    Parameters
    ----------
    points : (F, n) complex
    f : (F,) complex
    lo, hi : float
        Ends of the segment, 0 <= lo <= hi.

    Returns
    -------
    (F,) float
    """
    centre, half_width = np.zeros(len(f)), np.pi
    best = np.full(len(f), -np.inf)
    kinks = np.angle(f)[:, None] + np.array([-0.5, 0.5]) * np.pi
    for _ in range(1 + REFINEMENTS):
        angles = np.hstack([centre[:, None] + np.linspace(-half_width, half_width, ANGLES), kinks])
        value = _support(points, f, lo, hi, angles)
        winner = value.argmax(axis=1)
        best = np.maximum(best, value.max(axis=1))
        centre = angles[np.arange(len(f)), winner]
        half_width *= 4.0 / ANGLES
    return best


def _support(points: Complex, f: Complex, lo: float, hi: float, angles: Real) -> Real:
    """Min over the set of Re(e^{-j theta} c), shape (F, angles)."""
    turn = np.exp(-1j * angles)
    out = np.empty(angles.shape)
    for i in range(len(f)):  # over frequencies: (angles, n) at a time keeps memory flat
        nearest = (np.outer(turn[i].real, points[i].real) - np.outer(turn[i].imag, points[i].imag)).min(axis=1)
        slope = (turn[i] * f[i]).real
        out[i] = nearest + np.minimum(slope * lo, slope * hi)
    return out


def support_margin(points: Complex, f: Complex, least: float, spread: Real) -> Real:
    """Max over theta with c = Re(e^{-j theta} f) >= 0 of c least + (h if h >= 0 else spread h), h = min_i Re(e^{-j theta} z_i).

    A lower bound on the smallest singular value that the passive bound divides by; the grid of angles errs on the safe side.

    Parameters
    ----------
    points : (F, n) complex
    f : (F,) complex
    least : float
        The eigenvalue that f multiplies, >= 0.
    spread : (F,) float
        1 + alpha^2 >= 1.

    Returns
    -------
    (F,) float
    """
    centre, half_width = np.angle(f), np.full(len(f), 0.5 * np.pi)
    best = np.full(len(f), -np.inf)
    for _ in range(1 + REFINEMENTS):
        angles = centre[:, None] + half_width[:, None] * np.linspace(-1.0, 1.0, ANGLES)
        angles = np.clip(angles, (np.angle(f) - 0.5 * np.pi)[:, None], (np.angle(f) + 0.5 * np.pi)[:, None])
        nearest = _support(points, f, 0.0, 0.0, angles)
        pull = np.maximum((np.exp(-1j * angles) * f[:, None]).real, 0.0)
        value = pull * least + np.where(nearest >= 0, nearest, spread[:, None] * nearest)
        winner = value.argmax(axis=1)
        best = np.maximum(best, value.max(axis=1))
        centre = angles[np.arange(len(f)), winner]
        half_width = half_width * 4.0 / ANGLES
    return best


def smallest_disc(points: Complex, steps: int) -> Complex:
    """About the centre of the smallest disc that holds the points of each row, (F,), by Badoiu and Clarkson's steps.

    After i steps the radius is within a factor 1 + 1/sqrt(i) of the smallest, in practice far closer.
    """
    centre: Complex = points.mean(axis=1)
    rows = np.arange(len(points))
    for i in range(1, steps + 1):
        far = points[rows, np.abs(points - centre[:, None]).argmax(axis=1)]
        centre = centre + (far - centre) / (i + 1)
    return centre
