r"""The deviation in time bounded from a closed-form incoherence bound alone: no T, only node inverses, lambda_2 and degrees.

    |e_i(t)| <= e^{sigma t} (1/pi) int_0^inf b(w) ||u0|| |U(sigma + jw)| dw,      b >= ||E||_2.

b is the passive or the hull bound of `theory.bounds`, whichever is less, of the nodes z~ = s^m z and the coupling f~ = s^m f (then
b/|s|^m stays bounded at the pole of f), made good for whole intervals of radius r: z~_i moves along j z~_i' up to
r^2/2 sup |z~_i''|, f~ by no more than rho_f from the logarithmic derivative, z_i by no more than rho_i, and for every angle theta

    c >= Re e^{-j theta} f~ - rho_f,      alpha <= (std z + rms rho)/(|mean z| - mean rho),
    h >= min_i ( Re e^{-j theta} z~_i - r |Im e^{-j theta} z~_i'| - r^2/2 sup |z~_i''| );

the support of the hull moves by no more. Intervals whose bound exceeds the one at their middle most are halved. From the last
frequency on ||E|| <= 1/(min |z_i| - |f| lambda_n) + n |g_hat|.
"""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.enclosures import balanced, enclosure, far_bound
from coherence.numerics.rational import Rational
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.field import coupling_slope, factored, far_rise, require_regular
from coherence.simulation.forcings import Forcing, Oscillating, forcing_of
from coherence.simulation.guarantees import SHIFTS, Guarantee, Part, _require, rightmost
from coherence.simulation.steady import require_stable
from coherence.theory.bounds import degree_bound
from coherence.theory.passivity import DENSE_STATES, passivity
from coherence.types import Complex, Real

ANGLES = 60  # of a grid; any is safe
REFINED = 2  # times the grid is made finer around the best angle
ENTRIES = 4_000_000  # (intervals, angles, nodes) held at a time


def a_priori_guarantee(
    network: Network, disturbance: Disturbance, *, gap: float = 0.1, horizon: float | None = None, most: int = 20_000
) -> Guarantee:
    """How far any node can be from the coherent response, from node inverses, lambda_2 and degrees alone.

    Parameters
    ----------
    network : Network
        Connected, also sparse with thousands of nodes; every node with inertia (relative degree >= 1). Without `horizon`, f must
        have a pole at 0, and stability is that of passive nodes with a positive real f, or is computed (up to 1500 states).
    disturbance : Disturbance
        Of any kind with `horizon`; without, no sinusoid (its bound would need T at its frequency).
    gap : float
        What intervals may add to the integral of the bound, relative; >= 1e-4.
    horizon : float, optional
        Bound e only up to this time [s].
    most : int
        Intervals before it gives up.

    Returns
    -------
    Guarantee
        The same for every node, in units of the outputs; some times that of `deviation_guarantee`.

    Raises
    ------
    ToleranceError
        The closed-form bounds are silent at some frequency (nodes that are not passive), or the gap is not met.
    InstabilityError
        T or g_hat is not stable (without `horizon`).
    PoleError
        A zero or pole of f, or a pole of a node inverse, lies on the line of integration.
    InputError
        No inertia at a node, f without a pole at 0 or a sinusoid (without `horizon`), or stability unknown.
    UnknownNameError
        The disturbance names a node that the network does not have.
    DisconnectedError
        The network falls apart.

    References
    ----------
    Derived in the module; H. Min, dissertation (2023), Theorems 3.3 and 3.4.

    Examples
    --------
    >>> from coherence import Network, Step, a_priori_guarantee, deviation_guarantee, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> a_priori_guarantee(network, Step({"1": 1.0})).largest > deviation_guarantee(network, Step({"1": 1.0})).largest
    True
    """
    _require(network, disturbance, gap, horizon)
    until = np.inf if horizon is None else float(horizon)
    terms = [(part.vector(network), forcing_of(part, until)) for part in disturbance.terms]
    acting = [(shape, forcing) for shape, forcing in terms if forcing is not None and shape.any()]
    if network.size == 1 or not acting:
        return Guarantee(network.labels, (), until, "nothing deviates", 0)
    if (network.nodes.degree < 1).any():
        label = network.labels[int(np.argmin(network.nodes.degree))]
        raise InputError(f"node {label!r} has no inertia, so its deviation does not fade with frequency; ask deviation_guarantee")
    assert isinstance(network.coupling, Rational)
    if horizon is None:
        if network.coupling.den[-1] != 0.0:
            raise InputError(
                "f has no pole at 0, so steps leave a deviation that only T knows; give horizon=, or ask deviation_guarantee"
            )
        if any(isinstance(forcing, Oscillating) for _, forcing in acting):
            raise InputError("a sinusoid leaves a deviation that only T knows; give horizon=, or ask deviation_guarantee")
        require_regular(network, 0.0)
    last = _stability(network, horizon)
    zero: Complex = np.zeros(network.size, dtype=complex)
    parts, used, form = [], 0, "uniform in time, closed-form bound on the axis"
    for shape, forcing in acting:
        span = until - forcing.start
        shifts = [0.0] if horizon is None else [last * (1 + 1e-6) + factor / span for factor in SHIFTS]
        tried = []
        for sigma in shifts:
            require_regular(network, sigma)
            rough = _Search(network, forcing, sigma, 10.0 if len(shifts) > 1 else gap, most)
            value, count = rough.run()
            tried.append((value * float(np.exp(sigma * span)) if sigma else value, sigma, value))
            used += count
        _, sigma, value = min(tried)
        if len(shifts) > 1:
            value, count = _Search(network, forcing, sigma, gap, most).run()
            used += count
            form = f"up to the horizon, closed-form bound on Re s = {sigma:.3g}"
        integral = np.full(network.size, value * float(np.linalg.norm(shape)) / np.pi)
        parts.append(Part(forcing, [zero] * len(forcing.poles), np.zeros(network.size), 1.0, sigma, integral))
    return Guarantee(network.labels, tuple(parts), until, form, used)


def _stability(network: Network, horizon: float | None) -> float:
    """The largest real part of a pole, 0 where passivity says that there is none to the right."""
    if horizon is None:
        require_stable(network, "a bound for all time", "; give horizon= for a bound on finite time")
        return 0.0
    if np.isfinite(passivity(network).gamma):
        return 0.0
    if network.order > DENSE_STATES:
        raise InputError(
            f"the nodes are not all passive, so stability would have to be computed, of {network.order} states "
            f"(at most {DENSE_STATES}); aggregate them first"
        )
    return rightmost(network)


class _Search:
    """Intervals with their bounds, and the bounds at their middles."""

    def __init__(self, network: Network, forcing: Forcing, shift: float, gap: float, most: int) -> None:
        self.network, self.forcing, self.shift, self.gap, self.most = network, forcing, shift, gap, most
        self.nodes = balanced(network.nodes)
        assert isinstance(network.coupling, Rational)
        self.f = network.coupling
        self.m, self.rest = factored(self.f)
        rounding = network.size * float(np.finfo(float).eps) * degree_bound(network)
        self.least, self.largest = max(network.algebraic_connectivity - rounding, 0.0), degree_bound(network)
        trial = np.geomspace(1e-6, 1e6, 121)
        z, f = np.abs(network.nodes.inverse(1j * trial)), np.abs(self.f(1j * trial))
        near = [
            trial[int(np.argmin(np.abs(np.log(size / (f * value)))))]
            for size, value in ((z.max(axis=1), self.least), (z.min(axis=1), self.largest))
        ]
        self.edges = np.concatenate([[0.0], np.geomspace(1e-3 * min(near), 10 * max(near), 120)])

    def run(self) -> tuple[float, int]:
        """A bound of int b |U| dw, and the number of intervals it took."""
        value, middle = self._intervals(self.edges[:-1], self.edges[1:])
        count = len(value)
        while True:
            tail, base = self._tail(), float(middle.sum())
            excess = value - middle
            if np.isfinite(tail) and excess.sum() + tail <= self.gap * base:
                return float(value.sum()) + tail, count
            if count >= self.most:
                raise ToleranceError(
                    f"after {count} intervals the integral of the bound is known to lie below {value.sum() + tail:.4g} only (at "
                    f"the middles it is {base:.4g}); the closed-form bound is silent somewhere, or allow more, or a larger gap"
                )
            if not np.isfinite(tail) or tail > 0.3 * self.gap * base:
                self.edges = np.append(self.edges, 1.5 * self.edges[-1])
                more = self._intervals(self.edges[-2:-1], self.edges[-1:])
                value, middle, count = np.append(value, more[0]), np.append(middle, more[1]), count + 1
                if self.edges[-1] > 1e15:
                    raise ToleranceError("the bound does not fade with frequency")
                continue
            order = np.argsort(excess)
            kept = int(np.searchsorted(np.cumsum(excess[order]), 0.35 * self.gap * base, side="right"))
            where = np.sort(order[kept:])
            left, right = self.edges[where], self.edges[where + 1]
            if (right - left <= 1e-9 * right).any():
                raise ToleranceError(
                    f"the closed-form bounds are silent near {left[0]:.6g} rad/s, so nothing follows from them alone"
                )
            half = 0.5 * (left + right)
            first, second = self._intervals(left, half), self._intervals(half, right)
            count += 2 * len(where)
            value[where], middle[where] = first[0], first[1]
            value, middle = np.insert(value, where + 1, second[0]), np.insert(middle, where + 1, second[1])
            self.edges = np.insert(self.edges, where + 1, half)

    def _intervals(self, left: Real, right: Real) -> tuple[Real, Real]:
        """Bounds of the integral over intervals, and what it would be with the bound at their middles."""
        size = max(1, ENTRIES // (ANGLES * self.network.size))
        parts = [self._some(left[i : i + size], right[i : i + size]) for i in range(0, len(left), size)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _some(self, left: Real, right: Real) -> tuple[Real, Real]:
        middle, radius = 0.5 * (left + right), 0.5 * (right - left)
        z, z1, z2 = enclosure(self.nodes, middle, radius, shift=self.shift)
        s = self.shift + 1j * middle
        whole = self._bound(s, z, z1, z2, left, right) * self._signal(s, left, right)
        point = self._bound(s, z, z1, z2, middle, middle) * self._signal(s, middle, middle)
        with np.errstate(invalid="ignore"):
            return (right - left) * whole, np.minimum(
                (right - left) * np.where(np.isfinite(point), point, 0.0), (right - left) * whole
            )

    def _signal(self, s: Complex, left: Real, right: Real) -> Real:
        """A bound of |s|^m |U| over intervals around s."""
        near, far = np.hypot(self.shift, left), np.hypot(self.shift, right)
        if isinstance(self.forcing, Oscillating):
            alpha, phase = self.forcing.alpha, self.forcing.phase
            top = alpha * abs(np.cos(phase)) + far * abs(np.sin(phase))
            off = np.maximum(np.maximum(left - alpha, alpha - right), 0.0)
            return np.asarray(far**self.m * top / (np.hypot(self.shift, off) * np.hypot(self.shift, left + alpha)))
        size, slope, _ = self.forcing.rest_bounds(near)
        size = np.minimum(size, np.abs(self.forcing.rest(s)) + 0.5 * (right - left) * slope)
        return np.asarray(size * (far ** (self.m - 1) if self.m else 1 / near))

    def _bound(self, s: Complex, z: Complex, z1: Complex, z2: Real, left: Real, right: Real) -> Real:
        """A bound of ||E/s^m|| over intervals around s."""
        m, radius, far = self.m, 0.5 * (right - left)[:, None], np.hypot(self.shift, right)[:, None]
        with np.errstate(all="ignore"):
            steep = np.abs(z1) + radius * z2
            large = np.abs(z) + radius * steep
            lifted = (s**m)[:, None] * z
            slope = (s**m)[:, None] * z1 + (m * s ** max(m - 1, 0))[:, None] * z
            bend = far**m * z2 + 2 * m * far ** max(m - 1, 0) * steep + m * (m - 1) * far ** max(m - 2, 0) * large
            rho = radius * (np.abs(slope) + radius * bend)
            f = self.rest(s)
            phi, phi1 = coupling_slope(self.rest, self.shift, s, left, right)
            rho_f = np.abs(f) * np.expm1(radius[:, 0] * (np.abs(phi) + radius[:, 0] * phi1))
            mean, move = z.mean(axis=1), radius * steep
            spread = np.sqrt((np.abs(z - mean[:, None]) ** 2).mean(axis=1)) + np.sqrt((move**2).mean(axis=1))
            room = np.abs(mean) - move.mean(axis=1)
            alpha2 = np.where(room > 0, (spread / np.where(room > 0, room, 1.0)) ** 2, np.inf)
            q = alpha2 * (np.abs(lifted.mean(axis=1)) + rho.mean(axis=1))
            margin = self._margin(lifted, radius * slope, 0.5 * radius**2 * bend, f, rho_f, 1 + alpha2, q)
            value = np.where(margin > 0, (1 + alpha2) / margin, np.inf)
        return np.where(np.isfinite(value), value, np.inf)

    def _margin(self, z: Complex, move: Complex, rest: Real, f: Complex, rho_f: Real, spread: Real, q: Real) -> Real:
        """The larger of the two margins, over a grid of angles that is made finer around the best."""
        centre, width, best = np.angle(f), np.pi, np.full(len(f), -np.inf)
        kinks = centre[:, None] + np.array([-1.0, 1.0]) * (0.5 * np.pi - 1e-9)  # just where f still pulls
        for _ in range(1 + REFINED):
            angles = np.hstack([centre[:, None] + np.linspace(-width, width, ANGLES - 2), kinks])
            turn = np.exp(-1j * angles)
            h = np.empty(angles.shape)
            for k in range(ANGLES):
                h[:, k] = ((turn[:, k, None] * z).real - np.abs((turn[:, k, None] * move).imag) - rest).min(axis=1)
            c = (turn * f[:, None]).real - rho_f[:, None]
            hull = h + np.minimum(c * self.least, c * self.largest) - q[:, None]
            passive = np.where(c >= 0, c * self.least + np.where(h >= 0, h, spread[:, None] * h), -np.inf)
            value = np.fmax(hull, passive)
            value = np.where(np.isnan(value), -np.inf, value)
            best = np.maximum(best, value.max(axis=1))
            centre = angles[np.arange(len(f)), value.argmax(axis=1)]
            width *= 4.0 / ANGLES
        return best

    def _tail(self) -> float:
        """A bound of int b |U| from the last edge on."""
        beyond = float(self.edges[-1])
        with np.errstate(all="ignore"):
            single, together = far_rise(self.nodes, beyond, far_bound(self.nodes, beyond))
            num, den = np.array(self.f.num), np.array(self.f.den)
            top = float(np.sum(np.abs(num) * beyond ** (np.arange(len(num))[::-1] - len(den) + 1.0)))
            below = 1.0 - float(np.sum(np.abs(den[1:]) * beyond ** -np.arange(1.0, len(den))))
            reach = float(single.min()) - (top / below * self.largest / beyond if below > 0 else np.inf)
        if not (reach > 0 and together > 0):
            return np.inf
        speed = 1.0 / reach + self.network.size / together
        zero: Complex = np.zeros(1, dtype=complex)
        values = [zero] * len(self.forcing.poles)
        return float(self.forcing.tail(beyond, 0.0, np.array([speed]), values, np.zeros(1))[0])
