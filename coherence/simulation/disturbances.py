r"""Disturbances as values: a spatial shape times a signal, and sums of them.

Every signal is the output of a small autonomous system, restarted at its events t_k:

    u(t) = u0 c exp(S (t - t_k)) w_k   for t_k <= t < t_{k+1},   0 before t_1,

so that a response to it is an exponential of one larger matrix (`simulate`), and its Laplace transform is in closed form,

    U(s) = u0 sum_k c (s - S)^{-1} (w_k - exp(S (t_k - t_{k-1})) w_{k-1}) exp(-s t_k),   w_0 = 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import scipy.linalg as sla
import scipy.sparse as sp

from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.network import Network
from coherence.numerics.sparse import factorise
from coherence.types import ArrayLike, Complex, Real, laplace_points, real_vector

LARGEST = 1e9  # squares of responses must stay numbers
HELD, LINE = np.zeros((1, 1)), np.array([[0.0, 1.0], [0.0, 0.0]])  # generators of a constant and of a straight line


class Inputs(Protocol):
    """Anything with named inputs: a network, a system."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the inputs."""

    @property
    def size(self) -> int:
        """Their number."""

    def index(self, label: str) -> int:
        """The place of one; an unknown label is an error."""


class Signal(NamedTuple):
    """u(t) = c exp(S (t - t_k)) w_k from each event t_k on, 0 before the first."""

    s: Real  # (r, r)
    c: Real  # (r,)
    events: tuple[tuple[float, Real], ...]  # (t_k, w_k), ascending

    def __call__(self, time: ArrayLike) -> Real:
        """Values at the times, (N,)."""
        t = real_vector(time, "time")
        at = np.searchsorted([when for when, _ in self.events], t, side="right") - 1
        return np.array(
            [
                0.0 if k < 0 else self.c @ sla.expm(self.s * (x - self.events[k][0])) @ self.events[k][1]
                for x, k in zip(t, at, strict=True)
            ]
        )

    @property
    def final(self) -> float:
        """Where it ends; NaN where it does not settle."""
        w, values = self.events[-1][1], np.linalg.eigvals(self.s)
        if not (self.s @ w).any():
            return float(self.c @ w)
        if not values.any() or (values.real[values != 0] >= 0).any():  # a straight line, an oscillation
            return float("nan")
        return float(self.c @ sla.expm(self.s * (1e3 / np.abs(values).max())) @ w)

    def transform(self, s: ArrayLike) -> Complex:
        """The Laplace transform at the points s, (F,)."""
        points = laplace_points(s)
        out: Complex = np.zeros(len(points), dtype=complex)
        before: Real = np.zeros(len(self.c))
        last = 0.0
        shifted = points[:, None, None] * np.eye(len(self.c)) - self.s
        for when, w in self.events:
            jump = w - sla.expm(self.s * (when - last)) @ before
            out += (
                np.linalg.solve(shifted, np.broadcast_to(jump[:, None], (len(points), len(jump), 1)))[..., 0] @ self.c
            ) * np.exp(-points * when)
            before, last = w, when
        return out


@dataclass(frozen=True)
class Disturbance(ABC):
    """Base of all disturbances: a spatial shape u0 times a signal; add them up with +.

    Parameters
    ----------
    sizes : mapping of label -> size, or one size per node in order
        The shape u0 [pu; grids: of base_mva, negative is a loss of generation].

    Examples
    --------
    >>> from coherence import Pulse, Step
    >>> both = Step({"a": -0.3}) + Pulse({"b": 0.1}, duration=0.5)
    >>> isinstance(both, Disturbance), both.sentence
    (True, "step of -0.3 pu at 'a'; pulse of 0.1 pu at 'b'")
    """

    sizes: Mapping[str, float] | Sequence[float] | Real

    @property
    @abstractmethod
    def signal(self) -> Signal:
        """The time part."""

    @property
    def terms(self) -> tuple[Disturbance, ...]:
        """What it is the sum of."""
        return (self,)

    def __add__(self, other: Disturbance) -> Sum:
        if not isinstance(other, Disturbance):
            return NotImplemented
        return Sum(parts=self.terms + other.terms)

    def __mul__(self, factor: float) -> Disturbance:
        if not isinstance(factor, (int, float, np.number)) or isinstance(factor, bool):
            return NotImplemented
        if isinstance(self.sizes, (Mapping, pd.Series)):
            return replace(self, sizes={label: factor * size for label, size in self.sizes.items()})
        return replace(self, sizes=factor * real_vector(self.sizes, "sizes"))

    def __rmul__(self, factor: float) -> Disturbance:
        return self * factor

    def __neg__(self) -> Disturbance:
        return -1.0 * self

    def kron_reduced(self, network: Network) -> Disturbance:
        """The same as the network without its passive nodes (`network.kron_reduce()`) sees it: u_a - L_ap L_pp^{-1} u_p."""
        shape, idle = self.vector(network), network.nodes.passive
        left = {label: float(u) for label, u, gone in zip(network.labels, shape, idle, strict=True) if not gone and u}
        if shape[idle].any():
            laplacian = sp.csr_array(network.laplacian)
            inner = factorise(laplacian[idle][:, idle]).solve(shape[idle])
            moved = shape[~idle] - laplacian[~idle][:, idle] @ inner
            names = [label for label, gone in zip(network.labels, idle, strict=True) if not gone]
            left = {label: float(u) for label, u in zip(names, moved, strict=True) if u}
        return replace(self, sizes=left)

    def vector(self, network: Inputs) -> Real:
        """The spatial shape u0 on the network, (n,); an unknown node is an error."""
        if not isinstance(self.sizes, (Mapping, pd.Series)):
            shape = real_vector(self.sizes, "sizes")
            if len(shape) != network.size:
                raise InputError(
                    f"the disturbance has {len(shape)} sizes for {network.size} nodes; give one each, or label -> size"
                )
            pairs: dict[Any, Any] = dict(zip(network.labels, shape.tolist(), strict=True))
        else:
            pairs = dict(self.sizes)
        kind, u = type(self).__name__.lower(), np.zeros(network.size)
        for label, size in pairs.items():
            if isinstance(size, (complex, bool)) or not isinstance(size, (int, float, np.number)) or not np.isfinite(size):
                raise InputError(f"the {kind} at {label!r} has size {size!r}; give a finite number")
            if abs(float(size)) > LARGEST:
                raise InputError(
                    f"the {kind} at {label!r} has size {size:g}; responses are linear, give one of at most {LARGEST:g} pu"
                )
            u[network.index(label)] += size
        return u

    def grouped(self, partition: Partition) -> Disturbance:
        """The same signal as the aggregated network sees it, with shape P^T u0."""
        if not isinstance(self.sizes, (Mapping, pd.Series)):
            shape = partition.indicator.T @ real_vector(self.sizes, "sizes")
            return replace(self, sizes=dict(zip(partition.groups, shape.tolist(), strict=True)))
        sizes: dict[str, float] = {}
        for label, size in self.sizes.items():
            group = partition.group_of(str(label))
            sizes[group] = sizes.get(group, 0.0) + size
        return replace(self, sizes=sizes)

    def at_one(self, label: str) -> Disturbance:
        """The same signal with all of its shape at one node: what the coherent dynamics sees, 1^T u0."""
        return replace(self, sizes={label: self.total})

    @property
    def total(self) -> float:
        """1^T u0."""
        values = list(self.sizes.values()) if isinstance(self.sizes, Mapping) else self.sizes
        return float(np.sum(np.asarray(values, dtype=float)))

    @property
    def sentence(self) -> str:
        """The shape in words."""
        if not isinstance(self.sizes, (Mapping, pd.Series)):
            return f"{self.total:g} pu over {len(self.sizes)} nodes"
        return " and ".join(f"{size:g} pu at {label!r}" for label, size in self.sizes.items())


@dataclass(frozen=True)
class Sum(Disturbance):
    """Several disturbances at once; made with +."""

    sizes: Any = None
    parts: tuple[Disturbance, ...] = ()

    @property
    def signal(self) -> Signal:
        """A sum has no one signal."""
        raise InputError("a sum of disturbances has no one signal; ask its terms")

    @property
    def terms(self) -> tuple[Disturbance, ...]:
        """What it is the sum of."""
        return self.parts

    def vector(self, network: Inputs) -> Real:
        """A sum has no one shape."""
        raise InputError("a sum of disturbances has no one shape; ask its terms")

    def __mul__(self, factor: float) -> Disturbance:
        return Sum(parts=tuple(part * factor for part in self.parts))

    def kron_reduced(self, network: Network) -> Disturbance:
        """Each term as the network without its passive nodes sees it."""
        return Sum(parts=tuple(part.kron_reduced(network) for part in self.parts))

    def grouped(self, partition: Partition) -> Disturbance:
        """Each term as the aggregated network sees it."""
        return Sum(parts=tuple(part.grouped(partition) for part in self.parts))

    def at_one(self, label: str) -> Disturbance:
        """Each term at one node."""
        return Sum(parts=tuple(part.at_one(label) for part in self.parts))

    @property
    def total(self) -> float:
        """A sum of signals has no one size."""
        raise InputError("a sum of disturbances has no one size; ask its terms")

    @property
    def sentence(self) -> str:
        """The terms in words."""
        return "; ".join(f"{type(part).__name__.lower()} of {part.sentence}" for part in self.parts)


@dataclass(frozen=True)
class Step(Disturbance):
    """u0 from `start` [s] on.

    Examples
    --------
    >>> Step({"Blanda 1": -0.38})
    Step(sizes={'Blanda 1': -0.38}, start=0.0)
    """

    start: float = 0.0

    @property
    def signal(self) -> Signal:
        """1 from the start on."""
        return Signal(HELD, np.ones(1), ((_time(self.start, "start"), np.ones(1)),))


@dataclass(frozen=True)
class Pulse(Disturbance):
    """u0 for `duration` seconds from `start` on.

    Examples
    --------
    >>> Pulse({"Blanda 1": -0.38}, duration=0.15).signal([0.0, 0.1, 0.2])
    array([1., 1., 0.])
    """

    duration: float = 1.0
    start: float = 0.0

    @property
    def signal(self) -> Signal:
        """1 for the duration."""
        first, long = _time(self.start, "start"), _positive(self.duration, "duration")
        return Signal(HELD, np.ones(1), ((first, np.ones(1)), (first + long, np.zeros(1))))


@dataclass(frozen=True)
class Ramp(Disturbance):
    """Rises in a straight line from 0 at `start` to u0 after `rise` seconds, and stays there.

    Examples
    --------
    >>> Ramp({"wind": -1.0}, rise=10.0).signal([0.0, 5.0, 20.0])
    array([0. , 0.5, 1. ])
    """

    rise: float = 1.0
    start: float = 0.0

    @property
    def signal(self) -> Signal:
        """0 to 1 in `rise` seconds."""
        first, long = _time(self.start, "start"), _positive(self.rise, "rise")
        return Signal(LINE, np.array([1.0, 0.0]), ((first, np.array([0.0, 1.0 / long])), (first + long, np.array([1.0, 0.0]))))


@dataclass(frozen=True)
class ExponentialApproach(Disturbance):
    """u0 (1 - exp(-rate (t - start))).

    Examples
    --------
    >>> ExponentialApproach({"a": 1.0}, rate=2.0).signal([0.0, 1.0]).round(4)
    array([0.    , 0.8647])
    """

    rate: float = 1.0
    start: float = 0.0

    @property
    def signal(self) -> Signal:
        """0 towards 1 at the rate [1/s]."""
        generator = np.diag([0.0, -_positive(self.rate, "rate")])
        return Signal(generator, np.array([1.0, -1.0]), ((_time(self.start, "start"), np.ones(2)),))


@dataclass(frozen=True)
class Sinusoid(Disturbance):
    """u0 sin(omega (t - start) + phase), omega in rad/s, phase in rad.

    Examples
    --------
    >>> Sinusoid({"a": 1.0}, omega=3.0).signal([0.0, 0.5]).round(4)
    array([0.    , 0.9975])
    """

    omega: float = 1.0
    phase: float = 0.0
    start: float = 0.0

    @property
    def signal(self) -> Signal:
        """Sine from the start on."""
        w = _positive(self.omega, "omega")
        phase = _number(self.phase, "phase")
        begin = np.array([np.sin(phase), np.cos(phase)])
        return Signal(np.array([[0.0, w], [-w, 0.0]]), np.array([1.0, 0.0]), ((_time(self.start, "start"), begin),))


@dataclass(frozen=True, eq=False)
class Sampled(Disturbance):
    """u0 times a measured signal: straight lines between its samples (or each value held), 0 before, the last value after.

    Examples
    --------
    >>> Sampled({"wind": 1.0}, times=[0, 1, 2], values=[0.0, 0.3, -0.1]).signal([0.5, 1.0, 9.0]).round(3)
    array([ 0.15,  0.3 , -0.1 ])
    """

    times: Any = ()
    values: Any = ()
    held: bool = False

    @property
    def signal(self) -> Signal:
        """Piecewise linear or constant."""
        t, v = real_vector(self.times, "times"), real_vector(self.values, "values")
        if len(t) != len(v) or len(t) < 2:
            raise InputError(f"there are {len(t)} times and {len(v)} values; give as many of each, at least two")
        if t[0] < 0 or (np.diff(t) <= 0).any():
            raise InputError("the times of a sampled signal must be >= 0 and increasing")
        if self.held:
            return Signal(HELD, np.ones(1), tuple((float(when), np.array([value])) for when, value in zip(t, v, strict=True)))
        slope = np.append(np.diff(v) / np.diff(t), 0.0)
        return Signal(LINE, np.array([1.0, 0.0]), tuple((float(a), np.array([b, c])) for a, b, c in zip(t, v, slope, strict=True)))


def _number(value: object, name: str) -> float:
    found = real_vector(value, name)
    if len(found) != 1 or isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} = {value!r}; give one number")
    return float(found[0])


def _time(value: object, name: str) -> float:
    number = _number(value, name)
    if number < 0:
        raise InputError(f"{name} = {value}; give a time >= 0 in s")
    return number


def _positive(value: object, name: str) -> float:
    number = _number(value, name)
    if number <= 0:
        raise InputError(f"{name} = {value}; give a number > 0")
    return number
