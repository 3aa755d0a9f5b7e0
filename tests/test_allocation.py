"""Storage for frequency limits: its law, its least size, and what the full network does with it."""

import control as ct
import numpy as np
import pytest
import scipy.linalg as sla
from hypothesis import given, settings
from hypothesis import strategies as st

import coherence as co
from coherence.design.allocation import Allocation
from coherence.design.delivery import delivered
from coherence.design.limits import FrequencyLimits, allocate
from coherence.design.step_extreme import step_extreme
from coherence.display import readable
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization
from tests.draws import networks, random_laplacian, random_nodes

LOSS = -1.0
EXACT = 1e-9  # relative accuracy that `step_extreme` and the search state
POINTS = np.concatenate([1j * np.geomspace(1e-3, 1e3, 13), [0.0, 0.7 + 0.2j]])

swings = networks(passive=True, couplings=("1/s",), most=8)  # one-lag turbines of positive gain
few = settings(max_examples=25)  # each draw is several searches and simulations
draw_method = st.sampled_from(["frequency_shaping", "inertia_droop"])


def uncontrolled(network, u=LOSS):
    """Nadir, slope at the start and steady state of the coherent dynamics, sizes."""
    one = co.coherent_dynamics(network)
    extreme = step_extreme(one.realization, u)
    return abs(extreme.value), abs(u) / one.nodes.inertia[0], abs(extreme.end)


def asked(network, part, u=LOSS):
    """Limits of a fraction of what happens without control; part above 1 leaves a limit out."""
    names = ("nadir", "rocof", "steady")
    given_ = {name: x * p for name, x, p in zip(names, uncontrolled(network, u), part, strict=True) if p < 1}
    return FrequencyLimits(**given_) if given_ else FrequencyLimits(nadir=0.5 * uncontrolled(network, u)[0])


fractions = st.tuples(*[st.sampled_from([0.3, 0.6, 0.9, 2.0])] * 3)


def one_turbine(m=2.0, d=0.3, r=1.2, tau=5.0):
    return co.Network(
        co.swing_turbine(inertia=[m], damping=[d], inverse_droop=[r], time_constant=[tau], labels=["a"]), [[0.0]], "1/s"
    )


def test_one_lag_turbine_is_shaped_as_the_formulas_say():
    m, d, r, tau, u = 2.0, 0.3, 1.2, 5.0, -3.0
    found = allocate(one_turbine(m, d, r, tau), co.Step({"a": u}), FrequencyLimits(nadir=0.8, rocof=0.5, steady=1.5))
    assert found.inertia == pytest.approx(3.0 / 0.5 - m, rel=1e-14)
    assert found.droop == pytest.approx(3.0 / 0.8 - d - r, rel=1e-14)
    k = found.inertia * POINTS + found.droop + r - r / (tau * POINTS + 1)
    np.testing.assert_allclose(found.control.inverse(POINTS)[:, 0], k, rtol=1e-13, atol=1e-14)
    a, b = 6.0, 3.75
    assert found.closed.order == 1
    np.testing.assert_allclose(found.closed.nodes.inverse(POINTS)[:, 0], a * POINTS + b, rtol=1e-13)
    assert found.table["binding"].to_dict() == {name: name in ("nadir", "RoCoF") for name in found.table.index}
    assert found.table.loc[["nadir", "RoCoF", "steady state"], "with control"].tolist() == pytest.approx([0.8, 0.5, 0.8])
    # p = -k(s) u/(s (a s + b)): its value just after the step and, with k(0) = d_v, where it ends
    late = allocate(one_turbine(m, d, r, tau), co.Step({"a": u}), FrequencyLimits(nadir=0.8, rocof=0.5, steady=1.5), horizon=200.0)
    knots = co.simulate(late.closed, co.Step({"coherent": u}), np.linspace(0, 200.0, 4001)).knots
    power = delivered(late.control, knots, np.ones(1)).power
    assert power[0] == pytest.approx(3.0 * found.inertia / a, rel=1e-12)
    assert power[-1] == pytest.approx(found.droop * 0.8, rel=1e-9)


def test_nothing_is_allocated_where_the_limits_hold():
    network = one_turbine()
    nadir, rocof, steady = uncontrolled(network)
    for method in ("frequency_shaping", "inertia_droop"):
        found = allocate(network, co.Step({"a": LOSS}), FrequencyLimits(nadir, rocof, steady), method=method)
        assert found.idle
        assert found.inertia == 0
        assert found.droop == 0
        assert "hold without control" in repr(found)
        assert "hold without" in found.text()
        np.testing.assert_array_equal(found.table["with control"], found.table["without control"])
        assert not found.table["binding"].any()
        np.testing.assert_array_equal(found.applied(network).nodes.inverse(POINTS), network.nodes.inverse(POINTS))


@few
@given(swings, draw_method, fractions, st.integers(0, 2**32 - 1))
def test_aggregates_add_up_whatever_the_shares(network, method, part, seed):
    rng = np.random.default_rng(seed)
    found = allocate(network, co.Step({network.labels[0]: LOSS}), asked(network, part), method=method)
    before, k = network.nodes.inverse(POINTS).sum(axis=1), found.control.inverse(POINTS)[:, 0]
    weights = dict(zip(network.labels, rng.uniform(0, 3, network.size) * (rng.random(network.size) < 0.7), strict=True))
    weights[network.labels[-1]] = 1.0
    for shares in ("inertia", "equal", weights):
        closed = co.coherent_dynamics(found.applied(network, shares=shares))
        np.testing.assert_allclose(closed.nodes.inverse(POINTS)[:, 0], before + k, rtol=1e-12)
    some = network.labels[: 1 + int(rng.integers(network.size))]
    applied = found.applied(network, shares=dict.fromkeys(some, 2.0)).nodes
    added = applied.inverse(POINTS) - network.nodes.inverse(POINTS)
    np.testing.assert_allclose(added[:, : len(some)], np.outer(k, np.full(len(some), 1 / len(some))), rtol=1e-9, atol=1e-12)
    assert not added[:, len(some) :].any()


@few
@given(swings, fractions)
def test_a_shaped_aggregate_is_of_first_order_and_does_not_overshoot(network, part):
    limits = asked(network, part)
    found = allocate(network, co.Step({network.labels[0]: LOSS}), limits)
    if found.idle:
        return
    after = found.table["with control"]
    assert found.closed.order == 1
    assert after["overshoot"] == 0
    assert after["nadir"] == pytest.approx(after["steady state"], rel=1e-12)
    assert found.control.inverse(0.0)[0, 0].real == pytest.approx(found.droop, abs=1e-12 * found.control.damping[0])
    # the same seen in the response of the aggregate of the network under control
    one = co.coherent_dynamics(found.applied(network, shares="equal"))
    extreme = step_extreme(one.realization, LOSS)
    assert abs(extreme.value) == pytest.approx(abs(extreme.end), rel=EXACT)


@few
@given(swings, fractions)
def test_the_law_is_passive_for_turbines_of_one_lag(network, part):
    found = allocate(network, co.Step({network.labels[0]: LOSS}), asked(network, part))
    assert found.passive
    w = np.geomspace(1e-6, 1e6, 2001)
    assert found.control.inverse(1j * w).real.min() >= found.droop - 1e-12 * max(found.control.damping[0], 1.0)
    whole = found.applied(network, shares="equal")
    assert co.passivity(whole).nodes["passive"].all()  # passive nodes stay passive: stable for every Laplacian


def hydro_pair(inertia=(1.0, 2.0), inverse_droop=(4.0, 5.0), water=(0.5, 2.0)):
    """Two nodes m s + d + h, h = R^-1 (1 - T_w s)/((1 + T_w s/2)(1 + 0.2 s)): non-minimum phase, unstable with so much R^-1."""
    sections = []
    for i, (r, t) in enumerate(zip(inverse_droop, water, strict=True)):
        system = ct.ss(ct.tf([-t, 1.0], [0.5 * t, 1.0]) * ct.tf([r], [0.2, 1.0]))
        sections.append((i, Realization(system.A, system.B, system.C, system.D)))
    nodes = Nodes(("a", "b"), np.array([[0.1, 0.1], inertia]), make_banks(sections))
    return co.Network(nodes, [[5.0, -5], [-5, 5]], "1/s")


UNSTABLE = [
    (hydro_pair(), {"steady": 0.3}),
    (hydro_pair(), {"steady": 0.3, "rocof": 0.2}),
    (hydro_pair(), {"rocof": 0.2}),
    (hydro_pair(), {"rocof": 10.0}),
]


@pytest.mark.parametrize(("network", "limits"), UNSTABLE)
def test_inertia_and_droop_that_leave_the_aggregate_unstable_are_refused_with_its_pole(network, limits):
    step = co.Step({"a": LOSS})
    assert uncontrolled(network)[0] == np.inf
    with pytest.raises(co.InputError, match=r"the aggregate is not stable: its pole at .* give a nadir limit") as caught:
        allocate(network, step, FrequencyLimits(**limits), method="inertia_droop")
    assert "method='frequency_shaping'" in str(caught.value)
    # what the sentence offers does it
    shaped = allocate(network, step, FrequencyLimits(**limits))
    raised = allocate(network, step, FrequencyLimits(**limits, nadir=0.12), method="inertia_droop")
    heavier = allocate(network, step, FrequencyLimits(**limits, nadir=0.12), method="inertia_droop", prefer="inertia")
    for found in (shaped, raised, heavier):
        assert not found.idle
        assert found.closed.poles()[0].real < 0
        assert "hold without" not in repr(found) + found.text()
        assert "not stable: its pole at" in found.facts["without control"]


@pytest.mark.parametrize("prefer", ["droop", "inertia"])
def test_a_nadir_limit_that_holds_on_the_edge_of_stability_is_refused(prefer):
    network, step = hydro_pair(), co.Step({"a": LOSS})
    with pytest.raises(co.InputError, match=r"limit of 1 rad/s holds as soon as the aggregate is stable, from .* its pole at .*e-"):
        allocate(network, step, FrequencyLimits(nadir=1.0), method="inertia_droop", prefer=prefer)
    assert allocate(network, step, FrequencyLimits(nadir=1.0)).closed.poles()[0].real < 0


def test_a_rate_limit_that_holds_does_not_hide_an_unstable_aggregate():
    falling = co.Network(co.swing(inertia=[1.0], damping=-0.5, labels=["a"]), [[0.0]], "1/s")
    free = co.Network(co.swing(inertia=[1.0], damping=0.0, labels=["a"]), [[0.0]], "1/s")
    step = co.Step({"a": LOSS})
    for network, rocof in ((falling, 2.0), (falling, 0.5), (free, 2.0), (free, 0.5)):
        for method in ("frequency_shaping", "inertia_droop"):
            with pytest.raises(co.InputError, match="give a nadir or a steady limit"):
                allocate(network, step, FrequencyLimits(rocof=rocof), method=method)
            found = allocate(network, step, FrequencyLimits(rocof=rocof, steady=0.4), method=method)
            assert found.closed.poles()[0].real < 0


@few
@given(st.integers(0, 2**32 - 1), draw_method, st.lists(st.sampled_from(["nadir", "rocof", "steady"]), min_size=1, unique=True))
def test_whatever_is_allocated_leaves_the_aggregate_stable(seed, method, names):
    rng = np.random.default_rng(seed)
    network = hydro_pair(rng.uniform(0.5, 4, 2), rng.uniform(0.2, 6, 2), rng.uniform(0.3, 2, 2))
    step = co.Step({"a": LOSS})
    limits = FrequencyLimits(**dict.fromkeys(names, float(rng.uniform(0.05, 0.6))))
    if method == "inertia_droop":
        try:
            found = allocate(network, step, limits, method=method)
        except co.InputError:
            said = "holds as soon as the aggregate is stable" if "nadir" in names else "is not stable: its pole at"
            with pytest.raises(co.InputError, match=said):
                allocate(network, step, limits, method=method)
            return
    found = allocate(network, step, limits, method=method)
    assert co.coherent_dynamics(found.applied(network)).poles()[0].real < 0
    assert np.isfinite(found.table["with control"]).all()


def test_a_network_without_inertia_is_told_how_to_share():
    static = co.Network(Nodes(("a", "b"), np.ones((1, 2))), [[1.0, -1], [-1, 1]], "1/s")
    plain = allocate(static, co.Step({"a": LOSS}), FrequencyLimits(nadir=0.25))
    with pytest.raises(co.InputError, match="no node has inertia, by which it would be shared; give shares='equal'"):
        plain.applied(static)
    assert plain.applied(static, shares="equal").nodes.inverse(0.0).sum().real == pytest.approx(4.0)
    with pytest.raises(co.InputError, match=r"neither a node nor the storage has inertia, .*applied\(network, shares='equal'\)"):
        plain.check(static)
    heavy = allocate(static, co.Step({"a": LOSS}), FrequencyLimits(nadir=0.25, rocof=0.5))
    with pytest.raises(co.InputError, match="no node has inertia, by which"):
        heavy.check(static)
    assert heavy.check(static, shares="equal").stable


def test_a_check_names_the_limits_that_the_full_network_exceeds():
    case = co.linearize(co.load_case("five_generators"))
    step = co.Step({case.labels[0]: LOSS})
    nadir, rocof, _ = uncontrolled(case)
    limits = FrequencyLimits(nadir=0.7 * nadir, rocof=0.9 * rocof)
    small = co.truncate(co.coherent_dynamics(case), 2).network
    for method, wanted in (("frequency_shaping", 0.0), ("inertia_droop", np.nan)):
        checked = allocate(small, step, limits, method=method).check(case)
        table = checked.table
        (note,) = [note for note in checked.notes if "limits" in note]
        for name, row in table.iterrows():
            above = row["full"] / row["target"] - 1 if row["target"] > 0 else 0.0
            said = f"{name} by {100 * above:.2g} %" in note
            assert said == (row["target"] > 0 and above > 1e-3), (name, note)
        assert "exceeded" in note
        over = table.loc[[name for name in table.index if name.startswith("overshoot")], "target"].to_numpy()
        np.testing.assert_array_equal(over, wanted)
    wide = allocate(small, step, FrequencyLimits(nadir=10 * nadir)).check(case)
    assert any("the limits hold on the full network" in note for note in wide.notes)
    one = co.Network(co.swing(inertia=[1.0, 1.0], damping=[-0.4, 1.6], labels=["a", "b"]), [[0.02, -0.02], [-0.02, 0.02]], "1/s")
    far = allocate(one, co.Step({"a": LOSS}), FrequencyLimits(nadir=0.5, steady=0.6), horizon=5e3).check(one, shares={"b": 1.0})
    assert any("no limit is kept: the full network is not stable" in note for note in far.notes)


def test_the_law_of_turbines_that_resonate_may_not_be_passive_and_says_so():
    resonance = Realization(
        np.array([[0.0, 1.0], [-4.0, -0.4]]), np.array([[0.0], [1.0]]), np.array([[2.0, 1.0]]), np.zeros((1, 1))
    )
    network = co.Network(Nodes(("a",), np.array([[0.2], [1.0]]), make_banks([(0, resonance)])), [[0.0]], "1/s")
    found = allocate(network, co.Step({"a": LOSS}), FrequencyLimits(nadir=0.6 * uncontrolled(network)[0]))
    w = np.linspace(0, 20, 200_001)
    assert found.passivity_index == pytest.approx(found.control.inverse(1j * w).real.min(), rel=1e-6)
    assert found.passivity_index < -1
    assert not found.passive
    assert "not passive" in found.text()


@few
@given(swings, draw_method, fractions)
def test_limits_hold_and_what_binds_is_met_with_equality(network, method, part):
    limits = asked(network, part)
    found = allocate(network, co.Step({network.labels[0]: LOSS}), limits, method=method)
    measured = co.simulate(found.closed, co.Step({"coherent": LOSS}), np.linspace(0, 200, 20_001)).metrics().loc["CoI"]
    nadir = max(abs(measured["nadir"]), abs(measured["steady state"]))
    assert found.table.loc["nadir", "with control"] == pytest.approx(nadir, rel=1e-5)  # the cubic's error at such samples
    after, figures = found.table["with control"], ("nadir", "RoCoF", "steady state")
    for name, limit in zip(figures, (limits.nadir, limits.rocof, limits.steady), strict=True):
        assert limit is None or after[name] <= limit * (1 + EXACT)
    for name in found.table.index[found.table["binding"]]:
        assert after[name] == pytest.approx(found.table.loc[name, "limit"], rel=1e-8)
    # less of either does not do
    for name, less in (("inertia", (0.99, 1.0)), ("droop", (1.0, 0.99))):
        if getattr(found, name) == 0:
            continue
        control = found.control.polynomial.copy()
        control[0] -= (1 - less[1]) * found.droop
        control[1] -= (1 - less[0]) * found.inertia
        nodes = found.aggregate.nodes.plus(Nodes(("control",), control, found.control.banks))
        one = co.Network(nodes, [[0.0]], "1/s")
        worse = dict(zip(figures, uncontrolled(one), strict=True))
        missed = [n for n, x in zip(figures, (limits.nadir, limits.rocof, limits.steady), strict=True) if x and worse[n] > x]
        assert missed, (name, worse, limits)


@few
@given(swings, draw_method, fractions, st.sampled_from(["nadir", "rocof", "steady"]))
def test_tighter_limits_need_no_less(network, method, part, name):
    step = co.Step({network.labels[0]: LOSS})
    limits = asked(network, part)
    now = getattr(limits, name)
    if now is None:
        return
    tighter = FrequencyLimits(**({n: getattr(limits, n) for n in ("nadir", "rocof", "steady")} | {name: 0.8 * now}))
    first, second = (allocate(network, step, x, method=method) for x in (limits, tighter))
    assert second.inertia >= first.inertia * (1 - EXACT)
    if method == "frequency_shaping" or name != "rocof":  # more inertia for the RoCoF may leave less of the nadir to droop
        assert second.droop >= first.droop * (1 - EXACT)


def test_inertia_may_meet_the_nadir_and_cannot_hold_the_steady_state():
    network = one_turbine(tau=8.0)
    nadir, _, steady = uncontrolled(network)
    limit = 0.5 * (nadir + steady)
    found = allocate(
        network, co.Step({"a": LOSS}), FrequencyLimits(nadir=limit), method="inertia_droop", prefer="inertia", max_droop=0.0
    )
    assert found.droop == 0
    assert found.inertia > 0
    assert found.table.loc["nadir", "with control"] == pytest.approx(limit, rel=1e-8)
    assert found.table.loc["steady state", "with control"] == pytest.approx(steady, rel=1e-12)
    below = allocate(network, co.Step({"a": LOSS}), FrequencyLimits(nadir=0.5 * steady), method="inertia_droop", prefer="inertia")
    assert below.droop >= abs(LOSS) / (0.5 * steady) - abs(LOSS) / steady


def test_limits_that_nothing_meets_name_what_they_need():
    network, step = one_turbine(m=2.0), co.Step({"a": -3.0})
    with pytest.raises(
        co.InputError,
        match=r"the RoCoF limit of 0.5 rad/s\^2 needs 4 pu s\^2/rad of virtual inertia, of which 0.3 are allowed \(max_inertia\)",
    ):
        allocate(network, step, FrequencyLimits(rocof=0.5), max_inertia=0.3)
    for method in ("frequency_shaping", "inertia_droop"):
        with pytest.raises(
            co.InputError, match=r"steady-state limit of 1 rad/s needs 1.5 pu s/rad of droop, of which 1 are allowed"
        ):
            allocate(network, step, FrequencyLimits(steady=1.0), max_droop=1.0, method=method)
    free = allocate(network, step, FrequencyLimits(nadir=1.5), method="inertia_droop")
    with pytest.raises(
        co.InputError, match=rf"the nadir limit of 1.5 rad/s needs {free.droop:.4g} pu s/rad of droop, of which 0.1 "
    ):
        allocate(network, step, FrequencyLimits(nadir=1.5), method="inertia_droop", max_droop=0.1)
    again = allocate(network, step, FrequencyLimits(nadir=1.5), method="inertia_droop", max_droop=free.droop)
    assert again.droop == free.droop
    slow = one_turbine(m=2.0, d=0.0, tau=5.0)
    with pytest.raises(co.InputError, match=r"of virtual inertia, of which 0.1 are allowed"):
        allocate(slow, step, FrequencyLimits(nadir=2.7), method="inertia_droop", prefer="inertia", max_inertia=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "give one of 'frequency_shaping'"),
        ({"prefer": "power"}, "give 'droop' or 'inertia'"),
        ({"max_inertia": -1}, "max_inertia = -1; give a number >= 0"),
        ({"max_droop": "much"}, "max_droop = 'much'"),
        ({"max_droop": np.nan}, "max_droop = nan"),
        ({"horizon": 0}, "horizon = 0; give a time > 0"),
        ({"limits": {"nadir": 1}}, "limits is a dict; give FrequencyLimits"),
        ({"disturbance": co.Pulse({"a": 1.0})}, "the disturbance is a Pulse; limits are designed for a lasting loss"),
        ({"disturbance": co.Step({"a": 1.0}) + co.Step({"a": 1.0})}, "the disturbance is a Sum"),
        ({"disturbance": co.Step({"a": 1.0, "b": -1.0})}, "add up to 0"),
        ({"network": co.coherent_dynamics}, "needs a Network"),
        ({"network": co.Network(Nodes(("a",), np.array([[1.0], [1], [1]])), [[0.0]], "1/s")}, "relative degree 2"),
        ({"network": co.Network(Nodes(("a",), np.array([[1.0], [-1]])), [[0.0]], "1/s")}, "has inertia -1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(options, message):
    given_ = {"network": one_turbine(), "disturbance": co.Step({"a": LOSS}), "limits": FrequencyLimits(nadir=0.1)} | options
    with pytest.raises(co.InputError, match=message):
        allocate(given_.pop("network"), given_.pop("disturbance"), given_.pop("limits"), **given_)


def test_limits_and_shares_are_checked():
    for bad in (0, -1.0, np.inf, np.nan, True, "1"):
        with pytest.raises(co.InputError, match="give a size > 0"):
            FrequencyLimits(nadir=bad)
    with pytest.raises(co.InputError, match="there is no limit"):
        FrequencyLimits()
    limits = FrequencyLimits.hz(nadir=0.8, rocof=1.0, steady=0.3)
    np.testing.assert_allclose([limits.nadir, limits.rocof, limits.steady], 2 * np.pi * np.array([0.8, 1.0, 0.3]))
    assert "Hz" in limits.text()
    network, found = pair()
    for shares, message in (
        ("cost", "'inertia', 'equal'"),
        ({"a": 0.0}, "no node has a share"),
        ({"a": -1.0}, "weight of node 'a'"),
    ):
        with pytest.raises(co.InputError, match=message):
            found.applied(network, shares=shares)
    with pytest.raises(co.UnknownNameError, match="'c'"):
        found.applied(network, shares={"c": 1.0})
    negative = co.Network(Nodes(("a", "b"), np.array([[1.0, 1], [-1, 3]])), network.laplacian, "1/s")
    with pytest.raises(co.InputError, match="node 'a' has inertia -1"):
        found.applied(negative)


def pair(limits=None):
    nodes = co.swing_turbine(
        inertia=[1.0, 2.0], damping=[0.1, 0.2], inverse_droop=[0.5, 0.7], time_constant=[4.0, 2.0], labels=["a", "b"]
    )
    network = co.Network(nodes, [[3.0, -3], [-3, 3]], "1/s")
    return network, allocate(network, co.Step({"a": LOSS}), limits or FrequencyLimits(nadir=0.5, rocof=0.2))


def test_unstable_turbines_are_not_shaped():
    growing = Realization(np.array([[0.1]]), np.ones((1, 1)), 0.01 * np.ones((1, 1)), np.zeros((1, 1)))
    network = co.Network(Nodes(("a",), np.array([[1.0], [1.0]]), make_banks([(0, growing)])), [[0.0]], "1/s")
    with pytest.raises(co.InputError, match=r"h has a pole at 0.1 1/s; it must be stable: take method='inertia_droop'"):
        allocate(network, co.Step({"a": LOSS}), FrequencyLimits(rocof=0.2))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_extreme_of_a_step_is_that_of_a_fine_slow_simulation(seed, n):
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, n, degrees=(0, 1, 2))
    system = co.coherent_dynamics(co.Network(nodes, random_laplacian(rng, n), "1/s")).realization
    found = step_extreme(system, LOSS)
    poles = system.poles()
    if not poles.size:
        assert found.value == found.end == LOSS * system.d[0, 0]
        return
    if poles[0].real >= -1e-3:
        assert np.isinf(found.value) or poles[0].real < 0
        return
    end = float(system.dc_gain()[0, 0]) * LOSS
    assert found.end == pytest.approx(end, rel=1e-8)
    step = 0.01 / max(np.abs(poles).max(), 0.1)
    x, y, leap = np.linalg.solve(system.a, system.b[:, 0]) * LOSS, [], sla.expm(system.a * step)
    for _ in range(min(int(30 / -poles[0].real / step), 40_000)):
        y.append(end + system.c[0] @ x)
        x = leap @ x
    slow = max(np.abs(y).max(), abs(end))
    assert abs(found.value) >= slow * (1 - 1e-8)
    if abs(system.c[0] @ x) < 0.1 * abs(end):  # the slow twin has seen the larger part of it
        assert abs(found.value) == pytest.approx(slow, rel=1e-4)  # (0.01)^2/8 between its samples
    if np.isfinite(found.at):
        exact = end + system.c[0] @ sla.expm(system.a * found.at) @ np.linalg.solve(system.a, system.b[:, 0]) * LOSS
        assert exact == pytest.approx(found.value, rel=1e-8)


@pytest.mark.parametrize("zeta", [0.02, 0.3, 0.9, 1.0])
def test_the_extreme_of_a_second_order_step_is_in_closed_form(zeta):
    w = 3.0
    system = Realization(np.array([[0.0, 1], [-w * w, -2 * zeta * w]]), np.array([[0.0], [w * w]]), np.eye(1, 2), np.zeros((1, 1)))
    found = step_extreme(system, -2.0)
    root = np.sqrt(1 - zeta**2)
    if zeta == 1.0:
        assert found.value == pytest.approx(-2.0, rel=1e-13)
        assert found.at == np.inf
        return
    assert found.value == pytest.approx(-2.0 * (1 + np.exp(-np.pi * zeta / root)), rel=1e-11)
    assert found.at == pytest.approx(np.pi / (w * root), rel=1e-6)


def test_the_extreme_of_a_hardly_damped_mode_is_its_first_and_too_many_states_are_refused():
    turning = Realization(np.array([[-1e-9, 1.0], [-1, -1e-9]]), np.array([[0.0], [1]]), np.eye(1, 2), np.zeros((1, 1)))
    assert step_extreme(turning, 1.0).value == pytest.approx(2.0, rel=1e-6)  # one of its first
    many = Realization(-np.diag(np.linspace(1, 2, 601)), np.ones((601, 1)), np.ones((1, 601)), np.zeros((1, 1)))
    with pytest.raises(co.InputError, match="the aggregate has 601 states"):
        step_extreme(many, 1.0)
    assert step_extreme(Realization(np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.full((1, 1), 2.0)), -1.0).value == -2.0


@settings(max_examples=15)  # python-control is slow
@given(networks(passive=True, couplings=("1/s",), most=5, strengths=(1.0, 10.0)), draw_method, fractions, st.integers(0, 99))
def test_power_and_energy_are_those_of_a_slow_simulation(network, method, part, seed):
    """python-control simulates the network under control; power from its states, energy by the trapezoidal rule."""
    rng = np.random.default_rng(seed)
    found = allocate(network, co.Step({network.labels[0]: LOSS}), asked(network, part), method=method, horizon=8.0)
    w = rng.dirichlet(np.ones(network.size))
    shares = dict(zip(network.labels, w.tolist(), strict=True))
    if found.idle:
        return
    checked = found.check(network, shares=shares)
    t = np.linspace(0, 8.0, 16_001)
    closed = found.applied(network, shares=shares)
    system = ct.ss(closed.to_statespace())
    u = np.zeros((network.size, len(t)))
    u[0] = LOSS
    run = ct.forced_response(system, t, u)
    v, rate = w @ run.outputs, w @ (system.C @ (system.A @ run.states + system.B @ u))
    law = found.control.proper_part()[0]
    inner = ct.forced_response(ct.ss(law.a, law.b, law.c, 0), t, v).outputs if law.order else np.zeros(len(t))
    power = -(found.inertia * rate + found.control.damping[0] * v + inner)
    energy = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(t))])
    full, h = checked.table["full"], 8.0 / 16_000
    fast = np.abs(closed.poles()).max()
    allowed = max(2 * (fast * h) ** 2, 2e-4)  # of linear interpolation; and the cubics of the response between its samples
    assert full["peak storage power"] == pytest.approx(np.abs(power).max(), rel=allowed)
    assert full["storage energy"] == pytest.approx(np.abs(energy).max(), rel=allowed, abs=1e-6)
    knots = checked.response.knots
    whole = delivered(found.control, knots, w)
    np.testing.assert_allclose(whole.energy, np.interp(knots.time, t, energy), atol=allowed * np.abs(energy).max() + 1e-6)


def test_power_of_a_cubic_is_exact():
    """A response that is a cubic, against the convolution in closed form."""
    tau, gain, droop, inertia = 0.7, -1.3, 2.0, 0.4
    bank = make_banks([(0, Realization(np.array([[-1 / tau]]), np.array([[1 / tau]]), np.array([[gain]]), np.zeros((1, 1))))])
    law = Nodes(("k",), np.array([[droop], [inertia]]), bank)
    t = np.array([0.0, 0.3, 0.9, 1.0, 2.5])
    v = np.poly1d([0.2, -0.7, 0.3, 0.0])
    dv = v.deriv()
    from coherence.simulation.response import Knots

    none = np.zeros(0, dtype=int)
    knots = Knots(t, v(t)[:, None], dv(t)[:, None], none, np.zeros((0, 1)), np.zeros((0, 1)))
    # x' = (v - x)/tau: the polynomial p with tau p' + p = v, and what dies out
    p = np.poly1d([0.0])
    for _ in range(5):
        p = v - tau * p.deriv()
    x = p(t) - p(0) * np.exp(-t / tau)
    area = p.integ()(t) - p.integ()(0) - p(0) * tau * (1 - np.exp(-t / tau))
    found = delivered(law, knots, np.ones(1))
    np.testing.assert_allclose(found.power, -(inertia * dv(t) + droop * v(t) + gain * x), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        found.energy, -(inertia * (v(t) - v(0)) + droop * v.integ()(t) + gain * area), rtol=1e-11, atol=1e-13
    )


@settings(max_examples=20)
@given(networks(passive=True, couplings=("1/s",), most=6, strengths=(1.0, 10.0)), draw_method, fractions)
def test_the_check_has_the_figures_of_the_simulated_network(network, method, part):
    step = co.Step({network.labels[-1]: LOSS})
    found = allocate(network, step, asked(network, part), method=method, horizon=20.0)
    checked = found.check(network, shares="equal", window=0.4)
    assert checked.stable is True
    assert checked.stability.by == "passivity"
    metrics = co.simulate(checked.closed, step, np.linspace(0, 20.0, 4001)).metrics(window=0.4)
    nodes, center, full = metrics.iloc[:-1], metrics.loc["CoI"], checked.table["full"]
    ends = metrics["steady state"].abs()
    nadir = np.maximum(metrics["nadir"].abs(), ends)
    close = {"rel": 2e-3}  # cubics between samples, twice
    assert full["nadir of the CoI"] == pytest.approx(nadir["CoI"], **close)
    assert full["nadir of the worst node"] == pytest.approx(nadir.iloc[:-1].max(), **close)
    assert full["RoCoF of the CoI over 0.4 s"] == pytest.approx(abs(center["rocof"]), **close)
    assert full["RoCoF of the worst node over 0.4 s"] == pytest.approx(nodes["rocof"].abs().max(), **close)
    assert full["steady state"] == pytest.approx(ends["CoI"], rel=1e-12)
    assert full["overshoot of the worst node"] == pytest.approx(((nadir - ends) / ends).iloc[:-1].max(), abs=1e-2)
    # the aggregate that was designed for is that of the full network: what was promised of it is found
    for name in ("nadir of the aggregate", "overshoot of the aggregate", "RoCoF at the start", "steady state"):
        assert full[name] == pytest.approx(checked.table.loc[name, "reduced"], rel=1e-5, abs=1e-5)


def test_a_design_on_a_low_order_shows_what_that_costs():
    case = co.linearize(co.load_case("five_generators"))
    exact = co.coherent_dynamics(case)
    step, limits = co.Step({case.labels[0]: LOSS}), FrequencyLimits(nadir=0.7 * uncontrolled(case)[0])
    rough = allocate(co.truncate(exact, 2).network, step, limits).check(case).table
    fine = allocate(exact, step, limits).check(case).table
    name = "overshoot of the aggregate"
    assert rough.loc[name, "reduced"] == 0
    assert fine.loc[name, "reduced"] == 0
    assert fine.loc[name, "full"] < 1e-6 < 1e-3 < rough.loc[name, "full"]


def test_an_unstable_network_is_a_result_with_its_mode():
    nodes = co.swing(inertia=[1.0, 1.0], damping=[-0.4, 1.6], labels=["north", "south"])
    full = co.Network(nodes, [[4.0, -4.0], [-4.0, 4.0]], "1/s")
    weak = co.Network(nodes, [[0.02, -0.02], [-0.02, 0.02]], "1/s")
    step = co.Step({"north": LOSS})
    found = allocate(full, step, FrequencyLimits(nadir=0.5))
    assert found.check(full).stable
    lost = found.check(weak, shares={"south": 1.0})
    assert lost.stable is False
    assert "not stable" in repr(lost)
    assert "'north'" in lost.stability.sentence
    assert "grows at" in lost.stability.sentence
    assert lost.response is not None
    assert np.isnan(lost.table.loc["steady state", "full"])
    assert lost.table.loc["nadir of the aggregate", "full"] == pytest.approx(0.5)  # coherent motion is as promised
    # too far for numbers
    far = allocate(full, step, FrequencyLimits(nadir=0.5), horizon=5e3).check(weak, shares={"south": 1.0})
    assert far.stable is False
    assert far.response is None
    assert np.isnan(far.table.loc["nadir of the CoI", "full"])


def test_a_check_takes_other_disturbances():
    network, found = pair()
    pulse = co.Pulse({"b": 2.0}, duration=1.0) + co.Step({"a": -0.5})
    checked = found.check(network, disturbance=pulse, shares={"b": 2.0})
    assert "RoCoF at the start" not in checked.table.index
    measured = checked.response.metrics().loc["CoI"]
    assert checked.table.loc["nadir of the CoI", "full"] == pytest.approx(abs(measured["nadir"]))
    assert checked.table.loc["steady state", "full"] == pytest.approx(abs(measured["steady state"]))
    with pytest.raises(co.UnknownNameError):
        found.check(network, disturbance=co.Step({"nowhere": 1.0}))
    with pytest.raises(co.InputError, match="window = 1000"):
        found.check(network, window=1000.0)
    still = co.Network(co.droop_inverter(gain=[1.0], time_constant=[1.0]).with_damping([1.0]), [[0.0]], "1/s")
    assert found.check(still, disturbance=co.Step({"1": 1.0})).stable
    static = co.Network(Nodes(("1",), np.ones((1, 1))), [[0.0]], "1/s")
    plain = allocate(static, co.Step({"1": 1.0}), FrequencyLimits(nadir=0.5))
    assert plain.droop == pytest.approx(1.0)
    assert np.isinf(plain.table.loc["RoCoF", "with control"])
    with pytest.raises(co.InputError, match="neither a node nor the storage has inertia"):
        plain.check(static, shares="equal", disturbance=co.Step({"1": 1.0}))


def test_the_controller_in_python_control_is_the_law_with_its_filter():
    _, found = pair()
    s = 1j * np.geomspace(0.01, 100, 9)
    k = found.control.inverse(s)[:, 0]
    lagged = found.system(lag=0.02, label="all")
    np.testing.assert_allclose(np.ravel(lagged(s)), -k / (0.02 * s + 1), rtol=1e-10)
    assert lagged.input_labels == ["w[all]"]
    assert lagged.output_labels == ["p[all]"]
    with pytest.raises(co.InputError, match="give lag > 0"):
        found.system()
    with pytest.raises(co.InputError, match="lag = 0"):
        found.system(lag=0)
    _, plain = pair(FrequencyLimits(nadir=0.5))
    np.testing.assert_allclose(np.ravel(plain.system()(s)), -plain.control.inverse(s)[:, 0], rtol=1e-10)


def test_pages_show_themselves():
    network, found = pair()
    assert isinstance(found, Allocation)
    assert found.tables["allocation"] is found.table
    checked = found.check(network)
    for page in (found, checked, found.limits):
        assert page.text()
        assert page.to_dict()["tables"]
        assert "<table" in page._repr_html_()
    assert readable(checked.table).shape == checked.table.shape


def test_iceland_shaped_comes_the_nearer_to_no_overshoot_the_more_states_are_shaped(iceland):
    step, exact = co.Step({"Burfell 3-4": -1.0}), co.coherent_dynamics(iceland)
    limits = FrequencyLimits.hz(nadir=0.4, rocof=0.3, steady=0.3)
    shaped = {}
    for order, center, aggregate in ((3, 0.0422, 0.0421), (5, 0.0100, 0.0099), (6, 0.0032, 0.0031)):
        checked = allocate(co.truncate(exact, order).network, step, limits).check(iceland, margin=False)
        assert checked.stable
        shaped[order] = checked.table["full"]
        assert shaped[order]["overshoot of the CoI"] == pytest.approx(center, abs=1e-4)
        assert shaped[order]["overshoot of the aggregate"] == pytest.approx(aggregate, abs=1e-4)
    assert shaped[5]["overshoot of the aggregate"] < 0.01 < shaped[3]["overshoot of the aggregate"]
    small = co.truncate(exact, 3).network
    plain = allocate(small, step, limits, method="inertia_droop").check(iceland, margin=False)
    assert plain.stable
    assert shaped[3]["overshoot of the CoI"] < 0.05 < 2.0 < plain.table.loc["overshoot of the CoI", "full"]
