r"""How groups move when the network does: outages, inertias that are not known exactly, or any variants of a network.

A variant's groups are matched to the base's so that as many nodes as possible keep their group (the assignment problem on the
counts of common nodes); a node whose variant group is matched to another group than its own, or to none, has moved. The adjusted
Rand index

    (pairs together in both - expected) / (mean of pairs together in either - expected)

is 1 where no pair changes, 0 on average for groups drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.clustering import adjusted_rand
from coherence.graphs.laplacian import components
from coherence.groups.grouping import Grouping
from coherence.groups.spectral import coherent_groups
from coherence.network.network import Network, require_nodes
from coherence.types import Int

SHOWN = 5  # variants and nodes that move most


@dataclass(frozen=True, eq=False, repr=False)
class GroupStability(Page):
    """How groups move over variants of a network; see `group_changes`.

    Attributes
    ----------
    base : Grouping
        Of the network itself.
    rand : Series
        variant -> adjusted Rand index of its groups against the base's, over the nodes it has.
    kept : Series
        node -> share of the variants that have it in which it keeps its group; nan where none has it.
    ungrouped : Series
        variant -> why it has no groups: it falls apart, or its grouping is not unique.

    Examples
    --------
    >>> from coherence import group_changes, inertia_draws, linearize, load_case
    >>> network = linearize(load_case("nets_nyps68"), convention="classical")
    >>> group_changes(network, inertia_draws(network, 10), 5, method="slow_coherency")
    GroupStability(16 nodes in 5 groups by slow_coherency; 10 of 10 variants grouped, the same in 10)
    """

    base: Grouping
    rand: pd.Series
    kept: pd.Series
    ungrouped: pd.Series

    @property
    def unchanged(self) -> int:
        """Variants whose groups are the base's."""
        return int((self.rand == 1.0).sum())

    @property
    def facts(self) -> dict[str, str]:
        """The least stable nodes and what has no groups."""
        out = {}
        if len(self.rand):
            out["adjusted Rand index"] = f"least {self.rand.min():.3g} ({self.rand.idxmin()}), median {self.rand.median():.3g}"
            moved = self.kept[self.kept < 1].nsmallest(SHOWN)
            shown = ", ".join(f"{node} keeps its group in {share:.0%}" for node, share in moved.items())
            out["nodes that move"] = shown or "none"
        if len(self.ungrouped):
            shown = ", ".join(map(str, self.ungrouped.index[:SHOWN])) + (", ..." if len(self.ungrouped) > SHOWN else "")
            out["without groups"] = f"{len(self.ungrouped)}: {shown}"
        return out

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Nodes with their stability, variants by how much they change, and variants without groups."""
        nodes = pd.DataFrame({"group": self.base.series, "kept": self.kept, "margin": self.base.margins})
        variants = self.rand.sort_values(kind="stable").to_frame()
        return {"nodes": nodes.rename_axis("node"), "variants": variants, "without groups": self.ungrouped.to_frame()}

    def __repr__(self) -> str:
        return (
            f"GroupStability({len(self.base.labels)} nodes in {self.base.k} groups by {self.base.method}; {len(self.rand)} of "
            f"{len(self.rand) + len(self.ungrouped)} variants grouped, the same in {self.unchanged})"
        )


def group_changes(
    network: Network,
    variants: Mapping[str, Network | InputError] | Iterable[tuple[str, Network | InputError]],
    k: int | str = "auto",
    *,
    method: str = "bach_jordan",
    random_state: int = 0,
    tolerance: float | None = None,
) -> GroupStability:
    """Groups of variants of a network against its own.

    Parameters
    ----------
    network : Network
        The base.
    variants : mapping of str to Network, or pairs
        Networks of the same nodes or of fewer, by name; pairs may be made one by one (`edge_outages`, `inertia_draws`). An
        InputError stands for a network that there cannot be, and is told among those without groups.
    k : int or "auto"
        Number of slow modes; with "auto" the base's is every variant's.
    method, random_state, tolerance : see `coherent_groups`

    Returns
    -------
    GroupStability

    Raises
    ------
    InputError
        No variants, two of one name, one with a node that the base lacks; what `coherent_groups` refuses of the base.

    Examples
    --------
    >>> from coherence import edge_outages, group_changes, linearize, load_case
    >>> network = linearize(load_case("two_area"))
    >>> group_changes(network, edge_outages(network), 2, method="slow_coherency").kept.round(2).tolist()
    [1.0, 0.83, 1.0, 0.83]
    """
    base = coherent_groups(network, k, method=method, random_state=random_state, tolerance=tolerance)
    place = {label: i for i, label in enumerate(base.labels)}
    rand: dict[str, float] = {}
    ungrouped: dict[str, str] = {}
    kept, present = np.zeros(len(place)), np.zeros(len(place))
    for name, variant in variants.items() if isinstance(variants, Mapping) else variants:
        if not isinstance(variant, (Network, InputError)):
            raise InputError(f"variant {name!r} is a {type(variant).__name__}; give a Network")
        if name in rand or name in ungrouped:
            raise InputError(f"two variants are named {name!r}; give each its own name")
        if isinstance(variant, InputError):
            ungrouped[name] = str(variant)
            continue
        odd = next((label for label in variant.labels if label not in place), None)
        if odd is not None:
            raise InputError(f"variant {name!r} has a node {odd!r}, which the network lacks; variants have its nodes or fewer")
        try:
            found = coherent_groups(variant, base.modes, method=method, random_state=random_state, tolerance=tolerance)
        except InputError as reason:  # of this variant: the arguments have served for the base
            ungrouped[name] = str(reason)
            continue
        at = np.array([place[label] for label in found.labels])
        rand[name] = adjusted_rand(base.assignment[at], found.assignment)
        present[at] += 1
        kept[at] += matched(base.assignment[at], found.assignment) == base.assignment[at]
    if not rand and not ungrouped:
        raise InputError("there are no variants; give a mapping of names to networks, such as dict(edge_outages(network))")
    share = np.where(present > 0, kept / np.maximum(present, 1), np.nan)
    return GroupStability(
        base,
        pd.Series(rand, dtype=float, name="rand").rename_axis("variant"),
        pd.Series(share, index=pd.Index(base.labels, name="node"), name="kept"),
        pd.Series(ungrouped, dtype=object, name="reason").rename_axis("variant"),
    )


def matched(base: Int, other: Int) -> Int:
    """For each node the base group that its other group stands for, -1 for none, so that most nodes agree.

    Examples
    --------
    >>> import numpy as np
    >>> matched(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 2]))
    array([ 0,  0,  1, -1])
    """
    from scipy.optimize import linear_sum_assignment

    common = np.zeros((int(base.max()) + 1, int(other.max()) + 1))
    np.add.at(common, (base, other), 1)
    mine, theirs = linear_sum_assignment(common, maximize=True)
    stands = np.full(common.shape[1], -1)
    stands[theirs] = mine
    return stands[other]


def edge_outages(network: Network, *, eliminate: bool = False) -> Iterator[tuple[str, Network | InputError]]:
    """The networks without one edge each, as pairs (name "a - b", network), made one by one.

    Parameters
    ----------
    network : Network
        Of nodes; grids: with its buses kept (`linearize(case, passive="keep")`), so that edges are lines (parallel ones together).
    eliminate : bool
        Eliminate passive nodes after the outage, as methods with inertia need, so that all networks are of the same nodes. What
        falls apart stays apart.

    Returns
    -------
    iterator of (str, Network)
        Where some weights are negative, an outage may leave an indefinite Laplacian; in the network's place then stands the
        InputError that says so.

    Examples
    --------
    >>> from coherence import edge_outages, linearize, load_case
    >>> outages = dict(edge_outages(linearize(load_case("new_england39"), passive="keep"), eliminate=True))
    >>> len(outages), {outage.size for outage in outages.values()}
    (46, {10})
    """
    require_nodes(network, "an outage")
    matrix = network.laplacian
    edges = sp.coo_array(sp.triu(sp.csr_array(matrix), 1))
    for i, j, entry in zip(edges.row.tolist(), edges.col.tolist(), edges.data.tolist(), strict=True):
        if entry == 0:
            continue
        change = sp.coo_array(([entry, entry, -entry, -entry], ([i, j, i, j], [i, j, j, i])), shape=matrix.shape)
        if sp.issparse(matrix):
            left = sp.csr_array(matrix + change)
            left.eliminate_zeros()
        else:
            left = matrix + change.toarray()
        variant: Network | InputError
        try:
            variant = Network(network.nodes, left, network.coupling)
            variant = _eliminated(variant) if eliminate else variant
        except InputError as reason:  # of this outage: the others go on
            variant = reason
        yield f"{network.labels[i]} - {network.labels[j]}", variant


def _eliminated(network: Network) -> Network:
    """Without passive nodes, also where these are cut off with no other."""
    part = components(network.laplacian)
    served = np.flatnonzero(np.isin(part, part[~network.nodes.passive]))
    return (network if len(served) == network.size else network.subnetwork(served)).kron_reduce()


def inertia_draws(
    network: Network, draws: int = 20, *, spread: float = 0.2, random_state: int = 0
) -> Iterator[tuple[str, Network]]:
    """Networks with every node's inertia multiplied by its own factor, uniform in 1 +- spread, as pairs (name, network).

    Parameters
    ----------
    network : Network
        Of nodes.
    draws : int
        How many.
    spread : float
        0 <= spread < 1.
    random_state : int
        Seed; each draw has its own, so that the first ten of twenty are those of ten.

    Returns
    -------
    iterator of (str, Network)

    Raises
    ------
    InputError
        draws or spread out of range; no node with inertia.

    Examples
    --------
    >>> from coherence import inertia_draws, linearize, load_case
    >>> network = linearize(load_case("two_area"))
    >>> [(name, (drawn.nodes.inertia / network.nodes.inertia).round(2).tolist()) for name, drawn in inertia_draws(network, 1)]
    [('draw 1', [1.05, 0.91, 0.82, 0.81])]
    """
    require_nodes(network, "a draw of inertias")
    for name, value, least in (("draws", draws, 1), ("random_state", random_state, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} = {value!r}; give an integer >= {least}")
    if not isinstance(spread, (int, float, np.number)) or not 0 <= spread < 1:
        raise InputError(f"spread = {spread!r}; give a number >= 0 and < 1, such as 0.2")
    if not (network.nodes.inertia != 0).any():
        raise InputError("no node of the network has inertia, so that there is none to draw")
    return _inertia_draws(network, int(draws), float(spread), int(random_state))


def _inertia_draws(network: Network, draws: int, spread: float, random_state: int) -> Iterator[tuple[str, Network]]:
    for i in range(draws):
        polynomial = network.nodes.polynomial.copy()
        polynomial[1] *= np.random.default_rng([random_state, i]).uniform(1 - spread, 1 + spread, polynomial.shape[1])
        yield f"draw {i + 1}", Network(replace(network.nodes, polynomial=polynomial), network.laplacian, network.coupling)
