r"""The band error of one node per group: ||T - P T_k P^T||_2 / ||T||_2 at sampled frequencies, and how it moves with the weights.

    T_k = (diag(z_k) + f L_k)^{-1},   L_k = sum_e w_e b_e b_e^T  over pairs of groups,   b_e = e_i - e_j

With the uniform motion taken out of both sides by elimination, E = T - 11^T/a and E_k = T_k - 11^T/a_k, nothing cancels:

    T - P T_k P^T = E - P E_k P^T + (1/a - 1/a_k) 11^T,   1/a - 1/a_k = (a_k - a)/(a a_k)  (0 where nodes were not truncated).

Because b_e^T 1 = 0 the derivatives need E_k alone, dT_k/dw_e = -f (E_k b_e)(E_k b_e)^T. On the span of Q = P N^{-1/2} the error is
C = Q^T (.) Q, k x k, and the rest does not depend on the weights. With y_e = N^{1/2} E_k b_e the Gauss-Newton matrix of
sum ||C||_F^2 is <dC_e, dC_f> = |f|^2 (y_e^H y_f)^2; with the Takagi vector u of the error, E conj(u) = sigma u, its largest
singular value moves by d sigma/dw_e = Re f (u^H P E_k b_e)^2.

No k x k matrix in place of T_k comes below ||(I - Q Q^T) T||_2, and one reaches it (Parrott): the floor of these groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from coherence.errors import ToleranceError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.numerics.deflation import uniform_deviation
from coherence.numerics.deviation import Deviation
from coherence.numerics.spectral import started, symmetric_norm
from coherence.numerics.threads import single_thread
from coherence.theory.deviations import evaluated, uniform_distances
from coherence.types import Complex, Int, Real

DIRECT = 48  # nodes up to which E is held and its singular values are taken
HELD = 12_000_000  # entries of factorisations that are held; beyond, they are made anew for every norm
FLOOR_TOLERANCE = 1e-4  # of the floor
TOLERANCE = 1e-6  # of norms by products


class Slopes(NamedTuple):
    """Relative errors (F,) and their derivatives by the weights (F, m)."""

    error: Real
    by_weight: Real


class BandError:
    """Errors at sampled frequencies of reduced networks that share groups and nodes and differ in their weights.

    Parameters
    ----------
    network : Network
        Connected.
    partition : Partition
    nodes : Nodes
        k nodes of the reduced network.
    pairs : (m, 2) int
        Pairs of groups that carry a weight.
    omega : (F,) float
        Frequencies [rad/s].
    decay : float
        Taken at s = decay + j omega.
    """

    def __init__(
        self, network: Network, partition: Partition, nodes: Nodes, pairs: Int, omega: Real, *, decay: float = 0.0
    ) -> None:
        self.network, self.partition, self.nodes, self.decay = network, partition, nodes, decay
        self.indicator, self.root = partition.indicator, np.sqrt(partition.sizes.astype(float))
        self.incidence = np.zeros((partition.k, len(pairs)))
        self.incidence[pairs[:, 0], np.arange(len(pairs))] = 1.0
        self.incidence[pairs[:, 1], np.arange(len(pairs))] = -1.0
        self._operator = Deviation(network.laplacian)
        n = network.size
        self._dense = n <= DIRECT and not sp.issparse(network.laplacian)
        self.omega: Real = np.zeros(0)
        self.size: Real = np.zeros(0)
        self._z = np.zeros((0, n), dtype=complex)
        self._own = np.zeros((0, partition.k), dtype=complex)
        self._p, self._q, self._rest = (np.zeros(0, dtype=complex) for _ in range(3))
        self._inside = np.zeros((0, partition.k, partition.k), dtype=complex)
        self._whole = np.zeros((0, n, n), dtype=complex)
        self._held: dict[float, Callable[[Complex], Complex]] = {}
        self._vectors: dict[float, Complex] = {}
        self._known: dict[tuple[int, bytes], Real] = {}
        self.add(omega)

    def add(self, omega: Real) -> None:
        """Take more frequencies in; those known already and poles of f, where the error is that of DC, are left out."""
        new = np.setdiff1d(omega, self.omega)
        z, p, q = evaluated(self.network, self.decay + 1j * new, "the band error")
        keep = q != 0
        new, z, p, q = new[keep], z[keep], p[keep], q[keep]
        if not new.size:
            return
        s = self.decay + 1j * new
        own = self.nodes.inverse(s)
        a, b = z.sum(axis=1), own.sum(axis=1)
        rest = (own - z @ self.indicator).sum(axis=1) / (a * b)  # sums of groups first: 0 to rounding where none was truncated
        size = uniform_distances(self.network, s, np.zeros(len(new), dtype=complex))
        whole = uniform_deviation(z, p, q, self.network.dense_laplacian) if self._dense else None
        scaled = self.indicator / self.root
        inside = np.empty((len(new), self.partition.k, self.partition.k), dtype=complex)
        with single_thread(0 if sp.issparse(self.network.laplacian) else self.network.size):
            for i in range(len(new)):
                if whole is not None:
                    inside[i] = scaled.T @ whole[i] @ scaled
                    continue
                nodes, apply = self._operator.at(z[i], p[i], q[i])
                inside[i] = scaled[nodes].T @ apply(scaled[nodes].astype(complex))
        inside = 0.5 * (inside + inside.swapaxes(1, 2))
        order = np.argsort(np.concatenate([self.omega, new]), kind="stable")

        def put(old: Complex | Real, more: Complex | Real) -> Complex:
            return np.asarray(np.concatenate([old, more])[order])

        self.omega, self.size = put(self.omega, new).real, put(self.size, size).real
        self._z, self._own, self._p, self._q = put(self._z, z), put(self._own, own), put(self._p, p), put(self._q, q)
        self._rest, self._inside = put(self._rest, rest), put(self._inside, inside)
        if whole is not None:
            self._whole = put(self._whole, whole)

    def laplacian(self, weights: Real) -> Real:
        """L_k of weights (m,)."""
        return np.asarray((self.incidence * weights) @ self.incidence.T)

    def _reduced(self, laplacian: Real) -> Complex:
        return uniform_deviation(self._own, self._p, self._q, laplacian)

    def inside(self, laplacian: Real) -> Complex:
        """C / ||T||, the relative error on the span of the groups, (F, k, k)."""
        shift = self._rest[:, None, None] * np.outer(self.root, self.root)
        error = self._inside - self.root[:, None] * self._reduced(laplacian) * self.root + shift
        return np.asarray(error / self.size[:, None, None])

    def normal_equations(self, weights: Real) -> tuple[float, Real, Real]:
        """Half the sum of ||C||_F^2 / ||T||^2, its gradient (m,) and its Gauss-Newton matrix (m, m)."""
        reduced = self._reduced(self.laplacian(weights))
        shift = self._rest[:, None, None] * np.outer(self.root, self.root)
        error = (self._inside - self.root[:, None] * reduced * self.root + shift) / self.size[:, None, None]
        y = self.root[:, None] * (reduced @ self.incidence)
        f = (self._p / self._q) / self.size
        gradient = np.einsum("fie,fij,fje,f->e", y.conj(), error, y.conj(), f.conj(), optimize=True).real
        gram = y.conj().swapaxes(1, 2) @ y
        matrix = ((np.abs(f) ** 2)[:, None, None] * gram**2).real.sum(axis=0)
        return 0.5 * float((np.abs(error) ** 2).sum()), gradient, matrix

    def errors(self, laplacian: Real) -> Real:
        """||T - P T_k P^T||_2 / ||T||_2, (F,)."""
        key = (len(self.omega), laplacian.tobytes())
        if key not in self._known:
            self._known[key] = self._norms(self._reduced(laplacian), vectors=False)[0]
        return self._known[key]

    def slopes(self, weights: Real) -> Slopes:
        """Relative errors and their derivatives; of a multiple singular value, those of one of its vectors."""
        reduced = self._reduced(self.laplacian(weights))
        error, along = self._norms(reduced)
        moved = np.einsum("fk,fkm->fm", along.conj(), reduced @ self.incidence)
        f = (self._p / self._q) / self.size
        return Slopes(error, (f[:, None] * moved**2).real)

    def floor(self) -> Real:
        """||(I - Q Q^T) T||_2 / ||T||_2, (F,): what no model on these groups comes below."""
        q = self.indicator / self.root
        if self._dense:
            return np.asarray(np.linalg.norm(self._whole - q @ (q.T @ self._whole), 2, axis=(1, 2)) / self.size)
        n, rng, out = self.network.size, np.random.default_rng(0), np.empty(len(self.omega))
        if self.partition.k == n:
            return np.zeros(len(self.omega))
        last = rng.standard_normal(n) + 0j
        with single_thread(0 if sp.issparse(self.network.laplacian) else n):
            for i, w in enumerate(self.omega.tolist()):
                apply = self._product(i, w, np.zeros((len(self.root),) * 2, dtype=complex))

                def squared(x: Complex, apply: Callable[[Complex], Complex] = apply) -> Complex:
                    # F F^H x with F = (I - Q Q^T) E and E^H x = conj(E conj(x)); a Ritz value is below: still a floor
                    y = x.reshape(-1, 1)
                    y = apply(apply((y - q @ (q.T @ y)).conj()).conj())
                    return np.asarray((y - q @ (q.T @ y))[:, 0])

                operator = spla.LinearOperator((n, n), matvec=squared, dtype=complex)
                values, vectors = spla.eigsh(operator, k=1, tol=FLOOR_TOLERANCE, v0=last)
                out[i], last = np.sqrt(max(float(values[0]), 0.0)), vectors[:, 0] + 0.1 * rng.standard_normal(n) / np.sqrt(n)
        return out / self.size

    def _norms(self, reduced: Complex, *, vectors: bool = True) -> tuple[Real, Complex]:
        """Relative norms (F,) and P^T u of their Takagi vectors u, (F, k)."""
        core = self._rest[:, None, None] - reduced
        if self._dense:
            lift = self.indicator
            matrices = self._whole + lift @ core @ lift.T
            if not vectors:  # a third of the work
                return np.linalg.norm(matrices, 2, axis=(1, 2)) / self.size, np.zeros((0, 0), dtype=complex)
            left, values, right = np.linalg.svd(matrices)
            # E = sum sigma u v^H with v = conj(u) up to a phase, which u takes half of
            u, v = left[:, :, 0], right[:, 0, :]
            phase = np.exp(0.5j * np.angle(np.einsum("fn,fn->f", u.conj(), v)))
            return values[:, 0] / self.size, (phase[:, None] * u) @ lift
        n, rng = self.network.size, np.random.default_rng(0)
        out, along, last = np.empty(len(self.omega)), np.empty(reduced.shape[:2], dtype=complex), None
        sparse = sp.issparse(self.network.laplacian)
        with single_thread(0 if sparse else n):
            for i, w in enumerate(self.omega.tolist()):
                apply = self._product(i, w, core[i])
                start = started(self._vectors.get(w, last), n, rng)
                try:
                    found = symmetric_norm(apply, start, most=1200 if sparse else max(60, n // 5), tolerance=TOLERANCE)
                    out[i], last = found.value, found.vector
                except ToleranceError:
                    if sparse:
                        raise
                    left, values, right = np.linalg.svd(apply(np.eye(n, dtype=complex)))
                    last = np.exp(0.5j * np.angle(np.vdot(left[:, 0], right[0]))) * left[:, 0]
                    out[i] = values[0]
                self._vectors[w] = last
                along[i] = last @ self.indicator
        return out / self.size, along

    def _product(self, i: int, w: float, core: Complex) -> Callable[[Complex], Complex]:
        """The map x -> (T - P T_k P^T) x at one frequency, in the network's order of nodes."""
        deviation = self._held.get(w)
        if deviation is None:
            order, inner = self._operator.at(self._z[i], self._p[i], self._q[i])

            def deviation(x: Complex) -> Complex:
                out = np.empty(x.shape, dtype=complex)
                out[order] = inner(x[order])
                return out

            n = self.network.size
            each = 20 * n if sp.issparse(self.network.laplacian) else n * n
            if each * (len(self._held) + 1) <= HELD:
                self._held[w] = deviation
        lift, applied = self.indicator, deviation
        return lambda x: applied(x) + lift @ (core @ (lift.T @ x))
