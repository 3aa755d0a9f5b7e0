"""Colours, fonts and frames that all pictures share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#F0E442", "#5D3A9B", "#777777"]
NEGATIVE = "#D55E00"
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure [inches] in the house style."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def colour(group: int) -> str:
    """The colour of a group."""
    return COLOURS[group % len(COLOURS)]


def title(ax: Axes, text: str) -> None:
    """A title over the left end."""
    ax.set_title(plain(text), loc="left", fontsize=11)


def plain(text: str) -> str:
    """A label as it is: a dollar sign in it starts no formula."""
    return text.replace("$", r"\$")


def bare(ax: Axes) -> None:
    """No axes: the plane has no unit."""
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
