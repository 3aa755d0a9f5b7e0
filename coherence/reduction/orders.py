r"""Orders of the nodes of a reduced network, chosen together for its error over a band.

Every node is balanced in several ways (turbines, closed loop; weights; truncated, residualised); of each order the model is kept
whose inverse is nearest where it counts: with t_i = P T_k e_i, replacing z_i by z_i + delta moves P T_k P^T by
-t_i delta t_i^T / (1 + delta T_ii), so the cost of an order is

    c_i(r) = max over omega of ||t_i||^2 |delta / (1 + delta T_ii)| / ||T||.

A threshold on c gives all orders at once; the largest threshold whose network meets the tolerance is found by bisection, then
each order is lowered further, the cheapest first, while the network still meets it. A stable
network stays stable; models without inertia, or of negative damping where the node has none, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from coherence.errors import CoherenceError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, concatenate
from coherence.numerics.balancing import Band
from coherence.reduction.search import Samples
from coherence.reduction.truncate import balance_nodes
from coherence.theory.damping import is_stable
from coherence.types import Complex, Int, Real

METHODS = ("truncate", "residualize")
MOST = 8  # the largest order that is tried of a node, beside its own


class NodeModels:
    """Lower orders of the nodes of all groups that come up, each balanced once."""

    def __init__(self, samples: Samples, band: Band) -> None:
        self.samples = samples
        weights: list[dict[str, Any]] = [{}, {"weight": band, "input_weight": band}]
        self.ways = [("turbines", weights[0]), ("turbines", weights[1]), ("closed_loop", weights[1])]
        self._known: dict[tuple[int, ...], list[Nodes]] = {}

    def of(self, members: Int, network: Network, i: int) -> list[Nodes]:
        """The node i of a network, which stands for these members, at its own and at lower orders."""
        key = tuple(members.tolist())
        if key not in self._known:
            self._known[key] = [network.nodes.select([i]), *self._lower(network, i)]
        return self._known[key]

    def _lower(self, network: Network, i: int) -> Iterator[Nodes]:
        order, damping = int(network.nodes.orders[i]), min(0.0, float(network.nodes.damping[i]))
        single = Network(network.nodes.select([i]), np.zeros((1, 1)), network.coupling)
        for part, weights in self.ways:
            balanced = balance_nodes(single, part=part, **weights)._parts[0]
            for lower in range(min(order - 1, MOST), 0, -1):
                for method in METHODS:
                    try:
                        node = balanced.model(lower, method).node
                    except CoherenceError:
                        continue
                    if node.inertia[0] > 0 and node.damping[0] >= damping:
                        yield node


class OrderSearch:
    """Lower orders for the nodes of one reduced network; see the module."""

    def __init__(self, models: NodeModels, partition: Partition, reduced: Network) -> None:
        self.samples, self.partition, self.reduced = models.samples, partition, reduced
        self.laplacian = reduced.dense_laplacian
        self.keeps_stable = is_stable(reduced) is True
        self.choices = [self._rows(i, models.of(np.flatnonzero(partition.assignment == i), reduced, i)) for i in range(partition.k)]

    def _rows(self, i: int, nodes: list[Nodes]) -> dict[int, tuple[float, Nodes, Complex]]:
        """Order -> (cost, model, its inverse over f at the samples), the full order first, costs rising as orders fall."""
        s = self.samples.decay + 1j * self.samples.omega
        f = self.reduced.coupling(s)
        zeta = np.column_stack([node.inverse(s)[:, 0] / f for node in nodes])
        delta = zeta - zeta[:, :1]
        with np.errstate(all="ignore"):
            cost = (self._reach[:, [i]] * np.abs(delta / (1 + delta * self._own[:, [i]]))).max(axis=0)
        rows: dict[int, tuple[float, Nodes, Complex]] = {}
        least = np.inf
        orders = np.array([int(node.orders[0]) for node in nodes])
        for j in np.lexsort((cost, orders)):  # an order that a lower one beats is none
            if np.isfinite(cost[j]) and cost[j] < least:
                rows[int(orders[j])], least = (float(cost[j]), nodes[j], zeta[:, j]), cost[j]
        return dict(sorted(rows.items(), reverse=True))

    @cached_property
    def _response(self) -> Complex:
        return self.samples.model(self.samples.inverses(self.reduced), self.laplacian)

    @cached_property
    def _reach(self) -> Real:
        """||P T_k e_i||^2 / ||T||, times |f|, (F, k)."""
        size = np.einsum("fki,k,fki->fi", self._response.conj(), self.partition.sizes, self._response).real
        return np.asarray(size / self.samples.size[:, None])

    @cached_property
    def _own(self) -> Complex:
        return np.einsum("fii->fi", self._response)

    def meets(self, picked: list[int], tolerance: float) -> bool:
        """Whether the error is within the tolerance, and the network stable where the one of full order is."""
        zeta = np.column_stack([rows[r][2] for rows, r in zip(self.choices, picked, strict=True)])
        errors = self.samples.errors(self.partition, zeta, self.laplacian)
        return bool(errors.max() <= tolerance) and not (self.keeps_stable and is_stable(self.network(picked)) is False)

    def network(self, picked: list[int]) -> Network:
        """With these orders."""
        rows = zip(self.choices, picked, self.partition.groups, strict=True)
        nodes = concatenate([row[r][1].renamed([group]) for row, r, group in rows])
        return Network(nodes, self.laplacian, self.reduced.coupling)

    def lowest(self, tolerance: float) -> list[int]:
        """Orders of the least sum found whose error meets the tolerance; the full ones where none does."""
        levels = np.unique([row[0] for rows in self.choices for row in rows.values()])
        low, high = 0, len(levels)  # levels[low] meets it
        while high - low > 1:
            middle = (low + high) // 2
            if self.meets(self._below(levels[middle]), tolerance):
                low = middle
            else:
                high = middle
        return self._lowered(self._below(levels[low]), tolerance)

    def _below(self, threshold: float) -> list[int]:
        return [min(r for r, row in rows.items() if row[0] <= threshold) for rows in self.choices]

    def _lowered(self, picked: list[int], tolerance: float) -> list[int]:
        moved = True
        while moved:
            moved = False
            options = []
            for i, rows in enumerate(self.choices):
                lower = [r for r in rows if r < picked[i]]
                if lower:
                    options.append((rows[max(lower)][0], i, max(lower)))
            for _, i, r in sorted(options):
                tried = [*picked[:i], r, *picked[i + 1 :]]
                if self.meets(tried, tolerance):
                    picked, moved = tried, True
        return picked
