r"""Controllers closed on a network: designed at groups, realised at nodes.

    u_i = d_i + sum_g W_ig p_g,     p = K(s) v,     v of `channels`

What a controller puts out is injected as it is: positive feedback in python-control's words, as `h2syn` and `hinfsyn` return it;
turn the sign of what was designed for u = -K y (`lqr`, `mixsyn`). Locally, every node of a group answers to its own output,
u_i = W_ig K_g(s) y_i: no communication, and the network stays a `Network`, g_i^{-1} - W_ig K_g.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from coherence.design.channels import Channels, channels
from coherence.design.sharing import Shares, spread
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop, Feedback
from coherence.network.network import Network, signal_names
from coherence.nodes.nodes import Nodes, make_banks
from coherence.nodes.systems import realized
from coherence.numerics.realization import Realization

UNNAMED = 'name its signals, e.g. control.ss(K, inputs=["w[a]", ...], outputs=["p[a]", ...])'


def close_loop(
    network: Network | ClosedLoop,
    controller: Any,
    partition: Partition | None = None,
    *,
    shares: Shares = "inertia",
    measured: Shares = "shares",
) -> ClosedLoop:
    """A network under a controller, found by the names of its signals.

    Parameters
    ----------
    network : Network or ClosedLoop
        Full or reduced; a closed loop gets one more controller.
    controller : StateSpace or TransferFunction
        Continuous-time; inputs among the outputs of `plant` (w[group], CoI, export[group], tie[a-b]), outputs among its control
        powers p[group], which are injected as they are: a controller that brakes has negative gain.
    partition : Partition, optional
        Whose groups the names mean; None: every node is a group.
    shares : "inertia", "equal" or node -> weight
        How the nodes of a group share its power.
    measured : "shares", "inertia", "equal" or node -> weight
        Which mean w[group] is; "shares" measures where the power acts, with the same weights.

    Returns
    -------
    ClosedLoop
        For `simulate`, `stability`, poles and state space; sparse where the network is.

    Raises
    ------
    UnknownNameError
        A signal that this network does not have; close names are listed.
    InputError
        A controller that is no continuous-time system, or has two signals of one name.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, close_loop, stability, swing
    >>> network = Network(swing(inertia=[1, 2], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> damper = control.ss([], [], [], [[-0.5, 0.5], [0.5, -0.5]], inputs=["w[a]", "w[b]"], outputs=["p[a]", "p[b]"])
    >>> stability(close_loop(network, damper)).by
    'passivity'
    """
    if isinstance(network, ClosedLoop):
        one = close_loop(network.network, controller, partition, shares=shares, measured=measured)
        return ClosedLoop(network.network, network.feedback.plus(one.feedback))
    return ClosedLoop(network, feedback_of(channels(network, partition, shares=shares, measured=measured), controller))


def feedback_of(found: Channels, controller: Any) -> Feedback:
    """A python-control controller on the channels that it names."""
    system, measured, powers = _named(controller)
    rows = [found.measurement(name) for name in measured]
    columns = [found.power(name) for name in powers]
    return Feedback(
        system,
        np.column_stack(columns),
        np.array([f for f, _ in rows]),
        np.array([r for _, r in rows]),
        measured,
        powers,
    )


def add_local(network: Network, controller: Any, partition: Partition | None = None, *, shares: Shares = "inertia") -> Network:
    """A network whose nodes each answer to their own output: u_i = W_ig K_g(s) y_i.

    Parameters
    ----------
    network : Network
    controller : StateSpace or TransferFunction
        From w[group] to p[group] of the same group only; injected as it is.
    partition : Partition, optional
        None: every node is a group.
    shares : "inertia", "equal" or node -> weight

    Returns
    -------
    Network
        With the inverses g_i^{-1} - W_ig K_g; the aggregate of a group is that under K_g itself.

    Raises
    ------
    UnknownNameError
        A signal that this network does not have.
    InputError
        A controller that passes anything from one group to another, or measures other than w.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, Partition, add_local, swing
    >>> network = Network(swing(inertia=[1, 3], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> one = Partition.of(["all", "all"], labels=["a", "b"])
    >>> add_local(network, control.ss([], [], [], [[-0.4]], inputs=["w[all]"], outputs=["p[all]"]), one).nodes.damping
    array([0.2, 0.4])
    """
    found = channels(network, partition, shares=shares)
    system, measured, powers = _named(controller)
    place = {name: i for i, name in enumerate(signal_names([f"w[{g}]" for g in found.groups]))}
    for name in measured:
        found.measurement(name)
        if name not in place:
            raise InputError(f"a local controller measures the node's own output w[...], not {name!r}; close it with close_loop")
    inputs, outputs = [place[name] for name in measured], [found.powers.get(name, -1) for name in powers]
    for name in powers:
        found.power(name)
    extra = Nodes(network.labels, np.zeros((1, network.size)))
    for column, group in enumerate(inputs):
        if group not in outputs:
            if any(_part(system, row, column) is not None for row in range(len(powers))):
                raise InputError(_crossing(powers, measured, 0, column))
            continue
        for row in range(len(powers)):
            part = _part(system, row, column)
            if part is None:
                continue
            if outputs[row] != group:
                raise InputError(_crossing(powers, measured, row, column))
            law = Nodes(("k",), -part.d, make_banks([(0, part._replace(c=-part.c, d=0.0 * part.d))]))
            extra = extra.plus(spread(law, found.power(powers[row]), network.labels))
    return Network(network.nodes.plus(extra), network.laplacian, network.coupling)


def _crossing(powers: tuple[str, ...], measured: tuple[str, ...], row: int, column: int) -> str:
    return (
        f"a local controller answers in its own group only; this one passes {measured[column]!r} to {powers[row]!r}: "
        "close it with close_loop"
    )


def _part(system: Realization, row: int, column: int) -> Realization | None:
    """One entry of K on the states that its input drives and its output sees, by structure; None where there are none."""
    d = system.d[row : row + 1, column : column + 1]
    links = sp.csr_array((system.a != 0).T)  # state j drives state i where A_ij != 0
    kept = _reached(links, system.b[:, column] != 0) & _reached(sp.csr_array(links.T), system.c[row] != 0)
    if not kept.any() and not d.any():
        return None
    return Realization(system.a[np.ix_(kept, kept)], system.b[kept, column : column + 1], system.c[row : row + 1, kept], d)


def _reached(links: sp.csr_array, begin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The states that a walk from some of them comes to."""
    reached, count = begin.copy(), -1
    while reached.sum() != count:
        count = int(reached.sum())
        reached |= np.asarray(links.T @ reached.astype(float)) > 0
    return reached


def _named(controller: Any) -> tuple[Realization, tuple[str, ...], tuple[str, ...]]:
    system, measured, powers = realized(
        controller, "is no controller", what="the controller", give=f"a StateSpace or a TransferFunction; {UNNAMED}"
    )
    for names in (measured, powers):
        if len(set(names)) < len(names):
            raise InputError(f"the controller names {max(names, key=names.count)!r} twice; every signal once")
    if all(name.startswith("u[") for name in measured) and all(name.startswith("y[") for name in powers):
        raise InputError(f"the controller's signals have python-control's default names ({measured[0]}, {powers[0]}); {UNNAMED}")
    return system, measured, powers
