r"""Cases from files, by content and ending, and the shipped cases by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError, UnknownNameError
from coherence.formats.folder import cases_folder, read_folder, shipped_cases
from coherence.formats.graphs import case_of_graph
from coherence.formats.machines import add_machines
from coherence.formats.matpower import read_matpower
from coherence.formats.pandapower import case_of_pandapower
from coherence.formats.pandapower_json import read_pandapower
from coherence.formats.raw_case import read_raw_case
from coherence.formats.typical import with_typical_values
from coherence.grids.case import Case
from coherence.grids.topology import finished, warn_of_units
from coherence.nodes.nodes import unknown_name

Machines = str | Path | pd.DataFrame
MachineTables = Machines | Sequence[Machines] | None  # in the order in which they are added


def load_case(name: str) -> Case:
    """A shipped case by name, e.g. "iceland" or "five_generators".

    Parameters
    ----------
    name : str
        One of `shipped_cases()`.

    Returns
    -------
    Case

    Raises
    ------
    UnknownNameError
        No case of that name; close names are listed.

    Examples
    --------
    >>> from coherence import load_case
    >>> load_case("iceland")
    Case('iceland': 189 buses, 206 branches, 35 generators, 50 Hz, 100 MVA)
    """
    known = shipped_cases()
    if name not in known:
        raise UnknownNameError(unknown_name("shipped case", name, known))
    return read_folder(cases_folder() / name)


def read_case(
    source: str | Path | Any,
    *,
    machines: MachineTables = None,
    f_hz: float | None = None,
    base_mva: float | None = None,
    typical: bool = False,
) -> Case:
    """Read a grid, by the content and ending of its file or by what the object is.

    ================================  =======================================================================
    case folder                       case.toml with CSV tables (`Case` lists them); `write_case` writes one
    MATPOWER case (.m, .mat)          version 1 or 2, nothing in it is executed
    PSS/E power flow (.raw)           versions 32 to 35; dynamics by `machines="grid.dyr"`
    pandapower (.json, or a network)  as its power flow sees it
    networkx graph                    columns of the tables as attributes of nodes and edges; see `case_of_graph`
    ================================  =======================================================================

    Parameters
    ----------
    source : str, Path, pandapower network or networkx graph
    machines : DataFrame, path of a CSV or DYR file, or several of them, optional
        Inertia, damping and governors of the generators; see `add_machines`. Several are added in their order.
    f_hz : float, optional
        Nominal frequency [Hz] where the file states none (MATPOWER, networkx), or in place of pandapower's default.
    base_mva : float, optional
        System base of a pandapower network or networkx graph; other files state theirs.
    typical : bool
        Whether to fill machine figures that are missing with typical ones; see `with_typical_values`. They are marked.

    Returns
    -------
    Case
        `notes` say what was left out, `records` what each dynamic record became.

    Raises
    ------
    CaseError
        Names the file, line or row, and column of the first thing that cannot be used.
    MissingExtraError
        A pandapower file without the extra `grids`.

    Warns
    -----
    UnitsWarning
        Machine figures that look doubled or on another base; they stand in `notes` too.

    Examples
    --------
    >>> from coherence.formats.folder import cases_folder
    >>> read_case(cases_folder() / "five_generators")
    Case('five_generators': 5 nodes, no grid)
    """
    if f_hz is not None and not (isinstance(f_hz, (int, float, np.number)) and np.isfinite(f_hz) and f_hz > 0):
        raise InputError(f"f_hz = {f_hz!r}; give the nominal frequency in Hz, > 0")
    if not isinstance(source, (str, Path)):
        return _completed(_of_object(source, f_hz, base_mva), machines, typical)
    path = Path(source)
    kind = file_kind(path)
    if base_mva is not None and kind != "pandapower":
        raise InputError(f"base_mva = {base_mva!r} is for pandapower networks and graphs; {path} states its own, leave it out")
    if kind == "pandapower":
        return _completed(read_pandapower(path, f_hz=f_hz, base_mva=base_mva), machines, typical)
    if kind == "matpower":
        case = finished(read_matpower(path, f_hz=f_hz))
    elif kind == "raw":
        case = _stated(finished(read_raw_case(path)), f_hz)
    else:
        case = _stated(read_folder(path), f_hz)
    return _completed(case, machines, typical)


def file_kind(path: Path) -> str:
    """What a file is: "folder", "matpower", "raw", "pandapower" or "network" (one that `save_network` wrote).

    Raises
    ------
    CaseError
        Nothing that is known; the message says what to give instead.
    """
    if path.is_dir():
        return "folder"
    ending = path.suffix.lower()
    if ending in _NO_CASE:
        raise CaseError(f"{path} {_NO_CASE[ending]}")
    if not path.exists():
        raise CaseError(f"{path} does not exist; give {_KNOWN} or one of {', '.join(shipped_cases())}")
    if ending in (".m", ".mat"):
        return "matpower"
    if ending == ".raw":
        return "raw"
    begin = _beginning(path)
    if ending == ".json" or begin.lstrip().startswith("{"):
        return "network" if '"coherence-network"' in begin else "pandapower"
    if begin.startswith("MATLAB 5.0 MAT-file") or re.search(
        r"^\s*function\b|\bmpc\s*\.\s*(version|baseMVA|bus)\s*=", begin, re.MULTILINE
    ):
        return "matpower"
    if re.match(r"(@!.*\n)?\s*[01]\s*,\s*[0-9.]+\s*,\s*3[0-9]\b", begin):
        return "raw"
    raise CaseError(f"{path} is no case: it is neither {_KNOWN}")


_KNOWN = "a case folder, a MATPOWER file (.m, .mat), a PSS/E RAW file (.raw) or a pandapower network (.json)"
_NO_CASE = {
    ".dyr": "holds dynamics only; read the RAW file with machines=this file (command line: --machines)",
    ".csv": "is a table; read the grid with machines=this file (command line: --machines), or give the folder of a case",
    ".toml": "belongs to a case folder; give the folder",
    ".sav": "is PSS/E's binary format; save the case as a RAW file",
    ".p": "may be a pickle, which runs code when it is read; save the network with pandapower.to_json",
    ".pkl": "may be a pickle, which runs code when it is read; save the network with pandapower.to_json",
    ".xlsx": "is a spreadsheet; save the network with pandapower.to_json, or its tables as a case folder",
    ".xml": "is no case that is read here; convert it to a MATPOWER file or a PSS/E RAW file",
    ".zip": "is an archive; unpack it",
}


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("latin-1")
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {error.strerror or error}") from None


def _of_object(source: Any, f_hz: float | None, base_mva: float | None) -> Case:
    if hasattr(source, "adjacency") and hasattr(source, "nodes"):  # networkx is not loaded to find out
        if f_hz is None:
            raise InputError("a graph does not state its frequency; give f_hz=50 or 60")
        return case_of_graph(source, f_hz=f_hz, base_mva=100.0 if base_mva is None else base_mva)
    if hasattr(source, "ext_grid"):
        return case_of_pandapower(source, f_hz=f_hz, base_mva=base_mva)
    raise InputError(f"the grid is a {type(source).__name__}; give a path, a pandapower network or a networkx graph")


def _completed(case: Case, machines: MachineTables, typical: bool) -> Case:
    """The case with machine tables added and, where asked, typical figures for what is still missing."""
    given: Sequence[Any] = [] if machines is None else machines if isinstance(machines, (list, tuple)) else [machines]
    for table in given:
        case = add_machines(case, table)
    if typical:
        case = with_typical_values(case)
    return case if given else warn_of_units(case)


def open_case(
    case: Case | str | Path | Any,
    *,
    machines: MachineTables = None,
    f_hz: float | None = None,
    typical: bool = False,
) -> Case:
    """A Case as it is, a shipped case by name, or what `read_case` reads; the other parameters as there."""
    if isinstance(case, Case):
        return _completed(_stated(case, f_hz), machines, typical)
    text = str(case)
    if isinstance(case, str):
        path = Path(text)
        if text in shipped_cases() and not (path / "case.toml").exists():
            return _completed(_stated(load_case(text), f_hz), machines, typical)
        if not (path.exists() or "/" in text or "\\" in text or path.suffix):
            return load_case(text)
    if case is None or isinstance(case, (int, float, bytes)):
        raise InputError(f"{case!r} is no case or network; give a Case, a Network, the name of a shipped case, or a path")
    return read_case(case, machines=machines, f_hz=f_hz, typical=typical)


def _stated(case: Case, f_hz: float | None) -> Case:
    if f_hz is None:
        return case
    if case.f_hz is None:
        return replace(case, f_hz=float(f_hz))
    if f_hz != case.f_hz:
        raise InputError(f"case {case.name!r} states {case.f_hz:g} Hz; f_hz = {f_hz:g} contradicts it, leave it out")
    return case
