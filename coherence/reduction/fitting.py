r"""The least-squares problem behind `fits`: one node over frequency, its unknowns, starts and optima.

    residual   (u - q) g g_fit over panels of frequency,   q = (g^{-1} - g^{-1}(0))/s,   u the same of the generator

with an analytic Jacobian, bounds as signs of the constants, and starts that are the same every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from coherence.errors import CoherenceError, InputError, InstabilityError, ToleranceError
from coherence.nodes.nodes import Bank, Nodes
from coherence.nodes.systems import from_realization
from coherence.numerics.balancing import Balancing, balance
from coherence.numerics.panels import Panels, resolved
from coherence.reduction.parts import node_realization
from coherence.reduction.truncate import PARTS
from coherence.types import Complex, Real

DENSE = 300  # states up to which poles of g are computed
BALANCED = 100  # states up to which the truncation is one of the starts
MOST_SHARP = 500  # resonances that get panels of their own
LATTICE = 5  # of its points are led to their optima; four times as many where no two starts agree
SMOOTH = 1e-7  # what the polynomials of panels may miss of g and q
SETTLED = 1e-9  # of the squared norm: what halving a panel may change
ROUNDS = 30  # of halving panels for the error
ROUNDING = 1e-12  # of q, relative to the response's own norm
ENTRIES = 4_000_000  # complex numbers formed at once
REACH = 100.0  # how far beyond the node's own scales inertia and time constants may go
NEAR = 1e-5  # of a bound, in logarithms and sticks
AGREE = 1e-5  # relative, of norms that are one optimum
NOTHING = 1e-10  # of the response's own norm
SIMPLER = 1e-7  # of the squared norm: what another turbine must gain


@dataclass(frozen=True, eq=False)
class Generator:
    """m, d and turbines."""

    m: float
    d: float
    r: Real  # (J,)
    tau: Real  # (J,)

    def used(self) -> Generator:
        """Without turbines of no gain."""
        return Generator(self.m, self.d, self.r[self.r > 0], self.tau[self.r > 0])

    def node(self, label: str) -> Nodes:
        """As a node."""
        tau = self.tau[:, None]
        bank = Bank(np.zeros(len(tau), dtype=int), -1.0 / tau[:, :, None], 1.0 / tau, self.r[:, None])
        return Nodes((label,), np.array([[self.d], [self.m]]), (bank,) if len(tau) else ())


class Response:
    """One node over frequency: q = (g^{-1} - g^{-1}(0))/s without its subtraction, and the scales it has."""

    def __init__(self, node: Nodes) -> None:
        self.node, self.label = node, node.labels[0]
        polynomial = np.pad(node.polynomial[:, 0], (0, max(0, 2 - len(node.polynomial))))
        self.d, self.m, self.higher = float(polynomial[0]), float(polynomial[1]), bool(polynomial[2:].any())
        self.poles = np.concatenate([np.zeros(0, dtype=complex), *(np.linalg.eigvals(bank.a).ravel() for bank in node.banks)])
        size = np.concatenate([np.zeros(0), *(np.repeat(np.abs(bank.a).sum(axis=(1, 2)), bank.order) for bank in node.banks)])
        if (np.abs(self.poles) <= 100 * np.finfo(float).eps * size).any():
            raise InputError(
                f"node {self.label!r} has a turbine pole at 0 (integral action), so no DC gain g^-1(0) to keep; "
                "put a slow lag in the place of its integrator"
            )
        divided = tuple(Bank(bank.owner, bank.a, np.linalg.solve(bank.a, bank.b[..., None])[..., 0], bank.c) for bank in node.banks)
        self._sections = Nodes(node.labels, np.zeros((1, 1)), divided)
        self._whole = Nodes(node.labels, polynomial[1:, None], divided)
        self.droop = -float(sum((bank.c * new.b).sum() for bank, new in zip(node.banks, divided, strict=True)))  # h(0)
        self.slope = float(sum((bank.c * bank.b).sum() for bank in node.banks))  # of h's step response at t = 0
        self.total = self.d + self.droop  # g^{-1}(0)

    def turbines(self, omega: Real) -> Complex:
        """(h - h(0))/s."""
        return self._in_chunks(self._sections, omega)

    def whole(self, omega: Real) -> Complex:
        """q, that of g^{-1}."""
        return self._in_chunks(self._whole, omega)

    def _in_chunks(self, nodes: Nodes, omega: Real) -> Complex:
        wide = max([1, *(len(bank.owner) * bank.order**2 for bank in nodes.banks)])
        step = max(1, ENTRIES // wide)
        return np.concatenate([nodes.inverse(1j * omega[i : i + step])[:, 0] for i in range(0, len(omega), step)])

    @cached_property
    def node_poles(self) -> Complex:
        """Poles of g, rightmost first; none where there are too many states for it."""
        return node_realization(self.node).poles() if self.node.order <= DENSE else np.zeros(0, dtype=complex)


@dataclass(frozen=True, eq=False)
class Optimum:
    """Unknowns of least error, how many starts were tried and how many of them ended there."""

    x: Real
    error: float
    starts: int = 0
    agreeing: int = 0


class Problem:
    """The least-squares problem of one node.

    Unknowns x: [log m, sticks, log tau] for the closed loop, [sticks, log tau] for turbines. Sticks break the DC gain into shares
    v_0 = x_0, v_1 = (1 - x_0) x_1, ..., 1 - sum, so that the constraint holds exactly and d, r_j >= 0 are bounds.
    """

    def __init__(self, response: Response, part: str) -> None:
        self.response, self.closed = response, part == "closed_loop"
        self.total = response.total if self.closed else response.droop
        (self._require_total if self.closed else self._require_turbines)()
        poles = np.concatenate([response.poles, response.node_poles]) if self.closed else response.poles
        start = self._values(np.zeros(1))[0][0].real  # q(0): minus the first moment
        sizes = [*np.abs(poles), abs(self.total / start) if start else 0.0]
        sizes += [self.total / abs(response.m)] if self.closed and response.m else []
        usable = np.array([x for x in sizes if 0 < x < np.inf] or [1.0])
        self.low, self.high = float(usable.min()), float(usable.max())
        self.panels = resolved(Panels.between(self._edges(poles)), self._smooth, SMOOTH)
        self._sample()
        if self.closed:
            self._require_stable()
        #: the L2 distance of the step response from its final value
        own = self.q * self.g / self.total if self.closed else self.q
        self.size = float(np.linalg.norm(self.root * own))

    def _require_total(self) -> None:
        if not 0 < self.total < np.inf:
            raise InputError(
                f"node {self.response.label!r} has g^-1(0) = {self.total:.4g}, where a generator has damping and inverse droops of "
                "positive sum; declare damping"
            )

    def _require_turbines(self) -> None:
        response, label = self.response, self.response.label
        if response.higher or not response.m > 0 or response.d < 0:
            what = "relative degree above 1" if response.higher else f"inertia {response.m:.4g} and damping {response.d:.4g}"
            raise InputError(f"node {label!r} has {what}, which part='turbines' keeps but no generator has; use part='closed_loop'")
        worst = max(response.poles, key=lambda pole: pole.real, default=-1.0)
        if worst.real >= 0:
            raise InstabilityError(
                f"the turbine part of node {label!r} is not stable: it has a pole at {worst:.4g}; correct its governor data"
            )
        if not 0 < self.total < np.inf:
            raise InputError(
                f"the turbines of node {label!r} have h(0) = {self.total:.4g}, where inverse droops of a generator have a positive "
                "sum; use part='closed_loop'"
            )

    def _require_stable(self) -> None:
        """By the poles of g, or for many states by the phase of g^{-1} along the axis (argument principle)."""
        response, poles = self.response, self.response.node_poles
        if response.node.order > DENSE:
            order = np.argsort(self.s.imag)
            turned = np.unwrap(np.concatenate([[0.0], np.angle(1.0 / self.g[order])]))[-1]  # g^{-1}(0) > 0
            right = int((response.poles.real >= 0).sum())
            unstable = round((int(response.node.degree[0]) + 2 * right - 2 * turned / np.pi) / 2)
            what = f"{unstable} of its poles are not in Re s < 0" if unstable else ""
        else:
            what = f"it has a pole at {poles[0]:.4g}" if poles.size and poles[0].real >= 0 else ""
        if what:
            raise InstabilityError(
                f"node {response.label!r} is not stable: {what}; a closed-loop fit needs it stable: declare more damping, or use "
                "part='turbines', which needs only stable turbines"
            )

    def _edges(self, poles: Complex) -> Real:
        low, high = self.low / 3, self.high * 3
        edges = np.geomspace(low, high, 2 + int(2 * np.log10(high / low)))
        # a resonance narrower than points lie apart would not be seen: it gets panels of its own, and halving does the rest
        sharp = poles[(poles.imag > 0) & (np.abs(poles.real) < 0.1 * poles.imag)]
        sharp = sharp[np.argsort(np.abs(sharp.real) / sharp.imag, kind="stable")][:MOST_SHARP]
        width = np.maximum(2 * np.abs(sharp.real), 1e-9 * sharp.imag)
        edges = np.unique(np.concatenate([edges, sharp.imag - width, sharp.imag + width]))
        return np.asarray(edges[np.concatenate([[True], np.diff(np.log(edges)) > 1e-12])])

    def _values(self, omega: Real) -> tuple[Complex, Complex]:
        """The q and g of what is fitted; g stands for 1 where turbines are."""
        if not self.closed:
            return self.response.turbines(omega), np.ones(len(omega), dtype=complex)
        q = self.response.whole(omega)
        return q, 1.0 / (self.total + 1j * omega * q)

    def _smooth(self, omega: Real) -> Complex:
        """What panels must resolve: q g and g, which are analytic at infinity where q is not (relative degree 2)."""
        q, g = self._values(omega)
        return np.column_stack([q * g, g])

    def _sample(self) -> None:
        omega = self.panels.omega.ravel()
        self.s, self.root = 1j * omega, np.sqrt(self.panels.weights.ravel() / np.pi)
        self.q, self.g = self._values(omega)

    def _count(self, x: Real) -> int:
        return (len(x) - 1) // 2 if self.closed else (len(x) + 1) // 2

    def _parts(self, x: Real) -> tuple[float, Real, Real]:
        """Inertia (0 for turbines), sticks, time constants."""
        count = self._count(x)
        return (float(np.exp(x[0])) if self.closed else 0.0), x[int(self.closed) : len(x) - count], np.exp(x[len(x) - count :])

    def unknowns(self, m: float, shares: Real, tau: Real) -> Real:
        """The x of constants; shares of the DC gain, damping first for the closed loop."""
        left = 1.0 - np.concatenate([[0.0], np.cumsum(shares)])[: len(shares) - 1]
        sticks = np.clip(np.divide(shares[:-1], left, out=np.zeros(len(left)), where=left > 0), 0.0, 1.0)
        return np.concatenate([[np.log(m)] if self.closed else [], sticks, np.log(tau)])

    def bounds(self, count: int) -> tuple[Real, Real]:
        """Lower and upper bounds of x."""
        m = [self.total / self.high / REACH, self.total / self.low * REACH] if self.closed else None
        if m and self.response.m > 0:
            m = [min(m[0], self.response.m / REACH), max(m[1], self.response.m * REACH)]
        sticks = count if self.closed else count - 1
        tau = 1 / (self.high * REACH), REACH / self.low
        lower, upper = ([*([np.log(m[i])] if m else []), *[float(i)] * sticks, *[np.log(tau[i])] * count] for i in (0, 1))
        return np.array(lower), np.array(upper)

    def generator(self, x: Real) -> Generator:
        """The constants of x."""
        m, sticks, tau = self._parts(x)
        shares = self.total * _shares(sticks)[0]
        if not self.closed:
            return Generator(self.response.m, self.response.d, shares, tau)
        return Generator(m, float(shares[0]), shares[1:], tau)

    def stops(self, x: Real) -> list[str]:
        """Which constants are at a bound."""
        generator, (lower, upper) = self.generator(x), self.bounds(self._count(x))
        rank = np.argsort(np.argsort(np.where(generator.r > 0, generator.tau, np.inf), kind="stable"))
        out = ["damping at 0"] if self.closed and generator.d == 0 else []
        out += [f"inverse droop {k + 1} at 0" for k, r in zip(rank, generator.r, strict=True) if r == 0]
        named = {0: "inertia"} if self.closed else {}
        named |= {len(x) - len(rank) + j: f"time constant {rank[j] + 1}" for j in range(len(rank)) if generator.r[j]}
        for i, name in named.items():
            out += [f"{name} at its {side} bound" for side, end in (("lower", lower[i]), ("upper", upper[i])) if x[i] == end]
        return out

    def residual(self, x: Real) -> Real:
        """Its squares sum to (error/size)^2."""
        m, sticks, tau = self._parts(x)
        r = self.total * _shares(sticks)[0][int(self.closed) :]
        u = m - (r * tau / (tau * self.s[:, None] + 1.0)).sum(axis=1)
        return self._stacked(self._difference(u, self.s, self.q, self.g))

    def jacobian(self, x: Real) -> Real:
        """Derivatives of the residual: of (g - g_fit)/s they are g_fit^2 times those of u."""
        m, sticks, tau = self._parts(x)
        shares, slopes = _shares(sticks)
        r, by_stick = self.total * shares[int(self.closed) :], self.total * slopes[int(self.closed) :]
        lag = 1.0 / (tau * self.s[:, None] + 1.0)
        moved = np.hstack([np.full((len(self.s), int(self.closed)), m), -(tau * lag) @ by_stick, -r * tau * lag**2])
        if self.closed:
            moved = moved / (self.total + self.s * (m - (r * tau * lag).sum(axis=1)))[:, None] ** 2
        return self._stacked(moved)

    def _difference(self, u: Complex, s: Complex, q: Complex, g: Complex) -> Complex:
        """(g - g_fit)/s, or for turbines (h_fit - h)/s."""
        return (u - q) * g / (self.total + s * u) if self.closed else u - q

    def _stacked(self, values: Complex) -> Real:
        weighted = (values.T * (self.root / self.size)).T
        return np.concatenate([weighted.real, weighted.imag])

    def settled(self, generator: Generator) -> tuple[float, bool]:
        """The norm of the error, on panels that are halved until it stands, and whether any had to be."""
        changed = False
        for _ in range(ROUNDS):
            halves = self.panels.halves()
            coarse = self._by_panel(self.panels, generator, self.q, self.g)
            fine = self._by_panel(halves, generator, *self._values(halves.omega.ravel())).reshape(-1, 2).sum(axis=1)
            error = float(np.sqrt(fine.sum()))
            rough = np.abs(fine - coarse) > SETTLED * error**2 + ROUNDING * self.size * (error + ROUNDING * self.size)
            if not rough.any():
                return error, changed
            self.panels, changed = self.panels.split(rough), True
            self._sample()
        raise ToleranceError(f"the step error of node {self.response.label!r} is not resolved by {len(self.panels)} panels")

    def _by_panel(self, panels: Panels, generator: Generator, q: Complex, g: Complex) -> Real:
        s = 1j * panels.omega.ravel()
        u = (generator.m if self.closed else 0.0) - (generator.r * generator.tau / (generator.tau * s[:, None] + 1.0)).sum(axis=1)
        error = np.abs(self._difference(u, s, q, g)).reshape(len(panels), -1) ** 2
        return np.asarray((panels.weights * error).sum(axis=1) / np.pi)

    def solve(self, turbines: int) -> Optimum:
        """The least error with at most so many turbines; fewer where another one gains nothing."""
        best = self._best([*self._averages(), *self._truncated(1)], self._lattice(1))
        for count in range(2, turbines + 1):
            more = self._best([*self._halved(best.x), *self._truncated(count)], self._lattice(count))
            if more.error**2 < (1 - SIMPLER) * best.error**2 - (NOTHING * self.size) ** 2:
                best = more
        return best

    def _best(self, starts: list[Real], lattice: list[Real]) -> Optimum:
        ends = [self._descended(x) for x in [*starts, *lattice[:LATTICE]]]
        errors, agreeing = self._agreeing(ends)
        if agreeing < 2:  # several optima: look longer
            ends += [self._descended(x) for x in lattice[LATTICE : 4 * LATTICE]]
            errors, agreeing = self._agreeing(ends)
        x = ends[int(errors.argmin())]
        for _ in range(10):  # what the fit itself resonates at may need finer panels
            x = self._at_bounds(x)
            error, changed = self.settled(self.generator(x))
            if not changed:
                break
            x = self._descended(x)
        return Optimum(x, error, len(ends), agreeing)

    def _agreeing(self, ends: list[Real]) -> tuple[Real, int]:
        errors = np.array([float(np.linalg.norm(self.residual(x))) for x in ends])
        return errors, int((errors <= errors.min() * (1 + AGREE) + NOTHING).sum())

    def _descended(self, x: Real, free: NDArray[np.bool_] | None = None) -> Real:
        """The local optimum from x; `free` marks unknowns that may move."""
        lower, upper = self.bounds(self._count(x))
        moving = np.flatnonzero(np.ones(len(x), dtype=bool) if free is None else free)
        if not moving.size:
            return x

        def whole(part: Real) -> Real:
            full = x.copy()
            full[moving] = part
            return full

        found = least_squares(
            lambda part: self.residual(whole(part)),
            np.clip(x, lower, upper)[moving],
            jac=lambda part: self.jacobian(whole(part))[:, moving],
            bounds=(lower[moving], upper[moving]),
            xtol=1e-12,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=200,
        )
        return whole(found.x)

    def _at_bounds(self, x: Real) -> Real:
        """Unknowns that the interior method left next to a bound put on it, the others led on, where that costs nothing."""
        lower, upper = self.bounds(self._count(x))
        near = np.minimum(x - lower, upper - x) <= NEAR
        if not near.any():
            return x
        there = self._descended(np.where(near, np.where(x - lower < upper - x, lower, upper), x), ~near)
        before, after = (float(np.sum(self.residual(y) ** 2)) for y in (x, there))
        return there if after <= before * (1 + 1e-9) + NOTHING**2 else x

    def _averages(self) -> Iterator[Real]:
        """Inertia and damping kept, with the time constants of `equivalents`, by moments that any turbines have."""
        response = self.response
        if not (response.droop > 0 and response.m > 0 and response.d >= 0):
            return
        shares = np.array([response.d, response.droop]) / self.total if self.closed else np.ones(1)
        moment = -float(response.turbines(np.zeros(1))[0].real) / response.droop
        constants = [moment, response.droop / response.slope if response.slope > 0 else 0.0]
        lower, upper = self.bounds(1)
        for tau in constants:
            if tau > 0:
                yield np.clip(self.unknowns(response.m, shares, np.array([tau])), lower, upper)

    def _halved(self, x: Real) -> Iterator[Real]:
        """Each turbine of x as two of unlike time constants."""
        generator = self.generator(x)
        for j in range(len(generator.r)):
            r = np.concatenate([generator.r, [generator.r[j] / 2]])
            r[j] /= 2
            tau = np.concatenate([generator.tau, [generator.tau[j] * 2]])
            tau[j] /= 2
            shares = np.concatenate([[generator.d] if self.closed else [], r]) / self.total
            yield self.unknowns(generator.m, shares, tau)

    @cached_property
    def _balanced(self) -> Balancing | None:
        """The part in balanced coordinates, as `truncate` has it, where there are not too many states."""
        node = self.response.node
        if node.order > BALANCED:
            return None
        whole = node_realization(node) if self.closed else node.proper_part()[0]
        try:
            return balance(whole, output_weight=PARTS["closed_loop" if self.closed else "turbines"].realization())
        except (CoherenceError, np.linalg.LinAlgError):  # a start less
            return None

    def _truncated(self, count: int) -> Iterator[Real]:
        """The truncation of the same part and order, where it reads as a generator."""
        if self._balanced is None or len(self._balanced.hankel) < count + int(self.closed):
            return
        try:
            smaller = self._balanced.truncate(count + int(self.closed))
            d, m, section = 0.0, 1.0, smaller
            if self.closed:
                node = from_realization("1", smaller)
                if len(node.polynomial) != 2:
                    return
                (d, m), section = node.polynomial[:, 0], node.proper_part()[0]
            poles, right = np.linalg.eig(section.a)
            residues = (section.c[0] @ right) * np.linalg.solve(right, section.b[:, 0].astype(complex))
        except (CoherenceError, np.linalg.LinAlgError):
            return
        if np.abs(poles.imag).max() > 0 or poles.real.max() >= 0 or residues.real.min() <= 0 or d < 0 or m <= 0:
            return
        gains = np.concatenate([[d] if self.closed else [], -(residues / poles).real])
        # scaled as a whole to the DC gain, as `truncate` does
        yield self.unknowns(m * self.total / gains.sum(), gains / gains.sum(), -1.0 / poles.real)

    def _lattice(self, count: int) -> list[Real]:
        """A lattice of inertias, shares and time constants: the best point for each choice of time constants, best first."""
        response = self.response
        poles = np.abs(np.concatenate([response.poles, response.node_poles])) if self.closed else np.abs(response.poles)
        low, high = (float(1 / poles.max()), float(1 / poles.min())) if poles.size else (1 / self.high, 1 / self.low)
        taus = np.geomspace(low / 2, high * 2, 13 if count == 1 else 8)
        if not self.closed:
            inertias = [1.0]
        elif response.m > 0:
            inertias = [response.m * x for x in (0.5, 1.0, 2.0, 5.0)]
        else:
            inertias = list(self.total * np.geomspace(low, high, 5))
        dampings = (
            sorted({0.02, 0.3, *([response.d / self.total] if 0 < response.d < self.total else [])}) if self.closed else [0.0]
        )
        splits = [np.array(x) for x in sorted({tuple(np.array(x) / sum(x)) for x in itertools.product((1, 3), repeat=count)})]
        lower, upper = self.bounds(count)
        found = []
        for tau in itertools.combinations(taus, count):
            lag = np.array(tau) / (np.array(tau) * self.s[:, None] + 1.0)
            least: tuple[float, Real] | None = None
            for split, d, m in itertools.product(splits, dampings, inertias):
                shares = np.concatenate([[d], (1 - d) * split]) if self.closed else split
                u = (m if self.closed else 0.0) - lag @ (self.total * shares[-count:])
                error = float(np.linalg.norm(self.root * self._difference(u, self.s, self.q, self.g)))
                if least is None or error < least[0]:
                    least = error, np.clip(self.unknowns(m, shares, np.array(tau)), lower, upper)
            if least is not None:
                found.append(least)
        found.sort(key=lambda item: item[0])
        return [x for _, x in found]


def _shares(sticks: Real) -> tuple[Real, Real]:
    """Shares v of one by stick breaking, (k + 1,), and their derivatives, (k + 1, k)."""
    k = len(sticks)
    shares, slopes = np.ones(k + 1), np.zeros((k + 1, k))
    for i in range(k + 1):
        factors = np.append(1.0 - sticks[:i], sticks[i] if i < k else 1.0)
        shares[i] = factors.prod()
        for j in range(min(i + 1, k)):
            slopes[i, j] = np.delete(factors, j).prod() * (1.0 if j == i else -1.0)
    return shares, slopes
