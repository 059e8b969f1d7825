"""Networks that take the lengths of their series, although they have no place for them.

Most networks are built without a thought of lengths. Where data are series of
different lengths all the same, a call works on a view of the network: the same
layers, losses and compiled functions, and an input of lengths for each series
that needs it. The network itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from .. import series_lengths
from ..data import comes_in_batches
from ..data.mapped import mapped
from ..data.series import Padded
from ..errors import ConfigurationError, DataError
from ..graph import Graph
from ..layers import Layer, Lengths
from ..structure import Structure
from . import ragged

AnyStructure = TypeVar("AnyStructure", bound=Structure)


class Unasked(Lengths, register=False):
    """The lengths of an input whose network has no layer for them."""

    unasked = True


def names(net: Structure) -> dict[str, str]:
    """Get what the lengths of series are called in the data, where the network has no layer of it.

    Returns
    -------
    dict of str to str
        By the name of an input of series: ``'lengths'``, or
        ``'<input>_lengths'`` if there are several.
    """
    layers = net.graph.by_name
    if any(getattr(layer, "lengths", None) is not None for layer in layers.values()):
        return {}  # The layers say it themselves.
    known = series_lengths.from_inputs(layers)
    inputs = [x for x in net.layers if x.is_input and not x.holds_lengths]
    series = [str(x.name) for x in inputs if x.is_series]
    taken = {*layers, *(variable.name for variable in net.variables)}
    found = {}
    for name in series:
        key = "lengths" if len(series) == 1 else f"{name}_lengths"
        while key in taken:
            key += "'"
        if f"{name}:out" not in known:
            found[name] = key
    return found


def needed(net: Structure, arrays: Mapping[str, Any], only: str | None = None) -> set[str]:
    """Get the inputs whose lengths nothing but the data say.

    Parameters
    ----------
    net : Structure
        The network.
    arrays : dict
        Data by name, of which some may be lists of series, or lengths.
    only : str, optional
        ``'input'`` if the data are inputs only.
    """
    known = {} if only else series_lengths.from_weights(net.graph.by_name, net.bound_losses())[0]
    return {
        name
        for name, key in names(net).items()
        if key in arrays or (f"{name}:out" not in known and ragged.is_ragged(arrays.get(name)))
    }


def view(net: AnyStructure, inputs: Iterable[str]) -> AnyStructure:
    """Get a network that takes the lengths of some inputs too.

    Parameters
    ----------
    net : Structure
        The network, with which it shares everything.
    inputs : list of str
        Names of inputs, out of those of `names`.

    Raises
    ------
    ConfigurationError
        If the steps of an output do not follow from those of the inputs.
    """
    keys = {name: key for name, key in names(net).items() if name in set(inputs)}
    if not keys:
        return net
    layers: list[Layer] = []
    for name, layer in net.graph.by_name.items():
        layers.append(layer)
        if name in keys:
            key = keys[name]
            layers.append(net._unasked.setdefault(key, Unasked(key, of=name)))
    made = net.sharing(layers)
    steps_of(made.graph)
    return made


def steps_of(graph: Graph) -> dict[str, Any]:
    """Get the number of steps of all series that a network computes, by the name of an output.

    Returns
    -------
    dict of str to expression of shape (batch,)
        Of what the layers of lengths take.

    Raises
    ------
    ConfigurationError
        If it is not known after some layer which steps exist.
    """
    lengths: dict[str, Any] = series_lengths.from_inputs(graph.by_name)
    for layer in graph.layers:
        before = [name for name in layer.input_names if name in lengths]
        for key, shape in layer.output_shapes.items():
            name = f"{layer.name}:{key}"
            if name in lengths:
                continue
            found = layer.steps_after(key, lengths)
            if found is not None:
                lengths[name] = found
            elif before and shape[:1] == (None,):
                raise ConfigurationError(
                    f"series of different lengths: which steps of {name!r}, of shape {shape} for "
                    f"each example, exist does not follow from the steps of {before[0]!r}, so pad "
                    "the series, and mask their targets by weighted=True"
                )
    return lengths


def given(net: Structure, data: Any) -> set[str]:
    """Get the inputs whose lengths are in data that `ragged.padded` has made, or a user."""
    if not isinstance(data, Mapping):
        return set()
    return {name for name, key in names(net).items() if key in data}


def fitted(net: Structure, seen: Structure, data: Any) -> Any:
    """Add lengths to data for a view, also where all steps exist.

    Parameters
    ----------
    net : Structure
        The network.
    seen : Structure
        The view of it, or the network itself.
    data : list, dict, array, or callable or iterable of batches
        What ``padded`` of a model gives.

    Raises
    ------
    DataError
        If batches that come one by one have lengths that the network does not
        take.
    """
    if data is None:
        return None
    if comes_in_batches(data):
        return mapped(data, lambda batch: fitted(net, seen, batch))
    if seen is net:
        found = given(net, data)
        if found:
            raise DataError(
                f"the series {min(found)!r} of a batch have different lengths, which has to be "
                "known before batches come one by one: give the network a layer of lengths, "
                "dict(form='lengths', name='lengths'), after its input"
            )
        return data
    if not isinstance(data, Padded):
        data = ragged.by_name(net, [data] if hasattr(data, "__array__") else data) or data
    return ragged.padded(seen, data) or data if isinstance(data, dict) else data
