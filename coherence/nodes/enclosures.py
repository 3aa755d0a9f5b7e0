r"""Node inverses and their derivatives over a whole interval of the imaginary axis, with proved bounds.

For a section h(s) = c R(s) b, R(s) = (sI - A)^{-1}, and |s - s0| <= r with r ||R(s0)|| < 1 the Neumann series gives
||R(s)|| <= ||R(s0)||/(1 - r ||R(s0)||), so that |h''(s)| = 2 |c R^3 b| <= 2 ||c R0|| ||R0|| ||R0 b|| / (1 - r ||R0||)^3. Balance A
first (`balanced`). Where the interval is too wide for the series the bound is infinite: halve it.
"""

from __future__ import annotations

from dataclasses import replace
from math import factorial

import numpy as np
import scipy.linalg as sla

from coherence.nodes.nodes import Bank, Nodes
from coherence.types import Complex, Real


def enclosure(nodes: Nodes, middle: Real, radius: Real, *, shift: float = 0.0) -> tuple[Complex, Complex, Real]:
    """g_i^{-1} and its derivative at shift + j middle, and a bound on |second derivative| within the radius; (I, n) each.

    Parameters
    ----------
    nodes : Nodes
        Rational; `balanced` ones give tighter bounds.
    middle, radius : (I,) float
        rad/s.
    shift : float
        Real part of the line [1/s].
    """
    nodes.require_rational("an enclosure")
    s = shift + 1j * middle
    value, slope = nodes.inverse(s), np.zeros((len(s), len(nodes)), dtype=complex)
    bend = np.zeros((len(s), len(nodes)))
    far = np.abs(s) + radius
    for power, row in enumerate(nodes.polynomial):
        if power >= 1:
            slope += power * s[:, None] ** (power - 1) * row
        if power >= 2:
            bend += factorial(power) / factorial(power - 2) * far[:, None] ** (power - 2) * np.abs(row)
    for bank in nodes.banks:
        first, second = _section(bank, s, radius)
        np.add.at(slope.T, bank.owner, first.T)
        np.add.at(bend.T, bank.owner, second.T)
    return value, slope, bend


def far_bound(nodes: Nodes, beyond: float) -> Real:
    """Bound on |damping + sections| for |s| >= beyond, (n,); infinite where beyond is not past the poles."""
    bound = np.abs(nodes.damping)
    for bank in nodes.banks:
        size = np.linalg.norm(bank.a, 2, axis=(1, 2))
        gap = np.where(beyond > size, beyond - size, np.nan)
        value = np.linalg.norm(bank.b, axis=1) * np.linalg.norm(bank.c, axis=1) / gap
        np.add.at(bound, bank.owner, np.where(np.isnan(value), np.inf, value))
    return bound


def _section(bank: Bank, s: Complex, radius: Real) -> tuple[Complex, Real]:
    """H' at the middles and a bound on |h''|, (I, S)."""
    inverse = np.linalg.inv(s[:, None, None, None] * np.eye(bank.order) - bank.a)
    right = np.einsum("isab,sb->isa", inverse, bank.b)
    left = np.einsum("sa,isab->isb", bank.c, inverse)
    size = np.linalg.norm(inverse, 2, axis=(2, 3))
    room = 1.0 - radius[:, None] * size
    top = 2.0 * np.linalg.norm(left, axis=2) * size * np.linalg.norm(right, axis=2)
    bend = np.where(room > 0, top / np.where(room > 0, room, 1.0) ** 3, np.inf)
    return -np.einsum("isa,isa->is", left, right), bend


def balanced(nodes: Nodes) -> Nodes:
    """The same nodes with sections in coordinates in which rows and columns of A have like sizes."""
    return replace(nodes, banks=tuple(map(_balanced, nodes.banks)))


def _balanced(bank: Bank) -> Bank:
    a, b, c = bank.a.copy(), bank.b.copy(), bank.c.copy()
    for i in range(len(a)):
        a[i], (scale, _) = sla.matrix_balance(a[i], permute=False, separate=True)
        b[i], c[i] = b[i] / scale, c[i] * scale
    return Bank(bank.owner, a, b, c)
