r"""Designs checked on the full network: prediction against truth, and whether the closed loop is stable.

Every design has a `check` of its own, with its own targets; `verify` is the check of any controller, designed by whatever means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coherence.design.channels import require_partition_of
from coherence.design.closing import close_loop
from coherence.design.robustness import SmallGain, margin_of_check
from coherence.design.sharing import Shares
from coherence.display import Page
from coherence.errors import ToleranceError
from coherence.graphs.partition import Partition
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network
from coherence.simulation.controls import control_power
from coherence.simulation.disturbances import Disturbance
from coherence.simulation.response import Response
from coherence.simulation.simulate import simulate
from coherence.simulation.steady import require_stable
from coherence.theory.stability import Stability, stability
from coherence.types import Complex

DAMPING_STATES = 1500  # up to which all poles are computed for the least damping ratio
STILL = 1e-6  # of |lambda|: an imaginary part that is no oscillation


@dataclass(frozen=True, eq=False, repr=False)
class Verification(Page):
    """What a design promised on the reduced model, and what the full network does.

    Attributes
    ----------
    table : DataFrame
        quantity -> target, reduced, full, error (their difference, relative to the larger, absolute where
        the target is 0); NaN where there is none.
    stability : Stability
        Of the full network under control; an unstable one is a result.
    closed : Network or ClosedLoop
        The full network under control.
    response : Response or None
        Its response to the disturbance of the design.
    margin : SmallGain or None
        Whether the reduction error is small enough for this controller, and up to which frequency.
    notes : tuple of str

    Examples
    --------
    >>> from coherence import aggregate, coherent_groups, damp_mode, linearize, load_case
    >>> network = linearize(load_case("nets_nyps68"), convention="classical")
    >>> areas = coherent_groups(network, 5, method="slow_coherency")
    >>> design = damp_mode(aggregate(network, areas, interconnection="quotient").network, ratio=0.1)
    >>> found = design.check(network, areas)
    >>> found.table.loc["damping ratio", ["target", "reduced", "full"]].round(3).tolist()
    [0.1, 0.1, 0.093]
    """

    table: pd.DataFrame
    stability: Stability
    closed: Network | ClosedLoop
    response: Response | None = None
    margin: SmallGain | None = None
    notes: tuple[str, ...] = ()

    @property
    def stable(self) -> bool | None:
        """Whether the full network under control is stable; None: not decided."""
        return self.stability.stable

    def __repr__(self) -> str:
        return f"Verification({len(self.table)} quantities; {self.stability.sentence})"

    @property
    def facts(self) -> dict[str, str]:
        """Stability, margin, notes."""
        facts = {"full network": self.stability.sentence}
        if self.margin is not None:
            facts["small gain"] = self.margin.sentence
        return facts | {f"note {i + 1}": note for i, note in enumerate(self.notes)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Prediction against truth."""
        return {"prediction and truth": self.table}


def compared(rows: Mapping[str, Sequence[float | None]]) -> pd.DataFrame:
    """Quantity -> (target, reduced, full) as the table of a verification, with their difference."""
    table = pd.DataFrame.from_dict(
        {name: [np.nan if value is None else float(value) for value in values] for name, values in rows.items()},
        orient="index",
        columns=["target", "reduced", "full"],
    )
    size = table[["reduced", "full"]].abs().max(axis=1)
    table["error"] = (table["reduced"] - table["full"]).abs() / size.where((size > 0) & (table["target"] != 0), 1.0)
    table.loc[table[["reduced", "full"]].isna().any(axis=1), "error"] = np.nan
    return table.rename_axis("quantity")


def verify(
    full: Network,
    reduced: Network,
    controller: Any,
    partition: Partition | None = None,
    *,
    disturbance: Disturbance,
    shares: Shares = "inertia",
    measured: Shares = "shares",
    time: object = None,
    window: float = 0.5,
    margin: bool = True,
) -> Verification:
    """Any controller on the full network, beside what the reduced one promised.

    Parameters
    ----------
    full, reduced : Network
        The nodes of the reduced one are the groups.
    controller : StateSpace or TransferFunction
        As for `close_loop`.
    partition : Partition, optional
    disturbance : Disturbance
        At nodes of the full network.
    shares, measured : as for `close_loop`
    time : (N,) array, optional
        As for `simulate` [s]; by default as far as the closed loop on the reduced network asks.
    window : float
        Over which rates of change are taken [s].
    margin : bool
        Whether the small-gain margin is computed, where the networks have at most 400 states and no passive nodes.

    Returns
    -------
    Verification
        Nadir, RoCoF, steady state and settling of the center of inertia, the nadir of the worst group (and of the worst node of the
        full network), the largest size of each control power, the least damping ratio, and the margin.

    Raises
    ------
    InputError, UnknownNameError
        As for `close_loop`, `small_gain` and `simulate`.
    InstabilityError
        The loop on the reduced network is unstable, so that it promises nothing.

    Examples
    --------
    >>> import control
    >>> from coherence import Network, Partition, Step, swing, verify
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1], labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    >>> one = Partition.of(["all", "all"], labels=["a", "b"])
    >>> brake = control.ss([], [], [], [[-1.0]], inputs=["w[all]"], outputs=["p[all]"])
    >>> found = verify(network, network.project(one), brake, one, disturbance=Step({"a": -1.0}))
    >>> found.stable, found.table.loc["steady state, CoI", "full"].round(3)
    (True, np.float64(-0.333))
    """
    require_partition_of(full, partition, reduced)
    small = close_loop(reduced, controller)
    require_stable(small, "the promise of the reduced network")
    closed = close_loop(full, controller, partition, shares=shares, measured=measured)
    verdict = stability(closed)
    seen = disturbance if partition is None else disturbance.grouped(partition)
    before = simulate(small, seen, time)
    notes: tuple[str, ...] = ()
    promised = _measured(small, before, None, window)
    groups = partition
    moving = [label for label, idle in zip(full.labels, full.nodes.passive, strict=True) if not idle]
    if partition is not None and len(moving) < full.size:  # passive buses jump, and have no inertia
        partition = Partition.of([partition.group_of(label) for label in moving], labels=moving)
    try:
        after = simulate(closed, disturbance, before.time, outputs=moving)
        found = _measured(closed, after, partition, window)
    except ToleranceError as error:  # it grows beyond all numbers, or too fast for its samples
        after, found, notes = None, {}, (f"no figures of the full network: {error}",)
    rows = {name: [None, promised.get(name), found.get(name)] for name in promised | found}
    safe = margin_of_check(full, reduced, controller, groups, shares=shares, measured=measured) if margin else None
    return Verification(compared(rows), verdict, closed, after, safe, notes)


def _measured(loop: ClosedLoop, response: Response, partition: Partition | None, window: float) -> dict[str, float]:
    """Figures of one loop, by name."""
    nodes = response.metrics(window=window)
    groups = nodes if partition is None else response.groups(partition).metrics(window=window)
    rows: dict[str, float] = {}
    if "CoI" in nodes.index:
        center = nodes.loc["CoI"].to_dict()
        rows["nadir, CoI"], rows[f"RoCoF, CoI, over {window:g} s"] = center["nadir"], center["rocof"]
        rows["steady state, CoI"], rows["settling, CoI [s]"] = center["steady state"], center["settling [s]"]
    rows["nadir, worst group"] = _worst(groups)
    if partition is not None:
        rows["nadir, worst node"] = _worst(nodes)
    powers = control_power(response).abs().max()
    rows |= {f"largest |{name}|": float(size) for name, size in powers.items()}
    if loop.order <= DAMPING_STATES:
        rows["least damping ratio"] = least_damping_ratio(loop.poles())
    return rows


def _worst(metrics: pd.DataFrame) -> float:
    own = metrics["nadir"].drop("CoI", errors="ignore").to_numpy()
    return float(own[int(np.abs(own).argmax())])


def least_damping_ratio(poles: Complex) -> float:
    """The least -Re/|lambda| of oscillations; NaN where there are none."""
    swings = poles[np.abs(poles.imag) > STILL * np.abs(poles)]
    return float((-swings.real / np.abs(swings)).min()) if swings.size else float("nan")
