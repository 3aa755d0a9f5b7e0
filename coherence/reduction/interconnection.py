r"""The interconnection of groups that is best in a band: L_k fitted over Laplacians of non-negative weights.

    minimise  max over sampled omega of  ||T - P T_k P^T||_2 / ||T||_2,   T_k = (P^T G^{-1} P + f L_k)^{-1},
    over      L_k = sum_e w_e b_e b_e^T,  w_e >= 0 on pairs of groups

Quotient and refined Laplacian are what theory offers at s -> 0; here the weights answer to a band. First the mean square of the
error on the span of the groups is minimised (Levenberg-Marquardt whose steps keep the bounds), from the quotient and from the
refined Laplacian without its negative weights, each also by way of s = sigma + j omega with falling sigma: resonances that are
apart see each other while they are wide. Then the largest error itself, by linear programs in a trust region (each singular value
stands with its derivative). The result is the best that was met, never worse than a start. The frequencies are refined
meanwhile: the modes of the reduced network move with its weights and are sampled again.
A Laplacian of non-negative weights is positive semidefinite, so that passive nodes leave the reduced network stable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.graphs.partition import Partition
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Nodes
from coherence.numerics.balancing import Band
from coherence.numerics.threads import single_thread
from coherence.reduction.band_error import BandError
from coherence.reduction.descent import SETTLED, attempt, least_squares, minimax
from coherence.reduction.refined import refined_laplacian, require_partition
from coherence.theory.damping import is_stable, require_damped
from coherence.theory.frequencies import mode_frequencies
from coherence.types import Int, Real

POINTS = 60  # sampled frequencies to begin with
LOWEST = 1e-3  # of the high end: where a band from 0 begins to be sampled
FLOOR = 1e-6  # of the quotient's weight: the least weight of a pair that the network joins, so that the groups stay connected
ROUNDS = 4  # of sampling anew
CONTINUED = (0.3, 0.1, 0.03, 0.01)  # of the high end: decays of the fits that lead to the given one
MIXED = 3  # weights that are mixed with the best
SCALES = np.geomspace(0.2, 5.0, 13)  # of all weights, tried before the largest error is minimised
TIED = 1e-2  # relative distance of largest errors that count as equal


@dataclass(frozen=True, eq=False, repr=False)
class InterconnectionFit(Page):
    """Weights between groups fitted over a band; see `fitted_laplacian`.

    Attributes
    ----------
    network : Network
        k nodes, joined by the fitted Laplacian.
    partition : Partition
    band : Band
        rad/s.
    decay : float
        1/s; errors are at s = decay + j omega.
    errors : DataFrame
        omega [rad/s] -> relative error of each start and of the fit, ||T - P T_k P'||_2 / ||T||_2, at all sampled frequencies, and
        the floor ||(I - Q Q') T||_2 / ||T||_2, below which no model on these groups comes (Q = P N^{-1/2}).
    stable : bool or None
        Of the network that is returned; None where it has no state space of up to 1500 states.

    Examples
    --------
    >>> from coherence import fitted_laplacian, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> fit = fitted_laplacian(network, spectral_groups(network, 3), band=(0, 6))
    >>> bool(fit.error <= fit.errors["quotient"].max()), fit.stable
    (True, True)
    """

    network: Network
    partition: Partition
    band: Band
    decay: float
    errors: pd.DataFrame
    stable: bool | None

    @property
    def laplacian(self) -> Real:
        """L_k, (k, k)."""
        return self.network.dense_laplacian

    @property
    def floor(self) -> float:
        """The largest relative error that no model on these groups comes below: max ||(I - Q Q') T||_2 / ||T||_2."""
        return float(self.errors["floor"].max())

    @property
    def error(self) -> float:
        """The largest relative error at the sampled frequencies: what was minimised."""
        return float(self.errors["fitted"].max())

    @property
    def facts(self) -> dict[str, str]:
        """What was reached, from where."""
        worst = ", ".join(f"{name} {value:.4g}" for name, value in self.errors.drop(columns="floor").max().items())
        verdict = {True: "stable", False: "not stable", None: "not checked"}[self.stable]
        return {
            "band": f"{self.band.low:g} to {self.band.high:g} rad/s, {len(self.errors)} frequencies sampled",
            "largest relative error": worst,
            "no model on these groups below": f"{self.floor:.4g}",
            "reduced network": verdict,
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The Laplacian, and the errors at up to ten frequencies."""
        groups = list(self.partition.groups)
        picks = np.unique(np.linspace(0, len(self.errors) - 1, 10).astype(int))
        matrix = pd.DataFrame(self.laplacian, index=groups, columns=groups)
        return {"Laplacian between groups": matrix, "relative error": self.errors.iloc[picks]}

    def __repr__(self) -> str:
        return (
            f"InterconnectionFit({len(self.partition.labels)} -> {self.partition.k} nodes, relative error {self.error:.4g} "
            f"in {self.band.low:g} to {self.band.high:g} rad/s)"
        )


def fitted_laplacian(
    network: Network,
    partition: Partition,
    *,
    band: tuple[float, float] | Band,
    nodes: Nodes | None = None,
    pairs: str = "joined",
    decay: float = 0.0,
) -> InterconnectionFit:
    """The Laplacian of non-negative weights between groups that is best over a band of frequencies.

    min over w >= 0 of max over omega of ||T - P T_k P'||_2 / ||T||_2 with T_k = (P'G^{-1}P + f L_k)^{-1}.

    Parameters
    ----------
    network : Network
        Connected. A sparse one stays sparse.
    partition : Partition
        Of network.labels, in k groups.
    band : (low, high) or Band
        0 <= low < high [rad/s]; a band from 0 is sampled from a thousandth of `high` on.
    nodes : Nodes, optional
        k nodes in the order of the groups, such as truncated ones; by default the groups' node inverses added up.
    pairs : "joined" or "all"
        Pairs of groups that get a weight: those that an edge joins, or all.
    decay : float
        Errors are taken at s = decay + j omega, that is of responses times e^{-decay t} [1/s]. Undamped networks need it > 0.

    Returns
    -------
    InterconnectionFit
        With `network`, `laplacian`, `error` and the errors of the starts beside it.

    Raises
    ------
    InputError
        A partition of other nodes, a band that is none, nodes that are not one per group, or an undamped mode in the band where
        decay = 0: no relative error is finite at those of the reduced network.
    DisconnectedError
        The network falls apart.
    PoleError
        A sampled frequency is a pole of T.

    Notes
    -----
    The error is sampled: 60 frequencies and the modes of the network and of the reduced one (of up to 1500 states each), with more
    where the error is largest; not certified between them. The minimum is a local one. A pair that the network joins keeps at
    least a millionth of the quotient's weight; a negative weight of the quotient (a network with negative edges) starts at that.
    Where the fit makes nodes that are not passive unstable, the best of what was passed on the way and is stable is returned.

    References
    ----------
    K. Levenberg (1944) and D. Marquardt (1963) for the mean square; K. Madsen (1975) for minimax by linear programs.

    Examples
    --------
    >>> from coherence import fitted_laplacian, linearize, load_case, spectral_groups
    >>> network = linearize(load_case("iceland"))
    >>> fitted_laplacian(network, spectral_groups(network, 3), band=(0, 6)).laplacian.shape
    (3, 3)
    """
    require_nodes(network, "a fitted interconnection")
    require_partition(network, partition)
    require_connected(network.laplacian, network.labels, "a fitted interconnection")
    limits = Band.of(band)
    if pairs not in ("joined", "all"):
        raise InputError(f"pairs = {pairs!r}; give 'joined' or 'all'")
    quotient = network.project(partition)
    own = quotient.nodes if nodes is None else nodes
    if not isinstance(own, Nodes) or len(own) != partition.k:
        found = f"{len(own)} nodes" if isinstance(own, Nodes) else f"a {type(own).__name__}"
        raise InputError(f"nodes is {found}; give Nodes, one for each of the {partition.k} groups in their order")
    require_damped(network, limits, decay)
    with single_thread(network.size):
        return _Search(network, partition, own, quotient.dense_laplacian, limits, pairs == "all", float(decay)).run()


def band_samples(network: Network, band: Band, count: int = POINTS, *, modes: bool = True) -> Real:
    """Half of them equally spaced, half in the logarithm, and the network's modes (at most as many)."""
    low = max(band.low, LOWEST * band.high)
    own = np.sort(mode_frequencies(network, low, band.high)) if modes else np.zeros(0)
    if len(own) > count:
        own = own[np.linspace(0, len(own) - 1, count).astype(int)]
    half = count // 2
    return np.unique(np.concatenate([np.geomspace(low, band.high, half), np.linspace(low, band.high, half), own]))


class _Search:
    """Starts, the two fits, and sampling in rounds."""

    def __init__(
        self, network: Network, partition: Partition, nodes: Nodes, quotient: Real, band: Band, every: bool, decay: float
    ) -> None:
        self.network, self.partition, self.nodes, self.band, self.decay = network, partition, nodes, band, decay
        upper = np.argwhere(np.triu(np.ones_like(quotient), 1) > 0)
        weights = -quotient[upper[:, 0], upper[:, 1]]
        joined = weights != 0 if not every else np.ones(len(weights), dtype=bool)
        self.pairs: Int = upper[joined]
        weights = np.abs(weights[joined])
        present = weights[weights > 0]
        self.scale = np.where(weights > 0, weights, present.mean() if present.size else 1.0)
        self.floor = FLOOR * weights
        self.starts = {"quotient": quotient}
        refined = _refined(network, partition)
        if refined is not None:
            self.starts["refined, clipped"] = refined
        self.samples = BandError(network, partition, nodes, self.pairs, band_samples(network, band), decay=decay)

    def run(self) -> InterconnectionFit:
        """Fit, sample where the fit's modes and largest error are, and fit again until nothing new is found."""
        inside = {name: self._weights(matrix) for name, matrix in self.starts.items()}
        for weights in inside.values():
            self.samples.add(self._modes(self.samples.laplacian(weights)))
        passed = list(inside.values())
        best = passed[0]
        if len(self.pairs):
            passed += [self._continued(weights) for weights in inside.values()]
        for number in range(ROUNDS if len(self.pairs) else 0):
            tried = [least_squares(self.samples, w, self.floor) for w in passed[-2:]] + passed
            first, second = sorted(tried, key=self._largest)[:2]
            begin = [first]
            if number == 0:
                begin += [second, min((np.maximum(c * first, self.floor) for c in SCALES), key=self._largest)]
            found = [minimax(self.samples, w, self.floor, self.scale) for w in begin]
            best = min(found, key=self._largest)
            passed += found
            before, known = self._largest(best), len(self.samples.omega)
            self.samples.add(np.concatenate([self._modes(self.samples.laplacian(best)), self._around(best)]))
            if len(self.samples.omega) == known or self._largest(best) <= (1 + 100 * SETTLED) * before:
                break
        chosen = self._chosen(passed, list(inside.values()))
        columns = {name: self.samples.errors(self.samples.laplacian(w)) for name, w in inside.items()}
        columns["fitted"] = self.samples.errors(chosen.dense_laplacian)
        columns["floor"] = self.samples.floor()
        frame = pd.DataFrame(columns, index=pd.Index(self.samples.omega, name="omega [rad/s]"))
        return InterconnectionFit(chosen, self.partition, self.band, self.decay, frame, is_stable(chosen))

    def _chosen(self, passed: list[Real], starts: list[Real]) -> Network:
        """A stable network of least largest error; where many weights reach it, as at the floor, that of least mean square."""
        while True:
            passed = sorted(passed, key=self._largest)
            fair = sorted(passed[1:], key=self._mean_square)[:MIXED]
            passed += [passed[0] + part * (w - passed[0]) for w in fair for part in (0.3, 0.6)]
            limit = min(self._largest(passed[0]) * (1 + TIED), *[self._largest(w) for w in starts], np.inf)
            tied = sorted([w for w in passed if self._largest(w) <= limit], key=self._mean_square)
            order = tied + sorted([w for w in passed if self._largest(w) > limit], key=self._largest)
            networks = (Network(self.nodes, self.samples.laplacian(w), self.network.coupling) for w in order)
            chosen = next((one for one in networks if is_stable(one) is not False), None)
            if chosen is None:
                chosen = Network(self.nodes, self.samples.laplacian(order[0]), self.network.coupling)
            known = len(self.samples.omega)
            self.samples.add(self._modes(chosen.dense_laplacian))  # its own resonances must have been seen
            if len(self.samples.omega) == known:
                return chosen

    def _mean_square(self, weights: Real) -> float:
        return float(attempt(lambda: self.samples.normal_equations(weights)[0], np.inf))

    def _continued(self, weights: Real) -> Real:
        """Mean-square fits at s = sigma + j omega for falling sigma: narrow peaks that are apart meet while they are wide."""
        for part in CONTINUED:
            at = self.decay + part * self.band.high
            grid = band_samples(self.network, self.band, POINTS // 2, modes=False)
            samples = BandError(self.network, self.partition, self.nodes, self.pairs, grid, decay=at)
            weights = least_squares(samples, weights, self.floor, settled=SETTLED)
        return weights

    def _weights(self, laplacian: Real) -> Real:
        return np.maximum(-laplacian[self.pairs[:, 0], self.pairs[:, 1]], self.floor)

    def _largest(self, weights: Real) -> float:
        return attempt(lambda: float(self.samples.errors(self.samples.laplacian(weights)).max()), np.inf)

    def _modes(self, laplacian: Real) -> Real:
        low, high = max(self.band.low, LOWEST * self.band.high), self.band.high
        found = mode_frequencies(Network(self.nodes, laplacian, self.network.coupling), low, high)
        return np.asarray(found[: 4 * self.partition.k])

    def _around(self, weights: Real) -> Real:
        """Middles between the frequency of the largest error and its neighbours."""
        w = self.samples.omega
        at = int(self.samples.errors(self.samples.laplacian(weights)).argmax())
        near = w[max(at - 1, 0) : at + 2]
        return np.asarray(0.5 * (near[1:] + near[:-1]))


def _refined(network: Network, partition: Partition) -> Real | None:
    try:
        return refined_laplacian(network, partition)[0]
    except InputError:  # lambda_k = lambda_{k+1}: there is none to start from
        return None
