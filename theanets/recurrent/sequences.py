"""Sequences of labels, drawn one by one from what a network says of the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from ..data.series import is_ragged
from ..data.tables import plain
from ..errors import ConfigurationError, DataError
from ..options import whole_number
from .rooms import Rooms
from .streams import carrier, refuse_other_inputs

Array = npt.NDArray[Any]


def starts(net: Any, labels: Any, streams: int | None) -> Array:
    """Get what sequences begin with: labels that a network takes, a row for each of some streams.

    Raises
    ------
    ConfigurationError
        If the network has several inputs, or draws what cannot be its input.
    DataError
        If the labels are not what the input takes, or rows of different lengths.
    """
    refuse_other_inputs(net, "predict_sequence")
    start = net.layers[0]
    classes = getattr(start, "classes", None) or start.output_size
    if is_ragged(labels):
        raise DataError(
            f"labels are {len(labels)} sequences of different lengths; expected one, or as "
            "many labels in each: continue them one after the other"
        )
    seed = np.atleast_2d(plain(labels))
    if streams is None:
        streams = len(seed)
    whole_number("streams", streams)
    if seed.ndim > 2 or len(seed) not in (1, streams):
        raise DataError(
            f"labels of shape {np.shape(labels)} for streams={streams}: expected a sequence of "
            "labels, or a row of them for each stream"
        )
    if seed.size and seed.dtype.kind not in "iu":
        raise DataError(
            f"labels={labels!r} are not integers; of a text, they are what `Text.encode` gives"
        )
    found = np.broadcast_to(seed, (streams, seed.shape[1]))
    if not found.size or found.min() < 0 or found.max() >= classes:
        given = f" from {found.min()} to {found.max()}" if found.size else ""
        raise DataError(
            f"labels of shape {np.shape(labels)}{given}: expected at least one label, all in "
            f"[0, {classes})"
        )
    outputs = net.output_layer.output_size
    if outputs > classes:
        raise ConfigurationError(
            f"the network has {outputs} classes, but its input {start.name!r} takes {classes}; "
            "what it draws cannot be its input"
        )
    return found


def drawn(
    net: Any,
    seed: Array,
    steps: int,
    generator: np.random.Generator,
    temperature: float,
    greedy: bool,
    top_k: int | None,
    mode: Mode | str | None,
) -> Iterator[Any]:
    """Continue sequences of labels, see `theanets.recurrent.Classifier.predict_sequence`.

    Parameters
    ----------
    net : Classifier
    seed : ndarray of int of shape (streams, time)
        Labels that the input takes.
    mode : str or Mode, optional
        How to compile; by default as the network says.
    """
    vectors = None
    if net.inputs[0].dtype != "int32":
        vectors = np.eye(net.layers[0].output_size, dtype=net.dtype)

    def given(labels: Array) -> list[Array]:
        # Symbols are the labels themselves; of each series all steps exist.
        x = labels.astype("int32") if vectors is None else vectors[labels]
        lengths = np.full(len(labels), labels.shape[1], "int32")
        return [x, *(lengths for layer in net.layers if layer.holds_lengths)]

    run, rooms = carrier(net, net._predicted(), mode), Rooms()
    logits, state = run(given(seed), run.zeros(len(seed)), rooms)
    for left in range(steps, 0, -1):
        labels = draw(logits[:, -1], generator, temperature, greedy, top_k)
        yield int(labels[0]) if len(labels) == 1 else labels
        if left > 1:
            logits, state = run(given(labels[:, None]), state, rooms)


def draw(
    logits: Array,
    generator: np.random.Generator,
    temperature: float,
    greedy: bool,
    top_k: int | None,
) -> Array:
    """Draw a label for each row of logits."""
    if greedy:
        return logits.argmax(axis=1)
    scaled = logits.astype(float) / temperature
    if top_k is not None and top_k < scaled.shape[1]:
        least = np.partition(scaled, -top_k, axis=1)[:, -top_k, None]
        scaled = np.where(scaled >= least, scaled, -np.inf)
    # The largest of logits with Gumbel noise is a draw from their softmax.
    return (scaled + generator.gumbel(size=scaled.shape)).argmax(axis=1)
