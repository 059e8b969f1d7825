"""Labels that are read from series, without their places in these; a method of classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import names
from ..errors import ConfigurationError
from . import ragged, views

Array = npt.NDArray[Any]


def predict_labels(net: Any, x: Any, width: int | None = None, **kwargs: Any) -> list[list[int]]:
    """Read the labels of each series, of a network that a `ctc` loss has trained.

    Parameters
    ----------
    x : array_like, list or dict
        Inputs; of series of different lengths a list.
    width : int, optional
        Of a beam that finds the most probable labels, see
        `theanets.losses.ctc_beam_decode`. By default labels are those of the
        most probable alignment, which is quick.
    **kwargs
        See `feed_forward`.

    Returns
    -------
    list of lists of int
        As many labels as there are in each series, without the blank.

    Raises
    ------
    ConfigurationError
        If the network has no such loss, or ``width`` is not positive.
    """
    loss = next((one for one in net.losses if one.main and hasattr(one, "decode")), None)
    if loss is None:
        raise ConfigurationError(
            "predict_labels reads labels that a loss 'ctc' has trained, which the network has not; "
            "predict gives the labels of its steps"
        )
    # What is most probable is so of logits too, which tell apart what rounds to a probability.
    if width is None:
        scores = net._scored(x, kwargs, net.snapshot(), lambda found: found)
    else:
        scores = net.predict_proba(x, **kwargs)
    found: list[list[int]] = loss.decode(scores, _frames(net, x, loss, scores, kwargs), width)
    return found


def _frames(net: Any, x: Any, loss: Any, scores: Array, kwargs: dict[str, Any]) -> Array | None:
    """Get how many frames of each series exist; None for all."""
    if loss.frames is not None:
        counts = net.feed_forward(x, **kwargs)[names.output_name(loss.frames)]
        return np.clip(np.ceil(counts.reshape(-1)), 0, scores.shape[1]).astype(int)
    seen, data = net._inputs(x)
    steps = views.steps_of(seen.graph).get(seen.output_name)
    arrays = ragged.by_name(seen, data, "input")
    if steps is None or arrays is None:
        return None
    holders = {layer.variable: layer.name for layer in seen.layers if layer.holds_lengths}
    given = {
        variable: np.ravel(arrays[name]).astype(variable.dtype)
        for variable, name in holders.items()
        if name in arrays
    }
    counts = steps.eval(given, mode="FAST_COMPILE", on_unused_input="ignore")
    return np.clip(counts, 0, scores.shape[1])
