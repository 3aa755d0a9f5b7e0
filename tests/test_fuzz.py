"""Damaged files: our own error or a result, nothing else; and quickly."""

import os
import random
import warnings

import pytest
import scipy.io

import coherence as co
from coherence.formats.template import write_template
from tests.test_grids import MATPOWER, matpower_tables

PIECES = [
    "",
    "nan",
    "inf",
    "-1",
    "0",
    "1e999",
    "abc",
    ",",
    ";",
    "\n",
    '"',
    "'",
    "[",
    "]",
    "=",
    "\x00",
    "é",
    "%",
    " ",
    "*",
    "99999999999999999999",
]


def damaged(rng, text):
    """One to four random edits: a piece put in, a span cut out, a character changed, the rest lost."""
    for _ in range(rng.randint(1, 4)):
        i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:i] + rng.choice(PIECES) + text[i:]
        elif kind == 1:
            text = text[:i] + text[min(j, i + 12) :]
        elif kind == 2:
            text = text[:i] + chr(rng.randrange(32, 127)) + text[i + 1 :]
        elif kind == 3:
            text = text[:i] + rng.choice(PIECES) + text[min(j, i + 6) :]
        else:
            text = text[: max(j, 1)]
    return text


def attack(rng, path, good, read, count):
    sentences = []
    for _ in range(count):
        path.write_text(damaged(rng, good), encoding="utf-8")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", co.UnitsWarning)
                read()
        except co.CoherenceError as error:
            sentences.append(str(error))
    path.write_text(good, encoding="utf-8")
    return sentences


def attack_bytes(rng, path, read, count):
    good, sentences = path.read_bytes(), []
    for _ in range(count):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bytes(bad[: rng.randrange(len(bad))] if rng.random() < 0.2 else bad))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", co.UnitsWarning)
                read()
        except co.CoherenceError as error:
            sentences.append(str(error))
    return sentences


def fuzz(tmp_path, count):
    """For every kind of file the sentences that its damaged versions got."""
    rng, found = random.Random(20240501), {}
    folder = tmp_path / "case"
    write_template(folder)
    for path in sorted(folder.iterdir()):
        found[path.name] = attack(rng, path, path.read_text(), lambda: co.read_case(folder), count)
    machines = tmp_path / "machines.csv"
    found["machines"] = attack(
        rng, machines, "bus,H_s,R_pu,T_s\n*,4,0.05,8\n1,5,,\n", lambda: co.read_case(folder, machines=machines), count
    )
    grid = tmp_path / "grid.m"
    found["matpower"] = attack(rng, grid, MATPOWER, lambda: co.read_case(grid, f_hz=60), count)
    binary = tmp_path / "grid.mat"
    case = co.read_case(grid, f_hz=60)
    scipy.io.savemat(binary, {"mpc": matpower_tables()})
    assert len(co.read_case(binary, f_hz=60).buses) == len(case.buses)
    found["mat"] = attack_bytes(rng, binary, lambda: co.read_case(binary, f_hz=60), count // 10)
    saved = tmp_path / "net.json"
    co.save_network(co.linearize(co.load_case("five_generators")), saved)
    found["network"] = attack(rng, saved, saved.read_text(), lambda: co.load_network(saved), count)
    return found


def check(found):
    for name, sentences in found.items():
        assert sentences, f"no edit of {name} did any damage"
        assert not [sentence for sentence in sentences if "\n" in sentence]


def test_damaged_files_raise_our_errors_only(tmp_path):
    check(fuzz(tmp_path, 60))


@pytest.mark.slow
def test_damaged_files_raise_our_errors_only_in_thousands_of_cases(tmp_path):
    check(fuzz(tmp_path, int(os.environ.get("COHERENCE_FUZZ", "1500"))))
