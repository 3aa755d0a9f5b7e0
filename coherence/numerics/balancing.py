r"""Balanced reduction of stable realizations: weighted, in a band, positive-real; by truncation or singular perturbation.

With an output weight W_o and an input weight W_i in series, Y and X are the leading blocks of the observability gramian of
W_o G and of the controllability gramian of G W_i (Enns). Where the weight is a band of frequencies they are the integrals over
it (Gawronski, Juang). Factors X = R R^T, Y = S S^T and the singular values U diag(sigma) V^T = S^T R give the projection
T = R V_k sigma_k^{-1/2}, W = S U_k sigma_k^{-1/2}; sigma_i are the Hankel values. Of order k are then

    truncation               (W^T A T, W^T B, C T, D): the same at s = infinity
    singular perturbation    what T leaves out is held at rest, x_2' = 0: the same at s = 0, with feedthrough

What is proved: without weights both are stable and off by at most 2 (sigma_{k+1} + ... + sigma_N) in H-infinity (Enns, Glover;
Liu and Anderson). With one weight, on either side, no pole is in Re s > 0 (the other gramian is that of a Lyapunov equation), nor
on the axis but for exceptional data. With two there is no such promise, and no sum of weighted Hankel values bounds an error: it is
computed.

Positive-real balancing (Desai and Pal) takes for Y and X the least solutions of

    A^T Y + Y A + (C^T - Y B) (D + D^T)^{-1} (C - B^T Y) = 0  and its dual,

available storage and required supply: what is left is positive real again, with either method. Its values mu_i < 1 are those of
(rho - Z)/(rho + Z) as a bounded-real function for every rho > 0, whose error is at most beta = 2 (mu_{k+1} + ... + mu_N), so that

    |Z - Z_r| <= q M^2/(1 - q M),   q = beta/(2 rho),   M = ||rho + Z||,   where q M < 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.numerics.gramians import band_gramian_factor, gramian_factor, square_factor
from coherence.numerics.norms import Supremum, hinf_norm
from coherence.numerics.realization import Realization, cascade, pole_text, repeated
from coherence.types import Real

ROUNDING = 1e-10  # of the sum of Hankel values: what computed values and norms may be off (1e-11 seen where the bound is attained)

SENSITIVE = 1e-4  # cosine of left and right eigenvectors, below which multiple poles would be refused for their scatter


@dataclass(frozen=True)
class Band:
    """The ideal weight that is 1 for low <= |omega| <= high [rad/s] and 0 elsewhere.

    Examples
    --------
    >>> Band(0.1, 6.0)
    Band(low=0.1, high=6.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if any(isinstance(x, bool) or not isinstance(x, (int, float, np.integer, np.floating)) for x in ends):
            raise InputError(f"the band from {self.low!r} to {self.high!r}; give two numbers in rad/s")
        if not 0 <= self.low < self.high < np.inf:
            raise InputError(f"the band from {self.low:g} to {self.high:g} rad/s; give 0 <= low < high < inf")

    @classmethod
    def of(cls, band: object) -> Band:
        """From (low, high) or a Band."""
        if isinstance(band, Band):
            return band
        if not isinstance(band, (tuple, list, np.ndarray)) or len(band) != 2:
            raise InputError(f"band = {band!r:.60}; give (low, high) in rad/s, such as (0, 6.28) for 0 to 1 Hz")
        return cls(*band)

    @property
    def sentence(self) -> str:
        """The band in text."""
        return f"1 from {self.low:g} to {self.high:g} rad/s"


class Balancing(NamedTuple):
    """What every order of the reduction shares: compute once, then pick the order."""

    system: Realization
    left: Real  # (r, N) rows W^T, r the numerical rank
    right: Real  # (N, r) columns T
    hankel: Real  # (N,) values, descending
    kind: str  # "plain", "weighted" or "positive real"

    def truncate(self, order: int) -> Realization:
        """The reduced realization of the given order; the feedthrough is kept."""
        left, right = self._projection(order)
        a, b, c, d = self.system
        return Realization(left @ a @ right, left @ b, c @ right, d)

    def residualize(self, order: int) -> Realization:
        """The singular perturbation of the given order: the value at s = 0 is kept.

        Nothing of the system is left out first, so that this holds where the weight sees nothing of s = 0 too. With
        x = T x_1 + N x_2, W^T N = 0, and M^T T = 0, the rest obeys M^T N x_2' = M^T A x + M^T B u.
        """
        left, right = self._projection(order)
        a, b, c, d = self.system
        k = len(left)
        rest, test = _complement(left.T), _complement(right)
        slow, cross = left @ a @ right, left @ a @ rest
        fast = test.T @ a @ rest
        back, drive = np.linalg.solve(fast, test.T @ a @ right), np.linalg.solve(fast, test.T @ b)
        if k == self.system.order:
            return Realization(slow, left @ b, c @ right, d)
        return Realization(slow - cross @ back, left @ b - cross @ drive, c @ right - c @ rest @ back, d - c @ rest @ drive)

    def _projection(self, order: int) -> tuple[Real, Real]:
        if not 0 <= order <= self.system.order:
            raise InputError(f"order = {order} is out of range; give 0 <= order <= {self.system.order}")
        k = min(order, len(self.left))  # states beyond the numerical rank contribute nothing
        return self.left[:k], self.right[:, :k]

    def bound(self, order: int) -> float:
        """A proved bound of ||G - G_r||_inf, for either method; NaN where there is no theorem."""
        tail = 2.0 * float(self.hankel[min(order, len(self.left)) :].sum())
        rounding = ROUNDING * float(self.hankel.sum())
        if self.kind == "plain":
            return tail + rounding
        if self.kind == "positive real":
            rho = hinf_norm(self.system).upper
            size = hinf_norm(Realization(*self.system[:3], self.system.d + rho)).upper
            q = (tail + rounding) / (2 * rho)
            return q * size**2 / (1 - q * size) if q * size < 1 else np.inf
        return np.nan


def balance(
    system: Realization, *, output_weight: Realization | Band | None = None, input_weight: Realization | Band | None = None
) -> Balancing:
    """Balance a stable realization under stable weights on its outputs and on its inputs.

    A scalar weight acts on every one of them; another must fit their number.
    """
    require_stable(system, "the system")
    s = _observability(system, output_weight, "output")
    r = _observability(
        _dual(system), input_weight if input_weight is None or isinstance(input_weight, Band) else _dual(input_weight), "input"
    )
    return _balanced(system, r, s, "plain" if output_weight is None and input_weight is None else "weighted")


def balance_positive_real(system: Realization) -> Balancing:
    """Balance a stable strictly positive real SISO realization (Re Z > 0 on the axis, infinity included).

    Raises
    ------
    ToleranceError
        It is not, or so nearly that the Riccati equations lose their digits.
    """
    require_stable(system, "the system")
    return _balanced(system, _storage(_dual(system)), _storage(system), "positive real")


def weighted_norm(
    error: Realization, output_weight: Realization | Band | None, input_weight: Realization | Band | None, bound: float = np.nan
) -> Supremum:
    """The H-infinity norm of W_o (error) W_i, over the band where a weight is one; a proved bound may lower its upper end."""
    low, high = 0.0, np.inf
    for weight in (output_weight, input_weight):
        if isinstance(weight, Band):
            low, high = max(low, weight.low), min(high, weight.high)
    if low >= high:
        raise InputError("the bands of the two weights have nothing in common; give bands that overlap")
    if output_weight is not None and not isinstance(output_weight, Band):
        error = cascade(error, widened(output_weight, len(error.c)))
    if input_weight is not None and not isinstance(input_weight, Band):
        error = cascade(widened(input_weight, error.b.shape[1]), error)
    found = hinf_norm(error, band=(low, high))
    return found._replace(upper=max(found.lower, min(found.upper, bound))) if bound < found.upper else found


def widened(weight: Realization, channels: int) -> Realization:
    """A scalar weight for each of several channels; others are given back."""
    return repeated(weight, channels) if weight.d.shape == (1, 1) else weight


def require_stable(system: Realization, what: str) -> None:
    """Refuse poles that are not in Re s < 0 beyond doubt of rounding, the sensitivity of each pole counted."""
    if not system.order:
        return
    a = sla.matrix_balance(system.a, permute=False)[0]
    poles, left, right = sla.eig(a, left=True, right=True)
    cosine = np.abs(np.einsum("ij,ij->j", left.conj(), right))  # eig normalises both
    margin = 10 * system.rounding / np.maximum(cosine, SENSITIVE)  # 7 times was seen
    worst = int((poles.real + margin).argmax())
    if poles[worst].real >= -margin[worst]:
        raise InstabilityError(
            f"{what} has a pole at {pole_text(complex(poles[worst]))}, not in Re s < 0 by more than rounding "
            f"({margin[worst]:.1g}); balanced reduction needs stable dynamics"
        )


def _balanced(system: Realization, r: Real, s: Real, kind: str) -> Balancing:
    u, sigma, vt = np.linalg.svd(s.T @ r, full_matrices=False)
    rank = int((sigma > system.order * np.finfo(float).eps * sigma[0]).sum()) if sigma.size and sigma[0] > 0 else 0
    root = np.sqrt(sigma[:rank])
    return Balancing(system, (s @ u[:, :rank] / root).T, r @ vt[:rank].T / root, sigma, kind)


def _observability(system: Realization, weight: Realization | Band | None, side: str) -> Real:
    """Factor of the observability gramian of the weight after the system, as the system's states see it."""
    if isinstance(weight, Band):
        return band_gramian_factor(system.a.T, system.c.T, weight.low, weight.high)
    if weight is None:
        return gramian_factor(system.a.T, system.c.T)
    require_stable(weight, f"the {side} weight")
    series = cascade(system, widened(weight, len(system.c)))
    return square_factor(gramian_factor(series.a.T, series.c.T)[: system.order])


def _storage(system: Realization) -> Real:
    """Factor of the least solution Y of the positive-real Riccati equation.

    Y itself from the invariant subspace; its factor then from A^T Y + Y A + K^T K = 0, K = (D + D^T)^{-1/2} (C - B^T Y), which
    keeps the digits of what is small.
    """
    a, b, c, d = system
    supply = d + d.T
    if system.order == 0:
        return np.zeros((0, 0))
    try:
        y = sla.solve_continuous_are(a, b, np.zeros_like(a), -supply, s=-c.T)
        k = np.linalg.solve(np.linalg.cholesky(supply), c - b.T @ y)
    except np.linalg.LinAlgError:
        raise ToleranceError(
            "the function is not strictly positive real beyond doubt of rounding, so there is no positive-real balancing"
        ) from None
    factor = gramian_factor(a.T, k.T)
    if np.linalg.norm(factor @ factor.T - y) > 1e-6 * np.linalg.norm(y):
        raise ToleranceError("the positive-real Riccati equation lost its digits; the function is hardly strictly positive real")
    return factor


def _dual(system: Realization) -> Realization:
    return Realization(system.a.T, system.c.T, system.b.T, system.d.T)


def _complement(columns: Real) -> Real:
    """An orthonormal basis of what is orthogonal to the columns."""
    q, _ = sla.qr(columns, mode="full") if columns.size else (np.eye(len(columns)), None)
    return np.asarray(q[:, columns.shape[1] :])
