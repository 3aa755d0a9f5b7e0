r"""The refined Laplacian of Algorithm 1: the k least eigenvalues of L, on the groups.

    L_k = S^{-T} Lambda_k S^{-1} = N S Lambda_k S^T N,  N = diag|I_i|,
    S = argmin ||V_k - P S||_F  subject to  S e_1 = 1/sqrt(n),  S^T N S = I                      (3.34)

The constraints say that P S is an orthonormal basis whose first column is 1/sqrt(n). Its other columns N^{1/2} S are
orthonormal and orthogonal to u = N^{1/2} 1/sqrt(n) (printed in the source as N^{-1/2} 1, which breaks S^T N S = I for groups of
unequal size); with Q a basis of the complement of u the problem is orthogonal Procrustes, solved by one SVD (3.44)-(3.45).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError
from coherence.graphs.laplacian import components, require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.types import Real

APART = 1e-9  # relative distance of lambda_k and lambda_{k+1} below which V_k is not defined


def require_partition(network: Network, partition: object) -> Partition:
    """The partition, or one sentence why it is none of this network."""
    if not isinstance(partition, Partition):
        raise InputError(
            f"the partition is a {type(partition).__name__}; build one with Partition.of(groups, labels=network.labels)"
        )
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    return partition


def refined_laplacian(network: Network, partition: Partition) -> tuple[Real, float]:
    """L_k (k, k) and the embedding error ||V_k - P S||_F.

    Raises
    ------
    InputError
        lambda_k = lambda_{k+1}.
    DisconnectedError
        The network falls apart.
    """
    require_connected(network.laplacian, network.labels, "the refined aggregation")
    k = partition.k
    values, vectors = _slowest(network, k)
    if not slowest_defined(values, k):
        raise InputError(
            f"lambda_{k} = lambda_{k + 1} = {values[k]:.6g}: the {k} slowest directions are not defined, so "
            "there is no refinement; take another number of groups or interconnection='quotient'"
        )
    s, error = refinement(vectors, partition)
    sizes = partition.sizes.astype(float)
    root = sizes[:, None] * s * np.sqrt(np.maximum(values[:k], 0.0))
    reduced = root @ root.T
    reduced -= np.diag(reduced.sum(axis=1))  # row sums are zero in exact arithmetic
    return reduced, error


def slowest_defined(values: Real, k: int) -> bool:
    """Whether lambda_k < lambda_{k+1} (or there is none such), so that V_k means something."""
    return not 1 < k < len(values) or bool(values[k] - values[k - 1] > APART * values[k])


def _slowest(network: Network, k: int) -> tuple[Real, Real]:
    """The k + 1 least eigenvalues of L (n where k = n) and V_k; few of a sparse connected L by shift-invert."""
    if components(network.laplacian).max() > 0:
        return network.eigenvalues[: k + 1], network.eigenvectors[:, :k]
    return network.slow_values(min(k + 1, network.size)), network.slow_vectors(k)


def principal_angle(network: Network, partition: Partition) -> float:
    """The largest principal angle between span P and span V_k [degrees]; NaN where V_k is not defined."""
    values, vectors = _slowest(network, partition.k)
    if not slowest_defined(values, partition.k):
        return float("nan")
    basis = partition.indicator / np.sqrt(partition.sizes)
    cosine = np.linalg.svd(basis.T @ vectors, compute_uv=False)[-1]
    return float(np.degrees(np.arccos(np.clip(cosine, 0.0, 1.0))))


def refinement(eigenvectors: Real, partition: Partition) -> tuple[Real, float]:
    """S of (3.34) and ||V_k - P S||_F.

    Parameters
    ----------
    eigenvectors : (n, k) array
        V_k, orthonormal, first column 1/sqrt(n).
    partition : Partition
        Of k groups.

    Returns
    -------
    (k, k) array, float
    """
    n, k = eigenvectors.shape
    if partition.k != k:
        raise InputError(f"the partition has {partition.k} groups for {k} eigenvectors; they must agree")
    root = np.sqrt(partition.sizes.astype(float))
    first = np.full((k, 1), 1.0 / np.sqrt(n))
    if k == 1:
        return first, float(np.linalg.norm(eigenvectors - partition.indicator @ first))
    u = (root / np.sqrt(n))[None, :]
    q = sla.null_space(u)
    left, _, right = np.linalg.svd(q.T @ (partition.indicator / root).T @ eigenvectors[:, 1:])
    s = np.hstack([first, (q @ left @ right) / root[:, None]])
    return s, float(np.linalg.norm(eigenvectors - partition.indicator @ s))
