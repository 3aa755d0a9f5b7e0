r"""Proved bounds on how far each node is from the coherent response, for all time.

e_i(t) = y_i(t) - y_bar(t), y the response of the network to a disturbance and y_bar that of g_hat to its total. With
E = T - g_hat 11^T, a disturbance u0 times a signal of transform U, and an explicit p whose transform P makes E_i U - P
analytic on Re s >= sigma and
O(|s|^-2), the inverse Laplace transform gives

    |e_i(t)| <= |p_i(t)| + e^{sigma t} (1/pi) int_0^inf |E_i U - P_i|(sigma + jw) dw    for all t > 0.

sigma = 0 is uniform in time: T and g_hat stable, no zero of f on the axis. sigma > 0 needs analyticity to its right only and
holds on finite time. Signals and explicit parts are in `forcings`, the integral with the bound of its quadrature error in
`integrals`; sums of disturbances are bounded term by term.

**Theorem 3.3 corrected.** Printed, it bounds e for all t with e^{sigma} in place of e^{sigma t}, which is false: f = s/(s + 1),
g of 1/(s + 1) and 1/(s + 3), an exponential approach at one node and sigma = 1 meet its hypotheses, and the steady deviation is
.75 whatever lambda_2. The finite-horizon form here is what its proof proves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network, require_nodes
from coherence.numerics.rational import Rational
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.field import require_regular
from coherence.simulation.forcings import Forcing, forcing_of
from coherence.simulation.integrals import Integral
from coherence.simulation.steady import require_stable
from coherence.theory.coherent import coherent_dynamics
from coherence.types import ArrayLike, Complex, Real, real_vector

SHIFTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # over the horizon: trial values of sigma, to the right of all poles
MOST = 100_000


@dataclass(frozen=True, eq=False)
class Part:
    """What bounds the response to one term of a disturbance, in time from its first event."""

    forcing: Forcing
    values: list[Complex]
    last: Real
    a: float
    shift: float
    integral: Real  # (n,), with its 1/pi

    def at(self, time: Real) -> Real:
        """The bound at times, (N, n); zero before the first event."""
        out = np.zeros((len(time), len(self.integral)))
        begun = time >= self.forcing.start
        t = time[begun] - self.forcing.start
        explicit = np.abs(self.forcing.explicit(t, self.values, self.last, self.a))
        out[begun] = explicit + np.exp(self.shift * t)[:, None] * self.integral
        return out

    @property
    def explicit(self) -> Real:
        """A bound of sup |p_i|, (n,)."""
        return self.forcing.explicit_peak(self.values, self.last, self.a)

    def grown(self, horizon: float) -> Real:
        """The integral with its factor at the horizon, (n,); infinite beyond all numbers."""
        grown = self.shift * (horizon - self.forcing.start) if self.shift else 0.0
        return self.integral * float(np.exp(grown) if grown < 700 else np.inf)


@dataclass(frozen=True, eq=False, repr=False)
class Guarantee(Page):
    """A proved bound on the deviation of every node over time; see `deviation_guarantee`.

    Attributes
    ----------
    labels : tuple of str
        Nodes.
    parts : tuple of Part
        One per term of the disturbance.
    horizon : float
        Until when it holds [s]; infinite: for all t > 0.
    form : str
        Which bound it is.
    evaluations : int
        Of E, or of the bound on it.

    Examples
    --------
    >>> from coherence import Network, Step, deviation_guarantee, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> found = deviation_guarantee(network, Step({"1": 1.0}))
    >>> found.frame.shape, round(float(found.at([0.1]).loc[0.1, "1"]), 2)
    ((2, 3), 0.24)
    """

    labels: tuple[str, ...]
    parts: tuple[Part, ...]
    horizon: float
    form: str
    evaluations: int

    @property
    def frame(self) -> pd.DataFrame:
        """Node -> bound on |e_i(t)| over all time (or up to the horizon): integral + explicit part; in units of the outputs."""
        zero = np.zeros(len(self.labels))
        integral = np.sum([part.grown(self.horizon) for part in self.parts] + [zero], axis=0)
        explicit = np.sum([part.explicit for part in self.parts] + [zero], axis=0)
        columns = {"bound": integral + explicit, "integral": integral, "explicit": explicit}
        return pd.DataFrame(columns, index=pd.Index(self.labels, name="node"))

    @property
    def largest(self) -> float:
        """The largest bound of a node."""
        return float(self.frame["bound"].max())

    def at(self, time: ArrayLike) -> pd.DataFrame:
        """The bound on |e_i(t)| at times, one row per time and one column per node.

        Parameters
        ----------
        time : (N,) float
            In s, from 0 to the horizon.

        Raises
        ------
        InputError
            A time beyond the horizon or before 0.
        """
        t = real_vector(time, "time")
        if (t < 0).any() or (t > self.horizon).any():
            raise InputError(f"the bound holds for 0 <= t <= {self.horizon:g} s; there are times from {t.min():g} to {t.max():g} s")
        values = np.sum([part.at(t) for part in self.parts] + [np.zeros((len(t), len(self.labels)))], axis=0)
        return pd.DataFrame(values, index=pd.Index(t, name="time [s]"), columns=list(self.labels))

    @property
    def facts(self) -> dict[str, str]:
        """What one line says."""
        worst = self.frame["bound"].idxmax()
        until = "for all t > 0" if np.isinf(self.horizon) else f"for 0 < t <= {self.horizon:g} s"
        return {
            "form": self.form,
            "holds": until,
            "largest": f"{self.largest:.4g} at node {worst!r}",
            "evaluations": str(self.evaluations),
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The bounds, node by node."""
        return {"bound": self.frame}

    def __repr__(self) -> str:
        until = "all time" if np.isinf(self.horizon) else f"t <= {self.horizon:g} s"
        return f"Guarantee({len(self.labels)} nodes within {self.largest:.6g} of the coherent response for {until}; {self.form})"


def deviation_guarantee(
    network: Network, disturbance: Disturbance, *, gap: float = 0.05, horizon: float | None = None, most: int = MOST
) -> Guarantee:
    """How far each node can be from the coherent response, proved for all t > 0 (or up to a horizon).

    Parameters
    ----------
    network : Network
        Connected, dense work (up to a few hundred nodes), of rational nodes and with a rational coupling. Without `horizon`, T and
        g_hat must be stable, the sum of node inverses nonzero at 0, and f without zeros and poles on the axis but a pole at 0.
    disturbance : Disturbance
        Of any kind; a sum is bounded term by term.
    gap : float
        Of the integral of the largest node, relative: what its quadrature may add; >= 1e-4.
    horizon : float, optional
        Bound e only up to this time [s]: T need not be stable, f may have zeros on the axis. The bound grows with it.
    most : int
        Evaluations of E before it gives up, for each term.

    Returns
    -------
    Guarantee
        Bounds in units of the outputs [grids: rad/s]. Every inequality is proved; evaluations are taken to be right to 1e-9.

    Raises
    ------
    ToleranceError
        The gap is not met within `most` evaluations; what was reached stands in the message.
    InstabilityError
        T or g_hat has a pole in Re s >= 0 (without `horizon`).
    PoleError
        A zero or pole of f, or a pole of a node inverse, lies on the line of integration, or the node inverses cancel in their sum.
    InputError
        A horizon or gap that is none, a disturbance that is none, nodes or a coupling known by values only.
    UnknownNameError
        The disturbance names a node that the network does not have.
    DisconnectedError
        The network falls apart.

    References
    ----------
    Derived in the module; H. Min, dissertation (2023), Theorem 3.3, whose factor e^{sigma} must be e^{sigma t}.

    Examples
    --------
    >>> from coherence import Step, deviation_guarantee, linearize, load_case
    >>> found = deviation_guarantee(linearize(load_case("iceland")), Step({"Blanda 1": -0.1}))
    >>> round(found.largest, 1), found.frame["bound"].idxmax()
    (0.9, 'Blanda 1')
    """
    _require(network, disturbance, gap, horizon)
    until = np.inf if horizon is None else float(horizon)
    terms = [(part.vector(network), forcing_of(part, until)) for part in disturbance.terms]
    acting = [(shape, forcing) for shape, forcing in terms if forcing is not None and shape.any()]
    form = "uniform in time, E on the axis"
    if network.size == 1 or not acting:
        return Guarantee(network.labels, (), until, "nothing deviates", 0)
    if horizon is None:
        require_regular(network, 0.0)
        require_stable(network, "a bound for all time", "; give horizon= for a bound on finite time")
    parts, evaluations = [], 0
    for shape, forcing in acting:
        shift = 0.0 if horizon is None else _shift(network, shape, forcing, until, gap)
        found = Integral(network, shape, forcing, shift, gap, most).run()
        evaluations += found.evaluations
        parts.append(Part(forcing, found.values, found.last, found.a, shift, found.integral / np.pi))
        if shift:
            form = f"up to the horizon, E on Re s = {shift:.3g}"
    return Guarantee(network.labels, tuple(parts), until, form, evaluations)


def _require(network: Network, disturbance: Disturbance, gap: float, horizon: float | None) -> None:
    require_nodes(network, "a bound on the deviation")
    require_connected(network.laplacian, network.labels, "a bound on the deviation")
    network.nodes.require_rational("a bound on the deviation")
    if not isinstance(network.coupling, Rational):
        raise InputError("a bound on the deviation needs a rational coupling f; this one is known by its values only")
    if not isinstance(disturbance, Disturbance):
        raise InputError(f"the disturbance is a {type(disturbance).__name__}; give Step({{label: size}}) or another")
    if not (np.isfinite(gap) and gap >= 1e-4):
        raise InputError(f"gap = {gap}; give a number >= 1e-4")
    if horizon is not None and not (np.isfinite(horizon) and horizon > 0):
        raise InputError(f"horizon = {horizon}; give a time > 0 in s")
    if network.nodes.passive.any():
        raise InputError(
            "the network has passive nodes (g^-1 = 0), which have no bound; take network.kron_reduce() and "
            "disturbance.kron_reduced(network)"
        )


def rightmost(network: Network) -> float:
    """The largest real part of a pole of T or of the coherent dynamics, 0 at least."""
    poles = [one.realization.poles() for one in (network, coherent_dynamics(network))]
    return max([0.0, *(float(own[0].real) for own in poles if own.size)])


def _shift(network: Network, shape: Real, forcing: Forcing, horizon: float, gap: float) -> float:
    """The sigma of the smallest bound at the horizon, by the first points of the integral; always to the right of all poles."""
    last, span = rightmost(network), horizon - forcing.start
    best, chosen = np.inf, last * (1 + 1e-6) + SHIFTS[0] / span
    for factor in SHIFTS:
        sigma = last * (1 + 1e-6) + factor / span
        require_regular(network, sigma)
        start = Integral(network, shape, forcing, sigma, gap, 1)
        size = sigma * span + float(np.log(np.trapezoid(start.x, start.w, axis=0).max() + np.finfo(float).tiny))  # its logarithm
        if size < best:
            best, chosen = size, sigma
    return chosen
