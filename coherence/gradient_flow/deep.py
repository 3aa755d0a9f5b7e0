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
from coherence.gradient_flow.imbalance import (
    EPS,
    EQUAL,
    UNITS,
    descending,
    entry,
    imbalance_rounding,
    nonnegative,
    product_rounding,
    symmetric,
    value_rounding,
)
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
    >>> found.index, found.values.round(12).tolist(), round(found.product, 12)
    (3, [3.0, 2.0], 6.0)
    """

    index: int | None
    values: Real

    def __repr__(self) -> str:
        if self.index is None:
            return f"CumulativeImbalance(not unimodal within the tolerance, {len(self.values) + 1} layers)"
        return f"CumulativeImbalance(unimodal with index {self.index}, {self.product:.4g})"

    @property
    def product(self) -> float:
        """Their product, a lower bound on lambda_min(T)."""
        return float(np.prod(self.values))

    @property
    def facts(self) -> dict[str, str]:
        """Index and product."""
        return {"unimodality index": str(self.index), "product": f"{self.product:.6g}"}


def cumulative_imbalance(
    imbalances: Sequence[ArrayLike], n: int, m: int, *, tolerance: float | Sequence[float] | None = None
) -> CumulativeImbalance:
    r"""Unimodality index and cumulative imbalances.

        d~_i = sum_{l = l*}^{i} lambda_m(-D_l)  for i >= l*,    d~_i = sum_{l = i}^{l* - 1} lambda_n(D_l)  for i < l*

    Parameters
    ----------
    imbalances : sequence of L - 1 array_like
        D_l = W_l' W_l - W_{l+1} W_{l+1}', h_l x h_l.
    n, m : int
        Rows of W_1 and columns of W_L.
    tolerance : float or (L - 1,) sequence, optional
        What the eigenvalues may be off by, in the unit of the imbalances, for all or each of them; rounding of each one's largest
        unless given. Wrong signs up to this size, or 1e-9 of the largest eigenvalue, are forgiven, and every d~_i is lowered by
        what was forgiven, so that the product stays a bound. Imbalances do not tell how large the weights are: of large and
        nearly balanced ones, give 1e-14 of their squares.

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
    Definition 2.3 of the dissertation.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> gf.cumulative_imbalance([np.eye(2), np.eye(2)], 2, 2)
    CumulativeImbalance(unimodal with index 3, 2)
    """
    spectra = _spectra(imbalances, n, m)
    return _cumulative(spectra, n, m, *_uncertainty(spectra, tolerance))


def cumulative_of_weights(network: LinearNetwork) -> CumulativeImbalance:
    """`cumulative_imbalance` of a network, with the rounding of its own weights."""
    spectra = _spectra(network.imbalances, network.widths[0], network.widths[-1])
    return _cumulative(spectra, network.widths[0], network.widths[-1], *_uncertainty_of_weights(network))


def _cumulative(spectra: list[Real], n: int, m: int, off: Real, forgiven: Real) -> CumulativeImbalance:
    found = CumulativeImbalance(None, np.zeros(len(spectra)))
    signed = list(zip(spectra, forgiven, strict=True))
    for index in range(1, len(spectra) + 2):
        if all(w[-1] >= -close for w, close in signed[: index - 1]) and all(w[0] <= close for w, close in signed[index - 1 :]):
            falling = _lowered(spectra[: index - 1], n, off[: index - 1])
            rising = _lowered([-w[::-1] for w in spectra[index - 1 :]][::-1], m, off[index - 1 :][::-1])[::-1]
            values = np.concatenate([falling, rising])
            if found.index is None or np.prod(values) > found.product:
                found = CumulativeImbalance(index, values)
    return found


def _lowered(spectra: list[Real], n: int, off: Real) -> Real:
    """d~_i of one branch, outer layer first, lowered so that prod d~_i stays a bound where D_l >= -e_l I only.

    Let E_l = e_1 + ... + e_l and replace W_{l+1} by P W_{l+1}, P the projector on the row space of the (replaced) W_l, of dimension
    n at most: the product does not change, every layer is an n x n core C_l, and what is cut off W_{l+1} is squared at most E_l,
    since W_{l+1} W_{l+1}' <= W_l' W_l + E_l I. Hence C_l' C_l - C_{l+1} C_{l+1}' is a block of a matrix M >= D_l - E_{l-1} I, which
    is <= 0 on the complement of the block and >= -E_l I; lambda_{i+j-1} <= lambda_i + lambda_j of the two blocks of M + E_l I >= 0
    (Aronszajn) makes the block's least eigenvalue at least lambda_n(M) - E_l >= lambda_n(D_l) - E_{l-1} - E_l. So

        sigma_min(C_l)^2 >= sigma_min(C_{l+1})^2 + lambda_n(D_l) - E_{l-1} - E_l,    without the first term for the innermost,

    and sigma_n(W_1 ... W_k) >= prod sigma_min(C_l). No e_l needs to be small; an eigenvalue computed within off_l has
    e_l = [off_l - lambda_min]_+ and its lambda_n is lowered by off_l as well.
    """
    missing = [max(error - w[-1], 0.0) for w, error in zip(spectra, off, strict=True)]
    total = np.cumsum(missing)
    values = np.zeros(len(spectra))
    inner = 0.0
    for layer in reversed(range(len(spectra))):
        gain = entry(spectra[layer], n) - off[layer] - (2 * total[layer] - missing[layer])
        inner = values[layer] = max(inner + gain, 0.0)
    return values


def deep_rate(
    imbalances: Sequence[ArrayLike],
    n: int,
    m: int,
    *,
    sigma_min: float = 0.0,
    method: str = "unimodal",
    tolerance: float | Sequence[float] | None = None,
) -> float:
    r"""Lower bound on lambda_min(T) of a deep network from its imbalances (and the least singular value of its product).

        "unimodal"     prod_i d~_i
        "homogeneous"  sqrt((prod_i d~_i)^2 + (L sigma_min^(2 - 2/L))^2)             D_l = d_l I, n = m
        "exact"        sum_l prod_{i != l} (x + c_i) where prod_l (x + c_l) = sigma_min^2   D_l = d_l I, n = m

    Parameters
    ----------
    imbalances, n, m, tolerance
        As in `cumulative_imbalance`. What an imbalance is off a multiple of the identity by lowers the homogeneous bounds.
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
    Erratum: Theorem 2.5 (2.114) and Table 2-I of the dissertation state the homogeneous bound without n = m. It is false for n !=
    m: balanced weights (D_l = 0) have lambda_min(T) = sigma_min^(2 - 2/L) there, without the factor L, which is what both methods
    return then; with D = I/2, n = 3, m = 1 and two hidden units lambda_min(T) can be .45 where it claims 1.31. Erratum: Corollary
    2.5 prints L nu for L nu^(2 - 2/L). The homogeneous methods need no unimodality: the scalars s_l^2 = x + c_l may be reordered,
    and prod d~ is the product of c_l but for one zero.

    References
    ----------
    Theorem 2.5 and Lemmas 2.17-2.18 of the dissertation; the exact form solves the equation whose solution Lemma 2.18 bounds.

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
    return _homogeneous(spectra, n, m, sigma_min, method, *_uncertainty(spectra, tolerance))


def homogeneous_of_weights(network: LinearNetwork, sigma_min: float, method: str) -> float:
    """`deep_rate` of a network by "homogeneous" or "exact", with the rounding of its own weights."""
    n, m = network.widths[0], network.widths[-1]
    return _homogeneous(_spectra(network.imbalances, n, m), n, m, sigma_min, method, *_uncertainty_of_weights(network))


def _homogeneous(spectra: list[Real], n: int, m: int, sigma_min: float, method: str, off: Real, forgiven: Real) -> float:
    """The homogeneous bound of D_l = d_l I + F_l, |F_l| <= e_l: every squared singular value s_l^2 lowered by 3 (e_1 + e_2 + ...).

    By Weyl the n-th singular values of true weights have s_l^2 - s_{l+1}^2 = d_l within e_l. Along the product from the last left
    singular vector of W_1 the factors z_1 = s_1^2, z_2, ... obey z_l - z_{l+1} = d_l within 2 e_l (e_l, and Cauchy's defect of a
    vector that is singular within e_{l-1} only) and their product is sigma_min^2 at least; were s_1^2 below its solution by more
    than the sum of these, all z_l would be below theirs. The other layers follow from s_1^2 by Weyl again. Terms of second order
    in e are left out: they count where s_l^2 is of the size of e, and there what is left is zero.
    """
    steps, missed = _multiples(spectra, n == m, method, (n, m), np.maximum(forgiven, off))
    lowered = 3 * float(np.sum(missed + off))
    depth = len(spectra) + 1
    if n != m:
        return float(max(sigma_min ** (2 / depth) - lowered, 0.0) ** (depth - 1))
    offsets = homogeneous_offsets(steps)[:, None]
    squares = np.maximum(offsets + _least_square(offsets, np.array([sigma_min])) - lowered, 0.0)
    if method == "exact":
        return float(products_of_others(squares).sum())
    return float(bounded_tangent(squares - squares.min(), np.sqrt(squares.prod(axis=0)))[0])


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
    "Diagonal linear networks" after Corollary 2.5 of the dissertation, with Lemma 2.18.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> round(gf.diagonal_rate([[2.0, 1.0], [1.0, 2.0]], product=[2.0, 2.0]), 12)
    5.0
    """
    squares = finite_matrix(factors, "factors") ** 2
    floor = np.broadcast_to(np.asarray(product, dtype=float), squares.shape[1:])
    if not np.isfinite(floor).all() or (floor < 0).any():
        raise InputError("product has a value that is negative or not finite; give lower bounds on moduli, one for each column")
    if method not in ("homogeneous", "exact"):
        raise InputError(f"method = {method!r}; give 'exact' or 'homogeneous'")
    tangent = exact_tangent if method == "exact" else bounded_tangent
    offsets = np.maximum(squares * (1 - UNITS * EPS) - squares.min(axis=0), 0.0)  # lowered by the rounding of the squares
    return float(tangent(offsets, floor).min())


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
    Table 2-I of the dissertation; "balanced" is Arora et al., "ordered" Yun et al.

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
    off, close = _uncertainty_of_weights(network)
    unimodal = cumulative_of_weights(network)
    sigma = max(float(np.linalg.svd(network.product, compute_uv=False)[-1]) - product_rounding(network.weights), 0.0)
    spectra = _spectra(imbalances, n, m)
    row = dict.fromkeys(("balanced", "ordered", "unimodal", "homogeneous", "exact"), np.nan)
    if unimodal.index is not None:
        row["unimodal"] = unimodal.product
    if unimodal.index == depth:
        row["ordered"] = float(unimodal.values[-1]) ** (depth - 1)
    elif unimodal.index == 1:
        row["ordered"] = float(unimodal.values[0]) ** (depth - 1)
    try:
        for method in ("homogeneous", "exact"):
            row[method] = homogeneous_of_weights(network, sigma, method)
    except InputError:
        pass  # no multiples of the identity, or n != m: the bound does not apply
    if all(np.abs(w).max() <= small for w, small in zip(spectra, close, strict=True)):
        missed = np.array([np.abs(w).max() for w in spectra])
        layers = depth if n == m else 1
        row["balanced"] = layers * max(sigma ** (2 / depth) - 3 * float(np.sum(missed + off)), 0.0) ** (depth - 1)
        row["ordered"] = np.nan
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


def _uncertainty(spectra: list[Real], tolerance: float | Sequence[float] | None) -> tuple[Real, Real]:
    """What eigenvalues may be off by, and what of a wrong sign is forgiven, for each imbalance."""
    sizes = np.array([float(np.abs(w).max()) for w in spectra])
    if tolerance is None:
        return np.array([value_rounding(w.shape, size) for w, size in zip(spectra, sizes, strict=True)]), EQUAL * sizes
    given = np.asarray(tolerance, dtype=float)
    if given.shape not in ((), sizes.shape):
        raise InputError(f"tolerance has shape {given.shape}; give one number, or one for each of the {len(sizes)} imbalances")
    off = np.array([nonnegative(value, "tolerance") for value in np.broadcast_to(given, sizes.shape)])
    return off, np.maximum(off, EQUAL * sizes)


def _uncertainty_of_weights(network: LinearNetwork) -> tuple[Real, Real]:
    squares = np.array([float(np.linalg.norm(W, 2)) ** 2 for W in network.weights])
    return imbalance_rounding(network.weights), EQUAL * (squares[:-1] + squares[1:])


def _multiples(spectra: list[Real], square: bool, method: str, shape: tuple[int, int], close: Real) -> tuple[Real, Real]:
    """d_l of imbalances d_l I and what they miss by; all d_l = 0 where the product is not square."""
    steps, missed = np.zeros(len(spectra)), np.zeros(len(spectra))
    for layer, w in enumerate(spectra):
        steps[layer], missed[layer] = (w[0] + w[-1]) / 2, (w[0] - w[-1]) / 2
        if missed[layer] > close[layer]:
            raise InputError(
                f"D_{layer + 1} is no multiple of the identity: its eigenvalues run from {w[-1]:g} to {w[0]:g}; where that is "
                "rounding of large weights, give tolerance= of 1e-14 of their squares"
            )
        if not square:
            steps[layer], missed[layer] = 0.0, float(np.abs(w).max())
            if missed[layer] > close[layer]:
                raise InputError(
                    f"the {method} rate needs square products, or imbalances of zero, and this one is {shape[0]} x {shape[1]}; "
                    "use method='unimodal', or give tolerance= where the imbalances are rounding of large weights"
                )
    return steps, missed
