"""Random networks: moments of random nodes, graph families, ensembles, limits, and where the work is done."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import coherence as co
from coherence.numerics.quadrature import discretised, gauss_rule
from coherence.parallel import each
from coherence.theory.concentration import chebyshev_bounds
from coherence.theory.deviations import deviation_norms

OMEGA = np.geomspace(1e-3, 100, 25)


@pytest.fixture(scope="module")
def turbines():
    return co.RandomNodes(
        co.swing_turbine,
        inertia=stats.uniform(0.5, 1.5),
        damping=stats.uniform(0.1, 0.2),
        inverse_droop=stats.uniform(0.5, 1),
        time_constant=stats.uniform(1, 4),
    )


# --- random nodes ---------------------------------------------------------------------------------------------------


def test_moments_of_swings_with_turbines_are_their_closed_form(turbines):
    """E 1/(tau s + 1) over uniform tau in [1, 5] is log((1 + 5 s)/(1 + s))/(4 s); m, d and 1/r enter linearly."""
    s = 1j * OMEGA
    found = turbines.inverse_moments(s)
    lag = np.log((1 + 5 * s) / (1 + s)) / (4 * s)
    mean = 1.25 * s + 0.2 + 1.0 * lag
    assert np.abs(found.mean / mean - 1).max() <= 1e-12
    # E |lag|^2 over the same tau: (arctan 5w - arctan w)/(4 w)
    square = (np.arctan(5 * OMEGA) - np.arctan(OMEGA)) / (4 * OMEGA)
    turbine = (1.0 + 1 / 12) * square - np.abs(lag) ** 2
    variance = OMEGA**2 * 1.5**2 / 12 + 0.2**2 / 12 + turbine
    assert found.variance == pytest.approx(variance, rel=1e-9)
    assert turbines.expected_dynamics(s) == pytest.approx(1 / mean, rel=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_moments_are_those_of_many_draws(seed):
    rng = np.random.default_rng(seed)
    kinds = [
        stats.uniform(rng.uniform(0.2, 1), rng.uniform(0.1, 2)),
        stats.gamma(rng.uniform(1, 4), loc=0.1),
        stats.lognorm(rng.uniform(0.1, 0.6)),
        stats.truncnorm(-2, 2, loc=3, scale=rng.uniform(0.1, 1)),
        stats.randint(1, 5),
        stats.poisson(2, loc=1),
    ]
    pick = [kinds[i] for i in rng.permutation(len(kinds))[:3]]
    nodes = co.RandomNodes(co.swing_turbine, inertia=pick[0], damping=0.3, inverse_droop=pick[1], time_constant=pick[2])
    s = 1j * np.array([0.05, 0.6, 4.0])
    found, count = nodes.inverse_moments(s), 40_000
    z = nodes.draw(count, random_state=seed).inverse(s)
    assert (np.abs(z.mean(axis=1) - found.mean) <= 5 * np.sqrt(found.variance / count)).all()
    fourth = (np.abs(z - found.mean[:, None]) ** 4).mean(axis=1)
    assert (np.abs((np.abs(z - found.mean[:, None]) ** 2).mean(axis=1) - found.variance) <= 8 * np.sqrt(fourth / count)).all()


def test_gauss_rules_are_those_of_legendre_and_hermite():
    legendre = np.polynomial.legendre.leggauss(7)
    x, w = gauss_rule(*discretised(stats.uniform(-1, 2).ppf, stats.uniform(-1, 2).isf), 7)
    assert x == pytest.approx(legendre[0], abs=1e-12)
    assert w == pytest.approx(legendre[1] / 2, abs=1e-12)
    hermite = np.polynomial.hermite_e.hermegauss(6)
    x, w = gauss_rule(*discretised(stats.norm.ppf, stats.norm.isf), 6)
    assert x == pytest.approx(hermite[0], abs=1e-10)
    assert w == pytest.approx(hermite[1] / np.sqrt(2 * np.pi), abs=1e-10)
    atoms = gauss_rule(np.array([1.0, 2.0, 5.0]), np.array([0.2, 0.0, 0.8]), 4)
    assert atoms[0].tolist() == [1.0, 5.0]
    assert atoms[1] == pytest.approx([0.2, 0.8])


def test_the_new_distributions_of_scipy_serve_too():
    old = co.RandomNodes(co.swing, inertia=stats.uniform(1, 2), damping=0.5)
    new = co.RandomNodes(co.swing, inertia=stats.Uniform(a=1.0, b=3.0), damping=0.5)
    s = 1j * OMEGA
    assert new.expected_dynamics(s) == pytest.approx(old.expected_dynamics(s), rel=1e-12)
    assert len(new.draw(5, random_state=1)) == 5


def test_dependent_coefficients_come_from_a_family_that_computes_them():
    """Inertia and damping both grow with one rating."""

    def machine(rating):
        return co.swing(inertia=2 * rating, damping=0.1 * rating)

    nodes = co.RandomNodes(machine, rating=stats.uniform(1, 1))
    moments = nodes.inverse_moments(3j)
    assert moments.mean[0] == pytest.approx(1.5 * (6j + 0.1))
    assert moments.variance[0] == pytest.approx(abs(6j + 0.1) ** 2 / 12)
    assert moments.largest[0] == pytest.approx(2 * abs(6j + 0.1))
    assert nodes.tables["coefficients"].loc["rating", "mean"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: co.RandomNodes(co.swing, inertia=1.0, damping=0.1), "no coefficient is random"),
        (
            lambda: co.RandomNodes(co.swing, inertia="heavy", damping=stats.uniform()),
            "'inertia' is 'heavy'; give a number, a frozen",
        ),
        (lambda: co.RandomNodes(3, inertia=stats.uniform()), "the family is 3"),
        (
            lambda: co.RandomNodes(co.swing, inertia=stats.norm(0.1), damping=1).draw(9, random_state=0),
            "inertia m = -.*narrow them",
        ),
        (lambda: co.RandomNodes(co.swing, inertia=stats.uniform(1), damping=1).draw(0), "n = 0"),
    ],
)
def test_random_nodes_refuse_what_they_cannot_use(make, message):
    with pytest.raises(co.InputError, match=message):
        make()


def test_a_distribution_without_variance_is_an_error():
    with pytest.raises(co.ToleranceError, match="no mean and variance"):
        co.RandomNodes(co.swing, inertia=1.0, damping=stats.cauchy()).inverse_moments(1j)


def test_a_family_with_a_dead_band_is_found_out_not_averaged_away():
    """A feature between the points of small Gauss rules: refused, or right from samples."""

    def family(x):
        x = np.asarray(x, float)
        return co.swing(inertia=np.ones(x.size), damping=0.5 + 50 * np.maximum(x - 2.4, 0))

    with pytest.raises(co.ToleranceError, match=r"do not settle as points are added|over 20000 draws"):
        co.RandomNodes(family, x=stats.norm()).inverse_moments([1j])
    sample = stats.norm.rvs(size=50_000, random_state=1)
    found = co.RandomNodes(family, x=sample).inverse_moments([1j])
    assert found.mean[0] == pytest.approx(family(sample).inverse([1j]).mean(), rel=1e-12)
    assert found.variance[0] == pytest.approx(family(sample).damping.var(), rel=1e-9)


def test_discrete_distributions_have_the_values_they_are_given():
    listed = stats.rv_discrete(values=([1.5, 5.2, 9.7], [0.2, 0.3, 0.5]))()
    nodes = co.RandomNodes(co.swing, inertia=listed, damping=0.5)
    assert nodes.inverse_moments([1j]).mean[0] == pytest.approx(0.5 + 6.71j)
    assert nodes.tables["coefficients"].loc["inertia", "mean"] == pytest.approx(6.71)
    for wide in (stats.zipf(2.5), stats.randint(1, 10**10), stats.geom(1e-10)):
        with pytest.raises(co.ToleranceError, match="more than 1000000 values"):
            co.RandomNodes(co.swing, inertia=wide, damping=0.5).inverse_moments([1j])


# --- graph families ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (co.complete_graph(7), nx.complete_graph(7)),
        (co.ring_graph(9, neighbours=2), nx.circulant_graph(9, [1, 2])),
        (co.star_graph(6), nx.star_graph(5)),
        (co.lattice_graph(16), nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4))),
        (co.erdos_renyi_graph(8, probability=1.0, random_state=1), nx.complete_graph(8)),
    ],
)
def test_families_are_those_of_networkx(ours, theirs):
    assert (ours.toarray() == nx.laplacian_matrix(theirs, nodelist=sorted(theirs)).toarray()).all()


def test_pairs_of_an_erdos_renyi_graph_are_equally_likely():
    counts = np.zeros((6, 6))
    rng = np.random.default_rng(0)
    for _ in range(4000):
        counts -= co.erdos_renyi_graph(6, probability=0.3, random_state=rng).toarray()
    share = counts[np.triu_indices(6, 1)] / 4000
    assert np.abs(share - 0.3).max() <= 5 * np.sqrt(0.3 * 0.7 / 4000)
    edges = [sp.triu(co.erdos_renyi_graph(400, probability=0.01, random_state=i), 1).nnz for i in range(50)]
    assert abs(np.mean(edges) - 798) <= 5 * np.sqrt(798 * 0.99 / 50)


def test_weights_may_be_drawn_and_must_be_positive():
    drawn = co.ring_graph(50, weight=stats.uniform(1, 2), random_state=3)
    weights = -sp.triu(drawn, 1).data
    assert weights.min() > 1
    assert weights.max() < 3
    assert len(set(weights.tolist())) == 50
    for call, message in (
        (lambda: co.star_graph(4, weight=-1.0), "weights must be > 0"),
        (lambda: co.lattice_graph(10), "no square number"),
        (lambda: co.ring_graph(5, neighbours=3), "give 1 to 2 of them"),
        (lambda: co.erdos_renyi_graph(5, probability=0.0), r"give one in \(0, 1\]"),
        (lambda: co.complete_graph(1), "give a number of nodes >= 2"),
    ):
        with pytest.raises(co.InputError, match=message):
            call()


# --- concentration ----------------------------------------------------------------------------------------------------


def test_draws_of_an_ensemble_are_those_of_plain_linear_algebra(turbines):
    """Every draw recomputed from its network, T by inversion."""
    from coherence.theory.concentration import drawn_network

    graph, w = partial(co.erdos_renyi_graph, probability=0.4), np.array([0.3, 2.0])
    found = co.concentration(turbines, graph, [6, 12], w, draws=3, random_state=4, n_jobs=1)
    seeds = np.random.default_rng(4).spawn(6)
    for i, n in enumerate((6, 12)):
        for j in range(3):
            network = drawn_network(turbines, graph, n, co.Rational.of("1/s"), seeds[3 * i + j])
            for k, omega in enumerate(w):
                z = network.nodes.inverse(1j * omega)[0]
                t = np.linalg.inv(np.diag(z) + network.dense_laplacian / (1j * omega))
                assert found.coherent[i, j, k] == pytest.approx(1 / z.mean(), rel=1e-12)
                assert found.incoherence[i, j, k] == pytest.approx(np.linalg.norm(t - 1 / z.sum(), 2), rel=1e-7)
                assert found.distance[i, j, k] == pytest.approx(np.linalg.norm(t - found.expected[k] / n, 2), rel=1e-7)
            own = np.linalg.eigvalsh(network.dense_laplacian)[1]
            assert found.connectivity[i, j] == pytest.approx(max(own, 0.0), abs=1e-9)


@pytest.mark.parametrize("deviation", [0.03, 0.1, 0.3])
def test_no_deviation_is_more_frequent_than_chebyshev_allows(turbines, deviation):
    """10 000 draws of g_bar_n for each n."""
    w, draws = np.geomspace(0.05, 5, 6), 10_000
    moments = turbines.inverse_moments(1j * w)
    expected = 1 / moments.mean
    for n in (1, 3, 10, 40):
        z = turbines.draw(draws * n, random_state=n).inverse(1j * w).reshape(len(w), draws, n)
        observed = (np.abs(1 / z.mean(axis=2) - expected[:, None]) >= deviation * np.abs(expected)[:, None]).mean(axis=1)
        variance, printed = chebyshev_bounds(moments, n, deviation * np.abs(expected))
        assert (observed <= variance.value).all()
        assert (variance.value <= printed.value).all()
        raw = variance.ingredients["variance"] * 32  # Var <= M2^2: never less than 32 times sharper
        assert (raw <= 32 * printed.ingredients["M2"] ** 2 * (1 + 1e-12)).all()
        assert (np.abs(1 / z.mean(axis=2)) <= printed.ingredients["M1"][:, None] * (1 + 1e-3)).all()
        assert (np.abs(z) <= printed.ingredients["M2"][:, None, None] * (1 + 1e-12)).all()


def test_both_bounds_are_their_formulas():
    """Uniform damping at s = 2j: mean, variance, M1 and M2 by hand."""
    moments = co.RandomNodes(co.swing, inertia=1.0, damping=stats.uniform(0.5, 1.0)).inverse_moments([2j])
    size, eps, n = 1 / abs(1 + 2j), 0.2, 7000
    variance, printed = chebyshev_bounds(moments, n, np.array([eps]))
    assert variance.value[0] == pytest.approx((1 / 12) * size**2 * (size + eps) ** 2 / (eps**2 * n), rel=1e-9)
    m1, m2 = 1 / abs(0.5 + 2j), abs(1.5 + 2j)
    assert printed.ingredients["M1"][0] == pytest.approx(m1, rel=1e-3)
    assert printed.ingredients["M2"][0] == pytest.approx(m2, rel=1e-12)
    assert printed.value[0] == pytest.approx(32 * m1**2 * m2**2 * (m1 + eps) ** 2 / (eps**2 * n), rel=5e-3)


def test_a_heavier_tail_silences_the_sources_bound_only():
    nodes = co.RandomNodes(co.swing, inertia=stats.lognorm(0.5), damping=0.1)
    variance, printed = chebyshev_bounds(nodes.inverse_moments(1j), 500, np.array([0.2]))
    assert 0 < variance.value[0] < 1
    assert np.isinf(printed.value[0])
    assert not printed.holds[0]


def test_complete_graphs_of_random_nodes_concentrate_and_stars_do_not(turbines):
    """Theorem 3.7 needs lambda_2 to grow: g_bar_n concentrates on any graph, T_n where the graph gets tighter."""
    sizes, w = [20, 80, 320], np.array([0.1, 0.3])
    tight = co.concentration(turbines, co.complete_graph, sizes, w, draws=20, n_jobs=1)
    loose = co.concentration(turbines, co.star_graph, sizes, w, draws=20, n_jobs=1)
    closer = tight.frame["|g_bar_n - g_hat|/|g_hat|, median"]
    assert closer.iloc[-1] < 0.5 * closer.iloc[0]
    assert tight.frame["distance, median"].iloc[-1] < 0.35 * tight.frame["distance, median"].iloc[0]
    assert loose.frame["distance, median"].iloc[-1] > 0.9 * loose.frame["distance, median"].iloc[0]
    assert tight.frame["lambda_2, median"].to_numpy() == pytest.approx(sizes)
    assert tight.observed_anywhere.shape == (3,)
    assert (tight.observed.max(axis=1) <= tight.observed_anywhere).all()


def test_the_same_draws_come_from_any_number_of_processes(turbines):
    seen = []
    given = (turbines, partial(co.erdos_renyi_graph, probability=0.5), [5, 9], [0.5])
    one = co.concentration(*given, draws=4, random_state=7, n_jobs=1, progress=lambda what, done: seen.append((what, done)))
    two = co.concentration(*given, draws=4, random_state=7, n_jobs=2)
    assert (one.coherent == two.coherent).all()  # norms may round otherwise with other threads of the linear algebra library
    assert two.distance == pytest.approx(one.distance, rel=1e-7)
    assert two.connectivity == pytest.approx(one.connectivity, rel=1e-12)
    assert [done for _, done in seen] == pytest.approx(np.arange(1, 9) / 8)
    assert seen[0][0] == "random networks"
    other = co.concentration(*given, draws=4, random_state=8, n_jobs=1)
    assert (one.distance != other.distance).any()


def test_graphs_of_networkx_and_of_ones_own_serve_too(turbines):
    def own(n, random_state):
        return nx.gnp_random_graph(n, 0.9, seed=int(random_state.integers(2**31)))

    found = co.concentration(turbines, own, [8], [1.0], draws=2, n_jobs=1)
    assert found.connectivity.shape == (1, 2)
    with pytest.raises(co.InputError, match="does not take random_state; give a function"):
        co.concentration(turbines, nx.complete_graph, [8], [1.0], draws=1, n_jobs=1)
    with pytest.raises(co.InputError, match=r"Laplacian of shape \(3, 3\) for n = 8"):
        co.concentration(turbines, lambda n, random_state: np.zeros((3, 3)), [8], [1.0], draws=1, n_jobs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [1]}, "sizes holds 1"),
        ({"sizes": []}, "sizes is empty"),
        ({"sizes": [4, 4]}, "holds one twice"),
        ({"omega": [0.0, 1.0]}, "give frequencies > 0"),
        ({"omega": [-1.0]}, "is negative"),
        ({"draws": 0}, "draws = 0"),
        ({"deviation": 0.0}, "deviation = 0"),
        ({"n_jobs": 0}, "n_jobs = 0"),
        ({"nodes": 3}, "nodes is a int"),
        ({"cluster": 5}, "cluster is a int"),
    ],
)
def test_ensembles_refuse_what_they_cannot_use(turbines, change, message):
    given = {"nodes": turbines, "graph": co.complete_graph, "sizes": [4], "omega": [1.0], "draws": 1, "n_jobs": 1} | change
    with pytest.raises(co.InputError, match=message):
        co.concentration(**given)


# --- a cluster --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two workers, each a process of its own, as an administrator would start them."""
    command = [sys.executable, "-m", "dask"]
    log = (tmp_path / "scheduler.log").open("w")
    scheduler = subprocess.Popen(
        [*command, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter"], stderr=log, cwd=tmp_path
    )
    started, address = time.monotonic(), None
    while address is None and time.monotonic() - started < 60:
        time.sleep(0.1)
        found = re.search(r"Scheduler at:\s+(tcp://\S+)", (tmp_path / "scheduler.log").read_text())
        address = found and found[1]
    workers = [
        subprocess.Popen(
            [*command, "worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"],
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        for _ in range(2)
    ]
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()
    log.close()


def where(number):
    time.sleep(0.05)
    return number**2, os.getpid()


def test_a_dask_cluster_does_the_work_and_survives_the_loss_of_a_worker(cluster, turbines):
    from distributed import Client

    address, workers = cluster
    with Client(address, timeout=30, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    seen = []

    def watch(what, done):
        seen.append(done)
        if done >= 0.3 and workers[1].poll() is None:
            workers[1].send_signal(signal.SIGKILL)

    found = each(where, [(i,) for i in range(80)], cluster=address, progress=watch)
    assert [value for value, _ in found] == [i**2 for i in range(80)]
    assert workers[1].wait() == -signal.SIGKILL
    assert {pid for _, pid in found} <= {worker.pid for worker in workers}
    assert len({pid for _, pid in found}) == 2
    assert seen == pytest.approx(np.arange(1, 81) / 80)
    given = (turbines, co.complete_graph, [5, 9], [0.5])
    there = co.concentration(*given, draws=4, random_state=7, cluster=address)
    here = co.concentration(*given, draws=4, random_state=7, n_jobs=1)
    assert (there.coherent == here.coherent).all()
    assert there.distance == pytest.approx(here.distance, rel=1e-7)


def test_one_thread_of_one_worker_does_the_work_and_none_left_is_one_sentence(cluster, monkeypatch):
    monkeypatch.setattr("coherence.parallel.ANSWER", 3)
    address, workers = cluster
    workers[1].kill()
    found = each(where, [(i,) for i in range(5)], cluster=address)
    assert {pid for _, pid in found} == {workers[0].pid}
    with pytest.raises(co.ClusterError, match="has no workers; start some"):
        each(where, [(i,) for i in range(200)], cluster=address, progress=lambda what, done: workers[0].kill())


def test_a_killed_process_of_this_machine_is_one_sentence():
    with pytest.raises(co.ClusterError, match="a process of this machine was killed"):
        each(ends_itself, [(1,), (2,)], n_jobs=2)


def ends_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_dask_address_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setattr("coherence.parallel.ANSWER", 1)
    with pytest.raises(co.ClusterError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9' within 1 s") as caught:
        each(where, [(1,)], cluster="tcp://127.0.0.1:9")
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(co.ClusterError, match="no Dask scheduler answers at 'nonsense'"):
        each(where, [(1,)], cluster="nonsense")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_limit_of_connectivity_is_of_order_minus_one_and_below_its_bounds(iceland):
    found = co.connectivity_limit(iceland, np.geomspace(0.01, 1, 12))
    assert found.order == pytest.approx(-1, abs=1e-3)
    assert (found.exact <= found.hull).all()
    assert (found.hull <= found.bound).all()
    assert np.isfinite(found.bound).sum() == 7
    assert (np.diff(found.exact) < 0).all()
    assert found.values[0] == pytest.approx(iceland.algebraic_connectivity)


def test_the_limit_at_a_pole_of_f_is_of_first_order(iceland):
    found = co.pole_limit(iceland)
    assert found.order == pytest.approx(1, abs=1e-3)
    assert (found.exact <= found.hull).all()
    assert (found.exact <= found.bound).all()
    other = co.Network(iceland.nodes, iceland.laplacian, ([1.0], [1.0, 0.3]))
    assert co.pole_limit(other, pole=-0.3, radii=[1e-3, 1e-4, 1e-5]).order == pytest.approx(1, abs=1e-2)
    with pytest.raises(co.InputError, match=r"0 is no pole of the coupling f \(poles: -0.3\)"):
        co.pole_limit(other)
    with pytest.raises(co.InputError, match="give frequencies > 0"):
        co.connectivity_limit(iceland, [0.0, 1.0])
    with pytest.raises(co.InputError, match="descending"):
        co.pole_limit(iceland, radii=[1e-3, 1e-2])


def test_the_limit_of_size_follows_lambda_2(turbines):
    found = co.size_limit(turbines, co.complete_graph, [30, 100, 1000], [0.1, 0.5])
    assert found.order == pytest.approx(-1, abs=0.1)
    assert (found.exact <= found.hull).all()
    assert (found.hull <= found.bound).all()
    star = co.size_limit(turbines, co.star_graph, [30, 300], [0.1, 0.5])
    assert star.exact[1] > 0.8 * star.exact[0]
    with pytest.raises(co.DisconnectedError):
        co.size_limit(turbines, partial(co.erdos_renyi_graph, probability=0.001), [30, 40], [0.5])


@given(st.integers(0, 2**32 - 1))
def test_the_bound_over_a_band_holds_at_every_frequency_of_it(seed):
    from tests.draws import random_laplacian, random_nodes

    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    coupling = ["1/s", "1", ([1.0, 2.0], [1.0, 1.0, 0.0]), ([1.0], [1.0, 0.4, 4.0])][rng.integers(4)]
    network = co.Network(random_nodes(rng, n), 10.0 ** rng.uniform(0, 4) * random_laplacian(rng, n), coupling)
    eta = np.sort(10.0 ** rng.uniform(-3, 1, 4))
    bound = co.band_bound(network, eta)
    w = np.unique(np.concatenate([np.linspace(1e-9, eta[-1], 300), eta]))
    exact, s = deviation_norms(network, 1j * w), 1j * w
    z, f = network.nodes.inverse(s), np.abs(network.coupling(s))
    for i, end in enumerate(eta):
        inside = w <= end
        assert exact[inside].max() <= bound.value[i]
        m1, m2, least = (bound.ingredients[name][i] for name in ("M1", "M2", "inf |f|"))
        assert np.abs(z[inside]).max() <= m2 * (1 + 1e-12)
        assert (n / np.abs(z[inside].sum(axis=1))).max() <= m1 * (1 + 1e-12)
        assert f[inside].min() >= least * (1 - 1e-12)
        if np.isfinite(m1):
            assert m2 <= 1.05 * np.abs(z[inside]).max()


def test_a_band_bound_needs_rational_dynamics(iceland):
    delayed = co.Network(iceland.nodes, iceland.laplacian, lambda s: np.exp(-0.1 * s) / s)
    with pytest.raises(co.InputError, match="rational coupling"):
        co.band_bound(delayed, 0.1)
    with pytest.raises(co.InputError, match="give ends of bands > 0"):
        co.band_bound(iceland, 0.0)
    with pytest.raises(co.InputError, match="poles of this coupling are not known"):
        co.pole_limit(delayed)
