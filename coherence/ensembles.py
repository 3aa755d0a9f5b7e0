r"""Random networks of a block model against the one node per block that Algorithm 1 makes of them, draw by draw.

For each draw: whether the groups found are the blocks, ||T - P T_red P'||_2 at given frequencies for the refined and the quotient
interconnection, and the largest difference of their step responses. What Theorem 3.10 promises (`certified_size`) stands beside
the share of draws in which it happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.compare import response_difference
from coherence.display import Page
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.block_model import BlockModel
from coherence.graphs.partition import Partition
from coherence.groups.recovery import drawn_block_network, found_groups, require_draws, require_random_nodes
from coherence.groups.spectral import METHODS
from coherence.network.network import Network
from coherence.nodes.distributions import RandomNodes
from coherence.nodes.nodes import unknown_name
from coherence.numerics.rational import coupling_of
from coherence.parallel import each
from coherence.progress import Progress, silent
from coherence.reduction.aggregate import Aggregation, aggregate
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.simulate import simulate
from coherence.theory.deviations import deviation_norms
from coherence.types import ArrayLike, Real, frequencies, real_vector

SURE = 0.95  # of the upper confidence limit on a probability
STEPS = 20  # of frequency up to the end of a band


@dataclass(frozen=True, eq=False, repr=False)
class BlockErrors(Page):
    """Errors of one node per group over draws of a block model; see `block_errors`.

    Attributes
    ----------
    model : BlockModel
    method : str
    omega : (F,) float
        rad/s.
    frame : DataFrame
        draw -> connected, recovered, error refined and error quotient (the largest over omega of ||T - P T_red P'||, in units of T)
        and, where there was a disturbance, response error (largest over nodes and time) and centre error (of the groups' centers of
        inertia, where nodes have inertia) of both, and response (the largest itself). Missing where a draw falls apart or has no
        groups; of the groups found where they are not the blocks.
    refined, quotient : (D, F) float
        The errors frequency by frequency.

    Examples
    --------
    >>> from scipy import stats
    >>> from coherence import BlockModel, RandomNodes, block_errors, swing
    >>> model = BlockModel([10, 10], [[0.9, 0.1], [0.1, 0.9]], [[10, 1], [1, 10]])
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 1), damping=stats.uniform(0.5, 1))
    >>> found = block_errors(model, nodes, 1.0, draws=5, n_jobs=1)
    >>> found.frame["recovered"].tolist(), bool((found.frame["error refined"] < 0.05).all())
    ([True, True, True, True, True], True)
    """

    model: BlockModel
    method: str
    omega: Real
    frame: pd.DataFrame
    refined: Real
    quotient: Real

    def __repr__(self) -> str:
        return f"BlockErrors({len(self.frame)} draws of {self.model.n} nodes; {self.method}; {self.recovered:.1%} recovered)"

    @property
    def recovered(self) -> float:
        """Share of draws in which the groups found are the blocks."""
        return float(self.frame["recovered"].mean())

    def failures(self, eps: float, eta: float | None = None) -> pd.DataFrame:
        """How often the error exceeds eps at a frequency looked at, with an upper limit on its probability of 95 % confidence.

        Parameters
        ----------
        eps : float
            In units of T, > 0.
        eta : float, optional
            Only frequencies up to this one [rad/s]; all by default.

        Returns
        -------
        DataFrame
            what -> share of the draws, upper limit (Clopper and Pearson). A draw that falls apart or has no groups fails.

        Raises
        ------
        InputError
            eps out of range, or no frequency up to eta.
        """
        if isinstance(eps, bool) or not isinstance(eps, (int, float, np.number)) or not (np.isfinite(eps) and eps > 0):
            raise InputError(f"eps = {eps!r}; give an error > 0 in units of T")
        band = self.omega <= (np.inf if eta is None else eta * (1 + 1e-12))
        if not band.any():
            raise InputError(f"eta = {eta!r}, but the frequencies begin at {self.omega[0]:g} rad/s; give a larger one")
        missed = ~self.frame["recovered"].to_numpy(dtype=bool)
        off = {name: np.asarray(~(values[:, band] <= eps).all(axis=1)) for name, values in self._curves.items()}
        rows = {"blocks not recovered": missed}
        rows |= {f"error > eps, {name}": values for name, values in off.items()}
        rows |= {f"either, {name}": values | missed for name, values in off.items()}
        draws = len(missed)
        table = {what: [fails.mean(), upper_limit(int(fails.sum()), draws)] for what, fails in rows.items()}
        return pd.DataFrame.from_dict(table, orient="index", columns=["share", "upper limit"]).rename_axis("failure")

    @property
    def facts(self) -> dict[str, str]:
        """What was looked at, and what fell apart."""
        apart = int((~self.frame["connected"]).sum())
        facts = {"frequencies": f"{len(self.omega)} from {self.omega[0]:g} to {self.omega[-1]:g} rad/s"}
        return facts | ({"not connected (counted as not recovered)": f"{apart} of {len(self.frame)} draws"} if apart else {})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Errors where the blocks were recovered: median, 95th percentile and largest over the draws."""
        right = self.frame.loc[self.frame["recovered"]].drop(columns=["connected", "recovered"]).astype(float)
        if right.empty:
            return {}
        return {"where recovered": pd.DataFrame({"median": right.median(), "95 %": right.quantile(0.95), "largest": right.max()})}

    @property
    def _curves(self) -> dict[str, Real]:
        return {"refined": self.refined, "quotient": self.quotient}


def block_errors(
    model: BlockModel,
    nodes: RandomNodes,
    omega: ArrayLike,
    *,
    draws: int = 200,
    method: str = "bach_jordan",
    disturbance: Disturbance | None = None,
    time: Any = None,
    coupling: Any = "1/s",
    random_state: Any = 0,
    n_jobs: int = -1,
    cluster: Any = None,
    progress: Progress = silent,
) -> BlockErrors:
    """Draw networks of a block model, group and aggregate them, and measure what is lost.

    Parameters
    ----------
    model : BlockModel
        Connected draws have errors; nodes are labelled "1" to "n".
    nodes : RandomNodes
        Distribution of the node dynamics.
    omega : float or (F,) float
        The end of a band [rad/s], looked at at 20 equally spaced frequencies, or the frequencies, ascending.
    draws : int
        Networks.
    method : str
        Of `coherent_groups`, with as many modes as blocks.
    disturbance : Disturbance, optional
        At nodes of the network, such as Step({"2": 1.0}); its responses are compared as well.
    time : (N,) array, optional
        As of `simulate`.
    coupling : as of `Network`
    random_state : int, Generator or None
        The same draws whatever the number of processes, and as those of `recovery_rates`.
    n_jobs, cluster : int; str or distributed.Client
        All cores of this machine by default, one process with n_jobs=1, or the workers of a running Dask cluster.
    progress : callable
        (what, fraction done).

    Returns
    -------
    BlockErrors

    Raises
    ------
    InputError
        Frequencies or draws out of range.
    UnknownNameError
        There is no such method or no such node.
    ClusterError
        The Dask scheduler does not answer or has no workers.

    References
    ----------
    H. Min, dissertation (2023), Section 3.2.3 and Figure 3-5; equation (3.40).

    Examples
    --------
    >>> from scipy import stats
    >>> from coherence import BlockModel, RandomNodes, Step, block_errors, swing
    >>> model = BlockModel([10, 10], [[0.9, 0.1], [0.1, 0.9]], [[10, 1], [1, 10]])
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 1), damping=stats.uniform(0.5, 1))
    >>> found = block_errors(model, nodes, 1.0, draws=3, disturbance=Step({"2": 1.0}), n_jobs=1)
    >>> bool((found.frame["response error refined"] < found.frame["response"]).all())
    True
    """
    if not isinstance(model, BlockModel):
        raise InputError(f"model is a {type(model).__name__}; give a BlockModel")
    require_random_nodes(nodes)
    if method not in METHODS:
        raise UnknownNameError(unknown_name("method", method, tuple(METHODS)))
    if disturbance is not None and not isinstance(disturbance, Disturbance):
        raise InputError(f"disturbance is a {type(disturbance).__name__}; give one such as Step({{'2': 1.0}})")
    w = frequencies(omega)
    if np.ndim(omega) == 0:
        w = np.linspace(0.0, w[0], STEPS + 1)[1:]
    coupled = coupling_of(coupling)
    times = None if time is None else real_vector(time, "time")
    seeds = np.random.default_rng(random_state).spawn(require_draws(draws))
    tasks = [(model, nodes, w, method, disturbance, times, coupled, seed) for seed in seeds]
    found = each(_one, tasks, n_jobs=n_jobs, cluster=cluster, progress=progress, what="random networks")
    rows, refined, quotient = (list(part) for part in zip(*found, strict=True))
    frame = pd.DataFrame(rows).rename_axis("draw")
    return BlockErrors(model, method, w, frame, np.array(refined), np.array(quotient))


def upper_limit(failures: int, draws: int) -> float:
    """The largest probability with which so few failures are not unlikely (Clopper and Pearson, 95 %).

    Examples
    --------
    >>> round(upper_limit(0, 200), 4), upper_limit(3, 3)
    (0.0149, 1.0)
    """
    from scipy.stats import beta

    return 1.0 if failures == draws else float(beta.ppf(SURE, failures + 1, draws - failures))


def _one(
    model: BlockModel,
    nodes: RandomNodes,
    w: Real,
    method: str,
    disturbance: Disturbance | None,
    time: Real | None,
    coupling: Any,
    seed: np.random.Generator,
) -> tuple[dict[str, Any], Real, Real]:
    """One draw: its row of the frame and its errors over the frequencies."""
    both = ("refined", "quotient")
    names = [f"error {name}" for name in both]
    names += (
        [] if disturbance is None else [f"{what} error {name}" for what in ("response", "centre") for name in both] + ["response"]
    )
    row: dict[str, Any] = {"connected": True, "recovered": False} | dict.fromkeys(names, np.nan)
    unknown = np.full(len(w), np.nan)
    network = drawn_block_network(model, nodes, seed, coupling)
    if network is None:
        return row | {"connected": False}, unknown, unknown
    groups = found_groups(network, model.k, method)
    if groups is None:
        return row, unknown, unknown
    row["recovered"] = bool(np.array_equal(groups, model.assignment))
    partition = Partition.of(groups.tolist(), labels=network.labels)
    models = {name: _aggregated(network, partition, name) for name in both}
    curves = {name: _error(network, partition, found, w) for name, found in models.items()}
    for name, curve in curves.items():
        row[f"error {name}"] = float(curve.max())
    if disturbance is not None:
        full = simulate(network, disturbance, time)
        row["response"] = float(full.frame.abs().to_numpy().max())
        centres = full.groups(partition) if (partition.indicator.T @ full.inertia > 0).all() else None
        for name, found in models.items():
            if found is not None:
                small = simulate(found.network, disturbance.grouped(partition), full.time)
                row[f"response error {name}"] = response_difference(full, small, partition).linf
                if centres is not None:
                    row[f"centre error {name}"] = response_difference(centres, small).linf
    return row, curves["refined"], curves["quotient"]


def _aggregated(network: Network, partition: Partition, interconnection: str) -> Aggregation | None:
    """None where the slow modes of L, which the refinement needs, are not unique."""
    try:
        return aggregate(network, partition, interconnection=interconnection)
    except InputError:
        return None


def _error(network: Network, partition: Partition, found: Aggregation | None, w: Real) -> Real:
    if found is None:
        return np.full(len(w), np.nan)
    reduced = found.network if found.interconnection == "refined" else None
    return deviation_norms(network, 1j * w, partition=partition, reduced=reduced)
