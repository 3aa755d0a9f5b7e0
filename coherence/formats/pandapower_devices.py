r"""What pandapower's converter would drop in silence, as generators, loads and impedances that it keeps.

    dc line      two sources that hold their voltages: p into it at the from bus, |p| (1 - loss) - loss_mw out of it at the to bus
    converters, compensators of reactive power     loads at their solved power
    controlled series capacitor                    an impedance of its solved reactance, x_pu = x_ohm S_b / V_n^2

The latter two need a solved network. Sources of dc lines are no machines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import CaseError
from coherence.types import Real

AT_BUS = {
    "svc": "static var compensators",
    "ssc": "static synchronous compensators",
    "vsc": "voltage source converters",
    "vsc_stacked": "stacked voltage source converters",
    "vsc_bipolar": "bipolar voltage source converters",
}
DIRECT = ("bus_dc", "line_dc", "load_dc", "source_dc")  # behind the converters, whose power is known
UNKNOWN = {"b2b_vsc": "back-to-back converters"}


def replace_devices(net: Any, where: str, solved: bool) -> tuple[list[str], set[int]]:
    """Change a network in place; notes, and the rows of `gen` that are no machines."""
    for table, words in UNKNOWN.items():
        if _on(net, table).any():
            raise CaseError(f"{where} has {words} ({table}), which are not understood; give their power as loads or generators")
    notes: list[str] = []
    for table, words in AT_BUS.items():
        on = _on(net, table)
        if on.any():
            columns = [*_VOLTAGES, "q_mvar"] if table == "ssc" else ["q_mvar"] if table == "svc" else ["p_mw", "q_mvar"]
            results = _solved(net, table, on, where, words, columns, solved)
            lost = _lost_behind_impedance(net, on, results) if table == "ssc" else 0.0
            power = {"p_mw": results.get("p_mw", lost), "q_mvar": results["q_mvar"]}
            _append(net, "load", bus=net[table].loc[on, "bus"], scaling=1.0, in_service=True, **power)
            notes.append(f"{int(on.sum())} {words} ({table}) are loads at their solved power; they hold no voltage")
        _clear(net, table)
    for table in DIRECT:
        _clear(net, table)
    on = _on(net, "tcsc")
    if on.any():
        words = "controlled series capacitors"
        ohm = _solved(net, "tcsc", on, where, words, ["x_ohm"], solved)["x_ohm"]
        ends = net["tcsc"].loc[on]
        x = ohm * float(net["sn_mva"]) / net["bus"]["vn_kv"].loc[ends["from_bus"]].to_numpy(dtype=float) ** 2
        zero = {key: 0.0 for key in ("rft_pu", "rtf_pu", "gf_pu", "gt_pu", "bf_pu", "bt_pu")}
        _append(
            net,
            "impedance",
            from_bus=ends["from_bus"],
            to_bus=ends["to_bus"],
            xft_pu=x,
            xtf_pu=x,
            sn_mva=float(net["sn_mva"]),
            in_service=True,
            **zero,
        )
        notes.append(f"{int(on.sum())} {words} (tcsc) are impedances of their solved reactance")
    _clear(net, "tcsc")
    return notes, _dc_lines(net, notes)


def _dc_lines(net: Any, notes: list[str]) -> set[int]:
    """Replace dc lines by pairs of sources; their rows in `gen`."""
    on = _on(net, "dcline")
    links = net["dcline"].loc[on] if on.any() else None
    rows: set[int] = set()
    if links is not None:
        p = links["p_mw"].to_numpy(dtype=float)
        arriving = np.abs(p) * (1.0 - links["loss_percent"].to_numpy(dtype=float) / 100.0) - links["loss_mw"].to_numpy(dtype=float)
        forward = p > 0
        for end, power in (("from", np.where(forward, -np.abs(p), arriving)), ("to", np.where(forward, arriving, -np.abs(p)))):
            new = _append(
                net,
                "gen",
                bus=links[f"{end}_bus"],
                p_mw=power,
                vm_pu=links[f"vm_{end}_pu"],
                min_q_mvar=links.get(f"min_q_{end}_mvar", np.nan),
                max_q_mvar=links.get(f"max_q_{end}_mvar", np.nan),
                scaling=1.0,
                slack=False,
                slack_weight=0.0,
                controllable=True,
                in_service=True,
                name=[f"{name if isinstance(name, str) and name else f'dc line {i}'} {end}" for i, name in links["name"].items()]
                if "name" in links
                else [f"dc line {i} {end}" for i in links.index],
            )
            rows |= set(new)
        notes.append(f"{len(links)} dc lines are pairs of sources that hold their voltages and are no machines")
    _clear(net, "dcline")
    return rows


def _on(net: Any, table: str) -> pd.Series:
    frame = net[table] if table in net and isinstance(net[table], pd.DataFrame) else pd.DataFrame()
    return frame["in_service"].astype(bool) if "in_service" in frame else pd.Series(True, index=frame.index)


def _clear(net: Any, table: str) -> None:
    for name in (table, f"res_{table}"):
        if name in net and isinstance(net[name], pd.DataFrame):
            net[name] = net[name].iloc[:0]


def _solved(net: Any, table: str, on: pd.Series, where: str, words: str, columns: list[str], solved: bool) -> dict[str, Real]:
    """Columns of a result table for the rows in service."""
    results = net[f"res_{table}"].reindex(index=on.index[on], columns=columns)
    values = {column: results[column].to_numpy(dtype=float) for column in columns}
    if not solved or not all(np.isfinite(v).all() for v in values.values()):
        raise CaseError(
            f"{where} has {words} ({table}) and no power flow result, so what they make is not known; run pandapower.runpp first, "
            "or give their power as loads"
        )
    return values


def _lost_behind_impedance(net: Any, on: pd.Series, results: dict[str, Real]) -> Real:
    """|V - V'|^2 r / |z|^2 [MW]: what a static synchronous compensator takes in, which its results leave out."""
    own = net["ssc"].loc[on]
    kv = net["bus"]["vn_kv"].loc[own["bus"]].to_numpy(dtype=float)
    size, angle, inner, inner_angle = (results[column] for column in _VOLTAGES)
    drop = (size * np.exp(1j * np.deg2rad(angle)) - inner * np.exp(1j * np.deg2rad(inner_angle))) * kv
    r, x = own["r_ohm"].to_numpy(dtype=float), own["x_ohm"].to_numpy(dtype=float)
    return np.asarray(np.abs(drop) ** 2 * r / (r**2 + x**2))


_VOLTAGES = ("vm_pu", "va_degree", "vm_internal_pu", "va_internal_degree")


def _append(net: Any, table: str, **columns: Any) -> list[int]:
    """Rows added to a table under new numbers; other columns stay empty."""
    old = net[table]
    first = int(old.index.max()) + 1 if len(old) else 0
    length = max(len(value) for value in columns.values() if hasattr(value, "__len__"))
    index = list(range(first, first + length))
    new = pd.DataFrame(
        {key: np.asarray(value) if hasattr(value, "__len__") else value for key, value in columns.items()}, index=index
    )
    joined = {}
    for column in dict.fromkeys([*old.columns, *new.columns]):
        parts = [frame[column] if column in frame else pd.Series(np.nan, index=frame.index, dtype=object) for frame in (old, new)]
        values = pd.Series([*parts[0], *parts[1]], index=[*old.index, *index], dtype=object)
        kind = old[column].dtype if column in old else new[column].dtype
        if str(kind) == "bool":
            values = values.where(values.notna(), False)
        try:
            joined[column] = values.astype(kind)
        except (TypeError, ValueError):
            joined[column] = values
    net[table] = pd.DataFrame(joined)
    return index
