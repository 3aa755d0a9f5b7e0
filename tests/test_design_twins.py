"""Slow, obvious twins of control design: every figure once more from matrices written by hand, python-control and dense samples."""

import control
import numpy as np
import pytest
import scipy.linalg as sla
import scipy.signal

import coherence as co
from coherence.design.delivery import delivered
from coherence.design.verification import least_damping_ratio
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.norms import gain_envelope
from coherence.numerics.realization import Realization
from coherence.simulation.response import Knots
from coherence.theory.stability import least_real_part_above


def static(d):
    d = np.atleast_2d(np.asarray(d, dtype=float))
    return Realization(np.zeros((0, 0)), np.zeros((0, d.shape[1])), np.zeros((d.shape[0], 0)), d)


def first_order(pole, gain, d=0.0):
    """Gain/(s - pole) + d."""
    return Realization(np.array([[pole]]), np.ones((1, 1)), np.array([[gain]]), np.array([[d]]))


def beside(*systems):
    """Diagonal of systems."""
    return Realization(*(sla.block_diag(*matrices) for matrices in zip(*systems, strict=True)))


def absorber(w, zeta, depth):
    """1 - depth 2 zeta w s/(s^2 + 2 zeta w s + w^2): its real part is 1 - depth at w, and 1 away from it."""
    a = np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]])
    return Realization(a, np.array([[0.0], [1.0]]), np.array([[0.0, -2 * depth * zeta * w]]), np.ones((1, 1)))


# --- real parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [[], [first_order(-2.0, 1.0, 0.1)], [first_order(-1e4, 1e4), absorber(3.0, 0.2, 0.9)]])
def test_an_unstable_system_has_no_real_part_though_it_is_positive_on_the_axis(rest):
    unstable = first_order(1.0, -1.0)  # 1/(1 - s), of real part 1/(1 + w^2)
    values = unstable(1j * np.geomspace(1e-3, 1e3, 50))
    assert values.real.min() > 0
    for level in (-1e-3, -10.0):
        assert not least_real_part_above(beside(unstable, *rest), level)
        assert least_real_part_above(beside(first_order(-1.0, 1.0), *rest), level)


@pytest.mark.parametrize("below", [1e-2, 1e-5, 1e-7])
@pytest.mark.parametrize("rest", [[], [static(1.0)], [absorber(3.0, 0.2, 0.9)]])
def test_a_real_part_that_is_too_low_at_infinity_only_is_seen(below, rest):
    """1/(s + 1) - below crosses a level next to -below millions of rad/s out, where rounding hides it and D alone tells."""
    system = beside(first_order(-1.0, 1.0, -below), *rest)
    for nearly in (0.5, 1 - 1e-6, 1 - 1e-12):
        assert not least_real_part_above(system, -below * nearly)
    assert least_real_part_above(system, -below * (1 + 1e-6))


def test_the_real_part_of_a_gain_is_that_of_its_symmetric_part():
    turned = np.array([[0.0, 3.0], [-3.0, 0.0]])
    assert least_real_part_above(static(turned), -1e-6)
    assert least_real_part_above(static(turned - np.diag([0.0, 0.1])), -0.11)
    assert not least_real_part_above(static(turned - np.diag([0.0, 0.1])), -0.09)
    assert not least_real_part_above(static([[1.0, 2.1], [0.0, 1.0]]), -0.04)  # 1 - 2.1/2


@pytest.mark.parametrize("zeta", [1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("w", [0.37, 1.0, 21.0])
@pytest.mark.parametrize("rest", [[], [first_order(-2.0, 1.0, 0.1)]])
def test_a_real_part_that_is_negative_in_a_narrow_band_only_is_seen(zeta, w, rest):
    """Between w (1 - zeta) and w (1 + zeta) only: no coarse grid meets it. In the middle it is -0.2."""
    system = beside(absorber(w, zeta, 1.2), *rest)
    assert not least_real_part_above(system, -0.19)
    assert not least_real_part_above(system, -1e-3)
    assert least_real_part_above(system, -0.21)
    assert least_real_part_above(beside(absorber(w, zeta, 0.8), *rest), -1e-3)


# --- bounds over frequency -------------------------------------------------------------------------------------------

RATIO = 1.3


def envelopes():
    rng = np.random.default_rng(11)
    yield first_order(-1.0, 1.0)
    yield first_order(-3.0, -2.9 * 2, 2.0)  # rises from 0.067 to 2 with frequency
    for order, d in ((3, 0.0), (5, 0.3), (4, 2.0), (6, 0.0), (2, 1.0), (7, 0.7)):
        a = rng.normal(size=(order, order))
        a -= (np.linalg.eigvals(a).real.max() + 0.3) * np.eye(order)
        yield Realization(a, rng.normal(size=(order, 2)), rng.normal(size=(2, order)), d * rng.normal(size=(2, 2)))


@pytest.mark.parametrize("system", list(envelopes()), ids=lambda system: f"{system.order} states")
def test_the_envelope_is_less_than_one_rung_above_the_gain_inside_each_of_its_intervals(system):
    omega = np.append(0.0, np.geomspace(1e-3, 1e3, 400))
    peak = np.linalg.norm(system(1j * omega), 2, axis=(1, 2)).max()
    least = 0.05 * peak
    found = gain_envelope(system, least=least, ratio=RATIO)
    assert len(found.edge) > 3
    ends = np.append(found.edge, np.inf)
    for low, high, level in zip(ends[:-1], ends[1:], found.level, strict=True):
        inside = low + (high - low) * np.linspace(0.02, 0.98, 9) if np.isfinite(high) else (low + 0.1) * np.geomspace(1.1, 1e6, 40)
        gain = np.linalg.norm(system(1j * inside), 2, axis=(1, 2))
        assert (gain <= level * (1 + 1e-6)).all()
        assert (level <= RATIO * (np.maximum(gain, least) + 0.01 * least)).all()  # what balancing leaves out


def test_the_envelope_of_a_lag_has_its_edges_where_the_lag_takes_the_levels():
    found = gain_envelope(first_order(-1.0, 1.0), least=0.1, ratio=RATIO)
    rungs = int(np.ceil(np.log(10.0) / np.log(RATIO)))
    levels = RATIO ** -np.arange(1.0, rungs + 1)
    inner = found.edge[found.edge > 0.01]  # the first rung is the norm itself, taken at 0
    assert inner == pytest.approx(np.sqrt(levels**-2 - 1), rel=1e-4)
    assert found.level[-rungs:] == pytest.approx(levels, rel=1e-4)
    assert found.at(np.array([1e9])) == pytest.approx(levels[-1], rel=1e-4)


# --- small gain ------------------------------------------------------------------------------------------------------


def lags(seed, size):
    """Nodes 1/d and 1/(m s + d): an error with feedthrough. Two groups, equal shares, a controller of two states."""
    rng = np.random.default_rng(seed)
    n = 6
    laplacian = np.diag(np.full(n, 2.0)) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1.0
    damping = rng.uniform(0.3, 3.0, n)
    inertia = rng.uniform(0.5, 2.0, n) * (np.arange(n) % 3 == 0)
    network = Network(Nodes(tuple("abcdef"), np.array([damping, inertia])), laplacian, "1/s")
    partition = co.Partition.of(["x", "x", "x", "y", "y", "y"], labels=network.labels)
    a = rng.normal(size=(2, 2)) - 4 * np.eye(2)
    b, c, d = rng.normal(size=(2, 2)), size * rng.normal(size=(2, 2)), 0.3 * size * rng.normal(size=(2, 2))
    controller = control.ss(a, b, c, d, inputs=["w[x]", "w[y]"], outputs=["p[x]", "p[y]"])
    return network, partition, controller


def parts(network, partition, controller, omega):
    """Error D and loop M = K (I - P_r K)^{-1} at frequencies, from the definitions."""
    s = 1j * omega[:, None, None]
    share = partition.indicator / partition.indicator.sum(axis=0)
    sums = partition.indicator
    z = network.nodes.inverse(1j * omega)
    full = np.linalg.inv(z[:, :, None] * np.eye(network.size) + network.laplacian / s)
    small = np.linalg.inv((z @ sums)[:, :, None] * np.eye(partition.k) + sums.T @ network.laplacian @ sums / s)
    k = np.moveaxis(controller(1j * omega, squeeze=False), -1, 0)
    return share.T @ full @ share - small, k @ np.linalg.inv(np.eye(partition.k) - small @ k)


def spectral(values):
    return np.linalg.norm(values, 2, axis=(1, 2))


@pytest.mark.parametrize("size", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_certified_gain_and_what_it_tolerates_are_those_of_dense_samples_where_nodes_have_no_inertia(seed, size):
    network, partition, controller = lags(seed, size)
    found = co.small_gain(network, network.project(partition), controller, partition, shares="equal", measured="equal")
    omega = np.geomspace(1e-4, 1e4, 6001)
    error, loop = parts(network, partition, controller, omega)
    assert spectral(error)[-1] > 1e-3  # feedthrough
    if found.reason:
        assert "not stable" in found.reason
        return
    true = spectral(loop @ error).max()
    assert found.gain.lower == pytest.approx(true, rel=1e-3)
    assert found.gain.lower <= found.gain.upper <= found.gain.lower * (1 + 2e-4)
    assert found.holds == (true < 1)
    sizes, (most_error, most_loop) = spectral(error) * spectral(loop), (spectral(error).max(), spectral(loop).max())
    assert 1 / found.tolerates >= sizes.max() * (1 - 1e-6)
    floors = (
        np.maximum(spectral(error), min(most_error, 0.5 / most_loop)),
        np.maximum(spectral(loop), min(most_loop, 0.5 / most_error)),
    )
    rungs, left_out = 2**0.25 * 1.03, 1.01**2
    assert 1 / found.tolerates <= rungs * left_out * (floors[0] * floors[1]).max()
    first = omega[np.argmax(sizes >= 1)] if (sizes >= 1).any() else np.inf
    assert found.safe_to <= first
    at = found.curve.index.to_numpy()
    error, loop = parts(network, partition, controller, at)
    assert found.curve["error"].to_numpy() == pytest.approx(spectral(error), rel=1e-6)
    assert found.curve["loop"].to_numpy() == pytest.approx(spectral(loop), rel=1e-6)


# --- local controllers -----------------------------------------------------------------------------------------------


def three(inertia=(1.0, 2.0, 3.0)):
    nodes = co.swing(inertia=list(inertia), damping=[0.1, 0.2, 0.3], labels=["a", "b", "c"])
    return co.Network(nodes, [[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]], "1/s")


def named(system, groups):
    return control.ss(system, inputs=[f"w[{g}]" for g in groups], outputs=[f"p[{g}]" for g in groups])


AT = np.array([0.0, 0.3j, 2j, 1.0 + 1j, 40j])


def test_a_local_controller_of_several_states_a_group_is_taken_from_the_inverse_of_that_group():
    rng = np.random.default_rng(5)
    single = [control.ss(rng.normal(size=(k, k)) - 4 * np.eye(k), rng.normal(size=(k, 1)), rng.normal(size=(1, k)), [[0.1 * k]])
              for k in (3, 2, 4)]  # fmt: skip
    network, joined = three(), control.append(*single)
    order = rng.permutation(joined.nstates)  # the states of the groups among each other
    mixed = control.ss(joined.A[np.ix_(order, order)], joined.B[order], joined.C[:, order], joined.D)
    for system in (joined, mixed):
        found = co.add_local(network, named(system, "abc"))
        own = np.array([[one(s) for one in single] for s in AT])
        assert found.nodes.inverse(AT) == pytest.approx(network.nodes.inverse(AT) - own, rel=1e-9)


@pytest.mark.parametrize("size", [1.0, 1e-3])
@pytest.mark.parametrize("through", ["A", "B", "C", "D"])
def test_a_controller_that_passes_one_group_to_another_by_any_of_its_matrices_is_refused(through, size):
    rng = np.random.default_rng(6)
    a = sla.block_diag(*(rng.normal(size=(2, 2)) - 4 * np.eye(2) for _ in range(3)))
    b, c, d = (sla.block_diag(*(rng.normal(size=shape) for _ in range(3))) for shape in ((2, 1), (1, 2), (1, 1)))
    network = three()
    assert co.add_local(network, named(control.ss(a, b, c, d), "abc")).order == network.order + 6
    row, column = {"A": (5, 0), "B": (4, 0), "C": (2, 1), "D": (2, 0)}[through]  # all from a to c
    {"A": a, "B": b, "C": c, "D": d}[through][row, column] = size
    with pytest.raises(co.InputError, match=r"passes 'w\[a\]' to 'p\[c\]'"):
        co.add_local(network, named(control.ss(a, b, c, d), "abc"))
    only = control.ss(a, b[:, :1], c, d[:, :1], inputs=["w[a]"], outputs=["p[a]", "p[b]", "p[c]"])
    with pytest.raises(co.InputError, match=r"passes 'w\[a\]' to 'p\[c\]'"):
        co.add_local(network, only)
    alone = control.ss(a, b[:, :1], c[2:], d[2:, :1], inputs=["w[a]"], outputs=["p[c]"])  # the group itself is not answered
    with pytest.raises(co.InputError, match=r"passes 'w\[a\]' to 'p\[c\]'"):
        co.add_local(network, alone)


def test_a_state_that_nothing_drives_takes_no_part_however_much_it_is_seen():
    """Its weight in the output is 1e13 of that of the lag, so that only structure tells what is small."""
    controller = control.ss(np.diag([-1.0, -2.0]), [[1.0], [0.0]], [[-0.5, 1e13]], [[0.0]])
    found = co.add_local(three(), named(controller, "b"))
    assert found.nodes.inverse(AT)[:, 1] == pytest.approx(three().nodes.inverse(AT)[:, 1] + 0.5 / (AT + 1), rel=1e-12)
    assert found.order == three().order + 1


def stiff():
    """-0.4e4/((s + 1e4)(s + 1)^3) in companion form: states of very unequal size, gain -0.4 at s = 0."""
    denominator = np.poly([-1e4, -1.0, -1.0, -1.0])
    return scipy.signal.tf2ss([-0.4e4], denominator)


def test_a_stiff_controller_in_companion_form_is_kept():
    network = three()
    found = co.add_local(network, control.ss(*stiff(), inputs=["w[b]"], outputs=["p[b]"]))
    gain = found.nodes.inverse(AT) - network.nodes.inverse(AT)
    expected = 0.4e4 / ((AT + 1e4) * (AT + 1) ** 3)
    assert expected[0] == pytest.approx(0.4)
    assert gain[:4, 1] == pytest.approx(expected[:4], rel=1e-6)
    assert np.abs(gain[:, [0, 2]]).max() == 0


def test_a_stiff_controller_in_companion_form_that_crosses_is_refused():
    with pytest.raises(co.InputError, match=r"passes 'w\[b\]' to 'p\[c\]'"):
        co.add_local(three(), control.ss(*stiff(), inputs=["w[b]"], outputs=["p[c]"]))
    a, b, c, d = stiff()
    both = control.ss(a, b, np.vstack([c, c]), np.vstack([d, d]), inputs=["w[b]"], outputs=["p[b]", "p[c]"])
    with pytest.raises(co.InputError, match=r"passes 'w\[b\]' to 'p\[c\]'"):
        co.add_local(three(), both)


# --- any controller, checked -----------------------------------------------------------------------------------------


def by_hand(inertia, damping, laplacian, acts, sees, controller):
    """Swing equations with p = K w_g written out: states are angles, outputs and those of the controller; outputs y, then p."""
    n, k = len(inertia), controller.nstates
    ak, bk, ck, dk = controller.A, controller.B, controller.C, controller.D
    m = np.diag(1 / inertia)
    a = np.block([
        [np.zeros((n, n)), np.eye(n), np.zeros((n, k))],
        [-m @ laplacian, m @ (acts @ dk @ sees - np.diag(damping)), m @ acts @ ck],
        [np.zeros((k, n)), bk @ sees, ak],
    ])  # fmt: skip
    b = np.vstack([np.zeros((n, n)), m, np.zeros((k, n))])
    c = np.block([[np.zeros((n, n)), np.eye(n), np.zeros((n, k))], [np.zeros((len(dk), n)), dk @ sees, ck]])
    return control.ss(a, b, c, np.zeros((len(c), n)))


def largest(values):
    return values[np.arange(values.shape[0]), np.abs(values).argmax(axis=1)]


def course(system, n, u, inertia, partition, time, window):
    """Every row of `verify` from python-control's simulation."""
    y = control.forced_response(system, time, np.outer(u, np.ones(len(time))), squeeze=False).outputs
    center = inertia @ y[:n] / inertia.sum()
    turning = np.append(np.ones(n), np.zeros(system.nstates - n))[:, None]  # in the end all angles grow alike
    ends = (system.C @ np.linalg.lstsq(np.hstack([system.A, -turning]), -system.B @ u, rcond=None)[0][:-1])[:n]
    end = inertia @ ends / inertia.sum()
    own = partition.indicator * inertia[:, None]
    groups = (own / own.sum(axis=0)).T @ y[:n]
    lag = round(window / time[1])
    change = (center[lag:] - center[:-lag]) / window
    outside = np.flatnonzero(np.abs(center - end) > 0.02 * np.abs(center).max())
    poles = np.linalg.eigvals(system.A)
    swings = poles[np.abs(poles.imag) > 1e-3]
    worst_group, worst_node = largest(groups), largest(y[:n])
    rows = {
        "nadir, CoI": center[np.abs(center).argmax()],
        f"RoCoF, CoI, over {window:g} s": change[np.abs(change).argmax()],
        "steady state, CoI": end,
        "settling, CoI [s]": time[outside[-1] + 1],
        "nadir, worst group": worst_group[np.abs(worst_group).argmax()],
        "least damping ratio": (-swings.real / np.abs(swings)).min(),
    }
    powers = np.abs(y[n:]).max(axis=1)
    return rows, worst_node[np.abs(worst_node).argmax()], powers, y


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("measured", ["inertia", "equal"])
def test_every_row_of_a_check_is_that_of_python_controls_simulation(sign, measured):
    inertia, damping = np.array([4.0, 1.0, 3.0, 0.5, 0.8]), np.array([0.4, 0.3, 0.9, 0.4, 0.3])
    lines = {(0, 1): 3.0, (1, 2): 2.0, (2, 3): 0.8, (3, 4): 1.5, (0, 2): 1.0}
    laplacian = np.zeros((5, 5))
    for (i, j), w in lines.items():
        laplacian += w * np.outer(np.eye(5)[i] - np.eye(5)[j], np.eye(5)[i] - np.eye(5)[j])
    full = co.Network(co.swing(inertia=inertia, damping=damping, labels=list("abcde")), laplacian, "1/s")
    partition = co.Partition.of(["x", "x", "y", "z", "z"], labels=full.labels)
    sums = partition.indicator
    controller = control.ss(
        [[-0.5, 0.2], [0.0, -2.0]], [[1.0, 0.0, 0.3], [0.5, 1.0, 0.0]], [[-0.6, 0.2], [0.1, -0.7]], [[-0.5, 0, 0], [0, 0, -1.0]],
        inputs=["w[x]", "w[y]", "w[z]"], outputs=["p[x]", "p[z]"],
    )  # fmt: skip
    step, time, window = co.Step({"d": 1.5 * sign, "a": -0.4 * sign}), np.linspace(0, 20, 1001), 0.4
    found = co.verify(
        full, full.project(partition), controller, partition, disturbance=step, measured=measured, time=time, window=window
    )
    assert found.stable
    u = sign * np.array([-0.4, 0.0, 0.0, 1.5, 0.0])
    share = (sums * inertia[:, None]) / (sums.T @ inertia)
    mean = share if measured == "inertia" else sums / sums.sum(axis=0)
    one = co.Partition.of(["x", "y", "z"], labels=["x", "y", "z"])
    cases = {
        "full": (by_hand(inertia, damping, laplacian, share[:, [0, 2]], mean.T, controller), 5, u, inertia, partition),
        "reduced": (
            by_hand(sums.T @ inertia, sums.T @ damping, sums.T @ laplacian @ sums, np.eye(3)[:, [0, 2]], np.eye(3), controller),
            3, sums.T @ u, sums.T @ inertia, one,
        ),
    }  # fmt: skip
    fine = np.linspace(0, 20, 20_001)
    for column, (system, n, disturbance, weights, groups) in cases.items():
        rows, worst, powers, y = course(system, n, disturbance, weights, groups, fine, window)
        table = found.table[column]
        settling = rows.pop("settling, CoI [s]")
        assert settling <= table["settling, CoI [s]"] <= settling + 1.01 * time[1]  # at a sample
        for name, value in rows.items():
            assert table[name] == pytest.approx(value, rel=1e-4), name
        assert table["largest |p[x]|"] == pytest.approx(powers[0], rel=1e-3)
        assert table["largest |p[z]|"] == pytest.approx(powers[1], rel=1e-3)
        if column == "full":
            assert table["nadir, worst node"] == pytest.approx(worst, rel=1e-4)
            assert np.abs(y[0]).max() < 0.9 * abs(worst)  # it is not the first
        side = -np.sign(y[n + np.argmax(powers)][np.abs(y[n + np.argmax(powers)]).argmax()])
        assert side == sign  # what brakes is of the other sign: a largest value without its size would miss it for sign = 1
    assert set(found.table.index) == {
        "nadir, CoI", "RoCoF, CoI, over 0.4 s", "steady state, CoI", "settling, CoI [s]", "nadir, worst group",
        "nadir, worst node", "largest |p[x]|", "largest |p[z]|", "least damping ratio",
    }  # fmt: skip
    assert np.isnan(found.table.loc["nadir, worst node", "reduced"])


def test_the_least_damping_ratio_is_relative_to_the_size_of_the_pole():
    poles = np.array([-3 + 4j, -3 - 4j, -20 + 0j, -8 + 6j, -8 - 6j])
    assert least_damping_ratio(poles) == pytest.approx(0.6, rel=1e-14)
    assert least_damping_ratio(np.array([0.6 + 0.8j, 0.6 - 0.8j, -1.0])) == pytest.approx(-0.6, rel=1e-14)
    assert np.isnan(least_damping_ratio(np.array([-1.0 + 0j, -2.0])))


# --- secondary control -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proportional", [0.0, 0.5, 1.2])
def test_the_proportional_part_is_in_the_controller_and_in_its_powers(proportional):
    """Quasi-steady areas: p = -(k_p T s + 1)/((1 + k_p) T s + 1) u, each for itself."""
    nodes = co.swing(inertia=[1e-4, 2e-4], damping=[0.5, 0.8], labels=["a", "b"])
    network = co.Network(nodes, [[100.0, -100.0], [-100.0, 100.0]], "1/s")
    design = co.secondary_control(network, time_constant=40.0, proportional=proportional)
    for s in np.array([0.02j, 1j, 5j]) / 40.0:
        pi = -(proportional + 1 / (40.0 * s))
        errors = np.array([[1, 0, 0.5, 0], [0, 1, 0, 0.8]])
        assert design.controller(s) == pytest.approx(pi * errors, rel=1e-12)
        loop = co.plant(co.close_loop(network, design.controller), outputs=["p[a]", "p[b]"])
        expected = -(proportional * 40 * s + 1) / ((1 + proportional) * 40 * s + 1)
        assert loop(s) == pytest.approx(expected * np.eye(2), abs=1e-2)


@pytest.mark.parametrize("proportional", [0.0, 0.3, 1.0, 1.6, 1.8, 3.0])
def test_what_was_lost_is_replaced_to_63_percent_when_the_target_says(proportional):
    """The power of one quasi-steady area is 1 - exp(-t/(T (1 + k_p)))/(1 + k_p) of what it lost."""
    network = co.Network(co.swing(inertia=[1e-6], damping=[0.7], labels=["a"]), [[0.0]], "1/s")
    t, k = 2.0, proportional
    found = co.secondary_control(network, time_constant=t, proportional=k).check(network, disturbance=co.Step({"a": -1.0})).table
    exact = t * (1 + k) * (1 - np.log(1 + k)) if k < np.e - 1 else 0.0
    row = found.loc["63 % replaced after [s]"]
    assert row["target"] == pytest.approx(exact, rel=1e-9, abs=1e-12)
    assert row[["reduced", "full"]].tolist() == pytest.approx([exact, exact], rel=2e-2, abs=0 if exact else 20 * t * (1 + k) / 600)


def areas_by_hand(inertia, damping, laplacian, sums, share, mean, beta, time_constant, proportional):
    """Swing equations with ACE = export + beta w and p = z - k_p ACE, z' = -ACE/T written out; outputs w, exports, p."""
    n, k = sums.shape
    m = np.diag(1 / inertia)
    errors = np.hstack([sums.T @ laplacian, beta[:, None] * mean.T, np.zeros((k, k))])
    powers = np.hstack([np.zeros((k, 2 * n)), np.eye(k)]) - proportional * errors
    free = np.block([[np.zeros((n, n)), np.eye(n), np.zeros((n, k))], [-m @ laplacian, -m * damping, np.zeros((n, k))]])
    a = np.vstack([free + np.vstack([np.zeros((n, 2 * n + k)), m @ share @ powers]), -errors / time_constant])
    b = np.vstack([np.zeros((n, n)), m, np.zeros((k, n))])
    c = np.vstack([
        np.hstack([np.zeros((n, n)), np.eye(n), np.zeros((n, k))]),
        np.hstack([sums.T @ laplacian, np.zeros((k, n + k))]),
        powers,
    ])  # fmt: skip
    return control.ss(a, b, c, np.zeros((len(c), n)))


@pytest.mark.parametrize("proportional", [0.0, 0.6])
def test_every_row_of_the_check_of_secondary_control_is_that_of_python_controls_simulation(proportional):
    inertia, damping = np.array([2.0, 1.0, 1.5, 1.0, 2.0]), np.array([0.8, 0.5, 0.9, 0.3, 0.9])
    laplacian = np.diag([2.0, 3.0, 2.5, 2.5, 1.0])
    for i, j, w in ((0, 1, 2.0), (1, 2, 1.0), (2, 3, 1.5), (3, 4, 1.0)):
        laplacian[i, j] = laplacian[j, i] = -w
    full = co.Network(co.swing(inertia=inertia, damping=damping, labels=list("abcde")), laplacian, "1/s")
    partition = co.Partition.of(["x", "x", "y", "z", "z"], labels=full.labels)
    sums, time_constant = partition.indicator, 3.0
    u = np.array([0.0, -0.3, 0.0, -1.0, -0.5])
    small = full.project(partition)
    design = co.secondary_control(small, time_constant=time_constant, proportional=proportional)
    table = design.check(full, partition, disturbance=co.Step({"b": -0.3, "d": -1.0, "e": -0.5})).table
    share = (sums * inertia[:, None]) / (sums.T @ inertia)
    beta, lost = sums.T @ damping, sums.T @ u
    eye, pi, inertias = np.eye(3), (time_constant, proportional), sums.T @ inertia
    systems = {
        "full": (areas_by_hand(inertia, damping, laplacian, sums, share, share, beta, *pi), u, inertia),
        "reduced": (areas_by_hand(inertias, beta, sums.T @ laplacian @ sums, eye, eye, eye, beta, *pi), lost, inertias),
    }
    time = np.linspace(0, 20 * time_constant * (1 + proportional), 60_001)
    sampled = 1.2e-2  # six hundred samples or more up to 60 s: (0.1 s, 3 rad/s)^2/8 at a peak
    for column, (system, step, weights) in systems.items():
        y = control.forced_response(system, time, np.outer(step, np.ones(len(time))), squeeze=False).outputs
        n, found = len(step), table[column]
        center, exports, powers = weights @ y[:n] / weights.sum(), y[n : n + 3], y[n + 3 :]
        others, nadir, own = np.abs(powers[:2] / lost[2]).max(), center[np.abs(center).argmax()], powers[2] / -lost[2]
        assert others > 0.05
        assert found["largest power of another area, of the loss"] == pytest.approx(others, rel=sampled)
        assert found["nadir, CoI"] == pytest.approx(nadir, rel=sampled)
        assert found["last frequency, CoI, of its nadir"] == pytest.approx(center[-1] / nadir, abs=1e-8)
        assert found["last exchange, largest, of the loss"] == pytest.approx(np.abs(exports[:, -1] / lost[2]).max(), abs=1e-8)
        assert found["last power of the area, of the loss"] == pytest.approx(own[-1], abs=1e-8)
        assert found["63 % replaced after [s]"] == pytest.approx(time[np.argmax(own >= 1 - np.exp(-1))], abs=5e-3)


# --- damping ---------------------------------------------------------------------------------------------------------


def joined(lines, n):
    laplacian = np.zeros((n, n))
    for (i, j), w in lines.items():
        ends = np.eye(n)[i] - np.eye(n)[j]
        laplacian += w * np.outer(ends, ends)
    return laplacian


def test_the_mode_that_is_followed_is_that_between_the_areas_though_light_machines_swing_near_it():
    """A light machine swings at 0.123 Hz within its area, the areas at 0.151 Hz; in its mode it moves 60 times as far as others.

    In the mode of the areas it moves twice as far as the heavy one and against it, so that a plain mean of its area is turned.
    """
    inertia = np.array([10.0, 0.1, 8.0, 0.2])
    laplacian = joined({(0, 1): 0.06, (0, 2): 4.0, (2, 3): 40.0}, 4)
    network = co.Network(co.swing(inertia=inertia, damping=0.002 * inertia, labels=list("abcd")), laplacian, "1/s")
    areas = co.Partition.of(["x", "x", "y", "y"], labels=network.labels)
    squares, shapes = sla.eigh(laplacian, np.diag(inertia))
    energy = inertia[[0, 2]] @ np.abs(shapes[[0, 2]]) ** 2  # of the heavy machines, of 1 in all
    between = int(np.flatnonzero((energy > 0.9) & (squares > 1e-6))[0])
    assert shapes[0, between] * shapes[2, between] < 0  # the areas against each other
    assert shapes[:2, between].sum() * shapes[2, between] > 0  # but for a plain mean
    frequency = np.sqrt(squares[between]) / (2 * np.pi)
    design = co.damp_mode(network.project(areas), ratio=0.05)
    for measured in ("shares", "inertia"):
        table = design.check(network, areas, measured=measured).table
        assert table.loc["frequency without [Hz]", "full"] == pytest.approx(frequency, rel=1e-5)
        assert table.loc["damping ratio", "full"] == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize(
    ("dynamics", "looks"), [(control.tf([1], [1, 1]), 2000), (control.tf([1], [1, 2, 1]), 1000)], ids=["one lag", "two lags"]
)
def test_a_ratio_out_of_reach_ends_in_the_largest_that_was_met_after_few_looks(dynamics, looks, monkeypatch):
    """Behind lags the damping ratio rises with the gain and falls again, or only falls; then no further gain is tried."""
    laplacian = joined({(0, 1): 8.0, (0, 2): 1.0, (1, 2): 0.5}, 3)
    inertia, damping = np.array([4.0, 1.0, 2.0]), np.array([0.2, 0.05, 0.1])
    network = co.Network(co.swing(inertia=inertia, damping=damping, labels=list("abc")), laplacian, "1/s")
    taken, plain = [0], Network.transfer_of

    def counted(*arguments):
        taken[0] += 1
        return plain(*arguments)

    monkeypatch.setattr(Network, "transfer_of", counted)
    with pytest.raises(co.InputError, match=r"the largest met is [0-9.]+, at gain") as caught:
        co.damp_mode(network, ratio=0.5, between=("a", "c"), dynamics=dynamics)
    assert 0 < taken[0] < looks
    largest_named = float(str(caught.value).split("the largest met is ")[1].split(",")[0])
    v, h = np.array([1.0, 0.0, -1.0]), control.ss(dynamics)
    k, zero, mode, ratios = h.nstates, np.zeros((3, 3)), None, []
    for gain in np.linspace(0, 8, 2001):  # swing equations with p = -gain h v v^T w written out
        acts = np.vstack([np.zeros((3, k)), -gain / inertia[:, None] * np.outer(v, h.C[0])])
        swings = np.block([[zero, np.eye(3)], [-laplacian / inertia[:, None], -np.diag(damping / inertia)]])
        poles = np.linalg.eigvals(np.block([[swings, acts], [np.zeros((k, 3)), np.outer(h.B[:, 0], v), h.A]]))
        if mode is None:
            mode = min((p for p in poles if p.imag > 0.5), key=lambda p: p.imag)
        mode = poles[np.abs(poles - mode).argmin()]
        ratios.append(-mode.real / abs(mode))
    assert largest_named == pytest.approx(max(ratios), rel=1e-2)


# --- power and energy along a response -------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_power_and_energy_are_found_between_knots_and_just_before_a_jump(sign):
    """Three cubics with a jump between the second and the third; power and energy of the law simulated by python-control."""
    law = Nodes(
        ("k",),
        np.array([[0.8], [0.3]]),
        make_banks([(0, Realization(np.array([[-2.0]]), np.ones((1, 1)), -np.ones((1, 1)), np.zeros((1, 1))))]),
    )
    wide, parts = np.array([1.0, 1.2, 1.8]), 8  # of each cubic and of its samples
    inside = [np.linspace(0, h, parts, endpoint=False) for h in wide]
    t = np.append(np.concatenate([x + begin for x, begin in zip(inside, (0.0, 1.0, 2.2), strict=True)]), 4.0)
    at = parts * np.array([1, 2])
    inner = control.ss([[-2.0]], [[1.0]], [[-1.0]], [[0.0]])
    for shapes in (
        ([0.0, 0.5, 0.2, 0.1], [0.8, 1.2, 0.5, 0.1], [0.3, 0.6, -0.9, 0.15]),  # largest just before the jump
        ([0.0, 3.0, -3.5, 0.6], [0.1, -0.1, 0.2, 0.0], [-0.2, 0.1, 0.0, 0.05]),  # largest within the first cubic
        ([0.0, -0.2, 0.1, 0.0], [-0.1, 0.1, 0.0, 0.0], [0.4, 2.8, -2.9, 0.65]),  # within the last
    ):
        pieces = [sign * np.polynomial.Polynomial(shape) for shape in shapes]
        pieces[1] = pieces[1] - pieces[1](0) + pieces[0](1.0)  # the value jumps once, the slope twice
        ends = [(one(h), one.deriv()(h)) for one, h in zip(pieces, wide, strict=True)]
        value = np.append(np.concatenate([one(x) for one, x in zip(pieces, inside, strict=True)]), ends[2][0])
        rate = np.append(np.concatenate([one.deriv()(x) for one, x in zip(pieces, inside, strict=True)]), ends[2][1])
        before, slope = np.array(ends[:2]).T[:, :, None]
        found = delivered(law, Knots(t, value[:, None], rate[:, None], at, before, slope), np.ones(1))
        x, energy, powers, energies, sampled = 0.0, 0.0, [], [], []
        for piece, length in zip(pieces, wide, strict=True):
            fine = np.linspace(0, length, 500 * parts + 1)
            run = control.forced_response(inner, fine, piece(fine), X0=[x])
            power = -(0.3 * piece.deriv()(fine) + 0.8 * piece(fine) + run.outputs)
            gathered = energy + np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(fine))])
            sampled.append(np.column_stack([power, gathered])[:-1:500])
            x, energy = run.states[0, -1], gathered[-1]
            powers.append(power)
            energies.append(gathered)
        sampled.append(np.array([[powers[-1][-1], energy]]))
        assert np.column_stack([found.power, found.energy]) == pytest.approx(np.concatenate(sampled), rel=1e-5, abs=1e-6)
        every, whole = np.concatenate(powers), np.concatenate(energies)
        assert found.peak == pytest.approx(every[np.abs(every).argmax()], rel=1e-4)
        assert found.most == pytest.approx(whole[np.abs(whole).argmax()], rel=1e-4)
