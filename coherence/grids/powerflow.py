r"""The operating point of a case: stored voltages if they satisfy the power balance, otherwise a power flow.

    S_i = V_i conj(sum_j Y_ij V_j),   MATPOWER branch model (tap and shift at the from end).

The mismatch is judged at every bus except for what generators supply freely (Q at pv, P and Q at the slack bus), and |V| at
generators against their set-points, unless the generators of the bus are at a reactive limit that is enforced.
Solving is pandapower's job (`pandapower`, extra `grids`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.display import Page
from coherence.errors import CaseError, InputError, ToleranceError
from coherence.graphs.laplacian import require_connected
from coherence.grids.case import Case, branch_ends, bus_index, require_grid
from coherence.grids.pandapower import solve
from coherence.types import Complex

TOLERANCE_MVA = 1e-6  # of stored voltages: six digits below any figure a planner reads
TOLERANCE_PU = 1e-6
OTHER_CASE_MVA = 1e-3  # more than rounding of stored voltages, less than any change of a case
SELECT = "connect it, or select one with island(case, bus)"
METHODS = ("auto", "stored", "ac", "dc", "flat")


@dataclass(frozen=True, eq=False, repr=False)
class OperatingPoint(Page):
    """Bus voltages with what they imply.

    Attributes
    ----------
    voltage : (buses,) complex
        pu, in the order of `case.buses`.
    generation : (generators,) complex
        P + jQ of each generator [MVA]; generators at one bus share Q in proportion to their machine bases.
    slack_mw, losses_mw : float
        Output of the slack generator (others at its bus make what the case says); losses of the series and charging
        admittances of branches (conductances at buses, such as iron losses of pandapower's transformers, count as loads).
    mismatch_mva : float
        Largest unsatisfied power balance (of an approximation, "dc" or "flat": how far it is from an AC solution).
    mismatch_pu : float
        Largest deviation of |V| from a generator's set-point.
    source : str
        "stored", "ac", "dc" or "flat".
    limited : tuple of str
        Generators at a reactive limit, where limits are enforced; they do not hold their voltage.
    stored_mismatch_mva : float
        What voltages that the case stores leave unbalanced, where they were not accepted; NaN otherwise.

    Examples
    --------
    >>> from coherence import load_case, power_flow
    >>> power_flow(load_case("iceland")).solves
    True
    """

    voltage: Complex
    generation: Complex
    slack_mw: float
    losses_mw: float
    mismatch_mva: float
    mismatch_pu: float
    source: str
    limited: tuple[str, ...] = ()
    stored_mismatch_mva: float = np.nan

    @property
    def solves(self) -> bool:
        """Whether power balances within 1e-6 MVA and voltages meet their set-points within 1e-6 pu (`TOLERANCE_...`)."""
        return self.mismatch_mva <= TOLERANCE_MVA and self.mismatch_pu <= TOLERANCE_PU

    def __repr__(self) -> str:
        at_limit = f", {len(self.limited)} generators at a reactive limit" if self.limited else ""
        if np.isfinite(self.stored_mismatch_mva):
            at_limit += f"; the stored voltages leave {self.stored_mismatch_mva:.3g} MVA"
        return (
            f"OperatingPoint({self.source}: slack {self.slack_mw:.3f} MW, losses {self.losses_mw:.3f} MW, "
            f"mismatch {self.mismatch_mva:.1e} MVA{at_limit})"
        )


def power_flow(
    case: Case, *, method: str = "auto", enforce_limits: bool = False, tolerance_mva: float = TOLERANCE_MVA
) -> OperatingPoint:
    """The operating point of a case with buses.

    Parameters
    ----------
    case : Case
    method : "auto", "stored", "ac", "dc" or "flat"
        "stored": the voltages of the file, refused when the balance is off by more than `tolerance_mva`. "ac": Newton's
        method of pandapower, from the stored voltages if that ends well. "auto": stored voltages where the file has them
        and they balance, else "ac". Approximations, whose mismatch
        is reported: "dc": |V| = 1, angles by pandapower's linear power flow. "flat": |V| = 1, all angles equal, nothing flows.
    enforce_limits : bool
        Whether generators leave their voltage set-point at `q_min_mvar` and `q_max_mvar` ("auto", "stored" and "ac"); the slack
        bus has no limits. Generators at one bus share a common limit.
    tolerance_mva : float
        Largest power balance that is accepted, of stored and of solved voltages.

    Returns
    -------
    OperatingPoint

    Raises
    ------
    ToleranceError
        Stored voltages that do not solve the case, or a power flow that does not converge.
    MissingExtraError
        "ac" or "dc" without pandapower.

    Examples
    --------
    >>> from coherence import load_case, power_flow
    >>> point = power_flow(load_case("iceland"))
    >>> point.source, round(point.slack_mw, 3), round(point.losses_mw, 3)
    ('stored', 234.137, 44.927)
    """
    require_grid(case)
    buses, _, _ = case.grid
    if not isinstance(enforce_limits, (bool, np.bool_)):
        raise InputError(f"enforce_limits = {enforce_limits!r}; give True or False")
    if not (isinstance(tolerance_mva, (int, float, np.number)) and np.isfinite(tolerance_mva) and tolerance_mva > 0):
        raise InputError(f"tolerance_mva = {tolerance_mva!r}; give a number > 0")
    if method not in METHODS:
        raise InputError(f"method = {method!r}; give {', '.join(map(repr, METHODS[:-1]))} or {METHODS[-1]!r}")
    if method == "flat":
        return _judge(case, np.ones(len(buses), dtype=complex), "flat")
    dropped = np.nan
    stored = {"vm_pu", "va_deg"} <= set(buses.columns) and not buses[["vm_pu", "va_deg"]].isna().any().any()
    if method == "stored" and not stored:
        raise CaseError(f"case {case.name!r} stores no voltages (buses.csv: vm_pu, va_deg); use method='ac'")
    if stored and method in ("auto", "stored"):
        angle = np.deg2rad(buses["va_deg"].to_numpy())
        point = _judge(case, buses["vm_pu"].to_numpy() * np.exp(1j * angle), "stored", enforce_limits)
        if _accepted(point, tolerance_mva):
            return point
        if method == "stored":
            raise ToleranceError(
                f"case {case.name!r}: the stored voltages {_miss(point, tolerance_mva)}; use method='ac', correct the file, or "
                "give a larger tolerance_mva"
            )
        dropped = point.mismatch_mva
    graph, _ = admittance(case)
    require_connected(abs(graph), [f"bus {bus:.15g}" for bus in buses["bus"]], "a power flow", SELECT)
    voltage = solve(case, reactive_limits(case) if enforce_limits else None, dc=method == "dc")
    if method == "dc":
        return _judge(case, voltage, "dc")
    point = _judge(case, voltage, "ac", enforce_limits)
    if not _accepted(point, tolerance_mva):
        limits = "; with enforce_limits=False it may have a solution" if enforce_limits else ""
        raise ToleranceError(f"case {case.name!r}: the voltages that pandapower returned {_miss(point, tolerance_mva)}{limits}")
    return replace(point, stored_mismatch_mva=dropped)


def require_balance(case: Case, point: OperatingPoint) -> None:
    """Refuse an operating point of another case: stored or solved voltages must balance here as they did there.

    Raises
    ------
    InputError
        They leave more than 1e-3 MVA and ten times their own mismatch.
    """
    if point.source not in ("stored", "ac"):
        return
    left = _judge(case, point.voltage, point.source, bool(point.limited)).mismatch_mva
    if left > max(OTHER_CASE_MVA, 10 * point.mismatch_mva):
        raise InputError(
            f"the operating point leaves {left:.3g} MVA unbalanced in case {case.name!r}: it is another case's; compute it with "
            "power_flow(case)"
        )


def _accepted(point: OperatingPoint, tolerance_mva: float) -> bool:
    return point.mismatch_mva <= tolerance_mva and point.mismatch_pu <= TOLERANCE_PU


def _miss(point: OperatingPoint, tolerance_mva: float) -> str:
    return (
        f"leave {point.mismatch_mva:.3g} MVA unbalanced and miss set-points by {point.mismatch_pu:.3g} pu "
        f"(tolerances {tolerance_mva:g} MVA, {TOLERANCE_PU:g} pu)"
    )


def reactive_limits(case: Case) -> pd.DataFrame:
    """Reactive limits of each generator bus [Mvar], bus -> low, high: sums over its generators, infinite where one is not given."""
    generators = case.grid[2]
    low, high = (
        generators[name].astype(float).fillna(side * np.inf)
        if name in generators
        else pd.Series(side * np.inf, index=generators.index)
        for name, side in (("q_min_mvar", -1.0), ("q_max_mvar", 1.0))
    )
    limits = pd.DataFrame({"bus": generators["bus"], "low": low, "high": high}).groupby("bus", sort=False).sum()
    limits.loc[generators["bus"][generators["kind"] == "slack"].iloc[0]] = [-np.inf, np.inf]
    return limits


def admittance(case: Case, *, lossless: bool = False) -> tuple[sp.csr_array, Complex]:
    """Y_bus [pu] without shunts, and the shunt admittances [pu]; lossless: series branches are 1/(jx)."""
    buses, br, _ = case.grid
    n = len(buses)
    f, t = branch_ends(case)
    r, x = br["r_pu"].to_numpy(), br["x_pu"].to_numpy()
    if lossless and (x == 0).any():
        i = int(np.argmax(x == 0))
        raise CaseError(
            f"case {case.name!r}: the branch from bus {br['from_bus'].iloc[i]:.15g} to {br['to_bus'].iloc[i]:.15g} has no "
            "reactance, so a lossless convention cannot hold it; give it x_pu, or use a convention with conductances"
        )
    series = 1.0 / (1j * x if lossless else r + 1j * x)
    ratio = br["tap"].to_numpy() * np.exp(1j * np.deg2rad(br["shift_deg"].to_numpy()))
    y_tt = series + 0.5j * br["b_pu"].to_numpy()
    values = np.concatenate([y_tt / np.abs(ratio) ** 2, y_tt, -series / ratio.conj(), -series / ratio])
    y = sp.csr_array((values, (np.concatenate([f, t, f, t]), np.concatenate([f, t, t, f]))), shape=(n, n))
    shunt = (buses["g_shunt_mw"].to_numpy() + 1j * buses["b_shunt_mvar"].to_numpy()) / case.base_mva
    return y, shunt


def _judge(case: Case, v: Complex, source: str, enforce_limits: bool = False) -> OperatingPoint:
    buses, _, generators = case.grid
    y, shunt = admittance(case)
    row = bus_index(case)
    into_grid = v * (y @ v).conj() * case.base_mva
    load = buses["p_load_mw"].to_numpy() + 1j * buses["q_load_mvar"].to_numpy()
    needed = into_grid + load + np.abs(v) ** 2 * shunt.conj() * case.base_mva  # what generators must supply
    gens = np.array([row[b] for b in generators["bus"]])
    is_slack = (generators["kind"] == "slack").to_numpy()
    slack, planned = int(gens[is_slack][0]), generators["p_mw"].to_numpy()
    supplied = np.zeros(len(v))
    np.add.at(supplied, gens, planned)
    gap = needed - supplied
    reactive = gap.imag.copy()
    gap[gens] = gap[gens].real
    gap[slack] = 0.0
    off = np.abs(v[gens]) - generators["v_pu"].to_numpy()
    limited = np.zeros(len(gens), dtype=bool)
    if enforce_limits:
        limits = reactive_limits(case).loc[generators["bus"]]
        low, high, q = limits["low"].to_numpy(), limits["high"].to_numpy(), reactive[gens]
        limited = ((off < 0) & (np.abs(q - high) <= TOLERANCE_MVA)) | ((off > 0) & (np.abs(q - low) <= TOLERANCE_MVA))
        np.maximum.at(gap.imag, gens, np.maximum(np.maximum(low - q, q - high), 0.0))
    others = planned[(gens == slack) & ~is_slack].sum()
    slack_mw = float(needed[slack].real - others)
    share = generators["mbase_mva"].to_numpy() / np.bincount(gens, generators["mbase_mva"], minlength=len(v))[gens]
    generation = np.where(is_slack, slack_mw, planned) + 1j * reactive[gens] * share
    losses = float(into_grid.real.sum())
    if source in ("dc", "flat"):  # approximations: the slack bus balances loads and shunts, and nothing is lost
        balance = float((load.real + shunt.real * case.base_mva).sum() - planned[~is_slack].sum())
        generation = np.where(is_slack, balance, planned) if source == "dc" else np.zeros(len(gens))
        slack_mw, losses, gap[slack] = (balance if source == "dc" else 0.0), 0.0, 0.0
        generation = generation.astype(complex)
    return OperatingPoint(
        v,
        generation,
        slack_mw,
        losses,
        float(np.abs(gap).max()),
        float(np.abs(off[~limited]).max(initial=0.0)),
        source,
        tuple(generators["label"][limited]),
    )
