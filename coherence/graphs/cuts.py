r"""Partitions of small normalised cut, on plain arrays: spectral starts improved by moving single nodes.

    Ncut = sum_g cut(g) / vol(g) = sum_g 1_g' L 1_g / 1_g' D 1_g,    D = diag(L),

is k less the sum of a_g / vol_g, with a_g = 1_g' A 1_g the weight within and A = D - L. Moving node i from g to h changes it by

    (a_g - 2 B_ig) / (vol_g - d_i) - a_g / vol_g  +  (a_h + 2 B_ih) / (vol_h + d_i) - a_h / vol_h,    B_ig = sum_{j in g} A_ij.

The k least eigenvalues of D^{-1/2} L D^{-1/2} sum to the least cut of a relaxation. Rounding its eigenvectors, by whatever k-means,
minimises a distance to them and not the cut, so that the partition whose rows fit best need not cut least; the moves do look at the
cut (as in I. Dhillon, Y. Guan and B. Kulis, Weighted graph cuts without eigenvectors, 2007, node by node).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from coherence.graphs.clustering import k_means, rough_means
from coherence.graphs.pivots import pivoted_qr
from coherence.graphs.spectrum import SlowBasis
from coherence.types import Int, Real

STARTS = 4  # of either k-means: four times as many lower the cuts of two grids of 9216 nodes by a percent or two
PROMISING = 3  # starts of least cut, which are improved
PASSES = 100  # over the nodes on borders; 5 to 15 are usual
WORTH = 1e-12  # least decrease of the cut, which is of order 1, that is no rounding


def normalised_cut(laplacian: Any, assignment: Int) -> float:
    """Sum over groups of the weight of edges that leave it, over the degrees in it.

    Examples
    --------
    >>> import numpy as np
    >>> path = np.array([[1.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 1]])
    >>> round(normalised_cut(path, np.array([0, 0, 1, 1])), 12)
    0.666666666667
    """
    member = _members(assignment)
    leaving = np.asarray((member * (laplacian @ member)).sum(axis=0)).ravel()
    return float((leaving / (np.asarray(laplacian.diagonal()) @ member)).sum())


def least_cut(laplacian: Any, basis: SlowBasis, random_state: int) -> Int:
    """The least cut of what starts from k-means with and without weights d_i and from pivoted QR, improved by moves.

    Parameters
    ----------
    laplacian : (n, n) array or sparse array
    basis : SlowBasis
        Of W = D, as many modes as groups.
    random_state : int
    """
    k, points = basis.vectors.shape[1], basis.shapes
    if k == 1 or k == len(points):
        return k_means(points, k)
    starts = rough_means(points, k, (basis.weight, None), STARTS, random_state)
    starts.append(pivoted_qr(basis.vectors).assignment)
    order = np.argsort([normalised_cut(laplacian, start) for start in starts], kind="stable")
    ends = [improved(laplacian, starts[i]) for i in order[:PROMISING]]
    return ends[int(np.argmin([normalised_cut(laplacian, end) for end in ends]))]


def improved(laplacian: Any, assignment: Int) -> Int:
    """The assignment after single nodes at borders have moved as long as that lowers the normalised cut; no group empties.

    Examples
    --------
    >>> import numpy as np
    >>> path = np.array([[1.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 1]])
    >>> improved(path, np.array([0, 1, 1, 1])).tolist()
    [0, 0, 1, 1]
    """
    degree = np.asarray(laplacian.diagonal(), dtype=float)
    weights = sp.csr_array(sp.diags_array(degree) - sp.csr_array(laplacian))
    group, member = assignment.copy(), _members(assignment)
    toward = weights @ member  # B
    inside, volume, size = (member * toward).sum(axis=0), degree @ member, member.sum(axis=0)
    for _ in range(PASSES):
        border = np.flatnonzero((toward != 0).sum(axis=1) - (toward[np.arange(len(group)), group] != 0) > 0)
        gain = _gains(toward[border], group[border], degree[border], inside, volume, size).max(axis=1, initial=-np.inf)
        moved = False
        for i in border[np.argsort(-gain, kind="stable")][: int((gain > WORTH).sum())]:
            gains = _gains(toward[i : i + 1], group[i : i + 1], degree[i : i + 1], inside, volume, size)[0]  # as it is by now
            new, old = int(gains.argmax()), group[i]
            if gains[new] <= WORTH:
                continue
            inside += 2 * (toward[i] * ((np.arange(len(size)) == new) * 1.0 - (np.arange(len(size)) == old)))
            volume[[old, new]] += [-degree[i], degree[i]]
            size[[old, new]] += [-1, 1]
            near = slice(weights.indptr[i], weights.indptr[i + 1])
            toward[weights.indices[near], old] -= weights.data[near]
            toward[weights.indices[near], new] += weights.data[near]
            group[i], moved = new, True
        if not moved:
            break
    return group


def _gains(toward: Real, own: Int, degree: Real, inside: Real, volume: Real, size: Real) -> Real:
    """How much the cut decreases where each of some nodes moves to each group, (nodes, groups); -inf where it cannot move."""
    rows = np.arange(len(own))
    left = np.where(size[own] > 1, volume[own] - degree, 1.0)
    leaving = (inside[own] - 2 * toward[rows, own]) / left - inside[own] / volume[own]
    gain = leaving[:, None] + (inside + 2 * toward) / (volume + degree[:, None]) - inside / volume
    gain[size[own] == 1] = -np.inf
    gain[rows, own] = -np.inf
    return np.asarray(gain)


def _members(assignment: Int) -> Real:
    return (assignment[:, None] == np.arange(int(assignment.max()) + 1)).astype(float)
