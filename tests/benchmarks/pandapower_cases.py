"""Every transmission network that pandapower ships: read, solved and linearised, as a Markdown page.

Usage: python tests/benchmarks/pandapower_cases.py docs/pandapower_cases.md [NAME ...]
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandapower
import pandapower.networks
import pandas as pd

import coherence as co
from coherence.grids.pandapower import quiet

INERTIA_S = 4.0  # the same typical figure for all machines
CASES = [
    *("case4gs", "case5", "case6ww", "case9", "case11_iwamoto", "case14", "case24_ieee_rts", "case30", "case_ieee30", "case39"),
    *("case57", "case89pegase", "case118", "case145", "case_illinois200", "case300", "case1354pegase", "case1888rte"),
    *("case2848rte", "case2869pegase", "case3120sp", "case6470rte", "case6495rte", "case6515rte", "case9241pegase"),
    *("GBreducednetwork", "GBnetwork", "iceland", "create_cigre_network_hv", "example_multivoltage", "example_simple"),
]
LEFT_OUT = {
    "case33bw": "a distribution feeder",
    "create_cigre_network_mv, create_cigre_network_lv": "distribution",
    "create_kerber_..., kb_extrem_..., create_dickert_lv_...": "low voltage distribution, no generators",
    "create_synthetic_voltage_control_lv_network, lv_schutterwald, ieee_european_lv_asymmetric": "low voltage distribution",
    "mv_oberrhein, simple_mv_open_ring_net": "medium voltage distribution",
    "simple_four_bus_system, four_loads_with_branches_out, panda_four_load_branch": "teaching feeders, one infeed",
}
REMARKS = {
    "case11_iwamoto": "ill-conditioned by design: pandapower's Newton and Iwamoto methods do not converge either",
    "case6495rte": "has two sources that fix their angle, which pandapower solves as two slack buses; with one of them the other "
    "holds its planned power, so the figures of an unsolved file differ. Compared on the solved network",
    "example_multivoltage": "one machine with an external grid; extended wards are static",
}


HEADER = [
    *("case", "buses", "generators", "load MW", "slack MW", "mismatch MVA", "max ΔV pu", "Δslack MW", "λ₂"),
    *("read s", "flow s", "linearise s", "remark"),
]


@dataclass(frozen=True)
class Row:
    """What is known of a case."""

    name: str
    buses: int
    generators: int
    load_mw: float
    slack_mw: float = np.nan
    mismatch_mva: float = np.nan
    voltage_pu: float = np.nan
    slack_gap_mw: float = np.nan
    connectivity: float = np.nan
    load_s: float = np.nan
    flow_s: float = np.nan
    linear_s: float = np.nan
    remark: str = ""


def network(name: str) -> pandapower.pandapowerNet:
    """A fresh network by the name of its function."""
    with quiet():
        return getattr(pandapower.networks, name)()


def difference(name: str) -> tuple[float, float]:
    """Largest difference of voltages from pandapower's own AC power flow [pu] and of slack power [MW], on one operating point.

    Ours starts from the case without its stored voltages, at the dispatch that pandapower solved.
    """
    net = network(name)
    with quiet():
        pandapower.runpp(net, numba=False, tolerance_mva=1e-8, init="dc", calculate_voltage_angles=True, max_iteration=30)
    solved = co.case_of_pandapower(net)
    stored = solved.buses["vm_pu"].to_numpy() * np.exp(1j * np.deg2rad(solved.buses["va_deg"].to_numpy()))
    bare = replace(solved, buses=solved.buses.drop(columns=["vm_pu", "va_deg"]))
    point = co.power_flow(bare, method="ac", tolerance_mva=1e-5)
    slack = int(np.argmax((solved.generators["kind"] == "slack").to_numpy()))
    at = int(np.argmax((solved.buses["bus"] == solved.generators["bus"].iloc[slack]).to_numpy()))
    turn = stored[at] / point.voltage[at]
    gap = np.abs(point.voltage * turn / abs(turn) - stored).max()
    return float(gap), abs(point.slack_mw - float(solved.generators["p_mw"].iloc[slack]))


def row(name: str) -> Row:
    """Read, solve, compare and linearise one network."""
    net = network(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.UnitsWarning)
        began = time.perf_counter()
        case = co.case_of_pandapower(net, name=name)
        load_s = time.perf_counter() - began
        counts = name, len(case.buses), len(case.generators), float(case.buses["p_load_mw"].sum())
        remark = REMARKS.get(name, "")
        try:
            began = time.perf_counter()
            point = co.power_flow(case)
            flow_s = time.perf_counter() - began
        except co.ToleranceError:
            return Row(*counts, load_s=load_s, remark=remark)
        case = co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [INERTIA_S]}))
        began = time.perf_counter()
        found = co.linearize(case, point).algebraic_connectivity
        linear_s = time.perf_counter() - began
        gap, slack_gap = difference(name)
    return Row(*counts, point.slack_mw, point.mismatch_mva, gap, slack_gap, found, load_s, flow_s, linear_s, remark)


def page(rows: list[Row]) -> str:
    """The table with what it says."""
    lines = [
        "# Transmission networks of pandapower",
        "",
        f"Read by `case_of_pandapower` (pandapower {pandapower.__version__}), solved by `power_flow`, every machine given "
        f"H = {INERTIA_S:g} s on its machine base, linearised with machines at their terminals. |ΔV| and Δslack compare with "
        "pandapower's own power flow at its dispatch. λ₂ is the algebraic connectivity [pu/rad on the network's own base]. "
        "Made by `python tests/benchmarks/pandapower_cases.py docs/pandapower_cases.md`.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|---" + "|--:" * (len(HEADER) - 2) + "|---|",
    ]
    for r in rows:
        numbers = [f"{r.load_mw:.1f}", f"{r.slack_mw:.3f}", f"{r.mismatch_mva:.0e}", f"{r.voltage_pu:.0e}", f"{r.slack_gap_mw:.0e}"]
        numbers += [f"{r.connectivity:.6g}", f"{r.load_s:.2f}", f"{r.flow_s:.2f}", f"{r.linear_s:.2f}"]
        cells = [r.name, str(r.buses), str(r.generators), *("" if n == "nan" else n for n in numbers), r.remark]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Left out:", ""]
    lines += [f"- {names}: {reason}" for names, reason in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    row("case9")  # imports and first calls are not the cases'
    rows = []
    for name in sys.argv[2:] or CASES:
        rows.append(row(name))
        print(rows[-1], flush=True)
    Path(sys.argv[1]).write_text(page(rows), encoding="utf-8")
