r"""Errors between a network and smaller models of it: L2 and L-infinity of the step error, H-infinity of the transfer error.

For a step u and a model with lift P (outputs of the model to nodes), e = T u - P T_model P^T u. Reported are
||e||_L2 = (integral of sum_i e_i^2)^(1/2) from a gramian, max_i sup_t |e_i(t)|, and sup_w ||(T - P T_model P^T)(jw) u||_2 as a
certified interval (u as given, not normalised). All are over the whole half line, not a simulated window.
`response_difference` compares what was simulated, under any disturbance: norms over that time, between samples too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.norms import Supremum, hinf_norm, step_l2, step_peak
from coherence.numerics.realization import Realization, difference, without_hidden
from coherence.simulation.disturbances import Step
from coherence.simulation.response import Curve, Knots, Response


@dataclass(frozen=True)
class StepError:
    """Norms of a step error. Units for grids: rad/s^(1/2), rad/s, s, rad/s.

    Attributes
    ----------
    l2, linf : float
        Infinite when the steady states differ (l2) or, by convention, when the difference does not settle (both).
    linf_upper : float
        Upper bound on the supremum: about 0.1 % above the attained `linf`, more where modes are hardly damped.
    node : str
        Where `linf` is attained.
    time : float
        When it is attained [s].
    hinf : Supremum

    Examples
    --------
    >>> from coherence import Step, coherent_dynamics, linearize, load_case, step_error
    >>> network = linearize(load_case("iceland"))
    >>> error = step_error(network, coherent_dynamics(network), Step({"Burfell 1-2": -0.1}))
    >>> error.node, bool(error.linf <= error.linf_upper)
    ('Burfell 1-2', True)
    """

    l2: float
    linf: float
    linf_upper: float
    node: str
    time: float
    hinf: Supremum


def step_error(full: Network, model: Network, step: Step, partition: Partition | None = None) -> StepError:
    """How far a smaller model's step response is from the full network's.

    Parameters
    ----------
    full : Network
    model : Network
        One node per group of `partition`.
    step : Step
        At nodes of the full network.
    partition : Partition, optional
        None: `model` has the same nodes as `full`, or is a single node along which all move.

    Returns
    -------
    StepError
        l2 [rad/s^(1/2) for grids], linf with its upper bound [rad/s], where and when, hinf as an interval.

    Raises
    ------
    InputError
        The partition does not relate the two networks.
    UnknownNameError
        The step names a node that does not exist.

    Examples
    --------
    >>> from coherence import Step, coherent_dynamics, linearize, load_case, step_error
    >>> network = linearize(load_case("iceland"))
    >>> bool(step_error(network, coherent_dynamics(network), Step({"Blanda 1": -0.1})).linf > 0)
    True
    """
    u = _shape(step, full)
    lift = _lift(full, model, partition)
    ours = full.realization.transformed(right=u)
    theirs = model.realization.transformed(left=lift, right=lift.T @ u)
    return _norms(difference(ours, theirs), full.labels)


def coi_error(full: Network, coherent: Network, step: Step) -> StepError:
    """How far the center of inertia of the full network is from the coherent dynamics.

    Parameters
    ----------
    full : Network
        Nodes with inertia.
    coherent : Network
        One node, e.g. `coherent_dynamics(full)`.
    step : Step
        At nodes of the full network.

    Returns
    -------
    StepError
        Of the one output CoI; units as there.

    Raises
    ------
    InputError
        The network has no inertia.
    UnknownNameError
        The step names a node that does not exist.

    Examples
    --------
    >>> from coherence import Step, coherent_dynamics, coi_error, linearize, load_case
    >>> network = linearize(load_case("iceland"))
    >>> coi_error(network, coherent_dynamics(network), Step({"Blanda 1": -0.1})).linf < 1e-2
    True
    """
    if not full.nodes.inertia.sum() > 0:
        raise InputError("the network has no inertia, so it has no center of inertia")
    if coherent.size != 1:
        raise InputError(f"the coherent dynamics has {coherent.size} nodes; give one node")
    weights = (full.nodes.inertia / full.nodes.inertia.sum())[None, :]
    u = _shape(step, full)
    ours = full.realization.transformed(left=weights, right=u)
    theirs = coherent.realization.transformed(right=np.array([[u.sum()]]))
    return _norms(difference(ours, theirs), ["CoI"])


def step_size(full: Network, step: Step) -> StepError:
    """The same norms of the response itself, to set errors against (the L2 norm is infinite unless it dies out).

    Parameters
    ----------
    full : Network
    step : Step
        At nodes of the network.

    Returns
    -------
    StepError
        Norms of T u instead of an error.

    Raises
    ------
    UnknownNameError
        The step names a node that does not exist.

    Examples
    --------
    >>> from coherence import Network, Step, step_size, swing
    >>> pair = Network(swing(inertia=[1, 1], damping=[1, 1]), [[1, -1], [-1, 1]], "1/s")
    >>> round(step_size(pair, Step({"1": 1.0})).linf, 3)
    0.559
    """
    return _norms(full.realization.transformed(right=_shape(step, full)), full.labels)


@dataclass(frozen=True, eq=False, repr=False)
class ResponseDifference(Page):
    """How far two responses are apart, node by node; see `response_difference`.

    Attributes
    ----------
    frame : DataFrame
        The differences, index t [s].
    norms : DataFrame
        node -> l2 over the time simulated [grids: rad/s^(1/2)], linf [rad/s] and when it is attained [s].
    error : float
        What the estimated errors of the two simulations, and the samples between which cubics stand, may add to linf.

    Examples
    --------
    >>> from coherence import Pulse, coherent_dynamics, linearize, load_case, response_difference, simulate
    >>> network = linearize(load_case("iceland"))
    >>> pulse, model = Pulse({"Blanda 1": -0.1}, duration=0.5), coherent_dynamics(network)
    >>> full = simulate(network, pulse)
    >>> response_difference(full, simulate(model, pulse.at_one("coherent"), full.time)).norms["linf"].idxmax()
    'Blanda 2'
    """

    frame: pd.DataFrame
    norms: pd.DataFrame
    error: float
    _sources: tuple[Response, Response, Partition | None] | None = field(default=None, repr=False)

    @property
    def l2(self) -> float:
        """Of all nodes together."""
        return float(np.linalg.norm(self.norms["l2"]))

    @property
    def linf(self) -> float:
        """The largest of any node."""
        return float(self.norms["linf"].max())

    @cached_property
    def all_time(self) -> StepError:
        """The norms over the half line, L2 by a gramian, for a step from t = 0 on; see `step_error`.

        Raises
        ------
        InputError
            Another disturbance, or responses that are not those of networks.
        """
        if self._sources is None or self._sources[0].source is None or self._sources[1].source is None:
            raise InputError("norms over all time are of the responses of two networks; these come from elsewhere")
        (full, step, first), (model, _, second) = self._sources[0].source, self._sources[1].source
        if not isinstance(full, Network) or not isinstance(model, Network):
            raise InputError("norms over all time are of the responses of two networks; at least one of these is under feedback")
        if not isinstance(step, Step) or step.start != 0 or first or second:
            raise InputError("norms over all time are of a step at t = 0 from rest; others are over the time simulated")
        return step_error(full, model, step, self._sources[2])

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Node by node, the farthest first (up to ten)."""
        return {"difference": self.norms.sort_values("linf", ascending=False).head(10)}

    def __repr__(self) -> str:
        where = self.norms["linf"].idxmax()
        return f"ResponseDifference({len(self.norms)} nodes, L2 {self.l2:.4g}, Linf {self.linf:.4g} at {where!r})"


def response_difference(full: Response, model: Response, partition: Partition | None = None) -> ResponseDifference:
    """The difference of two responses at the same times, as values with norms.

    Parameters
    ----------
    full : Response
    model : Response
        Of the same nodes; of one node, along which all move; or of one node per group.
    partition : Partition, optional
        Which nodes stand for which.

    Returns
    -------
    ResponseDifference
        Between samples of the cubics through outputs and derivatives, so that peaks are not those of the sampling.

    Raises
    ------
    InputError
        Other times, or outputs that do not relate.

    Examples
    --------
    >>> from coherence import Step, aggregate, linearize, load_case, response_difference, simulate, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> groups, step = spectral_groups(network, 3), Step({"Blanda 1": -0.1})
    >>> small = aggregate(network, groups).network
    >>> full = simulate(network, step)
    >>> found = response_difference(full, simulate(small, step.grouped(groups), full.time), groups)
    >>> bool(found.linf <= found.all_time.linf_upper)
    True
    """
    if len(full.knots.time) != len(model.knots.time) or not np.allclose(full.knots.time, model.knots.time, rtol=1e-12, atol=0):
        raise InputError("the responses have other times, or other events; simulate both at the same times, with the same signals")
    labels, others = tuple(map(str, full.frame.columns)), tuple(map(str, model.frame.columns))
    ours, theirs = full.knots.columns(np.arange(len(labels))), model.knots.columns(_places(labels, others, partition))
    value, rate = ours.value - theirs.value, ours.rate - theirs.rate
    left = [a - b for a, b in zip(ours.left, theirs.left, strict=True)]
    at = np.union1d(ours.at, theirs.at).astype(int)
    curve = Curve(Knots(ours.time, value, rate, at, left[0][at], left[1][at]))
    peak, when = curve.extremes()
    norms = pd.DataFrame({"l2": curve.l2(), "linf": np.abs(peak), "at [s]": when}, index=pd.Index(labels, name="node"))
    rows = np.searchsorted(ours.time, full.time)
    frame = pd.DataFrame(value[rows], index=full.frame.index, columns=list(labels))
    error = full.error + model.error + float(curve.hidden().max())
    return ResponseDifference(frame, norms, error, (full, model, partition))


def _shape(step: Step, full: Network) -> np.ndarray:
    """The sizes of a step as one column; other disturbances have other norms."""
    if not isinstance(step, Step):
        raise InputError(f"errors are of steps; this is a {type(step).__name__}, whose responses can be simulated and compared")
    return step.vector(full)[:, None]


def _norms(error: Realization, labels: list[str] | tuple[str, ...]) -> StepError:
    error = without_hidden(error)
    if not error.is_stable():
        return StepError(np.inf, np.inf, np.inf, "", np.inf, Supremum(np.inf, np.inf, float(abs(error.poles()[0].imag))))
    peak = step_peak(error)
    return StepError(step_l2(error), peak.value, peak.upper, labels[peak.output], float(peak.time), hinf_norm(error))


def _lift(full: Network, model: Network, partition: Partition | None) -> np.ndarray:
    """P with outputs of `full` = P outputs of `model`; nodes are matched by label."""
    return _related(full.labels, model.labels, partition)


def _related(labels: tuple[str, ...], others: tuple[str, ...], partition: Partition | None) -> np.ndarray:
    if partition is not None:
        if partition.labels != labels or partition.k != len(others):
            raise InputError(
                f"the partition has {len(partition.labels)} nodes in {partition.k} groups; the networks have "
                f"{len(labels)} and {len(others)} nodes"
            )
        return partition.indicator @ _matched(partition.groups, others, "groups of the partition")
    if len(others) == 1:
        return np.ones((len(labels), 1))
    if len(others) != len(labels):
        raise InputError(f"the model has {len(others)} nodes and the network {len(labels)}; give the partition that relates them")
    return _matched(labels, others, "nodes of the network")


def _places(labels: tuple[str, ...], others: tuple[str, ...], partition: Partition | None) -> np.ndarray:
    """Which output of a model stands for each node, (n,)."""
    if partition is None and len(others) == 1:
        return np.zeros(len(labels), dtype=int)
    if partition is None and set(labels) == set(others):
        place = {label: i for i, label in enumerate(others)}
        return np.array([place[label] for label in labels])
    return np.asarray(_related(labels, others, partition).argmax(axis=1))


def _matched(wanted: tuple[str, ...], labels: tuple[str, ...], what: str) -> np.ndarray:
    if set(wanted) != set(labels):
        odd = next(label for label in labels if label not in wanted)
        raise InputError(f"the model has a node {odd!r}, which is none of the {what}; name its nodes alike")
    return (np.array(wanted)[:, None] == np.array(labels)).astype(float)
