"""Scalar real-rational functions p(s)/q(s): couplings f and frequency weights W.

Coefficients are in descending powers, as in numpy and python-control. Systems of many nodes never pass
through here: products of transfer functions lose their digits (see `coherence.nodes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.errors import InputError
from coherence.numerics.realization import Realization
from coherence.types import ArrayLike, Complex, Real, laplace_points, real_vector

_NAMED: dict[str, tuple[list[float], list[float]]] = {"1": ([1.0], [1.0]), "1/s": ([1.0], [1.0, 0.0])}


@dataclass(frozen=True)
class Rational:
    """The scalar function f(s) = p(s)/q(s).

    Parameters
    ----------
    num, den : tuple of float
        Coefficients of p and q in descending powers of s. Use `Rational.of` to build one from a number,
        `"1/s"`, a pair `(num, den)` or a python-control transfer function; it validates.

    Examples
    --------
    >>> f = Rational.of("1/s")
    >>> f(2j)
    array([0.-0.5j])
    """

    num: tuple[float, ...]
    den: tuple[float, ...]

    @classmethod
    def of(cls, source: Any, name: str = "f") -> Rational:
        """Build from a number, "1", "1/s", (num, den), a python-control SISO TransferFunction or a Rational."""
        if isinstance(source, Rational):
            return source
        if isinstance(source, str):
            if source not in _NAMED:
                raise InputError(
                    f"{name} = {source!r} is not understood; give one of {sorted(_NAMED)}, a pair (num, den) or a transfer function"
                )
            num, den = _NAMED[source]
        elif all(hasattr(source, m) for m in "ABCD"):
            raise InputError(f"{name} is a state space; give a transfer function (control.tf) or (num, den)")
        elif hasattr(source, "num") and hasattr(source, "den"):
            if getattr(source, "ninputs", 1) != 1 or getattr(source, "noutputs", 1) != 1:
                raise InputError(f"{name} has {source.ninputs} inputs and {source.noutputs} outputs; it must be scalar")
            if getattr(source, "dt", None) not in (None, 0):
                raise InputError(f"{name} is a discrete-time system (dt = {source.dt}); give a continuous-time one")
            num, den = ((c if np.ndim(c) == 1 and np.ndim(c[0]) == 0 else c[0][0]) for c in (source.num, source.den))
        elif np.isscalar(source):
            num, den = [source], [1.0]  # type: ignore[list-item]
        else:
            try:
                num, den = source
            except (TypeError, ValueError):
                raise InputError(f"{name} = {source!r} is not a rational function; give (num, den)") from None
        return cls._checked(num, den, name)

    @classmethod
    def _checked(cls, num: Any, den: Any, name: str) -> Rational:
        p = np.trim_zeros(real_vector(num, f"{name}: numerator"), "f")
        q = np.trim_zeros(real_vector(den, f"{name}: denominator"), "f")
        if q.size == 0:
            raise InputError(f"{name} has a zero denominator")
        if p.size == 0:
            raise InputError(f"{name} is identically zero")
        if p.size > q.size:
            raise InputError(f"{name} is improper (numerator degree {p.size - 1} > denominator degree {q.size - 1})")
        return cls(tuple(map(float, p / q[0])), tuple(map(float, q / q[0])))

    def __call__(self, s: ArrayLike) -> Complex:
        """F at the points s, shape (F,); infinite at a pole."""
        points = laplace_points(s)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Complex = self.numerator(points) / self.denominator(points)
        return np.where(self.denominator(points) == 0, np.inf, values)

    def numerator(self, s: ArrayLike) -> Complex:
        """P at the points s, shape (F,)."""
        return np.polyval(np.asarray(self.num), laplace_points(s))

    def denominator(self, s: ArrayLike) -> Complex:
        """Q at the points s, shape (F,)."""
        return np.polyval(np.asarray(self.den), laplace_points(s))

    @property
    def sentence(self) -> str:
        """The function in text, e.g. "1/s" or "(s + 0.3)/(s^2 + 1)"."""
        num, den = _polynomial(self.num), _polynomial(self.den)
        if den == "1":
            return num
        return f"{f'({num})' if ' ' in num else num}/{f'({den})' if ' ' in den else den}"

    @property
    def order(self) -> int:
        """Degree of the denominator."""
        return len(self.den) - 1

    def poles(self) -> Complex:
        """Roots of the denominator."""
        return np.asarray(np.roots(self.den), dtype=complex)

    def realization(self) -> Realization:
        """Companion-form state space of f."""
        q, p = np.array(self.den), np.zeros(len(self.den))
        p[len(p) - len(self.num) :] = self.num
        n, d = len(q) - 1, p[0]
        a = np.eye(n, k=1)
        if n:
            a[-1] = -q[:0:-1]
        b = np.zeros((n, 1))
        if n:
            b[-1] = 1.0
        c = (p[1:] - d * q[1:])[::-1][None, :]
        return Realization(a, b, c, np.array([[d]]))

    def is_positive_real(self) -> bool:
        """Whether Re f >= 0 on the open right half plane.

        Exact up to root finding: no pole in Re s > 0, simple axis poles with positive residue, and the even
        polynomial Re(p(jw) conj q(jw)) >= 0 for all w (its sign is read between its real roots).
        """
        poles = self.poles()
        scale = max(1.0, float(np.abs(poles).max(initial=0.0)))
        tol = 1e-9 * scale
        if (poles.real > tol).any():
            return False
        slope = np.polyder(np.asarray(self.den))
        for pole in poles[np.abs(poles.real) <= tol]:
            on_axis = 1j * pole.imag
            rest = np.polyval(slope, on_axis)
            if abs(rest) <= tol ** max(self.order - 1, 1):
                return False
            residue = np.polyval(np.asarray(self.num), on_axis) / rest
            if residue.real <= 0 or abs(residue.imag) > 1e-6 * abs(residue):
                return False
        even = self._real_part_on_axis()
        if not even.any():
            return True
        roots = np.roots(even)
        cuts = np.sort(np.abs(roots[np.abs(roots.imag) <= 1e-7 * (1 + np.abs(roots))].real))
        edges = np.concatenate([[0.0], cuts, [2 * (cuts[-1] if cuts.size else 1.0) + 1.0]])
        samples = 0.5 * (edges[1:] + edges[:-1])
        floor = -1e-12 * np.polyval(np.abs(even), samples)
        return bool((np.polyval(even, samples) >= floor).all())

    def _real_part_on_axis(self) -> Real:
        """Coefficients in w (descending) of Re(p(jw) conj(q(jw)))."""

        def at_jw(coefficients: tuple[float, ...]) -> Complex:
            powers = np.arange(len(coefficients))[::-1]
            return np.asarray(coefficients) * 1j**powers

        return np.real(np.polymul(at_jw(self.num), np.conj(at_jw(self.den))))


def _polynomial(coefficients: tuple[float, ...]) -> str:
    terms = []
    for power, value in zip(range(len(coefficients) - 1, -1, -1), coefficients, strict=True):
        if value:
            symbol = {0: "", 1: "s"}.get(power, f"s^{power}")
            number = "" if abs(value) == 1 and symbol else f"{abs(value):.4g}"
            terms.append((" - " if value < 0 else " + ") + " ".join(x for x in (number, symbol) if x))
    text = "".join(terms)
    return text[3:] if text.startswith(" + ") else "-" + text[3:]
