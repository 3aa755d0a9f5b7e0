"""Responses of all nodes, step responses by group, Hankel values, mode shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from coherence.compare import ResponseDifference
from coherence.errors import InputError, UnknownNameError
from coherence.graphs.partition import Partition
from coherence.network.modes import Modes
from coherence.nodes.nodes import unknown_name
from coherence.plots import style
from coherence.plots.style import COLOURS, colour, drawing
from coherence.reduction.truncate import Truncation
from coherence.simulation.guarantees import Guarantee
from coherence.simulation.response import Response
from coherence.studies import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COHERENT = "#C00000"  # dashed upon the blue of the center of inertia, which it mostly covers
UNIT = "response [grids: rad/s]"
MOST_ROWS = 40  # nodes of a guarantee that are drawn
LINES: dict[str, tuple[str, float, Any]] = {
    "aggregated": ("black", 1.6, "-"),
    "reduced, turbines": ("black", 1.6, (0, (5, 2))),
    "reduced, closed_loop": ("black", 1.6, (0, (1, 1.2))),
}


def response(found: Response, coherent: Response | None = None, *, highlight: Collection[str] = (), title: str = "") -> Figure:
    """A response: every node thin, those to highlight named, the center of inertia, the coherent dynamics' response beside."""
    with drawing(8, 4.8) as figure:
        ax = figure.subplots()
        panel(ax, found, coherent, highlight)
        ax.set_xlabel("time [s]")
        ax.set_ylabel(UNIT)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=10)
        style.title(ax, title or repr(found))
    return figure


def response_grid(
    panels: Mapping[str, Mapping[str, Response | tuple[Response, Response]]], *, highlight: Collection[str] = (), title: str = ""
) -> Figure:
    """Responses in rows and columns, row title -> column title -> response or (response, coherent one); a column has one scale."""
    columns = list(next(iter(panels.values()), ()))
    if not columns:
        raise InputError("there are no responses to draw; give row title -> column title -> response")
    for name, row in panels.items():
        if list(row) != columns:
            raise InputError(f"row {name!r} has columns {list(row)}; give every row those of the first, {columns}")
    width = max(3.3 * len(columns) + 0.9, 9.0)
    with drawing(width, max(2.4 * len(panels), 3.2) + 1.2) as figure:
        axes = figure.subplots(len(panels), len(columns), sharex="col", sharey="col", squeeze=False)
        for (name, row), line in zip(panels.items(), axes, strict=True):
            for ax, given in zip(line, row.values(), strict=True):
                found, coherent = given if isinstance(given, tuple) else (given, None)
                panel(ax, found, coherent, highlight)
            line[0].set_ylabel(f"{style.plain(name)}\n{UNIT}")
        for column, name in zip(axes.T, columns, strict=True):
            style.title(column[0], name)
            column[0].set_xlim(0, max(line.get_xdata()[-1] for ax in column for line in ax.get_lines() if len(line.get_xdata())))
        for ax in axes[-1]:
            ax.set_xlabel("time [s]")
        shown = {text: line for ax in axes.ravel() for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=int(width / 1.8), fontsize=10)
        if title:
            figure.suptitle(style.plain(title), fontsize=12, wrap=True)
    return figure


def guarantee(found: Guarantee, seen: ResponseDifference | None = None, *, title: str = "") -> Figure:
    """What is proved of every node's deviation from the coherent response, and what was seen of it; the least sure nodes on top."""
    bound = found.frame["bound"].sort_values().iloc[-MOST_ROWS:]
    y, names = np.arange(len(bound)), [style.plain(str(label)) for label in bound.index]
    with drawing(8, max(2.6, 0.21 * len(bound) + 1.3)) as figure:
        ax = figure.subplots()
        if seen is not None:
            if set(bound.index) - set(seen.norms.index):
                raise InputError("the difference is of other nodes than the guarantee; take both of one network")
            reached = seen.norms["linf"][list(bound.index)]
            ax.hlines(y, reached, bound, color="#BBBBBB", lw=1.0)
            ax.plot(reached, y, "o", color=COLOURS[0], ms=4.5, label="largest deviation seen")
        ax.plot(bound, y, "|", color=COHERENT, ms=9, mew=2.0, label="proved bound")
        ax.set_yticks(y, names, fontsize=8)
        ax.set_ylim(-0.8, len(bound) - 0.2)
        ax.set_xlim(0, 1.05 * float(bound.max()))
        ax.set_xlabel("deviation from the coherent response [grids: rad/s]")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10)
        style.title(ax, title or repr(found))
    return figure


def panel(
    ax: Axes,
    found: Response,
    coherent: Response | None,
    highlight: Collection[str],
    *,
    scale: float = 1.0,
    beside: str = r"coherent dynamics $\hat g$",
) -> None:
    """Every node, the center of inertia and one coherent response in given axes, in rad/s times `scale`."""
    if coherent is not None and coherent.frame.shape[1] != 1:
        raise InputError(f"the coherent response has {coherent.frame.shape[1]} outputs; give that of coherent_dynamics(network)")
    if isinstance(highlight, str):
        raise InputError(f"highlight = {highlight!r}; give a list of labels")
    for label in highlight:
        if label not in found.frame:
            raise UnknownNameError(unknown_name("node", label, list(map(str, found.frame.columns))))
    others = found.frame.drop(columns=list(highlight))
    if others.shape[1]:
        ax.plot(found.time, scale * others.to_numpy(), color="#999999", lw=0.6, alpha=0.55)
        ax.plot([], [], color="#999999", lw=1.2, label="other nodes" if highlight else "single nodes")
    for number, label in enumerate(highlight):
        ax.plot(found.time, scale * found.frame[label], color=colour(number + 2), lw=1.0, label=style.plain(label))
    if found.inertia.sum() > 0:
        ax.plot(found.time, scale * found.coi, color=COLOURS[0], lw=2.4, label="center of inertia")
    if coherent is not None:
        ax.plot(coherent.time, scale * coherent.frame.iloc[:, 0], color=COHERENT, lw=1.4, ls=(0, (4, 2.5)), label=beside)
    ax.set_xlim(0, found.time[-1])


def responses(study: Study) -> Figure:
    """Step responses: one panel per group with every node, the aggregated and reduced nodes, and the CoI."""
    k = study.partition.k
    columns = min(k, 3)
    rows = -(-k // columns)
    full, hit = study.responses["full"], set(study.disturbance.sizes)
    with drawing(max(4.6 * columns + 0.6, 7.0), 4.2 * rows + 0.8) as figure:
        axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
        for i, group in enumerate(study.partition.groups):
            ax = axes[i]
            for label in study.partition.members(group):
                strong = label in hit
                ax.plot(full.time, full.frame[label], color=colour(i), lw=0.9 if strong else 0.6, alpha=0.9 if strong else 0.45)
            ax.plot([], [], color=colour(i), lw=1.2, label="single nodes")
            ax.plot(full.time, full.coi, color="#999999", lw=3.0, alpha=0.8, label="CoI of the whole network")
            for name, (shade, width, dash) in LINES.items():
                if name in study.responses:
                    model = study.responses[name]
                    ax.plot(model.time, model.frame.iloc[:, i], color=shade, lw=width, ls=dash, label=name.replace("_", " "))
            members = study.partition.members(group)
            count = f"{len(members)} nodes" if len(members) > 1 else members[0]
            style.title(ax, f"group {group}: {count}" + (" (disturbed)" if hit & set(members) else ""))
            ax.set_xlim(0, full.time[-1])
        for ax in axes[k:]:
            ax.set_visible(False)
        for ax in axes[max(0, k - columns) : k]:
            ax.set_xlabel("time [s]")
            ax.tick_params(labelbottom=True)
        for ax in axes[::columns]:
            ax.set_ylabel(UNIT if study.case is None else "frequency deviation [rad/s]")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, 2 * columns), fontsize=10)
        figure.suptitle(style.plain(f"{study.title}: step of {study.disturbance.sentence}"), fontsize=12, wrap=True)
    return figure


def group_responses(full: Response, reduced: Response, partition: Partition, *, title: str = "") -> Figure:
    """All nodes with one node per group dashed upon them (Figure 3-5): together at the left, group by group beside."""
    if partition.labels != tuple(full.frame.columns) or set(partition.groups) != set(reduced.frame.columns):
        raise InputError("the partition is of other nodes, or the reduced response of other groups; give those of one aggregation")
    with drawing(3.4 * (partition.k + 1) + 1.2, 4.2) as figure:
        axes = figure.subplots(1, partition.k + 1, sharex=True, sharey=True)
        for i, group in enumerate(partition.groups):
            own = full.frame[list(partition.members(group))]
            for ax in (axes[0], axes[i + 1]):
                ax.plot(full.time, own.to_numpy(), color=colour(i), lw=0.6, alpha=0.5)
                ax.plot(reduced.time, reduced.frame[group], color="black", lw=1.4, ls=(0, (4, 2.5)))
            axes[0].plot([], [], color=colour(i), lw=1.2, label=style.plain(f"nodes of group {group}"))
            style.title(axes[i + 1], f"group {group}: {own.shape[1]} node{'s' if own.shape[1] > 1 else ''}")
        axes[0].plot([], [], color="black", lw=1.4, ls=(0, (4, 2.5)), label="one node per group")
        style.title(axes[0], title or "all nodes")
        for ax in axes:
            ax.set_xlabel("time [s]")
            ax.set_xlim(0, full.time[-1])
        axes[0].set_ylabel(UNIT)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=partition.k + 1, fontsize=10)
    return figure


def hankel(truncation: Truncation, *, title: str = "") -> Figure:
    """Weighted Hankel values of every truncated node, relative to its largest; a ring marks the last one kept."""
    curves = {label: values for label, values in truncation.hankel.items() if values.size}
    if not curves:
        raise InputError("no node was truncated, so there are no Hankel values to draw; ask for a lower order")
    with drawing(8, 4.6) as figure:
        ax = figure.subplots()
        longest = 0
        for i, (label, values) in enumerate(truncation.hankel.items()):
            if not values.size:
                continue
            relative = values[values > 1e-12 * values[0]] / values[0]
            order = np.arange(1, len(relative) + 1)
            ax.semilogy(
                order, relative, "o-", color=colour(i), ms=3.5, lw=1.0, label=style.plain(f"{label} ({len(values)} values)")
            )
            before, after = (int(truncation.table[name][label]) for name in ("order before", "order after"))
            kept = min(len(values) - before + after, len(relative))
            if kept >= 1:
                ax.semilogy(kept, relative[kept - 1], "o", color=colour(i), ms=11, mfc="none", mew=1.6)
            longest = max(longest, len(relative))
        ax.set_xlim(0.5, min(longest, 30) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("index")
        ax.set_ylabel("weighted Hankel value / largest [-]")
        ax.legend(title="node (ring: last value kept)", alignment="left", ncols=2 if len(curves) > 6 else 1)
        style.title(ax, (f"{title}: " if title else "") + f"what truncation of the {truncation.part.replace('_', ' ')} keeps")
    return figure


def mode_shape(modes: Modes, mode: int = 1, *, title: str = "") -> Figure:
    """One mode: how far and which way each machine swings, sorted; the darker, the more it participates."""
    if mode not in modes.table.index:
        raise InputError(f"mode = {mode!r}; give one of 1 to {len(modes.table)}")
    shape = modes.shapes[mode].sort_values(key=lambda z: z.apply(lambda w: w.real), ascending=False)
    share = modes.participations[mode].loc[shape.index].to_numpy()
    with drawing(max(6.0, 0.32 * len(shape) + 1.5), 4.2) as figure:
        ax = figure.subplots()
        depth = 0.25 + 0.75 * share / max(float(share.max()), np.finfo(float).tiny)
        values = np.array([complex(z).real for z in shape])
        for x, (value, alpha) in enumerate(zip(values, depth, strict=True)):
            ax.bar(x, value, color=COLOURS[0] if value >= 0 else COLOURS[1], alpha=float(alpha), width=0.8)
        ax.axhline(0.0, color="black", lw=0.8)
        ax.set_xticks(
            range(len(shape)),
            [str(label) for label in shape.index],
            rotation=60 if len(shape) > 12 else 0,
            ha="right" if len(shape) > 12 else "center",
        )
        ax.set_ylabel("speed, in phase with the largest")
        row = modes.table.loc[mode]
        style.title(ax, title or f"mode {mode}: {row['frequency_hz']:.3f} Hz, damping {100 * row['damping_ratio']:.2f} %")
    return figure
