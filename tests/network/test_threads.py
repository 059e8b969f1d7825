"""Threads: whatever computes gives in any number of them what it gives alone."""

import copy
import gc
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytest
from linker_cases import COMPILED
from thread_cases import Builders

import theanets
from theanets import process

LINKERS = ["FAST_COMPILE", *(pytest.param(mode, marks=pytest.mark.linker) for mode in COMPILED)]
THREADS = 8


@pytest.fixture(autouse=True)
def _often_interrupted():
    """Let another thread go on after each microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch):
    """Refuse whatever takes locks against their order, be there another thread or not."""
    monkeypatch.setattr(process, "_builders", Builders())


def at_once(*jobs):
    """Run functions in a thread each, which start together; get what they return."""
    barrier = threading.Barrier(len(jobs))

    def start(job):
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(start, job) for job in jobs]]


def series(net, x):
    """Predict by steps of a stream."""
    stream = net.stream(series=len(x))
    return np.stack([stream.step(step) for step in x.swapaxes(0, 1)], axis=1)


@pytest.mark.parametrize("mode", LINKERS)
def test_predictions_are_those_of_one_thread(rng, mode):
    net = theanets.Classifier([6, 16, 4], mode=mode)
    batches = [rng.normal(size=(n, 6)).astype("f") for n in (1, 2, 3, 5, 9, 17, 33, 64)]
    labels = [rng.integers(0, 4, len(x)) for x in batches]
    alone = copy.deepcopy(net)
    expected = [alone.predict_proba(x) for x in batches]
    expected_hidden = [alone.feed_forward(x)["hid1:out"] for x in batches]
    expected_scores = [alone.score(x, y) for x, y in zip(batches, labels, strict=True)]
    expected_losses = [
        alone.evaluate([x, y], weight_l2=i, metrics="f1_macro", batch_size=7)
        for i, (x, y) in enumerate(zip(batches, labels, strict=True))
    ]

    def work(first):
        wrong = 0
        for i in range(100 if mode == "FAST_COMPILE" else 300):
            k = (first + i) % len(batches)
            x, y = batches[k], labels[k]
            wrong += not np.array_equal(net.predict_proba(x), expected[k])
            if i % 8 == 0:
                wrong += not np.array_equal(net.feed_forward(x)["hid1:out"], expected_hidden[k])
                wrong += net.score(x, y) != expected_scores[k]
            if i % 8 == 4:
                options = {"weight_l2": k, "metrics": "f1_macro", "batch_size": 7}
                wrong += net.evaluate([x, y], **options) != expected_losses[k]
        return wrong

    # The first calls are in all threads at once, so that they compile there.
    assert at_once(*(lambda i=i: work(i) for i in range(THREADS))) == [0] * THREADS


@pytest.mark.parametrize("mode", LINKERS)
def test_noise_of_a_seed_is_that_of_one_thread(rng, mode):
    net = theanets.Regressor([5, 8, 2], mode=mode)
    x = rng.normal(size=(40, 5)).astype("f")
    expected = [
        net.predict(x, hidden_dropout=0.5, rng=seed, batch_size=16) for seed in range(THREADS)
    ]

    def work(seed):
        options = {"hidden_dropout": 0.5, "rng": seed, "batch_size": 16}
        return all(np.array_equal(net.predict(x, **options), expected[seed]) for _ in range(15))

    assert all(at_once(*(lambda i=i: work(i) for i in range(THREADS))))


@pytest.mark.parametrize("mode", LINKERS)
def test_recurrent_series_and_streams(rng, mode):
    net = theanets.recurrent.Regressor([3, (6, "gru"), 2], mode=mode)
    data = [rng.normal(size=(n, 5, 3)).astype("f") for n in range(1, 5)]
    expected = [net.predict(x) for x in data]
    stepped = [series(net, x) for x in data]
    for whole, steps in zip(expected, stepped, strict=True):
        np.testing.assert_allclose(steps, whole, rtol=1e-5, atol=1e-6)

    def work(i):
        k = i % len(data)
        return all(
            np.array_equal(net.predict(data[k]), expected[k])
            and np.array_equal(series(net, data[k]), stepped[k])
            for _ in range(10)
        )

    assert all(at_once(*(lambda i=i: work(i) for i in range(THREADS))))


def test_one_stream_takes_its_steps_one_after_the_other():
    net = theanets.recurrent.Regressor([1, (1, "rnn", "linear"), 1], dtype="float64")
    for name, value in {"hid1.xh": 1, "hid1.hh": 1, "hid1.b": 0, "out.w": 1, "out.b": 0}.items():
        net.find(name).set_value(np.full(net.find(name).get_value().shape, value, "float64"))
    stream = net.stream()
    found = at_once(*(lambda: [float(stream.step([1.0])[0]) for _ in range(25)] for _ in range(4)))
    # The state counts: no step is lost, and none is taken twice.
    assert sorted(value for part in found for value in part) == list(range(1, 101))


class Record(theanets.Callback):
    """Records what the network gives after each update, in the thread that trains it."""

    each_batch = True

    def __init__(self, look):
        self.look, self.seen = look, []

    def start(self, run):
        self.seen.append(self.look())

    def batch(self, run):
        self.seen.append(self.look())

    end = batch


@pytest.mark.parametrize("mode", LINKERS)
def test_predictions_see_whole_updates_of_another_thread(rng, mode):
    net = theanets.Regressor([4, 8, 2], mode=mode, rng=1)
    x, y = rng.normal(size=(64, 4)).astype("f"), rng.normal(size=(64, 2)).astype("f")

    def look():
        # Three calls of the function.
        return net.predict(x[:3], batch_size=1).tobytes()

    # It is compiled before: beside threads that do not wait, that takes long.
    options = {"algo": "sgd", "batch_size": 4, "progress": False}
    net.train([x, y], epochs=1, max_updates=1, callbacks=Record(look), **options)
    record, done, found = Record(look), threading.Event(), []

    def train():
        try:
            for _ in range(40):  # until they have seen some, however busy the machine is
                net.train([x, y], epochs=5, callbacks=record, **options)
                if len(set(found)) > 3:
                    break
        finally:
            done.set()

    def read():
        while not done.is_set():
            found.append(look())

    def save():
        while not done.is_set():
            found.append(copy.deepcopy(net).predict(x[:3], batch_size=1).tobytes())

    at_once(train, read, read, *([save] if mode == "FAST_COMPILE" else []))
    assert set(found) <= {*record.seen, look()}
    assert len(set(found)) > 3


def test_one_thread_trains_a_network(rng):
    net = theanets.Regressor([2, 3, 1])
    data = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    inside, outside = threading.Event(), threading.Event()

    def wait(run):
        inside.set()
        outside.wait(10)

    def second():
        inside.wait(10)
        try:
            for start in (net.train, lambda *args, **kw: next(net.itertrain(*args, **kw))):
                with pytest.raises(theanets.ConfigurationError, match="another thread trains"):
                    start(data, epochs=1, progress=False)
        finally:
            outside.set()

    def first():
        return net.train(data, epochs=3, callbacks=wait, progress=False)

    at_once(first, second)
    assert net.history.stop_reason == "epochs"
    assert len(net.history) == 3
    # One that was left between two epochs may be overtaken, as ever.
    epochs = net.itertrain(data, epochs=5, progress=False)
    next(epochs)
    assert at_once(lambda: net.train(data, epochs=2, progress=False))
    assert len(net.history) == 2


def test_two_networks_share_variables_and_threads(rng):
    one = theanets.Regressor([3, 5, 2], rng=1)
    both = theanets.Regressor([3, 5, 2], rng=2)
    x = rng.normal(size=(4, 3)).astype("f")
    expected = one.predict(x), both.predict(x)
    total = (
        one.outputs()["out:out"].sum()
        + both.outputs(replace={"in": one.inputs[0]})["out:out"].sum()
    )
    function = theanets.backends.function(one.inputs, total)
    summed = function(x)
    np.testing.assert_allclose(summed, sum(e.sum() for e in expected), rtol=1e-5)
    # It needs the locks of both, whichever it takes first elsewhere.
    jobs = [lambda net=net, e=e: [np.array_equal(net.predict(x), e) for _ in range(100)]
            for net, e in zip((one, both), expected, strict=True)]  # fmt: skip

    def held(first, second):
        for _ in range(100):
            with process.hold([*first.params, *second.params]):
                assert function(x) == summed

    at_once(*jobs, lambda: held(one, both), lambda: held(both, one))
    assert all(all(job()) for job in jobs)


@pytest.mark.parametrize("often", [(700, 10, 10), (0, 10, 10), (50_000, 20, 5_000)])
def test_building_leaves_how_often_objects_are_collected(often):
    before = gc.get_threshold()
    try:
        gc.set_threshold(*often)
        with process.building(), process.building("float64"):
            assert (gc.get_threshold() > often) == (0 < often[0] < 20_000)
            assert bool(gc.get_threshold()[0]) == bool(often[0])
        assert gc.get_threshold() == often
        with pytest.raises(KeyError), process.building():
            raise KeyError
        assert gc.get_threshold() == often
    finally:
        gc.set_threshold(*before)


def test_building_in_threads_leaves_the_configuration(rng):
    flags = ("floatX", "numba__fastmath")
    before = [getattr(pytensor.config, flag) for flag in flags]
    x, y = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)

    def work(i):
        dtype = "float32" if i % 2 else "float64"
        net = theanets.Classifier([4, 3 + i, 3], dtype=dtype, rng=i)
        net.train([x, y], algo="sgd", epochs=1, progress=False)
        return net.predict_proba(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = [work(i) for i in range(5)]
        found = at_once(*(lambda i=i: work(i) for i in range(5)))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert [getattr(pytensor.config, flag) for flag in flags] == before
    assert theanets.Regressor([2, 1], dtype="floatX").dtype == before[0]
