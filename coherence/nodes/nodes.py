r"""The noun `Nodes`: n dynamics held as inverses, g_i^{-1}(s) = sum_j p_ij s^j + sum of strictly proper sections.

    (3.1)-(3.2):  T = (G^{-1} + f L)^{-1}, so the inverse is what a network adds up.

A swing equation is the polynomial m s + d; turbines, governors and filters are small state-space sections, each
owned by one node. Summing inverses over a group of nodes adds polynomials and relabels owners: exact and sparse,
no product of transfer functions is ever formed. Families that build `Nodes` are in `families`; the conversion from
python-control systems is in `systems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.linalg as sla
from numpy.typing import NDArray

from coherence.display import Page
from coherence.errors import InputError, PoleError, UnknownNameError
from coherence.numerics.realization import Realization
from coherence.types import ArrayLike, Complex, Int, Real, laplace_points


@dataclass(frozen=True, eq=False)
class Bank:
    """S strictly proper sections c (sI - A)^{-1} b of one common order, each owned by one node."""

    owner: Int  # (S,) index of the node
    a: Real  # (S, order, order)
    b: Real  # (S, order)
    c: Real  # (S, order)

    @property
    def order(self) -> int:
        """States of each section."""
        return self.a.shape[1]

    def __call__(self, s: Complex) -> Complex:
        """Values of the sections, shape (F, S)."""
        if self.order == 1:
            return self.b[:, 0] * self.c[:, 0] / (s[:, None] - self.a[:, 0, 0])
        shifted = s[:, None, None, None] * np.eye(self.order) - self.a
        return np.einsum("so,fso->fs", self.c, np.linalg.solve(shifted, self.b[None, :, :, None])[..., 0])

    def select(self, mask: Int, owner: Int) -> Bank:
        """Some sections, with new owners."""
        return Bank(owner, self.a[mask], self.b[mask], self.c[mask])

    def merged(self) -> Bank:
        """Sections of one owner with equal A, and b equal but for a factor (to the last bit), as one whose c is the sum."""
        place = (self.b != 0).argmax(axis=1)  # the first entry that is not zero is taken to one
        size = np.take_along_axis(self.b, place[:, None], axis=1)[:, 0]
        size = np.where(size == 0, 1.0, size)  # a section that nothing drives
        key = np.column_stack([self.owner, self.a.reshape(len(self.a), -1), self.b / size[:, None]])
        _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
        c = np.zeros((len(first), self.order))
        np.add.at(c, group.ravel(), self.c * (size / size[first][group.ravel()])[:, None])
        alive = (self.b[first] != 0).any(axis=1) & (c != 0).any(axis=1)
        if len(first) == len(key) and alive.all():
            return self
        kept = np.argsort(first)  # in the order they came
        kept = kept[alive[kept]]
        return Bank(self.owner[first[kept]], self.a[first[kept]], self.b[first[kept]], c[kept])


@dataclass(frozen=True, eq=False, repr=False)
class Nodes(Page):
    """n labelled node dynamics as inverses.

    Parameters
    ----------
    labels : tuple of str
        Unique names.
    polynomial : (degree + 1, n) array
        Coefficients p_ij of s^j, ascending powers. Row 0 is damping-like, row 1 inertia-like.
    banks : tuple of Bank
        The strictly proper part, grouped by order.
    functions : tuple of (owner, callable)
        Further parts of inverses, known by their values only (`responses`).

    Examples
    --------
    >>> from coherence import swing
    >>> nodes = swing(inertia=[0.1, 0.2], damping=[0.01, 0.02])
    >>> nodes.inverse(1j).round(3)
    array([[0.01+0.1j, 0.02+0.2j]])
    """

    labels: tuple[str, ...]
    polynomial: Real
    banks: tuple[Bank, ...] = ()
    functions: tuple[tuple[int, Callable[[Complex], Complex]], ...] = ()

    def __post_init__(self) -> None:
        polynomial = np.array(self.polynomial, dtype=float)
        polynomial.setflags(write=False)
        object.__setattr__(self, "polynomial", polynomial)
        if not self.labels:
            raise InputError("there are no nodes; give at least one")
        seen: set[str] = set()
        for label in self.labels:
            if label in seen:
                raise InputError(f"the label {label!r} stands for two nodes; labels must be unique")
            seen.add(label)
        if self.polynomial.ndim != 2 or self.polynomial.shape[1] != len(self.labels):
            raise InputError(
                f"polynomial has shape {self.polynomial.shape}; "
                f"it must be (degree + 1, {len(self.labels)}) for {len(self.labels)} labels"
            )
        if not np.isfinite(self.polynomial).all():
            bad = int(np.argmin(np.isfinite(self.polynomial).all(axis=0)))
            raise InputError(f"node {self.labels[bad]!r} has a coefficient that is not finite")
        for bank in self.banks:
            if bank.owner.size and not 0 <= bank.owner.min() <= bank.owner.max() < len(self.labels):
                raise InputError(f"a section belongs to node number {bank.owner.max()}; there are {len(self.labels)} nodes")
            if not all(np.isfinite(x).all() for x in (bank.a, bank.b, bank.c)):
                raise InputError("a section has a coefficient that is not finite")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """One row per node."""
        columns = {"inertia": self.inertia, "damping": self.damping, "order": self.orders, "relative degree": self.degree}
        return {"nodes": pd.DataFrame(columns, index=pd.Index(self.labels, name="node"))}

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:4]) + (", ..." if len(self) > 4 else "")
        return f"Nodes({len(self)}: {shown}; {self.order} states)"

    @property
    def degree(self) -> Int:
        """Degree of each polynomial part = relative degree of g_i, shape (n,); -1 where the polynomial is zero."""
        present = self.polynomial != 0
        return np.where(present.any(axis=0), len(present) - 1 - present[::-1].argmax(axis=0), -1)

    @property
    def passive(self) -> NDArray[np.bool_]:
        """Which nodes have no dynamics at all, g_i^{-1} = 0, shape (n,)."""
        idle = ~(self.polynomial != 0).any(axis=0)
        idle[[owner for owner, _ in self.functions]] = False
        for bank in self.banks:
            idle[bank.owner] = False
        return idle

    @property
    def orders(self) -> Int:
        """Order of each g_i, shape (n,)."""
        total = np.maximum(self.degree, 0)
        for bank in self.banks:
            np.add.at(total, bank.owner, bank.order)
        return total

    @property
    def order(self) -> int:
        """Total number of states of all g_i."""
        return int(self.orders.sum())

    @property
    def inertia(self) -> Real:
        """Coefficient of s, shape (n,)."""
        return self.polynomial[1] if len(self.polynomial) > 1 else np.zeros(len(self))

    @property
    def damping(self) -> Real:
        """Constant coefficient, shape (n,)."""
        return self.polynomial[0]

    def index(self, label: str) -> int:
        """Position of a label; an unknown one is an error that lists close names."""
        if label not in self._position:
            raise UnknownNameError(unknown_name("node", label, self.labels))
        return self._position[label]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    def inverse(self, s: ArrayLike) -> Complex:
        """g_i^{-1} at the points s, shape (F, n). Infinite values (a zero of g_i) raise PoleError."""
        points = laplace_points(s)
        values = np.zeros((points.size, len(self)), dtype=complex)
        for row in self.polynomial[::-1]:
            values = values * points[:, None] + row
        for bank in self.banks:
            try:
                sections = bank(points)
            except np.linalg.LinAlgError:
                distance = np.abs(points[:, None, None] - np.linalg.eigvals(bank.a)).min(axis=2)
                sections = np.where(distance == distance.min(), np.inf, 0.0)
            if not np.isfinite(sections).all():
                f, section = np.argwhere(~np.isfinite(sections))[0]
                raise PoleError(
                    f"s = {points[f]:.6g} is a pole of the inverse dynamics of node "
                    f"{self.labels[bank.owner[section]]!r} (a zero of its transfer function); move s"
                )
            np.add.at(values.T, bank.owner, sections.T)
        for owner, function in self.functions:
            values[:, owner] += function(points)
        return values

    def response(self, s: ArrayLike) -> Complex:
        """g_i at the points s, shape (F, n)."""
        values = self.inverse(s)
        if (values == 0).any():
            f, node = np.argwhere(values == 0)[0]
            raise PoleError(f"s = {laplace_points(s)[f]:.6g} is a pole of node {self.labels[node]!r}; move s")
        return 1.0 / values

    def select(self, picked: Sequence[int]) -> Nodes:
        """Some of the nodes, in the order given."""
        position = np.full(len(self), -1)
        position[list(picked)] = np.arange(len(picked))
        banks = []
        for bank in self.banks:
            owner = position[bank.owner]
            if (owner >= 0).any():
                banks.append(bank.select(np.flatnonzero(owner >= 0), owner[owner >= 0]))
        functions = tuple((int(position[owner]), function) for owner, function in self.functions if position[owner] >= 0)
        return Nodes(tuple(self.labels[i] for i in picked), self.polynomial[:, list(picked)], tuple(banks), functions)

    def aggregate(self, assignment: Int, labels: Sequence[str]) -> Nodes:
        """One node per group with g^{-1} the sum of its members': hat g = (sum g_i^{-1})^{-1} (3.26).

        Sections of one node with the same dynamics (to the last bit) become one: turbines of equal time constants add gains, so
        that the order is 1 + the number of distinct time constants.

        Parameters
        ----------
        assignment : (n,) int
            Group index of each node, 0..len(labels) - 1.
        """
        polynomial = np.zeros((len(self.polynomial), len(labels)))
        np.add.at(polynomial.T, assignment, self.polynomial.T)
        merged = [Bank(assignment[bank.owner], bank.a, bank.b, bank.c).merged() for bank in self.banks]
        banks = tuple(bank for bank in merged if bank.owner.size)
        functions = tuple((int(assignment[owner]), function) for owner, function in self.functions)
        return Nodes(tuple(labels), polynomial, banks, functions)

    def scaled(self, factor: Real) -> Nodes:
        """g_i^{-1} times factor[i]."""
        banks = tuple(Bank(bank.owner, bank.a, bank.b, bank.c * factor[bank.owner, None]) for bank in self.banks)
        self.require_rational("a rescaled node")
        return Nodes(self.labels, self.polynomial * factor, banks)

    def plus(self, other: Nodes) -> Nodes:
        """The same nodes with the inverses of `other` added, g_i^{-1} + k_i: feedback -k_i y_i at every node, labels as here.

        Examples
        --------
        >>> from coherence import swing
        >>> swing(inertia=[1, 2], damping=0.1).plus(swing(inertia=[1, 1], damping=[0.2, 0.3])).inertia
        array([2., 3.])
        """
        if len(other) != len(self):
            raise InputError(f"there are {len(other)} inverses to add to {len(self)} nodes; give one each")
        degree = max(len(self.polynomial), len(other.polynomial))
        polynomial = sum(np.pad(part.polynomial, ((0, degree - len(part.polynomial)), (0, 0))) for part in (self, other))
        banks: dict[int, list[Bank]] = {}
        for bank in self.banks + other.banks:
            banks.setdefault(bank.order, []).append(bank)
        joined = [
            Bank(*(np.concatenate([getattr(bank, name) for bank in some]) for name in ("owner", "a", "b", "c"))).merged()
            for _, some in sorted(banks.items())
        ]
        return Nodes(
            self.labels, np.asarray(polynomial), tuple(bank for bank in joined if bank.owner.size), self.functions + other.functions
        )

    def with_damping(self, damping: ArrayLike) -> Nodes:
        """The same nodes with `damping` (n,) added to the constant coefficients."""
        polynomial = self.polynomial.copy()
        polynomial[0] = polynomial[0] + np.asarray(damping, dtype=float)
        return Nodes(self.labels, polynomial, self.banks, self.functions)

    def renamed(self, labels: Sequence[str]) -> Nodes:
        """The same nodes with other labels."""
        return Nodes(tuple(labels), self.polynomial, self.banks, self.functions)

    def require_rational(self, what: str) -> None:
        """Refuse nodes that are known by their response only."""
        if self.functions:
            label = self.labels[self.functions[0][0]]
            raise InputError(f"{what} needs rational nodes; {label!r} is known by its frequency response only")

    def proper_part(self) -> tuple[Realization, Int]:
        """The sections as one block-diagonal realization (inputs and outputs: nodes) and the owner of each state."""
        self.require_rational("a state space")
        chosen = [(bank, i) for bank in self.banks for i in range(len(bank.owner))]
        chosen.sort(key=lambda item: int(item[0].owner[item[1]]))
        owners = np.array([int(bank.owner[i]) for bank, i in chosen for _ in range(bank.order)], dtype=int)
        total, n = len(owners), len(self)
        a = sla.block_diag(*[bank.a[i] for bank, i in chosen]) if chosen else np.zeros((0, 0))
        b, c = np.zeros((total, n)), np.zeros((n, total))
        if chosen:
            b[np.arange(total), owners] = np.concatenate([bank.b[i] for bank, i in chosen])
            c[owners, np.arange(total)] = np.concatenate([bank.c[i] for bank, i in chosen])
        return Realization(a, b, c, np.zeros((n, n))), owners


def make_banks(sections: Iterable[tuple[int, Realization]]) -> tuple[Bank, ...]:
    """Group (owner, SISO strictly proper realization) pairs by order."""
    by_order: dict[int, list[tuple[int, Realization]]] = {}
    for owner, section in sections:
        if np.any(section.d):
            raise InputError("a section has feedthrough; add it to the polynomial part")
        if section.order:
            by_order.setdefault(section.order, []).append((owner, section))
    return tuple(
        Bank(
            np.array([owner for owner, _ in group]),
            np.stack([r.a for _, r in group]),
            np.stack([r.b[:, 0] for _, r in group]),
            np.stack([r.c[0] for _, r in group]),
        )
        for _, group in sorted(by_order.items())
    )


def concatenate(parts: Sequence[Nodes]) -> Nodes:
    """All nodes of several families, in order.

    Parameters
    ----------
    parts : sequence of Nodes
        Labels unique over all of them.

    Returns
    -------
    Nodes

    Raises
    ------
    InputError
        No parts, or a label twice.

    Examples
    --------
    >>> from coherence import concatenate, integrator, swing
    >>> concatenate([swing(inertia=[1], damping=1, labels=["a"]), integrator(labels=["b"])])
    Nodes(2: a, b; 2 states)
    """
    if not parts:
        raise InputError("there are no nodes; give at least one family of nodes")
    degree = max(len(part.polynomial) for part in parts)
    polynomial = np.hstack([np.pad(part.polynomial, ((0, degree - len(part.polynomial)), (0, 0))) for part in parts])
    labels: list[str] = []
    sections: list[tuple[int, Realization]] = []
    functions: list[tuple[int, Callable[[Complex], Complex]]] = []
    offset = 0
    for part in parts:
        labels.extend(part.labels)
        for bank in part.banks:
            sections += [
                (int(owner) + offset, Realization(a, b[:, None], c[None, :], np.zeros((1, 1))))
                for owner, a, b, c in zip(bank.owner, bank.a, bank.b, bank.c, strict=True)
            ]
        functions += [(owner + offset, function) for owner, function in part.functions]
        offset += len(part)
    return Nodes(tuple(labels), polynomial, make_banks(sections), tuple(functions))


def unknown_name(kind: str, name: object, known: Sequence[str]) -> str:
    """The sentence for a name that does not exist: close names, else the first few."""
    import difflib

    parts = [one for one in known if name and str(name).lower() in one.lower()][:3]
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5) or parts
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else ("known: " + ", ".join(map(repr, known[:6])) + (", ..." if len(known) > 6 else ""))
    )
    return f"there is no {kind} {name!r}; {hint}"
