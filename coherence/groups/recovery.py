"""How often grouping methods find the blocks of a weighted stochastic block model, exactly, as networks grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.block_model import BlockModel
from coherence.graphs.clustering import adjusted_rand, renumbered
from coherence.graphs.laplacian import components
from coherence.groups.spectral import METHODS, coherent_groups
from coherence.network.network import DENSE_LIMIT, Network
from coherence.nodes.distributions import RandomNodes
from coherence.nodes.families import swing
from coherence.nodes.nodes import unknown_name
from coherence.parallel import each
from coherence.progress import Progress, silent
from coherence.types import Int, Real

SMALL, FULL = 600, 0.25  # nodes up to which, and entries from which, a drawn Laplacian is handled as a dense matrix


@dataclass(frozen=True, eq=False, repr=False)
class RecoveryRates(Page):
    """How often each method finds the blocks; see `recovery_rates`.

    Attributes
    ----------
    frame : DataFrame
        n -> method -> share of the draws in which its groups are the blocks, up to their order.
    rand : DataFrame
        n -> method -> mean adjusted Rand index against the blocks, 0 for a draw without groups.
    disconnected : Series
        n -> draws that fall apart; they have no groups and count as not recovered.
    ungrouped : DataFrame
        n -> method -> draws without groups: those, and those whose slow modes are not unique.
    draws : int

    Examples
    --------
    >>> from coherence import BlockModel, recovery_rates
    >>> model = BlockModel([1, 2], [[0.9, 0.2], [0.2, 0.9]], [[1, 1], [1, 1]])
    >>> found = recovery_rates(model, [12, 60], ["pivoted_qr"], draws=10, n_jobs=1)
    >>> bool(found.frame.loc[60, "pivoted_qr"] > found.frame.loc[12, "pivoted_qr"])
    True
    """

    frame: pd.DataFrame
    rand: pd.DataFrame
    disconnected: pd.Series
    ungrouped: pd.DataFrame
    draws: int

    def __repr__(self) -> str:
        return f"RecoveryRates({self.frame.shape[1]} methods, {len(self.frame)} sizes, {self.draws} draws each)"

    @property
    def facts(self) -> dict[str, str]:
        """How sure the shares are, and what fell apart."""
        apart = {n: count for n, count in self.disconnected.items() if count}
        shown = ", ".join(f"{count} of {self.draws} at n = {n}" for n, count in apart.items()) or "none"
        return {
            "standard error of a share": f"at most {0.5 / np.sqrt(self.draws):.2g}",
            "not connected (counted as not recovered)": shown,
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Shares recovered and mean adjusted Rand indices, methods by rows."""
        return {"recovered": self.frame.T, "adjusted Rand index": self.rand.T}


def recovery_rates(
    model: BlockModel,
    sizes: Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    *,
    draws: int = 100,
    nodes: RandomNodes | None = None,
    random_state: Any = 0,
    n_jobs: int = -1,
    cluster: Any = None,
    progress: Progress = silent,
) -> RecoveryRates:
    """Draw networks of a block model and group them by each method; all methods group the same draws.

    Parameters
    ----------
    model : BlockModel
        Its proportions are kept (`BlockModel.scaled`).
    sizes : sequence of int, optional
        Numbers of nodes; the model's own by default.
    methods : sequence of str, optional
        Of `coherent_groups`; all by default. Loose and tight coherency choose their number of groups themselves.
    draws : int
        Networks of each size.
    nodes : RandomNodes, optional
        Where inertias come from that slow coherency, reference machines, loose and tight coherency weigh with. Equal ones by
        default, with which those group the coupling graph alone.
    random_state : int, Generator or None
        The same draws whatever the number of processes.
    n_jobs, cluster : int; str or distributed.Client
        All cores of this machine by default, one process with n_jobs=1, or the workers of a running Dask cluster.
    progress : callable
        (what, fraction done).

    Returns
    -------
    RecoveryRates

    Raises
    ------
    InputError
        Sizes or draws out of range, or nodes without inertia where a method needs it.
    UnknownNameError
        There is no such method.
    ClusterError
        The Dask scheduler does not answer or has no workers.

    References
    ----------
    H. Min, dissertation (2023), Assumption 3.2, which supposes that the share tends to 1.

    Examples
    --------
    >>> from coherence import BlockModel, recovery_rates
    >>> model = BlockModel([20, 20], [[0.8, 0.1], [0.1, 0.8]], [[10, 1], [1, 10]])
    >>> recovery_rates(model, methods=["bach_jordan", "pivoted_qr"], draws=5, n_jobs=1).frame.iloc[0].tolist()
    [1.0, 1.0]
    """
    if not isinstance(model, BlockModel):
        raise InputError(f"model is a {type(model).__name__}; give a BlockModel")
    require_random_nodes(nodes, missing_too=True)
    names = tuple(METHODS) if methods is None else (methods,) if isinstance(methods, str) else tuple(methods)
    for name in names:
        if name not in METHODS:
            raise UnknownNameError(unknown_name("method", name, tuple(METHODS)))
    if not names or len(set(names)) < len(names):
        raise InputError("methods is empty or holds one twice; give distinct methods of coherent_groups")
    count = require_draws(draws)
    given: list[Any] = [model.n] if sizes is None else [sizes] if np.isscalar(sizes) else list(sizes)
    models = [model.scaled(n) for n in given]
    if not models or len({m.n for m in models}) < len(models):
        raise InputError("sizes is empty or holds one twice; give distinct numbers of nodes")
    models.sort(key=lambda m: m.n)
    seeds = np.random.default_rng(random_state).spawn(len(models) * count)
    tasks = [(m, nodes, names, seeds[i * count + j]) for i, m in enumerate(models) for j in range(count)]
    tasks.reverse()  # the largest first: no process is left with a long one at the end
    found = np.array(each(_one, tasks, n_jobs=n_jobs, cluster=cluster, progress=progress, what="random networks")[::-1])
    found = found.reshape(len(models), count, len(names) + 1)
    index = pd.Index([m.n for m in models], name="n")
    rand, grouped = found[:, :, 1:], found[:, :, 1:] >= -1

    def table(values: Real) -> pd.DataFrame:
        return pd.DataFrame(values, index=index, columns=pd.Index(names, name="method"))

    return RecoveryRates(
        table((rand == 1.0).mean(axis=1)),
        table(np.where(grouped, rand, 0.0).mean(axis=1)),
        pd.Series(found[:, :, 0].sum(axis=1).astype(int), index=index, name="not connected"),
        table((~grouped).sum(axis=1)),
        count,
    )


def drawn_block_network(
    model: BlockModel, nodes: RandomNodes | None, random_state: np.random.Generator, coupling: Any = "1/s"
) -> Network | None:
    """One network of a block model; None where the graph falls apart."""
    own, edges = random_state.spawn(2)
    laplacian: Any = model.sample(edges)
    if model.n > 1 and components(laplacian).max() > 0:
        return None
    if model.n <= SMALL or (model.n <= DENSE_LIMIT and laplacian.nnz > FULL * model.n**2):
        laplacian = laplacian.toarray() if sp.issparse(laplacian) else laplacian
    made = swing(inertia=np.ones(model.n), damping=1.0) if nodes is None else nodes.draw(model.n, random_state=own)
    return Network(made, laplacian, coupling)


def found_groups(network: Network, k: int, method: str) -> Int | None:
    """The groups of a drawn network, numbered by their first node; None where its slow modes are not unique."""
    lacking = METHODS[method].weight == "inertia" and not (network.nodes.inertia > 0).all()
    try:
        return renumbered(coherent_groups(network, k, method=method).assignment)
    except InputError:
        if lacking:
            raise
        return None  # equal eigenvalues at the cut, or fewer distinct places than groups


def require_draws(draws: Any) -> int:
    """A number of draws >= 1."""
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise InputError(f"draws = {draws!r}; give a number of networks >= 1")
    return int(draws)


def require_random_nodes(nodes: Any, *, missing_too: bool = False) -> None:
    """Refuse what networks of any size cannot draw their nodes from."""
    if not (isinstance(nodes, RandomNodes) or (missing_too and nodes is None)):
        raise InputError(f"nodes is a {type(nodes).__name__}; give RandomNodes, a family with distributions of its coefficients")


def _one(model: BlockModel, nodes: RandomNodes | None, methods: tuple[str, ...], seed: np.random.Generator) -> Real:
    """Whether one draw falls apart, and each method's adjusted Rand index: 1 for the blocks and nothing else, -2 for no groups."""
    network = drawn_block_network(model, nodes, seed)
    if network is None:
        return np.array([1.0, *[-2.0] * len(methods)])
    row = [0.0]
    for method in methods:
        groups = found_groups(network, model.k, method)
        if groups is None:
            row.append(-2.0)
        else:
            exact = np.array_equal(groups, model.assignment)
            row.append(1.0 if exact else min(adjusted_rand(model.assignment, groups), 1.0 - 1e-12))
    return np.array(row)
