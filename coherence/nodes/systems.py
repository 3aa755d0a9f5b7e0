r"""Nodes from and to python-control systems: the only module that imports python-control.

A transfer function g = num/den is inverted by one polynomial division, den = Q num + R, so g^{-1} = Q + R/num.
A state space (A, B, C, D) is inverted without polynomials, in the coordinates y, y', ... of the output and the zero
dynamics z (Byrnes-Isidori normal form): with relative degree r, v = C A^r and b = C A^{r-1} B,
    b u = y^(r) - v x,   x = T^{-1} [y, y', ..., y^(r-1), z],   z' = A_z z + A_y [y, ..., y^(r-1)].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError
from coherence.nodes.nodes import Nodes, concatenate, make_banks
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.types import Real

if TYPE_CHECKING:
    import control


def from_systems(systems: Mapping[str, Any] | Sequence[Any], *, labels: Sequence[str] | None = None) -> Nodes:
    """Nodes from SISO, continuous-time python-control systems (TransferFunction or StateSpace), g_i each.

    Parameters
    ----------
    systems : mapping label -> system, or sequence of systems
    labels : sequence of str, optional
        Names for a sequence.

    Raises
    ------
    InputError
        A system that is not SISO, discrete-time, improper or identically zero; its label is named.

    Examples
    --------
    >>> import control
    >>> nodes = from_systems({"a": control.tf([1], [2, 1]), "b": control.tf([1, 3], [1, 2, 1])})
    >>> nodes.response(0.0).real
    array([[1., 3.]])
    """
    if not isinstance(systems, Mapping):
        names = [str(i + 1) for i in range(len(systems))] if labels is None else list(map(str, labels))
        if len(names) != len(systems):
            raise InputError(f"there are {len(names)} labels for {len(systems)} systems; give one each")
        systems = dict(zip(names, systems, strict=True)) if len(set(names)) == len(names) else _repeated(names)
    return concatenate([_one(str(label), system) for label, system in systems.items()])


def from_realization(label: str, system: Realization) -> Nodes:
    """One node whose g is the given SISO realization."""
    where = f"node {label!r}"
    scale = _scale(system)
    if abs(system.d[0, 0]) > 1e-12 * scale:
        gain = 1.0 / system.d[0, 0]
        section = Realization(system.a - gain * system.b @ system.c, system.b * gain, -gain * system.c, np.zeros((1, 1)))
        return Nodes((label,), np.array([[gain]]), make_banks([(0, section)]))
    n, rows, relative_degree = system.order, [system.c], 0
    while True:
        relative_degree += 1
        if relative_degree > n:
            raise InputError(f"{where}: the system is identically zero; it needs an output that its input reaches")
        gain = (rows[-1] @ system.b)[0, 0]
        if abs(gain) > 1e-12 * np.linalg.norm(rows[-1]) * np.linalg.norm(system.b):
            break
        rows.append(rows[-1] @ system.a)
    chain = np.vstack(rows)
    # zero coordinates z = N x with N B = 0, so that u does not enter z'
    others = sla.null_space(np.vstack([system.b.T])).T if n > 1 else np.zeros((0, n))
    basis = _complete(chain, others, n)
    inverse = np.linalg.inv(basis)
    a = basis @ system.a @ inverse
    r = relative_degree
    a_z, b_z = a[r:, r:], a[r:, :r]
    top = (rows[-1] @ system.a @ inverse)[0]
    # u = (y^(r) - top . [y..y^(r-1), z]) / gain, and z' = a_z z + sum_j b_z[:, j] s^j y
    polynomial = np.zeros(r + 1)
    polynomial[r] = 1.0
    polynomial[:r] -= top[:r]
    c_z, drive = -top[r:], np.zeros(n - r)
    for j in range(r):  # (sI - A)^{-1} s^j = sum_{i<j} A^{j-1-i} s^i + (sI - A)^{-1} A^j
        power = b_z[:, j]
        for i in range(j - 1, -1, -1):
            polynomial[i] += c_z @ power
            power = a_z @ power
        drive = drive + power
    section = Realization(a_z, drive[:, None], c_z[None, :] / gain, np.zeros((1, 1)))
    return Nodes((label,), (polynomial / gain)[:, None], make_banks([(0, section)]))


def to_control(
    system: Realization, *, inputs: Sequence[str], outputs: Sequence[str], states: Sequence[str], name: str
) -> control.StateSpace:
    """A python-control StateSpace with named signals."""
    import control

    return control.StateSpace(
        system.a,
        system.b,
        system.c,
        system.d,
        inputs=list(inputs),
        outputs=list(outputs),
        states=list(states),
        name=name,
        remove_useless_states=False,
    )


def from_control(system: Any) -> Realization:
    """The arrays of a python-control StateSpace."""
    return Realization(*(np.asarray(m, dtype=float) for m in (system.A, system.B, system.C, system.D)))


def _one(label: str, system: Any) -> Nodes:
    where = f"node {label!r}"
    if getattr(system, "dt", None) not in (None, 0):
        raise InputError(f"{where} is a discrete-time system (dt = {system.dt}); give a continuous-time one")
    if getattr(system, "ninputs", 1) != 1 or getattr(system, "noutputs", 1) != 1:
        raise InputError(f"{where} has {system.ninputs} inputs and {system.noutputs} outputs; nodes are SISO")
    if all(hasattr(system, m) for m in "ABCD"):
        arrays = from_control(system)
        if not all(np.isfinite(m).all() for m in arrays):
            raise InputError(f"{where}: the state space has an entry that is not finite")
        return from_realization(label, arrays)
    g = Rational.of(system, where)
    quotient, remainder = np.polydiv(np.array(g.den), np.array(g.num))
    polynomial = quotient[::-1][:, None]
    if len(g.num) == 1:
        return Nodes((label,), polynomial)
    return Nodes((label,), polynomial, make_banks([(0, _proper(remainder, np.array(g.num)))]))


def _proper(remainder: Real, num: Real) -> Realization:
    return (
        Rational._checked(remainder, num, "section").realization()
        if np.any(remainder)
        else Realization(np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.zeros((1, 1)))
    )


def _complete(chain: Real, candidates: Real, n: int) -> Real:
    """Rows of `chain` completed to a basis by combinations of `candidates`, orthonormal to what stands already."""
    r = len(chain)
    if r == n:
        return chain
    q = sla.orth(chain.T)
    # among the candidates (all with N B = 0) those farthest from the span of the chain
    u, _, _ = np.linalg.svd(candidates @ (np.eye(n) - q @ q.T), full_matrices=False)
    return np.vstack([chain, u[:, : n - r].T @ candidates])


def _scale(system: Realization) -> float:
    return float(np.abs(system.d).max() + (np.linalg.norm(system.c) * np.linalg.norm(system.b) if system.order else 0.0))


def _repeated(names: Sequence[str]) -> dict[str, Any]:
    twice = next(name for name in names if names.count(name) > 1)
    raise InputError(f"the label {twice!r} stands for two nodes; labels must be unique")
