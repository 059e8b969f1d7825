"""What the columns of a table are, found out in training."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import DataError, unknown
from .reading import Note, are_decorated, is_missing, numbers
from .schema import Category, Number, check_finite, quoted

Array = npt.NDArray[Any]

#: A column of text with more different values than this says too little about each.
MOST_CATEGORIES = 100
#: Of no more different numbers than this, a text among them is one of categories.
FEW_NUMBERS = 20
#: Texts among numbers that are no more different than this stand for missing values ...
MOST_MARKERS = 3
#: ... and so do others, if no more than this part are.
MOST_ODD = 0.05


@dataclass
class Wishes:
    """What the user says of columns: what is text, what numbers, and what is missing."""

    categorical: Collection[str] = ()
    numeric: Collection[str] = ()
    missing: Collection[str] = ()

    def check(self, frame: pd.DataFrame) -> None:
        """Refuse columns that do not exist, or are to be both."""
        for name in (*self.categorical, *self.numeric):
            if name not in frame:
                raise unknown("column", name, frame.columns)
        both = sorted(set(self.categorical) & set(self.numeric))
        if both:
            raise DataError(f"column {both[0]!r} is to be both --categorical and --numeric")


@dataclass
class Look:
    """What a column of texts looks like.

    Attributes
    ----------
    texts : Series of str
        Its values, without blanks around them.
    values : ndarray of float, or None
        The numbers that they are, NaN where one is missing; None if the
        column is one of texts.
    missing : Series of bool
        Where there is no value.
    decimal : str
        The decimal point of numbers.
    odd : list of str
        Texts among numbers that are taken as missing.
    """

    texts: pd.Series
    values: Array | None
    missing: pd.Series
    decimal: str = "."
    odd: list[str] = field(default_factory=list)

    def of(self, rows: Array) -> Look:
        """Get what some rows look like."""
        values = None if self.values is None else self.values[rows]
        return replace(self, texts=self.texts[rows], values=values, missing=self.missing[rows])


def look(texts: pd.Series, separator: str, wishes: Wishes, note: Note) -> Look:
    """Find out whether a column has numbers or texts.

    It has numbers if all values are, but for those that are missing: empty
    ones, the usual markers, and others if they are few. Where it is not commas
    that separate columns, numbers may have one for the decimal point.

    Parameters
    ----------
    texts : Series of str
        The column, of all rows.
    separator : str
        What separates the values of a row.
    wishes : Wishes
        What the user says.
    note : callable
        Is told what is unusual.
    """
    texts, name = texts.str.strip(), texts.name
    absent = is_missing(texts, wishes.missing)
    if name in wishes.categorical:
        return Look(texts, None, absent)
    points = "." if separator == "," else ".,"
    decimal = max(points, key=lambda point: int(np.isfinite(numbers(texts, point)).sum()))
    values = np.where(absent, np.nan, numbers(texts, decimal))
    is_number = ~np.isnan(values)
    odd = texts[~absent & ~is_number]
    unusual = odd[~is_missing(odd, number=True)]
    given, many, distinct = int((~absent).sum()), int(is_number.sum()), _distinct(values)
    few = unusual.nunique() <= MOST_MARKERS and 2 * len(unusual) < given
    stray = distinct > FEW_NUMBERS and (few or len(unusual) <= MOST_ODD * given)
    is_text = not many or (len(unusual) > 0 and not stray)
    if is_text and name not in wishes.numeric:
        decorated = odd[are_decorated(odd)]
        if 2 * (many + len(decorated)) > given and len(decorated):
            note(
                f"column {name!r} is taken as text: numbers have no signs of thousands, percents "
                f"or currencies, as {decorated.iloc[0]!r} has; write them without"
            )
            return Look(texts, None, absent)
        if 2 * many > given:
            note(
                f"column {name!r} is taken as text: {many} of {given} values are numbers, but not "
                f"{quoted(list(dict.fromkeys(unusual)))}; --numeric {name!r} takes these as missing"
            )
        return Look(texts, None, absent)
    padded = texts[is_number & texts.str.fullmatch("0[0-9]+").to_numpy(bool)]
    if len(padded):
        note(
            f"column {name!r}: the numbers lose leading zeros, as of {padded.iloc[0]!r}; "
            f"--categorical {name!r} takes them as text"
        )
    found = sorted(set(odd))
    if found:
        note(
            f"column {name!r}: {many} of {given} values are numbers; {quoted(found)} "
            f"{'is' if len(found) == 1 else 'are'} taken as missing"
        )
    return Look(texts, values, pd.Series(~is_number, texts.index), decimal, found)


def _distinct(values: Array) -> int:
    return len(np.unique(values[~np.isnan(values)]))


def find(
    frame: pd.DataFrame,
    fitting: Array,
    note: Note,
    separator: str = ",",
    wishes: Wishes | None = None,
) -> list[Number | Category]:
    """Find out what to make of columns.

    Parameters
    ----------
    frame : DataFrame of str
        All rows, which say whether a column has numbers.
    fitting : ndarray of int
        The rows to train on, which say all else.
    note : callable
        Is told of each column that is left out or unusual, and why.
    separator : str
        What separates the values of a row.
    wishes : Wishes, optional
        What the user says.

    Raises
    ------
    DataError
        If a column has infinite values, or none is left.
    """
    wishes = wishes or Wishes()
    found: list[Number | Category] = []
    for name in frame.columns:
        seen = look(frame[name], separator, wishes, note)
        if seen.values is not None:
            check_finite(name, seen.values)
            values = seen.values[fitting]
            values = values[~np.isnan(values)]
            if len(np.unique(values)) < 2:
                _left_out(note, name, len(values))
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                mean, scale = float(values.mean()), float(values.std())
            if not (np.isfinite(scale) and scale > 0):
                raise DataError(
                    f"column {name!r} has numbers of which no deviation can be computed"
                )
            found.append(Number(name, mean, scale, seen.decimal, seen.odd))
            continue
        texts = seen.texts.iloc[fitting][~seen.missing.iloc[fitting]]
        distinct = texts.nunique()
        if distinct < 2:
            _left_out(note, name, distinct)
        elif name not in wishes.categorical and not _is_category(distinct, len(texts)):
            note(
                f"column {name!r} is left out: text with {distinct} different values in "
                f"{len(texts)} rows; --categorical {name!r} takes it all the same"
            )
        else:
            found.append(Category(name, sorted(set(texts))))
    if not found:
        raise DataError("there is no column left to predict from")
    return found


def _left_out(note: Note, name: str, many: int) -> None:
    note(f"column {name!r} is left out: it has {'one value' if many else 'no values'}")


def _is_category(distinct: int, rows: int) -> bool:
    """Tell whether texts are few enough to learn something about each."""
    return distinct <= MOST_CATEGORIES and distinct <= max(2, rows / 2)
