r"""Gradient flow and gradient descent of any network with closed-form gradients.

    flow      dtheta/dt = -grad L(theta)                 by an adaptive Runge-Kutta method
    descent   theta <- theta - eta grad L(theta)         step k is time k eta of the flow

Both record what they pass, report progress, and hand back what was run so far when interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import integrate

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.gradient_flow.losses import Loss, positive
from coherence.gradient_flow.trajectory import Trainable, Trajectory
from coherence.progress import Progress, silent
from coherence.types import ArrayLike, Real, real_vector

RECORDS, FEWEST = 200, 10  # of a trajectory, where not asked otherwise
MEMORY = 5e8  # bytes that these may take
STUCK = 2000  # evaluations in a row that are not finite, after which a flow is given up
LEAST_RTOL = 100 * np.finfo(float).eps  # of scipy's solvers
DIVERGED = 1e8  # times the loss above its infimum at the start
METHODS = {"DOP853": integrate.DOP853, "RK45": integrate.RK45, "LSODA": integrate.LSODA, "Radau": integrate.Radau}


class Recorder:
    """Losses and parameters at recorded times; what is recorded stays when a run is interrupted."""

    def __init__(self, network: Trainable, loss: Loss, stop: float | None) -> None:
        if not hasattr(network, "objective"):
            raise InputError(f"network is {network!r:.60}; give a LinearNetwork, DiagonalNetwork, GramNetwork or ReLUNetwork")
        if stop is not None and not (np.ndim(stop) == 0 and np.isreal(stop) and 0 <= stop < np.inf):
            raise InputError(f"stop is {stop}; give a loss above the infimum, >= 0, or None")
        self.network, self.loss, self.stop = network, loss, stop
        self.value, self.gradient = network.objective(loss)
        self.shapes = [array.shape for array in network.parameters]
        self.ends = np.cumsum([array.size for array in network.parameters])[:-1]
        self.kept: list[tuple[float, float, int, list[Real]]] = []
        first, at_zero = self.loss_at(network.parameters), self.loss_at([0 * array for array in network.parameters])
        if not np.isfinite(first):
            raise InputError(f"the loss of the network at the start is {first}; give weights at which it is finite")
        rounding = np.finfo(float).eps * max(abs(first), abs(loss.minimum), abs(at_zero) if np.isfinite(at_zero) else 0.0)
        self.limit = DIVERGED * max(first - loss.minimum, rounding)

    @property
    def records(self) -> int:
        """How many records are kept where nobody says."""
        size = 8 * sum(array.size for array in self.network.parameters)
        return int(np.clip(MEMORY // size, FEWEST, RECORDS))

    def loss_at(self, parameters: Sequence[Real]) -> float:
        """The loss, infinite where it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.value(parameters))

    def slopes(self, parameters: Sequence[Real], where: str) -> tuple[Real, ...]:
        """The gradient; one that is not finite where the loss is fine is refused."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.gradient(parameters)
        if not all(np.isfinite(slope).all() for slope in found) and self.loss_at(parameters) - self.loss.minimum <= self.limit:
            loss = self.loss_at(parameters)
            raise InputError(f"the gradient is not finite at {where}, where the loss is {loss:.4g}; check the loss's gradient")
        return found

    def record(self, time: float, step: int, parameters: list[Real]) -> float:
        """Keep one moment; return its loss above the infimum."""
        loss = self.loss_at(parameters)
        self.kept.append((time, loss, step, parameters))
        return loss - self.loss.minimum

    def arrived(self, excess: float) -> bool:
        """Whether the loss asked for is reached."""
        return self.stop is not None and excess <= self.stop

    def trajectory(self, status: str) -> Trajectory:
        """All that was kept, which is given away: stacks are made one at a time, in half the memory."""
        times, losses, steps, parameters = zip(*self.kept, strict=True)
        moments = [list(arrays) for arrays in parameters]
        self.kept = []
        del parameters
        stacks = tuple(np.stack([arrays.pop(0) for arrays in moments]) for _ in self.shapes)
        return Trajectory(self.network, self.loss, np.array(times), np.array(losses), stacks, status, np.array(steps))

    def flat(self, parameters: Sequence[Real]) -> Real:
        """All parameters as one vector."""
        return np.concatenate([np.ravel(array) for array in parameters])

    def unflat(self, vector: Real) -> list[Real]:
        """A vector as parameters."""
        return [part.reshape(shape) for part, shape in zip(np.split(vector, self.ends), self.shapes, strict=True)]


def gradient_flow(
    network: Trainable,
    loss: Loss,
    duration: float,
    *,
    times: ArrayLike | None = None,
    method: str = "DOP853",
    rtol: float = 1e-10,
    atol: float = 1e-13,
    stop: float | None = None,
    progress: Progress = silent,
) -> Trajectory:
    """Follow dtheta/dt = -grad L(theta) for some time.

    Parameters
    ----------
    network : LinearNetwork, DiagonalNetwork or ReLUNetwork
    loss : Loss
    duration : float
        Time of the flow, >= 0 records included.
    times : (T,), optional
        When to record, ascending within [0, duration]; 201 evenly spaced times where left out, fewer where they would take more
        than 0.5 GB.
    method : {"DOP853", "RK45", "LSODA", "Radau"}
        Runge-Kutta of order 8; LSODA and Radau for stiff flows, where weights or samples differ much in size.
    rtol, atol : float
        Tolerances of each step. Imbalances drift by about as much as they say.
    stop : float, optional
        Ends once the loss is this near to its infimum.
    progress : callable, optional
        Called with a stage and the share of the time that has passed.

    Returns
    -------
    Trajectory
        On Ctrl-C what was run so far, with status "interrupted".

    Raises
    ------
    InputError
        Times that are not ascending or outside, a duration or tolerance that is not positive, a loss of matrices of another shape.
    ToleranceError
        The tolerances cannot be met (a flow that leaves every bound in finite time).

    Notes
    -----
    A wide linear network trains the same, and faster, as ``network.narrowed()``; a regression also as `gram_network`. A progress
    bar on a terminal: ``with coherence.terminal.bar() as progress``.

    References
    ----------
    Equations (2.98) and (2.100) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[1.0]], [[1.0]]])
    >>> found = gf.gradient_flow(network, gf.squared_loss([[2.0]]), 1.0, times=[0.0, 1.0])
    >>> round(found.final.product.item(), 4)  # w' = 2 w (2 - w) from 1: 2/(1 + exp(-4))
    1.964
    """
    run = Recorder(network, loss, stop)
    duration, rtol, atol = positive(duration, "duration"), positive(rtol, "rtol"), positive(atol, "atol")
    if rtol < LEAST_RTOL:
        raise InputError(f"rtol is {rtol:g}; give at least {LEAST_RTOL:g}, below which steps are judged by rounding")
    if method not in METHODS:
        raise InputError(f"method is {method!r}; give one of {', '.join(METHODS)}")
    when = np.linspace(0, duration, run.records + 1) if times is None else real_vector(times, "times")
    if when.size == 0 or (np.diff(when) <= 0).any() or when[0] < 0 or when[-1] > duration:
        raise InputError(f"times must be ascending within [0, {duration:g}], the duration")

    wild = 0  # evaluations in a row that are not finite

    def velocity(time: float, vector: Real) -> Real:
        nonlocal wild
        found = -run.flat(run.slopes(run.unflat(vector), f"t = {time:g}"))
        wild = 0 if np.isfinite(found).all() else wild + 1
        if wild > STUCK:
            raise ToleranceError(f"loss and gradient are not finite near t = {time:g}; the flow leaves where the loss is defined")
        return found

    steps, status, reached, state = 0, "completed", 0.0, run.flat(network.parameters)
    pending = list(when[::-1])
    if pending[-1] == 0:
        run.record(pending.pop(), 0, list(network.parameters))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            solver: Any = METHODS[method](velocity, 0.0, state, duration, rtol=rtol, atol=atol)
            while solver.status == "running":
                said = solver.step()
                if solver.status == "failed":
                    raise ToleranceError(
                        f"the flow could not be followed beyond t = {solver.t:g} ({said}); the loss may be unbounded below, "
                        "or the flow stiff: try method='Radau'"
                    )
                steps, reached, state = steps + 1, solver.t, solver.y.copy()
                if pending and pending[-1] <= reached:
                    passed = solver.dense_output()
                    while pending and pending[-1] <= reached:
                        time = pending.pop()
                        run.record(time, steps, run.unflat(state if time == reached else passed(time)))
                progress("gradient flow", reached / duration)
                if stop is not None and run.arrived(run.loss_at(run.unflat(state)) - loss.minimum):
                    status = "stopped"
                    break
    except KeyboardInterrupt:
        status = "interrupted"
    if status != "completed" and (not run.kept or run.kept[-1][0] < reached):
        run.record(reached, steps, run.unflat(state))
    return run.trajectory(status)


def gradient_descent(
    network: Trainable,
    loss: Loss,
    step_size: float,
    steps: int,
    *,
    record_every: int | None = None,
    stop: float | None = None,
    progress: Progress = silent,
) -> Trajectory:
    """Take steps theta <- theta - eta grad L(theta).

    Parameters
    ----------
    network : LinearNetwork, DiagonalNetwork or ReLUNetwork
    loss : Loss
    step_size : float
        eta.
    steps : int
    record_every : int, optional
        Steps between records; some 200 records where left out, fewer where they would take more than 0.5 GB. The first and the last
        step are always recorded.
    stop : float, optional
        Ends at the first record whose loss is this near to its infimum.
    progress : callable, optional
        Called at each record with a stage and the share of the steps taken.

    Returns
    -------
    Trajectory
        `times` are steps times eta. On Ctrl-C what was run so far, with status "interrupted".

    Raises
    ------
    InputError
        A step size or number of steps that is not positive, a loss of matrices of another shape, a gradient that is not finite
        where the loss is.
    InstabilityError
        Descent diverges: a gradient is not finite, or at a record the loss above its infimum is 10^8 times that at the start. The
        error names the step; its attribute `trajectory` holds what was run.

    References
    ----------
    Equation (2.2) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[1.0]], [[1.0]]])
    >>> found = gf.gradient_descent(network, gf.squared_loss([[2.0]]), 0.1, 100)
    >>> round(found.final.product.item(), 6)
    2.0
    """
    run = Recorder(network, loss, stop)
    eta = positive(step_size, "step_size")
    count = positive_integer(steps, "steps")
    every = max(1, count // run.records) if record_every is None else positive_integer(record_every, "record_every")
    parameters, step = list(network.parameters), 0
    run.record(0.0, 0, parameters)
    status = "completed"
    try:
        while step < count:
            slopes = run.slopes(parameters, f"step {step}")
            with np.errstate(over="ignore", invalid="ignore"):
                moved = [array - eta * slope for array, slope in zip(parameters, slopes, strict=True)]
            if not all(np.isfinite(array).all() for array in moved):
                if run.kept[-1][2] < step:
                    run.record(step * eta, step, parameters)
                raise diverged(run, step + 1, eta)
            parameters, step = moved, step + 1
            if step % every == 0 or step == count:
                excess = run.record(step * eta, step, parameters)
                progress("gradient descent", step / count)
                if not excess <= run.limit:
                    raise diverged(run, step, eta)
                if run.arrived(excess):
                    status = "stopped"
                    break
    except KeyboardInterrupt:
        status = "interrupted"
        if run.kept[-1][2] < step:
            run.record(step * eta, step, parameters)
    return run.trajectory(status)


def diverged(run: Recorder, step: int, eta: float) -> InstabilityError:
    """The error that says so, with the trajectory until then."""
    first, last = run.kept[0][1], run.kept[-1]
    error = InstabilityError(
        f"gradient descent diverged at step {step} (the loss was {first:.4g} at the start and {last[1]:.4g} at step {last[2]}); "
        f"step_size = {eta:g} is too large, take a smaller one"
    )
    error.trajectory = run.trajectory("diverged")  # type: ignore[attr-defined]
    return error


def positive_integer(value: int, name: str) -> int:
    """Return a whole number of at least one, or say which one is not."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if isinstance(value, (str, bool)) or number != value or number < 1:
        raise InputError(f"{name} is {value!s:.60}; give a whole number of at least 1")
    return number
