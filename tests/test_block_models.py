"""The weighted stochastic block model: its law and spectrum, certified sizes, recovery of the blocks, errors over draws."""

import itertools
import json
import math
import pickle

import control
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import coherence as co
from coherence import plots
from coherence.ensembles import upper_limit
from coherence.graphs.block_model import chosen_pairs, largest_variance
from coherence.graphs.families import pair_ends
from coherence.groups.recovery import drawn_block_network
from coherence.reduction.refined import refinement
from tests.draws import norm2

Q = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
W = np.array([[20, 0.4, 0.8], [0.4, 20, 0.7], [0.8, 0.7, 20]])
EXAMPLE = co.BlockModel([20, 40, 20], Q, W)  # (3.41)
MACHINES = co.RandomNodes(
    co.swing_turbine,
    inertia=stats.uniform(0.05, 0.1),
    damping=stats.uniform(0.1, 0.2),
    inverse_droop=stats.uniform(0.5, 1),
    time_constant=stats.uniform(1, 4),
)
MACHINES_OF_THE_NOTE = co.NodeConstants(eta=1.0, gamma=1.0, largest=4.0, radius=0.945, least_coupling=1.0)


@st.composite
def block_models(draw, most_blocks=4, most_nodes=9, *, clustered=False):
    k = draw(st.integers(1, most_blocks))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(4 if clustered else 1, most_nodes + 1, k)
    q, w = rng.uniform(0, 1, (k, k)), rng.uniform(0, 3, (k, k))
    if not clustered and rng.random() < 0.5:
        q = np.round(q)
    if clustered:
        w = w * 0.02 + np.eye(k) * rng.uniform(2, 20)
        q = 0.5 + 0.5 * q
    return co.BlockModel(sizes, np.triu(q) + np.triu(q, 1).T, np.triu(w) + np.triu(w, 1).T)


def pairwise(model, matrix):
    """A (k, k) matrix laid out over all pairs of nodes, without the diagonal: the slow, obvious twin."""
    block = [i for i, size in enumerate(model.sizes) for _ in range(size)]
    full = np.array([[matrix[a, b] for b in block] for a in block], dtype=float)
    np.fill_diagonal(full, 0.0)
    return full


def turbines(rng, n):
    inertia, damping, inverse_droop = rng.uniform(0.2, 2, (3, n))
    return co.swing_turbine(inertia=inertia, damping=damping, inverse_droop=inverse_droop, time_constant=rng.uniform(0.3, 8, n))


def laplacian_of(adjacency):
    return np.diag(adjacency.sum(axis=1)) - adjacency


# --- the model -----------------------------------------------------------------------------------------------------


@given(block_models())
def test_spectrum_in_closed_form(model):
    dense = laplacian_of(pairwise(model, model.probabilities * model.weights))
    assert np.abs(model.expected_laplacian - dense).max() <= 1e-13 * (1 + np.abs(dense).max())
    values = np.linalg.eigvalsh(dense)
    assert model.eigenvalues == pytest.approx(values, abs=1e-12 * (1 + values[-1]))
    assert model.slow_values[0] == 0
    table = model.spectrum
    assert table["multiplicity"].sum() == model.n
    listed = np.sort(np.repeat(table["eigenvalue"], table["multiplicity"]))
    assert listed == pytest.approx(values, abs=1e-12 * (1 + values[-1]))
    if model.n == model.k:
        assert model.gap == np.inf
    elif model.gap > 0:
        assert np.diff(values)[model.k - 1] == pytest.approx(model.gap, abs=1e-11 * (1 + values[-1]))


@given(block_models())
def test_block_constant_vectors_are_an_invariant_space(model):
    indicator = np.eye(model.k)[model.assignment]
    small = np.diag(model.mean_weights @ model.sizes) - model.mean_weights * model.sizes
    assert np.abs(model.expected_laplacian @ indicator - indicator @ small).max() <= 1e-11
    assert np.sort(np.linalg.eigvals(small).real) == pytest.approx(model.slow_values, abs=1e-9)


@given(block_models())
def test_the_assumptions_imply_the_gap(model):
    table = model.assumptions()
    by = dict(zip(["3.38", "3.39", "3.75", "3.76"], table.to_numpy().tolist(), strict=True))
    assert by["3.38"][2]
    b, n = model.mean_weights, model.sizes
    outside = max(sum(b[i, j] for j in range(model.k) if j != i) for i in range(model.k))
    delta = min(b[i, i] for i in range(model.k)) - 2 * max(n) / min(n) * outside
    assert by["3.39"][0] == pytest.approx(delta, abs=1e-12)
    assert by["3.39"][2] == (by["3.39"][0] > 0)
    if by["3.39"][2]:
        values = np.linalg.eigvalsh(model.expected_laplacian)
        if model.n > model.k:
            assert values[model.k] - values[model.k - 1] >= delta * min(n) - 1e-10 * (1 + values[-1])
            assert values[model.k] >= b.sum(axis=1).min() * min(n) - 1e-10 * (1 + values[-1])
        assert by["3.75"][2]
        assert by["3.76"][2]


def test_the_assumptions_of_the_example():
    table = EXAMPLE.assumptions()
    assert table["holds"].all()
    assert table["value"].tolist() == pytest.approx([2, 15.4, 323.2, 323.2 - EXAMPLE.slow_values[2]])
    assert table["bound"].tolist() == pytest.approx([2, 0, 20 * 16.11, 308])
    strict = EXAMPLE.assumptions(rho=1.5)
    assert strict["holds"].tolist()[:2] == [False, True]
    assert EXAMPLE.assumptions(rho=100.0)["holds"].tolist()[:2] == [True, False]
    with pytest.raises(co.InputError, match=r"rho = 0\.5"):
        EXAMPLE.assumptions(rho=0.5)


@given(st.integers(0, 3_000_000), st.integers(1, 40))
def test_pairs_are_counted_by_columns(start, count):
    first, second = pair_ends(np.arange(start, start + count))
    assert ((first >= 0) & (first < second)).all()
    assert (second * (second - 1) // 2 + first == np.arange(start, start + count)).all()


def test_far_pairs_keep_their_digits():
    columns = np.concatenate([[10**5, 3 * 10**6, 10**8], np.arange(9 * 10**8, 9 * 10**8 + 2000)])
    for offset in (0, 1, -1):
        number = columns * (columns - 1) // 2 + (offset if offset >= 0 else columns - 1)
        first, second = pair_ends(number)
        assert (second == columns).all()
        assert (first == (offset if offset >= 0 else columns - 1)).all()


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.5, 0.9])
def test_every_set_of_pairs_has_its_probability(probability):
    """The law of independent draws, all of it: each subset of four pairs, 40 000 draws, 5 standard errors."""
    rng, draws = np.random.default_rng(3), 40_000
    seen = np.zeros(16)
    for _ in range(draws):
        seen[int((2 ** chosen_pairs(4, probability, rng)).sum())] += 1
    for subset in range(16):
        size = subset.bit_count()
        p = probability**size * (1 - probability) ** (4 - size)
        assert abs(seen[subset] / draws - p) <= 5 * np.sqrt(p * (1 - p) / draws) + 1e-12


def test_many_pairs_are_binomial_however_often_gaps_are_drawn():
    rng = np.random.default_rng(1)
    for count, probability in ((10**6, 1e-3), (10**6, 0.7), (10**13, 1e-10), (5, 1e-300), (1, 1.0), (0, 0.5), (7, 0.0)):
        chosen = chosen_pairs(count, probability, rng)
        assert (np.diff(chosen) > 0).all()
        assert len(chosen) == 0 or 0 <= chosen[0] <= chosen[-1] < count
        assert abs(len(chosen) - count * probability) <= 5 * np.sqrt(count * probability * (1 - probability))
        if len(chosen) > 500:  # spread evenly, to the end: nothing is cut off
            thirds = np.histogram(chosen, 3, (0, count))[0]
            assert np.abs(thirds - len(chosen) / 3).max() <= 5 * np.sqrt(len(chosen))


def test_drawn_edges_have_their_blocks_probabilities_and_weights():
    model = co.BlockModel([1, 3, 2], [[0.9, 0.2, 0.5], [0.2, 0.6, 1.0], [0.5, 1.0, 0.0]], [[1, 2, 3], [2, 5, 7], [3, 7, 4]])
    draws, seeds = 2000, np.random.default_rng(5).spawn(2000)
    total = np.zeros((6, 6))
    weights = pairwise(model, model.weights)
    for seed in seeds:
        laplacian = model.sample(seed).toarray()
        assert (laplacian == laplacian.T).all()
        assert np.abs(laplacian.sum(axis=1)).max() == 0
        adjacency = np.diag(np.diag(laplacian)) - laplacian
        assert (adjacency[adjacency != 0] == weights[adjacency != 0]).all()
        total += adjacency != 0
    p = pairwise(model, model.probabilities)
    assert (np.abs(total / draws - p) <= 5 * np.sqrt(p * (1 - p) / draws)).all()
    together = np.array([model.sample(seed).toarray() for seed in np.random.default_rng(6).spawn(2000)])
    a, b = together[:, 1, 2] != 0, together[:, 0, 1] != 0  # edges of different pairs of blocks are independent
    assert abs((a & b).mean() - 0.6 * 0.2) <= 5 * np.sqrt(0.12 * 0.88 / draws)


def test_samples_repeat_and_a_block_has_its_own_stream():
    assert (EXAMPLE.sample(3) != EXAMPLE.sample(3)).nnz == 0
    assert (EXAMPLE.sample(3) != EXAMPLE.sample(4)).nnz > 0
    q = Q.copy()
    q[0, 1] = q[1, 0] = 0.5
    ours, theirs = EXAMPLE.sample(3).toarray(), co.BlockModel([20, 40, 20], q, W).sample(3).toarray()
    assert (np.triu(ours, 1)[20:60, 20:60] == np.triu(theirs, 1)[20:60, 20:60]).all()


def test_a_hundred_thousand_nodes_are_drawn_edge_by_edge():
    model = co.BlockModel([25_000, 50_000, 25_000], Q * 1e-4, W)
    laplacian = model.sample(0)
    edges = (laplacian.nnz - model.n) / 2 + (laplacian.diagonal() == 0).sum() / 2
    pairs = np.outer(model.sizes, model.sizes) / 2 - np.diag(model.sizes / 2)
    mean = float((pairs * model.probabilities).sum())
    assert sp.issparse(laplacian)
    assert abs(edges - mean) <= 5 * np.sqrt(mean)
    with pytest.raises(co.InputError, match="`spectrum`"):
        _ = model.expected_laplacian
    assert model.gap > 0


@given(block_models(), st.integers(0, 500))
def test_scaled_models_keep_proportions(model, more):
    n = model.k + more
    sizes = model.scaled(n).sizes
    assert sizes.sum() == n
    assert sizes.min() >= 1
    exact = n * model.sizes / model.n
    if exact.min() >= 1:
        assert np.abs(sizes - exact).max() < 1
    assert (model.scaled(7 * model.n).sizes == 7 * model.sizes).all()
    assert (model.scaled(10**16 * model.n + 1).sizes - 10**16 * model.sizes).sum() == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([2, 2], [[1.2, 0], [0, 1]], np.eye(2)), r"probabilities\[0, 0\] = 1.2; probabilities must be in \[0, 1\]"),
        (([2, 2], [[0.5, -0.1], [-0.1, 1]], np.eye(2)), r"probabilities\[0, 1\] = -0.1"),
        (([2, 2], [[0.5, np.nan], [np.nan, 1]], np.eye(2)), r"probabilities\[0, 1\] = nan"),
        (([2, 2], [[0.5, 0.1], [0.2, 1]], np.eye(2)), "probabilities must be symmetric"),
        (([2, 2], np.eye(2), [[1, -1], [-1, 1]]), r"weights\[0, 1\] = -1; weights must be >= 0"),
        (([2, 2], np.eye(2), [[1, np.inf], [np.inf, 1]]), "weights must be >= 0 and finite"),
        (([2, 2], np.eye(2), [[1, 1], [2, 1]]), "weights must be symmetric"),
        (([2, 2, 2], np.eye(2), np.eye(2)), r"shape \(2, 2\); for 3 blocks give 3 x 3"),
        (([2, 0], np.eye(2), np.eye(2)), "sizes holds 0"),
        (([2, 1.5], np.eye(2), np.eye(2)), "sizes holds 1.5"),
        (([], np.eye(2), np.eye(2)), "one number of nodes for each block"),
        (([True, True], np.eye(2), np.eye(2)), "one number of nodes for each block"),
        (([2, 2], "ab", np.eye(2)), "probabilities is 'ab'"),
    ],
)
def test_bad_models_are_refused_in_one_sentence(arguments, said):
    with pytest.raises(co.InputError, match=said):
        co.BlockModel(*arguments)


def test_one_block_is_a_random_graph():
    model = co.BlockModel([30], [[0.5]], [[2.0]])
    assert model.eigenvalues[1:] == pytest.approx([30.0] * 29)
    found = co.recovery_rates(model, draws=2, n_jobs=1)
    assert (found.frame[["bach_jordan", "pivoted_qr", "slow_coherency"]] == 1).all(axis=None)
    assert co.certified_size(model, MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1).n > 0


# --- the constants of nodes ----------------------------------------------------------------------------------------


def smallest_radius(z):
    """The smallest disc by all circles through two or three points."""
    discs = [(0.5 * (a + b)) for a, b in itertools.combinations(z, 2)]
    for a, b, c in itertools.combinations(z, 3):
        m = np.array([[(b - a).real, (b - a).imag], [(c - a).real, (c - a).imag]])
        if abs(np.linalg.det(m)) > 1e-9:
            x = np.linalg.solve(m, 0.5 * np.array([abs(b - a) ** 2, abs(c - a) ** 2]))
            discs.append(a + x[0] + 1j * x[1])
    return min(np.abs(z - c).max() for c in discs)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 5.0]))
def test_constants_of_nodes_hold_over_the_band_and_are_tight(seed, eta):
    rng = np.random.default_rng(seed)
    nodes = turbines(rng, 5)
    found = co.node_constants(nodes, eta, coupling=([1.0, 2.0], [1.0, 0.5]))
    z = nodes.inverse(1j * np.linspace(0, eta, 301))
    assert np.abs(z).max() <= found.largest <= 1.001 * np.abs(z).max()
    radius = max(smallest_radius(row) for row in z[::20])
    assert radius * (1 - 1e-9) <= found.radius <= 1.02 * max(radius, smallest_radius(z[-1]), *map(smallest_radius, z[1::20]))
    w = np.linspace(0, eta, 2001)
    f = np.abs((1j * w + 2) / (1j * w + 0.5)).min()
    assert found.least_coupling == pytest.approx(f, rel=1e-6)
    assert found.least_coupling <= f * (1 + 1e-12)
    far = nodes.inverse(1j * np.geomspace(1e-3, 1e4, 2000)).real.min()
    assert 1 / found.gamma <= far * (1 + 1e-9)
    assert 1 / found.gamma == pytest.approx(nodes.damping.min(), rel=1e-6)  # turbines add what vanishes at infinity


def test_least_coupling_may_lie_inside_the_band():
    nodes = co.swing(inertia=[1.0], damping=[1.0])
    notch = ([1.0, 0.1, 1.0], [1.0, 2.0, 1.0])
    assert co.node_constants(nodes, 5.0, coupling=notch).least_coupling == pytest.approx(0.05)
    assert co.node_constants(nodes, 0.5, coupling=notch).least_coupling == pytest.approx(abs((0.75 + 0.05j) / (0.75 + 1j)))
    assert co.node_constants(nodes, 4.0).least_coupling == 0.25


def test_constants_of_a_family_are_those_of_its_support():
    found = co.node_constants(MACHINES, 1.0)
    drawn = MACHINES.draw(3000, random_state=0)
    assert found.gamma == pytest.approx(10)
    assert found.largest == pytest.approx(1.8, rel=1e-3)  # at w = 0, a corner: damping .3 + droop 1.5
    assert np.abs(drawn.inverse(1j * np.linspace(0, 1, 30))).max() <= found.largest
    assert co.node_constants(drawn, 1.0).radius <= found.radius
    assert "corners" in found.basis


def test_nothing_is_certified_where_constants_are_missing():
    unbounded = co.RandomNodes(co.swing, inertia=stats.expon(), damping=1.0)
    undamped = co.RandomNodes(co.swing, inertia=stats.uniform(1, 1), damping=0.0)
    damped = co.RandomNodes(co.swing, inertia=stats.uniform(1, 1), damping=1.0)
    lossy = ([1.0, 0.0], [1.0, 0.1, 1.0])
    for nodes, coupling, why in (
        (unbounded, "1/s", "gamma is infinite"),
        (undamped, "1/s", "gamma is infinite"),
        (damped, ([-1.0, 2.0], [1.0, 1.0]), "gamma is infinite"),
        (damped, lossy, "F_l = 0"),
    ):
        found = co.certified_size(EXAMPLE, nodes, 1.0, eps=1.0, delta=0.1, coupling=coupling)
        assert found.n is None
        assert found.printed is None
        assert set(found.reasons) == set(found.frame.index)
        assert all(why in said for said in found.reasons.values())
        assert "none certified" in repr(found)
    resonant = co.from_systems({"1": control.tf([1, 0, 4], [1, 1, 4])})
    assert co.node_constants(resonant, 3.0).largest == np.inf
    assert co.node_constants(resonant, 1.0).largest < 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eta": 0.0}, "eta = 0"),
        ({"eta": np.inf}, "eta = inf"),
        ({"gamma": -1.0}, "gamma = -1"),
        ({"gamma": np.nan}, "gamma = nan"),
        ({"largest": 0.0}, "largest = 0"),
        ({"radius": -0.1}, "radius = -0.1"),
        ({"least_coupling": -1.0}, "least_coupling = -1"),
        ({"gamma": 0.1}, "below 1/gamma = 10"),
    ],
)
def test_bad_constants_are_refused(change, said):
    good = {"eta": 1.0, "gamma": 1.0, "largest": 4.0, "radius": 1.0, "least_coupling": 1.0}
    with pytest.raises(co.InputError, match=said):
        co.NodeConstants(**(good | change))


# --- certified sizes -----------------------------------------------------------------------------------------------


def test_the_example_needs_these_sizes():
    found = co.certified_size(EXAMPLE, MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1, delta_clustering=0.05)
    assert found.frame["n"].tolist() == [2584, 5152, 28360, 246849532]
    assert (found.n, found.printed) == (2584, 246849532)
    assert found.frame.loc["certified", "bound"] <= 1
    assert not found.reasons


def test_the_figures_machines_need_millions_of_nodes():
    found = co.certified_size(EXAMPLE, MACHINES, 1.0, eps=1.0, delta=0.1)
    assert found.n == pytest.approx(4.24e6, rel=0.01)
    assert found.frame.loc["variance by degrees", "n"] == pytest.approx(8.78e6, rel=0.01)
    assert found.printed == pytest.approx(4.65e11, rel=0.01)


@given(block_models())
def test_the_variance_of_the_laplacian_is_twice_that_of_variances(model):
    """E (L - L_blk)^2, pair by pair: (e_i - e_j)(e_i - e_j)' squared is twice itself."""
    sigma = pairwise(model, model.probabilities * (1 - model.probabilities) * model.weights**2)
    total = np.zeros((model.n, model.n))
    for i, j in itertools.combinations(range(model.n), 2):
        edge = np.zeros(model.n)
        edge[i], edge[j] = 1, -1
        total += sigma[i, j] * np.outer(edge, edge) @ np.outer(edge, edge)
    assert 2 * largest_variance(model) == pytest.approx(np.linalg.norm(total, 2), rel=1e-10, abs=1e-12)
    assert np.linalg.norm(total, 2) <= 4 * sigma.sum(axis=1).max() + 1e-12


def bound_of(model, x, delta, *, radius, variance):
    """The certificate at a model's own size, from dense matrices: the slow, obvious twin."""
    n, k = model.n, model.k
    values = np.linalg.eigvalsh(laplacian_of(pairwise(model, model.mean_weights)))
    sigma = pairwise(model, model.weight_variances)
    v = 2 * np.linalg.norm(laplacian_of(sigma), 2) if variance == "exact" else 4 * sigma.sum(axis=1).max()
    uncertain = (model.probabilities > 0) & (model.probabilities < 1)
    top = 2 * max([w * max(q, 1 - q) for w, q in zip(model.weights[uncertain], model.probabilities[uncertain], strict=True)] or [0])
    low, high = 0.0, 1e12  # t by bisection of Bernstein's tail
    for _ in range(200):
        t = 0.5 * (low + high)
        tail = 2 * n * math.exp(-t * t / 2 / (v + top * t / 3)) if t > 0 and v + top * t > 0 else (0.0 if t > 0 else 2.0 * n)
        low, high = (t, high) if tail > delta else (low, t)
    t = high
    star, gap = values[k], values[k] - values[k - 1]
    if gap <= 2 * t or x.least_coupling * (star - t) <= x.largest + x.gamma * radius**2:
        return np.inf
    angle = math.asin(t / (gap - t))
    first = (1 + x.gamma**2 * radius**2) / (x.least_coupling * (star - t) - x.largest - x.gamma * radius**2)
    return first + 2 * (x.gamma + x.gamma**2 * radius) * 2 * math.sin(angle / 2)


@given(block_models(3, 6, clustered=True), st.sampled_from([(1.0, 3.0, 0.4), (0.5, 2.0, 0.0), (2.0, 1.0, 1.0)]))
def test_the_size_is_the_least_that_the_theorem_allows(model, nodes):
    gamma, largest, radius = nodes
    x = co.NodeConstants(1.0, gamma, largest, radius, 2.0)
    q = 1 - 0.002 * (1 - model.probabilities)  # nearly certain edges: sizes small enough for dense matrices
    if model.k % 2 == 0:
        np.fill_diagonal(q, 1.0)  # what is certain does not deviate, however heavy
    unit = model.sizes // math.gcd(*model.sizes.tolist())
    model = co.BlockModel(unit, q, model.weights)
    found = co.certified_size(model, x, eps=4.0, delta=0.3, delta_clustering=0.1)
    for form, r, variance in (
        ("certified", radius, "exact"),
        ("variance by degrees", radius, "D"),
        ("and M in place of r", largest, "D"),
    ):
        n = found.frame.loc[form, "n"]
        if n is None or n > 100:
            continue
        at = model.scaled(n)
        assert (at.sizes % unit == 0).all()
        value = bound_of(at, x, 0.2, radius=r, variance=variance)
        assert found.frame.loc[form, "bound"] == pytest.approx(value, rel=1e-6)
        assert value <= 4.0
        for more in (1, 2):
            assert bound_of(co.BlockModel(at.sizes + more * unit, q, model.weights), x, 0.2, radius=r, variance=variance) <= 4.0
        less = at.sizes - unit
        if less.min() >= 2:
            assert bound_of(co.BlockModel(less, q, model.weights), x, 0.2, radius=r, variance=variance) > 4.0


def test_some_sizes_are_small_enough_for_the_twin():
    model = co.BlockModel([1, 2], [[0.999, 0.99], [0.99, 0.999]], [[5, 0.1], [0.1, 5]])
    found = co.certified_size(model, co.NodeConstants(1.0, 1.0, 2.0, 0.1, 1.0), eps=1.0, delta=0.3, delta_clustering=0.1)
    assert found.n < 150


@pytest.mark.parametrize("sizes", [[20, 40, 20], [3, 3, 5]])
def test_printed_constants_as_printed(sizes):
    model = co.BlockModel(sizes, Q, W)
    gamma, m, f, eps, delta = 0.7, 3.0, 0.8, 0.5, 0.2
    found = co.certified_size(model, co.NodeConstants(1.0, gamma, m, 0.5, f), eps=eps, delta=delta)

    def conditions(n):
        mine = np.array(sizes) * n / sum(sizes)
        b, k = Q * W, 3
        squares = (Q * W * W).sum(axis=1).max()
        spread = 8 * math.sqrt(k * mine.max() * squares * math.log(24 * n / delta))
        c = math.log(24 / delta) / math.log(n)
        rho = max(sizes) / min(sizes)
        difference = np.diag(b).min() - 2 * rho * (b.sum(axis=1) - np.diag(b)).max()
        return (
            k * mine.min() * squares >= 16 * (c + 1) * math.log(n)
            and b.sum(axis=1).min() * mine.min() - spread >= (2 / eps * (gamma * m + 1) ** 2 + m + gamma * m**2) / f
            and eps / (8 * math.sqrt(k) * (gamma + gamma**2 * m)) * difference * mine.min() >= spread
        )

    unit = sum(sizes) // math.gcd(*sizes)
    assert found.printed % unit == 0
    assert conditions(found.printed)
    assert not conditions(found.printed - unit)


def test_blocks_without_a_gap_certify_nothing():
    flat = co.BlockModel([10, 10], [[0.5, 0.5], [0.5, 0.5]], np.ones((2, 2)))
    found = co.certified_size(flat, MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1)
    assert found.n is None
    assert "no gap" in found.reasons["certified"]
    assert "(3.39) fails" in found.reasons["as printed"]
    # (3.39) is sufficient only: here it fails and a size is certified all the same
    uneven = co.BlockModel([10, 40], [[0.9, 0.2], [0.2, 0.9]], np.ones((2, 2)))
    found = co.certified_size(uneven, MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1)
    assert found.n is not None
    assert found.printed is None
    tiny = co.certified_size(EXAMPLE, MACHINES_OF_THE_NOTE, eps=1e-9, delta=0.1)
    assert tiny.n is None
    assert "more than" in tiny.reasons["certified"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eps": 0.0}, "eps = 0.0"),
        ({"eps": np.nan}, "eps = nan"),
        ({"delta": 1.0}, "delta = 1.0"),
        ({"delta": 0.0}, "delta = 0.0"),
        ({"delta": True}, "delta = True"),
        ({"delta_clustering": 0.1}, "below delta = 0.1"),
        ({"delta_clustering": -0.1}, "delta_clustering = -0.1"),
        ({"eta": 2.0}, "leave eta out"),
        ({"model": 3}, "give a BlockModel"),
        ({"nodes": MACHINES}, "eta is missing"),
        ({"nodes": MACHINES, "eta": -1.0}, "eta = -1"),
        ({"nodes": 3, "eta": 1.0}, "give RandomNodes or Nodes"),
        ({"nodes": MACHINES, "eta": 1.0, "coupling": lambda s: np.exp(-s) / s}, "rational coupling"),
    ],
)
def test_bad_requests_of_a_size_are_refused(change, said):
    good = {"model": EXAMPLE, "nodes": MACHINES_OF_THE_NOTE, "eps": 1.0, "delta": 0.1}
    with pytest.raises(co.InputError, match=said):
        co.certified_size(**(good | change))


def test_bernsteins_deviation_holds_and_is_within_ten_of_the_draws():
    norms = [np.linalg.norm(EXAMPLE.sample(seed).toarray() - EXAMPLE.expected_laplacian, 2) for seed in range(100)]
    v, top = 2 * largest_variance(EXAMPLE), 2 * 20 * 0.8
    level = math.log(2 * 80 / 0.05)
    t = top * level / 3 + math.sqrt((top * level / 3) ** 2 + 2 * v * level)
    assert 2 * 80 * math.exp(-t * t / 2 / (v + top * t / 3)) == pytest.approx(0.05)
    assert max(norms) <= t <= 10 * np.median(norms)


@given(block_models(3, 12, clustered=True), st.integers(0, 2**32 - 1))
def test_each_step_of_the_theorem_holds_with_the_deviation_drawn(model, seed):
    """Weyl, the sine of the angle, the refinement's distance and the whole bound, with ||L - L_blk|| as drawn in place of t."""
    model = co.BlockModel(model.sizes, 1 - 0.3 * (1 - model.probabilities), model.weights)
    rng = np.random.default_rng(seed)
    nodes = turbines(rng, model.n)
    network = co.Network(nodes, model.sample(rng).toarray(), "1/s")
    t = np.linalg.norm(network.laplacian - model.expected_laplacian, 2)
    k, star, gap = model.k, model.within_values.min(), model.gap
    if network.algebraic_connectivity == 0 or gap <= 2 * t:
        return
    assert network.eigenvalues[k] >= star - t - 1e-9
    partition = model.partition(network.labels)
    v = network.eigenvectors[:, :k]
    basis = partition.indicator / np.sqrt(partition.sizes)
    sine = math.sqrt(max(0.0, 1 - np.linalg.svd(basis.T @ v, compute_uv=False)[-1] ** 2))
    assert sine <= t / (gap - t) + 1e-7
    s, _ = refinement(v, partition)
    distance = np.linalg.norm(partition.indicator @ s - v, 2)
    assert distance == pytest.approx(2 * math.sin(0.5 * math.asin(min(sine, 1.0))), abs=1e-7)
    x = co.node_constants(nodes, 1.0)
    room = x.least_coupling * (star - t) - x.largest - x.gamma * x.radius**2
    if room <= 0:
        return
    w = np.array([0.1, 0.5, 1.0])
    inverse = co.aggregate(network, partition).network
    error = norm2(co.group_error(network, 1j * w, partition, inverse)).max()
    bound = (1 + x.gamma**2 * x.radius**2) / room + 4 * (x.gamma + x.gamma**2 * x.radius) * math.sin(0.5 * math.asin(t / (gap - t)))
    assert error <= bound * (1 + 1e-9) + 1e-12


# --- draws ---------------------------------------------------------------------------------------------------------


def test_the_figures_blocks_are_found_in_every_draw_by_every_method():
    found = co.recovery_rates(EXAMPLE, draws=4, nodes=MACHINES, n_jobs=1)
    assert found.frame.shape == (1, 10)
    assert (found.frame == 1).all(axis=None)
    assert (found.rand == 1).all(axis=None)


def test_recovery_is_counted_draw_by_draw():
    model = co.BlockModel([1, 2, 1], np.full((3, 3), 0.1) + 0.4 * np.eye(3), np.ones((3, 3)))
    methods = ["bach_jordan", "pivoted_qr", "tight_coherency"]
    found = co.recovery_rates(model, [60, 24], methods, draws=10, random_state=4, n_jobs=1)
    assert found.frame.index.tolist() == [24, 60]
    for i, n in enumerate((24, 60)):
        planted = model.scaled(n).assignment
        right, apart = dict.fromkeys(methods, 0), 0
        for seed in np.random.default_rng(4).spawn(20)[10 * i : 10 * i + 10]:
            network = drawn_block_network(model.scaled(n), None, seed)
            if network is None:
                apart += 1
                continue
            for method in methods:
                groups = co.coherent_groups(network, 3, method=method).assignment
                same = groups[:, None] == groups
                right[method] += bool((same == (planted[:, None] == planted)).all())
        assert found.disconnected[n] == apart
        assert (found.ungrouped.loc[n] == apart).all()
        assert found.frame.loc[n].to_dict() == {method: count / 10 for method, count in right.items()}
    assert 0 < found.frame.loc[60, "bach_jordan"] < 1
    assert ((found.rand > 0) & (found.rand < 1)).loc[24].all()
    again = co.recovery_rates(model, [60, 24], methods, draws=10, random_state=4, n_jobs=2)
    assert (again.frame == found.frame).all(axis=None)
    assert (again.rand == found.rand).all(axis=None)


def test_blocks_of_any_order_count_as_recovered():
    model = co.BlockModel([4, 9, 5], 1 - 0.2 * (1 - np.eye(3)), [[1, 0.1, 0.1], [0.1, 9, 0.1], [0.1, 0.1, 3]])
    assert (co.recovery_rates(model, draws=4, n_jobs=1, methods=["pivoted_qr", "bach_jordan"]).frame == 1).all(axis=None)


def test_draws_that_fall_apart_or_have_no_groups_count_as_not_recovered():
    apart = co.BlockModel([5, 5], np.eye(2), np.ones((2, 2)))
    found = co.recovery_rates(apart, [10], ["bach_jordan"], draws=3, n_jobs=1)
    assert found.disconnected.tolist() == [3]
    assert found.frame.loc[10, "bach_jordan"] == found.rand.loc[10, "bach_jordan"] == 0
    assert "3 of 3 at n = 10" in found.text()
    ties = co.BlockModel([5, 5], np.ones((2, 2)), np.ones((2, 2)))
    found = co.recovery_rates(ties, [10], "bach_jordan", draws=2, n_jobs=1)
    assert found.disconnected.tolist() == [0]
    assert found.ungrouped.loc[10, "bach_jordan"] == 2
    errors = co.block_errors(apart, MACHINES, 1.0, draws=2, n_jobs=1, disturbance=co.Step({"1": 1.0}))
    assert not errors.frame["connected"].any()
    assert errors.frame["error refined"].isna().all()
    assert (errors.failures(1e9)["share"] == 1).all()
    assert errors.tables == {}
    tied = co.block_errors(ties, MACHINES, 1.0, draws=1, n_jobs=1)
    assert tied.frame["connected"].all()
    assert tied.recovered == 0


def test_errors_of_a_draw_are_those_of_its_network():
    model, w = EXAMPLE.scaled(20), np.array([0.3, 1.0, 8.0])
    step, time = co.Step({"2": 1.0}), np.linspace(0, 2, 401)
    found = co.block_errors(model, MACHINES, w, draws=3, random_state=1, disturbance=step, time=time, n_jobs=1)
    assert found.frame["recovered"].all()
    for i, seed in enumerate(np.random.default_rng(1).spawn(3)):
        network = drawn_block_network(model, MACHINES, seed)
        blocks = model.partition(network.labels)
        full = co.simulate(network, step, time)
        for name, curve in (("refined", found.refined), ("quotient", found.quotient)):
            small = co.aggregate(network, blocks, interconnection=name).network
            lifted = blocks.indicator @ small.transfer_matrix(1j * w) @ blocks.indicator.T
            assert curve[i] == pytest.approx(norm2(network.transfer_matrix(1j * w) - lifted), rel=1e-6)
            assert found.frame[f"error {name}"][i] == curve[i].max()
            response = co.simulate(small, step.grouped(blocks), time).frame.to_numpy()
            off = np.abs(full.frame.to_numpy() - response @ blocks.indicator.T).max()
            assert off <= found.frame[f"response error {name}"][i] <= off * 1.01 + 1e-9
            weights = blocks.indicator * network.nodes.inertia[:, None]
            centre = np.abs(full.frame.to_numpy() @ (weights / weights.sum(axis=0)) - response).max()
            assert centre <= found.frame[f"centre error {name}"][i] <= centre * 1.01 + 1e-9
        assert found.frame["response"][i] == np.abs(full.frame.to_numpy()).max()
    assert (found.refined != found.quotient).any()


def test_the_shares_of_failures_are_counted():
    found = co.block_errors(EXAMPLE.scaled(12), MACHINES, [0.5, 1.0, 9.0], draws=60, random_state=2, n_jobs=1)
    eps = float(np.nanmedian(found.refined[:, 1]))
    table = found.failures(eps, 1.0)
    worse = ~(found.refined[:, :2].max(axis=1) <= eps)
    missed = ~found.frame["recovered"].to_numpy()
    assert missed.any()
    assert not missed.all()
    assert table.loc["error > eps, refined", "share"] == worse.mean()
    assert table.loc["blocks not recovered", "share"] == missed.mean()
    assert table.loc["either, refined", "share"] == (worse | missed).mean()
    assert table.loc["error > eps, quotient", "share"] == (~(found.quotient[:, :2].max(axis=1) <= eps)).mean()
    assert (found.failures(eps)["share"] >= table["share"]).all()
    lenient = found.failures(1e9)["share"]  # wrong groups have errors, too, and fail by being wrong
    assert lenient["either, refined"] == lenient["either, quotient"] == missed.mean() > lenient["error > eps, refined"]
    assert (table["upper limit"] > table["share"]).all()
    with pytest.raises(co.InputError, match="eps = 0"):
        found.failures(0)
    with pytest.raises(co.InputError, match=r"begin at 0\.5"):
        found.failures(1.0, 0.1)


@pytest.mark.parametrize(("failures", "draws"), [(0, 10), (3, 50), (49, 50)])
def test_fewer_failures_than_seen_have_five_percent_at_the_upper_limit(failures, draws):
    assert stats.binom.cdf(failures, draws, upper_limit(failures, draws)) == pytest.approx(0.05)


def test_draws_are_the_same_for_rates_and_errors_and_any_number_of_processes():
    model = EXAMPLE.scaled(12)
    rates = co.recovery_rates(model, methods=["bach_jordan"], draws=10, nodes=MACHINES, random_state=7, n_jobs=1)
    one, two = (co.block_errors(model, MACHINES, 1.0, draws=10, random_state=7, n_jobs=jobs) for jobs in (1, 2))
    assert rates.frame.loc[12, "bach_jordan"] == one.recovered
    assert np.array_equal(one.refined, two.refined, equal_nan=True)
    assert one.omega.tolist() == pytest.approx(np.arange(1, 21) / 20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": 3}, "give a BlockModel"),
        ({"sizes": [2]}, "n = 2; give a number of nodes >= 3"),
        ({"sizes": []}, "sizes is empty"),
        ({"sizes": [20, 20]}, "holds one twice"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["bach_jordan", "bach_jordan"]}, "holds one twice"),
        ({"methods": ["kmeans"]}, "kmeans"),
        ({"draws": 0}, "draws = 0"),
        ({"nodes": 3}, "give RandomNodes"),
        ({"nodes": co.RandomNodes(co.swing, inertia=0.0, damping=stats.uniform(1, 1)), "methods": "slow_coherency"}, "inertia"),
    ],
)
def test_bad_requests_of_rates_are_refused(change, said):
    good = {"model": EXAMPLE, "draws": 1, "n_jobs": 1}
    with pytest.raises(co.CoherenceError, match=said):
        co.recovery_rates(**(good | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "give a BlockModel"),
        ({"nodes": None}, "give RandomNodes"),
        ({"draws": True}, "draws = True"),
        ({"method": "kmeans"}, "kmeans"),
        ({"disturbance": 3}, "disturbance is a int"),
        ({"disturbance": co.Step({"81": 1.0})}, "81"),
        ({"omega": -1.0}, "omega"),
    ],
)
def test_bad_requests_of_errors_are_refused(change, said):
    good = {"model": EXAMPLE, "nodes": MACHINES, "omega": 1.0, "draws": 1, "n_jobs": 1}
    with pytest.raises(co.CoherenceError, match=said):
        co.block_errors(**(good | change))


def test_results_show_themselves_and_survive_pickling():
    pages = [
        EXAMPLE,
        MACHINES_OF_THE_NOTE,
        co.certified_size(EXAMPLE, MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1),
        co.certified_size(co.BlockModel([5, 5], np.eye(2), np.zeros((2, 2))), MACHINES_OF_THE_NOTE, eps=1.0, delta=0.1),
        co.recovery_rates(EXAMPLE, methods="pivoted_qr", draws=1, n_jobs=1),
        co.block_errors(EXAMPLE.scaled(20), MACHINES, 1.0, draws=2, n_jobs=1),
    ]
    for page in pages:
        again = pickle.loads(pickle.dumps(page))
        assert again.text() == page.text()
        assert page._repr_html_().startswith("<div>")
        json.dumps(page.to_dict(), allow_nan=False)
        assert len(repr(page)) < 250


def test_the_picture_has_all_nodes_and_one_panel_per_group():
    model = EXAMPLE.scaled(20)
    network = co.Network(MACHINES.draw(20, random_state=0), model.sample(1).toarray(), "1/s")
    blocks, step = model.partition(network.labels), co.Step({"2": 1.0})
    full = co.simulate(network, step)
    small = co.simulate(co.aggregate(network, blocks).network, step.grouped(blocks), full.time)
    axes = plots.group_responses(full, small, blocks, title="$1").axes
    assert [ax.get_title(loc="left") for ax in axes] == [r"\$1", "group 1: 5 nodes", "group 2: 10 nodes", "group 3: 5 nodes"]
    assert [len([line for line in ax.get_lines() if len(line.get_xdata())]) for ax in axes] == [23, 6, 11, 6]
    with pytest.raises(co.InputError, match="partition is of other nodes"):
        plots.group_responses(small, full, blocks)


@pytest.mark.slow
def test_the_figures_setting_over_two_hundred_seeds():
    found = co.recovery_rates(EXAMPLE, draws=200, nodes=MACHINES)
    print(found.text())
    assert (found.frame == 1).all(axis=None)
    errors = co.block_errors(EXAMPLE, MACHINES, [0.5, 1.0, 10.0], draws=200)
    assert (errors.failures(0.01, 1.0)["share"] == 0).all()
    assert errors.frame["error refined"].median() < errors.frame["error quotient"].median()


def test_blocks_that_nothing_joins_are_certified_at_no_size():
    apart = co.BlockModel([4, 4], [[0.9, 0.0], [0.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]])
    found = co.certified_size(
        apart, co.NodeConstants(eta=1.0, gamma=1.0, largest=2.0, radius=0.05, least_coupling=1.0), eps=1.0, delta=0.1
    )
    assert found.n is None
    assert "falls apart" in found.reasons["certified"]
