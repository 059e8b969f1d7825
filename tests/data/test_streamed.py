"""Batches of the caller: callables, iterables that start anew, generators."""

import numpy as np
import pytest
import scipy.sparse as sp
from data_cases import LABELS, X, Y, arrays, check_batch, dataset, flat, numbered, refused, seen

# Callables and iterables.


class Batches:
    """A callable that knows how many batches an epoch has."""

    def __init__(self, length):
        self.length = length
        self.calls = 0

    def __len__(self):
        return self.length

    def __call__(self):
        self.calls += 1
        return np.full((2, 4), self.calls)


class Iterable:
    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Sized(Iterable):
    def __len__(self):
        return len(self.batches)


def test_callables():
    source = Batches(3)
    ds = dataset([X], source)
    assert source.calls == 0
    assert (len(ds), ds.examples, ds.replayable) == (3, None, True)
    assert seen(ds.epoch()) == [[1, 1], [2, 2], [3, 3]]
    assert seen(ds.epoch()) == [[4, 4], [5, 5], [6, 6]]
    assert source.calls == 6


def test_the_number_of_calls():
    def draw():
        return np.ones((1, 4))

    assert len(dataset([X], draw)) == len(list(dataset([X], draw).epoch())) == 100
    assert len(list(dataset([X], draw, batches=4).epoch())) == 4
    assert len(list(dataset([X], Batches(3), batches=4).epoch())) == 4
    with refused("no batches"):
        dataset([X], Batches(0))


@pytest.mark.parametrize(
    "form", [list, tuple, lambda v: {"target": v[1], "in": v[0]}, lambda v: [v[0].tolist(), v[1]]]
)
def test_batches_are_coerced(form):
    x, y = arrays(5)
    given = form([x.astype("float64"), np.asfortranarray(y)])
    for source in (lambda: given, iter([given]), Iterable(given)):
        ((batch, size),) = dataset([X, Y], source, batches=1).epoch()
        check_batch([X, Y], batch, size)
        np.testing.assert_array_equal(batch[0], x)
        np.testing.assert_array_equal(batch[1], y)


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        ([np.ones((2, 5)), [1, 2]], ["array 1 of 2 ('in')", "(2, 5)"]),
        ([np.ones((2, 4)), [1, 5]], ["array 2 of 2 ('target')", "largest is 5"]),
        ([np.ones((2, 4)), [1, 2, 3]], ["'in' has 2", "'target' has 3"]),
        ([np.full((2, 4), np.nan), [1, 2]], ["8 entries"]),
        ([np.ones((0, 4)), []], ["empty"]),
        ([np.ones((2, 4))], ["has 1 array, but 2"]),
        (iter([1]), ["list_iterator", "pass it itself"]),
    ],
)
def test_batches_are_checked(batch, parts):
    good = [np.ones((2, 4)), [0, 4]]
    epoch = dataset([X, LABELS], iter([good, batch])).epoch()
    next(epoch)
    with refused("train data, batch 2", *parts):
        next(epoch)


def test_memory_maps_as_batches(tmp_path):
    x = np.memmap(tmp_path / "x", "float64", "w+", shape=(6, 4))
    x[:] = numbered(6)[0]
    ((batch, size),) = dataset([X], iter([x[2:4]])).epoch()
    check_batch([X], batch, size)
    np.testing.assert_array_equal(batch[0][:, 0], [2, 3])


def test_sparse_batches_of_a_callable():
    x, y = arrays(4)
    ((batch, size),) = dataset([X, Y], lambda: (sp.csr_array(x), y), batches=1).epoch()
    check_batch([X, Y], batch, size)
    np.testing.assert_array_equal(batch[0], x)


def stream(count):
    for i in range(count):
        yield np.full((1, 4), i)


def test_generators_run_to_their_end_once():
    ds = dataset([X], stream(3))
    assert (ds.examples, ds.replayable, bool(ds)) == (None, False, True)
    with pytest.raises(TypeError, match="not known"):
        len(ds)
    assert flat(ds.epoch()) == [0, 1, 2]
    for _ in range(2):
        with refused("train data is exhausted", "after 3 batches"):
            list(ds.epoch())


def test_generators_are_consumed_across_epochs():
    source = stream(7)
    ds = dataset([X], source, batches=3)
    assert len(ds) == 3
    assert flat(ds.epoch()) == [0, 1, 2]
    assert next(source)[0, 0] == 3
    assert flat(ds.epoch()) == [4, 5, 6]
    with refused("exhausted", "after 6 batches"):
        list(ds.epoch())


def test_the_last_epoch_of_a_generator_may_be_short():
    ds = dataset([X], stream(3), batches=2)
    assert flat(ds.epoch()) == [0, 1]
    assert flat(ds.epoch()) == [2]
    with refused("exhausted"):
        list(ds.epoch())


def test_empty_sources():
    with refused("exhausted", "after 0 batches"):
        list(dataset([X], stream(0)).epoch())
    with refused("gave no batch"):
        list(dataset([X], Iterable()).epoch())
    with refused("no batches"):
        dataset([X], Sized())


def test_iterables_start_anew():
    given = [np.full((1, 4), i) for i in range(4)]
    for kind in (Iterable, Sized):
        ds = dataset([X], kind(*given))
        assert ds.replayable
        assert flat(ds.epoch()) == flat(ds.epoch()) == [0, 1, 2, 3]
        ds = dataset([X], kind(*given), batches=3)
        assert len(ds) == 3
        assert flat(ds.epoch()) == flat(ds.epoch()) == [0, 1, 2]
    assert len(dataset([X], Sized(*given))) == 4
    assert len(dataset([X], Sized(*given), batches=9)) == 4
