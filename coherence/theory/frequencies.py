"""Frequencies at which to look: grids on which a curve is resolved, and the network's own."""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError
from coherence.network.network import Network
from coherence.numerics.rational import Rational
from coherence.theory.deviations import deviation_norms
from coherence.types import Real

MODE_STATES = 1500  # of which all poles are computed to seed a grid
FIRST, MOST = 60, 2000  # frequencies of an adaptive grid: to begin with, and at most


def frequency_grid(network: Network, low: float = 1e-3, high: float = 1e2, *, tolerance: float = 0.1) -> Real:
    """Frequencies on which the curve of the deviation from coherence is resolved.

    Begins with 60 points, equally spaced in the logarithm, and the network's own mode frequencies, and halves each interval whose
    middle differs from what its ends say (linearly in the logarithms) by more than the tolerance. Modes are known of rational
    networks of up to 1500 states without passive nodes; elsewhere a resonance narrower than the first points may be missed
    (`supremum` misses none), and a curve that needs more than 2000 points is resolved less finely.

    Parameters
    ----------
    network : Network
        Connected.
    low, high : float
        The band [rad/s].
    tolerance : float
        Of the logarithm of the norm.

    Returns
    -------
    (F,) float
        Ascending, at most 2000.

    Raises
    ------
    InputError
        A band that is none.
    PoleError
        A frequency of the band is a pole of T.

    Examples
    --------
    >>> from coherence import Network, frequency_grid, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[0.01, 0.01]), [[9, -9], [-9, 9]], "1/s")
    >>> grid = frequency_grid(network)
    >>> bool(abs(grid - 12**0.5).min() < 1e-3)
    True
    """
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        raise InputError(f"the band [{low}, {high}] is none; give 0 < low < high in rad/s")
    if not tolerance > 0:
        raise InputError(f"tolerance = {tolerance}; give a number > 0")
    w = np.unique(np.concatenate([np.geomspace(low, high, FIRST), mode_frequencies(network, low, high)]))
    value = _log_norm(network, w)
    open_ = np.diff(w) > 1e-9 * w[:-1]  # conjugate poles may differ in their last digit, and nothing lies between
    while open_.any() and len(w) < MOST:
        where = np.flatnonzero(open_)[: MOST - len(w)]
        middle = np.sqrt(w[where] * w[where + 1])
        found = _log_norm(network, middle)
        missed = np.abs(found - 0.5 * (value[where] + value[where + 1])) > tolerance
        states = np.zeros(len(w) - 1, dtype=bool)
        states[where] = missed
        doubled = np.repeat(states, 1 + np.isin(np.arange(len(states)), where))
        w, value = np.insert(w, where + 1, middle), np.insert(value, where + 1, found)
        open_ = doubled & (np.diff(w) > 1e-9 * w[:-1])
    return w


def _log_norm(network: Network, w: Real) -> Real:
    return np.log(np.maximum(deviation_norms(network, 1j * w), np.finfo(float).tiny))


def mode_frequencies(network: Network, low: float, high: float) -> Real:
    """Imaginary parts of the poles in the band; none where the network is too large or has no state space."""
    known = not network.nodes.functions and isinstance(network.coupling, Rational)
    if network.basis is not None or network.nodes.passive.any() or not known or network.order > MODE_STATES:
        return np.zeros(0)
    found = np.abs(network.poles().imag)
    return np.asarray(found[(found > low) & (found < high)])
