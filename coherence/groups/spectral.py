"""Groups of a network: spectral clustering of its Laplacian into a `Partition`."""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError
from coherence.graphs.clustering import bach_jordan, largest_eigengap
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network


def spectral_groups(network: Network, k: int | str = "auto", *, random_state: int = 0) -> Partition:
    """Coherent groups by Bach-Jordan spectral clustering of L.

    Parameters
    ----------
    network : Network
        Connected.
    k : int or "auto"
        Number of groups; "auto" takes the largest ratio of consecutive eigenvalues up to ten.
    random_state : int
        Seed; the same seed gives the same groups.

    Returns
    -------
    Partition
        Groups named "1", "2", ... in the order of their first node.

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
    require_connected(network.laplacian, network.labels, "grouping")
    if k == "auto":
        k = largest_eigengap(network.eigenvalues)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise InputError(f"k = {k!r} is not a number of groups; give an integer or 'auto'")
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise InputError(f"random_state = {random_state!r}; give an integer >= 0")
    assignment = bach_jordan(network.dense_laplacian, int(k), random_state=random_state)
    return Partition(network.labels, assignment, tuple(str(i + 1) for i in range(k)))
