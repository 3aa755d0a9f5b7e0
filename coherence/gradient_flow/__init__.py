"""Training dynamics of linear and two-layer ReLU networks: imbalance, convergence rates, implicit bias, alignment.

Overparametrised networks trained by gradient flow conserve imbalances, and these decide how fast they converge and to which of
the many solutions. This half of the library stands alone: it needs numpy and scipy, and nothing of networks on graphs.

    from coherence import gradient_flow as gf
"""

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
from coherence.gradient_flow.training import gradient_descent as gradient_descent
from coherence.gradient_flow.training import gradient_flow as gradient_flow
from coherence.gradient_flow.trajectory import Trajectory as Trajectory

__all__ = [
    "DiagonalNetwork",
    "ExponentialLoss",
    "LinearNetwork",
    "Loss",
    "SquaredLoss",
    "Trajectory",
    "balanced",
    "exponential_loss",
    "gaussian",
    "gradient_descent",
    "gradient_flow",
    "identity",
    "spectral",
    "squared_loss",
]
