r"""The best rate that imbalances alone guarantee of three layers, and weights that attain it.

    Delta* = (Delta_21^(2) + Delta_21^2)/2 + Delta_21 Delta_23 + (Delta_23^(2) + Delta_23^2)/2 <= lambda_min(T)

with D_21 = W_2 W_2' - W_1' W_1 and D_23 = W_2' W_2 - W_3 W_3' (-D_1 and D_2 in the order of `LinearNetwork.imbalances`). No
initialisation is excluded: where the bound is positive, gradient flow converges exponentially at Delta* gamma.

**Why.** W_2 W_2' dominates D_21 and exceeds it by rank n, so that their eigenvalues interlace n-fold, and likewise for D_23. With
A ^_r B = diag min(lambda_i(A), lambda_{i+1-r}(B)), the least that W_1 W_1' can be is a trace of differences. The bound is attained
by taking rank-one pieces away one after the other, each an inverse interlacing problem with a closed form (`extremal_weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.imbalance import EQUAL, nonnegative, symmetric, value_rounding
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

SLACK = 1e-6  # of the largest eigenvalue: what imbalances may miss feasibility by, where no tolerance is given
TIE = 1e-12  # of the largest eigenvalue: closer values of two interlacing spectra are one, and cancel


@dataclass(frozen=True, eq=False, repr=False)
class ThreeLayerRate(Page):
    """Lower bound on lambda_min(T) of three layers, by its terms; see `three_layer_rate`.

    Attributes
    ----------
    value : float
        Delta*.
    first : float
        Least lambda_n(W_1 W_2 W_2' W_1'), (Delta_21^(2) + Delta_21^2)/2.
    middle : float
        Least lambda_n(W_1 W_1') lambda_m(W_3' W_3), Delta_21 Delta_23.
    last : float
        Least lambda_m(W_3' W_2' W_2 W_3), (Delta_23^(2) + Delta_23^2)/2.
    delta_21, delta_23 : float
        Least lambda_n(W_1 W_1') and least lambda_m(W_3' W_3).

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> found = gf.three_layer_rate(np.diag([1.0, -2.0]), np.diag([1.0, -3.0]), 1, 1)
    >>> [round(x, 9) for x in (found.delta_21, found.delta_23, found.middle)]
    [2.0, 3.0, 6.0]
    """

    value: float
    first: float
    middle: float
    last: float
    delta_21: float
    delta_23: float

    def __repr__(self) -> str:
        return f"ThreeLayerRate({self.value:.4g} = {self.first:.4g} + {self.middle:.4g} + {self.last:.4g})"

    @property
    def facts(self) -> dict[str, str]:
        """The three terms."""
        return {
            "bound": f"{self.value:.6g}",
            "from W_1 W_2": f"{self.first:.6g}",
            "from W_1 and W_3": f"{self.middle:.6g}",
            "from W_2 W_3": f"{self.last:.6g}",
        }


def three_layer_rate(D21: ArrayLike, D23: ArrayLike, n: int, m: int, *, tolerance: float | None = None) -> ThreeLayerRate:
    r"""Lower bound on lambda_min(T) over all three-layer weights with these imbalances.

        Delta* = (Delta_21^(2) + Delta_21^2)/2 + Delta_21 Delta_23 + (Delta_23^(2) + Delta_23^2)/2,
        Delta_21^(p) = sum_i a_i^p - min(a_i, lambda_{i+1-n}(D_21))^p,   a_i = max(lambda_i(D_21), lambda_i(D_23), 0)

    Parameters
    ----------
    D21 : (h1, h1) array_like
        W_2 W_2' - W_1' W_1.
    D23 : (h2, h2) array_like
        W_2' W_2 - W_3 W_3'.
    n, m : int
        Rows of W_1 and columns of W_3; h1 and h2 are min(n, m) at least.
    tolerance : float, optional
        What the eigenvalues may be off by, in the unit of the imbalances; the bound is lowered to what is true of all as near.
        Rounding of the largest unless given, or what they miss feasibility by, up to 1e-6 of the largest. Imbalances do not tell
        how large the weights are: of large and nearly balanced ones, give 1e-14 of the largest squared weight.

    Returns
    -------
    ThreeLayerRate

    Raises
    ------
    InputError
        A matrix is not symmetric and finite, too small for the theory, or no weights have these imbalances.

    Notes
    -----
    The cost is that of two eigenvalue decompositions. Erratum: Theorem 2.7 of the dissertation defines its Delta* as twice that of
    (2.111), which is the one used here; the construction after it prints D_21 twice in the maximum a_i.

    References
    ----------
    Definitions 2.1-2.2 and Theorem 2.4 of the dissertation.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> gf.three_layer_rate(np.diag([1.0, -2.0]), np.diag([1.0, -3.0]), 1, 1)
    ThreeLayerRate(6 = 0 + 6 + 0)
    """
    (b21, _), (b23, _), missed = _spectra(D21, D23, n, m)
    largest = max(float(np.abs(b21).max()), float(np.abs(b23).max()))
    if tolerance is None:
        off = [max(value_rounding(b.shape, largest), missed) for b in (b21, b23)]
        allowed = SLACK * largest
    else:
        off = [nonnegative(tolerance, "tolerance")] * 2
        allowed = 2 * off[0]  # a and b may each be off
    _require_feasible(missed, allowed)
    return rate_of_spectra((b21, b23), n, m, off=off)


def rate_of_spectra(spectra: tuple[Real, Real], n: int, m: int, *, off: Sequence[float] | Real) -> ThreeLayerRate:
    """The bound from eigenvalues of D_21 and D_23 (descending) that are off by `off` at most, each by its own.

    It is least where every a_i is as low and every b_i as high as it may be: with t_i = [a_i - b_{i+1-r}]_+ the two numbers are

        Delta = sum_i t_i,   (Delta^(2) + Delta^2)/2 = sum_i a_i t_i + sum_{i < j} t_i t_j      (a^2 - d^2 = 2 a t - t^2)

    which rise with every a_i >= 0 and fall with every b_i, and in which nothing cancels.
    """
    low = _joint(*(b - error for b, error in zip(spectra, off, strict=True)))
    high = [b + error for b, error in zip(spectra, off, strict=True)]
    d21, first = _least(low[0], high[0], n)
    d23, last = _least(low[1], high[1], m)
    return ThreeLayerRate(first + d21 * d23 + last, first, d21 * d23, last, d21, d23)


def extremal_weights(D21: ArrayLike, D23: ArrayLike, n: int, m: int, *, tolerance: float | None = None) -> tuple[Real, Real, Real]:
    r"""Weights with given imbalances at which the three-layer bound is attained.

        lambda_n(W_1 W_2 W_2' W_1') + lambda_n(W_1 W_1') lambda_m(W_3' W_3) + lambda_m(W_3' W_2' W_2 W_3) = Delta*

    Parameters
    ----------
    D21, D23, n, m, tolerance
        As in `three_layer_rate`.

    Returns
    -------
    W_1 (n, h1), W_2 (h1, h2), W_3 (h2, m) : arrays

    Raises
    ------
    InputError
        As in `three_layer_rate`.

    Notes
    -----
    Each of the n + m rank-one pieces takes one eigenvalue decomposition. The sum attained is itself a lower bound on lambda_min(T),
    which exceeds it where the eigenvectors of the three terms differ.

    References
    ----------
    Theorem 2.7 with Lemmas 2.12-2.15 of the dissertation.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> W1, W2, W3 = gf.extremal_weights(np.diag([1.0, -2.0]), np.diag([1.0, -3.0]), 1, 1)
    >>> bool(np.allclose(W2 @ W2.T - W1.T @ W1, np.diag([1.0, -2.0])))
    True
    """
    (b21, Q21), (b23, Q23), missed = _spectra(D21, D23, n, m)
    largest = max(float(np.abs(b21).max()), float(np.abs(b23).max()))
    _require_feasible(missed, EQUAL * largest if tolerance is None else nonnegative(tolerance, "tolerance"))
    a21, a23 = _joint(b21, b23)
    Z1, V1 = _peeled(a21, b21, n)
    Z3, V3 = _peeled(a23, b23, m)
    V1, V3 = V1 @ Q21.T, V3 @ Q23.T
    root = np.zeros((len(a21), len(a23)))
    shared = min(root.shape)
    root[np.arange(shared), np.arange(shared)] = np.sqrt(a21[:shared])
    return Z1 @ V1, V1.T @ root @ V3, V3.T @ Z3.T


def _spectra(D21: ArrayLike, D23: ArrayLike, n: int, m: int) -> tuple[tuple[Real, Real], tuple[Real, Real], float]:
    """Eigenvalues (descending) and eigenvectors of both, and what they miss by to be imbalances of some weights."""
    n, m = positive_integer(n, "n"), positive_integer(m, "m")
    found = []
    for name, values in {"D21": D21, "D23": D23}.items():
        D = symmetric(values, name)
        if len(D) < min(n, m):
            raise InputError(
                f"{name} is {len(D)} x {len(D)}: {n} x {m} products need at least min(n, m) = {min(n, m)} hidden units"
            )
        w, Q = np.linalg.eigh(D)
        found.append((w[::-1], Q[:, ::-1]))
    return found[0], found[1], _missed(found[0][0], found[1][0], n, m)


def _missed(b21: Real, b23: Real, n: int, m: int) -> float:
    """W_2 W_2' exceeds D_21 by rank n and W_2' W_2 exceeds D_23 by rank m; how far the least W_2 goes beyond."""
    shared = min(len(b21), len(b23))
    a21, a23 = _joint(b21, b23)
    beyond = [0.0]
    for a, b, r in ((a21, b21, n), (a23, b23, m)):
        beyond += [float((a[r:] - b[: max(len(b) - r, 0)]).max(initial=0.0)), float(a[shared:].max(initial=0.0))]
    return max(beyond)


def _require_feasible(missed: float, allowed: float) -> None:
    if missed > allowed:
        raise InputError(
            f"no weights have these imbalances: their spectra miss interlacing with a common W_2 by {missed:.3g}; give -D_1 and "
            "D_2 of the same network, and tolerance= of 1e-14 of the largest squared weight where this is rounding of large weights"
        )


def _joint(b21: Real, b23: Real) -> tuple[Real, Real]:
    """The least spectrum that W_2 W_2' can have, in both sizes."""
    shared = np.zeros(max(len(b21), len(b23)))
    for b in (b21, b23):
        shared[: len(b)] = np.maximum(shared[: len(b)], b)
    return shared[: len(b21)], shared[: len(b23)]


def _interlaced(a: Real, b: Real, r: int) -> Real:
    """A ^_r B: min(lambda_i(A), lambda_{i+1-r}(B)), where lambda_j = infinity for j <= 0."""
    shifted = np.concatenate([np.full(min(r - 1, len(b)), np.inf), b])[: len(b)]
    return np.asarray(np.minimum(a, shifted))


def _least(a: Real, b: Real, r: int) -> tuple[float, float]:
    """Least lambda_r(Z Z') and least lambda_r(Z A Z') where A - Z'Z has the spectrum b; see `rate_of_spectra`."""
    upper = a[r - 1 :]
    t = np.maximum(upper - b[: len(upper)], 0.0)
    before = np.concatenate([[0.0], np.cumsum(t)[:-1]])[: len(t)]
    return float(t.sum()), float(np.sum((upper + before) * t))


def _peeled(a: Real, b: Real, r: int) -> tuple[Real, Real]:
    """Z (r, h) and orthogonal V with diag(a) - Z'Z = V diag(b) V', Z's first row as small as can be."""
    V = np.eye(len(a))
    rows = []
    for left in range(r, 0, -1):
        d = _interlaced(a, b, left)
        x = _rank_one(a, d)
        rows.append(V @ x)
        V = V @ np.linalg.eigh(np.diag(a) - np.outer(x, x))[1][:, ::-1]
        a = d
    return np.array(rows), V


def _rank_one(a: Real, d: Real) -> Real:
    """Return x with eig(diag(a) - xx') = d, for descending spectra that interlace.

    x_i^2 = prod_j (a_i - d_j) / prod_{k != i} (a_i - a_k)
    """
    x = np.zeros(len(a))
    upper, lower = _without_ties(a, d)
    if len(upper):
        p, q = a[upper], d[lower]
        apart = p[:, None] - p[None, :]
        np.fill_diagonal(apart, 1.0)
        # quotients of neighbours, each of moderate size: products of many differences would overflow
        squares = np.prod((p[:, None] - q[None, :]) / apart, axis=1)
        x[upper] = np.sqrt(np.maximum(squares, 0.0))
    return x


def _without_ties(a: Real, d: Real) -> tuple[list[int], list[int]]:
    """Indices of a and d that are left when equal values have cancelled; what is left interlaces strictly."""
    close = TIE * max(np.abs(a).max(), np.abs(d).max())
    upper: list[int] = []
    lower: list[int] = []
    for i in range(len(a)):
        if lower and abs(a[i] - d[lower[-1]]) <= close:
            lower.pop()
        else:
            upper.append(i)
        if upper and abs(a[upper[-1]] - d[i]) <= close:
            upper.pop()
        else:
            lower.append(i)
    return upper, lower
