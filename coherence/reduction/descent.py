r"""The two fits of non-negative weights over a band: least mean square on the groups' span, then least largest error.

min_w  sum ||C||_F^2 / ||T||^2                  Levenberg-Marquardt; each step is a non-negative least-squares problem
min_w  max_i sigma_i(w),  sigma_i relative      min t  subject to  sigma_i + grad sigma_i . d <= t,  |d| <= radius, w + d >= floor
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg as sla
import scipy.optimize as sopt

from coherence.errors import PoleError
from coherence.reduction.band_error import BandError
from coherence.types import Real

SQUARES, MINIMAX = 60, 40  # steps at most
SETTLED = 1e-4  # relative decrease below which a fit ends
LEAST_DAMPING = 1e-10  # of a step, beyond which the matrix would be singular to rounding
REACH = 4.0  # how many times larger a weight may become in a step: beyond, groups tied rigidly attract


def attempt(compute: Callable[[], Any], otherwise: Any) -> Any:
    """A step onto a pole is a step too far."""
    try:
        return compute()
    except PoleError:
        return otherwise


def least_squares(samples: BandError, weights: Real, floor: Real, *, settled: float = SETTLED**2) -> Real:
    """Weights >= floor at which the mean square of the error on the groups' span is least, by Levenberg-Marquardt."""
    value, gradient, matrix = samples.normal_equations(weights)
    damping = 1e-3
    for _ in range(SQUARES):
        size = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
        scaled = matrix / np.outer(size, size) + damping * np.eye(len(size))
        root = sla.cholesky(scaled)
        target = root @ (size * (weights - floor)) - sla.solve_triangular(root, gradient / size, trans=1)
        try:
            new = np.clip(floor + sopt.nnls(root, target)[0] / size, floor, REACH * weights + np.abs(weights).max())
        except RuntimeError:  # no end of its iterations: a shorter step has one
            damping *= 10.0
            continue
        missing = (np.inf, gradient, matrix)
        trial = attempt(partial(samples.normal_equations, new), missing)
        if trial[0] < value:
            ends = value - trial[0] <= settled * value
            weights, (value, gradient, matrix), damping = new, trial, max(0.1 * damping, LEAST_DAMPING)
            if ends:
                break
        else:
            damping *= 10.0
            if damping > 1e8:
                break
    return weights


def minimax(samples: BandError, weights: Real, floor: Real, scale: Real) -> Real:
    """Weights >= floor at which the largest sampled error has a local minimum, by linear programs in a trust region."""
    error, slope = samples.slopes(weights)
    radius = 0.3
    for _ in range(MINIMAX):
        value = float(error.max())
        if value == 0.0:
            break
        unit = np.maximum(weights, 0.01 * scale)
        # columns: steps in units, then t; rows: error + slope d <= t
        rows = np.hstack([slope * unit, -np.full((len(error), 1), value)]) / value
        bounds = [*zip(np.maximum(-radius, (floor - weights) / unit), np.full(len(unit), radius), strict=True), (0.0, None)]
        found = sopt.linprog(np.append(np.zeros(len(unit)), 1.0), A_ub=rows, b_ub=-error / value, bounds=bounds, method="highs")
        promised = 1.0 - found.fun if found.status == 0 else 0.0
        if promised <= SETTLED:
            break
        new = np.maximum(weights + unit * found.x[:-1], floor)
        trial = attempt(partial(samples.slopes, new), None)
        gained = -np.inf if trial is None else 1.0 - float(trial.error.max()) / value
        if trial is not None and gained > 0.0:
            weights, (error, slope) = new, trial
        if gained < 0.25 * promised:
            radius *= 0.4
        elif gained > 0.75 * promised:
            radius *= 2.0
        if radius < SETTLED:
            break
    return weights
