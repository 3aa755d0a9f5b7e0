"""Designs checked on the full network: prediction against truth, and whether the closed loop is stable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.design.robustness import SmallGain
from coherence.display import Page
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network
from coherence.simulation.response import Response
from coherence.theory.stability import Stability


@dataclass(frozen=True, eq=False, repr=False)
class Verification(Page):
    """What a design promised on the reduced model, and what the full network does.

    Attributes
    ----------
    table : DataFrame
        quantity -> target, reduced, full, error (of the reduced model, relative to the full value); NaN where there is none.
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
    """Quantity -> (target, reduced, full) as the table of a verification, with the relative error of the reduced value."""
    table = pd.DataFrame.from_dict(
        {name: [np.nan if value is None else float(value) for value in values] for name, values in rows.items()},
        orient="index",
        columns=["target", "reduced", "full"],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        table["error"] = np.where(
            table["full"] == table["reduced"], 0.0, np.abs(table["reduced"] - table["full"]) / np.abs(table["full"])
        )
    table.loc[table[["reduced", "full"]].isna().any(axis=1), "error"] = np.nan
    return table.rename_axis("quantity")
