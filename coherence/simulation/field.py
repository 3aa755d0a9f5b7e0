r"""The deviation along a line Re s = sigma between its evaluations, and beyond the last: what `integrals` sums.

**The deviation between evaluations.** Let f have a pole of order m at 0, z~ = s^m z, f~ = s^m f and H = E/s^m, the deviation of the
nodes z~ and the coupling f~, which is regular at 0. With ' = d/ds, h = H u0, c = 1^T u0, phi = f~'/f~, nu = z~' - phi z~ and
r = z' - kappa z for any number kappa (E z = 0 and z^T h = 0),

    H' = -g_hat (1 r^T H + H r 1^T) - phi H - H diag(nu) H,
    h' = -g_hat 1 (r^T h) - g_hat c H r - phi h - H diag(nu) h,

as in `theory.supremum`. Differentiating again, with mu = g_hat sum z', z^T h' = -r^T h, H' z = -H r and kappa held,

    h'' = g_hat 1 [(mu + kappa) r^T h - z''^T h - r^T h'] + g_hat c [(mu + kappa) H r - H z'' - H' r]
          - phi' h - phi h' - H' diag(nu) h - H diag(nu') h - H diag(nu) h'.

**Norms.** |D x| with D = diag(weights)^{1/2}: H becomes D H D, nu_i becomes nu_i/weight_i, which weights like the size of z_i
at the frequency make alike over nodes, so that the inequality is nearly tight. D is constant over an interval; norms at its ends
change by the weights' ratio. e = ||D H D|| obeys |de/dw| <= alpha e + beta e^2 and a = |D h| obeys
|da/dw| <= A a + B over an interval (coefficients by `nodes.enclosures`), and their solutions from both ends bound them within.

From the last frequency on, `Far` bounds v - v(inf) by K/|s| in closed form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coherence.errors import InputError, PoleError
from coherence.network.network import Network
from coherence.nodes.enclosures import balanced, enclosure, far_bound
from coherence.nodes.nodes import Nodes
from coherence.numerics.deflation import uniform_deviation
from coherence.numerics.rational import Rational
from coherence.numerics.threads import single_thread
from coherence.theory.frequencies import MODE_STATES
from coherence.types import Complex, Real

ROUNDING = 1e-9  # relative, of an evaluation: added to every value a bound starts from
ENTRIES = 4_000_000  # matrix entries held at a time
SINGULAR = 100  # nodes up to which norms are singular values; above, bounds by powers of the matrix
LEAST = 1e-2  # of a node's size at the network's scale: what its weight is at least


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
