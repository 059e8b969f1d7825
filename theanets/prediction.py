"""Prediction: outputs of a network for data, computed in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from . import backends, process
from . import rng as _rng
from .data import Field, chunks, gather, prepare, sparse
from .data.batches import FEW
from .errors import ConfigurationError, DataError, check_keywords
from .expressions import placeholder
from .metrics.agreement import check_targets, r2
from .names import output_name
from .ops.sparse import is_sparse
from .options import flag
from .regularizers import Regularizer, from_kwargs, keywords
from .structure import Structure

Array = npt.NDArray[Any]

#: Rows that are computed at once, where the caller does not say.
BATCH_SIZE = 4096
#: Keywords of ``predict`` and the like besides those of regularizers.
OPTIONS = ("batch_size", "rng", "mode", "training")


class Compiled:
    """A function from inputs to some outputs.

    Parameters
    ----------
    net : Structure
        The network.
    wanted : list of str, optional
        Full names of the outputs; by default all, with what noise adds.
    regularizers : list of Regularizer
        Noise to put in the graph.
    given : dict of str to variable
        Variables that stand for some outputs, instead of the inputs.
    mode : str or Mode or None
        How to compile.
    training : bool
        Whether layers that differ in training show their training form. What
        they would change by it is left as it is.
    """

    def __init__(
        self,
        net: Structure,
        wanted: Sequence[str] | None,
        regularizers: Sequence[Any],
        given: Mapping[str, Any],
        mode: Mode | str | None,
        training: bool = False,
    ) -> None:
        self.outputs = net.graph.outputs(
            training=training,
            carries=False,
            regularizers=regularizers,
            needed=wanted,
            given=given,
            seed=net.seed,
        )
        kept = {*net.params, *net.state}
        self.wanted = list(self.outputs if wanted is None else wanted)
        self.function = backends.function(
            list(given.values()) or net.inputs,
            [self.outputs[name] for name in self.wanted],
            {v: new for v, new in self.outputs.updates.items() if v not in kept},
            mode=mode,
            dtype=net.dtype,
            name="predict",
        )


class _Known:
    """What is known of predictions of one kind: their fields, and once data fit them, a function.

    Parameters
    ----------
    net : Structure
        The network.
    given : str or None
        The output that stands for the inputs.
    """

    def __init__(self, net: Structure, given: str | None) -> None:
        self.check = None
        if given is None:
            self.fields = [f for f in net.fields if f.role == "input"]
            self.check = net.sizes(self.fields)
        else:
            name = output_name(given)
            self.fields = [Field(name, "input", net.dtype, net.graph.shape(name))]
        self.compiled: Compiled | None = None


def compute(
    net: Structure,
    x: Any,
    wanted: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    given: str | None = None,
    where: str = "x",
) -> dict[str, Array]:
    """Compute outputs of a network.

    Parameters
    ----------
    net : Structure
        The network.
    x : array_like, list or dict
        Inputs: one array, or several in order or by name.
    wanted : list of str, optional
        Names of outputs; by default all, with the clean ones of those that
        have noise.
    options : dict, optional
        What the user may say:

        - ``batch_size``: rows to compute at once; 4096 by default;
        - ``rng``: an int, Generator or RandomState starts the noise anew;
          without it, noise goes on where the last call stopped;
        - ``mode``: how to compile; by default as the network says;
        - ``training``: whether layers show their training form;
        - noise at prediction time, see `theanets.regularizers.from_kwargs`.
          Penalties have no meaning here and are ignored.
    given : str, optional
        Name of an output that ``x`` holds, instead of the inputs.
    where : str
        What the data are called in messages.

    Returns
    -------
    dict of str to ndarray
        Arrays with a row for each of ``x``; there may be none.

    Raises
    ------
    DataError
        If ``x`` does not have the form that the network needs, or too few
        rows for a layer that compares them.
    ConfigurationError
        If an output does not exist, or a keyword is unknown.
    """
    options = dict(options or {})
    valid = [*OPTIONS, *keywords()]
    check_keywords("prediction", set(options) - set(valid), valid)
    size, rng, mode, training = (options.pop(key, None) for key in OPTIONS)
    training = training is not None and flag("training", training, "prediction")
    mode = net.mode if mode is None else mode
    names = None if wanted is None else tuple(output_name(name) for name in wanted)
    for name in names or ():
        net.graph.shape(name)
    found, _ = from_kwargs(net.layers, **options)
    noise = [r for r in found if type(r).modify_graph is not Regularizer.modify_graph]
    padded, x = with_a_row(x)
    key = ("predict", names, given, training, tuple([(r.cache_key(), r.weight) for r in noise]))
    known = net.cached((*key, backends.mode_key(mode)), lambda: _Known(net, given), objective=False)
    fields = known.fields
    arrays = prepare(fields, x, where)
    if known.check is not None:
        known.check([array.shape[1:] for array in arrays], where)
    rows = int(arrays[0].shape[0])
    size = BATCH_SIZE if size is None else size
    least = max(layer.least_examples for layer in net.layers) if training else 1
    parts = list(chunks(rows, size, least))
    if not padded and min(rows, size) < least:
        raise DataError(f"{where}: batches of {min(rows, size)} row, but {FEW.format(least)}")
    compiled = known.compiled
    if compiled is None:
        with process.building(net.dtype):
            if known.compiled is None:
                replaced = {} if given is None else {output_name(given): _variable(net, given)}
                known.compiled = Compiled(net, names, noise, replaced, mode, training)
            compiled = known.compiled
    function = compiled.function if len(parts) == 1 else backends.repeated(compiled.function)

    def batch(part: Any) -> list[Array]:
        found = [gather(f, a, part, where) for f, a in zip(fields, arrays, strict=True)]
        return sparse.flat(fields, found)

    seed = None if rng is None else _rng.as_seed(rng)
    beginning = batch(parts[0])

    def begin() -> Any:
        if seed is not None:
            compiled.outputs.reseed(seed)
        return function(*beginning)

    if len(parts) == 1 and seed is None:
        results = [function(*beginning)]
    else:
        # Parameters of one moment, and noise of one seed.
        with compiled.function.held(begin) as first:
            results = [first, *(function(*batch(part)) for part in parts[1:])]
    joined = results[0] if len(results) == 1 else map(np.concatenate, zip(*results, strict=True))
    stop = 0 if padded else None
    return {
        name: np.asarray(array)[:stop] for name, array in zip(compiled.wanted, joined, strict=True)
    }


def with_a_row(x: Any) -> tuple[bool, Any]:
    """Put one row of zeros into arrays that have no rows; tell whether that was done.

    Not all that a network computes is defined for no rows at all.
    """
    several = isinstance(x, (Mapping, list, tuple)) and not is_sparse(x)
    arrays = list(x.values() if isinstance(x, Mapping) else x) if several else [x]
    shapes: list[tuple[int, ...]] = [getattr(array, "shape", ()) for array in arrays]
    if not shapes or not all(len(shape) > 1 and shape[0] == 0 for shape in shapes):
        return False, x
    rows = [np.zeros((1, *shape[1:])) for shape in shapes]
    if isinstance(x, Mapping):
        return True, dict(zip(x, rows, strict=True))
    return True, rows if several else rows[0]


def _variable(net: Structure, name: str) -> Any:
    name = output_name(name)
    shape = net.graph.shape(name)
    with process.building(net.dtype):
        return placeholder(name, net.dtype, (None, *shape))


def score(net: Any, predicted: Array, y: Any, w: Any) -> float:
    """Get R squared of predictions, or the share of decisions that are right.

    See `theanets.Network.score`.
    """
    bounds = None
    loss = next((loss for loss in net.losses if loss.output_name == net.output_name), None)
    if loss is not None:
        predicted = loss.point(predicted)
        bounds = loss.bounds(net.output_layer.log_odds_output is not None)
    if bounds is not None and not net._decides:
        # Log-odds say values as well, the probabilities.
        predicted = (1 + np.tanh(predicted / 2)) / 2 if bounds == (0, 0.5) else predicted
        bounds = None
    y, w = check_targets(y, w, predicted.shape)
    if bounds is None:
        return r2(y, predicted, w)
    return float(np.average((predicted > bounds[0]) == (y > bounds[1]), weights=w))


def middle_output(net: Structure, layer: Any = None) -> str:
    """Find the output that an autoencoder encodes to.

    Parameters
    ----------
    net : Structure
        The network.
    layer : str, int, Layer or None
        A layer, or the name of an output. None is the middle one of all
        layers in order, inputs but the first left out, and of two the later.
    """
    if isinstance(layer, str) and ":" in layer:
        net.graph.shape(layer)
        return layer
    if layer is not None:
        return net.graph.layer(layer).output_name
    layers = [found for found in net.layers if not found.is_input]
    if len(layers) < 2:
        raise ConfigurationError("the network has no hidden layer to encode to")
    return layers[(len(layers) + 1) // 2 - 1].output_name
