r"""Balanced reduction of python-control systems: names kept, integrators kept, weights and orders as for nodes.

G = G_0 + G_-, with all poles at 0 in G_0; G_- is balanced and reduced, so that a grid model without droop keeps its integrator.
Where the model is for, decides how to pick: `residualize` is exact at DC, which control design wants; `truncate` keeps
G(infinity), so that what was strictly proper stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.nodes.systems import realized, to_control
from coherence.numerics.balancing import Balancing, balance, weighted_norm
from coherence.numerics.norms import Supremum
from coherence.numerics.realization import Realization, difference, integrators_apart, parallel
from coherence.reduction.picking import least_order, require_choice, require_order, require_stable_model, require_tolerance
from coherence.reduction.weights import as_realization, sentence, weight_of

if TYPE_CHECKING:
    import control

    from coherence.reduction.truncate import Weight


@dataclass(frozen=True, eq=False, repr=False)
class ReducedSystem(Page):
    """A python-control system of low order, and what the reduction cost.

    Attributes
    ----------
    system : control.StateSpace
        Inputs, outputs and name as before.
    method : "truncate" or "residualize"
    error : Supremum
        ||W_o (G - G_r) W_i||_inf, certified; over the band where a weight is one.
    relative_error : float
        The same over ||W_o G_- W_i||_inf, G_- without integrators.
    bound : float
        A proved bound of the error; NaN where no theorem holds (any weight).

    Examples
    --------
    >>> import control
    >>> from coherence import balance_system
    >>> full = control.tf([1, 3], [1, 6, 11, 6], inputs="power", outputs="speed", name="area")
    >>> small = balance_system(full).residualize(1)
    >>> small.system.input_labels, bool(small.error.upper <= small.bound)
    (['power'], True)
    """

    system: control.StateSpace
    method: str
    error: Supremum
    relative_error: float
    bound: float

    @property
    def facts(self) -> dict[str, str]:
        """What it cost."""
        return {
            "weighted error": f"{self.error.upper:.4g} at {self.error.omega:.4g} rad/s, {self.relative_error:.3g} of the whole",
            "proved bound": "none with weights" if np.isnan(self.bound) else f"{self.bound:.4g}",
        }

    def __repr__(self) -> str:
        return f"ReducedSystem({self.system.name}: {self.system.nstates} states, relative error {self.relative_error:.3g})"


@dataclass(frozen=True, eq=False, repr=False)
class BalancedSystem(Page):
    """A python-control system, balanced: pick the order, or the accuracy; see `balance_system`.

    Attributes
    ----------
    name : str
    inputs, outputs : tuple of str
    weight, input_weight : Rational, Realization, Band or None
    integrators : int
        Poles at 0, which every order keeps.

    Examples
    --------
    >>> import control
    >>> from coherence import balance_system
    >>> balance_system(control.tf([1], [1, 3, 2, 0])).integrators
    1
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight: Weight
    input_weight: Weight
    kept: Realization
    balancing: Balancing

    @property
    def integrators(self) -> int:
        """Poles at 0."""
        return self.kept.order

    @property
    def hankel(self) -> pd.Series:
        """Hankel values of what is not an integrator, descending."""
        values = self.balancing.hankel
        return pd.Series(values, index=pd.RangeIndex(1, len(values) + 1, name="index"), name="Hankel value")

    @property
    def bounds(self) -> pd.Series:
        """Proved bounds of ||G - G_r||_inf by order, for both methods; NaN with weights."""
        kept = np.arange(self.balancing.system.order + 1)
        values = [self.balancing.bound(int(k)) for k in kept]
        return pd.Series(values, index=pd.Index(kept + self.integrators, name="order"), name="proved bound")

    @cached_property
    def _size(self) -> float:
        return self._norm(self.balancing.system).lower

    def _norm(self, system: Realization, bound: float = np.nan) -> Supremum:
        return weighted_norm(system, as_realization(self.weight), as_realization(self.input_weight), bound)

    def truncate(self, order: int | None = None, *, tolerance: float | None = None) -> ReducedSystem:
        """The system of the given order (or the least whose relative weighted error meets `tolerance`) that agrees at infinity.

        Raises
        ------
        InputError
            Order out of range; both or none given.
        InstabilityError
            Two weights made the model unstable.
        ToleranceError
            A tolerance that no order reaches; the best is named.
        """
        return self._picked(order, tolerance, self.balancing.truncate, "truncate")

    def residualize(self, order: int | None = None, *, tolerance: float | None = None) -> ReducedSystem:
        """The same by singular perturbation: it agrees at s = 0. Parameters and errors as for `truncate`."""
        return self._picked(order, tolerance, self.balancing.residualize, "residualize")

    def _picked(self, order: int | None, tolerance: float | None, pick: Callable[[int], Realization], method: str) -> ReducedSystem:
        least, most = self.integrators, self.integrators + self.balancing.system.order
        require_choice(order, tolerance)
        if order is not None:
            order = require_order(order, least, most, why_least=" (integrators are kept)" if least else "")
        else:
            orders = range(least, least + len(self.balancing.left) + 1)
            order = least_order(
                require_tolerance(tolerance), orders, lambda k: self._reduced(pick(k - least), k, method).relative_error, "no order"
            )
        return self._reduced(pick(order - least), order, method)

    def _reduced(self, smaller: Realization, order: int, method: str) -> ReducedSystem:
        require_stable_model(smaller, f"order {order}")
        bound = self.balancing.bound(smaller.order)
        error = self._norm(difference(self.balancing.system, smaller), bound)
        relative = error.upper / self._size if self._size else (0.0 if error.upper == 0 else np.inf)
        whole = parallel(self.kept, smaller)
        states = [f"integrator{i + 1}" for i in range(self.integrators)] + [f"x{i + 1}" for i in range(smaller.order)]
        system = to_control(whole, inputs=self.inputs, outputs=self.outputs, states=states, name=self.name)
        return ReducedSystem(system, method, error, relative, bound)

    @property
    def facts(self) -> dict[str, str]:
        """Weights and integrators."""
        facts = {"integrators kept": str(self.integrators), "output weight": sentence(self.weight)}
        return facts | ({} if self.input_weight is None else {"input weight": sentence(self.input_weight)})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The first ten Hankel values."""
        return {"Hankel values": self.hankel.head(10).to_frame()}

    def __repr__(self) -> str:
        order = self.integrators + self.balancing.system.order
        return f"BalancedSystem({self.name}: {len(self.outputs)} x {len(self.inputs)}, {order} states)"


def balance_system(system: Any, *, weight: Any = None, input_weight: Any = None) -> BalancedSystem:
    """Balance a python-control system once, to pick orders from.

    Parameters
    ----------
    system : control.StateSpace or control.TransferFunction
        Continuous-time; stable but for integrators.
    weight, input_weight : (num, den), number, python-control system or Band, optional
        On outputs and inputs: stable, proper; scalar (then on every channel) or of fitting size. A `Band` as both is
        frequency-limited balancing. Default: none.

    Returns
    -------
    BalancedSystem

    Raises
    ------
    InputError
        Discrete-time, improper or not finite; weights that do not fit.
    InstabilityError
        A pole, of the system or of a weight, that is neither in Re s < 0 nor (of the system) at 0; it is named.

    References
    ----------
    As for `balance_nodes`.

    Examples
    --------
    >>> import control
    >>> from coherence import Band, balance_system
    >>> full = control.ss([[-1, 1, 0], [0, -2, 1], [0, 0, -30]], [[0], [0], [1]], [[1, 0, 1]], 0)
    >>> balance_system(full, weight=Band(0, 1)).residualize(tolerance=0.01).system.nstates
    2
    """
    arrays, inputs, outputs = realized(
        system, "cannot be reduced", give="a StateSpace, a TransferFunction or nodes (balance_nodes)"
    )
    output, source = weight_of(weight, "the weight"), weight_of(input_weight, "the input weight")
    for what, found, channels, axis in (("weight", output, len(outputs), 1), ("input weight", source, len(inputs), 0)):
        if isinstance(found, Realization) and found.d.shape not in ((1, 1),) and found.d.shape[axis] != channels:
            side = ("inputs", "outputs") if axis else ("outputs", "inputs")
            raise InputError(
                f"the {what} has {found.d.shape[axis]} {side[0]} for {channels} {side[1]} of the system; make them agree"
            )
    kept, rest = integrators_apart(arrays)
    return BalancedSystem(
        str(system.name),
        inputs,
        outputs,
        output,
        source,
        kept,
        balance(rest, output_weight=as_realization(output), input_weight=as_realization(source)),
    )
