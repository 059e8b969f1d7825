"""Series of different lengths as data: lists of arrays, which are padded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import series_lengths
from ..data import Field
from ..data.series import Padded, count, is_array, is_ragged, of_series, of_steps, pad, short
from ..data.tables import plain
from ..errors import DataError
from ..ops.sparse import is_sparse
from ..structure import Structure

Array = npt.NDArray[Any]


def by_name(net: Structure, data: Any, only: str | None = None) -> dict[str, Any] | None:
    """Get data as a dict; None if they are not arrays for each variable.

    Parameters
    ----------
    net : Structure
        The network.
    data : list, tuple or dict
        In the order of the variables, or by name. Weights and lengths may be
        left out.
    only : str, optional
        The role of the arrays, if not all are there.
    """
    if isinstance(data, Mapping) and not is_sparse(data):
        return {name: _listed(value) for name, value in data.items()}
    data = _listed(data)
    if not isinstance(data, (list, tuple)):
        return None
    data = [_listed(one) for one in data]
    fields = {f.name: f for f in net.fields if only is None or f.role == only}
    names = list(fields)
    needed = [name for name in names if name not in _optional(net)]
    if len(needed) == 1 and _is_list(data, fields[needed[0]]):
        return {needed[0]: data}
    for expected in (names, needed):
        if len(data) == len(expected):
            return dict(zip(expected, data, strict=True))
    # A list of series in which there is something else, too; `of_series` says what.
    if len(needed) == 1 and _has_series(data, fields[needed[0]]):
        return {needed[0]: data}
    return None


def _listed(value: Any) -> Any:
    """Get an array of objects, such as series of different lengths, as a list."""
    objects = isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    return list(value) if objects else value


def _is_list(value: Any, field: Field) -> bool:
    """Tell whether something is a list of series."""
    if not isinstance(value, (list, tuple)) or not value or field.shape[:1] != (None,):
        return False
    if all(map(is_array, value)):
        return all(one.ndim == len(field.shape) for one in value)
    return is_ragged(value)


def _has_series(value: Any, field: Field) -> bool:
    """Tell whether some of a list, which is for a field, are series of it."""
    if not isinstance(value, (list, tuple)) or field.shape[:1] != (None,):
        return False
    return any(is_array(one) and one.ndim == len(field.shape) for one in value)


def series_for(field: Field | None, name: str, value: Any) -> list[Array]:
    """Get the series of a list for a field as arrays.

    Raises
    ------
    DataError
        Names the series that is none, or of another shape.
    """
    if field is None or field.role == "weights" or field.shape[:1] != (None,):
        return of_series(value, name)
    shapes = [field.shape]
    # As of arrays, the axis of a single variable may be missing, and labels may be a column.
    if field.shape[-1] == 1:
        shapes.append(field.shape[:-1])
    elif field.integral:
        shapes.append((*field.shape, 1))
    return of_series(value, name, shapes)


def _holders(net: Structure) -> list[str]:
    return [str(layer.name) for layer in net.layers if layer.holds_lengths]


def _optional(net: Structure) -> set[str]:
    weights = {field.name for field in net.fields if field.role == "weights"}
    return weights.union(_holders(net))


def padded(net: Structure, arrays: dict[str, Any], only: str | None = None) -> Padded | None:
    """Pad series, and add the weights and lengths that say which steps exist.

    Parameters
    ----------
    net : Structure
        The network.
    arrays : dict
        Data by name, of which some are lists of series.
    only : str, optional
        ``'input'`` if the data are inputs only.

    Returns
    -------
    Padded, or None if no array is such a list

    Raises
    ------
    DataError
        If lengths do not fit each other, or the network does not use them.
    """
    found = Padded(arrays)
    if isinstance(arrays, Padded):
        found.lengths, found.timed = arrays.lengths, arrays.timed
    lengths: dict[str, Array] = {}
    fields = {field.name: field for field in net.fields if only is None or field.role == only}
    for name, value in arrays.items():
        field = fields.get(name)
        if is_ragged(value) or (field is not None and _has_series(value, field)):
            ignored = None if field is None else field.ignore
            series = series_for(field, name, value)
            found[name], lengths[name] = pad(series, 0 if ignored is None else ignored)
    added = _add_all_steps(net, found, lengths)
    if lengths:
        _add_lengths(net, found, lengths)
        _add_weights(fields, found, lengths, arrays)
        if only is None:
            _check_targets(net, lengths)
        _check_known(net, fields, lengths, only)
        timed = [name for name in lengths if name in fields] + [
            f.name for f in fields.values() if f.weighs in lengths
        ]
        # An axis whose length is fixed cannot be cut.
        if all(fields[name].shape[:1] == (None,) for name in timed):
            found.timed = tuple(name for name in timed if np.ndim(found[name]) > 1)
            found.lengths = np.max(list(lengths.values()), axis=0)
    if only is None:
        _check_time(net, found)
    check = length_check(net)
    if check is not None:
        check(found)
    return found if lengths or added else None


def _add_all_steps(net: Structure, arrays: Padded, lengths: Mapping[str, Array]) -> bool:
    """Add the lengths of series that have all steps, where the user does not know of them."""
    added = False
    for layer in net.layers:
        if not (layer.holds_lengths and layer.unasked):
            continue
        (name,) = layer.named()
        shape = np.shape(arrays.get(name, 0))
        if layer.name not in arrays and name not in lengths and len(shape) > 1:
            arrays[str(layer.name)] = np.full(shape[0], shape[1], "int32")
            added = True
    return added


def _add_lengths(net: Structure, arrays: Padded, lengths: Mapping[str, Array]) -> None:
    """Add what layers of lengths take, where it is not given."""
    for variable, names in _of(net).items():
        for name in names:
            if name not in lengths:
                continue
            value = arrays.setdefault(variable, lengths[name].astype("int32"))
            if not np.array_equal(np.ravel(value), lengths[name]):
                raise DataError(
                    f"the series {name!r} have other lengths, {short(lengths[name])}, than "
                    f"{variable!r} says, {short(np.ravel(value))}; layers of lengths with of= "
                    "can say the lengths of different inputs"
                )


def _of(net: Structure) -> dict[str, list[str]]:
    """Get the inputs that each layer of lengths is about."""
    found: dict[str, list[str]] = {}
    for output, variable in series_lengths.from_inputs(net.graph.by_name).items():
        found.setdefault(variable.name, []).append(output.partition(":")[0])
    every = [v.name for v in net.inputs if v.name not in _holders(net)]
    # Of those that do not say it, recurrent layers do.
    return {name: found.get(name, every) for name in _holders(net)}


def _add_weights(
    fields: Mapping[str, Field],
    arrays: Padded,
    lengths: Mapping[str, Array],
    given: Mapping[str, Any],
) -> None:
    """Make weights those of what exists: 1 where none are given, and 0 for all other steps."""
    for field in fields.values():
        weighs = field.weighs
        if weighs is None or weighs not in arrays:
            continue
        weighed = np.asarray(arrays[weighs])
        found = lengths.get(weighs)
        if found is None and fields[weighs].shape[:1] == (None,):
            # A target that was padded by the caller has the steps of an input.
            fits = [n for n in lengths.values() if weighed.shape[1:2] == (n.max(),)]
            found = fits[0] if fits else None
        weights = given.get(field.name)
        if weights is None:
            weights = np.ones((len(weighed), *(1,) * len(field.shape)))
        elif found is None:
            continue
        if found is not None:
            weights = of_steps(weights, found, weighed.shape[1], (field.name, weighs))
        arrays[field.name] = weights


def _check_targets(net: Structure, lengths: Mapping[str, Array]) -> None:
    """Refuse targets that do not have the steps of the series that they are for."""
    for loss in net.bound_losses():
        target = loss._target.name
        if target not in lengths or not loss.by_step:
            continue
        for output in series_lengths.same_time(net.graph.by_name, loss.output_name):
            name = output.partition(":")[0]
            if not np.array_equal(lengths.get(name, lengths[target]), lengths[target]):
                raise DataError(
                    f"the series {target!r} differ in length from {name!r}: "
                    f"{short(lengths[target])}, but {short(lengths[name])}"
                )


def _check_time(net: Structure, arrays: Mapping[str, Any]) -> None:
    """Refuse targets that do not have as many steps as the series that they are for."""
    for loss in net.bound_losses():
        target = loss._target.name
        shape: tuple[int, ...] = getattr(arrays.get(target), "shape", ())
        if len(shape) < 2 or len(shape) != loss._target.ndim or not loss.by_step:
            continue
        for output in series_lengths.same_time(net.graph.by_name, loss.output_name):
            name = output.partition(":")[0]
            other: tuple[int, ...] = getattr(arrays.get(name), "shape", ())
            if name != target and len(other) > 1 and other[1] != shape[1]:
                raise DataError(
                    f"{target!r} of shape {shape} has {shape[1]} steps, but {name!r} of shape "
                    f"{other} has {other[1]}; {loss.output_name!r} has as many as that"
                )


def _check_known(
    net: Structure, fields: Mapping[str, Field], lengths: Mapping[str, Array], only: str | None
) -> None:
    layers = net.graph.by_name
    known = set(series_lengths.from_inputs(layers))
    if only is None:
        known |= set(series_lengths.from_weights(layers, net.bound_losses())[0])
    explicit = any(getattr(layer, "lengths", None) is not None for layer in net.layers)
    for name, found in lengths.items():
        if len(set(found)) == 1 or (name in fields and fields[name].role != "input"):
            continue
        if f"{name}:out" not in known and not explicit:
            raise DataError(
                f"the series {name!r} have different lengths, {short(found)}, but nothing tells "
                "the network which steps exist: give it a layer of lengths, "
                f"dict(form='lengths', name='lengths', of={name!r}), after that input, or for "
                "training, with a target for each step, weighted=True"
            )


def length_check(net: Structure) -> Callable[[Mapping[str, Any]], None] | None:
    """Get what refuses lengths that are negative, or greater than the number of steps.

    It takes arrays by name. None if the network has no lengths.

    Raises
    ------
    DataError
        If lengths have no meaning: compiled code would look for a step where there is none.
    """
    of = _of(net)

    def check(arrays: Mapping[str, Any]) -> None:
        for holder, names in of.items():
            value = arrays.get(holder)
            if value is None or np.ndim(value) == 0 or np.size(value) == 0:
                continue
            found = np.ravel(value)
            most = [np.shape(arrays[n])[1] for n in names if np.ndim(arrays.get(n, 0)) > 1]
            if found.dtype.kind in "iu" and (found.min() < 0 or (most and found.max() > min(most))):
                raise DataError(
                    f"{holder!r} has lengths from {found.min()} to {found.max()}; expected "
                    f"integers from 0 to {min(most) if most else 'the number of steps'}, the steps "
                    f"of {', '.join(map(repr, names))}"
                )

    return check if of else None


def groups(
    net: Structure, x: Any
) -> Callable[[Callable[[list[Any]], dict[str, Array]]], dict[str, Array]] | None:
    """Get what computes outputs for series of different lengths, those of equal length at once.

    Parameters
    ----------
    net : Structure
        A network without layers of lengths.
    x : list or dict
        Inputs.

    Returns
    -------
    callable, or None if ``x`` are not such series
        Takes what maps a list of arrays to outputs by name, and returns such outputs for all
        series, where steps that do not exist are 0.

    Raises
    ------
    DataError
        If a series is of another shape than the others, or than the input.
    """
    arrays = None if _holders(net) else by_name(net, x, "input")
    ragged = [name for name, value in (arrays or {}).items() if is_ragged(value)]
    if arrays is None or not ragged:
        return None
    names = [variable.name for variable in net.inputs]
    if set(names) != set(arrays):
        return None
    fields = {field.name: field for field in net.fields}
    arrays |= {name: series_for(fields[name], name, arrays[name]) for name in ragged}
    lengths = np.array([[len(one) for one in arrays[name]] for name in ragged]).T
    if not lengths.all():
        return None  # Of a series without steps, nothing can be computed by itself.
    different, which = np.unique(lengths, axis=0, return_inverse=True)
    which = which.ravel()
    places = [np.flatnonzero(which == group) for group in range(len(different))]
    batches = [[_rows(arrays[name], rows) for name in names] for rows in places]

    def compute_all(compute: Callable[[list[Any]], dict[str, Array]]) -> dict[str, Array]:
        parts = [compute(batch) for batch in batches]
        found = {}
        for key in parts[0]:
            shapes = [part[key].shape[1:] for part in parts]
            whole = np.zeros((len(which), *np.max(shapes, axis=0)), parts[0][key].dtype)
            for rows, part in zip(places, parts, strict=True):
                index: Any = (rows, *(slice(n) for n in part[key].shape[1:]))
                whole[index] = part[key]
            found[key] = whole
        return found

    return compute_all


def existing_steps(net: Structure, x: Any) -> Array | None:
    """Get which steps of the output exist, as far as inputs of its time say it.

    Returns
    -------
    ndarray of bool of shape (examples, time), or None if all do, or it is not known
    """
    arrays = by_name(net, x, "input") or {}
    same = {
        n.partition(":")[0] for n in series_lengths.same_time(net.graph.by_name, net.output_name)
    }
    inputs = [name for name in arrays if name in same]
    for name in inputs:
        value = arrays[name]
        if is_ragged(value):
            lengths = np.array([count(one) for one in value])
            return np.asarray(np.arange(lengths.max()) < lengths[:, None])
        for holder, names in _of(net).items():
            if name in names and holder in arrays and np.ndim(value) > 1:
                return np.asarray(
                    np.arange(np.shape(value)[1]) < np.reshape(arrays[holder], (-1, 1))
                )
    return None


def _rows(values: Any, rows: Array) -> Array:
    if isinstance(values, list) and is_ragged(values):
        return np.stack([values[i] for i in rows])
    return plain(values)[rows]
