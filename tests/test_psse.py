"""PSS/E RAW and DYR files against a slow twin of their models, files by others, and damage of every kind."""

import os
import random
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import coherence as co
from coherence.formats.dyr import add_dyr
from coherence.formats.raw_case import read_raw_case
from coherence.grids.case import require_grid
from coherence.grids.topology import finished
from tests import psse_text as psse

VERSIONS = (32, 33, 34, 35)
TOKENS = (
    "nan inf 1e999 -1 0 -0.0 1e-320 1D5 99999999999999999999 2147483648 ' '' \" / // , ,, * 999999*0 9999*1 3*0.5 ² é Q @! 1.5 4 GENROU "
    "'GENSAL' 0/ \x00 \x85 \u2028 \t \\ 1_000"
).split(" ") + ["", " ", "\r", "'O'B'", "x" * 3000, "0 " * 3000]


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
            lines = lines[:k] + [line[: rng.randrange(len(line) + 1)]]
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
    assert slowest < 2
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


@pytest.mark.parametrize("count", [600, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damaged_files_are_a_case_or_one_sentence(tmp_path, count):
    count = int(os.environ.get("COHERENCE_FUZZ", count))
    for seed, (name, (text, read)) in enumerate(readers(tmp_path).items()):
        cases, refused, _ = attack(tmp_path, text, read, count, seed, name)
        assert cases > count / 20
        assert refused > count / 20
