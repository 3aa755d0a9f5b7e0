r"""The certified supremum of the deviation from coherence over a band: lower by evaluation, upper by a differential inequality.

Between evaluations. With z = diag G^{-1}, a = sum(z), g_hat = 1/a, E = T - g_hat 11^T, phi = f'/f and s = jw,

    E' = -g_hat (1 z'^T E + E z' 1^T) - E Y' E,        E Y' E = phi E + E diag(nu) E,   nu = z' - phi z,

because L 1 = 0, E Y E = E and f L = Y - diag z; and E z = 0 lets z' - kappa z stand for z'. So e = ||E||_2 obeys

    |de/dw| <= alpha e + beta e^2,    alpha = |phi| + 2 sqrt(n) |g_hat| ||z' - kappa z||,   beta = max_i |nu_i|,

whose solution from either end of an interval, 1/e(t) >= (1/e(0) + beta/alpha) exp(-alpha t) - beta/alpha, bounds e within it;
alpha and beta are bounded over the interval by `nodes.enclosures`. Intervals that may hold the supremum are halved.

Ends. At w = 0 with f = p/(s q1): ||E|| <= (M1 M2 + 1)^2 / (|f| lambda_2 - M2 - M1 M2^2) (Lemma 3.1; over a band that begins at 0
this is Theorem 3.11) with constants of the whole interval. At infinity, where every node has inertia,
||E|| <= 1/(min |z_i| - |f| lambda_n) + n |g_hat|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network
from coherence.nodes.enclosures import balanced, enclosure, far_bound
from coherence.numerics.rational import Rational
from coherence.theory.bounds import degree_bound
from coherence.theory.deviations import deviation_norms
from coherence.theory.frequencies import mode_frequencies
from coherence.types import Real

START = 40  # frequencies a network is first looked at, equally spaced in the logarithm, beside its modes
ON_AXIS = 1e-12  # real part of a pole on the axis, relative
NORM_ERROR = 1e-7  # relative, of an evaluation: added to every value that an upper bound starts from
ENTRIES = 2_000_000  # (intervals, nodes) held at a time


@dataclass(frozen=True, eq=False, repr=False)
class Supremum(Page):
    """An interval that holds sup ||T - g_hat 11'||_2 over a band; see `supremum`.

    Attributes
    ----------
    lower, upper : float
        In units of T.
    omega : float
        Where the lower value is attained [rad/s].
    band : (low, high)
        rad/s.
    evaluations : int

    Examples
    --------
    >>> from coherence import Network, supremum, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> found = supremum(network)
    >>> bool(found.upper <= 1.01 * found.lower)
    True
    """

    lower: float
    upper: float
    omega: float
    band: tuple[float, float]
    evaluations: int

    def __repr__(self) -> str:
        low, high = self.band
        return (
            f"Supremum({self.lower:.6g} to {self.upper:.6g}, at {self.omega:.5g} rad/s, "
            f"of {low:g} to {high:g} rad/s; {self.evaluations} evaluations)"
        )


def supremum(network: Network, low: float = 0.0, high: float = np.inf, *, gap: float = 0.01, most: int = 20_000) -> Supremum:
    """An interval that holds sup over low <= w <= high of ||T(jw) - g_hat(jw) 11'||_2, to a relative gap.

    Parameters
    ----------
    network : Network
        Connected, of rational nodes; stability is not needed, but no pole of T may lie in the band.
    low, high : float
        The band [rad/s]; 0 and infinity are included by closed-form tails. Infinity needs inertia at every node.
    gap : float
        upper <= (1 + gap) lower; >= 1e-6.
    most : int
        Evaluations before it gives up.

    Returns
    -------
    Supremum
        The inequality between evaluations is proved; the evaluations are singular values up to 100 dense nodes, above that Lanczos
        values with an estimated error of 1e-8, taken as 1e-7.

    Raises
    ------
    ToleranceError
        The gap is not met within `most` evaluations (a pole near the band, or nodes of very different size); the interval reached
        stands in the message.
    InputError
        A band that is none, nodes known by their response, or nodes without inertia in an infinite band.
    DisconnectedError
        The network falls apart.
    PoleError
        The band contains a zero or pole of f (other than a pole 0 at its low end) or a pole of a node's inverse or, at its low end
        0, of the coherent dynamics; or a pole of T was met.

    References
    ----------
    Derived in the module; H. Min, dissertation (2023), Lemma 3.1 and Theorem 3.11 for the low end.

    Examples
    --------
    >>> from coherence import linearize, load_case, supremum
    >>> found = supremum(linearize(load_case("iceland")), gap=0.05)
    >>> round(found.omega, 1), found.upper <= 1.05 * found.lower
    (162.1, True)
    """
    if not (np.isfinite(low) and 0 <= low < high) or np.isnan(high):
        raise InputError(f"the band [{low}, {high}] is none; give 0 <= low < high in rad/s")
    if not (np.isfinite(gap) and gap >= 10 * NORM_ERROR):
        raise InputError(f"gap = {gap}; give a number >= {10 * NORM_ERROR:g}: evaluations are to about 1e-8")
    require_connected(network.laplacian, network.labels, "the supremum of the deviation")
    network.nodes.require_rational("a certified supremum")
    if not isinstance(network.coupling, Rational):
        raise InputError("a certified supremum needs a rational coupling f; this one is known by its values only")
    if np.isinf(high) and not (network.nodes.inertia > 0).all():
        label = network.labels[int(np.argmin(network.nodes.inertia > 0))]
        raise InputError(
            f"node {label!r} has no inertia term m s, which the tail at infinity needs; give a finite high end, or eliminate "
            "passive nodes with network.kron_reduce()"
        )
    require_no_pole(network, low, high)
    if network.size == 1:
        return Supremum(0.0, 0.0, low, (low, high), 0)
    return _Search(network, low, high, gap, most).run()


def require_no_pole(network: Network, low: float, high: float, decay: float = 0.0) -> None:
    """Refuse a band with a pole or zero of f or a pole of a node's inverse on the axis: nothing bounds what is around it."""
    assert isinstance(network.coupling, Rational)
    found = [(root, "pole", "the coupling f") for root in np.roots(network.coupling.den) if root != 0]
    found += [(root, "zero", "the coupling f") for root in np.roots(network.coupling.num)]
    for bank in network.nodes.banks:
        values = np.linalg.eigvals(bank.a)
        found += [
            (root, "pole", f"the inverse dynamics of node {network.labels[owner]!r} (a zero of its transfer function)")
            for owner, own in zip(bank.owner, values, strict=True)
            for root in own[np.abs(own.real - decay) <= ON_AXIS * np.abs(own)]
        ]
    for root, kind, what in found:
        if abs(root.real - decay) <= ON_AXIS * abs(root) and low <= root.imag <= high:
            where = f"{root.imag:.6g}j" if root.imag else "0"
            raise PoleError(f"the band {low:g} to {high:g} rad/s contains the {kind} {where} of {what}; take bands beside it")
    if low == decay == 0.0 and network.coupling.den[-1] == 0.0:
        z = network.nodes.inverse(0.0)[0]
        if abs(z.sum()) <= ON_AXIS * float(np.abs(z).sum()):
            raise PoleError("the coherent dynamics has a pole at 0 (no damping and no droop); begin the band above 0")


class _Search:
    """Branch and bound: points with their norms, intervals between neighbours with their upper bounds, and two tails."""

    def __init__(self, network: Network, low: float, high: float, gap: float, most: int) -> None:
        self.network, self.low, self.high, self.gap, self.most = network, low, high, gap, most
        self.nodes = balanced(network.nodes)
        assert isinstance(network.coupling, Rational)
        self.coupling = network.coupling
        self.zero_is_pole = low == 0.0 and self.coupling.den[-1] == 0.0
        scale = self._scale()
        first = low or min(1e-3 * scale, 1e-3 * high)
        last = high if np.isfinite(high) else max(1e3 * scale, 2 * first)
        start = np.geomspace(first, last, START)
        own = mode_frequencies(network, start[0], start[-1])
        self.w = np.unique(np.concatenate([start, own, [] if low > 0.0 or self.zero_is_pole else [0.0]]))
        self.e = self._evaluate(self.w)

    def _scale(self) -> float:
        """A frequency of the network: where |z| is of the size of |f| lambda_2, roughly."""
        trial = np.geomspace(1e-6, 1e6, 121)
        size = np.median(np.abs(self.network.nodes.inverse(1j * trial)), axis=1)
        reach = np.abs(self.coupling(1j * trial)) * self.network.algebraic_connectivity
        return float(np.clip(trial[int(np.argmin(np.abs(np.log((size + 1e-300) / (reach + 1e-300)))))], 1e-4, 1e4))

    def _evaluate(self, w: Real) -> Real:
        return deviation_norms(self.network, 1j * w)

    def run(self) -> Supremum:
        """Halve what may hold the supremum until nothing may."""
        upper = self._bounds(self.w[:-1], self.w[1:], self.e[:-1], self.e[1:])
        while True:
            best = float(self.e.max())
            goal = (1 + self.gap) * best
            below, beyond = self._low_tail(), self._high_tail()
            if below <= goal and beyond <= goal and upper.max() <= goal:
                at = float(self.w[int(self.e.argmax())])
                return Supremum(best, max(float(upper.max()), below, beyond, best), at, (self.low, self.high), len(self.w))
            if len(self.w) >= self.most:
                raise ToleranceError(
                    f"the supremum lies in [{best:.6g}, {max(float(upper.max()), below, beyond):.6g}] after {len(self.w)} "
                    f"evaluations (a relative gap of {self.gap:g} was asked); allow more, or a larger gap, or narrow the band: a "
                    "pole near it, or nodes of very different size, take many"
                )
            if below > goal:
                self._put([0.5 * self.w[0]], 0)
            if beyond > goal:
                self._put([2.0 * self.w[-1]], len(self.w))
            if len(upper) < len(self.w) - 1:  # a tail was shortened
                front = below > goal
                new = self._bounds(self.w[:1], self.w[1:2], self.e[:1], self.e[1:2]) if front else np.zeros(0)
                back = self._bounds(self.w[-2:-1], self.w[-1:], self.e[-2:-1], self.e[-1:]) if beyond > goal else np.zeros(0)
                upper = np.concatenate([new, upper, back])
            upper = self._halve(upper, goal)

    def _put(self, w: list[float], at: int) -> None:
        value = self._evaluate(np.array(w))
        self.w, self.e = np.insert(self.w, at, w), np.insert(self.e, at, value)

    def _halve(self, upper: Real, goal: float) -> Real:
        where = np.flatnonzero(upper > goal)
        if not where.size:
            return upper
        most = min(max(64, where.size // 2), max(1, self.most - len(self.w)))
        where = where[np.argsort(-upper[where])][:most]  # the worst first: the goal may rise meanwhile
        where = np.sort(where)
        left, right = self.w[where], self.w[where + 1]
        middle = np.where(left > 0, np.sqrt(left * right), 0.5 * right)
        if (middle <= left).any() or (middle >= right).any():
            raise ToleranceError(f"the deviation cannot be bounded near {left[0]:.9g} rad/s: a pole of T lies there or by it")
        value = self._evaluate(middle)
        first = self._bounds(left, middle, self.e[where], value)
        second = self._bounds(middle, right, value, self.e[where + 1])
        upper = upper.copy()
        upper[where] = first
        upper = np.insert(upper, where + 1, second)
        self.w, self.e = np.insert(self.w, where + 1, middle), np.insert(self.e, where + 1, value)
        return upper

    def _bounds(self, left: Real, right: Real, e_left: Real, e_right: Real) -> Real:
        """Upper bounds of e between neighbouring points."""
        size = max(1, ENTRIES // self.network.size)
        parts = [
            self._bound(left[i : i + size], right[i : i + size], e_left[i : i + size], e_right[i : i + size])
            for i in range(0, len(left), size)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _bound(self, left: Real, right: Real, e_left: Real, e_right: Real) -> Real:
        """The upper solutions of the inequality from either end, where they meet."""
        alpha, beta = self._rates(left, right)
        width = right - left
        with np.errstate(all="ignore"):
            ends = [1.0 / np.maximum(e * (1 + NORM_ERROR), np.finfo(float).tiny) + beta / alpha for e in (e_left, e_right)]
            meet = np.clip(0.5 * (width - np.log(ends[1] / ends[0]) / alpha), 0.0, width)
            inverse = ends[0] * np.exp(-alpha * meet) - beta / alpha
            upper = np.where(inverse > 0, 1.0 / inverse, np.inf)
        upper = np.where(np.isfinite(upper), upper, np.inf)
        return np.maximum(upper, np.maximum(e_left, e_right) * (1 + NORM_ERROR))

    def _rates(self, left: Real, right: Real) -> tuple[Real, Real]:
        """Alpha and beta of |de/dw| <= alpha e + beta e^2 over each interval."""
        middle, radius = 0.5 * (left + right), 0.5 * (right - left)
        z, slope, bend = enclosure(self.nodes, middle, radius)
        with np.errstate(all="ignore"):
            steep = np.abs(slope) + radius[:, None] * bend  # |z'| over the interval
            phi, phi_change = self._logarithmic_slope(1j * middle, left, right)
            phi_most = np.abs(phi) + radius * phi_change
            nu = slope - phi[:, None] * z
            largest = np.abs(z) + radius[:, None] * steep
            nu_change = bend + phi_change[:, None] * largest + phi_most[:, None] * steep
            beta = (np.abs(nu) + radius[:, None] * nu_change).max(axis=1)
            total, total_slope = z.sum(axis=1), slope.sum(axis=1)
            least = np.abs(total) - radius * (np.abs(total_slope) + radius * bend.sum(axis=1))
            kappa = np.einsum("in,in->i", z.conj(), slope) / np.einsum("in,in->i", z.conj(), z)
            rest = np.linalg.norm(slope - kappa[:, None] * z, axis=1)
            rest = rest + radius * (np.linalg.norm(bend, axis=1) + np.abs(kappa) * np.linalg.norm(steep, axis=1))
            uniform = 2.0 * np.sqrt(self.network.size) * rest / np.where(least > 0, least, np.nan)
        return np.maximum(phi_most + uniform, 1e-12 / (right - left)), beta

    def _logarithmic_slope(self, s: np.ndarray, left: Real, right: Real) -> tuple[np.ndarray, Real]:
        """f'/f at the middles and a bound on its derivative: sums over zeros and poles of f."""
        phi, change = np.zeros(len(s), dtype=complex), np.zeros(len(s))
        for coefficients, sign in ((self.coupling.num, 1.0), (self.coupling.den, -1.0)):
            for root in np.roots(coefficients):
                phi += sign / (s - root)
                off = np.maximum(np.maximum(left - root.imag, root.imag - right), 0.0)
                change += 1.0 / (root.real**2 + off**2)
        return phi, change

    def _low_tail(self) -> float:
        """Bound of e on [0, w_0] by Lemma 3.1 with constants of the interval, where f has a pole at 0."""
        if not self.zero_is_pole:
            return 0.0
        top = np.array([self.w[0]])
        z, slope, bend = enclosure(self.nodes, 0.5 * top, 0.5 * top)
        steep = np.abs(slope) + 0.5 * top * bend
        m2 = float((np.abs(z) + 0.5 * top * steep).max())
        total = float(np.abs(z.sum()) - 0.5 * top[0] * (np.abs(slope.sum()) + 0.5 * top[0] * bend.sum()))
        powers_p, powers_q = np.array(self.coupling.num)[::-1], np.array(self.coupling.den)[::-1][1:]
        p = abs(powers_p[0]) - float(np.sum(np.abs(powers_p[1:]) * top[0] ** np.arange(1, len(powers_p))))
        q = float(np.sum(np.abs(powers_q) * top[0] ** np.arange(len(powers_q)))) * top[0]
        if not (total > 0 and p > 0 and np.isfinite(m2)):
            return np.inf
        m1 = self.network.size / total
        reach = p / q * self.network.algebraic_connectivity - m2 - m1 * m2**2
        return (m1 * m2 + 1) ** 2 / reach if reach > 0 else np.inf

    def _high_tail(self) -> float:
        """Bound of e on [w_last, infinity)."""
        if np.isfinite(self.high):
            return 0.0
        nodes, beyond = self.nodes, float(self.w[-1])
        rest = far_bound(nodes, beyond)
        steep = nodes.polynomial[2:] != 0
        if steep.any():
            raise InputError("nodes of relative degree above 1 need a finite high end of the band")
        with np.errstate(all="ignore"):
            f = abs(self.coupling.num[0]) * beyond ** float(len(self.coupling.num) - len(self.coupling.den))
            f *= np.prod(1 + np.abs(np.roots(self.coupling.num)) / beyond)
            near = 1 - np.abs(np.roots(self.coupling.den)) / beyond
            f = f / np.prod(near) if (near > 0).all() else np.inf
            single = float((nodes.inertia * beyond - rest).min()) - f * degree_bound(self.network)
            together = float(nodes.inertia.sum() * beyond - rest.sum())
        if not (single > 0 and together > 0):
            return np.inf
        return 1.0 / single + self.network.size / together
