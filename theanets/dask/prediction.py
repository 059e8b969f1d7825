"""Prediction where the blocks of data are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError, nearest
from ..network import Network
from . import shards
from .models import check_client, ship

#: Letters of the axes of arrays, for `dask.array.blockwise`.
_AXES = "abcdefghijklmnopqrstuvwxyz"


def predict(client: Any, model: Any, dx: Any, *, method: str = "predict", **options: Any) -> Any:
    """Predict by a network, or by an estimator that is fitted, block by block.

    Nothing is computed before the result is asked for, by ``compute()`` or as part of something
    else. Each process that computes loads the model once, and compiles once, however many blocks
    and threads it has.

    Parameters
    ----------
    client : distributed.Client or None
        Whose workers get the model now. Without one, the model is a part of the graph, which is
        then computed by any scheduler of Dask: threads, processes or a cluster.
    model : Network or estimator
        As it is now: what is done with it later changes no prediction.
    dx : dask array or dataframe, or list or dict of arrays
        The inputs. Only the axis of the rows may be cut in blocks, which may be of unknown size;
        several inputs are cut alike. A block of 10,000 rows or more costs little besides what
        its rows cost.
    method : str
        What of the model to call: ``'predict_proba'``, ``'encode'`` and so on, which gives a row
        for each row of the inputs.
    **options
        Of that method: ``batch_size``, ``mode``; but not ``rng``.

    Returns
    -------
    dask array or dataframe
        An array with the blocks of ``dx``. Of a dataframe one with its index and divisions,
        whose columns are the numbers of the outputs; a series where there is one number for each
        row.

    Raises
    ------
    DataError
        If the inputs are not collections of Dask whose blocks are whole rows.
    ConfigurationError
        If the model has no such method.
    """
    check_client(client, optional=True)
    if isinstance(model, type):
        raise ConfigurationError(f"model={model!r} is a class; expected a network or an estimator")
    if not isinstance(method, str) or not callable(getattr(model, method, None)):
        known = [name for name in dir(model) if name[0] != "_"]
        hint = nearest(str(method), known)
        raise ConfigurationError(
            f"method={method!r}: {type(model).__name__} has no such method{hint}"
        )
    if "rng" in options:
        raise ConfigurationError(
            f"rng={options['rng']!r}: noise that starts anew would be the same in each block"
        )
    names, inputs = shards.named(dx)
    shards.check(inputs, "dx", numbers=isinstance(model, Network))
    if any(map(shards.is_frame, inputs)):
        if len(inputs) > 1 or names is not None:
            raise DataError(
                "dx: several inputs have to be arrays of Dask; a dataframe's to_dask_array() is one"
            )
        return _of_frame(client, model, inputs[0], method, options)
    return _of_arrays(client, model, names, inputs, method, options)


def _of_arrays(
    client: Any, model: Any, names: Any, inputs: list[Any], method: str, options: dict[str, Any]
) -> Any:
    import dask.array as da

    rows = [np.zeros((1, *_lengths(one)), one.dtype) for one in inputs]
    made = _try(model, method, _given(names, rows, len(inputs) > 1), options)
    pairs: list[Any] = []
    letters = iter(_AXES)
    row = next(letters)
    for one in inputs:
        pairs += [one, row + "".join(next(letters) for _ in range(one.ndim - 1))]
    new = {next(letters): length for length in made.shape[1:]}
    return da.blockwise(
        _block,
        "".join([row, *new]),
        *pairs,
        new_axes=new,
        dtype=made.dtype,
        meta=np.zeros((0,) * made.ndim, made.dtype),
        concatenate=True,
        shipped=ship(client, model),
        names=names,
        several=len(inputs) > 1,
        method=method,
        options=options,
        like=made[:0],
    )


def _of_frame(client: Any, model: Any, frame: Any, method: str, options: dict[str, Any]) -> Any:
    # Two rows of values that are possible.
    made = _table(frame._meta_nonempty, model, method, _quickly(model, options))
    return frame.map_partitions(
        _part,
        ship(client, model),
        method=method,
        options=options,
        like=made.iloc[:0],
        meta=made.iloc[:0],
        enforce_metadata=False,
    )


def _lengths(array: Any) -> tuple[int, ...]:
    lengths = array.shape[1:]
    if np.isnan(lengths).any():
        raise DataError(f"dx has the shape {array.shape}; only the number of rows may be unknown")
    return tuple(lengths)


def _given(names: Any, arrays: Any, several: bool) -> Any:
    return shards.together(names, arrays) if several or names is not None else arrays[0]


def _quickly(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Get options for a row or two, which are not worth compiling for."""
    takes = isinstance(model, Network) and "mode" not in options
    return {**options, "mode": "FAST_COMPILE"} if takes else options


def _try(model: Any, method: str, x: Any, options: dict[str, Any]) -> Any:
    """Get what comes of a row of zeros, for its shape and type."""
    made = np.asarray(getattr(model, method)(x, **_quickly(model, options)))
    if made.dtype == object or made.shape[:1] != (1,):
        raise ConfigurationError(
            f"method={method!r} does not give an array with a row for each row of the inputs"
        )
    return made


# ---- what tasks do -----------------------------------------------------------------------


def _block(
    *arrays: Any,
    shipped: Any,
    names: Any,
    several: bool,
    method: str,
    options: dict[str, Any],
    like: Any,
) -> Any:
    """Predict for a block of arrays."""
    if not len(arrays[0]):
        return like
    model = shipped.model
    return getattr(model, method)(_given(names, arrays, several), **options)


def _part(frame: Any, shipped: Any, method: str, options: dict[str, Any], like: Any) -> Any:
    """Predict for a partition of a dataframe."""
    return _table(frame, shipped.model, method, options) if len(frame) else like


def _table(frame: Any, model: Any, method: str, options: dict[str, Any]) -> Any:
    import pandas as pd

    found = np.asarray(getattr(model, method)(frame, **options))
    if found.ndim > 2:
        raise DataError(
            f"{method} gives arrays of shape {found.shape}, which are no table; use arrays of "
            "Dask, dx.to_dask_array()"
        )
    return (pd.Series if found.ndim == 1 else pd.DataFrame)(found, index=frame.index)
