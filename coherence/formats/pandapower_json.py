r"""JSON files of pandapower as a `Case`, without running anything that they name.

    {"_class": "pandapowerNet", "_object": {"sn_mva": 100, "f_hz": 60, ...,
        "bus": {"_class": "DataFrame", "orient": "split", "_object": '{"columns": [...], "index": [...], "data": [[...], ...]}'}}}

pandapower's own reader imports the modules and builds the classes that a file names; here a file is text, numbers and truth values
in tables, and all else (controllers, characteristics, shapes) is left out. Files of the versions that the installed pandapower
reads are read: this layout, with tables by rows or by columns, and that of version 1, where a table is columns of values by row.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from coherence.errors import CaseError
from coherence.formats.pandapower import converted_case, require_pandapower
from coherence.formats.pandapower_tables import LARGEST, SCALARS, TABLES, Plain, network_of_tables
from coherence.grids.case import Case
from coherence.grids.pandapower import quiet

LEFT_OUT = {
    "controller": "controllers are left out: taps and set-points stand as they are",
    "characteristic": "characteristics (impedances that depend on the tap) are left out",
}


def read_pandapower(path: str | Path, *, f_hz: float | None = None, base_mva: float | None = None) -> Case:
    """Read a JSON file that `pandapower.to_json` wrote; nothing that the file names is imported or run.

    Parameters
    ----------
    path : str or Path
    f_hz : float, optional
        Nominal frequency [Hz] in place of the file's.
    base_mva : float, optional
        System base [MVA] in place of the file's `sn_mva`.

    Returns
    -------
    Case
        As from `case_of_pandapower`. Results of a power flow in the file are its solved voltages, where they fit its buses.

    Raises
    ------
    CaseError
        No file, no JSON (the line is named), no pandapower network, or a table that cannot be used (it is named with its row).
        Pickles are refused: reading one runs what is in it.
    MissingExtraError
        pandapower is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import pandapower, pandapower.networks
    >>> from coherence import read_pandapower
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pandapower.to_json(pandapower.networks.case9(), f"{folder}/case9.json")
    ...     read_pandapower(f"{folder}/case9.json")
    Case('case9': 9 buses, 9 branches, 3 generators, 60 Hz, 100 MVA)
    """
    source = Path(path)
    require_pandapower()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas on odd columns; what matters is said in notes
        contents = _contents(source)
        where = str(source)
        found = {name: _frame(contents[name], f"{where}, table {name}") for name in TABLES if name in contents}
        if "bus" not in found or not found["bus"].rows:
            raise CaseError(f"{where}: the table bus is {'empty' if 'bus' in found else 'missing'}; a network needs buses")
        notes = [
            f"{count} {words}"
            for table, words in LEFT_OUT.items()
            if (count := _count(contents.get(table), f"{where}, table {table}"))
        ]
        net = network_of_tables(found, contents, where)
        title = contents.get("name")
        with quiet():
            case = converted_case(
                net, where, title if isinstance(title, str) and title else source.stem, f_hz=f_hz, base_mva=base_mva
            )
    return replace(case, notes=(*case.notes, *notes))


def _contents(path: Path) -> dict[str, Any]:
    """Tables and scalars of the file as JSON has them."""
    if path.suffix.lower() in (".p", ".pkl", ".pickle"):
        raise CaseError(f"{path} is a pickle, which runs code when read; save the network with pandapower.to_json")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {error.strerror or error}") from None
    if raw[:1] == b"\x80":
        raise CaseError(f"{path} is a pickle, which runs code when read; save the network with pandapower.to_json")
    if raw[:2] == b"PK":
        raise CaseError(f"{path} is an Excel file or another archive; save the network with pandapower.to_json")
    if raw[:4] == b"gAAA":
        raise CaseError(f"{path} is encrypted; read it with pandapower and its key, and save it without one")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise CaseError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is no UTF-8; save the network with pandapower.to_json"
        ) from None
    whole = _json(text, str(path))
    if isinstance(whole, dict) and whole.get("_class") == "pandapowerNet":
        whole = whole.get("_object")
        whole = _json(whole, f"{path}, _object") if isinstance(whole, str) else whole
    elif isinstance(whole, dict) and "_class" in whole:
        raise CaseError(f"{path} holds a {str(whole['_class'])[:60]!r}, not a pandapower network")
    if not isinstance(whole, dict) or "bus" not in whole:
        raise CaseError(f"{path} holds no pandapower network; save one with pandapower.to_json")
    parameters = whole.get("parameters")
    values = parameters.get("parameter") if isinstance(parameters, dict) else None  # version 1
    return whole | {key: values[key] for key in SCALARS if key in values} if isinstance(values, dict) else whole


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CaseError(f"{where}, line {error.lineno}, column {error.colno}: {error.msg}; the JSON is damaged") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:100]
        raise CaseError(f"{where}: the JSON is damaged ({reason})") from None


def _frame(value: Any, where: str) -> Plain:
    """A table: rows of split orientation, or columns of values by row."""
    if isinstance(value, dict) and "_class" in value:
        if value["_class"] != "DataFrame":
            raise CaseError(f"{where} is a {str(value['_class'])[:60]!r}; it must be a DataFrame")
        inner = value.get("_object")
        orient = value.get("orient", "columns")
        value = _json(inner, where) if isinstance(inner, str) else inner
    else:
        orient = "columns"
    if not isinstance(value, dict):
        raise CaseError(f"{where} is no table")
    if orient == "split":
        columns, index, data = (value.get(key) for key in ("columns", "index", "data"))
        if not (isinstance(columns, list) and isinstance(index, list) and isinstance(data, list)):
            raise CaseError(f"{where} has no lists columns, index and data")
        if len(index) != len(data):
            raise CaseError(f"{where} has {len(index)} row numbers for {len(data)} rows")
        rows = _numbers(index, where)
        for row, cells in zip(rows, data, strict=True):
            if not isinstance(cells, list) or len(cells) != len(columns):
                raise CaseError(
                    f"{where}, row {row}: {len(cells) if isinstance(cells, list) else 'no'} cells for {len(columns)} columns"
                )
        cells_of = list(zip(*data, strict=True)) if data else [()] * len(columns)
    elif orient == "columns":
        columns = list(value)
        if not all(isinstance(cells, dict) for cells in value.values()):
            raise CaseError(f"{where}: a column is not values by row number")
        index = list(dict.fromkeys(row for cells in value.values() for row in cells))
        rows = _numbers(index, where)
        cells_of = [tuple(cells.get(row) for row in index) for cells in value.values()]
    else:
        raise CaseError(f"{where} has orient = {orient!r}; 'split' and 'columns' are understood")
    if not all(isinstance(column, str) for column in columns):
        bad = next(column for column in columns if not isinstance(column, str))
        raise CaseError(f"{where}: a column is named {str(bad)[:60]!r}, which is no text")
    twice = next((c for i, c in enumerate(columns) if c in columns[:i]), None)
    if twice is not None:
        raise CaseError(f"{where}: column {twice!r} occurs twice; keep one")
    return Plain(rows, {name: list(cells) for name, cells in zip(columns, cells_of, strict=True)})


def _numbers(index: list[Any], where: str) -> list[int]:
    """Row numbers: whole, unique and not so large that pandapower's look-up tables fill the memory."""
    out = []
    for value in index:
        plain = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 12 else value
        if isinstance(plain, bool) or not isinstance(plain, int) or not 0 <= plain <= LARGEST:
            raise CaseError(f"{where}: {str(value)[:60]!r} is no row number from 0 to {LARGEST}")
        out.append(plain)
    if len(set(out)) != len(out):
        twice = next(value for i, value in enumerate(out) if value in out[:i])
        raise CaseError(f"{where}: row number {twice} occurs twice; make it unique")
    return out


def _count(value: Any, where: str) -> int:
    try:
        return 0 if value is None else len(_frame(value, where).rows)
    except CaseError:
        return 0
