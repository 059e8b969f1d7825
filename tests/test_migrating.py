"""Weights of other libraries, by the recipes of the documentation, give the same outputs."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from code_of_pages import blocks

import theanets
from theanets import convolution, recurrent

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "migrating.md"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """The functions of the page, in float64."""
    namespace = {"__name__": "page"}
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        for code in blocks(PAGE):
            exec(compile(code, str(PAGE), "exec"), namespace)
    return namespace


@pytest.fixture
def layer(recipes, rng):
    """Make a network of one layer with the arrays of a recipe, and compute its output."""

    def make(model, shape, spec, recipe, *arrays):
        spec = {"name": "out", "activation": "linear", **spec}
        if spec["form"] in ("lstm", "gru", "rnn"):
            spec.update(name="cell", activation="tanh")
        net = model([shape, spec], loss=None, dtype="float64")
        recipes["put"](net, spec["name"], recipes[recipe](*arrays))
        return lambda x: net.feed_forward(x)[f"{spec['name']}:out"]

    return make


# ---- PyTorch ------------------------------------------------------------------------------


class Torch:
    """A module of PyTorch with parameters that are neither zero nor equal."""

    def __init__(self, make):
        self.torch = pytest.importorskip("torch")
        self.module = make(self.torch.nn).double().eval()
        numbers = np.random.default_rng(1)
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                low = 0.1 if "var" in name else -1
                value.copy_(self.torch.tensor(numbers.uniform(low, 1, tuple(value.shape))))

    def arrays(self, *names):
        state = self.module.state_dict()
        return [state[name].numpy() for name in names or ("weight", "bias")]

    def __call__(self, x):
        with self.torch.no_grad():
            found = self.module(self.torch.tensor(x))
        return (found[0] if isinstance(found, tuple) else found).numpy()


def first_last(x):
    return np.moveaxis(x, 1, -1)


def last_first(x):
    return np.moveaxis(x, -1, 1)


def test_linear_of_torch(layer, rng):
    theirs = Torch(lambda nn: nn.Linear(4, 3))
    ours = layer(
        theanets.Regressor, 4, dict(form="ff", size=3), "linear_from_torch", *theirs.arrays()
    )
    x = rng.normal(size=(5, 4))
    np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)


@pytest.mark.parametrize("stride, padding, dilation", [(1, 0, 1), ((2, 1), (1, 2), (1, 2))])
def test_conv2_of_torch(stride, padding, dilation, layer, rng):
    theirs = Torch(
        lambda nn: nn.Conv2d(2, 3, (3, 2), stride=stride, padding=padding, dilation=dilation)
    )
    spec = dict(form="conv2", size=3, filter_size=(3, 2), stride=stride, dilation=dilation)
    spec["border_mode"] = padding
    arrays = theirs.arrays()
    ours = layer(convolution.Regressor, (9, 8, 2), spec, "conv2_from_torch", *arrays)
    x = rng.normal(size=(4, 9, 8, 2))
    np.testing.assert_allclose(ours(x), first_last(theirs(last_first(x))), **CLOSE)


def test_conv1_of_torch(layer, rng):
    theirs = Torch(lambda nn: nn.Conv1d(2, 3, 4, stride=2, padding=1))
    spec = dict(form="conv1", size=3, filter_size=4, stride=2, border_mode=1)
    ours = layer(recurrent.Regressor, (None, 2), spec, "conv1_from_torch", *theirs.arrays())
    x = rng.normal(size=(4, 9, 2))
    np.testing.assert_allclose(ours(x), first_last(theirs(last_first(x))), **CLOSE)


def test_transposed_convolution_of_torch(layer, rng):
    theirs = Torch(lambda nn: nn.ConvTranspose2d(2, 3, (3, 2), stride=2, padding=(1, 0)))
    spec = dict(form="conv2_transposed", size=3, filter_size=(3, 2), stride=2, border_mode=(1, 0))
    arrays = theirs.arrays()
    ours = layer(convolution.Regressor, (5, 4, 2), spec, "conv2_transposed_from_torch", *arrays)
    x = rng.normal(size=(4, 5, 4, 2))
    np.testing.assert_allclose(ours(x), first_last(theirs(last_first(x))), **CLOSE)


def test_batch_norm_of_torch(layer, rng):
    theirs = Torch(lambda nn: nn.BatchNorm2d(3))
    arrays = theirs.arrays("weight", "bias", "running_mean", "running_var")
    form = dict(form="batch_norm")
    ours = layer(convolution.Regressor, (4, 5, 3), form, "batch_norm_from_torch", *arrays)
    x = rng.normal(size=(6, 4, 5, 3))
    np.testing.assert_allclose(ours(x), first_last(theirs(last_first(x))), **CLOSE)


def test_momentum_of_torch(rng):
    """What stays of the running statistics is what their momentum lets come in."""
    theirs = Torch(lambda nn: nn.BatchNorm1d(3, momentum=0.3))
    theirs.module.train()
    form = dict(form="batch_norm", momentum=0.7, name="norm")
    net = theanets.Regressor([3, form, 3], dtype="float64")
    before = theirs.arrays("running_mean", "running_var")
    for name, value in zip(("mean", "variance"), before, strict=True):
        net.find("norm", name).set_value(value.copy())
    x = rng.normal(size=(8, 3))
    theirs(x)
    # One batch with all examples; the parameters hardly move.
    net.train([x, x], [x, x], algo="sgd", learning_rate=1e-12, batch_size=8, epochs=1)
    found = [net.find("norm", name).get_value() for name in ("mean", "variance")]
    np.testing.assert_allclose(found, theirs.arrays("running_mean", "running_var"), **CLOSE)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_of_torch(kind, layer, rng):
    theirs = Torch(lambda nn: getattr(nn, kind)(3, 4, batch_first=True))
    names = [f"{what}_{to}_l0" for what in ("weight", "bias") for to in ("ih", "hh")]
    spec = {"LSTM": {"peepholes": False}, "GRU": {"reset_after": True}}.get(kind, {})
    spec.update(form=kind.lower(), size=4)
    recipe = "gru_from_torch" if kind == "GRU" else "rnn_from_torch"
    ours = layer(recurrent.Regressor, 3, spec, recipe, *theirs.arrays(*names))
    x = rng.normal(size=(2, 6, 3))
    np.testing.assert_allclose(ours(x), theirs(x), **CLOSE)


def test_a_convolutional_network_of_torch(recipes, rng):
    """Pooling, and a linear layer after the image was made flat."""
    theirs = Torch(
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10)
        )
    )
    layers = [(8, 10, 1), dict(form="conv2", size=8, filter_size=3, name="conv"), "pool2"]
    net = convolution.Classifier([*layers, "flat", 10], dtype="float64")
    put = recipes["put"]
    put(net, "conv", recipes["conv2_from_torch"](*theirs.arrays("0.weight", "0.bias")))
    arrays = theirs.arrays("4.weight", "4.bias")
    put(net, "out", recipes["flat_linear_from_torch"](*arrays, 8, 3, 4))
    x = rng.normal(size=(5, 8, 10, 1))
    np.testing.assert_allclose(net.predict_logit(x), theirs(last_first(x)), **CLOSE)


# ---- Keras, from its definitions ------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_conv(x, kernel, bias, stride=1, same=False):
    """Sum x[i * stride + a] * kernel[a] over a; for 'same', so that there are ceil(n / stride)."""
    sizes = kernel.shape[:-2]
    if same:
        pads = []
        for n, k in zip(x.shape[1:-1], sizes, strict=True):
            total = max((-(-n // stride) - 1) * stride + k - n, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    counts = [(n - k) // stride + 1 for n, k in zip(x.shape[1:-1], sizes, strict=True)]
    y = np.zeros((len(x), *counts, kernel.shape[-1])) + bias
    for i in np.ndindex(*counts):
        for a in np.ndindex(*sizes):
            place = tuple(p * stride + q for p, q in zip(i, a, strict=True))
            y[(slice(None), *i)] += x[(slice(None), *place)] @ kernel[a]
    return y


@pytest.mark.parametrize("stride, same", [(1, False), (1, True), (2, True)])
def test_convolutions_of_keras(stride, same, layer, rng):
    for size, shape, form, model in (
        ((3, 2), (7, 8, 2), "conv2", convolution.Regressor),
        ((4,), (9, 2), "conv1", recurrent.Regressor),
    ):
        kernel, bias = rng.normal(size=(*size, 2, 3)), rng.normal(size=3)
        spec = dict(form=form, size=3, filter_size=size, stride=stride)
        spec["border_mode"] = "same" if same else "valid"
        ours = layer(model, shape, spec, f"{form}_from_keras", kernel, bias)
        x = rng.normal(size=(4, *shape))
        np.testing.assert_allclose(ours(x), keras_conv(x, kernel, bias, stride, same), **CLOSE)


def test_transposed_convolution_of_keras(layer, rng):
    """Each entry adds the kernel (width, height, out, in) times itself."""
    kernel, bias = rng.normal(size=(3, 2, 4, 2)), rng.normal(size=4)
    x = rng.normal(size=(2, 3, 3, 2))
    expected = np.zeros((2, 7, 6, 4)) + bias
    for i, j in np.ndindex(3, 3):
        for a, c in np.ndindex(3, 2):
            expected[:, 2 * i + a, 2 * j + c] += x[:, i, j] @ kernel[a, c].T
    spec = dict(form="conv2_transposed", size=4, filter_size=(3, 2), stride=2)
    recipe = "conv2_transposed_from_keras"
    ours = layer(convolution.Regressor, (3, 3, 2), spec, recipe, kernel, bias)
    np.testing.assert_allclose(ours(x), expected, **CLOSE)


def test_dense_and_batch_norm_of_keras(layer, rng):
    x, kernel, bias = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    spec = dict(form="ff", size=3)
    ours = layer(theanets.Regressor, 4, spec, "dense_from_keras", kernel, bias)
    np.testing.assert_allclose(ours(x), x @ kernel + bias, **CLOSE)
    gamma, beta, mean, variance = rng.uniform(0.1, 1, size=(4, 4))
    spec = dict(form="batch_norm", epsilon=1e-3)
    arrays = gamma, beta, mean, variance
    ours = layer(theanets.Regressor, 4, spec, "batch_norm_from_keras", *arrays)
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(ours(x), expected, **CLOSE)


def keras_rnn(x, kernel, recurrent_kernel, bias):
    h, steps = np.zeros((len(x), 4)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ kernel + bias + h @ recurrent_kernel)
        steps.append(h)
    return np.stack(steps, axis=1)


def keras_lstm(x, kernel, recurrent_kernel, bias):
    """Gates i, f, c, o."""
    h = c = np.zeros((len(x), 4))
    steps = []
    for t in range(x.shape[1]):
        parts = np.split(x[:, t] @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        c = sigmoid(parts[1]) * c + sigmoid(parts[0]) * np.tanh(parts[2])
        h = sigmoid(parts[3]) * np.tanh(c)
        steps.append(h)
    return np.stack(steps, axis=1)


def keras_gru(x, kernel, recurrent_kernel, bias):
    """Gates z, r, h with reset_after, where z is what stays."""
    h, steps = np.zeros((len(x), 4)), []
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
        steps.append(h)
    return np.stack(steps, axis=1)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_recurrent_layers_of_keras(kind, layer, rng):
    parts = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    kernel, recurrent_kernel = rng.normal(size=(3, 4 * parts)), rng.normal(size=(4, 4 * parts))
    bias = rng.normal(size=(2, 12) if kind == "gru" else 4 * parts)
    spec = {"lstm": {"peepholes": False}, "gru": {"reset_after": True}}.get(kind, {})
    spec.update(form=kind, size=4)
    recipe = "gru_from_keras" if kind == "gru" else "rnn_from_keras"
    ours = layer(recurrent.Regressor, 3, spec, recipe, kernel, recurrent_kernel, bias)
    x = rng.normal(size=(2, 6, 3))
    twin = {"rnn": keras_rnn, "lstm": keras_lstm, "gru": keras_gru}[kind]
    np.testing.assert_allclose(ours(x), twin(x, kernel, recurrent_kernel, bias), **CLOSE)
