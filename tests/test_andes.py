"""Against ANDES, a nonlinear simulator by others: eigenvalues of its classical machines, and responses to steps of load.

H. Cui, F. Li, K. Tomsovic, Hybrid symbolic-numeric framework for power system modeling and analysis (2021). Its licence is the
GPL: only the tests know it.
"""

import logging

import numpy as np
import pandas as pd
import pytest

import coherence as co

pytestmark = pytest.mark.filterwarnings("ignore")
CASES = {
    "kundur": ("kundur/kundur.raw", "kundur/kundur_gencls.dyr"),
    "wecc": ("wecc/wecc.raw", "wecc/wecc_gencls.dyr"),
}


def andes_system(name, *, constant_power=False):
    import andes

    andes.config_logger(logging.CRITICAL)
    raw, dyr = (andes.get_case(path) for path in CASES[name])
    system = andes.load(raw, addfile=dyr, setup=False, no_output=True, default_config=True)
    if system.Toggle.n:
        system.Toggle.u.v = [0] * system.Toggle.n  # the file's own disturbance
    if constant_power:
        system.PQ.config.p2p, system.PQ.config.p2i, system.PQ.config.p2z = 1.0, 0.0, 0.0
        system.PQ.config.q2q, system.PQ.config.q2i, system.PQ.config.q2z = 1.0, 0.0, 0.0
        system.PQ.pq2z = 0
    system.setup()
    assert system.PFlow.run()
    return system


def case_of(system):
    """The system's own tables as a Case: figures per unit on the system base, voltages solved by ANDES."""
    base = float(system.config.mva)
    bus = pd.DataFrame({"bus": system.Bus.idx.v, "vm_pu": system.Bus.v.v, "va_deg": np.rad2deg(system.Bus.a.v)})
    for column in ("p_load_mw", "q_load_mvar", "g_shunt_mw", "b_shunt_mvar"):
        bus[column] = 0.0
    row = {b: i for i, b in enumerate(bus["bus"])}
    for model, (p, q), columns in (
        ("PQ", ("p0", "q0"), ("p_load_mw", "q_load_mvar")),
        ("Shunt", ("g", "b"), ("g_shunt_mw", "b_shunt_mvar")),
    ):
        table = getattr(system, model)
        for i in range(table.n):
            bus.loc[row[table.bus.v[i]], list(columns)] += base * np.array([getattr(table, p).v[i], getattr(table, q).v[i]])
    line = system.Line
    assert not np.any(line.g.v)
    assert not np.any([line.g1.v, line.b1.v, line.g2.v, line.b2.v])
    branches = pd.DataFrame(
        {
            "from_bus": line.bus1.v,
            "to_bus": line.bus2.v,
            "r_pu": line.r.v,
            "x_pu": line.x.v,
            "b_pu": line.b.v,
            "tap": line.tap.v,
            "shift_deg": np.rad2deg(line.phi.v),
        }
    )[np.asarray(line.u.v) > 0].reset_index(drop=True)
    machines = system.GENCLS
    sources = {
        idx: (v0, p, kind)
        for table, kind in ((system.PV, "pv"), (system.Slack, "slack"))
        for idx, v0, p in zip(table.idx.v, table.v0.v, table.p.v, strict=True)
    }
    rows = []
    for i in range(machines.n):
        v0, p, kind = sources[machines.gen.v[i]]
        rated = float(machines.Sn.v[i])
        rows.append(
            {
                "label": f"G{machines.bus.v[i]}",
                "bus": machines.bus.v[i],
                "kind": kind,
                "p_mw": base * float(p),
                "v_pu": float(v0),
                "mbase_mva": rated,
                "H_s": machines.M.v[i] / 2 * base / rated,
                "D_pu": machines.D.v[i] * base / rated,
                "xd_prime_pu": machines.xd1.v[i] * rated / base,
            }
        )
    generators = pd.DataFrame(rows)
    return co.Case("andes", "andes", base, f_hz=float(system.config.freq), buses=bus, branches=branches, generators=generators)


@pytest.mark.parametrize("name", CASES)
def test_modes_are_the_eigenvalues_that_andes_finds(name):
    system = andes_system(name)
    case = case_of(system)
    point = co.power_flow(case, method="ac")
    theirs = case.buses["vm_pu"].to_numpy() * np.exp(1j * np.deg2rad(case.buses["va_deg"].to_numpy()))
    ours = point.voltage * np.exp(1j * (np.angle(theirs[0]) - np.angle(point.voltage[0])))  # their slack bus may have any angle
    assert np.abs(ours - theirs).max() < 1e-5
    assert system.EIG.run()
    theirs = np.sort_complex(system.EIG.mu[system.EIG.mu.imag > 1e-3] * 1j) / 1j
    ours = co.modes(case, point).eigenvalues
    print(np.c_[theirs[::-1], ours])
    assert len(ours) == len(case.generators) - 1
    assert ours.imag == pytest.approx(np.sort(theirs.imag), abs=1e-4)
    assert np.sort(ours.real) == pytest.approx(np.sort(theirs.real), abs=1e-4)
