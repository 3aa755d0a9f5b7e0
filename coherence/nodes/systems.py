r"""Nodes from and to python-control systems: the only module that imports python-control.

A transfer function g = num/den is inverted by one polynomial division, den = Q num + R, so g^{-1} = Q + R/num.
A state space (A, B, C, D) is inverted without polynomials, in the coordinates y, y', ... of the output and the zero
dynamics z (Byrnes-Isidori normal form): with relative degree r, v = C A^r and b = C A^{r-1} B,
    b u = y^(r) - v x,   x = T^{-1} [y, y', ..., y^(r-1), z],   z' = A_z z + A_y [y, ..., y^(r-1)].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError, ToleranceError
from coherence.nodes.nodes import Nodes, concatenate, make_banks
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.types import Complex, Real

if TYPE_CHECKING:
    import control

ACCURACY = 1e-7  # relative, of a node against the system it was made from


def from_systems(systems: Mapping[str, Any] | Sequence[Any], *, labels: Sequence[str] | None = None) -> Nodes:
    """Nodes from SISO, continuous-time python-control systems (TransferFunction or StateSpace), g_i each.

    Parameters
    ----------
    systems : mapping label -> system, or sequence of systems
    labels : sequence of str, optional
        Names for a sequence.

    Returns
    -------
    Nodes
        g_i^{-1} = polynomial + strictly proper section, by polynomial division or through the zero dynamics.

    Raises
    ------
    InputError
        A system that is not SISO, discrete-time, improper, identically zero, or measured data; its label is named.
    ToleranceError
        A system whose inverse loses its digits (zeros many decades beyond its poles).

    Examples
    --------
    >>> import control
    >>> nodes = from_systems({"a": control.tf([1], [2, 1]), "b": control.tf([1, 3], [1, 2, 1])})
    >>> nodes.response(0.0).real
    array([[1., 3.]])
    """
    if hasattr(systems, "ninputs") or not isinstance(systems, (Mapping, Sequence)):
        raise InputError("give a mapping label -> system or a list of systems, one per node")
    if isinstance(systems, Mapping) and labels is not None:
        raise InputError("a mapping already has labels; leave `labels` out or give a sequence")
    if not isinstance(systems, Mapping):
        names = [str(i + 1) for i in range(len(systems))] if labels is None else list(map(str, labels))
        if len(names) != len(systems):
            raise InputError(f"there are {len(names)} labels for {len(systems)} systems; give one each")
        systems = dict(zip(names, systems, strict=True)) if len(set(names)) == len(names) else _repeated(names)
    return concatenate([_one(str(label), system) for label, system in systems.items()])


def from_realization(label: str, system: Realization) -> Nodes:
    """One node whose g is the given SISO realization."""
    where = f"node {label!r}"
    a, (scaling, _) = sla.matrix_balance(system.a, separate=True, permute=False) if system.order else (system.a, (np.ones(0), None))
    system = Realization(a, system.b / scaling[:, None], system.c * scaling, system.d)
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


def to_frd(
    values: Complex, omega: Real, *, inputs: Sequence[str], outputs: Sequence[str], name: str
) -> control.FrequencyResponseData:
    """A python-control FRD from values (F, p, m) at omega [rad/s], with named signals."""
    import control

    return control.frd(np.moveaxis(values, 0, 2), omega, inputs=list(inputs), outputs=list(outputs), name=name)


def to_time_response(time: Real, outputs: Real, *, labels: Sequence[str], title: str) -> control.TimeResponseData:
    """A python-control TimeResponseData from outputs (N, p) at time [s]."""
    import control

    return control.TimeResponseData(time, outputs.T, output_labels=list(labels), title=title, issiso=False)


def from_control(system: Any) -> Realization:
    """The arrays of a python-control StateSpace."""
    return Realization(*(np.asarray(m, dtype=float) for m in (system.A, system.B, system.C, system.D)))


def realized(
    system: Any, refusal: str, *, what: str = "the system", give: str = "a StateSpace or a TransferFunction"
) -> tuple[Realization, tuple[str, ...], tuple[str, ...]]:
    """A continuous-time python-control StateSpace or TransferFunction as arrays, with the names of its inputs and outputs.

    `refusal` says in messages what another object cannot be, `give` what to give instead.
    """
    import control

    if not isinstance(system, (control.StateSpace, control.TransferFunction)):
        raise InputError(f"a {type(system).__name__} {refusal}; give {give}")
    if not system.isctime():
        raise InputError(f"{what} is discrete-time (dt = {system.dt}); give a continuous-time one")
    try:
        space = control.ss(system)
    except (ValueError, control.ControlMIMONotImplemented) as error:
        raise InputError(f"{what} has no state space ({error}); give a StateSpace, or a proper TransferFunction") from None
    arrays = from_control(space)
    if not all(np.isfinite(matrix).all() for matrix in arrays):
        raise InputError(f"{what} has an entry that is not finite")
    return arrays, tuple(system.input_labels), tuple(system.output_labels)


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
        node = from_realization(label, arrays)
        _verify(node, lambda s: arrays(s), np.concatenate([arrays.poles(), node.proper_part()[0].poles()]))
        return node
    if not (hasattr(system, "num") and hasattr(system, "den")):
        raise InputError(f"{where} is a {type(system).__name__}; give a python-control TransferFunction or StateSpace")
    g = Rational.of(system, where)
    quotient, remainder = _divide(list(g.den), list(g.num))
    sections = [(0, Rational.of((remainder, g.num), where).realization())] if any(remainder) else []
    node = Nodes((label,), np.array(quotient)[::-1, None], make_banks(sections))
    _verify(node, lambda s: g(s)[:, None, None], np.concatenate([g.poles(), np.roots(g.num)]))
    return node


def _divide(den: list[float], num: list[float]) -> tuple[list[float], list[float]]:
    """Quotient and remainder of polynomials in descending powers, every digit kept."""
    rest, quotient = list(den), []
    for _ in range(len(den) - len(num) + 1):
        factor = rest[0] / num[0]
        quotient.append(factor)
        rest = [r - factor * c for r, c in zip(rest[1:], [*num[1:], *[0.0] * (len(rest) - len(num))], strict=True)]
    return quotient, rest


def inversion_error(node: Nodes, g: Realization) -> float:
    """The largest |g g^{-1} - 1| over frequency and at 0, with g^{-1} the node's, where it inverts a realization of its own order.

    Raises
    ------
    ToleranceError
        More than 1e-7: a zero many decades beyond the poles, as feedthrough or C B next to nothing makes it.
    """
    roots = np.abs(np.concatenate([g.poles(), node.proper_part()[0].poles()]))
    size = roots[roots > 0]
    omega = np.geomspace(size.min() / 10, size.max() * 10, 80) if size.size else np.ones(1)
    omega = omega if roots.size and roots.min() == 0 else np.append(omega, 0.0)
    error = float(np.abs(node.inverse(1j * omega)[:, 0] * g(1j * omega)[:, 0, 0] - 1.0).max())
    if not error <= ACCURACY:
        raise ToleranceError(
            f"node {node.labels[0]!r}: the reduced model cannot be inverted, its inverse is off by {error:.1e} (allowed "
            f"{ACCURACY:g}); take another order or part='turbines'"
        )
    return error


def _verify(node: Nodes, g: Callable[[Any], Any], roots: Complex) -> None:
    """Evaluate g and the inverse of its inverse around its poles and zeros; digits lost in between are an error."""
    size = np.abs(roots[np.abs(roots) > 0])
    radii = np.unique(np.concatenate([size, 0.1 * size, 10 * size, [1.0]]))
    points = np.concatenate([np.exp(1j * angle) * radii for angle in (0.4, 1.2)])  # off the axes, where most roots are not
    points = points[(np.abs(points[:, None] - roots) > 0.05 * np.abs(points)[:, None]).all(axis=1)]
    want = g(points)[:, 0, 0]
    error = np.abs(node.inverse(points)[:, 0] * want - 1.0)
    if not error.max() <= ACCURACY:
        worst = abs(points[int(np.nan_to_num(error, nan=np.inf).argmax())])
        raise ToleranceError(
            f"node {node.labels[0]!r}: its inverse is off by {error.max():.1e} near |s| = {worst:.3g} rad/s (allowed "
            f"{ACCURACY:g}): poles and zeros reach from {size.min():.1e} to {size.max():.1e} rad/s; drop the coefficients "
            "that make the fastest"
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
