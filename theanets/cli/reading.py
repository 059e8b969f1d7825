"""Files of separated values as tables of texts, in which nothing is guessed from the rows."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .. import atomic
from ..errors import DataError
from .options import read_text

#: Is told, in a sentence, what the user should know.
Note = Callable[[str], Any]

SEPARATORS = ",;\t|"

#: Texts that stand for a missing number, in any case. (An empty one is always missing.)
MARKERS = {"?", "-", "--", ".", "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "null", "none", "nil"}

_DIGITS = r"(?:[0-9]+{point}?[0-9]*|{point}[0-9]+)(?:e[+-]?[0-9]+)?"
_DECORATED = r"[+-]?[$€£]? ?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)? ?[%$€£]?"
_NUMBER = r"[+-]?(?:" + _DIGITS + r"|inf|infinity)"


def read(
    path: Path, separator: str | None = None, note: Note | None = None
) -> tuple[pd.DataFrame, str]:
    """Read a file of separated values with a line of names, each value as the text that it is.

    Parameters
    ----------
    path : Path
        The file; ``-`` is the standard input.
    separator : str, optional
        What separates the values, if the line of names has any. By default
        that makes the most names of this line.
    note : callable, optional
        Is told, in a sentence, what the user should know.

    Returns
    -------
    (table, separator) : DataFrame of str, and str

    Raises
    ------
    DataError
        If there are no rows, or it is no such file.
    """
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    separator = _separator(text, separator)
    # pandas would call the second one of a name otherwise.
    header = [name.strip() for name in _names(text, separator)]
    twice = next((name for i, name in enumerate(header) if name and name in header[:i]), None)
    if twice is not None:
        raise DataError(f"{path}: there are two columns {twice!r}; rename one of them")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
            )
    except pd.errors.ParserError as error:
        said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{path}: {said}") from None
    if frame.empty:
        raise DataError(f"{path}: there are no rows")
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas makes an index of what stands before the columns that have names.
        names = len(frame.columns)
        raise DataError(
            f"{path}: the first row has {names + frame.index.nlevels} values, but the line of "
            f"names has {names}"
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    early = _early(text, separator, len(frame.columns)) if note else []
    if note and early:
        rows = "1 row ends" if len(early) == 1 else f"{len(early)} rows end"
        note(
            f"{path}: {rows} early, the first is row {early[0]}; what is not there is taken for "
            "missing"
        )
    return frame.fillna(""), separator


def _early(text: str, separator: str, columns: int) -> list[int]:
    """Get the numbers of the rows of fewer values than there are names, from 1.

    What pandas reads has no text there, as in a row that says so.
    """
    lines = csv.reader(io.StringIO(text.lstrip()), delimiter=separator, skipinitialspace=True)
    # Nor are lines of blanks rows to pandas.
    rows = (row for row in lines if len(row) > 1 or "".join(row).strip())
    try:
        return [i for i, row in enumerate(rows) if len(row) < columns]
    except csv.Error:  # of a text that is longer than this reader takes; pandas does
        return []


def _separator(text: str, likely: str | None) -> str:
    """Find what separates the names; not by pandas' own guess, which fails at a single column."""

    def many(separator: str) -> int:
        return len(_names(text, separator))

    try:
        return likely if likely and many(likely) > 1 else max(SEPARATORS, key=many)
    except csv.Error as error:
        raise DataError(f"the line of names cannot be read: {error}") from None


def _names(text: str, separator: str) -> list[str]:
    """Get the names of the columns."""
    # Quoted names may have any separator in them, and go over several lines.
    return next(csv.reader(io.StringIO(text.lstrip()), delimiter=separator, skipinitialspace=True))


def numbers(texts: pd.Series, decimal: str = ".") -> npt.NDArray[np.float64]:
    """Get the numbers that texts are; NaN where one is no number.

    Parameters
    ----------
    texts : Series of str
        Without blanks around them.
    decimal : str
        The decimal point.
    """
    written = _NUMBER.format(point=r"\." if decimal == "." else decimal)
    found = texts.str.fullmatch(written, case=False).to_numpy(bool)
    values = np.full(len(texts), np.nan)
    values[found] = [float(text.replace(decimal, ".")) for text in texts[found]]
    return values


def are_decorated(texts: pd.Series) -> pd.Series:
    """Tell which texts are numbers but for signs of thousands, percents or currencies."""
    return texts.str.fullmatch(_DECORATED).astype(bool)


def is_missing(texts: pd.Series, known: Iterable[str] = (), number: bool = False) -> pd.Series:
    """Tell which texts stand for a missing value.

    Parameters
    ----------
    texts : Series of str
        Without blanks around them.
    known : iterable of str
        Texts that do, besides the empty one.
    number : bool
        Whether it would be a number, for which `MARKERS` do as well. (Of
        texts, any of these may be a name.)
    """
    found = texts.isin(["", *known])
    return found | texts.str.casefold().isin(MARKERS) if number else found


def emit(frame: pd.DataFrame, path: Path | None, digits: int) -> None:
    """Write a table as values that are separated by commas, to a file or the standard output."""
    options: dict[str, Any] = {"index": False, "float_format": f"%.{digits}g"}
    if path is None:
        frame.to_csv(sys.stdout, **options)
    else:
        atomic.write(path, frame.to_csv(**options).encode())
