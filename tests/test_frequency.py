"""Coherence over frequency: fast norms, bounds, certified suprema, passivity, nodes known by their response."""

from functools import partial

import control
import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import coherence as co
from coherence.nodes.enclosures import enclosure
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.deviation import Deviation
from coherence.numerics.norms import hinf_norm
from coherence.numerics.realization import Realization, without_hidden
from coherence.numerics.spectral import symmetric_norm
from coherence.theory.deviations import deviation_norms, spectral_norms, uniform_distances
from coherence.theory.passivity import passivity_indices
from coherence.theory.supremum import _Search
from tests.draws import COUPLINGS, exact_transfer_matrix, networks, norm2, random_laplacian, random_nodes

OMEGA = np.array([1e-9, 1e-4, 0.03, 0.7, 4.0, 60.0, 1e3])
SEEDS = st.integers(0, 2**32 - 1)


def parts(network, s):
    return network.nodes.inverse(s), network.coupling.numerator(s), network.coupling.denominator(s)


def fast_norms(network, s, directions=None, *, sparse=False):
    laplacian = sp.csr_array(network.laplacian) if sparse else network.laplacian
    return Deviation(laplacian, directions).norms(*parts(network, s))


# --- norms by products --------------------------------------------------------------------------------------------


@given(networks(least=2, most=12, couplings=("1", "1/s", ([1.0, 2.0], [1.0, 1.0, 0.0]))))
def test_norms_by_products_are_those_of_the_eliminated_matrix(network):
    s = 1j * OMEGA
    want = norm2(network.deviation(s))
    for sparse in (False, True):
        assert fast_norms(network, s, sparse=sparse) == pytest.approx(want, rel=1e-7)


@given(networks(least=2, most=8, couplings=("1/s",)), st.sampled_from(OMEGA.tolist()))
def test_norms_by_products_match_50_digit_arithmetic(network, omega):
    with mp.workdps(50):
        t, z = exact_transfer_matrix(network, mp.mpc(0, omega))
        mean = 1 / mp.fsum(z)
        exact = np.array([[complex(t[i, j] - mean) for j in range(t.cols)] for i in range(t.rows)])
    want = np.linalg.norm(exact, 2)
    assert fast_norms(network, np.array([1j * omega]))[0] == pytest.approx(want, rel=1e-8)
    columns = Deviation(network.laplacian).columns(*parts(network, np.array([1j * omega])), np.arange(network.size))[0]
    assert np.abs(columns - exact).max() <= 1e-10 * want


@given(st.integers(13, 60), SEEDS)
def test_larger_norms_by_products_are_those_of_the_eliminated_matrix(n, seed):
    rng = np.random.default_rng(seed)
    network = co.Network(random_nodes(rng, n), 10.0 ** rng.uniform(-1, 2) * random_laplacian(rng, n, 0.2), "1/s")
    s = 1j * OMEGA
    assert fast_norms(network, s) == pytest.approx(norm2(network.deviation(s)), rel=1e-8)
    k = int(rng.integers(2, 5))
    directions = network.eigenvectors[:, 1:k]
    assert fast_norms(network, s, directions, sparse=True) == pytest.approx(norm2(co.modal_error(network, s, k)), rel=1e-7)
    partition = co.Partition.of(rng.permutation(np.arange(n) % k), labels=network.labels)
    indicator = partition.indicator[:, 1:]
    assert fast_norms(network, s, indicator) == pytest.approx(norm2(co.group_error(network, s, partition)), rel=1e-7)


def test_a_norm_that_a_neighbouring_frequency_does_not_know_is_found(iceland):
    """Narrow resonances: the leading vector of one frequency is orthogonal to that of the next."""
    s = 1j * np.concatenate([np.logspace(-3, 3, 200), np.abs(iceland.poles().imag[iceland.poles().imag > 0])])
    assert fast_norms(iceland, s) == pytest.approx(norm2(iceland.deviation(s)), rel=1e-8)


def test_large_networks_take_products_and_small_ones_the_matrix():
    rng = np.random.default_rng(3)
    network = co.Network(random_nodes(rng, 130, passive=True), random_laplacian(rng, 130, 0.05), "1/s")
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), "1/s")
    w = np.logspace(-2, 1, 5)
    slow = spectral_norms(lambda s: network.deviation(s), 1j * w, 130)
    for one in (network, sparse):
        curve = co.incoherence(one, w)
        assert curve.exact == pytest.approx(slow, rel=1e-8)
        for bound in curve.bounds.values():
            assert (bound.value >= curve.exact * (1 - 1e-9)).all()
    partition = co.spectral_groups(network, 4)
    refined = co.aggregate(network, partition).network
    for reduced in (None, refined):
        slow = spectral_norms(lambda s, r=reduced: co.group_error(network, s, partition, r), 1j * w, 130)
        assert co.incoherence(sparse, w, partition=partition, reduced=reduced).exact == pytest.approx(slow, rel=1e-7)
    slow = spectral_norms(lambda s: co.modal_error(network, s, 3), 1j * w, 130)
    assert co.incoherence(sparse, w, k=3).exact == pytest.approx(slow, rel=1e-7)


def test_the_norm_of_nothing_is_zero_and_a_stubborn_operator_is_an_error():
    assert symmetric_norm(lambda x: 0.0 * x, np.ones(5, dtype=complex)).value == 0.0
    values = 1.0 + 1e-3 * np.linspace(0, 1, 4000)
    random = np.random.default_rng(0).standard_normal(4000) + 0j
    assert symmetric_norm(lambda x: values[:, None] * x, random).value == pytest.approx(1.001, rel=1e-8)
    with pytest.raises(co.ToleranceError, match=r"estimated error .* after 20 products"):
        symmetric_norm(lambda x: values[:, None] * x, random, most=20)


def test_hundreds_of_products_keep_the_basis_orthogonal():
    """A lattice above all its modes, where singular values crowd: against all of them, and never above."""
    network = lattice_of_machines(900, seed=3)
    s = 1j * np.array([30.0, 100.0])
    want = norm2(co.Network(network.nodes, network.laplacian.toarray(), "1/s").deviation(s))
    operator = Deviation(network.laplacian).at(*(x[1] for x in parts(network, s))).apply
    start = np.random.default_rng(0).standard_normal(900) + 0j
    found = symmetric_norm(operator, start, least=300, tolerance=1e-15)
    assert found.products >= 300
    assert found.value == pytest.approx(want[1], rel=1e-12)
    assert deviation_norms(network, s) == pytest.approx(want, rel=1e-8)


@pytest.mark.parametrize(("graph", "damping"), [(partial(co.ring_graph, 400), 0.05), (partial(co.lattice_graph, 400), 0.3)])
def test_branches_that_cross_are_not_followed_beyond_the_crossing(graph, damping):
    """Equal nodes: ||E|| = max_k 1/|z + f lambda_k|, whose branches cross hundreds of times over this band."""
    laplacian = graph(weight=stats.uniform(0.5, 1.5), random_state=1)
    network = co.Network(co.swing(inertia=np.ones(400), damping=damping), laplacian, "1/s")
    s = 1j * np.geomspace(0.1, 5, 500)
    values = np.linalg.eigvalsh(laplacian.toarray())[1:]
    want = (1 / np.abs(s[:, None] + damping + values / s[:, None])).max(axis=1)
    assert deviation_norms(network, s) == pytest.approx(want, rel=2e-8)


def test_incoherence_of_many_sparse_nodes_does_no_dense_work():
    network = co.Network(co.swing(inertia=np.linspace(1, 2, 6000), damping=0.2), co.ring_graph(6000, neighbours=2), "1/s")
    curve = co.incoherence(network, [0.001, 3.0])
    assert curve.effective_connectivity[0] == pytest.approx(1000 * network.algebraic_connectivity)
    assert all((bound.value >= curve.exact * (1 - 1e-7)).all() for bound in curve.bounds.values())


def test_crowded_singular_values_of_a_dense_network_are_all_computed():
    """A complete graph with nearly equal weights: 149 singular values within 1e-4 of each other."""
    rng = np.random.default_rng(5)
    a = np.triu(rng.uniform(1, 1.001, (150, 150)), 1)
    nodes = co.swing(inertia=rng.uniform(0.5, 2, 150), damping=0.1)
    network = co.Network(nodes, np.diag((a + a.T).sum(axis=1)) - a - a.T, "1/s")
    s = 1j * np.geomspace(1e-3, 1, 4)
    assert deviation_norms(network, s) == pytest.approx(norm2(network.deviation(s)), rel=1e-8)


def test_columns_are_those_of_the_matrix_and_named(iceland):
    w = [0.0, 0.1, 1.0, 8.0]
    found = co.column_incoherence(iceland, w, ["Blanda 1", "Krafla 2"])
    dense = iceland.deviation(1j * np.array(w))
    picked = [iceland.index("Blanda 1"), iceland.index("Krafla 2")]
    assert np.abs(found.columns - dense[:, :, picked]).max() <= 1e-10 * np.abs(dense).max()
    assert found.norms["Krafla 2"].to_numpy() == pytest.approx(np.linalg.norm(dense[:, :, picked[1]], axis=1), rel=1e-9)
    assert found.nodes("Blanda 1").loc[1.0, "Andakill"] == pytest.approx(
        abs(dense[2, iceland.index("Andakill"), picked[0]]), rel=1e-9
    )
    assert (found.norms.loc[0.0] == 0).all()
    with pytest.raises(co.UnknownNameError, match="there is no input 'Laxa'"):
        found.nodes("Laxa")
    with pytest.raises(co.UnknownNameError, match="there is no node 'Lax'"):
        co.column_incoherence(iceland, [1.0], ["Lax"])


def test_an_adaptive_grid_resolves_every_peak_that_its_modes_announce(iceland):
    grid = co.frequency_grid(iceland, 1e-2, 300.0)
    assert (np.diff(grid) > 0).all()
    modes = np.abs(iceland.poles().imag)
    modes = modes[(modes > 1e-2) & (modes < 300)]
    assert np.isin(modes, grid).all()
    between = np.sqrt(grid[:-1] * grid[1:])
    value, middle = np.log(deviation_norms(iceland, 1j * grid)), np.log(deviation_norms(iceland, 1j * between))
    missed = np.abs(middle - 0.5 * (value[1:] + value[:-1]))
    assert np.quantile(missed, 0.99) < 0.1
    for bad in ((0.0, 1.0), (2.0, 1.0), (1.0, np.inf)):
        with pytest.raises(co.InputError, match="is none; give 0 < low < high"):
            co.frequency_grid(iceland, *bad)


# --- bounds -------------------------------------------------------------------------------------------------------


def check_bounds(network, s, k, partition):
    exact = norm2(co.modal_error(network, s, k))
    slack = 1 + 1e-9
    hull, source = co.hull_bound(network, s, k=k), co.source_bound(network, s, k=k)
    bounds = [
        hull,
        source,
        co.hull_bound(network, s, k=k, a_priori=True),
        co.passive_bound(network, s, k=k),
        co.disc_bound(network, s, k=k),
        co.disc_bound(network, s, k=k, over="segment"),
        co.disc_bound(network, s, k=k, over="degree"),
    ]
    for bound in bounds:
        assert (exact <= bound.value * slack).all(), bound.theorem
        assert np.isinf(bound.value[~bound.holds]).all()
    assert (hull.value <= source.value * (1 + 1e-4)).all()
    quotient = co.hull_bound(network, s, partition=partition)
    assert (norm2(co.group_error(network, s, partition)) <= quotient.value * slack).all()


@given(networks(least=3, most=10, couplings=COUPLINGS), SEEDS)
def test_no_bound_is_ever_violated(network, seed):
    rng = np.random.default_rng(seed)
    s = 10.0 ** rng.uniform(-4, 2, 6) * np.exp(1j * rng.choice([0.5, 0.5, 0.4, 0.2, 0.0], 6) * np.pi)
    k = int(rng.integers(1, 3))
    values = network.eigenvalues
    if k > 1 and values[k] - values[k - 1] <= 1e-6 * values[k]:
        k = 1
    groups = rng.permutation(np.arange(network.size) % 2)
    check_bounds(network, s, k, co.Partition.of(groups, labels=network.labels))


@pytest.mark.slow
def test_no_bound_is_ever_violated_in_ten_thousand_networks():
    rng = np.random.default_rng(20240501)
    drawn = 0
    while drawn < 10_000:
        n = int(rng.integers(3, 11))
        coupling = COUPLINGS[rng.integers(len(COUPLINGS))]
        network = co.Network(
            random_nodes(rng, n, passive=bool(rng.integers(2))), 10.0 ** rng.uniform(-1, 2) * random_laplacian(rng, n), coupling
        )
        k = int(rng.integers(1, 3))
        if k > 1 and network.eigenvalues[k] - network.eigenvalues[k - 1] <= 1e-6 * network.eigenvalues[k]:
            continue
        s = 10.0 ** rng.uniform(-4, 2, 3) * np.exp(1j * rng.choice([0.5, 0.5, 0.3, 0.0], 3) * np.pi)
        check_bounds(network, s, k, co.Partition.of(rng.permutation(np.arange(n) % 2), labels=network.labels))
        drawn += 1


@given(st.integers(2, 12), SEEDS)
def test_the_disc_bound_over_the_eigenvalues_is_exact_for_equal_nodes(n, seed):
    rng = np.random.default_rng(seed)
    nodes = co.swing_turbine(inertia=np.full(n, 0.7), damping=0.2, inverse_droop=0.9, time_constant=3.0)
    network = co.Network(nodes, rng.uniform(0.1, 50) * random_laplacian(rng, n), "1/s")
    s = 1j * np.logspace(-3, 2, 7)
    assert co.disc_bound(network, s).value == pytest.approx(norm2(network.deviation(s)), rel=1e-10)


@given(networks(least=2, most=10, passive=True, couplings=("1", "1/s", ([1.0, 1.0], [1.0, 0.3]))))
def test_the_passive_bound_is_never_silent_for_passive_nodes(network):
    s = 1j * np.logspace(-3, 3, 9)
    assert co.passive_bound(network, s).holds.all()


def test_bounds_hold_where_weights_are_negative():
    """A Laplacian with positive off-diagonals, as refined networks have: lambda_n is above twice the largest degree."""
    u, v, t = np.array([1, 1, -1, -1]) / 2, np.array([1, -1, 0, 0]) / 2**0.5, np.array([0, 0, 1, -1]) / 2**0.5
    laplacian = 10 * np.outer(u, u) + 0.5 * np.outer(v, v) + 0.5 * np.outer(t, t)
    assert 2 * laplacian.diagonal().max() < 10
    nodes = co.swing(inertia=[1, 1.1, 1, 0.9], damping=0.05)
    s = 1j * np.geomspace(0.01, 20, 300)
    for form in (laplacian, sp.csr_array(laplacian)):
        network = co.Network(nodes, form, "1/s")
        exact = norm2(network.deviation(s))
        for bound in (
            co.hull_bound(network, s),
            co.hull_bound(network, s, a_priori=True),
            co.disc_bound(network, s, over="segment"),
            co.disc_bound(network, s, over="degree"),
            co.source_bound(network, s),
        ):
            assert (exact <= bound.value * (1 + 1e-9)).all(), bound.theorem
    stiff = co.Network(
        co.swing_turbine(inertia=np.ones(4), damping=0.001, inverse_droop=1.0, time_constant=3.0),
        10 * np.outer(u, u) + 1e-6 * np.outer(v, v) + np.outer(t, t),
        "1/s",
    )
    peak = deviation_norms(stiff, 1j * np.linspace(3.0, 3.3, 3000)).max()
    assert co.supremum(stiff, gap=0.01).upper >= peak


def test_median_tightness_of_each_bound():
    """The table of the documentation: median of bound over exact on 400 networks of 3 to 12 nodes, where the bound speaks."""
    rng = np.random.default_rng(1)
    found = {}
    for _ in range(400):
        n = int(rng.integers(3, 13))
        network = co.Network(random_nodes(rng, n, passive=True), rng.uniform(0.5, 30) * random_laplacian(rng, n), "1/s")
        s = 1j * 10.0 ** rng.uniform(-3, 2, 4)
        exact = norm2(network.deviation(s))
        for name, bound in (
            ("source", co.source_bound(network, s)),
            ("hull", co.hull_bound(network, s)),
            ("passive", co.passive_bound(network, s)),
            ("disc", co.disc_bound(network, s)),
        ):
            found.setdefault(name, []).extend((bound.value / exact)[bound.holds])
    median = {name: float(np.median(values)) for name, values in found.items()}
    assert median == pytest.approx({"source": 8.35, "hull": 1.32, "passive": 1.41, "disc": 1.68}, rel=0.02)


# --- limits -------------------------------------------------------------------------------------------------------


def test_the_deviation_falls_as_the_connectivity_grows():
    """Theorem 3.1: at fixed s it falls like 1/lambda_2, and so do the bounds."""
    rng = np.random.default_rng(5)
    nodes, laplacian = random_nodes(rng, 8, passive=True), random_laplacian(rng, 8)
    s = np.array([0.5j, 3j])
    values = np.array([norm2(co.Network(nodes, scale * laplacian, "1/s").deviation(s)) for scale in (1e2, 1e4, 1e6, 1e8)])
    assert values[1:] / values[:-1] == pytest.approx(np.full((3, 2), 1e-2), rel=0.2)


def test_the_deviation_falls_towards_a_pole_of_the_coupling():
    """Theorem 3.2: f = 1/s at s -> 0, and f = 1/(s^2 + 1) at s -> j."""
    rng = np.random.default_rng(6)
    nodes, laplacian = random_nodes(rng, 8, passive=True), random_laplacian(rng, 8)
    for coupling, pole in (("1/s", 0j), (([1.0], [1.0, 0.0, 1.0]), 1j)):
        s = pole + 1j * np.array([1e-2, 1e-4, 1e-6])
        values = norm2(co.Network(nodes, laplacian, coupling).deviation(s))
        assert values[1:] / values[:-1] == pytest.approx([1e-2, 1e-2], rel=0.1)


# --- the certified supremum ---------------------------------------------------------------------------------------


def difference_system(network):
    """T - g_hat 11' as a state space, by realisations."""
    full = network.realization
    one = co.coherent_dynamics(network).realization
    n = network.size
    a = np.block([[full.a, np.zeros((full.order, one.order))], [np.zeros((one.order, full.order)), one.a]])
    ones = np.ones((1, n))
    return Realization(a, np.vstack([full.b, one.b @ ones]), np.hstack([full.c, -ones.T @ one.c]), full.d - one.d * np.ones((n, n)))


@given(networks(least=2, most=6, passive=True, couplings=("1/s", "1", ([1.0, 1.0], [1.0, 0.3]))))
def test_the_supremum_holds_the_h_infinity_norm(network):
    found = co.supremum(network, gap=0.02)
    norm = hinf_norm(difference_system(network))
    assert found.lower <= norm.upper * (1 + 1e-6)
    assert norm.lower <= found.upper * (1 + 1e-6)
    assert found.upper <= 1.02 * found.lower


@given(networks(least=2, most=5, passive=True, couplings=("1/s", "1")))
@settings(max_examples=30)
def test_the_supremum_holds_the_level_set_norm_of_slycot(network):
    """SLICOT's AB13DD, another's implementation, to 1e-8."""
    slycot = pytest.importorskip("slycot")
    system = without_hidden(difference_system(network))
    n, m, p = system.order, network.size, network.size
    peak, _ = slycot.ab13dd("C", "I", "N", "D", n, m, p, system.a, np.eye(n), system.b, system.c, system.d, 1e-8)
    found = co.supremum(network, gap=0.01)
    assert found.lower <= peak * (1 + 1e-6)
    assert peak <= found.upper * (1 + 1e-6)


def lattice_of_machines(n, seed=0):
    rng = np.random.default_rng(seed)
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.5, 2, n),
        damping=rng.uniform(0.1, 0.3, n),
        inverse_droop=rng.uniform(0.5, 1.5, n),
        time_constant=rng.uniform(1, 5, n),
    )
    return co.Network(nodes, co.lattice_graph(n, weight=stats.uniform(0.5, 1.5), random_state=rng), "1/s")


@pytest.mark.parametrize(("n", "gap"), [(100, 0.01), (1024, 0.1)])
def test_the_supremum_of_larger_networks_is_certified(n, gap):
    network = lattice_of_machines(n)
    found = co.supremum(network, gap=gap)
    assert found.upper <= (1 + gap) * found.lower
    grid = deviation_norms(network, 1j * np.geomspace(1e-3, 1e2, 500)).max()
    assert 0.9 * found.lower < grid < found.lower


@given(networks(least=2, most=8, couplings=("1/s", "1"), degrees=(0, 1)), st.floats(-2, 1), st.floats(0.1, 2))
def test_no_sample_of_the_band_is_above_the_supremum(network, start, decades):
    low, high = 10.0**start, 10.0 ** (start + decades)
    try:
        found = co.supremum(network, low, high, gap=0.05, most=4000)
    except co.ToleranceError:  # a pole close to the band
        return
    samples = norm2(network.deviation(1j * np.geomspace(low, high, 2000)))
    assert samples.max() <= found.upper * (1 + 1e-9)
    assert found.lower <= found.upper <= 1.05 * found.lower * (1 + 1e-12)


def test_the_supremum_of_iceland_is_certified_where_a_grid_misses_it(iceland):
    found = co.supremum(iceland, gap=1e-3)
    assert found.upper <= 1.001 * found.lower
    assert found.omega == pytest.approx(162.07, abs=0.01)
    grid = co.incoherence(iceland, np.geomspace(1e-3, 1e3, 500)).exact.max()
    assert grid < 0.3 * found.lower
    assert co.supremum(iceland, 0.0, 1.0, gap=0.01).upper < found.lower / 100


WEIGHTED = ("1/s", ([1.0, 2.0], [1.0, 1.0, 0.0]), ([1.0, 0.5], [1.0, 0.2]))


@given(SEEDS, st.sampled_from(WEIGHTED), st.floats(-2, 1), st.floats(0.02, 0.7))
@settings(max_examples=300)
def test_the_bound_between_two_evaluations_holds_in_between(seed, coupling, decade, width):
    """The differential inequality on wide intervals, against dense samples."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    network = co.Network(random_nodes(rng, n, passive=True), 10.0 ** rng.uniform(-1, 2) * random_laplacian(rng, n), coupling)
    left = 10.0**decade
    right = left * (1 + width)
    search = _Search(network, left, right, 0.1, 100)
    w = np.linspace(left, right, 400)
    e = deviation_norms(network, 1j * w)
    upper = search._bound(np.array([left]), np.array([right]), e[:1], e[-1:])[0]
    assert e.max() <= upper * (1 + 1e-9)
    alpha, beta = (rate[0] for rate in search._rates(np.array([left]), np.array([right])))
    z, slope, _ = enclosure(network.nodes, w, np.zeros_like(w))  # what the rates must cover, at every sample
    phi = search._logarithmic_slope(1j * w, w, w)[0]
    assert beta >= np.abs(slope - phi[:, None] * z).max() * (1 - 1e-12)
    kappa = (z.conj() * slope).sum(axis=1) / (np.abs(z) ** 2).sum(axis=1)
    uniform = 2 * np.sqrt(n) * np.linalg.norm(slope - kappa[:, None] * z, axis=1) / np.abs(z.sum(axis=1))
    assert alpha >= (np.abs(phi) + uniform).max() * (1 - 1e-12)
    if np.isfinite(alpha):
        steepest = np.abs(np.diff(e)) / np.diff(w)
        higher = np.maximum(e[1:], e[:-1])
        assert (steepest <= (alpha * higher + beta * higher**2) * (1 + 1e-3) + 1e-9 * higher / (right - left)).all()


def test_the_rates_of_the_inequality_are_attained():
    """Where f alone drives E (low frequencies, e = c w), and where one node of a pair does."""
    pair = co.Network(co.swing(inertia=[1.0, 1.0], damping=1.0), [[50.0, -50], [-50, 50]], "1/s")
    left, right = np.array([1e-3]), np.array([1.001e-3])
    e = deviation_norms(pair, 1j * np.concatenate([left, right]))
    alpha, beta = _Search(pair, 1e-4, 1e-2, 0.1, 100)._rates(left, right)
    slope = (e[1] - e[0]) / (right - left)
    assert slope <= alpha * e[1] + beta * e[1] ** 2
    assert slope >= 0.99 * (alpha * e[0] + beta * e[0] ** 2)


@given(networks(least=2, most=6, passive=True, couplings=WEIGHTED[:2]))
def test_the_tails_of_a_band_hold_and_are_not_idle(network):
    search = _Search(network, 0.0, np.inf, 0.1, 100)
    below = deviation_norms(network, 1j * np.geomspace(1e-4, 1, 50) * search.w[0]).max()
    beyond = deviation_norms(network, 1j * np.geomspace(1, 1e4, 50) * search.w[-1]).max()
    assert below <= search._low_tail()
    assert beyond <= search._high_tail()
    search.w = search.w[search.w > 0] * 1e-3  # far below every dynamics both ends must still hold, or be infinite
    assert deviation_norms(network, 1j * np.geomspace(1e-4, 1, 50) * search.w[0]).max() <= search._low_tail()
    search.w = search.w * 1e6
    assert deviation_norms(network, 1j * np.geomspace(1, 1e4, 50) * search.w[-1]).max() <= search._high_tail()


def test_the_tails_are_their_formulas_for_two_swings():
    """Swings m s + d: M2 = max |d + m w|-like constants, M1 and the far bound by hand."""
    network = co.Network(co.swing(inertia=[1.0, 3.0], damping=[0.5, 0.7]), [[2.0, -2], [-2, 2]], "1/s")
    search = _Search(network, 0.0, np.inf, 0.1, 100)
    search.w = np.array([1e-2, 1e3])
    m2 = abs(0.7 + 0.015j) + 0.5e-2 * 3.0
    m1 = 2 / (abs(1.2 + 0.02j) - 0.5e-2 * 4.0)
    assert search._low_tail() == pytest.approx((m1 * m2 + 1) ** 2 / (4.0 / 1e-2 - m2 - m1 * m2**2), rel=1e-9)
    assert search._high_tail() == pytest.approx(1 / (1e3 - 0.7 - 4 / 1e3) + 2 / (4e3 - 1.2), rel=1e-3)


def test_the_supremum_of_two_machines_in_closed_form():
    """m1 = m2, d1 = d2: E = (1/2)[1 -1; -1 1] s/(m s^2 + d s + 2k), largest at w^2 = 2k/m with value 1/d."""
    network = co.Network(co.swing(inertia=[0.5, 0.5], damping=0.02), [[3, -3], [-3, 3]], "1/s")
    found = co.supremum(network, gap=1e-4)
    assert found.lower <= 50.0 * (1 + 1e-6) <= found.upper * (1 + 2e-6)
    assert found.omega == pytest.approx(np.sqrt(12.0), rel=1e-3)


def test_suprema_refuse_what_they_cannot_certify(iceland):
    undamped = co.Network(co.swing(inertia=[1, 1], damping=0), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises((co.ToleranceError, co.PoleError)):
        co.supremum(undamped, 0.5, 3.0, most=3000)
    with pytest.raises(co.InputError, match="is none; give 0 <= low < high"):
        co.supremum(iceland, 2.0, 1.0)
    with pytest.raises(co.InputError, match="gap = 0"):
        co.supremum(iceland, gap=0.0)
    static = co.Network(Nodes(("1", "2"), np.array([[1.0, 2.0]])), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises(co.InputError, match="has no inertia term m s, which the tail at infinity needs"):
        co.supremum(static)
    given_by_values = co.Network(iceland.nodes, iceland.laplacian, lambda s: 1 / s)
    with pytest.raises(co.InputError, match="rational coupling"):
        co.supremum(given_by_values)


@given(SEEDS)
def test_enclosures_hold_every_sample(seed):
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, 5)
    middle, radius = 10.0 ** rng.uniform(-2, 2, 4), 10.0 ** rng.uniform(-3, -0.5, 4)
    z, slope, bend = enclosure(nodes, middle, radius)
    for t in np.linspace(-1, 1, 9):
        step = t * radius
        value = nodes.inverse(1j * (middle + step))
        taylor = z + slope * (1j * step)[:, None]
        known = np.where(np.isfinite(bend), bend, 0.0)
        inside = np.abs(value - taylor) <= 0.5 * known * (step**2)[:, None] * (1 + 1e-9) + 1e-12 * np.abs(z)
        assert (inside | np.isinf(bend)).all()
    assert np.isfinite(bend).any()


@given(networks(least=2, most=6, passive=True, couplings=("1/s",)), st.floats(-2, 1), st.floats(0.01, 0.6))
def test_the_supremum_of_a_narrow_band_is_taken_within_it(network, decade, width):
    low = 10.0**decade
    found = co.supremum(network, low, low * (1 + width), gap=0.02)
    inside = deviation_norms(network, 1j * np.linspace(low, low * (1 + width), 200)).max()
    assert low <= found.omega <= low * (1 + width)
    assert inside * (1 - 1e-9) <= found.upper
    assert found.lower <= inside * 1.02


def test_distances_at_a_pole_of_f_are_those_of_the_coherent_motion():
    nodes = co.swing(inertia=np.linspace(1, 2, 120), damping=0.5)
    network = co.Network(nodes, co.ring_graph(120), ([1.0, 0.0], [1.0, 0.0, 1.0]))
    motion = np.zeros(2, dtype=complex)
    found = uniform_distances(network, np.array([1j, 1.0000001j]), motion)
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0] == pytest.approx(120 / abs(nodes.inverse(1j).sum()), rel=1e-9)


def test_a_band_or_frequency_at_a_pole_is_named_with_its_owner():
    pair = [[1.0, -1], [-1, 1]]
    oscillating = co.Network(co.swing(inertia=[1, 1], damping=1), pair, ([1.0], [1.0, 0.0, 4.0]))
    with pytest.raises(co.PoleError, match=r"band 1 to 3 rad/s contains the pole 2j of the coupling f; take bands beside it"):
        co.supremum(oscillating, 1.0, 3.0)
    assert co.supremum(oscillating, 2.5, 3.0).lower > 0
    notch = co.from_systems({"a": control.tf([1, 0, 4], [1, 1, 5, 1]), "b": control.tf([1], [1, 1])})
    network = co.Network(notch, pair, "1/s")
    with pytest.raises(co.PoleError, match="contains the pole 2j of the inverse dynamics of node 'a'"):
        co.supremum(network)
    washout = co.Network(co.swing(inertia=[1, 3], damping=[1, 2]), pair, ([1.0, 0.0], [1.0, 1.0]))
    with pytest.raises(co.PoleError, match="contains the zero 0 of the coupling f"):
        co.supremum(washout)
    assert co.supremum(washout, 0.01).lower > 0
    undamped = co.Network(co.swing(inertia=[1, 3], damping=0), pair, "1/s")
    with pytest.raises(co.PoleError, match=r"has a pole at 0 \(no damping and no droop\)"):
        co.supremum(undamped, 0.0, 0.1)
    with pytest.raises(co.InputError, match="gap = 1e-08"):
        co.supremum(washout, 0.01, gap=1e-8)
    with pytest.raises(co.PoleError, match=r"s = 0\+2j is a pole of the inverse dynamics of node 'a'"):
        co.incoherence(network, [1.0, 2.0, 3.0])


# --- passivity ----------------------------------------------------------------------------------------------------


@given(networks(least=2, most=8, passive=True, couplings=("1/s",)))
def test_the_index_is_the_least_real_part_on_the_axis(network):
    found = co.passivity(network).nodes
    w = np.concatenate([[0.0], np.logspace(-4, 5, 4000)])
    sampled = network.nodes.inverse(1j * w).real.min(axis=0)
    assert (found["index"] <= sampled * (1 + 1e-9) + 1e-12).all()
    for label, index, at in zip(found.index, found["index"], found["at_rad_s"], strict=True):
        if np.isfinite(at):
            assert network.nodes.inverse(1j * at)[0, network.index(label)].real == pytest.approx(index, rel=1e-8, abs=1e-10)
    assert np.abs(found["index"] - sampled).max() < 2e-3


@given(networks(least=2, most=6, passive=True, couplings=("1/s", "1", ([1.0, 1.0], [1.0, 0.3]))), st.floats(0.01, 100))
def test_gamma_bounds_the_h_infinity_norm_for_every_laplacian(network, scale):
    found = co.passivity(network)
    if not np.isfinite(found.gamma):
        return
    scaled = co.Network(network.nodes, scale * network.laplacian, network.coupling)
    assert hinf_norm(scaled.realization).upper <= found.gamma * (1 + 1e-6)


def lags(*, m=1.0, d=0.3, r=0.8, a=2.0, b=0.5):
    section = Realization(
        np.array([[-1 / a, 0.0], [1 / b, -1 / b]]), np.array([[1 / a], [0.0]]), np.array([[0.0, r]]), np.zeros((1, 1))
    )
    return Nodes(("x",), np.array([[d], [m]]), make_banks([(0, section)]))


def test_the_index_of_a_swing_with_lags_in_closed_form():
    one = co.swing_turbine(inertia=[1.0], damping=[0.4], inverse_droop=[0.9], time_constant=[2.0])
    row = co.passivity(co.Network(one, np.zeros((1, 1)), "1/s")).nodes.iloc[0]
    assert (row["index"], row["at_rad_s"]) == (pytest.approx(0.4, abs=1e-9), np.inf)
    a, b, r, d = 2.0, 0.5, 0.8, 0.3
    sigma = (a + b) / np.sqrt(a * b)
    row = co.passivity(co.Network(lags(), np.zeros((1, 1)), "1/s")).nodes.iloc[0]
    assert row["index"] == pytest.approx(d - r / (sigma * (sigma + 2)), rel=1e-10)
    assert row["at_rad_s"] == pytest.approx(np.sqrt((1 + sigma) / (a * b)), rel=1e-3)


def test_what_is_not_passive_is_said_so(iceland):
    found = co.passivity(iceland)
    assert np.isinf(found.gamma)
    assert found.nodes.loc["Hrauneyjafoss 1", "index"] == pytest.approx(-0.01422, abs=1e-5)
    assert "stable by its poles" in found.stability
    assert "passivity gives no guarantee" in found.stability
    falling = co.Network(Nodes(("x",), np.array([[1.0], [-1.0]])), np.zeros((1, 1)), "1/s")
    assert not co.passivity(falling).nodes["passive"].any()
    steep = co.Network(Nodes(("x",), np.array([[1.0], [1.0], [1.0]])), np.zeros((1, 1)), "1/s")
    assert "relative degree above 1" in co.passivity(steep).nodes["reason"].iloc[0]
    unstable = Realization(np.array([[0.5]]), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    inverse_pole = co.Network(Nodes(("x",), np.array([[9.0], [1.0]]), make_banks([(0, unstable)])), np.zeros((1, 1)), "1/s")
    assert co.passivity(inverse_pole).nodes["reason"].iloc[0] == "the inverse has a pole in Re s >= 0"
    swing = co.Network(co.swing(inertia=[1, 1], damping=1), [[1, -1], [-1, 1]], ([1.0], [1.0, 1.0, 1.0]))
    assert co.passivity(swing).coupling_positive_real is False


def resonant_node(w, zeta, c, *, count=1):
    """m = 1, d = .05, a lightly damped section and a fast lag."""
    sections = []
    for i in range(count):
        a = np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]])
        sections.append((i, Realization(a, np.array([[0.0], [1.0]]), np.array([c]), np.zeros((1, 1)))))
        sections.append((i, Realization(np.array([[-100.0]]), np.array([[100.0]]), np.array([[0.5]]), np.zeros((1, 1)))))
    return Nodes(tuple(f"n{i}" for i in range(count)), np.array([[0.05] * count, [1.0] * count]), make_banks(sections))


def test_a_resonance_that_takes_passivity_away_is_seen_beside_a_fast_lag():
    w = 0.79
    nodes = resonant_node(w, 0.0396, [-0.12482, 0.02133], count=2)
    network = co.Network(nodes, 0.5 * w * w * np.array([[1.0, -1], [-1, 1]]), "1/s")
    assert network.poles()[0].real > 0.015
    found = co.passivity(network)
    assert np.isinf(found.gamma)
    assert found.stability.startswith("not stable by its poles")
    alone = co.passivity(co.Network(resonant_node(0.39, 0.0048, [-0.0150579, 0.00195]), [[0.0]], "1/s"))
    assert alone.nodes["index"].iloc[0] == pytest.approx(-4.378537, abs=1e-5)


@given(SEEDS)
@settings(max_examples=150)
def test_no_sample_of_the_real_part_is_below_the_index_of_stiff_and_resonant_nodes(seed):
    rng = np.random.default_rng(seed)
    sections = []
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.5:
            tau = 10.0 ** rng.uniform(-3, 2)
            one = (np.array([[-1 / tau]]), np.array([[1 / tau]]), np.array([[rng.uniform(-0.5, 1)]]))
        else:
            w, zeta = 10.0 ** rng.uniform(-2, 3), 10.0 ** rng.uniform(-3, 0)
            output = np.array([[rng.normal() * w * w * 0.1 * zeta, rng.normal() * w * zeta]])
            one = (np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]]), np.array([[0.0], [1.0]]), output)
        sections.append((0, Realization(*one, np.zeros((1, 1)))))
    nodes = Nodes(("a",), np.array([[0.1], [1.0]]), make_banks(sections))
    poles = np.concatenate([np.linalg.eigvals(bank.a).ravel() for bank in nodes.banks])
    spread = np.tan(np.linspace(-1.57, 1.57, 2001))
    w = np.concatenate([[0.0], np.geomspace(1e-5, 1e6, 5000), *(np.abs(np.abs(p.imag) + abs(p.real) * spread) for p in poles)])
    real = nodes.inverse(1j * w)[:, 0].real
    index = passivity_indices(nodes)["index"].iloc[0]
    size = np.abs(real).max()
    assert index <= min(real.min(), 0.1) + 1e-8 * size
    assert index >= min(real.min(), 0.1) - 1e-4 * size


def test_integral_action_and_passive_buses_take_nothing_from_the_guarantee():
    """g = s/(m s^2 + d s + k): 1/g = m s + d + k/s has index d; a bus without dynamics is eliminated."""
    integral = co.from_systems([control.tf([1, 0], [2, 0.5, 3]), control.tf([1, 0], [1, 0.7, 1])])
    found = co.passivity(co.Network(integral, [[1, -1], [-1, 1]], "1/s"))
    assert found.nodes["index"].tolist() == pytest.approx([0.5, 0.7])
    assert found.gamma == pytest.approx(2.0)
    pulling = Nodes(
        ("a",), np.array([[0.1], [1.0]]), make_banks([(0, Realization(*(np.array([[x]]) for x in (0.0, 1.0, -0.2, 0.0))))])
    )
    assert co.passivity(co.Network(pulling, [[0.0]], "1/s")).nodes["reason"].iloc[0].endswith("negative residue")
    star = co.Network(Nodes(("a", "b", "bus"), np.array([[0.5, 2, 0], [1, 2, 0]])), [[1, 0, -1], [0, 1, -1], [-1, -1, 2]], "1/s")
    assert co.passivity(star).gamma == pytest.approx(2.0)


# --- nodes and couplings known by their values ---------------------------------------------------------------------


def test_nodes_given_by_callables_and_measurements_are_the_rational_ones():
    laplacian = [[3, -1, -2], [-1, 2, -1], [-2, -1, 3]]
    rational = co.Network(co.swing(inertia=[1, 2, 1], damping=[1, 1, 0.5], labels="abc"), laplacian, "1/s")
    measured = control.frd(control.tf([1], [2, 1]), np.logspace(-3, 3, 30_001))
    given_by_values = co.Network(
        co.from_responses({"a": lambda s: 1 / (s + 1), "b": measured, "c": lambda s: 1 / (s + 0.5)}), laplacian, lambda s: 1 / s
    )
    w = np.logspace(-2, 2, 9)
    assert co.incoherence(given_by_values, w).exact == pytest.approx(co.incoherence(rational, w).exact, rel=1e-7)
    assert co.hull_bound(given_by_values, 1j * w).value == pytest.approx(co.hull_bound(rational, 1j * w).value, rel=1e-7)
    pair = given_by_values.subnetwork([0, 1])
    assert pair.deviation(1j).shape == (1, 2, 2)
    groups = co.Partition.of(["x", "x", "y"], labels=given_by_values.labels)
    assert given_by_values.project(groups).nodes.inverse(1j)[0, 0] == pytest.approx(2 + 3j, rel=1e-7)


def test_delays_are_nodes_and_couplings_of_frequency_analysis():
    nodes = co.from_responses({"a": lambda s: np.exp(-0.1 * s) / (s + 1), "b": lambda s: 1 / (2 * s + 1)})
    network = co.Network(nodes, [[2, -2], [-2, 2]], lambda s: np.exp(-0.05 * s) / s)
    s = 1j * np.array([0.3, 5.0])
    y = np.zeros((2, 2, 2), dtype=complex)
    y[:, 0, 0], y[:, 1, 1] = np.exp(0.1 * s) * (s + 1), 2 * s + 1
    y += (np.exp(-0.05 * s) / s)[:, None, None] * network.laplacian
    assert np.allclose(network.transfer_matrix(s), np.linalg.inv(y), rtol=1e-12)
    mixed = co.concatenate([co.swing(inertia=[1], damping=1, labels=["c"]), nodes])
    assert mixed.inverse(1j)[0, 1] == pytest.approx(np.exp(0.1j) * (1 + 1j))
    assert co.frequency_grid(network).size > 60


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: n.poles(), co.InputError, "needs rational nodes; 'a' is known by its frequency response only"),
        (lambda n: co.passivity(n), co.InputError, "needs rational nodes"),
        (lambda n: co.incoherence(n.subnetwork([0]), [0.0]), co.InputError, "a network of one node moves as one"),
        (lambda n: n.coupling.numerator(0.0), co.PoleError, "is a pole of the coupling f"),
        (lambda n: co.incoherence(n, [1e-9, 1.0]), co.InputError, "was measured from 0.001 to 1000 rad/s"),
        (lambda n: n.deviation(1.0 + 1j), co.InputError, "was measured on the imaginary axis"),
        (lambda n: co.from_responses({}), co.InputError, "at least one node"),
        (lambda n: co.from_responses({"a": 3}), co.InputError, "node 'a' is a int"),
        (lambda n: co.from_responses({"a": lambda s: np.ones(7)}).inverse([1j, 2j]), co.InputError, "returned shape"),
        (lambda n: co.from_responses({"a": lambda s: 0 * s}).inverse([1j]), co.PoleError, "is zero at s"),
        (lambda n: co.save_network(n, "x.json"), co.InputError, "saving needs rational nodes"),
        (lambda n: co.incoherence(n, [1.0], reduced=n), co.InputError, "needs the partition it is on"),
        (lambda n: co.disc_bound(n, [1j], over="all"), co.InputError, "over = 'all'"),
    ],
)
def test_what_values_alone_cannot_do_is_one_sentence(call, error, message):
    measured = control.frd(control.tf([1], [2, 1]), np.logspace(-3, 3, 101))
    network = co.Network(co.from_responses({"a": lambda s: 1 / (s + 1), "b": measured}), [[1, -1], [-1, 1]], lambda s: 1 / s)
    with pytest.raises(error, match=message):
        call(network)
