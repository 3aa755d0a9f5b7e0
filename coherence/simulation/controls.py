r"""The powers that controllers inject over time, p = K v.

They follow from the state at once, p = C_k x_k + D_k (F y + R f y), so they are the outputs of further nodes, 1 y_j = p_j, that
nothing is coupled to: simulated like any other output, to an accuracy of their own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.linalg as sla
import scipy.sparse as sp

from coherence.errors import InputError
from coherence.network.feedback import ClosedLoop, Feedback
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, concatenate
from coherence.simulation.disturbances import Sum
from coherence.simulation.response import Response
from coherence.simulation.simulate import TOLERANCE, Plant, respond


def control_power(response: Response, *, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """What each controller injects in a response of a network under feedback.

    p = K(s) v,   v = F y + f(s) R y

    Parameters
    ----------
    response : Response
        Of `simulate(loop, ...)`.
    tolerance : float
        Largest error allowed, relative to the largest power; >= 1e-12.

    Returns
    -------
    DataFrame
        Index t [s], one column per control power [grids: pu of base_mva]. At an event of the disturbance: just after it.

    Raises
    ------
    InputError
        A response of something else.
    ToleranceError
        The tolerance cannot be met.

    Notes
    -----
    Another simulation of the same times, exact where the response is, otherwise rational.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, Step, close_loop, simulate, swing
    >>> from coherence.simulation.controls import control_power
    >>> network = Network(swing(inertia=[1, 2], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> brake = control.ss([], [], [], [[-0.5]], inputs=["w[a]"], outputs=["p[a]"])
    >>> response = simulate(close_loop(network, brake), Step({"a": 1.0}), [0, 1, 2])
    >>> bool(abs(control_power(response)["p[a]"] + 0.5 * response.frame["a"]).max() < 1e-12)
    True
    """
    loop, disturbance, initial = response.source or (None, None, None)
    if not isinstance(loop, ClosedLoop) or disturbance is None:
        raise InputError("control powers are those of a network under feedback; give the response of simulate(loop, ...)")
    names = list(loop.feedback.powers)
    wider, labels = _observed(loop)
    parts = tuple(replace(part, sizes=dict(zip(loop.labels, part.vector(loop), strict=True))) for part in disturbance.terms)
    method = "exact" if response.method == "exact" else "rational"
    plant = replace(Plant.of(wider), inertia=np.zeros(wider.size))  # no center of inertia beside the powers
    found = respond(plant, Sum(parts=parts), response.time, initial, labels, tolerance, method)
    return found.frame.set_axis(pd.Index(names, name="power"), axis=1)


def _observed(loop: ClosedLoop) -> tuple[ClosedLoop, list[str]]:
    """The loop with one more node for each power, whose output it is; and their labels."""
    f, network, p = loop.feedback, loop.network, len(loop.feedback.powers)
    mark = "power"
    while any(label.startswith(mark) for label in loop.labels):
        mark += "_"
    labels = [f"{mark} {j}" for j in range(p)]
    sparse, alone = sp.issparse(network.laplacian), np.zeros((p, p))
    laplacian = (
        sp.block_diag([network.laplacian, sp.csr_array(alone)], format="csr")
        if sparse
        else sla.block_diag(network.laplacian, alone)
    )
    nodes = concatenate([network.nodes, Nodes(tuple(labels), np.ones((1, p)))])
    none = np.zeros((len(f.measured), p))
    feedback = Feedback(
        f.controller,
        np.vstack([f.actuators, np.eye(p)]),
        np.hstack([f.outputs, none]),
        np.hstack([f.flows, none]),
        f.measured,
        f.powers,
    )
    return ClosedLoop(Network(nodes, laplacian, network.coupling), feedback), labels
