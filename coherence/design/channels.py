r"""The named signals through which a controller meets a network: the same on a full network and on its reduced model.

    inputs    p[g]          power injected at a group, shared by its nodes as W says
    outputs   w[g]          C y, a weighted mean of the group's outputs; its center of inertia by default
              CoI           center of inertia of all
              export[g]     (I_g^T f L y): power that leaves the group over its lines
              tie[a-b]      power over the lines from group a to group b

Without a partition every node is a group of its own. A controller designed on the reduced network, whose nodes are the groups,
therefore finds its signals on the full one by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from coherence.design.sharing import Shares, shared
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes, signal_names
from coherence.nodes.nodes import unknown_name
from coherence.types import Real

NOTHING = 1e-14  # of the largest coupling between groups: rounding


@dataclass(frozen=True, eq=False)
class Channels:
    """Rows and columns of named signals; see `channels`.

    Attributes
    ----------
    groups : tuple of str
    indicator, actuators : (n, k) sparse
        Which nodes are whose, and W.
    weights : (k, n) sparse
        C.
    """

    network: Network
    groups: tuple[str, ...]
    indicator: sp.csr_array  # (n, k)
    actuators: sp.csr_array
    weights: sp.csr_array

    @cached_property
    def powers(self) -> dict[str, int]:
        """Name p[g] -> column of W."""
        return {name: i for i, name in enumerate(signal_names([f"p[{g}]" for g in self.groups]))}

    @cached_property
    def outputs(self) -> dict[str, tuple[str, int, int]]:
        """Name of a measurement -> what it is, and of which group or groups."""
        named = {f"w[{g}]": ("w", i, i) for i, g in enumerate(self.groups)}
        if self.network.nodes.inertia.sum() > 0:
            named["CoI"] = ("CoI", 0, 0)
        named |= {f"export[{g}]": ("export", i, i) for i, g in enumerate(self.groups)}
        named |= {f"tie[{self.groups[a]}-{self.groups[b]}]": ("tie", a, b) for a, b in self._joined()}
        return dict(zip(signal_names(list(named)), named.values(), strict=True))

    def _joined(self) -> list[tuple[int, int]]:
        """Pairs of groups that lines join."""
        between = sp.coo_array(self.indicator.T @ self._laplacian @ self.indicator)
        there = np.abs(between.data) > NOTHING * np.abs(between.data).max(initial=0.0)
        pairs = zip(between.row[there].tolist(), between.col[there].tolist(), strict=True)
        return sorted((a, b) for a, b in pairs if a < b)

    @cached_property
    def _laplacian(self) -> sp.csr_array:
        return sp.csr_array(self.network.laplacian)

    def measurement(self, name: str) -> tuple[Real, Real]:
        """The rows of F and R of a name, (n,) each."""
        if name not in self.outputs:
            raise UnknownNameError(unknown_name("measured signal", name, list(self.outputs)))
        kind, a, b = self.outputs[name]
        none = np.zeros(self.network.size)
        if kind == "w":
            return self._weighted(self.weights[[a]].toarray()[0], a), none
        if kind == "CoI":
            inertia = self.network.nodes.inertia
            return inertia / inertia.sum(), none
        flow = self._export(a) if kind == "export" else self._tie(a, b)
        return none, flow - flow.mean()  # sums to 0 to the last digits

    def _export(self, group: int) -> Real:
        return np.asarray(self._laplacian @ self.indicator[:, [group]].toarray()[:, 0])

    def _tie(self, a: int, b: int) -> Real:
        out = np.zeros(self.network.size)
        mine, other = (self.indicator[:, [group]].toarray()[:, 0] for group in (a, b))
        out -= mine * (self._laplacian @ other)
        out += other * (self._laplacian @ mine)
        return out

    def power(self, name: str) -> Real:
        """The column of W of a name, (n,)."""
        if name not in self.powers:
            raise UnknownNameError(unknown_name("control power", name, list(self.powers)))
        group = self.powers[name]
        return self._weighted(self.actuators[:, [group]].toarray()[:, 0], group)

    def _weighted(self, weights: Real, group: int) -> Real:
        if not weights.any():
            raise InputError(f"no node of group {self.groups[group]!r} has a weight > 0 in `shares` or `measured`; give one")
        return weights


def channels(
    network: Network, partition: Partition | None = None, *, shares: Shares = "inertia", measured: Shares = "shares"
) -> Channels:
    """The signals of a network's nodes, or of groups of them.

    Parameters
    ----------
    network : Network
    partition : Partition, optional
        None: every node is a group.
    shares : "inertia", "equal" or node -> weight
        How the nodes of a group share its control power.
    measured : "shares", "inertia", "equal" or node -> weight
        The mean that w[g] is: "shares" measures where the power acts, with the same weights (collocated: what is passive at the
        groups stays passive at the nodes); "inertia" is the center of inertia of the group, whatever the shares.

    Raises
    ------
    InputError, UnknownNameError
        See `sharing.shared`.
    """
    require_nodes(network, "a plant")
    if partition is None:
        own = sp.csr_array(sp.eye_array(network.size))
        return Channels(network, network.labels, own, own, own)
    if not isinstance(partition, Partition):
        raise InputError(f"the partition is a {type(partition).__name__}; give a Partition, as coherent_groups does")
    w = shared(network, partition, shares)
    same = isinstance(measured, str) and measured == "shares"
    c = (w if same else shared(network, partition, measured, "measured")).T
    return Channels(network, tuple(partition.groups), *map(sp.csr_array, (partition.indicator, w, c)))


def require_partition_of(network: Network, partition: Partition | None, reduced: Network) -> None:
    """Refuse a reduced network whose nodes are not the groups."""
    for one in (network, reduced):
        require_nodes(one, "a check")
    if partition is not None and not isinstance(partition, Partition):
        raise InputError(f"the partition is a {type(partition).__name__}; give a Partition, as coherent_groups does")
    if partition is None:
        if reduced.labels != network.labels:
            raise InputError("the two networks have other nodes; give the partition whose groups are the nodes of the reduced one")
    elif tuple(partition.groups) != reduced.labels:
        raise InputError(
            f"the nodes of the reduced network ({', '.join(reduced.labels[:4])}) are not the groups of the partition "
            f"({', '.join(partition.groups[:4])})"
        )
