"""Coupling strengths for which networks are stable: closed forms, brute force, Iceland."""

import control
import numpy as np
import pytest

import coherence as co
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization
from coherence.theory.couplings import _crossings, _opened, _pair_operator, _reached, _stable_intervals
from tests.draws import random_laplacian, random_nodes

PAIR = np.array([[1.0, -1.0], [-1.0, 1.0]])
COUPLINGS = (
    "1/s",
    "1",
    ([1.0, 0.5], [1.0, 0.0]),  # proportional and integral
    ([1.0, 2.0], [1.0, 1.0, 0.0]),
    ([1.0], [1.0, 1.0, 0.0]),
    ([1.0, 0.0], [1.0, 1.0]),
    ([-1.0, 1.0], [1.0, 1.0]),
    ([1.0, 1.0], [1.0, 0.2, 1.0, 0.0]),
)


def section(owner, numerator, denominator):
    system = control.ss(control.tf(numerator, denominator))
    return owner, Realization(*(np.array(x) for x in (system.A, system.B, system.C, system.D)))


def hydro_nodes(rng, n):
    """1/g = m s + d + k (1 - Tw s)/((1 + Tg s)(1 + Tw s/2))."""
    sections = []
    for i in range(n):
        water, gate, gain = rng.uniform(0.5, 3), rng.uniform(0.1, 2), rng.uniform(0.2, 4)
        sections.append(section(i, [-gain * water, gain], [gate * water / 2, gate + water / 2, 1.0]))
    polynomial = np.array([rng.uniform(0.0, 1.5, n), rng.uniform(0.5, 10, n)])
    return Nodes(tuple(f"n{i}" for i in range(n)), polynomial, make_banks(sections))


def draw(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    nodes = hydro_nodes(rng, n) if rng.random() < 0.6 else random_nodes(rng, n)
    if rng.random() < 0.3:
        nodes = nodes.with_damping(-rng.uniform(0, 0.3, n))
    laplacian = 10 ** rng.uniform(-2, 2) * random_laplacian(rng, n)
    if seed % 10 == 0:  # equal nodes, so that modes cross together
        nodes = co.concatenate([nodes.select([0]).renamed([f"e{i}"]) for i in range(n)])
        laplacian = rng.uniform(0.1, 5) * (n * np.eye(n) - 1)
    return co.Network(nodes, laplacian, COUPLINGS[rng.integers(len(COUPLINGS))]), rng


def at(network, kappa):
    return co.Network(network.nodes, kappa * network.laplacian, network.coupling)


def intervals_of(network):
    """By the computation, whatever passivity says."""
    opened = _opened(network.nodes, network.dense_laplacian, network.coupling)
    return _stable_intervals(_reached(opened, network.coupling))


def compare(network, found, kappas):
    """The verdict against the poles; the number of strengths at which both are clear."""
    clear = 0
    for kappa in kappas:
        system = at(network, kappa).realization
        slowest = system.poles()[0].real if system.order else -np.inf
        if abs(slowest) > 10 * system.rounding:
            assert (slowest < 0) == found.contains(kappa), (network, kappa, slowest, found.intervals)
            clear += 1
    return clear


# --- closed forms -------------------------------------------------------------------------------------------------


def test_a_water_column_bounds_the_coupling_of_two_machines_as_routh_and_hurwitz_say():
    """1/g = m s + d + r (1 - Tw s)/(1 + T s), f = 1/s: with d' = d - r Tw/T < 0 stable for
    kappa < (m + d' T)(d + r)/(2 l |d'| T^2), where w^2 = 2 l kappa/(m + d' T)."""
    m, d, r, water, lag, weight = 8.0, 0.2, 1.0, 1.5, 3.0, 0.3
    direct = d - r * water / lag  # and the strictly proper rest of the turbine
    rest = [section(i, [r * (1 + water / lag)], [lag, 1.0]) for i in range(2)]
    nodes = Nodes(("a", "b"), np.array([[direct, direct], [m, m]]), make_banks(rest))
    found = co.stable_couplings(co.Network(nodes, weight * PAIR, "1/s"))
    limit = (m + direct * lag) * (d + r) / (2 * weight * abs(direct) * lag**2)
    row = found.intervals.iloc[0]
    assert len(found.intervals) == 1
    assert row["from"] == 0.0
    assert row["to"] == pytest.approx(limit, rel=1e-10)
    assert row["to_rad_s"] == pytest.approx(np.sqrt(2 * weight * limit / (m + direct * lag)), rel=1e-9)


def test_a_damped_machine_holds_a_self_exciting_one_from_a_known_coupling_on():
    """Equal m, d_a < 0 < d_a + d_b, f = 1/s: stable for kappa l > |d_a| d_b/m, where w^2 = kappa l/m."""
    m, d_a, d_b, weight = 2.0, -0.3, 0.7, 0.05
    found = co.stable_couplings(co.Network(co.swing(inertia=[m, m], damping=[d_a, d_b]), weight * PAIR, "1/s"))
    limit = -d_a * d_b / (m * weight)
    assert found.intervals.to_numpy() == pytest.approx(
        np.array([[limit, np.sqrt(weight * limit / m), np.inf, np.nan]]), rel=1e-9, nan_ok=True
    )
    assert found.around is None
    assert found.contains(limit * (1 + 1e-6))
    assert not found.contains(limit * (1 - 1e-6))
    assert found.facts["as it is (kappa = 1)"] == "not stable"


def test_a_crossing_at_0_and_one_through_infinity_are_named_so():
    """f = 1: d_a + d_b > 0 > d_a makes kappa l > |d_a| d_b/(d_a + d_b), at 0 rad/s; without inertia the pole
    -1 - 3/(q - 1), q = 2 k/(2 + k), of d_a = -1 beside d_b = 2 passes through infinity at k = 2."""
    found = co.stable_couplings(co.Network(co.swing(inertia=[1, 2], damping=[-1, 3]), PAIR, "1"))
    assert found.intervals.to_numpy() == pytest.approx(np.array([[1.5, 0.0, np.inf, np.nan]]), rel=1e-9, nan_ok=True)
    static = Nodes(("a", "b"), np.array([[-1.0, 2.0]]), make_banks([section(0, [3.0], [1.0, 1.0])]))
    found = co.stable_couplings(co.Network(static, PAIR, "1"))
    assert found.intervals.to_numpy() == pytest.approx(np.array([[2.0, np.inf, np.inf, np.nan]]), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(("factor", "count"), [(1 - 1e-6, 1), (1.0, 2), (1 + 1e-6, 2)])
def test_a_mode_that_only_touches_the_axis_splits_the_interval_there(factor, count):
    """s^4 + 2 s^3 + (2 + K) s^2 + (1 + K) s + K p0, K = 2 kappa: Routh's K^2 + (4 - 4 p0) K + 3 > 0 has the double root sqrt(3)
    at p0 = 1 + sqrt(3)/2, and two roots for larger p0."""
    p0 = (1 + np.sqrt(3) / 2) * factor
    network = co.Network(co.swing(inertia=[1, 1], damping=1), PAIR, ([1.0, 1.0, p0], [1.0, 1.0, 1.0, 0.0]))
    found = co.stable_couplings(network).intervals
    assert len(found) == count
    if count == 2:
        roots = np.sort(np.roots([1.0, 4 - 4 * p0, 3.0]).real)
        assert found["to"][0] == pytest.approx(roots[0] / 2, rel=1e-6)
        assert found["from"][1] == pytest.approx(roots[1] / 2, rel=1e-6)
        assert found["to_rad_s"][0] == pytest.approx(np.sqrt((1 + roots[0]) / 2), rel=1e-6)


# --- brute force --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 110, 10))
def test_the_intervals_are_those_of_the_poles_at_200_strengths(first):
    clear = limited = 0
    for seed in range(first, first + 10):
        network, rng = draw(seed)
        found = co.stable_couplings(network)
        ends = found.intervals[["from", "to"]].to_numpy().ravel()
        ends = ends[(ends > 0) & np.isfinite(ends)]
        limited += ends.size
        beside = (ends[:, None] * (1 + np.array([-1e-2, -1e-7, 1e-7, 1e-2]))).ravel()
        clear += compare(network, found, np.concatenate([10 ** rng.uniform(-4, 4, 200), beside]))
    assert clear > 1990
    assert limited >= 1


def test_boundaries_have_a_pole_on_the_axis_at_the_frequency_given():
    checked = 0
    for seed in range(40):
        network, _ = draw(seed)
        for _, row in co.stable_couplings(network).intervals.iterrows():
            for end in ("from", "to"):
                if 0 < row[end] < np.inf and np.isfinite(row[f"{end}_rad_s"]):
                    system = at(network, row[end]).realization
                    slowest = system.poles()[0]
                    assert abs(slowest.real) <= 1e-9 * max(1.0, abs(slowest)) + 100 * system.rounding
                    assert abs(slowest.imag) == pytest.approx(row[f"{end}_rad_s"], rel=1e-6, abs=100 * system.rounding)
                    checked += 1
    assert checked > 10


def test_the_small_eigenvalue_problem_has_the_solutions_of_the_bialternate_pencil():
    """det of the bialternate sum of A(kappa), of size N (N - 1)/2, vanishes where 1/mu is an eigenvalue."""
    rng = np.random.default_rng(5)
    for coupling in ("1/s", "1"):
        network = co.Network(hydro_nodes(rng, 3), random_laplacian(rng, 3), coupling)
        loop = _opened(network.nodes, network.dense_laplacian, network.coupling).around(0.8)
        size = len(loop.a)
        rows, columns = np.tril_indices(size, -1)

        def bialternate(a, rows=rows, columns=columns, size=size):
            out = np.empty((len(rows), len(rows)))
            for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
                x = np.zeros((size, size))
                x[i, j], x[j, i] = 1.0, -1.0
                out[:, k] = (a @ x + x @ a.T)[rows, columns]
            return out

        pencil = -np.linalg.solve(bialternate(loop.a), bialternate(-loop.b @ loop.c))
        exact = np.linalg.eigvals(pencil)
        small = np.linalg.eigvals(_pair_operator(loop))
        exact, small = (x[np.abs(x) > 1e-7 * np.abs(exact).max()] for x in (exact, small))
        assert len(exact) == len(small)
        distance = np.abs(exact[:, None] - small).min(axis=1)
        assert distance.max() <= 1e-5 * np.abs(exact).max()


def test_one_expansion_finds_every_crossing_where_the_loop_has_feedthrough():
    """f with feedthrough beside nodes of relative degree 0: the operator has its term -D V, and repeats are not needed."""
    seen = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        network = co.Network(
            random_nodes(rng, 3, degrees=(0,)).with_damping(-rng.uniform(0, 0.5, 3)), random_laplacian(rng, 3), "1"
        )
        loop = _reached(_opened(network.nodes, network.dense_laplacian, network.coupling), network.coupling)
        if not loop.d.any():
            continue
        ends = {(x, w) for low, low_w, high, high_w in _stable_intervals(loop) for x, w in ((low, low_w), (high, high_w))}
        inner = [x for x, w in ends if 1e-3 < x < 1e3 and np.isfinite(w)]
        if not inner:
            continue
        found = _crossings(loop, 1.0)
        assert found is not None
        for kappa in inner:
            assert np.abs(found / kappa - 1).min() <= 1e-5, (seed, kappa, found)
        seen += len(inner)
        if seen >= 12:
            return
    pytest.fail(f"only {seen} crossings were drawn")


# --- passivity, symmetry, hidden modes ----------------------------------------------------------------------------


def test_passive_nodes_are_stable_for_every_strength_and_the_computation_agrees():
    for seed in range(25):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 5))
        coupling = ("1/s", "1", ([1.0, 0.5], [1.0, 0.0]))[seed % 3]
        network = co.Network(random_nodes(rng, n, passive=True), random_laplacian(rng, n), coupling)
        found = co.stable_couplings(network)
        assert found.everywhere
        assert found.around == (0.0, np.inf)
        assert "as for every Laplacian" in found.facts["as it is (kappa = 1)"]
        ((low, _, high, _),) = intervals_of(network)
        assert (low, high) == (0.0, np.inf)


def test_scaling_the_laplacian_scales_the_intervals():
    for seed in range(12):
        network, _ = draw(seed)
        found, scaled = co.stable_couplings(network), co.stable_couplings(at(network, 7.0))
        assert len(found.intervals) == len(scaled.intervals)
        for end in ("from", "to"):
            assert (7.0 * scaled.intervals[end]).to_numpy() == pytest.approx(found.intervals[end].to_numpy(), rel=1e-7)


def test_integrators_of_nodes_and_coupling_that_repeat_each_other_are_no_modes():
    """1/g = m s + d + k/s beside f = 1/s: the states of the coupling are combinations of the nodes'."""
    integral = [(i, Realization(*(np.array([[x]]) for x in (0.0, 1.0, k, 0.0)))) for i, k in enumerate((0.3, 0.5))]
    nodes = Nodes(("a", "b"), np.array([[-0.2, 0.9], [1.0, 2.0]]), make_banks(integral))
    network = co.Network(nodes, PAIR, "1/s")
    found = co.stable_couplings(network)
    assert found.states == 4
    assert network.order == 5
    assert len(found.intervals) == 1
    for kappa in np.geomspace(1e-2, 1e2, 60):
        poles = at(network, kappa).poles()
        hidden = np.abs(poles).argmin()
        assert abs(poles[hidden]) < 1e-12
        assert found.contains(kappa) == (np.delete(poles, hidden).real < 0).all()
    assert 0.01 < found.intervals["from"][0] < 100


def test_undamped_and_averaging_networks_are_stable_for_no_strength():
    for network in (
        co.Network(co.swing(inertia=[1, 2, 3], damping=0.0), random_laplacian(np.random.default_rng(0), 3), "1/s"),
        co.Network(co.integrator(labels=["a", "b"]), PAIR, "1"),
    ):
        found = co.stable_couplings(network)
        assert not len(found.intervals)
        assert found.around is None
        assert not found.contains(1.0)
        assert "no other strength" in found.facts["as it is (kappa = 1)"]


def test_a_graph_that_falls_apart_is_stable_where_its_components_are():
    """Limits as in the pair of machines: kappa l > |d_a| d_b/m for each of two pairs."""
    nodes = co.swing(inertia=[2, 2, 1, 1], damping=[-0.3, 0.7, -0.1, 0.5])
    laplacian = np.kron(np.diag([1.0, 4.0]), PAIR)
    found = co.stable_couplings(co.Network(nodes, laplacian, "1/s"))
    assert found.intervals["from"].tolist() == pytest.approx([max(0.3 * 0.7 / 2, 0.1 * 0.5 / 4)], rel=1e-9)
    alone = co.Network(co.swing(inertia=[2, 2, 1], damping=[-0.3, 0.7, -0.1]), np.pad(PAIR, (0, 1)), "1/s")
    assert not len(co.stable_couplings(alone).intervals)


def test_one_node_is_stable_for_all_strengths_or_none():
    rng = np.random.default_rng(3)
    for d in (-3.0, 0.5):
        one = co.Network(hydro_nodes(rng, 1).with_damping([d]), [[0.0]], "1/s")
        assert len(co.stable_couplings(one).intervals) == int(one.realization.is_stable())


def test_passive_buses_take_nothing_from_the_intervals():
    star = co.Network(Nodes(("a", "b", "bus"), np.array([[-0.3, 0.7, 0], [2, 2, 0]])), [[1, 0, -1], [0, 1, -1], [-1, -1, 2]], "1/s")
    assert co.stable_couplings(star).intervals["from"].tolist() == pytest.approx([0.3 * 0.7 / 2 / 0.5], rel=1e-9)


# --- Iceland ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def iceland():
    return co.linearize(co.load_case("iceland"))


def reduced(network, groups, order):
    partition = co.spectral_groups(network, groups)
    return co.truncate(co.aggregate(network, partition, interconnection="quotient").network, order).network


def test_three_groups_of_iceland_are_stable_for_every_coupling_between_them(iceland):
    network = reduced(iceland, 3, 3)
    found = co.stable_couplings(network)
    assert network.order == 11
    assert found.around == (0.0, np.inf)
    assert found.everywhere
    ((low, _, high, _),) = intervals_of(network)
    assert (low, high) == (0.0, np.inf)
    assert compare(network, found, np.geomspace(1e-4, 1e4, 100)) == 100
    for i in range(3):
        alone = co.Network(network.nodes.select([i]), [[0.0]], "1/s")
        assert co.stable_couplings(alone).around == (0.0, np.inf)


def test_four_groups_of_iceland_need_a_thirtieth_of_their_coupling(iceland):
    network = reduced(iceland, 4, 4)
    found = co.stable_couplings(network)
    assert found.intervals.to_numpy() == pytest.approx(np.array([[0.0334212, 4.307094, np.inf, np.nan]]), rel=1e-5, nan_ok=True)
    assert found.around == (found.intervals["from"][0], np.inf)
    assert found.facts["as it is (kappa = 1)"] == "stable, as for kappa above 0.0334212 (4.307 rad/s)"
    assert compare(network, found, np.geomspace(1e-3, 1e3, 100)) == 100
    stable = [bool(len(co.stable_couplings(co.Network(network.nodes.select([i]), [[0.0]], "1/s")).intervals)) for i in range(4)]
    assert stable.count(False) == 1  # the group that the others hold


# --- bad input and what passivity adds ----------------------------------------------------------------------------


def test_what_cannot_be_certified_is_refused(iceland):
    swings = co.Network(co.swing(inertia=[1, 1], damping=[-1, 2]), PAIR, "1/s")
    with pytest.raises(co.InputError, match="projected on a basis"):
        co.stable_couplings(swings.project(np.ones((2, 1))))
    with pytest.raises(co.InputError, match="known by its values only"):
        co.stable_couplings(co.Network(swings.nodes, PAIR, lambda s: np.exp(-s) / s))
    measured = co.from_responses({"a": lambda s: 1 / (s + 1), "b": lambda s: np.exp(-s) / (s + 1)})
    with pytest.raises(co.InputError, match="needs rational nodes"):
        co.stable_couplings(co.Network(measured, PAIR, "1/s"))
    with pytest.raises(co.InputError, match=r"order 6222 \(at most 1500\); reduce the network"):
        co.stable_couplings(iceland)
    with pytest.raises(co.InputError, match="give a positive number"):
        co.stable_couplings(swings).contains(0.0)


def test_expansions_where_two_poles_add_up_to_zero_are_left_out():
    network = co.Network(co.swing(inertia=[1, 2], damping=0.0), PAIR, "1/s")
    loop = _opened(network.nodes, network.dense_laplacian, network.coupling)
    assert _crossings(loop, 1.0) is None


def test_damping_to_passive_is_what_a_node_lacks():
    rng = np.random.default_rng(1)
    nodes = hydro_nodes(rng, 6)
    needed = co.passivity(co.Network(nodes, np.zeros((6, 6)), "1/s")).damping_to_passive
    assert (needed > 0).any()
    for share, passive in ((1 + 1e-6, True), (1 - 1e-6, False)):
        with_more = co.passivity(co.Network(nodes.with_damping(share * needed.to_numpy()), np.zeros((6, 6)), "1/s")).nodes
        assert (with_more["passive"][needed > 0] == passive).all()
    assert list(needed[needed == 0].index) == [label for label in nodes.labels if needed[label] == 0]
    steep = Nodes(("a",), np.array([[1.0], [1.0], [1.0]]), ())
    assert np.isinf(co.passivity(co.Network(steep, [[0.0]], "1/s")).damping_to_passive["a"])
