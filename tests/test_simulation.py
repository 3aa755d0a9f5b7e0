"""Responses and comparisons: python-control and closed forms as twins."""

import itertools

import control
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import expm

import coherence as co
from tests.draws import networks

SHAPE = {"n0": 1.0, "n1": -0.4}
DISTURBANCES = {
    "step": co.Step(SHAPE),
    "late step": co.Step(SHAPE, start=1.237),
    "pulse": co.Pulse(SHAPE, duration=0.61, start=0.5),
    "ramp": co.Ramp(SHAPE, rise=2.22, start=0.3),
    "exponential approach": co.ExponentialApproach(SHAPE, rate=0.8),
    "sinusoid": co.Sinusoid(SHAPE, omega=2.3, phase=0.4, start=0.7),
    "sampled": co.Sampled(SHAPE, times=[0.2, 0.9, 1.7, 4.0], values=[0.5, 1.0, -1.0, 0.3]),
    "held": co.Sampled(SHAPE, times=[0.2, 0.9, 1.7, 4.0], values=[0.5, 1.0, -1.0, 0.3], held=True),
    "sum": co.Step({"n0": 1.0}) + co.Ramp({"n1": 2.0}, rise=1.5) + co.Pulse({"n0": -3.0}, duration=0.2, start=2.05),
}
PLAIN = {  # the same in other words
    "step": lambda t: 1.0 + 0 * t,
    "late step": lambda t: 1.0 * (t >= 1.237),
    "pulse": lambda t: 1.0 * ((t >= 0.5) & (t < 1.11)),
    "ramp": lambda t: np.clip((t - 0.3) / 2.22, 0, 1),
    "exponential approach": lambda t: -np.expm1(-0.8 * t),
    "sinusoid": lambda t: np.sin(2.3 * (t - 0.7) + 0.4) * (t >= 0.7),
    "sampled": lambda t: np.interp(t, [0.2, 0.9, 1.7, 4.0], [0.5, 1.0, -1.0, 0.3], left=0.0),
    "held": lambda t: np.select([t < 0.2, t < 0.9, t < 1.7, t < 4.0], [0.0, 0.5, 1.0, -1.0], 0.3),
}


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


# --- disturbances -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_signals_have_their_values_and_their_laplace_transform(name):
    signal = DISTURBANCES[name].signal
    t = np.array([0.0, 0.1, 0.5, 0.77, 1.237, 2.0, 3.3, 6.0])
    assert signal(t) == pytest.approx(PLAIN[name](t), abs=1e-14)
    s = np.array([0.7 + 0.2j, 1.5, 0.9 - 3j])
    breaks = [0, 0.2, 0.3, 0.5, 0.7, 0.9, 1.11, 1.237, 1.7, 2.52, 4.0, 60.0]
    want = sum(
        quad_vec(lambda x: PLAIN[name](np.array(x)) * np.exp(-s * x), a + 1e-13, b - 1e-13, epsabs=1e-13)[0]
        for a, b in itertools.pairwise(breaks)
    )
    assert signal.transform(s) == pytest.approx(want, abs=1e-10)


@given(
    networks(least=2, most=5, couplings=("1/s", "1", ([1.0, 2.0], [1.0, 1.0, 0.0])), strengths=(0.1, 1.0)),
    st.sampled_from(sorted(DISTURBANCES)),
)
def test_responses_are_convolutions_with_the_impulse_response(network, name):
    """Duhamel's integral by adaptive quadrature, whatever the network: stable or not, with events off the grid of times."""
    disturbance = DISTURBANCES[name]
    times = np.array([0.0, 0.33, 0.34, 1.3, 2.0])
    found = co.simulate(network, disturbance, times).frame.to_numpy()
    system = network.realization
    signals = {"sum": None}.get(name, PLAIN.get(name))
    terms = [(part.vector(network), part.signal if signals is None else signals) for part in disturbance.terms]
    events = sorted({when for part in disturbance.terms for when, _ in part.signal.events})
    for row, end in zip(found[1:], times[1:], strict=True):
        cuts = [0.0, *[x for x in events if 0 < x < end], end]
        want = np.zeros(network.size)
        for shape, signal in terms:
            value = lambda x, signal=signal: float(np.asarray(signal(np.array([x])))[0])  # noqa: E731
            for a, b in itertools.pairwise(cuts):
                want = (
                    want
                    + quad_vec(
                        lambda x, end=end, shape=shape, value=value: (
                            system.c @ expm(system.a * (end - x)) @ system.b @ shape * value(x)
                        ),
                        a + 1e-14,
                        b - 1e-14,
                        epsabs=1e-12,
                        epsrel=1e-11,
                    )[0]
                )
            want = want + system.d @ shape * value(end)
        assert row == pytest.approx(want, abs=1e-9 * max(1.0, np.abs(found).max()))


@pytest.mark.parametrize("name", ["ramp", "exponential approach", "sinusoid", "sampled"])
def test_responses_on_iceland_agree_with_python_control(iceland, name):
    """forced_response takes straight lines between samples: on a grid so fine, and with the ramp's corners on it, to 1e-8."""
    own = {
        "ramp": co.Ramp({"Blanda 1": -0.1, "Krafla 1": 0.05}, rise=2.0, start=0.5),
        "exponential approach": co.ExponentialApproach({"Blanda 1": -0.1}, rate=0.5),
        "sinusoid": co.Sinusoid({"Blanda 1": -0.1}, omega=0.6),
        "sampled": co.Sampled({"Blanda 1": -0.1}, times=[0.0, 1.0, 2.5], values=[0.0, 1.0, -0.5]),
    }[name]
    t = np.linspace(0, 5, 20_001)
    u = np.outer(own.vector(iceland), own.signal(t))
    theirs = control.forced_response(iceland.to_statespace(), t, u).outputs.T
    ours = co.simulate(iceland, own, t[::400]).frame.to_numpy()
    assert np.abs(ours - theirs[::400]).max() <= 1e-8


def test_homogeneous_networks_in_closed_form():
    """1/(m s + d) on a graph: each eigenvector v_k of L answers as 1/(m s + d + lambda_k/s)."""
    rng = np.random.default_rng(2)
    laplacian = co.erdos_renyi_graph(8, probability=0.6, random_state=rng).toarray()
    network = co.Network(co.swing(inertia=np.full(8, 2.0), damping=0.3), laplacian, "1/s")
    t = np.linspace(0, 12, 97)
    values, vectors = np.linalg.eigh(laplacian)
    want = np.zeros((97, 8))
    for value, v in zip(values, vectors.T, strict=True):
        roots = np.sqrt(complex(0.3**2 - 8 * value)) / 4
        shape = -np.expm1(-0.15 * t) / 0.3 if value < 1e-12 else (np.exp(-0.075 * t) * np.sinh(roots * t) / roots / 2).real
        want += np.outer(shape, v) * v[3]
    assert np.abs(co.simulate(network, co.Step({"4": 1.0}), t).frame.to_numpy() - want).max() <= 1e-9


@given(networks(least=2, most=7, couplings=("1/s",), degrees=(1,)), st.floats(0.05, 2.0))
def test_the_center_of_inertia_is_the_coherent_dynamics_where_damping_goes_with_inertia(network, ratio):
    nodes = co.swing(inertia=network.nodes.inertia, damping=ratio * network.nodes.inertia, labels=network.labels)
    network = co.Network(nodes, network.laplacian, "1/s")
    step = co.Step({network.labels[0]: 1.0}) + co.Sinusoid({network.labels[1]: 0.5}, omega=1.3)
    t = np.linspace(0, 8, 41)
    coherent = co.coherent_dynamics(network)
    one = co.simulate(coherent, step.at_one(coherent.labels[0]), t).frame.iloc[:, 0]
    assert np.abs(co.simulate(network, step, t).coi - one).max() <= 1e-12 * max(1.0, np.abs(one).max())


def test_a_response_from_initial_outputs_is_the_free_motion():
    pair = co.Network(co.swing(inertia=[1, 1], damping=0.4, labels=["a", "b"]), [[3, -3], [-3, 3]], "1/s")
    t = np.linspace(0, 6, 61)
    found = co.simulate(pair, co.Step({"a": 0.0}), t, initial={"a": 1.0, "b": -1.0}).frame["a"]
    w = np.sqrt(6 - 0.04)
    assert found.to_numpy() == pytest.approx(np.exp(-0.2 * t) * (np.cos(w * t) - 0.2 / w * np.sin(w * t)), abs=1e-12)
    inverter = co.from_systems({"a": control.tf([1.0, 1.0], [1.0, 2.0]), "b": control.tf([1.0], [1.0, 1.0])})
    with pytest.raises(co.InputError, match="node 'a' is no state"):
        co.simulate(co.Network(inverter, [[1, -1], [-1, 1]], "1/s"), co.Step({"a": 1.0}), t, initial={"a": 1.0})


def test_many_different_steps_of_time_give_the_same_response(iceland):
    rng = np.random.default_rng(0)
    odd = np.unique(np.concatenate([[0.0], rng.uniform(0, 3, 90), [3.0]]))
    step = co.Step({"Blanda 1": -0.1})
    few = co.simulate(iceland, step, [0.0, 3.0]).frame.iloc[-1]
    assert np.abs(co.simulate(iceland, step, odd).frame.iloc[-1] - few).max() <= 1e-10


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_of_the_reheat_unit_of_anderson_and_mirheydar():
    """H = 4, D = 1, F_H = .3, R = .05, K_m = .95, T_R = 8, -0.7 pu at 50 Hz: their closed form gives these figures."""
    governor = control.tf([0.95 / 0.05 * 0.3 * 8, 0.95 / 0.05], [8, 1])
    unit = co.from_systems({"unit": control.feedback(control.tf([1], [8, 1]), governor)})
    response = co.simulate(co.Network(unit, [[0.0]], "1/s"), co.Step({"unit": -0.7}), np.linspace(0, 80, 801))
    found = response.metrics(window=0.1).loc["unit"]
    assert 50 * found["nadir"] == pytest.approx(-3.79112, abs=5e-6)
    assert found["nadir at [s]"] == pytest.approx(2.36883, abs=5e-6)
    assert 50 * found["last"] == pytest.approx(-1.75, abs=1e-6)
    assert 50 * found["rate at start"] == pytest.approx(-4.375, rel=1e-9)
    assert found["rocof"] == pytest.approx(response.frame["unit"].iloc[1] / 0.1, rel=1e-12)


@given(
    networks(least=2, most=5, passive=True, couplings=("1/s",), strengths=(0.1, 1.0)),
    st.sampled_from(["step", "late step", "pulse", "sinusoid", "sum"]),
)
@settings(max_examples=40)
def test_metrics_of_few_samples_are_those_of_many(network, name):
    coarse = co.simulate(network, DISTURBANCES[name], np.linspace(0, 8, 801)).metrics(window=0.5)
    fine_response = co.simulate(network, DISTURBANCES[name], np.linspace(0, 8, 16_001))
    fine = fine_response.frame.assign(CoI=fine_response.coi)
    size, knots = fine.abs().max(), fine_response.knots
    hidden = 5e-4 / 8 * np.abs(knots.left[1][1:] - knots.rate[:-1]).max()  # h^2/8 |y''| between fine samples
    assert (coarse["nadir"].abs() >= size * (1 - 1e-8)).all()
    assert (coarse["nadir"].abs() <= size * (1 + 1e-8) + hidden).all()
    value = fine.to_numpy()
    rocof = np.abs(value[1000:] - value[:-1000]).max(axis=0) / 0.5
    assert coarse["rocof"].abs().to_numpy() == pytest.approx(rocof, rel=2e-3, abs=1e-9)  # it begins at a sample


def test_settling_and_groups(iceland):
    partition = co.spectral_groups(iceland, 3)
    response = co.simulate(iceland, co.Step({"Burfell 1-2": -0.1}), np.linspace(0, 400, 20001))
    groups = response.groups(partition)
    members = list(partition.members(partition.groups[0]))
    places = [iceland.index(label) for label in members]
    weights = iceland.nodes.inertia[places] / iceland.nodes.inertia[places].sum()
    assert groups.frame.iloc[:, 0].to_numpy() == pytest.approx(response.frame[members].to_numpy() @ weights, rel=1e-12)
    assert groups.coi.to_numpy() == pytest.approx(response.coi.to_numpy(), abs=1e-14)
    found = response.metrics()
    for label in ("Burfell 1-2", "CoI"):
        y = response.coi if label == "CoI" else response.frame[label]
        late = y[y.index >= found.loc[label, "settling [s]"]]
        band, end = 0.02 * abs(found.loc[label, "nadir"]), found.loc[label, "steady state"]
        assert (np.abs(late - end) <= band).all()
        earlier = y[y.index < found.loc[label, "settling [s]"]]
        assert abs(earlier.iloc[-1] - end) > band
    assert co.simulate(iceland, co.Step({"Burfell 1-2": -0.1})).metrics()["settling [s]"].isna().all()  # not within 20 s


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: co.simulate(n, co.Step({"n9": 1.0})), "there is no node 'n9'"),
        (lambda n: co.simulate(n, co.Step([1.0])), "1 sizes for 2 nodes"),
        (lambda n: co.simulate(n, co.Ramp({"n0": np.inf})), "the ramp at 'n0' has size inf"),
        (lambda n: co.simulate(n, {"n0": 1.0}), "the disturbance is a dict"),
        (lambda n: co.simulate(n, co.Step({"n0": 1.0}), [0.0, 2.0, 1.0]), "time must start at 0 and increase"),
        (lambda n: co.simulate(n, co.Pulse({"n0": 1.0}, duration=0.0)), "duration = 0"),
        (lambda n: co.simulate(n, co.Step({"n0": 1.0}, start=-1.0)), "start = -1"),
        (lambda n: co.simulate(n, co.Sinusoid({"n0": 1.0}, omega=0.0)), "omega = 0"),
        (lambda n: co.simulate(n, co.Sampled({"n0": 1.0}, times=[0, 0], values=[1, 2])), "must be >= 0 and increasing"),
        (lambda n: co.simulate(n, co.Sampled({"n0": 1.0}, times=[0, 1], values=[1])), "2 times and 1 values"),
        (lambda n: co.simulate(n, co.Step({"n0": 1.0}), [0, 1]).metrics(window=2.0), "window = 2"),
        (lambda n: (co.Step({"n0": 1.0}) + co.Step({"n1": 1.0})).total, "no one size"),
        (lambda n: (co.Step({"n0": 1.0}) + co.Step({"n1": 1.0})).signal, "no one signal"),
        (lambda n: co.step_size(n, co.Pulse({"n0": 1.0})), "errors are of steps; this is a Pulse"),
        (lambda n: co.step_error(n, co.coherent_dynamics(n), co.Ramp({"n0": 1.0})), "errors are of steps; this is a Ramp"),
    ],
)
def test_simulations_refuse_what_they_cannot_use(make, message):
    network = co.Network(co.swing(inertia=[1, 1], damping=1, labels=["n0", "n1"]), [[1, -1], [-1, 1]], "1/s")
    with pytest.raises(co.CoherenceError, match=message):
        make(network)
