r"""How what is decided for a group is shared by its nodes, and what is measured of a group.

    u_i = sum_g W_ig p_g,     1^T W e_g = 1 over the nodes of g,            v_g = sum_i C_gi y_i

so that the reduced network sees p_g whole. Measured with the weights of the shares, C = W^T, power and measurement are collocated:
what is passive at the groups is passive at the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.nodes import Bank, Nodes
from coherence.types import Real

RULES = ("inertia", "equal")
Shares = str | Mapping[str, float] | pd.Series


def shared(network: Network, partition: Partition, shares: Shares, what: str = "shares") -> Real:
    """W (n, k): how the nodes of each group share, columns summing to 1 (to 0 where no node of the group has a weight).

    `shares` is "inertia", "equal" (nodes with dynamics) or node -> weight, as the power of the storage at it; others have none.

    Raises
    ------
    InputError
        An unknown rule, a negative weight, or a partition of other nodes.
    UnknownNameError
        A weight of a node that does not exist.
    """
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    weights = node_weights(network, shares, what)
    own = partition.indicator * weights[:, None]
    total = own.sum(axis=0)
    return np.asarray(own / np.where(total > 0, total, 1.0))


def spread(law: Nodes, weights: Real, labels: Sequence[str]) -> Nodes:
    """Inverses w_i k for a network's nodes, k that of the one node of `law`; added by `Nodes.plus`."""
    own = np.flatnonzero(weights)
    banks = tuple(
        Bank(
            np.tile(own, len(bank.owner)),
            np.repeat(bank.a, own.size, axis=0),
            np.repeat(bank.b, own.size, axis=0),
            np.repeat(bank.c, own.size, axis=0) * np.tile(weights[own], len(bank.owner))[:, None],
        )
        for bank in law.banks
    )
    return Nodes(tuple(labels), law.polynomial * weights, banks)


def node_weights(network: Network, shares: Shares, what: str = "shares") -> Real:
    """The weight of every node by a rule, (n,), not yet summing to anything."""
    if isinstance(shares, str):
        if shares not in RULES:
            raise InputError(f"{what} = {shares!r}; give 'inertia', 'equal', or node -> weight")
        if shares == "equal":
            return (~network.nodes.passive).astype(float)
        weights = network.nodes.inertia.copy()
        if (weights < 0).any():
            bad = int(weights.argmin())
            raise InputError(f"node {network.labels[bad]!r} has inertia {weights[bad]:.4g}: no weight for {what}; give weights")
        return weights
    if not isinstance(shares, (Mapping, pd.Series)):
        raise InputError(f"{what} is a {type(shares).__name__}; give 'inertia', 'equal', or node -> weight")
    weights = np.zeros(network.size)
    for label, value in dict(shares).items():
        if isinstance(value, (bool, complex)) or not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
            raise InputError(f"the weight of node {label!r} in {what} is {value!r}; give a number >= 0")
        weights[network.index(str(label))] = float(value)
    return weights
