"""Control design on reduced networks: signals by name, controllers closed on full networks, stability, small gain, damping, AGC."""

import control
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import event, given, settings
from hypothesis import strategies as st

import coherence as co
from coherence.design.channels import channels
from coherence.numerics.norms import gain_envelope
from coherence.numerics.realization import Realization
from coherence.theory.stability import least_real_part_above
from tests.draws import networks, random_laplacian

SEEDS = st.integers(0, 2**32 - 1)
SWINGING = {"degrees": (1,), "couplings": ("1/s",)}
POINTS = np.array([0.05j, 0.7j, 1.0 + 0.4j, 9.0j])


def divided(network, rng, k=None):
    k = int(rng.integers(1, min(4, network.size) + 1)) if k is None else k
    groups = np.concatenate([np.arange(k), rng.integers(0, k, network.size - k)])
    return co.Partition.of([f"g{i}" for i in rng.permutation(groups)], labels=network.labels)


def random_controller(rng, measured, powers, *, order=3, size=1.0):
    q, p = len(measured), len(powers)
    a = rng.normal(size=(order, order))
    a -= (np.linalg.eigvals(a).real.max() + rng.uniform(0.2, 2)) * np.eye(order)
    b, c, d = rng.normal(size=(order, q)), size * rng.normal(size=(p, order)), size * rng.normal(size=(p, q))
    return control.ss(a, b, c, d, inputs=list(measured), outputs=list(powers))


def passive_feedback(rng, groups, *, order=3, size=1.0):
    """-K port-Hamiltonian: A = (J - R) Q, C = B' Q, D >= 0."""
    k = len(groups)
    square = rng.normal(size=(order, order))
    q, r = np.eye(order) * rng.uniform(0.5, 2), 0.1 * np.eye(order) + 0.3 * square @ square.T
    b, d = rng.normal(size=(order, k)), rng.normal(size=(k, k))
    return control.ss(
        (square - square.T - r) @ q, b, -size * b.T @ q, -size * d @ d.T,
        inputs=[f"w[{g}]" for g in groups], outputs=[f"p[{g}]" for g in groups],
    )  # fmt: skip


@pytest.fixture(scope="module")
def machines():
    """The 16-machine system with a little damping, its five areas, and one node for each."""
    network = co.linearize(co.load_case("nets_nyps68"), convention="classical")
    areas = co.coherent_groups(network, 5, method="slow_coherency")
    network = co.Network(network.nodes.with_damping(0.1 * network.nodes.inertia), network.laplacian, network.coupling)
    return network, areas, co.aggregate(network, areas, interconnection="quotient").network


# --- signals ---------------------------------------------------------------------------------------------------------


@given(networks(degrees=(1,)), SEEDS)
def test_every_signal_of_a_plant_is_its_row_and_column_of_the_transfer_matrix(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng)
    weights = dict(zip(network.labels, rng.uniform(0.1, 1, network.size), strict=True))
    names = [f"w[{g}]" for g in partition.groups] + ["CoI"] + [f"export[{g}]" for g in partition.groups]
    system = co.plant(network, partition, outputs=names, shares=weights, measured="equal")
    t, f, p = network.transfer_matrix(POINTS), network.coupling(POINTS), partition.indicator
    share = p * np.array(list(weights.values()))[:, None]
    w = share / share.sum(axis=0)
    rows = [p.T / p.sum(axis=0)[:, None] @ t, (network.nodes.inertia / network.nodes.inertia.sum())[None, None, :] @ t]
    flows = f[:, None, None] * (network.laplacian @ t)
    whole = np.concatenate([*rows, p.T @ flows], axis=1) @ np.hstack([np.eye(network.size), w])
    for point, wanted in zip(POINTS, whole, strict=True):
        assert system(point) == pytest.approx(wanted, rel=1e-8, abs=1e-10 * np.abs(wanted).max())


@given(networks(least=3, degrees=(1,)), SEEDS)
def test_what_ties_carry_is_what_leaves_each_group(network, seed):
    partition = divided(network, np.random.default_rng(seed), k=3)
    found = channels(network, partition)
    for i, group in enumerate(partition.groups):
        export = found.measurement(f"export[{group}]")[1]
        total = np.zeros(network.size)
        for name, (kind, a, b) in found.outputs.items():
            if kind == "tie" and i in (a, b):
                total += (1 if i == a else -1) * found.measurement(name)[1]
        assert total == pytest.approx(export, abs=1e-12 * np.abs(network.laplacian).max())


@given(networks(degrees=(1,)), SEEDS)
def test_a_sparse_network_has_the_same_signals(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng)
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), network.coupling)
    controller = random_controller(rng, ["CoI", f"export[{partition.groups[0]}]"], [f"p[{partition.groups[-1]}]"])
    one, other = (co.close_loop(x, controller, partition) for x in (network, sparse))
    assert other.transfer_matrix(POINTS) == pytest.approx(one.transfer_matrix(POINTS), rel=1e-7, abs=1e-9)


@pytest.mark.filterwarnings("ignore:connect.. is deprecated:FutureWarning")  # inside python-control's own mixsyn
def test_a_plant_is_what_python_control_designs_with(machines):
    _, _, small = machines
    system = co.plant(small, disturbances=["1"], controls=["1", "4"])
    gain, _, _ = control.lqr(system[:, ["p[1]", "p[4]"]], np.eye(system.nstates), np.eye(2))
    regulated = system.A - system.B[:, 1:] @ gain
    assert np.linalg.eigvals(regulated).real.max() < 0
    observer, _, _ = control.lqe(system.A, system.B, system.C[:5], np.eye(3), 1e-2 * np.eye(5))
    lqg = control.ss(
        regulated - observer @ system.C[:5], observer, -gain, 0, inputs=[f"w[{g}]" for g in "12345"], outputs=["p[1]", "p[4]"]
    )
    assert co.stability(co.close_loop(small, lqg))
    loop = system["w[1]", "p[1]"]
    assert control.root_locus_map(loop).loci.shape[1] == system.nstates
    shaped, _, _ = control.mixsyn(loop, w1=control.tf([1], [1, 0.1]), w2=control.ss([], [], [], [[0.5]]))
    closed = co.close_loop(small, control.ss(-shaped, inputs=["w[1]"], outputs=["p[1]"]))
    assert co.stability(closed)


@pytest.mark.parametrize("synthesis", [control.h2syn, lambda *args: control.hinfsyn(*args)[0]])
def test_what_the_syntheses_return_stabilises_the_network(machines, synthesis):
    _, _, small = machines
    seen, acting = ["w[1]", "w[4]"], ["1", "4"]
    general = co.generalized_plant(
        small, measurements=seen, controls=acting, performance={"w[1]": 2.0, "tie[1-2]": control.tf([1], [1, 1])}
    )
    controller = control.ss(synthesis(general, 2, 2), inputs=seen, outputs=["p[1]", "p[4]"])
    assert co.stability(co.close_loop(small, controller))


def test_the_level_of_hinfsyn_is_that_of_the_generalized_plant_closed_by_its_controller(machines):
    _, _, small = machines
    general = co.generalized_plant(small, measurements=["w[1]"], controls=["1"], performance=["w[1]", "w[2]"], noise=0.1)
    controller, _, level, _ = control.hinfsyn(general, 1, 1)
    closed = general.lft(controller)
    assert control.system_norm(closed, "inf", tol=1e-8) == pytest.approx(level, rel=0.02)
    named = control.ss(controller, inputs=["w[1]"], outputs=["p[1]"])
    inner = co.plant(co.close_loop(small, named), outputs=["w[1]", "w[2]", "p[1]"])
    for point in POINTS:
        assert inner(point) == pytest.approx(closed(point)[:, :5], rel=1e-6)


# --- closing ---------------------------------------------------------------------------------------------------------


@given(networks(degrees=(1,)), SEEDS)
def test_a_closed_loop_is_python_controls_connection_of_plant_and_controller(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng)
    measured, powers = ["CoI", *[f"export[{g}]" for g in partition.groups]], [f"p[{g}]" for g in partition.groups]
    controller = random_controller(rng, measured, powers)
    outside = [f"w[{g}]" for g in partition.groups] + measured
    system = co.plant(network, partition, outputs=outside)
    joined = control.interconnect(
        [system, controller], inputs=[x for x in system.input_labels if x.startswith("d")], outputs=[*outside, *powers],
        warn_duplicate=False,
    )  # fmt: skip
    ours = co.plant(co.close_loop(network, controller, partition), partition, outputs=[*outside, *powers])
    for point in POINTS:
        assert ours(point) == pytest.approx(joined(point), rel=1e-6, abs=1e-8)


@given(networks(least=3, degrees=(1,)), SEEDS)
def test_local_controllers_add_up_to_the_groups_whatever_the_shares(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng)
    single = [random_controller(rng, ["v"], ["u"], order=2) for _ in partition.groups]
    joined = control.append(*single)
    controller = control.ss(joined, inputs=[f"w[{g}]" for g in partition.groups], outputs=[f"p[{g}]" for g in partition.groups])
    shares = dict(zip(network.labels, rng.uniform(0.1, 1, network.size), strict=True))
    full = co.add_local(network, controller, partition, shares=shares).project(partition)
    small = co.add_local(network.project(partition), controller)
    assert full.nodes.inverse(POINTS) == pytest.approx(small.nodes.inverse(POINTS), rel=1e-9)
    own = np.array([one(0.7j) for one in single])
    assert small.nodes.inverse(0.7j)[0] == pytest.approx(network.project(partition).nodes.inverse(0.7j)[0] - own, rel=1e-9)


@given(SEEDS)
def test_equal_nodes_equally_joined_answer_as_the_reduced_network_does(seed):
    rng = np.random.default_rng(seed)
    k, each = 3, 4
    block = random_laplacian(rng, k, density=1.0)
    inside = random_laplacian(rng, each)
    spread = np.kron(block - np.diag(np.diag(block)), np.ones((each, each)))
    laplacian = spread - np.diag(spread.sum(axis=1)) + np.kron(np.diag(rng.uniform(1, 2, k)), inside)
    m, d = rng.uniform(1, 2, k), rng.uniform(0.1, 0.5, k)
    network = co.Network(co.swing(inertia=np.repeat(m, each), damping=np.repeat(d, each)), laplacian, "1/s")
    partition = co.Partition.of(np.repeat(["a", "b", "c"], each), labels=network.labels)
    controller = random_controller(rng, ["w[a]", "export[b]", "tie[a-c]"], ["p[a]", "p[c]"])
    full = co.plant(co.close_loop(network, controller, partition), partition, outputs=["w[a]", "w[b]", "w[c]"])
    small = co.plant(co.close_loop(network.project(partition), controller), outputs=["w[a]", "w[b]", "w[c]"])
    for point in POINTS:  # a disturbance at a node is a quarter of one at each of its group
        assert full(point) == pytest.approx(np.repeat(small(point), each, axis=1), rel=1e-7, abs=1e-10)


def test_two_controllers_closed_in_turn_are_both_closed(machines):
    network, areas, _ = machines
    rng = np.random.default_rng(3)
    first, second = (random_controller(rng, [f"w[{a}]"], [f"p[{b}]"], size=0.1) for a, b in (("1", "2"), ("3", "1")))
    once = co.close_loop(co.close_loop(network, first, areas), second, areas)
    both = control.ss(control.append(first, second), inputs=["w[1]", "w[3]"], outputs=["p[2]", "p[1]"])
    assert once.transfer_matrix(POINTS) == pytest.approx(co.close_loop(network, both, areas).transfer_matrix(POINTS), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(inputs=["w[9]"]), co.UnknownNameError, r"measured signal 'w\[9\]'; did you mean"),
        (dict(inputs=["tie[9-1]"]), co.UnknownNameError, "measured signal"),
        (dict(outputs=["p[x]"]), co.UnknownNameError, r"control power 'p\[x\]'"),
        (dict(inputs=["u[0]"], outputs=["y[0]"]), co.InputError, "name its signals"),
        (dict(dt=0.1), co.InputError, "discrete-time"),
    ],
)
def test_a_controller_with_wrong_names_is_refused_by_name(machines, change, error, words):
    _, _, small = machines
    controller = control.ss([], [], [], [[1.0]], **{"inputs": ["w[1]"], "outputs": ["p[1]"], **change})
    with pytest.raises(error, match=words):
        co.close_loop(small, controller)


def test_bad_channels_are_refused_in_a_sentence(machines):
    network, areas, small = machines
    brake = control.ss([], [], [], [[-1.0]], inputs=["w[1]"], outputs=["p[1]"])
    with pytest.raises(co.InputError, match="no node of group '1' has a weight > 0"):
        co.close_loop(network, brake, areas, shares={"G16": 1.0})
    with pytest.raises(co.InputError, match="partition is of other nodes"):
        co.close_loop(small, brake, areas)
    with pytest.raises(co.UnknownNameError, match="no node 'G99'"):
        co.close_loop(network, brake, areas, shares={"G99": 1.0})
    with pytest.raises(co.InputError, match="weight of node 'G1' in shares is -1"):
        co.close_loop(network, brake, areas, shares={"G1": -1})
    with pytest.raises(co.InputError, match="'droop'; give 'inertia', 'equal'"):
        co.close_loop(network, brake, areas, shares="droop")
    with pytest.raises(co.InputError, match="is no controller"):
        co.close_loop(network, np.eye(2), areas)
    with pytest.raises(co.InputError, match=r"passes 'w\[1\]' to 'p\[2\]'"):
        co.add_local(small, control.ss([], [], [], [[-1.0]], inputs=["w[1]"], outputs=["p[2]"]))
    with pytest.raises(co.InputError, match="own output"):
        co.add_local(small, control.ss([], [], [], [[-1.0]], inputs=["CoI"], outputs=["p[2]"]))
    rigid = co.Network(co.Nodes(("a", "b"), np.array([[1.0, 2.0]])), [[1, -1], [-1, 1]], "1/s")
    loop = co.close_loop(rigid, control.ss([], [], [], [[1.0]], inputs=["w[a]"], outputs=["p[a]"]))
    with pytest.raises(co.InputError, match="not well posed"):
        loop.poles()
    with pytest.raises(co.UnknownNameError, match=r"'w\[7\]'"):
        co.plant(small, outputs=["w[7]"])
    with pytest.raises(co.InputError, match="twice"):
        co.plant(small, outputs=["CoI", "CoI"])
    with pytest.raises(co.InputError, match="nodes of the reduced network"):
        co.small_gain(network, network.project(areas), brake, co.coherent_groups(network, 2))
    with pytest.raises(co.InputError, match="noise = 0"):
        co.generalized_plant(small, measurements=["w[1]"], controls=["1"], performance=["w[1]"], noise=0)


# --- stability -------------------------------------------------------------------------------------------------------


@given(networks(passive=True, degrees=(1,), couplings=("1/s", "1")), SEEDS)
def test_passive_feedback_where_it_is_measured_leaves_passive_networks_stable(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng)
    loop = co.close_loop(
        network, passive_feedback(rng, partition.groups, size=rng.choice([0.1, 10.0])), partition, measured="shares"
    )
    found = co.stability(loop)
    assert (found.stable, found.by) == (True, "passivity")
    assert loop.poles().real.max() < 0


@given(SEEDS, st.integers(1, 3))
def test_the_least_real_part_is_that_of_dense_samples(seed, channels_):
    rng = np.random.default_rng(seed)
    feedback = passive_feedback(rng, range(channels_), order=4)
    shift = rng.choice([0.0, rng.uniform(0.01, 1)])
    system = Realization(feedback.A, feedback.B, -feedback.C, -feedback.D - shift * np.eye(channels_))
    values = system(1j * np.append(0.0, np.geomspace(1e-4, 1e4, 4000)))
    parts = [0.5 * (x + x.conj().T) for x in (*values, system.d)]
    least = np.linalg.eigvalsh(np.array(parts)).min()
    for level in (-1e-3, -0.1, -0.5):
        if least < level * (1 + 1e-6):
            assert not least_real_part_above(system, level)
        elif least > level * (1 - 1e-2):
            assert least_real_part_above(system, level)
    growing = system._replace(a=system.a - (system.a.trace() / 4 - 1) * np.eye(4))
    assert not least_real_part_above(growing, -1e9)


def test_feedback_that_lacks_more_passivity_than_the_nodes_have_is_not_proved_stable():
    network = co.Network(co.swing(inertia=1.0, damping=0.01, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    wild = control.ss(
        [[-1.0]], [[1.0, 0.0]], [[-1e8], [0.0]], [[0, 0], [0, 0.08]], inputs=["w[a]", "w[b]"], outputs=["p[a]", "p[b]"]
    )
    loop = co.close_loop(network, wild)
    assert loop.poles().real.max() > 0
    assert co.stability(loop).stable is False


def test_passive_feedback_at_buses_without_dynamics_is_judged_by_its_poles():
    """-K = (s^2+s+1)/(s^2+s+4) has no real part at sqrt 2, and the buses have none either: a mode there does not die out."""
    nodes = co.Nodes(("a", "p", "q"), np.array([[1.0, 0, 0], [1, 0, 0]]))
    network = co.Network(nodes, [[2, -1, -1], [-1, 1, 0], [-1, 0, 1]], "1/s")
    one = control.tf([-1, -1, -1], [1, 1, 4])
    loop = co.close_loop(network, control.ss(control.append(one, one), inputs=["w[p]", "w[q]"], outputs=["p[p]", "p[q]"]))
    found = co.stability(loop)
    assert found.stable is None
    assert "measure or act where there is inertia" in found.sentence


def test_a_large_loop_that_is_not_passive_is_left_undecided():
    """Swings of damping ratios of a percent: two poles at +0.03 that samples of any usual grid pass by."""
    n = 1600
    nodes = co.swing(inertia=1.0, damping=0.01, labels=[f"n{i}" for i in range(n)])
    laplacian = sp.diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1]).tolil()
    laplacian[0, 0] = laplacian[n - 1, n - 1] = 1.0
    network = co.Network(nodes, sp.csr_array(laplacian), "1/s")
    far = control.ss([], [], [], [[6.0]], inputs=["w[n100]"], outputs=["p[n103]"])
    found = co.stability(co.close_loop(network, far))
    assert (found.stable, found.by) == (None, "undecided")
    assert not found
    near = control.ss([], [], [], [[-6.0]], inputs=["w[n100]"], outputs=["p[n100]"])
    assert co.stability(co.close_loop(network, near)).by == "passivity"


def test_an_unstable_loop_is_a_result_with_its_mode(machines):
    _, _, small = machines
    push = control.ss([], [], [], [[5.0]], inputs=["w[1]"], outputs=["p[1]"])
    found = co.stability(co.close_loop(small, push))
    assert found.stable is False
    assert found.node == "1"
    assert "grows at" in found.sentence
    assert found.mode == pytest.approx(co.close_loop(small, push).poles()[0])


def test_a_network_that_nothing_holds_is_said_to_be_so():
    free = co.Network(co.swing(inertia=[1, 2], damping=0.0), [[1, -1], [-1, 1]], "1/s")
    held = control.ss([], [], [], [[-1.0, 1.0], [1.0, -1.0]], inputs=["w[1]", "w[2]"], outputs=["p[1]", "p[2]"])
    assert "nothing holds" in co.stability(co.close_loop(free, held)).sentence


# --- small gain ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)  # a second each
@given(networks(least=3, passive=True, degrees=(1,), couplings=("1/s",)), SEEDS)
def test_where_the_small_gain_statement_holds_the_full_loop_is_stable(network, seed):
    rng = np.random.default_rng(seed)
    partition = divided(network, rng, k=2)
    small = network.project(partition)
    names = [f"w[{g}]" for g in partition.groups], [f"p[{g}]" for g in partition.groups]
    controller = random_controller(rng, *names, size=10.0 ** rng.uniform(-2, 1))
    found = co.small_gain(network, small, controller, partition)
    poles = co.close_loop(network, controller, partition).poles()
    if found.holds:
        assert poles.real.max() < 0
    if np.isinf(found.safe_to) and not found.reason:
        assert found.holds
    if not found.reason and len(found.curve):
        curve = found.curve
        assert (curve["product"] <= curve["bound"] * (1 + 1e-6)).all()
        inside = curve.index.to_numpy() < found.safe_to
        assert (curve["product"].to_numpy()[inside] < 1).all()
        product = found.gain
        assert product.lower <= curve["product"].max() * (1 + 1e-6) or product.lower <= product.upper


@given(SEEDS)
def test_the_envelope_lies_above_the_gain_everywhere_and_close_to_it(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(6, 6))
    a -= (np.linalg.eigvals(a).real.max() + rng.uniform(0.05, 1)) * np.eye(6)
    system = Realization(a, rng.normal(size=(6, 2)), rng.normal(size=(2, 6)), np.zeros((2, 2)))
    omega = np.append(0.0, np.geomspace(1e-3, 1e3, 3000))
    gain = np.linalg.norm(system(1j * omega), 2, axis=(1, 2))
    least = 0.05 * gain.max()
    bound = gain_envelope(system, least=least, ratio=1.2).at(omega)
    assert (gain <= bound * (1 + 1e-9)).all()
    above = gain > least
    assert (bound[above] <= 1.2 * gain[above] * 1.25).all()  # at an edge the higher of two rungs


def test_what_the_small_gain_statement_forbids_may_fail_and_does(machines):
    """A damper from measurements 0.2 s old, its storage at two single machines: fine on the areas, unstable on the machines."""
    network, areas, small = machines
    delay = control.tf(*control.pade(0.2, 3))
    design = co.damp_mode(small, ratio=0.1, dynamics=delay, between=("1", "4"))
    assert co.stability(co.close_loop(small, design.controller))
    single = design.check(network, areas, shares={"G1": 1, "G15": 1})
    assert single.stable is False
    assert not single.margin.holds
    assert single.margin.gain.lower > 20
    assert single.stability.mode.imag / (2 * np.pi) == pytest.approx(1.65, abs=0.02)
    assert single.margin.safe_to < single.stability.mode.imag
    allowed = co.damp_mode(small, ratio=0.03, dynamics=delay, between=("1", "4")).check(network, areas)
    assert allowed.margin.holds
    assert allowed.stable


def test_small_gain_says_nothing_where_integrators_act_on_one_signal_or_an_island_swings_for_ever():
    nodes = co.swing_turbine(
        inertia=[1, 2, 1.5, 1], damping=[0.3, 0.2, 0.4, 0.3], inverse_droop=1.0, time_constant=2.0, labels=list("abcd")
    )
    network = co.Network(nodes, 8 * np.eye(4) - 2 * np.ones((4, 4)), "1/s")
    halves = co.Partition.of(list("xxyy"), labels=nodes.labels)
    both = control.ss(np.zeros((2, 2)), [[-0.2], [-0.1]], np.eye(2), [[0], [0]], inputs=["CoI"], outputs=["p[x]", "p[y]"])
    found = co.small_gain(network, network.project(halves), both, halves)
    assert not found.holds
    assert co.stability(co.close_loop(network, both, halves)).stable is False
    assert "integrators that act on one signal" in co.stability(co.close_loop(network, both, halves)).sentence
    pair = np.array([[1.0, -1], [-1, 1]])
    islands = co.Network(co.swing(inertia=1.0, damping=[0.5, 0.5, 0, 0], labels=list("abcd")), np.kron(np.eye(2), pair), "1/s")
    brake = control.ss([], [], [], [[-1.0]], inputs=["w[x]"], outputs=["p[x]"])
    assert not co.small_gain(islands, islands.project(halves), brake, halves).holds


def test_small_gain_says_nothing_where_its_premises_fail(machines):
    network, areas, small = machines
    push = control.ss([], [], [], [[5.0]], inputs=["w[1]"], outputs=["p[1]"])
    assert "reduced network is not stable" in co.small_gain(network, small, push, areas).sentence
    free = co.linearize(co.load_case("nets_nyps68"), convention="classical")
    brake = control.ss([], [], [], [[-1.0]], inputs=["w[1]"], outputs=["p[1]"])
    assert "full network alone is not stable" in co.small_gain(free, free.project(areas), brake, areas).sentence


@settings(max_examples=60)  # a second each
@given(networks(least=3, most=6, passive=True, degrees=(1,), couplings=("1/s",)), SEEDS)
def test_the_margin_of_local_storage_is_that_of_its_loop_around_one_motion(network, seed):
    rng = np.random.default_rng(seed)
    loss = co.Step({network.labels[0]: -1.0})
    one = co.coherent_dynamics(network)
    alone = -co.simulate(one, co.Step({"coherent": -1.0})).frame["coherent"].min()
    method = rng.choice(["frequency_shaping", "inertia_droop"])
    design = co.allocate(
        network, loss, co.FrequencyLimits(nadir=0.6 * alone, rocof=0.5 / network.nodes.inertia.sum()), method=method
    )
    shares = dict(zip(network.labels, rng.uniform(0.1, 1, network.size), strict=True))
    found = design.check(network, shares=shares)
    assert found.stable or not found.margin.holds
    w = design.weights(network, shares=shares)
    omega = np.append(np.geomspace(1e-3, 1e3, 200), found.margin.gain.omega)
    z, k = network.nodes.inverse(1j * omega), design.control.inverse(1j * omega)[:, 0]
    rate = 1j * omega * design.inertia
    t = np.linalg.inv((z + np.outer(rate, w))[:, :, None] * np.eye(network.size) + network.laplacian / (1j * omega)[:, None, None])
    root, law = np.sqrt(w), k - rate
    flat = np.outer(root, root) / (z.sum(axis=1) + rate)[:, None, None]
    error = root[:, None] * t * root - flat
    m = -law[:, None, None] * np.linalg.inv(np.eye(network.size) + law[:, None, None] * flat)
    gain = np.linalg.norm(m @ error, 2, axis=(1, 2))
    assert gain.max() <= found.margin.gain.upper * (1 + 1e-9)
    assert gain[-1] == pytest.approx(found.margin.gain.lower, rel=1e-6)
    assert (gain[omega < found.margin.safe_to] < 1 + 1e-9).all()
    if np.isfinite(found.margin.safe_to):
        assert not found.margin.holds


def test_checks_take_networks_with_passive_buses_and_leave_the_margin_out(rng):
    """A bus between two machines: verify, the damper, secondary control and storage see what they see without it."""
    star = np.array([[2.0, 0, -2], [0, 3, -3], [-2, -3, 5]])
    network = co.Network(co.Nodes(("a", "b", "bus"), np.array([[0.1, 0.2, 0], [1, 2, 0]])), star, "1/s")
    without = network.kron_reduce()
    both, own = co.Partition.of(["x", "y", "y"], labels=["a", "b", "bus"]), co.Partition.of(["x", "y"], labels=["a", "b"])
    reduced, loss = without.project(own), co.Step({"a": -1.0})
    time = np.linspace(0, 40, 2001)
    brake = control.ss([[-2.0]], [[2.0]], [[-0.5]], [[0.0]], inputs=["w[x]"], outputs=["p[x]"])
    found, wanted = (co.verify(n, reduced, brake, p, disturbance=loss, time=time) for n, p in ((network, both), (without, own)))
    assert found.margin is None
    assert wanted.margin is not None
    assert found.stable is wanted.stable is True
    one, other = (x.table["full"].to_numpy(dtype=float) for x in (found, wanted))
    assert one == pytest.approx(other, rel=1e-4, nan_ok=True)
    damper = co.damp_mode(reduced, ratio=0.3)
    one, other = (damper.check(n, p).table["full"].to_numpy() for n, p in ((network, both), (without, own)))
    assert one == pytest.approx(other)
    agc = co.secondary_control(reduced, time_constant=20.0)
    one, other = (agc.check(n, p, disturbance=loss) for n, p in ((network, both), (without, own)))
    assert one.table["full"].to_numpy() == pytest.approx(other.table["full"].to_numpy(), rel=1e-3, abs=1e-6)
    storage = co.allocate(reduced, loss, co.FrequencyLimits(nadir=2.0))
    assert "passive" in storage.check(network).margin.sentence
    with pytest.raises(co.InputError, match="kron_reduce"):
        co.small_gain(network, reduced, brake, both)


# --- damping ---------------------------------------------------------------------------------------------------------


@given(networks(least=2, most=5, passive=True, strengths=(1.0, 10.0), **SWINGING), st.floats(1.05, 3.0))
def test_the_damper_gives_the_mode_its_ratio_by_the_least_gain(network, factor):
    swings = [p for p in network.poles() if p.imag > 1e-6]
    if not swings:
        return
    slowest = min(swings, key=lambda p: p.imag)
    target = min(0.9, factor * -slowest.real / abs(slowest))
    try:
        design = co.damp_mode(network, ratio=target)
    except co.InputError as error:
        reason = str(error)
        event(next(word for word in ("largest met", "already", "no oscillation", "damps the mode") if word in reason))
        return
    assert -design.after.real / abs(design.after) == pytest.approx(target, rel=1e-6)
    poles = co.close_loop(network, design.controller).poles()
    assert np.abs(poles - design.after).min() <= 1e-6 * abs(design.after)


def test_the_damper_of_the_reduced_network_damps_the_full_one(machines):
    network, areas, small = machines
    design = co.damp_mode(small, ratio=0.1)
    assert set(design.direction) == {"1", "4"}
    found = design.check(network, areas)
    assert found.stability.by == "passivity"
    target, reduced, full, error = found.table.loc["damping ratio"]
    assert (target, reduced) == (0.1, pytest.approx(0.1))
    assert full == pytest.approx(0.0953, abs=2e-4)
    assert error == pytest.approx(1 - full / reduced)
    poles = found.closed.poles()
    mode = poles[np.abs(poles - (2j * np.pi * found.table.loc["frequency [Hz]", "full"])).argmin()]
    assert -mode.real / abs(mode) == pytest.approx(full, rel=1e-6)


def test_the_pair_chosen_damps_most_for_a_small_gain(machines):
    _, _, small = machines
    gain = {}
    for a, b in [(a, b) for a in small.labels for b in small.labels if a < b]:
        try:
            gain[a, b] = co.damp_mode(small, ratio=0.022, between=(a, b)).gain
        except co.InputError:
            gain[a, b] = np.inf
    assert tuple(co.damp_mode(small, ratio=0.022).direction) == min(gain, key=gain.get)


def test_the_mode_followed_is_the_one_between_the_groups_not_one_within():
    """Two areas of unequal machines; the small machine of each swings at a frequency nearer to the reduced network's mode."""
    nodes = co.swing(inertia=[10.0, 0.1, 12.0, 0.1], damping=[0.5, 0.01, 0.5, 0.01], labels=list("abcd"))
    edges = {("a", "b"): 0.1, ("c", "d"): 0.2, ("a", "c"): 3.0}
    laplacian = np.zeros((4, 4))
    for (i, j), w in edges.items():
        one = np.array([(x == i) - 1.0 * (x == j) for x in "abcd"])
        laplacian += w * np.outer(one, one)
    network = co.Network(nodes, laplacian, "1/s")
    areas = co.Partition.of(["west", "west", "east", "east"], labels=nodes.labels)
    design = co.damp_mode(network.project(areas), ratio=0.3)
    found = design.check(network, areas, margin=False)
    assert found.table.loc["damping ratio", "full"] == pytest.approx(0.3, rel=0.05)
    assert "alike to" in found.notes[0]


def test_the_mode_is_followed_on_a_large_sparse_network_as_on_the_dense_one(machines, monkeypatch):
    network, areas, small = machines
    design = co.damp_mode(small, ratio=0.2)
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), network.coupling)
    monkeypatch.setattr("coherence.design.damping.DAMPING_STATES", 0)
    monkeypatch.setattr("coherence.design.robustness.CHECKED_STATES", 0)
    one, other = design.check(network, areas), design.check(sparse, areas)
    assert other.table["full"].to_numpy() == pytest.approx(one.table["full"].to_numpy(), rel=1e-6)
    assert one.margin is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(ratio=0.3, between=("1", "2")), "no gain of feedback between '1' and '2'.*the largest met is 0.0219"),
        (dict(ratio=1.2), "above 0 and below 1"),
        (dict(ratio=0.01), "already"),
        (dict(ratio=0.1, between=("1", "1")), "two different groups"),
        (dict(ratio=0.1, near_hz=-1), "Hz > 0"),
        (dict(ratio=0.1, near_hz="a"), "Hz > 0"),
        (dict(ratio=0.1, between=3), "two different groups"),
        (dict(ratio=0.1, between="14"), "two different groups"),
        (dict(ratio=0.1, dynamics=control.tf([1], [1, -1])), "not stable"),
        (dict(ratio=0.1, dynamics=control.ss([], [], [], np.eye(2))), "2 inputs"),
    ],
)
def test_dampers_that_cannot_be_are_refused(machines, options, words):
    with pytest.raises(co.InputError, match=words):
        co.damp_mode(machines[2], **options)


def test_dampers_need_swings_between_groups():
    one = co.Network(co.swing(inertia=[1.0], damping=[1.0]), [[0.0]], "1/s")
    with pytest.raises(co.InputError, match="at least two"):
        co.damp_mode(one, ratio=0.1)
    still = co.Network(co.swing(inertia=[1.0, 1.0], damping=50.0), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises(co.InputError, match="no oscillation"):
        co.damp_mode(still, ratio=0.1)
    with pytest.raises(co.InputError, match="coupling 1/s"):
        co.damp_mode(co.Network(still.nodes, still.laplacian, "1"), ratio=0.1)


# --- secondary control -----------------------------------------------------------------------------------------------


@given(SEEDS, st.floats(1.0, 20.0))
def test_areas_do_not_answer_for_each_other_where_turbines_are_fast(seed, slow):
    """Quasi-steady areas under tie-line bias control: each replaces its own loss by a first-order lag T."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 5))
    nodes = co.swing(inertia=1e-4 * rng.uniform(0.5, 1, k), damping=rng.uniform(0.5, 2, k))
    network = co.Network(nodes, 1e2 * random_laplacian(rng, k), "1/s")
    time_constant = 10.0 * slow
    design = co.secondary_control(network, time_constant=time_constant)
    loop = co.plant(co.close_loop(network, design.controller), outputs=[f"p[{g}]" for g in network.labels])
    for s in np.array([0.1j, 1j, 3j]) / time_constant:
        expected = -np.eye(k) / (1 + s * time_constant)
        assert loop(s) == pytest.approx(expected, abs=2e-2)


def test_secondary_control_restores_iceland_and_its_exchanges(iceland):
    areas = co.coherent_groups(iceland, 3)
    small = co.truncate(co.aggregate(iceland, areas, interconnection="quotient").network, 3).network
    design = co.secondary_control(small, time_constant=60.0)
    found = design.check(iceland, areas, disturbance=co.Step({"Burfell 3-4": -1.0}))
    assert found.stable
    assert found.margin.holds
    table = found.table
    assert table.loc["last power of the area, of the loss", "full"] == pytest.approx(1, abs=5e-3)
    assert np.abs(table.loc["last frequency, CoI, of its nadir", ["reduced", "full"]].astype(float)).max() < 1e-3
    assert table.loc["nadir, CoI", "error"] < 0.1
    system = co.plant(found.closed, areas, disturbances=["Burfell 3-4"], outputs=["CoI", "p[1]", "export[3]"])
    assert system.dcgain() == pytest.approx(np.array([[0.0], [1.0], [0.0]]) * -1.0, abs=1e-9)


def test_secondary_control_that_cannot_be_is_refused(iceland):
    areas = co.coherent_groups(iceland, 3)
    small = co.truncate(co.aggregate(iceland, areas, interconnection="quotient").network, 3).network
    with pytest.raises(co.InstabilityError, match=r"time constant of 2 s .* unstable.*oscillates at 1\.5"):
        co.secondary_control(small, time_constant=2.0)
    with pytest.raises(co.InputError, match="time_constant = 0"):
        co.secondary_control(small, time_constant=0)
    with pytest.raises(co.InputError, match="area '2' has no bias"):
        co.secondary_control(small, time_constant=60, bias={"1": 1.0, "3": 1.0})
    with pytest.raises(co.UnknownNameError, match="'north'"):
        co.secondary_control(small, time_constant=60, bias={"north": 1.0})
    free = co.Network(co.swing(inertia=[1, 2], damping=0.0), [[1, -1], [-1, 1]], "1/s")
    for bad, words in (
        ({"1": "x"}, "is 'x'; give a number"),
        ({"1": None}, "is None"),
        (5.0, "is a float; give area"),
        ([1, 2], "is a list"),
    ):
        with pytest.raises(co.InputError, match=words):
            co.secondary_control(small, time_constant=60, bias=bad)
    with pytest.raises(co.InputError, match="pole at 0"):
        co.secondary_control(co.Network(small.nodes, small.laplacian, "1"), time_constant=60)
    design = co.secondary_control(small, time_constant=60)
    with pytest.raises(co.InputError, match="balanced in every area"):
        design.check(iceland, areas, disturbance=co.Step({"Burfell 3-4": -1.0, "Burfell 5": 1.0}))
    with pytest.raises(co.InputError, match="no droop and no damping"):
        co.secondary_control(free, time_constant=60)
    with pytest.raises(co.InputError, match="after a Step"):
        co.secondary_control(small, time_constant=60.0).check(iceland, areas, disturbance=co.Pulse({"Blanda 1": 1.0}, duration=1.0))
