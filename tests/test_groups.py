"""Coherent groups by named methods: what they find, that it does not depend on how it is computed, and how it moves."""

import itertools
import json
import pickle

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.linalg as sla
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import coherence as co
from coherence.graphs.clustering import adjusted_rand, centred, k_means, renumbered, scored
from coherence.graphs.cosines import loose_groups, row_sums, tight_groups
from coherence.graphs.pivots import complete_pivots, pivoted_qr, reference_machines
from coherence.graphs.spectrum import pivot_rows, settled, slow_basis
from coherence.groups.changes import matched
from coherence.groups.spectral import METHODS
from coherence.numerics.sparse import least_eigenpairs
from tests.draws import block_example, networks, random_laplacian

METHODS = tuple(METHODS)
BY_TOLERANCE = ("loose_coherency", "tight_coherency")
WITH_INERTIA = ("slow_coherency", "reference_machines", *BY_TOLERANCE)


def of_graph(laplacian, inertia=None):
    n = laplacian.shape[0]
    return co.Network(co.swing(inertia=np.ones(n) if inertia is None else inertia, damping=1.0), laplacian, "1/s")


def two_triangles_and_a_node_between():
    graph = nx.barbell_graph(3, 1)  # node 3 is between them
    return co.Network.from_graph(graph, co.swing(inertia=np.ones(7), damping=1.0, labels=list(map(str, graph))), "1/s")


def planted_lattice(rows=50, columns=60, areas=5, weak=1e-3, seed=3):
    """A sparse lattice in vertical strips that are weakly joined, with drawn weights and inertias."""
    rng, n = np.random.default_rng(seed), rows * columns
    place = np.arange(n).reshape(rows, columns)
    ends = np.vstack(
        [np.column_stack([place[:, :-1].ravel(), place[:, 1:].ravel()]), np.column_stack([place[:-1].ravel(), place[1:].ravel()])]
    )
    area = np.tile(np.arange(columns) * areas // columns, rows)
    weight = rng.uniform(0.5, 1.5, len(ends)) * np.where(area[ends[:, 0]] == area[ends[:, 1]], 1.0, weak)
    half = sp.csr_array((weight, (ends[:, 0], ends[:, 1])), shape=(n, n))
    full = half + half.T
    return of_graph(sp.csr_array(sp.diags_array(full.sum(axis=1)) - full), rng.uniform(0.5, 1.5, n)), area


@pytest.fixture(scope="module")
def sixteen():
    """Machines behind x'd, constant-impedance loads, the lossy matrix symmetrised."""
    return co.linearize(co.load_case("nets_nyps68"), convention="classical")


@pytest.fixture(scope="module")
def areas(sixteen):
    names = {f"G{i}": "1" if i <= 9 else "2" if i <= 13 else str(i - 11) for i in range(1, 17)}
    return co.Partition.of(names, labels=sixteen.labels)


# --- what the methods find ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["slow_coherency", "reference_machines"])
@pytest.mark.parametrize("convention", ["classical", "terminal", "flow"])
def test_the_sixteen_machines_have_their_five_published_areas(areas, method, convention):
    network = co.linearize(co.load_case("nets_nyps68"), convention=convention)
    assert co.coherent_groups(network, 5, method=method).assignment.tolist() == areas.assignment.tolist()


def test_only_groups_normalised_by_inertia_are_the_published_areas(sixteen, areas):
    """The adjusted Rand index of every method, five modes each; generic spectral clustering is not coherency."""
    found = {method: co.coherent_groups(sixteen, 5, method=method) for method in METHODS}
    table = pd.DataFrame(
        {
            "groups": {method: groups.k for method, groups in found.items()},
            "adjusted Rand index": {m: adjusted_rand(areas.assignment, groups.assignment) for m, groups in found.items()},
        }
    )
    print(table.round(3).to_string())
    index = table["adjusted Rand index"]
    assert (index[["slow_coherency", "reference_machines"]] == 1).all()
    assert (index[list(BY_TOLERANCE)] > 0.9).all()  # they part G10, G11 from G12, G13
    assert index["bach_jordan"] == index["normalised"] == pytest.approx(0.441, abs=1e-3)
    assert (index.drop(list(WITH_INERTIA)) < 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_planted_blocks_are_recovered(method):
    network, planted = block_example()
    found = co.coherent_groups(network, 3, method=method)
    assert found.assignment.tolist() == planted.assignment.tolist()
    assert found.margins.min() > 0.95
    assert found.gap > 0.95
    assert co.coherent_groups(network, method=method).k == 3


@pytest.mark.parametrize("method", METHODS)
def test_planted_areas_of_a_sparse_lattice_are_recovered(method):
    network, area = planted_lattice()
    assert sp.issparse(network.laplacian)
    found = co.coherent_groups(network, 5, method=method)
    assert found.assignment.tolist() == area.tolist()
    assert [area[network.index(node)] for node in found.references] == list(range(5))


def test_groups_have_equal_rows_where_they_are_alike_in_everything():
    """Exactly equal slow modes within groups: two cliques joined evenly, any weights."""
    block = np.repeat([0, 1], [4, 6])
    weights = np.where(block[:, None] == block, 5.0, 0.1) - 5.0 * np.eye(10)
    network = of_graph(np.diag(weights.sum(axis=1)) - weights)
    for method in METHODS:
        found = co.coherent_groups(network, 2, method=method)
        assert found.assignment.tolist() == block.tolist()
        assert found.margins.min() > 1 - 1e-7


# --- the result ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_grouping_is_a_partition_with_references_margins_and_embedding(sixteen, method):
    found = co.coherent_groups(sixteen, 5, method=method)
    assert isinstance(found, co.Partition)
    assert list(found.references.index) == list(found.groups)
    assert [found.group_of(node) for node in found.references] == list(found.groups)
    assert list(found.margins.index) == list(found.embedding.index) == list(sixteen.labels)
    assert found.margins.between(0, 1).all()
    assert found.modes == 5
    assert found.embedding.shape == (16, 5)
    assert found.eigenvalues.shape == (6,)
    assert found.eigenvalues[0] == 0
    assert found.gap == pytest.approx(1 - found.eigenvalues[4] / found.eigenvalues[5])
    assert renumbered(found.assignment).tolist() == found.assignment.tolist()
    assert co.aggregate(sixteen, found, interconnection="quotient").network.size == found.k
    again = pickle.loads(pickle.dumps(found))
    assert again.text() == found.text()
    assert len(repr(found)) < 250
    assert method in found.text()
    json.dumps(found.to_dict(), allow_nan=False)
    assert found._repr_html_().startswith("<div>")


def test_a_partition_made_from_a_groupings_class_is_a_plain_one():
    assert type(co.Grouping.of([0, 1], labels=["a", "b"])) is co.Partition


def test_one_group_and_a_group_for_each_node_are_groupings(sixteen):
    for method in set(METHODS) - set(BY_TOLERANCE):
        whole, single = (co.coherent_groups(sixteen, k, method=method) for k in (1, 16))
        assert whole.k == 1
        assert single.assignment.tolist() == list(range(16))
        assert whole.margins.eq(1).all()
        assert single.margins.min() > 1 - 1e-9
        assert single.gap == 1.0
    lonely = co.Network(co.swing(inertia=[1.0], damping=1.0), [[0.0]], "1/s")
    assert all(co.coherent_groups(lonely, method=method).k == 1 for method in METHODS)


def test_coordinates_are_the_slow_modes_of_the_machines(sixteen):
    """Rows of slow coherency are those of M-orthonormal V with L V = M V Lambda, normalised; references have unit rows."""
    m, laplacian = sixteen.nodes.inertia, sixteen.dense_laplacian
    basis = slow_basis(laplacian, 5, m)
    v = basis.shapes
    assert np.allclose(v.T @ (m[:, None] * v), np.eye(5), atol=1e-12)
    assert np.allclose(laplacian @ v, m[:, None] * v * basis.values, atol=1e-10 * np.abs(laplacian).max())
    rows = v / np.linalg.norm(v, axis=1)[:, None]
    assert np.allclose(co.coherent_groups(sixteen, 5, method="slow_coherency").embedding, rows, atol=1e-12)
    found = co.coherent_groups(sixteen, 5, method="reference_machines")
    at = [sixteen.index(node) for node in found.references]
    assert np.allclose(found.embedding, v @ np.linalg.inv(v[at]), atol=1e-9)
    assert np.allclose(found.embedding.sum(axis=1), 1)
    assert found.margins.loc[found.references].eq(1).all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(BY_TOLERANCE)))
def test_a_node_between_two_groups_has_margin_zero(method):
    network = two_triangles_and_a_node_between()
    found = co.coherent_groups(network, 2, method=method)
    assert found.margins["3"] == pytest.approx(0, abs=1e-7)
    assert found.margins.drop("3").min() > 0.5
    assert found.members("1")[:3] == ("0", "1", "2")


def test_margins_are_what_they_say_in_plain_loops(rng):
    points, weight = rng.standard_normal((30, 3)), rng.uniform(0.1, 2, 30)
    assignment = renumbered(k_means(points, 4, weight=weight))
    found = centred(assignment, points, weight)
    for i in range(30):
        centre = {}
        for group in range(4):
            mine = [j for j in range(30) if assignment[j] == group and j != i]
            centre[group] = sum(weight[j] * points[j] for j in mine) / sum(weight[j] for j in mine)
        far = {group: np.linalg.norm(points[i] - c) for group, c in centre.items()}
        own = far.pop(assignment[i])
        assert found.margins[i] == pytest.approx(max(0.0, 1 - own / min(far.values())), abs=1e-12)
    scores = np.array([[1.0, 0.0], [0.5, 0.5], [0.8, -0.3], [0.1, 0.4], [0.0, 1.0]])
    assert scored(scores, np.array([0, 4])).margins.tolist() == [1, 0, 1, 0.75, 1]


def test_nodes_between_groups_are_told_though_the_modes_are_unique():
    found = co.coherent_groups(two_triangles_and_a_node_between(), 2)
    assert found.unique
    assert found.ties == ("3",)
    assert "1 of 7 nodes are as near to another group, or nearer: 3" in found.text()
    clear = co.coherent_groups(of_graph(np.array([[1.0, -1, 0], [-1, 1.01, -0.01], [0, -0.01, 0.01]])), 2)
    assert clear.ties == ()
    assert "ties" not in clear.facts


# --- independence of how it is computed ---------------------------------------------------------------------------


@given(networks(least=4, most=10, degrees=(1,)), st.data())
@settings(max_examples=15)
def test_relabelling_the_nodes_permutes_the_groups(network, data):
    k = data.draw(st.integers(2, 3))
    order = np.array(data.draw(st.permutations(range(network.size))))
    turned = co.Network(network.nodes.select(order.tolist()), network.dense_laplacian[np.ix_(order, order)], network.coupling)
    for method in METHODS:
        one, other = co.coherent_groups(network, k, method=method), co.coherent_groups(turned, k, method=method)
        assert other.assignment.tolist() == renumbered(one.assignment[order]).tolist()
        assert np.allclose(other.margins[list(one.labels)], one.margins, atol=1e-6)
        # of two members k-means has no more central one
        alike = one.sizes == 2 if method != "reference_machines" and method != "pivoted_qr" else one.sizes == 0
        assert set(one.references[~alike]) <= set(other.references)


def test_signs_and_bases_of_eigenvectors_do_not_matter(rng):
    for laplacian in (random_laplacian(rng, 12), co.ring_graph(12).toarray(), co.complete_graph(6).toarray()):
        values, vectors = np.linalg.eigh(laplacian)
        turned = vectors * rng.choice([-1.0, 1.0], len(values))
        start = 0
        while start < len(values):  # any orthogonal basis of equal eigenvalues
            stop = start + int((values[start:] < values[start] + 1e-8).sum())
            turned[:, start:stop] = turned[:, start:stop] @ np.linalg.qr(rng.standard_normal((stop - start, stop - start)))[0]
            start = stop
        assert np.allclose(settled(values, turned, 1e-12), settled(values, vectors, 1e-12), atol=1e-7)
    for _ in range(20):
        v = np.linalg.qr(rng.standard_normal((15, 4)))[0]
        flipped = v * rng.choice([-1.0, 1.0], 4)
        for cluster in (pivoted_qr, reference_machines):
            one, other = cluster(v), cluster(flipped)
            assert one.assignment.tolist() == other.assignment.tolist()
            assert one.references.tolist() == other.references.tolist()
        turned = v @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
        assert pivoted_qr(turned).assignment.tolist() == pivoted_qr(v).assignment.tolist()


def test_the_same_seed_gives_the_same_groups(iceland):
    for method in METHODS:
        one, other = (co.coherent_groups(iceland, 5, method=method, random_state=3) for _ in range(2))
        assert one.assignment.tolist() == other.assignment.tolist()
        assert one.margins.tolist() == other.margins.tolist()
        assert one.embedding.equals(other.embedding)


def test_sparse_and_dense_laplacians_have_the_same_groups():
    network, _ = planted_lattice(25, 30, areas=3, weak=0.05)  # 750 nodes: Lanczos
    dense = co.Network(network.nodes, network.dense_laplacian, network.coupling)
    for method in METHODS:
        options = {"tolerance": 0.5} if method in BY_TOLERANCE else {}
        one, other = (co.coherent_groups(which, 3, method=method, **options) for which in (network, dense))
        assert one.assignment.tolist() == other.assignment.tolist()
        assert np.allclose(one.embedding, other.embedding, atol=1e-8)
        assert np.allclose(one.eigenvalues, other.eigenvalues, rtol=1e-8, atol=1e-12)


def test_few_weighted_eigenpairs_are_those_of_the_dense_problem(rng):
    laplacian, weight = co.lattice_graph(100), rng.uniform(0.1, 10, 100)
    for w in (weight, None):
        values, vectors = least_eigenpairs(laplacian, 12, w)
        root = np.sqrt(np.ones(100) if w is None else w)
        scaled = laplacian.toarray() / np.outer(root, root)
        assert np.allclose(values, sla.eigvalsh(scaled)[:12], atol=1e-12)
        assert np.allclose(scaled @ vectors, vectors * values, atol=1e-10)
        assert np.allclose(vectors.T @ vectors, np.eye(12), atol=1e-12)
        assert np.allclose(vectors[:, 0], root / np.linalg.norm(root), atol=1e-15)


def test_lanczos_misses_no_copy_of_a_repeated_eigenvalue():
    for graph in (co.lattice_graph(30**2), co.ring_graph(700), co.star_graph(700)):
        exact = np.linalg.eigvalsh(graph.toarray())
        for count in (3, 6, 9):
            assert np.allclose(least_eigenpairs(graph, count)[0], exact[:count], rtol=1e-8, atol=1e-12)


def test_lanczos_misses_no_copy_where_equal_branches_hang_on_a_hub():
    for seed in range(4):
        branch, graph = nx.random_labeled_tree(45, seed=seed), nx.Graph()
        for copy in range(15):
            graph.add_edges_from(((copy, a), (copy, b)) for a, b in branch.edges)
            graph.add_edge("hub", (copy, 0))
        laplacian = sp.csr_array(nx.laplacian_matrix(graph).astype(float))
        exact = np.linalg.eigvalsh(laplacian.toarray())
        for count in (2, 4, 7, 16):
            assert np.allclose(least_eigenpairs(laplacian, count)[0], exact[:count], rtol=1e-7, atol=1e-11)


# --- the slow, obvious twins --------------------------------------------------------------------------------------


def test_complete_pivoting_is_gaussian_elimination_in_plain_loops(rng):
    for _ in range(30):
        n, k = int(rng.integers(4, 12)), int(rng.integers(1, 5))
        v = rng.standard_normal((n, k))
        a, rows, columns, want = v.tolist(), list(range(n)), list(range(k)), []
        for _step in range(k):
            i, j = max(itertools.product(rows, columns), key=lambda at: abs(a[at[0]][at[1]]))
            want.append(i)
            rows.remove(i)
            columns.remove(j)
            for r in rows:
                factor = a[r][j] / a[i][j]
                for c in columns:
                    a[r][c] -= factor * a[i][c]
        assert complete_pivots(v).tolist() == want


def test_pivot_rows_are_lapacks_pivoted_qr(rng):
    for _ in range(20):
        v = rng.standard_normal((12, 4))
        pivots, directions = pivot_rows(v)
        r, order = sla.qr(v.T, mode="r", pivoting=True)
        assert pivots.tolist() == order[:4].tolist()
        assert np.allclose(np.abs(v[pivots] @ directions), np.abs(r[:4, :4]).T)
        assert (np.diag(v[pivots] @ directions) > 0).all()


def test_loose_groups_are_the_components_of_the_coherent_pairs(rng):
    for _ in range(30):
        rows = rng.standard_normal((600 if _ == 0 else 25, 3))
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        tolerance = rng.uniform(0.8, 0.99)
        graph = nx.from_numpy_array((rows @ rows.T > tolerance) & ~np.eye(len(rows), dtype=bool))
        want = {frozenset(part) for part in nx.connected_components(graph)}
        group = loose_groups(rows, tolerance)
        assert {frozenset(np.flatnonzero(group == g).tolist()) for g in set(group)} == want


def test_loose_groups_are_unions_of_tight_ones_whose_row_sums_are_positive(rng):
    split = 0
    for _ in range(40):
        rows = rng.standard_normal((30, 3))
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        tolerance = rng.uniform(0.5, 0.95)
        loose, tight = loose_groups(rows, tolerance), tight_groups(rows, tolerance)
        split += tight.max() > loose.max()
        for group in range(tight.max() + 1):
            mine = np.flatnonzero(tight == group)
            assert len(set(loose[mine])) == 1
            sums = [sum(rows[i] @ rows[j] - tolerance for j in mine if j != i) for i in mine]
            assert np.allclose(row_sums(rows[mine], tolerance), sums)
            assert len(mine) == 1 or min(sums) > 0
    assert split > 10


def test_more_tolerance_of_differences_makes_fewer_groups(iceland):
    counts = [co.coherent_groups(iceland, 4, method="loose_coherency", tolerance=t).k for t in (0.5, 0.9, 0.99, 0.9999)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.parametrize("seed", range(5))
def test_matching_of_groups_agrees_for_as_many_nodes_as_any(seed):
    rng = np.random.default_rng(seed)
    base, other = (renumbered(rng.integers(0, k, 20)) for k in (3, 4))
    names = list(range(base.max() + 1)) + [-1] * (other.max() + 1)
    every = itertools.permutations(names, int(other.max()) + 1)
    assert (matched(base, other) == base).sum() == max((np.array(stands)[other] == base).sum() for stands in every)


# --- bad input ----------------------------------------------------------------------------------------------------


def test_equal_eigenvalues_at_the_cut_are_refused_with_numbers_that_are_unique():
    complete = of_graph(co.complete_graph(6))
    with pytest.raises(co.InputError, match=r"3 groups are not unique: eigenvalues 3 and 4 are equal.*give k = 1 or 6"):
        co.coherent_groups(complete, 3)
    with pytest.raises(co.InputError, match=r"show no number of groups.*give k = 1 or 6"):
        co.coherent_groups(complete)
    for graph in (co.ring_graph(10), co.lattice_graph(900)):
        with pytest.raises(co.InputError, match=r"2 groups are not unique.*give k = 1 or 3, or allow_ties=True"):
            co.coherent_groups(of_graph(graph), 2, method="unnormalised")
        assert co.coherent_groups(of_graph(graph), 3).unique


def test_ties_that_are_allowed_are_told():
    ring = of_graph(co.ring_graph(10))
    for found in (co.coherent_groups(ring, 2, allow_ties=True), co.spectral_groups(ring, 2)):
        assert not found.unique
        assert found.k == 2
        assert found.gap < 1e-8
        assert "one of many groupings" in found.text()
    assert "one of many" not in co.spectral_groups(ring, 3).text()


def test_spectral_groups_are_those_of_bach_and_jordan(iceland):
    one, other = co.spectral_groups(iceland, 4), co.coherent_groups(iceland, 4, method="bach_jordan")
    assert one.assignment.tolist() == other.assignment.tolist()
    assert one.margins.tolist() == other.margins.tolist()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 17}, co.InputError, "17 groups were asked of 16 nodes"),
        ({"k": 0}, co.InputError, "0 groups were asked of 16 nodes"),
        ({"k": 2.0}, co.InputError, r"k = 2.0 is not a number of groups; give an integer or 'auto'"),
        ({"k": True}, co.InputError, "k = True is not a number of groups"),
        ({"k": "many"}, co.InputError, "k = 'many' is not a number of groups"),
        ({"k": 5, "method": "slow_coherence"}, co.UnknownNameError, r"no method 'slow_coherence'; did you mean 'slow_coherency'"),
        ({"k": 5, "random_state": -1}, co.InputError, "random_state = -1; give an integer >= 0"),
        ({"k": 5, "method": "loose_coherency", "tolerance": 1.0}, co.InputError, r"tolerance = 1.0; give a number between 0 and 1"),
        ({"k": 5, "method": "tight_coherency", "tolerance": np.nan}, co.InputError, "tolerance = nan; give a number between"),
        ({"k": 5, "method": "slow_coherency", "tolerance": 0.9}, co.InputError, "'slow_coherency' has no tolerance; leave it out"),
    ],
)
def test_what_cannot_be_grouped_is_one_sentence(sixteen, options, error, message):
    with pytest.raises(error, match=message):
        co.coherent_groups(sixteen, **options)


def test_a_users_partition_that_is_none_is_one_sentence():
    labels = ["a", "b", "c"]
    known = co.Partition.from_groups({"west": ["a", "c"], 7: ["b"]}, labels=labels)
    assert known.series.to_dict() == {"a": "west", "b": "7", "c": "west"}
    for members, error, message in (
        ({"x": ["a", "b"], "y": ["b", "c"]}, co.InputError, "node 'b' is in groups 'x' and 'y'; groups must not overlap"),
        ({"x": ["a", "b", "c"], "y": []}, co.InputError, "group 'y' is empty; every group needs a node"),
        ({"x": ["a", "b"]}, co.InputError, "no group for node 'c'"),
        ({"x": ["a", "b", "c", "d"]}, co.UnknownNameError, "names 'd', which is no node"),
        ({"x": "abc"}, co.InputError, "group 'x' is 'abc'; give a list of nodes"),
    ):
        with pytest.raises(error, match=message):
            co.Partition.from_groups(members, labels=labels)
    for groups, message in (
        (pd.Series([1, 2, 1, 2], index=["a", "b", "c", "a"]), "names node 'a' twice; give each node one group"),
        ({"a": 1, "b": 2, "c": None}, "no group for node 'c': it is None"),
        (pd.Series([1.0, np.nan, 2.0], index=labels), "no group for node 'b': it is nan"),
        ([1, 2], "assigns 2 nodes; the network has 3"),
    ):
        with pytest.raises(co.InputError, match=message):
            co.Partition.of(groups, labels=labels)
    with pytest.raises(co.InputError, match="two groups are named 'x'"):
        co.Partition(("a", "b"), np.array([0, 1]), ("x", "x"))


def test_disconnected_networks_and_nodes_without_inertia_are_refused():
    apart = of_graph(sla.block_diag(*[[[1.0, -1.0], [-1.0, 1.0]]] * 2))
    kept = co.linearize(co.load_case("new_england39"), passive="keep")
    for method in METHODS:
        with pytest.raises(co.DisconnectedError, match="falls apart into 2 components"):
            co.coherent_groups(apart, 2, method=method)
        if method in WITH_INERTIA:
            with pytest.raises(co.InputError, match=r"needs inertia > 0 at every node; 29 of 39 have none \(bus 1, .*kron_reduce"):
                co.coherent_groups(kept, 4, method=method)
        else:
            assert co.coherent_groups(kept, 4, method=method).k == 4
    with pytest.raises(co.InputError, match="grouping needs a network of nodes; this one is projected"):
        co.coherent_groups(apart.project(np.eye(4)[:, :2]), 2)


def test_more_groups_than_distinct_places_are_refused_with_their_number():
    with pytest.raises(co.InputError, match="3 groups were asked of 4 nodes with only 2 distinct places; give 1 <= groups <= 2"):
        k_means(np.array([[0.0, 1.0], [0.0, 1.0], [2.0, 1.0], [2.0, 1.0 + 1e-15]]), 3)


# --- how groups move ----------------------------------------------------------------------------------------------


def test_areas_of_the_sixteen_machines_stay_for_inertias_known_to_twenty_percent(sixteen):
    found = co.group_changes(sixteen, co.inertia_draws(sixteen, 40), 5, method="slow_coherency")
    assert found.unchanged == 40
    assert found.kept.eq(1).all()
    wild = co.group_changes(sixteen, co.inertia_draws(sixteen, 40, spread=0.9), 5, method="slow_coherency")
    assert wild.unchanged < 40
    assert wild.kept.min() < 1


def test_outages_of_lines_move_few_machines_and_those_that_cut_off_are_reported():
    kept = co.linearize(co.load_case("nets_nyps68"), convention="terminal", passive="keep")
    found = co.group_changes(kept.kron_reduce(), co.edge_outages(kept, eliminate=True), 5, method="slow_coherency")
    edges = kept.to_networkx().number_of_edges()
    assert len(found.rand) + len(found.ungrouped) == edges == 83
    assert all("falls apart" in reason for reason in found.ungrouped)
    assert {f"G{i} - " for i in range(1, 17)} <= {name[: name.index("bus")] for name in found.ungrouped.index}
    assert found.rand.between(0.5, 1).all()
    assert found.unchanged >= 60
    assert found.kept.drop(["G10", "G11", "G12"]).eq(1).all()
    assert "G10 keeps its group in 95%" in found.text()
    json.dumps(found.to_dict(), allow_nan=False)
    again = pickle.loads(pickle.dumps(found))
    assert again.text() == found.text()


def test_an_outage_is_the_network_without_one_edge():
    network = two_triangles_and_a_node_between()
    outages = dict(co.edge_outages(network))
    assert len(outages) == 8
    graph = network.to_networkx()
    graph.remove_edge("0", "1")
    want = nx.laplacian_matrix(graph, nodelist=list(network.labels)).toarray()
    assert np.allclose(outages["0 - 1"].laplacian, want)
    found = co.group_changes(network, outages, 2)
    assert list(found.ungrouped.index) == ["2 - 3", "4 - 3"]
    sparse = co.Network(network.nodes, sp.csr_array(network.laplacian), "1/s")
    assert all(np.allclose(one.laplacian.toarray(), outages[name].laplacian) for name, one in co.edge_outages(sparse))


def test_an_outage_that_leaves_an_indefinite_laplacian_is_told_and_the_others_go_on():
    weights = np.array([[0, 2.0, 2.1, 0], [2.0, 0, -0.6, 1.2], [2.1, -0.6, 0, 1], [0, 1.2, 1, 0]])
    network = of_graph(np.diag(weights.sum(axis=1)) - weights)
    for which in (network, co.Network(network.nodes, sp.csr_array(network.laplacian), network.coupling)):
        outages = dict(co.edge_outages(which))
        assert list(outages) == ["1 - 2", "1 - 3", "2 - 3", "2 - 4", "3 - 4"]
        assert [name for name, one in outages.items() if isinstance(one, co.InputError)] == ["1 - 2", "1 - 3"]
        found = co.group_changes(which, outages, 2)
        assert list(found.ungrouped.index) == ["1 - 2", "1 - 3"]
        assert found.ungrouped.str.contains("the Laplacian is indefinite").all()
        assert list(found.rand.index) == ["2 - 3", "2 - 4", "3 - 4"]


def test_variants_may_have_fewer_nodes_but_no_others(sixteen):
    fewer = sixteen.subnetwork([i for i in range(16) if sixteen.labels[i] != "G14"])
    found = co.group_changes(sixteen, {"without G14": fewer}, 5, method="slow_coherency")
    assert np.isnan(found.kept["G14"])
    assert found.kept.drop("G14").between(0, 1).all()
    assert found.rand.index.tolist() == ["without G14"]
    few = co.group_changes(sixteen, {"three": sixteen.subnetwork([0, 1, 2])}, 5)
    assert "5 groups were asked of 3 nodes" in few.ungrouped["three"]
    other = co.Network(co.swing(inertia=[1, 1], damping=1, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises(co.InputError, match=r"variant 'other' has a node 'a', which the network lacks"):
        co.group_changes(sixteen, {"other": other}, 5)
    with pytest.raises(co.InputError, match="there are no variants"):
        co.group_changes(sixteen, {}, 5)
    with pytest.raises(co.InputError, match="variant 'x' is a int; give a Network"):
        co.group_changes(sixteen, {"x": 3}, 5)
    with pytest.raises(co.InputError, match="two variants are named 'x'"):
        co.group_changes(sixteen, [("x", sixteen), ("x", sixteen)], 5)


def test_drawn_inertias_are_seeded_one_by_one_and_in_their_range(sixteen):
    few, many = dict(co.inertia_draws(sixteen, 3)), dict(co.inertia_draws(sixteen, 30))
    for name, network in few.items():
        assert network.nodes.inertia.tolist() == many[name].nodes.inertia.tolist()
    factors = np.array([network.nodes.inertia / sixteen.nodes.inertia for network in many.values()])
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2
    assert (np.array([network.nodes.damping for network in many.values()]) == sixteen.nodes.damping).all()
    without = co.Network(co.Nodes(("a", "b"), np.ones((1, 2)), ()), [[1, -1], [-1, 1]], "1")
    with pytest.raises(co.InputError, match="no node of the network has inertia"):
        co.inertia_draws(without)
    for options, message in (({"draws": 0}, "draws = 0; give an integer >= 1"), ({"spread": 1.0}, "spread = 1.0; give a number")):
        with pytest.raises(co.InputError, match=message):
            co.inertia_draws(sixteen, **options)


def test_bach_jordan_weighs_nodes_by_their_degree_and_shi_malik_does_not():
    """Each is the better by its own criterion, on a graph whose weights span three decades."""
    rng = np.random.default_rng(3)
    weights = -random_laplacian(rng, 14, 0.2)
    spread = 10 ** rng.uniform(-1.5, 1.5, (14, 14))
    weights *= np.sqrt(spread * spread.T)
    np.fill_diagonal(weights, 0.0)
    network = co.Network(co.swing(inertia=np.ones(14), damping=1), np.diag(weights.sum(axis=1)) - weights, "1/s")
    found = {m: co.coherent_groups(network, 4, method=m, allow_ties=True) for m in ("bach_jordan", "shi_malik")}
    degree = np.diag(network.dense_laplacian)

    def distance(groups, weight):
        x, total = found["bach_jordan"].embedding.to_numpy(), 0.0
        for g in range(4):
            own = groups.assignment == g
            centre = np.average(x[own], axis=0, weights=weight[own])
            total += (weight[own] * ((x[own] - centre) ** 2).sum(axis=1)).sum()
        return total

    assert distance(found["bach_jordan"], degree) < distance(found["shi_malik"], degree)
    assert distance(found["shi_malik"], np.ones(14)) < distance(found["bach_jordan"], np.ones(14))
