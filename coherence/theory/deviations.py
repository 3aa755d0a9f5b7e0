r"""Deviations of T from its coherent part, as matrices and by their spectral norms, all by elimination.

    T - g_hat 11^T,   T - T_k,   T - P (P^T Y P)^{-1} P^T,   T - T_hat_k

so that values keep their digits where both terms are huge. For the refined model T_hat_k = P (P^T G^{-1} P + f L_k)^{-1} P^T
the exact k x k difference to the quotient is added: with E_q, E_k the deviations of the two k-node networks from uniform motion,
T_q - T_hat_k = E_q f (L_k - P^T L P) E_k, because (L_k - P^T L P) 1 = 0. Curves with bounds: `incoherence`; inputs: `columns`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes
from coherence.numerics.deflation import group_deviation, modal_deviation, uniform_deviation
from coherence.numerics.deviation import Deviation
from coherence.numerics.spectral import TOLERANCE
from coherence.numerics.threads import single_thread
from coherence.theory.bounds import require_rank
from coherence.types import ArrayLike, Complex, Real, laplace_points

ENTRIES = 4_000_000  # matrix entries held at a time: 64 MB a temporary
DIRECT = 100  # nodes up to which the matrix is formed and its singular values are taken


def deviation_norms(
    network: Network,
    s: ArrayLike,
    *,
    k: int = 1,
    partition: Partition | None = None,
    reduced: Network | None = None,
    tolerance: float = TOLERANCE,
) -> Real:
    """The spectral norms of `incoherence` alone, at Laplace points, (F,)."""
    points = laplace_points(s)
    if network.size <= DIRECT and not sp.issparse(network.laplacian):
        if partition is None:
            return spectral_norms(lambda part: modal_error(network, part, k), points, network.size)
        return spectral_norms(lambda part: group_error(network, part, partition, reduced), points, network.size)
    z, p, q = evaluated(network, points, "incoherence")
    if partition is None:
        directions = None if k == 1 else network.slow_vectors(k)[:, 1:]
        return Deviation(network.laplacian, directions).norms(z, p, q, tolerance=tolerance)
    indicator = _indicator(network, partition, reduced)
    directions = None if partition.k == 1 else indicator[:, 1:]
    extra = None if reduced is None else (indicator, _refinement(network, points, partition, reduced, z, p, q))
    return Deviation(network.laplacian, directions).norms(z, p, q, extra, tolerance=tolerance)


def uniform_distances(network: Network, s: ArrayLike, motion: Complex) -> Real:
    """||T - motion 11'||_2 for a uniform motion (F,) that need not be g_hat; the network need not be connected."""
    z, p, q = evaluated(network, s, "the distance from uniform motion")
    rest = (1.0 / z.sum(axis=1) - motion)[:, None, None]
    if network.size > DIRECT or sp.issparse(network.laplacian):
        return Deviation(network.laplacian).norms(z, p, q, (np.ones((network.size, 1)), rest))
    with single_thread(network.size):
        return np.asarray(np.linalg.norm(uniform_deviation(z, p, q, network.laplacian) + rest, 2, axis=(1, 2)))


def spectral_norms(matrices: Callable[[Complex], Complex], s: Complex, n: int) -> Real:
    """||M(s)||_2 of (F, n, n) matrices, made a few frequencies at a time so that memory stays flat."""
    chunk = max(1, ENTRIES // n**2)
    with single_thread(n):
        return np.concatenate([np.linalg.norm(matrices(s[i : i + chunk]), 2, axis=(1, 2)) for i in range(0, len(s), chunk)])


def modal_error(network: Network, s: ArrayLike, k: int) -> Complex:
    """T - T_k, the deviation from the modal model of rank k.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
    k : int
        1 <= k < n with lambda_k < lambda_{k+1}.

    Returns
    -------
    (F, n, n) complex

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    PoleError
        s is a pole of T.

    References
    ----------
    H. Min, dissertation (2023), Section 3.2.2, Theorem 3.8.

    Examples
    --------
    >>> from coherence import linearize, load_case, modal_error
    >>> modal_error(linearize(load_case("iceland")), [0.1j], 3).shape
    (1, 35, 35)
    """
    require_rank(network, k)
    if k == 1:
        return network.deviation(s)
    z, p, q = evaluated(network, s, "the modal error")
    return modal_deviation(z, p, q, network.eigenvalues, network.eigenvectors, k)


def group_error(network: Network, s: ArrayLike, partition: Partition, reduced: Network | None = None) -> Complex:
    """T - P T_red P^T, shape (F, n, n), for a network on the same groups.

    Parameters
    ----------
    network : Network
    s : (F,) complex
        Laplace points.
    partition : Partition
        Of network.labels.
    reduced : Network, optional
        One node per group with the aggregated node inverses and another Laplacian (the refined L_k). None: the quotient
        P^T L P. Reduced networks whose nodes were truncated differ from `network` as systems; compare those instead.

    Returns
    -------
    (F, n, n) complex

    Raises
    ------
    InputError
        A partition of other nodes, a reduced network of other size, or one whose nodes were truncated.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3, equation (3.31).

    Examples
    --------
    >>> from coherence import aggregate, group_error, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> groups = spectral_groups(network, 3)
    >>> group_error(network, [1j], groups, aggregate(network, groups).network).shape
    (1, 35, 35)
    """
    indicator = _indicator(network, partition, reduced)
    z, p, q = evaluated(network, s, "the group error")
    error = group_deviation(z, p, q, network.dense_laplacian, partition.assignment)
    if reduced is None or partition.k == 1:
        return error
    return error + indicator @ _refinement(network, laplace_points(s), partition, reduced, z, p, q) @ indicator.T


def _indicator(network: Network, partition: Partition, reduced: Network | None) -> Real:
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    if reduced is not None and reduced.size != partition.k:
        raise InputError(f"the reduced network has {reduced.size} nodes, the partition {partition.k} groups")
    return partition.indicator


def _refinement(
    network: Network, s: Complex, partition: Partition, reduced: Network, z: Complex, p: Complex, q: Complex
) -> Complex:
    """T_q - T_reduced = E_q f (L_k - P^T L P) E_k between the two k-node networks, (F, k, k)."""
    indicator = partition.indicator
    quotient = indicator.T @ (network.laplacian @ indicator)
    inverse = z @ indicator
    if (np.abs(reduced.nodes.inverse(s) - inverse) > 1e-9 * (np.abs(z) @ indicator)).any():
        raise InputError(
            "the nodes of the reduced network are not the sums of the groups' (they were truncated); compare it with step_error"
        )
    ours = uniform_deviation(inverse, p, q, quotient)
    theirs = uniform_deviation(inverse, p, q, reduced.dense_laplacian)
    safe = np.where(q == 0, 1.0, q)
    return ours @ ((reduced.dense_laplacian - quotient) * (p / safe)[:, None, None]) @ theirs


def evaluated(network: Network, s: ArrayLike, what: str) -> tuple[Complex, Complex, Complex]:
    """Node inverses (F, n) and the coupling as a quotient p/q, (F,) each."""
    require_nodes(network, what)
    points = laplace_points(s)
    return network.nodes.inverse(points), network.coupling.numerator(points), network.coupling.denominator(points)
