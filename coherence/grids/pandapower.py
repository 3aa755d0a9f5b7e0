"""pandapower: it solves our power flows, and its networks become a `Case`. The only module that imports it (extra `grids`)."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError, MissingExtraError, ToleranceError
from coherence.grids.case import Case, branch_ends, bus_index
from coherence.grids.matpower import bus_labels, case_of_tables
from coherence.grids.topology import finished, warn_of_units
from coherence.types import Complex


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of tap_dependency_table, in pandapower's own code
        warnings.filterwarnings("ignore", category=FutureWarning)  # of pandas, in pandapower's own code
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of divisions on the way to no solution
        logger = logging.getLogger("pandapower")  # it remarks on transformers between equal voltages, and on a missing numba
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def solve(case: Case, limits: pd.DataFrame | None, *, dc: bool) -> Complex:
    """Bus voltages of an AC (Newton) or DC power flow; `limits` are the reactive limits to enforce."""
    with _quiet():
        try:
            import pandapower
            from pandapower.converter.pypower.from_ppc import from_ppc
        except ImportError:
            raise MissingExtraError(
                "a power flow needs pandapower; install it with pip install 'coherence[grids]', or "
                "give solved voltages in buses.csv (vm_pu, va_deg)"
            ) from None
        net = from_ppc(_ppc(case, limits))
        common = {"numba": False, "calculate_voltage_angles": True, "trafo_model": "pi"}
        for start in [None] if dc else _starts(case):
            try:
                if start is None:
                    pandapower.rundcpp(net, **common)
                else:
                    pandapower.runpp(net, **common, tolerance_mva=1e-8, enforce_q_lims=limits is not None, **start)
                break
            except (pandapower.LoadflowNotConverged, ArithmeticError, ValueError):
                continue
        else:
            raise ToleranceError(
                f"case {case.name!r}: the {'DC' if dc else 'AC'} power flow did not converge"
                + (" with reactive limits enforced; compare enforce_limits=False" if limits is not None else "")
                + "; check loads, limits and voltages"
            )
    solved = net.res_bus.sort_index()
    size = np.ones(len(solved)) if dc else solved.vm_pu
    return np.asarray(size * np.exp(1j * np.deg2rad(solved.va_degree)), dtype=complex)


def _starts(case: Case) -> list[dict[str, Any]]:
    """Where Newton's method begins: at stored voltages, else at the DC solution (which needs reactances), else flat."""
    buses, branches, _ = case.grid
    starts: list[dict[str, Any]] = []
    if {"vm_pu", "va_deg"} <= set(buses) and not buses[["vm_pu", "va_deg"]].isna().any().any():
        starts.append({"init_vm_pu": buses["vm_pu"].to_numpy(), "init_va_degree": buses["va_deg"].to_numpy()})
    if (branches["x_pu"] != 0).all():
        starts.append({"init": "dc"})
    return [*starts, {"init": "flat"}]


def _ppc(case: Case, limits: pd.DataFrame | None) -> dict[str, Any]:
    """The case in MATPOWER columns, buses numbered from 0, one generator per bus, every bus at 1 kV, charging as bus shunts.

    All equivalent in per unit, and modelled alike by every converter: with equal voltage levels a tap stays at its from end.
    """
    buses, branches, gens = case.grid
    row, n = bus_index(case), len(buses)
    f, t = branch_ends(case)
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
    gen[:, 3], gen[:, 4], gen[:, 8], gen[:, 6] = 1e9, -1e9, 1e9, case.base_mva
    if limits is not None:
        gen[:, 3], gen[:, 4] = limits.loc[table.index, "high"].clip(upper=1e9), limits.loc[table.index, "low"].clip(lower=-1e9)
    branch = np.zeros((len(branches), 13))
    branch[:, 0], branch[:, 1], branch[:, 10], branch[:, 11], branch[:, 12] = f, t, 1, -360, 360
    branch[:, 2:4] = branches[["r_pu", "x_pu"]]
    charging = 0.5 * branches["b_pu"].to_numpy() * case.base_mva
    np.add.at(bus[:, 5], f, charging / branches["tap"].to_numpy() ** 2)
    np.add.at(bus[:, 5], t, charging)
    branch[:, 5:8] = 1e4
    branch[:, 8], branch[:, 9] = branches["tap"], branches["shift_deg"]
    return {"version": "2", "baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": branch}


def case_of_pandapower(net: Any, *, name: str | None = None, f_hz: float | None = None, base_mva: float | None = None) -> Case:
    """A pandapower network as a Case, through pandapower's own converter to MATPOWER tables.

    Switches, transformers (T model), shunts, static generators, wards and storages become what pandapower's power flow makes of
    them; buses that closed switches join are one, under the lowest of their numbers. A solved network keeps its voltages.

    Parameters
    ----------
    net : pandapower network
    name : str, optional
        Default the network's own.
    f_hz : float, optional
        Nominal frequency [Hz] in place of `net.f_hz` (which pandapower sets to 50 where nobody said otherwise).
    base_mva : float, optional
        System base in place of `net.sn_mva` (which pandapower sets to 1).

    Returns
    -------
    Case
        Generators are labelled by the names of `ext_grid` and `gen` where those are unique. Machine bases are `gen.sn_mva`, else
        base_mva; inertia and damping come from `add_machines`.

    Raises
    ------
    CaseError
        A network that pandapower cannot convert, or with impedances that differ by direction.
    MissingExtraError
        pandapower is not installed.

    Examples
    --------
    >>> import pandapower.networks
    >>> from coherence import case_of_pandapower
    >>> case_of_pandapower(pandapower.networks.case9(), f_hz=60, name="case9")
    Case('case9': 9 buses, 9 branches, 3 generators, 60 Hz, 100 MVA)
    """
    if not all(hasattr(net, table) for table in ("bus", "gen", "ext_grid", "line")):
        raise InputError(f"the network is a {type(net).__name__}; give a pandapower network")
    try:
        import pandapower.toolbox
        from pandapower.converter.pypower.to_ppc import to_ppc
    except ImportError:
        raise MissingExtraError("a pandapower network needs pandapower; install it with pip install 'coherence[grids]'") from None
    where = f"pandapower network {name or net.name or ''}".strip()
    with _quiet():
        net = copy.deepcopy(net)
        solved = len(net.res_bus) == len(net.bus) and bool(net.res_bus.vm_pu.notna().any())
        notes = _prepared(net, where, solved)
        try:
            pandapower.toolbox.drop_inactive_elements(net)
            for cost in ("poly_cost", "pwl_cost"):
                net[cost] = net[cost].iloc[:0]
            ppc = to_ppc(net, init="results" if solved else "flat", trafo_model="t", calculate_voltage_angles=True)
        except Exception as error:  # the converter raises whatever it stumbles on
            raise CaseError(f"{where} is not converted by pandapower ({' '.join(str(error).split())})") from None
    bus, branch, gen = (np.real(ppc[table]).astype(float) for table in ("bus", "branch", "gen"))
    if any(key in ppc for key in ("branch_r_asym", "branch_x_asym")):
        raise CaseError(f"{where} has impedances that differ by direction; the theory needs a symmetric grid")
    base = float(ppc["baseMVA"])
    f, t = branch[:, 0].astype(int), branch[:, 1].astype(int)
    tap = np.where(branch[:, 8] == 0, 1.0, branch[:, 8])
    g, g_more, b_more = (
        np.asarray(ppc.get(key, np.zeros(len(branch))), dtype=float) for key in ("branch_g", "branch_g_asym", "branch_b_asym")
    )
    np.add.at(bus[:, 4], f, 0.5 * base * g / tap**2)  # what a branch model of r, x, b has no place for stands at its ends
    np.add.at(bus[:, 4], t, 0.5 * base * (g + g_more))
    np.add.at(bus[:, 5], t, 0.5 * base * b_more)
    new = base if base_mva is None else base_mva
    if not (np.isfinite(new) and new > 0):
        raise InputError(f"base_mva = {base_mva!r}; give a number of MVA > 0")
    branch[:, 2:4] *= new / base
    branch[:, 4] *= base / new
    lookup = np.asarray(net._pd2ppc_lookups["bus"])
    numbers = np.full(len(bus), -1.0)
    for number in sorted(net.bus.index, reverse=True):
        numbers[lookup[number]] = number
    extra = numbers < 0  # ends of lines with an open switch, star points of three-winding transformers
    numbers[extra] = net.bus.index.max() + 1 + np.arange(int(extra.sum()))
    machines = pd.concat([net.ext_grid, net.gen], ignore_index=True)
    known = len(machines) <= len(gen) and bool((lookup[machines["bus"]] == gen[: len(machines), 0]).all())
    names = [str(x) if isinstance(x, str) and x else "" for x in machines["name"]] if known else []
    names += [""] * (len(gen) - len(names))
    plain = bus_labels(pd.Series(numbers[gen[:, 0].astype(int)]))
    unique = [own if own and names.count(own) == 1 else other for own, other in zip(names, plain, strict=True)]
    gen[:, 6] = new
    if known and "sn_mva" in machines:
        gen[: len(machines), 6] = machines["sn_mva"].fillna(new).where(lambda s: s > 0, new)
    static = np.arange(len(gen)) >= len(machines) if known else np.zeros(len(gen), dtype=bool)
    if solved and known:
        _take_solution(net, lookup, bus, gen, machines)
    frequency = float(net.f_hz if f_hz is None else f_hz)
    if not (np.isfinite(frequency) and frequency > 0):
        raise InputError(f"f_hz = {frequency!r}; give the nominal frequency in Hz, > 0")
    tables = {"baseMVA": new, "bus": bus, "gen": gen, "branch": branch}
    title = name or str(net.name or "pandapower")
    case = case_of_tables(tables, where, title, f_hz=frequency, labels=unique, numbers=numbers, static=static)
    if static.any():
        notes.append(f"{int(static.sum())} sources of extended wards are static")
    case = replace(case, notes=(*case.notes, *notes))
    if f_hz is None and net.f_hz == 50:
        case = replace(case, notes=(*case.notes, "50 Hz is what the network says; it is also pandapower's default"))
    if not solved:
        case = replace(case, buses=case.grid[0].drop(columns=["vm_pu", "va_deg"]))
    return warn_of_units(finished(case))


def _prepared(net: Any, where: str, solved: bool) -> list[str]:
    """Refuse what the converter would drop in silence; loads that depend on voltage are taken at their power. Notes."""
    for table, words in _DROPPED.items():
        if table in net and len(net[table]) and bool(net[table].get("in_service", pd.Series(True, index=net[table].index)).any()):
            raise CaseError(f"{where} has {words} ({table}), which its converter drops; give their power as loads or generators")
    shares = [column for column in net.load if column.startswith("const_")]
    if shares and bool((net.load.loc[net.load.in_service, shares] != 0).any(axis=None)):
        if solved and len(net.res_load) == len(net.load):
            net.load["p_mw"], net.load["q_mvar"], net.load["scaling"] = net.res_load["p_mw"], net.res_load["q_mvar"], 1.0
        net.load[shares] = 0.0
        return [
            f"loads that depend on voltage are taken at their {'solved' if solved else 'nominal'} power; how they depend on it "
            "is the convention's (loads=...)"
        ]
    return []


_DROPPED = {
    "dcline": "dc lines",
    "svc": "static var compensators",
    "tcsc": "controlled series capacitors",
    "ssc": "static synchronous compensators",
    "vsc": "voltage source converters",
    "bus_dc": "dc buses",
}


def _take_solution(net: Any, lookup: Any, bus: Any, gen: Any, machines: pd.DataFrame) -> None:
    """Dispatch and voltages as solved: slack power may be shared, and a generator at a reactive limit leaves its set-point."""
    power = np.concatenate([net.res_ext_grid["p_mw"].to_numpy(), net.res_gen["p_mw"].to_numpy()])
    if len(power) == len(machines) and np.isfinite(power).all():
        gen[: len(machines), 1] = power
    at = gen[:, 0].astype(int)
    size = np.full(len(bus), np.nan)
    angle = np.full(len(bus), np.nan)
    here = lookup[net.res_bus.index]
    size[here], angle[here] = net.res_bus["vm_pu"], net.res_bus["va_degree"]
    known = np.isfinite(size)
    bus[known, 7], bus[known, 8] = size[known], angle[known]
    gen[known[at], 5] = size[at][known[at]]
