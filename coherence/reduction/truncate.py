r"""Low-order nodes by frequency-weighted balanced truncation (Section 3.3.2).

    closed loop   g_hat itself is truncated to the order asked and inverted again: m s + d + one or more turbines
    turbines      only the strictly proper part of g_hat^{-1} is truncated; inertia and damping stay

Either way the reduced node is rescaled to the DC gain of the original. The weight W multiplies the error; with its high
gain at low frequency W(s) = (s + b)/(s + 1e-4) makes the DC mismatch before rescaling small. No sum of Hankel values bounds the
weighted error, so its H-infinity norm is computed instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import InputError, InstabilityError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, concatenate, make_banks
from coherence.nodes.systems import from_realization
from coherence.numerics.balancing import balance
from coherence.numerics.norms import hinf_norm
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, cascade, difference

CLOSED_LOOP_WEIGHT = Rational((1.0, 0.08), (1.0, 1e-4))  # the source's choices for grids in rad/s
TURBINE_WEIGHT = Rational((1.0, 0.03), (1.0, 1e-4))
PARTS = {"closed_loop": CLOSED_LOOP_WEIGHT, "turbines": TURBINE_WEIGHT}


@dataclass(frozen=True, eq=False)
class Truncation:
    """A network whose nodes were reduced, with what the reduction cost node by node.

    Attributes
    ----------
    network : Network
    table : DataFrame
        Per node: order before and after, weighted error ||W (g - g_reduced)||_inf, its relative value, DC rescaling.
    hankel : dict of label -> array
        Weighted Hankel values, descending.
    part : str
    weight : Rational
    """

    network: Network
    table: pd.DataFrame
    hankel: dict[str, np.ndarray]
    part: str
    weight: Rational

    def __repr__(self) -> str:
        before, after = int(self.table["order before"].sum()), int(self.table["order after"].sum())
        return f"Truncation({self.part}: {len(self.table)} nodes, {before} -> {after} states)"


def truncate(network: Network, order: int, *, part: str = "closed_loop", weight: Any = None) -> Truncation:
    """Reduce every node of a network to at most `order` states.

    Parameters
    ----------
    network : Network
        Of nodes, typically one per group (`aggregate`) or one (`coherent_dynamics`).
    order : int
        1: swing only; 2: one turbine; 3: two turbines. Nodes of no higher order are left alone.
    part : "closed_loop" or "turbines"
        What is truncated. Closed loop is the more accurate; turbines keeps inertia and damping.
    weight : Rational or (num, den), optional
        Output weight; default (s + .08)/(s + 1e-4) for the closed loop, (s + .03)/(s + 1e-4) for turbines.

    Raises
    ------
    InputError
        Order out of range, unknown part.
    InstabilityError
        A node is not stable (its label and pole are named).

    Examples
    --------
    >>> from coherence import linearize, load_case, truncate
    >>> truncate(linearize(load_case("five_generators")), 3)
    Truncation(closed_loop: 1 nodes, 6 -> 3 states)
    """
    if part not in PARTS:
        raise InputError(f"part = {part!r}; give 'closed_loop' or 'turbines'")
    network._need_nodes("truncation")
    largest = int(network.nodes.orders.max())
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 1 <= order <= largest:
        raise InputError(f"order = {order!r} is out of range; give an integer from 1 to {largest}, the largest order of a node")
    w = PARTS[part] if weight is None else Rational.of(weight, "the weight")
    reduced, rows, hankel = [], {}, {}
    for i, label in enumerate(network.labels):
        node = network.nodes.select([i])
        new, values, row = _reduce(node, order, part, w)
        reduced.append(new)
        rows[label], hankel[label] = row, values
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "node"
    smaller = Network(concatenate(reduced), network.laplacian, network.coupling)
    return Truncation(smaller, table, hankel, part, w)


def node_realization(node: Nodes) -> Realization:
    """State space of a single g."""
    return Network(node, np.zeros((1, 1)), "1").realization


def _reduce(node: Nodes, order: int, part: str, weight: Rational) -> tuple[Nodes, np.ndarray, dict[str, float]]:
    label, full = node.labels[0], node_realization(node)
    poles = full.poles()
    if poles.size and poles[0].real >= 0:
        raise InstabilityError(f"node {label!r} is not stable: it has a pole at {poles[0]:.4g}; truncation needs every "
                               "node stable (declare more damping or split an integrator off first)")
    if full.order <= order:
        row = {"order before": full.order, "order after": full.order, "weighted error": 0.0, "relative": 0.0, "rescaled by": 1.0}
        return node, np.empty(0), row
    w = weight.realization()
    if part == "closed_loop":
        balanced = balance(full, w)
        new = from_realization(label, balanced.truncate(order))
    else:
        turbines = node.proper_part()[0]
        balanced = balance(turbines, w)
        polynomial_only = Nodes(node.labels, node.polynomial)
        kept = order - int(polynomial_only.orders[0])
        if kept < 1:
            new = polynomial_only
        else:
            new = Nodes(node.labels, node.polynomial, make_banks([(0, balanced.truncate(kept))]))
    before, after = node.inverse(0.0)[0].real, new.inverse(0.0)[0].real
    if after[0] == 0:
        raise InstabilityError(f"node {label!r}: the model of order {order} has an infinite DC gain; take a higher order")
    factor = before / after
    new = new.scaled(factor)
    error = hinf_norm(cascade(difference(full, node_realization(new)), w)).upper if _stable(new) else np.inf
    size = hinf_norm(cascade(full, w)).lower
    return new, balanced.hankel, {"order before": full.order, "order after": int(new.order), "weighted error": error,
                                  "relative": error / size, "rescaled by": float(1.0 / factor[0])}


def _stable(node: Nodes) -> bool:
    poles = node_realization(node).poles()
    return bool(poles.size == 0 or poles[0].real < 0)
