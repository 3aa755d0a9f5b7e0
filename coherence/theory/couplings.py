r"""Coupling strengths for which a network is stable: all intervals of kappa in T_kappa = (G^{-1} + kappa f L)^{-1}.

With L = F F^T, F (n, r) and r = n - components, the loop is cut at the edges: x' = A x - B w, v = C x - D w with v = f F^T y,
closed by w = kappa v. D is not zero only where f and nodes act at once. Around any kappa_0 and with mu = kappa - kappa_0 the
closed loop has the same form, w = mu v, with

    A_c = A - kappa_0 B M C,   B_c = B M,   C_c = M C,   D_c = M D,   M = (I + kappa_0 D)^{-1}.

A pole crosses the axis at 0, where A(kappa) is singular, or as a pair, where A(kappa) X + X A(kappa)^T = 0 has an antisymmetric
X (the bialternate sum: its eigenvalues are the sums of two poles), or through infinity, where I + kappa D is singular. With
the loop's r signals only, E = mu V and V = C_c X - D_c E,

    1/mu in eig( V -> C_c A_c^{-1} B_c V - D_c V ),
    1/mu in eig( V -> C_c Lyap^{-1}(B_c V - V^T B_c^T) - D_c V ),   V (r, N),   Lyap(X) = A_c X + X A_c^T:

an ordinary eigenvalue problem of order r N, where the bialternate pencil would have N (N - 1)/2. Between neighbouring positive
solutions the network is stable everywhere or nowhere, so one eigenvalue problem of order N between them decides. Where A or
Lyap is singular for every kappa_0, two poles add up to 0 always and the network is stable for none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg as sla
from scipy.optimize import brentq, minimize_scalar

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.network.network import Network, require_nodes
from coherence.network.statespace import network_realization
from coherence.nodes.nodes import Nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.theory.passivity import passivity
from coherence.types import Complex, Real

REAL = 1e-3  # |Im kappa| / |kappa| up to which a solution is tried as real; more are harmless, one too few is not
NEAR = 0.3  # relative step of Newton to the axis above which a solution is rounding of kappa = 0 or infinity
CLOSE = 1e-6  # relative distance of two solutions that rounding may have made of one
SAME = 1e-8  # relative distance below which two solutions are one
EXACT = 1e-12  # relative, of a boundary
HIDDEN = 1e-11  # of the largest singular value: a mode of f that no input reaches
REACH = 1e6  # of an expansion: how much larger or smaller kappa may be and keep its digits
BLOCK = 64  # Lyapunov equations solved at once
ROUNDS = 4  # of further expansions where a crossing was missed
COLUMNS = ("from", "from_rad_s", "to", "to_rad_s")


@dataclass(frozen=True, eq=False, repr=False)
class StableCouplings(Page):
    """All coupling strengths for which a network is stable; see `stable_couplings`.

    Attributes
    ----------
    intervals : DataFrame
        One row per maximal open interval of kappa: from, to, and from_rad_s, to_rad_s, the frequency of the mode that
        crosses the axis there (0: it does not oscillate; inf: it crosses at infinite frequency; nan: at 0 and infinity of
        kappa, where nothing crosses).
    everywhere : bool
        Whether passivity proves it for every Laplacian; then nothing was computed.
    states : int
        N, of the state space without modes that nothing reaches.

    Examples
    --------
    >>> from coherence import Network, Rational, stable_couplings, swing
    >>> lagging = Rational.of(([1.0], [1.0, 1.0, 0.0]))  # 1/(s (s + 1)): the coupling comes late
    >>> found = stable_couplings(Network(swing(inertia=[1, 1], damping=1), [[0.4, -0.4], [-0.4, 0.4]], lagging))
    >>> found, found.contains(3)
    (StableCouplings(kappa in (0, 2.5)), False)
    """

    intervals: pd.DataFrame
    everywhere: bool
    states: int

    def __repr__(self) -> str:
        if not len(self.intervals):
            return "StableCouplings(stable for no kappa)"
        shown = [f"({row['from']:.4g}, {row['to']:.4g})" for _, row in self.intervals.iloc[:4].iterrows()]
        return f"StableCouplings(kappa in {', '.join(shown)}{', ...' if len(self.intervals) > 4 else ''})"

    def contains(self, kappa: float) -> bool:
        """Whether the network with kappa L is stable.

        Raises
        ------
        InputError
            Kappa is not a positive number.
        """
        if not 0.0 < kappa < np.inf:
            raise InputError(f"kappa = {kappa} is no coupling strength; give a positive number (1 is the network as it is)")
        return bool(((self.intervals["from"] < kappa) & (kappa < self.intervals["to"])).any())

    @property
    def around(self) -> tuple[float, float] | None:
        """The interval that holds kappa = 1, the network as it is; None where it is not stable."""
        mine = self.intervals[(self.intervals["from"] < 1.0) & (self.intervals["to"] > 1.0)]
        return (float(mine["from"].iloc[0]), float(mine["to"].iloc[0])) if len(mine) else None

    @property
    def facts(self) -> dict[str, str]:
        """What follows for the network as it is."""
        around = self.around
        if self.everywhere:
            now = "stable, as for every Laplacian: all nodes are output strictly passive and f is positive real"
        elif around is None:
            now = "not stable" + ("" if len(self.intervals) else ", and no other strength of the coupling makes it so")
        elif around == (0.0, np.inf):
            now = "stable, as for every strength of this Laplacian's coupling"
        else:
            row = self.intervals[self.intervals["from"] == around[0]].iloc[0]
            ends = [
                f"{sign} {row[end]:.6g} ({row[f'{end}_rad_s']:.4g} rad/s)"
                for end, sign in (("from", "above"), ("to", "below"))
                if 0.0 < row[end] < np.inf
            ]
            now = f"stable, as for kappa {' and '.join(ends)}"
        return {"as it is (kappa = 1)": now, "states": str(self.states)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The intervals."""
        return {"intervals": self.intervals}

    @property
    def captions(self) -> dict[str, str]:
        """What the intervals are of."""
        return {"intervals": "kappa for which the network with kappa L is stable"}


def stable_couplings(network: Network, *, most: int = 1500) -> StableCouplings:
    """All intervals of kappa > 0 for which T_kappa = (G^{-1} + kappa f L)^{-1} is stable, up to rounding.

    Where all nodes are output strictly passive and f is positive real, that is every kappa (`passivity`). Elsewhere all kappa
    at which a pole can cross the axis are eigenvalues of one matrix, and the poles between two of them decide. Poles that rounding
    cannot tell from the axis count as not stable. Crossings are looked for from 1e-6 of the smallest to 1e6 times the largest of
    the strengths 1/|eig f F^T G F|, L = F F^T, at frequencies from a hundredth of the slowest to a hundred times the fastest pole.

    Parameters
    ----------
    network : Network
        Of rational nodes and coupling, small (reduced): N states and n nodes. Nodes without dynamics (passive buses) are
        eliminated first. A graph that falls apart is stable where all its components are.
    most : int
        Largest order N rank(L) of that eigenvalue problem, whose cost grows with its cube.

    Returns
    -------
    StableCouplings

    Raises
    ------
    InputError
        Nodes or a coupling known by their response only, a network projected on a basis, no proper state space, or one that
        is too large.
    ToleranceError
        Rounding loses crossings.

    References
    ----------
    A. T. Fuller, "Conditions for a matrix to have only characteristic roots with negative real parts", J. Math. Anal. Appl. 23
    (1968); W. Govaerts, Numerical Methods for Bifurcations of Dynamical Equilibria (2000), section 4.4. The reduction to r N is
    derived in the module.

    Examples
    --------
    >>> from coherence import Network, integrator, stable_couplings
    >>> found = stable_couplings(Network(integrator(labels=["a", "b"]), [[1, -1], [-1, 1]], "1"))  # consensus keeps its average
    >>> found
    StableCouplings(stable for no kappa)
    """
    require_nodes(network, "the set of stable couplings")
    network.nodes.require_rational("the set of stable couplings")
    coupling = network.coupling
    if not isinstance(coupling, Rational):
        raise InputError("the set of stable couplings needs a rational coupling f; this one is known by its values only")
    if network.nodes.passive.any():
        network = network.kron_reduce()
    if np.isfinite(passivity(network).gamma):
        return StableCouplings(_table([(0.0, np.nan, np.inf, np.nan)]), True, network.order)
    order = network.order * (network.size - len(network._components))
    if order > most:
        raise InputError(
            f"{network.order} states times {network.size - len(network._components)}, the rank of the Laplacian, make an "
            f"eigenvalue problem of order {order} (at most {most}); reduce the network (aggregate, truncate) or raise most"
        )
    loop = _reached(_opened(network.nodes, network.dense_laplacian, coupling), coupling)
    return StableCouplings(_table(_stable_intervals(loop)), False, len(loop.a))


class _Loop(NamedTuple):
    """x' = A x - B w, v = C x - D w; closed by w = kappa v. `u` is what inputs reach at once, B = u F."""

    a: Real  # (N, N)
    b: Real  # (N, r)
    c: Real  # (r, N)
    d: Real  # (r, r)
    u: Real  # (N, n)

    @property
    def rounding(self) -> float:
        """What rounding alone can give a pole of A."""
        return Realization(self.a, self.b, self.c, self.d).rounding

    def around(self, kappa: float) -> _Loop:
        """The same loop with w = (kappa + mu) v, as one with w = mu v."""
        m = np.linalg.inv(np.eye(len(self.d)) + kappa * self.d)
        return _Loop(self.a - kappa * self.b @ m @ self.c, self.b @ m, m @ self.c, m @ self.d, self.u)


def _opened(nodes: Nodes, laplacian: Real, coupling: Rational) -> _Loop:
    """The loop cut at the edges, in balanced coordinates."""
    n = len(laplacian)
    g = network_realization(nodes, np.zeros((n, n)), Rational.of(1.0), None)[0]  # all nodes, apart
    f = coupling.realization()
    values, vectors = np.linalg.eigh(laplacian)
    kept = values > 1e-12 * max(float(values[-1]), np.finfo(float).tiny)
    factor = vectors[:, kept] * np.sqrt(values[kept])
    ends, r = factor.T, int(kept.sum())
    drive = np.kron(np.eye(r), f.b) @ ends
    a = np.block([[g.a, np.zeros((g.order, r * f.order))], [drive @ g.c, np.kron(np.eye(r), f.a)]])
    u = np.vstack([g.b, drive @ g.d])
    c = np.hstack([f.d[0, 0] * ends @ g.c, np.kron(np.eye(r), f.c)])
    loop = _Loop(a, u @ factor, c, f.d[0, 0] * ends @ g.d @ factor, u)
    if not len(a):
        return loop
    # states of the nodes alone and of the coupling alone would not be balanced against each other
    scale = sla.matrix_balance(a - loop.b @ c, permute=False, separate=True)[1][0]
    return _Loop(a / scale[:, None] * scale, loop.b / scale[:, None], c * scale, loop.d, u / scale[:, None])


def _reached(loop: _Loop, coupling: Rational) -> _Loop:
    """The loop without modes of f that no input reaches, because nodes have the same pole (both integrate, say)."""
    for pole in coupling.poles():
        while len(loop.a) and pole.real >= -1e-12 * abs(pole):
            rows = np.hstack([loop.a - pole * np.eye(len(loop.a)), loop.u])
            left, sizes, _ = np.linalg.svd(rows, full_matrices=True)
            idle = left[:, sizes <= HIDDEN * sizes[0]]
            if not idle.shape[1]:
                break
            # left eigenvectors V of every A(kappa), V^H u = 0: V^H x stays 0
            kept = sla.null_space(np.vstack([idle.real.T, idle.imag.T]))
            loop = _Loop(kept.T @ loop.a @ kept, kept.T @ loop.b, loop.c @ kept, loop.d, kept.T @ loop.u)
    return loop


def _stable_intervals(loop: _Loop) -> list[tuple[float, float, float, float]]:
    """(from, rad/s, to, rad/s) of all maximal intervals."""
    if not len(loop.a):
        return [(0.0, np.nan, np.inf, np.nan)]
    if not loop.b.shape[1]:
        return [(0.0, np.nan, np.inf, np.nan)] if _verdict(loop, 1.0) < 0 else []
    strengths = _typical(loop)
    infinite = _positive(-1.0 / _nonzero(np.linalg.eigvals(loop.d))) if loop.d.any() else np.zeros(0)
    found = [crossings for strength in strengths if (crossings := _crossings(loop, strength)) is not None]
    if not found:
        return []  # two poles add up to 0 (or one is 0) whatever kappa is
    cuts = np.concatenate(found)
    for _ in range(ROUNDS + 1):
        cuts = _distinct(np.concatenate([cuts, infinite]))
        cuts, spans = _trimmed(cuts, _sampled(loop, cuts, strengths))
        missed = [missing for span in spans if (missing := span.disagreement)]
        if not missed:
            return _joined(loop, cuts, spans, infinite)
        for low, high in missed:
            if high < low * (1 + CLOSE):  # one crossing, found several times with rounding to its left and right
                more: Real | None = np.array([_boundary(loop, low, high)[0]])
                cuts = cuts[(cuts < low * (1 - CLOSE)) | (cuts > high * (1 + CLOSE))]
            else:
                more = _crossings(loop, float(np.sqrt(low * high)))
            cuts = cuts if more is None else np.concatenate([cuts, more])
    low, high = missed[0]
    raise ToleranceError(
        f"between kappa = {low:.4g} and {high:.4g} the network changes its stability where rounding hides the crossing; "
        "reduce the order of its nodes"
    )


def _typical(loop: _Loop) -> list[float]:
    """Three strengths over the range in which crossings are to be expected, 1/|eig H(jw)| at the frequencies of the poles."""
    rates = np.unique(np.abs(np.linalg.eigvals(loop.around(7e-4).a)))
    rates = rates[rates > 1e-12 * rates[-1]]
    sizes = []
    for w in np.concatenate([rates, 0.01 * rates[:1], 100.0 * rates[-1:]]) * (1 + 1e-4):  # beside a pole on the axis
        h = loop.c @ np.linalg.solve(1j * w * np.eye(len(loop.a)) - loop.a, loop.b.astype(complex)) + loop.d
        sizes.append(np.abs(_nonzero(np.linalg.eigvals(h))))
    strengths = 1.0 / np.concatenate([*sizes, np.zeros(0)])
    spread = np.exp(np.quantile(np.log(strengths), [0.0, 0.5, 1.0])) if strengths.size else np.ones(1)
    out: list[float] = []
    for strength in spread.tolist():
        if all(max(strength / other, other / strength) > 5.0 for other in out):
            out.append(strength)
    return out


def _crossings(loop: _Loop, strength: float) -> Real | None:
    """All kappa > 0 at which a pole is on the axis, from an expansion near `strength`; None if poles add up to 0 there."""
    best, here, at = 0.0, loop, strength
    for kappa in strength * np.array([1.0, 1.3, 0.7, 2.1, 0.4]):
        try:
            trial = loop.around(kappa)
        except np.linalg.LinAlgError:  # no proper state space at this kappa
            continue
        poles = np.linalg.eigvals(trial.a)
        sums = np.abs(poles[:, None] + poles)  # the diagonal is twice each pole
        distance = float(sums.min()) / max(trial.rounding, np.finfo(float).tiny)
        if distance > best:
            best, here, at = distance, trial, float(kappa)
    if best <= 1.0:
        return None
    steady = here.c @ np.linalg.solve(here.a, here.b) - here.d
    values = np.concatenate([np.linalg.eigvals(steady), np.linalg.eigvals(_pair_operator(here))])
    found = _positive(at + 1.0 / _nonzero(values))
    found = found[(found > at / REACH) & (found < at * REACH)]
    return np.array([kappa for kappa in found if _crosses(loop, kappa)])


def _pair_operator(loop: _Loop) -> Real:
    """V -> C Lyap^{-1}(B V - V^T B^T) - D V on V (r, N), as a matrix (r N, r N).

    In the complex Schur form A = Z T Z^H with X = Z Y Z^T the equation is T Y + Y T^T, solved column by column from the last.
    """
    size, r = loop.b.shape
    t, z = sla.schur(loop.a, output="complex")
    drive, out = z.conj().T @ loop.b, loop.c @ z
    whole = np.empty((r, size, r, size), dtype=complex)
    pairs = [(j, p) for j in range(r) for p in range(size)]
    diagonal = np.arange(size)
    for first in range(0, len(pairs), BLOCK):
        block = pairs[first : first + BLOCK]
        y = np.zeros((size, size, len(block)), dtype=complex)  # columns, rows, equations
        for k, (j, p) in enumerate(block):
            y[p, :, k] += drive[:, j]
            y[:, p, k] -= drive[:, j]
        for column in range(size - 1, -1, -1):
            y[column] -= np.tensordot(t[column, column + 1 :], y[column + 1 :], axes=(0, 0))
            shifted = t.copy()
            shifted[diagonal, diagonal] += t[column, column]
            y[column] = sla.solve_triangular(shifted, y[column], check_finite=False)
        seen = np.matmul(out, y)  # (columns, r, equations)
        for k, (j, p) in enumerate(block):
            whole[:, :, j, p] = seen[:, :, k].T
    # back to V = V~ Z^T, where the operator is real
    real = np.einsum("iq,aqjp,lp->aijl", z, whole, z.conj(), optimize=True).real
    return real.reshape(r * size, r * size) - np.kron(loop.d, np.eye(size))


def _crosses(loop: _Loop, kappa: float) -> bool:
    """Whether a pole is on the axis near this kappa: Newton's step says how near, relative to kappa.

    Multiple solutions at 0 and infinity are scattered by rounding; there poles go like powers of kappa, whose step is of the
    size of kappa.
    """
    try:
        m = np.linalg.inv(np.eye(len(loop.d)) + kappa * loop.d)
    except np.linalg.LinAlgError:  # no proper state space: counted apart
        return False
    poles, left, right = sla.eig(loop.around(kappa).a, left=True, right=True)
    rate = -np.einsum("ik,ij,jk->k", left.conj(), loop.b @ m @ m @ loop.c, right)
    weight = np.einsum("ik,ik->k", left.conj(), right)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.abs(poles.real / (rate / weight).real)
    return bool((~(step > NEAR * kappa)).any())  # 0/0 stays


class _Span(NamedTuple):
    """What was found between two neighbouring crossings."""

    points: list[float]
    verdicts: list[int]

    @property
    def stable(self) -> bool:
        return min(self.verdicts) < 0

    @property
    def point(self) -> float:
        """Where it is decided."""
        wanted = -1 if self.stable else max(self.verdicts)
        return self.points[self.verdicts.index(wanted)]

    @property
    def disagreement(self) -> tuple[float, float] | None:
        """Two points with a crossing between them that was missed."""
        sure = sorted((p, v) for p, v in zip(self.points, self.verdicts, strict=True) if v)
        return next(((p, q) for (p, v), (q, w) in itertools.pairwise(sure) if v != w), None)


def _sampled(loop: _Loop, cuts: Real, strengths: list[float]) -> list[_Span]:
    """Verdicts inside every span between cuts; several, because rounding blurs what is near an end."""
    usual = np.array([1.0, *strengths])
    if not cuts.size:
        inner = [np.concatenate([usual, 0.1 * usual, 10.0 * usual])]
    else:
        inner = [cuts[0] * np.array([0.5, 0.1, 0.01])]
        inner += [low * (high / low) ** np.array([0.5, 0.2, 0.8]) for low, high in itertools.pairwise(cuts)]
        inner += [cuts[-1] * np.array([2.0, 10.0, 100.0])]
        for i, (low, high) in enumerate(zip([0.0, *cuts], [*cuts, np.inf], strict=True)):
            inner[i] = np.concatenate([inner[i], usual[(usual > low * (1 + 1e-3)) & (usual < high * (1 - 1e-3))]])
    return [_Span(points.tolist(), [_verdict(loop, kappa) for kappa in points.tolist()]) for points in inner]


def _trimmed(cuts: Real, spans: list[_Span]) -> tuple[Real, list[_Span]]:
    """Without first and last spans in which nothing is sure: poles that die out like powers of kappa there, and no crossing."""
    while cuts.size and not any(spans[0].verdicts):
        cuts, spans = cuts[1:], spans[1:]
    while cuts.size and not any(spans[-1].verdicts):
        cuts, spans = cuts[:-1], spans[:-1]
    return cuts, spans


def _joined(loop: _Loop, cuts: Real, spans: list[_Span], infinite: Real) -> list[tuple[float, float, float, float]]:
    """Maximal intervals: spans joined over cuts that are none, ends refined."""
    out: list[tuple[float, float, float, float]] = []
    begin: tuple[float, float] | None = (0.0, np.nan) if spans[0].stable else None
    for cut, before, after in zip(cuts.tolist(), spans, spans[1:], strict=False):
        through_infinity = bool((np.abs(infinite - cut) <= SAME * cut).any())
        if not (before.stable or after.stable):
            continue
        if before.stable and after.stable:
            edge = (cut, np.inf) if through_infinity else _touching(loop, cut, before.point, after.point)
        elif through_infinity:
            edge = (cut, np.inf)
        else:
            edge = _boundary(loop, before.point, after.point)
        if edge is None:
            continue
        if before.stable and begin is not None:
            out.append((*begin, *edge))
        begin = edge if after.stable else None
    if begin is not None:
        out.append((*begin, np.inf, np.nan))
    return out


def _boundary(loop: _Loop, low: float, high: float) -> tuple[float, float]:
    """Kappa between two of different stability, and the frequency of the mode on the axis."""
    sure = _verdict(loop, low) and _verdict(loop, high)  # else the side that is not stable is marginal for all its kappa

    def height(kappa: float) -> float:
        return _slowest(loop, kappa).real + (0.0 if sure else loop.around(kappa).rounding)

    kappa = float(brentq(height, low, high, xtol=EXACT * low, rtol=EXACT))
    return kappa, _frequency(loop, kappa)


def _touching(loop: _Loop, cut: float, low: float, high: float) -> tuple[float, float] | None:
    """Where a pole touches the axis near the cut without crossing it; None if none does."""
    low, high = max(low, cut * (1 - 1e-3)), min(high, cut * (1 + 1e-3))
    top = minimize_scalar(lambda k: -_slowest(loop, k).real, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * cut})
    kappa = min((cut, float(top.x)), key=lambda k: -_slowest(loop, k).real)
    return (kappa, _frequency(loop, kappa)) if _verdict(loop, kappa) >= 0 else None


def _slowest(loop: _Loop, kappa: float) -> complex:
    """The pole of largest real part."""
    poles = np.linalg.eigvals(loop.around(kappa).a)
    return complex(poles[poles.real.argmax()])


def _frequency(loop: _Loop, kappa: float) -> float:
    """Of the mode on the axis, with what is rounding of 0 made 0."""
    pole = abs(_slowest(loop, kappa).imag)
    return 0.0 if pole <= loop.around(kappa).rounding else pole


def _verdict(loop: _Loop, kappa: float) -> int:
    """-1 stable, 1 not stable, 0 where rounding cannot tell."""
    slowest, limit = _slowest(loop, kappa).real, loop.around(kappa).rounding
    return -1 if slowest < -limit else int(slowest > limit)


def _nonzero(values: Real | Complex) -> Complex:
    """Without those that rounding cannot tell from 0."""
    return np.asarray(values[np.abs(values) > 1e-14 * np.abs(values).max(initial=0.0)], dtype=complex)


def _positive(kappa: Complex) -> Real:
    """The positive ones among them, with those that rounding may have made complex."""
    fits = np.isfinite(kappa) & (kappa.real > 0) & (np.abs(kappa.imag) <= REAL * np.abs(kappa))
    return np.asarray(kappa[fits].real)


def _distinct(kappa: Real) -> Real:
    """Sorted, with neighbours nearer than rounding made one."""
    kappa = np.sort(kappa)
    if not kappa.size:
        return kappa
    return kappa[np.concatenate([[True], kappa[1:] > kappa[:-1] * (1 + SAME)])]


def _table(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(np.array(rows, dtype=float).reshape(-1, 4), columns=list(COLUMNS))
