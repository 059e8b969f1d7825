"""Memory maps stay on the disk, and are checked by the batch."""

import numpy as np
import pytest
from data_cases import (
    AUTO,
    COLUMN,
    LABELS,
    WY,
    W,
    X,
    Y,
    arrays,
    check_batch,
    dataset,
    flat,
    numbered,
    refused,
)

import theanets.data.coerce as coercion
from theanets.data import batches as data
from theanets.data import gather, prepare

# Memory maps and very large arrays.


@pytest.fixture
def mapped(tmp_path):
    def make(array, dtype):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        out = np.memmap(path, dtype, "w+", shape=array.shape)
        out[:] = array
        return out

    return make


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", ">f4"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_maps_stay_on_disk(mapped, dtype, shuffle):
    x, y = numbered(50)
    source = mapped(x, dtype)
    ds = dataset([X, Y], [source, y], batch_size=8, shuffle=shuffle)
    assert isinstance(ds._arrays.arrays[0], np.memmap)
    assert np.shares_memory(ds._arrays.arrays[0], source)
    for _ in range(2):
        batches = list(ds.epoch())
        assert sorted(flat(batches)) == list(range(50))
        for batch, size in batches:
            check_batch([X, Y], batch, size)
            np.testing.assert_array_equal(batch[0][:, :3], batch[1])


def test_memory_maps_of_other_shapes(mapped):
    x, _ = numbered(6)
    ds = dataset([COLUMN], mapped(np.arange(6), "int64"), shuffle=False)
    assert isinstance(ds._arrays.arrays[0], np.memmap)
    np.testing.assert_array_equal(next(ds.epoch())[0][0], np.arange(6)[:, None])
    ds = dataset([X], mapped(x.T, "float64"), axis=1, shuffle=False)
    assert isinstance(ds._arrays.arrays[0], np.memmap)
    np.testing.assert_array_equal(next(ds.epoch())[0][0], x)
    with refused("shape (6, 5)"):
        dataset([X], mapped(np.ones((6, 5)), "float64"))


@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_maps_are_checked_by_the_batch(mapped, monkeypatch, shuffle):
    monkeypatch.setattr(data, "CHUNK_BYTES", 1)
    x, _ = numbered(20)
    x[13, 2] = np.nan
    ds = dataset([X], mapped(x, "float64"), batch_size=4, shuffle=shuffle)
    with refused("array 1 of 1 ('in')", "first is nan at [13, 2]"):
        list(ds.epoch())
    ds = dataset([LABELS], mapped(np.arange(20), "int64"), batch_size=4, shuffle=shuffle)
    with refused("array 1 of 1 ('target')", "largest is"):
        list(ds.epoch())


def test_memory_maps_and_weights(mapped):
    x, y = arrays(6)
    x[4] = y[4, 1] = np.nan
    w = np.ones((6, 3))
    w[4] = 0
    maps = [mapped(x, "f8"), mapped(y, "f8"), mapped(w, "f8")]
    for which in range(1, 8):
        given = [maps[i] if which & 1 << i else (x, y, w)[i] for i in range(3)]
        ds = dataset([X, WY, W], given, shuffle=False)
        ((batch, _),) = ds.epoch()
        check_batch([X, WY, W], batch, 6)
        np.testing.assert_array_equal(batch[0], np.nan_to_num(x))
        np.testing.assert_array_equal(batch[1], y)
    maps[2][4, 1] = 1
    with refused("('in')", "[4, 0]"):
        list(dataset([X, WY, W], [x, y, maps[2]]).epoch())
    with refused("('target')", "[4, 1]"):
        list(dataset([X, WY, W], [np.nan_to_num(x), y, maps[2]]).epoch())


def test_prepared_memory_maps_are_checked_by_gather(mapped):
    x, _ = numbered(6)
    x[5, 1] = np.nan
    (array,) = prepare([X], mapped(x, "float64"), "x")
    assert isinstance(array, np.memmap)
    part = gather(X, array, slice(0, 5), "x")
    check_batch([X], (part,), 5)
    with refused("at [5, 1]"):
        gather(X, array, slice(4, 6), "x")
    assert gather(AUTO, array, slice(4, 6), "x")[1, 1] == 0


def test_large_arrays_are_not_converted_as_a_whole(monkeypatch):
    monkeypatch.setattr(coercion, "LAZY_BYTES", 100)
    x = numbered(20)[0]
    wide = x.astype("float64")
    ds = dataset([X], wide, batch_size=4)
    assert np.shares_memory(ds._arrays.arrays[0], wide)
    for batch, size in ds.epoch():
        check_batch([X], batch, size)
    wide[3, 1] = np.nan
    with refused("at [3, 1]"):
        list(ds.epoch())
    x[3, 1] = np.nan
    with refused("at [3, 1]"):
        dataset([X], x)
    with refused("largest is 39"):
        dataset([LABELS], np.arange(40, dtype="int32"))
