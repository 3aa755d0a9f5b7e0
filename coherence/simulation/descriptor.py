r"""A network with its disturbance as one autonomous system E w' = A w, held node by node, sparse.

The state w holds y_i .. y_i^(r_i - 1) per node, the sections' x, the coupling's z (copies of f's state at every node) and the
signals' v:

    p_i(d/dt) y_i + C_h x + L (c_f z + f_inf y) = u_0 c v,   x' = A_h x + B_h y,   z' = A_f z + b_f y,   v' = S v.

Every state but y is local, so that the Laplace transform of w, started anywhere, takes one solve with the n x n symmetric
Y(s) = G^{-1}(s) + f(s) L: that is the resolvent (sE - A)^{-1} E w (`Descriptor.resolvents`). Passive nodes and nodes of relative
degree 0 are rows like all others. Where every node has a derivative, `Descriptor.generator` is M = E^{-1} A as a sparse matrix.
Of a network under feedback w holds the controllers' states, too, and both are of low rank beside these (`loops`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg.lapack as lapack
import scipy.sparse as sp

from coherence.errors import InputError, PoleError
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Bank
from coherence.numerics.realization import Realization
from coherence.numerics.sparse import factorise
from coherence.simulation.disturbances import Signal
from coherence.simulation.loops import Loop, LowRankSum
from coherence.types import Complex, Int, Real

Advance = Callable[[Real], tuple[Real, Real]]


@dataclass(frozen=True, eq=False)
class Descriptor:
    """The system and the places of its states; build it with `descriptor`."""

    laplacian: Any
    polynomial: Real  # (degree + 1, n)
    degree: Int  # (n,)
    banks: tuple[Bank, ...]
    coupling: Realization
    shapes: Real  # (n, terms)
    signals: tuple[Signal, ...]
    chain: tuple[slice, ...]  # y, y', ...
    sections: tuple[slice, ...]
    angles: slice
    controls: slice  # states of the controllers
    driven: tuple[slice, ...]  # one per signal
    size: int
    loop: Loop | None = None

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.degree)

    @cached_property
    def filled(self) -> int:
        """Entries of the factors of Y(s)."""
        if not sp.issparse(self.laplacian):
            return self.n**2
        lu = factorise(self.laplacian + sp.eye_array(self.n) * abs(self.laplacian).max())
        return int(lu.L.nnz + lu.U.nnz)

    def rates(self, w: Real) -> Real:
        """Y' at nodes that have a state, from the state, (n,); NaN elsewhere."""
        rest = self._pull(w) - self._acting(w) + self.polynomial[0] * w[self.chain[0]]
        one = self.degree == 1
        out = np.full(self.n, np.nan)
        if one.any():
            out[one] = -rest[one] / self.polynomial[1][one]
        if len(self.chain) > 1:
            out[self.degree > 1] = w[self.chain[1]][self.degree > 1]
        return out

    def followed(self, w: Real) -> Real:
        """Outputs with those of relative degree 0 as they follow from the state, (n,); passive ones under a proper f stay."""
        y, f_inf = w[self.chain[0]].copy(), float(self.coupling.d[0, 0])
        mine = np.flatnonzero((self.degree == 0) & ((self.polynomial[0] != 0) | (f_inf != 0)))
        if not mine.size:
            return y
        y[mine] = 0.0
        free = w.copy()
        free[self.chain[0]] = y
        right = (self._acting(free) - self._pull(free))[mine]
        diagonal = self.polynomial[0][mine]

        def alone(b: Real) -> Real:
            if f_inf == 0:
                return np.asarray((b.T / diagonal).T)
            return np.asarray(factorise(sp.csr_array(self.laplacian)[mine][:, mine] * f_inf + sp.diags_array(diagonal)).solve(b))

        y[mine] = alone(right) if self.loop is None else self.loop.followed(mine, alone, right, f_inf)
        return y

    @property
    def falling(self) -> float:
        """How fast negative damping, or feedback like it, makes a node grow, max -d_i/m_i, 0 at least [1/s]."""
        one = self.degree == 1
        if not one.any():
            return 0.0
        alone = float((-self.polynomial[0][one] / self.polynomial[1][one]).max(initial=0.0))
        if self.loop is None:
            return alone
        mine = np.flatnonzero(one)
        return max(alone, self.loop.growth(mine, self.polynomial[1][mine], self.polynomial[0][mine], float(self.coupling.d[0, 0])))

    def _acting(self, w: Real) -> Real:
        total = np.zeros(self.n)
        for i, (signal, mine) in enumerate(zip(self.signals, self.driven, strict=True)):
            total += self.shapes[:, i] * (signal.c @ w[mine])
        return total

    def _pull(self, w: Real) -> Real:
        """C_h x + L (c_f z + f_inf y) - W p."""
        total = np.zeros(self.n)
        for bank, mine in zip(self.banks, self.sections, strict=True):
            np.add.at(total, bank.owner, np.einsum("so,so->s", bank.c, w[mine].reshape(bank.c.shape)))
        moved = self.coupling.c[0] @ w[self.angles].reshape(self.coupling.order, self.n)
        if self.coupling.d[0, 0]:
            moved = moved + self.coupling.d[0, 0] * w[self.chain[0]]
        if self.loop is not None:
            total -= self.loop.actuators @ self.loop.power(w[self.controls], w[self.chain[0]], moved)
        return np.asarray(total + self.laplacian @ moved)

    def resolvents(self, points: Complex, factors: Complex) -> Advance:
        """W -> Re sum_p factor_p (s_p E - A)^{-1} E w, and the like of its y'; factorises Y(s_p) once each.

        Parameters
        ----------
        points, factors : (P,) complex

        Raises
        ------
        PoleError
            A point is a pole of T, or of the loop.
        """
        f, s = self.coupling, points[:, None]
        inner = np.linalg.inv(s[:, :, None] * np.eye(f.order) - f.a)
        into = inner @ f.b[:, 0]
        gain = f.d[0, 0] + into @ f.c[0]
        pulls = np.einsum("a,pab->pb", f.c[0], inner)  # of z on the nodes
        diagonal = np.zeros((len(points), self.n), dtype=complex)
        for row in self.polynomial[::-1]:
            diagonal = diagonal * s + row
        sections: list[tuple[Complex, Complex, Real]] = []
        for bank in self.banks:
            inverse = np.linalg.inv(s[:, :, None, None] * np.eye(bank.order) - bank.a)
            reach = np.einsum("psab,sb->psa", inverse, bank.b)
            np.add.at(diagonal.T, bank.owner, np.einsum("sa,psa->sp", bank.c, reach))
            back = np.einsum("sa,psab->psb", bank.c, inverse)
            moved = np.einsum("p,psab->sab", factors, inverse).real
            sections.append((back, factors[:, None, None] * reach, moved))
        solves = [_solver(g, self.laplacian, z, x) for g, z, x in zip(gain, diagonal, points, strict=True)]
        own = [np.linalg.inv(s[:, :, None] * np.eye(len(signal.c)) - signal.s) for signal in self.signals]
        acts = [np.einsum("a,pab->pb", signal.c, inverse) for signal, inverse in zip(self.signals, own, strict=True)]
        kept = [np.einsum("p,pab->ab", factors, inverse).real for inverse in own]
        turned, driven = np.einsum("p,pab->ab", factors, inner).real, factors[:, None] * into
        powers = s ** np.arange(len(self.polynomial))
        total = factors.sum()
        close = None if self.loop is None else self.loop.closed(points, factors, gain, pulls, solves)

        def step(w: Real) -> tuple[Real, Real]:
            right = np.zeros((len(points), self.n), dtype=complex)
            for i, mine in enumerate(self.driven):
                right += np.outer(acts[i] @ w[mine], self.shapes[:, i])
            for j in range(1, len(self.polynomial)):
                for q in range(j):
                    right += np.outer(powers[:, j - 1 - q], self.polynomial[j] * w[self.chain[q]])
            for bank, mine, (back, _, _) in zip(self.banks, self.sections, sections, strict=True):
                pull = (back * w[mine].reshape(bank.c.shape)).sum(axis=2)
                np.subtract.at(right.T, bank.owner, pull.T)
            if f.order:
                right -= pulls @ (self.laplacian @ w[self.angles].reshape(f.order, self.n).T).T
            y = np.array([solve(one) for solve, one in zip(solves, right, strict=True)])
            out = np.empty(self.size)
            if close is not None:
                y, out[self.controls] = close(w[self.controls], w[self.angles].reshape(f.order, self.n), y)
            for i, mine in enumerate(self.driven):
                out[mine] = kept[i] @ w[mine]
            for bank, mine, (_, reach, moved) in zip(self.banks, self.sections, sections, strict=True):
                free = np.einsum("sab,sb->sa", moved, w[mine].reshape(bank.c.shape))
                out[mine] = (free + (reach * y[:, bank.owner, None]).sum(axis=0).real).ravel()
            if f.order:
                out[self.angles] = (turned @ w[self.angles].reshape(f.order, self.n) + (driven.T @ y).real).ravel()
            for j, mine in enumerate(self.chain):
                value = ((factors * powers[:, j]) @ y).real if j else (factors @ y).real
                for q in range(j):
                    value = value - float((factors @ powers[:, j - 1 - q]).real) * w[self.chain[q]]
                out[mine] = np.where(self.degree > j, value, 0.0) if j else value  # j = 0: of nodes without a state, too
            return out, ((factors * points) @ y).real - total.real * w[self.chain[0]]

        return step

    def generator(self) -> Any:
        """M with w' = M w, where every node has relative degree >= 1; a `LowRankSum` under feedback."""
        if (self.degree < 1).any():
            raise InputError("an explicit system needs a derivative at every node; some nodes are algebraic")
        n, f = self.n, self.coupling
        rows: list[Any] = []
        columns: list[Any] = []
        values: list[Any] = []

        def put(row: Any, column: Any, value: Any) -> None:
            row, column, value = np.broadcast_arrays(row, column, value)
            for kept, new in ((rows, row), (columns, column), (values, value)):
                kept.append(new.ravel())

        node = np.arange(n)
        first = self.chain[0].start + node
        top = self.polynomial[self.degree, node]
        last = np.array([mine.start for mine in self.chain])[self.degree - 1] + node  # where y^(r) is integrated
        for j, mine in enumerate(self.chain):
            put(last[self.degree > j], (mine.start + node)[self.degree > j], (-self.polynomial[j] / top)[self.degree > j])
            further = self.degree > j + 1
            if further.any():
                put((mine.start + node)[further], (self.chain[j + 1].start + node)[further], 1.0)
        for bank, mine in zip(self.banks, self.sections, strict=True):
            place = mine.start + np.arange(bank.c.size).reshape(bank.c.shape)
            put(last[bank.owner][:, None], place, -bank.c / top[bank.owner, None])
            put(place, first[bank.owner][:, None], bank.b)
            put(place[:, :, None], place[:, None, :], bank.a)
        entries = sp.coo_array(self.laplacian)
        angle = self.angles.start + np.arange(f.order * n).reshape(f.order, n)
        for j in range(f.order):
            put(last[entries.row], angle[j][entries.col], -f.c[0, j] * entries.data / top[entries.row])
            put(angle[j], first, f.b[j, 0])
            for q in range(f.order):
                put(angle[j], angle[q], f.a[j, q])
        put(last[entries.row], first[entries.col], -f.d[0, 0] * entries.data / top[entries.row])
        for i, (signal, mine) in enumerate(zip(self.signals, self.driven, strict=True)):
            hit, place = np.flatnonzero(self.shapes[:, i]), np.arange(mine.start, mine.stop)
            put(last[hit][:, None], place, np.outer(self.shapes[hit, i] / top[hit], signal.c))
            put(place[:, None], place, signal.s)
        if self.loop is not None:
            place = np.arange(self.controls.start, self.controls.stop)
            put(place[:, None], place, self.loop.controller.a)
        data = np.concatenate(values)
        kept = data != 0
        where = (np.concatenate(rows)[kept], np.concatenate(columns)[kept])
        m = sp.csr_array(sp.coo_array((data[kept], where), shape=(self.size, self.size)))
        return (
            m
            if self.loop is None
            else LowRankSum(m, *self.loop.ranks(self.size, (first[0], self.angles.start, self.controls.start), last, top, f))
        )

    def weights(self) -> Real:
        """Sizes of the states in the energy of a swing network, square roots: sqrt(m_i) of y_i, sqrt(L_ii) of z_i, 1 of others."""
        weight = np.ones(self.size)
        weight[self.chain[0]] = np.sqrt(np.where(self.degree == 1, np.abs(self.polynomial[1]), 1.0))
        stiff = np.sqrt(np.maximum(self.laplacian.diagonal(), np.finfo(float).tiny))
        weight[self.angles] = np.tile(stiff, self.coupling.order)
        return weight


def descriptor(source: Network | ClosedLoop, terms: Sequence[tuple[Real, Signal]]) -> Descriptor:
    """The system of a network of nodes, or of one under feedback, under shapes times signals.

    Raises
    ------
    InputError
        A network projected on a basis, nodes or a coupling known by their responses, or an improper node.
    """
    loop = Loop.of(source.feedback) if isinstance(source, ClosedLoop) else None
    network = source.network if isinstance(source, ClosedLoop) else source
    require_nodes(network, "a sparse simulation")
    network.nodes.require_rational("a simulation")
    nodes, n = network.nodes, network.size
    improper = (nodes.degree < 0) & ~nodes.passive
    if improper.any():
        raise InputError(
            f"node {network.labels[int(improper.argmax())]!r} has no polynomial part in its inverse, so its transfer function is "
            "improper; eliminate it or give it damping"
        )
    coupling = network.coupling.realization()
    degree = np.maximum(nodes.degree, 0)
    polynomial = nodes.polynomial[: int(degree.max(initial=0)) + 1]
    a = max(1, int(degree.max(initial=0)))
    b = a + len(nodes.banks)
    counts = [n] * a + [bank.c.size for bank in nodes.banks] + [n * coupling.order, loop.controller.order if loop else 0]
    counts += [len(signal.c) for _, signal in terms]
    ends = np.cumsum(counts).tolist()
    places = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    shapes = np.column_stack([shape for shape, _ in terms]) if terms else np.zeros((n, 0))
    signals = tuple(signal for _, signal in terms)
    return Descriptor(
        network.laplacian, polynomial, degree, nodes.banks, coupling, shapes, signals,
        tuple(places[:a]), tuple(places[a:b]), places[b], places[b + 1], tuple(places[b + 2 :]), ends[-1], loop,
    )  # fmt: skip


def _solver(gain: complex, laplacian: Any, diagonal: Complex, s: complex) -> Callable[[Complex], Complex]:
    """Solves with gain L + diag(diagonal)."""
    try:
        if sp.issparse(laplacian):
            matrix = sp.csc_array(laplacian * gain + sp.diags_array(diagonal))
            lu = factorise(matrix)
            return lambda right: np.asarray(lu.solve(right))
        whole = gain * laplacian + np.diag(diagonal)
        factors, pivots, fault = lapack.zgetrf(whole)
        if fault:
            raise InputError("singular")
    except InputError:
        raise PoleError(f"s = {s:.6g} is a pole of T, which a step of the simulation meets; take other times") from None
    return lambda right: np.asarray(lapack.zgetrs(factors, pivots, right)[0])
