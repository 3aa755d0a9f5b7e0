"""Training dynamics of linear and two-layer ReLU networks: imbalance, convergence rates, implicit bias, alignment.

Overparametrised networks trained by gradient flow conserve imbalances, and these decide how fast they converge and to which of
the many solutions. This half of the library stands alone: it needs numpy and scipy, and nothing of networks on graphs.

    from coherence import gradient_flow as gf
"""

from coherence.gradient_flow.alignment import AlignmentConstants as AlignmentConstants
from coherence.gradient_flow.alignment import EarlyPhase as EarlyPhase
from coherence.gradient_flow.alignment import alignment_constants as alignment_constants
from coherence.gradient_flow.alignment import alignment_time_bound as alignment_time_bound
from coherence.gradient_flow.alignment import cones as cones
from coherence.gradient_flow.alignment import data_separation as data_separation
from coherence.gradient_flow.alignment import early_phase as early_phase
from coherence.gradient_flow.alignment import log_scale_bound as log_scale_bound
from coherence.gradient_flow.fitting import fit_time_bound as fit_time_bound
from coherence.gradient_flow.fitting import fitted_loss_bound as fitted_loss_bound
from coherence.gradient_flow.fitting import low_rank_slack as low_rank_slack
from coherence.gradient_flow.initialisations import balanced as balanced
from coherence.gradient_flow.initialisations import gaussian as gaussian
from coherence.gradient_flow.initialisations import identity as identity
from coherence.gradient_flow.initialisations import spectral as spectral
from coherence.gradient_flow.linear import DiagonalNetwork as DiagonalNetwork
from coherence.gradient_flow.linear import LinearNetwork as LinearNetwork
from coherence.gradient_flow.losses import ExponentialLoss as ExponentialLoss
from coherence.gradient_flow.losses import Loss as Loss
from coherence.gradient_flow.losses import SquaredLoss as SquaredLoss
from coherence.gradient_flow.losses import exponential_loss as exponential_loss
from coherence.gradient_flow.losses import squared_loss as squared_loss
from coherence.gradient_flow.polar import AlignmentFlow as AlignmentFlow
from coherence.gradient_flow.polar import alignment_flow as alignment_flow
from coherence.gradient_flow.relu import ReLUNetwork as ReLUNetwork
from coherence.gradient_flow.relu import balanced_relu as balanced_relu
from coherence.gradient_flow.training import gradient_descent as gradient_descent
from coherence.gradient_flow.training import gradient_flow as gradient_flow
from coherence.gradient_flow.trajectory import Trajectory as Trajectory
from coherence.gradient_flow.vanishing import AlignmentLimit as AlignmentLimit
from coherence.gradient_flow.vanishing import alignment_limit as alignment_limit

__all__ = [
    "AlignmentConstants",
    "AlignmentFlow",
    "AlignmentLimit",
    "DiagonalNetwork",
    "EarlyPhase",
    "ExponentialLoss",
    "LinearNetwork",
    "Loss",
    "ReLUNetwork",
    "SquaredLoss",
    "Trajectory",
    "alignment_constants",
    "alignment_flow",
    "alignment_limit",
    "alignment_time_bound",
    "balanced",
    "balanced_relu",
    "cones",
    "data_separation",
    "early_phase",
    "exponential_loss",
    "fit_time_bound",
    "fitted_loss_bound",
    "gaussian",
    "gradient_descent",
    "gradient_flow",
    "identity",
    "log_scale_bound",
    "low_rank_slack",
    "spectral",
    "squared_loss",
]
