"""Weights beside targets, and what may be NaN where they are zero."""

import numpy as np
import pytest
import scipy.sparse as sp
from data_cases import (
    AUTO,
    LABELS,
    SEQ,
    W3,
    WSEQ,
    WY,
    W,
    X,
    arrays,
    check_batch,
    dataset,
    generator,
    numbered,
    refused,
)

from theanets.data import Field, prepare
from theanets.data import batches as data

WAUTO = Field("weights", "weights", "float32", (4,), weighs="in")


# Weights.


@pytest.mark.parametrize(
    ("fields", "time", "shapes"),
    [
        ([X, WY, W], None, [(), (1,), (3,)]),
        ([SEQ, WSEQ, W3], 6, [(), (1,), (6,), (6, 1), (6, 3), (1, 3), (1, 1)]),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_weights_are_broadcast(fields, time, shapes, shuffle, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 500)
    x, y = arrays(23, time)
    y[:, ..., 0] = np.arange(23).reshape(-1, *[1] * (y.ndim - 2))
    for shape in shapes:
        w = generator(5).random((23, *shape))
        full = w.reshape(23, *shape, *[1] * (y.ndim - 1 - len(shape)))
        full = np.broadcast_to(full, y.shape).astype("float32")
        order = []
        for batch, size in dataset(fields, [x, y, w], batch_size=4, shuffle=shuffle).epoch():
            check_batch(fields, batch, size)
            rows = batch[1].reshape(size, -1)[:, 0].astype(int)
            order += rows.tolist()
            np.testing.assert_array_equal(batch[2], full[rows])
        assert sorted(order) == list(range(23))
        ((batch, size),) = dataset(fields, lambda given=(x, y, w): given, batches=1).epoch()
        check_batch(fields, batch, size)
        np.testing.assert_array_equal(batch[2], full)


def test_weights_of_labels():
    field = Field("weights", "weights", "float32", (), weighs="target")
    ((batch, _),) = dataset([X, LABELS, field], [numbered(2)[0], [1, 2], [[3], [4]]]).epoch()
    assert sorted(batch[2]) == [3, 4]


def test_weights_that_do_not_broadcast_are_refused():
    x, y = arrays(5, 6)
    with refused("array 3 of 3 ('weights')", "(5, 2)", "does not broadcast", "(5, 6, 3)"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((5, 2))])
    with refused("differ in length"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((1, 6, 3))])
    with refused("array 3 of 3 ('weights')"):
        dataset([SEQ, WSEQ, W3], [x, y, np.ones((5, 6, 2))])


# NaN and inf.


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_targets_may_be_nan_where_the_weight_is_zero(shape):
    x, y = arrays(6)
    w = np.ones((6, *shape))
    w[4] = 0
    y[4, 1:] = np.nan, np.inf
    ((batch, _),) = dataset([X, WY, W], [x, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[1], y)
    y[5, 2] = np.inf
    with refused("array 2 of 3 ('target')", "1 entry", "[5, 2]", "'weights' is 0"):
        dataset([X, WY, W], [x, y, w])


@pytest.mark.parametrize("shape", [(), (4,), (4, 1), (4, 3), (1, 3)])
def test_nan_in_sequences(shape):
    x, y = arrays(6, 4)
    y[2, 3, 1] = np.nan
    w = np.ones((6, *shape))
    with refused("1 entry", "[2, 3, 1]"):
        dataset([SEQ, WSEQ, W3], [x, y, w])
    index = {(): (2,), (4,): (2, 3), (4, 1): (2, 3, 0), (4, 3): (2, 3, 1), (1, 3): (2, 0, 1)}
    w[index[shape]] = 0
    dataset([SEQ, WSEQ, W3], [x, y, w])


def test_inputs_may_be_nan_in_examples_without_weight():
    x, y = arrays(6)
    x[4, 2] = np.nan
    given = x.copy()
    w = np.ones((6, 3))
    w[4, :2] = 0
    with refused("array 1 of 3 ('in')", "[4, 2]", "examples whose weights are all 0"):
        dataset([X, WY, W], [x, y, w])
    w[4] = 0
    ((batch, _),) = dataset([X, WY, W], [x, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
    np.testing.assert_array_equal(x, given)
    sparse = sp.csr_array(x)
    ((batch, _),) = dataset([X, WY, W], [sparse, y, w], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
    assert np.isnan(sparse.data).sum() == 1
    with refused("array 1 of 3 ('in')"):
        dataset([X, WY, W], [x, y, np.ones(6)])


def test_inputs_of_an_unweighted_target_must_be_finite():
    x, y = arrays(3)
    x[1, 2] = np.nan
    other = Field("y2", "target", "float32", (3,))
    with refused("('in')", "[1, 2]"):
        dataset([X, WY, other, W], [x, y, y, np.zeros(3)])


def test_all_weights_must_be_zero():
    x, y = arrays(3)
    x[1, 2] = np.nan
    other = Field("y2", "target", "float32", (3,), weighted_by="w2")
    weights = Field("w2", "weights", "float32", (3,), weighs="y2")
    fields = [X, WY, W, other, weights]
    with refused("('in')", "[1, 2]"):
        dataset(fields, [x, y, np.zeros(3), y, np.ones(3)])
    with refused("('in')", "[1, 2]"):
        dataset(fields, [x, y, np.ones(3), y, np.zeros(3)])
    dataset(fields, [x, y, np.zeros(3), y, [1, 0, 1]])


def test_labels_are_in_range_also_where_the_weight_is_zero():
    field = Field("target", "target", "int32", (), classes=5, weighted_by="weights")
    weights = Field("weights", "weights", "float32", (), weighs="target")
    with refused("largest is 9"):
        dataset([X, field, weights], [numbered(2)[0], [0, 9], [1, 0]])


@pytest.mark.parametrize("streamed", [False, True])
def test_imputed_inputs(streamed):
    x, _ = arrays(3)
    x[0, 1], x[2, 3] = np.nan, np.inf
    given = x.copy()
    w = np.ones((3, 4))
    w[0, 1] = w[2, 3] = 0
    values = (lambda: (x, w)) if streamed else (x, w)
    ((batch, _),) = dataset([AUTO, WAUTO], values, shuffle=False, batches=1).epoch()
    np.testing.assert_array_equal(batch[0], np.where(np.isfinite(x), x, 0))
    np.testing.assert_array_equal(x, given)
    w[2, 3] = 0.5
    with refused("1 entry", "[2, 3]", "'weights' is 0"):
        list(dataset([AUTO, WAUTO], values, batches=1).epoch())


def test_other_inputs_that_are_weighted_keep_their_nan():
    field = Field("in", "input", "float32", (4,), weighted_by="weights")
    x, _ = arrays(3)
    x[1] = np.nan
    ((batch, _),) = dataset([field, WAUTO], [x, [1, 0, 1]], shuffle=False).epoch()
    np.testing.assert_array_equal(batch[0], x)


def test_imputed_inputs_without_weights():
    x, _ = arrays(3)
    x[0, 1] = np.nan
    (array,) = prepare([AUTO, WAUTO], x, "x")
    np.testing.assert_array_equal(array, np.nan_to_num(x))
    assert np.isnan(x[0, 1])
    with refused("NaN"):
        prepare([X], x, "x")
