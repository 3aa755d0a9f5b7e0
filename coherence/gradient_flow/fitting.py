r"""What follows alignment in small ReLU networks: when classes are fitted, how the loss falls, and which rank remains.

Aligned neurons are two linear networks, one for each class: neurons in S_+ see the positive data only, neurons in S_- the negative.

    t_2 <= t_1 + O(log(1/eps)),   L(t_2 + t) <= L(t_2)/(1 + L(t_2) a t),   |W|_F^2 <= 2 |W|_2^2 + 4 sqrt(h) eps W_max^2

with the constants of `alignment`; scales eps are natural logarithms.
"""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError
from coherence.gradient_flow.alignment import AlignmentConstants, alignment_time_bound, log_scale_bound, logarithm
from coherence.types import ArrayLike, Real, real_vector

FITTED = 0.25  # |f| from which the source counts a class as being fitted


def fit_time_bound(
    constants: AlignmentConstants, log_scale: float, *, label: int = 1, alignment_time: float | None = None
) -> float:
    r"""Bound the time t_2 at which the outputs of one class first exceed 1/4.

        t_2^+ <= t_1 + 6/(sqrt(mu) n_+ X_min) + 4/(sqrt(mu) n_+ X_min) (log(2/(eps^2 sqrt(mu) X_min W_min^2)) + 4 n X_max t_1)

    Parameters
    ----------
    constants : AlignmentConstants
    log_scale : float
        Natural logarithm of eps.
    label : 1 or -1
        The class.
    alignment_time : float, optional
        t_1, where it is known better than by `alignment_time_bound`.

    Returns
    -------
    float
        Infinite where a hypothesis fails, among them the scale (`log_scale_bound`). It is also assumed that at least one neuron has
        reached the class's cone by t_1, which the result of `alignment_flow` shows.

    Raises
    ------
    InputError
        Another label, a scale that is no number, an alignment time that is negative.

    Notes
    -----
    The theorem calls t_2 a Theta((1/n) log(1/(sqrt(h) eps))); its proof gives this upper bound, which also grows with t_1.

    References
    ----------
    Equation (2.202) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> round(gf.fit_time_bound(constants, -100.0, alignment_time=1.0), 1)
    841.8
    """
    scale = logarithm(log_scale)
    if label not in (1, -1):
        raise InputError(f"label is {label}; it is 1 or -1")
    if alignment_time is not None and not alignment_time >= 0:
        raise InputError(f"alignment_time is {alignment_time}; give a time from 0 on")
    if not constants.holds or scale > log_scale_bound(constants):
        return float("inf")
    first = alignment_time_bound(constants) if alignment_time is None else float(alignment_time)
    root = np.sqrt(constants.separation) * constants.least_datum
    rate = root * constants.data[0 if label == 1 else 1]
    growth = np.log(2 / root) - 2 * scale - 2 * np.log(constants.least_neuron)
    return float(first + 6 / rate + 4 / rate * (growth + 4 * sum(constants.data) * constants.largest_datum * first))


def fitted_loss_bound(constants: AlignmentConstants, times: ArrayLike, *, loss: float) -> Real:
    r"""Bound the loss after both classes are being fitted.

        L(t_2 + t) <= L(t_2) / (1 + L(t_2) a t),   a = (mu X_min)^2 / (8 X_max)

    Parameters
    ----------
    constants : AlignmentConstants
    times : (T,)
        Since t_2, the later of both classes' times.
    loss : float
        L(t_2).

    Returns
    -------
    (T,)
        L(t_2) where the data are not separated, as no loss grows under gradient flow.

    Raises
    ------
    InputError
        Negative times, a loss that is negative or not finite.

    References
    ----------
    Theorem 2.10, second part, of the dissertation; Lemma 2.34.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> gf.fitted_loss_bound(constants, [0.0, 8.0], loss=1.0)
    array([1. , 0.5])
    """
    since = real_vector(times, "times")
    if (since < 0).any():
        raise InputError(f"times[{int(np.argmin(since))}] = {since.min():g} is negative; times are counted from t_2 on")
    if not 0 <= loss < np.inf:
        raise InputError(f"loss is {loss}; give L(t_2), a finite number from 0 on")
    rate = (max(constants.separation, 0.0) * constants.least_datum) ** 2 / (8 * constants.largest_datum)
    return loss / (1 + loss * rate * since)


def low_rank_slack(constants: AlignmentConstants, log_scale: float) -> float:
    r"""What |W|_F^2 may exceed 2 |W|_2^2 by, once neurons are aligned: 4 sqrt(h) eps W_max^2.

    As |W|_2 grows without bound, the limit superior of the stable rank |W|_F^2/|W|_2^2 is at most 2; the source's proof writes
    "= 2", but runs end anywhere between 1 (classes opposite each other) and 2.

    Parameters
    ----------
    constants : AlignmentConstants
    log_scale : float
        Natural logarithm of eps.

    Returns
    -------
    float
        Infinite where a hypothesis fails, among them the scale (`log_scale_bound`); 0 where it is below what a float holds.

    Raises
    ------
    InputError
        A scale that is no number.

    References
    ----------
    Equations (2.204) to (2.206) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, 1.0], [0.0, 1.0]], [1.0, -1.0])
    >>> constants = gf.alignment_constants(network, [[1.0, 0.0], [-1.0, 0.0]], [1, -1])
    >>> print(f"{gf.low_rank_slack(constants, -100.0):.3g}")
    4.21e-43
    """
    scale = logarithm(log_scale)
    if not constants.holds or scale > log_scale_bound(constants):
        return float("inf")
    return float(np.exp(np.log(4) + scale + 0.5 * np.log(sum(constants.neurons)) + 2 * np.log(constants.largest_neuron)))
