r"""The GGOV1 record: a PID governor with droop fed back from one of three places, actuator and turbine.

In per unit on the turbine's rating Trate (the machine base where Trate = 0), w the speed deviation:

    C(s) = Kpgov + Kigov/s + Kdgov s/(1 + Tdgov s)
    A(s) = 1/(1 + Tact s),   B(s) = Kturb e^{-s Teng} (1 + Tc s)/(1 + Tb s)
    Rselect = -2 (governor output)   h = B A C/(1 + R C)
    Rselect = -1 (valve stroke)      h = B A C/(1 + R A C)
    Rselect =  1 (electrical power)  g^{-1} = (M s + D + G)/(1 + G R/(1 + Tpelec s)),   G = B A C,  M = 2 H

Electrical power. The machine is M s w = p_m - p_e - D w with p_m = -G (w + R/(1 + Tpelec s) p_e), together g^{-1} w = -p_e, so that
h = g^{-1} - M s - D depends on the machine. Input of a node is what its terminals see: lines, and a load there, which p_e holds.
Mechanical power u_m added to p_m would act as the input u_m/(1 + G R/(1 + Tpelec s)): the governor takes it back. Steadily
g^{-1}(0) = 1/R where Kigov > 0, whatever the damping. h is the loop closed by p_e = p_m - (M s + D) w; with the state
z = x + (M/Tpelec) w, x the measured power, nothing is differentiated, which takes Tpelec > 0.

The delay of the engine is its second-order Pade approximation (phase within 0.002 rad up to 1/Teng). Left out: limits and dead
band; the load and the acceleration limiter, which act at their limits only; Kimw, a supervisory controller of minutes; and
Flag = 1, fuel flow that grows with speed, which depends on the operating point. Dm > 0 is damping of the machine, Dm < 0 lowers a
limit only. Rselect = 0 (no droop) is refused with Kigov > 0: h would have a pole at s = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coherence.errors import InputError
from coherence.nodes.governor_models import Record, chain, factor, lag, lead_lag, need
from coherence.numerics.realization import Realization


class Machine(NamedTuple):
    """What a record may have to know of its machine."""

    H_s: float | None = None  # stored energy over rating
    D_pu: float = 0.0  # all damping of the shaft, in per unit on mbase_mva
    mbase_mva: float | None = None


def rating(record: Record, machine: Machine) -> float:
    """Rating of the turbine over that of the machine."""
    need(record, "GGOV1", nonnegative=("Trate",))
    if record["Trate"] == 0:
        return 1.0
    if machine.mbase_mva is None or not machine.mbase_mva > 0:
        raise InputError(f"GGOV1: Trate = {record['Trate']:g} is a base of its own; give the machine's, mbase_mva > 0")
    return record["Trate"] / machine.mbase_mva


def damping(record: Record, machine: Machine) -> float:
    """Dm on machine base; none where it is negative."""
    return max(record["Dm"], 0.0) * rating(record, machine)


def ggov1(r: Record, machine: Machine) -> Realization:
    """PID governor with actuator and turbine, on machine base."""
    need(r, "GGOV1", positive=("Kturb",), nonnegative=("Kpgov", "Kigov", "Kdgov", "Tact", "Tb", "Tc", "Teng"))
    select, scale = r["Rselect"], rating(r, machine)
    if select not in (1, 0, -1, -2):
        raise InputError(f"GGOV1: Rselect = {select:g}; it must be 1, 0, -1 or -2")
    if r["Tc"] > 0 and r["Tb"] == 0:
        raise InputError(f"GGOV1: Tc = {r['Tc']:g} needs Tb > 0, otherwise the turbine is improper")
    if select == 0 and r["Kigov"] > 0:
        raise InputError(
            f"GGOV1: Rselect = 0 with Kigov = {r['Kigov']:g} has no droop, so h has a pole at s = 0; set Rselect to 1, -1 or -2"
        )
    if select != 0:
        need(r, "GGOV1", positive=("R",))
    pid, actuator, turbine = _pid(r), lag(r["Tact"]), _turbine(r)
    if select == -2:
        h = chain(_fed_back(pid, r["R"]), actuator, turbine)
    elif select == -1:
        h = chain(_fed_back(chain(pid, actuator), r["R"]), turbine)
    else:
        h = chain(pid, actuator, turbine)
        if select == 1:
            h = _with_electrical_power(h, r, machine, scale)
    return Realization(h.a, h.b, scale * h.c, scale * h.d)


def _pid(r: Record) -> Realization:
    proportional, integral, derivative = (r[name] for name in ("Kpgov", "Kigov", "Kdgov"))
    if proportional + integral + derivative == 0:
        raise InputError("GGOV1: Kpgov, Kigov and Kdgov are all 0; give the governor a gain")
    if derivative > 0 and r["Tdgov"] <= 0:
        raise InputError(f"GGOV1: Tdgov = {r['Tdgov']:g}; it must be > 0 where Kdgov > 0")
    poles, drive, output = [], [], []
    if integral > 0:
        poles, drive, output = [0.0], [1.0], [integral]
    if derivative > 0:  # Kd s/(1 + Td s) = (Kd/Td) (1 - 1/(1 + Td s))
        t = r["Tdgov"]
        poles, drive, output = [*poles, -1 / t], [*drive, 1 / t], [*output, -derivative / t]
        proportional += derivative / t
    n = len(poles)
    return Realization(np.diag(poles), np.reshape(drive, (n, 1)), np.reshape(output, (1, n)), np.array([[proportional]]))


def _turbine(r: Record) -> Realization:
    t = r["Teng"]
    delay = factor([t * t / 12, -t / 2, 1.0], [t * t / 12, t / 2, 1.0])
    return chain(delay, lead_lag(r["Tc"], r["Tb"], r["Kturb"]))


def _fed_back(system: Realization, gain: float) -> Realization:
    """system/(1 + gain system)."""
    a, b, c, d = system
    return_difference = 1 + gain * float(d[0, 0])
    return Realization(a - gain / return_difference * b @ c, b / return_difference, c / return_difference, d / return_difference)


def _with_electrical_power(forward: Realization, r: Record, machine: Machine, scale: float) -> Realization:
    """The loop closed by p_e = p_m - (M s + D) w; states those of `forward`, then z."""
    need(r, "GGOV1", positive=("Tpelec",))
    if np.any(forward.d):
        return forward  # no lag left: `governor` says so
    if machine.H_s is None or not 0 < machine.H_s < np.inf or not np.isfinite(machine.D_pu):
        raise InputError(
            "GGOV1 with Rselect = 1 feeds back electrical power, which depends on the machine; give its H_s > 0 and D_pu"
        )
    t, droop = r["Tpelec"], r["R"]
    m, d = 2 * machine.H_s / scale, machine.D_pu / scale
    a = np.block([[forward.a, droop * forward.b], [-forward.c / t, np.array([[-1 / t]])]])
    b = np.vstack([(1 - droop * m / t) * forward.b, [[(m / t - d) / t]]])
    return Realization(a, b, np.hstack([forward.c, [[0.0]]]), np.zeros((1, 1)))
