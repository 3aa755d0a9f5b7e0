r"""How far the network is from moving as one (or as k groups), frequency by frequency.

    ||T - g_hat 11^T||_2,   ||T - T_k||_2,   ||T - P (P^T Y P)^{-1} P^T||_2,   ||T - T_hat_k||_2

all by elimination (`numerics.deflation`), so that the values keep their digits where both terms are huge. For the refined
model T_hat_k = P (P^T G^{-1} P + f L_k)^{-1} P^T the exact k x k difference to the quotient is added:
with E_q, E_k the deviations of the two k-node networks from uniform motion, T_q - T_hat_k = E_q f (L_k - P^T L P) E_k,
because (L_k - P^T L P) 1 = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.nodes import unknown_name
from coherence.numerics.deflation import group_deviation, modal_deviation, uniform_deviation
from coherence.numerics.deviation import Deviation
from coherence.numerics.rational import Rational
from coherence.theory.bounds import Bound, disc_bound, hull_bound, passive_bound, require_rank, source_bound
from coherence.types import ArrayLike, Complex, Real, frequencies, laplace_points

ENTRIES = 4_000_000  # matrix entries held at a time: 64 MB a temporary
MODE_STATES = 1500  # of which all poles are computed to seed a grid
DIRECT = 100  # nodes up to which the matrix is formed and its singular values are taken
FIRST, MOST = 60, 2000  # frequencies of an adaptive grid: to begin with, and at most


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
        return self.bounds["hull"]

    @property
    def source(self) -> Bound:
        """Lemma 3.1 or Theorem 3.8 (of T_k only)."""
        return self.bounds["source"]

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
) -> Incoherence:
    """The spectral norm of the deviation from coherence over frequency, exactly and by bounds.

    ||T - g_hat 11'||, ||T - T_k||, or with a partition ||T - P T_red P'||. The matrix is never formed for more than 100 nodes: one
    factorisation (sparse where L is) and block Lanczos a frequency, to a relative 1e-8.

    Parameters
    ----------
    network : Network
        Connected; a sparse one may keep its passive nodes.
    omega : (F,) float, optional
        Frequencies [rad/s], >= 0 and ascending; at a pole of f the deviation is 0. Default: `frequency_grid(network)`.
    k : int
        1: deviation from the coherent dynamics; k: from the modal model of rank k.
    partition : Partition, optional
        Deviation from one node per group, joined by the quotient P'LP.
    reduced : Network, optional
        On the partition's groups with another Laplacian (the refined one); see `group_error`.

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
    w = frequency_grid(network) if omega is None else frequencies(omega)
    s = 1j * w
    exact = deviation_norms(network, s, k=k, partition=partition, reduced=reduced)
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


def deviation_norms(
    network: Network, s: ArrayLike, *, k: int = 1, partition: Partition | None = None, reduced: Network | None = None
) -> Real:
    """The spectral norms of `incoherence` alone, at Laplace points, (F,)."""
    points = laplace_points(s)
    if network.size <= DIRECT and not sp.issparse(network.laplacian):
        if partition is None:
            return spectral_norms(lambda part: modal_error(network, part, k), points, network.size)
        return spectral_norms(lambda part: group_error(network, part, partition, reduced), points, network.size)
    z, p, q = _evaluate(network, points, "incoherence")
    if partition is None:
        directions = None if k == 1 else network.slow_vectors(k)[:, 1:]
        return Deviation(network.laplacian, directions).norms(z, p, q)
    indicator = _indicator(network, partition, reduced)
    directions = None if partition.k == 1 else indicator[:, 1:]
    extra = None if reduced is None else (indicator, _refinement(network, points, partition, reduced, z, p, q))
    return Deviation(network.laplacian, directions).norms(z, p, q, extra)


def frequency_grid(network: Network, low: float = 1e-3, high: float = 1e2, *, tolerance: float = 0.1) -> Real:
    """Frequencies on which the curve of the deviation from coherence is resolved.

    Begins with 60 points, equally spaced in the logarithm, and the network's own mode frequencies, and halves each interval whose
    middle differs from what its ends say (linearly in the logarithms) by more than the tolerance.

    Parameters
    ----------
    network : Network
        Connected.
    low, high : float
        The band [rad/s].
    tolerance : float
        Of the logarithm of the norm.

    Returns
    -------
    (F,) float
        Ascending, at most 2000.

    Raises
    ------
    InputError
        A band that is none.
    PoleError
        A frequency of the band is a pole of T.

    Examples
    --------
    >>> from coherence import Network, frequency_grid, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[0.01, 0.01]), [[9, -9], [-9, 9]], "1/s")
    >>> grid = frequency_grid(network)
    >>> bool(abs(grid - 12**0.5).min() < 1e-3)
    True
    """
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        raise InputError(f"the band [{low}, {high}] is none; give 0 < low < high in rad/s")
    if not tolerance > 0:
        raise InputError(f"tolerance = {tolerance}; give a number > 0")
    w = np.unique(np.concatenate([np.geomspace(low, high, FIRST), mode_frequencies(network, low, high)]))
    value = _log_norm(network, w)
    open_ = np.ones(len(w) - 1, dtype=bool)
    while open_.any() and len(w) < MOST:
        where = np.flatnonzero(open_)[: MOST - len(w)]
        middle = np.sqrt(w[where] * w[where + 1])
        found = _log_norm(network, middle)
        missed = np.abs(found - 0.5 * (value[where] + value[where + 1])) > tolerance
        states = np.zeros(len(w) - 1, dtype=bool)
        states[where] = missed
        doubled = np.repeat(states, 1 + np.isin(np.arange(len(states)), where))
        w, value = np.insert(w, where + 1, middle), np.insert(value, where + 1, found)
        open_ = doubled & (np.diff(w) > 1e-9 * w[:-1])
    return w


def _log_norm(network: Network, w: Real) -> Real:
    return np.log(np.maximum(deviation_norms(network, 1j * w), np.finfo(float).tiny))


def mode_frequencies(network: Network, low: float, high: float) -> Real:
    """Imaginary parts of the poles in the band; none where the network is too large or has no state space."""
    known = not network.nodes.functions and isinstance(network.coupling, Rational)
    if network.basis is not None or network.nodes.passive.any() or not known or network.order > MODE_STATES:
        return np.zeros(0)
    found = np.abs(network.poles().imag)
    return np.asarray(found[(found > low) & (found < high)])


@dataclass(frozen=True, eq=False, repr=False)
class ColumnIncoherence(Page):
    """Deviation from coherence for single inputs; see `column_incoherence`.

    Attributes
    ----------
    omega : (F,) float
    columns : (F, n, m) complex
        (T - g_hat 11') e_j for the m inputs.
    labels, inputs : tuple of str

    Examples
    --------
    >>> from coherence import Network, column_incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=1, labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    >>> column_incoherence(network, [0.1, 1.0], ["b"]).norms.shape
    (2, 1)
    """

    omega: Real
    columns: Complex
    labels: tuple[str, ...]
    inputs: tuple[str, ...]

    def __repr__(self) -> str:
        return f"ColumnIncoherence({len(self.inputs)} inputs of {len(self.labels)} nodes at {len(self.omega)} frequencies)"

    @property
    def norms(self) -> pd.DataFrame:
        """Omega -> ||(T - g_hat 11') e_j||_2 per input: all nodes together."""
        return pd.DataFrame(np.linalg.norm(self.columns, axis=1), index=self._index, columns=pd.Index(self.inputs))

    def nodes(self, label: str) -> pd.DataFrame:
        """Omega -> |T_ij - g_hat| of each node i for the input `label`."""
        if label not in self.inputs:
            raise UnknownNameError(unknown_name("input", label, self.inputs))
        values = np.abs(self.columns[:, :, self.inputs.index(label)])
        return pd.DataFrame(values, index=self._index, columns=pd.Index(self.labels))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The norms at up to ten frequencies."""
        picks = np.unique(np.linspace(0, len(self.omega) - 1, 10).astype(int))
        return {"deviation per input": self.norms.iloc[picks]}

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.omega, name="omega [rad/s]")


def column_incoherence(network: Network, omega: ArrayLike, inputs: Sequence[str]) -> ColumnIncoherence:
    """How far each node is from the coherent response, for single inputs: columns of T - g_hat 11'.

    Parameters
    ----------
    network : Network
        Connected; a sparse one may keep its passive nodes.
    omega : (F,) float
        Frequencies [rad/s], >= 0 and ascending.
    inputs : sequence of str
        Labels of the nodes that are disturbed.

    Returns
    -------
    ColumnIncoherence
        One solve a frequency, whatever the number of inputs; T is never formed.

    Raises
    ------
    UnknownNameError
        No such node.
    DisconnectedError
        The network falls apart.
    PoleError
        A frequency is a pole of T.

    Examples
    --------
    >>> from coherence import column_incoherence, linearize, load_case
    >>> found = column_incoherence(linearize(load_case("iceland")), [0.1, 1.0], ["Blanda 1"])
    >>> found.nodes("Blanda 1").shape
    (2, 35)
    """
    require_connected(network.laplacian, network.labels, "incoherence")
    picked = np.array([network.index(label) for label in inputs], dtype=int)
    w = frequencies(omega)
    z, p, q = _evaluate(network, 1j * w, "incoherence")
    columns = np.zeros((len(w), network.size, len(picked)), dtype=complex)
    if network.size > 1:
        here = q != 0  # at a pole of f the deviation vanishes
        columns[here] = Deviation(network.laplacian).columns(z[here], p[here], q[here], picked)
    return ColumnIncoherence(w, columns, network.labels, tuple(network.labels[i] for i in picked))


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
    indicator = _indicator(network, partition, reduced)
    z, p, q = _evaluate(network, s, "the group error")
    error = group_deviation(z, p, q, network.dense_laplacian, partition.assignment)
    if reduced is None or partition.k == 1:
        return error
    return error + indicator @ _refinement(network, laplace_points(s), partition, reduced, z, p, q) @ indicator.T


def _indicator(network: Network, partition: Partition, reduced: Network | None) -> Real:
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    if reduced is not None and reduced.size != partition.k:
        raise InputError(f"the reduced network has {reduced.size} nodes, the partition {partition.k} groups")
    return partition.indicator


def _refinement(
    network: Network, s: Complex, partition: Partition, reduced: Network, z: Complex, p: Complex, q: Complex
) -> Complex:
    """T_q - T_reduced = E_q f (L_k - P^T L P) E_k between the two k-node networks, (F, k, k)."""
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
    return ours @ ((reduced.dense_laplacian - quotient) * (p / safe)[:, None, None]) @ theirs


def _evaluate(network: Network, s: ArrayLike, what: str) -> tuple[Complex, Complex, Complex]:
    network._need_nodes(what)
    points = laplace_points(s)
    return network.nodes.inverse(points), network.coupling.numerator(points), network.coupling.denominator(points)
