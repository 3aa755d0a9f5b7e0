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
from coherence.gradient_flow.certificate_probabilities import RandomStart as RandomStart
from coherence.gradient_flow.certificate_probabilities import balance_probability as balance_probability
from coherence.gradient_flow.certificate_probabilities import cap_area as cap_area
from coherence.gradient_flow.certificate_probabilities import cap_area_bound as cap_area_bound
from coherence.gradient_flow.certificate_probabilities import certify_random_start as certify_random_start
from coherence.gradient_flow.convergence import Alternative as Alternative
from coherence.gradient_flow.convergence import RateBound as RateBound
from coherence.gradient_flow.convergence import convergence_rate as convergence_rate
from coherence.gradient_flow.convergence import instantaneous_rate as instantaneous_rate
from coherence.gradient_flow.deep import CumulativeImbalance as CumulativeImbalance
from coherence.gradient_flow.deep import cumulative_imbalance as cumulative_imbalance
from coherence.gradient_flow.deep import deep_rate as deep_rate
from coherence.gradient_flow.deep import diagonal_rate as diagonal_rate
from coherence.gradient_flow.deep import table_of_bounds as table_of_bounds
from coherence.gradient_flow.descent_certificate import DescentCertificate as DescentCertificate
from coherence.gradient_flow.descent_certificate import certify_descent as certify_descent
from coherence.gradient_flow.descent_certificate import end_layer_bound as end_layer_bound
from coherence.gradient_flow.descent_failures import identity_descent as identity_descent
from coherence.gradient_flow.descent_failures import unbalanced_failure as unbalanced_failure
from coherence.gradient_flow.fitting import fit_time_bound as fit_time_bound
from coherence.gradient_flow.fitting import fitted_loss_bound as fitted_loss_bound
from coherence.gradient_flow.fitting import low_rank_slack as low_rank_slack
from coherence.gradient_flow.gram import GramNetwork as GramNetwork
from coherence.gradient_flow.gram import gaussian_gram as gaussian_gram
from coherence.gradient_flow.gram import gram_network as gram_network
from coherence.gradient_flow.imbalance import ImbalanceSpectrum as ImbalanceSpectrum
from coherence.gradient_flow.imbalance import imbalance_spectrum as imbalance_spectrum
from coherence.gradient_flow.imbalance import margin as margin
from coherence.gradient_flow.implicit_bias import BiasOfWeights as BiasOfWeights
from coherence.gradient_flow.implicit_bias import NTKForm as NTKForm
from coherence.gradient_flow.implicit_bias import WideBias as WideBias
from coherence.gradient_flow.implicit_bias import bias_of_weights as bias_of_weights
from coherence.gradient_flow.implicit_bias import implicit_bias_bound as implicit_bias_bound
from coherence.gradient_flow.implicit_bias import ntk_form as ntk_form
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
from coherence.gradient_flow.regression import balanced_regression as balanced_regression
from coherence.gradient_flow.regression import limit_of_product as limit_of_product
from coherence.gradient_flow.regression import minimum_norm_solution as minimum_norm_solution
from coherence.gradient_flow.regression import orthogonality_defect as orthogonality_defect
from coherence.gradient_flow.regression import project_orthogonal as project_orthogonal
from coherence.gradient_flow.relu import ReLUNetwork as ReLUNetwork
from coherence.gradient_flow.relu import balanced_relu as balanced_relu
from coherence.gradient_flow.three_layer import ThreeLayerRate as ThreeLayerRate
from coherence.gradient_flow.three_layer import extremal_weights as extremal_weights
from coherence.gradient_flow.three_layer import three_layer_rate as three_layer_rate
from coherence.gradient_flow.training import gradient_descent as gradient_descent
from coherence.gradient_flow.training import gradient_flow as gradient_flow
from coherence.gradient_flow.trajectory import Trajectory as Trajectory
from coherence.gradient_flow.two_layer import ScalarRate as ScalarRate
from coherence.gradient_flow.two_layer import scalar_rate as scalar_rate
from coherence.gradient_flow.two_layer import two_layer_rate as two_layer_rate
from coherence.gradient_flow.vanishing import AlignmentLimit as AlignmentLimit
from coherence.gradient_flow.vanishing import alignment_limit as alignment_limit
from coherence.gradient_flow.wide_networks import WidthStudy as WidthStudy
from coherence.gradient_flow.wide_networks import bias_over_width as bias_over_width

__all__ = [
    "AlignmentConstants",
    "AlignmentFlow",
    "AlignmentLimit",
    "Alternative",
    "BiasOfWeights",
    "CumulativeImbalance",
    "DescentCertificate",
    "DiagonalNetwork",
    "EarlyPhase",
    "ExponentialLoss",
    "GramNetwork",
    "ImbalanceSpectrum",
    "LinearNetwork",
    "Loss",
    "NTKForm",
    "RandomStart",
    "RateBound",
    "ReLUNetwork",
    "ScalarRate",
    "SquaredLoss",
    "ThreeLayerRate",
    "Trajectory",
    "WideBias",
    "WidthStudy",
    "alignment_constants",
    "alignment_flow",
    "alignment_limit",
    "alignment_time_bound",
    "balance_probability",
    "balanced",
    "balanced_regression",
    "balanced_relu",
    "bias_of_weights",
    "bias_over_width",
    "cap_area",
    "cap_area_bound",
    "certify_descent",
    "certify_random_start",
    "cones",
    "convergence_rate",
    "cumulative_imbalance",
    "data_separation",
    "deep_rate",
    "diagonal_rate",
    "early_phase",
    "end_layer_bound",
    "exponential_loss",
    "extremal_weights",
    "fit_time_bound",
    "fitted_loss_bound",
    "gaussian",
    "gaussian_gram",
    "gradient_descent",
    "gradient_flow",
    "gram_network",
    "identity",
    "identity_descent",
    "imbalance_spectrum",
    "implicit_bias_bound",
    "instantaneous_rate",
    "limit_of_product",
    "log_scale_bound",
    "low_rank_slack",
    "margin",
    "minimum_norm_solution",
    "ntk_form",
    "orthogonality_defect",
    "project_orthogonal",
    "scalar_rate",
    "spectral",
    "squared_loss",
    "table_of_bounds",
    "three_layer_rate",
    "two_layer_rate",
    "unbalanced_failure",
]
