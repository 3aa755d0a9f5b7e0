r"""Two-layer regression at any width: training through inner products of the weights alone.

Gradient flow and descent multiply Z = [V; U_1] from the left by what depends on products of its rows only (2.83), (2.88):

    flow      dZ/dt = A Z,            A = [[0, E'S], [S E, 0]],  E = W'Y - S U_1 V'
    descent   Z <- (I + eta A) Z,     and U_2 never moves

so that G = ZZ' and C = Z U_2' obey dG/dt = AG + GA, dC/dt = AC, or G <- (I + eta A) G (I + eta A), C <- (I + eta A) C, whatever
the width h. Any Z with the same G and C has the same products. The narrowest has min(h, m + r) columns: with Z' = Q R it is R',
and U_2 Q in place of U_2. Training that network costs what its m + r columns cost, exactly as wide as one likes.

`LinearNetwork.narrowed` does it for any depth and loss, in n + m columns; here only what the samples see counts, r <= N of n.
For Gaussian weights R' is the Bartlett factor of a Wishart matrix and U_2 Q is Gaussian again, so that a network of width 10^12 is
drawn in m + r columns as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.linear import LinearNetwork
from coherence.gradient_flow.losses import Loss, SquaredLoss, positive
from coherence.gradient_flow.regression import Directions, directions, two_layers
from coherence.gradient_flow.training import positive_integer
from coherence.gradient_flow.trajectory import Objective
from coherence.types import ArrayLike, Real


@dataclass(frozen=True, eq=False, repr=False)
class GramNetwork(Page):
    """A two-layer network on given samples, in as few columns as its products need; see `gram_network` and `gaussian_gram`.

    `gradient_flow` and `gradient_descent` train it like any network; losses, products and distances are the wide network's.

    Attributes
    ----------
    second : (m, k)
        V, in k = min(h, m + r) columns.
    first : (r, k)
        U_1 = Phi_1'U, what the samples see of the first layer.
    hidden : (n - r, k)
        U_2 = Phi_2'U, which training never moves, as far as it meets the rows of V and U_1.
    width : int
        h, of the network it stands for.
    split : Directions
        Singular vectors and values of the samples.
    problem : SquaredLoss
        The loss whose samples these are.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0], [2.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    >>> network = gf.gaussian_gram(loss, 10**9, random_state=0)
    >>> network
    GramNetwork(width 1000000000 in 3 columns)
    >>> trained = gf.gradient_descent(network, loss, 0.1, 200).final
    >>> bool(trained.distance < 1e-4)
    True
    """

    second: Real
    first: Real
    hidden: Real
    width: int
    split: Directions
    problem: SquaredLoss

    @property
    def parameters(self) -> tuple[Real, ...]:
        """What training changes: U_1 and V."""
        return self.first, self.second

    def replaced(self, parameters: Sequence[ArrayLike]) -> GramNetwork:
        """The network with other U_1 and V of the same shapes."""
        first, second = (np.asarray(array, dtype=float) for array in parameters)
        if first.shape != self.first.shape or second.shape != self.second.shape:
            raise InputError(
                f"the new parameters have shapes {first.shape}, {second.shape}; {self.first.shape}, {self.second.shape} are needed"
            )
        return replace(self, first=first, second=second)

    def objective(self, loss: Loss) -> Objective:
        """L and its gradient as functions of U_1 and V."""
        if not isinstance(loss, SquaredLoss) or not (loss.X is self.problem.X or np.array_equal(loss.X, self.problem.X)):
            raise InputError("the loss has other samples than the network was reduced to; reduce the wide network with that loss")
        singular, targets, factor = self.split.singular[:, None], self.split.left.T @ loss.Y, 2 * loss.scale

        def value(parameters: Sequence[Real]) -> float:
            first, second = parameters
            return loss.scale * float(np.sum((targets - singular * (first @ second.T)) ** 2)) + loss.minimum

        def gradient(parameters: Sequence[Real]) -> tuple[Real, ...]:
            first, second = parameters
            pull = (factor * singular) * (singular * (first @ second.T) - targets)
            return pull @ second, pull.T @ first

        return Objective(value, gradient)

    def loss(self, loss: Loss) -> float:
        """The wide network's loss."""
        return float(self.objective(loss).value(self.parameters))

    def gradient(self, loss: Loss) -> tuple[Real, ...]:
        """Derivatives by U_1 and V."""
        return self.objective(loss).gradient(self.parameters)

    @property
    def imbalances(self) -> tuple[Real, ...]:
        """U_1'U_1 - V'V on the k columns: the eigenvalues of the wide one that are not zero; gradient flow conserves it."""
        return (self.first.T @ self.first - self.second.T @ self.second,)

    def drift_from(self, start: GramNetwork) -> float:
        """Frobenius norm of the imbalance's difference to that at the start."""
        return float(np.linalg.norm(self.imbalances[0] - start.imbalances[0]))

    @property
    def product(self) -> Real:
        """U V', (n, m)."""
        return self.split.seen @ (self.first @ self.second.T) + self.split.unseen @ (self.hidden @ self.second.T)

    @property
    def unseen(self) -> float:
        """|U_2 V'|_F, the part of the product that no sample sees."""
        return float(np.linalg.norm(self.hidden @ self.second.T))

    @property
    def distance(self) -> float:
        """|U V' - Theta^|_F from the least-squares solution of smallest norm."""
        best = (self.split.left.T @ self.problem.Y) / self.split.singular[:, None]
        return float(np.hypot(np.linalg.norm(self.first @ self.second.T - best), self.unseen))

    @property
    def defect(self) -> float:
        """P = |V U_2'|_F + |U_1 U_2'|_F; see `orthogonality_defect`."""
        return self.unseen + float(np.linalg.norm(self.hidden @ self.first.T))

    def narrow(self) -> LinearNetwork:
        """Return a network of k hidden neurons whose product trains exactly like the wide one's."""
        return LinearNetwork([self.split.seen @ self.first + self.split.unseen @ self.hidden, self.second.T])

    @property
    def facts(self) -> dict[str, str]:
        """Where the network stands."""
        return {
            "distance from the solution of smallest norm": f"{self.distance:.4g}",
            "part of the product that no sample sees": f"{self.unseen:.4g}",
            "defect of orthogonality": f"{self.defect:.4g}",
        }

    def __repr__(self) -> str:
        return f"GramNetwork(width {self.width} in {self.second.shape[1]} columns)"


def gram_network(network: LinearNetwork, loss: SquaredLoss) -> GramNetwork:
    """Return the network in as few columns as its products on the samples need, min(h, m + r).

    Parameters
    ----------
    network : LinearNetwork
        Of two layers, W_1 = U and W_2 = V'.
    loss : SquaredLoss
        Made by `squared_loss`; its samples decide what is seen.

    Returns
    -------
    GramNetwork

    Raises
    ------
    InputError
        Not two layers, another loss than a squared one, shapes that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> draw = np.random.default_rng(0).standard_normal
    >>> loss = gf.squared_loss(draw((2, 1)), draw((2, 3)))
    >>> network = gf.LinearNetwork([0.01 * draw((3, 10_000)), 0.01 * draw((10_000, 1))])
    >>> small = gf.gram_network(network, loss)
    >>> small
    GramNetwork(width 10000 in 3 columns)
    >>> bool(np.allclose(small.product, network.product, atol=1e-14))
    True
    """
    first, second = two_layers(network, loss)
    split = directions(loss.X)
    # `narrowed_pair` keeps the triangle only; U_2 goes into the basis itself, which then has m + r columns and not m + n
    basis, triangle = np.linalg.qr(np.vstack([second, split.seen.T @ first]).T)
    m = len(second)
    hidden = split.unseen.T @ (first @ basis)
    return GramNetwork(triangle.T[:m], triangle.T[m:], hidden, first.shape[1], split, loss)


def gaussian_gram(
    loss: SquaredLoss,
    width: int,
    *,
    alpha: float = 0.5,
    std: float | None = None,
    random_state: int | np.random.Generator | None = None,
) -> GramNetwork:
    r"""Draw a network whose weights are independent N(0, h^{-2 alpha}), without drawing its h columns.

    The law of products and their training is that of the wide network, exactly; the time and memory are those of m + r columns.

    Parameters
    ----------
    loss : SquaredLoss
        Samples and targets.
    width : int
        h >= min(n, m), up to 2^53.
    alpha : float
        Standard deviation h^{-alpha}; 1/2 in the theory of wide networks, down to 1/4.
    std : float, optional
        Standard deviation, in place of alpha.
    random_state : int or Generator, optional

    Returns
    -------
    GramNetwork

    Raises
    ------
    InputError
        A width that is no whole number or below min(n, m), alpha or std that give no deviation, another loss than a squared one.

    Notes
    -----
    Z is (m + r, h) Gaussian, so Z = L Q with L lower triangular, L_ii^2 chi-square of h + 1 - i degrees of freedom (i from 1),
    the entries below standard normal (Bartlett), and Q independent of L with orthonormal rows; U_2 Q' is then standard normal and
    independent of both.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0]], [[1.0, 0.0]])
    >>> wide, wider = (gf.gaussian_gram(loss, width, random_state=1) for width in (10**4, 10**12))
    >>> 5e3 < wide.unseen / wider.unseen < 2e4
    True
    """
    if not isinstance(loss, SquaredLoss):
        raise InputError(f"the loss is {loss!r}; this theory is of squared losses, made by squared_loss")
    n, m = loss.shape
    width = positive_integer(width, "width")
    if not min(n, m) <= width <= 2**53:
        raise InputError(f"width is {width}; give a whole number from min(n, m) = {min(n, m)} to 2**53")
    deviation = _deviation(width, alpha) if std is None else positive(std, "std")
    split, rng = directions(loss.X), np.random.default_rng(random_state)
    rows = m + split.rank
    columns = min(rows, width)
    stacked = rng.standard_normal((rows, columns))
    if columns == rows:
        stacked = np.tril(stacked, -1)
        stacked[np.diag_indices(rows)] = np.sqrt(rng.chisquare(float(width) - np.arange(rows)))
    hidden = rng.standard_normal((n - split.rank, columns))
    return GramNetwork(deviation * stacked[:m], deviation * stacked[m:], deviation * hidden, width, split, loss)


def _deviation(width: int, alpha: float) -> float:
    """h^{-alpha}, or say why there is none."""
    try:
        exponent = float(alpha)
        found = float(width) ** -exponent if np.isfinite(exponent) else np.nan  # 1^{-nan} would be 1
    except (TypeError, ValueError, OverflowError):
        found = np.nan
    if not 0 < found < np.inf:
        raise InputError(f"alpha is {alpha!s:.60}; give a number for which {width:g}^-alpha is positive and finite")
    return found
