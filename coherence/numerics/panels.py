r"""Integrals over 0 < omega < inf of what rational functions take on the imaginary axis, by Gauss-Legendre panels.

    [0, a]  in t = omega,    [a, b], [b, c], ...  in t = log omega,    [z, inf)  in t = 1/omega

An even rational integrand that falls like omega^-2 is analytic in each of these variables, ends included, so nothing is cut
off. Panels are halved where a function is not yet the polynomial through its values there (`resolved`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coherence.errors import ToleranceError
from coherence.types import Complex, Int, Real

POINTS = 12  # of a panel
MOST = 10_000  # panels
_LINEAR, _LOGARITHMIC, _RECIPROCAL = range(3)
_X, _WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
_HALVES = np.concatenate([(_X - 1) / 2, (_X + 1) / 2])
#: values at the points of a panel -> at those of its halves, by the polynomial through them
_INTERPOLATE = np.polynomial.legendre.legvander(_HALVES, POINTS - 1) @ np.linalg.inv(
    np.polynomial.legendre.legvander(_X, POINTS - 1)
)


@dataclass(frozen=True, eq=False)
class Panels:
    """Intervals low < t < high, each of one kind of variable; see the module."""

    kind: Int
    low: Real
    high: Real

    @classmethod
    def between(cls, edges: Real) -> Panels:
        """Panels that cover 0 < omega < inf and end at `edges`, ascending and positive."""
        u = np.log(edges)
        kind = np.array([_LINEAR, *[_LOGARITHMIC] * (len(edges) - 1), _RECIPROCAL])
        return cls(kind, np.array([0.0, *u[:-1], 0.0]), np.array([edges[0], *u[1:], 1.0 / edges[-1]]))

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def omega(self) -> Real:
        """Points, (P, POINTS)."""
        t, kind = self._t, self.kind[:, None]
        with np.errstate(over="ignore"):
            return np.where(kind == _LINEAR, t, np.where(kind == _LOGARITHMIC, np.exp(t), 1.0 / t))

    @property
    def weights(self) -> Real:
        """Of an integral over omega, (P, POINTS)."""
        omega, kind = self.omega, self.kind[:, None]
        slope = np.where(kind == _LINEAR, 1.0, np.where(kind == _LOGARITHMIC, omega, omega**2))
        return slope * ((self.high - self.low) / 2)[:, None] * _WEIGHTS

    @property
    def _t(self) -> Real:
        return ((self.low + self.high) / 2)[:, None] + ((self.high - self.low) / 2)[:, None] * _X

    def halves(self) -> Panels:
        """Both halves of every panel, neighbours in the order."""
        middle = (self.low + self.high) / 2
        return Panels(
            np.repeat(self.kind, 2),
            np.column_stack([self.low, middle]).ravel(),
            np.column_stack([middle, self.high]).ravel(),
        )

    def select(self, which: NDArray[np.bool_]) -> Panels:
        """Some of the panels."""
        return Panels(self.kind[which], self.low[which], self.high[which])

    def split(self, which: NDArray[np.bool_]) -> Panels:
        """All panels, those marked in halves."""
        return joined([self.select(~which), self.select(which).halves()])


def joined(parts: list[Panels]) -> Panels:
    """The panels of several lists."""
    return Panels(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("kind", "low", "high")))


def resolved(panels: Panels, function: Callable[[Real], Complex], tolerance: float) -> Panels:
    """Panels on which each column of `function`, (F,) -> (F, k), is a polynomial to `tolerance` of its modulus on the panel.

    Raises
    ------
    ToleranceError
        That takes more than 10 000 panels.
    """
    done, values = [panels.select(np.zeros(len(panels), dtype=bool))], _at(function, panels)
    while len(panels):
        halves = panels.halves()
        finer = _at(function, halves)
        # (P, 2 POINTS, k): both halves against the polynomial through the whole
        pairs = finer.reshape(len(panels), 2 * POINTS, -1)
        error = np.abs(_INTERPOLATE @ values - pairs).max(axis=1)
        rough = (error > tolerance * np.abs(pairs).max(axis=1)).any(axis=1)
        done.append(panels.select(~rough))
        again = np.repeat(rough, 2)
        panels, values = halves.select(again), finer[again]
        if sum(map(len, done)) + len(panels) > MOST:
            raise ToleranceError(
                f"a frequency response is not resolved to {tolerance:g} by {MOST} panels; its resonances are too sharp"
            )
    return joined(done)


def _at(function: Callable[[Real], Complex], panels: Panels) -> Complex:
    return function(panels.omega.ravel()).reshape(len(panels), POINTS, -1)
