"""CSV tables with one header line: every cell is checked, and a bad one is named by file, line and column."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import CaseError

TEXT = {"label", "kind", "governor", "machine_model", "name", "group", "id", "fuel", "typical", "record"}


def read_table(
    path: Path, required: Sequence[str], *, text: frozenset[str] = frozenset(), empty: frozenset[str] = frozenset()
) -> pd.DataFrame:
    """The table in a CSV file: columns in `TEXT` or `text` are strings, all others finite numbers (NaN: an empty optional cell).

    Raises
    ------
    CaseError
        Not readable, a required column missing, a cell that is no number, or no rows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            raw = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, header=None)
        raw = raw.iloc[1:].set_axis(raw.iloc[0], axis=1).reset_index(drop=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: {' '.join(str(error).split())}; give a CSV table with one header line") from None
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {error.strerror or error}") from None
    raw.columns = pd.Index([str(c).strip() for c in raw.columns])
    return checked_table(raw, required, [f"{path}, line {i + 2}" for i in range(len(raw))], str(path), text=text, empty=empty)


def checked_table(
    raw: pd.DataFrame,
    required: Sequence[str],
    places: Sequence[str],
    name: str,
    *,
    text: frozenset[str] = frozenset(),
    empty: frozenset[str] = frozenset(),
) -> pd.DataFrame:
    """The same checks for a table at hand; `places` says where each row stands; cells of `empty` columns may be empty."""
    missing = [column for column in required if column not in raw.columns]
    if missing:
        raise CaseError(f"{name}: column {missing[0]!r} is missing; needed: {', '.join(required)}")
    twice = raw.columns[raw.columns.duplicated()]
    if len(twice):
        raise CaseError(f"{name}: column {twice[0]!r} occurs twice; keep one")
    if raw.empty:
        raise CaseError(f"{name} has no rows; give at least one")
    table = pd.DataFrame(index=pd.RangeIndex(len(raw)))
    for column in raw.columns:
        values = raw[column].map(lambda v: v.strip() if isinstance(v, str) else v).reset_index(drop=True)
        if column in TEXT or column in text:
            table[column] = values.fillna("").astype(str)
            continue
        numbers = pd.Series([_number(value) for value in values], dtype=float)  # pandas' own conversion is off by the last bit
        bad = ~np.isfinite(numbers.to_numpy(dtype=float))
        wrong = bad if column in required and column not in empty else bad & values.notna().to_numpy() & values.ne("").to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CaseError(f"{places[row]}, column {column!r}: {values.iloc[row]!r} is not a finite number")
        table[column] = numbers
    return table


def _number(value: object) -> float:
    """A cell as the nearest float; NaN where it is none."""
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return np.nan  # Python reads more than files should hold
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.nan
