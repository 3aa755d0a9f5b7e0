"""Derivatives by storage at every node: against differences, a sensitivity system, closed forms and sum rules."""

import control as ct
import numpy as np
import pandas as pd
import pytest
import scipy.linalg as sla
import scipy.sparse as sp
from hypothesis import assume, given
from hypothesis import strategies as st

import coherence as co
from coherence.design.nadir_slopes import CROSS, STIFF, mirrored
from coherence.design.placement import placement
from coherence.design.storage import Storage
from coherence.errors import InputError, InstabilityError, ToleranceError, UnknownNameError
from coherence.nodes.nodes import Nodes
from tests.draws import networks, random_laplacian

KINDS = [("inertia", None), ("damping", None), ("droop", 0.7)]
MET = 1e-4  # of the largest derivative: what `nadir_slopes` promises
SMOOTH = [(lambda label: co.Step({label: -1.0})), (lambda label: co.Pulse({label: -1.0}, duration=0.9, start=0.3))]


def by_difference(value, size):
    """The derivative at 0 of `value`, by central differences extrapolated once, and how far off it may be."""
    wide, narrow = ((value(h) - value(-h)) / (2 * h) for h in (size, size / 2))
    best = (4 * narrow - wide) / 3
    return best, abs(best - narrow)


def energy_by_lyapunov(network, inputs, outputs):
    """The energy J from one dense Lyapunov equation of scipy, refined with residuals of 64 binary digits.

    Without that it is off by up to 2e-10 of J on these draws (energies from gramian factors agree to 1e-13), which a difference
    divides by its step.
    """
    a, b, c, d = network.realization
    assert not (outputs @ d @ inputs).any()
    drive, p = b @ inputs, np.zeros_like(a, dtype=np.longdouble)
    wide, product = a.astype(np.longdouble), drive.astype(np.longdouble) @ drive.T
    for _ in range(4):
        p = p + sla.solve_continuous_lyapunov(a, -(wide @ p + p @ wide.T + product).astype(float))
    read = outputs @ c
    return float(np.sum(read @ p * read))


def by_sensitivity_system(network, shape, weights, at, node, by, tau):
    """The change of weights @ y(at) after a step of `shape`, by storage at a node or where weights of nodes say."""
    a, b, c, d = network.realization
    assert not d.any()
    n = len(a)
    m = np.zeros((2 * n + 2, 2 * n + 2))  # x, dx, lag, u
    m[:n, :n], m[n:-2, n:-2], m[:n, -1] = a, a, b @ shape
    at_node = np.eye(len(c))[node] if np.ndim(node) == 0 else node
    push, seen = -b @ at_node, at_node @ c
    if by == "inertia":
        m[n:-2, :n], m[n:-2, -1] = np.outer(push, seen @ a), push * (seen @ b @ shape)
    elif by == "damping":
        m[n:-2, :n] = np.outer(push, seen)
    else:
        m[n:-2, -2], m[-2, :n], m[-2, -2] = push, seen / tau, -1 / tau
    w = sla.expm(m * at)[:, -1]
    return float(weights @ c @ w[:n]), float(weights @ c @ w[n:-2])


def ring(n=6, m=1.3, d=0.4):
    lap = 2 * np.eye(n) - np.roll(np.eye(n), 1, axis=1) - np.roll(np.eye(n), -1, axis=1)
    return co.Network(co.swing(inertia=np.full(n, m), damping=d), 3 * lap, "1/s")


@pytest.mark.parametrize(("by", "tau"), KINDS)
@given(network=networks(most=6, degrees=(1, 2)), seed=st.integers(0, 10**6))
def test_energy_derivatives_are_those_of_differences(by, tau, network, seed):
    assume(network.realization.poles()[0].real < -0.02)
    rng = np.random.default_rng(seed)
    node, n = int(rng.integers(network.size)), network.size
    if seed % 2:
        found = placement(network, by=by, time_constant=tau)
        inputs, outputs = np.eye(n), np.eye(n)
    else:
        levels, weights = rng.uniform(0, 2, n), rng.normal(size=n)
        names = list(network.labels)
        found = placement(network, pd.Series(levels, names), output=pd.Series(weights, names), by=by, time_constant=tau)
        inputs, outputs = np.diag(np.sqrt(levels)), weights[None]
    storage = Storage(by, tau)
    assert found.value == pytest.approx(energy_by_lyapunov(network, inputs, outputs), rel=1e-10)
    degree = network.nodes.degree[node]
    size = 1e-3 * network.nodes.polynomial[1 if by == "inertia" else 0, node]
    assume(not (by == "inertia" and degree == 2 and size == 0))

    def value(theta):
        return energy_by_lyapunov(storage.added(network, theta * np.eye(n)[node]), inputs, outputs)

    expected, off = by_difference(value, size)
    rounding = 1e-11 * found.value / size
    assert abs(found.sensitivity.iloc[node] - expected) <= off + rounding + 1e-6 * abs(expected)


@pytest.mark.parametrize(("by", "tau"), KINDS)
@given(
    network=networks(most=6, passive=True, couplings=("1/s", ([1.0, 1.0], [1.0, 0.0])), degrees=(1,)), seed=st.integers(0, 10**6)
)
def test_energy_derivatives_at_nodes_without_inertia(by, tau, network, seed):
    # two nodes lose their inertia: one is disturbed, or measured, or neither
    rng = np.random.default_rng(seed)
    n = network.size
    assume(n >= 4)
    polynomial = network.nodes.polynomial.copy()
    polynomial[1:, :2] = 0
    network = co.Network(Nodes(network.labels, polynomial, network.nodes.banks), network.laplacian, network.coupling)
    shape, weights = rng.normal(size=(n, 1)), rng.normal(size=(1, n))
    (weights if seed % 2 else shape.T)[0, :2] = 0
    if network.realization.d[2:, :2].any() or network.realization.d[0, 1]:  # f passes at once: what it joins is both
        weights[0, :2] = shape[:2, 0] = 0
    assume(network.realization.poles()[0].real < -0.02)
    found = placement(
        network, co.Step(shape[:, 0]), output=dict(zip(network.labels, weights[0], strict=True)), by=by, time_constant=tau
    )
    assert found.value == pytest.approx(energy_by_lyapunov(network, shape, weights), rel=1e-10)
    storage = Storage(by, tau)
    for node in (0, n - 1):

        def value(theta, node=node):
            return energy_by_lyapunov(storage.added(network, theta * np.eye(n)[node]), shape, weights)

        slope = found.sensitivity.iloc[node]
        if by == "inertia" and node == 0:  # from one side only: a fast mode is new
            if not np.isnan(slope):
                wide, narrow = ((value(h) - value(0)) / h for h in (1e-4, 1e-5))
                assert abs(narrow - slope) <= 0.5 * abs(wide - slope) + 1e-4 * (abs(slope) + found.value)
            continue
        size = 1e-3 * polynomial[1 if by == "inertia" else 0, node]
        expected, off = by_difference(value, size)
        assert abs(slope - expected) <= off + 1e-11 * found.value / size + 1e-6 * abs(expected)


@given(st.floats(0.05, 20), st.floats(0.01, 5), st.floats(0.01, 10))
def test_one_swing_node_in_closed_form(m, d, tau):
    one = co.Network(co.swing(inertia=[m], damping=d, labels=["a"]), [[0.0]], "1/s")
    found = {by: placement(one, by=by, time_constant=tau if by == "droop" else None) for by, _ in KINDS}
    assert found["damping"].value == pytest.approx(1 / (2 * m * d), rel=1e-12)
    assert found["damping"].norm == pytest.approx((2 * m * d) ** -0.5, rel=1e-12)
    assert found["inertia"].sensitivity["a"] == pytest.approx(-1 / (2 * m**2 * d), rel=1e-12)
    assert found["damping"].sensitivity["a"] == pytest.approx(-1 / (2 * m * d**2), rel=1e-12)
    assert found["droop"].sensitivity["a"] == pytest.approx(-1 / (2 * d**2 * (m + tau * d)), rel=1e-12)  # a residue at d/m


@given(st.integers(2, 10), st.integers(0, 10**6), st.floats(0.1, 3), st.floats(0.05, 2))
def test_equal_nodes_on_any_graph_share_the_derivative_of_one(n, seed, m, d):
    # every mode has energy 1/(2 m d) whatever its stiffness, so J = n/(2 m d) along equal changes
    network = co.Network(co.swing(inertia=np.full(n, m), damping=d), random_laplacian(np.random.default_rng(seed), n), "1/s")
    assert placement(network).value == pytest.approx(n / (2 * m * d), rel=1e-9)
    assert placement(network).sensitivity.sum() == pytest.approx(-n / (2 * m**2 * d), rel=1e-10)
    assert placement(network, by="damping").sensitivity.sum() == pytest.approx(-n / (2 * m * d**2), rel=1e-10)


@given(networks(most=6, passive=True, couplings=("1/s",), strengths=(0.1, 1.0, 10.0)))
def test_scaling_nodes_and_coupling_alike_scales_the_energy(network):
    # J(a m, a d, a L) = J / a^2, so sum m_i J_mi + sum d_i J_di + J_L = -2 J (Euler)
    nodes = Nodes(network.labels, network.nodes.polynomial[:2])
    network = co.Network(nodes, network.laplacian, "1/s")
    found, n = placement(network), network.size
    by_nodes = nodes.inertia @ found.sensitivity + nodes.damping @ placement(network, by="damping").sensitivity

    def value(a):
        return energy_by_lyapunov(co.Network(nodes, (1 + a) * network.laplacian, "1/s"), np.eye(n), np.eye(n))

    by_coupling, off = by_difference(value, 1e-3)
    assert abs(by_nodes + by_coupling + 2 * found.value) <= off + 1e-7 * (abs(by_nodes) + found.value)


@pytest.mark.parametrize("measure", ["h2", "nadir"])
@pytest.mark.parametrize(("by", "tau"), KINDS)
def test_nodes_that_cannot_be_told_apart_have_equal_derivatives(measure, by, tau):
    network = ring()
    shape = None if measure == "h2" else co.Step({"1": 1.0, "4": 1.0})
    slopes = placement(network, shape, measure=measure, by=by, time_constant=tau).sensitivity.to_numpy()
    if measure == "h2":
        assert np.ptp(slopes) <= 1e-10 * np.abs(slopes).max()
    else:
        assert np.ptp(slopes[[0, 3]]) <= MET * np.abs(slopes).max()
        assert np.ptp(slopes[[1, 2, 4, 5]]) <= MET * np.abs(slopes).max()


def test_energies_and_derivatives_of_independent_noises_add_up():
    network = co.linearize(co.load_case("two_area"))
    levels = {"G1": 2.0, "G3": 0.5}
    whole = placement(network, levels, output="CoI")
    parts = [placement(network, co.Step({label: np.sqrt(level)}), output="CoI") for label, level in levels.items()]
    assert whole.value == pytest.approx(sum(part.value for part in parts), rel=1e-9)
    assert np.allclose(whole.sensitivity, sum(part.sensitivity for part in parts), rtol=1e-9)
    both = placement(network, co.Step({"G1": np.sqrt(2)}) + co.Pulse({"G3": np.sqrt(0.5)}), output="CoI")
    assert np.allclose(both.sensitivity, whole.sensitivity, rtol=1e-9)


def test_the_norm_is_that_of_python_control():
    network = co.linearize(co.load_case("two_area"))
    assert placement(network).norm == pytest.approx(ct.norm(network.to_statespace(), 2), rel=1e-6)


def test_a_short_lag_is_damping_and_a_long_one_nothing(iceland):
    damping, short, long = (
        placement(iceland, co.Step({"Burfell 1-2": -1.0}), output="CoI", **how).sensitivity
        for how in ({"by": "damping"}, {"by": "droop", "time_constant": 1e-6}, {"by": "droop", "time_constant": 1e6})
    )
    assert np.allclose(short, damping, rtol=1e-4)
    assert (long.abs() < 1e-4 * damping.abs()).all()


@pytest.mark.parametrize(("by", "tau"), KINDS)
def test_energy_on_iceland_against_lyapunov(iceland, by, tau):
    levels = pd.Series(iceland.nodes.inertia**2, iceland.labels)
    found = placement(iceland, levels, output="CoI", by=by, time_constant=tau)
    inputs, outputs = np.diag(iceland.nodes.inertia), iceland.nodes.inertia[None] / iceland.nodes.inertia.sum()
    for label in (found.best, "Burfell 1-2"):
        node = iceland.index(label)
        size = 1e-2 * (iceland.nodes.inertia if by == "inertia" else iceland.nodes.damping)[node]

        def value(theta, node=node):
            return energy_by_lyapunov(Storage(by, tau).added(iceland, theta * np.eye(35)[node]), inputs, outputs)

        expected, off = by_difference(value, size)
        assert abs(found.sensitivity[label] - expected) <= off + 1e-11 * found.value / size


@pytest.mark.parametrize(("by", "tau"), KINDS)
@pytest.mark.parametrize("output", [None, "Krafla 1"])
def test_nadir_derivatives_are_those_of_a_sensitivity_system(iceland, by, tau, output):
    found = placement(iceland, co.Step({"Burfell 1-2": -1.0}), measure="nadir", by=by, time_constant=tau, output=output)
    shape = -np.eye(35)[iceland.index("Burfell 1-2")]
    weights = iceland.nodes.inertia / iceland.nodes.inertia.sum() if output is None else np.eye(35)[iceland.index(output)]
    largest = found.sensitivity.abs().max()
    for label in (found.best, "Burfell 1-2", "Krafla 1", "Mjolka"):
        y, change = by_sensitivity_system(iceland, shape, weights, found.place.at, iceland.index(label), by, tau)
        assert y == pytest.approx(found.place.value, rel=1e-6)
        off = abs(found.sensitivity[label] - np.sign(y) * change)
        assert off <= found.table["error"][label] + 1e-9 * largest
        assert off <= MET * largest


@pytest.mark.parametrize(("by", "tau"), KINDS)
@given(
    network=networks(most=4, passive=True, couplings=("1/s", "1"), strengths=(0.1, 1.0, 10.0)),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from(SMOOTH),
)
def test_nadir_derivatives_are_those_of_differences(by, tau, network, seed, shape):
    rng = np.random.default_rng(seed)
    n, node = network.size, int(rng.integers(network.size))
    time, disturbance = np.linspace(0, 8, 3201), shape(network.labels[int(rng.integers(n))])
    output = None if seed % 2 else network.labels[int(rng.integers(n))]
    found = placement(network, disturbance, measure="nadir", by=by, time_constant=tau, output=output, time=time)
    assume(found.place.rival[0] <= 0.97 * found.value)  # no kink of J beside 0
    fixed = network.nodes.inertia / network.nodes.inertia.sum()  # the weights stay when inertia is added

    def value(theta):
        changed = Storage(by, tau).added(network, theta * np.eye(n)[node])
        response = co.simulate(changed, disturbance, time)
        if output is not None:
            return abs(float(response.metrics()["nadir"][output]))
        knots = response.knots.columns(np.arange(n)).weighted(fixed[:, None])
        return abs(float(co.simulation.response.Curve(knots).extremes()[0][0]))

    size = 1e-2 * (network.nodes.inertia if by == "inertia" else network.nodes.damping)[node]
    expected, off = by_difference(value, size)
    assert abs(value(0.0) - found.value) <= 1e-6 * found.value
    largest = found.sensitivity.abs().max()
    assert abs(found.sensitivity.iloc[node] - expected) <= off + MET * largest + 1e-8 * found.value / size


@pytest.mark.parametrize(("by", "tau"), KINDS)
@given(st.integers(2, 8), st.integers(0, 10**6))
def test_proportional_nodes_share_the_derivative_of_their_coherent_dynamics(by, tau, n, seed):
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.2, 2, n)
    nodes = co.swing_turbine(inertia=share, damping=0.3 * share, inverse_droop=2 * share, time_constant=1.5)
    network = co.Network(nodes, random_laplacian(rng, n), "1/s")
    disturbance = co.Step({network.labels[int(rng.integers(n))]: -1.0})
    options = {"measure": "nadir", "by": by, "time_constant": tau, "time": np.linspace(0, 20, 401)}
    found = placement(network, disturbance, **options)
    one = placement(co.coherent_dynamics(network), disturbance.at_one("coherent"), **options)
    assert found.value == pytest.approx(one.value, rel=1e-6)
    assert share @ found.sensitivity / share.sum() == pytest.approx(one.sensitivity.iloc[0], rel=2 * MET)


MIXED = [  # disturbances and outputs at one node only would make what follows at once cancel at the extreme
    (co.Step({"load": -1.0}), {"a": 1.0}),
    (co.Step({"a": -1.0}), {"load": 1.0}),
    (co.Pulse({"load": -1.0}, duration=1.3), {"b": 1.0}),
    (co.Step({"load": -1.0, "a": 0.7}) + co.Pulse({"b": 0.8}, duration=0.7), {"c": 1.0}),
    (co.Step({"a": -1.0}), {"load": 1.0, "b": 0.6}),
]


@pytest.mark.parametrize(("disturbance", "output"), MIXED)
def test_nodes_without_inertia_in_a_nadir(disturbance, output):
    nodes = co.concatenate([co.swing(inertia=[2.0, 1.0, 1.5], damping=0.3, labels=["a", "b", "c"]), static("load", 0.2)])
    network = co.Network(nodes, random_laplacian(np.random.default_rng(3), 4), "1/s")
    time = np.linspace(0, 10, 2001)
    weights = np.array([output.get(label, 0.0) for label in network.labels])

    def read(changed, times):
        return co.simulate(changed, disturbance, times).knots.columns(np.arange(4)).weighted(weights[:, None])

    for by, tau in KINDS:
        found = placement(network, disturbance, measure="nadir", by=by, time_constant=tau, output=output, time=time)
        for node in range(3 if by == "inertia" else 4):

            def value(theta, node=node, by=by, tau=tau):
                changed = Storage(by, tau).added(network, theta * np.eye(4)[node])
                return abs(float(co.simulation.response.Curve(read(changed, time)).extremes()[0][0]))

            expected, off = by_difference(value, 1e-3)
            assert abs(found.sensitivity.iloc[node] - expected) <= off + MET * found.sensitivity.abs().max() + 1e-6
        if by == "inertia":  # from one side, and at the same time: a fast mode is new, and over before
            tiny = Storage(by, tau).added(network, 1e-5 * np.eye(4)[3])
            at = [0.0, 0.5 * found.place.at, found.place.at]
            change = (abs(float(read(tiny, at).value[-1, 0])) - found.value) / 1e-5
            assert change == pytest.approx(found.sensitivity["load"], abs=1e-3 * found.sensitivity.abs().max())


def static(label, damping):
    return Nodes((label,), np.array([[damping]]))


def test_the_extreme_at_the_jump_of_a_node_without_inertia():
    nodes = co.concatenate([co.swing(inertia=[2.0], damping=0.3, labels=["a"]), static("load", 0.2)])
    network = co.Network(nodes, [[1, -1], [-1, 1]], "1/s")
    options = {"measure": "nadir", "output": "load", "time": np.linspace(0, 10, 201)}
    for start in (0.0, 1.0):
        found = placement(network, co.Step({"load": -1.0}, start=start), by="damping", **options)
        assert (found.value, found.place.at) == (pytest.approx(5.0), start)
        assert found.sensitivity.tolist() == [pytest.approx(0.0, abs=1e-9), pytest.approx(-25.0)]  # of 1/d
        with pytest.raises(InputError, match="is a jump of nodes without inertia"):
            placement(network, co.Step({"load": -1.0}, start=start), by="inertia", **options)


@pytest.mark.parametrize("measure", ["h2", "nadir"])
@pytest.mark.parametrize("by", ["inertia", "damping", "droop"])
def test_buses_without_dynamics_are_places_too(measure, by):
    star = np.array([[2.0, 0, 0, -2], [0, 3, 0, -3], [0, 0, 1, -1], [-2, -3, -1, 6]])
    network = co.Network(Nodes(("a", "b", "c", "bus"), np.array([[0.3, 0.2, 0.4, 0], [1, 2, 1.5, 0]])), star, "1/s")
    tau, time = (0.5 if by == "droop" else None), np.linspace(0, 10, 801)
    options = {"by": by, "time_constant": tau, "measure": measure, "output": "b"} | ({"time": time} if measure == "nadir" else {})
    found = placement(network, co.Step({"a": -1.0}), **options)
    small = network.kron_reduce()
    if measure == "nadir":  # the bus moves as the mean of its neighbours, and what it takes is taken from them
        mean = -np.linalg.solve(star[3:, 3:], star[3:, :3])[0]
        y, change = by_sensitivity_system(small, np.array([-1.0, 0, 0]), np.eye(3)[1], found.place.at, mean, by, tau)
        assert abs(found.sensitivity["bus"] - np.sign(y) * change) <= MET * found.sensitivity.abs().max()
    else:  # -2 Re <T_ba, T_b,bus k T_bus,a> by quadrature over frequency
        point, weight = np.polynomial.legendre.leggauss(2000)
        s = 1j * np.tan(0.25 * np.pi * (1 + point))
        t = network.transfer_matrix(s)
        k = {"inertia": s, "damping": 1.0, "droop": 1 / (0.5 * s + 1)}[by]
        product = (t[:, 1, 0].conj() * t[:, 1, 3] * k * t[:, 3, 0]).real
        expected = -2 / np.pi * (0.25 * np.pi * weight * (1 + np.abs(s) ** 2)) @ product
        assert found.sensitivity["bus"] == pytest.approx(expected, rel=1e-7)
    kron = placement(small, co.Step({"a": -1.0}), **options)
    assert np.allclose(found.sensitivity[["a", "b", "c"]], kron.sensitivity, rtol=2 * MET if measure == "nadir" else 1e-9)
    moved = placement(network, co.Step({"bus": -1.0}), **options)
    assert np.isnan(moved.sensitivity["bus"])
    assert moved.sensitivity[["a", "b", "c"]].notna().all()
    assert "'bus' among them" in moved.facts["without derivative"]


def lattice(rows, columns, rng):
    n = rows * columns
    at = np.arange(n).reshape(rows, columns)
    pairs = np.vstack(
        [np.column_stack([at[:, :-1].ravel(), at[:, 1:].ravel()]), np.column_stack([at[:-1].ravel(), at[1:].ravel()])]
    )
    weight = rng.uniform(5, 15, len(pairs))
    a = sp.coo_array((weight, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    a = a + a.T
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.05, 0.15, n),
        damping=rng.uniform(0.01, 0.03, n),
        inverse_droop=rng.uniform(0.05, 0.15, n),
        time_constant=rng.uniform(1, 5, n),
    )
    return co.Network(nodes, sp.csr_array(sp.diags_array(np.asarray(a.sum(axis=1)).ravel()) - a), "1/s")


@pytest.mark.parametrize(("by", "tau"), KINDS)
def test_a_large_sparse_network_agrees_with_differences(by, tau, rng):
    network = lattice(40, 50, rng)
    disturbance, time = co.Step({network.labels[17]: -1.0}), np.linspace(0, 4, 201)
    corner = {network.labels[17]: 0.6, network.labels[18]: 0.4}
    found = placement(network, disturbance, measure="nadir", by=by, time_constant=tau, output=corner, time=time)
    picked = [network.index(label) for label in (found.best, network.labels[19])]
    for node in picked:
        size = 1e-2 * (network.nodes.inertia[node] if by == "inertia" else network.nodes.damping[node])

        def value(theta, node=node):
            changed = Storage(by, tau).added(network, theta * np.eye(1, network.size, node)[0])
            response = co.simulate(changed, disturbance, np.linspace(0, found.place.at, 401), outputs=list(corner), tolerance=1e-9)
            return abs(float(response.frame.to_numpy()[-1] @ list(corner.values())))

        expected, off = by_difference(value, size)
        largest = found.sensitivity.abs().max()
        assert abs(found.sensitivity.iloc[node] - expected) <= off + MET * largest + 1e-8 * found.value / size


def test_a_sparse_network_agrees_with_the_dense_exponential(rng):
    network = lattice(6, 7, rng)
    n, shape = network.size, -np.eye(42)[5]
    found = placement(network, co.Step(shape), measure="nadir", time=np.linspace(0, 4, 101))
    weights = network.nodes.inertia / network.nodes.inertia.sum()
    for node in (0, 5, n - 1):
        _, change = by_sensitivity_system(network, shape, weights, found.place.at, node, "inertia", None)
        assert abs(found.sensitivity.iloc[node] + change) <= MET * found.sensitivity.abs().max()


def test_the_kind_of_extreme_is_said():
    free = co.Network(co.swing(inertia=[2.0], damping=0.0, labels=["a"]), [[0.0]], "1/s")
    found = placement(free, co.Step({"a": -1.0}), measure="nadir", time=np.linspace(0, 4, 41))
    assert found.place.kind == "at the end of the horizon, where it still moves"
    assert (found.value, found.sensitivity["a"]) == (pytest.approx(2.0), pytest.approx(-1.0, rel=1e-9))  # t/m at 4 s
    settled = co.Network(co.swing(inertia=[2.0], damping=1.0, labels=["a"]), [[0.0]], "1/s")
    found = placement(settled, co.Step({"a": -1.0}), measure="nadir", by="damping", time=np.linspace(0, 60, 601))
    assert found.place.kind.startswith("where it has settled")
    assert found.sensitivity["a"] == pytest.approx(-1.0, rel=1e-6)
    found = placement(settled, co.Pulse({"a": -1.0}, duration=1.0), measure="nadir", by="damping")
    assert (found.place.kind, found.place.at) == ("at an event of the disturbance", 1.0)
    assert found.value == pytest.approx(1 - np.exp(-0.5), rel=1e-9)
    assert found.sensitivity["a"] == pytest.approx(-(1 - np.exp(-0.5)) + 0.5 * np.exp(-0.5), rel=1e-5)  # d/dd of (1 - e^{-d/m})/d
    assert "at an event of the disturbance" in found.text()


def test_a_rival_extreme_is_said():
    a = co.Network(co.swing(inertia=[1.0, 1.0], damping=1e-3, labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    found = placement(a, co.Pulse({"a": -1.0, "b": 1.0}, duration=0.3), measure="nadir", output="a", time=np.linspace(0, 4, 401))
    assert 0.95 < found.place.rival[0] / found.value < 1
    assert "a finite change may make it the extreme" in found.facts["another extreme"]


def test_groups_share_and_are_checked_on_a_reduced_network(iceland):
    groups = co.coherent_groups(iceland, 3)
    found = placement(iceland, co.Step({"Burfell 1-2": -1.0}), measure="nadir", partition=groups)
    inertia = iceland.nodes.inertia
    for group, row in found.groups.iterrows():
        mine = groups.indicator[:, groups.groups.index(group)] * inertia
        assert row["sensitivity"] == pytest.approx(mine @ found.sensitivity / mine.sum(), rel=1e-12)
        assert row["best node"] == found.sensitivity[mine > 0].idxmin()
    reduced = co.aggregate(iceland, groups, interconnection="quotient").network
    check = found.check(reduced)
    own = placement(reduced, co.Step({groups.group_of("Burfell 1-2"): -1.0}), measure="nadir")
    assert np.allclose(check.table["reduced"], own.sensitivity, rtol=1e-9)
    assert check.agrees
    assert check.error < 0.03
    assert check.facts["ranking of groups"] == "the same"
    turned = co.Network(reduced.nodes.select([2, 0, 1]), reduced.laplacian[np.ix_([2, 0, 1], [2, 0, 1])], "1/s")
    assert np.allclose(found.check(turned).table, check.table, rtol=1e-6)
    with pytest.raises(InputError, match="the groups of the partition"):
        found.check(iceland)


def test_a_partition_of_proportional_nodes_that_move_alike_is_checked_exactly():
    # two groups of equal nodes, every node of one joined to every node of the other: the quotient is exact for what is equal
    n = 4
    lap = np.block([[n * np.eye(n), -np.ones((n, n))], [-np.ones((n, n)), n * np.eye(n)]])
    network = co.Network(co.swing(inertia=np.repeat([1.0, 3.0], n), damping=np.repeat([0.4, 0.6], n)), lap, "1/s")
    groups = co.Partition.of(np.repeat(["x", "y"], n), labels=network.labels)
    for measure, options in (("h2", {"output": "CoI"}), ("nadir", {"time": np.linspace(0, 10, 201), "output": None})):
        found = placement(network, co.Step(np.repeat([-0.25, 0.0], n)), measure=measure, partition=groups, **options)
        check = found.check(network.project(groups))
        assert check.values[0] == pytest.approx(check.values[1], rel=1e-6)
        assert np.allclose(check.table["reduced"], check.table["full"], rtol=2 * MET)


@pytest.mark.parametrize("measure", ["h2", "nadir"])
def test_the_realised_change_tends_to_the_one_foretold(iceland, measure):
    found = placement(iceland, co.Step({"Burfell 1-2": -1.0}), measure=measure, output="CoI")
    errors = [found.realised({found.best: size, "Krafla 1": size})["error"] for size in (1e-3, 1e-4)]
    assert errors[1] < 0.2 * errors[0] < 0.1  # second order of the size over first


def test_tables_are_ranked_and_exported(iceland):
    found = placement(iceland, {"Burfell 1-2": 1.0}, output="CoI")
    table = found.tables["nodes"]
    assert table["rank"].tolist() == list(range(1, 36))
    assert table.index[0] == found.best
    assert np.allclose(table["relative"] * found.value, table["sensitivity"])
    assert set(found.to_dict()["tables"]) == {"nodes"}
    assert "H2 norm" in found.facts["J"]
    assert found.facts["slowest mode"].startswith("-0.001053 1/s")


@pytest.mark.parametrize(("measure", "by", "tau"), [(measure, *kind) for measure in ("h2", "nadir") for kind in KINDS])
def test_a_node_that_does_not_move_neither_improves_nor_worsens(measure, by, tau):
    # c is midway between two equal machines that are pushed apart, and so are d and e, which hang on it
    lap = np.array([[2.0, 0, -2, 0, 0], [0, 2, -2, 0, 0], [-2, -2, 5, -1, 0], [0, 0, -1, 1.5, -0.5], [0, 0, 0, -0.5, 0.5]])
    nodes = co.swing(inertia=[1.3, 1.3, 0.7, 0.9, 0.4], damping=[0.3, 0.3, 0.2, 0.1, 0.37], labels=list("abcde"))
    network, apart = co.Network(nodes, lap, "1/s"), co.Step({"a": -1.0, "b": 1.0})
    options = {} if measure == "h2" else {"output": "a", "time": np.linspace(0, 4, 201)}
    found = placement(network, apart, measure=measure, by=by, time_constant=tau, **options)
    assert (found.sensitivity[["c", "d", "e"]].abs() <= 1e-9 * found.sensitivity.abs().max()).all()
    assert (found.sensitivity[["a", "b"]].abs() > 1e-3 * found.sensitivity.abs().max()).all()
    better = int((found.sensitivity[["a", "b"]] < 0).sum())
    assert better == 2 or measure == "nadir"  # at b it may come when a is farthest
    said = f"{better} of 5 improve J, {2 - better} make it worse, 3 do neither beyond what their derivatives are known to"
    assert found.facts["nodes"] == said


def test_without_a_partition_nothing_of_all_pairs_of_nodes_is_kept(rng):
    network = lattice(6, 7, rng)
    found = placement(network, co.Step({network.labels[0]: -1.0}), measure="nadir", time=np.linspace(0, 2, 51))
    assert found.shares is None
    assert "do neither" not in found.facts["nodes"]


def test_a_network_that_does_not_settle_has_no_energy_but_a_nadir():
    network = co.linearize(co.load_case("nets_nyps68"))
    with pytest.raises(
        InstabilityError, match=r"oscillates at 0\.8533 Hz and does not die out, most at node 'G15'; give it damping"
    ):
        placement(network)
    found = placement(network, co.Step({"G1": -1.0}), measure="nadir")
    assert "where it still moves" in found.facts["J"]
    assert (found.sensitivity < 0).all()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"measure": "peak"}, InputError, "measure = 'peak'; give 'h2' or 'nadir'"),
        ({"by": "mass"}, InputError, "by = 'mass'; give 'inertia', 'damping' or 'droop'"),
        ({"by": "droop"}, InputError, "droop acts through a lag: time_constant = None"),
        ({"by": "droop", "time_constant": -1.0}, InputError, "time_constant = -1.0"),
        ({"time_constant": 1.0}, InputError, "a time constant belongs to by='droop'"),
        ({"time": [0, 1]}, InputError, "the energy is over all time"),
        ({"measure": "nadir"}, InputError, "an extreme needs a disturbance over time; this is a NoneType"),
        ({"disturbance": 3.0}, InputError, "the intensities is a float; give node -> number"),
        ({"disturbance": {"1": -1.0}}, InputError, "the intensity of node '1' is negative"),
        ({"disturbance": {"1": 0.0}}, InputError, "the disturbance is zero at every node"),
        ({"disturbance": {"9": 1.0}}, UnknownNameError, "there is no node '9'"),
        ({"output": "9"}, UnknownNameError, "there is no node '9'"),
        ({"output": {"1": "x"}}, InputError, "output at node '1' is 'x'"),
        ({"output": {"1": float("nan")}}, InputError, "output at node '1' is nan"),
        ({"output": {"1": 0.0}}, InputError, "output has no weight"),
        ({"output": 4}, InputError, "output is a int"),
        ({"network": 4}, InputError, "a placement of storage needs a Network"),
        ({"measure": "nadir", "disturbance": co.Step({"1": 0.0})}, InputError, "the output does not move"),
    ],
)
def test_wrong_input_is_one_sentence(options, error, sentence):
    options = {"network": ring(), "disturbance": None} | options
    with pytest.raises(error) as caught:
        placement(options.pop("network"), options.pop("disturbance"), **options)
    assert sentence in str(caught.value)


def test_what_has_no_figure_says_so():
    resistive = co.Network(
        co.concatenate([co.swing(inertia=[1.0], damping=0.1, labels=["a"]), static("b", 0.2)]), [[1, -1], [-1, 1]], "1/s"
    )
    with pytest.raises(InputError, match="the energy is infinite: outputs follow an impulse at node 'b' at once"):
        placement(resistive)
    with pytest.raises(InputError, match="there is no center of inertia"):
        placement(co.Network(static("b", 0.2), [[0.0]], "1/s"), output="CoI")
    large = ring(800)
    with pytest.raises(InputError, match="1599 states are too many"):
        placement(large)
    with pytest.raises(InputError, match="there are no groups; give placement"):
        _ = placement(ring()).groups
    nadir = placement(ring(), co.Step({"1": 1.0}), measure="nadir")
    with pytest.raises(InputError, match="an extreme has no H2 norm"):
        _ = nadir.norm
    star = np.array([[1.0, 0, -1], [0, 1, -1], [-1, -1, 2]])
    bus = co.Network(Nodes(("a", "b", "bus"), np.array([[1.0, 1, 0], [2, 2, 0]])), star, "1/s")
    with pytest.raises(InputError, match="the disturbance moves at once, an impulse"):
        placement(bus, co.Step({"bus": 1.0}), measure="nadir", output="bus")
    with pytest.raises(InputError, match="follow an impulse at node 'bus' at once"):
        placement(bus, co.Step({"bus": 1.0}), output="bus")


def test_motions_too_fast_for_the_horizon_are_a_tolerance_error():
    fast = co.Network(co.swing(inertia=[1.0, 1.0], damping=0.01), 1e8 * np.array([[1, -1], [-1, 1.0]]), "1/s")
    options = {"measure": "nadir", "time": np.linspace(0, 20, 200)}
    with pytest.raises(ToleranceError, match="of the largest only: motions too fast for 20000 times up to 20 s"):
        placement(fast, co.Step({"1": 1.0}), output="1", **options)
    with pytest.raises(ToleranceError, match="where the extreme is cannot be told"):
        placement(fast, co.Step({"1": 1.0}), output={"1": 1, "2": -1}, **options)


def test_cubics_join_exactly_and_times_mirror():
    basis = [np.polynomial.Polynomial(c) for c in ([1, 0, -3, 2], [0, 1, -2, 1], [0, 0, 3, -2], [0, 0, -1, 1])]

    def integral(p):
        whole = p.integ()
        return whole(1) - whole(0)

    assert np.allclose(CROSS, [[integral(a.deriv() * b) for b in basis] for a in basis], atol=1e-15)
    assert np.allclose(STIFF, [[integral(a.deriv() * b.deriv()) for b in basis] for a in basis], atol=1e-14)
    t = mirrored(7.0, np.array([0.0, 1.3, 3.5, 5.7, 9.0]), 0.1)
    assert np.allclose(t + t[::-1], 7.0, atol=1e-12)
    assert {0.0, 1.3, 3.5, 5.7, 7.0} <= set(t[::2].tolist())
    assert np.diff(t).max() <= 0.1 * (1 + 1e-9)
