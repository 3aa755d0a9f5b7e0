"""Against ANDES, a nonlinear simulator by others: eigenvalues of its classical machines, and responses to steps of load.

H. Cui, F. Li, K. Tomsovic, Hybrid symbolic-numeric framework for power system modeling and analysis (2021). Its licence is the
GPL: only the tests know it.
"""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.linalg

import coherence as co

pytestmark = pytest.mark.filterwarnings("ignore")
CASES = {
    "kundur": ("kundur/kundur.raw", "kundur/kundur_gencls.dyr"),
    "wecc": ("wecc/wecc.raw", "wecc/wecc_gencls.dyr"),
    "smib": ("smib/SMIB.json", None),
}


def andes_system(name, *, constant_power=False, governors=()):
    import andes

    andes.config_logger(logging.CRITICAL)
    static, dynamic = (None if path is None else andes.get_case(path) for path in CASES[name])
    system = andes.load(static, addfile=dynamic, setup=False, no_output=True, default_config=True)
    if system.Toggle.n:
        system.Toggle.u.v = [0] * system.Toggle.n  # the file's own disturbance
    if constant_power:
        system.PQ.config.p2p, system.PQ.config.p2i, system.PQ.config.p2z = 1.0, 0.0, 0.0
        system.PQ.config.q2q, system.PQ.config.q2i, system.PQ.config.q2z = 1.0, 0.0, 0.0
        system.PQ.pq2z = 0
    for machine, (model, record) in zip(system.GENCLS.idx.v, governors, strict=False):
        system.add(model, {"syn": machine} | record)
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
    theirs = system.EIG.mu[system.EIG.mu.imag > 1e-3]
    ours = co.modes(case, point).eigenvalues
    assert len(ours) == len(case.generators) - 1
    assert ours.imag == pytest.approx(np.sort(theirs.imag), abs=2e-5)
    assert np.sort(ours.real) == pytest.approx(np.sort(theirs.real), abs=2e-5)


GOVERNORS = [
    ("TGOV1", {"R": 0.05, "T1": 0.5, "VMAX": 2.0, "VMIN": 0.0, "T2": 2.1, "T3": 7.0, "Dt": 0.3}),
    (
        "IEEEG1",
        {
            "K": 20.0,
            "T1": 0.1,
            "T2": 0.3,
            "T3": 0.2,
            "UO": 1.0,
            "UC": -1.0,
            "PMAX": 2.0,
            "PMIN": 0.0,
            "T4": 0.3,
            "K1": 0.3,
            "K2": 0.0,
        }
        | {"T5": 5.0, "K3": 0.3, "K4": 0.0, "T6": 0.4, "K5": 0.4, "K6": 0.0, "T7": 0.0, "K7": 0.0, "K8": 0.0},
    ),
    ("GAST", {"R": 0.05, "T1": 0.4, "T2": 0.1, "T3": 3.0, "AT": 2.0, "KT": 2.0, "VMAX": 2.0, "VMIN": -0.1, "Dt": 0.4}),
    (
        "IEESGO",
        {
            "T1": 0.1,
            "T2": 0.2,
            "T3": 0.5,
            "T4": 0.3,
            "T5": 4.0,
            "T6": 0.4,
            "K1": 180.0,
            "K2": 0.7,
            "K3": 0.4,
            "PMAX": 2.0,
            "PMIN": 0.0,
        },
    ),
]


def test_oscillations_under_governors_are_the_eigenvalues_that_andes_finds():
    """A governor of another kind at each of four machines of 900 MVA on 100; ANDES takes K1 of IEESGO per unit of 100 MVA."""
    system = andes_system("kundur", governors=GOVERNORS)
    case = case_of(system)
    labels = list(case.generators["label"])
    tables = {}
    for label, (model, record) in zip(labels, GOVERNORS, strict=True):
        tables[model] = pd.DataFrame([{"label": label} | record])
    tables["GAST"] = tables["GAST"].rename(columns={"Dt": "Dturb"})
    tables["IEESGO"]["K1"] /= 9
    case = replace(case, generators=case.generators.assign(governor=list(tables)), governors=tables)
    assert system.EIG.run()
    theirs = np.sort_complex(system.EIG.mu[system.EIG.mu.imag > 1e-3])
    ours = np.sort_complex(co.modes(case, co.power_flow(case, method="ac"), all_oscillations=True).eigenvalues)
    assert len(theirs) >= 4
    assert ours == pytest.approx(theirs, abs=2e-5)


STEP = 1 / 480  # s: its own error is then a tenth of the difference


def nonlinear_response(name, fraction, seconds=10.0):
    """Speeds [rad/s] of ANDES after every load (constant power) grows by a fraction; None where its integration ends early."""
    system = andes_system(name, constant_power=True)
    case = case_of(system)
    config = system.TDS.config
    config.fixt, config.tstep, config.tf, config.no_tqdm, config.criteria = 1, STEP, seconds, 1, 0
    system.TDS.init()
    for idx, p in zip(system.PQ.idx.v, list(system.PQ.p0.v), strict=True):
        system.PQ.alter("Ppf", idx, p * (1 + fraction))
    if not system.TDS.run():
        return case, None, None
    time = np.asarray(system.dae.ts.t)
    speed = np.asarray(system.dae.ts.x)[:, system.GENCLS.omega.a]
    return case, time, (speed - 1) * 2 * np.pi * float(system.config.freq)


def linear_response(case, fraction, time):
    """Speeds [rad/s] by the matrix exponential of m w' = -d w - K delta - share P, with K as it is (asymmetric)."""
    found = co.synchronising_matrix(case, co.power_flow(case, method="ac"), convention=co.Convention("internal", loads="power"))
    machines = co.machine_nodes(case)
    loads = case.buses[case.buses["p_load_mw"] != 0]
    push = sum(found.share(bus) * p / case.base_mva for bus, p in zip(loads["bus"], loads["p_load_mw"], strict=True)) * fraction
    n, m = len(machines), machines.inertia[:, None]
    a = np.block([[np.zeros((n, n)), np.eye(n)], [-found.matrix.to_numpy() / m, -np.diag(machines.damping / machines.inertia)]])
    b = np.concatenate([np.zeros(n), -push.to_numpy() / machines.inertia])
    step = scipy.linalg.expm(np.block([[a, b[:, None]], [np.zeros((1, 2 * n + 1))]]) * STEP)
    state, states = np.append(np.zeros(2 * n), 1.0), []
    for _ in range(int(time[-1] / STEP) + 2):
        states.append(state)
        state = step @ state
    grid = STEP * np.arange(len(states))
    return np.column_stack([np.interp(time, grid, row) for row in np.array(states).T[n : 2 * n]])


def difference(name, fraction):
    """Largest and root mean square difference of the linear from the nonlinear speeds, over the nonlinear peak."""
    case, time, theirs = nonlinear_response(name, fraction)
    if theirs is None:
        return np.inf, np.inf
    error, peak = linear_response(case, fraction, time) - theirs, np.abs(theirs).max()
    return float(np.abs(error).max() / peak), float(np.sqrt((error**2).mean()) / peak)


@pytest.mark.parametrize(("name", "peak", "rms"), [("kundur", 0.0041, 0.00125), ("wecc", 0.0103, 0.0021)])
def test_a_one_percent_load_step_is_that_of_the_nonlinear_simulation(name, peak, rms):
    found, smaller = difference(name, 0.01), difference(name, 0.001)
    assert found[0] == pytest.approx(peak, rel=0.05)
    assert found[1] == pytest.approx(rms, rel=0.05)
    assert smaller[0] < 0.25 * found[0]  # what the linear model leaves out is of second order


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [("kundur", 0.10, 0.15), ("wecc", 0.03, 0.05)],
)
def test_the_size_of_load_step_at_which_linear_stops_being_right(name, right, wrong):
    """Within 5 % of the peak up to `right` of the load, no more at `wrong`; the error grows with the step."""
    errors = [difference(name, fraction)[0] for fraction in (0.01, right, wrong)]
    assert errors[0] < errors[1] < 0.05 < errors[2]


FILES = {  # a RAW file with its machines, as far as ANDES has a model for each
    "kundur/kundur.raw": "kundur/kundur_full.dyr",
    "ieee14/ieee14.raw": "ieee14/ieee14.dyr",
    "ieee39/ieee39.raw": None,
    "npcc/npcc.raw": "npcc/npcc_full.dyr",
    "wecc/wecc.raw": "wecc/wecc_full.dyr",
    "nordic44/N44_BC.raw": "nordic44/N44_BC.dyr",
    "wscc9/wscc9.raw": None,
    "wscc9/wscc9_3wxfr.raw": None,
}


@pytest.mark.parametrize("grid", [name for name in FILES if "nordic" not in name])  # of which ANDES finds no solution
def test_psse_files_have_the_operating_point_that_andes_finds(grid):
    import andes

    andes.config_logger(logging.CRITICAL)
    system = andes.load(andes.get_case(grid), setup=False, no_output=True, default_config=True)
    stored = dict(zip(system.Bus.idx.v, system.Bus.v0.v, strict=True))
    for sources in (system.PV, system.Slack):  # ours hold the voltage that the file stores
        for row, bus in enumerate(sources.bus.v):
            sources.v0.v[row] = stored[bus]
    place = {bus: row for row, bus in enumerate(system.Bus.idx.v)}
    for row, x in enumerate(system.Line.x.v):
        if abs(x) < 1e-12:  # a winding without impedance: from what rounding leaves theirs ends at a false solution
            system.Line.x.v[row] = 1e-6
            one, star = place[system.Line.bus1.v[row]], place[system.Line.bus2.v[row]]
            system.Bus.v0.v[star], system.Bus.a0.v[star] = system.Bus.v0.v[one], system.Bus.a0.v[one]
    system.PQ.config.pq2z = 0  # loads stay what they are outside of 0.8 to 1.2 pu
    system.setup()
    system.PFlow.config.tol = 1e-10
    assert system.PFlow.run()
    case = co.read_case(andes.get_case(grid))
    own = case.branches
    case = replace(case, branches=own.assign(r_pu=own["r_pu"] + 1e-8, x_pu=own["x_pu"] + 1e-8))  # as theirs, against zeros
    point = co.power_flow(case, method="ac")
    row = {bus: k for k, bus in enumerate(system.Bus.idx.v)}
    at = [row[bus] for bus in case.buses["bus"]]
    theirs = (np.asarray(system.Bus.v.v) * np.exp(1j * np.asarray(system.Bus.a.v)))[at]
    slack = int(np.argmax((case.buses["bus"] == case.generators.loc[case.generators["kind"] == "slack", "bus"].iloc[0]).to_numpy()))
    ours = point.voltage * np.exp(1j * (np.angle(theirs[slack]) - np.angle(point.voltage[slack])))
    assert np.abs(ours - theirs).max() < 1e-6


@pytest.mark.parametrize("grid", [name for name, machines in FILES.items() if machines])
def test_psse_files_store_the_energy_that_andes_finds(grid):
    import andes

    andes.config_logger(logging.CRITICAL)
    dynamic = andes.get_case(FILES[grid])
    system = andes.load(andes.get_case(grid), addfile=dynamic, setup=True, no_output=True, default_config=True)
    theirs = sum(float(np.sum(model.M.v)) / 2 * system.config.mva for model in (system.GENCLS, system.GENROU) if model.n)
    own = co.read_case(andes.get_case(grid), machines=dynamic).machines
    assert (own["mbase_mva"] * own["H_s"]).sum() == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("name", ["new_england39", "nets_nyps68", "two_area"])
def test_andes_reads_the_psse_files_that_are_written(name, tmp_path):
    import andes

    andes.config_logger(logging.CRITICAL)
    case = co.load_case(name)
    co.write_raw(case, tmp_path / "x.raw")
    co.write_dyr(case, tmp_path / "x.dyr")
    system = andes.load(str(tmp_path / "x.raw"), addfile=str(tmp_path / "x.dyr"), setup=True, no_output=True, default_config=True)
    assert system.PFlow.run()
    point = co.power_flow(case)
    place = {bus: row for row, bus in enumerate(system.Bus.idx.v)}
    theirs = system.Bus.v.v[[place[int(bus)] for bus in case.buses["bus"]]]
    assert np.abs(np.abs(point.voltage) - theirs).max() < 1e-5  # ANDES adds 1e-8 to every r and x
    assert system.GENCLS.n == len(case.machines)
    assert np.isclose(system.GENCLS.M.v.sum() / 2 * case.base_mva, (case.machines["mbase_mva"] * case.machines["H_s"]).sum())
