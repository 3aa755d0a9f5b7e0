"""Step responses by group, Hankel values, mode shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from coherence.errors import InputError
from coherence.network.modes import Modes
from coherence.plots import style
from coherence.plots.style import COLOURS, colour, drawing
from coherence.reduction.truncate import Truncation
from coherence.studies import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES: dict[str, tuple[str, float, Any]] = {
    "aggregated": ("black", 1.6, "-"),
    "reduced, turbines": ("black", 1.6, (0, (5, 2))),
    "reduced, closed_loop": ("black", 1.6, (0, (1, 1.2))),
}


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
            ax.set_ylabel("response [grids: rad/s]" if study.case is None else "frequency deviation [rad/s]")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, 2 * columns), fontsize=10)
        figure.suptitle(style.plain(f"{study.title}: step of {study.disturbance.sentence}"), fontsize=12, wrap=True)
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
