r"""The extreme of one output after a disturbance (a nadir), and its derivatives by storage at every node, from two simulations.

    y_c = c^T y,   J = |y_c(t*)| = max_t |y_c(t)|,     dJ/dtheta_i = -sign(y_c(t*)) int_0^{t*} h_ci(t* - tau) (k y_i)(tau) dtau

By the envelope theorem t* may be held: y_c' = 0 there, or t* is an event or the end of the horizon, which do not move. h_ci is y_c
after an impulse at node i; T is symmetric, so it is also y_i after an impulse of shape c: one simulation gives it for all i. It is
taken as the derivative of the response r to a step of shape c (through the lag of k, an exponential approach).

**Quadrature.** Both responses are simulated on times that are symmetric about t*/2, so that their cubics join: over an interval
of width h the integral of cubic times derivative of cubic is exact, and the whole off by O(h^4). With every second time
left out it says how far; times are halved until that is small. What errors of the simulations make of it is in the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.design.energy import moved_at_once
from coherence.design.storage import Storage
from coherence.errors import InputError, ToleranceError
from coherence.network.network import Network
from coherence.simulation.disturbances import Disturbance, ExponentialApproach, Step
from coherence.simulation.response import Curve, Knots
from coherence.simulation.simulate import simulate
from coherence.types import Int, Real

SEEN = 1e-4  # of the extreme: what may hide between samples when it is located
NEAR = 32  # times around it, for where exactly
MOST = 20_000  # times
FIRST = 64  # intervals up to t*, to begin with
TOLERANCE = 1e-4  # of the largest derivative: error of any, estimated
ACCURACY = 1e-7  # of the simulations
SETTLED = 1e-3  # of the extreme: what it still moves in a tenth of the horizon
SAME = 1e-9  # of the time: times that are one
BLOCK = 256  # nodes at a time

# int_0^1 H_a' H_b dx and int_0^1 H_a' H_b' dx of the cubics with value and derivative at 0, then at 1
CROSS = np.array(
    [
        [-1 / 2, -1 / 10, -1 / 2, 1 / 10],
        [1 / 10, 0, -1 / 10, 1 / 60],
        [1 / 2, 1 / 10, 1 / 2, -1 / 10],
        [-1 / 10, -1 / 60, 1 / 10, 0],
    ]
)
STIFF = np.array(
    [
        [6 / 5, 1 / 10, -6 / 5, 1 / 10],
        [1 / 10, 2 / 15, -1 / 10, -1 / 30],
        [-6 / 5, -1 / 10, 6 / 5, -1 / 10],
        [1 / 10, -1 / 30, -1 / 10, 2 / 15],
    ]
)


@dataclass(frozen=True)
class Place:
    """Where an output is of largest size."""

    value: float  # with its sign
    at: float  # s
    kind: str
    after: bool  # just after a jump there
    step: float  # between the samples around it
    rival: tuple[float, float]  # size and time of the next largest local extreme, the end among them; size 0 where there is none


@dataclass(frozen=True)
class NadirSlopes:
    """J, and its derivative at every node."""

    place: Place
    slopes: Real  # (n,); NaN where none exists
    error: Real  # (n,), estimated

    @property
    def value(self) -> float:
        """|y_c(t*)|."""
        return abs(self.place.value)


def nadir_slopes(network: Network, disturbance: Disturbance, weights: Real, storage: Storage, time: object = None) -> NadirSlopes:
    """The extreme of weights @ y, (n,), under a disturbance, and its derivative by theta_i for all nodes.

    Raises
    ------
    InputError
        The output does not move; it follows at once where it has no inertia (inertia there changes the extreme by a jump).
    ToleranceError
        The derivatives are not known to 1e-4 of the largest with 20 000 times.
    """
    place = located(network, disturbance, weights, time)
    shapes = np.column_stack([part.vector(network) for part in disturbance.terms])
    undefined = moved_at_once(network, shapes) | moved_at_once(network, weights[:, None])
    if storage.by == "inertia" and place.after:
        raise InputError(
            f"the extreme, at {place.at:.4g} s, is a jump of nodes without inertia, which inertia would take away whatever its "
            "size; take by='damping' or 'droop', or another output"
        )
    kernel: Disturbance = ExponentialApproach(weights, rate=1 / storage.lag) if storage.lag else Step(weights)
    if place.at == 0.0:  # a jump at the very start: only what follows at once counts
        first, second = (simulate(network, one, time).knots.value[0, : network.size] for one in (disturbance, kernel))
        slopes = np.where(undefined, np.nan, -np.sign(place.value) * first * second)
        return NadirSlopes(place, slopes, np.zeros(network.size))
    events = np.unique([when for part in disturbance.terms for when, _ in part.signal.events])
    intervals, reached = max(FIRST, int(min(place.at / place.step, MOST / 4))), np.inf
    while intervals <= MOST:
        t = mirrored(place.at, events, place.at / intervals)
        if len(t) > 2 * MOST:
            break
        y, r = (_simulated(network, one, t) for one in (disturbance, kernel))
        slopes, error = _joined(y, r, t, storage.by == "inertia", place.after)
        size = float(np.abs(slopes[~undefined]).max(initial=0.0))
        if not error[~undefined].max(initial=0.0) > TOLERANCE * size:
            slopes[undefined] = error[undefined] = np.nan
            return NadirSlopes(place, -np.sign(place.value) * slopes, error)
        reached, intervals = float(error[~undefined].max()) / size, 2 * intervals
    raise ToleranceError(
        f"the derivatives of the extreme are known to {reached:.1e} of the largest only: motions too fast for {MOST} times up "
        f"to {place.at:.4g} s; eliminate or aggregate the fast nodes"
    )


def located(network: Network, disturbance: Disturbance, weights: Real, time: object = None) -> Place:
    """Where weights @ y is of largest size, on times fine enough to tell."""
    picked = np.flatnonzero(weights)
    if (moved_at_once(network, np.column_stack([part.vector(network) for part in disturbance.terms])) & (weights != 0)).any():
        raise InputError(
            "the output has a weight at a bus whose angle the disturbance moves at once, an impulse; weight other nodes"
        )

    def seen(times: object) -> Knots:
        found = simulate(network, disturbance, times, outputs=[network.labels[i] for i in picked], tolerance=ACCURACY)
        return found.knots.columns(np.arange(len(picked))).weighted(weights[picked, None])

    knots = seen(time)
    while True:
        curve, t = Curve(knots), knots.time
        value = float(curve.extremes()[0][0])
        if value == 0.0:
            raise InputError("the output does not move under this disturbance, so it has no extreme; weight other nodes")
        if float(curve.hidden()[0]) <= SEEN * abs(value):
            break
        if 2 * len(t) > MOST:
            raise ToleranceError(
                f"where the extreme is cannot be told: between {len(t)} times the output is known to "
                f"{float(curve.hidden()[0]) / abs(value):.1e} of it only; give a shorter time"
            )
        knots = seen(np.sort(np.concatenate([t, 0.5 * (t[1:] + t[:-1])])))
    at = float(curve.extremes()[1][0])
    k = int(np.clip(np.searchsorted(t, at), 1, len(t) - 1))
    low, high = t[max(k - 2, 0)], t[min(k + 1, len(t) - 1)]
    near = np.linspace(low, high, NEAR)
    near = near[np.abs(near[:, None] - t).min(axis=1) > 1e-3 * (high - low) / NEAR]
    return _placed(seen(np.sort(np.concatenate([t[t <= high], near]))), knots, float(t[k] - t[k - 1]))


def _placed(near: Knots, whole: Knots, step: float) -> Place:
    """From an output on finer times up to just after its extreme, and over the horizon."""
    curve, end = Curve(near), float(whole.time[-1])
    value, at = (float(array[0]) for array in curve.extremes())
    k = int(np.argmin(np.abs(near.time - at)))
    here = abs(near.time[k] - at) <= SAME * end
    jump = here and k in near.at and abs(near.value[k, 0]) > abs(curve.left[k, 0]) * (1 + SAME)
    if here and near.time[k] == end:
        still = abs(float(near.rate[-1, 0])) * 0.1 * end <= SETTLED * abs(value)
        kind = "where it has settled, at the end of the horizon" if still else "at the end of the horizon, where it still moves"
    elif here and (k in near.at or k == 0):
        kind = "at an event of the disturbance"
    else:
        kind = "an extreme between events"
    size, t = np.abs(whole.value[:, 0]), whole.time
    top = np.append(np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] > size[2:])) + 1, len(size) - 1)
    top = top[np.abs(t[top] - at) > 1.5 * step]
    rival = (float(size[top].max()), float(t[top[size[top].argmax()]])) if top.size else (0.0, 0.0)
    if here:
        at = float(near.time[k])
    return Place(value, at, kind, bool(jump or (here and k == 0)), step, rival)


def mirrored(end: float, events: Real, step: float) -> Real:
    """Times from 0 to `end` with the events among them, symmetric about the middle, every second one of a coarser such grid."""
    inside = events[(events > SAME * end) & (events < end * (1 - SAME))]
    marks: list[float] = []
    for mark in np.concatenate([[0.0, end], inside, end - inside]):  # what is first stays as it is
        if not marks or np.abs(np.array(marks) - mark).min() > SAME * end:
            marks.append(float(mark))
    edges = np.sort(marks)
    wide = np.diff(edges)
    parts = 2 * np.ceil(0.25 * (wide + wide[::-1]) / step * (1 - SAME)).astype(int)
    pieces = [a + (b - a) * np.arange(m) / m for a, b, m in zip(edges[:-1], edges[1:], parts, strict=True)]
    return np.append(np.concatenate(pieces), end)


def _simulated(network: Network, disturbance: Disturbance, t: Real) -> tuple[Knots, float]:
    found = simulate(network, disturbance, t, tolerance=ACCURACY)
    if len(found.knots.time) != len(t):
        raise ToleranceError("an event of the disturbance is too near another, or too near the extreme, to be told apart; move it")
    return found.knots.columns(np.arange(network.size)), found.error


def _joined(one: tuple[Knots, float], other: tuple[Knots, float], t: Real, rates: bool, after: bool) -> tuple[Real, Real]:
    """Int r'(t* - tau) y(tau) dtau, or y' for y (`rates`), of every node, with what follows at once; and its estimated error."""
    (y, y_error), (r, r_error) = one, other
    n = y.value.shape[1]
    slopes, error = np.empty(n), np.empty(n)
    even = np.arange(0, len(t), 2)
    for first in range(0, n, BLOCK):
        mine = np.arange(first, min(first + BLOCK, n))
        ym, rm = y.columns(mine), r.columns(mine)
        fine, coarse = (_convolved(ym, rm, t, kept, rates, after) for kept in (np.arange(len(t)), even))
        moved = [_variation(knots.rate if rates else knots.value) for knots in (rm, ym)]
        slopes[mine], error[mine] = fine, np.abs(fine - coarse) + y_error * moved[0] + r_error * moved[1]
    return slopes, error


def _variation(values: Real) -> Real:
    return np.asarray(np.abs(values[0]) + np.abs(np.diff(values, axis=0)).sum(axis=0))


def _convolved(y: Knots, r: Knots, t: Real, kept: Int, rates: bool, after: bool) -> Real:
    left, slope = y.left
    wide = np.diff(t[kept])[:, None]
    begin, stop, back = kept[:-1], kept[1:], kept[::-1]
    forth = (y.value[begin], wide * y.rate[begin], left[stop], wide * slope[stop])
    reverse = (r.value[back[:-1]], -wide * r.rate[back[:-1]], r.value[back[1:]], -wide * r.rate[back[1:]])
    table = STIFF if rates else CROSS
    total = np.zeros(y.value.shape[1])
    for a in range(4):
        mixed = sum(table[a, b] * forth[b] for b in range(4))
        total -= np.sum(reverse[a] * (mixed / wide if rates else mixed), axis=0)
    if not rates:
        return np.asarray(total + r.value[0] * (y.value[-1] if after else left[-1]))
    jumps = y.value[0] * r.rate[-1]  # what follows at once, at every event
    for k in y.at[y.at < len(t) - 1]:
        jumps = jumps + (y.value[k] - left[k]) * r.rate[len(t) - 1 - k]
    return np.asarray(total + jumps + r.value[0] * slope[-1])
