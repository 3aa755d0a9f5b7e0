r"""Tables of plain values as a network of pandapower, with the types and columns of its empty network, every cell checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.pandapower import empty_network, in_todays_format

LARGEST = 10**7  # row and bus numbers: pandapower makes tables as long as the largest
ELEMENTS = (
    *("bus", "load", "sgen", "motor", "asymmetric_load", "asymmetric_sgen", "storage", "gen", "switch", "shunt", "ext_grid"),
    *(
        "line",
        "trafo",
        "trafo3w",
        "impedance",
        "ward",
        "xward",
        "dcline",
        "tcsc",
        "svc",
        "ssc",
        "vsc",
        "vsc_stacked",
        "vsc_bipolar",
    ),
    *("bus_dc", "line_dc", "load_dc", "source_dc"),
)
RESULTS = tuple(f"res_{table}" for table in ELEMENTS)
TABLES = (*ELEMENTS, *RESULTS, "trafo_characteristic_table", "shunt_characteristic_table")
SCALARS = ("name", "f_hz", "sn_mva", "sn_kva", "version", "format_version")
NEEDED = {  # numbers that a power flow cannot do without; those in POSITIVE must be > 0
    "bus": ("vn_kv",),
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
    "storage": ("p_mw", "q_mvar", "scaling"),
    "gen": ("p_mw", "vm_pu", "scaling"),
    "ext_grid": ("vm_pu", "va_degree"),
    "shunt": ("p_mw", "q_mvar", "vn_kv", "step"),
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km", "parallel"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent", "shift_degree", "parallel"),
    "trafo3w": (
        *("sn_hv_mva", "sn_mv_mva", "sn_lv_mva", "vn_hv_kv", "vn_mv_kv", "vn_lv_kv", "vk_hv_percent", "vk_mv_percent"),
        *("vk_lv_percent", "vkr_hv_percent", "vkr_mv_percent", "vkr_lv_percent", "pfe_kw", "i0_percent"),
        *("shift_mv_degree", "shift_lv_degree"),
    ),
    "impedance": ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu", "sn_mva"),
    "ward": ("ps_mw", "qs_mvar", "pz_mw", "qz_mvar"),
    "xward": ("ps_mw", "qs_mvar", "pz_mw", "qz_mvar", "r_ohm", "x_ohm", "vm_pu"),
    "dcline": ("p_mw", "loss_percent", "loss_mw", "vm_from_pu", "vm_to_pu"),
}
POSITIVE = {"vn_kv", "vm_pu", "length_km", "sn_hv_mva", "sn_mv_mva", "sn_lv_mva", "vn_hv_kv", "vn_mv_kv", "vn_lv_kv", "parallel"}
POSITIVE_RATING = ("trafo", "impedance")  # whose sn_mva is a divisor; elsewhere it may be missing
USUAL = {"scaling": 1.0, "va_degree": 0.0, "g_us_per_km": 0.0, "shift_degree": 0.0, "z_ohm": 0.0, "step": 1.0, "df": 1.0}
HUGE = 1e300
DC_BUSES = ("bus_dc", "from_bus_dc", "to_bus_dc", "bus_dc_plus", "bus_dc_minus")


@dataclass(frozen=True)
class Plain:
    """A table as a file has it: numbers of the rows, and the cells by column."""

    rows: list[int]
    columns: dict[str, list[Any]]


def network_of_tables(found: Mapping[str, Plain], contents: Mapping[str, Any], where: str) -> Any:
    """Pandapower's empty network with the file's tables and scalars, in today's format and types."""
    net = copy.copy(empty_network())
    for key, value in net.items():  # so that nothing here changes the empty network
        net[key] = value.copy(deep=False) if isinstance(value, pd.DataFrame) else copy.deepcopy(value)
    today = str(net["format_version"])
    stated = contents.get("format_version", contents.get("version", today))
    old = not (isinstance(stated, str) and stated == today)
    if old:
        net = copy.deepcopy(net)
    for name, table in found.items():
        if table.rows or old:
            net[name] = _typed(table, net.get(name), f"{where}, table {name}", whole=not old)
    for key in SCALARS:
        if key in contents:
            value = contents[key]
            if key in ("f_hz", "sn_mva", "sn_kva") and not (_is_number(value) and value > 0):
                raise CaseError(f"{where}: {key} = {str(value)[:60]!r}; give a number > 0")
            net[key] = value if isinstance(value, (int, float)) and key != "name" else str(value)
    if old:
        net["std_types"] = {"line": {}, "trafo": {}, "trafo3w": {}}
        net["version"], net["format_version"] = str(contents.get("version", stated)), str(stated)
        if "sn_kva" in contents and "sn_mva" not in contents:
            del net["sn_mva"]
        net = in_todays_format(net, where)
        template = empty_network()
        for name in found:
            table = Plain(net[name].index.tolist(), {str(column): net[name][column].tolist() for column in net[name]})
            net[name] = _typed(table, template.get(name), f"{where}, table {name}", whole=True)
    _check(net, where)
    for name in ("res_bus", "res_gen", "res_ext_grid"):
        if not net[name.removeprefix("res_")].index.isin(net[name].index).all():
            net["res_bus"] = net["res_bus"].iloc[:0]  # results of another network
    return net


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < HUGE


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _typed(table: Plain, template: pd.DataFrame | None, where: str, *, whole: bool) -> pd.DataFrame:
    """Columns as the empty table has them; others as numbers, truth values or text, else empty. `whole`: none may be missing."""
    kinds = {} if template is None else {str(column): str(kind) for column, kind in template.dtypes.items()}
    columns: dict[str, Any] = {}
    for column, cells in table.columns.items():
        kind = kinds.get(column, "")
        here = _Place(where, column, table.rows)
        if kind == "bool":
            columns[column] = _truths(cells, here)
        elif kind.startswith(("uint", "int", "float", "Int")):
            columns[column] = _typed_numbers(cells, kind, here)
        elif kind == "object" or any(isinstance(cell, str) for cell in cells):
            columns[column] = np.array([cell if isinstance(cell, str) else None for cell in cells], dtype=object)
        elif cells and all(isinstance(cell, bool) for cell in cells):
            columns[column] = np.array(cells, dtype=bool)
        else:
            columns[column] = np.array([float(cell) if _is_number(cell) else np.nan for cell in cells])
    if whole:
        for column, kind in kinds.items():
            if column not in columns:
                columns[column] = _default(kind, column, len(table.rows))
    return pd.DataFrame(columns, index=pd.Index(table.rows, dtype="int64"))


def _default(kind: str, column: str, length: int) -> Any:
    """What a column that the file lacks holds; buses become one that is not there and are refused by name."""
    if kind == "bool":
        return np.full(length, column in ("in_service", "closed"))
    if kind.startswith(("uint", "int")):
        return np.full(length, 1 if column in ("parallel", "max_step") else -1)
    if kind.startswith("Int"):
        return pd.array([pd.NA] * length, dtype="Int64")
    if kind.startswith("float"):
        return np.full(length, USUAL.get(column, np.nan))
    return np.full(length, None, dtype=object)


@dataclass(frozen=True)
class _Place:
    where: str
    column: str
    rows: list[int]

    def refuse(self, row: int, what: str) -> NoReturn:
        raise CaseError(f"{self.where}, row {self.rows[row]}, column {self.column!r}: {what}")


def _truths(cells: list[Any], here: _Place) -> Any:
    out = np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        if _missing(cell):
            if here.column in ("in_service", "closed"):
                here.refuse(row, "it is empty; give true or false")
        elif isinstance(cell, (bool, np.bool_)) or (_is_number(cell) and cell in (0, 1)):
            out[row] = cell
        else:
            here.refuse(row, f"{str(cell)[:60]!r} is neither true nor false")
    return out


def _typed_numbers(cells: list[Any], kind: str, here: _Place) -> Any:
    needed = here.column == "bus" or (here.column.endswith("_bus") and here.column != "ref_bus")
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if _is_number(cell):
            values[row] = cell
        elif isinstance(cell, float) and abs(cell) >= HUGE and not needed:
            values[row] = np.copysign(np.inf, cell)  # limits may be infinite
        elif not _missing(cell):
            here.refuse(row, f"{str(cell)[:60]!r} is no number")
    if kind.startswith("float"):
        return values
    empty = np.isnan(values)
    wrong = (values != np.round(values)) | (values < 0) | (values > LARGEST)
    bad = np.where(empty, needed, wrong)
    if bad.any():
        row = int(np.argmax(bad))
        here.refuse(row, f"{'it is empty' if empty[row] else f'{values[row]:.15g}'}; give a whole number from 0 to {LARGEST}")
    if kind.startswith("Int"):
        return pd.array([pd.NA if no else int(value) for no, value in zip(empty, values, strict=True)], dtype="Int64")
    return np.where(empty, 1.0 if here.column in ("parallel", "max_step") else 0.0, values).astype("int64")


def _check(net: Any, where: str) -> None:
    """Buses that are there, and numbers where the power flow needs them."""
    known = {"": net["bus"].index, "dc": net["bus_dc"].index}
    for name in ELEMENTS:
        table = net[name]
        if not len(table):
            continue
        for column in table:
            if column == "bus" or column.endswith("_bus") or column in DC_BUSES:
                if column == "ref_bus":
                    continue
                bad = ~table[column].isin(known["dc" if column in DC_BUSES else ""]).to_numpy()
                if bad.any():
                    row = int(np.argmax(bad))
                    value = table[column].iloc[row]
                    said = (
                        f"column {column!r} is missing or empty"
                        if value == -1
                        else f"{column} = {value} is not in the table of buses"
                    )
                    raise CaseError(f"{where}, table {name}, row {table.index[row]}: {said}")
        for column in NEEDED.get(name, ()):
            values = table[column].to_numpy(dtype=float)
            above = column in POSITIVE or (column == "sn_mva" and name in POSITIVE_RATING)
            bad = ~(np.isfinite(values) & (values > 0)) if above else ~np.isfinite(values)
            if bad.any():
                row = int(np.argmax(bad))
                raise CaseError(
                    f"{where}, table {name}, row {table.index[row]}, column {column!r}: {values[row]:g}; give a number"
                    + (" > 0" if above else "")
                )
    _check_switches(net, where)


def _check_switches(net: Any, where: str) -> None:
    names = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}
    for row, (kind, element) in zip(net["switch"].index, net["switch"][["et", "element"]].to_numpy(), strict=True):
        if kind not in names:
            raise CaseError(f"{where}, table switch, row {row}, column 'et': {kind!r}; give 'b', 'l', 't' or 't3'")
        if element not in net[names[kind]].index:
            raise CaseError(f"{where}, table switch, row {row}: element {element} is not in the table {names[kind]}")
