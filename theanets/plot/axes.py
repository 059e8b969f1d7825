"""What all pictures share: matplotlib, and the axes that are drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError

#: Two colours that are told apart by everybody, of M. Okabe and K. Ito's palette.
BLUE, ORANGE = "#0072b2", "#d55e00"
#: What separates images.
GREY = "#b8b8b8"


def pyplot(function: str) -> Any:
    """Get matplotlib's pyplot.

    Raises
    ------
    ImportError
        If it is not installed; says how to.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"theanets.plot.{function} needs matplotlib; install it with: "
            "pip install 'theanets[plot]'"
        ) from error
    return pyplot


def new_or_given(
    function: str, ax: Any, size: tuple[float, float], count: int = 1
) -> Sequence[Any]:
    """Get the axes to draw on: those that are given, or new ones, side by side.

    Parameters
    ----------
    function : str
        Who draws, for messages.
    ax : Axes, sequence of Axes, or None
        What is given.
    size : (float, float)
        Width and height of each in a new figure, in inches.
    count : int
        How many are needed.

    Raises
    ------
    ConfigurationError
        If those that are given are not so many.
    """
    plt = pyplot(function)
    if ax is None:
        width, height = size
        figure = plt.figure(figsize=(width * count, height), layout="compressed")
        return list(figure.subplots(1, count, squeeze=False)[0])
    given = list(ax.flat) if hasattr(ax, "flat") else list(ax) if _many(ax) else [ax]
    if len(given) != count or not all(hasattr(one, "imshow") for one in given):
        raise ConfigurationError(
            f"ax={ax!r}: {count} matplotlib Axes are needed, of which this is not"
            if count > 1
            else f"ax={ax!r} is not a matplotlib Axes"
        )
    return given


def _many(ax: Any) -> bool:
    return isinstance(ax, (list, tuple))


def plain(ax: Any) -> None:
    """Leave out the lines of the frame that say nothing."""
    ax.spines[["top", "right"]].set_visible(False)
