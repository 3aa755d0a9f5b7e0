r"""Families of nodes by their physical parameters (vectors: one entry per node).

    swing           g^{-1} = m s + d
    swing + turbine g^{-1} = m s + d + r^{-1}/(tau s + 1)
    droop inverter  g = k/(tau s + 1),   g^{-1} = (tau/k) s + 1/k
    integrator      g = k/s,             g^{-1} = s/k

Units in grids: m [pu s^2/rad], d [pu s/rad], r^{-1} [pu s/rad], tau [s]. Source: Section 3.3.1, Examples 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coherence.errors import InputError
from coherence.nodes.nodes import Bank, Nodes
from coherence.types import ArrayLike, Real, real_vector


def swing(*, inertia: ArrayLike, damping: ArrayLike, labels: Sequence[str] | None = None) -> Nodes:
    """Swing equations g_i = 1/(m_i s + d_i).

    Parameters
    ----------
    inertia : (n,) array, > 0
        m_i [pu s^2/rad].
    damping : (n,) array or number
        d_i [pu s/rad]; may be zero or negative (then g_i is not stable).

    Examples
    --------
    >>> swing(inertia=[0.1, 0.2], damping=0.01)
    Nodes(2: 1, 2; 2 states)
    """
    m, d = _columns(labels, inertia=inertia, damping=damping)
    names = _labels(labels, len(m))
    _positive(m, "inertia m", names)
    return Nodes(names, np.stack([d, m]))


def swing_turbine(
    *, inertia: ArrayLike, damping: ArrayLike, droop: ArrayLike, time_constant: ArrayLike, labels: Sequence[str] | None = None
) -> Nodes:
    """Swing equations with a one-lag turbine, g_i = 1/(m_i s + d_i + r_i^{-1}/(tau_i s + 1)).

    Parameters
    ----------
    inertia, damping : (n,) array
        m_i > 0 [pu s^2/rad], d_i [pu s/rad].
    droop : (n,) array, >= 0
        Inverse droop r_i^{-1} [pu s/rad]; zero means no turbine.
    time_constant : (n,) array, > 0
        tau_i [s].

    Examples
    --------
    >>> nodes = swing_turbine(inertia=[0.1], damping=[0.01], droop=[0.02], time_constant=[5.0])
    >>> nodes.inverse(0.0)
    array([[0.03+0.j]])
    """
    m, d, r, tau = _columns(labels, inertia=inertia, damping=damping, droop=droop, time_constant=time_constant)
    names = _labels(labels, len(m))
    _positive(m, "inertia m", names)
    if (r < 0).any():
        i = int(np.argmax(r < 0))
        raise InputError(f"node {names[i]!r}: inverse droop = {r[i]:g}; it must be >= 0")
    active = np.flatnonzero(r)
    _positive(tau[active], "turbine time constant tau", [names[i] for i in active])
    bank = Bank(active, -1.0 / tau[active, None, None], (1.0 / tau)[active, None], r[active, None])
    return Nodes(names, np.stack([d, m]), (bank,) if active.size else ())


def droop_inverter(*, gain: ArrayLike, time_constant: ArrayLike, labels: Sequence[str] | None = None) -> Nodes:
    """Droop-controlled inverters g_i = k_i/(tau_i s + 1).

    Parameters
    ----------
    gain : (n,) array, > 0
        k_i [rad/(pu s)], the reciprocal of inverse droop.
    time_constant : (n,) array, > 0
        Power filter tau_i [s].
    """
    k, tau = _columns(labels, gain=gain, time_constant=time_constant)
    names = _labels(labels, len(k))
    _positive(k, "droop gain k", names)
    _positive(tau, "filter time constant tau", names)
    return Nodes(names, np.stack([1.0 / k, tau / k]))


def integrator(*, gain: ArrayLike = 1.0, labels: Sequence[str] | None = None, count: int | None = None) -> Nodes:
    """Integrators g_i = k_i/s, as in first-order consensus.

    Parameters
    ----------
    gain : (n,) array or number, > 0
    count : int, optional
        Number of nodes when gain is a number and no labels are given.
    """
    if labels is None and count is not None:
        labels = [str(i + 1) for i in range(count)]
    (k,) = _columns(labels, gain=gain)
    names = _labels(labels, len(k))
    _positive(k, "gain k", names)
    return Nodes(names, np.stack([np.zeros(len(k)), 1.0 / k]))


def _columns(labels: Sequence[str] | None, **values: ArrayLike) -> list[Real]:
    arrays = {name: real_vector(value, name) for name, value in values.items()}
    n = max(array.size for array in arrays.values()) if labels is None else len(labels)
    for name, array in arrays.items():
        if array.size not in (1, n):
            raise InputError(f"{name} has {array.size} entries for {n} nodes; give one number or {n}")
    return [np.broadcast_to(array, (n,)).copy() for array in arrays.values()]


def _labels(labels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    return tuple(str(i + 1) for i in range(n)) if labels is None else tuple(map(str, labels))


def _positive(values: Real, name: str, labels: Sequence[str]) -> None:
    if (values <= 0).any():
        i = int(np.argmax(values <= 0))
        raise InputError(f"node {labels[i]!r}: {name} = {values[i]:g}; it must be > 0")
