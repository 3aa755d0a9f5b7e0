r"""Where responses end: y(inf) = T(0) u(inf), for disturbances that settle and networks that are stable.

T(0) is ghat(0) 11^T where f has its pole at 0 (an integrating coupling ends all differences), and otherwise one solve with Y(0).
Under feedback y ends in the balance of nodes, flows theta = f y and controllers at rest, 0 = A_k x_k + B_k v, so that neither
integral action (v = 0) nor a pole of f at 0 (y uniform, theta finite) divides by zero.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.errors import InputError, InstabilityError, PoleError
from coherence.graphs.laplacian import require_connected
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network, require_nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import without_hidden
from coherence.numerics.sparse import factorise
from coherence.simulation.disturbances import Disturbance
from coherence.theory.coherent import coherent_dynamics
from coherence.theory.passivity import DENSE_STATES
from coherence.theory.stability import stability
from coherence.types import Real

CANCELS = 1e-12  # a sum of node inverses, relative to their sizes


def steady_state(network: Network | ClosedLoop, disturbance: Disturbance) -> pd.Series:
    """Where every output ends.

    Parameters
    ----------
    network : Network or ClosedLoop
        Stable.
    disturbance : Disturbance
        One that settles: steps, pulses, ramps with an end, exponential approaches, and their sums.

    Returns
    -------
    Series
        node -> final output [grids: rad/s].

    Raises
    ------
    InputError
        A disturbance that does not settle; neither damping nor droop; a network too large to decide its stability.
    InstabilityError
        The network is unstable; the mode is named.
    DisconnectedError
        The network falls apart.

    Examples
    --------
    >>> from coherence import Network, Step, steady_state, swing
    >>> network = Network(swing(inertia=[1, 2], damping=[1, 3], labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> steady_state(network, Step({"a": 2.0})).tolist()
    [0.5, 0.5]
    """
    plain = network.network if isinstance(network, ClosedLoop) else network
    require_nodes(plain, "a steady state")
    require_connected(plain.laplacian, plain.labels, "a steady state")
    plain.nodes.require_rational("a steady state")
    if not isinstance(plain.coupling, Rational):
        raise InputError("a steady state needs a rational coupling f; this one is known by its values only")
    final, integrates = _final(disturbance, plain), plain.coupling.den[-1] == 0
    if isinstance(network, ClosedLoop):
        require_stable(network, "a steady state")
        return pd.Series(_of_loop(network, final, integrates), index=list(network.labels), name="steady state")
    try:
        z = network.nodes.inverse(0.0)[0].real
    except PoleError:
        if not integrates:
            raise
        z = np.full(network.size, np.inf)  # a node that integrates holds them all
    still = abs(final.sum()) <= CANCELS * float(np.abs(final).sum())
    if integrates and not still and abs(z.sum()) <= CANCELS * float(np.abs(z).sum()):
        raise InputError(
            "there is no steady state: the network has no damping and no droop, so a lasting disturbance moves it for ever; "
            "give a node damping or a governor"
        )
    require_stable(network, "a steady state", coherent=integrates)
    if integrates:
        end = 0.0 if np.isinf(z).any() else float(final.sum() / z.sum())
        return pd.Series(np.full(network.size, end), index=list(network.labels), name="steady state")
    f = float(network.coupling(0.0)[0].real)
    if sp.issparse(network.laplacian):
        y = factorise(f * network.laplacian + sp.diags_array(z)).solve(final)
    else:
        y = np.linalg.solve(f * network.laplacian + np.diag(z), final)
    return pd.Series(y, index=list(network.labels), name="steady state")


def _final(disturbance: Disturbance, network: Network) -> Real:
    """The powers that last, (n,)."""
    final = np.zeros(network.size)
    for part in disturbance.terms:
        end = part.signal.final
        if np.isnan(end):
            raise InputError(f"a {type(part).__name__.lower()} of {part.sentence} does not settle, so there is no steady state")
        final += part.vector(network) * end
    return final


def _of_loop(loop: ClosedLoop, final: Real, integrates: bool) -> Real:
    """Where the outputs of a stable loop end under lasting powers."""
    network, f = loop.network, loop.feedback
    if loop.order <= DENSE_STATES and not network.nodes.passive.any():
        return np.asarray(without_hidden(loop.realization).dc_gain() @ final)
    n, k, z = loop.size, f.controller, network.nodes.inverse(0.0)[0].real
    if integrates:  # y = 1 c; theta of node 0 is 0
        alike = np.ones((n, 1))
        anchor = sp.coo_array(([1.0], ([0], [0])), shape=(1, n))
        block = sp.block_array([[sp.csr_array(network.laplacian), sp.csr_array(z[:, None])], [anchor, None]])
        seen = sp.csr_array(np.hstack([f.flows, f.outputs @ alike]))
        reads = sp.csr_array(sp.hstack([sp.csr_array((n, n)), sp.csr_array(alike)]))
    else:
        gain = float(network.coupling(0.0)[0].real)
        block = gain * sp.csr_array(network.laplacian) + sp.diags_array(z)
        seen, reads = sp.csr_array(f.outputs + gain * f.flows), sp.eye_array(n)
    power = -sp.vstack([sp.csr_array(f.actuators), sp.csr_array((block.shape[0] - n, len(k.d)))])
    whole = sp.block_array(
        [
            [block, power @ sp.csr_array(k.d), power @ sp.csr_array(k.c)],
            [seen, -sp.eye_array(len(k.d.T)), None],
            [None, sp.csr_array(k.b), sp.csr_array(k.a)],
        ]
    )
    right = np.zeros(whole.shape[0])
    right[:n] = final
    return np.asarray(reads @ factorise(whole).solve(right)[: block.shape[0]])


def require_stable(network: Network | ClosedLoop, what: str, hint: str = "", *, coherent: bool = True) -> None:
    """Refuse a network that (or whose coherent dynamics) is unstable, or whose stability is not decided, in one sentence.

    Decided by passivity of every node and of f (for any size), else by the poles of up to 1500 states; under feedback by these.
    """
    kind = "loop" if isinstance(network, ClosedLoop) else "network"
    found = stability(network)
    if found.by == "passivity":
        return
    if found.stable is None:
        raise InputError(f"{what} needs a stable {kind}, and the stability of this one is {found.sentence}{hint}")
    verdicts = [found]
    if isinstance(network, Network) and coherent:
        verdicts.append(stability(coherent_dynamics(network)))
    for one in verdicts:
        if not one.stable:
            raise InstabilityError(f"{what} needs a stable {kind}; {one.sentence.removeprefix('not stable: ')}{hint}")
