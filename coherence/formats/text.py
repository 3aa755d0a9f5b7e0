"""Text of files in whatever encoding they come."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

from coherence.errors import CaseError, InputError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path) -> str:
    """The text of a file: UTF-8 or UTF-16 where it says or is so, otherwise Latin-1, in which every byte is a character.

    Raises
    ------
    CaseError
        The file does not exist, is a folder, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {error.strerror or error}") from None
    known = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(known).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_lines(path: Path) -> list[str]:
    """The lines of a file as editors number them: only CR and LF end one (not form feeds, nor NEL, which is … in cp1252)."""
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


def shown(text: str) -> str:
    """A piece of a file for a message: quoted, on one line, blanks as one, not longer than 60 characters."""
    text = " ".join(text[:1000].split())
    return repr(text if len(text) <= 60 else text[:57] + "...")


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, replaced only when complete; errors as in `write_texts`."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write files in UTF-8, replaced only when all are complete.

    Raises
    ------
    InputError
        A folder that does not exist.
    """
    for path in texts:
        if not path.absolute().parent.is_dir():
            raise InputError(f"the folder of {path} does not exist; make it first")
    parts = {path: path.with_name(path.name + ".part") for path in texts}
    for path, part in parts.items():
        part.write_text(texts[path], encoding="utf-8", newline="\n")
    for path, part in parts.items():
        part.replace(path)
