r"""Clusterings of points of a graph: k-means by scikit-learn, how certain a node's group is, and how far clusterings agree.

Weighted k-means minimises sum_i w_i |x_i - mu_group(i)|^2. With U the k least eigenvectors of D^{-1/2} L D^{-1/2},
x_i = U_i / sqrt(d_i) and w_i = d_i that is the distance between the span of U and the piecewise constant vectors
(F. Bach and M. Jordan, Learning spectral clustering, 2003).

How certain a node's group is: its distance to the centre of the others of its group, against that to the nearest other centre,

    margin_i = max(0, 1 - |x_i - mu_own without i| / min_{g != own} |x_i - mu_g|),   1 for a node that is a group alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from coherence.errors import InputError
from coherence.graphs.spectrum import SAME, first_largest
from coherence.types import Int, Real

RESTARTS = 50  # of k-means: enough that further ones changed no grouping tried
LARGE = 2000  # points from twice as many on of which an even sample is clustered first: starts differ by which clusters they find
SAMPLED = 20  # of these, on the sample
SAMPLE = 1000  # points that rough clusterings look at
ORDERED = 1e-9  # of the largest coordinate: points are sorted by what is larger than rounding
DISTINCT = 1e-12  # likewise: points closer than that are one


@dataclass(frozen=True)
class Clusters:
    """A clustering (n,), the points that were clustered (n, q), one reference point per cluster (k,), and margins (n,)."""

    assignment: Int
    points: Real
    references: Int
    margins: Real


def degrees(laplacian: Any) -> Real:
    """The diagonal of L, positive."""
    degree = np.array(laplacian.diagonal(), dtype=float)
    if (degree <= 0).any():
        i = int(np.argmax(degree <= 0))
        raise InputError(f"node number {i} has degree {degree[i]:g}; spectral clustering needs every node connected")
    return degree


def require_groups(k: int, n: int) -> int:
    """K, if n nodes can form that many groups."""
    if not 1 <= k <= n:
        raise InputError(f"{k} groups were asked of {n} nodes; give 1 <= groups <= {n}")
    return int(k)


def k_means(points: Real, k: int, *, weight: Real | None = None, random_state: int = 0, rough: bool = False) -> Int:
    """The best of many k-means clusterings; the same for any order of the points.

    Parameters
    ----------
    points : (n, q) array
    k : int
    weight : (n,) array, optional
    random_state : int
        Seed of the starts.

    Raises
    ------
    InputError
        Fewer distinct points than groups.

    Examples
    --------
    >>> import numpy as np
    >>> k_means(np.array([[0.0], [5.0], [0.1], [5.2]]), 2).tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    True
    """
    n = len(points)
    if k == 1:
        return np.zeros(n, dtype=int)
    scale = max(float(np.abs(points).max()), np.finfo(float).tiny)
    if not _many_places(points, k, DISTINCT * scale):
        near = points[np.lexsort(points.T)]
        distinct = 1 + int((np.abs(np.diff(near, axis=0)) > DISTINCT * scale).any(axis=1).sum())
        if distinct < k:
            raise InputError(
                f"{k} groups were asked of {n} nodes with only {distinct} distinct places; give 1 <= groups <= {distinct}"
            )
    if k == n:
        return np.arange(n)
    from sklearn.cluster import KMeans

    order = _order(points, scale)
    found = np.empty(n, dtype=int)
    ordered, weights = points[order], None if weight is None else weight[order]
    with _threads().limit(limits=1):  # sums of one thread have one order, so that the same seed gives the same digits
        step = max(1, n // LARGE)
        means = KMeans(k, n_init=RESTARTS if step == 1 else SAMPLED, tol=0.0, random_state=random_state)
        if step > 1 and _many_places(ordered[::step], k, DISTINCT * scale):
            sample = means.fit(ordered[::step], sample_weight=None if weights is None else weights[::step])
            means = KMeans(k, init=sample.cluster_centers_, n_init=1, tol=0.0)
        found[order] = means.fit_predict(ordered, sample_weight=weights)
    return found


def _many_places(points: Real, k: int, distance: float) -> bool:
    """Whether k points are seen to be further apart than a distance, each found as the furthest from those before it."""
    nearest = np.full(len(points), np.inf)
    for _ in range(k - 1):
        nearest = np.minimum(nearest, np.abs(points - points[nearest.argmax()]).max(axis=1))
        if nearest.max() <= distance:
            return False
    return True


def _order(points: Real, scale: float) -> Int:
    """Points by their second coordinate (the first mode says least), those of equal ones by the next, and so on, the first last.

    Starts of k-means are drawn by position: with sorted points they are the same however the nodes are numbered.
    """
    rows = np.round(np.roll(points, -1, axis=1) / (ORDERED * scale))
    order = np.argsort(rows[:, 0], kind="stable")
    same = np.diff(rows[order, 0]) == 0
    tied = np.append(same, False) | np.append(False, same)
    order[tied] = order[tied][np.lexsort(rows[order[tied]].T[::-1])]
    return order


def rough_means(points: Real, k: int, weights: Sequence[Real | None], starts: int, random_state: int) -> list[Int]:
    """Clusterings by k-means, one for each of some starts and weights, from some thousand of the points, evenly drawn.

    Varied ones, of which something else chooses; every group has a point.
    """
    from sklearn.cluster import KMeans

    scale = max(float(np.abs(points).max()), np.finfo(float).tiny)
    order = _order(points, scale)
    some = order[:: max(1, len(points) // SAMPLE)]
    if not _many_places(points[some], k, DISTINCT * scale):
        return [k_means(points, k, weight=weight, random_state=random_state) for weight in weights]
    found = []
    with _threads().limit(limits=1):
        for weight in weights:
            sample = None if weight is None else weight[some]
            for start in range(starts):
                means = KMeans(k, n_init=1, random_state=random_state + start).fit(points[some], sample_weight=sample)
                centres = means.cluster_centers_
                nearest = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
                nearest[some] = means.labels_  # of which each group has one
                found.append(nearest)
    return found


@lru_cache
def _threads() -> Any:
    """Found once, after scikit-learn has loaded its own."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def centred(assignment: Int, points: Real, weight: Real | None = None) -> Clusters:
    """A clustering with the member nearest to each centre as its reference, and margins between centres."""
    k, n = int(assignment.max()) + 1, len(points)
    w = np.ones(n) if weight is None else weight
    total = np.bincount(assignment, weights=w, minlength=k)
    sums = np.column_stack([np.bincount(assignment, weights=w * column, minlength=k) for column in points.T])
    centres = sums / total[:, None]
    size = np.linalg.norm(points - centres[assignment], axis=1)
    by_group = np.lexsort((size, assignment))
    least = size[by_group[np.searchsorted(assignment[by_group], np.arange(k))]]
    scale = float(np.abs(points).max(initial=0.0))
    near = np.flatnonzero(size <= least[assignment] + SAME * scale)  # of equally central nodes the first
    references = near[np.unique(assignment[near], return_index=True)[1]]
    alone = np.bincount(assignment, minlength=k)[assignment] == 1
    if k == 1:
        return Clusters(assignment, points, references, np.ones(n))
    from scipy.spatial import KDTree

    distance, which = KDTree(centres).query(points, k=2)
    following = np.where(which[:, 0] == assignment, distance[:, 1], distance[:, 0])
    rest = np.where(alone, 1.0, total[assignment] - w)
    own = np.linalg.norm((sums[assignment] - w[:, None] * points) / rest[:, None] - points, axis=1)
    ratio = np.where(following > 0, own / np.where(following > 0, following, 1.0), 1.0)
    return Clusters(assignment, points, references, np.where(alone, 1.0, np.clip(1.0 - ratio, 0.0, 1.0)))


def scored(scores: Real, references: Int) -> Clusters:
    """Each node in the group of its largest score, pivots in their own; margin = 1 - next / own, both at least 0."""
    n, k = scores.shape
    assignment = np.asarray(first_largest(scores, axis=1), dtype=int)
    assignment[references] = np.arange(k)  # with which no group is empty
    if k == 1:
        return Clusters(assignment, scores, references, np.ones(n))
    own = scores[np.arange(n), assignment]
    others = scores.copy()
    others[np.arange(n), assignment] = -np.inf
    ratio = np.maximum(others.max(axis=1), 0.0) / np.where(own > 0, own, 1.0)
    return Clusters(assignment, scores, references, np.where(own > 0, np.clip(1.0 - ratio, 0.0, 1.0), 0.0))


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


def adjusted_rand(one: Int, other: Int) -> float:
    """The adjusted Rand index of two clusterings: 1 where they agree, 0 on average by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))
