"""Cases, power flow and linearisation against figures that others computed."""

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.grids.files import cases_folder
from coherence.grids.linearize import synchronising_laplacian
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
    assert solved.source == "pandapower"


def test_lambda_2_of_iceland_is_the_reference_value(iceland):
    assert iceland.algebraic_connectivity == pytest.approx(expected("iceland")["lambda_2"], abs=5e-6)
    assert iceland.algebraic_connectivity == pytest.approx(0.42005, abs=5e-6)


def test_the_grid_of_iceland_is_indefinite_but_its_reduction_is_proper(case, iceland):
    full = synchronising_laplacian(case, co.power_flow(case))
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
