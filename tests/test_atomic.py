"""Files that several threads and processes write, and what killed ones leave."""

import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import theanets
from theanets import atomic, checkpoint, locks
from theanets.callbacks import CSVLogger, SaveBest
from theanets.errors import ConfigurationError, FileError

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
DATA = [X, X[:, :2]]
KWARGS = dict(algo="sgd", epochs=2)
needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
TOKENS = ["123", "0123456789abcdef"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def numbered(k):
    """Get a network that says in each parameter which one it is."""
    net = theanets.Regressor([4, 3, 2])
    for param in net.params:
        param.set_value(np.full(param.get_value().shape, k, "float32"))
    return net


def is_whole(path):
    arrays, _ = checkpoint.read(path)
    return len({float(v) for array in arrays.values() for v in array.ravel()}) == 1


# ---- at once ---------------------------------------------------------------------------


def test_threads_that_write_and_read_one_path(tmp_path):
    path = tmp_path / "net"
    nets = [numbered(k) for k in range(4)]
    nets[0].save(path)
    errors, done = [], threading.Event()

    def work(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    def read():
        while not done.is_set():
            assert is_whole(path)

    writers = [
        threading.Thread(target=work, args=[lambda net=net: [net.save(path) for _ in range(60)]])
        for net in nets
    ]
    readers = [threading.Thread(target=work, args=[read]) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert names(tmp_path) == ["net"]


def write_many(path, k):
    net = numbered(k)
    for _ in range(40):
        net.save(path)


def test_processes_that_write_one_path(tmp_path):
    path = tmp_path / "net"
    numbered(0).save(path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, k)) for k in range(2)]
    for process in writers:
        process.start()
    while any(process.is_alive() for process in writers):
        assert is_whole(path)
    assert [process.exitcode for process in writers] == [0, 0]
    assert names(tmp_path) == ["net"]


def test_processes_of_one_number(tmp_path, monkeypatch):
    """Containers have processes of the same numbers."""
    path, inside = tmp_path / "net", []
    replace = os.replace

    def replace_later(source, target):
        if not inside:
            inside.append(source)
            numbered(2).save(path)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_later)
    numbered(1).save(path)
    assert is_whole(path)
    assert names(tmp_path) == ["net"]
    # The one that was renamed last.
    assert checkpoint.read(path)[0]["hid1.b"][0] == 1


# ---- what is left ----------------------------------------------------------------------


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("name", ["run", "run[1].st", "ü" * 120])
def test_what_is_left_is_removed(tmp_path, name, token):
    path = tmp_path / name
    left = atomic.beside(path, f"{token}.tmp")
    others = [
        atomic.beside(path.with_name(other), f"{token}.tmp")
        for other in (f"{name}.best.st"[-100:], "run1.st", f"{name[:100]}.{token}", "x")
    ]
    others += [tmp_path / f".{name[:50]}.notes.tmp", tmp_path / f"{name[:50]}.{token}.tmp"]
    for one in (left, *others):
        one.touch()
    atomic.write(path, b"content")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


KILLED = """
    import os, signal, sys
    import numpy as np
    import theanets
    import pytensor
    pytensor.config.mode = "FAST_COMPILE"
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)
    def later(run):
        os.replace = die
    net = theanets.Regressor([4, 3, 2], rng=1)
    x = np.ones((20, 4))
    path = sys.argv[1]
    kwargs = dict(algo="sgd", epochs=2, callbacks=[later])
    {}
"""


@needs_kill
@pytest.mark.skipif(not locks.POSIX, reason="what is open cannot be renamed")
@pytest.mark.parametrize(
    ("dying", "again"),
    [
        ("os.replace = die; net.save(path)", {}),
        ("net.train([x, x[:, :2]], save_progress=path, **kwargs)", {"save_progress": True}),
        (
            "kwargs['callbacks'].append(theanets.callbacks.SaveBest(path)); "
            "net.train([x, x[:, :2]], **kwargs)",
            {"callbacks": True},
        ),
        ("net.train([x, x[:, :2]], checkpoint=path, **kwargs)", {"checkpoint": True}),
    ],
)
def test_what_killed_processes_leave_is_removed_by_the_next(tmp_path, dying, again):
    path = tmp_path / "run.st"
    source = textwrap.dedent(KILLED).format(dying)
    process = subprocess.run([sys.executable, "-c", source, str(path)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert any(name.endswith(".tmp") for name in names(tmp_path))
    other = atomic.beside(tmp_path / "run.st.best", f"{TOKENS[1]}.tmp")
    other.touch()
    net = theanets.Regressor([4, 3, 2], rng=1)
    if again:
        given = {k: SaveBest(path) if k == "callbacks" else path for k in again}
        x = np.ones((20, 4))
        net.train([x, x[:, :2]], **KWARGS, **given)
    else:
        net.save(path)
    assert names(tmp_path) == sorted(["run.st", other.name])


@pytest.mark.skipif(not locks.POSIX, reason="what is open cannot be removed")
def test_what_is_being_written_is_not_removed(tmp_path, monkeypatch):
    path, seen = tmp_path / "run", []
    fsync = os.fsync

    def look(file):
        if not seen:
            seen.append(names(tmp_path))
            atomic.clean(path)
            atomic.write(path, b"another")
            seen.append(names(tmp_path))
        fsync(file)

    monkeypatch.setattr(os, "fsync", look)
    atomic.write(path, b"content")
    assert len(seen[0]) == 1
    assert seen[1] == sorted([*seen[0], "run"])
    assert path.read_bytes() == b"content"
    assert names(tmp_path) == ["run"]


@pytest.mark.skipif(not locks.POSIX, reason="what is open cannot be removed")
def test_one_that_is_removed_before_it_is_locked(tmp_path, monkeypatch):
    path, calls = tmp_path / "run", []
    wait = locks.wait

    def later(file):
        if not calls:
            calls.append(names(tmp_path))
            atomic.clean(path)
        wait(file)

    monkeypatch.setattr(locks, "wait", later)
    atomic.write(path, b"content")
    assert calls == [[calls[0][0]]]
    assert path.read_bytes() == b"content"
    assert names(tmp_path) == ["run"]


def test_a_table_is_written_whole(tmp_path, monkeypatch):
    path, history = tmp_path / "run.csv", theanets.training.History()
    history.append({"epoch": 1, "updates": 3}, {"loss": 0.5}, {})
    history.to_csv(path)
    before = path.read_bytes()
    history.append({"epoch": 2, "updates": 6}, {"loss": 0.25}, {"loss": 1.0})

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            history.to_csv(path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["run.csv"]
    history.to_csv(path)
    assert theanets.training.History.from_csv(path).rows == history.rows


# ---- names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n" * 250, "n" * 255, "ü" * 127, "n" * 224, "n" * 225])
def test_long_names(tmp_path, name):
    path = tmp_path / name
    net = theanets.Regressor([4, 3, 2])
    net.train(DATA, checkpoint=path, **KWARGS)
    net.train(DATA, checkpoint=path, **KWARGS)
    assert names(tmp_path) == [name]
    net.save(path)
    assert theanets.Network.load(path).num_params == net.num_params


def test_names_that_are_too_long(tmp_path):
    path = tmp_path / ("n" * 256)
    net = theanets.Regressor([4, 3, 2])
    for attempt in (
        lambda: net.save(path),
        lambda: net.train(DATA, checkpoint=path, **KWARGS),
        lambda: net.train(DATA, save_progress=path, **KWARGS),
        lambda: theanets.Network.load(path),
    ):
        with pytest.raises(OSError, match=f"too long.*{path}"):
            attempt()
    assert names(tmp_path) == []


# ---- one checkpoint for one run ----------------------------------------------------------


def test_two_runs_of_one_process(tmp_path):
    path = tmp_path / "run"
    net, other = theanets.Regressor([4, 2], rng=1), theanets.Regressor([4, 2], rng=1)
    epochs = net.itertrain(DATA, checkpoint=path, **KWARGS)
    next(epochs)
    with pytest.raises(FileError, match=rf"{path}: it is in use.*process {os.getpid()} on .*wait"):
        other.train(DATA, checkpoint=path, **KWARGS)
    # The other did not take the lock away.
    with pytest.raises(FileError, match="in use"):
        other.train(DATA, checkpoint=path, **KWARGS)
    epochs.close()
    other.train(DATA, checkpoint=path, **KWARGS)
    assert names(tmp_path) == ["run"]


HOLDING = """
    import sys
    import numpy as np, pytensor, theanets
    pytensor.config.mode = "FAST_COMPILE"
    x = np.ones((20, 4))
    net = theanets.Regressor([4, 3, 2], rng=1)
    def wait(run):
        print("holding", flush=True)
        sys.stdin.read()
    net.train([x, x[:, :2]], algo="sgd", epochs=2, checkpoint=sys.argv[1], callbacks=wait)
"""


@needs_kill
def test_another_process(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDING), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    x = np.ones((20, 4))
    net = theanets.Regressor([4, 3, 2], rng=1)
    with process:
        assert process.stdout.readline() == "holding\n"
        before = path.read_bytes()
        with pytest.raises(FileError, match=f"in use by another run .process {process.pid} on"):
            net.train([x, x[:, :2]], checkpoint=path, **KWARGS)
        assert path.read_bytes() == before
        process.kill()
        process.stdin.close()
    # What the killed one left is in nobody's way, and goes.
    assert names(tmp_path) == [".run.lock", "run"]
    net.train([x, x[:, :2]], checkpoint=path, **KWARGS)
    assert len(net.history) == 2
    assert names(tmp_path) == ["run"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_no_locks(tmp_path):
    path = tmp_path / "lock"
    lock = locks.LockFile(path, "it")
    ready, said = os.pipe()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(said, b"x")
        # Until the parent says so.
        os.read(reading, 1)
        os._exit(0)
    os.read(ready, 1)
    # As if the parent had been killed: closed without being unlocked.
    os.close(lock._file)
    lock._file = None
    try:
        locks.LockFile(path, "it").release()
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["ftruncate", "write"])
def test_a_lock_file_on_a_full_disk(tmp_path, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def next_number():
        os.close(number := os.open(os.devnull, os.O_RDONLY))
        return number

    before, path = next_number(), tmp_path / "lock"
    with monkeypatch.context() as patch:
        patch.setattr(locks.os, call, full)
        for _ in range(3):
            with pytest.raises(FileError, match=r"it: .*lock.*No space left"):
                locks.LockFile(path, "it")
    assert next_number() == before
    assert not path.exists()
    locks.LockFile(path, "it").release()


def test_where_there_are_no_locks(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(95, "Operation not supported")

    if locks.POSIX:
        monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    path = tmp_path / "run"
    atomic.beside(path, f"{TOKENS[1]}.tmp").touch()
    net = theanets.Regressor([4, 2])
    net.train(DATA, checkpoint=path, **KWARGS)
    # Nobody knows whether that is being written.
    assert names(tmp_path) == [f".run.{TOKENS[1]}.tmp", "run"]


# ---- one file for one thing ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("checkpoint", None), ("save_progress", None)),
        (("checkpoint", None), ("callbacks", SaveBest)),
        (("checkpoint", None), ("callbacks", CSVLogger)),
        (("save_progress", None), ("callbacks", CSVLogger)),
    ],
)
def test_one_file_for_two_things_is_refused(tmp_path, first, second):
    net = theanets.Regressor([4, 2], rng=1)
    path, link = tmp_path / "run", tmp_path / "link"
    link.symlink_to(path)
    path.write_bytes(b"before")
    for one, other in ((path, path), (path, link), (str(path), Path(os.path.relpath(path)))):
        given = {key: one if form is None else form(other) for key, form in (first, second)} | (
            {second[0]: other} if second[1] is None else {}
        )
        words = [first[0], second[0] if second[1] is None else second[1].__name__]
        with pytest.raises(ConfigurationError, match=f"{words[0]} and {words[1]} are the same"):
            net.train(DATA, **given, **KWARGS)
    assert path.read_bytes() == b"before"


def test_one_file_for_the_network_twice(tmp_path):
    net = theanets.Regressor([4, 2])
    path = tmp_path / "net"
    net.train(DATA, save_progress=path, callbacks=SaveBest(path), **KWARGS)
    loaded = theanets.Network.load(path)
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    with open(path, "r+b") as handle, pytest.raises(ConfigurationError, match="same file"):
        net.train(DATA, save_progress=handle, checkpoint=path, **KWARGS)
    with contextlib.suppress(FileError):
        theanets.Network.load(path)
