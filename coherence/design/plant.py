r"""A network as python-control's plant: disturbances and control powers in, frequencies and flows out, all by name.

    x' = A x + B_d d + B_p p,    (w, CoI, export, tie) = C x + D_d d + D_p p

The state space is minimal in the angles (no mode at the origin that nothing sees), so that lqr, h2syn, hinfsyn, mixsyn and root
locus work on it as it stands. Columns and rows are `channels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from coherence.design.channels import channels
from coherence.design.sharing import Shares
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.feedback import channel_realization
from coherence.network.network import Network, signal_names
from coherence.network.statespace import network_realization
from coherence.nodes.systems import to_control
from coherence.numerics.realization import Realization
from coherence.types import Real

if TYPE_CHECKING:
    import control


def plant(
    network: Network,
    partition: Partition | None = None,
    *,
    disturbances: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    shares: Shares = "inertia",
    measured: Shares = "inertia",
    name: str = "plant",
) -> control.StateSpace:
    """A network as a python-control system with named disturbances, control powers, frequencies and flows.

    Parameters
    ----------
    network : Network
        Reduced or full.
    partition : Partition, optional
        Of a full network: control powers, frequencies and flows are of its groups, by the names that the reduced network has.
    disturbances : sequence of str, optional
        Nodes with an input d[node] [grids: pu]; all by default, () for none.
    controls : sequence of str, optional
        Groups with an input p[group] [pu]; all by default.
    outputs : sequence of str, optional
        Of "w[group]" [grids: rad/s], "CoI", "export[group]" [pu] (what leaves a group over its lines), "tie[a-b]" [pu] (from a to
        b); by default all w, CoI and all ties.
    shares, measured : "inertia", "equal" or node -> weight
        How the nodes of a group share its control power, and which mean w[group] is; "shares" measures where the power acts.
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
    found = channels(network, partition, shares=shares, measured=measured)
    nodes = network.labels if disturbances is None else _listed(disturbances, "disturbances")
    groups = found.groups if controls is None else _listed(controls, "controls")
    if outputs is None:
        outputs = [row for row in found.outputs if not row.startswith("export[")]
    asked = signal_names(list(_listed(outputs, "outputs")))
    if not asked or not len(nodes) + len(groups):
        raise InputError("a plant needs at least one input and one output")
    powers = signal_names([f"p[{group}]" for group in groups])
    columns = [np.eye(network.size)[:, [network.index(label) for label in nodes]], *[found.power(p)[:, None] for p in powers]]
    rows = [found.measurement(label) for label in asked]
    system = seen_through(network, np.hstack(columns), np.array([f for f, _ in rows]), np.array([r for _, r in rows]))
    _, states = network_realization(network.nodes, network.dense_laplacian, network.coupling, None, network.labels)
    inputs = [*signal_names([f"d[{label}]" for label in nodes]), *powers]
    return to_control(system, inputs=inputs, outputs=asked, states=signal_names(states), name=name)


def seen_through(network: Network, inputs: Real, outputs: Real, flows: Real) -> Realization:
    """From powers shared by the columns of `inputs` to F y + f R y."""
    whole = channel_realization(network, inputs, outputs, flows)
    return Realization(whole.a, whole.b, whole.c[network.size :], whole.d[network.size :])


def _listed(names: Sequence[str], what: str) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"{what} = {names!r}; give a list of names")
    out = [str(name) for name in names]
    if len(set(out)) < len(out):
        raise InputError(f"{what} names {max(out, key=out.count)!r} twice")
    return out
