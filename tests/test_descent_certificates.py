"""Certificates of gradient descent, the starts that fail without their conditions, and how likely random starts meet them."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

from coherence import gradient_flow as gf
from coherence.errors import InputError, InstabilityError
from coherence.gradient_flow.certificate_probabilities import imbalance_moment
from coherence.gradient_flow.descent_failures import first_factor


def scalar_descent(start, depth, eta, steps):
    """The slow twin: depth equal scalars, product `start`, target 1; the last loss over the first."""
    w = start ** (1 / depth)
    for _ in range(steps):
        w -= eta * (w**depth - 1) * w ** (depth - 1)
    return ((w**depth - 1) / (start - 1)) ** 2


def near(rng, n, m, depth, *, share=0.5, slack=0.0):
    """A target, and a start with `share` of the largest margin whose imbalance is `slack` of what is allowed."""
    target = rng.normal(size=(n, m))
    least = np.linalg.svd(target, compute_uv=False)[-1]
    away = rng.normal(size=(n, m))
    start = target + (1 - share) * least * away / np.linalg.norm(away)
    widths = [n, *rng.integers(min(n, m), min(n, m) + 3, size=depth - 1), m]
    network, loss = gf.balanced(start, widths, random_state=rng), gf.squared_loss(target)
    if slack:
        allowed = gf.certify_descent(network, loss, 1.0).max_balance
        shifts = [rng.normal(size=matrix.shape) for matrix in network.weights]
        size = 2 * max(np.linalg.norm(matrix, 2) for matrix in network.weights) * max(map(np.linalg.norm, shifts))
        weights = zip(network.weights, shifts, strict=True)
        network = gf.LinearNetwork([matrix + slack * allowed / (2 * size) * shift for matrix, shift in weights])
    return network, loss


# Theorem 1


@pytest.mark.parametrize(("depth", "step", "steps", "left"), [(2, 1.4832e-5, 51928, 0.054), (3, 4.24e-6, 188008, 0.0108)])
def test_the_scalar_certificate_is_the_source_s_and_its_steps_halve_the_loss(depth, step, steps, left):
    loss = gf.squared_loss([[1.0]])
    network = gf.balanced([[0.9]], [1] * (depth + 1))
    found = gf.certify_descent(network, loss, network.loss(loss) / 2)
    assert found.holds
    assert found.max_step_size == pytest.approx(step, rel=1e-3)
    assert found.iterations == steps
    ratio = scalar_descent(0.9, depth, found.step_size, steps)
    assert ratio <= 0.5
    assert ratio == pytest.approx(left, rel=0.01)
    assert found.envelope(steps) == pytest.approx(found.excess / 2, rel=1e-4)


def test_the_certificate_of_another_target_is_theorem_1_term_by_term():
    found = gf.certify_descent(gf.balanced([[1.8]], [1, 1, 1, 1]), gf.squared_loss([[2.0]]), 1e-3)
    c, size, N = 1.8, 2.0, 3
    assert found.margin == pytest.approx(c, rel=1e-12)
    assert found.max_balance == pytest.approx(c**2 / (256 * N**3 * size ** (4 / 3)), rel=1e-12)
    assert found.max_step_size == pytest.approx(c ** (10 / 3) / (6144 * N**3 * size ** (14 / 3)), rel=1e-12)
    assert found.iterations == np.ceil(np.log(0.02 / 1e-3) / (found.max_step_size * c ** (4 / 3)))
    assert found.layer_bound == pytest.approx(8 ** (1 / 3), rel=1e-12)


def test_descent_itself_is_what_the_scalar_twin_says():
    loss = gf.squared_loss([[1.0]])
    network = gf.balanced([[0.9]], [1, 1, 1])
    run = gf.gradient_descent(network, loss, 1.4832e-5, 1000)
    assert run.losses[-1] / run.losses[0] == pytest.approx(scalar_descent(0.9, 2, 1.4832e-5, 1000), rel=1e-10)


@pytest.mark.parametrize("cases", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_certified_step_takes_less_of_the_loss_than_theorem_1_and_lemma_1_say(cases):
    rng = np.random.default_rng(0)
    violated = planted = 0
    for _ in range(cases):
        n, m, depth = [*rng.integers(1, 4, size=2).tolist(), int(rng.integers(2, 5))]
        network, loss = near(rng, n, m, depth, share=rng.uniform(0.2, 0.9), slack=rng.choice([0.0, 0.5]))
        found = gf.certify_descent(network, loss, 1.0)
        assert found.holds
        eta, slopes = found.step_size, network.gradient(loss)
        after = gf.LinearNetwork([w - eta * g for w, g in zip(network.weights, slopes, strict=True)])
        taken = 1 - after.loss(loss) / network.loss(loss)
        sigma = np.linalg.svd(network.product, compute_uv=False)[min(n, m) - 1]
        rounding = 1e-13
        violated += taken < found.decay - rounding
        violated += taken < eta * sigma ** (2 * (depth - 1) / depth) - rounding  # Lemma 1: with the singular value now
        violated += max(np.linalg.norm(D) for D in after.imbalances) > 2 * found.max_balance
        violated += max(np.linalg.norm(w, 2) for w in after.weights) > found.layer_bound
        planted += taken < 3 * depth * eta * sigma ** (2 * (depth - 1) / depth)  # more than the flow itself takes of square ones
    assert violated == 0
    assert planted > cases / 20


def test_lemma_2_holds_along_a_certified_run():
    network, loss = near(np.random.default_rng(1), 2, 2, 3, share=0.9, slack=0.9)
    found = gf.certify_descent(network, loss, 1e-3)
    run = gf.gradient_descent(network, loss, found.step_size, 2000)
    assert found.balance > 0
    assert (run.losses <= found.envelope(run.steps)).all()
    for passed in run.networks():
        assert max(np.linalg.norm(D) for D in passed.imbalances) <= 2 * found.max_balance
        assert max(np.linalg.norm(w, 2) for w in passed.weights) <= found.layer_bound


def test_what_is_no_farther_from_the_target_has_singular_values_of_the_margin():
    """Claim 1, 10 000 draws; planted: of 1.2 times the margin."""
    rng = np.random.default_rng(2)
    target = rng.normal(size=(10_000, 2, 3))
    least = np.linalg.svd(target, compute_uv=False)[:, -1]
    away = rng.normal(size=target.shape)
    away /= np.linalg.norm(away, axis=(1, 2), keepdims=True)
    left, _, right = np.linalg.svd(target, full_matrices=False)
    away[::2] = -(left[:, :, 1:] @ right[:, 1:])[::2]  # the direction that lowers the least singular value most
    radius = rng.uniform(0, 1, 10_000) * least
    found = np.linalg.svd(target + radius[:, None, None] * away, compute_uv=False)[:, -1]
    assert (found >= least - radius - 1e-12).all()
    assert (found < 1.2 * (least - radius)).sum() > 3000


def test_where_a_hypothesis_fails_nothing_is_certain():
    loss = gf.squared_loss([[1.0]])
    far = gf.certify_descent(gf.balanced([[-0.5]], (1, 1, 1)), loss, 0.1)
    assert (far.holds, far.iterations, far.max_step_size) == (False, np.inf, 0.0)
    assert far.hypotheses == {
        "deficiency margin is positive": False,
        "imbalance is small enough": True,
        "step size is small enough": False,
    }
    tilted = gf.certify_descent(gf.LinearNetwork([[[1.0]], [[0.9]]]), loss, 0.1)
    assert not tilted.hypotheses["imbalance is small enough"]
    start = gf.balanced([[0.9]], (1, 1, 1))
    assert not gf.certify_descent(start, loss, 0.1, step_size=0.1).holds
    assert np.isinf(gf.certify_descent(start, loss, 1e-4, step_size=0.1).envelope([0, 5])).all()
    assert gf.certify_descent(start, loss, 1.0).iterations == 0


def test_white_samples_are_certified_as_their_target():
    """(1): |Y - X W|^2/(2 N) = |W - Phi|^2/2 + const where X'X = N I."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    network, direct = gf.balanced(0.8 * basis, (2, 3, 2), random_state=rng), gf.squared_loss(basis)
    samples = np.sqrt(6) * np.linalg.qr(rng.normal(size=(6, 2)))[0]
    noise = rng.normal(size=(6, 2))
    noise -= samples @ (samples.T @ noise) / 6
    white = gf.squared_loss(samples @ direct.minimizer + noise, samples, scale=1 / 2)
    W = rng.normal(size=(2, 2))
    assert white.value(W) - white.minimum == pytest.approx(6 * direct.value(W), rel=1e-12)
    mean, one = gf.certify_descent(network, white, 6e-3), gf.certify_descent(network, direct, 1e-3)
    assert mean.max_step_size == pytest.approx(one.max_step_size / 6, rel=1e-9)
    assert mean.iterations == pytest.approx(one.iterations, abs=1)
    run = gf.gradient_descent(network, white, mean.step_size, 500)
    assert (run.excess <= mean.envelope(run.steps) * (1 + 1e-12)).all()
    assert run.excess[-1] < (1 - 1e-4) * run.excess[0]
    with pytest.raises(InputError, match="not white"):
        gf.certify_descent(network, gf.squared_loss(noise, samples * [1.0, 1.01]), 0.1)


def test_the_other_order_of_weights_has_the_same_certificate():
    network, loss = near(np.random.default_rng(4), 2, 3, 3, slack=0.5)
    theirs = network.weights[::-1]  # from the input to the output: W_3 W_2 W_1
    np.testing.assert_allclose(theirs[2] @ theirs[1] @ theirs[0], network.product, rtol=1e-12)
    delta = max(np.linalg.norm(theirs[j + 1].T @ theirs[j + 1] - theirs[j] @ theirs[j].T) for j in (0, 1))
    assert gf.certify_descent(network, loss, 0.1).balance == pytest.approx(delta, rel=1e-9)
    turned = gf.LinearNetwork([matrix.T for matrix in theirs])  # the transposed problem
    found = gf.certify_descent(turned, gf.squared_loss(np.asarray(loss.minimizer).T), 0.1)
    assert found.balance == pytest.approx(delta, rel=1e-9)
    assert found.iterations == pytest.approx(gf.certify_descent(network, loss, 0.1).iterations, abs=1)


def test_residual_networks_have_a_margin_within_half_of_the_identity():
    """10 000 targets with |Phi - I|_F < 1/2; planted: 0.8."""
    rng = np.random.default_rng(5)
    away = rng.normal(size=(10_000, 3, 3))
    away[::2] = -np.diag([1.0, 0, 0])
    away *= rng.uniform(0, 0.4999, 10_000)[:, None, None] / np.linalg.norm(away, axis=(1, 2), keepdims=True)

    def margins(shift):
        return np.linalg.svd(np.eye(3) + shift, compute_uv=False)[:, -1] - np.linalg.norm(shift, axis=(1, 2))

    assert (margins(away) > 0).all()
    assert (margins(1.6 * away) <= 0).sum() > 500
    assert gf.certify_descent(gf.identity(3, 4), gf.squared_loss(np.eye(3) + away[1]), 0.1).holds


def test_the_narrow_end_keeps_the_product_s_singular_value_and_the_wide_one_does_not():
    """Erratum A15: (18) has the two cases the other way round. 10 000 draws."""
    counter = gf.LinearNetwork([np.diag([1.0, 0, 0]), np.eye(3, 1)])
    assert gf.end_layer_bound(counter) == 1.0
    assert np.linalg.svd(counter.weights[0], compute_uv=False)[-1] == 0  # what is printed would have it at least 1
    rng = np.random.default_rng(6)
    planted = 0
    for _ in range(10_000):
        n, m, depth = [*rng.integers(1, 4, size=2).tolist(), int(rng.integers(2, 4))]
        exact = gf.balanced(rng.normal(size=(n, m)), [n] + [max(n, m)] * (depth - 1) + [m], random_state=rng)
        network = gf.LinearNetwork([w + 10 ** rng.uniform(-5, -2) * rng.normal(size=w.shape) for w in exact.weights])
        bound = gf.end_layer_bound(network)
        narrow, wide = (network.weights[-1], network.weights[0]) if m <= n else (network.weights[0], network.weights[-1])
        assert np.linalg.svd(narrow, compute_uv=False)[-1] >= bound * (1 - 1e-12)
        planted += n != m and np.linalg.svd(wide, compute_uv=False)[-1] < bound * (1 - 1e-12)
    assert planted > 1000


# failures


def test_without_balance_descent_diverges_in_three_steps():
    for margin in (0.75, 0.99, 0.999):
        start = gf.unbalanced_failure(0.1, margin=margin, constant="paper")
        with pytest.raises(InstabilityError) as caught:
            gf.gradient_descent(start, gf.squared_loss([[1.0]]), 0.1, 3, record_every=1)
        assert "diverged at step" in str(caught.value)
    weights, sizes = [w.item() for w in gf.unbalanced_failure(0.1, margin=0.75, constant="paper").weights], []
    for _ in range(4):
        product = weights[0] * weights[1]
        sizes.append(abs(product - 1))
        weights = [w - 0.1 * (product - 1) * product / w for w in weights]
    assert sizes[0] == pytest.approx(0.25)
    assert sizes[1] == pytest.approx(3.7e6, rel=0.03)
    assert sizes[2] > 1e17
    assert sizes[3] > 1e50


@pytest.mark.parametrize("eta", [1e-3, 0.1, 1.0, 7.0])
@pytest.mark.parametrize("depth", [2, 4, 6])
@pytest.mark.parametrize("margin", [0.75, 0.9, 0.99, 0.9999])
def test_the_corrected_constant_carries_the_induction_of_the_failure(eta, depth, margin):
    A = first_factor(eta, depth, margin, "corrected")
    thrown = eta * (1 - margin) * margin ** ((depth - 1) / depth)
    B, C = min(0.5, thrown) * A, max(eta, 1) * A
    start = gf.unbalanced_failure(eta, depth=depth, margin=margin, size=2)
    assert start.product == pytest.approx(np.diag([margin, 1.0]), rel=1e-9)
    w = np.array([matrix[0, 0] for matrix in start.weights])
    w = w - eta * (w.prod() - 1) * w.prod() / w
    assert B * (1 + 1e-9) >= 2 * (1 - 1e-9)
    assert (w >= B * (1 - 1e-6)).all()
    assert (w <= C * (1 + 1e-9)).all()
    assert eta * B ** (2 * depth - 1) >= 20 * C * (1 - 1e-9)
    second = w - eta * (w.prod() - 1) * w.prod() / w
    assert (second <= -9 * C * (1 - 1e-6)).all()


def test_the_printed_proof_s_lower_bound_fails_near_the_target():
    """Erratum A16: at c = 0.99, eta = 0.1, N = 2 entries come to 14.07 after one step, below B(1) = 141."""
    w = np.array([matrix.item() for matrix in gf.unbalanced_failure(0.1, margin=0.99, constant="paper").weights])
    w = w - 0.1 * (w.prod() - 1) * w.prod() / w
    A = first_factor(0.1, 2, 0.99, "paper")
    assert w.min() == pytest.approx(14.07, abs=0.01)
    assert pytest.approx(141, abs=0.5) == 0.1 * A / 10


def test_without_margin_balanced_descent_stays_at_its_saddle():
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    target = basis * [1.5, 0.6, -1.0] @ basis.T
    target = (target + target.T) / 2
    for depth, eta in ((2, 0.1), (4, 0.05)):
        _, losses = gf.identity_descent(target, depth, eta, 5000)
        assert losses.min() >= 0.5 - 1e-12
        assert losses[-1] == pytest.approx(0.5, abs=1e-12 if depth == 2 else 1e-4)
        start = gf.identity(3, depth)
        direct = gf.gradient_descent(start, gf.squared_loss(target), eta, 50, record_every=1)
        np.testing.assert_allclose(losses[:51], direct.losses, rtol=1e-9)
        assert not gf.certify_descent(start, gf.squared_loss(target), 0.1).holds


@pytest.mark.parametrize(("target", "depth", "eta"), [(2.0, 2, 100.0), (3.0, 3, 2.0)])
def test_descent_from_the_identity_that_diverges_names_the_first_step_without_a_loss(target, depth, eta):
    d, step = 1.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite((np.float64(d) ** depth - target) ** 2):
            d, step = d - eta * (np.float64(d) ** depth - target) * np.float64(d) ** (depth - 1), step + 1
    gf.identity_descent([[target]], depth, eta, step - 1)
    with pytest.raises(InstabilityError, match=rf"diverged at step {step} .*step_size = {eta:g} is too large"):
        gf.identity_descent([[target]], depth, eta, 50)


def test_an_asymmetry_of_rounding_grows_until_descent_leaves_the_saddle():
    """Why `identity_descent` keeps one eigenvalue for all layers: 1e-16 times 1.1^t is 1 after some 400 steps."""
    loss = gf.squared_loss([[-1.0]])
    equal, tilted = (gf.LinearNetwork([[[1.0]], [[last]]]) for last in (1.0, 1 - 2.0**-53))
    runs = [gf.gradient_descent(start, loss, 0.1, 1000, record_every=100) for start in (equal, tilted)]
    assert runs[0].losses[-1] == pytest.approx(0.5, abs=1e-12)
    assert runs[1].losses[2] == pytest.approx(0.5, abs=1e-6)
    assert runs[1].losses[-1] < 1e-12


# probabilities


def test_the_probability_of_theorem_2_is_the_source_s_and_below_the_exact_one():
    rng = np.random.default_rng(8)
    for ratio, printed, seen in ((100, 0.27623, 0.459), (400, 0.3860, 0.481)):
        std = 1 / (np.sqrt(ratio) * 100)
        found = gf.certify_random_start(100, std, 2, 0.01)
        assert found.probability == pytest.approx(printed, abs=5e-5)
        w = std * rng.normal(size=(20_000, 100))
        share = np.mean(np.linalg.norm(w - np.eye(1, 100), axis=1) <= 1 - found.margin)
        assert found.exact_probability == pytest.approx(share, abs=4 * np.sqrt(0.25 / 20_000))
        assert share == pytest.approx(seen, abs=0.02)
        assert found.probability < found.exact_probability


def test_the_steps_of_theorem_2_are_its_two_phases():
    s, size, d, eps = 1e-3, 2.0, 100, 0.01
    found = gf.certify_random_start(d, s, 3, eps, target_norm=size)
    eta = (s**2 * d) ** (10 / 3) / (1e5 * 27 * size**8)
    assert found.max_step_size == pytest.approx(eta, rel=1e-12)
    assert found.margin == pytest.approx(s**2 * d / (2 * size), rel=1e-12)
    phases = np.log(4) * (size / (s**2 * d)) ** (4 / 3) + size ** (-4 / 3) * np.log(size**2 / (8 * eps))
    assert found.iterations == pytest.approx(4 / eta * phases, rel=1e-12)


def test_the_random_start_of_theorem_2_is_one_of_theorem_1_and_arrives():
    rng = np.random.default_rng(9)
    target, depth = np.eye(20, 1), 2
    found = gf.certify_random_start(20, 1 / 30, depth, 0.01)
    while True:
        w = rng.normal(size=(20, 1)) / 30
        if np.linalg.norm(w - target) <= 1 - found.margin:
            break
    network, loss = gf.balanced(w, (20, 3, 1), random_state=rng), gf.squared_loss(target)
    assert gf.certify_descent(network, loss, 0.01, step_size=found.step_size).holds
    duration = found.iterations * found.step_size  # steps of 1e-9: descent is flow
    assert found.step_size < 1e-8
    assert gf.gradient_flow(network, loss, duration, times=[duration]).losses[-1] <= 0.01


def test_the_second_moment_of_imbalances_is_exact_and_the_printed_one_is_not():
    """Erratum A17: a, d, b = 3, 5, 4 gives 215 s^4, printed 275 s^4."""
    rng = np.random.default_rng(10)
    A, B = rng.normal(size=(40_000, 3, 5)), rng.normal(size=(40_000, 5, 4))
    squares = ((A.swapaxes(1, 2) @ A - B @ B.swapaxes(1, 2)) ** 2).sum(axis=(1, 2))
    error = squares.std() / np.sqrt(len(squares))
    assert imbalance_moment(3, 5, 4, 1.0) == 215
    assert abs(squares.mean() - 215) < 4 * error < 10
    assert 5 * (3 * 7 + 3 * 2 + 4 * 3 - 12) + 5 * 4 * 7 == 275


def test_gaussian_layers_are_balanced_at_least_as_often_as_claim_2_says():
    """2500 networks each of four widths, 10 000 in all, with their quantiles as delta."""
    rng = np.random.default_rng(11)
    for widths in ((3, 5, 4), (2, 2, 2, 2), (6, 3, 7), (1, 8, 1)):
        shapes = list(pairwise(widths))
        draws = [[0.5 * rng.normal(size=shape) for shape in shapes] for _ in range(2500)]
        worst = np.array([max(np.linalg.norm(a.T @ a - b @ b.T) for a, b in pairwise(w)) for w in draws])
        for delta in np.quantile(worst, [0.5, 0.9, 0.99, 1.0]):
            share, sharp = np.mean(worst <= delta), gf.balance_probability(widths, 0.5, delta)
            assert gf.balance_probability(widths, 0.5, delta, form="paper") <= sharp <= share
        assert sharp > 0
        wrong = 1 - (1 - sharp) / 100  # planted: Chebyshev with a tenth of the deviation
        assert wrong > np.mean(worst <= np.quantile(worst, 0.9))


def sine_power(angle, dimension):
    return np.sin(angle) ** (dimension - 2)


def test_the_area_of_a_cap_is_the_integral_and_above_lemma_14():
    for d in (2, 3, 7, 20, 200):
        for height in (0.0, 0.3, 0.9, 0.99, 1.0):
            below, whole = (integrate.quad(sine_power, 0, end, args=(d,))[0] for end in (np.arccos(1 - height), np.pi))
            assert gf.cap_area(d, height) == pytest.approx(below / whole, abs=1e-7)
            if d >= 20:
                assert gf.cap_area_bound(d, height) <= gf.cap_area(d, height) + 1e-15
    rng = np.random.default_rng(12)
    dimensions, heights = rng.integers(20, 500, size=10_000), 1 - rng.uniform(0, 0.3, size=10_000)
    bounds = [gf.cap_area_bound(int(d), h) for d, h in zip(dimensions, heights, strict=True)]
    areas = [gf.cap_area(int(d), h) for d, h in zip(dimensions, heights, strict=True)]
    assert (np.array(bounds) <= areas).all()
    wrong = (3 - 4 * special.ndtr(0.45 * (1 - heights) * np.sqrt(dimensions - 1))) / 2
    assert (wrong > areas).sum() > 1000


# bad input


def test_what_the_theorems_do_not_cover_is_refused_in_one_sentence():
    loss, start = gf.squared_loss([[1.0]]), gf.balanced([[0.9]], (1, 1, 1))
    cases = [
        (lambda: gf.certify_descent(start, loss, 0.0), "eps is 0"),
        (lambda: gf.certify_descent(start, loss, 0.1, step_size=-1.0), "step_size is -1"),
        (lambda: gf.certify_descent(start, gf.squared_loss([[1.0, 2.0]]), 0.1), "must be equal"),
        (lambda: gf.certify_descent(start, gf.exponential_loss([[1.0]], [1]), 0.1), "squared losses"),
        (lambda: gf.unbalanced_failure(0.1, depth=3), "even number"),
        (lambda: gf.unbalanced_failure(0.1, margin=0.5), "3/4 <= margin"),
        (lambda: gf.unbalanced_failure(0.1, constant="printed"), "corrected, paper"),
        (lambda: gf.identity_descent([[1.0, 2.0], [0.0, 1.0]], 2, 0.1, 5), "not symmetric"),
        (lambda: gf.identity_descent([[np.nan]], 2, 0.1, 5), "not finite"),
        (lambda: gf.identity_descent([[1e200]], 2, 0.1, 5), "smaller entries"),
        (lambda: gf.certify_random_start(19, 1e-3, 2, 0.1), "from 20 on"),
        (lambda: gf.certify_random_start(100, 0.1, 2, 0.1), "start smaller"),
        (lambda: gf.certify_random_start(100, 1e-3, 2, 0.1, step_size=1.0), "covers steps up to"),
        (lambda: gf.balance_probability((3, 5, 4), 1.0, 1.0, form="both"), "moments or paper"),
        (lambda: gf.cap_area_bound(19, 0.5), "from 20 on"),
        (lambda: gf.cap_area(1, 0.5), "at least 2"),
        (lambda: gf.cap_area(3, 1.5), "between 0 and 1"),
    ]
    for call, said in cases:
        with pytest.raises(InputError) as caught:
            call()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


# every formula once more, at a norm of the target that is not 1


def certified(depth, *, grown=1.0):
    """A target of norm 2.3, a start near it, both times grown^depth; balanced but for a first layer turned a little."""
    target, away = np.array([[1.9, 0.3], [-0.2, 1.25]]), np.array([[0.3, -0.1], [0.2, 0.4]])
    target *= 2.3 / np.linalg.norm(target)
    weights = gf.balanced(target + 0.2 * away, [2] + [3] * (depth - 1) + [2], random_state=0).weights
    weights = [grown * (w + 1e-7 * k * np.ones_like(w)) for k, w in enumerate(weights)]
    return gf.LinearNetwork(weights), gf.squared_loss(grown**depth * target)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_every_constant_of_theorem_1_is_the_printed_one(depth):
    network, loss = certified(depth)
    target, product = np.asarray(loss.minimizer), network.product
    found, N = gf.certify_descent(network, loss, 1e-3), depth
    assert np.linalg.norm(target) == pytest.approx(2.3, rel=1e-12)
    c = np.linalg.svd(target)[1][1] - np.linalg.norm(product - target)
    delta = c**2 / 256 / N**3 / 2.3 ** (2 * (N - 1) / N)
    eta = c ** ((4 * N - 2) / N) / 6144 / N**3 / 2.3 ** ((6 * N - 4) / N)
    shrink = c ** (2 * (N - 1) / N)
    assert found.margin == pytest.approx(c, rel=1e-12)
    assert found.max_balance == pytest.approx(delta, rel=1e-11)
    assert found.max_step_size == pytest.approx(eta, rel=1e-11)
    assert found.decay == pytest.approx(eta * shrink, rel=1e-11)
    assert found.layer_bound == pytest.approx(9.2 ** (1 / N), rel=1e-12)
    start = np.linalg.norm(product - target) ** 2 / 2
    assert found.iterations == np.ceil(np.log(start / 1e-3) / (found.max_step_size * shrink))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_problem_in_other_units_has_the_certificate_in_those_units(depth):
    """Layers times a: the target times a^N, imbalances a^2, steps a^(2 - 2N), and descent takes as many of them."""
    a = 1.3
    (one, first), (other, second) = certified(depth), certified(depth, grown=a)
    small, large = gf.certify_descent(one, first, 1e-3), gf.certify_descent(other, second, 1e-3 * a ** (2 * depth))
    assert small.holds
    assert large.holds
    assert large.margin == pytest.approx(a**depth * small.margin, rel=1e-12)
    assert large.balance == pytest.approx(a**2 * small.balance, rel=1e-6)  # a difference of squares
    assert large.max_balance == pytest.approx(a**2 * small.max_balance, rel=1e-11)
    assert large.max_step_size == pytest.approx(a ** (2 - 2 * depth) * small.max_step_size, rel=1e-11)
    assert large.iterations == pytest.approx(small.iterations, abs=1)
    assert large.layer_bound == pytest.approx(a * small.layer_bound, rel=1e-12)
    runs = [gf.gradient_descent(*start, found.step_size, 3) for start, found in (((one, first), small), ((other, second), large))]
    np.testing.assert_allclose(runs[1].losses, a ** (2 * depth) * runs[0].losses, rtol=1e-10)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_every_constant_of_theorem_2_is_the_printed_one(depth):
    s, size, d, eps, N = 2e-3, 2.3, 100, 0.01, depth
    found = gf.certify_random_start(d, s, N, eps, target_norm=size)
    eta = (s**2 * d) ** (4 - 2 / N) / 1e5 / N**3 / size ** (10 - 6 / N)
    assert found.max_step_size == found.step_size
    assert found.step_size == pytest.approx(eta, rel=1e-12)
    assert found.margin == pytest.approx(s**2 * d / 2 / size, rel=1e-12)
    leave = np.log(4) * (size / (s**2 * d)) ** (2 - 2 / N)
    arrive = size ** (2 / N - 2) * np.log(size**2 / (8 * eps))
    assert found.iterations == pytest.approx(4 / eta * (leave + arrive), rel=1e-12)
    twin = gf.certify_random_start(d, s, N, eps, target_norm=size, step_size=eta / 7)
    assert twin.iterations == pytest.approx(28 / eta * (leave + arrive), rel=1e-12)
    at_once = gf.certify_random_start(d, s, N, 10.0, target_norm=size)  # 8 eps > |Phi|^2: no second phase, and no credit for it
    assert at_once.iterations == pytest.approx(4 / eta * leave, rel=1e-12)
    a = (size / s / d) ** 2
    share = (3 - 4 * special.ndtr(2 * np.sqrt(2 / a))) / 2
    assert found.probability == pytest.approx((1 - 2 * np.exp(-d / 16)) * share, rel=1e-12)
    exact = stats.ncx2.cdf((size - s**2 * d / 2 / size) ** 2 / s**2, d, size**2 / s**2)
    assert found.exact_probability == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("eps", [1e-6, 10.0])  # at the second the loss starts within eps, and only the first phase is left
def test_a_random_start_in_other_units_takes_as_many_steps_and_is_as_likely(depth, eps):
    b = 1.7**depth
    small = gf.certify_random_start(100, 3e-3, depth, eps)
    large = gf.certify_random_start(100, 3e-3 * b, depth, eps * b**2, target_norm=b)
    assert large.margin == pytest.approx(b * small.margin, rel=1e-12)
    assert large.step_size == pytest.approx(1.7 ** (2 - 2 * depth) * small.step_size, rel=1e-11)
    assert large.iterations == pytest.approx(small.iterations, rel=1e-11)
    assert large.probability == pytest.approx(small.probability, rel=1e-11)
    assert large.exact_probability == pytest.approx(small.exact_probability, rel=1e-9)


@pytest.mark.parametrize("size", [1.0, 2.3])
def test_theorem_2_covers_deviations_up_to_the_norm_over_sqrt_2_d(size):
    largest = size / (np.sqrt(2) * 50)
    with pytest.raises(InputError, match="start smaller"):
        gf.certify_random_start(50, 1.001 * largest, 2, 0.1, target_norm=size)
    assert gf.certify_random_start(50, largest, 2, 0.1, target_norm=size).probability == 0  # (3 - 4 F(2))/2 < 0


def test_the_margin_of_theorem_2_is_met_by_drawn_starts_as_often_as_the_law_says_at_any_norm():
    rng = np.random.default_rng(13)
    std, size, d, draws = 2.3 / 400, 2.3, 40, 40_000
    found = gf.certify_random_start(d, std, 3, 0.01, target_norm=size)
    target = size * np.eye(1, d)
    starts = std * rng.normal(size=(draws, d))
    share = np.mean(np.linalg.norm(starts - target, axis=1) <= size - found.margin)
    assert share == pytest.approx(found.exact_probability, abs=4 * np.sqrt(0.25 / draws))
    assert found.probability < share
    planted = std**2 * d * size / 2  # a margin that grows with the target where it has to fall
    assert np.mean(np.linalg.norm(starts - target, axis=1) <= size - planted) < found.exact_probability - 0.03


@pytest.mark.parametrize(("depth", "n", "m"), [(1, 2, 3), (2, 3, 2), (3, 2, 2), (5, 2, 3)])
def test_the_end_layer_bound_is_lemma_5_term_by_term(depth, n, m):
    network = gf.balanced(np.diag([2.3, 1.7, 1.2])[:n, :m], [n] + [3] * (depth - 1) + [m], random_state=1)
    network = gf.LinearNetwork([w + 1e-4 * k * np.ones_like(w) for k, w in enumerate(network.weights)])
    W = network.weights
    nu = max([np.linalg.norm(a.T @ a - b @ b.T) for a, b in pairwise(W)], default=0.0)
    M = max(np.linalg.svd(w)[1][0] for w in W)
    product = np.linalg.multi_dot(W) if depth > 1 else W[0]
    kept = np.linalg.svd(product)[1][1] ** 2 - 3 / 2 * nu * M ** (2 * depth - 2) * depth**2
    assert (nu > 1e-4) == (depth > 1)
    assert kept > 0.9
    assert gf.end_layer_bound(network) == pytest.approx(kept ** (0.5 / depth), rel=1e-12)


def test_the_end_layer_bound_needs_the_square_of_the_depth():
    """Scalars with w_l^2 = 1 - (l - 1) nu lose N (N - 1)/2 nu to first order; planted: N where N^2 is."""
    N, nu = 6, 1e-4
    network = gf.LinearNetwork([[[np.sqrt(1 - k * nu)]] for k in range(N)])
    end = network.weights[-1].item()
    assert 0.9 < gf.end_layer_bound(network) < end
    planted = (network.product.item() ** 2 - 1.5 * nu * N) ** (1 / (2 * N))
    assert planted > end
