"""Data that do not fit into memory: memory maps, batches that come in, and those prepared ahead."""

import threading
import time
import traceback
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

import theanets
from theanets.data import Dataset, Field
from theanets.errors import ConfigurationError, DataError

X = Field("in", "input", "float32", (4,))


def numbered(n):
    return np.arange(n, dtype="float32")[:, None].repeat(4, axis=1)


def threads():
    return [t for t in threading.enumerate() if t.name == "theanets-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not threads()


# Memory maps.


@pytest.mark.parametrize("algo", ["sgd", "l-bfgs"])
@pytest.mark.parametrize("kind", [False, True])
def test_memory_maps_are_not_copied(algo, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("theanets.data.batches.CHUNK_BYTES", 2**16)
    rows = 2**12
    shapes = {"x": (rows, 1024), "y": (rows, 1), "w": (rows, 1)}
    maps = []
    for name, shape in shapes.items():
        array = np.memmap(tmp_path / name, dtype="float64", mode="w+", shape=shape)
        array[:, 0] = 1
        maps.append(array)
    net = theanets.Regressor([dict(size=1024, sparse=kind), 1], weighted=True)
    small = [array[:8] for array in maps]
    options = dict(algo=algo, epochs=2, batch_size=512)
    net.train(small, **options)  # Compiled now.
    net.predict(small[0])
    tracemalloc.start()
    try:
        net.train(maps, maps, **options)
        net.train(maps, max_updates=1, **options)
        net.evaluate(maps)
        net.feed_forward(maps[0][: rows // 8], batch_size=512)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The inputs have 32 MB, as float32 16; a batch that is only evaluated has 4 and 2.
    assert peak < 1e7, peak


# Prepared ahead.


def batches(data, epochs=3, **options):
    ds = Dataset([X], data, seed_rng=np.random.default_rng(5), **options)
    found = []
    for _ in range(epochs):
        found.append([batch[0][:, 0].tolist() for batch, _ in ds.epoch()])
    return found, ds.state()


@pytest.mark.parametrize("prefetch", [1, 3, 100])
@pytest.mark.parametrize(
    "options",
    [dict(), dict(shuffle=False), dict(batches=3), dict(batches=30)],
    ids=str,
)
def test_same_batches_of_arrays(prefetch, options):
    data = numbered(50)
    options = {"batch_size": 8, **options}
    assert batches(data, prefetch=prefetch, **options) == batches(data, **options)


@pytest.mark.parametrize("form", ["iterator", "callable", "sequence"])
def test_same_batches_of_streams(form):
    def make():
        parts = (numbered(50)[i : i + 7] + 50 * (i % 3) for i in range(44))
        return {"iterator": parts, "callable": lambda: next(parts), "sequence": Again()}[form]

    class Again:
        def __iter__(self):
            return iter(np.split(numbered(50), 5))

    options = dict(epochs=4, batches=None if form == "sequence" else 10)
    found, _ = batches(make(), prefetch=2, **options)
    assert found == batches(make(), **options)[0]
    assert len(found) == 4


def test_batches_are_ready_before_they_are_asked_for():
    """The third batch is made while the first is in use, the fourth is not."""
    made = [threading.Event() for _ in range(6)]
    x = numbered(8)

    def generate():
        for event in made:
            event.set()
            yield x

    epoch = Dataset([X], generate(), seed_rng=np.random.default_rng(0), prefetch=2).epoch()
    assert not threads()
    next(epoch)
    assert made[2].wait(10)
    assert not made[3].wait(0.05)
    next(epoch)
    assert made[3].wait(10)
    epoch.close()


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_readers_may_use_one_buffer_again(prefetch):
    sparse_field = Field("words", "input", "float32", (4,), sparse=True)
    labels = Field("target", "target", "int32", (), classes=6)
    weights = Field("weights", "weights", "float32", (), weighs="target")
    fields = [X, sparse_field, labels, weights]
    x, y, w = np.empty((2, 4), "float32"), np.empty(2, "int32"), np.empty(2, "float32")
    words = sp.csr_array(np.eye(2, 4, dtype="float32"))

    class Table:
        def __array__(self, dtype=None, copy=None):
            return w

    def generate():
        for i in range(6):
            x[:] = y[:] = w[:] = words.data[:] = i
            words.indices[:] = i % 4
            yield x, words, y, Table()
        # Out of range, and after the batches were checked.
        y[:] = 1000

    ds = Dataset(fields, generate(), seed_rng=np.random.default_rng(0), prefetch=prefetch)
    found = []
    for arrays, _ in ds.epoch():
        time.sleep(0.02)
        found.append([array.max() for array in arrays])
    assert found == [[i, i, i % 4, 2, i, i] for i in range(6)]


@pytest.mark.parametrize("prefetch", [0, 3])
def test_training_from_one_buffer(prefetch):
    x, y = regression()
    kept = np.empty((8, 4), "float32"), np.empty((8, 2), "float32")

    def generate(reused):
        for first in range(0, 40, 8):
            batch = x[first : first + 8], y[first : first + 8]
            if reused:
                kept[0][:], kept[1][:] = batch
            yield kept if reused else batch

    nets = [network(), network()]
    for net, reused in zip(nets, (False, True), strict=True):
        net.train(generate(reused), [x, y], epochs=1, train_batches=5, prefetch=prefetch)
    for one, other in zip(nets[0].params, nets[1].params, strict=True):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def regression(n=40):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(n, 4)), rng.normal(size=(n, 2))]


def network():
    return theanets.Regressor([4, 3, 2], rng=4)


def values(net):
    return [p.get_value() for p in net.params]


@pytest.mark.parametrize(
    "options",
    [
        dict(epochs=3),
        dict(max_updates=7),
        dict(algo="l-bfgs", epochs=3),
        dict(epochs=2, train_batches=3),
        dict(algo=["sgd", "adam"], epochs=2, hidden_dropout=0.5),
    ],
    ids=str,
)
def test_same_training(options):
    nets = [network(), network()]
    for net, prefetch in zip(nets, (0, 2), strict=True):
        net.train(regression(), regression(), batch_size=8, prefetch=prefetch, **options)
    for a, b in zip(*map(values, nets), strict=True):
        np.testing.assert_array_equal(a, b)
    assert nets[1].evaluate(regression(), prefetch=3) == nets[0].evaluate(regression())


def test_no_more_batches_are_drawn_than_used():
    x, y = regression(8)
    drawn = []

    def generate():
        while True:
            drawn.append(len(drawn))
            yield x, y

    source = generate()
    options = dict(prefetch=4, train_batches=5)
    network().train(source, [x, y], max_updates=13, **options)
    assert len(drawn) == 13


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    whole, parts = network(), network()
    options = dict(batch_size=8, prefetch=2, train_batches=7)
    whole.train(regression(), epochs=4, batch_size=8, train_batches=7)
    for epochs in (1, 4):
        parts.train(regression(), epochs=epochs, checkpoint=tmp_path / "run.ckpt", **options)
    for a, b in zip(values(whole), values(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors_come_with_their_traceback():
    x, y = regression(8)

    def generate():
        yield x, y
        yield x, y
        raise LookupError("the disk is gone")

    net, before = network(), values(network())
    with pytest.raises(LookupError, match="the disk is gone") as caught:
        net.train(generate(), [x, y], prefetch=3, algo="sgd")
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "generate" in names
    assert names[0] == "test_errors_come_with_their_traceback"
    assert net.history.rows[-1]["updates"] == 2
    assert not np.array_equal(values(net)[0], before[0])


def test_bad_batches_are_refused():
    x, y = regression(8)
    with pytest.raises(DataError, match=r"train data, batch 2, array 1 of 2 .* shape \(8, 3\)"):
        network().train(iter([(x, y), (x[:, :3], y)]), [x, y], prefetch=1)
    with pytest.raises(DataError, match="gave no batch"):
        network().train(iter_nothing(), [x, y], prefetch=1)


class iter_nothing:
    def __iter__(self):
        return iter([])


def endless(wait=0.0):
    x, y = regression(8)
    while True:
        time.sleep(wait)
        yield x, y


class Stop(theanets.Callback):
    def __init__(self, action):
        self.action = action

    def batch(self, run):
        if run.updates == 3:
            self.action(run)


def interrupt(run):
    raise KeyboardInterrupt


def fail(run):
    raise RuntimeError("enough")


def test_no_thread_outlives_an_interruption():
    net = network()
    net.train(endless(), regression(), prefetch=2, callbacks=Stop(interrupt))
    assert net.history.stop_reason == "interrupted"
    assert not threads()


def test_no_thread_outlives_a_callback():
    net = network()
    stop = Stop(lambda run: run.stop("done"))
    # The thread is in the middle of a batch.
    net.train(endless(0.1), regression(), prefetch=2, callbacks=stop)
    assert net.history.stop_reason == "done"
    assert not threads()


def test_no_thread_outlives_an_error():
    net = network()
    # The exception, and with it all frames, is still there.
    with pytest.raises(RuntimeError, match="enough") as caught:
        net.train(endless(), regression(), prefetch=2, callbacks=Stop(fail))
    assert not threads()
    assert caught.value.__traceback__ is not None


def test_no_thread_outlives_a_break():
    net = network()
    for _ in net.itertrain(endless(), regression(), prefetch=2, train_batches=4):
        assert not threads()
        break
    with pytest.raises(DataError, match="batch 2"):
        net.evaluate(iter([regression(8), [np.ones((2, 9)), np.ones((2, 2))]]), prefetch=5)
    assert not threads()


def test_settings_of_numpy_go_along():
    x = numbered(8)

    def generate():
        yield x
        np.ones(2) / np.zeros(2)

    ds = Dataset([X], generate(), seed_rng=np.random.default_rng(0), prefetch=1)
    with np.errstate(divide="ignore"):
        assert len(list(ds.epoch())) == 1
    ds = Dataset([X], generate(), seed_rng=np.random.default_rng(0), prefetch=1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        list(ds.epoch())


@pytest.mark.parametrize("prefetch", [-1, 1.5, True, "all"])
def test_prefetch_is_checked(prefetch):
    with pytest.raises(ConfigurationError, match="prefetch="):
        network().train(regression(), prefetch=prefetch)
