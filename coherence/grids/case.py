r"""The value `Case` and its readable folder format, version 1.

A case is a folder of case.toml and tables (CSV, one header line, units in the column names):

    case.toml          format = 1, name, title, base_mva, f_hz (with machines), [damping]
    buses.csv          bus, kv, p_load_mw, q_load_mvar, g_shunt_mw, b_shunt_mvar [, vm_pu, va_deg: solved] [, x, y: drawing]
    branches.csv       from_bus, to_bus, r_pu, x_pu, b_pu, tap (1: none), shift_deg
    generators.csv     label, bus, kind (pv or slack), p_mw, v_pu, mbase_mva, H_s, D_pu [, governor]
    governors/*.csv    label and the parameters of that model (file name = model: HYGOV, TGOV1, IEESGO)
    nodes.csv          instead of all of these: label, inertia, damping, inverse_droop, time_constant (one group, no grid)

Machine figures are on machine base, reactances on base_mva. Each shipped case has a SOURCE.md and an expected.json.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, UnknownNameError
from coherence.nodes.governors import MODELS
from coherence.nodes.nodes import unknown_name

_REQUIRED = {
    "buses": ["bus", "kv", "p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"],
    "branches": ["from_bus", "to_bus", "r_pu", "x_pu", "b_pu", "tap", "shift_deg"],
    "generators": ["label", "bus", "kind", "p_mw", "v_pu", "mbase_mva", "H_s", "D_pu"],
    "nodes": ["label", "inertia", "damping", "inverse_droop", "time_constant"],
}
_TEXT = {"label", "kind", "governor", "machine_model", "name", "group"}


@dataclass(frozen=True, eq=False)
class Case:
    """A grid with its machines, or a bare table of nodes. Tables keep the file's columns; see the module for units."""

    name: str
    title: str
    base_mva: float
    f_hz: float | None = None
    buses: pd.DataFrame | None = None
    branches: pd.DataFrame | None = None
    generators: pd.DataFrame | None = None
    governors: dict[str, pd.DataFrame] = field(default_factory=dict)
    nodes: pd.DataFrame | None = None
    damping: float = 0.0  # pu power per pu speed on machine base, added to every generator

    def __repr__(self) -> str:
        if self.nodes is not None:
            return f"Case({self.name!r}: {len(self.nodes)} nodes, no grid)"
        assert self.buses is not None
        assert self.branches is not None
        assert self.generators is not None
        return (
            f"Case({self.name!r}: {len(self.buses)} buses, {len(self.branches)} branches, "
            f"{len(self.generators)} generators, {self.f_hz:g} Hz, {self.base_mva:g} MVA)"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the generators or nodes."""
        table = self.nodes if self.nodes is not None else self.generators
        assert table is not None
        return tuple(table["label"])


def cases_folder() -> Path:
    """The folder of the shipped cases: inside an installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "cases"
    return inside if inside.is_dir() else package.parent / "cases"


def shipped_cases() -> list[str]:
    """Names of the shipped cases."""
    return sorted(folder.name for folder in cases_folder().iterdir() if (folder / "case.toml").is_file())


def load_case(name: str) -> Case:
    """A shipped case by name, e.g. "iceland" or "five_generators".

    Examples
    --------
    >>> from coherence import load_case
    >>> load_case("iceland")
    Case('iceland': 189 buses, 206 branches, 35 generators, 50 Hz, 100 MVA)
    """
    known = shipped_cases()
    if name not in known:
        raise UnknownNameError(unknown_name("shipped case", name, known))
    return read_case(cases_folder() / name)


def read_case(path: str | Path) -> Case:
    """Read a case folder (the format is described at the top of this module).

    Raises
    ------
    CaseError
        Names the file, row and column of the first thing that cannot be used.
    """
    folder = Path(path)
    if not (folder / "case.toml").is_file():
        raise CaseError(f"{folder} is not a case folder: it has no case.toml")
    meta = _meta(folder / "case.toml")
    shared: dict[str, Any] = {
        "name": str(meta.get("name", folder.name)),
        "title": str(meta.get("title", folder.name)),
        "base_mva": _number(meta, "base_mva", folder),
    }
    if (folder / "nodes.csv").is_file():
        nodes = _table(folder, "nodes")
        _unique(nodes, "label", folder / "nodes.csv")
        return Case(**shared, nodes=nodes)
    buses, branches, generators = (_table(folder, name) for name in ("buses", "branches", "generators"))
    governors = {
        f.stem: _csv(f, ["label", *(MODELS[f.stem][0] if f.stem in MODELS else ())])
        for f in sorted((folder / "governors").glob("*.csv"))
    }
    case = Case(
        **shared,
        f_hz=_number(meta, "f_hz", folder),
        buses=buses,
        branches=branches,
        generators=generators,
        governors=governors,
        damping=_damping(meta, folder),
    )
    _check(case, folder)
    return case


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


def _damping(meta: dict[str, Any], folder: Path) -> float:
    table = meta.get("damping", {"at": "machines", "pu_on_machine_base": 0.0})
    where = folder / "case.toml"
    if not isinstance(table, dict) or table.get("at") != "machines":
        raise CaseError(f'{where}: [damping] needs at = "machines" (load buses are not modelled)')
    value = table.get("pu_on_machine_base")
    if not isinstance(value, (int, float)) or not np.isfinite(value):
        raise CaseError(f"{where}: damping.pu_on_machine_base = {value!r}; give a number")
    return float(value)


def _table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise CaseError(f"{path} is missing; a case needs it")
    return _csv(path, _REQUIRED[name])


def _csv(path: Path, required: list[str]) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: {str(error).strip()}; give a CSV table with one header line") from None
    raw.columns = [str(c).strip() for c in raw.columns]
    missing = [column for column in required if column not in raw.columns]
    if missing:
        raise CaseError(f"{path}: column {missing[0]!r} is missing; needed: {', '.join(required)}")
    table = pd.DataFrame(index=raw.index)
    for column in raw.columns:
        values = raw[column].str.strip()
        if column in _TEXT:
            table[column] = values
            continue
        numbers = pd.to_numeric(values, errors="coerce")
        bad = ~np.isfinite(numbers.to_numpy(dtype=float))
        if bad.any() and (column in required or values[bad].ne("").any()):
            row = int(np.argmax(bad))
            raise CaseError(f"{path}, line {row + 2}, column {column!r}: {values.iloc[row]!r} is not a finite number")
        table[column] = numbers
    if table.empty:
        raise CaseError(f"{path} has no rows; give at least one")
    return table


def _unique(table: pd.DataFrame, column: str, path: Path) -> None:
    twice = table[column].duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise CaseError(f"{path}, line {row + 2}: {column} {str(table[column].iloc[row])!r} occurs twice; make it unique")


def _check(case: Case, folder: Path) -> None:
    buses, branches, generators = case.buses, case.branches, case.generators
    assert buses is not None
    assert branches is not None
    assert generators is not None
    _unique(buses, "bus", folder / "buses.csv")
    _unique(generators, "label", folder / "generators.csv")
    known = set(buses["bus"])
    for table, name, columns in ((branches, "branches", ("from_bus", "to_bus")), (generators, "generators", ("bus",))):
        for column in columns:
            outside = ~table[column].isin(known)
            if outside.any():
                row = int(np.argmax(outside))
                raise CaseError(f"{folder / name}.csv, line {row + 2}: {column} = {table[column].iloc[row]:g} is not in buses.csv")
    for column, positive in (("x_pu", False), ("tap", True)):
        wrong = (branches[column] <= 0) if positive else (branches[column] == 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CaseError(
                f"{folder / 'branches.csv'}, line {row + 2}: {column} = {branches[column].iloc[row]:g}; "
                + ("give the ratio, 1 for none" if positive else "merge the two buses")
            )
    for column in ("mbase_mva", "H_s"):
        wrong = generators[column] <= 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CaseError(
                f"{folder / 'generators.csv'}, line {row + 2}: {column} = {generators[column].iloc[row]:g}; it must be > 0"
            )
    if (generators["kind"] == "slack").sum() != 1 or not generators["kind"].isin(["pv", "slack"]).all():
        raise CaseError(f"{folder / 'generators.csv'}: kind must be 'pv' for all generators but one, 'slack'")
    for row, (label, model) in enumerate(zip(generators["label"], generators.get("governor", [""] * len(generators)), strict=True)):
        if model and (model not in case.governors or label not in set(case.governors[model]["label"])):
            raise CaseError(
                f"{folder / 'generators.csv'}, line {row + 2}: generator {label!r} has governor {model}, "
                f"but governors/{model}.csv has no such row"
            )
