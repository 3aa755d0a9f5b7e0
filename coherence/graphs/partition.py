"""The value `Partition`: a label -> group assignment, with its indicator matrix P (3.29)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError, UnknownNameError
from coherence.types import Int, Real


@dataclass(frozen=True, eq=False, repr=False)
class Partition(Page):
    """Groups of labelled nodes.

    Parameters
    ----------
    labels : tuple of str
        Node names, in network order.
    assignment : (n,) int
        Group index of each node; every group 0..k-1 has at least one node.
    groups : tuple of str
        Names of the groups.

    Examples
    --------
    >>> p = Partition.of({"a": "west", "b": "west", "c": "east"}, labels=["a", "b", "c"])
    >>> p.groups, p.sizes
    (('west', 'east'), array([2, 1]))
    """

    labels: tuple[str, ...]
    assignment: Int
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        given = np.asarray(self.assignment)
        if given.ndim != 1 or not (given.size == 0 or np.issubdtype(given.dtype, np.integer)) or (given < 0).any():
            raise InputError("the assignment must hold one group number >= 0 per node; use Partition.of for names")
        object.__setattr__(self, "assignment", given)
        if len(set(self.labels)) < len(self.labels):
            twice = next(label for i, label in enumerate(self.labels) if label in self.labels[:i])
            raise InputError(f"two nodes are named {twice!r}; labels must be unique")
        if len(set(self.groups)) < len(self.groups):
            twice = next(group for i, group in enumerate(self.groups) if group in self.groups[:i])
            raise InputError(f"two groups are named {twice!r}; give each its own name")
        used = np.bincount(self.assignment, minlength=len(self.groups))
        if len(self.assignment) != len(self.labels):
            raise InputError(f"the partition assigns {len(self.assignment)} nodes; the network has {len(self.labels)}")
        if len(used) != len(self.groups) or (used == 0).any():
            raise InputError(
                f"the partition names {len(self.groups)} groups but uses {int((used > 0).sum())}; every group needs a node"
            )

    @classmethod
    def of(cls, groups: Mapping[str, object] | pd.Series | Sequence[object], *, labels: Sequence[str]) -> Partition:
        """Build from a mapping or Series label -> group, or one group per node in order; every label must occur."""
        names = tuple(map(str, labels))
        if isinstance(groups, (pd.Series, Mapping)):
            given: dict[str, object] = {}
            for node, group in groups.items():
                if str(node) in given:
                    raise InputError(f"the partition names node {str(node)!r} twice; give each node one group")
                given[str(node)] = group
            missing = [label for label in names if label not in given]
            if missing and any(isinstance(v, (list, tuple, set, frozenset)) for v in given.values()):
                raise InputError(
                    "the partition maps groups to lists of nodes; build that with Partition.from_groups(groups, labels=...)"
                )
            if missing:
                raise InputError(f"the partition has no group for node {missing[0]!r}; every node needs one")
            known = set(names)
            extra = [label for label in given if label not in known]
            if extra:
                raise UnknownNameError(f"the partition names {extra[0]!r}, which is no node of the network")
            listed = [given[label] for label in names]
        else:
            listed = list(groups)
            if len(listed) != len(names):
                raise InputError(f"the partition assigns {len(listed)} nodes; the network has {len(names)}")
        for label, group in zip(names, listed, strict=True):
            if group is None or group is pd.NA or group != group:
                raise InputError(f"the partition has no group for node {label!r}: it is {group}; every node needs one")
        values = [str(group) for group in listed]
        order = tuple(dict.fromkeys(values))
        index = {group: i for i, group in enumerate(order)}
        return Partition(names, np.array([index[v] for v in values], dtype=int), order)  # of a subclass too: it has more to say

    @classmethod
    def from_groups(cls, groups: Mapping[str, Iterable[object]], *, labels: Sequence[str]) -> Partition:
        """Build from a mapping group -> its nodes; every label must occur in exactly one group.

        Examples
        --------
        >>> Partition.from_groups({"west": ["a", "b"], "east": ["c"]}, labels=["a", "b", "c"]).assignment
        array([0, 0, 1])
        """
        if not isinstance(groups, Mapping):
            raise InputError(f"groups is a {type(groups).__name__}; give a mapping group -> nodes, or use Partition.of")
        names = set(map(str, labels))
        home: dict[str, str] = {}
        for group, members in groups.items():
            if isinstance(members, str) or not isinstance(members, Iterable):
                raise InputError(f"group {group!r} is {members!r:.60}; give a list of nodes, or use Partition.of for node -> group")
            inside = [str(member) for member in members]
            if not inside:
                raise InputError(f"group {str(group)!r} is empty; every group needs a node")
            for label in inside:
                if label not in names:
                    raise UnknownNameError(f"group {str(group)!r} names {label!r}, which is no node of the network")
                if label in home:
                    where = (
                        f"twice in group {str(group)!r}"
                        if home[label] == str(group)
                        else f"in groups {home[label]!r} and {str(group)!r}"
                    )
                    raise InputError(f"node {label!r} is {where}; groups must not overlap")
                home[label] = str(group)
        assigned = Partition.of(home, labels=labels)
        order = tuple(map(str, groups))
        return Partition(assigned.labels, np.array([order.index(home[label]) for label in assigned.labels], dtype=int), order)

    @property
    def k(self) -> int:
        """Number of groups."""
        return len(self.groups)

    @property
    def sizes(self) -> Int:
        """Nodes per group, N = diag|I_i|."""
        return np.bincount(self.assignment, minlength=self.k)

    @property
    def indicator(self) -> Real:
        """P, shape (n, k): P[i, g] = 1 when node i is in group g."""
        return (self.assignment[:, None] == np.arange(self.k)).astype(float)

    @property
    def series(self) -> pd.Series:
        """Labelled Series node -> group."""
        return pd.Series([self.groups[i] for i in self.assignment], index=list(self.labels), name="group")

    def members(self, group: str) -> tuple[str, ...]:
        """Labels of the nodes in a group."""
        if group not in self.groups:
            raise UnknownNameError(f"there is no group {group!r}; known: {', '.join(self.groups)}")
        i = self.groups.index(group)
        return tuple(label for label, g in zip(self.labels, self.assignment, strict=True) if g == i)

    def group_of(self, label: str) -> str:
        """Group of a node."""
        if label not in self.labels:
            raise UnknownNameError(f"there is no node {label!r} in the partition")
        return self.groups[int(self.assignment[self.labels.index(label)])]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups with their members."""
        members = {group: ", ".join(self.members(group)) for group in self.groups}
        index = pd.Index(self.groups, name="group")
        return {"groups": pd.DataFrame({"nodes": self.sizes, "members": list(members.values())}, index=index)}

    def __repr__(self) -> str:
        inside = ", ".join(f"{g}: {s}" for g, s in zip(self.groups, self.sizes, strict=True))
        return f"Partition({len(self.labels)} nodes in {self.k} groups; {inside})"
