r"""Frequency-weighted balanced truncation (Enns) of stable realizations.

With an output weight W in series, the controllability gramian X is that of (A, B), the observability gramian Y is the
leading block of that of the series connection. Factors X = R R^T, Y = S S^T and the singular values
U diag(sigma) V^T = S^T R give the balancing projection; sigma_i are the weighted Hankel values, and the reduced
model of order k is W^T A T, W^T B, C T with T = R V_k sigma_k^{-1/2}, W = S U_k sigma_k^{-1/2}.
With a one-sided weight the reduced model is stable; the tail sum of the weighted values bounds nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coherence.errors import InputError, InstabilityError
from coherence.numerics.gramians import gramian_factor
from coherence.numerics.realization import Realization, cascade
from coherence.types import Real


class Balancing(NamedTuple):
    """What every order of the truncation shares: compute once, then pick the order."""

    system: Realization
    left: Real  # (r, N) rows W^T, r the numerical rank
    right: Real  # (N, r) columns T
    hankel: Real  # (N,) weighted Hankel values, descending

    def truncate(self, order: int) -> Realization:
        """The reduced realization of the given order; the feedthrough is kept."""
        rank = len(self.left)
        if not 1 <= order <= self.system.order:
            raise InputError(f"order = {order} is out of range; give 1 <= order <= {self.system.order}")
        k = min(order, rank)  # states beyond the rank contribute nothing: the model of order `rank` is exact
        left, right = self.left[:k], self.right[:, :k]
        return Realization(left @ self.system.a @ right, left @ self.system.b, self.system.c @ right, self.system.d)


def balance(system: Realization, weight: Realization | None = None) -> Balancing:
    """Balance a stable realization under a stable SISO output weight (None: unweighted)."""
    _require_stable(system, "the system")
    series = system
    if weight is not None and weight.order:
        _require_stable(weight, "the frequency weight")
        series = cascade(system, weight)
    n = system.order
    r = gramian_factor(system.a, system.b)
    s = gramian_factor(series.a.T, series.c.T)[:n]
    u, sigma, vt = np.linalg.svd(s.T @ r, full_matrices=False)
    rank = int((sigma > n * np.finfo(float).eps * sigma[0]).sum()) if sigma.size and sigma[0] > 0 else 0
    root = np.sqrt(sigma[:rank])
    left = (s @ u[:, :rank] / root).T
    right = r @ vt[:rank].T / root
    return Balancing(system, left, right, sigma)


def _require_stable(system: Realization, what: str) -> None:
    if not system.is_stable():
        raise InstabilityError(
            f"{what} has a pole at {system.poles()[0]:.4g}, not in Re s < 0 by more than rounding ({system.rounding:.1g}); "
            "balanced truncation needs stable dynamics"
        )
