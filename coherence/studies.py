"""The whole path as one call that returns a value.

case -> operating point -> network -> coherent dynamics, incoherence with bounds -> groups -> one node per group -> low-order
nodes -> step responses -> table of errors. Each arrow is one public verb; this module only calls them in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.compare import StepError, coi_error, step_error, step_size
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.grids.case import Case, load_case, read_case, shipped_cases
from coherence.grids.linearize import CONVENTION, linearize
from coherence.grids.powerflow import OperatingPoint, power_flow
from coherence.groups.spectral import spectral_groups
from coherence.network.network import Network
from coherence.reduction.aggregate import Aggregation, aggregate
from coherence.reduction.reading import read_generators
from coherence.reduction.truncate import PARTS, Truncation, truncate
from coherence.simulation.simulate import Response, Step, simulate
from coherence.theory.coherent import coherent_dynamics
from coherence.theory.incoherence import Incoherence, incoherence
from coherence.types import Real

OMEGA = np.logspace(-3, 2, 300)  # rad/s: from slow governors to beyond the fastest machine swing


@dataclass(frozen=True, eq=False)
class Study:
    """Everything the path computed; see `study`.

    Attributes
    ----------
    case, operating_point : the input and where it stands (operating_point is None without a grid)
    network, coherent : the full network and its one-node coherent dynamics
    incoherence : curve with bounds (None for a single node)
    partition : Partition
    quotient, refined : Aggregation
    truncations : dict part -> Truncation of the refined aggregation ("turbines", "closed_loop")
    part : which of them is the reduced model
    notes : tuple of str, what could not be computed and why
    disturbance : Step
    responses : dict model -> Response ("full", "coherent", "aggregated", and "reduced, <part>")
    errors : DataFrame, one row per model
    stability : DataFrame, largest real part of the poles per model
    generators : DataFrame, the reduced nodes read as generators
    """

    case: Case
    operating_point: OperatingPoint | None
    network: Network
    coherent: Network
    incoherence: Incoherence | None
    partition: Partition
    quotient: Aggregation
    refined: Aggregation
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
            f"Study({self.case.name!r}: {self.network.size} nodes, {self.network.order} states -> "
            f"{self.reduced.size} nodes, {self.reduced.order} states)"
        )

    def summary(self) -> str:
        """A page of text: the path, step by step, with the error of every step."""
        lines = [f"{self.case.title}", repr(self.case)]
        if self.operating_point is not None:
            lines.append(repr(self.operating_point))
        lines.append(f"network    {self.network.size} nodes, {self.network.order} states")
        if self.network.size > 1:
            lines.append(f"lambda_2   {self.network.algebraic_connectivity:.6g}  ({CONVENTION})")
        curve = self.incoherence
        if curve is not None:
            lines.append("incoherence ||T - g_hat 11'|| over frequency [rad/s per pu]:")
            picks = [int(np.argmin(np.abs(curve.omega - w))) for w in (0.01, 0.1, 1.0, 10.0)]
            lines.append(curve.frame.iloc[picks].to_string(float_format=lambda x: f"{x:.4g}"))
        lines.append("groups")
        for group in self.partition.groups:
            lines.append(f"  {group}: {', '.join(self.partition.members(group))}")
        if self.partition.k > 1:
            lines.append(
                f"refined Laplacian [pu/rad], embedding error {self.refined.embedding_error:.3g}, pairs with negative "
                f"weight: {self.refined.positive_off_diagonals}"
            )
            lines.append(self.refined.laplacian.to_string(float_format=lambda x: f"{x:.4g}"))
        lines.append(f"reduced generators, {self.part} truncated (pu on the system base, rad/s; inverse droop: DC value)")
        lines.append(self.generators.to_string(float_format=lambda x: f"{x:.4g}"))
        lines.append("truncation of each group")
        lines.append(self.truncation.table.to_string(float_format=lambda x: f"{x:.4g}"))
        where = ", ".join(f"{size:g} pu at {label!r}" for label, size in self.disturbance.sizes.items())
        lines.append(f"errors against the full network, step of {where}")
        lines.append(self.errors.to_string(float_format=lambda x: f"{x:.4g}"))
        lines.append("stability (largest real part of the poles [1/s])")
        lines.append(self.stability.to_string(float_format=lambda x: f"{x:.4g}"))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def study(
    case: Case | str | Path,
    *,
    groups: int | str = "auto",
    order: int = 3,
    disturb: str | None = None,
    size: float = -0.1,
    part: str = "turbines",
    governors: str = "rational",
    damping: float | None = None,
    omega: Real | None = None,
    time: Real | None = None,
    random_state: int = 0,
) -> Study:
    """Reduce a case to one low-order generator per group, with the error of every step.

    Parameters
    ----------
    case : Case, shipped case name, or path of a case folder
    groups : int or "auto"
        Number of groups ("auto": the largest eigengap).
    order : int
        States per group (1: swing, 2: one turbine, 3: two turbines).
    disturb : str, optional
        Generator that the step hits; default the first.
    size : float
        Step [pu of base_mva]; negative is a loss of generation.
    part : "turbines" or "closed_loop"
        What the truncation acts on; see `truncate`.
    governors, damping : see `linearize`
    omega : (F,) array, optional
        Frequencies of the incoherence curve [rad/s]; default 300 from 1e-3 to 100.
    time : (N,) array, optional
        Times of the responses; see `simulate`.
    random_state : int
        Seed of the clustering.

    Examples
    --------
    >>> from coherence import study
    >>> study("five_generators", order=3)
    Study('five_generators': 1 nodes, 6 states -> 1 nodes, 3 states)
    """
    case = open_case(case)
    point = None if case.nodes is not None else power_flow(case)
    network = linearize(case, point, governors=governors, damping=damping)
    step = Step({network.labels[0] if disturb is None else disturb: size})
    step.vector(network)  # an unknown name fails now, before any work
    coherent = coherent_dynamics(network)
    if network.size == 1:
        curve, partition = None, Partition(network.labels, np.zeros(1, dtype=int), ("1",))
        if groups not in ("auto", 1):
            raise InputError(f"case {case.name!r} is one coherent group; {groups} groups were asked")
    else:
        curve = incoherence(network, _frequencies(network) if omega is None else omega)
        partition = spectral_groups(network, groups, random_state=random_state)
    quotient = aggregate(network, partition, interconnection="quotient")
    refined = aggregate(network, partition, interconnection="refined")
    truncations, notes = _truncations(refined.network, order, part)
    reduced = {f"reduced, {name}": result.network for name, result in truncations.items()}
    grouped = step.grouped(partition)
    responses = {
        "full": simulate(network, step, time),
        "coherent": simulate(coherent, Step({coherent.labels[0]: step.total}), time),
    }
    responses |= {name: simulate(model, grouped, time) for name, model in {"aggregated": refined.network, **reduced}.items()}
    errors = _errors(
        network,
        coherent,
        {"aggregated, quotient": quotient.network, "aggregated, refined": refined.network, **reduced},
        step,
        partition,
    )
    models = {"full": network, "coherent": coherent, "aggregated": refined.network, **reduced}
    if case.nodes is None:
        models["full, declared damping 0"] = linearize(replace(case, damping=0.0), point, governors=governors)
    return Study(
        case,
        point,
        network,
        coherent,
        curve,
        partition,
        quotient,
        refined,
        truncations,
        part,
        notes,
        step,
        responses,
        errors,
        _stability(models),
        read_generators(truncations[part].network.nodes),
    )


def open_case(case: Case | str | Path) -> Case:
    """A Case as it is, a shipped case by name, or a case folder by path."""
    if isinstance(case, Case):
        return case
    if isinstance(case, Path) or "/" in str(case) or "\\" in str(case) or (Path(case) / "case.toml").is_file():
        return read_case(case)
    return load_case(str(case)) if str(case) in shipped_cases() or not Path(case).is_dir() else read_case(case)


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


def _errors(network: Network, coherent: Network, models: dict[str, Network], step: Step, partition: Partition) -> pd.DataFrame:
    rows = {
        "full (the response itself)": (network, step_size(network, step)),
        "coherent dynamics, one node": (coherent, step_error(network, coherent, step)),
        "CoI against coherent dynamics": (coherent, coi_error(network, coherent, step)),
    }
    rows |= {name: (model, step_error(network, model, step, partition)) for name, model in models.items()}
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
        pole = model.poles()[0]
        rows.append(
            {"model": name, "largest real part": pole.real, "imaginary part": abs(pole.imag), "stable": bool(pole.real < 0)}
        )
    return pd.DataFrame(rows).set_index("model")
