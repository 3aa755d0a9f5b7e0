r"""Responses of networks to disturbances, exactly at the sampled times.

A disturbance is the output of a small autonomous system (`disturbances`), so state and signals together obey w' = M w,
M = [[A, B u0 c], [0, S]], restarted where a signal has an event: between two such times w(t + h) = e^{Mh} w(t), and the only
error is rounding. One exponential per distinct step; the center of inertia is sum m_i y_i / sum m_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg as sla
from scipy.sparse.linalg import expm_multiply

from coherence.errors import InputError
from coherence.network.network import Network
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.response import Knots, Response
from coherence.types import Real, real_vector

EXPONENTIALS = 40  # distinct steps for which e^{Mh} is formed; further ones act on the state only


def simulate(network: Network, disturbance: Disturbance, time: object = None, *, initial: Any = None) -> Response:
    """The response of a network to a disturbance.

    Parameters
    ----------
    network : Network
        Rational nodes and coupling; stability is not needed.
    disturbance : Disturbance
        `Step`, `Pulse`, `Ramp`, `ExponentialApproach`, `Sinusoid`, `Sampled`, or a sum of them.
    time : (N,) array, optional
        From 0, increasing [s]; default 0..30 s in 0.02 s.
    initial : mapping of label -> output, optional
        Outputs at t = 0 (grids: deviations in rad/s); everything else is at rest.

    Returns
    -------
    Response
        One column per node [grids: rad/s], one row per time.

    Raises
    ------
    UnknownNameError
        The disturbance names a node that the network does not have.
    InputError
        Times that do not start at 0 or do not increase; an initial output of a node without inertia.

    Examples
    --------
    >>> from coherence import Pulse, Step, linearize, load_case, simulate
    >>> network = linearize(load_case("iceland"))
    >>> simulate(network, Step({"Blanda 1": -0.1}) + Pulse({"Krafla 1": 0.2}, duration=0.5))
    Response(35 nodes, 1501 samples over [0, 30] s)
    """
    if not isinstance(disturbance, Disturbance):
        raise InputError(f"the disturbance is a {type(disturbance).__name__}; give Step({{label: size}}) or another")
    t = np.linspace(0.0, 30.0, 1501) if time is None else real_vector(time, "time")
    if len(t) < 2 or t[0] != 0 or (np.diff(t) <= 0).any():
        raise InputError("time must start at 0 and increase, with at least two samples")
    system = network.realization
    n, terms = system.order, [(part.vector(network), part.signal) for part in disturbance.terms]
    size = n + sum(len(signal.c) for _, signal in terms)
    generator, through = np.zeros((size, size)), np.zeros((len(system.c), size))
    generator[:n, :n], through[:, :n] = system.a, system.c
    events: list[tuple[float, slice, Real]] = []
    first = n
    for shape, signal in terms:
        mine = slice(first, first + len(signal.c))
        generator[:n, mine], generator[mine, mine] = np.outer(system.b @ shape, signal.c), signal.s
        through[:, mine] = np.outer(system.d @ shape, signal.c)
        events += [(when, mine, w) for when, w in signal.events]
        first = mine.stop
    begin = np.zeros(size)
    begin[:n] = _initial(network, initial)
    events.sort(key=lambda event: event[0])
    knots = np.unique(np.concatenate([t, [when for when, _, _ in events if when <= t[-1]]]))
    states, before = _states(generator, begin, knots, events)
    inertia = network.nodes.inertia if network.basis is None else np.zeros(network.size)
    slope, y = through @ generator, states @ through.T
    frame = pd.DataFrame(y[np.searchsorted(knots, t)], index=pd.Index(t, name="time [s]"), columns=list(network.labels))
    return Response(frame, inertia, Knots(knots, y, states @ slope.T, before @ through.T, before @ slope.T))


def _initial(network: Network, given: Any) -> Real:
    x, system = np.zeros(network.realization.order), network.realization
    if given is None:
        return x
    for label, value in dict(given).items():
        output = network.index(str(label))
        place = np.flatnonzero(system.c[output])
        if network.basis is not None or len(place) != 1 or system.c[output, place[0]] != 1.0:
            raise InputError(
                f"the output of node {label!r} is no state (it has no inertia), so it has no initial value; leave it out"
            )
        x[place[0]] = float(real_vector(value, f"the initial output of {label!r}")[0])
    return x


def _states(generator: Real, begin: Real, t: Real, events: list[tuple[float, slice, Real]]) -> tuple[Real, Real]:
    """The state at the times, events among them: after the signals are set anew, and before."""
    after, before = np.empty((len(t), len(begin))), np.empty((len(t), len(begin)))
    stepper, state, now, next_event = _Stepper(generator, float(t[-1])), begin, 0.0, 0
    for i, when in enumerate(t):
        state, now = stepper(state, when - now), float(when)
        before[i] = state
        while next_event < len(events) and events[next_event][0] == when:
            _, mine, w = events[next_event]
            state[mine], next_event = w, next_event + 1
        after[i] = state
    return after, before


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
