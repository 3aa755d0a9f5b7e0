r"""The integral of |x_i| along a line Re s = sigma, x = (v U - P)(s), v = E u0, bounded from above with its quadrature error.

**Quadrature.** x is sum_p c_p (v - v_p)/(s - p) + q/(s + a) rho (`forcings`); the quotient d = (v - v_p)/(s - p) has
|d''| <= |v''|/|s - p| + 2 |v'|/|s - p|^2 + 2 |v - v_p|/|s - p|^3 and, being a mean of v', |d| <= sup |v'|, |d'| <= sup |v''|/2
up to p. A modulus bends down no more than its function, |x|'' >= -|x''|, so over an interval of length b

    int |x_i| <= trapezoid + min( b^3/12 sup |x_i''|,  b^2/4 sup |x_i'|,  b sup |x_i| - trapezoid ).

The intervals with the largest excess are halved. From the last frequency on, `field.Far` bounds v - v(inf) by K/|s| in closed form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from coherence.errors import ToleranceError
from coherence.network.network import Network
from coherence.simulation.field import ROUNDING, Far, Field, Weighted
from coherence.simulation.forcings import Forcing, Triple
from coherence.theory.frequencies import mode_frequencies
from coherence.types import Complex, Real

DECADE = 12  # frequencies to begin with, beside the modes
TAIL = 0.25  # share of the gap that is left to the tail
TRIALS = 40  # values of a


class Result(NamedTuple):
    """The integral of each node, from above, and what it was made with."""

    integral: Real  # (n,), int_0^inf |x_i| dw
    estimate: Real  # (n,), the trapezoid: without the bound of its error
    values: list[Complex]  # v_p
    last: Real  # v(inf)
    a: float
    evaluations: int


class Integral:
    """The search: points with |x|, intervals with what they may hide, and the tail."""

    def __init__(self, network: Network, shape: Real, forcing: Forcing, shift: float, gap: float, most: int) -> None:
        self.field, self.forcing, self.gap, self.most = Field(network, shape, shift), forcing, gap, most
        self.far = Far(self.field)
        self.last = self.far.last
        self.values, self.slopes = self._values()
        first, last = 0.1 * self.field.slowest, 3.0 * self.field.fastest
        own = mode_frequencies(network, first, last)
        start = np.concatenate([[0.0], np.geomspace(first, last, int(DECADE * np.log10(last / first))), own])
        places = [p.imag for p in forcing.poles if p.imag > 0]
        around = [w * (1 + x) for w in places for x in (-0.3, -0.1, -0.03, -0.01, 0.01, 0.03, 0.1, 0.3)]
        self.w = np.unique(np.concatenate([start, places, [3.0 * w for w in places], around]))
        self.w = self.w[np.concatenate([[True], np.diff(self.w) > 1e-9 * self.w[1:]])]
        for w in places:  # exactly
            self.w[int(np.abs(self.w - w).argmin())] = w
        h, self.e = self.field.evaluate(self.w)
        self.a_norm = self._norm(self.w, h)
        self.a = self._choose(h)
        self.x = self._modulus(self.w, h)
        self.plain = self._plain(self.w, h) if forcing.events > 1 else None  # |x/W|

    def _norm(self, w: Real, h: Complex) -> Real:
        return np.linalg.norm(np.sqrt(self.field.weights(w)) * h, axis=1) * (1 + ROUNDING)

    def _values(self) -> tuple[list[Complex], list[Complex]]:
        """V and v' at the points that are divided out; zero to the right of the axis, where nothing need cancel."""
        n, field = self.field.network.size, self.field
        zero: Complex = np.zeros(n, dtype=complex)
        if field.shift > 0:
            return [zero] * len(self.forcing.poles), [zero] * len(self.forcing.poles)
        values: list[Complex] = []
        slopes: list[Complex] = []
        for p in self.forcing.poles:
            if p == 0 and field.m:
                values, slopes = [*values, zero], [*slopes, zero]
                continue
            h, h1 = field.slope(abs(p.imag))
            s = 1j * abs(p.imag)
            v, v1 = s**field.m * h, s**field.m * h1 + (field.m * s ** (field.m - 1) * h if field.m else 0.0)
            if p == 0:
                v, v1 = v.real + 0j, v1.real + 0j
            values.append(v if p.imag >= 0 else v.conj())
            slopes.append(v1 if p.imag >= 0 else v1.conj())
        return values, slopes

    def _quotients(self, w: Real, h: Complex) -> Complex:
        """(v - v_p)/(s - p), (P, F, n)."""
        s = (self.field.shift + 1j * w)[:, None]
        out = []
        for p, value, slope in zip(self.forcing.poles, self.values, self.slopes, strict=True):
            if p == 0 and self.field.m:
                out.append(s ** (self.field.m - 1) * h)
                continue
            v, off = s**self.field.m * h, s - p
            here = off == 0
            out.append(np.where(here, slope, (v - value) / np.where(here, 1.0, off)))
        return np.array(out)

    def _parts(self, w: Real, h: Complex) -> tuple[Complex, Real]:
        """X without its last term, and what rounding may add to |x|."""
        s = self.field.shift + 1j * w
        quotients, c = self._quotients(w, h), self.forcing.coefficients(s)
        return np.einsum("pf,pfn->fn", c, quotients), np.einsum("pf,pfn->fn", np.abs(c), np.abs(quotients))

    def _last_term(self, w: Real, a: float) -> Complex:
        s = self.field.shift + 1j * w
        return np.multiply.outer(self.forcing.rest(s) / (s + a), self.forcing.rho(self.values, self.last))

    def _modulus(self, w: Real, h: Complex) -> Real:
        x, size = self._parts(w, h)
        extra = self._last_term(w, self.a)
        return np.abs(x + extra) + ROUNDING * (size + np.abs(extra))

    def _plain(self, w: Real, h: Complex) -> Real:
        s = self.field.shift + 1j * w
        quotient = self._quotients(w, h)[0]
        extra = np.multiply.outer(1.0 / (s + self.a), self.forcing.rho(self.values, self.last))
        return np.abs(quotient + extra) + ROUNDING * (np.abs(quotient) + np.abs(extra))

    def _choose(self, h: Complex) -> float:
        """The a of the smallest bound of the largest node, by the first points."""
        rho = self.forcing.rho(self.values, self.last)
        if not rho.any():
            return self.field.scale
        x, _ = self._parts(self.w, h)
        trials = np.geomspace(0.05 * self.field.slowest, 20.0 * self.field.fastest, TRIALS)
        found = []
        for a in trials:
            size = np.trapezoid(np.abs(x + self._last_term(self.w, a)), self.w, axis=0) / np.pi
            found.append((size + self.forcing.explicit_peak(self.values, self.last, a)).max())
        return float(trials[int(np.argmin(found))])

    def run(self) -> Result:
        """Halve what hides most until the excess is within the gap."""
        excess, trapezoid = self._excess(self.w[:-1], self.w[1:], slice(None, -1), slice(1, None))
        tail = self._tail()
        while True:
            base, hidden = trapezoid.sum(axis=0), excess.sum(axis=0)
            upper = base + hidden + tail
            worst = int(np.argmax(np.where(np.isfinite(upper), upper, base))) if np.isfinite(upper).all() else int(base.argmax())
            allowed = self.gap * base[worst]
            if hidden[worst] + tail[worst] <= allowed or not base[worst] > 0:
                if np.isfinite(upper).all():
                    return Result(upper, base, self.values, self.last, self.a, len(self.w))
                allowed = 0.0
            if len(self.w) >= self.most:
                raise ToleranceError(
                    f"after {len(self.w)} evaluations the largest integral lies between {base[worst]:.4g} and {upper[worst]:.4g} "
                    f"(a relative gap of {self.gap:g} was asked); allow more, or a larger gap: hardly damped modes, or nodes of "
                    "very different size, take many"
                )
            if tail[worst] > TAIL * allowed or not np.isfinite(tail).all():
                self._lengthen()
                new = self._excess(self.w[-2:-1], self.w[-1:], slice(-2, -1), slice(-1, None))
                excess, trapezoid = np.vstack([excess, new[0]]), np.vstack([trapezoid, new[1]])
                tail = self._tail()
                continue
            excess, trapezoid = self._halve(excess, trapezoid, worst, (1 - TAIL) * allowed)

    def _tail(self) -> Real:
        beyond = float(self.w[-1])
        return self.forcing.tail(beyond, self.a, self.far.speed(beyond), self.values, self.last)

    def _lengthen(self) -> None:
        if self.w[-1] > 1e12 * self.field.fastest:
            raise ToleranceError("the deviation was not bounded at high frequencies: a node of very different size, or no inverse")
        self._insert(np.array([len(self.w)]), np.array([2.0 * self.w[-1]]))

    def _insert(self, places: np.ndarray, w: Real) -> None:
        h, e = self.field.evaluate(w)
        x, size = self._modulus(w, h), self._norm(w, h)
        self.w, self.e = np.insert(self.w, places, w), np.insert(self.e, places, e)
        self.a_norm, self.x = np.insert(self.a_norm, places, size), np.insert(self.x, places, x, axis=0)
        if self.plain is not None:
            self.plain = np.insert(self.plain, places, self._plain(w, h), axis=0)

    def _halve(self, excess: Real, trapezoid: Real, worst: int, allowed: float) -> tuple[Real, Real]:
        hidden = excess[:, worst]
        order = np.argsort(hidden)
        kept = int(np.searchsorted(np.cumsum(hidden[order]), 0.5 * allowed, side="right"))
        where = np.sort(order[kept:][::-1][: max(1, self.most - len(self.w))])
        left, right = self.w[where], self.w[where + 1]
        middle = np.where((left > 0) & (right > 4 * left), np.sqrt(left * right), 0.5 * (left + right))
        if (middle <= left).any() or (middle >= right).any():
            raise ToleranceError(f"the deviation cannot be bounded near {left[0]:.9g} rad/s: a pole lies there or by it")
        self._insert(where + 1, middle)
        at = where + np.arange(len(where))  # the left halves, in the new numbering
        both = np.sort(np.concatenate([at, at + 1]))
        new = self._excess(self.w[both], self.w[both + 1], both, both + 1)
        keep = np.ones(len(self.w) - 1, dtype=bool)
        keep[both] = False
        out = []
        for old, fresh in zip((excess, trapezoid), new, strict=True):
            merged = np.empty((len(keep), old.shape[1]))
            merged[keep], merged[both] = np.delete(old, where, axis=0), fresh
            out.append(merged)
        return out[0], out[1]

    def _excess(self, left: Real, right: Real, first: Any, second: Any) -> tuple[Real, Real]:
        """What intervals may hide, and their trapezoids, (I, n) each."""
        ends = (self.e[first], self.e[second]), (self.a_norm[first], self.a_norm[second])
        found = self.field.bounds(left, right, *ends)
        x_left, x_right = self.x[first], self.x[second]
        width, near = (right - left)[:, None], np.hypot(self.field.shift, left)
        trapezoid = 0.5 * width * (x_left + x_right)
        coefficients, rest = self.forcing.coefficient_bounds(near), self.forcing.rest_bounds(near)
        away = np.hypot(near, self.a)
        lagging: Triple = (1 / away, 1 / away**2, 2 / away**3)
        rows = 1 / np.sqrt(self.field.weights(0.5 * (left + right)))
        rho = np.abs(self.forcing.rho(self.values, self.last))
        with np.errstate(all="ignore"):
            quotients = self._quotient_bounds(left, right, found)
            parts = [_product(c, d) for c, d in zip(coefficients, quotients, strict=True)]
            others = _product(rest, lagging)
            hidden = _hidden(
                [np.sum([part[j] for part in parts], axis=0)[:, None] * rows + np.outer(others[j], rho) for j in range(3)],
                width,
                trapezoid,
            )
            if self.plain is not None:  # |W| by its bound where its delays are not resolved
                plain = 0.5 * width * (self.plain[first] + self.plain[second])
                more = _hidden([quotients[0][j][:, None] * rows + np.outer(lagging[j], rho) for j in range(3)], width, plain)
                hidden = np.minimum(hidden, np.maximum(rest[0][:, None] * (plain + more) - trapezoid, 0.0))
        return np.where(np.isnan(hidden), np.inf, hidden), trapezoid

    def _quotient_bounds(self, left: Real, right: Real, found: Weighted) -> list[Triple]:
        """Weighted bounds of the quotients and their first two derivatives."""
        m, shift = self.field.m, self.field.shift
        out: list[Triple] = []
        for p, value in zip(self.forcing.poles, self.values, strict=True):
            if p == 0 and m:
                out.append(_lifted(found, np.hypot(shift, right), m - 1))
                continue
            v = _lifted(found, np.hypot(shift, right), m)
            fixed = np.sqrt(self.field.weights(0.5 * (left + right)) @ np.abs(value) ** 2)
            reach = v[0] + fixed
            d = np.hypot(shift - p.real, np.maximum(np.maximum(left - p.imag, p.imag - right), 0.0))
            touching = (d == 0) | ((d < right - left) & (left <= p.imag) & (p.imag <= right) & (shift == 0))
            d0 = np.where(touching, v[1], reach / d)
            d1 = np.where(touching, 0.5 * v[2], v[1] / d + reach / d**2)
            d2 = np.where(touching, np.inf, v[2] / d + 2 * v[1] / d**2 + 2 * reach / d**3)
            out.append((d0, d1, d2))
        return out


def _lifted(found: Weighted, far: Real, m: int) -> Triple:
    """Bounds of s^m h and its derivatives where |s| <= far."""
    _, h0, h1, h2 = found
    if m == 0:
        return h0, h1, h2
    low, lower = m * far ** (m - 1), (m * (m - 1) * far ** (m - 2) if m > 1 else 0.0)
    return far**m * h0, far**m * h1 + low * h0, far**m * h2 + 2 * low * h1 + lower * h0


def _product(c: Triple, d: Triple) -> Triple:
    """Bounds of a product and its derivatives; zero times infinity is zero."""

    def times(x: Real, y: Real) -> Real:
        return np.where((x == 0) | (y == 0), 0.0, x * y)

    return (
        times(c[0], d[0]),
        times(c[0], d[1]) + times(c[1], d[0]),
        times(c[0], d[2]) + 2 * times(c[1], d[1]) + times(c[2], d[0]),
    )


def _hidden(bounds: list[Real], width: Real, trapezoid: Real) -> Real:
    """What an integral may exceed its trapezoid by, from bounds of the function and of its first two derivatives."""
    second = np.minimum(width**3 / 12 * bounds[2], width**2 / 4 * bounds[1])
    return np.minimum(second, np.maximum(width * bounds[0] - trapezoid, 0.0))
