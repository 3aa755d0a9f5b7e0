"""pandapower networks and their JSON files: every built-in case, devices, damaged and hostile files."""

import copy
import json
import os
import random
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.grids.pandapower import quiet

pandapower = pytest.importorskip("pandapower")
SEED = 20260101


def network(name="case9", change=None, solve=False):
    import pandapower.networks as networks

    with quiet():
        net = getattr(networks, name)()
        if change is not None:
            change(net)
        if solve:
            pandapower.runpp(net, numba=False, init="dc" if len(net.tcsc) else "auto")
    return net


def saved(net, folder, name="net.json"):
    path = folder / name
    with quiet():
        pandapower.to_json(net, str(path))
    return path


def same(a, b):
    for left, right in zip(a.grid, b.grid, strict=True):
        pd.testing.assert_frame_equal(left, right, rtol=1e-12, check_dtype=False)
    assert (a.f_hz, a.base_mva, a.notes) == (b.f_hz, b.base_mva, b.notes)


def dc_line(net, p_mw=30.0):
    pandapower.create_dcline(net, 5, 8, p_mw=p_mw, loss_percent=2, loss_mw=0.5, vm_from_pu=1.01, vm_to_pu=1.0)


def controller(net):
    from pandapower.control import ConstControl

    ConstControl(net, "load", "p_mw", 0)


def rich(net):
    """Something of everything that the reader keeps."""
    dc_line(net)
    bus = pandapower.create_bus(net, 110.0, name="wye")
    low = pandapower.create_bus(net, 20.0)
    pandapower.create_transformer3w_from_parameters(
        net, 4, bus, low, 345, 110, 20, 100, 60, 40, 10.0, 11.0, 12.0, 0.3, 0.3, 0.3, 10, 0.1, tap_side="hv", tap_pos=1,
        tap_neutral=0, tap_step_percent=1.5, tap_min=-2, tap_max=2, tap_changer_type="Ratio",
    )  # fmt: skip
    pandapower.create_load(net, low, 5.0, 1.0)
    pandapower.create_sgen(net, bus, 3.0, 0.5, type="wind")
    pandapower.create_xward(net, bus, 1, 2, 1, 0.1, 0.5, 5.0, 1.0)
    pandapower.create_ward(net, low, 0.1, 0.2, 0.1, 0.1)
    pandapower.create_storage(net, low, 0.5, max_e_mwh=1.0)
    pandapower.create_shunt(net, bus, 2.0)
    pandapower.create_switch(net, net.line.from_bus[3], 3, et="l", closed=True)
    pandapower.create_impedance(net, 3, 8, 0.01, 0.2, 100.0)


@pytest.mark.parametrize("name", ["case4gs", "case9", "case14", "case39", "case118", "iceland", "example_multivoltage"])
def test_a_saved_network_is_the_network(name, tmp_path):
    net = network(name)
    same(co.read_pandapower(saved(net, tmp_path)), co.case_of_pandapower(net))


@pytest.mark.parametrize("solve", [False, True])
def test_a_saved_network_of_many_devices_is_the_network(solve, tmp_path):
    net = network("case9", rich, solve)
    case = co.read_pandapower(saved(net, tmp_path))
    same(case, co.case_of_pandapower(net))
    assert ("vm_pu" in case.buses) == solve
    point = co.power_flow(case, method="stored" if solve else "ac")
    assert point.solves
    with quiet():
        pandapower.runpp(net, numba=False, tolerance_mva=1e-9)
    assert point.slack_mw == pytest.approx(net.res_ext_grid.p_mw[0], abs=1e-6)


def test_shipped_files_of_earlier_formats_read_as_pandapower_reads_them(tmp_path):
    import pandapower.networks as networks

    folder = os.path.join(os.path.dirname(networks.__file__), "power_system_test_case_jsons")
    for name in ("case9", "case_illinois200", "case5_demo_gridcal"):
        path = os.path.join(folder, f"{name}.json")
        with quiet():
            same(co.read_pandapower(path), co.case_of_pandapower(pandapower.from_json(path)))


def version_one(net):
    """The network as version 1.6 laid it out: dictionaries of columns, kW and kvar, generation negative."""
    tables = {}
    for name in (
        "bus",
        "load",
        "gen",
        "ext_grid",
        "line",
        "sgen",
        "shunt",
        "trafo",
        "trafo3w",
        "impedance",
        "switch",
        "ward",
        "xward",
    ):
        frame = net[name].drop(columns=[c for c in net[name] if c.startswith(("geo", "slack", "min_", "max_p", "max_q"))])
        frame = frame.rename(columns=lambda c: c.replace("_mw", "_kw").replace("_mvar", "_kvar").replace("sn_mva", "sn_kva"))
        for column in frame:
            if column.endswith(("_kw", "_kvar", "sn_kva")) and column != "pfe_kw":
                frame[column] = frame[column] * (-1e3 if name in ("gen", "sgen") and "sn_" not in column else 1e3)
        frame = frame.rename(columns=lambda c: c.replace("tap_step_", "tp_st_").replace("tap_neutral", "tp_mid"))
        tables[name] = {c: {str(i): None if pd.isna(v) else v for i, v in frame[c].items()} for c in frame}
    text = json.dumps(tables | {"name": net.name, "f_hz": 60.0, "sn_kva": 1e5, "version": "1.6.0"}, default=lambda v: v.item())
    return text


@pytest.mark.parametrize("name", ["case9", "case39", "case118"])
def test_files_of_version_one_read_in_kilowatts_and_as_consumers(name, tmp_path):
    net = network(name)
    path = tmp_path / "old.json"
    path.write_text(version_one(net))
    a, b = co.read_pandapower(path), co.case_of_pandapower(net)
    for left, right, columns in zip(
        a.grid,
        b.grid,
        (["bus", "p_load_mw", "q_load_mvar", "b_shunt_mvar"], ["from_bus", "x_pu", "b_pu", "tap"], ["label", "p_mw", "v_pu"]),
        strict=True,
    ):
        pd.testing.assert_frame_equal(left[columns], right[columns], rtol=1e-9, check_dtype=False)


def test_a_dc_line_is_two_static_sources_with_its_losses():
    for p in (30.0, -30.0):
        net = network("case9", lambda net, p=p: dc_line(net, p))
        case = co.case_of_pandapower(net)
        ends = case.generators[case.generators["static"]]
        arriving = 30 * 0.98 - 0.5
        assert ends["p_mw"].tolist() == pytest.approx([-30.0, arriving] if p > 0 else [arriving, -30.0])
        assert ends["bus"].tolist() == [5, 8]
        assert any("1 dc lines" in note for note in case.notes)
        point = co.power_flow(case)
        with quiet():
            pandapower.runpp(net, numba=False)
        assert point.slack_mw == pytest.approx(net.res_ext_grid.p_mw[0], abs=1e-6)
        stored = co.power_flow(co.case_of_pandapower(net), method="stored")
        assert stored.slack_mw == pytest.approx(point.slack_mw, abs=1e-6)
        machines = co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [4.0], "mbase_mva": [200.0]}))
        assert co.linearize(machines).size == 3


DEVICES = {
    "svc": lambda net: pandapower.create_svc(net, 5, 100, -400, 1.0, 120),
    "ssc": lambda net: pandapower.create_ssc(net, 5, 2.0, 5.0, 1.0),
    "tcsc": lambda net: (
        pandapower.create_line_from_parameters(net, 4, pandapower.create_bus(net, 345.0), 1.0, 1, 10, 0, 1),
        pandapower.create_load(net, 9, 20, 5),
        pandapower.create_tcsc(net, 9, 5, 50, -200, -10, 140),
    ),
    "vsc": lambda net: (
        pandapower.create_bus_dc(net, 345.0),
        pandapower.create_bus_dc(net, 345.0),
        pandapower.create_line_dc_from_parameters(net, 0, 1, 10, 0.1, 1.0),
        pandapower.create_vsc(net, 4, 0, 0.1, 5, 0.15, control_mode_ac="vm_pu", control_value_ac=1.0, control_mode_dc="p_mw",
                              control_value_dc=10.0),
        pandapower.create_vsc(net, 7, 1, 0.1, 5, 0.15, control_mode_ac="vm_pu", control_value_ac=1.0, control_mode_dc="vm_pu",
                              control_value_dc=1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
def test_compensators_and_converters_are_their_solved_power(device, tmp_path):
    unsolved = network("case9", DEVICES[device])
    with pytest.raises(co.CaseError, match=rf"\({device}\) and no power flow result"):
        co.case_of_pandapower(unsolved)
    net = network("case9", DEVICES[device], solve=True)
    case = co.case_of_pandapower(net)
    assert any(f"({device})" in note for note in case.notes)
    point = co.power_flow(case, method="stored")  # refused unless power balances to 1e-6 MVA
    assert point.slack_mw == pytest.approx(net.res_ext_grid.p_mw[0], abs=1e-6)
    same(co.read_pandapower(saved(net, tmp_path)), case)


def test_the_network_handed_in_is_not_changed():
    net = network("case9", rich, solve=True)
    before = copy.deepcopy(net)
    co.case_of_pandapower(net)
    for name, table in before.items():
        if isinstance(table, pd.DataFrame) and not name.startswith("_"):
            pd.testing.assert_frame_equal(net[name], table)


def test_what_pandapower_calls_back_to_back_is_refused_by_name():
    net = network()
    net["b2b_vsc"] = pd.DataFrame({"in_service": [True]})
    with pytest.raises(co.CaseError, match=r"has back-to-back converters \(b2b_vsc\)"):
        co.case_of_pandapower(net)


def test_controllers_are_not_run_and_said(tmp_path):
    net = network("case9", controller)
    assert any(note.startswith("1 controllers are not run") for note in co.case_of_pandapower(net).notes)
    text = saved(net, tmp_path).read_text()
    assert "pandapower.control" in text
    assert any(note.startswith("1 controllers are left out") for note in co.read_pandapower(tmp_path / "net.json").notes)


def test_nothing_that_a_file_names_is_imported_or_run(tmp_path):
    """Modules, classes and callables in every place where pandapower's own reader follows them."""
    flag, module = tmp_path / "ran", tmp_path / "hostile_module.py"
    module.write_text(f"open({str(flag)!r}, 'w').close()\nclass Bad:\n    pass\n")
    good = json.loads(saved(network("case9", controller), tmp_path).read_text())
    hostile = {"_module": "hostile_module", "_class": "Bad", "_object": {"a": 1}}
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        for change in (
            {"bus": hostile},
            {"user_pf_options": hostile},
            {"std_types": hostile},
            {"name": hostile},
            {"f_hz": hostile},
            {"controller": hostile},
            {"bus": good["_object"]["bus"] | {"_module": "hostile_module"}},
            {"load": good["_object"]["load"] | {"_module": "hostile_module", "_class": "Bad"}},
            {"_module": "hostile_module"},
        ):
            bad = good | {"_object": good["_object"] | change}
            path = tmp_path / "bad.json"
            for whole in (bad, bad | {"_module": "hostile_module"}, hostile, good | {"_class": "Bad", "_module": "hostile_module"}):
                path.write_text(json.dumps(whole))
                try:
                    co.read_pandapower(path)
                except co.CoherenceError:
                    continue
        cells = json.loads(good["_object"]["controller"]["_object"])
        assert cells["data"]
        cells["data"][0][0] = hostile
        good["_object"]["controller"]["_object"] = json.dumps(cells)
        path.write_text(json.dumps(good))
        assert len(co.read_pandapower(path).buses) == 9
    finally:
        sys.path.remove(str(tmp_path))
    assert not flag.exists()
    assert "hostile_module" not in sys.modules


def frames(whole):
    return {k: json.loads(v["_object"]) for k, v in whole.items() if isinstance(v, dict) and v.get("_class") == "DataFrame"}


@cache
def text_of(name, solve):
    with quiet():
        return pandapower.to_json(network(name, solve=solve))


def edited(tmp_path, edit, name="case9", solve=False):
    """The file with its tables as dictionaries changed by `edit(tables, whole)`."""
    whole = json.loads(text_of(name, solve))
    tables = frames(whole["_object"])
    edit(tables, whole["_object"])
    for key, table in tables.items():
        if isinstance(whole["_object"][key], dict) and whole["_object"][key].get("_class") == "DataFrame":
            whole["_object"][key]["_object"] = table if isinstance(table, str) else json.dumps(table)
    path = tmp_path / "net.json"
    path.write_text(json.dumps(whole))
    return path


def cell(table, row, column, value):
    def edit(tables, _):
        frame = tables[table]
        frame["data"][row][frame["columns"].index(column)] = value

    return edit


def scalar(key, value):
    return lambda tables, whole: whole.update({key: value})


def without(table, column):
    def edit(tables, _):
        frame = tables[table]
        place = frame["columns"].index(column)
        frame["columns"].pop(place)
        for row in frame["data"]:
            row.pop(place)

    return edit


SWITCH = ["bus", "element", "et", "closed", "z_ohm"]
BAD = [
    (cell("line", 2, "from_bus", 77), "table line, row 2: from_bus = 77 is not in the table of buses"),
    (cell("gen", 0, "bus", 1.5), "table gen, row 0, column 'bus': 1.5; give a whole number"),
    (cell("gen", 0, "bus", None), "table gen, row 0, column 'bus': it is empty"),
    (cell("load", 1, "p_mw", "much"), "table load, row 1, column 'p_mw': 'much' is no number"),
    (cell("load", 1, "p_mw", None), "table load, row 1, column 'p_mw': nan; give a number"),
    (cell("load", 1, "p_mw", True), "table load, row 1, column 'p_mw': 'True' is no number"),
    (cell("line", 1, "length_km", 0.0), "table line, row 1, column 'length_km': 0; give a number > 0"),
    (cell("bus", 3, "vn_kv", -345.0), "table bus, row 3, column 'vn_kv': -345; give a number > 0"),
    (cell("bus", 3, "in_service", "yes"), "table bus, row 3, column 'in_service': 'yes' is neither true nor false"),
    (cell("bus", 3, "in_service", None), "table bus, row 3, column 'in_service': it is empty"),
    (scalar("sn_mva", 0), "sn_mva = '0'; give a number > 0"),
    (scalar("sn_mva", "100"), "sn_mva = '100'; give a number > 0"),
    (scalar("f_hz", float("nan")), "f_hz = 'nan'; give a number > 0"),
    (scalar("format_version", "99.0"), "of another version, and pandapower does not convert it"),
    (scalar("bus", 7), "table bus is no table"),
    (scalar("line", {"_class": "Series", "_object": "{}"}), "table line is a 'Series'; it must be a DataFrame"),
    (without("line", "x_ohm_per_km"), "table line, row 0, column 'x_ohm_per_km': nan; give a number"),
    (without("line", "to_bus"), "table line, row 0: column 'to_bus' is missing or empty"),
    (lambda t, _: t["line"]["index"].pop(), "table line has 8 row numbers for 9 rows"),
    (lambda t, _: t["line"]["index"].__setitem__(1, 0), "table line: row number 0 occurs twice"),
    (lambda t, _: t["line"]["index"].__setitem__(1, -4), "table line: '-4' is no row number"),
    (lambda t, _: t["bus"]["index"].__setitem__(1, 10**12), "table bus: '1000000000000' is no row number"),
    (lambda t, _: t["load"]["data"][1].pop(), "table load, row 1: 12 cells for"),
    (lambda t, _: t["load"]["columns"].__setitem__(1, "name"), "table load: column 'name' occurs twice"),
    (lambda t, _: t.__setitem__("line", '{"columns": [\n}'), "table line, line 2, column 1: "),
    (lambda t, _: t["bus"].update(index=[], data=[]), "the table bus is empty"),
    (lambda t, _: t["ext_grid"].update(index=[], data=[]), "not converted by pandapower|no generator stands at a reference"),
    (
        lambda t, _: t["switch"].update(columns=SWITCH, index=[0], data=[[4, 99, "l", True, 0.0]]),
        "table switch, row 0: element 99 is not in the table line",
    ),
    (
        lambda t, _: t["switch"].update(columns=SWITCH, index=[0], data=[[4, 1, "q", True, 0.0]]),
        "table switch, row 0, column 'et': 'q'",
    ),
]


@pytest.mark.parametrize(("edit", "sentence"), BAD, ids=[sentence[:40] for _, sentence in BAD])
def test_what_is_wrong_is_named_by_table_row_and_column(edit, sentence, tmp_path):
    path = edited(tmp_path, edit)
    with pytest.raises(co.CaseError, match=sentence.replace("(", r"\(")) as caught:
        co.read_pandapower(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


FILES = [
    ("net.p", b"\x80\x04N.", "is a pickle, which runs code"),
    ("net.json", b"\x80\x04N.", "is a pickle, which runs code"),
    ("net.pkl", b"{}", "is a pickle, which runs code"),
    ("net.xlsx", b"PK\x03\x04", "is an Excel file"),
    ("net.json", b"gAAAAABm", "is encrypted"),
    ("net.json", b"{}", "holds no pandapower network"),
    ("net.json", b"[1, 2]", "holds no pandapower network"),
    ("net.json", b'{"_class": "MultiGraph", "_object": "{}"}', "holds a 'MultiGraph'"),
    ("net.json", b'{"a": 1,\n "b": }', "line 2, column 7"),
    ("net.json", b"", "line 1, column 1"),
    ("net.json", b'{"a":\n "\xff\xff"}', "line 2: byte 0xff"),
    ("net.json", b"[" * 100_000, "nested too deeply"),
    ("net.json", b'{"bus": ' + b"9" * 5000 + b"}", "the JSON is damaged"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), FILES)
def test_files_that_hold_no_network_are_refused(name, content, sentence, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(co.CaseError, match=sentence):
        co.read_pandapower(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(co.CaseError, match="cannot be read"):
            co.read_pandapower(path)


def test_frequency_and_base_may_be_given(tmp_path):
    path = saved(network(), tmp_path)
    case = co.read_pandapower(path, f_hz=50, base_mva=200)
    assert (case.f_hz, case.base_mva) == (50, 200)
    assert np.allclose(case.branches["x_pu"], 2 * co.read_pandapower(path).branches["x_pu"], rtol=1e-12)
    with pytest.raises(co.InputError, match="base_mva = -1"):
        co.read_pandapower(path, base_mva=-1)
    with pytest.raises(co.InputError, match="f_hz = 0"):
        co.read_pandapower(path, f_hz=0)


def test_results_of_another_network_are_no_voltages(tmp_path):
    assert "vm_pu" in co.read_pandapower(edited(tmp_path, lambda t, _: None, solve=True)).buses
    for edit in (
        lambda t, _: t["res_bus"].update(index=t["res_bus"]["index"][1:], data=t["res_bus"]["data"][1:]),
        lambda t, _: t["res_gen"].update(index=[], data=[]),
        lambda t, _: t["res_bus"]["columns"].__setitem__(0, "v"),
    ):
        assert "vm_pu" not in co.read_pandapower(edited(tmp_path, edit, solve=True)).buses


def published():
    """Rows of the page of built-in networks."""
    page = (Path(__file__).parents[1] / "docs" / "pandapower_cases.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in page.splitlines() if line.startswith("| ")]
    return {cells[0]: dict(zip(rows[0], cells, strict=False)) for cells in rows[1:]}


def test_the_page_lists_every_transmission_network_of_pandapower():
    import pandapower.networks as networks

    from tests.benchmarks.pandapower_cases import CASES, LEFT_OUT

    named = {name for name in dir(networks) if name.startswith("case") or name in ("GBnetwork", "GBreducednetwork", "iceland")}
    assert named <= {*CASES, *LEFT_OUT}
    assert set(published()) == set(CASES)


def as_published(name):
    from tests.benchmarks.pandapower_cases import row

    stated, found = published()[name], row(name)
    assert (found.buses, found.generators) == (int(stated["buses"]), int(stated["generators"]))
    assert found.load_mw == pytest.approx(float(stated["load MW"]), abs=0.051)
    if stated["slack MW"]:
        assert found.slack_mw == pytest.approx(float(stated["slack MW"]), abs=6e-4)
        assert found.mismatch_mva <= 1e-6
        assert found.voltage_pu <= 1e-6
        assert found.slack_gap_mw <= 1e-3
        assert found.connectivity == pytest.approx(float(stated["λ₂"]), rel=1e-5)
    else:
        assert np.isnan(found.slack_mw)
        assert stated["remark"]


@pytest.mark.parametrize("name", ["case4gs", "case14", "case39", "case118", "iceland", "case11_iwamoto"])
def test_networks_do_what_the_page_says(name):
    as_published(name)


@pytest.mark.slow
def test_all_networks_do_what_the_page_says():
    for name in published():
        as_published(name)


@pytest.mark.parametrize(
    "name", ["case9", "case24_ieee_rts", "case_ieee30", "case57", "case_illinois200", "create_cigre_network_hv"]
)
def test_unsolved_networks_have_the_power_flow_of_pandapower(name):
    """The same bus voltages and slack power, each bus by its number, from the unsolved file."""
    case = co.case_of_pandapower(network(name))
    point = co.power_flow(case)
    net = network(name)
    with quiet():
        pandapower.runpp(net, numba=False, tolerance_mva=1e-8, calculate_voltage_angles=True)
    theirs = net.res_bus.loc[case.buses["bus"].astype(int)]
    assert np.abs(np.abs(point.voltage) - theirs.vm_pu).max() < 1e-6
    assert point.slack_mw == pytest.approx(net.res_ext_grid.p_mw.sum(), abs=1e-4)


PIECES = [
    None,
    True,
    False,
    "",
    "x",
    -1,
    0,
    1,
    1.5,
    1e308,
    -1e308,
    1e-320,
    10**30,
    float("nan"),
    float("inf"),
    [],
    {},
    [1],
    {"a": 1},
]
TEXT = ["", "nan", "NaN", "1e999", "-", ",", "[", "]", "{", "}", '"', "\\", "\\\\", "null", "true", "\x00", "é", "0", "9" * 20]


def damaged(rng, tables, scalars):
    """One to three changes: of cells, rows, columns and numbers in tables, of scalars, or of the text itself."""
    tables = copy.copy(tables)
    scalars = dict(scalars)
    names = [name for name, table in tables.items() if table["data"]]
    text = None
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(names)
        frame = tables[name] = copy.deepcopy(tables[name]) if isinstance(tables[name], dict) else tables[name]
        kind = rng.randrange(10)
        if not isinstance(frame, dict) or not (frame["data"] and frame["index"]):
            continue
        row = rng.randrange(min(len(frame["data"]), len(frame["index"])))
        if kind <= 3 and frame["data"][row]:
            cells = frame["data"][row]
            place = rng.randrange(len(cells))
            if rng.random() < 0.5 and isinstance(cells[place], (int, float)):
                cells[place] = cells[place] * rng.choice([-1, 0, 2, 1e3, 1e-9, 1e15])
            else:
                cells[place] = rng.choice(PIECES)
        elif kind == 4:
            frame["index"][row] = rng.choice([-1, 0, 3, 10**6, 10**12, "a", None, 1.0])
        elif kind == 5:
            frame["columns"][rng.randrange(len(frame["columns"]))] = rng.choice(["bus", "name", "p_mw", "x", 3, None, ""])
        elif kind == 6:
            del frame[rng.choice(["data", "index"])][row]
        elif kind == 7:
            scalars[rng.choice(["sn_mva", "f_hz", "name", "version", "format_version", name])] = rng.choice(PIECES)
        elif kind == 8:
            tables[rng.choice(list(tables))] = {"columns": frame["columns"], "index": frame["index"], "data": frame["data"]}
        else:
            inner = json.dumps(frame)
            i = rng.randrange(len(inner))
            tables[name] = inner[:i] + rng.choice(TEXT) + inner[i + rng.randrange(3) :]
            names = [n for n in names if n != name] or names
    whole = {
        "_module": "pandapower.auxiliary",
        "_class": "pandapowerNet",
        "_object": {
            name: {
                "_module": "pandas.core.frame",
                "_class": "DataFrame",
                "_object": table if isinstance(table, str) else json.dumps(table),
                "orient": "split",
            }
            for name, table in tables.items()
        }
        | scalars,
    }
    text = json.dumps(whole)
    if rng.random() < 0.15:
        i = rng.randrange(len(text))
        text = text[:i] + rng.choice(TEXT) + text[i + rng.randrange(6) :]
    return text


def small():
    net = pandapower.create_empty_network(f_hz=60, sn_mva=100)
    rich_bus = [pandapower.create_bus(net, 110.0) for _ in range(4)]
    pandapower.create_ext_grid(net, 0)
    pandapower.create_gen(net, 1, 20.0, 1.01, sn_mva=50)
    pandapower.create_load(net, 2, 30.0, 5.0)
    pandapower.create_load(net, 3, 10.0, 1.0)
    pandapower.create_shunt(net, 2, -1.0)
    for f, t in zip(rich_bus, rich_bus[1:] + rich_bus[:1], strict=True):
        pandapower.create_line_from_parameters(net, f, t, 10.0, 0.1, 0.4, 9.0, 1.0)
    low = pandapower.create_bus(net, 20.0)
    tap = {"tap_side": "hv", "tap_pos": 1, "tap_neutral": 0, "tap_step_percent": 1.5, "tap_changer_type": "Ratio"}
    pandapower.create_transformer_from_parameters(net, 3, low, 40, 110, 20, 0.3, 11, 20, 0.1, **tap)
    pandapower.create_sgen(net, low, 2.0)
    pandapower.create_switch(net, 0, 0, et="l")
    pandapower.create_dcline(net, 1, 3, 5.0, 1.0, 0.1, 1.01, 1.0)
    return net


def fuzz(tmp_path, count, seed):
    """Counts of cases and refusals, and the slowest read, over so many damaged files."""
    with quiet():
        net = small()
        pandapower.runpp(net, numba=False)
        whole = json.loads(pandapower.to_json(net))["_object"]
    tables = frames(whole)
    tables = {k: v for k, v in tables.items() if v["data"] or k in ("gen", "ward", "xward", "impedance")}
    scalars = {k: whole[k] for k in ("sn_mva", "f_hz", "name", "version", "format_version")}
    rng, path = random.Random(seed), tmp_path / "damaged.json"
    cases, sentences, slowest = 0, [], 0.0
    for _ in range(count):
        path.write_text(damaged(rng, tables, scalars), encoding="utf-8")
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", co.UnitsWarning)
                co.read_pandapower(path)
            cases += 1
        except co.CoherenceError as error:
            sentences.append(str(error))
        slowest = max(slowest, time.process_time() - began)
    return cases, sentences, slowest


def check(found):
    cases, sentences, slowest = found
    assert cases > 0
    assert sentences
    assert not [sentence for sentence in sentences if "\n" in sentence or len(sentence) > 900]
    assert slowest < 60.0  # a hang


def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path):
    check(fuzz(tmp_path, 250, SEED))


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused_in_a_sentence(tmp_path):
    check(fuzz(tmp_path, int(os.environ.get("COHERENCE_FUZZ", "4000")), SEED + 1))
