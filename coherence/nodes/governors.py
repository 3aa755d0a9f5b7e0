r"""Governor and turbine records linearised to h(s): mechanical power lost per unit of speed gained.

In per unit on machine base; h enters g^{-1} = m s + d + h with h(0) the inverse droop. Limits, dead bands and rates are
nonlinear and drop out. Each model is a cascade of first- and second-order factors (no polynomial products).

    TGOV1   (1/R) (1 + T2 s)/((1 + T1 s)(1 + T3 s)),  and damping Dt
    IEESGO  K1 (1 + T2 s)/((1 + T1 s)(1 + T3 s)) . 1/(1 + T4 s) . (1 - K2 + K2/(1 + T5 s) (1 - K3 + K3/(1 + T6 s)))
    HYGOV   At (1 + Tr s)/(R + (R + r) Tr s + r Tr Tf s^2) . 1/(1 + Tg s) . (1 - TW s)/(1 + TW s/2)

HYGOV: the permanent droop is fed back from the desired gate, before the filter's output, so the filter constant Tf sits
inside the loop (a factor 1 + Tf s outside it is an approximation). The turbine is linearised at rated gate, no-load
flow neglected; Dturb multiplies the gate opening and is left to the declared damping. A hydro turbine is non-minimum
phase: h is not positive real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from coherence.errors import InputError, UnknownNameError
from coherence.nodes.nodes import unknown_name
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, cascade

Record = Mapping[str, float]


def _factor(num: list[float], den: list[float]) -> Realization:
    """num/den with leading zeros dropped (a time constant of zero is no state)."""
    return Rational.of((num, den), "governor").realization()


def _chain(*factors: Realization) -> Realization:
    total = factors[0]
    for factor in factors[1:]:
        total = cascade(total, factor)
    return total


def _tgov1(r: Record) -> Realization:
    _need(r, "TGOV1", positive=("R", "T1", "T3"), nonnegative=("T2",))
    return _chain(_factor([1.0], [r["R"] * r["T1"], r["R"]]), _factor([r["T2"], 1.0], [r["T3"], 1.0]))


def _ieesgo(r: Record) -> Realization:
    _need(r, "IEESGO", positive=("K1",), nonnegative=("T1", "T2", "T3", "T4", "T5", "T6"))
    if r["T2"] > 0 and r["T1"] + r["T3"] == 0:
        raise InputError("IEESGO: T2 > 0 needs T1 > 0 or T3 > 0, otherwise the governor is improper")
    led, other = ("T1", "T3") if r["T1"] > 0 else ("T3", "T1")
    governor = _chain(_factor([r["T2"], 1.0], [r[led], 1.0]), _factor([1.0], [r[other], 1.0]), _factor([r["K1"]], [r["T4"], 1.0]))
    k2, k3 = r["K2"], r["K3"]
    if k2 == 0:
        return governor
    reheat = _factor([(1 - k3) * r["T6"], 1.0], [r["T6"], 1.0])  # 1 - K3 + K3/(1 + T6 s)
    inner = _chain(_factor([1.0], [r["T5"], 1.0]), reheat)
    mixed = Realization(inner.a, inner.b, k2 * inner.c, k2 * inner.d + (1 - k2))
    return _chain(governor, mixed)


def _hygov(r: Record) -> Realization:
    _need(r, "HYGOV", positive=("R", "Tr", "TW", "At"), nonnegative=("r", "Tf", "Tg"))
    gate = _factor([r["Tr"], 1.0], [r["r"] * r["Tr"] * r["Tf"], (r["R"] + r["r"]) * r["Tr"], r["R"]])
    turbine = _factor([-r["TW"] * r["At"], r["At"]], [0.5 * r["TW"], 1.0])
    return _chain(gate, _factor([1.0], [r["Tg"], 1.0]), turbine)


#: model name -> (parameters a record must have, linearisation)
MODELS: dict[str, tuple[tuple[str, ...], Callable[[Record], Realization]]] = {
    "TGOV1": (("R", "T1", "T2", "T3", "Dt"), _tgov1),
    "IEESGO": (("T1", "T2", "T3", "T4", "T5", "T6", "K1", "K2", "K3"), _ieesgo),
    "HYGOV": (("R", "r", "Tr", "Tf", "Tg", "TW", "At"), _hygov),
}


def governor(model: str, record: Record) -> Realization:
    """The linearised governor and turbine h(s) of a record, in per unit on machine base.

    Parameters
    ----------
    model : str
        One of `MODELS`: "HYGOV", "TGOV1", "IEESGO".
    record : mapping parameter -> value

    Returns
    -------
    Realization
        h(s): power lost [pu of machine base] per speed gained [pu]; order 2 to 5.

    Raises
    ------
    UnknownNameError
        A model that is not known.
    InputError
        A parameter that is missing, no finite number, or out of range.

    References
    ----------
    Block diagrams of the models as in the PSS/E model library; the linearisations are derived in the module.

    Examples
    --------
    >>> h = governor("TGOV1", {"R": 0.05, "T1": 0.5, "T2": 2.1, "T3": 7.0, "Dt": 0.0})
    >>> float(h.dc_gain().round(6)[0, 0])
    20.0
    """
    if model not in MODELS:
        raise UnknownNameError(unknown_name("governor model", model, sorted(MODELS)))
    parameters, build = MODELS[model]
    missing = [name for name in parameters if name not in record]
    if missing:
        raise InputError(f"{model} lacks {', '.join(missing)}; give all of {', '.join(parameters)}")
    bad = [name for name in parameters if not (isinstance(record[name], (int, float, np.number)) and np.isfinite(record[name]))]
    if bad:
        raise InputError(f"{model}: {bad[0]} = {record[bad[0]]} is not a finite number")
    system = build(record)
    if np.any(system.d):
        raise InputError(f"{model} passes speed to power at once (no lag left); give it a time constant > 0")
    return system


def turbine(droop: float, time_constant: float) -> Realization:
    """The one-lag turbine (1/droop)/(time_constant s + 1); both > 0, droop in pu, time constant in s."""
    if not (np.isfinite(droop) and droop > 0):
        raise InputError(f"droop R_pu = {droop:g}; it must be > 0 (leave it empty for a machine without governor)")
    if not (np.isfinite(time_constant) and time_constant > 0):
        raise InputError(f"turbine time constant T_s = {time_constant:g}; it must be > 0 where R_pu is given")
    return Realization(*(np.array([[x]]) for x in (-1 / time_constant, 1 / time_constant, 1 / droop, 0.0)))


def one_lag(system: Realization) -> tuple[float, float]:
    """(h(0), tau): the one-lag turbine h(0)/(tau s + 1) with the same gain and first moment -h'(0)/h(0)."""
    x = np.linalg.solve(system.a, system.b)
    gain = float((system.d - system.c @ x)[0, 0])
    slope = float((system.c @ np.linalg.solve(system.a, x))[0, 0])
    return gain, slope / gain


def _need(record: Record, model: str, *, positive: tuple[str, ...], nonnegative: tuple[str, ...]) -> None:
    for name in positive:
        if record[name] <= 0:
            raise InputError(f"{model}: {name} = {record[name]:g}; it must be > 0")
    for name in nonnegative:
        if record[name] < 0:
            raise InputError(f"{model}: {name} = {record[name]:g}; it must be >= 0")
