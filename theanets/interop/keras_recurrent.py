"""Recurrent layers of Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export.torch_arrays import Array
from .keras_layers import activation
from .keras_models import Place, array, kind_of, reads

FORMS = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}


@reads(*FORMS)
def recurrent(place: Place) -> None:
    """Read a recurrence in one direction."""
    layer = place.layer
    form, params, options = _read(place, layer)
    if layer.go_backwards:
        # Its outputs are in the order of the run.
        options["direction"] = "reversed"
    _dropout(place, layer)
    place.add(form, params, size=layer.units, last=not layer.return_sequences, **options)


@reads("Bidirectional")
def bidirectional(place: Place) -> None:
    """Read a recurrence in both directions."""
    place.expect(merge_mode="concat", return_state=False, stateful=False)
    both = place.layer.forward_layer, place.layer.backward_layer
    for layer in both:
        place.refuse_unless(
            kind_of(layer) in FORMS,
            f"it is of {type(layer).__name__}; of {', '.join(FORMS)} it has a counterpart",
        )
    (form, params, options), (other, back, others) = (_read(place, layer) for layer in both)
    place.refuse_unless(
        (form, options) == (other, others) and both[0].units == both[1].units,
        "both directions differ, which has no counterpart",
    )
    _dropout(place, both[0])
    halves = {f"fw_{key}": value for key, value in params.items()}
    halves.update({f"bw_{key}": value for key, value in back.items()})
    size, last = 2 * both[0].units, not both[0].return_sequences
    worker = {"form": form, **options}
    place.add("bidirectional", halves, size=size, last=last, worker=worker)


def _dropout(place: Place, layer: Any) -> None:
    """Add the dropout of the input, which is the same at all steps."""
    if layer.dropout:
        place.add("dropout", suffix="+dropout", rate=float(layer.dropout), per_series=True)


def _read(place: Place, layer: Any) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """Get the form, the parameters and the options of a recurrence."""
    form = FORMS[kind_of(layer)]
    for name, plain in (("return_state", False), ("stateful", False), ("recurrent_dropout", 0)):
        value = getattr(layer, name, plain)
        place.refuse_unless(value == plain, f"{name}={value!r} has no counterpart")
    outer = activation(place, layer=layer)
    if form != "rnn":
        gates = activation(place, "recurrent_activation", layer)
        place.refuse_unless(
            gates == "logistic",
            f"recurrent_activation={gates} has no counterpart, sigmoid has",
        )
    cell = layer.cell
    kernel, inner = array(cell.kernel), array(cell.recurrent_kernel)
    given = getattr(cell, "bias", None)
    if form == "gru":
        return form, *_gru(cell, kernel, inner, given, outer)
    bias = np.zeros(kernel.shape[1], kernel.dtype) if given is None else array(given)
    params = {"xh": kernel, "hh": inner, "b": bias}
    if form == "rnn":
        return form, params, {"activation": outer}
    place.refuse_unless(outer == "tanh", f"activation={outer} has no counterpart, tanh has")
    return form, params, {"peepholes": False}


def _gru(
    cell: Any, kernel: Array, inner: Array, given: Any, outer: str
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Get what a GRU is here: its gate z says there what is kept, and here what is new."""
    after = bool(cell.reset_after)
    (xz, xr, xn), (hz, hr, hn) = (np.split(w, 3, axis=1) for w in (kernel, inner))
    shape = (2 if after else 1, kernel.shape[1])
    biases = np.zeros(shape, kernel.dtype) if given is None else array(given).reshape(shape)
    bz, br, bn = np.split(biases[0], 3)
    cz, cr, cn = np.split(biases[1] if after else np.zeros_like(biases[0]), 3)
    params = {
        "w": np.hstack([xn, xr, -xz]),
        "b": np.hstack([bn, br + cr, -(bz + cz)]),
        **{"hh": hn, "hr": hr, "hz": -hz},
    }
    if after:
        params["bh"] = cn
    return params, {"reset_after": after, "activation": outer}
