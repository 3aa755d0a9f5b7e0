r"""Two-layer networks of rectifiers, f(x) = sum_j v_j max(w_j'x, 0), and their gradients.

With the exponential loss L = sum_i exp(-y_i f(x_i)) and the convention that a rectifier's derivative at 0 is 0, gradient flow is

    dw_j/dt = v_j F_j,   dv_j/dt = w_j'F_j,   F_j = sum_i 1[x_i'w_j > 0] y_i exp(-y_i f(x_i)) x_i

(equation (2.164) of the dissertation, which prints it without its minus sign). |w_j|^2 - v_j^2 is conserved for every neuron; where
it is 0 ("balanced") v_j keeps its sign, and the flow has polar coordinates: see `polar`. What the data decide is in `alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.losses import ExponentialLoss, Loss, finite_matrix, positive
from coherence.gradient_flow.training import positive_integer
from coherence.gradient_flow.trajectory import Objective
from coherence.types import ArrayLike, Real, real_vector

BALANCED = 1e-9  # of the largest |w_j|^2 + v_j^2: larger differences of squares are no rounding


@dataclass(frozen=True, eq=False, repr=False)
class ReLUNetwork(Page):
    """f(x) = sum_j v_j max(w_j'x, 0).

    It trains by `gradient_flow` and `gradient_descent` on an `exponential_loss` like the linear networks. A Runge-Kutta method
    takes the kinks of this loss as they come; `alignment_flow` locates them, and starts at any scale.

    Attributes
    ----------
    W : (D, h)
        Neurons in columns.
    v : (h,)

    Raises
    ------
    InputError
        Shapes that do not fit, entries that are not finite.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.ReLUNetwork([[1.0, -1.0], [0.0, 1.0]], [1.0, -2.0])
    >>> network.predict([[3.0, 1.0], [0.0, 2.0]])
    array([ 3., -4.])
    >>> network.activation_pattern([[3.0, 1.0]])
    array([[ True, False]])
    """

    W: Real
    v: Real

    def __init__(self, W: ArrayLike, v: ArrayLike) -> None:
        matrix, heads = finite_matrix(W, "W"), real_vector(v, "v").copy()
        if heads.shape != matrix.shape[1:]:
            raise InputError(f"W has {matrix.shape[1]} columns and v {heads.size} entries; give one of each per neuron")
        heads.flags.writeable = False
        object.__setattr__(self, "W", matrix)
        object.__setattr__(self, "v", heads)

    @property
    def dimension(self) -> int:
        """D, the length of a sample."""
        return self.W.shape[0]

    @property
    def width(self) -> int:
        """The number h of neurons."""
        return self.W.shape[1]

    @property
    def parameters(self) -> tuple[Real, ...]:
        """W (D, h) and v (h,)."""
        return (self.W, self.v)

    def replaced(self, parameters: Sequence[ArrayLike]) -> ReLUNetwork:
        """The network with other weights."""
        return ReLUNetwork(*parameters)

    @property
    def imbalances(self) -> tuple[Real, ...]:
        """|w_j|^2 - v_j^2 of every neuron, (h,): what gradient flow conserves."""
        return ((self.W**2).sum(axis=0) - self.v**2,)

    def drift_from(self, start: ReLUNetwork) -> float:
        """Largest difference of any |w_j|^2 - v_j^2 to that at the start."""
        return float(np.abs(self.imbalances[0] - start.imbalances[0]).max())

    @property
    def balanced(self) -> bool:
        """Whether |v_j| = |w_j| for every neuron, up to rounding."""
        return bool((np.abs(self.imbalances[0]) <= BALANCED * ((self.W**2).sum(axis=0) + self.v**2).max()).all())

    @property
    def signs(self) -> Real:
        """The sign of every v_j, (h,)."""
        return np.sign(self.v)

    @property
    def stable_rank(self) -> float:
        """|W|_F^2 / |W|_2^2, between 1 and the rank of W; 0 for W = 0."""
        size = np.abs(self.W).max()
        return stable_rank(self.W / size) if size else 0.0

    def predict(self, X: ArrayLike) -> Real:
        """f(x_i) for samples in the rows of X (N, D), shape (N,)."""
        return np.maximum(self.samples(X) @ self.W, 0) @ self.v

    def activation_pattern(self, X: ArrayLike) -> np.ndarray:
        """Which samples activate which neurons, x_i'w_j > 0: (N, h) bool."""
        return self.samples(X) @ self.W > 0

    def loss(self, loss: Loss) -> float:
        """The loss of this network's predictions."""
        return self.objective(loss).value(self.parameters)

    def gradient(self, loss: Loss) -> tuple[Real, ...]:
        """The loss's derivatives by W (D, h) and v (h,), with derivative 0 of a rectifier at 0."""
        return self.objective(loss).gradient(self.parameters)

    def objective(self, loss: Loss) -> Objective:
        """Loss and gradient as functions of W and v."""
        if not isinstance(loss, ExponentialLoss):
            raise InputError(f"{type(loss).__name__} is no loss for a ReLU network; give exponential_loss(X, y, separable=False)")
        X, y, scale = loss.X, loss.y, loss.scale
        self.samples(X)

        def value(parameters: Sequence[Real]) -> float:
            W, v = parameters
            return scale * float(np.exp(-y * (np.maximum(X @ W, 0) @ v)).sum())

        def gradient(parameters: Sequence[Real]) -> tuple[Real, ...]:
            W, v = parameters
            hidden = X @ W
            active = hidden > 0
            hidden *= active
            pull = scale * y * np.exp(-y * (hidden @ v))
            return -(X.T @ (pull[:, None] * active)) * v, -(pull @ hidden)

        return Objective(value, gradient)

    def samples(self, X: ArrayLike) -> Real:
        """Return samples (N, D) that the neurons take."""
        samples = finite_matrix(X, "X")
        if samples.shape[1] != self.dimension:
            raise InputError(f"X has {samples.shape[1]} columns and the neurons have {self.dimension} weights; these must be equal")
        return samples

    @property
    def facts(self) -> dict[str, str]:
        """Signs, sizes and rank."""
        norms = np.linalg.norm(self.W, axis=0)
        return {
            "neurons with v > 0, v < 0": f"{int((self.v > 0).sum())}, {int((self.v < 0).sum())}",
            "norms of neurons": f"{norms.min():.4g} to {norms.max():.4g}",
            "balanced": "yes" if self.balanced else "no",
            "stable rank": f"{self.stable_rank:.4g}",
        }

    def __repr__(self) -> str:
        return f"ReLUNetwork({self.dimension} inputs, {self.width} neurons)"


def balanced_relu(
    dimension: int, width: int, *, scale: float = 1.0, random_state: int | np.random.Generator | None = None
) -> ReLUNetwork:
    """A ReLU network W = scale W_0, v_j = +-|w_j|, with W_0 of independent N(0, 1/D) entries and fair signs.

    Parameters
    ----------
    dimension, width : int
        D and h.
    scale : float
        epsilon of the dissertation's (2.165); scales below 1e-300 exist only as logarithms, see `alignment_flow`.
    random_state : int, numpy Generator or None

    Returns
    -------
    ReLUNetwork

    Raises
    ------
    InputError
        Sizes that are not positive integers, a scale that is not positive.

    References
    ----------
    Equation (2.165) and the remark "Merits of random initialization" in section 2.3.2 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.balanced_relu(3, 8, scale=1e-3, random_state=0)
    >>> network, network.balanced
    (ReLUNetwork(3 inputs, 8 neurons), True)
    """
    D, h = positive_integer(dimension, "dimension"), positive_integer(width, "width")
    rng = np.random.default_rng(random_state)
    W = positive(scale, "scale") * rng.normal(size=(D, h)) / np.sqrt(D)
    return ReLUNetwork(W, rng.choice([-1.0, 1.0], size=h) * np.linalg.norm(W, axis=0))


def stable_rank(W: Real) -> float:
    """|W|_F^2 / |W|_2^2 of a matrix that is not zero."""
    singular = np.linalg.svd(W, compute_uv=False)
    return float((singular**2).sum() / singular[0] ** 2)
