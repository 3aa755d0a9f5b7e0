r"""Small ReLU networks from any scale: gradient flow in directions and logarithms of norms, with activations switched where they change.

For a balanced network, v_j = s_j |w_j|, with u_j = w_j/|w_j| and rho_j = log|w_j|, the flow of the exponential loss is exactly

    du_j/dt = s_j (I - u_j u_j') F_j,   drho_j/dt = s_j <u_j, F_j>,   F_j = sum_i 1[<x_i, u_j> > 0] y_i exp(-y_i f_i) x_i

with f_i = sum_j s_j exp(2 rho_j) max(<x_i, u_j>, 0): nothing underflows, so that scales like 10^-300000 are as good as 0.1.

While outputs are below rounding (`QUIET`), exp(-y_i f_i) is 1 to every digit and each neuron moves by itself. Between two switches its
F is constant, and with tau = s|F|t, c = <u(0), F>/|F|, a hyperbolic rotation solves the equations,

    u(t) = (u(0) + ((cosh tau - 1) c + sinh tau) F/|F|) / (cosh tau + c sinh tau),   rho(t) - rho(0) = log(cosh tau + c sinh tau)

so that <x_i, u(t)> = 0 is a quadratic equation in exp|tau|: alignment is computed event by event without an integrator
(`alignment_limit`). Only from there on, `alignment_flow` integrates.

Data must be separated (mu > 0, see `alignment`). Then F_j lies in the cone of the y_i x_i, so that y_i <x_i, F_j> > 0, whatever the
outputs: neurons with s = 1 only gain positive and lose negative data, those with s = -1 the reverse, each sample at most once, and
cross the boundary at an angle. Otherwise neurons may slide along a boundary, where the flow is a differential inclusion.
drho_j/dt only grows while outputs are below rounding, as d<u, F>/dt = s |(I - uu')F|^2 and <u, F> does not jump.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.integrate import DOP853
from scipy.optimize import brentq
from scipy.special import logsumexp

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.gradient_flow.alignment import FITTED, cones, data_separation, labelled_data, polar_coordinates
from coherence.gradient_flow.losses import positive
from coherence.gradient_flow.relu import ReLUNetwork, stable_rank
from coherence.progress import Progress, silent
from coherence.types import ArrayLike, Real, real_vector

QUIET = 1e-17  # outputs below it leave exp(-y f) = 1 in double precision
LARGEST = 300.0  # of exponents in steps that the solver tries and rejects
RECORDS = 200  # of a flow, where not asked otherwise
REPRESENTABLE = 345.0  # |log| of norms whose square is a normal float


@dataclass(frozen=True, eq=False, repr=False)
class AlignmentLimit(Page):
    """Directions of the neurons of a vanishingly small network, exactly; see `alignment_limit`.

    Attributes
    ----------
    y : (N,)
        Labels.
    signs : (h,)
        Of v_j.
    initial_pattern : (N, h) bool
        Which sample activates which neuron at the start.
    switch_times : (N, h)
        When that changes; it does at most once. Infinite where it never does.
    """

    y: Real
    signs: Real
    initial_pattern: np.ndarray
    switch_times: Real
    pieces: tuple[Real, Real, Real, Real] = field(default=(np.empty(0),) * 4)  # start (R, h), u there (R, D, h), growth (R, h), F

    @property
    def arrivals(self) -> Real:
        """When each neuron reaches the cone it stays in, (h,); infinite where it starts on what repels it."""
        return arrivals(self.initial_pattern, self.switch_times, self.y, self.signs, np.inf)

    @property
    def alignment_time(self) -> float:
        """t_1: when the last neuron arrives."""
        return float(self.arrivals.max())

    @property
    def cones(self) -> np.ndarray:
        """The cone each neuron ends in, (h,): "+", "-" or "dead"."""
        return cones(self.initial_pattern ^ np.isfinite(self.switch_times), self.y)

    def at(self, times: ArrayLike) -> tuple[Real, Real]:
        """Directions (T, D, h) and log|w_j(t)| - log|w_j(0)| (T, h) at times (T,)."""
        moments = _times(times)
        starts, directions, growths, pulls = self.pieces
        piece = (starts[None] <= moments[:, None, None]).sum(axis=1) - 1
        neuron = np.arange(self.signs.size)
        since = moments[:, None] - starts[piece, neuron]
        # Advanced indices around a slice come first: (T, h, D).
        turned, grown = _moved(
            np.moveaxis(directions[piece, :, neuron], 2, 1), np.moveaxis(pulls[piece, :, neuron], 2, 1), self.signs, since
        )
        return turned, growths[piece, neuron] + grown

    @property
    def facts(self) -> dict[str, str]:
        """When and where neurons arrive."""
        names, counts = np.unique(self.cones, return_counts=True)
        return {
            "all neurons in their cones at": f"{self.alignment_time:.4g}",
            "neurons by cone": ", ".join(f"{name or 'none'}: {count}" for name, count in zip(names, counts, strict=True)),
            "switches of activations": f"{int(np.isfinite(self.switch_times).sum())}",
        }

    def __repr__(self) -> str:
        return f"AlignmentLimit({self.signs.size} neurons, {self.y.size} samples; t_1 = {self.alignment_time:.4g})"


def alignment_limit(network: ReLUNetwork, X: ArrayLike, y: ArrayLike) -> AlignmentLimit:
    r"""Follow the directions of a network of vanishing scale to their cones, exactly.

        du_j/dt = sign(v_j) (I - u_j u_j') sum_{i: <x_i, u_j> > 0} y_i x_i

    Closed form between switches, whose times are roots of quadratic equations. For scales up to `log_scale_bound` outputs stay below
    rounding until all have arrived (usually by hundreds of decades), and this is the network's own motion.

    Parameters
    ----------
    network : ReLUNetwork
        Only the directions of its neurons and the signs of v matter.
    X : (N, D)
        Samples in rows.
    y : (N,)
        1 or -1; both occur.

    Returns
    -------
    AlignmentLimit

    Raises
    ------
    InputError
        Data that are not separated, or as in `data_separation`; a neuron with w_j = 0 or v_j = 0.

    Notes
    -----
    One pass over all pairs of samples and neurons for each switch of the neuron that has most of them, so at most N passes.

    References
    ----------
    Equation (2.166) and Figure 2-10 of the dissertation for the flow; the closed form follows from it.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[-1.0, -1.0], [1.0, -2.0]], [1.0, -1.0])
    >>> found = gf.alignment_limit(network, [[1.0, 0.0], [-1.0, 0.5]], [1, -1])
    >>> found.cones, found.arrivals.round(4)
    (array(['+', 'dead'], dtype='<U4'), array([1.423, 0.   ]))
    """
    samples, labels, directions, _, signs = _start(network, X, y)
    pattern = samples @ directions > 0
    first = pattern.copy()
    switches = np.full(pattern.shape, np.inf)
    gains = labels[:, None] * signs > 0  # pairs that can only be gained; the others can only be lost
    now, growth, moving = np.zeros(signs.size), np.zeros(signs.size), np.full(signs.size, True)
    pieces: list[tuple[Real, Real, Real, Real]] = []
    while moving.any():
        pull = samples.T @ (labels[:, None] * pattern)
        pieces.append((np.where(moving, now, np.inf), directions, growth, pull))
        delay, datum = _next_switch(samples, directions, signs, pattern, gains, pull)
        moving = moving & np.isfinite(delay)
        movers = np.flatnonzero(moving)
        wait = np.where(moving, delay, 0.0)
        directions, grown = _moved(directions, pull, signs, wait)
        growth, now = growth + grown, now + wait
        pattern = pattern.copy()
        pattern[datum[movers], movers] ^= True
        switches[datum[movers], movers] = now[movers]
    starts, turned, grown, pulls = (np.stack(part) for part in zip(*pieces, strict=True))
    return AlignmentLimit(labels, signs, first, switches, (starts, turned, grown, pulls))


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
                f"|w_{worst}| = exp({logarithms[worst]:.6g}) at record {record} is beyond floating point; use directions and log_norms"
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
        return f"AlignmentFlow({self.signs.size} neurons, {self.y.size} samples; {len(self)} records to t = {self.times[-1]:.4g})"


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

    Raises
    ------
    InputError
        A network that is not balanced, data that are not separated or as in `data_separation`, times out of order.
    ToleranceError
        The solver cannot reach the tolerance.

    Notes
    -----
    Every step that ends with an activation on the wrong side of its boundary is cut at the first such crossing.

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
    samples, labels, _, log_norms, signs = _start(network, X, y)
    if not network.balanced:
        raise InputError("the network is not balanced; polar coordinates need |v_j| = |w_j|, gradient_flow takes any")
    end = positive(duration, "duration")
    if not np.isfinite(log_scale):
        raise InputError(f"log_scale is {log_scale}; give the natural logarithm of the scale eps, a finite number")
    moments = np.linspace(0, end, RECORDS + 1) if times is None else _times(times)
    if moments[-1] > end:
        raise InputError(f"times end at {moments[-1]:g}, after the duration {end:g}; give times within it")
    log_norms = log_norms + log_scale
    limit = alignment_limit(network, samples, labels)
    quiet = _quiet_time(limit, log_norms, np.linalg.norm(samples, axis=1).max(), end)
    early = moments <= quiet
    turned, grown = limit.at(np.append(moments[early], quiet))
    run = _Run(samples, labels, signs, rtol, atol, progress, end)
    switches = np.where(limit.switch_times <= quiet, limit.switch_times, np.inf)
    pattern = limit.initial_pattern ^ np.isfinite(switches)
    late, fitted = run.integrate(quiet, turned[-1], log_norms + grown[-1], pattern, switches, moments[~early])
    all_directions = np.concatenate([turned[:-1], late[0]])
    all_logarithms = np.concatenate([log_norms + grown[:-1], late[1]])
    patterns = limit.initial_pattern ^ (switches <= moments[:, None, None])
    hidden = np.where(patterns, samples @ all_directions, 0.0)
    outputs = np.einsum("tnh,th->tn", hidden, signs * np.exp(2 * all_logarithms))
    return AlignmentFlow(
        samples, labels, signs, moments, all_directions, all_logarithms, outputs, limit.initial_pattern, switches, fitted, quiet
    )


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

    def integrate(
        self, start: float, directions: Real, log_norms: Real, pattern: np.ndarray, switches: Real, moments: Real
    ) -> tuple[tuple[Real, Real], tuple[float, float]]:
        """Return directions (T, D, h) and log-norms (T, h) at the moments, and the times of fitting; fills in `switches`."""
        shape = directions.shape
        records: list[Real] = []
        fitted = [np.inf, np.inf]
        gains = self.y[:, None] * self.signs > 0
        time, state, base = start, np.append(directions.ravel(), np.zeros(shape[1])), log_norms
        solver = self._solver(time, state, base, pattern, shape)
        while time < self.end:
            failure = solver.step()
            if solver.status == "failed":
                raise ToleranceError(f"the flow could not be followed beyond t = {time:g} ({failure}); allow a larger rtol")
            dense, until = solver.dense_output(), solver.t
            wrong = (gains ^ pattern) & (self._margins(solver.y, shape, gains) > 0) & self._awake(pattern)
            crossed = wrong.any()
            if crossed:
                until, pair = self._first_crossing(dense, time, until, wrong, gains, shape)
            self._watch(fitted, dense, time, until, base, pattern, shape)
            take = (moments > time) & (moments <= until)
            records += [dense(moment) for moment in moments[take]]
            state = dense(until) if crossed else solver.y
            time = until
            if crossed:
                pattern = pattern.copy()
                pattern[pair] ^= True
                switches[pair] = time
                turned = state[: -shape[1]].reshape(shape)
                state = np.append((turned / np.linalg.norm(turned, axis=0)).ravel(), state[-shape[1] :])
                if time < self.end:
                    solver = self._solver(time, state, base, pattern, shape)
            self.progress("alignment flow", (time - start) / (self.end - start))
        stack = np.array(records).reshape(len(records), state.size)
        turned = stack[:, : -shape[1]].reshape(-1, *shape)
        turned = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        return (turned, base + stack[:, -shape[1] :]), (float(fitted[0]), float(fitted[1]))

    def _solver(self, time: float, state: Real, base: Real, pattern: np.ndarray, shape: tuple[int, ...]) -> DOP853:
        def slope(_: float, now: Real) -> Real:
            directions = now[: -shape[1]].reshape(shape)
            outputs = self._outputs(now, base, pattern, shape)
            pull = self.X.T @ ((self.y * np.exp(np.minimum(-self.y * outputs, LARGEST)))[:, None] * pattern)
            along = (directions * pull).sum(axis=0)
            return np.append((self.signs * (pull - directions * along)).ravel(), self.signs * along)

        return DOP853(slope, time, state, self.end, rtol=self.rtol, atol=self.atol)

    def _outputs(self, state: Real, base: Real, pattern: np.ndarray, shape: tuple[int, ...]) -> Real:
        directions, growth = state[: -shape[1]].reshape(shape), state[-shape[1] :]
        return np.asarray((pattern * (self.X @ directions)) @ (self.signs * np.exp(np.minimum(2 * (base + growth), LARGEST))))

    def _margins(self, state: Real, shape: tuple[int, ...], gains: np.ndarray) -> Real:
        """<x_i, u_j> where positive means gained, -<x_i, u_j> where positive means lost, (N, h)."""
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


def arrivals(first: np.ndarray, switches: Real, y: Real, signs: Real, end: float) -> Real:
    """When each neuron reached the cone that fits its sign, or none of the data; infinite where it has not."""
    happened = switches <= end
    names = cones(first ^ (happened & np.isfinite(switches)), y)
    trapped = (names == "dead") | (names == np.where(signs > 0, "+", "-"))
    last = np.where(happened & np.isfinite(switches), switches, 0.0).max(axis=0)
    return np.where(trapped, last, np.inf)


def _start(network: ReLUNetwork, X: ArrayLike, y: ArrayLike) -> tuple[Real, Real, Real, Real, Real]:
    samples, labels = labelled_data(X, y)
    directions, log_norms, signs = polar_coordinates(network)
    if samples.shape[1] != network.dimension:
        raise InputError(f"X has {samples.shape[1]} columns and the neurons have {network.dimension} weights; these must be equal")
    separation = data_separation(samples, labels)
    if separation <= 0:
        raise InputError(
            f"the data are not separated (mu = {separation:.3g}), so that neurons may slide along boundaries; "
            "give data with mu > 0, or train by gradient_descent"
        )
    return samples, labels, directions, log_norms, signs


def _times(times: ArrayLike) -> Real:
    moments = real_vector(times, "times")
    if moments.size == 0 or moments[0] < 0 or (np.diff(moments) < 0).any():
        raise InputError("times are empty, negative or not ascending; give ascending times from 0 on")
    return moments


def _split(directions: Real, pull: Real, signs: Real) -> tuple[Real, Real, Real, Real]:
    """|F|, F/|F|, the part of u across F, and 1 + s <u, F>/|F| without cancellation where u is close to what repels it."""
    size = np.linalg.norm(pull, axis=-2)
    unit = pull / np.where(size > 0, size, 1.0)[..., None, :]
    cosine = (directions * unit).sum(axis=-2)
    across = directions - cosine[..., None, :] * unit
    leaning = signs * cosine
    near = (across**2).sum(axis=-2) / np.maximum(1 - leaning, 1.0)
    return size, unit, across, np.where(leaning < 0, near, 1 + leaning)


def _moved(directions: Real, pull: Real, signs: Real, since: Real) -> tuple[Real, Real]:
    """Directions (..., D, h) and growth of log-norms (..., h) after the times `since` (..., h) under constant pulls."""
    size, unit, across, plus = _split(directions, pull, signs)
    minus = 2 - plus
    angle = size * since
    faded = minus * np.exp(-2 * angle)
    total = plus + faded
    with np.errstate(divide="ignore"):
        growth = np.where(total > 0, angle + np.log(total / 2), 0.0)
    along = signs * (plus - faded) / np.where(total > 0, total, 1.0)
    turned = across * np.exp(-growth)[..., None, :] + unit * along[..., None, :]
    still = (size == 0)[..., None, :]
    turned = np.where(still, directions, turned / np.where(still, 1.0, np.linalg.norm(turned, axis=-2, keepdims=True)))
    return turned, np.where(size == 0, 0.0, growth)


def _next_switch(
    samples: Real, directions: Real, signs: Real, pattern: np.ndarray, gains: np.ndarray, pull: Real
) -> tuple[Real, np.ndarray]:
    """Delay (h,) until each neuron's next switch, infinite where none comes, and its datum (h,).

    With d = exp|tau| - 1, b = y_i <x_i, F>/|F| > 0 and a <= 0 the datum's <x_i, u>, counted from where it is to be:
    (b (1 + s c)/2) d^2 + (b + a) d + a = 0, which has one root d >= 0; b + a = b (1 + s c) + <x_i, part of u across F>.
    """
    size, unit, across, plus = _split(directions, pull, signs)
    side = np.where(gains, 1.0, -1.0)
    reach = np.abs(samples @ unit)
    linear = reach * plus + side * (samples @ across)
    linear = np.minimum(linear, reach)  # a <= 0: beyond the boundary already is rounding
    square = reach * plus / 2
    root = np.sqrt(linear**2 + 4 * square * (reach - linear))
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = np.where(linear > 0, 2 * (reach - linear) / (linear + root), (root - linear) / (2 * square))
        delay = np.log1p(ahead) / size
    open_pairs = (gains ^ pattern) & (size > 0)
    delay = np.where(open_pairs & np.isfinite(delay), delay, np.inf)
    datum = delay.argmin(axis=0)
    return delay[datum, np.arange(signs.size)], datum


def _quiet_time(limit: AlignmentLimit, log_norms: Real, largest: float, end: float) -> float:
    """The time until which sum_j |w_j|^2 max|x_i| stays below `QUIET`; its logarithm is convex, so it is passed once at most."""

    def excess(time: float) -> float:
        _, grown = limit.at([time])
        return float(logsumexp(2 * (log_norms + grown[0])) + np.log(largest) - np.log(QUIET))

    if excess(0.0) >= 0:
        return 0.0
    return end if excess(end) <= 0 else float(brentq(excess, 0.0, end, rtol=1e-14))
