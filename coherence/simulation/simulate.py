r"""Step responses of networks, exactly at the sampled times.

A step u held constant makes x(t + h) = e^{Ah} x(t) + (integral of e^{Av} dv over [0, h]) B u; both come from one exponential
of the augmented matrix [[A, B u], [0, 0]] h, so the only error is rounding. The center of inertia is sum m_i y_i / sum m_i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.linalg as sla

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.nodes.systems import to_time_response
from coherence.types import Real, real_vector

if TYPE_CHECKING:
    import control

LARGEST = 1e9  # squares of responses must stay numbers


@dataclass(frozen=True)
class Step:
    """A power step at t = 0, held: label -> size [pu; grids: of base_mva, negative is a loss of generation].

    Examples
    --------
    >>> Step({"Blanda 1": -0.38})
    Step(sizes={'Blanda 1': -0.38})
    """

    sizes: Mapping[str, float]

    def vector(self, network: Network) -> Real:
        """U of the network, shape (n,); an unknown node is an error."""
        u = np.zeros(network.size)
        for label, size in self.sizes.items():
            if isinstance(size, complex) or not isinstance(size, (int, float, np.number)) or not np.isfinite(size):
                raise InputError(f"the step at {label!r} has size {size!r}; give a finite number")
            if abs(size) > LARGEST:
                raise InputError(
                    f"the step at {label!r} has size {size:g}; responses are linear, give one of at most {LARGEST:g} pu"
                )
            u[network.index(label)] += size
        return u

    def grouped(self, partition: Partition) -> Step:
        """The step that the aggregated network sees, P^T u."""
        sizes: dict[str, float] = {}
        for label, size in self.sizes.items():
            group = partition.group_of(label)
            sizes[group] = sizes.get(group, 0.0) + size
        return Step(sizes)

    @property
    def sentence(self) -> str:
        """The step in words."""
        return " and ".join(f"{size:g} pu at {label!r}" for label, size in self.sizes.items())

    @property
    def total(self) -> float:
        """Sum of the sizes."""
        return float(sum(self.sizes.values()))


@dataclass(frozen=True, eq=False, repr=False)
class Response(Page):
    """Outputs over time.

    Attributes
    ----------
    frame : DataFrame
        Index t [s], one column per node [grids: rad/s].
    inertia : (n,) array
        Weights of the center of inertia, in column order (zero where a node has none).

    Examples
    --------
    >>> from coherence import Step, linearize, load_case, simulate
    >>> response = simulate(linearize(load_case("iceland")), Step({"Blanda 1": -0.1}))
    >>> round(float(response.coi.min()), 3)
    -0.392
    """

    frame: pd.DataFrame
    inertia: Real

    @property
    def time(self) -> Real:
        """T [s]."""
        return self.frame.index.to_numpy(dtype=float)

    @property
    def coi(self) -> pd.Series:
        """Center of inertia, sum m_i y_i / sum m_i."""
        if not self.inertia.sum() > 0:
            raise InputError("the outputs have no inertia, so there is no center of inertia")
        weights = self.inertia / self.inertia.sum()
        return pd.Series(self.frame.to_numpy() @ weights, index=self.frame.index, name="CoI")

    def to_control(self) -> control.TimeResponseData:
        """The response as python-control time response data."""
        return to_time_response(self.time, self.frame.to_numpy(), labels=list(self.frame.columns), title=repr(self))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Where every output ends, its extremes and when."""
        t, y = self.time, self.frame
        columns = {"least": y.min(), "at [s]": t[y.to_numpy().argmin(axis=0)], "largest": y.max(), "final": y.iloc[-1]}
        return {"outputs": pd.DataFrame(columns).rename_axis("node")}

    def __repr__(self) -> str:
        t = self.time
        return f"Response({self.frame.shape[1]} nodes, {len(t)} samples over [0, {t[-1]:g}] s)"


def simulate(network: Network, disturbance: Step, time: object = None) -> Response:
    """The response of a network at rest to a step.

    Parameters
    ----------
    network : Network
    disturbance : Step
    time : (N,) array, optional
        Equally spaced, from 0 [s]; default 0..30 s in 0.02 s.

    Returns
    -------
    Response
        One column per node [grids: rad/s], one row per time.

    Raises
    ------
    UnknownNameError
        The step names a node that the network does not have.
    InputError
        Times that do not start at 0 or are not equally spaced.

    Examples
    --------
    >>> from coherence import Step, linearize, load_case, simulate
    >>> simulate(linearize(load_case("five_generators")), Step({"five_generators": -0.1}))
    Response(1 nodes, 1501 samples over [0, 30] s)
    """
    if not isinstance(disturbance, Step):
        raise InputError(f"the disturbance is a {type(disturbance).__name__}; give Step({{label: size}})")
    t = np.linspace(0.0, 30.0, 1501) if time is None else real_vector(time, "time")
    if len(t) < 2 or t[0] != 0 or not np.allclose(np.diff(t), t[1], rtol=1e-6, atol=0) or t[1] <= 0:
        raise InputError("time must start at 0 and be equally spaced, with at least two samples")
    system, u = network.realization, disturbance.vector(network)
    n = system.order
    generator = np.zeros((n + 1, n + 1))
    generator[:n, :n], generator[:n, n] = system.a, system.b @ u
    stepper = sla.expm(generator * t[1])
    x = np.zeros((len(t), n + 1))
    x[0, n] = 1.0
    for i in range(1, len(t)):
        x[i] = stepper @ x[i - 1]
    y = x[:, :n] @ system.c.T + system.d @ u
    inertia = network.nodes.inertia if network.basis is None else np.zeros(network.size)
    return Response(pd.DataFrame(y, index=pd.Index(t, name="time [s]"), columns=list(network.labels)), inertia)
