"""Outages, steady states, differences of responses, python-control systems, and times chosen by themselves."""

import control
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import coherence as co
from tests.draws import networks, random_laplacian

SWINGS = st.integers(0, 2**32 - 1)


def swings(seed, n=5):
    rng = np.random.default_rng(seed)
    labels = [f"n{i}" for i in range(n)]
    nodes = co.swing(inertia=rng.uniform(0.5, 2, n), damping=rng.uniform(0.2, 0.6, n), labels=labels)
    return co.Network(nodes, random_laplacian(rng, n, density=0.9), "1/s"), rng


def operated(network, laplacian, inertia, damping, power, angles, times):
    """m w' = p - d w - L theta, theta' = w, from the steady operation L0 theta0 = p: with angles themselves, not deviations."""
    n = len(power)

    def slope(t, x):
        theta, w = x[:n], x[n:]
        out = np.zeros(n)
        moving = inertia > 0
        out[moving] = (power - damping * w - laplacian @ theta)[moving] / inertia[moving]
        return np.concatenate([w, out])

    return solve_ivp(slope, (0, times[-1]), np.concatenate([angles, np.zeros(n)]), t_eval=times, rtol=1e-10, atol=1e-12).y[n:].T


@given(SWINGS)
def test_a_line_outage_is_what_happens_to_the_angles_themselves(seed):
    network, rng = swings(seed)
    angles = rng.uniform(-0.3, 0.3, 5)
    power = network.laplacian @ angles
    held = np.argwhere(np.triu(network.laplacian, 1) < 0)
    outage = None
    for i, j in held[rng.permutation(len(held))]:
        flow = -network.laplacian[i, j] * (angles[i] - angles[j])
        try:
            outage = co.line_outage(network, f"n{i}", f"n{j}", flow=flow)
            break
        except co.DisconnectedError:
            continue
    assert outage is not None
    times = np.linspace(0, 4, 21)
    found = co.simulate(outage.network, outage.disturbance, times).frame.to_numpy()
    after = network.laplacian.copy()
    after[i, i] += after[i, j]
    after[j, j] += after[i, j]
    after[i, j] = after[j, i] = 0.0
    nodes = network.nodes
    assert found == pytest.approx(operated(network, after, nodes.inertia, nodes.damping, power, angles, times), abs=1e-7)


@given(SWINGS)
def test_a_unit_outage_is_what_happens_to_the_angles_themselves(seed):
    """The bus without its unit follows at once: its angle is eliminated from the reference, as from a Kron reduction."""
    network, rng = swings(seed)
    angles = rng.uniform(-0.3, 0.3, 5)
    power = network.laplacian @ angles
    outage = co.unit_outage(network, "n2", power=float(power[2]))
    times = np.linspace(0, 4, 21)
    found = co.simulate(outage.network, outage.disturbance, times).frame
    assert found.shape == (21, 5)
    kept = [0, 1, 3, 4]
    whole = network.laplacian
    reduced = whole[np.ix_(kept, kept)] - np.outer(whole[kept, 2], whole[2, kept]) / whole[2, 2]
    injected = power[kept]  # the bus itself feeds in nothing any more
    nodes = network.nodes
    want = operated(network, reduced, nodes.inertia[kept], nodes.damping[kept], injected, angles[kept], times)
    assert found.to_numpy()[:, kept] == pytest.approx(want, abs=1e-6)


def test_half_a_unit_leaves_half_its_dynamics(iceland):
    outage = co.unit_outage(iceland, "Blanda 1", power=0.2, share=0.5)
    i = iceland.index("Blanda 1")
    assert outage.network.nodes.inverse(0.3j)[0, i] == pytest.approx(0.5 * iceland.nodes.inverse(0.3j)[0, i])
    assert outage.disturbance.sizes == {"Blanda 1": -0.2}


def test_part_of_an_edge_can_be_lost_and_sparse_stays_sparse():
    network = co.Network(
        co.swing(inertia=[1, 1, 1], damping=1, labels=["a", "b", "c"]),
        sp.csr_array(np.array([[3.0, -2, -1], [-2, 3, -1], [-1, -1, 2]])),
        "1/s",
    )
    left = co.line_outage(network, "b", "a", flow=-0.1, weight=0.5).network.laplacian
    assert left.toarray() == pytest.approx(np.array([[2.5, -1.5, -1], [-1.5, 2.5, -1], [-1, -1, 2]]))
    gone = co.line_outage(network, "a", "b", flow=0.1).network.laplacian
    assert gone.nnz == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: co.line_outage(n, "n0", "n9", flow=1.0), "no node 'n9'"),
        (lambda n: co.line_outage(n, "n0", "n0", flow=1.0), "no edge between"),
        (lambda n: co.line_outage(n, "n0", "n2", flow=1.0), "no edge between"),
        (lambda n: co.line_outage(n, "n0", "n1", flow=np.nan), "flow = nan"),
        (lambda n: co.line_outage(n, "n0", "n1", flow=1.0, weight=9.0), "at most all"),
        (lambda n: co.line_outage(n, "n0", "n1", flow=1.0, weight=-1.0), "at most all"),
        (lambda n: co.line_outage(n, "n0", "n1", flow=1.0), "n0"),
        (lambda n: co.unit_outage(n, "n0", power=np.inf), "power = inf"),
        (lambda n: co.unit_outage(n, "n0", power=1.0, share=0.0), "share = 0"),
        (lambda n: co.unit_outage(co.unit_outage(n, "n0", power=1.0).network, "n0", power=1.0), "no unit to lose"),
    ],
)
def test_outages_that_cannot_be_get_one_sentence(call, message):
    path = co.Network(
        co.swing(inertia=[1, 1, 1], damping=1, labels=["n0", "n1", "n2"]), [[1, -1, 0], [-1, 2, -1], [0, -1, 1]], "1/s"
    )
    with pytest.raises(co.CoherenceError, match=message):
        call(path)


# --- steady states ----------------------------------------------------------------------------------------------------


@given(networks(least=2, most=6, passive=True, couplings=("1/s", 2.5, ([1.0, 1.0], [1.0, 0.3]))))
def test_steady_states_are_where_long_responses_end(network):
    disturbance = co.Step({network.labels[0]: 1.0}) + co.Ramp({network.labels[-1]: -0.4}, rise=2.0)
    slow = -network.poles().real.max()
    response = co.simulate(network, disturbance, [0.0, 3.0, 3.0 + 40 / slow])
    assert co.steady_state(network, disturbance).to_numpy() == pytest.approx(response.frame.iloc[-1].to_numpy(), rel=1e-7, abs=1e-9)
    assert response.steady.to_numpy() == pytest.approx(response.frame.iloc[-1].to_numpy(), rel=1e-7, abs=1e-9)


def test_a_sparse_steady_state_is_the_dense_one():
    network, _ = swings(3)
    static = co.Network(network.nodes, network.laplacian, 2.0)
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), 2.0)
    step = co.Step({"n1": 1.0})
    assert co.steady_state(sparse, step).to_numpy() == pytest.approx(co.steady_state(static, step).to_numpy())
    assert co.steady_state(static, step).to_numpy() == pytest.approx(static.transfer_matrix(0.0)[0, :, 1].real)


@pytest.mark.parametrize(
    ("damping", "disturbance", "error", "message"),
    [
        ([0.0, 0.0], co.Step({"a": 1.0}), co.InputError, "no damping and no droop"),
        ([0.1, -0.5], co.Step({"a": 1.0}), co.InstabilityError, "grows at .* most at node 'b'"),
        ([0.5, 0.5], co.Sinusoid({"a": 1.0}), co.InputError, "does not settle"),
        ([0.5, 0.5], co.Step({"c": 1.0}), co.UnknownNameError, "'c'"),
    ],
)
def test_steady_states_that_do_not_exist_get_one_sentence(damping, disturbance, error, message):
    network = co.Network(co.swing(inertia=[1.0, 1.0], damping=damping, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises(error, match=message):
        co.steady_state(network, disturbance)


def test_parts_of_a_network_have_no_common_steady_state():
    apart = co.Network(co.swing(inertia=[1, 1], damping=[1, 3]), np.zeros((2, 2)), "1/s")
    with pytest.raises(co.DisconnectedError):
        co.steady_state(apart, co.Step({"1": 1.0}))


@pytest.mark.parametrize("phase", [0.0, 1.0, (859 * np.pi - 2700) / 2])
def test_no_sinusoid_settles(phase):
    assert np.isnan(co.Sinusoid({"a": 1.0}, phase=phase).signal.final)
    assert np.isnan(co.Ramp({"a": 1.0}).signal._replace(events=((0.0, np.array([0.0, 1.0])),)).final)
    assert co.ExponentialApproach({"a": 1.0}, rate=0.3).signal.final == pytest.approx(1.0)
    assert co.Pulse({"a": 1.0}).signal.final == 0.0


def test_a_large_network_of_unknown_stability_has_no_claimed_steady_state():
    n = 1600
    labels = [str(i) for i in range(n)]
    ring = co.ring_graph(n)
    nodes = co.swing(inertia=1.0, damping=[*[0.1] * (n - 1), -0.01], labels=labels)
    with pytest.raises(co.InputError, match="stability of this one is not decided"):
        co.steady_state(co.Network(nodes, ring, "1/s"), co.Step({"0": 1.0}))
    passive = co.Network(nodes.with_damping(np.full(n, 0.1)), ring, "1/s")
    assert co.steady_state(passive, co.Step({"0": 1.0})).iloc[7] == pytest.approx(1 / passive.nodes.damping.sum())


# --- differences ------------------------------------------------------------------------------------------------------


def test_differences_of_responses_have_the_norms_of_a_fine_sampling(iceland):
    groups, pulse = co.spectral_groups(iceland, 3), co.Pulse({"Blanda 1": -0.3}, duration=0.4, start=0.3)
    small = co.aggregate(iceland, groups).network
    coarse = np.linspace(0, 8, 401)
    full, model = co.simulate(iceland, pulse, coarse), co.simulate(small, pulse.grouped(groups), coarse)
    found = co.response_difference(full, model, groups)
    fine = np.linspace(0, 8, 80_001)
    exact = co.simulate(iceland, pulse, fine).frame.to_numpy()
    exact = exact - co.simulate(small, pulse.grouped(groups), fine).frame.to_numpy() @ groups.indicator.T
    assert found.norms["linf"].to_numpy() == pytest.approx(np.abs(exact).max(axis=0), rel=2e-3)
    assert found.norms["l2"].to_numpy() == pytest.approx(np.sqrt(np.trapezoid(exact**2, fine, axis=0)), rel=2e-3)
    assert found.l2 == pytest.approx(np.linalg.norm(found.norms["l2"]))
    assert found.linf == found.norms["linf"].max()
    with pytest.raises(co.InputError, match="from rest"):
        _ = found.all_time


def test_differences_of_steps_know_their_norms_over_all_time(iceland):
    step = co.Step({"Blanda 1": -0.1})
    coherent = co.coherent_dynamics(iceland)
    full = co.simulate(iceland, step, np.linspace(0, 60, 6001))
    found = co.response_difference(full, co.simulate(coherent, step.at_one("coherent"), full.time))
    want = co.step_error(iceland, coherent, step)
    assert found.all_time == want
    assert found.linf == pytest.approx(want.linf, rel=1e-3)
    assert found.l2 <= want.l2
    assert found.l2 == pytest.approx(want.l2, rel=0.02)
    assert (full.frame.sub(full.coherent, axis=0) - found.frame).abs().to_numpy().max() < 1e-12


def test_differences_at_other_times_or_of_other_nodes_are_refused(iceland):
    step = co.Step({"Blanda 1": -0.1})
    one, other = co.simulate(iceland, step, [0, 1, 2]), co.simulate(iceland, step, [0, 1, 3])
    with pytest.raises(co.InputError, match="other times"):
        co.response_difference(one, other)
    with pytest.raises(co.ToleranceError, match="too coarse for metrics"):
        one.metrics()
    fewer = co.simulate(iceland, step, [0, 1, 2], outputs=["Blanda 1", "Krafla 1"])
    with pytest.raises(co.InputError, match="the partition that relates them"):
        co.response_difference(one, fewer)
    with pytest.raises(co.InputError, match="other nodes"):
        fewer.groups(co.spectral_groups(iceland, 3))
    assert fewer.coi.to_numpy() == pytest.approx(one.coi.to_numpy())


# --- systems, times ---------------------------------------------------------------------------------------------------


def test_python_control_systems_answer_by_their_own_names():
    system = control.ss(
        [[-1.0, 2.0], [0.0, -3.0]], [[1.0, 0], [0, 1]], [[1.0, 1.0]], [[0.0, 0.5]], inputs=["wind", "load"], outputs=["w"]
    )
    t = np.linspace(0, 4, 81)
    found = co.simulate(system, co.Step({"wind": 2.0}) + co.Ramp({"load": -1.0}, rise=2.0), t)
    u = np.vstack([2 + 0 * t, -np.clip(t / 2, 0, 1)])
    assert found.frame["w"].to_numpy() == pytest.approx(control.forced_response(system, t, u).outputs[0], abs=1e-9)
    assert list(found.metrics().index) == ["w"]
    first = co.simulate(control.tf([1.0], [2.0, 1.0]), co.Step([1.0]), t)
    assert first.frame.iloc[:, 0].to_numpy() == pytest.approx(-np.expm1(-t / 2), abs=1e-12)
    assert co.simulate(control.tf([1.0], [2.0, 1.0]), co.Step([1.0])).time[-1] == pytest.approx(
        20.0
    )  # seven time constants, rounded up


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (control.ss([[0.5]], [[1.0]], [[1.0]], [[0.0]], dt=0.1), "discrete-time"),
        (control.tf([1.0, 0.0, 1.0], [1.0, 1.0]), "proper"),
        ("iceland", "a str cannot be simulated"),
    ],
)
def test_systems_that_cannot_be_simulated_get_one_sentence(system, message):
    with pytest.raises(co.InputError, match=message):
        co.simulate(system, co.Step([1.0]), [0, 1])


def test_default_times_scale_with_the_network_and_not_with_its_slowest_pole():
    """Time in other units: the same samples; a governor a thousand times slower than all else: the same horizon."""

    def times(unit, slow=None):
        lag = [5.0 * unit, 4.0 * unit] if slow is None else [5.0 * unit, slow * unit]
        droop = [1.0, 1.0] if slow is None else [1.0, 1e-3]
        nodes = co.swing_turbine(inertia=[unit, 2 * unit], damping=[1, 1], inverse_droop=droop, time_constant=lag)
        network = co.Network(nodes, np.array([[9.0, -9], [-9, 9]]) / unit, "1/s")
        return co.simulate(network, co.Step({"1": 1.0})).time

    plain = times(1.0)
    assert 500 <= len(plain) <= 5001
    assert 5 <= plain[-1] <= 60
    assert times(1e-3) == pytest.approx(plain * 1e-3)
    assert times(1.0, slow=4000.0)[-1] == plain[-1]


def test_default_times_follow_the_disturbance(iceland):
    at = "Blanda 1"
    slow = co.simulate(iceland, co.ExponentialApproach({at: -0.1}, rate=0.05)).time
    assert slow[-1] >= 5 / 0.05
    fast = co.simulate(iceland, co.Sinusoid({at: -0.1}, omega=40.0)).time
    assert np.diff(fast).max() <= 2 * np.pi / 40 / 20
    late = co.simulate(iceland, co.Step({at: -0.1}, start=1000.0)).time
    after = late[late >= 1000.0]
    assert after[-1] >= 1020.0 - 1e-9
    assert np.diff(after).max() <= 0.0101
    assert len(late) < 8000
    drifting = control.ss([[-1e-17, 1.0], [0.0, -1.0]], [[0.0], [1.0]], [[1.0, 0.0]], [[0.0]])
    assert co.simulate(drifting, co.Step([1.0])).time[-1] == pytest.approx(10.0)
    ringing = co.simulate(control.tf([1.0], [1.0, 2e-3, 1e6]), co.Step([1.0])).time
    assert np.diff(ringing).max() <= 2 * np.pi / 1e3 / 20


def test_a_step_at_a_passive_bus_reaches_the_machines_as_in_the_reduced_network():
    star = np.array([[1.0, 0, -1], [0, 1, -1], [-1, -1, 2]]) * 3
    network = co.Network(co.Nodes(("a", "b", "bus"), np.array([[0.2, 0.3, 0], [1.0, 2, 0]])), star, "1/s")
    for disturbance in (co.Step({"bus": -1.0}), co.Step({"bus": -1.0, "b": 3.0}, start=0.5) + co.Ramp({"bus": 0.4}, rise=1.0)):
        found = co.simulate(network, disturbance, np.linspace(0, 5, 501))
        reduced = co.simulate(network.kron_reduce(), disturbance.kron_reduced(network), found.time)
        assert (found.frame[["a", "b"]] - reduced.frame).abs().to_numpy().max() <= 1e-6
        one, other = found.metrics(), reduced.metrics()
        assert one.loc[["a", "b", "CoI"], "rate at start"].to_numpy() == pytest.approx(other["rate at start"].to_numpy(), abs=1e-6)
        assert abs(one.loc["bus", "nadir"]) < 1.2 * one.loc[["a", "b"], "nadir"].abs().max()  # no impulse among the outputs
        assert one.loc["CoI", "nadir"] == pytest.approx(other.loc["CoI", "nadir"], abs=1e-6)


def test_an_outage_on_the_reduced_network_has_a_guarantee(iceland):
    outage = co.unit_outage(iceland, "Burfell 1-2", power=0.38)
    with pytest.raises(co.InputError, match="kron_reduced"):
        co.deviation_guarantee(outage.network, outage.disturbance)
    reduced = outage.kron_reduce()
    proved = co.deviation_guarantee(reduced.network, reduced.disturbance)
    seen = co.simulate(reduced.network, reduced.disturbance)
    assert (seen.frame.sub(seen.coherent, axis=0).abs().max() <= proved.frame["bound"]).all()


def test_disturbances_are_scaled_and_negated(iceland):
    step = co.Step({"Blanda 1": -0.1}) + co.Pulse({"Krafla 1": 0.2}, duration=0.5)
    times = np.linspace(0, 3, 31)
    once, twice = co.simulate(iceland, step, times).frame, co.simulate(iceland, -(2 * step), times).frame
    assert twice.to_numpy() == pytest.approx(-2 * once.to_numpy(), abs=1e-12)
    assert (co.Step([1.0, 2.0]) * 0.5).sizes == pytest.approx([0.5, 1.0])
    with pytest.raises(TypeError):
        step * "twice"


def test_the_error_of_one_exponential_is_not_that_of_itself():
    """Poles from 1e-2 to 1e4 in a companion form: one step of 10 s loses digits, and the estimate says so."""
    system = control.ss(control.tf([1.0], np.poly([-1e-2, -1.0, -1e2, -1e4])))
    found = co.simulate(system, co.Step([1.0]), [0.0, 10.0])
    assert found.error > 1e-16 * abs(found.frame.iloc[-1, 0])
