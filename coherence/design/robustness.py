r"""What a controller designed on a reduced network may trust: the reduction error as additive uncertainty, by small gain.

Through the channels that the controller uses the full network is P = P_r + D, with P_r of the reduced one. Under p = K v the error
D sees M = K (I - P_r K)^{-1}, and where M and D are stable the full loop is stable if

    ||M D||_inf < 1,        and a fortiori where ||M(jw)|| ||D(jw)|| < 1 at every frequency.

The first is of this very network, as an interval that holds the norm. The second needs the size of D only, so it holds for every
network that close to the reduced one; it is bounded over all frequencies, between samples too, by levels whose crossings are
eigenvalues (`numerics.norms.gain_envelope`). The frequencies up to which it holds are the band in which the reduced model may be
trusted with this controller: beyond, the controller must have rolled off, or the model be finer.

Storage that answers locally, u_i = -w_i k(s) y_i, has a channel at every node, P = W^(1/2) T W^(1/2), where the reduced model is
that of one motion, v v^T g_hat, v = W^(1/2) 1. Virtual inertia is no feedback but part of the nodes of both; what is left of k is
proper. Its band is that of ||M D|| itself: up to the first frequency where that is 1, an eigenvalue again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.design.channels import channels, require_partition_of
from coherence.design.closing import feedback_of
from coherence.design.plant import seen_through
from coherence.design.sharing import Shares
from coherence.display import Page
from coherence.errors import InputError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop, Feedback, lower_connected
from coherence.network.network import Network
from coherence.nodes.nodes import Nodes
from coherence.numerics.norms import Supremum, gain_crossings, gain_envelope, hinf_norm
from coherence.numerics.realization import Realization, cascade, difference, repeated, without_hidden
from coherence.numerics.threads import single_thread
from coherence.theory.stability import stability
from coherence.types import Real

MOST_STATES, CHECKED_STATES = 800, 400  # some fifty eigenvalue problems of twice as many rows: half a minute; in checks, seconds
ERROR_RATIO, LOOP_RATIO = 2.0**0.25, 1.03  # of the ladders of the error and of M: the bounds are as much too large at most
POINTS = 400  # of the curve


@dataclass(frozen=True, eq=False, repr=False)
class SmallGain(Page):
    """Whether the reduction error can destabilise a loop, and in which band it cannot; see `small_gain`.

    Attributes
    ----------
    holds : bool
        ||M D||_inf < 1, certified: the loop is stable on the full network.
    gain : Supremum
        The interval that holds ||M D||_inf, and where it is attained [rad/s]; NaN where the premises fail.
    safe_to : float
        Up to where ||M|| ||D|| < 1, proved at this and every lower frequency [rad/s]; infinite: everywhere.
    tolerates : float
        By how much the error may at least be larger at every frequency, 1 / sup ||M|| ||D|| but for the bound, up to a fifth too
        large; so `safe_to` may be a little low.
    curve : DataFrame
        omega [rad/s] -> error ||D||, loop ||M||, product, bound (of the product, proved between the samples); of local storage
        error, loop and gain ||M D||.
    reason : str
        Which premise fails, if any.
    by_sizes : bool
        Whether `safe_to` and `tolerates` ask for the size of D only; else they are of ||M D||.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, Partition, small_gain, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1], labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    >>> one = Partition.of(["all", "all"], labels=["a", "b"])
    >>> brake = control.ss([], [], [], [[-1.0]], inputs=["w[all]"], outputs=["p[all]"])
    >>> small_gain(network, network.project(one), brake, one).holds
    True
    """

    holds: bool
    gain: Supremum
    safe_to: float
    tolerates: float
    curve: pd.DataFrame
    reason: str = ""
    by_sizes: bool = True

    def __repr__(self) -> str:
        return f"SmallGain({self.sentence})"

    @property
    def sentence(self) -> str:
        """In words."""
        if self.reason:
            return f"says nothing: {self.reason}"
        first = f"||M D||_inf = {self.gain.upper:.4g} at {self.gain.omega:.4g} rad/s"
        how = "by sizes alone safe" if self.by_sizes else "below 1"
        verdict = "stable on the full network: " if self.holds else "no proof of stability: "
        return f"{verdict}{first}; {how} {self._band}"

    @property
    def _band(self) -> str:
        if np.isinf(self.safe_to):
            return f"at every frequency, with {self.tolerates:.3g} times the error, too"
        return f"up to {self.safe_to:.4g} rad/s ({self.safe_to / (2 * np.pi):.3g} Hz)" if self.safe_to > 0 else "at no frequency"

    @property
    def facts(self) -> dict[str, str]:
        """The statement."""
        return {"small gain": self.sentence}


def small_gain(
    full: Network,
    reduced: Network,
    controller: Any,
    partition: Partition | None = None,
    *,
    shares: Shares = "inertia",
    measured: Shares = "shares",
) -> SmallGain:
    """The reduction error as additive uncertainty of a loop: whether it is safe, by how much, and up to which frequency.

    Parameters
    ----------
    full : Network
        Stable; at most 800 states with the reduced one's.
    reduced : Network
        Its nodes are the groups.
    controller : StateSpace or TransferFunction
        As for `close_loop`.
    partition : Partition, optional
    shares, measured : as for `close_loop`

    Returns
    -------
    SmallGain
        A statement that fails is a result, and no proof of instability: see `stability` of the closed loop.

    Raises
    ------
    InputError
        Networks that do not belong together, too many states, passive nodes, or a loop that is not well posed.
    UnknownNameError
        A signal that does not exist.

    Notes
    -----
    Premises: the loop on the reduced network is stable, and so is the full network without it, as wholes. Cost: some fifty
    eigenvalue problems of twice the number of states.

    References
    ----------
    K. Zhou, J. Doyle, Essentials of Robust Control (1998), additive uncertainty.

    Examples
    --------
    See `SmallGain`.
    """
    require_partition_of(full, partition, reduced)
    if full.nodes.passive.any():
        raise InputError("a certificate needs nodes with dynamics; give the full network without passive ones, full.kron_reduce()")
    if full.order + reduced.order > MOST_STATES:
        together = full.order + reduced.order
        raise InputError(f"the networks have {together} states together; at most {MOST_STATES} are certified: reduce the full one")
    wide, narrow = channels(full, partition, shares=shares, measured=measured), channels(reduced)
    ours, theirs = feedback_of(wide, controller), feedback_of(narrow, controller)
    error = without_hidden(difference(_seen(full, ours), _seen(reduced, theirs)))
    loop = without_hidden(_sensitivity(_seen(reduced, theirs), theirs.controller))
    alone = stability(full)
    if not alone.stable:
        return _silent(f"the full network alone is {alone.sentence}")
    promised = stability(ClosedLoop(reduced, theirs))
    if not promised.stable:
        return _silent(f"the loop on the reduced network is {promised.sentence}")
    return _premises(error, loop) or _certified(error, loop)


def margin_of_check(
    full: Network, reduced: Network, controller: Any, partition: Partition | None, *, shares: Shares, measured: Shares
) -> SmallGain | None:
    """`small_gain` where it takes seconds, and there are no passive nodes; else None."""
    if full.order + reduced.order > CHECKED_STATES or full.nodes.passive.any():
        return None
    return small_gain(full, reduced, controller, partition, shares=shares, measured=measured)


def local_small_gain(full: Network, aggregate: Network, control: Nodes, weights: Real) -> SmallGain:
    """The same of storage that answers locally, k_i = w_i k, designed on the coherent dynamics.

    Parameters
    ----------
    full : Network
        Without the storage.
    aggregate : Network
        Of one node, that the storage was designed on.
    control : Nodes
        One node whose inverse is k.
    weights : (n,) array
        w, summing to 1.
    """
    if full.nodes.passive.any():
        return _silent("a certificate needs nodes with dynamics, and this network has passive ones (full.kron_reduce() has none)")
    law, _ = control.proper_part()
    polynomial = np.pad(control.polynomial[:, 0], (0, max(0, 2 - len(control.polynomial))))
    here = np.flatnonzero(weights)
    p, root = here.size, np.sqrt(weights[here])
    if full.order + aggregate.order + p * law.order > MOST_STATES:
        return _silent(f"storage of {p * law.order} states on {full.order} is too much for a certificate (at most {MOST_STATES})")
    inertia = [np.array([[0.0] * len(w), polynomial[1] * w]) for w in (weights, np.ones(1))]
    wide, narrow = (
        Network(one.nodes.plus(Nodes(one.labels, extra)), one.laplacian, one.coupling).realization
        for one, extra in zip((full, aggregate), inertia, strict=True)
    )
    v = root[:, None]
    ours = Realization(wide.a, wide.b[:, here] * root, v * wide.c[here], v * wide.d[np.ix_(here, here)] * root)
    theirs = narrow.transformed(left=v, right=v.T)
    error = without_hidden(difference(ours, theirs))
    answers = Realization(law.a, law.b, -law.c, np.array([[-polynomial[0]]]))
    loop = without_hidden(_sensitivity(theirs, repeated(answers, p)))
    refused = _premises(error, loop)
    if refused is not None:
        return refused
    product = cascade(error, loop)
    with single_thread(product.order):
        gain = hinf_norm(product, rtol=1e-4)
        first = gain_crossings(product, 1.0)
    omega = _grid(error, loop)
    sizes = {
        name: np.linalg.norm(one(1j * omega), 2, axis=(1, 2)) for name, one in (("error", error), ("loop", loop), ("gain", product))
    }
    curve = pd.DataFrame(sizes, index=pd.Index(omega, name="omega [rad/s]"))
    safe_to = np.inf if gain.upper < 1.0 else float(first.min(initial=gain.omega))
    if np.linalg.norm(product(0.0)[0], 2) >= 1.0:
        safe_to = 0.0
    return SmallGain(gain.upper < 1.0, gain, safe_to, 1.0 / gain.upper if gain.upper > 0 else np.inf, curve, by_sizes=False)


def _premises(error: Realization, loop: Realization) -> SmallGain | None:
    """Why small gain says nothing, where it does."""
    for one, what in ((loop, "the loop on the reduced network, from its measurements"), (error, "the error between the networks")):
        if not one.is_stable():
            return _silent(f"{what}, is not stable beyond rounding (pole at {one.poles()[0]:.4g} 1/s)")
    if not cascade(error, loop).is_stable():
        return _silent("the loop and the error together are stable only within rounding: the gains differ by too many decades")
    return None


def _seen(network: Network, feedback: Feedback) -> Realization:
    return seen_through(network, feedback.actuators, feedback.outputs, feedback.flows)


def _sensitivity(plant: Realization, k: Realization) -> Realization:
    """M = K (I - P K)^{-1}, from what is added to the measurements to the control powers."""
    (p, q), n = k.d.shape, plant.order
    wider = Realization(
        plant.a,
        np.hstack([np.zeros((n, q)), plant.b]),
        np.vstack([np.zeros((p, n)), plant.c]),
        np.block([[np.zeros((p, q)), np.eye(p)], [np.eye(q), plant.d]]),
    )
    return lower_connected(wider, k)


def _silent(reason: str) -> SmallGain:
    nan = float("nan")
    return SmallGain(False, Supremum(nan, nan, nan), 0.0, nan, pd.DataFrame(), reason)


def _certified(error: Realization, loop: Realization) -> SmallGain:
    product = cascade(error, loop)
    with single_thread(product.order):
        return _certified_by(error, loop, product)


def _certified_by(error: Realization, loop: Realization, product: Realization) -> SmallGain:
    gain = hinf_norm(product, rtol=1e-4)
    most_error, most_loop = hinf_norm(error), hinf_norm(loop)
    if most_error.upper == 0 or most_loop.upper == 0:
        none = pd.DataFrame()
        return SmallGain(True, Supremum(0.0, 0.0, 0.0), np.inf, np.inf, none)
    of_error = gain_envelope(error, least=min(most_error.upper, 0.5 / most_loop.upper), ratio=ERROR_RATIO)
    of_loop = gain_envelope(loop, least=min(most_loop.upper, 0.5 / most_error.upper), ratio=LOOP_RATIO)
    edge = np.unique(np.concatenate([of_error.edge, of_loop.edge]))
    middle = np.append(0.5 * (edge[1:] + edge[:-1]), 2 * edge[-1] + 1.0)
    bound = of_error.at(middle) * of_loop.at(middle)
    failing = np.flatnonzero(bound >= 1.0)
    safe_to = float(edge[failing[0]]) if failing.size else np.inf
    omega = _grid(error, loop)
    sizes = [np.linalg.norm(one(1j * omega), 2, axis=(1, 2)) for one in (error, loop)]
    curve = pd.DataFrame(
        {"error": sizes[0], "loop": sizes[1], "product": sizes[0] * sizes[1], "bound": of_error.at(omega) * of_loop.at(omega)},
        index=pd.Index(omega, name="omega [rad/s]"),
    )
    return SmallGain(gain.upper < 1.0, gain, safe_to, 1.0 / float(bound.max()), curve)


def _grid(error: Realization, loop: Realization) -> Real:
    """Frequencies around all poles."""
    size = np.abs(np.concatenate([error.poles(), loop.poles()]))
    size = size[size > 0]
    swings = np.abs(np.concatenate([error.poles().imag, loop.poles().imag]))
    return np.unique(np.concatenate([np.geomspace(size.min() / 10, 10 * size.max(), POINTS), swings[swings > 0]]))
