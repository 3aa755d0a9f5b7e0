r"""How much grid-forming storage a grid needs for its frequency limits, decided on the coherent dynamics (of a reduced network).

Storage that answers to its own frequency adds to the inverse of its node, and aggregates add up: with k_i = w_i k, sum_i w_i = 1,

    g_hat^{-1} = m s + d + h(s)   becomes   g_hat^{-1} + k,   whatever the shares w_i.

After a lasting loss u the aggregate begins to fall at |u|/(m + m_v), ends at |u|/(d + h(0) + d_v), and has its nadir between.

    inertia and droop   k = m_v s + d_v
    frequency shaping   k = m_v s + d_v + h(0) - h(s):   g_hat^{-1} + k = a s + b,   a = m + m_v,   b = d + h(0) + d_v

Of inertia and droop one is raised until the nadir limit holds, and the other is what RoCoF or steady state need (`sizing`): not the
least of both.

Frequency shaping leaves a first order: it does not overshoot, so its nadir is its steady state |u|/b. Since k(0) = d_v, storage
that shapes gives way to the turbines. Where h(s) = sum_i r_i/(tau_i s + 1), r_i >= 0 (turbines of one lag each), k is passive:

    Re k(jw) = d_v + sum_i r_i (tau_i w)^2/(1 + (tau_i w)^2) >= d_v >= 0,

and h(0) - h(s) = sum_i r_i tau_i s/(tau_i s + 1) is positive real. For other h the passivity index of k is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from coherence.design.allocation import Allocation
from coherence.design.delivery import delivered
from coherence.design.figures import require_horizon, times_until
from coherence.design.sizing import Sizing, holds
from coherence.display import Page
from coherence.errors import InputError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Nodes
from coherence.simulation.disturbances import Step
from coherence.simulation.horizon import default_times
from coherence.simulation.simulate import simulate
from coherence.theory.coherent import COHERENT, coherent_dynamics
from coherence.theory.passivity import passivity_indices

METHODS = ("frequency_shaping", "inertia_droop")
PREFERENCES = ("droop", "inertia")
BINDS = 1e-6  # relative, within which a limit is met with equality
IDLE = Nodes(("control",), np.zeros((1, 1)))


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
    r"""Virtual inertia and droop with which the coherent dynamics keeps its limits after a lasting loss.

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
        Of inertia and droop: which of them is raised for the nadir. The other stays at what its limit needs (inertia that of the
        RoCoF, droop that of the steady state and of the nadir's own size).
    max_inertia, max_droop : float
        Largest m_v [pu s^2/rad] and d_v [pu s/rad] there may be.
    horizon : float, optional
        Until when power and energy are counted [s]; by default as far as `simulate` looks.

    Returns
    -------
    Allocation
        Zero, and `idle`, where the limits hold without control on a stable aggregate. The closed aggregate is stable.

    Raises
    ------
    InputError
        Limits that no allocation meets (the binding one is named, with what it needs and what is allowed), a disturbance that is
        no step, an aggregate that is no swing (relative degree above 1), h unstable, inertia and droop that leave the aggregate
        unstable (its pole is named) because no nadir limit asks for more, an option out of range.
    ToleranceError
        An aggregate so lightly damped that its extreme is not found.

    Notes
    -----
    Frequency shaping is in closed form, and each of m_v and d_v the least for its limits. Of inertia and droop one quantity is
    scanned while the other is pinned: m_v and d_v are first those of the RoCoF and of the steady state (d_v also that of a
    nadir without overshoot), then the preferred one rises until the exact extreme of the step response (`step_extreme`) is
    within the nadir limit, to a relative 1e-9: the least of this one that a scan in steps of a twentieth, growing, finds. It is
    not the least of both: more of the pinned one may need less of the other. The RoCoF limit is one on the slope just after the
    step, which is the steepest where the aggregate is passive: its impulse response is then a positive definite function.

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
    task = Sizing(_aggregate(network), _size(disturbance), limits, _most(max_inertia, "inertia"), _most(max_droop, "droop"))
    until = _horizon(task.aggregate, disturbance, horizon)
    if holds(task.figures(task.aggregate), limits):
        return _allocation(task, (0.0, 0.0), IDLE, method, disturbance, until)
    shaped = method == "frequency_shaping"
    inertia, droop = task.shaped() if shaped else task.plain(prefer)
    return _allocation(task, (inertia, droop), task.law(inertia, droop, shaped=shaped), method, disturbance, until)


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


def _allocation(
    task: Sizing, sizes: tuple[float, float], control: Nodes, method: str, disturbance: Step, horizon: float
) -> Allocation:
    """What was decided, with its figures on the aggregate; nothing is needed where the control is `IDLE`."""
    closed = task.closed(control)
    step = disturbance.at_one(COHERENT)
    given = delivered(control, simulate(closed, step, times_until(closed, step, horizon)).knots, np.ones(1))
    return Allocation(
        *sizes,
        control,
        _table(task, closed, sizes, (abs(given.peak), abs(given.most)), needed=control is not IDLE),
        method,
        task.limits,
        disturbance,
        task.aggregate,
        closed,
        horizon,
        float(passivity_indices(control)["index"].iloc[0]),
        idle=control is IDLE,
    )


def _table(task: Sizing, closed: Network, sizes: tuple[float, float], given: tuple[float, float], *, needed: bool) -> pd.DataFrame:
    """Quantity -> limit, without control, with control, binding; `sizes` are inertia and droop, `given` power and energy."""
    limits, before, after = task.limits, task.figures(task.aggregate), task.figures(closed)
    asked = {"nadir": limits.nadir, "RoCoF": limits.rocof, "steady state": limits.steady, "overshoot": None}
    rows = {}
    for name, limit in asked.items():
        binding = needed and limit is not None and bool(abs(after[name] - limit) <= BINDS * limit)
        rows[name] = (np.nan if limit is None else limit, before[name], after[name], binding)
    for name, value in zip(("peak storage power", "storage energy"), given, strict=True):
        rows[name] = (np.nan, 0.0, value, False)
    for name, value, most in zip(("virtual inertia", "virtual droop"), sizes, (task.max_inertia, task.max_droop), strict=True):
        rows[name] = (most if np.isfinite(most) else np.nan, 0.0, value, False)
    columns = ["limit", "without control", "with control", "binding"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("quantity")
