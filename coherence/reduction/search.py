r"""Which nodes may be one: groupings for the error of a reduced network over a band, and how few groups can be enough.

At sampled frequencies R = T / ||T||. Two nodes respond alike to all disturbances where

    D_ij = max over omega of ||(e_i - e_j)^T R||_2

is small. Whatever the nodes and the interconnection of a reduced network, P T_k P^T lies in the span of the groups, so that its
error is at least ||(I - Q Q^T) R|| (and some k x k matrix attains that: Parrott), hence at least D_ij / sqrt 2 for any i, j of one
group, and at least the (k+1)-th singular value of R (Eckart-Young). So a set of nodes of which any two are farther apart than
sqrt 2 times the tolerance needs a group for each.

Groupings: complete, average and Ward linkage of D, the methods of `coherent_groups`, and from the best of them a descent:
nodes move to other groups, and pairs of groups are joined, as long as the error falls or the tolerance is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from coherence.errors import CoherenceError
from coherence.graphs.clustering import renumbered
from coherence.graphs.partition import Partition
from coherence.groups.spectral import coherent_groups
from coherence.network.network import Network
from coherence.numerics.threads import single_thread
from coherence.theory.certificate import output_map
from coherence.types import Complex, Int, Real

LINKAGES = ("complete", "average", "ward")
METHODS = ("bach_jordan", "slow_coherency", "reference_machines")
WORK = 4e9  # of (frequencies x n^3) that a descent may take at one number of groups
PAIRS = 12  # of groups that are tried to be joined


class Samples:
    """T at sampled frequencies, and errors of reduced networks there: U = T f, which needs no f."""

    def __init__(self, network: Network, omega: Real, *, decay: float = 0.0, outputs: str = "nodes") -> None:
        self.network, self.outputs, self.decay = network, outputs, decay
        self.omega = np.zeros(0)
        n = network.size
        self.zeta = np.zeros((0, n), dtype=complex)
        self.u = np.zeros((0, n, n), dtype=complex)
        self.size = np.zeros(0)
        self.add(omega)

    def add(self, omega: Real) -> None:
        """Take more frequencies in."""
        new = np.setdiff1d(omega, self.omega)
        s = self.decay + 1j * new
        zeta = self.network.nodes.inverse(s) / self.network.coupling(s)[:, None]
        with single_thread(self.network.size):
            u = np.linalg.inv(self.network.dense_laplacian + zeta[:, :, None] * np.eye(self.network.size))
            size = np.linalg.norm(u, 2, axis=(1, 2))
        self.omega = np.concatenate([self.omega, new])
        self.zeta, self.u, self.size = np.concatenate([self.zeta, zeta]), np.concatenate([self.u, u]), np.concatenate([self.size, size])

    def inverses(self, reduced: Network) -> Complex:
        """G_k^{-1} / f of a reduced network, (F, k)."""
        s = self.decay + 1j * self.omega
        return np.asarray(reduced.nodes.inverse(s) / reduced.coupling(s)[:, None])

    def distances(self) -> Real:
        """D, (n, n)."""
        largest = np.zeros(self.u.shape[1:])
        for u, size in zip(self.u, self.size, strict=True):
            gram = (u @ u.conj().T).real / size**2
            own = np.diag(gram)
            largest = np.maximum(largest, own[:, None] + own - 2 * gram)
        return np.sqrt(np.maximum(largest, 0.0))

    def floor(self, partition: Partition) -> float:
        """The least error of any model of these groups, ||(I - QQ') R||."""
        mapped = self._mapped(partition)
        scaled = partition.indicator / np.sqrt(partition.sizes)
        side = mapped - (mapped @ scaled) @ scaled.T
        return float((_norms(side) / self.size).max())

    def model(self, zeta: Complex, laplacian: Real) -> Complex:
        """U_k of node inverses (F, k) and a Laplacian."""
        with single_thread(zeta.shape[1]):
            return np.asarray(np.linalg.inv(laplacian + zeta[:, :, None] * np.eye(zeta.shape[1])))

    def errors(self, partition: Partition, zeta: Complex | None = None, laplacian: Real | None = None) -> Real:
        """Relative errors (F,) of the quotient, or of other nodes and another Laplacian."""
        p = partition.indicator
        zeta = self.zeta @ p if zeta is None else zeta
        laplacian = p.T @ self.network.dense_laplacian @ p if laplacian is None else laplacian
        with single_thread(self.network.size):
            return np.asarray(_norms(self._mapped(partition) - p @ self.model(zeta, laplacian) @ p.T) / self.size)

    def rank_floor(self) -> Real:
        """Error that no model of k nodes goes below, by k from 1: the largest (k+1)-th singular value of R."""
        values = np.linalg.svd(self.u, compute_uv=False) / self.size[:, None]
        return np.append(values.max(axis=0)[1:], 0.0)

    def _mapped(self, partition: Partition) -> Complex:
        outputs = output_map(self.network, partition, self.outputs)
        return self.u if outputs is None else np.asarray(outputs @ self.u)


def _norms(matrices: Complex) -> Real:
    return np.asarray(np.linalg.norm(matrices, 2, axis=(1, 2)))


def least_groups(samples: Samples, tolerance: float) -> int:
    """A number of groups that every model within the tolerance has at least; see the module.

    Nodes far from each other are picked greedily, the most distant first.
    """
    if samples.outputs != "nodes":
        return 1
    distance = samples.distances()
    n, apart = len(distance), np.sqrt(2.0) * tolerance
    best = int(np.searchsorted(-samples.rank_floor(), -tolerance)) + 1
    for start in range(n):
        near, count = distance[start].copy(), 1
        while (near > apart).any():
            i = int(np.where(near > apart, near, -1.0).argmax())
            near, count = np.minimum(near, distance[i]), count + 1
        best = max(best, count)
    return min(best, n)


class GroupSearch:
    """The groupings of a network that are good for a band, by number of groups; each is looked for once."""

    def __init__(self, samples: Samples, random_state: int = 0) -> None:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        self.samples, self.random_state = samples, random_state
        self.network = samples.network
        self.distance = samples.distances()
        self.trees = [linkage(squareform(self.distance, checks=False), method) for method in LINKAGES] if len(self.distance) > 1 else []
        self.found: dict[int, tuple[Partition, float]] = {}

    def partition(self, assignment: Int) -> Partition:
        """Groups "1", "2", ... by their first node."""
        return Partition.of([str(g + 1) for g in renumbered(assignment)], labels=self.network.labels)

    def error(self, assignment: Int) -> float:
        """Of the quotient, or its floor where the quotient has a pole."""
        return float(self.samples.errors(self.partition(assignment)).max())

    def candidates(self, k: int) -> Iterator[Int]:
        """Groupings to begin with."""
        from scipy.cluster.hierarchy import fcluster

        n = self.network.size
        if k in (1, n):
            yield np.arange(n) if k == n else np.zeros(n, dtype=int)
            return
        for tree in self.trees:
            found = fcluster(tree, k, "maxclust") - 1
            if found.max() == k - 1:
                yield found
        for method in METHODS:
            try:
                yield coherent_groups(self.network, k, method=method, random_state=self.random_state, allow_ties=True).assignment
            except CoherenceError:
                continue

    def at(self, k: int, more: Iterator[Int] | tuple[Int, ...] = ()) -> tuple[Partition, float]:
        """The best grouping in k groups that was found, and its error as a quotient."""
        if k not in self.found:
            tried = [(self.error(a), a) for a in (*self.candidates(k), *more)]
            error, best = min(tried, key=lambda pair: pair[0])
            best, error = self._descend(best, error)
            self.found[k] = self.partition(best), error
        return self.found[k]

    def joined(self, partition: Partition) -> Iterator[Int]:
        """Groupings of one group less: the pairs of groups that are nearest, joined."""
        a, k = partition.assignment, partition.k
        apart = np.array([[self.distance[np.ix_(a == i, a == j)].max() for j in range(k)] for i in range(k)])
        first, second = np.triu_indices(k, 1)
        for e in np.argsort(apart[first, second], kind="stable")[:PAIRS]:
            merged = a.copy()
            merged[a == second[e]] = first[e]
            yield renumbered(merged)

    def _descend(self, assignment: Int, error: float) -> tuple[Int, float]:
        """Nodes move to the group that is nearest but their own, the most doubtful first, while the error falls."""
        k, n = int(assignment.max()) + 1, len(assignment)
        left = int(WORK / (len(self.samples.omega) * float(n) ** 3))
        if k in (1, n):
            return assignment, error
        moved = True
        while moved and left > 0:
            moved = False
            mean = np.column_stack([self.distance[:, assignment == g].mean(axis=1) for g in range(k)])
            own = mean[np.arange(n), assignment]
            mean[np.arange(n), assignment] = np.inf
            for i in np.argsort(mean.min(axis=1) - own, kind="stable"):
                if left <= 0 or (assignment == assignment[i]).sum() == 1:
                    continue
                tried = assignment.copy()
                tried[i] = int(mean[i].argmin())
                left -= 1
                found = self.error(tried)
                if found < (1 - 1e-6) * error:
                    assignment, error, moved = tried, found, True
        return assignment, error


def fewest(search: GroupSearch, tolerance: float, least: int, error: Callable[[Partition], float]) -> int:
    """The least number of groups at which a grouping meets the tolerance: bisection, then steps down."""
    low, high = least - 1, search.network.size
    while high - low > 1:
        middle = (low + high) // 2
        if error(search.at(middle)[0]) <= tolerance:
            high = middle
        else:
            low = middle
    return high
