r"""A network under feedback between its nodes: controllers that measure outputs and flows, and inject power.

    (G^{-1} + f L) y = d + W p,   p = K(s) v,   v = F y + f(s) R y,                 R 1 = 0,

n nodes, p control powers, q measurements: W (n, p) says how a control power is shared by nodes, F (q, n) which outputs are measured
(a center of inertia is a row of weights), R (q, n) which flows (a line i - j of weight w is w (e_i - e_j)^T, an area's export its
rows of L summed). With T of the network, C = F + f R and S = K (I - C T W K)^{-1},

    T_cl = T + T W S C T,

so a large network under feedback costs one sparse factorisation a point, like the network itself. Feedback of every node from its
own output needs none of this: it adds to the node's inverse, and the network stays a `Network` (`Nodes.plus`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError, PoleError
from coherence.network.network import Network, require_nodes, signal_names, unit_columns
from coherence.network.statespace import through_coupling
from coherence.nodes.systems import to_control
from coherence.numerics.realization import Realization
from coherence.numerics.sparse import factorise
from coherence.types import ArrayLike, Complex, Real, laplace_points

if TYPE_CHECKING:
    import control

ILL_POSED = 1e12  # condition of 1 - D K(inf)
BALANCED = 1e-9  # of the entries of a row of R: what its sum may be
TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class Feedback:
    """Controllers and where they act: p = K v, v = F y + f R y, u = d + W p.

    Parameters
    ----------
    controller : Realization
        K, (p, q); what it puts out is injected as it is (a damping controller has negative gain).
    actuators : (n, p) array
        W.
    outputs, flows : (q, n) array
        F and R; rows of R sum to 0.
    measured, powers : tuple of str
        Names of the q measurements and p control powers.
    """

    controller: Realization
    actuators: Real
    outputs: Real
    flows: Real
    measured: tuple[str, ...]
    powers: tuple[str, ...]

    def __post_init__(self) -> None:
        (p, q), n = self.controller.d.shape, len(self.actuators)
        shapes = {"actuators": (n, p), "outputs": (q, n), "flows": (q, n)}
        for name, shape in shapes.items():
            matrix = getattr(self, name)
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise InputError(f"{name} of a feedback of {q} measurements and {p} powers must be a finite {shape} array")
        if (np.abs(self.flows.sum(axis=1)) > BALANCED * np.abs(self.flows).sum(axis=1)).any():
            raise InputError("a measured flow depends on differences only: rows of `flows` must sum to 0")
        if len(self.measured) != q or len(self.powers) != p:
            raise InputError(f"give {q} names of measurements and {p} names of powers")

    def plus(self, other: Feedback) -> Feedback:
        """Both at once, each from its own measurements."""
        first, second = self.controller, other.controller
        both = Realization(*(sla.block_diag(a, b) for a, b in zip(first, second, strict=True)))
        return Feedback(
            both,
            np.hstack([self.actuators, other.actuators]),
            np.vstack([self.outputs, other.outputs]),
            np.vstack([self.flows, other.flows]),
            self.measured + other.measured,
            self.powers + other.powers,
        )


@dataclass(frozen=True, eq=False, repr=False)
class ClosedLoop(Page):
    """A network of nodes under feedback; build it with `coherence.close_loop`.

    Attributes
    ----------
    network : Network
        Without the feedback.
    feedback : Feedback

    Examples
    --------
    >>> import control
    >>> from coherence import Network, close_loop, swing
    >>> network = Network(swing(inertia=[1, 2], damping=0.1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> brake = control.ss([], [], [], [[-0.5]], inputs=["w[a]"], outputs=["p[a]"])
    >>> loop = close_loop(network, brake)
    >>> loop
    ClosedLoop(2 nodes, 3 states; p[a] from w[a], 0 states)
    >>> bool(loop.poles()[0].real < network.poles()[0].real)
    True
    """

    network: Network
    feedback: Feedback

    def __post_init__(self) -> None:
        require_nodes(self.network, "a closed loop")
        if len(self.feedback.actuators) != self.network.size:
            raise InputError(f"the feedback is of {len(self.feedback.actuators)} nodes, the network has {self.network.size}")

    def __repr__(self) -> str:
        f, n = self.feedback, self.network
        named = [", ".join(names[:3]) + (", ..." if len(names) > 3 else "") for names in (f.powers, f.measured)]
        return f"ClosedLoop({n.size} nodes, {n.order} states; {named[0]} from {named[1]}, {f.controller.order} states)"

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the nodes."""
        return self.network.labels

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self.network.size

    def index(self, label: str) -> int:
        """Position of a node by its label."""
        return self.network.index(label)

    @property
    def order(self) -> int:
        """States of the network and of the controllers."""
        return self.network.order + self.feedback.controller.order

    def transfer_columns(self, s: ArrayLike, inputs: Any) -> Complex:
        """T_cl(s) for some inputs, (F, n, len(inputs)); one factorisation per point."""
        points, f = laplace_points(s), self.feedback
        columns = unit_columns(self.network, inputs)
        shapes = np.hstack([columns, f.actuators])
        t = self.network.transfer_of(points, shapes)
        seen = self.measured(points, t)
        m = columns.shape[1]
        k = f.controller(points)
        try:
            power = np.linalg.solve(np.eye(k.shape[1]) - k @ seen[:, :, m:], k @ seen[:, :, :m])
        except np.linalg.LinAlgError:
            raise PoleError(f"one of the {points.size} points s is a pole of the closed loop; move it") from None
        return np.asarray(t[:, :, :m] + t[:, :, m:] @ power)

    def measured(self, points: Complex, t: Complex) -> Complex:
        """(F + f R) T shapes, from t = T shapes, (F, q, m)."""
        f = self.feedback
        seen = f.outputs @ t
        if not f.flows.any():
            return np.asarray(seen)
        gain = self.network.coupling(points)
        if not np.isfinite(gain).all():
            raise PoleError(f"s = {points[int(np.argmin(np.isfinite(gain)))]:.6g} is a pole of the coupling f; move s")
        return np.asarray(seen + gain[:, None, None] * (f.flows @ t))

    def transfer_matrix(self, s: ArrayLike) -> Complex:
        """T_cl(s), (F, n, n)."""
        return self.transfer_columns(s, self.labels)

    @cached_property
    def realization(self) -> Realization:
        """T_cl as dense arrays, states of the network first.

        Raises
        ------
        InputError
            The loop is not well posed: feedthrough of the controllers and of the network cancels 1.
        """
        f = self.feedback
        plant = channel_realization(self.network, np.hstack([np.eye(self.size), f.actuators]), f.outputs, f.flows)
        return lower_connected(plant, f.controller)

    def kron_reduce(self) -> ClosedLoop:
        """The loop without passive nodes (g_i^-1 = 0): the same T_cl between the others.

        With f y_b = L_bb^{-1} (u_b + W_b p - L_ba f y_a), what is measured there becomes that of the others, and powers act on them
        and, through flows, at once on the measurements.

        Raises
        ------
        InputError
            No node has dynamics, or an output of passive nodes is measured that control powers at passive nodes move.
        """
        idle = np.flatnonzero(self.network.nodes.passive)
        reduced = self.network.kron_reduce()
        if not idle.size:
            return self
        f, rest = self.feedback, np.flatnonzero(~self.network.nodes.passive)
        whole = sp.csr_array(self.network.laplacian)
        down = whole[idle][:, rest]
        lu = factorise(whole[idle][:, idle])
        power, seen, flowing = (lu.solve(x) for x in (f.actuators[idle], f.outputs[:, idle].T, f.flows[:, idle].T))
        if (np.abs(f.outputs[:, idle] @ power) > BALANCED * (np.abs(f.outputs[:, idle]) @ np.abs(power))).any():
            raise InputError(
                "an output of passive nodes is measured that control powers at passive nodes move at once; measure or act "
                "where there is inertia"
            )
        flows = f.flows[:, rest] - (down.T @ flowing).T
        size = np.abs(f.flows).sum(axis=1, keepdims=True)
        flows[np.abs(flows) <= BALANCED * size] = 0.0  # rounding of what passes no line
        flows -= flows.sum(axis=1, keepdims=True) * np.abs(flows) / np.maximum(np.abs(flows).sum(axis=1, keepdims=True), TINY)
        k, through = f.controller, f.flows[:, idle] @ power  # p = K (v + through p)
        inner = well_posed_inverse(np.eye(len(k.d)) - k.d @ through)
        c, d = inner @ k.c, inner @ k.d
        own = Realization(k.a + k.b @ through @ c, k.b + k.b @ through @ d, c, d)
        outputs = f.outputs[:, rest] - (down.T @ seen).T
        actuators = f.actuators[rest] - down.T @ power
        return ClosedLoop(reduced, Feedback(own, actuators, outputs, flows, f.measured, f.powers))

    def poles(self) -> Complex:
        """Eigenvalues of the closed loop without passive nodes, by descending real part."""
        return (self.kron_reduce() if self.network.nodes.passive.any() else self).realization.poles()

    def to_statespace(self, *, name: str = "closed_loop") -> control.StateSpace:
        """A python-control StateSpace; inputs u[label], outputs y[label] (a dot in a label becomes an underscore)."""
        system = self.realization
        return to_control(
            system,
            inputs=signal_names([f"u[{label}]" for label in self.labels]),
            outputs=signal_names([f"y[{label}]" for label in self.labels]),
            states=signal_names([f"x[{i}]" for i in range(system.order)]),
            name=name,
        )


def channel_realization(network: Network, inputs: Real, outputs: Real, flows: Real) -> Realization:
    """From control powers shared by the columns of `inputs` (n, m) to all outputs y, then F y + f R y; (n + q, m).

    Minimal in the coupling's states like `Network.realization`.
    """
    system, angles = through_coupling(network.nodes, network.dense_laplacian, network.coupling)
    c = np.vstack([system.c, outputs @ system.c + flows @ angles.c])
    d = np.vstack([system.d, outputs @ system.d + flows @ angles.d])
    return Realization(system.a, system.b @ inputs, c, d @ inputs)


def lower_connected(plant: Realization, k: Realization) -> Realization:
    """The plant from its first inputs to its first outputs, the last ones joined by v -> K v (a lower fractional transformation).

    Raises
    ------
    InputError
        The loop is not well posed.
    """
    a, b, c, d = plant
    (p, q), m, n = k.d.shape, b.shape[1], len(c)
    one, two, first, last = slice(0, m - p), slice(m - p, m), slice(0, n - q), slice(n - q, n)
    inner = well_posed_inverse(np.eye(q) - d[last, two] @ k.d)  # v = inner (c2 x + d22 c_k x_k + d21 u)
    v_x, v_k, v_u = inner @ c[last], inner @ d[last, two] @ k.c, inner @ d[last, one]
    p_x, p_k, p_u = k.d @ v_x, k.c + k.d @ v_k, k.d @ v_u
    return Realization(
        np.block([[a + b[:, two] @ p_x, b[:, two] @ p_k], [k.b @ v_x, k.a + k.b @ v_k]]),
        np.vstack([b[:, one] + b[:, two] @ p_u, k.b @ v_u]),
        np.hstack([c[first] + d[first, two] @ p_x, d[first, two] @ p_k]),
        d[first, one] + d[first, two] @ p_u,
    )


def well_posed_inverse(loop: Real) -> Real:
    """Inverse of 1 - D K(inf)."""
    if np.linalg.cond(loop) > ILL_POSED:
        raise InputError("the loop is not well posed: what the controllers pass at once comes back at once; give them a lag")
    return np.asarray(np.linalg.inv(loop))
