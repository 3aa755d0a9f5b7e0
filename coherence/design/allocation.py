r"""An allocation of grid-forming storage: decided for the coherent dynamics, shared by nodes, checked on the full network.

    k_i = w_i k,   sum_i w_i = 1:   the aggregate under control is (g_hat^{-1} + k)^{-1} whatever the shares.

How m_v and d_v are found: `limits` and `sizing`; of inertia and droop one is scanned while the other is pinned, so that they are
enough, and not the least of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from coherence.design.figures import beside, exceeded, figures, of_aggregate, require_horizon
from coherence.design.robustness import local_small_gain
from coherence.design.sharing import Shares, node_weights, spread
from coherence.design.sizing import growing
from coherence.design.verification import Verification, compared
from coherence.display import Page
from coherence.errors import InputError
from coherence.network.network import Network, require_nodes, signal_names
from coherence.nodes.nodes import Nodes
from coherence.nodes.systems import to_control
from coherence.numerics.realization import Realization, cascade, parallel, pole_text
from coherence.simulation.disturbances import Disturbance, Step
from coherence.theory.coherent import COHERENT, coherent_dynamics
from coherence.theory.stability import stability
from coherence.types import Real

if TYPE_CHECKING:
    from control import StateSpace

    from coherence.design.limits import FrequencyLimits

PASSIVE = -1e-9  # of |k| at DC and beyond: an index that is rounding


@dataclass(frozen=True, eq=False, repr=False)
class Allocation(Page):
    """How much grid-forming storage, and its control law; see `allocate`.

    Attributes
    ----------
    inertia, droop : float
        m_v [pu s^2/rad] and d_v [pu s/rad]: what is enough, not the least of both. Both zero where the limits hold without control,
        or where shaping alone does.
    control : Nodes
        One node whose inverse is k(s): storage gives the power -k(s) y.
    table : DataFrame
        quantity -> limit, without control, with control (on the aggregate), binding. Sizes: deviations [rad/s], RoCoF at the start
        [rad/s^2], overshoot (of the steady state), power [pu] and energy [pu s] up to the horizon, inertia, droop.
    method : str
    limits : FrequencyLimits
    disturbance : Step
    aggregate, closed : Network
        The coherent dynamics that was designed for, without and with control.
    horizon : float
        Until when power and energy are counted [s].
    passivity_index : float
        inf Re k on the axis: k is passive where it is >= 0.
    idle : bool
        Whether nothing is needed: the aggregate alone is stable and keeps the limits.

    Examples
    --------
    >>> from coherence import FrequencyLimits, Network, Step, allocate, swing_turbine
    >>> nodes = swing_turbine(inertia=[1, 1], damping=0.1, inverse_droop=0.5, time_constant=4.0, labels=["a", "b"])
    >>> network = Network(nodes, [[3, -3], [-3, 3]], "1/s")
    >>> found = allocate(network, Step({"a": -1.0}), FrequencyLimits(nadir=1.0))
    >>> found
    Allocation(frequency shaping: k(s) = 0 s + 0 + h(0) - h(s), 1 states)
    >>> closed = found.applied(network, shares={"b": 1.0})
    >>> round(1 / abs(closed.nodes.inverse(0.0).sum()), 3), found.passivity_index >= 0
    (np.float64(0.833), True)
    """

    inertia: float
    droop: float
    control: Nodes
    table: pd.DataFrame
    method: str
    limits: FrequencyLimits
    disturbance: Step
    aggregate: Network
    closed: Network
    horizon: float
    passivity_index: float
    idle: bool

    def __repr__(self) -> str:
        if self.idle:
            return "Allocation(none: the limits hold without control)"
        how = self.method.replace("_", " ")
        if not self.control.banks:
            return f"Allocation({how}: k(s) = {self.inertia:.4g} s + {self.droop:.4g})"
        states = self.control.proper_part()[0].order
        return f"Allocation({how}: k(s) = {self.inertia:.4g} s + {self.droop:.4g} + h(0) - h(s), {states} states)"

    @property
    def passive(self) -> bool:
        """Whether k is passive, so that it leaves passive nodes passive whatever its shares."""
        return self.passivity_index >= PASSIVE * float(np.abs(self.control.polynomial).max(initial=1.0))

    @property
    def facts(self) -> dict[str, str]:
        """What was designed, and of which kind it is."""
        out = {
            "disturbance": self.disturbance.sentence,
            "designed for": f"an aggregate of {self.aggregate.order} states",
            "power and energy": f"up to {self.horizon:g} s",
        }
        if self.idle:
            return out | {"control": "none: the limits hold without it"}
        if (pole := growing(self.aggregate)) is not None:
            out["without control"] = f"the aggregate is not stable: its pole at {pole_text(pole)} 1/s does not die out"
        terms = " + h(0) - h(s)" if self.method == "frequency_shaping" else ""
        kind = "passive" if self.passive else "not passive, it may destabilise: look at check(full)"
        law = f"k(s) = {self.inertia:.4g} s + {self.droop:.4g}{terms}, {self.control.proper_part()[0].order} states"
        return out | {"control": law, "passivity": f"inf Re k = {self.passivity_index:.4g} on the axis: {kind}"}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Limits, and the aggregate without and with control."""
        return {"allocation": self.table}

    def weights(self, network: Network, *, shares: Shares = "inertia") -> Real:
        """w, (n,), summing to 1 over all nodes.

        Parameters
        ----------
        network : Network
        shares : "inertia", "equal" or node -> weight
            As the power of the storage at each node; nodes left out have none.

        Raises
        ------
        InputError
            Shares that are not weights, negative, or all zero.
        UnknownNameError
            A node that does not exist.
        """
        require_nodes(network, "sharing among nodes")
        w = node_weights(network, shares)
        if not w.sum() > 0:
            if isinstance(shares, str) and shares == "inertia":
                raise InputError("no node has inertia, by which it would be shared; give shares='equal', or node -> weight")
            raise InputError("no node has a share; give one of them a weight > 0")
        return np.asarray(w / w.sum())

    def applied(self, network: Network, *, shares: Shares = "inertia") -> Network:
        """The network under control: k_i = w_i k added to its nodes' inverses.

        Parameters and errors as for `weights`.
        """
        w = self.weights(network, shares=shares)
        return Network(network.nodes.plus(spread(self.control, w, network.labels)), network.laplacian, network.coupling)

    def check(
        self,
        full: Network,
        *,
        shares: Shares = "inertia",
        disturbance: Disturbance | None = None,
        window: float = 0.5,
        horizon: float | None = None,
        margin: bool = True,
    ) -> Verification:
        """The full network under this control, beside what was promised on the aggregate.

        Parameters
        ----------
        full : Network
        shares
            As for `weights`.
        disturbance : Disturbance, optional
            Of any kind, naming nodes of `full`; by default the step that was designed for.
        window : float
            Over which RoCoF is taken [s].
        horizon : float, optional
            Another than the allocation's [s].
        margin : bool
            Whether the small-gain margin is computed (some seconds for dozens of nodes), up to 800 states.

        Returns
        -------
        Verification
            Sizes over [0, horizon], steady states included: of the center of inertia (virtual inertia included), of the worst node,
            and of the exact coherent dynamics of `full` under control ("of the aggregate"), which tells what reducing h cost
            from what the network does beside its coherent motion (of a step, over all time). An unstable network is a result, with
            its mode; its figures are those up to the horizon. Targets are the limits, and of frequency shaping no overshoot; the
            first note names the limits that the full network exceeds by more than 0.1 %.

        Raises
        ------
        InputError
            Shares that are no weights; a network without inertia; a window longer than the horizon.
        UnknownNameError
            A disturbance that names a node `full` does not have.
        """
        require_nodes(full, "a check")
        if not full.nodes.inertia.any() and not self.control.polynomial[1:].any():
            raise InputError(
                "neither a node nor the storage has inertia, so there is no center of inertia to check; simulate "
                "allocation.applied(network, shares='equal') instead"
            )
        loss = self.disturbance if disturbance is None else disturbance
        w = self.weights(full, shares=shares)
        closed = Network(full.nodes.plus(spread(self.control, w, full.labels)), full.laplacian, full.coupling)
        exact = coherent_dynamics(closed)
        until = self.horizon if horizon is None else require_horizon(horizon)
        measure: dict[str, Any] = {"horizon": until, "window": window}
        found, response = figures(closed, self.control, w, loss, **measure)
        promised = of_aggregate(self.closed, self.control, loss, **measure)
        middle = of_aggregate(exact, self.control, loss, **measure)
        overshoot = 0.0 if self.method == "frequency_shaping" and not self.idle else None
        rows = beside(self.limits, overshoot, promised, middle, found, window)
        if isinstance(loss, Step):
            reduced, whole = (abs(loss.total) / float(network.nodes.inertia.sum()) for network in (self.closed, closed))
            rows = {"RoCoF at the start": (self.limits.rocof, reduced, whole)} | rows
        verdict = stability(closed)
        notes = (
            exceeded(rows, stable=verdict.stable),
            f"of {loss.sentence}, over [0, {until:g}] s and where it ends; aggregate and CoI after a step over all time",
            f"storage at {int((w > 0).sum())} of {full.size} nodes",
            "RoCoF at the start is that of the aggregate; a node where power is lost begins to fall faster",
        )
        safe = local_small_gain(full, self.aggregate, self.control, w) if margin and not self.idle else None
        return Verification(compared(rows), verdict, closed, response, safe, notes)

    def system(self, *, lag: float | None = None, label: str = COHERENT, name: str = "storage") -> StateSpace:
        """The controller in python-control: from w[label] (frequency deviation) to p[label] (injected power), -k(s)/(lag s + 1).

        Parameters
        ----------
        lag : float, optional
            Of a filter [s], without which k is improper where there is virtual inertia (it differentiates); small against the
            inertia's time constants, a few hundredths of a second in a grid. Left out: no filter.
        label : str
            Of the group whose storage it is; the names are those `close_loop` knows.
        name : str

        Raises
        ------
        InputError
            Virtual inertia and no lag, or a lag that is not positive.
        """
        law, _ = self.control.proper_part()
        polynomial = np.pad(self.control.polynomial[:, 0], (0, 1))
        droop, inertia = float(polynomial[0]), float(polynomial[1])
        if lag is None:
            if inertia:
                raise InputError(
                    "k(s) differentiates (virtual inertia), so it is no state space without a filter; give lag > 0 in s"
                )
            return _storage(law._replace(d=np.array([[droop]])), label, name)
        if isinstance(lag, (bool, complex)) or not isinstance(lag, (int, float, np.number)) or not 0 < lag < np.inf:
            raise InputError(f"lag = {lag!r}; give a time > 0 in s")
        at_once, rate = inertia / lag, np.array([[-1.0 / lag]])
        one, zero = np.ones((1, 1)), np.zeros((1, 1))
        plain = Realization(rate, one, (droop - at_once) * one / lag, at_once * one)
        return _storage(parallel(plain, cascade(law, Realization(rate, one, one / lag, zero))), label, name)


def _storage(k: Realization, label: str, name: str) -> StateSpace:
    states = [f"x[{i}]" for i in range(k.order)]
    named = {"inputs": signal_names([f"w[{label}]"]), "outputs": signal_names([f"p[{label}]"])}
    return to_control(k._replace(c=-k.c, d=-k.d), **named, states=states, name=name)
