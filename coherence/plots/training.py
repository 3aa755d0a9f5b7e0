"""Training of linear networks: losses below their guaranteed envelopes, rates above their bounds, spectra of imbalances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from coherence.errors import InputError
from coherence.gradient_flow.convergence import RateBound, instantaneous_rate
from coherence.gradient_flow.gram import GramNetwork
from coherence.gradient_flow.imbalance import ImbalanceSpectrum
from coherence.gradient_flow.linear import DiagonalNetwork, LinearNetwork
from coherence.gradient_flow.trajectory import Trajectory
from coherence.plots import style
from coherence.plots.style import colour, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST = 1e-12  # of the first loss: what is below is rounding and not drawn


def training(
    trajectories: Trajectory | Mapping[str, Trajectory],
    *,
    bounds: RateBound | Mapping[str, RateBound] | None = None,
    instantaneous: bool = False,
    title: str = "",
) -> Figure:
    """Losses above their infimum and rates -L'/(L - L*) over time; dashed is what is guaranteed from the start.

    `trajectories` and `bounds` are single ones or share their names; `instantaneous` adds, dotted, the bound from the product at
    each time.
    """
    runs = {"": trajectories} if isinstance(trajectories, Trajectory) else dict(trajectories)
    known = {"": bounds} if isinstance(bounds, RateBound) else dict(bounds or {})
    if not runs:
        raise InputError("trajectories is empty; give at least one")
    if stray := sorted(set(known) - set(runs)):
        raise InputError(f"bounds[{stray[0]!r}] belongs to no trajectory; name bounds as the trajectories are")
    with drawing(11, 4.6) as figure:
        left, right = figure.subplots(1, 2)
        for number, (name, run) in enumerate(runs.items()):
            _losses(left, run, known.get(name), name or "training", colour(number))
            _rates(right, run, known.get(name), colour(number), instantaneous)
        left.set_ylabel("loss above its infimum")
        right.set_ylabel(r"rate $-\dot L/(L - L^*)$ [1/time]")
        right.set_ylim(bottom=0)
        for ax in (left, right):
            ax.set_xlabel("time of the flow")
            ax.set_xlim(0, max(float(run.times[_shown(run)].max(initial=0.0)) for run in runs.values()) or None)
        left.legend()
        style.title(left, title or "Training and what was guaranteed of it")
        for dash, said, drawn in (
            ("--", "guaranteed from the start", bool(known)),
            (":", "bound from the product now", instantaneous),
        ):
            if drawn:
                right.plot([], [], color="black", ls=dash, lw=1.2, label=said)
        if known or instantaneous:
            right.legend()
        style.title(right, "Rates")
    return figure


def _shown(run: Trajectory) -> np.ndarray:
    """Where the loss is above rounding."""
    return run.excess > SMALLEST * run.losses[0]


def _losses(ax: Axes, run: Trajectory, bound: RateBound | None, name: str, shade: str) -> None:
    shown = _shown(run)
    ax.semilogy(run.times[shown], run.excess[shown], color=shade, label=name)
    if bound is not None and shown.any():
        least = float(run.excess[shown].min())
        envelope = bound.envelope(run.times) - bound.minimum
        visible = envelope >= least
        ax.semilogy(run.times[visible], envelope[visible], color=shade, ls="--", lw=1.2)


def _rates(ax: Axes, run: Trajectory, bound: RateBound | None, shade: str, instantaneous: bool) -> None:
    shown = _shown(run)
    ax.plot(run.times[shown], run.rates[shown], color=shade)
    if bound is not None:
        level = bound.value * (run.excess if bound.kind == "sublinear" else np.ones(len(run)))
        ax.plot(run.times[shown], level[shown], color=shade, ls="--", lw=1.2)
    if instantaneous:
        known = [instantaneous_rate(_linear(network), run.objective) for network in run.networks()]
        ax.plot(run.times[shown], np.array(known)[shown], color=shade, ls=":", lw=1.6)


def _linear(network: object) -> LinearNetwork | DiagonalNetwork:
    """The network whose bounds are known, which trains alike."""
    if isinstance(network, GramNetwork):
        return network.narrow()
    if isinstance(network, (LinearNetwork, DiagonalNetwork)):
        return network
    raise InputError(f"bounds are known of linear networks only, and this run is of {network!r:.60}; leave out instantaneous")


def imbalance(spectra: ImbalanceSpectrum | Mapping[str, ImbalanceSpectrum], *, title: str = "") -> Figure:
    """Eigenvalues of imbalances, descending: the positive spread, the gap between both parts (shaded), the negative spread."""
    shown = {"": spectra} if isinstance(spectra, ImbalanceSpectrum) else dict(spectra)
    if not shown:
        raise InputError("spectra is empty; give at least one")
    with drawing(1.5 + 4.5 * len(shown), 4.4) as figure:
        axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for ax, (name, spectrum) in zip(axes, shown.items(), strict=True):
            values = spectrum.eigenvalues
            outer = np.r_[: min(spectrum.n, len(values)), max(len(values) - spectrum.m, min(spectrum.n, len(values))) : len(values)]
            place = np.arange(1, len(outer) + 1)
            low = values[spectrum.n - 1] if spectrum.n <= len(values) else 0.0
            high = values[-spectrum.m] if spectrum.m <= len(values) else 0.0
            ax.axhspan(min(high, 0.0), max(low, 0.0), color=colour(2), alpha=0.2, lw=0, label=f"gap {spectrum.gap:.3g}")
            for sign, shade, spread in ((1, colour(0), spectrum.positive_spread), (-1, colour(1), spectrum.negative_spread)):
                mine = sign * values[outer] > 0
                word = "positive" if sign > 0 else "negative"
                ax.plot(place[mine], values[outer][mine], "o", color=shade, ms=4, label=f"{word} spread {spread:.3g}")
            ax.axhline(0, color="black", lw=0.8)
            ax.set_xlabel(f"the first {spectrum.n} and the last {spectrum.m} eigenvalues")
            ax.legend(loc="best")
            style.title(ax, name or title or "Spectrum of the imbalance")
        axes[0].set_ylabel("eigenvalue of D")
        if title and "" not in shown:
            figure.suptitle(style.plain(title), x=0.02, ha="left", fontsize=12)
    return figure
