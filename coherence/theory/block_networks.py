r"""How large a network of the weighted stochastic block model must be for one node per block to stand for it: Theorem 3.10.

L - L_blk is a sum over pairs of independent (A_ij - E A_ij)(e_i - e_j)(e_i - e_j)', each of norm at most
R = 2 max W max(Q, 1 - Q) (over 0 < Q < 1), whose squares sum to 2 L_v in the mean, L_v the Laplacian with the variances
Q (1 - Q) W^2 for weights. With l = log(2n/(delta - delta_SC)) and v = 2 ||L_v||, matrix Bernstein gives

    P(||L - L_blk|| >= t) <= 2n exp(-t^2/2 / (v + R t/3)) = delta - delta_SC,   t = R l/3 + sqrt((R l/3)^2 + 2 v l),

delta_SC being what is left for the clustering to fail. Outside of that, with lambda* = min_i (n_i B_ii + sum_{j != i} B_ij n_j) and
gap = lambda* - lambda_max(L~_k) of L_blk (Proposition 3.1): lambda_{k+1}(L) >= lambda* - t (Weyl), and where gap > 2t the largest
angle between V_k and the indicators of the blocks has sin theta <= t/(gap - t) (Davis and Kahan), so that the refinement has
||V^_k - V_k|| = 2 sin(theta/2). The two steps of the theorem, with discs of radius r for the nodes,

    ||T - T_k|| <= (1 + gamma^2 r^2) / (F_l (lambda* - t) - M - gamma r^2)       (block elimination, `bounds`)
    ||T_k - T^_k|| <= 2 (gamma + gamma^2 r) 2 sin(theta/2)                      (Lemma 3.4; V'V = V^'V^ drops the centre),

add up to at most eps over |omega| <= eta. All of gap, lambda*, v grow as n and l/n falls, so what holds for n holds for more.

The printed constants (3.50)-(3.53) take 8 sqrt(k n_max b~ log(24 n/delta)) for t, b~ the largest row sum of Q o W o W, which
leaves out R, and other bounds for the rest; they stand beside, for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.block_model import BlockModel, largest_variance
from coherence.nodes.distributions import RandomNodes
from coherence.nodes.nodes import Nodes
from coherence.theory.node_constants import NodeConstants, node_constants

MOST = 10**15  # nodes that count as a network
COLUMNS = ["n", "bound", "t", "gap", "lambda*", "sin theta", "||T - T_k||", "||T_k - T^_k||"]
FORMS = ("certified", "variance by degrees", "and M in place of r", "as printed")


@dataclass(frozen=True, eq=False, repr=False)
class CertifiedSize(Page):
    """The least size of a block model's networks for which Theorem 3.10 gives an error; see `certified_size`.

    Attributes
    ----------
    model : BlockModel
        Its proportions are those of every size.
    constants : NodeConstants
    eps, delta, delta_clustering : float
    frame : DataFrame
        form -> n (None where none is certified) and what the bound is made of there. "certified" is the sharpest that is proved;
        "variance by degrees" bounds ||L_v|| by twice the largest degree, "and M in place of r" takes discs around 0 besides.
    reasons : dict of form -> str
        Why no size is certified.

    Examples
    --------
    >>> from coherence import BlockModel, NodeConstants, certified_size
    >>> model = BlockModel([1, 1], [[0.9, 0.1], [0.1, 0.9]], [[1, 1], [1, 1]])
    >>> found = certified_size(model, NodeConstants(1.0, 1.0, 2.0, 0.5, 1.0), eps=0.5, delta=0.1, delta_clustering=0.05)
    >>> found.n
    1458
    """

    model: BlockModel
    constants: NodeConstants
    eps: float
    delta: float
    delta_clustering: float
    frame: pd.DataFrame
    reasons: dict[str, str]

    @property
    def n(self) -> int | None:
        """The least number of nodes certified; None where none is."""
        return self._size("certified")

    @property
    def printed(self) -> int | None:
        """What the constants as printed ask for."""
        return self._size("as printed")

    def _size(self, form: str) -> int | None:
        value: Any = self.frame.loc[form, "n"]
        return None if value is None else int(value)

    def __repr__(self) -> str:
        shown = f"n = {self.n}" if self.n is not None else "none certified"
        return (
            f"CertifiedSize({shown}; error <= {self.eps:g} over |omega| <= {self.constants.eta:g} rad/s with probability "
            f">= {1 - self.delta:g})"
        )

    @property
    def facts(self) -> dict[str, str]:
        """What is claimed, on what it rests, and what is lacking."""
        unit = self.model.n // math.gcd(*self.model.sizes.tolist())
        facts = {
            "claim": f"P(sup ||T - T^_k|| <= {self.eps:g}) >= {1 - self.delta:g} for every n from there on",
            "sizes looked at": f"multiples of {unit}, in which the blocks keep their proportions",
            "left for the clustering": f"{self.delta_clustering:g}: it must find the blocks with probability >= "
            f"{1 - self.delta_clustering:g} (Assumption 3.2), which is measured, not proved",
            "node constants": f"{self.constants!r}; {self.constants.basis}",
        }
        return facts | {f"none ({form})": why for form, why in self.reasons.items()}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Form by form."""
        return {"sizes": self.frame}


def certified_size(
    model: BlockModel,
    nodes: RandomNodes | Nodes | NodeConstants,
    eta: float | None = None,
    *,
    eps: float,
    delta: float,
    delta_clustering: float | None = None,
    coupling: Any = "1/s",
) -> CertifiedSize:
    """The least network size for which P(sup over |omega| <= eta of ||T - T^_k|| <= eps) >= 1 - delta is certified.

    Parameters
    ----------
    model : BlockModel
        Its proportions; its own size does not matter.
    nodes : RandomNodes, Nodes or NodeConstants
        What `node_constants` takes, or its result.
    eta : float
        Of the band [rad/s]; left out with NodeConstants.
    eps : float
        Error in units of T, > 0.
    delta : float
        Probability of more, in (0, 1).
    delta_clustering : float, optional
        What of it is left for the clustering to miss the blocks (delta_SC), 0 <= delta_SC < delta; half of delta by default.
    coupling : as of `Network`
        Left out with NodeConstants.

    Returns
    -------
    CertifiedSize
        n is None, with the reason, where no size is certified: blocks without a gap, nodes that are not passive or not bounded.

    Raises
    ------
    InputError
        eps, delta or delta_clustering out of range.

    Notes
    -----
    The certificate is of the refined interconnection of Algorithm 1 and rests on the clustering (Assumption 3.2). `block_errors`
    measures both.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.10 with its constants corrected; J. Tropp, User-friendly tail bounds for sums of random
    matrices (2012), Theorem 1.4; C. Davis and W. Kahan (1970). Derivation in the module.

    Examples
    --------
    >>> import numpy as np
    >>> from coherence import BlockModel, NodeConstants, certified_size
    >>> q, w = np.full((3, 3), 0.1) + 0.7 * np.eye(3), [[20, 0.4, 0.8], [0.4, 20, 0.7], [0.8, 0.7, 20]]
    >>> nodes = NodeConstants(eta=1.0, gamma=1.0, largest=4.0, radius=0.945, least_coupling=1.0)
    >>> certified_size(BlockModel([20, 40, 20], q, w), nodes, eps=1.0, delta=0.1, delta_clustering=0.05).frame["n"].tolist()
    [2584, 5152, 28360, 246849532]
    """
    if not isinstance(model, BlockModel):
        raise InputError(f"model is a {type(model).__name__}; give a BlockModel")
    if not (_number(eps) and eps > 0):
        raise InputError(f"eps = {eps!r}; give an error > 0 in units of T")
    if not (_number(delta) and 0 < delta < 1):
        raise InputError(f"delta = {delta!r}; give a probability in (0, 1)")
    left = 0.5 * delta if delta_clustering is None else delta_clustering
    if not (_number(left) and 0 <= left < delta):
        raise InputError(f"delta_clustering = {left!r}; give a probability >= 0 and below delta = {delta:g}")
    if isinstance(nodes, NodeConstants):
        if eta is not None and eta != nodes.eta:
            raise InputError(f"eta = {eta!r}, but the constants are of |omega| <= {nodes.eta:g}; leave eta out")
        constants = nodes
    elif eta is None:
        raise InputError("eta is missing; give the end of the band in rad/s")
    else:
        constants = node_constants(nodes, eta, coupling=coupling)
    rows, reasons = {}, {}
    for form in FORMS:
        if form == "as printed":
            at, why = _printed(model, constants, eps, delta)
        else:
            at, why = _corrected(model, constants, eps, delta - left, form)
        m = None if why else _least(lambda m, at=at: at(m)["bound"] <= eps, model)  # type: ignore[misc]
        if m is None:
            reasons[form] = why or f"it would take more than {MOST:.0e} nodes"
        rows[form] = {} if m is None else {"n": m * _unit(model).n} | at(m)
    index = pd.Index(FORMS, name="form")
    frame = pd.DataFrame([rows[form] for form in FORMS], index=index, columns=COLUMNS[1:], dtype=float)
    frame.insert(0, "n", pd.Series([rows[form].get("n") for form in FORMS], index, dtype=object))
    return CertifiedSize(model, constants, float(eps), float(delta), float(left), frame, reasons)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _unit(model: BlockModel) -> BlockModel:
    """The smallest model of the same proportions."""
    return BlockModel(model.sizes // math.gcd(*model.sizes.tolist()), model.probabilities, model.weights)


def _least(holds: Callable[[int], bool], model: BlockModel) -> int | None:
    """The least multiple of the unit with at least two nodes a block for which a condition holds that more nodes do not end."""
    unit = _unit(model)
    low = 1 if unit.sizes.min() > 1 else 2
    if holds(low):
        return low
    high = 2 * low
    while not holds(high):
        low, high = high, 2 * high
        if high * unit.n > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _corrected(
    model: BlockModel, x: NodeConstants, eps: float, delta: float, form: str
) -> tuple[Callable[[int], dict[str, float]], str]:
    """The bound and its parts for m times the unit, and why there is none."""
    unit = _unit(model)
    # two nodes a block at least, so that every block has its eigenvalue: twice the unit has, and all is in proportion
    twice = BlockModel(2 * unit.sizes, unit.probabilities, unit.weights)
    gap, star, variance = twice.gap / 2, float(twice.within_values.min()) / 2, largest_variance(twice) / 2
    q, variances = unit.probabilities, unit.weight_variances
    random = (q > 0) & (q < 1)
    most = 2.0 * float((unit.weights * np.maximum(q, 1 - q))[random].max(initial=0.0))
    r = x.largest if form == "and M in place of r" else min(x.radius, x.largest)
    by_degrees = form != "certified"

    def at(m: int) -> dict[str, float]:
        v = 2 * variance * m
        if by_degrees:
            v = 4 * float((m * (variances @ unit.sizes) - np.diag(variances)).max())
        level = math.log(2 * m * unit.n / delta)
        t = most * level / 3 + math.sqrt((most * level / 3) ** 2 + 2 * v * level)
        parts = {"t": t, "gap": m * gap, "lambda*": m * star}
        room = x.least_coupling * (m * star - t) - x.largest - x.gamma * r**2
        if not (m * gap > 2 * t and room > 0):
            return {"bound": math.inf} | parts
        sine = t / (m * gap - t)
        modal = (1 + x.gamma**2 * r**2) / room
        refined = 2 * (x.gamma + x.gamma**2 * r) * 2 * math.sin(0.5 * math.asin(sine))
        return {"bound": modal + refined} | parts | {"sin theta": sine, "||T - T_k||": modal, "||T_k - T^_k||": refined}

    near = 1e-12 * star
    apart = connected_components(unit.mean_weights > 0)[0] > 1
    why = x.missing
    if not why and apart:
        why = "blocks that nothing joins: every draw falls apart, and has no groups"
    if not why and gap <= near:
        why = "the blocks have no gap: lambda_k of L_blk is not below lambda_{k+1}"
    return at, why


def _printed(model: BlockModel, x: NodeConstants, eps: float, delta: float) -> tuple[Callable[[int], dict[str, float]], str]:
    """(3.50), (3.52) and (3.53) for m times the unit; the bound is eps where they hold."""
    unit = _unit(model)
    b, k = unit.mean_weights, unit.k
    least, largest = int(unit.sizes.min()), int(unit.sizes.max())
    inside = np.diag(b)
    difference = float(inside.min() - 2 * (largest / least) * (b.sum(axis=1) - inside).max())
    squares = float((unit.probabilities * unit.weights**2).sum(axis=1).max())
    needed = (2 / eps * (x.gamma * x.largest + 1) ** 2 + x.largest + x.gamma * x.largest**2) / max(x.least_coupling, 1e-300)

    def at(m: int) -> dict[str, float]:
        level = math.log(24 * m * unit.n / delta)
        t = 8 * math.sqrt(k * m * largest * squares * level)
        holds = k * m * least * squares >= 16 * level  # (3.50) with 4 n^-c = delta/6
        holds &= float(b.sum(axis=1).min()) * m * least - t >= needed
        holds &= eps / (8 * math.sqrt(k) * (x.gamma + x.gamma**2 * x.largest)) * difference * m * least >= t
        return {
            "bound": eps if holds else math.inf,
            "t": t,
            "gap": difference * m * least,
            "lambda*": b.sum(axis=1).min() * m * least,
        }

    return at, x.missing or ("" if difference > 0 else f"(3.39) fails: min B_ii - 2 rho max sum B_ij = {difference:.4g}")
