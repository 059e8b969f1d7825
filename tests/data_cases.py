"""Fields and arrays for tests of data, and what is seen of their batches."""

import re
from itertools import chain

import numpy as np
import pytest

from theanets.data import Dataset, Field
from theanets.errors import DataError

X = Field("in", "input", "float32", (4,))
Y = Field("target", "target", "float32", (3,))
COLUMN = Field("target", "target", "float32", (1,))
LABELS = Field("target", "target", "int32", (), classes=5)
SEQ = Field("in", "input", "float32", (None, 4))
WY = Field("target", "target", "float32", (3,), weighted_by="weights")
W = Field("weights", "weights", "float32", (3,), weighs="target")
WSEQ = Field("target", "target", "float32", (None, 3), weighted_by="weights")
W3 = Field("weights", "weights", "float32", (None, 3), weighs="target")
AUTO = Field("in", "input", "float32", (4,), weighted_by="weights", impute=True)


def generator(seed=0):
    return np.random.default_rng(seed)


def dataset(fields, values, **kwargs):
    kwargs.setdefault("seed_rng", generator())
    return Dataset(fields, values, **kwargs)


def arrays(n, t=None):
    middle = () if t is None else (t,)
    rng = generator(99)
    return (
        rng.normal(size=(n, *middle, 4)).astype("float32"),
        rng.normal(size=(n, *middle, 3)).astype("float32"),
    )


def numbered(n):
    """Make data whose every row says which it is."""
    return (
        np.arange(n, dtype="float32")[:, None].repeat(4, axis=1),
        np.arange(n, dtype="float32")[:, None].repeat(3, axis=1),
    )


def seen(batches):
    return [batch[0][:, 0].astype(int).tolist() for batch, _ in batches]


def joined(lists):
    return list(chain.from_iterable(lists))


def flat(batches):
    return joined(seen(batches))


def refused(*parts):
    """Expect an error whose message has all of the parts."""
    return pytest.raises(DataError, match="".join(f"(?=.*{re.escape(part)})" for part in parts))


def check_batch(fields, batch, size):
    assert isinstance(batch, tuple)
    for field, array in zip(fields, batch, strict=True):
        assert type(array) is np.ndarray
        assert array.dtype == np.dtype(field.dtype)
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.ndim == 1 + len(field.shape)
        assert len(array) == size > 0
