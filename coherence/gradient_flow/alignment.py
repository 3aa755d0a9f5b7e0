r"""What separated data decide about small ReLU networks: by when neurons align, and from which scales.

Data are separated where any two of the same label have a positive, any two of different labels a negative angle cosine:

    mu = min_{i,k} y_i y_k x_i'x_k / (|x_i| |x_k|) > 0                                                (Assumption 2.2)

Neurons with v_j > 0 then come to lie in S_+ (active on the positive data only) or in S_dead (active on none), those with v_j < 0 in
S_- or S_dead, and stay. From W = eps W_0 all have arrived by t_1 if eps is small enough: `alignment_time_bound`, `log_scale_bound`.
Every constant that the source leaves inside an O() is explicit here, so that bounds are numbers:

    zeta_1 = min_i cos^2(x_+, x_i) and likewise x_-        the cones around x_+ and x_- that lie in S_+ and S_-
    zeta_2 = 1 - max_j cos^2(w_j(0), x_-) over v_j > 0, likewise x_+ over v_j < 0
    xi     = mu^2                                          1 - sup cos^2 between the data's cone and what is outside S_+ and S_-

xi = mu^2 is exact: a vector outside S_+ and S_- lies beyond some y_i x_i, which is within arccos mu of any vector of the data's
cone, and y_k x_k beside its part orthogonal to y_i x_i, for a pair with cosine mu, attains it. The O(log n / sqrt(mu)) of
Theorem 2.10 hides it: with mu explicit the time is O(log n / mu^{5/2}).

Scales eps that the theorem asks for are 10^{-20} to 10^{-300000}, so every scale here is a natural logarithm.
What follows alignment is in `fitting`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.losses import exponential_loss
from coherence.gradient_flow.relu import ReLUNetwork
from coherence.types import ArrayLike, Real, real_vector

FORMS = ("harmonic", "logarithmic")


def labelled_data(X: ArrayLike, y: ArrayLike) -> tuple[Real, Real]:
    """Return samples (N, D) and labels (N,), checked: both labels occur and no sample is zero."""
    loss = exponential_loss(X, y, separable=False)
    for label in (1, -1):
        if not (loss.y == label).any():
            raise InputError(f"no sample has the label {label}; alignment is between two classes, so give samples of both")
    norms = np.linalg.norm(loss.X, axis=1)
    if not norms.all():
        raise InputError(f"X[{int(np.argmin(norms))}] is zero; it activates no neuron, so leave it out")
    return loss.X, loss.y


def data_separation(X: ArrayLike, y: ArrayLike) -> float:
    """mu, the least cosine between any two samples times their labels.

        mu = min_{i,k} y_i y_k x_i'x_k / (|x_i| |x_k|)

    Parameters
    ----------
    X : (N, D)
        Samples in rows.
    y : (N,)
        1 or -1; both occur.

    Returns
    -------
    float
        Positive where the data are separated (Assumption 2.2), else what is missing.

    Raises
    ------
    InputError
        Labels other than 1 and -1 or of one kind only, a zero sample, shapes that do not fit, entries that are not finite.

    References
    ----------
    Equation (2.168) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> round(gf.data_separation([[1.0, 0.0], [1.0, 1.0], [-2.0, -1.0]], [1, 1, -1]), 4)
    0.7071
    """
    samples, labels = labelled_data(X, y)
    units = (labels / np.linalg.norm(samples, axis=1))[:, None] * samples
    return float((units @ units.T).min())


def cones(pattern: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Name the cone each neuron lies in: "+", "-", "dead", or "" where it lies in none.

    Parameters
    ----------
    pattern : (..., N, h) bool
        Which sample activates which neuron, as `ReLUNetwork.activation_pattern` or `AlignmentFlow.patterns` have it.
    y : (N,)
        1 or -1.

    Returns
    -------
    (..., h) str
        "+": active on the positive data and on no other; "-": on the negative data; "dead": on none.

    Raises
    ------
    InputError
        Shapes that do not fit.

    References
    ----------
    S_+, S_- and S_dead of section 2.3.2 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> X, y = [[1.0, 0.0], [-1.0, 0.0]], [1, -1]
    >>> network = gf.ReLUNetwork([[1.0, -2.0, 0.0], [0.0, 1.0, 1.0]], [1.0, 1.0, -1.0])
    >>> gf.cones(network.activation_pattern(X), y)
    array(['+', '-', 'dead'], dtype='<U4')
    """
    active, positive = np.asarray(pattern, dtype=bool), real_vector(y, "y") > 0
    if active.ndim < 2 or active.shape[-2] != positive.size:
        raise InputError(
            f"pattern has shape {active.shape} and there are {positive.size} labels; give a pattern of shape (..., N, h)"
        )
    names = np.full((*active.shape[:-2], active.shape[-1]), "", dtype="<U4")
    names[(active == positive[:, None]).all(axis=-2)] = "+"
    names[(active != positive[:, None]).all(axis=-2)] = "-"
    names[~active.any(axis=-2)] = "dead"
    return names


@dataclass(frozen=True, eq=False, repr=False)
class AlignmentConstants(Page):
    """What the bounds on alignment are made of; see `alignment_constants`.

    Attributes
    ----------
    separation : float
        mu.
    zeta_1, zeta_2 : float
        See the module; 0 where a neuron starts on the direction that repels it.
    least_datum, largest_datum : float
        min_i |x_i| and max_i |x_i|.
    least_neuron, largest_neuron : float
        min_j and max_j of |w_j| of the shape W_0.
    data : (int, int)
        Samples of label 1 and -1.
    neurons : (int, int)
        Neurons with v_j > 0 and v_j < 0.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    AlignmentConstants(mu = 1, 2 samples, 2 neurons)
    """

    separation: float
    zeta_1: float
    zeta_2: float
    least_datum: float
    largest_datum: float
    least_neuron: float
    largest_neuron: float
    data: tuple[int, int]
    neurons: tuple[int, int]

    @property
    def xi(self) -> float:
        """mu^2, exactly; 0 where the data are not separated."""
        return max(self.separation, 0.0) ** 2

    @property
    def contraction(self) -> float:
        """min(zeta_1, zeta_2, xi); the source's (2.191) defines zeta as the maximum of the two, which bounds nothing."""
        return min(self.zeta_1, self.zeta_2, self.xi)

    @property
    def holds(self) -> bool:
        """Whether the assumptions of Theorem 2.10 on data and directions hold."""
        return all(self.hypotheses.values())

    @cached_property
    def hypotheses(self) -> dict[str, bool]:
        """Assumptions by what they say."""
        return {
            "any two samples times their labels have a positive cosine": self.separation > 0,
            "no neuron with v > 0 starts on x_-, none with v < 0 on x_+": self.zeta_2 > 0,
        }

    @property
    def reached(self) -> tuple[float, float]:
        """Least probabilities that some neuron ends in S_+, in S_-, for W_0 of symmetric distribution: 1 - 2^{-|V|}."""
        return 1 - 2.0 ** -self.neurons[0], 1 - 2.0 ** -self.neurons[1]

    @property
    def facts(self) -> dict[str, str]:
        """The constants and what follows."""
        return {
            "separation mu": f"{self.separation:.4g}",
            "zeta_1, zeta_2, xi": f"{self.zeta_1:.4g}, {self.zeta_2:.4g}, {self.xi:.4g}",
            "alignment time at most": f"{alignment_time_bound(self):.4g}",
            "log10 of the largest scale": f"{log_scale_bound(self) / np.log(10):.5g}",
            **{hypothesis: "yes" if holds else "no" for hypothesis, holds in self.hypotheses.items()},
        }

    def __repr__(self) -> str:
        return f"AlignmentConstants(mu = {self.separation:.4g}, {sum(self.data)} samples, {sum(self.neurons)} neurons)"


def alignment_constants(network: ReLUNetwork, X: ArrayLike, y: ArrayLike) -> AlignmentConstants:
    r"""Find the constants in the bounds on alignment for W = eps W_0.

    Parameters
    ----------
    network : ReLUNetwork
        W_0, and the signs of v; the scale eps is an argument of the bounds.
    X : (N, D)
        Samples in rows.
    y : (N,)
        1 or -1; both occur.

    Returns
    -------
    AlignmentConstants

    Raises
    ------
    InputError
        Data as in `data_separation`; a neuron with w_j = 0 or v_j = 0, which never moves.

    Notes
    -----
    zeta_2 follows Assumption 2.3 as the proof uses it, (2.189): v_j > 0 must not start on x_-, nor v_j < 0 on x_+. The assumption
    as printed has the two exchanged; a neuron with v_j > 0 on x_+ is where it should be, one on x_- stays there for good.
    zeta_1 asks for x_+ and x_- separately: Lemma 2.27 takes x_+ = -x_-, true for centred data only.

    References
    ----------
    Lemmas 2.27 and 2.28 and (2.189) to (2.191) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> found = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> found.separation, found.zeta_1, round(found.zeta_2, 4)
    (1.0, 1.0, 0.5)
    """
    samples, labels = labelled_data(X, y)
    directions, _, signs = polar_coordinates(network)
    network.samples(samples)
    norms, sizes = np.linalg.norm(samples, axis=1), np.linalg.norm(network.W, axis=0)
    centres = {label: _unit(samples[labels == label].sum(axis=0)) for label in (1, -1)}
    cosines = np.stack(list(centres.values())) @ (samples / norms[:, None]).T
    free = [_sine_squared(directions[:, signs == -label], centre) for label, centre in centres.items()]
    return AlignmentConstants(
        separation=data_separation(samples, labels),
        zeta_1=float(np.clip((cosines**2).min(), 0, 1)),
        zeta_2=float(np.concatenate([*free, [1.0]]).min()),
        least_datum=float(norms.min()),
        largest_datum=float(norms.max()),
        least_neuron=float(sizes.min()),
        largest_neuron=float(sizes.max()),
        data=(int((labels > 0).sum()), int((labels < 0).sum())),
        neurons=(int((signs > 0).sum()), int((signs < 0).sum())),
    )


def polar_coordinates(network: ReLUNetwork) -> tuple[Real, Real, Real]:
    """Return directions w_j/|w_j| (D, h), log|w_j| (h,) and the signs of v_j (h,); refuse neurons that never move."""
    norms = np.linalg.norm(network.W, axis=0)
    still = (norms == 0) | (network.v == 0)
    if still.any():
        where = int(np.argmax(still))
        raise InputError(f"neuron {where} has w = 0 or v = 0; it has no direction or never moves, so leave it out")
    return network.W / norms, np.log(norms), network.signs


def alignment_time_bound(constants: AlignmentConstants, *, form: str = "harmonic") -> float:
    r"""Bound the time t_1 by which every neuron lies in its cone.

        t_1 <= 4 / (min(zeta, xi) sqrt(mu) X_min) (H_{n_-} + 1/2 + H_{n_+ - 1}),   H_k = 1 + 1/2 + ... + 1/k

    for v_j > 0, and with n_+ and n_- exchanged for v_j < 0; the larger of the two. A neuron keeps the n_a samples it is active on
    for no longer than 4 / (min(zeta, xi) sqrt(mu) X_min n_a); it loses one kind and gains the other, and the sum is over the
    longest such way.

    Parameters
    ----------
    constants : AlignmentConstants
    form : "harmonic" or "logarithmic"
        The second is the source's: 4 log n in place of the larger sum, which is smaller than that for every n_+, n_- >= 1.

    Returns
    -------
    float
        In units of time of the flow of the summed loss; infinite where a hypothesis fails.

    Raises
    ------
    InputError
        Another form.

    Notes
    -----
    Holds for scales up to `log_scale_bound`.

    References
    ----------
    Theorem 2.10, first part, and its proof in section 2.3.3 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> round(gf.alignment_time_bound(constants), 6)
    12.0
    """
    if form not in FORMS:
        raise InputError(f'form is {form!r}; it is "harmonic" or "logarithmic"')
    if not constants.holds:
        return float("inf")
    positive, negative = constants.data
    visits = max(longest_path(negative, positive), longest_path(positive, negative))
    if form == "logarithmic":
        visits = 4 * float(np.log(positive + negative))
    return float(4 * visits / (constants.contraction * np.sqrt(constants.separation) * constants.least_datum))


def longest_path(lost: int, gained: int) -> float:
    """H_lost + 1/2 + H_{gained - 1}: the largest sum of 1/n_a over the ways from any pattern to the cone of all to be gained."""
    return float((1 / np.arange(1, lost + 1)).sum() + 0.5 + (1 / np.arange(1, gained)).sum())


def log_scale_bound(constants: AlignmentConstants, *, form: str = "harmonic") -> float:
    r"""Natural logarithm of the largest scale eps for which the alignment theorem holds.

        eps <= min{ min(mu, zeta, xi) sqrt(mu) X_min / (8 sqrt(h) n X_max^2 W_max^2),  h^{-1/2} exp(-4 n X_max t_1) }

    The first keeps the outputs from disturbing directions, the second ends alignment before norms have grown.

    Parameters
    ----------
    constants : AlignmentConstants
    form : "harmonic" or "logarithmic"
        As in `alignment_time_bound`; the second is the source's.

    Returns
    -------
    float
        -inf where a hypothesis fails.

    Notes
    -----
    The source's (2.191) prints 4 in place of 8, from which its (2.192) does not follow.

    References
    ----------
    Equations (2.191) and (2.192) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> round(gf.log_scale_bound(constants), 3)
    -96.347
    """
    time = alignment_time_bound(constants, form=form)
    if np.isinf(time):
        return -float("inf")
    h, n = sum(constants.neurons), sum(constants.data)
    quiet = (
        np.log(min(constants.separation, constants.contraction) * np.sqrt(constants.separation) * constants.least_datum / 8)
        - 0.5 * np.log(h)
        - np.log(n)
        - 2 * np.log(constants.largest_datum * constants.largest_neuron)
    )
    return float(min(quiet, -0.5 * np.log(h) - 4 * n * constants.largest_datum * time))


@dataclass(frozen=True, eq=False, repr=False)
class EarlyPhase(Page):
    """While a small network aligns: how long, how large, how far from the flow of directions alone; see `early_phase`.

    Attributes
    ----------
    duration : float
        T = log(1/(sqrt(h) eps)) / (4 n X_max).
    log_square : float
        Natural logarithm of the bound on max_j |w_j|^2 until T.
    log_output : float
        Of the bound on max_i |f(x_i)|.
    log_deviation : float
        Of the bound on |d(w_j/|w_j|)/dt - sign(v_j) P_{w_j} x_a(w_j)|.
    holds : bool
        Whether eps <= 1/(4 sqrt(h) X_max W_max^2).

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> gf.early_phase(constants, 0.0).holds
    False
    """

    duration: float
    log_square: float
    log_output: float
    log_deviation: float
    holds: bool

    @property
    def facts(self) -> dict[str, str]:
        """The bounds, as powers of ten."""
        return {
            "lasts at least": f"{self.duration:.4g}",
            "log10 of |w|^2 at most": f"{self.log_square / np.log(10):.5g}",
            "log10 of |f| at most": f"{self.log_output / np.log(10):.5g}",
            "log10 of the deviation at most": f"{self.log_deviation / np.log(10):.5g}",
        }

    def __repr__(self) -> str:
        return f"EarlyPhase(until t = {self.duration:.4g}{'' if self.holds else '; the scale is too large'})"


def early_phase(constants: AlignmentConstants, log_scale: float) -> EarlyPhase:
    r"""Bound norms, outputs and the error of directions while a network of scale eps is small.

        max_j |w_j|^2 <= 2 eps W_max^2 / sqrt(h),   max_i |f| <= 2 eps sqrt(h) X_max W_max^2,
        |d(w_j/|w_j|)/dt - sign(v_j) P x_a(w_j)| <= 4 eps n sqrt(h) X_max^2 W_max^2    until T = log(1/(sqrt(h) eps)) / (4 n X_max)

    x_a(w) is the sum of y_i x_i over the samples that activate w. Separation of the data is not needed.

    Parameters
    ----------
    constants : AlignmentConstants
    log_scale : float
        Natural logarithm of eps.

    Returns
    -------
    EarlyPhase
        With infinite bounds and `holds` False where eps is too large.

    Raises
    ------
    InputError
        A scale that is no number.

    References
    ----------
    Lemmas 2.20 and 2.22 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> gf.early_phase(constants, -690775.0)
    EarlyPhase(until t = 8.635e+04)
    """
    scale = logarithm(log_scale)
    h, n, X, W = sum(constants.neurons), sum(constants.data), constants.largest_datum, constants.largest_neuron
    root = 0.5 * np.log(h)
    holds = scale <= -np.log(4 * X * W**2) - root and scale < -root
    square = np.log(2) + scale + 2 * np.log(W) - root
    output = np.log(2 * X) + scale + 2 * np.log(W) + root
    square, output, deviation = (square, output, output + np.log(2 * n * X)) if holds else (np.inf,) * 3
    return EarlyPhase(float(max(0.0, -(root + scale) / (4 * n * X))), float(square), float(output), float(deviation), bool(holds))


def logarithm(log_scale: float) -> float:
    """Return the logarithm of a scale as a finite number."""
    if not np.isfinite(log_scale):
        raise InputError(f"log_scale is {log_scale}; give the natural logarithm of the scale eps, a finite number")
    return float(log_scale)


def _unit(vector: Real) -> Real:
    """The direction of a vector, 0 for 0 (samples that cancel are not separated anyway)."""
    norm = np.linalg.norm(vector)
    return vector / norm if norm else vector


def _sine_squared(directions: Real, centre: Real) -> Real:
    """sin^2 of the angles (k,) of unit vectors (D, k) to a unit vector, 1 beyond right angles; exact for small angles."""
    along = centre @ directions
    across = directions - along * centre[:, None]
    return np.where(along > 0, np.minimum((across**2).sum(axis=0), 1.0), 1.0)
