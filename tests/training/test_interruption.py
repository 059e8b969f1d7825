"""Ctrl-C at any moment: it is delivered, and the process can go on."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from theanets.interruption import may_leave, uninterrupted


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_it_is_held_back_and_delivered():
    handler, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt()
        with uninterrupted():
            interrupt()
        done.append(True)
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is handler
    with uninterrupted():
        may_leave()
    with pytest.raises(KeyboardInterrupt) as caught, uninterrupted():
        interrupt()
        raise OSError("in there")
    assert isinstance(caught.value.__context__, OSError)


def test_it_may_leave_where_that_is_said():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt()
        done.append(True)
        may_leave()
        done.append(False)
    assert done == [True]
    with uninterrupted():
        pass  # nothing is left over


def test_the_handler_of_the_user_is_called_once():
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with uninterrupted():
            interrupt()
            interrupt()
            assert calls == []
        assert calls == [signal.SIGINT]
        interrupt()
        assert len(calls) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing_back():
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with uninterrupted():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        leave.set()
        thread.join()


# Trains in a child that gets Ctrl-C, and then again in the same child.
SCRIPT = """
import os, signal, sys, time
import numpy as np
import theanets, pytensor

x = np.linspace(-1, 1, 24).reshape(8, 3)
flags = ("floatX", "numba__fastmath")
before = [getattr(pytensor.config, flag) for flag in flags], signal.getsignal(signal.SIGINT)

def work():
    net = theanets.Regressor([3, 4, 3], rng=1, mode="NUMBA", dtype="float64")
    net.train([x, x], epochs=2, progress=False)
    return net.history.stop_reason, float(net.predict(x).sum())

def child(when):
    if isinstance(when, str):
        def look(event, arguments):
            if event == "import" and arguments[0] == when and not seen:
                seen.append(when)
                signal.raise_signal(signal.SIGINT)
        seen = []
        sys.addaudithook(look)
    else:
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, when)
    try:
        interrupted = work()[0] == "interrupted"
    except KeyboardInterrupt:
        interrupted = True
    signal.setitimer(signal.ITIMER_REAL, 0)
    if isinstance(when, str):
        assert interrupted or not seen, "swallowed"
    after = [getattr(pytensor.config, flag) for flag in flags], signal.getsignal(signal.SIGINT)
    assert after == before, after
    return work()

for when in MOMENTS:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            print("RESULT", when, *child(when), flush=True)
            code = 0
        except BaseException as error:
            print("ERROR", when, repr(error)[:300], flush=True)
        os._exit(code)
    os.waitpid(pid, 0)
"""
MOMENTS = [
    "numba",
    "numba.core.typing",
    "numba.np.linalg",
    "pytensor.link.numba.dispatch.elemwise",
    "theanets.linkers.numba_setup",
    *(0.2, 0.7, 1.4, 2.2),
]


@pytest.mark.linker
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_goes_on_after_it_at_any_moment():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("MOMENTS", repr(MOMENTS))],
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(MOMENTS)
    assert not [line for line in lines if not line.startswith("RESULT")], done.stdout
    # The same numbers, and the run came to its end.
    assert len({tuple(line.split()[2:]) for line in lines}) == 1, done.stdout
    assert "epochs" in lines[0]
