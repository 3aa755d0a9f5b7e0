r"""PSS/E RAW files as a `Case`: the grid of the stored solution.

Loads of constant power stand as they are, those of constant current at their stored voltage, those of constant admittance as
shunts. Generators hold the voltage that the file stores at their bus (in a flat start: their set-point), which is what a solved
file says of remote control and reactive limits. What a case has no place for is named in the notes. Machine figures come from a
DYR file or table (`read_case(path, machines=...)`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.raw import Raw, Section, read_raw
from coherence.formats.raw_transformers import transformers
from coherence.grids.case import Case, check_case
from coherence.types import Int, Real

LOAD, SWING, ISOLATED = 1, 3, 4  # IDE of a bus
TYPES = (1, 2, 3, 4)
MOST = 999_999_999  # bus numbers have up to six digits; some files have more


def read_raw_case(path: Path) -> Case:
    """The case of a RAW file; errors as in `read_case`."""
    with np.errstate(all="ignore"):  # figures that overflow are found in the tables
        return _case(read_raw(path), path.stem)


def _case(raw: Raw, name: str) -> Case:
    bus = raw["bus"]
    number, kind = bus.numbers("I"), bus.numbers("IDE", 1.0)
    _check_buses(bus, number, kind)
    alive = kind != ISOLATED
    kv, vm, va = bus.numbers("BASKV", 0.0), bus.numbers("VM", 1.0), bus.numbers("VA", 0.0)
    live = dict(zip(number, alive, strict=True))
    stored = dict(zip(number, vm, strict=True))
    notes = _left_out(raw)
    if not alive.all():
        notes.append(f"{int((~alive).sum())} isolated buses left out, with what stands at them")
    supply = _generators(raw, dict(zip(number, kind, strict=True)), live, stored, flat=bool((vm == 1).all() and (va == 0).all()))
    changed = transformers(raw, dict(zip(number, kv, strict=True)), live, number.max() + 1)
    branches, branch_lines, line_shunts, ties = _branches(raw, live)
    moved = changed.branches
    buses = pd.DataFrame(
        {
            "bus": np.concatenate([number[alive], changed.stars.bus]),
            "name": [*np.array(bus.text("NAME"), dtype=object)[alive], *[f"star {b:.0f}" for b in changed.stars.bus]],
            "kv": np.concatenate([kv[alive], np.ones(len(changed.stars.bus))]),
            "vm_pu": np.concatenate([vm[alive], changed.stars.vm_pu]),
            "va_deg": np.concatenate([va[alive], changed.stars.va_deg]),
        }
    )
    draw, currents = _loads(raw, live, stored)
    draw |= {key: [*draw.get(key, []), *more] for key, more in _shunts(raw, live, line_shunts).items()}
    draw |= {key: [*draw.get(key, []), *more] for key, more in _dc_lines(raw, live, notes).items()}
    draw["shunt"] = [*draw.get("shunt", []), (changed.shunt_bus, changed.shunt * raw.base_mva)]
    power, shunt = (_at(buses["bus"].to_numpy(), draw.get(name, [])) for name in ("power", "shunt"))
    buses["p_load_mw"], buses["q_load_mvar"] = power.real, power.imag
    buses["g_shunt_mw"], buses["b_shunt_mvar"] = shunt.real, shunt.imag
    more = pd.DataFrame(
        {
            "from_bus": moved.from_bus,
            "to_bus": moved.to_bus,
            "r_pu": moved.z.real,
            "x_pu": moved.z.imag,
            "b_pu": 0.0,
            "tap": moved.tap,
            "shift_deg": moved.shift_deg,
        }
    )
    lines = {
        "buses": np.concatenate([np.array(bus.lines)[alive], changed.stars.line]),
        "branches": np.concatenate([branch_lines, moved.line]),
        "generators": supply[1],
    }
    if currents:
        notes.append(f"{currents} loads of constant current are taken at the stored voltage")
    if ties:
        notes.append(f"{ties} branches with |x| up to {raw.zero_impedance:g} pu and r = 0 are ties (THRSHZ)")
    if changed.corrected:
        notes.append(f"impedance corrections of {changed.corrected} transformers are left out")
    case = Case(
        name=name,
        title=raw.title or name,
        base_mva=raw.base_mva,
        f_hz=raw.f_hz,
        buses=buses,
        branches=pd.concat([branches, more], ignore_index=True),
        generators=supply[0],
        notes=tuple(notes + supply[2]),
    )
    _check_range(case, raw.where, lines)
    check_case(case, lambda table, row: f"{raw.where}, line {lines[table][row]}")
    return case


def _check_range(case: Case, where: str, lines: dict[str, Int]) -> None:
    """Refuse what overflowed, in tables whose own figures are all finite."""
    buses, branches, generators = case.grid
    for table, name in ((buses, "buses"), (branches, "branches"), (generators, "generators")):
        bad = ~np.isfinite(table.select_dtypes("number").to_numpy()).all(axis=1)
        if bad.any():
            line = lines[name][int(np.argmax(bad))]
            raise CaseError(f"{where}, line {line}: figures of this record or of what stands there are too large or too small")


def _check_buses(section: Section, numbers: Real, kind: Real) -> None:
    """Refuse bus numbers that are none or occur twice, and unknown types."""
    for bad, what in (
        ((numbers < 1) | (numbers > MOST) | (numbers != np.floor(numbers)), f"is none; give a whole number from 1 to {MOST}"),
        (pd.Series(numbers).duplicated().to_numpy(), "occurs twice; make it unique"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise CaseError(f"{section.place(row)}: bus number {numbers[row]:.15g} {what}")
    if not np.isin(kind, TYPES).all():
        row = int(np.argmin(np.isin(kind, TYPES)))
        raise CaseError(f"{section.place(row)}: IDE = {kind[row]:g} of bus {numbers[row]:.15g} is no type of bus; give 1 to 4")


def _at(buses: Real, parts: list[tuple[Real, np.ndarray]]) -> np.ndarray:
    """Sums of complex values at each bus; what stands at buses that are left out is left out."""
    total = np.zeros(len(buses), dtype=complex)
    row = {bus: i for i, bus in enumerate(buses)}
    for where, values in parts:
        at = np.array([row.get(b, -1) for b in where], dtype=int)
        np.add.at(total, at[at >= 0], values[at >= 0])
    return total


def _known(section: Section, name: str, live: dict[float, bool]) -> Real:
    """Bus numbers of a field, all of them buses of the file."""
    numbers = section.numbers(name)
    if name == "J":
        numbers = np.abs(numbers)  # a sign marks the metered end in older files
    for row, bus in enumerate(numbers):
        if bus not in live:
            raise CaseError(f"{section.place(row)}: the {section.name} record is for bus {bus:.15g}, which is not in the bus data")
    return numbers


def _both_alive(f: Real, t: Real, live: dict[float, bool]) -> np.ndarray:
    return np.array([live.get(a, True) and live.get(b, True) for a, b in zip(f, t, strict=True)], dtype=bool)


def _generators(
    raw: Raw, kind: dict[float, float], live: dict[float, bool], stored: dict[float, float], *, flat: bool
) -> tuple[pd.DataFrame, Int, list[str]]:
    """The table of generators in service, their lines, and notes."""
    section = raw["generator"]
    bus = _known(section, "I", live)
    kinds = np.array([kind[b] for b in bus])
    on = (section.numbers("STAT", 1.0) > 0) & np.array([live[b] for b in bus], dtype=bool)
    at_load = on & (kinds == LOAD)
    on &= ~at_load
    if not on.any():
        raise CaseError(f"{raw.where}: no generator is in service; a network needs at least one")
    set_point, remote = section.numbers("VS", 1.0), section.numbers("IREG", 0.0)
    vm = np.array([stored[b] for b in bus])
    own = (remote == 0) | (remote == bus)
    idle = int((~on).sum() - at_load.sum())
    notes = [f"{idle} generators out of service left out"] if idle else []
    off = on & (np.abs(vm - set_point) > 1e-4) & ~(flat & own)
    if off.any():
        notes.append(
            f"{int(off.sum())} generators hold the voltage that is stored at their bus, not their set-point VS (they are at a "
            "reactive limit, or control another bus)"
        )
    step_up = on & ((section.numbers("XT", 0.0) != 0) | (section.numbers("RT", 0.0) != 0))
    if step_up.any():
        notes.append(
            f"step-up transformers within {int(step_up.sum())} generator records (XT) are left out; their bus is the terminal"
        )
    swing = np.flatnonzero(on & (kinds == SWING))
    if not swing.size:
        raise CaseError(f"{raw.where}: no generator in service stands at a swing bus (IDE = 3); make one bus the swing")
    if len(set(bus[swing])) > 1:
        notes.append("several swing buses: the first is the slack bus, the others hold their voltage and power")
    if at_load.any():
        notes.append(f"{int(at_load.sum())} generators at load buses (IDE = 1) left out, as PSS/E does")
    ids = section.text("ID")
    names = dict(zip(raw["bus"].numbers("I"), raw["bus"].text("NAME"), strict=True))
    table = pd.DataFrame(
        {
            "label": _labels(bus, [key or "1" for key in ids], names),
            "bus": bus,
            "id": [key or "1" for key in ids],
            "kind": np.where(np.arange(len(bus)) == swing[0], "slack", "pv"),
            "p_mw": section.numbers("PG", 0.0),
            "v_pu": _held(bus, on & own & flat, set_point, vm),
            "mbase_mva": section.numbers("MBASE", raw.base_mva),
            "q_min_mvar": section.numbers("QB", -9999.0),
            "q_max_mvar": section.numbers("QT", 9999.0),
            "zx_pu": section.numbers("ZX", 1.0),
        }
    )
    return table[on].reset_index(drop=True), np.array(section.lines)[on], notes


def _held(bus: Real, own: np.ndarray, set_point: Real, stored: Real) -> Real:
    """What each generator's bus holds: what is stored, or, in a flat start, the first set-point of those that control their own."""
    first: dict[float, float] = {}
    for b, value in zip(bus[own], set_point[own], strict=True):
        first.setdefault(b, value)
    return np.array([first.get(b, value) for b, value in zip(bus, stored, strict=True)])


def _labels(bus: Real, ids: list[str], names: dict[float, str]) -> list[str]:
    """`NAME id` where the name belongs to one generator bus, `NAME bus id` (or `G bus id`) otherwise."""
    holders: dict[str, set[float]] = {}
    for b in bus:
        holders.setdefault(names[b], set()).add(b)
    return [
        f"{names[b]} {key}" if names[b] and len(holders[names[b]]) == 1 else f"{names[b] or 'G'} {b:.15g} {key}"
        for b, key in zip(bus, ids, strict=True)
    ]


def _branches(raw: Raw, live: dict[float, bool]) -> tuple[pd.DataFrame, Int, list[tuple[Real, np.ndarray]], int]:
    """The table of branches and switching devices in service, their lines, their shunts, and how many are ties."""
    section, device = raw["branch"], raw["switching device"]
    f, t = _known(section, "I", live), _known(section, "J", live)
    on = (section.numbers("ST", 1.0) > 0) & _both_alive(f, t, live)
    r, x = section.numbers("R", 0.0), section.numbers("X")
    tie = (r == 0) & (np.abs(x) <= raw.zero_impedance)
    shunts = [
        (end[on], (section.numbers(g, 0.0) + 1j * section.numbers(b, 0.0))[on] * raw.base_mva)
        for end, g, b in ((f, "GI", "BI"), (t, "GJ", "BJ"))
    ]
    df, dt = _known(device, "I", live), _known(device, "J", live)
    shut = (device.numbers("STAT", 1.0) > 0) & _both_alive(df, dt, live)
    dx = device.numbers("X", 0.0)
    short = np.abs(dx) <= raw.zero_impedance
    rows = {
        "from_bus": np.concatenate([f[on], df[shut]]),
        "to_bus": np.concatenate([t[on], dt[shut]]),
        "r_pu": np.concatenate([r[on], np.zeros(int(shut.sum()))]),
        "x_pu": np.concatenate([np.where(tie, 0.0, x)[on], np.where(short, 0.0, dx)[shut]]),
        "b_pu": np.concatenate([section.numbers("B", 0.0)[on], np.zeros(int(shut.sum()))]),
    }
    table = pd.DataFrame(rows | {"tap": 1.0, "shift_deg": 0.0})
    lines = np.concatenate([np.array(section.lines, dtype=int)[on], np.array(device.lines, dtype=int)[shut]])
    return table, lines, shunts, int((tie & on).sum() + (short & shut).sum())


Draw = dict[str, list[tuple[Real, np.ndarray]]]


def _loads(raw: Raw, live: dict[float, bool], stored: dict[float, float]) -> tuple[Draw, int]:
    """Loads as (bus, MVA) of constant power and of shunts at 1 pu, and how many have a constant current."""
    section = raw["load"]
    bus = _known(section, "I", live)
    on = section.numbers("STATUS", 1.0) > 0
    v = np.array([stored[b] for b in bus])
    current = section.numbers("IP", 0.0) + 1j * section.numbers("IQ", 0.0)
    power = section.numbers("PL", 0.0) + 1j * section.numbers("QL", 0.0) + current * v
    if raw.version >= 34:
        made = section.numbers("DGENP", 0.0) + 1j * section.numbers("DGENQ", 0.0)
        power = power - np.where(section.numbers("DGENM", 0.0) > 0, made, 0.0)
    admittance = section.numbers("YP", 0.0) + 1j * section.numbers("YQ", 0.0)
    return {"power": [(bus[on], power[on])], "shunt": [(bus[on], admittance[on])]}, int((current[on] != 0).sum())


def _shunts(raw: Raw, live: dict[float, bool], of_lines: list[tuple[Real, np.ndarray]]) -> Draw:
    """Fixed shunts, switched shunts at their initial susceptance, and shunts at the ends of lines [MVA at 1 pu]."""
    fixed, switched = raw["fixed shunt"], raw["switched shunt"]
    at, admittance = _known(fixed, "I", live), fixed.numbers("GL", 0.0) + 1j * fixed.numbers("BL", 0.0)
    on = fixed.numbers("STATUS", 1.0) > 0
    where, size = _known(switched, "I", live), 1j * switched.numbers("BINIT", 0.0)
    used = switched.numbers("STAT", 1.0) > 0
    return {"shunt": [(at[on], admittance[on]), (where[used], size[used]), *of_lines]}


def _dc_lines(raw: Raw, live: dict[float, bool], notes: list[str]) -> Draw:
    """Two-terminal dc lines as loads: power in at the rectifier, out at the inverter.

    The scheduled voltage V is that of the inverter plus R_comp I, so that P_inv = (V - R_comp I) I and P_rect = P_inv + R I^2.
    """
    section = raw["two-terminal dc"]
    if not len(section):
        return {}
    mode, resistance, compounded = (section.numbers(name, 0.0) for name in ("MDC", "RDC", "RCOMP"))
    setting, voltage = section.numbers("SETVL", 0.0), section.numbers("VSCHD", 0.0)
    ends = []
    for line in (0, 1):
        rows = [more[line][:1] for more in section.more]
        ends.append(_known(Section(section.name, section.where, ["I"], rows, section.lines), "I", live))
    on = (mode == 1) | (mode == 2)
    slope = np.where(setting >= 0, resistance - compounded, -compounded)  # P = (V + slope I) I at the end that is controlled
    power = np.abs(setting)
    root = np.sqrt(np.maximum(voltage**2 + 4 * slope * power, 0.0))
    current = np.where(mode == 2, power / 1e3, np.divide(2 * power, voltage + root, out=np.zeros(len(section)), where=voltage > 0))
    made = np.where((mode == 1) & (setting < 0), power, (voltage - compounded * current) * current)
    made = np.where((mode == 1) & (voltage <= 0), power, made)
    taken = made + resistance * current**2
    if on.any():
        notes.append(
            f"{int(on.sum())} two-terminal dc lines are loads of constant active power at their ends, without the reactive power"
        )
    return {"power": [(ends[0][on], taken[on].astype(complex)), (ends[1][on], -made[on].astype(complex))]}


def _left_out(raw: Raw) -> list[str]:
    """What a case has no place for."""
    words = {
        "vsc dc": "voltage source converter dc lines",
        "multi-terminal dc": "records of multi-terminal dc lines",
        "facts": "FACTS devices",
        "gne": "records of generic network elements",
        "induction machine": "induction machines",
    }
    return [f"{len(raw[name])} {what} left out" for name, what in words.items() if len(raw[name])]
