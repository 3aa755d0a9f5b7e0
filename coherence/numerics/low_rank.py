r"""Frequency-weighted balancing of one very large node without its gramians: O(N) for each of some fifty shifts.

With shifts p_1, p_2, .. in Re p < 0, from W_0 = b,

    V_j = (A + p_j I)^{-1} W_{j-1},   W_j = W_{j-1} - 2 Re(p_j) V_j,   X = sum of -2 Re(p_j) V_j V_j^*  (real p_j),

and A Z Z^T + Z Z^T A^T + b b^T = W_j W_j^T at every stage, so that the residual costs one scalar product. Complex shifts come in
pairs that give two real columns. For symmetric A with poles in [-f, -e] the best real shifts are known: -f dn((2j - 1) K / 2J),
j = 1 .. J, elliptic of modulus k^2 = 1 - (e/f)^2; they reduce the residual to 4 exp(-pi^2 J / log(4 (e + f)^2 / (e f))) of |b|^2 or
less. What a head changes about the spectrum, and complex poles, are found from Ritz values. Then S^T R of the two factors is small
and the rest is as in `balancing`.
(P. Benner, P. Kuerschner, J. Saak, Efficient handling of complex shift parameters in the low-rank Cholesky factor ADI method, 2013;
E. Wachspress, The ADI Model Problem, 2013; B. Beckermann, A. Townsend, On the singular values of matrices with displacement
structure, 2017.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ellipj, ellipkm1

from coherence.errors import InstabilityError, PoleError, ToleranceError
from coherence.numerics.arrow import Arrow
from coherence.numerics.realization import Realization
from coherence.types import Complex, Real

_COLUMNS = 400  # of a factor before it is compressed
_RITZ = 30  # columns that Ritz values are taken from
_MOST = 600  # shifts
_RANK = 200  # states of a compressed system, at most
_GROWTH = 1e12  # of |W|^2 over |b|^2: beyond it rounding of W alone exceeds 1e-10 of b, or nothing converges
ERROR = 1e-8  # largest relative error of a compressed system


class Factor(NamedTuple):
    """Z with X = Z Z^T up to what the residual says."""

    columns: Real  # (N, few)
    residual: float  # |A X + X A^T + b b^T| / |b|^2
    shifts: int


class Compressed(NamedTuple):
    """A small system with the weighted Hankel values of the large one."""

    system: Realization
    hankel: Real  # weighted, descending; those above rounding
    residuals: tuple[float, float]  # of the controllability and the observability gramian, relative to |b|^2 and |c|^2
    error: float  # largest |W (G - G_q) V| over the frequencies looked at, relative to the largest |W G V|


def optimal_shifts(slowest: float, fastest: float, count: int) -> Real:
    """The best `count` real shifts for poles in [-fastest, -slowest], all negative, fastest first.

    dn(K - u) = k'/dn(u) gives the slow half from the fast one, so that nothing is lost where the modulus rounds to one.
    """
    ratio = slowest / fastest
    u = (2 * np.arange(1, count + 1) - 1) / (2 * count)
    half = ellipj(u[: (count + 1) // 2] * ellipkm1(ratio**2), 1 - ratio**2)[2]
    if count % 2:
        half[-1] = np.sqrt(ratio)  # dn(K/2)
    return -fastest * np.concatenate([half, (ratio / half[: count // 2])[::-1]])


def low_rank_factor(arrow: Arrow, *, tolerance: float = 1e-22, most: int = _MOST) -> Factor:
    """The controllability gramian's factor (of the dual: the observability gramian's).

    Parameters
    ----------
    arrow : Arrow, stable
    tolerance : float
        Largest |W|^2/|b|^2; its square root is what the Hankel values are exact to.
    most : int
        Shifts.

    Raises
    ------
    ToleranceError
        Not reached with so many shifts.
    InstabilityError
        The residual grows without bound.
    """
    w = arrow.b.copy()
    size = float(w @ w)
    if size == 0:
        return Factor(np.zeros((arrow.order, 0)), 0.0, 0)
    columns: Real = np.zeros((arrow.order, 0))
    fresh: list[Real] = []
    recent: list[Real] = []  # the last columns as they came: a compressed factor ends in directions of no size
    used, residual, room = 0, 1.0, _COLUMNS
    queue = list(_first_shifts(arrow, tolerance))
    while residual > tolerance:
        if used >= most:
            raise ToleranceError(f"a gramian leaves a relative residual of {residual:.1e} after {used} shifts; scale the system")
        if not queue:
            queue = list(_ritz_values(arrow, np.column_stack(recent))) or list(_first_shifts(arrow, tolerance))
        shift = queue.pop(0)
        used += 1
        try:
            v = arrow.solve(shift.real if shift.imag == 0 else shift, w)
        except PoleError:
            raise InstabilityError(f"a gramian needs a stable system; there is a pole at {-shift:.4g}") from None
        if shift.imag == 0:
            w = w - 2 * shift.real * v
            new = [np.sqrt(-2 * shift.real) * v]
        else:  # a pair: two real columns from one complex solve
            share = shift.real / shift.imag
            mixed, gain = v.real + share * v.imag, 2 * np.sqrt(-shift.real)
            w = w + gain**2 * mixed
            new = [gain * mixed, gain * np.sqrt(share**2 + 1) * v.imag]
        fresh, recent = fresh + new, (recent + new)[-_RITZ:]
        residual = float(w @ w) / size
        if not residual < _GROWTH:
            raise InstabilityError(f"a gramian's residual grows to {residual:.1e} of what it began with; the system is not stable")
        if columns.shape[1] + len(fresh) > room:
            columns, fresh = _compressed(_joined(columns, fresh), 0.01 * np.sqrt(tolerance)), []
            room = max(_COLUMNS, 2 * columns.shape[1])
    return Factor(_joined(columns, fresh), residual, used)


def _joined(columns: Real, fresh: list[Real]) -> Real:
    return np.column_stack([columns, *fresh])


def _compressed(columns: Real, small: float) -> Real:
    """Fewer columns: without the directions whose singular value is a `small` part of the largest."""
    q, r = np.linalg.qr(columns)
    u, sigma, _ = np.linalg.svd(r)
    keep = sigma > small * sigma[0]
    return np.asarray(q @ (u[:, keep] * sigma[keep]))


def _first_shifts(arrow: Arrow, tolerance: float) -> Complex:
    """The poles of weights and polynomial exactly, then the best shifts for the interval that the sections' poles span."""
    head = np.linalg.eigvals(arrow.head).astype(complex)
    head = head[(head.real < 0) & (head.imag >= 0)]
    poles = [part.poles.ravel() for part in arrow.sections]
    slowest = min((float(-p.real.max()) for p in poles), default=0.0)
    fastest = max((float(np.abs(p).max()) for p in poles), default=0.0)
    if not fastest:
        return head if head.size else np.array([-1.0 + 0j])
    if slowest <= 0:
        raise InstabilityError(f"a gramian needs stable sections; one has a pole with real part {-slowest:.4g}")
    spread = 4 * (fastest + slowest) ** 2 / (fastest * slowest)
    count = int(np.ceil(np.log(4 / tolerance) * np.log(spread) / np.pi**2))
    return np.concatenate([head, optimal_shifts(slowest, fastest, count).astype(complex)])


def _ritz_values(arrow: Arrow, basis: Real) -> Complex:
    """Eigenvalues of the state matrix projected on these columns, one of each pair, turned into Re < 0."""
    products = basis.T @ basis  # squares of singular values: six digits are enough for shifts
    scale = 1 / np.sqrt(np.diag(products))
    sizes, turn = np.linalg.eigh(scale[:, None] * products * scale)
    seen = sizes > 1e-12 * sizes[-1]
    turn = scale[:, None] * turn[:, seen] / np.sqrt(sizes[seen])
    values = np.linalg.eigvals(turn.T @ (basis.T @ arrow.multiply(basis)) @ turn).astype(complex)
    values = -np.abs(values.real) + 1j * values.imag
    return values[(values.imag >= 0) & (values.real < -np.finfo(float).eps * np.abs(values))]


def compress(
    arrow: Arrow, *, output_weight: Realization | None = None, input_weight: Realization | None = None, tolerance: float = 1e-12
) -> Compressed:
    """A small system that no weighted balancing can tell from the large one.

    Parameters
    ----------
    arrow : Arrow, stable
    output_weight, input_weight : Realization, optional
        Stable, scalar: W and V in W G V.
    tolerance : float
        Weighted Hankel values below this part of the largest are dropped.

    Returns
    -------
    Compressed
        System of at most 200 states; stable with one weight or none, as balanced truncation is (with two it need not be).

    Raises
    ------
    ToleranceError
        The small system differs by more than 1e-8 of the largest |W G V|, or a gramian is not reached.
    InstabilityError
        A weight, or the system, is not stable.
    """
    for weight, name in ((output_weight, "output"), (input_weight, "input")):
        if weight is not None and not weight.is_stable():
            raise InstabilityError(f"the {name} weight has a pole at {weight.poles()[0]:.4g}; give one with all poles in Re s < 0")
    k, n = len(arrow.head), arrow.order
    before = arrow if input_weight is None else arrow.weighted_input(input_weight)
    after = arrow if output_weight is None else arrow.weighted_output(output_weight)
    r, s = low_rank_factor(before), low_rank_factor(after.dual)
    right, left = (np.delete(x, slice(k, k + len(x) - n), axis=0) if len(x) > n else x for x in (r.columns, s.columns))
    u, sigma, vt = np.linalg.svd(left.T @ right, full_matrices=False)
    rank = min(_RANK, int((sigma > tolerance * sigma[0]).sum())) if sigma.size and sigma[0] > 0 else 0
    root = np.sqrt(sigma[:rank])
    left, right = left @ (u[:, :rank] / root), right @ (vt[:rank].T / root)
    system = Realization(
        left.T @ arrow.multiply(right), (left.T @ arrow.b)[:, None], (arrow.c @ right)[None, :], np.array([[arrow.d]])
    )
    error = _largest_error(arrow, system, output_weight, input_weight)
    if not error <= ERROR:
        raise ToleranceError(f"the compressed system of order {rank} differs by {error:.1e}, more than {ERROR:g}; scale the system")
    return Compressed(system, sigma, (r.residual, s.residual), error)


def _largest_error(arrow: Arrow, system: Realization, *weights: Realization | None) -> float:
    """Largest |W (G - G_q) V| over largest |W G V|: at 0 and a decade beyond all poles, then thrice between the largest."""
    poles = [np.abs(part.poles).ravel() for part in arrow.sections]
    poles += [np.abs(x.poles()) for x in (system, *weights) if x is not None]
    size = np.concatenate(poles)
    size = size[size > 0]
    if not size.size:
        return 0.0
    low, high = float(size.min()) / 10, float(size.max()) * 10
    omega = np.concatenate([[0.0], np.geomspace(low, high, max(2, int(12 * np.log10(high / low))))])
    whole, error = _sampled(arrow, system, weights, omega)
    for _ in range(3):
        order = np.argsort(omega)
        omega, whole, error = omega[order], whole[order], error[order]
        near = np.unique(np.concatenate([np.argsort(x)[-6:] for x in (whole, error)]))
        starts = np.unique(np.clip(np.concatenate([near - 1, near]), 0, len(omega) - 2))
        middle = np.where(omega[starts] > 0, np.sqrt(omega[starts] * omega[starts + 1]), omega[starts + 1] / 10)
        found = _sampled(arrow, system, weights, middle)
        omega, whole, error = (np.concatenate(x) for x in ((omega, middle), (whole, found[0]), (error, found[1])))
    return float(error.max() / whole.max()) if whole.max() else float(error.max())


def _sampled(arrow: Arrow, system: Realization, weights: tuple[Realization | None, ...], omega: Real) -> tuple[Real, Real]:
    s = 1j * omega
    gain = np.ones(s.size)
    for weight in weights:
        gain = gain if weight is None else gain * np.abs(weight(s)[:, 0, 0])
    exact = arrow(s)
    return gain * np.abs(exact), gain * np.abs(exact - system(s)[:, 0, 0])
