r"""Where training starts: Gaussian, balanced, spectral and identity weights.

Gaussian entries have variance, with h_{l-1} rows and h_l columns,

    unit 1 · fan_in 1/h_{l-1} · fan_out 1/h_l · xavier 2/(h_{l-1} + h_l) · ntk (h_1 h_2 ... h_L)^{-1/L}

(the last is unit entries with the output scaled by (h_1 ... h_L)^{-1/2}, spread evenly over the layers; the source gives no
variances). `LinearNetwork.rescaled` changes the scale of the layers, and with it their imbalance.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from coherence.errors import InputError
from coherence.gradient_flow.linear import LinearNetwork
from coherence.gradient_flow.losses import SquaredLoss, finite_matrix, positive
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

SCHEMES = ("unit", "fan_in", "fan_out", "xavier", "ntk")
DECOUPLED = 1e-8  # of the largest entry: what couples two chains


def gaussian(
    widths: Sequence[int],
    *,
    scheme: str = "xavier",
    std: float | None = None,
    random_state: int | np.random.Generator | None = None,
) -> LinearNetwork:
    """Independent normal entries.

    Parameters
    ----------
    widths : (n, h_1, ..., h_{L-1}, m)
    scheme : {"unit", "fan_in", "fan_out", "xavier", "ntk"}
        Variances as at the top of this module.
    std : float, optional
        Standard deviation of every entry, in place of a scheme.
    random_state : int or Generator, optional

    Returns
    -------
    LinearNetwork

    Raises
    ------
    InputError
        Widths that are not positive integers, inner widths below min(n, m), an unknown scheme.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.gaussian((5, 100, 1), random_state=0)
    LinearNetwork(widths 5, 100, 1)
    """
    sizes = layer_widths(widths)
    if std is not None:
        deviations = [positive(std, "std")] * (len(sizes) - 1)
    elif scheme not in SCHEMES:
        raise InputError(f"scheme is {scheme!r}; give one of {', '.join(SCHEMES)}, or std=")
    else:
        spread = float(np.exp(-np.mean(np.log(sizes[1:]))))
        deviations = [
            np.sqrt(
                {"unit": 1.0, "fan_in": 1 / rows, "fan_out": 1 / columns, "xavier": 2 / (rows + columns), "ntk": spread}[scheme]
            )
            for rows, columns in pairwise(sizes)
        ]
    rng = np.random.default_rng(random_state)
    return LinearNetwork([scale * rng.normal(size=shape) for scale, shape in zip(deviations, pairwise(sizes), strict=True)])


def balanced(product: ArrayLike, widths: Sequence[int], *, random_state: int | np.random.Generator | None = None) -> LinearNetwork:
    """Return a network of a given product whose imbalances are all zero: W = P S Q' gives each layer S^{1/L}.

    Parameters
    ----------
    product : (n, m)
    widths : (n, h_1, ..., h_{L-1}, m)
    random_state : int or Generator, optional
        Turns the inner layers at random; where left out they are diagonal, padded with zeros.

    Returns
    -------
    LinearNetwork

    Raises
    ------
    InputError
        Widths that do not begin and end with the product's, or inner ones below min(n, m).

    References
    ----------
    Procedure 1 of Arora et al. The two-layer paper's V = [...]^{1/4} Q should read [...]^{1/4} Q' (its Q is (h, m)).

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> network = gf.balanced([[4.0, 0.0]], (1, 3, 2), random_state=0)
    >>> network.product.round(12), np.abs(network.imbalances[0]).max() < 1e-12
    (array([[4., 0.]]), np.True_)
    """
    target = finite_matrix(product, "product")
    sizes = layer_widths(widths)
    if (sizes[0], sizes[-1]) != target.shape:
        raise InputError(f"widths begin with {sizes[0]} and end with {sizes[-1]}; the product has shape {target.shape}")
    left, singular, right = np.linalg.svd(target, full_matrices=False)
    layers = len(sizes) - 1
    chains = np.tile(singular ** (1 / layers), (layers, 1))
    return chained_layers(left, chains, right.T, sizes, random_state)


def spectral(
    loss: SquaredLoss,
    singular_values: ArrayLike,
    widths: Sequence[int],
    *,
    random_state: int | np.random.Generator | None = None,
) -> LinearNetwork:
    r"""Layers aligned with the singular vectors of the data, so that training decouples into min(n, m) chains of scalars.

    With X'Y = R S Q' (and R'X'X R diagonal) W_1 = R S_1 V_1', W_l = V_{l-1} S_l V_l', W_L = V_{L-1} S_L Q', V_l'V_l = I, chain i
    follows ds_{i,l}/dt = 2 scale (c_i - a_i prod_k s_{i,k}) prod_{k != l} s_{i,k}, c = diag(S), a_i = (R'X'X R)_ii.

    Parameters
    ----------
    loss : SquaredLoss
    singular_values : (L, min(n, m))
        Diagonals of S_l.
    widths : (n, h_1, ..., h_{L-1}, m)
    random_state : int or Generator, optional
        Draws the V_l; the first columns of the identity where left out.

    Returns
    -------
    LinearNetwork

    Raises
    ------
    InputError
        X and Y that share no singular vectors, or shapes that do not fit.

    References
    ----------
    Section 2.2.3 of the dissertation and Appendix D.1 of the multi-layer paper. Printed is V_l of shape (n, h_l) with
    V_l'V_l = I_{h_l}; (h_l, n) with V_l'V_l = I_n is meant. R without data is the left factor of Y, and the scalar loss of
    Appendix D.1 lacks its square.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[3.0, 0.0], [0.0, 1.0]])
    >>> gf.spectral(loss, [[1.0, 2.0], [0.5, 0.1]], (2, 4, 2), random_state=0).product.round(12)
    array([[0.5, 0. ],
           [0. , 0.2]])
    """
    if not isinstance(loss, SquaredLoss):
        raise InputError(f"loss is {loss!r:.60}; spectral initialisation is for a SquaredLoss")
    sizes = layer_widths(widths)
    if (sizes[0], sizes[-1]) != loss.shape:
        raise InputError(f"widths begin with {sizes[0]} and end with {sizes[-1]}; the loss is of {loss.shape} matrices")
    chains = finite_matrix(singular_values, "singular_values")
    count = min(loss.shape)
    if chains.shape != (len(sizes) - 1, count):
        raise InputError(f"singular_values has shape {chains.shape}; give {len(sizes) - 1} layers by min(n, m) = {count} chains")
    left, _, right = np.linalg.svd(loss.X.T @ loss.Y, full_matrices=False)
    seen = loss.X.T @ (loss.X @ left)
    if np.abs(seen - left * np.sum(left * seen, axis=0)).max() > DECOUPLED * np.abs(seen).max():
        raise InputError(
            "X and Y share no singular vectors (the left ones of X'Y are no eigenvectors of X'X); training does not decouple"
        )
    return chained_layers(left, chains, right.T, sizes, random_state)


def identity(n: int, depth: int) -> LinearNetwork:
    """Return `depth` layers that are all the identity of size n, as residual networks start.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.identity(2, 3)
    LinearNetwork(widths 2, 2, 2, 2)
    """
    return LinearNetwork([np.eye(positive_integer(n, "n")) for _ in range(positive_integer(depth, "depth"))])


def chained_layers(
    left: Real, chains: Real, right: Real, sizes: Sequence[int], random_state: int | np.random.Generator | None
) -> LinearNetwork:
    """W_l = V_{l-1} diag(chains_l) V_l', V_0 = left, V_L = right; inner V_l have orthonormal columns, random or the identity's."""
    count = chains.shape[1]
    for number, width in enumerate(sizes[1:-1], start=1):
        if width < count:
            raise InputError(f"layer {number} has width {width}, below min(n, m) = {count}; widen it")
    rng = None if random_state is None else np.random.default_rng(random_state)
    inner = [np.eye(width)[:, :count] if rng is None else np.linalg.qr(rng.normal(size=(width, count)))[0] for width in sizes[1:-1]]
    bases = [left, *inner, right]
    return LinearNetwork([bases[k] * chains[k] @ bases[k + 1].T for k in range(len(chains))])


def layer_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return widths as positive integers, at least two."""
    try:
        given = [float(width) for width in widths]
    except (TypeError, ValueError):
        raise InputError(f"widths is {widths!r:.60}; give (n, h_1, ..., m)") from None
    if isinstance(widths, str) or len(given) < 2 or not all(1 <= width < np.inf and width == np.floor(width) for width in given):
        raise InputError(f"widths is {widths!r:.60}; give at least two positive integers (n, h_1, ..., m)")
    return tuple(int(width) for width in given)
