"""Prediction: outputs of a network for data, computed in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor

from . import backends
from . import rng as _rng
from .data import Field, chunks, gather, prepare
from .errors import ConfigurationError, check_keywords
from .names import output_name
from .regularizers import from_kwargs, keywords
from .structure import Structure

Array = npt.NDArray[Any]

#: Rows that are computed at once, where the caller does not say.
BATCH_SIZE = 4096


class Compiled:
    """A function from inputs to some outputs.

    Parameters
    ----------
    net : Structure
        The network.
    wanted : list of str
        Full names of the outputs.
    regularizers : list of Regularizer
        Noise to put in the graph.
    given : dict of str to variable
        Variables that stand for some outputs, instead of the inputs.
    mode : str or Mode or None
        How to compile.
    """

    def __init__(
        self,
        net: Structure,
        wanted: Sequence[str],
        regularizers: Sequence[Any],
        given: Mapping[str, Any],
        mode: Any,
    ) -> None:
        self.outputs = net.graph.outputs(
            regularizers=regularizers, needed=wanted, given=given, seed=net.seed
        )
        self.wanted = list(wanted)
        self.function = backends.function(
            list(given.values()) or net.inputs,
            [self.outputs[name] for name in wanted],
            self.outputs.updates,
            mode=mode,
            dtype=net.dtype,
            name="predict",
        )


def compute(
    net: Structure,
    x: Any,
    wanted: Sequence[str] | None = None,
    *,
    given: str | None = None,
    batch_size: int | None = None,
    rng: Any = None,
    mode: Any = None,
    where: str = "x",
    **regularizers: Any,
) -> dict[str, Array]:
    """Compute outputs of a network.

    Parameters
    ----------
    net : Structure
        The network.
    x : array_like, list or dict
        Inputs: one array, or several in order or by name.
    wanted : list of str, optional
        Names of outputs; by default all.
    given : str, optional
        Name of an output that ``x`` holds, instead of the inputs.
    batch_size : int, optional
        Rows to compute at once; 4096 by default.
    rng : int, Generator or RandomState, optional
        Starts the noise anew; without it, noise goes on where the last call
        stopped.
    mode : str or Mode, optional
        How to compile; by default as the network says.
    where : str
        What the data are called in messages.
    **regularizers
        Noise at prediction time; see `theanets.regularizers.from_kwargs`.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    DataError
        If ``x`` does not have the form that the network needs.
    ConfigurationError
        If an output does not exist, or a keyword is unknown.
    """
    check_keywords("predict", set(regularizers) - set(keywords()), keywords())
    names = [output_name(n) for n in (net.graph.output_names if wanted is None else wanted)]
    for name in names:
        net.graph.shape(name)
    noise, _ = from_kwargs(net.layers, **regularizers)
    mode = net.mode if mode is None else mode
    key = ("predict", tuple(names), given, tuple((r.structure(), r.weight) for r in noise))
    variable = None if given is None else _variable(net, output_name(given))

    def make() -> Compiled:
        replaced = {} if variable is None else {output_name(str(given)): variable}
        return Compiled(net, names, noise, replaced, mode)

    compiled = net.cached((*key, backends.mode_key(mode)), make)
    if rng is not None:
        compiled.outputs.reseed(_rng.as_seed(rng))
    arrays, fields = _arrays(net, x, given, where)
    rows = int(arrays[0].shape[0])
    parts = []
    for part in chunks(rows, batch_size or BATCH_SIZE):
        batch = [gather(f, a, part, where) for f, a in zip(fields, arrays, strict=True)]
        parts.append(compiled.function(*batch))
    joined = parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]
    return dict(zip(names, (np.asarray(a) for a in joined), strict=True))


def _arrays(net: Structure, x: Any, given: str | None, where: str) -> tuple[list[Any], list[Any]]:
    if given is None:
        fields = [f for f in net.fields if f.role == "input"]
    else:
        name = output_name(given)
        fields = [Field(name, "input", net.dtype, net.graph.shape(name))]
    arrays = prepare(fields, x, where)
    return arrays, fields


def _variable(net: Structure, name: str) -> Any:
    shape = net.graph.shape(name)
    with pytensor.config.change_flags(floatX=net.dtype):
        return pytensor.tensor.tensor(name=name, dtype=net.dtype, shape=(None, *shape))


def middle_output(net: Structure, layer: Any = None) -> str:
    """Find the output that an autoencoder encodes to.

    Parameters
    ----------
    net : Structure
        The network.
    layer : str, int, Layer or None
        A layer, or the name of an output. None is the smallest hidden layer,
        and of several the first.
    """
    if isinstance(layer, str) and ":" in layer:
        net.graph.shape(layer)
        return layer
    if layer is not None:
        return net.graph.layer(layer).output_name
    hidden = net.layers[1:-1]
    if not hidden:
        raise ConfigurationError("the network has no hidden layer to encode to")
    return min(hidden, key=lambda found: found.output_size).output_name
