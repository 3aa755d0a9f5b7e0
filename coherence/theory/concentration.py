r"""Dynamics concentration: large networks of random nodes move along one deterministic dynamics.

    g_bar_n = (1/n sum g_i^{-1})^{-1}  ->  g_hat = (E g^{-1})^{-1},   T_n  ->  (1/n) g_hat 11^T   (Theorem 3.7, lambda_2 growing)

**Bound on the probability of a deviation.** With x = g_bar_n^{-1} - g_hat^{-1}, E |x|^2 = Var(g^{-1})/n, and

    |g_bar_n - g_hat| = |g_hat|^2 |x| / |1 + g_hat x| >= eps   implies   |x| >= eps / (|g_hat| (|g_hat| + eps)),

so that Chebyshev's inequality for the complex x gives

    P(|g_bar_n - g_hat| >= eps) <= Var(g^{-1}) |g_hat|^2 (|g_hat| + eps)^2 / (eps^2 n).

It needs a finite variance and nothing else: neither g^{-1} nor g_bar_n need be bounded (M1 in the source's step (3.24) may be
|g_hat| itself). The source's (3.23)-(3.24), 32 M1^2 M2^2 (M1 + eps)^2/(eps^2 n), stands beside it for comparison, with M2 and M1
(the reciprocal of the distance of 0 from the convex hull of the values of g^{-1}) as found on a grid of the support, so not above
the true ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import laplacian_of_graph
from coherence.network.network import Network
from coherence.nodes.distributions import InverseMoments, RandomNodes
from coherence.numerics.hull import hull_distance
from coherence.numerics.rational import coupling_of
from coherence.parallel import each
from coherence.progress import Progress, silent
from coherence.theory.bounds import Bound
from coherence.theory.deviations import DIRECT, uniform_distances
from coherence.types import ArrayLike, Complex, Real, frequencies

FULL = 0.25  # of the entries of a Laplacian: above, it is handled as a dense matrix


@dataclass(frozen=True, eq=False, repr=False)
class Concentration(Page):
    """An ensemble of random networks of growing size beside its limit; see `concentration`.

    Attributes
    ----------
    sizes : (S,) int
    omega : (F,) float
        rad/s.
    deviation : float
        A deviation counts from this share of |g_hat| on.
    expected : (F,) complex
        g_hat(j omega).
    coherent : (S, D, F) complex
        g_bar_n(j omega) of each of D draws.
    incoherence : (S, D, F) float
        ||T_n - (1/n) g_bar_n 11'||_2.
    distance : (S, D, F) float
        ||T_n - (1/n) g_hat 11'||_2.
    connectivity : (S, D) float
        lambda_2 of each draw.
    variance_bound, source_bound : dict of n -> Bound
        On the probability at each frequency.

    Examples
    --------
    >>> from functools import partial
    >>> from scipy import stats
    >>> from coherence import RandomNodes, complete_graph, concentration, swing
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 2), damping=0.5)
    >>> found = concentration(nodes, complete_graph, [10, 40], [0.5, 1.0], draws=20, random_state=0, n_jobs=1)
    >>> bool(found.frame["distance, median"].iloc[-1] < found.frame["distance, median"].iloc[0])
    True
    """

    sizes: np.ndarray
    omega: Real
    deviation: float
    expected: Complex
    coherent: Complex
    incoherence: Real
    distance: Real
    connectivity: Real
    variance_bound: dict[int, Bound]
    source_bound: dict[int, Bound]

    def __repr__(self) -> str:
        size, draws, count = self.coherent.shape
        return f"Concentration({size} sizes from {self.sizes[0]} to {self.sizes[-1]}, {draws} draws each, {count} frequencies)"

    @property
    def observed(self) -> Real:
        """Share of draws with |g_bar_n - g_hat| >= deviation |g_hat|, (S, F)."""
        return np.asarray(self._deviates.mean(axis=1))

    @property
    def observed_anywhere(self) -> Real:
        """Share of draws that deviate at any of the frequencies, (S,)."""
        return np.asarray(self._deviates.any(axis=2).mean(axis=1))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per size: the worst over the frequencies of bounds, observed frequencies and distances."""
        size = np.abs(self.expected)
        rows = {
            "lambda_2, median": np.median(self.connectivity, axis=1),
            "observed": self.observed.max(axis=1),
            "observed anywhere": self.observed_anywhere,
            "variance bound": [self.variance_bound[int(n)].value.max() for n in self.sizes],
            "source's bound": [self.source_bound[int(n)].value.max() for n in self.sizes],
            "|g_bar_n - g_hat|/|g_hat|, median": np.median((np.abs(self.coherent - self.expected) / size).max(axis=2), axis=1),
            "incoherence, median": np.median((self.incoherence / size).max(axis=2), axis=1),
            "distance, median": np.median((self.distance / size).max(axis=2), axis=1),
        }
        return pd.DataFrame(rows, index=pd.Index(self.sizes, name="n"))

    @property
    def facts(self) -> dict[str, str]:
        """What counts."""
        apart = int((self.connectivity == 0).sum())
        facts = {"a deviation": f"|g_bar_n - g_hat| >= {self.deviation:g} |g_hat|; the distances are shares of |g_hat|"}
        return facts | ({"not connected": f"{apart} of {self.connectivity.size} draws"} if apart else {})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The frame."""
        return {"by size": self.frame}

    @property
    def _deviates(self) -> np.ndarray:
        return np.abs(self.coherent - self.expected) >= self.deviation * np.abs(self.expected)


def concentration(
    nodes: RandomNodes,
    graph: Callable[..., Any],
    sizes: Sequence[int],
    omega: ArrayLike,
    *,
    draws: int = 100,
    deviation: float = 0.1,
    coupling: Any = "1/s",
    random_state: Any = 0,
    n_jobs: int = -1,
    cluster: Any = None,
    progress: Progress = silent,
) -> Concentration:
    """Draw networks of growing size and set their coherent dynamics and their whole T against the expected dynamics.

    Parameters
    ----------
    nodes : RandomNodes
        Distribution of the node dynamics.
    graph : callable
        (n, random_state=Generator) -> Laplacian (array or sparse) or networkx graph: `complete_graph`,
        `functools.partial(erdos_renyi_graph, probability=0.3)`, or your own.
    sizes : sequence of int
        Numbers of nodes.
    omega : (F,) float
        Frequencies [rad/s] > 0, ascending.
    draws : int
        Networks of each size.
    deviation : float
        eps = deviation |g_hat(j omega)|, > 0.
    coupling : as of `Network`
    random_state : int, Generator or None
        The same draws whatever the number of processes.
    n_jobs, cluster : int; str or distributed.Client
        All cores of this machine by default, one process with n_jobs=1, or the workers of a running Dask cluster.
    progress : callable
        (what, fraction done).

    Returns
    -------
    Concentration

    Raises
    ------
    InputError
        Sizes, draws or a deviation out of range, or a graph that is none.
    ClusterError
        The Dask scheduler does not answer or has no workers.

    References
    ----------
    H. Min, dissertation (2023), Lemma 3.2 and Theorem 3.7; the variance form is derived in the module.

    Examples
    --------
    >>> from functools import partial
    >>> from scipy import stats
    >>> from coherence import RandomNodes, concentration, erdos_renyi_graph, swing
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 2), damping=stats.uniform(0.1, 0.4))
    >>> found = concentration(nodes, partial(erdos_renyi_graph, probability=0.5), [20], [1.0], draws=10, n_jobs=1)
    >>> bool(found.observed[0, 0] <= found.variance_bound[20].value[0])
    True
    """
    if not isinstance(nodes, RandomNodes):
        raise InputError(f"nodes is a {type(nodes).__name__}; give RandomNodes, a family with distributions of its coefficients")
    w, counts = frequencies(omega), _checked_sizes(sizes)
    if w[0] == 0:
        raise InputError("omega[0] = 0; concentration is looked at away from poles of the coupling: give frequencies > 0")
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise InputError(f"draws = {draws!r}; give a number of networks >= 1")
    if not (np.isfinite(deviation) and deviation > 0):
        raise InputError(f"deviation = {deviation}; give a share of |g_hat| > 0")
    moments = nodes.inverse_moments(1j * w)
    expected = 1.0 / moments.mean
    coupling = coupling_of(coupling)
    seeds = np.random.default_rng(random_state).spawn(len(counts) * int(draws))
    tasks = [
        (nodes, graph, int(n), w, expected, coupling, seeds[i * draws + j]) for i, n in enumerate(counts) for j in range(draws)
    ]
    tasks.reverse()  # the largest first: no process is left with a long one at the end
    found = each(_one, tasks, n_jobs=n_jobs, cluster=cluster, progress=progress, what="random networks")[::-1]
    shape = (len(counts), int(draws), len(w))
    coherent, incoherent, distance, connectivity = (np.array([one[part] for one in found]) for part in range(4))
    bounds = {int(n): chebyshev_bounds(moments, int(n), deviation * np.abs(expected)) for n in counts}
    return Concentration(
        np.array(counts),
        w,
        float(deviation),
        expected,
        coherent.reshape(shape),
        incoherent.reshape(shape),
        distance.reshape(shape),
        connectivity.reshape(shape[:2]),
        {n: pair[0] for n, pair in bounds.items()},
        {n: pair[1] for n, pair in bounds.items()},
    )


def chebyshev_bounds(moments: InverseMoments, n: int, eps: Real) -> tuple[Bound, Bound]:
    """The variance form and the source's on P(|g_bar_n - g_hat| >= eps), each a Bound over the frequencies; at most 1."""
    size = 1.0 / np.abs(moments.mean)
    ours = np.minimum(1.0, moments.variance * size**2 * (size + eps) ** 2 / (eps**2 * n))
    variance = Bound(
        "variance bound",
        ours,
        np.isfinite(moments.variance),
        {"variance": moments.variance, "|g_hat|": size, "eps": eps},
        "a finite variance of g^{-1}",
    )
    m1, m2 = _largest_mean(moments), moments.largest
    usable = np.isfinite(m1) & np.isfinite(m2)
    printed = np.full(len(size), np.inf)
    printed[usable] = np.minimum(1.0, (32 * m1**2 * m2**2 * (m1 + eps) ** 2 / (eps**2 * n))[usable])
    return variance, Bound(
        "source's bound",
        printed,
        usable,
        {"M1": m1, "M2": m2, "eps": eps},
        "g^{-1}, g_bar_n bounded; M1, M2 as on a grid of the support",
    )


def _largest_mean(moments: InverseMoments) -> Real:
    """M1 as on the grid: g_bar_n^{-1} lies in the convex hull of the values of g^{-1}."""
    if moments.range is None:
        return np.full(len(moments.mean), np.inf)
    zero = np.zeros(len(moments.mean), dtype=complex)
    distance = hull_distance(moments.range, zero, 0.0, 0.0)
    return np.where(distance > 0, 1.0 / np.where(distance > 0, distance, 1.0), np.inf)


def _checked_sizes(sizes: Sequence[int]) -> list[int]:
    given: list[Any] = [sizes] if np.isscalar(sizes) else list(sizes)
    for n in given:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
            raise InputError(f"sizes holds {n!r}; give numbers of nodes >= 2")
    if not given or len(set(given)) < len(given):
        raise InputError("sizes is empty or holds one twice; give distinct numbers of nodes")
    return sorted(int(n) for n in given)


def drawn_network(
    nodes: RandomNodes, graph: Callable[..., Any], n: int, coupling: Any, random_state: np.random.Generator
) -> Network:
    """One random network of n nodes; a graph that falls apart is taken as it is."""
    own, edges = random_state.spawn(2)
    try:
        made = graph(n, random_state=edges)
    except TypeError as error:
        if "random_state" not in str(error):
            raise
        raise InputError(
            "the graph family does not take random_state; give a function (n, random_state), for networkx such as "
            "lambda n, random_state: nx.gnp_random_graph(n, 0.3, seed=int(random_state.integers(2**31)))"
        ) from None
    laplacian: Any = laplacian_of_graph(made)[0] if hasattr(made, "edges") else made
    if laplacian.shape != (n, n):
        raise InputError(f"the graph family returned a Laplacian of shape {laplacian.shape} for n = {n}")
    if sp.issparse(laplacian) and (n <= DIRECT or laplacian.nnz > FULL * n * n):
        laplacian = laplacian.toarray()
    return Network(nodes.draw(n, random_state=own), laplacian, coupling)


def _one(
    nodes: RandomNodes, graph: Callable[..., Any], n: int, w: Real, expected: Complex, coupling: Any, seed: np.random.Generator
) -> tuple[Complex, Real, Real, float]:
    """One draw: g_bar_n, the norms of T_n - (1/n) g_bar_n 11' and T_n - (1/n) g_hat 11', and lambda_2."""
    network = drawn_network(nodes, graph, n, coupling, seed)
    s = 1j * w
    own = n / network.nodes.inverse(s).sum(axis=1)
    incoherent, distance = uniform_distances(network, s, own / n), uniform_distances(network, s, expected / n)
    return own, incoherent, distance, network.algebraic_connectivity
