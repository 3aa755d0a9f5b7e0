"""Smallest models: the error by number of groups, and over frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from coherence.plots import style
from coherence.plots.style import COLOURS, drawing
from coherence.reduction.smallest import Reduction

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

POINTS = 600


def errors_by_groups(table: pd.DataFrame, *, tolerances: tuple[float, ...] = (0.1, 0.03, 0.01), title: str = "") -> Figure:
    """How the error falls with the number of groups (`coherence.errors_by_groups`), above what no model can do."""
    with drawing(8, 4.5) as figure:
        ax = figure.subplots()
        k, floor = table.index.to_numpy(), table["any groups"].to_numpy()
        lines = [table[name].to_numpy() for name in table.columns if name != "any groups"]
        positive = np.concatenate([*lines, floor])
        positive = positive[positive > 0]
        bottom = 0.5 * float(positive.min(initial=1.0))
        ax.fill_between(k, bottom, np.maximum(floor, bottom), color="black", alpha=0.12, lw=0, label="no model of k nodes")
        for number, (name, dash) in enumerate(zip(table.columns.drop("any groups"), ((0, (1, 1)), "-", "--"), strict=False)):
            label = {"these groups": "these groups, any interconnection"}.get(name, name)
            values = table[name].to_numpy()
            ax.semilogy(k, np.where(values > 0, values, np.nan), color=COLOURS[number], ls=dash, marker="o", ms=3.5, label=label)
        for tolerance in tolerances:
            ax.axhline(tolerance, color="black", lw=0.6)
            ax.annotate(f"{tolerance:.0%}", (k[-1], tolerance), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        ax.set_ylim(bottom, 2 * float(positive.max(initial=1.0)))
        ax.set_xlim(k[0], k[-1])
        ax.set_xlabel("number of groups")
        ax.set_ylabel(r"largest $\|T-\hat T\|_2\,/\,\|T\|_2$ in the band")
        ax.legend(loc="upper right")
        style.title(ax, title or "What a number of groups can do")
    return figure


def reduction(found: Reduction, *, title: str = "") -> Figure:
    """The error of a smallest model over its band, below its tolerance."""
    with drawing(8, 4.5) as figure:
        ax = figure.subplots()
        low, high = found.error.band
        w = np.linspace(max(low, 1e-3 * high), high, POINTS)
        values = found.errors(w).to_numpy()
        ax.semilogy(w / (2 * np.pi), np.where(values > 0, values, np.nan), color=COLOURS[0], label="reduced network")
        ax.axhline(found.tolerance, color="black", lw=0.8, label="tolerance")
        ax.axhline(found.error.upper, color=COLOURS[1], lw=1.2, ls="--", label="certified")
        ax.set_xlabel("frequency [Hz]")
        ax.set_ylabel(r"$\|T-\hat T\|_2\,/\,\|T\|_2$")
        ax.set_xlim(low / (2 * np.pi), high / (2 * np.pi))
        ax.legend(loc="lower right")
        style.title(
            ax, title or f"{found.full.size} to {found.network.size} nodes, {found.full.order} to {found.network.order} states"
        )
    return figure
