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

import theanets
from theanets import checkpoint
from theanets.errors import ConfigurationError, FileError


def regression(n=70, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    return x, np.sin(x.sum(axis=1, keepdims=True)).astype("float32")


DATA, VALID = regression(), regression(40, seed=1)
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


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), "batch_norm", 1], **{"rng": 13, **kwargs})


def values(net):
    return {p.name: p.get_value() for p in net.params}


def rows(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]


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


CHANGES = {
    "layers.hid1.activation": dict(layers=[4, (5, "relu"), "batch_norm", 1]),
    "layers.hid1": dict(layers=[4, (6, "tanh"), "batch_norm", 1]),
    "hid2": dict(layers=[4, (5, "tanh"), (5, "tanh"), "batch_norm", 1]),
    "seed": dict(rng=5),
    "dtype": dict(dtype="float64"),
    "losses": dict(loss="mae"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_network_is_refused(tmp_path, what):
    path = tmp_path / "run.ckpt"
    regressor().train(DATA, VALID, checkpoint=path, algo="sgd", epochs=1)
    keywords = {"layers": [4, (5, "tanh"), "batch_norm", 1], **CHANGES[what]}
    net = theanets.Regressor(keywords.pop("layers"), **keywords)
    before = values(net)
    with pytest.raises(FileError, match=f"{path}.*another run: .*{what}.*delete"):
        net.train(DATA, VALID, checkpoint=path, algo="sgd", epochs=1)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algo": "adam"}, "algorithm was 'SGD.*now is 'Adam"),
        ({"learning_rate": 0.3}, "algorithm"),
        ({"momentum": 0.5}, "algorithm"),
        ({"weight_l2": 0.2}, "regularizers"),
        ({"hidden_dropout": 0.2}, "regularizers"),
        ({"penalty_scale": 2}, "penalty_scale was 1.0, now is 2.0"),
        ({"batch_size": 9}, "batch_size was 8, now is 9"),
        ({"train_batches": 3}, "train_batches"),
        ({"train": regression(71)}, "examples was 70, now is 71"),
        ({"valid": regression(41)}, "valid_examples was 40, now is 41"),
        ({"learning_rate_schedule": dict(form="step", every=2)}, "schedule.every was 1, now is 2"),
        ({"learning_rate_schedule": None}, "schedule.form"),
    ],
)
def test_another_run_is_refused(tmp_path, change, message):
    path = tmp_path / "run.ckpt"
    kwargs = dict(
        train=DATA,
        valid=VALID,
        checkpoint=path,
        algo="sgd",
        learning_rate=0.1,
        weight_l2=0.1,
        batch_size=8,
        learning_rate_schedule=dict(form="step", every=1),
        epochs=1,
    )
    net = regressor()
    net.train(**kwargs)
    with pytest.raises(FileError, match=message):
        net.train(**{**kwargs, **change})
    net.train(**{**kwargs, "epochs": 2, "patience": 3, "validate_every": 2, "progress": False})
    assert len(net.history) == 2


def test_what_is_no_checkpoint(tmp_path):
    net, path = regressor(), tmp_path / "run.ckpt"
    net.save(path)
    with pytest.raises(FileError, match="network file, not a checkpoint"):
        net.train(DATA, checkpoint=path)
    with pytest.raises(FileError, match="checkpoint file, not a network"):
        path.unlink()
        net.train(DATA, checkpoint=path, epochs=1)
        theanets.Regressor.load(path)
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=r"run\.ckpt"):
            net.train(DATA, checkpoint=path)
        assert path.read_bytes() == whole[:size]


@pytest.mark.parametrize("missing", ["counters", "engine", "generators", "history", "seconds"])
def test_an_incomplete_checkpoint(tmp_path, missing):
    net, path = regressor(), tmp_path / "run.ckpt"
    net.train(DATA, checkpoint=path, epochs=1, hidden_dropout=0.1)
    before = values(net)
    arrays, header = checkpoint.read(path)
    del (arrays if missing == "history" else header)[missing]
    checkpoint.write(path, arrays, header)
    with pytest.raises(FileError, match=f"incomplete.*{missing}"):
        net.train(DATA, checkpoint=path, epochs=2, hidden_dropout=0.1)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_file_with_the_history_in_its_header_is_continued(tmp_path):
    whole, net, path = regressor(), regressor(), tmp_path / "run.ckpt"
    whole.train(DATA, epochs=3)
    net.train(DATA, checkpoint=path, epochs=2)
    arrays, header = checkpoint.read(path)
    rows = [json.loads(line) for line in arrays.pop("history").tobytes().splitlines()]
    assert rows == net.history.rows
    del header["initial"]
    checkpoint.write(path, arrays, {**header, "history": rows})
    again = regressor()
    again.train(DATA, checkpoint=path, epochs=3)
    assert len(again.history) == 3
    for name, value in values(again).items():
        np.testing.assert_array_equal(value, values(whole)[name])


def test_rows_that_change_after_they_were_written_are_written_again(tmp_path):
    net, path = regressor(), tmp_path / "run.ckpt"

    def note(run):
        run.history.rows[-1]["note"] = f"epoch {run.epoch}"

    net.train(DATA, checkpoint=path, epochs=3, callbacks=note)
    again = regressor()
    again.train(DATA, checkpoint=path, epochs=5, callbacks=note)
    assert again.history["note"] == [f"epoch {i}" for i in range(1, 6)]
    last = again.history.rows[-1]
    assert last["epoch"] == 5
    net = regressor()
    net.train(DATA, checkpoint=path, epochs=5)
    assert net.history.rows == again.history.rows


@pytest.mark.parametrize("text", [b"[1, 2]", b"{", b"\xff"])
def test_a_history_that_is_none(text, tmp_path):
    net, path = regressor(), tmp_path / "run.ckpt"
    net.train(DATA, checkpoint=path, epochs=1)
    arrays, header = checkpoint.read(path)
    arrays["history"] = np.frombuffer(text, np.uint8)
    checkpoint.write(path, arrays, header)
    with pytest.raises(FileError, match="incomplete"):
        net.train(DATA, checkpoint=path, epochs=2)


def test_a_place_that_cannot_be_written_to_is_known_at_once(tmp_path):
    seen = []
    for path in (tmp_path / "no" / "run.ckpt", tmp_path / "file" / "run.ckpt", tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match=str(path)):
            regressor().train(DATA, checkpoint=path, callbacks=seen.append)
    assert seen == []


def test_a_directory_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write anywhere")
        with pytest.raises(PermissionError, match=r"run\.ckpt"):
            regressor().train(DATA, checkpoint=tmp_path / "run.ckpt")
    finally:
        tmp_path.chmod(0o700)


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "run[1].ckpt"
    left = tmp_path / ".run[1].ckpt.123.tmp"
    other = tmp_path / ".run1.ckpt.123.tmp"
    left.touch(), other.touch()
    regressor().train(DATA, checkpoint=path, epochs=1, algo="sgd")
    assert sorted(tmp_path.iterdir()) == sorted([path, other])


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


def test_every_needs_no_path():
    with pytest.raises(ConfigurationError, match="checkpoint_every=0"):
        regressor().train(DATA, checkpoint_every=0, epochs=1)
