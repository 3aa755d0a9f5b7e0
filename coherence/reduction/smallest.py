r"""The smallest reduced network for an accuracy: groups, interconnection and orders together, certified over a band.

    fewest states   such that   ||T - P T_k P^T|| / ||T|| <= tolerance   on s = decay + j omega, omega in the band

Sampled searches propose, from the fewest groups on that the tolerance allows (`search`: with proof): groupings, joined by the
quotient P^T L P or, where that is not enough, by weights fitted over the band (`interconnection`), with the lowest orders that
still meet the tolerance (`orders`). What is returned is certified between the samples (`theory.certificate`); where the
certificate finds more than the samples did, its frequency joins them and the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.graphs.partition import Partition
from coherence.groups.spectral import require_seed
from coherence.network.network import Network
from coherence.numerics.balancing import Band
from coherence.progress import Progress, silent
from coherence.reduction.interconnection import band_samples, fitted_laplacian
from coherence.reduction.orders import NodeModels, OrderSearch
from coherence.reduction.picking import require_tolerance
from coherence.reduction.search import GroupSearch, Samples, least_groups
from coherence.theory.certificate import LEAST_GAP, CertifiedError, certified_error, relative_errors, require_certifiable
from coherence.theory.damping import is_stable, require_damped
from coherence.types import ArrayLike

MARGIN = 0.995  # of the tolerance, for what the samples may see: the rest is for what lies between them
ROUNDS = 6  # of certificates
BELOW = 3  # numbers of groups below what linkages need that are tried
PATIENCE = 3  # numbers of groups that are tried without fewer states
FITTED = 20  # groups up to which weights are fitted: beyond, the quotient is within a per cent of the best


@dataclass(frozen=True, eq=False, repr=False)
class Reduction(Page):
    """The smallest reduced network found for an accuracy; see `reduce`.

    Attributes
    ----------
    network : Network
        One node per group, of low order.
    partition : Partition
    interconnection : "quotient" or "fitted"
    tolerance : float
    error : CertifiedError
        Of `network`; error.upper <= tolerance.
    ledger : DataFrame
        Where the error comes from, step by step: "groups" (the least error that any model of these groups can have, whatever
        its nodes and interconnection; from below), "interconnection" (these groups with all their states), "orders" (the result),
        each with its nodes, states, and the lower and upper end of its error.
    least_groups : int
        Every model of one node per group that meets the tolerance has at least as many groups. 1 says nothing.
    full : Network

    Examples
    --------
    >>> from coherence import linearize, load_case, reduce
    >>> small = reduce(linearize(load_case("iceland")), band=(0, 3.14), tolerance=0.1)
    >>> small.network.size <= 6, small.error.upper <= 0.1
    (True, True)
    """

    network: Network
    partition: Partition
    interconnection: str
    tolerance: float
    error: CertifiedError
    ledger: pd.DataFrame
    least_groups: int
    full: Network

    @property
    def orders(self) -> pd.Series:
        """Group -> order of its node."""
        return pd.Series(self.network.nodes.orders, index=pd.Index(self.partition.groups, name="group"), name="order")

    def errors(self, omega: ArrayLike) -> pd.Series:
        """||T - P T_k P'|| / ||T|| at frequencies > 0 [rad/s]."""
        w = np.atleast_1d(np.asarray(omega, dtype=float))
        found = relative_errors(self.full, self.partition, self.network, w, decay=self.error.decay, outputs=self.error.outputs)
        return pd.Series(found, index=pd.Index(w, name="omega [rad/s]"), name="relative error")

    @cached_property
    def stability(self) -> str:
        """What is known of both networks."""
        words = {True: "stable", False: "unstable", None: "not computed"}
        return f"network {words[is_stable(self.full)]}, reduced network {words[is_stable(self.network)]}"

    @property
    def facts(self) -> dict[str, str]:
        """What was asked, what was reached."""
        low, high = self.error.band
        what = "every node" if self.error.outputs == "nodes" else "the center of inertia of every group"
        line = f", on Re s = {self.error.decay:g}" if self.error.decay else ""
        out = {
            "asked": f"{self.tolerance:g} of ||T|| at {what}, {low:g} to {high:g} rad/s ({high / (2 * np.pi):.3g} Hz){line}",
            "certified": f"{self.error.upper:.4g}; {self.error.lower:.4g} attained at {self.error.omega:.4g} rad/s",
            "size": (
                f"{self.full.size} -> {self.network.size} nodes, {self.full.order} -> {self.network.order} states, "
                f"{self.interconnection} interconnection"
            ),
            "stability": self.stability,
        }
        if self.least_groups > 1:
            out["fewest possible"] = f"no model of fewer than {self.least_groups} groups meets the tolerance"
        return out

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The ledger, and the groups with their orders."""
        groups = self.partition.tables["groups"].copy()
        groups.insert(2, "order", self.network.nodes.orders)
        return {"where the error comes from": self.ledger, "groups": groups}

    def __repr__(self) -> str:
        return (
            f"Reduction({self.full.size} -> {self.network.size} nodes, {self.full.order} -> {self.network.order} states, "
            f"error {self.error.upper:.4g} of {self.tolerance:g} allowed)"
        )


def reduce(
    network: Network,
    *,
    band: tuple[float, float] | Band,
    tolerance: float,
    groups: int | Partition | None = None,
    outputs: str = "nodes",
    decay: float = 0.0,
    random_state: int = 0,
    progress: Progress = silent,
) -> Reduction:
    r"""The smallest reduced network whose certified error over a band meets a tolerance: groups, interconnection and orders.

    Parameters
    ----------
    network : Network
        Connected, of rational nodes, at most 1000.
    band : (low, high) or Band
        0 <= low < high [rad/s].
    tolerance : float
        Of ||T - P T_k P'||_2 / ||T||_2 at every frequency of the band; between 1e-6 and 1.
    groups : int or Partition, optional
        How many groups, or which; by default as few as the tolerance allows without more states.
    outputs : "nodes" or "groups"
        Whether the groups' responses stand for each of their nodes, or for their centers of inertia only; see `certified_error`.
    decay : float
        Errors are taken at s = decay + j omega, that is of responses times e^{-decay t} [1/s]; undamped networks need it > 0.
    random_state : int
        Seed of the groupings that draw starts.
    progress : callable (stage, fraction done)

    Returns
    -------
    Reduction
        The network with the fewest states (and, of those, nodes) that was found. That is a search, not a proof; proved are its
        error and `least_groups`.

    Raises
    ------
    ToleranceError
        The groups asked for cannot meet the tolerance; what they reach, and how many groups it takes, stand in the message. Or the
        tolerance is so close to what the samples see that six rounds of certificates do not settle it.
    InputError
        A tolerance or band out of range, more groups than nodes, a partition of other nodes, or an undamped mode in the band.
    DisconnectedError
        The network falls apart.

    Notes
    -----
    The full network itself, with every node a group, meets every tolerance: what cannot be joined stays apart. A tolerance of
    `outputs="nodes"` asks the most: machines of one group differ by their swings against each other, whose frequency must lie well
    above the band. Where the network is stable so is what is returned (if poles can be had: up to 1500 states, no passive nodes).
    Weights are fitted up to 20 groups. From some 300 nodes on groups are taken as linkages and methods propose them: moving single
    nodes would take too long.

    References
    ----------
    S. Parrott, On a quotient norm and the Sz.-Nagy-Foias lifting theorem (1978), for the floor of the ledger.

    Examples
    --------
    >>> from coherence import linearize, load_case, reduce
    >>> network = linearize(load_case("iceland"))
    >>> reduce(network, band=(0, 3.14), tolerance=0.05, outputs="groups").network.size
    1
    """
    return _Search(network, Band.of(band), tolerance, groups, outputs, decay, random_state, progress).run()


class _Model(NamedTuple):
    partition: Partition
    network: Network
    interconnection: str
    error: float  # at the samples


class _Search:
    """Proposals by samples, the best of them certified."""

    def __init__(
        self,
        network: Network,
        band: Band,
        tolerance: float,
        groups: int | Partition | None,
        outputs: str,
        decay: float,
        random_state: int,
        progress: Progress,
    ) -> None:
        self.network, self.band, self.outputs, self.decay, self.progress = network, band, outputs, decay, progress
        self.tolerance = require_tolerance(tolerance)
        if not 1e-6 <= self.tolerance < 1:
            raise InputError(f"tolerance = {tolerance!r}; give a number from 1e-6 to 1, such as 0.03 for 3 %")
        require_certifiable(network, "a reduction")
        require_damped(network, band, decay)
        require_seed(random_state)
        n = network.size
        if (
            groups is not None
            and not isinstance(groups, Partition)
            and (isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or not 1 <= groups <= n)
        ):
            raise InputError(
                f"groups is {groups!r:.40}; give a number from 1 to {n}, a Partition (see Partition.from_groups), or nothing"
            )
        if isinstance(groups, Partition) and groups.labels != network.labels:
            raise InputError("the partition is of other nodes than this network's; build it from network.labels")
        self.groups = groups
        self.stable = is_stable(network) is True
        self.samples = Samples(network, band_samples(network, band), decay=decay, outputs=outputs)
        self.search = GroupSearch(self.samples, random_state)
        self.models = NodeModels(self.samples, band)
        self.goal = MARGIN * self.tolerance
        self._fits: dict[bytes, Network] = {}
        self._least: dict[int, int] = {}

    def run(self) -> Reduction:
        """Propose, certify, and propose again with what the certificate found."""
        for _ in range(ROUNDS):
            model = self._smallest()
            self.progress("certifying", 0.9)
            error = self._certified(model)
            if error.lower < self.tolerance < error.upper:
                error = self._certified(model, gap=max(LEAST_GAP, 0.9 * (self.tolerance / error.lower - 1)))
            if error.upper <= self.tolerance:
                return self._result(model, error)
            self.samples.add(np.array([error.omega]))
            if error.lower <= self.goal:
                self.goal *= min(MARGIN, self.tolerance / error.upper)
        raise ToleranceError(
            f"the tolerance {self.tolerance:g} was met at the samples, but the certificate stays at {error.upper:.4g}; ask for a "
            "little less, or for a narrower band"
        )

    def _certified(self, model: _Model, gap: float = 0.01) -> CertifiedError:
        band = (self.band.low, self.band.high)
        return certified_error(
            self.network,
            model.partition,
            model.network,
            band=band,
            decay=self.decay,
            outputs=self.outputs,
            gap=gap,
            floor=0.01 * self.tolerance,
        )

    def _smallest(self) -> _Model:
        if self.groups is not None:
            model = self._given()
            return self._lowered(model)
        best: _Model | None = None
        waited = 0
        for k in self._counts():
            self.progress(f"{k} groups", 0.1 + 0.8 * k / self.network.size)
            model = self._joined(self.search.at(k))
            if model.error > self.goal:
                continue
            model = self._lowered(model)
            if best is None or model.network.order < best.network.order:
                best, waited = model, 0
            else:
                waited += 1
            if waited == PATIENCE or self._least_order(k + 1) >= best.network.order:
                break
        assert best is not None  # every node a group has no error
        return best

    def _least_order(self, k: int) -> int:
        """One state a node, and the coupling's for each but one."""
        return k + (k - 1) * self.network.coupling.order

    def _counts(self) -> Iterable[int]:
        """Numbers of groups in the order they are tried."""
        least = self._least_groups()
        if self.outputs == "nodes":
            least = max(least, self.search.fewest(self.goal) - BELOW)
        return range(least, self.network.size + 1)

    def _least_groups(self) -> int:
        at = len(self.samples.omega)
        if at not in self._least:
            self._least[at] = least_groups(self.samples, self.tolerance)
        return self._least[at]

    def _given(self) -> _Model:
        assert self.groups is not None
        partitions = (self.groups,) if isinstance(self.groups, Partition) else self.search.at(int(self.groups))
        model = self._joined(partitions)
        if np.isinf(model.error):
            raise ToleranceError(f"these {model.partition.k} groups leave the network unstable, which is stable; give others")
        if model.error > self.goal:
            found = self._certified(model, gap=0.05)
            if found.upper > self.tolerance:
                least = self._least_groups()
                more = f"; the tolerance takes at least {least}" if least > partitions[0].k else ""
                raise ToleranceError(
                    f"{partitions[0].k} groups with all their states reach {found.upper:.3g} over the band (attained: "
                    f"{found.lower:.3g} at {found.omega:.3g} rad/s), not {self.tolerance:g}{more}; give more groups, a larger "
                    "tolerance or a narrower band"
                )
        return model

    def _joined(self, partitions: tuple[Partition, ...]) -> _Model:
        """The groups with all their states: joined by the quotient where that meets the tolerance, otherwise by fitted weights."""
        models = [self._model(p, self.network.project(p), "quotient") for p in partitions]
        best = min(models, key=lambda m: m.error)
        if best.error <= self.goal or partitions[0].k == 1 or partitions[0].k > FITTED:
            return best
        for floor, p in sorted(((float(self.samples.floors(p).max()), p) for p in partitions), key=lambda pair: pair[0]):
            if floor <= self.goal < best.error:
                best = min(best, self._model(p, self._fitted(p), "fitted"), key=lambda m: m.error)
        return best

    def _fitted(self, partition: Partition) -> Network:
        key = partition.assignment.tobytes()
        if key not in self._fits:
            self._fits[key] = fitted_laplacian(self.network, partition, band=self.band, decay=self.decay).network
        return self._fits[key]

    def _model(self, partition: Partition, reduced: Network, interconnection: str) -> _Model:
        errors = self.samples.errors(partition, self.samples.inverses(reduced), reduced.dense_laplacian)
        error = np.inf if self.stable and is_stable(reduced) is False else float(errors.max())
        return _Model(partition, reduced, interconnection, error)

    def _lowered(self, model: _Model) -> _Model:
        search = OrderSearch(self.models, model.partition, model.network)
        picked = search.lowest(self.goal)
        return self._model(model.partition, search.network(picked), model.interconnection)

    def _result(self, model: _Model, error: CertifiedError) -> Reduction:
        partition = model.partition
        whole = self.network.project(partition)
        joined = Network(whole.nodes, model.network.laplacian, self.network.coupling)
        before = error if joined.order == model.network.order else self._certified(model._replace(network=joined), gap=0.02)
        rows = {
            "groups": (self.samples.floors(partition).max(), np.nan, whole.order),
            "interconnection": (before.lower, before.upper, joined.order),
            "orders": (error.lower, error.upper, model.network.order),
        }
        ledger = pd.DataFrame.from_dict(rows, orient="index", columns=["error, lower", "error, upper", "states"])
        ledger.insert(0, "nodes", partition.k)
        ledger.index.name = "step"
        least = self._least_groups()
        return Reduction(model.network, partition, model.interconnection, self.tolerance, error, ledger, least, self.network)
