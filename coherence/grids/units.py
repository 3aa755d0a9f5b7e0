r"""Machine base to system base, and pu and seconds to the units of the equations: the one place where it is done.

    S: machine base [MVA], S_b: system base [MVA], w0 = 2 pi f_hz [rad/s]

    m = 2 H S / (w0 S_b) [pu s^2/rad]      d = D S / (w0 S_b) [pu s/rad]      1/r = S / (R w0 S_b) [pu s/rad]
    x = x' S_b / S [pu of the system base]

H [s], D [pu power per pu speed], R [pu speed per pu power] and x' [pu] on machine base; frequencies in rad/s, power in pu of S_b.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from coherence.types import Real

INERTIA_S = 12.0  # above it H looks like 2H, or like a figure on another base
DAMPING_PU = 20.0  # above it D looks multiplied by 2 pi f
DROOP_PU = 0.5  # above it R looks like percent
OVERLOAD = 1.2  # p_mw / mbase_mva above which the machine base looks like a default
REACTANCE_PU = (0.05, 1.2)  # outside it x'd looks like a figure on another base


def per_frequency(mbase_mva: Real, *, base_mva: float, f_hz: float) -> Real:
    """S / (w0 S_b): the factor of D, D_t, 1/R and, twice with H, of the inertia."""
    return np.asarray(mbase_mva / (2 * np.pi * f_hz * base_mva))


def inertia(H_s: Real, mbase_mva: Real, *, base_mva: float, f_hz: float) -> Real:
    """M = 2 H S / (w0 S_b) [pu s^2/rad]."""
    return 2.0 * H_s * per_frequency(mbase_mva, base_mva=base_mva, f_hz=f_hz)


def reactance(x_pu: Real, mbase_mva: Real, *, base_mva: float) -> Real:
    """X' S_b / S [pu of the system base]."""
    return np.asarray(x_pu * base_mva / mbase_mva)


def doubtful_units(generators: pd.DataFrame) -> tuple[str, ...]:
    """A sentence for each column with values that look doubled or on another base; nothing is changed."""
    found = []
    rules = {
        "H_s": (lambda h: h > INERTIA_S, f"above {INERTIA_S:g} s: 2H where H is meant, or another base than mbase_mva?"),
        "D_pu": (lambda d: d > DAMPING_PU, f"above {DAMPING_PU:g}: multiplied by 2 pi f?"),
        "R_pu": (lambda r: r > DROOP_PU, f"above {DROOP_PU:g}: percent where pu is meant?"),
        "xd_prime_pu": (
            lambda x: (x < REACTANCE_PU[0]) | (x > REACTANCE_PU[1]),
            f"outside {REACTANCE_PU[0]:g} to {REACTANCE_PU[1]:g} pu: another base than mbase_mva?",
        ),
    }
    for column, (doubtful, question) in rules.items():
        if column not in generators:
            continue
        odd = generators[doubtful(generators[column])]
        if len(odd):
            shown = ", ".join(f"{label} {value:g}" for label, value in zip(odd["label"][:3], odd[column][:3], strict=True))
            more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
            found.append(f"{column} of {shown}{more} is {question}")
    if "H_s" not in generators:
        return tuple(found)
    planned = generators["H_s"].notna() & (generators["kind"] != "slack")  # what the slack makes is for the power flow to say
    over = generators[planned & (generators["p_mw"] > OVERLOAD * generators["mbase_mva"])]
    if len(over):
        shown = ", ".join(
            f"{label} {p:g} MW on {s:g} MVA"
            for label, p, s in zip(over["label"][:3], over["p_mw"][:3], over["mbase_mva"][:3], strict=True)
        )
        more = f" and {len(over) - 3} more" if len(over) > 3 else ""
        found.append(f"{shown}{more}: generation above the machine base; is mbase_mva the system base by default?")
    return tuple(found)
