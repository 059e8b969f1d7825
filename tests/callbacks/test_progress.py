"""What a person sees while a network trains."""

import io
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from rich.live import Live

import theanets
from theanets.callbacks import progress
from theanets.errors import ConfigurationError
from theanets.training import pacing


@pytest.fixture(scope="module")
def net():
    return theanets.Classifier([4, (5, "tanh"), 3])


def data(n=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4)), rng.integers(0, 3, size=n)


def shown(net, *, terminal=False, width=80, **kwargs):
    """Get what is written in the course of a run, and what a terminal then shows."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, legacy_windows=False)
    callbacks = [*kwargs.pop("callbacks", ()), progress.for_console(console)]
    kwargs = {"algo": "sgd", "learning_rate": 0.1, "epochs": 3, **kwargs}
    net.train(data(), callbacks=callbacks, progress=False, **kwargs)
    lines = screen(file.getvalue())
    return lines[1:] if lines[0].startswith("compiling") else lines


def screen(text):
    """Do what a terminal does with the little that is used of its language."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.|\n", text):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("A") and token[0] == "\x1b":
            row -= int(token[2:-1] or 1)
        elif token[0] != "\x1b":
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    return "\n".join(lines).rstrip("\n").split("\n")


def test_plain_lines(net):
    lines = shown(net)
    head, *epochs, stopped, best = lines
    names = ["epoch", "train loss", "train acc", "valid loss", "valid acc", "rate", "time", "best"]
    assert re.split(r"\s\s+", head) == names
    assert len(epochs) == 3
    row = net.history.rows[0]
    cells = epochs[0].split()
    names = ("train_loss", "train_acc", "valid_loss", "valid_acc", "learning_rate")
    assert [float(c) for c in cells[:6]] == pytest.approx([1, *(row[n] for n in names)], abs=1e-4)
    assert re.fullmatch(
        r"stopped after 3 epochs, 6 updates, \d+\.\d s: all epochs are done", stopped
    )
    assert best == f"best: epoch 3, validation loss {net.history['valid_loss'][2]:.4f}"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"learning_rate": 1.23456e-7},
        {"weight_l2": 123456},
        {"validate_every": 2},
        {"monitors": {"hid1:out": 0.2}, "monitor_gradients": True},
    ],
)
def test_columns_are_aligned_and_fit(net, terminal, kwargs):
    lines = shown(net, terminal=terminal, **kwargs)
    assert all(line.isascii() and len(line) <= 80 for line in lines)
    head, *epochs = lines[:-2]
    assert len(epochs) == 3 or terminal
    # Each heading ends where its cells do.
    ends = [match.end() for match in re.finditer(r"(train |valid )?\S+", head)]
    for line in epochs:
        cells = [match.end() for match in re.finditer(r"\S+( s)?", line)]
        assert set(cells) <= set(ends), (head, line)
        assert len(cells) >= len(ends) - 3


@pytest.mark.parametrize("terminal", [False, True])
def test_metrics_that_were_asked_for_are_shown(net, terminal):
    lines = shown(net, terminal=terminal, metrics=["f1", "recall"], monitors={"hid1:out": 0.2})
    names = ["epoch", "train loss", "valid loss", "valid acc", "valid f1", "valid recall"]
    assert re.split(r"\s\s+", lines[0])[:6] == names
    assert all(len(line) <= 80 for line in lines)
    last = lines[-3].split()
    assert float(last[4]) == pytest.approx(net.history["valid_f1"][-1], abs=1e-4)
    streamed = theanets.Classifier([4, 6, 3])
    batch = [data()[0][:8], data()[1][:8]]
    file = io.StringIO()
    shows = progress.for_console(Console(file=file))
    streamed.train(
        lambda: batch,
        epochs=2,
        train_batches=2,
        validate_every=2,
        metrics="f1",
        callbacks=shows,
        progress=False,
    )
    assert "train f1" in file.getvalue()


def test_compiling_is_logged_once_for_each_function(net, caplog):
    with caplog.at_level("INFO", "theanets"):
        for rate in (0.1, 0.2):
            net.train(data(), epochs=1, learning_rate=rate)
        said = [record.message for record in caplog.records if "compiling" in record.message]
    assert len(said) == 1
    assert "progress=True" in said[0]
    assert "warmup()" in said[0]


def test_epochs_without_validation(net):
    first, second = shown(net, validate_every=2)[1:3]
    assert len(first.split()) == len(second.split()) - 2 - second.endswith("*")


def test_a_terminal_shows_the_best_and_the_last_epoch(net):
    losses = [0.5, 0.25, 0.75, 1.0]

    def fake(run):
        loss = losses[run.epoch - 1]
        run.history.rows[-1]["valid_loss"] = loss
        if loss < run.best_loss:
            run.best.figure, run.best.loss, run.best.epoch = loss, loss, run.epoch

    lines = shown(net, terminal=True, epochs=4, callbacks=[fake])
    assert [line.split()[0] for line in lines] == ["epoch", "2", "4", "stopped", "best:"]
    assert lines[1].endswith("*")
    assert not lines[2].endswith("*")
    assert lines[1].split()[3] == "0.2500"
    lines = shown(net, terminal=True, epochs=2, learning_rate=0.01)
    assert [line.split()[0] for line in lines] == ["epoch", "2", "stopped", "best:"]


def test_a_narrow_terminal(net, monkeypatch):
    heights = []
    update = Live.update

    def spy(live, text, **kwargs):
        heights.append(len(live.console.render_lines(text)))
        update(live, text, **kwargs)

    monkeypatch.setattr(Live, "update", spy)
    shown(net, terminal=True, width=30)
    assert heights == [1, 1, 1]


@pytest.mark.parametrize("terminal", [False, True])
def test_every_ending_is_told(net, terminal):
    def interrupt(run):
        raise KeyboardInterrupt

    lines = shown(net, terminal=terminal, callbacks=[interrupt])
    assert lines[-2].endswith("interrupted")
    assert lines[-2].startswith("stopped after 1 epoch, 2 updates")
    lines = shown(net, terminal=terminal, callbacks=[lambda run: run.stop("[bold]good enough")])
    assert lines[-2].endswith(": [bold]good enough")
    lines = shown(net, terminal=terminal, epochs=0)
    assert lines[-2].startswith("stopped after 0 epochs, 0 updates")
    assert lines[-1].startswith("best: the initial parameters")
    assert all(reason in progress._REASONS for reason in REASONS)


REASONS = ["patience", "epochs", "updates", "time", "interrupted", "diverged", "converged"]
REASONS += ["closed", "data", "callback", "error"]


def test_a_terminal_of_little_means(net):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    show = progress.for_console(Console(file=file))
    net.train(data(), epochs=2, callbacks=[show, lambda run: run.stop("schön")])
    file.flush()
    assert b": sch?n\n" in raw.getvalue()


def test_the_same_object_shows_several_runs(net):
    file = io.StringIO()
    show = progress.for_console(Console(file=file, width=80))
    for _ in range(2):
        net.train(data(), epochs=1, callbacks=show)
    lines = file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "1", "stopped", "best:"] * 2


@pytest.mark.parametrize("value", [False, "auto", None, True])
def test_who_sees_it(net, value, capsys):
    net.train(data(), epochs=1, progress=value)
    out, err = capsys.readouterr()
    assert (out != "") == (value is True)
    assert err == ""


@pytest.mark.parametrize(("terminal", "notebook"), [(0, 0), (0, 1), (1, 0)])
def test_auto_is_for_whoever_watches(terminal, notebook, monkeypatch):
    made = Console(force_terminal=bool(terminal), force_jupyter=bool(notebook))
    monkeypatch.setattr(progress, "Console", lambda: made)
    assert len(progress.build("auto")) == terminal + notebook


def test_anything_else_is_refused(net):
    for wrong in ("on", 2, []):
        with pytest.raises(ConfigurationError, match="progress"):
            net.train(data(), epochs=1, progress=wrong)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (1.23456, "1.2346"),
        (-9999.4, "-9999.4000"),
        (12345.6, "1.235e+04"),
        (-0.00012345, "-1.234e-04"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert progress._number(value) == text
    assert len(text) <= len("train loss")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (99.94, "99.9 s"), (99.96, "1:40"), (3599.6, "1:00:00"), (36000, "10:00:00")],
)
def test_times_are_short(seconds, text):
    assert progress._time(seconds) == text


def test_nothing_is_logged_or_shown_unless_asked(net, capfd):
    assert not logging.getLogger("theanets").handlers
    net.train(data(), epochs=1)
    assert capfd.readouterr() == ("", "")


def test_what_is_compiled_is_told_once():
    net = theanets.Classifier([4, 6, 3])
    said = []
    for _ in range(2):
        file = io.StringIO()
        shows = progress.for_console(Console(file=file))
        net.train(data(), epochs=1, callbacks=shows, progress=False)
        said.append(file.getvalue().splitlines())
    assert said[0][0].startswith("compiling, or reading")
    assert said[1][0].split()[0] == "epoch"
    # FAST_COMPILE has nothing to count.
    assert not any("pieces" in line or "cache" in line for line in said[0][1:])


@pytest.mark.linker
def test_what_numba_compiles_is_counted(tmp_path):
    script = """
import numpy as np, theanets
net = theanets.Regressor([3, 2], mode="NUMBA")
net.train([np.ones((8, 3)), np.ones((8, 2))], epochs=1, progress=True)
"""
    flags = f"base_compiledir={tmp_path}"
    for expected in (
        r"compiled [1-9]\d+ new pieces in [\d.]+ s, kept",
        "all of it was in the cache",
    ):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTENSOR_FLAGS": flags},
        )  # fmt: skip
        assert re.search(expected, done.stdout), done.stdout


class Clock:
    """A clock that goes on by a quarter of a second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 0.25
        return self.now


def test_how_far_an_epoch_is(net, monkeypatch):
    seen = []
    update = Live.update

    def spy(live, text, **kwargs):
        seen.append(text.plain.splitlines()[-1])
        update(live, text, **kwargs)

    monkeypatch.setattr(Live, "update", spy)
    monkeypatch.setattr(progress, "time", Clock())
    # An update takes longer than the time between two looks.
    monkeypatch.setattr(pacing, "time", Clock())
    shown(net, terminal=True, epochs=2, batch_size=10)
    batches = [line for line in seen if "batches" in line]
    # Four batches in each of two epochs; the clock is read once for each.
    assert [line.split(",")[0] for line in batches] == [
        f"epoch {epoch}: {done}/4 batches" for epoch in (1, 2) for done in (1, 2, 3, 4)
    ]
    assert batches[1] == "epoch 1: 2/4 batches, 4 a second, 1.5 s left"
    assert batches[-1] == "epoch 2: 4/4 batches, 4 a second, 0.0 s left"
    seen.clear()
    shown(net, terminal=True, max_updates=6, epochs=None, batch_size=10)
    assert "epoch 1: 2/4 batches, 4 a second, 0.5 s left of the epoch" in seen


def test_an_interrupted_compilation_is_no_longer_watched(net, monkeypatch):
    """What listens to Numba is removed, however the run ends."""
    from theanets.training import Run

    def fail(run):
        raise RuntimeError("no validation")

    watched = []

    class Watch:
        def __init__(self):
            watched.append(1)

        def done(self):
            watched.append(-1)

    fresh = theanets.Classifier([4, 7, 3])
    monkeypatch.setattr(progress, "compilations", lambda function: Watch())
    monkeypatch.setattr(Run, "_validate", fail)
    shows = progress.for_console(Console(file=io.StringIO()))
    with pytest.raises(RuntimeError, match="no validation"):
        fresh.train(data(), epochs=1, callbacks=shows, progress=False)
    assert watched == [1, -1]
