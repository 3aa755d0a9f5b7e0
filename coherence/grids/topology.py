"""What hangs together: buses joined without impedance become one, and islands are named and taken out one by one."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from coherence.errors import CaseError, InputError, UnitsWarning, UnknownNameError
from coherence.graphs.laplacian import components
from coherence.grids.case import Case, branch_ends, bus_index, require_case
from coherence.grids.units import doubtful_units
from coherence.types import Int

PRINTED = 1e-4  # pu: what the digits of files leave between voltages of buses that are one
UNITS = "units: "  # how notes on doubtful units begin


def merge_ties(case: Case) -> Case:
    """The case with buses that zero-impedance branches join (r = x = 0: bus couplers) merged into the first of them.

    Loads and shunts add up; what was merged stands in the notes, and a generator's number before it in `own_bus`.

    Raises
    ------
    CaseError
        A tie with a tap or a phase shift, or ties that join generators of different set-points.
    """
    buses, branches, generators = case.grid
    tie = ((branches["r_pu"] == 0) & (branches["x_pu"] == 0)).to_numpy()
    if not tie.any():
        return case
    f, t = branch_ends(case)
    moving = ((branches["tap"] != 1) | (branches["shift_deg"] != 0)).to_numpy()
    if (tie & moving).any():
        ends = _ends(case, int(np.argmax(tie & moving)))
        raise CaseError(
            f"case {case.name!r}: the branch {ends} has no impedance but a tap or phase shift, so its buses cannot be merged; "
            "give it x_pu"
        )
    index = _components(case, tie)
    first = np.unique(index, return_index=True)[1]  # row of the bus that a component becomes
    row = np.argsort(np.argsort(first))[index]  # of the merged table, for each bus
    number = buses["bus"].to_numpy()
    target = number[first[index]]
    merged = buses.iloc[np.sort(first)].reset_index(drop=True)
    for column in ("p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"):
        merged[column] = np.bincount(row, buses[column], minlength=len(first))
    place = bus_index(case)
    at = np.array([place[bus] for bus in generators["bus"]], dtype=int)
    moved = generators.assign(bus=target[at])
    if "own_bus" not in moved and (target[at] != number[at]).any():
        moved["own_bus"] = generators["bus"]  # under which tables of machines know it
    first_held = moved.groupby("bus")["v_pu"].transform("first")
    close = (moved["v_pu"] - first_held).abs() <= PRINTED
    moved["v_pu"] = first_held.where(close, moved["v_pu"])
    odd = (moved["v_pu"] != moved.groupby("bus")["v_pu"].transform("first")).to_numpy()
    if odd.any():
        label = moved["label"].iloc[int(np.argmax(odd))]
        raise CaseError(
            f"case {case.name!r}: generator {label!r} holds another voltage than a generator that a branch without impedance joins "
            "it to; give them one v_pu"
        )
    inner = ~tie & (row[f] == row[t])
    if (inner & moving).any():
        ends = _ends(case, int(np.argmax(inner & moving)))
        raise CaseError(f"case {case.name!r}: the transformer {ends} is parallel to a branch without impedance; remove one of them")
    lost = tie | inner
    charging = branches["b_pu"].to_numpy()[lost] * case.base_mva
    merged["b_shunt_mvar"] += np.bincount(row[f[lost]], charging, minlength=len(first))
    gone = np.flatnonzero(target != number)
    joined = [f"{number[i]:.15g} into {target[i]:.15g}" for i in gone[:4]]
    note = f"{int(tie.sum())} branches without impedance: bus {', '.join(joined)}"
    note += (f" and {len(gone) - 4} more" if len(gone) > 4 else "") + " merged"
    if inner.any():
        note += f"; {int(inner.sum())} branches in parallel to them left out, but for their charging"
    return replace(
        case,
        buses=merged,
        branches=branches.assign(from_bus=target[f], to_bus=target[t])[~lost].reset_index(drop=True),
        generators=moved,
        notes=(*case.notes, note),
    )


def _ends(case: Case, row: int) -> str:
    branch = case.grid[1].iloc[row]
    return f"from bus {branch['from_bus']:.15g} to {branch['to_bus']:.15g}"


def finished(case: Case) -> Case:
    """What every reader does last: buses without impedance between them merged, doubtful units noted."""
    return with_unit_notes(merge_ties(case))


def with_unit_notes(case: Case) -> Case:
    """The case with a note for each column whose figures look doubled or on another base."""
    others = [note for note in case.notes if not note.startswith(UNITS)]
    return replace(case, notes=(*others, *(UNITS + doubt for doubt in doubtful_units(case.grid[2]))))


def warn_of_units(case: Case) -> Case:
    """Say the notes on units as warnings too; the case as it is."""
    for note in case.notes:
        if note.startswith(UNITS):
            warnings.warn(f"case {case.name!r}: {note}", UnitsWarning, stacklevel=3)
    return case


def islands(case: Case) -> pd.DataFrame:
    """The connected parts of a grid, the largest first.

    Parameters
    ----------
    case : Case

    Returns
    -------
    DataFrame
        island -> buses, generators, load_mw, and `bus`: one of its buses, to select it with `island`.

    Examples
    --------
    >>> from coherence import islands, load_case
    >>> islands(load_case("iceland"))["buses"].tolist()
    [189]
    """
    require_case(case)
    buses, _, generators = case.grid
    index = _components(case)
    at = dict(zip(buses["bus"], index, strict=True))
    count = int(index.max()) + 1
    table = pd.DataFrame(
        {
            "buses": np.bincount(index, minlength=count),
            "generators": np.bincount(generators["bus"].map(at), minlength=count),
            "load_mw": np.bincount(index, weights=buses["p_load_mw"], minlength=count),
            "bus": buses["bus"].to_numpy()[np.unique(index, return_index=True)[1]],
        }
    )
    table = table.sort_values("buses", ascending=False, kind="stable").reset_index(drop=True)
    return table.rename_axis("island")


def island(case: Case, bus: float) -> Case:
    """The connected part of a grid that holds a bus. If it lacks the slack generator, its largest generator becomes it.

    Parameters
    ----------
    case : Case
    bus : number of one of its buses

    Returns
    -------
    Case

    Raises
    ------
    UnknownNameError
        No such bus.
    InputError
        The part has no generator.

    Examples
    --------
    >>> from coherence import island, load_case
    >>> island(load_case("iceland"), 0)
    Case('iceland': 189 buses, 206 branches, 35 generators, 50 Hz, 100 MVA)
    """
    require_case(case)
    buses, branches, generators = case.grid
    row = bus_index(case)
    if bus not in row:
        raise UnknownNameError(f"case {case.name!r} has no bus {bus!r}; give a number from its table of buses")
    index = _components(case)
    mine = buses["bus"][index == index[row[bus]]]
    if len(mine) == len(buses):
        return case
    machines = generators[generators["bus"].isin(mine)].reset_index(drop=True)
    if machines.empty:
        raise InputError(f"the island of bus {bus:.15g} has no generator; choose another with islands(case)")
    note = f"the island of bus {bus:.15g}: {len(mine)} of {len(buses)} buses"
    if not (machines["kind"] == "slack").any():
        real = (
            machines["H_s"].notna()
            if "H_s" in machines and machines["H_s"].notna().any()
            else pd.Series(True, index=machines.index)
        )
        largest = int(machines["mbase_mva"].where(real, 0.0).to_numpy().argmax())  # a machine, where there is one
        machines.loc[largest, "kind"] = "slack"
        note += f"; {machines['label'].iloc[largest]} is its slack generator"
    return replace(
        case,
        buses=buses[buses["bus"].isin(mine)].reset_index(drop=True),
        branches=branches[branches["from_bus"].isin(mine)].reset_index(drop=True),
        generators=machines,
        notes=(*case.notes, note),
    )


def _components(case: Case, chosen: NDArray[np.bool_] | None = None) -> Int:
    """Component of each bus, by all branches or those chosen."""
    f, t = branch_ends(case)
    if chosen is not None:
        f, t = f[chosen], t[chosen]
    n = len(case.grid[0])
    return components(sp.coo_array((np.ones(len(f)), (f, t)), shape=(n, n)))
