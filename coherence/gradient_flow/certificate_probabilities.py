r"""How likely random weights meet the conditions of the descent certificate.

    balance    P(all |D_l|_F <= delta) >= 1 - sum_l E|D_l|_F^2 / delta^2 >= 1 - 10 N s^4 d_max^3 / delta^2       Claim 2
               E|D_l|_F^2 = s^4 d ((a - b)^2 + (d + 1)(a + b)),  a, d, b the widths around layer l              Lemma 10
    margin     P(|w - Phi| <= |Phi| - c) = F_{d, |Phi|^2/s^2}((|Phi| - c)^2/s^2), F of the noncentral chi-square law
               >= (1 - 2 e^{-d/16}) (3 - 4 F(2 sqrt(2/a)))/2 for c = s^2 d/(2 |Phi|), s = |Phi|/(sqrt(a) d)    Theorem 2

for N(0, s^2) entries of every layer, and of the end-to-end vector w in R^d, respectively (balanced initialisation, one output).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from coherence.display import Page
from coherence.errors import InputError
from coherence.gradient_flow.initialisations import layer_widths
from coherence.gradient_flow.losses import positive
from coherence.gradient_flow.training import positive_integer

DIMENSIONS = 20  # from which the caps' areas are bounded
RATIO = 2.0  # least a of Theorem 2


def balance_probability(widths: Sequence[int], std: float, delta: float, *, form: str = "moments") -> float:
    r"""Bound from below the probability that Gaussian layers are balanced up to delta.

        1 - sum_l s^4 d ((a - b)^2 + (d + 1)(a + b)) / delta^2   ("moments"),      1 - 10 N s^4 d_max^3 / delta^2   ("paper")

    Parameters
    ----------
    widths : (n, h_1, ..., h_{N-1}, m)
    std : float
        s of every entry.
    delta : float
        |D_l|_F <= delta for every l.
    form : {"moments", "paper"}
        With the imbalances' exact second moments, or Claim 2 as it stands.

    Returns
    -------
    float
        At least 0.

    Notes
    -----
    The proof of Lemma 10 has -ab for -2ab in the second moment of diagonal entries, which only makes its bound larger: for a, d,
    b = 3, 5, 4 the expected square is 215 s^4, not 275 s^4.

    References
    ----------
    Claim 2 and Lemma 10 of Arora et al.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.balance_probability((3, 5, 4), 1.0, 20.0), gf.balance_probability((3, 5, 4), 0.1, 1.0, form="paper")
    (0.4625, 0.75)
    """
    sizes, s, bound = layer_widths(widths), positive(std, "std"), positive(delta, "delta")
    if form == "paper":
        expected = 10 * (len(sizes) - 1) * s**4 * max(sizes) ** 3
    elif form == "moments":
        expected = sum(imbalance_moment(a, d, b, s) for a, d, b in zip(sizes, sizes[1:], sizes[2:], strict=False))
    else:
        raise InputError(f"form is {form!r}; give moments or paper")
    return float(max(0.0, 1 - expected / bound**2))


def imbalance_moment(before: int, width: int, after: int, std: float) -> float:
    """E|D_l|_F^2 of Gaussian layers (before, width) and (width, after)."""
    return float(std**4 * width * ((before - after) ** 2 + (width + 1) * (before + after)))


def cap_area(dimension: int, height: float) -> float:
    """Share of the unit sphere in R^d in the cap x'u >= t = 1 - height, 0 <= height <= 1: I_{1 - t^2}((d - 1)/2, 1/2)/2.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.cap_area(3, 0.5), gf.cap_area_bound(100, 0.99) < gf.cap_area(100, 0.99)
    (0.25, True)
    """
    d, t = _cap(dimension, height)
    return float(special.betainc((d - 1) / 2, 0.5, 1 - t**2) / 2)


def cap_area_bound(dimension: int, height: float) -> float:
    """Bound that area from below by (3 - 4 F((1 - height) sqrt(d - 1)))/2 for d >= 20 (Lemma 14), F the normal law.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> round(gf.cap_area_bound(100, 0.99), 3)
    0.421
    """
    d, t = _cap(dimension, height)
    if d < DIMENSIONS:
        raise InputError(f"dimension is {d}; the bound holds from {DIMENSIONS} on")
    return float((3 - 4 * special.ndtr(t * np.sqrt(d - 1))) / 2)


def _cap(dimension: int, height: float) -> tuple[int, float]:
    d = positive_integer(dimension, "dimension")
    if d < 2:
        raise InputError(f"dimension is {d}; a cap needs at least 2")
    if not 0 <= height <= 1:
        raise InputError(f"height is {height}; give a height between 0 and 1, the radius")
    return d, 1 - height


@dataclass(frozen=True, eq=False, repr=False)
class RandomStart(Page):
    """What is certain, up to a probability, of descent from a balanced random start; see `certify_random_start`.

    Attributes
    ----------
    probability : float
        The source's bound (38).
    exact_probability : float
        Of the margin, by the noncentral chi-square law.
    margin : float
        c = s^2 d/(2 |Phi|), which the start has with that probability.
    max_step_size, step_size : float
        The largest eta that is covered, and the one `iterations` is for.
    iterations : float
        After which the loss is at most eps.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> gf.certify_random_start(100, 1e-3, 2, 0.01)
    RandomStart(4.437e+22 steps, with probability 0.2762)
    """

    probability: float
    exact_probability: float
    margin: float
    max_step_size: float
    step_size: float
    iterations: float

    @property
    def facts(self) -> dict[str, str]:
        """Probabilities, step and number of steps."""
        return {
            "probability, at least": f"{self.probability:.5g} (exactly {self.exact_probability:.5g})",
            "deficiency margin": f"{self.margin:.4g}",
            "step size": f"{self.step_size:.4g}, up to {self.max_step_size:.4g}",
        }

    def __repr__(self) -> str:
        return f"RandomStart({self.iterations:.4g} steps, with probability {self.probability:.4g})"


def certify_random_start(
    inputs: int, std: float, depth: int, eps: float, *, target_norm: float = 1.0, step_size: float | None = None
) -> RandomStart:
    r"""Certify descent to a vector Phi from a balanced start whose product has N(0, s^2) entries (one output).

        eta <= (s^2 d)^{4-2/N} / (10^5 N^3 |Phi|^{10-6/N}),
        T = 4/eta (ln 4 (|Phi|/(s^2 d))^{2-2/N} + |Phi|^{2/N-2} ln(|Phi|^2/(8 eps)))

    Parameters
    ----------
    inputs : int
        d >= 20.
    std : float
        s <= |Phi|/(sqrt(2) d).
    depth : int
        N.
    eps : float
        Of |w - Phi|^2/2.
    target_norm : float
        |Phi|.
    step_size : float, optional
        eta; the largest that is covered where left out.

    Returns
    -------
    RandomStart

    Raises
    ------
    InputError
        Fewer than 20 inputs, or a standard deviation or step size above what the theorem covers.

    Notes
    -----
    The start itself is `balanced` (Procedure 1) of a drawn vector.

    References
    ----------
    Theorem 2 and (38)-(42) of Arora et al.

    Examples
    --------
    >>> from coherence import gradient_flow as gf
    >>> found = gf.certify_random_start(100, 1e-3, 2, 0.01)
    >>> round(found.probability, 5), round(found.exact_probability, 3)
    (0.27623, 0.46)
    """
    d, N = positive_integer(inputs, "inputs"), positive_integer(depth, "depth")
    s, left, size = positive(std, "std"), positive(eps, "eps"), positive(target_norm, "target_norm")
    if d < DIMENSIONS:
        raise InputError(f"inputs is {d}; the theorem holds from {DIMENSIONS} on")
    ratio = (size / (s * d)) ** 2
    if ratio < RATIO * (1 - 1e-12):
        raise InputError(f"std is {s:g}, above |Phi|/(sqrt(2) d) = {size / (np.sqrt(RATIO) * d):g}; start smaller")
    largest = (s**2 * d) ** (4 - 2 / N) / (1e5 * N**3 * size ** (10 - 6 / N))
    eta = largest if step_size is None else positive(step_size, "step_size")
    if eta > largest:
        raise InputError(f"step_size is {eta:g}; the theorem covers steps up to {largest:g}")
    c = s**2 * d / (2 * size)
    share = (3 - 4 * special.ndtr(2 / np.sqrt(ratio / 2))) / 2
    first = np.log(4) * (size / (s**2 * d)) ** (2 - 2 / N)
    second = size ** (2 / N - 2) * max(np.log(size**2 / (8 * left)), 0.0)
    return RandomStart(
        probability=float(max(0.0, (1 - 2 * np.exp(-d / 16)) * share)),
        exact_probability=float(special.chndtr(((size - c) / s) ** 2, d, (size / s) ** 2)),
        margin=c,
        max_step_size=largest,
        step_size=eta,
        iterations=float(np.ceil(4 / eta * (first + second))),
    )
