r"""Deviations T - (coherent part) by elimination, so that nothing cancels.

With g = diag G^{-1}, f = p/q and Y = G^{-1} + f L, the deviation from one node moving as all,

    E = T - 11^T / a,   a = sum(g),

has the closed form (h = g/a, N = [e_i : i != r] for any node r)

    E = q (I - 1 h^T) N [ N^T (q (G^{-1} - g g^T/a) + p L) N ]^{-1} N^T (I - h 1^T).

Derivation: in the basis [1, N] the matrix Y has the blocks A = a, B = g^T N (L1 = 0 exactly), D = N^T Y N, so
T - 1 A^{-1} 1^T = X S^{-1} X^T with S = D - B^T B / a and X = N - 1 B / a = (I - 1 h^T) N. Multiplying by q clears
the poles of f: at a pole of f (q = 0) the formula gives E = 0, which is the limit. The node r is the one of largest |g_i^{-1}|,
frequency by frequency: then g_i (1 - g_i/a) and 1 - h_i never cancel, however much one node outweighs the others.

`group_deviation` repeats the elimination for the remaining k - 1 group directions, so that T minus its
Galerkin projection on k groups is again a product and never a difference.
"""

from __future__ import annotations

import numpy as np

from coherence.errors import PoleError
from coherence.types import Complex, Int, Real


def uniform_deviation(inverse_nodes: Complex, p: Complex, q: Complex, laplacian: Real, *, factor: Complex | None = None) -> Complex:
    """E = T - 11^T / sum(g) at F points.

    Parameters
    ----------
    inverse_nodes : (F, n) complex
        g_i^{-1}(s).
    p, q : (F,) complex
        Numerator and denominator of f at the same points.
    laplacian : (n, n) real
    factor : (F,) complex, optional
        In place of the q that stands before the product: with q = s q_1 and factor = q_1 the result is E / s, at s = 0 too.

    Returns
    -------
    (F, n, n) complex
    """
    n = len(laplacian)
    before = q if factor is None else factor
    out = np.zeros((len(p), n, n), dtype=complex)
    if n == 1:
        return out
    grounds = np.abs(inverse_nodes).argmax(axis=1)
    for ground in np.unique(grounds):
        at = np.flatnonzero(grounds == ground)
        x, y = _grounded(inverse_nodes[at], p[at], q[at], laplacian, ground=int(ground))
        out[at] = before[at, None, None] * (x @ _solve(y, x.swapaxes(1, 2)))
    return out


def group_deviation(inverse_nodes: Complex, p: Complex, q: Complex, laplacian: Real, assignment: Int) -> Complex:
    """T - P (P^T Y P)^{-1} P^T at F points, P the 0/1 indicator of `assignment` (values 0..k-1, all used).

    Shapes as in `uniform_deviation`; equal to it when every node is in one group.
    """
    n, k = laplacian.shape[0], int(assignment.max()) + 1
    out = np.zeros((len(p), n, n), dtype=complex)
    if n == k:
        return out
    size = np.abs(inverse_nodes)
    heaviest = np.stack([np.where(assignment == g, size, -1.0).argmax(axis=1) for g in range(k)], axis=1)  # one node per group
    order = np.argsort(-np.take_along_axis(size, heaviest, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(heaviest, order, axis=1)  # the heaviest of all first: it is grounded
    for representatives in np.unique(chosen, axis=0):
        at = np.flatnonzero((chosen == representatives).all(axis=1))
        ground = int(representatives[0])
        x, y = _grounded(inverse_nodes[at], p[at], q[at], laplacian, ground=ground)
        kept = np.delete(np.arange(n), ground)
        if k > 1:
            groups = (assignment[kept][:, None] == assignment[representatives[1:]]).astype(float)
            nodes = np.eye(n - 1)[:, ~np.isin(kept, representatives[1:])]
            a, b = groups.T @ y @ groups, groups.T @ y @ nodes
            complement = nodes - groups @ _solve(a, b)
            y = nodes.T @ y @ complement
            x = x @ complement
        out[at] = q[at, None, None] * (x @ _solve(y, x.swapaxes(1, 2)))
    return out


def modal_deviation(inverse_nodes: Complex, p: Complex, q: Complex, eigenvalues: Real, eigenvectors: Real, k: int) -> Complex:
    """T - T_k at F points, T_k = V_k (V_k^T G^{-1} V_k + f Lambda_k)^{-1} V_k^T.

    `eigenvalues` ascending with `eigenvalues[0] == 0`, `eigenvectors` the full orthogonal (n, n) matrix. The blocks
    V_k^T L V_perp vanish exactly and are never formed.
    """
    head, tail = eigenvectors[:, :k], eigenvectors[:, k:]
    if tail.shape[1] == 0:
        return np.zeros((len(p), len(head), len(head)), dtype=complex)
    weighted = q[:, None, None] * (inverse_nodes[:, :, None] * head)
    a = head.T @ weighted + p[:, None, None] * np.diag(eigenvalues[:k])
    b = weighted.swapaxes(1, 2) @ tail
    a_inverse_b = _solve(a, b)
    d = tail.T @ (q[:, None, None] * (inverse_nodes[:, :, None] * tail)) + p[:, None, None] * np.diag(eigenvalues[k:])
    x = tail - head @ a_inverse_b
    s = d - b.swapaxes(1, 2) @ a_inverse_b
    return q[:, None, None] * (x @ _solve(s, x.swapaxes(1, 2)))


def _grounded(inverse_nodes: Complex, p: Complex, q: Complex, laplacian: Real, *, ground: int) -> tuple[Complex, Complex]:
    """X = (I - 1 h^T) N and N^T (q (G^{-1} - g g^T / a) + p L) N with node `ground` left out of N."""
    f, n = inverse_nodes.shape
    kept = np.delete(np.arange(n), ground)
    total = inverse_nodes.sum(axis=1, keepdims=True)
    if (total == 0).any():
        raise PoleError("one of the points s is a pole of the coherent dynamics g_hat; move it")
    share = inverse_nodes[:, kept] / total
    y = p[:, None, None] * laplacian[np.ix_(kept, kept)]
    y = y - (q[:, None] * inverse_nodes[:, kept])[:, :, None] * share[:, None, :]
    y[:, np.arange(n - 1), np.arange(n - 1)] += q[:, None] * inverse_nodes[:, kept]
    x = np.broadcast_to(np.eye(n)[:, kept], (f, n, n - 1)) - share[:, None, :]
    return x, y


def _solve(y: Complex, x: Complex | Real) -> Complex:
    try:
        return np.linalg.solve(y, x)
    except np.linalg.LinAlgError:
        raise PoleError("one of the points s is a pole of T; move it") from None
