r"""Directions of the neurons of a vanishingly small ReLU network, in closed form from switch to switch.

    du_j/dt = s_j (I - u_j u_j') F_j,   drho_j/dt = s_j u_j'F_j,   F_j = sum_i 1[x_i'u_j > 0] y_i x_i

with u_j = w_j/|w_j|, rho_j = log|w_j| and s_j the sign of v_j: what `polar` has while outputs are below rounding, as exp(-y_i f_i)
is then 1 to every digit. Each neuron moves by itself, and between two switches its F is constant. With tau = s|F|t and
c = u(0)'F/|F| a hyperbolic rotation solves the equations,

    u(t) = (u(0) + ((cosh tau - 1) c + sinh tau) F/|F|) / (cosh tau + c sinh tau),   rho(t) - rho(0) = log(cosh tau + c sinh tau)

so that x_i'u(t) = 0 is a quadratic equation in exp|tau|: no integrator is needed.

Data must be separated (mu > 0, see `alignment`). Then F_j, whatever the outputs, lies in the cone of the y_i x_i, so that
y_i x_i'F_j > 0: neurons with s = 1 only gain positive and lose negative data, those with s = -1 the reverse, each sample at most
once, and they cross its boundary at an angle. On other data neurons may slide along a boundary, where the flow is a differential
inclusion.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.alignment import cones, data_separation, labelled_data, polar_coordinates
from coherence.gradient_flow.relu import ReLUNetwork
from coherence.types import ArrayLike, Real, real_vector


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

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> gf.alignment_limit(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    AlignmentLimit(2 neurons, 2 samples; t_1 = 0.8814)
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
        moments = record_times(times)
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

        du_j/dt = sign(v_j) (I - u_j u_j') sum_{i: x_i'u_j > 0} y_i x_i

    Closed form between switches, whose times are roots of quadratic equations. For scales up to `log_scale_bound` outputs stay
    below rounding until all have arrived (usually by hundreds of decades), and this is the network's own motion.

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
    samples, labels, directions, _, signs = separated_start(network, X, y)
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


def arrivals(first: np.ndarray, switches: Real, y: Real, signs: Real, end: float) -> Real:
    """When each neuron reached the cone that fits its sign, or none of the data; infinite where it has not."""
    happened = switches <= end
    names = cones(first ^ (happened & np.isfinite(switches)), y)
    trapped = (names == "dead") | (names == np.where(signs > 0, "+", "-"))
    last = np.where(happened & np.isfinite(switches), switches, 0.0).max(axis=0)
    return np.where(trapped, last, np.inf)


def separated_start(network: ReLUNetwork, X: ArrayLike, y: ArrayLike) -> tuple[Real, Real, Real, Real, Real]:
    """Return samples, labels, directions, log-norms and signs; refuse data that are not separated."""
    samples, labels = labelled_data(X, y)
    directions, log_norms, signs = polar_coordinates(network)
    network.samples(samples)
    separation = data_separation(samples, labels)
    if separation <= 0:
        raise InputError(
            f"the data are not separated (mu = {separation:.3g}), so that neurons may slide along boundaries; "
            "give data with mu > 0, or train by gradient_descent"
        )
    return samples, labels, directions, log_norms, signs


def record_times(times: ArrayLike) -> Real:
    """Return times as an array; refuse what does not ascend from 0 on."""
    moments = real_vector(times, "times")
    if moments.size == 0 or moments[0] < 0 or (np.diff(moments) < 0).any():
        raise InputError("times are empty, negative or not ascending; give ascending times from 0 on")
    return moments


def _split(directions: Real, pull: Real, signs: Real) -> tuple[Real, Real, Real, Real]:
    """|F|, F/|F|, the part of u across F, and 1 + s u'F/|F| without cancellation where u is close to what repels it."""
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

    With d = exp|tau| - 1, b = y_i x_i'F/|F| > 0 and a <= 0 the datum's x_i'u, counted from where it is to be:
    (b (1 + s c)/2) d^2 + (b + a) d + a = 0, which has one root d >= 0; b + a = b (1 + s c) + x_i'(part of u across F).
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
