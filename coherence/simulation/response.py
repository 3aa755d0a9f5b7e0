r"""Outputs over time, and what planners read off them: nadir, rate of change of frequency, settling; by node, group or inertia.

Between samples values are those of the cubic through the outputs and their exact derivatives, so that a nadir is not that of the
sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import CoherenceError, InputError, ToleranceError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network
from coherence.nodes.systems import to_time_response
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.steady import steady_state
from coherence.theory.coherent import COHERENT, coherent_dynamics
from coherence.types import Int, Real

if TYPE_CHECKING:
    import control

COARSE = 0.02  # of the largest output: what may hide between samples
BAND = 0.02  # of the largest deviation: within it a response counts as settled


class Knots(NamedTuple):
    """Times, and outputs and derivatives there; before those with an event of a signal (after the first) also from the left.

    The last column is the center of inertia where there is inertia.
    """

    time: Real  # (K,)
    value: Real  # (K, n) or (K, n + 1)
    rate: Real
    at: Int  # (E,)
    value_before: Real  # (E, n) or (E, n + 1)
    rate_before: Real

    @property
    def left(self) -> tuple[Real, Real]:
        """Outputs and derivatives from the left at every knot, (K, n) each."""
        value, rate = self.value.copy(), self.rate.copy()
        value[self.at], rate[self.at] = self.value_before, self.rate_before
        return value, rate

    def columns(self, picked: Int) -> Knots:
        """Some columns, any of them more than once."""
        value, rate, value_before, rate_before = (
            array[:, picked] for array in (self.value, self.rate, self.value_before, self.rate_before)
        )
        return Knots(self.time, value, rate, self.at, value_before, rate_before)

    def weighted(self, weights: Real) -> Knots:
        """Those of weighted sums of the columns, (n, m) weights."""
        value, rate, value_before, rate_before = (
            array @ weights for array in (self.value, self.rate, self.value_before, self.rate_before)
        )
        return Knots(self.time, value, rate, self.at, value_before, rate_before)


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
    method : str
        "exact", "series" or "rational"; see `simulate`.
    error : float
        Estimate of the largest error of an output [grids: rad/s].

    Examples
    --------
    >>> from coherence import Step, linearize, load_case, simulate
    >>> response = simulate(linearize(load_case("iceland")), Step({"Blanda 1": -0.1}))
    >>> round(float(response.coi.min()), 3)
    -0.392
    >>> round(float((response.coi - response.coherent).abs().max()), 4)  # the coherent dynamics, to the total disturbance
    0.0005
    """

    frame: pd.DataFrame
    inertia: Real
    knots: Knots
    method: str = ""
    error: float = float("nan")
    source: tuple[Network | ClosedLoop, Disturbance, dict[str, float]] | None = None
    ends: Real | None = None  # of the outputs and the center of inertia, where they are not those of `source`

    @property
    def time(self) -> Real:
        """T [s]."""
        return self.frame.index.to_numpy(dtype=float)

    @property
    def coi(self) -> pd.Series:
        """Center of inertia, sum m_i y_i / sum m_i."""
        if not self._center:
            raise InputError("the outputs have no inertia, so there is no center of inertia")
        return pd.Series(self.knots.value[np.searchsorted(self.knots.time, self.time), -1], index=self.frame.index, name="CoI")

    @cached_property
    def coherent(self) -> pd.Series:
        """The response of the coherent dynamics to the total of the disturbance, at the same times."""
        from coherence.simulation.simulate import simulate

        network, disturbance, initial = self._known("the response of the coherent dynamics")
        if isinstance(network, ClosedLoop):
            raise InputError(
                "a network under feedback has no coherent dynamics; ask it of the network: simulate(loop.network, ...).coherent"
            )
        inertia = network.nodes.inertia
        begin = sum(value * inertia[network.index(label)] for label, value in initial.items())
        start = {COHERENT: begin / inertia.sum()} if initial else None
        found = simulate(coherent_dynamics(network), disturbance.at_one(COHERENT), self.time, initial=start)
        return found.frame[COHERENT]

    @cached_property
    def steady(self) -> pd.Series:
        """Where every output ends; see `steady_state`."""
        network, disturbance, _ = self._known("a steady state")
        return steady_state(network, disturbance)[list(self.frame.columns)]

    def groups(self, partition: Partition) -> Response:
        """The center of inertia of every group, as a response."""
        if partition.labels != tuple(self.frame.columns):
            raise InputError("the partition is of other nodes than this response's; build it from the network's labels")
        own = partition.indicator * self.inertia[:, None]
        total = own.sum(axis=0)
        if not (total > 0).all():
            raise InputError(f"group {partition.groups[int(np.argmin(total))]!r} has no inertia, so it has no center of inertia")
        weights, names = own / total, list(partition.groups)
        frame = pd.DataFrame(self.frame.to_numpy() @ weights, index=self.frame.index, columns=names)
        knots = self.knots.weighted(np.block([[weights, np.zeros((len(own), 1))], [np.zeros((1, partition.k)), 1.0]]))
        ends = self._ends()
        own_ends = None if np.isnan(ends).all() else np.append(ends[:-1] @ weights, ends[-1])
        return Response(frame, total, knots, self.method, self.error, ends=own_ends)

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
            the time it begins; rate at start: the derivative just after t = 0; last: the value at the end; steady state: where it
            ends for good (NaN where it does not, or where that is not known; see `steady_state`); settling: when the
            output comes within 2 % of its largest deviation around its steady state for good (NaN where it does not by the end).

        Raises
        ------
        InputError
            A window that is not positive or longer than the response.
        ToleranceError
            Samples too coarse to tell what lies between them.
        """
        t = self.time
        if not (np.isfinite(window) and 0 < window <= t[-1] - t[0]):
            raise InputError(f"window = {window}; give a time > 0 of at most {t[-1] - t[0]:g} s")
        names, knots = list(self.frame.columns) + ["CoI"] * self._center, self.knots
        curve = Curve(knots)
        nadir, at = curve.extremes()
        unsure, most_of_all = float(curve.hidden().max()), float(np.abs(nadir).max())
        if unsure > COARSE * most_of_all:
            raise ToleranceError(
                f"the samples are too coarse for metrics: between them outputs are known to {unsure:.2g} of {most_of_all:.2g} "
                "only; simulate at finer times"
            )
        starts = np.unique(np.concatenate([knots.time, knots.time - window]))
        starts = starts[(starts >= 0) & (starts <= t[-1] - window)]
        change = (curve(starts + window) - curve(starts)) / window
        most = np.abs(change).argmax(axis=0)
        ends = self._ends()
        inside = np.abs(knots.value - ends) <= BAND * np.abs(nadir)
        settled = len(inside) - np.argmin(inside[::-1], axis=0)
        settled[inside.all(axis=0)] = 0
        settling = np.where(inside[-1], knots.time[np.minimum(settled, len(inside) - 1)], np.nan)
        columns = {
            "nadir": nadir,
            "nadir at [s]": at,
            "rocof": change[most, np.arange(len(names))],
            "rocof from [s]": starts[most],
            "rate at start": knots.rate[0],
            "last": knots.value[-1],
            "steady state": ends,
            "settling [s]": settling,
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
    def facts(self) -> dict[str, str]:
        """How it was computed."""
        return {"method": self.method, "estimated error": f"{self.error:.1e}"} if self.method else {}

    @property
    def _center(self) -> bool:
        return self.knots.value.shape[1] > self.frame.shape[1]

    def _known(self, what: str) -> tuple[Network | ClosedLoop, Disturbance, dict[str, float]]:
        if self.source is None or (isinstance(self.source[0], Network) and self.source[0].basis is not None):
            raise InputError(f"{what} is that of a simulated network of nodes; ask the response of `simulate`")
        return self.source

    def _ends(self) -> Real:
        """Where the outputs and the center of inertia end; NaN where that is not known or they do not."""
        if self.ends is not None:
            return self.ends
        try:
            network, disturbance, _ = self._known("a steady state")
            final = steady_state(network, disturbance)
        except CoherenceError:
            return np.full(self.knots.value.shape[1], np.nan)
        inertia = (network.network if isinstance(network, ClosedLoop) else network).nodes.inertia
        center = [inertia @ final.to_numpy() / inertia.sum()] if self._center else []
        return np.array([*final[list(self.frame.columns)], *center])

    def __repr__(self) -> str:
        t, method = self.time, f", {self.method}" if self.method else ""
        return f"Response({self.frame.shape[1]} nodes, {len(t)} samples over [0, {t[-1]:g}] s{method})"


class Curve:
    """The cubic between each two samples that has their values and derivatives."""

    def __init__(self, knots: Knots) -> None:
        wide = np.diff(knots.time)[:, None]
        left, slope = knots.left
        y0, d0, y1, d1 = knots.value[:-1], knots.rate[:-1] * wide, left[1:], slope[1:] * wide
        self.left, self.slope, self.knots, self.t = left, slope, knots, knots.time
        self.coefficients = (y0, d0, 3 * (y1 - y0) - 2 * d0 - d1, d0 + d1 - 2 * (y1 - y0))

    def __call__(self, times: Real) -> Real:
        """Values, (M, n)."""
        piece = np.clip(np.searchsorted(self.t, times, side="right") - 1, 0, len(self.t) - 2)
        x = ((times - self.t[piece]) / (self.t[piece + 1] - self.t[piece]))[:, None]
        a, b, c, d = (part[piece] for part in self.coefficients)
        return np.asarray(a + x * (b + x * (c + x * d)))

    def hidden(self) -> Real:
        """About how far the cubics are off between samples, (n,): a sixteenth of what those over two pieces miss in the middle."""
        plain = np.setdiff1d(np.arange(1, len(self.t) - 1), self.knots.at)  # samples in the middle of two pieces of one motion
        if not len(plain):
            return np.full(self.left.shape[1], np.inf)
        a, b, wide = plain - 1, plain + 1, (self.t[plain + 1] - self.t[plain - 1])[:, None]
        x = (self.t[plain] - self.t[a])[:, None] / wide
        y0, y1 = self.knots.value[a], self.left[b]
        d0, d1 = self.knots.rate[a] * wide, self.slope[b] * wide
        between = y0 + x * (d0 + x * ((3 * (y1 - y0) - 2 * d0 - d1) + x * (d0 + d1 - 2 * (y1 - y0))))
        return np.asarray(np.abs(between - self.knots.value[plain]).max(axis=0) / 16)

    def l2(self) -> Real:
        """(integral of the square)^(1/2) of each output, (n,): exact for cubics."""
        x, weight = np.polynomial.legendre.leggauss(4)
        wide, total = np.diff(self.t), np.zeros(self.coefficients[0].shape[1])
        a, b, c, d = self.coefficients
        for at, share in zip(0.5 * (x + 1), 0.5 * weight, strict=True):
            total += (wide * share) @ (a + at * (b + at * (c + at * d))) ** 2
        return np.asarray(np.sqrt(total))

    def extremes(self) -> tuple[Real, Real]:
        """The value of largest size of each output, and its time: of the knots, or between them beside the largest one."""
        either = np.where(np.abs(self.left) > np.abs(self.knots.value), self.left, self.knots.value)
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
