r"""Families of nodes by their physical parameters (vectors: one entry per node).

    swing           g^{-1} = m s + d
    swing + turbine g^{-1} = m s + d + r^{-1}/(tau s + 1)
    droop inverter  g = k/(tau s + 1),   g^{-1} = (tau/k) s + 1/k
    integrator      g = k/s,             g^{-1} = s/k

Units in grids: m [pu s^2/rad], d [pu s/rad], r^{-1} [pu s/rad], tau [s]. Source: Section 3.3.1, Examples 1 and 2.
Parameters are numbers (the same for all), arrays in node order, or pandas Series, whose index then gives the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

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
    labels : sequence of str, optional
        Unique names; default "1", "2", ... or the index of a Series.

    Returns
    -------
    Nodes

    Raises
    ------
    InputError
        An inertia that is not positive (the node is named), or lengths that differ.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.1, Example 1.

    Examples
    --------
    >>> swing(inertia=[0.1, 0.2], damping=0.01)
    Nodes(2: 1, 2; 2 states)
    """
    names, (m, d) = _columns(labels, inertia=inertia, damping=damping)
    _positive(m, "inertia m", names)
    return Nodes(names, np.stack([d, m]))


def swing_turbine(
    *,
    inertia: ArrayLike,
    damping: ArrayLike,
    inverse_droop: ArrayLike,
    time_constant: ArrayLike,
    labels: Sequence[str] | None = None,
) -> Nodes:
    """Swing equations with a one-lag turbine, g_i = 1/(m_i s + d_i + r_i^{-1}/(tau_i s + 1)).

    Parameters
    ----------
    inertia, damping : (n,) array
        m_i > 0 [pu s^2/rad], d_i [pu s/rad].
    inverse_droop : (n,) array, >= 0
        r_i^{-1} [pu s/rad], the reciprocal of the droop; zero means no turbine.
    time_constant : (n,) array, > 0
        tau_i [s]; may be zero where there is no turbine.
    labels : sequence of str, optional
        Unique names; default "1", "2", ... or the index of a Series.

    Returns
    -------
    Nodes

    Raises
    ------
    InputError
        An inertia or time constant that is not positive, a negative inverse droop; the node is named.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.1, Example 2.

    Examples
    --------
    >>> nodes = swing_turbine(inertia=[0.1], damping=[0.01], inverse_droop=[0.02], time_constant=[5.0])
    >>> nodes.inverse(0.0)
    array([[0.03+0.j]])
    """
    names, (m, d, r, tau) = _columns(
        labels, inertia=inertia, damping=damping, inverse_droop=inverse_droop, time_constant=time_constant
    )
    _positive(m, "inertia m", names)
    if (r < 0).any():
        i = int(np.argmax(r < 0))
        raise InputError(f"node {names[i]!r}: inverse droop = {r[i]:g}; it must be >= 0")
    if (tau < 0).any():
        i = int(np.argmax(tau < 0))
        raise InputError(f"node {names[i]!r}: turbine time constant tau = {tau[i]:g}; it must be > 0")
    active = np.flatnonzero(r)
    _positive(tau[active], "turbine time constant tau", [names[i] for i in active])
    bank = Bank(active, -1.0 / tau[active, None, None], 1.0 / tau[active, None], r[active, None])
    return Nodes(names, np.stack([d, m]), (bank,) if active.size else ())


def droop_inverter(*, gain: ArrayLike, time_constant: ArrayLike, labels: Sequence[str] | None = None) -> Nodes:
    """Droop-controlled inverters g_i = k_i/(tau_i s + 1).

    Parameters
    ----------
    gain : (n,) array, > 0
        k_i [rad/(pu s)], the reciprocal of inverse droop.
    time_constant : (n,) array, > 0
        Power filter tau_i [s].
    labels : sequence of str, optional
        Unique names; default "1", "2", ... or the index of a Series.

    Returns
    -------
    Nodes

    Raises
    ------
    InputError
        A gain or time constant that is not positive; the node is named.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.1, Example 1.

    Examples
    --------
    >>> droop_inverter(gain=[2.0, 1.0], time_constant=0.1).response(0.0).real
    array([[2., 1.]])
    """
    names, (k, tau) = _columns(labels, gain=gain, time_constant=time_constant)
    _positive(k, "droop gain k", names)
    _positive(tau, "filter time constant tau", names)
    return Nodes(names, np.stack([1.0 / k, tau / k]))


def integrator(*, gain: ArrayLike = 1.0, labels: Sequence[str] | None = None, count: int | None = None) -> Nodes:
    """Integrators g_i = k_i/s, as in first-order consensus.

    Parameters
    ----------
    gain : (n,) array or number, > 0
    labels : sequence of str, optional
        Unique names; default "1", "2", ... or the index of a Series.
    count : int, optional
        Number of nodes when gain is a number and no labels are given.

    Returns
    -------
    Nodes

    Raises
    ------
    InputError
        A gain that is not positive, or a count beside labels.

    Examples
    --------
    >>> integrator(count=3).order
    3
    """
    if count is not None:
        if labels is not None or np.size(gain) != 1 or count < 1:
            raise InputError(f"count = {count} is for one gain without labels, and >= 1")
        labels = [str(i + 1) for i in range(count)]
    names, (k,) = _columns(labels, gain=gain)
    _positive(k, "gain k", names)
    return Nodes(names, np.stack([np.zeros(len(k)), 1.0 / k]))


def _columns(labels: Sequence[str] | None, **values: Any) -> tuple[tuple[str, ...], list[Real]]:
    """Labels and one array per parameter, all of the same length; a Series is taken by its index."""
    names = None if labels is None else tuple(map(str, labels))
    for value in values.values():
        if names is None and isinstance(value, pd.Series) and not isinstance(value.index, pd.RangeIndex):
            names = tuple(map(str, value.index))
    arrays = {name: real_vector(_ordered(value, names, name), name) for name, value in values.items()}
    n = max(array.size for array in arrays.values()) if names is None else len(names)
    for name, array in arrays.items():
        if array.size not in (1, n):
            raise InputError(f"{name} has {array.size} entries for {n} nodes; give one number or {n}")
    names = tuple(str(i + 1) for i in range(n)) if names is None else names
    return names, [np.broadcast_to(array, (n,)).copy() for array in arrays.values()]


def _ordered(value: Any, names: tuple[str, ...] | None, parameter: str) -> Any:
    if names is None or not isinstance(value, pd.Series) or isinstance(value.index, pd.RangeIndex):
        return value
    own = value.set_axis([str(x) for x in value.index])
    if sorted(own.index) != sorted(names):
        raise InputError(f"the index of {parameter} is not the labels of the nodes ({', '.join(names[:4])}, ...)")
    return own.loc[list(names)].to_numpy()


def _positive(values: Real, name: str, labels: Sequence[str]) -> None:
    if (values <= 0).any():
        i = int(np.argmax(values <= 0))
        raise InputError(f"node {labels[i]!r}: {name} = {values[i]:g}; it must be > 0")
