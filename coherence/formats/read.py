r"""Cases from files, by content and ending, and the shipped cases by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import InputError, UnknownNameError
from coherence.formats.folder import cases_folder, read_folder, shipped_cases
from coherence.formats.machines import add_machines
from coherence.formats.matpower import read_matpower
from coherence.grids.case import Case
from coherence.grids.topology import finished, warn_of_units
from coherence.nodes.nodes import unknown_name


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


def read_case(path: str | Path, *, machines: str | Path | pd.DataFrame | None = None, f_hz: float | None = None) -> Case:
    """Read a case folder or a MATPOWER file (.m, .mat).

    Parameters
    ----------
    path : str or Path
    machines : DataFrame or path of a CSV file, optional
        Inertia, damping and droop of the generators where the file has none; see `add_machines`.
    f_hz : float, optional
        Nominal frequency [Hz]; MATPOWER files do not state it.

    Returns
    -------
    Case

    Raises
    ------
    CaseError
        Names the file, row and column of the first thing that cannot be used.

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
    source = Path(path)
    if f_hz is not None and not (np.isfinite(f_hz) and f_hz > 0):
        raise InputError(f"f_hz = {f_hz!r}; give the nominal frequency in Hz, > 0")
    if source.suffix.lower() in (".m", ".mat") and not source.is_dir():
        case = finished(read_matpower(source, f_hz=f_hz))
    else:
        case = _stated(read_folder(source), f_hz)
    return warn_of_units(case) if machines is None else add_machines(case, machines)


def open_case(case: Case | str | Path, *, machines: str | Path | pd.DataFrame | None = None, f_hz: float | None = None) -> Case:
    """A Case as it is, a shipped case by name, or a folder or file by path; the other parameters as in `read_case`."""
    if isinstance(case, Case):
        case = _stated(case, f_hz)
        return case if machines is None else add_machines(case, machines)
    if not isinstance(case, (str, Path)):
        raise InputError(f"{case!r} is no case or network; give a Case, a Network, the name of a shipped case, or a path")
    text = str(case)
    if isinstance(case, str) and text in shipped_cases() and not (Path(text) / "case.toml").exists():
        case = _stated(load_case(text), f_hz)
        return case if machines is None else add_machines(case, machines)
    if isinstance(case, Path) or Path(text).exists() or "/" in text or "\\" in text or Path(text).suffix:
        return read_case(case, machines=machines, f_hz=f_hz)
    return load_case(text)


def _stated(case: Case, f_hz: float | None) -> Case:
    if f_hz is None:
        return case
    if case.f_hz is None:
        return replace(case, f_hz=float(f_hz))
    if f_hz != case.f_hz:
        raise InputError(f"case {case.name!r} states {case.f_hz:g} Hz; f_hz = {f_hz:g} contradicts it, leave it out")
    return case
