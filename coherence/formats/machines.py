r"""Machine figures for generators that a grid file knows only electrically.

A table of at least H_s [s] (empty: no machine, a static source), keyed by `label` or `bus`; a row keyed `*` stands for every
generator without its own row:

    bus,H_s,R_pu,T_s
    *,4.0,0.05,8.0
    39,50.0,0.05,8.0
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.formats.dyr import add_dyr
from coherence.formats.tables import checked_table, read_table
from coherence.grids.case import Case, check_case
from coherence.grids.topology import warn_of_units, with_unit_notes

GRIDS = (".raw", ".m", ".mat", ".json", ".toml")
STATIC = "\0static"  # stands for sources that a file marks as no machines: '*' does not reach them
COLUMNS = ("H_s", "D_pu", "mbase_mva", "xd_prime_pu", "R_pu", "T_s")
KNOWN = ("label", "bus", *COLUMNS)


def add_machines(case: Case, machines: pd.DataFrame | str | Path) -> Case:
    """The case with machine figures from a table.

    Parameters
    ----------
    case : Case
    machines : DataFrame or path of a CSV or DYR file
        The records of a DYR file are attached by bus and identifier, governors in full (`add_dyr`). A table has the key column
        `label` or `bus` (`*`: every generator without a row of its own), `H_s` [s], and optionally `D_pu` [pu power per pu speed],
        `mbase_mva`, `xd_prime_pu`, `R_pu` (droop) with `T_s` [s] (one-lag turbine). On machine base.

    Returns
    -------
    Case
        A copy with the columns H_s, D_pu, mbase_mva, xd_prime_pu, R_pu and T_s of the generators set, or those of a DYR file.
        Figures that look doubled or on another base are noted, with a `UnitsWarning`.

    Raises
    ------
    CaseError
        A row for no generator, a generator without a row, a value out of range; file and line are named.

    Examples
    --------
    >>> import pandas as pd
    >>> from coherence import add_machines, load_case
    >>> case = add_machines(load_case("iceland"), pd.DataFrame({"label": ["*"], "H_s": [4.0]}))
    >>> float(case.generators["H_s"].mean())
    4.0
    """
    if isinstance(machines, (str, Path)) and Path(machines).suffix.lower() == ".dyr":
        return add_dyr(case, Path(machines))
    generators = case.grid[2].copy()
    if isinstance(machines, pd.DataFrame):
        name = "the machine table"
        raw = machines.reset_index() if machines.index.name in ("label", "bus") else machines
        places = [f"{name}, row {i}" for i in range(len(raw))]
        table = checked_table(raw, ["H_s"], places, name, text=frozenset({"bus"}), empty=frozenset({"H_s"}), names=KNOWN)
    else:
        name, path = str(machines), Path(machines)
        if path.is_dir() or path.suffix.lower() in GRIDS:
            raise CaseError(f"{path} is a grid, no table of machines; give a CSV table with a column H_s, or a DYR file")
        table = read_table(path, ["H_s"], text=frozenset({"bus"}), empty=frozenset({"H_s"}), names=KNOWN)
        places = [f"{path}, line {k}" for k in table.attrs["lines"]]
    key = next((column for column in ("label", "bus") if column in table), None)
    if key is None:
        raise CaseError(f"{name}: column 'label' or 'bus' is missing; it says which generator a row is for ('*': all others)")
    unknown = [column for column in table if column not in (key, *COLUMNS)]
    if unknown:
        raise CaseError(f"{name}: column {unknown[0]!r} is not understood; known: label, bus, {', '.join(COLUMNS)}")
    wanted = table[key].map(_plain)
    own = (case.generator_buses if key == "bus" else generators["label"]).map(_plain)
    present: set[str] = set(own)
    earlier: set[str] = set()
    for row, value in enumerate(wanted):
        if value != "*" and value not in present:
            raise CaseError(f"{places[row]}: there is no generator with {key} {value!r}; known: {', '.join(own[:6])}")
        if value in earlier:
            raise CaseError(f"{places[row]}: {key} {value!r} occurs twice; make it unique")
        earlier.add(value)
    table.index = pd.Index(wanted)
    figures = table.drop(columns=key)
    idle = generators["static"].to_numpy(dtype=bool) if "static" in generators else np.zeros(len(generators), dtype=bool)
    chosen = [value if value in figures.index else STATIC if no else "*" for value, no in zip(own, idle, strict=True)]
    if STATIC in chosen:
        figures.loc[STATIC] = np.nan
    lonely = [label for label, choice in zip(generators["label"], chosen, strict=True) if choice not in figures.index]
    if lonely:
        raise CaseError(f"{name} has no row for generator {lonely[0]!r}; give it one, or a row '*' for all others")
    for column in figures:
        values = figures[column].loc[chosen].to_numpy(dtype=float)
        if column == "mbase_mva":
            values = pd.Series(values).fillna(generators["mbase_mva"]).to_numpy()
        generators[column] = values
    generators["D_pu"] = generators["D_pu"].fillna(0.0) if "D_pu" in generators else 0.0
    if "governor" in generators and "R_pu" in figures:
        generators["governor"] = ""  # the table's turbine stands instead of the record
    result = replace(case, generators=generators)
    position = {value: row for row, value in enumerate(wanted)}
    row_of = [position.get(choice, 0) for choice in chosen]
    result = with_unit_notes(result)
    check_case(result, lambda kind, row: places[row_of[row]] if kind == "generators" else f"case {case.name!r}, {kind} row {row}")
    return warn_of_units(result)


def _plain(value: object) -> str:
    """A bus number as text without a decimal point; a label as it is."""
    text = str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").lstrip("-").isdigit() else text
