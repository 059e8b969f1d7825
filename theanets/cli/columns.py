"""Tables as arrays of floats: columns standardized, categories as indicators."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError
from .options import read_text

Array = npt.NDArray[Any]

#: Digits of a float32, which networks compute in.
DIGITS = 7
#: A column of text with more different values than this says too little about each.
MOST_CATEGORIES = 100
#: With fewer rows there is nothing to train, validate and test on.
FEWEST_ROWS = 10
#: Integers with no more different values than this are taken as classes.
MOST_CLASSES = 20


def read(path: Path) -> pd.DataFrame:
    """Read a file of separated values with a line of names; finds out what separates them.

    Where that is not a comma, numbers may have a comma for the decimal point.

    Raises
    ------
    DataError
        If there are no rows, or it is no such file.
    """
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    # Not pandas' own guess, which fails at a single column.
    names = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t|", key=names.count)
    frame = _parse(path, text, separator, ".")
    if separator != ",":
        other = _parse(path, text, separator, ",")
        for name in frame.columns:
            if not _is_number(frame[name]) and _is_number(other[name]):
                frame[name] = other[name]
    if frame.empty:
        raise DataError(f"{path}: there are no rows")
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _parse(path: Path, text: str, separator: str, decimal: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(text), sep=separator, decimal=decimal, skipinitialspace=True)
    except pd.errors.ParserError as error:
        said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{path}: {said}") from None


def _text(values: pd.Series) -> pd.Series:
    """Get values as text, where they are not missing."""
    return values.map(str, na_action="ignore")


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def find(frame: pd.DataFrame, note: Callable[[str], Any]) -> list[dict[str, Any]]:
    """Find out what to make of columns.

    Parameters
    ----------
    frame : DataFrame
        Rows to train on.
    note : callable
        Is told of each column that is left out, and why.

    Returns
    -------
    list of dict
        For each column that is used its name, and either ``mean`` and
        ``scale``, or ``categories``.

    Raises
    ------
    DataError
        If a column has infinite values, or none is left.
    """
    found: list[dict[str, Any]] = []
    for name in frame.columns:
        values = frame[name].dropna()
        distinct = values.nunique()
        if distinct < 2:
            note(f"column {name!r} is left out: it has one value")
        elif _is_number(values):
            numbers = values.to_numpy(float)
            if not np.isfinite(numbers).all():
                raise DataError(f"column {name!r} has infinite values")
            found.append({"name": name, "mean": numbers.mean(), "scale": numbers.std()})
        elif distinct > MOST_CATEGORIES:
            odd = _odd_one(values)
            note(
                f"column {name!r} is left out: text with {distinct} different values"
                + (f"; most are numbers, but not {odd!r}" if odd else "")
            )
        else:
            found.append({"name": name, "categories": sorted(set(_text(values)))})
    if not found:
        raise DataError("there is no column left to predict from")
    return found


def encode(frame: pd.DataFrame, columns: Sequence[dict[str, Any]]) -> Array:
    """Get a table as an array of float32, of shape (rows, inputs).

    A missing number becomes the mean; a missing or new category has no
    indicator.

    Raises
    ------
    DataError
        If a column is missing, or has text where there were numbers.
    """
    parts = []
    for column in columns:
        name = column["name"]
        if name not in frame:
            raise DataError(f"there is no column {name!r}; columns: {', '.join(frame.columns)}")
        if "categories" in column:
            text = _text(frame[name]).to_numpy(object)
            parts.append(np.stack([text == c for c in column["categories"]], axis=1))
        else:
            try:
                numbers = pd.to_numeric(frame[name]).to_numpy(float)
            except (ValueError, TypeError) as error:
                raise DataError(f"column {name!r} has numbers in training; {error}") from None
            if np.isinf(numbers).any():
                raise DataError(f"column {name!r} has infinite values")
            scaled = (numbers - column["mean"]) / column["scale"]
            parts.append(np.where(np.isnan(scaled), 0, scaled)[:, None])
    return np.concatenate(parts, axis=1).astype("float32")


def _odd_one(values: pd.Series) -> str:
    """Get the first text that is no number where most are, or nothing."""
    is_number = pd.to_numeric(values, errors="coerce").notna().to_numpy()
    some = values[~is_number]
    return str(some.iloc[0]) if len(some) and is_number.mean() > 0.5 else ""


def is_classes(values: pd.Series) -> bool:
    """Tell whether a target is of classes: text, truth values, or few different integers.

    Raises
    ------
    DataError
        If it is text of so many different values that it hardly is one of
        classes.
    """
    distinct = values.nunique()
    if not _is_number(values):
        odd = _odd_one(values)
        if distinct > max(2, len(values) / 2) or (odd and distinct > MOST_CATEGORIES):
            why = f"; most are numbers, but not {odd!r}" if odd else ""
            raise DataError(
                f"column {values.name!r} has {distinct} different texts in {len(values)} rows"
                f"{why}; if these are classes, say so with --task classification"
            )
        return True
    whole = bool((values == values.round()).all())
    return whole and distinct <= min(MOST_CLASSES, max(2, math.isqrt(len(values))))


class Classes:
    """A target of classes; ``names`` are these as text, in the order of the labels."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @classmethod
    def of(cls, values: pd.Series) -> Classes:
        """Find the classes: in the order of numbers, or of the alphabet."""
        distinct = sorted(values.unique()) if _is_number(values) else sorted(set(_text(values)))
        return cls([str(value) for value in distinct])

    def encode(self, values: pd.Series) -> Array:
        """Get the label of each value."""
        labels = {name: i for i, name in enumerate(self.names)}
        return _text(values).map(labels).to_numpy("int32")


class Quantity:
    """A target that is a number; networks see it standardized."""

    def __init__(self, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def of(cls, values: pd.Series) -> Quantity:
        """Find the mean and the deviation."""
        return cls(float(values.mean()), float(values.std(ddof=0)) or 1.0)

    @property
    def digits(self) -> int:
        """Get how many digits of a number say something: more where the mean is far from 0."""
        return min(17, DIGITS + math.ceil(math.log10(max(abs(self.mean) / self.scale, 1))))

    def encode(self, values: pd.Series) -> Array:
        """Get standardized numbers, one in each row."""
        return ((values.to_numpy(float) - self.mean) / self.scale).astype("float32")[:, None]

    def decode(self, outputs: Array) -> Array:
        """Get the numbers that outputs stand for."""
        return outputs[:, 0].astype(float) * self.scale + self.mean
