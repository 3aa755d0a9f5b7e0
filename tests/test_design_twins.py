"""Slow, obvious twins of control design: every figure once more from matrices written by hand, python-control and dense samples."""

import control
import numpy as np
import pytest
import scipy.linalg as sla
import scipy.signal

import coherence as co
from coherence.design.verification import least_damping_ratio
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.numerics.norms import gain_envelope
from coherence.numerics.realization import Realization
from coherence.theory.stability import is_positive_real


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


# --- positive realness -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [[], [first_order(-2.0, 1.0, 0.1)], [first_order(-1e4, 1e4), absorber(3.0, 0.2, 0.9)]])
def test_an_unstable_system_is_not_positive_real_though_its_real_part_is_positive_on_the_axis(rest):
    unstable = first_order(1.0, -1.0)  # 1/(1 - s), of real part 1/(1 + w^2)
    values = unstable(1j * np.geomspace(1e-3, 1e3, 50))
    assert values.real.min() > 0
    assert not is_positive_real(beside(unstable, *rest))
    assert is_positive_real(beside(first_order(-1.0, 1.0), *rest))


@pytest.mark.parametrize("below", [1e-2, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("rest", [[], [static(1.0)], [absorber(3.0, 0.2, 0.9)]])
def test_a_real_part_that_is_negative_at_infinity_only_is_seen(below, rest):
    """1/(s + 1) - below is negative beyond below^(-1/2) - 1 rad/s, which may be far outside all samples."""
    assert not is_positive_real(beside(first_order(-1.0, 1.0, -below), *rest))
    assert is_positive_real(beside(first_order(-1.0, 1.0, below), *rest))
    assert is_positive_real(beside(first_order(-1.0, 1.0), *rest))  # it only approaches 0


def test_a_gain_is_positive_real_where_its_symmetric_part_is():
    turned = np.array([[0.0, 3.0], [-3.0, 0.0]])
    assert is_positive_real(static(turned))
    assert is_positive_real(static(turned + np.diag([0.1, 0.2])))
    assert not is_positive_real(static(turned - np.diag([0.0, 1e-3])))
    assert not is_positive_real(static([[1.0, 2.1], [0.0, 1.0]]))


@pytest.mark.parametrize("zeta", [1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("w", [0.37, 1.0, 21.0])
@pytest.mark.parametrize("rest", [[], [first_order(-2.0, 1.0, 0.1)]])
def test_a_real_part_that_is_negative_in_a_narrow_band_only_is_seen(zeta, w, rest):
    """Between w (1 - zeta) and w (1 + zeta) only: no coarse grid meets it."""
    assert not is_positive_real(beside(absorber(w, zeta, 1.2), *rest))
    assert is_positive_real(beside(absorber(w, zeta, 0.8), *rest))


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
    floors = np.maximum(spectral(error), min(most_error, 0.5 / most_loop)), np.maximum(spectral(loop), min(most_loop, 0.5 / most_error))
    rungs, left_out = 2**0.25 * 1.03, 1.01**2
    assert 1 / found.tolerates <= rungs * left_out * (floors[0] * floors[1]).max()
    first = omega[np.argmax(sizes >= 1)] if (sizes >= 1).any() else np.inf
    assert found.safe_to <= first
    at = found.curve.index.to_numpy()
    error, loop = parts(network, partition, controller, at)
    assert found.curve["error"].to_numpy() == pytest.approx(spectral(error), rel=1e-6)
    assert found.curve["loop"].to_numpy() == pytest.approx(spectral(loop), rel=1e-6)
