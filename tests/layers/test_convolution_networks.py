"""Networks with convolution and pooling: gradients, files, training, models, linkers."""

import io

import numpy as np
import pytensor
import pytest
from window_cases import regressor

import theanets
from theanets import convolution

NETWORKS = {
    "conv2": ((7, 6, 2), dict(form="conv2", size=3, filter_size=(3, 2), stride=(2, 1))),
    "conv2 same": ((7, 6, 1), dict(form="conv2", size=3, filter_size=3, border_mode="same")),
    "conv1": ((9, 2), dict(form="conv1", size=3, filter_size=3, dilation=2)),
    "conv2_transposed": ((3, 4, 2), dict(form="conv2_transposed", size=3, filter_size=3, stride=2)),
    "conv1_transposed": ((5, 2), dict(form="deconv1", size=3, filter_size=3)),
    "pool2": ((6, 6, 2), dict(form="pool2", pool_size=3, stride=2)),
    "pool2 mean": ((6, 6, 2), dict(form="pool2", mode="mean", padding="same", pool_size=4)),
    "pool1": ((6, 2), "pool1"),
    "global": ((6, 6, 2), dict(form="pool2", pool_size="global")),
    "upsample2": ((3, 2, 2), dict(form="upsample2", factor=(1, 3))),
    "upsample1": ((3, 2), "upsample1"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_files_and_training(name, rng):
    """The gradient through a layer is that of finite differences; it is saved and trained on."""
    shape, layer = NETWORKS[name]
    # In front, so that the gradient flows through the layer.
    net = regressor(
        shape, (shape[-1], "ff", "tanh"), layer, *([] if name == "global" else ["flat"]), 2
    )
    x, y = rng.normal(size=(4, *shape)), rng.normal(size=(4, 2))
    loss = net.loss()
    value = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
    _, *gradients = value(x, y)
    for param, gradient in zip(net.params, gradients):
        before = param.get_value()
        d = rng.normal(size=before.shape)
        param.set_value(before + 1e-6 * d)
        ahead = value(x, y)[0]
        param.set_value(before - 1e-6 * d)
        slope = (ahead - value(x, y)[0]) / 2e-6
        param.set_value(before)
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-6, atol=1e-8)
    before = net.evaluate([x, y])["loss"]
    net.train([x, y], epochs=2, learning_rate=0.01)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.Regressor.load(file)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.train([x, y], epochs=2, learning_rate=0.01)
    assert again.evaluate([x, y])["loss"] < net.evaluate([x, y])["loss"] < before


def test_models(rng):
    net = convolution.Regressor([1, dict(form="conv2", size=2, filter_size=3)])
    assert net.layers[0].output_shape == (None, None, 1)
    assert [v.ndim for v in net.variables] == [4, 4]
    for width in (5, 8):
        x = rng.normal(size=(3, width, 6, 1))
        assert net.predict(x).shape == (3, width - 2, 4, 2)
    net.train([x, rng.normal(size=(3, 6, 4, 2))], epochs=1)

    small = dict(form="conv2", size=2, filter_size=3, name="code")
    large = dict(form="conv2_transposed", size=1, filter_size=3, name="out")
    net = convolution.Autoencoder([(6, 6, 1), small, large])
    x = rng.normal(size=(4, 6, 6, 1))
    net.train([x], epochs=1)
    assert net.encode(x, "code").shape == (4, 4, 4, 2)
    np.testing.assert_allclose(net.decode(net.encode(x, "code"), "code"), net.predict(x), rtol=1e-5)

    # A class for each pixel.
    net = convolution.Classifier([(6, 6, 1), dict(form="conv2", size=3, filter_size=3)])
    y = rng.integers(0, 3, size=(4, 4, 4))
    net.train([x, y], epochs=1)
    assert net.predict(x).shape == y.shape
    np.testing.assert_allclose(net.predict_proba(x).sum(axis=-1), 1, rtol=1e-5)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = convolution.Classifier.load(file)
    assert type(again) is convolution.Classifier
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_learns_digits():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:600]
    x, y = (digits.images[order] / 16)[..., None], digits.target[order]
    net = convolution.Classifier(
        [(8, 8, 1), dict(form="conv2", size=16, filter_size=3), "pool2", "flat", 10]
    )
    net.train([x[:400], y[:400]], epochs=8, learning_rate=0.01)
    assert net.score(x[400:], y[400:]) > 0.85


@pytest.mark.linker
def test_linkers_agree(rng):
    layers = [
        (9, 8, 1),
        dict(form="conv2", size=3, filter_size=3, border_mode="same"),
        "pool2",
        dict(form="conv2", size=4, filter_size=2, stride=2),
        dict(form="pool2", mode="mean", pool_size="global"),
        2,
    ]
    x, y = rng.normal(size=(6, 9, 8, 1)), rng.integers(0, 2, 6).astype("int32")
    net = convolution.Classifier(layers, dtype="float64")
    loss = net.loss()
    results = [loss, *pytensor.grad(loss, net.params)]
    # One function: compiling takes its time.
    found = [
        pytensor.function(net.variables, results, mode=mode)(x, y)
        for mode in ("FAST_COMPILE", "NUMBA")
    ]
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
