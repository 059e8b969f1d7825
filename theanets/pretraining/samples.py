"""Samples: weights that are taken from the data.

A unit whose weights are an example responds most to examples like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from .. import prediction, process
from .. import rng as _rng
from ..data import Dataset, sparse
from ..errors import DataError
from ..layers import Layer
from ..ops.sparse import is_sparse
from ..structure import Structure

Array = npt.NDArray[Any]


def draw(data: Dataset, size: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw examples from one epoch of data, without replacement.

    Parameters
    ----------
    data : Dataset
        The data.
    size : int
        How many; fewer if there are not so many.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    dict of str to ndarray or csr_array
        By the names of the fields.
    """
    pool: list[Any] = []
    keys = np.zeros(0)
    for flat, rows in data.epoch():
        arrays = sparse.joined(data.fields, flat)
        # Those with the smallest of independent random numbers are a fair draw.
        keys = np.concatenate([keys, rng.random(rows)])
        order = np.argsort(keys)[:size]
        for field, old, new in zip(data.fields, pool, arrays, strict=False):
            if old.shape[1:] != new.shape[1:]:
                raise DataError(
                    f"{data.where}: algo='sample' needs batches whose examples have one shape; "
                    f"{field.name!r} has {old.shape[1:]} and {new.shape[1:]}"
                )
        joined = (
            [_stack(old, new) for old, new in zip(pool, arrays, strict=True)] if pool else arrays
        )
        pool = [array[order] for array in joined]
        keys = keys[order]
    return {field.name: array for field, array in zip(data.fields, pool, strict=True)}


def _stack(first: Any, second: Any) -> Any:
    if is_sparse(first):
        sp = process.lazily("scipy.sparse")
        return sp.vstack([first, second], format="csr")
    return np.concatenate([first, second])


def units(layer: Layer) -> int:
    """Get how many units a layer has whose weights are taken from data."""
    return layer.pre_size if layer.linear_map in ("matrix", "filters") else 0


def set_weights(
    net: Structure, pool: Mapping[str, Any], seed: int, mode: Mode | str | None = None
) -> None:
    """Set the weights of all layers from examples; see `theanets.pretraining.sampling.make_run`.

    Parameters
    ----------
    net : Structure
        The network.
    pool : dict
        Examples, by the names of the network's variables.
    seed : int
        Seed of the choice.
    mode : str or Mode, optional
        How to compile.
    """
    layers = [layer for layer in net.layers if units(layer)]
    known = {x.output_name: pool[str(x.name)] for x in net.layers if x.is_input}
    wanted = [name for layer in layers for name in layer.input_names if name not in known]
    inputs = [pool[variable.name] for variable in net.inputs]
    chosen: dict[str, Array] = {}
    for layer in layers:
        rng = _rng.generator(seed, "sample", str(layer.name))
        outputs = dict(known)
        if any(name not in known for name in layer.input_names):
            # Those of the layers before, whose weights are set by now.
            outputs.update(prediction.compute(net, inputs, list(dict.fromkeys(wanted)), _on(mode)))
        arrays = [outputs[name] for name in layer.input_names]
        where = f"layer {layer.name!r}"
        if layer.linear_map == "filters":
            _set_filters(layer, arrays[0], rng, where)
            continue
        targets = _targets(net, layer, pool, rng)
        if targets is None:
            rows = np.concatenate([_one_position(array, rng) for array in arrays], axis=1)
            samples, picks = choose(rows, layer.pre_size, rng, f"inputs of {where}")
            _assign(layer, samples.T)
        else:
            nin = sum(shape[-1] or 0 for shape in layer.input_shapes)
            before = chosen.get(layer.input_names[0]) if len(arrays) == 1 else None
            samples, picks = choose(targets, nin, rng, f"targets of {where}", before)
            _assign(layer, samples)
        if all(array.ndim == 2 for array in arrays):
            chosen[layer.output_name] = picks


def _on(mode: Mode | str | None) -> dict[str, Any]:
    return {} if mode is None else {"mode": mode}


def choose(
    rows: Array,
    count: int,
    rng: np.random.Generator,
    what: str,
    wanted: Array | None = None,
) -> tuple[Array, Array]:
    """Choose rows that are not zero, and scale them to length 1.

    Parameters
    ----------
    rows : ndarray of shape (examples, entries)
        What to choose from.
    count : int
        How many to choose.
    rng : numpy.random.Generator
        Chooses.
    what : str
        What the rows are, for messages.
    wanted : ndarray of int, optional
        Numbers of the rows to choose; others take the place of those that are
        zero.

    Returns
    -------
    (samples, numbers)
        Of shape (count, entries), and the numbers of the rows. A row that
        comes again has noise.

    Raises
    ------
    DataError
        If all rows are zero.
    """
    rows = rows.astype(float)
    length = np.sqrt((rows**2).sum(axis=1))
    usable = np.flatnonzero(np.isfinite(length) & (length > 0))
    if not len(usable):
        raise DataError(
            f"algo='sample': the {what} are zero for all of {len(rows)} examples, so that there is "
            "nothing to take weights from"
        )
    picks = np.resize(rng.permutation(usable), count)
    again = np.arange(count) >= len(usable)
    if wanted is not None and len(wanted) == count:
        fine = np.isin(wanted, usable)
        picks = np.where(fine, wanted, picks)
        again &= ~fine
    samples = rows[picks]
    noise = rng.normal(size=(int(again.sum()), rows.shape[1])) * rows[usable].std(axis=0)
    samples[again] += noise
    return samples / np.sqrt((samples**2).sum(axis=1, keepdims=True)), picks


def _one_position(array: Any, rng: np.random.Generator) -> Array:
    """Get vectors, from one random position of each example where there are more axes."""
    if is_sparse(array):
        return np.asarray(array.toarray())
    array = np.asarray(array)
    flat = array.reshape(len(array), -1, array.shape[-1])
    return flat[np.arange(len(flat)), rng.integers(flat.shape[1], size=len(flat))]


def _assign(layer: Layer, weights: Array) -> None:
    """Set the matrix of a layer, or one for each of its inputs that are parts of it."""
    start = 0
    with process.hold(layer.params):  # also while another thread predicts
        for param in layer.params:
            if not str(param.name).startswith(f"{layer.name}.w"):
                continue
            stop = start + param.get_value(borrow=True).shape[0]
            param.set_value(np.ascontiguousarray(weights[start:stop]).astype(param.dtype))
            start = stop


def _set_filters(layer: Any, images: Array, rng: np.random.Generator, where: str) -> None:
    """Set the filters of a convolution to windows at random positions."""
    window = layer.window
    images = images[:, None] if images.ndim == 3 else images
    lengths = images.shape[1:3]
    padded = np.pad(images, ((0, 0), *window.padding(lengths), (0, 0)))
    examples = np.arange(len(images))[:, None, None]
    index = []
    for i, positions in enumerate(window.positions(lengths)):
        start = rng.integers(positions, size=len(images)) * window.stride[i]
        index.append(start[:, None] + np.arange(window.size[i]) * window.dilation[i])
    seen = padded[examples, index[0][:, :, None], index[1][:, None, :]]
    samples, _ = choose(
        seen.reshape(len(seen), -1), layer.pre_size, rng, f"windows of the inputs of {where}"
    )
    w = layer.find("w")
    filters = samples.reshape(-1, *seen.shape[1:]).transpose(0, 3, 1, 2)
    # A convolution turns its filters around.
    w.set_value(np.ascontiguousarray(filters[:, :, ::-1, ::-1]).astype(w.dtype))


def _targets(
    net: Structure, layer: Layer, pool: Mapping[str, Any], rng: np.random.Generator
) -> Array | None:
    """Get a vector of the target of each example, or None if there is no loss on the layer.

    A target that is not all of weight, or is no label, is zero.
    """
    size = layer.output_size
    if layer.pre_size != size:
        return None
    for loss in net.losses:
        variable, ndim = loss._target, len(layer.output_shape) + 1
        labels = variable.dtype.startswith("int")
        if loss.output_names != [layer.output_name] or variable.ndim != ndim - labels:
            continue
        target = pool[variable.name]
        target = target.toarray() if is_sparse(target) else np.asarray(target)
        if labels:
            valid = (target >= 0) & (target < size)
            target = np.eye(size)[np.where(valid, target, 0)] * valid[..., None]
        elif target.shape[-1] != size:
            continue
        if loss._weights is not None:
            weights = np.broadcast_to(_as_many(pool[loss._weights.name], target.ndim), target.shape)
            whole = (weights != 0).all(axis=-1, keepdims=True)
            target = np.where(whole, target, 0)
        return _one_position(target, rng)
    return None


def _as_many(weights: Any, ndim: int) -> Array:
    weights = np.asarray(weights)
    return weights.reshape(weights.shape + (1,) * (ndim - weights.ndim))
