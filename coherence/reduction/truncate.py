r"""Low-order nodes by frequency-weighted balanced truncation (Section 3.3.2).

    turbines      the strictly proper part h of g_hat^{-1} = m s + d + h is truncated; inertia and damping stay
    closed loop   g_hat itself is truncated to the order asked and inverted again

Turbines is the default: it asks only that h be stable (a group of hydro machines alone may not be), its result reads as a
generator, and damping at high frequency survives. For one stable generator the closed loop is the more accurate
(Table 3-II); inside a network it can lose the damping of the modes between groups, so look at the stability it leaves.

Either way the reduced node is scaled as a whole to the DC gain of the original, as in the source; the factor, also on
inertia and damping, is in the table (within 0.06 % of one for Iceland at order 3). Without any turbine left (order 1)
nothing is scaled: h(0), the droops, joins the damping. The weight W multiplies the error; with its high gain at low
frequency W(s) = (s + b)/(s + 1e-4) keeps the DC mismatch small. No sum of Hankel values bounds the
weighted error, so its H-infinity norm is computed instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
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


@dataclass(frozen=True, eq=False, repr=False)
class Truncation(Page):
    """A network whose nodes were reduced, with what the reduction cost node by node.

    Attributes
    ----------
    network : Network
    table : DataFrame
        Per node: order before and after; ||W (h - h_reduced)||_inf / ||W h||_inf of the part h that was truncated (before
        rescaling; the weight makes it a low-frequency figure); ||g - g_reduced||_inf / ||g||_inf of the node that is returned (NaN
        where g is unstable); the factor on g that restores its DC gain.
    hankel : dict of label -> array
        Weighted Hankel values, descending.
    part : str
    weight : Rational

    Examples
    --------
    >>> from coherence import linearize, load_case, truncate
    >>> truncate(linearize(load_case("five_generators")), 3).table["order after"].tolist()
    [3]
    """

    network: Network
    table: pd.DataFrame
    hankel: dict[str, np.ndarray]
    part: str
    weight: Rational

    @property
    def facts(self) -> dict[str, str]:
        """What was truncated and how."""
        return {"truncated": self.part.replace("_", " "), "weight W(s)": self.weight.sentence}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What the reduction cost, node by node."""
        return {"nodes": self.table}

    def __repr__(self) -> str:
        before, after = int(self.table["order before"].sum()), int(self.table["order after"].sum())
        return f"Truncation({self.part}: {len(self.table)} nodes, {before} -> {after} states)"


def truncate(network: Network, order: int, *, part: str = "turbines", weight: Any = None) -> Truncation:
    """Reduce every node of a network to at most `order` states.

    Parameters
    ----------
    network : Network
        Of nodes, typically one per group (`aggregate`) or one (`coherent_dynamics`).
    order : int
        1: swing only; 2: one turbine; 3: two turbines. Nodes of no higher order are left alone.
    part : "closed_loop" or "turbines"
        What is truncated; see the module.
    weight : Rational or (num, den), optional
        Output weight; default (s + .08)/(s + 1e-4) for the closed loop, (s + .03)/(s + 1e-4) for turbines.

    Returns
    -------
    Truncation

    Raises
    ------
    InputError
        Order out of range, unknown part.
    InstabilityError
        The part to truncate is not stable (node and pole are named).

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.2; D. Enns, Model reduction with balanced realizations (1984).

    Examples
    --------
    >>> from coherence import linearize, load_case, truncate
    >>> truncate(linearize(load_case("five_generators")), 3)
    Truncation(turbines: 1 nodes, 6 -> 3 states)
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
    label, before = node.labels[0], int(node.orders[0])
    if before <= order:
        return node, np.empty(0), _row(node, node, 0.0, 1.0)
    swing_order = max(int(node.degree[0]), 0)
    kept = order if part == "closed_loop" else order - swing_order
    if kept < 0:
        raise InputError(
            f"order = {order} is below the {swing_order} states of the polynomial part of node {label!r}; give at "
            f"least {swing_order} or part='closed_loop'"
        )
    whole = node_realization(node) if part == "closed_loop" else node.proper_part()[0]
    poles = whole.poles()
    if poles.size and poles[0].real >= 0:
        what, remedy = (
            ("", "declare more damping, or use part='turbines', which needs only stable turbines")
            if part == "closed_loop"
            else ("the turbine part of ", "correct its governor data")
        )
        raise InstabilityError(
            f"{what}node {label!r} is not stable: it has a pole at {poles[0]:.4g}; truncation needs it stable: {remedy}"
        )
    w = weight.realization()
    balanced = balance(whole, w)
    smaller = balanced.truncate(kept) if kept else Realization(np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), whole.d)
    if not kept:
        smaller = Realization(smaller.a, smaller.b, smaller.c, whole.dc_gain())  # h(0) joins the damping
    error = _ratio(cascade(difference(whole, smaller), w), cascade(whole, w))
    if not kept:
        new = Nodes(node.labels, node.polynomial).with_damping([float(whole.dc_gain()[0, 0])])  # the droops join the damping
        return new, balanced.hankel, _row(node, new, error, 1.0)
    new = (
        from_realization(label, smaller)
        if part == "closed_loop"
        else Nodes(node.labels, node.polynomial, make_banks([(0, smaller)]))
    )
    factor = float(new.inverse(0.0)[0, 0].real / node.inverse(0.0)[0, 0].real) if node.inverse(0.0)[0, 0] else np.inf
    if not 0 < factor < np.inf:
        raise InstabilityError(
            f"node {label!r}: truncation changes the DC gain by the factor {factor:.3g}, which no scaling can mend; "
            "declare damping or take a higher order"
        )
    new = new.scaled(np.array([1 / factor]))
    return new, balanced.hankel, _row(node, new, error, factor)


def _row(before: Nodes, after: Nodes, weighted: float, factor: float) -> dict[str, float]:
    g = node_realization(before)
    change = difference(g, node_realization(after))
    relative = _ratio(change, g) if change.is_stable() else np.nan
    return {
        "order before": int(before.order),
        "order after": int(after.order),
        "relative weighted error": weighted,
        "relative error of g": 0.0 if after is before else relative,
        "DC rescaled by": factor,
    }


def _ratio(part: Realization, whole: Realization) -> float:
    """||part||_inf / ||whole||_inf; 0 where both vanish."""
    top, bottom = hinf_norm(part).upper, hinf_norm(whole).lower
    return top / bottom if bottom else (0.0 if top == 0 else np.inf)
