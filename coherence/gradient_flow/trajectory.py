"""What can be trained, and what training leaves: losses, parameters, rates and the drift of what should be conserved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.losses import Loss
from coherence.types import ArrayLike, Real


class Objective(NamedTuple):
    """The loss of a network and its gradient as functions of the parameters."""

    value: Callable[[Sequence[Real]], float]
    gradient: Callable[[Sequence[Real]], tuple[Real, ...]]


class Trainable(Protocol):
    """What `gradient_flow` and `gradient_descent` ask of a network."""

    @property
    def parameters(self) -> tuple[Real, ...]:
        """Arrays that training changes."""

    def drift_from(self, start: Any) -> float:
        """Return how far what gradient flow conserves is from that of another network."""

    def replaced(self, parameters: Sequence[ArrayLike]) -> Trainable:
        """The network with other parameters."""

    def objective(self, loss: Loss) -> Objective:
        """Loss and gradient as functions of the parameters."""


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Page):
    """Training recorded at T times; see `gradient_flow` and `gradient_descent`.

    Attributes
    ----------
    start : LinearNetwork, DiagonalNetwork or ReLUNetwork
        What was trained.
    objective : Loss
    times : (T,)
        Time of the flow; for descent the number of steps times the step size.
    losses : (T,)
    parameters : tuple of (T, ...) arrays
        Each of the network's parameters, time first.
    status : str
        "completed"; "stopped": the loss asked for was reached; "interrupted": by Ctrl-C; "diverged".
    steps : (T,) int
        Steps of descent, or of the solver, until each time.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[1.0]], [[0.5]]])
    >>> found = gf.gradient_flow(network, gf.squared_loss([[1.0]]), 2.0, times=[0.0, 1.0, 2.0])
    >>> found
    Trajectory(completed; 3 records to t = 2; loss 0.125 -> 7.247e-05)
    >>> bool(found.imbalance_drift.max() < 1e-9)
    True
    """

    start: Trainable
    objective: Loss
    times: Real
    losses: Real
    parameters: tuple[Real, ...]
    status: str
    steps: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def network(self, record: int) -> Trainable:
        """The network at one record; -1 is the last."""
        try:
            return self.start.replaced([stack[record] for stack in self.parameters])
        except IndexError:
            raise InputError(f"record {record} does not exist; there are {len(self)}, counted from 0") from None

    def networks(self) -> Iterator[Trainable]:
        """The network at every record."""
        return (self.network(record) for record in range(len(self)))

    @property
    def final(self) -> Trainable:
        """The last network; training goes on from it by another call."""
        return self.network(-1)

    @property
    def excess(self) -> Real:
        """Loss above the infimum, (T,)."""
        return self.losses - self.objective.minimum

    @cached_property
    def rates(self) -> Real:
        """|grad L|^2 / (L - L*), (T,): the rate -(dL/dt)/(L - L*) at which the flow decays there, from the gradients themselves.

        nan where the loss is at its infimum.
        """
        gradient = self.start.objective(self.objective).gradient
        squares = np.array([sum(float(np.vdot(g, g)) for g in gradient(parameters)) for parameters in self._records()])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.excess > 0, squares / self.excess, np.nan)

    @cached_property
    def imbalance_drift(self) -> Real:
        """How far what the flow conserves has drifted, (T,): the largest Frobenius norm of D_l(t) - D_l(0) over the layers.

        Rounding for the flow, of the order of the step for descent.
        """
        return np.array([network.drift_from(self.start) for network in self.networks()])

    @property
    def facts(self) -> dict[str, str]:
        """How far training went."""
        return {
            "loss above its infimum": f"{self.excess[0]:.4g} -> {self.excess[-1]:.4g}",
            "steps": f"{int(self.steps[-1])}",
            "drift of the imbalances": f"{self.imbalance_drift.max():.3g}",
        }

    def _records(self) -> Iterator[list[Real]]:
        return ([stack[record] for stack in self.parameters] for record in range(len(self)))

    def __repr__(self) -> str:
        first, last = self.losses[0], self.losses[-1]
        return f"Trajectory({self.status}; {len(self)} records to t = {self.times[-1]:.4g}; loss {first:.4g} -> {last:.4g})"
