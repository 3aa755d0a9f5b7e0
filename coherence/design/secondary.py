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
from coherence.design.plant import plant
from coherence.design.robustness import MOST_STATES, small_gain
from coherence.design.sharing import Shares
from coherence.design.verification import Verification, compared
from coherence.display import Page
from coherence.errors import InputError, InstabilityError, PoleError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network, require_nodes, signal_names
from coherence.nodes.systems import to_control
from coherence.numerics.realization import Realization
from coherence.simulation.disturbances import Step
from coherence.simulation.simulate import simulate
from coherence.theory.stability import Stability, stability
from coherence.types import Real

if TYPE_CHECKING:
    import control

HORIZON = 20.0  # time constants that are looked at
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
        disturbance: Step,
        partition: Partition | None = None,
        *,
        shares: Shares = "inertia",
        measured: Shares = "inertia",
        margin: bool = True,
    ) -> Verification:
        """The controller on the full network after a loss, beside the network of the design.

        Parameters
        ----------
        full : Network
        disturbance : Step
            At nodes of the full network.
        partition : Partition, optional
            Whose groups are the areas.
        shares, measured : "inertia", "equal" or node -> weight
            Which nodes of an area take its power, and how its frequency is measured; see `close_loop`.
        margin : bool
            Whether the small-gain margin is computed, up to 800 states.

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
        lost = disturbance if partition is None else disturbance.grouped(partition)
        assert isinstance(lost, Step)
        closed = close_loop(full, self.controller, partition, shares=shares, measured=measured)
        verdict = stability(closed)
        before = _course(close_loop(self.network, self.controller), lost, None, self)
        after = _course(closed, disturbance, partition, self)
        rows = {name: [TARGETS.get(name, np.nan), before[name], after[name]] for name in before}
        rows["63 % replaced after [s]"][0] = self.time_constant * (1.0 + self.proportional)
        safe = None
        if margin and full.order + self.network.order <= MOST_STATES:
            safe = small_gain(full, self.network, self.controller, partition, shares=shares, measured=measured)
        return Verification(compared(rows), verdict, closed, margin=safe)


TARGETS = {"last frequency, CoI": 0.0, "last exchange, largest": 0.0, "last power, area of the loss, of the loss": 1.0}


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
        With `check(full, disturbance, partition)`; `stability` says whether the loop on this network is stable.

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
    >>> found = design.check(network, Step({"Burfell 3-4": -1.0}), areas)
    >>> found.stable, found.table.loc["last power, area of the loss, of the loss", "full"].round(3)
    (True, np.float64(0.997))
    """
    require_nodes(network, "secondary control")
    for name, value, least in (("time_constant", time_constant, 0.0), ("proportional", proportional, -0.0)):
        bad = isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not least <= value < np.inf
        if bad or (name == "time_constant" and value == 0):
            raise InputError(f"{name} = {value!r}; give a number {'> 0 [s]' if name == 'time_constant' else '>= 0'}")
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
        for label, value in dict(given).items():
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


def _course(loop: ClosedLoop, step: Step, partition: Partition | None, design: SecondaryControl) -> dict[str, float]:
    """What happens after the step, over twenty time constants."""
    areas, u = design.network.labels, step.vector(loop)
    hit = np.flatnonzero(u)
    labels = [loop.labels[i] for i in hit]
    loss = np.zeros(len(areas))
    for label, size in zip(labels, u[hit], strict=True):
        loss[areas.index(label if partition is None else partition.group_of(label))] += size
    at = int(np.abs(loss).argmax())
    names = ["CoI", *[f"export[{g}]" for g in areas], *[f"p[{g}]" for g in areas]]
    system = plant(loop, partition, disturbances=labels, outputs=names)
    horizon = HORIZON * design.time_constant * (1 + design.proportional)
    time = np.unique(np.concatenate([np.linspace(0, min(60.0, horizon), 1201), np.linspace(0, horizon, 4001)]))
    y = simulate(system, Step(dict(zip(system.input_labels, u[hit].tolist(), strict=True))), time).frame
    k, values = len(areas), y.to_numpy()
    exports, powers = values[:, 1 : k + 1], values[:, k + 1 :]
    own = powers[:, at] / -loss[at]
    others = np.delete(powers, at, axis=1)
    return {
        "last frequency, CoI": float(values[-1, 0]),
        "last exchange, largest": float(np.abs(exports[-1]).max()),
        "last power, area of the loss, of the loss": float(own[-1]),
        "63 % replaced after [s]": float(time[int(np.argmax(own >= RISEN))]) if (own >= RISEN).any() else np.nan,
        "largest power of another area, of the loss": float(np.abs(others / loss[at]).max(initial=0.0)),
        "nadir, CoI": float(values[int(np.abs(values[:, 0]).argmax()), 0]),
    }
