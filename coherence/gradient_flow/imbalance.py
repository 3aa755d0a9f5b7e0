r"""Imbalance spectrum and margin: what gradient flow keeps of an initialisation.

    D_l = W_l' W_l - W_{l+1} W_{l+1}'   (constant along the flow),   sigma_k(W(t)) >= [sigma_k(W*) - sqrt(K/mu) |W(0) - W*|_F]_+

Of two layers three numbers of the spectrum of D matter, the spreads of its positive and of its negative part and the gap between
the two; `two_layer` turns them into a rate. Eigenvalues and singular values are descending, and zero beyond the size of a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.losses import Loss, finite_matrix
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

SYMMETRY = 1e-9  # of the largest entry: imbalances are differences of two products, each symmetric to rounding
EQUAL = 1e-9  # of squared weights: a sign or a difference as small is forgiven, as of trained weights, and the bound lowered by it
EPS = float(np.finfo(float).eps)
UNITS = 4.0  # of rounding in an eigenvalue or singular value: its product, a QR to narrow, the decomposition, and one to spare


@dataclass(frozen=True, eq=False, repr=False)
class ImbalanceSpectrum(Page):
    """Spectrum of the imbalance of two layers; see `imbalance_spectrum`.

    Attributes
    ----------
    eigenvalues : (h,) float
        Of D, descending.
    positive_spread : float
        Delta_+ = [lambda_1(D)]_+ - [lambda_n(D)]_+.
    negative_spread : float
        Delta_- = [lambda_1(-D)]_+ - [lambda_m(-D)]_+.
    gap : float
        Delta = [lambda_n(D)]_+ + [lambda_m(-D)]_+.
    n, m : int
        Rows and columns of the product.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> found = gf.imbalance_spectrum(np.diag([3.0, 1.0, -2.0]), 2, 1)
    >>> found.positive_spread, found.negative_spread, found.gap
    (2.0, 0.0, 3.0)
    """

    eigenvalues: Real
    positive_spread: float
    negative_spread: float
    gap: float
    n: int
    m: int

    def __repr__(self) -> str:
        spreads = f"spreads {self.positive_spread:.4g} and {self.negative_spread:.4g}"
        return f"ImbalanceSpectrum(gap {self.gap:.4g}, {spreads}, {len(self.eigenvalues)} hidden units)"

    @property
    def facts(self) -> dict[str, str]:
        """Gap and spreads."""
        return {
            "gap": f"{self.gap:.6g}",
            "positive spread": f"{self.positive_spread:.6g}",
            "negative spread": f"{self.negative_spread:.6g}",
        }


def imbalance_spectrum(D: ArrayLike, n: int, m: int) -> ImbalanceSpectrum:
    r"""Spreads and gap of the imbalance of two layers.

        Delta_+ = [lambda_1(D)]_+ - [lambda_n(D)]_+,   Delta_- = [lambda_1(-D)]_+ - [lambda_m(-D)]_+,
        Delta   = [lambda_n(D)]_+ + [lambda_m(-D)]_+

    Parameters
    ----------
    D : (h, h) array_like
        W_1' W_1 - W_2 W_2', in units of a squared weight.
    n, m : int
        W_1 is n x h and W_2 is h x m. In regression with a data matrix of rank r, give W_1 on the range of the data and n = r.

    Returns
    -------
    ImbalanceSpectrum

    Raises
    ------
    InputError
        D is not square, symmetric and finite, or n or m is not a positive integer.

    References
    ----------
    (2.30)-(2.32) of the dissertation; "effective level of imbalance" for the gap elsewhere. Eigenvalues beyond the size of D
    are zero.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.imbalance_spectrum([[3.0, 0, 0], [0, 1.0, 0], [0, 0, -2.0]], 2, 1)
    ImbalanceSpectrum(gap 3, spreads 2 and 0, 3 hidden units)
    """
    n, m = positive_integer(n, "n"), positive_integer(m, "m")
    values = descending(symmetric(D, "D"))
    top, low = max(values[0], 0.0), max(entry(values, n), 0.0)
    bottom, high = max(-values[-1], 0.0), max(entry(-values[::-1], m), 0.0)
    return ImbalanceSpectrum(values, float(top - low), float(bottom - high), float(low + high), n, m)


def margin(product: ArrayLike, loss: Loss, *, index: int | None = None) -> float:
    r"""Least singular value that the product keeps on the whole trajectory.

        nu_k = [sigma_k(W*) - sqrt(K/mu) |W - W*|_F]_+   <=   sigma_k(W(t))   for all later t

    because a K-smooth, mu-strongly convex loss that does not grow keeps W(t) within sqrt(K/mu) |W - W*|_F of its minimiser.

    Parameters
    ----------
    product : (n, m) array_like
        W now.
    loss : Loss
        With `minimizer`, `smoothness` K and `strong_convexity` mu > 0.
    index : int, optional
        k; min(n, m) unless given. Singular values beyond min(n, m) are zero, and so is their margin.

    Returns
    -------
    float

    Raises
    ------
    InputError
        The loss is not known to be smooth and strongly convex, or the shapes differ.

    References
    ----------
    Lemma 2.8 and (2.106) of the dissertation. One of its prints has K/mu without the root, which is valid and weaker.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> round(gf.margin([[1.5]], gf.squared_loss(np.array([[2.0]]))), 12)
    1.5
    """
    W = finite_matrix(product, "product")
    k = min(W.shape) if index is None else positive_integer(index, "index")
    distance, minimizer = level_distance(W, loss), np.asarray(loss.minimizer)
    return residual_margin(minimizer, distance, k, rounding=minimizer_rounding(loss))


def level_distance(W: Real, loss: Loss) -> float:
    """sqrt(K/mu) |W - W*|_F: no loss that is not larger has its W farther from W*."""
    if loss.minimizer is None or loss.smoothness is None or not loss.strong_convexity:
        raise InputError("the margin needs a loss with minimizer, smoothness and strong_convexity; this one lacks at least one")
    if loss.shape != W.shape:
        raise InputError(f"product has shape {W.shape} and the loss is of {loss.shape} matrices; they must be equal")
    return float(np.sqrt(loss.smoothness / loss.strong_convexity) * np.linalg.norm(W - loss.minimizer))


def minimizer_rounding(loss: Loss) -> float:
    """What a difference of W* and sqrt(K/mu) |W - W*| may be off by; W* itself is known to sqrt(K/mu) times rounding."""
    minimizer = np.asarray(loss.minimizer)
    condition = float(np.sqrt((loss.smoothness or 1.0) / (loss.strong_convexity or 1.0)))
    return condition * value_rounding(minimizer.shape, float(np.linalg.norm(minimizer)))


def residual_margin(targets: Real, distance: float, k: int, *, gain: float = 1.0, rounding: float = 0.0) -> float:
    """[sigma_k(Y) - d]_+ / |S|: the k-th singular value of all W with |Y - S W|_F <= d, lowered by what rounding may have added."""
    return float(kept_above(np.array([singular_value(targets, k)]), distance, gain=gain, rounding=rounding)[0])


def kept_above(values: Real, distance: float, *, gain: float = 1.0, rounding: float = 0.0) -> Real:
    """[v - d]_+ / |S| for many values, such as the moduli of entries."""
    return np.asarray(np.maximum(values - distance - rounding, 0.0) / gain)


def value_rounding(shape: tuple[int, ...], norm: float) -> float:
    """What a computed singular value or eigenvalue of a matrix of this norm may be off by."""
    return UNITS * EPS * max(shape) * norm


def product_rounding(weights: Sequence[Real]) -> float:
    """What the singular values of the computed product may be off by."""
    norms = [float(np.linalg.norm(W, 2)) for W in weights]
    return len(weights) * value_rounding((max(max(W.shape) for W in weights),), float(np.prod(norms)))


def imbalance_rounding(weights: Sequence[Real]) -> Real:
    """What the eigenvalues of computed imbalances may be off by, (L - 1,): eps (|W_l|^2 + |W_{l+1}|^2) times the dimension.

    Of two layers each, so that a large layer elsewhere blurs nothing.
    """
    squares = [float(np.linalg.norm(W, 2)) ** 2 for W in weights]
    dimensions = [max(*left.shape, *right.shape) for left, right in pairwise(weights)]
    return np.array([value_rounding((h,), a + b) for h, (a, b) in zip(dimensions, pairwise(squares), strict=True)])


def singular_value(W: Real, k: int) -> float:
    """sigma_k(W), zero beyond the size of W."""
    return entry(np.linalg.svd(W, compute_uv=False), k)


def entry(values: Real, k: int) -> float:
    """The k-th of descending values, counted from 1 and zero beyond their number."""
    return float(values[k - 1]) if k <= len(values) else 0.0


def descending(D: Real) -> Real:
    """Eigenvalues of a symmetric matrix, descending."""
    return np.asarray(np.linalg.eigvalsh(D)[::-1])


def nonnegative(value: float, name: str) -> float:
    """A finite number >= 0."""
    if not np.isfinite(value) or value < 0:
        raise InputError(f"{name} = {value}; give a finite number, >= 0")
    return float(value)


def symmetric(values: ArrayLike, name: str) -> Real:
    """A finite symmetric matrix, its rounding averaged away."""
    D = finite_matrix(values, name)
    if D.shape[0] != D.shape[1]:
        raise InputError(f"{name} is {D.shape[0]} x {D.shape[1]}; an imbalance is square, one row for each hidden unit")
    if np.abs(D - D.T).max() > SYMMETRY * np.abs(D).max():
        row, column = (int(k) for k in np.unravel_index(np.argmax(np.abs(D - D.T)), D.shape))
        raise InputError(f"{name}[{row}, {column}] and {name}[{column}, {row}] differ; an imbalance is symmetric")
    return np.asarray((D + D.T) / 2)
