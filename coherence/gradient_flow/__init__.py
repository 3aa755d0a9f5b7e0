"""Training dynamics of linear and two-layer ReLU networks: imbalance, convergence rates, implicit bias, alignment.

Overparametrised networks trained by gradient flow conserve imbalances, and these decide how fast they converge and to which of
the many solutions. This half of the library stands alone: it needs numpy and scipy, and nothing of networks on graphs.

    from coherence import gradient_flow as gf
"""

from coherence.gradient_flow.convergence import Alternative as Alternative
from coherence.gradient_flow.convergence import RateBound as RateBound
from coherence.gradient_flow.convergence import convergence_rate as convergence_rate
from coherence.gradient_flow.convergence import instantaneous_rate as instantaneous_rate
from coherence.gradient_flow.deep import CumulativeImbalance as CumulativeImbalance
from coherence.gradient_flow.deep import cumulative_imbalance as cumulative_imbalance
from coherence.gradient_flow.deep import deep_rate as deep_rate
from coherence.gradient_flow.deep import diagonal_rate as diagonal_rate
from coherence.gradient_flow.deep import table_of_bounds as table_of_bounds
from coherence.gradient_flow.imbalance import ImbalanceSpectrum as ImbalanceSpectrum
from coherence.gradient_flow.imbalance import imbalance_spectrum as imbalance_spectrum
from coherence.gradient_flow.imbalance import margin as margin
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
from coherence.gradient_flow.three_layer import ThreeLayerRate as ThreeLayerRate
from coherence.gradient_flow.three_layer import extremal_weights as extremal_weights
from coherence.gradient_flow.three_layer import three_layer_rate as three_layer_rate
from coherence.gradient_flow.training import gradient_descent as gradient_descent
from coherence.gradient_flow.training import gradient_flow as gradient_flow
from coherence.gradient_flow.trajectory import Trajectory as Trajectory
from coherence.gradient_flow.two_layer import ScalarRate as ScalarRate
from coherence.gradient_flow.two_layer import scalar_rate as scalar_rate
from coherence.gradient_flow.two_layer import two_layer_rate as two_layer_rate

__all__ = [
    "Alternative",
    "CumulativeImbalance",
    "DiagonalNetwork",
    "ExponentialLoss",
    "ImbalanceSpectrum",
    "LinearNetwork",
    "Loss",
    "RateBound",
    "ScalarRate",
    "SquaredLoss",
    "ThreeLayerRate",
    "Trajectory",
    "balanced",
    "convergence_rate",
    "cumulative_imbalance",
    "deep_rate",
    "diagonal_rate",
    "exponential_loss",
    "extremal_weights",
    "gaussian",
    "gradient_descent",
    "gradient_flow",
    "identity",
    "imbalance_spectrum",
    "instantaneous_rate",
    "margin",
    "scalar_rate",
    "spectral",
    "squared_loss",
    "table_of_bounds",
    "three_layer_rate",
    "two_layer_rate",
]
