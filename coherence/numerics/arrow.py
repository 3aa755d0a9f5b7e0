r"""One node of very many small sections: a block-diagonal body, a head of few states, and one scalar between them.

    body    x' = A x + b v      A = diag(A_1, A_2, ..): S sections of a few states each
    sum     s  = c^T x
    drive   v  = row^T z + direct s + beta u
    head    z' = H z + column s + entry u
    output  y  = leave^T z + gamma s + d u

Eliminating the body leaves k + 1 equations in (z, s), so a solve with (state matrix + alpha I), a product and a value of the
transfer function take O(N) each. The sum of sections h has no head; g = 1/(p + h) has y, .., y^(r-1) as its head; frequency weights
in series join the head. The dual system (transposed matrices) is again of this kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError, InstabilityError, PoleError, ToleranceError
from coherence.numerics.realization import Realization
from coherence.types import ArrayLike, Complex, Real, laplace_points

_ENTRIES = 2_000_000  # of the largest temporary array of an evaluation: 32 MB
_SWEEPS = 8  # of balancing; the powers that are out of proportion shrink to their square root or less each time
_SAMPLES = 20_000  # of the count along the axis
_ROUNDING = 1e-13  # of the sum of moduli: below it the sign of p + h is not known


@dataclass(frozen=True, eq=False)
class Sections:
    """S strictly proper sections c (sI - A)^{-1} b of one order q."""

    a: Real  # (S, q, q)
    b: Real  # (S, q)
    c: Real  # (S, q)

    @property
    def order(self) -> int:
        """States of each section."""
        return self.a.shape[1]

    @property
    def size(self) -> int:
        """States of all sections."""
        return self.b.size

    @cached_property
    def poles(self) -> Complex:
        """Eigenvalues, shape (S, q)."""
        if self.order == 1:
            return self.a[:, :, 0].astype(complex)
        return np.asarray(np.linalg.eigvals(self.a), dtype=complex)

    def solve(self, shift: complex, rhs: Real | Complex) -> Real | Complex:
        """(A + shift I)^{-1} rhs of shape (S, q, m)."""
        if self.order == 1:
            return np.asarray(rhs / (self.a + shift))
        return np.asarray(np.linalg.solve(self.a + shift * np.eye(self.order), rhs))

    def __call__(self, s: Complex) -> Complex:
        """The sum of all sections at the points s, shape (F,)."""
        total = np.zeros(s.size, dtype=complex)
        chunk = max(1, _ENTRIES // max(1, self.size * self.order))
        for i in range(0, s.size, chunk):
            points = s[i : i + chunk]
            if self.order == 1:  # 1/(s - a) in real arithmetic, a third of the time
                gain, apart = self.b[:, 0] * self.c[:, 0], points.real[:, None] - self.a[:, 0, 0]
                weight = 1 / (apart**2 + points.imag[:, None] ** 2)
                total[i : i + chunk] = (weight * apart) @ gain - 1j * points.imag * (weight @ gain)
            else:
                shifted = points[:, None, None, None] * np.eye(self.order) - self.a
                states = np.linalg.solve(shifted, self.b[None, :, :, None])[..., 0]
                total[i : i + chunk] = states.reshape(points.size, -1) @ self.c.ravel()
        return total

    def balanced(self) -> Sections:
        """The same sections with states scaled so that rows of (A, b) and columns of (A; c) are of one size.

        A section of order one comes out with |b| = |c|: then a sum of lags b c > 0 is symmetric, and closing the loop around it
        keeps the state matrix dissipative. b and c are weighed as if |b| |c| were |A|.
        """
        a, b, c = self.a.copy(), self.b.copy(), self.c.copy()
        product = np.linalg.norm(b, axis=1) * np.linalg.norm(c, axis=1)
        share = np.divide(np.linalg.norm(a, axis=(1, 2)), product, out=np.ones(len(b)), where=product > 0)
        for i in [i for _ in range(_SWEEPS if self.order > 1 else 1) for i in range(self.order)]:
            others = [j for j in range(self.order) if j != i]
            row = (a[:, i, others] ** 2).sum(axis=1) + share * b[:, i] ** 2
            column = (a[:, others, i] ** 2).sum(axis=1) + share * c[:, i] ** 2
            usual = (row > 0) & (column > 0)
            factor = np.where(usual, np.divide(row, column, out=np.ones(len(b)), where=usual), 1.0) ** 0.25
            a[:, :, i], c[:, i] = a[:, :, i] * factor[:, None], c[:, i] * factor
            a[:, i, :], b[:, i] = a[:, i, :] / factor[:, None], b[:, i] / factor
        return Sections(a, b, c)

    def expansion(self, omega: float) -> tuple[complex, complex, float, float]:
        """Value h(j omega) and dh/d omega there; sum |c^T R| |R| |R b| and max |R| with R = (j omega I - A)^{-1}.

        From R(w) = R - j (w - omega) R^2 - (w - omega)^2 R R(w) R and |R(w)| <= |R|/(1 - |w - omega| |R|): h leaves its tangent by
        at most (w - omega)^2/(1 - |w - omega| max |R|) times the sum.
        """
        if self.order == 1:
            r = 1 / (1j * omega - self.a[:, 0, 0])
            gain, size = self.b[:, 0] * self.c[:, 0], np.abs(r)
            return complex(gain @ r), complex(-1j * (gain @ r**2)), float(np.abs(gain) @ size**3), float(size.max())
        resolvent = np.linalg.inv(1j * omega * np.eye(self.order) - self.a)
        states, rows = (resolvent @ self.b[:, :, None])[:, :, 0], (self.c[:, None] @ resolvent)[:, 0]
        size = np.linalg.norm(resolvent, axis=(1, 2))
        bends = (np.linalg.norm(states, axis=1) * np.linalg.norm(rows, axis=1)) @ size
        return complex((self.c * states).sum()), complex(-1j * (rows * states).sum()), float(bends), float(size.max())


@dataclass(frozen=True, eq=False)
class Arrow:
    """A scalar system of the form in the module's first lines; `order` is k plus the states of all sections.

    Examples
    --------
    >>> import numpy as np
    >>> turbines = (np.array([[[-1.0]], [[-2.0]]]), np.ones((2, 1)), np.ones((2, 1)))
    >>> g = Arrow.from_banks([0.5, 1.0], [turbines], closed_loop=True)
    >>> g.order, float(g(0.0)[0].real)
    (3, 0.5)
    """

    head: Real  # (k, k)
    column: Real  # (k,) from the sum of the sections into the head
    row: Real  # (k,) from the head to what drives the sections
    direct: float  # from the sum of the sections to what drives them
    entry: Real  # (k,) from the input into the head
    beta: float  # from the input to what drives the sections
    leave: Real  # (k,) from the head to the output
    gamma: float  # from the sum of the sections to the output
    d: float
    sections: tuple[Sections, ...]

    @classmethod
    def from_banks(cls, polynomial: ArrayLike, banks: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]], closed_loop: bool) -> Arrow:
        """The sum h of sections, or g = 1/(p + h) with p(s) = polynomial[0] + polynomial[1] s + ...

        Parameters
        ----------
        polynomial : (r + 1,) array
            Ascending powers; h alone does not read it.
        banks : sequence of (a, b, c)
            Arrays (S, q, q), (S, q), (S, q), one triple an order q.
        closed_loop : bool

        Raises
        ------
        InstabilityError
            A section, or the closed loop, has a pole in Re s >= 0; the loop is decided by `unstable_poles`.
        """
        sections = tuple(_checked(*bank) for bank in banks)
        for part in sections:
            poles = part.poles
            if poles.size and poles.real.max() >= 0:
                where = np.unravel_index(int(poles.real.argmax()), poles.shape)
                raise InstabilityError(
                    f"section {where[0]} of order {part.order} has a pole at {poles[where]:.4g}, not in Re s < 0; balancing needs "
                    "stable sections"
                )
        sections = tuple(part.balanced() for part in sections if part.size)
        empty = np.zeros(0)
        if not closed_loop:
            return cls(np.zeros((0, 0)), empty, empty, 0.0, empty, 1.0, empty, 1.0, 0.0, sections)
        p = np.trim_zeros(np.atleast_1d(np.asarray(polynomial, dtype=float)), "b")
        if not p.size or not np.isfinite(p).all():
            raise InputError(f"the polynomial part {np.asarray(polynomial)} has no finite coefficient but zero; 1/h is not proper")
        count = unstable_poles(p, sections)
        if count:
            raise InstabilityError(
                f"the closed loop has {count} pole{'s' if count > 1 else ''} in Re s > 0; balancing needs it stable: declare more "
                "damping, or reduce the sections alone"
            )
        r = len(p) - 1
        if r == 0:
            q = 1 / float(p[0])
            return cls(np.zeros((0, 0)), empty, empty, -q, empty, q, empty, -q, q, sections)
        # z_i = w^(r - 1 - i) sqrt|p_r| y^(i), w the size of what oscillates: one size of entries, and dissipative for r = 1
        stiffness = abs(float((p[:1] + sum(part(np.zeros(1, dtype=complex)).real for part in sections))[0]))
        w = (stiffness / abs(float(p[r]))) ** (1 / r)
        scale = w ** np.arange(r - 1, -1, -1.0) * np.sqrt(abs(p[r]))
        head, last = w * np.eye(r, k=1), np.eye(r)[r - 1] * np.sqrt(abs(p[r])) / p[r]
        head[r - 1] = -last[r - 1] * p[:r] / scale
        first = np.eye(r)[0] / scale[0]
        return cls(head, -last, first, 0.0, last, 0.0, first, 0.0, 0.0, sections)

    @cached_property
    def order(self) -> int:
        """Number of states."""
        return len(self.head) + sum(part.size for part in self.sections)

    @property
    def dual(self) -> Arrow:
        """The system of the transposed matrices: input and output change places."""
        turned = tuple(Sections(part.a.transpose(0, 2, 1), part.c, part.b) for part in self.sections)
        return Arrow(
            self.head.T, self.row, self.column, self.direct, self.leave, self.gamma, self.entry, self.beta, self.d, turned
        )  # fmt: skip

    @cached_property
    def b(self) -> Real:
        """Input vector of all states, shape (N,)."""
        return np.concatenate([self.entry, *(self.beta * part.b.ravel() for part in self.sections)])

    @cached_property
    def c(self) -> Real:
        """Output vector of all states, shape (N,)."""
        return np.concatenate([self.leave, *(self.gamma * part.c.ravel() for part in self.sections)])

    def _parts(self, x: Any) -> list[Any]:
        """The body's rows of x (N, m), one (S, q, m) array a bank."""
        cuts = np.cumsum([len(self.head)] + [part.size for part in self.sections])
        pairs = zip(self.sections, cuts[:-1], cuts[1:], strict=True)
        return [x[i:j].reshape(len(part.b), part.order, x.shape[1]) for part, i, j in pairs]

    def multiply(self, x: Real) -> Real:
        """State matrix times x, (N,) or (N, m)."""
        columns = x[:, None] if x.ndim == 1 else x
        z, body, k = columns[: len(self.head)], self._parts(columns), len(self.head)
        out = np.empty_like(columns)
        s: Any = np.zeros(columns.shape[1])
        for part, states in zip(self.sections, body, strict=True):
            s = s + part.c.ravel() @ states.reshape(part.size, columns.shape[1])
        v = self.row @ z + self.direct * s
        out[:k] = self.head @ z + np.outer(self.column, s)
        for part, states, place in zip(self.sections, body, self._parts(out), strict=True):
            place[:] = (part.a @ states if part.order > 1 else part.a * states) + part.b[:, :, None] * v
        return out.reshape(x.shape)

    def solve(self, shift: complex, rhs: Real) -> Any:
        """(State matrix + shift I)^{-1} rhs, rhs (N,) or (N, m); complex where the shift is.

        With P = (A + shift I)^{-1} the body is P (f - b v), so that s = c^T P f - (c^T P b) v closes k + 1 equations.
        """
        columns = rhs[:, None] if rhs.ndim == 1 else rhs
        k, m = len(self.head), columns.shape[1]
        free, driven = [], []
        s: Any = 0.0
        t: Any = 0.0
        for part, f in zip(self.sections, self._parts(columns), strict=True):
            if part.order == 1:
                free.append(part.solve(shift, f).reshape(-1, m))
                driven.append(part.solve(shift, part.b[:, :, None]).reshape(-1))
            else:
                both = part.solve(shift, np.concatenate([f, part.b[:, :, None]], axis=2)).reshape(-1, m + 1)
                free.append(both[:, :m])
                driven.append(both[:, m])
            s, t = s + part.c.ravel() @ free[-1], t + part.c.ravel() @ driven[-1]
        small = np.zeros((k + 1, k + 1), dtype=np.result_type(shift, float))
        small[:k, :k], small[:k, k] = self.head + shift * np.eye(k), self.column
        small[k, :k], small[k, k] = t * self.row, 1 + t * self.direct
        right = np.zeros((k + 1, m), dtype=np.result_type(small, columns))
        right[:k], right[k] = columns[:k], s
        try:
            found = np.linalg.solve(small, right)
        except np.linalg.LinAlgError:
            raise PoleError(f"{-shift:.6g} is a pole of the system; move the shift") from None
        v = self.row @ found[:k] + self.direct * found[k]
        body = [f - p[:, None] * v for f, p in zip(free, driven, strict=True)]
        return np.concatenate([found[:k], *body]).reshape(rhs.shape)

    def __call__(self, s: ArrayLike) -> Complex:
        """The transfer function at the points s, shape (F,); O(N) each."""
        points = laplace_points(s)
        k = len(self.head)
        h = np.zeros(points.size, dtype=complex)
        for part in self.sections:
            h = h + part(points)
        matrix = np.zeros((points.size, k + 1, k + 1), dtype=complex)
        matrix[:, :k, :k], matrix[:, :k, k] = points[:, None, None] * np.eye(k) - self.head, -self.column
        matrix[:, k, :k], matrix[:, k, k] = -h[:, None] * self.row, 1 - h * self.direct
        right = np.zeros((points.size, k + 1, 1), dtype=complex)
        right[:, :k, 0], right[:, k, 0] = self.entry, h * self.beta
        return np.asarray((np.linalg.solve(matrix, right)[..., 0] @ np.append(self.leave, self.gamma)) + self.d)

    def dense(self) -> Realization:
        """The same system with full matrices: for tests and small N."""
        a = sla.block_diag(self.head, *(block for part in self.sections for block in part.a)) if self.sections else self.head.copy()
        k = len(self.head)
        b, c = (
            np.concatenate([np.empty(0), *(x.ravel() for x in parts)])
            for parts in ([part.b for part in self.sections], [part.c for part in self.sections])
        )
        a[k:, k:] += self.direct * np.outer(b, c)
        a[:k, k:], a[k:, :k] = np.outer(self.column, c), np.outer(b, self.row)
        return Realization(a, self.b[:, None], self.c[None, :], np.array([[self.d]]))

    def weighted_output(self, weight: Realization) -> Arrow:
        """The system followed by a scalar weight; the weight's states come last in the head."""
        aw, bw, cw, dw = weight.a, weight.b[:, 0], weight.c[0], float(weight.d[0, 0])
        k, w = len(self.head), len(aw)
        head = np.block([[self.head, np.zeros((k, w))], [np.outer(bw, self.leave), aw]])
        return replace(
            self,
            head=head,
            column=np.append(self.column, bw * self.gamma),
            row=np.append(self.row, np.zeros(w)),
            entry=np.append(self.entry, bw * self.d),
            leave=np.append(dw * self.leave, cw),
            gamma=dw * self.gamma,
            d=dw * self.d,
        )

    def weighted_input(self, weight: Realization) -> Arrow:
        """A scalar weight followed by the system; the weight's states come last in the head."""
        aw, bw, cw, dw = weight.a, weight.b[:, 0], weight.c[0], float(weight.d[0, 0])
        k, w = len(self.head), len(aw)
        head = np.block([[self.head, np.outer(self.entry, cw)], [np.zeros((w, k)), aw]])
        return replace(
            self,
            head=head,
            column=np.append(self.column, np.zeros(w)),
            row=np.append(self.row, self.beta * cw),
            entry=np.append(self.entry * dw, bw),
            beta=self.beta * dw,
            leave=np.append(self.leave, self.d * cw),
            d=self.d * dw,
        )


def unstable_poles(polynomial: Real, sections: Sequence[Sections]) -> int:
    """Zeros of p + h in Re s > 0, h a sum of stable sections: poles of the closed loop 1/(p + h) there.

    Argument principle: r/2 minus the growth of arg(p + h) from 0 to j infinity over pi. Each step along the axis is so short that
    p + h provably moves by less than its modulus (`Sections.expansion` for h, the Taylor polynomial for p), so no turn is lost;
    beyond the last one the leading power outweighs the rest. O(N) a step.

    Raises
    ------
    InstabilityError
        A pole on the axis, as far as rounding can tell.
    ToleranceError
        Too many steps.
    """
    r = len(polynomial) - 1
    lead = abs(float(polynomial[r]))
    size = sum(float(np.linalg.norm(part.b, axis=1) @ np.linalg.norm(part.c, axis=1)) for part in sections)
    fastest = max((float(np.linalg.norm(part.a, axis=(1, 2)).max()) for part in sections), default=0.0)
    turned, omega, powers = 0.0, 0.0, np.arange(2, r + 1.0)
    value, before = 0j, 0j
    for _ in range(_SAMPLES):
        shifted = np.array([_derivative(polynomial, k, 1j * omega) for k in range(r + 1)])
        parts = [part.expansion(omega) for part in sections]
        value = complex(shifted[0] + sum(part[0] for part in parts))
        known = _ROUNDING * (np.abs(polynomial) @ omega ** np.arange(r + 1) + sum(abs(part[0]) for part in parts))
        if abs(value) <= known:
            raise InstabilityError(f"the closed loop has a pole at {1j * omega:.4g}, up to rounding; declare more damping")
        if omega:
            turned += float(np.angle(value / before))
        rest = np.abs(polynomial[:r]) @ omega ** np.arange(-r, 0.0) + (2 * size * omega ** (-r - 1.0)) if omega else np.inf
        if omega >= 2 * fastest and rest < lead:
            break
        slope = abs(sum(part[1] for part in parts) + (1j * shifted[1] if r else 0.0))
        bends, nearest = sum(part[2] for part in parts), max((part[3] for part in parts), default=0.0)
        step = 0.9 / nearest if nearest else (1 + np.abs(polynomial).max() / lead) * (1 + omega)
        while slope * step + bends * step**2 / (1 - step * nearest) + np.abs(shifted[2:]) @ step**powers >= 0.95 * abs(value):
            step *= 0.8
        omega, before = omega + step, value
    else:
        raise ToleranceError(f"the poles of the closed loop are not counted after {_SAMPLES} steps along the axis; declare damping")
    end = np.sign(polynomial[r]) * 1j**r
    return round(r / 2 - (turned + float(np.angle(end / value))) / np.pi)


def _derivative(polynomial: Real, k: int, s: complex) -> complex:
    """The k-th Taylor coefficient of the polynomial (ascending) at s."""
    return complex(np.polyval(np.polyder(polynomial[::-1], k), s) / np.prod(np.arange(1.0, k + 1)))


def _checked(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Sections:
    arrays = [np.asarray(x, dtype=float) for x in (a, b, c)]
    shape = arrays[1].shape
    if len(shape) != 2 or arrays[2].shape != shape or arrays[0].shape != (*shape, shape[-1]):
        raise InputError(f"a bank has shapes {[x.shape for x in arrays]}; give (S, q, q), (S, q) and (S, q)")
    if not all(np.isfinite(x).all() for x in arrays):
        raise InputError("a section has a coefficient that is not finite")
    return Sections(*arrays)
