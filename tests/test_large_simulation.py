"""Responses of large networks: series and rational approximations against the exact exponentials, and their error estimates."""

import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import coherence as co
from coherence.numerics.exponential import pade
from coherence.simulation.descriptor import descriptor
from tests.draws import networks, random_laplacian, random_nodes
from tests.test_simulation import DISTURBANCES

TIMES = np.linspace(0.0, 6.0, 61)


def largest(response):
    return float(response.frame.abs().to_numpy().max())


def apart(one, other):
    return float((one.frame - other.frame).abs().to_numpy().max())


@pytest.mark.parametrize("poles", [2, 4, 6, 8, 10])
def test_pade_is_the_one_of_the_series_and_does_not_grow_on_the_axis(poles):
    """Against mpmath's approximant of the Taylor series, at 30 digits."""
    z, r = pade(poles)
    with mp.workdps(40):
        p, q = mp.pade([1 / mp.factorial(i) for i in range(2 * poles)], poles - 1, poles)
        for x in (0.3j, 1.0 - 2j, -5 + 1j, 9j, -40.0):
            ours = sum(ri / (x - zi) + np.conj(ri) / (x - np.conj(zi)) for zi, ri in zip(z, r, strict=True))
            want = complex(mp.polyval(p[::-1], x) / mp.polyval(q[::-1], x))
            assert abs(ours - want) <= 2e-16 * 20 * np.abs(r).max()
    w = np.geomspace(1e-2, 1e4, 4000)
    values = sum(ri / (1j * w - zi) + np.conj(ri) / (1j * w - np.conj(zi)) for zi, ri in zip(z, r, strict=True))
    assert np.abs(values).max() <= 1 + 1e-15 * 20 * np.abs(r).max()
    assert abs(values[-1]) < 2e-2


@given(networks(least=2, most=8, strengths=(0.1, 1.0, 10.0)), st.sampled_from(sorted(DISTURBANCES)), st.integers(0, 3))
def test_rational_approximations_agree_with_exponentials(network, name, seed):
    """Any nodes (relative degrees 0 to 2), any coupling, stable or not, events between samples, some outputs, initial values."""
    rng = np.random.default_rng(seed)
    outputs = [str(label) for label in rng.permutation(network.labels)[: max(1, network.size - 1)]]
    exact = co.simulate(network, DISTURBANCES[name], TIMES, outputs=outputs, method="exact", tolerance=1e-3)
    found = co.simulate(network, DISTURBANCES[name], TIMES, outputs=outputs, method="rational", tolerance=1e-7)
    assert list(found.frame.columns) == outputs
    assert apart(found, exact) <= 1e-7 * largest(exact)
    assert found.error <= 1e-7 * largest(found) * (1 + 1e-9)
    if network.nodes.inertia.sum() > 0:
        assert np.abs(found.coi - exact.coi).max() <= 1e-7 * max(largest(exact), exact.coi.abs().max())
    steep = np.abs(exact.knots.rate).max()
    assert np.abs(found.knots.rate - exact.knots.rate).max() <= 1e-4 * steep
    assert found.knots.at.tolist() == exact.knots.at.tolist()


@given(
    networks(least=2, most=8, degrees=(1, 2), strengths=(0.1, 1.0, 10.0)), st.sampled_from(sorted(DISTURBANCES)), st.integers(1, 11)
)
def test_series_agree_with_exponentials(network, name, digits):
    exact = co.simulate(network, DISTURBANCES[name], TIMES, method="exact", tolerance=1e-3)
    found = co.simulate(network, DISTURBANCES[name], TIMES, method="series", tolerance=10.0**-digits)
    assert apart(found, exact) <= 10.0**-digits * largest(exact) + 1e-11 * largest(exact)
    assert np.abs(found.knots.rate - exact.knots.rate).max() <= 30 * 10.0**-digits * np.abs(exact.knots.rate).max() + 1e-9


@given(networks(least=2, most=8, degrees=(1,), passive=True, couplings=("1/s",)), st.sampled_from(["series", "rational"]))
def test_initial_outputs_decay_as_with_exponentials(network, method):
    initial = {network.labels[0]: 0.7, network.labels[-1]: -0.2}
    still = co.Step({network.labels[0]: 0.0})
    exact = co.simulate(network, still, TIMES, initial=initial)
    assert apart(co.simulate(network, still, TIMES, initial=initial, method=method), exact) <= 1e-6 * largest(exact)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.integers(1, 6))
def test_passive_buses_follow_as_in_the_reduced_network(seed, active, idle):
    rng = np.random.default_rng(seed)
    inside = random_nodes(rng, active, passive=True)
    labels = (*inside.labels, *[f"bus {i}" for i in range(idle)])
    nodes = co.Nodes(labels, np.hstack([inside.polynomial, np.zeros((3, idle))]), inside.banks)
    network = co.Network(nodes, sp.csr_array(random_laplacian(rng, active + idle)), "1/s")
    step = co.Step({"n0": -1.0}) + co.Pulse({"n1": 0.5}, duration=0.3, start=1.0)
    whole = co.simulate(network, step, TIMES)
    reduced = co.simulate(network.kron_reduce(), step, TIMES)
    assert whole.method == "rational"
    assert reduced.method == "exact"
    assert (whole.frame[list(inside.labels)] - reduced.frame).abs().to_numpy().max() <= 1e-6 * largest(reduced)
    laplacian = network.laplacian.toarray()  # a passive bus follows the others at once: L_bb y_b + L_ba y_a = 0
    y = whole.frame.to_numpy()
    assert np.abs(y @ laplacian[:, active:]).max() <= 1e-5 * np.abs(laplacian).max() * np.abs(y).max()


def test_the_error_estimate_covers_the_error_of_a_stiff_network_at_every_tolerance():
    """A graph whose second half has a thousandth of the inertia: motions of 100 rad/s beside those of 3."""
    rng = np.random.default_rng(4)
    graph = random_laplacian(rng, 60, density=0.06)
    inertia = np.where(np.arange(60) < 30, 1.0, 1e-3)
    network = co.Network(co.swing(inertia=inertia, damping=0.1 * inertia), 5 * sp.csr_array(graph), "1/s")
    slow = list(network.labels[:30])
    step, times = co.Step({network.labels[3]: 1.0}), np.linspace(0, 10, 201)
    exact = co.simulate(network, step, times, outputs=slow, method="exact")
    before = np.inf
    for tolerance in (1e-2, 1e-3, 1e-4, 1e-6, 1e-8):
        found = co.simulate(network, step, times, outputs=slow, method="rational", tolerance=tolerance)
        assert apart(found, exact) <= found.error <= tolerance * largest(found)
        assert found.error <= before
        before = found.error


def test_the_error_estimate_covers_what_a_late_event_excites():
    """Two light nodes swing against each other at 300 rad/s, which nothing excites before a late event acts on them unequally."""
    light = 1e-3
    laplacian = np.array([[2.0, -1, -1, 0], [-1, 46, -45, 0], [-1, -45, 46, 0], [0, 0, 0, 0]])
    laplacian += 2 * np.array([[1.0, 0, 0, -1], [0, 0, 0, 0], [0, 0, 0, 0], [-1, 0, 0, 1]])
    nodes = co.swing(inertia=[1.0, light, light, 2.0], damping=[0.2, 1e-5, 1e-5, 0.2], labels=["a", "b", "c", "d"])
    network, times = co.Network(nodes, laplacian, "1/s"), np.linspace(0, 10, 101)
    late = co.Step({"a": 1.0}) + co.Step({"b": 0.02, "c": -0.02}, start=8.0)
    exact = co.simulate(network, late, times, method="exact")
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4):
        found = co.simulate(network, late, times, method="rational", tolerance=tolerance)
        assert apart(found, exact) <= found.error <= tolerance * largest(found)


def test_large_networks_take_the_cheaper_method_and_agree():
    rng = np.random.default_rng(0)
    n = 400
    laplacian = sp.csr_array(random_laplacian(rng, n, density=3 / n))
    soft = co.Network(co.swing(inertia=rng.uniform(1, 2, n), damping=0.1), laplacian, "1/s")
    step, times = co.Step({soft.labels[0]: 1.0}), np.linspace(0, 5, 101)
    by_series = co.simulate(soft, step, times)
    assert by_series.method == "series"
    assert apart(co.simulate(soft, step, times, method="rational", tolerance=1e-8), by_series) <= 2e-6 * largest(by_series)
    assert apart(co.simulate(soft, step, times, method="exact"), by_series) <= 1e-6 * largest(by_series)
    inertia = rng.uniform(1, 2, n)
    inertia[::2] *= 1e-9  # motions of 1e5 rad/s: 2e6 products of a series, and nothing of them at the others
    stiff = co.Network(co.swing(inertia=inertia, damping=np.where(inertia < 1e-3, 1.0, 0.1)), laplacian, "1/s")
    heavy = list(stiff.labels[1::2])
    long = co.simulate(stiff, co.Step({heavy[0]: 1.0}), np.linspace(0, 50, 101), outputs=heavy)
    assert long.method == "rational"
    assert long.error <= 1e-6 * largest(long)


def test_dense_laplacians_are_solved_dense():
    rng = np.random.default_rng(2)
    network = co.Network(random_nodes(rng, 12, degrees=(1,), passive=True), random_laplacian(rng, 12), "1/s")
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), "1/s")
    step = co.Step({"n3": 1.0})
    one, other = (co.simulate(x, step, TIMES, method="rational") for x in (network, sparse))
    assert apart(one, other) <= 1e-11 * largest(one)


@given(networks(least=2, most=6, degrees=(1, 2), couplings=("1/s", 2.5, ([1.0, 2.0], [1.0, 1.0, 0.0]))))
def test_the_generator_is_the_state_space_in_other_coordinates(network):
    """Its transfer function, by a dense resolvent, is T."""
    terms = [(np.eye(network.size)[0], co.Step({}).signal)]
    system = descriptor(network, terms)
    m = system.generator().toarray()
    s = 0.7 + 1.3j
    begin = np.zeros(system.size)
    begin[system.driven[0]] = 1.0
    transform = np.linalg.solve(s * np.eye(system.size) - m, begin)[system.chain[0]]
    assert transform == pytest.approx(network.transfer_matrix(s)[0][:, 0] / s, rel=1e-9, abs=1e-12)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    return co.Network(co.swing(inertia=[1, 2], damping=[0.1, 0.2], labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0.0}, "tolerance = 0.0"),
        ({"tolerance": 1e-14}, "1e-12"),
        ({"tolerance": "fine"}, "tolerance = 'fine'"),
        ({"method": "euler"}, "'exact', 'series', 'rational'"),
        ({"outputs": ["c"]}, "there is no node 'c'"),
        ({"outputs": []}, "at least one"),
        ({"outputs": ["a", "a"]}, "each once"),
        ({"initial": {"z": 1.0}}, "there is no node 'z'"),
        ({"initial": {"a": np.nan}}, "initial output of 'a'"),
    ],
)
def test_bad_arguments_get_one_sentence(pair, change, message):
    with pytest.raises(co.CoherenceError, match=message):
        co.simulate(pair, co.Step({"a": 1.0}), [0, 1, 2], **change)


def test_an_accuracy_that_cannot_be_given_is_refused(pair):
    """Nothing is returned quietly: 1e-12 is below the rounding of rational steps, and of an unstable network over a long time."""
    with pytest.raises(co.ToleranceError, match="not met"):
        co.simulate(pair, co.Step({"a": 1.0}), np.linspace(0, 50, 2001), method="rational", tolerance=1e-12)
    falling = co.Network(co.swing(inertia=[1, 2], damping=[-0.9, 0.2]), [[3, -3], [-3, 3]], "1/s")
    with pytest.raises(co.ToleranceError, match="grows beyond all numbers"):
        co.simulate(falling, co.Step({"1": 1.0}), [0, 1e4])


def test_series_need_a_derivative_everywhere():
    star = co.Network(co.Nodes(("a", "b", "bus"), np.array([[1.0, 1, 0], [2, 2, 0]])), [[1, 0, -1], [0, 1, -1], [-1, -1, 2]], "1/s")
    with pytest.raises(co.ToleranceError, match="derivative at every node"):
        co.simulate(star, co.Step({"a": 1.0}), [0, 1], method="series")
    with pytest.raises(co.InputError, match="has no inertia"):
        co.simulate(star, co.Step({"a": 1.0}), [0, 1], initial={"bus": 1.0})


FALLING = co.Network(co.swing(inertia=[1, 2], damping=[-0.9, 0.2]), [[3, -3], [-3, 3]], "1/s")


@pytest.mark.parametrize("times", [[0, 1e4], np.linspace(0, 1e4, 11)])
@pytest.mark.parametrize("method", ["exact", "series", "rational"])
def test_growth_beyond_all_numbers_is_refused_by_every_method(method, times):
    """Rational approximations decay where hM is large and positive: steps are short enough to see it grow."""
    with pytest.raises(co.ToleranceError):
        co.simulate(FALLING, co.Step({"1": 1.0}), times, method=method)


def test_growth_that_stays_a_number_is_right_by_every_method():
    times = np.linspace(0, 60, 7)
    exact = co.simulate(FALLING, co.Step({"1": 1.0}), times, method="exact")
    assert largest(exact) > 1e3
    for method in ("series", "rational"):
        assert apart(co.simulate(FALLING, co.Step({"1": 1.0}), times, method=method), exact) <= 1e-6 * largest(exact)


@pytest.mark.parametrize("stiffness", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_a_series_meets_its_tolerance_in_outputs_or_refuses(stiffness, tolerance):
    """Angles of a stiff ring weigh far more in the energy than its speeds."""
    n = 12
    ring = stiffness * co.ring_graph(n).toarray()
    network = co.Network(co.swing(inertia=1.0, damping=0.1, labels=[str(i) for i in range(n)]), ring, "1/s")
    step, times = co.Step({"0": 1.0}), np.linspace(0, 20 / np.sqrt(stiffness), 41)
    exact = co.simulate(network, step, times, method="exact", tolerance=1e-3)
    found = co.simulate(network, step, times, method="series", tolerance=tolerance)
    assert apart(found, exact) <= found.error + exact.error
    assert found.error <= tolerance * largest(found)


def test_outputs_that_follow_at_once_are_right_beside_fast_motions():
    for light in (1e-5, 1e-7):
        nodes = co.Nodes(("slow", "static", "fast"), np.array([[0.1, 0.5, 0.2], [1.0, 0.0, light]]))
        network = co.Network(nodes, [[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]], "1")
        late = co.Step({"static": 1.0}) + co.Pulse({"static": 2.0}, duration=0.2, start=1.0)
        times = np.linspace(0, 3, 31)
        exact = co.simulate(network, late, times, method="exact")
        assert apart(co.simulate(network, late, times, method="rational"), exact) <= 1e-6 * largest(exact)


@pytest.mark.parametrize("method", ["exact", "series", "rational"])
def test_what_begins_after_the_end_does_nothing(method):
    found = co.simulate(FALLING, co.Step({"1": 1.0}, start=50.0), np.linspace(0, 10, 101), method=method)
    assert largest(found) == 0.0
    assert found.error == 0.0
