r"""Constant arithmetic as MATLAB writes it, evaluated by a parser of its own: numbers, + - * / ^, parentheses, few functions.

    expression = term {(+|-) term},  term = unary {(*|/) unary},  unary = (+|-) unary | power,  power = atom {^ signed atom}

Nothing is executed: what is no constant is `NotConstant`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from coherence.types import Real

DEPTH = 40  # of parentheses
NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_PIECE = re.compile(rf"\s*({NUMBER}|[A-Za-z]\w*(?:\.[A-Za-z]\w*)*|\.[*/^]|[-+*/^(),:])", re.ASCII)
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    name: getattr(math, name) for name in ("sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "exp")
} | {"abs": abs}
_CONSTANTS = {"pi": math.pi, "Inf": math.inf, "inf": math.inf, "NaN": math.nan, "nan": math.nan}
Lookup = Callable[[str, "list[float] | None"], float]  # a name, its arguments -> value


class NotConstant(Exception):  # noqa: N818 - a verdict, not an error: the caller says what it means
    """The text is no constant."""


class Expression:
    """A text with a cursor; `lookup` knows the names that are neither constants nor functions.

    Examples
    --------
    >>> def nothing(name, arguments):
    ...     raise NotConstant
    >>> Expression("12/sqrt(9) - 2^2", nothing).value()
    0.0
    """

    def __init__(self, text: str, lookup: Lookup) -> None:
        self.pieces: list[str] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            found = _PIECE.match(text, at)
            if found is None:
                raise NotConstant
            self.pieces.append(found[1])
            at = found.end()
        self.lookup, self.at, self.depth = lookup, 0, 0

    def value(self) -> float:
        """All of the text as one number."""
        result = self._sum()
        if self.at < len(self.pieces):
            raise NotConstant
        return result

    def scaled(self, column: Real) -> Real:
        """A column times and over what the text says from here: `* 2 / (3^2)`, in that order."""
        while self._next() in ("*", "/", ".*", "./"):
            operator, factor = self._take(), self._unary()
            column = column * factor if operator[-1] == "*" else column / factor
        if self.at < len(self.pieces):
            raise NotConstant
        return column

    def _next(self) -> str:
        return self.pieces[self.at] if self.at < len(self.pieces) else ""

    def _take(self) -> str:
        piece = self._next()
        self.at += 1
        return piece

    def _sum(self) -> float:
        total = self._product()
        while self._next() in ("+", "-"):
            total = total + self._product() if self._take() == "+" else total - self._product()
        return total

    def _product(self) -> float:
        total = self._unary()
        while self._next() in ("*", "/", ".*", "./"):
            if self._take()[-1] == "*":
                total *= self._unary()
            else:
                total = _ratio(total, self._unary())
        return total

    def _unary(self) -> float:
        sign = 1.0
        while self._next() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power()

    def _power(self) -> float:
        base = self._atom()
        while self._next() in ("^", ".^"):
            self._take()
            sign = 1.0
            while self._next() in ("+", "-"):
                sign = -sign if self._take() == "-" else sign
            try:
                base = math.pow(base, sign * self._atom())
            except (ValueError, OverflowError):  # complex, or beyond all numbers
                raise NotConstant from None
        return base

    def _atom(self) -> float:
        piece = self._take()
        if piece == "(":
            return self._inside()
        if piece[:1].isdigit() or (piece[:1] == "." and piece[1:2].isdigit()):
            return float(piece.replace("d", "e").replace("D", "e"))
        if not piece[:1].isalpha():
            raise NotConstant
        arguments = None
        if self._next() == "(":
            self._take()
            arguments = self._arguments()
        try:
            return self.lookup(piece, arguments)  # a variable hides the constant or function of its name
        except NotConstant:
            pass
        if piece in _CONSTANTS and arguments is None:
            return _CONSTANTS[piece]
        if piece in _FUNCTIONS and arguments is not None and len(arguments) == 1:
            try:
                return float(_FUNCTIONS[piece](arguments[0]))
            except (ValueError, OverflowError):
                raise NotConstant from None
        raise NotConstant

    def _arguments(self) -> list[float]:
        found = [self._deeper()]
        while self._next() == ",":
            self._take()
            found.append(self._deeper())
        if self._take() != ")":
            raise NotConstant
        return found

    def _inside(self) -> float:
        result = self._deeper()
        if self._take() != ")":
            raise NotConstant
        return result

    def _deeper(self) -> float:
        self.depth += 1
        if self.depth > DEPTH:
            raise NotConstant
        result = self._sum()
        self.depth -= 1
        return result


def _ratio(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def entries(row: str) -> list[str]:
    """The entries of a matrix row, by MATLAB's rule: a blank ends an entry unless an operator stands there; `1 -2` are two."""
    found, now, depth, before = [], "", 0, ""
    pieces = re.split(r"(\s+|,)", row.strip())
    for i, piece in enumerate(pieces):
        if piece == "":
            continue
        if piece == "," and depth == 0:
            if not now.strip():
                raise NotConstant
            found.append(now)
            now, before = "", ","
            continue
        if piece.isspace():
            after = next((p for p in pieces[i + 1 : i + 3] if p), "")
            binary = (
                after[:1] in ("*", "/", "^") or (after[:1] in ("+", "-") and len(after) == 1) or after[:2] in (".*", "./", ".^")
            )
            if depth == 0 and now.strip() and now.rstrip()[-1] not in "+-*/^(" and not binary and after != ",":
                found.append(now)
                now = ""
            continue
        depth += piece.count("(") - piece.count(")")
        now, before = now + piece, piece
    if now.strip():
        found.append(now)
    elif before == ",":
        pass  # a comma at the end of a row is idle
    return found
