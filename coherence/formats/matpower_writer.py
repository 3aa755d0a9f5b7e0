r"""A `Case` as a MATPOWER file (.m, version 2) with its machines in a table beside it; both read back with `read_case`.

    mpc.bus, mpc.gen, mpc.branch    the grid, every number to the same bits
    mpc.gen_name, bus_name, genfuel labels of the generators, names of buses and fuels where the case has them
    STEM_machines.csv               label, H_s, D_pu, mbase_mva [, xd_prime_pu] [, R_pu, T_s]

What MATPOWER has no place for goes where it means the same: damping declared for all machines and D_t of governors into D_pu, a
governor into its one-lag form h(0)/(tau s + 1). What means the same nowhere is said in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.formats.text import write_texts
from coherence.grids.case import Case, require_grid
from coherence.grids.linearize import machine_governors
from coherence.nodes.governors import one_lag

LOAD, PV, REFERENCE = 1, 2, 3  # MATPOWER bus types


@dataclass(frozen=True, repr=False)
class MatpowerFiles(Page):
    """What `write_matpower` wrote.

    Attributes
    ----------
    path : Path
        The .m file.
    machines : Path or None
        The table of machine figures; None where the case has none.
    notes : tuple of str
        What reads back as an approximation, under another number, or not at all.

    Examples
    --------
    See `write_matpower`.
    """

    path: Path
    machines: Path | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        table = "" if self.machines is None else f", machines in {self.machines}"
        return f"MatpowerFiles({self.path}{table}; {len(self.notes)} notes)"

    @property
    def facts(self) -> dict[str, str]:
        """Files and notes."""
        files = {"grid": str(self.path)} | ({} if self.machines is None else {"machines": str(self.machines)})
        return files | {f"note {i + 1}": note for i, note in enumerate(self.notes)}


def write_matpower(case: Case, path: str | Path, *, machines: str | Path | None = None) -> MatpowerFiles:
    """Write a case as a MATPOWER .m file, and its machines as a table beside it.

    Parameters
    ----------
    case : Case
        With a grid.
    path : str or Path
        Of a .m file in a folder that exists; replaced only when complete.
    machines : str or Path, optional
        Of the machine table; by default STEM_machines.csv beside the file. None is written where the case has no machine figures.

    Returns
    -------
    MatpowerFiles
        The paths, and notes on what does not read back the same. `read_case(path, machines=table, f_hz=...)` reads both.

    Raises
    ------
    InputError
        A case without a grid, a path that does not end in .m, or a label that a text file cannot hold.
    CaseError
        The case cannot be used, or a governor record is wrong.
    InputError
        The folder does not exist; an older file stays as it was.

    Notes
    -----
    A governor is written by the one-lag form of the same gain and first moment (`linearize(governors="one_lag")`); the notes name
    the generators for which that is an approximation. Damping of loads has no place in either file.

    References
    ----------
    R. Zimmerman and C. Murillo-Sanchez, MATPOWER User's Manual, Appendix B (case format, version 2).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from coherence import load_case, read_case, write_matpower
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_matpower(load_case("new_england39"), pathlib.Path(folder) / "case39.m")
    ...     read_case(files.path, machines=files.machines, f_hz=60)
    Case('case39': 39 buses, 46 branches, 10 generators, 60 Hz, 100 MVA)
    """
    require_grid(case)
    target = Path(path)
    if target.suffix.lower() != ".m":
        raise InputError(f"{target} does not end in .m; give the path of a MATPOWER text file")
    table_path = target.with_name(f"{target.stem}_machines.csv") if machines is None else Path(machines)
    notes: list[str] = []
    text = _grid(case, target.stem, notes)
    figures = _machines(case, notes)
    if case.f_hz is not None:
        notes.append(f"the frequency has no place in a MATPOWER file: read it with f_hz={case.f_hz:g}")
    texts = {target: text}
    if figures is not None:
        texts[table_path] = figures.to_csv(index=False, lineterminator="\n")
    write_texts(texts)
    return MatpowerFiles(target, None if figures is None else table_path, tuple(notes))


def _grid(case: Case, stem: str, notes: list[str]) -> str:
    buses, branches, generators = case.grid
    number = _numbers(buses["bus"], notes)
    order = _slack_first(generators, notes)
    generators = generators.iloc[order]
    for label in generators["label"]:
        if label != " ".join(str(label).split()) or not str(label).isprintable():
            raise InputError(f"generator {label!r}: a MATPOWER file cannot hold this label; rename it without blanks at its ends")
    at = generators["bus"].map(number)
    slack = at[generators["kind"] == "slack"].iloc[0]
    own = buses["bus"].map(number)
    kind = np.where(own == slack, REFERENCE, np.where(own.isin(set(at)), PV, LOAD))
    held = generators.assign(at=at).groupby("at")["v_pu"].first()

    def column(table: pd.DataFrame, name: str, default: float = 0.0) -> Iterable[object]:
        return table[name].fillna(default) if name in table else [default] * len(table)

    stored = {"vm_pu", "va_deg"} <= set(buses) and not buses[["vm_pu", "va_deg"]].isna().any().any()
    if not stored:
        notes.append("the case stores no voltages: 1 pu at 0 degrees (set-points at generators) stand in their place")
    size = buses["vm_pu"] if stored else own.map(held).fillna(1.0)
    angle = buses["va_deg"] if stored else [0.0] * len(buses)
    kv = np.array(list(column(buses, "kv")), dtype=float)  # 1 where it is not known: per unit says all, and 0 stops other programs
    ones, zeros = [1] * len(buses), [0] * len(branches)
    rows_of_bus = zip(
        own, kind, buses["p_load_mw"], buses["q_load_mvar"], buses["g_shunt_mw"], buses["b_shunt_mvar"], ones, size, angle,
        np.where(kv > 0, kv, 1.0), ones, [1.1] * len(buses), [0.9] * len(buses), strict=True,
    )  # fmt: skip
    p, one = generators["p_mw"], [1] * len(generators)
    rows_of_gen = zip(
        at, p, [0] * len(generators), column(generators, "q_max_mvar", np.inf), column(generators, "q_min_mvar", -np.inf),
        generators["v_pu"], generators["mbase_mva"], one, np.maximum(p, generators["mbase_mva"]), np.minimum(p, 0.0), strict=True,
    )  # fmt: skip
    tap = branches["tap"].where((branches["tap"] != 1) | (branches["shift_deg"] != 0), 0.0)
    rows_of_branch = zip(
        branches["from_bus"].map(number), branches["to_bus"].map(number), branches["r_pu"], branches["x_pu"], branches["b_pu"],
        zeros, zeros, zeros, tap, branches["shift_deg"], [1] * len(branches), [-360] * len(branches), [360] * len(branches),
        strict=True,
    )  # fmt: skip
    name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in stem)
    lines = [
        f"function mpc = {name if name[:1].isalpha() else 'case_' + name}",
        f"% {' '.join(case.title.split())}",
        "mpc.version = '2';",
        f"mpc.baseMVA = {_number(case.base_mva)};",
        "%% bus_i type Pd Qd Gs Bs area Vm Va baseKV zone Vmax Vmin",
        *_matrix("bus", rows_of_bus),
        "%% bus Pg Qg Qmax Qmin Vg mBase status Pmax Pmin",
        *_matrix("gen", rows_of_gen),
        "%% fbus tbus r x b rateA rateB rateC ratio angle status angmin angmax",
        *_matrix("branch", rows_of_branch),
        *_cell("gen_name", generators["label"]),
    ]
    if "name" in buses:
        lines += _cell("bus_name", buses["name"].fillna(""))
    if "fuel" in generators:
        lines += _cell("genfuel", generators["fuel"].fillna(""))
    return "\n".join(lines) + "\n"


def _numbers(buses: pd.Series, notes: list[str]) -> dict[float, int]:
    """MATPOWER's number of each bus: its own, a positive whole number, or one that replaces it."""
    own = buses.to_numpy(dtype=float)
    if (own != np.round(own)).any() or np.abs(own).max() >= 2**53:
        notes.append(f"bus numbers are whole in MATPOWER: the buses are numbered from 1 to {len(own)} in their order")
        return dict(zip(buses, range(1, len(own) + 1), strict=True))
    shift = max(0, 1 - int(own.min()))
    if shift:
        notes.append(f"bus numbers begin at 1 in MATPOWER: {shift} is added to each")
    return {bus: int(bus) + shift for bus in buses}


def _slack_first(generators: pd.DataFrame, notes: list[str]) -> list[int]:
    """Rows with the slack generator before the others at its bus, for the first is the slack there."""
    slack = int(np.flatnonzero(generators["kind"] == "slack")[0])
    earlier = [int(i) for i in np.flatnonzero(generators["bus"] == generators["bus"].iloc[slack]) if i < slack]
    if not earlier:
        return list(range(len(generators)))
    notes.append(f"generator {generators['label'].iloc[slack]!r} stands before the others at its bus: the first is the slack")
    machine = generators["H_s"].notna().to_numpy() if "H_s" in generators else np.ones(len(generators), dtype=bool)
    place = next((i for i in earlier if machine[i]), slack) if machine[slack] else earlier[0]
    behind = [i for i in earlier if i < place]  # sources without machine, which no node is called by
    rows = [i for i in range(len(generators)) if i != slack and i not in behind]
    at = next((k for k, i in enumerate(rows) if i >= place), len(rows))
    return [*rows[:at], slack, *behind, *rows[at:]]


def _machines(case: Case, notes: list[str]) -> pd.DataFrame | None:
    """The machine table, or None where no generator has an inertia."""
    generators = case.grid[2]
    if "H_s" not in generators or generators["H_s"].isna().all():
        return None
    if "*" in set(generators["label"]):
        raise InputError("generator '*': this label stands for all others in a machine table; rename it")
    table = generators[["label", "H_s"]].reset_index(drop=True)
    size = len(table)
    damping, droop, lag = np.zeros(size), np.full(size, np.nan), np.full(size, np.nan)
    near, without = [], []
    governors, shaft = machine_governors(case)
    damping[case.machine_rows] = shaft
    for i, h in governors.items():
        row = case.machine_rows[i]
        try:
            gain, tau = one_lag(h)
        except InputError:
            without.append(generators["label"].iloc[row])
            continue
        droop[row], lag[row] = 1.0 / gain, tau
        if h.order > 1:
            left = abs(gain / (1 + 1j * tau)) / float(np.abs(h(np.array([1j])))[0, 0, 0])
            near.append((generators["label"].iloc[row], left))
    if case.damping:
        notes.append(f"the declared damping {case.damping:g} pu is part of D_pu")
    if case.load_damping:
        notes.append(f"the load damping {case.load_damping:g} pu has no place: give linearize(load_damping={case.load_damping:g})")
    if near:
        least, most = (pick(ratio for _, ratio in near) for pick in (min, max))
        notes.append(
            f"governors in their one-lag form, an approximation ({least:.2g} to {most:.2g} of their response at 1 rad/s): "
            f"{_listed([label for label, _ in near])}"
        )
    if without:
        notes.append(f"governors left out, for they have no one-lag form: {_listed(without)}")
    table["D_pu"], table["mbase_mva"] = damping, generators["mbase_mva"].to_numpy()
    if "xd_prime_pu" in generators:
        table["xd_prime_pu"] = generators["xd_prime_pu"].to_numpy()
    if np.isfinite(droop).any():
        table["R_pu"], table["T_s"] = droop, lag
    return table


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")


def _matrix(name: str, rows: Iterable[tuple[object, ...]]) -> list[str]:
    return [f"mpc.{name} = [", *("\t" + "\t".join(map(_number, row)) + ";" for row in rows), "];"]


def _cell(name: str, texts: Iterable[object]) -> list[str]:
    quoted = (" ".join(str(text).split()).replace("'", "''") for text in texts)
    return [f"mpc.{name} = {{", *(f"\t'{text}';" for text in quoted), "};"]


def _number(value: object) -> str:
    """The shortest text that reads back to the same bits."""
    x = float(value)  # type: ignore[arg-type]
    if np.isinf(x):
        return "Inf" if x > 0 else "-Inf"
    return str(int(x)) if x == int(x) and abs(x) < 1e15 and not (x == 0 and np.signbit(x)) else repr(x)
