"""Implicit bias of two layers: where training ends, what bounds it, and training at any width through Gram matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coherence import gradient_flow as gf
from coherence.errors import InputError, InstabilityError, ToleranceError
from coherence.gradient_flow import wide_networks
from coherence.gradient_flow.regression import directions
from coherence.gradient_flow.wide_networks import descended, followed

EPS = np.finfo(float).eps


def problem(rng, *, inputs=6, samples=3, outputs=2, scale=0.5):
    """Samples with singular values between 1/2 and 3/2: explicit steps get through."""
    left, singular, right = np.linalg.svd(rng.normal(size=(samples, inputs)), full_matrices=False)
    return gf.squared_loss(rng.normal(size=(samples, outputs)), left * rng.uniform(0.5, 1.5, len(singular)) @ right, scale=scale)


def drawn_network(rng, loss, width, std):
    n, m = loss.shape
    return gf.LinearNetwork([std * rng.normal(size=(n, width)), std * rng.normal(size=(width, m))])


def layers(network):
    return network.weights[0], network.weights[1].T


def trained(network, loss, duration=400.0):
    return gf.gradient_flow(network, loss, duration, times=[0.0, duration], rtol=1e-11, atol=1e-14, stop=1e-26).final


def flat(*, condition=1.0, best=0.4483, inputs=5, samples=2):
    """Data of a given condition number of Sigma_x and norm of X^+ Y, one output."""
    X = np.zeros((samples, inputs))
    X[np.arange(samples), np.arange(samples)] = np.sqrt(np.linspace(condition, 1.0, samples))
    theta = np.zeros((inputs, 1))
    theta[:samples] = best / np.sqrt(samples)
    return X, X @ theta


# the solution of smallest norm


@given(st.integers(0, 2**32 - 1))
def test_the_minimum_norm_solution_fits_and_is_the_shortest_that_does(seed):
    rng = np.random.default_rng(seed)
    samples, n, m, rank = rng.integers(1, 6, size=4)
    X = rng.normal(size=(samples, rank)) @ rng.normal(size=(rank, n))
    Y = rng.normal(size=(samples, m))
    found = gf.minimum_norm_solution(X, Y)
    twin = np.linalg.lstsq(X, Y, rcond=1e-10)[0]
    singular = np.linalg.svd(X, compute_uv=False)
    condition = singular[0] / singular[min(rank, samples, n) - 1]
    np.testing.assert_allclose(found, twin, atol=1e3 * EPS * condition**2 * np.linalg.norm(Y) / singular[0])


def test_the_printed_formula_for_the_unique_solution_is_singular_with_more_samples_than_inputs():
    """Erratum A10: X'(XX')^{-1} Y; XX' has rank 2 of 4 here."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    assert np.linalg.cond(X @ X.T) > 1e14
    unique = np.linalg.solve(X.T @ X, X.T @ Y)
    np.testing.assert_allclose(gf.minimum_norm_solution(X, Y), unique, rtol=1e-12)


# the set from which training is unbiased


def test_from_the_invariant_set_training_ends_at_the_minimum_norm_solution_and_from_elsewhere_not():
    rng = np.random.default_rng(3)
    loss = problem(rng)
    U, V = layers(drawn_network(rng, loss, 12, 0.6))
    best = gf.minimum_norm_solution(loss.X, loss.Y)

    def distance(first):
        return np.linalg.norm(trained(gf.LinearNetwork([first, V.T]), loss).product - best)

    split = directions(loss.X)
    only_second = U - split.unseen @ (split.unseen.T @ U @ V.T @ np.linalg.pinv(V.T))  # V U_2' = 0 alone
    assert np.linalg.norm(V @ only_second.T @ split.unseen) < 1e-13
    assert distance(gf.project_orthogonal(U, V, loss.X)) < 1e-10
    assert distance(only_second) > 0.1
    assert distance(U) > 0.1


def test_the_defect_stays_zero_on_the_invariant_set():
    rng = np.random.default_rng(4)
    loss = problem(rng)
    U, V = layers(drawn_network(rng, loss, 12, 0.6))
    start = gf.LinearNetwork([gf.project_orthogonal(U, V, loss.X), V.T])
    found = gf.gradient_flow(start, loss, 5.0)
    assert max(gf.orthogonality_defect(*layers(network), loss.X) for network in found.networks()) < 1e-10


@given(st.integers(0, 2**32 - 1))
def test_the_projection_is_the_nearest_first_layer_without_defect(seed):
    rng = np.random.default_rng(seed)
    loss = problem(rng, inputs=int(rng.integers(3, 7)), samples=2, outputs=int(rng.integers(1, 3)))
    U, V = layers(drawn_network(rng, loss, 9, 1.0))
    found = gf.project_orthogonal(U, V, loss.X)
    assert gf.orthogonality_defect(found, V, loss.X) < 1e-12 * np.linalg.norm(U) * np.hypot(np.linalg.norm(U), np.linalg.norm(V))
    np.testing.assert_allclose(loss.X @ found, loss.X @ U, atol=1e-12)
    split = directions(loss.X)
    rows = np.vstack([V, split.seen.T @ U])  # the slow twin: each row of U_2 by least squares onto the complement
    twin = split.seen @ (split.seen.T @ U)
    for k, row in enumerate(split.unseen.T @ U):
        twin = twin + np.outer(split.unseen[:, k], row - rows.T @ np.linalg.lstsq(rows.T, row, rcond=None)[0])
    np.testing.assert_allclose(found, twin, atol=1e-10)


def test_the_limit_is_the_minimum_norm_solution_and_what_no_sample_sees():
    rng = np.random.default_rng(5)
    loss = problem(rng)
    start = drawn_network(rng, loss, 10, 0.6)
    end = trained(start, loss)
    limit = gf.limit_of_product(start.weights[0], end.weights[1].T, loss.X, loss.Y)  # U_2 of the start: it never moves
    np.testing.assert_allclose(end.product, limit, atol=1e-10)
    small = gf.gram_network(end, loss)
    assert small.distance == pytest.approx(np.linalg.norm(end.product - gf.minimum_norm_solution(loss.X, loss.Y)), rel=1e-9)
    assert small.defect == pytest.approx(gf.orthogonality_defect(*layers(end), loss.X), rel=1e-12)


def test_balanced_layers_of_a_regression_are_balanced_on_the_samples_only():
    """Erratum A8: V = [...]^{1/4} Q' (printed Q, which is (h, m), does not chain)."""
    rng = np.random.default_rng(6)
    loss = problem(rng, outputs=2)
    theta = rng.normal(size=loss.shape)
    one, other = (gf.balanced_regression(theta, loss.X, 7, random_state=seed) for seed in (0, 1))
    split = directions(loss.X)
    seen = split.seen.T @ one.weights[0]
    assert np.abs(one.product - theta).max() < 10 * EPS * np.linalg.norm(theta)
    assert np.abs(seen.T @ seen - one.weights[1] @ one.weights[1].T).max() < 1e-14
    assert np.abs(one.imbalances[0]).max() > 0.1
    runs = [gf.gradient_flow(network, loss, 2.0) for network in (one, other)]  # Q changes nothing of the loss
    np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-8)


# bounds for given weights


@pytest.mark.parametrize("cases", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_limit_is_farther_than_imbalance_and_margin_of_the_weights_allow(cases):
    rng = np.random.default_rng(7)
    draws, worst, planted = 40, 0.0, 0
    for _ in range(cases // draws):
        inputs, outputs = int(rng.integers(2, 6)), int(rng.integers(1, 3))
        loss = problem(rng, inputs=inputs, samples=int(rng.integers(1, inputs)), outputs=outputs)
        width, std = int(rng.integers(8, 60)), rng.uniform(0.2, 0.8)
        starts = [gf.gaussian_gram(loss, width, std=std, random_state=rng) for _ in range(draws)]
        for start, (end, _) in zip(starts, followed(starts, loss, 1e-12), strict=True):
            bound = gf.bias_of_weights(start, loss)
            size = np.hypot(np.linalg.norm(end.first), np.linalg.norm(end.second))
            assert end.unseen <= bound.distance_bound * (1 + 1e-6)
            assert end.defect <= bound.defect_bound * (1 + 1e-6)
            assert size <= bound.weights_bound * (1 + 1e-6)
            worst = max(worst, end.unseen / bound.distance_bound)
            planted += end.unseen > start.unseen * (1 + 1e-6)  # without the growth, of V alone
    assert worst > 0.2
    assert planted > cases / 20


def test_the_bounds_for_given_weights_hold_along_the_flow():
    rng = np.random.default_rng(8)
    loss = problem(rng, scale=1.5)
    start = gf.gram_network(drawn_network(rng, loss, 40, 0.5), loss)
    bound = gf.bias_of_weights(start, loss)
    run = gf.gradient_flow(start, loss, 3.0)
    assert np.isfinite(bound.growth)
    assert (run.excess <= run.excess[0] * np.exp(-bound.rate * run.times) * (1 + 1e-8) + 1e-15).all()
    assert (run.rates[:20] >= bound.rate).all()
    networks = list(run.networks())
    assert max(network.defect for network in networks) <= bound.defect_bound
    assert start.defect == bound.defect


def test_margin_alone_bounds_the_growth():
    """x = 2, y = 1, u = v = 1/2: E = 1/2, sigma = (1 - 1/2)/2 = 1/4, c = 4 sigma = 1, growth exp(2 x E/(c x^2))."""
    found = gf.bias_of_weights(gf.LinearNetwork([[[0.5]], [[0.5]]]), gf.squared_loss([[1.0]], [[2.0]]))
    assert found.rate == pytest.approx(4.0, rel=1e-12)
    assert found.growth == pytest.approx(np.exp(0.5), rel=1e-12)


def test_without_imbalance_and_margin_the_bound_is_infinite_but_zero_on_the_invariant_set():
    loss = gf.squared_loss([[1.0]], [[1.0, 0.0]])
    assert gf.bias_of_weights(gf.LinearNetwork([[[0.1], [0.3]], [[-0.1]]]), loss).distance_bound == np.inf
    assert gf.bias_of_weights(gf.LinearNetwork([[[0.1], [0.0]], [[-0.1]]]), loss).distance_bound == 0


# bounds for wide Gaussian networks


@pytest.mark.parametrize("constant", ["davidson-szarek", "paper"])
@pytest.mark.parametrize("delta", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_gaussian_weights_start_as_lemma_2_1_says(alpha, delta, constant):
    """1700 draws of each, 20 400 in all; failures would be counted against delta, none were seen."""
    rng = np.random.default_rng(9)
    X, Y = rng.normal(size=(2, 5)), rng.normal(size=(2, 1))
    loss = gf.squared_loss(Y, X)
    spread = gf.implicit_bias_bound(X, Y, 10**4, alpha=alpha, delta=delta, constant=constant).spread
    width = int(16 * spread**2) + 1
    said = gf.implicit_bias_bound(X, Y, width, alpha=alpha, delta=delta, constant=constant)
    failed = loose = tight = 0
    for _ in range(1700):
        start = gf.gaussian_gram(loss, width, alpha=alpha, random_state=rng)
        values = np.linalg.eigvalsh(start.imbalances[0])  # of k = m + r = 3 columns: none is left out
        gap = values[1] - values[0]  # lambda_r(D) + lambda_m(-D), r = 2, m = 1
        joint = np.hypot(start.unseen, np.linalg.norm(start.hidden @ start.first.T))
        product = np.linalg.norm(start.first @ start.second.T)
        failed += not (gap > said.gap and joint <= said.defect and product <= said.product)
        loose += gap <= 2.5 * said.gap  # planted: too large a gap
        tight += joint > said.defect / 8  # planted: too small a defect
    assert failed == 0
    assert loose > 1500
    assert tight > 300


def test_the_bound_of_theorem_2_2_is_the_source_s_and_holds():
    """m = 1, n = 5, r = 2, alpha = 1/2, delta = 0.1, h = 250: 3.68, and of 50 runs the largest distance is well below."""
    X, Y = flat()
    said = gf.implicit_bias_bound(X, Y, 250, delta=0.1, constant="paper")
    assert said.holds
    assert said.value == pytest.approx(3.68, abs=0.005)
    assert 249 < said.min_width < 250
    study = gf.bias_over_width(gf.squared_loss(Y, X), [250], draws=50)
    assert 0.1 < study.distance.max() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.35, 0.5])
def test_no_wide_network_of_ten_thousand_ends_beyond_theorem_2_2(alpha):
    violated = planted = 0
    rng = np.random.default_rng(10)
    for _ in range(50):
        X, Y = flat(condition=rng.uniform(1, 1.9), best=rng.uniform(0.1, 1.0))
        width = int(gf.implicit_bias_bound(X, Y, 10, alpha=alpha).min_width) + 1
        said = gf.implicit_bias_bound(X, Y, width, alpha=alpha)
        study = gf.bias_over_width(gf.squared_loss(Y, X), [width], alpha=alpha, draws=100, random_state=rng)
        violated += int((study.distance > said.value).sum())
        wrong = said.value / width ** (4 * alpha - 1)  # planted: the exponent three times as large
        planted += int((study.distance > wrong).sum())
    assert violated == 0
    assert planted > 1000


@pytest.mark.parametrize("alpha", [0.3, 0.4, 0.5])
def test_the_bias_falls_with_the_width_at_the_rate_of_theorem_2_2(alpha):
    """Erratum A9: O(h^{-(2 alpha - 1/2)}), printed without the minus in two lists."""
    rng = np.random.default_rng(1)
    loss = gf.squared_loss(rng.normal(size=(2, 1)), rng.normal(size=(2, 5)))
    study = gf.bias_over_width(loss, [1000, 10_000, 100_000], alpha=alpha, draws=100)
    assert study.slope == pytest.approx(-(2 * alpha - 0.5), abs=0.02)


def test_the_sources_spread_is_below_the_proved_one_unless_delta_is_tiny():
    """Erratum A18: log(2/delta)/2 >= sqrt(2 log(2/delta)) from delta = 2 exp(-8) down only."""
    X, Y = flat()
    for factor, smaller in ((1.01, True), (0.99, False)):
        delta = factor * 2 * np.exp(-8)
        paper, proved = (
            gf.implicit_bias_bound(X, Y, 10**6, delta=delta, constant=constant).spread for constant in ("paper", "davidson-szarek")
        )
        assert (paper < proved) is smaller


def test_with_too_little_width_the_bound_is_infinite():
    X, Y = flat(condition=10.0)
    said = gf.implicit_bias_bound(X, Y, 1000)
    assert (said.value, said.holds) == (np.inf, False)
    assert np.isfinite(gf.implicit_bias_bound(X, Y, said.min_width * 1.001).value)


def test_the_flow_of_unit_weights_is_the_same_slowed_down():
    rng = np.random.default_rng(11)
    X, Y = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    network = gf.gaussian((4, 30, 2), std=30**-0.4, random_state=0)
    form = gf.ntk_form(network, alpha=0.4)
    assert np.std(form.network.weights[0]) == pytest.approx(1, abs=0.2)
    direct = gf.gradient_flow(network, gf.squared_loss(Y, X), 1.0, times=[1.0]).final
    scaled = gf.squared_loss(Y, X, output_scale=form.output_scale)
    slow = gf.gradient_flow(form.network, scaled, form.speed, times=[form.speed]).final
    np.testing.assert_allclose(slow.weights[0] * 30**-0.4, direct.weights[0], atol=1e-8)
    np.testing.assert_allclose(slow.product * form.output_scale, direct.product, atol=1e-8)


# any width


def test_descent_in_few_columns_is_direct_descent():
    rng = np.random.default_rng(12)
    loss = problem(rng, inputs=12, samples=8, outputs=2, scale=1 / 8)
    wide = drawn_network(rng, loss, 300, 300**-0.5)
    small = gf.gram_network(wide, loss)
    direct = gf.gradient_descent(wide, loss, 0.02, 4000)
    fast = gf.gradient_descent(small, loss, 0.02, 4000)
    assert small.second.shape[1] == 10
    assert max(np.abs(a.product - b.product).max() for a, b in zip(direct.networks(), fast.networks(), strict=True)) < 1e-12
    np.testing.assert_allclose(fast.losses, direct.losses, atol=1e-12)
    np.testing.assert_allclose(fast.rates[:5], direct.rates[:5], rtol=1e-10)


def grams(network):
    """G = ZZ' and C = Z U_2' of Z = [V; U_1]."""
    stacked = np.vstack([network.second, network.first])
    return stacked @ stacked.T, stacked @ network.hidden.T


def test_the_gram_matrix_follows_its_own_recursion():
    """The slow twin: G <- (I + eta A) G (I + eta A), C <- (I + eta A) C."""
    rng = np.random.default_rng(13)
    loss = problem(rng)
    network = gf.gram_network(drawn_network(rng, loss, 50, 0.2), loss)
    r, m, eta = network.split.rank, 2, 0.01
    G, C = grams(network)
    S, target = np.diag(network.split.singular), network.split.left.T @ loss.Y
    for _ in range(100):
        SE = S @ (target - S @ G[m:, :m])
        step = np.eye(m + r) + eta * np.block([[np.zeros((m, m)), SE.T], [SE, np.zeros((r, r))]])
        G, C = step @ G @ step, step @ C
    end = gf.gradient_descent(network, loss, eta, 100).final
    np.testing.assert_allclose(grams(end)[0], G, atol=1e-13)
    np.testing.assert_allclose(grams(end)[1], C, atol=1e-13)


@given(st.integers(0, 2**32 - 1))
def test_a_narrow_network_has_the_wide_one_s_products_gradients_and_imbalance(seed):
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 6))
    loss = problem(rng, inputs=inputs, samples=int(rng.integers(1, 7)), outputs=int(rng.integers(1, 4)))
    wide = drawn_network(rng, loss, int(rng.integers(3, 40)), 0.4)
    small = gf.gram_network(wide, loss)
    split = small.split
    np.testing.assert_allclose(small.product, wide.product, atol=1e-13)
    np.testing.assert_allclose(small.narrow().product, wide.product, atol=1e-13)
    assert small.loss(loss) == pytest.approx(wide.loss(loss), rel=1e-11)
    squares = [sum(float(np.vdot(g, g)) for g in network.gradient(loss)) for network in (small, wide)]
    assert squares[0] == pytest.approx(squares[1], rel=1e-10, abs=1e-12)
    seen = split.seen.T @ wide.weights[0]
    values = np.linalg.eigvalsh(seen.T @ seen - wide.weights[1] @ wide.weights[1].T)
    ours = np.linalg.eigvalsh(small.imbalances[0])
    rest = np.zeros(len(values) - len(ours))
    np.testing.assert_allclose(np.sort(np.append(ours, rest)), values, atol=1e-12)


@pytest.mark.parametrize("width", [2, 3, 4, 40])
def test_drawn_in_few_columns_a_wide_network_has_the_law_of_one_drawn_whole(width):
    """m + r = 3 columns: below, at and above them. Two-sample Kolmogorov-Smirnov tests at one in a thousand."""
    rng = np.random.default_rng(14)
    loss = problem(rng, inputs=4, samples=2, outputs=1)
    std = width**-0.5
    few = [gf.gaussian_gram(loss, width, random_state=rng) for _ in range(1500)]
    whole = [gf.gram_network(drawn_network(rng, loss, width, std), loss) for _ in range(1500)]
    for measure in (
        lambda network: network.unseen,
        lambda network: network.first[0] @ network.second[0],
        lambda network: np.linalg.norm(network.hidden @ network.first.T),
        lambda network: np.linalg.eigvalsh(network.imbalances[0])[-1],
    ):
        assert stats.ks_2samp([measure(n) for n in few], [measure(n) for n in whole]).pvalue > 1e-3
    wrong = [gf.gaussian_gram(loss, width, std=1.2 * std, random_state=rng) for _ in range(1500)]
    assert stats.ks_2samp([n.unseen for n in wrong], [n.unseen for n in whole]).pvalue < 1e-3


def test_the_study_of_widths_descends_and_flows_like_single_runs():
    rng = np.random.default_rng(15)
    loss = problem(rng, scale=0.2)
    start = gf.gaussian_gram(loss, 200, random_state=0)
    end, steps = descended(start, loss, 0.05, 10_000, 1e-9)
    direct = gf.gradient_descent(start, loss, 0.05, steps).final
    np.testing.assert_allclose(end.product, direct.product, atol=1e-12)
    assert end.loss(loss) - loss.minimum <= 1e-9 < gf.gradient_descent(start, loss, 0.05, steps - 1).excess[-1]
    starts = [gf.gaussian_gram(loss, 200, random_state=seed) for seed in range(3)]
    for start, (end, _) in zip(starts, followed(starts, loss, 1e-18), strict=True):
        np.testing.assert_allclose(end.product, trained(start, loss).product, atol=1e-6)


def test_more_draws_or_widths_change_none_of_the_others():
    loss = problem(np.random.default_rng(16))
    small, large = gf.bias_over_width(loss, [100], draws=2), gf.bias_over_width(loss, [50, 100], draws=3)
    np.testing.assert_allclose(small.unseen_start[0], large.unseen_start[1, :2], rtol=1e-15)
    np.testing.assert_allclose(small.distance[0], large.distance[1, :2], rtol=1e-4)
    assert "slope" in large.facts
    assert "slope" not in small.facts


def test_the_slope_is_of_the_limit_and_not_of_what_stop_left_untrained():
    """At a width of 10^11 the residue 1e-5/0.1 of what samples see is larger than what they do not see."""
    loss = gf.squared_loss(np.ones((2, 1)), [[1.0, 0, 0], [0, 0.1, 0]])
    study = gf.bias_over_width(loss, [10**7, 10**9, 10**11], draws=20)
    assert (study.distance[-1] > 2 * study.unseen[-1]).all()
    closer = gf.bias_over_width(loss, [10**7, 10**9, 10**11], draws=20, stop=1e-18)
    moved = np.linalg.norm(closer.unseen - study.unseen, axis=1)  # residue 1e-5 over the singular value 0.1, times a constant
    assert (moved < 1e-3 * np.linalg.norm(closer.unseen, axis=1)).all()
    assert study.slope == pytest.approx(closer.slope, abs=1e-4)
    assert study.slope == pytest.approx(-0.5, abs=0.03)  # 20 draws of spread sqrt(1/2): 0.8/sqrt(20)/log(10^4) twice


def test_there_is_no_slope_of_one_width_nor_where_samples_see_everything():
    seen = gf.squared_loss(np.ones((2, 1)), np.eye(2))
    unseen = gf.squared_loss([[1.0]], [[1.0, 0.0]])
    for study in (gf.bias_over_width(seen, [100, 1000]), gf.bias_over_width(unseen, [100]), gf.bias_over_width(unseen, [9, 9])):
        assert np.isnan(study.slope)
        assert not any("slope" in name for name in study.facts)


def test_stiff_flows_arrive_where_explicit_steps_do_not():
    """Singular values 1 and 1/1000: the twin is `gradient_flow` by Radau."""
    loss = gf.squared_loss(np.ones((2, 1)), [[1.0, 0, 0], [0, 1e-3, 0]])
    study = gf.bias_over_width(loss, [10**6], draws=2)
    assert (study.steps > wide_networks.EXPLICIT_STEPS).all()
    for draw in range(2):
        start = gf.gaussian_gram(loss, 10**6, random_state=np.random.default_rng([0, 10**6, draw]))
        twin = gf.gradient_flow(start, loss, 2e4, times=[0.0, 2e4], method="Radau", stop=1e-10).final
        assert study.unseen[0, draw] == pytest.approx(twin.unseen, rel=1e-5)
        assert study.distance[0, draw] == pytest.approx(twin.distance, rel=0.2)  # either ends somewhere below `stop`


def test_where_the_stiff_solver_does_not_arrive_the_stop_it_names_does(monkeypatch):
    loss = gf.squared_loss(np.ones((2, 1)), [[1.0, 0, 0], [0, 1e-3, 0]])
    monkeypatch.setattr(wide_networks, "EXPLICIT_STEPS", 20)
    monkeypatch.setattr(wide_networks, "FLOW_STEPS", 600)
    with pytest.raises(ToleranceError, match="give a stop of at least") as caught:
        gf.bias_over_width(loss, [10**6], draws=1)
    stop = float(str(caught.value).split()[-1])
    assert stop < 0.5
    assert gf.bias_over_width(loss, [10**6], draws=1, stop=stop).distance.shape == (1, 1)


@pytest.mark.parametrize("step_size", [None, 0.05])
def test_an_interrupted_study_has_the_widths_that_were_finished(step_size):
    loss, widths = gf.squared_loss([[1.0]], [[1.0, 0.0, 0.0]]), [100, 200, 400]
    whole = gf.bias_over_width(loss, widths, draws=2, step_size=step_size)
    assert whole.status == "completed"
    for done in range(3):

        def progress(stage, _, stop=widths[done]):
            if stage == f"width {stop}":
                raise KeyboardInterrupt

        if done == 0:
            with pytest.raises(KeyboardInterrupt):
                gf.bias_over_width(loss, widths, draws=2, step_size=step_size, progress=progress)
            continue
        part = gf.bias_over_width(loss, widths, draws=2, step_size=step_size, progress=progress)
        assert part.status == "interrupted"
        assert repr(part).startswith("WidthStudy(interrupted; ")
        for name in ("widths", "distance", "unseen", "unseen_start", "steps"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[:done])


# bad input


def test_what_cannot_be_used_is_refused_in_one_sentence():
    loss = problem(np.random.default_rng(17))
    network = gf.gaussian((6, 5, 2), random_state=0)
    X, Y = loss.X, loss.Y
    U, V = layers(network)
    cases = [
        (lambda: gf.minimum_norm_solution(X, Y[1:]), "X has 3 samples and Y 2"),
        (lambda: gf.minimum_norm_solution(0 * X, Y), "X is zero"),
        (lambda: gf.orthogonality_defect(U, V[:, 1:], X), "both need one per hidden neuron"),
        (lambda: gf.project_orthogonal(U[1:], V, X), "both need one per input"),
        (lambda: gf.orthogonality_defect(np.nan * U, V, X), "not finite"),
        (lambda: gf.balanced_regression(np.ones((6, 2)), X, 4), "fewer than 2 independent columns"),
        (lambda: gf.balanced_regression(np.ones((6, 2)), X, 1), "below m = 2"),
        (lambda: gf.balanced_regression(np.ones((5, 2)), X, 4), "must be equal"),
        (lambda: gf.implicit_bias_bound(X, Y, 100, alpha=0.25), "1/4 < alpha"),
        (lambda: gf.implicit_bias_bound(X, Y, 100, delta=1.0), "between 0 and 1"),
        (lambda: gf.implicit_bias_bound(X, Y, 100, constant="thesis"), "davidson-szarek, paper"),
        (lambda: gf.implicit_bias_bound(X, Y, -1), "positive"),
        (lambda: gf.implicit_bias_bound(X, Y[1:], 100), "one row of each per sample"),
        (lambda: gf.ntk_form(gf.identity(2, 3)), "3 layers"),
        (lambda: gf.ntk_form(network, alpha=np.nan), "alpha is nan"),
        (lambda: gf.ntk_form(network, alpha=1e4), "alpha is 10000"),
        (lambda: gf.gram_network(gf.identity(2, 3), loss), "3 layers"),
        (lambda: gf.gram_network(network, gf.exponential_loss([[1.0] * 6], [1])), "squared losses"),
        (lambda: gf.gram_network(gf.gaussian((5, 5, 2), random_state=0), loss), "must be equal"),
        (lambda: gf.gaussian_gram(loss, 1), "min(n, m) = 2"),
        (lambda: gf.gaussian_gram(loss, 2.5), "whole number"),
        (lambda: gf.gram_network(network, loss).loss(gf.squared_loss(Y, 2 * X)), "other samples"),
        (lambda: gf.gram_network(network, loss).replaced([U, V]), "are needed"),
        (lambda: gf.bias_over_width(loss, []), "empty"),
        (lambda: gf.bias_over_width(loss, [100], alpha=np.nan), "alpha is nan"),
    ]
    for call, said in cases:
        with pytest.raises(InputError) as caught:
            call()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_descent_that_diverges_or_does_not_arrive_says_so():
    loss = problem(np.random.default_rng(18))
    with pytest.raises(InstabilityError, match="diverged at step"):
        gf.bias_over_width(loss, [100], step_size=10.0)
    with pytest.raises(ToleranceError, match="after 3 steps"):
        gf.bias_over_width(loss, [100], step_size=1e-3, steps=3)


# every constant, where it matters


@pytest.mark.parametrize("condition", [1.4, 3.7])  # 4 condition^2 below and above 16
@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_every_constant_of_theorem_2_2_is_the_printed_one(alpha, condition):
    rng = np.random.default_rng(20)
    left, _, right = np.linalg.svd(rng.normal(size=(3, 6)), full_matrices=False)
    X, Y = left * np.sqrt([condition, 1.3, 1.0]) @ right, rng.normal(size=(3, 2))
    delta, m, n, r = 0.03, 2, 6, 3
    C = np.exp(1 + condition * np.linalg.norm(np.linalg.pinv(X) @ Y))
    s = np.sqrt(m + n) + np.sqrt(2 * np.log(2 / delta))
    least = max(16, 4 * condition**2) ** (1 / (4 * alpha - 1)) * (m * s**2) ** (1 / (4 * alpha - 1))
    h = 2.5 * least
    found = gf.implicit_bias_bound(X, Y, h, alpha=alpha, delta=delta)
    assert found.min_width == pytest.approx(least, rel=1e-10)
    assert found.value == pytest.approx(2 * C ** (h ** (2 * alpha - 1)) * np.sqrt(m + r) * s / h ** (2 * alpha - 0.5), rel=1e-10)
    assert found.spread == pytest.approx(s, rel=1e-12)
    assert found.gap == pytest.approx(h ** (1 - 2 * alpha), rel=1e-12)
    assert found.defect == pytest.approx(2 * np.sqrt(m + r) * s * h ** (0.5 - 2 * alpha), rel=1e-12)
    assert found.product == pytest.approx(2 * np.sqrt(m) * s * h ** (0.5 - 2 * alpha), rel=1e-12)


@pytest.mark.parametrize(("samples", "outputs"), [(2, 2), (3, 2), (2, 3)])
def test_the_bounds_of_given_weights_are_theorem_2_1_term_by_term(samples, outputs):
    """Samples of singular values 2, 1 and 1/2, near the solution: imbalance and margin both count."""
    rng = np.random.default_rng(21)
    left, _, right = np.linalg.svd(rng.normal(size=(samples, 5)), full_matrices=False)
    sigma = np.array([2.0, 1.0, 0.5])[:samples]
    X = left * sigma @ right
    U, V = 0.7 * rng.normal(size=(5, 6)), 0.7 * rng.normal(size=(outputs, 6))
    Y = X @ U @ V.T + 0.02 * rng.normal(size=(samples, outputs))
    found = gf.bias_of_weights(gf.LinearNetwork([U, V.T]), gf.squared_loss(Y, X, scale=0.7))
    E = np.linalg.norm(Y - X @ U @ V.T)
    U1, U2 = right @ U, np.linalg.svd(X)[2][samples:] @ U
    least = (np.linalg.svd(Y)[1][-1] - E) / sigma[0]
    assert least > 0
    spectrum = gf.imbalance_spectrum(U1.T @ U1 - V.T @ V, samples, outputs)
    margins = [least if samples <= outputs else 0.0, least if outputs <= samples else 0.0]  # the r-th and the m-th singular value
    spreads = spectrum.negative_spread, spectrum.positive_spread
    c = sum(np.sqrt((spread + spectrum.gap) ** 2 + 4 * size**2) - spread for spread, size in zip(spreads, margins, strict=True))
    growth = np.exp(2 * sigma[0] * E / (c * sigma[-1] ** 2))
    assert found.rate == pytest.approx(1.4 * sigma[-1] ** 2 * c, rel=1e-9)
    assert found.growth == pytest.approx(growth, rel=1e-9)
    defects = np.linalg.norm(V @ U2.T), np.linalg.norm(U1 @ U2.T)
    assert found.defect == pytest.approx(sum(defects), rel=1e-11)
    assert found.defect_bound == pytest.approx(growth * sum(defects), rel=1e-9)
    assert found.distance_bound == pytest.approx(growth * np.hypot(*defects), rel=1e-9)
    assert found.weights_bound == pytest.approx(growth * np.hypot(np.linalg.norm(U1), np.linalg.norm(V)), rel=1e-9)


def test_the_margin_of_given_weights_is_divided_by_the_largest_singular_value():
    """Balanced near the solution diag(.09, 1) of samples diag(2, .2): an entry decays slower than a margin over .2 would allow."""
    roots, X = np.diag(np.sqrt([0.09, 1.0])), np.diag([2.0, 0.2])
    Y = X @ roots @ roots
    Y[1, 0] += 1e-6
    network, loss = gf.LinearNetwork([roots, roots]), gf.squared_loss(Y, X)
    slowest = 2 * 0.2**2 * (0.09 + 1)
    measured = gf.gradient_flow(network, loss, 1.0).rates[0]
    assert measured == pytest.approx(slowest, rel=1e-4)
    found = gf.bias_of_weights(network, loss).rate
    assert 0 < found < measured
    assert found * 2.0 / 0.2 > 1.5 * measured  # planted


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_the_projection_takes_off_only_what_the_rows_span_where_they_depend_on_each_other(scale):
    """V of rank 1 and U_1 = 0 (or along V): a basis of as many directions as rows would take off more than it may."""
    rng = np.random.default_rng(22)
    X, v = np.eye(2, 5), rng.normal(size=(1, 9))
    V = scale * np.vstack([v, -2 * v])
    for first_rows in (np.zeros((2, 9)), np.vstack([v, 0.3 * v])):
        U = scale * np.vstack([first_rows, rng.normal(size=(3, 9))])
        found = gf.project_orthogonal(U, V, X)
        twin = U.copy()
        twin[2:] -= (U[2:] @ v.T) @ v / np.sum(v**2)
        np.testing.assert_allclose(found, twin, atol=1e-13 * scale)
        assert gf.orthogonality_defect(found, V, X) < 1e-12 * scale**2


# where starts are drawn, and how


def test_starts_that_are_not_seeded_differ_and_seeded_ones_do_not():
    loss = problem(np.random.default_rng(23))
    product = np.ones((6, 1)) @ np.ones((1, 1))
    for draw in (
        lambda **seed: gf.gaussian_gram(loss, 50, **seed).second,
        lambda **seed: gf.balanced_regression(product, loss.X, 4, **seed).weights[0],
        lambda **seed: gf.balanced_relu(3, 4, **seed).W,
    ):
        assert not np.array_equal(draw(), draw())
        assert np.array_equal(draw(random_state=3), draw(random_state=3))


@pytest.mark.parametrize("width", ["a", np.nan, np.inf, 3.5, 0, True, None])
def test_widths_that_are_no_whole_numbers_are_refused_in_one_sentence(width):
    loss = problem(np.random.default_rng(24))
    for call in (
        lambda: gf.gaussian_gram(loss, width),
        lambda: gf.balanced_relu(2, width),
        lambda: gf.balanced_regression(np.ones((6, 1)), loss.X, width),
    ):
        with pytest.raises(InputError, match=r"^width is .*; give a whole number of at least 1$"):
            call()


@pytest.mark.parametrize(("alpha", "width"), [(np.nan, 1), (np.inf, 1), (np.nan, 9), (-1e9, 9), (1e9, 9), ("x", 9), (None, 9)])
def test_an_alpha_that_gives_no_deviation_is_refused_in_one_sentence(alpha, width):
    with pytest.raises(InputError, match=r"^alpha is .*; give a number for which \d+\^-alpha is positive and finite$"):
        gf.gaussian_gram(gf.squared_loss([[1.0]], [[1.0, 0.0]]), width, alpha=alpha)


def test_alpha_is_the_power_of_the_width_that_the_deviation_is():
    loss = problem(np.random.default_rng(26))
    one, other = (
        gf.gaussian_gram(loss, 1000, alpha=0.4, random_state=0),
        gf.gaussian_gram(loss, 1000, std=1000**-0.4, random_state=0),
    )
    np.testing.assert_array_equal(one.narrow().product, other.narrow().product)
    assert one.width == 1000
