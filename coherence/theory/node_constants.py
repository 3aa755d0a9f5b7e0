r"""The constants by which theorems on random networks know the nodes and the coupling over a band |omega| <= eta.

    gamma = 1 / inf Re g_i^{-1} over Re s > 0   (output strict passivity; with f positive real ||T||, ||T_k|| <= gamma)
    M     = sup |g_i^{-1}(j omega)|,   r = sup over omega of the radius of a disc that holds all g_i^{-1}(j omega)
    F_l   = inf |f(j omega)|

Over an interval of frequencies g_i^{-1}(j omega) is within h |g_i^{-1}'| + h^2 sup|g_i^{-1}''|/2 of its value in the middle, h
half the width, and the disc may move: with centre c + c' (s - s_0) only |g_i^{-1}' - c'| counts. Intervals are halved until that
adds at most one part in 2000, so that M and r are not below the true ones for the nodes looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.nodes.distributions import RandomNodes
from coherence.nodes.enclosures import balanced, enclosure
from coherence.nodes.nodes import Nodes
from coherence.numerics.hull import smallest_disc
from coherence.numerics.rational import Function, Rational, coupling_of
from coherence.theory.passivity import passivity_indices
from coherence.types import Real

TOLERANCE = 5e-4  # of M and r, relative, by which intervals of frequencies may raise them
START, ROUNDS = 32, 25  # intervals, and how often those that matter are halved
LOOKED, INDEXED = 1000, 300  # points of a support at which M and r, and passivity, are looked at
DISC_STEPS = 300  # towards the smallest disc: any centre is safe
CHUNK = 1_000_000  # (intervals, nodes) held at a time


@dataclass(frozen=True, eq=False, repr=False)
class NodeConstants(Page):
    """What theorems on random networks need to know of nodes and coupling; computed by `node_constants`, or given.

    Parameters
    ----------
    eta : float
        The band |omega| <= eta [rad/s], > 0.
    gamma : float
        Bound on ||T||_inf for every Laplacian, > 0; infinite where the nodes are not output strictly passive or f is not positive
        real.
    largest : float
        M, bound on |g_i^{-1}| over the band, >= 1/gamma.
    radius : float
        r, of discs that hold all g_i^{-1} at each frequency of the band, >= 0.
    least_coupling : float
        F_l, the least |f| over the band, >= 0.
    basis : str
        How the constants were found.

    Raises
    ------
    InputError
        A constant out of range, or M < 1/gamma, which no nodes have.

    Examples
    --------
    >>> from coherence import NodeConstants
    >>> NodeConstants(eta=1.0, gamma=1.0, largest=4.0, radius=0.945, least_coupling=1.0)
    NodeConstants(|omega| <= 1 rad/s: gamma 1, M 4, r 0.945, F_l 1)
    """

    eta: float
    gamma: float
    largest: float
    radius: float
    least_coupling: float
    basis: str = "given"

    def __post_init__(self) -> None:
        ranges = {"eta": self.eta > 0, "gamma": self.gamma > 0, "largest": self.largest > 0}
        ranges |= {"radius": self.radius >= 0, "least_coupling": self.least_coupling >= 0}
        for name, good in ranges.items():
            if not good or not (np.isfinite(getattr(self, name)) or name not in ("eta", "least_coupling")):
                sign = ">= 0" if name in ("radius", "least_coupling") else "> 0"
                raise InputError(f"{name} = {getattr(self, name)}; give a number {sign}")
        if self.largest * self.gamma < 1 - 1e-9:
            raise InputError(
                f"largest = {self.largest:g} is below 1/gamma = {1 / self.gamma:g}, but passive nodes have |1/g| >= 1/gamma"
            )

    def __repr__(self) -> str:
        return (
            f"NodeConstants(|omega| <= {self.eta:g} rad/s: gamma {self.gamma:.4g}, M {self.largest:.4g}, r {self.radius:.4g}, "
            f"F_l {self.least_coupling:.4g})"
        )

    @property
    def missing(self) -> str:
        """Why no theorem applies; empty where they are all finite."""
        if not np.isfinite(self.gamma):
            return "gamma is infinite: a node is not output strictly passive, or f is not positive real"
        if not (np.isfinite(self.largest) and np.isfinite(self.radius)):
            return "M is infinite: 1/g is unbounded in the band or over the support of its coefficients"
        return "" if self.least_coupling > 0 else "F_l = 0: the coupling f has a zero in the band"

    @property
    def facts(self) -> dict[str, str]:
        """How they were found."""
        return {"basis": self.basis} | ({"lacking": self.missing} if self.missing else {})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The constants."""
        values = {"gamma": self.gamma, "M": self.largest, "r": self.radius, "F_l": self.least_coupling, "eta [rad/s]": self.eta}
        return {"constants": pd.DataFrame({"value": values}).rename_axis("constant")}


def node_constants(nodes: RandomNodes | Nodes, eta: float, *, coupling: Any = "1/s") -> NodeConstants:
    """Passivity index, bounds on 1/g and on f over the band |omega| <= eta.

    Parameters
    ----------
    nodes : RandomNodes or Nodes
        A family, looked at on a grid of its support with the corners; or the nodes that networks are made of.
    eta : float
        rad/s, > 0.
    coupling : as of `Network`
        Rational.

    Returns
    -------
    NodeConstants
        M and r are upper bounds over the band for the nodes looked at. Between the points of a support's grid nothing is proved:
        they are exact where extremes lie at corners (coefficients that enter 1/g linearly); where that is not so, give your own.

    Raises
    ------
    InputError
        eta out of range; nodes known by their response only; a coupling that is not rational.

    References
    ----------
    H. Min, dissertation (2023), Assumption 3.1; derivation in the module.

    Examples
    --------
    >>> from scipy import stats
    >>> from coherence import RandomNodes, node_constants, swing
    >>> node_constants(RandomNodes(swing, inertia=stats.uniform(1, 2), damping=stats.uniform(0.5, 1)), 2.0)
    NodeConstants(|omega| <= 2 rad/s: gamma 2, M 6.185, r 2.062, F_l 0.5)
    """
    if isinstance(eta, bool) or not isinstance(eta, (int, float, np.number)) or not (np.isfinite(eta) and eta > 0):
        raise InputError(f"eta = {eta!r}; give the end of a band in rad/s, > 0")
    f = coupling_of(coupling)
    if isinstance(f, Function):
        raise InputError("the constants need a rational coupling f; this one is known by its values only")
    least = _least_modulus(f, float(eta))
    if isinstance(nodes, RandomNodes):
        try:
            known, few = nodes.support_grid(LOOKED), nodes.support_grid(INDEXED)
        except InputError:
            known = few = None
        if known is None or few is None:
            basis = "the support is unbounded, or ends where the family does"
            return NodeConstants(float(eta), np.inf, np.inf, np.inf, least, basis)
        basis = f"found on a grid of {len(known)} points of the support, corners included; proved over the band, not between points"
    elif isinstance(nodes, Nodes):
        known, few, basis = nodes, nodes, f"proved for these {len(nodes)} nodes"
    else:
        raise InputError(f"nodes is a {type(nodes).__name__}; give RandomNodes or Nodes")
    index = float(passivity_indices(few)["index"].min())
    gamma = 1.0 / index if index > 0 and f.is_positive_real() else np.inf
    largest, radius = _extent(balanced(known), float(eta))
    return NodeConstants(float(eta), gamma, largest, min(radius, largest), least, basis)


def _extent(nodes: Nodes, eta: float) -> tuple[float, float]:
    """M and r over 0 <= omega <= eta, at most `TOLERANCE` above the largest found."""
    for bank in nodes.banks:
        poles = np.linalg.eigvals(bank.a)
        on_axis = np.abs(poles.real) <= 1e-12 * (1.0 + np.abs(poles))
        if (on_axis & (np.abs(poles.imag) <= eta * (1 + 1e-9))).any():
            return np.inf, np.inf  # a node that is zero in the band
    edges = np.linspace(0.0, eta, START + 1)
    low, high = edges[:-1], edges[1:]
    done = np.zeros((0, 2))
    seen = np.zeros(2)
    for _ in range(ROUNDS):
        parts = max(1, CHUNK // len(nodes))
        found = [_over(nodes, low[i : i + parts], high[i : i + parts]) for i in range(0, len(low), parts)]
        upper, value = (np.concatenate([part[j] for part in found]) for j in range(2))
        seen = np.maximum(seen, value.max(axis=0))
        open_ = (upper > (1 + TOLERANCE) * seen + 1e-12 * seen[0]).any(axis=1)
        done = np.vstack([done, upper[~open_]])
        if not open_.any():
            return float(done[:, 0].max()), float(done[:, 1].max())
        middle = 0.5 * (low[open_] + high[open_])
        low, high = np.concatenate([low[open_], middle]), np.concatenate([middle, high[open_]])
    rest = np.vstack([done, upper[open_]])
    return float(rest[:, 0].max()), float(rest[:, 1].max())


def _over(nodes: Nodes, low: Real, high: Real) -> tuple[Real, Real]:
    """Bounds on M and r over each interval, and their values in its middle, (I, 2) each."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    value, slope, bend = enclosure(nodes, middle, half)
    h = half[:, None]
    centre, turn = smallest_disc(value, DISC_STEPS)[:, None], smallest_disc(slope, DISC_STEPS)[:, None]
    curve = 0.5 * bend * h**2
    size, off = np.abs(value), np.abs(value - centre)
    upper = [(size + h * np.abs(slope) + curve).max(axis=1), (off + h * np.abs(slope - turn) + curve).max(axis=1)]
    return np.column_stack(upper), np.column_stack([size.max(axis=1), off.max(axis=1)])


def _least_modulus(f: Rational, eta: float) -> float:
    """Least |f(j omega)| over 0 <= omega <= eta: at an end or where the derivative of |p|^2/|q|^2 vanishes."""

    def square(coefficients: tuple[float, ...]) -> Real:
        at = np.asarray(coefficients) * 1j ** np.arange(len(coefficients))[::-1]
        return np.real(np.polymul(at, np.conj(at)))

    p, q = square(f.num), square(f.den)
    turning: Real = np.polysub(np.polymul(np.polyder(p), q), np.polymul(p, np.polyder(q)))
    roots = np.roots(turning) if turning.any() else np.zeros(0)
    places = np.clip(np.abs(roots.real), 0.0, eta)
    return float(np.abs(f(1j * np.concatenate([[0.0, eta], places]))).min())
