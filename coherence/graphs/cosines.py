r"""Groups by a tolerance on cosines between rows of the slow eigenvectors, on plain arrays: loose and tight coherency.

    x_i = V_i / |V_i|,   i and j are coherent where x_i . x_j > tol.

Loose groups are the transitive closure of that. A group is tight where every row sum over its other members,
sum_j (x_i . x_j - tol), is positive; loose groups that are not tight are split: the node of least row sum leaves until those that
stay are tight, those that left come back where that leaves all sums positive, and the rest is split in turn. With
S = sum_j x_j the row sum is x_i . S - 1 - (size - 1) tol, so no n x n matrix is formed.
(J. Chow, R. Galarza, P. Accari and W. Price, Inertial and slow coherency aggregation algorithms, 1995.)
"""

from __future__ import annotations

import numpy as np

from coherence.types import Int, Real

CHUNK = 256  # nodes whose neighbours are sought at once
ZERO = 1e-12  # of the number of summands: row sums below it are rounding


def loose_groups(rows: Real, tolerance: float) -> Int:
    """Components of the graph of pairs with cosine above the tolerance, for unit rows (n, k)."""
    group = np.full(len(rows), -1)
    left, count = np.arange(len(rows)), 0
    while left.size:
        frontier, left = left[:1], left[1:]
        while frontier.size:
            now, frontier = frontier[:CHUNK], frontier[CHUNK:]
            group[now] = count
            near = (rows[left] @ rows[now].T > tolerance).any(axis=1)
            frontier, left = np.concatenate([frontier, left[near]]), left[~near]
        count += 1
    return group


def tight_groups(rows: Real, tolerance: float) -> Int:
    """Loose groups split until every node's cosines to the others of its group exceed the tolerance on average."""
    group, count = np.full(len(rows), -1), 0
    loose = loose_groups(rows, tolerance)
    waiting = _parts(np.arange(len(rows)), loose)
    while waiting:
        members = waiting.pop()
        kept, gone = _tight_core(rows, members, tolerance)
        group[kept] = count
        count += 1
        if gone.size:
            waiting += _parts(gone, loose_groups(rows[gone], tolerance))
    return group


def _parts(members: Int, group: Int) -> list[Int]:
    order = np.argsort(group, kind="stable")
    return list(np.split(members[order], np.flatnonzero(np.diff(group[order])) + 1))


def row_sums(rows: Real, tolerance: float) -> Real:
    """Sum over the other rows of (cosine - tolerance), for each of some unit rows."""
    sums = rows @ rows.sum(axis=0) - 1.0 - (len(rows) - 1) * tolerance
    return np.where(np.abs(sums) <= ZERO * len(rows), 0.0, sums)


def _tight_core(rows: Real, members: Int, tolerance: float) -> tuple[Int, Int]:
    """Members that stay together, and those that leave."""
    kept, gone = members, []
    while len(kept) > 1:
        sums = row_sums(rows[kept], tolerance)
        worst = int((sums <= sums.min() + ZERO * len(kept)).argmax())
        if sums[worst] > 0:
            break
        gone.append(kept[worst])
        kept = np.delete(kept, worst)
    still = []
    for i in reversed(gone):  # the last to leave fits best
        tried = np.append(kept, i)
        if row_sums(rows[tried], tolerance).min() > 0:
            kept = tried
        else:
            still.append(i)
    return np.sort(kept), np.sort(np.array(still, dtype=int))
