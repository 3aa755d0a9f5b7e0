"""Training dynamics: gradients, invariants, the operator T, losses and their constants, initialisations, runs that end early."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import linprog, minimize

import coherence as co
from coherence import gradient_flow as gf
from coherence.gradient_flow import training

EPS = np.finfo(float).eps


@st.composite
def networks(draw, depths=(1, 2, 3, 4)):
    """A network of random widths and weights, with its generator."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m = rng.integers(1, 5, size=2)
    inner = rng.integers(min(n, m), min(n, m) + 4, size=draw(st.sampled_from(depths)) - 1)
    widths = [n, *inner, m]
    return gf.LinearNetwork([rng.normal(size=shape) / np.sqrt(shape[0]) for shape in pairwise(widths)]), rng


def regression(rng, network, samples=None):
    n, m = network.product.shape
    count = samples or n + 2
    return gf.squared_loss(rng.normal(size=(count, m)), rng.normal(size=(count, n)))


def quartic(target):
    return gf.Loss(
        value=lambda W: float(np.sum((W - target) ** 4)),
        gradient=lambda W: 4 * (W - target) ** 3,
        shape=target.shape,
        minimizer=target,
    )


def moved(network, layer, row, column, step):
    weights = [matrix.copy() for matrix in network.weights]
    weights[layer][row, column] += step
    return gf.LinearNetwork(weights)


@given(networks())
def test_gradients_in_closed_form_are_differences_of_the_loss(drawn):
    network, rng = drawn
    for loss in (regression(rng, network), quartic(rng.normal(size=network.product.shape))):
        gradients, step = network.gradient(loss), 1e-5
        size = max(np.abs(gradient).max() for gradient in gradients)
        for layer, gradient in enumerate(gradients):
            row, column = rng.integers(gradient.shape[0]), rng.integers(gradient.shape[1])
            ahead, behind = (moved(network, layer, row, column, sign * step).loss(loss) for sign in (1, -1))
            assert gradient[row, column] == pytest.approx((ahead - behind) / (2 * step), abs=1e-6 * max(size, network.loss(loss)))


@given(networks())
def test_the_squared_gradient_is_the_quadratic_form_of_the_tangent_operator(drawn):
    network, rng = drawn
    loss = regression(rng, network)
    slope = loss.gradient(network.product)
    squares = sum(np.sum(gradient**2) for gradient in network.gradient(loss))
    matrix = network.tangent_matrix()
    assert slope.ravel() @ matrix @ slope.ravel() == pytest.approx(squares, rel=1e-12)
    assert slope.ravel() @ (network.tangent_operator() @ slope.ravel()) == pytest.approx(squares, rel=1e-12)
    least = np.linalg.eigvalsh(matrix)[0]
    assert network.least_tangent_eigenvalue() == pytest.approx(max(least, 0), abs=1e-13 * np.linalg.norm(matrix, 2))


def test_the_least_eigenvalue_of_a_large_tangent_operator_is_found_without_forming_it():
    network = gf.gaussian((21, 60, 50, 20), scheme="fan_out", random_state=3)
    expected = np.linalg.eigvalsh(network.tangent_matrix())[0]
    assert network.least_tangent_eigenvalue() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30)
@given(networks(depths=(2, 3, 4)))
def test_gradient_flow_conserves_every_imbalance(drawn):
    network, rng = drawn
    found = gf.gradient_flow(network, regression(rng, network), 3.0, times=np.linspace(0, 3, 21))
    assert found.imbalance_drift.max() < 1e-9
    assert (np.diff(found.losses) <= 1e-12 * found.losses[0]).all()


@settings(max_examples=30)
@given(networks(depths=(1, 2, 3)))
def test_recorded_rates_are_logarithmic_derivatives_of_the_loss(drawn):
    network, rng = drawn
    times = np.linspace(0, 0.5, 501)
    found = gf.gradient_flow(network, regression(rng, network), 0.5, times=times)
    differences = -np.gradient(np.log(found.excess), times, edge_order=2)
    curvature = np.abs(np.gradient(np.gradient(differences, times), times)).max()  # the error of a central difference, and slack
    assert found.rates[1:-1] == pytest.approx(differences[1:-1], abs=times[1] ** 2 * curvature + 1e-6 * found.rates.max())


def test_descent_is_the_flow_to_first_order_in_the_step():
    rng = np.random.default_rng(5)
    network = gf.gaussian((3, 6, 5, 2), random_state=rng)
    loss = gf.squared_loss(rng.normal(size=(3, 2)))
    exact = gf.gradient_flow(network, loss, 1.0, times=[0.0, 1.0]).final.product
    errors = [
        np.linalg.norm(gf.gradient_descent(network, loss, 1 / steps, steps).final.product - exact) for steps in (400, 800, 1600)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.01)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_narrowed_network_trains_as_the_wide_one(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 4, size=2)
    network = gf.gaussian((n, *rng.integers(4, 30, size=rng.integers(1, 4)), m), random_state=rng)
    narrow = network.narrowed()
    assert all(h <= a + b for a, h, b in zip(narrow.widths, narrow.widths[1:], narrow.widths[2:], strict=False))
    loss = gf.squared_loss(rng.normal(size=(n, m)))
    wide, slim = (gf.gradient_descent(one, loss, 0.02, 200).networks() for one in (network, narrow))
    for one, other in zip(wide, slim, strict=True):
        assert np.abs(one.product - other.product).max() < 1e-12
    for big, little in zip(network.imbalances, narrow.imbalances, strict=True):
        values = np.linalg.eigvalsh(big)
        kept = np.sort(values[np.argsort(-np.abs(values))][: len(little)])
        assert kept == pytest.approx(np.linalg.eigvalsh(little), abs=1e-12 * np.abs(values).max())


def test_descent_takes_the_steps_it_says():
    rng = np.random.default_rng(6)
    network = gf.gaussian((3, 4, 2), random_state=rng)
    loss, weights = gf.squared_loss(rng.normal(size=(3, 2))), [w.copy() for w in network.weights]
    for _ in range(7):
        error = weights[0] @ weights[1] - loss.Y
        weights = [weights[0] - 0.1 * error @ weights[1].T, weights[1] - 0.1 * weights[0].T @ error]
    found = gf.gradient_descent(network, loss, 0.1, 7, record_every=3)
    assert found.steps.tolist() == [0, 3, 6, 7]
    assert found.times == pytest.approx(0.1 * found.steps)
    assert np.abs(found.final.product - weights[0] @ weights[1]).max() < 10 * EPS


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_spectral_starts_decouple_into_scalar_chains(seed, layers):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, size=2)
    k = min(n, m)
    frame, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in (n + 1, n))
    targets = np.linalg.qr(rng.normal(size=(m, m)))[0]
    of_x, of_y = rng.uniform(0.5, 1.5, n), np.sort(rng.uniform(0.5, 2, k))[::-1]
    X = (frame[:, :n] * of_x) @ right.T
    Y = (frame[:, :k] * of_y) @ targets[:, :k].T
    loss = gf.squared_loss(Y, X)
    chains = rng.uniform(0.3, 1.2, (layers, k))
    inner = rng.integers(k, k + 4, size=layers - 1)
    network = gf.spectral(loss, chains, (n, *inner, m), random_state=rng)
    left, values, back = np.linalg.svd(X.T @ Y, full_matrices=False)
    curvature = np.sum((X @ left) ** 2, axis=0)

    def scalars(_, flat):
        s = flat.reshape(layers, k)
        others = np.array([np.prod(np.delete(s, layer, axis=0), axis=0) for layer in range(layers)])
        return ((values - curvature * s.prod(axis=0)) * others).ravel()

    exact = solve_ivp(scalars, (0, 2), chains.ravel(), rtol=1e-12, atol=1e-13).y[:, -1].reshape(layers, k)
    core = left.T @ gf.gradient_flow(network, loss, 2.0, times=[0.0, 2.0]).final.product @ back.T
    assert np.abs(core - np.diag(exact.prod(axis=0))).max() < 1e-8


def test_spectral_starts_are_refused_where_data_share_no_singular_vectors():
    rng = np.random.default_rng(0)
    with pytest.raises(co.InputError, match="share no singular vectors"):
        gf.spectral(gf.squared_loss(rng.normal(size=(6, 2)), rng.normal(size=(6, 3))), np.ones((2, 2)), (3, 4, 2))


@given(networks(depths=(2, 3, 4)), st.booleans())
def test_balanced_networks_have_their_product_and_no_imbalance(drawn, turned):
    network, rng = drawn
    found = gf.balanced(network.product, network.widths, random_state=rng if turned else None)
    size = max(np.linalg.norm(network.product, 2), 1e-3)
    assert np.abs(found.product - network.product).max() < 50 * EPS * size
    assert all(np.abs(matrix).max() < 50 * EPS * max(1, size) for matrix in found.imbalances)


@given(networks(depths=(2, 3)))
def test_weights_numbered_from_the_output_give_the_same_product_and_imbalances_when_reversed(drawn):
    network, _ = drawn
    arora = network.weights[::-1]  # W_1, ..., W_N of W_N ... W_1
    product = arora[0]
    for matrix in arora[1:]:
        product = matrix @ product
    assert np.abs(gf.LinearNetwork(arora[::-1]).product - product).max() <= 20 * EPS * np.linalg.norm(product) * network.depth
    theirs = [upper.T @ upper - lower @ lower.T for lower, upper in pairwise(arora)]
    assert all(np.array_equal(mine, other) for mine, other in zip(network.imbalances, theirs[::-1], strict=True))


@pytest.mark.parametrize(
    ("scheme", "variances"),
    [
        ("unit", (1, 1)),
        ("fan_in", (1 / 300, 1 / 400)),
        ("fan_out", (1 / 400, 1 / 200)),
        ("xavier", (2 / 700, 2 / 600)),
        ("ntk", None),
    ],
)
def test_gaussian_weights_have_the_variances_of_their_scheme(scheme, variances):
    network = gf.gaussian((300, 400, 200), scheme=scheme, random_state=1)
    variances = variances or ((400 * 200) ** -0.5,) * 2
    for matrix, variance in zip(network.weights, variances, strict=True):
        assert np.mean(matrix**2) == pytest.approx(variance, rel=6 * np.sqrt(2 / matrix.size))


@given(st.integers(0, 2**32 - 1))
def test_constants_of_the_squared_loss_hold_and_are_attained(seed):
    rng = np.random.default_rng(seed)
    n, m, count = rng.integers(1, 6, size=3)
    X = rng.normal(size=(count, n))
    if rng.random() < 0.4:
        X[:, -1] = X[:, 0]
    loss = gf.squared_loss(rng.normal(size=(count, m)), X, scale=rng.uniform(0.1, 2), output_scale=rng.uniform(0.1, 2))
    best = loss.value(loss.minimizer)
    assert loss.minimum == pytest.approx(best, abs=1e-12 * loss.value(np.zeros((n, m))))
    for _ in range(5):
        W, V = loss.minimizer + rng.normal(size=(2, n, m))
        slack = 1e-9 * (loss.value(W) + loss.value(V))
        assert np.sum(loss.gradient(W) ** 2) >= loss.pl_constant * (loss.value(W) - loss.minimum) - slack * loss.pl_constant
        gap = loss.value(V) - loss.value(W) - np.sum(loss.gradient(W) * (V - W))
        assert gap <= loss.smoothness / 2 * np.sum((V - W) ** 2) + slack
        assert gap >= (loss.strong_convexity or 0.0) / 2 * np.sum((V - W) ** 2) - slack
    _, singular, right = np.linalg.svd(loss.X)
    rank = int((singular > 1e-10 * singular[0]).sum())
    worst = loss.minimizer + np.outer(right[rank - 1], np.eye(m)[0])
    assert np.sum(loss.gradient(worst) ** 2) == pytest.approx(loss.pl_constant * (loss.value(worst) - loss.minimum), rel=1e-6)


def largest_margin(signed):
    """1/min |z| over z with signed z >= 1, by quadratic programming from a linear program's answer; None without any."""
    start = linprog(np.zeros(signed.shape[1]), A_ub=-signed, b_ub=-np.ones(len(signed)), bounds=(None, None))
    if not start.success:
        return None
    found = minimize(
        lambda z: z @ z,
        start.x,
        jac=lambda z: 2 * z,
        constraints={"type": "ineq", "fun": lambda z: signed @ z - 1, "jac": lambda z: signed},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return 1 / np.linalg.norm(found.x)


@given(st.integers(0, 2**32 - 1))
def test_the_constant_of_the_exponential_loss_is_the_largest_margin(seed):
    rng = np.random.default_rng(seed)
    n, count = rng.integers(1, 5), rng.integers(1, 9)
    X, y = rng.normal(size=(count, n)), rng.choice([-1.0, 1.0], size=count)
    margin = largest_margin(y[:, None] * X)
    if margin is None:
        with pytest.raises(co.InputError, match="no hyperplane through the origin was found"):
            gf.exponential_loss(X, y)
        return
    if margin < 1e-6:
        return
    loss = gf.exponential_loss(X, y)
    assert loss.linear_constant == pytest.approx(margin, rel=1e-4)
    for _ in range(5):
        w = rng.normal(size=(n, 1))
        assert np.linalg.norm(loss.gradient(w)) >= loss.linear_constant * loss.value(w) * (1 - 1e-12)


def test_an_interrupted_descent_keeps_what_was_run_and_goes_on_from_there():
    network = gf.gaussian((3, 6, 2), random_state=2)
    loss = gf.squared_loss(np.random.default_rng(2).normal(size=(3, 2)))
    said = []

    def impatient(stage, done):
        said.append((stage, done))
        if len(said) == 3:
            raise KeyboardInterrupt

    found = gf.gradient_descent(network, loss, 0.05, 100, record_every=10, progress=impatient)
    assert found.status == "interrupted"
    assert found.steps.tolist() == [0, 10, 20, 30]
    assert said == [("gradient descent", share) for share in (0.1, 0.2, 0.3)]
    rest = gf.gradient_descent(found.final, loss, 0.05, 70)
    whole = gf.gradient_descent(network, loss, 0.05, 100)
    assert np.array_equal(rest.final.product, whole.final.product)


def test_an_interrupted_flow_keeps_what_was_run():
    network = gf.gaussian((3, 6, 2), random_state=2)
    loss = gf.squared_loss(np.random.default_rng(2).normal(size=(3, 2)))

    def impatient(stage, done):
        if done > 0.3:
            raise KeyboardInterrupt

    found = gf.gradient_flow(network, loss, 10.0, times=[0.0, 0.1, 10.0], progress=impatient)
    assert found.status == "interrupted"
    assert 3 < found.times[-1] < 10
    exact = gf.gradient_flow(network, loss, 10.0, times=[found.times[-1]])
    assert found.losses[-1] == pytest.approx(exact.losses[0], rel=1e-6)


def test_training_stops_where_the_loss_asked_for_is_reached():
    loss = gf.squared_loss([[2.0]])
    network = gf.LinearNetwork([[[1.0]], [[1.0]]])
    flow = gf.gradient_flow(network, loss, 100.0, stop=1e-6)
    descent = gf.gradient_descent(network, loss, 0.05, 10_000, record_every=1, stop=1e-6)
    assert flow.status == descent.status == "stopped"
    assert flow.excess[-1] <= 1e-6 < flow.excess[-2]
    assert descent.excess[-1] <= 1e-6 < descent.excess[-2]


def test_a_step_that_diverges_is_named_and_its_trajectory_kept():
    network = gf.LinearNetwork([[[1.0]], [[1.0]]])
    with pytest.raises(co.InstabilityError, match=r"diverged at step \d+ .*step_size = 3 is too large") as caught:
        gf.gradient_descent(network, gf.squared_loss([[2.0]]), 3.0, 1000, record_every=1)
    kept = caught.value.trajectory
    assert kept.status == "diverged"
    assert kept.losses[-1] > kept.losses[0]
    with pytest.raises(co.InstabilityError, match="diverged at step"):
        gf.gradient_descent(network, gf.squared_loss([[2.0]]), 3.0, 1000, record_every=1000)


def test_a_flow_without_bound_is_refused_with_its_time():
    hill = gf.Loss(value=lambda W: -float(np.sum(W**4)), gradient=lambda W: -4 * W**3, shape=(1, 1))
    with pytest.raises(co.ToleranceError, match="could not be followed beyond t = 0"):
        gf.gradient_flow(gf.LinearNetwork([[[1.0]]]), hill, 10.0)


LOSS = gf.squared_loss([[1.0]])
ONE = gf.LinearNetwork([[[1.0]], [[1.0]]])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gf.LinearNetwork([]), "weights is empty"),
        (lambda: gf.LinearNetwork([np.ones((2, 3)), np.ones((2, 3))]), r"weights\[0\] has 3 columns and weights\[1\] 2 rows"),
        (lambda: gf.LinearNetwork([np.ones((2, 1)), np.ones((1, 2))]), r"layer 1 has width 1, below min\(n, m\) = 2"),
        (lambda: gf.LinearNetwork([[[1.0, np.nan]]]), r"weights\[0\]\[0, 1\] = nan is not finite"),
        (lambda: gf.LinearNetwork([[1.0, 2.0]]), r"weights\[0\] has shape \(2,\)"),
        (lambda: gf.LinearNetwork([[["a"]]]), "give a matrix of real numbers"),
        (lambda: gf.squared_loss([[1.0]], [[1.0], [2.0]]), "X has 2 samples and Y 1"),
        (lambda: gf.squared_loss([[1.0]], [[0.0]]), "X is zero"),
        (lambda: gf.squared_loss([[1.0]], scale=-1), "scale is -1"),
        (lambda: gf.exponential_loss([[1.0]], [2]), r"y\[0\] = 2; labels are 1 or -1"),
        (lambda: gf.exponential_loss([[1.0], [1.0]], [1, -1]), "no hyperplane through the origin was found"),
        (lambda: gf.exponential_loss([[1.0], [1.0]], [1]), r"y has shape \(1,\)"),
        (lambda: gf.gaussian((2, 0, 1)), "give at least two positive integers"),
        (lambda: gf.gaussian((3, 2, 3)), "layer 1 has width 2"),
        (lambda: gf.gaussian((3, 3), scheme="he"), "scheme is 'he'; give one of"),
        (lambda: gf.balanced([[1.0, 0.0]], (1, 3)), r"end with 3; the product has shape \(1, 2\)"),
        (lambda: gf.balanced(np.eye(2), (2, 1, 2)), "layer 1 has width 1"),
        (lambda: gf.gradient_flow(ONE, gf.squared_loss([[1.0, 2.0]]), 1.0), r"loss is of \(1, 2\) matrices .* shape \(1, 1\)"),
        (lambda: gf.gradient_flow(ONE, LOSS, 0.0), "duration is 0"),
        (lambda: gf.gradient_flow(ONE, LOSS, 1.0, times=[0.5, 0.2]), "ascending within"),
        (lambda: gf.gradient_flow(ONE, LOSS, 1.0, times=[0.5, 2]), "ascending within"),
        (lambda: gf.gradient_flow(ONE, LOSS, 1.0, method="Euler"), "method is 'Euler'; give one of"),
        (lambda: gf.gradient_descent(ONE, LOSS, np.nan, 5), "step_size is nan"),
        (lambda: gf.gradient_descent(ONE, LOSS, 0.1, 2.5), "steps is 2.5; give a whole number"),
        (lambda: gf.gradient_descent(ONE, LOSS, 0.1, 5).network(9), "record 9 does not exist; there are 6"),
        (lambda: ONE.replaced([np.ones((1, 2)), np.ones((2, 1))]), "widths"),
        (lambda: ONE.rescaled([1.0, 2.0, 3.0]), "one for each of the 2 layers"),
        (lambda: gf.Loss(value=np.sum, gradient=np.sum, shape=(1, 1), smoothness=1, strong_convexity=2), "K >= mu"),
        (lambda: gf.DiagonalNetwork([1.0]), "factors has shape"),
    ],
)
def test_bad_input_gets_one_sentence(call, said):
    with pytest.raises(co.InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@given(networks(depths=(2, 3)))
def test_a_diagonal_network_is_its_coordinates(drawn):
    _, rng = drawn
    network = gf.DiagonalNetwork(rng.normal(size=(3, 4)))
    loss = gf.squared_loss(rng.normal(size=(5, 1)), rng.normal(size=(5, 4)))
    (gradient,) = network.gradient(loss)
    slope = loss.gradient(network.product).ravel()
    for layer in range(3):
        assert gradient[layer] == pytest.approx(slope * np.delete(network.factors, layer, axis=0).prod(axis=0), rel=1e-12)
    single = [gf.LinearNetwork(network.factors[:, [i]][:, :, None]).least_tangent_eigenvalue() for i in range(4)]
    assert network.least_tangent_eigenvalue() == pytest.approx(min(single), rel=1e-12)
    found = gf.gradient_flow(network, loss, 1.0, times=[0.0, 0.5, 1.0])
    assert found.imbalance_drift.max() < 1e-9


@pytest.mark.parametrize("name", gf.__all__)
def test_every_public_name_has_an_example(name):
    assert "Examples\n" in (getattr(gf, name).__doc__ or ""), name


def endless(gradient):
    return gf.Loss(value=lambda W: float(np.sum(W**2)), gradient=gradient, shape=(2, 2))


@pytest.mark.parametrize("method", ["DOP853", "RK45"])
@pytest.mark.parametrize("until", [np.inf, 0.5])
def test_a_gradient_that_is_not_finite_is_refused_with_its_place_by_flow_and_descent(method, until):
    network = gf.LinearNetwork([np.eye(2), np.eye(2)])
    loss = endless(lambda W: np.where(np.sum(W**2) < until, np.nan, 2 * W))
    with pytest.raises(co.InputError, match=r"gradient is not finite at t = .* where the loss is"):
        gf.gradient_flow(network, loss, 5.0, method=method)
    with pytest.raises(co.InputError, match=r"gradient is not finite at step \d+, where the loss is"):
        gf.gradient_descent(network, loss, 0.01, 1000)


def test_a_flow_that_leaves_where_the_loss_is_defined_ends():
    edge = gf.Loss(
        value=lambda W: float(W[0, 0]) if W[0, 0] > 0 else np.nan,
        gradient=lambda W: np.ones((1, 1)) if W[0, 0] > 0 else np.full((1, 1), np.nan),
        shape=(1, 1),
    )
    with pytest.raises(co.ToleranceError, match=r"(near|beyond) t = (1|0\.99)"):
        gf.gradient_flow(gf.LinearNetwork([[[1.0]]]), edge, 5.0)


def test_the_minimum_is_the_value_at_the_minimizer_and_nothing_else():
    def value(W):
        return float(np.sum((W - 1) ** 2) / 2 + 1)

    parts = {"value": value, "gradient": lambda W: W - 1, "shape": (1, 1), "minimizer": [[1.0]]}
    loss = gf.Loss(**parts, strong_convexity=1, smoothness=1)
    assert loss.minimum == 1
    network = gf.LinearNetwork([[[3.0]], [[1.0]]])
    found = gf.gradient_flow(network, loss, 5.0)
    assert (found.losses <= gf.convergence_rate(network, loss).envelope(found.times) * (1 + 1e-9)).all()
    with pytest.raises(co.InputError, match="minimum is 0 and the loss at the minimizer 1"):
        gf.Loss(**parts, minimum=0.0)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_training_goes_on_at_a_minimum(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, size=2)
    loss = gf.squared_loss(rng.normal(size=(n + 3, m)), rng.normal(size=(n + 3, n)))
    network = gf.balanced(loss.minimizer, (n, n + m, m), random_state=rng)
    found = gf.gradient_descent(network, loss, 0.01, 300)
    assert found.status == "completed"
    assert np.abs(found.final.product - loss.minimizer).max() < 1e-10


def test_divergence_is_said_at_the_first_record_beyond_a_hundred_million_times_the_start():
    """Scalars with step 3 from 1, 1 towards 2: |W - 2| is multiplied step by step; the twin steps by hand."""
    u = v = 1.0
    losses = [0.5]
    while losses[-1] <= 1e8 * losses[0]:
        pull = 3.0 * (u * v - 2)
        u, v = u - pull * v, v - pull * u
        losses.append((u * v - 2) ** 2 / 2)
    with pytest.raises(co.InstabilityError, match=rf"diverged at step {len(losses) - 1} ") as caught:
        gf.gradient_descent(gf.LinearNetwork([[[1.0]], [[1.0]]]), gf.squared_loss([[2.0]]), 3.0, 1000, record_every=1)
    assert caught.value.trajectory.losses == pytest.approx(losses, rel=1e-9)


def test_divergence_between_records_keeps_the_last_finite_step():
    with pytest.raises(co.InstabilityError, match=r"diverged at step \d+") as caught:
        gf.gradient_descent(gf.LinearNetwork([[[1.0]], [[1.0]]]), gf.squared_loss([[2.0]]), 3.0, 10_000, record_every=5000)
    kept = caught.value.trajectory
    assert kept.steps[-1] > 0
    assert all(np.isfinite(stack).all() for stack in kept.parameters)


def test_an_interrupt_between_records_keeps_the_last_step():
    count = 0

    def value(W):
        return float(np.sum((W - 2) ** 2) / 2)

    def gradient(W):
        nonlocal count
        count += 1
        if count == 9:
            raise KeyboardInterrupt
        return W - 2

    loss = gf.Loss(value=value, gradient=gradient, shape=(1, 1))
    found = gf.gradient_descent(gf.LinearNetwork([[[1.0]], [[1.0]]]), loss, 0.1, 100, record_every=5)
    assert found.status == "interrupted"
    assert found.steps[-1] == 7  # one evaluation is the check of its shape
    count = 1 - 9
    early = gf.gradient_flow(gf.LinearNetwork([[[1.0]], [[1.0]]]), loss, 1.0)
    assert early.status == "interrupted"
    assert 0 <= early.times[-1] < 1


def test_an_interrupt_in_the_first_evaluation_of_a_flow_keeps_the_start():
    calls = []

    def gradient(W):
        calls.append(W)
        if len(calls) > 1:  # the first is the check of its shape
            raise KeyboardInterrupt
        return W

    loss = gf.Loss(value=lambda W: float(np.sum(W**2) / 2), gradient=gradient, shape=(1, 1))
    found = gf.gradient_flow(gf.LinearNetwork([[[1.0]]]), loss, 1.0)
    assert (found.status, found.times.tolist()) == ("interrupted", [0.0])


@given(networks(depths=(3, 4)))
def test_drift_is_the_largest_change_of_any_imbalance(drawn):
    network, rng = drawn
    other = gf.LinearNetwork([matrix + 0.1 * rng.normal(size=matrix.shape) for matrix in network.weights])
    changes = [np.linalg.norm(a - b) for a, b in zip(other.imbalances, network.imbalances, strict=True)]
    assert other.drift_from(network) == pytest.approx(max(changes), rel=1e-9)
    assert network.imbalance_norms == pytest.approx([np.linalg.norm(D) for D in network.imbalances], rel=1e-9)
    assert network.drift_from(network) < 20 * EPS * max(np.linalg.norm(matrix) ** 2 for matrix in network.weights)


def test_networks_of_a_hundred_thousand_hidden_units_show_themselves():
    network = gf.gaussian((3, 100_000, 2), random_state=0)
    loss = gf.squared_loss(np.eye(3)[:, :2])
    found = gf.gradient_descent(network, loss, 0.01, 3)
    assert "norms of the imbalances" in network.text()
    assert found.imbalance_drift[-1] < 1e-2
    slim = gf.gradient_descent(network.narrowed(), loss, 0.01, 3)
    assert found.imbalance_drift[-1] == pytest.approx(slim.imbalance_drift[-1], rel=1e-6)
    assert gf.certify_descent(network, gf.squared_loss(np.eye(3)[:, :2]), 1e-3).balance == pytest.approx(
        network.imbalance_norms[0], rel=1e-12
    )


def test_records_that_nobody_asked_for_take_little_memory(monkeypatch):
    network, loss = gf.gaussian((3, 5, 2), random_state=0), gf.squared_loss(np.zeros((3, 2)))
    assert len(gf.gradient_descent(network, loss, 1e-3, 1000)) == 201
    monkeypatch.setattr(training, "MEMORY", 20 * 8 * 25)  # twenty of these networks
    assert len(gf.gradient_descent(network, loss, 1e-3, 1000)) == 21
    assert len(gf.gradient_flow(network, loss, 1.0)) == 21


@pytest.mark.parametrize(
    "X", [[[1.0, 1e-9], [-1.0, 1e-9]], [[1e-6, 0.0], [0.0, 1e6]], [[1e-200]], [[1.0, 1e-7], [-1.0, 1e-7], [0.3, 1.0]]]
)
def test_badly_scaled_data_that_are_separable_are_not_refused(X):
    loss = gf.exponential_loss(X, np.ones(len(X)))
    assert loss.linear_constant == (np.array(X) @ loss.direction).min() > 0


def test_a_spectral_start_is_refused_where_chains_hardly_couple():
    rng = np.random.default_rng(3)
    X = np.diag([2.0, 1.0])
    turned = np.array([[1.0, 1e-3], [0.0, 1.0]])
    with pytest.raises(co.InputError, match="share no singular vectors"):
        gf.spectral(gf.squared_loss(X @ turned @ np.diag([3.0, 1.0]), X), np.ones((2, 2)), (2, 3, 2), random_state=rng)


def test_losses_and_trajectories_pickle():
    loss = gf.squared_loss([[1.0]])
    again = pickle.loads(pickle.dumps(gf.gradient_descent(ONE, loss, 0.1, 5)))
    assert again.losses == pytest.approx([network.loss(loss) for network in again.networks()])
    other = pickle.loads(pickle.dumps(gf.exponential_loss([[1.0]], [1])))
    assert other.value(np.ones((1, 1))) == pytest.approx(np.exp(-1))


def test_directions_of_the_data_however_weak_count():
    X = np.diag([1.0, 5e-11])
    loss = gf.squared_loss([[0.0], [1.0]], X)
    assert loss.minimum == 0
    network = gf.balanced([[0.5], [-1e9]], (2, 2, 1))
    assert network.loss(loss) <= gf.convergence_rate(network, loss).envelope([0.0])[0] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gf.LinearNetwork(5), "give a list of matrices"),
        (lambda: gf.gaussian((3, np.inf, 2)), "give at least two positive integers"),
        (lambda: gf.gaussian("345"), "give at least two positive integers"),
        (lambda: gf.exponential_loss([[1.0]], ["a"]), "labels are 1 or -1"),
        (lambda: gf.gradient_descent(ONE, LOSS, 0.1, 3, stop=np.array([0.1, 0.2])), "stop is"),
        (lambda: gf.squared_loss([[1e200], [1.0]], [[1.0], [1.0]]), "rescale Y"),
        (lambda: gf.certify_descent(gf.DiagonalNetwork([[1.0], [1.0]]), LOSS, 0.001), "this theorem is of LinearNetwork"),
        (lambda: gf.bias_over_width(LOSS, [10], random_state=-1), "random_state is -1"),
        (lambda: gf.identity(2, 2.5), "depth is 2.5; give a whole number"),
        (lambda: gf.identity(2, 0), "depth is 0"),
        (lambda: ONE.rescaled("a"), "factor is 'a'"),
        (lambda: gf.gradient_flow("x", LOSS, 1.0), "network is 'x'; give a LinearNetwork"),
        (lambda: gf.gradient_flow(ONE, 3, 1.0), "loss is 3; give squared_loss"),
        (lambda: gf.gradient_flow(ONE, LOSS, 1.0, stop=-1), "stop is -1"),
        (lambda: gf.gradient_descent(ONE, LOSS, 1.0, 3, stop=np.nan), "stop is nan"),
        (lambda: gf.gradient_flow(ONE, LOSS, 1.0, rtol=1e-17), "rtol is 1e-17; give at least"),
        (lambda: gf.squared_loss([[1.0]], [[1e-170]]), "their squares are beyond floating point, rescale X"),
        (lambda: gf.squared_loss([[1.0]], [[1e170]]), "their squares are beyond floating point, rescale X"),
        (lambda: gf.Loss(value=3, gradient=3, shape=(1, 1)), "give callables"),
        (lambda: gf.Loss(value=abs, gradient=abs, shape=(0, 1)), r"shape is \(0, 1\); give two positive integers"),
        (
            lambda: ONE.loss(gf.Loss(value=lambda W: 0.0, gradient=lambda W: np.ones(3), shape=(1, 1))),
            r"gradient returned an array of shape \(3,\) for a matrix of shape \(1, 1\)",
        ),
        (
            lambda: ONE.loss(gf.Loss(value=lambda W: W, gradient=lambda W: W, shape=(1, 1))),
            r"value returned an array of shape \(1, 1\)",
        ),
    ],
)
def test_absurd_arguments_get_one_sentence(call, said):
    with pytest.raises(co.InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
