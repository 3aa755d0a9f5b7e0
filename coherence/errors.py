"""The one exception tree; every class is also the builtin a stranger would catch.

A message says what was wrong (value, index, file and line), what is needed, and what to do.
"""

from __future__ import annotations


class CoherenceError(Exception):
    """Base of every error this library raises on purpose."""


class InputError(CoherenceError, ValueError):
    """A value handed in cannot be used."""


class UnknownNameError(CoherenceError, KeyError):
    """A label, case, method or column that does not exist."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class DisconnectedError(InputError):
    """The graph falls apart; the message names the components."""


class PoleError(CoherenceError, ZeroDivisionError):
    """An evaluation at a pole; the message says of what."""


class InstabilityError(InputError):
    """A computation that exists only for stable dynamics met an unstable pole."""


class CaseError(InputError):
    """A case file is wrong; the message names file, row and column."""


class ToleranceError(CoherenceError, ArithmeticError):
    """An approximation could not reach the accuracy asked."""


class UnitsWarning(UserWarning):
    """A machine figure looks doubled or given on another base; it is used as it stands."""


class ClusterError(CoherenceError, ConnectionError):
    """A cluster of workers does not answer or has none."""


class MissingExtraError(CoherenceError, ImportError):
    """An optional dependency is not installed; the message names the extra."""
