r"""Transformers of PSS/E RAW files as branches with a tap and a shift at their from end, and magnetising shunts.

Two windings, ratios t1 and t2 on bus base, impedance z between them on winding base:

    tap = t1/t2,   z_pu = z t2^2        t = WINDV (CW 1), WINDV/BASKV (CW 2), WINDV NOMV/BASKV (CW 3)
    z on system base (CZ 1), or on SBASE and NOMV1: z SBASE_sys/SBASE (NOMV1/BASKV1)^2 (CZ 2; CZ 3: R from load losses in W, |z|)

Three windings meet at a star bus: z1 = (z12 + z31 - z23)/2 and so on, each with its own ratio at its terminal. Where a winding
with a ratio comes out without impedance, its bus is the star, seen through the ratio, and the two others end there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coherence.errors import CaseError
from coherence.formats.raw import Raw, Section, numbers
from coherence.types import Complex, Int, Real


@dataclass(frozen=True)
class Branches:
    """Rows of a table of branches; `line` is where each stands in its file."""

    from_bus: Real
    to_bus: Real
    z: Complex
    tap: Real
    shift_deg: Real
    line: Int


@dataclass(frozen=True)
class Stars:
    """Star buses of three-winding transformers."""

    bus: Real
    vm_pu: Real
    va_deg: Real
    line: Int


@dataclass(frozen=True)
class Transformers:
    """Branches in service, star buses, and magnetising admittances (bus, pu on system base)."""

    branches: Branches
    stars: Stars
    shunt_bus: Real
    shunt: Complex
    corrected: int  # transformers with a table of impedance corrections, which are left out


class _Windings:
    """Fields of the further lines of transformer records, by line and position."""

    def __init__(self, section: Section, rows: Int):
        lines = [section.lines[r] for r in rows]
        self.section = Section(
            section.name, section.where, [], [section.rows[r] for r in rows], lines, [section.more[r] for r in rows]
        )

    def __call__(self, line: int, position: int, name: str, default: float | None) -> Real:
        texts = [
            more[line][position].strip("'\" ") if len(more) > line and len(more[line]) > position else ""
            for more in self.section.more
        ]
        return numbers(self.section, texts, name, default)


def transformers(raw: Raw, kv: dict[float, float], alive: dict[float, bool], next_bus: float) -> Transformers:
    """The transformers in service between buses that are alive; star buses count from `next_bus` on. Errors name file and line."""
    section = raw["transformer"]
    first = {name: section.numbers(name, default) for name, default in _FIRST.items()}
    for name, top in (("CW", 3), ("CZ", 3), ("CM", 2)):
        odd = ~np.isin(first[name], np.arange(1, top + 1))
        if odd.any():
            row = int(np.argmax(odd))
            raise CaseError(f"{section.place(row)}: {name} = {first[name][row]:g}; give 1 to {top}")
    known = np.array(list(kv))
    for name in ("I", "J", "K"):
        stray = ~np.isin(first[name], known) & (first[name] != 0 if name == "K" else True)
        if stray.any():
            row = int(np.argmax(stray))
            raise CaseError(
                f"{section.place(row)}: the transformer ends at bus {first[name][row]:.15g}, which is not in the bus data"
            )
    three, live = first["K"] != 0, first["STAT"] != 0
    lines = np.array(section.lines, dtype=int)
    two, star, used = np.flatnonzero(~three & live), np.flatnonzero(three & live), np.flatnonzero(live)
    pair, wye = _two(raw, first, two, kv), _three(raw, first, star, kv, next_bus, alive)
    both = [np.concatenate([a, b]) for a, b in zip(pair, wye[:5], strict=True)]
    shut = np.array([alive.get(f, True) and alive.get(t, True) for f, t in zip(both[0], both[1], strict=True)], dtype=bool)
    on = shut & np.concatenate([np.ones(len(two), dtype=bool), wye[5]])
    where = np.concatenate([lines[two], np.repeat(lines[star], 3)])
    vm, va = wye[6]
    numbers_of_stars = next_bus + np.arange(len(star))
    met = np.isin(numbers_of_stars, both[1][on])
    winding = _Windings(section, used)
    place = {32: 13, 33: 13, 34: 22}.get(raw.version, 23)  # of TAB among the fields of a winding
    tables = np.stack([winding(line, place, "TAB", 0.0) for line in (1, 2, 3)])
    alone = np.array(
        [
            k == 0 and not (alive.get(i, True) and alive.get(j, True))
            for i, j, k in zip(*(first[n][used] for n in "IJK"), strict=True)
        ]
    )
    fed = (first["STAT"][used] != 4) & ~alone.astype(bool)  # a first winding out of service takes its magnetising current along
    return Transformers(
        Branches(both[0][on], both[1][on], both[2][on], both[3][on], both[4][on], where[on]),
        Stars(numbers_of_stars[met], vm[met], va[met], lines[star][met]),
        first["I"][used][fed],
        _magnetising(raw, first, used, kv)[fed],
        int((tables != 0).any(axis=0).sum()),
    )


_FIRST: dict[str, float | None] = {
    "I": None,
    "J": None,
    "K": 0.0,
    "CW": 1.0,
    "CZ": 1.0,
    "CM": 1.0,
    "MAG1": 0.0,
    "MAG2": 0.0,
    "STAT": 1.0,
}


def _ratio(winding: _Windings, line: int, code: Real, base_kv: Real) -> tuple[Real, Real]:
    """Off-nominal ratio on bus base and nominal voltage of the winding on a line, relative to bus base."""
    kv = np.where(base_kv > 0, base_kv, 1.0)
    given = winding(line, 0, "WINDV", 0.0)
    nominal = winding(line, 1, "NOMV", 0.0)
    own = np.where(nominal > 0, nominal / kv, 1.0)
    ratio = np.where(given == 0, 1.0, np.choose(code.astype(int) - 1, [given, given / kv, given * own]))
    bad = ~(ratio > 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise CaseError(f"{winding.section.place(row)}: the transformer has WINDV = {given[row]:g}; it must be > 0")
    return ratio, own


def _impedance(winding: _Windings, raw: Raw, code: Real, pair: int, own: Real) -> Complex:
    """Z between two windings on system base and bus voltage."""
    place = 3 * pair
    r = winding(0, place, "R", 0.0)
    x = winding(0, place + 1, "X", None)
    power = winding(0, place + 2, "SBASE", raw.base_mva)
    bad = (power <= 0) & (code != 1)
    if bad.any():
        row = int(np.argmax(bad))
        raise CaseError(f"{winding.section.place(row)}: the transformer has SBASE = {power[row]:g}; it must be > 0")
    power = np.where(power > 0, power, raw.base_mva)
    losses = r / (1e6 * power)
    short = (code == 3) & (np.abs(x) < losses)
    if short.any():
        row = int(np.argmax(short))
        raise CaseError(
            f"{winding.section.place(row)}: load losses of {r[row]:g} W are more than the impedance |Z| = {x[row]:g} allows"
        )
    z = np.where(code == 3, losses + 1j * np.sqrt(np.maximum(x**2 - losses**2, 0.0)), r + 1j * x)
    return np.asarray(np.where(code == 1, z, z * raw.base_mva / power * own**2))


def _kv(kv: dict[float, float], buses: Real) -> Real:
    return np.array([kv[bus] for bus in buses])


def _two(raw: Raw, first: dict[str, Real], rows: Int, kv: dict[float, float]) -> tuple[Real, Real, Complex, Real, Real]:
    winding = _Windings(raw["transformer"], rows)
    i, j, cw, cz = (first[name][rows] for name in ("I", "J", "CW", "CZ"))
    t1, own = _ratio(winding, 1, cw, _kv(kv, i))
    t2, _ = _ratio(winding, 2, cw, _kv(kv, j))
    z = _impedance(winding, raw, cz, 0, own)
    return i, j, z * t2**2, t1 / t2, winding(1, 2, "ANG1", 0.0)


def _three(
    raw: Raw, first: dict[str, Real], rows: Int, kv: dict[float, float], next_bus: float, alive: dict[float, bool]
) -> tuple[Real, Real, Complex, Real, Real, NDArray[np.bool_], tuple[Real, Real]]:
    winding = _Windings(raw["transformer"], rows)
    ends = [first[name][rows] for name in ("I", "J", "K")]
    cw, cz, state = (first[name][rows] for name in ("CW", "CZ", "STAT"))
    ratios, nominal = zip(*(_ratio(winding, k + 1, cw, _kv(kv, end)) for k, end in enumerate(ends)), strict=True)
    z12, z23, z31 = (_impedance(winding, raw, cz, pair, nominal[pair]) for pair in range(3))
    z = np.stack([z12 + z31 - z23, z12 + z23 - z31, z23 + z31 - z12], axis=1) / 2
    size = np.abs(z12) + np.abs(z23) + np.abs(z31)
    z[np.abs(z) <= 1e-12 * size[:, None]] = 0.0  # a winding without impedance comes out as what rounding leaves
    shift = np.stack([winding(k + 1, 2, "ANG", 0.0) for k in range(3)], axis=1)
    out = {0: (1, 1, 1), 1: (0, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1), 4: (1, 0, 0)}  # STAT: which windings are out
    idle = np.array([out.get(int(s), (0, 0, 0)) for s in state], dtype=bool).reshape(-1, 3)
    at, ratio = np.stack(ends, axis=1), np.stack(ratios, axis=1)
    on = ~idle & np.array([alive[float(bus)] for bus in at.ravel()], dtype=bool).reshape(-1, 3)
    star = np.repeat(next_bus + np.arange(len(rows), dtype=float), 3).reshape(-1, 3)
    for row, w in zip(*np.nonzero(on & (z == 0) & ((ratio != 1) | (shift != 0))), strict=True):
        if star[row, w] != next_bus + row:
            continue  # the star is at another winding already
        others = [k for k in range(3) if k != w]  # behind an ideal transformer the star is its bus: the others end there
        star[row, others] = at[row, w]
        z[row, others] *= ratio[row, w] ** 2
        ratio[row, others] /= ratio[row, w]
        shift[row, others] -= shift[row, w]
        on[row, w] = False
    voltage = (winding(0, 9, "VMSTAR", 1.0), winding(0, 10, "ANSTAR", 0.0))
    return at.ravel(), star.ravel(), z.ravel(), ratio.ravel(), shift.ravel(), on.ravel(), voltage


def _magnetising(raw: Raw, first: dict[str, Real], rows: Int, kv: dict[float, float]) -> Complex:
    """Admittance at bus I [pu on system base]: as given (CM 1), or from no-load losses [W] and exciting current [pu] (CM 2)."""
    winding = _Windings(raw["transformer"], rows)
    cw, cm, bus, loss, current = (first[name][rows] for name in ("CW", "CM", "I", "MAG1", "MAG2"))
    power = winding(0, 2, "SBASE1-2", raw.base_mva)
    _, own = _ratio(winding, 1, cw, _kv(kv, bus))
    conductance = loss / (1e6 * raw.base_mva) / own**2
    size = current * power / raw.base_mva / own**2
    measured = conductance - 1j * np.sqrt(np.maximum(size**2 - conductance**2, 0.0))
    return np.asarray(np.where(cm == 2, measured, loss + 1j * current))
