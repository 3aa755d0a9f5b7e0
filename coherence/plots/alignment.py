"""How small ReLU networks align and fit: neurons among the data, cosines, loss, rank and size over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from coherence.errors import InputError
from coherence.gradient_flow.alignment import AlignmentConstants, cones, labelled_data
from coherence.gradient_flow.fitting import fitted_loss_bound
from coherence.gradient_flow.losses import ExponentialLoss
from coherence.gradient_flow.polar import AlignmentFlow
from coherence.gradient_flow.relu import ReLUNetwork, stable_rank
from coherence.gradient_flow.trajectory import Trajectory
from coherence.plots import style
from coherence.plots.style import COLOURS, drawing
from coherence.types import ArrayLike, Real

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POSITIVE, NEGATIVE, NEITHER = COLOURS[0], COLOURS[1], COLOURS[9]
INNER = 0.06  # of the longest sample: neurons shorter than that are drawn that long


def neurons(network: ReLUNetwork, X: ArrayLike, y: ArrayLike, *, title: str = "") -> Figure:
    """Draw neurons of a network in the plane as rays among the samples, coloured by sign of v; dead ones grey.

    Parameters
    ----------
    network : ReLUNetwork
        Of two inputs.
    X : (N, 2)
        Samples in rows.
    y : (N,)
        1 or -1.
    title : str
    """
    samples, labels = labelled_data(X, y)
    if network.dimension != 2 or samples.shape[1] != 2:
        raise InputError(f"the network has {network.dimension} inputs; only networks of two inputs are drawn in the plane")
    names = cones(network.activation_pattern(samples), labels)
    longest = np.linalg.norm(samples, axis=1).max()
    lengths = np.linalg.norm(network.W, axis=0)
    rays = network.W / np.where(lengths > 0, lengths, 1.0) * np.clip(lengths, INNER * longest, None)
    with drawing(4.6, 4.6) as figure:
        ax = figure.subplots()
        for ray, sign, name in zip(rays.T, network.signs, names, strict=True):
            colour = NEITHER if name == "dead" else POSITIVE if sign > 0 else NEGATIVE
            ax.plot([0, ray[0]], [0, ray[1]], color=colour, lw=1, marker="o", ms=3, markevery=[1], alpha=0.8)
        for label, colour, marker in ((1, POSITIVE, "P"), (-1, NEGATIVE, "X")):
            first, second = samples[labels == label].T
            ax.scatter(first, second, color=colour, marker=marker, s=60, zorder=3, label=f"data of label {label}")
        for colour, name in ((POSITIVE, "v > 0"), (NEGATIVE, "v < 0"), (NEITHER, "active on no sample")):
            ax.plot([], [], color=colour, lw=1, marker="o", ms=3, label=name)
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel("first input")
        ax.set_ylabel("second input")
        style.title(ax, title)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def alignment(run: AlignmentFlow | Trajectory, *, constants: AlignmentConstants | None = None, title: str = "") -> Figure:
    """Draw cosines between neurons and the sums of the data that they seek, the loss, the stable rank and |W|_2^2 over time.

    Thin lines are single neurons, the band goes from the least to the largest cosine of those that are active on some sample (a
    dead one never moves again), black is the mean w; of flows the times t_1 (all aligned) and t_2 (both classes being fitted) are
    marked. Time is logarithmic where the run passes several scales.

    Parameters
    ----------
    run : AlignmentFlow or Trajectory of a ReLUNetwork
    constants : AlignmentConstants, optional
        Draws the bound on the loss after t_2.
    title : str
    """
    seen = _seen(run)
    with drawing(9.6, 6.0) as figure:
        plus, minus, loss, rank, size = figure.subplot_mosaic("AAABBB;CCDDEE", sharex=True).values()
        for ax, sign, colour in ((plus, 1, POSITIVE), (minus, -1, NEGATIVE)):
            _cosines(ax, seen, sign, colour)
            ax.tick_params(labelbottom=True)  # its ticks are not above those of the lower row
        loss.plot(seen.times, seen.losses, color="black")
        loss.set_yscale("log")
        loss.set_ylabel("loss")
        rank.plot(seen.times, seen.ranks, color="black")
        rank.set_ylabel("stable rank of W")
        rank.set_ylim(0.9, max(2.1, 1.05 * float(seen.ranks.max())))
        size.plot(seen.times, seen.sizes, color="black")
        size.set_ylabel(r"$\|W\|_2^2$")
        if isinstance(run, AlignmentFlow):
            _marks([plus, minus, loss, rank, size], run, constants)
        for ax in (loss, rank, size):
            ax.set_xlabel("time of the flow")
            if isinstance(run, AlignmentFlow) and seen.times[seen.times > 0].min() < 1e-2 * seen.times[-1]:
                ax.set_xscale("log")
        if title:
            figure.suptitle(style.plain(title), x=0.01, ha="left", fontsize=12)
    return figure


class _Seen(NamedTuple):
    """What is drawn of either kind of run."""

    times: Real
    directions: Real
    log_norms: Real
    signs: Real
    losses: Real
    ranks: Real
    sizes: Real  # |W|_2^2
    active: np.ndarray  # on some sample
    X: Real
    y: Real


def _seen(run: AlignmentFlow | Trajectory) -> _Seen:
    if isinstance(run, AlignmentFlow):
        signs = np.broadcast_to(run.signs, run.log_norms.shape)
        sizes, active = _spectral(run.directions, run.log_norms), np.asarray(run.patterns.any(axis=1))
        return _Seen(run.times, run.directions, run.log_norms, signs, run.losses, run.stable_ranks, sizes, active, run.X, run.y)
    loss = run.objective
    if not isinstance(run.start, ReLUNetwork) or not isinstance(loss, ExponentialLoss):
        raise InputError(
            "the run is not of a ReLU network on the exponential loss; give such a run, or what alignment_flow returns"
        )
    W, v = run.parameters
    norms = np.maximum(np.linalg.norm(W, axis=1), np.finfo(float).tiny)
    ranks = np.array([stable_rank(matrix) for matrix in W])
    sizes, active = np.linalg.norm(W, 2, axis=(1, 2)) ** 2, np.asarray((loss.X @ W > 0).any(axis=1))
    return _Seen(run.times, W / norms[:, None, :], np.log(norms), np.sign(v), run.losses, ranks, sizes, active, loss.X, loss.y)


def _spectral(directions: Real, log_norms: Real) -> Real:
    """|W|_2^2 over time; 0 where it is below what a number can hold."""
    scale = log_norms.max(axis=1)
    W = directions * np.exp(log_norms - scale[:, None])[:, None, :]
    return np.asarray(np.linalg.norm(W, 2, axis=(1, 2)) ** 2 * np.exp(2 * scale))


def _cosines(ax: Axes, seen: _Seen, sign: int, colour: str) -> None:
    centre = seen.X[seen.y == sign].sum(axis=0)
    centre = centre / np.linalg.norm(centre)
    members = seen.signs == sign
    cosines = np.einsum("d,tdh->th", centre, seen.directions)
    ax.plot(seen.times, np.where(members, cosines, np.nan), color=colour, lw=0.6, alpha=0.5)
    active = members & seen.active
    band = [np.where(active, cosines, empty) for empty in (np.inf, -np.inf)]
    low, high = band[0].min(axis=1), band[1].max(axis=1)
    ax.fill_between(seen.times, low, high, where=active.any(axis=1), color=colour, alpha=0.2, lw=0, label="all that are not dead")
    logarithms = np.where(members, seen.log_norms, -np.inf)
    largest = logarithms.max(axis=1, keepdims=True)
    weights = np.exp(logarithms - np.where(np.isfinite(largest), largest, 0.0))
    mean = np.einsum("tdh,th->td", seen.directions, weights)
    length = np.linalg.norm(mean, axis=1)
    cosine = np.where(length > 0, mean @ centre, np.nan) / np.where(length > 0, length, 1.0)
    ax.plot(seen.times, cosine, color="black", label="mean w")
    ax.set_ylim(-1.05, 1.05)
    name, order = ("+", ">") if sign > 0 else ("-", "<")
    ax.set_ylabel(f"cosine with $x_{name}$")
    style.title(ax, f"neurons with v {order} 0")
    ax.legend(loc="lower right", fontsize=9)


def _marks(axes: list[Axes], flow: AlignmentFlow, constants: AlignmentConstants | None) -> None:
    fitted = max(flow.fit_times)
    for ax in axes:
        for moment, look in ((flow.alignment_time, ":"), (fitted, "--")):
            if 0 < moment <= flow.times[-1]:
                ax.axvline(moment, color=NEITHER, ls=look, lw=1.2)
    loss = axes[2]
    loss.plot([], [], color=NEITHER, ls=":", lw=1.2, label="all aligned, $t_1$")
    loss.plot([], [], color=NEITHER, ls="--", lw=1.2, label="both fitted, $t_2$")
    after = flow.times >= fitted
    if constants is not None and after.any():
        bound = fitted_loss_bound(constants, flow.times[after] - flow.times[after][0], loss=float(flow.losses[after][0]))
        loss.plot(flow.times[after], bound, color=COLOURS[2], ls="--", label="bound after $t_2$")
    loss.legend(loc="lower left", fontsize=9)
