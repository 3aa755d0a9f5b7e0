r"""Passivity of nodes and what it guarantees: Theorem 3.4 with its constant, node by node.

A node is output strictly passive with index eps > 0 if Re g(s) >= eps |g(s)|^2, that is Re g^{-1}(s) >= eps, on Re s > 0. For
g^{-1} = m s + d + h(s), h strictly proper and stable, m >= 0, that is the least of Re g^{-1} on the axis:

    eps = inf_w [ d + Re h(jw) ].

If all nodes have eps_i >= eps > 0 and f is positive real, then ||T||_inf, ||T_k||_inf <= gamma = 1/eps for every Laplacian: with
Y y = u, Re y^* u = Re y^* G^{-1} y + Re f y^* L y >= eps |y|^2, so |y| <= |u|/eps. Where it fails nothing follows: stability is
computed.

The infimum by level sets: Re g^{-1}(jw) = l where a Hamiltonian matrix has an imaginary eigenvalue jw; the middles of the intervals
between crossings give lower levels until there is no crossing below. All nodes of one order at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.numerics.rational import Rational
from coherence.types import Int, Real

TOLERANCE = 1e-10  # of a level, relative to the largest |Re h| met
ROUNDS = 60  # of lowering it; each at least halves the number of intervals
DENSE_STATES = 1500  # of which stability is computed where passivity does not give it


@dataclass(frozen=True, eq=False, repr=False)
class Passivity(Page):
    """Output strict passivity of every node, and what follows; see `passivity`.

    Attributes
    ----------
    nodes : DataFrame
        node -> index (inf Re 1/g on the axis), at_rad_s (where; inf: approached there), passive, reason (where it is not).
    coupling_positive_real : bool
    gamma : float
        Bound on ||T||_inf and ||T_k||_inf for every Laplacian; infinite where nothing follows.
    stability : str
        What is known about the interconnection, and why.

    Examples
    --------
    >>> from coherence import Network, passivity, swing
    >>> found = passivity(Network(swing(inertia=[1, 2], damping=[0.5, 2]), [[1, -1], [-1, 1]], "1/s"))
    >>> found.gamma, found.nodes["index"].tolist()
    (2.0, [0.5, 2.0])
    """

    nodes: pd.DataFrame
    coupling_positive_real: bool
    gamma: float
    stability: str

    def __repr__(self) -> str:
        count = int(self.nodes["passive"].sum())
        return f"Passivity({count} of {len(self.nodes)} nodes output strictly passive; gamma = {self.gamma:.4g})"

    @property
    def facts(self) -> dict[str, str]:
        """What follows."""
        coupling = "positive real" if self.coupling_positive_real else "not positive real"
        worst = int(self.nodes["index"].argmin())
        return {
            "coupling f": coupling,
            "least index": f"{self.nodes['index'].min():.4g} at node {self.nodes.index[worst]!r}, "
            f"{self.nodes['at_rad_s'].iloc[worst]:.4g} rad/s",
            "stability": self.stability,
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Node by node."""
        return {"nodes": self.nodes}


def passivity(network: Network) -> Passivity:
    """Output strict passivity of the nodes, positive realness of f, and the H-infinity guarantee for every Laplacian.

    Parameters
    ----------
    network : Network
        Of rational nodes.

    Returns
    -------
    Passivity
        Where a node is not passive or f not positive real, gamma is infinite and stability is computed from the poles.

    Raises
    ------
    InputError
        Nodes known by their response only, or a network projected on a basis.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.4 and Lemma 3.3 (its constant there is 2/eps); derivation in the module.

    Examples
    --------
    >>> from coherence import linearize, load_case, passivity
    >>> passivity(linearize(load_case("iceland"))).nodes["passive"].sum()
    np.int64(16)
    """
    network._need_nodes("passivity")
    network.nodes.require_rational("passivity")
    table = passivity_indices(network.nodes)
    real = isinstance(network.coupling, Rational) and network.coupling.is_positive_real()
    least = float(table["index"].min())
    if real and bool(table["passive"].all()):
        return Passivity(table, real, 1.0 / least, f"stable for every Laplacian, with ||T||_inf <= {1 / least:.4g}")
    odd = [str(label) for label in table.index[~table["passive"]]]
    why = (
        "f is not positive real"
        if not odd
        else f"not output strictly passive: {', '.join(odd[:3])}" + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
    )
    return Passivity(table, real, np.inf, f"{_computed(network)} ({why}, so passivity gives no guarantee)")


def _computed(network: Network) -> str:
    if network.nodes.passive.any() or network.order > DENSE_STATES:
        return "not computed for passive buses or this many states"
    poles = network.poles()
    if not poles.size:
        return "no poles"
    verdict = "stable" if network.realization.is_stable() else "not stable"
    return f"{verdict} by its poles, the largest real part is {poles[0].real:.4g} 1/s"


def passivity_indices(nodes: Nodes) -> pd.DataFrame:
    """The table of `Passivity` for nodes alone.

    Raises
    ------
    InputError
        Nodes known by their response only.
    """
    nodes.require_rational("passivity")
    index, at = nodes.damping.copy(), np.full(len(nodes), np.inf)
    reason = np.full(len(nodes), "", dtype=object)
    order = np.zeros(len(nodes), dtype=int)
    for bank in nodes.banks:
        np.add.at(order, bank.owner, bank.order)
    for size in np.unique(order[order > 0]):
        mine = np.flatnonzero(order == size)
        a, b, c = _stacked(nodes, mine, int(size))
        unstable = np.linalg.eigvals(a).real.max(axis=1) >= 0
        lowest, where = _least_real_part(a[~unstable], b[~unstable], c[~unstable])
        index[mine[~unstable]] += lowest
        at[mine[~unstable]] = where
        index[mine[unstable]], at[mine[unstable]] = -np.inf, np.nan
        reason[mine[unstable]] = "the inverse has a pole in Re s >= 0"
    leading = nodes.polynomial[2:] != 0
    steep = leading.any(axis=0)
    index[steep], reason[steep] = -np.inf, "relative degree above 1: Re 1/g has no lower bound or s^2 takes part"
    falling = nodes.inertia < 0
    index[falling], reason[falling] = -np.inf, "negative inertia: not positive real off the axis"
    low = (index <= 0) & (reason == "")
    reason[low] = "Re 1/g falls to its index"
    return pd.DataFrame(
        {"index": index, "at_rad_s": at, "passive": index > 0, "reason": reason}, index=pd.Index(nodes.labels, name="node")
    )


def _stacked(nodes: Nodes, mine: Int, size: int) -> tuple[Real, Real, Real]:
    """The sections of each node of one total order as one system, (m, size, size), (m, size), (m, size)."""
    position = {int(node): i for i, node in enumerate(mine)}
    a, b, c = np.zeros((len(mine), size, size)), np.zeros((len(mine), size)), np.zeros((len(mine), size))
    filled = np.zeros(len(mine), dtype=int)
    for bank in nodes.banks:
        for j in np.flatnonzero(np.isin(bank.owner, mine)):
            i = position[int(bank.owner[j])]
            rows = slice(filled[i], filled[i] + bank.order)
            a[i, rows, rows], b[i, rows], c[i, rows] = bank.a[j], bank.b[j], bank.c[j]
            filled[i] += bank.order
    return a, b, c


def _least_real_part(a: Real, b: Real, c: Real) -> tuple[Real, Real]:
    """inf_w Re c (jw - A)^{-1} b and where, for a stack of stable systems; 0 at infinity is among the values."""
    count = len(b)
    if not count:
        return np.zeros(0), np.zeros(0)
    poles = np.abs(np.linalg.eigvals(a))
    trials = np.hstack([np.zeros((count, 1)), poles, 3 * poles, poles / 3])
    values = _real_part(a, b, c, trials)
    level, at = np.zeros(count), np.full(count, np.inf)
    best = values.argmin(axis=1)
    lower = values[np.arange(count), best] < level
    level[lower], at[lower] = values.min(axis=1)[lower], trials[np.arange(count), best][lower]
    scale = np.maximum(np.abs(values).max(axis=1), np.finfo(float).tiny)
    active = np.arange(count)
    for _ in range(ROUNDS):
        target = level[active] - TOLERANCE * scale[active]
        crossings = _crossings(a[active], b[active], c[active], target)
        ends = np.sort(np.where(np.isnan(crossings), np.inf, crossings), axis=1)
        middles = np.where(np.isfinite(ends[:, 1:]), 0.5 * (ends[:, :-1] + ends[:, 1:]), 0.0)
        middles = np.hstack([middles, 0.5 * np.where(np.isfinite(ends[:, :1]), ends[:, :1], 0.0)])
        found = _real_part(a[active], b[active], c[active], middles)
        best = found.argmin(axis=1)
        value = found[np.arange(len(active)), best]
        better = value < target
        level[active[better]] = value[better]
        at[active[better]] = middles[np.arange(len(active)), best][better]
        active = active[better]
        if not active.size:
            return level, at
    raise InputError("the passivity index of a node was not found; its sections are too ill-conditioned")


def _real_part(a: Real, b: Real, c: Real, w: Real) -> Real:
    """Re c (jw - A)^{-1} b for a stack of systems at trial frequencies of each, (m, trials)."""
    shifted = 1j * w[..., None, None] * np.eye(b.shape[1]) - a[:, None]
    return np.asarray(np.einsum("no,nto->nt", c, np.linalg.solve(shifted, b[:, None, :, None])[..., 0]).real)


def _crossings(a: Real, b: Real, c: Real, level: Real) -> Real:
    """Frequencies at which Re c (jw - A)^{-1} b = level < 0, (m, 2 order), NaN where an eigenvalue is off the axis."""
    r = 1.0 / (-2.0 * level)[:, None, None]  # of h + h^* - 2 level
    bc, bb, cc = b[:, :, None] * c[:, None, :], b[:, :, None] * b[:, None, :], c[:, :, None] * c[:, None, :]
    top = np.concatenate([a - r * bc, -r * bb], axis=2)
    bottom = np.concatenate([r * cc, -(a - r * bc).swapaxes(1, 2)], axis=2)
    values = np.linalg.eigvals(np.concatenate([top, bottom], axis=1))
    size = np.abs(values).max(axis=1, keepdims=True)
    on_axis = np.abs(values.real) <= 1e-7 * size
    return np.where(on_axis & (values.imag >= 0), values.imag, np.nan)
