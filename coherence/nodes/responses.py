r"""Nodes known by their frequency response only: callables g(s) (delays, fractional orders) and measured frequency responses.

Frequency analysis (incoherence, bounds, columns of T) takes them like any others; state spaces, poles and simulations refuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.errors import InputError, PoleError
from coherence.nodes.nodes import Nodes
from coherence.types import Complex, Real


def from_responses(responses: Mapping[str, Any]) -> Nodes:
    """Nodes of callables or measured frequency responses.

    Parameters
    ----------
    responses : mapping of label -> g
        A callable g(s) of a complex array (F,) that returns an array (F,), such as lambda s: exp(-0.1 s)/(s + 1); or
        python-control FrequencyResponseData, single input and output, interpolated linearly in frequency between its samples
        and refused off the axis or outside them.

    Returns
    -------
    Nodes
        Without state space.

    Raises
    ------
    InputError
        No nodes, or something that is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import from_responses
    >>> nodes = from_responses({"a": lambda s: np.exp(-0.1 * s) / (s + 1)})
    >>> nodes.inverse(0.0)
    array([[1.+0.j]])
    """
    if not isinstance(responses, Mapping) or not responses:
        raise InputError("give a mapping of label -> callable g(s) or frequency response data, with at least one node")
    labels = tuple(map(str, responses))
    given = tuple(
        (i, _inverse(label, response)) for i, (label, response) in enumerate(zip(labels, responses.values(), strict=True))
    )
    return Nodes(labels, np.zeros((1, len(labels))), functions=given)


def _inverse(label: str, response: Any) -> Callable[[Complex], Complex]:
    if hasattr(response, "omega") and (hasattr(response, "frdata") or hasattr(response, "fresp")):
        values = np.asarray(response.frdata if hasattr(response, "frdata") else response.fresp, dtype=complex)
        if values.shape[:2] != (1, 1):
            raise InputError(
                f"the frequency response of node {label!r} has {values.shape[1]} inputs and {values.shape[0]} outputs; give 1"
            )
        omega = np.asarray(response.omega, dtype=float)
        order = np.argsort(omega)
        return _Inverse(label, _Measured(label, omega[order], values[0, 0][order]))
    if not callable(response):
        raise InputError(f"node {label!r} is a {type(response).__name__}; give a callable g(s) or frequency response data")
    return _Inverse(label, response)


@dataclass(frozen=True)
class _Inverse:
    label: str
    response: Callable[[Complex], Any]

    def __call__(self, s: Complex) -> Complex:
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            try:
                values = np.asarray(self.response(s), dtype=complex)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"node {self.label!r} cannot be evaluated at an array of {s.size} points ({error}); use numpy functions"
                ) from None
        if values.shape == () or values.shape == (1,):
            values = np.full(s.shape, complex(values.ravel()[0]))
        if values.shape != s.shape:
            raise InputError(f"node {self.label!r} returned shape {values.shape} for {s.size} points; return one value per point")
        if np.isnan(values).any() or (values == 0).any():
            where = s[int(np.argmax(np.isnan(values) | (values == 0)))]
            raise PoleError(f"node {self.label!r} is {'zero' if (values == 0).any() else 'no number'} at s = {where:.6g}; move s")
        return np.asarray(np.where(np.isinf(values), 0.0, 1.0 / values))


@dataclass(frozen=True)
class _Measured:
    label: str
    omega: Real
    values: Complex

    def __call__(self, s: Complex) -> Complex:
        if (s.real != 0).any():
            raise InputError(f"node {self.label!r} was measured on the imaginary axis; it has no value at {s[s.real != 0][0]:.6g}")
        w = np.abs(s.imag)
        outside = (w < self.omega[0]) | (w > self.omega[-1])
        if outside.any():
            raise InputError(
                f"node {self.label!r} was measured from {self.omega[0]:g} to {self.omega[-1]:g} rad/s; "
                f"it has no value at {w[outside][0]:g} rad/s"
            )
        found = np.interp(w, self.omega, self.values.real) + 1j * np.interp(w, self.omega, self.values.imag)
        return np.where(s.imag < 0, found.conj(), found)
