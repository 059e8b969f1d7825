"""The callback that ends training."""

import pytest
from callback_cases import TRAIN, Stop, data, fail_at, losses, make

from theanets.callbacks import EarlyStop
from theanets.errors import ConfigurationError, UnknownNameError


@pytest.fixture(scope="module")
def net():
    # Compiled once: start() gives it the same parameters for each test.
    return make()


@pytest.fixture(autouse=True)
def start(net):
    for param, fresh in zip(net.params, make().params):
        param.set_value(fresh.get_value())


def test_patience(net):
    fake = losses([0.03, 0.02, 0.025, 0.019, 0.025, 0.0195, 0.01, 0.005])
    stop = EarlyStop("loss", patience=1)
    net.train(data(), epochs=8, patience=None, callbacks=[fake, stop], **TRAIN)
    assert net.history.stop_reason == "loss no longer improves"
    assert len(net.history) == 6
    assert net.history.best_epoch == 4


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("rate", [2, 0.1])
def test_patience_is_that_of_train(patience, rate, tmp_path):
    # With the greater rate the initial parameters stay the best.
    x, y = data()
    options = {**TRAIN, "learning_rate": rate, "epochs": 60, "batch_size": 8}
    net = make()
    first = net.train([x, y], patience=patience, **options)
    many = len(net.history)
    stop = dict(patience=None, checkpoint=tmp_path / "run.st", **options)
    for epochs in (1, 60)[patience == 0 :]:
        other = make()
        stop["epochs"] = epochs
        found = other.train([x, y], callbacks=EarlyStop(patience=patience), **stop)
    assert found == first
    assert len(other.history) == many
    if rate == 2:
        assert many == patience + 1


def test_min_improvement(net):
    # By 5, 25 and 4 percent of the last that was enough.
    fake = losses([2.0, 1.9, 1.5, 1.44, 1.4, 1.39])
    stop = EarlyStop("valid_loss", patience=1, min_improvement=0.1)
    net.train(data(), epochs=6, patience=None, callbacks=[fake, stop], **TRAIN)
    assert len(net.history) == 5


@pytest.mark.parametrize(
    ("mode", "threshold", "epochs"), [("max", 0.9, 2), ("min", 0.2, 1), ("min", -1, 4)]
)
def test_threshold(net, mode, threshold, epochs):
    fake = losses([0.2, 0.9, 0.95, 0.1])
    stop = EarlyStop("loss", None, mode=mode, threshold=threshold)
    net.train(data(), epochs=4, callbacks=[fake, stop], **TRAIN)
    assert len(net.history) == epochs
    assert (net.history.stop_reason == f"loss reached {threshold:g}") == (epochs < 4)


def test_the_direction_is_known_of_what_has_one(net):
    stop = EarlyStop("r2", patience=0)
    net.train(data(), epochs=3, metrics="r2", callbacks=stop, **TRAIN)
    assert net.history["valid_r2"] == sorted(net.history["valid_r2"])
    assert net.history.stop_reason == "epochs"


def test_a_figure_of_training(net):
    stop = EarlyStop("train_loss", patience=0, mode="max")
    net.train(data(), epochs=9, callbacks=stop, **TRAIN)
    assert net.history.stop_reason == "train_loss no longer improves"
    assert len(net.history) == 2


def test_a_run_that_continues_has_the_same_patience(tmp_path):
    options = dict(checkpoint=tmp_path / "run.ckpt", patience=None, **TRAIN)
    values = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    with pytest.raises(Stop):
        make().train(data(), epochs=9, callbacks=[losses(values), fail_at(4)], **options)
    net = make()
    again = [losses(values[3:]), EarlyStop(patience=2)]
    net.train(data(), epochs=9, callbacks=again, **options)
    # Epochs 3, 4 and 5 fail, of which the first is of the run before.
    assert len(net.history) == 5


def test_epochs_without_a_validation_do_not_count(net):
    fake, stop = losses([1.0, 2.0, 3.0]), EarlyStop(patience=1)
    options = dict(epochs=6, validate_every=2, patience=None)
    net.train(data(), callbacks=[fake, stop], **options, **TRAIN)
    assert net.history.stop_reason == "epochs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(mode="best"), "mode='best'"),
        (dict(patience=-1), "patience=-1"),
        (dict(patience=True), "patience=True"),
        (dict(patience=None), "patience=None needs threshold="),
        (dict(monitor=3), "monitor=3"),
        (dict(min_improvement=-0.1), "min_improvement=-0.1"),
    ],
)
def test_wrong_early_stops(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        EarlyStop(**arguments)


def test_wrong_monitors(net):
    for wrong in ("los", "train_los"):
        with pytest.raises(UnknownNameError, match=r"los'.*did you mean 'loss'"):
            net.train(data(), epochs=1, callbacks=EarlyStop(wrong, mode="min"), **TRAIN)
    with pytest.raises(ConfigurationError, match="mode='min' or mode='max'"):
        options = dict(epochs=1, monitors={"hid1:out": 0.1})
        net.train(data(), callbacks=EarlyStop("hid1:out<0.1"), **options, **TRAIN)
