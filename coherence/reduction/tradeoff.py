r"""How the error of a reduced network falls with the number of groups, and what no number of groups can do.

For every k: an error that no model of k groups goes below (`search`: with proof), the least that the groups found can have, and
what they have when joined by the quotient P^T L P or by weights fitted over the band. Sampled; `reduce` certifies.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from coherence.errors import InputError
from coherence.groups.spectral import require_seed
from coherence.network.network import Network
from coherence.numerics.balancing import Band
from coherence.reduction.interconnection import band_samples, fitted_laplacian
from coherence.reduction.search import GroupSearch, Samples, least_errors
from coherence.theory.certificate import require_certifiable
from coherence.theory.damping import require_damped


def errors_by_groups(
    network: Network,
    *,
    band: tuple[float, float] | Band,
    groups: int | Iterable[int] | None = None,
    outputs: str = "nodes",
    decay: float = 0.0,
    fitted: bool = True,
    random_state: int = 0,
) -> pd.DataFrame:
    """Errors of reduced networks over a band by their number of groups, all states kept.

    Parameters
    ----------
    network : Network
        Connected, of rational nodes, at most 1000.
    band : (low, high) or Band
        rad/s.
    groups : int or iterable of int, optional
        Numbers of groups; by default 1 to 10, or to the number of nodes.
    outputs : "nodes" or "groups"
        See `certified_error`.
    decay : float
        Errors are taken at s = decay + j omega [1/s].
    fitted : bool
        Whether weights are fitted, seconds for each number of groups.
    random_state : int

    Returns
    -------
    DataFrame
        Number of groups -> largest relative error at the samples: "any groups" (no model of one node per group goes below; 0
        where `outputs="groups"`, of which nothing is known), "these groups" (the least of any model of the groups that were found,
        whatever its nodes and interconnection), "quotient", and "fitted", with the groups best for each.

    Raises
    ------
    InputError
        A band that is none, a number of groups out of range, nodes known by their response, too many nodes, or an undamped mode in
        the band where decay = 0.
    DisconnectedError
        The network falls apart.

    References
    ----------
    C. Eckart and G. Young, The approximation of one matrix by another of lower rank (1936); S. Parrott, On a quotient norm and the
    Sz.-Nagy-Foias lifting theorem (1978).

    Examples
    --------
    >>> from coherence import errors_by_groups, linearize, load_case
    >>> found = errors_by_groups(linearize(load_case("iceland")), band=(0, 3), groups=[1, 4], fitted=False)
    >>> bool((found["any groups"] <= found["these groups"]).all() and (found["these groups"] <= found["quotient"]).all())
    True
    """
    limits, n = Band.of(band), network.size
    require_certifiable(network, "errors by groups")
    require_damped(network, limits, decay)
    require_seed(random_state)
    if groups is not None and not isinstance(groups, Iterable):
        groups = [groups]
    counts = list(range(1, min(n, 10) + 1)) if groups is None else list(groups)
    for k in counts:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
            raise InputError(f"groups contains {k!r}; give numbers from 1 to {n}")
    samples = Samples(network, band_samples(network, limits), decay=decay, outputs=outputs)
    search, floor = GroupSearch(samples, random_state), least_errors(samples)
    rows = {}
    for k in counts:
        partitions = search.at(int(k))
        row = {
            "any groups": floor[k - 1],
            "these groups": min(samples.floors(p).max() for p in partitions),
            "quotient": min(samples.quotient_errors(p).max() for p in partitions),
        }
        if fitted:
            fits = [fitted_laplacian(network, p, band=limits, decay=decay).network for p in partitions] if 1 < k < n else []
            errors = [
                samples.errors(p, samples.inverses(fit), fit.dense_laplacian).max()
                for p, fit in zip(partitions, fits, strict=False)
            ]
            row["fitted"] = min([row["quotient"], *errors])
        rows[int(k)] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="groups")
