"""Whether the poles of a network can be had, leave it stable, and let its response be finite along Re s = decay."""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError
from coherence.network.network import Network
from coherence.numerics.balancing import Band
from coherence.numerics.rational import Rational
from coherence.theory.frequencies import MODE_STATES

STABLE = 1e-9  # of the largest pole: real parts up to this count as none


def has_poles(network: Network) -> bool:
    """Whether all poles are to be had: a state space, and not too large a one."""
    rational = isinstance(network.coupling, Rational) and not network.nodes.functions
    return rational and not network.nodes.passive.any() and network.order <= MODE_STATES


def is_stable(network: Network) -> bool | None:
    """Whether no pole has a positive real part beyond rounding; None where poles are not to be had."""
    if not has_poles(network):
        return None
    poles = network.poles()
    return bool(poles.real.max(initial=-np.inf) <= STABLE * np.abs(poles).max(initial=0.0))


def require_decay(decay: object) -> float:
    """The decay, if it is one."""
    if isinstance(decay, bool) or not isinstance(decay, (int, float, np.number)) or not 0 <= decay < np.inf:
        raise InputError(f"decay = {decay!r}; give a number >= 0 in 1/s")
    return float(decay)


def require_damped(network: Network, band: Band, decay: object) -> None:
    """Refuse what is no decay, and a band with an undamped mode where it is 0."""
    if require_decay(decay) > 0 or not has_poles(network):
        return
    poles = network.poles()
    poles = poles[(np.abs(poles.real) <= STABLE * np.abs(poles)) & (poles.imag > 0)]
    undamped = poles.imag[(poles.imag >= band.low) & (poles.imag <= band.high)]
    if undamped.size:
        raise InputError(
            f"the network has an undamped mode at {undamped.min():.4g} rad/s, in the band, and at those of a reduced network no "
            "relative error is finite: give decay > 0 (errors at s = decay + j omega), or damping to the nodes"
        )
