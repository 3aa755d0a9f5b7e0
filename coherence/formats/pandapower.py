"""pandapower networks as a `Case` (extra `grids`)."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError, MissingExtraError
from coherence.formats.matpower import bus_labels, case_of_tables
from coherence.formats.pandapower_devices import replace_devices
from coherence.grids.case import Case
from coherence.grids.pandapower import quiet
from coherence.grids.topology import finished, warn_of_units


def case_of_pandapower(net: Any, *, name: str | None = None, f_hz: float | None = None, base_mva: float | None = None) -> Case:
    """A pandapower network as a Case, through pandapower's own converter to MATPOWER tables.

    Switches, transformers (T model), shunts, static generators, wards and storages become what pandapower's power flow makes of
    them; buses that closed switches join are one, under the lowest of their numbers. A solved network keeps its voltages. Dc
    lines are pairs of static sources; var compensators and converters are loads at their solved power; controllers are not run.

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
        A network that pandapower cannot convert, with impedances that differ by direction, or with converters and unsolved.
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
    require_pandapower()
    where = f"pandapower network {name or net.name or ''}".strip()
    with quiet():
        return converted_case(copy.deepcopy(net), where, name or str(net.name or "pandapower"), f_hz=f_hz, base_mva=base_mva)


def require_pandapower() -> None:
    """Refuse to go on without pandapower."""
    try:
        import pandapower.toolbox  # noqa: F401
    except ImportError:
        raise MissingExtraError("a pandapower network needs pandapower; install it with pip install 'coherence[grids]'") from None


@cache
def empty_network() -> Any:
    """Pandapower's empty network, whose tables say the columns and their types; copy it before use."""
    require_pandapower()
    import pandapower

    with quiet():
        return pandapower.create_empty_network()


def in_todays_format(net: Any, where: str) -> Any:
    """A network of an earlier version of pandapower in the format of the one installed, by pandapower's own conversion."""
    from pandapower.convert_format import convert_format

    try:
        with quiet():
            return convert_format(net)
    except Exception as error:  # the conversion raises whatever it stumbles on
        raise CaseError(f"{where} is of another version, and pandapower does not convert it ({_words(error)})") from None


def _cut_off(before: dict[str, pd.DataFrame], net: Any) -> list[str]:
    """Notes on what stands in service but reaches no source, which pandapower drops."""
    lost = before["bus"].index[before["bus"]["in_service"].astype(bool)].difference(net.bus.index)
    with_them = []
    for table, word in (("gen", "generators"), ("load", "loads")):
        gone = before[table].index.difference(net[table].index)
        count = int((before[table].loc[gone, "in_service"].astype(bool) & before[table].loc[gone, "bus"].isin(lost)).sum())
        with_them += [f"{count} {word}"] if count else []
    if not len(lost):
        return []
    shown = ", ".join(map(str, lost[:4])) + (f" and {len(lost) - 4} more" if len(lost) > 4 else "")
    return [
        f"{len(lost)} buses reach no external grid and are left out"
        f"{', with ' + ' and '.join(with_them) if with_them else ''}: {shown}"
    ]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def converted_case(net: Any, where: str, title: str, *, f_hz: float | None, base_mva: float | None) -> Case:
    """The case of a network that is changed on the way; `where` begins the sentences of refusals."""
    import pandapower.toolbox

    solved = _is_solved(net)
    if solved:
        net.res_bus = net.res_bus.loc[net.bus.index]  # the converter wants them in order
    notes, links = replace_devices(net, where, solved)
    notes += _prepared(net, solved)
    before = {table: net[table].copy() for table in ("bus", "gen", "ext_grid", "load")}
    try:
        pandapower.toolbox.drop_inactive_elements(net)
        notes += _cut_off(before, net)
        for cost in ("poly_cost", "pwl_cost"):
            net[cost] = net[cost].iloc[:0]
        ppc = _converted(net, solved)
    except Exception as error:  # the converter raises whatever it stumbles on
        raise CaseError(f"{where} is not converted by pandapower ({_words(error)})") from None
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
    branch[:, 5:8] = 0.0  # ratings, which nothing here uses and an impedance need not have
    new = base if base_mva is None else base_mva
    if not (np.isfinite(new) and new > 0):
        raise InputError(f"base_mva = {base_mva!r}; give a number of MVA > 0")
    branch[:, 2:4] *= new / base
    branch[:, 4] *= base / new
    lookup = np.asarray(net._pd2ppc_lookups["bus"])
    places = lookup[net.bus.index]
    if ((places < 0) | (places >= len(bus))).any():
        lost = net.bus.index[np.argmax((places < 0) | (places >= len(bus)))]
        raise CaseError(
            f"{where}: pandapower finds no way from bus {lost} to a source; correct what joins it, or take it out of service"
        )
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
        rated = machines["sn_mva"].where(machines["sn_mva"] > 0)
        gen[: len(machines), 6] = rated.fillna(new)
        unstated = int(rated.iloc[len(net.ext_grid) :].isna().sum())
        if unstated:
            notes.append(f"{unstated} generators state no machine base (sn_mva): the system base, {new:g} MVA, stands in its place")
    static = np.arange(len(gen)) >= len(machines) if known else np.zeros(len(gen), dtype=bool)
    wards = int(static.sum())
    if known:
        static[len(net.ext_grid) : len(machines)] = net.gen.index.isin(links)
    elif links:
        raise CaseError(f"{where} has dc lines and generators that pandapower reorders; give the dc lines as loads")
    if solved and known:
        _take_solution(net, lookup, bus, gen, links)
    frequency = float(net.f_hz if f_hz is None else f_hz)
    if not (np.isfinite(frequency) and frequency > 0):
        raise InputError(f"f_hz = {frequency!r}; give the nominal frequency in Hz, > 0")
    tables = {"baseMVA": new, "bus": bus, "gen": gen, "branch": branch}
    case = case_of_tables(tables, where, title, f_hz=frequency, labels=unique, numbers=numbers, static=static)
    if wards:
        notes.append(f"{wards} sources of extended wards are static")
    case = replace(case, notes=(*case.notes, *notes))
    if f_hz is None and net.f_hz == 50:
        case = replace(case, notes=(*case.notes, "50 Hz is what the network says; it is also pandapower's default"))
    if not solved:
        case = replace(case, buses=case.grid[0].drop(columns=["vm_pu", "va_deg"]))
    return warn_of_units(finished(case))


def _converted(net: Any, solved: bool) -> dict[str, Any]:
    """MATPOWER tables, with the solved voltages where results of the buses that the converter adds are there too."""
    from pandapower.converter.pypower.to_ppc import to_ppc

    if solved:
        try:
            return dict(to_ppc(net, init="results", trafo_model="t", calculate_voltage_angles=True))
        except (KeyError, ValueError, IndexError, UserWarning):  # star points and open ends without results start flat
            pass
    return dict(to_ppc(net, init="flat", trafo_model="t", calculate_voltage_angles=True))


def _is_solved(net: Any) -> bool:
    """Whether the results hold a voltage of every bus in service."""
    found = net.res_bus
    if not {"vm_pu", "va_degree"} <= set(found) or not found.index.is_unique or not net.bus.index.isin(found.index).all():
        return False
    on = net.bus.index[net.bus.in_service.astype(bool)]
    here = found.loc[on, ["vm_pu", "va_degree"]]
    known = np.isfinite(here.to_numpy(dtype=float)).all(axis=1) & (here["vm_pu"].to_numpy(dtype=float) > 0)
    return bool(known.any())


def _prepared(net: Any, solved: bool) -> list[str]:
    """Loads that depend on voltage are taken at their power; controllers are not run. Notes."""
    notes = []
    shares = [column for column in net.load if column.startswith("const_")]
    if shares and bool((net.load.loc[net.load.in_service, shares].fillna(0.0) != 0).any(axis=None)):
        if solved and len(net.res_load) == len(net.load):
            net.load["p_mw"], net.load["q_mvar"], net.load["scaling"] = net.res_load["p_mw"], net.res_load["q_mvar"], 1.0
        notes.append(
            f"loads that depend on voltage are taken at their {'solved' if solved else 'nominal'} power; how they depend on it "
            "is the convention's (loads=...)"
        )
    for column in shares:
        net.load[column] = 0.0
    if "controller" in net and len(net.controller):
        on = (
            net.controller["in_service"].astype(bool)
            if "in_service" in net.controller
            else np.ones(len(net.controller), dtype=bool)
        )
        if on.any():
            notes.append(f"{int(on.sum())} controllers are not run: taps and set-points stand as they are")
    return notes


def _take_solution(net: Any, lookup: Any, bus: Any, gen: Any, links: set[int]) -> None:
    """Dispatch and voltages as solved: slack power may be shared, and a generator at a reactive limit leaves its set-point."""
    planned = net.gen["p_mw"].where(net.gen.index.isin(links))
    made = [
        frame["p_mw"].reindex(rows).astype(float)
        for frame, rows in ((net.res_ext_grid, net.ext_grid.index), (net.res_gen, net.gen.index))
    ]
    power = np.concatenate([made[0].to_numpy(), made[1].fillna(planned).to_numpy()])
    if np.isfinite(power).all():
        gen[: len(power), 1] = power
    at = gen[:, 0].astype(int)
    size = np.full(len(bus), np.nan)
    angle = np.full(len(bus), np.nan)
    found = net.res_bus[net.res_bus.index.isin(net.bus.index)]
    here = lookup[found.index]
    size[here], angle[here] = found["vm_pu"], found["va_degree"]
    known = np.isfinite(size) & np.isfinite(angle) & (size > 0)
    bus[known, 7], bus[known, 8] = size[known], angle[known]
    gen[known[at], 5] = size[at][known[at]]
