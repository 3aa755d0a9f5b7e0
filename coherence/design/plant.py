r"""A network as python-control's plant: disturbances and control powers in, frequencies and flows out, all by name.

    x' = A x + B_d d + B_p p,    (w, CoI, export, tie) = C x + D_d d + D_p p

The state space is minimal in the angles (no mode at the origin that nothing sees), so that lqr, h2syn, hinfsyn, mixsyn and root
locus work on it as it stands. Columns and rows are `channels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sla

from coherence.design.channels import channels
from coherence.design.sharing import Shares
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop, channel_realization, lower_connected
from coherence.network.network import Network, signal_names, unit_columns
from coherence.network.statespace import network_realization
from coherence.nodes.systems import from_control, realized, to_control
from coherence.numerics.realization import Realization, cascade
from coherence.types import Real

if TYPE_CHECKING:
    import control


def plant(
    network: Network | ClosedLoop,
    partition: Partition | None = None,
    *,
    disturbances: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    shares: Shares = "inertia",
    measured: Shares = "shares",
    name: str = "plant",
) -> control.StateSpace:
    """A network as a python-control system with named disturbances, control powers, frequencies and flows.

    Parameters
    ----------
    network : Network or ClosedLoop
        Reduced or full; of a closed loop the powers of its controllers, p[...], may be outputs.
    partition : Partition, optional
        Of a full network: control powers, frequencies and flows are of its groups, by the names that the reduced network has.
    disturbances : sequence of str, optional
        Nodes with an input d[node] [grids: pu]; all by default, () for none.
    controls : sequence of str, optional
        Groups with an input p[group] [pu]; all by default (none of a closed loop).
    outputs : sequence of str, optional
        Of "w[group]" [grids: rad/s], "CoI", "export[group]" [pu] (what leaves a group over its lines), "tie[a-b]" [pu] (from a to
        b); by default all w, CoI and all ties.
    shares, measured : "inertia", "equal" or node -> weight
        How the nodes of a group share its control power, and which mean w[group] is: by default that of the same shares.
    name : str

    Returns
    -------
    StateSpace
        Inputs d[...] then p[...]; outputs in the order asked; a dot in a label is an underscore (python-control takes none).

    Raises
    ------
    UnknownNameError
        A node, group or output that does not exist.
    InputError
        Nodes known by their responses, a network of more than 5000 nodes, or no output.

    Examples
    --------
    >>> import control, numpy as np
    >>> from coherence import Network, plant, swing
    >>> network = Network(swing(inertia=[1, 2], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> system = plant(network, disturbances=["a"], outputs=["w[a]", "w[b]", "tie[a-b]"])
    >>> system.input_labels, system.output_labels, system.nstates
    (['d[a]', 'p[a]', 'p[b]'], ['w[a]', 'w[b]', 'tie[a-b]'], 3)
    >>> gain, _, _ = control.lqr(system[:, ["p[a]", "p[b]"]], np.eye(3), np.eye(2))
    >>> gain.shape
    (2, 3)
    """
    open_network = network.network if isinstance(network, ClosedLoop) else network
    found = channels(open_network, partition, shares=shares, measured=measured)
    nodes = open_network.labels if disturbances is None else _listed(disturbances, "disturbances")
    groups = found.groups if controls is None and network is open_network else _listed(controls or (), "controls")
    if outputs is None:
        outputs = [row for row in found.outputs if not row.startswith("export[")]
    asked = signal_names(_listed(outputs, "outputs"))
    powers = signal_names([f"p[{group}]" for group in groups])
    if not asked or not len(nodes) + len(powers):
        raise InputError("a plant needs at least one input and one output")
    columns = [unit_columns(open_network, nodes), *[found.power(p)[:, None] for p in powers]]
    _, states = network_realization(open_network.nodes, open_network.dense_laplacian, open_network.coupling, None, network.labels)
    inner = network.feedback.powers if isinstance(network, ClosedLoop) else ()
    rows = [found.measurement(label) for label in asked if label not in inner]
    if not isinstance(network, ClosedLoop):
        system = seen_through(network, np.hstack(columns), *_stacked(rows, network.size))
    else:
        system = _under(network, np.hstack(columns), *_stacked(rows, network.size))
        places = iter(range(len(rows)))
        order = [len(rows) + inner.index(label) if label in inner else next(places) for label in asked]
        system = Realization(system.a, system.b, system.c[order], system.d[order])
        states = [*states, *[f"controller[{i}]" for i in range(network.feedback.controller.order)]]
    inputs = [*signal_names([f"d[{label}]" for label in nodes]), *powers]
    return to_control(system, inputs=inputs, outputs=asked, states=signal_names(states), name=name)


def generalized_plant(
    network: Network,
    partition: Partition | None = None,
    *,
    measurements: Sequence[str],
    controls: Sequence[str],
    performance: Sequence[str] | Mapping[str, Any],
    disturbances: Sequence[str] | None = None,
    control_weight: Any = 1.0,
    noise: float = 1e-3,
    shares: Shares = "inertia",
    measured: Shares = "shares",
    name: str = "generalized_plant",
) -> control.StateSpace:
    r"""The plant that `control.h2syn` and `control.hinfsyn` take, with the last rows measured and the last columns controlled.

        [z; v] = P [d; n; p],    z = (W_1 outputs, W_2 p),    v = measurements + noise n

    Parameters
    ----------
    network, partition, disturbances, shares, measured : as for `plant`
    measurements : sequence of str
        What the controller sees, by the names of `plant`.
    controls : sequence of str
        Groups with a control power.
    performance : sequence of str, or mapping of str -> weight
        Outputs to be kept small; a weight is a number or a stable one-input system W_1.
    control_weight : number or one-input system
        W_2, on every control power. With M of `small_gain`, ||W_2 M|| <= gamma / noise for the level gamma that hinfsyn reaches, so
        that a bound W_2 of the reduction error is designed against.
    noise : float
        > 0, of every measurement (the syntheses need it).
    name : str

    Returns
    -------
    StateSpace
        `len(measurements)` measurements and `len(controls)` controls come last; what the synthesis returns is closed with positive
        sign: name it control.ss(K, inputs=measurements, outputs=[f"p[{g}]" for g in controls]) and hand it to `close_loop`.

    Raises
    ------
    UnknownNameError, InputError
        As for `plant`; a weight that is neither a number nor a system of one input and output, or no noise.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, close_loop, generalized_plant, swing
    >>> network = Network(swing(inertia=[1, 2], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> p = generalized_plant(network, measurements=["w[a]"], controls=["a"], performance=["w[a]", "w[b]"], control_weight=0.1)
    >>> p.input_labels, p.output_labels
    (['d[a]', 'd[b]', 'n[w[a]]', 'p[a]'], ['z[w[a]]', 'z[w[b]]', 'z[p[a]]', 'w[a]'])
    """
    if isinstance(noise, bool) or not isinstance(noise, (int, float, np.number)) or not 0 < noise < np.inf:
        raise InputError(f"noise = {noise!r}; give a size > 0")
    wanted = dict(performance) if isinstance(performance, Mapping) else dict.fromkeys(_listed(performance, "performance"), 1.0)
    seen, groups = _listed(measurements, "measurements"), _listed(controls, "controls")
    both = [*wanted, *(x for x in seen if x not in wanted)]
    system = plant(network, partition, disturbances=disturbances, controls=groups, outputs=both, shares=shares, measured=measured)
    one, names = from_control(system), signal_names(both)
    rows = [names.index(x) for x in signal_names(seen)]
    m, p, q = one.b.shape[1] - len(groups), len(groups), len(seen)
    powers = Realization(np.zeros((0, 0)), np.zeros((0, m + p)), np.zeros((p, 0)), np.hstack([np.zeros((p, m)), np.eye(p)]))
    weights = [_weight(w, label) for label, w in wanted.items()] + [_weight(control_weight, "control_weight")] * p
    outputs = np.vstack([one.c[: len(wanted)], np.zeros((p, one.order))]), np.vstack([one.d[: len(wanted)], powers.d])
    weighted = cascade(Realization(one.a, one.b, *outputs), _diagonal(weights))
    extra = weighted.order - one.order
    c = np.vstack([weighted.c, np.hstack([one.c[rows], np.zeros((q, extra))])])
    d = np.vstack([weighted.d, one.d[rows]])
    noisy = np.vstack([np.zeros((len(weights), q)), noise * np.eye(q)])
    disturbed = network.labels if disturbances is None else _listed(disturbances, "disturbances")
    controlled = [f"p[{g}]" for g in groups]
    return to_control(
        Realization(
            weighted.a,
            np.hstack([weighted.b[:, :m], np.zeros((weighted.order, q)), weighted.b[:, m:]]),
            c,
            np.hstack([d[:, :m], noisy, d[:, m:]]),
        ),
        inputs=signal_names([f"d[{x}]" for x in disturbed] + [f"n[{x}]" for x in seen] + controlled),
        outputs=signal_names([f"z[{x}]" for x in [*wanted, *controlled]] + seen),
        states=[f"x[{i}]" for i in range(weighted.order)],
        name=name,
    )


def _weight(given: Any, label: str) -> Realization:
    if isinstance(given, (int, float, np.number)) and not isinstance(given, bool) and np.isfinite(given):
        return Realization(np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.array([[float(given)]]))
    system, inputs, outputs = realized(given, "is no weight", what=f"the weight of {label!r}", give="a number or a system")
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"the weight of {label!r} has {len(inputs)} inputs and {len(outputs)} outputs; give one of each")
    return system


def _diagonal(systems: list[Realization]) -> Realization:
    return Realization(*(sla.block_diag(*matrices) for matrices in zip(*systems, strict=True)))


def seen_through(network: Network, inputs: Real, outputs: Real, flows: Real) -> Realization:
    """From powers shared by the columns of `inputs` to F y + f R y."""
    whole = channel_realization(network, inputs, outputs, flows)
    return Realization(whole.a, whole.b, whole.c[network.size :], whole.d[network.size :])


def _under(loop: ClosedLoop, inputs: Real, outputs: Real, flows: Real) -> Realization:
    """The same of a closed loop, and its control powers as further outputs."""
    f, m, q = loop.feedback, inputs.shape[1], len(loop.feedback.powers)
    columns = np.hstack([inputs, f.actuators])
    whole = seen_through(loop.network, columns, np.vstack([outputs, f.outputs]), np.vstack([flows, f.flows]))
    rows, passed = len(outputs), np.hstack([np.zeros((q, m)), np.eye(q)])
    c, d = whole.c, whole.d
    wider = Realization(
        whole.a,
        whole.b,
        np.vstack([c[:rows], np.zeros((q, whole.order)), c[rows:]]),
        np.vstack([d[:rows], passed, d[rows:]]),
    )
    return lower_connected(wider, f.controller)


def _stacked(rows: list[tuple[Real, Real]], n: int) -> tuple[Real, Real]:
    return np.array([f for f, _ in rows]).reshape(-1, n), np.array([r for _, r in rows]).reshape(-1, n)


def _listed(names: Sequence[str], what: str) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"{what} = {names!r}; give a list of names")
    out = [str(name) for name in names]
    if len(set(out)) < len(out):
        raise InputError(f"{what} names {max(out, key=out.count)!r} twice")
    return out
