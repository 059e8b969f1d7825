"""``predict(x, training=True)``: layers as they are in training, and nothing is changed by it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, DataError

MODE = "FAST_COMPILE"
PACKAGES = {"JAX": "jax", "PYTORCH": "torch"}
ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("cases", ROOT / "docs" / "make_linker_table.py")
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)
LAYERS = {name: rest for name, *rest in cases.layers()}
for *_, options, _ in LAYERS.values():
    options.pop("train", None)
#: What differs in training.
RANDOM = ("dropout", "noise")


def made(kind, layers, **kwargs):
    return kind(layers, rng=1, mode=MODE, **kwargs)


def everything(net):
    return [v.get_value() for v in [*net.params, *net.state]]


@pytest.fixture
def x(rng):
    return rng.normal(size=(9, 6)).astype("float32")


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name):
    kind, layers, options, (x, *_) = LAYERS[name]
    net, rows = made(kind, layers, **options), x.shape[0]
    inputs = LAYERS[name][3][:2] if name == "lengths" else x
    before, clean = everything(net), net.predict(inputs)
    found = net.predict(inputs, training=True, rng=2)
    assert len(found) == rows
    np.testing.assert_array_equal(found, net.predict(inputs, training=True, rng=2))
    assert (found == clean).all() == (name not in (*RANDOM, "batch_norm"))
    assert (net.predict(inputs, training=True, rng=3) == found).all() == (name not in RANDOM)
    np.testing.assert_array_equal(net.predict(inputs), clean)
    for old, new in zip(before, everything(net), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("per_series", [False, True])
def test_dropout(per_series):
    drop = dict(form="dropout", rate=0.25, per_series=per_series)
    net = made(recurrent.Regressor, [3, drop, 2])
    x = np.ones((400, 4, 3), "float32")
    found = net.feed_forward(x, training=True, rng=0)["hid1:out"]
    assert set(np.unique(found)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (found == found[:, :1]).all() == per_series
    # Without a seed, each call goes on.
    again = [net.feed_forward(x, training=True)["hid1:out"] for _ in range(2)]
    assert (again[0] != again[1]).any()
    # The mean of many is what there is without.
    assert (net.feed_forward(x)["hid1:out"] == 1).all()
    assert found.mean() == pytest.approx(1, abs=0.05)


def test_noise(x):
    net = made(theanets.Regressor, [6, dict(form="noise", std=0.5), 2])
    found = net.feed_forward(np.repeat(x, 200, 0), training=True)["hid1:out"]
    noise = found - np.repeat(x, 200, 0)
    assert noise.std() == pytest.approx(0.5, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.02)


def test_with_noise_of_the_call(x):
    net = made(theanets.Regressor, [6, dict(form="dropout", rate=0.5), (4, "linear"), 2])
    found = net.feed_forward(x, training=True, input_noise=0.1, rng=1)
    assert (found["in:out"] != x).all()
    assert (found["hid1:out"] == 0).mean() == pytest.approx(0.5, abs=0.2)
    clean = net.feed_forward(x, input_noise=0.1, rng=1)
    np.testing.assert_array_equal(clean["in:out"], found["in:out"])
    assert (clean["hid1:out"] != 0).all()


def twin(x, epsilon=1e-5):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon)


def test_batch_norm_is_by_the_rows_computed_at_once(x):
    net = made(theanets.Regressor, [6, "batch_norm", 2])
    name = "hid1:out"
    before = everything(net)
    assert np.abs(net.feed_forward(x)[name] - x).max() < 1e-4
    np.testing.assert_allclose(
        net.feed_forward(x, training=True)[name], twin(x), rtol=1e-4, atol=1e-5
    )
    # Of 9 rows, 4 and 5: one row more has no variance of its own.
    found = net.feed_forward(x, training=True, batch_size=4)[name]
    np.testing.assert_allclose(found[:4], twin(x[:4]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[4:], twin(x[4:]), rtol=1e-4, atol=1e-5)
    for old, new in zip(before, everything(net), strict=True):
        np.testing.assert_array_equal(old, new)
    assert net.predict(x[:0], training=True).shape == (0, 2)
    with pytest.raises(DataError, match="at least 2"):
        net.predict(x[:1], training=True)
    with pytest.raises(DataError, match="batches of 1 row"):
        net.predict(x, training=True, batch_size=1)
    assert net.predict(x[:1]).shape == (1, 2)


def test_zoneout():
    rng = np.random.default_rng(0)
    net = made(
        recurrent.Regressor, [3, dict(form="rnn", size=5, activation="tanh", zoneout=0.4), 2]
    )
    x = rng.normal(size=(300, 6, 3))
    hid = net.feed_forward(x, training=True, rng=0)["hid1:out"]
    kept = hid[:, 1:] == hid[:, :-1]
    assert kept.mean() == pytest.approx(0.4, abs=0.03)
    assert not (net.feed_forward(x)["hid1:out"][:, 1:] == hid[:, :-1]).any()


def test_stateful_layers_start_from_zeros():
    rng = np.random.default_rng(0)
    net = made(recurrent.Regressor, [3, dict(form="gru", size=4, stateful=True), 2])
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    net.train([x, x[..., :2]], algo="sgd", epochs=1, batch_size=4)
    carried = net.layers[1].carried["h"]
    carried.set_value(np.ones((4, 4), "float32"))
    for _ in range(2):
        np.testing.assert_array_equal(net.predict(x, training=True), net.predict(x))
    assert (carried.get_value() == 1).all()


def test_series_of_different_lengths_are_computed_at_once():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(n, 3)).astype("float32") for n in (2, 5, 3)]
    net = made(recurrent.Regressor, [3, "batch_norm", (4, "rnn"), 2])
    found = net.feed_forward(x, training=True)["hid1:out"]
    expected = twin(np.concatenate(x))
    exists = np.arange(5) < np.array([2, 5, 3])[:, None]
    np.testing.assert_allclose(found[exists], expected, rtol=1e-3, atol=1e-5)
    assert (found[~exists] == 0).all()
    assert (net.predict(x, training=True)[~exists] == 0).all()


def test_all_that_computes_takes_it(x):
    net = made(theanets.Classifier, [6, dict(form="dropout", rate=0.5), (4, "tanh"), 2])
    for method in (net.predict_proba, net.predict_logit, net.predict):
        found = [method(x, training=True, rng=seed) for seed in range(20)]
        assert len({one.tobytes() for one in found}) > 1
        np.testing.assert_array_equal(found[3], method(x, training=True, rng=3))
    coder = made(theanets.Autoencoder, [6, dict(form="dropout", rate=0.5), 4, 6])
    one, two = (coder.encode(x, training=t, rng=1) for t in (True, False))
    assert (one != two).any()
    with pytest.raises(ConfigurationError, match="training='yes'"):
        net.predict(x, training="yes")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "CVM", "JAX", "PYTORCH"])
def test_linkers_draw_the_same(x, mode):
    if mode in PACKAGES:
        pytest.importorskip(PACKAGES[mode])
    layers = [6, dict(form="dropout", rate=0.3), (4, "tanh"), dict(form="noise", std=0.2), 2]
    one, other = (theanets.Regressor(layers, rng=1, mode=m) for m in (MODE, mode))
    np.testing.assert_allclose(
        *(net.predict(x, training=True, rng=5) for net in (one, other)), rtol=1e-5, atol=1e-6
    )
