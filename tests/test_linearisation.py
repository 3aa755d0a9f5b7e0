"""From a grid to the right network: conventions, modes, units, ties and islands, against figures that others computed."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from coherence.formats.folder import cases_folder
from coherence.grids.case import bus_index
from coherence.grids.powerflow import admittance


def expected(name):
    return json.loads((cases_folder() / name / "expected.json").read_text())


@pytest.fixture(scope="module")
def nets():
    return co.load_case("nets_nyps68")


@pytest.fixture(scope="module")
def iceland_case():
    return co.load_case("iceland")


def textbook_matrix(case, point):
    """K of the classical model with constant-impedance loads: the admittance matrix reduced to the EMFs, dense."""
    y, shunt = admittance(case)
    buses, _, generators = case.grid
    v, base, row = point.voltage, case.base_mva, bus_index(case)
    load = (buses["p_load_mw"].to_numpy() + 1j * buses["q_load_mvar"].to_numpy()) / base
    full = y.toarray() + np.diag(shunt + load.conj() / np.abs(v) ** 2)
    machine = generators["H_s"].notna().to_numpy()
    at = np.array([row[b] for b in generators["bus"]])
    for i in np.flatnonzero(~machine):
        full[at[i], at[i]] -= (point.generation[i] / base).conj() / abs(v[at[i]]) ** 2
    x = (generators["xd_prime_pu"] * base / generators["mbase_mva"]).to_numpy()[machine]
    at, power = at[machine], point.generation[machine] / base
    emf = v[at] + 1j * x * (power / v[at]).conj()
    tie = np.zeros((len(at), len(v)), dtype=complex)
    tie[np.arange(len(at)), at] = 1 / (1j * x)
    full = full + np.diag(tie.sum(axis=0))
    reduced = np.diag(1 / (1j * x)) - tie @ np.linalg.solve(full, tie.T)
    size, delta = np.abs(emf), np.angle(emf)
    apart = delta[:, None] - delta[None, :]
    k = np.outer(size, size) * (reduced.real * np.sin(apart) - reduced.imag * np.cos(apart))
    np.fill_diagonal(k, 0.0)
    return k - np.diag(k.sum(axis=1))


def without_governors(case, **options):
    return co.modes(case, governors="none", **options).table["frequency_hz"].tolist()


# --- the classical model ------------------------------------------------------------------------------------------


def test_all_modes_of_the_sixteen_machines_are_the_third_partys(nets):
    want = expected("nets_nyps68")
    assert without_governors(nets) == pytest.approx(want["modes_hz"], abs=1e-5)
    assert co.modes(nets, count=15).table["frequency_hz"].tolist() == pytest.approx(want["modes_hz"], abs=1e-5)


def test_the_symmetrised_network_of_the_sixteen_machines_has_its_own_modes(nets):
    want = expected("nets_nyps68")
    network = co.linearize(nets, convention="classical")
    assert co.modes(network).table["frequency_hz"][:4].tolist() == pytest.approx(want["symmetrised_modes_hz"], abs=1e-5)
    found = co.synchronising_matrix(nets, convention="classical")
    assert found.asymmetry == pytest.approx(want["asymmetry"], abs=5e-5)
    k = found.matrix.to_numpy()
    assert np.allclose(network.laplacian, network.laplacian.T)
    off = ~np.eye(16, dtype=bool)
    assert np.allclose(network.laplacian[off], (0.5 * (k + k.T))[off])


def test_averaging_the_matrix_with_its_transpose_moves_the_zero_mode(nets):
    """Why the diagonal is the row sum: (K + K^T)/2 turns the uniform motion into an oscillation."""
    k = co.synchronising_matrix(nets, convention="classical").matrix.to_numpy()
    inertia = co.machine_nodes(nets).inertia
    slowest = np.sort(np.linalg.eigvals(0.5 * (k + k.T) / inertia[:, None]).real)[0]
    assert np.sqrt(abs(slowest)) / (2 * np.pi) == pytest.approx(expected("nets_nyps68")["averaged_zero_mode_hz"], abs=1e-4)


def test_machine_bases_taken_for_the_system_base_give_a_wrong_mode(nets):
    """The trap: two of the sixteen machines are on 200 MVA."""
    wrong = replace(nets, generators=nets.generators.assign(mbase_mva=100.0))
    slowest = co.modes(wrong, co.power_flow(nets)).table["frequency_hz"][1]
    assert slowest == pytest.approx(expected("nets_nyps68")["wrong_base_hz"], abs=1e-5)
    assert abs(slowest - expected("nets_nyps68")["modes_hz"][0]) > 0.02


@pytest.mark.parametrize("name", ["nets_nyps68", "new_england39", "two_area"])
def test_shipped_cases_have_the_figures_of_their_sources(name):
    want, case = expected(name), co.load_case(name)
    assert (len(case.buses), len(case.machines)) == (want["buses"], want["machines"])
    for method in ("stored", "ac"):
        point = co.power_flow(case, method=method)
        assert (point.slack_mw, point.losses_mw) == pytest.approx((want["slack_mw"], want["losses_mw"]), abs=1e-3)
    if isinstance(want["modes_hz"], list):
        assert without_governors(case) == pytest.approx(want["modes_hz"], abs=1e-5)


@pytest.mark.parametrize("name", ["nets_nyps68", "new_england39", "two_area"])
def test_the_classical_matrix_is_the_textbooks_reduced_admittance(name):
    case = co.load_case(name)
    point = co.power_flow(case)
    ours = co.synchronising_matrix(case, point, convention="classical").matrix.to_numpy()
    assert np.abs(ours - textbook_matrix(case, point)).max() < 1e-9  # pu: what the stored voltages leave unbalanced is below 1e-9


def test_three_load_models_give_three_sets_of_modes_of_the_two_areas():
    case, want = co.load_case("two_area"), expected("two_area")["modes_hz"]
    models = {"impedance": "impedance", "impedance and current": {"impedance": 0.5, "current": 0.5}, "current": "current"}
    found = {name: without_governors(case, convention=co.Convention("internal", loads=loads)) for name, loads in models.items()}
    for name in models:
        assert found[name] == pytest.approx(want[name], abs=1e-5)
    assert min(abs(a - b) for a, b in zip(found["impedance"], found["current"], strict=True)) > 1e-3


def solved(case, point, convention, held_change):
    """Active power of the held nodes after their angles change, by Newton's method on the full nonlinear balance."""
    y, shunt = admittance(case, lossless=convention.lossless)
    y = y.toarray() + np.diag(1j * shunt.imag if convention.lossless else shunt)
    v, base, row = point.voltage, case.base_mva, bus_index(case)
    n = len(v)
    at = np.array([row[b] for b in case.machines["bus"]])
    if convention.machines == "internal":
        x = (case.machines["xd_prime_pu"] * base / case.machines["mbase_mva"]).to_numpy()
        power = point.generation[case.machine_rows] / base
        emf = v[at] + 1j * x * (power / v[at]).conj()
        big = np.zeros((n + len(at),) * 2, dtype=complex)
        big[:n, :n] = y
        for i, (a, xi) in enumerate(zip(at, x, strict=True)):
            for p, q, sign in ((a, a, 1), (n + i, n + i, 1), (a, n + i, -1), (n + i, a, -1)):
                big[p, q] += sign / (1j * xi)
        y, v, held = big, np.concatenate([v, emf]), n + np.arange(len(at))
    else:
        held = np.unique(at)[np.argsort([list(at).index(a) for a in np.unique(at)])]
    others = np.setdiff1d(np.arange(len(v)), held)
    v0 = np.abs(v)
    start = v * (y @ v).conj()
    buses = case.grid[0]
    demand = np.zeros(len(v), dtype=complex)
    demand[:n] = (buses["p_load_mw"].to_numpy() + 1j * buses["q_load_mvar"].to_numpy()) / base
    static = np.zeros(len(v), dtype=complex)
    quiet = np.setdiff1d(np.arange(len(case.generators)), case.machine_rows)
    np.add.at(static, [row[b] for b in case.generators["bus"].iloc[quiet]], point.generation[quiet] / base)

    def drawn(size):
        """Change of what loads draw and static sources give, away from the operating point."""
        if convention.voltages == "fixed":
            return np.zeros(len(v), dtype=complex)
        ratio = size / v0
        (pz, pi, pp), (qz, qi, qp) = convention.loads
        p = demand.real * (pz * ratio**2 + pi * ratio + pp - 1) - static.real * (ratio**2 - 1)
        q = demand.imag * (qz * ratio**2 + qi * ratio + qp - 1) - static.imag * (ratio**2 - 1)
        return (0 if convention.lossless else p) + 1j * q

    angle, size = np.angle(v), v0.copy()
    angle[held] += held_change

    def gap(z):
        a, s = angle.copy(), size.copy()
        a[others] = z[: others.size]
        if convention.voltages == "free":
            s[others] = z[others.size :]
        w = s * np.exp(1j * a)
        balance = w * (y @ w).conj() - start + drawn(s)
        out = balance[others].real
        if convention.voltages == "free":
            out = np.concatenate([out, balance[others].imag])
        return out, (w * (y @ w).conj()).real[held]

    z = angle[others] if convention.voltages == "fixed" else np.concatenate([angle[others], size[others]])
    for _ in range(8):
        value, _ = gap(z)
        jacobian = np.column_stack([(gap(z + 1e-6 * e)[0] - gap(z - 1e-6 * e)[0]) / 2e-6 for e in np.eye(len(z))])
        z = z - np.linalg.solve(jacobian, value)
    return gap(z)[1]


CONVENTIONS = [
    co.Convention(),
    co.Convention(lossless=False),
    co.Convention(voltages="free"),
    co.Convention(voltages="free", lossless=True, loads="current"),
    co.Convention("internal"),
    co.Convention("internal", voltages="fixed"),
    co.Convention("internal", loads={"p": {"current": 0.7, "power": 0.3}, "q": {"impedance": 0.4, "power": 0.6}}),
    co.Convention("internal", lossless=True),
]


@pytest.mark.parametrize("convention", CONVENTIONS, ids=str)
def test_the_synchronising_matrix_is_the_derivative_of_the_nonlinear_power_flow(convention):
    case = co.load_case("two_area")
    branches = case.branches.copy()
    branches.loc[[3, 9], ["tap", "shift_deg"]] = [[1.03, 2.0], [0.98, -1.0]]
    generators, buses = case.generators.copy(), case.buses.copy()
    generators.loc[4, "p_mw"] = 120.0  # a static source that feeds in
    buses.loc[buses["bus"] == 13, "g_shunt_mw"] = 30.0
    case = replace(case, branches=branches, generators=generators, buses=buses)
    point = co.power_flow(case, method="ac")
    k = co.synchronising_matrix(case, point, convention=convention).matrix.to_numpy()
    h = 1e-4
    for j in range(4):
        e = h * (np.arange(4) == j)
        slope = (solved(case, point, convention, e) - solved(case, point, convention, -e)) / (2 * h)
        assert np.abs(k[:, j] - slope).max() < 2e-6 * np.abs(k).max()


# --- conventions on Iceland ---------------------------------------------------------------------------------------


def changed(case, **columns):
    return replace(case, branches=case.branches.assign(**columns))


def rated(case, x):
    """Machines on S = sqrt(P^2 + Q_max^2) with one transient reactance."""
    g = case.generators
    return replace(case, generators=g.assign(mbase_mva=np.hypot(g["p_mw"], g["q_max_mvar"]), xd_prime_pu=x))


def lambda_2(case, convention=None, point="auto", **options):
    return co.linearize(
        case, co.power_flow(case, method=point), convention=convention or co.Convention(), **options
    ).algebraic_connectivity


def unloaded(case):
    return replace(case, buses=case.buses.assign(p_load_mw=0.0, q_load_mvar=0.0))


def unloaded_point(case):
    """Voltages of the generators as solved, of the others as currents without loads give them."""
    point, (y, shunt), row = co.power_flow(case), admittance(case), bus_index(case)
    full, held = y.toarray() + np.diag(shunt), np.array([row[b] for b in case.generators["bus"]])
    rest = np.setdiff1d(np.arange(len(full)), held)
    v = point.voltage.copy()
    v[rest] = -np.linalg.solve(full[np.ix_(rest, rest)], full[np.ix_(rest, held)] @ v[held])
    return replace(point, voltage=v, source="given")


CONVENTION_TABLE = {
    "1/x, V = 1": (lambda c: lambda_2(c, point="flat"), 0.41947),
    "x/|z|^2, V = 1": (lambda c: lambda_2(c, co.Convention(lossless=False), "flat"), 0.38871),
    "|Vi||Vj|/x cos": (lambda c: lambda_2(c), 0.42005),
    "|Vi||Vj| x/|z|^2 cos": (lambda c: lambda_2(c, co.Convention(lossless=False)), 0.39065),
    "complex Kron without loads": (
        lambda c: (
            co.linearize(
                unloaded(c), unloaded_point(c), convention=co.Convention(voltages="free", loads="impedance")
            ).algebraic_connectivity
        ),
        0.41767,
    ),
    "complex Kron with loads": (lambda c: lambda_2(c, co.Convention(voltages="free", loads="impedance")), 0.39639),
    "power-flow Jacobian": (lambda c: co.synchronising_matrix(c, convention="flow").algebraic_connectivity, 0.40393),
    "|x|": (lambda c: lambda_2(changed(c, x_pu=c.branches["x_pu"].abs()), point="flat"), 0.32189),
    "|x|, no reduction": (lambda c: lambda_2(changed(c, x_pu=c.branches["x_pu"].abs()), point="flat", passive="keep"), 0.03158),
    "no reduction, indefinite": (
        lambda c: np.linalg.eigvalsh(co.synchronising_matrix(c, co.power_flow(c, method="flat")).stiffness.toarray())[2],
        0.03249,
    ),
    "unit weights": (lambda c: lambda_2(changed(c, x_pu=1.0, r_pu=0.0, tap=1.0), point="flat"), 0.04417),
    "over omega_0": (lambda c: lambda_2(c, point="flat") / (2 * np.pi * 50), 0.001335),
    "omega in pu": (lambda c: lambda_2(c, point="flat") * 2 * np.pi * 50, 131.78),
    "omega in Hz": (lambda c: lambda_2(c, point="flat") / (2 * np.pi), 0.06676),
    "x'd 0.30 on P, Q_max": (lambda c: lambda_2(rated(c, 0.30), co.Convention("internal", voltages="fixed"), "flat"), 0.1047),
    "x'd 0.3467 on P, Q_max": (lambda c: lambda_2(rated(c, 0.3467), co.Convention("internal", voltages="fixed"), "flat"), 0.0915),
    "x'd of the records": (lambda c: lambda_2(c, co.Convention("internal", voltages="fixed"), "flat"), 0.12842),
    "x'd 0.30 on 100 MVA": (
        lambda c: lambda_2(
            replace(c, generators=c.generators.assign(mbase_mva=100.0, xd_prime_pu=0.3)),
            co.Convention("internal", voltages="fixed"),
            "flat",
        ),
        0.37259,
    ),
}


@pytest.mark.parametrize("name", CONVENTION_TABLE)
def test_lambda_2_of_iceland_under_each_convention(name, iceland_case):
    compute, value = CONVENTION_TABLE[name]
    assert compute(iceland_case) == pytest.approx(value, rel=6e-4 if value < 0.01 or name == "x'd 0.30 on P, Q_max" else 1.5e-4)


# --- passive buses kept -------------------------------------------------------------------------------------------


def test_passive_buses_kept_and_eliminated_are_the_same_network(iceland_case, iceland):
    kept = co.linearize(iceland_case, passive="keep")
    assert sp.issparse(kept.laplacian)
    assert kept.size == 189 - 2  # the ends of the branch with negative reactance
    reduced = kept.kron_reduce()
    assert reduced.labels == iceland.labels
    assert np.abs(reduced.laplacian - iceland.laplacian).max() < 1e-12 * np.abs(iceland.laplacian).max()
    s = 1j * np.array([1e-6, 1e-2, 0.6, 7.0, 100.0])
    inputs = ["Blanda 1", "Krafla 2"]
    columns = kept.transfer_columns(s, inputs)[:, [kept.index(label) for label in iceland.labels]]
    direct = iceland.transfer_columns(s, inputs)
    assert np.abs(columns - direct).max(axis=(1, 2)) == pytest.approx(0, abs=1e-10 * np.abs(direct).max())
    assert kept.order == iceland.order


@pytest.mark.filterwarnings("ignore::coherence.errors.UnitsWarning")
def test_the_european_grid_keeps_9216_of_9241_buses():
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pandapower.networks.case9241pegase()
    case = co.case_of_pandapower(net, name="case9241pegase")
    assert (len(case.buses), len(case.machines), int((case.branches["x_pu"] < 0).sum())) == (9241, 1445, 16)
    case = co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [4.0], "D_pu": [2.0]}))
    plain = changed(case, tap=1.0)  # the reference weights are 1/x without taps
    kept = co.linearize(plain, co.power_flow(plain, method="flat"), passive="keep")
    assert kept.size == 9216
    assert kept.algebraic_connectivity == pytest.approx(0.011232, abs=1e-6)
    flat = co.power_flow(case, method="flat")
    kept, reduced = co.linearize(case, flat, passive="keep"), co.linearize(case, flat)
    assert kept.algebraic_connectivity == pytest.approx(0.0112286, abs=1e-7)
    assert reduced.algebraic_connectivity == pytest.approx(0.0701334, abs=1e-7)
    s, inputs = np.array([0.01j, 3j]), [reduced.labels[0], reduced.labels[700]]
    implicit = kept.transfer_columns(s, inputs)[:, : reduced.size]
    explicit = reduced.transfer_columns(s, inputs)
    assert np.abs(implicit - explicit).max() < 1e-10 * np.abs(explicit).max()


def test_a_negative_weight_between_machines_is_named():
    case = co.load_case("two_area")
    branches = pd.concat([case.branches, case.branches.iloc[[0]].assign(from_bus=1, to_bus=2, x_pu=-0.05)], ignore_index=True)
    bad = replace(case, branches=branches)
    with pytest.raises(co.InputError, match=r"indefinite.*joins 'G1' and 'G2'"):
        co.linearize(bad, replace(co.power_flow(case), source="given"), passive="keep")
    with pytest.raises(co.InputError, match="passive buses can stay only where voltages are fixed"):
        co.linearize(case, convention="classical", passive="keep")


@given(st.integers(3, 9), st.integers(0, 2**31))
def test_columns_of_sparse_networks_are_those_of_dense_ones(n, seed):
    rng = np.random.default_rng(seed)
    weight = np.triu(rng.uniform(0.1, 3, (n, n)) * (rng.random((n, n)) < 0.4), 1)
    weight[np.arange(n - 1), np.arange(1, n)] += 1.0
    weight = weight + weight.T
    laplacian = np.diag(weight.sum(axis=1)) - weight
    passive = rng.random(n) < 0.4
    passive[rng.integers(n)] = False
    polynomial = np.vstack([rng.uniform(0.1, 2, n), rng.uniform(0.1, 2, n)]) * ~passive
    nodes = co.Nodes(tuple(f"n{i}" for i in range(n)), polynomial)
    s = 1j * np.logspace(-9, 2, 6)
    sparse = co.Network(nodes, sp.csr_array(laplacian), "1/s")
    found, dense = sparse.transfer_columns(s, sparse.labels), co.Network(nodes, laplacian, "1/s").transfer_matrix(s)
    scale = np.abs(dense).max(axis=(1, 2))
    assert (np.abs(found - dense).max(axis=(1, 2)) <= 1e-10 * scale).all()
    active = np.flatnonzero(~passive)
    reduced = sparse.kron_reduce()
    assert np.abs(reduced.transfer_matrix(s) - dense[:, active[:, None], active]).max() <= 1e-9 * scale.max()
    assert sparse.algebraic_connectivity == pytest.approx(np.linalg.eigvalsh(laplacian)[1], rel=1e-8)


# --- modes --------------------------------------------------------------------------------------------------------


def test_modes_of_two_machines_in_closed_form():
    """omega^2 = K (1/m1 + 1/m2) - (d/2m)^2 where d/m is the same; participations are those of the kinetic energy."""
    m, k, ratio = np.array([0.2, 0.5]), 3.0, 0.06
    network = co.Network(co.swing(inertia=m, damping=ratio * m), [[k, -k], [-k, k]], "1/s")
    found = co.modes(network)
    (value,) = found.eigenvalues
    assert value == pytest.approx(-ratio / 2 + 1j * np.sqrt(k * (1 / m).sum() - ratio**2 / 4), rel=1e-12)
    phi = np.array([1 / m[0], -1 / m[1]])
    assert found.participations[1].to_numpy() == pytest.approx(m * phi**2 / (m @ phi**2), rel=1e-9)
    assert found.shapes[1].to_numpy() == pytest.approx(phi / phi[np.abs(phi).argmax()], rel=1e-9)
    assert found.table["common"][1] < 1e-20


@pytest.mark.parametrize("convention", ["terminal", "classical"])
def test_shift_invert_finds_the_modes_of_the_dense_method(iceland_case, convention):
    dense = co.modes(iceland_case, convention=convention)
    few = co.modes(iceland_case, convention=convention, count=6, near_hz=1.5)
    nearest = np.sort(np.argsort(np.abs(dense.eigenvalues - 3j * np.pi))[:6])
    assert few.eigenvalues == pytest.approx(dense.eigenvalues[nearest], rel=1e-9)
    assert np.allclose(few.participations, dense.participations.iloc[:, nearest], atol=1e-7)
    assert np.allclose(few.shapes, dense.shapes.iloc[:, nearest], atol=1e-7)
    assert len(dense.table) == 34
    assert (dense.table["residual"] < 1e-12).all()


def test_modes_of_a_network_are_poles_of_its_state_space(iceland):
    poles = iceland.poles()
    for value in co.modes(iceland).eigenvalues:
        assert np.abs(poles - value).min() < 1e-8 * abs(value)


def test_the_frequency_that_all_share_is_no_mode_between_machines(iceland):
    every = co.modes(iceland, all_oscillations=True)
    common = every.table["common"]
    assert (common > 0.9).any()
    assert (co.modes(iceland).table["common"] < 0.5).all()


def test_loads_that_depend_on_frequency_damp_the_modes():
    case = co.load_case("two_area")
    kept = co.linearize(case, load_damping=1.0, governors="none")
    assert kept.labels[-2:] == ("load 4", "load 14")
    damping = 976 / (2 * np.pi * 60 * 100)
    assert kept.nodes.damping[kept.index("load 4")] == pytest.approx(damping)
    assert (kept.poles().real < 1e-9).all()
    for convention in ("terminal", "classical"):
        found = co.modes(case, convention=convention, load_damping=1.0, governors="none")
        assert (found.table["real"] < -5e-4).all()
        sparse = co.modes(case, convention=convention, load_damping=1.0, governors="none", count=3)
        assert sparse.eigenvalues == pytest.approx(found.eigenvalues, rel=1e-8)


def test_modes_refuse_what_they_are_not_for(iceland, iceland_case):
    with pytest.raises(co.InputError, match="coupling 1/s"):
        co.modes(co.Network(iceland.nodes, iceland.laplacian, "1"))
    with pytest.raises(co.InputError, match="near_hz needs count"):
        co.modes(iceland, near_hz=1.0)
    with pytest.raises(co.InputError, match="count = 0"):
        co.modes(iceland, count=0)
    bare = replace(iceland_case, generators=iceland_case.generators.drop(columns="xd_prime_pu"))
    with pytest.raises(co.CaseError, match=r"no transient reactances \(xd_prime_pu\)"):
        co.modes(bare)


# --- shares, static sources, limits, dc ---------------------------------------------------------------------------


def test_a_load_is_shared_by_the_machines_nearest_to_it(iceland_case):
    found = co.synchronising_matrix(iceland_case)
    share = found.share(int(iceland_case.buses["bus"][iceland_case.buses["p_load_mw"] > 0].iloc[3]))
    assert share.sum() == pytest.approx(1.0, abs=1e-10)
    assert found.share(int(iceland_case.generators["bus"].iloc[0])).tolist() == [1.0] + 34 * [0.0]
    with pytest.raises(co.UnknownNameError, match="has no bus 9999"):
        found.share(9999)


def test_shares_are_the_response_of_the_kept_network_at_high_frequency(iceland_case):
    """A power at a passive bus reaches the machines as m_i s y_i = share_i u: by the network that keeps the bus."""
    kept = co.linearize(iceland_case, passive="keep", governors="none")
    bus = next(label for label in kept.labels if label.startswith("bus"))
    share = co.synchronising_matrix(iceland_case).share(int(bus.removeprefix("bus ")))
    s = 1e5j
    column = kept.transfer_columns(s, [bus])[0, :35, 0]
    assert (s * kept.nodes.inertia[:35] * column).real == pytest.approx(share.to_numpy(), abs=1e-5)


def test_a_generator_without_inertia_is_no_node_but_holds_the_power_flow(iceland_case):
    table = iceland_case.generators.copy()
    table.loc[3, "H_s"] = np.nan
    fewer = replace(iceland_case, generators=table)
    assert co.power_flow(fewer).solves
    network = co.linearize(fewer)
    assert network.size == 34
    assert table["label"][3] not in network.labels
    assert len(co.modes(fewer).table) == 33
    with pytest.raises(co.CaseError, match="no generator has an inertia"):
        co.linearize(replace(iceland_case, generators=table.assign(H_s=np.nan)))


def test_enforced_limits_are_pandapowers(nets):
    """The same grid with one limit that binds, solved by pandapower's own network."""
    free = co.power_flow(nets, method="ac")
    limited = nets.generators.assign(q_min_mvar=-1e3, q_max_mvar=1e3)
    i = 4
    limited.loc[i, "q_max_mvar"] = 0.6 * free.generation[i].imag
    case = replace(nets, generators=limited)
    assert co.power_flow(case, method="ac").limited == ()
    point = co.power_flow(case, method="ac", enforce_limits=True)
    assert point.solves
    assert point.limited == ("G5",)
    assert point.generation[i].imag == pytest.approx(0.6 * free.generation[i].imag, abs=1e-6)
    row = list(nets.buses["bus"]).index(limited["bus"][i])
    assert abs(point.voltage[row]) < nets.generators["v_pu"][i] - 1e-3
    with pytest.raises(co.ToleranceError, match="MVA unbalanced"):
        co.power_flow(case, method="stored", enforce_limits=True)


def test_the_dc_power_flow_is_the_linear_one(nets):
    point = co.power_flow(nets, method="dc")
    buses, branches, generators = nets.grid
    row = bus_index(nets)
    n = len(buses)
    b, shift = np.zeros((n, n)), np.zeros(n)
    for line in branches.itertuples():
        f, t, w = row[line.from_bus], row[line.to_bus], 1 / (line.x_pu * line.tap)
        b[[f, t, f, t], [f, t, t, f]] += np.array([w, w, -w, -w])
        shift[[f, t]] += np.array([-1, 1]) * w * np.deg2rad(line.shift_deg)
    power = -buses["p_load_mw"].to_numpy() / 100 - buses["g_shunt_mw"].to_numpy() / 100
    np.add.at(power, [row[x] for x in generators["bus"]], point.generation.real / 100)
    assert power.sum() == pytest.approx(0, abs=1e-9)
    slack = row[generators["bus"][generators["kind"] == "slack"].iloc[0]]
    rest = np.setdiff1d(np.arange(n), slack)
    angle = np.zeros(n)
    angle[rest] = np.linalg.solve(b[np.ix_(rest, rest)], (power - shift)[rest])
    assert np.angle(point.voltage) - np.angle(point.voltage[slack]) == pytest.approx(angle, abs=1e-9)
    assert np.abs(point.voltage) == pytest.approx(np.ones(n))
    assert point.mismatch_mva > 1
    assert not point.solves


# --- ties, islands, units -----------------------------------------------------------------------------------------


def split_bus(case, bus):
    """The case with a bus cut in two by a coupler: its second half takes every other branch and its load."""
    new = float(case.buses["bus"].max() + 1)
    twin = case.buses[case.buses["bus"] == bus].assign(bus=new, g_shunt_mw=0.0, b_shunt_mvar=0.0)
    buses = pd.concat(
        [case.buses.assign(p_load_mw=case.buses["p_load_mw"].where(case.buses["bus"] != bus, 0.0)), twin], ignore_index=True
    )
    buses.loc[buses["bus"] == new, "q_load_mvar"] = 0.0
    branches = case.branches.copy()
    mine = branches.index[branches["to_bus"] == bus]
    branches.loc[mine, "to_bus"] = new
    coupler = branches.iloc[[0]].assign(from_bus=bus, to_bus=new, r_pu=0.0, x_pu=0.0, b_pu=0.0, tap=1.0, shift_deg=0.0)
    return replace(case, buses=buses, branches=pd.concat([branches, coupler], ignore_index=True))


def test_buses_joined_without_impedance_are_one(nets, tmp_path):
    bus = 37
    cut = split_bus(nets, bus)
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "case.toml").write_text('format = 1\nname = "cut"\ntitle = "cut"\nf_hz = 60.0\nbase_mva = 100.0\n')
    for name, table in (("buses", cut.buses), ("branches", cut.branches), ("generators", cut.generators)):
        table.to_csv(folder / f"{name}.csv", index=False)
    with pytest.warns(co.UnitsWarning):
        case = co.read_case(folder)
    assert len(case.buses) == 68
    assert any("bus 69 into 37 merged" in note for note in case.notes)
    assert without_governors(case) == pytest.approx(without_governors(nets), abs=1e-9)


def test_islands_are_named_and_can_be_taken_out(iceland_case):
    line = iceland_case.branches
    radial = next(b for b in iceland_case.generators["bus"] if ((line["from_bus"] == b) | (line["to_bus"] == b)).sum() == 1)
    apart = replace(iceland_case, branches=line[(line["from_bus"] != radial) & (line["to_bus"] != radial)].reset_index(drop=True))
    table = co.islands(apart)
    assert table["buses"].tolist() == [188, 1]
    assert table["bus"].iloc[1] == radial
    with pytest.raises(co.DisconnectedError, match=rf"bus {radial:g}.*island\(case, bus\)"):
        co.linearize(apart)
    alone = co.island(apart, radial)
    assert alone.generators["kind"].tolist() == ["slack"]
    assert "is its slack generator" in alone.notes[-1]
    rest = co.island(apart, table["bus"].iloc[0])
    assert co.linearize(rest).size == 34


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("H_s", 13.0, r"H_s of .* is above 12 s: 2H where H is meant"),
        ("D_pu", 400.0, r"D_pu of .* is above 20: multiplied by 2 pi f\?"),
        ("R_pu", 5.0, r"R_pu of .* is above 0.5: percent where pu is meant\?"),
        ("xd_prime_pu", 0.02, r"xd_prime_pu of .* is outside 0.05 to 1.2 pu"),
    ],
)
def test_figures_that_look_doubled_are_questioned_and_used_as_they_stand(column, value, message):
    case = co.load_case("two_area")
    table = {"label": ["*"], "H_s": [4.0], "T_s": [1.0], "R_pu": [0.05]} | {column: [value]}
    with pytest.warns(co.UnitsWarning, match=message):
        changed_case = co.add_machines(case, pd.DataFrame(table))
    assert (changed_case.generators[column] == value).all()
    assert any(note.startswith("units: ") for note in changed_case.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"machines": "bus"}, "machines = 'bus'; give 'terminals' or 'internal'"),
        ({"voltages": "loose"}, "voltages = 'loose'"),
        ({"loads": "impedance"}, "with voltages fixed loads draw what they drew"),
        ({"machines": "internal", "loads": "motor"}, "loads = 'motor'"),
        ({"machines": "internal", "loads": {"impedance": 0.5}}, "give numbers that sum to 1"),
        ({"machines": "internal", "loads": {"motor": 1.0}}, "loads has 'motor'"),
        ({"lossless": "yes"}, "lossless = 'yes'"),
    ],
)
def test_a_convention_that_does_not_exist_is_one_sentence(options, message):
    with pytest.raises(co.InputError, match=message):
        co.Convention(**options)


def test_an_unknown_convention_names_the_known_ones(nets):
    with pytest.raises(co.UnknownNameError, match="did you mean 'classical'"):
        co.linearize(nets, convention="classic")
    with pytest.raises(co.CaseError, match="no reactance, so a lossless convention cannot hold it"):
        co.linearize(
            changed(nets, x_pu=nets.branches["x_pu"].where(nets.branches.index > 0, 0.0)), co.power_flow(nets, method="flat")
        )


# --- files of others ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["case9", "case39", "case118", "case_illinois200", "case300", "GBnetwork", "iceland"])
def test_pandapower_networks_keep_their_solution(name):
    """What pandapower solved with its own models balances in the tables made of it: nothing was lost on the way."""
    import pandapower
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = getattr(pandapower.networks, name)()
        pandapower.runpp(net, numba=False, init="dc", calculate_voltage_angles=True)
    case = co.case_of_pandapower(net)
    point = co.power_flow(case, method="stored")
    assert point.mismatch_mva < 1e-6
    assert point.slack_mw == pytest.approx(float(net.res_ext_grid.p_mw.iloc[0]), abs=1e-5)
    assert case.f_hz == net.f_hz


def test_a_pandapower_network_of_transformers_switches_and_wards_keeps_its_solution():
    import pandapower
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pandapower.networks.example_multivoltage()
        pandapower.runpp(net, numba=False, calculate_voltage_angles=True)
    for base in (None, 100.0):
        case = co.case_of_pandapower(net, base_mva=base, f_hz=50)
        assert case.base_mva == (net.sn_mva if base is None else base)
        assert co.power_flow(case, method="stored").mismatch_mva < 1e-6
    net.res_bus.drop(net.res_bus.index, inplace=True)
    assert "vm_pu" not in co.case_of_pandapower(net).buses


def test_a_mat_file_is_the_m_file(tmp_path):
    import scipy.io

    from tests.test_grids import MATPOWER, matpower_tables

    (tmp_path / "two.m").write_text(MATPOWER)
    text = co.read_case(tmp_path / "two.m", f_hz=60)
    tables = matpower_tables()
    scipy.io.savemat(tmp_path / "two.mat", {"mpc": tables})
    binary = co.read_case(tmp_path / "two.mat", f_hz=60)
    for name in ("buses", "branches", "generators"):
        pd.testing.assert_frame_equal(getattr(text, name), getattr(binary, name), check_dtype=False)
    scipy.io.savemat(tmp_path / "loose.mat", tables)
    assert co.read_case(tmp_path / "loose.mat", f_hz=60).notes == text.notes
    scipy.io.savemat(tmp_path / "other.mat", {"x": 1.0})
    with pytest.raises(co.CaseError, match="holds no MATPOWER case"):
        co.read_case(tmp_path / "other.mat")
    (tmp_path / "text.mat").write_text("hello")
    with pytest.raises(co.CaseError, match="is not read as a MATLAB file"):
        co.read_case(tmp_path / "text.mat")
    tables["gen"] = tables["gen"][:, :5]
    scipy.io.savemat(tmp_path / "narrow.mat", {"mpc": tables})
    with pytest.raises(co.CaseError, match=r"mpc\.gen has 5 columns"):
        co.read_case(tmp_path / "narrow.mat")


def test_a_thing_that_is_no_pandapower_network_is_refused():
    with pytest.raises(co.InputError, match="the network is a dict"):
        co.case_of_pandapower({})


def test_the_picture_of_a_mode_names_every_machine(nets):
    from coherence import plots

    found = co.modes(nets)
    figure = plots.mode_shape(found, 1)
    (axes,) = figure.axes
    assert {tick.get_text() for tick in axes.get_xticklabels()} == set(nets.labels)
    heights = {tick.get_text(): bar.get_height() for tick, bar in zip(axes.get_xticklabels(), axes.patches, strict=True)}
    assert heights["G5"] == pytest.approx(1.0)
    assert heights["G15"] < 0 < heights["G13"]
    with pytest.raises(co.InputError, match="mode = 99; give one of 1 to 15"):
        plots.mode_shape(found, 99)


# --- what a stranger met ------------------------------------------------------------------------------------------


def pandapower_network(name, change=lambda pandapower, net: None, **options):
    """A network of pandapower's library after a change, solved; and pandapower itself."""
    import pandapower
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = getattr(pandapower.networks, name)()
        change(pandapower, net)
        pandapower.runpp(net, numba=False, calculate_voltage_angles=True, **options)
    return net


def with_machines(case, **columns):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.UnitsWarning)
        return co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [4.0], "xd_prime_pu": [0.3]} | columns))


def test_a_machine_that_loses_synchronism_without_oscillating_is_said():
    """1000 MW behind x'd = 0.3 on 100 MVA: K has a negative eigenvalue, which no table of oscillations shows."""
    case = with_machines(co.case_of_pandapower(pandapower_network("case39")))
    found = co.synchronising_matrix(case, convention="classical")
    spectrum = np.sort(np.linalg.eigvals(found.matrix.to_numpy()).real)
    assert spectrum[0] < -0.01
    assert found.algebraic_connectivity == pytest.approx(spectrum[0], rel=1e-9)
    assert "lose synchronism" in found.facts["algebraic connectivity of K"]
    modes = co.modes(case)
    inertia = co.machine_nodes(case).inertia
    worst = np.sqrt(-np.linalg.eigvals(found.matrix.to_numpy() / inertia[:, None]).real.min())
    assert modes.unstable[0] == pytest.approx(worst, rel=1e-9)
    assert modes.unstable[0].imag == 0
    assert "not stable" in modes.facts["stability"]
    assert "not stable" in co.describe(case, convention="classical").facts["stability"]


def test_stable_modes_say_so_and_where_they_come_from(nets):
    found = co.modes(nets)
    assert found.unstable.size == 0
    assert found.facts["stability"] == "no eigenvalue of positive real part"
    assert found.facts["convention"].startswith("internal nodes behind x'd")
    assert "slack 3591.419 MW" in found.facts["operating point"]
    assert "H_s of G1 42" in found.facts["note 1"]
    assert "among those sought" in co.modes(nets, count=2).facts["stability"]


@pytest.mark.parametrize("convention", ["terminal", "classical"])
def test_few_modes_of_many_governed_machines_are_those_of_the_dense_method(convention):
    """Real eigenvalues of 260 turbines crowd around the shift."""
    case = with_machines(
        co.case_of_pandapower(pandapower_network("case1354pegase", init="dc")),
        R_pu=[0.05],
        T_s=[8.0],
        xd_prime_pu=[0.05],
        mbase_mva=[500.0],
    )
    dense, few = co.modes(case, convention=convention), co.modes(case, convention=convention, count=4, near_hz=0.8)
    nearest = np.sort(np.argsort(np.abs(dense.eigenvalues - 1.6j * np.pi))[:4])
    assert few.eigenvalues == pytest.approx(dense.eigenvalues[nearest], rel=1e-8)


def test_the_solution_of_a_pandapower_network_is_kept_whatever_made_it():
    def depend(pandapower, net):
        net.load["const_z_p_percent"], net.load["const_i_q_percent"] = 100.0, 50.0

    net = pandapower_network("case9", depend)
    case = co.case_of_pandapower(net, f_hz=60)
    assert co.power_flow(case, method="stored").slack_mw == pytest.approx(net.res_ext_grid.p_mw.iloc[0], abs=1e-5)
    assert any("loads that depend on voltage are taken at their solved power" in note for note in case.notes)

    def shared(pandapower, net):
        net.ext_grid["slack_weight"] = 1.0
        net.gen["slack_weight"] = 1.0

    net = pandapower_network("case39", shared, distributed_slack=True)
    case = co.case_of_pandapower(net)
    assert co.power_flow(case, method="stored").slack_mw == pytest.approx(net.res_ext_grid.p_mw.iloc[0], abs=1e-5)
    assert case.generators["p_mw"].tolist()[1:] == pytest.approx(net.res_gen.p_mw.tolist())
    net = pandapower_network("case39", enforce_q_lims=True)
    assert co.power_flow(co.case_of_pandapower(net), method="stored").solves


def test_a_source_that_is_no_machine_gets_no_inertia_from_the_star():
    def ward(pandapower, net):
        pandapower.create_xward(net, 4, 5, 1, 2, 1, 0.01, 0.1, 1.0)

    case = co.case_of_pandapower(pandapower_network("case9", ward), f_hz=60)
    assert "1 sources of extended wards are static" in case.notes
    assert len(with_machines(case).machines) == 3


def test_matpower_code_is_refused_and_dispatchable_loads_are_loads(tmp_path):
    from tests.test_grids import MATPOWER

    path = tmp_path / "code.m"
    path.write_text(MATPOWER + "mpc.bus(2, 3) = mpc.bus(2, 3) * 0.5;\n")
    with pytest.raises(co.CaseError, match=r"line 21: 'mpc\.bus\(2, 3\).*is not plain data"):
        co.read_case(path, f_hz=60)
    path.write_text(MATPOWER.replace(" 3 20 0 99 -99 1.01 0   1 200 0;", " 3 -20 -5 99 -99 1.01 0   1 0 -20;"))
    case = co.read_case(path, f_hz=60)
    assert "1 dispatchable loads (PMAX <= 0) are loads" in case.notes
    assert case.labels == ("G1", "G3")
    assert case.buses.set_index("bus").loc[3, ["p_load_mw", "q_load_mvar"]].tolist() == [40, 10]


def test_rows_out_of_service_are_left_out_and_unused_columns_noted(tmp_path):
    from coherence.formats.template import write_template

    folder = tmp_path / "my"
    write_template(folder)
    branches = pd.read_csv(folder / "branches.csv")
    branches["in_service"], branches["owner"] = [1, 1, 0, 1, 1, 1], 7
    branches.to_csv(folder / "branches.csv", index=False)
    case = co.read_case(folder)
    assert case.notes == ("1 branches out of service left out", "columns of branches.csv that are not used: owner")
    assert len(case.branches) == 5
    branches.loc[5, "tap"] = -1
    branches.to_csv(folder / "branches.csv", index=False)
    with pytest.raises(co.CaseError, match=r"branches\.csv, line 7: tap = -1"):
        co.read_case(folder)


def test_the_template_has_modes(tmp_path):
    from coherence.formats.template import write_template

    write_template(tmp_path / "my")
    assert len(co.modes(co.read_case(tmp_path / "my")).table) == 2


def test_buses_that_feed_in_damp_nothing():
    case = co.load_case("two_area")
    buses = case.buses.copy()
    buses.loc[buses["bus"] == 4, "p_load_mw"] = -976.0
    feeding = replace(case, buses=buses)
    network = co.linearize(feeding, co.power_flow(feeding, method="flat"), load_damping=1.0)
    assert "load 4" not in network.labels
    assert (network.nodes.damping >= 0).all()


def test_a_branch_of_resistance_alone_has_a_power_flow():
    case = co.load_case("two_area")
    branches = case.branches.copy()
    branches.loc[3, "x_pu"] = 0.0
    resistive = replace(case, branches=branches)
    assert co.power_flow(resistive, method="ac").solves
    assert co.modes(resistive, co.power_flow(resistive)).unstable.size == 0


def test_voltages_of_another_case_are_refused(nets):
    more = replace(nets, buses=nets.buses.assign(p_load_mw=1.1 * nets.buses["p_load_mw"]))
    with pytest.raises(co.InputError, match="it is another case's; compute it with power_flow"):
        co.modes(more, co.power_flow(nets))
    with pytest.raises(co.InputError, match="the operating point is a str"):
        co.modes(nets, "dc")


def test_dropped_voltages_are_mentioned(nets):
    moved = replace(nets, buses=nets.buses.assign(va_deg=nets.buses["va_deg"] * 1.001))
    point = co.power_flow(moved)
    assert point.source == "ac"
    assert point.stored_mismatch_mva > 0.1
    assert "the stored voltages leave" in repr(point)
    assert co.power_flow(moved, tolerance_mva=1e3).source == "stored"


def test_a_terminal_at_its_reactive_limit_does_not_hold_its_voltage(nets):
    free = co.power_flow(nets, method="ac")
    limited = nets.generators.assign(q_min_mvar=-1000, q_max_mvar=1000)
    limited["q_max_mvar"] = limited["q_max_mvar"].astype(float)
    limited.loc[4, "q_max_mvar"] = 0.6 * free.generation[4].imag
    case = replace(nets, generators=limited)
    point = co.power_flow(case, method="ac", enforce_limits=True)
    k = co.synchronising_matrix(case, point, convention="flow")
    held = co.synchronising_matrix(case, replace(point, limited=()), convention="flow")
    assert k.stiffness.shape[0] == held.stiffness.shape[0] + 1
    assert abs(k.matrix.loc["G5", "G5"] - held.matrix.loc["G5", "G5"]) > 0.01


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda c: replace(c, buses=c.buses.assign(p_load_mw=np.nan)),
            "buses row 0, column 'p_load_mw': nan is not a finite number",
        ),
        (lambda c: replace(c, branches=c.branches.assign(to_bus=99)), "to_bus = 99 is not in the table of buses"),
        (lambda c: replace(c, branches=c.branches.assign(r_pu="x")), "branches row 0, column 'r_pu': 'x' is not a finite number"),
        (lambda c: replace(c, branches=c.branches.drop(columns="tap")), "branches: column 'tap' is missing"),
        (lambda c: replace(c, generators=c.generators.assign(xd_prime_pu=-0.3)), "xd_prime_pu = -0.3; it must be > 0"),
        (lambda c: replace(c, generators=c.generators.assign(v_pu=0.0)), "v_pu = 0; it must be > 0"),
        (lambda c: replace(c, generators=c.generators.assign(kind="PV")), "kind = 'PV'; give 'pv' or 'slack'"),
        (lambda c: replace(c, generators=c.generators.assign(q_min_mvar=1.0, q_max_mvar=-1.0)), "q_min_mvar is above q_max_mvar"),
        (lambda c: replace(c, base_mva="x"), "base_mva = 'x'; give a number of MVA > 0"),
    ],
)
def test_a_case_edited_in_memory_is_checked(edit, message):
    case = edit(co.load_case("two_area"))
    for use in (co.power_flow, co.linearize, co.modes):
        with pytest.raises(co.CaseError, match=message):
            use(case)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modes", "{net}", "--damping", "5"), "--damping belongs to a case"),
        (("modes", "{net}", "--convention", "flow"), "convention and governors belong to a case"),
        (("info", "{net}", "--convention", "flow"), "--convention belongs to a case"),
        (("info", "{net}", "--f-hz", "50"), "--f-hz belongs to a case"),
        (("study", "{net}", "--convention", "flow"), "convention and operating_point belong to a case"),
        (("modes", "two_area", "--loads", "motor"), "loads = 'motor'"),
        (("modes", "two_area", "--power-flow", "newton"), "method = 'newton'"),
        (("modes", "iceland", "--limits"), "did not converge with reactive limits enforced"),
    ],
)
def test_options_of_the_command_line_are_refused_in_one_sentence(tmp_path, arguments, message):
    import subprocess
    import sys

    net = tmp_path / "net.json"
    co.save_network(co.linearize(co.load_case("two_area")), net)
    command = [sys.executable, "-m", "coherence", *(argument.format(net=net) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_modes_prints_the_modes_and_their_convention(tmp_path):
    import subprocess
    import sys

    command = [sys.executable, "-m", "coherence", "modes", "nets_nyps68", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    page = json.loads(done.stdout)
    assert page["tables"]["modes"][0]["frequency_hz"] == pytest.approx(0.39051, abs=1e-5)
    assert page["facts"]["convention"].endswith("loads impedance")
    assert any("H_s of G1 42" in fact for fact in page["facts"].values())


# --- what a maintainer asked for ----------------------------------------------------------------------------------


def test_loads_of_active_and_reactive_power_have_their_own_fractions():
    """Literal fractions, not those that the convention keeps: P constant power and Q constant impedance, and the reverse."""
    assert co.Convention("internal", loads={"p": {"power": 1.0}, "q": {"impedance": 1.0}}).load_exponents == (0.0, 2.0)
    assert co.Convention("internal", loads={"p": {"current": 1.0}, "q": {"impedance": 0.5, "power": 0.5}}).load_exponents == (
        1.0,
        1.0,
    )
    assert co.Convention("internal").load_exponents == (2.0, 2.0)


@pytest.mark.parametrize("convention", ["terminal", "classical"])
def test_a_small_load_with_damping_hides_no_mode(iceland_case, convention):
    """Load buses add real eigenvalues of 1e7 1/s; the oscillations stay."""
    dense = co.modes(iceland_case, convention=convention, load_damping=1.0)
    assert len(dense.table) == 34
    few = co.modes(iceland_case, convention=convention, load_damping=1.0, count=5)
    nearest = np.sort(np.argsort(np.abs(dense.eigenvalues - 1j * np.pi))[:5])
    assert few.eigenvalues == pytest.approx(dense.eigenvalues[nearest], rel=1e-7)


def test_equal_machines_share_their_modes():
    """Four equal units at one bus: three equal eigenvalues, in which each unit has its part, none of the other machines."""
    two = co.load_case("two_area")
    units = [
        two.generators.iloc[[0]].assign(label=f"U{i}", kind="slack" if i == 0 else "pv", p_mw=175.0, mbase_mva=225.0)
        for i in range(4)
    ]
    case = replace(two, generators=pd.concat([*units, two.generators.iloc[1:]], ignore_index=True))
    point = co.power_flow(case, method="ac")
    dense = co.modes(case, point)
    assert dense.participations.sum().to_numpy() == pytest.approx(np.ones(6), abs=1e-2)
    inner = dense.participations.iloc[:, 3:]
    assert inner.loc[["U0", "U1", "U2", "U3"]].sum().to_numpy() == pytest.approx(np.ones(3), abs=1e-2)
    assert inner.sum(axis=1)[["U0", "U1", "U2", "U3"]].to_numpy() == pytest.approx(np.full(4, 0.75), abs=1e-2)
    complete = co.Network(co.swing(inertia=np.ones(40), damping=0.1), 40.0 * np.eye(40) - 1.0, "1/s")
    assert co.modes(complete).participations.sum().to_numpy() == pytest.approx(np.ones(39), abs=1e-8)


def test_columns_keep_their_digits_at_the_resonances_of_the_grounded_network():
    undamped = co.swing(inertia=[1, 1], damping=0)
    laplacian = np.array([[1.0, -1.0], [-1.0, 1.0]])
    sparse, dense = co.Network(undamped, sp.csr_array(laplacian), "1/s"), co.Network(undamped, laplacian, "1/s")
    s = 1j * np.array([1.0, 1.0 + 1e-15, 1.0 + 1e-10, 0.999])
    assert np.allclose(sparse.transfer_columns(s, ["1"]), dense.transfer_matrix(s)[:, :, :1], rtol=1e-12)
    for name in ("two_area", "new_england39", "nets_nyps68"):
        kept = co.linearize(co.load_case(name), passive="keep", governors="none")
        reduced = kept.kron_reduce()
        ground = int(reduced.nodes.inertia.argmax())
        rest = np.delete(np.arange(reduced.size), ground)
        grounded = np.linalg.eigvals(reduced.laplacian[np.ix_(rest, rest)] / reduced.nodes.inertia[rest, None])
        s = 1j * np.sqrt(np.sort(grounded.real))[:3]
        columns = kept.transfer_columns(s, reduced.labels[:2])[:, : reduced.size]
        direct = reduced.transfer_columns(s, reduced.labels[:2])
        assert np.abs(columns - direct).max() <= 1e-9 * np.abs(direct).max()


def test_columns_keep_their_digits_where_node_inverses_cancel_in_their_sum():
    for rest in (1e-12, 1e-6, 0.0):
        nodes = co.Nodes(("a", "b", "c"), np.array([[1.0, -1.0, rest], [1.0, -1.0, 0.0]]))
        laplacian = np.array([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2.0]])
        sparse, dense = co.Network(nodes, sp.csr_array(laplacian), "1"), co.Network(nodes, laplacian, "1")
        s = 0.7j
        assert np.allclose(sparse.transfer_columns(s, ["a", "c"]), dense.transfer_matrix(s)[:, :, [0, 2]], rtol=1e-9)


def test_an_indefinite_laplacian_is_refused_however_large_its_largest_weight():
    n = 400
    weight = np.ones(n - 1)
    weight[100], weight[250] = 1e5, -0.4
    chain = sp.diags_array([-weight, -weight], offsets=[-1, 1], shape=(n, n))
    chain = sp.csr_array(chain - sp.diags_array(np.asarray(chain.sum(axis=1)).ravel()))
    nodes = co.swing(inertia=np.ones(n), damping=1.0)
    for matrix in (chain, chain.toarray()):
        with pytest.raises(co.InputError, match="indefinite"):
            co.Network(nodes, matrix, "1/s")


def test_charging_parallel_to_a_tie_is_kept_and_a_transformer_there_refused(nets):
    from coherence.grids.topology import merge_ties

    row = nets.branches.iloc[[0]]
    tie = row.assign(r_pu=0.0, x_pu=0.0, b_pu=0.2)
    beside = row.assign(r_pu=0.01, x_pu=0.1, b_pu=0.5)
    joined = replace(nets, branches=pd.concat([nets.branches.iloc[1:], tie, beside], ignore_index=True))
    merged = merge_ties(joined)
    first = row["from_bus"].iloc[0]
    before = nets.buses.set_index("bus")["b_shunt_mvar"]
    assert merged.buses.set_index("bus").loc[first, "b_shunt_mvar"] == pytest.approx(
        before[first] + before[row["to_bus"].iloc[0]] + 70
    )
    both = nets.buses.set_index("bus")["p_load_mw"]
    assert merged.buses.set_index("bus").loc[first, "p_load_mw"] == pytest.approx(both[first] + both[row["to_bus"].iloc[0]])
    odd = replace(joined, branches=pd.concat([joined.branches, beside.assign(tap=1.05)], ignore_index=True))
    with pytest.raises(co.CaseError, match="is parallel to a branch without impedance"):
        merge_ties(odd)
    moved = merge_ties(
        replace(nets, branches=pd.concat([nets.branches, row.assign(from_bus=53, to_bus=40, r_pu=0.0, x_pu=0.0, b_pu=0.0)]))
    )
    assert moved.generators["bus"].iloc[0] == 40


def test_the_slack_of_an_island_is_its_largest_machine(nets):
    only = nets.branches[(nets.branches["from_bus"] > 1) & (nets.branches["to_bus"] > 1)]
    table = nets.generators.assign(kind="pv", mbase_mva=[100.0 + i for i in range(16)])
    table.loc[15, ["mbase_mva", "H_s"]] = [9000.0, np.nan]
    apart = replace(nets, branches=only.reset_index(drop=True), generators=table.assign(kind=["slack"] + 15 * ["pv"]))
    part = co.island(replace(apart, generators=table), 40)
    assert part.generators.set_index("label")["kind"].pipe(lambda k: k[k == "slack"]).index.tolist() == ["G15"]


def test_damping_ratios_are_positive_where_modes_decay(iceland_case):
    table = co.modes(iceland_case).table
    assert (table["real"] < 0).all()
    assert table["damping_ratio"].to_numpy() == pytest.approx(-table["real"] / np.hypot(table["real"], table["imag"]))
    assert (table["damping_ratio"] > 0).all()


def test_generators_at_one_bus_share_reactive_power_by_their_bases(nets):
    split = pd.concat(
        [
            nets.generators.iloc[[0]].assign(label="a", mbase_mva=30.0, p_mw=100.0),
            nets.generators.iloc[[0]].assign(label="b", mbase_mva=90.0, p_mw=150.0),
            nets.generators.iloc[1:],
        ],
        ignore_index=True,
    )
    point = co.power_flow(replace(nets, generators=split))
    whole = co.power_flow(nets).generation[0]
    assert point.generation[:2].imag == pytest.approx([0.25 * whole.imag, 0.75 * whole.imag], rel=1e-6)
    assert point.generation[:2].real.tolist() == [100.0, 150.0]


def test_a_low_reactive_limit_binds_from_below(nets):
    free = co.power_flow(nets, method="ac").generation[4].imag
    table = nets.generators.assign(q_min_mvar=-1e3, q_max_mvar=1e3)
    table.loc[4, "q_min_mvar"] = free + 40.0
    point = co.power_flow(replace(nets, generators=table), method="ac", enforce_limits=True)
    assert point.limited == ("G5",)
    row = list(nets.buses["bus"]).index(table["bus"][4])
    assert abs(point.voltage[row]) > nets.generators["v_pu"][4] + 1e-3


def test_reactive_limits_and_machine_bases_of_files_are_read(tmp_path):
    import pandapower.networks

    from tests.test_grids import MATPOWER

    (tmp_path / "two.m").write_text(MATPOWER.replace(" 1 50 0 99 -99", " 1 50 0 77 -33"))
    first = co.read_case(tmp_path / "two.m", f_hz=60).generators.iloc[0]
    assert (first["q_min_mvar"], first["q_max_mvar"]) == (-33, 77)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pandapower.networks.case9()
    net.gen["sn_mva"] = [192.0, 128.0]
    assert co.case_of_pandapower(net, f_hz=60).generators["mbase_mva"].tolist() == [100.0, 192.0, 128.0]


def test_a_lossy_grid_with_passive_buses_kept_has_the_symmetrised_branches(iceland_case):
    convention = co.Convention(lossless=False)
    kept = co.linearize(iceland_case, convention=convention, passive="keep")
    assert np.abs(kept.laplacian - kept.laplacian.T).max() == 0
    reduced = co.linearize(iceland_case, convention=convention)
    assert kept.kron_reduce().algebraic_connectivity == pytest.approx(reduced.algebraic_connectivity, rel=1e-9)
    assert reduced.algebraic_connectivity == pytest.approx(0.39065, abs=1e-5)


def test_modes_are_named_by_the_groups_they_separate():
    """The four inter-area modes of the 16 machines, as in the literature on them; all others are within an area."""
    found = co.modes(co.load_case("nets_nyps68"))
    areas = {f"G{i}": "NETS" if i <= 9 else "NYPS" if i <= 13 else f"area {i - 11}" for i in range(1, 17)}
    partition = co.Partition.of(areas, labels=list(found.shapes.index))
    named = found.named(partition)
    assert named["name"].tolist()[:4] == [
        "NETS, NYPS against area 3, area 4, area 5",
        "NETS, area 3, area 4 against area 5",
        "NETS against NYPS",
        "area 4 against area 3, area 5",
    ]
    assert (named["between"].iloc[:4] > 0.9).all()
    assert (named["between"].iloc[4:] < 0.1).all()
    assert named["name"].iloc[4:].str.startswith("within N").all()
    with pytest.raises(co.InputError, match="other nodes than these modes"):
        found.named(co.Partition.of(["a", "b"], labels=["x", "y"]))
