r"""PSS/E RAW files (versions 32 to 35) as sections of records with named fields; `raw_case` makes the grid of them.

    IC, SBASE, REV, XFRRAT, NXFRAT, BASFRQ / comment        (three lines; fields part by commas or blanks, '/' begins a comment)
    records of one section, each on one line or a fixed number of lines
    0 / END OF ... DATA, BEGIN ... DATA                      (and so on, to Q or the end of the file)

What a section is called is taken from the line that begins it, or else from the version's order of sections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from coherence.errors import CaseError
from coherence.formats.text import read_lines, shown
from coherence.types import Real

VERSIONS = (32, 33, 34, 35)
_RATES = {32: 3, 33: 3, 34: 12, 35: 12}  # ratings of a branch
#: sections in their order, with the word that tells each from the others in "BEGIN ... DATA"
_ORDER = {
    "bus": "BUS",
    "load": "LOAD",
    "fixed shunt": "FIXED",
    "generator": "GENERATOR",
    "branch": "BRANCH",
    "switching device": "SWITCHING",
    "transformer": "TRANSFORMER",
    "area": "AREA",
    "two-terminal dc": "TWO TERMINAL",
    "vsc dc": "VSC",
    "impedance correction": "CORRECTION",
    "multi-terminal dc": "MULTI TERMINAL",
    "multi-section line": "MULTI SECTION",
    "zone": "ZONE",
    "inter-area transfer": "TRANSFER",
    "owner": "OWNER",
    "facts": "FACTS",
    "switched shunt": "SWITCHED",
    "gne": "GNE",
    "induction machine": "INDUCTION",
    "substation": "SUBSTATION",
}
#: other spellings of those words
_SPELLINGS = {"-": " ", "INTERAREA": "TRANSFER", "VOLTAGE SOURCE": "VSC", "GENERIC NETWORK": "GNE", "TWOTERM": "TWO TERM"}
#: words in the order in which they decide: "SUBSTATION SWITCHING DEVICE" is no switching device, "NON-TRANSFORMER BRANCH" no
#: transformer, "FIXED BUS SHUNT" no bus
_RANK = {"SUBSTATION": -2, "GENERATOR": 1, "BRANCH": 2, "TRANSFORMER": 3, "BUS": 4, "AREA": 5, "LOAD": 6}
_WORDS = sorted(_ORDER.items(), key=lambda item: _RANK.get(item[1], 0))
#: a file that ends before these have ended is cut off
NEEDED = ("bus", "load", "fixed shunt", "generator", "branch", "switching device", "transformer")
LINES = {"two-terminal dc": 3, "vsc dc": 3}


def fields(section: str, version: int) -> list[str]:
    """Names of a record's fields, as far as they matter here; of a transformer, those of its first line."""
    new = version >= 34
    named = {
        "bus": "I NAME BASKV IDE AREA ZONE OWNER VM VA",
        "load": "I ID STATUS AREA ZONE PL QL IP IQ YP YQ OWNER SCALE INTRPT" + (" DGENP DGENQ DGENM" if new else ""),
        "fixed shunt": "I ID STATUS GL BL",
        "generator": "I ID PG QG QT QB VS IREG " + ("NREG " if version >= 35 else "") + "MBASE ZR ZX RT XT GTAP STAT RMPCT PT PB",
        "branch": "I J CKT R X B " + ("NAME " if new else "") + "RATE " * _RATES[version] + "GI BI GJ BJ ST",
        "switching device": "I J CKT X " + "RATE " * 12 + "STAT",
        "transformer": "I J K CKT CW CZ CM MAG1 MAG2 NMETR NAME STAT",
        "switched shunt": (
            "I ID MODSW ADJM STAT VSWHI VSWLO SWREG NREG" if version >= 35 else "I MODSW ADJM STAT VSWHI VSWLO SWREM"
        )
        + " RMPCT RMIDNT BINIT",
        "two-terminal dc": "NAME MDC RDC SETVL VSCHD VCMOD RCOMP",
        "vsc dc": "NAME MDC RDC",
    }
    return named.get(section, "").split()


@dataclass(frozen=True)
class Section:
    """Records of one section: `rows[k]` are the texts of the first line of record k, which is line `lines[k]` of the file."""

    name: str
    where: str
    fields: list[str]
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    more: list[list[list[str]]] = field(default_factory=list)  # record -> its further lines

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Where a record stands."""
        return f"{self.where}, line {self.lines[row]}"

    def text(self, name: str) -> list[str]:
        """A field of every record, without quotes and blanks; empty where it is not given."""
        k = self.fields.index(name)
        return [row[k].strip("'\" ") if k < len(row) else "" for row in self.rows]

    def numbers(self, name: str, default: float | None = None) -> Real:
        """A field of every record as numbers; `default` where it is not given (None: it must be).

        Raises
        ------
        CaseError
            A record that is too short, or a field that is no finite number; the line is named.
        """
        return numbers(self, self.text(name), name, default)


def numbers(section: Section, texts: list[str], name: str, default: float | None) -> Real:
    """Texts, one a record, as finite numbers; `default` for empty ones (None: there must be none)."""
    given = texts if default is None else [text or repr(default) for text in texts]
    together = "".join(given)
    try:
        found = np.array(given, dtype=float) if given else np.zeros(0)
        if np.isfinite(found).all() and together.isascii() and "_" not in together:  # Python reads more than files should hold
            return found
    except ValueError:
        pass
    found = np.array([number(text) for text in given])
    if np.isfinite(found).all():
        return found
    row = int(np.argmax(~np.isfinite(found)))
    if not given[row]:
        got = len(section.rows[row])
        raise CaseError(f"{section.place(row)}: the {section.name} record has {got} fields and no {name}; complete the record")
    raise CaseError(f"{section.place(row)}: {name} = {shown(given[row])} of the {section.name} record is not a finite number")


def number(text: str) -> float:
    """A number as Fortran writes it (1.5, .5E-2, 1.D3), NaN for what is none."""
    if "_" in text or not text.isascii():
        return np.nan
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(re.sub("[dD]", "e", text)) if text[:1] in "+-.0123456789" else np.nan
    except ValueError:
        return np.nan


@dataclass(frozen=True)
class Raw:
    """The sections of a RAW file, with its system base [MVA], version and frequency [Hz] (None: not stated)."""

    where: str
    title: str
    base_mva: float
    version: int
    f_hz: float | None
    sections: dict[str, Section]
    zero_impedance: float

    def __getitem__(self, name: str) -> Section:
        empty = Section(name, self.where, fields(name, self.version))
        return self.sections.get(name, empty)


def read_raw(path: Path) -> Raw:
    """Read the sections of a RAW file.

    Raises
    ------
    CaseError
        Not a RAW file of version 32 to 35, or one that is cut off; the line is named.
    """
    lines = [(k, line) for k, line in enumerate(read_lines(path), start=1) if not line.lstrip().startswith("@!")]
    lines = lines[:3] + [(k, line) for k, line in lines[3:] if line.strip()]  # titles may be empty
    where = str(path)
    if not any(line.strip() for _, line in lines):
        raise CaseError(f"{where} is empty; give a PSS/E RAW file")
    base, version, f_hz = _header(lines[0][1], where)
    title = " ".join(line.strip() for _, line in lines[1:3] if line.strip())
    order = [name for name in _ORDER if version >= 34 or name not in ("switching device", "substation")]
    threshold = 1e-4
    sections: dict[str, Section] = {}
    at, current = 3, "system-wide" if version >= 34 else "bus"
    while at < len(lines):
        number_of_line, line = lines[at]
        parts = split(line)
        if len(parts) == 1 and parts[0] in ("Q", "q"):
            break
        if current == "system-wide" and parts and parts[0] != "0" and parts[0].isdigit():
            current = "bus"  # a file without system-wide data
        if _ends(parts, line, current):
            current = _begins(line, current, order)
            at += 1
            continue
        at += 1
        if current == "system-wide":
            stated = _THRESHOLD.search(line)
            threshold = abs(number(stated[1])) if stated and np.isfinite(number(stated[1])) else threshold
        if current == "system-wide" or not any(parts):
            continue
        if current not in sections:
            sections[current] = Section(current, where, fields(current, version))
        section = sections[current]
        more = _more_lines(current, parts)
        if at + more > len(lines):
            raise CaseError(
                f"{where} ends in line {lines[-1][0]}, within the {current} record of line {number_of_line}; it is cut off"
            )
        section.rows.append(parts)
        section.more.append([split(continued) for _, continued in lines[at : at + more]])
        at += more
        section.lines.append(number_of_line)
    else:
        if current in NEEDED or (current in sections and sections[current].lines[-1] == lines[-1][0]):
            raise CaseError(
                f"{where} ends in line {lines[-1][0]}, within its {current} data (no line '0' ends them); the file is cut off"
            )
    if "bus" not in sections:
        raise CaseError(f"{where} has no buses; give a PSS/E RAW file of version 32 to 35")
    return Raw(where, title, base, version, f_hz, sections, threshold)


def split(line: str) -> list[str]:
    """The fields of a line: parted by commas or blanks, quotes kept, everything after a slash outside of quotes left out."""
    if "'" not in line and '"' not in line:
        line = line.split("/", 1)[0]
        if "," not in line:
            return line.split()
        parts = [part.strip() for part in line.split(",")]
        return [field for part in parts for field in _numbers_apart(part)] if " " in "".join(parts) else parts
    if "," in line and "/" not in line and '"' not in line:
        parts = [part.strip() for part in line.split(",")]
        if not any(part.count("'") & 1 for part in parts):  # no comma within quotes
            return parts
    tokens = _TOKEN.findall(line)
    if "/" in tokens:
        tokens = tokens[: tokens.index("/")]
    if "," not in tokens:
        return tokens
    commas = [-1, *(k for k, token in enumerate(tokens) if token == ","), len(tokens)]
    return [field for i, j in pairwise(commas) for field in _numbers_apart(" ".join(tokens[i + 1 : j]))]


def _numbers_apart(part: str) -> list[str]:
    """Numbers that blanks part within commas, as some programs write them; other texts keep their blanks."""
    words = part.split()
    return words if len(words) > 1 and all(np.isfinite(number(word)) for word in words) else [part]


#: a quote ends where a separator follows, so that 'O'BRIEN' is one name
_TOKEN = re.compile(r"'[^']*(?:'(?![\s,/]|$)[^']*)*'|\"[^\"]*\"|/|,|[^\s,/'\"]+|['\"]")
_THRESHOLD = re.compile(r"\bTHRSHZ\s*=\s*([^\s,/]+)")


def _header(line: str, where: str) -> tuple[float, int, float | None]:
    parts = split(line)
    base = number(parts[1]) if len(parts) > 1 else np.nan
    version = number(parts[2]) if len(parts) > 2 else np.nan
    f_hz = number(parts[5]) if len(parts) > 5 else np.nan
    if not (np.isfinite(base) and base > 0):
        raise CaseError(f"{where}, line 1 states no system base ({shown(line.strip())}); a RAW file begins with IC, SBASE, REV")
    if version not in VERSIONS:
        stated = f"version {shown(parts[2])}" if len(parts) > 2 else "no version"
        raise CaseError(f"{where}, line 1 states {stated}; versions 32 to 35 are read: save the case as one of them")
    return base, int(version), float(f_hz) if np.isfinite(f_hz) and f_hz > 0 else None


def _ends(parts: list[str], line: str, section: str) -> bool:
    """Whether a line ends its section: a lone 0. Records have more fields, and none that is read begins with 0."""
    if not parts or parts[0] != "0":
        return False
    return not any(parts[1:]) or "/" in line or section in NEEDED


def _begins(line: str, ended: str, order: list[str]) -> str:
    """The section that a line begins: what it says, otherwise what comes next."""
    said = re.search(r"BEGIN\s+(.*?)(\s+DATA|$)", line.upper())
    if said:
        words = said.group(1)
        for spelling, word in _SPELLINGS.items():
            words = words.replace(spelling, word)
        found = next((name for name, word in _WORDS if word in words), None)
        if found is not None:
            return found
    if ended == "system-wide":
        return "bus"
    return order[min(order.index(ended) + 1, len(order) - 1)] if ended in order else ended


def _more_lines(section: str, parts: list[str]) -> int:
    """How many lines follow the first of a record."""
    if section == "transformer":
        return 3 if len(parts) < 3 or parts[2] in ("0", "") else 4
    if section == "multi-terminal dc":  # converters, dc buses and dc links
        return sum(_count(parts, k) for k in (1, 2, 3))
    if section == "gne":  # values of three kinds, ten on a line
        last = 3 + _count(parts, 2)
        return sum(-(-_count(parts, k) // 10) for k in (last, last + 1, last + 2))
    return LINES.get(section, 1) - 1


def _count(parts: list[str], position: int) -> int:
    return int(parts[position]) if len(parts) > position and _COUNT.fullmatch(parts[position]) else 0


_COUNT = re.compile(r"[0-9]{1,6}")
