r"""Norms of realizations: H-infinity as a certified interval, L2 and L-infinity of a step response.

H-infinity: gamma exceeds the norm exactly when the Hamiltonian matrix of (A, B, C, D, gamma) has no eigenvalue on the
axis [Boyd, Balakrishnan, Kabamba 1989; Bruinsma, Steinbuch 1990]; the level is raised until that is so. The matrix is formed in
balanced coordinates: as it stands, a system far from normal (|A| = 1e4 with poles around 1) hides its crossings in rounding.
Step response of a stable system with D - C A^{-1} B = 0: e(t) = C e^{At} A^{-1} B, so its L2 norm is a gramian's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.numerics.gramians import gramian_factor
from coherence.numerics.realization import Realization
from coherence.types import Real

_SAMPLES = 60  # per decade of pole magnitudes, for the first lower value
_PEAKS = 6  # local maxima of the samples that are refined
_HIDDEN = 1e-3  # of the peak: what the parabola between two samples of the peak search may hide
_BATCH = 64  # samples between two looks at the tail; a power of two
_MOST = 200_000  # samples of a peak search
_CANDIDATES = 12  # largest samples whose neighbourhood is searched again


class Supremum(NamedTuple):
    """sup over omega of the largest singular value: it lies in [lower, upper], `lower` is attained at `omega`."""

    lower: float
    upper: float
    omega: float


def hinf_norm(system: Realization, *, rtol: float = 1e-6, band: tuple[float, float] = (0.0, np.inf)) -> Supremum:
    """The H-infinity norm of a stable realization to the relative gap `rtol`, or its supremum over a band [rad/s]."""
    poles = system.poles()
    if not system.is_stable():
        raise InstabilityError(f"the H-infinity norm needs a stable system; there is a pole at {poles[0]:.4g}")
    low, high = band
    lower, omega = (float(np.linalg.norm(system.d, 2)), np.inf) if np.isinf(high) else (0.0, low)
    if system.order == 0:
        constant = float(np.linalg.norm(system.d, 2))
        return Supremum(constant, constant, low)
    size = np.abs(poles)
    least, most = float(size.min()) / 10, float(size.max()) * 10
    grid = np.geomspace(least, most, max(2, int(_SAMPLES * np.log10(most / least))))
    ends = [low, high] if np.isfinite(high) else [low]
    grid = np.unique(np.clip(np.concatenate([ends, grid, np.abs(poles.imag)]), low, high))
    values = np.linalg.norm(system(1j * grid), 2, axis=(1, 2))
    best, at = _polished(system, grid, values)
    if best > lower:
        lower, omega = best, at
    if lower == 0.0:
        return Supremum(0.0, 0.0, 0.0)
    balanced, lost = _in_balanced_coordinates(system, 0.1 * rtol * lower)
    for _ in range(50):
        level = lower * (1 + rtol)
        crossings = _axis_crossings(balanced, level)
        crossings = crossings[(crossings > low) & (crossings < high)]  # the ends were evaluated
        if crossings.size == 0:
            return Supremum(lower, level + lost, omega)
        middle = np.concatenate([crossings, 0.5 * (crossings[1:] + crossings[:-1])])
        values = np.linalg.norm(system(1j * middle), 2, axis=(1, 2))
        if values.max() <= level:  # eigenvalues near the axis, no true crossing above the level
            return Supremum(max(lower, float(values.max())), level + lost, omega)
        lower, omega = float(values.max()), float(middle[values.argmax()])
    raise ToleranceError(f"the H-infinity level search did not close to rtol = {rtol:g} in 50 rounds")


def _polished(system: Realization, grid: Real, values: Real) -> tuple[float, float]:
    """The largest value between the neighbours of the largest samples, and where: each interval cut to eighths, six times."""
    peaks = np.flatnonzero((values >= np.append(values[1:], 0.0)) & (values >= np.insert(values[:-1], 0, 0.0)))
    peaks = peaks[np.argsort(-values[peaks], kind="stable")][:_PEAKS]
    best, at = float(values.max()), float(grid[values.argmax()])
    left, right = grid[np.maximum(peaks - 1, 0)], grid[np.minimum(peaks + 1, len(grid) - 1)]
    for _ in range(6):
        fine = np.linspace(left, right, 9)
        found = np.linalg.norm(system(1j * fine.ravel()), 2, axis=(1, 2)).reshape(fine.shape)
        top = found.argmax(axis=0)
        if found.max() > best:
            best, at = float(found.max()), float(fine.ravel()[found.argmax()])
        columns = np.arange(len(peaks))
        left, right = fine[np.maximum(top - 1, 0), columns], fine[np.minimum(top + 1, 8), columns]
    return best, at


def _in_balanced_coordinates(system: Realization, allowed: float) -> tuple[Realization, float]:
    """The system in its balanced coordinates, where the Hamiltonian keeps its digits, and how far it may be off.

    States are left out as long as twice the sum of their Hankel values, which bounds what that changes, is `allowed`; or because
    they are rounding.
    """
    try:
        r, s = gramian_factor(system.a, system.b), gramian_factor(system.a.T, system.c.T)
    except ToleranceError:
        return system, 0.0
    u, sigma, vt = np.linalg.svd(s.T @ r)
    tail = 2.0 * np.append(np.cumsum(sigma[::-1])[::-1], 0.0)
    rank = min(int((tail > allowed).sum()), int((sigma > system.order * np.finfo(float).eps * sigma[0]).sum()))
    root = np.sqrt(sigma[:rank])
    left, right = (s @ u[:, :rank] / root).T, r @ vt[:rank].T / root
    smaller = Realization(left @ system.a @ right, left @ system.b, system.c @ right, system.d)
    return smaller, float(tail[rank])


def _axis_crossings(system: Realization, level: float) -> Real:
    """Frequencies >= 0 at which some singular value equals `level`."""
    if not system.order:
        return np.empty(0)
    a, b, c, d = system.a, system.b / np.sqrt(level), system.c / np.sqrt(level), system.d / level  # then the level is one
    r = np.eye(b.shape[1]) - d.T @ d
    br, drc = np.linalg.solve(r, b.T), np.linalg.solve(r, d.T @ c)
    f = a + b @ drc
    hamiltonian = np.block([[f, b @ br], [-(c.T @ c + c.T @ d @ drc), -f.T]])
    values = np.linalg.eigvals(hamiltonian)
    tol = 1e-8 * np.maximum(np.abs(values), 1e-4 * np.abs(values).max())
    return np.unique(np.abs(values.imag[np.abs(values.real) <= tol]))


class Envelope(NamedTuple):
    """An upper bound of the largest singular value over frequency: `level[i]` on [edge[i], edge[i + 1]], the last one infinite."""

    edge: Real  # (m,), ascending from 0
    level: Real  # (m,)

    def at(self, omega: Real) -> Real:
        """The bound at frequencies, the larger of two where they meet."""
        right = np.searchsorted(self.edge, omega, side="right") - 1
        left = np.maximum(np.searchsorted(self.edge, omega, side="left") - 1, 0)
        return np.maximum(self.level[left], self.level[right])


def gain_envelope(system: Realization, *, least: float, ratio: float) -> Envelope:
    """A piecewise constant bound of ||G(jw)||_2 over all w >= 0, at most `ratio` above it where it exceeds `least`.

    For each level of a ladder all frequencies where a singular value crosses it are eigenvalues of a Hamiltonian matrix, so that
    between neighbouring ones the norm stays between two rungs. One eigenvalue problem of twice the order a rung.
    """
    peak = hinf_norm(system)
    rungs = int(np.ceil(np.log(max(peak.upper / least, 1.0)) / np.log(ratio))) if peak.upper > 0 else 0
    ladder = peak.upper * ratio ** -np.arange(rungs, -1.0, -1.0)
    balanced, lost = _in_balanced_coordinates(system, 0.01 * least)
    ladder = ladder[ladder > lost]
    edges = [np.zeros(1), *[_axis_crossings(balanced, float(level - lost)) for level in ladder]]
    edge = np.unique(np.concatenate(edges))
    middle = np.append(0.5 * (edge[1:] + edge[:-1]), 2.0 * edge[-1] + 1.0)
    value = np.linalg.norm(balanced(1j * middle), 2, axis=(1, 2))
    rung = np.searchsorted(ladder - lost, value)
    return Envelope(edge, np.append(ladder, peak.upper)[np.minimum(rung, len(ladder))])


def gain_crossings(system: Realization, level: float) -> Real:
    """Frequencies >= 0 at which a singular value of a stable system crosses a level, ascending; between them none does."""
    balanced, _ = _in_balanced_coordinates(system, 1e-9 * level)
    return _axis_crossings(balanced, level)


def step_l2(system: Realization) -> float:
    """(integral of |e|^2 over t > 0)^(1/2) for the step response e; infinite when e does not vanish at infinity."""
    if system.order == 0:
        return 0.0 if not system.d.any() else np.inf
    _stable_step(system)
    if not _vanishes(system):
        return np.inf
    # e(t) = C e^{At} A^{-1} B; the factor of its gramian keeps the digits that C X C^T loses in a difference
    return float(np.linalg.norm(system.c @ gramian_factor(system.a, np.linalg.solve(system.a, system.b))))


class Peak(NamedTuple):
    """sup over t and outputs of |e(t)|: it lies in [value, upper]; `value` is attained."""

    value: float
    time: float
    output: int
    upper: float


def step_peak(system: Realization) -> Peak:
    """The largest |e_i(t)| of a step response (one input) over all t >= 0, when and where, with an upper bound.

    With x the state and S S^T the observability gramian, m_k(t) = |S^T A^k x(t)| is the L2 norm of the k-th derivative over
    [t, inf), so from t on |e - e(inf)| <= (2 m_0 m_1)^(1/2) and |e''| <= (2 m_2 m_3)^(1/2), whatever the poles. Exact steps
    e^{Ah}, a block at a time, with h^2/8 |e''| (what can hide between two samples) at most 1e-3 of the peak so far, h doubling
    as derivatives die; the search ends when the tail cannot exceed the peak. The neighbourhoods of the largest samples are then
    searched again, each 256 times finer. Hardly damped modes may need more samples than `_MOST`; then `upper` is what the tail
    could still reach. Where modes are well separated their sum bounds tail and derivative too, and the lesser bound counts.
    """
    if system.b.shape[1] != 1:
        raise InputError(f"the peak of a step response needs one input; there are {system.b.shape[1]}")
    _stable_step(system)
    start, final = np.abs(system.d[:, 0]), np.asarray(system.dc_gain())[:, 0]
    best = (float(start.max(initial=0.0)), 0.0, int(start.argmax()))
    if np.abs(final).max() > best[0]:
        best = (float(np.abs(final).max()), np.inf, int(np.abs(final).argmax()))
    if system.order == 0:
        return Peak(*best, best[0])
    x = np.linalg.solve(system.a, system.b)  # e(t) = final + C e^{At} x
    observe = gramian_factor(system.a.T, system.c.T).T
    modes = _modes(system, x[:, 0])
    candidates: list[tuple[float, float, float, Real]] = []  # what may hide there, time before it, width, state then
    powers: list[Real] = []
    t, h, upper = 0.0, 0.0, best[0]
    for _ in range(_MOST // _BATCH):
        chain = [x]
        for _ in range(3):
            chain.append(system.a @ chain[-1])
        m = np.linalg.norm(observe @ np.hstack(chain), axis=0)
        tail = np.minimum(np.sqrt(2 * m[0] * m[1]), _envelope(modes, t))
        curvature = float(np.max(np.minimum(np.sqrt(2 * m[2] * m[3]), _envelope(modes, t, derivative=2))))
        reach, tail = float((np.abs(final) + tail).max()), float(np.max(tail))
        if reach <= best[0] or tail <= 1e-7 * best[0] or curvature == 0:
            break
        wanted = np.sqrt(8 * _HIDDEN * max(best[0], 0.01 * tail) / curvature)
        if not powers:
            h = wanted
            powers = _powers(sla.expm(system.a * h))
        while 2 * h <= wanted:
            powers, h = [*powers[1:], powers[-1] @ powers[-1]], 2 * h
        block = x  # columns e^{A j h} x, j = 0 .. _BATCH, by doubling
        for power in powers[:-1]:
            block = np.hstack([block, power @ block])
        x = powers[-1] @ x
        block = np.hstack([block, x])
        value, hidden = np.abs(final[:, None] + system.c @ block), h**2 / 8 * curvature
        largest = value.max(axis=0)
        upper = max(upper, float(largest.max()) + hidden)
        for column in np.argsort(-largest)[:_CANDIDATES]:
            if largest[column] <= best[0] - hidden:
                break
            first = max(int(column) - 1, 0)
            candidates.append((float(largest[column]) + hidden, t + first * h, 2 * h, block[:, first : first + 1]))
        candidates = sorted(candidates, key=lambda c: -c[0])[:_CANDIDATES]
        if largest.max() > best[0]:
            output, column = np.unravel_index(int(value.argmax()), value.shape)
            best = (float(value.max()), t + int(column) * h, int(output))
        t += _BATCH * h
    best = _searched_again(system, final, candidates, best)
    return Peak(*best, max(upper, reach, best[0]))


def _searched_again(
    system: Realization, final: Real, candidates: list[tuple[float, float, float, Real]], best: tuple[float, float, int]
) -> tuple[float, float, int]:
    """The largest |e| near the candidates (what may hide there, time before it, width, state then), or `best`."""
    steps: dict[float, list[Real]] = {}
    for most, begin, width, state in candidates:
        if most <= best[0]:
            continue
        if width not in steps:
            steps[width] = _powers(sla.expm(system.a * width / (8 * _BATCH)))
        fine = steps[width]
        for part in range(8):
            block = state
            for power in fine[:-1]:
                block = np.hstack([block, power @ block])
            value = np.abs(final[:, None] + system.c @ block)
            if value.max() > best[0]:
                output, column = np.unravel_index(int(value.argmax()), value.shape)
                best = (float(value.max()), begin + (part + int(column) / _BATCH) * width / 8, int(output))
            state = fine[-1] @ state
    return best


def _powers(stepper: Real) -> list[Real]:
    """The stepper to the powers 1, 2, 4, .. _BATCH."""
    powers = [stepper]
    while 2 ** (len(powers) - 1) < _BATCH:
        powers.append(powers[-1] @ powers[-1])
    return powers


def _modes(system: Realization, x: Real) -> tuple[np.ndarray, Real, Real] | None:
    """Poles p_c, amplitudes a_c and drifts b_c per output with |C e^{At} x| <= sum_c (a_c + b_c t) e^{Re(p_c) t}.

    Poles that rounding cannot tell apart are one cluster: its residues are summed, and what their distance from the
    rightmost of them can add is the drift. None where the eigenvectors are too close to each other for residues to mean
    anything (multiple poles).
    """
    poles, vectors = np.linalg.eig(system.a)
    if np.linalg.cond(vectors) > 1e6:
        return None
    residues = (system.c @ vectors) * np.linalg.solve(vectors, x.astype(complex))
    near = np.abs(poles[:, None] - poles) <= 10 * system.rounding + 1e-12 * np.abs(poles)
    cluster = connected_components(sp.csr_array(near), directed=False)[1]
    member = (cluster == np.arange(int(cluster.max()) + 1)[:, None]).astype(float)
    head = np.where(member > 0, poles.real, -np.inf).argmax(axis=1)
    # the eigenvalues themselves are uncertain by rounding, also where they came out equal
    distance = np.abs(poles - poles[head][cluster]) + system.rounding
    return poles[head], np.abs(residues @ member.T), (np.abs(residues) * distance) @ member.T


def _envelope(modes: tuple[np.ndarray, Real, Real] | None, t: float, *, derivative: int = 0) -> Real | float:
    """Bound of each output's deviation from its final value, or of its second derivative, from time t on."""
    if modes is None:
        return np.inf
    poles, share, drift = modes
    if derivative == 2:  # p_i^2 differs from p_c^2 by 2 |p_c| times their distance
        share, drift = share * np.abs(poles) ** 2 + 2 * np.abs(poles) * drift, drift * np.abs(poles) ** 2
    return np.asarray(((share + drift * np.maximum(t, -1 / poles.real)) * np.exp(poles.real * t)).sum(axis=1))


def _vanishes(system: Realization) -> bool:
    """Whether the final value of the step response is zero up to rounding of the gains it is made of."""
    x = np.linalg.solve(system.a, system.b)
    scale = np.abs(system.d) + np.abs(system.c) @ np.abs(x)
    return bool((np.abs(system.d - system.c @ x) <= 1e-9 * scale).all())


def _stable_step(system: Realization) -> None:
    if not system.is_stable():
        raise InstabilityError(f"the norm of a step response needs a stable system; there is a pole at {system.poles()[0]:.4g}")
