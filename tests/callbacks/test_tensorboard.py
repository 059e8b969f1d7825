"""The callback that writes for TensorBoard."""

import sys
import types
from typing import ClassVar

import numpy as np
import pytest
from callback_cases import TRAIN, Stop, data, fail_at, make

from theanets.callbacks import TensorBoard
from theanets.errors import ConfigurationError


@pytest.fixture(scope="module")
def net():
    # Compiled once: start() gives it the same parameters for each test.
    return make()


@pytest.fixture(autouse=True)
def start(net):
    for param, fresh in zip(net.params, make().params):
        param.set_value(fresh.get_value())


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
