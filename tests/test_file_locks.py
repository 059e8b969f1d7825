"""One file for one run, and for one thing: what holds a file while it writes."""

import contextlib
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from atomic_cases import DATA, KWARGS, TOKENS, X, names, needs_kill

import theanets
from theanets import atomic, locks
from theanets.callbacks import CSVLogger, SaveBest
from theanets.errors import ConfigurationError, FileError

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
@pytest.mark.filterwarnings("ignore:.*fork.*")
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
