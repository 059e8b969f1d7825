"""Fields, axes, epochs and the order of their examples, and the state of data sets."""

import json

import numpy as np
import pytest
from data_cases import (
    LABELS,
    SEQ,
    WSEQ,
    WY,
    W,
    X,
    Y,
    arrays,
    check_batch,
    dataset,
    flat,
    generator,
    joined,
    numbered,
    refused,
    seen,
)
from hypothesis import given
from hypothesis import strategies as st

from theanets.data import Field, chunks, prepare
from theanets.data import batches as data
from theanets.errors import ConfigurationError


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("field", [WSEQ, LABELS])
def test_axis(field, axis):
    x, y = arrays(6, t=3)
    y = y if field is WSEQ else np.arange(6) % 5
    given = [x.swapaxes(0, 1), y.swapaxes(0, 1) if field is WSEQ else y]
    for (xs, ys), size in dataset([SEQ, field], given, axis=axis, batch_size=4).epoch():
        check_batch([SEQ, field], (xs, ys), size)
        for row, target in zip(xs, ys, strict=True):
            (i,) = np.flatnonzero((x == row).all(axis=(1, 2)))
            np.testing.assert_array_equal(target, y[i])


def test_axis_of_batches():
    x, _ = numbered(6)
    ds = dataset([X], lambda: x.T, batches=1, axis=1)
    ((batch, size),) = ds.epoch()
    check_batch([X], batch, size)
    np.testing.assert_array_equal(batch[0], x)


def test_axis_that_is_not_there():
    with refused("shape (2, 4)", "no axis=2"):
        dataset([X], np.ones((2, 4)), axis=2)


# Batches of arrays.


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 50) | st.just(10**30),
    seed=st.integers(0, 5),
    chunk=st.sampled_from([1, 100, 500, 2**21]),
    shuffle=st.booleans(),
)
def test_every_epoch_has_every_row_once(n, size, seed, chunk, shuffle):
    x, y = numbered(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK_BYTES", chunk)
        ds = dataset([X, Y], [x, y], batch_size=size, seed_rng=generator(seed), shuffle=shuffle)
    assert ds.examples == n
    assert len(ds) == -(-n // size)
    for _ in range(3):
        batches = list(ds.epoch())
        assert [count for _, count in batches] == [size] * (n // size) + [n % size] * (n % size > 0)
        assert sorted(flat(batches)) == list(range(n))
        assert shuffle or flat(batches) == list(range(n))
        for batch, count in batches:
            check_batch([X, Y], batch, count)
            np.testing.assert_array_equal(batch[0][:, :3], batch[1])


def test_examples_are_mixed_between_batches():
    ds = dataset([X], numbered(100)[0], batch_size=10)
    one, two = seen(ds.epoch()), seen(ds.epoch())
    assert joined(one) != joined(two)
    assert sorted(map(sorted, one)) != sorted(map(sorted, two))


def test_the_seed_decides_the_order():
    def order(seed):
        ds = dataset([X], numbered(100)[0], seed_rng=generator(seed))
        return [flat(ds.epoch()) for _ in range(3)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_without_shuffling_arrays_are_not_copied():
    x, y = arrays(10)
    for batch, _ in dataset([X, Y], [x, y], batch_size=4, shuffle=False).epoch():
        assert np.shares_memory(batch[0], x)
        assert np.shares_memory(batch[1], y)


def test_labels_that_the_caller_changes_later_do_no_harm():
    labels = np.zeros(4, "int32")
    ds = dataset([LABELS], labels, shuffle=False)
    labels[:] = 1000
    ((batch, _),) = ds.epoch()
    np.testing.assert_array_equal(batch[0], 0)


def test_an_epoch_of_some_batches_goes_on_where_the_last_one_stopped():
    ds = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    assert len(ds) == 2
    epochs = [seen(ds.epoch()) for _ in range(6)]
    assert [len(batches) for batches in epochs] == [2] * 6
    sizes = [len(batch) for batches in epochs for batch in batches]
    assert sizes == [3, 3, 3, 1] * 3
    order = [row for batches in epochs for batch in batches for row in batch]
    passes = [order[i : i + 10] for i in range(0, 30, 10)]
    assert all(sorted(rows) == list(range(10)) for rows in passes)
    assert passes[0] != passes[1] != passes[2]


def test_an_epoch_may_have_more_batches_than_the_data():
    ds = dataset([X], numbered(10)[0], batch_size=4, batches=7)
    assert len(ds) == 7
    batches = seen(ds.epoch())
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2, 4]
    assert sorted(joined(batches[:3])) == sorted(joined(batches[3:6])) == list(range(10))
    assert sorted(joined(batches[6:]) + flat(ds.epoch())[:6]) == list(range(10))


@pytest.mark.parametrize(("batches", "rows"), [(2, 8), (3, 10), (9, 10)])
def test_without_shuffling_an_epoch_has_the_first_batches(batches, rows):
    ds = dataset([X], numbered(10)[0], batch_size=4, batches=batches, shuffle=False)
    for _ in range(3):
        epoch = seen(ds.epoch())
        assert len(epoch) == len(ds) == min(batches, 3)
        assert joined(epoch) == list(range(rows))


def test_an_epoch_that_is_left_early_is_over():
    ds = dataset([X], numbered(50)[0], batch_size=10)
    next(ds.epoch())
    assert sorted(flat(ds.epoch())) == list(range(50))


@pytest.mark.parametrize("name", ["batch_size", "batches"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True])
def test_sizes_are_checked(name, value):
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        dataset([X], numbered(3)[0], **{name: value})


def test_sizes_may_be_numpy_integers():
    assert len(dataset([X], numbered(9)[0], batch_size=np.int64(2), batches=np.int8(3))) == 3


@given(
    n=st.integers(1, 20),
    size=st.integers(1, 8),
    batches=st.none() | st.integers(1, 12),
    before=st.integers(0, 4),
    bits=st.sampled_from(["PCG64", "MT19937", "Philox", "SFC64"]),
)
def test_restored_datasets_continue_identically(n, size, batches, before, bits):
    def make(seed):
        rng = np.random.Generator(getattr(np.random, bits)(seed))
        return dataset([X], numbered(n)[0], batch_size=size, batches=batches, seed_rng=rng)

    ds, other = make(1), make(2)
    for _ in range(before):
        list(ds.epoch())
    list(other.epoch())
    state = json.loads(json.dumps(ds.state()))
    other.restore(state)
    assert other.state() == state
    for _ in range(4):
        assert seen(other.epoch()) == seen(ds.epoch())
    assert other.state() == ds.state()


def test_asking_for_the_state_changes_nothing():
    one = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    two = dataset([X], numbered(10)[0], batch_size=3, batches=2)
    for _ in range(5):
        one.state()
        assert seen(one.epoch()) == seen(two.epoch())


@pytest.mark.parametrize(
    "change",
    [
        {"row": 10},
        {"row": -1},
        {"row": "a"},
        {"generator": {"bit_generator": "X"}},
        {"generator": 3},
    ],
)
def test_states_that_do_not_fit_are_refused(change):
    ds = dataset([X], numbered(10)[0])
    with refused("train data: cannot continue"):
        ds.restore({**ds.state(), **change})
    with refused("cannot continue"):
        ds.restore({})


def test_states_without_arrays():
    x, _ = numbered(3)
    for value in (lambda: x, iter([x])):
        ds = dataset([X], value)
        ds.restore(json.loads(json.dumps(ds.state())))
        assert len(next(ds.epoch())[0][0]) == 3


# Prediction.


def test_prepare_takes_inputs_only():
    x, y = arrays(5)
    second = Field("second", "input", "float64", (3,))
    got = prepare([X, WY, second, W], {"second": y, "in": x}, "x")
    assert [array.dtype for array in got] == ["float32", "float64"]
    np.testing.assert_array_equal(got[1], y)
    with refused("has 1 array, but 2 are expected: 'in'", "'second'"):
        prepare([X, WY, second, W], [x], "x")
    with refused("differ in length"):
        prepare([X, second], [x, y[:2]], "x")


@given(n=st.integers(0, 30), size=st.none() | st.integers(1, 40))
def test_chunks(n, size):
    parts = list(chunks(n, size))
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= (size or n) for part in parts)
    assert len(parts) == (-(-n // size) if size else min(n, 1))


def test_chunks_checks_its_size():
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        chunks(3, 0)
