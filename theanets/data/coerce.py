"""What a user gives as data, turned into arrays that compiled functions can take unchecked.

Compiled functions do not look at what they get: an array of another dtype
fails late, a label that is out of range ends the process. So every value that
reaches one has passed through here, or is a row of an array that has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import process
from ..errors import DataError, check_weights, nearest
from ..ops.sparse import is_sparse
from .fields import Field, agree, behaved
from .finite import clear_padding, refuse_not_finite
from .sparse import as_csr
from .tables import is_table, plain, refuse_dask, uneven, without_numbers
from .tensors import is_sparse_tensor, of_sparse_tensor

#: In-memory arrays above this size are converted batch by batch, not as a whole.
LAZY_BYTES = 2**30


def coerce(field: Field, value: Any, where: str) -> Any:
    """Turn one value into the array that a field needs.

    Parameters
    ----------
    field : Field
        What is needed.
    value : array_like or sparse matrix
        What was given.
    where : str
        Describes the value in error messages.

    Returns
    -------
    ndarray or csr_array
        C-contiguous, of the field's dtype. Sparse matrices stay sparse, and
        for a sparse field arrays become such. A memory map, or a very large
        array of another dtype, is returned as it is, to be converted and
        checked by `gather`.

    Raises
    ------
    DataError
        If the value is not what the field needs and cannot safely become it.
    """
    array = _convert(field, value, where)
    return array if is_lazy(field, array) else refuse_not_finite([field], [array], [where])[0]


def gather(field: Field, array: Any, rows: Any, where: str) -> Any:
    """Get rows of a coerced array in the form that a compiled function takes.

    Parameters
    ----------
    field : Field
        What the array was coerced for.
    array : ndarray or csr_array
        From `coerce` or `prepare`.
    rows : slice or ndarray of int
        Which rows.
    where : str
        Describes the array in error messages.

    Returns
    -------
    ndarray or csr_array
        C-contiguous, aligned, writeable, of the field's dtype; a view where
        possible. Sparse matrices are made dense, except for a sparse field, which may get
        either.
    """
    part = take(field, array, rows, where)
    return refuse_not_finite([field], [part], [where], rows)[0] if is_lazy(field, array) else part


def take(field: Field, array: Any, rows: Any, where: str) -> Any:
    """Get rows as `gather` does, but with NaN and inf left unchecked."""
    if is_sparse(array):
        return array[rows] if field.sparse else array[rows].toarray()
    if is_lazy(field, array):
        return behaved(_cast(field, np.asarray(array[rows]), where))
    return behaved(array[rows]) if isinstance(rows, slice) else array.take(rows, axis=0)


def is_lazy(field: Field, array: Any) -> bool:
    """Find out whether an array from `coerce` still has to be converted and checked."""
    if is_sparse(array):
        return False
    exact = array.dtype == field.dtype and array.flags.c_contiguous
    return isinstance(array, np.memmap) or not exact


def load(
    fields: Sequence[Field], data: Any, where: str, *, axis: int = 0, lazy: bool = True
) -> list[Any]:
    """Coerce and check one array per field.

    The arrays have equal lengths, weights the rank of what they weigh. Unless
    ``lazy``, memory maps and very large arrays are read and converted too.
    """
    refuse_dask(data, where)
    places = locate(fields, where)
    values = _arrange(fields, data, where)
    if axis == 0:
        values = clear_padding(fields, values)
    arrays = [
        _convert(field, value, place, axis=axis, lazy=lazy)
        for field, value, place in zip(fields, values, places, strict=True)
    ]
    if len({array.shape[0] for array in arrays}) > 1:
        lengths = ", ".join(
            f"{f.name!r} has {a.shape[0]}" for f, a in zip(fields, arrays, strict=True)
        )
        raise DataError(f"{where}: the arrays differ in length: {lengths}; they must agree")
    named = {field.name: array for field, array in zip(fields, arrays, strict=True)}
    for i, field in enumerate(fields):
        if field.weighs in named:
            arrays[i] = _fit_weights(field, arrays[i], named[field.weighs].shape, places[i])
    for field, array, place in zip(fields, arrays, places, strict=True):
        if field.blank is not None and not is_lazy(field, array):
            _refuse_blank(field, array, named.get(field.weighted_by or ""), place)
    ready = [i for i, field in enumerate(fields) if not is_lazy(field, arrays[i])]
    return refuse_not_finite(fields, arrays, places, only=ready)


def locate(fields: Sequence[Field], where: str) -> list[str]:
    """Describe the position of each field in the data, for error messages."""
    return [f"{where}, array {i} of {len(fields)} ({f.name!r})" for i, f in enumerate(fields, 1)]


def _arrange(fields: Sequence[Field], data: Any, where: str) -> list[Any]:
    """Get one value per field, in order, out of whatever form the data have."""
    names = [field.name for field in fields]

    def listed() -> str:
        return ", ".join(map(str, fields))

    if isinstance(data, Mapping) and not is_sparse(data):
        extra = [f"{name!r}{nearest(str(name), names)}" for name in data if name not in names]
        missing = [field for field in fields if field.name not in data]
        problems = [f"has unknown array {', '.join(extra)}"] if extra else []
        if missing:
            weights = " (the weights)" if all(f.role == "weights" for f in missing) else ""
            lacking = ", ".join(repr(field.name) for field in missing)
            problems.append(f"lacks {lacking}{weights}")
        if problems:
            raise DataError(f"{where} {' and '.join(problems)}; expected: {listed()}")
        return [data[name] for name in names]
    if isinstance(data, (list, tuple)):
        if len(data) == len(fields):
            return [data] if len(fields) == 1 and _is_row(fields[0], data[0]) else list(data)
        # One field: a list of rows, unless the items are whole arrays.
        if len(fields) == 1 and not any(
            getattr(item, "ndim", 0) > max(1, len(fields[0].shape)) for item in data
        ):
            return [data]
        last = [field for field in fields if field.role == "weights"]
        missed = ", ".join(map(str, last)) if len(data) == len(fields) - len(last) else ""
        raise DataError(
            f"{where} has {len(data)} array{'' if len(data) == 1 else 's'}, but {len(fields)} "
            f"{'is' if len(fields) == 1 else 'are'} expected: {listed()}"
            + (f"; the weights are missing: {missed}" if missed else "")
        )
    if len(fields) == 1:
        return [data]
    shape = f" of shape {data.shape}" if hasattr(data, "shape") else ""
    raise DataError(
        f"{where} is one {type(data).__name__}{shape}, but {len(fields)} arrays are "
        f"expected, as a list or a dict: {listed()}"
    )


def _is_row(field: Field, value: Any) -> bool:
    """Tell whether the only item of a list is a row, and not an array of rows."""
    first, ndim = value, 0
    while isinstance(first, (list, tuple)) and first:
        first, ndim = first[0], ndim + 1
    if ndim + getattr(first, "ndim", 0) != len(field.shape):
        return False
    try:
        return agree(np.shape(value), field.shape)
    except ValueError:
        return False  # of no shape at all, which is said later


class _Got:
    """An array in words, which are made where they are needed."""

    def __init__(self, where: str, array: Any, batch: str = "") -> None:
        self._said = where, array, batch

    def __str__(self) -> str:
        where, array, batch = self._said
        return f"{where} has shape {array.shape}{batch} and dtype {array.dtype}"


def _convert(field: Field, value: Any, where: str, *, axis: int = 0, lazy: bool = True) -> Any:
    """Do all of `coerce` but the check for NaN and inf."""
    array = _as_array(field, value, where)
    got = _Got(where, array)
    if array.dtype.kind not in ("biu" if field.integral else "biuf"):
        hint = _one_hot(field, array.shape)
        if array.dtype.kind == "f" and not hint:
            hint = "; if it does hold integers, use y.astype(int)"
        elif array.dtype.kind == "O":
            named = without_numbers(value) if is_table(value) else ""
            hint = f": {named}" if named else "; convert it to one numeric dtype"
        raise DataError(f"{got}; expected {field}{hint}")
    if axis and array.ndim > 1:
        if not -array.ndim <= axis < array.ndim:
            raise DataError(f"{got}; it has no axis={axis} to be the batch")
        if is_sparse(array):
            array = array.T if axis in (1, -1) else array
        else:
            array = np.moveaxis(array, axis, 0)
        got = _Got(where, array, " (batch first)")
    shape = _fit(field, array.shape, got)
    if is_sparse(array):
        if shape == array.shape and len(field.shape) == 1:
            return _cast_sparse(field, array, where)
        array = array.toarray()
    array = array.reshape(shape)
    if lazy and isinstance(array, np.memmap):
        return array
    array = np.asarray(array)
    if lazy and array.nbytes > LAZY_BYTES and is_lazy(field, array):
        return array
    array = _cast(field, array, where)
    return process.lazily("scipy.sparse").csr_array(array) if field.sparse else array


def _as_array(field: Field, value: Any, where: str) -> Any:
    if is_sparse(value) or isinstance(value, np.memmap):
        return value
    try:
        return of_sparse_tensor(value) if _is_sparse_matrix(value) else plain(value)
    except DataError as error:
        raise DataError(f"{where} is {error}") from None
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        of = f" of {value.dtype}" if hasattr(value, "dtype") else ""
        raise DataError(
            f"{where} is a {type(value).__name__}{of} that is not one array: "
            f"{uneven(value) or str(error).rstrip('.')}; expected {field}"
        ) from error


def _is_sparse_matrix(value: Any) -> bool:
    return is_sparse_tensor(value) and value.ndim == 2


def _fit(field: Field, shape: tuple[int, ...], got: _Got) -> tuple[int, ...]:
    """Get the shape that an array must be given, of the same number of entries."""
    rank = 1 + len(field.shape)
    hint = ""
    # A column of labels is clear; of other data, an axis too many may mean anything.
    labels = field.integral
    # A single variable, but not a single series (time, 1).
    single = field.shape[-1:] == (1,) and len(shape) == rank - 1 and shape[1:] != (1,)
    if single and field.role != "weights":
        shape = (*shape, 1)
    elif len(shape) == rank + 1 and shape[-1] == 1 and (labels or field.role == "weights"):
        shape = shape[:-1]
    if field.weighs is not None and 1 <= len(shape) <= rank:
        fits = agree(shape[1:], field.shape, ones=True)
        hint = "; weights may lack trailing axes, or have length 1 there"
    else:
        fits = len(shape) == rank and agree(shape[1:], field.shape)
        if len(shape) == rank - 1 and agree(shape, field.shape):
            hint = "; a single example needs a batch axis: x[None]"
            if field.role == "target" and field.shape[:1] == (None,):
                hint += ", one target for each series a recurrent layer with last=True"
        else:
            hint = _one_hot(field, shape)
    if not fits:
        raise DataError(f"{got}; expected {field}{hint}")
    if 0 in shape:
        raise DataError(f"{got}: it is empty; expected {field} with at least one example")
    return shape


def _one_hot(field: Field, shape: tuple[int, ...]) -> str:
    if len(shape) == len(field.shape) + 2 and shape[-1] == field.classes:
        return (
            "; labels that are one-hot become integers by y.argmax(axis=-1), and targets that are "
            "distributions over the classes are for a Regressor whose last layer is "
            f"({field.classes}, 'softmax')"
        )
    return ""


def _fit_weights(field: Field, array: Any, shape: tuple[int, ...], where: str) -> Any:
    """Give weights the rank of what they weigh, and check that they broadcast to it."""
    full = array.shape + (1,) * (len(shape) - array.ndim)
    if any(a not in (1, b) for a, b in zip(full[1:], shape[1:], strict=True)):
        raise DataError(
            f"{where} has shape {array.shape}, which does not broadcast to the shape {shape} "
            f"of {field.weighs!r}; weights may lack trailing axes, or have length 1 there"
        )
    return array if is_sparse(array) else array.reshape(full)


def _cast(field: Field, array: Any, where: str) -> Any:
    if field.integral:
        _check_range(field, array, where)
    elif field.role == "weights":
        check_weights(array, field.dtype, where)
    with np.errstate(all="ignore"):
        return np.require(array, field.dtype, ["C", "A"])


def _cast_sparse(field: Field, matrix: Any, where: str) -> Any:
    matrix = as_csr(matrix, where)
    if field.integral and matrix.nnz:
        _check_range(field, matrix.data, where)
    elif field.role == "weights":
        check_weights(matrix.data, field.dtype, where)
    with np.errstate(all="ignore"):
        return matrix.astype(field.dtype, copy=False)


def _refuse_blank(field: Field, labels: Any, weights: Any, where: str) -> None:
    """Refuse the label that stands for none, unless its weight is 0."""
    wrong = labels == field.blank
    if weights is not None and wrong.any():
        axes = (1,) * (labels.ndim - weights.ndim)
        wrong &= np.asarray(weights).reshape((*weights.shape, *axes)) != 0
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{where} has the label {field.blank} at {place}, which is the blank of its loss; "
            "labels are numbered without it, or blank= of the loss says another"
        )


def integers(field: Field) -> tuple[int, int]:
    """Get the least and the greatest integer that is valid, but for the one to be ignored."""
    if field.classes:
        return 0, field.classes - 1
    if field.dtype == "bool":
        return 0, 1
    limits = np.iinfo(field.dtype if field.integral else "int32")
    return int(limits.min), int(limits.max)


def _check_range(field: Field, array: Any, where: str) -> None:
    low, high = integers(field)
    smallest, largest = int(array.min()), int(array.max())
    if field.ignore is not None and not low <= smallest <= largest <= high:
        counted = array[array != field.ignore]
        if not counted.size:
            return
        smallest, largest = int(counted.min()), int(counted.max())
    if low <= smallest and largest <= high:
        return
    wrong = f"the largest is {largest}" if largest > high else f"the smallest is {smallest}"
    hint = ""
    if field.classes is not None and field.role == "input":
        hint = "; classes= of the input says how many symbols there are"
    elif field.classes is not None:
        hint = "; a classifier has one output unit per class"
        if field.classes == 1:
            hint += (
                ": 2 for yes or no; with a single unit, write theanets.Regressor([..., "
                "(1, 'sigmoid')], loss='bce')"
            )
    raise DataError(f"{where} has integers out of range: {wrong}, valid is {field.valid}{hint}")
