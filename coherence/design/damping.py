r"""Damping of an oscillation between groups: what one group swings ahead is taken there and given to another.

    p = -kappa h(s) v v^T w,       1^T v = 0,

w the groups' outputs, v = e_a - e_b for two groups (power moved from a to b, as over a direct-current line or by two storages in
turn), h a filter (lag, washout) that is 1 by default. The loop is scalar, with g(s) = h v^T T v the poles under gain kappa are the
roots of

    1/g(lambda) + kappa = 0,

followed from the mode at kappa = 0 by Newton steps, one solve with Y(lambda) each: the same for the reduced network and for a large
sparse one. To first order d lambda = -kappa h v^T R v, R the residue of T at the mode, which is how the two groups are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.design.channels import channels, require_partition_of
from coherence.design.closing import close_loop
from coherence.design.robustness import margin_of_check
from coherence.design.sharing import Shares, shared
from coherence.design.verification import DAMPING_STATES, Verification, compared, least_damping_ratio
from coherence.display import Page
from coherence.errors import InputError, PoleError, ToleranceError
from coherence.graphs.partition import Partition
from coherence.network.modes import Modes, oscillations
from coherence.network.network import Network, require_nodes, signal_names
from coherence.nodes.systems import realized, to_control
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.theory.stability import stability

if TYPE_CHECKING:
    import control

REACH = 0.02  # of |lambda|: how far a step of the gain moves the mode
STEPS = 2000  # of the gain at most
NEWTON = 40
CLOSE = 1e-12  # of |lambda|: a Newton step that ends the search
APART = 1e-5  # of |lambda|: for the derivative of 1/g
PAST = 0.5  # of the largest damping ratio met: below it no further gain is tried
FEW = 12  # modes near the frequency of the design, where all are too many
AMBIGUOUS = 0.2  # of likeness: another mode that is named
NOTHING = 1e-12  # of |lambda|: a real part that is rounding
SEEN = 1e-9  # of the largest effect on a mode: that of a pair that does not see it
Loop = Callable[[complex], complex]


@dataclass(frozen=True, eq=False, repr=False)
class ModeDamper(Page):
    """A damping controller between groups; see `damp_mode`.

    Attributes
    ----------
    network : Network
        That it was designed on.
    controller : StateSpace
        From w[g] to p[g] of the groups of `direction`; injected as it is.
    gain : float
        kappa [grids: pu s/rad].
    ratio : float
        The damping ratio asked.
    direction : dict of str -> float
        v.
    before, after : complex
        The mode without and under control [1/s].
    modes : Modes
        Of the network without control.

    Examples
    --------
    >>> from coherence import Network, damp_mode, swing
    >>> network = Network(swing(inertia=[1, 2], damping=0.01, labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> design = damp_mode(network, ratio=0.2)
    >>> design.direction, round(design.gain, 3)
    ({'a': 1.0, 'b': -1.0}, 0.321)
    """

    network: Network
    controller: control.StateSpace
    gain: float
    ratio: float
    direction: dict[str, float]
    before: complex
    after: complex
    modes: Modes
    dynamics: Realization = field(repr=False)

    def __repr__(self) -> str:
        a, b = self.direction
        return (
            f"ModeDamper({_hz(self.before):.4g} Hz between {a} and {b}: damping ratio {_ratio(self.before):.3g} -> "
            f"{_ratio(self.after):.3g} by {self.gain:.4g})"
        )

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The mode without and under control, on the network of the design."""
        rows = {name: [_hz(p), _ratio(p), p.real] for name, p in (("without", self.before), ("under control", self.after))}
        return {"mode": pd.DataFrame.from_dict(rows, orient="index", columns=["frequency [Hz]", "damping ratio", "real [1/s]"])}

    def check(
        self,
        full: Network,
        partition: Partition | None = None,
        *,
        shares: Shares = "inertia",
        measured: Shares = "shares",
        margin: bool = True,
    ) -> Verification:
        """The controller on the full network: the same mode there, followed from zero gain, and all others.

        Parameters
        ----------
        full : Network
        partition : Partition, optional
            Whose groups are the nodes of the network of the design.
        shares : "inertia", "equal" or node -> weight
            Which nodes of a group take its power.
        measured : "shares", "inertia", "equal" or node -> weight
            Which mean of a group's outputs is measured; where the power acts, by default.
        margin : bool
            Whether the small-gain margin is computed, up to 400 states and without passive nodes.

        Returns
        -------
        Verification
            Frequency and damping ratio of the mode, and the least damping ratio of all oscillations (where all poles are computed);
            with the small-gain margin up to 400 states.

        Raises
        ------
        InputError
            A partition that does not relate the networks, or a full network without such a mode.
        """
        require_partition_of(full, partition, self.network)
        closed = close_loop(full, self.controller, partition, shares=shares, measured=measured)
        loop = _loop(full, partition, self.direction, self.dynamics, shares, measured)
        start, alike = _counterpart(self, full, partition)
        notes: tuple[str, ...] = (alike,)
        try:
            end = _followed(loop, start, self.gain)
        except ToleranceError as error:
            end, notes = complex(np.nan, np.nan), (*notes, f"the mode was not followed to the full gain: {error}")
        verdict = stability(closed)
        rows: dict[str, list[float | None]] = {
            "damping ratio": [self.ratio, _ratio(self.after), _ratio(end)],
            "frequency [Hz]": [None, _hz(self.after), _hz(end)],
            "damping ratio without": [None, _ratio(self.before), _ratio(start)],
            "frequency without [Hz]": [None, _hz(self.before), _hz(start)],
        }
        own = close_loop(self.network, self.controller)
        if closed.order <= DAMPING_STATES:
            rows["least damping ratio of all"] = [None, least_damping_ratio(own.poles()), least_damping_ratio(closed.poles())]
        safe = margin_of_check(full, self.network, self.controller, partition, shares=shares, measured=measured) if margin else None
        return Verification(compared(rows), verdict, closed, margin=safe, notes=notes)


def damp_mode(
    network: Network,
    *,
    ratio: float,
    near_hz: float | None = None,
    between: tuple[str, str] | None = None,
    dynamics: Any = None,
) -> ModeDamper:
    """The least gain of feedback between two groups that gives an oscillation the damping ratio asked.

    Parameters
    ----------
    network : Network
        Reduced: one node per group; swing-type nodes, coupling 1/s.
    ratio : float
        Damping ratio -Re/|lambda| asked, above what there is and below 1.
    near_hz : float, optional
        Which mode; the slowest by default.
    between : (str, str), optional
        The two groups; by default those of which the mode takes most damping for a small gain.
    dynamics : StateSpace or TransferFunction, optional
        h(s): one input, one output, as a measurement lag or a washout; 1 by default.

    Returns
    -------
    ModeDamper
        With `check(full, partition)`.

    Raises
    ------
    InputError
        A ratio that no gain is found to reach (the largest met is named), a mode that the two groups do not see, a network
        without oscillations.
    UnknownNameError
        A group that does not exist.

    Notes
    -----
    With h = 1 (or positive real) and measured where it acts, the feedback is passive and leaves passive networks stable, the
    reduced and the full one; to first order it takes damping from no mode of lossless machines. Otherwise the small-gain margin and
    the eigenvalues of `check` decide.

    Examples
    --------
    >>> from coherence import aggregate, coherent_groups, damp_mode, linearize, load_case
    >>> machines = linearize(load_case("nets_nyps68"), convention="classical")
    >>> areas = coherent_groups(machines, 5, method="slow_coherency")
    >>> damp_mode(aggregate(machines, areas, interconnection="quotient").network, ratio=0.1)
    ModeDamper(0.3927 Hz between 1 and 4: damping ratio 0 -> 0.1 by 0.9208)
    """
    require_nodes(network, "damping between groups")
    if not isinstance(network.coupling, Rational) or network.coupling != Rational((1.0,), (1.0, 0.0)):
        raise InputError(f"damping of swings needs the coupling 1/s; this network's is {network.coupling.sentence}")
    if network.size < 2:
        raise InputError("damping between groups needs at least two; this network has one node")
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float, np.number)) or not 0 < ratio < 1:
        raise InputError(f"ratio = {ratio!r}; give a damping ratio above 0 and below 1")
    if near_hz is not None and (not isinstance(near_hz, (int, float, np.number)) or not 0 < near_hz < np.inf):
        raise InputError(f"near_hz = {near_hz!r}; give a frequency in Hz > 0")
    found = _oscillations(network)
    if found.table.empty:
        raise InputError("the network has no oscillation between its nodes to damp")
    place = 0 if near_hz is None else int(np.abs(found.table["frequency_hz"].to_numpy() - near_hz).argmin())
    mode = complex(found.eigenvalues[place])
    h = _dynamics(dynamics)
    if between is not None and (isinstance(between, str) or not isinstance(between, Sequence) or len(set(between)) != 2):
        raise InputError(f"between = {between!r}; give two different groups")
    pair = _best_pair(network, mode, h) if between is None else (str(between[0]), str(between[1]))
    direction = {pair[0]: 1.0, pair[1]: -1.0}
    if _ratio(mode) >= ratio:
        raise InputError(f"the mode at {_hz(mode):.4g} Hz has a damping ratio of {_ratio(mode):.3g} already; ask for more")
    gain, after = _gain_for(_loop(network, None, direction, h, "inertia", "inertia"), mode, float(ratio), pair)
    return ModeDamper(network, _controller(direction, gain, h), gain, float(ratio), direction, mode, after, found, h)


def _dynamics(given: Any) -> Realization:
    if given is None:
        return Realization(np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.ones((1, 1)))
    system, inputs, outputs = realized(given, "is no filter", what="the filter `dynamics`")
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"the filter `dynamics` has {len(inputs)} inputs and {len(outputs)} outputs; give one of each")
    if system.order and not system.is_stable():
        raise InputError(f"the filter `dynamics` is not stable (pole at {system.poles()[0]:.4g} 1/s); give a stable one")
    return system


def _controller(direction: dict[str, float], gain: float, h: Realization) -> control.StateSpace:
    v = np.array(list(direction.values()))
    return to_control(
        Realization(h.a, h.b @ v[None, :], -gain * v[:, None] @ h.c, -gain * h.d[0, 0] * np.outer(v, v)),
        inputs=signal_names([f"w[{group}]" for group in direction]),
        outputs=signal_names([f"p[{group}]" for group in direction]),
        states=[f"h[{i}]" for i in range(h.order)],
        name="mode_damper",
    )


def _loop(
    network: Network, partition: Partition | None, direction: dict[str, float], h: Realization, shares: Shares, measured: Shares
) -> Loop:
    """g(s) = h v^T C T W v."""
    found = channels(network, partition, shares=shares, measured=measured)
    acts = sum(x * found.power(signal_names([f"p[{g}]"])[0]) for g, x in direction.items())
    sees = sum(x * found.measurement(signal_names([f"w[{g}]"])[0])[0] for g, x in direction.items())
    shape = np.asarray(acts)[:, None]

    def g(s: complex) -> complex:
        return complex((np.asarray(sees) @ network.transfer_of(s, shape)[0, :, 0]) * h(s)[0, 0, 0])

    return g


def _best_pair(network: Network, mode: complex, h: Realization) -> tuple[str, str]:
    """The two nodes between which a small gain damps the mode most: largest Re of h v^T R v."""
    system = network.realization
    values, right = np.linalg.eig(system.a)
    left = np.linalg.inv(right)
    at = int(np.abs(values - mode).argmin())
    residue = np.outer(system.c @ right[:, at], left[at] @ system.b)
    own = np.diag(residue)
    pairs = ((own[:, None] + own[None, :] - residue - residue.T) * h(mode)[0, 0, 0]).real
    a, b = np.unravel_index(int(np.triu(pairs, 1).argmax()), pairs.shape)
    if not np.triu(pairs, 1)[a, b] > SEEN * np.abs(residue).max():
        raise InputError(f"no feedback between two groups damps the mode at {_hz(mode):.4g} Hz with this `dynamics`; change it")
    return network.labels[int(a)], network.labels[int(b)]


def _newton(g: Loop, gain: float, start: complex) -> complex | None:
    """The root of 1/g + gain next to a start; None where it is not found near."""
    value = start
    for _ in range(NEWTON):
        step = APART * abs(value)
        try:
            here, ahead, behind = (1.0 / g(value + offset) for offset in (0.0, step, -step))
        except (PoleError, ZeroDivisionError):
            value *= 1 + 1e-9
            continue
        change = -(here + gain) / ((ahead - behind) / (2 * step))
        if not np.isfinite(change) or abs(value + change - start) > 0.2 * abs(start):
            return None
        value += change
        if abs(change) <= CLOSE * abs(value):
            return value
    return value if abs(change) <= 1e-8 * abs(value) else None


def _speed(g: Loop, value: complex) -> complex:
    """D lambda / d kappa."""
    step = APART * abs(value)
    return complex(-2 * step / (1.0 / g(value + step) - 1.0 / g(value - step)))


def _steps(g: Loop, start: complex, most: float = np.inf) -> Any:
    """(gain, mode) along the locus from a mode at gain 0, in steps that move it by 2 % at most."""
    gain, value, factor = 0.0, start, 1.0
    for _ in range(STEPS):
        yield gain, value
        if gain >= most:
            return
        speed = _speed(g, value)
        step = min(factor * REACH * abs(value) / abs(speed), most - gain, 2.0 * gain + REACH * abs(value) / abs(speed))
        found = _newton(g, gain + step, value + step * speed)
        if found is None or abs(found - value) > 4 * REACH * abs(value):
            factor /= 4
            if factor < 1e-6:
                raise ToleranceError(f"two modes meet near {value:.4g} 1/s at gain {gain:.4g}, and none can be followed alone")
            continue
        gain, value, factor = gain + step, found, min(1.0, 2 * factor)


def _followed(g: Loop, start: complex, gain: float) -> complex:
    *_, (reached, value) = _steps(g, start, gain)
    if reached < gain:
        raise ToleranceError(f"the mode was followed to the gain {reached:.4g} only, of {gain:.4g}")
    return complex(value)


def _gain_for(g: Loop, start: complex, ratio: float, pair: tuple[str, ...]) -> tuple[float, complex]:
    """The least gain with that damping ratio."""
    best, before = (_ratio(start), 0.0), (0.0, start)
    try:
        for gain, value in _steps(g, start):
            if _ratio(value) >= ratio:
                return _between(g, before, (gain, value), ratio)
            best, before = max(best, (_ratio(value), gain)), (gain, value)
            if _ratio(value) < PAST * best[0] or abs(value.imag) <= SEEN * abs(value):
                break
    except ToleranceError:
        pass
    raise InputError(
        f"no gain of feedback between {pair[0]!r} and {pair[1]!r} gives the mode at {_hz(start):.4g} Hz a damping ratio of "
        f"{ratio:g}: the largest met is {best[0]:.3g}, at gain {best[1]:.4g}; ask for less, or choose other groups or dynamics"
    )


def _between(g: Loop, low: tuple[float, complex], high: tuple[float, complex], ratio: float) -> tuple[float, complex]:
    """Bisection of the gain between two neighbouring points of the locus."""
    for _ in range(60):
        gain = 0.5 * (low[0] + high[0])
        share = (gain - low[0]) / (high[0] - low[0]) if high[0] > low[0] else 0.0
        value = _newton(g, gain, low[1] + share * (high[1] - low[1]))
        if value is None:
            break
        low, high = ((gain, value), high) if _ratio(value) < ratio else (low, (gain, value))
        if high[0] - low[0] <= 1e-12 * high[0]:
            break
    return high


def _counterpart(design: ModeDamper, full: Network, partition: Partition | None) -> tuple[complex, str]:
    """The full network's mode that is most like the design's, and how much.

    Alike are modes whose kinetic energy lies in the same motion of the groups: |a^H b| / (|a| |b|) with a = M_k^(1/2) shape of the
    design, b = M_k^(1/2) C shape of the full network, |b| taken with what moves within the groups, too. Less what they are apart in
    the logarithm of frequency.
    """
    near: dict[str, Any] = {} if full.order <= DAMPING_STATES else {"count": FEW, "near_hz": _hz(design.before)}
    modes = _oscillations(full, **near)
    if modes.table.empty:
        raise InputError("the full network has no oscillation between its nodes")
    place = int(np.abs(design.modes.eigenvalues - design.before).argmin())
    own, shapes = design.modes.shapes.to_numpy()[:, place], modes.shapes.to_numpy()
    moving = ~full.nodes.passive
    centers = np.eye(full.size) if partition is None else shared(full, partition, "inertia").T
    mass = np.sqrt(design.network.nodes.inertia)
    whole = np.linalg.norm(np.sqrt(np.maximum(full.nodes.inertia[moving], 0.0))[:, None] * shapes, axis=0)
    alike = np.abs((mass * own).conj() @ (mass[:, None] * (centers[:, moving] @ shapes))) / (np.linalg.norm(mass * own) * whole)
    score = alike - np.abs(np.log(modes.eigenvalues.imag / design.before.imag))
    order = np.argsort(-score, kind="stable")
    shown = [f"{_hz(complex(modes.eigenvalues[i])):.4g} Hz (alike to {alike[i]:.2f} of 1)" for i in order[:2]]
    also = f"; next {shown[1]}" if len(shown) > 1 and score[order[0]] - score[order[1]] < AMBIGUOUS else ""
    return complex(modes.eigenvalues[order[0]]), f"the mode followed on the full network is at {shown[0]}{also}"


def _oscillations(network: Network, **near: Any) -> Modes:
    """Modes of the nodes with dynamics, passive ones following at once."""
    idle = network.nodes.passive
    order = np.concatenate([np.flatnonzero(~idle), np.flatnonzero(idle)])
    stiffness = sp.csr_array(network.laplacian)[order][:, order]
    return oscillations(network.nodes.select(np.flatnonzero(~idle).tolist()), stiffness, **near)


def _hz(pole: complex) -> float:
    return abs(pole.imag) / (2 * np.pi)


def _ratio(pole: complex) -> float:
    return -pole.real / abs(pole) if abs(pole.real) > NOTHING * abs(pole) else 0.0
