r"""Outages as values: the network afterwards, and the disturbance that brings it there from the steady operation before.

In deviations from the operating point before the fault, opening a line that carried the power p from a to b leaves

    G^{-1} y + f L' y = u,   L' without the line,   u = p (e_a - e_b) from then on,

since a need no longer send p and b misses it; losing a unit that fed in P takes its inverse dynamics out of the sum and leaves
u = -P e_i: the bus stays, passive. Coefficients are those of the operating point before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Bank, Nodes
from coherence.simulation.disturbances import Disturbance, Step


@dataclass(frozen=True, eq=False, repr=False)
class Outage(Page):
    """What is left of a network, and the disturbance that the loss is; `simulate(outage.network, outage.disturbance)`.

    Attributes
    ----------
    network : Network
    disturbance : Disturbance
    what : str

    Examples
    --------
    >>> from coherence import Network, line_outage, swing
    >>> nodes = swing(inertia=[1, 1, 1], damping=1, labels=["a", "b", "c"])
    >>> triangle = Network(nodes, [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]], "1/s")
    >>> outage = line_outage(triangle, "a", "b", flow=0.3)
    >>> outage, round(outage.network.algebraic_connectivity, 9)
    (Outage(line 'a' - 'b', which carried 0.3 pu), 1.0)
    """

    network: Network
    disturbance: Disturbance
    what: str

    def kron_reduce(self) -> Outage:
        """The same on the network without passive nodes, with a dense Laplacian: what guarantees are given for."""
        return Outage(self.network.kron_reduce(), self.disturbance.kron_reduced(self.network), self.what)

    def __repr__(self) -> str:
        return f"Outage({self.what})"


def line_outage(network: Network, a: str, b: str, *, flow: float, weight: float | None = None, start: float = 0.0) -> Outage:
    """The loss of a line (an edge, or a part of its weight) that carried a flow.

    Parameters
    ----------
    network : Network
        Of nodes; grids: with its buses kept (`linearize(case, passive="keep")`), so that edges are lines.
    a, b : str
        The nodes it joined.
    flow : float
        What it carried from a to b [grids: pu of base_mva].
    weight : float, optional
        Of the line lost [grids: pu/rad], where several are parallel; the whole edge by default.
    start : float
        When [s].

    Returns
    -------
    Outage

    Raises
    ------
    UnknownNameError
        There is no such node.
    InputError
        There is no such edge, or it is weaker than the weight given.
    DisconnectedError
        The network falls apart without the line.

    Examples
    --------
    >>> from coherence import line_outage, linearize, load_case
    >>> network = linearize(load_case("new_england39"), passive="keep")
    >>> a, b = next((i, j) for i, j in network.to_networkx().edges)
    >>> line_outage(network, a, b, flow=0.5).network.size == network.size
    True
    """
    require_nodes(network, "a line outage")
    i, j = network.index(a), network.index(b)
    held = -float(network.laplacian[i, j])
    if i == j or held == 0:
        raise InputError(f"there is no edge between {a!r} and {b!r}; grids: keep the buses with linearize(case, passive='keep')")
    lost = held if weight is None else float(weight)
    if not np.isfinite(flow):
        raise InputError(f"flow = {flow}; give what the line carried, a finite number")
    if not (np.isfinite(lost) and abs(lost) <= abs(held) * (1 + 1e-9) and lost * held > 0):
        raise InputError(f"weight = {weight}; the edge between {a!r} and {b!r} has {held:.6g}, of which a line is at most all")
    lost = held if abs(lost - held) <= 1e-9 * abs(held) else lost
    change = sp.coo_array(([lost, lost, -lost, -lost], ([i, j, i, j], [i, j, j, i])), shape=network.laplacian.shape)
    if sp.issparse(network.laplacian):
        left = sp.csr_array(network.laplacian - change)
        left.eliminate_zeros()
    else:
        left = network.laplacian - change.toarray()
    require_connected(left, network.labels, f"the network without the line {a!r} - {b!r}")
    what = f"line {a!r} - {b!r}, which carried {flow:g} pu"
    return Outage(Network(network.nodes, left, network.coupling), Step({a: flow, b: -flow}, start=start), what)


def unit_outage(network: Network, label: str, *, power: float, share: float = 1.0, start: float = 0.0) -> Outage:
    """The loss of a unit with its inertia, damping and governor; its node stays.

    Parameters
    ----------
    network : Network
        Of nodes.
    label : str
        The node.
    power : float
        What the unit fed in [grids: pu of base_mva].
    share : float
        Of the node's dynamics that is lost, where several units stand at it; 0 < share <= 1.
    start : float
        When [s].

    Returns
    -------
    Outage

    Raises
    ------
    UnknownNameError
        There is no such node.
    InputError
        A share that is none, or a node without dynamics.

    Examples
    --------
    >>> from coherence import linearize, load_case, unit_outage
    >>> network = linearize(load_case("iceland"))
    >>> outage = unit_outage(network, "Blanda 1", power=0.38)
    >>> float(network.nodes.inertia.sum()) > float(outage.network.nodes.inertia.sum())
    True
    """
    require_nodes(network, "a unit outage")
    i, nodes = network.index(label), network.nodes
    if not np.isfinite(power):
        raise InputError(f"power = {power}; give what the unit fed in, a finite number")
    if not (np.isfinite(share) and 0 < share <= 1):
        raise InputError(f"share = {share}; give the part of the node's dynamics that is lost, above 0 and at most 1")
    if nodes.passive[i]:
        raise InputError(f"node {label!r} has no dynamics, so it has no unit to lose; give the node of a machine")
    nodes.require_rational("a unit outage")
    left = np.ones(len(nodes))
    left[i] = 1.0 - share
    banks: tuple[Bank, ...] = nodes.banks
    if share == 1.0:
        banks = tuple(bank.select(np.flatnonzero(bank.owner != i), bank.owner[bank.owner != i]) for bank in banks)
    rest = Nodes(nodes.labels, nodes.polynomial, tuple(bank for bank in banks if len(bank.owner))).scaled(left)
    what = f"unit at {label!r}, which fed in {power:g} pu"
    return Outage(Network(rest, network.laplacian, network.coupling), Step({label: -power}, start=start), what)
