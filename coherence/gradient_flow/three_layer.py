r"""The best rate that imbalances alone guarantee of three layers, and weights that attain it.

    Delta* = (Delta_21^(2) + Delta_21^2)/2 + Delta_21 Delta_23 + (Delta_23^(2) + Delta_23^2)/2 <= lambda_min(T)

with D_21 = W_2 W_2' - W_1' W_1 and D_23 = W_2' W_2 - W_3 W_3' (-D_1 and D_2 in the order of `LinearNetwork.imbalances`). No
initialisation is excluded: where the bound is positive, gradient flow converges exponentially at Delta* gamma.

**Why.** W_2 W_2' dominates D_21 and exceeds it by rank n, so that their eigenvalues interlace n-fold, and likewise for D_23. With
A ^_r B = diag min(lambda_i(A), lambda_{i+1-r}(B)), the least that W_1 W_1' can be is a trace of differences. The bound is attained
by taking rank-one pieces away one after the other, each an inverse interlacing problem with a closed form (`extremal_weights`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.imbalance import EQUAL, symmetric
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

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
    >>> found.delta_21, found.delta_23, found.middle
    (2.0, 3.0, 6.0)
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
        What the eigenvalues may be off by before they count as no imbalances of any weights; 1e-9 of the largest unless given.
        Give 1e-9 of the largest squared weight where imbalances may be rounding only.

    Returns
    -------
    ThreeLayerRate

    Raises
    ------
    InputError
        A matrix is not symmetric and finite, too small for the theory, or no weights have these imbalances.

    Notes
    -----
    The cost is that of two eigenvalue decompositions. Erratum: Theorem 2.7 of the thesis defines its Delta* as twice that of
    (2.111), which is the one used here; the construction after it prints D_21 twice in the maximum a_i.

    References
    ----------
    Definitions 2.1-2.2 and Theorem 2.4 of the thesis.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> gf.three_layer_rate(np.diag([1.0, -2.0]), np.diag([1.0, -3.0]), 1, 1)
    ThreeLayerRate(6 = 0 + 6 + 0)
    """
    b21, b23 = _spectra(D21, D23, n, m, tolerance)[:2]
    a21, a23 = _joint(b21, b23)
    d21, first = _least(a21, b21, n)
    d23, last = _least(a23, b23, m)
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
    Theorem 2.7 with Lemmas 2.12-2.15 of the thesis.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> W1, W2, W3 = gf.extremal_weights(np.diag([1.0, -2.0]), np.diag([1.0, -3.0]), 1, 1)
    >>> bool(np.allclose(W2 @ W2.T - W1.T @ W1, np.diag([1.0, -2.0])))
    True
    """
    b21, b23, Q21, Q23 = _spectra(D21, D23, n, m, tolerance)
    a21, a23 = _joint(b21, b23)
    Z1, V1 = _peeled(a21, b21, n)
    Z3, V3 = _peeled(a23, b23, m)
    V1, V3 = V1 @ Q21.T, V3 @ Q23.T
    root = np.zeros((len(a21), len(a23)))
    shared = min(root.shape)
    root[np.arange(shared), np.arange(shared)] = np.sqrt(a21[:shared])
    return Z1 @ V1, V1.T @ root @ V3, V3.T @ Z3.T


def _spectra(D21: ArrayLike, D23: ArrayLike, n: int, m: int, tolerance: float | None) -> tuple[Real, Real, Real, Real]:
    """Eigenvalues (descending) and eigenvectors of both, checked to be imbalances of some weights."""
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
    (b21, Q21), (b23, Q23) = found
    close = EQUAL * max(float(np.abs(b21).max()), float(np.abs(b23).max())) if tolerance is None else tolerance
    _check_feasible(b21, b23, n, m, close)
    return b21, b23, Q21, Q23


def _check_feasible(b21: Real, b23: Real, n: int, m: int, close: float) -> None:
    """W_2 W_2' exceeds D_21 by rank n and W_2' W_2 exceeds D_23 by rank m; the least spectrum of W_2 must allow both."""
    shared = min(len(b21), len(b23))
    a21, a23 = _joint(b21, b23)
    for name, a, b, r in (("D21", a21, b21, n), ("D23", a23, b23, m)):
        if (a[r:] > b[: max(len(b) - r, 0)] + close).any() or (a[shared:] > close).any():
            raise InputError(
                f"no weights have these imbalances: the spectrum of {name} does not interlace {r}-fold with that of a common W_2; "
                "give -D_1 and D_2 of the same network"
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
    """Least lambda_r(Z Z') and least lambda_r(Z A Z') where A - Z'Z has the spectrum b, summed as differences."""
    d = _interlaced(a, b, r)
    first = float(np.sum(a - d))
    second = float(np.sum((a - d) * (a + d)))
    return first, (second + first**2) / 2


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
