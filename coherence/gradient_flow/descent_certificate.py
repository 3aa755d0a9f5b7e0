r"""Gradient descent of deep linear networks to a global minimum, certified from the start (Arora, Cohen, Golowich, Hu).

For l(W) = |W - Phi|_F^2/2, W = W_1 ... W_N, let c = sigma_min(Phi) - |W(0) - Phi|_F be the deficiency margin. Theorem 1: where

    c > 0,   |W_l'W_l - W_{l+1}W_{l+1}'|_F <= delta = c^2 / (256 N^3 |Phi|_F^{2(N-1)/N}),
    eta <= c^{(4N-2)/N} / (6144 N^3 |Phi|_F^{(6N-4)/N}),

every step multiplies l by at most 1 - eta c^{2(N-1)/N}, so that T >= log(l(0)/eps) / (eta c^{2(N-1)/N}) steps leave l(T) <= eps.

The source numbers weights from the other end, W_N ... W_1; `LinearNetwork` takes those as ``theirs[::-1]``. How likely random
starts meet the conditions is in `certificate_probabilities`, what happens without them in `descent_failures`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.linear import LinearNetwork, require_fit
from coherence.gradient_flow.losses import SquaredLoss, positive
from coherence.types import ArrayLike, Real

WHITE = 1e-9  # of the largest eigenvalue of X'X: how far the others may be from it


@dataclass(frozen=True, eq=False, repr=False)
class DescentCertificate(Page):
    """Whether and how fast gradient descent is certain to converge; see `certify_descent`.

    Attributes
    ----------
    margin : float
        c; not positive where the theorem says nothing.
    balance : float
        Largest Frobenius norm of an imbalance at the start.
    max_balance : float
        delta, the largest that is allowed. It stays below twice this.
    max_step_size : float
        The largest eta that is covered.
    step_size : float
        The one `decay` and `iterations` are for.
    decay : float
        eta c^{2(N-1)/N}: each step takes at least this share of what is left of the loss.
    iterations : float
        T after which the loss is within eps of its infimum; inf where nothing is certain.
    layer_bound : float
        (4 |Phi|_F)^{1/N}: no layer's spectral norm exceeds this on the way.
    excess : float
        Loss above its infimum at the start.
    holds : bool

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> found = gf.certify_descent(gf.balanced([[0.9]], (1, 1, 1)), gf.squared_loss([[1.0]]), 1e-3)
    >>> found.hypotheses['imbalance is small enough'], float(found.envelope(0)) == found.excess
    (True, True)
    """

    margin: float
    balance: float
    max_balance: float
    max_step_size: float
    step_size: float
    decay: float
    iterations: float
    layer_bound: float
    excess: float
    holds: bool

    def envelope(self, steps: ArrayLike) -> Real:
        """Bound on the loss above its infimum after so many steps, excess (1 - decay)^steps; inf where nothing is certain."""
        count = np.asarray(steps, dtype=float)
        return self.excess * (1 - self.decay) ** count if self.holds else np.full(count.shape, np.inf)

    @property
    def hypotheses(self) -> dict[str, bool]:
        """What the theorem asks for, and whether it is so."""
        return {
            "deficiency margin is positive": self.margin > 0,
            "imbalance is small enough": self.balance <= self.max_balance,
            "step size is small enough": 0 < self.step_size <= self.max_step_size,
        }

    @property
    def facts(self) -> dict[str, str]:
        """Each quantity beside what is allowed."""
        return {
            "deficiency margin": f"{self.margin:.4g}",
            "imbalance": f"{self.balance:.4g}, up to {self.max_balance:.4g}",
            "step size": f"{self.step_size:.4g}, up to {self.max_step_size:.4g}",
            "share of the loss taken by a step": f"{self.decay:.4g}",
            **{name: "yes" if met else "no" for name, met in self.hypotheses.items()},
        }

    def __repr__(self) -> str:
        return (
            f"DescentCertificate({f'{self.iterations:.0f} steps of {self.step_size:.4g}' if self.holds else 'nothing is certain'})"
        )


def certify_descent(network: LinearNetwork, loss: SquaredLoss, eps: float, *, step_size: float | None = None) -> DescentCertificate:
    r"""Certify that gradient descent from here takes the loss within eps of its infimum, and in how many steps.

        T = log(l(0)/eps) / (eta c^{2(N-1)/N}),   c = sigma_min(Phi) - |W - Phi|_F

    Parameters
    ----------
    network : LinearNetwork
        Of N layers.
    loss : SquaredLoss
        ``squared_loss(Phi)``, or one of white samples, X'X = k I, which is a multiple of it: step sizes and eps are then of that
        loss.
    eps : float
        What may be left of the loss above its infimum.
    step_size : float, optional
        eta; the largest that is covered where left out.

    Returns
    -------
    DescentCertificate
        With `holds` False and infinitely many steps where a hypothesis fails.

    Raises
    ------
    InputError
        Samples that are not white, a loss of matrices of another shape, eps or step_size not positive.

    Notes
    -----
    The theorem asks for imbalances at most delta; its "=" is read as "<=". The margin is the largest c it may be applied with, and
    larger c allow more. Certified steps are some 10^4 to 10^5 times below those that still converge.

    References
    ----------
    Definitions 1 and 2, Claim 1, Theorem 1 and Lemma 2 of Arora et al., "A convergence analysis of gradient descent for deep linear
    neural networks"; (1) for white samples.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> start = gf.balanced([[0.9]], (1, 1, 1))
    >>> loss = gf.squared_loss([[1.0]])
    >>> gf.certify_descent(start, loss, start.loss(loss) / 2)
    DescentCertificate(51928 steps of 1.483e-05)
    """
    if not isinstance(network, LinearNetwork):
        raise InputError(f"network is {network!r:.60}; this theorem is of LinearNetwork")
    if not isinstance(loss, SquaredLoss):
        raise InputError(f"the loss is {loss!r}; this theorem is of squared losses, made by squared_loss")
    require_fit(network.product, loss)
    lam = np.linalg.svd(loss.X, compute_uv=False) ** 2
    if len(lam) < loss.shape[0] or lam[-1] < (1 - WHITE) * lam[0]:
        raise InputError(
            "the samples are not white (X'X is not a multiple of the identity); whiten them, or give squared_loss(Phi)"
        )
    target, left = np.asarray(loss.minimizer), positive(eps, "eps")
    stretch = 2 * loss.scale * float(lam.mean())  # the loss is this times |W - Phi|^2/2
    N, size = network.depth, float(np.linalg.norm(target))
    distance = float(np.linalg.norm(network.product - target))
    margin = float(np.linalg.svd(target, compute_uv=False)[-1]) - distance
    if not (0 < size**6 < np.inf and distance**2 < np.inf):
        raise InputError(f"the target has norm {size:.3g}, whose powers are beyond floating point; rescale the problem")
    c = max(margin, 0.0)
    balance = max(network.imbalance_norms, default=0.0)
    max_balance = c**2 / (256 * N**3 * size ** (2 * (N - 1) / N)) if c > 0 else 0.0
    max_step = c ** ((4 * N - 2) / N) / (6144 * N**3 * size ** ((6 * N - 4) / N)) / stretch if c > 0 else 0.0
    eta = max_step if step_size is None else positive(step_size, "step_size")
    decay = eta * stretch * c ** (2 * (N - 1) / N)
    excess = stretch * distance**2 / 2
    holds = bool(c > 0 and balance <= max_balance and 0 < eta <= max_step)
    needed = float(np.ceil(max(np.log(excess / left), 0.0) / decay)) if holds and excess > left else 0.0
    return DescentCertificate(
        margin=margin,
        balance=balance,
        max_balance=max_balance,
        max_step_size=max_step,
        step_size=eta,
        decay=decay,
        iterations=needed if holds else np.inf,
        layer_bound=(4 * size) ** (1 / N),
        excess=excess,
        holds=holds,
    )


def end_layer_bound(network: LinearNetwork) -> float:
    r"""Bound from below the least singular value of the layer at the narrower end, by the product's.

        sigma_min(W_e)^{2N} >= sigma_min(W)^2 - 3/2 nu M^{2(N-1)} N^2,   e = N where m <= n, 1 where n <= m

    with nu the largest Frobenius norm of an imbalance and M the largest spectral norm of a layer.

    Parameters
    ----------
    network : LinearNetwork

    Returns
    -------
    float
        0 where the imbalance is too large for anything to be said.

    Notes
    -----
    No hidden layer of a `LinearNetwork` is narrower than its narrower end, as the lemma asks. The source's (18) has the two cases
    the other way round, against its own proof: with weights diag(1, 0, 0) and e_1 (balanced, from three inputs to one output) the
    product has the singular value 1, and the wide end has the singular value 0.

    References
    ----------
    Lemma 5 of Arora et al.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.end_layer_bound(gf.LinearNetwork([[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]], [[1.0], [0], [0]]]))
    1.0
    """
    N, n, m = network.depth, network.widths[0], network.widths[-1]
    nu = max(network.imbalance_norms, default=0.0)
    largest = max(float(np.linalg.norm(matrix, 2)) for matrix in network.weights)
    least = float(np.linalg.svd(network.product, compute_uv=False)[min(n, m) - 1])
    kept = least**2 - 1.5 * nu * largest ** (2 * (N - 1)) * N**2
    return float(max(kept, 0.0) ** (1 / (2 * N)))
