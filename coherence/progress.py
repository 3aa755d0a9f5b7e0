"""How long work reports itself: a plain callable; the roof supplies the bar."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]  # what is being done now, fraction of the whole that is done before it


def silent(stage: str, done: float) -> None:
    """Report nothing."""
