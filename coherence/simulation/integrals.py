r"""The integral of |x_i| along a line Re s = sigma, x = (v U - P)(s), v = E u0, bounded from above with its quadrature error.

**The deviation between evaluations.** Let f have a pole of order m at 0, z~ = s^m z, f~ = s^m f and H = E/s^m, the deviation of the
nodes z~ and the coupling f~, which is regular at 0. With ' = d/ds, h = H u0, c = 1^T u0, phi = f~'/f~, nu = z~' - phi z~ and
r = z' - kappa z for any number kappa (E z = 0 and z^T h = 0),

    H' = -g_hat (1 r^T H + H r 1^T) - phi H - H diag(nu) H,
    h' = -g_hat 1 (r^T h) - g_hat c H r - phi h - H diag(nu) h,

as in `theory.supremum`. Differentiating again, with mu = g_hat sum z', z^T h' = -r^T h, H' z = -H r and kappa held,

    h'' = g_hat 1 [(mu + kappa) r^T h - z''^T h - r^T h'] + g_hat c [(mu + kappa) H r - H z'' - H' r]
          - phi' h - phi h' - H' diag(nu) h - H diag(nu') h - H diag(nu) h'.

**Norms.** |D x| with D = diag(weights)^{1/2}: H becomes D H D, nu_i becomes nu_i/weight_i, which weights like the size of z_i
at the
frequency make alike over nodes, so that the inequality is nearly tight. D is constant over an interval; norms at its ends change
by the weights' ratio. e = ||D H D|| obeys |de/dw| <= alpha e + beta e^2 and a = |D h| obeys
|da/dw| <= A a + B over an interval (coefficients by `nodes.enclosures`), and their solutions from both ends bound them within.

**Quadrature.** x is sum_p c_p (v - v_p)/(s - p) + q/(s + a) rho (`forcings`); the quotient d = (v - v_p)/(s - p) has
|d''| <= |v''|/|s - p| + 2 |v'|/|s - p|^2 + 2 |v - v_p|/|s - p|^3 and, being a mean of v', |d| <= sup |v'|, |d'| <= sup |v''|/2
up to p.
A modulus bends down no more than its function, |x|'' >= -|x''|, so over an interval of length b

    int |x_i| <= trapezoid + min( b^3/12 sup |x_i''|,  b^2/4 sup |x_i'|,  b sup |x_i| - trapezoid ).

The intervals with the largest excess are halved. From the last frequency on, `_Far` bounds v - v(inf) by K/|s| in closed form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from coherence.errors import InputError, PoleError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.enclosures import balanced, enclosure, far_bound
from coherence.nodes.nodes import Nodes
from coherence.numerics.deflation import uniform_deviation
from coherence.numerics.rational import Rational
from coherence.numerics.threads import single_thread
from coherence.simulation.forcings import Forcing, Triple
from coherence.theory.frequencies import MODE_STATES, mode_frequencies
from coherence.types import Complex, Real

DECADE = 12  # frequencies to begin with, beside the modes
ROUNDING = 1e-9  # relative, of an evaluation: added to every value a bound starts from
ENTRIES = 4_000_000  # matrix entries held at a time
SINGULAR = 100  # nodes up to which norms are singular values; above, bounds by powers of the matrix
LEAST = 1e-2  # of a node's size at the network's scale: what its weight is at least
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


class Weighted(NamedTuple):
    """What is known over intervals: bounds of ||D H D||, |D h|, |D h'| and |D h''|, (I,) each."""

    norm: Real
    size: Real
    slope: Real
    bend: Real


class Field:
    """H and h of one network and shape along one line."""

    def __init__(self, network: Network, shape: Real, shift: float) -> None:
        self.network, self.shape, self.shift = network, shape, shift
        self.nodes = balanced(network.nodes)
        assert isinstance(network.coupling, Rational)
        self.m, self.rest = factored(network.coupling)
        self.slowest, self.scale, self.fastest = spread_of(network)
        self.weight = self._weights()
        self.root = np.sqrt(self.weight)
        self.least = LEAST * self.weight * self.scale
        self.total = float(shape.sum())

    def weights(self, w: Real) -> Real:
        """The weights of intervals and points at w, (F, n): about |z_i| up to a factor common to all nodes."""
        size = np.maximum(np.hypot(self.shift, w), self.slowest)[:, None]
        polynomial = np.abs(self.network.nodes.polynomial)
        return np.asarray(sum(polynomial[j] * size**j for j in range(len(polynomial))) + self.least)

    def _weights(self) -> Real:
        typical = np.abs(self.network.nodes.inverse(1j * self.scale + self.shift)[0]) / self.scale
        inertia = self.network.nodes.inertia
        return np.where(inertia > 0, inertia, np.maximum(typical, 1e-6 * typical.max()))

    def evaluate(self, w: Real) -> tuple[Complex, Real]:
        """H (F, n) and e = ||D H D||_2 (or a bound on it), (F,)."""
        h, e, n = np.empty((len(w), self.network.size), dtype=complex), np.empty(len(w)), self.network.size
        chunk = max(1, ENTRIES // n**2)
        with single_thread(n):
            for i in range(0, len(w), chunk):
                part = self.matrix(w[i : i + chunk])
                h[i : i + chunk] = part @ self.shape
                root = np.sqrt(self.weights(w[i : i + chunk]))
                e[i : i + chunk] = _norms(root[:, :, None] * part * root[:, None, :])
        return h, e * (1 + ROUNDING)

    def matrix(self, w: Real) -> Complex:
        """H, (F, n, n)."""
        s = self.shift + 1j * w
        q = self.rest.denominator(s)
        return uniform_deviation(
            self.network.nodes.inverse(s), self.rest.numerator(s), q * s**self.m, self.network.dense_laplacian, factor=q
        )

    def slope(self, w: float) -> tuple[Complex, Complex]:
        """H u0 and its derivative at one point."""
        at, s = np.array([w]), self.shift + 1j * w
        matrix = self.matrix(at)[0]
        z, z1, _ = (array[0] for array in enclosure(self.nodes, at, np.zeros(1), shift=self.shift))
        phi = np.sum(1 / (s - np.roots(self.rest.num))) - np.sum(1 / (s - np.roots(self.rest.den)))
        power = self.m * s ** (self.m - 1) if self.m else 0.0
        nu = s**self.m * z1 + power * z - phi * s**self.m * z
        h = matrix @ self.shape
        return h, -(z1 @ h + self.total * (matrix @ z1)) / z.sum() - phi * h - matrix @ (nu * h)

    def bounds(self, left: Real, right: Real, e: tuple[Real, Real], a: tuple[Real, Real]) -> Weighted:
        """|D h|, |D h'| and |D h''| over intervals from e and |D h| at their ends."""
        n = self.network.size
        size = max(1, ENTRIES // (8 * n))
        parts = [self._bounds(*(x[i : i + size] for x in (left, right, e[0], e[1], a[0], a[1]))) for i in range(0, len(left), size)]
        return Weighted(*(np.concatenate([part[j] for part in parts]) for j in range(4)))

    def _bounds(self, left: Real, right: Real, e_left: Real, e_right: Real, a_left: Real, a_right: Real) -> Weighted:
        middle, radius = 0.5 * (left + right), 0.5 * (right - left)
        s, far, tall = self.shift + 1j * middle, np.hypot(self.shift, right), radius[:, None]
        z, z1, z2 = enclosure(self.nodes, middle, radius, shift=self.shift)
        weight = self.weights(middle)
        m, root = self.m, np.sqrt(weight)
        one = np.sqrt(weight.sum(axis=1))  # |D 1|
        # the norms at the ends are in the weights there
        up = [(weight / self.weights(w)).max(axis=1) for w in (left, right)]
        e_left, e_right, a_left, a_right = e_left * up[0], e_right * up[1], a_left * np.sqrt(up[0]), a_right * np.sqrt(up[1])
        with np.errstate(all="ignore"):
            steep = np.abs(z1) + tall * z2  # |z'| over the interval
            large = np.abs(z) + tall * steep
            phi, phi1 = coupling_slope(self.rest, self.shift, s, left, right)
            phi0 = np.abs(phi) + radius * phi1
            powers = [far**m, m * far ** max(m - 1, 0), m * (m - 1) * far ** max(m - 2, 0)]
            up0, up1, up2 = (power[:, None] for power in powers)
            lifted, raised = (s**m)[:, None], (m * s ** max(m - 1, 0))[:, None]
            nu = lifted * z1 + raised * z - phi[:, None] * lifted * z
            nu1 = up0 * z2 + 2 * up1 * steep + up2 * large + phi1[:, None] * up0 * large
            nu1 = nu1 + phi0[:, None] * (up0 * steep + up1 * large)
            beta = ((np.abs(nu) + tall * nu1) / weight).max(axis=1)
            beta1 = (nu1 / weight).max(axis=1)
            sum0, sum1 = z.sum(axis=1), z1.sum(axis=1)
            sum2 = z2.sum(axis=1)
            least = np.abs(sum0) - radius * (np.abs(sum1) + radius * sum2)
            g = 1.0 / np.where(least > 0, least, np.nan)
            mu = g * (np.abs(sum1) + radius * sum2)
            kappa = ((z.conj() * z1) / weight).sum(axis=1) / ((np.abs(z) ** 2) / weight).sum(axis=1)
            curved = np.linalg.norm(z2 / root, axis=1)  # |D^-1 z''|
            r = np.linalg.norm((z1 - kappa[:, None] * z) / root, axis=1)
            r = r + radius * (curved + np.abs(kappa) * np.linalg.norm(steep / root, axis=1))
            g1, gc, turned = g * one, g * abs(self.total), mu + np.abs(kappa)
            tiny = 1e-12 / (right - left)
            e0 = _riccati(np.maximum(phi0 + 2 * g1 * r, tiny), beta, right - left, e_left, e_right)
            a0 = _linear(np.maximum(phi0 + g1 * r + beta * e0, tiny), gc * r * e0, right - left, a_left, a_right)
            e1 = (2 * g1 * r + phi0 + beta * e0) * e0
            a1 = (g1 * r + phi0 + beta * e0) * a0 + gc * r * e0
            a2 = g1 * ((turned * r + curved) * a0 + r * a1) + gc * ((turned * r + curved) * e0 + r * e1)
            a2 = a2 + phi1 * a0 + phi0 * a1 + (e1 * beta + e0 * beta1) * a0 + e0 * beta * a1
        return Weighted(*(np.where(np.isfinite(x), x, np.inf) for x in (e0, a0, a1, a2)))


def factored(coupling: Rational) -> tuple[int, Rational]:
    """The order m of the pole of f at 0, and s^m f."""
    den = np.array(coupling.den)
    m = len(den) - len(np.trim_zeros(den, "b"))
    return m, Rational(coupling.num, coupling.den[: len(den) - m])


def coupling_slope(coupling: Rational, shift: float, s: Complex, left: Real, right: Real) -> tuple[Complex, Real]:
    """f'/f at the points s and a bound on its derivative over intervals around them: sums over zeros and poles of f."""
    phi, change = np.zeros(len(s), dtype=complex), np.zeros(len(s))
    for coefficients, sign in ((coupling.num, 1.0), (coupling.den, -1.0)):
        for root in np.roots(coefficients):
            phi += sign / (s - root)
            off = np.maximum(np.maximum(left - root.imag, root.imag - right), 0.0)
            change += 1.0 / ((shift - root.real) ** 2 + off**2)
    return phi, change


class Far:
    """|v_i - v_i(inf)| <= K_i/|s| for |s| >= beyond, by eliminating the nodes of relative degree 0 (S) from the others (R).

    With Q = (Z_S + f L_SS)^{-1}: y_R = (Z_R + f L_RR - f^2 L_RS Q L_SR)^{-1} (u_R - f L_RS Q u_S), y_S = Q (u_S - f L_SR y_R), all
    in weighted norms; then row by row z_i y_i = u_i - f (L y)_i for i in R.
    """

    def __init__(self, field: Field) -> None:
        network, root = field.network, field.root
        self.field, self.nodes = field, field.nodes
        self.static, self.moving = (np.flatnonzero(mask) for mask in (network.nodes.degree == 0, network.nodes.degree > 0))
        assert isinstance(network.coupling, Rational)
        self.f = network.coupling
        self.f_last = self.f.num[0] / self.f.den[0] if len(self.f.num) == len(self.f.den) else 0.0
        self.scaled = network.dense_laplacian / root[:, None] / root
        s, r = self.static, self.moving
        self.norms = {
            "rr": _norm(self.scaled[np.ix_(r, r)]),
            "rs": _norm(self.scaled[np.ix_(r, s)]),
            "ss": _norm(self.scaled[np.ix_(s, s)]),
        }
        damping = network.nodes.damping
        self.q = np.linalg.inv(np.diag(damping[s] / field.weight[s]) + self.f_last * self.scaled[np.ix_(s, s)])
        self.last = np.zeros(network.size)
        self.last[s] = self.q @ (field.shape / root)[s] / root[s]
        if not r.size:
            self.last -= field.total / damping.sum()

    def speed(self, beyond: float) -> Real:
        """K, (n,); infinite where `beyond` is not far enough."""
        field, s, r = self.field, self.static, self.moving
        n, root = field.network.size, field.root
        out = np.full(n, np.inf)
        sections = far_bound(self.nodes, beyond) - np.abs(self.nodes.damping)
        moving = self._coupling_change(beyond)
        if not (np.isfinite(sections).all() and np.isfinite(moving)):
            return out
        f = abs(self.f_last) + moving / beyond
        u = np.abs(field.shape) / root
        u_s, u_r, q0 = float(np.linalg.norm(u[s])), float(np.linalg.norm(u[r])), _norm(self.q)
        drift = float((sections[s] / field.weight[s]).max(initial=0.0)) * beyond + moving * self.norms["ss"]
        if q0 * drift >= beyond:
            return out
        q = q0 / (1 - q0 * drift / beyond)
        rise, together = far_rise(self.nodes, beyond, far_bound(self.nodes, beyond))
        y_r = 0.0
        if r.size:
            room = float((rise / field.weight)[r].min()) - (f * self.norms["rr"] + f**2 * self.norms["rs"] ** 2 * q) / beyond
            if room <= 0:
                return out
            y_r = (u_r + f * self.norms["rs"] * q * u_s) / room
        y_s = q * (u_s + f * self.norms["rs"] * y_r / beyond)
        rows_r, rows_s = np.linalg.norm(self.scaled[:, r], axis=1), np.linalg.norm(self.scaled[:, s], axis=1)
        own = (u + f * (rows_r * y_r / beyond + rows_s * y_s)) * root
        out[r] = own[r] / rise[r]
        out[s] = (q0 * q * drift * u_s + f * q * self.norms["rs"] * y_r) / root[s]
        if r.size:
            motion = abs(field.total) / together if together > 0 else np.inf
        else:
            level = abs(float(self.nodes.damping.sum()))
            least = level - sections.sum()
            motion = abs(field.total) * sections.sum() * beyond / (least * level) if least > 0 else np.inf
        return np.asarray(out + motion)

    def _coupling_change(self, beyond: float) -> float:
        """|s| |f - f(inf)| for |s| >= beyond."""
        den = np.array(self.f.den)
        num = np.zeros(len(den))
        num[len(den) - len(self.f.num) :] = self.f.num
        num = (num - self.f_last * den)[1:]
        k = np.arange(len(den))
        below = 1.0 - float(np.sum(np.abs(den[1:]) * beyond ** -k[1:].astype(float)))
        return float(np.sum(np.abs(num) * beyond ** -k[:-1].astype(float))) / below if below > 0 else np.inf


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
            quotients = self._quotient_bounds(left, right, found, ends[1])
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

    def _quotient_bounds(self, left: Real, right: Real, found: Weighted, ends: tuple[Real, Real]) -> list[Triple]:
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


def _riccati(alpha: Real, beta: Real, width: Real, left: Real, right: Real) -> Real:
    """The largest e over each interval with |de/dw| <= alpha e + beta e^2: both upper solutions where they meet."""
    tiny = np.finfo(float).tiny
    ends = [1.0 / np.maximum(e, tiny) + beta / alpha for e in (left, right)]
    meet = np.clip(0.5 * (width - np.log(ends[1] / ends[0]) / alpha), 0.0, width)
    inverse = ends[0] * np.exp(-alpha * meet) - beta / alpha
    upper = np.where(inverse > 0, 1.0 / inverse, np.inf)
    return np.maximum(np.where(np.isfinite(upper), upper, np.inf), np.maximum(left, right))


def _linear(rate: Real, push: Real, width: Real, left: Real, right: Real) -> Real:
    """The largest a over each interval with |da/dw| <= rate a + push."""
    level = push / rate
    ends = [np.maximum(a, np.finfo(float).tiny) + level for a in (left, right)]
    meet = np.clip(0.5 * (width + np.log(ends[1] / ends[0]) / rate), 0.0, width)
    upper = ends[0] * np.exp(rate * meet) - level
    return np.maximum(np.where(np.isnan(upper), np.inf, upper), np.maximum(left, right))


def _norms(matrices: Complex) -> Real:
    """Spectral norms, or from SINGULAR nodes on ||(M^H M)^4||_F^(1/8), a bound on them."""
    if matrices.shape[-1] <= SINGULAR:
        return np.asarray(np.linalg.norm(matrices, 2, axis=(1, 2)))
    size = np.linalg.norm(matrices, axis=(1, 2))
    size = np.where(size > 0, size, 1.0)
    unit = matrices / size[:, None, None]
    square = unit.conj().swapaxes(1, 2) @ unit
    square = square @ square
    square = square @ square
    return np.asarray(size * np.linalg.norm(square, axis=(1, 2)) ** 0.125)


def _norm(matrix: Real) -> float:
    return float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0


def far_rise(nodes: Nodes, beyond: float, rest: Real) -> tuple[Real, float]:
    """|z_i|/|s| and |sum z|/|s| from below for |s| >= beyond, not positive where nothing is known; rest as of `far_bound`."""
    sections = rest - np.abs(nodes.damping)
    single = _rise(nodes.polynomial, sections, beyond)
    return single, float(_rise(nodes.polynomial.sum(axis=1, keepdims=True), sections.sum(keepdims=True), beyond)[0])


def _rise(polynomial: Real, sections: Real, beyond: float) -> Real:
    """|z_i|/|s| from below for |s| >= beyond; not positive where nothing is known."""
    present = polynomial != 0
    degree = np.where(present.any(axis=0), len(present) - 1 - present[::-1].argmax(axis=0), 0)
    powers = beyond ** (np.arange(len(polynomial)) - 1.0)
    sizes = np.abs(polynomial) * powers[:, None]
    top = np.take_along_axis(sizes, degree[None], axis=0)[0]
    return np.asarray(2 * top - sizes.sum(axis=0) - sections / beyond)


def spread_of(network: Network) -> tuple[float, float, float]:
    """The least, a typical and the largest frequency of the network, by its poles [rad/s]."""
    size = np.abs(network.poles()) if network.order <= MODE_STATES else np.zeros(0)
    size = size[size > 1e-9 * size.max(initial=0.0)]
    if size.size:
        return float(size.min()), float(np.median(size)), float(size.max())
    trial = np.geomspace(1e-4, 1e4, 121)  # where |z| is of the size of |f| lambda_2
    z = np.abs(network.nodes.inverse(1j * trial)).mean(axis=1)
    reach = np.abs(network.coupling(1j * trial)) * network.algebraic_connectivity
    scale = float(trial[int(np.argmin(np.abs(np.log((z + 1e-300) / (reach + 1e-300)))))])
    return 1e-2 * scale, scale, 1e2 * scale


def require_regular(network: Network, shift: float) -> None:
    """Refuse a line with a zero or pole of f (but a pole at 0), a pole of a node inverse, or nothing known at infinity."""
    assert isinstance(network.coupling, Rational)
    other = "give horizon= for a bound on finite time" if shift == 0 else "give another horizon"
    for roots, kind in ((network.coupling.num, "zero"), (network.coupling.den, "pole")):
        for root in np.roots(roots):
            if abs(root.real - shift) <= 1e-9 * max(abs(root), shift) and not (kind == "pole" and root == 0):
                raise PoleError(f"the coupling f has the {kind} {root:.4g} on the line Re s = {shift:g}: {other}")
    for bank in network.nodes.banks:
        for owner, own in zip(bank.owner, np.linalg.eigvals(bank.a), strict=True):
            if (np.abs(own.real - shift) <= 1e-9 * np.maximum(np.abs(own), shift)).any():
                label = network.labels[int(owner)]
                raise PoleError(f"the inverse of node {label!r} has a pole on the line Re s = {shift:g}: {other}")
    z = network.nodes.inverse(np.array([complex(shift)]))[0]
    if abs(z.sum()) <= 1e-12 * float(np.abs(z).sum()):
        raise PoleError(f"the sum of the node inverses vanishes at s = {shift:g} (no damping and no droop): {other}")
    if network.nodes.passive.any() or (network.nodes.degree < 0).any():
        raise InputError("nodes without a polynomial part have no bound; eliminate passive ones with network.kron_reduce()")
