r"""Quotient, refined and fitted interconnection side by side over a band: errors, bounds, signs.

    ||T - P T_q P^T||_2 <= hull bound,   ||T - P T_k P^T||_2 <= hull bound + ||N^{1/2} (T_q - T_k) N^{1/2}||_2,

the latter with the exact k x k difference T_q - T_k = E_q f (L_k - P^T L P) E_k, because (L_k - P^T L P) 1 = 0.
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
from coherence.numerics.deflation import uniform_deviation
from coherence.reduction.aggregate import Aggregation, aggregate
from coherence.theory.bounds import hull_bound
from coherence.theory.deviations import deviation_norms, evaluated, uniform_distances
from coherence.types import Complex, Real


@dataclass(frozen=True, eq=False, repr=False)
class InterconnectionComparison(Page):
    """Interconnections of the same groups over a band; see `compare_interconnections`.

    Attributes
    ----------
    aggregations : dict of str -> Aggregation
        "quotient", "refined" (where it is defined) and "fitted".
    absent : dict of str -> str
        Why an interconnection is not there.
    band : Band
        rad/s.
    decay : float
        1/s; errors are at s = decay + j omega.
    errors : DataFrame
        omega [rad/s] -> ||T - P T_k P'||_2 by interconnection, in units of T, at the sampled frequencies.
    bounds : DataFrame
        omega [rad/s] -> a bound of each, infinite where it is silent.
    size : Series
        omega [rad/s] -> ||T||_2.

    Examples
    --------
    >>> from coherence import compare_interconnections, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> found = compare_interconnections(network, spectral_groups(network, 3), (0, 6))
    >>> found.table["worst relative error"].round(2).to_dict()
    {'quotient': 0.66, 'refined': 0.85, 'fitted': 0.37}
    """

    aggregations: dict[str, Aggregation]
    absent: dict[str, str]
    band: Band
    decay: float
    errors: pd.DataFrame
    bounds: pd.DataFrame
    size: pd.Series

    @property
    def relative(self) -> pd.DataFrame:
        """Omega [rad/s] -> ||T - P T_k P'||_2 / ||T||_2 by interconnection, and the floor of the groups."""
        fit = self.aggregations["fitted"].fit
        assert fit is not None
        return self.errors.div(self.size, axis=0).assign(floor=fit.errors["floor"])

    @property
    def table(self) -> pd.DataFrame:
        """Interconnection -> worst sampled errors, bounds, signs and definiteness; the note says why one is absent."""
        rows = {}
        for name, one in self.aggregations.items():
            relative, bound = self.relative[name], self.bounds[name]
            rows[name] = {
                "worst relative error": relative.max(),
                "at omega [rad/s]": relative.idxmax(),
                "worst error": self.errors[name].max(),
                "largest bound": bound.max(),
                "bound holds at": f"{int(np.isfinite(bound).sum())} of {len(bound)}",
                "embedding error": one.embedding_error,
                "angle [degrees]": one.angle,
                "negative pairs": str(len(one.negative_weights)),
                "connectivity": one.connectivity,
                "definiteness": one.definiteness,
                "note": "",
            }
        frame = pd.DataFrame.from_dict(rows, orient="index")
        for name, reason in self.absent.items():
            frame.loc[name, "note"] = reason
        return frame.loc[[name for name in ("quotient", "refined", "fitted") if name in frame.index]].rename_axis("interconnection")

    @property
    def facts(self) -> dict[str, str]:
        """Where the errors were taken."""
        where = f"at s = {self.decay:g} + j omega, " if self.decay else ""
        return {
            "errors": f"{where}sampled at {len(self.errors)} frequencies in {self.band.low:g} to {self.band.high:g} rad/s",
            "no model on these groups below": f"{self.relative['floor'].max():.4g} (worst relative error)",
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The comparison, and relative errors at up to ten frequencies."""
        picks = np.unique(np.linspace(0, len(self.errors) - 1, 10).astype(int))
        return {"interconnections": self.table, "relative error": self.relative.iloc[picks]}

    def __repr__(self) -> str:
        worst = self.relative.drop(columns="floor").max()
        shown = ", ".join(f"{name} {value:.3g}" for name, value in worst.items())
        return f"InterconnectionComparison(relative error in {self.band.low:g} to {self.band.high:g} rad/s: {shown})"


def compare_interconnections(
    network: Network, partition: Partition, band: tuple[float, float] | Band, *, decay: float = 0.0
) -> InterconnectionComparison:
    """Quotient, refined and fitted Laplacian between groups: errors over a band, bounds, signs and definiteness.

    Parameters
    ----------
    network : Network
        Connected.
    partition : Partition
        Of network.labels.
    band : (low, high) or Band
        0 <= low < high [rad/s].
    decay : float
        Errors are taken at s = decay + j omega [1/s].

    Returns
    -------
    InterconnectionComparison

    Raises
    ------
    InputError
        A partition of other nodes, a band that is none, or an undamped mode in the band where decay = 0.
    DisconnectedError
        The network falls apart.
    PoleError
        A sampled frequency is a pole of T.

    Notes
    -----
    Worst errors are of the sampled frequencies, among them the modes of the network and of the reduced ones. The refined
    Laplacian stands with its negative weights, where it has some.

    References
    ----------
    H. Min, dissertation (2023), Section 3.2, Algorithm 1.

    Examples
    --------
    >>> from coherence import compare_interconnections, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> compare_interconnections(network, spectral_groups(network, 3), (0, 6)).absent
    {}
    """
    fitted = aggregate(network, partition, interconnection="fitted", band=band, decay=decay)
    assert fitted.fit is not None
    found, absent = {"quotient": aggregate(network, partition, interconnection="quotient")}, {}
    try:
        found["refined"] = aggregate(network, partition, interconnection="refined")
    except InputError as error:
        absent["refined"] = str(error)
    found["fitted"] = fitted
    omega = fitted.fit.errors.index
    s = fitted.fit.decay + 1j * omega.to_numpy()
    hull = hull_bound(network, s, partition=partition)
    own = np.where(hull.holds, hull.value, np.inf)
    errors, bounds = {}, {}
    for name, one in found.items():
        reduced = None if name == "quotient" else one.network
        errors[name] = deviation_norms(network, s, partition=partition, reduced=reduced)
        bounds[name] = own if reduced is None else own + _difference(found["quotient"].network, reduced, partition, s)
    size = pd.Series(uniform_distances(network, s, np.zeros(len(s), dtype=complex)), index=omega, name="||T||")
    return InterconnectionComparison(
        found,
        absent,
        fitted.fit.band,
        fitted.fit.decay,
        pd.DataFrame(errors, index=omega),
        pd.DataFrame(bounds, index=omega),
        size,
    )


def _difference(quotient: Network, reduced: Network, partition: Partition, s: Complex) -> Real:
    """||N^{1/2} (T_q - T_k) N^{1/2}||_2, (F,), as a product: nothing cancels."""
    z, p, q = evaluated(quotient, s, "the difference of interconnections")
    change = reduced.dense_laplacian - quotient.dense_laplacian
    ours = uniform_deviation(z, p, q, quotient.dense_laplacian)
    theirs = uniform_deviation(z, p, q, reduced.dense_laplacian)
    root = np.sqrt(partition.sizes)
    middle = change * (p / np.where(q == 0, 1.0, q))[:, None, None]
    return np.asarray(np.linalg.norm(root[:, None] * (ours @ middle @ theirs) * root, 2, axis=(1, 2)))
