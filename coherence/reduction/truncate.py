r"""Low-order nodes by balanced reduction (Section 3.3.2): compute once, then pick the order.

    turbines      the strictly proper part h of g_hat^{-1} = m s + d + h is reduced; inertia and damping stay
    closed loop   g_hat itself is reduced to the order asked and inverted again
    passive       Z = d + h by positive-real balancing: a passive node stays passive, with at least half of its index
                  (divided by the DC factor where truncated: residualize, which needs none)

Turbines, truncated, is the default, because such a model is read: it asks only that h be stable (a group of hydro machines alone
may not be), its result reads as a generator, and damping at high frequency survives. For one stable generator the closed loop is
the more accurate (Table 3-II); inside a network it can lose the damping of the modes between groups, so look at the stability it
leaves. Singular perturbation (`residualize`) is exact at DC and smaller in the weighted norm, but has feedthrough: of turbines
it becomes damping (which the weights above place badly: the step error of the five generators is 1.5 to 1.9 times as large; passive
reduction is the one that gains by it), of the closed loop it makes the response jump, so that it is no swing model.

A truncated node is scaled as a whole to the DC gain of the original, as in the source; the factor, also on inertia and damping,
is in the table. The weight W multiplies the error; with its high gain at low frequency W(s) = (s + b)/(s + 1e-4) keeps the DC
mismatch small. No sum of Hankel values bounds a weighted error (twice the tail is exceeded up to five times), so its H-infinity
norm is computed; without weights, and for passive reduction, the proved bound stands beside it.

One-lag turbines with positive gains are a state-space symmetric system; reduced without weights, or under the same weight on
both sides, they stay one: every turbine that is left has a real pole and a positive gain, and the node stays passive.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import CoherenceError, InputError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import concatenate
from coherence.numerics.balancing import Band
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.reduction.parts import DENSE, NodeReduction
from coherence.reduction.picking import require_choice, require_order, require_tolerance
from coherence.reduction.reading import read_generators
from coherence.reduction.weights import as_realization, sentence, weight_of
from coherence.theory.passivity import passivity, passivity_indices

CLOSED_LOOP_WEIGHT = Rational((1.0, 0.08), (1.0, 1e-4))  # the source's choices for grids in rad/s
TURBINE_WEIGHT = Rational((1.0, 0.03), (1.0, 1e-4))
PARTS = {"closed_loop": CLOSED_LOOP_WEIGHT, "turbines": TURBINE_WEIGHT}
Weight = Rational | Realization | Band | None


@dataclass(frozen=True, eq=False, repr=False)
class BalancedNodes(Page):
    """The nodes of a network, balanced: pick the order, or the accuracy; see `balance_nodes`.

    Attributes
    ----------
    network : Network
    part : "turbines" or "closed_loop"
    weight, input_weight : Rational, Realization, Band or None
    passive : bool

    Examples
    --------
    >>> from coherence import balance_nodes, linearize, load_case
    >>> balanced = balance_nodes(linearize(load_case("five_generators")), part="closed_loop")
    >>> [balanced.truncate(k).network.order for k in (2, 3)], balanced.truncate(tolerance=0.01).network.order
    ([2, 3], 3)
    """

    network: Network
    part: str
    weight: Weight
    input_weight: Weight
    passive: bool

    @cached_property
    def _parts(self) -> tuple[NodeReduction, ...]:
        weights = as_realization(self.weight), as_realization(self.input_weight)
        nodes = self.network.nodes
        return tuple(NodeReduction(nodes.select([i]), self.part, self.passive, *weights) for i in range(len(nodes)))

    @cached_property
    def _balanced(self) -> tuple[NodeReduction, ...]:
        """Those that can be balanced; the others may still be left alone."""
        found = []
        for part in self._parts:
            with suppress(CoherenceError):
                part.balancing  # noqa: B018 (computed, or refused, here)
                found.append(part)
        return tuple(found)

    @property
    def hankel(self) -> pd.DataFrame:
        """Hankel values (weighted, or positive-real characteristic values), descending: a column per node that can be balanced."""
        columns = {part.label: pd.Series(part.balancing.hankel) for part in self._balanced}
        frame = pd.DataFrame(columns)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="index")
        return frame

    @property
    def bounds(self) -> pd.DataFrame:
        """Proved bounds of ||h - h_r||_inf / ||h||_inf by order, one column per node; NaN where no theorem holds (any weight)."""
        columns = {}
        for part in self._balanced:
            kept = np.arange(len(part.balancing.hankel) + 1)
            bounds = [part.balancing.bound(int(k)) / part.size + part.lost for k in kept]
            columns[part.label] = pd.Series(bounds, index=kept + part.outside)
        return pd.DataFrame(columns).rename_axis(index="order")

    def truncate(self, order: int | None = None, *, tolerance: float | None = None) -> Truncation:
        """Nodes of at most `order` states that agree at s = infinity, scaled to the DC gain.

        Parameters
        ----------
        order : int, optional
            1: swing only; 2: one turbine; 3: two turbines. Nodes of no higher order are left alone.
        tolerance : float, optional
            Instead: of each node the least order whose ||g - g_r||_inf / ||g||_inf is not larger (of the part, weighted, where g
            is unstable).

        Raises
        ------
        InputError
            Order out of range; both or none given.
        InstabilityError
            The part to reduce is not stable (node and pole are named), or two weights made it unstable.
        ToleranceError
            A tolerance that no order reaches; the best is named.
        """
        return self._picked(order, tolerance, "truncate")

    def residualize(self, order: int | None = None, *, tolerance: float | None = None) -> Truncation:
        """The same by singular perturbation: exact at DC, with feedthrough, which of turbines is damping.

        Parameters and errors as for `truncate`.
        """
        return self._picked(order, tolerance, "residualize")

    def _picked(self, order: int | None, tolerance: float | None, method: str) -> Truncation:
        require_choice(order, tolerance)
        largest = int(self.network.nodes.orders.max())
        if tolerance is not None:
            allowed = require_tolerance(tolerance)
            orders = [part.order_for(allowed, method) for part in self._parts]
        else:
            orders = [require_order(order, 1, largest, why_most=", the largest order of a node")] * len(self._parts)
        rows, reduced, hankel = {}, [], {}
        for part, wanted in zip(self._parts, orders, strict=True):
            found = part.reduced(wanted, method)
            untouched = found.node is part.node
            reduced.append(found.node)
            hankel[part.label] = np.empty(0) if untouched else part.balancing.hankel
            rows[part.label] = {
                "order before": int(part.node.orders[0]),
                "order after": int(found.node.orders[0]),
                "relative weighted error": found.weighted,
                "proved bound": found.bound,
                "relative error of g": found.of_g,
                "DC rescaled by": found.factor,
            }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "node"
        smaller = Network(concatenate(reduced), self.network.laplacian, self.network.coupling)
        return Truncation(smaller, table, hankel, method, self)

    @property
    def facts(self) -> dict[str, str]:
        """What was balanced and how."""
        facts = {"reduced": self.part.replace("_", " ")}
        if self.passive:
            facts["balancing"] = "positive real, so that passive nodes stay passive"
        else:
            facts["weight W(s)"] = sentence(self.weight)
        if self.input_weight is not None:
            facts["input weight"] = sentence(self.input_weight)
        for part in self._balanced if max(part.node.order for part in self._parts) > DENSE else ():
            if part.compression is not None:
                small, x, y = part.compression.system.order, *part.compression.residuals
                facts[f"compressed, {part.label}"] = (
                    f"{part.node.order} states to {small}; residuals of the Gramians {x:.1g}, {y:.1g}; error {part.lost:.1g}"
                )
        return facts

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The first ten Hankel values of every node."""
        return {"Hankel values": self.hankel.head(10)}

    def __repr__(self) -> str:
        return f"BalancedNodes({self.part}: {len(self.network.nodes)} nodes, {self.network.nodes.order} states)"


@dataclass(frozen=True, eq=False, repr=False)
class Truncation(Page):
    """A network whose nodes were reduced, with what the reduction cost node by node.

    Attributes
    ----------
    network : Network
    table : DataFrame
        Per node: order before and after; ||W (h - h_r)||_inf / ||W h||_inf of the part h that was reduced, before rescaling
        (the default weights make it a figure of DC), and the proved bound of that (NaN where no theorem holds);
        ||g - g_r||_inf / ||g||_inf of the node that is returned (NaN where g is unstable, infinite where only g_r is); the factor
        on g that restores its DC gain.
    hankel : dict of label -> array
        Hankel values, descending.
    method : "truncate" or "residualize"
    source : BalancedNodes
        Where it was picked from.

    Examples
    --------
    >>> from coherence import linearize, load_case, truncate
    >>> truncate(linearize(load_case("five_generators")), 3).table["order after"].tolist()
    [3]
    """

    network: Network
    table: pd.DataFrame
    hankel: dict[str, np.ndarray]
    method: str
    source: BalancedNodes

    @property
    def part(self) -> str:
        """What was reduced: "turbines" or "closed_loop"."""
        return self.source.part

    @property
    def weight(self) -> Weight:
        """The output weight."""
        return self.source.weight

    @cached_property
    def passivity(self) -> pd.DataFrame:
        """Passivity index of every node before and after (a node is output strictly passive where it is positive)."""
        parts, nodes = self.source._parts, self.network.nodes
        single = [nodes.select([i]) for i in range(len(nodes))]
        whole = [part.compact for part in parts]
        left_alone = self.table["order before"] == self.table["order after"]
        after = [old if alone else new for old, new, alone in zip(whole, single, left_alone, strict=True)]
        indices = [passivity_indices(concatenate(found))["index"] for found in (whole, after)]
        return pd.DataFrame({"index before": indices[0], "index after": indices[1]})

    @cached_property
    def stability(self) -> str:
        """What passivity says of the reduced network, or else its poles; and the remedy where reduction lost passivity."""
        found = self.passivity
        lost = [str(label) for label in found.index[(found["index before"] > 0) & (found["index after"] <= 0)]]
        verdict = passivity(self.network).stability
        if not lost:
            return verdict
        names = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        return f"{verdict}; reduction lost the passivity of {names}, which passive=True keeps"

    @property
    def facts(self) -> dict[str, str]:
        """What was reduced and how."""
        word = "truncated" if self.method == "truncate" else "residualized"
        facts = {word: self.source.facts["reduced"]} | {k: v for k, v in self.source.facts.items() if k != "reduced"}
        odd = [str(label) for label, row in read_generators(self.network.nodes).iterrows() if not row["generator"]]
        scaled = [str(label) for label, factor in self.table["DC rescaled by"].items() if not 0.5 <= factor <= 2]
        if scaled:
            facts["rescaled"] = (
                f"{', '.join(scaled[:3])}: by more than 2, inertia and damping too; residualize, or weigh s = 0 more"
            )
        if odd:
            names = ", ".join(odd[:3]) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
            facts["no generators"] = f"{names}: a constant is negative or a pole complex; fit_generators gives the best that are"
        return facts

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What the reduction cost, node by node."""
        return {"nodes": self.table}

    def __repr__(self) -> str:
        before, after = int(self.table["order before"].sum()), int(self.table["order after"].sum())
        return f"Truncation({self.part}: {len(self.table)} nodes, {before} -> {after} states)"


def balance_nodes(
    network: Network,
    *,
    part: str = "turbines",
    weight: Any = None,
    input_weight: Any = None,
    passive: bool = False,
) -> BalancedNodes:
    """Balance every node of a network once, to pick orders from.

    Parameters
    ----------
    network : Network
        Of nodes, typically one per group (`aggregate`) or one (`coherent_dynamics`).
    part : "turbines" or "closed_loop"
        What is reduced; see the module.
    weight, input_weight : Rational, (num, den), number, python-control system or Band, optional
        Stable and proper. Default of `weight`: (s + .08)/(s + 1e-4) for the closed loop, (s + .03)/(s + 1e-4) for turbines; 1 is
        unweighted. A `Band` as both weights is frequency-limited balancing.
    passive : bool
        Positive-real balancing of d + h: nodes stay output strictly passive, so that the network is stable for every Laplacian.
        Takes no weights and the part "turbines".

    Returns
    -------
    BalancedNodes
        Of stable parts; integrators are split off and kept.

    Raises
    ------
    InputError
        Unknown part, weights that cannot be used, or weights with passive=True.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.2; D. Enns, Model reduction with balanced realizations (1984); Y. Liu, B. Anderson,
    Singular perturbation approximation of balanced systems (1989); U. Desai, D. Pal, A transformation approach to stochastic model
    reduction (1984); P. Opdenacker, E. Jonckheere, A contraction mapping preserving balanced reduction (1988).

    Examples
    --------
    >>> from coherence import balance_nodes, linearize, load_case
    >>> balanced = balance_nodes(linearize(load_case("five_generators")), weight=1)
    >>> bool(balanced.truncate(3).table["relative weighted error"].iloc[0] <= balanced.truncate(3).table["proved bound"].iloc[0])
    True
    """
    if not isinstance(part, str) or part not in PARTS:
        raise InputError(f"part = {part!r}; give 'closed_loop' or 'turbines'")
    require_nodes(network, "truncation")
    network.nodes.require_rational("truncation")
    if passive:
        if weight is not None or input_weight is not None:
            raise InputError("passive=True balances storage and supply, which no weight enters; leave the weights out")
        if part != "turbines":
            raise InputError("passive=True reduces d + h of g^-1 = m s + d + h; use part='turbines'")
        return BalancedNodes(network, part, None, None, True)
    output, source = PARTS[part] if weight is None else weight_of(weight, "the weight"), weight_of(input_weight, "the input weight")
    for what, found in (("weight", output), ("input weight", source)):
        if isinstance(found, Realization) and found.d.shape != (1, 1):
            raise InputError(f"the {what} has {found.d.shape[1]} inputs and {found.d.shape[0]} outputs; nodes take scalar weights")
    return BalancedNodes(network, part, output, source, False)


def truncate(
    network: Network,
    order: int | None = None,
    *,
    tolerance: float | None = None,
    part: str = "turbines",
    weight: Any = None,
    input_weight: Any = None,
    passive: bool = False,
) -> Truncation:
    """Reduce every node of a network to at most `order` states, or to an accuracy: `balance_nodes` and its `truncate` in one.

    Parameters
    ----------
    network : Network
    order : int
        1: swing only; 2: one turbine; 3: two turbines. Nodes of no higher order are left alone.
    tolerance : float
        Instead of an order: the relative error of g that may be left.
    part, weight, input_weight, passive : see `balance_nodes`

    Returns
    -------
    Truncation

    Raises
    ------
    InputError
        Order out of range, unknown part, weights that cannot be used.
    InstabilityError
        The part to reduce is not stable (node and pole are named).
    ToleranceError
        A tolerance that no order reaches; the best is named.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.2; D. Enns, Model reduction with balanced realizations (1984).

    Examples
    --------
    >>> from coherence import linearize, load_case, truncate
    >>> truncate(linearize(load_case("five_generators")), 3)
    Truncation(turbines: 1 nodes, 6 -> 3 states)
    """
    balanced = balance_nodes(network, part=part, weight=weight, input_weight=input_weight, passive=passive)
    return balanced.truncate(order, tolerance=tolerance)
