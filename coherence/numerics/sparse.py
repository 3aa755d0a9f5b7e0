"""Sparse matrices: factorisation of a symmetric pattern, Schur complements, definiteness, least eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from coherence.errors import InputError, ToleranceError
from coherence.types import Int, Real

SHIFTS = 6  # each a hundredth of the last, from a thousandth of the mean diagonal entry


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


def least_eigenpairs(laplacian: sp.csr_array, count: int) -> tuple[Real, Real]:
    """The `count` least eigenvalues of a sparse Laplacian of a connected graph, ascending, and orthonormal eigenvectors.

    The first pair is exactly 0 and 1/sqrt(n).

    Raises
    ------
    ToleranceError
        No shift gives them.
    """
    n = laplacian.shape[0]
    first = np.full(n, 1.0 / np.sqrt(n))
    start = np.random.default_rng(0).standard_normal(n)
    shift = -1e-3 * float(abs(laplacian).diagonal().mean())
    for _ in range(SHIFTS):
        try:
            values, vectors = spla.eigsh(laplacian, k=count, sigma=shift, v0=start, tol=1e-12)
        except spla.ArpackNoConvergence:
            shift *= 1e-2  # weights of many decades: the least eigenvalues lie much closer to 0
            continue
        if np.sort(values)[1:2].min(initial=np.inf) >= -0.1 * shift:
            break
        shift *= 1e-2  # accurate relative to the shift only
    else:
        raise ToleranceError(f"the {count} least eigenvalues of the Laplacian did not converge; its weights span too many decades")
    order = np.argsort(values)
    values, vectors = values[order], vectors[:, order]
    rest = vectors[:, 1:] - np.outer(first, first @ vectors[:, 1:])
    return np.concatenate([[0.0], values[1:]]), np.column_stack([first, np.linalg.qr(rest)[0]])
