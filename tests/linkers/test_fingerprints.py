"""What has a description that is the same in every process."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
import pytest

from theanets.linkers import fingerprints


class Frozen(dict):
    """Keeps its hash, as PyTensor's frozen dictionaries do."""

    def __hash__(self):
        self.kept = hash(tuple(self.items()))
        return self.kept


Frozen.__module__ = "theanets.frozen"


class Slotted:
    """Has attributes that nobody knows the names of."""

    __slots__ = ("size",)


class Holding:
    """Is of a package that is known, with something in it."""

    def __init__(self, held):
        self.held = held


class Pair(NamedTuple):
    """Has its values in order."""

    one: object
    other: object


Slotted.__module__ = Pair.__module__ = Holding.__module__ = "theanets.anywhere"


def test_what_is_not_known_is_not_described():
    around, circle = np.ones(2), Holding(None)
    circle.held = circle
    unknown = [Slotted(), circle, lambda x: x + around, pt.scalar(), np.array([None]), Path()]
    for held in unknown:
        with pytest.raises(fingerprints.Unknown):
            fingerprints.describe(Holding(held))
    known = [
        None,
        1,
        1.0,
        True,
        "1",
        b"1",
        (1,),
        [1],
        {1},
        {1: 1},
        slice(1),
        np.int8(1),
        np.dtype("f4"),
    ]
    known += [np.ones(2), np.ones(2, "f4"), np.ones((1, 2)), Holding(1), np.exp, pt.as_tensor, int]
    known += [Pair(1, 2), Pair(2, 1), (1, 2)]
    found = [fingerprints.describe(Holding(held)) for held in known]
    assert len(set(found)) == len(found)
    assert fingerprints.describe({"a": {1, 2}, "b": 2}) == fingerprints.describe(
        {"b": 2, "a": {2, 1}}
    )
    asked = Frozen(a=1)
    before = fingerprints.describe(asked)
    hash(asked)
    assert fingerprints.describe(asked) == before
