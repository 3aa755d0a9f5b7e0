r"""Products with the deviation E(s) = T - V (V^T Y V)^{-1} V^T from one factorisation per point; T is never formed.

With the node r of largest |g^{-1}| grounded, N = [e_i : i != r], a = sum(g) and h = g/a (`deflation` has the derivation),

    E x = q (I - 1 h^T) N S^{-1} N^T (I - h 1^T) x,     S = M - q g g^T / a,   M = N^T (q G^{-1} + p L) N,

x = S^{-1} y from the bordered system [M  q g; q g^T  q a] [x; *] = [y; 0], which is regular where S is (M alone is singular at
the resonances of the grounded network). For k > 1 the span of V = [1 D] is taken out of S^{-1} too, D in grounded coordinates
(rows minus row r):

    S^{-1} - D (D^T S D)^{-1} D^T.

That is a difference of terms of the size 1/|f| lambda_2 whose result has the size 1/|f| lambda_{k+1}: it costs the digits of their
ratio, which the dense elimination in `deflation` does not.

Passive nodes (g_i^{-1} = 0) stay in a sparse M: the solve is their elimination. The fill-reducing order is found once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.lapack as lapack
import scipy.sparse as sp

from coherence.errors import InputError, PoleError, ToleranceError
from coherence.numerics.sparse import factorise
from coherence.numerics.spectral import LEAST, STEPS, TOLERANCE, started, symmetric_norm
from coherence.numerics.threads import single_thread
from coherence.types import Complex, Int, Real

CROWDED = 60  # products with a dense matrix after which all singular values are cheaper

Solve = Callable[[Complex], Complex]
Product = Callable[[Complex], Complex]


class AtPoint(NamedTuple):
    """E at one point: products in the order of nodes `order`, in which the grounded node is last."""

    order: Int
    apply: Product  # (n, m) -> (n, m)


@dataclass(frozen=True)
class Deviation:
    """E(s) of one Laplacian, at as many points as wanted.

    Parameters
    ----------
    laplacian : (n, n) array or sparse array
    directions : (n, k - 1) array, optional
        Together with the vector of ones they span V; none: V = 1.
    """

    laplacian: Any
    directions: Real | None = None
    _orders: dict[int, tuple[Int, _Dense | _Sparse]] = field(default_factory=dict, repr=False)

    def at(self, g: Complex, p: complex, q: complex) -> AtPoint:
        """The operator at one point; g (n,) the node inverses, f = p/q.

        Raises
        ------
        PoleError
            A pole of the coherent dynamics or of T.
        """
        total = g.sum()
        if total == 0:
            raise PoleError("one of the points s is a pole of the coherent dynamics g_hat; move it")
        ground = int(np.abs(g).argmax())
        if ground not in self._orders or not self._orders[ground][1].holds(g[self._orders[ground][0][:-1]]):
            self._orders[ground] = self._order(ground, g)
        order, part = self._orders[ground]
        kept = order[:-1]
        mine = g[kept]
        h = (mine / total)[:, None]
        border = np.append(q * mine, q * total)
        solve = part.solver(p, border)
        if self.directions is not None:
            d = self.directions[kept] - self.directions[ground]
            across = mine @ d
            moved = np.asarray(part.matrix[: len(kept), : len(kept)] @ d)
            core = d.T @ (p * moved + (q * mine)[:, None] * d) - q * np.outer(across, across) / total

        def apply(x: Complex) -> Complex:
            y = np.array(x, order="F")  # as the solvers want it
            y[:-1] -= h * x.sum(axis=0)
            y[-1] = 0.0
            u = solve(y)[:-1]
            if self.directions is not None:
                u = u - d @ np.linalg.solve(core, d.T @ y[:-1])
            out = np.empty(x.shape, dtype=complex, order="F")
            mean = h[:, 0] @ u
            np.subtract(u, mean, out=out[:-1])
            out[-1] = -mean
            out *= q
            return out

        return AtPoint(order, apply)

    def columns(self, g: Complex, p: Complex, q: Complex, picked: Int) -> Complex:
        """E e_j for some j at F points, shape (F, n, len(picked))."""
        unit = np.zeros((self.laplacian.shape[0], picked.size))
        unit[picked, np.arange(picked.size)] = 1.0
        return self.products(g, p, q, unit)

    def products(self, g: Complex, p: Complex, q: Complex, x: Real | Complex) -> Complex:
        """E x for x (n, m) at F points, shape (F, n, m)."""
        out = np.empty((len(p), *x.shape), dtype=complex)
        with self._threads():
            for i in range(len(p)):
                order, apply = self.at(g[i], p[i], q[i])
                out[i, order] = apply(x[order].astype(complex))
        return out

    def norms(
        self, g: Complex, p: Complex, q: Complex, extra: tuple[Real, Complex] | None = None, *, tolerance: float = TOLERANCE
    ) -> Real:
        """||E||_2 at F points, (F,): to 1e-8, by `symmetric_norm`, each started at its neighbour.

        `extra` = (P, M) with M (F, k, k) symmetric: of E + P M P^T.
        """
        rng, n = np.random.default_rng(0), self.laplacian.shape[0]
        out, vector, least = np.zeros(len(p)), None, LEAST
        most = STEPS if sp.issparse(self.laplacian) else max(CROWDED, n // 5)
        if n == 1 or (extra is None and self.directions is not None and self.directions.shape[1] == n - 1):
            return out
        with self._threads():
            if extra is not None:  # at a pole of f the deviation vanishes, and what is added remains
                for i in np.flatnonzero(q == 0):
                    root: Any = np.linalg.qr(extra[0], mode="r")
                    out[i] = np.linalg.norm(root @ extra[1][i] @ root.T, 2)
            for i in np.flatnonzero(q):
                order, apply = self.at(g[i], p[i], q[i])
                if extra is not None:
                    apply = _with(apply, extra[0][order], extra[1][i])
                try:
                    found = symmetric_norm(apply, started(vector, n, rng)[order], least=least, most=most, tolerance=tolerance)
                except ToleranceError as error:
                    if sp.issparse(self.laplacian):
                        raise ToleranceError(f"{error}, at point {i} of {len(p)}; ask for less with tolerance=") from None
                    out[i] = np.linalg.norm(apply(np.eye(n, dtype=complex)), 2)  # singular values crowd: take them all
                    continue
                out[i], vector = found.value, np.empty(n, dtype=complex)
                vector[order] = found.vector
                least = max(LEAST, found.products - 2)  # the neighbour will need about as many
        return out

    def _threads(self) -> AbstractContextManager[Any]:
        return single_thread(0 if sp.issparse(self.laplacian) else len(self.laplacian))

    def _order(self, ground: int, g: Complex) -> tuple[Int, _Dense | _Sparse]:
        """Nodes with the grounded one last (sparse: the others in a fill-reducing order), and their bordered Laplacian."""
        kept = np.delete(np.arange(self.laplacian.shape[0]), ground)
        if not sp.issparse(self.laplacian):
            part = np.zeros((len(kept) + 1, len(kept) + 1))
            part[:-1, :-1] = np.asarray(self.laplacian)[np.ix_(kept, kept)]
            return np.append(kept, ground), _Dense(part)
        inner = self.laplacian[kept][:, kept]
        if len(kept):
            order = np.argsort(factorise(inner + sp.eye_array(len(kept)) * abs(inner).max()).perm_c)
            kept, inner = kept[order], inner[order][:, order]
        return np.append(kept, ground), _bordered(inner, np.flatnonzero(g[kept]))


def _with(apply: Product, p: Real, m: Complex) -> Product:
    return lambda x: apply(x) + p @ (m @ (p.T @ x))


@dataclass(frozen=True)
class _Dense:
    """The grounded Laplacian with an empty border."""

    matrix: Real

    def holds(self, g: Complex) -> bool:
        """Whether there is room for these values in the border."""
        return True

    def solver(self, p: complex, border: Complex) -> Solve:
        """Solves with p times the matrix and `border` on the diagonal, last row and last column."""
        matrix = p * self.matrix
        inner = np.arange(len(matrix) - 1)
        matrix[inner, inner] += border[:-1]
        matrix[-1], matrix[:, -1] = border, border
        lu, pivots, fault = lapack.zgetrf(matrix.T, overwrite_a=True)  # symmetric: the transpose has LAPACK's order of memory
        if fault:
            raise PoleError("one of the points s is a pole of T; move it")
        return lambda y: np.asarray(lapack.zgetrs(lu, pivots, y)[0])


@dataclass(frozen=True)
class _Sparse:
    """The same in sparse form, with a border at `active` nodes and the corner only, and where its values stand in the data."""

    matrix: sp.csc_array
    active: Int  # and the last
    diagonal: Int
    row: Int
    column: Int

    def holds(self, g: Complex) -> bool:
        """Whether there is room for these values in the border."""
        room = np.zeros(len(g) + 1, dtype=bool)
        room[self.active] = True
        return not (g[~room[:-1]] != 0).any()

    def solver(self, p: complex, border: Complex) -> Solve:
        """Solves with p times the matrix and `border` on the diagonal, last row and last column."""
        data = p * self.matrix.data
        data[self.diagonal] += border[:-1]
        data[self.row] = data[self.column] = border[self.active]
        try:
            lu = factorise(
                sp.csc_array((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape), ordering="NATURAL"
            )
        except InputError:
            raise PoleError("one of the points s is a pole of T; move it") from None
        return lambda y: np.asarray(lu.solve(y))


def _bordered(inner: Any, active: Int) -> _Sparse:
    """Every entry of the border and of the diagonal is stored, zeros too: values are put there for each point."""
    n = inner.shape[0]
    entries, last = sp.coo_array(inner), np.full(len(active), n)
    rows = np.concatenate([entries.row, np.arange(n), last, active, [n]])
    columns = np.concatenate([entries.col, np.arange(n), active, last, [n]])
    values = np.concatenate([entries.data, np.zeros(n + 2 * len(active) + 1)])
    matrix = sp.csc_array(sp.coo_array((values, (rows, columns)), shape=(n + 1, n + 1)))  # doubles are summed, zeros stay
    matrix.sort_indices()
    where = np.repeat(np.arange(n + 1), np.diff(matrix.indptr))
    found = [np.flatnonzero(mask) for mask in (matrix.indices == where, matrix.indices == n, where == n)]
    return _Sparse(matrix, np.append(active, n), found[0][:-1], found[1], found[2])
