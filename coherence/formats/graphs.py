r"""Cases and networks from networkx graphs whose nodes and edges carry the figures as attributes.

    case:     node  p_load_mw, q_load_mvar, g_shunt_mw, b_shunt_mvar, kv, vm_pu, va_deg, x, y
              of its generator, if any stands: p_mw, v_pu, mbase_mva, kind, H_s, D_pu, xd_prime_pu, R_pu, T_s, q_min_mvar,
              q_max_mvar of several: `generators`, a list of dictionaries of those
              edge  x_pu [, r_pu, b_pu, tap, shift_deg]
    network:  node  inertia, damping [, inverse_droop, time_constant]      edge  weight = -L_ij

Units are those of `grids.case`. The tap of a branch is at its from end: an edge of a directed graph runs from its first node to its
second, one of an undirected graph has the node named `from_bus`, else the earlier in the graph's order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError
from coherence.formats.matpower import bus_labels
from coherence.grids.case import Case, check_case
from coherence.grids.topology import finished, warn_of_units
from coherence.network.network import Network
from coherence.nodes.families import swing_turbine

BUS = {"p_load_mw": 0.0, "q_load_mvar": 0.0, "g_shunt_mw": 0.0, "b_shunt_mvar": 0.0}
BUS_MORE = ("kv", "vm_pu", "va_deg", "x", "y")
GENERATOR = {"p_mw": 0.0, "v_pu": 1.0}
GENERATOR_MORE = ("mbase_mva", "H_s", "D_pu", "xd_prime_pu", "R_pu", "T_s", "q_min_mvar", "q_max_mvar")
GENERATOR_TEXT = ("label", "kind", "fuel")
EDGE = {"r_pu": 0.0, "b_pu": 0.0, "tap": 1.0, "shift_deg": 0.0}
NODE = ("inertia", "damping", "inverse_droop", "time_constant")


@dataclass
class _Reading:
    """What no column understands, by kind of place."""

    unknown: dict[str, set[str]] = field(default_factory=dict)

    def number(self, values: Mapping[str, Any], key: str, where: str, default: float | None) -> float:
        if key not in values or values[key] is None:
            if default is None:
                raise CaseError(f"{where} has no {key}; give it")
            return default
        value = values[key]
        if (
            isinstance(value, (bool, np.bool_))
            or not isinstance(value, (int, float, np.number))
            or isinstance(value, np.complexfloating)
        ):
            raise CaseError(f"{where}: {key} = {str(value)[:60]!r} is no number")
        if np.isnan(value) and default is not None and np.isnan(default):
            return default
        limit = key in ("q_min_mvar", "q_max_mvar")
        if not (np.isfinite(value) or (limit and not np.isnan(value))):
            raise CaseError(f"{where}: {key} = {value} is not a finite number")
        return float(value)

    def left(self, what: str, values: Mapping[str, Any], known: set[str]) -> None:
        self.unknown.setdefault(what, set()).update(str(key) for key in values if key not in known)

    @property
    def notes(self) -> list[str]:
        return [f"attributes of {what} that are not used: {', '.join(sorted(keys))}" for what, keys in self.unknown.items() if keys]


def case_of_graph(graph: Any, *, f_hz: float, base_mva: float = 100.0, name: str | None = None) -> Case:
    """A grid whose nodes are buses and whose edges are branches, with the figures as attributes, as a Case.

    Parameters
    ----------
    graph : networkx Graph, DiGraph, MultiGraph or MultiDiGraph
        Nodes are numbered in the graph's order unless all are numbers >= 0; the original is kept as `name` of the bus. Attributes
        are the columns of a Case. A node has a generator if it carries one of p_mw, v_pu, mbase_mva, H_s, D_pu, xd_prime_pu, R_pu,
        T_s, kind or label; several, as an attribute `generators`, a list of dictionaries of these. An edge needs x_pu; r_pu, b_pu
        and shift_deg are 0 and tap is 1 where they do not stand.
    f_hz : float
        Nominal frequency [Hz].
    base_mva : float
        System base [MVA]; machine bases are the same where they are not given.
    name : str, optional
        Default the graph's own.

    Returns
    -------
    Case
        Without a generator of kind "slack" the largest by mbase_mva, then p_mw, becomes it, which is noted. Attributes that mean
        nothing here are noted.

    Raises
    ------
    CaseError
        A figure that cannot be used; the node or edge and the attribute are named.

    Examples
    --------
    >>> import networkx as nx
    >>> from coherence import case_of_graph
    >>> graph = nx.Graph()
    >>> graph.add_node("north", p_mw=80, H_s=4.0)
    >>> graph.add_node("south", p_load_mw=100, H_s=3.0)
    >>> graph.add_edge("north", "south", x_pu=0.1)
    >>> case_of_graph(graph, f_hz=50, name="two")
    Case('two': 2 buses, 1 branches, 2 generators, 50 Hz, 100 MVA)
    """
    _require_graph(graph)
    for what, value in (("f_hz", f_hz), ("base_mva", base_mva)):
        good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and np.isfinite(value) and value > 0
        if not good:
            raise InputError(f"{what} = {value!r}; give a number > 0")
    title = str(graph.graph.get("name") or "graph") if name is None else str(name)
    reading = _Reading()
    number, order = _bus_numbers(graph), {node: place for place, node in enumerate(graph)}
    buses, machines, owners = [], [], []
    for node, values in graph.nodes(data=True):
        where = f"graph node {node!r}"
        row: dict[str, Any] = {"bus": number[node], "name": str(node)}
        row |= {key: reading.number(values, key, where, default) for key, default in BUS.items()}
        row |= {key: reading.number(values, key, where, None) for key in BUS_MORE if values.get(key) is not None}
        buses.append(row)
        for place, own in _generators_of(values, where):
            machines.append(_generator(reading, own, place, number[node], base_mva))
            owners.append(place)
        in_list = values.get("generators") is not None
        reading.left(
            "nodes",
            values,
            {*BUS, *BUS_MORE, *((*GENERATOR, *GENERATOR_MORE, *GENERATOR_TEXT) if not in_list else ()), "generators"},
        )
    if not machines:
        raise CaseError(f"no node of the graph {title!r} has a generator; give one an attribute p_mw, H_s or generators")
    branches, edges = [], []
    for u, v, values in graph.edges(data=True):
        where = f"graph edge ({u!r}, {v!r})"
        f, t = _direction(graph, u, v, values, where, order)
        row = {"from_bus": number[f], "to_bus": number[t], "x_pu": reading.number(values, "x_pu", where, None)}
        branches.append(row | {key: reading.number(values, key, where, default) for key, default in EDGE.items()})
        edges.append(where)
        reading.left("edges", values, {"x_pu", "from_bus", *EDGE})
    columns = ["from_bus", "to_bus", "r_pu", "x_pu", "b_pu", "tap", "shift_deg"]
    generators = pd.DataFrame(machines)
    generators["label"] = _labels(generators)
    notes = reading.notes + _slack(generators)
    order_of = ["label", "bus", "kind", *GENERATOR, "mbase_mva"]
    generators = generators[[*order_of, *(column for column in generators if column not in order_of)]]
    if "H_s" in generators and "D_pu" not in generators:
        generators["D_pu"] = np.nan  # none stated
    if "fuel" in generators:
        generators["fuel"] = generators["fuel"].fillna("")
    case = Case(
        name=title,
        title=title,
        base_mva=float(base_mva),
        f_hz=float(f_hz),
        buses=pd.DataFrame(buses),
        branches=pd.DataFrame(branches, columns=columns),
        generators=generators,
        notes=tuple(notes),
    )
    names = [f"graph node {node!r}" for node in graph]
    places = {"buses": names, "branches": edges, "generators": owners}
    check_case(case, lambda table, row: places[table][row])
    return warn_of_units(finished(case))


def network_of_graph(graph: Any, coupling: Any = "1/s") -> Network:
    """A graph whose nodes carry their swing equations as a Network, g_i^{-1} = m_i s + d_i + r_i^{-1}/(tau_i s + 1).

    Parameters
    ----------
    graph : networkx Graph
        Undirected. Node attributes `inertia` m > 0 [pu s^2/rad], `damping` d (default 0) [pu s/rad] and, together, `inverse_droop`
        [pu s/rad] and `time_constant` [s]; edge attribute `weight` (default 1) [pu/rad].
    coupling : as of `Network`
        Default 1/s: power follows angles.

    Returns
    -------
    Network
        In the graph's order; `Network.to_networkx` gives such a graph back.

    Raises
    ------
    InputError
        A figure that cannot be used, a directed graph, or a node with inner states of another kind (`order`); it is named.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.1, Examples 1 and 2.

    Examples
    --------
    >>> import networkx as nx
    >>> from coherence import network_of_graph
    >>> graph = nx.path_graph(3)
    >>> nx.set_node_attributes(graph, 2.0, "inertia")
    >>> network_of_graph(graph)
    Network(3 nodes, 5 states, coupling 1/s)
    """
    _require_graph(graph)
    figures: dict[str, list[float]] = {key: [] for key in NODE}
    reading = _Reading()
    for node, values in graph.nodes(data=True):
        where = f"graph node {node!r}"
        try:
            mine = [reading.number(values, key, where, default) for key, default in zip(NODE, (None, 0.0, 0.0, 0.0), strict=True)]
        except CaseError as error:
            raise InputError(str(error)) from None
        order = values.get("order")
        if order is not None and order != 1 + (mine[2] != 0):
            raise InputError(
                f"{where} has order = {order!r}, of which inertia and damping tell 1 and a turbine 2; keep the Network itself"
            )
        for key, value in zip(NODE, mine, strict=True):
            figures[key].append(value)
    labels = [str(node) for node in graph]
    nodes = swing_turbine(**{key: np.array(values) for key, values in figures.items()}, labels=labels)
    return Network.from_graph(_summed(graph), nodes, coupling)


def _require_graph(graph: Any) -> None:
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise InputError(f"the graph is a {type(graph).__name__}; give a networkx graph")
    if not graph.number_of_nodes():
        raise InputError("the graph has no nodes")


def _summed(graph: Any) -> Any:
    """Parallel edges as one; their weights add up in the Laplacian all the same, but each must be a number."""
    import networkx as nx

    for u, v, value in graph.edges(data="weight", default=1.0):
        if isinstance(value, (bool, np.bool_)) or u == v:
            raise InputError(
                f"graph edge ({u!r}, {v!r}): " + ("it joins a node to itself; remove it" if u == v else f"weight = {value!r}")
            )
    return nx.MultiGraph(graph) if graph.is_multigraph() and not graph.is_directed() else graph


def _bus_numbers(graph: Any) -> dict[Hashable, float]:
    """The nodes themselves where all are numbers >= 0, else their place."""
    plain = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and 0 <= n < 2**53 for n in graph)
    return {node: int(node) if plain else place for place, node in enumerate(graph)}


def _generators_of(values: Mapping[str, Any], where: str) -> list[tuple[str, Mapping[str, Any]]]:
    listed = values.get("generators")
    signs = [key for key in (*GENERATOR, *GENERATOR_MORE, *GENERATOR_TEXT) if values.get(key) is not None]
    if listed is None:
        return [(where, values)] if signs else []
    if signs:
        raise CaseError(f"{where} has both {signs[0]} and generators; give one of them")
    if not isinstance(listed, (list, tuple)) or not all(isinstance(own, Mapping) for own in listed):
        raise CaseError(f"{where}: generators = {str(listed)[:60]!r}; give a list of dictionaries")
    return [(f"{where}, generators[{place}]", own) for place, own in enumerate(listed)]


def _generator(reading: _Reading, values: Mapping[str, Any], where: str, bus: float, base_mva: float) -> dict[str, Any]:
    row: dict[str, Any] = {"bus": bus}
    row |= {key: reading.number(values, key, where, default) for key, default in GENERATOR.items()}
    row |= {key: reading.number(values, key, where, np.nan) for key in GENERATOR_MORE if values.get(key) is not None}
    row.setdefault("mbase_mva", float(base_mva))
    for key in GENERATOR_TEXT:
        value = values.get(key)
        if value is not None and not isinstance(value, str):
            raise CaseError(f"{where}: {key} = {str(value)[:60]!r} is no text")
        if value is not None:
            row[key] = value
    row.setdefault("kind", "pv")
    if ", generators[" in where:
        reading.left("generators", values, {*GENERATOR, *GENERATOR_MORE, *GENERATOR_TEXT})
    return row


def _labels(generators: pd.DataFrame) -> list[str]:
    plain = bus_labels(generators["bus"])
    if "label" not in generators:
        return plain
    return [own if isinstance(own, str) else made for own, made in zip(generators["label"], plain, strict=True)]


def _slack(generators: pd.DataFrame) -> list[str]:
    if (generators["kind"] == "slack").any():
        return []
    real = generators["H_s"].notna() if "H_s" in generators else pd.Series(True, index=generators.index)
    size = generators[["mbase_mva", "p_mw"]].assign(real=real.to_numpy())
    largest = int(np.lexsort((-np.arange(len(size)), size["p_mw"], size["mbase_mva"], size["real"]))[-1])
    generators.loc[generators.index[largest], "kind"] = "slack"
    return [f"no generator is of kind 'slack'; the largest, {generators['label'].iloc[largest]}, became it"]


def _direction(
    graph: Any, u: Hashable, v: Hashable, values: Mapping[str, Any], where: str, order: Mapping[Hashable, int]
) -> tuple[Hashable, Hashable]:
    start = values.get("from_bus")
    if start is not None:
        if start not in (u, v):
            raise CaseError(f"{where}: from_bus = {str(start)[:60]!r} is neither of its ends")
        return (u, v) if start == u else (v, u)
    if graph.is_directed() or order[u] <= order[v]:
        return u, v
    return v, u
