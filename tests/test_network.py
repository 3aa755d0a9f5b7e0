"""The kernel: T, its state space, projections, and their oracles."""

import control
import mpmath as mp
import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import coherence as co
from coherence.numerics.realization import Realization
from tests.draws import exact_transfer_matrix, networks, norm2, random_laplacian, to_numpy

EPS = np.finfo(float).eps


def residual(network, s):
    """||T Y - I|| / (||T|| ||Y||), frequency by frequency."""
    t, y = network.transfer_matrix(s), network.inverse_transfer_matrix(s)
    return norm2(t @ y - np.eye(network.size)) / (norm2(t) * norm2(y))


def test_iceland_transfer_matrix_inverts_y_to_1e_14(iceland):
    s = 1j * np.logspace(-6, 3, 200)
    assert residual(iceland, s).max() <= 1e-14


def test_iceland_state_space_agrees_with_t_to_1e_9(iceland):
    s = 1j * np.logspace(-6, 3, 200)
    t = iceland.transfer_matrix(s)
    assert (norm2(iceland.realization(s) - t) / norm2(t)).max() <= 1e-9


@given(networks(most=8), st.floats(-3, 2))
def test_transfer_matrix_inverts_y(network, decade):
    s = np.array([1j, 0.3 + 1j]) * 10**decade
    assert residual(network, s).max() <= 1e-13


@given(networks(most=8, degrees=(1, 2)), st.floats(-2, 2))
def test_state_space_is_t(network, decade):
    s = np.array([1j, 0.3 + 1j]) * 10**decade
    t = network.transfer_matrix(s)
    poles = network.poles()
    assume(np.abs(s[:, None] - poles).min(initial=np.inf) > 1e-3)
    assert (norm2(network.realization(s) - t) / norm2(t)).max() <= 1e-9


@given(networks(most=6, degrees=(0, 1), couplings=("1", "1/s", ([1.0, 2.0], [1.0, 1.0, 0.0]))), st.floats(-2, 1))
def test_nodes_of_relative_degree_zero_have_a_state_space_too(network, decade):
    s = np.array([1j, 0.3 + 1j]) * 10**decade
    assume(np.abs(s[:, None] - network.poles()).min(initial=np.inf) > 1e-3)  # a resistive network has no pole
    t = network.transfer_matrix(s)
    assert (norm2(network.realization(s) - t) / norm2(t)).max() <= 1e-9


@given(networks(most=9))
def test_order_counts_no_spurious_mode_at_the_origin(network):
    assert network.order == network.realization.order
    if network.coupling.den == (1.0, 0.0):  # 1/s: one angle less than nodes
        assert network.order == network.nodes.order + network.size - 1


def test_swing_network_has_no_pole_at_the_origin():
    network = co.Network(co.swing(inertia=[1, 2, 3], damping=[1, 1, 1]), random_laplacian(np.random.default_rng(1), 3), "1/s")
    assert np.abs(network.poles()).min() > 0.05


def test_incoherence_matches_50_digit_arithmetic():
    """E = T - g_hat 11^T by elimination, where subtraction in doubles has no digit left below 1e-6 rad/s."""
    worst = 0.0
    with mp.workdps(50):
        for seed, n in enumerate([2, 5, 9, 12]):
            rng = np.random.default_rng(seed)
            nodes = co.swing_turbine(
                inertia=rng.uniform(0.1, 1, n),
                damping=rng.uniform(0.05, 0.5, n),
                inverse_droop=rng.uniform(0.1, 1, n),
                time_constant=rng.uniform(0.5, 10, n),
            )
            for f in ("1/s", "1", ([1.0, 1.0], [1.0, 3.0, 0.0])):
                network = co.Network(nodes, random_laplacian(rng, n), f)
                for omega in (1e-9, 1e-6, 1e-3, 1e-1, 1.0, 30.0, 1e3):
                    t, z = exact_transfer_matrix(network, mp.mpc(0, omega))
                    e = t - mp.ones(n) / sum(z)
                    exact = np.linalg.norm(to_numpy(e), 2)
                    ours = norm2(network.deviation(1j * omega))[0]
                    worst = max(worst, abs(ours - exact) / exact)
    assert worst <= 1e-10


@pytest.mark.parametrize("ratio", [1e-8, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("heavy", [0, 2, 4])
def test_one_dominant_node_costs_no_digit(ratio, heavy):
    """An infinite bus among small machines: deviation and group error against 60 digits."""
    inertia, damping = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    inertia[heavy] *= ratio
    damping[heavy] *= ratio
    network = co.Network(co.swing(inertia=inertia, damping=damping), random_laplacian(np.random.default_rng(2), 5), "1/s")
    partition = co.Partition.of([0, 0, 1, 0, 1], labels=network.labels)
    with mp.workdps(60):
        for omega in (1e-6, 1e-2, 1.0):
            s = mp.mpc(0, omega)
            t, z = exact_transfer_matrix(network, s)
            deviation = to_numpy(t - mp.ones(5) / sum(z))
            p = mp.matrix(partition.indicator.tolist())
            coupled = p.T * mp.matrix(network.laplacian.tolist()) * p
            y = mp.matrix(2, 2)
            for i in range(2):
                y[i, 1 - i] = coupled[i, 1 - i] / s
                y[i, i] = -coupled[i, 1 - i] / s + sum(zi for zi, g in zip(z, partition.assignment, strict=True) if g == i)
            grouped = to_numpy(t - p * mp.inverse(y) * p.T)
            assert norm2(network.deviation(1j * omega) - deviation)[0] <= 1e-12 * np.linalg.norm(deviation, 2)
            assert norm2(co.group_error(network, 1j * omega, partition) - grouped)[0] <= 1e-12 * np.linalg.norm(grouped, 2)


def test_group_and_modal_errors_match_50_digit_arithmetic():
    worst = modal = 0.0
    with mp.workdps(50):
        for seed, n, k in [(0, 6, 2), (1, 10, 3), (2, 12, 4)]:
            rng = np.random.default_rng(seed)
            nodes = co.swing_turbine(
                inertia=rng.uniform(0.1, 1, n),
                damping=rng.uniform(0.05, 0.5, n),
                inverse_droop=rng.uniform(0.1, 1, n),
                time_constant=rng.uniform(0.5, 10, n),
            )
            network = co.Network(nodes, random_laplacian(rng, n), "1/s")
            partition = co.Partition.of(rng.permutation(np.arange(n) % k), labels=nodes.labels)
            refined = co.aggregate(network, partition).network
            for omega in (1e-9, 1e-4, 1e-1, 1.0, 100.0):
                s = mp.mpc(0, omega)
                t, z = exact_transfer_matrix(network, s)
                v = mp.matrix(network.eigenvectors[:, :k].tolist())
                inner = v.T * mp.diag(z) * v
                for i in range(k):
                    inner[i, i] += mp.mpf(float(network.eigenvalues[i])) / s
                exact = to_numpy(t - v * mp.inverse(inner) * v.T)
                ours = co.modal_error(network, 1j * omega, k)[0]
                # eigenvectors carry rounding of their own, which no formula can mend: relative to T where T is huge
                modal = max(modal, np.linalg.norm(ours - exact, 2) / np.linalg.norm(to_numpy(t), 2))
                p = mp.matrix(partition.indicator.tolist())
                for model in (None, refined):
                    if model is None:
                        laplacian = p.T * mp.matrix(network.laplacian.tolist()) * p
                    else:
                        laplacian = mp.matrix(model.laplacian.tolist())
                    for i in range(k):
                        laplacian[i, i] -= sum(laplacian[i, j] for j in range(k))
                    y = laplacian / s
                    for i in range(k):
                        y[i, i] += sum(zi for zi, g in zip(z, partition.assignment, strict=True) if g == i)
                    exact = to_numpy(t - p * mp.inverse(y) * p.T)
                    ours = co.group_error(network, 1j * omega, partition, model)[0]
                    worst = max(worst, np.linalg.norm(ours - exact, 2) / np.linalg.norm(exact, 2))
    assert worst <= 1e-9
    assert modal <= 1e-10


def test_where_node_inverses_cancel_in_their_sum_t_is_inverted_directly():
    """sum g_i^{-1} = 1e-7 of its terms, though T is harmless: g_hat 11^T + E would cancel."""
    network = co.Network(
        co.swing(inertia=[1.0, 1.0, 1.0], damping=[1.0, -1.0 + 1e-7, 0.0]), random_laplacian(np.random.default_rng(0), 3), "1"
    )
    with mp.workdps(50):
        t, _ = exact_transfer_matrix(network, mp.mpc(1e-9))
        exact = to_numpy(t)
    assert norm2(network.transfer_matrix(1e-9) - exact)[0] <= 1e-12 * np.linalg.norm(exact, 2)


def test_a_network_that_falls_apart_has_a_block_per_component_also_at_a_pole_of_the_coupling():
    laplacian = np.zeros((5, 5))
    for i, j, w in [(0, 1, 0.3), (2, 3, 0.7), (3, 4, 0.11), (2, 4, 0.1)]:
        laplacian[[i, j], [i, j]] += w
        laplacian[[i, j], [j, i]] -= w
    network = co.Network(co.swing(inertia=[1, 2, 3, 4, 5], damping=[0.1, 0.2, 0.3, 0.4, 0.5]), laplacian, "1/s")
    want = np.zeros((5, 5))
    want[:2, :2], want[2:, 2:] = 1 / 0.3, 1 / 1.2
    assert np.allclose(network.transfer_matrix(0.0)[0], want, rtol=1e-14)
    assert np.allclose(network.realization.dc_gain(), want, rtol=1e-12)
    assert network.algebraic_connectivity == 0.0
    with pytest.raises(co.DisconnectedError):
        network.deviation(1.0)


@given(st.integers(0, 10_000), st.floats(-6, 6))
def test_rescaling_time_does_not_change_a_node(seed, decade):
    """Transfer functions in seconds or in hours: the same digits."""
    rng, scale = np.random.default_rng(seed), 10.0**decade
    num, den = np.array([1.0, *rng.uniform(0.2, 2, 2)]), np.array([1.0, *rng.uniform(0.2, 2, 3)])
    stretched = control.tf(num * scale ** np.arange(2, -1, -1.0), den * scale ** np.arange(3, -1, -1.0))
    node, s = co.from_systems([stretched]), np.array([0.1j, 1j, 3j])
    assert np.allclose(node.response(s / scale)[:, 0], control.tf(num, den)(s), rtol=1e-9)


@pytest.mark.parametrize("zero", [1e6, 1e8])
def test_a_fast_zero_keeps_its_digits_or_is_refused(zero):
    g = control.tf([1.3 / zero, 1.3], [1.7, 1.1])
    node = co.from_systems([g])
    assert np.allclose(node.response([0.01j, 1j])[:, 0], g(np.array([0.01j, 1j])), rtol=1e-7)
    with pytest.raises(co.ToleranceError, match="drop the coefficients that make the fastest"):
        co.from_systems([control.tf([1.3 / (1e5 * zero), 1.3], [1.7, 1.1])])


@given(networks(least=3, most=9), st.integers(1, 2), st.floats(-1, 1))
def test_modal_error_is_the_difference_it_stands_for(network, k, decade):
    s = 1j * 10**decade
    v = network.eigenvectors[:, :k]
    direct = network.transfer_matrix(s) - v @ network.project(v).transfer_matrix(s) @ v.T
    ours = co.modal_error(network, s, k)
    assert norm2(ours - direct)[0] <= 1e-8 * max(norm2(network.transfer_matrix(s))[0], norm2(ours)[0])


@given(networks(least=3, most=9), st.data())
def test_aggregate_then_evaluate_is_evaluate_then_project(network, data):
    k = data.draw(st.integers(1, network.size))
    groups = list(range(k)) + [data.draw(st.integers(0, k - 1)) for _ in range(network.size - k)]
    partition = co.Partition.of(groups, labels=network.labels)
    s = np.array([0.2j, 1 + 2j])
    p = partition.indicator
    direct = p.T @ network.inverse_transfer_matrix(s) @ p
    assert np.allclose(network.project(partition).inverse_transfer_matrix(s), direct, rtol=1e-12, atol=1e-12 * np.abs(direct).max())


@given(networks(least=3, most=7, degrees=(1,)))
def test_projection_on_a_basis_is_a_network_with_a_state_space(network):
    v = network.eigenvectors[:, :2]
    projected = network.project(v)
    s = np.array([0.3j, 0.5 + 3j])
    assert np.allclose(projected.inverse_transfer_matrix(s), v.T @ network.inverse_transfer_matrix(s) @ v, rtol=1e-9, atol=1e-9)
    t = projected.transfer_matrix(s)
    assume(np.abs(s[:, None] - projected.poles()).min(initial=np.inf) > 1e-3)
    assert (norm2(projected.realization(s) - t) / norm2(t)).max() <= 1e-8
    again = projected.project(np.array([[1.0], [0.0]]))
    assert np.allclose(again.inverse_transfer_matrix(s), projected.inverse_transfer_matrix(s)[:, :1, :1])


def test_coherent_dynamics_of_300_nodes_keeps_12_digits_as_state_space(rng):
    n = 300
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.01, 0.1, n),
        damping=rng.uniform(0.005, 0.05, n),
        inverse_droop=rng.uniform(0.01, 0.1, n),
        time_constant=rng.uniform(1, 10, n),
    )
    ring = nx.cycle_graph(n)
    network = co.Network(nodes, nx.laplacian_matrix(ring).toarray(), "1/s")
    s = 1j * np.logspace(-2, 2, 400)
    direct = 1 / nodes.inverse(s).sum(axis=1)
    coherent = co.coherent_dynamics(network)
    for value in (coherent.realization(s)[:, 0, 0], coherent.to_statespace()(s), coherent.transfer_matrix(s)[:, 0, 0]):
        assert (np.abs(value - direct) / np.abs(direct)).max() <= 1e-12


def test_two_nodes_in_closed_form():
    m, d, weight = np.array([1.0, 2.0]), np.array([0.5, 0.25]), 3.0
    network = co.Network(co.swing(inertia=m, damping=d), [[weight, -weight], [-weight, weight]], "1/s")
    s = 0.7j
    a, b = m * s + d
    w = weight / s
    expected = np.array([[b + w, w], [w, a + w]]) / (a * b + w * (a + b))
    assert np.allclose(network.transfer_matrix(s)[0], expected, rtol=1e-14)


def test_homogeneous_nodes_on_a_complete_graph_in_closed_form():
    n, s = 6, 0.4j
    network = co.Network(co.swing(inertia=np.ones(n), damping=0.3), n * np.eye(n) - np.ones((n, n)), "1/s")
    deviation = 1 / (s + 0.3 + n / s)  # (3.3): every other eigenvalue is n
    assert np.isclose(norm2(network.deviation(s))[0], abs(deviation), rtol=1e-13)


def test_at_a_pole_of_the_coupling_the_limit_is_returned(iceland):
    t = iceland.transfer_matrix(0.0)[0]
    total = iceland.nodes.inverse(0.0).sum()
    assert np.allclose(t, 1 / total, rtol=1e-12)


def test_scalar_points_keep_the_frequency_axis(iceland):
    assert iceland.transfer_matrix(1j).shape == (1, 35, 35)
    assert iceland.transfer_matrix([1j, 2j]).shape == (2, 35, 35)


def test_statespace_names_every_signal(iceland):
    system = iceland.to_statespace()
    assert isinstance(system, control.StateSpace)
    assert system.input_labels[0] == "u[Burfell 1-2]"
    assert system.output_labels[3] == "y[Sigalda 1]"
    assert len(set(system.state_labels)) == system.nstates == iceland.order == 183
    assert "z[Burfell 3-4 - Burfell 1-2]" in system.state_labels


def test_python_control_feedback_gives_the_same_network(rng):
    """The slow twin: T by closing the loop L/s around diag(g) in python-control."""
    n = 4
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.5, 2, n),
        damping=rng.uniform(0.1, 1, n),
        inverse_droop=rng.uniform(0.1, 1, n),
        time_constant=rng.uniform(1, 5, n),
    )
    laplacian = random_laplacian(rng, n)
    g = control.append(
        *[
            control.tf2ss(control.tf([tau, 1], [m * tau, m + d * tau, d + r]))
            for m, d, r, tau in zip(
                nodes.inertia, nodes.damping, nodes.banks[0].c[:, 0], -1 / nodes.banks[0].a[:, 0, 0], strict=True
            )
        ]
    )
    angle = control.StateSpace(np.zeros((n, n)), np.eye(n), laplacian, np.zeros((n, n)))
    closed = control.feedback(g, angle)
    network = co.Network(nodes, laplacian, "1/s")
    for omega in (0.1, 1.0, 10.0):
        assert np.allclose(closed(1j * omega), network.transfer_matrix(1j * omega)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("num", "den"),
    [
        ([1.0], [2.0, 1.0]),
        ([1.0, 3.0], [1.0, 2.0, 1.0]),
        ([2.0, 1.0, 4.0], [1.0, 3.0, 5.0]),
        ([1.0], [1.0, 0.5, 2.0]),
        ([1.0, 1.0], [1.0, 2.0, 3.0, 4.0, 1.0]),
    ],
)
def test_transfer_functions_and_state_spaces_become_the_same_node(num, den):
    transfer = control.tf(num, den)
    s = np.array([0.1j, 1j, 2 + 3j])
    expected = np.polyval(num, s) / np.polyval(den, s)
    for system in (transfer, control.tf2ss(transfer)):
        assert np.allclose(co.from_systems([system]).response(s)[:, 0], expected, rtol=1e-9)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_state_space_node_keeps_its_response(order, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(order, order)) - 2 * np.eye(order)
    system = Realization(a, rng.normal(size=(order, 1)), rng.normal(size=(1, order)), np.array([[rng.choice([0.0, 1.0])]]))
    from coherence.nodes.systems import from_realization

    s = np.array([0.1j, 1j, 1 + 4j])
    ours, expected = from_realization("g", system).response(s)[:, 0], system(s)[:, 0, 0]
    assert np.allclose(ours, expected, rtol=1e-7)


def test_graphs_are_matched_by_label_not_by_position():
    graph = nx.Graph()
    graph.add_edge("b", "a", weight=2.0)
    graph.add_edge("a", "c", weight=5.0)
    network = co.Network.from_graph(graph, co.swing(inertia=[1, 2, 3], damping=1, labels=["a", "b", "c"]), "1/s")
    assert network.labels == ("b", "a", "c")
    assert network.nodes.inertia.tolist() == [2, 1, 3]
    assert network.laplacian[1].tolist() == [-2, 7, -5]


def test_a_saved_network_reloads_to_the_same_bits(tmp_path, iceland):
    path = tmp_path / "network.json"
    co.save_network(iceland, path)
    again = co.load_network(path)
    s = 1j * np.logspace(-3, 2, 20)
    assert np.array_equal(again.transfer_matrix(s), iceland.transfer_matrix(s))
    assert again.labels == iceland.labels


@given(networks(least=2, most=8))
def test_eigenvectors_are_orthonormal_with_an_exact_first_one(network):
    values, v = network.eigenvalues, network.eigenvectors
    assert values[0] == 0
    assert np.allclose(v[:, 0], 1 / np.sqrt(network.size), rtol=1e-15)
    assert np.allclose(v.T @ v, np.eye(network.size), atol=1e-13)
    assert np.allclose(v * values @ v.T, network.laplacian, atol=1e-12 * values[-1])
    assert np.allclose(values, np.linalg.eigvalsh(network.laplacian), atol=1e-12 * values[-1])
