"""coherence: how large networks of dynamic nodes move together.

Public names are loaded on first use, so that `import coherence` stays fast.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "coherence.errors": [
        "CaseError",
        "CoherenceError",
        "DisconnectedError",
        "InputError",
        "InstabilityError",
        "MissingExtraError",
        "PoleError",
        "ToleranceError",
        "UnknownNameError",
    ],
    "coherence.numerics.rational": ["Rational"],
    "coherence.nodes.nodes": ["Nodes", "concatenate"],
    "coherence.nodes.families": ["droop_inverter", "integrator", "swing", "swing_turbine"],
    "coherence.nodes.governors": ["governor"],
    "coherence.nodes.systems": ["from_systems"],
    "coherence.graphs.partition": ["Partition"],
    "coherence.graphs.laplacian": ["kron_reduce"],
    "coherence.network.network": ["Network"],
    "coherence.network.files": ["load_network", "save_network"],
    "coherence.theory.coherent": ["coherent_dynamics"],
    "coherence.theory.bounds": ["Bound", "hull_bound", "source_bound"],
    "coherence.theory.incoherence": ["Incoherence", "group_error", "incoherence", "modal_error"],
    "coherence.groups.spectral": ["spectral_groups"],
    "coherence.grids.case": ["Case"],
    "coherence.grids.files": ["load_case", "read_case", "shipped_cases"],
    "coherence.grids.machines": ["add_machines"],
    "coherence.grids.powerflow": ["OperatingPoint", "power_flow"],
    "coherence.grids.linearize": ["linearize", "machine_nodes"],
    "coherence.reduction.aggregate": ["Aggregation", "aggregate"],
    "coherence.reduction.truncate": ["Truncation", "truncate"],
    "coherence.reduction.reading": ["read_generators"],
    "coherence.simulation.simulate": ["Response", "Step", "simulate"],
    "coherence.compare": ["StepError", "coi_error", "step_error", "step_size"],
    "coherence.studies": ["Study", "study"],
    "coherence.description": ["describe"],
}
# a public name must not be a module's: importing the module would put the module in its place
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'coherence' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
