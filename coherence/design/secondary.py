r"""Secondary frequency control: every area restores its own balance by integral action on its area control error.

    ACE_g = export_g + beta_g w_g,      p_g = -(k_p + 1/(T s)) ACE_g,      beta_g = g_g^{-1}(0) = d_g + droop of the area

Slowly, where all machines move at the quasi-steady frequency w, the balance of area g is g_g^{-1}(0) w + export_g = p_g + u_g.
With the area's own beta its error is then ACE_g = p_g + u_g, what the area still lacks and nothing of the others: each area
replaces what it lost with the time constant T (1 + k_p), frequency and exchanges return to schedule, and none answers for another
(N. Cohn, 1967: tie-line bias control). While turbines are still on their way the frequency is lower than that and areas do more,
for the others, too: the check shows how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from coherence.design.channels import require_partition_of
from coherence.design.closing import close_loop
from coherence.design.robustness import margin_of_check
from coherence.design.sharing import Shares
from coherence.design.verification import Verification, compared
from coherence.display import Page
from coherence.errors import InputError, InstabilityError, PoleError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop, Feedback
from coherence.network.network import Network, require_nodes, signal_names
from coherence.nodes.systems import to_control
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization
from coherence.simulation.controls import control_power
from coherence.simulation.disturbances import Step
from coherence.simulation.response import Response
from coherence.simulation.simulate import simulate
from coherence.theory.stability import Stability, stability
from coherence.types import Real

if TYPE_CHECKING:
    import control

HORIZON = 20.0  # time constants that are looked at
NOTHING = 1e-12  # of the whole step: a loss of an area that is rounding
FREQUENCY, EXCHANGE = "last frequency, CoI, of its nadir", "last exchange, largest, of the loss"
OWN, RISE, LENT = "last power of the area, of the loss", "63 % replaced after [s]", "largest power of another area, of the loss"
SAMPLES = 601  # of the first minute, and of the rest
RISEN = 1.0 - np.exp(-1.0)  # of what was lost: when a first-order lag has gone through its time constant


@dataclass(frozen=True, eq=False, repr=False)
class SecondaryControl(Page):
    """Integral action on the area control errors; see `secondary_control`.

    Attributes
    ----------
    network : Network
        That it was designed on, one node per area.
    controller : StateSpace
        From export[g] and w[g] to p[g] of every area; injected as it is.
    bias : Series
        area -> beta [grids: pu s/rad].
    time_constant : float
        T [s].
    proportional : float
        k_p.
    stability : Stability
        Of the loop on the network of the design.

    Examples
    --------
    >>> from coherence import Network, secondary_control, swing
    >>> areas = Network(swing(inertia=[1, 2], damping=[0.2, 0.3], labels=["a", "b"]), [[1, -1], [-1, 1]], "1/s")
    >>> secondary_control(areas, time_constant=60.0).bias.tolist()
    [0.2, 0.3]
    """

    network: Network
    controller: control.StateSpace
    bias: pd.Series
    time_constant: float
    proportional: float
    stability: Stability

    def __repr__(self) -> str:
        return f"SecondaryControl({len(self.bias)} areas, T = {self.time_constant:g} s; {self.stability.sentence})"

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The bias of every area."""
        return {"areas": self.bias.to_frame()}

    def check(
        self,
        full: Network,
        partition: Partition | None = None,
        *,
        disturbance: Step,
        shares: Shares = "inertia",
        measured: Shares = "shares",
        margin: bool = True,
    ) -> Verification:
        """The controller on the full network after a loss, beside the network of the design.

        Parameters
        ----------
        full : Network
        partition : Partition, optional
            Whose groups are the areas.
        disturbance : Step
            At nodes of the full network; not 0 in every area.
        shares, measured : "inertia", "equal" or node -> weight
            Which nodes of an area take its power, and how its frequency is measured; see `close_loop`.
        margin : bool
            Whether the small-gain margin is computed, up to 400 states and without passive nodes.

        Returns
        -------
        Verification
            Frequency, exchanges and powers after twenty time constants, when the largest loss is replaced to 63 %, what the other
            areas lend meanwhile, and the nadir.

        Raises
        ------
        InputError
            A disturbance that is no step, or a partition that does not relate the networks.
        """
        require_partition_of(full, partition, self.network)
        if not isinstance(disturbance, Step):
            raise InputError(f"the check of secondary control is after a Step; this is a {type(disturbance).__name__}")
        if not full.nodes.inertia.sum() > 0:
            raise InputError("the check looks at the center of inertia, and no node of the full network has inertia")
        u = disturbance.vector(full)
        loss = u if partition is None else partition.indicator.T @ u
        if not np.abs(loss).max() > NOTHING * np.abs(u).sum():
            raise InputError("the step is balanced in every area, so there is nothing to replace; give a loss")
        closed = close_loop(full, self.controller, partition, shares=shares, measured=measured)
        inside = Step(dict(zip(self.network.labels, loss.tolist(), strict=True)))
        promised, _ = _course(close_loop(self.network, self.controller), inside, loss, self)
        found, response = _course(closed, disturbance, loss, self)
        rows = {name: [self._targets.get(name), promised[name], found[name]] for name in promised}
        safe = margin_of_check(full, self.network, self.controller, partition, shares=shares, measured=measured) if margin else None
        return Verification(compared(rows), stability(closed), closed, response, safe)

    @property
    def _targets(self) -> dict[str, float]:
        """An area that replaces its own loss u by -u (k_p T s + 1)/((1 + k_p) T s + 1) has replaced 63 % of it at this time."""
        k = self.proportional
        half = max(0.0, self.time_constant * (1 + k) * (1 - np.log1p(k)))
        return {FREQUENCY: 0.0, EXCHANGE: 0.0, OWN: 1.0, RISE: half}


def secondary_control(
    network: Network, *, time_constant: float, bias: Mapping[str, float] | pd.Series | None = None, proportional: float = 0.0
) -> SecondaryControl:
    """Secondary frequency control with integral action on the area control error of every node of a reduced network.

    Parameters
    ----------
    network : Network
        One node per area, coupling with a pole at 0 (grids: 1/s).
    time_constant : float
        T, in which an area replaces what it lost [s].
    bias : mapping of area -> beta, optional
        Frequency bias [grids: pu s/rad]; by default g^{-1}(0) of each area, its droop and damping.
    proportional : float
        k_p >= 0.

    Returns
    -------
    SecondaryControl
        With `check(full, partition, disturbance=...)`; `stability` says whether the loop on this network is stable.

    Raises
    ------
    InputError
        A time constant that is not positive, a coupling that does not hold exchanges, an area without droop and damping.
    InstabilityError
        Integral action so fast that the loop on this network is unstable; the mode is named.
    UnknownNameError
        A bias of an area that does not exist.

    References
    ----------
    Non-interaction by the area's own characteristic: derived in the module.

    Examples
    --------
    >>> from coherence import Step, aggregate, coherent_groups, linearize, load_case, secondary_control, truncate
    >>> network = linearize(load_case("iceland"))
    >>> areas = coherent_groups(network, 3)
    >>> reduced = truncate(aggregate(network, areas, interconnection="quotient").network, 3).network
    >>> design = secondary_control(reduced, time_constant=60.0)
    >>> found = design.check(network, areas, disturbance=Step({"Burfell 3-4": -1.0}))
    >>> found.stable, found.table.loc["last power of the area, of the loss", "full"].round(3)
    (True, np.float64(0.997))
    """
    require_nodes(network, "secondary control")
    for name, value, least in (("time_constant", time_constant, 0.0), ("proportional", proportional, -0.0)):
        bad = isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not least <= value < np.inf
        if bad or (name == "time_constant" and value == 0):
            raise InputError(f"{name} = {value!r}; give a number {'> 0 [s]' if name == 'time_constant' else '>= 0'}")
    integrates = isinstance(network.coupling, Rational) and network.coupling.den[-1] == 0
    if network.size > 1 and not integrates:
        kind = network.coupling.sentence
        raise InputError(f"exchanges are restored over lines that hold them, f with a pole at 0 (grids: 1/s); f is {kind}")
    beta = _bias(network, bias)
    k, t = network.size, float(time_constant)
    errors = np.hstack([np.eye(k), np.diag(beta)])
    system = Realization(np.zeros((k, k)), errors, -np.eye(k) / t, -float(proportional) * errors)
    controller = to_control(
        system,
        inputs=signal_names([f"export[{g}]" for g in network.labels] + [f"w[{g}]" for g in network.labels]),
        outputs=signal_names([f"p[{g}]" for g in network.labels]),
        states=signal_names([f"ACE[{g}]" for g in network.labels]),
        name="secondary_control",
    )
    verdict = stability(close_loop(network, controller))
    if verdict.stable is False:
        raise InstabilityError(
            f"secondary control with a time constant of {t:g} s makes the network of the design unstable: {verdict.sentence}; "
            "give a longer one"
        )
    series = pd.Series(beta, index=pd.Index(network.labels, name="area"), name="bias")
    return SecondaryControl(network, controller, series, t, float(proportional), verdict)


def _bias(network: Network, given: Mapping[str, float] | pd.Series | None) -> Real:
    if given is not None:
        beta = np.full(network.size, np.nan)
        if not isinstance(given, (Mapping, pd.Series)):
            raise InputError(f"bias is a {type(given).__name__}; give area -> beta")
        for label, value in dict(given).items():
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise InputError(f"the bias of area {label!r} is {value!r}; give a number > 0")
            beta[network.index(str(label))] = float(value)
        if not (np.isfinite(beta) & (beta > 0)).all():
            bad = network.labels[int(np.argmin(np.isfinite(beta) & (beta > 0)))]
            raise InputError(f"area {bad!r} has no bias > 0; give every area one, or none for the areas' own")
        return beta
    try:
        own = network.nodes.inverse(0.0)[0].real
    except PoleError as error:
        raise InputError(f"the areas' own bias is their inverse at s = 0, and {error}; give a bias") from None
    if not (own > 0).all():
        bad = network.labels[int(np.argmin(own))]
        raise InputError(f"area {bad!r} has no droop and no damping (1/g(0) = {own.min():.3g}), so no bias of its own; give one")
    return np.asarray(own)


def _course(loop: ClosedLoop, step: Step, loss: Real, design: SecondaryControl) -> tuple[dict[str, float], Response]:
    """What happens after the step, over twenty time constants: the exchanges ride along as powers that act nowhere."""
    k, at = len(loss), int(np.abs(loss).argmax())
    horizon = HORIZON * design.time_constant * (1 + design.proportional)
    time = np.unique(np.concatenate([np.linspace(0, min(60.0, horizon), SAMPLES), np.linspace(0, horizon, SAMPLES)]))
    response = simulate(_with_exchanges(loop, k), step, time)
    signals = control_power(response).to_numpy()
    powers, exchanges, center = signals[:, :k], signals[:, k:], response.coi.to_numpy()
    nadir = center[int(np.abs(center).argmax())]
    own = powers[:, at] / -loss[at]
    above = np.flatnonzero(own >= RISEN)
    figures = {
        FREQUENCY: float(center[-1] / nadir),
        EXCHANGE: float(np.abs(exchanges[-1] / loss[at]).max()),
        OWN: float(own[-1]),
        RISE: _crossing(time, own, int(above[0])) if above.size else np.nan,
        LENT: float(np.abs(np.delete(powers, at, axis=1) / loss[at]).max(initial=0.0)),
        "nadir, CoI": float(nadir),
    }
    return figures, response


def _with_exchanges(loop: ClosedLoop, k: int) -> ClosedLoop:
    """The loop with its first k measurements, the exchanges, as further outputs of the controller."""
    f, k_0 = loop.feedback, loop.feedback.controller
    c, d = np.vstack([k_0.c, np.zeros((k, k_0.order))]), np.vstack([k_0.d, np.eye(k, len(f.measured))])
    shares = np.hstack([f.actuators, np.zeros((loop.size, k))])
    wider = Feedback(k_0._replace(c=c, d=d), shares, f.outputs, f.flows, f.measured, f.powers + f.measured[:k])
    return ClosedLoop(loop.network, wider)


def _crossing(time: Real, values: Real, above: int) -> float:
    """When a curve first comes to 63 %, between samples."""
    if above == 0:
        return float(time[0])
    low, high = values[above - 1], values[above]
    return float(time[above - 1] + (RISEN - low) / (high - low) * (time[above] - time[above - 1]))
