"""Graphs: the grid with its groups, a network with its weights, the spectral embedding, the reordered Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from coherence.errors import InputError
from coherence.graphs.clustering import degrees
from coherence.graphs.partition import Partition
from coherence.graphs.spectrum import slow_basis
from coherence.grids.case import Case
from coherence.grids.powerflow import branch_ends, bus_index
from coherence.groups.grouping import Grouping
from coherence.network.network import Network
from coherence.plots import style
from coherence.types import Int, Real

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 60  # nodes up to which every node has its name beside it
FEW = 12  # nodes up to which every edge has its weight beside it
EXACT_LAYOUT = 400  # nodes up to which the layout minimises the stress of all pairs (0.9 s there)


def grid(case: Case, partition: Partition, *, title: str = "") -> Figure:
    """The grid: branches, buses, and generators coloured by group.

    Coordinates are the case's (buses: x, y), otherwise a layout computed from the branches.
    """
    buses = case.grid[0]
    terminals = case.terminals
    if partition.labels != tuple(terminals.index):
        raise InputError("the partition is of other nodes than the case's generators; build it from the case's network")
    f, t = branch_ends(case)
    given = {"x", "y"} <= set(buses.columns) and not buses[["x", "y"]].isna().any().any()
    xy = buses[["x", "y"]].to_numpy() if given else layout(len(buses), f, t)
    row = bus_index(case)
    at = np.array([row[bus] for bus in terminals["bus"]])
    with style.drawing(9.5, 8) as figure:
        ax = figure.subplots()
        ax.add_collection(LineCollection(list(np.stack([xy[f], xy[t]], axis=1)), colors="#BBBBBB", linewidths=0.9, zorder=1))
        ax.plot(xy[:, 0], xy[:, 1], ".", color="#999999", ms=3, zorder=2)
        rated = terminals["mbase_mva"].to_numpy()
        size = 20 + 330 * rated / rated.max()
        _groups(ax, partition, xy[at], size, "generators")
        _name_plants(ax, list(terminals.index), xy[at])
        ax.set_aspect("equal")
        style.bare(ax)
        _legend(ax, "dot area: machine base")
        where = "schematic coordinates" if given else "computed layout"
        style.title(ax, title or f"{case.title}: coherent groups ({where})")
    return figure


def network(network: Network, partition: Partition | None = None, *, title: str = "") -> Figure:
    """A network: nodes (area: inertia, colour: group) joined by edges as wide as their weight; negative weights are dashed."""
    if network.size < 2:
        raise InputError("a network of one node has no edges to draw")
    n = network.size
    groups = Partition.of(network.labels, labels=network.labels) if partition is None else partition
    if groups.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    weights = -np.triu(network.dense_laplacian, 1)
    f, t = np.nonzero(np.abs(weights) > 1e-12 * np.abs(weights).max())
    values = weights[f, t]
    xy = _circle(n) if n <= FEW else layout(n, f, t, np.abs(values))
    inertia = network.nodes.inertia if network.basis is None else np.zeros(n)
    size = 60 + 700 * inertia / inertia.max() if n <= FEW and inertia.max() > 0 else np.full(n, 60.0 if n <= NAMED else 15.0)
    with style.drawing(8.5, 7) as figure:
        ax = figure.subplots()
        width = 0.4 + 4.6 * np.sqrt(np.abs(values) / np.abs(values).max())
        ends = np.stack([xy[f], xy[t]], axis=1)
        for sign, shade, dash in ((1, "#999999", "-"), (-1, style.NEGATIVE, (0, (3, 2)))):
            mine = np.sign(values) == sign
            if mine.any():
                ax.add_collection(
                    LineCollection(list(ends[mine]), colors=shade, linewidths=width[mine], linestyles=[dash], zorder=1)
                )
        if n <= FEW:
            for (a, b), value in zip(ends, values, strict=True):
                ax.annotate(f"{value:.3g}", 0.5 * (a + b), fontsize=10, ha="center", va="center", zorder=4).set_bbox(
                    {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
                )
        _groups(ax, groups, xy, size, "nodes", legend=partition is not None)
        if n <= NAMED:
            for label, point in zip(network.labels, xy, strict=True):
                ax.annotate(
                    style.plain(label), point, xytext=(12, 10), textcoords="offset points", fontsize=9 if n > FEW else 12, zorder=5
                )
        ax.set_aspect("equal")
        ax.margins(0.15)
        if n <= FEW:
            ax.set_xlim(-1.4, 1.4)
            ax.set_ylim(-1.25, 1.4)
        style.bare(ax)
        if partition is not None:
            _legend(ax, "groups")
        style.title(ax, (title or repr(network)) + "; lines: weight [grids: pu/rad]" + (", dot area: inertia" if n <= FEW else ""))
    return figure


def embedding(network: Network, partition: Partition, *, title: str = "") -> Figure:
    """The nodes in the plane of the second and third slowest mode, where coherent groups are clouds.

    For a `Grouping` by modes these are the modes of its own method, L v = lambda W v; for one by pivots the scores of its second
    and third group; for any other partition the modes with W = diag(L).
    """
    if network.size < 3 or network.basis is not None:
        raise InputError(f"an embedding needs a network of at least three nodes; this one has {network.size}")
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    xy, names, what = _coordinates(network, partition)
    with style.drawing(8, 6.4) as figure:
        ax = figure.subplots()
        _groups(ax, partition, xy, np.full(network.size, 55.0), "nodes")
        if network.size <= NAMED:
            _name_apart(ax, network.labels, xy)
        ax.set_xlabel(names[0])
        ax.set_ylabel(names[1])
        ax.margins(0.12)
        ax.legend(loc="best", fontsize=10)
        style.title(ax, (f"{title}: " if title else "") + what)
    return figure


def _coordinates(network: Network, partition: Partition) -> tuple[Real, list[str], str]:
    """Positions of the nodes in the plane, what the axes are, and what the picture is."""
    if isinstance(partition, Grouping) and partition.modes >= 3:
        points = partition.embedding.to_numpy()
        if partition.embedding.columns.name == "group":
            names = [f"score for group {g}, reference {partition.references[g]} [-]" for g in partition.groups[1:3]]
            return points[:, 1:3], [style.plain(name) for name in names], f"scores of {partition.method}"
        # rows may be normalised; the first mode is uniform, so that dividing by it gives the modes back
        values, xy, what = partition.eigenvalues, points[:, 1:3] / points[:, :1], f"slow modes of {partition.method}"
    else:
        basis = slow_basis(network.laplacian, 3, degrees(network.laplacian))
        values, xy, what = basis.values, basis.shapes[:, 1:3] / basis.shapes[:, :1], "spectral embedding"
    return xy, [f"{name} mode, eigenvalue {value:.4g}" for name, value in zip(("second", "third"), values[1:3], strict=True)], what


def laplacian(network: Network, partition: Partition, *, title: str = "") -> Figure:
    """|L_ij| with the nodes ordered by group: coherent groups are dark blocks on the diagonal."""
    if partition.labels != network.labels:
        raise InputError("the partition is of other nodes than this network's; build it from network.labels")
    order = np.argsort(partition.assignment, kind="stable")
    size = np.abs(network.dense_laplacian[np.ix_(order, order)])
    if not size.any():
        raise InputError("the network has no edges to draw")
    top = float(size.max())
    floor = min(max(float(size[size > 0].min()), top * 1e-4), 0.1 * top)
    with style.drawing(8, 7) as figure:
        ax = figure.subplots()
        shown = ax.imshow(
            np.where(size >= floor, size, np.nan), cmap="cividis_r", norm=LogNorm(floor, top), interpolation="nearest"
        )
        edge = 0
        for i, count in enumerate(partition.sizes):
            ax.add_patch(Rectangle((edge - 0.5, edge - 0.5), count, count, fill=False, edgecolor=style.colour(i), lw=2.0))
            edge += int(count)
        labels = [style.plain(network.labels[i]) for i in order]
        if len(labels) <= NAMED:
            ax.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
            ax.set_yticks(range(len(labels)), labels, fontsize=8)
        ax.grid(False)
        figure.colorbar(shown, ax=ax, label="|L_ij| [grids: pu/rad]; white: below the scale", shrink=0.85)
        style.title(ax, (f"{title}: " if title else "") + "Laplacian ordered by group")
    return figure


def layout(n: int, f: Int, t: Int, weights: Real | None = None) -> Real:
    """Positions of n nodes in the plane from their edges, the same every time; strong edges are short."""
    graph: nx.Graph = nx.empty_graph(n)
    length = np.ones(len(f)) if weights is None else 1.0 / np.sqrt(np.maximum(weights / weights.max(), 1e-2))
    for a, b, far in zip(f.tolist(), t.tolist(), length.tolist(), strict=True):
        graph.add_edge(a, b, length=min(far, graph.get_edge_data(a, b, {"length": far})["length"]))
    if n <= EXACT_LAYOUT:
        positions = nx.kamada_kawai_layout(graph, weight="length")
    else:
        positions = nx.spring_layout(graph, seed=0, iterations=100)
    return np.array([positions[i] for i in range(n)])


def _circle(n: int) -> Real:
    angle = (np.pi if n == 2 else np.pi / 2) - 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _groups(ax: Axes, partition: Partition, xy: Real, size: Real, what: str, *, legend: bool = True) -> None:
    for i, group in enumerate(partition.groups):
        mine = partition.assignment == i
        count = int(mine.sum())
        name = f"group {style.plain(group)}: {count} {what if count != 1 else what.removesuffix('s')}" if legend else None
        ax.scatter(xy[mine, 0], xy[mine, 1], s=size[mine], color=style.colour(i), edgecolor="white", lw=0.8, zorder=3, label=name)


def _legend(ax: Axes, heading: str) -> None:
    legend = ax.legend(loc="best", fontsize=10, title=heading, alignment="left")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([70.0])


def _name_plants(ax: Axes, labels: list[str], xy: Real) -> None:
    """One name per plant, right of its units; units of one name far apart are named singly."""
    plants: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        name = label.rsplit(" ", 1)[0] if label.rsplit(" ", 1)[-1][:1].isdigit() else label
        plants.setdefault(name, []).append(i)
    if len(plants) > NAMED:
        return
    span = float(np.ptp(xy, axis=0).max()) or 1.0
    for name, members in plants.items():
        together = np.ptp(xy[members], axis=0).max() < 0.15 * span
        for text, units in [(name, members)] if together else [(labels[i], [i]) for i in members]:
            x, y = xy[units].max(axis=0)[0], xy[units].mean(axis=0)[1]
            ax.annotate(
                style.plain(text),
                (x, y),
                xytext=(9, 0),
                textcoords="offset points",
                fontsize=8,
                color="#222222",
                va="center",
                zorder=4,
            )


def _name_apart(ax: Axes, labels: tuple[str, ...], xy: Real) -> None:
    """Names of the points that stand alone; of a cloud closer than 3 % of the picture only the first."""
    span = np.ptp(xy, axis=0)
    span[span == 0] = 1.0
    named: list[Real] = []
    for label, point in zip(labels, xy, strict=True):
        if all((np.abs(point - other) / span > (0.12, 0.03)).any() for other in named):
            ax.annotate(style.plain(label), point, xytext=(7, 5), textcoords="offset points", fontsize=8, color="#222222", zorder=4)
            named.append(point)
