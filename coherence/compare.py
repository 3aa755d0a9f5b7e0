r"""Errors between a network and smaller models of it: L2 and L-infinity of the step error, H-infinity of the transfer error.

For a step u and a model with lift P (outputs of the model to nodes), e = T u - P T_model P^T u. Reported are
||e||_L2 = (integral of sum_i e_i^2)^(1/2) from a gramian, max_i sup_t |e_i(t)|, and sup_w ||(T - P T_model P^T)(jw) u||_2 as a
certified interval (u as given, not normalised). All are over the whole half line, not a simulated window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.norms import Supremum, hinf_norm, step_l2, step_peak
from coherence.numerics.realization import Realization, difference, without_hidden
from coherence.simulation.disturbances import Step


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
    if partition is not None:
        if partition.labels != full.labels or partition.k != model.size:
            raise InputError(
                f"the partition has {len(partition.labels)} nodes in {partition.k} groups; the networks have "
                f"{full.size} and {model.size} nodes"
            )
        return partition.indicator @ _matched(partition.groups, model.labels, "groups of the partition")
    if model.size == 1:
        return np.ones((full.size, 1))
    if model.size != full.size:
        raise InputError(f"the model has {model.size} nodes and the network {full.size}; give the partition that relates them")
    return _matched(full.labels, model.labels, "nodes of the network")


def _matched(wanted: tuple[str, ...], labels: tuple[str, ...], what: str) -> np.ndarray:
    if set(wanted) != set(labels):
        odd = next(label for label in labels if label not in wanted)
        raise InputError(f"the model has a node {odd!r}, which is none of the {what}; name its nodes alike")
    return (np.array(wanted)[:, None] == np.array(labels)).astype(float)
