"""The columns of a table that a network predicts from: kept with it, and applied to other tables.

Each value is turned into numbers by what training knew, and by nothing else:
the same row gives the same inputs whatever rows are beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError, FileError
from .reading import Note, is_missing, numbers

Array = npt.NDArray[Any]

#: What `Schema.to_dict` gives has this version.
VERSION = 2


def quoted(texts: Collection[str], most: int = 3) -> str:
    """Get a list of texts for a message."""
    some = list(texts)
    return ", ".join(map(repr, some[:most])) + (", ..." if len(some) > most else "")


def check_finite(name: str, values: Array) -> None:
    """Refuse infinite values; NaN is none."""
    if np.isinf(values).any():
        raise DataError(f"column {name!r} has infinite values")


@dataclass
class Number:
    """A column of numbers, which are standardized; a missing one counts as the mean."""

    name: str
    mean: float
    scale: float
    decimal: str = "."
    missing: list[str] = field(default_factory=list)

    kind: ClassVar[str] = "number"

    def encode(self, texts: pd.Series, also_missing: Collection[str] = ()) -> Array:
        """Get an array of shape (rows, 1).

        Raises
        ------
        DataError
            If a text is neither a number nor known to be missing.
        """
        values = numbers(texts, self.decimal)
        known = [*self.missing, *also_missing]
        absent = is_missing(texts, known, number=True).to_numpy(bool)
        odd = np.isnan(values) & ~absent
        if odd.any():
            row = int(odd.argmax())
            point = "" if self.decimal == "." else f" with {self.decimal!r} as decimal point"
            other = "," if self.decimal == "." else "."
            if not np.isnan(numbers(texts.iloc[row : row + 1], other)[0]):
                advice = f"if that is a number, --decimal {other!r} reads it"
            else:
                advice = f"if that stands for a missing value, say --missing {texts.iloc[row]!r}"
            raise DataError(
                f"column {self.name!r} has numbers in training{point}, but {texts.iloc[row]!r} in "
                f"row {row + 1}; {advice}"
            )
        check_finite(self.name, values)
        scaled = (np.where(absent, np.nan, values) - self.mean) / self.scale
        return np.where(np.isnan(scaled), 0, scaled)[:, None]

    def describe(self) -> str:
        """Say what it is."""
        return "a number" + (f"; {quoted(self.missing)} is missing" if self.missing else "")


@dataclass
class Category:
    """A column of texts, with an indicator for each; a missing or new one has none."""

    name: str
    categories: list[str]

    kind: ClassVar[str] = "category"

    def encode(self, texts: pd.Series, also_missing: Collection[str] = ()) -> Array:
        """Get an array of shape (rows, categories)."""
        values = texts.where(~is_missing(texts, also_missing), "").to_numpy(object)
        return np.stack([values == one for one in self.categories], axis=1)

    def new(self, texts: pd.Series) -> pd.Series:
        """Get the texts that are not in training."""
        return texts[~texts.isin(["", *self.categories])]

    def describe(self) -> str:
        """Say what it is."""
        return f"one of {', '.join(map(repr, self.categories))}"


@dataclass
class Schema:
    """The columns of a table that a network predicts from, as they were in training.

    Attributes
    ----------
    columns : list of Number and Category
        Those that are used, in the order of the network's inputs.
    ignored : list of str
        Those that are not.
    missing : list of str
        Texts that stand for a missing value in any column, besides the usual ones.
    separator : str
        What separates the values of a row.
    """

    columns: list[Number | Category]
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    separator: str = ","

    def encode(self, frame: pd.DataFrame, note: Note | None = None) -> Array:
        """Get a table of texts as an array of shape (rows, inputs).

        Parameters
        ----------
        frame : DataFrame of str
            The rows.
        note : callable, optional
            Is told of texts that were not in training.

        Raises
        ------
        DataError
            If a column is missing, or has text where there were numbers.
        """
        parts = []
        for column in self.columns:
            if column.name not in frame:
                raise DataError(
                    f"there is no column {column.name!r}; columns: {', '.join(frame.columns)}"
                )
            texts = frame[column.name].str.strip()
            parts.append(column.encode(texts, self.missing))
            if note and isinstance(column, Category):
                new = column.new(texts[~texts.isin(self.missing)])
                if len(new):
                    note(
                        f"column {column.name!r}: {quoted(list(dict.fromkeys(new)))} "
                        f"({len(new)} of {len(texts)} values) was not there in training, and says "
                        "nothing"
                    )
        return np.concatenate(parts, axis=1, dtype=float)

    def with_decimal(self, decimal: str) -> Self:
        """Get one of a table whose numbers have another decimal point than in training."""
        columns = [
            replace(one, decimal=decimal) if isinstance(one, Number) else one
            for one in self.columns
        ]
        return replace(self, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Get what JSON can hold."""
        columns = [{"kind": one.kind, **asdict(one)} for one in self.columns]
        return {**asdict(self), "columns": columns, "version": VERSION}

    @classmethod
    def from_dict(cls, found: dict[str, Any], where: str) -> Self:
        """Get what `to_dict` made.

        Raises
        ------
        FileError
            If it is of another version.
        """
        if found.get("version") != VERSION:
            raise FileError(
                f"{where}: the network was trained by another version of theanets, which kept the "
                "types of the columns differently; train it again"
            )
        kinds = {kind.kind: kind for kind in (Number, Category)}
        columns = []
        for one in found["columns"]:
            options = {key: value for key, value in one.items() if key != "kind"}
            columns.append(kinds[one["kind"]](**options))
        rest = {key: value for key, value in found.items() if key not in ("version", "columns")}
        return cls(columns, **rest)
