r"""Which nodes may be one: groupings for the error of a reduced network over a band, and how few groups can be enough.

At sampled frequencies R = T / ||T||; with outputs="groups" errors and floors are those of P C R. Two nodes respond alike to all
disturbances where

    D_ij = max over omega of ||(e_i - e_j)^T R||_2

is small. Whatever the nodes and the interconnection of a reduced network, P T_k P^T lies in the span of the groups, so that its
error is at least ||(I - Q Q^T) R|| (and some k x k matrix attains that: Parrott), hence at least D_ij / sqrt 2 for any i, j of one
group, and at least the (k+1)-th singular value of R (Eckart-Young). So a set of nodes of which any two are farther apart than
sqrt 2 times the tolerance needs a group for each.

Groupings: complete, average and Ward linkage of D, the methods of `coherent_groups`, and from the best of them a descent:
nodes move to other groups as long as the error falls, in networks of up to some 300 nodes.
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
from coherence.theory.expansion import norms, uncoupled_deviation
from coherence.types import Complex, Int, Real

LINKAGES = ("complete", "average", "ward")
METHODS = ("bach_jordan", "slow_coherency", "reference_machines")
WORK = 4e9  # of (frequencies x n^3) that a descent may take at one number of groups
DIRECT = 60  # nodes up to which norms are singular values
BLOCK, ITERATIONS, SETTLED = 6, 40, 2e-4  # of the subspace iteration beyond
COARSE = 12  # samples by which many groupings of large networks are compared
WORST = 6  # samples of largest error, which decide most moves
PAIRS = 12  # of groups that are tried to be joined


class Samples:
    """T at sampled frequencies, and errors of reduced networks there.

    U = T f = 11'/a + D, a the sum of G^{-1}/f, needs no f; D by elimination, so that nothing cancels at low frequency.
    """

    def __init__(self, network: Network, omega: Real, *, decay: float = 0.0, outputs: str = "nodes") -> None:
        self.network, self.outputs, self.decay = network, outputs, decay
        n = network.size
        self.omega = np.zeros(0)
        self.zeta = np.zeros((0, n), dtype=complex)
        self.deviation = np.zeros((0, n, n), dtype=complex)
        self.size = np.zeros(0)
        self.add(omega)

    def add(self, omega: Real) -> None:
        """Take more frequencies in."""
        new = np.setdiff1d(omega, self.omega)
        s = self.decay + 1j * new
        zeta = self.network.nodes.inverse(s) / self.network.coupling(s)[:, None]
        with single_thread(self.network.size):
            deviation = uncoupled_deviation(zeta, self.network.dense_laplacian)
            size = np.linalg.norm(deviation + 1 / zeta.sum(axis=1)[:, None, None], 2, axis=(1, 2))
        self.omega, self.size = np.concatenate([self.omega, new]), np.concatenate([self.size, size])
        self.zeta, self.deviation = np.concatenate([self.zeta, zeta]), np.concatenate([self.deviation, deviation])

    @property
    def u(self) -> Complex:
        """T f, (F, n, n)."""
        return np.asarray(self.deviation + 1 / self.zeta.sum(axis=1)[:, None, None])

    def inverses(self, reduced: Network) -> Complex:
        """G_k^{-1} / f of a reduced network, (F, k)."""
        s = self.decay + 1j * self.omega
        return np.asarray(reduced.nodes.inverse(s) / reduced.coupling(s)[:, None])

    def distances(self) -> Real:
        """D_ij of the module, (n, n): the uniform motion is in no difference of rows."""
        largest = np.zeros(self.deviation.shape[1:])
        for matrix, size in zip(self.deviation, self.size, strict=True):
            gram = (matrix @ matrix.conj().T).real / size**2
            own = np.diag(gram)
            largest = np.maximum(largest, own[:, None] + own - 2 * gram)
        return np.sqrt(np.maximum(largest, 0.0))

    def floors(self, partition: Partition, among: Int | None = None) -> Real:
        """The least errors of any model of these groups, ||(I - QQ') R||, (F,) or at some of the samples."""
        at = slice(None) if among is None else among
        mapped = self._mapped(partition, at)
        scaled = partition.indicator / np.sqrt(partition.sizes)
        return np.asarray(_norms(mapped - (mapped @ scaled) @ scaled.T) / self.size[at])

    def model(self, zeta: Complex, laplacian: Real) -> Complex:
        """U_k of node inverses (F, k) and a Laplacian."""
        with single_thread(zeta.shape[1]):
            return np.asarray(uncoupled_deviation(zeta, laplacian) + 1 / zeta.sum(axis=1)[:, None, None])

    def quotient_errors(self, partition: Partition, among: Int | None = None) -> Real:
        """Relative errors of the quotient, (F,) or at some of the samples."""
        p = partition.indicator
        return self.errors(partition, np.asarray(self.zeta @ p), p.T @ self.network.dense_laplacian @ p, among)

    def errors(self, partition: Partition, zeta: Complex, laplacian: Real, among: Int | None = None) -> Real:
        """Relative errors of node inverses (F, k) and a Laplacian on these groups, (F,) or at some of the samples."""
        at = slice(None) if among is None else among
        p, own = partition.indicator, zeta[at]
        a, b = self.zeta[at].sum(axis=1), own.sum(axis=1)
        apart = (own - self.zeta[at] @ p).sum(axis=1) / (a * b)  # 1/a - 1/b
        with single_thread(self.network.size):
            error = self._mapped(partition, at) - p @ uncoupled_deviation(own, laplacian) @ p.T + apart[:, None, None]
            return np.asarray(_norms(error) / self.size[at])

    def _mapped(self, partition: Partition, at: Int | slice) -> Complex:
        outputs = output_map(self.network, partition, self.outputs)
        return self.deviation[at] if outputs is None else np.asarray(outputs @ self.deviation[at])


def _norms(matrices: Complex) -> Real:
    """Spectral norms; of large matrices by subspace iteration, from below by less than a per mille as a rule."""
    n = matrices.shape[-1]
    if n <= DIRECT:
        return norms(matrices)
    x = np.random.default_rng(0).normal(size=(n, BLOCK)).astype(complex)
    found = np.zeros(len(matrices))
    for _ in range(ITERATIONS):
        y = matrices @ np.linalg.qr(x)[0]
        x = matrices.conj().swapaxes(1, 2) @ y
        before, found = found, np.linalg.norm(y, 2, axis=(1, 2))
        if (found - before <= SETTLED * found).all():
            break
    return found


def least_errors(samples: Samples) -> Real:
    """Errors that no model of k groups goes below, for k = 1, ..., n; see the module.

    The farthest nodes are picked one after the other, from every start: the first k + 1 of them are at least as far apart as the
    last is from the others, and two of them share one of k groups.
    """
    n = samples.network.size
    if samples.outputs != "nodes":
        return np.zeros(n)
    distance = samples.distances()
    best = np.append(
        np.linalg.svd(samples.u, compute_uv=False)[:, 1:] / samples.size[:, None], np.zeros((len(samples.u), 1)), axis=1
    )
    best = best.max(axis=0)
    near, starts = distance.copy(), np.arange(n)
    for k in range(1, n):
        far = near.argmax(axis=1)
        best[k - 1] = max(best[k - 1], near[starts, far].max() / np.sqrt(2.0))
        near = np.minimum(near, distance[far])
    return best


def least_groups(samples: Samples, tolerance: float) -> int:
    """A number of groups that every model within the tolerance has at least."""
    return int((least_errors(samples) > tolerance).argmin()) + 1


class GroupSearch:
    """The groupings of a network that are good for a band, by number of groups; each is looked for once."""

    def __init__(self, samples: Samples, random_state: int = 0) -> None:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        self.samples, self.random_state = samples, random_state
        self.network = samples.network
        self.distance = samples.distances()
        near = squareform(self.distance, checks=False)
        self.trees = [linkage(near, method) for method in LINKAGES] if near.size else []
        self._found: dict[int, tuple[Partition, ...]] = {}

    def at(self, k: int) -> tuple[Partition, ...]:
        """Groupings in k groups: of least error joined by the quotient, and of least error that any interconnection can have."""
        if k not in self._found:
            start = list(self._candidates(k))
            found = [self._descended(start, measure) for measure in (self.samples.quotient_errors, self.samples.floors)]
            same = len(found) == 2 and (found[0].assignment == found[1].assignment).all()
            self._found[k] = tuple(found[:1] if same else found)
        return self._found[k]

    def fewest(self, tolerance: float) -> int:
        """The least number of groups at which a linkage has a floor within the tolerance; they are nested, so by bisection."""
        low, high = 0, self.network.size
        while high - low > 1:
            middle = (low + high) // 2
            if any(self.samples.floors(p).max() <= tolerance for p in self._linked(middle)):
                high = middle
            else:
                low = middle
        return high

    def _linked(self, k: int) -> Iterator[Partition]:
        from scipy.cluster.hierarchy import fcluster

        for tree in self.trees:
            found = fcluster(tree, k, "maxclust") - 1
            if found.max() == k - 1:
                yield self._partition(found)

    def _partition(self, assignment: Int) -> Partition:
        """Groups "1", "2", ... by their first node."""
        return Partition.of([str(g + 1) for g in renumbered(assignment)], labels=self.network.labels)

    def _candidates(self, k: int) -> Iterator[Partition]:
        """Groupings to begin with."""
        n = self.network.size
        if k in (1, n):
            yield self._partition(np.arange(n) if k == n else np.zeros(n, dtype=int))
            return
        yield from self._linked(k)
        for method in METHODS:
            try:
                found = coherent_groups(self.network, k, method=method, random_state=self.random_state, allow_ties=True)
            except CoherenceError:
                continue
            if found.k == k:
                yield self._partition(found.assignment)
        if k + 1 in self._found:
            for partition in self._found[k + 1]:
                yield from self._joined(partition)

    def _joined(self, partition: Partition) -> Iterator[Partition]:
        """Groupings of one group less: the pairs of groups that are nearest, joined."""
        a, k = partition.assignment, partition.k
        order = np.argsort(a, kind="stable")
        starts = np.searchsorted(a[order], np.arange(k))
        rows = np.maximum.reduceat(self.distance[np.ix_(order, order)], starts, axis=0)
        apart = np.maximum.reduceat(rows, starts, axis=1)
        first, second = np.triu_indices(k, 1)
        for e in np.argsort(apart[first, second], kind="stable")[:PAIRS]:
            yield self._partition(np.where(a == second[e], first[e], a))

    def _descended(self, start: list[Partition], measure: Callable[..., Real]) -> Partition:
        """The best of some groupings, its nodes moved to their next nearest group, the most doubtful first, while that helps."""
        best = start[0]
        if len(start) > 1:
            few = np.linspace(0, len(self.samples.omega) - 1, COARSE).astype(int) if len(best.labels) > DIRECT else None
            best = min(start, key=lambda p: measure(p, few).max())
        errors = measure(best)
        k, n = best.k, len(best.labels)
        left = int(WORK / (len(self.samples.omega) * float(n) ** 3)) if 1 < k < n else 0
        moved = True
        while moved and left > 0:
            moved = False
            a = best.assignment
            mean = (self.distance @ best.indicator) / best.sizes
            own = mean[np.arange(n), a]
            mean[np.arange(n), a] = np.inf
            for i in np.argsort(mean.min(axis=1) - own, kind="stable"):
                a = best.assignment
                if left <= 0 or (a == a[i]).sum() == 1:
                    continue
                # groups keep their numbers while nodes move: the result is renumbered only when it is handed on
                tried = Partition(best.labels, np.where(np.arange(n) == i, int(mean[i].argmin()), a), best.groups)
                left -= 1
                needed = (1 - 1e-6) * errors.max()
                if measure(tried, np.argsort(errors)[-WORST:]).max() >= needed:
                    continue  # most moves are for the worse where it matters
                found = measure(tried)
                if found.max() < needed:
                    best, errors, moved = tried, found, True
        return self._partition(best.assignment)
