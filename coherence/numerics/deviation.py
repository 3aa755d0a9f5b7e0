r"""Products with the deviation E(s) = T - V (V^T Y V)^{-1} V^T from one factorisation per point; T is never formed.

With the node r of largest |g^{-1}| grounded, N = [e_i : i != r], a = sum(g) and h = g/a (`deflation` has the derivation),

    E x = q (I - 1 h^T) N S^{-1} N^T (I - h 1^T) x,     S = M - q g g^T / a,   M = N^T (q G^{-1} + p L) N,

S by Sherman-Morrison. For k > 1 the span of V = [1 D] is taken out of S^{-1} too, D in grounded coordinates (rows minus row r):

    S^{-1} - D (D^T S D)^{-1} D^T.

That is a difference of terms of the size 1/|f| lambda_2 whose result has the size 1/|f| lambda_{k+1}: it costs the digits of their
ratio, which the dense elimination in `deflation` does not.

Passive nodes (g_i^{-1} = 0) stay in a sparse M: the solve is their elimination. The fill-reducing order is found once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.lapack as lapack
import scipy.sparse as sp

from coherence.errors import InputError, PoleError
from coherence.numerics.sparse import factorise
from coherence.numerics.spectral import started, symmetric_norm
from coherence.types import Complex, Int, Real

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
    _orders: dict[int, tuple[Int, Any]] = field(default_factory=dict, repr=False)

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
        if ground not in self._orders:
            self._orders[ground] = self._order(ground)
        order, part = self._orders[ground]
        kept = order[:-1]
        mine = g[kept]
        h = (mine / total)[:, None]
        solve = _dense(part, p, q * mine) if isinstance(part, np.ndarray) else _sparse(part, p, q * mine)
        w = solve(mine[:, None])
        pivot = total - q * (mine @ w)[0]
        if pivot == 0:
            raise PoleError("one of the points s is a pole of T; move it")
        row = (q / pivot) * mine
        if self.directions is not None:
            d = self.directions[kept] - self.directions[ground]
            across = mine @ d
            core = d.T @ (p * (part @ d) + (q * mine)[:, None] * d) - q * np.outer(across, across) / total

        def apply(x: Complex) -> Complex:
            y = x[:-1] - h * x.sum(axis=0)
            u = solve(y)
            u += w * (row @ u)
            if self.directions is not None:
                u -= d @ np.linalg.solve(core, d.T @ y)
            out = np.empty(x.shape, dtype=complex)
            mean = h[:, 0] @ u
            np.subtract(u, mean, out=out[:-1])
            out[-1] = -mean
            out *= q
            return out

        return AtPoint(order, apply)

    def columns(self, g: Complex, p: Complex, q: Complex, picked: Int) -> Complex:
        """E e_j for some j at F points, shape (F, n, len(picked))."""
        n = self.laplacian.shape[0]
        unit = np.zeros((n, picked.size), dtype=complex)
        unit[picked, np.arange(picked.size)] = 1.0
        out = np.empty((len(p), n, picked.size), dtype=complex)
        for i in range(len(p)):
            order, apply = self.at(g[i], p[i], q[i])
            out[i, order] = apply(unit[order])
        return out

    def norms(self, g: Complex, p: Complex, q: Complex, extra: tuple[Real, Complex] | None = None) -> Real:
        """||E||_2 at F points, (F,): to 1e-8, by `symmetric_norm`, each started at its neighbour.

        `extra` = (P, M) with M (F, k, k) symmetric: of E + P M P^T.
        """
        rng, n = np.random.default_rng(0), self.laplacian.shape[0]
        out, vector = np.zeros(len(p)), None
        if n == 1 or (extra is None and self.directions is not None and self.directions.shape[1] == n - 1):
            return out
        for i in range(len(p)):
            if q[i] == 0:
                continue  # at a pole of f the deviation vanishes
            order, apply = self.at(g[i], p[i], q[i])
            if extra is not None:
                apply = _with(apply, extra[0][order], extra[1][i])
            found = symmetric_norm(apply, started(vector, n, rng)[order])
            out[i], vector = found.value, np.empty((n, 1), dtype=complex)
            vector[order] = found.vector
        return out

    def _order(self, ground: int) -> tuple[Int, Any]:
        """Nodes with the grounded one last (sparse: the others in a fill-reducing order), and the Laplacian of the others."""
        kept = np.delete(np.arange(self.laplacian.shape[0]), ground)
        if not sp.issparse(self.laplacian):
            part = np.asarray(self.laplacian)[np.ix_(kept, kept)]
        else:
            part = self.laplacian[kept][:, kept]
            if len(kept):
                order = np.argsort(factorise(part + sp.eye_array(len(kept)) * abs(part).max()).perm_c)
                kept, part = kept[order], _pattern(part[order][:, order])
        return np.append(kept, ground), part


def _with(apply: Product, p: Real, m: Complex) -> Product:
    return lambda x: apply(x) + p @ (m @ (p.T @ x))


class _Pattern(NamedTuple):
    """A sparse matrix, and where its diagonal stands in its data."""

    matrix: sp.csc_array
    diagonal: Int

    def __matmul__(self, x: Real) -> Real:
        return np.asarray(self.matrix @ x)


def _pattern(matrix: Any) -> _Pattern:
    csc = sp.csc_array(matrix)
    csc.sort_indices()
    columns = np.repeat(np.arange(csc.shape[1]), np.diff(csc.indptr))
    found = np.flatnonzero(csc.indices == columns)
    if len(found) < csc.shape[1]:  # a node without neighbours has no entry
        return _pattern(csc + sp.diags_array(np.full(csc.shape[1], np.finfo(float).tiny)))
    return _Pattern(csc, found)


def _sparse(part: _Pattern, p: complex, diagonal: Complex) -> Solve:
    data = p * part.matrix.data
    data[part.diagonal] += diagonal
    matrix = sp.csc_array((data, part.matrix.indices, part.matrix.indptr), shape=part.matrix.shape)
    try:
        lu = factorise(matrix, ordering="NATURAL")
    except InputError:
        raise PoleError("one of the points s is a pole of T; move it") from None
    return lambda y: np.asarray(lu.solve(y))


def _dense(part: Real, p: complex, diagonal: Complex) -> Solve:
    matrix = p * part
    matrix[np.arange(len(part)), np.arange(len(part))] += diagonal
    if not len(part):
        return lambda y: np.asarray(y, dtype=complex)
    lu, pivots, fault = lapack.zgetrf(matrix.T, overwrite_a=True)  # symmetric: the transpose has LAPACK's order of memory
    if fault:
        raise PoleError("one of the points s is a pole of T; move it")
    return lambda y: np.asarray(lapack.zgetrs(lu, pivots, y)[0])
