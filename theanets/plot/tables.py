"""The confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError
from ..network import Network
from .axes import new_or_given, pyplot

#: With more classes, numbers could not be read.
READABLE = 20


def confusion(
    net: Network,
    x: Any,
    y: Any,
    labels: Sequence[Any] | None = None,
    ax: Any = None,
    *,
    normalize: bool = False,
    cmap: Any = "Blues",
    **kwargs: Any,
) -> Any:
    """Draw which classes a classifier takes for which.

    Each row is of the examples of one class, by what they were taken for.
    Colours are shares of the row, so that rare classes are seen as well as
    frequent ones; the numbers are counts, or shares in percent.

    Parameters
    ----------
    net : theanets.Classifier
        The network.
    x : array_like, list or dict
        Inputs.
    y : array_like of int
        Labels. Those that are negative are left out.
    labels : list of str, optional
        Names of the classes; by default their numbers.
    ax : Axes, optional
        Where to draw.
    normalize : bool
        Whether the numbers are percent of the row instead of counts.
    cmap : str or Colormap
        Colours of the shares.
    **kwargs
        As for the network's ``predict``.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigurationError
        If the network does not predict classes, or has another number of them.
    DataError
        If ``y`` is not a label for each prediction.
    """
    pyplot("confusion")
    counts = confusion_counts(net, x, y, **kwargs)
    classes = len(counts)
    names = list(map(str, range(classes) if labels is None else labels))
    if len(names) != classes:
        raise ConfigurationError(f"labels: {len(names)} names, but the network has {classes}")
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    side = min(2.4 + 0.3 * classes, 9.0)
    # Long names take their place beside the matrix, not from it.
    longest = max(map(len, names)) - 1
    size = (side + 0.6 + 0.08 * longest, side + 0.06 * longest)
    (ax,) = new_or_given("confusion", ax, size)
    image = ax.imshow(shares, cmap=cmap, vmin=0, vmax=1)
    many = classes > READABLE
    ticks = range(0, classes, -(-classes // READABLE) if many else 1)
    # Names that would run into each other lean.
    lean = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(ticks, [names[i] for i in ticks], **(lean if max(map(len, names)) > 3 else {}))
    ax.set_yticks(ticks, [names[i] for i in ticks])
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for (i, j), share in np.ndenumerate(shares if not many else shares[:0]):
        if not counts[i, j]:
            continue
        text = f"{100 * share:.0f}" if normalize else f"{counts[i, j]}"
        ink = "white" if _dark(image.cmap(share)) else "#1a1a1a"
        ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=9)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.02, label="share of the row")
    bar.outline.set_visible(False)
    return ax


def confusion_counts(net: Any, x: Any, y: Any, **kwargs: Any) -> Any:
    """Count how many examples of each class (row) are taken for each (column)."""
    if not hasattr(net, "predict_proba"):
        raise ConfigurationError(f"{type(net).__name__} does not predict classes")
    classes = net.output_layer.output_size
    predicted, true = _flat(net.predict(x, **kwargs)), _flat(y)
    if true.shape != predicted.shape:
        raise DataError(f"y has {true.size} labels, but there are {predicted.size} predictions")
    if true.dtype.kind not in "iub" and not (true == np.floor(true)).all():
        raise DataError("y has values that are not integers; labels are")
    true = true.astype(int)
    if true.size and true.max() >= classes:
        raise DataError(f"y has the label {true.max()}; the network has {classes} classes")
    kept = true >= 0
    pairs = true[kept] * classes + predicted[kept]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _flat(values: Any) -> Any:
    if isinstance(values, (list, tuple)) and values and np.ndim(values[0]):
        return np.concatenate([np.ravel(value) for value in values])
    return np.ravel(values)


def _dark(color: Sequence[float]) -> bool:
    red, green, blue = color[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
