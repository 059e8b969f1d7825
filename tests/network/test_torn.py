"""Threads at once, on each linker: each gets what it gets alone, of parameters of one moment."""

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import theanets
from theanets import process

LINKERS = [
    "FAST_COMPILE",
    *(pytest.param(m, marks=pytest.mark.linker) for m in ("NUMBA", "CVM", "JAX")),
    pytest.param("PYTORCH", marks=[pytest.mark.linker, pytest.mark.slow]),
]
#: Calls that take a few seconds.
CALLS = {"NUMBA": 20_000, "CVM": 20_000, "PYTORCH": 1_000}
pytestmark = [
    # What PyTorch and JAX say when they are imported, or get arrays.
    pytest.mark.filterwarnings("ignore:.*torch.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype"),
]
NEEDS = {"JAX": "jax", "PYTORCH": "torch"}
THREADS = 8


@pytest.fixture(autouse=True)
def _often_interrupted():
    """Let another thread go on after each microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=LINKERS)
def mode(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return request.param


def at_once(*jobs):
    """Run functions in a thread each, which start together; get what they return."""
    barrier = threading.Barrier(len(jobs))

    def start(job):
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(start, job) for job in jobs]]


def test_thousands_of_calls_give_what_they_give_alone(rng, mode):
    """Rows of two networks with the same layers: no call has another's rows, or parameters."""
    nets = [theanets.Classifier([6, 16, 4], mode=mode, rng=seed) for seed in (1, 2)]
    rows = rng.normal(size=(16, 1, 6)).astype("f")
    calls = [f for net in nets for f in (net.predict_proba, net.predictor("out"))]
    expected = [[f(x) for x in rows] for f in calls]
    lists = rows.tolist()
    each = CALLS.get(mode, 4_000) // THREADS

    def work(thread):
        wrong = 0
        for i in range(each):
            k, j = (thread + i) % len(calls), (3 * thread + i) % len(rows)
            found = calls[k](rows[j] if i % 4 else lists[j])
            wrong += not np.array_equal(found, expected[k][j])
        return wrong

    assert at_once(*(lambda i=i: work(i) for i in range(THREADS))) == [0] * THREADS


def twins(mode):
    """Get a network of two equal halves, whose difference it puts out: 0, unless one is newer."""
    halves = [{"size": 5, "name": name, "inputs": "in", "activation": "tanh"} for name in "ab"]
    both = {"form": "concatenate", "inputs": ["a", "b"], "size": 10, "name": "both"}
    net = theanets.Regressor([3, *halves, both, (1, "linear")], mode=mode, rng=0)
    for key in "wb":
        net.find("b", key).set_value(net.find("a", key).get_value())
    w = np.ones((10, 1), "f")
    w[5:] = -1
    net.find("out.w").set_value(w)
    net.find("out.b").set_value(np.zeros(1, "f"))
    return net


def set_again_and_again(net, done, times):
    """Set both halves, at one moment, to new values."""
    values = np.random.default_rng(5)
    pairs = [[net.find(name, key) for name in "ab"] for key in "wb"]
    for _ in range(times):
        with process.hold(net.params):
            for pair in pairs:
                value = values.normal(size=pair[0].get_value(borrow=True).shape).astype("f")
                for param in pair:
                    param.set_value(value)
    done.set()


def readers(net, rng, done):
    """Get jobs that compute until something is done, and tell the greatest difference they saw."""
    x, y = rng.normal(size=(6, 3)).astype("f"), np.zeros((6, 1), "f")
    predict, out = net.predictor(), net.predictor(["out", "a", "b"], batch=4)

    def halves(found, a, b):
        return np.abs(found[a] - found[b]).max()

    ways = [
        lambda: net.predict(x),
        lambda: predict(x),
        lambda: net.predict(x, batch_size=1),  # six calls of one moment
        lambda: halves(net.feed_forward(x), "a:out", "b:out"),
        lambda: halves(out(x), "a", "b"),
        lambda: net.evaluate([x, y], batch_size=2)["loss"],
        lambda: copy.copy(net).predict(x) if net.mode == "FAST_COMPILE" else 0,
    ]
    for way in ways:
        way()

    def read(way):
        worst, count = 0.0, 0
        while not done.is_set() or not count:
            worst, count = max(worst, float(np.abs(way()).max())), count + 1
        return worst

    return [lambda way=way: read(way) for way in ways]


def test_no_parameter_is_newer_than_another(rng, mode):
    net, done = twins(mode), threading.Event()
    jobs = readers(net, rng, done)
    worst = at_once(lambda: set_again_and_again(net, done, 300), *jobs)[1:]
    # To another order of sums: halves that are of two moments differ by about one.
    assert max(worst) < 1e-4


def test_no_parameter_is_newer_while_another_thread_trains(rng, mode):
    net, done = twins(mode), threading.Event()
    jobs = readers(net, rng, done)
    x = rng.normal(size=(32, 3)).astype("f")

    # There is no error, and so no gradient of it: the penalty moves both halves alike.
    options = {"freeze": "out", "weight_l2": 1.0, "batch_size": 1, "algo": "sgd"}
    options |= {"learning_rate": 0.05, "progress": False}
    options["criterion"] = "objective"  # the error alone was never worse

    def train():
        try:
            net.train([x, 0 * x[:, :1]], epochs=3, **options)
        finally:
            done.set()

    # It is compiled before: beside threads that do not wait, that takes long.
    net.train([x, 0 * x[:, :1]], epochs=1, max_updates=1, **options)
    before = net.find("a.w").get_value()
    assert max(at_once(train, *jobs)[1:]) < 1e-4
    assert np.abs(net.find("a.w").get_value() - before).max() > 0.01


def test_series_of_different_lengths_and_chains_are_of_one_moment(rng):
    """Several calls, or a call and what is chosen by parameters afterwards, in Python."""
    crf = {"form": "crf", "size": 2, "name": "out"}
    net = theanets.recurrent.Classifier([1, (3, "rnn"), crf], mode="FAST_COMPILE", rng=0)
    series = [np.ones((n, 1), "f") for n in (3, 5, 7, 9)]
    padded = np.ones((2, 5, 1), "f")
    labels = np.zeros((2, 5), int)
    # One moment is of all 0, the other of 1 0 1 0 1; with parameters of both there are others.
    scores, chain = net.find("out.b"), net.find("out.transition")
    for name in ("out.w", "out.start", "out.end"):
        net.find(name).set_value(0 * net.find(name).get_value())

    def put(sign):
        with process.hold(net.params):
            scores.set_value(np.array([sign, -sign], "f"))
            chain.set_value(5 * sign * np.eye(2, dtype="f"))

    ways = [
        lambda: net.predict(padded).tolist(),
        lambda: net.predict(series).tolist(),
        lambda: net.predict_proba(padded, mask=np.ones((2, 5))).tolist(),
        lambda: net.score(padded, labels),
        lambda: net.predict(padded, return_state=True)[0].tolist(),
    ]
    values = {}
    for sign in (1.0, -1.0):
        put(sign)
        values[sign] = [way() for way in ways]
    assert values[1.0][0] == [[0] * 5] * 2 and values[-1.0][0] == [[1, 0, 1, 0, 1]] * 2
    assert all(a != b for a, b in zip(values[1.0], values[-1.0], strict=True))
    done = threading.Event()

    def change():
        for i in range(400):
            put(1.0 if i % 2 else -1.0)
        done.set()

    def read(i):
        found = []
        while not done.is_set():
            found.append(ways[i]())
        return all(one in (values[1.0][i], values[-1.0][i]) for one in found)

    assert all(at_once(change, *(lambda i=i: read(i) for i in range(len(ways))))[1:])


def test_samples_of_a_code_are_drawn_from_one_stream(rng):
    x = rng.normal(size=(50, 4)).astype("f")

    def drawn(jobs):
        net = theanets.Autoencoder([4, (3, "sigmoid"), 4], rng=7, mode="FAST_COMPILE")
        net.encode(x)
        found = at_once(*[lambda: net.encode(x, sample=True).tobytes()] * jobs)
        return set(found)

    assert drawn(1) <= drawn(4) and len(drawn(4)) == 4
