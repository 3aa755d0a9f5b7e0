r"""How fast gradient flow converges: the theorem whose hypotheses hold, and the rate that it guarantees.

    A1   L(t) - L* <= exp(-alpha gamma t) (L(0) - L*)                          where |grad f|^2 >= gamma (f - f*)
    A1'  L(t) - L* <= (L(0) - L*) / ((L(0) - L*) alpha gamma^2 t + 1)          where |grad f|  >= gamma (f - f*)

for any alpha <= lambda_min(T(t)) along the trajectory. Imbalances are constant and give an alpha at once; a smooth and strongly
convex loss keeps the singular values of the product above a margin, which adds to it. All theorems that apply are looked at and
the largest rate is taken.

**Regression.** With X = P S R' of rank r, only R'W_1 moves and only P'Y is fitted: L - L* is scale |P'Y - S W|_F^2 of a network
with r rows, smooth and strongly convex whatever the rank of X. Its rates are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.deep import cumulative_of_weights, diagonal_rate, homogeneous_of_weights
from coherence.gradient_flow.imbalance import (
    descending,
    imbalance_rounding,
    kept_above,
    level_distance,
    margin,
    minimizer_rounding,
    product_rounding,
    residual_margin,
    singular_value,
    value_rounding,
)
from coherence.gradient_flow.linear import DiagonalNetwork, LinearNetwork, require_fit
from coherence.gradient_flow.losses import Loss, SquaredLoss, numerical_rank, squared_loss
from coherence.gradient_flow.three_layer import rate_of_spectra
from coherence.gradient_flow.two_layer import two_layer_rate
from coherence.types import ArrayLike, Real


@dataclass(frozen=True)
class Alternative:
    """A theorem that was looked at.

    Attributes
    ----------
    theorem : str
    tangent_bound : float
        What it says of lambda_min(T); 0 where it is silent.
    holds : bool
        Its hypotheses hold and the bound is positive.
    reason : str
        Why not, or what the bound comes from.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[2.0, 0.0]], [[0.5], [0.0]]])
    >>> for other in gf.convergence_rate(network, gf.exponential_loss([[1.0]], [1])).alternatives:
    ...     print(other.theorem, "|", other.reason)
    Theorem 2.3.1: imbalance | from the gap of the imbalance
    Theorem 2.3.2: imbalance and margin | A2 is not known to hold
    Theorem 2.1: imbalance and margin in regression | the loss is not squared
    """

    theorem: str
    tangent_bound: float
    holds: bool
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class RateBound(Page):
    """A guaranteed rate of convergence; see `convergence_rate`.

    Attributes
    ----------
    value : float
        alpha gamma (exponential) or alpha gamma^2 (sublinear); 0 where no theorem guarantees convergence.
    theorem : str
        The one that gives it.
    holds : bool
        Whether any does.
    kind : str
        What the loss allows: "exponential" (A1), "sublinear" (A1'), or "none" where no constant is known. Whether it is guaranteed
        is said by `holds`.
    tangent_bound : float
        alpha, a lower bound on lambda_min(T) on the whole trajectory.
    hypotheses : dict of str
        What the theorems ask for, and what was found.
    alternatives : tuple of Alternative
        All theorems looked at, the largest bound first.
    excess, minimum : float
        L(0) - L* and L*.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[2.0, 0.0]], [[0.5], [0.0]]])
    >>> gf.convergence_rate(network, gf.squared_loss([[1.0]]))
    RateBound(exponential, rate 8.5 by Theorem 2.3.2: imbalance and margin)
    """

    value: float
    theorem: str
    holds: bool
    kind: str
    tangent_bound: float
    hypotheses: dict[str, str]
    alternatives: tuple[Alternative, ...]
    excess: float
    minimum: float

    def __repr__(self) -> str:
        if not self.holds:
            return "RateBound(no rate is guaranteed)"
        return f"RateBound({self.kind}, rate {self.value:.4g} by {self.theorem})"

    def envelope(self, times: ArrayLike) -> Real:
        """Upper bound on the loss at times (T,) of the flow."""
        t = np.asarray(times, dtype=float)
        if not np.isfinite(t).all() or (t < 0).any():
            raise InputError("times has a value that is negative or not finite; give times of the flow, >= 0")
        fall = np.exp(-self.value * t) if self.kind != "sublinear" else 1 / (self.excess * self.value * t + 1)
        return np.asarray(self.minimum + self.excess * fall)

    @property
    def facts(self) -> dict[str, str]:
        """Rate, hypotheses, and what each theorem said."""
        said = {
            other.theorem: f"{other.tangent_bound:.4g} ({other.reason})" if other.holds else f"silent: {other.reason}"
            for other in self.alternatives
        }
        rate = {"guaranteed rate": f"{self.value:.6g} ({self.kind}), lambda_min(T) >= {self.tangent_bound:.6g}"}
        return rate | self.hypotheses | said


def convergence_rate(network: LinearNetwork | DiagonalNetwork, loss: Loss) -> RateBound:
    r"""Return the largest rate that a theorem guarantees for gradient flow from here on.

    Parameters
    ----------
    network : LinearNetwork or DiagonalNetwork
    loss : Loss
        With `pl_constant` for exponential convergence, `linear_constant` for 1/t; `smoothness`, `strong_convexity` and `minimizer`
        where the margin is to count.

    Returns
    -------
    RateBound
        Where no theorem applies its value is 0 and `holds` is False.

    Raises
    ------
    InputError
        Another kind of network, or a loss of matrices of another shape.

    Notes
    -----
    The rate is of the flow; descent follows it for small steps. Of a network along a trajectory it is the rate from there on
    (Corollary 2.3). No theorem lets the margin of three and more layers count unless their imbalances are homogeneous.

    References
    ----------
    Theorems 2.1 and 2.3-2.6, Corollaries 2.3-2.5 of the dissertation. Erratum: corollaries 5 and 6 of the two-layer paper print
    twice the rate lambda_r c that holds.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.gaussian((5, 50, 50, 1), scheme="fan_out", random_state=0)
    >>> bound = gf.convergence_rate(network, gf.squared_loss([[1.0], [0], [0], [0], [0]]))
    >>> bound.holds, bound.theorem
    (True, 'Theorem 2.4: imbalances of three layers')
    """
    return _best(_setting(network, loss, now=False))


def instantaneous_rate(network: LinearNetwork | DiagonalNetwork, loss: Loss) -> float:
    r"""Lower bound on the rate -L'/(L - L*) at this moment, from imbalances and the product as it is.

    Parameters
    ----------
    network : LinearNetwork or DiagonalNetwork
    loss : Loss

    Returns
    -------
    float
        alpha gamma, or alpha gamma^2 (L - L*) for a loss with `linear_constant` only. The exact rate is `Trajectory.rates`.

    Raises
    ------
    InputError
        As in `convergence_rate`.

    References
    ----------
    Proposition 2.1 of the dissertation (whose (2.29) lacks the division by the loss), Theorems 2.4 and 2.5.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> network = gf.LinearNetwork([[[2.0, 0.0]], [[0.5], [0.0]]])
    >>> round(gf.instantaneous_rate(network, gf.squared_loss([[1.0]])), 12)
    8.5
    """
    bound = _best(_setting(network, loss, now=True))
    return bound.value * (bound.excess if bound.kind == "sublinear" else 1.0)


@dataclass(frozen=True, eq=False)
class _Setting:
    """A network and its loss, in regression on the range of the data, and what is known of them, now or on the whole trajectory."""

    network: LinearNetwork | DiagonalNetwork
    loss: Loss
    minimum: float
    hypotheses: dict[str, str]
    now: bool

    @property
    def strong(self) -> bool:
        return bool(self.loss.smoothness and self.loss.strong_convexity and self.loss.minimizer is not None)

    def by_distance(self, k: int) -> float:
        """Lemma 2.8's margin, zero without A2."""
        return margin(self.network.product, self.loss, index=k) if self.strong else 0.0

    def by_residual(self, k: int) -> float:
        """Theorem 2.1's margin, [sigma_k(Y) - |Y - S W|_F]_+ / |S|, of regression on the range of the data."""
        if not isinstance(self.loss, SquaredLoss):
            return 0.0
        X, Y = self.loss.X, self.loss.Y
        residual = float(np.linalg.norm(Y - X @ self.network.product))
        rounding = value_rounding(Y.shape, float(np.linalg.norm(Y, 2)))
        return residual_margin(Y, residual, k, gain=float(np.linalg.norm(X, 2)), rounding=rounding)

    def floor(self, k: int) -> float:
        """The k-th singular value of the product now, or what it never falls below."""
        if not self.now:
            return max(self.by_distance(k), self.by_residual(k))
        rounding = product_rounding(self.network.weights) if isinstance(self.network, LinearNetwork) else 0.0
        return max(singular_value(self.network.product, k) - rounding, 0.0)

    def entries(self) -> Real:
        """Moduli of the entries of a diagonal network's product now, or what they never fall below."""
        if self.now:
            return np.abs(self.network.product).ravel()
        if not self.strong:
            return np.zeros(self.network.product.size)
        least = np.abs(np.asarray(self.loss.minimizer)).ravel()
        return kept_above(least, level_distance(self.network.product, self.loss), rounding=minimizer_rounding(self.loss))


def _setting(network: LinearNetwork | DiagonalNetwork, loss: Loss, *, now: bool) -> _Setting:
    if not isinstance(network, (LinearNetwork, DiagonalNetwork)):
        raise InputError(
            f"network is {network!r:.60}; rates are known of LinearNetwork and DiagonalNetwork (of a GramNetwork give its narrow())"
        )
    require_fit(network.product, loss)
    with np.errstate(over="ignore", invalid="ignore"):
        start = network.loss(loss)
    if not np.isfinite(start):
        raise InputError(f"the loss of the network is {start}; give weights at which it is finite")
    said = {}
    minimum, reduced = loss.minimum, loss
    if isinstance(loss, SquaredLoss) and isinstance(network, LinearNetwork):
        network, reduced = _on_range(network, loss)
        said["data"] = f"X has rank {network.widths[0]} of {loss.shape[0]}, on whose range A1 and A2 are meant"
    if isinstance(network, LinearNetwork):
        network = network.narrowed()  # same T, same product, imbalances without zeros that say nothing
    constants = {
        "A1": reduced.pl_constant and f"gamma = {reduced.pl_constant:.4g}",
        "A1'": reduced.linear_constant and f"gamma = {reduced.linear_constant:.4g}",
        "A2": reduced.strong_convexity
        and reduced.smoothness
        and f"mu = {reduced.strong_convexity:.4g}, K = {reduced.smoothness:.4g}",
    }
    said |= {name: text or "not known to hold" for name, text in constants.items()}
    return _Setting(network, reduced, minimum, said, now)


def _on_range(network: LinearNetwork, loss: SquaredLoss) -> tuple[LinearNetwork, SquaredLoss]:
    """Drop what the data do not see of the weights, and what no weights can fit of the targets."""
    left, s, right = np.linalg.svd(loss.X, full_matrices=False)
    r = numerical_rank(s, loss.X.shape)
    weights = (right[:r] @ network.weights[0], *network.weights[1:])
    return LinearNetwork(weights), squared_loss(left[:, :r].T @ loss.Y, np.diag(s[:r]), scale=loss.scale)


def _best(setting: _Setting) -> RateBound:
    network, loss = setting.network, setting.loss
    excess = max(network.loss(loss) - loss.minimum, 0.0)
    found = sorted(_alternatives(setting), key=lambda other: -other.tangent_bound)
    if loss.pl_constant is not None:
        kind, factor = "exponential", loss.pl_constant
    elif loss.linear_constant is not None:
        kind, factor = "sublinear", loss.linear_constant**2
    else:
        kind, factor = "none", 0.0
        found = [Alternative(other.theorem, other.tangent_bound, False, "neither A1 nor A1' is known") for other in found]
    first = found[0]
    name = first.theorem if first.holds else "none"
    if first.holds and kind == "sublinear":
        name = f"Theorem 2.6 with {name}"
    value = first.tangent_bound * factor if first.holds else 0.0
    return RateBound(
        value, name, first.holds, kind, first.tangent_bound, setting.hypotheses, tuple(found), float(excess), setting.minimum
    )


def _alternatives(setting: _Setting) -> Iterator[Alternative]:
    network = setting.network
    if isinstance(network, DiagonalNetwork):
        yield _diagonal(setting, network)
        return
    looked = {1: _one_layer, 2: _two_layers}.get(network.depth, _deep)
    for theorem, value, reason in looked(setting, network):
        positive = value > 0
        why = reason if positive or not reason.startswith("from") else f"the bound {reason} is zero"
        yield Alternative(theorem, value if positive else 0.0, positive, why)


Looked = Iterator[tuple[str, float, str]]


def _one_layer(setting: _Setting, network: LinearNetwork) -> Looked:
    yield "gradient dominance: one layer, T = I", 1.0, "from the loss alone"


def _two_layers(setting: _Setting, network: LinearNetwork) -> Looked:
    (n, _, m), D, off = network.widths, network.imbalances[0], float(imbalance_rounding(network.weights)[0])
    yield "Theorem 2.3.1: imbalance", two_layer_rate(D, n, m, tolerance=off), "from the gap of the imbalance"
    for theorem, floor, missing in _floors(setting):
        if missing:
            yield theorem, 0.0, missing
        else:
            value = two_layer_rate(D, n, m, sigma_n=floor(n), sigma_m=floor(m), tolerance=off)
            yield theorem, value, f"from imbalance and singular values above {floor(n):.4g} and {floor(m):.4g}"


def _floors(setting: _Setting) -> Iterator[tuple[str, Callable[[int], float], str]]:
    """Two-layer theorems that add the product to the imbalance: name, lower bounds on its singular values, what is missing."""
    if setting.now:
        yield "Proposition 2.1: imbalance and product", setting.floor, ""
        return
    yield "Theorem 2.3.2: imbalance and margin", setting.by_distance, "" if setting.strong else "A2 is not known to hold"
    regression = isinstance(setting.loss, SquaredLoss)
    yield "Theorem 2.1: imbalance and margin in regression", setting.by_residual, "" if regression else "the loss is not squared"


def _deep(setting: _Setting, network: LinearNetwork) -> Looked:
    n, m = network.widths[0], network.widths[-1]
    if network.depth == 3:
        first, last = network.imbalances
        value = rate_of_spectra((descending(-first), descending(last)), n, m, off=imbalance_rounding(network.weights)).value
        yield "Theorem 2.4: imbalances of three layers", value, "from the imbalances"
    unimodal = cumulative_of_weights(network)
    why = "the weights are not unimodal" if unimodal.index is None else f"from cumulative imbalances with index {unimodal.index}"
    yield "Corollary 2.5.1: unimodal weights", unimodal.product, why
    name = "Corollary 2.5.2: homogeneous imbalance"
    sigma = setting.floor(min(n, m))
    try:
        closed, exact = (homogeneous_of_weights(network, sigma, method) for method in ("homogeneous", "exact"))
    except InputError as error:  # no multiples of the identity, or n != m without balance
        yield name, 0.0, str(error).partition(";")[0]
        return
    why = f"from imbalances and singular values above {sigma:.4g}"
    yield name, closed, why
    yield f"{name}, solved exactly", exact, why


def _diagonal(setting: _Setting, network: DiagonalNetwork) -> Alternative:
    theorem = "Corollary 2.5 entry by entry: diagonal network"
    kept = setting.entries()
    value = diagonal_rate(network.factors, product=kept)
    reason = f"from differences of squares and products above {kept.min():.4g}" if value > 0 else "an entry may stop moving"
    return Alternative(theorem, value, value > 0, reason)
