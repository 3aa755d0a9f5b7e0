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


@pytest.mark.parametrize(
    "text",
    [
        "bus,H_s,R_pu,T_s\n*,4.5,0.05,8\n39,11,,\n",
        "\ufeffbus;H_s;R_pu;T_s\n*;4,5;0,05;8\n39;11;;\n",
        "Bus\tH_S\tR_pu\tT_s\n*\t4.5\t.05\t8\n39\t11\t\t\n",
        "# machines of my grid\n\nBUS, h_s, r_pu, t_s\n*, 4.5, 0.05, 8\n\n39, 11\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_tables_come_as_spreadsheets_write_them(files, tmp_path, text, encoding):
    table = tmp_path / "machines.csv"
    table.write_bytes(text.encode(encoding) if encoding != "latin-1" else text.replace("\ufeff", "").encode(encoding))
    case = co.read_case(files / "grid.m", machines=table, f_hz=60).generators.set_index("bus")
    assert case.loc[39, ["H_s"]].tolist() == [11.0]
    assert np.isnan(case.loc[39, "R_pu"])
    assert case.loc[30, ["H_s", "R_pu", "T_s"]].tolist() == [4.5, 0.05, 8.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("bus;H_s\n*;4\n39;x\n", "line 3, column 'H_s': 'x' is not a finite number"),
        ("bus,H_s\n\n*,4\n39,1,2\n", "line 4: 3 cells under 2 columns"),
        ('bus,H_s\n*,"4\n', "unexpected end of data|quoted cell"),
        ("bus,H_s,R_pu,T_s\n*,4,0,8\n", r"line 2: R_pu = 0; it must be > 0"),
        ("bus,H_s,mbase_mva\n*,4,0\n", r"line 2: mbase_mva = 0; it must be > 0"),
    ],
)
def test_a_wrong_table_is_one_sentence_with_its_line(files, tmp_path, text, sentence):
    table = tmp_path / "machines.csv"
    table.write_text(text)
    with pytest.raises(co.CaseError, match=sentence):
        co.read_case(files / "grid.m", machines=table, f_hz=60)


def test_a_grid_is_not_taken_for_a_table_of_machines(files):
    for name in ("grid.raw", "grid.m", "case"):
        with pytest.raises(co.CaseError, match="no table of machines"):
            co.read_case(files / "grid.m", machines=files / name, f_hz=60)


def test_a_convention_that_does_not_exist_is_an_error_not_a_fact(files):
    with pytest.raises(co.UnknownNameError, match="foo"):
        co.describe(files / "case", convention="foo")


def test_what_reaches_no_source_is_said_and_a_bus_alone_is_no_traceback():
    net = pandapower.create_empty_network(f_hz=50, sn_mva=100)
    for _ in range(4):
        pandapower.create_bus(net, 110.0)
    pandapower.create_ext_grid(net, 0)
    pandapower.create_gen(net, 2, 50.0)
    for bus in (1, 3):
        pandapower.create_load(net, bus, 20.0)
    for f in range(3):
        pandapower.create_line_from_parameters(net, f, f + 1, 10.0, 0.1, 0.4, 9.0, 1.0)
    net.line.loc[0, "in_service"] = False
    case = co.read_case(net)
    assert any("3 buses reach no external grid" in note and "1 generators and 2 loads" in note for note in case.notes)
    assert co.power_flow(case).solves
