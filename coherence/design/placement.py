r"""At which node storage helps most: derivatives of one figure by virtual inertia, damping or droop at every node.

    g_i^{-1} + theta_i k(s),    dJ/dtheta_i at theta = 0 for all nodes at once

J is the energy of outputs after impulses (`energy`, dense) or the extreme of one output after a disturbance
(`nadir_slopes`, any size); k is that of `storage`. Where a derivative is negative, storage improves the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from coherence.design.energy import energy, energy_value, require_few_states
from coherence.design.nadir_slopes import Place, located, nadir_slopes
from coherence.design.sharing import Shares, shared
from coherence.design.storage import Storage
from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes
from coherence.numerics.realization import pole_text
from coherence.simulation.disturbances import Disturbance
from coherence.types import Real

MEASURES = ("h2", "nadir")
CENTER = "CoI"
CLOSE = 0.95  # of the extreme: another one that a change may bring to the top
ROUNDING = 1e-9  # of the largest derivative: what is not told from 0, whatever the unit of the storage
LARGEST = 1e9  # weights: squares must stay numbers


@dataclass(frozen=True, eq=False)
class Figure:
    """What is to be made small, J, and by what: the same for a network and for its groups.

    Attributes
    ----------
    measure : str
        "h2" or "nadir".
    storage : Storage
    outputs : (q, n) array
        Weights of the outputs; one row for "nadir".
    inputs : (n, m) array
        Where the impulses of "h2" are; (n, 0) for "nadir".
    disturbance : Disturbance or None
        Of "nadir".
    time : (N,) array or None
        Of "nadir", as `simulate` takes it.
    """

    measure: str
    storage: Storage
    outputs: Real
    inputs: Real
    disturbance: Disturbance | None = None
    time: Any = None

    def value(self, network: Network) -> float:
        """J of a network of the same nodes."""
        if self.disturbance is None:
            return energy_value(network, self.inputs, self.outputs)
        return abs(located(network, self.disturbance, self.outputs[0], self.time).value)

    def derived(self, network: Network) -> tuple[float, Real, Real, Place | complex]:
        """J, dJ/dtheta_i, its estimated error, and where the extreme is or the mode that dies out most slowly."""
        if self.disturbance is None:
            found = energy(network, self.inputs, self.outputs, self.storage)
            largest = np.nanmax(np.abs(found.slopes), initial=0.0)  # of which both gramians have lost what J has lost
            return found.value, found.slopes, np.where(np.isnan(found.slopes), np.nan, 2 * found.gap * largest), found.slowest
        reached = nadir_slopes(network, self.disturbance, self.outputs[0], self.storage, self.time)
        return reached.value, reached.slopes, reached.error, reached.place

    def grouped(self, partition: Partition) -> Figure:
        """The same seen by a network of groups, y = P y_k: inputs P^T B, outputs C P."""
        p = partition.indicator
        disturbance = None if self.disturbance is None else self.disturbance.grouped(partition)
        return replace(self, outputs=self.outputs @ p, inputs=p.T @ self.inputs, disturbance=disturbance)


@dataclass(frozen=True, eq=False, repr=False)
class Placement(Page):
    """Derivatives of a figure J by storage at every node; see `placement`.

    Attributes
    ----------
    network : Network
    figure : Figure
        J and the kind of storage.
    value : float
        J: the energy int |y|^2 dt [grids: rad^2/s] of "h2", the largest |y| [grids: rad/s] of "nadir".
    table : DataFrame
        node -> sensitivity (dJ/dtheta, negative where storage improves), relative (divided by J), rank (1: improves most),
        error (estimated); NaN at nodes where there is no derivative.
    place : Place or complex
        Where and when the extreme of "nadir" is; of "h2" the pole that dies out most slowly [1/s].
    partition : Partition or None
    shares : (n, k) array or None
        How storage of a group is shared by its nodes; None without a partition.

    Examples
    --------
    >>> from coherence import Network, Step, swing
    >>> network = Network(swing(inertia=[1, 4], damping=[0.2, 0.4], labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> placement(network, Step({"a": -1.0}), measure="h2", by="damping").best
    'a'
    """

    network: Network
    figure: Figure
    value: float
    table: pd.DataFrame
    place: Place | complex
    partition: Partition | None
    shares: Real | None

    @property
    def sensitivity(self) -> pd.Series:
        """Node -> dJ/dtheta."""
        return self.table["sensitivity"]

    @property
    def best(self) -> str:
        """The node where a little storage lowers J most (or raises it least)."""
        return str(self.table["sensitivity"].idxmin())

    @property
    def norm(self) -> float:
        """sqrt(J) of "h2": the H2 norm."""
        if isinstance(self.place, Place):
            raise InputError("an extreme has no H2 norm; take measure='h2'")
        return float(np.sqrt(self.value))

    @property
    def groups(self) -> pd.DataFrame:
        """Group -> sensitivity per unit of storage shared by its nodes, rank, and the best node in it.

        Raises
        ------
        InputError
            No partition was given.
        """
        if self.partition is None or self.shares is None:
            raise InputError("there are no groups; give placement(..., partition=...)")
        slopes = self.table["sensitivity"].to_numpy()
        summed = pd.Series(_by_group(self.shares, slopes), index=pd.Index(self.partition.groups, name="group"))
        best = self.table["sensitivity"].groupby(self.partition.assignment).idxmin()
        return pd.DataFrame(
            {"sensitivity": summed, "relative": summed / self.value, "rank": _rank(summed), "best node": best.to_numpy()}
        )

    def realised(self, sizes: Mapping[str, float]) -> pd.Series:
        """What storage of finite sizes does, beside what the derivatives foretell.

        Parameters
        ----------
        sizes : mapping of node -> size
            theta_i, in the unit of the storage. A network of the changed nodes must be stable for "h2".

        Returns
        -------
        Series
            value (J without), predicted (J + sum dJ/dtheta_i theta_i), realised (J computed anew; the weights of an output "CoI"
            stay what they were), error (predicted less realised, relative to the change realised).

        Examples
        --------
        >>> from coherence import Network, swing
        >>> one = placement(Network(swing(inertia=[2.0], damping=0.5, labels=["a"]), [[0.0]], "1/s"), by="damping")
        >>> one.realised({"a": 0.5}).round(3).to_dict()
        {'value': 0.5, 'predicted': 0.0, 'realised': 0.25, 'error': 1.0}
        """
        theta = _weights(self.network, sizes, "sizes")
        slopes = self.table["sensitivity"].to_numpy()
        used = theta != 0
        predicted = self.value + float(slopes[used] @ theta[used])
        realised = self.figure.value(self.figure.storage.added(self.network, theta))
        change = abs(realised - self.value)
        error = abs(predicted - realised) / change if change > 0 else float("nan")
        return pd.Series({"value": self.value, "predicted": predicted, "realised": realised, "error": error})

    def check(self, reduced: Network) -> PlacementCheck:
        """Whether a network of one node per group would have placed storage alike.

        The reduced network has the same disturbance and output, seen through the groups (y = P y_k: inputs P^T B, outputs C P), so
        that both figures are of the same thing.

        Parameters
        ----------
        reduced : Network
            Its nodes are the groups of `partition`, as `aggregate` and `truncate` give it.

        Returns
        -------
        PlacementCheck

        Raises
        ------
        InputError
            No partition was given, or the nodes of the reduced network are not its groups.

        Examples
        --------
        >>> from coherence import Step, aggregate, coherent_groups, linearize, load_case
        >>> network = linearize(load_case("iceland"))
        >>> groups = coherent_groups(network, 3)
        >>> full = placement(network, Step({"Burfell 1-2": -1.0}), measure="nadir", partition=groups)
        >>> found = full.check(aggregate(network, groups, interconnection="quotient").network)
        >>> found.agrees
        True
        """
        groups = self.groups
        assert self.partition is not None
        require_nodes(reduced, "a check of a placement")
        if set(reduced.labels) != set(self.partition.groups):
            raise InputError(
                f"the reduced network has nodes {', '.join(reduced.labels[:3])}, ...; give one whose nodes are the groups of the "
                f"partition, {', '.join(self.partition.groups[:3])}, ..."
            )
        figure = self.figure.grouped(self.partition)
        order = [reduced.index(group) for group in self.partition.groups]
        if order != list(range(len(order))):
            reduced = _reordered(reduced, order)
        value, slopes, _, _ = figure.derived(reduced)
        table = pd.DataFrame({"reduced": slopes, "full": groups["sensitivity"]}, index=groups.index)
        table["error"] = (table["reduced"] - table["full"]).abs() / table["full"].abs().max()
        table["rank reduced"], table["rank full"] = _rank(table["reduced"]), groups["rank"]
        return PlacementCheck(table, (value, self.value))

    def __repr__(self) -> str:
        return f"Placement({self.figure.measure} by {self.figure.storage.by}; {self.network.size} nodes, best {self.best!r})"

    @property
    def facts(self) -> dict[str, str]:
        """The figure, the storage, and what the derivatives say."""
        slopes = self.table["sensitivity"]
        out = {"J": self._sentence, "storage": self.figure.storage.sentence}
        out["best node"] = f"{self.best!r}: dJ/dtheta = {slopes.min():.4g}, {100 * slopes.min() / self.value:.3g} % of J per unit"
        known, small = slopes.dropna(), self._unsure
        better, worse = int(((known < 0) & ~small).sum()), int(((known > 0) & ~small).sum())
        out["nodes"] = f"{better} of {len(slopes)} improve J, {worse} make it worse"
        if small.any():
            out["nodes"] += f", {int(small.sum())} do neither beyond what their derivatives are known to"
        if len(known) < len(slopes):
            out["without derivative"] = (
                f"{len(slopes) - len(known)}, {slopes.index[slopes.isna()][0]!r} among them: without inertia they follow the "
                "disturbance, or move the output, at once"
            )
        if not isinstance(self.place, Place):
            out["slowest mode"] = f"{pole_text(self.place)} 1/s; derivatives speak of changes that are small beside its damping"
        elif self.place.rival[0] >= CLOSE * self.value:
            size, at = self.place.rival
            out["another extreme"] = f"{100 * size / self.value:.4g} % of it at {at:.4g} s: a finite change may make it the extreme"
        return out

    @property
    def _unsure(self) -> pd.Series:
        """Node -> whether its derivative is below its error or rounding, of the nodes that have one."""
        known = self.table.dropna(subset="sensitivity")
        size = known["sensitivity"].abs()
        return size <= np.maximum(known["error"], ROUNDING * size.max())

    @property
    def _sentence(self) -> str:
        if not isinstance(self.place, Place):
            return f"{self.value:.6g}, the energy of the outputs after unit impulses; H2 norm {self.norm:.6g}"
        return f"{self.value:.6g}, the size of the extreme {self.place.value:.6g} at {self.place.at:.4g} s: {self.place.kind}"

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Nodes, best first, and groups."""
        tables = {"nodes": self.table.sort_values("sensitivity")}
        return tables if self.partition is None else tables | {"groups": self.groups}


@dataclass(frozen=True, eq=False, repr=False)
class PlacementCheck(Page):
    """Placement by groups on a reduced network, beside that on the full one; see `Placement.check`.

    Attributes
    ----------
    table : DataFrame
        group -> reduced, full (dJ/dtheta of the group), error (relative to the largest of the full network), both ranks.
    values : (float, float)
        J of the reduced network and of the full one.

    Examples
    --------
    >>> from coherence import Network, Partition, Step, placement, swing
    >>> network = Network(swing(inertia=[1, 1], damping=[0.2, 0.2], labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    >>> one = Partition.of(["all", "all"], labels=["a", "b"])
    >>> found = placement(network, Step({"a": -1.0, "b": -1.0}), measure="nadir", partition=one, time=[0.0, 1.0, 2.0])
    >>> found.check(network.project(one)).error < 1e-3
    True
    """

    table: pd.DataFrame
    values: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether the groups rank alike."""
        return bool((self.table["rank reduced"] == self.table["rank full"]).all())

    @property
    def error(self) -> float:
        """The largest error of a group."""
        return float(self.table["error"].max())

    def __repr__(self) -> str:
        return f"PlacementCheck({len(self.table)} groups, {'same' if self.agrees else 'another'} ranking, error {self.error:.3g})"

    @property
    def facts(self) -> dict[str, str]:
        """J of both, the ranking and the largest error."""
        reduced, full = self.values
        best = [str(self.table[name].idxmin()) for name in ("reduced", "full")]
        return {
            "J": f"{reduced:.6g} of the reduced network, {full:.6g} of the full one ({100 * abs(reduced - full) / full:.2g} % off)",
            "ranking of groups": "the same" if self.agrees else "not the same",
            "best group": f"{best[0]!r} in both" if best[0] == best[1] else f"{best[0]!r} reduced, {best[1]!r} full",
            "largest error": f"{self.error:.3g} of the largest derivative",
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Group by group."""
        return {"groups": self.table}


def placement(
    network: Network,
    disturbance: Disturbance | Mapping[str, float] | pd.Series | None = None,
    *,
    measure: str = "h2",
    by: str = "inertia",
    time_constant: float | None = None,
    output: str | Mapping[str, float] | pd.Series | None = None,
    time: object = None,
    partition: Partition | None = None,
    shares: Shares = "inertia",
) -> Placement:
    r"""Where storage helps: dJ/dtheta_i of g_i^{-1} + theta_i k(s) at theta = 0, for all nodes at once.

    Parameters
    ----------
    network : Network
        Of rational nodes. For "h2" stable, of at most 1500 states.
    disturbance : Disturbance, mapping of node -> intensity, or None
        Of "nadir": as for `simulate`. Of "h2": the impulses. A disturbance stands for one impulse of its spatial shape (one for
        each term of a sum, their energies added). A mapping gives independent white noises of intensity w_i, the level of their
        two-sided spectral density: J = sum_i w_i int |T e_i|^2 dt is the stationary variance of the outputs. None is intensity 1
        at every node with dynamics.
    measure : str
        "h2": J = ||C T B||_2^2 = int |y|^2 dt, summed over impulses [grids: rad^2/s for impulses of 1 pu s]. "nadir": J = the
        largest |y| of one output over time [grids: rad/s].
    by : str
        "inertia" (k = s), "damping" (k = 1) or "droop" (k = 1/(tau s + 1)).
    time_constant : float, optional
        tau of "droop" [s].
    output : str, mapping of node -> weight, or None
        "CoI", a node, or weights of one sum of outputs. None: of "h2" every node with dynamics (Euclidean), of "nadir" the center
        of inertia.
    time : (N,) array, optional
        Of "nadir": the times within which the extreme is looked for, as for `simulate`; they are refined.
    partition : Partition, optional
        Groups, for `Placement.groups` and `Placement.check`.
    shares : str or mapping of node -> share
        How storage of a group is shared by its nodes: "inertia", "equal" or weights.

    Returns
    -------
    Placement
        Negative derivatives improve J. Nodes where none exists are NaN: what storage there adds would pass at once.

    Raises
    ------
    InputError
        A wrong measure or kind of storage, an output or a disturbance that does not fit, too many states, or an infinite energy.
    InstabilityError
        "h2" of a network that is unstable or has a mode that does not die out.
    ToleranceError
        The derivatives of an extreme are not known to 1e-4 of the largest.

    Notes
    -----
    "h2" costs two Lyapunov equations, O(N^3) of N states. "nadir" costs three simulations and a convolution, whatever the number of
    nodes; for the derivative the time of the extreme may be held (envelope theorem), also where it is the end of the horizon,
    which the facts then say. Stability is not needed there.

    An impulse of 1 pu s moves a small machine far, so that "h2" without intensities is mostly about the smallest ones; intensities
    that grow with the machines (their inertia squared) weigh what happens to all.

    Derivatives speak of small changes. Where a mode is hardly damped, "small" is small beside its damping, which the facts give;
    where two extremes are nearly of one size, a finite change may bring the other to the top. `Placement.realised` computes the
    truth.

    References
    ----------
    B. K. Poolla, S. Bolognani, F. Doerfler, Optimal placement of virtual inertia in power grids, IEEE TAC 62 (2017).

    Examples
    --------
    >>> from coherence import Step, linearize, load_case
    >>> found = placement(linearize(load_case("iceland")), Step({"Burfell 1-2": -1.0}), measure="nadir")
    >>> found.best, round(found.value, 2)
    ('Burfell 1-2', 3.92)
    """
    require_nodes(network, "a placement of storage")
    network.nodes.require_rational("a placement of storage")
    if measure not in MEASURES:
        raise InputError(f"measure = {measure!r}; give 'h2' or 'nadir'")
    if measure == "h2":
        require_few_states(network)
    storage = Storage(by, time_constant)
    figure = Figure(measure, storage, _outputs(network, output, measure), np.zeros((network.size, 0)))
    if measure == "h2":
        if time is not None:
            raise InputError("the energy is over all time; leave out time, or take measure='nadir'")
        figure = replace(figure, inputs=_inputs(network, disturbance))
    elif not isinstance(disturbance, Disturbance):
        raise InputError(
            f"an extreme needs a disturbance over time; this is a {type(disturbance).__name__}: give Step({{node: size}})"
        )
    else:
        figure = replace(figure, disturbance=disturbance, time=time)
    weights = None if partition is None else shared(network, partition, shares)
    value, slopes, error, place = figure.derived(network)
    index = pd.Index(network.labels, name="node")
    sensitivity = pd.Series(slopes, index=index)
    if sensitivity.isna().all():
        raise InputError(
            "no node has a derivative: the disturbance acts at once on all; take another one, or another kind of storage"
        )
    table = pd.DataFrame(
        {"sensitivity": sensitivity, "relative": sensitivity / value, "rank": _rank(sensitivity), "error": error}, index=index
    )
    return Placement(network, figure, value, table, place, partition, weights)


def _outputs(network: Network, output: Any, measure: str) -> Real:
    inertia = network.nodes.inertia
    if output is None and measure == "h2":
        return np.asarray(np.eye(network.size)[~network.nodes.passive])
    if output is None or (isinstance(output, str) and output == CENTER):
        if not inertia.sum() > 0:
            raise InputError("the network has no inertia, so there is no center of inertia; give output= a node or weights")
        return np.asarray(inertia[None] / inertia.sum())
    weights = _weights(network, {output: 1.0} if isinstance(output, str) else output, "output")
    if not weights.any():
        raise InputError("output has no weight that is not zero; give one")
    return weights[None]


def _inputs(network: Network, disturbance: Any) -> Real:
    if disturbance is None:
        return np.asarray(np.eye(network.size)[:, ~network.nodes.passive])
    if isinstance(disturbance, Disturbance):
        columns = np.column_stack([part.vector(network) for part in disturbance.terms])
    else:
        level = _weights(network, disturbance, "the intensities")
        if level.min() < 0:
            raise InputError(f"the intensity of node {network.labels[int(level.argmin())]!r} is negative; give numbers >= 0")
        columns = np.diag(np.sqrt(level))[:, level > 0]
    if not columns.any():
        raise InputError("the disturbance is zero at every node; give it a size")
    return np.asarray(columns)


def _weights(network: Network, given: Any, what: str) -> Real:
    if not isinstance(given, (Mapping, pd.Series)):
        raise InputError(f"{what} is a {type(given).__name__}; give node -> number")
    weights = np.zeros(network.size)
    for label, value in dict(given).items():
        if isinstance(value, (bool, complex)) or not isinstance(value, (int, float, np.number)) or not abs(float(value)) <= LARGEST:
            raise InputError(f"{what} at node {label!r} is {value!r}; give a finite number of at most {LARGEST:g}")
        weights[network.index(str(label))] = float(value)
    return weights


def _by_group(shares: Real, slopes: Real) -> Real:
    """Sums over the nodes that have a share, (k,)."""
    return np.asarray(np.where(shares != 0, shares * slopes[:, None], 0.0).sum(axis=0))


def _rank(slopes: pd.Series) -> pd.Series:
    """1 for the least; the last for those without a derivative."""
    return slopes.rank(method="first", na_option="bottom").astype(int)


def _reordered(network: Network, order: list[int]) -> Network:
    return Network(network.nodes.select(order), network.dense_laplacian[np.ix_(order, order)], network.coupling)
