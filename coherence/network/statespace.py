r"""The state space of a network, built from the inverse node dynamics (dense).

With M_j = V^T diag(p_ij) V, the sections C_h (sI - A_h)^{-1} B_h and f = f_inf + c_f (sI - A_f)^{-1} b_f, the equation Y y = u is

    M_r y^(r) = u - sum_{j<r} M_j y^(j) - C_h x - f_inf L y - C_c z,   x' = A_h x + B_h y.

States are y_i .. y_i^(r_i - 1) per node, the sections' x, and the coupling's z. The coupling acts on differences
only: with node 1 of each component as reference, L y = L_(:, rest) (y_rest - y_reference), so z has n - c copies of f's
state (c components) and no mode that T does not contain. Nodes of relative degree 0 have no y state; they are solved for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coherence.errors import InputError
from coherence.graphs.laplacian import components
from coherence.nodes.nodes import Nodes
from coherence.numerics.rational import Function, Rational
from coherence.numerics.realization import Realization
from coherence.types import Int, Real


def network_realization(
    nodes: Nodes, laplacian: Real, coupling: Rational | Function, basis: Real | None, labels: Sequence[str] | None = None
) -> tuple[Realization, list[str]]:
    """A, B, C, D of T and the names of the states."""
    nodes.require_rational("a state space")
    k = len(laplacian)
    names = list(labels) if labels is not None else [str(i) for i in range(k)]
    degree, coefficients = _polynomials(nodes, basis)
    bank, owners = nodes.proper_part()
    b_h, c_h = (bank.b, bank.c) if basis is None else (bank.b @ basis, basis.T @ bank.c)
    f = coupling.realization()
    differences, back, between = _differences(laplacian, basis, names)

    chain = [(i, j) for j in range(int(degree.max(initial=0))) for i in range(k) if j < degree[i]]
    n_y, n_x, n_f = len(chain), bank.order, f.order
    n_z = n_f * len(differences)
    total = n_y + n_x + n_z

    # y = pick xi + static v, where v_i = y_i^(r_i) is the top derivative of channel i
    pick, static = np.zeros((k, total)), np.diag((degree == 0).astype(float))
    for row, (i, j) in enumerate(chain):
        if j == 0:
            pick[i, row] = 1.0
    # K v = u - R xi
    top = coefficients[degree, :, np.arange(k)].T if basis is None else coefficients[int(degree[0])]
    f_inf = f.d[0, 0]
    lead = top + f_inf * laplacian @ static
    rest = np.zeros((k, total))
    for row, (i, j) in enumerate(chain):
        rest[:, row] += coefficients[j][:, i]
    rest[:, n_y : n_y + n_x] += c_h
    rest += f_inf * laplacian @ pick
    rest[:, n_y + n_x :] += np.kron(back, f.c)
    gain = _inverse(lead, degree == 0, names)
    v_state, v_input = -gain @ rest, gain
    y_state, y_input = pick + static @ v_state, static @ v_input

    a, b = np.zeros((total, total)), np.zeros((total, k))
    position = {pair: row for row, pair in enumerate(chain)}
    for row, (i, j) in enumerate(chain):
        if j + 1 < degree[i]:
            a[row, position[(i, j + 1)]] = 1.0
        else:
            a[row], b[row] = v_state[i], v_input[i]
    a[n_y : n_y + n_x] = b_h @ y_state
    a[n_y : n_y + n_x, n_y : n_y + n_x] += bank.a
    b[n_y : n_y + n_x] = b_h @ y_input
    drive = np.kron(differences, f.b)
    a[n_y + n_x :] = drive @ y_state
    a[n_y + n_x :, n_y + n_x :] += np.kron(np.eye(len(differences)), f.a)
    b[n_y + n_x :] = drive @ y_input
    states = [f"y[{names[i]}]" if j == 0 else f"d{j}y[{names[i]}]" for i, j in chain]
    states += _section_names(owners, nodes.labels)
    states += [f"z{j + 1 if n_f > 1 else ''}[{pair}]" for pair in between for j in range(n_f)]
    return Realization(a, b, y_state, y_input), states


def through_coupling(nodes: Nodes, laplacian: Real, coupling: Rational | Function) -> tuple[Realization, Realization]:
    """T, and the output f(s) y of every node but for what all have in common (zero at the reference nodes), on the same states.

    Differences of the second, weighted, are what lines carry: its rows are exact only in combinations whose weights sum to 0.
    """
    system, _ = network_realization(nodes, laplacian, coupling, None)
    f = coupling.realization()
    differences, _, _ = _differences(laplacian, None, [""] * len(laplacian))
    held = differences.shape[0]
    c, others = f.d[0, 0] * system.c, (differences > 0).T.astype(float)  # (n, held): one for the node of each difference
    c[:, system.order - held * f.order :] += np.kron(others, f.c)
    return system, Realization(system.a, system.b, c, f.d[0, 0] * system.d)


def _inverse(lead: Real, static: Int, names: Sequence[str]) -> Real:
    """Inverse of the matrix of top derivatives; refused when it is singular.

    Nodes of relative degree 0 (`static`) act on all others at once and on nothing back, so the matrix is block triangular; each
    block is symmetric and is scaled to unit diagonal size, because nodes may differ by many decades.
    """
    moving = ~static
    inverse = np.zeros_like(lead)
    for block in (moving, static):
        mine = np.flatnonzero(block)
        part = lead[np.ix_(mine, mine)]
        scale = 1.0 / np.sqrt(np.maximum(np.abs(part).max(axis=1, initial=0.0), np.finfo(float).tiny))
        level = scale[:, None] * part * scale
        values, vectors = np.linalg.eigh(0.5 * (level + level.T))
        if np.abs(values).min(initial=np.inf) <= mine.size * np.finfo(float).eps * np.abs(values).max(initial=0.0):
            worst = names[mine[int(np.abs(vectors[:, np.abs(values).argmin()]).argmax())]]
            raise InputError(
                f"the network has no proper state space: what acts at once on node {worst!r} cancels or is missing "
                "(a zero inverse); give it damping or eliminate it"
            )
        inverse[np.ix_(mine, mine)] = scale[:, None] * np.linalg.inv(level) * scale
    cross = lead[np.ix_(moving, static)]
    inverse[np.ix_(moving, static)] = -inverse[np.ix_(moving, moving)] @ cross @ inverse[np.ix_(static, static)]
    return inverse


def _polynomials(nodes: Nodes, basis: Real | None) -> tuple[Int, Real]:
    """Degree of each channel and the coefficient matrices M_j, shape (r + 1, k, k)."""
    degree = nodes.degree
    if (degree < 0).any():
        raise InputError(
            f"node {nodes.labels[int(np.argmax(degree < 0))]!r} has no polynomial part in its inverse, so its "
            "transfer function is improper; eliminate it or give it damping"
        )
    if basis is None:
        return degree, nodes.polynomial[:, :, None] * np.eye(len(nodes))
    if len(set(degree.tolist())) > 1:
        raise InputError(
            "the state space of a network projected on a general basis needs nodes of equal relative "
            f"degree; these have {sorted(set(degree.tolist()))}"
        )
    matrices = basis.T @ (nodes.polynomial[:, :, None] * basis)
    return np.full(basis.shape[1], int(degree[0])), matrices


def _differences(laplacian: Real, basis: Real | None, names: Sequence[str]) -> tuple[Real, Real, list[str]]:
    """(D, B, names) with L = B D, D of full row rank: differences to a reference node, or eigenvectors for a basis."""
    k = len(laplacian)
    if basis is not None:
        values, vectors = np.linalg.eigh(laplacian)
        kept = values > 1e-12 * max(float(np.abs(values).max(initial=0.0)), np.finfo(float).tiny)
        return vectors[:, kept].T, vectors[:, kept] * values[kept], [f"mode {i + 1}" for i in range(int(kept.sum()))]
    index = components(laplacian)
    reference = {int(c): int(np.flatnonzero(index == c)[0]) for c in set(index.tolist())}
    others = [i for i in range(k) if i != reference[int(index[i])]]
    d = np.zeros((len(others), k))
    for row, i in enumerate(others):
        d[row, i], d[row, reference[int(index[i])]] = 1.0, -1.0
    return d, laplacian[:, others], [f"{names[i]} - {names[reference[int(index[i])]]}" for i in others]


def _section_names(owners: Int, labels: Sequence[str]) -> list[str]:
    seen: dict[int, int] = {}
    out = []
    for owner in owners.tolist():
        seen[owner] = seen.get(owner, 0) + 1
        out.append(f"x{seen[owner]}[{labels[owner]}]")
    return out
