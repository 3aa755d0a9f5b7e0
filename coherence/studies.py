"""The whole path as one call that returns a value.

case -> operating point -> network -> coherent dynamics, incoherence with bounds -> groups -> one node per group -> low-order
nodes -> step responses -> table of errors. Each arrow is one public verb; this module only calls them in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.compare import StepError, coi_error, step_error, step_size
from coherence.display import Page
from coherence.errors import InputError
from coherence.formats.read import MachineTables, open_case
from coherence.graphs.partition import Partition
from coherence.grids.case import Case
from coherence.grids.convention import Convention
from coherence.grids.linearize import assemble, linearize
from coherence.grids.powerflow import OperatingPoint, power_flow
from coherence.grids.synchronising import SynchronisingMatrix, synchronising_matrix
from coherence.groups.spectral import coherent_groups, require_method, spectral_groups
from coherence.network.network import Network
from coherence.numerics.threads import single_thread
from coherence.progress import Progress, silent
from coherence.reduction.aggregate import Aggregation, aggregate
from coherence.reduction.reading import read_generators
from coherence.reduction.truncate import PARTS, Truncation, truncate
from coherence.simulation.disturbances import Step
from coherence.simulation.response import Response
from coherence.simulation.simulate import simulate
from coherence.theory.coherent import coherent_dynamics
from coherence.theory.incoherence import Incoherence, incoherence
from coherence.types import Real

OMEGA = np.logspace(-3, 2, 300)  # rad/s: from slow governors to beyond the fastest machine swing


@dataclass(frozen=True, eq=False, repr=False)
class Study(Page):
    """Everything the path computed; see `study`.

    Attributes
    ----------
    title : str
    case, operating_point : the input and where it stands (None: the study is of a network; of nodes without a grid)
    network, coherent : the full network and its one-node coherent dynamics
    incoherence : curve with bounds (None for a single node)
    partition : Partition
    quotient, refined : Aggregation (refined is None where lambda_k = lambda_{k+1})
    aggregation : the one of them that the reduced models stand on
    truncations : dict part -> Truncation of `aggregation` ("turbines", "closed_loop")
    part : which of them is the reduced model
    notes : tuple of str, what could not be computed and why
    disturbance : Step
    responses : dict model -> Response ("full", "coherent", "aggregated", and "reduced, <part>")
    errors : DataFrame, one row per model
    stability : DataFrame, largest real part of the poles per model
    generators : DataFrame, the reduced nodes read as generators

    Examples
    --------
    >>> from coherence import study
    >>> study("five_generators", order=2).generators["generator"].tolist()
    [True]
    """

    title: str
    case: Case | None
    operating_point: OperatingPoint | None
    synchronising: SynchronisingMatrix | None
    network: Network
    coherent: Network
    incoherence: Incoherence | None
    partition: Partition
    quotient: Aggregation
    refined: Aggregation | None
    aggregation: Aggregation
    truncations: dict[str, Truncation]
    part: str
    notes: tuple[str, ...]
    disturbance: Step
    responses: dict[str, Response]
    errors: pd.DataFrame
    stability: pd.DataFrame
    generators: pd.DataFrame

    @property
    def truncation(self) -> Truncation:
        """The truncation that was asked for."""
        return self.truncations[self.part]

    @property
    def reduced(self) -> Network:
        """The reduced model: one low-order node per group."""
        return self.truncation.network

    def __repr__(self) -> str:
        return (
            f"Study({self.title!r}: {self.network.size} nodes, {self.network.order} states -> "
            f"{self.reduced.size} nodes, {self.reduced.order} states)"
        )

    @property
    def facts(self) -> dict[str, str]:
        """The path in one line a step."""
        out = {} if self.case is None else {"case": repr(self.case)}
        if self.operating_point is not None:
            out["operating point"] = repr(self.operating_point)
        out["network"] = repr(self.network)
        if self.network.size > 1:
            out["lambda_2"] = f"{self.network.algebraic_connectivity:.6g} [grids: pu/rad]"
        if self.synchronising is not None:
            out["convention"] = f"{self.synchronising.convention}; pu/rad on the system base"
            if not self.synchronising.convention.lossless:
                out["asymmetry"] = f"max|K - K'|/max|K| = {self.synchronising.asymmetry:.2%}; the network is the symmetrised one"
        out["disturbance"] = self.disturbance.sentence
        if self.partition.k > 1:
            out["aggregation"] = (
                f"{self.aggregation.interconnection}; the groups are {self.aggregation.angle:.0f} degrees from the "
                f"{self.partition.k} slowest modes"
            )
        out["reduced network"] = self.truncation.stability
        return out | {f"note {i + 1}": note for i, note in enumerate(self.notes)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Groups, incoherence, Laplacian, generators, errors and stability."""
        out = dict(self.partition.tables)
        curve = self.incoherence
        if curve is not None:
            picks = sorted({int(np.argmin(np.abs(curve.omega - w))) for w in (0.01, 0.1, 1.0, 10.0)})
            out["incoherence"] = curve.frame.iloc[picks]
        if self.partition.k > 1:
            out["laplacian"] = self.aggregation.laplacian
        out |= {
            "generators": self.generators,
            "truncation": self.truncation.table,
            "errors": self.errors,
            "stability": self.stability,
        }
        return out

    @property
    def captions(self) -> dict[str, str]:
        """What each table holds, with units."""
        return {
            "incoherence": "deviation from coherence ||T - g_hat 11'|| [grids: rad/s per pu]",
            "laplacian": f"{self.aggregation.interconnection} Laplacian between groups [grids: pu/rad]",
            "generators": f"reduced generators, {self.part} truncated (pu on the system base, rad/s; inverse droop: DC value)",
            "truncation": "truncation of each group",
            "errors": f"errors against the full network, step of {self.disturbance.sentence} (L2 infinite: steady states differ)",
            "stability": "stability: the pole of largest real part [1/s]",
        }


def study(
    subject: Case | Network | str | Path,
    *,
    groups: int | str | Partition = "auto",
    method: str = "bach_jordan",
    order: int | None = None,
    disturb: str | None = None,
    size: float = -0.1,
    part: str = "turbines",
    interconnection: str = "auto",
    operating_point: OperatingPoint | None = None,
    convention: str | Convention = "terminal",
    governors: str = "rational",
    damping: float | None = None,
    machines: MachineTables = None,
    f_hz: float | None = None,
    omega: Real | None = None,
    time: Real | None = None,
    random_state: int = 0,
    progress: Progress = silent,
) -> Study:
    """Reduce a case or a network to one low-order node per group, with the error of every step.

    Parameters
    ----------
    subject : Case, shipped case name, what `read_case` reads, or Network
    groups : int, "auto" or Partition
        Number of groups ("auto": the largest eigengap), or your own.
    method : str
        How groups are found where they are not given; see `coherent_groups`.
    order : int, optional
        States per group (1: swing, 2: one turbine, 3: two turbines); default 3, or the largest order of a group if that is less.
    disturb : str, optional
        Node that the step hits; default the first. Of generators that share a bus any one may be named.
    size : float
        Step [pu of base_mva]; negative is a loss of generation.
    part : "turbines" or "closed_loop"
        What the truncation acts on; see `truncate`.
    interconnection : "auto", "refined" or "quotient"
        Laplacian between the groups; "auto" takes the one whose step error is smaller in L2.
    operating_point, convention, governors, damping : see `linearize` (cases only)
    machines, f_hz : see `read_case` (cases only)
    omega : (F,) array, optional
        Frequencies of the incoherence curve [rad/s]; default 300 from 1e-3 to 100 and the modes of the network between.
    time : (N,) array, optional
        Times of the responses; see `simulate`.
    random_state : int
        Seed of the clustering.
    progress : callable (stage, fraction done)

    Returns
    -------
    Study

    Raises
    ------
    CoherenceError
        Of the step that cannot be done; its message says why.

    Examples
    --------
    >>> from coherence import study
    >>> study("five_generators", order=3)
    Study('Five coherent generators with heterogeneous turbines (Table 3-I)': 1 nodes, 6 states -> 1 nodes, 3 states)
    """
    _require("interconnection", interconnection, ("auto", "refined", "quotient"))
    _require("part", part, tuple(PARTS))
    require_method(method)
    case, operating_point, found, network, title = _network(
        subject, operating_point, convention, governors, damping, machines, f_hz, progress
    )
    with single_thread(network.nodes.order):
        step = Step({network.labels[0] if disturb is None else _node_of(case, network, disturb): size})
        step.vector(network)  # an unknown name fails now, before any work
        coherent = coherent_dynamics(network)
        if network.size == 1:
            curve, partition = None, Partition(network.labels, np.zeros(1, dtype=int), ("1",))
            if not isinstance(groups, Partition) and groups not in ("auto", 1):
                raise InputError(f"{title!r} is one coherent group; {groups} groups were asked")
        else:
            progress("incoherence and its bounds", 0.1)
            curve = incoherence(network, _frequencies(network) if omega is None else omega)
            progress("groups", 0.4)
            partition = groups if isinstance(groups, Partition) else _found(network, groups, method, random_state)
        progress("aggregation and truncation", 0.5)
        aggregations, notes = _aggregations(network, partition)
        models = {f"aggregated, {name}": result.network for name, result in aggregations.items()}
        errors = {name: step_error(network, model, step, partition) for name, model in models.items()}
        chosen = aggregations[_choice(interconnection, errors)]
        order = min(3, int(chosen.network.nodes.orders.max())) if order is None else order
        truncations, more = _truncations(chosen.network, order, part)
        reduced = {f"reduced, {name}": result.network for name, result in truncations.items()}
        progress("responses", 0.55)
        grouped = step.grouped(partition)
        full = simulate(network, step, time)
        time = full.time
        responses = {"full": full, "coherent": simulate(coherent, Step({coherent.labels[0]: step.total}), time)}
        responses |= {name: simulate(model, grouped, time) for name, model in {"aggregated": chosen.network, **reduced}.items()}
        progress("errors over all time and all frequencies", 0.7)
        errors |= {name: step_error(network, model, step, partition) for name, model in reduced.items()}
        table = _errors(network, coherent, models | reduced, errors, step)
        progress("stability", 0.95)
        judged = {"full": network, "coherent": coherent, "aggregated": chosen.network, **reduced}
        if case is not None and found is not None:
            judged["full, declared damping 0"] = assemble(case, found, governors=governors, damping=0.0)
        stability = _stability(judged)
        progress("done", 1.0)
        return Study(
            title,
            case,
            operating_point,
            found,
            network,
            coherent,
            curve,
            partition,
            aggregations["quotient"],
            aggregations.get("refined"),
            chosen,
            truncations,
            part,
            (() if case is None else case.notes) + _verdict(network) + notes + more + _unsettled(errors),
            step,
            responses,
            table,
            stability,
            read_generators(truncations[part].network.nodes),
        )


def _network(
    subject: Case | Network | str | Path,
    point: OperatingPoint | None,
    convention: str | Convention,
    governors: str,
    damping: float | None,
    machines: MachineTables,
    f_hz: float | None,
    progress: Progress,
) -> tuple[Case | None, OperatingPoint | None, SynchronisingMatrix | None, Network, str]:
    if isinstance(subject, Network):
        if damping is not None or machines is not None or f_hz is not None or convention != "terminal" or point is not None:
            raise InputError(
                "damping, machines, f_hz, convention and operating_point belong to a case; this is a network, whose nodes already "
                "have their dynamics"
            )
        return None, None, None, subject, f"network of {subject.size} nodes"
    progress("reading the case", 0.0)
    case = open_case(subject, machines=machines, f_hz=f_hz)
    progress("operating point and linearisation", 0.03)
    if case.nodes is not None:
        return case, None, None, linearize(case, governors=governors, damping=damping), case.title
    point = power_flow(case) if point is None else point
    found = synchronising_matrix(case, point, convention=convention, load_damping=bool(case.load_damping))
    return case, point, found, assemble(case, found, governors=governors, damping=damping), case.title


def _found(network: Network, groups: int | str, method: str, random_state: int) -> Partition:
    if method == "bach_jordan":  # as the source: the eigengap of L, ties allowed
        return spectral_groups(network, groups, random_state=random_state)
    return coherent_groups(network, groups, method=method, random_state=random_state)


def _frequencies(network: Network) -> Real:
    """The default grid with the network's own mode frequencies put in, so that no resonance peak is stepped over."""
    modes = np.abs(network.poles().imag)
    inside = modes[(modes > OMEGA[0]) & (modes < OMEGA[-1])]
    return np.unique(np.concatenate([OMEGA, inside]))


def _truncations(network: Network, order: int, part: str) -> tuple[dict[str, Truncation], tuple[str, ...]]:
    """The truncation asked for, and the other kind beside it where it exists."""
    results, notes = {part: truncate(network, order, part=part)}, []
    for other in PARTS:
        if other != part:
            try:
                results[other] = truncate(network, order, part=other)
            except InputError as error:
                notes.append(f"no {other} truncation to compare with: {error}")
    return results, tuple(notes)


def _require(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} = {value!r}; give {', '.join(map(repr, known[:-1]))} or {known[-1]!r}")


def _node_of(case: Case | None, network: Network, label: str) -> str:
    """The node that a generator belongs to: itself, or the sum of those at its bus."""
    if case is None or case.nodes is not None or label in network.labels or label not in set(case.machines["label"]):
        return label
    generators, terminals = case.grid[2], case.terminals
    bus = generators["bus"].iloc[case.labels.index(label)]
    return str(terminals.index[terminals["bus"] == bus][0])


def _aggregations(network: Network, partition: Partition) -> tuple[dict[str, Aggregation], tuple[str, ...]]:
    results, notes = {"quotient": aggregate(network, partition, interconnection="quotient")}, []
    try:
        results["refined"] = aggregate(network, partition, interconnection="refined")
    except InputError as error:
        notes.append(f"no refined aggregation: {error}")
    return results, tuple(notes)


def _choice(interconnection: str, errors: dict[str, StepError]) -> str:
    """The interconnection asked for, or the one of smaller step error (L2, then L-infinity, then the quotient)."""
    names = ["quotient", *(["refined"] if "aggregated, refined" in errors else [])]
    if interconnection == "auto":
        return min(names, key=lambda name: (errors[f"aggregated, {name}"].l2, errors[f"aggregated, {name}"].linf))
    if interconnection not in names:
        raise InputError("there is no refined aggregation for these groups; use interconnection='quotient'")
    return interconnection


def _verdict(network: Network) -> tuple[str, ...]:
    if network.realization.is_stable():
        return ()
    worst = network.poles()[0]
    what = "undamped (marginal)" if worst.real <= network.realization.rounding else "unstable"
    where = f"{worst.real:.3g} ± {abs(worst.imag):.3g}j [1/s]"
    return (f"the full network is {what}: pole {where}, so its response has no norms over all time",)


def _unsettled(errors: dict[str, StepError]) -> tuple[str, ...]:
    return tuple(
        f"L-infinity of {name} is at least {e.linf:.4g} and at most {e.linf_upper:.4g}: the search ended before its modes died out"
        for name, e in errors.items()
        if np.isfinite(e.linf) and e.linf_upper > 1.1 * e.linf
    )


def _errors(
    network: Network, coherent: Network, models: dict[str, Network], errors: dict[str, StepError], step: Step
) -> pd.DataFrame:
    rows = {
        "full (the response itself)": (network, step_size(network, step)),
        "coherent dynamics, one node": (coherent, step_error(network, coherent, step)),
    }
    if network.nodes.inertia.sum() > 0:
        rows["CoI against coherent dynamics"] = (coherent, coi_error(network, coherent, step))
    rows |= {name: (models[name], error) for name, error in errors.items()}
    return pd.DataFrame([_row(name, model, error) for name, (model, error) in rows.items()]).set_index("model")


def _row(name: str, model: Network, error: StepError) -> dict[str, object]:
    return {
        "model": name,
        "nodes": model.size,
        "states": model.order,
        "L2": error.l2,
        "Linf": error.linf,
        "at": error.node,
        "t [s]": error.time,
        "Hinf": error.hinf.upper,
        "at [rad/s]": error.hinf.omega,
    }


def _stability(models: dict[str, Network]) -> pd.DataFrame:
    rows = []
    for name, model in models.items():
        poles = model.poles()
        worst = poles[0] if poles.size else complex(-np.inf, 0.0)
        stable = model.realization.is_stable()
        rows.append({"model": name, "largest real part": worst.real, "imaginary part": abs(worst.imag), "stable": stable})
    return pd.DataFrame(rows).set_index("model")
