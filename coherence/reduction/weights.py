"""Frequency weights as users hold them: a rational function, a python-control system, or a band."""

from __future__ import annotations

from typing import Any

from coherence.errors import InputError
from coherence.nodes.systems import realized
from coherence.numerics.balancing import Band
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization


def weight_of(source: Any, name: str) -> Rational | Realization | Band | None:
    """A weight, or None where it is a scalar constant (or not given), which weighs nothing.

    Parameters
    ----------
    source : Rational, (num, den), number, python-control system, Band or None
    name : str
        Stands in messages.
    """
    if source is None or isinstance(source, Band):
        return source
    if hasattr(source, "frdata"):
        raise InputError(f"{name} is measured data; give a rational function, (num, den) or a Band")
    if all(hasattr(source, m) for m in "ABCD"):
        weight = realized(source, "is no weight", what=name)[0]
        if not (weight.d.any() or (weight.order and weight.b.any() and weight.c.any())):
            raise InputError(f"{name} is identically zero")
        return weight if weight.order or weight.d.size > 1 else None
    rational = Rational.of(source, name)
    return rational if rational.order else None


def as_realization(weight: Rational | Realization | Band | None) -> Realization | Band | None:
    """What balancing takes."""
    return weight.realization() if isinstance(weight, Rational) else weight


def sentence(weight: Rational | Realization | Band | None) -> str:
    """The weight in text."""
    if weight is None:
        return "1"
    return f"a state space of order {weight.order}" if isinstance(weight, Realization) else weight.sentence
