r"""What is linearised, and how: the value `Convention`, and the three that have names.

    name        machines    voltages  conductances  loads
    terminal    terminals   fixed     neglected     (do not act)          the source's Laplacian; the default
    classical   internal    free      kept          constant impedance    the classical model of stability studies
    flow        terminals   free      kept          constant power        the power-flow Jacobian, reduced

The same grid gives an algebraic connectivity that differs by a factor of five between them: a figure means something only with
its convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coherence.errors import InputError, UnknownNameError
from coherence.nodes.nodes import unknown_name

KINDS = ("impedance", "current", "power")
Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class Convention:
    """How a grid at an operating point becomes a synchronising matrix.

    Parameters
    ----------
    machines : "terminals" or "internal"
        The angle of a machine is its bus's (voltage magnitude held), or that of its EMF behind x'd (magnitude of the EMF held).
    voltages : "fixed" or "free", optional
        Voltage magnitudes of the other buses stay as they are (active power and angles only), or follow the power flow. Default:
        fixed at terminals, free for internal nodes.
    lossless : bool, optional
        Neglect every conductance: branch admittances are 1/(jx), loads draw constant active power. Default: with fixed voltages.
    loads : "impedance", "current", "power", or fractions, optional
        What loads keep constant when the voltages are free: a mapping of fractions such as {"impedance": 0.5, "current": 0.5},
        or {"p": ..., "q": ...} of two such. Default: impedance for internal nodes, power at terminals.

    Examples
    --------
    >>> from coherence import Convention
    >>> print(Convention("internal", loads={"impedance": 0.5, "current": 0.5}))
    internal nodes behind x'd, voltages free, with conductances, loads 50 % impedance + 50 % current
    """

    machines: str = "terminals"
    voltages: str = ""
    lossless: bool = None  # type: ignore[assignment]
    loads: Any = None

    def __post_init__(self) -> None:
        _choose("machines", self.machines, ("terminals", "internal"))
        internal = self.machines == "internal"
        voltages = ("free" if internal else "fixed") if not self.voltages else self.voltages
        _choose("voltages", voltages, ("fixed", "free"))
        lossless = voltages == "fixed" if self.lossless is None else self.lossless
        if not isinstance(lossless, (bool, np.bool_)):
            raise InputError(f"lossless = {lossless!r}; give True or False")
        if voltages == "fixed" and self.loads is not None:
            raise InputError("with voltages fixed loads draw what they drew: leave loads out, or give voltages='free'")
        loads = ("impedance" if internal else "power") if self.loads is None else self.loads
        object.__setattr__(self, "voltages", voltages)
        object.__setattr__(self, "lossless", bool(lossless))
        object.__setattr__(self, "loads", None if voltages == "fixed" else _fractions(loads))

    @property
    def load_exponents(self) -> tuple[float, float]:
        """D ln P / d ln |V| and d ln Q / d ln |V| of a load: 2 impedance + current."""
        if self.loads is None:
            return 0.0, 0.0
        (pz, pi, _), (qz, qi, _) = self.loads
        return 2 * pz + pi, 2 * qz + qi

    def __str__(self) -> str:
        place = "internal nodes behind x'd" if self.machines == "internal" else "generator terminals"
        losses = "lossless" if self.lossless else "with conductances"
        loads = "" if self.loads is None else f", loads {_words(self.loads)}"
        return f"{place}, voltages {self.voltages}, {losses}{loads}"


def named_convention(convention: str | Convention) -> Convention:
    """A convention by its name, or as it is."""
    if isinstance(convention, Convention):
        return convention
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        raise UnknownNameError(unknown_name("convention", convention, list(CONVENTIONS)))
    return CONVENTIONS[convention]


def _choose(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} = {value!r}; give {' or '.join(map(repr, known))}")


def _fractions(loads: Any) -> tuple[Fractions, Fractions]:
    if isinstance(loads, tuple) and len(loads) == 2 and all(isinstance(part, tuple) for part in loads):
        return _fractions(dict(zip("pq", (dict(zip(KINDS, part, strict=True)) for part in loads), strict=True)))
    if isinstance(loads, str):
        _choose("loads", loads, KINDS)
        loads = {loads: 1.0}
    if not isinstance(loads, Mapping):
        raise InputError(f"loads = {loads!r}; give 'impedance', 'current', 'power' or a mapping of their fractions")
    if set(loads) == {"p", "q"}:
        (p, _), (q, _) = _fractions(loads["p"]), _fractions(loads["q"])
        return p, q
    unknown = [key for key in loads if key not in KINDS]
    if unknown:
        raise InputError(f"loads has {unknown[0]!r}; known: impedance, current, power (or p and q, each a mapping of those)")
    values = [loads.get(kind, 0.0) for kind in KINDS]
    if not all(isinstance(v, (int, float, np.number)) and np.isfinite(v) for v in values) or abs(sum(values) - 1.0) > 1e-9:
        raise InputError(f"the fractions of loads are {dict(loads)!r}; give numbers that sum to 1")
    part: Fractions = (float(values[0]), float(values[1]), float(values[2]))
    return part, part


def _words(loads: tuple[Fractions, Fractions]) -> str:
    p, q = (" + ".join(f"{100 * x:g} % {kind}" for kind, x in zip(KINDS, part, strict=True) if x) for part in loads)
    p, q = (text.removeprefix("100 % ") for text in (p, q))
    return p if p == q else f"P {p}, Q {q}"


CONVENTIONS = {
    "terminal": Convention("terminals"),
    "classical": Convention("internal"),
    "flow": Convention("terminals", voltages="free"),
}
