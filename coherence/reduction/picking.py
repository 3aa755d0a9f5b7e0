"""Picking from what was balanced: an order in its range, or the least order that meets a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.numerics.realization import Realization, pole_text


def require_choice(order: Any, tolerance: Any) -> None:
    """Refuse both, and none."""
    if (order is None) == (tolerance is None):
        raise InputError("give either an order or a tolerance")


def require_order(order: Any, least: int, most: int, *, why_least: str = "", why_most: str = "") -> int:
    """An integer in its range, or one sentence."""
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not least <= order <= most:
        raise InputError(f"order = {order!r} is out of range; give an integer from {least}{why_least} to {most}{why_most}")
    return int(order)


def require_tolerance(tolerance: Any) -> float:
    """A relative error that may be left, or one sentence."""
    if isinstance(tolerance, (int, float, np.number)) and not isinstance(tolerance, bool) and 0 < float(tolerance) < np.inf:
        return float(tolerance)
    raise InputError(f"tolerance = {tolerance!r}; give the relative error that may be left, > 0")


def require_stable_model(model: Realization, what: str) -> None:
    """Reduction under weights can leave an unstable model."""
    if not model.is_stable():
        raise InstabilityError(
            f"{what} has a pole at {pole_text(model.poles()[0])}: reduction under weights, two of them above all, does not promise "
            "stability; take another order or leave a weight out"
        )


def least_order(tolerance: float, orders: Iterable[int], error: Callable[[int], float], no_order: str) -> int:
    """The first of the orders whose error meets the tolerance; those that cannot be had are passed over.

    Raises
    ------
    ToleranceError
        There is none; the best is named.
    """
    best, at = np.inf, 0
    for order in orders:
        try:
            found = error(order)
        except (InstabilityError, ToleranceError):
            continue
        if found <= tolerance:
            return order
        if found < best:
            best, at = found, order
    raise ToleranceError(
        f"tolerance = {tolerance:g} is reached by {no_order}; the least relative error is {best:.2g}, at order {at}"
    )
