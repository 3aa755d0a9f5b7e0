"""Sparse matrices: factorisation of a symmetric pattern, Schur complements, definiteness, least eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from coherence.errors import InputError, ToleranceError
from coherence.types import Int, Real

COPY = 1e-9  # relative distance of eigenvalues from which on one is less than the other
LOOSE, LOOK = 1e-3, 12  # relative residual and vectors of a first look at the least eigenvalue that is left


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


def negative_pivots(matrix: Any) -> int | None:
    """How many negative eigenvalues a symmetric sparse matrix has, by its pivots' signs; None: rows had to be exchanged."""
    try:
        lu = spla.splu(sp.csc_array(matrix), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    except RuntimeError:
        return None
    return int((lu.U.diagonal() < 0).sum()) if (lu.perm_r == lu.perm_c).all() else None


def schur_connectivity(matrix: sp.csr_array, count: int, ground: int) -> float:
    """lambda_2 of the Laplacian S = A_kk - A_ke A_ee^{-1} A_ek that the first `count` rows see, without forming it.

        S^+ x = Pi (A^+ [x; 0])_k   on the complement Pi of 1,     lambda_2 = 1 / max eig S^+

    A: symmetric, zero row sums, connected, S >= 0; A itself may be indefinite. One sparse factorisation with node `ground` < count
    grounded, then Lanczos; memory is that of the factors.

    Raises
    ------
    InputError
        The grounded matrix is singular.
    ToleranceError
        Lanczos did not converge.
    """
    rest = np.delete(np.arange(matrix.shape[0]), ground)
    lu = factorise(matrix[rest][:, rest])
    place = np.delete(np.arange(count), ground)

    def product(x: Real) -> Real:
        flat = x.ravel() - x.mean()
        right, y = np.zeros(len(rest)), np.zeros(count)
        right[: count - 1] = flat[place]  # rows of `rest` begin with the kept nodes but one
        y[place] = lu.solve(right)[: count - 1]
        return np.asarray(y - y.mean())

    if count <= LOOK:
        inverse = np.column_stack([product(column) for column in np.eye(count)])
        return float(1.0 / np.linalg.eigvalsh(0.5 * (inverse + inverse.T))[-1])
    operator = spla.LinearOperator((count, count), matvec=product, dtype=float)
    try:
        start = product(np.random.default_rng(0).standard_normal(count))
        (value,) = spla.eigsh(operator, k=1, which="LA", v0=start, tol=1e-13, return_eigenvectors=False)
    except spla.ArpackNoConvergence:
        raise ToleranceError("lambda_2 of the eliminated Laplacian did not converge; its weights span too many decades") from None
    return float(1.0 / value)


def least_eigenpairs(laplacian: sp.csr_array, count: int, weight: Real | None = None) -> tuple[Real, Real]:
    """The `count` least eigenvalues of W^{-1/2} L W^{-1/2}, ascending, and orthonormal eigenvectors; L of a connected graph.

    The first pair is exactly 0 and W^{1/2} 1 / |W^{1/2} 1|, with W = diag(weight), the identity by default. Lanczos runs on the
    pseudoinverse: one node is grounded, so that no shift has to be near eigenvalues of unknown size.

    Raises
    ------
    ToleranceError
        They did not converge.
    """
    n = laplacian.shape[0]
    root = np.ones(n) if weight is None else np.sqrt(weight)
    found = (root / np.linalg.norm(root))[:, None]
    ground = int(laplacian.diagonal().argmax())
    rest = np.delete(np.arange(n), ground)
    lu = factorise(laplacian[rest][:, rest])
    draws = np.random.default_rng(0)

    def largest(missing: int, tol: float = 1e-12, ncv: int | None = None) -> tuple[Real, Real]:
        """Eigenpairs of the pseudoinverse on the complement of `found`, as eigenvalues of the Laplacian."""

        def product(x: Real) -> Real:
            right, y = root * away(x.ravel()), np.zeros(n)
            y[rest] = lu.solve(right[rest])
            return away(root * y)

        def away(x: Real) -> Real:
            return np.asarray(x - found @ (found.T @ x))

        operator = spla.LinearOperator((n, n), matvec=product, dtype=float)
        try:
            values, vectors = spla.eigsh(operator, k=missing, which="LA", v0=away(draws.standard_normal(n)), tol=tol, ncv=ncv)
        except spla.ArpackNoConvergence:
            raise ToleranceError(
                f"the {count} least eigenvalues of the Laplacian did not converge; its weights span too many decades"
            ) from None
        return 1.0 / np.maximum(values, np.finfo(float).tiny), np.linalg.qr(away(vectors))[0]

    values = np.zeros(1)
    if count > 1:
        new, vectors = largest(count - 1)
        values, found = np.concatenate([values, new]), np.column_stack([found, vectors])
        while found.shape[1] < n - 1:  # Lanczos sees one vector of a repeated eigenvalue, its copies through rounding only
            if n > LOOK and largest(1, LOOSE, LOOK)[0][0] >= values.max() * (1 + 3 * LOOSE):
                break  # what is left is clearly larger
            new, vectors = largest(1)
            if new[0] >= values.max() * (1 - COPY):
                break
            values, found = np.concatenate([values, new]), np.column_stack([found, vectors])
    order = np.argsort(values, kind="stable")[:count]
    return values[order], found[:, order]
