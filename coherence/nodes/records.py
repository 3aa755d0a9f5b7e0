r"""A strictly proper function as RATIONAL governor records: the inverse of `governor`.

h(s) = (b0 + b1 s + ...)/(1 + a1 s + ...)      or, where that loses digits, the sum of such terms of first and second order
"""

from __future__ import annotations

import numpy as np

from coherence.errors import ToleranceError
from coherence.nodes.governor_models import DEGREE
from coherence.numerics.realization import Realization
from coherence.types import Complex, Real

ACCURACY = 1e-9  # of what is written, relative to |h| at every frequency tried


def rational_records(section: Realization) -> list[dict[str, float]]:
    """Coefficients b0, b1, ... and a0, a1, ... of one function, or of several whose sum it is.

    Raises
    ------
    ToleranceError
        The section has poles so close together that no such record keeps nine digits.

    Examples
    --------
    >>> import numpy as np
    >>> rational_records(Realization(*(np.array([[x]]) for x in (-0.5, 1.0, 5.0, 0.0))))
    [{'b0': 10.0, 'a0': 1.0, 'a1': 2.0}]
    """
    poles, right = np.linalg.eig(section.a)
    if np.abs(poles).min() == 0:
        raise ToleranceError(_SENTENCE)
    tried = [[_on_circle(section, poles)]] if section.order <= DEGREE else []
    if np.linalg.cond(right) < 1 / np.finfo(float).eps:  # else poles coincide, and there are no residues
        residues = (section.c[0] @ right) * np.linalg.solve(right, section.b[:, 0].astype(complex))
        tried = [[_record(poles, residues)], *tried] if section.order <= DEGREE else []
        tried.append([_record(poles[pair], residues[pair]) for pair in _pairs(poles)])
    for records in tried:
        if _error(section, records, poles) <= ACCURACY:
            return records
    raise ToleranceError(_SENTENCE)


_SENTENCE = "the governor's poles are too close together, or at 0, to be written as coefficients; keep it with save_network"


def _pairs(poles: Complex) -> list[list[int]]:
    """Real poles alone, complex ones with their conjugates."""
    order = np.lexsort((poles.imag, poles.real))
    left, pairs = list(order), []
    while left:
        i = left.pop(0)
        if poles[i].imag == 0:
            pairs.append([i])
            continue
        j = min(left, key=lambda k: abs(poles[k] - poles[i].conjugate()))
        left.remove(j)
        pairs.append([i, j])
    return pairs


def _on_circle(section: Realization, poles: Complex) -> dict[str, float]:
    """The fraction from values on a circle amid the poles, which may coincide."""
    n, radius = section.order, float(np.exp(np.log(np.abs(poles)).mean()))
    s = radius * np.exp(2j * np.pi * (np.arange(2 * n) + 0.5) / (2 * n))  # half a step off the axis, where the poles are
    den = np.ones(1, dtype=complex)
    for p in poles:
        den = np.convolve(den, [1.0, -1.0 / p])
    values = section(s)[:, 0, 0] * np.polyval(den[::-1], s)
    num = [float((values * s**-k).mean().real) for k in range(n)]
    return {f"b{k}": value for k, value in enumerate(num)} | {f"a{k}": float(x.real) for k, x in enumerate(den)}


def _record(poles: Complex, residues: Complex) -> dict[str, float]:
    """Sum r/(s - p) as one fraction in time constants: r/(s - p) = (-r/p)/(1 - s/p)."""
    factors = [np.array([1.0, -1.0 / p]) for p in poles]
    den, num = np.ones(1, dtype=complex), np.zeros(len(poles), dtype=complex)
    for k, factor in enumerate(factors):
        den = np.convolve(den, factor)
        rest = np.ones(1, dtype=complex)
        for other in factors[:k] + factors[k + 1 :]:
            rest = np.convolve(rest, other)
        num += -residues[k] / poles[k] * rest
    named = {f"b{i}": float(x.real) for i, x in enumerate(num)}
    return named | {f"a{i}": float(x.real) for i, x in enumerate(den)}


def coefficients(record: dict[str, float], letter: str) -> Real:
    """B or a of a record, ascending; a missing or NaN one is 0."""
    return np.array([np.nan_to_num(record.get(f"{letter}{i}", 0.0)) for i in range(DEGREE + 1)])


def _error(section: Realization, records: list[dict[str, float]], poles: Complex) -> float:
    """Largest relative error over three decades to either side of the poles."""
    size = np.abs(poles)
    s = 1j * np.geomspace(1e-3 * size.min(), 1e3 * size.max(), 200)
    exact = section(s)[:, 0, 0]
    powers = s[:, None] ** np.arange(DEGREE + 1)
    found = sum((powers @ coefficients(r, "b")) / (powers @ coefficients(r, "a")) for r in records)
    return float((np.abs(found - exact) / np.abs(exact)).max())
