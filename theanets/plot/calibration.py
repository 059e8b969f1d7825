"""Reliability diagrams: what probabilities promise, and what comes true."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..metrics.calibration import Reliability
from .axes import BLUE, GREY, ORANGE, new_or_given, plain, pyplot


def reliability(found: Reliability, ax: Any = None, *, label: str | None = None) -> Any:
    """Draw how often predictions of some confidence are right.

    Bars are the share that is right among the predictions of each interval; the
    diagonal is what their confidence promises, and the line from each bar's top
    to it how far they are apart. The darker a bar, the more predictions it is of.

    Parameters
    ----------
    found : Reliability
        From `theanets.calibration.reliability`.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        What stands above, before the calibration error.

    Returns
    -------
    Axes
    """
    pyplot("reliability")
    (ax,) = new_or_given("reliability", ax, (3.8, 3.8))
    middles, width = (found.edges[1:] + found.edges[:-1]) / 2, np.diff(found.edges)
    some = found.counts > 0
    shares = found.counts / found.counts.sum()
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, zorder=1)
    # The darker, the more predictions there are.
    for middle, size, height, share in zip(
        middles[some], width[some], found.accuracy[some], shares[some], strict=True
    ):
        alpha = 0.25 + 0.75 * share / shares.max()
        ax.bar(middle, height, 0.92 * size, color=BLUE, alpha=alpha, linewidth=0, zorder=2)
    ax.vlines(
        found.confidence[some],
        np.minimum(found.confidence, found.accuracy)[some],
        np.maximum(found.confidence, found.accuracy)[some],
        color=ORANGE,
        linewidth=2,
        zorder=3,
    )
    ax.plot(found.confidence[some], found.accuracy[some], ".", color="#1a1a1a", zorder=4)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right")
    ax.set_aspect("equal")
    text = f"calibration error {100 * found.error:.1f} %"
    ax.set_title(text if label is None else f"{label}: {text}", fontsize=10)
    plain(ax)
    return ax
