r"""MATLAB files of plain data: text -> scalars, matrices and cells of strings, each row with its line; nothing is executed.

Understood are assignments of constants (`mpc.baseMVA = 50/3;`, matrices, cells), comments, continuations, and the statements by
which case files convert their units, with constant factors:

    Sbase = mpc.baseMVA * 1e6;   mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;

Whatever else computes on what is wanted is refused by file and line; what computes elsewhere is passed over.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from coherence.errors import CaseError
from coherence.formats.constants import Expression, NotConstant, entries
from coherence.formats.lines import CLOSING, MARK, OPENING, QUOTES, assigns, code, unquoted, without_strings
from coherence.formats.text import read_lines, shown
from coherence.types import Int, Real

_ASSIGNED = re.compile(r"\s*([A-Za-z]\w*(?:\.\w+)*)\s*=(?!=)\s*")
_INDEXED = re.compile(r"\s*([A-Za-z]\w*(?:\.\w+)*)\s*[({]")
_SEVERAL = re.compile(r"\s*\[([^=\[\]]*)\]\s*=(?!=)\s*(\w*)")
_HEADER = re.compile(r"\s*function\s+(?:\[([^\]]*)\]\s*=|([A-Za-z]\w*)\s*=|)\s*\w*")
_COLUMNS = re.compile(r"\s*([A-Za-z]\w*(?:\.\w+)*)\s*\(\s*:\s*,\s*(?:\[([^\]]*)\]|([^)\[\]]*))\s*\)\s*")
_WORDS = re.compile(r"[A-Za-z]\w*")
_WORD = re.compile(r"\s*([A-Za-z]\w*)")
MOST_STATEMENTS = 1000  # on one line
IDLE = {"end", "endfunction", "endif", "disp", "fprintf", "printf", "clc", "format", "more", "warning", "close", "pkg"}
RUNS = {"eval", "evalc", "evalin", "assignin", "feval", "run", "source", "builtin"}  # what they do stands in their strings
FLOW = {"if", "for", "while", "switch", "try", "do", "parfor", "unwind_protect", "else", "elseif", "case", "otherwise", "catch"}
OPENS = {"if", "for", "while", "switch", "try", "do", "parfor", "unwind_protect"}
CLOSES = {"end", "endif", "endfor", "endwhile", "endswitch", "end_try_catch", "until", "end_unwind_protect"}
#: functions that return column numbers, and what they return
INDICES = {
    "idx_bus": (1, 2, 3, 4, *range(1, 18)),
    "idx_gen": (*range(1, 11), *range(22, 26), *range(11, 22)),
    "idx_brch": (*range(1, 12), *range(14, 20), 12, 13, 20, 21),
    "idx_cost": (1, 2, 1, 2, 3, 4, 5),
}


@dataclass(frozen=True, eq=False)
class Matrix:
    """Values (rows, columns) and the line of each row, counted from 1."""

    values: Real
    lines: Int


def read_variables(path: Path, wanted: Collection[str], names: dict[str, int], returned: tuple[str, ...]) -> dict[str, Any]:
    """What a file assigns to the fields `wanted`: field -> float, str, `Matrix`, or list of str.

    `names` are the column numbers that `define_constants` defines; `returned` what the values of `[a, b] = case` are, in order.

    Raises
    ------
    CaseError
        Not readable, never closed, no number, rows of unequal length, or code; file and line are named.
    """
    return _Reader(path, wanted, names, returned).read()


class _Reader:
    def __init__(self, path: Path, wanted: Collection[str], names: dict[str, int], returned: tuple[str, ...]) -> None:
        self.path, self.wanted, self.names, self.returned = path, wanted, names, returned
        self.lines = read_lines(path)
        self.at = 0  # lines taken
        self.found: dict[str, Any] = {}
        self.known: dict[str, float] = {}  # constants
        self.fields = {f"mpc.{name}": name for name in wanted}  # as the file calls them
        self.roots = {"mpc"}
        self.entered = False

    def read(self) -> dict[str, Any]:
        rest, count = "", 0
        while rest.strip() or self.at < len(self.lines):
            count = count + 1 if rest.strip() else 0
            if count > MOST_STATEMENTS:
                self._fail(self.at, f"more than {MOST_STATEMENTS} statements on one line; break the line")
            text = rest if rest.strip() else self._line()
            rest = ""
            if not text.strip(" \t\f\v;,"):
                continue
            text = text.lstrip(" \t\f\v;,")
            target = _ASSIGNED.match(text)
            if target and text[target.end() : target.end() + 1] in ("[", "{"):
                rest = self._bracketed(target[1], text[target.end() :])
                continue
            statement, rest = self._statement(text)
            word = _WORD.match(statement)
            if word and word[1] in FLOW and rest.strip(" \t\f\v;,"):
                self._refuse(self.at, text)
            if not self._understood(statement):
                break
        return self.found

    # -- lines ----------------------------------------------------------------------------------------------------------------

    def _line(self) -> str:
        """The next line without its comment; a block comment and a continued line's dots are passed over."""
        text = self.lines[self.at]
        self.at += 1
        if text.strip() in ("%{", "#{"):
            self._block()
            return ""
        if "%" in text or "#" in text or "..." in text:
            text, more = code(text)
            if more:
                parts = [text]
                while more and self.at < len(self.lines):
                    text, more = code(self.lines[self.at])
                    self.at += 1
                    parts.append(text)
                return " ".join(parts)
        return text

    def _block(self) -> None:
        opened, depth = self.at, 1
        while depth:
            if self.at == len(self.lines):
                self._fail(opened, "a block comment is opened and never closed; add %}")
            mark = self.lines[self.at].strip()
            depth += (mark in ("%{", "#{")) - (mark in ("%}", "#}"))
            self.at += 1

    def _statement(self, text: str) -> tuple[str, str]:
        """Up to the first `;` or `,` outside of brackets and strings; lines are taken while brackets are open. And the rest."""
        parts: list[str] = []
        depth, first = 0, self.at
        while True:
            for mark in MARK.finditer(text):  # as far as needed: what follows may be long
                if mark[0] in OPENING:
                    depth += 1
                elif mark[0] in CLOSING:
                    depth -= 1
                elif mark[0] in (";", ",") and depth <= 0:
                    return " ".join([*parts, text[: mark.start()]]), text[mark.end() :]
            parts.append(text)
            if depth <= 0:
                return " ".join(parts), ""
            if self.at == len(self.lines):
                self._fail(first, f"{shown(parts[0])} opens a bracket that is never closed; is the file cut off?")
            text = self._line()

    # -- values ---------------------------------------------------------------------------------------------------------------

    def _bracketed(self, target: str, text: str) -> str:
        """Take a matrix or cell; what follows its closing bracket on that line."""
        opened, name = self.at, self.fields.get(target)
        if name is None:
            if target in self.roots and text.strip().rstrip(";") != "[]":
                self._fail(opened, f"{target} is a matrix here, not a struct of tables; give a MATPOWER case")
            self.known.pop(target, None)
            return self._pass_over(target, text)
        if text[0] == "{":
            return self._cell(name, target, text[1:])
        values, counts, lines, text = array("d"), [], [], text[1:]
        line = opened
        while True:
            last = text.find("]")
            body = text if last < 0 else text[:last]
            if "[" in body or "=" in body:
                self._fail(line, f"{shown(body)} stands inside {target}, opened in line {opened}; is its closing bracket missing?")
            for row in body.split(";"):
                if not row.strip():
                    continue
                numbers = self._numbers(row, line, target)
                values.extend(numbers)
                counts.append(len(numbers))
                lines.append(line)
            if last >= 0:
                break
            if self.at == len(self.lines):
                self._fail(opened, f"{target} is opened here and never closed; is the file cut off?")
            text = self._line()
            line = self.at
        width = np.array(counts, dtype=int)
        if width.size and (width != width[0]).any():
            bad = int(np.argmax(width != width[0]))
            self._fail(
                lines[bad], f"this row of {target} has {counts[bad]} entries, those above have {counts[0]}; give all rows the same"
            )
        self.found[name] = Matrix(np.array(values).reshape(len(counts), -1 if counts else 0), np.array(lines, dtype=int))
        rest = text[last + 1 :]
        if rest.strip() and rest.strip()[0] not in ";,":
            self._refuse(line, f"{target} = [...]{rest}")
        return rest

    def _numbers(self, row: str, line: int, target: str) -> list[float]:
        plain = row.replace(",", " ") if "," in row else row
        if plain.isascii() and "_" not in plain:
            try:
                numbers = [*map(float, plain.split())]
            except ValueError:
                pass
            else:
                if plain is row or all(part.strip() for part in row.split(",")[:-1]):
                    return numbers
        entry = row.strip()
        try:
            numbers = []
            for entry in entries(row):
                numbers.append(Expression(entry, self._lookup).value())
            return numbers
        except NotConstant:
            self._fail(line, f"{shown(entry)} in {target} is no number; write it out as one")

    def _cell(self, name: str, target: str, text: str) -> str:
        opened: int = self.at
        strings: list[str] = []
        while True:
            for mark in MARK.finditer(text):
                if mark[0] == "}":
                    self.found[name] = strings
                    return text[mark.end() :]
                if mark[0][0] in QUOTES:
                    strings.append(unquoted(mark[0]))
                elif mark[0] == "=":
                    self._fail(
                        self.at, f"{shown(text)} stands inside {target}, opened in line {opened}; is its closing brace missing?"
                    )
            if self.at == len(self.lines):
                self._fail(opened, f"{target} is opened here and never closed; is the file cut off?")
            text = self._line()

    def _pass_over(self, target: str, text: str) -> str:
        opened, depth = self.at, 0
        while True:
            for mark in MARK.finditer(text):
                depth += (mark[0] in OPENING) - (mark[0] in CLOSING)
                if depth == 0 and mark[0] in CLOSING:
                    return self._statement(text[mark.end() :])[1]
            if self.at == len(self.lines):
                self._fail(opened, f"{target} is opened here and never closed; is the file cut off?")
            text = self._line()

    # -- statements -----------------------------------------------------------------------------------------------------------

    def _understood(self, text: str) -> bool:
        """Do what a statement says; False where the data end."""
        found = _WORD.match(text)
        word = found[1] if found else ""
        if RUNS & set(_WORDS.findall(without_strings(text))):
            self._refuse(self.at, text)
        if word == "function":
            return self._function(text)
        if word == "return":
            return False
        if word == "define_constants":
            self.known |= {name: float(column) for name, column in self.names.items()}
        elif word == "if" and self._false(text[text.index("if") + 2 :]):
            self._skip()
        elif word in FLOW:
            self._refuse(self.at, text)
        elif several := _SEVERAL.match(text):
            self._several(text, several)
        elif target := _ASSIGNED.match(text):
            self._assign(text, target[1], text[target.end() :])
        elif (indexed := _INDEXED.match(text)) and assigns(text):
            self._columns(text, indexed[1])
        elif word not in IDLE and text.strip() != "1":
            self._refuse(self.at, text)
        return True

    def _function(self, text: str) -> bool:
        header = _HEADER.match(text)
        if self.entered or self.found:
            return False  # functions of its own, below
        self.entered = True
        if header and header[1] is not None:
            listed = [name for name in re.split(r"[\s,]+", header[1]) if name]
            if len(listed) == 1:
                self.roots = {listed[0]}
                self.fields = {f"{listed[0]}.{name}": name for name in self.wanted}
            else:
                self.roots, self.fields = set(), dict(zip(listed, self.returned, strict=False))
        elif header and header[2]:
            self.roots = {header[2]}
            self.fields = {f"{header[2]}.{name}": name for name in self.wanted}
        return True

    def _assign(self, text: str, target: str, value: str) -> None:
        value, name = value.strip(), self.fields.get(target)
        if target in self.roots:
            if not re.fullmatch(r"struct\s*(\(\s*\))?", value) or self.found:
                self._refuse(self.at, text)
            return
        if name is not None and (string := MARK.fullmatch(value)) and string[0][0] in QUOTES:
            self.found[name] = unquoted(value)
            return
        try:
            number = Expression(value, self._lookup).value()
        except NotConstant:
            self.known.pop(target, None)
            if name is not None:
                self._refuse(self.at, text)
            return
        if name is None:
            self.known[target] = number
        else:
            self.found[name] = number

    def _several(self, text: str, several: re.Match[str]) -> None:
        targets = [name for name in re.split(r"[\s,]+", several[1]) if name]
        if any(name in self.fields or name.split(".")[0] in self.roots for name in targets):
            self._refuse(self.at, text)
        for name in targets:
            self.known.pop(name, None)
        self.known |= {name: float(column) for name, column in zip(targets, INDICES.get(several[2], ()), strict=False)}

    def _columns(self, text: str, target: str) -> None:
        """`T(:, a) = T(:, b) * constant / constant`; anything else with an index is nothing to us, or refused."""
        if target not in self.fields and target.split(".")[0] not in self.roots:
            return
        parts = text.split("=", 1)
        left, right = _COLUMNS.fullmatch(parts[0]), _COLUMNS.match(parts[1])
        table = self.found.get(self.fields.get(target, ""))
        if left and right and left[1] == right[1] == target and isinstance(table, Matrix):
            try:
                into, source = (self._positions(m[2] if m[2] is not None else m[3], table) for m in (left, right))
                if len(into) == len(source) and len(set(into)) == len(into):
                    scaled = Expression(parts[1][right.end() :], self._lookup)
                    with np.errstate(all="ignore"):
                        table.values[:, into] = scaled.scaled(table.values[:, source])
                    return
            except NotConstant:
                pass
        if target in self.fields or self.fields.keys() & {target, *(f"{target}.{w}" for w in self.wanted)}:
            self._refuse(self.at, text)

    def _positions(self, text: str, table: Matrix) -> list[int]:
        found = [Expression(entry, self._lookup).value() for entry in entries(text)]
        if not found or not all(1 <= p <= table.values.shape[1] and p == int(p) for p in found):
            raise NotConstant
        return [int(p) - 1 for p in found]

    def _lookup(self, name: str, arguments: list[float] | None) -> float:
        value = self.known.get(name) if name in self.known else self.found.get(self.fields.get(name, ""))
        if arguments is None and isinstance(value, float):
            return value
        if isinstance(value, Matrix) and arguments is not None and len(arguments) == 2:
            i, j = arguments
            if i in range(1, value.values.shape[0] + 1) and j in range(1, value.values.shape[1] + 1):
                return float(value.values[int(i) - 1, int(j) - 1])
        raise NotConstant

    def _false(self, condition: str) -> bool:
        try:
            return Expression(condition, self._lookup).value() == 0.0
        except NotConstant:
            return False

    def _skip(self) -> None:
        """Pass over the body of a condition that is false."""
        opened, depth = self.at, 1
        while depth:
            if self.at == len(self.lines):
                self._fail(opened, "a condition is opened here and never ended; is the file cut off?")
            text = self._line()
            words = [word for word in _WORDS.findall(without_strings(text)) if word in FLOW or word in CLOSES]
            if not words:
                continue
            # one keyword a line, at its beginning: anything else might end elsewhere than it seems
            if len(words) > 1 or text.split()[0].rstrip(";,(") != words[0] or (depth == 1 and words[0] in FLOW - OPENS):
                self._refuse(self.at, text)
            depth += (words[0] in OPENS) - (words[0] in CLOSES)

    def _fail(self, line: int, what: str) -> NoReturn:
        raise CaseError(f"{self.path}, line {line}: {what}")

    def _refuse(self, line: int, text: str) -> NoReturn:
        self._fail(
            line, f"{shown(text)} is not plain data, and no code is executed; save the case with MATPOWER's savecase, or as .mat"
        )
