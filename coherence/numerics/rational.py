"""Scalar real-rational functions p(s)/q(s): couplings f and frequency weights W.

Coefficients are in descending powers, as in numpy and python-control. Systems of many nodes never pass
through here: products of transfer functions lose their digits (see `coherence.nodes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.errors import InputError, PoleError
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


@dataclass(frozen=True)
class Function:
    """A coupling f(s) known by its values only, such as lambda s: exp(-0.1 s)/s: for frequency analysis, not for a state space.

    Examples
    --------
    >>> import numpy as np
    >>> float(Function(lambda s: np.exp(-s) / s)(1.0)[0].real.round(4))
    0.3679
    """

    function: Callable[[Complex], Any]
    name: str = "f"

    def __call__(self, s: ArrayLike) -> Complex:
        """F at the points s, shape (F,); infinite at a pole."""
        points = laplace_points(s)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.asarray(self.function(points), dtype=complex)
        if values.shape in ((), (1,)):
            values = np.full(points.shape, complex(values.ravel()[0]))
        if values.shape != points.shape:
            raise InputError(f"{self.name} returned shape {values.shape} for {points.size} points; return one value per point")
        return np.asarray(np.where(np.isfinite(values), values, np.inf))

    def numerator(self, s: ArrayLike) -> Complex:
        """F itself: its poles are not known, so they are not cleared."""
        values = self(s)
        if not np.isfinite(values).all():
            where = laplace_points(s)[int(np.argmin(np.isfinite(values)))]
            raise PoleError(f"s = {where:.6g} is a pole of {self.name}; move s")
        return values

    def denominator(self, s: ArrayLike) -> Complex:
        """One."""
        return np.ones(laplace_points(s).size, dtype=complex)

    @property
    def sentence(self) -> str:
        """What it is."""
        return "a function known by its values"

    @property
    def order(self) -> int:
        """No states are known."""
        return 0

    def realization(self) -> Realization:
        """There is none.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{self.name} is known by its values only, so there is no state space; give it as a rational function")

    def is_positive_real(self) -> bool:
        """Not known, so not claimed."""
        return False


def coupling_of(source: Any, name: str = "f") -> Rational | Function:
    """A rational function as `Rational.of` takes it, or a callable."""
    if isinstance(source, Function):
        return source
    if callable(source) and not isinstance(source, Rational) and not any(hasattr(source, x) for x in ("num", "A")):
        return Function(source, name)
    return Rational.of(source, name)


def _polynomial(coefficients: tuple[float, ...]) -> str:
    terms = []
    for power, value in zip(range(len(coefficients) - 1, -1, -1), coefficients, strict=True):
        if value:
            symbol = {0: "", 1: "s"}.get(power, f"s^{power}")
            number = "" if abs(value) == 1 and symbol else f"{abs(value):.4g}"
            terms.append((" - " if value < 0 else " + ") + " ".join(x for x in (number, symbol) if x))
    text = "".join(terms)
    return text[3:] if text.startswith(" + ") else "-" + text[3:]
