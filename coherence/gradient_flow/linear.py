r"""Networks that are linear in their input and not in their weights: W = W_1 W_2 ... W_L, or w_1 o w_2 o ... o w_L on the diagonal.

Gradient flow of L = f(W_1 ... W_L) (Lemma 2.6, G1-G4):

    dW_l/dt = -A_l' grad f(W) B_l',   A_l = W_1 ... W_{l-1},   B_l = W_{l+1} ... W_L
    |grad L|^2 = grad f . T grad f,  T E = sum_l A_l A_l' E B_l' B_l  (positive semidefinite; its least eigenvalue sets the rate)
    D_l = W_l'W_l - W_{l+1}W_{l+1}'   is conserved

With two layers the least eigenvalue of T is sigma_n(W_1)^2 + sigma_m(W_2)^2 exactly; from three layers on there is no closed form
(the source's "L > 3" is a misprint of L >= 3). Bounds on it are in `two_layer`, `three_layer` and `deep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.gradient_flow.losses import Loss, finite_matrix
from coherence.gradient_flow.trajectory import Objective
from coherence.types import ArrayLike, Real

DENSE = 400  # rows of T up to which all its eigenvalues are computed


def require_fit(product: Real, loss: Loss) -> None:
    """Refuse a loss of matrices of another shape than the network's product, and one whose gradient has another shape."""
    if not isinstance(loss, Loss):
        raise InputError(f"loss is {loss!r:.60}; give squared_loss(...), exponential_loss(...) or a Loss")
    if tuple(loss.shape) != product.shape:
        raise InputError(
            f"the loss is of {tuple(loss.shape)} matrices and the network's product has shape {product.shape}; they must be equal"
        )
    for name, found, expected in (("gradient", loss.gradient(product), product.shape), ("value", loss.value(product), ())):
        if np.shape(found) != expected:
            raise InputError(
                f"the loss's {name} returned an array of shape {np.shape(found)} for a matrix of shape {product.shape}; "
                f"it must have shape {expected}"
            )


def narrowed_pair(left: Real, right: Real) -> tuple[Real, Real]:
    """W_l, W_{l+1} in as few hidden units as their rows and columns need, with the same products (QR)."""
    if left.shape[1] <= left.shape[0] + right.shape[1]:
        return left, right
    _, triangle = np.linalg.qr(np.hstack([left.T, right]))
    return triangle[:, : left.shape[0]].T, triangle[:, left.shape[0] :]


def imbalance_norm(left: Real, right: Real) -> float:
    """|W_l'W_l - W_{l+1}W_{l+1}'|_F, without a matrix as large as the hidden layer."""
    left, right = narrowed_pair(left, right)
    return float(np.linalg.norm(left.T @ left - right @ right.T))


@dataclass(frozen=True, eq=False, repr=False)
class LinearNetwork(Page):
    """The product W = W_1 W_2 ... W_L of its weights.

    Arora et al. number from the other end, W = W_N ... W_1, W_j (d_j, d_{j-1}): ``LinearNetwork(theirs[::-1])`` is the same product
    with the same imbalances, W_{j+1}'W_{j+1} - W_j W_j' in their numbering.

    Attributes
    ----------
    weights : tuple of L arrays, (h_{l-1}, h_l) each
        h_0 = n, h_L = m. Every inner width is at least min(n, m), so that any W can be reached.

    Raises
    ------
    InputError
        Shapes that do not chain, entries that are not finite, an inner width below min(n, m).

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[2.0, 0.0]], [[0.5], [0.0]]])
    >>> network
    LinearNetwork(widths 1, 2, 1)
    >>> network.product.item(), network.least_tangent_eigenvalue()
    (1.0, 4.25)
    """

    weights: tuple[Real, ...]

    def __init__(self, weights: Sequence[ArrayLike]) -> None:
        if not isinstance(weights, Sequence) and not (isinstance(weights, np.ndarray) and weights.ndim):
            raise InputError(f"weights is {weights!r:.60}; give a list of matrices")
        matrices = tuple(finite_matrix(matrix, f"weights[{number}]") for number, matrix in enumerate(weights))
        if not matrices:
            raise InputError("weights is empty; give at least one matrix")
        for number, (left, right) in enumerate(pairwise(matrices)):
            if left.shape[1] != right.shape[0]:
                raise InputError(
                    f"weights[{number}] has {left.shape[1]} columns and weights[{number + 1}] {right.shape[0]} rows; "
                    "each matrix needs as many rows as the one before has columns"
                )
        object.__setattr__(self, "weights", matrices)
        least = min(self.widths[0], self.widths[-1])
        for number, width in enumerate(self.widths[1:-1], start=1):
            if width < least:
                raise InputError(
                    f"layer {number} has width {width}, below min(n, m) = {least}: not every product can be reached and the theory "
                    "does not apply; widen it"
                )

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.weights)

    @property
    def widths(self) -> tuple[int, ...]:
        """(n, h_1, ..., h_{L-1}, m)."""
        return (self.weights[0].shape[0], *(matrix.shape[1] for matrix in self.weights))

    @property
    def parameters(self) -> tuple[Real, ...]:
        """What training changes."""
        return self.weights

    def replaced(self, parameters: Sequence[ArrayLike]) -> LinearNetwork:
        """The network with other weights of the same shapes."""
        other = LinearNetwork(parameters)
        if other.widths != self.widths:
            raise InputError(f"the new weights have widths {other.widths}, the network {self.widths}; they must be equal")
        return other

    def rescaled(self, factor: float | Sequence[float]) -> LinearNetwork:
        """The network with its weights times one factor, or layer by layer times as many as it has layers."""
        try:
            factors = np.broadcast_to(np.asarray(factor, dtype=float), (self.depth,))
        except (TypeError, ValueError):
            factors = np.full(1, np.nan)
        if not np.isfinite(factors).all():
            raise InputError(f"factor is {factor!r:.60}; give a finite number, or one for each of the {self.depth} layers")
        return LinearNetwork([scale * matrix for scale, matrix in zip(factors, self.weights, strict=True)])

    def narrowed(self) -> LinearNetwork:
        """The network in hidden layers no wider than both neighbours together, which trains the same.

        [W_l' W_{l+1}] = Q [R_1 R_2] (QR) puts R_1' and R_2 in the place of W_l and W_{l+1}. Training never leaves the span of Q, so
        that products, T, losses and the eigenvalues of the imbalances other than zeros are those of the wide network at all
        times, at a cost that does not depend on its width.

        Examples
        --------
        >>> from coherence import gradient_flow as gf
        >>> gf.gaussian((3, 5000, 2), random_state=0).narrowed()
        LinearNetwork(widths 3, 5, 2)
        """
        weights = list(self.weights)
        wide = True
        while wide:
            widths = [matrix.shape for matrix in weights]
            for layer in range(len(weights) - 1):
                weights[layer : layer + 2] = narrowed_pair(*weights[layer : layer + 2])
            wide = [matrix.shape for matrix in weights] != widths
        return LinearNetwork(weights)

    @cached_property
    def product(self) -> Real:
        """W = W_1 ... W_L, (n, m)."""
        return self._before[-1]

    @property
    def imbalances(self) -> tuple[Real, ...]:
        """D_l = W_l'W_l - W_{l+1}W_{l+1}' for l = 1 ... L-1, (h_l, h_l) each; gradient flow conserves them."""
        return tuple(left.T @ left - right @ right.T for left, right in pairwise(self.weights))

    @property
    def imbalance_norms(self) -> tuple[float, ...]:
        """Frobenius norms of the imbalances, at a cost that grows with the width only linearly."""
        return tuple(imbalance_norm(left, right) for left, right in pairwise(self.weights))

    def drift_from(self, start: LinearNetwork) -> float:
        """Largest Frobenius norm of D_l - D_l(start)."""
        layers = zip(pairwise(self.weights), pairwise(start.weights), strict=True)
        # A'A - BB' with A = [W_l; start W_{l+1}'], B = [W_{l+1} start W_l'] is the difference
        return max((imbalance_norm(np.vstack([a, d.T]), np.hstack([b, c.T])) for (a, b), (c, d) in layers), default=0.0)

    def objective(self, loss: Loss) -> Objective:
        """L and its gradient as functions of the weights, which are not checked again at every call."""
        require_fit(self.product, loss)
        return Objective(lambda weights: loss.value(chained(weights)[-1]), lambda weights: layer_gradients(weights, loss))

    def loss(self, loss: Loss) -> float:
        """f(W)."""
        return float(self.objective(loss).value(self.weights))

    def gradient(self, loss: Loss) -> tuple[Real, ...]:
        """A_l' grad f(W) B_l' for each layer."""
        return self.objective(loss).gradient(self.weights)

    @cached_property
    def _before(self) -> list[Real]:
        """W_1, W_1 W_2, ..., W."""
        return chained(self.weights)

    @cached_property
    def _factors(self) -> list[tuple[Real, Real]]:
        """(A_l A_l', B_l'B_l) of each layer."""
        n, m = self.widths[0], self.widths[-1]
        after: list[Real] = [np.eye(m)]
        for matrix in self.weights[:0:-1]:
            after.append(matrix @ after[-1])
        before = [np.eye(n), *self._before[:-1]]
        return [(A @ A.T, B.T @ B) for A, B in zip(before, after[::-1], strict=True)]

    def tangent_matrix(self) -> Real:
        """T as an (nm, nm) matrix on matrices written row by row: sum_l kron(A_l A_l', B_l'B_l)."""
        return np.asarray(sum(np.kron(left, right) for left, right in self._factors))

    def tangent_operator(self) -> LinearOperator:
        """T as an operator on vectors of nm entries (matrices written row by row), without forming it."""
        n, m = self.widths[0], self.widths[-1]

        def apply(vector: Real) -> Real:
            E = vector.reshape(n, m)
            return np.asarray(sum(left @ E @ right for left, right in self._factors)).ravel()

        return LinearOperator((n * m, n * m), matvec=apply, rmatvec=apply, dtype=float)

    def least_tangent_eigenvalue(self) -> float:
        """Return the least eigenvalue of T, >= 0: the loss decays at least at this times gamma at this moment.

        Up to two layers in closed form; deeper by all eigenvalues of T up to 400 rows, by Lanczos beyond.

        Raises
        ------
        ToleranceError
            Lanczos does not converge.
        """
        if self.depth == 1:
            return 1.0
        if self.depth == 2:
            return sum(max(0.0, float(np.linalg.eigvalsh(gram)[0])) for gram in (self._factors[1][0], self._factors[0][1]))
        if self.widths[0] * self.widths[-1] <= DENSE:
            return max(0.0, float(np.linalg.eigvalsh(self.tangent_matrix())[0]))
        start = np.ones(self.widths[0] * self.widths[-1])
        try:
            return max(0.0, float(eigsh(self.tangent_operator(), k=1, which="SA", v0=start, return_eigenvectors=False)[0]))
        except ArpackNoConvergence:
            raise ToleranceError(
                f"Lanczos did not find the least eigenvalue of T ({len(start)} rows); use all those of tangent_matrix()"
            ) from None

    @property
    def facts(self) -> dict[str, str]:
        """Sizes of product and imbalances."""
        sizes = ", ".join(f"{size:.4g}" for size in self.imbalance_norms)
        return {
            "largest singular value of the product": f"{np.linalg.norm(self.product, 2):.4g}",
            "norms of the imbalances": sizes or "none",
        }

    def __repr__(self) -> str:
        return f"LinearNetwork(widths {', '.join(map(str, self.widths))})"


def chained(weights: Sequence[Real]) -> list[Real]:
    """W_1, W_1 W_2, ..., W."""
    products = [weights[0]]
    for matrix in weights[1:]:
        products.append(products[-1] @ matrix)
    return products


def layer_gradients(weights: Sequence[Real], loss: Loss) -> tuple[Real, ...]:
    """A_l' grad f(W) B_l' for weights that are known to chain."""
    before = chained(weights)
    carried: Real = np.asarray(loss.gradient(before[-1]))  # grad f B_l'
    gradients: list[Real] = []
    for number in range(len(weights) - 1, 0, -1):
        gradients.append(before[number - 1].T @ carried)
        carried = carried @ weights[number].T
    gradients.append(carried)
    return tuple(gradients[::-1])


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalNetwork(Page):
    """The entrywise product w = w_1 o w_2 o ... o w_L of vectors: n chains of scalars that share a loss.

    Attributes
    ----------
    factors : (L, n)
        w_l in rows.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.DiagonalNetwork([[1.0, 2.0], [3.0, 0.5]]).product.ravel().tolist()
    [3.0, 1.0]
    """

    factors: Real

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", finite_matrix(self.factors, "factors"))

    @property
    def depth(self) -> int:
        """Number of factors L."""
        return len(self.factors)

    @property
    def product(self) -> Real:
        """W as a matrix of one column, (n, 1)."""
        return np.asarray(self.factors.prod(axis=0))[:, None]

    @property
    def parameters(self) -> tuple[Real, ...]:
        """What training changes."""
        return (self.factors,)

    def replaced(self, parameters: Sequence[ArrayLike]) -> DiagonalNetwork:
        """The network with other factors."""
        return DiagonalNetwork(np.asarray(parameters[0]))

    @property
    def imbalances(self) -> tuple[Real, ...]:
        """w_l^2 - w_{l+1}^2 for l = 1 ... L-1 as diagonal matrices; gradient flow conserves them."""
        squares = self.factors**2
        return tuple(np.diag(squares[number] - squares[number + 1]) for number in range(self.depth - 1))

    def drift_from(self, start: DiagonalNetwork) -> float:
        """Largest difference of any w_l^2 - w_{l+1}^2 to that at the start."""
        change = np.diff(self.factors**2 - start.factors**2, axis=0)
        return float(np.abs(change).max(initial=0.0))

    def objective(self, loss: Loss) -> Objective:
        """L and its gradient as functions of the factors."""
        require_fit(self.product, loss)

        def gradient(parameters: Sequence[Real]) -> tuple[Real, ...]:
            product = parameters[0].prod(axis=0)[:, None]
            return (products_of_others(parameters[0]) * np.ravel(loss.gradient(product)),)

        return Objective(lambda parameters: loss.value(parameters[0].prod(axis=0)[:, None]), gradient)

    def loss(self, loss: Loss) -> float:
        """f(w)."""
        return float(self.objective(loss).value(self.parameters))

    def gradient(self, loss: Loss) -> tuple[Real, ...]:
        """prod_{k != l} w_k times grad f, (L, n)."""
        return self.objective(loss).gradient(self.parameters)

    def least_tangent_eigenvalue(self) -> float:
        """min_i sum_l prod_{k != l} w_{k,i}^2."""
        return float((products_of_others(self.factors) ** 2).sum(axis=0).min())

    def __repr__(self) -> str:
        return f"DiagonalNetwork({self.depth} factors of {self.factors.shape[1]} entries)"


def products_of_others(factors: Real) -> Real:
    """prod_{k != l} w_k for every l, (L, n), without dividing."""
    ones = np.ones((1, factors.shape[1]))
    before = np.cumprod(np.vstack([ones, factors[:-1]]), axis=0)
    after = np.cumprod(np.vstack([ones, factors[:0:-1]]), axis=0)[::-1]
    return np.asarray(before * after)
