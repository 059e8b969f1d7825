"""Data that need little to be done: what the quick way makes of them, and leaves alone."""

import numpy as np
import pytest

from theanets.data import Field, Ready, gather, prepare

FIELDS = {
    "vector": Field("in", "input", "float32", (3,)),
    "double": Field("in", "input", "float64", (3,)),
    "series": Field("in", "input", "float32", (None, 3)),
    "symbols": Field("in", "input", "int32", (None,), classes=5),
    "one": Field("in", "input", "float32", (1,)),
    "limited": Field("in", "input", "float32", (3,), limits=(0, 1)),
}


def samples():
    rng = np.random.default_rng(3)
    base = [
        rng.normal(size=(2, 3)), rng.normal(size=(1, 3)), rng.normal(size=(4, 2, 3)),
        rng.integers(0, 5, (2, 3)), rng.integers(-3, 9, (2, 3)), rng.normal(size=3),
        np.ones((2, 1)), np.full((2, 3), 1e39), np.full((1, 3), np.nan),
        np.ones((2, 3), bool), np.zeros((0, 3)),
    ]  # fmt: skip
    for array in base:
        for dtype in ("float32", "float64", "int32", "int64", "int8", "float16", ">f4"):
            with np.errstate(all="ignore"):
                yield array.astype(dtype)
        yield np.asfortranarray(array)
        yield array.tolist()
        yield [row.tolist() for row in array] if array.ndim > 1 else [array.tolist()]
    readonly = np.ones((2, 3), "f")
    readonly.flags.writeable = False
    yield from (readonly, np.ones((4, 6), "f")[::2, ::2], [], [[]], [[1, "a", 2]], None, 3, "text")
    yield from ({"in": np.ones((1, 3), "f")}, {"x": 1}, {}, [[True, False, True]], [(1, 2, 3)])


@pytest.mark.parametrize("which", FIELDS)
def test_what_is_ready_is_what_is_prepared(which):
    """Where the quick way answers, the long one gives the very same, and never an error."""
    field, answered = FIELDS[which], 0
    ready = Ready([field])
    for data in samples():
        found = ready(data)
        if found is None:
            continue
        answered += 1
        (array,) = prepare([field], data, "x")
        expected = gather(field, array, slice(0, len(array)), "x")
        np.testing.assert_array_equal(found[0], expected)
        assert found[0].dtype == expected.dtype and found[0].flags.carray
    assert (answered > 0) == (which != "limited")
