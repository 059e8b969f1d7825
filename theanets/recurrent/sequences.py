"""Sequences of labels, drawn one by one from what a network says of the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from .rooms import Rooms
from .streams import carrier

Array = npt.NDArray[Any]


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
