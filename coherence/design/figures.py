r"""What planners read of a network whose storage moves with it: nadir, RoCoF, steady state, overshoot, storage power and energy.

Up to a horizon, from one simulation; of the coherent dynamics and of the center of inertia after a step, extremes over all time
(`step_extreme`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from coherence.design.delivery import delivered
from coherence.design.step_extreme import EXPONENTIAL_STATES, step_extreme
from coherence.errors import InputError, ToleranceError
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.simulation.disturbances import Disturbance, Step
from coherence.simulation.horizon import default_times
from coherence.simulation.response import Response
from coherence.simulation.simulate import simulate
from coherence.types import Real

if TYPE_CHECKING:
    from coherence.design.limits import FrequencyLimits

EXCEEDED = 1e-3  # of a limit: what is worth naming
SAMPLES = 10_000  # of a response, at most
FINER, FINEST = 1, 5  # halvings of the default step: usual ones, and the most where those are too coarse for metrics


def times_until(network: Network, disturbance: Disturbance, horizon: float, *, halved: int = FINER) -> Real:
    """Times to a horizon, as fine as `simulate` takes them by default (halved some times), (N,) [s]."""
    usual = default_times(network, [part.signal for part in disturbance.terms])
    step = float(np.diff(usual).min()) / 2**halved
    count = min(max(round(horizon / step), 100), SAMPLES)
    return np.linspace(0.0, horizon, count + 1)


def response_until(
    network: Network, disturbance: Disturbance, horizon: float, *, window: float
) -> tuple[Response, pd.DataFrame] | None:
    """The response to a horizon and its metrics, as finely as those need; None where it grows beyond all numbers."""
    for halved in range(FINER, FINEST + 1):
        try:
            response = simulate(network, disturbance, times_until(network, disturbance, horizon, halved=halved))
        except ToleranceError:  # an unstable network
            return None
        try:
            return response, response.metrics(window=window)
        except ToleranceError:
            if halved == FINEST:
                raise
    raise AssertionError


def figures(
    network: Network, control: Nodes, weights: Real, disturbance: Disturbance, *, horizon: float, window: float
) -> tuple[dict[str, float], Response | None]:
    """Sizes of nadir, RoCoF, steady state, overshoot, power and energy of a network whose control is shared by weights."""
    names = ("nadir", "worst nadir", "RoCoF", "worst RoCoF", "steady state", "overshoot", "worst overshoot", "power", "energy")
    found = response_until(network, disturbance, horizon, window=window)
    if found is None:
        return dict.fromkeys(names, np.nan), None
    response, metrics = found
    if "CoI" not in metrics.index:
        raise InputError("a check is of the center of inertia, and no node has inertia")
    nodes, center = metrics.iloc[:-1], metrics.loc["CoI"]
    ends = metrics["steady state"].abs()
    nadir = metrics["nadir"].abs()
    nadir = nadir.where(~(ends > nadir), ends)  # it may be reached after the horizon
    over = pd.Series((nadir - ends) / ends)
    given = delivered(control, response.knots, weights)
    over_all, end = _center_for_ever(network, disturbance)
    if np.isfinite(end) and over_all >= nadir.iloc[-1]:
        nadir.iloc[-1], over.iloc[-1] = over_all, (over_all - end) / end if end > 0 else np.nan
    values = (
        float(nadir.iloc[-1]),
        float(nadir.iloc[:-1].max()),
        float(abs(center["rocof"])),
        float(nodes["rocof"].abs().max()),
        float(ends.iloc[-1]),
        float(over.iloc[-1]),
        float(over.iloc[:-1].max()),
        abs(given.peak),
        abs(given.most),
    )
    return dict(zip(names, values, strict=True)), response


def _center_for_ever(network: Network, disturbance: Disturbance) -> tuple[float, float]:
    """The extreme of the center of inertia over all time after a step, and where it ends; NaN where that is not computed."""
    if not isinstance(disturbance, Step) or network.order > EXPONENTIAL_STATES or network.nodes.passive.any():
        return float("nan"), float("nan")
    inertia = network.nodes.inertia
    mean, u = inertia[None, :] / inertia.sum(), disturbance.vector(network)[:, None]
    found = step_extreme(network.realization.transformed(left=mean, right=u), 1.0)
    return abs(found.value), abs(found.end)


def of_aggregate(one: Network, control: Nodes, disturbance: Disturbance, *, horizon: float, window: float) -> dict[str, float]:
    """Those of a coherent dynamics (one node) under the total of a disturbance; after a step, nadir and overshoot of all time."""
    loss = disturbance.at_one(one.labels[0])
    found, _ = figures(one, control, np.ones(1), loss, horizon=horizon, window=window)
    if isinstance(loss, Step) and one.order <= EXPONENTIAL_STATES:
        extreme = step_extreme(one.realization, loss.total)
        found["nadir"], end = abs(extreme.value), abs(extreme.end)
        found["overshoot"] = (found["nadir"] - end) / end if end > 0 else np.nan
    return found


def require_horizon(value: object) -> float:
    """A time > 0."""
    if isinstance(value, (bool, complex)) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise InputError(f"horizon = {value!r}; give a time > 0 in s")
    return float(value)


def beside(
    limits: FrequencyLimits,
    overshoot: float | None,
    promised: dict[str, float],
    middle: dict[str, float],
    found: dict[str, float],
    window: float,
) -> dict[str, tuple[float | None, float, float]]:
    """Quantity -> target, what the reduced aggregate promised, what the full network (its aggregate: `middle`) does."""
    over = f"over {window:g} s"
    return {
        f"RoCoF of the CoI {over}": (limits.rocof, promised["RoCoF"], found["RoCoF"]),
        f"RoCoF of the worst node {over}": (limits.rocof, promised["RoCoF"], found["worst RoCoF"]),
        "nadir of the aggregate": (limits.nadir, promised["nadir"], middle["nadir"]),
        "nadir of the CoI": (limits.nadir, promised["nadir"], found["nadir"]),
        "nadir of the worst node": (limits.nadir, promised["nadir"], found["worst nadir"]),
        "steady state": (limits.steady, promised["steady state"], found["steady state"]),
        "overshoot of the aggregate": (overshoot, promised["overshoot"], middle["overshoot"]),
        "overshoot of the CoI": (overshoot, promised["overshoot"], found["overshoot"]),
        "overshoot of the worst node": (overshoot, promised["overshoot"], found["worst overshoot"]),
        "peak storage power": (None, promised["power"], found["power"]),
        "storage energy": (None, promised["energy"], found["energy"]),
    }


def exceeded(rows: Mapping[str, tuple[float | None, float, float]], *, stable: bool | None) -> str:
    """Which limits the full network exceeds, and by how much, in a sentence; an unstable one keeps none."""
    if stable is False:
        return "no limit is kept: the full network is not stable"
    above = {name: full / target - 1 for name, (target, _, full) in rows.items() if target}
    over = [f"{name} by {100 * part:.2g} %" for name, part in above.items() if not part <= EXCEEDED]
    if over:
        return f"limits exceeded on the full network: {', '.join(over)}"
    return f"the limits hold on the full network, to {100 * EXCEEDED:g} %"
