"""One verb for every file: what it is shows in its ending and its content, and what it is not is said in one sentence."""

import networkx as nx
import numpy as np
import pandapower.networks
import pandas as pd
import pytest

import coherence as co
from coherence.formats.read import file_kind
from tests.test_grids import MATPOWER


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same four-machine grid in every format."""
    folder = tmp_path_factory.mktemp("files")
    case = co.load_case("new_england39")
    co.write_case(case, folder / "case")
    co.write_matpower(case, folder / "grid.m")
    co.write_raw(case, folder / "grid.raw")
    co.write_dyr(case, folder / "grid.dyr")
    co.save_network(co.linearize(case), folder / "network.json")
    pandapower.to_json(pandapower.networks.case39(), str(folder / "grid.json"))
    return folder


def test_every_format_gives_the_same_grid(files):
    table = files / "grid_machines.csv"
    read = [
        co.read_case(files / "case"),
        co.read_case(files / "grid.raw", machines=files / "grid.dyr"),
        co.read_case(files / "grid.m", machines=table, f_hz=60),
    ]
    values = [co.linearize(case).algebraic_connectivity for case in read]
    assert np.allclose(values, values[0], rtol=1e-9)
    assert [len(case.machines) for case in read] == [10, 10, 10]


@pytest.mark.parametrize(
    ("source", "kind"), [("grid.m", "matpower"), ("grid.raw", "raw"), ("grid.json", "pandapower"), ("network.json", "network")]
)
def test_content_tells_what_an_unknown_ending_does_not(files, source, kind, tmp_path):
    for name in ("plain", "grid.txt"):
        copy = tmp_path / name
        copy.write_bytes((files / source).read_bytes())
        assert file_kind(copy) == kind
    assert file_kind(files / source) == kind
    assert file_kind(files / "case") == "folder"


def test_a_file_without_ending_is_read(files, tmp_path):
    (tmp_path / "grid").write_bytes((files / "grid.raw").read_bytes())
    assert len(co.read_case(tmp_path / "grid", machines=[files / "grid.dyr"]).buses) == 39


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.dyr", "1 'GENCLS' 1 3 0 /", "holds dynamics only"),
        ("x.csv", "bus,H_s\n1,2\n", "is a table"),
        ("x.p", "\x80\x04", "runs code"),
        ("x.xlsx", "PK", "spreadsheet"),
        ("x.sav", "", "RAW file"),
        ("x.toml", "", "give the folder"),
        ("x.txt", "hello", "is no case"),
        ("empty", "", "is no case"),
    ],
)
def test_what_is_no_grid_is_told_what_to_give(name, content, sentence, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(co.CaseError, match=sentence) as caught:
        co.read_case(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_saved_network_is_not_taken_for_a_case(files):
    with pytest.raises(co.CaseError, match="load_network"):
        co.read_case(files / "network.json")


def test_missing_files_and_odd_objects_are_named(tmp_path):
    with pytest.raises(co.CaseError, match=r"nothing\.m does not exist"):
        co.read_case(tmp_path / "nothing.m")
    with pytest.raises(co.InputError, match="the grid is a DataFrame"):
        co.read_case(pd.DataFrame())
    with pytest.raises(co.InputError, match="f_hz"):
        co.read_case(tmp_path, f_hz=-1)
    with pytest.raises(co.InputError, match="does not state its frequency"):
        co.read_case(nx.path_graph(2))
    (tmp_path / "grid.m").write_text(MATPOWER)
    with pytest.raises(co.InputError, match="base_mva"):
        co.read_case(tmp_path / "grid.m", f_hz=60, base_mva=10)


def test_machines_come_from_several_tables_in_their_order(files):
    first = pd.DataFrame({"label": ["*"], "H_s": [4.0]})
    case = co.read_case(files / "grid.raw", machines=[files / "grid.dyr", first])
    assert (case.generators["H_s"] == 4.0).all()
    case = co.read_case(files / "grid.raw", machines=[first, files / "grid.dyr"])
    assert case.generators["H_s"].nunique() > 5


def test_nothing_is_filled_unasked(files):
    bare = co.read_case(files / "grid.m", f_hz=60)
    assert "H_s" not in bare.generators
    assert "typical" not in bare.generators
    filled = co.read_case(files / "grid.m", f_hz=60, typical=True)
    assert (filled.generators["typical"] != "").all()
    assert filled.generators["H_s"].notna().all()


def test_objects_of_other_libraries_are_cases(files):
    net = pandapower.networks.case39()
    case = co.read_case(net, f_hz=60)
    assert len(case.buses) == 39
    from_file = co.read_case(files / "grid.json", f_hz=60)
    pd.testing.assert_frame_equal(case.branches, from_file.branches)
    graph = nx.Graph()
    graph.add_node("a", p_mw=10, H_s=3, mbase_mva=20, v_pu=1.0)
    graph.add_node("b", p_load_mw=10)
    graph.add_edge("a", "b", x_pu=0.1)
    assert len(co.read_case(graph, f_hz=50, base_mva=10.0).buses) == 2
