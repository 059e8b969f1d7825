"""Files that several threads and processes write, and what killed ones leave."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from atomic_cases import DATA, KWARGS, TOKENS, names, needs_kill

import theanets
from theanets import atomic, checkpoint, locks
from theanets.callbacks import SaveBest


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
