"""One very large node: its arrow form against full matrices, its gramians, and what compression keeps."""

import numpy as np
import pytest

from coherence.errors import InputError, InstabilityError, PoleError, ToleranceError
from coherence.numerics import arrow as arrow_module
from coherence.numerics import gramians, low_rank
from coherence.numerics.arrow import Arrow, Sections, unstable_poles
from coherence.numerics.balancing import balance
from coherence.numerics.low_rank import compress, low_rank_factor, optimal_shifts
from coherence.numerics.rational import Rational
from coherence.numerics.realization import cascade

WEIGHT = Rational((1.0, 0.03), (1.0, 1e-4)).realization()
INPUT_WEIGHT = Rational((1.0, 2.0), (1.0, 0.3, 0.2)).realization()
NO_HEAD = {"head": np.zeros((0, 0)), "column": np.zeros(0), "row": np.zeros(0), "entry": np.zeros(0), "leave": np.zeros(0)}


def turbines(n, seed=0, slowest=50.0, fastest=0.5):
    """Inertia and damping of n machines, and their one-lag turbines."""
    rng = np.random.default_rng(seed)
    tau = np.exp(rng.uniform(np.log(fastest), np.log(slowest), n))
    droop = rng.uniform(0.019, 0.026, n)
    return [0.00214 * n, 0.01366 * n], [(-1 / tau[:, None, None], 1 / tau[:, None], droop[:, None])]


def hydro(n, seed=0, gain=1.0, damping=0.02):
    """(1 - Tw s)/((1 + Tr s)(1 + Tg s)(1 + Tw s/2)), which gives way at first, as cascades of three states."""
    rng = np.random.default_rng(seed)
    gate, water, droop = rng.uniform(0.2, 0.6, n), rng.uniform(0.5, 2.5, n), rng.uniform(5, 40, n)
    k = gain * rng.uniform(0.019, 0.026, n)
    a, b, c = np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros((n, 3))
    a[:, 0, 0], a[:, 1, 1], a[:, 2, 2] = -1 / droop, -1 / gate, -2 / water
    a[:, 1, 0], a[:, 2, 1], b[:, 0] = 1 / gate, 2 / water, 1 / droop
    c[:, 1], c[:, 2] = -2 * k, 3 * k  # (1 - Tw s)/(1 + Tw s/2) = -2 + 3/(1 + Tw s/2)
    return [damping * n, 0.01366 * n], [(a, b, c)]


def drawn(seed, size=6, degree=1, gain=0.8):
    """Banks of orders 1, 2, 3 with gains of both signs, |h| <= gain on the axis, and a polynomial |p| >= 1 there."""
    rng = np.random.default_rng(seed)
    tau = np.exp(rng.uniform(-2, 3, size))
    w, zeta = np.exp(rng.uniform(-1, 2, size)), rng.uniform(0.1, 1.2, size)
    second, third = np.zeros((size, 2, 2)), rng.normal(size=(size, 3, 3))
    second[:, 0, 1], second[:, 1, 0], second[:, 1, 1] = 1, -(w**2), -2 * zeta * w
    third -= (np.linalg.norm(third, axis=(1, 2)) + rng.uniform(0.1, 1, size))[:, None, None] * np.eye(3)
    banks = [
        [-1 / tau[:, None, None], rng.normal(size=(size, 1)), rng.normal(size=(size, 1))],
        [second, rng.normal(size=(size, 2)), rng.normal(size=(size, 2))],
        [third, rng.normal(size=(size, 3)), rng.normal(size=(size, 3))],
    ]
    peak = np.abs(direct(banks, 1j * np.geomspace(1e-3, 1e3, 2000), each=True)).max(axis=0).sum()
    banks = [(a, b, c * gain / peak) for a, b, c in banks]
    return [1.0, 1.5, 1.0][: degree + 1], banks


def direct(banks, s, *, each=False):
    """The sections' values, straight from the definition."""
    values = []
    for a, b, c in banks:
        shifted = np.asarray(s)[:, None, None, None] * np.eye(a.shape[1]) - a
        values.append(np.einsum("so,fso->fs", c, np.linalg.solve(shifted, b[None, :, :, None])[..., 0]))
    values = np.concatenate(values, axis=1)
    return values if each else values.sum(axis=1)


SYSTEMS = [(degree, closed) for degree in (0, 1, 2) for closed in (False, True)]


def every_arrow(seed):
    for degree, closed in SYSTEMS:
        made = Arrow.from_banks(*drawn(seed, degree=degree), closed_loop=closed)
        yield made
        yield made.weighted_output(WEIGHT)
        yield made.weighted_input(INPUT_WEIGHT).weighted_output(WEIGHT)


@pytest.mark.parametrize("seed", range(4))
def test_an_arrow_multiplies_and_solves_like_its_dense_twin(seed):
    rng = np.random.default_rng(seed)
    for arrow in every_arrow(seed):
        for system, a in ((arrow, arrow.dense().a), (arrow.dual, arrow.dense().a.T)):
            x = rng.normal(size=(arrow.order, 3))
            assert system.multiply(x) == pytest.approx(a @ x, rel=1e-12, abs=1e-12 * np.linalg.norm(a))
            assert system.multiply(x[:, 0]) == pytest.approx(a @ x[:, 0], rel=1e-12, abs=1e-12 * np.linalg.norm(a))
            for shift in (-0.7, -0.2 + 3j):
                found = system.solve(shift, x)
                exact = np.linalg.solve(a + shift * np.eye(len(a)), x)
                assert np.linalg.norm(found - exact) <= 1e-10 * np.linalg.norm(exact)
                assert np.linalg.norm(system.solve(shift, x[:, 1]) - exact[:, 1]) <= 1e-10 * np.linalg.norm(exact)
            assert np.isrealobj(system.solve(-0.7, x))


@pytest.mark.parametrize("seed", range(4))
def test_an_arrow_its_dual_and_its_dense_twin_have_one_transfer_function(seed):
    s = np.concatenate([[0.0, 0.3 + 2j], 1j * np.geomspace(1e-3, 1e2, 20)])
    for arrow in every_arrow(seed):
        exact = arrow.dense()(s)[:, 0, 0]
        assert np.abs(arrow(s) - exact).max() <= 1e-10 * np.abs(exact).max()
        assert np.abs(arrow.dual(s) - exact).max() <= 1e-10 * np.abs(exact).max()


@pytest.mark.parametrize(("degree", "closed"), SYSTEMS)
def test_an_arrow_is_the_node_it_was_made_from_with_its_weights(degree, closed):
    polynomial, banks = drawn(11, degree=degree)
    s = 1j * np.geomspace(1e-3, 1e2, 40)
    h = direct(banks, s)
    exact = 1 / (np.polyval(polynomial[::-1], s) + h) if closed else h
    arrow = Arrow.from_banks(polynomial, banks, closed_loop=closed)
    assert arrow(s) == pytest.approx(exact, rel=1e-11)
    weighted = WEIGHT(s)[:, 0, 0] * exact * INPUT_WEIGHT(s)[:, 0, 0]
    assert arrow.weighted_output(WEIGHT).weighted_input(INPUT_WEIGHT)(s) == pytest.approx(weighted, rel=1e-10)


def test_turbines_in_the_arrow_scaling_are_dissipative():
    a = Arrow.from_banks(*turbines(30), closed_loop=True).dense().a
    assert np.linalg.eigvalsh(a + a.T).max() < 0


def test_sections_are_evaluated_in_parts_that_fit_the_memory(monkeypatch):
    polynomial, banks = drawn(2)
    s = 1j * np.geomspace(0.1, 10, 50)
    whole = Arrow.from_banks(polynomial, banks, closed_loop=True)(s)
    monkeypatch.setattr(arrow_module, "_ENTRIES", 40)
    assert Arrow.from_banks(polynomial, banks, closed_loop=True)(s) == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize(("slowest", "fastest"), [(1, 1), (1, 3), (0.02, 2), (1e-3, 1e3), (1e-9, 1e3)])
@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_optimal_shifts_reach_the_rate_of_zolotarev_and_equioscillate(slowest, fastest, count):
    shifts = optimal_shifts(slowest, fastest, count)
    poles = -np.geomspace(slowest, fastest, 20001)
    values = np.prod((poles[:, None] - shifts) / (poles[:, None] + shifts), axis=1)
    bound = 4 * np.exp(-(np.pi**2) * count / np.log(4 * (slowest + fastest) ** 2 / (slowest * fastest)))
    assert np.abs(values).max() ** 2 <= bound * (1 + 1e-9)
    assert (shifts < 0).all()
    if fastest > slowest:
        assert abs(values[0]) == pytest.approx(abs(values[-1]), rel=1e-6, abs=1e-14)
        assert abs(values[0]) == pytest.approx(np.abs(values).max(), rel=1e-3, abs=1e-14)


def large_enough():
    """(name, arrow) for the comparison with dense gramians."""
    for closed in (False, True):
        yield f"30 turbines, {closed}", Arrow.from_banks(*turbines(30), closed_loop=closed)
        yield f"200 turbines, {closed}", Arrow.from_banks(*turbines(200, 1), closed_loop=closed)
        yield f"wide, {closed}", Arrow.from_banks(*turbines(40, 2, slowest=1e4, fastest=1e-2), closed_loop=closed)
        yield f"60 hydro, {closed}", Arrow.from_banks(*hydro(60), closed_loop=closed)
        for degree in (0, 1, 2):
            yield f"mixed {degree}, {closed}", Arrow.from_banks(*drawn(degree, size=10, degree=degree), closed_loop=closed)


ARROWS = dict(large_enough())


@pytest.mark.parametrize("name", ARROWS)
def test_gramians_are_those_of_the_dense_method(name):
    for arrow in (ARROWS[name], ARROWS[name].dual, ARROWS[name].weighted_output(WEIGHT).dual):
        a, b = arrow.dense().a, arrow.dense().b
        found = low_rank_factor(arrow)
        x = found.columns @ found.columns.T
        dense = gramians.gramian_factor(a, b)
        assert np.linalg.norm(x - dense @ dense.T) <= 1e-9 * np.linalg.norm(x)
        residual = np.linalg.norm(a @ x + x @ a.T + b @ b.T)
        assert residual <= 1e-10 * (np.linalg.norm(a) * np.linalg.norm(x) + np.linalg.norm(b) ** 2)
        assert found.residual <= 1e-22


@pytest.mark.parametrize("name", ARROWS)
def test_hankel_values_are_those_of_dense_balancing_and_of_the_compressed_system(name):
    arrow = ARROWS[name]
    for weight in (None, WEIGHT):
        exact, found = balance(arrow.dense(), output_weight=weight), compress(arrow, output_weight=weight)
        for values in (found.hankel, balance(found.system, output_weight=weight).hankel):
            size = max(len(exact.hankel), len(values))
            padded = [np.pad(x, (0, size - len(x))) for x in (exact.hankel, values)]
            assert np.abs(padded[0] - padded[1]).max() <= 1e-8 * exact.hankel[0]
        assert found.error <= 1e-8
        assert found.system.is_stable()


def test_an_input_weight_enters_the_controllability_gramian():
    arrow = Arrow.from_banks(*drawn(5), closed_loop=True)
    dense, found = arrow.dense(), compress(arrow, input_weight=INPUT_WEIGHT, output_weight=WEIGHT)
    before, after = cascade(INPUT_WEIGHT, dense), cascade(dense, WEIGHT)
    r = gramians.gramian_factor(before.a, before.b)[INPUT_WEIGHT.order :]
    s = gramians.gramian_factor(after.a.T, after.c.T)[: dense.order]
    exact = np.linalg.svd(s.T @ r, compute_uv=False)
    size = min(len(exact), len(found.hankel))
    assert np.abs(found.hankel[:size] - exact[:size]).max() <= 1e-8 * exact[0]
    assert found.error <= 1e-8


@pytest.mark.parametrize("closed", [False, True])
def test_ten_thousand_turbines_compress_to_few_states_without_visible_error(closed):
    polynomial, banks = turbines(10_000, 3)
    found = compress(Arrow.from_banks(polynomial, banks, closed_loop=closed), output_weight=WEIGHT)
    assert found.error <= 1e-8
    assert found.system.order < 100
    assert max(found.residuals) <= 1e-22
    s = 1j * np.exp(np.random.default_rng(0).uniform(np.log(1e-4), np.log(1e3), 50))
    h = direct(banks, s)
    exact = 1 / (np.polyval(polynomial[::-1], s) + h) if closed else h
    assert np.abs(found.system(s)[:, 0, 0] - exact).max() <= 1e-9 * np.abs(exact).max()


@pytest.mark.parametrize("closed", [False, True])
def test_two_thousand_hydro_turbines_compress(closed):
    polynomial, banks = hydro(2000, 4)
    found = compress(Arrow.from_banks(polynomial, banks, closed_loop=closed), output_weight=WEIGHT)
    assert found.error <= 1e-8
    s = 1j * np.geomspace(1e-4, 1e2, 30)
    exact = 1 / (np.polyval(polynomial[::-1], s) + direct(banks, s)) if closed else direct(banks, s)
    assert np.abs(found.system(s)[:, 0, 0] - exact).max() <= 1e-8 * np.abs(exact).max()


def test_many_different_oscillations_need_complex_shifts_and_as_many_states_as_they_fill():
    rng = np.random.default_rng(6)
    n = 150
    w, zeta = np.exp(rng.uniform(np.log(0.3), np.log(10), n)), rng.uniform(0.05, 0.5, n)
    a, b = np.zeros((n, 2, 2)), np.tile([0.0, 1.0], (n, 1))
    a[:, 0, 1], a[:, 1, 0], a[:, 1, 1] = 1, -(w**2), -2 * zeta * w
    arrow = Arrow.from_banks([0.01 * n, 0.02 * n], [(a, b, rng.uniform(0, 0.02, (n, 2)))], closed_loop=True)
    found = compress(arrow)
    assert found.error <= 1e-8
    assert found.hankel[:40] == pytest.approx(balance(arrow.dense()).hankel[:40], abs=1e-8 * found.hankel[0])


def test_compressing_a_factor_on_the_way_changes_nothing(monkeypatch):
    arrow = Arrow.from_banks(*drawn(7, size=20), closed_loop=True)
    whole, sizes, unchanged = low_rank_factor(arrow).columns, [], low_rank._compressed
    monkeypatch.setattr(low_rank, "_COLUMNS", 10)
    monkeypatch.setattr(low_rank, "_compressed", lambda z, small: sizes.append(z.shape[1]) or unchanged(z, small))
    less = low_rank_factor(arrow).columns
    assert len(sizes) >= 2
    assert np.linalg.norm(whole @ whole.T - less @ less.T) <= 1e-12 * np.linalg.norm(whole @ whole.T)


def test_compressing_a_factor_drops_what_has_no_size():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(50, 8)) @ rng.normal(size=(8, 20))
    less = low_rank._compressed(factor, 1e-13)
    assert less.shape[1] == 8
    assert less @ less.T == pytest.approx(factor @ factor.T, rel=1e-10, abs=1e-10)


def test_the_count_along_the_axis_is_that_of_the_eigenvalues():
    seen = []
    for seed in range(60):
        degree = seed % 3
        polynomial, banks = drawn(seed, degree=degree, gain=8.0)
        if seed % 4 == 3:
            polynomial = [-p for p in polynomial]
        sections = tuple(Sections(*bank) for bank in banks)
        made = dense_closed_loop(polynomial, sections)
        exact = int((np.linalg.eigvals(made).real > 0).sum())
        assert unstable_poles(np.array(polynomial), sections) == exact
        seen.append(exact)
    assert len(set(seen)) >= 3


@pytest.mark.parametrize("seed", range(5))
def test_sections_stay_as_near_their_tangent_as_the_count_relies_on(seed):
    for bank in drawn(seed)[1]:
        part = Sections(*bank)
        for omega in (0.0, 0.3, 2.0, 30.0):
            value, slope, bends, nearest = part.expansion(omega)
            step = np.linspace(-0.95, 0.95, 41) / nearest
            left = np.abs(part(1j * (omega + step)) - value - slope * step)
            assert (left <= bends * step**2 / (1 - np.abs(step) * nearest) + 1e-14 * abs(value)).all()


def dense_closed_loop(polynomial, sections):
    """State matrix of 1/(p + h), from the definition."""
    r, p = len(polynomial) - 1, np.array(polynomial)
    made = Arrow(**NO_HEAD, direct=0.0, beta=1.0, gamma=1.0, d=0.0, sections=sections).dense()
    if r == 0:
        return made.a - made.b @ made.c / p[0]
    a = np.zeros((r + made.order, r + made.order))
    a[: r - 1, 1:r], a[r - 1, :r] = np.eye(r - 1), -p[:r] / p[r]
    a[r - 1, r:], a[r:, :1], a[r:, r:] = -made.c[0] / p[r], made.b, made.a
    return a


@pytest.mark.parametrize("closed", [False, True])
def test_an_unstable_section_is_refused_and_named(closed):
    polynomial, banks = turbines(20)
    banks[0][0][7] = 0.25
    with pytest.raises(InstabilityError, match=r"section 7 of order 1 has a pole at 0\.25"):
        Arrow.from_banks(polynomial, banks, closed_loop=closed)


def test_an_unstable_closed_loop_is_refused():
    with pytest.raises(InstabilityError, match="2 poles in Re s > 0"):
        Arrow.from_banks(*hydro(500, gain=10.0), closed_loop=True)
    polynomial, ((a, b, c),) = turbines(500)
    with pytest.raises(InstabilityError, match="1 pole in Re s > 0"):  # more gain upwards than damping
        Arrow.from_banks(polynomial, [(a, b, -c)], closed_loop=True)
    Arrow.from_banks(*hydro(500, gain=10.0), closed_loop=False)


def test_a_pole_on_the_axis_is_refused():
    with pytest.raises(InstabilityError, match="up to rounding"):  # p(0) + h(0) = 0
        Arrow.from_banks([-1.0, 1.0], [(-np.ones((1, 1, 1)), np.ones((1, 1)), np.ones((1, 1)))], closed_loop=True)
    with pytest.raises(InstabilityError, match="up to rounding"):  # an undamped oscillator
        Arrow.from_banks([1.0, 0.0, 1.0], [], closed_loop=True)


@pytest.mark.parametrize("direct", [0.7, 1.3, 40.0])
def test_an_unstable_arrow_ends_in_an_error_and_not_in_a_loop(direct):
    sections = (Sections(-np.array([[[0.5]], [[1.0]], [[3.0]]]), np.ones((3, 1)), np.ones((3, 1))),)
    arrow = Arrow(**NO_HEAD, direct=direct, beta=1.0, gamma=1.0, d=0.0, sections=sections)
    assert np.linalg.eigvals(arrow.dense().a).real.max() > 0
    with pytest.raises((InstabilityError, ToleranceError)):
        low_rank_factor(arrow)


def test_a_gramian_of_unstable_sections_is_refused():
    sections = (Sections(np.array([[[0.5]], [[-1.0]]]), np.ones((2, 1)), np.ones((2, 1))),)
    with pytest.raises(InstabilityError, match="needs stable sections"):
        low_rank_factor(Arrow(**NO_HEAD, direct=0.0, beta=1.0, gamma=1.0, d=0.0, sections=sections))


def test_too_few_shifts_say_what_was_reached():
    with pytest.raises(ToleranceError, match=r"relative residual of .* after 5 shifts"):
        low_rank_factor(Arrow.from_banks(*turbines(50), closed_loop=True), most=5)


def test_a_system_that_does_not_fit_few_states_is_refused(monkeypatch):
    monkeypatch.setattr(low_rank, "_RANK", 3)
    with pytest.raises(ToleranceError, match="order 3 differs by"):
        compress(Arrow.from_banks(*turbines(100), closed_loop=True))


def test_an_unstable_weight_is_refused():
    arrow = Arrow.from_banks(*turbines(10), closed_loop=False)
    with pytest.raises(InstabilityError, match="the output weight has a pole at"):
        compress(arrow, output_weight=Rational((1.0,), (1.0, 0.0)).realization())


def test_a_solve_at_a_pole_is_an_error():
    arrow = Arrow.from_banks([1.0, 1.0], [], closed_loop=True)
    with pytest.raises(PoleError, match="is a pole of the system"):
        arrow.solve(1.0, np.ones(1))


def test_banks_that_are_no_banks_are_refused():
    with pytest.raises(InputError, match=r"give \(S, q, q\)"):
        Arrow.from_banks([1.0], [(np.ones((2, 1)), np.ones((2, 1)), np.ones((2, 1)))], closed_loop=False)
    with pytest.raises(InputError, match="not finite"):
        Arrow.from_banks([1.0], [(-np.ones((1, 1, 1)), np.array([[np.nan]]), np.ones((1, 1)))], closed_loop=False)
    with pytest.raises(InputError, match="1/h is not proper"):
        Arrow.from_banks([0.0], turbines(3)[1], closed_loop=True)


def test_nodes_without_sections_or_without_gain_compress_too():
    for polynomial, order in (([2.0], 0), ([1.0, 2.0], 1), ([1.0, 2.0, 3.0], 2)):
        found = compress(Arrow.from_banks(polynomial, [], closed_loop=True))
        assert found.system.order == order
        assert found.system(1j)[0, 0, 0] == pytest.approx(1 / np.polyval(polynomial[::-1], 1j))
    silent = compress(Arrow.from_banks([1.0], [(-np.ones((2, 1, 1)), np.zeros((2, 1)), np.ones((2, 1)))], closed_loop=False))
    assert (silent.system.order, silent.error) == (0, 0.0)
