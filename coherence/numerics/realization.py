"""Dense state spaces as plain arrays: x' = A x + B u, y = C x + D u.

Names of signals live with the network (`coherence.network`), norms and gramians next door.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.types import ArrayLike, Complex, Real, laplace_points

_FEW = 24  # states up to which all points are solved for at once: 4 to 20 times as fast


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

    @property
    def rounding(self) -> float:
        """Size of a real part that rounding alone can give a pole: order * eps * ||A||_1 after balancing."""
        if not self.order:
            return 0.0
        balanced = sla.matrix_balance(self.a, permute=False)[0]
        return self.order * float(np.finfo(float).eps) * float(np.abs(balanced).sum(axis=0).max())

    def is_stable(self) -> bool:
        """Whether all poles are in Re s < 0, beyond doubt of rounding."""
        poles = self.poles()
        return not poles.size or bool(poles[0].real < -self.rounding)

    def __call__(self, s: ArrayLike) -> Complex:
        """C (sI - A)^-1 B + D at the points s, shape (F, p, m).

        One complex Schur form A = Z R Z*, then a triangular solve per point: O(N^2) each, backward stable. Few states are
        solved for at all points at once.
        """
        points = laplace_points(s)
        out = np.broadcast_to(self.d.astype(complex), (points.size, *self.d.shape)).copy()
        if self.order == 0:
            return out
        balanced, (scale, _) = sla.matrix_balance(self.a, separate=True, permute=False)
        if self.order <= _FEW:
            shifted = points[:, None, None] * np.eye(self.order) - balanced
            try:
                return np.asarray(
                    out + (self.c * scale) @ np.linalg.solve(shifted, (self.b / scale[:, None]).astype(complex)[None])
                )
            except np.linalg.LinAlgError:  # a point at a pole
                pass
        r, z = sla.schur(balanced, output="complex")
        left, right = (self.c * scale) @ z, z.conj().T @ (self.b / scale[:, None])
        eye = np.eye(self.order)
        for i, point in enumerate(points):
            out[i] += left @ sla.solve_triangular(point * eye - r, right, check_finite=False)
        return out

    def dc_gain(self) -> Real:
        """D - C A^-1 B, shape (p, m)."""
        return self.d - self.c @ np.linalg.solve(self.a, self.b) if self.order else self.d

    def transformed(self, *, left: Real | None = None, right: Real | None = None) -> Realization:
        """Left @ (this) @ right."""
        c, d = (self.c, self.d) if left is None else (left @ self.c, left @ self.d)
        b, d = (self.b, d) if right is None else (self.b @ right, d @ right)
        return Realization(self.a, b, c, d)


def pole_text(pole: complex) -> str:
    """A pole in messages: 0.5, or -0.1+2j."""
    return f"{pole.real + 0.0:.4g}" if pole.imag == 0 else f"{pole:.4g}"


def difference(first: Realization, second: Realization) -> Realization:
    """State space of first - second, by stacking the states."""
    return Realization(
        sla.block_diag(first.a, second.a),
        np.vstack([first.b, second.b]),
        np.hstack([first.c, -second.c]),
        first.d - second.d,
    )


def without_hidden(system: Realization) -> Realization:
    """The same transfer function without marginal poles that cancel in it (common integrators of a difference).

    A = diag(A_0, A_-) by an ordered Schur form and a Sylvester equation; A_0, of poles that rounding cannot tell from the
    imaginary axis, is dropped when its Markov parameters do not exceed rounding of what they are made of. Otherwise, and where
    a pole lies to the right of the axis beyond doubt, the system comes back as it was.
    """
    limit = system.rounding
    if not system.order or not -limit <= system.poles()[0].real <= limit:
        return system
    t, z, count = sla.schur(system.a, output="real", sort=lambda re, im: re >= -limit)
    b, c = z.T @ system.b, system.c @ z
    x = sla.solve_sylvester(t[:count, :count], -t[count:, count:], -t[:count, count:])
    b0, c1 = b[:count] - x @ b[count:], c[:, count:] + c[:, :count] @ x
    a0, c0 = np.where(np.abs(t[:count, :count]) > system.rounding, t[:count, :count], 0.0), c[:, :count]
    a0 = a0 / (float(np.linalg.norm(a0)) or 1.0)
    size = np.linalg.norm(c0, axis=1)[:, None] * np.linalg.norm(np.vstack([b[:count], x @ b[count:]]), axis=0)
    allowed = 100 * system.order * np.finfo(float).eps * max(1.0, float(np.linalg.norm(x))) * size
    for _ in range(count):  # Markov parameters C_0 A_0^j B_0
        if (np.abs(c0 @ b0) > allowed).any():
            return system
        b0 = a0 @ b0
    return Realization(t[count:, count:], b[count:], c1, system.d)


def integrators_apart(system: Realization) -> tuple[Realization, Realization]:
    """G = G_0 + G_-: all poles at s = 0 in the first, the others and the feedthrough in the second.

    A pole of multiplicity m at 0 comes out of rounding as m eigenvalues around it of size (eps |N|^{m-1})^{1/m}, N what is above
    the diagonal of their Schur block, with a mean of 0 to rounding; the largest such cluster is taken. A pair +-1e-8 that N does
    not explain is none. All in balanced coordinates, so that units do not matter.
    """
    if system.order:
        a, (scaling, _) = sla.matrix_balance(system.a, separate=True, permute=False)
        system = Realization(a, system.b / scaling[:, None], system.c * scaling, system.d)
    none = Realization(np.zeros((0, 0)), system.b[:0], system.c[:, :0], np.zeros_like(system.d))
    poles, limit = system.poles(), system.rounding
    poles = poles[np.argsort(np.abs(poles), kind="stable")]
    size = np.abs(poles)
    count, border = 0, 0.0
    for m in range(1, len(size) + 1):
        reach = max(size[m - 1], limit)
        if reach > 0.1 * size[-1] > 0:  # no cluster any more
            break
        if m < len(size) and size[m] <= 10 * reach:
            continue  # the next one belongs to it
        if abs(poles[:m].mean()) > limit:
            continue
        # another decomposition rounds such a cluster to another size: what parts it from the rest lies midway
        edge = np.sqrt(reach * size[m]) if m < len(size) else np.inf
        block = sla.schur(system.a, output="complex", sort=lambda x, edge=edge: abs(x) <= edge)[0][:m, :m]
        above = float(np.linalg.norm(np.triu(block, 1)))
        if size[m - 1] <= max(limit, (limit * above ** (m - 1)) ** (1 / m)):
            count, border = m, edge
    if not count:
        return none, system
    t, z, found = sla.schur(system.a, output="real", sort=lambda re, im: re * re + im * im <= border**2)
    b, c = z.T @ system.b, system.c @ z
    x = sla.solve_sylvester(t[:found, :found], -t[found:, found:], -t[:found, found:])
    head = np.zeros((1, 1)) if found == 1 else t[:found, :found]
    return (
        Realization(head, b[:found] - x @ b[found:], c[:, :found], np.zeros_like(system.d)),
        Realization(t[found:, found:], b[found:], c[:, found:] + c[:, :found] @ x, system.d),
    )


def parallel(first: Realization, second: Realization) -> Realization:
    """State space of first + second."""
    return difference(first, second._replace(c=-second.c, d=-second.d))


def repeated(system: Realization, count: int) -> Realization:
    """The same system in each of several channels, none touching another."""
    return Realization(*(np.kron(np.eye(count), matrix) for matrix in system))


def cascade(first: Realization, second: Realization) -> Realization:
    """State space of second(s) first(s): the output of `first` drives `second`."""
    n1, n2 = first.order, second.order
    a = np.zeros((n1 + n2, n1 + n2))
    a[:n1, :n1], a[n1:, n1:], a[n1:, :n1] = first.a, second.a, second.b @ first.c
    return Realization(a, np.vstack([first.b, second.b @ first.d]), np.hstack([second.d @ first.c, second.c]), second.d @ first.d)
