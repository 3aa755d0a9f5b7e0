r"""The weighted stochastic block model: each pair of nodes is joined with a probability and a weight that depend on their blocks.

    A_ij = W_(i)(j) with probability Q_(i)(j), else 0, independently for i < j;   L = D_A - A          (3.35)-(3.36)

With B = Q o W (entry by entry), P the indicator of the blocks and N = diag(n_1, ..., n_k), the expected Laplacian is
L_blk = diag(P B P' 1) - P B P' (3.47); edges of a node to itself cancel in it, so that none are drawn. Its spectrum is known
(Proposition 3.1): the k eigenvalues of diag(B N 1) - B N, with eigenvectors that are constant on blocks, and for each block
n_i B_ii + sum_{j != i} B_ij n_j, n_i - 1 times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.families import pair_ends
from coherence.graphs.partition import Partition
from coherence.types import Int, Real

DENSE = 5000  # nodes up to which L_blk is formed: 200 MB
SPREAD = 5.0  # standard deviations above the mean by which gaps are drawn at once; what is still missing follows


@dataclass(frozen=True, eq=False, repr=False)
class BlockModel(Page):
    """Weighted stochastic block model of random graphs.

    Parameters
    ----------
    sizes : (k,) int
        Nodes of each block, >= 1.
    probabilities : (k, k) array
        Q, symmetric, in [0, 1].
    weights : (k, k) array
        W, symmetric, >= 0; in grids pu/rad.

    Raises
    ------
    InputError
        Sizes, probabilities or weights out of range, not symmetric, or of different numbers of blocks.

    References
    ----------
    H. Min, dissertation (2023), Section 3.2.2 and Proposition 3.1.

    Examples
    --------
    >>> from coherence import BlockModel
    >>> model = BlockModel([20, 40, 20], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
    ...                    [[20, 0.4, 0.8], [0.4, 20, 0.7], [0.8, 0.7, 20]])
    >>> model
    BlockModel(80 nodes in 3 blocks: 20, 40, 20)
    >>> model.spectrum["eigenvalue"].round(2).tolist()
    [0.0, 3.92, 5.88, 323.2, 642.2, 324.4]
    >>> model.sample(random_state=0).shape
    (80, 80)
    """

    sizes: Int
    probabilities: Real
    weights: Real

    def __post_init__(self) -> None:
        sizes = _checked_sizes(self.sizes)
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "probabilities", _checked(self.probabilities, "probabilities", len(sizes), 1.0))
        object.__setattr__(self, "weights", _checked(self.weights, "weights", len(sizes), np.inf))

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.sizes[:6].tolist())) + (", ..." if self.k > 6 else "")
        return f"BlockModel({self.n} nodes in {self.k} block{'s' if self.k > 1 else ''}: {shown})"

    @property
    def n(self) -> int:
        """Number of nodes."""
        return int(self.sizes.sum())

    @property
    def k(self) -> int:
        """Number of blocks."""
        return len(self.sizes)

    @property
    def mean_weights(self) -> Real:
        """B = Q o W, (k, k)."""
        return self.probabilities * self.weights

    @property
    def weight_variances(self) -> Real:
        """Q (1 - Q) W^2 entry by entry, the variances of A_ij, (k, k)."""
        return self.probabilities * (1.0 - self.probabilities) * self.weights**2

    @property
    def assignment(self) -> Int:
        """Block of each node, (n,): the first n_1 nodes are of block 0, and so on."""
        return np.repeat(np.arange(self.k), self.sizes)

    def partition(self, labels: Any = None) -> Partition:
        """The blocks as a `Partition` with groups "1" to "k"; nodes are labelled "1" to "n" where no labels are given."""
        names = tuple(map(str, range(1, self.n + 1) if labels is None else labels))
        return Partition(names, self.assignment, tuple(str(i + 1) for i in range(self.k)))

    def scaled(self, n: int) -> BlockModel:
        """The model with n nodes in the same proportions, sizes rounded by largest remainders, each >= 1.

        Raises
        ------
        InputError
            n is no integer, or smaller than the number of blocks.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < self.k:
            raise InputError(f"n = {n!r}; give a number of nodes >= {self.k}, one for each block")
        units, total, n = [int(x) for x in self.sizes], self.n, int(n)
        sizes = [max(1, n * unit // total) for unit in units]  # integers: n may be beyond the digits of a float
        while sum(sizes) != n:
            step = 1 if sum(sizes) < n else -1
            lacking = [(n * unit - size * total) * step if step > 0 or size > 1 else -math.inf
                       for unit, size in zip(units, sizes, strict=True)]  # fmt: skip
            sizes[lacking.index(max(lacking))] += step
        return BlockModel(np.array(sizes), self.probabilities, self.weights)

    def sample(self, random_state: Any = None) -> sp.csr_array:
        """The Laplacian of one drawn graph, in time and memory proportional to its edges; it may fall apart.

        Parameters
        ----------
        random_state : int, Generator or None

        Returns
        -------
        (n, n) sparse array

        Notes
        -----
        The numbers of pairs between one edge and the next are geometric, which is the law of independent draws. Each pair of blocks
        has its own stream: what is drawn within one block does not depend on the others' probabilities.
        """
        k, start = self.k, np.concatenate([[0], np.cumsum(self.sizes)])
        blocks = [(i, j) for j in range(k) for i in range(j + 1)]
        rows, columns, values = [], [], []
        for (i, j), rng in zip(blocks, np.random.default_rng(random_state).spawn(len(blocks)), strict=True):
            q, w = float(self.probabilities[i, j]), float(self.weights[i, j])
            if w == 0:
                continue
            mine, others = int(self.sizes[i]), int(self.sizes[j])
            if i == j:
                first, second = pair_ends(chosen_pairs(mine * (mine - 1) // 2, q, rng))
            else:
                first, second = np.divmod(chosen_pairs(mine * others, q, rng), others)
            rows.append(start[i] + first)
            columns.append(start[j] + second)
            values.append(np.full(len(first), w))
        ends = [np.concatenate([np.zeros(0, dtype=int), *part]) for part in (rows, columns)]
        half = sp.coo_array((np.concatenate([np.zeros(0), *values]), (ends[0], ends[1])), shape=(self.n, self.n))
        adjacency = sp.csr_array(half + half.T)
        return sp.csr_array(sp.diags_array(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency)

    @property
    def expected_laplacian(self) -> Real:
        """L_blk, the mean of `sample` (dense, up to 5000 nodes).

        Raises
        ------
        InputError
            More nodes; `spectrum` needs none of it.
        """
        if self.n > DENSE:
            raise InputError(
                f"the expected Laplacian of {self.n} nodes is dense; take `spectrum` (closed form), or at most {DENSE} nodes "
                "with model.scaled(n)"
            )
        block = self.assignment
        adjacency = self.mean_weights[np.ix_(block, block)]
        np.fill_diagonal(adjacency, 0.0)
        return np.asarray(np.diag(adjacency.sum(axis=1)) - adjacency)

    @cached_property
    def slow_values(self) -> Real:
        """The k eigenvalues of L_blk whose eigenvectors are constant on blocks, ascending; the first is exactly 0."""
        return _between(self.mean_weights, self.sizes)

    @property
    def within_values(self) -> Real:
        """n_i B_ii + sum_{j != i} B_ij n_j of each block, an eigenvalue of L_blk n_i - 1 times, (k,)."""
        return np.asarray(self.mean_weights @ self.sizes)

    @property
    def spectrum(self) -> pd.DataFrame:
        """Proposition 3.1: eigenvalues of L_blk with their multiplicities and where their eigenvectors live."""
        kinds = ["between blocks"] * self.k + [f"within block {i + 1}" for i in range(self.k)]
        return pd.DataFrame(
            {
                "eigenvalue": np.concatenate([self.slow_values, self.within_values]),
                "multiplicity": np.concatenate([np.ones(self.k, dtype=int), self.sizes - 1]),
                "eigenvectors": kinds,
            }
        )

    @property
    def eigenvalues(self) -> Real:
        """All n eigenvalues of L_blk, ascending."""
        return np.sort(np.concatenate([self.slow_values, np.repeat(self.within_values, self.sizes - 1)]))

    @property
    def gap(self) -> float:
        """The least eigenvalue within blocks less the largest between them: lambda_{k+1} - lambda_k of L_blk where positive."""
        inside = self.within_values[self.sizes > 1]
        return float(inside.min(initial=np.inf) - self.slow_values[-1])

    def assumptions(self, rho: float | None = None) -> pd.DataFrame:
        """The source's assumptions (3.38)-(3.39) on the blocks and what they imply, (3.75)-(3.76), with the numbers on both sides.

        Parameters
        ----------
        rho : float, optional
            Largest allowed ratio of block sizes, >= 1; by default that of these.

        Returns
        -------
        DataFrame
            condition -> value, least or most it may be, and whether it holds. (3.39) is sufficient for a gap, not necessary.

        Raises
        ------
        InputError
            rho < 1.
        """
        ratio = float(self.sizes.max() / self.sizes.min())
        if rho is not None and not (np.isfinite(rho) and rho >= 1):
            raise InputError(f"rho = {rho}; give a ratio of block sizes >= 1")
        bound = ratio if rho is None else float(rho)
        b, least = self.mean_weights, float(self.sizes.min())
        outside = (b.sum(axis=1) - np.diag(b)).max()
        delta = float(np.diag(b).min() - 2 * bound * outside)
        inside = float(self.within_values[self.sizes > 1].min(initial=np.inf))
        near = 1e-12 * (1.0 + np.abs(b).max() * self.n)  # of equal sides
        rows = {
            "(3.38) n_max/n_min <= rho": (ratio, bound, ratio <= bound),
            "(3.39) min B_ii - 2 rho max sum_{j != i} B_ij > 0": (delta, 0.0, delta > 0),
            "(3.75) least within blocks >= b_min n_min": (
                inside,
                b.sum(axis=1).min() * least,
                inside >= b.sum(axis=1).min() * least - near,
            ),
            "(3.76) gap >= Delta n_min": (self.gap, delta * least, self.gap >= delta * least - near),
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "bound", "holds"])
        return table.rename_axis("condition")

    @property
    def facts(self) -> dict[str, str]:
        """The gap."""
        known = f"{self.gap:.4g}" if self.gap > 0 else f"none: the least eigenvalue within blocks is {-self.gap:.4g} below"
        return {"gap between slow and fast eigenvalues of L_blk": known}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Blocks, B, the spectrum and the assumptions."""
        names = pd.Index([str(i + 1) for i in range(self.k)], name="block")
        means = pd.DataFrame(self.mean_weights, index=names, columns=list(names))
        means.insert(0, "nodes", self.sizes)
        return {"mean weights": means, "spectrum": self.spectrum, "assumptions": self.assumptions()}


def chosen_pairs(count: int, probability: float, rng: np.random.Generator) -> Int:
    """Which of `count` pairs are joined, ascending, each independently with the same probability."""
    if probability == 0 or count == 0:
        return np.zeros(0, dtype=int)
    if probability == 1:
        return np.arange(count)
    found: list[Int] = []
    last = -1
    while last < count - 1:
        rest = count - 1 - last
        mean = rest * probability
        size = int(mean + SPREAD * np.sqrt(mean) + SPREAD)
        gaps = np.minimum(rng.geometric(probability, size=size), rest + 1)  # farther ones are outside all the same
        places = last + np.cumsum(gaps)
        found.append(places)
        last = int(places[-1])
    joined = np.concatenate([np.zeros(0, dtype=int), *found])
    return joined[: np.searchsorted(joined, count)]


def _between(weights: Real, sizes: Int) -> Real:
    """Eigenvalues of diag(B N 1) - B N, from the symmetric diag(B N 1) - N^{1/2} B N^{1/2}."""
    root = np.sqrt(sizes.astype(float))
    values = np.linalg.eigvalsh(np.diag(weights @ sizes) - weights * np.outer(root, root))
    values[0] = 0.0
    return np.asarray(np.maximum(values, 0.0))


def largest_variance(model: BlockModel) -> float:
    """lambda_max of the Laplacian with the weights' variances for weights: a block model's too, so in closed form."""
    variances = model.weight_variances
    return float(max((variances @ model.sizes)[model.sizes > 1].max(initial=0.0), _between(variances, model.sizes)[-1]))


def _checked_sizes(sizes: Any) -> Int:
    given = np.asarray(sizes)
    if given.ndim != 1 or not given.size or given.dtype == bool:
        raise InputError(f"sizes is {sizes!r:.60}; give one number of nodes for each block")
    whole = [isinstance(x, (int, np.integer)) or (isinstance(x, float) and x.is_integer()) for x in given.tolist()]
    if not all(whole) or (given < 1).any():
        odd = next(x for x, ok in zip(given.tolist(), whole, strict=True) if not ok or x < 1)
        raise InputError(f"sizes holds {odd!r}; give whole numbers of nodes >= 1")
    return given.astype(int)


def _checked(matrix: Any, name: str, k: int, most: float) -> Real:
    try:
        given = np.array(matrix, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {matrix!r:.60}; give a symmetric matrix of numbers, {k} x {k}") from None
    if given.shape != (k, k):
        raise InputError(f"{name} has shape {given.shape}; for {k} blocks give {k} x {k}")
    wrong = ~((given >= 0) & (given <= most) & np.isfinite(given))
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        allowed = "in [0, 1]" if most == 1 else ">= 0 and finite"
        raise InputError(f"{name}[{i}, {j}] = {given[i, j]:g}; {name} must be {allowed}")
    if (given != given.T).any():
        i, j = np.argwhere(given != given.T)[0]
        raise InputError(f"{name}[{i}, {j}] = {given[i, j]:g} but {name}[{j}, {i}] = {given[j, i]:g}; {name} must be symmetric")
    return given
