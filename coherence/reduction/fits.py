r"""The best generators: nodes of one swing equation and a few one-lag turbines, all constants positive, of least step error.

    g_fit^{-1} = m s + d + sum_j r_j^{-1}/(tau_j s + 1),   m, tau_j > 0,   d, r_j^{-1} >= 0

    closed loop   min ||(g - g_fit)/s||_2   over all constants with d + sum_j r_j^{-1} = g^{-1}(0)
    turbines      min ||(h - h_fit)/s||_2   over r_j^{-1}, tau_j with sum_j r_j^{-1} = h(0),   g^{-1} = m s + d + h

||.||_2 is the L2 norm of the step error over all time, finite because the DC gain is exact. With q = (g^{-1} - g^{-1}(0))/s, whose
sections c (sI - A)^{-1} A^{-1} b need no subtraction, and u the same of the fit,

    (g - g_fit)/s = (u - q) g g_fit,        its derivative by u = g_fit^2

keeps its digits at all frequencies. The integral over frequency is a sum over panels (`numerics.panels`); nothing larger than a few
hundred states is ever formed, so that aggregates of 10^4 machines can be fitted. Nonlinear least squares find local optima: they
run from several starts, the same every time (the averages of `equivalents`, the truncation where it reads as a generator, the
best of a lattice), and the table says how many ended at the best.

The two parts answer different questions: the turbines' own step error (their power for a step of frequency) may be least
where that of the frequency is not. On the five generators one turbine so fitted has an L2 error of 5.92, the closed loop 1.67.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import InputError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Nodes, concatenate
from coherence.reduction.fitting import Generator, Optimum, Problem, Response
from coherence.reduction.truncate import PARTS

MOST_TURBINES = 3


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Page):
    """A network of generators fitted to the nodes of another.

    Attributes
    ----------
    network : Network
        The same labels, Laplacian and coupling.
    table : DataFrame
        Per node: inertia [pu s^2/rad], damping [pu s/rad], inverse droop j [pu s/rad] and time constant j [s], fastest turbine
        first (NaN where fewer do as well); l2 error of the node's unit step response [rad/s^(1/2) per pu] (infinite where g is
        unstable); for part="turbines" the l2 error of the turbines, which is what was minimised; what was minimised relative to
        the L2 distance of that step response from its final value; at which bound a constant stopped; starts tried and how many
        of them ended at the best.
    part : str
    turbines : int
        At most so many per node.

    Examples
    --------
    >>> from coherence import fit_generators, linearize, load_case
    >>> fit_generators(linearize(load_case("five_generators")), turbines=2).table["l2 error"].round(3).tolist()
    [0.049]
    """

    network: Network
    table: pd.DataFrame
    part: str
    turbines: int

    @property
    def facts(self) -> dict[str, str]:
        """What was fitted."""
        worst = str(self.table["l2 error"].idxmax())
        return {
            "fitted": self.part.replace("_", " "),
            "turbines": f"at most {self.turbines} per node",
            "largest L2 step error": f"{self.table['l2 error'].max():.4g} at node {worst!r}",
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Constants and errors, node by node."""
        return {"nodes": self.table}

    def __repr__(self) -> str:
        return f"Fit({self.part}: {len(self.table)} nodes, at most {self.turbines} turbines each)"


def fit_generators(network: Network, *, turbines: int = 1, part: str = "closed_loop") -> Fit:
    """Fit a generator with positive constants to every node of a network.

    Parameters
    ----------
    network : Network
        Of rational nodes, typically one per group (`aggregate`) or one (`coherent_dynamics`).
    turbines : int
        At most so many first-order turbines per node, 1 to 3. Nodes that are such generators already are left alone.
    part : "closed_loop" or "turbines"
        What is fitted: g with all constants free, or the turbines alone with inertia and damping kept; see the module.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        Turbines out of range, an unknown part; a node without a positive, finite DC gain, or for part="turbines" without
        positive inertia, nonnegative damping and turbines of positive DC gain.
    InstabilityError
        The part to fit is not stable (node and pole are named).

    Notes
    -----
    Optima are local; the lattice of starts makes a better one elsewhere unlikely, not impossible (`starts` and `agreeing` in the
    table). The step error is that of each node alone: in a network the error depends on the coupling too (`step_error`).

    References
    ----------
    H. Min, dissertation (2023), Section 3.3.2 (the truncations these are compared with).

    Examples
    --------
    >>> from coherence import fit_generators, linearize, load_case, read_generators
    >>> fit = fit_generators(linearize(load_case("five_generators")))
    >>> read_generators(fit.network.nodes)["turbines"].iloc[0]
    '0.1093/(5.235 s + 1)'
    """
    if not isinstance(part, str) or part not in PARTS:
        raise InputError(f"part = {part!r}; give 'closed_loop' or 'turbines'")
    if isinstance(turbines, bool) or not isinstance(turbines, (int, np.integer)) or not 1 <= turbines <= MOST_TURBINES:
        raise InputError(f"turbines = {turbines!r} is out of range; give an integer from 1 to {MOST_TURBINES}")
    require_nodes(network, "a fit")
    network.nodes.require_rational("a fit")
    fitted, rows = [], {}
    for i, label in enumerate(network.labels):
        node = network.nodes.select([i])
        new, row = _fitted(node, int(turbines), part)
        fitted.append(new)
        rows[label] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "node"
    return Fit(Network(concatenate(fitted), network.laplacian, network.coupling), table, part, int(turbines))


def _fitted(node: Nodes, turbines: int, part: str) -> tuple[Nodes, dict[str, object]]:
    """The generator of one node and its row."""
    known = _constants(node)
    if known is not None and len(known.r) <= turbines:
        return node, _row(known, turbines, part, Optimum(np.zeros(0), 0.0), 0.0, 0.0, "")
    response = Response(node)
    problem = Problem(response, part)
    best = problem.solve(turbines)
    generator = problem.generator(best.x).used()
    error = best.error if part == "closed_loop" else _step_error(response, generator)
    stops = "; ".join(problem.stops(best.x))
    return generator.node(node.labels[0]), _row(generator, turbines, part, best, error, best.error / problem.size, stops)


def _row(
    generator: Generator, turbines: int, part: str, best: Optimum, error: float, relative: float, stops: str
) -> dict[str, object]:
    row: dict[str, object] = {"inertia": generator.m, "damping": generator.d}
    order = np.argsort(generator.tau, kind="stable")
    for j in range(turbines):
        there = j < len(order)
        row[f"inverse droop {j + 1}"] = float(generator.r[order[j]]) if there else np.nan
        row[f"time constant {j + 1}"] = float(generator.tau[order[j]]) if there else np.nan
    row["l2 error"] = error
    if part == "turbines":
        row["l2 error of turbines"] = best.error
    return row | {"relative l2 error": relative, "at bound": stops, "starts": best.starts, "agreeing": best.agreeing}


def _constants(node: Nodes) -> Generator | None:
    """The constants of a node that is a generator already, or has no dynamics beyond nonnegative inertia and damping."""
    polynomial = np.pad(node.polynomial[:, 0], (0, max(0, 2 - len(node.polynomial))))
    d, m = polynomial[:2]
    orders = [bank.order for bank in node.banks for _ in bank.owner]
    if polynomial[2:].any() or m < 0 or d < 0 or any(order != 1 for order in orders) or (orders and m == 0):
        return None
    pole = np.concatenate([np.zeros(0), *(bank.a[:, 0, 0] for bank in node.banks)])
    residue = np.concatenate([np.zeros(0), *(bank.b[:, 0] * bank.c[:, 0] for bank in node.banks)])
    if (pole >= 0).any() or (residue < 0).any():
        return None
    return Generator(float(m), float(d), -residue / pole, -1.0 / pole)


def _step_error(response: Response, generator: Generator) -> float:
    """||(g - g_fit)/s||_2 for a generator of the same DC gain; infinite where g is not stable."""
    try:
        return Problem(response, "closed_loop").settled(generator)[0]
    except InputError:  # no stable g, or no positive DC gain
        return np.inf
