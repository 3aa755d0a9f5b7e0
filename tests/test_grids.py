"""Cases, power flow and linearisation against figures that others computed."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.formats.folder import cases_folder
from coherence.nodes.governors import governor, one_lag


def expected(name):
    return json.loads((cases_folder() / name / "expected.json").read_text())


@pytest.fixture(scope="module")
def case():
    return co.load_case("iceland")


@pytest.fixture(scope="module")
def reference():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandapower.networks

        return pandapower.networks.iceland()


def test_shipped_cases_have_their_source_and_expected_figures():
    for name in co.shipped_cases():
        assert (cases_folder() / name / "SOURCE.md").is_file()
        assert expected(name)
    assert {"iceland", "five_generators"} <= set(co.shipped_cases())


def test_iceland_has_its_size_and_unique_labels(case):
    want = expected("iceland")
    assert [len(case.buses), len(case.branches), len(case.generators)] == [want["buses"], want["branches"], want["generators"]]
    assert len(set(case.labels)) == 35


def test_iceland_static_part_is_pandapowers(case, reference):
    assert case.buses["kv"].tolist() == reference.bus.vn_kv.tolist()
    load = np.zeros(189)
    np.add.at(load, reference.load.bus.to_numpy(), reference.load.p_mw.to_numpy())
    assert np.allclose(case.buses["p_load_mw"], load)
    assert np.allclose(case.generators["p_mw"][:-1], reference.gen.p_mw)
    assert case.generators["bus"][:-1].tolist() == reference.gen.bus.tolist()
    lines = case.branches[case.branches["kind"] == "line"]
    base = reference.bus.vn_kv.loc[reference.line.from_bus].to_numpy() ** 2 / 100
    assert np.allclose(lines["x_pu"], reference.line.x_ohm_per_km / base, rtol=1e-9)
    assert (case.branches["x_pu"] < 0).sum() == 1  # the three-winding star branch


def test_stored_and_solved_operating_points_agree(case):
    want = expected("iceland")
    stored, solved = co.power_flow(case, method="stored"), co.power_flow(case, method="ac")
    assert stored.slack_mw == pytest.approx(want["slack_mw"], abs=1e-3)
    assert stored.losses_mw == pytest.approx(want["losses_mw"], abs=1e-3)
    assert np.abs(stored.voltage - solved.voltage).max() < 1e-9
    assert solved.source == "ac"


def test_lambda_2_of_iceland_is_the_reference_value(iceland):
    assert iceland.algebraic_connectivity == pytest.approx(expected("iceland")["lambda_2"], abs=5e-6)
    assert iceland.algebraic_connectivity == pytest.approx(0.42005, abs=5e-6)


def test_the_grid_of_iceland_is_indefinite_but_its_reduction_is_proper(case, iceland):
    full = co.synchronising_matrix(case).stiffness.toarray()
    assert np.linalg.eigvalsh(full)[0] < -1
    assert (iceland.laplacian - np.diag(np.diag(iceland.laplacian))).max() <= 0


def test_stability_of_iceland_over_damping(case):
    """Rational HYGOV is not passive: unstable without damping, stable from 1 pu/pu."""
    want = expected("iceland")["largest_real_part"]
    for damping, stable in [(0.0, False), (1.0, True), (1.5, True), (2.0, True), (4.0, True)]:
        pole = co.linearize(case, damping=damping).poles()[0]
        assert (pole.real < 0) == stable
        assert pole.real == pytest.approx(want[f"{damping:g}"][0], rel=1e-4)
        assert abs(pole.imag) == pytest.approx(want[f"{damping:g}"][1], rel=1e-4, abs=1e-9)


def test_machine_figures_are_converted_to_the_system_base_once(case):
    nodes = co.machine_nodes(case, damping=0.0)
    i = nodes.index("Burfell 1-2")
    assert nodes.inertia[i] == pytest.approx(0.018662508626955645, rel=1e-12)
    assert nodes.damping[nodes.index("Hellisheidi 1")] == pytest.approx(0.00017507043740108488, rel=1e-12)
    droop = nodes.inverse(0.0)[0].real - nodes.damping
    assert droop[i] == pytest.approx(17.4 * 106.6 / (2 * np.pi * 50 * 100), rel=1e-12)
    assert droop[nodes.index("Andakill")] == 0
    declared = co.machine_nodes(case).damping - nodes.damping
    assert declared == pytest.approx(1.5 * case.generators["mbase_mva"].to_numpy() / (2 * np.pi * 50 * 100))


def test_one_lag_form_keeps_gain_and_first_moment(case):
    rational, lag = co.machine_nodes(case), co.machine_nodes(case, governors="one_lag")
    assert np.allclose(rational.inverse(0.0), lag.inverse(0.0))
    step = 1e-6
    slope = [(n.inverse(step) - n.inverse(-step)) / (2 * step) for n in (rational, lag)]
    assert np.allclose(slope[0], slope[1], rtol=1e-4)
    assert lag.order == 35 + 34


@pytest.mark.parametrize(
    ("model", "record", "h"),
    [
        (
            "TGOV1",
            {"R": 0.05, "T1": 0.5, "T2": 2.1, "T3": 7.0, "Dt": 0.0},
            lambda s: (1 + 2.1 * s) / (0.05 * (1 + 0.5 * s) * (1 + 7 * s)),
        ),
        (
            "IEESGO",
            {"T1": 0.1, "T2": 0.2, "T3": 0.5, "T4": 0.3, "T5": 4.0, "T6": 0.4, "K1": 20.0, "K2": 0.7, "K3": 0.4},
            lambda s: (
                20
                * (1 + 0.2 * s)
                / ((1 + 0.1 * s) * (1 + 0.5 * s) * (1 + 0.3 * s))
                * (0.3 + 0.7 / (1 + 4 * s) * (0.6 + 0.4 / (1 + 0.4 * s)))
            ),
        ),
        (
            "IEESGO",
            {"T1": 0.0, "T2": 0.0, "T3": 0.05, "T4": 1.58, "T5": 0.0, "T6": 0.0, "K1": 22.2, "K2": 0.0, "K3": 0.0},
            lambda s: 22.2 / ((1 + 0.05 * s) * (1 + 1.58 * s)),
        ),
        (
            "HYGOV",
            {"R": 0.04, "r": 0.8, "Tr": 3.0, "Tf": 0.05, "Tg": 0.5, "TW": 1.2, "At": 1.45},
            lambda s: (
                1.45 * (1 + 3 * s) / (0.04 + 0.84 * 3 * s + 0.8 * 3 * 0.05 * s * s) / (1 + 0.5 * s) * (1 - 1.2 * s) / (1 + 0.6 * s)
            ),
        ),
    ],
)
def test_governor_records_are_their_transfer_functions(model, record, h):
    s = np.array([0.0, 0.1j, 1j, 2 + 5j])
    assert np.allclose(governor(model, record)(s)[:, 0, 0], h(s), rtol=1e-11)


def test_hygov_is_the_linearised_block_diagram():
    """The loop with permanent droop fed back from the desired gate, closed by hand."""
    r = {"R": 0.05, "r": 0.6, "Tr": 5.0, "Tf": 0.05, "Tg": 0.3, "TW": 1.5, "At": 1.2}
    s = 0.7j
    controller = (1 + r["Tr"] * s) / (r["r"] * r["Tr"] * s) / (1 + r["Tf"] * s)
    gate = controller / (1 + r["R"] * controller) / (1 + r["Tg"] * s)
    # turbine: q' TW = 1 - h, h = (q/g)^2, P = At h q, linearised at q = g = h = 1
    dq = 1 / (1 + 0.5 * r["TW"] * s)
    dh = -r["TW"] * s * dq
    assert governor("HYGOV", r)(s)[0, 0, 0] == pytest.approx(gate * r["At"] * (dq + dh), rel=1e-12)


def test_one_lag_of_a_lag_is_itself():
    gain, tau = one_lag(governor("IEESGO", {"T1": 0, "T2": 0, "T3": 0, "T4": 2.0, "T5": 0, "T6": 0, "K1": 5.0, "K2": 0, "K3": 0}))
    assert (gain, tau) == pytest.approx((5.0, 2.0))


def test_five_generators_is_one_coherent_group():
    want = expected("five_generators")
    network = co.linearize(co.load_case("five_generators"))
    assert network.size == 1
    assert network.order == want["order"] == 6
    assert network.nodes.inertia[0] == pytest.approx(0.0683)
    assert network.nodes.damping[0] == pytest.approx(0.0107)
    assert len(co.machine_nodes(co.load_case("five_generators"))) == 5


def test_a_case_without_stored_voltages_is_solved(tmp_path, case):
    shutil.copytree(cases_folder() / "iceland", tmp_path / "c")
    buses = pd.read_csv(tmp_path / "c" / "buses.csv").drop(columns=["vm_pu", "va_deg"])
    buses.to_csv(tmp_path / "c" / "buses.csv", index=False)
    again = co.read_case(tmp_path / "c")
    assert co.linearize(again).algebraic_connectivity == pytest.approx(co.linearize(case).algebraic_connectivity, rel=1e-9)


@pytest.fixture
def ring():
    """Four buses with a tap, a phase shift and charging on every kind of branch; voltage levels differ, taps on either side."""
    buses = pd.DataFrame(
        {
            "bus": [10, 20, 30, 40],
            "kv": [20.0, 230.0, 230.0, 110.0],
            "p_load_mw": [0.0, 60.0, 45.0, 30.0],
            "q_load_mvar": [0.0, 10.0, 15.0, 5.0],
            "g_shunt_mw": [0.0, 1.0, 0.0, 0.0],
            "b_shunt_mvar": [0.0, 0.0, 8.0, 0.0],
        }
    )
    branches = pd.DataFrame(
        {
            "from_bus": [10, 20, 30, 40, 20],
            "to_bus": [20, 30, 40, 10, 40],
            "r_pu": [0.002, 0.01, 0.003, 0.02, 0.01],
            "x_pu": [0.08, 0.2, 0.09, 0.15, 0.25],
            "b_pu": [0.0, 0.06, 0.02, 0.0, 0.04],
            "tap": [1.05, 1.0, 0.97, 1.03, 1.0],
            "shift_deg": [0.0, 0.0, 0.0, -30.0, 4.0],
        }
    )
    branches.loc[3, "shift_deg"] = -3.0
    generators = pd.DataFrame(
        {
            "label": ["A", "B", "B2"],
            "bus": [10, 40, 40],
            "kind": ["slack", "pv", "pv"],
            "p_mw": [0.0, 40.0, 20.0],
            "v_pu": [1.02, 1.01, 1.01],
            "mbase_mva": [100.0, 50.0, 50.0],
            "H_s": [4.0, 3.0, 5.0],
            "D_pu": [1.0, 1.0, 1.0],
            "R_pu": [0.05, np.nan, 0.04],
            "T_s": [5.0, np.nan, 0.3],
        }
    )
    return co.Case("ring", "ring", 100.0, 50.0, buses, branches, generators)


def test_taps_shifts_and_charging_are_matpowers(ring):
    """pandapower's own branch models solve it; our balance of the same voltages closes."""
    point = co.power_flow(ring)
    assert point.mismatch_mva < 1e-7
    assert point.mismatch_pu < 1e-9
    generation = point.slack_mw + 60.0
    assert generation == pytest.approx(135.0 + point.losses_mw + abs(point.voltage[1]) ** 2, abs=1e-6)
    without = replace(ring, branches=ring.branches.assign(shift_deg=0.0))
    assert np.abs(co.power_flow(without).voltage - point.voltage).max() > 1e-2


def test_synchronising_weights_are_the_derivatives_of_lossless_flows(ring):
    from coherence.grids.powerflow import admittance

    lossless = replace(ring, branches=ring.branches.assign(r_pu=0.0, b_pu=0.0))
    point = co.power_flow(lossless)
    y, _ = admittance(lossless)
    size, angle, h = np.abs(point.voltage), np.angle(point.voltage), 1e-6
    jacobian = np.empty((4, 4))
    for j in range(4):
        p = []
        for sign in (1, -1):
            v = size * np.exp(1j * (angle + sign * h * (np.arange(4) == j)))
            p.append((v * (y @ v).conj()).real)
        jacobian[:, j] = (p[0] - p[1]) / (2 * h)
    found = co.synchronising_matrix(lossless, point)
    order = [found.rows[bus] for bus in ring.buses["bus"]]
    assert np.allclose(found.stiffness.toarray()[np.ix_(order, order)], jacobian, atol=1e-7)


def test_generators_at_one_bus_are_one_node_with_the_sum_of_their_inverses(ring):
    network = co.linearize(ring)
    assert network.labels == ("A", "B + B2")
    machines = co.machine_nodes(ring)
    s = np.array([0.3j, 2j])
    assert np.allclose(network.nodes.inverse(s)[:, 1], machines.inverse(s)[:, 1:].sum(axis=1))
    moved = pd.concat([ring.branches, pd.DataFrame([{**ring.branches.iloc[0], "from_bus": 41, "to_bus": 40, "tap": 1.0}])])
    moved.iloc[-1, moved.columns.get_indexer(["r_pu", "x_pu", "shift_deg"])] = [0.0, 1e-7, 0.0]
    own = ring.generators.assign(bus=[10, 40, 41])
    buses = pd.concat([ring.buses, ring.buses.iloc[[3]].assign(bus=41, p_load_mw=0.0, q_load_mvar=0.0)])
    apart = co.linearize(replace(ring, buses=buses.reset_index(drop=True), branches=moved.reset_index(drop=True), generators=own))
    rigid = np.array([[1.0, 0], [0, 1], [0, 1]])
    assert np.allclose(apart.transfer_matrix(s), rigid @ network.transfer_matrix(s) @ rigid.T, rtol=1e-4)


def test_a_one_lag_turbine_of_the_table_is_its_closed_form(ring):
    nodes = co.machine_nodes(ring)
    base, s = 1 / (2 * np.pi * 50), 0.7j
    want = base * (2 * 4.0 * s + 1.0 + 20.0 / (5.0 * s + 1))
    assert nodes.inverse(s)[0, 0] == pytest.approx(want, rel=1e-12)
    assert nodes.inverse(s)[0, 1] == pytest.approx(0.5 * base * (2 * 3.0 * s + 1.0), rel=1e-12)
    assert co.machine_nodes(ring, governors="none").order == 3


def test_damping_of_a_tgov1_record_is_damping_of_the_machine(case):
    table = case.governors["TGOV1"].assign(Dt=0.7)
    with_dt = co.machine_nodes(replace(case, governors=case.governors | {"TGOV1": table}))
    change = with_dt.damping - co.machine_nodes(case).damping
    mine = (case.generators["governor"] == "TGOV1").to_numpy()
    assert np.allclose(change[mine], 0.7 * case.generators["mbase_mva"][mine] / (2 * np.pi * 50 * 100))
    assert (change[~mine] == 0).all()


def test_voltages_that_miss_their_set_points_are_not_the_operating_point(case):
    raised = replace(case, generators=case.generators.assign(v_pu=case.generators["v_pu"] + 0.01))
    with pytest.raises(co.ToleranceError, match=r"miss set-points by 0\.01 pu"):
        co.power_flow(raised, method="stored")
    assert co.power_flow(raised).source == "ac"


MATPOWER = """function mpc = two_areas
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
 1 3 0  0  0 0 1 1.00 0 20 1 1.1 0.9;
 2 1 90 20 0 5 1 1.00 0 220 1 1.1 0.9;
 3 2 20 5  0 0 1 1.00 0 20 1 1.1 0.9;
 4 4 0  0  0 0 1 1.00 0 20 1 1.1 0.9;
];
mpc.gen = [
 1 50 0 99 -99 1.02 100 1 200 0;
 3 40 0 99 -99 1.01 60  1 200 0;
 3 20 0 99 -99 1.01 0   1 200 0;
 3 20 0 99 -99 1.01 60  0 200 0;
];
mpc.branch = [
 1 2 0.002 0.08 0    0 0 0 1.05 2 1 -360 360;
 2 3 0.01  0.2  0.05 0 0 0 0    0 1 -360 360;
 2 3 0.01  0.2  0.05 0 0 0 0    0 0 -360 360;
];
"""


def matpower_tables():
    """The same as arrays."""
    tables = {"version": "2", "baseMVA": 100.0}
    for name in ("bus", "gen", "branch"):
        rows = MATPOWER.split(f"mpc.{name} = [")[1].split("]")[0].strip().split(";")
        tables[name] = np.array([[float(x) for x in row.split()] for row in rows if row.strip()])
    return tables


def test_a_matpower_file_and_three_machine_figures_make_a_network(tmp_path):
    path, machines = tmp_path / "two.m", tmp_path / "machines.csv"
    path.write_text(MATPOWER)
    machines.write_text("bus,H_s,R_pu,T_s\n*,4,0.05,6\n1,8,,\n")
    case = co.read_case(path, machines=machines, f_hz=60)
    assert case.labels == ("G1", "G3", "G3-2")
    assert case.notes == (
        "1 isolated buses left out",
        "1 generators out of service left out",
        "1 branches out of service left out",
        "1 generators state no machine base (MBASE = 0): the system base stands in its place",
    )
    assert case.generators["H_s"].tolist() == [8, 4, 4]
    assert case.generators["mbase_mva"].tolist() == [100, 60, 100]
    assert case.branches["tap"].tolist() == [1.05, 1.0]
    network = co.linearize(case)
    assert network.labels == ("G1", "G3 + G3-2")
    assert network.nodes.inertia[0] == pytest.approx(2 * 8 / (2 * np.pi * 60))
    assert network.nodes.order == 3  # two machines at one bus with equal turbines
    result = co.study(path, machines=machines, f_hz=60, groups=2)
    assert result.network.size == 2


def test_case39_of_matpower_has_the_power_flow_of_pandapowers_copy(tmp_path):
    """The same grid through two readers: losses 43.641 MW."""
    import pandapower
    import pandapower.networks
    from pandapower.converter.pypower.to_ppc import to_ppc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pandapower.networks.case39()
        pandapower.runpp(net, numba=False, trafo_model="pi")
        ppc = to_ppc(net, init="flat", trafo_model="pi", calculate_voltage_angles=True)
    text = "function mpc = case39\nmpc.version = '2';\nmpc.baseMVA = 100;\n"
    for name, width in (("bus", 13), ("gen", 10), ("branch", 13)):
        rows = np.real(ppc[name])[:, :width]
        text += f"mpc.{name} = [\n" + "\n".join(" ".join(f"{x:.15g}" for x in row) + ";" for row in rows) + "\n];\n"
    (tmp_path / "case39.m").write_text(text)
    point = co.power_flow(co.read_case(tmp_path / "case39.m"))
    assert point.losses_mw == pytest.approx(float(net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()), abs=1e-4)


def test_a_machine_table_with_turbines_replaces_the_governor_records(case):
    table = pd.DataFrame({"label": ["*"], "H_s": [4.0], "R_pu": [0.05], "T_s": [5.0]})
    nodes = co.machine_nodes(co.add_machines(case, table))
    assert nodes.order == 2 * 35
    assert co.machine_nodes(co.add_machines(case, table[["label", "H_s"]])).order == co.machine_nodes(case).order


def test_the_slack_bus_may_hold_other_units(ring):
    shared = replace(ring, generators=ring.generators.assign(bus=[10, 10, 40], v_pu=[1.02, 1.02, 1.01]))
    alone = replace(ring, generators=ring.generators.assign(p_mw=[0.0, 0.0, 20.0], bus=[10, 10, 40], v_pu=[1.02, 1.02, 1.01]))
    assert co.power_flow(shared).slack_mw == pytest.approx(co.power_flow(alone).slack_mw - 40.0, abs=1e-6)
