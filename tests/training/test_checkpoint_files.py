"""Checkpoints: what is refused, and what files of them are."""

import json
import os

import numpy as np
import pytest
from checkpoint_cases import DATA, VALID, regression, regressor

import theanets
from theanets import checkpoint
from theanets.errors import ConfigurationError, FileError


def values(net):
    return {p.name: p.get_value() for p in net.params}


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


def test_every_needs_no_path():
    with pytest.raises(ConfigurationError, match="checkpoint_every=0"):
        regressor().train(DATA, checkpoint_every=0, epochs=1)
