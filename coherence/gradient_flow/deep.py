r"""Rates of deep networks from cumulative imbalances.

    lambda_min(T) >= prod_i d~_i                                                             (unimodal)
    lambda_min(T)  = sum_l prod_{i != l} (x + c_i),  prod_l (x + c_l) = sigma_min(W)^2       (homogeneous, n = m)

Unimodal weights fall in the order of positive semidefinite matrices up to a layer l* and rise after it: D_l >= 0 before l*,
D_l <= 0 from l* on. Homogeneous imbalances are multiples of the identity, D_l = d_l I; then the layers share their singular
vectors, their least squared singular values differ by constants, s_l^2 = x + c_l with min c_l = 0, and for square products the
rate is exact. Diagonal networks are one network of scalars for each entry, and the order of scalars is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.imbalance import EQUAL, descending, entry, symmetric
from coherence.gradient_flow.linear import LinearNetwork, products_of_others
from coherence.gradient_flow.losses import finite_matrix
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

NEWTON = 100  # steps; the convex, piecewise nearly linear equation takes at most some steps a layer


@dataclass(frozen=True, eq=False, repr=False)
class CumulativeImbalance(Page):
    """Cumulative imbalances of unimodal weights; see `cumulative_imbalance`.

    Attributes
    ----------
    index : int or None
        l*, counted from 1; None where the weights are not unimodal (then the values are zero).
    values : (L - 1,) float
        d~_1, ..., d~_{L-1}.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> found = gf.cumulative_imbalance([np.eye(2), 2 * np.eye(2)], 2, 2)
    >>> found.index, found.values.tolist(), found.product
    (3, [3.0, 2.0], 6.0)
    """

    index: int | None
    values: Real

    def __repr__(self) -> str:
        if self.index is None:
            return f"CumulativeImbalance(not unimodal, {len(self.values) + 1} layers)"
        return f"CumulativeImbalance(unimodal with index {self.index}, {self.product:.4g})"

    @property
    def product(self) -> float:
        """Their product, a lower bound on lambda_min(T)."""
        return float(np.prod(self.values))

    @property
    def facts(self) -> dict[str, str]:
        """Index and product."""
        return {"unimodality index": str(self.index), "product": f"{self.product:.6g}"}


def cumulative_imbalance(imbalances: Sequence[ArrayLike], n: int, m: int, *, tolerance: float | None = None) -> CumulativeImbalance:
    r"""Unimodality index and cumulative imbalances.

        d~_i = sum_{l = l*}^{i} lambda_m(-D_l)  for i >= l*,    d~_i = sum_{l = i}^{l* - 1} lambda_n(D_l)  for i < l*

    Parameters
    ----------
    imbalances : sequence of L - 1 array_like
        D_l = W_l' W_l - W_{l+1} W_{l+1}', h_l x h_l.
    n, m : int
        Rows of W_1 and columns of W_L.
    tolerance : float, optional
        Eigenvalues up to this size count as zero, in the unit of the imbalances; 1e-9 of the largest unless given. Give 1e-9 of
        the largest squared weight where imbalances may be rounding only.

    Returns
    -------
    CumulativeImbalance
        Where several indices fit, as some D_l = 0, the one of the largest product.

    Raises
    ------
    InputError
        An imbalance is not a symmetric, finite matrix of at least min(n, m) rows.

    References
    ----------
    Definition 2.3 of the thesis.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> gf.cumulative_imbalance([np.eye(2), np.eye(2)], 2, 2)
    CumulativeImbalance(unimodal with index 3, 2)
    """
    spectra = _spectra(imbalances, n, m)
    close = _tolerance(spectra, tolerance)
    found = CumulativeImbalance(None, np.zeros(len(spectra)))
    for index in range(1, len(spectra) + 2):
        if all(w[-1] >= -close for w in spectra[: index - 1]) and all(w[0] <= close for w in spectra[index - 1 :]):
            falling = np.array([max(entry(w, n), 0.0) for w in spectra[: index - 1]])
            rising = np.array([max(entry(-w[::-1], m), 0.0) for w in spectra[index - 1 :]])
            values = np.concatenate([np.cumsum(falling[::-1])[::-1], np.cumsum(rising)])
            if found.index is None or np.prod(values) > found.product:
                found = CumulativeImbalance(index, values)
    return found


def deep_rate(
    imbalances: Sequence[ArrayLike],
    n: int,
    m: int,
    *,
    sigma_min: float = 0.0,
    method: str = "unimodal",
    tolerance: float | None = None,
) -> float:
    r"""Lower bound on lambda_min(T) of a deep network from its imbalances (and the least singular value of its product).

        "unimodal"     prod_i d~_i
        "homogeneous"  sqrt((prod_i d~_i)^2 + (L sigma_min^(2 - 2/L))^2)             D_l = d_l I, n = m
        "exact"        sum_l prod_{i != l} (x + c_i) where prod_l (x + c_l) = sigma_min^2   D_l = d_l I, n = m

    Parameters
    ----------
    imbalances, n, m, tolerance
        As in `cumulative_imbalance`.
    sigma_min : float, optional
        The min(n, m)-th singular value of the product, or a lower bound on it. "unimodal" makes no use of it.
    method : {"unimodal", "homogeneous", "exact"}, optional

    Returns
    -------
    float
        In units of a weight to the power 2 (L - 1); zero where the weights are not unimodal ("unimodal").

    Raises
    ------
    InputError
        The imbalances are not multiples of the identity where "homogeneous" or "exact" was asked, or they are not all zero
        though n != m.

    Notes
    -----
    Erratum: Theorem 2.5 (2.114) and Table 2-I of the thesis state the homogeneous bound without n = m. It is false for n != m:
    balanced weights (D_l = 0) have lambda_min(T) = sigma_min^(2 - 2/L) there, without the factor L, which is what both methods
    return then; with D = I/2, n = 3, m = 1 and two hidden units lambda_min(T) can be .45 where it claims 1.31. Erratum: Corollary
    2.5 prints L nu for L nu^(2 - 2/L). The homogeneous methods need no unimodality: the scalars s_l^2 = x + c_l may be reordered,
    and prod d~ is the product of c_l but for one zero.

    References
    ----------
    Theorem 2.5 and Lemmas 2.17-2.18 of the thesis; the exact form solves the equation whose solution Lemma 2.18 bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> D = [np.eye(2) / 2, np.eye(2) / 2]
    >>> [round(gf.deep_rate(D, 2, 2, sigma_min=0.3, method=method), 3) for method in ("unimodal", "homogeneous", "exact")]
    [0.5, 0.783, 0.93]
    """
    if not np.isfinite(sigma_min) or sigma_min < 0:
        raise InputError(f"sigma_min = {sigma_min}; give a singular value, >= 0")
    if method == "unimodal":
        return cumulative_imbalance(imbalances, n, m, tolerance=tolerance).product
    if method not in ("homogeneous", "exact"):
        raise InputError(f"method = {method!r}; give 'unimodal', 'homogeneous' or 'exact'")
    spectra = _spectra(imbalances, n, m)
    steps = _multiples(spectra, _tolerance(spectra, tolerance))
    depth = len(spectra) + 1
    if n != m:
        if steps.any():
            raise InputError(f"the {method} rate needs square products, and this one is {n} x {m}; use method='unimodal'")
        return float(sigma_min ** (2 - 2 / depth))
    offsets = homogeneous_offsets(steps)
    tangent = exact_tangent if method == "exact" else bounded_tangent
    return float(tangent(offsets[:, None], np.array([sigma_min]))[0])


def diagonal_rate(factors: ArrayLike, *, product: ArrayLike = 0.0, method: str = "exact") -> float:
    r"""Lower bound on lambda_min(T) of a diagonal network f(w_1 o ... o w_L).

        min_i sum_l prod_{k != l} (x_i + c_{k,i})   where  prod_l (x_i + c_{l,i}) = p_i^2,   c_{l,i} = w_{l,i}^2 - min_k w_{k,i}^2

    Parameters
    ----------
    factors : (L, n) array_like
        w_1, ..., w_L; the differences of squares in each column stay as they are.
    product : (n,) array_like or float, optional
        Lower bounds p_i on |w_{1,i} ... w_{L,i}|; zero unless given.
    method : {"exact", "homogeneous"}, optional
        "homogeneous": the closed lower bound sqrt((prod d)^2 + (L p^(2 - 2/L))^2) instead.

    Returns
    -------
    float

    Raises
    ------
    InputError
        The factors are not a finite matrix, or a product is negative.

    References
    ----------
    "Diagonal linear networks" after Corollary 2.5 of the thesis, with Lemma 2.18.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.diagonal_rate([[2.0, 1.0], [1.0, 2.0]], product=[2.0, 2.0])
    5.0
    """
    squares = finite_matrix(factors, "factors") ** 2
    floor = np.broadcast_to(np.asarray(product, dtype=float), squares.shape[1:])
    if not np.isfinite(floor).all() or (floor < 0).any():
        raise InputError("product has a value that is negative or not finite; give lower bounds on moduli, one for each column")
    if method not in ("homogeneous", "exact"):
        raise InputError(f"method = {method!r}; give 'exact' or 'homogeneous'")
    tangent = exact_tangent if method == "exact" else bounded_tangent
    return float(tangent(squares - squares.min(axis=0), floor).min())


def table_of_bounds(network: LinearNetwork) -> dict[str, float]:
    r"""Bounds on lambda_min(T) of a deep network by this and by earlier work, as a row of Table 2-I.

        balanced      L sigma_min^(2 - 2/L)                          D_l = 0 (n = m; without the factor L else)
        ordered       lambda^(L - 1)                                 D_{L-1} >= lambda I, all other D_l >= 0 (or mirrored)
        unimodal      prod_i d~_i
        homogeneous   sqrt((prod_i d~_i)^2 + (L sigma_min^(2 - 2/L))^2)   D_l = d_l I
        exact         the homogeneous one, solved

    Parameters
    ----------
    network : LinearNetwork
        Of at least two layers.

    Returns
    -------
    dict of float
        By the names above and "lambda_min(T)", computed; nan where a bound does not apply.

    References
    ----------
    Table 2-I of the thesis; "balanced" is Arora et al., "ordered" Yun et al.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> weights = [np.diag(np.sqrt([0.3 + shift, 0.1 + shift])) for shift in (1.0, 0.5, 0.0)]
    >>> row = gf.table_of_bounds(gf.LinearNetwork(weights))
    >>> {name: round(value, 3) for name, value in row.items()}
    {'balanced': nan, 'ordered': 0.25, 'unimodal': 0.5, 'homogeneous': 0.7, 'exact': 0.83, 'lambda_min(T)': 0.83}
    """
    network = network.narrowed()
    n, m, depth, imbalances = network.widths[0], network.widths[-1], network.depth, network.imbalances
    close = EQUAL * max(float(np.linalg.norm(W, 2)) ** 2 for W in network.weights)
    unimodal = cumulative_imbalance(imbalances, n, m, tolerance=close)
    sigma = float(np.linalg.svd(network.product, compute_uv=False)[-1])
    spectra = _spectra(imbalances, n, m)
    row = dict.fromkeys(("balanced", "ordered", "unimodal", "homogeneous", "exact"), np.nan)
    if unimodal.index is not None:
        row["unimodal"] = unimodal.product
    if unimodal.index == depth:
        row["ordered"] = max(entry(spectra[-1], n), 0.0) ** (depth - 1)
    elif unimodal.index == 1:
        row["ordered"] = max(entry(-spectra[0][::-1], m), 0.0) ** (depth - 1)
    if all(np.abs(w).max() <= close for w in spectra):
        row["balanced"] = (depth if n == m else 1) * sigma ** (2 - 2 / depth)
        row["ordered"] = np.nan
    try:
        for method in ("homogeneous", "exact"):
            row[method] = deep_rate(imbalances, n, m, sigma_min=sigma, method=method, tolerance=close)
    except InputError:
        pass  # no multiples of the identity, or n != m: the bound does not apply
    return row | {"lambda_min(T)": network.least_tangent_eigenvalue()}


def homogeneous_offsets(steps: Real) -> Real:
    """c_l = s_l^2 - min_k s_k^2 of L layers from d_l = s_l^2 - s_{l+1}^2."""
    levels = -np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(levels - levels.min())


def exact_tangent(offsets: Real, sigma: Real) -> Real:
    """sum_l prod_{i != l} (x + c_i) with prod_l (x + c_l) = sigma^2, for columns c (L, k) and sigma (k,)."""
    squares = offsets + _least_square(offsets, sigma)
    return np.asarray(products_of_others(squares).sum(axis=0))


def bounded_tangent(offsets: Real, sigma: Real) -> Real:
    """sqrt((prod d)^2 + (L sigma^(2 - 2/L))^2) where d are the offsets but for the least (Lemma 2.18)."""
    depth = len(offsets)
    return np.asarray(np.hypot(np.prod(np.sort(offsets, axis=0)[1:], axis=0), depth * sigma ** (2 - 2 / depth)))


def _least_square(offsets: Real, sigma: Real) -> Real:
    """Return x >= 0 with prod_l (x + c_l) = sigma^2.

    In log x the logarithm of the left side is convex and rising, so Newton's steps from the right never pass the solution;
    x^L <= prod_l (x + c_l) gives a point on the right.
    """
    x = np.zeros(sigma.shape)
    moving = sigma > 0
    c, goal = offsets[:, moving], 2 * np.log(sigma[moving])
    t = goal / len(offsets)
    for _ in range(NEWTON):
        level = np.exp(t)
        step = (np.sum(np.log(level + c), axis=0) - goal) / np.sum(level / (level + c), axis=0)
        t = t - step
        if (np.abs(step) <= 4 * np.finfo(float).eps * np.maximum(np.abs(t), 1)).all():
            break
    x[moving] = np.exp(t)
    return x


def _spectra(imbalances: Sequence[ArrayLike], n: int, m: int) -> list[Real]:
    n, m = positive_integer(n, "n"), positive_integer(m, "m")
    spectra = []
    for layer, values in enumerate(imbalances, start=1):
        D = symmetric(values, f"imbalances[{layer - 1}]")
        if len(D) < min(n, m):
            raise InputError(
                f"imbalances[{layer - 1}] is {len(D)} x {len(D)}: {n} x {m} products need at least min(n, m) = {min(n, m)} "
                "hidden units"
            )
        spectra.append(descending(D))
    if not spectra:
        raise InputError("imbalances is empty; give D_1, ..., D_{L-1} of at least two layers")
    return spectra


def _tolerance(spectra: list[Real], tolerance: float | None) -> float:
    return EQUAL * max(float(np.abs(w).max()) for w in spectra) if tolerance is None else tolerance


def _multiples(spectra: list[Real], close: float) -> Real:
    """d_l of imbalances d_l I, exactly zero where all eigenvalues are as small as `close`."""
    steps = []
    for layer, w in enumerate(spectra, start=1):
        if w[0] - w[-1] > 2 * close:
            raise InputError(f"D_{layer} is no multiple of the identity: its eigenvalues run from {w[-1]:g} to {w[0]:g}")
        steps.append(0.0 if np.abs(w).max() <= close else float(w.mean()))
    return np.array(steps)
