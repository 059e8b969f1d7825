"""Training that goes on from a file, and files that are written while training."""

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from saving_cases import data, regressor, same, values

import theanets
from theanets import activations, optimizers
from theanets.losses import Loss
from theanets.losses.likelihood import LocationScale
from theanets.losses.structured import Structured

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
