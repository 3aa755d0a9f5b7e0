"""The certified error of reduced networks, and the smallest model for an accuracy."""

import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import coherence as co
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.nodes.nodes import concatenate
from coherence.reduction.orders import NodeModels, OrderSearch
from coherence.reduction.search import GroupSearch, Samples, least_errors, least_groups
from coherence.theory.certificate import _Pair, output_map
from coherence.theory.expansion import LiftedResponse
from tests.draws import exact_transfer_matrix, networks, random_laplacian, random_nodes

HZ = 2 * np.pi


def groups_of(rng, network, k=None):
    """A partition into k groups, none empty."""
    n = network.size
    k = int(rng.integers(1, n + 1)) if k is None else k
    a = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return co.Partition.of([f"g{i}" for i in rng.permutation(a)], labels=network.labels)


def reductions(network, partition, rng):
    """The quotient, another Laplacian, and other nodes, all on the same groups."""
    quotient = network.project(partition)
    if partition.k == 1:
        return [quotient]
    other = co.Network(quotient.nodes, quotient.dense_laplacian + 0.3 * random_laplacian(rng, partition.k), network.coupling)
    nodes = quotient.nodes.with_damping(quotient.nodes.damping + rng.uniform(0.1, 1, partition.k))
    return [quotient, other, co.Network(nodes, quotient.laplacian, network.coupling)]


def dense_errors(network, partition, reduced, w, decay=0.0, outputs="nodes"):
    """The definition: T from Y by inversion, lifted, subtracted, by singular values."""
    p, m = partition.indicator, network.nodes.inertia
    out = []
    for s in decay + 1j * np.atleast_1d(w):
        t = np.linalg.inv(network.inverse_transfer_matrix([s])[0])
        small = np.linalg.inv(reduced.inverse_transfer_matrix([s])[0])
        mapped = t if outputs == "nodes" else p @ np.diag(1 / (p.T @ m)) @ p.T @ np.diag(m) @ t
        out.append(np.linalg.svd(mapped - p @ small @ p.T, compute_uv=False)[0] / np.linalg.svd(t, compute_uv=False)[0])
    return np.array(out)


@given(networks(most=7), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]), st.sampled_from(["nodes", "groups"]))
def test_the_certificate_holds_between_its_evaluations_and_is_tight(network, seed, decay, outputs):
    rng = np.random.default_rng(seed)
    partition = groups_of(rng, network)
    if outputs == "groups":
        assume(((partition.indicator.T @ network.nodes.inertia) > 0).all())
    low = float(rng.choice([0.0, 0.05]))
    high = low + float(rng.uniform(0.2, 4))
    for reduced in reductions(network, partition, rng):
        try:
            found = co.certified_error(network, partition, reduced, band=(low, high), decay=decay, outputs=outputs)
        except (PoleError, ToleranceError):
            continue  # a pole of T by the axis
        near = np.geomspace(1e-6, 1e-3, 10) if low == 0 else []  # the tail
        w = np.concatenate([near, np.linspace(max(low, 1e-3), high, 400), [found.omega]])
        exact = dense_errors(network, partition, reduced, w, decay, outputs)
        assert exact.max() <= found.upper * (1 + 1e-9) + 1e-8
        assert exact[-1] == pytest.approx(found.lower, rel=1e-7, abs=1e-8)
        assert found.lower <= found.upper <= max(1.05 * found.lower, 1e-4)
        away = w >= 1e-3  # nearer to 0 the definition itself cancels
        quick = co.relative_errors(network, partition, reduced, w, decay=decay, outputs=outputs)
        assert np.allclose(quick[away], exact[away], rtol=1e-7, atol=1e-8)  # 1e-16 times a condition of 1e8


@given(networks(most=6), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2]))
def test_the_expansion_holds_its_remainder_and_its_change(network, seed, decay):
    """Every frequency of an interval, not the middle only."""
    rng = np.random.default_rng(seed)
    partition = groups_of(rng, network)
    for side in (
        LiftedResponse(network, np.ones(network.size), decay),
        LiftedResponse(network.project(partition), partition.sizes + 0.0, decay),
    ):
        w = rng.uniform(0.1, 5, 4)
        r = w * 10 ** rng.uniform(-4, -0.3, 4)
        found = side.expand(w, r)
        for x in np.linspace(-1, 1, 21):
            moved = side.lifted(*side.parts(w + x * r)[1:])
            value = side.lifted(found.total, found.deviation)
            v = found.side[:, :, None]
            slope = found.slope[:, None, None] + v + v.swapaxes(1, 2) + found.inside
            root = np.sqrt(side.sizes)
            rest = np.linalg.norm(moved - (value - (1j * x * r)[:, None, None] * (root[:, None] * slope * root)), 2, axis=(1, 2))
            size = np.linalg.norm(value, 2, axis=(1, 2))
            assert size == pytest.approx(found.size, rel=1e-12)
            assert (rest <= found.rest * (1 + 1e-9) + 1e-11 * size).all()
            change = np.linalg.norm(moved - value, 2, axis=(1, 2))
            assert (change <= found.change * (1 + 1e-9) + 1e-11 * size).all()


def test_the_remainder_is_of_second_order():
    network = co.linearize(co.load_case("iceland"))
    side = LiftedResponse(network, np.ones(35), 0.0)
    found = side.expand(np.full(3, 2.0), np.array([4e-3, 2e-3, 1e-3]))
    assert found.rest[:-1] / found.rest[1:] == pytest.approx([4, 4], rel=0.1)


@given(networks(most=7, couplings=("1/s", ([1.0, 2.0], [1.0, 1.0, 0.0]))), st.integers(0, 2**32 - 1))
def test_the_tail_at_zero_bounds_the_error_below_its_end(network, seed):
    rng = np.random.default_rng(seed)
    partition = groups_of(rng, network)
    for reduced in reductions(network, partition, rng):
        pair = _Pair(network, partition, reduced, None, 0.0)
        tops = np.geomspace(1e-3, 3, 25)
        bounds = [pair.low_bound(top) for top in tops]
        last = np.flatnonzero(np.isfinite(bounds))[-1:]
        for top, bound in [(tops[i], bounds[i]) for i in (0, 5, 10, *last)]:
            if np.isfinite(bound):
                assert dense_errors(network, partition, reduced, np.geomspace(1e-5, top, 30)).max() <= bound + 1e-8


def test_the_tail_at_zero_falls_with_its_end(iceland):
    groups = co.coherent_groups(iceland, 5)
    pair = _Pair(iceland, groups, iceland.project(groups), None, 0.0)
    assert [pair.low_bound(w) < 2e3 * w for w in (1e-4, 1e-5, 1e-6)] == [True] * 3


def test_almost_undamped_networks_keep_their_digits_at_low_frequency():
    """T and P T_k P' are both 1e10 there, their difference is not: against 50 digits."""
    rng = np.random.default_rng(0)
    m = 10 ** rng.uniform(-1, 1, 4)
    network = co.Network(co.swing(inertia=m, damping=1e-8 * m * rng.uniform(0.1, 2, 4)), 30 * (4 * np.eye(4) - 1), "1/s")
    one = co.Partition.of(["a"] * 4, labels=network.labels)
    whole = network.project(one)
    found = co.certified_error(network, one, whole, band=(0, 0.1))
    assert found.omega > 0.09
    for w in (3e-6, 1e-3, 0.1):
        with mp.workdps(50):
            t, g = (exact_transfer_matrix(net, mp.mpc(0, w))[0] for net in (network, whole))
            gap = t - g[0, 0] * mp.ones(4)
            exact = [max(mp.svd_c(x, compute_uv=False)) for x in (gap, t)]
        assert co.relative_errors(network, one, whole, [w])[0] == pytest.approx(float(exact[0] / exact[1]), rel=1e-8)
    assert co.reduce(network, band=(0, 0.1), tolerance=1e-3).network.size == 1


def test_equal_networks_have_no_error(iceland):
    alone = co.Partition.of(iceland.labels, labels=iceland.labels)
    assert co.certified_error(iceland, alone, iceland.project(alone), band=(0, HZ)).upper <= 1e-4


def test_groups_of_proportional_nodes_move_by_their_center_of_inertia():
    """Homogeneous damping: the center of inertia of the whole network is the aggregate, exactly, where its nodes are not."""
    rng = np.random.default_rng(3)
    m = rng.uniform(1, 5, 6)
    network = co.Network(co.swing(inertia=m, damping=0.3 * m), random_laplacian(rng, 6), "1/s")
    one = co.Partition.of(["all"] * 6, labels=network.labels)
    whole = network.project(one)
    assert co.certified_error(network, one, whole, band=(0, 3), outputs="groups").upper <= 1e-4
    assert co.certified_error(network, one, whole, band=(0, 3)).lower > 0.1


# --- bounds that no model goes below ---


def partitions(n, k):
    """All of them, as assignments with groups numbered by first node."""
    for a in itertools.product(range(k), repeat=n):
        first = [a.index(g) for g in range(k) if g in a]
        if len(first) == k and first == sorted(first):
            yield np.array(a)


@given(networks(least=4, most=5, couplings=("1/s",), degrees=(1,)), st.integers(0, 2**32 - 1))
def test_no_model_of_any_groups_goes_below_the_least_errors(network, seed):
    """All groupings, each with its quotient and with the k x k matrix nearest to T."""
    rng = np.random.default_rng(seed)
    samples = Samples(network, np.sort(rng.uniform(0.1, 3, 6)))
    floor = least_errors(samples)
    search = GroupSearch(samples)
    assert (np.diff(floor) <= 1e-12).all()
    assert floor[-1] == 0
    for k in range(1, network.size + 1):
        best, quotient = np.inf, np.inf
        for a in partitions(network.size, k):
            p = co.Partition.of([str(g) for g in a], labels=network.labels)
            own = samples.floors(p).max()
            q = p.indicator / np.sqrt(p.sizes)
            nearest = q @ (q.T @ samples.u @ q) @ q.T
            error = np.linalg.norm(samples.u - nearest, 2, axis=(1, 2)) / samples.size
            assert floor[k - 1] <= own * (1 + 1e-9) <= error.max() * (1 + 1e-8) + 1e-12
            assert own <= samples.quotient_errors(p).max() * (1 + 1e-9) + 1e-12
            best, quotient = min(best, own), min(quotient, samples.quotient_errors(p).max())
        found = search.at(k)
        assert min(samples.floors(p).max() for p in found) >= best * (1 - 1e-9) - 1e-12
        assert min(samples.quotient_errors(p).max() for p in found) <= max(2.0 * quotient, 1e-9)
    for tolerance in (0.5, 0.1, 0.01):
        assert least_groups(samples, tolerance) == next(k for k in range(1, network.size + 1) if floor[k - 1] <= tolerance)


def test_the_search_finds_the_best_groups_of_small_networks():
    """Exhaustively: how often the best of all groupings is found, by quotient and by floor."""
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(12):
        network = co.Network(random_nodes(rng, 7, degrees=(1,)), random_laplacian(rng, 7), "1/s")
        samples = Samples(network, np.linspace(0.1, 2, 8))
        search = GroupSearch(samples)
        for k in (2, 3, 4):
            every = [co.Partition.of([str(g) for g in a], labels=network.labels) for a in partitions(7, k)]
            for measure in (samples.quotient_errors, samples.floors):
                best = min(measure(p).max() for p in every)
                hits.append(min(measure(p).max() for p in search.at(k)) <= best * (1 + 1e-9))
    assert np.mean(hits) >= 0.6


def test_the_least_error_of_given_groups_is_attained_by_some_matrix():
    """Parrott: at one frequency there is a k x k matrix with that error, here found by bisection on a two-node network."""
    rng = np.random.default_rng(5)
    network = co.Network(random_nodes(rng, 4, degrees=(1,)), random_laplacian(rng, 4), "1/s")
    one = co.Partition.of(["all"] * 4, labels=network.labels)
    samples = Samples(network, np.array([0.7]))
    q = np.full((4, 1), 0.5)
    around = (q.T @ samples.u[0] @ q).item()
    steps = [around + 2 * abs(around) * r * np.exp(1j * a) for r in np.linspace(0, 1, 81) for a in np.linspace(0, HZ, 73)]
    best = min(np.linalg.norm(samples.u[0] - x * (q @ q.T), 2) for x in steps) / samples.size[0]
    floor = samples.floors(one)[0]
    assert floor <= best <= 1.01 * floor


# --- orders ---


def test_the_cost_of_one_order_is_the_change_it_makes(iceland):
    """Of rank one: T_k moves by -t delta t' / (1 + delta T_ii)."""
    groups = co.coherent_groups(iceland, 4)
    samples = Samples(iceland, np.linspace(0.2, 5, 9))
    reduced = iceland.project(groups)
    search = OrderSearch(NodeModels(samples, co.Band(0, 5)), groups, reduced)
    p = groups.indicator
    for i, rows in enumerate(search.choices):
        assert next(iter(rows)) == reduced.nodes.orders[i]
        assert list(rows) == sorted(rows, reverse=True)
        assert [row[0] for row in rows.values()] == sorted(row[0] for row in rows.values())
        for r, (cost, node, zeta) in rows.items():
            assert node.orders[0] == r
            assert node.inertia[0] > 0
            assert node.damping[0] >= min(0, reduced.nodes.damping[i])
            other = samples.inverses(reduced)
            before = samples.model(other, reduced.dense_laplacian)
            other[:, i] = zeta
            moved = p @ (samples.model(other, reduced.dense_laplacian) - before) @ p.T
            assert (np.linalg.norm(moved, 2, axis=(1, 2)) / samples.size).max() == pytest.approx(cost, rel=1e-7, abs=1e-12)


def test_orders_are_as_low_as_one_more_step_allows(iceland):
    groups = co.coherent_groups(iceland, 3)
    samples = Samples(iceland, np.linspace(0.05, 1, 20))
    search = OrderSearch(NodeModels(samples, co.Band(0, 1)), groups, iceland.project(groups))
    for slack in (0.003, 0.007, 0.02, 0.04, 0.1):
        tolerance = samples.quotient_errors(groups).max() + slack
        picked = search.lowest(tolerance)
        assert search.meets(picked, tolerance)
        assert sum(picked) < iceland.project(groups).nodes.order / 2
        for i, rows in enumerate(search.choices):
            for r in rows:
                if r < picked[i]:
                    lower = max(x for x in rows if x < picked[i])
                    assert not search.meets([*picked[:i], lower, *picked[i + 1 :]], tolerance)


def test_a_turbine_that_does_nothing_is_left_out():
    """Its lower orders cost exactly nothing."""
    network = co.Network(
        co.swing_turbine(inertia=[1, 2, 3], damping=0.1, inverse_droop=1e-17, time_constant=2.0), 5 * (3 * np.eye(3) - 1), "1/s"
    )
    assert co.reduce(network, band=(0, 1), tolerance=0.01, groups=3).orders.tolist() == [1, 1, 1]


# --- reduce ---


def test_five_fitted_groups_hold_iceland_to_ten_per_cent_below_half_a_hertz(iceland):
    """Where the quotient of any groups found takes more."""
    found = co.reduce(iceland, band=(0, HZ / 2), tolerance=0.1)
    assert found.interconnection == "fitted"
    assert found.network.size <= 6
    assert found.network.order <= 23
    assert found.error.upper <= 0.1


@given(
    networks(least=3, most=6, couplings=("1/s", "1"), degrees=(1,)), st.integers(0, 2**32 - 1), st.sampled_from(["nodes", "groups"])
)
def test_floors_are_those_of_the_definition(network, seed, outputs):
    rng = np.random.default_rng(seed)
    samples = Samples(network, np.sort(rng.uniform(0.1, 3, 5)), outputs=outputs)
    p = groups_of(rng, network)
    q = p.indicator / np.sqrt(p.sizes)
    outside = np.eye(network.size) - q @ q.T
    m = network.nodes.inertia
    pc = np.eye(network.size) if outputs == "nodes" else p.indicator @ np.diag(1 / (p.indicator.T @ m)) @ p.indicator.T @ np.diag(m)
    for i, w in enumerate(samples.omega):
        t = np.linalg.inv(network.inverse_transfer_matrix([1j * w])[0])
        floor = np.linalg.norm(pc @ t @ outside, 2) / np.linalg.norm(t, 2)
        assert samples.floors(p)[i] == pytest.approx(floor, rel=1e-7, abs=1e-10)
        error = dense_errors(network, p, network.project(p), [w], outputs=outputs)[0]
        assert samples.quotient_errors(p)[i] == pytest.approx(error, rel=1e-7, abs=1e-10)


@given(st.integers(0, 2**32 - 1))
def test_the_reciprocal_of_the_coupling_is_bounded_over_intervals(seed):
    """Couplings with zeros: second derivative, size and slope of 1/f, against scans."""
    rng = np.random.default_rng(seed)
    zeros = [[1.0, rng.uniform(0.1, 3)], [1.0, rng.uniform(0.05, 1), rng.uniform(0.2, 4)]][rng.integers(2)]
    f = co.Rational.of((zeros, [1.0, rng.uniform(0.1, 2), 0.0]))
    network = co.Network(co.swing(inertia=[1, 2], damping=1), [[1, -1], [-1, 1]], f)
    side = LiftedResponse(network, np.ones(2), 0.0)
    w = rng.uniform(0.2, 3, 3)
    r = w * rng.uniform(0.01, 0.8, 3)
    value, slope, *bounds = side._reciprocal(w, r)
    second, top, steep = (np.nan_to_num(x, nan=np.inf, posinf=np.inf) for x in bounds)
    num, den = np.poly1d(f.num), np.poly1d(f.den)
    first = lambda s: (den.deriv()(s) * num(s) - den(s) * num.deriv()(s)) / num(s) ** 2  # noqa: E731
    assert value == pytest.approx(den(1j * w) / num(1j * w), rel=1e-12)
    assert slope == pytest.approx(first(1j * w), rel=1e-12)
    for x in np.linspace(-1, 1, 41):
        s = 1j * (w + x * r)
        assert (np.abs(den(s) / num(s)) <= top * (1 + 1e-9)).all()
        assert (np.abs(first(s)) <= steep * (1 + 1e-9)).all()
        assert (np.abs(first(s + 1e-6j) - first(s - 1e-6j)) / 2e-6 <= second * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    ("tolerance", "outputs", "least", "nodes", "states"),
    [
        (0.1, "nodes", 8, (9, 12), 45),
        (0.03, "nodes", 23, (23, 25), 100),
        (0.01, "nodes", 34, (34, 35), 150),
        (0.03, "groups", 1, (1, 1), 8),  # the center of inertia of the whole grid
    ],
)
def test_iceland_is_reduced_to_ten_three_and_one_per_cent_below_one_hertz(iceland, tolerance, outputs, least, nodes, states):
    """Certified, and checked against a dense evaluation that shares nothing with the certificate."""
    found = co.reduce(iceland, band=(0, HZ), tolerance=tolerance, outputs=outputs)
    assert found.error.upper <= tolerance
    w = np.linspace(1e-3, HZ, 3000)
    exact = dense_errors(iceland, found.partition, found.network, w, outputs=outputs)
    assert exact.max() <= found.error.upper
    assert exact.max() >= 0.95 * found.error.lower
    assert found.network.poles().real.max() < 0
    assert found.least_groups == least
    assert nodes[0] <= found.network.size <= nodes[1]
    assert found.network.order <= states
    step = found.ledger
    whole = co.Network(iceland.project(found.partition).nodes, found.network.laplacian, iceland.coupling)
    middle = dense_errors(iceland, found.partition, whole, w[::30], outputs=outputs).max()
    assert 0.9 * step["error, lower"].iloc[1] <= middle <= step["error, upper"].iloc[1]
    assert step["error, lower"].iloc[0] <= step["error, upper"].iloc[1] * (1 + 1e-9)
    assert step["states"].tolist() == sorted(step["states"], reverse=True)
    assert step["error, upper"].iloc[2] == found.error.upper


@pytest.mark.parametrize("tolerance", [0.1, 0.03, 0.01])
def test_no_two_of_the_sixteen_machines_are_one_below_one_hertz(tolerance):
    """Undamped, so on Re s = 0.1; every model of 15 groups has a larger error, and that is proved."""
    network = co.linearize(co.load_case("nets_nyps68"), convention="classical")
    found = co.reduce(network, band=(0, HZ), tolerance=tolerance, decay=0.1)
    assert found.least_groups == found.network.size == 16
    with pytest.raises(InputError, match="undamped mode at 2"):
        co.reduce(network, band=(0, HZ), tolerance=tolerance)


def test_the_sixteen_machines_are_fewer_over_a_lower_band():
    network = co.linearize(co.load_case("nets_nyps68"), convention="classical")
    found = co.reduce(network, band=(0, 2.0), tolerance=0.3, decay=0.3)
    assert found.error.upper <= 0.3
    assert found.network.size < 16
    w = np.linspace(0, 2, 2000)
    assert dense_errors(network, found.partition, found.network, w, decay=0.3).max() <= found.error.upper


@given(networks(least=3, most=6, couplings=("1/s",), degrees=(1,), passive=True), st.sampled_from([0.3, 0.05]))
def test_what_is_returned_meets_the_tolerance_over_the_band(network, tolerance):
    found = co.reduce(network, band=(0, 1.5), tolerance=tolerance)
    w = np.linspace(1e-3, 1.5, 500)
    assert dense_errors(network, found.partition, found.network, w).max() <= found.error.upper <= tolerance
    assert found.least_groups <= found.network.size
    assert found.network.order <= network.order
    assert found.network.poles().real.max() < 1e-9


def test_the_same_seed_gives_the_same_model():
    rng = np.random.default_rng(8)
    network = co.Network(random_nodes(rng, 9, degrees=(1,)), 3 * random_laplacian(rng, 9), "1/s")
    one, other = (co.reduce(network, band=(0, 2), tolerance=0.1, random_state=3) for _ in range(2))
    assert (one.partition.assignment == other.partition.assignment).all()
    assert (one.network.dense_laplacian == other.network.dense_laplacian).all()
    assert one.error.upper == other.error.upper


def test_given_groups_are_kept_and_what_they_reach_is_said(iceland):
    groups = co.coherent_groups(iceland, 5)
    with pytest.raises(ToleranceError, match=r"5 groups with all their states reach .* takes at least 8"):
        co.reduce(iceland, band=(0, HZ), tolerance=0.1, groups=groups)
    with pytest.raises(ToleranceError, match="5 groups"):
        co.reduce(iceland, band=(0, HZ), tolerance=0.1, groups=5)
    found = co.reduce(iceland, band=(0, 0.5), tolerance=0.2, groups=groups)
    assert (found.partition.assignment == groups.assignment).all()
    assert found.error.upper <= 0.2
    assert found.network.order < iceland.project(groups).order
    assert co.reduce(iceland, band=(0, 0.5), tolerance=0.2, groups=4).network.size == 4


def test_errors_by_groups_stand_in_order(iceland):
    found = co.errors_by_groups(iceland, band=(0, HZ), groups=[1, 3, 5])
    assert (found["any groups"] <= found["these groups"] * (1 + 1e-9)).all()
    assert (found["these groups"] <= found["fitted"] * (1 + 1e-9)).all()
    assert (found["fitted"] <= found["quotient"]).all()
    assert found.loc[5, "fitted"] < 0.5 * found.loc[5, "quotient"]


def test_bad_input_gets_one_sentence(iceland):
    groups = co.coherent_groups(iceland, 3)
    small = iceland.project(groups)
    for change, error, words in (
        ({"band": (1, 0)}, InputError, "band from 1 to 0"),
        ({"band": 3}, InputError, "give \\(low, high\\)"),
        ({"band": (0, np.inf)}, InputError, "band"),
        ({"tolerance": 0}, InputError, "tolerance"),
        ({"tolerance": 2}, InputError, "tolerance"),
        ({"tolerance": "1%"}, InputError, "tolerance"),
        ({"groups": 0}, InputError, "groups is 0"),
        ({"groups": 36}, InputError, "groups is 36"),
        ({"groups": 2.5}, InputError, "groups is 2.5"),
        ({"groups": {"a": [1]}}, InputError, "see Partition.from_groups"),
        ({"random_state": -1}, InputError, "random_state = -1"),
        ({"decay": "x"}, InputError, "decay = 'x'"),
        ({"outputs": "areas"}, InputError, "outputs = 'areas'"),
        ({"decay": -1}, InputError, "decay = -1"),
        ({"groups": co.Partition.of(["a", "b"], labels=["x", "y"])}, InputError, "other nodes"),
    ):
        with pytest.raises(error, match=words):
            co.reduce(iceland, **({"band": (0, 1), "tolerance": 0.1} | change))
    for args, words in (
        ((iceland, groups, iceland), "35 nodes, the partition 3 groups"),
        ((iceland, groups, co.Network(small.nodes, small.laplacian, "1")), "must agree"),
        ((small, groups, small), "other nodes"),
        ((iceland, {"a": ["b"]}, small), "the partition is a dict; build one with Partition.of"),
    ):
        with pytest.raises(InputError, match=words):
            co.certified_error(*args, band=(0, 1))
    for change, words in (
        ({"gap": 0}, "gap = 0"),
        ({"gap": "x"}, "gap = 'x'"),
        ({"floor": 0}, "floor = 0"),
        ({"most": None}, "most = None"),
        ({"decay": np.nan}, "decay"),
    ):
        with pytest.raises(InputError, match=words):
            co.certified_error(iceland, groups, small, band=(0, 1), **change)
    for omega, words in (([0.0], "not > 0"), ([-1.0], "not > 0"), (["a"], "give real numbers")):
        with pytest.raises(InputError, match=words):
            co.relative_errors(iceland, groups, small, omega)
    assert co.relative_errors(iceland, groups, small, []).shape == (0,)
    with pytest.raises(InputError, match="groups contains 40"):
        co.errors_by_groups(iceland, band=(0, 1), groups=40)
    with pytest.raises(ToleranceError, match="lies in"):
        co.certified_error(iceland, groups, small, band=(0, 1), gap=1e-3, most=30)


def test_groups_without_inertia_have_no_center_of_it():
    rng = np.random.default_rng(0)
    nodes = concatenate([random_nodes(rng, 1, degrees=(d,)).renamed([f"n{i}"]) for i, d in enumerate((1, 0, 1))])
    network = co.Network(nodes, random_laplacian(rng, 3), "1/s")
    groups = co.Partition.of(["a", "b", "a"], labels=network.labels)
    with pytest.raises(InputError, match="group 'b' has none"):
        output_map(network, groups, "groups")


def test_groups_that_leave_the_network_unstable_are_refused():
    """Nodes that are not passive: the network is stable, its quotient is not."""
    rng = np.random.default_rng(297)
    nodes = random_nodes(rng, 4, degrees=(1,))
    network = co.Network(nodes, 10 ** rng.uniform(-1, 1.5) * random_laplacian(rng, 4), "1/s")
    groups = co.Partition.of(["a", "a", "b", "b"], labels=network.labels)
    assert network.poles().real.max() < 0 < network.project(groups).poles().real.max()
    with pytest.raises(ToleranceError, match="leave the network unstable"):
        co.reduce(network, band=(0, 1), tolerance=0.9, groups=groups)
