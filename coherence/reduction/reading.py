r"""Reading a low-order node as a generator: inertia, damping and first-order turbines in parallel.

g^{-1} = m s + d + sum_j r_j^{-1}/(tau_j s + 1): the polynomial is read off, the strictly proper part is split into partial
fractions. It is a generator when every constant is positive and every turbine pole real; otherwise the row says why not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from coherence.errors import InputError
from coherence.nodes.nodes import Nodes
from coherence.numerics.realization import Realization

REPEATED = 1e6  # condition of the eigenvectors beyond which poles are one multiple pole to half of the digits


def read_generators(nodes: Nodes) -> pd.DataFrame:
    """Equivalent generators, one row per node.

    Parameters
    ----------
    nodes : Nodes
        Of low order (sections with distinct poles).

    Returns
    -------
    DataFrame
        inertia m [pu s^2/rad], damping d [pu s/rad], inverse droop r^-1 [pu s/rad] (DC value of all turbines), turbines (text:
        "r^-1/(tau s + 1)"), generator (bool: all constants positive and real), remark.

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.2 (interpretation of the reduced model).

    Examples
    --------
    >>> from coherence import read_generators, swing_turbine
    >>> read_generators(swing_turbine(inertia=[1], damping=[.1], inverse_droop=[2], time_constant=[5]))["turbines"].iloc[0]
    '2/(5 s + 1)'
    """
    if not isinstance(nodes, Nodes):
        raise InputError(f"a {type(nodes).__name__} cannot be read; give Nodes, e.g. network.nodes")
    rows = []
    for i, label in enumerate(nodes.labels):
        one = nodes.select([i])
        section, _ = one.proper_part()
        polynomial = np.pad(one.polynomial[:, 0], (0, max(0, 2 - len(one.polynomial))))
        turbines, remarks = [], []
        if section.order:
            poles, right = np.linalg.eig(section.a)
            if np.linalg.cond(right) > REPEATED:
                turbines.append(f"order {section.order}, poles near {', '.join(f'{p:.3g}' for p in np.unique(poles.round(6)))}")
                remarks.append("repeated turbine poles: no sum of first-order turbines")
            elif np.abs(poles).min() <= section.rounding:
                turbines.append(f"order {section.order} with an integrator")
                remarks.append("a turbine pole at 0: integral action, no droop")
            else:
                residues = (section.c[0] @ right) * np.linalg.solve(right, section.b[:, 0].astype(complex))
                for pole, residue in sorted(zip(poles, residues, strict=True), key=lambda pair: (pair[0].real, pair[0].imag)):
                    if abs(pole.imag) > 1e-9 * abs(pole):
                        if pole.imag > 0:
                            remarks.append(f"complex turbine pole {pole:.3g}")
                            turbines.append(f"second order at {pole:.3g}")
                        continue
                    tau, droop = -1.0 / pole.real, -(residue / pole).real
                    turbines.append(f"{droop:.4g}/({tau:.4g} s + 1)")
                    if tau <= 0:
                        remarks.append(f"turbine pole {pole.real:.3g} >= 0")
                    elif droop <= 0:
                        remarks.append(f"negative turbine gain {droop:.3g}")
        if polynomial[1] <= 0:
            remarks.append("inertia is not positive")
        if polynomial[0] < 0:
            remarks.append(f"negative damping {polynomial[0]:.3g}")
        if len(polynomial) > 2 and polynomial[2:].any():
            remarks.append("relative degree above 1")
        rows.append(
            {
                "node": label,
                "inertia": polynomial[1],
                "damping": polynomial[0],
                "inverse droop": _dc(section),
                "turbines": " + ".join(turbines),
                "generator": not remarks,
                "remark": "; ".join(remarks),
            }
        )
    return pd.DataFrame(rows).set_index("node")


def _dc(section: Realization) -> float:
    if not section.order:
        return 0.0
    return float(section.dc_gain().sum()) if np.abs(section.poles()).min() > section.rounding else np.inf
