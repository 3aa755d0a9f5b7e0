r"""How long and how finely a response is worth looking at, where no times are given.

The horizon is that of the motion all share and of the slowest swing against it, not of the slowest pole: eight times as long as the
step response of the coherent dynamics takes to nine tenths of its largest value, and at least three periods at which a typical node
balances lambda_2, |g^{-1}| = |f| lambda_2; after every event, and five time constants of the signals.
The step is a twentieth of the period at which it balances the coupling around it, |g^{-1}| = |f| L_ii.
Under feedback: as long and as fine as without, and at least five time constants of the modes in which the controllers' states take
most part, as integral action does in a slow one (modes of the coherent dynamics under the same feedback, where the loop is large).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coherence.errors import CoherenceError, PoleError
from coherence.network.feedback import ClosedLoop, Feedback
from coherence.network.network import Network
from coherence.numerics.realization import Realization
from coherence.simulation.descriptor import descriptor
from coherence.simulation.disturbances import Signal, Step
from coherence.simulation.propagate import Outputs, stepped
from coherence.theory.coherent import COHERENT, coherent_dynamics
from coherence.types import Real

RISEN, RISES = 0.9, 8.0  # of the largest value; and how many times as long is looked at
SAMPLES = 5000  # at most
PERIODS = 3  # of the slowest swing
FINE = 20  # samples in a period
FOLLOWED = 5.0  # time constants of a signal that are looked at
WINDOWS = 10  # events far apart, each with a horizon of its own
SMALL = 600  # states of the coherent dynamics up to which its stability is looked at
LARGE = 20_000  # nodes up to which lambda_2 is looked for
TRIAL = np.geomspace(1e-6, 1e6, 361)  # rad/s
WITHOUT = 30.0  # s, where nothing gives a time


def default_times(source: Network | ClosedLoop, signals: Sequence[Signal]) -> Real:
    """Times from 0 on for a network, or a loop, under signals, (N,) [s]."""
    network = source.network if isinstance(source, ClosedLoop) else source
    fast = _balance(network, float(np.median(network.laplacian.diagonal()))) if network.size > 1 else np.nan
    slow = _balance(network, network.algebraic_connectivity) if 1 < network.size <= LARGE else np.nan
    period = 2 * np.pi * PERIODS / slow if slow > 0 else 0.0
    horizon = max(x for x in (RISES * _rise(network), period, 0.0) if np.isfinite(x)) or (
        60 * np.pi / fast if fast > 0 else WITHOUT
    )
    if isinstance(source, ClosedLoop):
        horizon = max(horizon, _controlled(source))
    return _spread(horizon, 2 * np.pi / FINE / fast if fast > 0 else np.inf, signals)


def times_of_poles(system: Realization, signals: Sequence[Signal]) -> Real:
    """Times for a state space: seven times its slowest time constant, as far as 5000 samples follow its oscillations."""
    poles = system.poles()
    decay, swing = -poles.real[-poles.real > system.rounding], np.abs(poles[np.abs(poles.imag) > 0.1 * np.abs(poles)])
    step = 2 * np.pi / FINE / float(swing.max()) if swing.size else np.inf
    horizon = min(7.0 / float(decay.min()) if decay.size else WITHOUT, SAMPLES * step)
    return _spread(horizon, step, signals)


def _spread(horizon: float, step: float, signals: Sequence[Signal]) -> Real:
    """Times fine enough for step and signals, for the horizon after each event; coarse in between where events lie far apart."""
    own = np.abs(np.concatenate([np.linalg.eigvals(signal.s) for signal in signals] or [np.zeros(0)]))
    own = own[own > 0]
    if own.size:
        horizon, step = max(horizon, FOLLOWED / own.min()), min(step, 2 * np.pi / FINE / own.max())
    events = np.unique([when for signal in signals for when, _ in signal.events])
    horizon = _rounded(horizon, up=True)
    step = _rounded(min(step, horizon / 500), up=False)
    while horizon / step > 2 * SAMPLES * (1 + 1e-9):
        step = _rounded(1.01 * step, up=True)
    grid = step * np.arange(round(horizon / step) + 1)
    if not events.size or events[-1] == 0.0:
        return grid
    end = events[-1] + horizon
    if end / step <= 2 * SAMPLES:
        return np.asarray(step * np.arange(int(np.ceil(end / step * (1 - 1e-12))) + 1))
    if len(events) > WINDOWS:
        return np.linspace(0.0, end, 2 * SAMPLES + 1)
    fine = np.concatenate([grid, *[when + grid for when in events]])
    return _thinned(np.unique(np.concatenate([fine, np.linspace(0.0, end, 501)])), 1e-3 * step)


def _thinned(times: Real, least: float) -> Real:
    """Without times that follow another by next to nothing."""
    return np.asarray(times[np.concatenate([[True], np.diff(times) > least])])


def _balance(network: Network, stiffness: float) -> float:
    """The highest frequency at which the median node weighs no more than |f| times the stiffness; NaN where there is none."""
    try:
        moving = ~network.nodes.passive
        size = np.median(np.abs(network.nodes.inverse(1j * TRIAL)[:, moving]), axis=1)
    except PoleError:
        return float("nan")
    under = np.flatnonzero(size <= np.abs(network.coupling(1j * TRIAL)) * stiffness)
    return float(TRIAL[under[-1]]) if under.size and under[-1] < len(TRIAL) - 1 else float("nan")


def _controlled(loop: ClosedLoop) -> float:
    """Five time constants of the slowest stable mode in which a controllers' state takes more part than in others; 0 without."""
    k = loop.feedback.controller.order
    try:
        if loop.order > SMALL or loop.network.nodes.passive.any():
            loop = _coherent_loop(loop)
        if not k or loop.order > SMALL:
            return 0.0
        system = loop.realization
        values, right = np.linalg.eig(system.a)
        part = np.abs(right * np.linalg.inv(right).T)
    except (CoherenceError, np.linalg.LinAlgError):
        return 0.0
    own = values.real[part[-k:].argmax(axis=1)]
    own = own[own < -system.rounding]
    return FOLLOWED / float(-own.max()) if own.size else 0.0


def _coherent_loop(loop: ClosedLoop) -> ClosedLoop:
    """The coherent dynamics under the same feedback: powers in total, outputs of all alike, no flows."""
    f = loop.feedback
    actuators, outputs = f.actuators.sum(axis=0, keepdims=True), f.outputs.sum(axis=1, keepdims=True)
    feedback = Feedback(f.controller, actuators, outputs, np.zeros_like(outputs), f.measured, f.powers)
    return ClosedLoop(coherent_dynamics(loop.network), feedback)


def _rise(network: Network) -> float:
    """When the step response of the coherent dynamics first comes to 90 % of its largest value; NaN where it never rests."""
    one = coherent_dynamics(network)
    try:
        if one.order <= SMALL and not one.realization.is_stable():
            return float("nan")
        system = descriptor(one, [(np.ones(1), Step({COHERENT: 1.0}).signal)])
        knots = np.concatenate([[0.0], TRIAL])
        with np.errstate(all="ignore"):
            found = stepped(system, np.zeros(system.size), knots, [(0.0, 0, np.ones(1))], Outputs(np.zeros(1, dtype=int), None))
            y = found.value[:, 0]
    except CoherenceError:
        return float("nan")
    if not np.isfinite(y).all() or not (np.abs(y) > 0).any():
        return float("nan")
    first = int(np.argmax(np.abs(y) >= RISEN * np.abs(y).max()))
    return float(knots[first]) if first < len(knots) - 40 else float("nan")


def _rounded(x: float, *, up: bool) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(x))
    marks = [1.0, 2.0, 5.0, 10.0]
    close = [mark for mark in marks if (mark * power >= x * (1 - 1e-9) if up else mark * power <= x * (1 + 1e-9))]
    return float((min if up else max)(close) * power)
