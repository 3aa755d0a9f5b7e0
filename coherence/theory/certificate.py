r"""The certified relative error of a reduced network over a band: between evaluations by a second-order expansion.

The responses of both networks, U = T f, lie within R and R_hat of a straight line over an interval of frequencies (`expansion`).
To first order their difference is a segment of matrices, whose norm is largest at an end; so over the interval

    ||T - T_hat|| / ||T||  <=  (max_+- ||E_0 -+ jr E_1|| + R + R_hat) / (||U_0|| - change),

E_0 and E_1 the differences of values and slopes at the middle, by the parts of U = 11^T/a + D, so that nothing cancels. Intervals
where that is too much are cut; what is left of the gap shrinks with the square of their width.

At s = 0 with a pole of f there, both networks are taken apart into uniform motion and the rest (block elimination as in `bounds`):
with z = diag G^{-1}, mean z_m, variance v and |z_i| <= M over [0, w],

    ||T - g_hat 11^T||  <=  (1 + v/|z_m|^2) / (|f| lambda_2 - M - v/|z_m|),

the same of the reduced one with its groups weighted by their sizes, and |1 - g_hat_k/g_hat| from the sums of the inverses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes
from coherence.nodes.enclosures import enclosure
from coherence.numerics.balancing import Band
from coherence.numerics.rational import Rational
from coherence.numerics.threads import single_thread
from coherence.theory.damping import require_damped, require_decay
from coherence.theory.expansion import LiftedResponse, norms
from coherence.theory.supremum import require_no_pole
from coherence.types import ArrayLike, Complex, Real, real_vector

MOST_NODES = 1000  # dense matrices of that size take seconds a frequency
ENTRIES = 2_000_000  # matrix entries held at a time
START = 24  # intervals over the upper three decades of the band
PIECES = 4  # of an interval that is too wide
LEAST_GAP = 1e-3
LEAST_FLOOR = 1e-8
OUTPUTS = ("nodes", "groups")


@dataclass(frozen=True, eq=False, repr=False)
class CertifiedError(Page):
    """An interval that holds sup ||T - T_hat||_2 / ||T||_2 over a band; see `certified_error`.

    Attributes
    ----------
    lower, upper : float
        Relative to ||T(decay + jw)||_2 at the same frequency.
    omega : float
        Where the lower value is attained [rad/s].
    band : (low, high)
        rad/s.
    decay : float
        1/s.
    outputs : "nodes" or "groups"
    evaluations : int

    Examples
    --------
    >>> from coherence import Network, Partition, certified_error, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> one = Partition.of(["all", "all"], labels=network.labels)
    >>> found = certified_error(network, one, network.project(one), band=(0, 2))
    >>> bool(found.lower <= found.upper <= 1.05 * found.lower), found.omega > 1.9
    (True, True)
    """

    lower: float
    upper: float
    omega: float
    band: tuple[float, float]
    decay: float
    outputs: str
    evaluations: int

    def __repr__(self) -> str:
        low, high = self.band
        return (
            f"CertifiedError({self.lower:.4g} to {self.upper:.4g} of ||T||, at {self.omega:.4g} rad/s, "
            f"of {low:g} to {high:g} rad/s; {self.evaluations} evaluations)"
        )


def certified_error(
    network: Network,
    partition: Partition,
    reduced: Network,
    *,
    band: tuple[float, float] | Band,
    decay: float = 0.0,
    outputs: str = "nodes",
    gap: float = 0.05,
    floor: float = 1e-4,
    most: int = 50_000,
) -> CertifiedError:
    r"""An interval that holds the relative error of a reduced network over a band, proved between evaluations.

    Parameters
    ----------
    network : Network
        Connected, of rational nodes, at most 1000 of them.
    partition : Partition
        Of network.labels.
    reduced : Network
        One node per group, of whatever order and Laplacian, with the coupling of `network`.
    band : (low, high) or Band
        rad/s; 0 <= low < high < inf.
    decay : float
        Errors are taken at s = decay + j omega, that is of responses times e^{-decay t} [1/s]; undamped networks need it > 0.
    outputs : "nodes" or "groups"
        What is compared with the group's response: each of its nodes, ||T - P T_k P^T||, or their mean weighted by inertia (the
        center of inertia of the group), ||P C T - P T_k P^T||, C = (P^T M P)^{-1} P^T M. Either relative to ||T||, at the same
        frequency; disturbances enter at every node.
    gap : float
        upper <= (1 + gap) lower; >= 1e-3.
    floor : float
        An upper value up to it is tight enough, whatever the lower one.
    most : int
        Evaluations before it gives up.

    Returns
    -------
    CertifiedError

    Raises
    ------
    ToleranceError
        The gap is not met within `most` evaluations, as beside poles of T that are close to the axis; the interval reached stands
        in the message.
    PoleError
        The band contains a pole of T or T_k, a zero or pole of f (but for a pole 0 at its low end), or a pole of a node's inverse.
    InputError
        A band that is none, networks that do not match, nodes known by their response, or too many.
    DisconnectedError
        A network falls apart.

    Notes
    -----
    Evaluations are to rounding, about 1e-16 times the condition of Y: ask for no errors below 1e-6. Each takes one inverse and
    six spectral norms of n x n matrices.

    References
    ----------
    Derived in the module.

    Examples
    --------
    >>> from coherence import aggregate, certified_error, coherent_groups, linearize, load_case
    >>> network = linearize(load_case("iceland"))
    >>> groups = coherent_groups(network, 3)
    >>> reduced = aggregate(network, groups, interconnection="quotient").network
    >>> round(certified_error(network, groups, reduced, band=(0, 1)).omega, 2)
    1.0
    """
    limits = Band.of(band)
    low, high = float(limits.low), float(limits.high)
    for name, value, least in (("gap", gap, LEAST_GAP), ("floor", floor, LEAST_FLOOR), ("most", most, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not least <= value < np.inf:
            raise InputError(f"{name} = {value!r}; give a number >= {least:g}")
    require_matching(network, partition, reduced)
    for each in (network, reduced):
        require_damped(each, limits, decay)
        require_no_pole(each, low, high, decay)
    pair = _Pair(network, partition, reduced, output_map(network, partition, outputs), decay)
    return _Search(pair, low, high, gap, floor, most, outputs).run()


def relative_errors(
    network: Network, partition: Partition, reduced: Network, omega: ArrayLike, *, decay: float = 0.0, outputs: str = "nodes"
) -> Real:
    """||T - P T_k P'||_2 / ||T||_2 at frequencies; `certified_error` is proved between them.

    Parameters
    ----------
    network, partition, reduced, decay, outputs : see `certified_error`
    omega : (F,) float
        rad/s, > 0 where f has a pole at 0.

    Returns
    -------
    (F,) float

    Raises
    ------
    InputError
        Networks that do not match, nodes known by their response, or too many.
    PoleError
        A frequency is a pole of T.

    Examples
    --------
    >>> from coherence import aggregate, coherent_groups, linearize, load_case, relative_errors
    >>> network = linearize(load_case("iceland"))
    >>> groups = coherent_groups(network, 3)
    >>> reduced = aggregate(network, groups, interconnection="quotient").network
    >>> bool(relative_errors(network, groups, reduced, [1e-3, 1.0])[0] < 1e-3)
    True
    """
    require_matching(network, partition, reduced)
    pair = _Pair(network, partition, reduced, output_map(network, partition, outputs), require_decay(decay))
    w = real_vector(omega, "omega")
    if (w < 0).any() or ((w == 0).any() and decay == 0 and pair.full.coupling.den[-1] == 0):
        raise InputError("omega holds frequencies that are not > 0 (at 0 with a pole of f only a limit exists); leave them out")
    if not w.size:
        return np.zeros(0)
    size = max(1, ENTRIES // network.size**2)
    return np.concatenate([pair.errors(w[i : i + size]) for i in range(0, len(w), size)])


def require_certifiable(network: Network, what: str) -> None:
    """Refuse what is too large for dense evaluations, has no enclosures, or falls apart."""
    require_nodes(network, what)
    if network.size > MOST_NODES:
        raise InputError(
            f"{network.size} nodes are too many for {what} (at most {MOST_NODES}); eliminate passive nodes with "
            "network.kron_reduce(), or bound the error of given groups by hull_bound"
        )
    require_connected(network.laplacian, network.labels, what)
    network.nodes.require_rational(what)
    if not isinstance(network.coupling, Rational):
        raise InputError(f"{what} needs a rational coupling f; this one is known by its values only")


def require_matching(network: Network, partition: Partition, reduced: Network) -> None:
    """Refuse networks that are not one and its reduction by these groups, or that cannot be certified."""
    require_certifiable(network, "a certified error")
    require_certifiable(reduced, "a certified error of a reduced network")
    if not isinstance(partition, Partition):
        raise InputError(
            f"the partition is a {type(partition).__name__}; build one with Partition.of(groups, labels=network.labels)"
        )
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    if reduced.size != partition.k:
        raise InputError(f"the reduced network has {reduced.size} nodes, the partition {partition.k} groups")
    if network.coupling != reduced.coupling:
        raise InputError(
            f"the reduced network is coupled by {reduced.coupling.sentence}, the network by {network.coupling.sentence}; "
            "they must agree"
        )


def output_map(network: Network, partition: Partition, outputs: str) -> Real | None:
    """P C, by which every node's output becomes its group's center of inertia; None for the nodes themselves."""
    if outputs not in OUTPUTS:
        raise InputError(f"outputs = {outputs!r}; give 'nodes' or 'groups'")
    if outputs == "nodes":
        return None
    inertia, p = np.asarray(network.nodes.inertia), partition.indicator
    total = inertia @ p
    if (inertia < 0).any() or not (total > 0).all():
        group = partition.groups[int(np.argmin(total > 0))]
        raise InputError(f"outputs='groups' weighs nodes by inertia, and group {group!r} has none; take outputs='nodes'")
    return np.asarray(p @ (p * inertia[:, None] / total).T)


class _Pair:
    """The two networks and what is compared."""

    def __init__(self, network: Network, partition: Partition, reduced: Network, outputs: Real | None, decay: float) -> None:
        sizes = partition.sizes.astype(float)
        self.full, self.small = LiftedResponse(network, np.ones(network.size), decay), LiftedResponse(reduced, sizes, decay)
        self.indicator = partition.indicator
        self.outputs = outputs
        self.gain = 1.0 if outputs is None else float(np.linalg.norm(outputs, 2))

    def errors(self, w: Real) -> Real:
        """Relative errors at frequencies, (F,)."""
        with single_thread(self.full.laplacian.shape[0]):
            zeta, a, d = self.full.parts(w)
            own, b, e = self.small.parts(w)
            apart = (own - zeta @ self.indicator).sum(axis=1) / (a * b)
            return np.asarray(norms(self._difference(apart, d, e)) / norms(self.full.lifted(a, d)))

    def bounds(self, left: Real, right: Real) -> tuple[Real, Real]:
        """Relative errors at the middles of intervals, and bounds over them."""
        w, r = 0.5 * (left + right), 0.5 * (right - left)
        with single_thread(self.full.laplacian.shape[0]):
            full, small = self.full.expand(w, r), self.small.expand(w, r)
            apart = (small.zeta - full.zeta @ self.indicator).sum(axis=1) / (full.total * small.total)
            error = self._difference(apart, full.deviation, small.deviation)
            tilt = self._difference(full.slope - small.slope, full.inside, small.inside)
            below = small.side @ self.indicator.T
            tilt += (full.side - below)[:, None, :]
            tilt += self._mapped(full.side[:, :, None]) - below[:, :, None]
            tilt *= (1j * r)[:, None, None]
            most = np.maximum(norms(error - tilt), norms(error + tilt)) + self.gain * full.rest + small.rest
            least = full.size - full.change
            here = norms(error) / full.size
        with np.errstate(all="ignore"):
            upper = np.where((least > 0) & np.isfinite(most), most / np.where(least > 0, least, 1.0), np.inf)
        return here, np.maximum(upper, here)

    def low_bound(self, w: float) -> float:
        """A bound over [0, w] where f has a pole at 0."""
        full, least, most = self.full.low(w)
        small, least_small, _ = self.small.low(w)
        n, r = len(self.indicator), np.array([0.5 * w])
        (z, z1, z2), (y, y1, y2) = (enclosure(side.nodes, r, r) for side in (self.full, self.small))
        apart = abs(z.sum() - y.sum()) + r[0] * (abs(z1.sum() - y1.sum()) + r[0] * (z2.sum() + y2.sum()))
        if not (np.isfinite(full + small) and least > 0 and least_small > 0 and np.isfinite(apart)):
            return np.inf
        share = most / n
        room = 1 - share * full
        return float((share * (self.gain * full + small) + apart / least_small) / room) if room > 0 else np.inf

    def _mapped(self, u: Complex) -> Complex:
        return u if self.outputs is None else np.asarray(self.outputs @ u)

    def _difference(self, uniform: Complex, full: Complex, small: Complex) -> Complex:
        """Uniform 11' + full - P small P', the first two as outputs."""
        p = self.indicator
        return np.asarray(uniform[:, None, None] + self._mapped(full) - p @ small @ p.T)


class _Search:
    """Intervals with the error at their middle and its bound over them, and a tail at 0."""

    def __init__(self, pair: _Pair, low: float, high: float, gap: float, floor: float, most: int, outputs: str) -> None:
        self.pair, self.low, self.high, self.outputs = pair, low, high, outputs
        self.gap, self.floor, self.most = gap, floor, most
        self.tailed = low == 0.0 and pair.full.decay == 0.0 and pair.full.coupling.den[-1] == 0.0
        first = low if low > 0 else 1e-3 * high
        edges: Real = np.geomspace(first, high, START + 1)
        edges[-1] = high
        if low == 0.0 and not self.tailed:
            edges = np.concatenate([[0.0], edges])
        self.start = float(edges[0])
        self.left, self.right = edges[:-1], edges[1:]
        self.here, self.upper = self._bounds(self.left, self.right)
        self.count = len(self.here)
        self.tail = pair.low_bound(self.start) if self.tailed else 0.0

    def _bounds(self, left: Real, right: Real) -> tuple[Real, Real]:
        size = max(1, ENTRIES // len(self.pair.indicator) ** 2)
        parts = [self.pair.bounds(left[i : i + size], right[i : i + size]) for i in range(0, len(left), size)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def run(self) -> CertifiedError:
        best, at = float(self.here.max()), float(0.5 * (self.left + self.right)[self.here.argmax()])
        done = 0.0  # the largest bound of intervals that are settled
        while True:
            goal = max((1 + self.gap) * best, self.floor)
            over = self.upper > goal
            done = max(done, float(self.upper[~over].max(initial=0.0)))
            self.left, self.right, self.upper = self.left[over], self.right[over], self.upper[over]
            if not over.any() and self.tail <= goal:
                return CertifiedError(
                    best, max(done, self.tail, best), at, (self.low, self.high), self.pair.full.decay, self.outputs, self.count
                )
            if self.count >= self.most:
                reached = max(done, float(self.upper.max(initial=0.0)), self.tail)
                raise ToleranceError(
                    f"the relative error lies in [{best:.4g}, {reached:.4g}] after {self.count} evaluations (a relative gap of "
                    f"{self.gap:g} was asked); allow more, a larger gap or a narrower band"
                )
            edges = self._pieces(PIECES)
            left, right = edges[:, :-1].ravel(), edges[:, 1:].ravel()
            if self.tailed and self.tail > goal:
                top = self.start
                left, right = np.append(left, 0.5 * top), np.append(right, top)
                self.start = 0.5 * top
                self.tail = self.pair.low_bound(self.start)
            if (right - left <= 1e-12 * right).any():
                raise PoleError(
                    f"the error cannot be bounded near {left[np.argmin(right - left)]:.9g} rad/s: a pole of T lies there"
                )
            here, upper = self._bounds(left, right)
            self.count += len(here)
            if here.max() > best:
                best, at = float(here.max()), float(0.5 * (left + right)[here.argmax()])
            self.left, self.right, self.upper = left, right, upper

    def _pieces(self, count: int) -> Real:
        share = np.linspace(0.0, 1.0, count + 1)
        left, right = self.left[:, None], self.right[:, None]
        with np.errstate(all="ignore"):
            edges = np.where(left > 0, left * (right / np.where(left > 0, left, 1.0)) ** share, share * right)
        edges[:, 0], edges[:, -1] = self.left, self.right
        return edges
