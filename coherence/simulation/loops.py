r"""Feedback in the sparse system: what controllers add to the equations of `descriptor`, always of low rank.

With the controllers' states x_k as one more slice of w,

    x_k' = A_k x_k + B_k v,   p = C_k x_k + D_k v,   v = F y + R (c_f z + f_inf y),   ... + L (c_f z + f_inf y) = u + W p.

At a point s, with C = F + f R, K and X = Y^{-1} W, a solution y_0 without feedback becomes

    y = y_0 + X p,   (I - K C X) p = K (C y_0 + r) + C_k (s - A_k)^{-1} x_k,

r = R c_f (s - A_f)^{-1} z: p columns more for each factorisation of Y(s), and a p x p system for each solve (Woodbury).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from coherence.errors import PoleError
from coherence.network.feedback import Feedback, well_posed_inverse
from coherence.numerics.realization import Realization
from coherence.types import Complex, Int, Real

Solve = Callable[[Any], Any]


class Loop(NamedTuple):
    """A feedback with its matrices sparse."""

    controller: Realization
    actuators: Any  # (n, p)
    outputs: Any  # (q, n)
    flows: Any  # (q, n)

    @classmethod
    def of(cls, feedback: Feedback) -> Loop:
        """That of a closed loop."""
        return cls(feedback.controller, *(sp.csr_array(x) for x in (feedback.actuators, feedback.outputs, feedback.flows)))

    def power(self, states: Real, y: Real, moved: Real) -> Real:
        """P from the controllers' states, y and c_f z + f_inf y, (p,)."""
        k = self.controller
        return np.asarray(k.c @ states + k.d @ (self.outputs @ y + self.flows @ moved))

    def followed(self, mine: Int, solve: Solve, right: Real, through: float) -> Real:
        """The outputs of nodes without a state, from `solve` without feedback; `through` is f_inf."""
        d, w = self.controller.d, self.actuators[mine]
        seen = d @ (self.outputs + through * self.flows)[:, mine]
        x, y = solve(w.toarray()), solve(right)
        return np.asarray(y + x @ (well_posed_inverse(np.eye(len(d)) - seen @ x) @ (seen @ y)))

    def growth(self, mine: Int, inertia: Real, damping: Real, through: float) -> float:
        """How fast proportional feedback may make these nodes grow, 0 at least [1/s]; `through` is f_inf.

        The largest eigenvalue of the symmetric part of m^{-1/2} W D_k (F + f_inf R) m^{-1/2}, less the least damping d/m.
        """
        scale = 1.0 / np.sqrt(np.abs(inertia))
        left = self.actuators[mine].toarray() * scale[:, None]
        right = (self.controller.d @ (self.outputs + through * self.flows)[:, mine]) * scale
        _, r = np.linalg.qr(np.hstack([left, right.T]))
        half = r[:, : left.shape[1]] @ r[:, left.shape[1] :].T
        rate = float(np.linalg.eigvalsh(half + half.T).max(initial=0.0)) / 2
        return max(0.0, rate - float((damping / inertia).min(initial=np.inf))) if rate > 0 else 0.0

    def closed(
        self, points: Complex, factors: Complex, gain: Complex, pulls: Complex, solves: Sequence[Solve]
    ) -> Callable[[Real, Real, Complex], tuple[Complex, Real]]:
        """(x_k, z, y_0) -> y and Re sum_p factor_p x_k(s_p), for what `Descriptor.resolvents` has at its points.

        Raises
        ------
        PoleError
            A point is a pole of the controllers or of the loop.
        """
        k = self.controller
        try:
            inner = np.linalg.inv(points[:, None, None] * np.eye(k.order) - k.a)
            columns = np.array([solve(self.actuators.toarray().astype(complex)) for solve in solves])  # X
            seen = np.array([self.outputs @ x + g * (self.flows @ x) for g, x in zip(gain, columns, strict=True)])
            response = k.d + k.c @ inner @ k.b
            back = np.linalg.inv(np.eye(len(k.d)) - response @ seen)
        except np.linalg.LinAlgError:
            raise PoleError("a step of the simulation meets a pole of the controllers or of the loop; take other times") from None

        def close(states: Real, angles: Real, y: Complex) -> tuple[Complex, Real]:
            v = (self.outputs @ y.T).T + gain[:, None] * (self.flows @ y.T).T
            if pulls.shape[1]:
                v = v + pulls @ (self.flows @ angles.T).T
            free = inner @ states
            p = np.einsum("pij,pj->pi", back, np.einsum("pij,pj->pi", response, v) + free @ k.c.T)
            v = v + np.einsum("pij,pj->pi", seen, p)
            moved = free + np.einsum("pij,pj->pi", inner @ k.b, v)
            return y + np.einsum("pni,pi->pn", columns, p), (factors @ moved).real

        return close

    def ranks(self, size: int, places: tuple[int, int, int], last: Int, top: Real, f: Realization) -> tuple[Any, Any]:
        """U and V of what feedback adds to the explicit system, M + U V: rows of V give p and v, columns of U take them.

        `places` are where y, c_f z's states and x_k begin, `last` and `top` where and by what each node's power is integrated.
        """
        (first, angles, controls), k, n = places, self.controller, self.actuators.shape[0]
        w: Any = sp.coo_array(self.actuators)
        gate = sp.csr_array((w.data / top[w.row], (last[w.row], w.col)), shape=(size, w.shape[1]))
        held = sp.eye_array(size, k.order, k=-controls)
        output = sp.eye_array(n, size, k=first)
        moved = f.d[0, 0] * output
        for j in range(f.order):
            moved = moved + f.c[0, j] * sp.eye_array(n, size, k=angles + j * n)
        v = self.outputs @ output + self.flows @ moved
        p = sp.csr_array(k.d) @ v + sp.csr_array(k.c) @ held.T
        return sp.csr_array(sp.hstack([gate, held @ sp.csr_array(k.b)])), sp.csr_array(sp.vstack([p, v]))


@dataclass(frozen=True, eq=False)
class LowRankSum:
    """M + U V, all sparse, of which only products are taken."""

    matrix: Any
    left: Any
    right: Any

    @property
    def nnz(self) -> int:
        """Multiplications of a product."""
        return int(self.matrix.nnz + self.left.nnz + self.right.nnz)

    def __matmul__(self, x: Real) -> Real:
        return np.asarray(self.matrix @ x + self.left @ (self.right @ x))

    def toarray(self) -> Real:
        """Dense."""
        return np.asarray(self.matrix.toarray() + (self.left @ self.right).toarray())


def scaled(m: Any, weight: Real) -> Any:
    """diag(weight) M diag(1/weight)."""
    if isinstance(m, LowRankSum):
        outer, inner = sp.diags_array(weight), sp.diags_array(1.0 / weight)
        return LowRankSum(scaled(m.matrix, weight), sp.csr_array(outer @ m.left), sp.csr_array(m.right @ inner))
    return sp.csr_array((m.data * np.repeat(weight, np.diff(m.indptr)) / weight[m.indices], m.indices, m.indptr), shape=m.shape)
