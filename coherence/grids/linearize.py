r"""From a case and its operating point to the Network of its generators.

Nodes. With S the machine base, S_b the system base, w0 = 2 pi f:  m = 2 H S/(w0 S_b),  d = (D + D_t + D_declared) S/(w0 S_b),
governor h(s) S/(w0 S_b); frequencies in rad/s, power in pu of S_b. Coupling f = 1/s.

Laplacian (the convention "terminal, lossless, series reactance"): generators sit at their terminal buses, loads are constant power,
the weight of a branch is |V_i||V_j|/(x tap) cos(theta_i - theta_j - shift), and all buses without a generator are eliminated
(Kron). Generators at one bus are rigidly coupled there: together they are one node, whose inverse is the sum of theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from coherence.errors import CaseError, InputError
from coherence.graphs.laplacian import kron_reduce, require_connected
from coherence.grids.case import Case, require_case
from coherence.grids.powerflow import OperatingPoint, branch_ends, bus_index, power_flow
from coherence.network.network import Network
from coherence.nodes.families import swing, swing_turbine
from coherence.nodes.governors import governor, one_lag, turbine
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization
from coherence.types import Real

CONVENTION = "|V_i||V_j|/x cos(theta_ij) at generator terminals, other buses Kron-eliminated, pu/rad on the system base"


def linearize(
    case: Case, operating_point: OperatingPoint | None = None, *, governors: str = "rational", damping: float | None = None
) -> Network:
    """The network of a case's generators at an operating point.

    Parameters
    ----------
    case : Case
    operating_point : OperatingPoint, optional
        From `power_flow`; computed when not given.
    governors : "rational", "one_lag" or "none"
        Full governor records, their one-lag approximation (same gain and first moment), or none.
    damping : float, optional
        Declared damping [pu power per pu speed on machine base], in place of the case's.

    Returns
    -------
    Network
        Inputs: power [pu of base_mva]; outputs: frequency deviation [rad/s]; coupling 1/s. A case without a grid is one
        coherent group: its network is one node, the sum of all (its nodes themselves: `machine_nodes`).

    Raises
    ------
    CaseError
        Machine figures or the frequency are missing, or a governor record is wrong.
    DisconnectedError
        The grid falls apart; the buses are named.
    ToleranceError
        No operating point.

    References
    ----------
    H. Min, dissertation (2023), Section 3.4 (linearised power network).

    Examples
    --------
    >>> from coherence import linearize, load_case
    >>> round(linearize(load_case("iceland")).algebraic_connectivity, 5)
    0.42005
    """
    require_case(case)
    if case.nodes is not None:
        nodes = machine_nodes(case, governors=governors, damping=damping)
        return Network(nodes.aggregate(np.zeros(len(nodes), dtype=int), [case.name]), np.zeros((1, 1)), "1/s")
    buses, _, generators = case.grid
    machines = machine_nodes(case, governors=governors, damping=damping)
    point = power_flow(case) if operating_point is None else operating_point
    grid, names = synchronising_laplacian(case, point), [f"bus {bus:.15g}" for bus in buses["bus"]]
    require_connected(grid, names, f"the linearisation of {case.name!r}")
    terminals, row = case.terminals, bus_index(case)
    reduced = kron_reduce(grid, [row[bus] for bus in terminals["bus"]], names)
    node_at = {bus: i for i, bus in enumerate(terminals["bus"])}
    nodes = machines.aggregate(np.array([node_at[bus] for bus in generators["bus"]]), list(terminals.index))
    return Network(nodes, reduced, "1/s")


def synchronising_laplacian(case: Case, point: OperatingPoint) -> Real:
    """Laplacian over all buses with weights |V_i||V_j|/(x tap) cos(theta_i - theta_j - shift) [pu/rad]; may be indefinite."""
    branches = case.grid[1]
    f, t = branch_ends(case)
    size, angle = np.abs(point.voltage), np.angle(point.voltage)
    shift = np.deg2rad(branches["shift_deg"].to_numpy())
    weight = size[f] * size[t] * np.cos(angle[f] - angle[t] - shift) / (branches["x_pu"] * branches["tap"]).to_numpy()
    n = len(size)
    laplacian = np.zeros((n, n))
    for rows, columns, sign in ((f, f, 1), (t, t, 1), (f, t, -1), (t, f, -1)):
        np.add.at(laplacian, (rows, columns), sign * weight)
    return laplacian


def machine_nodes(case: Case, *, governors: str = "rational", damping: float | None = None) -> Nodes:
    """The generators of a case as `Nodes` on the system base; parameters as in `linearize`.

    Parameters
    ----------
    case : Case
    governors : "rational", "one_lag" or "none"
    damping : float, optional
        As in `linearize`.

    Returns
    -------
    Nodes
        One per machine: m [pu s^2/rad], d [pu s/rad] and h on the system base.

    Raises
    ------
    CaseError
        Machine figures or the frequency are missing, or a governor record is wrong; the machine is named.

    References
    ----------
    H. Min, dissertation (2023), Section 3.4; P. Kundur, Power System Stability and Control (1994), for H, D and the bases.

    Examples
    --------
    >>> from coherence import load_case, machine_nodes
    >>> machine_nodes(load_case("iceland")).order
    149
    """
    require_case(case)
    if governors not in ("rational", "one_lag", "none"):
        raise InputError(f"governors = {governors!r}; give 'rational', 'one_lag' or 'none'")
    if damping is not None and not np.isfinite(damping):
        raise InputError(f"damping = {damping}; give a finite number")
    if case.nodes is not None:
        return _bare_nodes(case, damping)
    g = case.grid[2]
    if case.f_hz is None:
        raise CaseError(f"case {case.name!r} does not state its frequency; read it with f_hz=50 or 60 (command line: --f-hz)")
    if "H_s" not in g:
        raise CaseError(
            f"case {case.name!r} has no machine figures (H_s); add a table with add_machines (command line: --machines FILE)"
        )
    declared = case.damping if damping is None else float(damping)
    base = (g["mbase_mva"] / (2 * np.pi * case.f_hz * case.base_mva)).to_numpy()
    models = list(g["governor"]) if "governor" in g and governors != "none" else [""] * len(g)
    records: dict[tuple[str, str], dict[str, Any]] = {
        (model, record["label"]): {str(k): v for k, v in record.items()}
        for model, table in case.governors.items()
        for record in table.to_dict("records")
    }
    turbine_damping = np.array(
        [float(records[model, label].get("Dt", 0.0)) if model else 0.0 for model, label in zip(models, case.labels, strict=True)]
    )
    nodes = swing(
        inertia=2 * g["H_s"].to_numpy() * base,
        damping=(g["D_pu"].to_numpy() + turbine_damping + declared) * base,
        labels=case.labels,
    )
    droop, lag = (g[name].to_numpy() if name in g else np.full(len(g), np.nan) for name in ("R_pu", "T_s"))
    sections = []
    for i, (model, label) in enumerate(zip(models, case.labels, strict=True)):
        if not model and not (np.isfinite(droop[i]) and governors != "none"):
            continue
        try:
            h = governor(model, records[model, label]) if model else turbine(droop[i], lag[i])
        except InputError as error:
            raise CaseError(f"case {case.name!r}, generator {label!r}: {error}") from None
        if model and governors == "one_lag":
            gain, tau = one_lag(h)
            if tau <= 0:
                raise CaseError(
                    f"case {case.name!r}, generator {label!r}: the first moment of {model} is {tau:.3g} s, so it has "
                    "no one-lag form; use governors='rational'"
                )
            h = turbine(1 / gain, tau)
        sections.append((i, Realization(h.a, h.b, h.c * base[i], h.d)))
    return Nodes(nodes.labels, nodes.polynomial, make_banks(sections))


def _bare_nodes(case: Case, damping: float | None) -> Nodes:
    assert case.nodes is not None
    if damping is not None:
        raise InputError(f"case {case.name!r} has no machine base, so no damping can be declared on it; edit nodes.csv")
    t = case.nodes
    return swing_turbine(
        inertia=t["inertia"],
        damping=t["damping"],
        inverse_droop=t["inverse_droop"],
        time_constant=t["time_constant"],
        labels=tuple(t["label"]),
    )
