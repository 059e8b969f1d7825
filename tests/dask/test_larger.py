"""Data larger than memory: what of them is in memory at a time, and where they may come from."""

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("distributed")

from dask_cases import arrays, blocks, losses, rows_of, values

import theanets
import theanets.dask
from theanets import optimizers
from theanets.dask import averaged, replicas
from theanets.dask.disk import MIXED, Mixed, OnDisk
from theanets.dask.models import Shipped

EPOCH = {"sync": "epoch", "epochs": 2, "learning_rate": 0.05, "memory": False, "batch_size": 16}
ROWS, WIDE = 8000, 64  # of a block: 2 MB


@pytest.fixture(scope="module")
def held():
    """Write 24 MB in blocks."""
    rng = np.random.default_rng(0)
    return [
        OnDisk([rng.random((ROWS, WIDE), "float32"), rng.random((ROWS, 1), "float32")])
        for _ in range(12)
    ]


def highest(do):
    """Get the most bytes that Python and NumPy have at a time meanwhile."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seed", [None, 1])
def test_a_few_pieces_are_in_memory_at_a_time(held, seed):
    piece = 2**15
    batches = Mixed(held, None, 64, seed, piece=piece)
    rows = []
    most = highest(lambda: rows.extend(len(x) for x, _ in batches))
    assert sum(rows) == 12 * ROWS
    # What is mixed, once, and what was mixed before, of which the last batch is a part.
    assert MIXED * piece < most < 3.8 * MIXED * piece


def test_what_is_looked_at_before_does_not_grow_with_the_data(held, monkeypatch):
    monkeypatch.setattr(replicas, "PIECE", 2**14)
    most = 6 * MIXED * 2**14
    data = [(None, block) for block in held]
    assert highest(lambda: replicas._targets((1, "out", None), data, None)) < most
    assert highest(lambda: replicas._head(data)) < most
    mean, square = replicas._targets((1, "out", None), data, None)
    assert mean == pytest.approx(1 / 2, abs=0.1) and square == pytest.approx(1 / 3, abs=0.1)


def test_an_epoch_of_a_replica_takes_no_more(held, monkeypatch):
    monkeypatch.setattr(averaged, "Mixed", lambda *given: Mixed(*given, piece=2**15))
    net = theanets.Regressor([WIDE, 2, 1], rng=1, mode="FAST_COMPILE")
    task = (Shipped(net), {"algo": "sgd", "batch_size": 512})
    before = {p.name: p.get_value() for p in net.params}
    rest = ({}, optimizers.build("sgd").schedule.state(), 0, 0)
    data = [(None, block) for block in held]

    def epoch(data):
        averaged._epoch((*task, before, rest), data, 1)
        averaged._measure((*task, before), data, None)

    epoch(data[:1])  # what is made once
    assert highest(lambda: epoch(data)) < 12 * ROWS * held[0].row_bytes / 3


def parquet(x, y, place):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    names = list("abcd")
    for start in range(0, len(x), 51):
        rows = slice(start, start + 51)
        frame = pd.DataFrame(x[rows], columns=names).assign(y=y[rows, 0])
        frame.to_parquet(place / f"{start:04}.parquet")
    frame = dd.read_parquet(place)
    return [frame[names], frame[["y"]]]


def zarr(x, y, place):
    zarr = pytest.importorskip("zarr")
    import dask.array as da

    for name, rows in (("x", x), ("y", y[:, :1])):
        path, chunks = str(place / name), (51, rows.shape[1])
        zarr.create_array(path, shape=rows.shape, chunks=chunks, dtype="float32")[:] = rows
    return [da.from_zarr(str(place / name)) for name in "xy"]


def memory_maps(x, y, place):
    import dask.array as da

    found = []
    for name, rows in (("x", x), ("y", y[:, :1])):
        path, chunks = str(place / f"{name}.npy"), ((51, 51, 51), (rows.shape[1],))
        np.save(path, rows)
        found.append(da.map_blocks(rows_of, path, chunks=chunks, dtype="float32"))
    return found


SOURCES = [parquet, zarr, memory_maps]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_rows_from_anywhere_are_those_of_arrays(client, source, tmp_path):
    x, y = arrays()
    nets = [theanets.Regressor([4, 1], rng=1) for _ in range(2)]
    found = theanets.dask.train(client, nets[0], source(x, y, tmp_path), replicas=2, **EPOCH)
    data = blocks(x, y[:, :1], sizes=(51, 51, 51))
    expected = theanets.dask.train(client, nets[1], data, replicas=2, **EPOCH)
    np.testing.assert_array_equal(values(nets[0]), values(nets[1]))
    assert losses(nets[0]) == losses(nets[1])
    assert losses(nets[0])[-1] < nets[0].history.initial["loss"]
    assert found == expected
    assert found[1]["loss"] == pytest.approx(nets[0].evaluate([x, y[:, :1]])["loss"], rel=1e-5)
