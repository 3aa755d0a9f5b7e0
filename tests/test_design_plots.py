"""Pictures of control design show what they say."""

import control
import numpy as np
import pytest
from matplotlib.colors import to_hex

import coherence as co
from coherence import plots


@pytest.fixture(scope="module")
def machines():
    """The 16-machine system with a little damping, its five areas, one node for each, and a damper between two."""
    network = co.linearize(co.load_case("nets_nyps68"), convention="classical")
    areas = co.coherent_groups(network, 5, method="slow_coherency")
    network = co.Network(network.nodes.with_damping(0.1 * network.nodes.inertia), network.laplacian, network.coupling)
    small = co.aggregate(network, areas, interconnection="quotient").network
    return network, areas, small, co.damp_mode(small, ratio=0.1)


@pytest.fixture
def falling(five):
    return five, co.simulate(five, co.Step({five.labels[0]: -1.0}), np.linspace(0, 20, 201))


def drawn(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line


def text(figure):
    return [item.get_text() for item in figure.legends[0].get_texts()]


def test_responses_beside_their_limits_are_in_hz_on_the_side_they_go_to(falling):
    network, found = falling
    up = co.simulate(network, co.Step({network.labels[0]: 1.0}), found.time)
    limits = co.FrequencyLimits.hz(nadir=0.8, steady=0.3)
    figure = plots.within_limits({"down": (found, found), "up, $": up}, limits, title="both")
    figure.draw_without_rendering()
    down, other = figure.axes
    for ax, side in ((down, -1), (other, 1)):
        assert drawn(ax, "limit of the nadir").get_ydata()[0] == pytest.approx(side * 0.8)
        assert drawn(ax, "limit of the steady state").get_ydata()[0] == pytest.approx(side * 0.3)
        assert ax.get_xlabel() == "time [s]"
    assert drawn(down, "center of inertia").get_ydata() == pytest.approx(found.coi / (2 * np.pi))
    assert drawn(down, "aggregate designed for").get_ydata() == pytest.approx(found.frame.iloc[:, 0] / (2 * np.pi))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["down", r"up, \$"]
    assert (down.get_ylabel(), figure.get_suptitle()) == ("frequency deviation [Hz]", "both")
    assert len(down.get_lines()) == network.size + 5  # and the sample of a node's line, CoI, aggregate, two limits
    assert len(text(figure)) == 5
    only = plots.within_limits({"down": found}, co.FrequencyLimits(rocof=1.0))
    assert text(only) == ["single nodes", "center of inertia"]
    with pytest.raises(co.InputError, match="no responses to draw"):
        plots.within_limits({}, limits)


def test_poles_that_a_damper_moves_are_drawn_where_they_are(machines):
    network, areas, small, design = machines
    closed, own = co.close_loop(network, design.controller, areas, measured="shares"), co.close_loop(small, design.controller)
    figure = plots.modes_moved(network, closed, own)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    for system, label in ((network, "without control"), (closed, "under control"), (own, "reduced network under control")):
        line, poles = drawn(ax, label), system.poles()
        poles = poles[poles.imag > 1e-3]
        assert line.get_xdata() == pytest.approx(poles.real)
        assert line.get_ydata() == pytest.approx(poles.imag / (2 * np.pi))
        inside = [ax.get_xlim()[0] <= x <= ax.get_xlim()[1] for x in line.get_xdata()]
        assert all(inside)
    (ten,) = [line for line, note in zip(ratio_lines(ax), ax.texts, strict=True) if note.get_text() == "10 %"]
    x, y = ten.get_xdata()[1], 2 * np.pi * ten.get_ydata()[1]
    assert -x / np.hypot(x, y) == pytest.approx(0.1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("real part [1/s]", "frequency [Hz]")
    assert ax.get_ylim()[0] == 0
    assert not ax.patches
    assert plots.modes_moved(network, closed, up_to_hz=0.8).axes[0].get_ylim()[1] == 0.8
    pushed = co.close_loop(small, control.ss([], [], [], [[5.0]], inputs=["w[1]"], outputs=["p[1]"]))
    unstable = plots.modes_moved(small, pushed).axes[0]
    assert len(unstable.patches) == 1  # the right half plane is shaded where there are poles
    assert unstable.get_xlim()[1] > pushed.poles().real.max()
    with pytest.raises(co.InputError, match="up_to_hz = -1"):
        plots.modes_moved(network, closed, up_to_hz=-1)
    one = co.Network(co.swing(inertia=[1.0], damping=[1.0]), [[0.0]], "1/s")
    with pytest.raises(co.InputError, match="neither network oscillates"):
        plots.modes_moved(one, one)


def ratio_lines(ax):
    return [line for line in ax.get_lines() if len(line.get_xdata()) == 2 and line.get_color() == "#999999"]


def test_small_gain_is_drawn_as_error_and_what_the_loop_tolerates(machines):
    network, areas, small, design = machines
    found = design.check(network, areas).margin
    figure = plots.small_gain(found)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    assert drawn(ax, r"reduction error $\|D\|$").get_ydata() == pytest.approx(found.curve["error"])
    assert drawn(ax, r"tolerated by the loop $1/\|M\|$").get_ydata() == pytest.approx(1 / found.curve["loop"])
    (peak,) = [line for line in ax.get_lines() if "largest" in line.get_label()]
    assert peak.get_xdata()[0] == pytest.approx(found.gain.omega)
    (band,) = ax.patches
    assert band.get_x() + band.get_width() == pytest.approx(found.safe_to)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == r"frequency $\omega$ [rad/s]"
    assert ax.get_title(loc="left") == "Small gain does not decide"
    gentle = control.ss([], [], [], [[-0.01]], inputs=["w[1]"], outputs=["p[1]"])
    safe = co.small_gain(network, small, gentle, areas)
    assert safe.holds
    everywhere = plots.small_gain(safe, title="gentle").axes[0]
    (band,) = everywhere.patches
    assert band.get_x() + band.get_width() == pytest.approx(safe.curve.index[-1])
    assert everywhere.get_title(loc="left") == "gentle"
    assert everywhere.get_ylim()[0] == pytest.approx(0.5e-4 / safe.curve["loop"].max())  # errors far below are cut off
    assert safe.curve["error"].min() < everywhere.get_ylim()[0]
    assert band.get_label() == "safe by sizes alone: every frequency"
    limits = co.FrequencyLimits(steady=1.0)
    storage = co.allocate(co.coherent_dynamics(network), co.Step({"G1": -2.0}), limits, method="inertia_droop")
    local = plots.small_gain(storage.check(network, shares={"G1": 1.0}, horizon=1.0).margin).axes[0]
    assert [patch.get_label()[:11] for patch in local.patches] == [r"$\|MD\| < 1$"[:11]]
    free = co.Network(network.nodes.with_damping(-network.nodes.damping), network.laplacian, network.coupling)
    with pytest.raises(co.InputError, match="no curves to draw: small gain says nothing"):
        plots.small_gain(co.small_gain(free, free.project(areas), gentle, areas))


def test_bars_of_a_placement_are_its_derivatives_best_first(machines):
    network, areas, _, _ = machines
    found = co.placement(network, co.Step({"G1": -1.0}), measure="nadir", partition=areas)
    figure = plots.placement(found)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    wanted = found.sensitivity.sort_values()
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(100 * wanted / found.value)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(wanted.index)
    first = areas.groups.index(areas.group_of(wanted.index[0]))
    assert to_hex(ax.patches[0].get_facecolor()) == ax.get_legend().legend_handles[first].get_color().lower()
    assert ax.get_ylabel() == "change of the figure [% per unit of inertia]"
    plain = plots.placement(co.placement(network, co.Step({"G1": -1.0}), measure="nadir"), title="$1").axes[0]
    assert plain.get_legend() is None
    assert plain.get_title(loc="left") == r"\$1"
