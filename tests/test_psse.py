"""PSS/E RAW and DYR files against a slow twin of their models, files by others, and damage of every kind."""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

import coherence as co
from coherence.formats.dyr import add_dyr
from coherence.formats.dyr_models import GOVERNORS, purpose
from coherence.formats.raw import read_raw
from coherence.formats.raw_case import read_raw_case
from coherence.grids.case import require_grid
from coherence.grids.powerflow import admittance
from coherence.grids.topology import finished
from coherence.nodes.governors import governor
from tests import psse_text as psse

VERSIONS = (32, 33, 34, 35)
TOKENS = (
    *("nan", "inf", "1e999", "-1", "0", "-0.0", "1e-320", "1D5", "99999999999999999999", "2147483648", "1.5", "4", "1_000"),
    *("'", "''", '"', "/", "//", ",", ",,", "*", "999999*0", "9999*1", "3*0.5", "0/", "Q", "@!", "GENROU", "'GENSAL'", "'O'B'"),
    *("\u00b2", "\u00e9", "\x00", "\x85", "\u2028", "\t", "\\", "", " ", "\r", "x" * 3000, "0 " * 3000),
)


def mutant(rng, text):
    """One to three edits of lines, fields or characters, as bytes that need not be UTF-8."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, 3)):
        k, kind = rng.randrange(len(lines)), rng.randrange(11)
        line = lines[k]
        comma = "," if "," in line else " "
        cells = line.split(comma)
        c = rng.randrange(len(cells))
        if kind == 0:
            lines = [*lines[:k], line[: rng.randrange(len(line) + 1)]]
        elif kind == 1:
            j = rng.randrange(len(lines))
            lines[k], lines[j] = lines[j], lines[k]
        elif kind == 2:
            del lines[k]
        elif kind == 3:
            lines.insert(k, line)
        elif kind == 4:
            del cells[c]
        elif kind == 5:
            cells.insert(c, cells[c])
        elif kind == 6:
            cells = cells[:c]
        elif kind == 7:
            at = rng.randrange(len(line) + 1)
            lines[k] = line[:at] + rng.choice(TOKENS) + line[at + rng.randrange(3) :]
        elif kind == 8:
            lines[k] = line * rng.choice((2, 3, 50))
        else:
            cells[c] = rng.choice(TOKENS)
        if kind in (4, 5, 6, 9, 10):
            lines[k] = comma.join(cells)
        if not lines:
            lines = [""]
    data = "\n".join(lines).encode()
    if rng.random() < 0.1:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return data


def attack(tmp_path, text, read, count, seed, name):
    """Counts of cases and errors among mutants; whatever else comes is shown with the mutant's number."""
    rng, path, cases, slowest, sentences = random.Random(seed), tmp_path / name, 0, 0.0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.UnitsWarning)
        for k in range(count):
            data = mutant(rng, text)
            path.write_bytes(data)
            begun = time.perf_counter()
            try:
                case = read(path)
                require_grid(case)
                cases += 1
            except co.CoherenceError as error:
                sentence = str(error)
                assert len(sentence.splitlines()) == 1, (k, sentence)
                assert len(sentence) < 600, (k, sentence)
                assert name in sentence or repr(path.stem) in sentence, (k, sentence)
                sentences.append(sentence)
            except Exception as error:
                (tmp_path / "culprit").write_bytes(data)
                raise AssertionError(f"mutant {k} of {name}, seed {seed}: {type(error).__name__}: {error}") from error
            slowest = max(slowest, time.perf_counter() - begun)
    assert slowest < 60  # a hang, whatever else the machine does
    return cases, len(sentences), slowest


def readers(tmp_path):
    """name -> text and how it is read; the DYR file is added to one case again and again."""
    grid = tmp_path / "whole.raw"
    grid.write_text(psse.small(33))
    case = finished(read_raw_case(grid))
    whole = {
        "v33.raw": (psse.small(33), lambda path: finished(read_raw_case(path))),
        "v35.raw": (psse.small(35), lambda path: finished(read_raw_case(path))),
        "machines.dyr": (psse.SMALL_DYR, lambda path: add_dyr(case, path)),
    }
    for name, (text, read) in whole.items():
        path = tmp_path / name
        path.write_text(text)
        require_grid(read(path))
    return whole


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damaged_files_are_a_case_or_one_sentence(tmp_path, count):
    count = int(os.environ.get("COHERENCE_FUZZ", count))
    for seed, (name, (text, read)) in enumerate(readers(tmp_path).items()):
        cases, refused, _ = attack(tmp_path, text, read, count, seed, name)
        assert cases > count / 20
        assert refused > count / 20


# ---- a slow twin of the branch and transformer models: nodal equations with one unknown current per winding


class Circuit:
    """Nodal equations [pu], one element at a time, with one extra unknown for each series current and each star."""

    def __init__(self, kv, base):
        self.kv, self.base, self.rows, self.shunts = kv, base, {b: k for k, b in enumerate(kv)}, []
        self.size, self.terms = len(kv), []

    def unknown(self):
        self.size += 1
        return self.size - 1

    def series(self, a, ratio_a, b, ratio_b, z):
        """V_a/T_a - V_b/T_b = z I; I leaves bus a as I/conj(T_a) and enters b as I/conj(T_b)."""
        current = self.unknown()
        self.terms += [(a, current, 1 / np.conj(ratio_a)), (b, current, -1 / np.conj(ratio_b))]
        self.terms += [(current, a, 1 / ratio_a), (current, b, -1 / ratio_b), (current, current, -z)]

    def shunt(self, bus, y):
        self.terms.append((self.rows[bus], self.rows[bus], y))

    def matrix(self):
        whole = np.zeros((self.size, self.size), dtype=complex)
        for i, j, value in self.terms:
            whole[i, j] += value
        n = len(self.kv)
        inner = whole[n:, n:]
        return whole[:n, :n] - whole[:n, n:] @ np.linalg.solve(inner, whole[n:, :n])

    def ratio(self, code, bus, windv, nomv, ang):
        """Winding voltage in kV at the present tap over the bus base, with its phase."""
        kv = self.kv[bus]
        present = {1: windv * kv, 2: windv, 3: windv * (nomv or kv)}[code]
        return present / kv * np.exp(1j * np.pi * ang / 180)

    def impedance(self, code, pair, bus, nomv):
        """Of two windings in ohms on the side of a winding, then on the base of its bus."""
        r, x, rated = pair
        kv = self.kv[bus]
        if code == 1:
            return complex(r, x)
        ohm = (nomv or kv) ** 2 / rated
        if code == 2:
            z = complex(r, x) * ohm
        else:
            resistance = r / 1e6 * (nomv or kv) ** 2 / rated**2  # losses in MW at rated current
            z = complex(resistance, np.sqrt((x * ohm) ** 2 - resistance**2))
        return z * self.base / kv**2

    def magnetising(self, code, mag, bus, nomv, rated):
        kv = self.kv[bus]
        if code == 1:
            return complex(*mag)
        g = mag[0] / 1e6 / (nomv or kv) ** 2  # siemens
        y = mag[1] * rated / (nomv or kv) ** 2
        return (g - 1j * np.sqrt(y**2 - g**2)) * kv**2 / self.base

    def transformer(self, ends, windings, pairs, codes, mag, stat):
        if stat == 0:
            return
        cw, cz, cm = codes
        turns = [self.ratio(cw, end, *w) for end, w in zip(ends, windings, strict=True)]
        rows = [self.rows[end] for end in ends]
        if stat != 4:
            self.shunt(ends[0], self.magnetising(cm, mag, ends[0], windings[0][1], pairs[0][2]))
        if len(ends) == 2:
            z = self.impedance(cz, pairs[0], ends[0], windings[0][1])
            self.series(rows[0], turns[0], rows[1], abs(turns[1]), z)
            return
        z12, z23, z31 = (self.impedance(cz, pair, end, w[1]) for pair, end, w in zip(pairs, ends, windings, strict=True))
        star = self.unknown()
        out = {2: 1, 3: 2, 4: 0}.get(stat)
        for k, z in enumerate(((z12 + z31 - z23) / 2, (z12 + z23 - z31) / 2, (z23 + z31 - z12) / 2)):
            if k != out:
                self.series(rows[k], turns[k], star, 1.0, z if abs(z) > 1e-12 else 0.0)


def kron(case, numbers):
    """Y_bus of a case with its shunts, reduced to some of its buses in their order."""
    y, shunt = admittance(case)
    whole = y.toarray() + np.diag(shunt)
    row = {b: k for k, b in enumerate(case.buses["bus"])}
    kept = np.array([row[b] for b in numbers])
    rest = np.setdiff1d(np.arange(len(whole)), kept)
    if not rest.size:
        return whole[np.ix_(kept, kept)]
    inner = np.linalg.solve(whole[np.ix_(rest, rest)], whole[np.ix_(rest, kept)])
    return whole[np.ix_(kept, kept)] - whole[np.ix_(kept, rest)] @ inner


@st.composite
def grids(draw):
    """(version, text, circuit): three to six buses, a chain of lines, two- and three-winding transformers of every kind."""
    version, rng = draw(st.sampled_from(VERSIONS)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def number(low, high):
        return float(rng.uniform(low, high))

    base, n = draw(st.sampled_from((100.0, 1000.0, 37.0))), draw(st.integers(3, 6))
    kv = {int(b): number(5, 400) for b in rng.permutation(np.arange(1, 99))[:n]}
    names, circuit = list(kv), Circuit(kv, base)
    sections = {
        "BUS": [psse.bus(b, 3 if k == 0 else 1, kv=kv[b], vm=number(0.9, 1.1), va=number(-9, 9)) for k, b in enumerate(names)],
        "GENERATOR": [psse.generator(version, names[0])],
        "LOAD": [],
        "BRANCH": [],
        "TRANSFORMER": [],
        "FIXED SHUNT": [],
        "SWITCHED SHUNT": [],
    }
    for a, b in pairwise(names):
        r, x, c = number(0, 0.05), number(0.05, 0.3), number(0, 0.1)
        ends, on = [number(-0.05, 0.05) for _ in range(4)], draw(st.integers(0, 5)) > 0
        sections["BRANCH"].append(psse.branch(version, a, -b if draw(st.booleans()) else b, r, x, c, ends=ends, st=int(on)))
        if on:
            circuit.series(circuit.rows[a], 1.0, circuit.rows[b], 1.0, complex(r, x))
            circuit.shunt(a, complex(ends[0], ends[1] + c / 2))
            circuit.shunt(b, complex(ends[2], ends[3] + c / 2))
    for _ in range(draw(st.integers(1, 3))):
        three = draw(st.booleans())
        ends = [names[int(k)] for k in rng.permutation(n)[: 3 if three else 2]]
        codes = cw, cz, cm = tuple(draw(st.sampled_from(c)) for c in ((1, 2, 3), (1, 2, 3), (1, 2)))
        stat = draw(st.sampled_from((1, 1, 0, 2, 3, 4) if three else (1, 1, 1, 0)))
        windings = []
        for end in ends:
            nomv = 0.0 if draw(st.integers(0, 3)) == 0 else kv[end] * number(0.9, 1.1)
            windv = number(0.85, 1.15) * (kv[end] if cw == 2 else 1.0)
            windings.append((windv, nomv, number(-40, 40) if three or end == ends[0] else 0.0))
        pairs = []
        for _ in range(3 if three else 1):
            rated, x = number(20, 900), number(0.05, 0.3)
            pairs.append((number(0, 0.04) if cz < 3 else number(0, 0.04) * 1e6 * rated, x, rated))
        if three and cz == 1 and draw(st.integers(0, 3)) == 0:  # a winding without impedance
            pairs[0] = (pairs[1][0] + pairs[2][0], pairs[1][1] + pairs[2][1], 50.0)
            pairs = pairs[1:] + pairs[:1] if draw(st.booleans()) else pairs
        mag = (number(0, 0.01), number(-0.03, 0)) if cm == 1 else (number(0, 3e4), number(0.01, 0.05))
        if cm == 2:
            mag = (min(mag[0], 0.9e6 * mag[1] * pairs[0][2]), mag[1])
        text = psse.transformer(version, ends, windings, pairs, codes=codes, mag=mag, stat=stat)
        sections["TRANSFORMER"].append(text)
        circuit.transformer(ends, windings, pairs, codes, mag, stat)
    for b in names:
        g, s, c, yp, yq = (number(-20, 20) for _ in range(5))
        used = [draw(st.booleans()) for _ in range(3)]
        sections["FIXED SHUNT"].append(psse.row(b, "1", int(used[0]), g, s))
        sections["SWITCHED SHUNT"].append(psse.switched(version, b, c, status=int(used[1])))
        sections["LOAD"].append(psse.load(version, b, 5.0, 1.0, yp=yp, yq=yq, status=int(used[2])))
        circuit.shunt(b, (used[0] * complex(g, s) + used[1] * 1j * c + used[2] * complex(yp, yq)) / base)
    return version, psse.raw(version, sections, base=base, comments=draw(st.booleans())), circuit


@given(grids())
def test_admittances_are_those_of_nodal_equations_written_element_by_element(tmp_path_factory, drawn):
    _, text, circuit = drawn
    path = tmp_path_factory.mktemp("twin") / "grid.raw"
    path.write_text(text)
    case = finished(read_raw_case(path))
    exact = circuit.matrix()
    scale = np.abs(exact).max()
    np.testing.assert_allclose(kron(case, list(circuit.kv)), exact, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("w", [0, 1, 2])
@pytest.mark.parametrize("stat", [1, 2, 3, 4])
def test_a_winding_without_impedance_is_its_bus_behind_its_ratio(tmp_path, w, stat):
    kv, pairs = {1: 10.0, 2: 20.0, 3: 110.0}, [(0.01, 0.1, 100.0)] * 3
    pairs[(w + 1) % 3] = (0.02, 0.2, 100.0)
    windings = [(1.05, 0.0, 10.0), (0.96, 0.0, -20.0), (1.02, 0.0, 33.0)]
    circuit = Circuit(kv, 100.0)
    for a, b in ((1, 2), (2, 3)):
        circuit.series(circuit.rows[a], 1.0, circuit.rows[b], 1.0, 0.1j)
    circuit.transformer((1, 2, 3), windings, pairs, (1, 1, 1), (0.0, 0.0), stat)
    sections = {
        "BUS": [psse.bus(b, 3 if b == 1 else 1, kv=kv[b]) for b in kv],
        "GENERATOR": [psse.generator(33, 1)],
        "BRANCH": [psse.branch(33, 1, 2), psse.branch(33, 2, 3)],
        "TRANSFORMER": [psse.transformer(33, (1, 2, 3), windings, pairs, stat=stat)],
    }
    path = tmp_path / "grid.raw"
    path.write_text(psse.raw(33, sections))
    case = finished(read_raw_case(path))
    assert len(case.buses) == 3 + (stat == (4, 2, 3)[w])  # where that winding is out of service the star stays
    np.testing.assert_allclose(kron(case, list(kv)), circuit.matrix(), rtol=0, atol=1e-10)


@given(st.sampled_from(VERSIONS), st.integers(0, 2**32 - 1))
def test_loads_take_what_their_three_parts_say_at_the_stored_voltage(tmp_path_factory, version, seed):
    rng = np.random.default_rng(seed)
    vm, p, q, ip, iq, gp, gq = rng.uniform(0.9, 1.1, 7)
    on, made = int(rng.integers(2)), int(rng.integers(2))
    sections = {
        "BUS": [psse.bus(7, 3, vm=float(vm)), psse.bus(8)],
        "LOAD": [
            psse.load(
                version, 7, *map(float, (p, q)), ip=float(ip), iq=float(iq), status=on, generation=(float(gp), float(gq), made)
            )
        ],
        "GENERATOR": [psse.generator(version, 7)],
        "BRANCH": [psse.branch(version, 7, 8)],
    }
    path = tmp_path_factory.mktemp("loads") / "grid.raw"
    path.write_text(psse.raw(version, sections))
    case = co.read_case(path)
    own = made * complex(gp, gq) if version >= 34 else 0
    expected = on * (complex(p, q) + complex(ip, iq) * vm - own)
    found = complex(*case.buses.loc[0, ["p_load_mw", "q_load_mvar"]])
    assert found == pytest.approx(expected, rel=1e-13)
    assert ("1 loads of constant current" in " ".join(case.notes)) == bool(on)


# ---- how files are written


@pytest.fixture
def written(tmp_path):
    """A function that writes a file and reads it as a case."""

    def read(text, *, name="grid.raw", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return co.read_case(path, **options)

    return read


def same(one, two):
    for a, b in zip(one.grid, two.grid, strict=True):
        pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_spelling_of_a_file_gives_one_case(written, version):
    text = psse.small(version)
    case = written(text)
    assert case.buses["name"].tolist() == ["SWING", "O'BRIEN, A/B", "GEN", "LOW", "star 5"]
    assert case.f_hz == 60
    assert case.title == "a title its second line"
    lines = text.split("\n")
    plain = [line.split(" / END")[0] for line in lines]
    blanks = [
        line.replace(", ", "  ") if line[:1].isdigit() and "A/B" not in line and " / " not in line else line for line in lines
    ]
    cut = text.index("SWITCHED SHUNT DATA, BEGIN")
    spellings = {
        "no comments": "\n".join(plain),
        "no Q": text.removesuffix("Q\n"),
        "windows": text.replace("\n", "\r\n"),
        "mac": text.replace("\n", "\r"),
        "utf-8 mark": b"\xef\xbb\xbf" + text.encode(),
        "utf-16": text.encode("utf-16"),
        "lower case": text.replace("END OF", "End of").replace("BEGIN", "Begin"),
        "no hyphens": text.replace("TWO-TERMINAL", "TWO TERMINAL").replace("INTER-AREA TRANSFER", "INTERAREA"),
        "other names": text.replace("BEGIN BRANCH", "BEGIN NON-TRANSFORMER BRANCH").replace("FIXED SHUNT", "FIXED BUS SHUNT"),
        "comments on records": text.replace("0.1, 0.02", "0.1, 0.02", 1).replace("'area'", "'area' / home"),
        "blank lines": text.replace("0 / END OF LOAD", "\n  \n0 / END OF LOAD"),
        "more after Q": text + "rubbish\n",
        "ends after its last needed section": text[:cut] + "SWITCHED SHUNT DATA\n",
        "blanks for commas": "\n".join(blanks),
    }
    for what, spelled in spellings.items():
        try:
            same(written(spelled), case)
        except (AssertionError, co.CaseError) as error:
            raise AssertionError(f"{what}: {error}") from error


def test_latin_1_names_survive(written):
    case = written(psse.small(33).replace("SWING", "K\xc1RAHNJ\xdaKAR\x85").encode("latin-1"))
    assert case.buses["name"][0] == "K\xc1RAHNJ\xdaKAR\x85"


def test_sections_may_stand_in_any_order_where_comments_name_them(written):
    text = psse.small(33)
    head, rest = text.split("0 / END OF LOAD DATA, BEGIN FIXED SHUNT DATA\n")
    buses, loads = head.split("0 / END OF BUS DATA, BEGIN LOAD DATA\n")
    moved = (
        buses
        + "0 / END OF BUS DATA, BEGIN FIXED SHUNT DATA\n"
        + rest.replace(
            "0 / END OF ZONE DATA, BEGIN INTER-AREA TRANSFER DATA",
            f"0 / END OF ZONE DATA, BEGIN LOAD DATA\n{loads}0 / END OF LOAD DATA",
        )
    )
    same(written(moved), written(text))


@pytest.mark.parametrize("comments", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_records_of_many_lines_are_left_out_whole(written, version, comments):
    more = {
        "VSC DC LINE": ["'v', 1, 1.0\n1, 1, 1, 0.0\n3, 1, 1, 0.0"],
        "IMPEDANCE CORRECTION": ["1, 0.9, 1.1, 0.0, 1.1, 1.0, 0.0\n 0.0, 0.0, 0.0"],
        "MULTI-TERMINAL DC": ["'m', 1, 1, 1, 1, 500.0, 1, 0.0\n1, 2, 0.0\n1, 1, 1, 1\n0"],
        "GNE": ["'g', 'model', 1, 2, 11, 1, 1, 1\n" + "0 " * 10 + "\n0\n0\n'0'"],
        "INDUCTION MACHINE": ["2, '1', 1, 1, 1"],
        "FACTS DEVICE": ["'f', 2, 0, 1"],
        "SUBSTATION": [
            "1, 's', 0.0, 0.0, 0.1\n1, 'node', 2, 1\n0 / END OF SUBSTATION NODE DATA, BEGIN SUBSTATION SWITCHING DEVICE DATA"
            "\n1, 2, '1', 'cb', 2, 1, 1, 0.0\n0 / END OF SUBSTATION SWITCHING DEVICE DATA, BEGIN SUBSTATION TERMINAL DATA"
            "\n1, 1, 'L', '1'\n0 / END OF SUBSTATION TERMINAL DATA"
        ],
    }
    kept = {"BUS": [psse.bus(1, 3), psse.bus(2), psse.bus(3)], "GENERATOR": [psse.generator(version, 1)]}
    kept |= {"BRANCH": [psse.branch(version, 1, 2), psse.branch(version, 2, 3)], "SWITCHED SHUNT": [psse.switched(version, 2, 7.0)]}
    case = written(psse.raw(version, kept | more, comments=comments))
    same(case, written(psse.raw(version, kept)))
    assert case.buses["b_shunt_mvar"].tolist() == [0.0, 7.0, 0.0]
    said = " ".join(case.notes)
    for words in ("1 voltage source converter", "1 records of multi-terminal", "1 records of generic", "1 induction", "1 FACTS"):
        assert words in said


@pytest.mark.parametrize("version", VERSIONS)
def test_omitted_fields_have_the_defaults_of_the_format(written, version):
    sections = {
        "BUS": ["1,'A',10.0,3", "2,'B',10.0,1,,,,1.02"],
        "LOAD": ["2,,,,,5.0"],
        "GENERATOR": ["1"],
        "BRANCH": ["1,2,,,0.1"],
        "TRANSFORMER": ["1,2,0\n,0.2\n1.0\n1.0"],
    }
    case = written(psse.raw(version, sections, base=50.0))
    assert case.buses["p_load_mw"].tolist() == [0.0, 5.0]
    assert case.buses["vm_pu"].tolist() == [1.0, 1.02]
    assert case.generators[["id", "mbase_mva", "zx_pu", "p_mw"]].values.tolist() == [["1", 50.0, 1.0, 0.0]]
    assert case.branches[["r_pu", "x_pu", "b_pu", "tap"]].values.tolist() == [[0, 0.1, 0, 1], [0, 0.2, 0, 1]]


@pytest.mark.parametrize("version", [34, 35])
def test_switching_devices_and_short_branches_are_ties_by_the_threshold_of_the_file(written, tmp_path, version):
    kept = {
        "BUS": [psse.bus(k, 3 if k == 1 else 2, vm=1.01) for k in (1, 2, 3, 4, 5)],
        "GENERATOR": [psse.generator(version, 1), psse.generator(version, 4, id="A")],
        "BRANCH": [psse.branch(version, 1, 2), psse.branch(version, 2, 3, x=1e-3), psse.branch(version, 2, 5, x=9e-5)],
        "SYSTEM SWITCHING DEVICE": [psse.device(3, 4), psse.device(1, 5, stat=0)],
    }
    kept["BRANCH"].append(psse.branch(version, 3, 4, b=0.1))  # parallel to a tie: its charging stays
    text = psse.raw(version, kept)
    case = written(text)
    assert case.buses["bus"].tolist() == [1, 2, 3]
    assert case.branches[["from_bus", "to_bus"]].values.tolist() == [[1, 2], [2, 3]]
    assert case.buses["b_shunt_mvar"].tolist() == pytest.approx([0.0, 0.0, 10.0])
    assert case.generator_buses.tolist() == [1, 4]
    assert case.generators["bus"].tolist() == [1, 3]
    assert "2 branches with |x| up to 0.0001 pu" in " ".join(case.notes)
    assert written(text.replace("THRSHZ=0.0001", "THRSHZ=1E-3")).buses["bus"].tolist() == [1, 2]
    assert written(text.replace("THRSHZ=0.0001", "THRSHZ=..")).buses["bus"].tolist() == [1, 2, 3]
    dyr = "1 'GENCLS' 1 3.0 0.0 /\n4 'GENCLS' 'A' 5.0 1.0 /\n3 'GENCLS' 'A' 7.0 1.0 /\n"
    source = tmp_path / "m.dyr"
    source.write_text(dyr)
    moved = written(text, machines=source)
    assert moved.generators["H_s"].tolist() == [3.0, 5.0]
    assert moved.records["used"].tolist() == [True, True, False]


def test_system_wide_data_may_be_missing_in_a_later_version(written):
    text = psse.small(34)
    begin, end = text.index("GENERAL"), text.index("1, 'SWING'")
    same(written(text[:begin] + text[end:]), written(text))


@pytest.mark.parametrize("version", VERSIONS)
def test_generators_by_the_type_of_their_bus(written, version):
    sections = {
        "BUS": [psse.bus(1, 3, vm=1.03), psse.bus(2, 2, vm=0.98), psse.bus(3, 1, vm=1.0), psse.bus(4, 4), psse.bus(5, 3, vm=1.01)],
        "GENERATOR": [
            psse.generator(version, 4),
            psse.generator(version, 3),
            psse.generator(version, 2, vs=1.05, remote=3),
            psse.generator(version, 1, vs=1.03, stat=0),
            psse.generator(version, 5, vs=1.01, xt=0.1),
            psse.generator(version, 1, id="2", vs=1.03),
        ],
        "BRANCH": [psse.branch(version, 1, 2), psse.branch(version, 2, 3), psse.branch(version, 3, 5), psse.branch(version, 3, 4)],
    }
    case = written(psse.raw(version, sections))
    assert case.generators["bus"].tolist() == [2, 5, 1]
    assert case.generators["v_pu"].tolist() == [0.98, 1.01, 1.03]
    assert case.generators["kind"].tolist() == ["pv", "slack", "pv"]
    assert len(case.branches) == 3
    said = " ".join(case.notes)
    for words in (
        "1 generators at load buses (IDE = 1) left out",
        "1 isolated buses left out",
        "2 generators out of service left out",
        "1 generators hold the voltage that is stored",
        "within 1 generator records (XT)",
        "several swing buses",
    ):
        assert words in said


def test_a_flat_start_takes_set_points(written):
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2, 2), psse.bus(3, 2)],
        "GENERATOR": [psse.generator(33, 1, vs=1.03), psse.generator(33, 2, vs=1.01), psse.generator(33, 3, vs=1.05, remote=1)],
        "BRANCH": [psse.branch(33, 1, 2), psse.branch(33, 2, 3)],
    }
    assert written(psse.raw(33, sections)).generators["v_pu"].tolist() == [1.03, 1.01, 1.0]


def test_a_star_with_no_winding_left_is_no_bus(written):
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2), psse.bus(3, 4), psse.bus(4, 4), psse.bus(5, 4)],
        "GENERATOR": [psse.generator(33, 1)],
        "BRANCH": [psse.branch(33, 1, 2)],
        "TRANSFORMER": [psse.transformer(33, (3, 4, 5), [(1.0, 0.0, 0.0)] * 3, [(0.0, 0.1, 100.0)] * 3)],
    }
    assert written(psse.raw(33, sections)).buses["bus"].tolist() == [1, 2]


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_of_impedance_corrections_are_counted(written, version):
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2)],
        "GENERATOR": [psse.generator(version, 1)],
        "TRANSFORMER": [
            psse.transformer(version, (1, 2), [(1.0, 0.0, 0.0), (1.0, 0.0)], [(0.0, 0.1, 100.0)], table=table) for table in (0, 7)
        ],
    }
    assert "impedance corrections of 1 transformers are left out" in written(psse.raw(version, sections)).notes


@pytest.mark.parametrize("compounded", [0.0, 3.0, 4.0])
@pytest.mark.parametrize("mode", [(0, 50.0), (1, 50.0), (1, -50.0), (2, 100.0)])
def test_dc_lines_are_loads_at_their_ends(written, mode, compounded):
    """The scheduled voltage is the inverter's and R_comp I more; the current is found by bisection here."""
    kv, r = 500.0, 4.0
    line = f"'dc', {mode[0]}, {r}, {mode[1]}, {kv}, 0.0, {compounded}, 0.0, 'I', 0.0, 20, 1.0\n1, 2, 90.0\n2, 2, 90.0"
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2)],
        "GENERATOR": [psse.generator(33, 1)],
        "BRANCH": [psse.branch(33, 1, 2)],
        "TWO-TERMINAL DC": [line],
    }

    def ends(current):
        inverter = kv - compounded * current
        return (inverter + r * current) * current, inverter * current

    if mode[0] == 0:
        expected = [0.0, 0.0]
    else:
        side = 0 if mode[1] > 0 else 1
        found = 0.1 if mode[0] == 2 else scipy.optimize.brentq(lambda i: ends(i)[side] - abs(mode[1]), 0.0, 1.0, xtol=1e-14)
        expected = [ends(found)[0], -ends(found)[1]]
    assert written(psse.raw(33, sections)).buses["p_load_mw"].tolist() == pytest.approx(expected, rel=1e-10)


# ---- bad input


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_cut_after_any_line_is_refused_with_a_line_or_loses_optional_sections_only(written, version):
    text = psse.small(version)
    lines = text.splitlines(keepends=True)
    whole = written(text)
    needed = next(k for k, line in enumerate(lines) if "BEGIN AREA" in line)
    for k in range(len(lines)):
        if k > needed:
            try:
                case = written("".join(lines[:k]))
            except co.CaseError as error:
                refused = str(error)
            else:
                refused = ""
                pd.testing.assert_frame_equal(case.branches, whole.branches)
            assert not refused or "within its" in refused
            continue
        with pytest.raises(co.CaseError, match=r"grid\.raw(.*lines? \d+| is empty| has no buses)"):
            written("".join(lines[:k]))


def edited(old, new, version=33):
    text = psse.small(version)
    assert old in text, old
    return text.replace(old, new, 1)


BAD = {
    "bus twice": (lambda: edited("3, 'GEN'", "2, 'GEN'"), r"line 6: bus number 2 occurs twice"),
    "half a bus": (lambda: edited("3, 'GEN'", "3.5, 'GEN'"), r"line 6: bus number 3\.5 is none"),
    "no type": (lambda: edited("'GEN', 110.0, 2", "'GEN', 110.0, 7"), r"line 6: IDE = 7 of bus 3 is no type"),
    "load nowhere": (lambda: edited("2, '1', 1, 1, 1, 50.0", "9, '1', 1, 1, 1, 50.0"), r"line 9: the load record is for bus 9"),
    "shunt nowhere": (lambda: edited("2, '1', 1, 0.5", "9, '1', 1, 0.5"), r"line 12: the fixed shunt record is for bus 9"),
    "machine nowhere": (lambda: edited("3, '1', 41.0", "9, '1', 41.0"), r"line 15: the generator record is for bus 9"),
    "branch nowhere": (lambda: edited("2, 3, '1', 0.01", "2, 9, '1', 0.01"), r"line 17: the branch record is for bus 9"),
    "loop": (lambda: edited("2, 3, '1', 0.01", "2, 2, '1', 0.01"), r"line 17: the branch joins bus 2 to itself"),
    "transformer nowhere": (lambda: edited("1, 2, 0, '1'", "1, 9, 0, '1'"), r"line 19: the transformer ends at bus 9"),
    "third nowhere": (lambda: edited("2, 3, 4, '1'", "2, 3, 9, '1'"), r"line 23: the transformer ends at bus 9"),
    "negative base": (lambda: edited(", 60.0, 0.0, 0.2", ", -60.0, 0.0, 0.2"), r"line 15: mbase_mva = -60; it must be > 0"),
    "no base": (lambda: edited(", 60.0, 0.0, 0.2", ", 0.0, 0.0, 0.2"), r"line 15: mbase_mva = 0; it must be > 0"),
    "no reactance": (lambda: edited("2, 3, '1', 0.01, 0.1,", "2, 3 /"), r"line 17: the branch record has 2 fields and no X"),
    "word": (lambda: edited("0.01, 0.1, 0.02", "0.01, O.1, 0.02"), r"line 17: X = 'O\.1' of the branch record is not a finite"),
    "code": (lambda: edited("'1', 2, 2, 1", "'1', 2, 4, 1"), r"line 19: CZ = 4; give 1 to 3"),
    "no ratio": (lambda: edited("20.0, 20.0, 0.0", "-20.0, 20.0, 0.0"), r"line 19: the transformer has WINDV = -20"),
    "no rating": (lambda: edited("0.005, 0.1, 80.0", "0.005, 0.1, -80.0"), r"line 19: the transformer has SBASE = -80"),
    "huge": (lambda: edited("110.0, 110.0", "1e-320, 110.0"), r"line 19: figures of this record .* too large or too small"),
    "no swing": (lambda: edited("20.0, 3, 1", "20.0, 2, 1"), r"no generator in service stands at a swing bus \(IDE = 3\)"),
    "no generator": (lambda: psse.raw(33, {"BUS": [psse.bus(1, 3)]}), r"no generator is in service"),
    "version 30": (lambda: edited(" 33,", " 30,"), r"line 1 states version '30'; versions 32 to 35 are read"),
    "version 36": (lambda: edited(" 33,", " 36,"), r"line 1 states version '36'"),
    "no version": (lambda: "0, 100.0 / PSS/E-30\n\n\n", r"line 1 states no version"),
    "empty": (lambda: "", r"is empty"),
    "blank": (lambda: "\n \n\n\n", r"is empty"),
    "binary": (lambda: bytes(range(256)) * 50, r"line 1 states no system base"),
    "DYR": (lambda: psse.SMALL_DYR, r"line 1 states no system base"),
}


@pytest.mark.parametrize("what", BAD)
def test_one_sentence_with_file_and_line_for_a_bad_grid(written, what):
    text, sentence = BAD[what]
    with pytest.raises(co.CaseError, match=r"grid\.raw.*" + sentence) as caught:
        written(text())
    assert len(str(caught.value).splitlines()) == 1


GENSAL = "5.0 0.05 0.06 3.0 1.0 1.1 0.7 0.3 0.2 0.15 0.1 0.3"
BAD_DYR = {
    "no slash": ("1 'GENCLS' 1 3.0 0.0\n3 'GENCLS' 1 3.0 0.0 /", r"line 1: the record of '1 GENCLS 1' does not end before line 2"),
    "no slash, no quotes": ("1 GENCLS 1 3.0 0.0\n3 GENCLS 1 3.0 0.0 /", r"line 1: the record of .* does not end before line 2"),
    "no slash at the end": ("1 'GENCLS' 1 3.0 0.0 /\n\n3 'GENCLS' 1 3.0\n0.0", r"line 3: the record of '3 GENCLS 1' does not end"),
    "too few": (f"3 'GENSAL' 1\n{GENSAL[:-4]} /", r"line 1: GENSAL of 3\|1 has 11 values; it needs 12: Tpd0"),
    "a value left out": ("1 'GENCLS' 1, 3.0,, 0.0 /", r"line 1: GENCLS of 1\|1: D = '' is not a finite number"),
    "a word": ("1 'GENCLS' 1 3.0 zero /", r"line 1: GENCLS of 1\|1: D = 'zero' is not a finite number"),
    "nan": ("1 'GENCLS' 1 nan 0 /", r"line 1: GENCLS of 1\|1: H = 'nan' is not a finite number"),
    "negative": ("1 'GENCLS' 1 -3 0 /", r"line 1: GENCLS of 1\|1: H = -3; it must be > 0"),
    "two machines": (
        f"1 'GENCLS' 1 3 0 /\n/\n1 'GENSAL' 1 {GENSAL} /",
        r"line 3: GENSAL is a second machine for 1\|1, after GENCLS in line 1",
    ),
    "two machines, one without H": ("1 'GENCLS' 1 0 0 /\n1 'GENCLS' 1 3 0 /", r"line 2: GENCLS is a second machine for 1\|1"),
    "two governors": (
        "1 'GENCLS' 1 3 0 /\n1 'IEESGO' 1 0 0 0 0.1 0.2 0.3 0.0 0.5 0.5 1 0 /\n1 'TGOV1' 1 0.05 0.5 1 0 1 2 0 /",
        r"line 3: TGOV1 is a second governor for 1\|1, after IEESGO in line 2",
    ),
    "repeats": ("1 'GENCLS' 1 999999*0 /", r"line 1: repeat counts write more than 10000 values"),
    "many repeats": ("1 'GENCLS' 1" + " 9999*0" * 1000 + " /", r"line 1: repeat counts write more than 10000 values"),
    "short": ("1 /", r"line 1: '1' is no record; a DYR record is BUS 'MODEL' ID values /"),
    "no machine": ("7 'GENCLS' 1 3 0 /", r"has no machine record \(GENCLS, .*\) for a generator of case 'grid'"),
    "empty": ("", r"has no records"),
    "comments": ("// nothing\n/ nothing\n", r"has no records"),
    "RAW": (psse.small(33), r"line \d+: .* (is no record|does not end)"),
}


@pytest.mark.parametrize("what", BAD_DYR)
def test_one_sentence_with_file_and_line_for_bad_machines(written, tmp_path, what):
    text, sentence = BAD_DYR[what]
    path = tmp_path / "m.dyr"
    path.write_text(text)
    with pytest.raises(co.CaseError, match=r"m\.dyr.*" + sentence) as caught:
        written(psse.small(33), machines=path)
    assert len(str(caught.value).splitlines()) == 1


def test_wrong_kinds_of_files_are_named(written, tmp_path):
    with pytest.raises(co.CaseError, match=r"grid\.dyr holds dynamics only; read the RAW file with machines=this file"):
        written(psse.SMALL_DYR, name="grid.dyr")
    grid = tmp_path / "again.raw"
    grid.write_text(psse.small(33))
    with pytest.raises(co.CaseError, match=r"again\.raw"):
        written(psse.small(33), machines=grid)
    with pytest.raises(co.CaseError, match=r"away\.dyr cannot be read: No such file"):
        written(psse.small(33), machines=tmp_path / "away.dyr")


# ---- machines and governors


def records_of(written, tmp_path, dyr):
    path = tmp_path / "m.dyr"
    path.write_text(dyr)
    return written(psse.small(33), machines=path)


def test_a_dyr_file_gives_machines_and_governors_with_their_figures(written, tmp_path):
    case = records_of(written, tmp_path, psse.SMALL_DYR)
    own = case.generators.set_index("label")
    assert own.index.tolist() == ["SWING 1", "GEN 1"]
    assert own[["H_s", "D_pu", "xd_prime_pu"]].values.tolist() == [[4.5, 0.0, 0.3], [3.0, 1.0, 0.3]]
    assert own["machine_model"].tolist() == ["GENROU", "GENSAL"]
    assert own["governor"].tolist() == ["IEEEG1", "HYGOV"]
    assert case.governors["HYGOV"].iloc[0].tolist() == ["GEN 1", 0.05, 0.3, 5, 0.05, 0.2, 0.2, 1, 0, 1.5, 1.2, 0.1, 0.08]
    assert case.governors["IEEEG1"][["K", "T1", "K8"]].values.tolist() == [[20.0, 0.0, 0.0]]
    assert case.records[["line", "bus", "id", "model", "purpose", "used"]].values.tolist() == [
        [2, "1", "1", "GENROU", "machine", True],
        [3, "1", "1", "IEEEG1", "governor", True],
        [5, "3", "1", "GENSAL", "machine", True],
        [6, "3", "1", "HYGOV", "governor", True],
        [7, "3", "1", "SEXS", "excitation system", False],
    ]
    same(records_of(written, tmp_path, psse.SMALL_DYR.replace("'", '"')), case)
    same(records_of(written, tmp_path, psse.SMALL_DYR.replace("'", "")), case)
    same(records_of(written, tmp_path, psse.SMALL_DYR.replace("\n", "\r\n").replace("0.3 /", "3.D-1 /")), case)


def test_what_is_not_used_is_listed_with_its_reason(written, tmp_path):
    lines = [
        "1 'GENCLS' 1 3.0 0.0 /",
        "3 'GENCLS' '1 ' 0.0 0.0 /",
        "3 'TGOV1' 1 0.05 0.5 1 0 1 2 0 /",
        "9 'GENCLS' 1 3.0 0.0 /",
        "1 'USRMDL' 1 'MYGOV' 5 0 1 2 3 4 0.0 /",
        "1 'USRMDL' 1 'GENCLS' 3.0 0.0 /",
        "1 'NONSENSE' 1 'a/b' 1 2 / rest 'of it",
        "1 'IEESGO' 1 0 0 0 0.1 0.2 0.3 0.0 0.5 0.5 1 0 /",
    ]
    case = records_of(written, tmp_path, "\n".join(lines))
    assert case.records["used"].tolist() == [True, False, False, False, False, False, False, True]
    for k, words in {
        1: "H = 0 is an infinite bus",
        2: "its generator has no machine record",
        3: "no generator in service at bus 9 has the identifier '1'",
        4: "not known",
        5: "not known",
        6: "not known",
        7: "K1 = 0: the machine's power does not follow its speed",
    }.items():
        assert words in case.records["reason"][k], k
    assert case.records["model"].tolist()[4:7] == ["MYGOV", "USRMDL GENCLS", "NONSENSE"]
    assert case.generators["H_s"].isna().tolist() == [False, True]
    assert case.generators["governor"].tolist() == ["", ""]


@pytest.mark.parametrize(
    "record", ["'TGOV1' 1 0.0 0.5 1 0 1 2 0", "'TGOV1' 1 0.05 0.5 1 0 1 0.0 1e300", "'HYGOV' 1 0 0 0 0 0 0 0 0 0 0 0 0"]
)
def test_a_governor_that_cannot_be_linearised_is_listed(written, tmp_path, record):
    case = records_of(written, tmp_path, f"1 'GENCLS' 1 3.0 0.0 /\n1 {record} /")
    if case.records["used"][1]:
        assert np.isfinite(co.linearize(co.read_case(tmp_path / "grid.raw", machines=tmp_path / "m.dyr")).poles()).all()
    else:
        assert case.records["reason"][1]
        assert case.generators["governor"][0] == ""


def test_sources_of_machines_are_added_in_their_order(written, tmp_path):
    (tmp_path / "m.dyr").write_text(psse.SMALL_DYR)
    (tmp_path / "m.csv").write_text("bus,H_s\n1,9.0\n3,2.5\n")
    both = written(psse.small(33), machines=[tmp_path / "m.dyr", tmp_path / "m.csv"])
    assert both.generators["H_s"].tolist() == [9.0, 2.5]
    assert both.generators["governor"].tolist() == ["IEEEG1", "HYGOV"]
    assert len(both.records) == 5
    other = written(psse.small(33), machines=[tmp_path / "m.csv", tmp_path / "m.dyr"])
    assert other.generators["H_s"].tolist() == [4.5, 3.0]


# ---- from files to results


def test_the_command_line_takes_a_grid_with_its_dynamics(tmp_path):
    grid, dyr = tmp_path / "x.raw", tmp_path / "x.dyr"
    grid.write_text(psse.small(33))
    dyr.write_text(psse.SMALL_DYR)

    def command(*parts):
        run = subprocess.run(
            [sys.executable, "-m", "coherence", *map(str, parts)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert "Traceback" not in run.stderr
        return run

    shown = command("info", grid, "--machines", dyr)
    assert shown.returncode == 0, shown.stderr
    for words in ("GENROU", "HYGOV", "SEXS", "GWs", "stable"):
        assert words in shown.stdout
    plain = command("info", grid, "--machines", dyr, "--json")
    assert plain.returncode == 0, plain.stderr
    tables = json.loads(plain.stdout)["tables"]
    assert "dynamic records" in json.dumps(tables)
    study = command("study", grid, "--machines", dyr, "--out", tmp_path / "study")
    assert study.returncode == 0, study.stderr
    dyr.write_text(psse.SMALL_DYR.replace("0.08 /", ""))
    broken = command("info", grid, "--machines", dyr)
    assert broken.returncode != 0
    assert "x.dyr, line 6" in broken.stderr
    assert command("info", dyr).returncode != 0


def rounding(case, digits=5.1e-6, degrees=5.1e-5):
    """What printed voltages leave unbalanced at most at each bus [MVA]: V (|Y| |dV|) + |I| |dV|."""
    y, shunt = admittance(case)
    size = np.abs(y).toarray() + np.diag(np.abs(shunt))
    v = case.buses["vm_pu"].to_numpy()
    off = np.hypot(digits, v * np.deg2rad(degrees))
    current = np.abs(y @ (v * np.exp(1j * np.deg2rad(case.buses["va_deg"]))))
    return case.base_mva * (v * (size @ off) + current * off)


@pytest.mark.skipif("COHERENCE_LANDSNET" not in os.environ, reason="the folder with Landsnet's files of 2010 is not given")
@pytest.mark.filterwarnings("ignore::coherence.UnitsWarning")
def test_the_files_of_landsnet():
    folder = Path(os.environ["COHERENCE_LANDSNET"])
    grid = folder / "Iceland_modified_PF_solved.raw"
    assert len(read_raw(grid)["bus"]) == 311
    odd = {}
    for name in ("Iceland_modified.dyr", "Iceland_modified_20210716.dyr"):
        case = co.read_case(grid, machines=folder / name)
        own = case.machines
        assert len(own) == 61
        assert own["mbase_mva"].sum() == pytest.approx(3120.99, abs=0.005)
        assert (own["mbase_mva"] * own["H_s"]).sum() / 1e3 == pytest.approx(12.199, abs=5e-4)
        governed = case.records[(case.records["purpose"] == "governor") & case.records["used"]]
        assert len(governed) == 59
        odd[name] = case.records[(case.records["purpose"] == "governor") & ~case.records["used"]]
        assert "IEEEG1" in case.records.loc[case.records["bus"] == "1147", "model"].tolist()
    orphans = [f"{r.bus}|{r.id} {r.model}" for table in odd.values() for r in table.itertuples() if "no generator" in r.reason]
    assert orphans == ["3304|1 HYGOV"]
    # every balance that the file states, but for what generators supply freely
    y, shunt = admittance(case)
    v = case.buses["vm_pu"].to_numpy() * np.exp(1j * np.deg2rad(case.buses["va_deg"].to_numpy()))
    gap = v * np.conj(y @ v + shunt * v) * case.base_mva + case.buses["p_load_mw"] + 1j * case.buses["q_load_mvar"]
    supply = case.generators.groupby("bus")["p_mw"].sum()
    gap = gap.to_numpy() - case.buses["bus"].map(supply).fillna(0.0).to_numpy()
    held = case.buses["bus"].isin(case.generators["bus"]).to_numpy()
    gap[held] = gap[held].real
    slack = case.generators.loc[case.generators["kind"] == "slack", "bus"].iloc[0]
    gap[(case.buses["bus"] == slack).to_numpy()] = 0
    ratio = np.abs(gap) / rounding(case)
    assert 0.01 < ratio.max() < 1


# ---- speed


def large(buses, extra, machines):
    """A RAW and a DYR text of a ring with chords."""
    rng = np.random.default_rng(7)
    sections = {
        "BUS": [psse.bus(k, 3 if k == 1 else 2 if k <= machines else 1, vm=1.01) for k in range(1, buses + 1)],
        "LOAD": [psse.load(33, k, 1.0, 0.2) for k in range(1, buses + 1, 2)],
        "GENERATOR": [psse.generator(33, k, vs=1.01, p=1.0) for k in range(1, machines + 1)],
        "BRANCH": [psse.branch(33, k, k % buses + 1, 0.001, 0.02) for k in range(1, buses + 1)],
        "TRANSFORMER": [
            psse.transformer(33, (int(a), int(b)), [(1.01, 0.0, 0.0), (1.0, 0.0)], [(0.001, 0.1, 100.0)])
            for a, b in rng.integers(1, buses + 1, (extra, 2))
            if a != b
        ],
    }
    dyr = [f"{k} 'GENSAL' 1 {GENSAL} /\n{k} 'TGOV1' 1 0.05 0.5 1.0 0.0\n 1.0 2.0 0.0 /" for k in range(1, machines + 1)]
    return psse.raw(33, sections), "\n".join(dyr)


@pytest.mark.parametrize(
    ("size", "limit"), [((2000, 600, 300), 10), pytest.param((70_000, 20_000, 10_000), 90, marks=pytest.mark.slow)]
)
def test_large_files_are_read_in_seconds(written, tmp_path, size, limit):
    text, dyr = large(*size)
    (tmp_path / "m.dyr").write_text(dyr)
    (tmp_path / "grid.raw").write_text(text)
    begun = time.process_time()
    case = co.read_case(tmp_path / "grid.raw", machines=tmp_path / "m.dyr")
    assert time.process_time() - begun < limit
    assert (len(case.buses), len(case.machines)) == (size[0], size[2])
    assert len(case.governors["TGOV1"]) == size[2]


# ---- one literal record of each model: the order of its fields, by what it answers


LITERAL = {  # values as a file has them -> some of them by name, h(0) and the poles that follow from the names
    "TGOV1": ("0.05 0.5 1.0 0.1 2.1 7.0 0.3", {"R": 0.05, "T1": 0.5, "T2": 2.1, "T3": 7.0, "Dt": 0.3}, 20.0, [-1 / 0.5, -1 / 7]),
    "GAST": ("0.04 0.4 0.1 3.0 0.9 2.0 1.0 0.0 0.2", {"R": 0.04, "T3": 3.0, "AT": 0.9, "Dturb": 0.2}, 25.0, [-1 / 0.4, -1 / 0.1]),
    "IEEEG1": (
        "0 0 18.0 0.2 0.05 0.3 0.1 -0.1 1.0 0.0 0.25 0.3 0 7.0 0.4 0 0.6 0.2 0 9.0 0.1 0",
        {
            "K": 18.0,
            "T1": 0.2,
            "T2": 0.05,
            "T3": 0.3,
            "T4": 0.25,
            "K1": 0.3,
            "T5": 7.0,
            "K3": 0.4,
            "T6": 0.6,
            "K5": 0.2,
            "T7": 9.0,
            "K7": 0.1,
        },
        18.0,
        [-1 / 0.2, -1 / 0.3, -1 / 0.25, -1 / 7, -1 / 0.6, -1 / 9],
    ),
    "WSIEG1": (
        "0 0 18.0 0 0 0.3 0.1 -0.1 1.0 0.0 0.25 0.3 0 7.0 0.7 0 0 0 0 0 0 0 0.01 0.02 0.03 0 0 .2 .3 .4 .5 .6 .7 1 1 0",
        {"T3": 0.3, "DB1": 0.01, "ERR": 0.02, "DB2": 0.03, "GV2": 0.2, "PGV2": 0.3, "PGV5": 1.0, "IBLOCK": 0.0},
        18.0,
        [-1 / 0.3, -1 / 0.25, -1 / 7],
    ),
    "IEESGO": (
        "0.1 0.02 0.3 0.4 8.0 0.5 20.0 0.7 0.43 1.0 0.0",
        {"T1": 0.1, "T2": 0.02, "T6": 0.5, "K1": 20.0, "K2": 0.7, "K3": 0.43, "PMAX": 1.0},
        20.0,
        [-1 / 0.1, -1 / 0.3, -1 / 0.4, -1 / 8, -1 / 0.5],
    ),
    "HYGOV": (
        "0.05 0.3 5.0 0.06 0.2 0.17 1.0 0.1 1.5 1.2 0.4 0.08",
        {
            "R": 0.05,
            "r": 0.3,
            "Tr": 5.0,
            "Tf": 0.06,
            "Tg": 0.2,
            "VELM": 0.17,
            "GMAX": 1.0,
            "GMIN": 0.1,
            "TW": 1.5,
            "At": 1.2,
            "qNL": 0.08,
        },
        1.2 / 0.05,
        [-1 / 0.2, -1 / 0.75, *np.roots([0.3 * 5.0 * 0.06, 0.35 * 5.0, 0.05])],
    ),
    "GGOV1": (
        "-2 1 0.04 2.0 1 -1 3.0 1.2 0 1.0 1.2 0.17 0.3 1.5 0.22 0.1 0.04 0 0.3 1 3.3 1 0.6 99 -99 0 99 10 0.1 50 0 0 0.1 99 -99",
        {
            "Rselect": -2.0,
            "Flag": 1.0,
            "R": 0.04,
            "Tpelec": 2.0,
            "Kpgov": 3.0,
            "Kigov": 1.2,
            "Vmin": 0.17,
            "Tact": 0.3,
            "Kturb": 1.5,
        }
        | {"Wfnl": 0.22, "Tb": 0.1, "Tc": 0.04, "Dm": 0.6, "Trate": 50.0, "Rdown": -99.0},
        1.5 / 0.04 * 50 / 100,
        [-1 / 0.3, -1 / 0.1, -1.2 * 0.04 / (1 + 3.0 * 0.04)],
    ),
}


@pytest.mark.parametrize("model", sorted(LITERAL))
def test_the_values_of_a_record_stand_in_the_order_of_its_model(written, tmp_path, model):
    text, named, gain, poles = LITERAL[model]
    case = records_of(written, tmp_path, f"1 'GENCLS' 1 3.0 0.5 /\n1 '{model}' 1 {text} /\n")
    (record,) = case.governors[model].to_dict("records")
    assert len(record) == 1 + len(GOVERNORS[model].split()) == 1 + len(text.split())
    assert {name: record[name] for name in named} == named
    h = governor(model, record, H_s=3.0, D_pu=0.5, mbase_mva=100.0)
    assert float(h.dc_gain()[0, 0]) == pytest.approx(gain)
    assert np.sort_complex(h.poles()) == pytest.approx(np.sort_complex(np.array(poles, dtype=complex)), rel=1e-6)


@pytest.mark.parametrize("model", ["GENROU", "GENROE", "GENSAL", "GENSAE", "GENCLS"])
def test_the_values_of_a_machine_stand_in_the_order_of_its_model(written, tmp_path, model):
    round_rotor = "8.0 0.03 0.4 0.05 4.5 0.7 1.8 1.7 0.31 0.55 0.25 0.2 0.01 0.02"
    salient = "5.0 0.05 0.06 4.5 0.7 1.1 0.7 0.31 0.2 0.15 0.1 0.3"
    text = {"GENCLS": "4.5 0.7", "GENROU": round_rotor, "GENROE": round_rotor}.get(model, salient)
    first = records_of(written, tmp_path, f"1 '{model}' 1 {text} /\n").generators.iloc[0]
    assert first[["H_s", "D_pu", "xd_prime_pu"]].tolist() == [4.5, 0.7, 0.2 if model == "GENCLS" else 0.31]  # 0.2 is ZX


def test_decimal_commas_in_a_record_are_refused_not_read_as_two_values(written, tmp_path):
    with pytest.raises(co.CaseError, match=r"line 1: GENCLS of 1\|1 has 3 values; it needs 2.*decimal points"):
        records_of(written, tmp_path, "1 'GENCLS' 1 6,5 0 /\n")
    case = records_of(written, tmp_path, "1 'GENCLS' 1 6.5 0 /\n1 'TGOV1' 1 0,05 0.5 1 0 2 7 0 /\n")
    assert case.records["used"].tolist() == [True, False]
    assert "8 values where TGOV1 has 7" in case.records["reason"].iloc[1]


def test_a_dyr_file_of_another_grid_is_asked_about(written, tmp_path):
    text = "1 'GENCLS' 1 3 0 /\n" + "".join(f"{bus} 'GENCLS' 1 3 0 /\n" for bus in range(50, 54))
    assert any("is it another grid's?" in note for note in records_of(written, tmp_path, text).notes)
    assert not any("another grid" in note for note in records_of(written, tmp_path, psse.SMALL_DYR).notes)


def test_what_a_governor_in_use_leaves_out_is_in_its_row(written, tmp_path):
    text = "1 'GENCLS' 1 3 0 /\n1 'IEEEG1' 1 3 1 18 0 0 .3 .1 -.1 1 0 .25 .5 .5 7 0 0 0 0 0 0 0 0 /\n"
    row = records_of(written, tmp_path, text).records.iloc[1]
    assert row["used"]
    assert "K2, K4, K6, K8 drive the machine at bus 3" in row["reason"]


@pytest.mark.parametrize(
    ("model", "what"), [("ACMTBLU1", "load"), ("STATCOM", "relay"), ("EXAC1", "excitation"), ("STAB2A", "stabilizer")]
)
def test_the_longest_beginning_tells_what_a_model_is_for(model, what):
    assert purpose(model).startswith(what)


def test_a_switching_device_with_a_reactance_is_a_branch(written):
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2), psse.bus(3)],
        "GENERATOR": [psse.generator(34, 1)],
        "BRANCH": [psse.branch(34, 1, 2)],
        "SYSTEM SWITCHING DEVICE": [psse.device(2, 3, 0.05)],
    }
    assert written(psse.raw(34, sections)).branches["x_pu"].tolist() == [0.1, 0.05]
    sections["SYSTEM SWITCHING DEVICE"] = [psse.device(2, 3, 5e-5)]
    assert len(written(psse.raw(34, sections)).buses) == 2


def test_a_transformer_to_a_dead_bus_magnetises_nothing(written):
    def shunts(kind):
        sections = {
            "BUS": [psse.bus(1, 3), psse.bus(2, kind), psse.bus(3)],
            "GENERATOR": [psse.generator(33, 1)],
            "BRANCH": [psse.branch(33, 1, 3)],
            "TRANSFORMER": [psse.transformer(33, (1, 2), [(1.0, 0.0, 0.0), (1.0, 0.0)], [(0.0, 0.1, 100.0)], mag=(0.01, -0.05))],
        }
        return written(psse.raw(33, sections)).buses[["g_shunt_mw", "b_shunt_mvar"]].iloc[0].tolist()

    assert shunts(1) == pytest.approx([1.0, -5.0])
    assert shunts(4) == [0.0, 0.0]


@pytest.mark.parametrize("text", ["5_0.0", "٥٠", "0x10"])
def test_digits_are_those_of_files(written, text):
    with pytest.raises(co.CaseError, match="not a finite number"):
        written(psse.small(33).replace("50.0", text, 1))


def test_blanks_within_commas_part_numbers(written):
    whole = psse.small(33)
    same(written(whole.replace("0.005, 0.1, 80.0", "0.005 0.1, 80.0")), written(whole))
    apart = written(
        whole.replace("\n", "\n\n").replace("a title\n\n", "a title\n").replace("/ a comment, with 'quotes\n\n", "/ a comment\n")
    )
    same(apart, written(whole))


def test_buses_behind_a_tie_may_differ_in_their_last_printed_digit(written):
    sections = {
        "BUS": [psse.bus(1, 3), psse.bus(2, 2, vm=1.01), psse.bus(3, 2, vm=1.01001)],
        "GENERATOR": [psse.generator(33, number) for number in (1, 2, 3)],
        "BRANCH": [psse.branch(33, 1, 2), psse.branch(33, 2, 3, x=0.0)],
    }
    assert written(psse.raw(33, sections)).generators["v_pu"].tolist() == [1.0, 1.01, 1.01]
