r"""Outputs over time, and what planners read off them: nadir, rate of change of frequency, settling; by node, group or inertia.

Between samples values are those of the cubic through the outputs and their exact derivatives, so that a nadir is not that of the
sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.nodes.systems import to_time_response
from coherence.types import Real

if TYPE_CHECKING:
    import control

BAND = 0.02  # of the largest deviation: within it a response counts as settled


class Knots(NamedTuple):
    """Times, and outputs and derivatives there from the right and from the left (they differ where a signal has an event)."""

    time: Real  # (K,)
    value: Real  # (K, n)
    rate: Real
    value_before: Real
    rate_before: Real

    def weighted(self, weights: Real) -> Knots:
        """Those of weighted sums of the outputs, (n, m) weights."""
        return Knots(self.time, *(array @ weights for array in self[1:]))


@dataclass(frozen=True, eq=False, repr=False)
class Response(Page):
    """Outputs over time.

    Attributes
    ----------
    frame : DataFrame
        Index t [s], one column per node [grids: rad/s].
    inertia : (n,) array
        Weights of the center of inertia, in column order (zero where a node has none).
    knots : Knots
        Outputs and derivatives at the times and at the events of the signals, from either side.

    Examples
    --------
    >>> from coherence import Step, linearize, load_case, simulate
    >>> response = simulate(linearize(load_case("iceland")), Step({"Blanda 1": -0.1}))
    >>> round(float(response.coi.min()), 3)
    -0.392
    """

    frame: pd.DataFrame
    inertia: Real
    knots: Knots

    @property
    def time(self) -> Real:
        """T [s]."""
        return self.frame.index.to_numpy(dtype=float)

    @property
    def coi(self) -> pd.Series:
        """Center of inertia, sum m_i y_i / sum m_i."""
        return pd.Series(self.frame.to_numpy() @ self._weights, index=self.frame.index, name="CoI")

    def groups(self, partition: Partition) -> Response:
        """The center of inertia of every group, as a response."""
        if partition.labels != tuple(self.frame.columns):
            raise InputError("the partition is of other nodes than this response's; build it from the network's labels")
        own = partition.indicator * self.inertia[:, None]
        total = own.sum(axis=0)
        if not (total > 0).all():
            raise InputError(f"group {partition.groups[int(np.argmin(total))]!r} has no inertia, so it has no center of inertia")
        weights, names = own / total, list(partition.groups)
        return Response(
            pd.DataFrame(self.frame.to_numpy() @ weights, index=self.frame.index, columns=names),
            total,
            self.knots.weighted(weights),
        )

    def metrics(self, *, window: float = 0.5) -> pd.DataFrame:
        """What planners read: one row per output, and the center of inertia where there is inertia.

        Parameters
        ----------
        window : float
            Over which the rate of change (RoCoF) is taken [s].

        Returns
        -------
        DataFrame
            nadir: the deviation of largest size, and its time [s]; rocof: the largest change over the window, divided by it, and
            the time it begins; rate at start: the derivative just after t = 0; last: the value at the end; settling: when the
            output comes within 2 % of its largest deviation around its last value, for good.

        Raises
        ------
        InputError
            A window that is not positive or longer than the response.
        """
        t = self.time
        if not (np.isfinite(window) and 0 < window <= t[-1] - t[0]):
            raise InputError(f"window = {window}; give a time > 0 of at most {t[-1] - t[0]:g} s")
        names, knots = list(self.frame.columns), self.knots
        if self.inertia.sum() > 0:
            names, knots = [*names, "CoI"], knots.weighted(np.column_stack([np.eye(len(names)), self._weights]))
        curve = _Curve(knots)
        nadir, at = curve.extremes()
        starts = np.unique(np.concatenate([knots.time, knots.time - window]))
        starts = starts[(starts >= 0) & (starts <= t[-1] - window)]
        change = (curve(starts + window) - curve(starts)) / window
        most = np.abs(change).argmax(axis=0)
        inside = np.abs(knots.value - knots.value[-1]) <= BAND * np.abs(nadir)
        settled = len(inside) - np.argmin(inside[::-1], axis=0)
        settled[inside.all(axis=0)] = 0
        columns = {
            "nadir": nadir,
            "nadir at [s]": at,
            "rocof": change[most, np.arange(len(names))],
            "rocof from [s]": starts[most],
            "rate at start": knots.rate[0],
            "last": knots.value[-1],
            "settling [s]": knots.time[np.minimum(settled, len(inside) - 1)],
        }
        return pd.DataFrame(columns, index=pd.Index(names, name="output"))

    def to_control(self) -> control.TimeResponseData:
        """The response as python-control time response data."""
        return to_time_response(self.time, self.frame.to_numpy(), labels=list(self.frame.columns), title=repr(self))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Where every output ends, its extremes and when."""
        t, y = self.time, self.frame
        columns = {"least": y.min(), "at [s]": t[y.to_numpy().argmin(axis=0)], "largest": y.max(), "final": y.iloc[-1]}
        return {"outputs": pd.DataFrame(columns).rename_axis("node")}

    @property
    def _weights(self) -> Real:
        if not self.inertia.sum() > 0:
            raise InputError("the outputs have no inertia, so there is no center of inertia")
        return self.inertia / self.inertia.sum()

    def __repr__(self) -> str:
        t = self.time
        return f"Response({self.frame.shape[1]} nodes, {len(t)} samples over [0, {t[-1]:g}] s)"


class _Curve:
    """The cubic between each two samples that has their values and derivatives."""

    def __init__(self, knots: Knots) -> None:
        wide = np.diff(knots.time)[:, None]
        y0, d0, y1, d1 = knots.value[:-1], knots.rate[:-1] * wide, knots.value_before[1:], knots.rate_before[1:] * wide
        self.knots, self.t, self.coefficients = knots, knots.time, (y0, d0, 3 * (y1 - y0) - 2 * d0 - d1, d0 + d1 - 2 * (y1 - y0))

    def __call__(self, times: Real) -> Real:
        """Values, (M, n)."""
        piece = np.clip(np.searchsorted(self.t, times, side="right") - 1, 0, len(self.t) - 2)
        x = ((times - self.t[piece]) / (self.t[piece + 1] - self.t[piece]))[:, None]
        a, b, c, d = (part[piece] for part in self.coefficients)
        return np.asarray(a + x * (b + x * (c + x * d)))

    def extremes(self) -> tuple[Real, Real]:
        """The value of largest size of each output, and its time: of the knots, or between them beside the largest one."""
        either = np.where(np.abs(self.knots.value_before) > np.abs(self.knots.value), self.knots.value_before, self.knots.value)
        most, columns = np.abs(either).argmax(axis=0), np.arange(either.shape[1])
        best, at = either[most, columns], self.t[most]
        for piece in (np.maximum(most - 1, 0), np.minimum(most, len(self.t) - 2)):
            a, b, c, d = (part[piece, columns] for part in self.coefficients)
            root = np.sqrt(np.maximum(c**2 - 3 * d * b, 0.0))
            with np.errstate(all="ignore"):
                for x in ((-c + root) / (3 * d), (-c - root) / (3 * d), -b / (2 * c)):
                    value = a + x * (b + x * (c + x * d))
                    better = (x > 0) & (x < 1) & (np.abs(value) > np.abs(best))
                    best = np.where(better, value, best)
                    at = np.where(better, self.t[piece] + x * (self.t[piece + 1] - self.t[piece]), at)
        return best, at
