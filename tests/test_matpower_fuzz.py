"""Damaged MATPOWER texts: a Case or our own error, one line that names the file, and quickly.

COHERENCE_FUZZ in the environment sets the number of texts.
"""

import os
import random
import time
import warnings

import pytest

import coherence as co
from tests.test_grids import MATPOWER

COUNT, SLOW_COUNT, LONGEST_S = int(os.environ.get("COHERENCE_FUZZ", "3000")), 20000, 60.0  # a hang, whatever else the machine does
GOOD = MATPOWER + (
    "mpc.gencost = [\n\t2\t0 0 3 0.11 5 150;\n];\n%{\na block\n%}\n"
    "mpc.bus_name = {\n\t'one'; 'it''s % two'; \"three ]\"; 'four';\n};\n"
    "mpc.genfuel = {'coal'; 'hydro'; 'wind'; 'ng'};\ndefine_constants;\nSbase = mpc.baseMVA * 1e6; % [VA]\n"
    "mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e0;\n"
)
PIECES = (
    *(
        "",
        "nan",
        "Inf",
        "-Inf",
        "NaN",
        "-1",
        "0",
        "1e999",
        "1d3",
        "1e",
        "0x1F",
        "1_0",
        "infinity",
        "1/3",
        "1/0",
        "sqrt(-1)",
        "2^1e9",
    ),
    *(
        "abc",
        ",",
        ",,",
        ";",
        "\n",
        "\r",
        "\r\n",
        "\x0c",
        "\u2028",
        '"',
        "'",
        "''",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "=",
        "==",
        "%",
        "#",
    ),
    *("%{\n", "\n%}\n", "...", "...\n", "\x00", "é", "\ufeff", "٣", " ", "\t", "*", "-", "- ", "^", ":", "@", "&", "~", "!", "\\"),
    *("if ", "if 0\n", "end\n", "for k = 1:3\n", "return;\n", "function x = y\n", "mpc = 3;\n", "mpc.", "mpc.bus", "mpc.bus = [\n"),
    *(
        "mpc.bus(1, 3) = 7;\n",
        "mpc.gen(:, 2) = mpc.gen(:, 2) * 2;\n",
        "mpc.bus(:, 1e9) = mpc.bus(:, 1) / 0;\n",
        "x = mpc.bus(nan, 1);\n",
    ),
    *(
        "mpc.baseMVA = mpc.bus(1, 1) / 0;\n",
        "[PQ, PV] = idx_bus;\n",
        "eval('1');\n",
        "!ls\n",
        "99999999999999999999",
        "1e300",
        "5e-324",
    ),
)

MONSTERS = (
    *(
        "[",
        "(",
        "{",
        "1 ",
        "'",
        "%{\n",
        "x = 1;",
        "-",
        "9",
        "...\n",
        "if 1\n",
        "1+",
        "[1,",
        ",",
        "x='a';",
        "mpc.a=[1];",
        "''",
        "2^",
    ),
)


def cut(rng, text):
    return text[: rng.randrange(len(text))]


def put(rng, text):
    i = rng.randrange(len(text) + 1)
    return text[:i] + rng.choice(PIECES) + text[i:]


def drop(rng, text):
    i = rng.randrange(len(text) + 1)
    return text[:i] + text[i + rng.randint(1, 40) :]


def change(rng, text):
    i = rng.randrange(len(text) + 1)
    return text[:i] + chr(rng.randrange(32, 127)) + text[i + 1 :]


def lines(rng, text):
    rows = text.split("\n")
    i, j = rng.randrange(len(rows)), rng.randrange(len(rows))
    kind = rng.randrange(5)
    if kind == 0:
        rows.insert(j, rows[i])
    elif kind == 1:
        del rows[i]
    elif kind == 2:
        rows[i], rows[j] = rows[j], rows[i]
    elif kind == 3:
        rows[i] = rows[i][: len(rows[i]) // 2]
    else:
        rows[i : i + 2] = [" ".join(rows[i : i + 2])]
    return "\n".join(rows)


def tokens(rng, text):
    rows = text.split("\n")
    i = rng.randrange(len(rows))
    words = rows[i].split(" ")
    a, b = rng.randrange(len(words)), rng.randrange(len(words))
    words[a], words[b] = (words[b], words[a]) if rng.random() < 0.5 else (rng.choice(PIECES), words[b])
    rows[i] = " ".join(words)
    return "\n".join(rows)


def bracket(rng, text):
    places = [i for i, c in enumerate(text) if c in "[]{}()';"]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + rng.choice(["", "[", "]", "}", "'", "]]"]) + text[i + 1 :]


def monstrous(rng, text):
    """Long lines, deep nesting, thousands of statements."""
    i, size = rng.randrange(len(text) + 1), rng.choice([50, 1000, 20000])
    piece = rng.choice(MONSTERS)
    return text[:i] + piece * size + text[i:]


EDITS = [put] * 4 + [drop, change, lines, tokens] * 3 + [bracket] * 2 + [cut]


def damaged(rng):
    """The bytes of a damaged text."""
    text = GOOD
    for _ in range(rng.randint(1, 4)):
        text = rng.choice(EDITS)(rng, text) or "\n"
    if rng.random() < 0.02:
        text = monstrous(rng, text)
    kind = rng.randrange(20)
    if kind == 0:
        return text.rstrip("\n").encode("utf-16")
    if kind == 1:
        return text.replace("\n", "\r\n").encode("utf-8")
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if kind == 2 and data:
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def attack(folder, count, seed):
    """The sentences of the refused, and how many were read."""
    rng, path, sentences, read, longest = random.Random(seed), folder / "grid.m", set(), 0, 0.0
    for _ in range(count):
        data = damaged(rng)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", co.UnitsWarning)
                assert isinstance(co.read_case(path, f_hz=60), co.Case)
            read += 1
        except co.CoherenceError as error:
            sentence = str(error)
            assert len(sentence.splitlines()) == 1, (sentence, data)
            assert "grid" in sentence, (sentence, data)
            assert sentence.isprintable(), (sentence, data)
            sentences.add(sentence)
        except Exception as error:
            raise AssertionError(f"{error!r} of {data!r}") from error
        longest = max(longest, time.perf_counter() - start)
        assert longest < LONGEST_S, data[:2000]
    return sentences, read, longest


def test_a_damaged_matpower_text_is_read_or_refused_in_one_line(tmp_path):
    sentences, read, _ = attack(tmp_path, COUNT, 20240501)
    assert len(sentences) > COUNT / 20
    assert read > COUNT / 20


@pytest.mark.slow
def test_many_damaged_matpower_texts_are_read_or_refused_in_one_line(tmp_path):
    assert attack(tmp_path, SLOW_COUNT, 7)[1]
