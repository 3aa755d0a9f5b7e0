"""Nodes of very many sections as nodes of few: the sum of sections by low-rank Gramians, O(N)."""

from __future__ import annotations

import numpy as np

from coherence.errors import InstabilityError
from coherence.nodes.nodes import Bank, Nodes, make_banks
from coherence.numerics.arrow import Arrow
from coherence.numerics.low_rank import Compressed, compress
from coherence.numerics.realization import Realization


def compressed(
    node: Nodes,
    *,
    closed_loop: bool = False,
    output_weight: Realization | None = None,
    input_weight: Realization | None = None,
) -> tuple[float, Compressed]:
    """The gain k of the sections k/s of one node, and the sum of its other sections (or g, closed_loop) in few states.

    Raises
    ------
    InstabilityError
        A section (of g: g, or a section) that is not stable; in closed loop a section k/s is one.
    """
    gain, banks = 0.0, list(node.banks)
    if not closed_loop:
        gain, banks = _integrators(node.banks)
    polynomial = node.polynomial[: max(int(node.degree[0]), 0) + 1, 0]
    try:
        arrow = Arrow.from_banks(polynomial, [(bank.a, bank.b, bank.c) for bank in banks], closed_loop)
        return gain, compress(arrow, output_weight=output_weight, input_weight=input_weight)
    except InstabilityError as error:
        raise InstabilityError(f"node {node.labels[0]!r}: {error}") from None


def with_few_sections(node: Nodes) -> tuple[Nodes, float]:
    """The node with its stable sections compressed, and what that may change of h: |h - h_q| over frequency."""
    gain, found = compressed(node)
    sections = [(0, integrator(gain))] if gain else []
    if found.system.order:
        sections.append((0, found.system))
    size = float(np.abs(found.system(1j * np.append(0.0, np.abs(found.system.poles()))) if found.system.order else 0.0).max())
    return Nodes(node.labels, node.polynomial, make_banks(sections)), found.error * size


def integrator(gain: float) -> Realization:
    """gain/s; of order 0 where there is no gain."""
    count = int(gain != 0)
    return Realization(np.zeros((count, count)), np.ones((count, 1)), np.full((1, count), gain), np.zeros((1, 1)))


def _integrators(banks: tuple[Bank, ...]) -> tuple[float, list[Bank]]:
    """The sum of the gains of all sections k/s, and the other sections."""
    gain, others = 0.0, []
    for bank in banks:
        at_zero = (bank.a[:, 0, 0] == 0.0) if bank.order == 1 else np.zeros(len(bank.owner), dtype=bool)
        if at_zero.any():
            gain += float(bank.b[at_zero, 0] @ bank.c[at_zero, 0])
        if not at_zero.all():
            rest = np.flatnonzero(~at_zero)
            others.append(bank.select(rest, bank.owner[rest]))
    return gain, others
