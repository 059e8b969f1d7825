"""L-BFGS, against quadratic functions and SciPy."""

from __future__ import annotations

import signal
import threading
import warnings

import numpy as np
import pytest
from scipy import optimize

from theanets import optimizers
from theanets.optimizers import lbfgs


def rosenbrock(x):
    return optimize.rosen(x), optimize.rosen_der(x)


START = np.array([1.3, 0.7, 0.8, 1.9])


def lbfgs_threads():
    return [t for t in threading.enumerate() if t.name == "l-bfgs"]


def drain(iterator):
    seen = []
    while True:
        try:
            seen.append(next(iterator))
        except StopIteration as stop:
            return seen, stop.value


def test_lbfgs_equals_scipy():
    path = []
    expected = optimize.minimize(
        rosenbrock, START, jac=True, method="L-BFGS-B", callback=lambda x: path.append(x.copy())
    )
    opt = optimizers.build("L-BFGS")
    assert not opt.first_order
    assert optimizers.build("sgd").first_order
    seen, message = drain(opt.iterate(rosenbrock, START))
    assert len(seen) == len(path) == expected.nit
    for (x, value), other in zip(seen, path):
        np.testing.assert_array_equal(x, other)
        assert value == optimize.rosen(x)
    np.testing.assert_array_equal(seen[-1][0], expected.x)
    assert message == str(expected.message)
    assert not lbfgs_threads()


def test_lbfgs_options():
    expected = optimize.minimize(
        rosenbrock,
        START,
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 2, "ftol": 1e-3, "gtol": 1e-2},
    )
    opt = optimizers.build("bfgs", history=2, tolerance=1e-3, gradient_tolerance=1e-2)
    seen, _ = drain(opt.iterate(rosenbrock, START))
    np.testing.assert_array_equal(seen[-1][0], expected.x)
    assert len(seen) == expected.nit
    seen, message = drain(lbfgs.iterate(rosenbrock, START, 3))
    assert len(seen) == 3
    assert "ITERATIONS" in message.upper()


def test_lbfgs_yields_copies():
    for x, _ in lbfgs.iterate(rosenbrock, START):
        end = x.copy()
        x[:] = 100
    np.testing.assert_allclose(end, 1, atol=1e-4)


def test_lbfgs_alternates():
    """The objective is never evaluated while the consumer has control."""
    busy = threading.Event()
    overlaps = []

    def objective(x):
        overlaps.append(busy.is_set())
        return rosenbrock(x)

    iterator = lbfgs.iterate(objective, START)
    assert not lbfgs_threads()
    for _ in iterator:
        busy.set()
        threading.Event().wait(0.002)
        busy.clear()
    assert len(overlaps) > 10
    assert not any(overlaps)


def test_lbfgs_closed_early():
    calls = []

    def objective(x):
        calls.append(1)
        return rosenbrock(x)

    iterator = lbfgs.iterate(objective, START)
    next(iterator)
    next(iterator)
    assert len(lbfgs_threads()) == 1
    count = len(calls)
    iterator.close()
    assert not lbfgs_threads()
    assert len(calls) == count


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_lbfgs_exception_in_the_objective(kind):
    calls = []

    def objective(x):
        calls.append(1)
        if len(calls) == 6:
            raise kind("here")
        return rosenbrock(x)

    with pytest.raises(kind, match="here"):
        drain(lbfgs.iterate(objective, START))
    assert not lbfgs_threads()


def test_lbfgs_exception_in_the_consumer():
    iterator = lbfgs.iterate(rosenbrock, START)
    next(iterator)
    with pytest.raises(KeyboardInterrupt):
        iterator.throw(KeyboardInterrupt)
    assert not lbfgs_threads()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_lbfgs_interrupted_while_waiting():
    """An interruption of the waiting thread ends the worker after its present evaluation."""
    interrupted = threading.Event()
    calls = []

    def handler(number, frame):
        interrupted.set()
        raise KeyboardInterrupt

    def objective(x):
        calls.append(1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert interrupted.wait(60)
        threading.Event().wait(0.1)
        return rosenbrock(x)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            drain(lbfgs.iterate(objective, START))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not lbfgs_threads()
    assert len(calls) == 1


def test_lbfgs_in_float32():
    def objective(x):
        value, gradient = rosenbrock(x)
        return np.float32(value), gradient.astype("float32")

    seen, _ = drain(lbfgs.iterate(objective, START.astype("float32")))
    assert seen[-1][0].dtype == np.float64
    assert seen[-1][1] < 1e-4


def test_lbfgs_keeps_numpys_error_state():
    def objective(x):
        np.float64(1.0) / np.float64(0.0)
        return rosenbrock(x)

    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drain(lbfgs.iterate(objective, START, 2))[0]
