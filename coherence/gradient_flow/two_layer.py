r"""Rates of two layers from imbalance and product.

    lambda_min(T) = lambda_n(W_1 W_1') + lambda_m(W_2' W_2)
                  >= [ -Delta_+ + sqrt((Delta_+ + Delta)^2 + 4 sigma_m(W)^2)
                       - Delta_- + sqrt((Delta_- + Delta)^2 + 4 sigma_n(W)^2) ] / 2

T is the operator with |grad L|^2 = grad f . T grad f, so that a loss with |grad f|^2 >= gamma (f - f*) falls at the rate
gamma lambda_min(T) at least. The spectrum of the imbalance is in `imbalance`, the whole theorem in `convergence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.imbalance import ImbalanceSpectrum, entry, imbalance_spectrum, nonnegative
from coherence.types import ArrayLike, Real


@dataclass(frozen=True, eq=False, repr=False)
class ScalarRate(Page):
    """Rates of |y - x u v|^2/2 under the flow of two scalars; see `scalar_rate`.

    Attributes
    ----------
    imbalance : float
        d = u^2 - v^2, constant.
    instantaneous : float
        -L'/L now, exactly.
    bound : float
        A lower bound on -L'/L from now on.
    asymptotic : float
        -L'/L in the limit, where x u v = y.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> found = gf.scalar_rate(1.5, 0.5, y=1.0)
    >>> found.imbalance, found.bound
    (2.0, 5.0)
    """

    imbalance: float
    instantaneous: float
    bound: float
    asymptotic: float

    def __repr__(self) -> str:
        return f"ScalarRate({self.instantaneous:.4g} now, at least {self.bound:.4g}, {self.asymptotic:.4g} in the end)"

    @property
    def facts(self) -> dict[str, str]:
        """The three rates."""
        return {
            "imbalance": f"{self.imbalance:.6g}",
            "rate now": f"{self.instantaneous:.6g}",
            "lower bound": f"{self.bound:.6g}",
            "asymptotic rate": f"{self.asymptotic:.6g}",
        }


def scalar_rate(u: float, v: float, *, y: float, x: float = 1.0) -> ScalarRate:
    r"""Rate of gradient flow on L = |y - x u v|^2/2 with scalars u and v.

        -L'/L = 2 x^2 sqrt(d^2 + 4 (u v)^2) >= 2 x^2 sqrt(d^2 + 4 ([|y| - |y - x u v|]_+ / x)^2),   d = u^2 - v^2

    Parameters
    ----------
    u, v : float
        The two weights now.
    y, x : float
        Target and input; x is not zero.

    Returns
    -------
    ScalarRate

    Raises
    ------
    InputError
        A value is not finite, or x = 0 (then nothing moves).

    Notes
    -----
    Erratum: the dissertation prints 2x for the factor 2x^2 (after (2.25)); at u = 1.5, v = 0.5, x = 3 the rate is 45, not 15. Its
    margin tends to |y|, where it prints y.

    References
    ----------
    (2.16)-(2.25) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.scalar_rate(1.5, 0.5, y=1.0)
    ScalarRate(5 now, at least 5, 5.657 in the end)
    """
    for name, value in {"u": u, "v": v, "y": y, "x": x}.items():
        if not np.isfinite(value):
            raise InputError(f"{name} = {value} is not finite; give finite numbers")
    if x == 0:
        raise InputError("x = 0: the loss does not depend on the weights; give an input that is not zero")
    d = u**2 - v**2
    kept = max(abs(y) - abs(y - x * u * v), 0.0) / abs(x)
    now, least, late = (2 * x**2 * np.hypot(d, 2 * product) for product in (u * v, kept, y / x))
    return ScalarRate(float(d), float(now), float(least), float(late))


def two_layer_rate(
    D: ArrayLike, n: int, m: int, *, sigma_n: ArrayLike = 0.0, sigma_m: ArrayLike = 0.0, tolerance: float = 0.0
) -> Any:
    r"""Lower bound on lambda_n(W_1 W_1') + lambda_m(W_2' W_2) from the imbalance and singular values of the product.

        1/2 [ -Delta_+ + sqrt((Delta_+ + Delta)^2 + 4 sigma_m^2) - Delta_- + sqrt((Delta_- + Delta)^2 + 4 sigma_n^2) ]

    Parameters
    ----------
    D : (h, h) array_like
        W_1' W_1 - W_2 W_2', with h >= min(n, m).
    n, m : int
        W_1 is n x h and W_2 is h x m.
    sigma_n, sigma_m : array_like, optional
        The n-th and the m-th singular value of W_1 W_2, or lower bounds on them (zero where n or m exceeds the other). Arrays,
        such as values over time, are taken entry by entry. With both zero the bound is the gap Delta.
    tolerance : float, optional
        What the eigenvalues of D may be off by, in its unit. The bound is lowered to what is true of all D as near.

    Returns
    -------
    float, or an array where sigma_n or sigma_m is one

    Raises
    ------
    InputError
        D is not a symmetric matrix of at least min(n, m) rows, or a singular value is negative or beyond the size of W.

    Notes
    -----
    Erratum: Lemma 2.7, (2.105) and (2.108) of the dissertation (Lemma 3, (9) and Theorem 1 of the multi-layer paper) put sigma_n
    with Delta_+ and sigma_m with Delta_-, which is false for n != m: with W_1 = diag(2, 0) and W_2 = (1, 0)' the least eigenvalue
    is 1, which this form attains, and the printed one gives 2. Erratum: (2.108) lacks the factor 1/2, without which sigma = 0
    does not give Delta. The least value over all weights with this imbalance and these singular values equals the bound where n
    != m; where n = m it may exceed it.

    References
    ----------
    Proposition 2.1 (with r for n), Lemmas 2.3 and 2.7 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.two_layer_rate([[3.0, 0], [0, 0]], 2, 1, sigma_m=2.0)
    1.0
    """
    spectrum = imbalance_spectrum(D, n, m)
    if len(spectrum.eigenvalues) < min(n, m):
        raise InputError(
            f"D is {len(spectrum.eigenvalues)} x {len(spectrum.eigenvalues)}: {n} x {m} products need at least min(n, m) = "
            f"{min(n, m)} hidden units"
        )
    s_n, s_m = _singular(sigma_n, "sigma_n", n, m), _singular(sigma_m, "sigma_m", m, n)
    positive, negative, gap = _widened(spectrum, nonnegative(tolerance, "tolerance"))
    bracket = _part(positive, gap, s_m) + _part(negative, gap, s_n)
    return float(bracket / 2) if np.ndim(bracket) == 0 else bracket / 2


def _widened(spectrum: ImbalanceSpectrum, off: float) -> tuple[float, float, float]:
    """Spreads and gap of the worst D that is off by so much: the bound falls with the spreads and rises with the gap."""
    values = spectrum.eigenvalues
    low, high = max(entry(values, spectrum.n) - off, 0.0), max(entry(-values[::-1], spectrum.m) - off, 0.0)
    return max(float(values[0]) + off, 0.0) - low, max(-float(values[-1]) + off, 0.0) - high, low + high


def _part(spread: float, gap: float, sigma: Real) -> Real:
    """-a + sqrt((a + g)^2 + 4 s^2), without the subtraction: a small part of a large spread would lose its digits."""
    root = np.hypot(spread + gap, 2 * sigma)
    total = root + spread
    return np.asarray(np.divide(gap * (2 * spread + gap) + 4 * sigma**2, total, out=np.zeros_like(root), where=total > 0))


def _singular(values: ArrayLike, name: str, own: int, other: int) -> Real:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all() or (array < 0).any():
        raise InputError(f"{name} has a value that is negative or not finite; give singular values of the product")
    if own > other and (array > 0).any():
        raise InputError(f"{name} > 0: an {own} x {other} product has only {other} singular values; leave {name} at zero")
    return array
