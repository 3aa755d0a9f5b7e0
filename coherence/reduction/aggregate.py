r"""One node per group: Algorithm 1 with the corrected refinement, and the quotient.

Both reduced networks have the aggregated nodes g_hat_i = (sum_{j in I_i} g_j^{-1})^{-1}; they differ in their Laplacian.

    quotient   P^T L P, the Galerkin projection on the indicator P
    refined    L_k = S^{-T} Lambda_k S^{-1} = N S Lambda_k S^T N,  N = diag|I_i|,
               S = argmin ||V_k - P S||_F  subject to  S e_1 = 1/sqrt(n),  S^T N S = I          (3.34)

The constraints say that P S is an orthonormal basis whose first column is 1/sqrt(n). Its other columns N^{1/2} S are
orthonormal and orthogonal to u = N^{1/2} 1/sqrt(n) (printed in the source as N^{-1/2} 1, which breaks S^T N S = I for groups of
unequal size); with Q a basis of the complement of u the problem is orthogonal Procrustes, solved by one SVD (3.44)-(3.45).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.reduction.refined import principal_angle, refined_laplacian, require_partition


@dataclass(frozen=True, eq=False, repr=False)
class Aggregation(Page):
    """A network of one node per group.

    Attributes
    ----------
    network : Network
        k nodes labelled by group; `partition.indicator` lifts its outputs to the full network.
    partition : Partition
    interconnection : str
        "refined" or "quotient".
    embedding_error : float
        ||V_k - P S||_F for the refined one, NaN for the quotient.
    angle : float
        Largest principal angle between the groups' indicators and V_k [degrees]; near 90 the groups do not carry the k slowest
        modes, and the refined Laplacian imposes eigenvalues on directions it does not have: compare with the quotient. NaN where
        lambda_k = lambda_{k+1}.

    Examples
    --------
    >>> from coherence import aggregate, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> round(aggregate(network, spectral_groups(network, 3)).angle)
    85
    """

    network: Network
    partition: Partition
    interconnection: str
    embedding_error: float = float("nan")
    angle: float = float("nan")

    @property
    def laplacian(self) -> pd.DataFrame:
        """The reduced Laplacian, labelled."""
        groups = list(self.partition.groups)
        return pd.DataFrame(self.network.dense_laplacian, index=groups, columns=groups)

    @property
    def positive_off_diagonals(self) -> int:
        """Pairs of groups joined by a negative weight (possible for the refined Laplacian)."""
        upper = np.triu(self.network.dense_laplacian, 1)
        return int((upper > 1e-12 * np.abs(self.network.dense_laplacian).max(initial=0.0)).sum())

    @property
    def facts(self) -> dict[str, str]:
        """How the groups sit in the network."""
        return {
            "interconnection": self.interconnection,
            "angle to the slowest modes": f"{self.angle:.0f} degrees",
            "pairs of groups with negative weight": str(self.positive_off_diagonals),
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups and the Laplacian between them."""
        return self.partition.tables | {"Laplacian between groups": self.laplacian}

    def __repr__(self) -> str:
        return (
            f"Aggregation({self.interconnection}: {len(self.partition.labels)} -> {self.partition.k} nodes, "
            f"{self.network.order} states)"
        )


def aggregate(network: Network, partition: Partition, *, interconnection: str = "refined") -> Aggregation:
    """Algorithm 1: one node per group, joined by the refined or the quotient Laplacian.

    Parameters
    ----------
    network : Network
        Connected.
    partition : Partition
        Of network.labels.
    interconnection : "refined" or "quotient"

    Returns
    -------
    Aggregation

    Raises
    ------
    InputError
        lambda_k = lambda_{k+1}, so that V_k (and the refinement) means nothing; use the quotient or another k.

    References
    ----------
    H. Min, dissertation (2023), Algorithm 1 and equations (3.34), (3.42)-(3.45), with the constraint vector corrected.

    Examples
    --------
    >>> from coherence import aggregate, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> aggregate(network, spectral_groups(network, 3))
    Aggregation(refined: 35 -> 3 nodes, 67 states)
    """
    if interconnection not in ("refined", "quotient"):
        raise InputError(f"interconnection = {interconnection!r}; give 'refined' or 'quotient'")
    require_partition(network, partition)
    quotient = network.project(partition)
    if interconnection == "quotient":
        return Aggregation(quotient, partition, "quotient", angle=principal_angle(network, partition))
    reduced, error = refined_laplacian(network, partition)
    smaller = Network(quotient.nodes, reduced, network.coupling)
    return Aggregation(smaller, partition, "refined", error, principal_angle(network, partition))
