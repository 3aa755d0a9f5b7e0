r"""One node per group: Algorithm 1 with the corrected refinement, the quotient, and weights fitted over a band.

All reduced networks have the aggregated nodes g_hat_i = (sum_{j in I_i} g_j^{-1})^{-1}; they differ in their Laplacian.

    quotient   P^T L P, the Galerkin projection on the indicator P
    refined    L_k = N S Lambda_k S^T N of Algorithm 1, the k least eigenvalues of L on the groups (`refined`)
    fitted     sum_e w_e b_e b_e^T, w_e >= 0, of least error over a band (`interconnection`)

The refined Laplacian is positive semidefinite as a congruence of Lambda_k, but its weights may be negative. The groups' own
connectivity is the second eigenvalue of N^{-1/2} L_k N^{-1/2}: lambda_2(L) of the refined one, no less of the quotient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.balancing import Band
from coherence.reduction.inertial import undamped_frequencies
from coherence.reduction.interconnection import InterconnectionFit, fitted_laplacian
from coherence.reduction.refined import principal_angle, refined_laplacian, require_partition
from coherence.types import Real

KINDS = ("refined", "quotient", "fitted")
NEGATIVE = 1e-12  # of the largest entry: weights down to minus this are rounding
SHOWN = 5  # pairs in one line


@dataclass(frozen=True, eq=False, repr=False)
class Aggregation(Page):
    """A network of one node per group.

    Attributes
    ----------
    network : Network
        k nodes labelled by group; `partition.indicator` lifts its outputs to the full network.
    partition : Partition
    interconnection : str
        "refined", "quotient" or "fitted".
    embedding_error : float
        ||V_k - P S||_F for the refined one, NaN for the others.
    angle : float
        Largest principal angle between the groups' indicators and V_k [degrees]; near 90 the groups do not carry the k slowest
        modes, and the refined Laplacian imposes eigenvalues on directions it does not have: compare with the quotient. NaN where
        lambda_k = lambda_{k+1}.
    fit : InterconnectionFit or None
        Of the fitted one: errors over the band, and from where.

    Examples
    --------
    >>> from coherence import aggregate, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> found = aggregate(network, spectral_groups(network, 3))
    >>> round(found.angle), found.negative_weights.empty
    (85, False)
    """

    network: Network
    partition: Partition
    interconnection: str
    embedding_error: float = float("nan")
    angle: float = float("nan")
    fit: InterconnectionFit | None = None

    @property
    def laplacian(self) -> pd.DataFrame:
        """The reduced Laplacian, labelled."""
        groups = list(self.partition.groups)
        return pd.DataFrame(self.network.dense_laplacian, index=groups, columns=groups)

    @property
    def negative_weights(self) -> pd.Series:
        """The pairs of groups that a negative weight joins, with the weight (possible for the refined Laplacian)."""
        matrix, names = self.network.dense_laplacian, self.partition.groups
        found = np.argwhere(np.triu(matrix, 1) > NEGATIVE * np.abs(matrix).max(initial=0.0))
        index = pd.MultiIndex.from_tuples([(names[i], names[j]) for i, j in found], names=["group", "other group"])
        return pd.Series(-matrix[found[:, 0], found[:, 1]], index=index, name="weight", dtype=float)

    @property
    def eigenvalues(self) -> Real:
        """Of L_k, (k,), ascending from 0, computed anew and not set to 0: their signs are what was measured."""
        return np.asarray(np.linalg.eigvalsh(self.network.dense_laplacian))

    @property
    def connectivity(self) -> float:
        """Second eigenvalue of N^{-1/2} L_k N^{-1/2}, to compare with lambda_2(L); infinite for one group."""
        root = np.sqrt(self.partition.sizes)
        values = np.linalg.eigvalsh(self.network.dense_laplacian / np.outer(root, root))
        return float(values[1]) if len(values) > 1 else float("inf")

    @property
    def definiteness(self) -> str:
        """Whether L_k is positive semidefinite, to rounding, and its least eigenvalue beyond the zero of the uniform motion."""
        values = self.eigenvalues
        if len(values) == 1:
            return "zero: there is one group"
        nullity = f"least eigenvalue beyond the zero {values[1]:.4g}"
        rounding = len(values) * np.finfo(float).eps * float(np.abs(values).max())
        if values[0] < -4 * rounding:
            return f"indefinite: least eigenvalue {values[0]:.4g}"
        return f"positive semidefinite, {nullity}"

    @property
    def frequencies(self) -> Real:
        """Undamped modes sqrt(eig(M_k^{-1} L_k)) of the groups' inertias [rad/s], (k,); see `undamped_frequencies`."""
        return undamped_frequencies(self.network)

    @property
    def facts(self) -> dict[str, str]:
        """How the groups sit in the network, and what their Laplacian is."""
        negative = self.negative_weights
        pairs = [f"{a} and {b} ({w:.4g})" for (a, b), w in zip(negative.index.tolist(), negative.tolist(), strict=True)]
        shown = ", ".join(pairs[:SHOWN]) + (f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")
        facts = {
            "interconnection": self.interconnection,
            "angle to the slowest modes": f"{self.angle:.0f} degrees",
            "pairs of groups with negative weight": f"{len(pairs)}: {shown}" if pairs else "0",
            "definiteness": self.definiteness,
            "connectivity between groups": f"{self.connectivity:.4g}",
        }
        return facts if self.fit is None else facts | self.fit.facts

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups, the Laplacian between them, and the errors of a fit."""
        tables = self.partition.tables | {"Laplacian between groups": self.laplacian}
        return tables if self.fit is None else tables | {"relative error": self.fit.tables["relative error"]}

    def __repr__(self) -> str:
        return (
            f"Aggregation({self.interconnection}: {len(self.partition.labels)} -> {self.partition.k} nodes, "
            f"{self.network.order} states)"
        )


def aggregate(
    network: Network,
    partition: Partition,
    *,
    interconnection: str = "refined",
    band: tuple[float, float] | Band | None = None,
    decay: float = 0.0,
) -> Aggregation:
    """One node per group, joined by the refined Laplacian of Algorithm 1, the quotient, or weights fitted over a band.

    Parameters
    ----------
    network : Network
        Connected.
    partition : Partition
        Of network.labels.
    interconnection : "refined", "quotient" or "fitted"
    band : (low, high) or Band
        Of the fitted one, and only of it [rad/s]; see `fitted_laplacian`.
    decay : float
        Of the fitted one: errors at s = decay + j omega [1/s].

    Returns
    -------
    Aggregation

    Raises
    ------
    InputError
        lambda_k = lambda_{k+1}, so that V_k (and the refinement) means nothing; use the quotient or another k. A fitted
        interconnection without a band, or a band for another one.

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
    if interconnection not in KINDS:
        raise InputError(f"interconnection = {interconnection!r}; give 'refined', 'quotient' or 'fitted'")
    if interconnection == "fitted" and band is None:
        raise InputError("interconnection='fitted' needs band=(low, high) in rad/s, over which the error is least")
    if interconnection != "fitted" and (band is not None or decay != 0):
        raise InputError(f"band and decay belong to interconnection='fitted'; leave them out for {interconnection!r}")
    require_partition(network, partition)
    if band is not None:
        fit = fitted_laplacian(network, partition, band=band, decay=decay)
        return Aggregation(fit.network, partition, "fitted", angle=principal_angle(network, partition), fit=fit)
    quotient = network.project(partition)
    if interconnection == "quotient":
        return Aggregation(quotient, partition, "quotient", angle=principal_angle(network, partition))
    reduced, error = refined_laplacian(network, partition)
    smaller = Network(quotient.nodes, reduced, network.coupling)
    return Aggregation(smaller, partition, "refined", error, principal_angle(network, partition))
