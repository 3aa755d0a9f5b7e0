r"""A network of machines as a `Case`, whose linearisation it is: reduced models for tools that read grids.

    x_ij = cos(theta_i - theta_j)/w_ij,    sum_j w_ij tan(theta_i - theta_j) = P_i     (|V| = 1, no losses)

With w_ij = -L_ij the synchronising coefficients |V_i||V_j| cos(theta_ij)/x_ij are the network's own at any dispatch P; the angles
minimise the convex -sum w_ij ln cos(theta_ij) - sum P_i theta_i, so that with weights w >= 0 every dispatch is possible. Nodes
become generators: m and d as H_s and D_pu on machine base, one lag as R_pu and T_s, anything else as a RATIONAL governor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse.linalg as spla

from coherence.errors import InputError, ToleranceError, UnknownNameError
from coherence.grids.case import Case, check_case
from coherence.grids.powerflow import OperatingPoint, power_flow
from coherence.grids.synchronising import synchronising_matrix
from coherence.grids.units import per_frequency
from coherence.network.network import Network, require_nodes
from coherence.nodes.governor_models import DEGREE
from coherence.nodes.nodes import Nodes
from coherence.nodes.records import rational_records
from coherence.numerics.realization import Realization
from coherence.types import Int, Real

NEWTON = 50  # steps; the problem is convex and quadratic convergence begins within a few
BALANCE = 1e-12  # pu of power left at a node


def case_of_network(
    network: Network,
    *,
    f_hz: float,
    base_mva: float = 100.0,
    mbase_mva: float | Mapping[str, float] | None = None,
    dispatch: pd.DataFrame | None = None,
    name: str = "network",
) -> Case:
    """The case of one generator a node whose linearisation (convention "terminal") is the network again.

    Parameters
    ----------
    network : Network
        Of k nodes 1/g = m s + d + h(s) with m > 0 and h strictly proper, coupled by 1/s through a Laplacian [pu/rad]: what
        `linearize` and the reductions make. Values are per unit of base_mva.
    f_hz : float
        Nominal frequency [Hz].
    base_mva : float
        System base [MVA].
    mbase_mva : float or mapping label -> float, optional
        Machine bases [MVA]; default base_mva.
    dispatch : DataFrame, optional
        p_mw (generation) and p_load_mw of each node, by label (`group_dispatch`). Default none: nothing flows. What is lost in
        the grid, the difference of their sums, is added to the loads in proportion.
    name : str

    Returns
    -------
    Case
        Buses 1 to k in the order of the nodes, with stored voltages that solve it.

    Raises
    ------
    InputError
        A node without inertia or with more than m s + d in its polynomial, or another coupling than 1/s.
    ToleranceError
        A dispatch that the weights (some negative) cannot carry, or a governor that coefficients cannot hold.

    Examples
    --------
    >>> from coherence import aggregate, coherent_groups, linearize, load_case
    >>> full = linearize(load_case("iceland"))
    >>> reduced = aggregate(full, coherent_groups(full, 3)).network
    >>> case_of_network(reduced, f_hz=50)
    Case('network': 3 buses, 3 branches, 3 generators, 50 Hz, 100 MVA)
    """
    _require(network, f_hz, base_mva)
    nodes, k = network.nodes, network.size
    labels = list(network.labels)
    rated = _bases(mbase_mva, labels, base_mva)
    factor = per_frequency(rated, base_mva=base_mva, f_hz=f_hz)
    laplacian = network.dense_laplacian
    i, j = (index for index in np.triu_indices(k, 1))
    weight = -laplacian[i, j]
    i, j, weight = i[weight != 0], j[weight != 0], weight[weight != 0]
    power, load = _dispatch(dispatch, labels)
    theta = _angles(i, j, weight, (power - load) / base_mva, name)
    across = theta[i] - theta[j]
    damping, inertia = np.pad(nodes.polynomial, ((0, max(0, 2 - len(nodes.polynomial))), (0, 0)))[:2]
    generators = pd.DataFrame(
        {
            "label": labels,
            "bus": np.arange(1.0, k + 1),
            "id": "1",
            "kind": ["slack" if n == int(np.argmax(rated)) else "pv" for n in range(k)],
            "p_mw": power,
            "v_pu": 1.0,
            "mbase_mva": rated,
            "H_s": inertia / (2 * factor),
            "D_pu": damping / factor,
        }
    )
    columns, records = _governors(network, factor, labels)
    case = Case(
        name=name,
        title=f"{name}: {k} equivalent generators",
        base_mva=float(base_mva),
        f_hz=float(f_hz),
        buses=pd.DataFrame(
            {
                "bus": np.arange(1.0, k + 1),
                "name": labels,
                "p_load_mw": load,
                "q_load_mvar": 0.0,
                "g_shunt_mw": 0.0,
                "b_shunt_mvar": 0.0,
                "vm_pu": 1.0,
                "va_deg": np.rad2deg(theta),
            }
        ),
        branches=pd.DataFrame(
            {
                "from_bus": i + 1.0,
                "to_bus": j + 1.0,
                "r_pu": 0.0,
                "x_pu": np.cos(across) / weight,
                "b_pu": 0.0,
                "tap": 1.0,
                "shift_deg": 0.0,
            }
        ),
        generators=generators.assign(**columns),
        governors=records,
    )
    check_case(case, lambda table, row: f"{name}, {table} row {row}")
    return case


def _require(network: Network, f_hz: float, base_mva: float) -> None:
    require_nodes(network, "a case")
    network.nodes.require_rational("a case")
    for word, value in (("f_hz", f_hz), ("base_mva", base_mva)):
        if not (isinstance(value, (int, float, np.number)) and np.isfinite(value) and value > 0):
            raise InputError(f"{word} = {value!r}; give a number > 0")
    if not _is_integrator(network):
        raise InputError("the coupling of a grid is 1/s; this network has another, so it is no case")
    nodes = network.nodes
    if (nodes.degree > 1).any() or (nodes.degree < 1).any() or (nodes.inertia <= 0).any():
        row = int(np.argmax((nodes.degree != 1) | (nodes.inertia <= 0)))
        raise InputError(
            f"node {nodes.labels[row]!r} is no machine m s + d + h(s) with m > 0, so it cannot be a generator of a case"
        )


def _is_integrator(network: Network) -> bool:
    s = np.array([1e-3, 1.0, 1e3])
    return bool(np.allclose(network.coupling(s) * s, 1.0, rtol=1e-12, atol=0.0))


def _bases(given: float | Mapping[str, float] | None, labels: list[str], base_mva: float) -> Real:
    if given is None or isinstance(given, (int, float, np.number)):
        rated = np.full(len(labels), float(base_mva if given is None else given))
    else:
        missing = [label for label in labels if label not in given]
        if missing:
            raise UnknownNameError(f"mbase_mva has no entry for node {missing[0]!r}; give one for each of {len(labels)} nodes")
        rated = np.array([float(given[label]) for label in labels])
    bad = ~(np.isfinite(rated) & (rated > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"mbase_mva of {labels[row]!r} is {rated[row]:g}; give a number of MVA > 0")
    return rated


def _dispatch(dispatch: pd.DataFrame | None, labels: list[str]) -> tuple[Real, Real]:
    """Generation and load of each node [MW], balanced."""
    if dispatch is None:
        return np.zeros(len(labels)), np.zeros(len(labels))
    for column in ("p_mw", "p_load_mw"):
        if column not in dispatch:
            raise UnknownNameError(f"the dispatch has no column {column!r}; give p_mw and p_load_mw by node label")
    missing = [label for label in labels if label not in dispatch.index]
    if missing:
        raise UnknownNameError(f"the dispatch has no row for node {missing[0]!r}")
    rows = dispatch.loc[labels, ["p_mw", "p_load_mw"]].to_numpy(dtype=float)
    if not np.isfinite(rows).all():
        raise InputError(f"the dispatch of {labels[int(np.argmax(~np.isfinite(rows).all(axis=1)))]!r} is not finite")
    power, load = rows.T
    lost = power.sum() - load.sum()
    share = np.abs(load) / np.abs(load).sum() if np.abs(load).sum() > 0 else np.full(len(load), 1 / len(load))
    return power, load + lost * share


def _angles(i: Int, j: Int, weight: Real, power: Real, name: str) -> Real:
    """Theta [rad] with sum_j w tan(theta_i - theta_j) = P_i, the first 0: damped Newton on a convex function."""
    k = len(power)
    theta = np.zeros(k)
    incidence = np.zeros((len(weight), k))
    incidence[np.arange(len(weight)), i], incidence[np.arange(len(weight)), j] = 1.0, -1.0
    for _ in range(NEWTON):
        across = incidence @ theta
        left = power - incidence.T @ (weight * np.tan(across))
        if np.abs(left).max() <= BALANCE * max(1.0, np.abs(power).max()):
            return theta
        stiff = incidence.T @ ((weight / np.cos(across) ** 2)[:, None] * incidence)
        step = np.zeros(k)
        step[1:] = np.linalg.lstsq(stiff[1:, 1:], left[1:], rcond=None)[0]
        length = 1.0
        while length > 1e-6:
            trial = incidence @ (theta + length * step)
            gap = power - incidence.T @ (weight * np.tan(trial))
            if np.abs(trial).max() < np.pi / 2 and np.linalg.norm(gap) < np.linalg.norm(left):
                break
            length /= 2
        theta = theta + length * step
    raise ToleranceError(f"the dispatch of {name} has no angles within 90 degrees on these weights; give another, or none")


def _records(node: Nodes) -> list[dict[str, float]]:
    """Records of one node: of the whole where it is of low order, else of each of its governors."""
    whole, _ = node.proper_part()
    if whole.order <= DEGREE:
        try:
            return rational_records(whole) if whole.order else []
        except ToleranceError:
            pass
    zero = np.zeros((1, 1))
    parts = (
        Realization(a, b[:, None], c[None, :], zero) for bank in node.banks for a, b, c in zip(bank.a, bank.b, bank.c, strict=True)
    )
    return [record for part in parts for record in rational_records(part)]


def _governors(network: Network, factor: Real, labels: list[str]) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The columns governor, R_pu and T_s, and the records of governors that are not one lag."""
    droop, lag, models, rows = np.full(len(labels), np.nan), np.full(len(labels), np.nan), [""] * len(labels), []
    for n, label in enumerate(labels):
        records = _records(network.nodes.select([n]))
        if not records:
            continue
        first = records[0]
        if len(records) == 1 and first.keys() == {"b0", "a0", "a1"} and first["b0"] > 0 and first["a1"] > 0:
            droop[n], lag[n] = factor[n] / first["b0"], first["a1"]
            continue
        models[n] = "RATIONAL"
        for record in records:
            rows.append({"label": label} | {key: value / factor[n] if key[0] == "b" else value for key, value in record.items()})
    names = [f"{letter}{p}" for letter in "ba" for p in range(DEGREE + 1)]
    table = pd.DataFrame(rows)
    table = table[["label", *[name for name in names if name in table]]] if rows else table
    return {"governor": models, "R_pu": droop, "T_s": lag}, {"RATIONAL": table} if rows else {}


def machine_dispatch(case: Case, operating_point: OperatingPoint | None = None) -> pd.DataFrame:
    """Generation and load of the nodes of a case's network (convention "terminal"): sum it over groups for `case_of_network`.

    A load at a bus without machine counts at the machines that answer it at once: dP_k = -J_ke J_ee^{-1} dP_e.

    Parameters
    ----------
    case : Case
    operating_point : OperatingPoint, optional
        From `power_flow`; computed when not given.

    Returns
    -------
    DataFrame
        node -> p_mw, p_load_mw [MW]; sources without machine are negative loads.

    Examples
    --------
    >>> from coherence import load_case, machine_dispatch
    >>> machine_dispatch(load_case("iceland")).sum().round(1).tolist()
    [1412.8, 1367.8]
    """
    point = power_flow(case) if operating_point is None else operating_point
    found = synchronising_matrix(case, point)
    k = len(found.labels)
    buses, _, generators = case.grid
    load = np.zeros(found.stiffness.shape[0])
    at = buses["bus"].map(found.rows).to_numpy()
    conductance = np.abs(point.voltage) ** 2 * buses["g_shunt_mw"].to_numpy()
    np.add.at(load, at, buses["p_load_mw"].to_numpy() + conductance)
    power = np.zeros(k)
    rows = generators["bus"].map(found.rows).to_numpy()
    turns = np.zeros(len(generators), dtype=bool)
    turns[case.machine_rows] = True
    np.add.at(power, rows[turns], point.generation.real[turns])
    np.add.at(load, rows[~turns], -point.generation.real[~turns])
    j = found.stiffness.tocsc()
    passive = load[k:]
    seen = -j[:k, k:] @ spla.spsolve(j[k:, k:], passive) if passive.any() else 0.0
    return pd.DataFrame({"p_mw": power, "p_load_mw": load[:k] + seen}, index=pd.Index(found.labels, name="node"))
