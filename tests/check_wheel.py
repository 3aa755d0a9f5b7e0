"""Run by the Python of an empty environment that holds the built wheel only: the base install works, and says what it lacks."""

import importlib.util
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from scipy import stats

import coherence as co


def main() -> None:
    assert "site-packages" in str(Path(co.__file__)), "the package must come from the wheel, not from the checkout"
    for extra in ("slycot", "pandapower", "distributed", "pytest"):
        assert importlib.util.find_spec(extra) is None, f"{extra} is installed; this environment must be empty"
    assert {"iceland", "five_generators"} <= set(co.shipped_cases())
    assert any(str(f).endswith("coherence/py.typed") for f in distribution("coherence").files or [])

    nodes = co.RandomNodes(co.swing, inertia=stats.uniform(1, 2), damping=0.1)
    sentence = ""
    try:
        co.concentration(nodes, co.complete_graph, [4], [1.0], draws=2, cluster="tcp://127.0.0.1:8786")
    except co.MissingExtraError as error:
        sentence = str(error)
    assert "pip install 'coherence[distributed]'" in sentence
    co.concentration(nodes, co.complete_graph, [4], [1.0], draws=2, n_jobs=1)
    files = co.write_matpower(co.load_case("new_england39"), "grid.m")
    assert len(co.read_case(files.path, machines=files.machines, f_hz=60).labels) == 10
    sentence = ""
    try:
        co.power_flow(co.load_case("iceland"), method="ac")
    except co.MissingExtraError as error:
        sentence = str(error)
    assert "pip install 'coherence[grids]'" in sentence, "nothing says which extra is missing"
    assert "\n" not in sentence
    command = [Path(sys.executable).with_name("coherence"), "study", "iceland", "--groups", "3", "--out", "study"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "0.420047" in done.stdout
    assert Path("study", "grid.png").is_file()
    print(f"coherence {co.__version__} works from its wheel without its extras")


if __name__ == "__main__":
    main()
