r"""How far the network is from moving as one (or as k groups), frequency by frequency, with the bounds beside it.

    ||T - g_hat 11^T||_2,   ||T - T_k||_2,   ||T - P (P^T Y P)^{-1} P^T||_2,   ||T - T_hat_k||_2

computed in `deviations`, bounded in `bounds`; the largest value over a band is certified in `supremum`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.spectral import TOLERANCE
from coherence.theory.bounds import Bound, disc_bound, hull_bound, passive_bound, require_rank, source_bound
from coherence.theory.deviations import deviation_norms
from coherence.theory.frequencies import frequency_grid
from coherence.types import ArrayLike, Real, frequencies


@dataclass(frozen=True, eq=False, repr=False)
class Incoherence(Page):
    """The curve of a deviation from coherence over frequency, with its bounds.

    Attributes
    ----------
    omega : (F,) float
        rad/s.
    exact : (F,) float
        In units of T (grids: rad/s per pu).
    bounds : dict of name -> Bound
        "hull", and for T_k also "source", "passive" and "disc".
    k : int
        Rank of the coherent part.
    effective_connectivity : (F,) float
        |f| lambda_{k+1}.
    part : str
        The coherent part: "g_hat 11'", "T_k", or a model on groups.

    Examples
    --------
    >>> from coherence import Network, incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> list(incoherence(network, [0.1, 1.0]).frame)
    ['exact', 'hull bound', 'passive bound', 'disc bound', 'Lemma 3.1', '|f| lambda']
    """

    omega: Real
    exact: Real
    bounds: dict[str, Bound]
    k: int
    effective_connectivity: Real
    part: str

    @property
    def hull(self) -> Bound:
        """The hull bound."""
        return self._named("hull")

    @property
    def source(self) -> Bound:
        """Lemma 3.1 or Theorem 3.8 (of T_k only)."""
        return self._named("source")

    def _named(self, name: str) -> Bound:
        if name not in self.bounds:
            raise UnknownNameError(f"there is no {name} bound of ||T - {self.part}||; known: {', '.join(self.bounds) or 'none'}")
        return self.bounds[name]

    def __repr__(self) -> str:
        return f"Incoherence(||T - {self.part}|| at {len(self.omega)} frequencies in {self.omega[0]:g}..{self.omega[-1]:g} rad/s)"

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The curve at up to ten frequencies."""
        picks = np.unique(np.linspace(0, len(self.omega) - 1, 10).astype(int))
        return {"deviation and its bounds": self.frame.iloc[picks]}

    @property
    def frame(self) -> pd.DataFrame:
        """Table: omega [rad/s] -> exact, bounds, effective connectivity."""
        columns = {"exact": self.exact} | {bound.theorem: bound.value for bound in self.bounds.values()}
        return pd.DataFrame(columns | {"|f| lambda": self.effective_connectivity}, index=pd.Index(self.omega, name="omega [rad/s]"))


def incoherence(
    network: Network,
    omega: ArrayLike | None = None,
    *,
    k: int = 1,
    partition: Partition | None = None,
    reduced: Network | None = None,
    tolerance: float = TOLERANCE,
) -> Incoherence:
    """The spectral norm of the deviation from coherence over frequency, exactly and by bounds.

    ||T - g_hat 11'||, ||T - T_k||, or with a partition ||T - P T_red P'||. The matrix is never formed for more than 100 nodes: one
    factorisation (sparse where L is) and a few products a frequency, to a relative 1e-8.

    Parameters
    ----------
    network : Network
        Connected; a sparse one may keep its passive nodes.
    omega : (F,) float, optional
        Frequencies [rad/s], >= 0 and ascending; at a pole of f the deviation is 0. Default: `frequency_grid(network)`, 1e-3 to 100
        rad/s (give your own for nodes that were measured over less).
    k : int
        1: deviation from the coherent dynamics; k: from the modal model of rank k.
    partition : Partition, optional
        Deviation from one node per group, joined by the quotient P'LP.
    reduced : Network, optional
        On the partition's groups with another Laplacian (the refined one); see `group_error`.
    tolerance : float
        Estimated relative error of the norms of more than 100 nodes. Where singular values crowd (rings, lattices) 1e-8 may take
        more than the 1200 products allowed.

    Returns
    -------
    Incoherence
        Curves of shape (F,).

    Raises
    ------
    DisconnectedError
        The network falls apart (coherence is per component).
    InputError
        k or the partition do not fit, or frequencies are negative or unsorted.
    PoleError
        A frequency is a pole of T, of the coherent dynamics or of a node's inverse.
    ToleranceError
        The tolerance is not reached.

    References
    ----------
    H. Min, dissertation (2023), Sections 3.1 and 3.2.

    Examples
    --------
    >>> from coherence import Network, incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> curve = incoherence(network, [0.01, 0.1])
    >>> bool((curve.exact <= curve.hull.value).all())
    True
    """
    require_connected(network.laplacian, network.labels, "incoherence")
    if partition is None and reduced is not None:
        raise InputError("a reduced network needs the partition it is on")
    if partition is None:
        require_rank(network, k)
    elif k != 1:
        raise InputError(f"k = {k} and a partition of {partition.k} groups were given; give one of them")
    w = frequency_grid(network) if omega is None else frequencies(omega)
    s = 1j * w
    exact = deviation_norms(network, s, k=k, partition=partition, reduced=reduced, tolerance=tolerance)
    if partition is not None:
        own = hull_bound(network, s, partition=partition) if reduced is None else None
        part = "P T_q P'" if reduced is None else "P T_reduced P'"
        bounds = {} if own is None else {"hull": own}
        k = partition.k
    else:
        part = "g_hat 11'" if k == 1 else f"T_{k}"
        bounds = {
            "hull": hull_bound(network, s, k=k),
            "passive": passive_bound(network, s, k=k),
            "disc": disc_bound(network, s, k=k, over="segment"),
            "source": source_bound(network, s, k=k),
        }
    reach = network.effective_connectivity(s, k) if k < network.size else np.full(len(w), np.inf)
    return Incoherence(w, exact, bounds, k, reach, part)
