r"""Orders of the nodes of a reduced network, chosen together for its error over a band.

Every node is balanced in several ways (turbines, closed loop; weights; truncated, residualised); of each order the model is kept
whose inverse is nearest where it counts: with t_i = P T_k e_i, replacing z_i by z_i + delta moves P T_k P^T by
-t_i delta t_i^T / (1 + delta T_ii), so the cost of an order is

    c_i(r) = max over omega of ||t_i||^2 |delta / (1 + delta T_ii)| / ||T||.

A threshold on c gives all orders at once; the largest threshold whose network meets the tolerance is found by bisection, then
each order is lowered further, the largest saving first, while the network still meets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coherence.errors import CoherenceError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, concatenate
from coherence.numerics.balancing import Band
from coherence.reduction.search import Samples
from coherence.reduction.truncate import balance_nodes
from coherence.types import Complex, Int, Real

VARIANTS = (("turbines", None), ("turbines", "band"), ("closed_loop", "band"))
METHODS = ("truncate", "residualize")
MOST = 8  # orders below the full one that are tried of a node


@dataclass(frozen=True)
class Candidate:
    """A node of lower order and its inverse at the samples, over f."""

    node: Nodes
    zeta: Complex


class OrderSearch:
    """Lower orders for the nodes of one reduced network; see the module."""

    def __init__(self, samples: Samples, partition: Partition, reduced: Network, band: tuple[float, float]) -> None:
        self.samples, self.partition, self.reduced, self.band = samples, partition, reduced, band
        self.laplacian = reduced.dense_laplacian
        self.zeta = samples.inverses(reduced)
        self.orders: Int = np.asarray(reduced.nodes.orders)

    @cached_property
    def library(self) -> list[dict[int, tuple[float, Candidate]]]:
        """Of each node: order -> (cost, the best model), the full order first, costs rising as orders fall."""
        model = self.samples.model(self.zeta, self.laplacian)
        reach = np.einsum("fki,k,fki->fi", model.conj(), self.partition.sizes, model).real / self.samples.size[:, None]
        own = np.einsum("fii->fi", model)
        found: list[dict[int, tuple[float, Candidate]]] = []
        for i, order in enumerate(self.orders):
            node = self.reduced.nodes.select([i])
            rows = {int(order): (0.0, Candidate(node, self.zeta[:, i]))}
            for lower in range(min(int(order) - 1, MOST), 0, -1):
                for candidate in self._models(i, lower):
                    delta = candidate.zeta - self.zeta[:, i]
                    with np.errstate(all="ignore"):
                        cost = float((reach[:, i] * np.abs(delta / (1 + delta * own[:, i]))).max())
                    actual = int(candidate.node.orders[0])
                    if np.isfinite(cost) and (actual not in rows or cost < rows[actual][0]):
                        rows[actual] = cost, candidate
            kept, least = {}, np.inf
            for r in sorted(rows):  # an order that a lower one beats is none
                if rows[r][0] < least:
                    kept[r], least = rows[r], rows[r][0]
            found.append(dict(sorted(kept.items(), reverse=True)))
        return found

    @cached_property
    def _balanced(self) -> list[object]:
        weights = {None: {}, "band": {"weight": Band(*self.band), "input_weight": Band(*self.band)}}
        return [balance_nodes(self.reduced, part=part, **weights[weight]) for part, weight in VARIANTS]

    def _models(self, i: int, order: int) -> list[Candidate]:
        out = []
        for balanced in self._balanced:
            for method in METHODS:
                try:
                    node = balanced._parts[i].reduced(order, method).node
                    zeta = node.inverse(self.samples.decay + 1j * self.samples.omega)[:, 0]
                except CoherenceError:
                    continue
                out.append(Candidate(node, zeta / self.reduced.coupling(self.samples.decay + 1j * self.samples.omega)))
        return out

    def error(self, picked: list[int]) -> float:
        """Of the network with these orders at the samples."""
        zeta = np.column_stack([rows[r][1].zeta for rows, r in zip(self.library, picked, strict=True)])
        return float(self.samples.errors(self.partition, zeta, self.laplacian).max())

    def network(self, picked: list[int]) -> Network:
        """With these orders."""
        nodes = concatenate([rows[r][1].node for rows, r in zip(self.library, picked, strict=True)])
        return Network(nodes, self.laplacian, self.reduced.coupling)

    def lowest(self, tolerance: float) -> list[int]:
        """Orders of the least sum found whose error meets the tolerance; the full ones where none does."""
        full = [int(r) for r in self.orders]
        levels = np.unique([cost for rows in self.library for cost, _ in rows.values()])
        low, high = 0, len(levels)  # levels[low] meets it
        while high - low > 1:
            middle = (low + high) // 2
            if self.error(self._below(levels[middle])) <= tolerance:
                low = middle
            else:
                high = middle
        picked = self._below(levels[low]) if low else full
        return self._lowered(picked, tolerance)

    def _below(self, threshold: float) -> list[int]:
        return [min(r for r, (cost, _) in rows.items() if cost <= threshold) for rows in self.library]

    def _lowered(self, picked: list[int], tolerance: float) -> list[int]:
        moved = True
        while moved:
            moved = False
            options = []
            for i, rows in enumerate(self.library):
                lower = [r for r in rows if r < picked[i]]
                if lower:
                    options.append((rows[max(lower)][0], i, max(lower)))
            for _, i, r in sorted(options):
                tried = [*picked[:i], r, *picked[i + 1 :]]
                if self.error(tried) <= tolerance:
                    picked, moved = tried, True
        return picked
