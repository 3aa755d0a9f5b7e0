r"""Bounds on ||T(s) - T_k(s)||: the source's (Lemma 3.1, Theorem 3.8) and the sharper hull bound.

T_k = V_k (V_k^T G^{-1} V_k + f Lambda_k)^{-1} V_k^T; for k = 1 it is g_hat 11^T.

Source. With M1 = ||T_k||, M2 = max_i |g_i^{-1}| and |f| lambda_{k+1} > M2 + M1 M2^2,
    ||T - T_k|| <= (M1 M2 + 1)^2 / (|f| lambda_{k+1} - M2 - M1 M2^2).

Hull. In the basis [V_k V_perp], Y = [[A, B], [B^T, D]] with A = V_k^T G^{-1} V_k + f Lambda_k, B = V_k^T G^{-1} V_perp and
D = V_perp^T G^{-1} V_perp + f Lambda_perp. Block elimination gives T - T_k = V X S^{-1} X^T V^T with S = D - B^T A^{-1} B and
X = [-A^{-1}B; I], so ||T - T_k|| <= (1 + ||A^{-1}B||^2) ||S^{-1}||. The numerical range of D lies in
conv{g_i^{-1}} + f [lambda_{k+1}, lambda_n], hence sigma_min(D) >= d, the distance of that convex set from 0, and
sigma_min(S) >= d - q with q = ||B^T A^{-1} B||:
    ||T - T_k|| <= (1 + alpha^2) / (d - q),   alpha = ||A^{-1} B||.
alpha and q need V_k only: B V_perp^T = W := V_k^T G^{-1} - (V_k^T G^{-1} V_k) V_k^T, and V_perp^T does not change norms.
It is never above the source's bound: d >= |f| lambda_{k+1} - M2, alpha <= M1 M2 and q <= M1 M2^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network
from coherence.numerics.hull import hull_distance
from coherence.types import ArrayLike, Complex, Real, laplace_points


@dataclass(frozen=True, eq=False, repr=False)
class Bound(Page):
    """An upper bound at F points, with its theorem, where its hypothesis holds, and its ingredients.

    Attributes
    ----------
    theorem : str
    value : (F,) float
        Infinite where the hypothesis fails.
    holds : (F,) bool
    ingredients : dict of name -> (F,) array

    Examples
    --------
    >>> from coherence import Network, hull_bound, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> hull_bound(network, [0.1j, 9j])
    Bound(hull bound; holds at 2 of 2 points)
    """

    theorem: str
    value: Real
    holds: np.ndarray
    ingredients: dict[str, Real]

    def __repr__(self) -> str:
        return f"Bound({self.theorem}; holds at {int(self.holds.sum())} of {len(self.value)} points)"


def source_bound(network: Network, s: ArrayLike, *, k: int = 1) -> Bound:
    """Lemma 3.1 (k = 1) and Theorem 3.8: (M1 M2 + 1)^2 / (|f| lambda_{k+1} - M2 - M1 M2^2).

    Parameters
    ----------
    network : Network
    s : (F,) complex
        Laplace points. At a pole of f the deviation is 0 in the limit, and so is the bound.
    k : int
        Rank of the coherent part, 1 <= k < n.

    Returns
    -------
    Bound
        value (F,), in units of T; ingredients M1, M2 and the effective connectivity.

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    DisconnectedError
        The network falls apart.

    References
    ----------
    H. Min, dissertation (2023), Lemma 3.1 and Theorem 3.8.

    Examples
    --------
    >>> from coherence import Network, source_bound, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> source_bound(network, [0.1j, 9j]).holds.tolist()
    [True, False]
    """
    z, f, a, _, finite = _parts(network, s, k)
    a_inverse, regular = _inverse(a)
    m1 = np.where(regular, np.linalg.norm(a_inverse, 2, axis=(1, 2)), np.inf)
    m2 = np.abs(z).max(axis=1)
    reach = np.abs(f) * network.eigenvalues[k] - m2 - np.where(regular, m1, 0.0) * m2**2
    return _bound(
        "Lemma 3.1" if k == 1 else "Theorem 3.8",
        np.where(regular, (np.where(regular, m1, 0.0) * m2 + 1) ** 2, np.inf),
        reach,
        finite,
        {"M1": m1, "M2": m2, "effective_connectivity": np.abs(f) * network.eigenvalues[k]},
    )


def hull_bound(network: Network, s: ArrayLike, *, k: int = 1) -> Bound:
    """The hull bound (1 + alpha^2)/(d - q); never above `source_bound`. Derivation in the module.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
        Laplace points; at a pole of f the bound is 0.
    k : int
        Rank of the coherent part, 1 <= k < n.

    Returns
    -------
    Bound
        value (F,), in units of T; ingredients alpha, q, d.

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    DisconnectedError
        The network falls apart.

    References
    ----------
    Derived in the module from the block elimination of Theorem 3.8's proof.

    Examples
    --------
    >>> from coherence import Network, hull_bound, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> bool(hull_bound(network, 0.1j).value[0] >= abs(network.deviation(0.1j)).max())
    True
    """
    z, f, a, v, finite = _parts(network, s, k)
    head = v.T @ (z[:, :, None] * v)
    w = z[:, None, :] * v.T - head @ v.T
    a_inverse, regular = _inverse(a)
    alpha = np.linalg.norm(a_inverse @ w, 2, axis=(1, 2))
    r: Any = np.linalg.qr(w.conj().swapaxes(1, 2), mode="r")
    root = r.conj().swapaxes(1, 2)  # W = root @ isometry
    q = np.linalg.norm(root.swapaxes(1, 2) @ a_inverse @ root, 2, axis=(1, 2))
    d = hull_distance(z, f, float(network.eigenvalues[k]), float(network.eigenvalues[-1]))
    return _bound("hull bound", np.where(regular, 1 + alpha**2, np.inf), d - q, finite, {"alpha": alpha, "q": q, "d": d})


def _parts(network: Network, s: ArrayLike, k: int) -> tuple[Complex, Complex, Complex, Real, np.ndarray]:
    """G^{-1}, f, A = V_k^T G^{-1} V_k + f Lambda_k, V_k, and where f is finite (elsewhere f is put to 0)."""
    network._need_nodes("a coherence bound")
    require_rank(network, k)
    require_connected(network.laplacian, network.labels, "a coherence bound")
    points = laplace_points(s)
    z, f = network.nodes.inverse(points), network.coupling(points)
    finite = np.isfinite(f)
    f = np.where(finite, f, 0.0)
    v = network.eigenvectors[:, :k]
    return z, f, v.T @ (z[:, :, None] * v) + f[:, None, None] * np.diag(network.eigenvalues[:k]), v, finite


def require_rank(network: Network, k: object) -> None:
    """Refuse a rank k that is no integer, out of range, or cuts through equal eigenvalues (then V_k means nothing)."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < network.size:
        raise InputError(f"k = {k!r} is out of range; give an integer 1 <= k <= {network.size - 1}")
    values = network.eigenvalues
    if k > 1 and values[k] - values[k - 1] <= 1e-9 * values[k]:
        raise InputError(
            f"lambda_{k} = lambda_{k + 1} = {values[k]:.6g}: the {k} slowest directions are not defined; take another k"
        )


def _inverse(a: Complex) -> tuple[Complex, np.ndarray]:
    """A^{-1} and where A is regular; elsewhere (a pole of the coherent part) the identity stands in and no bound holds."""
    size = np.abs(a).max(axis=(1, 2))
    least = np.linalg.svd(a, compute_uv=False)[:, -1]
    regular = least > a.shape[1] * np.finfo(float).eps * size
    stand_in: Complex = np.where(regular[:, None, None], a, np.eye(a.shape[1], dtype=complex))
    inverse: Complex = np.linalg.inv(stand_in)
    return inverse, np.asarray(regular)


def _bound(theorem: str, top: Real, bottom: Real, finite: np.ndarray, ingredients: dict[str, Real]) -> Bound:
    holds = np.isfinite(top) & ((bottom > 0) | ~finite)
    value = np.full(len(top), np.inf)
    usable = holds & finite
    value[usable] = top[usable] / bottom[usable]
    value[holds & ~finite] = 0.0
    return Bound(theorem, value, holds, ingredients)
