r"""Machines and governors of a case as PSS/E DYR records.

Machines are GENCLS (H, D). Governors that a case has as records stay what they are; turbines and RATIONAL governors (those of
reduced models) become the standard model that has the same h(s), where one has:

    one lag                       TGOV1 with T2 = T3 (the second lag and the lead cancel)
    two lags, a lead >= 0         TGOV1: (1/R) (1 + T2 s)/((1 + T1 s)(1 + T3 s))
    up to four lags               IEEEG1 with fractions K1, K3, K5, K7 >= 0 behind lags T3, T5, T6, T7

Limits that a record lacks are set so wide that they never act.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import CaseError, InputError
from coherence.formats.dyr_models import GOVERNORS
from coherence.formats.raw_writer import psse_identifiers, psse_numbers
from coherence.formats.text import write_text
from coherence.grids.case import Case, require_grid
from coherence.nodes.governors import governor
from coherence.nodes.records import coefficients

WIDE = {  # limits that never act, and what else a record needs that the linear model does not read
    "VMAX": 99.0,
    "VMIN": -99.0,
    "PMAX": 99.0,
    "PMIN": -99.0,
    "GMAX": 99.0,
    "GMIN": -99.0,
    "VELM": 99.0,
    "UO": 99.0,
    "UC": -99.0,
    "AT": 99.0,
    "KT": 0.0,
}
REAL = 1e-6  # imaginary part of a pole, relative to it, that rounding of a double pole explains
EXACT = 1e-9  # relative error of a record that counts as the same h(s)


@dataclass(frozen=True, eq=False, repr=False)
class DyrExport(Page):
    """What `write_dyr` wrote.

    Attributes
    ----------
    path : Path
    models : DataFrame
        generator -> bus, id, machine, governor (model written, or empty), remark (why a governor was not).

    Examples
    --------
    See `write_dyr`.
    """

    path: Path
    models: pd.DataFrame

    def __repr__(self) -> str:
        written = int((self.models["governor"] != "").sum())
        return f"DyrExport({str(self.path)!r}: {len(self.models)} machines, {written} governors)"

    @property
    def facts(self) -> dict[str, str]:
        """How much was written."""
        left = self.models[self.models["remark"] != ""]
        return {"written": repr(self)} | ({"governors left out": f"{len(left)}; see remark"} if len(left) else {})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """One row a machine."""
        return {"models": self.models}


def write_dyr(case: Case, path: str | Path) -> DyrExport:
    """Write the machines of a case as GENCLS and their governors as standard models into a DYR file.

    Parameters
    ----------
    case : Case
        Declared damping is added to D. A governor that no standard model holds exactly is left out, with a remark.
    path : str or Path
        Replaced only when complete.

    Returns
    -------
    DyrExport

    Raises
    ------
    InputError
        A case without grid or machines.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from coherence import load_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export = write_dyr(load_case("iceland"), pathlib.Path(folder) / "iceland.dyr")
    >>> export.models["governor"].tolist()[:2], (export.models["governor"] != "").sum()
    (['HYGOV', 'HYGOV'], np.int64(34))
    """
    require_grid(case)
    target, machines = Path(path), case.machines
    if "H_s" not in machines:
        raise CaseError(f"case {case.name!r} has no machine figures (H_s); add a table with add_machines")
    keys = np.array(psse_identifiers(case), dtype=object)[case.machine_rows]
    records = {model: table.groupby("label", sort=False) for model, table in case.governors.items()}
    damping = machines["D_pu"].fillna(0.0) + case.damping
    lines, rows = [], []
    number, buses = psse_numbers(case), case.generator_buses.iloc[case.machine_rows]
    for position, (_, machine) in enumerate(machines.iterrows()):
        bus, key = number[buses.iloc[position]], str(keys[position])
        lines.append(_line(bus, "GENCLS", key, [machine["H_s"], damping.iloc[position]]))
        model, values, remark = _standard(records, machine)
        if model:
            lines.append(_line(bus, model, key, values))
        rows.append((machine["label"], bus, key, "GENCLS", model, remark))
    write_text(target, "\n".join(lines) + "\n")
    columns = ["generator", "bus", "id", "machine", "governor", "remark"]
    return DyrExport(target, pd.DataFrame(rows, columns=columns).set_index("generator"))


def _line(bus: str, model: str, key: str, values: list[float]) -> str:
    return f"{bus:>6} '{model}' '{key}' " + " ".join(f"{value:.15g}" for value in map(float, values)) + " /"


def _standard(records: dict[str, Any], machine: pd.Series) -> tuple[str, list[float], str]:
    """Model, values and remark of a machine's governor."""
    model = machine.get("governor", "") or ""
    if not model:
        droop = machine.get("R_pu", np.nan)
        return ("TGOV1", _filled("TGOV1", _lag(droop, machine["T_s"])), "") if np.isfinite(droop) else ("", [], "")
    own: list[dict[str, Any]] = [
        {str(key): value for key, value in record.items()}
        for record in records[model].get_group(machine["label"]).to_dict("records")
    ]
    if model != "RATIONAL":
        missing = [name for name in GOVERNORS[model].split() if name not in own[0] and name not in WIDE and name not in _IDLE]
        return (model, _filled(model, own[0]), "") if not missing else ("", [], f"{model} lacks {', '.join(missing)}")
    if len(own) > 1:
        return "", [], f"its h(s) is a sum of {len(own)} functions, which no standard model holds"
    return _fitted(own[0])


_IDLE = {"Dturb", "qNL", "Dt", "JBUS", "M", "T3", "K2", "K4", "K6", "K8"}  # 0 where a record lacks them


def _filled(model: str, record: dict[str, Any]) -> list[float]:
    return [float(record.get(name, WIDE.get(name, 0.0))) for name in GOVERNORS[model].split()]


def _lag(droop: float, time_constant: float) -> dict[str, float]:
    return {"R": float(droop), "T1": float(time_constant), "T2": 1.0, "T3": 1.0, "Dt": 0.0}


def _fitted(record: dict[str, Any]) -> tuple[str, list[float], str]:
    """The standard model of (b0 + b1 s + ...)/(a0 + a1 s + ...), if one has the same h(s)."""
    b, a = np.trim_zeros(coefficients(record, "b"), "b"), np.trim_zeros(coefficients(record, "a"), "b")
    n, poles = len(a) - 1, np.roots(a[::-1])
    if n > 4:
        return "", [], f"h(s) is of order {n}; standard models with free zeros end at 4"
    if (np.abs(poles.imag) > REAL * np.abs(poles)).any():
        return "", [], "h(s) oscillates (complex poles), which no standard model holds"
    lags = np.sort(-1.0 / poles.real)
    if lags[0] <= 0:
        return "", [], "h(s) is unstable"
    gain = b[0] / a[0]
    if gain <= 0:
        return "", [], f"h(0) = {gain:.3g} is no droop"
    lead = (b[1] if len(b) > 1 else 0.0) / b[0]
    candidates: list[tuple[str, dict[str, float]]] = []
    if n == 1:
        candidates.append(("TGOV1", _lag(1 / gain, lags[0])))
    if n == 2 and lead >= 0:
        candidates.append(("TGOV1", {"R": 1 / gain, "T1": lags[0], "T2": lead, "T3": lags[1], "Dt": 0.0}))
    candidates.append(("IEEEG1", _ieeeg1(gain, b / b[0], lags)))
    reason = ""
    for model, values in candidates:
        reason = _difference(model, values, record, lags)
        if not reason:
            return model, _filled(model, values), ""
    return "", [], f"no standard model has this h(s) ({reason})"


def _ieeeg1(gain: float, zeros: np.ndarray, lags: np.ndarray) -> dict[str, float]:
    """Fractions with K1 + K3/(1 + T5 s) + K5/((1 + T5 s)(1 + T6 s)) + ... = zeros(s) / product of the last lags."""
    first, rest = lags[0], lags[1:]
    basis = np.zeros((len(lags), len(lags)))
    for j in range(len(lags)):  # fraction j times the lags that it does not pass
        column = np.ones(1)
        for lag in rest[j:]:
            column = np.convolve(column, [1.0, lag])
        basis[: len(column), j] = column
    scale = float(np.exp(np.log(lags).mean())) ** np.arange(len(lags))
    fractions = np.linalg.lstsq(basis / scale[:, None], np.pad(zeros, (0, len(lags) - len(zeros))) / scale, rcond=None)[0]
    values = {"K": gain, "T1": 0.0, "T2": 0.0, "T3": first, "T4": 0.0}
    values |= dict(zip(("T5", "T6", "T7"), np.pad(rest, (0, 3 - len(rest))), strict=True))
    return values | dict(zip(("K1", "K3", "K5", "K7"), np.pad(fractions, (0, 4 - len(fractions))), strict=True))


def _difference(model: str, values: dict[str, float], record: dict[str, Any], lags: np.ndarray) -> str:
    """Why a standard record, as it is written, does not linearise to the same h(s); empty where it does."""
    s = 1j * np.geomspace(1e-3 / lags[-1], 1e3 / lags[0], 100)
    written = {name: float(f"{value:.15g}") for name, value in zip(GOVERNORS[model].split(), _filled(model, values), strict=True)}
    try:
        found, exact = (governor(name, r)(s)[:, 0, 0] for name, r in ((model, written), ("RATIONAL", record)))
    except InputError as error:
        return str(error)
    off = float((np.abs(found - exact) / np.abs(exact)).max())
    return "" if off <= EXACT else f"{model} is off by {off:.1e}: its lags are too close together"
