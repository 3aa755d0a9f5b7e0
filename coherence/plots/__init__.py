"""Pictures of results: each function returns a matplotlib Figure; save it with `figure.savefig(...)`.

One visual language: the coherent or aggregated motion is black, single nodes are thin in the colour of their group, reduced models
are dashed; where no groups are shown nodes are grey, the center of inertia is blue and the coherent dynamics dashed red upon it;
colours are the colour-blind-safe set of Okabe and Ito; every axis has its unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coherence.plots.alignment import alignment, neurons
from coherence.plots.design import modes_moved, placement, small_gain, within_limits
from coherence.plots.frequency import columns, concentration, incoherence, interconnections, limit
from coherence.plots.graphs import embedding, grid, laplacian, network
from coherence.plots.reduction import errors_by_groups, reduction
from coherence.plots.responses import group_responses, guarantee, hankel, mode_shape, response, response_grid, responses
from coherence.plots.training import imbalance, training
from coherence.studies import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "alignment",
    "columns",
    "concentration",
    "embedding",
    "errors_by_groups",
    "grid",
    "group_responses",
    "guarantee",
    "hankel",
    "imbalance",
    "incoherence",
    "interconnections",
    "laplacian",
    "limit",
    "mode_shape",
    "modes_moved",
    "network",
    "neurons",
    "of_study",
    "placement",
    "reduction",
    "response",
    "response_grid",
    "responses",
    "small_gain",
    "training",
    "within_limits",
]


def of_study(study: Study) -> dict[str, Figure]:
    """Every picture that a study has, by name."""
    name = "network" if study.case is None else study.case.name
    figures = {"responses": responses(study)}
    if any(values.size for values in study.truncation.hankel.values()):
        figures["hankel"] = hankel(study.truncation, title=name)
    if study.incoherence is not None:
        figures["incoherence"] = incoherence(study.incoherence, title=name)
        figures["laplacian"] = laplacian(study.network, study.partition, title=name)
    if study.network.size > 2:
        figures["embedding"] = embedding(study.network, study.partition, title=name)
    if study.partition.k > 1:
        figures["reduced_network"] = network(study.aggregation.network, title=f"{name}: one node per group")
    if study.case is not None and study.case.buses is not None:
        figures["grid"] = grid(study.case, study.partition)
    elif study.network.size > 1:
        figures["network"] = network(study.network, study.partition, title=name)
    return figures
