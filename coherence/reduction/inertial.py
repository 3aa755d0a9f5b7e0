r"""Undamped modes, and inertial aggregation: the machines of a group tied rigidly together.

    M y'' = -L y,                                          omega_i = sqrt(eig(M^{-1} L))
    M_a = P^T M P,  D_a = P^T D P,  K_a = P^T L P,         omega_a = sqrt(eig(M_a^{-1} K_a))

The pencil (K_a, M_a) is (L, M) on span P, so that omega_i <= omega_a,i <= omega_{n-k+i} for i = 1..k (Courant-Fischer, Poincare);
they are equal on the left where span P is invariant under M^{-1} L, as where every node of a group has the same sum of weights, per
inertia, to each other group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.linalg as sla
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import components
from coherence.graphs.partition import Partition
from coherence.graphs.spectrum import slow_basis
from coherence.network.network import Network, require_nodes
from coherence.nodes.families import swing
from coherence.reduction.refined import require_partition
from coherence.types import Real


@dataclass(frozen=True, eq=False, repr=False)
class InertialAggregation(Page):
    """One swing node per group of machines that are tied rigidly together; see `inertial_aggregation`.

    Attributes
    ----------
    network : Network
        k nodes 1/(m_a s + d_a), labelled by group, joined by P^T L P.
    partition : Partition
    dropped : int
        States of governors, turbines and other sections of the nodes, which are left out.

    Examples
    --------
    >>> from coherence import coherent_groups, inertial_aggregation, linearize, load_case
    >>> network = linearize(load_case("nets_nyps68"), convention="classical")
    >>> inertial_aggregation(network, coherent_groups(network, 5, method="slow_coherency")).frequencies.round(3)
    array([0.   , 2.467, 3.391, 4.479, 4.991])
    """

    network: Network
    partition: Partition
    dropped: int

    @property
    def frequencies(self) -> Real:
        """Undamped modes sqrt(eig(M_a^{-1} K_a)) [rad/s], (k,), ascending from 0."""
        return undamped_frequencies(self.network)

    @property
    def facts(self) -> dict[str, str]:
        """What was left out."""
        return {"states of sections left out": str(self.dropped)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups with inertia and damping, and the undamped modes."""
        groups = self.partition.tables["groups"].assign(inertia=self.network.nodes.inertia, damping=self.network.nodes.damping)
        w = self.frequencies
        index = pd.RangeIndex(1, len(w) + 1, name="mode")
        return {"groups": groups, "undamped modes": pd.DataFrame({"rad/s": w, "Hz": w / (2 * np.pi)}, index=index)}

    def __repr__(self) -> str:
        return f"InertialAggregation({len(self.partition.labels)} -> {self.partition.k} nodes)"


def inertial_aggregation(network: Network, partition: Partition) -> InertialAggregation:
    """The machines of each group tied rigidly together: M_a = P'MP, D_a = P'DP and K_a = P'LP.

    Parameters
    ----------
    network : Network
        Coupling 1/s and nodes m s + d + h(s); the sections h are left out (the quotient of `aggregate` keeps them).
    partition : Partition
        Of network.labels; each group needs inertia.

    Returns
    -------
    InertialAggregation

    Raises
    ------
    InputError
        A partition of other nodes, another coupling, nodes that are no swings, or a group without inertia.

    Notes
    -----
    With the machines' internal nodes in the network (the classical convention, eliminated or not) this is inertial aggregation of
    the literature: the tie is at the rotors rather than at the terminals, which would stiffen the areas.

    References
    ----------
    J. Chow, R. Galarza, P. Accari and W. Price, Inertial and slow coherency aggregation algorithms for power system dynamic
    model reduction (1995).

    Examples
    --------
    >>> from coherence import Network, Partition, inertial_aggregation, swing
    >>> network = Network(swing(inertia=[1, 1, 2], damping=0.1), [[5, -4, -1], [-4, 5, -1], [-1, -1, 2]], "1/s")
    >>> inertial_aggregation(network, Partition.of(["a", "a", "b"], labels=network.labels)).frequencies.round(6)
    array([0.      , 1.414214])
    """
    require_nodes(network, "inertial aggregation")
    require_partition(network, partition)
    _require_swings(network, "inertial aggregation")
    inertia = np.bincount(partition.assignment, network.nodes.inertia)
    lacking = np.flatnonzero(~(inertia > 0))
    if lacking.size:
        raise InputError(f"group {partition.groups[lacking[0]]!r} has no inertia; put its nodes into groups with machines")
    damping = np.bincount(partition.assignment, network.nodes.damping)
    nodes = swing(inertia=inertia, damping=damping, labels=partition.groups)
    dropped = sum(bank.order * len(bank.owner) for bank in network.nodes.banks)
    return InertialAggregation(Network(nodes, network.project(partition).laplacian, network.coupling), partition, dropped)


def undamped_frequencies(network: Network, count: int | None = None) -> Real:
    """Frequencies sqrt(eig(M^{-1} L)) at which the nodes would oscillate with their inertia alone.

    Parameters
    ----------
    network : Network
        Coupling 1/s, inertia at every node.
    count : int, optional
        The least of them only (few of a sparse connected network by shift-invert); all by default.

    Returns
    -------
    (count,) or (n,) float
        rad/s, ascending; one 0 per component.

    Raises
    ------
    InputError
        Another coupling, nodes that are no swings or have no inertia, or a count out of range.

    References
    ----------
    P. Kundur, Power System Stability and Control (1994), Section 12.8.

    Examples
    --------
    >>> from coherence import Network, swing, undamped_frequencies
    >>> undamped_frequencies(Network(swing(inertia=[1, 3], damping=1), [[9, -9], [-9, 9]], "1/s")).round(6)
    array([0.      , 3.464102])
    """
    require_nodes(network, "undamped modes")
    _require_swings(network, "undamped modes")
    inertia, n = network.nodes.inertia, network.size
    if not (inertia > 0).all():
        label = network.labels[int(np.argmin(inertia > 0))]
        raise InputError(f"node {label!r} has no inertia; eliminate passive nodes with network.kron_reduce()")
    if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= n):
        raise InputError(f"count = {count!r}; give a number of modes from 1 to {n}")
    if count is not None and sp.issparse(network.laplacian) and components(network.laplacian).max() == 0:
        return np.sqrt(np.maximum(slow_basis(network.laplacian, int(count), inertia).values, 0.0))
    root = np.sqrt(inertia)
    values = sla.eigh(network.dense_laplacian / np.outer(root, root), eigvals_only=True)
    values[np.abs(values) <= n * np.finfo(float).eps * np.abs(values).max(initial=0.0)] = 0.0  # not the root of rounding
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:count])


def _require_swings(network: Network, what: str) -> None:
    if network.coupling.sentence != "1/s":
        raise InputError(f"{what} needs coupling 1/s; this is {network.coupling.sentence}")
    if (network.nodes.degree > 1).any():
        label = network.labels[int(np.argmax(network.nodes.degree > 1))]
        raise InputError(f"node {label!r} is of relative degree > 1; {what} needs swing-type nodes m s + d + h(s)")
