"""Tables of pandas as arrays, also with columns that may have missing values, or that are bool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, warn
from ..ops.sparse import is_sparse
from .tensors import is_tensor, of_tensor, widened

Array = npt.NDArray[Any]


def is_table(value: Any) -> bool:
    """Tell whether something is a DataFrame, a Series, or an array that a column of one has."""
    return not isinstance(value, np.ndarray) and all(
        hasattr(value, key) for key in ("isna", "to_numpy", "take")
    )


def is_dask(value: Any) -> bool:
    """Tell whether something is a collection of Dask, whose blocks are computed when asked for."""
    return hasattr(type(value), "__dask_graph__")


def refuse_dask(value: Any, where: str) -> None:
    """Refuse a collection of Dask: NumPy would compute all of it, and hold it in this process.

    Raises
    ------
    DataError
        If the value is one, or a list or dict with one in it.
    """
    each = value.values() if isinstance(value, Mapping) else value
    several = isinstance(value, (list, tuple, Mapping))
    for one in each if several else [value]:
        if is_dask(one):
            raise DataError(
                f"{where} {'has' if several else 'is'} a Dask {type(one).__name__}, of which all "
                "blocks would come into the memory of this process; theanets.dask.predict, "
                "evaluate and train work where the blocks are, and compute() gets what is in memory"
            )


def in_memory(value: Any, name: str) -> Any:
    """Get what was given; of a collection of Dask what it comes to, and say so."""
    if not is_dask(value):
        return value
    warn(
        f"{name} is a Dask {type(value).__name__}, which an estimator trains on in the memory of "
        "this process: compute() it before, or train its network by theanets.dask.train where the "
        "blocks are"
    )
    return value.compute()


def plain(value: Any) -> Array:
    """Get an array of what may be a table, a tensor, a sparse matrix, or a list of these.

    NumPy makes objects of columns that may have missing values, and of columns
    of different types. Here each becomes what it holds: truth values, integers
    or floats, NaN where one is missing; all of a table have one type in the
    end. Text and the like stay objects.

    Raises
    ------
    DataError
        If it is a masked array, or a list with one: the mask would be lost.
    TypeError, ValueError, RuntimeError, OverflowError
        Of the library whose it is, if it is no array.
    """
    if type(value) is np.ndarray and value.dtype.kind in "biuf":
        return value
    listed = isinstance(value, (list, tuple))
    if any(isinstance(one, np.ma.MaskedArray) for one in (value if listed else [value])):
        raise DataError(
            f"a {'list with a ' if listed else ''}masked array, whose mask says nothing here; give "
            "its data, and weights that are 0 where it is masked"
        )
    if isinstance(value, (list, tuple)) and len(value) and _needs_plain(value[0]):
        return np.asarray([plain(one) for one in value])
    if is_tensor(value):
        return of_tensor(value)
    if is_sparse(value):
        return np.asarray(value.toarray())
    found = widened(np.asarray(value))
    if found.dtype.kind != "O" or not is_table(value) or 0 in found.shape:
        return found
    if found.ndim < 2:
        return _column(value)
    columns = [_column(value.iloc[:, i]) for i in range(found.shape[1])]
    numeric = all(column.dtype.kind in "biuf" for column in columns)
    return np.stack(columns, axis=1) if numeric else found


def _needs_plain(value: Any) -> bool:
    return is_table(value) or is_tensor(value) or is_sparse(value)


def uneven(value: Any, place: tuple[int, ...] = ()) -> str:
    """Say which entry of a list, or of lists in it, keeps it from being one array.

    Parameters
    ----------
    value
        What `plain` makes no array of.
    place : tuple of int
        Where it is in a list.

    Returns
    -------
    str
        A clause for a message; empty if it is no list, or nothing is known.
    """
    shapes = []
    for i, one in enumerate(value if isinstance(value, (list, tuple)) else ()):
        try:
            shapes.append(plain(one).shape)
        except (DataError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            why = str(error).rstrip(".")
            inner = uneven(one, (*place, i))
            return inner or f"entry {[*place, i]} is a {type(one).__name__}: {why}"
    usual = Counter(shapes).most_common(1)[0][0] if shapes else ()
    for i, shape in enumerate(shapes):
        if shape != usual:
            return f"entry {[*place, i]} has the shape {shape}, where others have {usual}"
    return ""


def without_numbers(table: Any) -> str:
    """Name the columns of a table that hold no numbers; of a table of Dask too.

    Returns
    -------
    str
        A clause for a message; empty if all columns hold numbers.
    """
    from pandas.api.types import is_numeric_dtype

    kinds = table.dtypes.items() if table.ndim > 1 else [(table.name, table.dtype)]
    found = []
    for name, dtype in kinds:
        labels = getattr(dtype, "categories", None)
        if not is_numeric_dtype(dtype if labels is None else labels.dtype):
            alone = table.ndim == 1 and name is None
            found.append(f"{'' if alone else repr(name) + ' '}({dtype})")
    if not found:
        return ""
    many = f"columns {', '.join(found)} hold" if len(found) > 1 else f"column {found[0]} holds"
    return (
        f"{many} no numbers; leave out what is not to be learned from, and make numbers of the "
        "rest, of categories by get_dummies() or .cat.codes, of labels by pandas.factorize(), of "
        "dates by differences in days"
    )


def _column(values: Any) -> Array:
    # A column that was made of objects may hold numbers all the same.
    found = values.infer_objects() if values.dtype == object else values
    if isinstance(found.dtype, np.dtype) and found.dtype.kind in "biuf":
        return np.asarray(found)
    dtype = values.dtype
    held = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
    if isinstance(dtype, np.dtype) or not isinstance(held, np.dtype) or held.kind not in "biuf":
        return np.asarray(values)
    if values.isna().any():
        return np.asarray(values.to_numpy(dtype="float64", na_value=np.nan))
    return np.asarray(values.to_numpy(dtype=held))
