"""Pictures of results: `coherence.plots.x(result)` returns a matplotlib Figure.

One visual language: the coherent or aggregated motion is black, single nodes are thin in the colour of their group, reduced models
are dashed; colours are the colour-blind-safe set of Okabe and Ito; every axis has its unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.grids.case import Case
from coherence.grids.powerflow import branch_ends, bus_index
from coherence.studies import Study
from coherence.theory.incoherence import Incoherence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#F0E442", "#5D3A9B", "#777777"]
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def incoherence(curve: Incoherence, *, title: str = "") -> Figure:
    """The incoherence curve with the hull bound and the source's bound over frequency."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        ax = figure.subplots()
        ax.loglog(
            curve.omega,
            curve.exact,
            color="black",
            lw=2.2,
            label=r"exact $\|T-\hat g\,11^{\top}\|_2$" if curve.k == 1 else rf"exact $\|T-T_{curve.k}\|_2$",
        )
        for bound, colour, style in ((curve.hull, COLOURS[0], "-"), (curve.source, COLOURS[1], "--")):
            value = np.where(bound.holds, bound.value, np.nan)
            ax.loglog(curve.omega, value, color=colour, ls=style, label=bound.theorem)
            if bound.holds.any() and not bound.holds.all():
                last = int(np.flatnonzero(bound.holds)[-1])
                ax.plot(curve.omega[last], value[last], "o", color=colour, ms=5)
        top = float(np.nanmax(curve.exact))
        ax.set_ylim(float(curve.exact.min()) / 3, top * 300)
        ax.set_xlim(curve.omega[0], curve.omega[-1])
        ax.set_xlabel(r"frequency $\omega$ [rad/s]")
        ax.set_ylabel("deviation from coherence [rad/s per pu]")
        ax.legend(loc="upper left", title="a bound ends (dot) where it is silent")
        _title(ax, title or "How far the network is from moving as one")
    return figure


def responses(study: Study) -> Figure:
    """Step responses by group: every node, the aggregated and reduced nodes, and the CoI; one panel per group."""
    k = study.partition.k
    columns = min(k, 3)
    rows = -(-k // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.6 * columns + 0.6, 4.2 * rows + 0.8), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
        full = study.responses["full"]
        lines = {
            "aggregated": ("black", 1.6, "-"),
            "reduced, turbines": ("black", 1.6, (0, (5, 2))),
            "reduced, closed_loop": ("black", 1.6, (0, (1, 1.2))),
        }
        for i, group in enumerate(study.partition.groups):
            ax, colour = axes[i], COLOURS[i % len(COLOURS)]
            for label in study.partition.members(group):
                ax.plot(full.time, full.frame[label], color=colour, lw=0.6, alpha=0.5)
            ax.plot([], [], color=colour, lw=1.2, label="single nodes")
            ax.plot(full.time, full.coi, color="#999999", lw=3.0, alpha=0.8, label="CoI of the whole network")
            for name, (shade, width, style) in lines.items():
                if name in study.responses:
                    model = study.responses[name]
                    ax.plot(model.time, model.frame.iloc[:, i], color=shade, lw=width, ls=style, label=name.replace("_", " "))
            _title(ax, f"group {group}: {len(study.partition.members(group))} nodes")
            ax.set_xlim(0, full.time[-1])
        for ax in axes[k:]:
            ax.set_visible(False)
        for ax in axes[max(0, k - columns) : k]:
            ax.set_xlabel("time [s]")
        for ax in axes[::columns]:
            ax.set_ylabel("frequency deviation [rad/s]")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, 2 * columns), fontsize=10)
        step = ", ".join(f"{size:g} pu at {label}" for label, size in study.disturbance.sizes.items())
        figure.suptitle(f"{study.case.title}: power step of {step}", fontsize=12)
    return figure


def grid(case: Case, partition: Partition) -> Figure:
    """The grid with its groups: branches, buses, and generators coloured by group (needs bus coordinates x, y)."""
    if case.buses is None or not {"x", "y"} <= set(case.buses.columns):
        raise InputError(f"case {case.name!r} has no bus coordinates (buses.csv: x, y), so its grid cannot be drawn")
    assert case.generators is not None
    if partition.labels != case.labels:
        raise InputError("the partition is of other nodes than the case's generators")
    xy = case.buses[["x", "y"]].to_numpy()
    f, t = branch_ends(case)
    row = bus_index(case)
    at = np.array([row[b] for b in case.generators["bus"]])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 8), layout="constrained")
        ax = figure.subplots()
        ax.add_collection(LineCollection(list(np.stack([xy[f], xy[t]], axis=1)), colors="#BBBBBB", linewidths=0.9, zorder=1))
        ax.plot(xy[:, 0], xy[:, 1], ".", color="#999999", ms=3, zorder=2)
        size = 25 + 2.2 * case.generators["mbase_mva"].to_numpy()
        for i, group in enumerate(partition.groups):
            mine = partition.assignment == i
            ax.scatter(
                xy[at[mine], 0],
                xy[at[mine], 1],
                s=size[mine],
                color=COLOURS[i % len(COLOURS)],
                edgecolor="white",
                lw=0.8,
                zorder=3,
                label=f"group {group}: {int(mine.sum())} generators",
            )
        _name_plants(ax, case, xy[at])
        ax.set_aspect("equal")
        ax.grid(False)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        ax.legend(loc="lower right", fontsize=10, title="dot area: machine base")
        _title(ax, f"{case.title}: coherent groups (schematic coordinates)")
    return figure


def _name_plants(ax: Axes, case: Case, xy: np.ndarray) -> None:
    """One name per plant, right of its units; units of one name far apart are named singly."""
    plants: dict[str, list[int]] = {}
    for i, label in enumerate(case.labels):
        name = label.rsplit(" ", 1)[0] if label.rsplit(" ", 1)[-1][:1].isdigit() else label
        plants.setdefault(name, []).append(i)
    span = float(np.ptp(xy, axis=0).max()) or 1.0
    for name, members in plants.items():
        together = np.ptp(xy[members], axis=0).max() < 0.15 * span
        for text, units in [(name, members)] if together else [(case.labels[i], [i]) for i in members]:
            x, y = xy[units].max(axis=0)[0], xy[units].mean(axis=0)[1]
            ax.annotate(text, (x, y), xytext=(9, 0), textcoords="offset points", fontsize=8, color="#222222", va="center", zorder=4)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, loc="left", fontsize=11)
