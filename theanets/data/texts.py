"""Text as series of labels, one for each character."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import rng as _rng
from ..errors import ConfigurationError, DataError, renamed
from ..options import flag, whole_number
from .series import batches

Array = npt.NDArray[Any]


class Batches:
    """Batches in a fixed order, made when they are needed.

    Parameters
    ----------
    batch : callable
        Makes the batch of a number.
    many : int
        How many there are.
    """

    def __init__(self, batch: Callable[[int], list[Array]], many: int) -> None:
        self._batch, self._many = batch, many

    def __len__(self) -> int:
        return self._many

    def __iter__(self) -> Iterator[list[Array]]:
        return map(self._batch, range(self._many))


class Text:
    """A text as a series of labels, one for each character.

    Label 0 stands for all characters that are not in the alphabet.

    Parameters
    ----------
    text : str
        The text; of a list of texts, all of them, one after the other.
    alpha : str, optional
        The alphabet; by default all characters that occur often enough.
    min_count : int
        How often a character has to occur to be in the alphabet.
    unknown : str
        What others are replaced by: one character.

    Attributes
    ----------
    text : str
        The text, with characters that are not in the alphabet replaced.
    alpha : str
        The alphabet, without repetitions and without ``unknown``.
    classes : int
        Number of labels, ``1 + len(alpha)``.

    Raises
    ------
    DataError
        If it is no text.
    """

    def __init__(
        self,
        text: str | Iterable[str],
        alpha: str | None = None,
        min_count: int = 2,
        unknown: str = "\0",
    ) -> None:
        if len(unknown) != 1:
            raise ConfigurationError(f"unknown={unknown!r} is not one character")
        text = _characters("text", text)
        if alpha is None:
            counts = Counter(text)
            alpha = "".join(sorted(c for c, many in counts.items() if many >= min_count))
        self.unknown = unknown
        self.alpha = "".join(dict.fromkeys(c for c in alpha if c != unknown))
        self._label = {c: i + 1 for i, c in enumerate(self.alpha)}
        self.text = "".join(c if c in self._label else unknown for c in text)
        self.classes = 1 + len(self.alpha)

    @renamed(txt="text")
    def encode(self, text: str | Iterable[str]) -> list[int]:
        """Get the label of each character.

        Raises
        ------
        DataError
            If it is no text.
        """
        return [self._label.get(c, 0) for c in _characters("text", text)]

    @renamed(enc="labels")
    def decode(self, labels: Iterable[int]) -> str:
        """Get the characters of labels, the inverse of `encode`.

        Raises
        ------
        DataError
            If something is not a label.
        """
        symbols = self.unknown + self.alpha
        found = []
        for label in labels:
            if not 0 <= label < len(symbols):
                raise DataError(f"label {label} is not in [0, {len(symbols)})")
            found.append(symbols[int(label)])
        return "".join(found)

    def one_hot(self, labels: Any) -> Array:
        """Get vectors (..., classes) that are 1 at the label and 0 elsewhere."""
        return np.eye(self.classes, dtype="float32")[np.asarray(labels, dtype=int)]

    def classifier_batches(
        self,
        steps: int = 100,
        batch_size: int = 64,
        rng: _rng.Seed = None,
        symbols: bool = False,
    ) -> Callable[[], list[Array]]:
        """Draw windows at random places, to predict each character from those before it.

        Parameters
        ----------
        steps : int
            How many characters are in a window.
        batch_size : int
            How many windows are drawn at once.
        rng : int, Generator or None
            Source of randomness.
        symbols : bool
            Whether the inputs are labels, for a network whose input is one of symbols, and not
            vectors with a 1 at the label.

        Returns
        -------
        callable
            Each call returns ``[inputs, labels]``: vectors (batch_size,
            steps, classes), or labels (batch_size, steps), and the labels
            (batch_size, steps) of the characters that follow.
        """
        flag("symbols", symbols, "Text")
        labels = np.array(self.encode(self.text), dtype="int32")
        if len(labels) < steps + 1:
            raise DataError(f"a text of {len(labels)} characters has no window of {steps + 1}")
        draw = batches(labels, steps + 1, batch_size, rng)

        def call() -> list[Array]:
            (window,) = draw()
            return [self._inputs(window[:, :-1], symbols), np.ascontiguousarray(window[:, 1:])]

        return call

    def _inputs(self, labels: Array, symbols: bool) -> Array:
        return np.ascontiguousarray(labels) if symbols else self.one_hot(labels)

    def contiguous_batches(
        self, steps: int = 100, batch_size: int = 64, symbols: bool = False
    ) -> Batches:
        """Cut the text into ``batch_size`` pieces that are read side by side.

        Parameters
        ----------
        steps, batch_size, symbols
            See `classifier_batches`.

        Returns
        -------
        Batches
            Of ``[inputs, labels]``, see `classifier_batches`. Row
            i of a batch continues row i of the batch before. What is left over
            at the end is left out.
        """
        whole_number("steps", steps)
        whole_number("batch_size", batch_size)
        flag("symbols", symbols, "Text")
        labels = np.array(self.encode(self.text), dtype="int32")
        many = math.floor((len(labels) - 1) / batch_size) // steps
        if many < 1:
            raise DataError(
                f"a text of {len(labels)} characters has no {batch_size} pieces of {steps + 1}"
            )
        width = many * steps
        inputs = labels[: batch_size * width].reshape(batch_size, width)
        targets = labels[1 : batch_size * width + 1].reshape(batch_size, width)

        def batch(i: int) -> list[Array]:
            part = slice(i * steps, (i + 1) * steps)
            return [self._inputs(inputs[:, part], symbols), np.ascontiguousarray(targets[:, part])]

        return Batches(batch, many)


def _characters(name: str, text: Any) -> str:
    """Get a text, or several, as one; bytes and labels would all be unknown characters."""
    if isinstance(text, str):
        return text
    try:
        return "".join(text)
    except TypeError:
        raise DataError(
            f"{name}={str(text)[:40]!r} is of type {type(text).__name__}; expected a str, or a "
            "list of these; of bytes, data.decode()"
        ) from None
