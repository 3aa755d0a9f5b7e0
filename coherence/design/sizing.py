r"""How much inertia and droop one node needs for frequency limits after a lasting loss u: what `allocate` decides by.

    RoCoF           |u|/(m + m_v) <= r          m_v >= |u|/r - m
    steady state    |u|/(d + h(0) + d_v) <= y   d_v >= |u|/y - d - h(0)
    nadir           frequency shaping: that of the steady state, by h(0) - h(s); inertia and droop: a scan of one of them

The node under control must be stable, whatever the limits are on: a response that grows keeps none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from coherence.design.step_extreme import step_extreme
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.numerics.realization import pole_text, without_hidden

if TYPE_CHECKING:
    from coherence.design.limits import FrequencyLimits

MET = 1e-9  # relative, by which a limit may be missed in rounding
WIDEN, LARGEST = 1.25, 1e9  # of the search for droop or inertia: growth of its steps, and where it gives up
EDGE = 0.99  # of the limit: a search that comes to an end below has come to the edge of stability
UNITS = {"inertia": "pu s^2/rad of virtual inertia", "droop": "pu s/rad of droop"}


@dataclass(frozen=True)
class Sizing:
    """An aggregate, the size of the loss, the limits, and what is allowed."""

    aggregate: Network
    size: float
    limits: FrequencyLimits
    max_inertia: float
    max_droop: float

    @property
    def inertia(self) -> float:
        """M of the aggregate."""
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
        self.require_allowed(self.least_inertia, droop)
        return self.least_inertia, droop

    def plain(self, prefer: str) -> tuple[float, float]:
        """Inertia and droop alone: one of them raised for the nadir, the other what RoCoF or steady state need."""
        inertia, droop = self.least_inertia, self.least_droop(self.limits.steady)
        self.require_allowed(inertia, droop)
        nadir = self.limits.nadir
        if nadir is not None:
            droop = max(droop, self.least_droop(nadir))  # no nadir is above its steady state
            if prefer == "droop":
                droop = self._raised(lambda d: (inertia, d), droop, self.size / nadir, "droop")
            else:
                scale = max(self.inertia + inertia, 1e-3 * self.size / nadir)
                inertia = self._raised(lambda m: (m, droop), inertia, scale, "inertia")
            self.require_allowed(inertia, droop)
        self._require_stable(inertia, droop)
        return inertia, droop

    def require_allowed(self, inertia: float, droop: float) -> None:
        """Refuse what needs more than there may be."""
        limits = self.limits
        if inertia > self.max_inertia * (1 + MET):
            by_rocof = self.least_inertia >= inertia
            raise InputError(_refusal("RoCoF" if by_rocof else "nadir", limits, "inertia", inertia, self.max_inertia))
        if droop > self.max_droop * (1 + MET):
            by_steady = limits.steady is not None and self.least_droop(limits.steady) >= droop
            raise InputError(_refusal("steady-state" if by_steady else "nadir", limits, "droop", droop, self.max_droop))

    def law(self, inertia: float, droop: float, *, shaped: bool) -> Nodes:
        """k(s) as a node."""
        nodes = self.aggregate.nodes
        if not shaped:
            return Nodes(("control",), np.array([[droop], [inertia]]))
        full = droop + self.stiffness - float(nodes.damping[0])
        return Nodes(("control",), np.array([[full], [inertia]]), nodes.scaled(np.array([-1.0])).banks)

    def closed(self, control: Nodes) -> Network:
        """The aggregate under control."""
        return Network(self.aggregate.nodes.plus(control), np.zeros((1, 1)), self.aggregate.coupling)

    def figures(self, one: Network) -> dict[str, float]:
        """Nadir, RoCoF, steady state and overshoot of one node under the loss, all sizes; inf and NaN where it is not stable."""
        found = step_extreme(one.realization, self.size)
        inertia = float(one.nodes.inertia[0])
        nadir, end = abs(found.value), abs(found.end)
        return {
            "nadir": nadir,
            "RoCoF": self.size / inertia if inertia > 0 else np.inf,
            "steady state": end,
            "overshoot": (nadir - end) / end if end > 0 else np.inf,
        }

    def _require_stable(self, inertia: float, droop: float) -> None:
        closed = self.closed(self.law(inertia, droop, shaped=False))
        pole = growing(closed)
        if pole is None:
            return
        raised = "a nadir limit below what oscillates there, for which droop or inertia (prefer) is raised"
        if not self.stiffness + droop > 0:
            what = "give a nadir or a steady limit, which need droop"
        elif _growing_turbines(self.aggregate.nodes) is None:
            what = f"take method='frequency_shaping', or give {raised}"
        else:
            what = f"give {raised}"
        raise InputError(
            f"under what the limits ask for, k(s) = {inertia:.4g} s + {droop:.4g}, the aggregate is not stable: its pole at "
            f"{pole_text(pole)} 1/s does not die out; {what}"
        )

    def _nadir(self, inertia: float, droop: float) -> float:
        """Infinite where the aggregate is not stable, or so nearly not that it is not found."""
        try:
            return abs(step_extreme(self.closed(self.law(inertia, droop, shaped=False)).realization, self.size).value)
        except ToleranceError:
            return np.inf

    def _raised(self, sizes: Callable[[float], tuple[float, float]], begin: float, scale: float, what: str) -> float:
        """The least of one quantity that a scan finds for the nadir limit; `sizes` gives inertia and droop of it."""
        limit = self.limits.nadir
        assert limit is not None
        found, edge = _least(lambda x: self._nadir(*sizes(x)), limit, begin, scale)
        if found is None:
            other = "droop" if what == "inertia" else "inertia"
            raise InputError(
                f"the nadir limit of {limit:.4g} rad/s is met by no {UNITS[what]} up to {LARGEST:g} times the aggregate's; "
                f"take prefer={other!r}, or a larger limit"
            )
        if edge:
            pole = complex(self.closed(self.law(*sizes(found), shaped=False)).poles()[0])
            raise InputError(
                f"the nadir limit of {limit:.4g} rad/s holds as soon as the aggregate is stable, from {found:.4g} {UNITS[what]} "
                f"on, where its pole at {pole_text(pole)} 1/s hardly dies out; give a smaller nadir limit, or take "
                "method='frequency_shaping'"
            )
        return found


def growing(one: Network) -> complex | None:
    """The pole of a node that does not die out; None where it is stable."""
    system = without_hidden(one.realization)
    return None if system.is_stable() else complex(system.poles()[0])


def holds(figures: dict[str, float], limits: FrequencyLimits) -> bool:
    """Whether figures of a stable node keep the limits; those of an unstable one keep none."""
    asked = {"nadir": limits.nadir, "RoCoF": limits.rocof, "steady state": limits.steady}
    stable = bool(np.isfinite([figures["nadir"], figures["steady state"]]).all())
    return stable and all(limit is None or figures[name] <= limit * (1 + MET) for name, limit in asked.items())


def _growing_turbines(nodes: Nodes) -> complex | None:
    """The pole of h(s) that does not die out; None where h is stable."""
    poles = np.concatenate([np.linalg.eigvals(bank.a).ravel() for bank in nodes.banks] or [np.empty(0)])
    return complex(poles[poles.real.argmax()]) if poles.size and poles.real.max() >= 0 else None


def _require_stable_turbines(nodes: Nodes) -> None:
    pole = _growing_turbines(nodes)
    if pole is not None:
        raise InputError(
            f"frequency shaping takes over h(s), the aggregate's turbines, and h has a pole at {pole_text(pole)} 1/s; it must be "
            "stable: take method='inertia_droop'"
        )


def _least(extreme: Callable[[float], float], limit: float, begin: float, scale: float) -> tuple[float | None, bool]:
    """The least x >= begin that a growing scan finds to keep the extreme within the limit, then by bisection and secants.

    And whether it is where the extreme becomes finite, not where it comes down to the limit. None where none is found.
    """
    if extreme(begin) <= limit * (1 + MET):
        return begin, False
    low, step = begin, 0.05 * scale
    while step <= LARGEST * scale:
        high = low + step
        if extreme(high) <= limit:
            break
        low, step = high, WIDEN * step
    else:
        return None, False
    x = float(brentq(lambda x: min(extreme(x), 2 * limit) - limit, low, high, xtol=1e-13 * high, rtol=1e-13))
    reached = extreme(x)
    edge = not EDGE * limit <= reached < np.inf
    return x if edge or reached <= limit * (1 + MET) else high, edge


def _refusal(name: str, limits: FrequencyLimits, what: str, needed: float, allowed: float) -> str:
    value, unit = {
        "RoCoF": (limits.rocof, "rad/s^2"),
        "nadir": (limits.nadir, "rad/s"),
        "steady-state": (limits.steady, "rad/s"),
    }[name]
    return (
        f"the {name} limit of {value:.4g} {unit} needs {needed:.4g} {UNITS[what]}, of which {allowed:.4g} are allowed (max_{what})"
    )
