"""MATPOWER files (.m) as a `Case`: the only module that imports matpowercaseframes (extra `grids`).

What is out of service is left out and said in the notes. The files hold no machine figures: add them with `add_machines`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, MissingExtraError
from coherence.grids.case import Case, check_case

ISOLATED, REFERENCE, PV = 4, 3, 2  # MATPOWER bus types


def read_matpower(path: Path, *, f_hz: float | None = None) -> Case:
    """Read a MATPOWER .m file; parameters and errors as in `read_case`."""
    if not path.is_file():
        raise CaseError(f"{path} does not exist; give a MATPOWER file")
    tables = _frames(path)
    bus, gen, branch = (tables[name].reset_index(drop=True) for name in ("bus", "gen", "branch"))
    notes = []
    isolated = set(bus.loc[bus["BUS_TYPE"] == ISOLATED, "BUS_I"])
    alive = ~bus["BUS_I"].isin(isolated)
    on = (gen["GEN_STATUS"] > 0) & ~gen["GEN_BUS"].isin(isolated)
    closed = (branch["BR_STATUS"] > 0) & ~branch["F_BUS"].isin(isolated) & ~branch["T_BUS"].isin(isolated)
    for what, kept in (("isolated buses", alive), ("generators out of service", on), ("branches out of service", closed)):
        if not kept.all():
            notes.append(f"{int((~kept).sum())} {what} left out")
    rows = {name: np.flatnonzero(kept) for name, kept in (("buses", alive), ("generators", on), ("branches", closed))}
    bus, gen, branch = bus[alive], gen[on], branch[closed]
    if gen.empty:
        raise CaseError(f"{path}: no generator is in service; a network needs at least one")
    kind_of = dict(zip(bus["BUS_I"], bus["BUS_TYPE"], strict=True))
    at_load = ~gen["GEN_BUS"].map(kind_of).isin([PV, REFERENCE])
    if at_load.any():
        notes.append(f"{int(at_load.sum())} generators at load buses hold their voltage")
    reference = np.flatnonzero(gen["GEN_BUS"].map(kind_of) == REFERENCE)
    if reference.size == 0:
        raise CaseError(f"{path}: no generator stands at a reference bus (type 3); make one bus the reference")
    kind = np.full(len(gen), "pv", dtype=object)
    kind[reference[0]] = "slack"
    if len(set(gen["GEN_BUS"].iloc[reference])) > 1:
        notes.append("several reference buses: the first is the slack bus, the others hold their voltage and power")
    case = Case(
        name=path.stem,
        title=path.stem,
        base_mva=float(tables["baseMVA"]),
        f_hz=f_hz,
        buses=pd.DataFrame(
            {
                "bus": bus["BUS_I"],
                "kv": bus["BASE_KV"],
                "p_load_mw": bus["PD"],
                "q_load_mvar": bus["QD"],
                "g_shunt_mw": bus["GS"],
                "b_shunt_mvar": bus["BS"],
                "vm_pu": bus["VM"],
                "va_deg": bus["VA"],
            }
        ).reset_index(drop=True),
        branches=pd.DataFrame(
            {
                "from_bus": branch["F_BUS"],
                "to_bus": branch["T_BUS"],
                "r_pu": branch["BR_R"],
                "x_pu": branch["BR_X"],
                "b_pu": branch["BR_B"],
                "tap": branch["TAP"].where(branch["TAP"] != 0, 1.0),
                "shift_deg": branch["SHIFT"],
            }
        ).reset_index(drop=True),
        generators=pd.DataFrame(
            {
                "label": _labels(gen["GEN_BUS"]),
                "bus": gen["GEN_BUS"],
                "kind": kind,
                "p_mw": gen["PG"],
                "v_pu": gen["VG"],
                "mbase_mva": gen["MBASE"].replace(0.0, float(tables["baseMVA"])),
                "q_min_mvar": gen["QMIN"],
                "q_max_mvar": gen["QMAX"],
            }
        ).reset_index(drop=True),
        notes=tuple(notes),
    )
    names = {"buses": "bus", "generators": "gen", "branches": "branch"}
    check_case(case, lambda table, row: f"{path}, mpc.{names[table]} row {rows[table][row] + 1}")
    return case


def _frames(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from matpowercaseframes import CaseFrames
    except ImportError:
        raise MissingExtraError(
            "reading MATPOWER files needs matpowercaseframes; install it with pip install 'coherence[grids]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the reader leaves its file to the collector
            frames = CaseFrames(str(path))
        found = {name: getattr(frames, name) for name in ("baseMVA", "bus", "gen", "branch")}
    except Exception as error:  # the reader raises whatever its parsing stumbles on
        reason = "" if isinstance(error, AttributeError) else f" ({' '.join(str(error).split())})"
        raise CaseError(
            f"{path} is not read as a MATPOWER case{reason}; it needs baseMVA and the tables bus, gen and branch as plain numbers"
        ) from None
    for name in ("bus", "gen", "branch"):
        numbers = found[name].apply(pd.to_numeric, errors="coerce")
        numbers = numbers.assign(MBASE=numbers["MBASE"].fillna(0.0)) if name == "gen" else numbers  # 0 or NaN: the system base
        bad = ~np.isfinite(numbers.to_numpy(dtype=float)[:, : {"bus": 13, "gen": 8, "branch": 11}[name]])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise CaseError(f"{path}, mpc.{name} row {row + 1}, column {numbers.columns[column]}: not a finite number")
        found[name] = numbers
    base = found["baseMVA"]
    if not (isinstance(base, (int, float)) and np.isfinite(base) and base > 0):
        raise CaseError(f"{path}: baseMVA = {base!r}; give a number > 0")
    return found


def _labels(buses: pd.Series) -> list[str]:
    """G30; the second generator at a bus is G30-2."""
    seen: dict[float, int] = {}
    labels = []
    for bus in buses:
        seen[bus] = seen.get(bus, 0) + 1
        labels.append(f"G{bus:.15g}" + (f"-{seen[bus]}" if seen[bus] > 1 else ""))
    return labels
