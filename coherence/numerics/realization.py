"""Dense state spaces as plain arrays: x' = A x + B u, y = C x + D u.

Names of signals live with the network (`coherence.network`), norms and gramians next door.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.types import ArrayLike, Complex, Real, laplace_points


class Realization(NamedTuple):
    """State space of order N with m inputs and p outputs."""

    a: Real  # (N, N)
    b: Real  # (N, m)
    c: Real  # (p, N)
    d: Real  # (p, m)

    @property
    def order(self) -> int:
        """Number of states N."""
        return len(self.a)

    def poles(self) -> Complex:
        """Eigenvalues of A, sorted by real part."""
        values = np.linalg.eigvals(self.a) if self.order else np.empty(0)
        return np.asarray(values[np.argsort(-values.real, kind="stable")], dtype=complex)

    def __call__(self, s: ArrayLike) -> Complex:
        """C (sI - A)^-1 B + D at the points s, shape (F, p, m).

        One complex Schur form A = Z R Z*, then a triangular solve per point: O(N^2) each, backward stable.
        """
        points = laplace_points(s)
        out = np.broadcast_to(self.d.astype(complex), (points.size, *self.d.shape)).copy()
        if self.order == 0:
            return out
        balanced, (scale, permutation) = sla.matrix_balance(self.a, separate=True, permute=False)
        del permutation
        r, z = sla.schur(balanced, output="complex")
        left, right = (self.c * scale) @ z, z.conj().T @ (self.b / scale[:, None])
        eye = np.eye(self.order)
        for i, point in enumerate(points):
            out[i] += left @ sla.solve_triangular(point * eye - r, right, check_finite=False)
        return out

    def dc_gain(self) -> Real:
        """D - C A^-1 B, shape (p, m)."""
        return self.d - self.c @ np.linalg.solve(self.a, self.b) if self.order else self.d

    def select(self, *, inputs: slice | list[int] | None = None, outputs: slice | list[int] | None = None) -> Realization:
        """The same states with some inputs and outputs only."""
        i = slice(None) if inputs is None else inputs
        o = slice(None) if outputs is None else outputs
        return Realization(self.a, self.b[:, i], self.c[o], self.d[o][:, i])

    def transformed(self, *, left: Real | None = None, right: Real | None = None) -> Realization:
        """Left @ (this) @ right."""
        c, d = (self.c, self.d) if left is None else (left @ self.c, left @ self.d)
        b, d = (self.b, d) if right is None else (self.b @ right, d @ right)
        return Realization(self.a, b, c, d)


def difference(first: Realization, second: Realization) -> Realization:
    """State space of first - second, by stacking the states."""
    return Realization(
        sla.block_diag(first.a, second.a),
        np.vstack([first.b, second.b]),
        np.hstack([first.c, -second.c]),
        first.d - second.d,
    )


def cascade(first: Realization, second: Realization) -> Realization:
    """State space of second(s) first(s): the output of `first` drives `second`."""
    n1, n2 = first.order, second.order
    a = np.zeros((n1 + n2, n1 + n2))
    a[:n1, :n1], a[n1:, n1:], a[n1:, :n1] = first.a, second.a, second.b @ first.c
    return Realization(a, np.vstack([first.b, second.b @ first.d]), np.hstack([second.d @ first.c, second.c]), second.d @ first.d)
