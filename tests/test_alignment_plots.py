"""Pictures of alignment: the band of neurons that are not dead, and the size of W at any scale."""

import numpy as np
import pytest

from coherence import gradient_flow as gf
from coherence import plots

X, Y = np.array([[1.0, 0.2], [0.8, -0.3], [-1.0, 0.5]]), np.array([1, 1, -1])


def band(ax, times):
    """The least and the largest value drawn at each time; nan where the band has a gap."""
    (shape,) = ax.collections
    low, high = np.full(len(times), np.nan), np.full(len(times), np.nan)
    for path in shape.get_paths():
        for time, value in path.vertices:
            k = int(np.argmin(np.abs(times - time)))
            low[k], high[k] = np.fmin(low[k], value), np.fmax(high[k], value)
    return low, high


def spread(directions, alive, label):
    """The twin, one time and one neuron at a time."""
    centre = X[label == Y].sum(axis=0) / np.linalg.norm(X[label == Y].sum(axis=0))
    rows = []
    for now, living in zip(directions, alive, strict=True):
        cosines = [centre @ w / np.linalg.norm(w) for w, lives in zip(now.T, living, strict=True) if lives]
        rows.append([min(cosines), max(cosines)])
    return np.array(rows).T


def test_the_band_of_a_descent_spans_the_neurons_that_are_active_on_some_sample():
    network = gf.ReLUNetwork(1e-2 * np.random.default_rng(0).normal(size=(2, 30)), 1e-2 * np.random.default_rng(1).normal(size=30))
    trained = gf.gradient_descent(network, gf.exponential_loss(X, Y), 1e-2, 600, record_every=20)
    figure = plots.alignment(trained)
    figure.draw_without_rendering()
    W, v = trained.parameters
    patterns = np.array([[(X @ w > 0).any() for w in now.T] for now in W])
    for ax, label in zip(figure.axes[:2], (1, -1), strict=True):
        sign = label * v > 0
        assert (sign & ~patterns).any()  # some have died
        np.testing.assert_allclose(band(ax, trained.times), spread(W, sign & patterns, label), atol=1e-12)
        dead = spread(W, sign, label)
        assert (dead[0] < spread(W, sign & patterns, label)[0] - 0.1).any()  # planted: with those
    sizes = [np.linalg.svd(now)[1][0] ** 2 for now in W]
    assert figure.axes[4].get_lines()[0].get_ydata() == pytest.approx(sizes, rel=1e-12)


def test_neurons_that_a_flow_leaves_on_a_boundary_are_dead_whatever_rounding_says():
    network = gf.balanced_relu(2, 20, random_state=1)
    times = np.append(0, np.geomspace(1e-2, 200.0, 60))
    flow = gf.alignment_flow(network, X, Y, 200.0, log_scale=-40.0, times=times)
    figure = plots.alignment(flow)
    figure.draw_without_rendering()
    for ax, label in zip(figure.axes[:2], (1, -1), strict=True):
        alive = (flow.cones != "dead") & (network.signs == label)
        assert ((flow.cones[-1] == "dead") & (network.signs == label)).any()
        found = band(ax, times)
        np.testing.assert_allclose(found, spread(flow.directions, alive, label), atol=1e-9)
        assert found[0][-1] > 0.9
    W = flow.directions * np.exp(flow.log_norms)[:, None, :]
    assert figure.axes[4].get_lines()[0].get_ydata() == pytest.approx([np.linalg.svd(now)[1][0] ** 2 for now in W], rel=1e-9, abs=0)


def test_the_size_of_a_network_far_below_the_least_number_is_drawn_as_zero_until_it_grows():
    network = gf.balanced_relu(2, 6, random_state=1)
    flow = gf.alignment_flow(network, X, Y, 3e4, log_scale=-1e4, times=np.append(0, np.geomspace(1e-2, 3e4, 50)))
    sizes = plots.alignment(flow).axes[4].get_lines()[0].get_ydata()
    assert sizes[0] == 0
    assert sizes[-1] > 1
