"""What a stranger meets: commands, pages, pickles, conversions, the README."""

import inspect
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import control
import networkx as nx
import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence import plots
from coherence.display import Page, readable
from tests.draws import random_laplacian, random_nodes

ROOT = Path(__file__).parents[1]

PUBLIC = """
Aggregation Allocation BalancedNodes BalancedSystem Band BlockErrors BlockModel Bound Case CaseError CertifiedError
CertifiedSize ClosedLoop ClusterError CoherenceError ColumnIncoherence Concentration Convention DisconnectedError Disturbance
DyrExport ExponentialApproach Fit FrequencyLimits GroupStability Grouping Guarantee Incoherence InertialAggregation InputError
InstabilityError InterconnectionComparison InterconnectionFit Limit MatpowerFiles MissingExtraError ModeDamper Modes Network
NodeConstants Nodes OperatingPoint Outage Partition Passivity Placement PlacementCheck PoleError Pulse Ramp RandomNodes
Rational RecoveryRates ReducedSystem Reduction Response ResponseDifference Sampled SecondaryControl Sinusoid SlowInputs
SmallGain Stability StableCouplings Step StepError Study Supremum SynchronisingMatrix ToleranceError Truncation UnitsWarning
UnknownNameError Verification __version__ a_priori_guarantee add_local add_machines aggregate allocate balance_nodes
balance_system band_bound block_errors case_of_graph case_of_network case_of_pandapower certified_error certified_size
close_loop coherent_dynamics coherent_groups coi_error column_incoherence compare_interconnections complete_graph concatenate
concentration connectivity_limit control_power damp_mode describe deviation_guarantee disc_bound droop_inverter edge_outages
equivalent_generators erdos_renyi_graph errors_by_groups fit_generators fitted_laplacian frequency_grid from_responses
from_systems generalized_plant governor group_changes group_error hull_bound incoherence inertia_draws inertial_aggregation
integrator island islands kron_reduce lattice_graph line_outage linearize load_case load_network machine_dispatch
machine_nodes modal_error modes network_of_graph node_constants passive_bound passivity placement plant pole_limit power_flow
read_case read_generators read_pandapower recovery_rates reduce relative_errors response_difference ring_graph save_network
secondary_control shipped_cases simulate size_limit slow_inputs small_gain source_bound spectral_groups stability
stable_couplings star_graph steady_state step_error step_size study supremum swing swing_turbine synchronising_matrix truncate
undamped_frequencies unit_outage verify with_typical_values write_case write_dyr write_matpower write_raw
"""


def run(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "coherence", *arguments], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def result():
    return co.study("five_generators", order=3)


@pytest.fixture(scope="module")
def graph_study():
    """A student's network: a random graph with random nodes, no case anywhere."""
    rng = np.random.default_rng(4)
    nodes = random_nodes(rng, 14, passive=True)
    return co.study(co.Network(nodes, 5 * random_laplacian(rng, 14), "1/s"), groups=4, disturb="n3", size=1.0)


def test_the_public_names_are_these():
    assert sorted(co.__all__) == sorted(PUBLIC.split())


def test_names_for_type_checkers_are_the_public_names():
    source = (ROOT / "coherence" / "__init__.py").read_text()
    typed = source[source.index("if TYPE_CHECKING") : source.index("_PUBLIC")]
    assert set(re.findall(r"(\w+) as \1\b", typed)) | {"__version__"} == set(co.__all__)


def test_the_readme_examples_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    for code, said in zip(
        blocks,
        (
            "DyrExport('iceland.dyr': 35 machines, 34 governors)",
            "0.42004",
            "     lambda_2, median",
            "0.0077",
            "[9 4 1 1 1] G11",
            "0.0705",
            "Allocation(frequency shaping: k(s) = 0.1116 s + 0 + h(0) - h(s)",
            "RateBound(exponential, rate 0.8044 by Theorem 2.3.1: imbalance)\nTrue True\n0.754",
        ),
        strict=True,
    ):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(said)


def test_figures_of_the_readme_are_the_studys():
    result = co.study("iceland", groups=3, order=3, disturb="Burfell 1-2")
    text = (ROOT / "README.md").read_text()
    rows = {
        "coherent dynamics ĝ": "coherent dynamics, one node",
        "one node per group, quotient": "aggregated, quotient",
        "one node per group, refined (Algorithm 1)": "aggregated, refined",
        "order 3 each, turbines truncated": "reduced, turbines",
        "order 3 each, closed loop truncated": "reduced, closed_loop",
    }
    for name, model in rows.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        nodes, states, *errors = line.strip("| ").split(" | ")[1:]
        row = result.errors.loc[model]
        assert [int(nodes), int(states)] == [row["nodes"], row["states"]]
        assert [float(x) for x in errors] == pytest.approx(row[["L2", "Linf", "Hinf"]].tolist(), rel=5e-3)


def test_a_study_takes_a_network_of_any_nodes(graph_study):
    assert graph_study.case is None
    assert graph_study.partition.k == 4
    assert graph_study.stability["stable"].all()
    assert graph_study.title == "network of 14 nodes"
    with pytest.raises(co.InputError, match="belong to a case"):
        co.study(graph_study.network, damping=1.0)


def test_auto_takes_the_interconnection_of_smaller_error(graph_study):
    errors = graph_study.errors["L2"]
    best = min(("quotient", "refined"), key=lambda name: errors[f"aggregated, {name}"])
    assert graph_study.aggregation.interconnection == best
    other = co.study(graph_study.network, groups=4, disturb="n3", interconnection="refined")
    assert other.aggregation is other.refined
    with pytest.raises(co.InputError, match="give 'auto', 'refined' or 'quotient'"):
        co.study(graph_study.network, interconnection="best")


def test_ten_transfer_functions_on_a_ring_make_a_study():
    ring = nx.cycle_graph(10)
    systems = {str(i): control.tf([1], [1 + 0.1 * i, 0.5, 0.1]) for i in ring}
    result = co.study(co.Network.from_graph(ring, co.from_systems(systems), 2.0), groups=2, order=2, part="closed_loop")
    assert result.reduced.size == 2


def pages(study):
    yield from (study, study.network, study.network.nodes, study.coherent, study.partition, study.quotient, study.truncation)
    yield from (study.responses["full"], study.disturbance, study.reduced)
    if study.incoherence is not None:
        yield from (study.incoherence, study.incoherence.hull, study.aggregation)
    if study.case is not None:
        yield from (study.case, co.describe(study.case))


@pytest.mark.parametrize("which", ["result", "graph_study"])
def test_every_result_survives_pickling_and_shows_itself(which, request):
    for page in pages(request.getfixturevalue(which)):
        again = pickle.loads(pickle.dumps(page))
        assert repr(again) == repr(page)
        assert len(repr(page)) < 250
        if isinstance(page, Page):
            assert page._repr_html_().startswith("<div>")
            assert again.text() == page.text()
            json.dumps(page.to_dict(), allow_nan=False)


def test_html_escapes_labels():
    partition = co.Partition.of(["<b>"], labels=["<script>"])
    assert "<script>" not in partition._repr_html_()


def test_readable_tables_keep_four_digits_and_words():
    assert readable(pd.DataFrame({"a": [1.23456, np.inf], "b": ["x", 2]})).to_numpy().tolist() == [["1.235", "x"], ["inf", 2]]


def test_networks_convert_to_python_control_and_networkx(graph_study):
    network, w = graph_study.aggregation.network, np.array([0.1, 1.0])
    frd, ss = network.to_frd(w), network.to_statespace()
    assert np.allclose(frd.frdata, ss(1j * w))
    assert frd.input_labels == ss.input_labels
    again = co.Network.from_graph(network.to_networkx(), network.nodes, network.coupling)
    assert np.allclose(again.laplacian, network.laplacian)
    response = graph_study.responses["full"]
    assert np.array_equal(response.to_control().outputs, response.frame.to_numpy().T)
    assert list(response.to_control().output_labels) == list(response.frame.columns)


def test_signal_names_with_dots_are_taken_and_clashes_refused():
    def network(*labels):
        return co.Network(co.swing(inertia=[1, 1], damping=1, labels=labels), [[1.0, -1], [-1, 1]], "1/s")

    assert network("Bus.1", "Bus.2").to_statespace().output_labels == ["y[Bus_1]", "y[Bus_2]"]
    with pytest.raises(co.InputError, match=r"two signals would be named 'u\[a_b\]'"):
        network("a.b", "a_b").to_statespace()


@pytest.mark.parametrize("which", ["result", "graph_study"])
def test_every_picture_of_a_study_has_a_title_and_labelled_axes(which, request):
    figures = plots.of_study(request.getfixturevalue(which))
    assert {"responses", "hankel"} <= set(figures)
    for name, figure in figures.items():
        figure.draw_without_rendering()
        shown = [ax for ax in figure.axes if ax.get_visible()]
        assert shown[0].get_title(loc="left"), name
        for ax in shown:
            if ax.get_xticks().size and name in ("responses", "hankel", "incoherence", "embedding"):
                assert ax.get_xlabel() or name == "responses"
    if which == "graph_study":
        assert set(figures) == {"responses", "hankel", "incoherence", "laplacian", "embedding", "reduced_network", "network"}


def test_pictures_refuse_what_they_cannot_show(result, graph_study):
    with pytest.raises(co.InputError, match="one node has no edges"):
        plots.network(result.network)
    with pytest.raises(co.InputError, match="at least three nodes"):
        plots.embedding(result.network, result.partition)
    with pytest.raises(co.InputError, match="no grid"):
        plots.grid(result.case, result.partition)
    with pytest.raises(co.InputError, match="other nodes"):
        plots.laplacian(graph_study.network, result.partition)
    with pytest.raises(co.InputError, match="other nodes"):
        plots.grid(co.load_case("iceland"), result.partition)
    with pytest.raises(co.InputError, match="no Hankel values"):
        plots.hankel(co.truncate(result.reduced, 3))


def drawn(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line.get_ydata()


def test_a_response_is_drawn_node_by_node_with_its_center_and_the_coherent_one(graph_study):
    found, coherent = graph_study.responses["full"], co.simulate(graph_study.coherent, graph_study.disturbance.at_one("coherent"))
    figure = plots.response(found, coherent, highlight=["n3"], title="$1 of power")
    figure.draw_without_rendering()
    (ax,) = figure.axes
    assert np.array_equal(drawn(ax, "n3"), found.frame["n3"])
    assert np.array_equal(drawn(ax, "center of inertia"), found.coi)
    assert np.array_equal(drawn(ax, r"coherent dynamics $\hat g$"), coherent.frame["coherent"])
    curves = [line.get_ydata() for line in ax.get_lines() if len(line.get_ydata())]
    assert sum(any(np.array_equal(curve, found.frame[label]) for curve in curves) for label in found.frame) == 14
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == (
        r"\$1 of power",
        "time [s]",
        "response [grids: rad/s]",
    )


def test_responses_in_a_grid_have_their_titles_and_one_scale_in_a_column(graph_study):
    network, time = graph_study.network, np.linspace(0, 5, 51)
    strong = co.Network(network.nodes, 10 * network.laplacian, network.coupling)
    step, slow = co.Step({"n3": 1.0}), co.Sinusoid({"n3": 1.0}, omega=0.1)
    massless = co.from_systems({label: control.tf([1, 1], [1, 2]) for label in "ab"})
    panels = {
        name: {
            "step": (co.simulate(n, step, time), co.simulate(graph_study.coherent, step.at_one("coherent"), time)),
            "slow": co.simulate(n, slow, long * time),
        }
        for name, n, long in (("weak", network, 2), ("strong", strong, 1))
    }
    figure = plots.response_grid(panels, title="both")
    figure.draw_without_rendering()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["step", "slow", "", ""]
    assert [ax.get_ylabel().split("\n")[0] for ax in figure.axes] == ["weak", "", "strong", ""]
    assert [ax.get_xlim()[1] for ax in figure.axes] == [5, 10, 5, 10]
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim() != figure.axes[3].get_ylim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "single nodes",
        "center of inertia",
        r"coherent dynamics $\hat g$",
    ]
    pair = co.simulate(co.Network(massless, [[1.0, -1], [-1, 1]], "1/s"), co.Step({"a": 1.0}))
    without = plots.response(pair, highlight=["a", "b"])
    assert [text.get_text() for text in without.legends[0].get_texts()] == ["a", "b"]


def test_pictures_of_responses_refuse_what_they_cannot_show(graph_study):
    found = graph_study.responses["full"]
    with pytest.raises(co.UnknownNameError, match="there is no node 'n33'; did you mean"):
        plots.response(found, highlight=["n33"])
    with pytest.raises(co.InputError, match="give a list of labels"):
        plots.response(found, highlight="n3")
    with pytest.raises(co.InputError, match="the coherent response has 14 outputs"):
        plots.response(found, found)
    with pytest.raises(co.InputError, match="no responses to draw"):
        plots.response_grid({})
    with pytest.raises(co.InputError, match="row 'b' has columns"):
        plots.response_grid({"a": {"x": found}, "b": {"y": found}})


def test_a_template_case_describes_and_studies_as_it_stands(tmp_path):
    assert run("new", "mine", cwd=tmp_path).returncode == 0
    described = run("info", "mine", cwd=tmp_path)
    assert "stable; the pole" in described.stdout
    done = run("study", "mine", "--groups", "2", "--json", "--out", "out", cwd=tmp_path)
    tables = json.loads(done.stdout)["tables"]
    assert [(row["group"], row["nodes"], row["reference"], row["members"]) for row in tables["groups"]] == [
        ("1", 2, "West 2", "West 1, West 2"),
        ("2", 1, "East", "East"),
    ]
    assert tables["errors"][0]["L2"] == "inf"
    assert (tmp_path / "out" / "grid.png").is_file()
    again = run("new", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr


def test_info_and_cases_say_what_there_is(tmp_path):
    listed = json.loads(run("cases", "--json", cwd=tmp_path).stdout)
    assert [row["case"] for row in listed["tables"]["shipped cases"]] == co.shipped_cases()
    data = json.loads(run("info", "iceland", "--json", cwd=tmp_path).stdout)
    assert data["facts"]["lambda_2"].startswith("0.420047")
    assert "23 HYGOV" in data["facts"]["machines"]
    assert len(data["tables"]["generators"]) == 35


def test_describe_says_what_it_cannot_do():
    case = co.load_case("iceland")
    bare = co.Case("bare", "bare", 100.0, None, case.buses, case.branches, case.generators.drop(columns=["H_s", "governor"]))
    facts = co.describe(bare).facts
    assert "no inertia" in facts["machines"]
    assert "frequency" in facts["network"]
    network = co.Network(co.swing(inertia=[1, 1], damping=1), [[1.0, -1], [-1, 1]], ([-1.0], [1.0, 1.0]))
    assert "not positive real" in co.describe(network).facts["coupling"]


def test_a_study_of_a_saved_network_runs_from_the_command_line(tmp_path, graph_study):
    co.save_network(graph_study.network, tmp_path / "net.json")
    done = run("study", "net.json", "--groups", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "14 nodes" in done.stdout


def test_an_existing_folder_is_renewed_only_if_a_study_wrote_it(tmp_path):
    arguments = ("study", "five_generators", "--order", "2", "--out", "out")
    assert run(*arguments, cwd=tmp_path).returncode == 0
    (tmp_path / "out" / "mine.txt").write_text("keep")
    assert run("study", "five_generators", "--order", "6", "--out", "out", cwd=tmp_path).returncode == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "mine.txt" in names
    assert "hankel.png" not in names  # order 6 truncates nothing, and the old picture would lie
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    done = run(*arguments[:-1], "other", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds other things" in done.stderr
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_known_before_the_work(tmp_path, out):
    (tmp_path / "file").write_text("x")
    done = run("study", "five_generators", "--out", out, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "coherence", "study", "iceland", "--out", "out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job inherits it ignored
    )
    for _ in range(600):
        if any(tmp_path.iterdir()):
            break
        time.sleep(0.05)
    assert [p.name[:7] for p in tmp_path.iterdir()] == [".study-"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "error: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [n for n in co.__all__ if n != "__version__"])
def test_every_public_docstring_says_parameters_results_and_shows_an_example(name):
    thing = getattr(co, name)
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    text = thing.__doc__
    assert "Examples\n" in text
    if not isinstance(thing, type):
        assert "Returns\n" in text
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^\s+(\w+, )*{parameter}(, \w+)* :", text, flags=re.M), f"{name}: {parameter} is not described"


def test_a_failed_renewal_leaves_the_earlier_study_whole(tmp_path):
    arguments = ("study", "five_generators", "--order", "2", "--out", "out")
    assert run(*arguments, cwd=tmp_path).returncode == 0
    (tmp_path / "out" / "responses.csv").unlink()
    (tmp_path / "out" / "responses.csv").mkdir()
    listed = (tmp_path / "out" / "contents.txt").read_text().replace("responses.csv\n", "")
    (tmp_path / "out" / "contents.txt").write_text(listed + "../mine.txt\n")
    (tmp_path / "mine.txt").write_text("keep")
    before = sorted(p.name for p in (tmp_path / "out").iterdir())
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a study's and stands where it would write" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == before
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", "out"]


def test_a_network_of_first_order_nodes_has_a_study():
    rng = np.random.default_rng(0)
    result = co.study(co.Network(co.swing(inertia=rng.uniform(1, 2, 6), damping=1), random_laplacian(rng, 6), "1/s"), groups=2)
    assert result.reduced.nodes.order == 2


def test_values_cannot_be_changed_behind_what_was_computed_from_them():
    given = np.array([[1.0, -1], [-1, 1]])
    network = co.Network(co.swing(inertia=[1, 1], damping=1), given, "1/s")
    given *= 5
    assert network.laplacian[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        network.laplacian[:] *= 5
    with pytest.raises(ValueError, match="read-only"):
        network.nodes.polynomial[:] *= 5


def test_the_grid_of_frequencies_holds_the_modes_of_the_network(graph_study):
    modes = np.abs(graph_study.network.poles().imag)
    inside = modes[(modes > 1e-3) & (modes < 100)]
    assert inside.size
    assert np.isin(inside, graph_study.incoherence.omega).all()


def test_a_loose_interval_of_the_peak_is_noted():
    network = co.Network(co.swing(inertia=[1, 2, 3], damping=[1e-7, 2e-7, 1e-7]), 10 * (3 * np.eye(3) - 1), "1/s")
    notes = co.study(network, groups=2, interconnection="quotient").notes
    assert any("at least" in note and "at most" in note for note in notes)


def test_any_of_the_generators_at_a_bus_names_their_node():
    case = co.load_case("iceland")
    merged = replace(
        case,
        generators=case.generators.assign(
            bus=case.generators["bus"].replace({case.generators["bus"][1]: case.generators["bus"][0]})
        ),
    )
    result = co.study(merged, groups=2, disturb="Burfell 3-4", order=2)
    assert list(result.disturbance.sizes) == ["Burfell 1-2 + Burfell 3-4"]


def test_two_groups_are_drawn_apart(graph_study):
    figure = plots.network(graph_study.network.project(co.Partition.of([0] * 7 + [1] * 7, labels=graph_study.network.labels)))
    figure.draw_without_rendering()
    (ax,) = figure.axes
    assert np.ptp(ax.get_xlim()) > 1
    assert ax.get_window_extent().width > 300


def test_labels_with_dollars_are_drawn_as_they_are():
    network = co.Network(co.swing(inertia=[1, 1, 1], damping=1, labels=["$\\frac$", "a$b", "c"]), 3 * np.eye(3) - 1, "1/s")
    figures = plots.of_study(co.study(network, groups=2, interconnection="quotient"))
    for figure in figures.values():
        figure.draw_without_rendering()
    assert {r"a\$b", "c"} <= {text.get_text() for text in figures["network"].axes[0].texts}


def test_marginal_and_unstable_networks_are_called_so():
    def network(damping):
        return co.Network(co.swing(inertia=[1.0, 2.0], damping=damping), [[1.0, -1], [-1, 1]], "1/s")

    assert co.describe(network(0.0)).facts["stability"].startswith("marginal (undamped)")
    assert co.describe(network(-0.1)).facts["stability"].startswith("not stable")
    assert "undamped (marginal)" in co.study(network(0.0), groups=2).notes[0]
    assert "unstable: pole 0.0667" in co.study(network(-0.1), groups=2).notes[0]


def test_a_study_takes_the_users_own_groups(graph_study):
    mine = co.Partition.of(["a"] * 5 + ["b"] * 9, labels=graph_study.network.labels)
    assert co.study(graph_study.network, groups=mine).partition is mine
