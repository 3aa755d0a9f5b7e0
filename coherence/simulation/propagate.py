r"""Large systems through time: truncated Taylor series where nothing is stiff, rational approximations of e^{hM} where it is.

Both go from knot to knot of the times asked, events of the signals among them, exactly linear in the state, and say how far off
they may be.

**Series.** w(t + h) = sum_k (hM)^k w / k! with h |M| of a few units; terms are added until they no longer count, and every sample
within a step comes from the same terms by one matrix product. The estimate is the sum of the last terms in the energy norm, which
a passive network does not increase, and of the rounding of the largest ones.

**Rational.** w(t + h) = sum_i r_i (hM - z_i)^{-1} w with the poles of `numerics.exponential`: one sparse solve with Y(z_i / h)
each. Motions too fast for the step die out in it. The run is repeated with half the step until two agree; the estimate comes from
their distance, and the finer one is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coherence.errors import ToleranceError
from coherence.numerics.exponential import pade
from coherence.simulation.descriptor import Advance, Descriptor
from coherence.simulation.loops import scaled
from coherence.types import Int, Real

REACH = 8.0  # h |M| of a step of the series: its largest term is then some 400 times the state
DEGREE = 80  # of the series at most; a step that needs more is halved
SPEED_STEPS = 40  # of the power iteration that finds |M|
CALLS = 4e5  # multiplications that the calls of one rational step cost, about
SERIES_WORK = 2e9  # multiplications up to which a series is run without looking further (about a second)
MOST_WORK = 1e12  # multiplications after which a simulation is given up (some minutes)
POLES = 8  # of the rational approximation
LOWERED = 3  # times that the goal of a series is lowered
SHORTEST = 1e-9  # step of a series, of the whole time
GROWN = "the response grows beyond all numbers: the network is unstable; take a shorter time"
SAFETY = 2.0  # of an error that is foreseen
RESOLVED = 4.0  # h |M| of a step that follows the fastest motion
FINEST = 256  # parts at most, for seeing what a run loses
NOISE = 1e-6  # of the largest output: rounding of many short steps, which is no loss
CHECKED, FOLLOWED = 3, 2  # events, and steps after each, for that
ROUNDING = 5e-13  # of one of its steps, relative: residues of 1e4
FACTORS = 8  # lengths of steps whose factors are kept
PILOT = 10  # a tenth of the knots and at least ten: where how many parts a step needs is found out
TINY = 1e-5  # of the first step: where outputs that follow at once are read after an event

Event = tuple[float, int, Real]  # when, of which signal, and its state from then on


@dataclass(frozen=True)
class Outputs:
    """Some nodes, and a weighted mean of all."""

    nodes: Int
    mean: Real | None  # weights, (n,)

    def __call__(self, y: Real) -> Real:
        """Of one value per node, (m,)."""
        return y[self.nodes] if self.mean is None else np.append(y[self.nodes], self.mean @ y)

    @property
    def count(self) -> int:
        """How many."""
        return len(self.nodes) + (self.mean is not None)


@dataclass(frozen=True)
class Track:
    """Outputs and their derivatives at the knots, and just before those with an event."""

    value: Real  # (K, m)
    rate: Real
    at: Int  # knots after the first with an event, (E,)
    value_before: Real  # (E, m)
    rate_before: Real
    method: str = ""
    error: float = 0.0
    begun: tuple[tuple[int, Real], ...] = ()  # the first knots with an event, and the states from which it goes on


def propagate(
    system: Descriptor, begin: Real, knots: Real, events: Sequence[Event], outputs: Outputs, tolerance: float, method: str
) -> Track:
    """By the method named, or ("auto") by the cheaper one, counted in multiplications; error <= tolerance times the largest output.

    Raises
    ------
    ToleranceError
        The tolerance is not met with the work allowed.
    """
    series_work, m, speed = np.inf, None, 0.0
    if method != "rational" and (system.degree >= 1).all():
        m = system.generator()
        speed = _speed(system, m)
        series_work = 4 * (speed * (knots[-1] - knots[0]) + len(events) + 1) * (m.nnz + 10 * system.size + 0.05 * CALLS)
    if method == "series" or series_work <= SERIES_WORK:
        if m is None:
            raise ToleranceError("a series needs a derivative at every node; some follow at once. Take method='rational'")
        if series_work > MOST_WORK:
            raise ToleranceError(
                f"motions as fast as {speed:.3g} 1/s over {knots[-1]:g} s are too much work for a series; take 'rational'"
            )
        return _series_to(system, m, speed, begin, knots, events, outputs, tolerance)
    allowed = min(series_work, MOST_WORK) if method == "auto" else MOST_WORK
    found = rational(system, begin, knots, events, outputs, tolerance, allowed, speed)
    if isinstance(found, Track):
        return found
    if m is not None and method == "auto" and series_work <= MOST_WORK:
        return _series_to(system, m, speed, begin, knots, events, outputs, tolerance)
    raise ToleranceError(
        f"the accuracy asked, {tolerance:g} of the largest output, is not met: reached {found:.2g}, and more steps "
        "would be too much work or lose it in rounding; give a larger tolerance, or fewer outputs, without those that swing fast"
    )


def _series_to(
    system: Descriptor, m: Any, speed: float, begin: Real, knots: Real, events: Sequence[Event], outputs: Outputs, tolerance: float
) -> Track:
    """`series` with goals lowered until the estimate, which is of outputs, meets the tolerance."""
    goal = tolerance
    for _ in range(LOWERED):
        found = series(system, m, speed, begin, knots, events, outputs, goal)
        allowed = tolerance * float(np.abs(found.value).max())
        if not found.error > allowed:
            return found
        goal = max(0.1 * goal * allowed / found.error, np.finfo(float).tiny)
    raise ToleranceError(
        f"the accuracy asked, {tolerance:g} of the largest output, is not met by a series, which reached "
        f"{found.error / allowed * tolerance:.2g}: rounding of motions much larger than the outputs; give a larger tolerance"
    )


def series(
    system: Descriptor, m: Any, speed: float, begin: Real, knots: Real, events: Sequence[Event], outputs: Outputs, tolerance: float
) -> Track:
    """By truncated series of M = `m`, whose fastest motion is about `speed` [1/s]."""
    weight, y = _weights(system, speed), system.chain[0]
    m = scaled(m, weight)
    back = 1.0 / weight[y]
    span, worst = float(knots[-1] - knots[0]), float(back[outputs.nodes].max(initial=0.0))

    def read(states: Real) -> Real:
        return outputs(states[y] * back)

    state, steps = begin * weight, 0
    record = _Record(knots, outputs.count)
    now, i, at, step, error = float(knots[0]), 0, 0, REACH / speed, 0.0
    while True:
        if at < len(events) and events[at][0] <= now:
            if i:
                record.before(i)
            while at < len(events) and events[at][0] <= now:
                mine = system.driven[events[at][1]]
                state[mine], at = events[at][2] * weight[mine], at + 1
            record.put(i, read(state), read(m @ state))
        elif i == 0 and now == knots[0]:
            record.put(0, read(state), read(m @ state))
        if i == len(knots) - 1:
            break
        stop = min(events[at][0] if at < len(events) else np.inf, float(knots[-1]))  # a series is of one piece of the signals
        h = min(step, stop - now)
        goal = 1e-2 * tolerance * float(np.linalg.norm(state)) * h / span
        term, total, last, kept = state, np.zeros(len(state)), np.inf, [read(state)]
        for k in range(1, DEGREE + 1):
            term = (m @ term) * (h / k)
            total += term
            kept.append(read(term))
            before_last, last = last, float(np.linalg.norm(term))
            if k > 2 and last + before_last <= goal:
                break
            if not np.isfinite(last):
                raise ToleranceError(GROWN)
        else:
            step = 0.5 * h
            if step <= SHORTEST * span:
                raise ToleranceError("the series does not converge: the motions are too fast for it; take method='rational'")
            continue
        error, steps = error + (last + before_last) * worst, steps + 1
        end = stop if now + h >= stop * (1 - 1e-15) else now + h
        there = int(np.searchsorted(knots, end, side="right"))
        if there > i + 1:
            stack = np.array(kept)
            powers = ((knots[i + 1 : there] - now) / h)[:, None] ** np.arange(len(stack))
            record.put(slice(i + 1, there), powers @ stack, (powers[:, :-1] * (np.arange(1, len(stack)) / h)) @ stack[1:])
            i = there - 1
        state, now = state + total, end
    rounding = np.finfo(float).eps * np.exp(REACH) / np.sqrt(2 * np.pi * REACH) * np.sqrt(steps) * float(np.abs(record.value).max())
    return record.track("series", error + rounding)


def rational(
    system: Descriptor,
    begin: Real,
    knots: Real,
    events: Sequence[Event],
    outputs: Outputs,
    tolerance: float,
    work: float,
    speed: float = 0.0,
) -> Track | float:
    """By rational approximations, steps halved until two runs agree; the accuracy reached where that takes more than `work`.

    How much closer the finer of two runs is than their distance is seen at the beginning, from three, and how it grows with time.
    Motions that are too fast for both die out in both: what is lost so is seen after each event, in a few steps that follow them.
    """
    step = _Stepper(system)

    def run(parts: int, times: Real = knots) -> Track:
        within = [event for event in events if event[0] <= times[-1]]
        found = _stepped(system, step, begin, times, within, outputs, parts)
        if not np.isfinite(found.value).all():
            raise ToleranceError(GROWN)
        return found

    one = step.work * (len(knots) - 1)  # multiplications of a run with one part
    short, gain = knots[: max(PILOT, len(knots) // PILOT)], 1.0
    parts = 2 ** int(np.ceil(np.log2(max(1.0, system.falling * float(np.diff(knots).max())))))  # growth dies out in long steps
    if len(knots) > 2 * len(short):
        sparse = np.unique(np.concatenate([knots[:: PILOT // 2], knots[-1:], [event[0] for event in events]]))
        goal = 0.5 * tolerance * float(np.abs(run(1, sparse).value).max())  # roughly: of the accuracy the end decides
        growth = (knots[-1] - knots[0]) / (short[-1] - short[0])
        alike = float(np.diff(knots).max()) <= float(np.diff(short).max()) * (1 + 1e-9)
        # what later events excite, and wider steps do, is not seen here
        known = alike and (not events or events[-1][0] <= short[0])
        early = [run(parts, short), run(2 * parts, short)]
        while 4 * parts * one <= work and _rounding(2 * parts, knots) < tolerance:
            early.append(run(4 * parts, short))
            apart = _apart(early[1], early[0])
            if apart > 0 and known:
                gain = min(1.0, SAFETY * _grown(early[2], early[1], growth) / apart)
            if gain * apart <= goal:
                break
            early, parts = early[1:], 2 * parts
    coarse, reached = run(parts), np.inf
    while 3 * parts * one <= work and _rounding(2 * parts, knots) < tolerance:
        fine = run(2 * parts)
        size = float(np.abs(fine.value).max())
        error = gain * _apart(fine, coarse) + _rounding(2 * parts, knots) * size
        if error <= tolerance * size:
            lost = _lost(system, step, knots, outputs, fine, 2 * parts, speed)
            error = max(error, SAFETY * lost if lost > NOISE * size else 0.0)
        if error <= tolerance * size:
            return replace(fine, method="rational", error=error, begun=())
        coarse, parts, reached = fine, 2 * parts, error / size
    return float(reached)


def _rounding(parts: int, knots: Real) -> float:
    """What rounding may do to a run, relative to its largest output."""
    return ROUNDING * float(np.sqrt(parts * len(knots)))


def _lost(system: Descriptor, step: _Stepper, knots: Real, outputs: Outputs, fine: Track, parts: int, speed: float) -> float:
    """How far a run is, just after its first events, from one that follows the fastest motions (as far as 256 parts do)."""
    lost, y = 0.0, system.chain[0]
    for i, w in fine.begun:
        for k in range(i, min(i + FOLLOWED, len(knots) - 1)):
            h = float(knots[k + 1] - knots[k])
            needed = min(FINEST, int(np.ceil(h * speed / RESOLVED))) if speed else FINEST
            if needed <= parts:
                break
            for _ in range(needed):
                w, _ = step(w, h / needed)
            at = np.flatnonzero(fine.at == k + 1)
            reached = fine.value_before[at[0]] if at.size else fine.value[k + 1]
            lost = max(lost, float(np.abs(outputs(w[y]) - reached).max()))
            if at.size:
                break
    return lost


def _grown(one: Track, other: Track, growth: float) -> float:
    """What the distance of two runs comes to in a time `growth` times as long, growing on as from first to second half."""
    error = np.abs(one.value - other.value).max(axis=1)
    first, second = (float(half.max()) for half in np.array_split(error, 2))
    return max(first, second) + max(second - first, 0.0) * 2 * (growth - 1)


def _apart(one: Track, other: Track) -> float:
    return float(max(np.abs(one.value - other.value).max(), np.abs(one.value_before - other.value_before).max(initial=0.0)))


def stepped(system: Descriptor, begin: Real, knots: Real, events: Sequence[Event], outputs: Outputs) -> Track:
    """One run with a step from knot to knot, without an estimate of its error."""
    return _stepped(system, _Stepper(system), begin, knots, events, outputs, 1)


def _stepped(
    system: Descriptor, step: _Stepper, begin: Real, knots: Real, events: Sequence[Event], outputs: Outputs, parts: int
) -> Track:
    """One run with every step between knots in so many parts."""
    record, w, at = _Record(knots, outputs.count), begin.copy(), 0
    y = system.chain[0]
    begun: list[tuple[int, Real]] = []
    usual = float(np.median(np.diff(knots)))
    for i, when in enumerate(knots):
        if i:
            for _ in range(parts):
                w, rate = step(w, float(when - knots[i - 1]) / parts)
            record.put(i, outputs(w[y]), outputs(rate))
        if i == 0 or (at < len(events) and events[at][0] <= when):
            if i:
                record.before(i)
            while at < len(events) and events[at][0] <= when:
                w[system.driven[events[at][1]]], at = events[at][2], at + 1
            w, rate = _started(system, step, w, TINY * usual)
            record.put(i, outputs(w[y]), outputs(rate))
            if len(begun) < CHECKED:
                begun.append((i, w.copy()))
    return replace(record.track("rational", 0.0), begun=tuple(begun))


def _started(system: Descriptor, step: _Stepper, w: Real, tiny: float) -> tuple[Real, Real]:
    """The state just after an event, with what follows at once, and all derivatives.

    Passive nodes move their angles at once, which is an impulse of their outputs: the outputs given are those just after it.
    """
    at_once, y = np.flatnonzero(system.degree == 0), system.chain[0]
    if not at_once.size:
        return w, system.rates(w)
    w = w.copy()
    jumping = np.flatnonzero((system.degree == 0) & (system.polynomial[0] == 0))
    if jumping.size:
        places = system.angles.start + (jumping + system.n * np.arange(system.coupling.order)[:, None]).ravel()
        if system.loop is not None and system.loop.outputs[:, jumping].nnz:  # controllers see the impulse, and pass it on
            places = np.delete(np.arange(system.size), [i for mine in system.driven for i in range(mine.start, mine.stop)])
        one, half, quarter = (step(w, part * tiny)[0][places] for part in (1.0, 0.5, 0.25))
        w[places] = (one - 6 * half + 8 * quarter) / 3  # the parabola through the three
        tiny *= 1e3  # rounding of the angles is an impulse, too: of 1 / tiny
    one, half, quarter = (step(w, part * tiny)[0][y][at_once] for part in (1.0, 0.5, 0.25))
    w[y.start + at_once] = (one - 6 * half + 8 * quarter) / 3
    w[y] = system.followed(w)
    rate = system.rates(w)
    rate[at_once] = (-2 * one + 10 * half - 8 * quarter) / tiny
    return w, rate


class _Stepper:
    """Steps by a rational approximation; the factors of a few lengths of step are kept."""

    def __init__(self, system: Descriptor) -> None:
        self.system, (self.z, self.r) = system, pade(POLES)
        self.known: dict[float, Advance] = {}

    @property
    def work(self) -> float:
        """Multiplications of a step, about."""
        return 4.0 * len(self.z) * (self.system.filled + 20 * self.system.size) + CALLS

    def __call__(self, w: Real, h: float) -> tuple[Real, Real]:
        """The state a step later, and y' there."""
        like = next((x for x in self.known if abs(x - h) <= 1e-12 * h), None)
        if like is None:
            if len(self.known) >= FACTORS:
                self.known.pop(next(iter(self.known)))
            self.known[h], like = self.system.resolvents(self.z / h, -2 * self.r / h), h
        return self.known[like](w)


class _Record:
    """What is kept on the way."""

    def __init__(self, knots: Real, width: int) -> None:
        self.value, self.rate = np.zeros((len(knots), width)), np.zeros((len(knots), width))
        self.at: list[int] = []
        self.earlier: list[tuple[Real, Real]] = []

    def put(self, where: int | slice, value: Real, rate: Real) -> None:
        self.value[where], self.rate[where] = value, rate

    def before(self, i: int) -> None:
        """What stands at a knot is from before its event."""
        self.at.append(i)
        self.earlier.append((self.value[i].copy(), self.rate[i].copy()))

    def track(self, method: str, error: float) -> Track:
        width = self.value.shape[1]
        sides = [np.array([pair[j] for pair in self.earlier]).reshape(-1, width) for j in (0, 1)]
        return Track(self.value, self.rate, np.array(self.at, dtype=int), sides[0], sides[1], method, error)


def _weights(system: Descriptor, speed: float) -> Real:
    """`Descriptor.weights`, and of the signals what they move in the time of the fastest motion."""
    weight = system.weights()
    inertia = weight[system.chain[0]]
    for i, mine in enumerate(system.driven):
        weight[mine] = (float(np.linalg.norm(system.shapes[:, i] / inertia)) or 1.0) / speed
    return weight


def _speed(system: Descriptor, m: Any) -> float:
    """About |M| in the energy norm, from below: how fast the fastest motion is [1/s]."""
    weight = system.weights()
    x = np.random.default_rng(0).standard_normal(system.size)
    for mine in system.driven:
        x[mine] = 0.0
    best = float(np.finfo(float).tiny)
    for _ in range(SPEED_STEPS):
        x /= np.linalg.norm(x) or 1.0
        x = weight * (m @ (x / weight))
        best = max(best, float(np.linalg.norm(x)))
    return best
