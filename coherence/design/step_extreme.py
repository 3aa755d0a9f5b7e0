r"""The extreme of a step response over all time: what a nadir limit is decided by.

    y(t) = y_inf + c e(t),   e' = A e,   e(0) = A^{-1} b u,   y_inf = (d - c A^{-1} b) u

Found by `numerics.norms.step_peak`, which bounds what may follow, then led to where the derivative vanishes by Newton steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError, ToleranceError
from coherence.numerics.norms import step_peak
from coherence.numerics.realization import Realization, pole_text, without_hidden

EXPONENTIAL_STATES = 600  # of which the exponentials of the search are formed
SETTLED = 1e-11  # relative: an extreme that does not exceed the end by more is the end
UNSURE = 1.01  # of what was seen: what may still follow
NEWTON = 20


class StepExtreme(NamedTuple):
    """The value of largest size of a step response, when (inf: approached, never exceeded), and where it ends."""

    value: float
    at: float
    end: float


def step_extreme(system: Realization, size: float) -> StepExtreme:
    """The extreme over t >= 0 of the response to a step.

    Parameters
    ----------
    system : Realization
        One input, one output.
    size : float
        Of the step.

    Returns
    -------
    StepExtreme
        Infinite where the system is unstable. To rounding, but where two extremes are within 0.1 % of each other: then either.

    Raises
    ------
    InputError
        More than 600 states.
    ToleranceError
        Oscillations so lightly damped that the search does not come to their end.
    """
    system = without_hidden(system)
    if system.order > EXPONENTIAL_STATES:
        raise InputError(
            f"the aggregate has {system.order} states (at most {EXPONENTIAL_STATES} here); reduce it: "
            "truncate(coherent_dynamics(...), 3).network"
        )
    if not system.is_stable():
        return StepExtreme(float(np.sign(size)) * np.inf, np.inf, np.nan)
    end = float(system.dc_gain()[0, 0]) * size
    if not system.order:
        return StepExtreme(end, 0.0, end)
    found = step_peak(system)
    if found.upper > UNSURE * found.value:
        raise ToleranceError(
            f"the extreme of a step response was not found: what follows may reach {found.upper / found.value:.3g} times what was "
            f"seen, because the mode at {pole_text(complex(system.poles()[0]))} 1/s hardly dies out; give the network damping"
        )
    if not np.isfinite(found.time):
        return StepExtreme(end, np.inf, end)
    value, at = _polished(system, found.time)
    value *= size
    return StepExtreme(value, at, end) if abs(value) > abs(end) * (1 + SETTLED) else StepExtreme(end, np.inf, end)


def _polished(system: Realization, at: float) -> tuple[float, float]:
    """The extreme next to a time, by Newton steps on the derivative."""
    a, c = system.a, system.c[0]
    start, end = np.linalg.solve(a, system.b[:, 0]), float(system.dc_gain()[0, 0])

    def value(t: float) -> tuple[float, float, float]:
        e = sla.expm(a * t) @ start
        return end + float(c @ e), float(c @ a @ e), float(c @ a @ a @ e)

    best, slope, bend = value(at)
    if at == 0.0:
        return best, at
    for _ in range(NEWTON):
        later = at - slope / bend if bend else at
        if not 0 < later < np.inf:
            break
        y, slope, bend = value(later)
        if not abs(y) > abs(best):
            break
        best, at = y, later
    return best, at
