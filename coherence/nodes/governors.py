r"""Governor and turbine records linearised to h(s): mechanical power lost per unit of speed gained.

    g^{-1}(s) = m s + d + h(s),    h strictly proper, in per unit on machine base

h(0) is the inverse droop. Limits, dead bands and rates are nonlinear and drop out. Each model is a cascade of first- and
second-order factors or a loop closed in state space (no polynomial products): TGOV1, IEESGO, HYGOV, IEEEG1, WSIEG1, GAST and
RATIONAL in `governor_models`; GGOV1, whose droop may come from electrical power, in `ggov1`. Turbine damping that a record states
as power lost at once (Dt of TGOV1, Dturb of GAST, Dm > 0 of GGOV1) belongs to d: `turbine_damping`. A hydro turbine is non-minimum
phase: h is not positive real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coherence.errors import InputError, UnknownNameError
from coherence.nodes import ggov1, governor_models
from coherence.nodes.ggov1 import Machine
from coherence.nodes.governor_models import Record
from coherence.nodes.nodes import unknown_name
from coherence.numerics.realization import Realization


class Model(NamedTuple):
    """A kind of record."""

    parameters: tuple[str, ...]  # those that a record must have; others, such as limits, may stand beside them
    build: Callable[[Record, Machine], Realization]
    damping: Callable[[Record, Machine], float]  # power lost at once per speed gained, on machine base


def _none(record: Record, machine: Machine) -> float:
    return 0.0


def _alone(build: Callable[[Record], Realization], parameters: str, damping: Callable[[Record, Machine], float] = _none) -> Model:
    """A model that needs to know nothing of its machine."""
    return Model(tuple(parameters.split()), lambda record, machine: build(record), damping)


_STEAM = "K T1 T2 T3 T4 K1 T5 K3 T6 K5 T7 K7"
_PID = "Rselect R Tpelec Kpgov Kigov Kdgov Tdgov Tact Kturb Tb Tc Teng Dm Trate"

#: model name -> parameters a record must have, linearisation, turbine damping
MODELS: dict[str, Model] = {
    "TGOV1": _alone(governor_models.tgov1, "R T1 T2 T3 Dt", lambda record, machine: record["Dt"]),
    "IEESGO": _alone(governor_models.ieesgo, "T1 T2 T3 T4 T5 T6 K1 K2 K3"),
    "HYGOV": _alone(governor_models.hygov, "R r Tr Tf Tg TW At"),
    "IEEEG1": _alone(governor_models.ieeeg1, _STEAM),
    "WSIEG1": _alone(governor_models.wsieg1, _STEAM),
    "GAST": _alone(governor_models.gast, "R T1 T2 Dturb", lambda record, machine: record["Dturb"]),
    "GGOV1": Model(tuple(_PID.split()), ggov1.ggov1, ggov1.damping),
    "RATIONAL": _alone(governor_models.rational, ""),
}


def governor(
    model: str, record: Record, *, H_s: float | None = None, D_pu: float = 0.0, mbase_mva: float | None = None
) -> Realization:
    """The linearised governor and turbine h(s) of a record, in per unit on machine base.

    Parameters
    ----------
    model : str
        One of `MODELS`: "GAST", "GGOV1", "HYGOV", "IEEEG1", "IEESGO", "TGOV1", "WSIEG1"; or "RATIONAL", the coefficients
        b0 to b8 and a0 to a8 of h(s) = (b0 + b1 s + ...)/(a0 + a1 s + ...), where a missing or NaN one is 0.
    record : mapping parameter -> value
        Per unit on machine base (GGOV1: on Trate [MW] where it is > 0), time constants in s.
    H_s, D_pu, mbase_mva : float, optional
        Stored energy [s], all damping of the shaft [pu] and rating of the machine. GGOV1 needs the first two where its droop is of
        electrical power (Rselect = 1), the last where Trate > 0.

    Returns
    -------
    Realization
        h(s): power lost [pu of machine base] per speed gained [pu]; order 1 to 8.

    Raises
    ------
    UnknownNameError
        A model that is not known.
    InputError
        A parameter that is missing, no finite number, or out of range.

    Notes
    -----
    The damping that a record states itself is not part of h: `turbine_damping`. With electrical power fed back, h is of the
    machine with inputs that its terminals see, lines and loads (`ggov1`).

    References
    ----------
    Block diagrams of the models as in the PSS/E model library; the linearisations are derived in the modules.

    Examples
    --------
    >>> h = governor("TGOV1", {"R": 0.05, "T1": 0.5, "T2": 2.1, "T3": 7.0, "Dt": 0.0})
    >>> float(h.dc_gain().round(6)[0, 0])
    20.0
    >>> governor("RATIONAL", {"b0": 20.0, "b1": 42.0, "a0": 1.0, "a1": 7.5, "a2": 3.5}).order
    2
    """
    found, machine = _checked(model, record), Machine(H_s, D_pu, mbase_mva)
    system = found.build(record, machine)
    if np.any(system.d):
        raise InputError(f"{model} passes speed to power at once (no lag left); give it a time constant > 0")
    return system


def turbine_damping(model: str, record: Record, *, mbase_mva: float | None = None) -> float:
    """Damping [pu on machine base] that a record states as power lost at once; parameters as in `governor`."""
    return float(_checked(model, record).damping(record, Machine(mbase_mva=mbase_mva)))


def _checked(model: str, record: Record) -> Model:
    if model not in MODELS:
        raise UnknownNameError(unknown_name("governor model", model, sorted(MODELS)))
    parameters = MODELS[model].parameters
    missing = [name for name in parameters if name not in record]
    if missing:
        raise InputError(f"{model} lacks {', '.join(missing)}; give all of {', '.join(parameters)}")
    bad = [name for name in parameters if not (isinstance(record[name], (int, float, np.number)) and np.isfinite(record[name]))]
    if bad:
        raise InputError(f"{model}: {bad[0]} = {record[bad[0]]} is not a finite number")
    return MODELS[model]


def turbine(droop: float, time_constant: float) -> Realization:
    """The one-lag turbine (1/droop)/(time_constant s + 1); both > 0, droop in pu, time constant in s."""
    if not (np.isfinite(droop) and droop > 0):
        raise InputError(f"droop R_pu = {droop:g}; it must be > 0 (leave it empty for a machine without governor)")
    if not (np.isfinite(time_constant) and time_constant > 0):
        raise InputError(f"turbine time constant T_s = {time_constant:g}; it must be > 0 where R_pu is given")
    return Realization(*(np.array([[x]]) for x in (-1 / time_constant, 1 / time_constant, 1 / droop, 0.0)))


def one_lag(system: Realization) -> tuple[float, float]:
    """(h(0), tau): the one-lag turbine h(0)/(tau s + 1) with the same gain and first moment -h'(0)/h(0); both must be > 0."""
    x = np.linalg.solve(system.a, system.b)
    gain = float((system.d - system.c @ x)[0, 0])
    if gain <= 0:
        raise InputError(f"the gain h(0) is {gain:.3g}, so it has no one-lag form; use governors='rational'")
    tau = float((system.c @ np.linalg.solve(system.a, x))[0, 0]) / gain
    if tau <= 0:
        raise InputError(f"the first moment is {tau:.3g} s, so it has no one-lag form; use governors='rational'")
    return gain, tau
