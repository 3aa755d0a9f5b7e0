"""What is in a case or network, and how far it carries: sizes, machines, operating point, connectivity, stability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from coherence.display import Page
from coherence.errors import CoherenceError
from coherence.formats.folder import shipped_cases
from coherence.formats.read import MachineTables, load_case, open_case
from coherence.grids.case import REQUIRED, Case
from coherence.grids.convention import Convention, named_convention
from coherence.grids.linearize import assemble, linearize
from coherence.grids.modes import modes
from coherence.grids.powerflow import OperatingPoint, power_flow
from coherence.grids.synchronising import DENSE, synchronising_matrix
from coherence.grids.topology import islands
from coherence.network.network import Network
from coherence.theory.coherent import coherent_dynamics


@dataclass(frozen=True, eq=False, repr=False)
class Description(Page):
    """Facts and tables about a case or network; see `describe`."""

    title: str
    found: dict[str, str]
    listed: dict[str, pd.DataFrame]

    def __repr__(self) -> str:
        return self.title

    @property
    def facts(self) -> dict[str, str]:
        """What was found, by name."""
        return self.found

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The generators or nodes."""
        return self.listed


def describe(
    subject: Case | Network | str | Path,
    *,
    operating_point: OperatingPoint | None = None,
    convention: str | Convention = "terminal",
    machines: MachineTables = None,
    f_hz: float | None = None,
) -> Description:
    """What is in a case or network; a step that cannot be done is a fact too, with its reason.

    Parameters
    ----------
    subject : Case, shipped case name, what `read_case` reads, or Network
    operating_point, convention : see `linearize`
    machines, f_hz : see `read_case`

    Returns
    -------
    Description
        `facts` (name -> sentence) and `tables`.

    Raises
    ------
    CaseError
        The case cannot be read at all.

    Examples
    --------
    >>> from coherence import describe
    >>> describe("iceland").facts["machines"]
    '1627 MVA, 6.580 GWs of stored energy; governors: 23 HYGOV, 10 TGOV1, 1 IEESGO'
    """
    if isinstance(subject, Network):
        return Description(f"Network of {subject.size} nodes", _network_facts(subject), {})
    convention = named_convention(convention) if isinstance(convention, str) else convention
    case = open_case(subject, machines=machines, f_hz=f_hz)
    facts = {"case": repr(case)} | {f"note {i + 1}": note for i, note in enumerate(case.notes)}
    if case.nodes is not None:
        try:
            facts |= _network_facts(linearize(case))
        except CoherenceError as error:
            facts["network"] = f"not built: {error}"
        return Description(case.title, facts, {"nodes": case.nodes.set_index("label")})
    buses, _, generators = case.grid
    facts["load"] = f"{buses['p_load_mw'].sum():.1f} MW, {buses['q_load_mvar'].sum():.1f} Mvar"
    facts["machines"] = _machines(generators)
    if case.damping:
        facts["declared damping"] = f"{case.damping:g} pu power per pu speed at the machines, on machine base"
    if case.load_damping:
        facts["load damping"] = f"{case.load_damping:g} pu power per pu frequency, on each bus's own load"
    parts = islands(case)
    if len(parts) > 1:
        facts["islands"] = ", ".join(
            f"{p.buses} buses with {p.generators} generators (bus {p.bus:.15g})" for p in parts[:6].itertuples()
        )
    point = None
    try:
        point = power_flow(case) if operating_point is None else operating_point
        facts["operating point"] = repr(point)
        found = synchronising_matrix(case, point, convention=convention, load_damping=bool(case.load_damping))
        facts |= found.facts
        if len(found.labels) > 1:
            facts["lambda_2"] = _connectivity(found.lambda_2)
        if len(found.labels) > DENSE:
            facts["network"] = f"{len(found.labels)} nodes; its poles are not sought above {DENSE} nodes (a few: modes with count)"
            return Description(case.title, facts, _listed(case))
        facts |= _network_facts(assemble(case, found))
        if not found.convention.lossless:
            facts["stability of the symmetrised network"] = facts.pop("stability", "")
            facts["stability"] = _stability(case, point, found.convention)
    except CoherenceError as error:
        facts["operating point" if point is None else "network"] = f"not found: {error}"
    if point is not None and "xd_prime_pu" in case.machines:
        facts["classical modes"] = _modes(case, point)
    return Description(case.title, facts, _listed(case))


def _listed(case: Case) -> dict[str, pd.DataFrame]:
    own = case.grid[2].set_index("label")
    first = [name for name in (*REQUIRED["generators"], "H_s", "D_pu", "xd_prime_pu", "governor", "R_pu", "T_s") if name in own]
    machines = {"generators": own[[*first, *(name for name in own if name not in first)]]}
    return machines if case.records is None else {"dynamic records": _records(case.records)} | machines


def _records(records: pd.DataFrame) -> pd.DataFrame:
    """How many dynamic records of each model a file has, how many are used, and why the others are not."""
    grouped = records.groupby(["purpose", "model"])
    table = grouped.agg(records=("used", "size"), used=("used", "sum"))
    reasons = records[records["reason"] != ""].groupby(["purpose", "model"])["reason"]
    table["remark"] = reasons.agg(lambda texts: texts.iloc[0] if texts.nunique() == 1 else f"{texts.iloc[0]}, and others")
    table["remark"] = table["remark"].fillna("")
    return table.reset_index().set_index("model")


def _modes(case: Case, point: OperatingPoint) -> str:
    try:
        found = modes(case, point)
    except CoherenceError as error:
        return f"not found: {error}"
    slowest = ", ".join(f"{hz:.3f}" for hz in found.table["frequency_hz"][:5])
    some = f"{len(found.table)}, the slowest at {slowest} Hz" if len(found.table) else "none oscillates"
    return f"{some} (machines behind x'd, loads as impedances); {found.facts['stability']}"


def _stability(case: Case, point: OperatingPoint, convention: Convention) -> str:
    try:
        return f"{modes(case, point, convention=convention).facts['stability']} (of K)"
    except CoherenceError as error:
        return f"not found: {error}"


def catalogue() -> Description:
    """The shipped cases, one row each.

    Examples
    --------
    >>> from coherence.description import catalogue
    >>> list(catalogue().tables["shipped cases"].index)
    ['five_generators', 'iceland', 'nets_nyps68', 'new_england39', 'two_area']
    """
    rows = {}
    for name in shipped_cases():
        case = load_case(name)
        rows[name] = {
            "title": case.title,
            "buses": 0 if case.buses is None else len(case.buses),
            "generators": len(case.labels),
            "Hz": "" if case.f_hz is None else f"{case.f_hz:g}",
        }
    return Description(
        "Cases that coherence ships", {}, {"shipped cases": pd.DataFrame.from_dict(rows, orient="index").rename_axis("case")}
    )


def _machines(generators: pd.DataFrame) -> str:
    rated = generators["mbase_mva"]
    if "H_s" not in generators:
        return f"{rated.sum():.0f} MVA; no inertia, droop or damping in the file: add a machine table"
    text = f"{rated.sum():.0f} MVA, {(rated * generators['H_s']).sum() / 1e3:.3f} GWs of stored energy"
    counts: dict[str, int] = {}
    if "governor" in generators:
        counts = {str(k): int(v) for k, v in generators.loc[generators["governor"] != "", "governor"].value_counts().items()}
    if "R_pu" in generators:
        counts["one-lag turbine"] = int(generators["R_pu"].notna().sum())
    return text + (
        "; governors: " + ", ".join(f"{count} {model}" for model, count in counts.items()) if counts else "; no governors"
    )


def _connectivity(value: float) -> str:
    return f"{value:.6g} [grids: pu/rad]"


def _network_facts(network: Network) -> dict[str, str]:
    facts = {"network": repr(network)}
    if network.size > 1:
        facts["lambda_2"] = _connectivity(network.algebraic_connectivity)
    if not network.coupling.is_positive_real():
        facts["coupling"] = f"{network.coupling.sentence} is not positive real: passive nodes do not imply stability"
    poles = network.poles()
    if poles.size:
        worst = poles[0]
        doubt = network.realization.rounding
        verdict = "stable" if worst.real < -doubt else "marginal (undamped)" if worst.real <= doubt else "not stable"
        facts["stability"] = f"{verdict}; the pole of largest real part is {worst.real:.4g} ± {abs(worst.imag):.4g}j [1/s]"
    one = coherent_dynamics(network).nodes
    stiffness = float(one.inverse(0.0)[0, 0].real)
    facts["coherent dynamics"] = (
        f"{one.order} states; inertia {one.inertia[0]:.4g}, damping {one.damping[0]:.4g}, 1/g(0) = {stiffness:.4g} "
        "(damping and all droops) [grids: pu s^2/rad, pu s/rad]"
    )
    return facts
