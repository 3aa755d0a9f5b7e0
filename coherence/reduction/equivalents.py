r"""One swing equation with one turbine per node, by averages of the literature: what truncation and fits are measured against.

    g^{-1} = m s + d + sum_i r_i^{-1}/(tau_i s + 1)   ->   m s + d + r^{-1}/(tau s + 1),   r^{-1} = sum_i r_i^{-1}

    germond_podmore          tau = sum r_i^{-1} / sum (r_i^{-1}/tau_i)     the turbines' asymptote at high frequency
    weighted_time_constant   tau = sum (r_i^{-1} tau_i) / sum r_i^{-1}     their gain and first moment at DC

Inertia, damping and the DC gain are exact either way. The row "Guggilam et al." of the source's Table 3-II (unit step on the five
generators: L2 7.2956, Linf 3.8287, Hinf 10.2748) is not offered under that name: the source does not give its formula, and no
single tau gives the three figures within 2.4 % (tau = 3.66 s gives 7.299, 3.830 and 10.80); the other rows are met within 1 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coherence.errors import InputError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Bank, Nodes
from coherence.types import Int, Real

#: gains r_i^{-1}, time constants tau_i, their nodes and the number of nodes -> one time constant per node (NaN without turbines)
Average = Callable[[Real, Real, Int, int], Real]


def _asymptote(gains: Real, constants: Real, owner: Int, n: int) -> Real:
    return np.bincount(owner, gains, n) / np.bincount(owner, gains / constants, n)


def _moment(gains: Real, constants: Real, owner: Int, n: int) -> Real:
    return np.bincount(owner, gains * constants, n) / np.bincount(owner, gains, n)


METHODS: dict[str, Average] = {"germond_podmore": _asymptote, "weighted_time_constant": _moment}


def equivalent_generators(network: Network, *, method: str = "germond_podmore") -> Network:
    """Replace the first-order turbines of every node by one.

    Parameters
    ----------
    network : Network
        Of nodes m s + d + first-order lags of positive gain, typically one per group (`aggregate`) or one (`coherent_dynamics`).
    method : "germond_podmore" or "weighted_time_constant"
        Which average of the time constants; see the module.

    Returns
    -------
    Network
        The same labels, Laplacian, coupling, inertia and damping; nodes without turbines as they were.

    Raises
    ------
    InputError
        An unknown method, or a turbine that is no first-order lag of positive gain (its node is named); `fit_generators` takes any.

    Notes
    -----
    The baselines of H. Min, dissertation (2023), Table 3-II, without the row "Guggilam et al.", whose formula is not in the source;
    no single time constant gives its three figures.

    References
    ----------
    A. Germond, R. Podmore, Dynamic aggregation of generating unit models, IEEE Trans. Power Apparatus and Systems PAS-97 (1978).

    Examples
    --------
    >>> from coherence import equivalent_generators, linearize, load_case, read_generators
    >>> network = equivalent_generators(linearize(load_case("five_generators")))
    >>> read_generators(network.nodes)["turbines"].iloc[0]
    '0.1157/(4.334 s + 1)'
    """
    if method not in METHODS:
        raise InputError(f"method = {method!r}; give {' or '.join(map(repr, METHODS))}")
    require_nodes(network, "an equivalent generator")
    nodes = network.nodes
    nodes.require_rational("an equivalent generator")
    gains, constants, owner = lags(nodes)
    gain: Real = np.bincount(owner, gains, len(nodes)).astype(float)
    having = np.flatnonzero(gain)
    if not having.size:
        return Network(Nodes(nodes.labels, nodes.polynomial), network.laplacian, network.coupling)
    with np.errstate(invalid="ignore"):  # nodes without turbines: 0/0
        tau = METHODS[method](gains, constants, owner, len(nodes))[having]
    bank = Bank(having, -1.0 / tau[:, None, None], (1.0 / tau)[:, None], gain[having, None])
    return Network(Nodes(nodes.labels, nodes.polynomial, (bank,)), network.laplacian, network.coupling)


def lags(nodes: Nodes) -> tuple[Real, Real, Int]:
    """Gains r_i^{-1}, time constants tau_i and owners of the turbines; one that is no lag of positive gain is an error."""
    for bank in nodes.banks:
        if bank.order > 1 and bank.owner.size:
            raise InputError(
                f"node {nodes.labels[bank.owner[0]]!r} has a turbine of order {bank.order}, which has no time constant to average; "
                "linearize with governors='one_lag', or use truncate or fit_generators"
            )
    simple = [bank for bank in nodes.banks if bank.order == 1]
    owner = np.concatenate([bank.owner for bank in simple]).astype(int) if simple else np.zeros(0, dtype=int)
    pole = np.concatenate([bank.a[:, 0, 0] for bank in simple]) if simple else np.zeros(0)
    residue = np.concatenate([bank.b[:, 0] * bank.c[:, 0] for bank in simple]) if simple else np.zeros(0)
    kept = residue != 0
    owner, pole, residue = owner[kept], pole[kept], residue[kept]
    odd = np.flatnonzero((pole >= 0) | (residue < 0))
    if odd.size:
        i = odd[0]
        what = f"a turbine pole at {pole[i]:.4g}" if pole[i] >= 0 else f"the negative turbine gain {-residue[i] / pole[i]:.4g}"
        raise InputError(f"node {nodes.labels[owner[i]]!r} has {what}, which no average replaces; use truncate or fit_generators")
    return -residue / pole, -1.0 / pole, owner
