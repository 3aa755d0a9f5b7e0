r"""Passivity of nodes and what it guarantees: Theorem 3.4 with its constant, node by node.

A node is output strictly passive with index eps > 0 if Re g(s) >= eps |g(s)|^2, that is Re g^{-1}(s) >= eps, on Re s > 0. For
g^{-1} = m s + d + h(s), h strictly proper and stable, m >= 0, that is the least of Re g^{-1} on the axis:

    eps = inf_w [ d + Re h(jw) ].

If all nodes have eps_i >= eps > 0 and f is positive real, then ||T||_inf, ||T_k||_inf <= gamma = 1/eps for every Laplacian: with
Y y = u, Re y^* u = Re y^* G^{-1} y + Re f y^* L y >= eps |y|^2, so |y| <= |u|/eps. Where it fails nothing follows: stability is
computed.

A simple pole of g^{-1} at 0 with positive residue (integral action, k/s) is allowed: it adds nothing to the real part on the axis.

The infimum from samples around every pole, then by level sets: Re h(jw) = l only where jw is a zero of h(s) + h(-s) - 2 l, an
eigenvalue of a pencil that stays regular as l tends to 0. Between neighbouring candidates the sign does not change, so their
middles say whether anything lies below l; what does is the next level, until nothing does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.linalg as sla

from coherence.display import Page
from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.network.network import Network, require_nodes
from coherence.nodes.compression import with_few_sections
from coherence.nodes.nodes import Nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import without_hidden
from coherence.types import Int, Real

TOLERANCE = 1e-9  # of a level, relative to the largest |Re h| met
ROUNDS = 60  # of lowering it
AROUND = np.tan(np.linspace(-1.5, 1.5, 31))  # widths of a pole at which its neighbourhood is sampled
DENSE_SECTIONS = 150  # states of sections beyond which a node is compressed first; what that may lose is taken off the index
STACKED = 20  # states up to which the sections of a node are one matrix in samples
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
    >>> found.damping_to_passive.tolist()
    [0.0, 0.0]
    """

    nodes: pd.DataFrame
    coupling_positive_real: bool
    gamma: float
    stability: str

    def __repr__(self) -> str:
        count = int(self.nodes["passive"].sum())
        return f"Passivity({count} of {len(self.nodes)} nodes output strictly passive; gamma = {self.gamma:.4g})"

    @property
    def damping_to_passive(self) -> pd.Series:
        """Damping (the constant of 1/g) beyond which each node is output strictly passive: 0 where it is, inf where none helps.

        It is -index, since damping adds to Re 1/g at every frequency alike.
        """
        needed = np.where(self.nodes["index"] >= 0, 0.0, -self.nodes["index"])
        return pd.Series(needed, index=self.nodes.index, name="damping_to_passive")

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
        Of rational nodes. Nodes without dynamics (passive buses) are eliminated first; they take nothing from a guarantee.

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
    require_nodes(network, "passivity")
    network.nodes.require_rational("passivity")
    if network.nodes.passive.any():
        network = network.kron_reduce()
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
    if network.order > DENSE_STATES:
        return f"not computed for {network.order} states"
    system = without_hidden(network.realization)  # integrators of nodes and of the coupling may repeat each other
    poles = system.poles()
    if not poles.size:
        return "no poles"
    verdict = "stable" if system.is_stable() else "not stable"
    return f"{verdict} by its poles, the largest real part is {poles[0].real:.4g} 1/s"


def passivity_indices(nodes: Nodes) -> pd.DataFrame:
    """The table of `Passivity` for nodes alone.

    Raises
    ------
    InputError
        Nodes known by their response only.
    """
    nodes.require_rational("passivity")
    nodes, pulling = _without_integrators(nodes)
    index, at = nodes.damping.copy(), np.full(len(nodes), np.inf)
    reason = np.full(len(nodes), "", dtype=object)
    order = np.zeros(len(nodes), dtype=int)
    for bank in nodes.banks:
        np.add.at(order, bank.owner, bank.order)
    for i in np.flatnonzero(order > DENSE_SECTIONS):
        try:
            few, lost = with_few_sections(nodes.select([int(i)]))
        except (InstabilityError, ToleranceError):
            continue  # as one matrix, below
        if few.order > DENSE_SECTIONS / 2:
            continue
        row = passivity_indices(few).iloc[0]
        index[i], at[i], reason[i], order[i] = row["index"] - lost, row["at_rad_s"], row["reason"], 0
    for size in np.unique(order[order > 0]):
        mine = np.flatnonzero(order == size)
        a, b, c = _stacked(nodes, mine, int(size))
        unstable = np.linalg.eigvals(a).real.max(axis=1) >= 0
        lowest, where = _least_real_part(a[~unstable], b[~unstable], c[~unstable], _sections(nodes, mine[~unstable], int(size)))
        index[mine[~unstable]] += lowest
        at[mine[~unstable]] = where
        index[mine[unstable]], at[mine[unstable]] = -np.inf, np.nan
        reason[mine[unstable]] = "the inverse has a pole in Re s >= 0"
    leading = nodes.polynomial[2:] != 0
    steep = leading.any(axis=0)
    index[steep], reason[steep] = -np.inf, "relative degree above 1: Re 1/g has no lower bound or s^2 takes part"
    falling = nodes.inertia < 0
    index[falling], reason[falling] = -np.inf, "negative inertia: not positive real off the axis"
    index[pulling], at[pulling], reason[pulling] = -np.inf, 0.0, "the inverse has a pole at 0 with negative residue"
    low = (index <= 0) & (reason == "")
    reason[low] = "Re 1/g is not positive everywhere on the axis"
    return pd.DataFrame(
        {"index": index, "at_rad_s": at, "passive": index > 0, "reason": reason}, index=pd.Index(nodes.labels, name="node")
    )


def _without_integrators(nodes: Nodes) -> tuple[Nodes, Int]:
    """The nodes without their sections k/s, and which of them have a negative k."""
    kept, residue = [], np.zeros(len(nodes))
    for bank in nodes.banks:
        integrators = (bank.a[:, 0, 0] == 0.0) if bank.order == 1 else np.zeros(len(bank.owner), dtype=bool)
        np.add.at(residue, bank.owner[integrators], (bank.b[integrators, 0] * bank.c[integrators, 0]) if integrators.any() else [])
        rest = np.flatnonzero(~integrators)
        if rest.size:
            kept.append(bank.select(rest, bank.owner[rest]))
    return replace(nodes, banks=tuple(kept)), np.flatnonzero(residue < 0)


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


def _sections(nodes: Nodes, mine: Int, size: int) -> list[Nodes]:
    """Each node without its polynomial, where one has so many states that its sections are better evaluated one by one."""
    if size <= STACKED:
        return []
    alone = replace(nodes, polynomial=np.zeros((1, len(nodes))))
    return [alone.select([int(i)]) for i in mine]


def _least_real_part(a: Real, b: Real, c: Real, sections: list[Nodes]) -> tuple[Real, Real]:
    """inf_w Re c (jw - A)^{-1} b and where, for a stack of stable systems; 0 at infinity is among the values."""
    count = len(b)

    def real_part(i: int, w: Real) -> Real:
        if sections:
            return np.asarray(sections[i].inverse(1j * w)[:, 0].real)
        return np.asarray(_real_part(a[i : i + 1], b[i : i + 1], c[i : i + 1], w[None])[0])

    if not count:
        return np.zeros(0), np.zeros(0)
    poles = np.linalg.eigvals(a)
    near = np.abs(np.abs(poles.imag)[..., None] + np.abs(poles.real)[..., None] * AROUND).reshape(count, -1)
    trials = np.hstack([np.zeros((count, 1)), near, np.abs(poles), 3 * np.abs(poles), np.abs(poles) / 3])
    values = np.stack([real_part(i, w) for i, w in enumerate(trials)]) if sections else _real_part(a, b, c, trials)
    best = values.argmin(axis=1)
    lowest = values[np.arange(count), best]
    level, at = np.minimum(lowest, 0.0), np.where(lowest < 0, trials[np.arange(count), best], np.inf)
    scale = np.maximum(np.abs(values).max(axis=1), np.finfo(float).tiny)
    for i in range(count):
        for _ in range(ROUNDS):
            target = level[i] - TOLERANCE * scale[i]
            w = _candidates(a[i], b[i], c[i], target)
            found = real_part(i, w)
            if not found.size or found.min() >= target:
                break
            level[i], at[i] = found.min(), w[int(found.argmin())]
        else:
            raise InputError("the passivity index of a node was not found; its sections are too ill-conditioned")
    return level, at


def _candidates(a: Real, b: Real, c: Real, level: float) -> Real:
    """Frequencies between which Re c (jw - A)^{-1} b does not cross the level, and the middles between them."""
    m = len(b)
    unit = float(np.exp(np.log(np.abs(np.linalg.eigvals(a))).mean()))  # of time: the mean size of the poles
    left, right = np.zeros((2 * m + 1, 2 * m + 1)), np.zeros((2 * m + 1, 2 * m + 1))
    left[:m, :m], left[m : 2 * m, m : 2 * m] = a / unit, -a.T / unit
    size = float(np.sqrt(np.linalg.norm(b) * np.linalg.norm(c) / unit)) or 1.0
    spread = np.sqrt(np.linalg.norm(b) / np.linalg.norm(c)) if b.any() and c.any() else 1.0
    drive, out = b / (spread * np.sqrt(unit)), c * spread / np.sqrt(unit)
    left[:m, -1], left[m : 2 * m, -1] = drive, -out
    left[-1, :m], left[-1, m : 2 * m] = out, drive
    left[-1, -1] = -2.0 * level
    left[-1] /= size
    left[:, -1] /= size
    right[: 2 * m, : 2 * m] = np.eye(2 * m)
    zeros = sla.eigvals(left, right, check_finite=False)
    zeros = zeros[np.isfinite(zeros)] * unit
    w = np.unique(np.concatenate([[0.0], np.abs(zeros.imag), np.abs(zeros)]))
    middle = 0.5 * (w[1:] + w[:-1])
    return np.concatenate([w, middle, np.sqrt(w[1:] * w[:-1]), [2.0 * w[-1] + unit]])


def _real_part(a: Real, b: Real, c: Real, w: Real) -> Real:
    """Re c (jw - A)^{-1} b for a stack of systems at trial frequencies of each, (m, trials)."""
    shifted = 1j * w[..., None, None] * np.eye(b.shape[1]) - a[:, None]
    return np.asarray(np.einsum("no,nto->nt", c, np.linalg.solve(shifted, b[:, None, :, None])[..., 0]).real)
