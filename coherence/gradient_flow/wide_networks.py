r"""Distance from the least-squares solution of smallest norm over the width, measured: many draws trained to the end.

    |U V' - Theta^|_F ~ h^{-(2 alpha - 1/2)} for entries N(0, h^{-2 alpha})        (Theorem 2.2)

Each draw is trained in m + r columns (`gram`), so that the width costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import integrate
from scipy.linalg.blas import dgemm

from coherence.display import Page
from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.gradient_flow.gram import GramNetwork, gaussian_gram
from coherence.gradient_flow.losses import SquaredLoss, positive
from coherence.gradient_flow.training import positive_integer
from coherence.progress import Progress, silent
from coherence.types import Int, Real

RTOL, ATOL = 1e-10, 1e-13  # of the flow's steps
EXPLICIT_STEPS = 2000  # then flows are taken to be stiff; the longest of the tests takes 89
FLOW_STEPS = 20_000  # of the stiff method, for one draw


@dataclass(frozen=True, eq=False, repr=False)
class WidthStudy(Page):
    """Trained networks of growing width; see `bias_over_width`.

    Attributes
    ----------
    widths : (S,) int
    alpha : float
    distance : (S, D) float
        |U V' - Theta^|_F of each of D draws at the end: `unseen` and what `stop` left untrained of what samples see.
    unseen, unseen_start : (S, D) float
        |U_2 V'|_F, the part of the product that no sample sees, at the end and at the start. At the end it is the distance of the
        limit, up to the order of the residue |E|_F that `stop` left.
    steps : (S, D) int
        Steps of descent; of the solver for the flow, where the draws of a width share them unless it is stiff.
    status : str
        "completed", or "interrupted" by Ctrl-C: the widths finished until then.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0]], [[1.0, 0.0, 0.0]])
    >>> gf.bias_over_width(loss, [100, 10000], draws=3)
    WidthStudy(2 widths from 100 to 10000, 3 draws each)
    """

    widths: Int
    alpha: float
    distance: Real
    unseen: Real
    unseen_start: Real
    steps: Int
    status: str

    @property
    def mean(self) -> Real:
        """Distance averaged over the draws, (S,)."""
        return np.asarray(self.distance.mean(axis=1))

    @property
    def slope(self) -> float:
        """Least-squares slope of the logarithm of the root mean square of `unseen` over that of the width.

        Nan for a single width, and where the samples see all of the product.
        """
        rms = np.sqrt((self.unseen**2).mean(axis=1))
        if np.unique(self.widths).size < 2 or not rms.all():
            return float("nan")
        return float(np.polyfit(np.log(self.widths), np.log(rms), 1)[0])

    @property
    def facts(self) -> dict[str, str]:
        """One line per width, and the slope."""
        spread = self.distance.std(axis=1, ddof=1) if self.distance.shape[1] > 1 else np.zeros(len(self.widths))
        lines = {
            f"distance at width {h}": f"{mean:.4g} +- {std:.2g} (unseen {end:.4g}, at the start {start:.4g})"
            for h, mean, std, end, start in zip(
                self.widths, self.mean, spread, self.unseen.mean(axis=1), self.unseen_start.mean(axis=1), strict=True
            )
        }
        return lines if np.isnan(self.slope) else {**lines, "slope": f"{self.slope:.4f}"}

    def __repr__(self) -> str:
        size, draws = self.distance.shape
        said = "" if self.status == "completed" else f"{self.status}; "
        return f"WidthStudy({said}{size} widths from {self.widths[0]} to {self.widths[-1]}, {draws} draws each)"


def bias_over_width(
    loss: SquaredLoss,
    widths: Sequence[int],
    *,
    alpha: float = 0.5,
    draws: int = 5,
    step_size: float | None = None,
    steps: int = 100_000,
    stop: float = 1e-10,
    random_state: int | np.random.Generator | None = 0,
    progress: Progress = silent,
) -> WidthStudy:
    """Train Gaussian networks of each width until the loss is down, and measure where they end.

    Parameters
    ----------
    loss : SquaredLoss
    widths : sequence of int
        Each at least min(n, m).
    alpha : float
        Entries are N(0, h^{-2 alpha}).
    draws : int
        Networks of each width.
    step_size : float, optional
        Gradient descent with this step; gradient flow where left out.
    steps : int
        Most steps of descent for one draw.
    stop : float
        A draw ends once its loss is this near to the infimum.
    random_state : int or Generator
        Every draw is seeded apart from it (or from a number that the generator draws), so that more draws or widths change none
        of the others.
    progress : callable, optional

    Returns
    -------
    WidthStudy
        On Ctrl-C the widths finished so far, with status "interrupted" (where there is none, KeyboardInterrupt goes on).

    Raises
    ------
    InputError
        Widths below min(n, m), an alpha that is not finite.
    ToleranceError
        A draw has not come down to `stop` within the steps.
    InstabilityError
        Descent diverges.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0]], [[1.0, 0.0, 0.0]])
    >>> study = gf.bias_over_width(loss, [100, 1000, 10_000], draws=50)
    >>> study
    WidthStudy(3 widths from 100 to 10000, 50 draws each)
    >>> bool(abs(study.slope + 0.5) < 0.1)
    True
    """
    sizes, draws, stop = list(widths), positive_integer(draws, "draws"), positive(stop, "stop")
    if not sizes:
        raise InputError("widths is empty; give at least one")
    if not np.isfinite(alpha):
        raise InputError(f"alpha is {alpha}; give a finite number")
    eta = None if step_size is None else positive(step_size, "step_size")
    seed = int(np.random.default_rng(random_state).integers(2**63)) if not isinstance(random_state, int) else random_state
    if seed < 0:
        raise InputError(f"random_state is {seed}; give a number >= 0, a Generator or None")
    ends: list[list[tuple[GramNetwork, int]]] = []
    starts: list[list[GramNetwork]] = []
    status = "completed"
    try:
        for number, width in enumerate(sizes):
            progress(f"width {width}", number / len(sizes))
            sources = [np.random.default_rng([seed, int(width), draw]) for draw in range(draws)]
            drawn = [gaussian_gram(loss, width, alpha=alpha, random_state=source) for source in sources]
            starts.append(drawn)
            ends.append(followed(drawn, loss, stop) if eta is None else [descended(s, loss, eta, steps, stop) for s in drawn])
    except KeyboardInterrupt:
        if not ends:
            raise
        status = "interrupted"
    starts = starts[: len(ends)]
    return WidthStudy(
        widths=np.array(sizes[: len(ends)], dtype=int),
        alpha=alpha,
        distance=np.array([[end.distance for end, _ in row] for row in ends]),
        unseen=np.array([[end.unseen for end, _ in row] for row in ends]),
        unseen_start=np.array([[start.unseen for start in row] for row in starts]),
        steps=np.array([[count for _, count in row] for row in ends]),
        status=status,
    )


def descended(start: GramNetwork, loss: SquaredLoss, eta: float, steps: int, stop: float) -> tuple[GramNetwork, int]:
    """Descend until the loss is down; the network then and the steps taken. `gradient_descent` without records, in place."""
    singular, factor = start.split.singular[:, None], 2 * eta * loss.scale
    pull, curve = factor * singular * (start.split.left.T @ loss.Y), factor * singular**2
    first, second = np.array(start.first, order="F"), np.array(start.second.T, order="F")
    weight = loss.scale / (factor * singular) ** 2  # of the squared update, to give the loss
    for step in range(steps):
        move = pull - curve * dgemm(1.0, first, second)
        with np.errstate(over="ignore", invalid="ignore"):
            excess = float(np.vdot(weight * move, move))
        if excess <= stop:
            return replace(start, first=np.array(first), second=np.array(second.T)), step
        if not np.isfinite(excess):
            raise InstabilityError(
                f"gradient descent diverged at step {step} at width {start.width}; take a smaller step_size than {eta:g}"
            )
        moved = dgemm(1.0, first, move, beta=1.0, c=second, trans_a=1)
        first = dgemm(1.0, move, second, beta=1.0, c=first, trans_b=1, overwrite_c=1)
        second = moved
    raise ToleranceError(
        f"the loss is still {excess:.3g} above its infimum after {steps} steps at width {start.width}; allow more, or a larger stop"
    )


def followed(starts: Sequence[GramNetwork], loss: SquaredLoss, stop: float) -> list[tuple[GramNetwork, int]]:
    """Follow the flow of several draws at once until all their losses are down; one by one where it proves stiff."""
    ends, excess, steps = _flowed(starts, loss, stop, integrate.DOP853, EXPLICIT_STEPS)
    return [(end, steps) if left <= stop else _stiffly(end, loss, stop, steps) for end, left in zip(ends, excess, strict=True)]


def _stiffly(start: GramNetwork, loss: SquaredLoss, stop: float, before: int) -> tuple[GramNetwork, int]:
    (end,), (excess,), steps = _flowed([start], loss, stop, integrate.Radau, FLOW_STEPS)
    if excess <= stop:
        return end, before + steps
    values = start.split.singular
    raise ToleranceError(
        f"the loss is still {excess:.3g} above its infimum after {steps} steps of a stiff solver at width {start.width} "
        f"(singular values of X from {values[0]:.3g} to {values[-1]:.3g}); give a stop of at least {1.01 * excess:.3g}"
    )


def _flowed(
    starts: Sequence[GramNetwork], loss: SquaredLoss, stop: float, method: Any, most: int
) -> tuple[list[GramNetwork], Real, int]:
    """The draws after at most so many steps of the solver, what their losses are above the infimum, and the steps."""
    singular, targets = starts[0].split.singular[:, None], starts[0].split.left.T @ loss.Y
    first, second = np.stack([s.first for s in starts]), np.stack([s.second for s in starts])
    cut, shapes = first.size, (first.shape, second.shape)

    def parts(vector: Real) -> tuple[Real, Real]:
        return vector[:cut].reshape(shapes[0]), vector[cut:].reshape(shapes[1])

    def error(vector: Real) -> Real:
        one, two = parts(vector)
        return np.asarray(targets - singular * (one @ two.swapaxes(1, 2)))

    def velocity(_: float, vector: Real) -> Real:
        one, two = parts(vector)
        pull = singular * error(vector)  # times 2 scale in time, which moves no limit
        return np.concatenate([(pull @ two).ravel(), (pull.swapaxes(1, 2) @ one).ravel()])

    def above(vector: Real) -> Real:
        return np.asarray(loss.scale * (error(vector) ** 2).sum(axis=(1, 2)))

    solver = method(velocity, 0.0, np.concatenate([first.ravel(), second.ravel()]), np.inf, rtol=RTOL, atol=ATOL)
    steps, excess = 0, above(solver.y)
    while excess.max() > stop and steps < most and solver.status == "running":
        solver.step()
        steps, excess = steps + 1, above(solver.y)
    ends = zip(starts, *parts(solver.y), strict=True)
    return [replace(start, first=one, second=two) for start, one, two in ends], excess, steps
