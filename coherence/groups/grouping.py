"""The value `Grouping`: a `Partition` that knows how it was found, around which nodes, and how certain each node's group is."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from coherence.graphs.partition import Partition
from coherence.types import Real

NAMED = 6  # groups whose sizes one line can hold
DOUBTFUL = 3  # nodes of least margin that are named
TIED = 1e-6  # margin below which rounding may decide


@dataclass(frozen=True, eq=False, repr=False)
class Grouping(Partition):
    """Coherent groups as a method found them; a `Partition`, so it goes wherever one goes. See `coherent_groups`.

    Attributes
    ----------
    labels, assignment, groups
        Of the partition; `series` is the labelled node -> group.
    method : str
    references : Series
        group -> node: the node nearest to the group's centre, or the pivot the group is built around.
    margins : Series
        node -> how certain its group is, from 0 (a tie with another group) to 1. Where groups have centres: 1 - own / next,
        distances in the embedding to the centre of the others of its group and to the nearest other centre; 1 for a node
        alone in its group and where there is one group only, 0 where another centre is nearer. Where they have pivots:
        1 - next / own, the node's two largest scores, which are the rows of the embedding.
    embedding : DataFrame
        node -> the coordinates that were clustered.
    eigenvalues : array
        Of the modes used, ascending, and the next one where there is one.
    unique : bool
        Whether the modes used are separated from the next one; if not, the grouping is one of many. Of single nodes that could as
        well be elsewhere see `ties`.

    Examples
    --------
    >>> import networkx as nx
    >>> from coherence import Network, coherent_groups, integrator
    >>> graph = nx.barbell_graph(3, 1)
    >>> network = Network.from_graph(graph, integrator(labels=list(map(str, graph))), "1")
    >>> found = coherent_groups(network, 2, method="pivoted_qr")
    >>> found.references.tolist(), found.margins[["0", "3"]].round(2).tolist()
    (['0', '5'], [0.92, 0.0])
    """

    method: str
    references: pd.Series
    margins: pd.Series
    embedding: pd.DataFrame
    eigenvalues: Real
    unique: bool

    @property
    def modes(self) -> int:
        """How many slow modes were used."""
        return int(self.embedding.shape[1])

    @property
    def ties(self) -> tuple[str, ...]:
        """Nodes of margin 0: another group is as near as their own, or nearer, so that their group is a choice."""
        return tuple(self.margins.index[self.margins <= TIED])

    @property
    def gap(self) -> float:
        """(lambda_{k+1} - lambda_k) / lambda_{k+1} of the k modes used: 0 where they are not separated, 1 where none is left."""
        if len(self.eigenvalues) == self.modes:
            return 1.0
        last, following = self.eigenvalues[self.modes - 1 :]
        return float((following - last) / following)

    @property
    def facts(self) -> dict[str, str]:
        """Method, spectrum, and what is least certain."""
        shown = ", ".join(f"{value:.4g}" for value in self.eigenvalues[: self.modes][:10]) + (", ..." if self.modes > 10 else "")
        following = "" if len(self.eigenvalues) == self.modes else f"; next {self.eigenvalues[-1]:.4g}, relative gap {self.gap:.2g}"
        out = {"method": self.method, "eigenvalues": shown + following}
        if not self.unique:
            out["not unique"] = f"eigenvalues {self.modes} and {self.modes + 1} are equal: this is one of many groupings"
        if self.ties:
            named = ", ".join(self.ties[:DOUBTFUL]) + (", ..." if len(self.ties) > DOUBTFUL else "")
            out["ties"] = f"{len(self.ties)} of {len(self.labels)} nodes are as near to another group, or nearer: {named}"
        least = self.margins.nsmallest(DOUBTFUL)
        if self.k > 1:
            out["least certain"] = ", ".join(f"{node} ({value:.2g})" for node, value in least.items()) + "; 0 is a tie, 1 certain"
        return out

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups with their references, least margins and members."""
        table = super().tables["groups"]
        least = pd.Series(self.margins.to_numpy()).groupby(self.assignment).min().to_numpy()
        table.insert(1, "reference", self.references.to_numpy())
        table.insert(2, "least margin", least)
        return {"groups": table}

    def __repr__(self) -> str:
        inside = ", ".join(f"{g}: {s}" for g, s in zip(self.groups[:NAMED], self.sizes[:NAMED], strict=True))
        more = ", ..." if self.k > NAMED else ""
        return f"Grouping({len(self.labels)} nodes in {self.k} groups by {self.method}; {inside}{more})"
