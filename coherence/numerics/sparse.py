r"""Sparse matrices with most of their rows to be eliminated: Schur complements, and Y(s) = G^{-1} + f L for many s.

Passive nodes (g_i^{-1} = 0) stay in the matrix: the sparse solve is their elimination. Orderings are computed once
(minimum degree on A + A^T) and used for every s. The dense twin is `deflation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from coherence.errors import InputError, PoleError
from coherence.types import Complex, Int, Real


def factorise(matrix: Any, *, ordering: str = "MMD_AT_PLUS_A") -> Any:
    """LU of a matrix of symmetric pattern; a singular one is an InputError."""
    try:
        return spla.splu(sp.csc_array(matrix), permc_spec=ordering, options={"SymmetricMode": True}, diag_pivot_thresh=0.1)
    except RuntimeError:
        raise InputError("the block to eliminate is singular; keep one of its nodes") from None


def schur_complement(matrix: Any, keep: Int) -> sp.csr_array:
    """A_kk - A_ke A_ee^{-1} A_ek of a square sparse matrix, in the order of `keep`; need not be symmetric.

    Only columns that touch the eliminated block are solved for, so eliminating few of many rows stays sparse.
    """
    a = sp.csr_array(matrix)
    gone = np.setdiff1d(np.arange(a.shape[0]), keep)
    kept = sp.csr_array(a[keep][:, keep])
    if gone.size == 0:
        return kept
    up, down = sp.csr_array(a[keep][:, gone]), sp.csc_array(a[gone][:, keep])
    rows, columns = np.flatnonzero(np.diff(up.indptr)), np.flatnonzero(np.diff(down.indptr))
    if not rows.size or not columns.size:
        return kept
    solved = factorise(a[gone][:, gone]).solve(down[:, columns].toarray())
    block = sp.coo_array(up[rows] @ solved)
    change = sp.csr_array((block.data, (rows[block.row], columns[block.col])), shape=kept.shape)
    return sp.csr_array(kept - change)


def positive_definite(matrix: Any) -> bool:
    """Whether a symmetric sparse matrix is positive definite, by the signs of its pivots (inertia)."""
    try:
        lu = spla.splu(sp.csc_array(matrix), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    except RuntimeError:
        return False
    return bool((lu.perm_r == lu.perm_c).all() and (lu.U.diagonal() > 0).all())


def deviation_columns(laplacian: Any, inverse_nodes: Complex, p: Complex, q: Complex, columns: Int) -> Complex:
    """E e_j = (T - 11^T / a) e_j for the columns j, shape (F, n, len(columns)); formulas in `deflation`.

    E e_j = q (I - 1 h^T) N S^{-1} N^T (e_j - h) with S = q (G^{-1} - g g^T / a) + p L without row and column r;
    the rank-one term by Sherman-Morrison.

    Parameters
    ----------
    laplacian : (n, n) sparse array
    inverse_nodes : (F, n) complex
    p, q : (F,) complex
        Numerator and denominator of f.
    columns : (m,) int
    """
    n = laplacian.shape[0]
    out = np.zeros((len(p), n, columns.size), dtype=complex)
    unit = np.zeros((n, columns.size))
    unit[columns, np.arange(columns.size)] = 1.0
    orderings: dict[int, tuple[Int, sp.csr_array]] = {}
    for i in range(len(p)):
        g, total = inverse_nodes[i], inverse_nodes[i].sum()
        if total == 0:
            raise PoleError("one of the points s is a pole of the coherent dynamics g_hat; move it")
        ground = int(np.abs(g).argmax())
        if ground not in orderings:
            orderings[ground] = _ordering(laplacian, ground)
        kept, part = orderings[ground]
        h = g / total
        try:
            lu = factorise(p[i] * part + sp.diags_array(q[i] * g[kept]), ordering="NATURAL")
        except InputError:
            raise PoleError(f"point number {i} of s is a pole of T; move it") from None
        solved = lu.solve(np.column_stack([unit[kept] - h[kept, None], g[kept]]))
        x, w = solved[:, :-1], solved[:, -1]
        x = x + q[i] * np.outer(w, g[kept] @ x) / (total - q[i] * (g[kept] @ w))
        full = np.zeros((n, columns.size), dtype=complex)
        full[kept] = x
        out[i] = q[i] * (full - h @ full)
    return out


def _ordering(laplacian: Any, ground: int) -> tuple[Int, sp.csr_array]:
    """Nodes but the grounded one in a fill-reducing order, and their Laplacian (its sum with any diagonal has that pattern)."""
    kept = np.delete(np.arange(laplacian.shape[0]), ground)
    part = laplacian[kept][:, kept]
    order = np.argsort(factorise(part + sp.eye_array(len(kept)) * abs(part).max()).perm_c)
    return kept[order], sp.csr_array(part[order][:, order])


def smallest_eigenvalues(laplacian: sp.csr_array, count: int) -> Real:
    """The `count` least eigenvalues of a sparse positive semidefinite Laplacian of a connected graph, ascending."""
    n = laplacian.shape[0]
    shift = -1e-3 * float(abs(laplacian).diagonal().mean())
    start = np.random.default_rng(0).standard_normal(n)
    values = spla.eigsh(laplacian, k=min(count, n - 1), sigma=shift, v0=start, return_eigenvectors=False, tol=1e-12)
    values = np.sort(values)
    values[0] = 0.0
    return np.asarray(values)
