"""Bounds, groups and aggregation: theorems as properties."""

import itertools

import control
import numpy as np
import pytest
import scipy.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st

import coherence as co
from coherence.graphs.clustering import largest_eigengap
from coherence.numerics.hull import hull_distance
from coherence.reduction.refined import refinement
from tests.draws import COUPLINGS, block_example, networks, norm2

ROUNDING = 1 + 1e-9  # of two computed norms against each other
#: (hull distance is refined to 1e-6; where d is all cancellation the bounds may cross by that much)
CROSSING = 1 + 1e-4


def check_bounds(network, k, s):
    error = norm2(co.modal_error(network, s, k))
    hull, source = co.hull_bound(network, s, k=k), co.source_bound(network, s, k=k)
    assert (error <= hull.value * ROUNDING).all()
    assert (error <= source.value * ROUNDING).all()
    assert (hull.value <= source.value * CROSSING).all()
    assert np.array_equal(hull.holds, np.isfinite(hull.value))


@given(networks(least=3, most=12), st.integers(1, 2), st.floats(-3, 2), st.floats(0, 1))
def test_no_bound_is_ever_violated_and_hull_is_never_above_source(network, k, decade, real):
    check_bounds(network, k, np.array([1j, real + 1j, 3j]) * 10**decade)


@pytest.mark.slow
@settings(max_examples=3500)
@given(networks(least=3, most=12, couplings=COUPLINGS), st.integers(1, 2), st.floats(-3, 2), st.floats(0, 1))
def test_no_bound_is_ever_violated_in_ten_thousand_draws(network, k, decade, real):
    check_bounds(network, k, np.array([1j, real + 1j, 3j]) * 10**decade)


def test_hull_bound_is_tight_on_a_family():
    """Equal nodes: B = 0, so the bound is 1/d, and with f real positive and damping it is exact."""
    n = 5
    network = co.Network(co.swing(inertia=np.ones(n), damping=0.3), n * np.eye(n) - np.ones((n, n)), "1")
    s = 1j * np.logspace(-2, 2, 30)
    exact, bound = norm2(network.deviation(s)), co.hull_bound(network, s).value
    assert np.allclose(bound, exact, rtol=1e-5)


def test_the_correction_q_of_the_hull_bound_is_needed():
    """A case (found by search) where (1 + alpha^2)/d without q is far below the deviation."""
    node_values = [-0.288 + 0.296j, -0.245 - 0.177j]
    nodes = co.from_systems([control.tf([1], [z.imag, z.real]) for z in node_values])  # g^{-1}(j) = z
    network = co.Network(nodes, 0.241 * np.array([[1.0, -1], [-1, 1]]), "1")
    bound, exact = co.hull_bound(network, 1j), norm2(network.deviation(1j))[0]
    alpha, d = bound.ingredients["alpha"][0], bound.ingredients["d"][0]
    assert (1 + alpha**2) / d < 0.5 * exact
    assert exact <= bound.value[0] * ROUNDING


@given(networks(least=2, most=3, strengths=(0.1, 1.0)), st.floats(-1, 1), st.floats(0, 1))
def test_no_bound_is_violated_where_the_nodes_differ_most(network, decade, real):
    check_bounds(network, 1, np.array([1j, real + 1j, 3j]) * 10**decade)


@given(networks(least=4, most=9), st.floats(-2, 1))
def test_the_sources_bound_of_rank_k_uses_the_next_eigenvalue(network, decade):
    s = 1j * 10**decade
    for k in (1, 2, 3):
        bound = co.source_bound(network, s, k=k)
        reach = abs(network.coupling(s)[0]) * network.eigenvalues[k]
        m1, m2 = bound.ingredients["M1"][0], bound.ingredients["M2"][0]
        assert bound.ingredients["effective_connectivity"][0] == pytest.approx(reach, rel=1e-12)
        assert bound.theorem == ("Lemma 3.1" if k == 1 else "Theorem 3.8")
        bottom = reach - m2 - m1 * m2**2
        assert bound.value[0] == (pytest.approx((m1 * m2 + 1) ** 2 / bottom) if bottom > 0 else np.inf)


def test_spectral_groups_minimise_the_weighted_distance_of_bach_and_jordan(rng):
    """Brute force over all partitions of 8 nodes in two groups, with degrees of very different size."""
    for _ in range(10):
        weights = np.triu(rng.uniform(0, 1, (8, 8)) ** 4 * np.outer(*[10.0 ** rng.uniform(-1, 1, 8)] * 2), 1)
        a = weights + weights.T
        degree = a.sum(axis=1)
        laplacian = np.diag(degree) - a
        _, vectors = sla.eigh(laplacian / np.sqrt(np.outer(degree, degree)), subset_by_index=(0, 1))
        x = vectors / np.sqrt(degree)[:, None]

        def cost(assignment, x=x, degree=degree):
            total = 0.0
            for group in range(2):
                mine = assignment == group
                mean = np.average(x[mine], axis=0, weights=degree[mine])
                total += (degree[mine] * ((x[mine] - mean) ** 2).sum(axis=1)).sum()
            return total

        every = [np.array([0, *bits]) for bits in itertools.product((0, 1), repeat=7) if any(bits)]
        found = co.coherent_groups(co.Network(co.integrator(labels=[str(i) for i in range(8)]), laplacian, "1"), 2).assignment
        assert cost(found) <= min(map(cost, every)) * (1 + 1e-9)


def test_hull_bound_is_within_a_factor_two_in_the_median(rng):
    ratios = []
    for _ in range(40):
        n = int(rng.integers(3, 12))
        nodes = co.swing_turbine(
            inertia=rng.uniform(0.1, 1, n),
            damping=rng.uniform(0.1, 1, n),
            inverse_droop=rng.uniform(0.1, 1, n),
            time_constant=rng.uniform(1, 5, n),
        )
        a = np.triu(rng.uniform(0.5, 2, (n, n)), 1)
        a = 20 * (a + a.T)
        network = co.Network(nodes, np.diag(a.sum(axis=1)) - a, "1/s")
        s = 1j * np.logspace(-2, 0, 10)
        ratios.append(co.hull_bound(network, s).value / norm2(network.deviation(s)))
    assert np.median(ratios) <= 2


def test_hull_distance_matches_a_dense_search():
    rng = np.random.default_rng(3)
    for _ in range(50):
        z = rng.normal(size=(1, 5)) + 1j * rng.normal(size=(1, 5)) + rng.choice([0, 4])
        f, lo, hi = np.array([rng.normal() + 1j * rng.normal()]), 0.5, 3.0
        theta = np.linspace(-np.pi, np.pi, 20001)[:, None]
        turn = np.exp(-1j * theta)
        c = (turn * f).real
        dense = ((turn * z).real.min(axis=1) + np.minimum(c * lo, c * hi)[:, 0]).max()
        ours = hull_distance(z, f, lo, hi)[0]
        assert dense - 1e-6 <= ours <= dense + 1e-3  # the dense grid is 3e-4 rad coarse


def test_bounds_on_the_80_node_block_example():
    network, _ = block_example()
    s = 1j * np.logspace(-2, 2, 60)
    for k in (1, 3):
        check_bounds(network, k, s)
    hull, source = co.hull_bound(network, s, k=3), co.source_bound(network, s, k=3)
    assert hull.holds.sum() > source.holds.sum() > 0


def test_refinement_of_the_80_node_block_example_is_orthonormal_to_1e_12():
    network, partition = block_example()
    s, error = refinement(network.eigenvectors[:, :3], partition)
    n = np.diag(partition.sizes.astype(float))
    assert np.abs(s.T @ n @ s - np.eye(3)).max() <= 1e-12
    assert np.allclose(s[:, 0], 1 / np.sqrt(80), rtol=1e-14)
    assert error < 0.05


def test_the_printed_constraint_vector_breaks_the_refinement():
    """Erratum: with u proportional to N^{-1/2} 1 the constraint S^T N S = I cannot hold for groups of unequal size."""
    network, partition = block_example()
    root = np.sqrt(partition.sizes.astype(float))
    q = sla.null_space(((1 / root) / np.linalg.norm(1 / root))[None, :])
    left, _, right = np.linalg.svd(q.T @ (partition.indicator / root).T @ network.eigenvectors[:, 1:3])
    s = np.hstack([np.full((3, 1), 1 / np.sqrt(80)), (q @ left @ right) / root[:, None]])
    assert np.abs(s.T @ np.diag(partition.sizes) @ s - np.eye(3)).max() > 0.1
    p = partition.indicator
    assert np.linalg.norm(network.eigenvectors[:, :3] - p @ s) > 10 * refinement(network.eigenvectors[:, :3], partition)[1]


@given(networks(least=4, most=10), st.data())
def test_the_refinement_is_the_best_feasible_one(network, data):
    k = data.draw(st.integers(2, 3))
    groups = list(range(k)) + [data.draw(st.integers(0, k - 1)) for _ in range(network.size - k)]
    partition = co.Partition.of(groups, labels=network.labels)
    v = network.eigenvectors[:, :k]
    s, error = refinement(v, partition)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    rotation = sla.expm(0.3 * (lambda x: x - x.T)(rng.normal(size=(k - 1, k - 1))))
    if rng.random() < 0.5:
        rotation[:, 0] *= -1
    other = np.hstack([s[:, :1], s[:, 1:] @ rotation])  # every feasible S is of this form
    n = np.diag(partition.sizes.astype(float))
    assert np.allclose(other.T @ n @ other, np.eye(k), atol=1e-10)
    assert np.linalg.norm(v - partition.indicator @ other) >= error - 1e-10


def test_refined_and_quotient_agree_on_a_block_ideal_graph():
    within, between = 5.0, 0.2
    sizes = [3, 4, 2]
    block = np.repeat([0, 1, 2], sizes)
    a = np.where(block[:, None] == block, within, between) - within * np.eye(9)
    nodes = co.swing(inertia=np.ones(9), damping=0.5)
    network = co.Network(nodes, np.diag(a.sum(axis=1)) - a, "1/s")
    partition = co.Partition.of(block, labels=nodes.labels)
    quotient, refined = (co.aggregate(network, partition, interconnection=kind) for kind in ("quotient", "refined"))
    assert np.allclose(quotient.network.laplacian, refined.network.laplacian, atol=1e-12)
    assert refined.embedding_error < 1e-12


@given(networks(least=4, most=10), st.data())
def test_aggregated_networks_keep_the_coherent_dynamics(network, data):
    k = data.draw(st.integers(2, 3))
    partition = co.spectral_groups(network, k)
    s = np.array([0.1j, 2j])
    ghat = co.coherent_dynamics(network).transfer_matrix(s)[:, 0, 0]
    for kind in ("quotient", "refined"):
        smaller = co.aggregate(network, partition, interconnection=kind).network
        assert np.allclose(smaller.laplacian.sum(axis=1), 0, atol=1e-9 * max(1, np.abs(smaller.laplacian).max()))
        assert np.linalg.eigvalsh(smaller.laplacian)[0] >= -1e-9 * np.abs(smaller.laplacian).max()
        assert np.allclose(co.coherent_dynamics(smaller).transfer_matrix(s)[:, 0, 0], ghat, rtol=1e-9)


def test_spectral_groups_recover_planted_blocks():
    network, planted = block_example()
    found = co.spectral_groups(network, 3)
    assert found.assignment.tolist() == planted.assignment.tolist()
    assert largest_eigengap(network.eigenvalues) == 3
    assert co.spectral_groups(network).k == 3


def test_groups_are_the_same_for_the_same_seed(iceland):
    first, second = co.spectral_groups(iceland, 5, random_state=3), co.spectral_groups(iceland, 5, random_state=3)
    assert first.assignment.tolist() == second.assignment.tolist()


def test_coherence_grows_with_connectivity_and_falls_with_frequency(iceland):
    """Theorems 3.1 and 3.2 as sweeps."""
    s = 0.5j
    weights = [1, 10, 100, 1000]
    by_strength = [norm2(co.Network(iceland.nodes, w * iceland.laplacian, "1/s").deviation(s))[0] for w in weights]
    assert np.allclose(np.array(by_strength[1:]) / by_strength[:-1], 0.1, rtol=0.15)
    curve = co.incoherence(iceland, np.logspace(-6, -2, 5))
    assert np.allclose(curve.exact[1:] / curve.exact[:-1], 10, rtol=1e-2)


def test_group_error_with_every_node_alone_is_zero(iceland):
    alone = co.Partition.of(list(range(35)), labels=iceland.labels)
    assert norm2(co.group_error(iceland, 1j, alone))[0] == 0


def test_group_error_with_one_group_is_the_deviation(iceland):
    one = co.Partition.of([0] * 35, labels=iceland.labels)
    s = 1j * np.logspace(-3, 1, 5)
    assert np.allclose(co.group_error(iceland, s, one), iceland.deviation(s), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1", True),
        ("1/s", True),
        (([1, 1], [1, 2]), True),
        (([1], [1, 1, 1]), False),
        (([-1.0], [1, 1]), False),
        (([1], [1, -1]), False),
        (([1, 0], [1, 0, 1]), True),
        (([1], [1, 0, 0]), False),
        (([1, 1], [1, 1, 0, 0]), False),
        (([1, -1], [1, 1]), False),
    ],
)
def test_positive_realness_is_decided(source, expected):
    assert co.Rational.of(source).is_positive_real() is expected
