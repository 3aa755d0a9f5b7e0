r"""Families of graphs by their size, as sparse Laplacians: what networks of growing n are made of.

| family | algebraic connectivity as n grows, weights 1 |
|---|---|
| complete | n |
| Erdos-Renyi, probability p fixed | about n p |
| ring, each node joined to `neighbours` on either side | falls as 1/n^2 (grows as n where the neighbours are a share of n) |
| star | 1 |
| square lattice | falls as 1/n |

Weights are a number, or a frozen scipy.stats distribution drawn edge by edge. networkx has many more: a function
(n, random_state) -> graph serves wherever one of these does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from coherence.errors import InputError
from coherence.types import Int, Real, real_vector


def complete_graph(n: int, *, weight: Any = 1.0, random_state: Any = None) -> sp.csr_array:
    """The Laplacian of the complete graph, lambda_2 = n weight.

    Parameters
    ----------
    n : int
        >= 2.
    weight : number > 0 or frozen scipy.stats distribution
    random_state : int, Generator or None

    Returns
    -------
    (n, n) sparse array

    Raises
    ------
    InputError
        A size or weight out of range.

    Examples
    --------
    >>> complete_graph(3).toarray()
    array([[ 2., -1., -1.],
           [-1.,  2., -1.],
           [-1., -1.,  2.]])
    """
    _size(n, 2)
    rows, columns = np.triu_indices(n, 1)
    return _laplacian(n, rows, columns, weight, random_state)


def erdos_renyi_graph(n: int, *, probability: float, weight: Any = 1.0, random_state: Any = None) -> sp.csr_array:
    """The Laplacian of a graph in which each pair of nodes is joined with the same probability; it may fall apart.

    Parameters
    ----------
    n : int
        >= 2.
    probability : float
        In (0, 1]. Connected with high probability above log(n)/n.
    weight : number > 0 or frozen scipy.stats distribution
    random_state : int, Generator or None

    Returns
    -------
    (n, n) sparse array
        In time and memory proportional to its edges.

    Raises
    ------
    InputError
        A size, probability or weight out of range.

    Examples
    --------
    >>> erdos_renyi_graph(1000, probability=0.01, random_state=0).shape
    (1000, 1000)
    """
    _size(n, 2)
    if not 0 < probability <= 1:
        raise InputError(f"probability = {probability}; give one in (0, 1]")
    rng = np.random.default_rng(random_state)
    pairs = n * (n - 1) // 2
    chosen = rng.choice(pairs, size=rng.binomial(pairs, probability), replace=False, shuffle=False)
    return _laplacian(n, *pair_ends(chosen), weight, rng)


def ring_graph(n: int, *, neighbours: int = 1, weight: Any = 1.0, random_state: Any = None) -> sp.csr_array:
    """The Laplacian of a ring in which each node is joined to the nearest ones on either side.

    Parameters
    ----------
    n : int
        >= 3.
    neighbours : int
        On either side, 1 <= neighbours < n/2.
    weight : number > 0 or frozen scipy.stats distribution
    random_state : int, Generator or None

    Returns
    -------
    (n, n) sparse array

    Raises
    ------
    InputError
        A size, count or weight out of range.

    Examples
    --------
    >>> ring_graph(5).toarray()[0]
    array([ 2., -1.,  0.,  0., -1.])
    """
    _size(n, 3)
    if not 1 <= neighbours < n / 2:
        raise InputError(f"neighbours = {neighbours}; give 1 to {(n - 1) // 2} of them for {n} nodes")
    rows = np.repeat(np.arange(n), neighbours)
    return _laplacian(n, rows, (rows + np.tile(np.arange(1, neighbours + 1), n)) % n, weight, random_state)


def star_graph(n: int, *, weight: Any = 1.0, random_state: Any = None) -> sp.csr_array:
    """The Laplacian of a star, the first node its centre.

    Parameters
    ----------
    n : int
        >= 2.
    weight : number > 0 or frozen scipy.stats distribution
    random_state : int, Generator or None

    Returns
    -------
    (n, n) sparse array

    Raises
    ------
    InputError
        A size or weight out of range.

    Examples
    --------
    >>> star_graph(3).toarray()[0]
    array([ 2., -1., -1.])
    """
    _size(n, 2)
    return _laplacian(n, np.zeros(n - 1, dtype=int), np.arange(1, n), weight, random_state)


def lattice_graph(n: int, *, weight: Any = 1.0, random_state: Any = None) -> sp.csr_array:
    """The Laplacian of a square lattice, each node joined to its four neighbours (fewer at the edges).

    Parameters
    ----------
    n : int
        A square, >= 4.
    weight : number > 0 or frozen scipy.stats distribution
    random_state : int, Generator or None

    Returns
    -------
    (n, n) sparse array

    Raises
    ------
    InputError
        n is no square, or a weight out of range.

    Examples
    --------
    >>> lattice_graph(9).diagonal()
    array([2., 3., 2., 3., 4., 3., 2., 3., 2.])
    """
    _size(n, 4)
    side = round(np.sqrt(n))
    if side**2 != n:
        raise InputError(f"n = {n} is no square number; a square lattice needs one, such as {side**2}")
    place = np.arange(n).reshape(side, side)
    rows = np.concatenate([place[:, :-1].ravel(), place[:-1].ravel()])
    return _laplacian(n, rows, np.concatenate([place[:, 1:].ravel(), place[1:].ravel()]), weight, random_state)


def pair_ends(number: Int) -> tuple[Int, Int]:
    """The pairs (i, j), i < j, of pair numbers j (j - 1)/2 + i: all pairs, counted by columns.

    Examples
    --------
    >>> [part.tolist() for part in pair_ends(np.arange(6))]
    [[0, 0, 1, 0, 1, 2], [1, 2, 2, 3, 3, 3]]
    """
    columns = ((1 + np.sqrt(1 + 8 * number.astype(float))) // 2).astype(int)
    columns -= number < columns * (columns - 1) // 2
    columns += number >= columns * (columns + 1) // 2
    return number - columns * (columns - 1) // 2, columns


def _size(n: int, least: int) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
        raise InputError(f"n = {n!r}; give a number of nodes >= {least}")


def _laplacian(n: int, rows: Int, columns: Int, weight: Any, random_state: Any) -> sp.csr_array:
    values = _weights(weight, len(rows), random_state)
    half = sp.coo_array((values, (rows, columns)), shape=(n, n))
    adjacency = sp.csr_array(half + half.T)
    return sp.csr_array(sp.diags_array(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency)


def _weights(weight: Any, count: int, random_state: Any) -> Real:
    rng = np.random.default_rng(random_state)
    if hasattr(weight, "rvs"):
        values = np.asarray(weight.rvs(size=count, random_state=rng), dtype=float)
    elif hasattr(weight, "sample"):
        values = np.asarray(weight.sample(count, rng=rng), dtype=float)
    else:
        values = np.full(count, float(real_vector(weight, "weight")[0]))
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InputError(f"a weight is {values[~(values > 0)][:1]}; weights must be > 0 and finite")
    return values
