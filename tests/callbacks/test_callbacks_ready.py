"""The callbacks that keep what a run gave: its history, and its best network."""

import csv

import numpy as np
import pytest
from callback_cases import TRAIN, Stop, data, fail_at, losses, make

import theanets
from theanets import History
from theanets.callbacks import CSVLogger, SaveBest


@pytest.fixture(scope="module")
def net():
    # Compiled once: start() gives it the same parameters for each test.
    return make()


@pytest.fixture(autouse=True)
def start(net):
    for param, fresh in zip(net.params, make().params):
        param.set_value(fresh.get_value())


def read(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


# ---- the file of the history ---------------------------------------------------


def test_the_file_is_the_history(net, tmp_path):
    path, seen = tmp_path / "log.csv", []

    def look(run):
        # Also when an epoch has no validation, and one of the next has.
        assert History.from_csv(path).rows == run.history.rows
        seen.append(run.epoch)

    net.train(data(), epochs=5, validate_every=2, callbacks=[CSVLogger(path), look], **TRAIN)
    assert seen == [1, 2, 3, 4, 5]
    assert History.from_csv(path).rows == net.history.rows
    net.history.to_csv(tmp_path / "other.csv")
    assert read(path) == read(tmp_path / "other.csv")
    assert "learning_rate" in read(path)[0]


def test_what_is_validated_at_the_end_is_in_the_file(net, tmp_path):
    path = tmp_path / "log.csv"
    stop = lambda run: run.stop("enough")  # noqa: E731
    net.train(data(), epochs=9, validate_every=9, callbacks=[CSVLogger(path), stop], **TRAIN)
    assert History.from_csv(path).rows == net.history.rows
    assert "valid_loss" in net.history.rows[-1]


def test_a_run_that_continues_continues_the_file(tmp_path):
    path = tmp_path / "log.csv"
    options = dict(checkpoint=tmp_path / "run.ckpt", checkpoint_every=2, **TRAIN)
    with pytest.raises(Stop):
        make().train(data(), epochs=6, callbacks=[CSVLogger(path), fail_at(3)], **options)
    assert [row["epoch"] for row in read(path)] == ["1", "2", "3"]
    twin = make()
    twin.train(data(), epochs=6, callbacks=CSVLogger(path), **options)
    assert [row["epoch"] for row in read(path)] == ["1", "2", "3", "4", "5", "6"]
    assert History.from_csv(path).rows == twin.history.rows


def test_another_run_begins_the_file_anew_but_the_same_object_goes_on(net, tmp_path):
    path = tmp_path / "log.csv"
    net.train(data(), epochs=2, callbacks=CSVLogger(path), **TRAIN)
    logger = CSVLogger(path)
    net.train(data(), epochs=1, callbacks=logger, **TRAIN)
    assert [row["epoch"] for row in read(path)] == ["1"]
    net.train(data(), epochs=2, callbacks=logger, **TRAIN)
    assert [row["epoch"] for row in read(path)] == ["1", "1", "2"]


def test_a_file_that_cannot_be_written_is_known_at_once(net, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        net.train(data(), epochs=1, callbacks=CSVLogger(tmp_path / "nowhere" / "a.csv"), **TRAIN)
    assert len(net.history) == 0


# ---- the best network -----------------------------------------------------------


def test_the_best_network_is_in_the_file(net, tmp_path):
    path, found = tmp_path / "best.safetensors", []

    def look(run):
        saved = theanets.Regressor.load(path).find("out.w").get_value() if path.exists() else None
        found.append((saved, run.best_values[[p.name for p in run.params].index("out.w")]))

    fake = losses([0.5, 0.7, 0.4, 0.6, 0.6])
    net.train(data(), epochs=4, callbacks=[SaveBest(path), look, fake], **TRAIN)
    assert len(found) == 4
    for saved, best in found:
        np.testing.assert_array_equal(saved, best)
    assert (found[0][0] == found[1][0]).all()
    assert (found[2][0] != found[1][0]).any()
    assert (found[3][0] == found[2][0]).all()
    np.testing.assert_array_equal(found[2][0], net.find("out.w").get_value())
    assert net.history.best_epoch == 3


@pytest.mark.parametrize("criterion", [("mae", "max"), None])
def test_the_best_is_what_the_criterion_says(net, criterion, tmp_path):
    path = tmp_path / "best.safetensors"
    save = SaveBest(path)
    net.train(data(), epochs=3, callbacks=save, criterion=criterion, metrics="mae", **TRAIN)
    # Learning makes the error smaller, so that the largest is before it.
    assert (net.history.best_epoch == 0) == (criterion is not None)
    saved = theanets.Regressor.load(path)
    for param, loaded in zip(net.params, saved.params):
        np.testing.assert_array_equal(param.get_value(), loaded.get_value())


def test_the_best_comes_in_the_middle_of_an_epoch(net, tmp_path):
    path = tmp_path / "best.safetensors"

    class Interrupt(theanets.Callback):
        def batch(self, run):
            if run.updates == 3:
                raise KeyboardInterrupt

    net.train(data(), callbacks=[SaveBest(path), Interrupt()], **TRAIN)
    assert net.history.best_epoch == 2
    saved = theanets.Regressor.load(path).find("hid1.w").get_value()
    np.testing.assert_array_equal(saved, net.find("hid1.w").get_value())


def test_a_place_that_cannot_be_written_to_is_known_at_once(net, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        net.train(data(), epochs=1, callbacks=SaveBest(tmp_path / "nowhere" / "a"), **TRAIN)
    assert len(net.history) == 0


# ---- errors ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["batch", "epoch", "end"])
def test_errors_pass_and_the_best_parameters_are_restored(net, where, tmp_path):
    def fail(run):
        if run.epoch == (1 if where == "batch" else 2):
            raise Stop

    def look(run):
        if run.epoch == 1:
            best.extend(p.get_value() for p in run.params)

    callback, best, path = theanets.Callback(), [], tmp_path / "log.csv"
    setattr(callback, where, fail)
    # The loss of each later validation is worse.
    fake, log = losses([0.1, *[1.0] * 9]), CSVLogger(path)
    with pytest.raises(Stop):
        net.train(data(), epochs=2, callbacks=[callback, fake, look, log], **TRAIN)
    assert net.history.best_epoch == 1
    for param, value in zip(net.params, best, strict=True):
        np.testing.assert_array_equal(param.get_value(), value)
    assert net.history.stop_reason == ("epochs" if where == "end" else "error")
    # The others still get their end.
    assert History.from_csv(path).rows == net.history.rows
    assert len(net.history) == 2
