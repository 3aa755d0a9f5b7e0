r"""The readable folder format of cases (version 1), and the shipped cases, which are written in it.

A case folder holds case.toml (format = 1, name, title, base_mva, f_hz, [damping]) and the tables of `case` as CSV with one header
line: buses.csv, branches.csv, generators.csv, governors/MODEL.csv; or nodes.csv alone.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.tables import read_table
from coherence.grids.case import REQUIRED, Case, check_case
from coherence.grids.topology import finished
from coherence.nodes.governors import MODELS

USED = {  # columns that mean something, or say who said it
    "buses": {*REQUIRED["buses"], "kv", "vm_pu", "va_deg", "x", "y", "name", "in_service"},
    "branches": {*REQUIRED["branches"], "kind", "name", "in_service"},
    "generators": {*REQUIRED["generators"], "H_s", "D_pu", "xd_prime_pu", "governor", "R_pu", "T_s", "q_min_mvar", "q_max_mvar"}
    | {"name", "record", "machine_model", "in_service", "id", "fuel", "typical", "zx_pu", "own_bus"},
}
MACHINE = ("H_s", "D_pu")  # empty for a generator without a machine
KEYS = ("format", "name", "title", "base_mva", "f_hz", "damping")  # of case.toml


def cases_folder() -> Path:
    """The folder of the shipped cases: inside an installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "cases"
    return inside if inside.is_dir() else package.parent / "cases"


def shipped_cases() -> list[str]:
    """Names of the shipped cases.

    Returns
    -------
    list of str

    Examples
    --------
    >>> shipped_cases()
    ['five_generators', 'iceland', 'nets_nyps68', 'new_england39', 'two_area']
    """
    return sorted(folder.name for folder in cases_folder().iterdir() if (folder / "case.toml").is_file())


def read_folder(folder: Path) -> Case:
    """The case in a folder; errors as in `read_case`."""
    if not (folder / "case.toml").is_file():
        raise CaseError(
            f"{folder} is no case: a folder needs a case.toml; give such a folder, or the file in it that holds the grid"
        )
    meta = _meta(folder / "case.toml")
    unknown = [key for key in meta if key not in KEYS]
    if unknown:
        raise CaseError(f"{folder / 'case.toml'}: {unknown[0]!r} is not understood; known: {', '.join(KEYS)}")
    shared: dict[str, Any] = {
        "name": str(meta.get("name", folder.name)),
        "title": str(meta.get("title", folder.name)),
        "base_mva": _number(meta, "base_mva", folder),
    }
    if (folder / "nodes.csv").is_file():
        nodes = _table(folder, "nodes", REQUIRED["nodes"])
        _unique_labels(nodes, folder / "nodes.csv")
        return Case(**shared, nodes=nodes)
    tables: dict[str, Any] = {
        "buses": _table(folder, "buses", REQUIRED["buses"]),
        "branches": _table(folder, "branches", REQUIRED["branches"]),
        "generators": _table(folder, "generators", [*REQUIRED["generators"], *MACHINE], empty=frozenset(MACHINE)),
    }
    notes, rows = [], {}
    for name, table in tables.items():
        on = np.ones(len(table), dtype=bool) if "in_service" not in table else (table["in_service"].fillna(1.0) != 0).to_numpy()
        if not on.all():
            if name == "buses":
                raise CaseError(f"{folder / 'buses.csv'}: buses are always in service; delete the row and what stands at the bus")
            notes.append(f"{int((~on).sum())} {name} out of service left out")
        unused = [column for column in table if column not in USED[name]]
        if unused:
            notes.append(f"columns of {name}.csv that are not used: {', '.join(map(str, unused))}")
        rows[name] = np.array(table.attrs["lines"])[on]
        tables[name] = table[on].reset_index(drop=True)
    case = Case(
        **shared,
        f_hz=_number(meta, "f_hz", folder),
        **tables,
        governors={f.stem: _governors(f) for f in sorted((folder / "governors").glob("*.csv"))},
        **_damping(meta, folder),
        notes=tuple(notes),
    )
    check_case(case, lambda table, row: f"{folder / table}.csv, line {rows[table][row]}")
    return finished(case)


def _governors(path: Path) -> pd.DataFrame:
    table = read_table(path, ["label", *(MODELS[path.stem][0] if path.stem in MODELS else ())])
    if path.stem != "RATIONAL":  # whose records of one machine add up
        _unique_labels(table, path)
    return table


def _unique_labels(table: pd.DataFrame, path: Path) -> None:
    twice = table["label"].duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise CaseError(
            f"{path}, line {table.attrs['lines'][row]}: label {table['label'].iloc[row]!r} occurs twice; make it unique"
        )


def _table(folder: Path, name: str, required: list[str], empty: frozenset[str] = frozenset()) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise CaseError(f"{path} is missing; a case needs it")
    return read_table(path, required, empty=empty)


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: {error}; correct the TOML") from None
    if meta.get("format") != 1:
        raise CaseError(f"{path}: format = {meta.get('format')!r}; this version reads format = 1")
    return meta


def _number(meta: dict[str, Any], key: str, folder: Path) -> float:
    value = meta.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value) or value <= 0:
        raise CaseError(f"{folder / 'case.toml'}: {key} = {value!r}; give a number > 0")
    return float(value)


def _damping(meta: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`damping` and `load_damping` of a Case, from the table [damping]."""
    where, table = folder / "case.toml", meta.get("damping", {})
    if not isinstance(table, dict):
        raise CaseError(f"{where}: damping = {table!r}; give a table [damping] with pu_on_machine_base or pu_on_load")
    known = {"at": "", "pu_on_machine_base": "damping", "pu_on_load": "load_damping"}
    unknown = [key for key in table if key not in known]
    if unknown:
        raise CaseError(f"{where}: damping.{unknown[0]} is not understood; known: {', '.join(known)}")
    if table and table.get("at") not in ("machines", "loads", "machines and loads"):
        raise CaseError(f'{where}: [damping] needs at = "machines", "loads" or "machines and loads"')
    out: dict[str, Any] = {}
    for place, key in (("machines", "pu_on_machine_base"), ("loads", "pu_on_load")):
        if (place in table.get("at", "")) != (key in table):
            raise CaseError(f"{where}: [damping] at = {table.get('at')!r} and {key} do not go together; give {key} with {place!r}")
        if key in table:
            value = table[key]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value):
                raise CaseError(f"{where}: damping.{key} = {value!r}; give a number")
            out[known[key]] = float(value)
    return out
