r"""Small ReLU networks from any scale: gradient flow in directions and logarithms of norms, switch by switch.

For a balanced network, v_j = s_j |w_j|, with u_j = w_j/|w_j| and rho_j = log|w_j|, the flow of the exponential loss is exactly

    du_j/dt = s_j (I - u_j u_j') F_j,   drho_j/dt = s_j u_j'F_j,   F_j = sum_i 1[x_i'u_j > 0] y_i exp(-y_i f_i) x_i

with f_i = sum_j s_j exp(2 rho_j) max(x_i'u_j, 0): nothing underflows, so that scales like 10^-300000 are as good as 0.1.

While outputs are below rounding (`QUIET`) the closed form of `vanishing` is used. There drho_j/dt only grows, as
d(u'F)/dt = s |(I - uu')F|^2 and u'F does not jump, so that the end of this phase is found by bisection. From there on the
equations are integrated; a step that ends with an activation on the wrong side of its boundary is cut at the first such crossing.
Neurons that are aligned by then are integrated apart, v > 0 and v < 0, since either sees one class of the data only; where one
class waits long for its turn, its closed form goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from scipy.integrate import DOP853
from scipy.optimize import brentq
from scipy.special import logsumexp

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.gradient_flow.alignment import cones, logarithm
from coherence.gradient_flow.fitting import FITTED
from coherence.gradient_flow.losses import positive
from coherence.gradient_flow.relu import ReLUNetwork, stable_rank
from coherence.gradient_flow.vanishing import AlignmentLimit, alignment_limit, arrivals, record_times, separated_start
from coherence.progress import Progress, silent
from coherence.types import ArrayLike, Real

QUIET = 1e-17  # outputs below it leave exp(-y f) = 1 in double precision
RECORDS = 200  # of a flow, where not asked otherwise
SOLVER_STEPS = 100_000  # of a flow; the longest of the tests takes some 150
REPRESENTABLE = 345.0  # |log| of norms whose square is a normal float


@dataclass(frozen=True, eq=False, repr=False)
class AlignmentFlow(Page):
    """Gradient flow of a small ReLU network in polar coordinates; see `alignment_flow`.

    Attributes
    ----------
    X : (N, D)
        Samples in rows.
    y : (N,)
        Labels.
    signs : (h,)
        Of v_j, which do not change.
    times : (T,)
    directions : (T, D, h)
        w_j/|w_j|.
    log_norms : (T, h)
        Natural logarithms of |w_j| = |v_j|.
    outputs : (T, N)
        f(x_i).
    initial_pattern : (N, h) bool
        Which sample activates which neuron at the start.
    switch_times : (N, h)
        When that changes; infinite where it does not.
    fit_times : (float, float)
        t_2: when the largest |f| of the positive, the negative data first exceeds 1/4; infinite where it has not.
    quiet_until : float
        Until then outputs were below rounding and directions are in closed form.
    status : str
        "completed", or "interrupted" by Ctrl-C: records, switches and fits until then.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.balanced_relu(2, 4, random_state=0)
    >>> gf.alignment_flow(network, [[1.0, 0.0], [-1.0, 0.5]], [1, -1], 30.0, log_scale=-10.0)
    AlignmentFlow(4 neurons, 2 samples; 201 records to t = 30)
    """

    X: Real
    y: Real
    signs: Real
    times: Real
    directions: Real
    log_norms: Real
    outputs: Real
    initial_pattern: np.ndarray
    switch_times: Real
    fit_times: tuple[float, float]
    quiet_until: float
    status: str

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def losses(self) -> Real:
        """sum_i exp(-y_i f(x_i)), (T,)."""
        return np.exp(-self.y * self.outputs).sum(axis=1)

    @property
    def patterns(self) -> np.ndarray:
        """Which sample activates which neuron, (T, N, h) bool, free of rounding at boundaries."""
        return self.initial_pattern ^ (self.switch_times <= self.times[:, None, None])

    @property
    def cones(self) -> np.ndarray:
        """The cone each neuron lies in, (T, h): "+", "-", "dead" or ""."""
        return cones(self.patterns, self.y)

    @property
    def arrivals(self) -> Real:
        """When each neuron reached the cone it stays in, (h,); infinite where it has not."""
        return arrivals(self.initial_pattern, self.switch_times, self.y, self.signs, self.times[-1])

    @property
    def alignment_time(self) -> float:
        """t_1: when the last neuron arrived."""
        return float(self.arrivals.max())

    @property
    def stable_ranks(self) -> Real:
        """|W|_F^2/|W|_2^2, (T,), of norms relative to the largest."""
        scaled = self.directions * np.exp(self.log_norms - self.log_norms.max(axis=1, keepdims=True))[:, None, :]
        return np.array([stable_rank(W) for W in scaled])

    def network(self, record: int) -> ReLUNetwork:
        """The network at one record, where its norms exist as floats."""
        try:
            logarithms = self.log_norms[record]
        except IndexError:
            raise InputError(f"record {record} does not exist; there are {len(self)}, counted from 0") from None
        if np.abs(logarithms).max() > REPRESENTABLE:
            worst = int(np.abs(logarithms).argmax())
            raise InputError(
                f"|w_{worst}| = exp({logarithms[worst]:.6g}) at record {record} is beyond floating point; "
                "use directions and log_norms"
            )
        norms = np.exp(logarithms)
        return ReLUNetwork(self.directions[record] * norms, self.signs * norms)

    @property
    def facts(self) -> dict[str, str]:
        """When neurons aligned and fitted, and what is left."""
        return {
            "all neurons in their cones at": f"{self.alignment_time:.4g}",
            "positive, negative data fitted from": f"{self.fit_times[0]:.4g}, {self.fit_times[1]:.4g}",
            "closed form until": f"{self.quiet_until:.4g}",
            "loss": f"{self.losses[0]:.4g} -> {self.losses[-1]:.4g}",
            "stable rank at the end": f"{self.stable_ranks[-1]:.4g}",
        }

    def __repr__(self) -> str:
        said = "" if self.status == "completed" else f"{self.status}; "
        end = f"{len(self)} records to t = {self.times[-1]:.4g}"
        return f"AlignmentFlow({said}{self.signs.size} neurons, {self.y.size} samples; {end})"


def alignment_flow(
    network: ReLUNetwork,
    X: ArrayLike,
    y: ArrayLike,
    duration: float,
    *,
    log_scale: float = 0.0,
    times: ArrayLike | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-12,
    progress: Progress = silent,
) -> AlignmentFlow:
    r"""Follow gradient flow of the summed exponential loss from W = eps W_0, v = eps v_0, at any scale eps.

    Parameters
    ----------
    network : ReLUNetwork
        W_0 and v_0, balanced: |v_j| = |w_j|.
    X : (N, D)
        Samples in rows.
    y : (N,)
        1 or -1; both occur.
    duration : float
        Of the flow; fitting begins after a time of about log(1/eps) / |x_+|.
    log_scale : float
        Natural logarithm of eps.
    times : (T,), optional
        When to record, ascending in [0, duration]; 200 equal steps where left out.
    rtol, atol : float
        Local error of directions and logarithms of norms, of an order 8(5,3) Runge-Kutta method, where there is no closed form.
    progress : callable

    Returns
    -------
    AlignmentFlow
        On Ctrl-C the records until then, with status "interrupted"; where the first was not reached, KeyboardInterrupt goes on.

    Raises
    ------
    InputError
        A network that is not balanced, data that are not separated or as in `data_separation`, times out of order, a scale at which
        the loss at the start is not finite.
    ToleranceError
        The solver cannot reach the tolerance, or not the end within 100 000 steps (stiff flows of large outputs).

    References
    ----------
    Equations (2.164) to (2.166) and Theorem 2.10 of the dissertation.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> X, y = np.array([[1.0, 0.0], [-1.0, 0.5]]), [1, -1]
    >>> network = gf.balanced_relu(2, 6, random_state=1)
    >>> found = gf.alignment_flow(network, X, y, 8e5, log_scale=-300000 * np.log(10))
    >>> bool(found.losses[-1] < 1e-3), sorted(set(found.cones[-1].tolist()))
    (True, ['+', '-', 'dead'])
    """
    samples, labels, directions, log_norms, signs = separated_start(network, X, y)
    if not network.balanced:
        raise InputError("the network is not balanced; polar coordinates need |v_j| = |w_j|, gradient_flow takes any")
    end = positive(duration, "duration")
    moments = np.linspace(0, end, RECORDS + 1) if times is None else record_times(times)
    if moments[-1] > end:
        raise InputError(f"times end at {moments[-1]:g}, after the duration {end:g}; give times within it")
    log_norms = log_norms + logarithm(log_scale)
    _refuse_infinite(samples @ directions, labels, log_norms, signs)
    limit = alignment_limit(network, samples, labels)
    longest = float(np.linalg.norm(samples, axis=1).max())
    quiet = _quiet_time(limit, log_norms, longest, end)
    # Once all are aligned, neurons of either sign see one class of the data only, and not each other.
    parts = [np.full(signs.size, True)] if quiet < limit.alignment_time else [signs > 0, signs < 0]
    switches, fitted = limit.switch_times.copy(), np.full(2, np.inf)
    turns, logarithms = np.empty((moments.size, samples.shape[1], signs.size)), np.empty((moments.size, signs.size))
    status, reached, steps = "completed", np.inf, SOLVER_STEPS
    parts = [part for part in parts if part.any()]
    for number, part in enumerate(parts):
        start = _quiet_time(limit, np.where(part, log_norms, -np.inf), longest, end)
        early = moments <= start
        turned, grown = limit.at(np.append(moments[early], start))
        turned, grown = turned[:, :, part], grown[:, part]
        known = np.where(limit.switch_times[:, part] <= start, limit.switch_times[:, part], np.inf)
        said = partial(_share, progress, number, len(parts))
        run = _Run(samples, labels, signs[part], rtol, atol, said, end, start, steps)
        pattern = limit.initial_pattern[:, part] ^ np.isfinite(known)
        if status == "completed":
            status = run.integrate(turned[-1], log_norms[part] + grown[-1], pattern, known, moments[~early])
        late = run.records(turned.shape[1:], log_norms[part] + grown[-1])
        count = len(turned) - 1 + len(late[0])
        turns[:count, :, part] = np.concatenate([turned[:-1], late[0]])
        logarithms[:count, part] = np.concatenate([log_norms[part] + grown[:-1], late[1]])
        switches[:, part], fitted = known, np.minimum(fitted, run.fitted)
        reached, steps = min(reached, run.reached), run.steps
    if status == "interrupted":  # what all parts have reached
        count = int((moments <= reached).sum())
        if count == 0:
            raise KeyboardInterrupt
        moments, turns, logarithms = moments[:count], turns[:count], logarithms[:count]
        switches, fitted = np.where(switches <= reached, switches, np.inf), np.where(fitted <= reached, fitted, np.inf)
    hidden = np.where(limit.initial_pattern ^ (switches <= moments[:, None, None]), samples @ turns, 0.0)
    outputs = np.einsum("tnh,th->tn", hidden, signs * np.exp(2 * logarithms))
    fits = (float(fitted[0]), float(fitted[1]))
    return AlignmentFlow(
        samples, labels, signs, moments, turns, logarithms, outputs, limit.initial_pattern, switches, fits, quiet, status
    )


def _refuse_infinite(margins: Real, y: Real, log_norms: Real, signs: Real) -> None:
    """Refuse a start beyond floating point, given x_i'u_j (N, h)."""
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = np.maximum(margins, 0) @ (signs * np.exp(2 * log_norms))
        loss = float(np.exp(-y * outputs).sum())
    if not np.isfinite(loss):
        raise InputError(f"the loss of the network at the start is {loss}; give a scale at which it is finite")


def _share(progress: Progress, number: int, parts: int, stage: str, done: float) -> None:
    """Report what is done of one part as a share of all."""
    progress(stage, (number + done) / parts)


@dataclass
class _Run:
    """The integration from where outputs matter: pieces of smooth flow between switches."""

    X: Real
    y: Real
    signs: Real
    rtol: float
    atol: float
    progress: Progress
    end: float
    reached: float  # at first the start
    steps: int  # that are left
    states: list[Real] = field(default_factory=list)
    fitted: list[float] = field(default_factory=lambda: [np.inf, np.inf])

    def integrate(self, directions: Real, log_norms: Real, pattern: np.ndarray, switches: Real, moments: Real) -> str:
        """Go on to the end, keep states at the moments and fill in `switches`; the status then."""
        try:
            self._integrate(directions, log_norms, pattern, switches, moments)
        except KeyboardInterrupt:
            return "interrupted"
        return "completed"

    def _integrate(self, directions: Real, base: Real, pattern: np.ndarray, switches: Real, moments: Real) -> None:
        shape, start, time = directions.shape, self.reached, self.reached
        gains = self.y[:, None] * self.signs > 0
        state = np.append(directions.ravel(), np.zeros(shape[1]))
        solver = self._solver(time, state, base, pattern, shape)
        while time < self.end:
            self._advance(solver)
            dense, until = solver.dense_output(), solver.t
            wrong = (gains ^ pattern) & (self._margins(solver.y, shape, gains) > 0) & self._awake(pattern)
            crossed = wrong.any()
            if crossed:
                until, pair = self._first_crossing(dense, time, until, wrong, gains, shape)
            self._watch(self.fitted, dense, time, until, base, pattern, shape)
            self.states += [dense(moment) for moment in moments[(moments > time) & (moments <= until)]]
            state = dense(until) if crossed else solver.y
            if crossed:
                pattern = pattern.copy()
                pattern[pair] ^= True
                switches[pair] = until
                turned = state[: -shape[1]].reshape(shape)
                state = np.append((turned / np.linalg.norm(turned, axis=0)).ravel(), state[-shape[1] :])
                if until < self.end:
                    solver = self._solver(until, state, base, pattern, shape)
            self.reached = time = until
            self.progress("alignment flow", (time - start) / (self.end - start))

    def _advance(self, solver: DOP853) -> None:
        """One step of the solver; an error where it cannot or has taken too many."""
        self.steps -= 1
        if self.steps < 0:
            failure: str | None = f"too stiff for {SOLVER_STEPS} steps"
        elif not np.isfinite(solver.h_abs):  # with which the solver would try for ever
            failure = "the velocity is not finite"
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # in steps that the solver tries and rejects
                failure = solver.step()
            if solver.status != "failed":
                return
        raise ToleranceError(
            f"the flow could not be followed beyond t = {solver.t:g} ({failure}); allow a larger rtol or give a smaller scale"
        )

    def records(self, shape: tuple[int, ...], base: Real) -> tuple[Real, Real]:
        """Directions (T, D, h) and log-norms (T, h) at the moments reached."""
        stack = np.array(self.states).reshape(len(self.states), (shape[0] + 1) * shape[1])
        turned = stack[:, : -shape[1]].reshape(-1, *shape)
        return turned / np.linalg.norm(turned, axis=1, keepdims=True), base + stack[:, -shape[1] :]

    def _solver(self, time: float, state: Real, base: Real, pattern: np.ndarray, shape: tuple[int, ...]) -> DOP853:
        def slope(_: float, now: Real) -> Real:
            directions = now[: -shape[1]].reshape(shape)
            outputs = self._outputs(now, base, pattern, shape)
            pull = self.X.T @ ((self.y * np.exp(-self.y * outputs))[:, None] * pattern)
            along = (directions * pull).sum(axis=0)
            return np.append((self.signs * (pull - directions * along)).ravel(), self.signs * along)

        with np.errstate(over="ignore", invalid="ignore"):
            return DOP853(slope, time, state, self.end, rtol=self.rtol, atol=self.atol)

    def _outputs(self, state: Real, base: Real, pattern: np.ndarray, shape: tuple[int, ...]) -> Real:
        directions, growth = state[: -shape[1]].reshape(shape), state[-shape[1] :]
        return np.asarray((pattern * (self.X @ directions)) @ (self.signs * np.exp(2 * (base + growth))))

    def _margins(self, state: Real, shape: tuple[int, ...], gains: np.ndarray) -> Real:
        """x_i'u_j where positive means gained, -x_i'u_j where positive means lost, (N, h)."""
        return np.where(gains, 1.0, -1.0) * (self.X @ state[: -shape[1]].reshape(shape))

    @staticmethod
    def _awake(pattern: np.ndarray) -> np.ndarray:
        """Dead neurons do not move; what they have on a boundary is rounding."""
        return np.asarray(pattern.any(axis=0))[None]

    def _first_crossing(
        self, dense: object, start: float, end: float, wrong: np.ndarray, gains: np.ndarray, shape: tuple[int, ...]
    ) -> tuple[float, tuple[int, int]]:
        rows, columns = np.nonzero(wrong)

        def margin(time: float) -> Real:
            return self._margins(dense(time), shape, gains)[rows, columns]  # type: ignore[operator]

        at_start = margin(start)
        if at_start.max() >= 0:  # on the boundary already: two samples in one direction
            first = int(at_start.argmax())
            return start, (int(rows[first]), int(columns[first]))
        time = float(brentq(lambda t: margin(t).max(), start, end, xtol=1e-15 * max(1.0, end), rtol=1e-14))
        first = int(margin(time).argmax())
        return time, (int(rows[first]), int(columns[first]))

    def _watch(
        self, fitted: list[float], dense: object, start: float, end: float, base: Real, pattern: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        """Note when the outputs of a class first exceed 1/4."""
        for place, label in enumerate((1, -1)):

            def excess(time: float, members: np.ndarray = self.y == label) -> float:
                outputs = self._outputs(dense(time), base, pattern, shape)  # type: ignore[operator]
                return float(np.abs(outputs[members]).max() - FITTED)

            if np.isinf(fitted[place]) and excess(end) >= 0:
                fitted[place] = start if excess(start) >= 0 else float(brentq(excess, start, end))


def _quiet_time(limit: AlignmentLimit, log_norms: Real, largest: float, end: float) -> float:
    """The time until which sum_j |w_j|^2 max|x_i| stays below `QUIET`; its logarithm is convex, so it is passed once at most."""

    def excess(time: float) -> float:
        _, grown = limit.at([time])
        return float(logsumexp(2 * (log_norms + grown[0])) + np.log(largest) - np.log(QUIET))

    if excess(0.0) >= 0:
        return 0.0
    return end if excess(end) <= 0 else float(brentq(excess, 0.0, end, rtol=1e-14))
