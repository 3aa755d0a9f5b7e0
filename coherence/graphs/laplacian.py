r"""Symmetric positive semidefinite Laplacians: checked, from networkx graphs, reduced by Kron.

L is symmetric with zero row sums and x^T L x >= 0. Off-diagonal entries need not be negative (a refined reduced
network may have positive ones); then definiteness is checked by eigenvalues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from coherence.errors import DisconnectedError, InputError
from coherence.numerics.sparse import positive_definite, schur_complement
from coherence.types import Int, Real

if TYPE_CHECKING:
    import networkx as nx

DEFINITE = 1e-14  # times n and the largest entry: what rounding may take from the least eigenvalue 0
SPARSE = 1000  # nodes of a networkx graph above which its Laplacian stays sparse
ROUNDING = 1e-9  # relative to the largest entry: what symmetric assembly may leave behind


def checked_laplacian(matrix: Any, labels: Sequence[str] | None = None) -> Real:
    """Return the matrix as a dense, exactly symmetric (n, n) array with zero row sums, or say where it is not one.

    Raises
    ------
    InputError
        Not square, not finite, asymmetric, non-zero row sum or indefinite; the message names the entry.
    """
    dense = matrix.toarray() if sp.issparse(matrix) else matrix
    if isinstance(dense, pd.DataFrame):
        dense = _aligned(dense, labels)
    try:
        values = np.asarray(dense)
        if np.iscomplexobj(values):
            raise InputError("the Laplacian is complex; the theory needs a real one (its imaginary part has no place)")
        a = values.astype(float)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError("the Laplacian is not a matrix of numbers; give an (n, n) array") from None
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InputError(f"the Laplacian has shape {a.shape}; it must be square")
    name = _namer(labels, len(a))
    if not np.isfinite(a).all():
        i, j = np.argwhere(~np.isfinite(a))[0]
        raise InputError(f"the Laplacian entry ({name(i)}, {name(j)}) = {a[i, j]} is not finite")
    tol = ROUNDING * max(float(np.abs(a).max(initial=0.0)), np.finfo(float).tiny)
    skew = np.abs(a - a.T)
    if skew.max(initial=0.0) > tol:
        i, j = np.unravel_index(int(skew.argmax()), a.shape)
        raise InputError(
            f"the Laplacian is not symmetric: entry ({name(i)}, {name(j)}) = {a[i, j]:.6g} but "
            f"({name(j)}, {name(i)}) = {a[j, i]:.6g}; the theory needs L = L^T"
        )
    sums = a.sum(axis=1)
    if np.abs(sums).max(initial=0.0) > tol * max(1, len(a)):
        i = int(np.abs(sums).argmax())
        raise InputError(
            f"row {name(i)} of the Laplacian sums to {sums[i]:.6g}; every row must sum to 0 (put shunts and loads into the nodes)"
        )
    a = 0.5 * (a + a.T)
    np.fill_diagonal(a, 0.0)
    if a.max(initial=0.0) > tol:
        full = a - np.diag(a.sum(axis=1))
        values, vectors = np.linalg.eigh(full)
        if values[0] < -DEFINITE * len(a) * float(np.abs(full).max()):
            i, j = np.unravel_index(int(a.argmax()), a.shape)
            raise InputError(
                f"the Laplacian is indefinite: least eigenvalue {values[0]:.6g}, at node "
                f"{name(int(np.abs(vectors[:, 0]).argmax()))}; the largest negative weight joins "
                f"{name(i)} and {name(j)} ({-a[i, j]:.6g}); eliminate it or correct its sign"
            )
    return a - np.diag(a.sum(axis=1))


def checked_sparse_laplacian(matrix: Any, labels: Sequence[str] | None = None) -> sp.csr_array:
    """The same checks for a sparse matrix, which stays sparse."""
    a = sp.csr_array(matrix)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InputError(f"the Laplacian has shape {a.shape}; it must be square")
    if np.iscomplexobj(a.data):
        raise InputError("the Laplacian is complex; the theory needs a real one (its imaginary part has no place)")
    a = a.astype(float)
    name, n = _namer(labels, a.shape[0]), a.shape[0]
    tol = ROUNDING * max(float(np.abs(a.data).max(initial=0.0)), np.finfo(float).tiny)
    if not np.isfinite(a.data).all():
        entry = sp.coo_array(a)
        bad = int(np.argmin(np.isfinite(entry.data)))
        raise InputError(f"the Laplacian entry ({name(entry.row[bad])}, {name(entry.col[bad])}) = {entry.data[bad]} is not finite")
    skew = sp.coo_array(a - a.T)
    if np.abs(skew.data).max(initial=0.0) > tol:
        bad = int(np.abs(skew.data).argmax())
        i, j = int(skew.row[bad]), int(skew.col[bad])
        raise InputError(
            f"the Laplacian is not symmetric: entry ({name(i)}, {name(j)}) = {a[i, j]:.6g} but "
            f"({name(j)}, {name(i)}) = {a[j, i]:.6g}; the theory needs L = L^T"
        )
    sums = np.asarray(a.sum(axis=1)).ravel()
    if np.abs(sums).max(initial=0.0) > tol * max(1, n):
        i = int(np.abs(sums).argmax())
        raise InputError(
            f"row {name(i)} of the Laplacian sums to {sums[i]:.6g}; every row must sum to 0 (put shunts and loads into the nodes)"
        )
    off = sp.csr_array(0.5 * (a + a.T))
    off = sp.csr_array(off - sp.diags_array(off.diagonal()))
    off.eliminate_zeros()
    full = sp.csr_array(off - sp.diags_array(np.asarray(off.sum(axis=1)).ravel()))
    if off.data.max(initial=0.0) > tol and not positive_definite(full + sp.eye_array(n) * (DEFINITE * n * float(abs(full).max()))):
        entry = sp.coo_array(off)
        worst = int(entry.data.argmax())
        raise InputError(
            f"the Laplacian is indefinite; the largest negative weight joins {name(entry.row[worst])} and {name(entry.col[worst])} "
            f"({-entry.data[worst]:.6g}); eliminate it or correct its sign"
        )
    return full


def _aligned(frame: pd.DataFrame, labels: Sequence[str] | None) -> pd.DataFrame:
    """Rows and columns of a labelled Laplacian in the order of `labels`."""
    rows, columns = [str(x) for x in frame.index], [str(x) for x in frame.columns]
    if labels is None or rows == columns == [str(i) for i in range(len(frame))]:
        return frame
    if sorted(rows) != sorted(labels) or sorted(columns) != sorted(labels):
        odd = next((x for x in [*rows, *columns] if x not in labels), None) or next(
            x for x in labels if x not in rows or x not in columns
        )
        raise InputError(
            f"rows and columns of the Laplacian are labelled otherwise than the nodes (see {odd!r}); use the nodes' labels"
        )
    return frame.set_axis(rows, axis=0).set_axis(columns, axis=1).loc[list(labels), list(labels)]


def laplacian_of_graph(graph: nx.Graph, *, weight: str = "weight") -> tuple[Any, tuple[str, ...]]:
    """Laplacian and labels (graph order) of an undirected networkx graph; a missing weight counts as 1. Sparse above 1000 nodes.

    Examples
    --------
    >>> import networkx as nx
    >>> laplacian_of_graph(nx.path_graph(2))[0]
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    import networkx as nx

    if graph.is_directed():
        raise InputError("the graph is directed; the theory needs an undirected one (graph.to_undirected())")
    if graph.number_of_nodes() == 0:
        raise InputError("the graph has no nodes")
    if weight != "weight" and graph.number_of_edges() and not any(weight in data for _, _, data in graph.edges(data=True)):
        raise InputError(f"no edge of the graph has the attribute {weight!r}; name the one that holds the weights")
    for u, v, value in graph.edges(data=weight, default=1.0):
        if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise InputError(f"edge ({u!r}, {v!r}) has {weight} = {value!r}; give a finite number")
    matrix = nx.laplacian_matrix(graph, weight=weight).astype(float)
    labels = tuple(str(node) for node in graph)
    if len(labels) > SPARSE:
        return checked_sparse_laplacian(matrix, labels), labels
    return checked_laplacian(matrix, labels), labels


def components(laplacian: Any) -> Int:
    """Component index of each node."""
    adjacency = sp.csr_array(laplacian)
    return np.asarray(connected_components(adjacency, directed=False)[1], dtype=int)


def require_connected(laplacian: Any, labels: Sequence[str], what: str, remedy: str = "connect it or select one") -> None:
    """Raise DisconnectedError naming the smallest component unless the graph is connected."""
    index = components(laplacian)
    count = int(index.max(initial=0)) + 1
    if count > 1:
        sizes = np.bincount(index)
        small = np.flatnonzero(index == int(sizes.argmin()))
        shown = ", ".join(str(labels[i]) for i in small[:5]) + (", ..." if small.size > 5 else "")
        raise DisconnectedError(
            f"the network falls apart into {count} components; the smallest holds {small.size} of "
            f"{len(index)} nodes ({shown}); {what} is per component: {remedy}"
        )


def kron_reduce(laplacian: Any, keep: Sequence[int] | Int, labels: Sequence[str] | None = None) -> Any:
    """Eliminate all nodes but `keep`: L_kk - L_ke L_ee^{-1} L_ek, the Laplacian that the kept nodes see.

    The eliminated block may be indefinite (a star branch with negative reactance); the result is checked.

    Parameters
    ----------
    laplacian : (n, n) array or sparse matrix
    keep : sequence of int
        Positions of the nodes that stay, distinct.
    labels : sequence of str, optional
        Of all n nodes, for messages.

    Returns
    -------
    (k, k) array, or sparse array for a sparse Laplacian
        In the order of `keep`.

    Raises
    ------
    DisconnectedError
        A component without any kept node.
    InputError
        Positions out of range, an eliminated block that is nearly singular, or a result that is no Laplacian.

    References
    ----------
    F. Doerfler and F. Bullo, Kron reduction of graphs with applications to electrical networks (2013).

    Examples
    --------
    >>> import numpy as np
    >>> path = np.array([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]])
    >>> kron_reduce(path, [0, 2])
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    n, kept = laplacian.shape[0], np.asarray(keep, dtype=int)
    if kept.size == 0 or kept.min() < 0 or kept.max() >= n or len(set(kept.tolist())) < kept.size:
        raise InputError(f"keep = {kept.tolist()}; give distinct node positions from 0 to {n - 1}")
    name = _namer(labels, n)
    index = components(laplacian)
    lonely = sorted(set(index) - set(index[kept]))
    if lonely:
        i = int(np.flatnonzero(index == lonely[0])[0])
        raise DisconnectedError(f"the component of {name(i)} holds none of the nodes to keep; remove it or keep one of its nodes")
    reduced = schur_complement(laplacian, kept)
    reduced = sp.csr_array(0.5 * (reduced + reduced.T))
    sums, scale = np.asarray(reduced.sum(axis=1)).ravel(), ROUNDING * n * float(abs(laplacian).max())
    if np.abs(sums).max() > scale:
        raise InputError(
            f"eliminating {n - kept.size} nodes leaves row sums up to {np.abs(sums).max():.3g}: the eliminated block is "
            "nearly singular (negative weights that cancel); keep the nodes at their ends"
        )
    reduced = sp.csr_array(reduced - sp.diags_array(sums))  # rounding of large entries, judged above against their size
    names = None if labels is None else [labels[i] for i in kept]
    return checked_sparse_laplacian(reduced, names) if sp.issparse(laplacian) else checked_laplacian(reduced, names)


def _namer(labels: Sequence[str] | None, n: int) -> Any:
    if labels is not None and len(labels) != n:
        raise InputError(f"there are {len(labels)} labels for a Laplacian of size {n}; give one each")
    return (lambda i: str(int(i))) if labels is None else (lambda i: repr(labels[int(i)]))
