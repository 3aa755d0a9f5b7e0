r"""The value `Case`: a grid with its machines, as tables with named columns and units.

    buses        bus, p_load_mw, q_load_mvar, g_shunt_mw, b_shunt_mvar [, kv] [, vm_pu, va_deg: solved] [, x, y: drawing]
    branches     from_bus, to_bus, r_pu, x_pu, b_pu, tap (1: none), shift_deg
    generators   label, bus, kind (pv or slack), p_mw, v_pu, mbase_mva, H_s (empty: no machine), D_pu [, xd_prime_pu] [, governor]
                 [, R_pu, T_s: one-lag turbine] [, q_min_mvar, q_max_mvar] [, id: which of its bus] [, fuel]
                 [, typical: columns filled] [, machine_model] [, zx_pu: source reactance] [, own_bus: its bus before ties]
    governors    model name -> table of label and that model's parameters
    nodes        instead of all of these: label, inertia, damping, inverse_droop, time_constant (one group, no grid)

Machine figures are on machine base, reactances on base_mva. Cases come from files (`files`) and go to `powerflow` and `linearize`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import CaseError, InputError
from coherence.types import Int

REQUIRED = {
    "buses": ["bus", "p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"],
    "branches": ["from_bus", "to_bus", "r_pu", "x_pu", "b_pu", "tap", "shift_deg"],
    "generators": ["label", "bus", "kind", "p_mw", "v_pu", "mbase_mva"],
    "nodes": ["label", "inertia", "damping", "inverse_droop", "time_constant"],
}
Place = Callable[[str, int], str]  # table, row -> where that row stands in the file


@dataclass(frozen=True, eq=False, repr=False)
class Case(Page):
    """A grid with its machines, or a bare table of nodes; the module lists the columns and units.

    Attributes
    ----------
    name, title : str
    base_mva : float
        System base [MVA].
    f_hz : float or None
        Nominal frequency [Hz]; linearisation needs it.
    buses, branches, generators : DataFrame or None
    governors : dict of str -> DataFrame
    nodes : DataFrame or None
    damping : float
        Declared damping [pu power per pu speed on machine base], added to every machine.
    load_damping : float
        Declared frequency dependence of loads [pu power per pu frequency, on each bus's own load].
    notes : tuple of str
        What reading the file left out.
    records : DataFrame or None
        Dynamic records of a DYR file: line, bus, id, model, purpose, used, reason (why not).

    Examples
    --------
    >>> from coherence import load_case
    >>> load_case("iceland").terminals.loc["Blanda 1", "mbase_mva"]
    np.float64(60.0)
    """

    name: str
    title: str
    base_mva: float
    f_hz: float | None = None
    buses: pd.DataFrame | None = None
    branches: pd.DataFrame | None = None
    generators: pd.DataFrame | None = None
    governors: dict[str, pd.DataFrame] = field(default_factory=dict)
    nodes: pd.DataFrame | None = None
    damping: float = 0.0
    load_damping: float = 0.0
    notes: tuple[str, ...] = ()
    records: pd.DataFrame | None = None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The generators, or the bare nodes."""
        table = self.nodes if self.nodes is not None else self.grid[2]
        return {"nodes" if self.nodes is not None else "generators": table.set_index("label")}

    def __repr__(self) -> str:
        if self.nodes is not None:
            return f"Case({self.name!r}: {len(self.nodes)} nodes, no grid)"
        buses, branches, generators = self.grid
        frequency = "frequency not stated" if self.f_hz is None else f"{self.f_hz:g} Hz"
        return (
            f"Case({self.name!r}: {len(buses)} buses, {len(branches)} branches, "
            f"{len(generators)} generators, {frequency}, {self.base_mva:g} MVA)"
        )

    @property
    def grid(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """(buses, branches, generators); a case of bare nodes has none and says so."""
        if self.buses is None or self.branches is None or self.generators is None:
            raise InputError(f"case {self.name!r} has no grid, so it has no power flow, branches or terminals")
        return self.buses, self.branches, self.generators

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the generators or nodes."""
        table = self.nodes if self.nodes is not None else self.grid[2]
        return tuple(table["label"])

    @property
    def generator_buses(self) -> pd.Series:
        """Bus number of each generator in its file: before buses that ties join were merged."""
        generators = self.grid[2]
        return generators["own_bus"] if "own_bus" in generators else generators["bus"]

    @property
    def machine_rows(self) -> Int:
        """Rows of the generators with a machine (`H_s` given); the others are static sources."""
        generators = self.grid[2]
        rows = np.flatnonzero(generators["H_s"].notna()) if "H_s" in generators else np.arange(len(generators))
        if not rows.size:
            raise CaseError(f"case {self.name!r}: no generator has an inertia H_s, so there is no machine; give at least one")
        return rows

    @property
    def machines(self) -> pd.DataFrame:
        """The generators with a machine."""
        return self.grid[2].iloc[self.machine_rows]

    @property
    def terminals(self) -> pd.DataFrame:
        """The nodes of the network: label -> bus, mbase_mva. Machines at one bus are one node, `A + B`."""
        table = self.machines.groupby("bus", sort=False).agg(label=("label", " + ".join), mbase_mva=("mbase_mva", "sum"))
        return table.reset_index().set_index("label")


def bus_index(case: Case) -> dict[float, int]:
    """Row of each bus number."""
    return {bus: row for row, bus in enumerate(case.grid[0]["bus"])}


def branch_ends(case: Case) -> tuple[Int, Int]:
    """Rows of the from and to buses of each branch."""
    row, branches = bus_index(case), case.grid[1]
    return tuple(np.array([row[b] for b in branches[end]], dtype=int) for end in ("from_bus", "to_bus"))  # type: ignore[return-value]


def require_case(case: object) -> None:
    """Refuse what is no Case with the sentence that says how to get one."""
    if not isinstance(case, Case):
        raise InputError(f"the case is a {type(case).__name__}; give a Case, from load_case(name) or read_case(path)")


def require_grid(case: object) -> None:
    """Refuse what is no Case, and a Case edited in memory into something that cannot be used.

    Raises
    ------
    CaseError
        Names the table and row.
    """
    require_case(case)
    assert isinstance(case, Case)
    if not isinstance(case.base_mva, (int, float, np.number)) or not (np.isfinite(case.base_mva) and case.base_mva > 0):
        raise CaseError(f"case {case.name!r}: base_mva = {case.base_mva!r}; give a number of MVA > 0")
    buses, branches, generators = case.grid
    for table, name in ((buses, "buses"), (branches, "branches"), (generators, "generators")):
        for column in REQUIRED[name]:
            if column not in table:
                raise CaseError(f"case {case.name!r}, {name}: column {column!r} is missing")
            if column in ("label", "kind"):
                continue
            numbers = pd.to_numeric(table[column], errors="coerce")
            row = _first(~np.isfinite(numbers))
            if row is not None:
                value = table[column].iloc[row]
                shown = repr(value) if isinstance(value, str) else f"{value}"
                raise CaseError(f"case {case.name!r}, {name} row {row}, column {column!r}: {shown} is not a finite number")
    check_case(case, lambda table, row: f"case {case.name!r}, {table} row {row}")


def check_case(case: Case, place: Place) -> None:
    """Raise CaseError naming the first row of a table that cannot be used."""
    buses, branches, generators = case.grid
    _unique(buses, "bus", "buses", place)
    _unique(generators, "label", "generators", place)
    row = _first(generators["label"] == "")
    if row is not None:
        raise CaseError(f"{place('generators', row)}: the label is empty; name the generator")
    known = set(buses["bus"])
    for table, name, columns in ((branches, "branches", ("from_bus", "to_bus")), (generators, "generators", ("bus",))):
        for column in columns:
            row = _first(~table[column].isin(known))
            if row is not None:
                raise CaseError(f"{place(name, row)}: {column} = {table[column].iloc[row]:.15g} is not in the table of buses")
    row = _first(branches["from_bus"] == branches["to_bus"])
    if row is not None:
        raise CaseError(f"{place('branches', row)}: the branch joins bus {branches['from_bus'].iloc[row]:g} to itself; remove it")
    row = _first(~(branches["tap"] > 0))
    if row is not None:
        raise CaseError(f"{place('branches', row)}: tap = {branches['tap'].iloc[row]:g}; give the ratio, 1 for none")
    for column in ("mbase_mva", "v_pu", "H_s", "xd_prime_pu", "R_pu", "T_s"):
        row = _first(generators[column] <= 0) if column in generators else None
        if row is not None:
            raise CaseError(f"{place('generators', row)}: {column} = {generators[column].iloc[row]:g}; it must be > 0")
    if {"q_min_mvar", "q_max_mvar"} <= set(generators):
        row = _first(generators["q_min_mvar"] > generators["q_max_mvar"])
        if row is not None:
            raise CaseError(f"{place('generators', row)}: q_min_mvar is above q_max_mvar; exchange them")
    row = _first(~generators["kind"].isin(["pv", "slack"]))
    if row is not None:
        raise CaseError(f"{place('generators', row)}: kind = {generators['kind'].iloc[row]!r}; give 'pv' or 'slack'")
    slack = np.flatnonzero(generators["kind"] == "slack")
    if slack.size != 1:
        where = place("generators", int(slack[1])) if slack.size else place("generators", 0)
        raise CaseError(f"{where}: {slack.size} generators are of kind 'slack'; make it exactly one")
    row = _first(generators["v_pu"] != generators.groupby("bus")["v_pu"].transform("first"))
    if row is not None:
        raise CaseError(f"{place('generators', row)}: the generators at one bus hold different voltages v_pu; give them one")
    count = len(generators)
    models = generators["governor"].to_numpy(dtype=object) if "governor" in generators else np.full(count, "", dtype=object)
    governed, lost = np.array([bool(model) for model in models], dtype=bool), np.zeros(count, dtype=bool)
    for model in set(models[governed]):
        recorded = set(case.governors[model]["label"]) if model in case.governors else set()
        lost |= (models == model) & ~generators["label"].isin(recorded).to_numpy()
    nothing = pd.Series(np.nan, index=generators.index)
    droop, lag = (np.isfinite(generators.get(c, nothing).to_numpy(dtype=float)) for c in ("R_pu", "T_s"))
    wrong = lost | (lag & ~droop) | (governed & droop)
    if wrong.any():
        row = int(np.argmax(wrong))
        who = f"{place('generators', row)}: generator {generators['label'].iloc[row]!r} has"
        if lost[row]:
            raise CaseError(f"{who} governor {models[row]}, but governors/{models[row]}.csv has no such row")
        if lag[row] and not droop[row]:
            raise CaseError(f"{who} T_s but no droop R_pu; give both or neither")
        raise CaseError(f"{who} both governor {models[row]} and R_pu; give one")


def _first(bad: pd.Series) -> int | None:
    return int(np.argmax(bad.to_numpy())) if bad.any() else None


def _unique(table: pd.DataFrame, column: str, name: str, place: Place) -> None:
    row = _first(table[column].duplicated())
    if row is not None:
        value = table[column].iloc[row]
        value = value[:60] if isinstance(value, str) else value
        raise CaseError(
            f"{place(name, row)}: {column} {value if isinstance(value, str) else f'{value:g}'!r} occurs twice; make it unique"
        )
