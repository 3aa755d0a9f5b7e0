r"""MATPOWER tables as a `Case`: files .m (through `matlab`, which executes nothing) and .mat (through scipy).

What is out of service is left out and said in the notes. The files hold no machine figures: add them with `add_machines`.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.matlab import Matrix, read_variables
from coherence.grids.case import Case, check_case
from coherence.types import Int

ISOLATED, REFERENCE, PV = 4, 3, 2  # MATPOWER bus types
COLUMNS = {
    "bus": ["BUS_I", "BUS_TYPE", "PD", "QD", "GS", "BS", "BUS_AREA", "VM", "VA", "BASE_KV", "ZONE", "VMAX", "VMIN"],
    "gen": ["GEN_BUS", "PG", "QG", "QMAX", "QMIN", "VG", "MBASE", "GEN_STATUS"],
    "branch": ["F_BUS", "T_BUS", "BR_R", "BR_X", "BR_B", "RATE_A", "RATE_B", "RATE_C", "TAP", "SHIFT", "BR_STATUS"],
}
TEXTS = ("bus_name", "gen_name", "genfuel", "gentype")  # cells of one string per row
INFINITE = {"QMAX", "QMIN", "VMAX", "VMIN", "RATE_A", "RATE_B", "RATE_C"}  # limits may be Inf


def read_matpower(path: Path, *, f_hz: float | None = None) -> Case:
    """Read a MATPOWER .m or .mat file; parameters and errors as in `read_case`."""
    if not path.is_file():
        raise CaseError(f"{path} does not exist; give a MATPOWER file")
    return case_of_tables(_mat(path) if path.suffix.lower() == ".mat" else _text(path), str(path), path.stem, f_hz=f_hz)


def case_of_tables(
    raw: Mapping[str, Any],
    where: str,
    name: str,
    *,
    f_hz: float | None,
    labels: list[str] | None = None,
    numbers: Any = None,
    static: Any = None,
) -> Case:
    """A Case of MATPOWER tables baseMVA, bus, gen, branch (arrays or frames in MATPOWER's column order).

    Where `raw` has `lines` (table -> line of each row), messages name them. `labels` of the generators and `numbers` of the buses,
    row by row, replace those made here; `static` says which generators are no machines (pandapower).
    """
    place = _Places(where, raw.get("lines", {}))
    tables = _checked(raw, where, place)
    bus, gen, branch = (tables[name] for name in ("bus", "gen", "branch"))
    notes: list[str] = []
    texts = _texts(raw, {"bus": len(bus), "gen": len(gen)}, notes)
    if labels is None and "gen_name" in texts:
        labels = _labels(texts["gen_name"], notes)
    gen["label"] = labels if labels is not None else ""
    fuel = texts.get("genfuel", texts.get("gentype"))
    if fuel is not None:
        gen["fuel"] = [text.strip().lower() for text in fuel]
    if "bus_name" in texts:
        bus["name"] = [" ".join(text.split()) for text in texts["bus_name"]]
    gen["static"] = False if static is None else static
    if numbers is not None:
        given = dict(zip(bus["BUS_I"], numbers, strict=True))
        bus["BUS_I"] = bus["BUS_I"].map(given)
        gen["GEN_BUS"] = gen["GEN_BUS"].map(given)
        branch[["F_BUS", "T_BUS"]] = branch[["F_BUS", "T_BUS"]].map(lambda b: given.get(b, b))
    if raw.get("dcline") is not None and np.size(raw["dcline"]):
        notes.append("the dc lines of mpc.dcline are left out: give their power as loads at their ends")
    for table, column, wrong, what in (
        ("bus", "BUS_I", bus["BUS_I"].duplicated(), "occurs twice; make it unique"),
        ("gen", "GEN_BUS", (gen["GEN_STATUS"] > 0) & ~gen["GEN_BUS"].isin(bus["BUS_I"]), "is not in the table of buses"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CaseError(f"{place(table, row)}: bus = {tables[table][column].iloc[row]:.15g} {what}")
    isolated = set(bus.loc[bus["BUS_TYPE"] == ISOLATED, "BUS_I"])
    alive = ~bus["BUS_I"].isin(isolated)
    on = (gen["GEN_STATUS"] > 0) & ~gen["GEN_BUS"].isin(isolated)
    closed = (branch["BR_STATUS"] > 0) & ~branch["F_BUS"].isin(isolated) & ~branch["T_BUS"].isin(isolated)
    for what, kept in (("isolated buses", alive), ("generators out of service", on), ("branches out of service", closed)):
        if not kept.all():
            notes.append(f"{int((~kept).sum())} {what} left out")
    rows = {table: np.flatnonzero(kept) for table, kept in (("buses", alive), ("generators", on), ("branches", closed))}
    bus, gen, branch = bus[alive], gen[on], branch[closed]
    if gen.empty:
        raise CaseError(f"{where}: no generator is in service; a network needs at least one")
    kind_of = dict(zip(bus["BUS_I"], bus["BUS_TYPE"], strict=True))
    bus, gen = _dispatchable(bus, gen, notes)
    rows["generators"] = rows["generators"][gen.pop("kept_row").to_numpy()]
    unstated = int((gen["MBASE"] == 0).sum())
    if unstated:
        notes.append(f"{unstated} generators state no machine base (MBASE = 0): the system base stands in its place")
    at_load = ~gen["GEN_BUS"].map(kind_of).isin([PV, REFERENCE])
    if at_load.any():
        notes.append(f"{int(at_load.sum())} generators at load buses hold their voltage (MATPOWER's own power flow fixes their Q)")
    reference = np.flatnonzero(gen["GEN_BUS"].map(kind_of) == REFERENCE)
    if reference.size == 0:
        raise CaseError(f"{where}: no generator stands at a reference bus (type 3); make one bus the reference")
    kind = np.full(len(gen), "pv", dtype=object)
    kind[reference[0]] = "slack"
    if len(set(gen["GEN_BUS"].iloc[reference])) > 1:
        notes.append("several reference buses: the first is the slack bus, the others hold their voltage and power")
    case = Case(
        name=name,
        title=name,
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
                **({"name": bus["name"]} if "name" in bus else {}),
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
                "label": bus_labels(gen["GEN_BUS"]) if labels is None else gen["label"],
                "bus": gen["GEN_BUS"],
                "kind": kind,
                "p_mw": gen["PG"],
                "v_pu": gen["VG"],
                "mbase_mva": gen["MBASE"].replace(0.0, float(tables["baseMVA"])),
                "q_min_mvar": gen["QMIN"],
                "q_max_mvar": gen["QMAX"],
                "static": gen["static"],
                **({"fuel": gen["fuel"]} if "fuel" in gen else {}),
            }
        ).reset_index(drop=True),
        notes=tuple(notes),
    )
    names = {"buses": "bus", "generators": "gen", "branches": "branch"}
    check_case(case, lambda table, row: place(names[table], int(rows[table][row])))
    return case


class _Places:
    """Where a row of a table stands, in words."""

    def __init__(self, where: str, lines: Mapping[str, Int]) -> None:
        self.where, self.lines = where, lines

    def __call__(self, table: str, row: int) -> str:
        line = f", line {self.lines[table][row]}" if table in self.lines else ""
        return f"{self.where}{line}, mpc.{table} row {row + 1}"


def _texts(raw: Mapping[str, Any], sizes: dict[str, int], notes: list[str]) -> dict[str, list[str]]:
    """The cells of strings that have one for each row of their table; the others are said in the notes."""
    found: dict[str, list[str]] = {}
    for name in TEXTS:
        if name not in raw or not np.size(raw[name]):
            continue
        texts = [str(text) for text in np.ravel(raw[name])] if isinstance(raw[name], (list, np.ndarray)) else []
        size = sizes[name[:3]]
        if len(texts) == size:
            found[name] = texts
        else:
            notes.append(f"mpc.{name} is left out: it has {len(texts)} texts for {size} rows")
    return found


def _labels(texts: list[str], notes: list[str]) -> list[str] | None:
    names = [" ".join(text.split()) for text in texts]
    if "" in names or len(set(names)) < len(names):
        notes.append("mpc.gen_name is left out: names are empty or occur twice")
        return None
    return names


def _text(path: Path) -> dict[str, Any]:
    """The variables of a .m file; matrices with the lines of their rows under `lines`."""
    columns = {name: j + 1 for names in COLUMNS.values() for j, name in enumerate(names)}
    columns |= {"PMAX": 9, "PMIN": 10, "PQ": 1, "PV": 2, "REF": 3, "NONE": 4, "ANGMIN": 12, "ANGMAX": 13}
    found = read_variables(path, ("baseMVA", *COLUMNS, "dcline", *TEXTS), columns, ("baseMVA", *COLUMNS))
    lines = {name: value.lines for name, value in found.items() if isinstance(value, Matrix)}
    found = {name: value.values if isinstance(value, Matrix) else value for name, value in found.items()}
    missing = [name for name in ("baseMVA", *COLUMNS) if name not in found]
    if missing:
        raise CaseError(
            f"{path} is not read as a MATPOWER case: mpc.{missing[0]} is missing; it needs baseMVA, bus, gen and branch"
        )
    if np.size(found["baseMVA"]) == 1 and not isinstance(found["baseMVA"], (str, list)):
        found["baseMVA"] = float(np.asarray(found["baseMVA"]).item())
    return found | {"lines": lines}


def _dispatchable(bus: pd.DataFrame, gen: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generators that only consume (PMAX <= 0 > PG) become loads, as they mean to; `kept_row` of the others."""
    load = (gen["PG"] < 0) & (gen["PMAX"] <= 0) if "PMAX" in gen else pd.Series(False, index=gen.index)
    if load.any():
        notes.append(f"{int(load.sum())} dispatchable loads (PMAX <= 0) are loads")
        taken = gen[load].groupby("GEN_BUS")[["PG", "QG"]].sum()
        bus = bus.assign(
            PD=bus["PD"] - bus["BUS_I"].map(taken["PG"]).fillna(0.0), QD=bus["QD"] - bus["BUS_I"].map(taken["QG"]).fillna(0.0)
        )
    return bus, gen.assign(kept_row=np.arange(len(gen)))[~load]


def _mat(path: Path) -> dict[str, Any]:
    """The struct `mpc`, or the only struct, of a .mat file, or its loose variables.

    Read in a process of its own: a damaged file can end scipy's reader with a segmentation fault.
    """
    done = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] if done.returncode == 1 else ["damaged"]
        raise CaseError(f"{path} is not read as a MATLAB file ({' '.join(reason)}); save it with -v7, or as .m")
    with np.load(io.BytesIO(done.stdout)) as found:
        tables = dict(found)
    if not {"baseMVA", *COLUMNS} <= set(tables):
        raise CaseError(f"{path} holds no MATPOWER case; it needs a struct mpc with baseMVA, bus, gen and branch")
    return tables | {"baseMVA": tables["baseMVA"].item() if tables["baseMVA"].size == 1 else tables["baseMVA"]}


_READ = f"""
TEXTS = {TEXTS!r}
import io, sys, numpy, scipy.io
found = {{k: v for k, v in scipy.io.loadmat(sys.argv[1], simplify_cells=True).items() if not k.startswith("__")}}
structs = [v for v in found.values() if isinstance(v, dict)]
tables = found.get("mpc", structs[0] if len(structs) == 1 else found)
wanted = tables if isinstance(tables, dict) else {{}}
numbers = {{k: numpy.asarray(wanted[k], dtype=float) for k in ("baseMVA", "bus", "gen", "branch", "dcline") if k in wanted}}
texts = {{k: numpy.array([str(x) for x in numpy.ravel(wanted[k])]) for k in TEXTS if k in wanted}}
out = io.BytesIO()
numpy.savez(out, **numbers, **texts)
sys.stdout.buffer.write(out.getvalue())
"""


def _checked(raw: Mapping[str, Any], where: str, place: _Places) -> dict[str, Any]:
    """The tables as frames of numbers with MATPOWER's column names."""
    found: dict[str, Any] = {}
    for table, names in COLUMNS.items():
        given = raw[table]
        plain = isinstance(given, np.ndarray) and given.dtype == float
        values = np.atleast_2d(given if plain else np.asarray(given, dtype=object))
        if values.ndim != 2 or values.shape[1] < len(names):
            raise CaseError(f"{where}: mpc.{table} has {values.shape[-1]} columns; MATPOWER has at least {len(names)}")
        numbers = pd.DataFrame(values[:, : len(names)], columns=names).apply(pd.to_numeric, errors="coerce")
        if table == "gen" and values.shape[1] > len(names):
            numbers["PMAX"] = pd.to_numeric(pd.Series(values[:, len(names)]), errors="coerce")
        if table == "gen":
            numbers["MBASE"] = numbers["MBASE"].fillna(0.0)  # 0 or NaN: the system base
        wrong = ~np.isfinite(numbers[names].to_numpy(dtype=float))
        for j, name in enumerate(names):
            wrong[:, j] &= ~(np.isinf(numbers[name]) & (name in INFINITE))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise CaseError(f"{place(table, int(row))}, column {names[column]}: not a finite number")
        found[table] = numbers
    base = raw["baseMVA"]
    if not (isinstance(base, (int, float, np.number)) and np.isfinite(base) and base > 0):
        raise CaseError(f"{where}: baseMVA = {base!r}; give a number > 0")
    found["baseMVA"] = float(base)
    return found


def bus_labels(buses: pd.Series) -> list[str]:
    """G30; the second generator at a bus is G30-2."""
    seen: dict[float, int] = {}
    labels = []
    for bus in buses:
        seen[bus] = seen.get(bus, 0) + 1
        labels.append(f"G{bus:.15g}" + (f"-{seen[bus]}" if seen[bus] > 1 else ""))
    return labels
