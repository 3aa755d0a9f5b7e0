"""Pages and progress on a terminal: tables drawn by rich on standard output, the bar on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from coherence import progress as stages
from coherence.display import Page, readable

WIDEST = 160  # columns of a page that goes to a file or a pipe


def show(page: Page) -> None:
    """Print a page: bold title, facts, tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDEST)
    console.print(Text(repr(page), style="bold"))
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in page.facts.items():
        facts.add_row(name, Text(fact))
    if page.facts:
        console.print(facts)
    for title, table in page.titled:
        console.print()
        console.print(Text(title, style="bold"))
        console.print(_table(table))


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    text = readable(frame)
    table.add_column(Text(str(frame.index.name or "")), overflow="fold")
    for column in frame:
        number = pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column])
        table.add_column(Text(str(column)), justify="right" if number else "left", overflow="fold", no_wrap=bool(number))
    for label, row in text.iterrows():
        shown = readable(pd.DataFrame([[label]])).iloc[0, 0]
        table.add_row(Text(str(shown)), *(Text(str(value)) for value in row))
    return table


@contextmanager
def bar() -> Iterator[stages.Progress]:
    """A progress bar on standard error, only where that is a terminal; it disappears when the work is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield stages.silent
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("", total=1.0)
        yield lambda stage, done: display.update(task, description=stage, completed=done)
