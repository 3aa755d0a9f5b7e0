r"""Governor records as cascades: each builder gives h(s), in per unit on machine base, from first- and second-order factors.

    TGOV1   (1/R) (1 + T2 s)/((1 + T1 s)(1 + T3 s))
    IEESGO  K1 (1 + T2 s)/((1 + T1 s)(1 + T3 s)) . 1/(1 + T4 s) . (1 - K2 + K2/(1 + T5 s) (1 - K3 + K3/(1 + T6 s)))
    HYGOV   At (1 + Tr s)/(R + (R + r) Tr s + r Tr Tf s^2) . 1/(1 + Tg s) . (1 - TW s)/(1 + TW s/2)
    IEEEG1  K (1 + T2 s)/((1 + T1 s)(1 + T3 s)) . L4 (K1 + L5 (K3 + L6 (K5 + L7 K7))),  L_k = 1/(1 + T_k s);  WSIEG1 likewise
    GAST    (1/R) 1/((1 + T1 s)(1 + T2 s))
    RATIONAL  (b0 + b1 s + ...)/(a0 + a1 s + ...)

A time constant of zero is no state, and neither is a lead that its lag cancels.

HYGOV: the permanent droop is fed back from the desired gate, before the filter's output, so the filter constant Tf sits
inside the loop (a factor 1 + Tf s outside it is an approximation). The turbine is linearised at rated gate, no-load flow
neglected; Dturb multiplies the gate opening and is left to the declared damping.

IEEEG1, WSIEG1: K1, K3, K5, K7 drive this machine. K2, K4, K6, K8 drive the machine at JBUS with this one's speed, which no node
dynamics can hold: with JBUS they are left out (give the other machine a record of its own with the fractions exchanged, which then
answers to its own speed), without it they would drive nothing and are refused. The fractions are taken as they are, not scaled to
sum to one, so h(0) = K (K1 + K3 + K5 + K7). The slope of WSIEG1's gate curve GV -> PGV depends on the operating point, which a
record does not know: it is taken as 1, the mean slope of a curve from (0, 0) to (1, 1).

GAST: the temperature limit (AT, KT, T3) takes over at the limit only, so it does not act.

RATIONAL keeps its coefficients in a companion matrix, balanced by powers of two, so that they lose no digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import scipy.linalg as sla

from coherence.errors import InputError
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, cascade
from coherence.types import Real

Record = Mapping[str, float]

DEGREE = 8  # highest power of RATIONAL


def factor(num: list[float], den: list[float]) -> Realization:
    """num/den with leading zeros dropped (a time constant of zero is no state)."""
    return Rational.of((num, den), "governor").realization()


def lag(time_constant: float, gain: float = 1.0) -> Realization:
    """gain/(1 + T s)."""
    return factor([gain], [time_constant, 1.0])


def lead_lag(lead: float, behind: float, gain: float = 1.0) -> Realization:
    """Gain (1 + lead s)/(1 + behind s); no state where the two cancel."""
    return factor([gain], [1.0]) if lead == behind else factor([gain * lead, gain], [behind, 1.0])


def chain(*factors: Realization) -> Realization:
    """Their product, each driving the next."""
    total = factors[0]
    for one in factors[1:]:
        total = cascade(total, one)
    return total


def need(record: Record, model: str, *, positive: tuple[str, ...] = (), nonnegative: tuple[str, ...] = ()) -> None:
    """The parameters of a record are in range, else one is named.

    Raises
    ------
    InputError
        Naming model, parameter and value.
    """
    for name in positive:
        if record[name] <= 0:
            raise InputError(f"{model}: {name} = {record[name]:g}; it must be > 0")
    for name in nonnegative:
        if record[name] < 0:
            raise InputError(f"{model}: {name} = {record[name]:g}; it must be >= 0")


def tgov1(r: Record) -> Realization:
    """Steam turbine with droop R, valve T1 and reheat T2, T3."""
    need(r, "TGOV1", positive=("R", "T1", "T3"), nonnegative=("T2",))
    return chain(factor([1.0], [r["R"] * r["T1"], r["R"]]), lead_lag(r["T2"], r["T3"]))


def ieesgo(r: Record) -> Realization:
    """Steam turbine with lead-lag governor, inlet T4 and two reheats."""
    need(r, "IEESGO", positive=("K1",), nonnegative=("T1", "T2", "T3", "T4", "T5", "T6"))
    governor = chain(_led(r, "IEESGO", 1.0), lag(r["T4"], r["K1"]))
    k2, k3 = r["K2"], r["K3"]
    if k2 == 0:
        return governor
    reheat = factor([(1 - k3) * r["T6"], 1.0], [r["T6"], 1.0])  # 1 - K3 + K3/(1 + T6 s)
    return chain(governor, _plus(1 - k2, chain(lag(r["T5"]), reheat), k2))


def hygov(r: Record) -> Realization:
    """Hydro turbine with permanent droop R, temporary droop r and water time TW."""
    need(r, "HYGOV", positive=("R", "Tr", "TW", "At"), nonnegative=("r", "Tf", "Tg"))
    gate = factor([r["Tr"], 1.0], [r["r"] * r["Tr"] * r["Tf"], (r["R"] + r["r"]) * r["Tr"], r["R"]])
    turbine = factor([-r["TW"] * r["At"], r["At"]], [0.5 * r["TW"], 1.0])
    return chain(gate, lag(r["Tg"]), turbine)


def ieeeg1(r: Record, model: str = "IEEEG1") -> Realization:
    """Steam turbine with servo T3 and power taken behind each of four lags."""
    own, other = ("K1", "K3", "K5", "K7"), ("K2", "K4", "K6", "K8")
    need(r, model, positive=("K", "T3"), nonnegative=("T1", "T2", "T4", "T5", "T6", "T7", *own))
    lost = [name for name in other if optional(r, model, name) != 0]
    if lost and optional(r, model, "JBUS") == 0:
        raise InputError(
            f"{model}: {lost[0]} = {r[lost[0]]:g} drives the machine at JBUS, but JBUS = 0 names none; "
            f"add it to {own[other.index(lost[0])]} or set it to 0"
        )
    share = [r[name] for name in own]
    if not any(share):
        raise InputError(f"{model}: {' + '.join(own)} = 0; a share of the power must drive this machine")
    stages = factor([share[-1]], [1.0]) if share[-1] else None
    for name, before in (("T7", share[2]), ("T6", share[1]), ("T5", share[0]), ("T4", 0.0)):
        if stages is not None:
            stages = _plus(before, chain(lag(r[name]), stages))
        elif before:  # nothing is taken behind this lag
            stages = factor([before], [1.0])
    assert stages is not None
    return chain(_led(r, model, r["K"]), stages)


def wsieg1(r: Record) -> Realization:
    """IEEEG1 with dead bands and a gate curve, which drop out."""
    return ieeeg1(r, "WSIEG1")


def gast(r: Record) -> Realization:
    """Gas turbine with fuel valve T1 and turbine T2 below its temperature limit."""
    need(r, "GAST", positive=("R",), nonnegative=("T1", "T2"))
    return chain(lag(r["T1"]), factor([1.0], [r["R"] * r["T2"], r["R"]]))


def rational(r: Record) -> Realization:
    """The strictly proper function of given coefficients."""
    for name in r:
        if re.fullmatch(r"[ab]\d+", name) and int(name[1:]) > DEGREE:
            raise InputError(f"RATIONAL: {name} is beyond degree {DEGREE}; give b0 to b{DEGREE} and a0 to a{DEGREE}")
    b, a = (np.array([optional(r, "RATIONAL", f"{letter}{i}") for i in range(DEGREE + 1)]) for letter in "ba")
    if not a.any() or not b.any():
        which, meaning = ("a", "denominator") if not a.any() else ("b", "numerator")
        raise InputError(f"RATIONAL: {which}0 to {which}{DEGREE} are all 0; give a {meaning}")
    if a[0] == 0:
        raise InputError("RATIONAL: a0 = 0 is a pole at s = 0, an integrator without droop; give a0 another value")
    n, top = int(np.flatnonzero(a)[-1]), int(np.flatnonzero(b)[-1])
    if top >= n:
        raise InputError(
            f"RATIONAL: b{top} = {b[top]:g} but the last a is a{n}; power follows speed late (strictly proper), give a{top + 1}"
        )
    companion = np.eye(n, k=1)
    companion[-1] = -a[:n] / a[n]
    balanced, (scale, _) = sla.matrix_balance(companion, permute=False, separate=True)
    drive = np.zeros((n, 1))
    drive[-1] = 1.0 / scale[-1]
    output: Real = (b[:n] / a[n] * scale)[None, :]
    return Realization(np.asarray(balanced), drive, output, np.zeros((1, 1)))


def optional(record: Record, model: str, name: str) -> float:
    """A parameter that may be missing or NaN, which is 0.

    Raises
    ------
    InputError
        No finite number.
    """
    value = record.get(name, 0.0)
    if not isinstance(value, (int, float, np.number)) or np.isinf(value):
        raise InputError(f"{model}: {name} = {value} is not a finite number")
    return 0.0 if np.isnan(value) else float(value)


def _led(r: Record, model: str, gain: float) -> Realization:
    """Gain (1 + T2 s)/((1 + T1 s)(1 + T3 s)), the lead with a lag that is there."""
    if r["T2"] > 0 and r["T1"] + r["T3"] == 0:
        raise InputError(f"{model}: T2 > 0 needs T1 > 0 or T3 > 0, otherwise the governor is improper")
    led, other = ("T1", "T3") if r["T1"] > 0 and r["T2"] != r["T3"] else ("T3", "T1")
    return chain(lead_lag(r["T2"], r[led]), lag(r[other], gain))


def _plus(constant: float, system: Realization, gain: float = 1.0) -> Realization:
    """The sum of a constant and gain * system."""
    return Realization(system.a, system.b, gain * system.c, gain * system.d + constant)
