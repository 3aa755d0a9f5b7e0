"""Theory over frequency: incoherence with its bounds, single inputs, limits, concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from coherence.plots import style
from coherence.plots.style import COLOURS, colour, drawing
from coherence.reduction.comparison import InterconnectionComparison
from coherence.theory.columns import ColumnIncoherence
from coherence.theory.concentration import Concentration
from coherence.theory.incoherence import Incoherence
from coherence.theory.limits import Limit
from coherence.theory.supremum import Supremum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 6  # curves of single nodes that get a name


def incoherence(curve: Incoherence, *, supremum: Supremum | None = None, title: str = "") -> Figure:
    """The deviation from coherence with its bounds over frequency, and the certified largest value where one is given."""
    with drawing(8, 5) as figure:
        ax = figure.subplots()
        ax.loglog(curve.omega, curve.exact, color="black", lw=2.2, label=f"exact $\\|T-{_part(curve)}\\|_2$")
        dashes = ["-", (0, (4, 1.5)), (0, (1, 1)), "--"]
        for number, bound in enumerate(curve.bounds.values()):
            shade, dash = COLOURS[number], dashes[number]
            value = np.where(bound.holds, bound.value, np.nan)
            ax.loglog(curve.omega, value, color=shade, ls=dash, label=bound.theorem)
            ends = np.flatnonzero(bound.holds[:-1] & ~bound.holds[1:])
            ax.plot(curve.omega[ends], value[ends], "o", color=shade, ms=5)
        if supremum is not None:
            ax.axhspan(supremum.lower, supremum.upper, color="black", alpha=0.15, lw=0)
            ax.plot(supremum.omega, supremum.lower, "k^", ms=7, label=f"certified: {supremum.lower:.5g} to {supremum.upper:.5g}")
        positive = curve.exact[curve.exact > 0]
        if positive.size:
            top = float(positive.max()) if supremum is None else max(float(positive.max()), supremum.upper)
            ax.set_ylim(float(positive.min()) / 3, top * 300)
        ax.set_xlim(curve.omega[curve.omega > 0][0], curve.omega[-1])
        ax.set_xlabel(r"frequency $\omega$ [rad/s]")
        ax.set_ylabel("deviation from coherence [rad/s per pu]")
        ax.legend(loc="upper left", title="a bound ends (dot) where it is silent", alignment="left")
        style.title(ax, title or "How far the network is from moving as one")
    return figure


def _part(curve: Incoherence) -> str:
    """The coherent part as a formula."""
    named = {"g_hat 11'": r"\hat g\,11^{\top}", "P T_q P'": r"P\,T_q P^{\top}", "P T_reduced P'": r"P\,\hat T P^{\top}"}
    return named.get(curve.part, curve.part.replace("T_", "T_{") + "}")


def interconnections(found: InterconnectionComparison, *, title: str = "") -> Figure:
    """Relative errors of quotient, refined and fitted interconnection over the band, their bounds, and the floor of the groups."""
    relative, bounds = found.relative, found.bounds.div(found.size, axis=0)
    with drawing(8, 5) as figure:
        ax = figure.subplots()
        for number, name in enumerate(found.aggregations):
            ax.loglog(relative.index, relative[name], color=COLOURS[number], lw=2.0, label=name)
            shown = bounds[name].where(np.isfinite(bounds[name]))
            ax.loglog(bounds.index, shown, color=COLOURS[number], lw=0.9, ls=(0, (4, 1.5)))
        ax.loglog(relative.index, relative["floor"], color="black", lw=1.2, ls=":", label="no model on these groups below")
        ax.set_xlim(relative.index[0], relative.index[-1])
        positive = relative.to_numpy()[relative.to_numpy() > 0]
        if positive.size:
            ax.set_ylim(positive.min() / 2, positive.max() * 10)
        ax.set_xlabel(r"frequency $\omega$ [rad/s]")
        ax.set_ylabel(r"$\|T-P\,T_k P^{\top}\|_2\,/\,\|T\|_2$")
        ax.legend(loc="upper left", title="dashed: bounds, where they hold", alignment="left")
        style.title(ax, title or "How far the groups are from moving as one node each")
    return figure


def columns(found: ColumnIncoherence, label: str, *, title: str = "") -> Figure:
    """How far each node is from the coherent response to one input; the nodes that ever stray farthest are named."""
    values = found.nodes(label)
    positive = values.loc[:, values.max() > 0]
    far = positive.max().sort_values(ascending=False).index[:NAMED]
    with drawing(8, 5) as figure:
        ax = figure.subplots()
        for node in positive.columns.difference(far, sort=False):
            ax.loglog(positive.index, positive[node], color="#999999", lw=0.6)
        for number, node in enumerate(far):
            ax.loglog(positive.index, positive[node], color=colour(number), lw=1.4, label=style.plain(str(node)))
        ax.loglog(values.index, found.norms[label], color="black", lw=2.2, label="all nodes together")
        ax.set_xlim(values.index[0], values.index[-1])
        ax.set_xlabel(r"frequency $\omega$ [rad/s]")
        ax.set_ylabel(r"$|T_{ij}-\hat g|$ [rad/s per pu]")
        ax.legend(loc="upper left", title="nodes (grey: the others)", alignment="left")
        style.title(ax, title or f"Deviation of each node from the coherent response to an input at {label}")
    return figure


def limit(found: Limit, *, title: str = "") -> Figure:
    """A sweep towards a limit: the exact deviation and its bounds."""
    with drawing(7, 4.6) as figure:
        ax = figure.subplots()
        curves: list[tuple[str, Any, str, Any]] = [
            ("exact", found.exact, "black", "-"),
            ("hull bound", found.hull, COLOURS[0], (0, (4, 1.5))),
            ("(3.10)", found.bound, COLOURS[1], (0, (1, 1))),
        ]
        for name, values, shade, dash in curves:
            ax.loglog(
                found.values, np.where(np.isfinite(values), values, np.nan), color=shade, ls=dash, marker="o", ms=3.5, label=name
            )
        if found.theorem == "Theorem 3.2":
            ax.invert_xaxis()
        names = {
            "lambda_2": r"algebraic connectivity $\lambda_2$",
            "|s - pole|": "distance from the pole of f [rad/s]",
            "n": "nodes n",
        }
        ax.set_xlabel(names[found.parameter])
        ax.set_ylabel(r"largest $\|T-\hat g\,11^{\top}\|_2$ of the set")
        ax.legend(title="(a bound is not drawn where it is silent)", alignment="left")
        style.title(ax, title or f"{found.theorem}: order {found.order:.2f}")
    return figure


def concentration(found: Concentration, *, title: str = "") -> Figure:
    """An ensemble over n: every draw of the coherent dynamics around the expected one, and how often it deviates."""
    size = np.abs(found.expected)
    with drawing(11, 4.8) as figure:
        left, right = figure.subplots(1, 2)
        for number, n in enumerate(found.sizes):
            left.loglog(found.omega, np.abs(found.coherent[number]).T, color=colour(number), lw=0.5, alpha=0.35)
            left.plot([], [], color=colour(number), label=f"n = {n}")
        left.loglog(found.omega, size, color="black", lw=2.2, label=r"expected $\hat g$")
        left.set_xlabel(r"frequency $\omega$ [rad/s]")
        left.set_ylabel(r"$|\bar g_n(j\omega)|$")
        left.legend()
        style.title(left, f"coherent dynamics of {found.coherent.shape[1]} draws")
        frame = found.frame
        seen = np.where(frame["observed"] > 0, frame["observed"], np.nan)
        right.loglog(found.sizes, seen, "ko", label="observed")
        right.loglog(found.sizes, frame["variance bound"], color=COLOURS[0], label="variance bound")
        if np.isfinite(frame["source's bound"]).any():
            right.loglog(found.sizes, frame["source's bound"], color=COLOURS[1], ls="--", label="the source's bound")
        right.set_xlabel("nodes n")
        right.set_ylabel(rf"P($|\bar g_n-\hat g|\geq {found.deviation:g}|\hat g|$), worst frequency")
        right.legend()
        style.title(right, "how often it deviates (draws that never did are not shown)")
        if title:
            figure.suptitle(style.plain(title))
    return figure
