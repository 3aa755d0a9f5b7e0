"""Bad input gets one clear sentence: what, where, what to do."""

import re
import shutil

import control
import networkx as nx
import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.formats.folder import cases_folder
from tests.draws import norm2

PAIR = [[1.0, -1.0], [-1.0, 1.0]]


def two(**kwargs):
    return co.Network(
        co.swing(inertia=[1, 1], damping=[1, 1], labels=["west", "east"]), kwargs.pop("laplacian", PAIR), "1/s", **kwargs
    )


def test_a_network_that_falls_apart_names_the_nodes():
    laplacian = np.zeros((3, 3))
    laplacian[:2, :2] = PAIR
    network = co.Network(co.swing(inertia=[1, 1, 1], damping=1, labels=["a", "b", "lonely"]), laplacian, "1/s")
    for call in (
        lambda: co.incoherence(network, [1.0]),
        lambda: co.spectral_groups(network, 2),
        lambda: co.aggregate(network, co.Partition.of([0, 0, 1], labels=network.labels)),
    ):
        with pytest.raises(co.DisconnectedError, match=r"falls apart into 2 components.*lonely.*per component"):
            call()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, -1], [-2, 2]], r"not symmetric: entry \('west', 'east'\) = -1 but \('east', 'west'\) = -2"),
        ([[1, -0.5], [-0.5, 0.5]], r"row 'west' of the Laplacian sums to 0.5"),
        ([[-1, 1], [1, -1]], r"indefinite: least eigenvalue -2.*joins 'west' and 'east' \(-1\)"),
        ([[np.nan, -1], [-1, 1]], r"entry \('west', 'west'\) = nan is not finite"),
        ([[1, -1, 0], [-1, 1, 0]], r"shape \(2, 3\); it must be square"),
        (np.zeros((3, 3)), r"3 x 3 but there are 2 nodes"),
    ],
)
def test_a_matrix_that_is_no_laplacian_says_where(matrix, message):
    with pytest.raises(co.InputError, match=message):
        two(laplacian=matrix)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: co.swing(inertia=[1, 0], damping=1), r"node '2': inertia m = 0; it must be > 0"),
        (lambda: co.swing(inertia=[1, -2], damping=1, labels=["a", "b"]), r"node 'b': inertia m = -2"),
        (lambda: co.swing(inertia=[1, np.nan], damping=1), r"inertia\[1\] = nan is not finite"),
        (lambda: co.swing(inertia=[1, 2, 3], damping=[1, 2]), r"damping has 2 entries for 3 nodes"),
        (lambda: co.swing(inertia="heavy", damping=1), r"inertia is 'heavy'; give real numbers"),
        (lambda: co.swing(inertia=[1, 1], damping=1, labels=["a", "a"]), r"label 'a' stands for two nodes"),
        (
            lambda: co.swing_turbine(inertia=1, damping=1, inverse_droop=1, time_constant=0),
            r"turbine time constant tau = 0; it must be > 0",
        ),
        (lambda: co.swing_turbine(inertia=1, damping=1, inverse_droop=-1, time_constant=1), r"inverse droop = -1; it must be >= 0"),
        (lambda: co.droop_inverter(gain=[1, -1], time_constant=1), r"node '2': droop gain k = -1"),
        (lambda: co.integrator(gain=0), r"gain k = 0; it must be > 0"),
        (lambda: co.from_systems({"g": control.tf([1, 0, 0], [1, 1])}), r"node 'g' is improper"),
        (lambda: co.from_systems({"g": control.tf([1], [1, 0.5], 0.1)}), r"node 'g' is a discrete-time system \(dt = 0.1\)"),
        (lambda: co.from_systems({"g": control.tf([0], [1, 1])}), r"node 'g' is identically zero"),
        (
            lambda: co.from_systems({"g": control.ss(-np.eye(2), np.eye(2), np.eye(2), 0 * np.eye(2))}),
            r"2 inputs and 2 outputs; nodes are SISO",
        ),
        (lambda: co.from_systems({"g": control.ss(-1, 1, 0, 0)}), r"node 'g': the system is identically zero"),
        (lambda: co.from_systems([control.tf([1], [1, 1])], labels=["a", "b"]), r"2 labels for 1 systems"),
        (lambda: co.from_systems([control.tf([1], [1, 1])] * 2, labels=["a", "a"]), r"label 'a' stands for two nodes"),
        (lambda: co.from_systems({}), r"there are no nodes"),
        (lambda: co.governor("GGOV9", {}), r"there is no governor model 'GGOV9'"),
        (lambda: co.governor("TGOV1", {"R": 0.05}), r"TGOV1 lacks T1, T2, T3, Dt"),
        (lambda: co.governor("TGOV1", {"R": 0, "T1": 1, "T2": 1, "T3": 1, "Dt": 0}), r"TGOV1: R = 0; it must be > 0"),
    ],
)
def test_bad_nodes_are_named(build, message):
    with pytest.raises((co.InputError, co.UnknownNameError), match=message):
        build()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1/s^2", r"'1/s\^2' is not understood"),
        (([1, 0, 0], [1, 1]), "improper"),
        (0, "identically zero"),
        (([1], [0]), "zero denominator"),
        (([np.nan], [1]), "not finite"),
        (object(), "is not a rational function"),
    ],
)
def test_a_bad_coupling_is_one_sentence(source, message):
    with pytest.raises(co.InputError, match=message):
        co.Network(co.swing(inertia=[1, 1], damping=1), PAIR, source)


def test_partitions_and_group_numbers_out_of_range_are_refused():
    network = two()
    with pytest.raises(co.InputError, match="3 groups were asked of 2 nodes"):
        co.spectral_groups(network, 3)
    with pytest.raises(co.InputError, match="0 groups were asked"):
        co.spectral_groups(network, 0)
    with pytest.raises(co.InputError, match="k = 'many' is not a number of groups"):
        co.spectral_groups(network, "many")
    with pytest.raises(co.InputError, match="no group for node 'east'"):
        co.Partition.of({"west": 1}, labels=network.labels)
    with pytest.raises(co.UnknownNameError, match="'north', which is no node"):
        co.Partition.of({"west": 1, "east": 1, "north": 2}, labels=network.labels)
    with pytest.raises(co.InputError, match="other nodes than this network's"):
        network.project(co.Partition.of([0, 1], labels=["a", "b"]))
    with pytest.raises(co.InputError, match="linearly dependent"):
        network.project(np.ones((2, 2)))
    with pytest.raises(co.InputError, match="give 'refined', 'quotient' or 'fitted'"):
        co.aggregate(network, co.Partition.of([0, 0], labels=network.labels), interconnection="best")


def test_a_degenerate_eigenvalue_refuses_the_refinement():
    complete = 4 * np.eye(4) - np.ones((4, 4))
    network = co.Network(co.swing(inertia=np.ones(4), damping=1), complete, "1/s")
    with pytest.raises(co.InputError, match=r"lambda_2 = lambda_3 = 4.*interconnection='quotient'"):
        co.aggregate(network, co.Partition.of([0, 0, 1, 1], labels=network.labels))


def test_orders_out_of_range_and_unstable_nodes_are_refused(five):
    for order in (0, 7, 2.5, True):
        with pytest.raises(co.InputError, match=r"order = .* is out of range; give an integer from 1 to 6"):
            co.truncate(five, order)
    with pytest.raises(co.InputError, match="part = 'all'"):
        co.truncate(five, 3, part="all")
    unstable = co.Network(
        co.swing_turbine(inertia=[1], damping=[-3], inverse_droop=[1], time_constant=[1], labels=["bad"]), [[0.0]], "1/s"
    )
    with pytest.raises(co.InstabilityError, match=r"node 'bad' is not stable: it has a pole at 2.732"):
        co.truncate(unstable, 1, part="closed_loop")


def test_evaluation_at_a_pole_says_of_what():
    network = two()
    with pytest.raises(co.PoleError, match="pole of the coupling f"):
        network.inverse_transfer_matrix(0.0)
    with pytest.raises(co.PoleError, match="pole of node 'west'"):
        network.nodes.response(-1.0)
    turbine = co.swing_turbine(inertia=[1], damping=[1], inverse_droop=[1], time_constant=[2], labels=["t"])
    with pytest.raises(co.PoleError, match="pole of the inverse dynamics of node 't'"), np.errstate(all="ignore"):
        turbine.inverse(-0.5)
    assert co.hull_bound(network, 0.0).value == co.source_bound(network, 0.0).value == norm2(network.deviation(0.0)) == 0.0
    lossless = co.Network(co.swing(inertia=[1.0, 1.0], damping=0.0), [[0.5, -0.5], [-0.5, 0.5]], "1/s")
    with pytest.raises(co.PoleError, match="pole of T"):
        lossless.deviation(1j)
    with pytest.raises(co.PoleError, match="pole of the coherent dynamics"):
        co.incoherence(lossless, [0.0, 1.0])


def test_frequencies_must_be_ascending_and_not_negative():
    network = two()
    for omega, message in (([-1.0], "negative"), ([2.0, 1.0], "sort the frequencies"), ([], "empty"), ([np.inf], "not finite")):
        with pytest.raises(co.InputError, match=message):
            co.incoherence(network, omega)
    with pytest.raises(co.InputError, match="not finite"):
        network.transfer_matrix([1j, np.nan])
    with pytest.raises(co.InputError, match="k = 2 is out of range"):
        co.hull_bound(network, 1j, k=2)


def test_unknown_names_come_with_close_ones(iceland):
    with pytest.raises(
        co.UnknownNameError, match=r"no node 'Blanda'; did you mean 'Blanda 2' or 'Blanda 1'|'Blanda 1' or 'Blanda 2'"
    ):
        co.simulate(iceland, co.Step({"Blanda": -0.1}))
    with pytest.raises(co.UnknownNameError, match=r"no shipped case 'island'; did you mean 'iceland'"):
        co.load_case("island")
    assert issubclass(co.UnknownNameError, KeyError)
    assert issubclass(co.InputError, ValueError)


def test_times_must_increase_from_zero(five):
    for time in ([1, 2, 3], [0, 1, 1], [0.0], [0, -1]):
        with pytest.raises(co.InputError, match="start at 0 and increase"):
            co.simulate(five, co.Step({five.labels[0]: 1.0}), time)
    with pytest.raises(co.InputError, match="has size nan"):
        co.simulate(five, co.Step({five.labels[0]: np.nan}))


def test_graphs_that_do_not_fit_are_refused():
    nodes = co.swing(inertia=[1, 1], damping=1, labels=["a", "b"])
    with pytest.raises(co.InputError, match="directed"):
        co.Network.from_graph(nx.DiGraph([("a", "b")]), nodes, "1/s")
    with pytest.raises(co.InputError, match="graph node 'c' has no dynamics"):
        co.Network.from_graph(nx.Graph([("a", "c")]), nodes, "1/s")
    graph = nx.Graph()
    graph.add_edge("a", "b", weight="thick")
    with pytest.raises(co.InputError, match=r"edge \('a', 'b'\) has weight = 'thick'"):
        co.Network.from_graph(graph, nodes, "1/s")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(cases_folder() / "iceland", tmp_path / "case")
    return tmp_path / "case"


def edit(folder, table, row, column, value):
    path = folder / f"{table}.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[row, column] = value
    frame.to_csv(path, index=False)


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "message"),
    [
        ("generators", 3, "H_s", "-1", r"generators.csv, line 5: H_s = -1; it must be > 0"),
        ("generators", 3, "H_s", "nan", r"generators.csv, line 5, column 'H_s': 'nan' is not a finite number"),
        ("generators", 3, "bus", "999", r"generators.csv, line 5: bus = 999 is not in the table of buses"),
        ("generators", 3, "label", "Burfell 5", r"label 'Burfell 5' occurs twice"),
        (
            "generators",
            3,
            "governor",
            "GGOV1",
            r"generator 'Sigalda 1' has governor GGOV1, but governors/GGOV1.csv has no such row",
        ),
        ("generators", 3, "kind", "slack", r"line 36: 2 generators are of kind 'slack'; make it exactly one"),
        ("branches", 0, "tap", "0", r"branches.csv, line 2: tap = 0; give the ratio, 1 for none"),
        ("branches", 0, "x_pu", "abc", r"line 2, column 'x_pu': 'abc' is not a finite number"),
        ("branches", 0, "to_bus", "-5", r"to_bus = -5 is not in the table of buses"),
        ("buses", 7, "bus", "3", r"bus '3' occurs twice"),
    ],
)
def test_a_bad_case_file_names_file_line_and_column(folder, table, row, column, value, message):
    edit(folder, table, row, column, value)
    with pytest.raises(co.CaseError, match=message):
        co.read_case(folder)


def test_bad_case_folders_are_refused(folder, tmp_path):
    with pytest.raises(co.CaseError, match=r"is no case: a folder needs a case\.toml"):
        co.read_case(tmp_path)
    toml = folder / "case.toml"
    good = toml.read_text()
    for old, new, message in (
        ("format = 1", "format = 2", "this version reads format = 1"),
        ("f_hz = 50.0", "", "f_hz = None"),
        ("base_mva = 100.0", "base_mva = -1", "base_mva = -1; give a number > 0"),
        ('at = "machines"', 'at = "loads"', "at = 'loads' and pu_on_machine_base do not go together"),
        ('at = "machines"', 'at = "lines"', r'needs at = "machines", "loads" or "machines and loads"'),
        ('at = "machines"', "here = 1", "damping.here is not understood"),
        ("[damping]", "[damping", "correct the TOML"),
        ("= 1.5", '= "much"', "pu_on_machine_base = 'much'"),
    ):
        toml.write_text(good.replace(old, new))
        with pytest.raises(co.CaseError, match=message):
            co.read_case(folder)
    toml.write_text(good)
    (folder / "branches.csv").write_text("from_bus,to_bus\n1,2\n")
    with pytest.raises(co.CaseError, match="column 'r_pu' is missing"):
        co.read_case(folder)
    (folder / "branches.csv").unlink()
    with pytest.raises(co.CaseError, match=r"branches.csv is missing"):
        co.read_case(folder)


def test_wrong_voltages_and_islands_are_refused(folder):
    edit(folder, "buses", 20, "va_deg", "0")
    with pytest.raises(co.ToleranceError, match=r"stored voltages leave .* MVA unbalanced"):
        co.power_flow(co.read_case(folder), method="stored")
    case = co.load_case("iceland")
    with pytest.raises(co.InputError, match="method = 'newton'; give 'auto', 'stored', 'ac', 'dc' or 'flat'"):
        co.power_flow(case, method="newton")
    with pytest.raises(co.InputError, match="no grid"):
        co.power_flow(co.load_case("five_generators"))
    with pytest.raises(co.InputError, match="give 'rational', 'one_lag' or 'none'"):
        co.linearize(case, governors="two_lags")
    from dataclasses import replace

    cut = replace(case, branches=case.branches[(case.branches["from_bus"] != 185) & (case.branches["to_bus"] != 185)])
    with pytest.raises(co.DisconnectedError, match=r"falls apart into 2 components; the smallest holds 1 of 189 nodes \(bus 185\)"):
        co.linearize(cut, co.power_flow(case))


def test_a_damaged_network_file_is_refused(tmp_path, five):
    path = tmp_path / "n.json"
    co.save_network(five, path)
    good = path.read_text()
    for bad, message in (
        ("{", "is not a network file"),
        ("[]", "not a coherence-network file"),
        (good.replace('"version": 1', '"version": 9'), "version 1"),
        (good.replace('"laplacian"', '"laplace"'), "is damaged: KeyError 'laplacian'"),
        (good.replace("0.06", '"x"', 1), "damaged"),
    ):
        path.write_text(bad)
        with pytest.raises(co.InputError, match=message):
            co.load_network(path)


def swings(n=2, **kwargs):
    return co.swing(inertia=np.ones(n), damping=1, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: co.Network(swings(), pd.DataFrame(PAIR, index=["1", "x"], columns=["1", "x"]), "1/s"), "labelled otherwise"),
        (lambda: co.Network(swings(), np.array(PAIR) * (1 + 1j), "1/s"), "Laplacian is complex"),
        (lambda: co.Network(swings(), [["a", "b"], ["c", "d"]], "1/s"), "not a matrix of numbers"),
        (lambda: co.Network(swings(), PAIR, "1/s", labels=["a"]), r"polynomial has shape \(2, 2\); it must be"),
        (lambda: co.Network(swings(), PAIR, "1/s", labels=["a", "a"]), "'a' stands for two nodes"),
        (lambda: co.Network([control.tf([1], [1, 1])] * 2, PAIR, "1/s"), "nodes is a list; build Nodes"),
        (lambda: co.Network(swings(), PAIR, control.ss(0, 1, 1, 0)), r"coupling f is a state space; give a transfer function"),
        (lambda: co.Network(swings(), [[-1.0]], "1/s", basis=np.ones((2, 1))), "projected Laplacian is indefinite"),
        (lambda: co.Network(swings(), [[np.nan]], "1/s", basis=np.ones((2, 1))), "not symmetric and finite"),
        (lambda: two().project(np.ones((2, 3))), "2 rows and 1 to 2 columns"),
        (lambda: two().project(np.full((2, 1), np.nan)), "not finite"),
        (lambda: two().project(np.eye(2), labels=["a"]), "1 labels for 2 inputs and outputs"),
        (lambda: two().project(np.eye(2)).algebraic_connectivity, "projected on a basis"),
        (lambda: co.kron_reduce(np.array(PAIR), [0, 0]), "give distinct node positions from 0 to 1"),
        (lambda: co.kron_reduce(np.array(PAIR), [0, -1]), "give distinct node positions"),
        (lambda: co.kron_reduce(np.array(PAIR), [0, 7]), "give distinct node positions"),
        (lambda: co.swing(inertia=[], damping=[]), "there are no nodes"),
        (lambda: co.integrator(count=-1), "count = -1 is for one gain without labels, and >= 1"),
        (lambda: co.integrator(count=5, labels=["a"]), "count = 5 is for one gain without labels"),
        (lambda: co.swing_turbine(inertia=1, damping=1, inverse_droop=0, time_constant=-3), "tau = -3; it must be > 0"),
        (
            lambda: co.swing(inertia=pd.Series([1.0, 2], index=["a", "b"]), damping=pd.Series([1.0, 2], index=["a", "c"])),
            "index of damping",
        ),
        (lambda: co.from_systems({"a": control.tf([1], [1, 1])}, labels=["b"]), "a mapping already has labels"),
        (lambda: co.from_systems([control.frd(control.tf([1], [1, 1]), [1.0, 2.0])]), "node '1' is a F"),
        (lambda: co.from_systems([3.0]), "node '1' is a float; give a python-control"),
        (lambda: co.governor("TGOV1", {"R": "x", "T1": 1, "T2": 1, "T3": 1, "Dt": 0}), "R = x is not a finite number"),
        (lambda: co.Partition(("a", "b"), np.array([0, -1]), ("1",)), "one group number >= 0 per node"),
        (lambda: co.simulate(two(), {"west": 1.0}), r"the disturbance is a dict; give Step"),
        (lambda: co.simulate(two(), co.Step({"west": "big"})), "has size 'big'; give a finite number"),
        (lambda: co.simulate(two(), co.Step({"west": 1j})), "give a finite number"),
        (lambda: co.incoherence(two(), [1.0], k="2"), "k = '2' is out of range; give an integer"),
        (lambda: co.incoherence(two(), [1.0], k=2.0), "k = 2.0 is out of range"),
        (lambda: co.modal_error(two(), 1j, 2), "k = 2 is out of range"),
        (lambda: co.coi_error(resistive(), co.coherent_dynamics(resistive()), co.Step({"1": 1.0})), "no inertia"),
        (lambda: co.simulate(resistive(), co.Step({"1": 1.0})).coi, "no inertia"),
        (lambda: co.study(None), "None is no case or network"),
        (lambda: two().transfer_matrix("a"), "s = 'a'; give Laplace points"),
        (lambda: co.linearize("iceland"), "the case is a str; give a Case"),
        (lambda: co.power_flow("iceland"), "the case is a str; give a Case"),
        (lambda: co.aggregate(two(), {"west": 1, "east": 2}), "the partition is a dict; build one with Partition.of"),
        (lambda: co.read_generators(two()), "a Network cannot be read; give Nodes"),
        (lambda: co.spectral_groups(two(), 2, random_state=-1), "random_state = -1; give an integer >= 0"),
        (lambda: co.read_case("nowhere.m"), "nowhere.m does not exist"),
        (lambda: co.read_case(cases_folder() / "iceland", f_hz=60), "states 50 Hz; f_hz = 60 contradicts it"),
        (lambda: co.read_case(cases_folder() / "iceland", f_hz=-1), "f_hz = -1; give the nominal frequency"),
        (lambda: co.linearize(co.load_case("five_generators"), governors="all"), "give 'rational', 'one_lag' or 'none'"),
        (lambda: co.linearize(co.load_case("iceland"), damping=np.nan), "damping = nan"),
    ],
)
def test_misuse_is_one_sentence(call, message):
    with pytest.raises(co.CoherenceError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def resistive():
    return co.Network(co.from_systems([control.tf(2.0, 1)] * 2), PAIR, "1")


def test_equal_eigenvalues_at_the_cut_are_refused_by_the_modal_analysis():
    complete = co.Network(swings(3), 3 * np.eye(3) - np.ones((3, 3)), "1/s")
    with pytest.raises(co.InputError, match="the 2 slowest directions are not defined"):
        co.incoherence(complete, [1.0], k=2)


def test_a_truncated_network_has_no_group_error(iceland):
    partition = co.spectral_groups(iceland, 3)
    reduced = co.truncate(co.aggregate(iceland, partition).network, 3).network
    with pytest.raises(co.InputError, match="compare it with step_error"):
        co.group_error(iceland, 1j, partition, reduced)
    with pytest.raises(co.InputError, match="2 nodes, the partition 3 groups"):
        co.group_error(iceland, 1j, partition, co.aggregate(iceland, co.spectral_groups(iceland, 2)).network)


def test_labels_travel_with_series_and_data_frames():
    inertia = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})
    nodes = co.swing(inertia=inertia, damping=pd.Series({"c": 0.3, "a": 0.1, "b": 0.2}))
    assert nodes.labels == ("a", "b", "c")
    assert nodes.damping.tolist() == [0.1, 0.2, 0.3]
    path = pd.DataFrame([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]], index=list("bca"), columns=list("bca"))
    assert co.Network(nodes, path, "1/s").laplacian[2].tolist() == [-1, -1, 2]


def test_a_weight_that_no_edge_has_is_named():
    graph = nx.Graph()
    graph.add_edge("1", "2", weight=3.0)
    with pytest.raises(co.InputError, match="no edge of the graph has the attribute 'wieght'"):
        co.Network.from_graph(graph, swings(), "1", weight="wieght")


def test_a_single_generator_behind_several_buses_is_one_node(folder):
    case = co.read_case(folder)
    keep = case.generators["label"] == "Mjolka"
    alone = co.Case(
        "alone",
        "alone",
        100.0,
        50.0,
        case.buses,
        case.branches,
        case.generators[keep].assign(kind="slack", governor="").reset_index(drop=True),
    )
    point = co.power_flow(alone, method="flat")
    assert co.linearize(alone, point, governors="none").laplacian.tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "machines.csv is empty"),
        ("bus,R_pu\n30,1\n", "column 'H_s' is missing"),
        ("H_s\n4\n", "column 'label' or 'bus' is missing"),
        ("bus,H_s,droop\n*,4,1\n", "column 'droop' is not understood"),
        ("bus,H_s\n999,4\n", "line 2: there is no generator with bus '999'"),
        ("bus,H_s\n*,4\n*,5\n", r"line 3: bus '\*' occurs twice"),
        ("label,H_s\nMjolka,4\n", r"has no row for generator 'Burfell 1-2'; give it one, or a row '\*'"),
        ("bus,H_s,R_pu,T_s\n*,4,,5\n", "line 2: generator 'Burfell 1-2' has T_s but no droop R_pu"),
        ("label,H_s\n*,0\n", "line 2: H_s = 0; it must be > 0"),
        ("label,H_s\n*,many\n", "line 2, column 'H_s': 'many' is not a finite number"),
    ],
)
def test_a_bad_machine_table_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "machines.csv"
    path.write_text(content)
    with pytest.raises(co.CaseError, match=message):
        co.read_case(cases_folder() / "iceland", machines=path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mpc.baseMVA = 100;", "", "is not read as a MATPOWER case"),
        (" 1 3 0 ", " 1 1 0 ", "no generator stands at a reference bus"),
        ("mpc.branch", "mpc.brunch", "is not read as a MATPOWER case"),
        ("0.08 0 ", "x 0 ", "bad.m, line 17: 'x' in mpc.branch is no number"),
        ("1 2 0.002", "1 9 0.002", "bad.m, line 17, mpc.branch row 1: to_bus = 9 is not in the table of buses"),
        ("1 2 0.002 0.08", "1 2 0 0", "from bus 1 to 2 has no impedance but a tap or phase shift"),
        ("function mpc = two_areas", "hello", "line 1: 'hello' is not plain data"),
    ],
)
def test_a_bad_matpower_file_says_where(tmp_path, old, new, message):
    from tests.test_grids import MATPOWER

    text = re.sub(r" +", " ", MATPOWER)
    assert old in text
    (tmp_path / "bad.m").write_text(text.replace(old, new))
    with pytest.raises(co.CaseError, match=message):
        co.read_case(tmp_path / "bad.m", f_hz=60)


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "message"),
    [
        ("generators", 3, "label", "", "line 5: the label is empty"),
        ("branches", 0, "to_bus", "184", "to itself"),
    ],
)
def test_more_bad_rows_are_named(folder, table, row, column, value, message):
    if column == "to_bus":
        value = pd.read_csv(folder / "branches.csv", dtype=str)["from_bus"][0]
    edit(folder, table, row, column, value)
    with pytest.raises(co.CaseError, match=message):
        co.read_case(folder)


def test_unknown_keys_and_repeated_records_of_a_case_are_refused(folder):
    toml = folder / "case.toml"
    toml.write_text(toml.read_text().replace("[damping]", "[dampingg]"))
    with pytest.raises(co.CaseError, match="'dampingg' is not understood; known: format, name"):
        co.read_case(folder)
    toml.write_text(toml.read_text().replace("[dampingg]", "[damping]"))
    path = folder / "governors" / "TGOV1.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(co.CaseError, match=r"TGOV1.csv, line 12: label .* occurs twice"):
        co.read_case(folder)
