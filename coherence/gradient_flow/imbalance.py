r"""Imbalance spectrum and margin: what gradient flow keeps of an initialisation.

    D_l = W_l' W_l - W_{l+1} W_{l+1}'   (constant along the flow),   sigma_k(W(t)) >= [sigma_k(W*) - sqrt(K/mu) |W(0) - W*|_F]_+

Of two layers three numbers of the spectrum of D matter, the spreads of its positive and of its negative part and the gap between
the two; `two_layer` turns them into a rate. Eigenvalues and singular values are descending, and zero beyond the size of a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.losses import Loss, finite_matrix
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

SYMMETRY = 1e-9  # of the largest entry: imbalances are differences of two products, each symmetric to rounding
EQUAL = 1e-9  # of the largest squared weight: below, an eigenvalue of an imbalance counts as zero


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
    (2.30)-(2.32) of the thesis; "effective level of imbalance" for the gap elsewhere. Eigenvalues beyond the size of D are zero.

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
    Lemma 2.8 and (2.106) of the thesis. One of its prints has K/mu without the root, which is valid and weaker.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> round(gf.margin([[1.5]], gf.squared_loss(np.array([[2.0]]))), 12)
    1.5
    """
    W = finite_matrix(product, "product")
    if loss.minimizer is None or loss.smoothness is None or not loss.strong_convexity:
        raise InputError("the margin needs a loss with minimizer, smoothness and strong_convexity; this one lacks at least one")
    if loss.shape != W.shape:
        raise InputError(f"product has shape {W.shape} and the loss is of {loss.shape} matrices; they must be equal")
    k = min(W.shape) if index is None else positive_integer(index, "index")
    radius = np.sqrt(loss.smoothness / loss.strong_convexity) * np.linalg.norm(W - loss.minimizer)
    return float(max(singular_value(loss.minimizer, k) - radius, 0.0))


def singular_value(W: Real, k: int) -> float:
    """sigma_k(W), zero beyond the size of W."""
    return entry(np.linalg.svd(W, compute_uv=False), k)


def entry(values: Real, k: int) -> float:
    """The k-th of descending values, counted from 1 and zero beyond their number."""
    return float(values[k - 1]) if k <= len(values) else 0.0


def descending(D: Real) -> Real:
    """Eigenvalues of a symmetric matrix, descending."""
    return np.asarray(np.linalg.eigvalsh(D)[::-1])


def symmetric(values: ArrayLike, name: str) -> Real:
    """A finite symmetric matrix, its rounding averaged away."""
    D = finite_matrix(values, name)
    if D.shape[0] != D.shape[1]:
        raise InputError(f"{name} is {D.shape[0]} x {D.shape[1]}; an imbalance is square, one row for each hidden unit")
    if np.abs(D - D.T).max() > SYMMETRY * np.abs(D).max():
        row, column = (int(k) for k in np.unravel_index(np.argmax(np.abs(D - D.T)), D.shape))
        raise InputError(f"{name}[{row}, {column}] and {name}[{column}, {row}] differ; an imbalance is symmetric")
    return np.asarray((D + D.T) / 2)
