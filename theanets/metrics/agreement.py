"""How well predictions agree with targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import Field
from ..data.coerce import load
from ..data.series import is_ragged, of_steps, pad
from ..errors import DataError
from ..ops.sparse import is_sparse

Array = npt.NDArray[Any]


def check_targets(
    y: Any,
    w: Any,
    shape: tuple[int, ...],
    classes: int | None = None,
    ignore: int | None = None,
) -> tuple[Array, Array | None]:
    """Check targets and weights that predictions are compared with.

    Parameters
    ----------
    y : array_like
        Targets; of series of different lengths a list.
    w : array_like or None
        Weights of entries, or of examples.
    shape : tuple of int
        Shape of the predictions.
    classes : int, optional
        Number of classes, if the targets are labels.
    ignore : int, optional
        The label of what has no weight.

    Returns
    -------
    (targets, weights)
        Arrays of that shape; weights are None if ``w`` is and no label is ignored.

    Raises
    ------
    DataError
        If shapes do not fit, labels are out of range, a target is NaN where
        its weight is not 0, a weight is negative, or all are 0.
    """
    if is_ragged(y):
        y, lengths = pad(y)
        w = np.ones(len(y)) if w is None else w
        w = of_steps(w, lengths, y.shape[1], ("w", "y"))
    dtype = "float64" if classes is None else "int32"
    by = None if w is None else "w"
    common: dict[str, Any] = {"classes": classes, "ignore": ignore, "weighted_by": by}
    fields = [Field("y", "target", dtype, shape[1:], **common)]
    if w is not None:
        fields.append(Field("w", "weights", "float64", shape[1:], weighs="y"))
    values = [y] if w is None else [y, w]
    arrays = load(fields, values, "score", lazy=False)
    dense = [array.toarray() if is_sparse(array) else array for array in arrays]
    if len(dense[0]) != shape[0]:
        raise DataError(f"score: x has {shape[0]} rows, y has {len(dense[0])}; they must agree")
    if ignore is not None and (dense[0] == ignore).any():
        kept = (dense[0] != ignore).astype(float)
        if not kept.any():
            raise DataError(f"score: all labels y are {ignore}, which is ignored")
        given = kept if w is None else np.broadcast_to(dense[1], shape) * kept
        dense, w = [dense[0], given], given
    if w is None:
        return dense[0], None
    if dense[1].min() < 0 or not dense[1].any():
        raise DataError(
            "score: the weights w must be at least 0, and not all 0; the least is "
            f"{dense[1].min():g}, the greatest {dense[1].max():g}"
        )
    return dense[0], np.broadcast_to(dense[1], shape)


def r2(y: Array, predicted: Array, w: Array | None = None) -> float:
    """Get R squared for each variable along the last axis, averaged."""
    y, predicted = (a.reshape(-1, y.shape[-1]) for a in (y, predicted))
    w = np.ones_like(y) if w is None else w.reshape(y.shape)
    # Entries of weight 0 may be NaN.
    y, predicted = np.where(w == 0, 0, y), np.where(w == 0, 0, predicted)
    total = w.sum(axis=0)
    mean = (w * y).sum(axis=0) / np.where(total == 0, 1, total)
    residual = (w * (y - predicted) ** 2).sum(axis=0)
    spread = (w * (y - mean) ** 2).sum(axis=0)
    varied = spread > 0
    if not varied.any():
        raise DataError("R squared is not defined: y is constant")
    return float(np.mean(1 - residual[varied] / spread[varied]))
