"""Cases written back: what is written reads again as the same network, or says why not."""

import json
import subprocess
import sys
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

import coherence as co
from coherence.formats.dyr import read_dyr
from coherence.grids.powerflow import admittance
from coherence.nodes.governors import governor
from coherence.nodes.nodes import Nodes, make_banks
from coherence.nodes.records import rational_records
from coherence.numerics.realization import Realization

W = np.geomspace(1e-3, 50, 12)
pytestmark = pytest.mark.filterwarnings("ignore::coherence.UnitsWarning")  # aggregates on one base look doubled
WRITTEN = 1e-9  # relative, of governors written as coefficients (`records.ACCURACY`)


def difference(a, b, w=W):
    """max over frequencies of ||T_a - T_b||/||T_a||."""
    first, second = a.transfer_matrix(1j * w), b.transfer_matrix(1j * w)
    return float((np.linalg.norm(first - second, 2, axis=(1, 2)) / np.linalg.norm(first, 2, axis=(1, 2))).max())


def section(poles, residues):
    """sum r/(s - p) as a real realization; complex poles come with their conjugates."""
    blocks, b, c = [], [], []
    for p, r in zip(poles, residues, strict=True):
        if np.imag(p) == 0:
            blocks.append(np.array([[np.real(p)]]))
            b.append([1.0])
            c.append([np.real(r)])
        else:
            blocks.append(np.array([[p.real, p.imag], [-p.imag, p.real]]))
            b.append([1.0, 0.0])
            c.append([2 * r.real, -2 * r.imag])
    n = sum(len(block) for block in blocks)
    a, at = np.zeros((n, n)), 0
    for block in blocks:
        a[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return Realization(a, np.concatenate(b)[:, None], np.concatenate(c)[None, :], np.zeros((1, 1)))


@st.composite
def governors(draw, oscillating=True):
    """A strictly proper h(s) of order 0 to 6, poles apart by a fifth, in the frequency range of governors."""
    kinds = draw(st.lists(st.booleans() if oscillating else st.just(False), max_size=3))
    size, poles, residues = 0.02, [], []
    for wavy in kinds:
        size *= draw(st.floats(1.3, 8.0))
        angle = draw(st.floats(0.3, 1.3)) if wavy else 0.0
        poles.append(size * (-np.cos(angle) + 1j * np.sin(angle)))
        residues.append(size * draw(st.floats(0.05, 2.0)) * np.exp(1j * draw(st.floats(-0.5, 0.5)) * wavy))
    return section(poles, residues) if kinds else None


@st.composite
def reduced_networks(draw, max_size=5, oscillating=True):
    """Few machines with governors on a connected weighted graph, as reductions leave them; some weights are negative."""
    k = draw(st.integers(2, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = rng.uniform(0.5, 5.0, (k, k)) * (rng.random((k, k)) < 0.6)
    weight[np.arange(k - 1), np.arange(1, k)] = rng.uniform(1.0, 5.0, k - 1)
    if k > 2 and draw(st.booleans()):
        weight[0, 2] = -0.2
    weight = np.triu(weight, 1)
    weight = weight + weight.T
    laplacian = np.diag(weight.sum(axis=1)) - weight
    sections = [(i, h) for i in range(k) if (h := draw(governors(oscillating))) is not None]
    polynomial = np.array([rng.uniform(0.01, 0.1, k), rng.uniform(0.02, 0.5, k)])
    return co.Network(Nodes(tuple(f"area {i + 1}" for i in range(k)), polynomial, make_banks(sections)), laplacian, "1/s")


# networks to cases -------------------------------------------------------------------------------------------------------------


@given(reduced_networks(), st.sampled_from([50.0, 60.0]), st.floats(10, 5000), st.integers(0, 2**32 - 1))
def test_the_linearisation_of_an_equivalent_case_is_the_network_at_any_dispatch(network, f_hz, base, seed):
    rng = np.random.default_rng(seed)
    power = rng.uniform(0.0, 0.3, network.size) * base
    dispatch = pd.DataFrame({"p_mw": power, "p_load_mw": rng.permutation(power) + 0.01 * base}, index=list(network.labels))
    rated = dict(zip(network.labels, rng.uniform(20, 3000, network.size), strict=True))
    for how in ({}, {"dispatch": dispatch, "mbase_mva": rated}):
        case = co.case_of_network(network, f_hz=f_hz, base_mva=base, **how)
        point = co.power_flow(case, method="stored")
        assert point.solves
        again = co.linearize(case, point)
        assert again.labels == network.labels
        assert difference(network, again) < WRITTEN
    assert np.isclose(case.generators["p_mw"].sum(), case.buses["p_load_mw"].sum(), rtol=1e-9, atol=1e-9)
    assert case.generators["p_mw"].tolist() == list(power)


@given(governors())
def test_coefficients_are_the_function(h):
    if h is None:
        return
    s = 1j * np.geomspace(1e-4, 1e4, 60)
    found = sum(governor("RATIONAL", record)(s)[:, 0, 0] for record in rational_records(h))
    exact = h(s)[:, 0, 0]
    assert (np.abs(found - exact) <= WRITTEN * np.abs(exact) + 1e-15 * np.abs(exact).max()).all()


def test_coinciding_poles_are_written_and_an_integrator_is_refused():
    double = Realization(np.array([[-0.5, 1.0], [0.0, -0.5]]), np.array([[0.0], [1.0]]), np.array([[3.0, 0.0]]), np.zeros((1, 1)))
    (record,) = rational_records(double)
    assert np.isclose(record["b0"], 12.0)
    assert np.isclose(record["a1"], 4.0)
    assert np.isclose(record["a2"], 4.0)
    with pytest.raises(co.ToleranceError, match="save_network"):
        rational_records(Realization(*(np.array([[x]]) for x in (0.0, 1.0, 1.0, 0.0))))


def test_an_aggregate_of_many_governors_is_written_governor_by_governor():
    full = co.linearize(co.load_case("iceland"))
    whole = co.aggregate(full, co.coherent_groups(full, 3)).network
    case = co.case_of_network(whole, f_hz=50)
    assert case.governors["RATIONAL"]["label"].duplicated().any()
    assert difference(whole, co.linearize(case)) < WRITTEN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coupling": "1"}, "coupling of a grid is 1/s"),
        ({"nodes": Nodes(("a", "b"), np.array([[1.0, 1.0], [1.0, 0.0]]))}, "no machine m s"),
    ],
)
def test_what_is_no_grid_of_machines_is_refused(change, sentence):
    parts = {"nodes": co.swing(inertia=[1.0, 2.0], damping=1.0), "coupling": "1/s"} | change
    network = co.Network(parts["nodes"], np.array([[1.0, -1.0], [-1.0, 1.0]]), parts["coupling"])
    with pytest.raises(co.InputError, match=sentence):
        co.case_of_network(network, f_hz=50)


def test_a_dispatch_is_checked_and_one_beyond_ninety_degrees_is_refused():
    network = co.Network(
        co.swing(inertia=[1.0, 2.0, 3.0], damping=1.0, labels=["a", "b", "c"]),
        np.diag([1.0, 2, 1]) - np.eye(3, k=1) - np.eye(3, k=-1),
        "1/s",
    )
    table = pd.DataFrame({"p_mw": [1.0, 2, 3], "p_load_mw": [3.0, 2, 1]}, index=["a", "b", "c"])
    with pytest.raises(co.UnknownNameError, match="no column 'p_load_mw'"):
        co.case_of_network(network, f_hz=50, dispatch=table[["p_mw"]])
    with pytest.raises(co.UnknownNameError, match="no row for node 'c'"):
        co.case_of_network(network, f_hz=50, dispatch=table.iloc[:2])
    with pytest.raises(co.InputError, match="'b' is not finite"):
        co.case_of_network(network, f_hz=50, dispatch=table.assign(p_mw=[1, np.nan, 1]))
    with pytest.raises(co.UnknownNameError, match="mbase_mva has no entry for node 'b'"):
        co.case_of_network(network, f_hz=50, mbase_mva={"a": 1.0, "c": 1.0})
    with pytest.raises(co.InputError, match="f_hz"):
        co.case_of_network(network, f_hz=0)
    far = co.case_of_network(network, f_hz=50, dispatch=table * 1e5)  # weights >= 0 carry any dispatch, with angles near 90 degrees
    assert co.power_flow(far, method="stored", tolerance_mva=1e-3).slack_mw == pytest.approx(1e5)
    odd = np.array([[1.5, -2.0, 0.5], [-2.0, 3.9, -1.9], [0.5, -1.9, 1.4]])
    across = pd.DataFrame({"p_mw": [1e6, 0, 0], "p_load_mw": [0.0, 0, 1e6]}, index=["a", "b", "c"])
    with pytest.raises(co.ToleranceError, match="within 90 degrees"):
        co.case_of_network(co.Network(network.nodes, odd, "1/s"), f_hz=50, dispatch=across)


def test_loads_count_at_the_machines_that_answer_them():
    case = co.load_case("iceland")
    point = co.power_flow(case)
    found = co.synchronising_matrix(case, point)
    dispatch = co.machine_dispatch(case, point)
    buses = case.buses
    drawn = buses["p_load_mw"] + np.abs(point.voltage) ** 2 * buses["g_shunt_mw"]
    slow = sum(found.share(bus) * load for bus, load in zip(buses["bus"], drawn, strict=True))
    assert np.allclose(dispatch["p_load_mw"], slow, rtol=1e-9, atol=1e-9)
    assert np.isclose(dispatch["p_mw"].sum() - dispatch["p_load_mw"].sum(), point.losses_mw)


def test_a_source_without_machine_is_a_negative_load():
    case = co.load_case("two_area")
    static = case.generators["H_s"].isna()
    assert static.any()
    dispatch = co.machine_dispatch(case)
    point = co.power_flow(case)
    assert np.isclose(dispatch["p_mw"].sum(), point.generation.real[~static].sum())


# folders -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", co.shipped_cases())
def test_a_case_folder_reads_back_to_the_same_bits(name, tmp_path):
    case = co.load_case(name)
    paths = co.write_case(case, tmp_path / "again")
    assert all(path.is_file() for path in paths)
    again = co.read_case(tmp_path / "again")
    assert (again.name, again.title, again.base_mva, again.f_hz) == (case.name, case.title, case.base_mva, case.f_hz)
    assert (again.damping, again.load_damping) == (case.damping, case.load_damping)
    tables = ("nodes",) if case.nodes is not None else ("buses", "branches", "generators")
    for table in tables:
        first, second = getattr(case, table), getattr(again, table)
        shared = [column for column in first if column in second]
        pd.testing.assert_frame_equal(first[shared], second[shared], check_exact=True, check_dtype=False)
        assert {"H_s", "mbase_mva", "x_pu", "p_load_mw", "inertia"} & set(first) <= set(shared)
    assert set(again.governors) == set(case.governors)
    for model, records in case.governors.items():
        pd.testing.assert_frame_equal(records, again.governors[model], check_exact=True, check_dtype=False)


@given(reduced_networks())
def test_a_reduced_network_in_a_folder_is_the_same_network(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp("case") / "reduced"
    co.write_case(co.case_of_network(network, f_hz=60, mbase_mva=700.0), folder)
    assert difference(network, co.linearize(co.read_case(folder))) < WRITTEN


def test_names_with_quotes_and_commas_survive_a_folder(tmp_path):
    case = co.load_case("two_area")
    odd = replace(case, **{"title": 'a "b" \\ c\n# d', "notes": ("first\nnote",)})
    odd.generators.loc[0, "label"] = 'G "1", north'
    co.write_case(odd, tmp_path / "odd")
    again = co.read_case(tmp_path / "odd")
    assert again.title == odd.title
    assert again.generators["label"][0] == 'G "1", north'


def test_a_folder_that_holds_something_is_not_written_over(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(co.InputError, match="not an empty folder"):
        co.write_case(co.load_case("two_area"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    bare = replace(co.load_case("two_area"), **{"f_hz": None})
    with pytest.raises(co.InputError, match="does not state its frequency"):
        co.write_case(bare, tmp_path / "new")
    assert not (tmp_path / "new").exists()


# PSS/E -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in co.shipped_cases() if name != "five_generators"])
def test_psse_files_of_a_case_read_back_as_the_same_network(name, tmp_path):
    case = co.load_case(name)
    co.write_raw(case, tmp_path / "grid.raw")
    export = co.write_dyr(case, tmp_path / "grid.dyr")
    again = co.read_case(tmp_path / "grid.raw", machines=tmp_path / "grid.dyr")
    (y, shunt), (other, own) = admittance(case), admittance(again)
    scale = abs(y).max()
    assert abs(y - other - (y - other).multiply(np.eye(len(shunt)))).max() <= 1e-12 * scale
    assert np.abs(y.diagonal() + shunt - other.diagonal() - own).max() <= 1e-12 * scale
    assert (export.models["remark"] == "").all()
    assert difference(co.linearize(case), relabelled(co.linearize(again, damping=0.0), case)) < 1e-9


def relabelled(network, case):
    assert network.size == len(case.terminals)
    return network


@given(reduced_networks(oscillating=False))
def test_a_dyr_record_is_the_governor_or_says_why_there_is_none(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp("dyr")
    case = co.case_of_network(network, f_hz=50, mbase_mva=5000.0)
    models = co.write_dyr(case, folder / "x.dyr").models
    again = co.read_case(write(co.write_case, case, folder / "case"), machines=folder / "x.dyr")
    first, second = co.machine_nodes(case), co.machine_nodes(again)
    s = 1j * W
    exact, found = first.inverse(s), second.inverse(s)
    for i, label in enumerate(case.labels):
        order = first.select([i]).order - 1
        if models.loc[label, "remark"]:
            assert order > 1, "one lag always fits"
            assert models.loc[label, "governor"] == ""
        else:
            assert (models.loc[label, "governor"] != "") == (order > 0)
            assert np.abs(found[:, i] - exact[:, i]).max() <= 1e-8 * np.abs(exact[:, i]).max()


def write(function, case, path):
    function(case, path)
    return path


@pytest.mark.parametrize(
    ("record", "model", "remark"),
    [
        ({"b0": 20.0, "a0": 1.0, "a1": 3.0}, "TGOV1", ""),
        ({"b0": 20.0, "b1": 30.0, "a0": 1.0, "a1": 3.0, "a2": 2.0}, "TGOV1", ""),
        ({"b0": 20.0, "b1": 30.0, "a0": 1.0, "a1": 7.5, "a2": 17.0, "a3": 12.0}, "IEEEG1", ""),
        ({"b0": 20.0, "a0": 1.0, "a1": 0.1, "a2": 1.0}, "", "complex poles"),
        ({"b0": -20.0, "a0": 1.0, "a1": 1.0}, "", "no droop"),
        ({"b0": 20.0, "a0": 1.0, "a1": -1.0}, "", "unstable"),
        ({"b0": 20.0, "b1": -30.0, "a0": 1.0, "a1": 3.0, "a2": 2.0}, "", "no standard model has this"),
        ({"b0": 1.0} | {f"a{k}": float(c) for k, c in enumerate(np.poly1d([1, 2], True).coeffs[::-1])}, "", "unstable"),
        ({"b0": 1.0} | {f"a{k}": float(c) for k, c in enumerate(np.poly([-1, -2, -3, -4, -5])[::-1])}, "", "order 5"),
    ],
)
def test_equivalents_become_the_standard_model_that_fits(record, model, remark, tmp_path):
    network = co.Network(co.swing(inertia=[0.1, 0.2], damping=0.01, labels=["a", "b"]), np.array([[1.0, -1], [-1, 1]]), "1/s")
    case = co.case_of_network(network, f_hz=50)
    case.generators.loc[0, "governor"] = "RATIONAL"
    case.governors["RATIONAL"] = pd.DataFrame([{"label": "a"} | record])
    models = co.write_dyr(case, tmp_path / "x.dyr").models
    assert models.loc["a", "governor"] == model
    assert remark in models.loc["a", "remark"]
    assert (models.loc["a", "remark"] == "") == (remark == "")
    written = [r for r in read_dyr(tmp_path / "x.dyr") if r.model != "GENCLS"]
    assert [r.model for r in written] == ([model] if model else [])


def test_ties_are_written_so_that_dynamics_find_their_bus(tmp_path):
    """Two generators behind a tie: merged on reading, apart in the file, each found by its own number."""
    case = co.load_case("two_area")
    generators = case.generators.copy()
    first = generators["bus"].iloc[0]
    more = generators.iloc[[0]].assign(label="twin", bus=first, kind="pv", p_mw=0.0, own_bus=9001.0)
    joined = pd.concat([generators.assign(own_bus=generators["bus"]), more], ignore_index=True)
    case = replace(case, **{"generators": joined})
    co.write_raw(case, tmp_path / "x.raw")
    co.write_dyr(case, tmp_path / "x.dyr")
    again = co.read_case(tmp_path / "x.raw", machines=tmp_path / "x.dyr")
    assert len(again.buses) == len(case.buses)
    assert set(again.generator_buses) == set(case.generator_buses)
    assert difference(co.linearize(case), co.linearize(again, damping=0.0)) < 1e-9


def test_bus_numbers_that_psse_does_not_know_are_refused(tmp_path):
    case = co.load_case("two_area")
    for table, columns in ((case.buses, ["bus"]), (case.branches, ["from_bus", "to_bus"]), (case.generators, ["bus"])):
        table[columns] = table[columns] + 0.5
    with pytest.raises(co.InputError, match="whole numbers from 1 to 999997"):
        co.write_raw(case, tmp_path / "x.raw")
    assert not list(tmp_path.iterdir())


def test_psse_files_keep_the_transient_reactance_of_a_detailed_machine(tmp_path):
    """GENROU's x'd differs from the source reactance of its RAW record; GENCLS takes the latter."""
    case = co.load_case("new_england39")
    case = replace(case, generators=case.generators.assign(zx_pu=0.77))
    co.write_raw(case, tmp_path / "x.raw")
    co.write_dyr(case, tmp_path / "x.dyr")
    again = co.read_case(tmp_path / "x.raw", machines=tmp_path / "x.dyr")
    assert again.generators["xd_prime_pu"].tolist() == case.generators["xd_prime_pu"].tolist()
    first, second = (co.modes(c).table["frequency_hz"].to_numpy() for c in (case, again))
    assert np.allclose(first, second, rtol=1e-9)


def test_the_slack_stays_where_it_is_beyond_a_tie(tmp_path):
    case = co.load_case("two_area")
    generators = case.generators.copy()
    slack = int(np.flatnonzero(generators["kind"] == "slack")[0])
    more = generators.iloc[[slack]].assign(label="twin", kind="pv", p_mw=10.0)
    joined = pd.concat([more, generators], ignore_index=True).assign(own_bus=[*more["bus"], *generators["bus"]])
    joined.loc[slack + 1, "own_bus"] = 9001.0
    case = replace(case, generators=joined)
    co.write_raw(case, tmp_path / "x.raw")
    again = co.read_case(tmp_path / "x.raw")
    assert again.generator_buses[again.generators["kind"] == "slack"].tolist() == [9001.0]


def test_identifiers_that_psse_cannot_hold_are_replaced_alike_in_both_files(tmp_path):
    case = co.load_case("new_england39")
    keys = ["101", "102", "A-1", "", "o'", "7", "ab", "x y", "1", "2"]
    twice = case.generators.assign(id=keys)
    twice.loc[1, "bus"] = twice.loc[0, "bus"]
    twice.loc[1, "v_pu"] = twice.loc[0, "v_pu"]
    case = replace(case, generators=twice)
    notes = co.write_raw(case, tmp_path / "x.raw")
    co.write_dyr(case, tmp_path / "x.dyr")
    again = co.read_case(tmp_path / "x.raw", machines=tmp_path / "x.dyr")
    assert again.generators["H_s"].tolist() == twice["H_s"].tolist()
    assert any("'101' is 1" in note for note in notes)
    assert again.generators["id"].iloc[[5, 6, 8, 9]].tolist() == ["7", "ab", "1", "2"]


def test_a_set_point_that_the_stored_voltage_misses_is_written_as_what_is_held(tmp_path):
    case = co.load_case("two_area")
    case = replace(case, buses=case.buses.assign(vm_pu=case.buses["vm_pu"] + 0.01))
    co.write_raw(case, tmp_path / "x.raw")
    assert co.read_case(tmp_path / "x.raw").generators["v_pu"].tolist() == case.generators["v_pu"].tolist()


def test_buses_without_voltage_level_are_written_at_one_kilovolt(tmp_path):
    case = co.load_case("two_area")
    case = replace(case, buses=case.buses.assign(kv=np.nan))
    co.write_raw(case, tmp_path / "x.raw")
    co.write_matpower(case, tmp_path / "x.m")
    assert (co.read_case(tmp_path / "x.raw").buses["kv"] == 1.0).all()
    assert (co.read_case(tmp_path / "x.m", f_hz=60).buses["kv"] == 1.0).all()


def test_a_machine_table_has_the_gain_of_all_governors_of_a_machine(tmp_path):
    """Two RATIONAL records add up, GGOV1 knows its machine, and GAST's turbine damping is damping."""
    case = co.load_case("new_england39")
    generators = case.generators.assign(governor="", R_pu=np.nan, T_s=np.nan)
    generators.loc[:2, "governor"] = ["RATIONAL", "GGOV1", "GAST"]
    labels = generators["label"]
    ggov1 = dict.fromkeys(
        [
            "Rselect",
            "Flag",
            "R",
            "Tpelec",
            "maxerr",
            "minerr",
            "Kpgov",
            "Kigov",
            "Kdgov",
            "Tdgov",
            "Vmax",
            "Vmin",
            "Tact",
            "Kturb",
            "Wfnl",
            "Tb",
            "Tc",
            "Teng",
        ],
        0.0,
    )
    ggov1 |= {
        "Rselect": 1.0,
        "R": 0.05,
        "Tpelec": 1.0,
        "Kpgov": 3.0,
        "Kigov": 1.0,
        "Tact": 0.3,
        "Kturb": 1.3,
        "Tb": 0.1,
        "Trate": 45.0,
        "Dm": 0.0,
    }
    gast = {"R": 0.05, "T1": 0.4, "T2": 0.1, "T3": 3.0, "AT": 1.0, "KT": 2.0, "VMAX": 1.0, "VMIN": 0.0, "Dturb": 2.0}
    governors = {
        "RATIONAL": pd.DataFrame(
            [{"label": labels[0], "b0": gain, "a0": 1.0, "a1": lag} for gain, lag in ((10.0, 1.0), (5.0, 4.0))]
        ),
        "GGOV1": pd.DataFrame([{"label": labels[1]} | ggov1]),
        "GAST": pd.DataFrame([{"label": labels[2]} | gast]),
    }
    case = replace(case, generators=generators, governors=governors)
    files = co.write_matpower(case, tmp_path / "x.m")
    again = co.read_case(files.path, machines=files.machines, f_hz=60)
    exact, written = co.machine_nodes(case, governors="one_lag"), co.machine_nodes(again)
    s = 1j * W
    assert np.allclose(exact.inverse(s), written.inverse(s), rtol=1e-9)
    assert again.generators["R_pu"][0] == pytest.approx(1 / 15)
    assert again.generators["D_pu"][2] == pytest.approx(case.generators["D_pu"][2] + 2.0 + case.damping)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    for function, name in ((co.write_raw, "x.raw"), (co.write_dyr, "x.dyr"), (co.write_matpower, "x.m")):
        with pytest.raises(co.InputError, match=r"no/where.* does not exist; make it first"):
            function(co.load_case("two_area"), tmp_path / "no" / "where" / name)


# the command line --------------------------------------------------------------------------------------------------------------


def coherence(*arguments):
    return subprocess.run([sys.executable, "-m", "coherence", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_reduction_leaves_cases_that_are_its_network(tmp_path):
    out = tmp_path / "out"
    done = coherence("reduce", "iceland", "--tolerance", "0.3", "--to-hz", "0.3", "--groups", "4", "--out", out)
    assert done.returncode == 0, done.stderr
    network = co.load_network(out / "reduced.json")
    assert difference(network, co.linearize(co.read_case(out / "grids" / "reduced"))) < WRITTEN
    full = co.power_flow(co.load_case("iceland"))
    total = co.read_case(out / "grids" / "reduced").generators["p_mw"].sum()
    assert np.isclose(total, full.generation.real.sum())
    remarks = (out / "summary.txt").read_text()
    if "reduced.dyr: no governor" not in remarks:
        again = co.read_case(out / "grids" / "reduced.raw", machines=out / "grids" / "reduced.dyr")
        assert difference(network, co.linearize(again)) < 1e-8
    grid = co.read_case(out / "grids" / "reduced.m", machines=out / "grids" / "reduced_machines.csv", f_hz=50)
    assert np.isclose(co.linearize(grid).algebraic_connectivity, network.algebraic_connectivity, rtol=1e-9)
    assert (out / "contents.txt").read_text().split().count("grids") == 1


def test_convert_writes_every_format_and_refuses_others(tmp_path):
    for target in ("folder", "x.m", "x.raw", "x.dyr"):
        done = coherence("convert", "new_england39", tmp_path / target)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / target).exists()
    assert len(co.read_case(tmp_path / "folder").buses) == len(co.read_case(tmp_path / "x.m", f_hz=60).buses) == 39
    done = coherence("convert", "new_england39", tmp_path / "x.xlsx")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "with one of these endings" in done.stderr
    saved = tmp_path / "n.json"
    co.save_network(co.linearize(co.load_case("two_area")), saved)
    assert "saved network" in coherence("convert", saved, tmp_path / "y").stderr
    assert json.loads(saved.read_text())["format"] == "coherence-network"


def test_one_format_that_cannot_be_written_costs_no_other(tmp_path):
    """A group's name that MATPOWER cannot hold; and a node that is no machine, of which no case is made at all."""
    from coherence.formats.equivalents import write_equivalent

    case = co.load_case("two_area")
    full = co.linearize(case)
    groups = co.Partition.of([" odd " if i < 2 else "rest" for i in range(full.size)], labels=full.labels)
    reduced = co.aggregate(full, groups).network
    remarks = write_equivalent(reduced, tmp_path / "grids", "two", case, None, groups)
    assert any("two.m: not written, since" in remark for remark in remarks)
    assert {path.name for path in (tmp_path / "grids").iterdir()} == {"two", "two.raw", "two.dyr"}
    idle = co.Network(Nodes(reduced.labels, np.array([[1.0, 1.0], [1.0, 0.0]])), reduced.dense_laplacian, "1/s")
    assert "no machine" in write_equivalent(idle, tmp_path / "none", "x", case, None, groups)[0]
    assert not (tmp_path / "none").exists()
