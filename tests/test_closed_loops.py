"""Networks under feedback: transfer functions, responses in time by every method, powers, steady states; python-control as twin."""

import control
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson
from scipy.sparse.linalg import expm_multiply

import coherence as co
from coherence.network.feedback import ClosedLoop, Feedback
from coherence.nodes.nodes import Nodes
from coherence.numerics.realization import Realization
from coherence.simulation.controls import control_power
from coherence.simulation.descriptor import descriptor
from coherence.simulation.horizon import default_times
from tests.draws import networks, random_laplacian, random_nodes
from tests.test_simulation import DISTURBANCES

TIMES = np.linspace(0.0, 6.0, 61)
LEAD = ([1.0, 2.0], [1.0, 5.0])
POINTS = np.array([0.3 + 0.7j, 1.1, 2.0 - 3j, 0.05 + 8j])


def random_feedback(rng, n, *, through=True, flows=True, order=2, gain=0.5):
    """Two powers from three measurements: K stable of the given order, W, F and R with entries almost everywhere."""
    p, q = 2, 3
    a = rng.standard_normal((order, order))
    a -= (np.linalg.norm(a, 2) + 0.1) * np.eye(order)
    d = gain * rng.standard_normal((p, q)) if through else np.zeros((p, q))
    k = Realization(a, rng.standard_normal((order, q)), gain * rng.standard_normal((p, order)), d)
    r = rng.standard_normal((q, n)) * flows
    return feedback(k, rng.uniform(-0.2, 1, (n, p)) / n, rng.uniform(-0.2, 1, (q, n)) / n, r - r.mean(axis=1, keepdims=True))


def feedback(k, actuators, outputs, flows=None):
    p, q = k.d.shape
    flows = np.zeros_like(outputs) if flows is None else flows
    return Feedback(k, actuators, outputs, flows, tuple(f"v{i}" for i in range(q)), tuple(f"p{i}" for i in range(p)))


def constant(d):
    """A controller without states."""
    p, q = np.shape(d)
    return Realization(np.zeros((0, 0)), np.zeros((0, q)), np.zeros((p, 0)), np.asarray(d, dtype=float))


@st.composite
def loops(draw, *, strengths=(0.1, 1.0, 10.0), couplings=("1/s", "1", LEAD), **given):
    network = draw(networks(strengths=strengths, couplings=couplings, **given))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    own = random_feedback(rng, network.size, through=draw(st.booleans()), flows=draw(st.booleans()), order=draw(st.integers(0, 3)))
    return ClosedLoop(network, own)


def posed(loop):
    """Drawn feedback may cancel what nodes of relative degree 0 pass at once; such a loop is refused."""
    try:
        loop.realization  # noqa: B018
    except co.InputError:
        return False
    return True


def largest(response):
    return float(response.frame.abs().to_numpy().max())


def apart(one, other):
    return float((one.frame - other.frame).abs().to_numpy().max())


def connected(loop):
    """python-control's own connection of its T, K and f."""
    f, network = loop.feedback, loop.network
    t, k = network.to_statespace(), control.ss(*f.controller)
    coupling = control.ss(*network.coupling.realization())
    many = control.append(*[coupling] * len(f.measured)) if coupling.nstates else coupling.D[0, 0] * np.eye(len(f.measured))
    seen = control.ss([], [], [], f.outputs) + many * control.ss([], [], [], f.flows)
    return control.feedback(t, control.ss([], [], [], f.actuators) * k * seen, sign=1)


# --- transfer functions -----------------------------------------------------------------------------------------------


@given(loops(least=2, most=8))
def test_the_state_space_and_the_columns_are_the_inverse_of_y_less_the_feedback(loop):
    """(Y - W K (F + f R)) T_cl = I; residuals relative to the sizes of the factors, n eps each and digits lost on the way."""
    assume(posed(loop))
    f, gain = loop.feedback, loop.network.coupling(POINTS)
    k = f.controller(POINTS)
    whole = loop.network.inverse_transfer_matrix(POINTS) - f.actuators @ k @ (f.outputs + gain[:, None, None] * f.flows)
    for found in (loop.realization(POINTS), loop.transfer_matrix(POINTS)):
        size = np.linalg.norm(whole, axis=(1, 2)) * np.linalg.norm(found, axis=(1, 2))
        assert (np.linalg.norm(whole @ found - np.eye(loop.size), axis=(1, 2)) <= 1e-10 * size).all()


@given(loops(least=2, most=5, strengths=(1.0,)))
@settings(max_examples=20)
def test_the_loop_is_the_connection_that_python_control_makes(loop):
    assume(posed(loop))
    theirs = connected(loop)
    for s in POINTS:
        assert loop.realization(s)[0] == pytest.approx(theirs(s), rel=1e-8, abs=1e-9)
    assume(loop.poles().real.max() < 1)
    u = np.zeros((loop.size, len(TIMES)))
    u[0], u[1] = 1.0, -0.4
    want = control.forced_response(theirs, TIMES, u).outputs.T
    found = co.simulate(loop, co.Step({"n0": 1.0, "n1": -0.4}), TIMES, method="exact")
    assert np.abs(found.frame.to_numpy() - want).max() <= 1e-8 * max(largest(found), 1.0)


def grid(rng, active, idle, *, at_idle):
    """A network with passive buses under feedback that acts there and sees flows there, or that sees their outputs."""
    inside = random_nodes(rng, active, passive=True)
    labels = (*inside.labels, *[f"bus {i}" for i in range(idle)])
    nodes = Nodes(labels, np.hstack([inside.polynomial, np.zeros((3, idle))]), inside.banks)
    own = random_feedback(rng, active + idle, gain=0.2)
    outputs, actuators = own.outputs.copy(), own.actuators.copy()
    (outputs.T if at_idle == "powers" else actuators)[active:] = 0.0
    network = co.Network(nodes, sp.csr_array(random_laplacian(rng, active + idle)), "1/s")
    return ClosedLoop(network, feedback(own.controller, actuators, outputs, own.flows))


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 5), st.sampled_from(["powers", "outputs"]))
def test_a_loop_without_its_passive_nodes_is_the_same_between_the_others(seed, active, idle, at_idle):
    loop = grid(np.random.default_rng(seed), active, idle, at_idle=at_idle)
    reduced = loop.kron_reduce()
    whole = loop.transfer_columns(POINTS, reduced.labels)[:, :active]
    assert reduced.transfer_matrix(POINTS) == pytest.approx(whole, rel=1e-8, abs=1e-10)


def test_outputs_of_passive_nodes_that_powers_there_move_at_once_stay():
    rng = np.random.default_rng(0)
    loop = grid(rng, 3, 2, at_idle="powers")
    own = loop.feedback
    both = feedback(own.controller, own.actuators, np.ones_like(own.outputs), own.flows)
    with pytest.raises(co.InputError, match="measure or act where there is inertia"):
        ClosedLoop(loop.network, both).kron_reduce()


# --- responses --------------------------------------------------------------------------------------------------------


@given(loops(least=2, most=7), st.sampled_from(sorted(DISTURBANCES)), st.integers(0, 3))
def test_rational_approximations_agree_with_exponentials(loop, name, seed):
    """Any nodes (relative degrees 0 to 2), events between samples, controllers that pass something on at once, flows measured."""
    assume(posed(loop))
    rng = np.random.default_rng(seed)
    outputs = [str(label) for label in rng.permutation(loop.labels)[: max(1, loop.size - 1)]]
    exact = co.simulate(loop, DISTURBANCES[name], TIMES, outputs=outputs, method="exact", tolerance=1e-3)
    found = co.simulate(loop, DISTURBANCES[name], TIMES, outputs=outputs, method="rational", tolerance=1e-7)
    assert apart(found, exact) <= 1e-7 * largest(exact)
    assert found.error <= 1e-7 * largest(found) * (1 + 1e-9)
    steep = np.abs(exact.knots.rate).max()
    # where nodes have no state rates are differences over 1e-6 s: 20 roundings of 5e-13 make 1e-5, and feedback amplifies them
    assert np.abs(found.knots.rate - exact.knots.rate).max() <= 1e-3 * steep
    assert found.knots.at.tolist() == exact.knots.at.tolist()


@given(loops(least=2, most=7, degrees=(1, 2)), st.sampled_from(sorted(DISTURBANCES)), st.integers(1, 11))
def test_series_agree_with_exponentials(loop, name, digits):
    exact = co.simulate(loop, DISTURBANCES[name], TIMES, method="exact", tolerance=1e-3)
    found = co.simulate(loop, DISTURBANCES[name], TIMES, method="series", tolerance=10.0**-digits)
    assert apart(found, exact) <= 10.0**-digits * largest(exact) + 1e-11 * largest(exact)


@given(loops(least=2, most=6, degrees=(1, 2)))
def test_the_generator_is_the_state_space_in_other_coordinates(loop):
    """Its transfer function, by a dense resolvent, is T_cl."""
    system = descriptor(loop, [(np.eye(loop.size)[0], co.Step({}).signal)])
    m, s = system.generator().toarray(), 0.7 + 1.3j
    begin = np.zeros(system.size)
    begin[system.driven[0]] = 1.0
    transform = np.linalg.solve(s * np.eye(system.size) - m, begin)[system.chain[0]]
    assert transform == pytest.approx(loop.transfer_matrix(s)[0][:, 0] / s, rel=1e-9, abs=1e-12)
    assert system.generator() @ begin == pytest.approx(m @ begin, rel=1e-12, abs=1e-14)


@given(loops(least=2, most=7, degrees=(1,), passive=True), st.sampled_from(["series", "rational"]))
def test_initial_outputs_are_followed_by_every_method(loop, method):
    initial = {loop.labels[0]: 0.7, loop.labels[-1]: -0.2}
    still = co.Step({loop.labels[0]: 0.0})
    exact = co.simulate(loop, still, TIMES, initial=initial)
    assert apart(co.simulate(loop, still, TIMES, initial=initial, method=method), exact) <= 1e-6 * largest(exact)


def with_buses_reduced(loop, step):
    """The closed loop between nodes with dynamics as a python-control system, its constant inputs and its state after the step.

    A step u_b at passive nodes moves f y_b by L_bb^{-1} u_b at once: a step of measured flows, an impulse of measured outputs.
    """
    f, network = loop.feedback, loop.network
    idle, rest = np.flatnonzero(network.nodes.passive), np.flatnonzero(~network.nodes.passive)
    laplacian, u = network.laplacian.toarray(), step.vector(network)
    inner = np.linalg.inv(laplacian[np.ix_(idle, idle)])
    down = laplacian[np.ix_(idle, rest)]
    outside = -down.T @ inner  # what acts on passive nodes, on the others
    w, seen, flows = (x[rest] + outside @ x[idle] for x in (f.actuators, f.outputs.T, f.flows.T))
    plant, f_inf = network.kron_reduce().to_statespace(), control.ss(control.tf([1], [1, 0]))
    q, n = len(f.measured), len(rest)
    see = control.ss([], [], [], seen.T) + control.append(*[f_inf] * q) * control.ss([], [], [], flows.T)
    through = f.flows[:, idle] @ inner  # of powers at passive nodes on measured flows
    both = (
        control.ss([], [], [], np.vstack([np.eye(n), np.zeros((q, n))]))
        + control.ss([], [], [], np.vstack([np.zeros((n, q)), np.eye(q)])) * see
    )
    top = both * plant * control.ss([], [], [], np.hstack([np.eye(n), np.zeros((n, q)), w]))  # (d, e, p) -> (y, v)
    direct = np.zeros((n + q, n + q + w.shape[1]))
    direct[n:, n : n + q], direct[n:, n + q :] = np.eye(q), through @ f.actuators[idle]
    closed = (top + control.ss([], [], [], direct)).lft(control.ss(*f.controller))
    constants = np.concatenate([u[rest] + outside @ u[idle], through @ u[idle]])
    start = closed.B[:, n:] @ (f.outputs[:, idle] @ inner @ u[idle])
    return closed, constants, start


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 4), st.sampled_from(["powers", "outputs"]))
@settings(deadline=None, max_examples=30)
def test_passive_buses_follow_as_in_the_reduced_loop(seed, active, idle, at_idle):
    """Powers at passive buses and flows measured there; their outputs measured, through an impulse when a step hits one."""
    loop = grid(np.random.default_rng(seed), active, idle, at_idle=at_idle)
    step = co.Step({"n0": -1.0, "bus 0": 0.5})
    closed, constants, start = with_buses_reduced(loop, step)
    want = control.forced_response(closed, TIMES, np.outer(constants, np.ones(len(TIMES))), start).outputs.T
    found = co.simulate(loop, step, TIMES)
    assert found.method == "rational"
    inside = found.frame[[f"n{i}" for i in range(active)]].to_numpy()
    assert np.abs(inside - want).max() <= 1e-6 * max(np.abs(want).max(), largest(found))


def lattice(rows, columns, groups=4):
    """A lattice of swings with four quarters, each braked by its own and by its neighbour's center of inertia with a lag."""
    n = rows * columns
    rng = np.random.default_rng(3)
    line = [_path(k) for k in (rows, columns)]
    laplacian = sp.csr_array(sp.kron(line[0], sp.eye_array(columns)) + sp.kron(sp.eye_array(rows), line[1]))
    inertia = rng.uniform(1, 2, n)
    own = np.zeros((n, groups))
    own[np.arange(n), np.arange(n) * groups // n] = inertia
    shares = own / own.sum(axis=0)
    a = -2.0 * np.eye(groups)
    gain = 0.2 * n * (np.eye(groups) + 0.3 * np.roll(np.eye(groups), 1, axis=1))
    flows = np.zeros((groups, n))  # of one line of each quarter
    flows[np.arange(groups), np.arange(groups) * n // groups] = 1.0
    flows[np.arange(groups), np.arange(groups) * n // groups + 1] = -1.0
    k = Realization(a, 2.0 * np.eye(groups), -gain, -0.05 * gain)
    network = co.Network(co.swing(inertia=inertia, damping=0.2), laplacian, "1/s")
    return ClosedLoop(network, feedback(k, shares, shares.T, flows))


def _path(k):
    edges = sp.diags_array([-np.ones(k - 1), -np.ones(k - 1)], offsets=[-1, 1])
    return sp.csr_array(edges - sp.diags_array(np.asarray(edges.sum(axis=1)).ravel()))


def test_three_thousand_nodes_agree_with_the_exponential_of_an_assembled_matrix():
    """scipy's expm_multiply on y, theta, x_k and the step, put together here from the equations of motion."""
    loop = lattice(50, 60)
    f, n = loop.feedback, loop.size
    k, w, seen, flows = f.controller, sp.csr_array(f.actuators), sp.csr_array(f.outputs), sp.csr_array(f.flows)
    inverse = sp.diags_array(1 / loop.network.nodes.inertia)
    d, b, c = (sp.csr_array(x) for x in (k.d, k.b, k.c))
    u = sp.csr_array(np.eye(1, n, 7).T)
    m = sp.block_array(
        [
            [
                inverse @ (w @ d @ seen - 0.2 * sp.eye_array(n)),
                inverse @ (w @ d @ flows - loop.network.laplacian),
                inverse @ w @ c,
                inverse @ u,
            ],
            [sp.eye_array(n), None, None, None],
            [b @ seen, b @ flows, sp.csr_array(k.a), None],
            [None, None, None, sp.csr_array((1, 1))],
        ],
        format="csr",
    )
    begin = np.zeros(m.shape[0])
    begin[-1] = 1.0
    want = expm_multiply(m, begin, start=0, stop=4, num=5)[:, :n]
    step, times = co.Step({loop.labels[7]: 1.0}), np.linspace(0, 4, 41)
    for method in ("rational", "series", "auto"):
        found = co.simulate(loop, step, times, method=method)
        assert np.abs(found.frame.to_numpy()[::10] - want).max() <= 1e-6 * np.abs(want).max()
    partition = co.Partition.of(np.arange(n) * 4 // n, labels=loop.labels)
    centers = found.groups(partition).frame.to_numpy()
    assert centers == pytest.approx(found.frame.to_numpy() @ f.outputs.T, rel=1e-12, abs=1e-15)


def test_growth_that_feedback_makes_is_seen_by_every_method():
    """Proportional feedback with the wrong sign: growth of 500 1/s, which a step of 0.1 s does not follow."""
    network = co.Network(co.swing(inertia=[1, 2], damping=[0.1, 0.2], labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s")
    loop = ClosedLoop(network, feedback(constant([[500.0]]), np.eye(2, 1), np.eye(1, 2)))
    assert descriptor(loop, []).falling == pytest.approx(499.9, rel=1e-9)
    exact = co.simulate(loop, co.Step({"b": 1.0}), [0.0, 0.1, 0.2], method="exact")
    assert largest(exact) > 1e20
    for method in ("series", "rational"):
        found = co.simulate(loop, co.Step({"b": 1.0}), [0.0, 0.1, 0.2], method=method)
        assert apart(found, exact) <= 1e-6 * largest(exact)
        with pytest.raises(co.ToleranceError):
            co.simulate(loop, co.Step({"b": 1.0}), [0.0, 1.0, 20.0], method=method)


# --- powers -----------------------------------------------------------------------------------------------------------


def integral(network, *, gain, integral_gain):
    """One power, shared by inertia, from the center of inertia by proportional and integral action."""
    shares = network.nodes.inertia / network.nodes.inertia.sum()
    k = Realization(np.zeros((1, 1)), np.eye(1), np.array([[-integral_gain]]), np.array([[-gain]]))
    return ClosedLoop(network, feedback(k, shares[:, None], shares[None]))


@pytest.mark.parametrize("method", ["exact", "rational"])
@given(loops(least=2, most=6), st.sampled_from(["step", "pulse", "sinusoid", "sum"]))
@settings(max_examples=25, deadline=None)
def test_powers_are_what_the_controllers_make_of_the_measurements(method, loop, name):
    """The state space of T_cl with p as outputs, joined here by python-control's lft."""
    assume(posed(loop))
    f = loop.feedback
    response = co.simulate(loop, DISTURBANCES[name], TIMES, method=method, tolerance=1e-3 if method == "exact" else 1e-6)
    found = control_power(response, tolerance=1e-3 if method == "exact" else 1e-6)
    t, k = loop.network.to_statespace(), control.ss(*f.controller)
    coupling = control.ss(*loop.network.coupling.realization())
    q = len(f.measured)
    many = control.append(*[coupling] * q) if coupling.nstates else coupling.D[0, 0] * np.eye(q)
    seen = control.ss([], [], [], f.outputs) + many * control.ss([], [], [], f.flows)
    open_loop = k * seen * t  # u -> p
    closed = control.feedback(open_loop, control.ss([], [], [], f.actuators), sign=1)
    closed = control.ss(closed.A, closed.B, closed.C, closed.D, inputs=list(loop.labels), outputs=list(f.powers))
    want = co.simulate(closed, DISTURBANCES[name], TIMES, tolerance=1e-3).frame
    assert list(found.columns) == list(f.powers)
    allowed = (1e-8 if method == "exact" else 1e-6) * np.abs(want.to_numpy()).max()
    assert np.abs((found - want).to_numpy()).max() <= allowed


@pytest.mark.parametrize("method", ["exact", "series", "rational"])
def test_powers_integrate_to_the_momentum_that_the_balance_lacks(method):
    """sum m y(T) = int (1^T u + p - sum d y) dt; Simpson's rule on steps of 5 ms, off by less than 1e-9."""
    rng = np.random.default_rng(1)
    network = co.Network(co.swing(inertia=rng.uniform(1, 2, 8), damping=rng.uniform(0.1, 0.2, 8)), random_laplacian(rng, 8), "1/s")
    loop = integral(network, gain=0.7, integral_gain=0.3)
    t = np.linspace(0, 10, 2001)
    response = co.simulate(loop, co.Step({loop.labels[2]: -1.0}), t, method=method, tolerance=1e-9)
    p = control_power(response, tolerance=1e-9)["p0"].to_numpy()
    moved = simpson(p - 1.0 - response.frame.to_numpy() @ network.nodes.damping, x=t)
    assert response.coi.iloc[-1] * network.nodes.inertia.sum() == pytest.approx(moved, abs=2e-8)
    assert p[-1] == pytest.approx(1.0, abs=0.3)  # integral action takes over


def test_powers_beside_passive_buses():
    """A static controller: p is D of the outputs and flows that the response shows."""
    loop = grid(np.random.default_rng(5), 4, 3, at_idle="powers")
    own = loop.feedback
    static = ClosedLoop(loop.network, feedback(constant([[-0.4, 0, 0.1], [0, -0.2, 0]]), own.actuators, own.outputs))
    response = co.simulate(static, co.Step({"n0": 1.0}) + co.Pulse({"bus 1": 1.0}, duration=1.0, start=2.0), TIMES)
    want = response.frame.to_numpy() @ static.feedback.outputs.T @ static.feedback.controller.d.T
    found = control_power(response).to_numpy()
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


# --- where they end, and how long they take ---------------------------------------------------------------------------


@given(loops(least=2, most=6, couplings=("1/s", "1", ([1.0, 2.0], [1.0, 1.0, 0.0]))))
def test_steady_states_are_those_of_long_simulations_or_the_loop_is_refused(loop):
    assume(posed(loop))
    step = co.Step({"n0": 1.0, "n1": -0.3})
    poles = loop.poles()
    assume(poles.size)  # nodes and controllers without a state are where they end at once
    slowest = poles[0].real
    if slowest > 1e-6:
        with pytest.raises(co.InstabilityError, match="needs a stable loop; its mode"):
            co.steady_state(loop, step)
        return
    assume(slowest < -1e-3)
    found = co.steady_state(loop, step)
    late = co.simulate(loop, step, [0.0, 20 / -slowest, 40 / -slowest], method="exact", tolerance=1e-3)
    assert found.to_numpy() == pytest.approx(late.frame.iloc[-1].to_numpy(), rel=1e-7, abs=1e-7 * largest(late))
    if loop.network.nodes.inertia.sum() > 0:
        assert late.steady.to_numpy() == pytest.approx(found.to_numpy())


@pytest.mark.parametrize("coupling", ["1/s", "1", LEAD])
@pytest.mark.parametrize("buses", [0, 3])
def test_integral_action_ends_the_deviation_it_measures(coupling, buses):
    """By the balance at rest where there are passive buses, by the DC gain elsewhere; all outputs end at 0 where f integrates."""
    rng = np.random.default_rng(6)
    inside = random_nodes(rng, 5, passive=True)
    nodes = Nodes(
        (*inside.labels, *[f"bus {i}" for i in range(buses)]), np.hstack([inside.polynomial, np.zeros((3, buses))]), inside.banks
    )
    network = co.Network(nodes, sp.csr_array(random_laplacian(rng, 5 + buses)), coupling)
    loop = integral(network, gain=0.7, integral_gain=0.4)
    step = co.Step({"n1": -1.0})
    found = co.steady_state(loop, step)
    weights = network.nodes.inertia / network.nodes.inertia.sum()
    assert weights @ found.to_numpy() == pytest.approx(0, abs=1e-12)
    assert (np.abs(found).max() < 1e-12) == (coupling == "1/s")
    late = co.simulate(loop, step, np.linspace(0, 400, 401)).frame.iloc[-1]
    assert found.to_numpy() == pytest.approx(late.to_numpy(), abs=1e-6)
    power = control_power(co.simulate(loop, step, np.linspace(0, 400, 401)))["p0"].iloc[-1]
    rest = network.nodes.inverse(0.0)[0].real @ found.to_numpy()
    assert power == pytest.approx(1.0 + rest, abs=1e-5)


def test_a_loop_of_many_states_has_no_claimed_steady_state():
    loop = lattice(40, 50)
    with pytest.raises(co.InputError, match="the stability of this one is not decided"):
        co.steady_state(loop, co.Step({loop.labels[0]: 1.0}))


def test_default_times_reach_as_far_as_integral_action_needs(iceland):
    """Integral action of the size of the droop once a minute: the network alone is looked at for 20 s, the loop till it is back."""
    stiffness = float(iceland.nodes.inverse(0.0).real.sum())
    loop = integral(iceland, gain=0.0, integral_gain=stiffness / 60)
    step = co.Step({"Blanda 1": -0.1})
    alone, under = (default_times(x, [step.signal])[-1] for x in (iceland, loop))
    assert alone == 20
    assert 100 <= under <= 500
    for k in (constant([[-0.1]]), Realization(np.array([[-2.0]]), np.eye(1), np.array([[-0.2]]), np.zeros((1, 1)))):
        braked = ClosedLoop(iceland, feedback(k, loop.feedback.actuators, loop.feedback.outputs))
        assert default_times(braked, [step.signal])[-1] == alone
    response = co.simulate(loop, step)
    assert abs(response.coi.iloc[-1]) < 0.05 * response.coi.abs().max()
    found = response.metrics()
    assert found["steady state"].abs().max() < 1e-12
    assert found.loc["CoI", "nadir"] < 0


def test_large_loops_take_the_horizon_of_the_coherent_loop():
    """Equal nodes: small and large loops have the modes of n (s + 0.5) + k/s, with k = n/100."""
    signal, found = [co.Step({}).signal], {}
    for n in (20, 700):
        network = co.Network(co.swing(inertia=1.0, damping=0.5, labels=[str(i) for i in range(n)]), _path(n), "1")
        loop = integral(network, gain=0.0, integral_gain=n / 100)
        assert (loop.order > 600) == (n == 700)
        found[n] = default_times(loop, signal)[-1]
    slow = 0.25 - np.sqrt(0.25**2 - 0.01)
    assert 2.5 * 5 / slow >= found[20] == found[700] >= 5 / slow  # rounded up to 1, 2 or 5 times a power of ten


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    network = co.Network(co.swing(inertia=[1, 2], damping=[0.1, 0.2], labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s")
    return ClosedLoop(network, feedback(constant([[-0.5]]), np.eye(2, 1), np.eye(1, 2)))


def test_what_a_loop_does_not_have_is_said_in_one_sentence(pair):
    response = co.simulate(pair, co.Step({"a": 1.0}), [0, 1, 2])
    with pytest.raises(co.InputError, match="no coherent dynamics; ask it of the network"):
        response.coherent  # noqa: B018
    with pytest.raises(co.InputError, match="under feedback; give the response of simulate"):
        control_power(co.simulate(pair.network, co.Step({"a": 1.0}), [0, 1, 2]))
    with pytest.raises(co.InputError, match="under feedback"):
        co.response_difference(response, response).all_time  # noqa: B018
    with pytest.raises(co.UnknownNameError, match="no node 'c'"):
        co.simulate(pair, co.Step({"c": 1.0}))
    with pytest.raises(co.InputError, match="too many for exponentials"):
        co.simulate(lattice(50, 60), co.Step({"1": 1.0}), [0, 1], method="exact")


def test_a_loop_that_is_not_well_posed_is_refused_by_every_method():
    """1/g = 1 at both nodes of an uncoupled pair, and p = y: y = d + y."""
    nodes = Nodes(("a", "b"), np.array([[1.0, 1.0]]))
    loop = ClosedLoop(co.Network(nodes, np.zeros((2, 2)), "1/s"), feedback(constant([[1.0]]), np.eye(2, 1), np.eye(1, 2)))
    for method in ("exact", "rational"):
        with pytest.raises((co.InputError, co.PoleError)):
            co.simulate(loop, co.Step({"a": 1.0}), [0, 1], method=method)
