r"""Upper bounds on the deviation from coherence, without T: the source's, and sharper ones.

T_k = V (V^T Y V)^{-1} V^T, V = V_k the k slowest eigenvectors of L (k = 1: T_1 = g_hat 11^T) or V = P N^{-1/2} the normalised
groups. z_i = g_i^{-1}(s).

**Source** (Lemma 3.1, Theorem 3.8). With M1 = ||T_k||, M2 = max_i |z_i| and |f| lambda_{k+1} > M2 + M1 M2^2,
    ||T - T_k|| <= (M1 M2 + 1)^2 / (|f| lambda_{k+1} - M2 - M1 M2^2).

**Block elimination.** In the basis [V V_perp], Y = [[A, B], [B^T, D]] gives T - T_k = X S^{-1} X^T in that basis with
S = D - B^T A^{-1} B, X = [-A^{-1} B; I], so ||T - T_k|| <= (1 + alpha^2) / sigma_min(S), alpha = ||A^{-1} B||. alpha and
q = ||B^T A^{-1} B|| need V only: B V_perp^T = W := V^T Y - A V^T, and V_perp^T does not change norms.

**Hull.** The numerical range of D lies in conv{z_i} + f [mu, lambda_n], mu = lambda_{k+1} for eigenvectors and the least
eigenvalue of V_perp^T L V_perp for groups. With d the distance of that convex set from 0, sigma_min(S) >= d - q:
    ||T - T_k|| <= (1 + alpha^2) / (d - q).
For eigenvectors it is never above the source's: d >= |f| lambda_{k+1} - M2, alpha <= M1 M2 and q <= M1 M2^2.

**Passive** (never silent where node inverses and f have positive real parts). S = X^* Y X, so for every angle theta and |w| = 1,
with x = X w of squared norm between 1 and 1 + alpha^2, Re e^{-j theta} w^* S w >= c x^* L x + h |x|^2, c = Re e^{-j theta} f,
h = min_i Re e^{-j theta} z_i. Where c >= 0 and V are eigenvectors, x^* L x >= lambda_{k+1}:
    ||T - T_k|| <= (1 + alpha^2) / max_{theta: c >= 0} [ c lambda_{k+1} + (h if h >= 0 else (1 + alpha^2) h) ].

**Disc.** For any centre c and r = max_i |z_i - c| (the centre drops out of B and W), delta = min_{j > k} |c + f lambda_j|,
M1 = ||T_k||:
    ||T - T_k|| <= (1 + (M1 r)^2) / (delta - r - M1 r^2).
Exact for equal nodes (r = 0) over the eigenvalues; over the segment [lambda_{k+1}, lambda_n] until a resonance enters it. c = 0
sharpens the source's form; the smaller of the two is taken.

A priori forms put max_i sum_j |L_ij| for lambda_n (Gershgorin): twice the largest degree where no weight is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes
from coherence.numerics.hull import hull_distance, smallest_disc, support_margin
from coherence.types import ArrayLike, Complex, Real, laplace_points

DISC_STEPS = 100  # towards the centre of the smallest disc: any centre is safe, this one is within 1 % of the best radius
CHUNK = 2_000_000  # entries of (frequencies, nodes, k) held at a time


@dataclass(frozen=True, eq=False, repr=False)
class Bound(Page):
    """An upper bound at F points, with its theorem, hypothesis, where that holds, and its ingredients.

    Attributes
    ----------
    theorem : str
    value : (F,) float
        Infinite where the hypothesis fails.
    holds : (F,) bool
    ingredients : dict of name -> (F,) array
    hypothesis : str
        What must hold at a point.

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
    hypothesis: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What one line says."""
        return {"hypothesis": self.hypothesis}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The value and its ingredients, point by point (up to ten)."""
        picks = np.unique(np.linspace(0, len(self.value) - 1, 10).astype(int))
        return {"bound": pd.DataFrame({"value": self.value, "holds": self.holds, **self.ingredients}).iloc[picks]}

    def __repr__(self) -> str:
        return f"Bound({self.theorem}; holds at {int(self.holds.sum())} of {len(self.value)} points)"


def source_bound(network: Network, s: ArrayLike, *, k: int = 1) -> Bound:
    """Lemma 3.1 (k = 1) and Theorem 3.8: (M1 M2 + 1)^2 / (|f| lambda_{k+1} - M2 - M1 M2^2).

    Parameters
    ----------
    network : Network
        Connected.
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
    x = _frame(network, s, k)
    m2 = np.abs(x.z).max(axis=1)
    reach = np.abs(x.f) * x.least - m2 - x.m1 * m2**2
    return _bound(
        "Lemma 3.1" if k == 1 else "Theorem 3.8",
        "|f| lambda_{k+1} > M2 + M1 M2^2",
        np.where(x.regular, (x.m1 * m2 + 1) ** 2, np.inf),
        reach,
        x.finite,
        {"M1": np.where(x.regular, x.m1, np.inf), "M2": m2, "effective_connectivity": np.abs(x.f) * x.least},
    )


def hull_bound(network: Network, s: ArrayLike, *, k: int = 1, partition: Partition | None = None, a_priori: bool = False) -> Bound:
    """The hull bound (1 + alpha^2)/(d - q), for T_k never above `source_bound`. Derivation in the module.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
        Laplace points; at a pole of f the bound is 0.
    k : int
        Rank of the coherent part, 1 <= k < n.
    partition : Partition, optional
        Bound ||T - P (P^T Y P)^{-1} P^T|| instead: one node per group, joined by the quotient P^T L P.
    a_priori : bool
        Put twice the largest degree for lambda_n (always so for sparse Laplacians).

    Returns
    -------
    Bound
        value (F,), in units of T; ingredients alpha, q, d.

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}, or a partition of other nodes.
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
    x = _frame(network, s, k, partition)
    alone = np.isinf(x.least)  # every node a group: nothing is left across
    d = np.full(len(x.z), np.inf) if alone else hull_distance(x.z, x.f, x.least, _largest(network, a_priori))
    name = "hull bound" if partition is None else "hull bound of the quotient"
    top = np.where(x.regular, 1 + x.alpha**2, np.inf)
    return _bound(name, "d > q", top, d - x.q, x.finite, {"alpha": x.alpha, "q": x.q, "d": d})


def passive_bound(network: Network, s: ArrayLike, *, k: int = 1) -> Bound:
    """The bound that is never silent where node inverses and f have positive real parts. Derivation in the module.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
    k : int
        Rank of the coherent part, 1 <= k < n.

    Returns
    -------
    Bound
        value (F,), in units of T; ingredients alpha and the margin.

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    DisconnectedError
        The network falls apart.

    References
    ----------
    Derived in the module from S = X^* Y X.

    Examples
    --------
    >>> from coherence import Network, passive_bound, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> passive_bound(network, [0.1j, 9j, 900j]).holds.tolist()
    [True, True, True]
    """
    x = _frame(network, s, k)
    margin = support_margin(x.z, x.f, x.least, 1 + x.alpha**2)
    top = np.where(x.regular, 1 + x.alpha**2, np.inf)
    return _bound(
        "passive bound",
        "an angle with Re e^{-j theta} f >= 0 and positive margin",
        top,
        margin,
        x.finite,
        {"alpha": x.alpha, "margin": margin},
    )


def disc_bound(network: Network, s: ArrayLike, *, k: int = 1, over: str = "eigenvalues") -> Bound:
    """The disc bound (1 + (M1 r)^2)/(delta - r - M1 r^2), the simplest; exact for equal nodes. Derivation in the module.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
        Laplace points; at a pole of f the bound is 0.
    k : int
        Rank of the coherent part, 1 <= k < n.
    over : "eigenvalues", "segment" or "degree"
        delta over lambda_{k+1}, ..., lambda_n; over the segment between them; or up to twice the largest degree.

    Returns
    -------
    Bound
        value (F,), in units of T: the smaller of the smallest disc and the disc around 0; ingredients M1, r, delta of the disc.

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    DisconnectedError
        The network falls apart.

    References
    ----------
    Derived in the module.

    Examples
    --------
    >>> from coherence import Network, disc_bound, swing
    >>> network = Network(swing(inertia=[2, 2], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> bool(np.isclose(disc_bound(network, 5j).value[0], np.linalg.norm(network.deviation(5j)[0], 2)))
    True
    """
    if over not in ("eigenvalues", "segment", "degree"):
        raise InputError(f"over = {over!r}; give 'eigenvalues', 'segment' or 'degree'")
    x = _frame(network, s, k)
    centre = smallest_disc(x.z, DISC_STEPS)
    found = []
    for c in (centre, np.zeros_like(centre)):
        r = np.abs(x.z - c[:, None]).max(axis=1)
        if over == "eigenvalues":
            delta = np.abs(c[:, None] + x.f[:, None] * network.eigenvalues[k:]).min(axis=1) - np.abs(x.f) * _rounding(network)
        else:
            delta = _to_segment(-c, x.f * x.least, x.f * _largest(network, over == "degree"))
        top = np.where(x.regular, 1 + (x.m1 * r) ** 2, np.inf)
        found.append(
            _bound("disc bound", "delta > r + M1 r^2", top, delta - r - x.m1 * r**2, x.finite, {"M1": x.m1, "r": r, "delta": delta})
        )
    disc, zero = found
    return Bound(disc.theorem, np.minimum(disc.value, zero.value), disc.holds | zero.holds, disc.ingredients, disc.hypothesis)


@dataclass(frozen=True)
class _Frame:
    """What every bound is made of, at F points."""

    z: Complex  # (F, n)
    f: Complex  # (F,), 0 at a pole
    finite: np.ndarray  # where f is
    least: float  # lambda_{k+1}, or the least eigenvalue of L across groups
    regular: np.ndarray  # where A is invertible
    m1: Real  # ||A^{-1}||, 0 where it is not
    alpha: Real
    q: Real


def _frame(network: Network, s: ArrayLike, k: int, partition: Partition | None = None) -> _Frame:
    require_nodes(network, "a coherence bound")
    require_connected(network.laplacian, network.labels, "a coherence bound")
    if partition is None:
        require_rank(network, k)
        v, own = network.slow_vectors(k), network.slow_values(k + 1)
        coupled, across, least = np.diag(own[:k]), None, max(float(own[k]) - _rounding(network), 0.0)
    else:
        if partition.labels != network.labels:
            raise InputError("the partition is of other nodes than this network's; build it from network.labels")
        v = _group_basis(partition)
        across = (network.laplacian @ v).T
        across[0] = 0.0  # L 1 = 0 exactly: rounding there would be weighed with 1/g_hat
        coupled = across @ v
        coupled[:, 0] = 0.0
        across = across - coupled @ v.T
        least = _least_across(network, v)
    points = laplace_points(s)
    z, f = network.nodes.inverse(points), network.coupling(points)
    finite = np.isfinite(f)
    f = np.where(finite, f, 0.0)
    size = max(1, CHUNK // (v.size or 1))
    parts = [_elimination(z[i : i + size], f[i : i + size], v, coupled, across) for i in range(0, len(points), size)]
    regular, m1, alpha, q = (np.concatenate([part[j] for part in parts]) for j in range(4))
    return _Frame(z, f, finite, least, regular.astype(bool), m1, alpha, q)


def _elimination(z: Complex, f: Complex, v: Real, coupled: Real, across: Real | None) -> tuple[Any, ...]:
    """Where A is regular, ||A^{-1}||, alpha = ||A^{-1} W|| and q = ||W' A^{-1} W||."""
    head = v.T @ (z[:, :, None] * v)
    w = z[:, None, :] * v.T - head @ v.T
    if across is not None:
        w = w + f[:, None, None] * across
    a = head + f[:, None, None] * coupled
    a_inverse, regular = _inverse(a)
    r: Any = np.linalg.qr(w.conj().swapaxes(1, 2), mode="r")
    root = r.conj().swapaxes(1, 2)  # W = root @ isometry
    alpha = np.linalg.norm(a_inverse @ root, 2, axis=(1, 2))
    q = np.linalg.norm(root.swapaxes(1, 2) @ a_inverse @ root, 2, axis=(1, 2))
    m1 = np.where(regular, np.linalg.norm(a_inverse, 2, axis=(1, 2)), 0.0)
    return regular, m1, alpha, q


def _group_basis(partition: Partition) -> Real:
    """P N^{-1/2} turned so that its first column is 1/sqrt(n): orthonormal, the span of the groups."""
    share = np.sqrt(partition.sizes / partition.sizes.sum())
    mirror = share.copy()
    mirror[0] += 1.0
    turn = np.eye(len(share)) - 2.0 * np.outer(mirror, mirror) / (mirror @ mirror)
    basis = (partition.indicator / np.sqrt(partition.sizes)) @ turn
    basis[:, 0] = 1.0 / np.sqrt(len(basis))
    return np.asarray(basis)


def _least_across(network: Network, v: Real) -> float:
    """The least eigenvalue of L on the complement of the span of V, from below by its rounding."""
    n, k = v.shape
    if n == k:
        return np.inf
    full = np.linalg.qr(v, mode="complete")[0][:, k:]
    return max(float(np.linalg.eigvalsh(full.T @ network.dense_laplacian @ full)[0]) - _rounding(network), 0.0)


def _rounding(network: Network) -> float:
    """What rounding may add to an eigenvalue of L: n eps times its size."""
    return network.size * float(np.finfo(float).eps) * degree_bound(network)


def _largest(network: Network, a_priori: bool) -> float:
    """lambda_n, or its bound by `degree_bound`."""
    if a_priori or sp.issparse(network.laplacian):
        return degree_bound(network)
    return float(network.eigenvalues[-1]) + _rounding(network)


def degree_bound(network: Network) -> float:
    """lambda_n <= max_i sum_j |L_ij| (Gershgorin): twice the largest degree where no weight is negative."""
    return float(np.max(abs(network.laplacian).sum(axis=1)))


def _to_segment(points: Complex, start: Complex, end: Complex) -> Real:
    """Distance of each point from its segment."""
    along = end - start
    length = np.abs(along) ** 2
    t = np.real((points - start) * along.conj()) / np.where(length > 0, length, 1.0)
    return np.asarray(np.abs(points - start - np.clip(t, 0.0, 1.0) * along))


def require_rank(network: Network, k: object) -> None:
    """Refuse a rank k that is no integer, out of range, or cuts through equal eigenvalues (then V_k means nothing)."""
    if network.size == 1:
        raise InputError("a network of one node moves as one; there is no deviation from coherence")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < network.size:
        raise InputError(f"k = {k!r} is out of range; give an integer 1 <= k <= {network.size - 1}")
    if k == 1:
        return
    values = network.slow_values(int(k) + 1)
    if values[k] - values[k - 1] <= 1e-9 * values[k]:
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


def _bound(theorem: str, hypothesis: str, top: Real, bottom: Real, finite: np.ndarray, ingredients: dict[str, Real]) -> Bound:
    holds = np.isfinite(top) & ((bottom > 0) | ~finite)
    value = np.full(len(top), np.inf)
    usable = holds & finite
    value[usable] = top[usable] / bottom[usable]
    value[holds & ~finite] = 0.0
    return Bound(theorem, value, holds, ingredients, hypothesis)
