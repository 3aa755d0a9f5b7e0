r"""Signals on a vertical line of the Laplace plane: what a deviation v is multiplied by, bounds on it, and an explicit part.

For e = v U, v(s) = E(s) u0, an explicit p with transform P is taken off so that x = v U - P is analytic where v is and O(|s|^-2).
Times are counted from the first event: a delay has modulus 1 on the axis and drops out of the response's clock elsewhere.

**Signals of bounded variation** (steps, pulses, ramps, samples). U = W/s with W(s) = int e^{-st} du(t), entire, and
|W^(j)| <= int t^j |du|; the part without jumps is also int e^{-st} du'(t) / s, whose moments bound it as W falls. The signal is
kept whole: bounding one event at a time would give up that they cancel (twice the bound for a pulse, and ramps alone have no
bound).
With v_0 = v(0), v_inf = v(inf) and any a > 0, P = m U with the first-order m = (v_0 a + v_inf s)/(s + a) of the same gains:

    x = W [ (v - v_0)/s + (v_0 - v_inf)/(s + a) ],      p(t) = v_0 l(t) + v_inf (u(t) - l(t)),

l the response of a/(s + a) to u. An exponential approach has W = r/(s + r).

**Sinusoids** u = sin(alpha t + phi), with D = v(j alpha), k = v_inf sin phi - Im D e^{j phi}:

    x = [ e^{j phi} (v - D)/(s - j alpha) - e^{-j phi} (v - conj D)/(s + j alpha) ] / 2j - k/(s + a),
    p(t) = Im D e^{j(alpha t + phi)} + k e^{-at}.

So every x is sum_p c_p(s) (v - v_p)/(s - p) + q(s)/(s + a) rho. On a line Re s = sigma > 0, where nothing has to cancel, v_p = 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coherence.simulation.disturbances import Disturbance, ExponentialApproach, Signal, Sinusoid
from coherence.types import Complex, Real

Triple = tuple[Real, Real, Real]  # bounds of a function and its first two derivatives, by interval


@dataclass(frozen=True, eq=False)
class Forcing(ABC):
    """The signal of one disturbance, from its first event on.

    Attributes
    ----------
    signal : Signal
        With its first event at 0.
    start : float
        Of the first event [s].
    """

    signal: Signal
    start: float

    @property
    @abstractmethod
    def poles(self) -> tuple[complex, ...]:
        """The p at which v - v_p is divided."""

    @abstractmethod
    def coefficients(self, s: Complex) -> Complex:
        """c_p at the points, (P, F)."""

    @abstractmethod
    def coefficient_bounds(self, near: Real) -> list[Triple]:
        """For each p bounds of |c_p|, |c_p'|, |c_p''| where |s| >= near and Re s >= 0, (I,) each."""

    @abstractmethod
    def rest(self, s: Complex) -> Complex:
        """The function q, (F,)."""

    @abstractmethod
    def rest_bounds(self, near: Real) -> Triple:
        """Bounds of q and its derivatives, (I,) each."""

    @abstractmethod
    def rho(self, values: list[Complex], last: Real) -> Real:
        """The vector before q/(s + a), of the values v_p and v_inf."""

    @abstractmethod
    def explicit(self, time: Real, values: list[Complex], last: Real, a: float) -> Real:
        """The explicit part p at times >= 0 from the first event, (N, n)."""

    @abstractmethod
    def explicit_peak(self, values: list[Complex], last: Real, a: float) -> Real:
        """A bound of sup_t |p_i(t)|, (n,)."""

    @abstractmethod
    def tail(self, beyond: float, a: float, speed: Real, values: list[Complex], last: Real) -> Real:
        """A bound of int_beyond^inf |x_i| dw where |v_i - v_inf_i| <= speed_i / |s|, (n,)."""

    @property
    def events(self) -> int:
        """How many delays there are in U."""
        return len(self.signal.events)


@dataclass(frozen=True, eq=False)
class Varying(Forcing):
    """Steps, pulses, ramps, samples and exponential approaches: U = W/s."""

    @property
    def poles(self) -> tuple[complex, ...]:
        """Where v - v_p is divided."""
        return (0.0,)

    @cached_property
    def _moments(self) -> tuple[Real, Real, Real]:
        """Moments 0, 1, 2 of the jumps' sizes, of |du| elsewhere, and of |du'| elsewhere, (3,) each."""
        jumps, slopes, bends = np.zeros(3), np.zeros(3), np.zeros(3)
        powers = np.arange(3)
        for when, until, jump, slope, change in self._pieces:
            jumps += abs(jump) * when**powers
            if slope:
                slopes += abs(slope) * (until ** (powers + 1) - when ** (powers + 1)) / (powers + 1)
            bends += abs(change) * when**powers
        return jumps, slopes, bends

    @cached_property
    def _pieces(self) -> list[tuple[float, float, float, float, float]]:
        """(begin, end, jump at the beginning, slope, change of slope) of each piece; the slope of the last is 0."""
        out, value, before = [], 0.0, 0.0
        line = len(self.signal.c) == 2
        ends = [when for when, _ in self.signal.events[1:]] + [np.inf]
        for (when, w), until in zip(self.signal.events, ends, strict=True):
            slope = float(w[1]) if line else 0.0
            out.append((when, until, float(w[0]) - value, slope, slope - before))
            value, before = float(w[0]) + (slope * (until - when) if slope else 0.0), slope
        return [
            (a, b, 0.0 if abs(jump) <= 8 * np.finfo(float).eps * self.largest else jump, slope, change)
            for a, b, jump, slope, change in out
        ]

    @cached_property
    def largest(self) -> float:
        """The largest |u|, attained at a beginning or end of a piece."""
        lowest, highest = self._range
        return max(highest, -lowest)

    @cached_property
    def _range(self) -> tuple[float, float]:
        """The least and the largest value of u, 0 among them."""
        line, found = len(self.signal.c) == 2, [0.0]
        ends = [when for when, _ in self.signal.events[1:]] + [np.inf]
        for (when, w), until in zip(self.signal.events, ends, strict=True):
            found.append(float(w[0]))
            if line and w[1]:
                found.append(float(w[0] + w[1] * (until - when)))
        return min(found), max(found)

    @property
    def variation(self) -> float:
        """Int |du|."""
        return float(self._moments[0][0] + self._moments[1][0])

    def coefficients(self, s: Complex) -> Complex:
        """C_p, (P, F)."""
        return self.rest(s)[None]

    def coefficient_bounds(self, near: Real) -> list[Triple]:
        """Their bounds."""
        return [self.rest_bounds(near)]

    def rest(self, s: Complex) -> Complex:
        """W, (F,)."""
        out: Complex = np.zeros(len(s), dtype=complex)
        for when, until, jump, slope, _ in self._pieces:
            part: Complex = np.full(len(s), jump, dtype=complex)
            if slope:
                x = s * (until - when)
                safe = np.where(x == 0, 1.0, x)
                part = part + slope * (until - when) * np.where(x == 0, 1.0, -np.expm1(-safe) / safe)
            out += part * np.exp(-s * when)
        return out

    def rest_bounds(self, near: Real) -> Triple:
        """Its bounds."""
        jumps, slopes, bends = self._moments
        with np.errstate(divide="ignore", invalid="ignore"):
            b0 = np.fmin(slopes[0], bends[0] / near)  # s V = Z, |Z^(j)| <= bends_j; 0 over 0 says nothing
            b1 = np.fmin(slopes[1], (bends[1] + b0) / near)
            b2 = np.fmin(slopes[2], (bends[2] + 2 * b1) / near)
        return jumps[0] + b0, jumps[1] + b1, jumps[2] + b2

    def rho(self, values: list[Complex], last: Real) -> Real:
        """The vector before q/(s + a)."""
        return values[0].real - last

    def explicit(self, time: Real, values: list[Complex], last: Real, a: float) -> Real:
        """P(t), (N, n)."""
        signal, lagged = self.lagged(time, a)
        return np.outer(lagged, values[0].real) + np.outer(signal - lagged, last)

    def lagged(self, time: Real, a: float) -> tuple[Real, Real]:
        """U and l, the response of a/(s + a) to it, at times >= 0, (N,) each."""
        signal, lag, value, behind = np.zeros(len(time)), np.zeros(len(time)), 0.0, 0.0
        for when, until, jump, slope, _ in self._pieces:
            mine = (time >= when) & (time < until)
            t, value = time[mine] - when, value + jump
            signal[mine] = value + slope * t
            lag[mine] = signal[mine] - slope / a + (behind - value + slope / a) * np.exp(-a * t)
            if np.isfinite(until):
                end = value + slope * (until - when)
                behind = end - slope / a + (behind - value + slope / a) * float(np.exp(-a * (until - when)))
                value = end
        return signal, lag

    def explicit_peak(self, values: list[Complex], last: Real, a: float) -> Real:
        """A bound of its size, (n,)."""
        first, last = np.abs(values[0].real), np.abs(last)
        return np.asarray(np.minimum(self.variation * np.maximum(first, last), self.largest * first + self.lead(a) * last))

    def lead(self, a: float) -> float:
        """A bound of |u - l|: the lag weighs what u has changed by, and falls behind a slope by slope/a at most."""
        lowest, highest = self._range
        steepest = max(abs(slope) for _, _, _, slope, _ in self._pieces)
        return min(highest - lowest, float(self._moments[0][0]) + steepest / a)

    def tail(self, beyond: float, a: float, speed: Real, values: list[Complex], last: Real) -> Real:
        """A bound of the integral from `beyond` on, (n,)."""
        size = self.rest_bounds(np.array([beyond]))[0][0]
        return (speed + a * np.abs(self.rho(values, last))) * size / beyond


@dataclass(frozen=True, eq=False)
class Approaching(Varying):
    """An exponential approach: W = r/(s + r)."""

    rate: float = 1.0

    def rest(self, s: Complex) -> Complex:
        """Q, (F,)."""
        return self.rate / (s + self.rate)

    def rest_bounds(self, near: Real) -> Triple:
        """Its bounds."""
        far = np.hypot(near, self.rate)  # |s + r|^2 >= |s|^2 + r^2 where Re s >= 0
        return self.rate / far, self.rate / far**2, 2 * self.rate / far**3

    @property
    def variation(self) -> float:
        """Int |du|."""
        return 1.0

    @property
    def largest(self) -> float:
        """The largest |u|."""
        return 1.0

    def lagged(self, time: Real, a: float) -> tuple[Real, Real]:
        """U and its lag: (e^{-at} - e^{-rt})/(r - a) without its cancellation where the rates are alike."""
        r = self.rate
        apart, slow = abs(r - a) * time, np.exp(-min(r, a) * time)
        ratio = np.where(apart > 0, -np.expm1(-apart) / np.where(apart > 0, apart, 1.0), 1.0) * time * slow
        signal = -np.expm1(-r * time)
        return signal, signal - r * ratio

    def lead(self, a: float) -> float:
        """U' is at most r."""
        return min(1.0, self.rate / a)


@dataclass(frozen=True, eq=False)
class Oscillating(Forcing):
    """A sinusoid."""

    alpha: float = 1.0
    phase: float = 0.0

    @property
    def poles(self) -> tuple[complex, ...]:
        """Where v - v_p is divided."""
        return (1j * self.alpha, -1j * self.alpha)

    @property
    def _turn(self) -> complex:
        return complex(np.exp(1j * self.phase))

    def coefficients(self, s: Complex) -> Complex:
        """C_p, (P, F)."""
        return np.multiply.outer(np.array([self._turn, -self._turn.conjugate()]) / 2j, np.ones(len(s)))

    def coefficient_bounds(self, near: Real) -> list[Triple]:
        """Their bounds."""
        zero = np.zeros(len(near))
        return [(zero + 0.5, zero, zero)] * 2

    def rest(self, s: Complex) -> Complex:
        """Q, (F,)."""
        return np.ones(len(s), dtype=complex)

    def rest_bounds(self, near: Real) -> Triple:
        """Its bounds."""
        zero = np.zeros(len(near))
        return zero + 1.0, zero, zero

    def _amplitude(self, values: list[Complex]) -> Complex:
        return np.asarray(values[0] * self._turn)

    def rho(self, values: list[Complex], last: Real) -> Real:
        """The vector before q/(s + a)."""
        return np.asarray(self._amplitude(values).imag - last * np.sin(self.phase))

    def explicit(self, time: Real, values: list[Complex], last: Real, a: float) -> Real:
        """P(t), (N, n)."""
        swing = np.exp(1j * self.alpha * time)[:, None] * self._amplitude(values)
        return np.asarray(swing.imag - np.exp(-a * time)[:, None] * self.rho(values, last))

    def explicit_peak(self, values: list[Complex], last: Real, a: float) -> Real:
        """A bound of its size, (n,)."""
        return np.abs(values[0]) + np.abs(self.rho(values, last))

    def tail(self, beyond: float, a: float, speed: Real, values: list[Complex], last: Real) -> Real:
        """X = (v - v_inf) U + [b alpha - rho (a s - alpha^2)/(s + a)]/(s^2 + alpha^2), b = v_inf cos phi - Re D e^{j phi}."""
        room = 1.0 - (self.alpha / beyond) ** 2
        if room <= 0:
            return np.full(len(last), np.inf)
        signal = abs(np.sin(self.phase)) + abs(np.cos(self.phase)) * self.alpha / beyond
        level = np.abs(last * np.cos(self.phase) - self._amplitude(values).real) * self.alpha
        extra = np.abs(self.rho(values, last)) * (a + self.alpha**2 / beyond)
        return np.asarray((speed * signal + level + extra) / (room * beyond))


def forcing_of(term: Disturbance, horizon: float = np.inf) -> Forcing | None:
    """The forcing of one disturbance with its clock set to the first event; None where nothing happens before the horizon."""
    signal = term.signal
    events = [(when, w) for when, w in signal.events if when < horizon]
    if not events:
        return None
    start = events[0][0]
    moved = Signal(signal.s, signal.c, tuple((when - start, w) for when, w in events))
    if isinstance(term, Sinusoid):
        return Oscillating(moved, start, alpha=float(term.omega), phase=float(term.phase))
    if isinstance(term, ExponentialApproach):
        return Approaching(moved, start, rate=float(term.rate))
    if len(moved.c) == 2 and moved.events[-1][1][1] != 0.0:  # events beyond the horizon were left out: end the slope there
        (when, w), until = moved.events[-1], horizon - start
        moved = moved._replace(events=(*moved.events, (until, np.array([w[0] + w[1] * (until - when), 0.0]))))
    return Varying(moved, start)
