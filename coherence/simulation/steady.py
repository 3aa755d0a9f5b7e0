r"""Where responses end: y(inf) = T(0) u(inf), for disturbances that settle and networks that are stable.

T(0) is ghat(0) 11^T where f has its pole at 0 (an integrating coupling ends all differences), and otherwise one solve with Y(0).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.errors import InputError, InstabilityError, PoleError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network, require_nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, without_hidden
from coherence.numerics.sparse import factorise
from coherence.simulation.disturbances import Disturbance
from coherence.theory.coherent import coherent_dynamics
from coherence.theory.passivity import DENSE_STATES, passivity_indices
from coherence.types import Complex

CANCELS = 1e-12  # a sum of node inverses, relative to their sizes


def steady_state(network: Network, disturbance: Disturbance) -> pd.Series:
    """Where every output ends.

    Parameters
    ----------
    network : Network
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
    require_nodes(network, "a steady state")
    require_connected(network.laplacian, network.labels, "a steady state")
    network.nodes.require_rational("a steady state")
    if not isinstance(network.coupling, Rational):
        raise InputError("a steady state needs a rational coupling f; this one is known by its values only")
    final = np.zeros(network.size)
    for part in disturbance.terms:
        end = part.signal.final
        if np.isnan(end):
            raise InputError(f"a {type(part).__name__.lower()} of {part.sentence} does not settle, so there is no steady state")
        final += part.vector(network) * end
    integrates = network.coupling.den[-1] == 0
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


def require_stable(network: Network, what: str, hint: str = "", *, coherent: bool = True) -> None:
    """Refuse a network that (or whose coherent dynamics) is unstable, or whose stability is not decided, in one sentence.

    Decided by passivity of every node and of f (for any size), else by the poles of up to 1500 states.
    """
    nodes = network.nodes.select(np.flatnonzero(~network.nodes.passive).tolist())
    real = isinstance(network.coupling, Rational) and network.coupling.is_positive_real()
    if real and bool(passivity_indices(nodes)["passive"].all()):
        return
    if network.nodes.passive.any():
        network = network.kron_reduce()
    if network.order > DENSE_STATES:
        raise InputError(
            f"{what} needs a stable network, and the stability of this one is not decided: its nodes are not all passive, and its "
            f"{network.order} states are too many for all poles (at most {DENSE_STATES}){hint}"
        )
    for one in (network, *([coherent_dynamics(network)] if coherent else [])):
        system = without_hidden(one.realization)
        poles = system.poles()
        if poles.size and not poles[0].real < -system.rounding:
            raise InstabilityError(f"{what} needs a stable network; {_mode(one, poles[0], system)}{hint}")


def _mode(network: Network, pole: complex, system: Realization) -> str:
    """The pole in words, with the node that moves most in it."""
    values, vectors = np.linalg.eig(system.a)
    shape: Complex = system.c @ vectors[:, int(np.abs(values - pole).argmin())]
    where = network.labels[int(np.abs(shape).argmax())]
    swing = f"oscillates at {abs(pole.imag) / (2 * np.pi):.4g} Hz and " if abs(pole.imag) > 1e-9 * abs(pole) else ""
    if abs(pole.real) <= system.rounding:
        pole = complex(0.0, pole.imag)
    grows = f"grows at {pole.real:.3g} 1/s" if pole.real > 0 else "does not die out"
    return f"its mode at {pole:.4g} 1/s {swing}{grows}, most at node {where!r}"
