"""Checkpoints: a run that was cut off continues to the same bits."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from checkpoint_cases import DATA, VALID, regressor, rows

import theanets
from theanets import checkpoint

EVERYTHING = dict(
    algo="sgd",
    learning_rate=0.2,
    momentum=0.8,
    nesterov=True,
    hidden_dropout=0.2,
    input_noise=0.1,
    weight_l2=1e-3,
    batch_size=8,
    train_batches=5,  # of nine: epochs end in the middle of a shuffled order
    epochs=9,
    learning_rate_schedule=dict(
        form="warmup", updates=7, after=dict(form="plateau", patience=0, factor=0.5)
    ),
)


def outcome(net, result):
    """Get all that a run came to, as something that compares bit for bit."""
    bits = {p.name: p.get_value().tobytes() for p in [*net.params, *net.state]}
    return result, bits, rows(net), net.history.stop_reason, net.history.best_epoch


def copier(path, folder):
    def copy(run):
        # The checkpoint of the epoch before: this one's is not written yet.
        shutil.copy(path, folder / f"{run.epoch - 1}.ckpt")

    return copy


@pytest.mark.parametrize(
    "kwargs",
    [
        EVERYTHING,
        {"algo": "adam", "epochs": 5, "batch_size": 70},
        {"algo": "esgd", "epochs": 4},
        {"algo": "rprop", "epochs": 4, "validate_every": 2},
        {"algo": "sgd", "learning_rate": 0.5, "patience": 0, "epochs": 99},
        {"algo": "sgd", "max_updates": 18, "batch_size": 16},
    ],
    ids=["everything", "adam", "esgd", "rprop", "patience", "max_updates"],
)
def test_continues_from_every_epoch_to_the_same_bits(tmp_path, kwargs):
    net = regressor()
    plain = outcome(net, net.train(DATA, VALID, **kwargs))
    net, path = regressor(), tmp_path / "run.ckpt"
    watched = net.train(DATA, VALID, checkpoint=path, callbacks=copier(path, tmp_path), **kwargs)
    assert outcome(net, watched) == plain
    assert len(net.history) >= 4 or "patience" in kwargs
    # One network for all: what it was before does not matter.
    net = regressor()
    for epoch in range(len(plain[2])):
        copy = tmp_path / f"{epoch}.ckpt"
        resumed = net.train(DATA, VALID, checkpoint=copy, **kwargs)
        assert outcome(net, resumed) == plain, epoch
    assert not list(tmp_path.glob(".*"))


def test_a_finished_run_does_nothing(tmp_path):
    net, path = regressor(), tmp_path / "run.ckpt"
    first = outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING))
    written = path.read_bytes()
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING)) == first
    net = regressor()
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING)) == first
    assert path.read_bytes() == written


@pytest.mark.parametrize("first", [{"epochs": 4}, {"epochs": 9, "max_updates": 20}])
def test_raised_limits_continue(tmp_path, first):
    net = regressor()
    long = outcome(net, net.train(DATA, VALID, **EVERYTHING))
    path, net = tmp_path / "run.ckpt", regressor()
    net.train(DATA, VALID, checkpoint=path, **{**EVERYTHING, **first})
    assert len(net.history) == 4
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING)) == long


@pytest.mark.parametrize("every, ends", [(2, "epochs"), (3, "max_updates"), (2, "callback")])
def test_a_last_validation_that_was_not_due_does_not_count_later(every, ends, tmp_path):
    """With a plateau and patience, of which each counts validations."""
    options = dict(EVERYTHING, validate_every=every, epochs=14, patience=1)
    net, path = regressor(rng=1), tmp_path / "run.ckpt"
    long = outcome(net, net.train(DATA, VALID, **options))

    def stop(run):
        if run.epoch == 5:
            run.stop()

    first = {"epochs": dict(epochs=5), "max_updates": dict(max_updates=25)}
    net = regressor(rng=1)
    cut = first.get(ends, dict(callbacks=stop))
    ended = net.train(DATA, VALID, checkpoint=path, **{**options, **cut})
    assert [row["epoch"] for row in net.history if "valid_loss" in row][-1] == 5
    if ends == "epochs":
        # What is done is not done again, and comes to the same.
        again = regressor(rng=1)
        written = path.read_bytes()
        assert again.train(DATA, VALID, checkpoint=path, **{**options, **cut}) == ended
        assert rows(again) == rows(net)
        assert path.read_bytes() == written
    net = regressor(rng=1)
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **options)) == long


@pytest.mark.parametrize(("first", "said"), [(13, True), (10, False)])
def test_an_epoch_that_was_cut_is_said(first, said, tmp_path, caplog):
    options = dict(EVERYTHING, checkpoint=tmp_path / "run.ckpt")
    regressor(rng=1).train(DATA, VALID, max_updates=first, **options)
    for limits in (dict(max_updates=first), dict(max_updates=20)):
        caplog.clear()
        regressor(rng=1).train(DATA, VALID, **limits, **options)
        expected = said and limits["max_updates"] == 20
        assert ("in the middle of an epoch" in caplog.text) == expected


def test_a_run_that_gave_up_continues_with_more_patience(tmp_path):
    kwargs = dict(algo="sgd", learning_rate=1e-30, checkpoint=tmp_path / "run.ckpt")
    net = regressor()
    net.train(DATA, patience=2, **kwargs)
    assert (len(net.history), net.history.stop_reason) == (3, "patience")
    net.train(DATA, patience=5, **kwargs)
    assert (len(net.history), net.history.stop_reason) == (6, "patience")


def test_a_diverged_run_stays_so(tmp_path):
    def spoil(run):
        if run.epoch == 2:
            run.network.find("hid1.b").set_value(np.full(5, np.nan, "float32"))

    kwargs = dict(algo="sgd", checkpoint=tmp_path / "run.ckpt", epochs=9)
    net = regressor()
    net.train(DATA, VALID, callbacks=spoil, **kwargs)
    diverged = rows(net)
    assert (len(diverged), net.history.stop_reason) == (3, "diverged")
    net = regressor()
    net.train(DATA, VALID, **kwargs)
    assert json.dumps(rows(net)) == json.dumps(diverged)
    assert net.history.stop_reason == "diverged"
    assert net.evaluate(VALID)["loss"] == min(net.history["valid_loss"][:2])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_interruption(tmp_path, error):
    class Interrupt(theanets.Callback):
        def batch(self, run):
            if run.updates == 17:
                raise error

    net = regressor()
    plain = outcome(net, net.train(DATA, VALID, **EVERYTHING))
    net, path = regressor(), tmp_path / "run.ckpt"
    with contextlib.suppress(RuntimeError):
        net.train(DATA, VALID, checkpoint=path, callbacks=Interrupt(), **EVERYTHING)
    assert net.history.stop_reason in ("interrupted", "error")
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING)) == plain


def test_a_run_that_a_callback_stopped_goes_on(tmp_path):
    net = regressor()
    plain = outcome(net, net.train(DATA, VALID, **EVERYTHING))
    net, path = regressor(), tmp_path / "run.ckpt"
    stop = lambda run: run.epoch == 3 and run.stop("the machine shuts down")  # noqa: E731
    net.train(DATA, VALID, checkpoint=path, callbacks=stop, **EVERYTHING)
    assert len(net.history) == 3
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **EVERYTHING)) == plain


def test_several_algorithms_have_a_file_each(tmp_path):
    kwargs = dict(algo=["sgd", "adam"], epochs=3, batch_size=16)
    net = regressor()
    plain = outcome(net, net.train(DATA, VALID, **kwargs))

    class Interrupt(theanets.Callback):
        count = 0

        def epoch(self, run):
            self.count += 1
            if self.count == 5:
                raise KeyboardInterrupt

    net, path = regressor(), tmp_path / "run.ckpt"
    net.train(DATA, VALID, checkpoint=path, callbacks=Interrupt(), **kwargs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.1.ckpt", "run.2.ckpt"]
    net = regressor()
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **kwargs)) == plain


def test_checkpoint_every(tmp_path):
    path, written = tmp_path / "run.ckpt", []

    def look(run):
        header = checkpoint.read(path)[1]
        written.append(header["counters"]["epoch"])

    net = regressor()
    kwargs = dict(checkpoint=path, checkpoint_every=3, epochs=8, algo="sgd")
    net.train(DATA, callbacks=look, **kwargs)
    assert written == [0, 0, 0, 3, 3, 3, 6, 6]
    assert checkpoint.read(path)[1]["counters"]["epoch"] == 8


SCRIPT = """
    import json, sys
    import numpy as np, pytensor, theanets
    pytensor.config.mode = "{mode}"
    rng = np.random.default_rng(0)
    data, valid = ((rng.normal(size=(n, 4)), rng.normal(size=(n, 1))) for n in (300, 50))
    net = theanets.Regressor([4, (5, "tanh"), 1], rng=13)
    result = net.train(
        data, valid, algo="rmsprop", momentum=0.5, hidden_dropout=0.2, batch_size=8,
        train_batches=20,
        learning_rate_schedule=dict(form="exponential", halflife=16, unit="update"),
        epochs=24, patience=None, checkpoint=sys.argv[1],
        callbacks=lambda run: print(run.epoch, flush=True),
    )
    rows = [{{k: v for k, v in row.items() if k != "seconds"}} for row in net.history]
    with open(sys.argv[1] + ".result", "w") as handle:
        json.dump([result, rows, [p.get_value().tolist() for p in net.params]], handle)
"""


def run_and_kill(path, mode, kills):
    """Run the script until it is finished, killed so often on the way."""
    source = textwrap.dedent(SCRIPT).format(mode=mode)
    dice = random.Random(0)
    epochs = []
    for attempt in range(kills + 1):
        # As users have it, and not as `conftest` sets it: bits may depend on it.
        environment = {**os.environ, "NUMBA_OPT": "3"}
        process = subprocess.Popen(
            [sys.executable, "-c", source, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        with process:
            if attempt < kills:
                for _ in range(dice.randint(1, 7)):
                    epochs.append(int(process.stdout.readline()))
                time.sleep(dice.uniform(0, 0.02))
                process.send_signal(signal.SIGKILL)
            epochs.extend(int(line) for line in process.stdout.read().split())
        assert process.returncode == (-signal.SIGKILL if attempt < kills else 0)
    # No epoch but the one that was cut off is done twice.
    assert len(epochs) <= 24 + 2 * kills
    return json.loads(path.with_name(path.name + ".result").read_text())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize(
    "mode", ["FAST_COMPILE", pytest.param("NUMBA", marks=[pytest.mark.linker, pytest.mark.slow])]
)
def test_killed_again_and_again(tmp_path, mode):
    whole = run_and_kill(tmp_path / "whole.ckpt", mode, kills=0)
    assert run_and_kill(tmp_path / "killed.ckpt", mode, kills=3) == whole
