r"""Coherent groups of a network from its slow modes, by named methods with one result.

    L v = lambda W v,   W = 1, D = diag(L) or M = diag(m_i);   the k least eigenvalues, 0 = lambda_1 < lambda_2 <= ...

How nodes move together depends on the inertias where the coupling is 1/s, so there W = M: m_i y_i'' = -(L y)_i oscillates in the
modes of M^{-1} L. Clustering the coupling graph alone, W = 1 or D, finds weak cuts, which need not be areas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import InputError, UnknownNameError
from coherence.graphs.clustering import Clusters, centred, degrees, k_means, largest_eigengap, require_groups
from coherence.graphs.cosines import loose_groups, tight_groups
from coherence.graphs.cuts import least_cut
from coherence.graphs.laplacian import require_connected
from coherence.graphs.pivots import pivoted_qr, reference_machines
from coherence.graphs.spectrum import SlowBasis, slow_basis
from coherence.groups.grouping import Grouping
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import unknown_name
from coherence.types import Real

MOST = 10  # groups that "auto" considers
TOLERANCE = 0.95  # of cosines, as in the programs that loose and tight coherency come from
FURTHER = 10  # eigenvalues looked at for a neighbouring number of groups that is unique


@dataclass(frozen=True)
class _Asked:
    """What a method may need beside the modes."""

    laplacian: Any
    tolerance: float
    seed: int


@dataclass(frozen=True)
class _Method:
    """What W is, and how the k slowest modes become clusters."""

    weight: str  # "one", "degree" or "inertia"
    cluster: Callable[[SlowBasis, _Asked], Clusters]
    by_tolerance: bool = False


def _unit(rows: Real) -> Real:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))  # no row vanishes: the slowest mode has no zero


def _means(points: Real, asked: _Asked, weight: Real | None = None) -> Clusters:
    return centred(k_means(points, points.shape[1], weight=weight, random_state=asked.seed), points, weight)


def _cut(basis: SlowBasis, asked: _Asked) -> Clusters:
    return centred(least_cut(asked.laplacian, basis, asked.seed), basis.shapes, basis.weight)


def _cosines(basis: SlowBasis, tolerance: float, tight: bool) -> Clusters:
    rows = _unit(basis.vectors)
    return centred((tight_groups if tight else loose_groups)(rows, tolerance), rows)


METHODS = {
    "bach_jordan": _Method("degree", lambda basis, asked: _means(basis.shapes, asked, basis.weight)),
    "shi_malik": _Method("degree", lambda basis, asked: _means(basis.shapes, asked)),
    "normalised_cut": _Method("degree", _cut),
    "unnormalised": _Method("one", lambda basis, asked: _means(basis.vectors, asked)),
    "normalised": _Method("degree", lambda basis, asked: _means(_unit(basis.vectors), asked)),
    "pivoted_qr": _Method("one", lambda basis, _: pivoted_qr(basis.vectors)),
    "slow_coherency": _Method("inertia", lambda basis, asked: _means(_unit(basis.vectors), asked)),
    "reference_machines": _Method("inertia", lambda basis, _: reference_machines(basis.shapes)),
    "loose_coherency": _Method("inertia", lambda basis, asked: _cosines(basis, asked.tolerance, False), by_tolerance=True),
    "tight_coherency": _Method("inertia", lambda basis, asked: _cosines(basis, asked.tolerance, True), by_tolerance=True),
}


def coherent_groups(
    network: Network,
    k: int | str = "auto",
    *,
    method: str = "bach_jordan",
    random_state: int = 0,
    tolerance: float | None = None,
    allow_ties: bool = False,
) -> Grouping:
    r"""Coherent groups of a network, by one of ten methods.

    Parameters
    ----------
    network : Network
        Connected. A sparse Laplacian stays sparse.
    k : int or "auto"
        Number of slow modes and, but for loose and tight coherency, of groups. "auto" takes the largest ratio of consecutive
        eigenvalues lambda_{k+1} / lambda_k of the method's own, 2 <= k <= 10.
    method : str
        With U the k least eigenvectors of W^{-1/2} L W^{-1/2} and d_i = L_ii, m_i the inertia of node i:

        - "bach_jordan": W = D; k-means of the rows of D^{-1/2} U with weights d_i.
        - "shi_malik": W = D; k-means of the same rows without weights, as in scikit-learn's SpectralClustering.
        - "normalised_cut": W = D; the best of several starts of both these and of pivoted QR, improved by moving single nodes as
          long as that lowers the normalised cut, sum_g cut(g) / vol(g).
        - "unnormalised": W = 1; k-means of the rows of U.
        - "normalised": W = D; k-means of the rows of U, normalised (Ng, Jordan and Weiss).
        - "pivoted_qr": W = 1; column-pivoted QR of U^T and its polar factor: no start, no seed.
        - "slow_coherency": W = M; k-means of the rows of M^{-1/2} U, normalised (which are the rows of U, normalised).
        - "reference_machines": W = M; references by Gaussian elimination with complete pivoting on V = M^{-1/2} U, each node
          to the largest entry of its row of V V_ref^{-1}.
        - "loose_coherency": W = M; nodes whose normalised rows have a cosine above the tolerance, and what such pairs link.
        - "tight_coherency": loose groups, split until for every node the cosines to the others of its group exceed the
          tolerance on average.

        For generators only those with W = M give coherent areas.
    random_state : int
        Seed of the starts of k-means; the same seed gives the same groups, however the nodes are ordered.
    tolerance : float, optional
        Of loose and tight coherency, between 0 and 1; 0.95 by default.
    allow_ties : bool
        Take k modes even where the next eigenvalue is equal to the k-th, as in graphs with symmetries; the result then says that
        it is one of many groupings (`unique`).

    Returns
    -------
    Grouping
        A `Partition` with groups "1", "2", ... in the order of their first node, and with references, margins, embedding,
        eigenvalues and gap.

    Raises
    ------
    DisconnectedError
        The network falls apart.
    InputError
        k out of range, or more groups than distinct places of nodes; eigenvalues that are equal at the cut; nodes without
        inertia where the method needs it; a tolerance out of range or for a method that has none.
    UnknownNameError
        There is no such method.

    Notes
    -----
    "bach_jordan" and "shi_malik" minimise distances to the eigenvectors, not the cut, and rank partitions differently: on a
    European grid of 9216 nodes, k = 5, the partition of least weighted distance (500 starts find none better) has the normalised
    cut 0.0049, that of least unweighted distance 0.0037, that of "normalised_cut" 0.0034.

    A symmetric network may have several partitions that are equally good, of which k-means finds one; `Grouping.ties` shows nodes
    that are between two groups, but not groups that could as a whole be others.

    Gaussian elimination, unlike all else here, depends on how eigenvectors are scaled; they are orthonormal in M.

    References
    ----------
    F. Bach and M. Jordan, Learning spectral clustering (2003). J. Shi and J. Malik, Normalized cuts and image segmentation
    (2000). A. Ng, M. Jordan and Y. Weiss, On spectral clustering (2001). A. Damle, V. Minden and L. Ying, Simple, direct and
    efficient multi-way spectral clustering (2019). J. Chow (ed.), Power System Coherency and Model Reduction (2013).

    Examples
    --------
    >>> from coherence import coherent_groups, linearize, load_case
    >>> network = linearize(load_case("nets_nyps68"), convention="classical")
    >>> areas = coherent_groups(network, 5, method="slow_coherency")
    >>> areas
    Grouping(16 nodes in 5 groups by slow_coherency; 1: 9, 2: 4, 3: 1, 4: 1, 5: 1)
    >>> areas.members("2"), areas.references["2"]
    (('G10', 'G11', 'G12', 'G13'), 'G11')
    """
    require_nodes(network, "grouping")
    require_method(method)
    how = METHODS[method]
    tol = _tolerance(tolerance, method)
    if k != "auto" and (isinstance(k, bool) or not isinstance(k, (int, np.integer))):
        raise InputError(f"k = {k!r} is not a number of groups; give an integer or 'auto'")
    require_seed(random_state)
    require_connected(network.laplacian, network.labels, "grouping")
    n = network.size
    count = min(n, MOST + 1) if k == "auto" else min(n, require_groups(int(k), n) + 1)
    basis = slow_basis(network.laplacian, count, _weight(network, how.weight, method))
    used = largest_eigengap(basis.values, most=MOST) if k == "auto" else int(k)
    unique = basis.apart(used)
    if not unique and not allow_ties:
        raise InputError(_not_unique(network, basis, used, k == "auto"))
    modes = SlowBasis(basis.values[:used], basis.vectors[:, :used], basis.weight, basis.rounding)
    clusters = how.cluster(modes, _Asked(network.laplacian, tol, int(random_state)))
    return _grouping(network, method, clusters, basis.values[: used + 1], unique)


def require_seed(random_state: object) -> None:
    """Refuse what is no seed."""
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise InputError(f"random_state = {random_state!r}; give an integer >= 0")


def spectral_groups(network: Network, k: int | str = "auto", *, random_state: int = 0) -> Grouping:
    """Coherent groups by Bach-Jordan spectral clustering of L: `coherent_groups` with ties allowed.

    Parameters
    ----------
    network : Network
        Connected.
    k : int or "auto"
        Number of groups; "auto" takes the largest ratio of consecutive eigenvalues of L up to ten.
    random_state : int
        Seed; the same seed gives the same groups.

    Returns
    -------
    Grouping
        Groups named "1", "2", ... in the order of their first node. Where eigenvalues are equal at the cut it is one of many
        groupings, and says so.

    Raises
    ------
    DisconnectedError
        The network falls apart.
    InputError
        k out of range.

    References
    ----------
    F. Bach and M. Jordan, Learning spectral clustering (2003).

    Examples
    --------
    >>> import networkx as nx
    >>> from coherence import Network, integrator, spectral_groups
    >>> graph = nx.barbell_graph(3, 0)
    >>> spectral_groups(Network.from_graph(graph, integrator(labels=[str(i) for i in graph]), "1"), 2).sizes
    array([3, 3])
    """
    if k == "auto":
        require_connected(network.laplacian, network.labels, "grouping")
        k = largest_eigengap(network.slow_values(min(network.size, MOST + 1)), most=MOST)
    return coherent_groups(network, k, random_state=random_state, allow_ties=True)


def require_method(name: str) -> None:
    """Refuse what is no method of `coherent_groups`, with close names."""
    if name not in METHODS:
        raise UnknownNameError(unknown_name("method", name, tuple(METHODS)))


def _tolerance(tolerance: float | None, method: str) -> float:
    if tolerance is None:
        return TOLERANCE
    if not METHODS[method].by_tolerance:
        raise InputError(f"method {method!r} has no tolerance; leave it out, or take 'loose_coherency' or 'tight_coherency'")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float, np.number)) or not 0 < tolerance < 1:
        raise InputError(f"tolerance = {tolerance!r}; give a number between 0 and 1, such as {TOLERANCE}")
    return float(tolerance)


def _weight(network: Network, kind: str, method: str) -> Real | None:
    if kind == "one" or (kind == "degree" and network.size == 1):
        return None
    if kind == "degree":
        return degrees(network.laplacian)
    inertia = network.nodes.inertia
    lacking = np.flatnonzero(~(inertia > 0))
    if lacking.size:
        shown = ", ".join(network.labels[i] for i in lacking[:5]) + (", ..." if lacking.size > 5 else "")
        raise InputError(
            f"method {method!r} needs inertia > 0 at every node; {lacking.size} of {network.size} have none ({shown}): eliminate "
            "passive nodes with network.kron_reduce(), or take a method of the coupling graph such as 'bach_jordan'"
        )
    return np.asarray(inertia)


def _not_unique(network: Network, basis: SlowBasis, k: int, chosen: bool) -> str:
    n = network.size
    more = slow_basis(network.laplacian, min(n, k + 1 + FURTHER), basis.weight)
    fewer = next((j for j in range(k - 1, 0, -1) if more.apart(j)), None)
    further = next((j for j in range(k + 1, len(more.values)) if more.apart(j)), n if len(more.values) == n else None)
    near = " or ".join(str(j) for j in (fewer, further) if j is not None)
    if chosen:
        return (
            f"the first {len(basis.values)} eigenvalues show no number of groups, being equal from the second on; give k = {near}"
        )
    return (
        f"{k} groups are not unique: eigenvalues {k} and {k + 1} are equal ({basis.values[k]:.6g}), so that the {k} slowest modes "
        f"are any of many; give k = {near}, or allow_ties=True for one of the many groupings"
    )


def _grouping(network: Network, method: str, clusters: Clusters, values: Real, unique: bool) -> Grouping:
    """Groups named "1", "2", ... by their first node; columns of scores named like the groups, coordinates by mode."""
    order = np.argsort(np.unique(clusters.assignment, return_index=True)[1])
    rank = np.argsort(order)
    names = tuple(str(i + 1) for i in range(len(order)))
    labels = network.labels
    scores = method in ("pivoted_qr", "reference_machines")
    points = clusters.points[:, order] if scores else clusters.points
    columns = pd.Index(names if scores else range(1, points.shape[1] + 1), name="group" if scores else "mode")
    nodes = pd.Index(labels, name="node")
    return Grouping(
        labels,
        rank[clusters.assignment],
        names,
        method,
        pd.Series([labels[i] for i in clusters.references[order]], index=pd.Index(names, name="group"), name="reference"),
        pd.Series(clusters.margins, index=nodes, name="margin"),
        pd.DataFrame(points, index=nodes, columns=columns),
        values,
        unique,
    )
