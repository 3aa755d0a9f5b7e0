r"""Responses of networks and of python-control systems to disturbances.

A disturbance is the output of a small autonomous system (`disturbances`), so state and signals together obey w' = M w, restarted
where a signal has an event, and w(t + h) = e^{Mh} w(t). Up to 600 states that exponential is formed, once per distinct step, and
the only error is rounding; larger networks are never formed (`descriptor`, `propagate`). Every response says how far off it may be.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg as sla
from scipy.sparse.linalg import expm_multiply

from coherence.errors import InputError, ToleranceError, UnknownNameError
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network
from coherence.nodes.nodes import unknown_name
from coherence.nodes.systems import realized
from coherence.numerics.realization import Realization
from coherence.simulation.descriptor import descriptor
from coherence.simulation.disturbances import Disturbance, Signal
from coherence.simulation.horizon import default_times, times_of_poles
from coherence.simulation.propagate import Event, Outputs, Track, propagate
from coherence.simulation.response import Knots, Response
from coherence.types import Int, Real, real_vector

CHECKED, SAFETY = 4, 3.0  # spans between events that are done once more; and a factor on what they differ by
EXPONENTIALS = 40  # distinct steps for which e^{Mh} is formed; further ones act on the state only
EXACT_STATES = 600  # up to which exponentials are formed where any method may be taken
DENSE_STATES = 4000  # up to which they are formed at all
TOLERANCE = 1e-6
SAME = 1e-12  # times that differ by less of the whole are one
LEAST = 1e-12  # tolerance that double precision can give
METHODS = ("auto", "exact", "series", "rational")
Term = tuple[Real, Signal]


def simulate(
    network: Network | ClosedLoop | Any,
    disturbance: Disturbance,
    time: object = None,
    *,
    initial: Mapping[str, float] | None = None,
    outputs: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    method: str = "auto",
) -> Response:
    """The response of a network, under feedback or not, or of a python-control system, to a disturbance.

    Parameters
    ----------
    network : Network, ClosedLoop, StateSpace or TransferFunction
        Rational nodes and coupling, or a continuous-time system whose inputs the disturbance names; stability is not needed.
    disturbance : Disturbance
        `Step`, `Pulse`, `Ramp`, `ExponentialApproach`, `Sinusoid`, `Sampled`, or a sum of them.
    time : (N,) array, optional
        From 0, increasing [s]. By default eight times as long as the coherent dynamics takes to its extreme (Iceland: 20 s), or
        as the disturbance asks, fine enough for a typical swing; `horizon` has the rule. Of a python-control system, seven times
        its slowest time constant, as far as 5000 samples follow its oscillations.
    initial : mapping of label -> output, optional
        Outputs at t = 0 (grids: deviations in rad/s); everything else is at rest.
    outputs : sequence of str, optional
        The nodes to keep (the center of inertia is kept beside); all by default. The accuracy is that of these.
    tolerance : float
        Largest error allowed, relative to the largest output; >= 1e-12.
    method : str
        "exact": exponentials of the whole state matrix (dense); "series": truncated Taylor series (nothing stiff, sparse);
        "rational": rational approximations of the exponential, one sparse factorisation for each length of step (stiff, passive
        buses). "auto" takes the first up to 600 states, else the cheaper one.

    Returns
    -------
    Response
        One column per node [grids: rad/s], one row per time; `error` estimates the largest error, `method` says which was used.
        A step at a passive bus moves its angle at once: the impulse of its output at that instant is left out.

    Raises
    ------
    UnknownNameError
        The disturbance, `initial` or `outputs` names a node that does not exist.
    InputError
        Times that do not start at 0 or do not increase; an initial output of a node without inertia; a discrete-time system.
    ToleranceError
        The tolerance cannot be met.

    Examples
    --------
    >>> from coherence import Pulse, Step, linearize, load_case, simulate
    >>> network = linearize(load_case("iceland"))
    >>> response = simulate(network, Step({"Blanda 1": -0.1}) + Pulse({"Krafla 1": 0.2}, duration=0.5), [0, 1, 2])
    >>> response
    Response(35 nodes, 3 samples over [0, 2] s, exact)
    >>> response.error < 1e-10
    True
    """
    if not isinstance(disturbance, Disturbance):
        raise InputError(f"the disturbance is a {type(disturbance).__name__}; give Step({{label: size}}) or another")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float, np.number)) or not LEAST <= tolerance < 1:
        raise InputError(f"tolerance = {tolerance!r}; give a number from {LEAST:g} to 1, relative to the largest output")
    if method not in METHODS:
        raise InputError(f"method = {method!r}; give one of {', '.join(map(repr, METHODS))}")
    if isinstance(outputs, str):
        raise InputError(f"outputs = {outputs!r}; give a list of labels")
    return respond(Plant.of(network), disturbance, time, initial, outputs, tolerance, method)


def respond(
    plant: Plant,
    disturbance: Disturbance,
    time: object,
    initial: Mapping[str, float] | None,
    outputs: Sequence[str] | None,
    tolerance: float,
    method: str,
) -> Response:
    """The response of what is simulated, by arguments that are checked."""
    terms = [(part.vector(plant), part.signal) for part in disturbance.terms]
    events = sorted(((when, i, w) for i, (_, signal) in enumerate(terms) for when, w in signal.events), key=lambda event: event[0])
    t = _times(plant, terms, time)
    events = _snapped(events, t)
    knots = np.unique(np.concatenate([t, [when for when, _, _ in events]]))
    labels = plant.names if outputs is None else tuple(map(str, outputs))
    places = {name: i for i, name in enumerate(plant.names)}
    picked = np.array([_place(places, label) for label in labels], dtype=int)
    if not len(picked) or len(set(labels)) < len(labels):
        raise InputError("outputs must name at least one node, each once")
    total = plant.inertia.sum()
    mean = plant.inertia / total if total > 0 else None
    if plant.formed(method):
        with np.errstate(over="ignore", invalid="ignore"):  # of an unstable network: refused below
            track = _exact(plant, terms, initial, knots, events, Outputs(picked, mean), tolerance)
    else:
        assert plant.source is not None
        system = descriptor(plant.source, terms)
        begin, y = np.zeros(system.size), system.chain[0].start
        for node, value in _initial(plant, initial):
            if system.degree[node] < 1:
                raise InputError(_stateless(plant.names[node]))
            begin[y + node] = value
        with np.errstate(over="ignore", invalid="ignore"):
            track = propagate(system, begin, knots, events, Outputs(picked, mean), tolerance, method)
    if not np.isfinite(track.value).all():
        raise ToleranceError("the response grows beyond all numbers: the network is unstable; take a shorter time")
    frame = pd.DataFrame(
        track.value[np.searchsorted(knots, t), : len(picked)], index=pd.Index(t, name="time [s]"), columns=list(labels)
    )
    kept = Knots(knots, track.value, track.rate, track.at, track.value_before, track.rate_before)
    source = None if plant.source is None else (plant.source, disturbance, dict(initial or {}))
    return Response(frame, plant.inertia[picked], kept, track.method, track.error, source)


@dataclass(frozen=True, eq=False)
class Plant:
    """What is simulated: inputs, outputs and, where there is one, the network, under feedback or not."""

    labels: tuple[str, ...]  # of the inputs
    names: tuple[str, ...]  # of the outputs
    inertia: Real  # of the outputs
    source: Network | ClosedLoop | None
    system: Realization | None

    @classmethod
    def of(cls, source: Network | ClosedLoop | Any) -> Plant:
        """Of what a user hands in."""
        if isinstance(source, ClosedLoop):
            return cls(source.labels, source.labels, source.network.nodes.inertia, source, None)
        if isinstance(source, Network):
            inertia = source.nodes.inertia if source.basis is None else np.zeros(source.size)
            return cls(source.labels, source.labels, inertia, source, None)
        give = "a Network, a ClosedLoop, a StateSpace or a TransferFunction"
        system, inputs, outputs = realized(source, "cannot be simulated", give=give)
        return cls(inputs, outputs, np.zeros(len(outputs)), None, system)

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.labels)

    def index(self, label: str) -> int:
        """Place of an input."""
        if self.source is not None:
            return self.source.index(label)
        return _place({name: i for i, name in enumerate(self.labels)}, label)

    @property
    def of_nodes(self) -> bool:
        """Whether it is a network of nodes."""
        return isinstance(self.source, ClosedLoop) or (self.source is not None and self.source.basis is None)

    def formed(self, method: str) -> bool:
        """Whether its state matrix is to be formed."""
        if self.source is None or not self.of_nodes:
            if method not in ("auto", "exact"):
                raise InputError(f"method = {method!r} needs a network of nodes; take 'exact'")
            return True
        order = self.source.order
        if method == "exact" and order > DENSE_STATES:
            raise InputError(f"{order} states are too many for exponentials (at most {DENSE_STATES}); take method='auto'")
        nodes = (self.source.network if isinstance(self.source, ClosedLoop) else self.source).nodes
        return method == "exact" or (method == "auto" and order <= EXACT_STATES and not nodes.passive.any())

    @property
    def realization(self) -> Realization:
        """Dense."""
        if self.system is not None:
            return self.system
        assert self.source is not None
        return self.source.realization


def _place(places: Mapping[str, int], label: str) -> int:
    if label not in places:
        raise UnknownNameError(unknown_name("node", label, list(places)))
    return places[label]


def _snapped(events: list[Event], t: Real) -> list[Event]:
    """Events up to the end, at the time of a sample where they differ from it by rounding only."""
    when = np.array([event[0] for event in events])
    after = np.clip(np.searchsorted(t, when), 1, len(t) - 1)
    near = np.where(when - t[after - 1] < t[after] - when, t[after - 1], t[after])
    when = np.where(np.abs(near - when) <= SAME * t[-1], near, when)
    return [(float(time), i, w) for time, (_, i, w) in zip(when, events, strict=True) if time <= t[-1]]


def _times(plant: Plant, terms: list[Term], given: object) -> Real:
    if given is None:
        signals = [signal for _, signal in terms]
        if plant.source is not None and plant.of_nodes:
            return default_times(plant.source, signals)
        return times_of_poles(plant.realization, signals)
    t = real_vector(given, "time")
    if len(t) < 2 or t[0] != 0 or (np.diff(t) <= 0).any():
        raise InputError("time must start at 0 and increase, with at least two samples")
    return t


def _initial(plant: Plant, given: Mapping[str, float] | None) -> list[tuple[int, float]]:
    pairs = [] if given is None else [(str(label), value) for label, value in dict(given).items()]
    if pairs and not plant.of_nodes:
        raise InputError("initial outputs need a network of nodes; start a state space from its states with python-control")
    return [(plant.index(label), float(real_vector(value, f"the initial output of {label!r}")[0])) for label, value in pairs]


def _stateless(label: str) -> str:
    return f"the output of node {label!r} is no state (it has no inertia), so it has no initial value; leave it out"


def _exact(
    plant: Plant,
    terms: list[Term],
    initial: Mapping[str, float] | None,
    knots: Real,
    events: list[Event],
    outputs: Outputs,
    tolerance: float,
) -> Track:
    """By exponentials of the whole, dense."""
    system = plant.realization
    n = system.order
    size = n + sum(len(signal.c) for _, signal in terms)
    generator, through = np.zeros((size, size)), np.zeros((len(system.c), size))
    generator[:n, :n], through[:, :n] = system.a, system.c
    driven, first = [], n
    for shape, signal in terms:
        mine = slice(first, first + len(signal.c))
        generator[:n, mine], generator[mine, mine] = np.outer(system.b @ shape, signal.c), signal.s
        through[:, mine] = np.outer(system.d @ shape, signal.c)
        driven.append(mine)
        first = mine.stop
    begin = np.zeros(size)
    for node, first_value in _initial(plant, initial):
        place = np.flatnonzero(system.c[node])
        if len(place) != 1 or system.c[node, place[0]] != 1.0:
            raise InputError(_stateless(plant.names[node]))
        begin[place[0]] = first_value
    through = through[outputs.nodes] if outputs.mean is None else np.vstack([through[outputs.nodes], outputs.mean @ through])
    after, at, before = _states(generator, begin, knots, [(when, driven[i], w) for when, i, w in events])
    value, slope = after @ through.T, through @ generator
    error = np.finfo(float).eps * float(np.abs(value).max(initial=0.0))
    stops = [0, *at.tolist(), len(knots) - 1]
    for first, last in list(itertools.pairwise(stops))[-CHECKED:]:  # once more between events, in other steps: what rounding did
        if last == first:
            continue
        parts = 3 if last - first == 2 else 2
        state, leap = after[first], sla.expm(generator * ((knots[last] - knots[first]) / parts))
        for _ in range(parts):
            state = leap @ state
        where = np.flatnonzero(at == last)
        found = before[where[0]] if where.size else after[last]
        error += SAFETY * float(np.abs(through @ (state - found)).max(initial=0.0))
    if error > tolerance * np.abs(value).max() and np.isfinite(error):
        raise ToleranceError(
            f"the accuracy asked, {tolerance:g} of the largest output, is not met: rounding alone makes {error:.2g}; give a larger "
            "tolerance, or a shorter time where the network is unstable"
        )
    return Track(value, after @ slope.T, at, before @ through.T, before @ slope.T, "exact", float(error))


def _states(generator: Real, begin: Real, t: Real, events: list[tuple[float, slice, Real]]) -> tuple[Real, Int, Real]:
    """The state at the times, events among them; which of them after the first have one, and the state before those."""
    after = np.empty((len(t), len(begin)))
    at: list[int] = []
    before: list[Real] = []
    stepper, state, now, following = _Stepper(generator, float(t[-1])), begin, 0.0, 0
    for i, when in enumerate(t):
        state, now = stepper(state, when - now), float(when)
        if i and following < len(events) and events[following][0] == when:
            at.append(i)
            before.append(state.copy())
        while following < len(events) and events[following][0] == when:
            _, mine, w = events[following]
            state[mine], following = w, following + 1
        after[i] = state
    return after, np.array(at, dtype=int), np.array(before).reshape(-1, len(begin))


class _Stepper:
    """e^{Mh} x, each exponential formed once."""

    def __init__(self, generator: Real, horizon: float) -> None:
        self.generator, self.same = generator, 8 * np.finfo(float).eps * horizon
        self.known: dict[float, Real] = {}

    def __call__(self, state: Real, step: float) -> Real:
        """The state a step later, as a new array."""
        if step == 0.0:
            return state.copy()
        like = next((h for h in self.known if abs(h - step) <= self.same), None)  # times are rounded, and so are their differences
        if like is None:
            if len(self.known) >= EXPONENTIALS:
                return np.asarray(expm_multiply(self.generator * step, state))
            self.known[step], like = sla.expm(self.generator * step), step
        return np.asarray(self.known[like] @ state)
