r"""Linear regression by two layers: what the data see of the weights, and what they leave where it was.

With X = W S Phi_1' (rank r < n), Phi_2 an orthonormal basis of what is orthogonal to the samples, and W_1 = U, W_2 = V',

    U V' = Phi_1 U_1 V' + Phi_2 U_2 V',   U_1 = Phi_1'U,   U_2 = Phi_2'U                     (2.7)-(2.8), (2.40)
    dV/dt = E'S U_1,   dU_1/dt = S E V,   dU_2/dt = 0,   E = W'(Y - X U V')                  (2.11)

so that the first part converges to the least-squares solution of smallest norm Theta^ = X^+ Y and the second to U_2(0)
V(infinity)', which no sample sees. Where V U_2' = 0 and U_1 U_2' = 0 these stay zero and the limit is Theta^ itself (Proposition
2.3). Equation numbers are those of the dissertation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.errors import InputError
from coherence.gradient_flow.linear import LinearNetwork, require_fit
from coherence.gradient_flow.losses import SquaredLoss, finite_matrix, numerical_rank, paired
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real


@dataclass(frozen=True, eq=False)
class Directions:
    """The singular value decomposition X = W S Phi_1' of samples in rows, and its complement.

    Attributes
    ----------
    left : (N, r)
        W.
    singular : (r,)
        The diagonal of S, descending; its squares are the eigenvalues of Sigma_x.
    seen : (n, r)
        Phi_1, the directions of the samples.
    unseen : (n, n - r)
        Phi_2.
    """

    left: Real
    singular: Real
    seen: Real
    unseen: Real

    @property
    def rank(self) -> int:
        """R."""
        return len(self.singular)


def directions(samples: Real) -> Directions:
    """Decompose samples (N, n), of which at least one entry is not zero."""
    left, singular, right = np.linalg.svd(samples, full_matrices=len(samples) < samples.shape[1])
    rank = numerical_rank(singular, samples.shape)
    if rank == 0:
        raise InputError("X is zero; no direction carries data")
    return Directions(left[:, :rank], singular[:rank], right[:rank].T, right[rank:].T)


def minimum_norm_solution(X: ArrayLike, Y: ArrayLike) -> Real:
    r"""Theta^ = X^+ Y, of all least-squares solutions of X Theta = Y the one of smallest norm.

    Parameters
    ----------
    X : (N, n)
        Samples in rows.
    Y : (N, m)
        Targets.

    Returns
    -------
    (n, m) array

    Raises
    ------
    InputError
        Shapes that do not fit, entries that are not finite, X = 0.

    Notes
    -----
    The source writes X'(XX')^{-1} Y for the unique solution of n = r, where XX' is singular as soon as there are more samples than
    inputs; the pseudoinverse holds for every shape and rank. The rank is `numpy.linalg.matrix_rank`'s.

    References
    ----------
    Equation (2.39) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.minimum_norm_solution([[1.0, 1.0]], [[2.0]]).round(12).tolist()
    [[1.0], [1.0]]
    """
    samples, targets = paired(X, Y)
    found = directions(samples)
    return np.asarray((found.seen / found.singular) @ (found.left.T @ targets))


def orthogonality_defect(U: ArrayLike, V: ArrayLike, X: ArrayLike) -> float:
    r"""P = |V U_2'|_F + |U_1 U_2'|_F, the distance of a two-layer network from the set of unbiased training.

    At 0 training ends at the least-squares solution of smallest norm. While it lasts P grows at most as
    exp(sigma_1(X) times the integral of |E|_F) (2.53).

    Parameters
    ----------
    U : (n, h)
        The first layer W_1.
    V : (m, h)
        The second layer transposed, W_2'.
    X : (N, n)
        Samples in rows.

    Returns
    -------
    float

    Raises
    ------
    InputError
        Shapes that do not chain, entries that are not finite, X = 0.

    References
    ----------
    Equations (2.43), (2.51)-(2.53) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.orthogonality_defect([[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0]], [[1.0, 0.0]])
    0.0
    """
    first, second, split = _layers(U, V, X)
    hidden = split.unseen.T @ first
    return float(np.linalg.norm(second @ hidden.T) + np.linalg.norm(split.seen.T @ first @ hidden.T))


def project_orthogonal(U: ArrayLike, V: ArrayLike, X: ArrayLike) -> Real:
    r"""Return the first layer nearest to U from which training ends at the least-squares solution of smallest norm.

    V and U_1 are kept, the rows of U_2 are projected off the rows of both: U_2 <- U_2 (I - Z^+ Z) with Z = [V; U_1]. Of all U_2
    with V U_2' = 0 and U_1 U_2' = 0 it is the nearest. What the network computes on the samples does not change.

    Parameters
    ----------
    U : (n, h)
        The first layer W_1.
    V : (m, h)
        The second layer transposed, W_2'.
    X : (N, n)
        Samples in rows.

    Returns
    -------
    (n, h) array

    Raises
    ------
    InputError
        Shapes that do not chain, entries that are not finite, X = 0.

    Notes
    -----
    V U_2' = 0 alone, which makes U V' start in the span of the samples, is not enough: V moves by U_1.

    References
    ----------
    Proposition 2.3 of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> U, V, X = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]], [[1.0, 0.0]]
    >>> gf.project_orthogonal(U, V, X).round(12).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    first, second, split = _layers(U, V, X)
    hidden = split.unseen.T @ first
    _, singular, right = np.linalg.svd(np.vstack([second, split.seen.T @ first]), full_matrices=False)
    rows = right[: numerical_rank(singular, right.shape)]
    return first - split.unseen @ (hidden @ rows.T @ rows)


def limit_of_product(U: ArrayLike, V_limit: ArrayLike, X: ArrayLike, Y: ArrayLike) -> Real:
    r"""Theta^ + Phi_2 U_2(0) V(infinity)', where the product ends whose second layer ends at V_limit'.

    Parameters
    ----------
    U : (n, h)
        The first layer at any time: what the samples do not see of it never moves.
    V_limit : (m, h)
        The second layer in the limit, transposed.
    X : (N, n)
        Samples in rows.
    Y : (N, m)
        Targets.

    Returns
    -------
    (n, m) array

    References
    ----------
    Equation (2.41) of the dissertation.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.limit_of_product([[1.0], [0.5]], [[2.0]], [[1.0, 0.0]], [[2.0]]).tolist()
    [[2.0], [1.0]]
    """
    first, second, split = _layers(U, V_limit, X)
    return minimum_norm_solution(X, Y) + split.unseen @ (split.unseen.T @ first @ second.T)


def balanced_regression(
    product: ArrayLike, X: ArrayLike, width: int, *, random_state: int | np.random.Generator | None = None
) -> LinearNetwork:
    r"""Return two layers with a given product Theta that are balanced as the samples see them: U_1'U_1 = V'V.

        U = Theta M^{-1/4} Q',   V = M^{1/4} Q',   M = Theta' Phi_1 Phi_1' Theta,   Q'Q = I_m

    Parameters
    ----------
    product : (n, m)
        Theta, of which the samples see m independent columns.
    X : (N, n)
        Samples in rows.
    width : int
        h >= m.
    random_state : int or Generator, optional
        Draws Q (h, m), which changes nothing of the product's training.

    Returns
    -------
    LinearNetwork
        W_1 = U, W_2 = V'.

    Raises
    ------
    InputError
        A width that is no whole number or below m, or a product that is rank deficient on the samples.

    Notes
    -----
    The sources print V = M^{1/4} Q, whose shapes do not chain: Q is (h, m), so it has to be Q' there as in U.

    References
    ----------
    Section 2.1.5 of the dissertation, A.2 of the two-layer paper.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import gradient_flow as gf
    >>> network = gf.balanced_regression([[1.0], [2.0]], [[1.0, 0.0]], 3, random_state=0)
    >>> network.product.round(12).tolist()
    [[1.0], [2.0]]
    >>> bool(np.isclose(np.linalg.norm(network.weights[0][0]), np.linalg.norm(network.weights[1])))
    True
    """
    theta, samples = finite_matrix(product, "product"), finite_matrix(X, "X")
    if samples.shape[1] != len(theta):
        raise InputError(f"X has {samples.shape[1]} columns and the product {len(theta)} rows; they must be equal")
    m, width = theta.shape[1], positive_integer(width, "width")
    if width < m:
        raise InputError(f"width is {width}, below m = {m}; two layers of that product need at least {m} neurons")
    part = directions(samples).seen.T @ theta
    _, singular, right = np.linalg.svd(part, full_matrices=False)
    if numerical_rank(singular, part.shape) < m:
        raise InputError(f"the samples see fewer than {m} independent columns of the product; balanced layers with it do not exist")
    basis = np.linalg.qr(np.random.default_rng(random_state).standard_normal((width, m)))[0]
    root = (right.T * np.sqrt(singular)) @ right  # M^{1/4}
    inverse = (right.T / np.sqrt(singular)) @ right
    return LinearNetwork([theta @ inverse @ basis.T, (root @ basis.T).T])


def two_layers(network: LinearNetwork, loss: SquaredLoss) -> tuple[Real, Real]:
    """U and V of a two-layer network that fits a squared loss."""
    if not isinstance(loss, SquaredLoss):
        raise InputError(f"the loss is {loss!r}; this theory is of squared losses, made by squared_loss")
    if network.depth != 2:
        raise InputError(f"the network has {network.depth} layers; this theory is of two")
    require_fit(network.product, loss)
    return network.weights[0], network.weights[1].T


def _layers(U: ArrayLike, V: ArrayLike, X: ArrayLike) -> tuple[Real, Real, Directions]:
    first, second, samples = finite_matrix(U, "U"), finite_matrix(V, "V"), finite_matrix(X, "X")
    if first.shape[1] != second.shape[1]:
        raise InputError(f"U has {first.shape[1]} columns and V {second.shape[1]}; both need one per hidden neuron")
    if samples.shape[1] != len(first):
        raise InputError(f"X has {samples.shape[1]} columns and U {len(first)} rows; both need one per input")
    return first, second, directions(samples)
