"""pandapower networks as a `Case` (extra `grids`)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError, MissingExtraError
from coherence.formats.matpower import bus_labels, case_of_tables
from coherence.grids.case import Case
from coherence.grids.pandapower import quiet
from coherence.grids.topology import finished, warn_of_units


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
    with quiet():
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
