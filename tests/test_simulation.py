"""Responses and comparisons: python-control and closed forms as twins."""

import control
import numpy as np
import pytest
from hypothesis import given

import coherence as co
from tests.draws import networks


def test_step_response_agrees_with_python_control(iceland):
    t = np.linspace(0, 10, 101)
    ours = co.simulate(iceland, co.Step({"Blanda 1": -0.1}), t)
    system = iceland.to_statespace()
    u = np.zeros((35, len(t)))
    u[iceland.index("Blanda 1")] = -0.1
    theirs = control.forced_response(system, t, u)
    assert np.allclose(ours.frame.to_numpy().T, theirs.outputs, atol=1e-10)


def test_one_swing_in_closed_form():
    network = co.coherent_dynamics(co.Network(co.swing(inertia=[1, 1], damping=[0.5, 0.5]), [[1, -1], [-1, 1]], "1/s"))
    response = co.simulate(network, co.Step({"coherent": 2.0}), np.linspace(0, 5, 51))
    assert np.allclose(response.frame["coherent"], 2 * (1 - np.exp(-response.time / 2)), rtol=1e-12)


@given(networks(least=2, most=6, passive=True, couplings=("1/s",)))
def test_center_of_inertia_starts_with_total_power_over_total_inertia(network):
    response = co.simulate(network, co.Step({network.labels[0]: 1.0}), np.linspace(0, 1e-5, 3))
    slope = response.coi.iloc[-1] / response.time[-1]
    assert slope == pytest.approx(1 / network.nodes.inertia.sum(), rel=1e-3)


def test_all_nodes_settle_at_the_coherent_value(iceland):
    t = np.linspace(0, 20_000, 2001)
    step = co.Step({"Burfell 1-2": -0.1})
    response = co.simulate(iceland, step, t)
    final = -0.1 / iceland.nodes.inverse(0.0).sum().real
    assert np.allclose(response.frame.iloc[-1], final, rtol=1e-6)


def test_a_grouped_step_keeps_its_total(iceland):
    partition = co.spectral_groups(iceland, 3)
    step = co.Step({"Blanda 1": -0.1, "Krafla 1": -0.2, "Burfell 5": 0.05})
    grouped = step.grouped(partition)
    assert grouped.total == pytest.approx(step.total)
    assert grouped.vector(co.aggregate(iceland, partition).network) == pytest.approx(partition.indicator.T @ step.vector(iceland))


def test_step_error_bounds_the_simulated_difference(iceland):
    partition = co.spectral_groups(iceland, 3)
    step = co.Step({"Blanda 1": -0.1})
    smaller = co.aggregate(iceland, partition).network
    error = co.step_error(iceland, smaller, step, partition)
    t = np.linspace(0, 20, 4001)
    full, model = co.simulate(iceland, step, t), co.simulate(smaller, step.grouped(partition), t)
    difference = full.frame.to_numpy() - model.frame.to_numpy() @ partition.indicator.T
    assert np.abs(difference).max() <= error.linf * (1 + 1e-6)
    assert np.abs(difference).max() >= 0.999 * error.linf
    assert full.frame.columns[np.abs(difference).max(axis=0).argmax()] == error.node
    l2 = np.sqrt(np.trapezoid((difference**2).sum(axis=1), t))
    assert 0.9 * error.l2 <= l2 <= error.l2 * (1 + 1e-3)


def test_coi_stays_close_to_the_coherent_dynamics_on_iceland(iceland):
    """Measured: 7.8e-4 rad/s against a response of 0.50 rad/s."""
    error = co.coi_error(iceland, co.coherent_dynamics(iceland), co.Step({"Burfell 1-2": -0.1}))
    assert error.linf < 1e-3
    assert error.l2 < 2e-3


def test_an_unstable_model_has_infinite_errors(iceland):
    unstable = co.linearize(co.load_case("iceland"), damping=0.0)
    error = co.step_error(iceland, unstable, co.Step({"Burfell 1-2": -0.1}))
    assert np.isinf([error.l2, error.linf, error.hinf.upper]).all()
