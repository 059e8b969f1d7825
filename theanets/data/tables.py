"""Tables of pandas as arrays, also with columns that may have missing values, or that are bool."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Array = npt.NDArray[Any]


def is_table(value: Any) -> bool:
    """Tell whether something is a DataFrame, a Series, or an array that a column of one has."""
    return not isinstance(value, np.ndarray) and all(
        hasattr(value, key) for key in ("isna", "to_numpy", "take")
    )


def plain(value: Any) -> Array:
    """Get an array of what may be a table, or a list of these.

    NumPy makes objects of columns that may have missing values, and of columns
    of different types. Here each becomes what it holds: truth values, integers
    or floats, NaN where one is missing; all of a table have one type in the
    end. Text and the like stay objects.

    Raises
    ------
    DataError
        If it is a masked array, or a list with one: the mask would be lost.
    """
    listed = isinstance(value, (list, tuple))
    if any(isinstance(one, np.ma.MaskedArray) for one in (value if listed else [value])):
        raise DataError(
            f"a {'list with a ' if listed else ''}masked array, whose mask says nothing here; give "
            "its data, and weights that are 0 where it is masked"
        )
    if isinstance(value, (list, tuple)) and len(value) and is_table(value[0]):
        return np.asarray([plain(one) for one in value])
    found = np.asarray(value)
    if found.dtype.kind != "O" or not is_table(value) or 0 in found.shape:
        return found
    if found.ndim < 2:
        return _column(value)
    columns = [_column(value.iloc[:, i]) for i in range(found.shape[1])]
    numeric = all(column.dtype.kind in "biuf" for column in columns)
    return np.stack(columns, axis=1) if numeric else found


def _column(values: Any) -> Array:
    dtype = values.dtype
    held = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
    if isinstance(dtype, np.dtype) or not isinstance(held, np.dtype) or held.kind not in "biuf":
        return np.asarray(values)
    if values.isna().any():
        return np.asarray(values.to_numpy(dtype="float64", na_value=np.nan))
    return np.asarray(values.to_numpy(dtype=held))
