r"""Norms of realizations: H-infinity as a certified interval, L2 and L-infinity of a step response.

H-infinity: gamma exceeds the norm exactly when the Hamiltonian matrix of (A, B, C, D, gamma) has no eigenvalue on the
axis [Boyd, Balakrishnan, Kabamba 1989; Bruinsma, Steinbuch 1990]; the level is raised until that is so.
Step response of a stable system with D - C A^{-1} B = 0: e(t) = C e^{At} A^{-1} B, so its L2 norm is a gramian's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.numerics.balancing import controllability_gramian
from coherence.numerics.realization import Realization
from coherence.types import Real

_SAMPLES = 60  # per decade of pole magnitudes, for the first lower value
_STEP = 0.1  # |pole| * step for every mode still alive in the peak search
_BATCH = 32  # steps between two looks at which modes are alive


class Supremum(NamedTuple):
    """sup over omega of the largest singular value: it lies in [lower, upper], `lower` is attained at `omega`."""

    lower: float
    upper: float
    omega: float


def hinf_norm(system: Realization, *, rtol: float = 1e-6) -> Supremum:
    """The H-infinity norm of a stable realization, to the relative gap `rtol`."""
    poles = system.poles()
    if poles.size and poles[0].real >= 0:
        raise InstabilityError(f"the H-infinity norm needs a stable system; there is a pole at {poles[0]:.4g}")
    lower, omega = float(np.linalg.norm(system.d, 2)), np.inf
    if system.order == 0:
        return Supremum(lower, lower, 0.0)
    size = np.abs(poles)
    least, most = float(size.min()) / 10, float(size.max()) * 10
    grid = np.geomspace(least, most, max(2, int(_SAMPLES * np.log10(most / least))))
    grid = np.unique(np.concatenate([[0.0], grid, np.abs(poles.imag)]))
    values = np.linalg.norm(system(1j * grid), 2, axis=(1, 2))
    if values.max() > lower:
        lower, omega = float(values.max()), float(grid[values.argmax()])
    if lower == 0.0:
        return Supremum(0.0, 0.0, 0.0)
    for _ in range(50):
        level = lower * (1 + rtol)
        crossings = _axis_crossings(system, level)
        if crossings.size == 0:
            return Supremum(lower, level, omega)
        middle = np.concatenate([crossings, 0.5 * (crossings[1:] + crossings[:-1])])
        values = np.linalg.norm(system(1j * middle), 2, axis=(1, 2))
        if values.max() <= level:  # eigenvalues near the axis, no true crossing above the level
            return Supremum(max(lower, float(values.max())), level, omega)
        lower, omega = float(values.max()), float(middle[values.argmax()])
    raise ToleranceError(f"the H-infinity level search did not close to rtol = {rtol:g} in 50 rounds")


def _axis_crossings(system: Realization, level: float) -> Real:
    """Frequencies >= 0 at which some singular value equals `level`."""
    a, b, c, d = system
    r = level**2 * np.eye(b.shape[1]) - d.T @ d
    br, drc = np.linalg.solve(r, b.T), np.linalg.solve(r, d.T @ c)
    f = a + b @ drc
    hamiltonian = np.block([[f, b @ br], [-(c.T @ c + c.T @ d @ drc), -f.T]])
    values = np.linalg.eigvals(hamiltonian)
    tol = 1e-8 * np.maximum(np.abs(values), 1e-4 * np.abs(values).max())
    return np.unique(np.abs(values.imag[np.abs(values.real) <= tol]))


def step_l2(system: Realization) -> float:
    """(integral of |e|^2 over t > 0)^(1/2) for the step response e; infinite when e does not vanish at infinity."""
    if system.order == 0:
        return 0.0 if not system.d.any() else np.inf
    _stable_step(system)
    if not _vanishes(system):
        return np.inf
    start = Realization(system.a, np.linalg.solve(system.a, system.b), system.c, system.d)
    value = float(np.trace(system.c @ controllability_gramian(start) @ system.c.T))
    return float(np.sqrt(max(value, 0.0)))


class Peak(NamedTuple):
    """max over t and outputs of |e(t)|."""

    value: float
    time: float
    output: int


def step_peak(system: Realization) -> Peak:
    """The largest |e_i(t)| of a step response (one input) over all t >= 0, and when and where.

    Exact steps e^{Ah}. Mode i contributes at most a_i e^{Re(p_i) t}; modes below 1e-6 of the peak so far no longer limit the
    step (|p_i| h <= 0.1 for the others, h doubling), and the search ends when all modes together cannot exceed it. The
    neighbourhood of the largest sample is searched again with a step 200 times finer.
    """
    if system.b.shape[1] != 1:
        raise InputError(f"the peak of a step response needs one input; there are {system.b.shape[1]}")
    start, final = np.abs(system.d[:, 0]), np.asarray(system.dc_gain())[:, 0]
    best = Peak(float(start.max(initial=0.0)), 0.0, int(start.argmax()))
    if np.abs(final).max() > best.value:
        best = Peak(float(np.abs(final).max()), np.inf, int(np.abs(final).argmax()))
    if system.order == 0:
        return best
    _stable_step(system)
    x = np.linalg.solve(system.a, system.b)[:, 0]  # e(t) = final + C e^{At} x
    poles, vectors = np.linalg.eig(system.a)
    share = np.abs(system.c @ vectors) * np.abs(np.linalg.solve(vectors, x.astype(complex)))  # a_i per output
    bracket = (0.0, 0.0, x)
    t, h = 0.0, _STEP / np.abs(poles).max()
    stepper = sla.expm(system.a * h)
    while True:
        left = share * np.exp(poles.real * t)
        if (left.sum(axis=1) + np.abs(final)).max() <= best.value:
            break
        alive = left.max(axis=0) > 1e-6 * best.value
        if not alive.any():
            break
        while 2 * h * np.abs(poles[alive]).max() <= _STEP:
            stepper, h = stepper @ stepper, 2 * h
        for _ in range(_BATCH):
            previous, x, t = (t, x), stepper @ x, t + h
            value = np.abs(final + system.c @ x)
            if value.max() > best.value:
                best = Peak(float(value.max()), t, int(value.argmax()))
                bracket = (previous[0], t + h - previous[0], previous[1])
    begin, width, x = bracket
    if width > 0:
        fine = sla.expm(system.a * width / 400)
        for j in range(401):
            value = np.abs(final + system.c @ x)
            if value.max() > best.value:
                best = Peak(float(value.max()), begin + j * width / 400, int(value.argmax()))
            x = fine @ x
    return best


def _vanishes(system: Realization) -> bool:
    """Whether the final value of the step response is zero up to rounding of the gains it is made of."""
    x = np.linalg.solve(system.a, system.b)
    scale = np.abs(system.d) + np.abs(system.c) @ np.abs(x)
    return bool((np.abs(system.d - system.c @ x) <= 1e-9 * scale).all())


def _stable_step(system: Realization) -> np.ndarray:
    poles = system.poles()
    if poles.size and poles[0].real >= 0:
        raise InstabilityError(f"the norm of a step response needs a stable system; there is a pole at {poles[0]:.4g}")
    return poles
