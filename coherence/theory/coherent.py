r"""The coherent dynamics: the one node along which a tightly coupled network moves.

    g_hat(s) = (sum_i g_i^{-1}(s))^{-1}  (3.26),   g_bar = n g_hat, the harmonic mean (3.4).

T(s) tends to g_hat(s) 11^T as |f(s)| lambda_2 grows (Theorems 3.1, 3.2). How far it is: `incoherence`.
"""

from __future__ import annotations

import numpy as np

from coherence.network.network import Network, require_nodes

COHERENT = "coherent"


def coherent_dynamics(network: Network) -> Network:
    """The network of one node with g_hat^{-1} = sum of all node inverses.

    Parameters
    ----------
    network : Network
        Of nodes (not projected on a basis).

    Returns
    -------
    Network
        One node, label "coherent". `transfer_matrix(s)[:, 0, 0]` is g_hat; n times it is the harmonic mean g_bar. Its state
        space is arrow-shaped (one swing state, every section driven by it) and keeps full accuracy for hundreds of nodes.

    Raises
    ------
    InputError
        A network projected on a basis.

    References
    ----------
    H. Min, dissertation (2023), equations (3.4) and (3.26).

    Examples
    --------
    >>> from coherence import Network, coherent_dynamics, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[1, -1], [-1, 1]], "1/s")
    >>> coherent_dynamics(network).transfer_matrix(0.0)[0, 0, 0].real
    np.float64(0.5)
    """
    require_nodes(network, "the coherent dynamics")
    everyone = np.zeros(network.size, dtype=int)
    return Network(network.nodes.aggregate(everyone, [COHERENT]), np.zeros((1, 1)), network.coupling)
