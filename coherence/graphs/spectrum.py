r"""The slow eigenvectors of a weighted graph, in a basis that depends on the graph alone.

    W^{-1/2} L W^{-1/2} u = lambda u,   v = W^{-1/2} u solves L v = lambda W v,

with W the identity, the degrees or the inertias. Eigenvectors have no sign, and those of equal eigenvalues no basis: each set of
them is turned so that it is triangular with positive diagonal on its pivot rows, the first of the largest rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp

from coherence.errors import InputError
from coherence.numerics.sparse import least_eigenpairs
from coherence.types import Int, Real

LANCZOS = 600  # nodes of a sparse Laplacian from which on few eigenvectors are sought instead of all
DENSE = 5000  # nodes up to which a dense eigenvalue problem takes a minute
EQUAL = 1e-8  # relative distance of eigenvalues that count as one
COPIES = 30  # of an eigenvalue that are sought; of more, as in a complete graph, any basis will do
SAME = 1e-8  # relative distance of sizes that rounding may order either way; then the first counts as the largest


@dataclass(frozen=True)
class SlowBasis:
    """The least eigenvalues (q,) of W^{-1/2} L W^{-1/2}, orthonormal eigenvectors (n, q), W's diagonal (n,), and rounding."""

    values: Real
    vectors: Real
    weight: Real
    rounding: float

    @property
    def shapes(self) -> Real:
        """Modes of L v = lambda W v: W^{-1/2} u, orthonormal in W, (n, q)."""
        return self.vectors / np.sqrt(self.weight)[:, None]

    def apart(self, k: int) -> bool:
        """Whether lambda_{k+1} is larger than lambda_k, so that the k slowest modes span a space of their own."""
        return k >= len(self.values) or not _equal(self.values[k - 1], self.values[k], self.rounding)


def slow_basis(laplacian: Any, count: int, weight: Real | None = None) -> SlowBasis:
    """The `count` slowest modes of L v = lambda W v on a connected graph.

    Where the last one belongs to equal eigenvalues (at most some 30), it is one of a basis of them all, so that what is returned
    does not depend on the algorithm.

    Parameters
    ----------
    laplacian : (n, n) array or sparse array
    count : int
        1 <= count <= n.
    weight : (n,) array, optional
        Diagonal of W, positive; ones by default.
    """
    n = laplacian.shape[0]
    w = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
    rounding = 4 * np.finfo(float).eps * np.sqrt(n) * float((laplacian.diagonal() / w).max(initial=0.0))
    sought = min(count + 1, n)
    while True:
        values, vectors = _least(laplacian, sought, w)
        # the cluster of the last one is complete once a larger eigenvalue is seen
        if sought == n or sought > count + COPIES or not _equal(values[count - 1], values[-1], rounding):
            break
        sought = min(2 * sought, n)
    vectors = settled(values, vectors, rounding)
    return SlowBasis(values[:count], vectors[:, :count], w, rounding)


def _equal(small: float, large: float, rounding: float) -> bool:
    return bool(large - small <= max(EQUAL * large, rounding))


def _least(laplacian: Any, count: int, weight: Real) -> tuple[Real, Real]:
    n = laplacian.shape[0]
    if sp.issparse(laplacian):
        if n > LANCZOS and count < n // 2:
            return least_eigenpairs(laplacian, count, weight)
        if n > DENSE:
            raise InputError(f"{count} modes of {n} nodes are dense work (at most {DENSE} nodes); ask for fewer groups")
        laplacian = laplacian.toarray()
    root = np.sqrt(weight)
    scaled = laplacian / np.outer(root, root)
    null = root / np.linalg.norm(root)
    # the null vector is reflected onto e_1, so that it is exact
    mirror = null.copy()
    mirror[0] += 1.0
    mirror /= np.linalg.norm(mirror)
    half = scaled @ mirror
    turned = scaled - 2 * np.outer(mirror, half) - 2 * np.outer(half, mirror) + 4 * (mirror @ half) * np.outer(mirror, mirror)
    if count == 1:
        return np.zeros(1), null[:, None]
    values, inner = sla.eigh(turned[1:, 1:], subset_by_index=(0, count - 2))
    inner = np.vstack([np.zeros(count - 1), inner])
    vectors = inner - 2 * np.outer(mirror, mirror @ inner)
    return np.concatenate([[0.0], np.maximum(values, 0.0)]), np.column_stack([null, vectors])


def settled(values: Real, vectors: Real, rounding: float = 0.0) -> Real:
    """The same eigenspaces with signs and bases that do not depend on who computed them."""
    out, start = vectors.copy(), 0
    while start < len(values):
        stop = start + 1
        while stop < len(values) and _equal(values[stop - 1], values[stop], rounding):
            stop += 1
        block = vectors[:, start:stop]
        out[:, start:stop] = block @ pivot_rows(block)[1]
        start = stop
    return out


def pivot_rows(rows: Real) -> tuple[Int, Real]:
    """Column-pivoted QR of the transpose of rows (n, k): the k pivots, each the row of largest part orthogonal to those before it.

    Returns their positions and the orthonormal directions Q (k, k); rows[pivots] Q is lower triangular with positive diagonal.
    """
    rest, k = rows.copy(), rows.shape[1]
    pivots, directions = np.zeros(k, dtype=int), np.zeros((k, k))
    for j in range(k):
        size = np.linalg.norm(rest, axis=1)
        pivots[j] = first_largest(size)
        direction = rest[pivots[j]] - directions[:, :j] @ (directions[:, :j].T @ rest[pivots[j]])
        directions[:, j] = direction / np.linalg.norm(direction)
        rest -= np.outer(rest @ directions[:, j], directions[:, j])
    return pivots, directions


def first_largest(size: Real, axis: int = -1) -> Any:
    """Position of the largest along an axis; of those that are equal but for rounding the first."""
    top = size.max(axis=axis, keepdims=True)
    return (size >= top - SAME * np.abs(top)).argmax(axis=axis)
