r"""How far from the least-squares solution of smallest norm a two-layer network ends.

Two bounds on |U V' - Theta^|_F in the limit of gradient flow on |Y - X U V'|_F^2/2, with the notation of `regression`:

    of given weights      P(t) <= exp(sigma_1 integral |E|_F) P(0) <= exp(2 sigma_1 |E(0)|_F / (c sigma_r^2)) P(0)     (2.52)-(2.53)
    of Gaussian weights   2 C^{1/h^{1-2a}} sqrt(m + r) s / h^{2a - 1/2}  with probability 1 - delta                    Theorem 2.2

sigma_1 >= ... >= sigma_r are the singular values of X, c is the constant of Theorem 2.1, entries are N(0, h^{-2a}), and

    C = exp(1 + sigma_1^2/sigma_r^2 |X^+ Y|_F),   s = sqrt(m + n) + sqrt(2 log(2/delta)),
    h > max{16, 4 sigma_1^4/sigma_r^4}^{1/(4a - 1)} (m s^2)^{1/(4a - 1)}.

So the bias vanishes like h^{-(2a - 1/2)}. Equation numbers are those of the dissertation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.gram import GramNetwork, gram_network
from coherence.gradient_flow.imbalance import residual_margin
from coherence.gradient_flow.linear import LinearNetwork
from coherence.gradient_flow.losses import SquaredLoss, paired, positive
from coherence.gradient_flow.regression import directions
from coherence.gradient_flow.two_layer import two_layer_rate
from coherence.types import ArrayLike

CONSTANTS = ("davidson-szarek", "paper")


@dataclass(frozen=True, eq=False, repr=False)
class BiasOfWeights(Page):
    """What imbalance and margin of given weights say of the whole trajectory; see `bias_of_weights`.

    Attributes
    ----------
    rate : float
        lam_r c(0) times twice the loss's scale: L - L* decays at least like exp(-rate t).
    growth : float
        P, |Z|_F and |Z U_2'|_F grow at most by this factor; inf where the rate is 0.
    defect, defect_bound : float
        P(0), and the bound on P(t) for all t.
    distance_bound : float
        On |U V' - Theta^|_F in the limit.
    weights_bound : float
        On the Frobenius norm of Z = [V; U_1] for all t.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0]], [[1.0, 0.0]])
    >>> gf.bias_of_weights(gf.gaussian((2, 500, 1), std=500**-0.5, random_state=0), loss)
    BiasOfWeights(distance at most 0.0449 in the limit)
    """

    rate: float
    growth: float
    defect: float
    defect_bound: float
    distance_bound: float
    weights_bound: float

    @property
    def facts(self) -> dict[str, str]:
        """Rate, growth and bounds."""
        return {
            "decay of the loss, at least": f"exp(-{self.rate:.4g} t)",
            "growth of the defect, at most": f"{self.growth:.4g} times",
            "defect of orthogonality": f"{self.defect:.4g}, at most {self.defect_bound:.4g}",
        }

    def __repr__(self) -> str:
        return f"BiasOfWeights(distance at most {self.distance_bound:.4g} in the limit)"


def bias_of_weights(network: LinearNetwork | GramNetwork, loss: SquaredLoss) -> BiasOfWeights:
    r"""Bound the limit's distance from the solution of smallest norm by the weights at the start.

        |E(t)|_F <= exp(-lam_r c t/2) |E(0)|_F,   |Z(t)|_F^2 <= exp(4 sigma_1 |E(0)|_F/(c lam_r)) |Z(0)|_F^2,
        |U V' - Theta^|_F -> |U_2 V'|_F <= |Z U_2'|_F <= exp(2 sigma_1 |E(0)|_F/(c lam_r)) |Z(0) U_2'|_F,   lam_r = sigma_r^2

    Parameters
    ----------
    network : LinearNetwork or GramNetwork
        Of two layers.
    loss : SquaredLoss
        Its scale changes times only.

    Returns
    -------
    BiasOfWeights
        Infinite bounds where neither imbalance nor margin give a rate (c = 0), but 0 where P(0) = 0 all the same.

    References
    ----------
    Theorem 2.1, Proposition 2.2 and (2.53) of the dissertation, with c from `two_layer_rate`.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> loss = gf.squared_loss([[1.0]], [[1.0, 0.0]])
    >>> narrow, wide = (gf.gaussian((2, h, 1), std=h**-0.5, random_state=0) for h in (100, 10000))
    >>> gf.bias_of_weights(wide, loss).distance_bound < gf.bias_of_weights(narrow, loss).distance_bound
    True
    """
    small = network if isinstance(network, GramNetwork) else gram_network(network, loss)
    singular = small.split.singular
    targets = small.split.left.T @ loss.Y
    error = float(np.linalg.norm(targets - singular[:, None] * (small.first @ small.second.T)))
    r, m = targets.shape
    sigma_r, sigma_m = (residual_margin(targets, error, k, gain=float(singular[0])) for k in (r, m))
    c = 2 * float(two_layer_rate(small.imbalances[0], r, m, sigma_n=sigma_r, sigma_m=sigma_m))
    lam = singular[-1] ** 2
    with np.errstate(over="ignore"):
        growth = float(np.exp(2 * singular[0] * error / (c * lam))) if c > 0 else (1.0 if error == 0 else np.inf)
    joint = np.hypot(np.linalg.norm(small.hidden @ small.second.T), np.linalg.norm(small.hidden @ small.first.T))
    size = np.hypot(np.linalg.norm(small.first), np.linalg.norm(small.second))
    return BiasOfWeights(
        rate=2 * loss.scale * lam * c,
        growth=growth,
        defect=small.defect,
        defect_bound=_times(growth, small.defect),
        distance_bound=_times(growth, float(joint)),
        weights_bound=_times(growth, float(size)),
    )


def _times(growth: float, start: float) -> float:
    return growth * start if start > 0 else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class WideBias(Page):
    """What is certain, up to a probability, of a wide network with Gaussian weights; see `implicit_bias_bound`.

    Attributes
    ----------
    value : float
        Bound on |U V' - Theta^| in the limit (spectral and Frobenius norm); inf where the width does not exceed `min_width`.
    probability : float
        1 - delta, with which all of it holds at once.
    width, min_width : float
        h, and what Theorem 2.2 asks it to exceed.
    gap, defect, product : float
        Lemma 2.1 at the start: the imbalance has a gap above the first, |[V U_2'; U_1 U_2']|_F and |U_1 V'|_F are at most the
        others. nan where h <= 16 s^2.
    spread : float
        s.
    holds : bool
        Whether the width exceeds `min_width`.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.implicit_bias_bound([[1.0, 0.0, 0.0]], [[1.0]], 10**6).holds
    True
    """

    value: float
    probability: float
    width: float
    min_width: float
    gap: float
    defect: float
    product: float
    spread: float
    holds: bool

    @property
    def facts(self) -> dict[str, str]:
        """Bound, width and the start."""
        return {
            "probability": f"{self.probability:.4g}",
            "width": f"{self.width:.6g}, above {self.min_width:.6g} is needed",
            "gap of the imbalance at the start": f"above {self.gap:.4g}",
            "defect of orthogonality at the start": f"at most {self.defect:.4g}",
        }

    def __repr__(self) -> str:
        said = f"{self.value:.4g} with probability {self.probability:.4g}" if self.holds else "inf, the width is too small"
        return f"WideBias({said})"


def implicit_bias_bound(
    X: ArrayLike, Y: ArrayLike, width: float, *, alpha: float = 0.5, delta: float = 0.1, constant: str = "davidson-szarek"
) -> WideBias:
    r"""Bound the distance of a wide Gaussian network's limit from the least-squares solution of smallest norm.

        |U V' - Theta^| <= 2 C^{1/h^{1 - 2 alpha}} sqrt(m + r) s/h^{2 alpha - 1/2}   with probability 1 - delta

    Parameters
    ----------
    X : (N, n)
        Samples in rows.
    Y : (N, m)
        Targets.
    width : float
        h.
    alpha : float
        Entries are N(0, h^{-2 alpha}), 1/4 < alpha <= 1/2.
    delta : float
        Probability of failure.
    constant : {"davidson-szarek", "paper"}
        s = sqrt(m + n) + sqrt(2 log(2/delta)), which the concentration inequality gives, or the sources' sqrt(m + n) +
        log(2/delta)/2.

    Returns
    -------
    WideBias

    Raises
    ------
    InputError
        alpha, delta or width out of range, an unknown constant, shapes that do not fit.

    Notes
    -----
    Davidson and Szarek's inequality is P(sigma outside sqrt(h) -/+ (sqrt(m + n) + t)) <= 2 exp(-t^2/2); Lemma 2.4 prints 2
    exp(-t^2). The sources' t = log(2/delta)/2 makes it at most delta only for delta <= 2 exp(-8) (2 exp(-4) with the printed
    exponent), and is too small above. C is the dissertation's; the two-layer paper's exp(1 + sigma_1/sigma_r^2 |Y|_F) holds as
    well, but its threshold of the width comes from a bound on |E(0)| with an inverse where the matrix itself belongs. The lists
    of contributions print the rate as O(h^{2 alpha - 1/2}); the exponent is negative.

    References
    ----------
    Lemma 2.1, Lemma 2.4 and Theorem 2.2 of the dissertation. Appendix E of the two-layer paper.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> X, Y = [[1.0, 0.0, 0.0]], [[1.0]]
    >>> gf.implicit_bias_bound(X, Y, 10**6)
    WideBias(0.09296 with probability 0.9)
    >>> gf.implicit_bias_bound(X, Y, 10)
    WideBias(inf, the width is too small)
    """
    samples, targets = paired(X, Y)
    h = positive(width, "width")
    if not 0.25 < alpha <= 0.5:
        raise InputError(f"alpha is {alpha}; the theorem holds for 1/4 < alpha <= 1/2")
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; give a probability of failure between 0 and 1")
    if constant not in CONSTANTS:
        raise InputError(f"constant is {constant!r}; give one of {', '.join(CONSTANTS)}")
    split, m = directions(samples), targets.shape[1]
    tail = np.log(2 / delta)
    spread = float(np.sqrt(m + samples.shape[1]) + (tail / 2 if constant == "paper" else np.sqrt(2 * tail)))
    condition = (split.singular[0] / split.singular[-1]) ** 2
    best = float(np.linalg.norm((split.left.T @ targets) / split.singular[:, None]))
    scale = spread / h ** (2 * alpha - 0.5)
    start = h > 16 * spread**2
    with np.errstate(over="ignore"):
        needed = float((max(16.0, 4 * condition**2) * m * spread**2) ** (1 / (4 * alpha - 1)))
        bound = 2 * np.exp((1 + condition * best) / h ** (1 - 2 * alpha)) * np.sqrt(m + split.rank) * scale
    return WideBias(
        value=float(bound) if h > needed else np.inf,
        probability=1 - delta,
        width=h,
        min_width=needed,
        gap=h ** (1 - 2 * alpha) if start else np.nan,
        defect=2 * np.sqrt(m + split.rank) * scale if start else np.nan,
        product=2 * np.sqrt(m) * scale if start else np.nan,
        spread=spread,
        holds=bool(h > needed),
    )


@dataclass(frozen=True, eq=False, repr=False)
class NTKForm(Page):
    """A network written with entries of unit size and a scaled output; see `ntk_form`.

    Attributes
    ----------
    network : LinearNetwork
        h^alpha times the weights.
    output_scale : float
        h^{-2 alpha}: what its product is multiplied by.
    speed : float
        h^{2 alpha}: the flow of the original runs through it this many times faster.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> form = gf.ntk_form(gf.gaussian((3, 100, 1), std=0.1, random_state=0))
    >>> round(float(form.network.weights[0].std()), 1), form.output_scale
    (1.0, 0.01)
    """

    network: LinearNetwork
    output_scale: float
    speed: float

    def __repr__(self) -> str:
        return f"NTKForm(output times {self.output_scale:.4g}, {self.speed:.4g} times slower)"


def ntk_form(network: LinearNetwork, *, alpha: float = 0.5) -> NTKForm:
    r"""Write N(0, h^{-2 alpha}) weights as those of the neural tangent kernel's literature, of unit variance.

        U~ = h^alpha U,  V~ = h^alpha V:   U~(h^{2 alpha} t) of |Y - h^{-2 alpha} X U~ V~'|^2/2  =  h^alpha U(t) of |Y - X U V'|^2/2

    Parameters
    ----------
    network : LinearNetwork
        Of two layers.
    alpha : float

    Returns
    -------
    NTKForm
        Train `network` on ``squared_loss(Y, X, output_scale=form.output_scale)`` for `speed` times as long.

    Raises
    ------
    InputError
        Not two layers, alpha not a finite number or so large that h^{2 alpha} is none.

    References
    ----------
    Appendix D of the two-layer paper.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.ntk_form(gf.gaussian((3, 100, 1), std=0.1, random_state=0))
    NTKForm(output times 0.01, 100 times slower)
    """
    if network.depth != 2:
        raise InputError(f"the network has {network.depth} layers; this form is of two")
    with np.errstate(all="ignore"):
        factor, output, speed = (float(np.float_power(network.widths[1], power * alpha)) for power in (1, -2, 2))
    if not (0 < output < np.inf and 0 < speed < np.inf):
        raise InputError(f"alpha is {alpha}; give a finite number for which h^(2 alpha) and its inverse are floats")
    return NTKForm(network.rescaled(factor), output, speed)
