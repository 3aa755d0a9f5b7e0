r"""The operating point of a case: stored voltages if they satisfy the power balance, otherwise an AC power flow.

    S_i = V_i conj(sum_j Y_ij V_j),   MATPOWER branch model (tap and shift at the from end).

The mismatch is judged at every bus except for what generators supply freely (Q at pv, P and Q at the slack bus), and |V| at
generators against their set-points.
Solving is pandapower's job (extra `grids`).
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import CaseError, InputError, MissingExtraError, ToleranceError
from coherence.graphs.laplacian import require_connected
from coherence.grids.case import Case, require_case
from coherence.types import Complex, Int

TOLERANCE_MVA = 1e-6  # of stored voltages: six digits below any figure a planner reads
TOLERANCE_PU = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class OperatingPoint(Page):
    """Bus voltages with what they imply.

    Attributes
    ----------
    voltage : (buses,) complex
        pu, in the order of `case.buses`.
    slack_mw, losses_mw : float
        Output of the slack generator (others at its bus make what the case says); total branch losses.
    mismatch_mva : float
        Largest unsatisfied power balance.
    mismatch_pu : float
        Largest deviation of |V| from a generator's set-point.
    source : str
        "stored" or "pandapower".

    Examples
    --------
    >>> from coherence import load_case, power_flow
    >>> power_flow(load_case("iceland")).solves
    True
    """

    voltage: Complex
    slack_mw: float
    losses_mw: float
    mismatch_mva: float
    mismatch_pu: float
    source: str

    @property
    def solves(self) -> bool:
        """Whether power balances within 1e-6 MVA and voltages meet their set-points within 1e-6 pu."""
        return self.mismatch_mva <= TOLERANCE_MVA and self.mismatch_pu <= TOLERANCE_PU

    def __repr__(self) -> str:
        return (
            f"OperatingPoint({self.source}: slack {self.slack_mw:.3f} MW, losses {self.losses_mw:.3f} MW, "
            f"mismatch {self.mismatch_mva:.1e} MVA)"
        )


def power_flow(case: Case, *, method: str = "auto") -> OperatingPoint:
    """The operating point of a case with buses.

    Parameters
    ----------
    case : Case
    method : "auto", "stored" or "ac"
        "stored": the voltages of the file, refused when the balance is off by more than 1e-6 MVA. "ac": Newton's method of
        pandapower, reactive limits not enforced. "auto": stored voltages where the file has them and they balance, else "ac".

    Returns
    -------
    OperatingPoint

    Raises
    ------
    ToleranceError
        Stored voltages that do not solve the case, or a power flow that does not converge.
    MissingExtraError
        "ac" without pandapower.

    Examples
    --------
    >>> from coherence import load_case, power_flow
    >>> power_flow(load_case("iceland"))
    OperatingPoint(stored: slack 234.137 MW, losses 44.927 MW, mismatch 3.7e-10 MVA)
    """
    require_case(case)
    buses, _, _ = case.grid
    if method not in ("auto", "stored", "ac"):
        raise InputError(f"method = {method!r}; give 'auto', 'stored' or 'ac'")
    stored = {"vm_pu", "va_deg"} <= set(buses.columns) and not buses[["vm_pu", "va_deg"]].isna().any().any()
    if method == "stored" and not stored:
        raise CaseError(f"case {case.name!r} stores no voltages (buses.csv: vm_pu, va_deg); use method='ac'")
    if stored and method != "ac":
        angle = np.deg2rad(buses["va_deg"].to_numpy())
        point = _judge(case, buses["vm_pu"].to_numpy() * np.exp(1j * angle), "stored")
        if point.solves:
            return point
        if method == "stored":
            raise ToleranceError(f"case {case.name!r}: the stored voltages {_miss(point)}; use method='ac' or correct the file")
    graph, _ = admittance(case)
    require_connected(abs(graph), [f"bus {bus:.15g}" for bus in buses["bus"]], "an AC power flow")
    point = _judge(case, _pandapower(case), "pandapower")
    if not point.solves:
        raise ToleranceError(f"case {case.name!r}: the voltages that pandapower returned {_miss(point)}")
    return point


def _miss(point: OperatingPoint) -> str:
    return (
        f"leave {point.mismatch_mva:.3g} MVA unbalanced and miss set-points by {point.mismatch_pu:.3g} pu "
        f"(tolerances {TOLERANCE_MVA:g} MVA, {TOLERANCE_PU:g} pu)"
    )


def bus_index(case: Case) -> dict[float, int]:
    """Row of each bus number."""
    return {bus: row for row, bus in enumerate(case.grid[0]["bus"])}


def branch_ends(case: Case) -> tuple[Int, Int]:
    """Rows of the from and to buses of each branch."""
    row, branches = bus_index(case), case.grid[1]
    return (np.array([row[b] for b in branches["from_bus"]]), np.array([row[b] for b in branches["to_bus"]]))


def admittance(case: Case) -> tuple[sp.csr_array, Complex]:
    """Y_bus [pu] without shunts, and the shunt admittances [pu]."""
    buses, br, _ = case.grid
    n = len(buses)
    f, t = branch_ends(case)
    series = 1.0 / (br["r_pu"].to_numpy() + 1j * br["x_pu"].to_numpy())
    ratio = br["tap"].to_numpy() * np.exp(1j * np.deg2rad(br["shift_deg"].to_numpy()))
    y_tt = series + 0.5j * br["b_pu"].to_numpy()
    values = np.concatenate([y_tt / np.abs(ratio) ** 2, y_tt, -series / ratio.conj(), -series / ratio])
    y = sp.csr_array((values, (np.concatenate([f, t, f, t]), np.concatenate([f, t, t, f]))), shape=(n, n))
    shunt = (buses["g_shunt_mw"].to_numpy() + 1j * buses["b_shunt_mvar"].to_numpy()) / case.base_mva
    return y, shunt


def _judge(case: Case, v: Complex, source: str) -> OperatingPoint:
    buses, _, generators = case.grid
    y, shunt = admittance(case)
    row = bus_index(case)
    into_grid = v * (y @ v).conj() * case.base_mva
    load = buses["p_load_mw"].to_numpy() + 1j * buses["q_load_mvar"].to_numpy()
    needed = into_grid + load + np.abs(v) ** 2 * shunt.conj() * case.base_mva  # what generators must supply
    gens = np.array([row[b] for b in generators["bus"]])
    is_slack = (generators["kind"] == "slack").to_numpy()
    slack, planned = int(gens[is_slack][0]), generators["p_mw"].to_numpy()
    supplied = np.zeros(len(v))
    np.add.at(supplied, gens, planned)
    gap = needed - supplied
    gap[gens] = gap[gens].real
    gap[slack] = 0.0
    others = planned[(gens == slack) & ~is_slack].sum()
    off = np.abs(np.abs(v[gens]) - generators["v_pu"].to_numpy()).max()
    return OperatingPoint(
        v, float(needed[slack].real - others), float(into_grid.real.sum()), float(np.abs(gap).max()), float(off), source
    )


def _pandapower(case: Case) -> Complex:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of tap_dependency_table, in pandapower's own code
        warnings.filterwarnings("ignore", category=FutureWarning)  # of pandas, in pandapower's own code
        try:
            import pandapower
            from pandapower.converter.pypower.from_ppc import from_ppc
        except ImportError:
            raise MissingExtraError(
                "an AC power flow needs pandapower; install it with pip install 'coherence[grids]', or "
                "give solved voltages in buses.csv (vm_pu, va_deg)"
            ) from None
        logging.getLogger("pandapower.converter").setLevel(logging.ERROR)  # it remarks on transformers between equal voltages
        net = from_ppc(_ppc(case))
        try:
            pandapower.runpp(net, numba=False, calculate_voltage_angles=True, tolerance_mva=1e-8, init="dc", trafo_model="pi")
        except pandapower.LoadflowNotConverged:
            raise ToleranceError(
                f"case {case.name!r}: the AC power flow did not converge; check loads, limits and voltages"
            ) from None
    solved = net.res_bus.sort_index()
    return np.asarray(solved.vm_pu * np.exp(1j * np.deg2rad(solved.va_degree)), dtype=complex)


def _ppc(case: Case) -> dict[str, Any]:
    """The case in MATPOWER columns, buses numbered from 0, one generator per bus, every bus at 1 kV, charging as bus shunts.

    All equivalent in per unit, and modelled alike by every converter: with equal voltage levels a tap stays at its from end.
    """
    buses, branches, gens = case.grid
    row, n = bus_index(case), len(buses)
    bus = np.zeros((n, 13))
    bus[:, 0], bus[:, 1], bus[:, 6], bus[:, 10] = np.arange(n), 1, 1, 1
    bus[:, 2:6] = buses[["p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"]]
    bus[:, 7], bus[:, 9], bus[:, 11], bus[:, 12] = 1.0, 1.0, 2.0, 0.0
    slack = gens["bus"][gens["kind"] == "slack"].iloc[0]
    table = gens.groupby("bus", sort=False).agg(p_mw=("p_mw", "sum"), v_pu=("v_pu", "first"))
    at = np.array([row[b] for b in table.index])
    bus[at, 1] = np.where(table.index == slack, 3, 2)
    gen = np.zeros((len(table), 21))
    gen[:, 0], gen[:, 1], gen[:, 5], gen[:, 7] = at, table["p_mw"], table["v_pu"], 1
    gen[:, 3], gen[:, 4], gen[:, 8], gen[:, 6] = 9999, -9999, 9999, case.base_mva
    f, t = branch_ends(case)
    branch = np.zeros((len(branches), 13))
    branch[:, 0], branch[:, 1], branch[:, 10], branch[:, 11], branch[:, 12] = f, t, 1, -360, 360
    branch[:, 2:4] = branches[["r_pu", "x_pu"]]
    charging = 0.5 * branches["b_pu"].to_numpy() * case.base_mva
    np.add.at(bus[:, 5], f, charging / branches["tap"].to_numpy() ** 2)
    np.add.at(bus[:, 5], t, charging)
    branch[:, 5:8] = 1e4
    branch[:, 8], branch[:, 9] = branches["tap"], branches["shift_deg"]
    return {"version": "2", "baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": branch}
