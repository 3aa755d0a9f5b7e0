"""pandapower solves our power flows (extra `grids`); its networks become cases in `formats.pandapower`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from coherence.errors import MissingExtraError, ToleranceError
from coherence.grids.case import Case, branch_ends, bus_index
from coherence.types import Complex


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what pandapower remarks and warns of on its own account to itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of tap_dependency_table, in pandapower's own code
        warnings.filterwarnings("ignore", category=FutureWarning)  # of pandas, in pandapower's own code
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # of divisions on the way to no solution
        logger = logging.getLogger("pandapower")  # it remarks on transformers between equal voltages, and on a missing numba
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def solve(case: Case, limits: pd.DataFrame | None, *, dc: bool) -> Complex:
    """Bus voltages of an AC (Newton) or DC power flow; `limits` are the reactive limits to enforce."""
    with quiet():
        try:
            import pandapower
            from pandapower.converter.pypower.from_ppc import from_ppc
        except ImportError:
            raise MissingExtraError(
                "a power flow needs pandapower; install it with pip install 'coherence[grids]', or "
                "give solved voltages in buses.csv (vm_pu, va_deg)"
            ) from None
        net = from_ppc(_ppc(case, limits))
        common = {"numba": False, "calculate_voltage_angles": True, "trafo_model": "pi"}
        for start in [None] if dc else _starts(case):
            try:
                if start is None:
                    pandapower.rundcpp(net, **common)
                else:
                    pandapower.runpp(net, **common, tolerance_mva=1e-8, enforce_q_lims=limits is not None, **start)
                break
            except (pandapower.LoadflowNotConverged, ArithmeticError, ValueError, RuntimeError):  # SuperLU raises the last
                continue
        else:
            raise ToleranceError(
                f"case {case.name!r}: the {'DC' if dc else 'AC'} power flow did not converge"
                + (" with reactive limits enforced; compare enforce_limits=False" if limits is not None else "")
                + "; check loads, limits and voltages"
            )
    solved = net.res_bus.sort_index()
    size = np.ones(len(solved)) if dc else solved.vm_pu
    return np.asarray(size * np.exp(1j * np.deg2rad(solved.va_degree)), dtype=complex)


def _starts(case: Case) -> list[dict[str, Any]]:
    """Where Newton's method begins: at stored voltages, else at the DC solution (which needs reactances), else flat."""
    buses, branches, _ = case.grid
    starts: list[dict[str, Any]] = []
    if {"vm_pu", "va_deg"} <= set(buses) and not buses[["vm_pu", "va_deg"]].isna().any().any():
        starts.append({"init_vm_pu": buses["vm_pu"].to_numpy(), "init_va_degree": buses["va_deg"].to_numpy()})
    if (branches["x_pu"] != 0).all():
        starts.append({"init": "dc"})
    return [*starts, {"init": "flat"}]


def _ppc(case: Case, limits: pd.DataFrame | None) -> dict[str, Any]:
    """The case in MATPOWER columns, buses numbered from 0, one generator per bus, every bus at 1 kV, charging as bus shunts.

    All equivalent in per unit, and modelled alike by every converter: with equal voltage levels a tap stays at its from end.
    """
    buses, branches, gens = case.grid
    row, n = bus_index(case), len(buses)
    f, t = branch_ends(case)
    bus = np.zeros((n, 13))
    bus[:, 0], bus[:, 1], bus[:, 6], bus[:, 10] = np.arange(n), 1, 1, 1
    bus[:, 2:6] = buses[["p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"]]
    bus[:, 7], bus[:, 9], bus[:, 11], bus[:, 12] = 1.0, 1.0, 2.0, 0.0
    slack = gens["bus"][gens["kind"] == "slack"].iloc[0]
    table = gens.groupby("bus", sort=False).agg(p_mw=("p_mw", "sum"), v_pu=("v_pu", "first"))
    at = np.array([row[b] for b in table.index])
    bus[at, 1] = np.where(table.index == slack, 3, 2)
    gen = np.zeros((len(table), 21))
    gen[:, 0], gen[:, 1], gen[:, 5], gen[:, 7] = at, table["p_mw"], table["v_pu"], 1
    gen[:, 3], gen[:, 4], gen[:, 8], gen[:, 6] = 1e9, -1e9, 1e9, case.base_mva
    if limits is not None:
        gen[:, 3], gen[:, 4] = limits.loc[table.index, "high"].clip(upper=1e9), limits.loc[table.index, "low"].clip(lower=-1e9)
    branch = np.zeros((len(branches), 13))
    branch[:, 0], branch[:, 1], branch[:, 10], branch[:, 11], branch[:, 12] = f, t, 1, -360, 360
    branch[:, 2:4] = branches[["r_pu", "x_pu"]]
    charging = 0.5 * branches["b_pu"].to_numpy() * case.base_mva
    np.add.at(bus[:, 5], f, charging / branches["tap"].to_numpy() ** 2)
    np.add.at(bus[:, 5], t, charging)
    branch[:, 5:8] = 1e4
    branch[:, 8], branch[:, 9] = branches["tap"], branches["shift_deg"]
    return {"version": "2", "baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": branch}
