r"""How far the network is from moving as one (or as k groups), frequency by frequency.

    ||T - g_hat 11^T||_2,   ||T - T_k||_2,   ||T - P (P^T Y P)^{-1} P^T||_2,   ||T - T_hat_k||_2

all by elimination (`numerics.deflation`), so that the values keep their digits where both terms are huge. For the refined
model T_hat_k = P (P^T G^{-1} P + f L_k)^{-1} P^T the exact k x k difference to the quotient is added:
with E_q, E_k the deviations of the two k-node networks from uniform motion, T_q - T_hat_k = E_q f (L_k - P^T L P) E_k,
because (L_k - P^T L P) 1 = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.deflation import group_deviation, modal_deviation, uniform_deviation
from coherence.theory.bounds import Bound, hull_bound, require_rank, source_bound
from coherence.types import ArrayLike, Complex, Real, frequencies, laplace_points

ENTRIES = 4_000_000  # matrix entries held at a time: 64 MB a temporary


@dataclass(frozen=True, eq=False, repr=False)
class Incoherence(Page):
    """The curve of ||T - T_k||_2 over frequency with both bounds.

    Attributes
    ----------
    omega : (F,) float
        rad/s.
    exact : (F,) float
        In units of T (grids: rad/s per pu).
    source, hull : Bound
    k : int
        Rank of the coherent part.
    effective_connectivity : (F,) float
        |f| lambda_{k+1}.

    Examples
    --------
    >>> from coherence import Network, incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> list(incoherence(network, [0.1, 1.0]).frame)
    ['exact', 'hull bound', 'source bound', '|f| lambda']
    """

    omega: Real
    exact: Real
    source: Bound
    hull: Bound
    k: int
    effective_connectivity: Real

    def __repr__(self) -> str:
        what = "g_hat 11'" if self.k == 1 else f"T_{self.k}"
        return f"Incoherence(||T - {what}|| at {len(self.omega)} frequencies in {self.omega[0]:g}..{self.omega[-1]:g} rad/s)"

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The curve at up to ten frequencies."""
        picks = np.unique(np.linspace(0, len(self.omega) - 1, 10).astype(int))
        return {"deviation and its bounds": self.frame.iloc[picks]}

    @property
    def frame(self) -> pd.DataFrame:
        """Table: omega [rad/s] -> exact, hull, source, effective connectivity."""
        return pd.DataFrame(
            {
                "exact": self.exact,
                "hull bound": self.hull.value,
                "source bound": self.source.value,
                "|f| lambda": self.effective_connectivity,
            },
            index=pd.Index(self.omega, name="omega [rad/s]"),
        )


def incoherence(network: Network, omega: ArrayLike, *, k: int = 1) -> Incoherence:
    """||T(jw) - T_k(jw)||_2 with Lemma 3.1 / Theorem 3.8 and the hull bound.

    Parameters
    ----------
    network : Network
        Connected.
    omega : (F,) float
        Frequencies [rad/s], >= 0 and ascending; at a pole of f the deviation is 0.
    k : int
        1: deviation from the coherent dynamics; k: from the modal model of rank k.

    Returns
    -------
    Incoherence
        Curves of shape (F,).

    Raises
    ------
    DisconnectedError
        The network falls apart (coherence is per component).

    References
    ----------
    H. Min, dissertation (2023), Section 3.1.

    Examples
    --------
    >>> from coherence import Network, incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> curve = incoherence(network, [0.01, 0.1])
    >>> bool((curve.exact <= curve.hull.value).all())
    True
    """
    w = frequencies(omega)
    s = 1j * w
    require_connected(network.laplacian, network.labels, "incoherence")
    require_rank(network, k)
    exact = spectral_norms(lambda part: modal_error(network, part, k), s, network.size)
    return Incoherence(
        w, exact, source_bound(network, s, k=k), hull_bound(network, s, k=k), k, network.effective_connectivity(s, k)
    )


def spectral_norms(matrices: Callable[[Complex], Complex], s: Complex, n: int) -> Real:
    """||M(s)||_2 of (F, n, n) matrices, made a few frequencies at a time so that memory stays flat."""
    chunk = max(1, ENTRIES // n**2)
    return np.concatenate([np.linalg.norm(matrices(s[i : i + chunk]), 2, axis=(1, 2)) for i in range(0, len(s), chunk)])


def modal_error(network: Network, s: ArrayLike, k: int) -> Complex:
    """T - T_k, the deviation from the modal model of rank k.

    Parameters
    ----------
    network : Network
        Connected.
    s : (F,) complex
    k : int
        1 <= k < n with lambda_k < lambda_{k+1}.

    Returns
    -------
    (F, n, n) complex

    Raises
    ------
    InputError
        k out of range or lambda_k = lambda_{k+1}.
    PoleError
        s is a pole of T.

    References
    ----------
    H. Min, dissertation (2023), Section 3.2.2, Theorem 3.8.

    Examples
    --------
    >>> from coherence import linearize, load_case, modal_error
    >>> modal_error(linearize(load_case("iceland")), [0.1j], 3).shape
    (1, 35, 35)
    """
    require_rank(network, k)
    if k == 1:
        return network.deviation(s)
    z, p, q = _evaluate(network, s, "the modal error")
    return modal_deviation(z, p, q, network.eigenvalues, network.eigenvectors, k)


def group_error(network: Network, s: ArrayLike, partition: Partition, reduced: Network | None = None) -> Complex:
    """T - P T_red P^T, shape (F, n, n), for a network on the same groups.

    Parameters
    ----------
    network : Network
    s : (F,) complex
        Laplace points.
    partition : Partition
        Of network.labels.
    reduced : Network, optional
        One node per group with the aggregated node inverses and another Laplacian (the refined L_k). None: the quotient
        P^T L P. Reduced networks whose nodes were truncated differ from `network` as systems; compare those instead.

    Returns
    -------
    (F, n, n) complex

    Raises
    ------
    InputError
        A partition of other nodes, a reduced network of other size, or one whose nodes were truncated.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3, equation (3.31).

    Examples
    --------
    >>> from coherence import aggregate, group_error, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> groups = spectral_groups(network, 3)
    >>> group_error(network, [1j], groups, aggregate(network, groups).network).shape
    (1, 35, 35)
    """
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    if reduced is not None and reduced.size != partition.k:
        raise InputError(f"the reduced network has {reduced.size} nodes, the partition {partition.k} groups")
    z, p, q = _evaluate(network, s, "the group error")
    error = group_deviation(z, p, q, network.dense_laplacian, partition.assignment)
    if reduced is None or partition.k == 1:
        return error
    indicator = partition.indicator
    quotient = indicator.T @ (network.laplacian @ indicator)
    inverse = z @ indicator
    if (np.abs(reduced.nodes.inverse(s) - inverse) > 1e-9 * (np.abs(z) @ indicator)).any():
        raise InputError(
            "the nodes of the reduced network are not the sums of the groups' (they were truncated); compare it with step_error"
        )
    ours = uniform_deviation(inverse, p, q, quotient)
    theirs = uniform_deviation(inverse, p, q, reduced.dense_laplacian)
    safe = np.where(q == 0, 1.0, q)
    middle = ours @ ((reduced.dense_laplacian - quotient) * (p / safe)[:, None, None]) @ theirs
    return error + indicator @ middle @ indicator.T


def _evaluate(network: Network, s: ArrayLike, what: str) -> tuple[Complex, Complex, Complex]:
    network._need_nodes(what)
    points = laplace_points(s)
    return network.nodes.inverse(points), network.coupling.numerator(points), network.coupling.denominator(points)
