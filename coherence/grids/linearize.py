r"""From a case and its operating point to the Network of its machines.

Nodes. With S the machine base, S_b the system base, w0 = 2 pi f:  m = 2 H S/(w0 S_b),  d = (D + D_t + D_declared) S/(w0 S_b),
governor h(s) S/(w0 S_b); frequencies in rad/s, power in pu of S_b (`units`). Coupling f = 1/s.

Laplacian: the synchronising coefficients of `synchronising_matrix`, in one of the conventions of `convention`. Machines at one
terminal bus are rigidly coupled there: together they are one node, whose inverse is the sum of theirs. Loads that depend on
frequency are nodes with g^{-1} = d = D_L P/(w0 S_b); passive buses that stay are nodes with g^{-1} = 0.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from coherence.errors import CaseError, InputError
from coherence.grids.case import Case, require_case
from coherence.grids.convention import Convention
from coherence.grids.powerflow import OperatingPoint
from coherence.grids.synchronising import SynchronisingMatrix, synchronising_matrix
from coherence.grids.units import inertia, per_frequency
from coherence.network.network import Network
from coherence.nodes.families import swing, swing_turbine
from coherence.nodes.governors import governor, one_lag, turbine, turbine_damping
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization, parallel
from coherence.types import Real


def linearize(
    case: Case,
    operating_point: OperatingPoint | None = None,
    *,
    convention: str | Convention = "terminal",
    passive: str = "eliminate",
    governors: str = "rational",
    damping: float | None = None,
    load_damping: float | None = None,
) -> Network:
    """The network of a case's machines at an operating point.

    Parameters
    ----------
    case : Case
    operating_point : OperatingPoint, optional
        From `power_flow`; computed when not given.
    convention : "terminal", "classical", "flow" or Convention
        Where machines sit, and how voltages, losses and loads act. The Laplacian of a lossy convention is the
        symmetrised one; `synchronising_matrix` tells how asymmetric the grid is.
    passive : "eliminate" or "keep"
        Buses without dynamics: eliminated (Kron), or kept as nodes with g^-1 = 0 in a sparse Laplacian (voltages fixed only).
    governors : "rational", "one_lag" or "none"
        Full governor records, their one-lag approximation (same gain and first moment), or none.
    damping : float, optional
        Declared damping [pu power per pu speed on machine base], in place of the case's.
    load_damping : float, optional
        Frequency dependence of loads [pu power per pu frequency, on each bus's own load], in place of the case's. Buses
        that feed in have none.

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
    InputError
        The Laplacian is not proper; the weight is named.
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
    >>> linearize(load_case("nets_nyps68"), convention="classical").size
    16
    """
    require_case(case)
    if passive not in ("eliminate", "keep"):
        raise InputError(f"passive = {passive!r}; give 'eliminate' or 'keep'")
    if case.nodes is not None:
        nodes = machine_nodes(case, governors=governors, damping=damping)
        return Network(nodes.aggregate(np.zeros(len(nodes), dtype=int), [case.name]), np.zeros((1, 1)), "1/s")
    found = synchronising_matrix(case, operating_point, convention=convention, load_damping=bool(_load_damping(case, load_damping)))
    return assemble(case, found, passive=passive, governors=governors, damping=damping, load_damping=load_damping)


def assemble(
    case: Case,
    found: SynchronisingMatrix,
    *,
    passive: str = "eliminate",
    governors: str = "rational",
    damping: float | None = None,
    load_damping: float | None = None,
) -> Network:
    """The network on synchronising coefficients already found; parameters as in `linearize`."""
    nodes = placed_nodes(case, found, governors=governors, damping=damping, load_damping=load_damping)
    if passive == "eliminate":
        return Network(nodes, found.laplacian, "1/s")
    laplacian, labels = found.with_passive_buses()
    idle = np.zeros((len(nodes.polynomial), len(labels) - len(nodes)))
    return Network(Nodes(labels, np.hstack([nodes.polynomial, idle]), nodes.banks), laplacian, "1/s")


def placed_nodes(
    case: Case,
    found: SynchronisingMatrix,
    *,
    governors: str = "rational",
    damping: float | None = None,
    load_damping: float | None = None,
) -> Nodes:
    """The machines and the loads with damping as the nodes of `found`, in its order."""
    machines = machine_nodes(case, governors=governors, damping=damping)
    if found.convention.machines == "internal":
        owner = list(range(len(machines)))
    else:
        owner = [found.rows[bus] for bus in case.machines["bus"]]
    nodes = machines.aggregate(np.array(owner), list(found.labels))
    per_load = _load_damping(case, load_damping)
    if not per_load:
        return nodes
    assert case.f_hz is not None
    buses, extra = case.grid[0], np.zeros(len(found.labels))
    at = buses["bus"].map(found.rows).to_numpy()
    here = at < len(extra)  # buses that are nodes with dynamics; one that feeds in damps nothing
    taken = np.maximum(buses["p_load_mw"].to_numpy()[here], 0.0)
    np.add.at(extra, at[here], per_load * taken * per_frequency(np.array(1.0), base_mva=case.base_mva, f_hz=case.f_hz))
    return nodes.with_damping(extra)


def _load_damping(case: Case, load_damping: float | None) -> float:
    value = case.load_damping if load_damping is None else load_damping
    if not np.isfinite(value):
        raise InputError(f"load_damping = {value}; give a finite number")
    return float(value)


def machine_nodes(case: Case, *, governors: str = "rational", damping: float | None = None) -> Nodes:
    """The machines of a case as `Nodes` on the system base; parameters as in `linearize`.

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
    g = case.machines
    if case.f_hz is None:
        raise CaseError(f"case {case.name!r} does not state its frequency; read it with f_hz=50 or 60 (command line: --f-hz)")
    if "H_s" not in g:
        raise CaseError(
            f"case {case.name!r} has no machine figures (H_s); add a table with add_machines (command line: --machines FILE)"
        )
    rated = g["mbase_mva"].to_numpy()
    base = per_frequency(rated, base_mva=case.base_mva, f_hz=case.f_hz)
    found, shaft = machine_governors(case, governors=governors, damping=damping)
    nodes = swing(
        inertia=inertia(g["H_s"].to_numpy(), rated, base_mva=case.base_mva, f_hz=case.f_hz),
        damping=shaft * base,
        labels=tuple(g["label"]),
    )
    sections = [(i, Realization(h.a, h.b, h.c * base[i], h.d)) for i, h in found.items()]
    return Nodes(nodes.labels, nodes.polynomial, make_banks(sections))


def machine_governors(
    case: Case, *, governors: str = "rational", damping: float | None = None
) -> tuple[dict[int, Realization], Real]:
    """h(s) of the machines that have a governor, by their row among the machines, and the damping at every shaft.

    Both on machine base, per pu of speed; the damping is the machine's, the declared and the turbine's together. Parameters and
    errors as in `machine_nodes`.
    """
    g = case.machines
    rated, names = g["mbase_mva"].to_numpy(), tuple(g["label"])
    models = list(g["governor"]) if "governor" in g and governors != "none" else [""] * len(g)
    records: dict[tuple[str, str], list[dict[str, Any]]] = {}  # several only of RATIONAL: they add up
    for model, table in case.governors.items():
        for record in table.to_dict("records"):
            records.setdefault((model, record["label"]), []).append({str(key): value for key, value in record.items()})
    own_damping = g["D_pu"].fillna(0.0).to_numpy() if "D_pu" in g else np.zeros(len(g))
    shaft = own_damping + (case.damping if damping is None else float(damping))  # the turbine's joins it below
    droop, lag = (g[name].to_numpy() if name in g else np.full(len(g), np.nan) for name in ("R_pu", "T_s"))
    found: dict[int, Realization] = {}
    for i, (model, label) in enumerate(zip(models, names, strict=True)):
        if not model and not (np.isfinite(droop[i]) and governors != "none"):
            continue
        try:
            if model:
                own = records[model, label]
                shaft[i] += sum(turbine_damping(model, record, mbase_mva=rated[i]) for record in own)
                parts = [governor(model, record, H_s=g["H_s"].iloc[i], D_pu=shaft[i], mbase_mva=rated[i]) for record in own]
                h = functools.reduce(parallel, parts)
                if governors == "one_lag":
                    gain, tau = one_lag(h)
                    h = turbine(1 / gain, tau)
            else:
                h = turbine(droop[i], lag[i])
        except InputError as error:
            raise CaseError(f"case {case.name!r}, generator {label!r}: {error}") from None
        found[i] = h
    return found, shaft


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
