r"""The limits in which a network moves as one, as sweeps: exact values beside the bound that the theorem's proof uses.

    Theorem 3.1   lambda_2 -> infinity   `connectivity_limit`     sup_S ||E|| = O(1/lambda_2)
    Theorem 3.2   s -> a pole of f       `pole_limit`             ||E|| = O(1/|f|)
    Theorem 3.6   n -> infinity          `size_limit`             sup_S ||E|| = O(1/lambda_2(L_n))
    Theorem 3.11  a band [0, eta]        `band_bound`             with constants proved for the whole band

E = T - (1/n) g_bar 11^T. Each proof is Lemma 3.1 with constants of the set S, M1 >= |g_bar|, M2 >= |g_i^{-1}|, F = inf |f|:

    sup_S ||E|| <= (M1 M2 + 1)^2 / (F lambda_2 - M2 - M1 M2^2)                                     (3.10)

In sweeps S is the finite set of frequencies given, and (3.10) holds on it. `band_bound` covers every frequency of a band: M1, M2
and F come from enclosures over intervals. The exact largest value over a band is certified by `supremum`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network, require_nodes
from coherence.nodes.distributions import RandomNodes
from coherence.nodes.enclosures import balanced, enclosure
from coherence.numerics.rational import Rational, coupling_of
from coherence.theory.bounds import Bound, hull_bound
from coherence.theory.concentration import drawn_network
from coherence.theory.deviations import deviation_norms
from coherence.types import ArrayLike, Complex, Real, frequencies, real_vector

INTERVALS = 200  # of a band, to begin with
ROUNDS = 12  # of halving those whose enclosure is wide
WIDE = 0.01  # of a constant, relative: halve the interval


@dataclass(frozen=True, eq=False, repr=False)
class Limit(Page):
    """A sweep towards a limit; see `connectivity_limit`, `pole_limit`, `size_limit`.

    Attributes
    ----------
    theorem : str
    parameter : str
        What is swept.
    values : (P,) float
    exact : (P,) float
        The largest ||E||_2 over the set.
    bound : (P,) float
        (3.10) with the constants of the set; infinite where it is silent.
    hull : (P,) float
        The largest hull bound over the set.
    connectivity : (P,) float
        The least |f| lambda_2 over the set.

    Examples
    --------
    >>> from coherence import connectivity_limit, linearize, load_case
    >>> found = connectivity_limit(linearize(load_case("iceland")), [0.1, 1.0])
    >>> round(found.order, 2)
    -1.0
    """

    theorem: str
    parameter: str
    values: Real
    exact: Real
    bound: Real
    hull: Real
    connectivity: Real

    def __repr__(self) -> str:
        return f"Limit({self.theorem}: {self.exact[0]:.4g} to {self.exact[-1]:.4g}, of order {self.order:.3g} in {self.parameter})"

    @property
    def order(self) -> float:
        """The slope of the last two values of log ||E|| over log of the parameter."""
        return float(np.log(self.exact[-1] / self.exact[-2]) / np.log(self.values[-1] / self.values[-2]))

    @property
    def frame(self) -> pd.DataFrame:
        """Parameter -> exact, bounds, effective connectivity."""
        columns = {"exact": self.exact, "hull bound": self.hull, "(3.10)": self.bound, "|f| lambda_2": self.connectivity}
        return pd.DataFrame(columns, index=pd.Index(self.values, name=self.parameter))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The frame."""
        return {self.theorem: self.frame}


def connectivity_limit(network: Network, omega: ArrayLike, *, strengths: ArrayLike | None = None) -> Limit:
    """Theorem 3.1 as a sweep: the same network with its Laplacian scaled up, over a set of frequencies.

    Parameters
    ----------
    network : Network
        Connected.
    omega : (F,) float
        The set S [rad/s], > 0 and ascending.
    strengths : (P,) float, optional
        Factors of L, ascending; default 1 to 1e4.

    Returns
    -------
    Limit
        Over lambda_2.

    Raises
    ------
    InputError
        Factors that are not positive and ascending.
    DisconnectedError
        The network falls apart.
    PoleError
        A frequency is a pole of T, of f or of a node.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.1.

    Examples
    --------
    >>> from coherence import Network, connectivity_limit, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> connectivity_limit(network, [0.5, 1.0], strengths=[1, 10, 100]).frame.shape
    (3, 4)
    """
    w, factors = _positive(omega), _ascending(np.geomspace(1, 1e4, 9) if strengths is None else strengths, "strengths")
    require_connected(network.laplacian, network.labels, "coherence")
    rows = [_over(Network(network.nodes, factor * network.laplacian, network.coupling), 1j * w) for factor in factors]
    return _limit("Theorem 3.1", "lambda_2", factors * network.algebraic_connectivity, rows)


def pole_limit(network: Network, *, pole: complex = 0.0, radii: ArrayLike | None = None) -> Limit:
    """Theorem 3.2 as a sweep: on circles that shrink around a pole of f.

    Parameters
    ----------
    network : Network
        Connected, with a rational coupling.
    pole : complex
        A pole of f; 0 for f = 1/s.
    radii : (P,) float, optional
        Descending; default 1 to 1e-6 rad/s.

    Returns
    -------
    Limit
        Over the radius; eight points of each circle.

    Raises
    ------
    InputError
        `pole` is none of f, or radii that are not positive and descending.
    DisconnectedError
        The network falls apart.
    PoleError
        A point is a pole of T or of a node.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.2.

    Examples
    --------
    >>> from coherence import Network, pole_limit, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> round(pole_limit(network).order, 3)
    1.0
    """
    r = _ascending(np.geomspace(1, 1e-6, 13) if radii is None else radii, "radii", falling=True)
    if not isinstance(network.coupling, Rational):
        raise InputError("the poles of this coupling are not known (it is given by its values); sweep deviation norms yourself")
    poles = np.roots(network.coupling.den)
    if not poles.size or np.abs(poles - pole).min() > 1e-9 * max(1.0, abs(pole)):
        known = ", ".join(f"{x:.4g}" for x in poles) or "none"
        raise InputError(f"{pole:.6g} is no pole of the coupling f (poles: {known}); give one of them")
    require_connected(network.laplacian, network.labels, "coherence")
    circle = np.exp(1j * np.pi * (np.arange(8) / 4 + 0.125))
    return _limit("Theorem 3.2", "|s - pole|", r, [_over(network, pole + radius * circle) for radius in r])


def size_limit(
    nodes: RandomNodes,
    graph: Callable[..., Any],
    sizes: Sequence[int],
    omega: ArrayLike,
    *,
    coupling: Any = "1/s",
    random_state: Any = 0,
) -> Limit:
    """Theorem 3.6 as a sweep: networks of growing size, one draw each; whole ensembles are in `concentration`.

    Parameters
    ----------
    nodes : RandomNodes
    graph : callable
        (n, random_state=Generator) -> Laplacian or networkx graph, connected.
    sizes : sequence of int
        Ascending.
    omega : (F,) float
        The set S [rad/s], > 0 and ascending.
    coupling : as of `Network`
    random_state : int, Generator or None

    Returns
    -------
    Limit
        Over n.

    Raises
    ------
    InputError
        Sizes out of range.
    DisconnectedError
        A drawn graph falls apart.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.6.

    Examples
    --------
    >>> from scipy import stats
    >>> from coherence import RandomNodes, complete_graph, size_limit, swing
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 2), damping=0.5)
    >>> found = size_limit(nodes, complete_graph, [10, 100, 1000], [0.5, 1.0])
    >>> bool(found.exact[-1] < 0.02 * found.exact[0])
    True
    """
    w, counts = _positive(omega), _ascending(sizes, "sizes")
    if not isinstance(nodes, RandomNodes):
        raise InputError(f"nodes is a {type(nodes).__name__}; give RandomNodes, a family with distributions of its coefficients")
    seeds, f = np.random.default_rng(random_state).spawn(len(counts)), coupling_of(coupling)
    rows = []
    for n, seed in zip(counts, seeds, strict=True):
        network = drawn_network(nodes, graph, int(n), f, seed)
        require_connected(network.laplacian, network.labels, "coherence")
        rows.append(_over(network, 1j * w))
    return _limit("Theorem 3.6", "n", counts, rows)


def _positive(omega: ArrayLike) -> Real:
    w = frequencies(omega)
    if w[0] == 0:
        raise InputError("omega[0] = 0; the limit is taken away from poles of the coupling: give frequencies > 0")
    return w


def _limit(theorem: str, parameter: str, values: Real, rows: list[tuple[float, float, float, float]]) -> Limit:
    return Limit(theorem, parameter, values, *np.array(rows).T)


def _over(network: Network, s: Complex) -> tuple[float, float, float, float]:
    """The largest norm over a set, (3.10) with its constants, the largest hull bound, the least effective connectivity."""
    z, f = network.nodes.inverse(s), np.abs(network.coupling(s))
    with np.errstate(divide="ignore"):
        m1 = network.size / np.abs(z.sum(axis=1)).min()
    reach = float(f.min()) * network.algebraic_connectivity
    return (
        float(deviation_norms(network, s).max()),
        _lemma(m1, float(np.abs(z).max()), reach),
        float(hull_bound(network, s).value.max()),
        reach,
    )


def _lemma(m1: float, m2: float, reach: float) -> float:
    """(3.10); infinite where it is silent."""
    below = reach - m2 - m1 * m2**2
    return float((m1 * m2 + 1) ** 2 / below) if np.isfinite(m1) and below > 0 else np.inf


def _ascending(values: Any, name: str, *, falling: bool = False) -> Real:
    given = real_vector(values, name)
    if len(given) < 2 or (given <= 0).any() or (np.diff(given) * (-1 if falling else 1) <= 0).any():
        raise InputError(
            f"{name} = {given[:5].tolist()}; give at least two numbers > 0, {'descending' if falling else 'ascending'}"
        )
    return given


def band_bound(network: Network, eta: ArrayLike) -> Bound:
    """Theorem 3.11: a bound of ||T - g_hat 11'||_2 over every frequency of [0, eta], for each eta.

    Parameters
    ----------
    network : Network
        Connected, of rational nodes and with a rational coupling.
    eta : (F,) float
        Ends of bands [rad/s], > 0 and ascending.

    Returns
    -------
    Bound
        value (F,), in units of T; ingredients M1, M2 and F = inf |f|, each proved for the whole band.

    Raises
    ------
    InputError
        Nodes or a coupling known by values only.
    DisconnectedError
        The network falls apart.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.11.

    Examples
    --------
    >>> from coherence import band_bound, linearize, load_case, supremum
    >>> network = linearize(load_case("iceland"))
    >>> bool(band_bound(network, 1e-3).value[0] >= supremum(network, 0.0, 1e-3).upper)
    True
    """
    ends = frequencies(eta)
    if ends[0] == 0:
        raise InputError("eta[0] = 0; give ends of bands > 0")
    require_nodes(network, "a coherence bound")
    require_connected(network.laplacian, network.labels, "a coherence bound")
    network.nodes.require_rational("a bound over a band")
    if not isinstance(network.coupling, Rational):
        raise InputError("a bound over a band needs a rational coupling f; this one is known by its values only")
    nodes, coupling = balanced(network.nodes), network.coupling
    edges = np.unique(np.concatenate([[0.0], ends, np.geomspace(1e-4 * ends[0], ends[-1], INTERVALS)]))
    left, right = edges[:-1], edges[1:]
    for _ in range(ROUNDS):
        m1, m2, wide = _constants(nodes, left, right)
        if not wide.any():
            break
        middle = 0.5 * (left + right)[wide]
        left, right = np.concatenate([left[~wide], left[wide], middle]), np.concatenate([right[~wide], middle, right[wide]])
        order = np.argsort(left)
        left, right = left[order], right[order]
    m1, m2, _ = _constants(nodes, left, right)
    least_f = _least_coupling(coupling, left, right)
    last = np.searchsorted(right, ends)
    m1, m2, f = np.maximum.accumulate(m1)[last], np.maximum.accumulate(m2)[last], np.minimum.accumulate(least_f)[last]
    value = np.array([_lemma(*each) for each in zip(m1, m2, f * network.algebraic_connectivity, strict=True)])
    return Bound(
        "Theorem 3.11",
        value,
        np.isfinite(value),
        {"M1": m1, "M2": m2, "inf |f|": f},
        "inf |f| lambda_2 > M2 + M1 M2^2 over the band",
    )


def _constants(nodes: Any, left: Real, right: Real) -> tuple[Real, Real, np.ndarray]:
    """M1 and M2 over intervals, and where an interval is too wide for them."""
    middle, radius = 0.5 * (left + right), 0.5 * (right - left)
    z, slope, bend = enclosure(nodes, middle, radius)
    with np.errstate(all="ignore"):
        largest = (np.abs(z) + radius[:, None] * (np.abs(slope) + radius[:, None] * bend)).max(axis=1)
        total = np.abs(z.sum(axis=1))
        least = total - radius * (np.abs(slope.sum(axis=1)) + radius * bend.sum(axis=1))
        good = np.isfinite(largest) & (least > 0)
        wide = ~good | (largest > (1 + WIDE) * np.abs(z).max(axis=1)) | (least < (1 - WIDE) * total)
    return np.where(good, z.shape[1] / np.where(good, least, 1.0), np.inf), np.where(good, largest, np.inf), wide


def _least_coupling(coupling: Rational, left: Real, right: Real) -> Real:
    """Inf |f| over intervals of the axis, from the distances of its zeros and poles."""
    value = np.full(len(left), abs(coupling.num[0] / coupling.den[0]))
    for root in np.roots(coupling.num):
        value *= np.hypot(root.real, np.maximum(np.maximum(left - root.imag, root.imag - right), 0.0))
    for root in np.roots(coupling.den):
        value /= np.hypot(root.real, np.maximum(np.abs(left - root.imag), np.abs(right - root.imag)))
    return value
