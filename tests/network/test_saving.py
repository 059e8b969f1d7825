"""Files, pickles and copies of networks; files that are not ours."""

import contextlib
import copy
import gzip
import io
import json
import os
import pathlib
import pickle
import struct
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from pytensor.compile.mode import Mode

import theanets
from theanets import activations, checkpoint, optimizers
from theanets.errors import ConfigurationError, FileError
from theanets.losses import Loss
from theanets.losses.likelihood import LocationScale
from theanets.losses.structured import Structured


def data(n=20):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype("float32")
    return [x, np.tanh(x[:, :2]).astype("float32")]


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 2], **kwargs)


def values(net):
    return {p.name: p.get_value() for p in net.params}


def same(net, other):
    assert type(net) is type(other)
    a, b = values(net), values(other)
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


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


# ---- files that are not ours -----------------------------------------------------------------


def refused(content, tmp_path, match=None):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileError, match=match) as caught:
        theanets.Network.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FileError, match=match):
        theanets.Network.load(io.BytesIO(content))
    with open(path, "rb") as handle, pytest.raises(FileError, match=match):
        theanets.Network.load(handle)


def test_truncated_files(tmp_path, saved):
    (length,) = struct.unpack("<Q", saved[:8])
    for size in (0, 1, 7, 8, 9, 8 + length // 2, 8 + length, 9 + length, len(saved) - 1):
        refused(saved[:size], tmp_path)


def test_truncated_and_damaged_compressed_files(tmp_path, saved):
    path = tmp_path / "net.gz"
    packed = gzip.compress(saved)
    damaged = [packed[:size] for size in (2, 10, 50, len(packed) - 9, len(packed) - 1)]
    damaged.append(packed[:60] + bytes([packed[60] ^ 255]) + packed[61:])
    damaged.append(packed[:-8] + b"\0" * 8)
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"net\.gz.*damaged"):
            theanets.Network.load(path)


@given(st.binary(max_size=60))
def test_random_bytes(content):
    with pytest.raises(FileError):
        checkpoint.read(io.BytesIO(content))


@given(st.data())
def test_flipped_bytes_of_the_header_are_an_error_of_ours_or_nothing(saved, data):
    (length,) = struct.unpack("<Q", saved[:8])
    position = data.draw(st.integers(0, 7 + length))
    value = data.draw(st.integers(0, 255))
    content = saved[:position] + bytes([value]) + saved[position + 1 :]
    with contextlib.suppress(FileError):
        arrays, header = checkpoint.read(io.BytesIO(content))
        assert isinstance(header, dict)
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def framed(entries, body=b""):
    head = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(head)) + head + body


OURS = {"theanets": json.dumps({"version": 1, "kind": "network"})}


@pytest.mark.parametrize(
    "content",
    [
        framed([]),
        framed({}),
        framed({"__metadata__": {"format": "pt"}}),
        framed({"__metadata__": {"theanets": 3}}),
        framed({"__metadata__": {"theanets": "[]"}}),
        framed({"__metadata__": {"theanets": "{"}}),
        framed({"__metadata__": {"theanets": json.dumps({"version": None})}}),
        framed({"__metadata__": OURS, "a": 3}),
        framed({"__metadata__": OURS, "a": {"data_offsets": [0, "x"]}}),
        framed({"__metadata__": OURS, "a": {"data_offsets": [0]}}),
        framed(
            {"__metadata__": OURS, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, -4]}}
        ),
        framed(
            {
                "__metadata__": OURS,
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**30]},
            },
            b"1234",
        ),
        framed(
            {"__metadata__": OURS, "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}},
            b"1234",
        ),
        framed(b"[" * 100_000),
        struct.pack("<Q", 2**63) + b"{}",
        framed({"__metadata__": OURS}),
        b"PK\x03\x04 some archive",
    ],
)
def test_foreign_files(tmp_path, content):
    refused(content, tmp_path)


def test_foreign_safetensors(tmp_path):
    content = safetensors.numpy.save({"weight": np.zeros((2, 2), "f4")}, metadata={"format": "pt"})
    refused(content, tmp_path, "not a file of theanets")


class Bomb:
    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_executed(tmp_path, protocol):
    for content in (pickle.dumps(Bomb(), protocol), pickle.dumps([Bomb()] * 99, protocol)):
        refused(content, tmp_path)
        refused(struct.pack("<Q", len(content)) + content, tmp_path)
    assert not Bomb.exploded
    pickle.loads(content)
    assert Bomb.exploded
    Bomb.exploded = False


def test_later_version(tmp_path, saved):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    checkpoint.write(tmp_path / "net", arrays, {**header, "version": 99})
    with pytest.raises(FileError, match=r"later version.*format 99.*up to 1"):
        theanets.Network.load(tmp_path / "net")


@pytest.mark.parametrize("key", ["spec", "model", "layers", "losses", "seed"])
def test_incomplete_description(tmp_path, saved, key):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    (header if key == "spec" else header["spec"]).pop(key)
    checkpoint.write(tmp_path / "net", arrays, header)
    with pytest.raises(FileError, match="description of the network lacks"):
        theanets.Network.load(tmp_path / "net")


# ---- training goes on --------------------------------------------------------------------


# Many graphs are compiled here, each for a few calls.
QUICK = Mode(linker="py", optimizer=None)


def go_on(net, tmp_path, train, **kwargs):
    """Train, save and load; the original and the loaded train on in the same way."""
    kwargs = {"epochs": 2, "mode": QUICK, **kwargs}
    net.train(train, **kwargs)
    assert net.history.stop_reason == "epochs"
    net.save(tmp_path / "net")
    loaded = type(net).load(tmp_path / "net")
    same(net, loaded)
    # The seed of the run, since a loaded network begins to count anew.
    result = loaded.train(train, rng=7, **kwargs)
    assert np.isfinite(result[1]["loss"])
    assert net.train(train, rng=7, **kwargs) == result
    same(net, loaded)


def shares(n=20):
    """Targets that suit most losses: positive, of sum 1."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 4)), rng.dirichlet([1, 1, 1], size=n)]


def network_for(form):
    """Get a network with a loss, and data for it."""
    kind = Loss.registry[form]
    rng = np.random.default_rng(0)
    inputs = dict(size=4, name="in")
    if issubclass(kind, Structured) or form == "ctc":
        layers = [dict(shape=(None, 4)), dict(form="softmax" if form == "ctc" else "crf", size=3)]
        x, y = rng.normal(size=(8, 5, 4)), rng.integers(0, 3, size=(8, 5))
        return theanets.Classifier(layers, loss=form), [x, 1 + y[:, :2] % 2 if form == "ctc" else y]
    if issubclass(kind, LocationScale):
        _, spread = kind().output_names
        layers = [
            inputs,
            dict(size=2, name=kind().output_name.removesuffix(":out"), activation="linear"),
            dict(size=2, name=spread.removesuffix(":out"), inputs="in", activation="softplus"),
        ]
        return theanets.Regressor(layers, loss=form), data()
    if form == "mixture_density":
        sizes = {"weights": (3, "softmax"), "means": (6, "linear"), "scales": (3, "softplus")}
        layers = [
            dict(size=size, name=name, inputs="in", activation=activation)
            for name, (size, activation) in sizes.items()
        ]
        return theanets.Regressor([inputs, *layers], loss=form), data()
    if kind.labels or form == "l_softmax":
        y = rng.integers(0, 3, size=20)
        return theanets.Classifier([4, (5, "tanh"), 3], loss=form), [shares()[0], y]
    return theanets.Regressor([4, (5, "tanh"), (3, "softmax")], loss=form), shares()


def canonical(registry):
    """Get one name of each thing that the package registers."""
    names = {}
    for name in registry.names():
        if registry[name].__module__.startswith("theanets."):
            names.setdefault(registry[name], registry.name_of(registry[name]) or name)
    return sorted(names.values())


@pytest.mark.parametrize("form", canonical(Loss.registry))
def test_every_loss(tmp_path, form):
    net, train = network_for(form)
    go_on(net, tmp_path, train, algo="sgd", learning_rate=1e-3)


@pytest.mark.parametrize("name", canonical(activations.Activation.registry))
def test_every_activation(tmp_path, name):
    name = {"maxout": "maxout:2"}.get(name, name)
    net = theanets.Regressor([4, (6, name), 2])
    go_on(net, tmp_path, data(), algo="sgd", learning_rate=1e-3)


@pytest.mark.parametrize("algo", canonical(optimizers.Optimizer.registry))
def test_every_optimizer(tmp_path, algo):
    kwargs = {} if algo == "l-bfgs" else {"hidden_dropout": 0.2}
    go_on(regressor(), tmp_path, data(), algo=algo, **kwargs)


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


# ---- saving while training ------------------------------------------------------------------


class Remember(theanets.Callback):
    """Keeps the parameters of each epoch, and what the file then held.

    Callbacks of the user come before the one that saves.
    """

    def __init__(self, path):
        self.path, self.files, self.params = path, [], []

    def epoch(self, run):
        self.params.append(values(run.network))
        self.files.append(theanets.Network.load(self.path) if self.path.exists() else None)


@pytest.mark.parametrize(("every", "saved_at"), [(None, []), (0, []), (2, [2, 4]), (3, [3])])
def test_save_every(tmp_path, every, saved_at):
    path, net = tmp_path / "net", regressor()
    remember = Remember(path)
    net.train(
        data(),
        save_progress=path,
        save_every=every,
        callbacks=remember,
        epochs=5,
        algo="sgd",
        learning_rate=0.1,
    )
    for epoch in range(1, 6):
        past = [k for k in saved_at if k < epoch]
        file = remember.files[epoch - 1]
        assert (file is None) == (not past)
        if past:
            for name, value in values(file).items():
                np.testing.assert_array_equal(value, remember.params[past[-1] - 1][name])
    same(theanets.Network.load(path), net)


def test_save_every_so_many_minutes(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("theanets.callbacks.upkeep.time.perf_counter", lambda: clock[0])
    path, net = tmp_path / "net", regressor()
    remember = Remember(path)

    def wait(run):
        clock[0] += 40

    kwargs = dict(save_progress=path, callbacks=[wait, remember], epochs=5, algo="sgd")
    net.train(data(), save_every=1.0, **kwargs)
    # Saved after 80 and 160 seconds.
    assert [f is not None for f in remember.files] == [False, False, True, True, True]
    path.unlink()
    remember.files.clear()
    net.train(data(), save_every=0.0, **kwargs)
    assert remember.files == [None] * 5


def test_what_is_saved_at_the_end_is_the_best(tmp_path):
    net = regressor()
    worse = lambda run: net.find("out.b").set_value(np.full(2, 9, "float32"))  # noqa: E731
    net.train(
        data(), save_progress=tmp_path / "net", save_every=1, callbacks=worse, epochs=3, algo="sgd"
    )
    same(theanets.Network.load(tmp_path / "net"), net)


def test_a_file_object_is_rewound(tmp_path):
    net = regressor()
    with open(tmp_path / "net", "w+b") as handle:
        handle.write(b"x" * 100_000)
        net.train(data(), save_progress=handle, save_every=1, epochs=3, algo="sgd")
        with open(tmp_path / "net", "rb") as other:
            same(theanets.Network.load(other), net)
            assert other.read() == b""


def test_a_place_that_cannot_be_written_to_is_known_at_once(tmp_path):
    net, seen = regressor(), []
    with pytest.raises(OSError, match=str(tmp_path / "no" / "net")):
        net.train(data(), save_progress=tmp_path / "no" / "net", callbacks=seen.append)
    assert seen == []
    # What was there is not touched.
    old = tmp_path / "old"
    old.write_bytes(b"old")
    stop = lambda run: old.read_bytes() == b"old" and run.stop("untouched")  # noqa: E731
    net.train(data(), save_progress=old, callbacks=stop, algo="sgd")
    assert net.history.stop_reason == "untouched"
