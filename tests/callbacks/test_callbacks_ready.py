"""The callbacks that are ready to use."""

import csv
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

import theanets
from theanets import History
from theanets.callbacks import CSVLogger, EarlyStop, SaveBest, TensorBoard
from theanets.errors import ConfigurationError, UnknownNameError

TRAIN = dict(algo="sgd", learning_rate=0.1, batch_size=4, progress=False)


def make():
    return theanets.Regressor([2, 3, 1], rng=13, mode="FAST_COMPILE")


@pytest.fixture(scope="module")
def net():
    # Compiled once: start() gives it the same parameters for each test.
    return make()


@pytest.fixture(autouse=True)
def start(net):
    for param, fresh in zip(net.params, make().params):
        param.set_value(fresh.get_value())


def data(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)), rng.normal(size=(n, 1))


def read(path):
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


class Stop(Exception):
    pass


def fail_at(epoch):
    def fail(run):
        if run.epoch == epoch:
            raise Stop

    return fail


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


def losses(values):
    """Make callbacks see a network whose validations give certain losses."""

    class Fake(theanets.Callback):
        def start(self, run):
            every = iter(values)
            run.history.initial = {}
            real = run._evaluate
            run._evaluate = lambda data: {**real(data), "loss": next(every)}

    return Fake()


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


# ---- the end of training -----------------------------------------------------------


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


# ---- TensorBoard -------------------------------------------------------------------


class Writer:
    """What stands for tensorboardX's writer."""

    made: ClassVar[list] = []

    def __init__(self, directory, **options):
        self.directory, self.options = directory, options
        self.scalars, self.histograms, self.flushed, self.closed = [], [], 0, False
        Writer.made.append(self)

    def add_scalar(self, tag, value, step):
        assert not self.closed
        self.scalars.append((tag, step, value))

    def add_histogram(self, tag, values, step):
        self.histograms.append((tag, step, values.copy()))

    def flush(self):
        self.flushed = len(self.scalars)

    def close(self):
        self.closed = True


@pytest.fixture
def writers(monkeypatch):
    Writer.made = []
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    return Writer.made


def scalars(history, offset=0):
    found = []
    for row in history.rows:
        for column, value in row.items():
            part, _, name = column.partition("_")
            if part in ("train", "valid"):
                found.append((f"{name}/{part}", row["epoch"] + offset, value))
    return found


def test_tensorboard(net, writers, tmp_path):
    def look(run):
        assert writers[0].flushed == len(writers[0].scalars) > 0
        kept.append(net.find("hid1.w").get_value())

    kept, board = [], TensorBoard(tmp_path, histograms=2)
    net.train(data(), epochs=4, validate_every=3, callbacks=[board, look], **TRAIN)
    (writer,) = writers
    assert writer.closed
    assert writer.directory == str(tmp_path)
    assert writer.options == {}
    rates = [("learning_rate", epoch, 0.1) for epoch in range(1, 5)]
    assert sorted(writer.scalars) == sorted([*scalars(net.history), *rates])
    names = [(tag, step) for tag, step, _ in writer.histograms]
    assert names == [(p.name, step) for step in (2, 4) for p in net.params]
    for tag, step, values in writer.histograms:
        if tag == "hid1.w":
            np.testing.assert_array_equal(values, kept[step - 1])
    # The same object goes on.
    net.train(data(), epochs=1, callbacks=board, **TRAIN)
    assert {step for _, step, _ in writers[1].scalars} == {5}


def test_tensorboard_gets_the_last_validation(net, writers, tmp_path):
    stop = lambda run: run.stop("enough")  # noqa: E731
    callbacks = [TensorBoard(tmp_path), stop]
    net.train(data(), epochs=9, validate_every=9, callbacks=callbacks, **TRAIN)
    assert sorted(writers[0].scalars) == sorted([*scalars(net.history), ("learning_rate", 1, 0.1)])


def test_tensorboard_of_a_run_that_continues(writers, tmp_path):
    options = dict(checkpoint=tmp_path / "run.ckpt", **TRAIN)
    with pytest.raises(Stop):
        make().train(data(), epochs=4, callbacks=[TensorBoard(tmp_path), fail_at(3)], **options)
    assert writers[0].closed
    make().train(data(), epochs=4, callbacks=TensorBoard(tmp_path), **options)
    assert writers[1].options == {"purge_step": 3}
    assert {step for _, step, _ in writers[1].scalars} == {3, 4}


def test_tensorboard_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'theanets\[tensorboard\]'"):
        TensorBoard("runs")


@pytest.mark.parametrize("wrong", [-1, 0.5, "all"])
def test_wrong_histograms(wrong, writers):
    with pytest.raises(ConfigurationError, match="histograms="):
        TensorBoard("runs", histograms=wrong)


def test_files_of_tensorboard(net, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    net.train(data(), epochs=2, callbacks=TensorBoard(tmp_path, histograms=True), **TRAIN)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    content, found, histograms = path.read_bytes(), {}, set()
    while content:
        # Length, its check sum, the event, its check sum.
        length = int.from_bytes(content[:8], "little")
        event, content = Event.FromString(content[12 : 12 + length]), content[16 + length :]
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms.add((value.tag, event.step, round(value.histo.num)))
            else:
                found[value.tag, event.step] = value.simple_value
    expected = {(tag, step): value for tag, step, value in scalars(net.history)}
    expected.update({("learning_rate", step): 0.1 for step in (1, 2)})
    assert found == pytest.approx(expected, rel=1e-6)
    sizes = {p.name: p.get_value().size for p in net.params}
    assert histograms == {(name, step, size) for name, size in sizes.items() for step in (1, 2)}


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
