"""The path as one call, and the command line over it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import coherence as co


@pytest.fixture(scope="module")
def result():
    return co.study("iceland", groups=3, order=3, disturb="Burfell 1-2")


def test_study_of_iceland_reduces_183_states_to_11(result):
    assert (result.network.order, result.reduced.order, result.reduced.size) == (183, 11, 3)
    assert result.partition.sizes.tolist() == [25, 3, 7]
    assert result.partition.members("2") == ("Reykjanes 1", "Reykjanes 2", "Svartsengi")
    assert "Blanda 1" in result.partition.members("3")


def test_every_error_of_the_study_is_finite_and_smaller_than_the_response(result):
    errors = result.errors
    models = errors.drop(index="full (the response itself)")
    assert np.isfinite(models[["L2", "Linf", "Hinf"]].to_numpy()).all()
    assert (models["Linf"] < errors.loc["full (the response itself)", "Linf"]).all()
    assert errors.loc["CoI against coherent dynamics", "Linf"] < 1e-3
    assert set(errors.index) >= {"aggregated, quotient", "aggregated, refined", "reduced, turbines", "reduced, closed_loop"}


def test_every_model_is_stable_at_the_declared_damping_and_the_network_is_not_at_zero(result):
    stable = result.stability["stable"]
    assert stable.drop("full, declared damping 0").all()
    assert not stable["full, declared damping 0"]


def test_bounds_of_the_study_hold(result):
    curve = result.incoherence
    assert (curve.exact <= curve.hull.value * (1 + 1e-9)).all()
    assert (curve.hull.value <= curve.source.value * (1 + 1e-4)).all()
    assert curve.hull.holds.sum() > curve.source.holds.sum() > 0
    assert list(curve.frame.columns) == ["exact", "hull bound", "passive bound", "disc bound", "Lemma 3.1", "|f| lambda"]


def test_reduced_generators_can_be_read(result):
    generators = result.generators
    assert generators["generator"].all()
    assert generators["inertia"].sum() == pytest.approx(result.network.nodes.inertia.sum(), rel=5e-3)
    assert (generators["turbines"].str.count("s \\+ 1") == 2).all()


def test_an_unstable_group_is_noted_and_turbines_still_reduce():
    many = co.study("iceland", groups=4, order=3)
    assert "closed_loop" not in many.truncations
    assert "is not stable" in many.notes[0]
    assert many.stability.loc["reduced, turbines", "stable"]
    with pytest.raises(co.InstabilityError, match="use part='turbines'"):
        co.study("iceland", groups=4, order=3, part="closed_loop")


def test_a_study_finds_its_groups_by_the_method_that_is_named(result):
    named = co.study("iceland", groups=3, order=2, method="slow_coherency")
    want = co.coherent_groups(named.network, 3, method="slow_coherency")
    assert named.partition.assignment.tolist() == want.assignment.tolist()
    assert named.partition.assignment.tolist() != result.partition.assignment.tolist()
    assert "slow_coherency" in repr(named.partition)
    own = co.Partition.of(["a"] * 20 + ["b"] * 15, labels=named.network.labels)
    assert co.study("iceland", groups=own, order=2, method="slow_coherency").partition is own


def run(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "coherence", *arguments], capture_output=True, text=True, check=False, cwd=cwd)


def test_command_line_writes_summary_tables_models_and_pictures(tmp_path):
    done = run("study", "iceland", "--groups", "3", "--disturb", "Burfell 1-2", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.420047" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = ["embedding", "grid", "hankel", "incoherence", "laplacian", "reduced_network", "responses"]
    tables = ["errors", "generators", "groups", "responses", "stability"]
    models = ["reduced_turbines", "reduced_closed_loop"]
    assert names == {f"{x}.png" for x in pictures} | {f"{x}.csv" for x in tables} | {f"{x}.json" for x in models} | {
        "summary.txt",
        "contents.txt",
        "grids",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    for picture in (tmp_path / "out").glob("*.png"):
        assert picture.read_bytes()[:4] == b"\x89PNG"
    reduced = co.load_network(tmp_path / "out" / "reduced_turbines.json")
    assert reduced.order == 11
    grids = tmp_path / "out" / "grids"
    endings = ["", ".m", "_machines.csv", ".raw", ".dyr"]
    assert {path.name for path in grids.iterdir()} == {f"{model}{ending}" for model in models for ending in endings}
    again = co.linearize(co.read_case(grids / "reduced_turbines"))
    assert np.isclose(again.algebraic_connectivity, reduced.algebraic_connectivity)
    assert pd.read_csv(tmp_path / "out" / "groups.csv")["group"].nunique() == 3


def test_command_line_takes_the_method_of_grouping(tmp_path):
    done = run(
        "study",
        "nets_nyps68",
        "--groups",
        "5",
        "--method",
        "slow_coherency",
        "--convention",
        "classical",
        "--out",
        "o",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "o" / "groups.csv", index_col="node")["group"]
    assert found.tolist() == [1] * 9 + [2] * 4 + [3, 4, 5]


def test_command_line_studies_a_case_without_a_grid(tmp_path):
    done = run("study", "five_generators", "--order", "3", "--part", "closed_loop", "--size", "1", "--out", "five", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 states" in done.stdout
    errors = pd.read_csv(tmp_path / "five" / "errors.csv", index_col=0)
    assert errors.loc["reduced, closed_loop", ["L2", "Linf", "Hinf"]].tolist() == pytest.approx([0.0704, 0.0249, 0.0317], rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "island"], "did you mean 'iceland'"),
        (["study", "./nowhere"], "nowhere does not exist; give a case folder"),
        (["study", "iceland", "--disturb", "Blnda 1"], "did you mean 'Blanda 1'"),
        (["study", "iceland", "--groups", "40"], "40 groups were asked of 35 nodes"),
        (["study", "iceland", "--method", "slow"], "did you mean 'slow_coherency'"),
        (["study", "iceland", "--groups", "few"], "is not a number of groups"),
        (["study", "iceland", "--order", "0"], "out of range"),
        (["study", "iceland", "--part", "half"], "give 'closed_loop' or 'turbines'"),
        (["study", "iceland", "--governors", "all"], "give 'rational', 'one_lag' or 'none'"),
        (["study", "five_generators", "--groups", "2"], "one coherent group; 2 groups were asked"),
        (["study", "iceland", "--size", "nan"], "has size nan"),
    ],
)
def test_command_line_errors_are_one_sentence_without_traceback(tmp_path, arguments, message):
    done = run(*arguments, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_expected_figures_of_the_cases_are_the_studys(result):
    folder = Path(__file__).parents[1] / "cases" / "iceland" / "expected.json"
    want = json.loads(folder.read_text())
    assert result.network.order == want["states"]
    assert result.network.algebraic_connectivity == pytest.approx(want["lambda_2"], abs=1e-6)
