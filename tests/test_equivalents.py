"""Equivalent generators: averages of the literature, and fits against truncation, global search and gramians."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import differential_evolution

import coherence as co
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.norms import step_l2
from coherence.numerics.panels import Panels, resolved
from coherence.numerics.realization import Realization, cascade, difference
from coherence.reduction import fitting
from tests.draws import random_nodes

#: unit step on the five generators: L2, Linf, Hinf, measured (Germond-Podmore printed in Table 3-II: 3.9594, 1.9974, 5.1431)
AVERAGES = {"germond_podmore": (3.970, 2.006, 5.167), "weighted_time_constant": (7.480, 3.155, 13.35)}
GUGGILAM = (7.2956, 3.8287, 10.2748)  # printed


def single(nodes):
    """One node by itself."""
    return co.Network(nodes, np.zeros((1, 1)), "1/s")


def machines(seed, n=None, *, m=(0.02, 0.1)):
    """A group of 3 to 12 one-lag machines as one node."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 13)) if n is None else n
    nodes = co.swing_turbine(
        inertia=rng.uniform(*m, n),
        damping=rng.uniform(0.001, 0.02, n),
        inverse_droop=rng.uniform(0.01, 0.05, n),
        time_constant=10 ** rng.uniform(-0.7, 1.3, n),
    )
    return single(nodes.aggregate(np.zeros(n, dtype=int), ["g"]))


def node(polynomial, *sections):
    return Nodes(("g",), np.array(polynomial, dtype=float)[:, None], make_banks([(0, section) for section in sections]))


def lag(gain, tau):
    return Realization(*(np.array([[x]]) for x in (-1 / tau, 1 / tau, gain, 0.0)))


def resonance(w, zeta, gain):
    a = np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]])
    return Realization(a, np.array([[0.0], [w * w]]), np.array([[gain, 0.0]]), np.zeros((1, 1)))


def l2(network, model):
    """By gramians, of the only node."""
    return co.step_error(network, model, co.Step({network.labels[0]: 1.0})).l2


def turbines_l2(network, h):
    """||(h - h_model)/s||_2 by gramians."""
    return step_l2(difference(network.nodes.proper_part()[0], h))


def constants(network):
    """m, d, [r^-1], [tau] of one generator."""
    banks = network.nodes.banks
    pole, residue = (np.concatenate([f(b) for b in banks]) for f in (lambda b: b.a[:, 0, 0], lambda b: b.b[:, 0] * b.c[:, 0]))
    return network.nodes.inertia[0], network.nodes.damping[0], -residue / pole, -1 / pole


@pytest.mark.parametrize("method", AVERAGES)
def test_the_averages_have_their_known_errors_on_five_generators(five, method):
    error = co.step_error(five, co.equivalent_generators(five, method=method), co.Step({five.labels[0]: 1.0}))
    assert [error.l2, error.linf, error.hinf.upper] == pytest.approx(AVERAGES[method], rel=5e-4)


def test_germond_podmore_is_the_printed_row_within_one_percent(five):
    error = co.step_error(five, co.equivalent_generators(five), co.Step({five.labels[0]: 1.0}))
    assert [error.l2, error.linf, error.hinf.upper] == pytest.approx([3.9594, 1.9974, 5.1431], rel=0.01)


def test_no_single_time_constant_gives_the_printed_row_of_guggilam(five):
    """The other rows of Table 3-II are met within 1 %; here the best compromise misses by 2.4 %."""

    def figures(tau):
        droop = five.nodes.inverse(0.0)[0, 0].real - five.nodes.damping[0]
        model = co.swing_turbine(
            inertia=five.nodes.inertia, damping=five.nodes.damping, inverse_droop=droop, time_constant=tau, labels=five.labels
        )
        error = co.step_error(five, single(model), co.Step({five.labels[0]: 1.0}))
        return np.array([error.l2, error.linf, error.hinf.upper])

    assert figures(3.66) == pytest.approx([7.299, 3.830, 10.80], rel=1e-3)
    taus = np.concatenate([np.geomspace(0.05, 100, 80), np.linspace(3.6, 3.8, 41)])
    assert min(np.abs(figures(tau) / GUGGILAM - 1).max() for tau in taus) > 0.024


@pytest.mark.parametrize("seed", range(5))
def test_one_average_keeps_the_asymptote_and_the_other_the_first_moment(seed):
    full = machines(seed)

    def h(network, s):
        return network.nodes.proper_part()[0](s)[0, 0, 0]

    fast, moment = (co.equivalent_generators(full, method=name) for name in AVERAGES)
    assert h(fast, 1e6j) == pytest.approx(h(full, 1e6j), rel=1e-5)
    assert h(moment, 1e-5j).imag == pytest.approx(h(full, 1e-5j).imag, rel=1e-6)
    for model in (fast, moment):
        assert model.nodes.inverse(0.0)[0, 0] == pytest.approx(full.nodes.inverse(0.0)[0, 0], rel=1e-14)


def test_averages_keep_the_network_and_nodes_without_turbines():
    pair = co.swing_turbine(inertia=1, damping=0.1, inverse_droop=[1, 1, 0], time_constant=[2, 6, 1], labels=["a", "b", "c"])
    laplacian = np.array([[1.0, -1], [-1, 1]])
    network = co.Network(pair.aggregate(np.array([0, 0, 1]), ["ab", "c"]), laplacian, "1/s")
    model = co.equivalent_generators(network, method="weighted_time_constant")
    assert (model.labels, model.coupling) == (network.labels, network.coupling)
    assert np.array_equal(model.laplacian, laplacian)
    assert co.read_generators(model.nodes)["turbines"].tolist() == ["2/(4 s + 1)", ""]
    bare = single(co.swing(inertia=[1], damping=1))
    assert co.equivalent_generators(bare).order == 1


def test_averages_say_what_they_cannot_replace(iceland):
    with pytest.raises(co.InputError, match=r"node '.+' has a turbine of order \d, .*linearize with governors='one_lag'"):
        co.equivalent_generators(iceland)
    assert co.equivalent_generators(co.linearize(co.load_case("iceland"), governors="one_lag")).size == iceland.size
    with pytest.raises(co.InputError, match="node 'g' has the negative turbine gain -1"):
        co.equivalent_generators(single(node([1, 1], lag(-1.0, 1.0))))
    with pytest.raises(co.InputError, match=r"node 'g' has a turbine pole at 0\.5"):
        co.equivalent_generators(single(node([1, 1], lag(1.0, -2.0))))
    with pytest.raises(co.InputError, match="give 'germond_podmore' or 'weighted_time_constant'"):
        co.equivalent_generators(iceland, method="guggilam")


@pytest.mark.parametrize(("turbines", "most"), [(1, 1.6701), (2, 0.04917)])
def test_the_fit_of_five_generators_is_better_than_truncation_of_the_same_order(five, turbines, most):
    fit = co.fit_generators(five, turbines=turbines)
    assert fit.table["l2 error"].iloc[0] <= most
    assert most < l2(five, co.truncate(five, turbines + 1, part="closed_loop").network)
    assert co.read_generators(fit.network.nodes)["generator"].all()
    assert fit.table["agreeing"].iloc[0] == fit.table["starts"].iloc[0]


def test_turbines_are_fitted_to_their_own_step_error_which_is_not_the_frequencys(five):
    """Less error of h than the truncation with its factor taken off, but more of g: 5.92 against 4.38."""
    fit = co.fit_generators(five, part="turbines")
    truncated = co.truncate(five, 2, part="turbines")
    h = truncated.network.nodes.proper_part()[0]
    h = h.transformed(left=five.nodes.proper_part()[0].dc_gain() / h.dc_gain())
    assert fit.table["l2 error of turbines"].iloc[0] < turbines_l2(five, h)
    assert (fit.table["inertia"].iloc[0], fit.table["damping"].iloc[0]) == (five.nodes.inertia[0], five.nodes.damping[0])
    assert l2(five, truncated.network) == pytest.approx(4.3775, rel=1e-4)
    assert fit.table["l2 error"].iloc[0] == pytest.approx(5.9204, rel=1e-4)


def test_a_global_search_finds_nothing_better_for_five_generators(five):
    """Differential evolution with gramians: nothing in common with the fit but the question."""
    total, full = five.nodes.inverse(0.0)[0, 0].real, five.realization

    def error(x):
        m, share, tau = np.exp(x[0]), x[1], np.exp(x[2])
        # states: omega, turbine
        a = np.array([[-share * total / m, -1 / m], [(1 - share) * total / tau, -1 / tau]])
        return step_l2(difference(full, Realization(a, np.array([[1 / m], [0.0]]), np.array([[1.0, 0.0]]), np.zeros((1, 1)))))

    box = [(np.log(0.01), np.log(0.5)), (0.0, 0.999), (np.log(0.1), np.log(50.0))]
    found = differential_evolution(error, box, seed=1, maxiter=60, popsize=12, tol=1e-10)
    assert co.fit_generators(five).table["l2 error"].iloc[0] == pytest.approx(found.fun, rel=1e-4)
    assert co.fit_generators(five).table["l2 error"].iloc[0] <= found.fun * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_the_fit_is_never_worse_than_averages_or_truncation(seed):
    full = machines(seed)
    averages = [co.equivalent_generators(full, method=name) for name in AVERAGES]
    for turbines in (1, 2):
        fit = co.fit_generators(full, turbines=turbines)
        error = l2(full, fit.network)
        assert fit.table["l2 error"].iloc[0] == pytest.approx(error, rel=1e-6)
        truncated = co.truncate(full, turbines + 1, part="closed_loop").network
        rivals = [*averages, *([truncated] if co.read_generators(truncated.nodes)["generator"].all() else [])]
        assert error <= min(l2(full, rival) for rival in rivals) * (1 + 1e-9)
        own = co.fit_generators(full, turbines=turbines, part="turbines")
        least = own.table["l2 error of turbines"].iloc[0]
        assert least == pytest.approx(turbines_l2(full, own.network.nodes.proper_part()[0]), rel=1e-6)
        section = co.truncate(full, turbines + 1).network.nodes
        rivals = [average.nodes.proper_part()[0] for average in averages]
        if co.read_generators(section)["generator"].all():
            h = section.proper_part()[0]
            rivals.append(h.transformed(left=full.nodes.proper_part()[0].dc_gain() / h.dc_gain()))
        assert least <= min(turbines_l2(full, rival) for rival in rivals) * (1 + 1e-9)
        for model in (fit, own):
            m, d, r, tau = constants(model.network)
            assert m > 0
            assert d >= 0
            assert (r > 0).all()
            assert (tau > 0).all()
            assert d + r.sum() == pytest.approx(full.nodes.inverse(0.0)[0, 0].real, rel=1e-12)


def test_another_turbine_never_makes_a_fit_worse_and_one_that_gains_nothing_is_left_out():
    full = machines(3)
    errors = [co.fit_generators(full, turbines=j).table["l2 error"].iloc[0] for j in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)
    damped = single(node([1.0, 0.5], resonance(3.0, 0.6, 0.2)))  # complex poles: two real ones would coincide
    row = co.fit_generators(damped, turbines=2, part="turbines").table.iloc[0]
    assert np.isnan(row["time constant 2"])
    assert row["l2 error of turbines"] > 0


@pytest.mark.parametrize("part", ["closed_loop", "turbines"])
def test_machines_of_one_time_constant_are_one_generator(part):
    rng = np.random.default_rng(8)
    m, d, r = rng.uniform(0.1, 1, 6), rng.uniform(0.01, 0.1, 6), rng.uniform(0.1, 1, 6)
    nodes = co.swing_turbine(inertia=m, damping=d, inverse_droop=r, time_constant=3.7)
    fit = co.fit_generators(single(nodes.aggregate(np.zeros(6, dtype=int), ["g"])), turbines=2, part=part)
    found = constants(fit.network)
    assert [found[0], found[1], *found[2], *found[3]] == pytest.approx([m.sum(), d.sum(), r.sum(), 3.7], rel=1e-6)


def test_nodes_that_are_generators_already_are_left_alone():
    nodes = co.concatenate(
        [
            co.swing(inertia=[1], damping=[1], labels=["a"]),
            co.swing_turbine(inertia=[1], damping=[0], inverse_droop=[2], time_constant=[5], labels=["b"]),
            machines(0).nodes,
            Nodes(("bus",), np.zeros((1, 1))),
        ]
    )
    path = np.array([[1.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 1]])
    fit = co.fit_generators(co.Network(nodes, path, "1/s"))
    assert fit.table["starts"].gt(0).tolist() == [False, False, True, False]
    assert fit.table["l2 error"].gt(0).tolist() == [False, False, True, False]
    s = 1j * np.logspace(-2, 2, 9)
    assert np.array_equal(fit.network.nodes.select([0, 1, 3]).inverse(s), nodes.select([0, 1, 3]).inverse(s))
    assert np.isnan(fit.table.loc["a", "time constant 1"])
    assert fit.table.loc["b", "time constant 1"] == 5
    assert np.array_equal(fit.network.laplacian, path)


def test_where_truncation_of_icelands_groups_loses_damping_the_fit_is_a_generator_with_its_error(iceland):
    groups = co.aggregate(iceland, co.spectral_groups(iceland, 3), interconnection="quotient").network
    truncated = co.read_generators(co.truncate(groups, 3, part="closed_loop").network.nodes)
    assert truncated["remark"].str.contains("negative damping").sum() == 2
    fit = co.fit_generators(groups, turbines=2)
    assert co.read_generators(fit.network.nodes)["generator"].all()
    assert fit.table["l2 error"].tolist() == pytest.approx([1.10757, 0.113662, 2.86098], rel=1e-4)
    assert fit.table["relative l2 error"].max() < 0.09
    assert fit.table["at bound"].tolist() == ["damping at 0", "", ""]
    for i, label in enumerate(groups.labels):
        alone = (single(network.nodes.select([i])) for network in (groups, fit.network))
        assert fit.table.loc[label, "l2 error"] == pytest.approx(l2(*alone), rel=1e-6)


def test_a_group_of_hydro_machines_that_is_unstable_alone_is_fitted_by_its_turbines(iceland):
    groups = co.aggregate(iceland, co.spectral_groups(iceland, 4), interconnection="quotient").network
    with pytest.raises(co.InstabilityError, match=r"node '2' is not stable: it has a pole at 0\.46.*part='turbines'"):
        co.fit_generators(groups)
    table = co.fit_generators(groups, part="turbines").table
    assert np.isinf(table["l2 error"]).tolist() == [False, True, False, False]
    assert np.isfinite(table["l2 error of turbines"]).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_error_of_any_rational_node_is_the_gramians(seed):
    """Relative degrees 0 to 2, complex poles, negative gains."""
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, 4, degrees=(0, 1, 2) if seed % 3 == 0 else (0, 1)).aggregate(np.zeros(4, dtype=int), ["g"])
    network = single(nodes)
    if not network.realization.is_stable():
        with pytest.raises(co.InstabilityError):
            co.fit_generators(network)
        return
    for turbines in (1, 2):
        fit = co.fit_generators(network, turbines=turbines)
        assert fit.table["l2 error"].iloc[0] == pytest.approx(l2(network, fit.network), rel=1e-6)


@pytest.mark.parametrize("zeta", [1e-2, 1e-4, 1e-6])
def test_a_sharp_resonance_is_integrated(zeta):
    """Of the turbines, of a filter that keeps the group passive, and of a swing that its turbine hardly damps."""
    turbine = single(node([20.0, 0.5], resonance(3.0, zeta, 0.2)))
    passive = single(node([2.0, 0.5], resonance(3.0, zeta, 0.0)._replace(c=np.array([[0.0, 0.01]])), lag(1.0, 2.0)))
    swinging = single(node([2e-2 * zeta, 0.5], lag(2.0, 30.0), lag(0.3 * zeta, 0.5)))
    fit = co.fit_generators(turbine, part="turbines")
    error = turbines_l2(turbine, fit.network.nodes.proper_part()[0])
    assert fit.table["l2 error of turbines"].iloc[0] == pytest.approx(error, rel=1e-6)
    for network in (passive, swinging):
        fit = co.fit_generators(network)
        assert fit.table["l2 error"].iloc[0] == pytest.approx(l2(network, fit.network), rel=1e-6)


def test_two_thousand_turbines_are_fitted_without_a_dense_matrix(monkeypatch):
    """The same aggregate as twenty turbines, with nothing of 2000 x 2000 on the way."""
    rng = np.random.default_rng(5)
    tau, r = rng.uniform(1, 10, 20), rng.uniform(0.02, 0.05, (100, 20))
    few = co.swing_turbine(inertia=5.0, damping=1.0, inverse_droop=r.sum(axis=0), time_constant=tau)
    many = co.swing_turbine(
        inertia=0.05, damping=0.01, inverse_droop=r.ravel(), time_constant=np.tile(tau, 100) * (1 + 1e-12 * rng.random(2000))
    )
    few, many = (single(nodes.aggregate(np.zeros(len(nodes), dtype=int), ["g"])) for nodes in (few, many))  # 100 s^2/rad
    expected = co.fit_generators(few, turbines=2).table.iloc[0]
    monkeypatch.setattr(fitting, "node_realization", None)
    monkeypatch.setattr(Nodes, "proper_part", None)
    tracemalloc.start()
    table = co.fit_generators(many, turbines=2).table.iloc[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2000**2
    for column in expected.index.drop(["at bound", "starts", "agreeing"]):
        assert table[column] == pytest.approx(expected[column], rel=1e-5)


def test_many_turbines_that_do_not_make_a_stable_group_are_seen_by_the_phase():
    rng = np.random.default_rng(6)
    tau, r = rng.uniform(1, 10, 400), rng.uniform(0.02, 0.05, 400)
    swing = [-0.9 * r.sum(), 5.0]
    bad = single(Nodes(("g",), np.array(swing)[:, None], make_banks([(0, lag(*pair)) for pair in zip(r, tau, strict=True)])))
    unstable = int((bad.poles().real >= 0).sum())
    assert unstable > 0
    with pytest.raises(co.InstabilityError, match=f"node 'g' is not stable: {unstable} of its poles are not in Re s < 0"):
        co.fit_generators(bad)


def test_a_fit_says_what_it_cannot_fit():
    group = machines(1)
    for turbines in (0, 4, 1.5, True):
        with pytest.raises(co.InputError, match="out of range; give an integer from 1 to 3"):
            co.fit_generators(group, turbines=turbines)
    with pytest.raises(co.InputError, match="part = 'droop'; give 'closed_loop' or 'turbines'"):
        co.fit_generators(group, part="droop")
    measured = co.from_responses({"g": lambda s: 1 / (s + 1)})
    with pytest.raises(co.InputError, match="a fit needs rational nodes; 'g' is known by its frequency response only"):
        co.fit_generators(single(measured))
    for bad, part, message in (
        (node([-3.0, 1.0], lag(1.0, 1.0), lag(1.0, 2.0)), "closed_loop", r"g\^-1\(0\) = -1, .*declare damping"),
        (node([0.0, -1.0], lag(1.0, 1.0), lag(1.0, 2.0)), "turbines", "inertia -1 and damping 0, .*use part='closed_loop'"),
        (node([1.0, 1.0, 1.0], lag(1.0, 1.0)), "turbines", "relative degree above 1, .*use part='closed_loop'"),
        (node([3.0, 1.0], lag(-1.0, 1.0)), "turbines", r"h\(0\) = -1, .*use part='closed_loop'"),
        (node([3.0, 1.0], cascade(lag(1.0, 1.0), lag(1.0, -2.0))), "turbines", r"not stable: it has a pole at 0\.5"),
        (node([3.0, 1.0], Realization(np.zeros((1, 1)), np.eye(1), np.eye(1), np.zeros((1, 1)))), "turbines", "integral action"),
        (node([-0.5, 1.0], lag(1.0, 4.0)), "closed_loop", "not stable: it has a pole at"),
    ):
        with pytest.raises(co.InputError, match=message):
            co.fit_generators(single(bad), part=part)


def test_a_turbine_that_only_harms_is_left_out():
    """A turbine of negative gain: the best generator has none."""
    fit = co.fit_generators(single(node([2.0, 1.0], lag(-0.5, 2.0))), turbines=2)
    row = fit.table.iloc[0]
    assert row["at bound"] == "inverse droop 1 at 0"
    assert np.isnan(row["inverse droop 1"])
    assert row["damping"] == 1.5
    assert fit.network.order == 1


@pytest.mark.parametrize(("part", "count"), [("closed_loop", 1), ("closed_loop", 3), ("turbines", 1), ("turbines", 3)])
def test_the_jacobian_is_the_derivative(part, count):
    problem = fitting.Problem(fitting.Response(machines(4).nodes), part)
    lower, upper = problem.bounds(count)
    x = lower + np.random.default_rng(2).uniform(0.4, 0.6, len(lower)) * (upper - lower)
    slope = problem.jacobian(x)
    for j, step in enumerate(1e-6 * np.eye(len(x))):
        change = (problem.residual(x + step) - problem.residual(x - step)) / 2e-6
        assert np.abs(change - slope[:, j]).max() <= 1e-7 * np.abs(slope).max()


def test_a_fit_shows_itself(five):
    fit = co.fit_generators(five)
    assert repr(fit) == "Fit(closed_loop: 1 nodes, at most 1 turbines each)"
    assert fit.facts["largest L2 step error"] == "1.67 at node 'five_generators'"
    assert "time constant 1" in fit.text()
    assert fit.to_dict()["tables"]["nodes"][0]["node"] == "five_generators"


def test_panels_integrate_over_the_whole_half_line():
    """1/(w^2 + a^2): pi/2a; a resonance by its closed form."""
    panels = Panels.between(np.geomspace(0.1, 10, 5))
    for a in (0.5, 1.0, 3.0):
        fine = resolved(panels, lambda w, a=a: 1 / (1j * w + a)[:, None], 1e-9)
        assert (fine.weights / (fine.omega**2 + a * a)).sum() == pytest.approx(np.pi / (2 * a), rel=1e-12)
    w0, zeta = 2.0, 1e-3
    g = resolved(panels.split(np.ones(6, dtype=bool)), lambda w: 1 / (w0**2 - w**2 + 2j * zeta * w0 * w)[:, None], 1e-9)
    # the integral of |g|^2 over 0 < w < inf is pi/(4 zeta w0^3)
    assert (g.weights / np.abs(w0**2 - g.omega**2 + 2j * zeta * w0 * g.omega) ** 2).sum() == pytest.approx(
        np.pi / (4 * zeta * w0**3), rel=1e-10
    )
    with pytest.raises(co.ToleranceError, match="too sharp"):
        resolved(panels, lambda w: np.sin(1e7 * w)[:, None], 1e-9)
