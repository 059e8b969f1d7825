"""Files, pickles and copies of networks."""

import copy
import gzip
import io
import os
import pathlib
import pickle
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
import pytest
import safetensors.numpy
from saving_cases import data, regressor, same, values

import theanets
from theanets import checkpoint
from theanets.errors import ConfigurationError, FileError
from theanets.losses import Loss


@pytest.fixture(scope="module")
def trained():
    net = regressor()
    net.train(data(), algo="sgd", learning_rate=0.1, epochs=2)
    return net


@pytest.fixture(scope="module")
def saved(trained):
    handle = io.BytesIO()
    trained.save(handle)
    return handle.getvalue()


# ---- paths and file objects ------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, pathlib.Path, os.fsencode])
@pytest.mark.parametrize("name", ["net", "net.st", "net.gz", "ünïcode.st"])
def test_paths(tmp_path, trained, kind, name):
    path = tmp_path / name
    try:
        given = kind(path)
    except UnicodeEncodeError:
        pytest.skip("the file system has no such names")
    if kind is os.fsencode:
        given = os.fsdecode(given)
    trained.save(given)
    loaded = theanets.Network.load(given)
    same(trained, loaded)
    assert loaded.to_spec() == trained.to_spec()
    np.testing.assert_array_equal(loaded.predict(data()[0]), trained.predict(data()[0]))
    compressed = path.read_bytes()[:2] == b"\x1f\x8b"
    assert compressed == (name == "net.gz")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_what_is_in_a_file(tmp_path, trained):
    trained.save(tmp_path / "net.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    for name, value in values(trained).items():
        np.testing.assert_array_equal(arrays[name], value)


def test_two_networks_in_one_file(tmp_path, trained):
    other = theanets.Classifier([3, 2], rng=4)
    with open(tmp_path / "both", "wb") as handle:
        trained.save(handle)
        other.save(handle)
    with open(tmp_path / "both", "rb") as handle:
        same(theanets.Network.load(handle), trained)
        same(theanets.Network.load(handle), other)
        with pytest.raises(FileError, match="0 bytes"):
            theanets.Network.load(handle)


def test_compressed_file_object(trained):
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb") as handle:
        trained.save(handle)
    buffer.seek(0)
    with gzip.open(buffer) as handle:
        same(theanets.Regressor.load(handle), trained)


def test_file_object_open_as_text(tmp_path, trained, saved):
    path = tmp_path / "net"
    path.write_bytes(b"ascii for once")
    with open(path) as handle, pytest.raises(ConfigurationError, match="'rb'"):
        theanets.Network.load(handle)


def test_links_stay_links(tmp_path, trained):
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "net.7")
    trained.save(link)
    assert link.is_symlink()
    same(theanets.Network.load(tmp_path / "net.7"), trained)


def test_places_that_cannot_be_written_to(tmp_path, trained):
    for path in (tmp_path / "no" / "net", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            trained.save(path)
    with pytest.raises(FileNotFoundError):
        theanets.Network.load(tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, trained, monkeypatch, function):
    path = tmp_path / "net"
    regressor(rng=5).save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"theanets.checkpoint.os.{function}", fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        trained.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_does_not_touch_the_file(tmp_path, trained):
    net = theanets.Regressor([4, 2], loss=lambda target, output: output - target)
    net.add_loss(lambda target, output: target - output)
    path = tmp_path / "net"
    trained.save(path)
    with pytest.raises(ConfigurationError, match="two callables have the name '<lambda>'"):
        net.save(path)
    same(theanets.Network.load(path), trained)


def test_unicode_names(tmp_path):
    net = theanets.Regressor(
        [dict(size=4, name="Eingänge"), dict(size=3, name="隠れ層"), dict(size=2, name="out")]
    )
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    same(net, loaded)
    assert loaded.layers[1].name == "隠れ層"


# ---- classes and instances ---------------------------------------------------------------


def test_wrong_class_is_refused(tmp_path, trained):
    trained.save(tmp_path / "net")
    with pytest.raises(FileError, match="holds a Regressor, not a Classifier"):
        theanets.Classifier.load(tmp_path / "net")
    assert type(theanets.Network.load(tmp_path / "net")) is theanets.Regressor


class Special(theanets.Regressor):
    def __init__(self, width):
        super().__init__([4, (width, "tanh"), 2], rng=3)


def test_subclass_with_another_signature(tmp_path):
    net = Special(6)
    net.save(tmp_path / "net")
    for loaded in (Special.load(tmp_path / "net"), copy.deepcopy(net)):
        same(net, loaded)
    with pytest.raises(FileError, match="Special"):
        theanets.Autoencoder.load(tmp_path / "net")


def test_a_network_of_no_particular_kind():
    net = theanets.Network([4, (5, "tanh"), 2])
    handle = io.BytesIO()
    net.save(handle)
    handle.seek(0)
    same(net, theanets.Network.load(handle))


def test_class_that_is_not_defined(tmp_path, trained, saved):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    header["spec"]["model"] = "elsewhere.Model"
    checkpoint.write(tmp_path / "net", arrays, header)
    with pytest.raises(FileError, match=r"elsewhere\.Model.*import it"):
        theanets.Network.load(tmp_path / "net")


def test_load_of_an_instance_sets_its_parameters(tmp_path, trained):
    trained.save(tmp_path / "net")
    net = regressor(rng=9)
    shared = net.params
    before = net.predict(data()[0])
    assert net.load(tmp_path / "net") is net
    same(net, trained)
    assert net.params == shared
    np.testing.assert_array_equal(net.predict(data()[0]), trained.predict(data()[0]))
    assert not np.array_equal(net.predict(data()[0]), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("hid1.b"), r"'hid1\.b' is missing"),
        (lambda arrays: arrays.update(more=np.zeros(2)), "no parameter more"),
        (lambda arrays: arrays.update({"out.b": np.zeros(3, "f4")}), r"out\.b.*\(3,\).*\(2,\)"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, saved, change, message):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    change(arrays)
    checkpoint.write(tmp_path / "net", arrays, header)
    net = regressor()
    before = values(net)
    for load in (theanets.Network.load, net.load):
        with pytest.raises(FileError, match=message):
            load(tmp_path / "net")
    for name, value in values(net).items():
        np.testing.assert_array_equal(before[name], value)


# ---- things of one's own -----------------------------------------------------------------


def half(x):
    return x / 2


class Doubled(Loss):
    options: ClassVar = {"factor": 2.0}

    def __call__(self, outputs):
        return self.factor * pt.mean(pt.sqr(outputs[self.output_name] - self._target))


def absolute(target, output):
    return abs(target - output)


def test_own_functions_have_to_be_given(tmp_path):
    net = theanets.Regressor([4, (5, half), 2], loss=absolute)
    net.save(tmp_path / "net")
    with pytest.raises(FileError, match=r"custom=\{'half': function\}"):
        theanets.Regressor.load(tmp_path / "net")
    loaded = theanets.Regressor.load(tmp_path / "net", custom={"half": half, "absolute": absolute})
    same(net, loaded)
    assert loaded.evaluate(data()) == net.evaluate(data())


def own():
    net = theanets.Regressor([4, (5, half), 2], loss=absolute)
    net.add_loss("doubled", factor=3.0, weight=0.5)
    return net


@pytest.mark.parametrize(
    "make", [copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n))]
)
@pytest.mark.parametrize("epochs", [0, 2])
def test_pickles_and_copies(make, epochs):
    net = own()
    kwargs = dict(algo="sgd", learning_rate=0.1, hidden_dropout=0.1)
    if epochs:
        net.train(data(), epochs=epochs, **kwargs)
    other = make(net)
    same(net, other)
    assert other.evaluate(data()) == net.evaluate(data())
    assert other.history.rows == net.history.rows
    assert [loss.log() for loss in other.losses] == [loss.log() for loss in net.losses]
    before = values(net)
    other.train(data(), epochs=2, **kwargs)
    for name, value in values(net).items():
        np.testing.assert_array_equal(before[name], value)
    # The copy counts on from where the original was.
    net.train(data(), epochs=2, **kwargs)
    same(net, other)
    assert [p is q for p, q in zip(net.params, other.params)] == [False] * len(net.params)


def test_own_loss_is_saved_with_its_options(tmp_path):
    net = own()
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net", custom={"half": half, "absolute": absolute})
    assert [(loss.weight, getattr(loss, "factor", None)) for loss in loaded.losses] == [
        (1.0, None),
        (0.5, 3.0),
    ]
