"""Truncation, norms and reading: figures of the source, independent software, and identities."""

import control
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg as sla
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from coherence.nodes.systems import to_control
from coherence.numerics.balancing import balance, controllability_gramian, observability_gramian
from coherence.numerics.norms import hinf_norm, step_l2, step_peak
from coherence.numerics.realization import Realization, cascade, difference

#: Table 3-II (unit step; the text's -0.1 pu is an erratum): order, part -> L2, Linf, Hinf as printed
TABLE_3_2 = {
    (2, "turbines"): (4.3737, 2.1454, 7.5879),
    (2, "closed_loop"): (2.0376, 0.9934, 2.0381),
    (3, "turbines"): (0.0967, 0.0361, 0.1315),
    (3, "closed_loop"): (0.0704, 0.0249, 0.0317),
}


def stable_system(seed, order=4, inputs=1, outputs=1):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(order, order))
    a -= (np.linalg.eigvals(a).real.max() + rng.uniform(0.1, 1)) * np.eye(order)
    return Realization(a, rng.normal(size=(order, inputs)), rng.normal(size=(outputs, order)), np.zeros((outputs, inputs)))


@pytest.mark.parametrize(("order", "part"), TABLE_3_2)
def test_table_3_2_is_reached_within_one_percent(five, order, part):
    model = co.truncate(five, order, part=part).network
    error = co.step_error(five, model, co.Step({five.labels[0]: 1.0}))
    assert [error.l2, error.linf, error.hinf.upper] == pytest.approx(TABLE_3_2[order, part], rel=0.01)


def test_bt3_turbine_coefficients_match_to_three_digits(five):
    """Printed: (.0266 s + .0057)/(s^2 + .5046 s + .0489) = .0473/(2.68 s + 1) + .0684/(7.64 s + 1), before DC rescaling."""
    truncation = co.truncate(five, 3, part="turbines")
    nodes = truncation.network.nodes.scaled(truncation.table["DC rescaled by"].to_numpy())
    (bank,) = nodes.banks
    den = np.poly(bank.a[0])
    num = [bank.c[0] @ bank.b[0], bank.c[0] @ (bank.a[0] - np.trace(bank.a[0]) * np.eye(2)) @ bank.b[0]]
    assert [*np.round(num, 4), *np.round(den[1:], 3)] == [0.0266, 0.0057, 0.505, 0.049]
    assert [*num, *den[1:]] == pytest.approx([0.02664, 0.00566, 0.5047, 0.04892], rel=1e-3)
    assert nodes.inertia[0] == pytest.approx(0.0683, rel=1e-12)
    poles = np.sort(np.roots(den))
    tau = -1 / poles
    droop = [-(np.polyval(num, p) / np.polyval(np.polyder(den), p)) / p for p in poles]
    assert [*tau, *droop] == pytest.approx([2.68, 7.64, 0.0473, 0.0684], rel=2e-3)


def test_bt2_closed_loop_reads_as_the_printed_generator(five):
    """Printed: swing .06715 s + .01464, turbine .1118/(4.9733 s + 1); 0.3 % is what the table's rounded inputs leave."""
    row = co.read_generators(co.truncate(five, 2, part="closed_loop").network.nodes).iloc[0]
    droop, tau = (float(x) for x in row["turbines"].replace(" s + 1)", "").split("/("))
    assert [row["inertia"], row["damping"], droop, tau] == pytest.approx([0.06715, 0.01464, 0.1118, 4.9733], rel=3e-3)
    assert row["generator"]


@given(st.integers(0, 10_000), st.integers(2, 7))
def test_unweighted_truncation_meets_its_error_bound_and_its_gramians(seed, order):
    system = stable_system(seed, order)
    x, y = controllability_gramian(system), observability_gramian(system)
    assert np.allclose(system.a @ x + x @ system.a.T, -system.b @ system.b.T, atol=1e-8 * np.abs(x).max() * np.abs(system.a).max())
    balanced = balance(system)
    assert np.allclose(balanced.hankel**2, np.sort(np.linalg.eigvals(x @ y).real)[::-1], atol=1e-6 * balanced.hankel[0] ** 2)
    k = order - 1
    error = hinf_norm(difference(system, balanced.truncate(k)))
    assert error.lower <= 2 * balanced.hankel[k:].sum() * (1 + 1e-6) + 1e-9 * balanced.hankel[0]


def test_weighted_truncation_agrees_with_the_definition_by_integrals(five):
    """X and Y from their frequency integrals instead of Lyapunov equations."""
    system = five.realization
    weight = Realization(np.array([[-0.5]]), np.array([[1.0]]), np.array([[0.4]]), np.array([[1.0]]))
    w, w_weights = np.polynomial.legendre.leggauss(4000)
    theta, scale = w * np.pi / 2, w_weights * np.pi / 2
    omega = 0.3 * np.tan(theta)
    measure = scale * 0.3 / np.cos(theta) ** 2 / (2 * np.pi)
    resolvent = np.linalg.inv(1j * omega[:, None, None] * np.eye(system.order) - system.a)
    left, right = resolvent @ system.b, system.c @ resolvent
    filtered = weight(1j * omega) * right
    x = (measure[:, None, None] * (left @ left.conj().swapaxes(1, 2))).sum(axis=0).real
    y = (measure[:, None, None] * (filtered.conj().swapaxes(1, 2) @ filtered)).sum(axis=0).real
    expected = np.sqrt(np.sort(np.linalg.eigvals(x @ y).real)[::-1])
    assert np.allclose(balance(system, weight).hankel[:3], expected[:3], rtol=1e-6)


@given(st.integers(0, 10_000))
def test_hinf_norm_agrees_with_slycot(seed):
    system = stable_system(seed, order=5, inputs=2, outputs=3)
    norm = hinf_norm(system)
    peer = control.norm(control.ss(*system), p="inf", tol=1e-8)
    assert norm.lower * (1 - 1e-7) <= peer <= norm.upper * (1 + 1e-7)
    assert np.linalg.norm(system(1j * norm.omega)[0], 2) == pytest.approx(norm.lower, rel=1e-9)


def test_hinf_norm_of_a_sharp_resonance_is_found_between_samples():
    w, zeta = 3.217, 1e-5
    system = Realization(
        np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]]), np.array([[0.0], [1.0]]), np.array([[1.0, 0.0]]), np.zeros((1, 1))
    )
    assert hinf_norm(system).upper == pytest.approx(1 / (2 * zeta * w * w * np.sqrt(1 - zeta**2)), rel=2e-6)


@given(st.integers(0, 10_000))
def test_step_norms_agree_with_dense_sampling(seed):
    system = stable_system(seed, order=4, outputs=2)
    # take away the final value, so that the L2 norm is finite
    final = system.dc_gain()
    lag = Realization(np.array([[-1.0]]), np.array([[1.0]]), final, np.zeros((2, 1)))
    error = difference(system, lag)
    slowest = -error.poles()[0].real
    t = np.linspace(0, 25 / slowest, 40_001)
    stepper = sla.expm(error.a * t[1])
    x, e = np.linalg.solve(error.a, error.b)[:, 0], np.empty((len(t), 2))
    for i in range(len(t)):
        e[i] = error.c @ x
        x = stepper @ x
    assert step_l2(error) == pytest.approx(np.sqrt(scipy.integrate.simpson((e**2).sum(axis=1), x=t)), rel=1e-4)
    peak = step_peak(error)
    # the last search steps |pole| h = 1/2000, so a smooth maximum is missed by at most (1/4000)^2/2
    assert np.abs(e).max() * (1 - 4e-8) <= peak.value <= np.abs(e).max() * (1 + 1e-3)


def test_step_norms_of_one_lag_in_closed_form():
    tau = 2.0
    lag = Realization(np.array([[-1 / tau]]), np.array([[1 / tau]]), np.array([[-1.0]]), np.array([[1.0]]))  # 1 - lag
    assert step_l2(lag) == pytest.approx(np.sqrt(tau / 2), rel=1e-12)  # e^{-t/tau}
    assert step_peak(lag).value == pytest.approx(1.0, rel=1e-12)
    other = Realization(lag.a, lag.b, -lag.c, np.zeros((1, 1)))
    assert step_l2(other) == np.inf
    assert step_peak(other) == (1.0, np.inf, 0)


def test_cascade_and_difference_are_product_and_difference():
    first, second = stable_system(1, 3), stable_system(2, 2)
    s = np.array([0.3j, 1 + 2j])
    assert np.allclose(cascade(first, second)(s), second(s) @ first(s))
    assert np.allclose(difference(first, second)(s), first(s) - second(s))


def test_truncation_keeps_inertia_and_dc_gain_and_says_what_it_cost(iceland):
    aggregated = co.aggregate(iceland, co.spectral_groups(iceland, 3)).network
    result = co.truncate(aggregated, 3)
    before, after = aggregated.nodes, result.network.nodes
    assert np.allclose(after.inverse(0.0), before.inverse(0.0), rtol=1e-9)
    assert np.allclose(after.inertia, before.inertia / result.table["DC rescaled by"], rtol=1e-12)
    assert result.network.order == 3 * 3 + 2
    for i, label in enumerate(aggregated.labels):
        h = aggregated.nodes.select([i]).proper_part()[0]
        reduced = after.select([i]).scaled(result.table["DC rescaled by"].to_numpy()[[i]]).proper_part()[0]
        weighted = cascade(difference(h, reduced), result.weight.realization())
        s = 1j * np.logspace(-6, 3, 400)
        assert np.abs(weighted(s)).max() <= result.table.loc[label, "weighted error"]
        assert np.abs(weighted(s)).max() >= 0.5 * result.table.loc[label, "weighted error"]


def test_full_order_truncation_is_exact(five):
    model = co.truncate(five, 5, part="closed_loop").network
    s = 1j * np.logspace(-3, 2, 30)
    assert np.allclose(model.transfer_matrix(s), five.transfer_matrix(s), rtol=1e-4)


def test_a_node_of_low_order_is_left_alone():
    network = co.Network(
        co.concatenate(
            [
                co.swing(inertia=[1], damping=[1], labels=["a"]),
                co.swing_turbine(inertia=[1, 1], damping=[1, 1], droop=[1, 1], time_constant=[1, 2], labels=["b", "c"]),
            ]
        ).aggregate(np.array([0, 1, 1]), ["a", "bc"]),
        [[1, -1], [-1, 1]],
        "1/s",
    )
    table = co.truncate(network, 2).table
    assert table["order after"].tolist() == [1, 2]
    assert table.loc["a", "weighted error"] == 0


def test_to_control_round_trip():
    system = stable_system(5, 3)
    ours = to_control(system, inputs=["a"], outputs=["b"], states=["x", "y", "z"], name="s")
    assert np.allclose(ours(1j), system(1j)[0])
    assert ours.state_labels == ["x", "y", "z"]
