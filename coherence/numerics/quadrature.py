"""Gauss rules for a probability distribution that is known by its quantiles.

The distribution is discretised by tanh-sinh quadrature in the probability u (tails to 1e-37, ends of any kind), then Lanczos on
the points gives the Jacobi matrix whose eigenvalues are the Gauss points: m of them are exact for polynomials of degree 2m - 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg as sla
from scipy.special import expit

from coherence.errors import ToleranceError
from coherence.types import Real

Quantile = Callable[[Real], Real]
REACH = 4.0  # of the tanh-sinh variable
STEPS = (32, 64, 128, 256, 512)  # points per unit of it, until two agree
AGREE = 1e-11  # of mean and spread of two discretisations


def discretised(lower: Quantile, upper: Quantile) -> tuple[Real, Real]:
    """Points and weights of a continuous distribution.

    Parameters
    ----------
    lower, upper : callable
        Quantiles of a probability from below and from above, arrays to arrays.

    Raises
    ------
    ToleranceError
        Two discretisations do not agree: quantiles with jumps or kinks, or moments that do not exist.
    """
    before: Real | None = None
    for steps in STEPS:
        x, weight = tanh_sinh(lower, upper, steps)
        mean = float(weight @ x)
        moments = np.array([mean, np.sqrt(weight @ (x - mean) ** 2)])
        if before is not None and np.abs(moments - before).max() <= AGREE * max(abs(mean), moments[1], np.finfo(float).tiny):
            return x, weight
        before = moments
    raise ToleranceError(
        "a distribution has no mean and variance, or quantiles too rough to integrate; give a smoother one or an array of samples"
    )


def tanh_sinh(lower: Quantile, upper: Quantile, steps: int) -> tuple[Real, Real]:
    """8 `steps` + 1 points and weights of a continuous distribution, from `discretised`'s quantiles."""
    t = np.arange(-int(REACH * steps), int(REACH * steps) + 1) / steps
    below, above = expit(np.pi * np.sinh(t)), expit(-np.pi * np.sinh(t))
    weight = np.pi * np.cosh(t) * below * above / steps
    with np.errstate(all="ignore"):
        x = np.where(t < 0, lower(np.minimum(below, 0.5)), upper(np.minimum(above, 0.5)))
    usable = np.isfinite(x)
    return x[usable], weight[usable] / weight[usable].sum()


def gauss_rule(points: Real, weights: Real, count: int) -> tuple[Real, Real]:
    """At most `count` Gauss points and weights of a discrete measure, ascending."""
    keep = weights > 0
    x, w = points[keep], weights[keep] / weights[keep].sum()
    if len(x) <= count:
        return x, w
    centre, spread = float(w @ x), float(np.abs(x).max()) or 1.0
    basis = np.empty((len(x), count))
    basis[:, 0] = np.sqrt(w)
    diagonal, off = np.empty(count), np.zeros(count)
    for j in range(count):
        new = (x - centre) * basis[:, j]
        diagonal[j] = basis[:, j] @ new
        for _ in range(2):
            new = new - basis[:, : j + 1] @ (basis[:, : j + 1].T @ new)
        off[j] = np.linalg.norm(new)
        if off[j] <= 1e-14 * spread or j + 1 == count:
            diagonal = diagonal[: j + 1]
            break
        basis[:, j + 1] = new / off[j]
    nodes, vectors = sla.eigh_tridiagonal(diagonal, off[: len(diagonal) - 1])
    return nodes + centre, vectors[0] ** 2
