"""Typical machine figures: only on request, only where nothing stands, and marked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.formats.typical import COLUMNS, GENERAL, KINDS, NO_MACHINE
from coherence.nodes.governors import one_lag
from coherence.numerics.realization import Realization

FIGURES = [name for name in COLUMNS if name != "mbase_mva"]  # those that no file has to state
FUELS = ["hydro", "coal", "ng", "nuclear", "wind", "", "Solar ", "unobtainium"]


def bare(fuel=True, **columns):
    """A ring of eight buses with a generator each and no machine figures."""
    n = len(FUELS)
    generators = pd.DataFrame({"label": [f"G{i}" for i in range(n)], "bus": range(n), "kind": ["slack"] + ["pv"] * (n - 1)})
    generators = generators.assign(p_mw=10.0, v_pu=1.0, mbase_mva=50.0, **({"fuel": FUELS} if fuel else {}), **columns)
    buses = pd.DataFrame({"bus": range(n), "p_load_mw": 10.0, "q_load_mvar": 2.0, "g_shunt_mw": 0.0, "b_shunt_mvar": 0.0})
    ends = pd.DataFrame({"from_bus": range(n), "to_bus": [*range(1, n), 0]})
    branches = ends.assign(r_pu=0.01, x_pu=0.1, b_pu=0.0, tap=1.0, shift_deg=0.0)
    return co.Case("ring", "ring", 100.0, 50.0, buses, branches, generators)


def test_nothing_is_filled_without_request():
    case = co.load_case("iceland")
    for other in (co.with_typical_values(case, ()), co.with_typical_values(bare(), ())):
        assert "typical" not in other.generators
    pd.testing.assert_frame_equal(co.with_typical_values(case, ()).generators, case.generators)
    assert "H_s" not in co.with_typical_values(bare(), "D_pu").generators
    with pytest.raises(co.CaseError, match="no machine figures"):
        co.linearize(bare())


def test_each_machine_gets_the_figures_of_its_kind_and_a_mark():
    filled = co.with_typical_values(bare())
    g = filled.generators.set_index("label")
    assert g["H_s"].tolist()[:4] == [3.0, 4.25, 4.25, 7.0]
    assert g["xd_prime_pu"].tolist()[:4] == [0.37, 0.23, 0.23, 0.23]
    assert g["T_s"].tolist()[:4] == [34.7, 5.4, 0.5, 5.4]
    assert (g.loc[g["H_s"].notna(), ["R_pu", "D_pu"]] == [0.05, 1.0]).all(axis=None)
    for still in ("G4", "G6"):
        assert g.loc[still, FIGURES].isna().all()
        assert g.loc[still, "typical"] == ""
    for general in ("G5", "G7"):
        assert g.loc[general, "H_s"] == GENERAL.inertia_s
    assert g.loc["G0", "typical"] == "H_s D_pu xd_prime_pu R_pu T_s"
    notes = " | ".join(filled.notes)
    assert "typical H_s (inertia) of 6 generators, 2 of them as thermal of 2 poles units" in notes
    assert "2 generators are no machines by their fuel (solar, wind)" in notes
    assert sum(note.startswith("typical ") for note in filled.notes) == 5
    assert co.linearize(filled).size == 6
    assert co.linearize(filled, convention="classical").size == 6


def test_marks_say_exactly_what_changed():
    case = bare(H_s=[3.5] * 7 + [np.nan], xd_prime_pu=[0.3, np.nan] * 4)
    filled = co.with_typical_values(case, ("H_s", "xd_prime_pu", "D_pu"))
    for column in ("H_s", "xd_prime_pu", "D_pu"):
        before = case.generators[column] if column in case.generators else pd.Series(np.nan, index=range(8))
        after = filled.generators[column]
        changed = before.isna() & after.notna()
        assert (changed == filled.generators["typical"].str.split().map(lambda names, c=column: c in names)).all()
        assert (before[before.notna()] == after[before.notna()]).all()
    assert filled.generators["xd_prime_pu"].notna().tolist() == [True] * 7 + [False]


def test_an_empty_inertia_beside_others_means_no_machine_unless_asked():
    case = bare(H_s=[3.5, np.nan] * 4)
    left = co.with_typical_values(case)
    assert left.generators["H_s"].isna().sum() == 4
    assert any("4 generators without H_s beside others with one stay without a machine" in note for note in left.notes)
    asked = co.with_typical_values(case, empty_inertia=True)
    assert (
        asked.generators["H_s"].isna().sum()
        == 0 + 0 + (case.generators["H_s"].isna() & case.generators["fuel"].isin(["solar"])).sum()
    )
    assert asked.generators["H_s"].tolist()[1::2] == [4.25, 7.0, 4.25, 4.25]


def test_static_generators_are_left_alone_even_when_asked():
    case = bare(fuel=False, static=[False, True] * 4)
    for asked in (False, True):
        g = co.with_typical_values(case, empty_inertia=asked).generators
        assert g.loc[g["static"], FIGURES].isna().all(axis=None)
        assert g.loc[~g["static"], FIGURES].notna().all(axis=None)


def test_damping_and_governors_only_where_the_case_has_none():
    some = np.array([0.04] + [np.nan] * 7)
    governed = co.with_typical_values(bare(R_pu=some))
    assert governed.generators["R_pu"].notna().sum() == 1
    assert governed.generators["T_s"].notna().tolist() == [True] + [False] * 7
    assert governed.generators["typical"].tolist()[0] == "H_s D_pu xd_prime_pu T_s"
    damped = co.with_typical_values(bare(D_pu=some))
    assert damped.generators["D_pu"].notna().sum() == 1
    iceland = co.load_case("iceland")
    assert "R_pu" not in co.with_typical_values(iceland).generators  # it has governor records
    dropped = replace(iceland, generators=iceland.generators.drop(columns=["governor", "record"], errors="ignore"), governors={})
    assert co.with_typical_values(dropped).generators["R_pu"].notna().all()


def test_time_constants_are_first_moments_of_the_typical_governors():
    """(1 + s T)-type factors of Kundur's governors, their first moment by the library's own reduction to one lag."""

    def cascade(num, den):
        a = np.diag(np.ones(len(den) - 2), 1)
        a[-1] = -np.array(den[:0:-1]) / den[0]
        c = np.zeros(len(den) - 1)
        c[: len(num)] = np.array(num[::-1]) / den[0]
        return Realization(a, np.eye(len(a))[-1:].T, c[None], np.zeros((1, 1)))

    lags = {
        "hydraulic": (np.polymul([5.0, 1], [-1.0, 1]), np.polymul(np.polymul([38.0, 1], [0.5, 1]), [0.2, 1])),
        "thermal of 2 poles": ([0.3 * 7, 1], np.polymul(np.polymul([0.3, 1], [7.0, 1]), [0.2, 1])),
        "gas turbine": ([1.0], np.polymul([0.3, 1], [0.2, 1])),
    }
    for kind in KINDS:
        if kind.name in lags:
            _, tau = one_lag(cascade(*lags[kind.name]))
            assert tau == pytest.approx(kind.time_constant_s, rel=1e-9)


def test_figures_stand_within_the_published_ranges():
    ranges = {
        "thermal of 2 poles": (2.5, 6.0),
        "gas turbine": (2.5, 6.0),
        "thermal of 4 poles": (4.0, 10.0),
        "hydraulic": (2.0, 4.0),
    }
    for kind in KINDS:
        low, high = ranges.get(kind.name, (2.5, 6.0))
        assert kind.inertia_s == (low + high) / 2
        low, high = (0.2, 0.5) if kind.name == "hydraulic" else (0.15, 0.4)
        assert low <= kind.reactance_pu <= high
    fuels = [fuel for kind in KINDS for fuel in kind.fuels]
    assert len(fuels) == len(set(fuels))
    assert not set(fuels) & NO_MACHINE


def test_filling_twice_keeps_the_marks_and_changes_nothing():
    once = co.with_typical_values(bare(), ("H_s",))
    twice = co.with_typical_values(once)
    assert twice.generators.loc[0, "typical"] == "H_s D_pu xd_prime_pu R_pu T_s"
    again = co.with_typical_values(twice)
    pd.testing.assert_frame_equal(again.generators, twice.generators)


def test_the_case_handed_in_is_not_changed():
    case = bare()
    before = case.generators.copy()
    co.with_typical_values(case)
    pd.testing.assert_frame_equal(case.generators, before)


def test_a_folder_with_marks_reads_them_back_as_text(tmp_path):
    from coherence.formats.template import write_template

    write_template(tmp_path / "case")
    path = tmp_path / "case" / "generators.csv"
    table = pd.read_csv(path)
    table.assign(typical="H_s", fuel="hydro", id="1").to_csv(path, index=False)
    case = co.read_case(tmp_path / "case")
    assert set(case.generators["typical"]) == {"H_s"}
    assert set(case.generators["fuel"]) == {"hydro"}
    assert set(case.generators["id"]) == {"1"}
    assert not [note for note in case.notes if "not used" in note]


def test_what_cannot_be_filled_is_refused_in_a_sentence():
    with pytest.raises(co.InputError, match="no typical value of 'tau'"):
        co.with_typical_values(bare(), ("tau",))
    with pytest.raises(co.InputError, match="needs its time constant"):
        co.with_typical_values(bare(), ("R_pu",))
    with pytest.raises(co.InputError, match="needs a droop"):
        co.with_typical_values(bare(), ("T_s",))
    with pytest.raises(co.InputError, match="empty_inertia = 1"):
        co.with_typical_values(bare(), empty_inertia=1)
    with pytest.raises(co.InputError, match="the case is a str"):
        co.with_typical_values("iceland")
    with pytest.raises(co.InputError, match="has no grid"):
        co.with_typical_values(co.load_case("five_generators"))
    with pytest.raises(co.CaseError, match="'H_s': not all of it is numbers"):
        co.with_typical_values(bare(H_s=["a"] * 8))


def test_a_unit_that_makes_more_than_the_system_base_by_default_is_rated_by_its_power():
    case = co.load_case("new_england39")
    bare = case.generators.drop(columns=["H_s", "D_pu", "xd_prime_pu"]).assign(mbase_mva=case.base_mva)
    bare.loc[0, "mbase_mva"] = 2 * bare.loc[0, "p_mw"]
    case = replace(case, generators=bare.drop(columns=["governor"], errors="ignore"), governors={})
    filled = co.with_typical_values(case).generators
    rows = (bare["p_mw"] > case.base_mva) & (bare.index != 0)
    assert rows.sum() > 5
    assert np.allclose(filled["mbase_mva"][rows], bare["p_mw"][rows] / 0.85)
    assert (filled["mbase_mva"][~rows] == bare["mbase_mva"][~rows]).all()
    assert filled["typical"][rows].str.contains("mbase_mva").all()
    assert not filled["typical"][~rows].str.contains("mbase_mva").any()
    kept = co.with_typical_values(replace(case, generators=bare.assign(H_s=30.0, D_pu=0.0)))
    assert (kept.generators["mbase_mva"] == bare["mbase_mva"]).all(), "a figure that is given is on the base that is given"
