r"""Groups around pivot nodes of the slow eigenvectors, on plain arrays: column-pivoted QR and reference machines.

    V_k^T Pi = Q R,  C the first k pivots,  V_C^T = U H (polar):   node i joins argmax_j |U^T V_k^T|_ji,
    L = V_k V_ref^{-1},  V_ref the pivot rows of Gaussian elimination with complete pivoting:   node i joins argmax_j L_ij.

(A. Damle, V. Minden and L. Ying, Simple, direct and efficient multi-way spectral clustering, 2019; J. Chow, Time-scale
modeling of dynamic networks with applications to power systems, 1982.)
"""

from __future__ import annotations

import numpy as np

from coherence.graphs.clustering import Clusters, scored
from coherence.graphs.spectrum import first_largest, pivot_rows
from coherence.types import Int, Real


def pivoted_qr(vectors: Real) -> Clusters:
    """Groups by column-pivoted QR of the transpose of eigenvectors (n, k); the scores are what is clustered."""
    pivots, _ = pivot_rows(vectors)
    left, _, right = np.linalg.svd(vectors[pivots].T)
    return scored(np.abs(vectors @ (left @ right)), pivots)


def reference_machines(shapes: Real) -> Clusters:
    """Groups by the largest entry of V V_ref^{-1}, whose rows sum to 1, for eigenvectors V (n, k) of M^{-1} L."""
    pivots = complete_pivots(shapes)
    scores = np.linalg.solve(shapes[pivots].T, shapes.T).T
    scores[pivots] = np.eye(len(pivots))  # which they are but for rounding
    return scored(scores, pivots)


def complete_pivots(shapes: Real) -> Int:
    """Pivot rows of Gaussian elimination with complete pivoting on (n, k), in the order they are taken.

    Examples
    --------
    >>> import numpy as np
    >>> complete_pivots(np.array([[1.0, 0.0], [1.0, 3.0], [2.0, 6.5]]))
    array([2, 0])
    """
    rest = shapes.copy()
    rows = np.zeros(shapes.shape[1], dtype=int)
    for step in range(len(rows)):
        i, j = np.unravel_index(int(first_largest(np.abs(rest).ravel())), rest.shape)
        rows[step] = i
        rest -= np.outer(rest[:, j], rest[i] / rest[i, j])
        rest[i], rest[:, j] = 0.0, 0.0
    return rows
