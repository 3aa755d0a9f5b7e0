r"""The energy J of outputs after impulses, and its derivatives by storage at every node, from two gramians.

    J = ||C_o T B_w||_2^2 = int_0^inf |y_o|^2 dt,       dJ/dtheta_i = -2 <C_o T B_w, (C_o T e_i) k (e_i^T T B_w)>

With a state space A, B, C (n inputs, n outputs) of T, and P, Q of A P + P A^T + B_w' B_w'^T = 0 and A^T Q + Q A + C_o'^T C_o' = 0,
B_w' = B B_w, C_o' = C_o C, where nothing follows at once:

    damping   -2 c_i P Q b_i
    inertia   -2 (c_i A P + c_i B_w' B_w'^T) Q b_i = 2 c_i P A^T Q b_i
    droop     -2 c_i P (I - tau A^T)^{-1} Q b_i        the lag's state has the cross gramian (I - tau A)^{-1} P c_i^T

so that all nodes cost two Lyapunov equations. Nodes of relative degree 0 follow at once, y_i = c_i x + d_i u, which adds what their
feedthrough carries. With P = R R^T and Q = S S^T only factors are multiplied.

References: B. K. Poolla, S. Bolognani, F. Doerfler, Optimal placement of virtual inertia in power grids, IEEE TAC 62 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp
from numpy.typing import NDArray

from coherence.design.storage import Storage
from coherence.errors import InputError, ToleranceError
from coherence.network.network import Network
from coherence.numerics.gramians import gramian_factor
from coherence.numerics.realization import Realization, without_hidden
from coherence.numerics.sparse import factorise
from coherence.simulation.steady import require_stable
from coherence.types import Real

LYAPUNOV_STATES = 1500  # dense: about a minute, and stability is decided up to here
AGREE = 1e-6  # of J, computed from either gramian
TOUCHED = 1e-12  # of the largest: passive nodes that a disturbance moves at once


@dataclass(frozen=True)
class Energy:
    """J, and its derivative at every node."""

    value: float
    slopes: Real  # (n,); NaN where none exists
    gap: float  # between J from P and from Q, relative
    slowest: complex  # pole [1/s]


@dataclass(frozen=True)
class _Channels:
    """T between a disturbance and outputs, and to and from every node, as states.

    From the disturbance to node i: (A, drive, c_i, fed_i); from node i to the outputs: (A, b_i, read, past_i).
    """

    a: Real
    b: Real  # (N, n)
    c: Real  # (n, N)
    drive: Real  # (N, m)
    fed: Real  # (n, m)
    read: Real  # (q, N)
    past: Real  # (q, n)
    improper: NDArray[np.bool_]  # (n,) passive nodes that are moved or measured at once


def require_few_states(network: Network) -> None:
    """Refuse what two dense Lyapunov equations are too slow for."""
    if network.order > LYAPUNOV_STATES:
        raise InputError(
            f"the H2 norm is dense work, and {network.order} states are too many (at most {LYAPUNOV_STATES}); "
            "aggregate the network first, or take measure='nadir'"
        )


def energy(network: Network, inputs: Real, outputs: Real, storage: Storage) -> Energy:
    """J of outputs @ y, (q, n), after unit impulses through inputs, (n, m), and dJ/dtheta_i for all nodes.

    Raises
    ------
    InstabilityError
        The network is unstable or a mode does not die out.
    InputError
        More than 1500 states; or an output that follows an impulse at once, whose energy is infinite.
    ToleranceError
        J from the two gramians differs by more than 1e-6.
    """
    ch = _channels(network, inputs, outputs)
    r, s = gramian_factor(ch.a, ch.drive), gramian_factor(ch.a.T, ch.read.T)
    value, other = float(np.sum((ch.read @ r) ** 2)), float(np.sum((ch.drive.T @ s) ** 2))
    gap = abs(value - other) / max(value, other, np.finfo(float).tiny)
    if gap > AGREE:
        raise ToleranceError(
            f"the energy from its two gramians differs by {gap:.1e}: modes near the axis cost too many digits; add damping"
        )
    slopes = np.where(_undefined(ch, storage), np.nan, -2.0 * _products(ch, r, s, storage))
    poles = np.linalg.eigvals(ch.a)
    return Energy(value, slopes, gap, complex(poles[poles.real.argmax()]))


def energy_value(network: Network, inputs: Real, outputs: Real) -> float:
    """J alone."""
    ch = _channels(network, inputs, outputs)
    return float(np.sum((ch.read @ gramian_factor(ch.a, ch.drive)) ** 2))


def _products(ch: _Channels, r: Real, s: Real, storage: Storage) -> Real:
    """<C_o T B_w, (C_o T e_i) k (e_i^T T B_w)> of every node, (n,)."""
    heard = r @ (r.T @ ch.c.T) + ch.drive @ ch.fed.T  # P c_i^T and what follows at once, (N, n)
    told = s @ (s.T @ ch.b) + ch.read.T @ ch.past
    if storage.by == "droop":
        return np.asarray(np.sum(sla.solve(np.eye(len(ch.a)) - storage.lag * ch.a, heard) * told, axis=0))
    if storage.by == "damping":
        return np.asarray(np.sum(heard * told, axis=0))
    pc, qb = r @ (r.T @ ch.c.T), s @ (s.T @ ch.b)
    inner = np.sum(pc * (ch.a.T @ qb), axis=0)
    at_start = np.sum(ch.fed.T * (ch.drive.T @ (s @ (s.T @ (ch.a @ ch.b)))), axis=0)
    at_once = np.sum(ch.past * (ch.read @ (r @ (r.T @ (ch.c @ ch.a).T))), axis=0)
    return np.asarray(-inner + at_start + at_once)


def _undefined(ch: _Channels, storage: Storage) -> NDArray[np.bool_]:
    """Nodes whose derivative is infinite, or none: what they would add passes at once."""
    heard, told = ch.fed.any(axis=1), ch.past.any(axis=0)
    if storage.by == "droop":
        return np.asarray(ch.improper)
    bad = ch.improper | (heard & told)
    if storage.by == "inertia":
        bad |= told & (ch.c @ ch.drive != 0).any(axis=1)
        bad |= heard & (ch.read @ ch.b != 0).any(axis=0)
    return np.asarray(bad)


def _channels(network: Network, inputs: Real, outputs: Real) -> _Channels:
    require_few_states(network)
    require_stable(
        network, "the H2 norm", "; give it damping, or take measure='nadir', which looks at a finite time", coherent=False
    )
    lift = lifted(network)
    improper = moved_at_once(network, inputs) | moved_at_once(network, outputs.T)
    reached = (moved_at_once(network, inputs) & outputs.any(axis=0)).any()
    system = _balanced(without_hidden(network.kron_reduce().realization if network.nodes.passive.any() else network.realization))
    b, c, d = system.b @ lift.T, lift @ system.c, lift @ system.d @ lift.T
    fed, past = d @ inputs, outputs @ d
    if reached or (outputs @ fed).any():
        worst = int(np.argmax(np.where(reached, improper, np.abs(past).sum(axis=0)) * np.abs(inputs).sum(axis=1)))
        raise InputError(
            f"the energy is infinite: outputs follow an impulse at node {network.labels[worst]!r} at once, because it has no "
            "inertia; disturb other nodes, or take output='CoI'"
        )
    return _Channels(system.a, b, c, b @ inputs, fed, outputs @ c, past, improper)


def lifted(network: Network) -> Real:
    """(n, a) outputs of all nodes from those with dynamics: passive ones are means, -L_pp^{-1} L_pa."""
    idle = network.nodes.passive
    lift = np.zeros((network.size, int((~idle).sum())))
    lift[~idle] = np.eye(lift.shape[1])
    if idle.any():
        laplacian = sp.csr_array(network.laplacian)
        lift[idle] = -factorise(laplacian[idle][:, idle]).solve(laplacian[idle][:, ~idle].toarray())
    return lift


def moved_at_once(network: Network, shapes: Real) -> NDArray[np.bool_]:
    """Passive nodes whose angle a shape, (n, m), moves at once: L_pp^{-1} u_p, (n,) bool."""
    idle = network.nodes.passive
    moved = np.zeros(network.size, dtype=bool)
    if idle.any() and shapes[idle].any():
        laplacian = sp.csr_array(network.laplacian)
        found = np.abs(factorise(laplacian[idle][:, idle]).solve(shapes[idle])).max(axis=1)
        moved[idle] = found > TOUCHED * found.max()
    return moved


def _balanced(system: Realization) -> Realization:
    if not system.order:
        return system
    a, (scale, _) = sla.matrix_balance(system.a, separate=True, permute=False)
    return Realization(a, system.b / scale[:, None], system.c * scale, system.d)
