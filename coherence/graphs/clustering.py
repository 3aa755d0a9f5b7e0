r"""Clusterings of a Laplacian: Bach-Jordan spectral clustering, on plain arrays.

The k smallest eigenvectors U of D^{-1/2} L D^{-1/2} give the points x_i = U_i / sqrt(d_i); weighted k-means with weights d_i
minimises sum_i d_i |x_i - mu_group(i)|^2, the distance between the span of U and the piecewise constant vectors
(F. Bach and M. Jordan, Learning spectral clustering, 2003).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError
from coherence.types import Int, Real

RESTARTS = 50  # of k-means: enough that further ones changed no grouping tried


def bach_jordan(laplacian: Real, k: int, *, random_state: int = 0) -> Int:
    """Group index of each node, groups numbered by their first node.

    Parameters
    ----------
    laplacian : (n, n) array
    k : int
        Number of groups, 1 <= k <= n.
    random_state : int
        Seed of the k-means restarts.
    """
    n = len(laplacian)
    if not 1 <= k <= n:
        raise InputError(f"{k} groups were asked of {n} nodes; give 1 <= groups <= {n}")
    if k == 1:
        return np.zeros(n, dtype=int)
    if k == n:
        return np.arange(n)
    _, points, degree = embedding(laplacian, k)
    from sklearn.cluster import KMeans

    means = KMeans(k, n_init=RESTARTS, random_state=random_state)
    return renumbered(np.asarray(means.fit_predict(points, sample_weight=degree)))


def embedding(laplacian: Real, k: int) -> tuple[Real, Real, Real]:
    """The k least eigenvalues of D^{-1/2} L D^{-1/2}, the points x_i (n, k) that are clustered, and their weights d_i (n,)."""
    degree = np.diag(laplacian).copy()
    if (degree <= 0).any():
        i = int(np.argmax(degree <= 0))
        raise InputError(f"node number {i} has degree {degree[i]:g}; spectral clustering needs every node connected")
    root = np.sqrt(degree)
    values, vectors = sla.eigh(laplacian / np.outer(root, root), subset_by_index=(0, k - 1))
    return values, vectors / root[:, None], degree


def largest_eigengap(eigenvalues: Real, *, most: int = 10) -> int:
    """K with the largest ratio lambda_{k+1}/lambda_k for 2 <= k <= most: the number of groups the spectrum suggests."""
    values = np.asarray(eigenvalues)
    top = min(most, len(values) - 1)
    if top < 2:
        return len(values)
    ratio = values[2 : top + 1] / values[1:top]
    return int(ratio.argmax()) + 2


def renumbered(assignment: Int) -> Int:
    """The same clustering with groups numbered in the order of their first node."""
    _, first, inverse = np.unique(assignment, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
