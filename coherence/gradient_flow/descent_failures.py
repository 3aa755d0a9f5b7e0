r"""Starts from which gradient descent of deep linear networks fails: what the certificate's two conditions are for.

Without balance (Claim 4): scalars A c^{1/N} for one half of the layers and c^{1/N}/A for the other have the product c next to the
target 1, and for A large enough the first step throws all of them beyond 2 and the others explode. Without margin (Claim 5): from
the identity an even number of layers of a symmetric target with the eigenvalue -lam never comes below the loss lam^2/2, though
perfectly balanced.
"""

from __future__ import annotations

import numpy as np

from coherence.errors import InputError, InstabilityError
from coherence.gradient_flow.linear import LinearNetwork
from coherence.gradient_flow.losses import finite_matrix, positive
from coherence.gradient_flow.training import positive_integer
from coherence.types import ArrayLike, Real

CONSTANTS = ("corrected", "paper")


def unbalanced_failure(
    step_size: float, *, depth: int = 2, margin: float = 0.9, size: int = 1, constant: str = "corrected"
) -> LinearNetwork:
    r"""Return weights with a deficiency margin from which descent with this step size diverges (Claim 4).

    Diagonal weights whose first entries are A c^{1/N} in the first N/2 layers and c^{1/N}/A in the others, the rest ones; the
    target is the identity. After one step all first entries lie in [B, C], and then |w(t+1)| >= 9 C(t) with signs that alternate:

        A >= sqrt(eta N),   B = k A >= 2,   eta B^{2N-1} >= 20 C,
        k = min{1/2, eta (1 - c) c^{(N-1)/N}},   C = max(eta, 1) A

    Parameters
    ----------
    step_size : float
        eta; there is such a start for each.
    depth : int
        N, even.
    margin : float
        c in [3/4, 1). A start of margin c has every smaller one.
    size : int
        Rows and columns of every matrix.
    constant : {"corrected", "paper"}
        A as above, or the source's (50).

    Returns
    -------
    LinearNetwork
        To be trained on ``squared_loss(np.eye(size))``.

    Raises
    ------
    InputError
        An odd depth, a margin out of range, an unknown constant.

    Notes
    -----
    The proof bounds the entries after one step by B = min(eta, 1) A/10, from eta (1 - c) c^{(N-1)/N} A >= 3 eta A/16, which drops
    the factor 1 - c the wrong way: at c = 0.99, eta = 0.1 and N = 2 they are 14.07 and B is 141. With (50) descent diverges
    all the same in every case tried; with the corrected constant the induction holds. "W_j(1) <= A for N/2 < j <= N" is meant for
    1 <= j <= N/2.

    References
    ----------
    Claim 4 and Appendix D.6, (50)-(51), of Arora et al.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> start = gf.unbalanced_failure(0.1, margin=0.9)
    >>> round(start.product.item(), 12)
    0.9
    >>> try:
    ...     gf.gradient_descent(start, gf.squared_loss([[1.0]]), 0.1, 10, record_every=1)
    ... except ValueError as error:
    ...     print(str(error)[:36])
    gradient descent diverged at step 1
    """
    eta, count, rows = positive(step_size, "step_size"), positive_integer(depth, "depth"), positive_integer(size, "size")
    if count % 2:
        raise InputError(f"depth is {count}; the construction needs an even number of layers")
    if not 0.75 <= margin < 1:
        raise InputError(f"margin is {margin}; give 3/4 <= margin < 1 (a start of larger margin has every smaller one)")
    if constant not in CONSTANTS:
        raise InputError(f"constant is {constant!r}; give one of {', '.join(CONSTANTS)}")
    A = first_factor(eta, count, margin, constant)
    root = margin ** (1 / count)
    weights = [np.eye(rows) for _ in range(count)]
    for number, matrix in enumerate(weights):
        matrix[0, 0] = A * root if number < count // 2 else root / A
    return LinearNetwork(weights)


def first_factor(eta: float, depth: int, margin: float, constant: str) -> float:
    """A of `unbalanced_failure`."""
    thrown = eta * (1 - margin) * margin ** ((depth - 1) / depth)
    if constant == "paper":
        last = (20 * 10 ** (2 * depth - 1) / eta ** (2 * depth)) ** (1 / (2 * depth - 2))
        return float(max(np.sqrt(eta * depth), 2 / thrown, 2000.0, 20 / eta, last))
    k = min(0.5, thrown)
    last = (20 * max(eta, 1.0) / (eta * k ** (2 * depth - 1))) ** (1 / (2 * depth - 2))
    return float(max(np.sqrt(eta * depth), 2 / k, 2.0, last))


def identity_descent(target: ArrayLike, depth: int, step_size: float, steps: int) -> tuple[Real, Real]:
    r"""Descend from identity layers to a symmetric target, exactly as it would be without rounding (Claim 5).

        Phi = Q diag(lam) Q',  W_l(t) = Q diag(d(t)) Q' for every l,   d_i <- d_i - eta (d_i^N - lam_i) d_i^{N-1}

    Parameters
    ----------
    target : (n, n)
        Symmetric.
    depth : int
        N.
    step_size : float
        eta.
    steps : int

    Returns
    -------
    d : (steps + 1, n) array
        Eigenvalues of every layer, in the order of the target's ascending ones.
    losses : (steps + 1,) array
        |W - Phi|_F^2/2, for even N at least lam^2/2 where -lam < 0 is an eigenvalue of the target.

    Raises
    ------
    InputError
        A target that is not symmetric, or too large for its loss to be a float.
    InstabilityError
        Descent diverges; the error names the first step without a finite loss.

    Notes
    -----
    General matrix products are not symmetric to the last bit. That asymmetry grows like (1 + eta)^t, and after some hundreds of
    steps descent of the very same start leaves the saddle and converges. One eigenvalue shared by all layers keeps the symmetry.

    References
    ----------
    Claim 5 and Lemma 18 of Arora et al., after Bartlett et al.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> _, losses = gf.identity_descent([[1.0, 0.0], [0.0, -1.0]], 2, 0.1, 2000)
    >>> round(losses[-1].item(), 12)
    0.5
    """
    phi, N, count = finite_matrix(target, "target"), positive_integer(depth, "depth"), positive_integer(steps, "steps")
    eta = positive(step_size, "step_size")
    if phi.shape[0] != phi.shape[1] or not np.array_equal(phi, phi.T):
        raise InputError("the target is not symmetric; from identity layers only symmetric targets keep all layers equal")
    lam = np.linalg.eigvalsh(phi)
    d = np.empty((count + 1, len(lam)))
    d[0] = 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(count):
            d[step + 1] = d[step] - eta * (d[step] ** N - lam) * d[step] ** (N - 1)
        losses = 0.5 * np.sum((d**N - lam) ** 2, axis=1)
    if not np.isfinite(losses[0]):
        raise InputError(f"the loss of the identity is {losses[0]}; give a target of smaller entries")
    if not np.isfinite(losses).all():
        step = int(np.isfinite(losses).argmin())
        raise InstabilityError(
            f"gradient descent diverged at step {step} (the loss was {losses[0]:.4g} at the start and {losses[step - 1]:.4g} "
            f"at step {step - 1}); step_size = {eta:g} is too large, take a smaller one"
        )
    return d, losses
