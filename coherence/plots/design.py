"""Control design: responses beside their limits, poles that a controller moves, what small gain allows, where storage helps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from coherence.design.limits import FrequencyLimits
from coherence.design.placement import Placement
from coherence.design.robustness import SmallGain
from coherence.errors import InputError
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network
from coherence.plots import style
from coherence.plots.responses import COHERENT, panel
from coherence.plots.style import COLOURS, NEGATIVE, colour, drawing
from coherence.simulation.response import Response
from coherence.types import Complex

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HZ = 1 / (2 * np.pi)  # of rad/s
RATIOS = (0.02, 0.05, 0.1, 0.2)  # lines of constant damping ratio
SWINGS = 1e-6  # of |pole|: imaginary parts below it are rounding
NEAR = 0.3  # damping ratio: poles farther from the axis do not set the frame
DEEPEST = 1e-4  # of what the loop tolerates: errors below it are cut off
TICKS = 5  # of a narrow panel
FLAT = 1e-3  # of the largest frequency: the least width of the frame


def within_limits(
    panels: Mapping[str, Response | tuple[Response, Response]],
    limits: FrequencyLimits,
    *,
    highlight: Collection[str] = (),
    title: str = "",
) -> Figure:
    """Responses in Hz side by side, title -> response or (response, that of the aggregate designed for); limits dotted."""
    if not panels:
        raise InputError("there are no responses to draw; give title -> response")
    width = max(3.7 * len(panels) + 0.9, 7.0)
    with drawing(width, 4.4) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, (name, given) in zip(axes, panels.items(), strict=True):
            found, aggregate = given if isinstance(given, tuple) else (given, None)
            panel(ax, found, aggregate, highlight, scale=HZ, beside="aggregate designed for")
            _limits(ax, found, limits)
            ax.set_xlabel("time [s]")
            ax.xaxis.set_major_locator(MaxNLocator(TICKS))
            style.title(ax, name)
        axes[0].set_ylabel("frequency deviation [Hz]")
        shown = {text: line for ax in axes for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=max(2, int(width / 2.2)), fontsize=10)
        if title:
            figure.suptitle(style.plain(title), fontsize=12, wrap=True)
    return figure


def _limits(ax: Axes, found: Response, limits: FrequencyLimits) -> None:
    """Lines on the side to which the response goes."""
    motion = np.asarray(found.coi if found.inertia.sum() > 0 else found.frame.mean(axis=1))
    side = 1.0 if motion[int(np.abs(motion).argmax())] > 0 else -1.0
    for name, value, shade in (("nadir", limits.nadir, "black"), ("steady state", limits.steady, COLOURS[2])):
        if value is not None:
            ax.axhline(side * value * HZ, color=shade, lw=1.3, ls=(0, (1, 1.5)), label=f"limit of the {name}")


def modes_moved(
    without: Network | ClosedLoop,
    closed: Network | ClosedLoop,
    reduced: Network | ClosedLoop | None = None,
    *,
    up_to_hz: float | None = None,
    title: str = "",
) -> Figure:
    """Oscillating poles without control and under it, and those of the reduced network under it, with lines of damping ratio."""
    groups = [(without, "x", "#333333", "without control"), (closed, "o", COLOURS[0], "under control")]
    if reduced is not None:
        groups.append((reduced, "D", "black", "reduced network under control"))
    poles = [_swings(system) for system, *_ in groups]
    every = np.concatenate(poles)
    if not every.size:
        raise InputError("neither network oscillates, so there are no modes to draw")
    top = 1.08 * float(every.imag.max()) * HZ if up_to_hz is None else float(up_to_hz)
    if not 0 < top < np.inf:
        raise InputError(f"up_to_hz = {up_to_hz!r}; give a frequency in Hz > 0")
    shown = every[(every.imag * HZ <= top) & (-every.real <= NEAR * np.abs(every))]
    left = 1.25 * float((-shown.real).max(initial=FLAT * top / HZ))
    right = max(1.25 * float(shown.real.max(initial=0.0)), 0.08 * left)
    with drawing(8, 5.2) as figure:
        ax = figure.subplots()
        if right > 0.08 * left:
            ax.axvspan(0, right, color=NEGATIVE, alpha=0.08, lw=0)
        ax.axvline(0, color="black", lw=0.8)
        for ratio in RATIOS:
            _ratio_line(ax, ratio, left, top)
        for order, ((_, marker, shade, name), own) in enumerate(zip(groups, poles, strict=True)):
            above = 4 if order == 0 else 3  # crosses stay seen where a pole stays
            fill = "none" if marker == "D" else shade
            size = 9 if marker == "D" else 6
            ax.plot(own.real, own.imag * HZ, marker, color=shade, mfc=fill, ms=size, mew=1.4, label=name, ls="none", zorder=above)
        ax.set_xlim(-left, right)
        ax.set_ylim(0, top)
        ax.set_xlabel("real part [1/s]")
        ax.set_ylabel("frequency [Hz]")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=10)
        style.title(ax, title or "Poles without control and under it")
    return figure


def _swings(system: Network | ClosedLoop) -> Complex:
    poles = system.poles()
    return np.asarray(poles[poles.imag > SWINGS * np.abs(poles)])


def _ratio_line(ax: Axes, ratio: float, left: float, top: float) -> None:
    """From the origin to the edge of the frame, where its damping ratio stands."""
    slope = HZ * np.sqrt(1 - ratio**2) / ratio  # Hz per 1/s
    end = min(left, top / slope)
    ax.plot([0, -end], [0, end * slope], color="#999999", lw=0.8, ls=(0, (4, 2.5)))
    inside = 0.97 * end
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    text = f"{100 * ratio:g} %"
    ax.annotate(text, (-inside, inside * slope), fontsize=9, color="#555555", ha="left", va="center", bbox=white, zorder=1)


def small_gain(found: SmallGain, *, title: str = "") -> Figure:
    """The reduction error over frequency, what the loop tolerates, and the band in which the one is below the other."""
    curve = found.curve
    if not len(curve):
        raise InputError(f"there are no curves to draw: small gain {found.sentence}")
    omega = curve.index.to_numpy()
    tolerated = 1 / np.where(curve["loop"] > 0, curve["loop"], np.nan)
    with drawing(8, 5) as figure:
        ax = figure.subplots()
        if found.safe_to > omega[0]:
            end = min(found.safe_to, omega[-1])
            how = "safe by sizes alone" if found.by_sizes else r"$\|MD\| < 1$"
            band = "every frequency" if np.isinf(found.safe_to) else f"up to {found.safe_to:.3g} rad/s"
            ax.axvspan(omega[0], end, color=COLOURS[2], alpha=0.12, lw=0, label=f"{how}: {band}")
        ax.loglog(omega, curve["error"], color="black", lw=2.0, label=r"reduction error $\|D\|$")
        ax.loglog(omega, tolerated, color=COLOURS[0], lw=2.0, label=r"tolerated by the loop $1/\|M\|$")
        peak = f"largest $\\|MD\\|$: {found.gain.upper:.3g} at {found.gain.omega:.3g} rad/s"
        if found.gain.omega > 0:
            ax.axvline(found.gain.omega, color=COHERENT, lw=1.2, ls=(0, (4, 2.5)), label=peak)
        deepest = max(float(curve["error"].min()), DEEPEST * float(np.nanmin(tolerated))) / 2
        ax.set_ylim(bottom=deepest)
        ax.set_xlim(omega[0], omega[-1])
        ax.set_xlabel(r"frequency $\omega$ [rad/s]")
        ax.set_ylabel("gain [measured unit per pu of power]")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10)
        style.title(ax, title or ("Stable on the full network by small gain" if found.holds else "Small gain does not decide"))
    return figure


def placement(found: Placement, *, title: str = "") -> Figure:
    """How much a little storage at each node changes the figure, best nodes first, in the colours of the groups where given."""
    slopes = found.sensitivity.dropna().sort_values()
    with drawing(max(6.0, 0.3 * len(slopes) + 1.5), 4.6) as figure:
        ax = figure.subplots()
        if found.partition is None:
            shades = [COLOURS[0] if value < 0 else NEGATIVE for value in slopes]
        else:
            groups = found.partition.groups
            shades = [colour(groups.index(found.partition.group_of(str(label)))) for label in slopes.index]
            for i, group in enumerate(groups):
                ax.plot([], [], "s", color=colour(i), ms=9, label=style.plain(f"group {group}"))
            ax.legend()
        ax.bar(range(len(slopes)), 100 * slopes / found.value, color=shades, width=0.8)
        ax.axhline(0.0, color="black", lw=0.8)
        crowded = len(slopes) > 12
        labels = [style.plain(str(label)) for label in slopes.index]
        ax.set_xticks(range(len(slopes)), labels, fontsize=9, rotation=60 if crowded else 0, ha="right" if crowded else "center")
        ax.grid(False, axis="x")
        ax.set_ylabel(f"change of the figure [% per unit of {found.figure.storage.by}]")
        style.title(ax, title or repr(found))
    return figure
