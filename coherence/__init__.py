"""coherence: how large networks of dynamic nodes move together.

Public names are loaded on first use, so that `import coherence` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # for type checkers and editors; a test compares this list with the one below
    from coherence.compare import ResponseDifference as ResponseDifference
    from coherence.compare import StepError as StepError
    from coherence.compare import coi_error as coi_error
    from coherence.compare import response_difference as response_difference
    from coherence.compare import step_error as step_error
    from coherence.compare import step_size as step_size
    from coherence.description import describe as describe
    from coherence.design.allocation import Allocation as Allocation
    from coherence.design.closing import add_local as add_local
    from coherence.design.closing import close_loop as close_loop
    from coherence.design.damping import ModeDamper as ModeDamper
    from coherence.design.damping import damp_mode as damp_mode
    from coherence.design.limits import FrequencyLimits as FrequencyLimits
    from coherence.design.limits import allocate as allocate
    from coherence.design.placement import Placement as Placement
    from coherence.design.placement import PlacementCheck as PlacementCheck
    from coherence.design.placement import placement as placement
    from coherence.design.plant import generalized_plant as generalized_plant
    from coherence.design.plant import plant as plant
    from coherence.design.robustness import SmallGain as SmallGain
    from coherence.design.robustness import small_gain as small_gain
    from coherence.design.secondary import SecondaryControl as SecondaryControl
    from coherence.design.secondary import secondary_control as secondary_control
    from coherence.design.verification import Verification as Verification
    from coherence.design.verification import verify as verify
    from coherence.ensembles import BlockErrors as BlockErrors
    from coherence.ensembles import block_errors as block_errors
    from coherence.errors import CaseError as CaseError
    from coherence.errors import ClusterError as ClusterError
    from coherence.errors import CoherenceError as CoherenceError
    from coherence.errors import DisconnectedError as DisconnectedError
    from coherence.errors import InputError as InputError
    from coherence.errors import InstabilityError as InstabilityError
    from coherence.errors import MissingExtraError as MissingExtraError
    from coherence.errors import PoleError as PoleError
    from coherence.errors import ToleranceError as ToleranceError
    from coherence.errors import UnitsWarning as UnitsWarning
    from coherence.errors import UnknownNameError as UnknownNameError
    from coherence.formats.dyr_writer import DyrExport as DyrExport
    from coherence.formats.dyr_writer import write_dyr as write_dyr
    from coherence.formats.folder import shipped_cases as shipped_cases
    from coherence.formats.folder_writer import write_case as write_case
    from coherence.formats.graphs import case_of_graph as case_of_graph
    from coherence.formats.graphs import network_of_graph as network_of_graph
    from coherence.formats.machines import add_machines as add_machines
    from coherence.formats.matpower_writer import MatpowerFiles as MatpowerFiles
    from coherence.formats.matpower_writer import write_matpower as write_matpower
    from coherence.formats.pandapower import case_of_pandapower as case_of_pandapower
    from coherence.formats.pandapower_json import read_pandapower as read_pandapower
    from coherence.formats.raw_writer import write_raw as write_raw
    from coherence.formats.read import load_case as load_case
    from coherence.formats.read import read_case as read_case
    from coherence.formats.typical import with_typical_values as with_typical_values
    from coherence.graphs.block_model import BlockModel as BlockModel
    from coherence.graphs.families import complete_graph as complete_graph
    from coherence.graphs.families import erdos_renyi_graph as erdos_renyi_graph
    from coherence.graphs.families import lattice_graph as lattice_graph
    from coherence.graphs.families import ring_graph as ring_graph
    from coherence.graphs.families import star_graph as star_graph
    from coherence.graphs.laplacian import kron_reduce as kron_reduce
    from coherence.graphs.partition import Partition as Partition
    from coherence.grids.case import Case as Case
    from coherence.grids.convention import Convention as Convention
    from coherence.grids.equivalent import case_of_network as case_of_network
    from coherence.grids.equivalent import machine_dispatch as machine_dispatch
    from coherence.grids.linearize import linearize as linearize
    from coherence.grids.linearize import machine_nodes as machine_nodes
    from coherence.grids.modes import modes as modes
    from coherence.grids.powerflow import OperatingPoint as OperatingPoint
    from coherence.grids.powerflow import power_flow as power_flow
    from coherence.grids.synchronising import SynchronisingMatrix as SynchronisingMatrix
    from coherence.grids.synchronising import synchronising_matrix as synchronising_matrix
    from coherence.grids.topology import island as island
    from coherence.grids.topology import islands as islands
    from coherence.groups.changes import GroupStability as GroupStability
    from coherence.groups.changes import edge_outages as edge_outages
    from coherence.groups.changes import group_changes as group_changes
    from coherence.groups.changes import inertia_draws as inertia_draws
    from coherence.groups.grouping import Grouping as Grouping
    from coherence.groups.recovery import RecoveryRates as RecoveryRates
    from coherence.groups.recovery import recovery_rates as recovery_rates
    from coherence.groups.spectral import coherent_groups as coherent_groups
    from coherence.groups.spectral import spectral_groups as spectral_groups
    from coherence.network.feedback import ClosedLoop as ClosedLoop
    from coherence.network.files import load_network as load_network
    from coherence.network.files import save_network as save_network
    from coherence.network.modes import Modes as Modes
    from coherence.network.network import Network as Network
    from coherence.nodes.distributions import RandomNodes as RandomNodes
    from coherence.nodes.families import droop_inverter as droop_inverter
    from coherence.nodes.families import integrator as integrator
    from coherence.nodes.families import swing as swing
    from coherence.nodes.families import swing_turbine as swing_turbine
    from coherence.nodes.governors import governor as governor
    from coherence.nodes.nodes import Nodes as Nodes
    from coherence.nodes.nodes import concatenate as concatenate
    from coherence.nodes.responses import from_responses as from_responses
    from coherence.nodes.systems import from_systems as from_systems
    from coherence.numerics.balancing import Band as Band
    from coherence.numerics.rational import Rational as Rational
    from coherence.reduction.aggregate import Aggregation as Aggregation
    from coherence.reduction.aggregate import aggregate as aggregate
    from coherence.reduction.comparison import InterconnectionComparison as InterconnectionComparison
    from coherence.reduction.comparison import compare_interconnections as compare_interconnections
    from coherence.reduction.equivalents import equivalent_generators as equivalent_generators
    from coherence.reduction.fits import Fit as Fit
    from coherence.reduction.fits import fit_generators as fit_generators
    from coherence.reduction.inertial import InertialAggregation as InertialAggregation
    from coherence.reduction.inertial import inertial_aggregation as inertial_aggregation
    from coherence.reduction.inertial import undamped_frequencies as undamped_frequencies
    from coherence.reduction.interconnection import InterconnectionFit as InterconnectionFit
    from coherence.reduction.interconnection import fitted_laplacian as fitted_laplacian
    from coherence.reduction.reading import read_generators as read_generators
    from coherence.reduction.smallest import Reduction as Reduction
    from coherence.reduction.smallest import reduce as reduce
    from coherence.reduction.systems import BalancedSystem as BalancedSystem
    from coherence.reduction.systems import ReducedSystem as ReducedSystem
    from coherence.reduction.systems import balance_system as balance_system
    from coherence.reduction.tradeoff import errors_by_groups as errors_by_groups
    from coherence.reduction.truncate import BalancedNodes as BalancedNodes
    from coherence.reduction.truncate import Truncation as Truncation
    from coherence.reduction.truncate import balance_nodes as balance_nodes
    from coherence.reduction.truncate import truncate as truncate
    from coherence.simulation.a_priori import a_priori_guarantee as a_priori_guarantee
    from coherence.simulation.controls import control_power as control_power
    from coherence.simulation.disturbances import Disturbance as Disturbance
    from coherence.simulation.disturbances import ExponentialApproach as ExponentialApproach
    from coherence.simulation.disturbances import Pulse as Pulse
    from coherence.simulation.disturbances import Ramp as Ramp
    from coherence.simulation.disturbances import Sampled as Sampled
    from coherence.simulation.disturbances import Sinusoid as Sinusoid
    from coherence.simulation.disturbances import Step as Step
    from coherence.simulation.guarantees import Guarantee as Guarantee
    from coherence.simulation.guarantees import deviation_guarantee as deviation_guarantee
    from coherence.simulation.outages import Outage as Outage
    from coherence.simulation.outages import line_outage as line_outage
    from coherence.simulation.outages import unit_outage as unit_outage
    from coherence.simulation.rates import SlowInputs as SlowInputs
    from coherence.simulation.rates import slow_inputs as slow_inputs
    from coherence.simulation.response import Response as Response
    from coherence.simulation.simulate import simulate as simulate
    from coherence.simulation.steady import steady_state as steady_state
    from coherence.studies import Study as Study
    from coherence.studies import study as study
    from coherence.theory.block_networks import CertifiedSize as CertifiedSize
    from coherence.theory.block_networks import certified_size as certified_size
    from coherence.theory.bounds import Bound as Bound
    from coherence.theory.bounds import disc_bound as disc_bound
    from coherence.theory.bounds import hull_bound as hull_bound
    from coherence.theory.bounds import passive_bound as passive_bound
    from coherence.theory.bounds import source_bound as source_bound
    from coherence.theory.certificate import CertifiedError as CertifiedError
    from coherence.theory.certificate import certified_error as certified_error
    from coherence.theory.certificate import relative_errors as relative_errors
    from coherence.theory.coherent import coherent_dynamics as coherent_dynamics
    from coherence.theory.columns import ColumnIncoherence as ColumnIncoherence
    from coherence.theory.columns import column_incoherence as column_incoherence
    from coherence.theory.concentration import Concentration as Concentration
    from coherence.theory.concentration import concentration as concentration
    from coherence.theory.couplings import StableCouplings as StableCouplings
    from coherence.theory.couplings import stable_couplings as stable_couplings
    from coherence.theory.deviations import group_error as group_error
    from coherence.theory.deviations import modal_error as modal_error
    from coherence.theory.frequencies import frequency_grid as frequency_grid
    from coherence.theory.incoherence import Incoherence as Incoherence
    from coherence.theory.incoherence import incoherence as incoherence
    from coherence.theory.limits import Limit as Limit
    from coherence.theory.limits import band_bound as band_bound
    from coherence.theory.limits import connectivity_limit as connectivity_limit
    from coherence.theory.limits import pole_limit as pole_limit
    from coherence.theory.limits import size_limit as size_limit
    from coherence.theory.node_constants import NodeConstants as NodeConstants
    from coherence.theory.node_constants import node_constants as node_constants
    from coherence.theory.passivity import Passivity as Passivity
    from coherence.theory.passivity import passivity as passivity
    from coherence.theory.stability import Stability as Stability
    from coherence.theory.stability import stability as stability
    from coherence.theory.supremum import Supremum as Supremum
    from coherence.theory.supremum import supremum as supremum

_PUBLIC = {
    "coherence.design.placement": ["Placement", "PlacementCheck", "placement"],
    "coherence.design.allocation": ["Allocation"],
    "coherence.design.limits": ["FrequencyLimits", "allocate"],
    "coherence.simulation.controls": ["control_power"],
    "coherence.design.secondary": ["SecondaryControl", "secondary_control"],
    "coherence.design.verification": ["Verification", "verify"],
    "coherence.design.damping": ["ModeDamper", "damp_mode"],
    "coherence.design.robustness": ["SmallGain", "small_gain"],
    "coherence.design.closing": ["add_local", "close_loop"],
    "coherence.design.plant": ["generalized_plant", "plant"],
    "coherence.network.feedback": ["ClosedLoop"],
    "coherence.theory.stability": ["Stability", "stability"],
    "coherence.errors": [
        "CaseError",
        "ClusterError",
        "CoherenceError",
        "DisconnectedError",
        "InputError",
        "InstabilityError",
        "MissingExtraError",
        "PoleError",
        "ToleranceError",
        "UnitsWarning",
        "UnknownNameError",
    ],
    "coherence.numerics.rational": ["Rational"],
    "coherence.nodes.nodes": ["Nodes", "concatenate"],
    "coherence.nodes.families": ["droop_inverter", "integrator", "swing", "swing_turbine"],
    "coherence.nodes.governors": ["governor"],
    "coherence.nodes.systems": ["from_systems"],
    "coherence.nodes.responses": ["from_responses"],
    "coherence.graphs.partition": ["Partition"],
    "coherence.graphs.laplacian": ["kron_reduce"],
    "coherence.network.network": ["Network"],
    "coherence.network.files": ["load_network", "save_network"],
    "coherence.theory.coherent": ["coherent_dynamics"],
    "coherence.theory.bounds": ["Bound", "disc_bound", "hull_bound", "passive_bound", "source_bound"],
    "coherence.theory.incoherence": ["Incoherence", "incoherence"],
    "coherence.theory.columns": ["ColumnIncoherence", "column_incoherence"],
    "coherence.theory.deviations": ["group_error", "modal_error"],
    "coherence.theory.frequencies": ["frequency_grid"],
    "coherence.theory.passivity": ["Passivity", "passivity"],
    "coherence.theory.couplings": ["StableCouplings", "stable_couplings"],
    "coherence.theory.supremum": ["Supremum", "supremum"],
    "coherence.groups.spectral": ["coherent_groups", "spectral_groups"],
    "coherence.groups.grouping": ["Grouping"],
    "coherence.groups.changes": ["GroupStability", "edge_outages", "group_changes", "inertia_draws"],
    "coherence.grids.case": ["Case"],
    "coherence.formats.read": ["load_case", "read_case"],
    "coherence.formats.folder": ["shipped_cases"],
    "coherence.formats.machines": ["add_machines"],
    "coherence.grids.powerflow": ["OperatingPoint", "power_flow"],
    "coherence.grids.linearize": ["linearize", "machine_nodes"],
    "coherence.grids.convention": ["Convention"],
    "coherence.grids.synchronising": ["SynchronisingMatrix", "synchronising_matrix"],
    "coherence.grids.topology": ["island", "islands"],
    "coherence.grids.modes": ["modes"],
    "coherence.network.modes": ["Modes"],
    "coherence.formats.pandapower": ["case_of_pandapower"],
    "coherence.formats.matpower_writer": ["MatpowerFiles", "write_matpower"],
    "coherence.formats.pandapower_json": ["read_pandapower"],
    "coherence.formats.graphs": ["case_of_graph", "network_of_graph"],
    "coherence.formats.typical": ["with_typical_values"],
    "coherence.theory.concentration": ["Concentration", "concentration"],
    "coherence.nodes.distributions": ["RandomNodes"],
    "coherence.graphs.families": ["complete_graph", "erdos_renyi_graph", "lattice_graph", "ring_graph", "star_graph"],
    "coherence.graphs.block_model": ["BlockModel"],
    "coherence.groups.recovery": ["RecoveryRates", "recovery_rates"],
    "coherence.theory.node_constants": ["NodeConstants", "node_constants"],
    "coherence.theory.block_networks": ["CertifiedSize", "certified_size"],
    "coherence.ensembles": ["BlockErrors", "block_errors"],
    "coherence.theory.limits": ["Limit", "band_bound", "connectivity_limit", "pole_limit", "size_limit"],
    "coherence.simulation.disturbances": ["Disturbance", "ExponentialApproach", "Pulse", "Ramp", "Sampled", "Sinusoid", "Step"],
    "coherence.simulation.a_priori": ["a_priori_guarantee"],
    "coherence.simulation.guarantees": ["Guarantee", "deviation_guarantee"],
    "coherence.simulation.rates": ["SlowInputs", "slow_inputs"],
    "coherence.simulation.response": ["Response"],
    "coherence.simulation.steady": ["steady_state"],
    "coherence.simulation.outages": ["Outage", "line_outage", "unit_outage"],
    "coherence.reduction.systems": ["BalancedSystem", "ReducedSystem", "balance_system"],
    "coherence.numerics.balancing": ["Band"],
    "coherence.theory.certificate": ["CertifiedError", "certified_error", "relative_errors"],
    "coherence.reduction.smallest": ["Reduction", "reduce"],
    "coherence.reduction.tradeoff": ["errors_by_groups"],
    "coherence.grids.equivalent": ["case_of_network", "machine_dispatch"],
    "coherence.formats.folder_writer": ["write_case"],
    "coherence.formats.dyr_writer": ["DyrExport", "write_dyr"],
    "coherence.formats.raw_writer": ["write_raw"],
    "coherence.reduction.aggregate": ["Aggregation", "aggregate"],
    "coherence.reduction.comparison": ["InterconnectionComparison", "compare_interconnections"],
    "coherence.reduction.inertial": ["InertialAggregation", "inertial_aggregation", "undamped_frequencies"],
    "coherence.reduction.interconnection": ["InterconnectionFit", "fitted_laplacian"],
    "coherence.reduction.truncate": ["BalancedNodes", "Truncation", "balance_nodes", "truncate"],
    "coherence.reduction.reading": ["read_generators"],
    "coherence.reduction.equivalents": ["equivalent_generators"],
    "coherence.reduction.fits": ["Fit", "fit_generators"],
    "coherence.simulation.simulate": ["simulate"],
    "coherence.compare": ["ResponseDifference", "StepError", "response_difference", "coi_error", "step_error", "step_size"],
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
