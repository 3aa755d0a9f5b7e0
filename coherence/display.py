"""Results as pages: a title, facts (name: sentence) and labelled tables, shown as text, HTML or plain data.

A result derives from `Page` and says its facts and tables once; notebooks, the command line and files all show those.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # pages without tables need no pandas
    import pandas as pd

DIGITS = 4  # significant, in tables meant for reading; files keep them all


class Page:
    """Base of results that show themselves; `facts` and `tables` are overridden."""

    @property
    def facts(self) -> dict[str, str]:
        """What one line says, by name."""
        return {}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Labelled tables, by a short name that stays."""
        return {}

    @property
    def captions(self) -> dict[str, str]:
        """What stands over a table, where the name does not say it all."""
        return {}

    @property
    def titled(self) -> list[tuple[str, pd.DataFrame]]:
        """Caption and table, in order."""
        return [(self.captions.get(name, name), table) for name, table in self.tables.items()]

    def text(self) -> str:
        """The page as plain text."""
        width = max(map(len, self.facts), default=0)
        lines = [repr(self), *(f"{name:<{width}}  {fact}" for name, fact in self.facts.items())]
        for title, table in self.titled:
            lines += ["", title, readable(table).to_string()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The page as plain data for JSON: every digit; what is not finite becomes the string "inf", "-inf" or "nan"."""
        tables = {name: _plain_table(table) for name, table in self.tables.items()}
        return {"result": repr(self), "facts": dict(self.facts), "tables": tables}

    def _repr_html_(self) -> str:
        facts = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(fact)}</td></tr>" for name, fact in self.facts.items())
        tables = "".join(
            f"<h4>{html.escape(title)}</h4>{readable(table).to_html(border=0, max_rows=40)}" for title, table in self.titled
        )
        return f"<div><p><b>{html.escape(repr(self))}</b></p>{f'<table>{facts}</table>' if facts else ''}{tables}</div>"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Every number as text of a few significant digits."""
    return table.map(lambda value: f"{value:.{DIGITS}g}" if isinstance(value, (float, np.floating)) else value)


def _plain_table(table: pd.DataFrame) -> list[dict[str, Any]]:
    flat = table.reset_index()
    return [{str(k): _plain(v) for k, v in row.items()} for row in flat.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else str(float(value))
    return str(value)
