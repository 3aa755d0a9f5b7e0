r"""What of one node is reduced, balanced once for all orders.

    turbines      h of g^{-1} = p(s) + h(s); inertia and damping stay
    closed loop   g itself, inverted again afterwards
    passive       Z = d + h of g^{-1} = m s + Z(s), by positive-real balancing of Z less half of its passivity index, so that
                  the other half is left whatever the order (divided by the factor that restores the DC gain, where truncated)

Beyond 80 states a part is first compressed, to a few dozen states that no weighted balancing can tell from it
(`numerics.low_rank`, O(N)); what that may have lost, 1e-14 as a rule and 1e-8 at most, is added to every weighted error and bound.

Integrators (poles at 0) are split off and kept. A truncated node is scaled as a whole to the DC gain it had (integral action
has none to restore); without any turbine left nothing is scaled: h(0), the droops, joins the damping. A residualised one has its
DC gain already, and the feedthrough of h is damping.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from coherence.errors import InputError, InstabilityError, PoleError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.compression import compressed, integrator, with_few_sections
from coherence.nodes.nodes import Nodes, make_banks
from coherence.nodes.systems import from_realization, inversion_error
from coherence.numerics.balancing import Balancing, Band, balance, balance_positive_real, weighted_norm
from coherence.numerics.low_rank import Compressed
from coherence.numerics.norms import hinf_norm
from coherence.numerics.realization import Realization, difference, integrators_apart, parallel, pole_text
from coherence.reduction.picking import least_order, require_stable_model
from coherence.theory.passivity import passivity_indices

DENSE = 80  # states from which compression is the faster
MOST_DENSE = 1500  # states up to which what cannot be compressed (unstable sections, crowds of resonances) is done as a matrix
KEPT_INDEX = 0.5  # of the passivity index: the nearer to 1, the worse conditioned the Riccati equations and the larger the error


class Reduced(NamedTuple):
    """One node of lower order, and what it cost."""

    node: Nodes
    weighted: float  # ||W (h - h_r)|| / ||W h|| before rescaling
    bound: float  # a proved bound of the same, NaN where there is none
    of_g: float  # ||g - g_r|| / ||g|| of what is returned; NaN where g is unstable, infinite where only g_r is
    factor: float  # on g, to restore its DC gain


class Model(NamedTuple):
    """One node of lower order."""

    node: Nodes
    part: Realization  # what the balanced part became, before rescaling
    inversion: float  # relative error of making a node of a closed loop
    factor: float  # on g, to restore its DC gain


@dataclass(frozen=True, eq=False)
class NodeReduction:
    """One node and how it is to be reduced."""

    node: Nodes
    part: str  # "turbines" or "closed_loop"
    passive: bool
    output_weight: Realization | Band | None
    input_weight: Realization | Band | None

    @property
    def label(self) -> str:
        """Of the node."""
        return self.node.labels[0]

    @property
    def outside(self) -> int:
        """States of the node that are never reduced."""
        swing = max(int(self.node.degree[0]), 0) if self.part == "turbines" else 0
        return swing + self.integrators.order

    @property
    def integrators(self) -> Realization:
        """Poles of the part at 0, which every order keeps."""
        return self._split[0]

    @property
    def whole(self) -> Realization:
        """The stable rest, which is reduced."""
        return self._split[1]

    @property
    def compression(self) -> Compressed | None:
        """How a large part was compressed; None where there are few states."""
        return self._split[2]

    @cached_property
    def compact(self) -> Nodes:
        """The node, its turbines compressed where they have many states."""
        if self.node.order <= DENSE:
            return self.node
        try:
            few = with_few_sections(self.node)[0]
        except (InstabilityError, ToleranceError):
            if self.node.order > MOST_DENSE:
                raise
            return self.node
        return few if few.order <= self.node.order / 2 else self.node

    @cached_property
    def _split(self) -> tuple[Realization, Realization, Compressed | None]:
        closed = self.part == "closed_loop"
        if closed and self.node.degree[0] < 0:
            raise InputError(f"node {self.label!r} is improper (its inverse vanishes at infinity); give it inertia or damping")
        found: Compressed | None = None
        if self.node.order > DENSE:
            weights = [None if isinstance(weight, Band) else weight for weight in (self.output_weight, self.input_weight)]
            try:
                gain, small = compressed(self.node, closed_loop=closed, output_weight=weights[0], input_weight=weights[1])
                if small.system.order <= self.node.order / 2:
                    integrators, rest, found = integrator(gain), small.system, small
            except (InstabilityError, ToleranceError):
                if self.node.order > MOST_DENSE:
                    raise
        if found is None:
            integrators, rest = integrators_apart(node_realization(self.node) if closed else self.node.proper_part()[0])
        if not rest.is_stable():
            what, remedy = (
                ("", "declare more damping, or use part='turbines', which needs only stable turbines")
                if closed
                else ("the turbine part of ", "correct its governor data")
            )
            raise InstabilityError(
                f"{what}node {self.label!r} is not stable: it has a pole at {pole_text(rest.poles()[0])}; balanced reduction needs "
                f"it stable: {remedy}"
            )
        if self.passive:
            rest = rest._replace(d=rest.d + self.node.damping[0] - self.kept_index)
        return integrators, rest, found

    @cached_property
    def kept_index(self) -> float:
        """Of the passivity index, what every order keeps."""
        row = passivity_indices(self.compact).iloc[0]
        if not row["passive"]:
            more = f"; {-row['index']:.3g} more damping would do" if -np.inf < row["index"] < 0 else ""
            raise InputError(
                f"node {self.label!r} is not output strictly passive (index {row['index']:.3g}: {row['reason']}), and "
                f"passive=True keeps passivity but makes none: leave it out{more}"
            )
        return KEPT_INDEX * float(row["index"])

    @cached_property
    def balancing(self) -> Balancing:
        """Of the rest, computed once."""
        if self.passive:
            return balance_positive_real(self.whole)
        return balance(self.whole, output_weight=self.output_weight, input_weight=self.input_weight)

    @cached_property
    def size(self) -> float:
        """||W h||, to which errors are relative."""
        return weighted_norm(self._proper(self.whole), self.output_weight, self.input_weight).lower

    @cached_property
    def lost(self) -> float:
        """What compression may have lost, relative to ||W h||; of a band it knows the whole axis only."""
        if self.compression is None or not self.size:
            return 0.0
        weights = [None if isinstance(weight, Band) else weight for weight in (self.output_weight, self.input_weight)]
        return self.compression.error * weighted_norm(self.whole, weights[0], weights[1]).upper / self.size

    def reduced(self, order: int, method: str) -> Reduced:
        """The node with at most `order` states, and what it cost."""
        if int(self.node.orders[0]) <= order:
            return Reduced(self.node, 0.0, 0.0, 0.0, 1.0)
        new, smaller, inversion, factor = self.model(order, method)
        bound = self.balancing.bound(order - self.outside)
        error = weighted_norm(difference(self.whole, smaller), self.output_weight, self.input_weight, bound).upper
        extra = self.lost + inversion
        relative = (error / self.size if self.size else (0.0 if error == 0 else np.inf)) + extra
        proved = bound / self.size + extra if self.size else np.nan
        return Reduced(new, relative, proved, relative_error(self.compact, new), factor)

    def model(self, order: int, method: str) -> Model:
        """The node with `order` states, fewer than it has, without its norms."""
        kept = order - self.outside
        if kept < 0:
            raise InputError(
                f"order = {order} is below the {self.outside} states of node {self.label!r} that are not reduced (polynomial "
                f"part and integrators); give at least {self.outside}"
                + (" or part='closed_loop'" if self.part == "turbines" else "")
            )
        at_rest = method == "residualize" or kept == 0
        smaller = self.balancing.residualize(kept) if at_rest else self.balancing.truncate(kept)
        require_stable_model(smaller, f"order {order} of node {self.label!r}")
        new, inversion = self._assembled(smaller)
        factor, before = 1.0, _inverse_dc(self.node)
        if not at_rest and not self.integrators.order and np.isfinite(before):
            factor = _inverse_dc(new) / before if before else np.inf
            if not 0 < factor < np.inf:
                raise InstabilityError(
                    f"node {self.label!r}: truncation changes the DC gain by the factor {factor:.3g}, which no scaling can mend; "
                    "declare damping, take a higher order, or residualize"
                )
            new = new.scaled(np.array([1 / factor]))
        return Model(new, smaller, inversion, factor)

    def order_for(self, tolerance: float, method: str) -> int:
        """The least order whose relative error of g (of the reduced part, weighted, where g is unstable) meets the tolerance."""
        if int(self.node.orders[0]) <= 1 or int(self.node.orders[0]) <= self.outside:
            return int(self.node.orders[0])

        def error(order: int) -> float:
            found = self.reduced(order, method)
            return found.weighted if np.isnan(found.of_g) else found.of_g

        orders = range(max(self.outside, 1), self.outside + len(self.balancing.left) + 1)
        return least_order(tolerance, orders, error, f"no order of node {self.label!r} below its own, {int(self.node.orders[0])}")

    def _assembled(self, smaller: Realization) -> tuple[Nodes, float]:
        """The node, and the relative error of its inversion."""
        if self.part == "closed_loop":
            whole = parallel(self.integrators, smaller) if self.integrators.order else smaller
            node = from_realization(self.label, whole)
            return node, inversion_error(node, whole)
        polynomial = self.node.polynomial.copy()
        polynomial[0] = smaller.d[0, 0] + (self.kept_index if self.passive else polynomial[0])
        sections = [(0, self.integrators), (0, self._proper(smaller))]
        return Nodes(self.node.labels, polynomial, make_banks([section for section in sections if section[1].order])), 0.0

    def _proper(self, system: Realization) -> Realization:
        """Without feedthrough, where that is damping."""
        return system._replace(d=np.zeros_like(system.d)) if self.part == "turbines" else system


def _inverse_dc(node: Nodes) -> float:
    """g^{-1}(0); infinite with integral action."""
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(node.inverse(0.0)[0, 0].real)
    except PoleError:
        return np.inf


def node_realization(node: Nodes) -> Realization:
    """State space of a single g."""
    return Network(node, np.zeros((1, 1)), "1").realization


def relative_error(before: Nodes, after: Nodes) -> float:
    """||g - g_r||_inf / ||g||_inf; NaN where g is unstable, infinite where only g_r is."""
    g, model = node_realization(before), node_realization(after)
    if not g.is_stable():
        return np.nan
    return hinf_norm(difference(g, model)).upper / hinf_norm(g).lower if model.is_stable() else np.inf
