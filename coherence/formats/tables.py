"""CSV tables with one header line: every cell is checked, and a bad one is named by file, line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.text import read_text
from coherence.types import Real

TEXT = {"label", "kind", "governor", "machine_model", "name", "group", "id", "fuel", "typical", "record"}


def read_table(
    path: Path,
    required: Sequence[str],
    *,
    text: frozenset[str] = frozenset(),
    empty: frozenset[str] = frozenset(),
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """The table in a CSV file: columns in `TEXT` or `text` are strings, all others finite numbers (NaN: an empty optional cell).

    Columns part by commas, semicolons or tabs (with the last two, commas in numbers are decimal points); empty lines and those that
    begin with # are passed over. `attrs["lines"]` has the line of each row. Columns among `names` are known in capitals too.

    Raises
    ------
    CaseError
        Not readable, a required column missing, a cell that is no number, or no rows.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = [(k, line) for k, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    if not rows:
        raise CaseError(f"{path} is empty; give a CSV table with one header line")
    mark = max(",;\t", key=rows[0][1].count)  # what spreadsheets part columns by; with another mark, commas are decimal points
    try:
        cells = list(csv.reader([line for _, line in rows], delimiter=mark, strict=True))
    except csv.Error as error:
        raise CaseError(f"{path}: {error}; give a CSV table with one header line") from None
    if len(cells) != len(rows):
        raise CaseError(f"{path}: a quoted cell is not closed in its line; give a CSV table with one line a row")
    header = [cell.strip() for cell in cells[0]]
    body = []
    for (line, _), row in zip(rows[1:], cells[1:], strict=True):
        if len(row) > len(header):
            raise CaseError(f"{path}, line {line}: {len(row)} cells under {len(header)} columns; correct the row or the header")
        body.append([*row, *[""] * (len(header) - len(row))])
    raw = pd.DataFrame(body, columns=pd.Index(header), dtype=object)
    if mark != ",":
        raw = raw.map(lambda cell: cell.replace(",", ".") if _DECIMAL.fullmatch(cell.strip()) else cell)
    places = [f"{path}, line {k}" for k, _ in rows[1:]]
    table = checked_table(raw, required, places, str(path), text=text, empty=empty, names=names)
    table.attrs["lines"] = [k for k, _ in rows[1:]]
    return table


_DECIMAL = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")


def checked_table(
    raw: pd.DataFrame,
    required: Sequence[str],
    places: Sequence[str],
    name: str,
    *,
    text: frozenset[str] = frozenset(),
    empty: frozenset[str] = frozenset(),
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """The same checks for a table at hand; `places` says where each row stands; cells of `empty` columns may be empty."""
    known = {name.lower(): name for name in names}
    raw = raw.rename(columns=lambda column: known.get(str(column).lower(), column))
    missing = [column for column in required if column not in raw.columns]
    if missing:
        raise CaseError(f"{name}: column {missing[0]!r} is missing; needed: {', '.join(required)}")
    twice = raw.columns[raw.columns.duplicated()]
    if len(twice):
        raise CaseError(f"{name}: column {twice[0]!r} occurs twice; keep one")
    if raw.empty:
        raise CaseError(f"{name} has no rows; give at least one")
    table: dict[str, list[str] | Real] = {}
    for column in raw.columns:
        values = [value.strip() if isinstance(value, str) else value for value in raw[column].tolist()]
        blank = [value is None or value is pd.NA or value == "" or value != value for value in values]  # NaN is not itself
        if column in TEXT or column in text:
            table[column] = ["" if none else str(value) for value, none in zip(values, blank, strict=True)]
            continue
        numbers = np.array([_number(value) for value in values])  # pandas' own conversion is off by the last bit
        wrong = ~np.isfinite(numbers)
        if column not in required or column in empty:
            wrong &= ~np.array(blank)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CaseError(f"{places[row]}, column {column!r}: {values[row]!r} is not a finite number")
        table[column] = numbers
    return pd.DataFrame(table)


def _number(value: object) -> float:
    """A cell as the nearest float; NaN where it is none."""
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return np.nan  # Python reads more than files should hold
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.nan
