r"""What of one node is reduced, balanced once for all orders.

    turbines      h of g^{-1} = p(s) + h(s); inertia and damping stay
    closed loop   g itself, inverted again afterwards
    passive       Z = d + h of g^{-1} = m s + Z(s), by positive-real balancing of Z less half of its passivity index, so that
                  the other half is left whatever the order

Beyond 200 states a part is first compressed, to a few dozen states that no weighted balancing can tell from it
(`numerics.low_rank`, O(N)); what that may have lost, 1e-14 as a rule and 1e-8 at most, is added to every error and bound.

Integrators (poles at 0) are split off and kept. A truncated node is scaled as a whole to the DC gain it had; without any
turbine left nothing is scaled: h(0), the droops, joins the damping. A residualised one has its DC gain already, and the
feedthrough of h is damping.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, make_banks
from coherence.nodes.systems import from_realization
from coherence.numerics.arrow import Arrow
from coherence.numerics.balancing import Balancing, Band, balance, balance_positive_real, weighted_norm
from coherence.numerics.low_rank import Compressed, compress
from coherence.numerics.norms import hinf_norm
from coherence.numerics.realization import Realization, difference, integrators_apart, parallel, pole_text
from coherence.theory.passivity import passivity_indices

DENSE = 200  # states up to which gramians are computed as matrices
KEPT_INDEX = 0.5  # of the passivity index: the nearer to 1, the worse conditioned the Riccati equations and the larger the error


class Reduced(NamedTuple):
    """One node of lower order, and what it cost."""

    node: Nodes
    weighted: float  # ||W (h - h_r)|| / ||W h|| before rescaling
    bound: float  # a proved bound of the same, NaN where there is none
    of_g: float  # ||g - g_r|| / ||g|| of what is returned; NaN where g is unstable, infinite where only g_r is
    factor: float  # on g, to restore its DC gain


@dataclass(frozen=True, eq=False)
class Part:
    """One node and how it is to be reduced."""

    node: Nodes
    part: str  # "turbines" or "closed_loop"
    passive: bool
    output: Realization | Band | None
    source: Realization | Band | None

    @property
    def label(self) -> str:
        """Of the node."""
        return self.node.labels[0]

    @property
    def outside(self) -> int:
        """States of the node that are never reduced."""
        swing = max(int(self.node.degree[0]), 0) if self.part == "turbines" else 0
        return swing + self.split[0].order

    @cached_property
    def compact(self) -> Nodes:
        """The node, its turbines compressed where they have many states."""
        if self.node.order <= DENSE:
            return self.node
        integrators, found = self._compressed("turbines", None, None)
        sections = [section for section in (integrators, found.system) if section.order]
        return Nodes(self.node.labels, self.node.polynomial, make_banks([(0, section) for section in sections]))

    @property
    def split(self) -> tuple[Realization, Realization]:
        """Integrators, and the stable rest that is reduced."""
        return self._split[:2]

    @property
    def compression(self) -> Compressed | None:
        """How a large part was compressed; None where there are few states."""
        return self._split[2]

    @property
    def lost(self) -> float:
        """What compression may have lost of the whole, relative and weighted."""
        return 0.0 if self.compression is None else self.compression.error

    @cached_property
    def _split(self) -> tuple[Realization, Realization, Compressed | None]:
        found = None
        if self.part == "closed_loop" and self.node.degree[0] < 0:
            raise InputError(f"node {self.label!r} is improper (its inverse vanishes at infinity); give it inertia or damping")
        if self.node.order > DENSE:
            output, source = (None if isinstance(weight, Band) else weight for weight in (self.output, self.source))
            integrators, found = self._compressed(self.part, output, source)
            rest = found.system
        elif self.part == "closed_loop":
            integrators, rest = integrators_apart(node_realization(self.node))
        else:
            integrators, rest = integrators_apart(self.node.proper_part()[0])
        poles = rest.poles()
        if not rest.is_stable():
            what, remedy = (
                ("", "declare more damping, or use part='turbines', which needs only stable turbines")
                if self.part == "closed_loop"
                else ("the turbine part of ", "correct its governor data")
            )
            raise InstabilityError(
                f"{what}node {self.label!r} is not stable: it has a pole at {pole_text(poles[0])}; balanced reduction needs it "
                f"stable: {remedy}"
            )
        if self.passive:
            rest = rest._replace(d=rest.d + self.node.damping[0] - self.kept_index)
        return integrators, rest, found

    def _compressed(self, part: str, output: Realization | None, source: Realization | None) -> tuple[Realization, Compressed]:
        """Integrators k/s, and the rest compressed to few states."""
        gain, banks = 0.0, []
        for bank in self.node.banks:
            at_zero = (bank.a[:, 0, 0] == 0.0) if bank.order == 1 and part == "turbines" else np.zeros(len(bank.owner), dtype=bool)
            gain += float(bank.b[at_zero, 0] @ bank.c[at_zero, 0]) if at_zero.any() else 0.0
            if not at_zero.all():
                banks.append((bank.a[~at_zero], bank.b[~at_zero], bank.c[~at_zero]))
        polynomial = self.node.polynomial[: max(int(self.node.degree[0]), 0) + 1, 0]
        try:
            found = compress(Arrow.from_banks(polynomial, banks, part == "closed_loop"), output_weight=output, input_weight=source)
        except InstabilityError as error:
            raise InstabilityError(f"node {self.label!r}: {error}") from None
        count = int(gain != 0)
        integrator = Realization(np.zeros((count, count)), np.ones((count, 1)), np.full((1, count), gain), np.zeros((1, 1)))
        return integrator, found

    @cached_property
    def kept_index(self) -> float:
        """Of the passivity index, what every order keeps."""
        row = passivity_indices(self.compact).iloc[0]
        if not row["passive"]:
            more = f"; {-row['index']:.3g} more damping would do" if np.isfinite(row["index"]) else ""
            raise InputError(
                f"node {self.label!r} is not output strictly passive (index {row['index']:.3g}: {row['reason']}), and "
                f"passive=True keeps passivity but makes none: leave it out{more}"
            )
        return KEPT_INDEX * float(row["index"])

    @cached_property
    def balancing(self) -> Balancing:
        """Of the rest, computed once."""
        system = self.split[1]
        return balance_positive_real(system) if self.passive else balance(system, output=self.output, source=self.source)

    @cached_property
    def size(self) -> float:
        """||W h||, to which errors are relative."""
        return weighted_norm(self._proper(self.split[1]), self.output, self.source).lower

    def reduced(self, order: int, method: str) -> Reduced:
        """The node with at most `order` states."""
        kept = order - self.outside
        if int(self.node.orders[0]) <= order:
            return Reduced(self.node, 0.0, 0.0, 0.0, 1.0)
        if kept < 0:
            raise InputError(
                f"order = {order} is below the {self.outside} states of node {self.label!r} that are not reduced (polynomial "
                f"part and integrators); give at least {self.outside}"
                + (" or part='closed_loop'" if self.part == "turbines" else "")
            )
        integrators, whole = self.split
        at_rest = method == "residualize" or kept == 0
        smaller = self.balancing.residualize(kept) if at_rest else self.balancing.truncate(kept)
        if not smaller.is_stable():  # with one weight at most rounding does this
            raise InstabilityError(
                f"order {order} of node {self.label!r} is unstable, with a pole at {pole_text(smaller.poles()[0])}: reduction "
                "under two weights does not promise stability; take another order or leave one weight out"
            )
        bound = self.balancing.bound(kept)
        error = weighted_norm(difference(whole, smaller), self.output, self.source, bound).upper
        relative = (error / self.size if self.size else (0.0 if error == 0 else np.inf)) + self.lost
        new, factor = self._assembled(integrators, smaller), 1.0
        if not at_rest and not integrators.order:
            before, after = (float(node.inverse(0.0)[0, 0].real) for node in (self.node, new))
            factor = after / before if before else np.inf
            if not 0 < factor < np.inf:
                raise InstabilityError(
                    f"node {self.label!r}: truncation changes the DC gain by the factor {factor:.3g}, which no scaling can mend; "
                    "declare damping, take a higher order, or residualize"
                )
            new = new.scaled(np.array([1 / factor]))
        proved = bound / self.size + self.lost if self.size else np.nan
        return Reduced(new, relative, proved, relative_error(self.compact, new), factor)

    def order_for(self, tolerance: float, method: str) -> int:
        """The least order whose relative error of g (of the reduced part, weighted, where g is unstable) meets the tolerance."""
        if int(self.node.orders[0]) <= self.outside:
            return int(self.node.orders[0])
        best, at = np.inf, 0
        for kept in range(1 - min(self.outside, 1), len(self.balancing.left) + 1):  # a node has an order >= 1
            try:
                found = self.reduced(self.outside + kept, method)
            except InstabilityError:
                continue
            error = found.weighted if np.isnan(found.of_g) else found.of_g
            if error < best:
                best, at = error, self.outside + kept
            if error <= tolerance:
                return self.outside + kept
        raise ToleranceError(
            f"tolerance = {tolerance:g} is reached by no order of node {self.label!r} below its own, {int(self.node.orders[0])}; "
            f"the least error is {best:.2g}, at order {at}"
        )

    def _assembled(self, integrators: Realization, smaller: Realization) -> Nodes:
        if self.part == "closed_loop":
            return from_realization(self.label, parallel(integrators, smaller) if integrators.order else smaller)
        polynomial = self.node.polynomial.copy()
        polynomial[0] = smaller.d[0, 0] + (self.kept_index if self.passive else polynomial[0])
        sections = [(0, integrators), (0, self._proper(smaller))]
        return Nodes(self.node.labels, polynomial, make_banks([section for section in sections if section[1].order]))

    def _proper(self, system: Realization) -> Realization:
        """Without feedthrough, where that is damping."""
        return system._replace(d=np.zeros_like(system.d)) if self.part == "turbines" else system


def node_realization(node: Nodes) -> Realization:
    """State space of a single g."""
    return Network(node, np.zeros((1, 1)), "1").realization


def relative_error(before: Nodes, after: Nodes) -> float:
    """||g - g_r||_inf / ||g||_inf; NaN where g is unstable, infinite where only g_r is."""
    g, model = node_realization(before), node_realization(after)
    if not g.is_stable():
        return np.nan
    return hinf_norm(difference(g, model)).upper / hinf_norm(g).lower if model.is_stable() else np.inf
