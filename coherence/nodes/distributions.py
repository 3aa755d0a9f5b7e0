r"""Random nodes: a family whose coefficients have declared distributions, with the moments of its inverse.

    E g^{-1}(s, w),   Var g^{-1} = E |g^{-1} - E g^{-1}|^2,   g_hat(s) = (E g^{-1}(s, w))^{-1}   (3.14)

Moments are integrals over independent coefficients, by tensor products of Gauss rules whose sizes are doubled, coefficient by
coefficient, until nothing changes. Coefficients that depend on each other: let the family compute them from independent ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.nodes.nodes import Nodes
from coherence.numerics.quadrature import discretised, gauss_rule, tanh_sinh
from coherence.types import ArrayLike, Complex, Real, laplace_points, real_vector

TOLERANCE = 1e-10  # of the change of a moment when a rule is doubled, relative
MOST = 200_000  # points of a tensor product
GAUSS, FINEST = 64, 10_000  # points of one coefficient: of a Gauss rule, and of any
DRAWN, SURE = 20_000, 7.0  # draws that moments are held against, and standard errors they may be off
LOOKED = 40  # points s at which they are
ATOMS = 1_000_000  # values of a discrete distribution
GRID = 700  # points, about, at which the range of g^{-1} is looked at, the ends of supports included
TAILS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-15)  # left out of an endless discrete distribution; the last counts
CHUNK = 4_000_000  # entries of (frequencies, points) held at a time


@dataclass(frozen=True)
class InverseMoments:
    """Moments of g^{-1}(s, w) at F points.

    Attributes
    ----------
    mean : (F,) complex
    variance : (F,) float
        E |g^{-1} - mean|^2.
    largest : (F,) float
        The largest |g^{-1}| found on a grid of about 700 points of the support with its corners, not above M2; infinite for an
        unbounded support.
    range : (F, m) complex or None
        The values on that grid.
    """

    mean: Complex
    variance: Real
    largest: Real
    range: Complex | None


class RandomNodes(Page):
    """Independent, identically distributed nodes.

    Parameters
    ----------
    family : callable
        Coefficients as arrays by keyword -> Nodes, such as `swing_turbine`.
    **coefficients : number, frozen scipy.stats distribution or (N,) array
        Independent of each other; continuous or discrete; an array is a sample, each value as likely as the others.

    Raises
    ------
    InputError
        A coefficient that is neither number, distribution nor sample, or none that is random.

    References
    ----------
    H. Min, dissertation (2023), Section 3.1.4, equation (3.11).

    Examples
    --------
    >>> from scipy import stats
    >>> from coherence import RandomNodes, swing
    >>> nodes = RandomNodes(swing, inertia=stats.uniform(1, 2), damping=0.5)
    >>> nodes.expected_dynamics(2j).round(6)
    array([0.030769-0.246154j])
    >>> nodes.draw(3, random_state=0)
    Nodes(3: 1, 2, 3; 3 states)
    """

    def __init__(self, family: Callable[..., Nodes], **coefficients: Any) -> None:
        if not callable(family):
            raise InputError(f"the family is {family!r}; give a function of coefficients such as swing_turbine")
        self.family, self.coefficients = family, dict(coefficients)
        for name, value in coefficients.items():
            if np.ndim(value) == 1:
                self.coefficients[name] = _Sample(real_vector(value, name))
            elif not (
                _is_distribution(value) or (np.isscalar(value) and np.isrealobj(value) and not isinstance(value, (str, bytes)))
            ):
                raise InputError(
                    f"the coefficient {name!r} is {value!r:.60}; give a number, a frozen distribution such as "
                    "stats.uniform(1, 2), or an array of samples"
                )
        if not self.random:
            raise InputError("no coefficient is random; give at least one scipy.stats distribution")

    def __repr__(self) -> str:
        name = getattr(self.family, "__name__", type(self.family).__name__)
        return f"RandomNodes({name}; random: {', '.join(self.random)})"

    @property
    def random(self) -> list[str]:
        """Names of the coefficients that have a distribution."""
        return [name for name, value in self.coefficients.items() if _is_distribution(value)]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Mean, standard deviation and support of each coefficient."""
        rows = {}
        for name, value in self.coefficients.items():
            if _is_distribution(value):
                low, high = value.support()
                x, w = self._measures[name]
                mean = float(w @ x)
                rows[name] = [mean, float(np.sqrt(w @ (x - mean) ** 2)), float(low), float(high)]
            else:
                rows[name] = [float(value), 0.0, float(value), float(value)]
        return {"coefficients": pd.DataFrame(rows, index=pd.Index(["mean", "std", "least", "largest"])).T}

    def draw(self, n: int, *, random_state: Any = None) -> Nodes:
        """`n` nodes.

        Parameters
        ----------
        n : int
        random_state : int, Generator or None

        Raises
        ------
        InputError
            The family refuses a draw (an inertia that is not positive, say).
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise InputError(f"n = {n!r}; give a number of nodes >= 1")
        rng = np.random.default_rng(random_state)
        columns = {
            name: _sampled(value, int(n), rng) if _is_distribution(value) else np.full(int(n), float(value))
            for name, value in self.coefficients.items()
        }
        return self._made(columns)

    def expected_dynamics(self, s: ArrayLike) -> Complex:
        """The expected coherent dynamics g_hat(s) = (E g^{-1}(s, w))^{-1}, the limit of g_bar_n, (F,)."""
        return 1.0 / self.inverse_moments(s).mean

    def inverse_moments(self, s: ArrayLike) -> InverseMoments:
        """Mean, variance and range of g^{-1}(s, w), to a relative 1e-10 by quadrature, and held against 20 000 draws.

        Raises
        ------
        ToleranceError
            More than 200 000 points would be needed, draws contradict the quadrature, or a distribution has no variance.
        """
        points = laplace_points(s)
        counts = dict.fromkeys(self.random, 2)
        mean, variance, size = self._moments(points, counts)
        settled: set[str] = set()
        while len(settled) < len(counts):
            for name in counts:
                if name in settled:
                    continue
                for more in (2 * counts[name], 4 * counts[name] + 1):  # two rules that share no points
                    trial = counts | {name: more}
                    if np.prod(list(trial.values()), dtype=float) > MOST or more > FINEST:
                        raise ToleranceError(
                            f"the moments of g^-1 do not settle as points are added (the last: {name!r}, {more}); give fewer or "
                            "smoother distributions, a family without kinks, or coefficients as arrays of samples"
                        )
                    new_mean, new_variance, _ = self._moments(points, trial)
                    change = np.abs(new_mean - mean) / np.sqrt(size)
                    moved = np.abs(new_variance - variance) / (new_variance + 1e-4 * size)
                    if max(change.max(), moved.max()) > TOLERANCE:
                        counts, mean, variance = trial, new_mean, new_variance
                        settled.clear()
                        break
                else:
                    settled.add(name)
        self._checked(points, mean, variance)
        values = self._range(points)
        largest = np.full(len(points), np.inf) if values is None else np.abs(values).max(axis=1)
        return InverseMoments(mean, variance, largest, values)

    def _rule(self, name: str, count: int) -> tuple[Real, Real]:
        """About `count` points and weights: Gauss; beyond 64 all atoms, or tanh-sinh, which heavy tails do not slow down."""
        if count <= GAUSS:
            return gauss_rule(*self._measures[name], count)
        if _has_atoms(self.coefficients[name]):
            return self._measures[name]
        return tanh_sinh(*_quantiles(self.coefficients[name]), count // 8)

    def _checked(self, points: Complex, mean: Complex, variance: Real) -> None:
        """Refuse moments that draws contradict: a rule may miss what happens between its points altogether."""
        picks = np.unique(np.linspace(0, len(points) - 1, LOOKED).astype(int))
        points, mean, variance = points[picks], mean[picks], variance[picks]
        z = self.draw(DRAWN, random_state=0).inverse(points)
        own = np.abs(z - z.mean(axis=1, keepdims=True)) ** 2
        off = np.abs(z.mean(axis=1) - mean) > SURE * np.sqrt((own.mean(axis=1) + variance) / DRAWN) + TOLERANCE * np.abs(mean)
        if off.any():
            i = int(off.argmax())
            raise ToleranceError(
                f"the mean of g^-1 at s = {points[i]:.6g} is {mean[i]:.6g} by quadrature but {z[i].mean():.6g} over {DRAWN} "
                "draws; the family has kinks or jumps in its coefficients: give those as arrays of samples"
            )

    def _moments(self, points: Complex, counts: dict[str, int]) -> tuple[Complex, Real, Real]:
        """Mean, variance and mean square on the tensor product of Gauss rules."""
        rules = {name: self._rule(name, count) for name, count in counts.items()}
        if np.prod([len(rule[0]) for rule in rules.values()], dtype=float) > ATOMS:
            raise ToleranceError(f"the moments of g^-1 need more than {ATOMS} points; give fewer or smoother distributions")
        grid = np.meshgrid(*[rule[0] for rule in rules.values()], indexing="ij")
        weight = np.ones(1)
        for rule in rules.values():
            weight = np.multiply.outer(weight, rule[1]).ravel()
        nodes = self._filled(dict(zip(rules, grid, strict=True)))
        mean, variance, square = (np.empty(len(points), dtype=complex), np.empty(len(points)), np.empty(len(points)))
        chunk = max(1, CHUNK // len(weight))
        for i in range(0, len(points), chunk):
            z = nodes.inverse(points[i : i + chunk])
            own = z @ weight
            mean[i : i + chunk], square[i : i + chunk] = own, np.abs(z) ** 2 @ weight
            variance[i : i + chunk] = np.abs(z - own[:, None]) ** 2 @ weight
        return mean, variance, square

    def support_grid(self, points: int = GRID) -> Nodes | None:
        """The nodes on a grid of about `points` points of the support, its corners included; None where the support is unbounded.

        Raises
        ------
        InputError
            The family refuses an end of the support (an inertia of 0, say).
        """
        axes = []
        for name in self.random:
            low, high = (float(x) for x in self.coefficients[name].support())
            if not (np.isfinite(low) and np.isfinite(high)):
                return None
            axes.append(np.unique(np.linspace(low, high, max(2, int(points ** (1 / len(self.random)))))))
        grid = np.array(list(itertools.product(*axes))).T
        return self._filled(dict(zip(self.random, grid, strict=True)))

    def _range(self, points: Complex) -> Complex | None:
        try:
            nodes = self.support_grid()
            return None if nodes is None else nodes.inverse(points)
        except (InputError, PoleError):
            return None  # the support ends where the family does: no bound on g^{-1}

    def _filled(self, columns: dict[str, Real]) -> Nodes:
        count = next(iter(columns.values())).size
        return self._made(
            {
                name: columns[name].ravel() if name in columns else np.full(count, float(value))
                for name, value in self.coefficients.items()
            }
        )

    def _made(self, columns: dict[str, Real]) -> Nodes:
        try:
            return self.family(**columns)
        except InputError as error:
            raise InputError(f"the family refuses coefficients of these distributions ({error}); narrow them") from None

    @cached_property
    def _measures(self) -> dict[str, tuple[Real, Real]]:
        """Points and weights of each distribution."""
        return {name: _measure(self.coefficients[name]) for name in self.random}


@dataclass(frozen=True)
class _Sample:
    """Each value of a sample as likely as the others."""

    values: Real

    def support(self) -> tuple[float, float]:
        """Its ends."""
        return float(self.values.min()), float(self.values.max())

    def rvs(self, size: int, random_state: np.random.Generator) -> Real:
        """Drawn with replacement."""
        return random_state.choice(self.values, size)

    def ppf(self, share: Real) -> Real:
        """Quantiles."""
        return np.quantile(self.values, share)


def _is_distribution(value: Any) -> bool:
    return hasattr(value, "support") and (hasattr(value, "ppf") or hasattr(value, "icdf"))


def _sampled(distribution: Any, n: int, rng: np.random.Generator) -> Real:
    if hasattr(distribution, "rvs"):
        return np.asarray(distribution.rvs(size=n, random_state=rng), dtype=float)
    return np.asarray(distribution.sample(n, rng=rng), dtype=float)


def _has_atoms(distribution: Any) -> bool:
    return isinstance(distribution, _Sample) or (hasattr(distribution, "pmf") and not hasattr(distribution, "icdf"))


def _quantiles(distribution: Any) -> tuple[Any, Any]:
    """From below and from above, of both kinds that scipy has."""
    return (distribution.ppf, distribution.isf) if hasattr(distribution, "ppf") else (distribution.icdf, distribution.iccdf)


def _measure(distribution: Any) -> tuple[Real, Real]:
    if isinstance(distribution, _Sample):
        return np.unique(distribution.values), np.unique(distribution.values, return_counts=True)[1] / len(distribution.values)
    if not _has_atoms(distribution):
        return discretised(*_quantiles(distribution))
    if hasattr(distribution.dist, "xk"):  # rv_discrete(values=...)
        return np.asarray(distribution.dist.xk, dtype=float), np.asarray(distribution.dist.pk, dtype=float)
    low, high = _ends(distribution)
    if not high - low < ATOMS:
        raise ToleranceError(f"a discrete distribution has more than {ATOMS} values with probability; give a continuous one")
    atoms = np.arange(low, high + 1)
    weights = np.asarray(distribution.pmf(atoms))
    if abs(weights.sum() - 1.0) > 1e-9:
        raise InputError(
            f"the probabilities of a discrete distribution sum to {weights.sum():.6g} over the integers; give an array"
        )
    return atoms, weights


def _ends(distribution: Any) -> tuple[float, float]:
    """The least and largest values of a discrete distribution but for a tail of 1e-15; infinite where they are too far apart."""
    least, most = (float(x) for x in distribution.support())
    low, high = least, most
    for tail in TAILS:  # step by step: far quantiles of heavy tails take all memory
        low = least if np.isfinite(least) else float(distribution.ppf(tail))
        high = most if np.isfinite(most) else float(distribution.isf(tail))
        if high - low > ATOMS:
            return -np.inf, np.inf
    return low, high
