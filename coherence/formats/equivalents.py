"""Reduced networks of a case in the formats that grids come in: a case folder, MATPOWER with a machine table, PSS/E files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from coherence.errors import CoherenceError, InputError, ToleranceError
from coherence.formats.dyr_writer import write_dyr
from coherence.formats.folder_writer import write_case
from coherence.formats.matpower_writer import write_matpower
from coherence.formats.raw_writer import write_raw
from coherence.graphs.partition import Partition
from coherence.grids.case import Case
from coherence.grids.equivalent import case_of_network, machine_dispatch
from coherence.grids.powerflow import OperatingPoint
from coherence.network.network import Network


def write_equivalent(
    network: Network, folder: Path, stem: str, case: Case | None, point: OperatingPoint | None, partition: Partition
) -> list[str]:
    """Write a reduced network as the case folder `STEM`, as STEM.m with STEM_machines.csv, and as STEM.raw with STEM.dyr.

    Parameters
    ----------
    network : Network
        One node per group.
    folder : Path
        Made where there is something to write.
    stem : str
    case : Case or None
        What was reduced: its frequency, bases and dispatch. None or a case without grid: nothing is written.
    point : OperatingPoint or None
        Where it was linearised.
    partition : Partition
        Of the nodes of the full network.

    Returns
    -------
    list of str
        What was not written, or not exactly, and why.
    """
    if case is None or case.nodes is not None or case.f_hz is None:
        return []
    dispatch, remarks = _dispatch(case, point, partition)
    rated = _bases(case, partition)
    how = {"f_hz": case.f_hz, "base_mva": case.base_mva, "mbase_mva": rated, "name": stem}
    try:
        try:
            reduced = case_of_network(network, dispatch=dispatch, **how)  # type: ignore[arg-type]
        except ToleranceError as error:
            if dispatch is None:
                raise
            remarks.append(f"{stem}: without dispatch, since {error}")
            reduced = case_of_network(network, **how)  # type: ignore[arg-type]
    except (InputError, ToleranceError) as error:
        return [*remarks, f"{stem}: not written as a case, since {error}"]
    folder.mkdir(exist_ok=True)
    for name, write in (("", _folder), (".m", _matpower), (".raw", write_raw), (".dyr", _dyr)):
        path = folder / f"{stem}{name}"
        try:
            remarks += [f"{path.name}: {note}" for note in write(reduced, path)]
        except CoherenceError as error:  # one format must not cost the others
            remarks.append(f"{path.name}: not written, since {error}")
    return remarks


def _folder(case: Case, path: Path) -> list[str]:
    write_case(case, path)
    return []


def _matpower(case: Case, path: Path) -> list[str]:
    return list(write_matpower(case, path).notes)


def _dyr(case: Case, path: Path) -> list[str]:
    left = write_dyr(case, path).models["remark"]
    return [f"no governor for {label}, since {remark}" for label, remark in left[left != ""].items()]


def _dispatch(case: Case, point: OperatingPoint | None, partition: Partition) -> tuple[pd.DataFrame | None, list[str]]:
    """Generation and load of each group, where its nodes are the terminals of machines."""
    if set(partition.labels) != set(case.terminals.index):
        return None, ["reduced cases carry no dispatch: their nodes are not the terminals of machines"]
    try:
        return machine_dispatch(case, point).groupby(partition.series).sum(), []
    except CoherenceError as error:
        return None, [f"reduced cases carry no dispatch: {error}"]


def _bases(case: Case, partition: Partition) -> dict[str, float]:
    """Machine base of each group [MVA]; the system base for a group without machine."""
    own = pd.concat([case.terminals["mbase_mva"], case.machines.set_index("label")["mbase_mva"]])
    own = own[~own.index.duplicated()]
    sums = own.reindex(list(partition.labels)).groupby(partition.series).sum()
    return {str(group): float(total) if total > 0 else case.base_mva for group, total in sums.items()}
