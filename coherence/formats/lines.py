r"""Lines of MATLAB text: comments, strings, and the marks between them."""

from __future__ import annotations

import re

# a quote after a word, a bracket or another quote transposes; any other begins a string
_STRINGS = r"""(?<![\w\])}.'])'(?:[^']|'')*'|"(?:[^"]|"")*\""""
_QUIET = re.compile(rf"{_STRINGS}|[%#].*|\.\.\..*", re.S)
_EQUALS = re.compile(r"[][(){}]|[=~<>!]=|=")
MARK = re.compile(rf"{_STRINGS}|[][(){{}};,=]")  # strings, whole; and what divides
QUOTES, OPENING, CLOSING = "'\"", "[({", "])}"


def code(text: str) -> tuple[str, bool]:
    """A line without its comment, and whether dots continue it.

    Examples
    --------
    >>> code("x = 'it''s 5 %'; % five")
    ("x = 'it''s 5 %'; ", False)
    """
    for mark in _QUIET.finditer(text):
        if mark[0][0] in "%#":
            return text[: mark.start()], False
        if mark[0][0] == ".":
            return text[: mark.start()], True
    return text, False


def without_strings(text: str) -> str:
    """A line without its strings and comment."""
    return _QUIET.sub("", text)


def unquoted(text: str) -> str:
    """What a string in quotes says."""
    return text[1:-1].replace(2 * text[0], text[0])


def assigns(text: str) -> bool:
    """Whether an assignment stands outside of brackets and strings."""
    depth = 0
    for mark in _EQUALS.finditer(without_strings(text)):
        depth += (mark[0] in OPENING) - (mark[0] in CLOSING)
        if mark[0] == "=" and depth == 0:
            return True
    return False
