r"""Losses f(W) of the matrix W that a network computes, with the constants that convergence theorems ask for.

    A1   |grad f|_F^2 >= gamma (f - f*)          exponential convergence (Polyak-Lojasiewicz)
    A2   f is mu-strongly convex, K-smooth       the margin bounds the singular values from below; gamma = 2 mu
    A1'  |grad f|_F   >= gamma (f - f*)          convergence like 1/t

Every constant that is not known is None. How networks compute W is in `linear` and `relu`; which theorem uses what in
`convergence`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import nnls

from coherence.display import Page
from coherence.errors import InputError
from coherence.types import ArrayLike, Real

AGREES = 1e-8  # of the loss at 0: how far a minimum may be from the value at the minimizer


def numerical_rank(singular: Real, shape: tuple[int, ...]) -> int:
    """Number of descending singular values of a matrix of this shape that are above rounding."""
    return int((singular > max(shape) * np.finfo(float).eps * singular[0]).sum())


def finite_matrix(values: ArrayLike, name: str) -> Real:
    """Return `values` as a finite matrix of floats that nobody else can change; `name` stands in the message."""
    try:
        matrix = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {values!s:.60}; give a matrix of real numbers") from None
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"{name} has shape {matrix.shape}; give a matrix with at least one row and one column")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise InputError(f"{name}[{row}, {column}] = {matrix[row, column]} is not finite; give finite numbers")
    matrix.flags.writeable = False
    return matrix


def paired(X: ArrayLike, Y: ArrayLike) -> tuple[Real, Real]:
    """Return samples (N, n) and targets (N, m), as many of each."""
    samples, targets = finite_matrix(X, "X"), finite_matrix(Y, "Y")
    if len(samples) != len(targets):
        raise InputError(f"X has {len(samples)} samples and Y {len(targets)}; give one row of each per sample")
    return samples, targets


def positive(value: float, name: str) -> float:
    """Return a positive finite number, or say which one is not."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!s:.60}; give a positive number") from None
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{name} is {number:g}; give a positive number")
    return number


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Loss(Page):
    """A differentiable function f of an (n, m) matrix, and what is known of it.

    Attributes
    ----------
    value : callable, (n, m) -> float
    gradient : callable, (n, m) -> (n, m)
        For other libraries' derivatives wrap them, for instance ``lambda W: np.asarray(jax.grad(f)(W))`` in double precision.
    shape : (int, int)
        n, m.
    minimum : float
        f*; where left out the value at the minimizer, or 0 where that is not given either.
    minimizer : (n, m) or None
        W*, of smallest norm where there are several.
    smoothness, strong_convexity : float or None
        K and mu of assumption A2.
    pl_constant : float or None
        gamma of assumption A1; 2 mu where only mu is given.
    linear_constant : float or None
        gamma of assumption A1'.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> target = np.array([[2.0], [1.0]])
    >>> gf.Loss(
    ...     value=lambda W: float(((W - target) ** 4).sum()),
    ...     gradient=lambda W: 4 * (W - target) ** 3,
    ...     shape=(2, 1),
    ... )
    Loss(of (2, 1) matrices)
    """

    value: Callable[[Real], float]
    gradient: Callable[[Real], Real]
    shape: tuple[int, int]
    minimum: float = np.nan
    minimizer: Real | None = None
    smoothness: float | None = None
    strong_convexity: float | None = None
    pl_constant: float | None = None
    linear_constant: float | None = None

    def __post_init__(self) -> None:
        if not (callable(self.value) and callable(self.gradient)):
            raise InputError("value and gradient must be functions of a matrix; give callables")
        if len(np.atleast_1d(self.shape)) != 2 or not all(isinstance(size, (int, np.integer)) and size > 0 for size in self.shape):
            raise InputError(f"shape is {self.shape}; give two positive integers (n, m)")
        for name in ("smoothness", "strong_convexity", "pl_constant", "linear_constant"):
            given = getattr(self, name)
            if given is not None:
                positive(given, name)
        if self.smoothness is not None and self.strong_convexity is not None and self.smoothness < self.strong_convexity:
            raise InputError(f"smoothness {self.smoothness:g} is below strong_convexity {self.strong_convexity:g}; K >= mu")
        if self.pl_constant is None and self.strong_convexity is not None:
            object.__setattr__(self, "pl_constant", 2 * self.strong_convexity)
        if self.minimizer is not None:
            minimizer = finite_matrix(self.minimizer, "minimizer")
            if minimizer.shape != tuple(self.shape):
                raise InputError(f"minimizer has shape {minimizer.shape}; the loss is of {tuple(self.shape)} matrices")
            object.__setattr__(self, "minimizer", minimizer)
        if np.isnan(self.minimum):
            object.__setattr__(self, "minimum", 0.0 if self.minimizer is None else float(self.value(self.minimizer)))
        if not np.isfinite(self.minimum):
            raise InputError(f"minimum is {self.minimum}; give the finite infimum of the loss")
        self._check_minimum()

    def _check_minimum(self) -> None:
        if self.minimizer is None or isinstance(self, SquaredLoss):
            return
        found = float(self.value(self.minimizer))
        if abs(found - self.minimum) > AGREES * max(abs(found), abs(self.minimum), abs(self.value(np.zeros(self.shape)))):
            raise InputError(f"minimum is {self.minimum:g} and the loss at the minimizer {found:g}; they must be equal")

    @property
    def facts(self) -> dict[str, str]:
        """The constants that are known."""
        known = {
            "infimum f*": self.minimum,
            "|grad f|^2 >= gamma (f - f*), gamma": self.pl_constant,
            "|grad f| >= gamma (f - f*), gamma": self.linear_constant,
            "strong convexity mu": self.strong_convexity,
            "smoothness K": self.smoothness,
        }
        return {name: f"{value:.4g}" for name, value in known.items() if value is not None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(of {tuple(self.shape)} matrices)"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SquaredLoss(Loss):
    """scale |Y - X W|_F^2; see `squared_loss`.

    Attributes
    ----------
    X : (N, n)
        Samples in rows, times the scale of the output.
    Y : (N, m)
    scale : float

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.squared_loss([[2.0], [0.0]], [[1.0], [1.0]])
    SquaredLoss(of (1, 1) matrices, 2 samples)
    """

    X: Real
    Y: Real
    scale: float

    def __repr__(self) -> str:
        return f"SquaredLoss(of {self.shape} matrices, {len(self.X)} samples)"


def squared_loss(Y: ArrayLike, X: ArrayLike | None = None, *, scale: float = 0.5, output_scale: float = 1.0) -> SquaredLoss:
    r"""f(W) = scale |Y - output_scale X W|_F^2.

    With lam the eigenvalues of X'X (X times the scale of the output), r its rank: K = 2 scale lam_1, mu = 2 scale lam_n
    (none where r < n), and A1 holds with gamma = 4 scale lam_r, whatever the rank. Singular values of X count for the rank where
    they exceed max(N, n) times the rounding of the largest, as in `numpy.linalg.matrix_rank`.

    Parameters
    ----------
    Y : (N, m)
        Targets.
    X : (N, n), optional
        Samples in rows; the identity where left out.
    scale : float
        1/2, or 1/N for the mean over samples.
    output_scale : float
        What the product of the weights is multiplied by, such as (m h)^{-1/2} in NTK scaling.

    Returns
    -------
    SquaredLoss

    Raises
    ------
    InputError
        Shapes that do not fit, entries that are not finite, X = 0.

    References
    ----------
    Equations (2.1) and (2.98) of the dissertation; its (2.2) and the slides average over samples, the two-layer paper sums.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss(Y=[[2.0], [0.0]], X=[[1.0, 0.0], [0.0, 2.0]])
    >>> loss.value(np.zeros((2, 1))), loss.smoothness, loss.strong_convexity, loss.pl_constant
    (2.0, 4.0, 1.0, 2.0)
    """
    scale, output_scale = positive(scale, "scale"), positive(output_scale, "output_scale")
    samples, targets = paired(np.eye(len(finite_matrix(Y, "Y"))) if X is None else X, Y)
    samples = output_scale * samples
    if np.abs(targets).max() > np.sqrt(np.finfo(float).max / (max(scale, 1.0) * targets.size)):
        raise InputError(f"Y has entries up to {np.abs(targets).max():.3g}, whose squares are beyond floating point; rescale Y")
    left, singular, right = np.linalg.svd(samples, full_matrices=False)
    rank = numerical_rank(singular, samples.shape)
    if rank == 0:
        raise InputError("X is zero; the loss does not depend on the weights")
    with np.errstate(over="ignore"):
        lam = singular**2
    if not 0 < scale * lam[rank - 1] <= scale * lam[0] < np.inf:
        raise InputError(
            f"the singular values of X times the output's scale go from {singular[rank - 1]:.3g} to {singular[0]:.3g}; "
            "their squares are beyond floating point, rescale X"
        )
    best = (right[:rank].T / singular[:rank]) @ (left[:, :rank].T @ targets)
    n = samples.shape[1]
    return SquaredLoss(
        value=partial(_squared, samples, targets, scale),
        gradient=partial(_squared_gradient, samples, targets, scale),
        shape=(n, targets.shape[1]),
        minimum=0.0 if rank == len(samples) else scale * float(np.sum((targets - samples @ best) ** 2)),
        minimizer=best,
        smoothness=2 * scale * float(lam[0]),
        strong_convexity=2 * scale * float(lam[n - 1]) if rank == n else None,
        pl_constant=4 * scale * float(lam[rank - 1]),
        X=samples,
        Y=targets,
        scale=scale,
    )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExponentialLoss(Loss):
    """scale sum_i exp(-y_i f(x_i)); see `exponential_loss`.

    Attributes
    ----------
    X : (N, n)
        Samples in rows.
    y : (N,)
        Labels, 1 or -1.
    scale : float
    direction : (n,) or None
        The unit vector of largest margin, where that was asked for; where samples are opposite to within 1e-6 of their lengths, one
        of smaller margin.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.exponential_loss([[1.0], [-2.0]], [1, -1])
    ExponentialLoss(of (1, 1) matrices, 2 samples)
    """

    X: Real
    y: Real
    scale: float
    direction: Real | None = None

    def __repr__(self) -> str:
        return f"ExponentialLoss(of {self.shape} matrices, {len(self.X)} samples)"


def exponential_loss(X: ArrayLike, y: ArrayLike, *, scale: float = 1.0, separable: bool = True) -> ExponentialLoss:
    r"""f(w) = scale sum_i exp(-y_i x_i'w) for labels of 1 and -1.

    Where a unit vector z separates the data with margin gamma = min_i y_i x_i'z > 0, -z'grad f >= gamma f, so that A1' holds
    with f* = 0; z is the one of largest margin (where samples are opposite to within 1e-6 of their lengths it may have a smaller
    one, and gamma is that). f has no minimizer.

    Parameters
    ----------
    X : (N, n)
        Samples in rows.
    y : (N,)
        1 or -1.
    scale : float
        1, or 1/N for the mean over samples.
    separable : bool
        False: data need not be separable by a line through the origin (networks of rectifiers); A1' is then not known.

    Returns
    -------
    ExponentialLoss
        Of (n, 1) matrices for linear networks, of samples for ReLU networks.

    Raises
    ------
    InputError
        Labels other than 1 and -1, shapes that do not fit, data that no line through the origin separates.

    References
    ----------
    Theorem 2.6 and Appendix B of the multi-layer paper, whose main text cites its Appendix D.2 for it by mistake.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.exponential_loss([[1.0, 0.0], [0.0, -1.0]], [1, -1])
    >>> round(loss.linear_constant, 4)
    0.7071
    """
    samples = finite_matrix(X, "X")
    scale = positive(scale, "scale")
    try:
        labels = np.asarray(y, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"y is {y!s:.60}; labels are 1 or -1") from None
    if labels.shape != (len(samples),):
        raise InputError(f"y has shape {labels.shape}; give one label for each of the {len(samples)} rows of X")
    if not np.isin(labels, (-1.0, 1.0)).all():
        where = int(np.argmin(np.isin(labels, (-1.0, 1.0))))
        raise InputError(f"y[{where}] = {labels[where]:g}; labels are 1 or -1")
    signed = labels[:, None] * samples
    direction, gamma = max_margin(signed) if separable else (None, None)
    if gamma is not None and gamma <= 0:
        raise InputError(
            "no hyperplane through the origin was found to separate the data by more than rounding; "
            "without one the exponential loss has no infimum of 0 to converge to. Give separable data (a column of ones in X "
            "lets hyperplanes miss the origin), or separable=False for a ReLU network"
        )
    return ExponentialLoss(
        value=partial(_exponential, signed, scale),
        gradient=partial(_exponential_gradient, signed, scale),
        shape=(samples.shape[1], 1),
        linear_constant=gamma,
        X=samples,
        y=labels,
        scale=scale,
        direction=direction,
    )


def _squared(samples: Real, targets: Real, scale: float, W: Real) -> float:
    return scale * float(np.sum((targets - samples @ W) ** 2))


def _squared_gradient(samples: Real, targets: Real, scale: float, W: Real) -> Real:
    return 2 * scale * samples.T @ (samples @ W - targets)


def _exponential(signed: Real, scale: float, W: Real) -> float:
    return scale * float(np.exp(-(signed @ W)).sum())


def _exponential_gradient(signed: Real, scale: float, W: Real) -> Real:
    return -scale * signed.T @ np.exp(-(signed @ W))


def max_margin(signed: Real) -> tuple[Real, float]:
    """Return z, |z| = 1, of largest min_i s_i'z for the rows s_i of an (N, n) matrix, and that margin; 0 where none separates.

    z points to the point of conv{s_i} nearest to the origin. It is a problem of non-negative least squares,
    min |S'p|^2 + (sum p - 1)^2 over p >= 0: for p = a q, q in the simplex, the minimum over a is |S'q|^2/(|S'q|^2 + 1), which
    grows with |S'q|. Nearly opposite rows, whose nearest point is lost in that sum, are separated after whitening, which gives
    some z, not the best. The margin returned is that of z as computed, so true whatever the accuracy of z.
    """
    sizes = np.abs(signed).max(axis=1)
    if not sizes.all():
        return np.zeros(signed.shape[1]), 0.0
    lengths = sizes * np.linalg.norm(signed / sizes[:, None], axis=1)  # squares of tiny samples would vanish
    rounding = 4 * signed.shape[1] * np.finfo(float).eps
    units = signed / lengths[:, None]
    candidates = [_nearest(signed / lengths.max())]
    if not (units @ candidates[0] > rounding * np.linalg.norm(candidates[0])).all():
        left, singular, right = np.linalg.svd(units, full_matrices=False)
        kept = numerical_rank(singular, units.shape)
        candidates.append((right[:kept].T / singular[:kept]) @ _nearest(left[:, :kept]))
    best, margin = np.zeros(signed.shape[1]), 0.0
    for z in candidates:
        length = np.linalg.norm(z)
        if length and (units @ z > rounding * length).all() and (signed @ z).min() / length > margin:
            best, margin = z / length, float((signed @ z).min() / length)
    return best, margin


def _nearest(rows: Real) -> Real:
    """A multiple of the point of the rows' convex hull nearest to the origin."""
    weights, _ = nnls(np.vstack([rows.T, np.ones(len(rows))]), np.append(np.zeros(rows.shape[1]), 1.0))
    return np.asarray(rows.T @ weights)
