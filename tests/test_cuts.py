"""Normalised cuts: what they are, that moves lower them and end where none does, and what the least one beats."""

import itertools

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from coherence.graphs.clustering import _many_places, _order, degrees, k_means
from coherence.graphs.cuts import improved, least_cut, normalised_cut
from coherence.graphs.spectrum import slow_basis
from tests.draws import random_laplacian


def plain_cut(laplacian, assignment):
    """Sum over groups of weight out over degree in, pair by pair."""
    total = 0.0
    for group in set(assignment.tolist()):
        mine = assignment == group
        total += -laplacian[mine][:, ~mine].sum() / laplacian.diagonal()[mine].sum()
    return total


def drawn(seed, n=12):
    return random_laplacian(np.random.default_rng(seed), n)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_the_cut_is_weight_out_over_degree_in(seed, k):
    laplacian = drawn(seed)
    assignment = np.random.default_rng(seed).permutation(np.arange(12) % k)
    want = plain_cut(laplacian, assignment)
    assert normalised_cut(laplacian, assignment) == pytest.approx(want, rel=1e-12)
    assert normalised_cut(sp.csr_array(laplacian), assignment) == pytest.approx(want, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_moves_end_where_no_single_move_lowers_the_cut_and_never_raise_it(seed, k):
    laplacian = drawn(seed)
    start = np.random.default_rng(seed).permutation(np.arange(12) % k)
    end = improved(laplacian, start)
    assert set(end.tolist()) == set(range(k))
    assert improved(sp.csr_array(laplacian), start).tolist() == end.tolist()
    cut = plain_cut(laplacian, end)
    assert cut <= plain_cut(laplacian, start) + 1e-12
    for i, group in itertools.product(range(12), range(k)):
        other = end.copy()
        other[i] = group
        neighbours = set(end[np.flatnonzero(laplacian[i])].tolist()) - {end[i]}
        if len(set(other.tolist())) == k and group in neighbours:
            assert plain_cut(laplacian, other) >= cut - 1e-10


def test_the_least_of_all_partitions_is_mostly_found():
    """Against every partition of eight nodes: k-means of the same modes finds fewer, whose cuts are never less."""
    found, by_means, every = 0, 0, [np.array([0, *bits]) for bits in itertools.product((0, 1), repeat=7) if any(bits)]
    for seed in range(60):
        laplacian = drawn(seed, 8)
        basis = slow_basis(laplacian, 2, degrees(laplacian))
        least = min(plain_cut(laplacian, one) for one in every)
        cut = plain_cut(laplacian, least_cut(laplacian, basis, 0))
        means = plain_cut(laplacian, k_means(basis.shapes, 2, weight=basis.weight))
        assert cut <= means + 1e-12
        found += cut <= least * (1 + 1e-9)
        by_means += means <= least * (1 + 1e-9)
    assert found >= 50 > by_means


@pytest.mark.parametrize("k", [3, 5, 8])
def test_no_peer_cuts_less_on_a_grid(k):
    from sklearn.cluster import SpectralClustering

    rng = np.random.default_rng(k)
    graph = nx.random_geometric_graph(500, 0.09, seed=4)
    graph = graph.subgraph(max(nx.connected_components(graph), key=len))
    for a, b in graph.edges:
        graph.edges[a, b]["weight"] = rng.uniform(0.2, 5)
    network = co.Network.from_graph(graph, co.swing(inertia=[1.0] * len(graph), damping=1, labels=[str(x) for x in graph]), "1/s")
    matrix = np.asarray(network.laplacian)
    affinity = np.diag(np.diag(matrix)) - matrix
    ours = plain_cut(matrix, co.coherent_groups(network, k, method="normalised_cut").assignment)
    same = plain_cut(matrix, co.coherent_groups(network, k, method="shi_malik").assignment)
    cuts = {}
    for labels in ("kmeans", "cluster_qr", "discretize"):
        cuts[labels] = plain_cut(
            matrix, SpectralClustering(k, affinity="precomputed", assign_labels=labels, random_state=0).fit(affinity).labels_
        )
    assert ours <= min(cuts.values()) * (1 + 1e-9)
    assert same == pytest.approx(cuts["kmeans"], rel=0.05)  # the same method, other starts


def test_negative_weights_are_cut_like_any(rng):
    laplacian = drawn(3)
    laplacian[0, 1] = laplacian[1, 0] = 0.02
    laplacian -= np.diag(laplacian.sum(axis=1))
    network = co.Network(co.swing(inertia=np.ones(12), damping=1.0), laplacian, "1/s")
    found = co.coherent_groups(network, 3, method="normalised_cut").assignment
    start = k_means(rng.standard_normal((12, 2)), 3)
    assert plain_cut(laplacian, improved(laplacian, start)) < plain_cut(laplacian, start)
    assert plain_cut(laplacian, found) == pytest.approx(normalised_cut(network.laplacian, found))


def test_sizes_do_not_matter_to_any_method(iceland):
    for factor in (1e-14, 1e14):
        scaled = co.Network(iceland.nodes, factor * iceland.laplacian, iceland.coupling)
        for method in ("normalised_cut", "bach_jordan", "slow_coherency", "reference_machines", "tight_coherency"):
            one, other = co.coherent_groups(iceland, 5, method=method), co.coherent_groups(scaled, 5, method=method)
            assert one.assignment.tolist() == other.assignment.tolist()
            assert np.allclose(one.margins, other.margins, atol=1e-7)


def test_rounding_of_the_laplacian_does_not_matter(iceland, rng):
    size = np.triu(iceland.dense_laplacian, 1)
    for _ in range(5):
        noisy = size * (1 + 1e-13 * rng.standard_normal(size.shape))
        noisy = noisy + noisy.T
        network = co.Network(iceland.nodes, noisy - np.diag(noisy.sum(axis=1)), iceland.coupling)
        for method in ("normalised_cut", "bach_jordan", "pivoted_qr", "slow_coherency", "reference_machines", "tight_coherency"):
            one, other = co.coherent_groups(iceland, 5, method=method), co.coherent_groups(network, 5, method=method)
            assert one.assignment.tolist() == other.assignment.tolist()
            assert one.references.tolist() == other.references.tolist()


def test_rows_are_ordered_as_by_all_their_entries(rng):
    for _ in range(50):
        rows = rng.integers(0, 3, (40, 3)).astype(float)
        rows[0] = 2.0
        assert rows[_order(rows, 2.0)].tolist() == sorted(rows.tolist(), key=lambda row: (row[1], row[2], row[0]))


def test_distinct_places_are_counted_as_the_groups_need_them(rng):
    places = np.repeat(rng.standard_normal((4, 2)), 5, axis=0)
    assert [_many_places(places, k, 1e-12) for k in (1, 2, 4, 5)] == [True, True, True, False]
    assert sorted(np.bincount(k_means(places, 4))) == [5, 5, 5, 5]
    with pytest.raises(co.InputError, match="5 groups were asked of 20 nodes with only 4 distinct places"):
        k_means(places, 5)


def test_many_points_are_clustered_by_their_weights_as_few_are(rng):
    at = np.repeat([0.0, 10.0, 30.0], [2000, 2000, 500])
    points = rng.permutation(np.column_stack([at + 0.1 * rng.standard_normal(4500), np.zeros(4500)]))
    heavy = points[:, 0] < 20
    for weight, least in ((None, 20), (np.where(heavy, 1000.0, 1.0), 5)):
        found = k_means(points, 2, weight=weight)
        high = found == found[points[:, 0].argmax()]
        assert (high == (points[:, 0] > least)).all()


def test_the_picture_of_a_grouping_has_the_modes_of_its_method(iceland):
    from coherence import plots

    for method, weight in (("slow_coherency", iceland.nodes.inertia), ("bach_jordan", degrees(iceland.laplacian))):
        ax = plots.embedding(iceland, co.coherent_groups(iceland, 3, method=method)).axes[0]
        basis = slow_basis(iceland.laplacian, 3, weight)
        want = basis.shapes[:, 1:] / basis.shapes[:, :1]
        drawn_at = np.vstack([shown.get_offsets() for shown in ax.collections])
        assert np.allclose(np.sort(drawn_at, axis=0), np.sort(want, axis=0), atol=1e-9)
        assert f"{basis.values[1]:.4g}" in ax.get_xlabel()
    pivots = co.coherent_groups(iceland, 3, method="reference_machines")
    assert f"reference {pivots.references['2']}" in plots.embedding(iceland, pivots).axes[0].get_xlabel()
    with pytest.raises(co.InputError, match="of other nodes"):
        plots.embedding(iceland, co.Partition.of([1, 2], labels=["a", "b"]))
