r"""How much grid-forming storage a grid needs for its frequency limits, decided on the coherent dynamics (of a reduced network).

Storage that answers to its own frequency adds to the inverse of its node, and aggregates add up: with k_i = w_i k, sum_i w_i = 1,

    g_hat^{-1} = m s + d + h(s)   becomes   g_hat^{-1} + k,   whatever the shares w_i.

After a lasting loss u the aggregate begins to fall at |u|/(m + m_v), ends at |u|/(d + h(0) + d_v), and has its nadir between.

    inertia and droop   k = m_v s + d_v
    frequency shaping   k = m_v s + d_v + h(0) - h(s):   g_hat^{-1} + k = a s + b,   a = m + m_v,   b = d + h(0) + d_v

The second is of first order: it does not overshoot, so its nadir is its steady state |u|/b. Since k(0) = d_v, storage
that shapes gives way to the turbines. Where h(s) = sum_i r_i/(tau_i s + 1), r_i >= 0 (turbines of one lag each), k is passive:

    Re k(jw) = d_v + sum_i r_i (tau_i w)^2/(1 + (tau_i w)^2) >= d_v >= 0,

and h(0) - h(s) = sum_i r_i tau_i s/(tau_i s + 1) is positive real. For other h the passivity index of k is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from coherence.design.allocation import Allocation
from coherence.design.delivery import delivered
from coherence.design.figures import require_horizon, times_until
from coherence.design.step_extreme import StepExtreme, step_extreme
from coherence.display import Page
from coherence.errors import InputError, PoleError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Nodes
from coherence.numerics.realization import pole_text
from coherence.simulation.disturbances import Step
from coherence.simulation.horizon import default_times
from coherence.simulation.simulate import simulate
from coherence.theory.coherent import COHERENT, coherent_dynamics
from coherence.theory.passivity import passivity_indices

METHODS = ("frequency_shaping", "inertia_droop")
PREFERENCES = ("droop", "inertia")
MET = 1e-9  # relative, by which a limit may be missed in rounding
WIDEN, LARGEST = 1.25, 1e9  # of the search for droop or inertia: growth of its steps, and where it gives up
UNITS = {"inertia": "pu s^2/rad of virtual inertia", "droop": "pu s/rad of droop"}


@dataclass(frozen=True, repr=False)
class FrequencyLimits(Page):
    """What a frequency deviation may be: sizes, each optional.

    Parameters
    ----------
    nadir : float, optional
        Largest deviation at any time [rad/s].
    rocof : float, optional
        Largest rate of change, at the start [rad/s^2].
    steady : float, optional
        Largest deviation that stays [rad/s].

    Examples
    --------
    >>> FrequencyLimits.hz(nadir=0.8, rocof=1.0)
    FrequencyLimits(nadir 5.027 rad/s, rocof 6.283 rad/s^2)
    """

    nadir: float | None = None
    rocof: float | None = None
    steady: float | None = None

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in given.items():
            if value is None:
                continue
            if isinstance(value, (bool, complex)) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
                raise InputError(f"the {name} limit is {value!r}; give a size > 0, or leave it out")
            object.__setattr__(self, name, float(value))
        if all(value is None for value in given.values()):
            raise InputError("there is no limit; give at least one of nadir, rocof, steady")

    @classmethod
    def hz(cls, *, nadir: float | None = None, rocof: float | None = None, steady: float | None = None) -> FrequencyLimits:
        """Limits in Hz and Hz/s.

        Examples
        --------
        >>> FrequencyLimits.hz(steady=0.5).steady.__round__(4)
        3.1416
        """
        given = FrequencyLimits(nadir, rocof, steady)
        turned = {f.name: value * 2 * np.pi for f in fields(given) if (value := getattr(given, f.name)) is not None}
        return cls(**turned)

    @property
    def of_deviation(self) -> float:
        """The least of the limits on deviations, that of the steady state of a response without overshoot; inf where none."""
        return min(value for value in (self.nadir, self.steady, np.inf) if value is not None)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """In rad/s and in Hz."""
        given = {"nadir": self.nadir, "RoCoF": self.rocof, "steady state": self.steady}
        rows = {name: {"rad/s": value, "Hz": value / (2 * np.pi)} for name, value in given.items() if value is not None}
        return {"limits": pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")}

    def __repr__(self) -> str:
        units = {"nadir": "rad/s", "rocof": "rad/s^2", "steady": "rad/s"}
        shown = (f"{name} {getattr(self, name):.4g} {unit}" for name, unit in units.items() if getattr(self, name) is not None)
        return f"FrequencyLimits({', '.join(shown)})"


def allocate(
    network: Network,
    disturbance: Step,
    limits: FrequencyLimits,
    *,
    method: str = "frequency_shaping",
    prefer: str = "droop",
    max_inertia: float = np.inf,
    max_droop: float = np.inf,
    horizon: float | None = None,
) -> Allocation:
    r"""The least virtual inertia and droop with which the coherent dynamics keeps its limits after a lasting loss.

        g_hat^{-1} = m s + d + h(s),     k = m_v s + d_v [+ h(0) - h(s)]

    Parameters
    ----------
    network : Network
        A reduced one, as a rule; its coherent dynamics is designed for. Shaping takes over the whole h: of many states,
        truncate first, `truncate(coherent_dynamics(network), 3).network`, and see with `Allocation.check` what that costs.
    disturbance : Step
        A lasting loss; only its total counts here, its nodes may be those of the full network.
    limits : FrequencyLimits
    method : "frequency_shaping" or "inertia_droop"
        See the module. Frequency shaping needs h stable.
    prefer : "droop" or "inertia"
        Of inertia and droop: what is raised for the nadir, once the other limits hold.
    max_inertia, max_droop : float
        Largest m_v [pu s^2/rad] and d_v [pu s/rad] there may be.
    horizon : float, optional
        Until when power and energy are counted [s]; by default as far as `simulate` looks.

    Returns
    -------
    Allocation
        Zero where the limits hold without control.

    Raises
    ------
    InputError
        Limits that no allocation meets (the binding one is named, with what it needs and what is allowed), a disturbance that is
        no step, an aggregate that is no swing (relative degree above 1), h unstable, an option out of range.
    ToleranceError
        An aggregate so lightly damped that its extreme is not found.

    Notes
    -----
    Shaping is in closed form. Of inertia and droop m_v and d_v are first those of the RoCoF and of the steady state, then the
    preferred one rises until the exact extreme of the step response (`step_extreme`) is within the nadir limit, to a relative
    1e-9: the least that a scan in steps of a twentieth, growing, finds. The RoCoF limit is one on the slope just after the step,
    which is the steepest where the aggregate is passive: its impulse response is then a positive definite function.

    References
    ----------
    Y. Jiang, A. Bernstein, P. Vorobev, E. Mallada, Grid-forming frequency shaping control for low-inertia power systems, IEEE
    Control Systems Letters 5 (2021).

    Examples
    --------
    >>> from coherence import FrequencyLimits, Network, Step, allocate, swing_turbine
    >>> nodes = swing_turbine(inertia=[1, 1], damping=0.1, inverse_droop=0.5, time_constant=4.0, labels=["a", "b"])
    >>> network = Network(nodes, [[3, -3], [-3, 3]], "1/s")
    >>> found = allocate(network, Step({"a": -1.0}), FrequencyLimits(nadir=0.8, rocof=0.4))
    >>> round(found.inertia, 6), round(found.droop, 6)
    (0.5, 0.05)
    >>> round(float(found.table.loc["nadir", "with control"]), 6), round(float(found.table.loc["nadir", "without control"]), 3)
    (0.8, 1.311)
    """
    require_nodes(network, "an allocation")
    if not isinstance(limits, FrequencyLimits):
        raise InputError(f"limits is a {type(limits).__name__}; give FrequencyLimits(nadir=..., rocof=..., steady=...)")
    if method not in METHODS:
        raise InputError(f"method = {method!r}; give one of {', '.join(map(repr, METHODS))}")
    if prefer not in PREFERENCES:
        raise InputError(f"prefer = {prefer!r}; give 'droop' or 'inertia'")
    task = _Task(_aggregate(network), _size(disturbance), limits, _most(max_inertia, "inertia"), _most(max_droop, "droop"))
    alone = _figures(task, task.aggregate.nodes)
    until = _horizon(task.aggregate, disturbance, horizon)
    if _meets(alone, limits):
        return _allocation(task, method, disturbance, 0.0, 0.0, Nodes(("control",), np.zeros((1, 1))), alone, until)
    inertia, droop = task.shaped() if method == "frequency_shaping" else task.plain(prefer)
    task.require_allowed(inertia, droop)
    control = _law(task, inertia, droop, shaped=method == "frequency_shaping")
    return _allocation(task, method, disturbance, inertia, droop, control, alone, until)


@dataclass(frozen=True)
class _Task:
    """An aggregate, the size of the loss, the limits, and what is allowed."""

    aggregate: Network
    size: float
    limits: FrequencyLimits
    max_inertia: float
    max_droop: float

    @property
    def inertia(self) -> float:
        return float(self.aggregate.nodes.inertia[0])

    @property
    def stiffness(self) -> float:
        """g_hat^{-1}(0) = d + h(0)."""
        try:
            return float(self.aggregate.nodes.inverse(0.0)[0, 0].real)
        except PoleError:
            return np.inf  # integral action holds the frequency

    @property
    def least_inertia(self) -> float:
        """What the RoCoF limit needs."""
        return 0.0 if self.limits.rocof is None else max(0.0, self.size / self.limits.rocof - self.inertia)

    def least_droop(self, deviation: float | None) -> float:
        """What a steady state of this size needs."""
        return 0.0 if deviation is None else max(0.0, self.size / deviation - self.stiffness)

    def shaped(self) -> tuple[float, float]:
        """Inertia and droop of frequency shaping."""
        _require_stable_turbines(self.aggregate.nodes)
        droop = self.least_droop(self.limits.of_deviation)
        if not self.stiffness + droop > 0:
            raise InputError(
                f"the aggregate has no steady state: d + h(0) = {self.stiffness:.4g} pu s/rad; give a nadir or a steady limit"
            )
        return self.least_inertia, droop

    def plain(self, prefer: str) -> tuple[float, float]:
        """Inertia and droop alone."""
        inertia, droop = self.least_inertia, self.least_droop(self.limits.steady)
        self.require_allowed(inertia, droop)
        nadir = self.limits.nadir
        if nadir is None:
            return inertia, droop
        droop = max(droop, self.least_droop(nadir))  # no nadir is above its steady state
        if prefer == "droop":
            found = _least(lambda d: self._extreme(inertia, d), nadir, droop, self.size / nadir)
            return inertia, self._known(found, "droop")
        found = _least(lambda m: self._extreme(m, droop), nadir, inertia, max(self.inertia + inertia, 1e-3 * self.size / nadir))
        return self._known(found, "inertia"), droop

    def require_allowed(self, inertia: float, droop: float) -> None:
        """Refuse what needs more than there may be."""
        limits = self.limits
        if inertia > self.max_inertia * (1 + MET):
            by_rocof = self.least_inertia >= inertia
            raise InputError(_refusal("RoCoF" if by_rocof else "nadir", limits, "inertia", inertia, self.max_inertia))
        if droop > self.max_droop * (1 + MET):
            by_steady = limits.steady is not None and self.least_droop(limits.steady) >= droop
            raise InputError(_refusal("steady-state" if by_steady else "nadir", limits, "droop", droop, self.max_droop))

    def _extreme(self, inertia: float, droop: float) -> float:
        return abs(_extreme(self.aggregate, _polynomial(inertia, droop), self.size).value)

    def _known(self, found: float | None, what: str) -> float:
        if found is not None:
            return found
        other = "droop" if what == "inertia" else "inertia"
        raise InputError(
            f"the nadir limit of {self.limits.nadir:.4g} rad/s is met by no {UNITS[what]} up to {LARGEST:g} times the aggregate's; "
            f"take prefer={other!r}, or a larger limit"
        )


def _aggregate(network: Network) -> Network:
    """The coherent dynamics as one swing node with a rational coupling (which one node does not see)."""
    nodes = coherent_dynamics(network).nodes
    nodes.require_rational("an allocation")
    if nodes.degree[0] > 1:
        raise InputError(
            f"the aggregate has relative degree {nodes.degree[0]}, so its frequency does not begin to fall at a finite rate that "
            "inertia limits; nodes must be of degree 0 or 1 (swings, inverters)"
        )
    if nodes.inertia[0] < 0:
        raise InputError(f"the aggregate has inertia {nodes.inertia[0]:.4g} pu s^2/rad; it must be >= 0")
    return Network(nodes, np.zeros((1, 1)), "1/s")


def _size(disturbance: Any) -> float:
    if not isinstance(disturbance, Step):
        raise InputError(
            f"the disturbance is a {type(disturbance).__name__}; limits are designed for a lasting loss, "
            "Step({label: size}), and the allocation's check(full, disturbance=...) takes any"
        )
    one = Network(Nodes((COHERENT,), np.ones((1, 1))), np.zeros((1, 1)), "1/s")
    size = abs(float(disturbance.at_one(COHERENT).vector(one)[0]))
    if size == 0:
        raise InputError("the sizes of the disturbance add up to 0, so the coherent dynamics does not move; give a loss")
    return size


def _most(value: Any, what: str) -> float:
    if isinstance(value, (bool, complex)) or not isinstance(value, (int, float, np.number)) or not value >= 0:
        raise InputError(f"max_{what} = {value!r}; give a number >= 0")
    return float(value)


def _horizon(aggregate: Network, disturbance: Step, given: float | None) -> float:
    if given is None:
        return float(default_times(aggregate, [disturbance.signal])[-1])
    return require_horizon(given)


def _require_stable_turbines(nodes: Nodes) -> None:
    for bank in nodes.banks:
        poles = np.linalg.eigvals(bank.a).ravel()
        if poles.size and poles.real.max() >= 0:
            worst = pole_text(complex(poles[poles.real.argmax()]))
            raise InputError(
                f"frequency shaping takes over h(s), the aggregate's turbines, and h has a pole at {worst} 1/s; it must be stable: "
                "take method='inertia_droop'"
            )


def _polynomial(inertia: float, droop: float) -> Nodes:
    return Nodes(("control",), np.array([[droop], [inertia]]))


def _law(task: _Task, inertia: float, droop: float, *, shaped: bool) -> Nodes:
    """k(s) as a node."""
    if not shaped:
        return _polynomial(inertia, droop)
    nodes = task.aggregate.nodes
    full = droop + task.stiffness - float(nodes.damping[0])
    return Nodes(("control",), np.array([[full], [inertia]]), nodes.scaled(np.array([-1.0])).banks)


def _extreme(aggregate: Network, control: Nodes, size: float) -> StepExtreme:
    closed = Network(aggregate.nodes.plus(control), np.zeros((1, 1)), aggregate.coupling)
    return step_extreme(closed.realization, size)


def _least(extreme: Callable[[float], float], limit: float, begin: float, scale: float) -> float | None:
    """The least x >= begin that a growing scan finds to keep the extreme within the limit, then by bisection and secants."""
    if extreme(begin) <= limit * (1 + MET):
        return begin
    low, step = begin, 0.05 * scale
    while step <= LARGEST * scale:
        high = low + step
        if extreme(high) <= limit:
            break
        low, step = high, WIDEN * step
    else:
        return None
    x = float(brentq(lambda x: min(extreme(x), 2 * limit) - limit, low, high, xtol=1e-13 * high, rtol=1e-13))
    return x if extreme(x) <= limit * (1 + MET) else high


def _figures(task: _Task, nodes: Nodes) -> dict[str, float]:
    """Nadir, RoCoF, steady state and overshoot of a node under the loss, all sizes."""
    found = step_extreme(Network(nodes, np.zeros((1, 1)), "1/s").realization, task.size)
    inertia = float(nodes.inertia[0])
    nadir, end = abs(found.value), abs(found.end)
    return {
        "nadir": nadir,
        "RoCoF": task.size / inertia if inertia > 0 else np.inf,
        "steady state": end,
        "overshoot": (nadir - end) / end if end > 0 else np.inf,
    }


def _meets(figures: dict[str, float], limits: FrequencyLimits) -> bool:
    asked = {"nadir": limits.nadir, "RoCoF": limits.rocof, "steady state": limits.steady}
    return all(limit is None or figures[name] <= limit * (1 + MET) for name, limit in asked.items())


def _refusal(name: str, limits: FrequencyLimits, what: str, needed: float, allowed: float) -> str:
    value, unit = {
        "RoCoF": (limits.rocof, "rad/s^2"),
        "nadir": (limits.nadir, "rad/s"),
        "steady-state": (limits.steady, "rad/s"),
    }[name]
    return (
        f"the {name} limit of {value:.4g} {unit} needs {needed:.4g} {UNITS[what]}, of which {allowed:.4g} are allowed (max_{what})"
    )


def _allocation(
    task: _Task,
    method: str,
    disturbance: Step,
    inertia: float,
    droop: float,
    control: Nodes,
    alone: dict[str, float],
    horizon: float,
) -> Allocation:
    limits = task.limits
    closed = Network(task.aggregate.nodes.plus(control), np.zeros((1, 1)), "1/s")
    after = _figures(task, closed.nodes)
    step = disturbance.at_one(COHERENT)
    given = delivered(control, simulate(closed, step, times_until(closed, step, horizon)).knots, np.ones(1))
    columns = {"limit": np.nan, "without control": np.nan, "with control": np.nan, "binding": False}
    rows: dict[str, dict[str, Any]] = {}
    for name, limit in (("nadir", limits.nadir), ("RoCoF", limits.rocof), ("steady state", limits.steady), ("overshoot", None)):
        rows[name] = columns | {"without control": alone[name], "with control": after[name]}
        if limit is not None:
            binding = (inertia > 0 or droop > 0) and bool(abs(after[name] - limit) <= 1e-6 * limit)
            rows[name] |= {"limit": limit, "binding": binding}
    for name, figure, most in (
        ("peak storage power", abs(given.peak), np.nan),
        ("storage energy", abs(given.most), np.nan),
        ("virtual inertia", inertia, task.max_inertia),
        ("virtual droop", droop, task.max_droop),
    ):
        rows[name] = columns | {"without control": 0.0, "with control": figure, "limit": most if np.isfinite(most) else np.nan}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")
    index = float(passivity_indices(control)["index"].iloc[0])
    return Allocation(inertia, droop, control, table, method, limits, disturbance, task.aggregate, closed, horizon, index)
