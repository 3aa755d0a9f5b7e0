"""A case as a PSS/E RAW file (version 33), which `read_case` and the DYR file of `write_dyr` fit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import InputError
from coherence.formats.dyr import identifiers
from coherence.formats.text import write_text
from coherence.grids.case import Case, require_grid

NAME = 12  # characters of a bus name
LARGEST = 999_997  # bus number
TIE = 1e-4  # pu: the reactance that PSS/E takes for none
SECTIONS = (
    *("BUS", "LOAD", "FIXED SHUNT", "GENERATOR", "BRANCH", "TRANSFORMER", "AREA", "TWO-TERMINAL DC", "VSC DC LINE"),
    *("IMPEDANCE CORRECTION", "MULTI-TERMINAL DC", "MULTI-SECTION LINE", "ZONE", "INTER-AREA TRANSFER", "OWNER", "FACTS DEVICE"),
    *("SWITCHED SHUNT", "GNE", "INDUCTION MACHINE"),
)


def write_raw(case: Case, path: str | Path) -> list[str]:
    """Write a case as a PSS/E RAW file of version 33.

    Parameters
    ----------
    case : Case
        Buses keep their numbers, generators their buses before ties were merged. Names are cut to 12 characters; a generator's bus
        without a name is called like the generator.
    path : str or Path
        Replaced only when complete.

    Returns
    -------
    list of str
        What the format has no place for.

    Raises
    ------
    InputError
        A case without grid, or bus numbers that are not whole numbers from 1 to 999997.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from coherence import load_case, read_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "areas.raw"
    ...     notes = write_raw(load_case("two_area"), path)
    ...     read_case(path)
    Case('areas': 13 buses, 14 branches, 5 generators, 60 Hz, 100 MVA)
    """
    require_grid(case)
    buses, branches, generators = case.grid
    own = case.generator_buses
    number = psse_numbers(case)
    kinds = dict.fromkeys(buses["bus"], 1) | dict.fromkeys(generators["bus"], 2)
    kinds[generators.loc[generators["kind"] == "slack", "bus"].iloc[0]] = 3
    bus, ties = _buses(case, kinds, own, number)
    short = (branches["r_pu"] == 0) & (branches["x_pu"] != 0) & (branches["x_pu"].abs() <= TIE)
    plain = (branches["tap"] == 1) & (branches["shift_deg"] == 0) & ~short  # a short line would be read as a tie
    half = 0.5 * branches["b_pu"] * case.base_mva  # a transformer's record has no charging: it stands at the ends
    moved = pd.concat([pd.Series((half / branches["tap"] ** 2)[~plain].to_numpy(), branches.loc[~plain, "from_bus"]),
                       pd.Series(half[~plain].to_numpy(), branches.loc[~plain, "to_bus"])])  # fmt: skip
    charging = buses["bus"].map(moved.groupby(level=0).sum()).fillna(0.0)
    sections = {
        "BUS": bus,
        "LOAD": _rows(buses, ["p_load_mw", "q_load_mvar"], "{},'1 ',1,1,1,{},{},0,0,0,0,1", number),
        "FIXED SHUNT": _rows(
            buses.assign(b_shunt_mvar=buses["b_shunt_mvar"] + charging), ["g_shunt_mw", "b_shunt_mvar"], "{},'1 ',1,{},{}", number
        ),
        "GENERATOR": _generators(case, own, number),
        "BRANCH": [*_lines(branches[plain], number), *ties],
        "TRANSFORMER": _transformers(branches[~plain], number),
    }
    head = f"0, {_n(case.base_mva)}, 33, 0, 1, {_n(case.f_hz or 0.0)} / {_plain(case.name)}"
    lines = [head, _plain(case.title)[:60], ""]
    for name, after in zip(SECTIONS, [*SECTIONS[1:], ""], strict=True):
        lines += [*sections.get(name, []), f"0 / END OF {name} DATA" + (f", BEGIN {after} DATA" if after else "")]
    write_text(Path(path), "\n".join([*lines, "Q"]) + "\n")
    return _notes(case, number)


def psse_numbers(case: Case) -> dict[float, str]:
    """Bus numbers of a case as PSS/E writes them: bus 0, which means none there, comes after the last.

    Raises
    ------
    InputError
        Numbers that are not whole numbers from 1 to 999997.
    """
    found = pd.concat([case.grid[0]["bus"], case.generator_buses]).unique()
    last = max(found) + 1
    given = {bus: bus or last for bus in found}
    if any(bus != round(bus) or not 1 <= bus <= LARGEST for bus in given.values()):
        raise InputError(f"case {case.name!r} has bus numbers that are not whole numbers from 1 to {LARGEST}, which PSS/E needs")
    return {bus: f"{new:.0f}" for bus, new in given.items()}


def psse_identifiers(case: Case) -> list[str]:
    """Identifiers of the generators as PSS/E holds them: their own of one or two letters or digits, else the next free number."""
    taken: dict[float, set[str]] = {}
    own = list(zip(case.generator_buses, identifiers(case), strict=True))
    fits = [re.fullmatch(r"[A-Za-z0-9]{1,2}", key) is not None for _, key in own]
    for (bus, key), fit in zip(own, fits, strict=True):
        if fit:
            taken.setdefault(bus, set()).add(key)
    found = []
    for (bus, key), fit in zip(own, fits, strict=True):
        used = taken.setdefault(bus, set())
        if not fit:
            key = next(str(k) for k in range(1, 100) if str(k) not in used)
            used.add(key)
        found.append(key)
    return found


def _n(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else repr(float(value))


def _plain(text: str) -> str:
    """Text without what ends a field or a line."""
    return re.sub(r"[\s'\",/]+", " ", str(text)).strip()


def _buses(case: Case, kinds: dict[float, int], own: pd.Series, number: dict[float, str]) -> tuple[list[str], list[str]]:
    """Records of buses, and ties to the terminals that were merged away."""
    buses = case.grid[0]
    first = case.grid[2].drop_duplicates("bus").set_index("bus")["label"]
    spare = buses["bus"].map(first).fillna("")  # a generator's bus without a name is called like the generator
    names = buses["name"].where(buses["name"] != "", spare) if "name" in buses else spare
    kv = buses["kv"].fillna(1.0) if "kv" in buses else pd.Series(1.0, index=buses.index)
    stored = {"vm_pu", "va_deg"} <= set(buses)
    vm, va = (buses[c] if stored else pd.Series(d, index=buses.index) for c, d in (("vm_pu", 1.0), ("va_deg", 0.0)))
    lines, ties, known = [], [], set(buses["bus"])
    by_bus = dict(zip(buses["bus"], zip(names, kv, vm, va, strict=True), strict=True))
    held = dict(zip(case.grid[2]["bus"], case.grid[2]["v_pu"], strict=True))

    def record(bus: float, at: float, kind: int) -> str:
        name, base, size, angle = by_bus[at]
        size = held.get(at, size)  # readers hold what is stored
        return f"{number[bus]},'{_plain(name)[:NAME]:<{NAME}}',{_n(base)},{kind},1,1,1,{_n(size)},{_n(angle)}"

    slack = own[case.grid[2]["kind"] == "slack"].iloc[0]
    terminals: dict[float, float] = {}
    for alone, at in zip(own, case.grid[2]["bus"], strict=True):
        if alone not in known:
            terminals[alone] = at
    moved = {at for at in terminals.values() if not (own[case.grid[2]["bus"] == at] == at).any()}
    lines = [record(b, b, 1 if b in moved else 3 if b == slack else min(kinds[b], 2)) for b in buses["bus"]]
    for alone, at in terminals.items():
        lines.append(record(alone, at, 3 if alone == slack else 2))
        ties.append(f"{number[at]},{number[alone]},'1 ',0,{_n(TIE)},0,0,0,0,0,0,0,0,1")
    return lines, ties


def _rows(table: pd.DataFrame, columns: list[str], form: str, number: dict[float, str]) -> list[str]:
    """Records of what stands at buses, where there is any."""
    there = (table[columns] != 0).any(axis=1)
    return [form.format(number[row[0]], *map(_n, row[1:])) for row in table.loc[there, ["bus", *columns]].itertuples(index=False)]


def _generators(case: Case, own: pd.Series, number: dict[float, str]) -> list[str]:
    table = case.grid[2]
    low, high = (
        table[c].fillna(d) if c in table else pd.Series(d, index=table.index)
        for c, d in (("q_min_mvar", -9999.0), ("q_max_mvar", 9999.0))
    )
    none = pd.Series(np.nan, index=table.index)
    source = table.get("xd_prime_pu", none).fillna(table.get("zx_pu", none)).fillna(1.0)  # GENCLS has no x'd but ZX
    rows = zip(own, psse_identifiers(case), table["p_mw"], high, low, table["v_pu"], table["mbase_mva"], source, strict=True)
    limit = 9999.0
    end = "0,0,1,1,100,9999,-9999,1,1"  # RT, XT, GTAP, STAT, RMPCT, PT, PB and one owner, which some readers need
    return [
        f"{number[b]},'{key:<2}',{_n(p)},0,{_n(min(top, limit))},{_n(max(bottom, -limit))},{_n(v)},0,{_n(s)},0,{_n(x)},{end}"
        for b, key, p, top, bottom, v, s, x in rows
    ]


def _lines(table: pd.DataFrame, number: dict[float, str]) -> list[str]:
    columns = ["from_bus", "to_bus", "r_pu", "x_pu", "b_pu"]
    circuits = _circuits(table)
    return [
        f"{number[f]},{number[t]},'{c:<2}',{_n(r)},{_n(x)},{_n(b)},0,0,0,0,0,0,0,1"
        for (f, t, r, x, b), c in zip(table[columns].itertuples(index=False), circuits, strict=True)
    ]


def _transformers(table: pd.DataFrame, number: dict[float, str]) -> list[str]:
    lines = []
    columns = ["from_bus", "to_bus", "r_pu", "x_pu", "tap", "shift_deg"]
    for (f, t, r, x, tap, angle), c in zip(table[columns].itertuples(index=False), _circuits(table), strict=True):
        lines += [
            f"{number[f]},{number[t]},0,'{c:<2}',1,1,1,0,0,2,'{'':<{NAME}}',1",
            f"{_n(r)},{_n(x)},100",
            f"{_n(tap)},0,{_n(angle)},0,0,0",
            "1,0",
        ]
    return lines


def _circuits(table: pd.DataFrame) -> list[str]:
    """1, 2, ... among the branches between the same buses; 1 to 99 and A0 to Z9 are enough for any."""
    pair = [frozenset(ends) for ends in zip(table["from_bus"], table["to_bus"], strict=True)]
    counts = pd.Series(pair).groupby(pd.Series(pair)).cumcount()
    return [str(k + 1) if k < 99 else f"{chr(65 + (k - 99) // 10)}{(k - 99) % 10}" for k in counts]


def _notes(case: Case, number: dict[float, str]) -> list[str]:
    own, written = identifiers(case), psse_identifiers(case)
    changed = [f"{old!r} is {new}" for old, new in zip(own, written, strict=True) if old != new]
    notes = [f"bus 0 is bus {number[0.0]}: PSS/E has no bus 0"] if 0.0 in number else []
    if changed:
        more = f" and {len(changed) - 4} more" if changed[4:] else ""
        notes.append(f"identifiers of generators have one or two letters or digits: {', '.join(changed[:4])}{more}")
    if case.f_hz is None:
        notes.append("the case does not state its frequency, so the file states 0")
    if case.load_damping or case.damping:
        notes.append("declared damping has no place in a RAW file (write_dyr adds that of machines to D)")
    return notes
