r"""Synchronising coefficients of a grid at an operating point: how machine angles pull on each other.

With angles theta and v = ln|V| of all buses (internal nodes of machines among them) the power balance S(theta, v) is linearised:

    [dP/dtheta  dP/dv; dQ/dtheta  dQ/dv] = real and imaginary part of
    dS/dtheta = j diag(V) conj(diag(I) - Y diag(V)),    dS/dv = diag(V) conj(diag(I) + Y diag(V)),    I = Y V,

with 2 (impedance) or 1 (current) times the load's share added to its own dS/dv. Angles of machines (and of load buses with
damping) stay; everything else follows at once and is eliminated:

    dP_e = K d(delta),   K = J_kk - J_ke J_ee^{-1} J_ek,   K 1 = 0.

K is asymmetric where transfer conductances are kept. The Laplacian of the theory has the off-diagonals (K_ij + K_ji)/2, which
drops the transfer conductances, and the row sums on the diagonal; (K + K^T)/2 is no Laplacian: its zero mode moves. With voltages
fixed the branches are symmetrised before the elimination, so that passive buses may equally well stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import CaseError, InputError, UnknownNameError
from coherence.graphs.laplacian import checked_laplacian, checked_sparse_laplacian, kron_reduce, require_connected
from coherence.grids.case import Case, bus_index, require_grid
from coherence.grids.convention import Convention, named_convention
from coherence.grids.powerflow import SELECT, OperatingPoint, admittance, power_flow, require_balance
from coherence.grids.units import reactance
from coherence.numerics.sparse import factorise, negative_pivots, schur_complement, schur_connectivity
from coherence.types import Complex, Int, Real

DENSE = 1000  # nodes with dynamics above which facts leave out what needs all of K
ROUNDING = 1e-12  # of the largest weight: what elimination may leave of a weight that is zero


@dataclass(frozen=True, eq=False, repr=False)
class SynchronisingMatrix(Page):
    """Synchronising coefficients of a case; see `synchronising_matrix`.

    Attributes
    ----------
    case : str
    convention : Convention
    labels : tuple of str
        The k nodes with dynamics: machines (those at one terminal bus together), then load buses with damping.
    stiffness : (N, N) sparse array
        The linearised power balance [pu/rad]: the k angles first, then everything that follows at once.
    operating_point : str
        In words.
    rows : dict
        Row of the active power balance of each bus in `stiffness`.

    Examples
    --------
    >>> from coherence import load_case, synchronising_matrix
    >>> found = synchronising_matrix(load_case("iceland"))
    >>> round(float(found.matrix.loc["Blanda 1", "Blanda 2"]), 3), found.asymmetry < 1e-12
    (-4.035, True)
    """

    case: str
    convention: Convention
    labels: tuple[str, ...]
    stiffness: sp.csr_array
    rows: dict[float, int]
    operating_point: str = ""
    passive_labels: tuple[str, ...] = field(repr=False, default=())

    def __repr__(self) -> str:
        return f"SynchronisingMatrix({self.case!r}: {len(self.labels)} nodes; {self.convention})"

    @property
    def facts(self) -> dict[str, str]:
        """What one line says."""
        if len(self.labels) > DENSE:
            return {"convention": str(self.convention)}
        return {
            "convention": str(self.convention),
            "asymmetry max|K - K^T|/max|K|": f"{self.asymmetry:.2%}",
            "algebraic connectivity of K": f"{self.algebraic_connectivity:.6g} pu/rad"
            + ("; negative: machines lose synchronism without oscillating" if self.algebraic_connectivity < 0 else ""),
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The matrix K."""
        return {"K": self.matrix}

    @cached_property
    def _reduced(self) -> Real:
        k = len(self.labels)
        return schur_complement(self.stiffness, np.arange(k)).toarray()

    @property
    def matrix(self) -> pd.DataFrame:
        """K [pu/rad], (k, k), labelled: change of the electrical power of row i for the angle of column j."""
        return pd.DataFrame(self._reduced, index=pd.Index(self.labels), columns=pd.Index(self.labels))

    @property
    def asymmetry(self) -> float:
        """max|K - K^T| / max|K|."""
        size = float(np.abs(self._reduced).max())
        return float(np.abs(self._reduced - self._reduced.T).max() / size) if size else 0.0

    @property
    def algebraic_connectivity(self) -> float:
        """The least real part of K's eigenvalues [pu/rad] without the zero of the uniform motion; infinite for a single node.

        Negative: machines lose synchronism without oscillating.
        """
        n = len(self.labels)
        if n == 1:
            return np.inf
        across = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]  # K 1 = 0: the rest of its spectrum
        return float(np.linalg.eigvals(across.T @ self._reduced @ across).real.min())

    @cached_property
    def laplacian(self) -> Real:
        """L [pu/rad], (k, k): symmetrised off-diagonals, row sums zero.

        Raises
        ------
        InputError
            L is indefinite; the nodes and the weight are named.
        """
        k = len(self.labels)
        if self.convention.voltages == "fixed":
            names = [*self.labels, *self.passive_labels]
            return np.asarray(kron_reduce(_symmetrised(self.stiffness), np.arange(k), names).toarray())
        return checked_laplacian(_symmetrised(sp.csr_array(self._reduced)).toarray(), self.labels)

    @cached_property
    def lambda_2(self) -> float:
        """Algebraic connectivity of `laplacian` [pu/rad]; infinite for a single node.

        With voltages fixed nothing dense is formed: one sparse factorisation of the grid and Lanczos (70 000 buses in seconds).

        Raises
        ------
        InputError
            L is indefinite; a weight is named.
        ToleranceError
            Lanczos did not converge.

        Examples
        --------
        >>> from coherence import load_case, synchronising_matrix
        >>> round(synchronising_matrix(load_case("iceland")).lambda_2, 5)
        0.42005
        """
        k = len(self.labels)
        if k == 1:
            return np.inf
        if self.convention.voltages == "free":
            return float(np.linalg.eigvalsh(self.laplacian)[1])
        matrix = _symmetrised(self.stiffness)
        ground = int(matrix.diagonal()[:k].argmax())
        if sp.triu(matrix, 1).max() > ROUNDING * float(abs(matrix).max()):  # negative weights: as many negative
            rest = np.delete(np.arange(matrix.shape[0]), ground)  # eigenvalues with as without the nodes that stay?
            counts = [negative_pivots(part) for part in (matrix[rest][:, rest], matrix[k:][:, k:])]
            if None in counts or counts[0] != counts[1]:
                matrix = self.with_passive_buses()[0]
        return schur_connectivity(matrix, k, ground)

    def with_passive_buses(self) -> tuple[sp.csr_array, tuple[str, ...]]:
        """Sparse Laplacian over all buses and its labels: nodes with dynamics first.

        Passive ends of negative weights are eliminated, for a Laplacian without negative weights is proper.

        Raises
        ------
        InputError
            Voltages are free, or negative weights between nodes with dynamics leave it indefinite; one is named.
        """
        if self.convention.voltages == "free":
            raise InputError("passive buses can stay only where voltages are fixed; give a convention with voltages='fixed'")
        matrix, labels, k = (
            _symmetrised(self.stiffness),
            np.array([*self.labels, *self.passive_labels], dtype=object),
            len(self.labels),
        )
        while True:
            upper = sp.coo_array(sp.triu(matrix, 1))
            negative = upper.data > ROUNDING * float(abs(matrix).max())
            ends = np.unique(np.concatenate([upper.row[negative], upper.col[negative]]))
            gone = ends[ends >= k]
            if not gone.size:
                return checked_sparse_laplacian(matrix, list(labels)), tuple(labels)
            stay = np.setdiff1d(np.arange(matrix.shape[0]), gone)
            matrix, labels = schur_complement(matrix, stay), labels[stay]

    def share(self, bus: float) -> pd.Series:
        """How the machines take up one unit more of load at a bus, in the first instant; they sum to 1 where nothing is lost.

        A step of load dP is the step -dP * share of the network's inputs.

        Raises
        ------
        UnknownNameError
            No such bus.
        """
        if bus not in self.rows:
            known = ", ".join(f"{number:.15g}" for number in list(self.rows)[:6])
            raise UnknownNameError(f"case {self.case!r} has no bus {bus!r}; give a bus number: {known}, ...")
        k, row = len(self.labels), self.rows[bus]
        if row < k:
            return pd.Series(np.eye(k)[row], index=pd.Index(self.labels), name=bus)
        push = np.zeros(self.stiffness.shape[0] - k)
        push[row - k] = 1.0
        inner = factorise(self.stiffness[k:][:, k:]).solve(push)
        return pd.Series(-(self.stiffness[:k][:, k:] @ inner), index=pd.Index(self.labels), name=bus)


def synchronising_matrix(
    case: Case,
    operating_point: OperatingPoint | None = None,
    *,
    convention: str | Convention = "terminal",
    load_damping: bool = False,
) -> SynchronisingMatrix:
    """The synchronising coefficients of a case at an operating point.

    Parameters
    ----------
    case : Case
        Generators without inertia (`H_s` empty) are static sources: where voltages are free they are negative loads of constant
        impedance, whatever loads are.
    operating_point : OperatingPoint, optional
        From `power_flow`; computed when not given.
    convention : "terminal", "classical", "flow" or Convention
    load_damping : bool
        Whether buses with load keep their angle, because their load depends on frequency.

    Returns
    -------
    SynchronisingMatrix

    Raises
    ------
    CaseError
        No machines, a machine without x'd where internal nodes are asked, or a branch without reactance where losses are neglected.
    DisconnectedError
        The grid falls apart; the buses are named.

    References
    ----------
    P. Kundur, Power System Stability and Control (1994), Sections 7.2 and 12.6; A. Bergen and D. Hill (1981) for fixed voltages.

    Examples
    --------
    >>> from coherence import load_case, synchronising_matrix
    >>> synchronising_matrix(load_case("nets_nyps68"), convention="classical")
    SynchronisingMatrix('nets_nyps68': 16 nodes; internal nodes behind x'd, voltages free, with conductances, loads impedance)
    """
    require_grid(case)
    how = named_convention(convention)
    buses, machines = case.grid[0], case.machines
    point = power_flow(case) if operating_point is None else operating_point
    if not isinstance(point, OperatingPoint):
        raise InputError(f"the operating point is a {type(point).__name__}; give one from power_flow(case, method=...)")
    if len(point.voltage) != len(buses):
        raise InputError(f"the operating point has {len(point.voltage)} buses, case {case.name!r} has {len(buses)}")
    names = [f"bus {bus:.15g}" for bus in buses["bus"]]
    y, shunt = admittance(case, lossless=how.lossless)
    require_connected(abs(y), names, f"the linearisation of {case.name!r}", SELECT)
    require_balance(case, point)
    y = y + sp.diags_array(1j * shunt.imag if how.lossless else shunt)
    v, row = point.voltage, bus_index(case)
    at = np.array([row[bus] for bus in machines["bus"]])
    n = len(v)
    if how.machines == "internal":
        y, v = _with_internal_nodes(case, point, y, at)
        held, labels = np.arange(n, len(v)), list(machines["label"])
    else:
        terminals = case.terminals
        held, labels = np.array([row[bus] for bus in terminals["bus"]]), list(terminals.index)
    demand = (buses["p_load_mw"].to_numpy() + 1j * buses["q_load_mvar"].to_numpy()) / case.base_mva
    damped = np.setdiff1d(np.flatnonzero(demand.real > 0), held) if load_damping else np.zeros(0, dtype=int)
    kept = np.concatenate([held, damped])
    passive = np.setdiff1d(np.arange(len(v)), kept)
    limited = at[machines["label"].isin(point.limited).to_numpy()]  # at a reactive limit a terminal does not hold its voltage
    free = np.setdiff1d(np.arange(len(v)), np.setdiff1d(held, limited)) if how.voltages == "free" else np.zeros(0, dtype=int)
    own = np.zeros(len(v), dtype=complex)
    own[:n] = _own_slopes(case, point, how, demand)
    stiffness = _stiffness(y, v, own, np.concatenate([kept, passive]), free)
    position = {bus: i for i, bus in enumerate(np.concatenate([kept, passive]).tolist())}
    labels += [f"load {buses['bus'].iloc[i]:.15g}" for i in damped]
    if len(set(labels)) < len(labels):
        raise CaseError(f"case {case.name!r}: a generator is labelled like a load bus; rename it")
    return SynchronisingMatrix(
        case.name,
        how,
        tuple(labels),
        stiffness,
        {bus: position[i] for bus, i in row.items()},
        repr(point),
        tuple(names[i] for i in passive if i < n),
    )


def _with_internal_nodes(case: Case, point: OperatingPoint, y: sp.csr_array, at: Int) -> tuple[sp.csr_array, Complex]:
    """Admittance matrix and voltages with the EMF behind x'd of each machine, at the buses `at`, behind the buses."""
    x = _transient_reactances(case, case.machines)
    terminal = point.voltage[at]
    emf = terminal + 1j * x * (point.generation[case.machine_rows] / case.base_mva / terminal).conj()
    n, count = y.shape[0], len(x)
    inner, branch = np.arange(n, n + count), 1.0 / (1j * x)
    extra = sp.coo_array(
        (np.concatenate([branch, branch, -branch, -branch]), (np.r_[at, inner, at, inner], np.r_[at, inner, inner, at])),
        shape=(n + count,) * 2,
    )
    whole = sp.csr_array(sp.block_diag([y, sp.csr_array((count, count))]) + extra)
    return whole, np.concatenate([point.voltage, emf])


def _own_slopes(case: Case, point: OperatingPoint, how: Convention, demand: Complex) -> Complex:
    """What loads and static sources at each bus add to its own dS/d ln|V|."""
    if how.voltages == "fixed":
        return np.zeros(len(demand), dtype=complex)
    row, generators = bus_index(case), case.grid[2]
    quiet = np.setdiff1d(np.arange(len(generators)), case.machine_rows)
    static = np.zeros(len(demand), dtype=complex)
    np.add.at(static, [row[bus] for bus in generators["bus"].iloc[quiet]], point.generation[quiet] / case.base_mva)
    active, reactive = how.load_exponents
    real = 0.0 if how.lossless else active * demand.real - 2 * static.real
    return np.asarray(real + 1j * (reactive * demand.imag - 2 * static.imag))


def _stiffness(y: sp.csr_array, v: Complex, own: Complex, angles: Int, free: Int) -> sp.csr_array:
    """The Jacobian with rows and columns [theta of `angles`; ln|V| of `free`]."""
    current = y @ v
    flow = sp.diags_array(v) @ (y @ sp.diags_array(v)).conj()
    here = sp.diags_array(v * current.conj())
    by_angle, by_size = sp.csr_array(1j * (here - flow)), sp.csr_array(here + flow + sp.diags_array(own))
    p_angle = by_angle.real[angles][:, angles]
    p_angle = p_angle - sp.diags_array(np.asarray(p_angle.sum(axis=1)).ravel())  # row sums are zero in exact arithmetic
    if not free.size:
        return sp.csr_array(p_angle)
    return sp.csr_array(
        sp.block_array(
            [[p_angle, by_size.real[angles][:, free]], [by_angle.imag[free][:, angles], by_size.imag[free][:, free]]], format="csr"
        )
    )


def _symmetrised(matrix: sp.csr_array) -> sp.csr_array:
    """Off-diagonals (A_ij + A_ji)/2, rows summing to zero."""
    off = sp.csr_array(0.5 * (matrix + matrix.T))
    off = off - sp.diags_array(off.diagonal())
    off.eliminate_zeros()
    return sp.csr_array(off - sp.diags_array(np.asarray(off.sum(axis=1)).ravel()))


def _transient_reactances(case: Case, machines: pd.DataFrame) -> Real:
    if "xd_prime_pu" not in machines:
        raise CaseError(f"case {case.name!r} has no transient reactances (xd_prime_pu), so no internal nodes; add a machine table")
    x = machines["xd_prime_pu"].to_numpy()
    if np.isnan(x).any():
        label = machines["label"].iloc[int(np.isnan(x).argmax())]
        raise CaseError(f"case {case.name!r}: generator {label!r} has no xd_prime_pu, so no internal node; give it one")
    return reactance(x, machines["mbase_mva"].to_numpy(), base_mva=case.base_mva)
