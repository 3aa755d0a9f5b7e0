"""Cases and networks from networkx graphs with attributes."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from tests.draws import random_laplacian


def grid_graph(case, kind=nx.MultiDiGraph):
    """The case as a graph, the slow obvious way."""
    buses, branches, generators = case.grid
    graph = kind(name=case.name)
    for row in buses.to_dict("records"):
        own = generators[generators["bus"] == row["bus"]]
        columns = ["label", "kind", "p_mw", "v_pu", "mbase_mva", "H_s", "D_pu"]
        listed = {"generators": own[columns].to_dict("records")} if len(own) else {}
        graph.add_node(int(row["bus"]), **{k: v for k, v in row.items() if k != "bus" and not isinstance(v, str)}, **listed)
    for row in branches.to_dict("records"):
        ends = int(row["from_bus"]), int(row["to_bus"])
        values = {k: row[k] for k in ("r_pu", "x_pu", "b_pu", "tap", "shift_deg")}
        graph.add_edge(*ends, **values, **({} if graph.is_directed() else {"from_bus": ends[0]}))
    return graph


@pytest.mark.filterwarnings("ignore::coherence.UnitsWarning")  # of equivalents of whole areas
@pytest.mark.parametrize("kind", [nx.MultiDiGraph, nx.MultiGraph])
@pytest.mark.parametrize("name", ["iceland", "nets_nyps68", "new_england39", "two_area"])
def test_a_case_as_a_graph_is_the_case_again(name, kind):
    case = co.load_case(name)
    again = co.case_of_graph(grid_graph(case, kind), f_hz=case.f_hz, base_mva=case.base_mva)
    assert len(again.branches) == len(case.branches)
    a, b = co.power_flow(again), co.power_flow(case)
    assert a.slack_mw == pytest.approx(b.slack_mw, abs=1e-5)
    assert np.abs(np.abs(a.voltage) - np.abs(b.voltage)).max() < 1e-8
    left, right = co.linearize(again, a), co.linearize(case, b)
    assert set(left.labels) == set(right.labels)
    assert left.algebraic_connectivity == pytest.approx(right.algebraic_connectivity, rel=1e-6)
    assert left.nodes.inertia.sum() == pytest.approx(right.nodes.inertia.sum(), rel=1e-9)


def pair(u="north", v="south", edge=None, kind=nx.Graph, **north):
    graph = kind()
    graph.add_node(u, **{"p_mw": 80.0, "H_s": 4.0} | north)
    graph.add_node(v, p_load_mw=100.0, H_s=3.0)
    graph.add_edge(u, v, **{"x_pu": 0.1} if edge is None else edge)
    return graph


@pytest.mark.parametrize("names", [("north", "south"), (3, 8), ((0, 1), (1, 1)), (frozenset({1}), int), (-1, 2), (True, 5)])
def test_any_hashable_names_a_bus_and_numbers_number_it(names):
    case = co.case_of_graph(pair(*names), f_hz=50)
    plain = names == (3, 8)
    assert case.buses["bus"].tolist() == (list(names) if plain else [0, 1])
    assert case.buses["name"].tolist() == [str(name) for name in names]


def test_defaults_and_slack_are_what_the_docstring_says():
    case = co.case_of_graph(pair(mbase_mva=70.0), f_hz=50)
    branch = case.branches.iloc[0]
    assert branch[["r_pu", "b_pu", "tap", "shift_deg"]].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert case.generators["kind"].tolist() == ["pv", "slack"]  # 70 against the system's 100 MVA
    assert case.generators["mbase_mva"].tolist() == [70.0, 100.0]
    assert case.generators["v_pu"].tolist() == [1.0, 1.0]
    assert any("the largest, G1, became it" in note for note in case.notes)
    assert co.power_flow(case).slack_mw == pytest.approx(20.0, abs=1e-6)
    stated = co.case_of_graph(_slack_north(), f_hz=50)
    assert stated.generators["kind"].tolist() == ["slack", "pv"]
    assert not [note for note in stated.notes if "became" in note]


def _slack_north():
    graph = pair(mbase_mva=70.0)
    graph.nodes["north"]["kind"] = "slack"
    return graph


def test_a_static_source_is_not_the_slack_where_machines_are():
    graph = pair(H_s=None, mbase_mva=1000.0)
    case = co.case_of_graph(graph, f_hz=50)
    assert case.generators["kind"].tolist() == ["pv", "slack"]
    assert np.isnan(case.generators["H_s"].iloc[0])


def test_taps_stand_at_the_from_end():
    tap = {"x_pu": 0.1, "tap": 1.05, "shift_deg": 3.0}
    assert co.case_of_graph(pair(edge=tap), f_hz=50).branches[["from_bus", "to_bus"]].iloc[0].tolist() == [0, 1]
    turned = pair(edge=tap | {"from_bus": "south"})
    assert co.case_of_graph(turned, f_hz=50).branches[["from_bus", "to_bus"]].iloc[0].tolist() == [1, 0]
    directed = pair(kind=nx.DiGraph)
    directed.remove_edge("north", "south")
    directed.add_edge("south", "north", **tap)
    assert co.case_of_graph(directed, f_hz=50).branches[["from_bus", "to_bus"]].iloc[0].tolist() == [1, 0]
    backward = nx.Graph()
    backward.add_nodes_from(["south", "north"])
    backward.add_edge("north", "south", **tap)
    backward.nodes["south"]["p_mw"] = 1.0
    assert co.case_of_graph(backward, f_hz=50).branches["from_bus"].tolist() == [0]


def test_parallel_branches_and_several_generators_stay_apart():
    graph = nx.MultiGraph(pair())
    graph.add_edge("north", "south", x_pu=0.3)
    graph.nodes["south"].pop("H_s")
    graph.nodes["south"]["generators"] = [
        {"H_s": 3.0, "p_mw": 5.0},
        {"H_s": 6.0, "label": "big", "mbase_mva": 500.0},
        {"p_mw": 1.0},
    ]
    case = co.case_of_graph(graph, f_hz=50)
    assert len(case.branches) == 2
    assert case.generators["label"].tolist() == ["G0", "G1", "big", "G1-3"]
    assert case.generators["kind"].tolist() == ["pv", "pv", "slack", "pv"]
    assert co.linearize(case).size == 2


def test_what_is_not_used_is_noted():
    graph = pair(colour="red", edge={"x_pu": 0.1, "length_km": 20})
    graph.nodes["south"].pop("H_s")
    graph.nodes["south"]["generators"] = [{"H_s": 3.0, "owner": "me"}]
    notes = co.case_of_graph(graph, f_hz=50).notes
    assert "attributes of nodes that are not used: colour" in notes
    assert "attributes of edges that are not used: length_km" in notes
    assert "attributes of generators that are not used: owner" in notes


WRONG = [
    (pair(edge={}), r"graph edge \('north', 'south'\) has no x_pu; give it"),
    (pair(edge={"x_pu": "low"}), r"graph edge \('north', 'south'\): x_pu = 'low' is no number"),
    (pair(edge={"x_pu": np.nan}), r"graph edge \('north', 'south'\): x_pu = nan is not a finite number"),
    (pair(edge={"x_pu": 1j}), "is no number"),
    (pair(edge={"x_pu": True}), "x_pu = 'True' is no number"),
    (pair(edge={"x_pu": 0.1, "tap": 0.0}), r"graph edge \('north', 'south'\): tap = 0; give the ratio"),
    (pair(edge={"x_pu": 0.1, "from_bus": "west"}), "from_bus = 'west' is neither of its ends"),
    (pair(p_load_mw=np.inf), "graph node 'north': p_load_mw = inf is not a finite number"),
    (pair(p_load_mw=[1]), r"graph node 'north': p_load_mw = '\[1\]' is no number"),
    (pair(H_s=-4.0), "graph node 'north': H_s = -4; it must be > 0"),
    (pair(label=7), "graph node 'north': label = '7' is no text"),
    (pair(generators=[{"p_mw": 1.0}]), "graph node 'north' has both p_mw and generators; give one of them"),
    (pair(p_mw=None, H_s=None, generators={"p_mw": 1.0}), "graph node 'north': generators = .*; give a list of dictionaries"),
    (pair(p_mw=None, H_s=None, generators=[{"p_mw": "x"}]), r"graph node 'north', generators\[0\]: p_mw = 'x' is no number"),
    (nx.path_graph(0), "the graph has no nodes"),
    (nx.path_graph(3), "no node of the graph 'graph' has a generator"),
    ({"a": 1}, "the graph is a dict; give a networkx graph"),
]


@pytest.mark.parametrize(("graph", "sentence"), WRONG)
def test_wrong_figures_are_named_by_node_or_edge_and_attribute(graph, sentence):
    with pytest.raises(co.InputError, match=sentence) as caught:
        co.case_of_graph(graph, f_hz=50)
    assert "\n" not in str(caught.value)


def test_a_loop_two_slacks_and_odd_bases_are_refused():
    loop = pair()
    loop.add_edge("north", "north", x_pu=0.1)
    with pytest.raises(co.CaseError, match=r"graph edge \('north', 'north'\): the branch joins bus 0 to itself"):
        co.case_of_graph(loop, f_hz=50)
    two = _slack_north()
    two.nodes["south"]["kind"] = "slack"
    with pytest.raises(co.CaseError, match="2 generators are of kind 'slack'"):
        co.case_of_graph(two, f_hz=50)
    for values in ({"f_hz": 0}, {"f_hz": "50"}, {"f_hz": 50, "base_mva": np.nan}, {"f_hz": 50, "base_mva": True}):
        with pytest.raises(co.InputError, match="give a number > 0"):
            co.case_of_graph(pair(), **values)


@given(st.integers(0, 10**6), st.integers(2, 12), st.booleans())
def test_a_network_of_swing_equations_survives_its_graph(seed, n, damped):
    rng = np.random.default_rng(seed)
    labels = [f"n{i}" for i in rng.permutation(n)]
    nodes = co.swing(inertia=rng.uniform(0.1, 9, n), damping=rng.uniform(0, 3, n) * damped, labels=labels)
    network = co.Network(nodes, random_laplacian(rng, n), "1/s")
    again = co.network_of_graph(network.to_networkx())
    assert again.labels == network.labels
    assert np.array_equal(again.nodes.polynomial, network.nodes.polynomial)
    assert np.allclose(again.laplacian, network.laplacian, rtol=0, atol=1e-12 * np.abs(network.laplacian).max())


@given(st.integers(0, 10**6))
def test_turbines_of_graph_nodes_are_swing_turbine(seed):
    rng = np.random.default_rng(seed)
    graph = nx.path_graph(4)
    values = {key: rng.uniform(0.5, 2, 4) for key in ("inertia", "damping", "inverse_droop", "time_constant")}
    for key, column in values.items():
        nx.set_node_attributes(graph, dict(enumerate(column.tolist())), key)
    nodes = co.swing_turbine(**values, labels=["0", "1", "2", "3"])
    s = np.array([1j, 0.3 + 2j])
    expected = co.Network.from_graph(graph, nodes, "1/s").transfer_matrix(s)
    assert np.allclose(co.network_of_graph(graph).transfer_matrix(s), expected, rtol=1e-12)
    assert co.network_of_graph(graph, "1").coupling.sentence == "1"


def test_parallel_weights_add_up():
    graph = nx.MultiGraph()
    graph.add_nodes_from(["a", "b"], inertia=1.0)
    graph.add_edge("a", "b", weight=2.0)
    graph.add_edge("a", "b", weight=0.5)
    assert co.network_of_graph(graph).laplacian.tolist() == [[2.5, -2.5], [-2.5, 2.5]]


def test_networks_refuse_what_a_graph_cannot_say():
    with pytest.raises(co.InputError, match="graph node 0 has no inertia"):
        co.network_of_graph(nx.path_graph(2))
    graph = nx.path_graph(2)
    nx.set_node_attributes(graph, 1.0, "inertia")
    graph.nodes[1]["damping"] = "much"
    with pytest.raises(co.InputError, match="graph node 1: damping = 'much' is no number"):
        co.network_of_graph(graph)
    graph.nodes[1]["damping"] = 0.1
    graph.edges[0, 1]["weight"] = "heavy"
    with pytest.raises(co.InputError, match=r"edge \(0, 1\) has weight = 'heavy'"):
        co.network_of_graph(graph)
    graph.edges[0, 1]["weight"] = 1.0
    with pytest.raises(co.InputError, match="directed"):
        co.network_of_graph(nx.DiGraph(graph))
    graph.add_edge(1, 1)
    with pytest.raises(co.InputError, match="joins a node to itself"):
        co.network_of_graph(graph)
    with pytest.raises(co.InputError, match="order = "):
        co.network_of_graph(co.linearize(co.load_case("iceland")).to_networkx())
