r"""The noun of the library: n dynamic nodes on a weighted graph, with a scalar coupling.

    T(s) = (I + G f L)^{-1} G = Y(s)^{-1},   Y(s) = G^{-1}(s) + f(s) L          (3.1)-(3.2)

A projection V^T Y V is again a `Network`: on a partition the node inverses add up and stay diagonal; on a general basis
the nodes are kept and the basis rides along, V^T G^{-1} V. The state space is built in `statespace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError, PoleError, UnknownNameError
from coherence.graphs.laplacian import (
    checked_laplacian,
    checked_sparse_laplacian,
    components,
    kron_reduce,
    laplacian_of_graph,
    require_connected,
)
from coherence.graphs.partition import Partition
from coherence.network.statespace import network_realization
from coherence.nodes.nodes import Nodes, unknown_name
from coherence.nodes.systems import to_control, to_frd
from coherence.numerics.deflation import uniform_deviation
from coherence.numerics.deviation import Deviation
from coherence.numerics.rational import Function, Rational, coupling_of
from coherence.numerics.realization import Realization
from coherence.numerics.sparse import factorise, least_eigenpairs
from coherence.types import ArrayLike, Complex, Int, Real, frequencies, laplace_points

if TYPE_CHECKING:
    import control
    import networkx as nx


DENSE_LIMIT = 5000  # nodes: 200 MB a matrix, minutes an eigenvalue problem
CANCELLING = 1e-2  # |sum of node inverses| / sum of their moduli below which T is inverted directly


@dataclass(frozen=True, eq=False, repr=False)
class Network(Page):
    """n nodes, a symmetric positive semidefinite Laplacian and a coupling f.

    Parameters
    ----------
    nodes : Nodes
        The node dynamics g_i.
    laplacian : (n, n) array or sparse matrix
        L; a sparse one stays sparse. In grids: synchronising coefficients [pu/rad].
    coupling : Rational, "1", "1/s", number, (num, den), transfer function or callable
        f(s); any proper real-rational function, in grids 1/s; or a callable of a complex array (a delay), for frequency
        analysis only.
    basis : (n, k) array, optional
        V of a projected network, set by `project`; then L is (k, k).
    labels : tuple of str, optional
        Names of the inputs and outputs; the nodes' own by default.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import Network, swing
    >>> network = Network(swing(inertia=[1, 2], damping=[1, 1]), [[3, -3], [-3, 3]], "1/s")
    >>> network.transfer_matrix(1j).shape
    (1, 2, 2)
    """

    nodes: Nodes
    laplacian: Any
    coupling: Rational | Function
    basis: Real | None = None
    labels: tuple[str, ...] = field(default=())

    def __init__(
        self, nodes: Nodes, laplacian: Any, coupling: Any, *, basis: Real | None = None, labels: Sequence[str] | None = None
    ) -> None:
        if not isinstance(nodes, Nodes):
            raise InputError(f"nodes is a {type(nodes).__name__}; build Nodes with a family (swing, ...) or from_systems([...])")
        names = tuple(nodes.labels if labels is None else map(str, labels))
        if basis is None:
            known = names if np.shape(laplacian) == (len(names),) * 2 else None
            matrix = (checked_sparse_laplacian if sp.issparse(laplacian) else checked_laplacian)(laplacian, known)
            if matrix.shape[0] != len(nodes):
                raise InputError(f"the Laplacian is {matrix.shape[0]} x {matrix.shape[0]} but there are {len(nodes)} nodes")
            if names != nodes.labels:
                nodes = nodes.renamed(names)  # checks their number and that they are unique
        else:
            matrix = np.asarray(laplacian, dtype=float)
            basis = np.asarray(basis, dtype=float)
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or basis.shape != (len(nodes), len(matrix)):
                raise InputError(
                    f"the basis has shape {basis.shape}, the projected Laplacian {matrix.shape}; give (n, k) and (k, k)"
                )
            size = float(np.abs(matrix).max(initial=0.0)) if np.isfinite(matrix).all() else np.nan
            if not np.abs(matrix - matrix.T).max(initial=0.0) <= 1e-9 * size:
                raise InputError("the projected Laplacian is not symmetric and finite")
            if np.linalg.eigvalsh(matrix)[0] < -1e-9 * len(matrix) * size:
                raise InputError("the projected Laplacian is indefinite")
        if len(names) != matrix.shape[0]:
            raise InputError(f"there are {len(names)} labels for {matrix.shape[0]} inputs and outputs; give one each")
        object.__setattr__(self, "nodes", nodes)
        matrix = matrix.copy()
        values: Any = matrix.data if sp.issparse(matrix) else matrix
        values.flags.writeable = False  # what is computed from it is kept
        object.__setattr__(self, "laplacian", matrix)
        object.__setattr__(self, "coupling", coupling_of(coupling, "the coupling f"))
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "labels", names)

    @classmethod
    def from_graph(cls, graph: nx.Graph, nodes: Nodes, coupling: Any, *, weight: str = "weight") -> Network:
        """A network on a networkx graph; the nodes' labels must be the graph's nodes (as strings), in any order."""
        laplacian, labels = laplacian_of_graph(graph, weight=weight)
        known = set(nodes.labels)
        for label in labels:
            if label not in known:
                raise InputError(f"graph node {label!r} has no dynamics; known: {', '.join(nodes.labels[:6])}")
        if len(labels) != len(nodes):
            raise InputError(f"there are {len(nodes)} node dynamics for a graph of {len(labels)} nodes")
        return cls(nodes.select([nodes.index(label) for label in labels]), laplacian, coupling)

    @property
    def facts(self) -> dict[str, str]:
        """What one line says."""
        out = {"coupling f": self.coupling.sentence, "states": str(self.order)}
        if self.basis is None and self.size > 1:
            out["algebraic connectivity"] = f"{self.algebraic_connectivity:.6g}"
        return out

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The nodes: inertia, damping, order, degree in the graph."""
        if self.basis is not None:
            return {}
        columns = {"inertia": self.nodes.inertia, "damping": self.nodes.damping, "order": self.nodes.orders}
        return {"nodes": pd.DataFrame(columns | {"L_ii": self.laplacian.diagonal()}, index=pd.Index(self.labels, name="node"))}

    def __repr__(self) -> str:
        what = "" if self.basis is None else f" projected on {self.size} vectors"
        return f"Network({len(self.nodes)} nodes{what}, {self.order} states, coupling {self.coupling.sentence})"

    @property
    def size(self) -> int:
        """Number of inputs = outputs."""
        return int(self.laplacian.shape[0])

    @cached_property
    def dense_laplacian(self) -> Real:
        """L as a dense array, for work that is dense.

        Raises
        ------
        InputError
            More than 5000 nodes.
        """
        if not sp.issparse(self.laplacian):
            return np.asarray(self.laplacian)
        if self.size > DENSE_LIMIT:
            raise InputError(
                f"this is dense work on {self.size} nodes (at most {DENSE_LIMIT}); eliminate those without dynamics with "
                "network.kron_reduce(), or ask for columns of T with transfer_columns"
            )
        dense = self.laplacian.toarray()
        dense.flags.writeable = False
        return np.asarray(dense)

    def index(self, label: str) -> int:
        """Position of an input or output by its label."""
        if label not in self._position:
            raise UnknownNameError(unknown_name("node", label, self.labels))
        return self._position[label]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    @property
    def order(self) -> int:
        """Number of states of the state space (without the angle of the uniform motion, which nothing observes)."""
        if self.basis is not None:
            return self.realization.order
        angles = self.size - int(self.nodes.passive.sum()) - 1 - int(components(self.laplacian).max(initial=0))
        return self.nodes.order + self.coupling.order * angles

    @cached_property
    def eigenvalues(self) -> Real:
        """Eigenvalues of L, ascending, (n,); the first is exactly 0."""
        return self._eigen[0]

    @cached_property
    def eigenvectors(self) -> Real:
        """Orthonormal eigenvectors of L, (n, n) by columns; the first is exactly 1/sqrt(n)."""
        return self._eigen[1]

    @cached_property
    def _eigen(self) -> tuple[Real, Real]:
        n = self.size
        if self.basis is not None:
            values, vectors = np.linalg.eigh(self.dense_laplacian)
            return values, vectors
        # reflect 1/sqrt(n) onto e_1, so that the null vector is exact whatever the rest of the null space
        u = np.full(n, 1.0 / np.sqrt(n))
        w = u.copy()
        w[0] += 1.0
        mirror = np.eye(n) - 2.0 * np.outer(w, w) / (w @ w)
        values, vectors = np.linalg.eigh((mirror @ self.dense_laplacian @ mirror)[1:, 1:])
        full = np.column_stack([u, mirror[:, 1:] @ vectors])
        return np.concatenate([[0.0], np.maximum(values, 0.0)]), full

    def slow_values(self, count: int) -> Real:
        """The `count` least eigenvalues of L, ascending; few of a sparse L by shift-invert."""
        if not sp.issparse(self.laplacian) or count >= self.size - 1:
            return self.eigenvalues[:count]
        return self._slow(count)[0]

    def slow_vectors(self, count: int) -> Real:
        """Their orthonormal eigenvectors by columns, the first exactly 1/sqrt(n)."""
        if count == 1:
            return np.full((self.size, 1), 1.0 / np.sqrt(self.size))
        if not sp.issparse(self.laplacian) or count >= self.size - 1:
            return self.eigenvectors[:, :count]
        return self._slow(count)[1]

    def _slow(self, count: int) -> tuple[Real, Real]:
        if count not in self._slow_cache:
            self._slow_cache[count] = least_eigenpairs(self.laplacian, count)
        return self._slow_cache[count]

    @cached_property
    def _slow_cache(self) -> dict[int, tuple[Real, Real]]:
        return {}

    @property
    def algebraic_connectivity(self) -> float:
        """lambda_2 of L; infinite for a single node."""
        require_nodes(self, "the algebraic connectivity")
        if self.size == 1:
            return np.inf
        return 0.0 if len(self._components) > 1 else float(self.slow_values(2)[1])

    def effective_connectivity(self, s: ArrayLike, k: int = 1) -> Real:
        """|f(s)| lambda_{k+1}, shape (F,)."""
        if not 1 <= k < self.size:
            raise InputError(f"k = {k} is out of range; give 1 <= k <= {self.size - 1}")
        return np.abs(self.coupling(s)) * self.slow_values(k + 1)[k]

    def inverse_transfer_matrix(self, s: ArrayLike) -> Complex:
        """Y(s) = G^{-1}(s) + f(s) L, shape (F, n, n)."""
        points = laplace_points(s)
        f = self.coupling(points)
        if not np.isfinite(f).all():
            raise PoleError(f"s = {points[int(np.argmin(np.isfinite(f)))]:.6g} is a pole of the coupling f; move s")
        return self._diagonal(points, np.ones(points.size)) + f[:, None, None] * self.dense_laplacian

    def transfer_matrix(self, s: ArrayLike) -> Complex:
        """T(s), shape (F, n, n); at a pole of f the limit g_hat 11^T.

        Computed as g_hat 11^T + E with the eliminated deviation E, which keeps its digits where f L is huge; from
        q (q G^{-1} + p L)^{-1}, f = p/q, where the node inverses nearly cancel in their sum.

        Raises
        ------
        PoleError
            s is a pole of T.
        """
        points = laplace_points(s)
        if self.basis is not None:
            return self._direct(points, self.coupling.numerator(points), self.coupling.denominator(points))
        parts = self._components
        if len(parts) > 1:
            whole = np.zeros((points.size, self.size, self.size), dtype=complex)
            for mine in parts:
                whole[:, mine[:, None], mine] = self.subnetwork(mine).transfer_matrix(points)
            return whole
        z, p, q = self.nodes.inverse(points), self.coupling.numerator(points), self.coupling.denominator(points)
        total = z.sum(axis=1)
        summed = np.abs(total) >= CANCELLING * np.abs(z).sum(axis=1)
        summed &= total != 0
        out = np.empty((points.size, self.size, self.size), dtype=complex)
        out[~summed] = self._direct(points[~summed], p[~summed], q[~summed])
        out[summed] = uniform_deviation(z[summed], p[summed], q[summed], self.dense_laplacian) + 1.0 / total[summed, None, None]
        return out

    def _direct(self, points: Complex, p: Complex, q: Complex) -> Complex:
        try:
            return q[:, None, None] * np.linalg.inv(self._diagonal(points, q) + p[:, None, None] * self.dense_laplacian)
        except np.linalg.LinAlgError:
            raise PoleError(f"one of the {points.size} points s is a pole of T or of the coupling; move it") from None

    @cached_property
    def _components(self) -> list[Int]:
        index = components(self.laplacian)
        return [np.flatnonzero(index == i) for i in range(int(index.max(initial=0)) + 1)]

    def subnetwork(self, nodes: Sequence[int] | Int) -> Network:
        """The network of some nodes, given by position, with the edges between them."""
        picked = [int(i) for i in nodes]
        part = sp.csr_array(self.laplacian[picked][:, picked])
        off = part - sp.diags_array(part.diagonal())
        off = off - sp.diags_array(np.asarray(off.sum(axis=1)).ravel())
        return Network(self.nodes.select(picked), off if sp.issparse(self.laplacian) else off.toarray(), self.coupling)

    def kron_reduce(self) -> Network:
        """The network without its passive nodes (g_i^-1 = 0): the same T between the others, with a dense Laplacian.

        Raises
        ------
        InputError
            No node has dynamics.

        Examples
        --------
        >>> import numpy as np
        >>> from coherence import Network, Nodes
        >>> star = [[1, 0, -1], [0, 1, -1], [-1, -1, 2]]
        >>> Network(Nodes(("a", "b", "bus"), np.array([[1.0, 1, 0], [2, 2, 0]])), star, "1/s").kron_reduce()
        Network(2 nodes, 3 states, coupling 1/s)
        """
        require_nodes(self, "elimination of passive nodes")
        active = np.flatnonzero(~self.nodes.passive)
        if not active.size:
            raise InputError("every node of this network is passive (g^-1 = 0); give at least one its dynamics")
        if active.size == self.size:
            return self
        reduced = kron_reduce(self.laplacian, active, self.labels)
        return Network(self.nodes.select(active.tolist()), reduced.toarray() if sp.issparse(reduced) else reduced, self.coupling)

    def deviation(self, s: ArrayLike) -> Complex:
        """E(s) = T(s) - g_hat(s) 11^T, shape (F, n, n), by elimination (nothing cancels).

        Raises
        ------
        DisconnectedError
            The network falls apart (T tends to one block per component, not to g_hat 11^T).
        """
        points = laplace_points(s)
        require_nodes(self, "the deviation from coherence")
        require_connected(self.laplacian, self.labels, "the deviation from coherence")
        return uniform_deviation(
            self.nodes.inverse(points), self.coupling.numerator(points), self.coupling.denominator(points), self.dense_laplacian
        )

    def transfer_columns(self, s: ArrayLike, inputs: Sequence[str]) -> Complex:
        """T(s) for some inputs only, shape (F, n, len(inputs)); one sparse factorisation per point where L is sparse.

        Raises
        ------
        PoleError
            s is a pole of T or of the coherent dynamics.

        Examples
        --------
        >>> from coherence import Network, swing
        >>> network = Network(swing(inertia=[1, 2], damping=[1, 1], labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s")
        >>> network.transfer_columns(1j, ["b"]).shape
        (1, 2, 1)
        """
        return self.transfer_of(s, unit_columns(self, inputs))

    def transfer_of(self, s: ArrayLike, shapes: Real) -> Complex:
        """T(s) times the columns of `shapes` (n, m), shape (F, n, m); one sparse factorisation per point where L is sparse.

        Raises
        ------
        PoleError
            s is a pole of T or of the coherent dynamics.
        """
        points = laplace_points(s)
        if not sp.issparse(self.laplacian):
            return np.asarray(self.transfer_matrix(points) @ shapes)
        require_connected(self.laplacian, self.labels, "a column of T")
        z, p, q = self.nodes.inverse(points), self.coupling.numerator(points), self.coupling.denominator(points)
        total = z.sum(axis=1)
        summed = np.abs(total) >= CANCELLING * np.abs(z).sum(axis=1)
        out = np.empty((len(points), *shapes.shape), dtype=complex)
        out[summed] = Deviation(self.laplacian).products(z[summed], p[summed], q[summed], shapes)
        out[summed] += shapes.sum(axis=0) / np.where(summed, total, 1.0)[summed, None, None]
        for i in np.flatnonzero(~summed):  # the node inverses cancel in their sum: Y itself is the better matrix
            try:
                lu = factorise(p[i] * self.laplacian + sp.diags_array(q[i] * z[i]))
            except InputError:
                raise PoleError(f"s = {points[i]:.6g} is a pole of T; move it") from None
            out[i] = q[i] * lu.solve(shapes.astype(complex))
        return out

    def project(self, onto: Partition | Real, *, labels: Sequence[str] | None = None) -> Network:
        """The smaller network V^T Y V.

        Parameters
        ----------
        onto : Partition or (n, k) array
            A partition adds up the node inverses of each group (quotient Laplacian P^T L P). A basis V keeps the nodes and
            gives V^T G^{-1} V + f V^T L V; its columns must be linearly independent.
        labels : sequence of str, optional
            Names of the k inputs and outputs.
        """
        if isinstance(onto, Partition):
            if onto.labels != self.labels:
                raise InputError("the partition is of other nodes than this network's; build it from network.labels")
            require_nodes(self, "projection on a partition")
            quotient = onto.indicator.T @ (self.laplacian @ onto.indicator)
            quotient -= np.diag(quotient.sum(axis=1))  # row sums are zero in exact arithmetic
            return Network(self.nodes.aggregate(onto.assignment, onto.groups), quotient, self.coupling)
        v = np.asarray(onto, dtype=float)
        if v.ndim != 2 or v.shape[0] != self.size or not 1 <= v.shape[1] <= self.size:
            raise InputError(f"the basis has shape {v.shape}; it must have {self.size} rows and 1 to {self.size} columns")
        if not np.isfinite(v).all():
            raise InputError("the basis has an entry that is not finite")
        if np.linalg.matrix_rank(v) < v.shape[1]:
            raise InputError(f"the {v.shape[1]} basis vectors are linearly dependent (rank {np.linalg.matrix_rank(v)})")
        names = [f"v{i + 1}" for i in range(v.shape[1])] if labels is None else labels
        basis = v if self.basis is None else self.basis @ v
        product, size = v.T @ (self.laplacian @ v), np.abs(v).T @ (abs(self.laplacian) @ np.abs(v))
        product[np.abs(product) <= 4 * self.size * np.finfo(float).eps * size] = 0.0  # rounding of what is exactly 0
        return Network(self.nodes, 0.5 * (product + product.T), self.coupling, basis=basis, labels=names)

    @cached_property
    def realization(self) -> Realization:
        """T as dense arrays A, B, C, D; minimal in the coupling states (no mode at the origin that nothing sees)."""
        return network_realization(self.nodes, self.dense_laplacian, self.coupling, self.basis)[0]

    def poles(self) -> Complex:
        """Eigenvalues of the state matrix, by descending real part."""
        return self.realization.poles()

    def to_statespace(self, *, name: str = "network") -> control.StateSpace:
        """A python-control StateSpace; inputs u[label], outputs y[label], states named by node.

        python-control takes no dot in a signal's name: it becomes an underscore.
        """
        system, states = network_realization(self.nodes, self.dense_laplacian, self.coupling, self.basis, self.labels)
        return to_control(
            system,
            inputs=signal_names([f"u[{label}]" for label in self.labels]),
            outputs=signal_names([f"y[{label}]" for label in self.labels]),
            states=signal_names(states),
            name=name,
        )

    def to_frd(self, omega: ArrayLike, *, name: str = "network") -> control.FrequencyResponseData:
        """T(jw) at omega [rad/s] as python-control frequency response data, signals named as in `to_statespace`."""
        w = frequencies(omega)
        return to_frd(
            self.transfer_matrix(1j * w),
            w,
            inputs=signal_names([f"u[{label}]" for label in self.labels]),
            outputs=signal_names([f"y[{label}]" for label in self.labels]),
            name=name,
        )

    def to_networkx(self) -> nx.Graph:
        """The weighted graph: nodes with `inertia`, `damping` and `order`, edges with `weight` = -L_ij.

        Examples
        --------
        >>> from coherence import Network, swing
        >>> graph = Network(swing(inertia=[1, 2], damping=1, labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s").to_networkx()
        >>> graph["a"]["b"]["weight"], graph.nodes["b"]["inertia"]
        (3.0, 2.0)
        """
        import networkx as nx

        require_nodes(self, "a graph")
        graph = nx.Graph()
        for label, m, d, order in zip(
            self.labels, self.nodes.inertia.tolist(), self.nodes.damping.tolist(), self.nodes.orders.tolist(), strict=True
        ):
            graph.add_node(label, inertia=m, damping=d, order=order)
        edges = sp.coo_array(sp.triu(sp.csr_array(self.laplacian), 1))
        for i, j, entry in zip(edges.row.tolist(), edges.col.tolist(), edges.data.tolist(), strict=True):
            graph.add_edge(self.labels[i], self.labels[j], weight=-entry)
        return graph

    def _diagonal(self, points: Complex, scale: Complex | Real) -> Complex:
        """scale(s) G^{-1}(s), or V^T of it V, as (F, k, k)."""
        z = scale[:, None] * self.nodes.inverse(points)
        if self.basis is not None:
            return self.basis.T @ (z[:, :, None] * self.basis)
        return z[:, :, None] * np.eye(self.size)


def unit_columns(network: Network, labels: Sequence[str]) -> Real:
    """Columns of the identity at some nodes, (n, m)."""
    at = [network.index(label) for label in labels]
    columns = np.zeros((network.size, len(at)))
    columns[at, np.arange(len(at))] = 1.0
    return columns


def require_nodes(subject: Any, what: str) -> None:
    """Refuse what is no network of nodes: another type, or a projection on a basis."""
    if not isinstance(subject, Network):
        hint = "give its .network" if isinstance(getattr(subject, "network", None), Network) else "give a Network"
        raise InputError(f"{what} needs a Network; this is a {type(subject).__name__}: {hint}")
    if subject.basis is not None:
        raise InputError(f"{what} needs a network of nodes; this one is projected on a basis")


def signal_names(names: list[str]) -> list[str]:
    """Names that python-control takes; a clash is an error."""
    out = [name.replace(".", "_") for name in names]
    twice = {name for name in out if out.count(name) > 1} if len(set(out)) < len(out) else set()
    if twice:
        raise InputError(f"two signals would be named {min(twice)!r} ('.' becomes '_'); rename the nodes")
    return out
