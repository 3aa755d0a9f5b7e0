r"""Typical machine figures for what a case does not state, filled in on request only and marked.

    H           mid-points of Kundur's ranges (Table 3.2): thermal units of 2 poles 2.5 to 6.0 s, of 4 poles 4.0 to 10.0 s,
                hydraulic units 2.0 to 4.0 s
    x'_d        Kimbark's averages: turbogenerators (solid rotor) 0.23, water-wheel generators (with dampers) 0.37 pu
    S           where a file gives the system base and the unit makes more than it: P/0.85, 0.85 the usual rated power factor
    D           1.0 pu power per pu speed (Kundur, Section 11.1, where it stands for the damping of loads)
    R, T        droop 0.05; the first moment of Kundur's typical governors and turbines of Section 11.1:
                steam with reheat  T_G + T_CH + (1 - F_HP) T_RH = 0.2 + 0.3 + 0.7 * 7.0 = 5.4 s
                no reheat (gas)    T_G + T_CH = 0.2 + 0.3 = 0.5 s
                hydraulic          T_G + (R_T/R - 1) T_R + 1.5 T_W = 0.2 + (0.38/0.05 - 1) 5.0 + 1.5 * 1.0 = 34.7 s

The figures are on machine base. They say what machines of a kind are like, not what this machine is.

References: P. Kundur, Power System Stability and Control (McGraw-Hill, 1994), Tables 3.2 and 4.2 and Section 11.1. E. W. Kimbark,
Power System Stability: Synchronous Machines (Wiley, 1956), Chapter 12 (Kundur's ranges contain his averages: thermal 0.15 to 0.4,
hydraulic 0.2 to 0.5 pu).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coherence.errors import CaseError, InputError
from coherence.grids.case import Case, check_case, require_case
from coherence.grids.topology import with_unit_notes
from coherence.types import Real

COLUMNS = ("H_s", "mbase_mva", "D_pu", "xd_prime_pu", "R_pu", "T_s")
POWER_FACTOR = 0.85  # of rated machines: what they can make in MW per MVA


@dataclass(frozen=True)
class Kind:
    """Figures of a kind of unit on machine base: H [s], x'_d [pu], T [s]."""

    name: str
    inertia_s: float
    reactance_pu: float
    time_constant_s: float
    fuels: frozenset[str]


Mask = NDArray[np.bool_]
DAMPING_PU = 1.0
DROOP_PU = 0.05
KINDS = (
    Kind(
        *("thermal of 2 poles", 4.25, 0.23, 5.4),
        frozenset(
            {"coal", "hard coal", "lignite", "oil", "biomass", "wood", "waste", "peat", "steam", "thermal", "col", "bit", "lig"}
        )
        | frozenset({"sub", "rfo", "dfo", "wds", "geothermal", "geo"}),
    ),
    Kind("thermal of 4 poles", 7.0, 0.23, 5.4, frozenset({"nuclear", "nuc", "uranium", "ur"})),
    Kind("gas turbine", 4.25, 0.23, 0.5, frozenset({"gas", "ng", "natural gas", "ccgt", "ocgt", "diesel", "gas turbine"})),
    Kind("hydraulic", 3.0, 0.37, 34.7, frozenset({"hydro", "water", "wat", "pumped storage", "ps", "run of river", "reservoir"})),
)
GENERAL = KINDS[0]
NO_MACHINE = {
    "wind",
    "solar",
    "pv",
    "battery",
    "wnd",
    "sun",
    "bat",
    "mwh",
    "bess",
    "storage",
    "fuel cell",
    "dc",
    "hvdc",
    "inverter",
}
ABOUT = {
    "H_s": "inertia",
    "mbase_mva": "machine base",
    "D_pu": "damping",
    "xd_prime_pu": "transient reactance",
    "R_pu": "droop",
    "T_s": "turbine time constant",
}


def with_typical_values(case: Case, columns: Sequence[str] = COLUMNS, *, empty_inertia: bool = False) -> Case:
    """The case with typical figures where its machines have none, every one of them marked.

    A generator is a machine if it is not `static`, its `fuel` is not wind, sun or storage, and it has an inertia where any has.

    Parameters
    ----------
    case : Case
    columns : sequence of str
        Which of H_s [s], mbase_mva, D_pu, xd_prime_pu, R_pu and T_s [machine base] may be filled.
    empty_inertia : bool
        Also give an inertia to generators that have none where others have one. By default these stay static: an empty H_s says
        that there is no machine.

    Returns
    -------
    Case
        H_s and xd_prime_pu are filled machine by machine, by the kind of unit that the text column `fuel` names, else as a thermal
        unit of 2 poles. mbase_mva is set where an inertia is filled in and the unit makes more than a base that is the system's by
        default: the figures are on machine base. D_pu is filled where no machine has one. R_pu and T_s are filled together, where
        the case has no governor at all: a machine without a record beside others with one has none. The text column `typical` of
        the generators lists what was filled, row by row ("H_s xd_prime_pu"), and a note per column says how many.

    Raises
    ------
    CaseError
        A case of bare nodes, or figures that cannot be used.
    InputError
        A column that has no typical value, or T_s without R_pu.

    References
    ----------
    P. Kundur, Power System Stability and Control (1994), Table 3.2 (H), Table 4.2 (ranges of x'_d), Section 11.1 (D, governors and
    turbines). E. W. Kimbark, Power System Stability: Synchronous Machines (1956), Chapter 12 (averages of x'_d).

    Examples
    --------
    >>> from coherence import load_case, with_typical_values
    >>> case = load_case("iceland")
    >>> bare = case.generators.drop(columns=["H_s", "D_pu", "governor"]).assign(fuel="hydro")
    >>> from dataclasses import replace
    >>> filled = with_typical_values(replace(case, generators=bare, governors={}), ("H_s", "R_pu", "T_s"))
    >>> filled.generators[["H_s", "T_s", "typical"]].astype(str).iloc[0].tolist()
    ['3.0', '34.7', 'H_s R_pu T_s']
    """
    require_case(case)
    if isinstance(columns, str):
        columns = (columns,)
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown:
        raise InputError(f"there is no typical value of {unknown[0]!r}; known: {', '.join(COLUMNS)}")
    if not isinstance(empty_inertia, (bool, np.bool_)):
        raise InputError(f"empty_inertia = {empty_inertia!r}; give True or False")
    wanted = [column for column in COLUMNS if column in columns]
    generators = case.grid[2].copy()
    if "R_pu" in wanted and "T_s" not in wanted:
        raise InputError("a typical droop R_pu needs its time constant; ask for T_s too")
    if "T_s" in wanted and "R_pu" not in wanted and ("R_pu" not in generators or generators["R_pu"].isna().all()):
        raise InputError("a typical time constant T_s needs a droop; ask for R_pu too")
    count = len(generators)
    fuel = _text(generators, "fuel").str.strip().str.lower()
    kinds = [next((kind for kind in KINDS if name in kind.fuels), GENERAL) for name in fuel]
    static = generators["static"].to_numpy(dtype=bool) if "static" in generators else np.zeros(count, dtype=bool)
    inverter = fuel.isin(NO_MACHINE).to_numpy()
    inertia = _numbers(generators, "H_s")
    notes = []
    fillable = ~static & ~inverter & np.isnan(inertia)
    if not np.isnan(inertia).all() and not empty_inertia:
        if fillable.any() and "H_s" in wanted:
            notes.append(f"{int(fillable.sum())} generators without H_s beside others with one stay without a machine")
        fillable[:] = False
    given = {column: _numbers(generators, column) for column in wanted}
    filled = {column: np.zeros(count, dtype=bool) for column in wanted}
    if "H_s" in wanted:
        filled["H_s"] = fillable
        inertia = given["H_s"] = np.where(fillable, [kind.inertia_s for kind in kinds], inertia)
    if "mbase_mva" in wanted and "H_s" in wanted:
        rated, power = generators["mbase_mva"].to_numpy(), generators["p_mw"].to_numpy()
        filled["mbase_mva"] = fillable & (rated == case.base_mva) & (power > rated)
        given["mbase_mva"] = np.where(filled["mbase_mva"], power / POWER_FACTOR, rated)
    machine = ~np.isnan(inertia)
    if (inverter & ~machine).any() and wanted:
        notes.append(
            f"{int((inverter & ~machine).sum())} generators are no machines by their fuel ({_names(fuel[inverter & ~machine])})"
        )
    if "xd_prime_pu" in wanted:
        _fill(given, filled, "xd_prime_pu", machine, [kind.reactance_pu for kind in kinds])
    if "D_pu" in wanted and np.isnan(given["D_pu"][machine]).all():
        _fill(given, filled, "D_pu", machine, [DAMPING_PU] * count)
    records = (_text(generators, "governor") != "").any() or bool(np.isfinite(_numbers(generators, "R_pu")).any())
    if not records and {"R_pu", "T_s"} <= set(wanted):
        _fill(given, filled, "R_pu", machine, [DROOP_PU] * count)
        _fill(given, filled, "T_s", filled["R_pu"], [kind.time_constant_s for kind in kinds])
    elif "T_s" in wanted:
        _fill(given, filled, "T_s", machine & np.isfinite(_numbers(generators, "R_pu")), [kind.time_constant_s for kind in kinds])
    marks = [set(mark.split()) for mark in _text(generators, "typical")]
    unknown_fuel = machine & ~np.array([any(name in kind.fuels for kind in KINDS) for name in fuel], dtype=bool)
    for column in wanted:
        where = filled[column]
        if not where.any():
            continue
        generators[column] = given[column]
        for row in np.flatnonzero(where):
            marks[row].add(column)
        general = int((where & unknown_fuel).sum()) if column in ("H_s", "xd_prime_pu", "T_s") else 0
        more = f", {general} of them as {GENERAL.name} units for want of a known fuel" if general else ""
        notes.append(f"typical {column} ({ABOUT[column]}) of {int(where.sum())} generators{more}")
    if not any(where.any() for where in filled.values()):
        return replace(case, notes=(*case.notes, *notes))
    if "H_s" in generators and "D_pu" not in generators:
        generators["D_pu"] = np.nan  # none stated
    generators["typical"] = [" ".join(column for column in COLUMNS if column in mark) for mark in marks]
    result = with_unit_notes(replace(case, generators=generators, notes=(*case.notes, *notes)))
    check_case(result, lambda table, row: f"case {case.name!r}, {table} row {row}")
    return result


def _fill(given: dict[str, Real], filled: dict[str, Mask], column: str, allowed: Mask, values: Sequence[float]) -> None:
    filled[column] = allowed & np.isnan(given[column])
    given[column] = np.where(filled[column], values, given[column])


def _numbers(table: pd.DataFrame, column: str) -> Real:
    if column not in table:
        return np.full(len(table), np.nan)
    try:
        return table[column].to_numpy(dtype=float)
    except (TypeError, ValueError):
        raise CaseError(f"generators, column {column!r}: not all of it is numbers; correct it") from None


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series([""] * len(table), index=table.index, dtype=object)
    return table[column].map(lambda value: value if isinstance(value, str) else "")


def _names(fuel: pd.Series) -> str:
    return ", ".join(sorted(set(fuel)))
