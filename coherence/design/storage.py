r"""Storage at a node as what it adds to the node's inverse dynamics: g_i^{-1} + theta_i k(s).

    inertia   k = s                  theta [pu s^2/rad]   power against the rate of change of the node's frequency
    damping   k = 1                  theta [pu s/rad]     power against its frequency
    droop     k = 1 / (tau s + 1)    theta [pu s/rad]     the same through a turbine or an inverter with time constant tau

The change of T to first order is dT/dtheta_i = -T e_i k e_i^T T, which is what `energy` and `extreme` differentiate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.errors import InputError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization
from coherence.types import Real

UNITS = {"inertia": "pu s^2/rad", "damping": "pu s/rad", "droop": "pu s/rad"}


@dataclass(frozen=True)
class Storage:
    """What storage adds to a node's inverse, per unit of its size.

    Parameters
    ----------
    by : str
        "inertia", "damping" or "droop".
    time_constant : float, optional
        Of "droop" [s]; > 0.
    """

    by: str
    time_constant: float | None = None

    def __post_init__(self) -> None:
        if self.by not in UNITS:
            raise InputError(f"by = {self.by!r}; give 'inertia', 'damping' or 'droop'")
        tau = self.time_constant
        if self.by != "droop":
            if tau is not None:
                raise InputError(f"a time constant belongs to by='droop'; leave it out with by={self.by!r}")
        elif isinstance(tau, bool) or not isinstance(tau, (int, float, np.number)) or not 0 < tau < np.inf:
            raise InputError(f"droop acts through a lag: time_constant = {tau!r}; give one > 0 in s, or take by='damping'")

    @property
    def lag(self) -> float:
        """The time constant; 0 for what acts at once."""
        return float(self.time_constant or 0.0)

    @property
    def sentence(self) -> str:
        """K in words, with the unit of theta."""
        what = {"inertia": "theta s", "damping": "theta", "droop": f"theta / ({self.lag:g} s + 1)"}[self.by]
        return f"{what} added to 1/g, theta in {UNITS[self.by]}"

    def added(self, network: Network, sizes: Real) -> Network:
        """The network with theta_i = sizes[i], (n,)."""
        n = network.size
        if self.by == "droop":
            one = Realization(np.array([[-1.0 / self.lag]]), np.ones((1, 1)), np.ones((1, 1)) / self.lag, np.zeros((1, 1)))
            sections = [(int(i), one._replace(c=one.c * sizes[i])) for i in np.flatnonzero(sizes)]
            extra = Nodes(network.labels, np.zeros((1, n)), make_banks(sections))
        else:
            rows = [np.zeros(n), sizes] if self.by == "inertia" else [sizes]
            extra = Nodes(network.labels, np.array(rows))
        return Network(network.nodes.plus(extra), network.laplacian, network.coupling)
