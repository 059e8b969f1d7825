"""Normalization with its running statistics, layers of noise, embeddings."""

import io

import numpy as np
import pytensor
import pytest

import theanets
from theanets.errors import ConfigurationError, DataError


def regressor(*layers, **kwargs):
    return theanets.Regressor(list(layers), dtype="float64", **{"rng": 13, **kwargs})


def loaded(net):
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    return type(net).load(file)


def in_training(net, x):
    """Get the outputs of the training graph, and update what it updates."""
    outputs = net.outputs(training=True)
    compiled = pytensor.function(net.inputs, outputs["out:out"], updates=outputs.updates)
    return compiled(x)


def check_gradient(net, *data):
    loss = net.loss(training=True)
    compiled = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
    _, *gradients = compiled(*data)
    rng = np.random.default_rng(1)
    for param, gradient in zip(net.params, gradients):
        value, d = param.get_value(), rng.normal(size=gradient.shape)
        found = []
        for sign in (1, -1):
            param.set_value(value + sign * 1e-6 * d)
            found.append(compiled(*data)[0])
        param.set_value(value)
        slope = (found[0] - found[1]) / 2e-6
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
def test_batch_norm(shape, rng):
    net = regressor(shape, dict(form="batch_norm", momentum=0.8, epsilon=0.01, activation="relu"))
    layer = net.layers[1]
    scale, shift = rng.normal(size=(2, 3))
    net.find("out.scale").set_value(scale)
    net.find("out.shift").set_value(shift)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = rng.normal(2, 3, size=(6, *shape))
        rows = x.reshape(-1, 3)
        expected = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 0.01) * scale + shift
        np.testing.assert_allclose(in_training(net, x), np.maximum(expected, 0))
        mean = 0.8 * mean + 0.2 * rows.mean(0)
        variance = 0.8 * variance + 0.2 * rows.var(0, ddof=1)
        np.testing.assert_allclose(layer.find("mean").get_value(), mean)
        np.testing.assert_allclose(layer.find("variance").get_value(), variance)
        expected = (x - mean) / np.sqrt(variance + 0.01) * scale + shift
        np.testing.assert_allclose(net.predict(x), np.maximum(expected, 0))
    assert [p.name for p in net.params] == ["out.scale", "out.shift"]
    assert [p.name for p in net.state] == ["out.mean", "out.variance"]


def test_batch_norm_of_one_example(rng):
    net = regressor(3, "batch_norm")
    net.find("out.shift").set_value([1, 2, 3])
    np.testing.assert_allclose(in_training(net, rng.normal(size=(1, 3))), [[1, 2, 3]])
    assert np.isfinite(net.layers[1].find("variance").get_value()).all()


def test_running_statistics_are_saved_and_restored(rng, tmp_path):
    x, y = rng.normal(5, 2, size=(64, 3)), rng.normal(size=(64, 1))
    net = regressor(3, (4, "tanh"), "batch_norm", 1)
    net.train([x, y], epochs=3, learning_rate=0.01)
    state = [s.get_value() for s in net.state]
    assert not np.allclose(state[0], 0)
    again = loaded(net)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    # The best parameters come with the statistics that they had.
    best = net.predict(x)
    net.train([x, y], epochs=2, algo="sgd", learning_rate=1e3, rng=1)
    assert net.history.best_epoch == 0
    np.testing.assert_array_equal(net.predict(x), best)
    again.load_params(_saved(net, tmp_path))
    np.testing.assert_array_equal(again.predict(x), best)


def _saved(net, folder):
    net.save(folder / "net")
    return folder / "net"


def test_validation_uses_the_running_statistics(rng):
    x, y = rng.normal(5, 2, size=(64, 3)), rng.normal(size=(64, 1))
    net = regressor(3, "batch_norm", 1)
    _, valid = net.train([x, y], [x[:7], y[:7]], epochs=2)
    np.testing.assert_allclose(valid["loss"], np.mean((net.predict(x[:7]) - y[:7]) ** 2))


def test_a_checkpoint_holds_the_statistics(rng, tmp_path):
    x, y = rng.normal(5, 2, size=(64, 3)), rng.normal(size=(64, 1))

    def train(path, *epochs):
        for last in epochs:
            net = regressor(3, "batch_norm", (4, "tanh"), dict(form="dropout", rate=0.3), 1)
            net.train([x, y], epochs=last, checkpoint=path, patience=None)
        return net

    whole, parts = train(tmp_path / "a", 4), train(tmp_path / "b", 2, 4)
    for one, other in zip([*whole.params, *whole.state], [*parts.params, *parts.state]):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def test_lbfgs_keeps_statistics(rng):
    x, y = rng.normal(5, 2, size=(32, 3)), rng.normal(size=(32, 1))
    net = regressor(3, "batch_norm", 1)
    net.train([x, y], algo="l-bfgs", epochs=3, batch_size=32)
    assert not np.allclose(net.layers[1].find("mean").get_value(), 0)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_layer_norm(shape, rng):
    net = regressor(shape, dict(form="layer_norm", epsilon=0.1, activation="tanh"))
    scale, shift = rng.normal(size=(2, 5))
    net.find("out.scale").set_value(scale)
    net.find("out.shift").set_value(shift)
    x = rng.normal(3, 2, size=(4, *shape))
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1)
    for found in (net.predict(x), in_training(net, x)):
        np.testing.assert_allclose(found, np.tanh(normal * scale + shift))
    assert np.isfinite(net.predict(np.zeros((1, *shape)))).all()


@pytest.mark.parametrize("form", ["batch_norm", "layer_norm"])
def test_gradient(form, rng):
    net = regressor(3, (4, "tanh"), form, 2)
    check_gradient(net, rng.normal(size=(6, 3)), rng.normal(size=(6, 2)))


def test_dropout(rng):
    x = rng.normal(5, 1, size=(200, 50))
    net = regressor(50, dict(form="dropout", rate=0.3))
    np.testing.assert_array_equal(net.predict(x), x)
    found = in_training(net, x)
    dropped = found == 0
    assert dropped.mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(found[~dropped], x[~dropped] / 0.7)
    assert (in_training(regressor(50, dict(form="dropout", rate=0)), x) == x).all()


def test_noise(rng):
    x = rng.normal(size=(200, 50))
    net = regressor(50, dict(form="noise", std=0.3))
    np.testing.assert_array_equal(net.predict(x), x)
    draws = in_training(net, x) - x
    assert draws.std() == pytest.approx(0.3, rel=0.05)
    assert draws.mean() == pytest.approx(0, abs=0.02)


def test_noise_is_fresh_in_each_step_and_reproducible(rng):
    layers = (3, dict(form="noise", std=1), dict(form="noise", std=1))
    net = regressor(*layers)
    outputs = net.outputs(training=True)
    x = np.zeros((4, 3))
    compiled = pytensor.function(
        net.inputs, [outputs["hid1:out"], outputs["out:out"]], updates=outputs.updates
    )
    (first, both), (second, _) = compiled(x), compiled(x)
    assert not np.allclose(first, second)
    assert not np.allclose(first, both - first)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    nets = [regressor(3, dict(form="dropout"), (4, "tanh"), 2) for _ in range(2)]
    for net in nets:
        net.train([x, y], epochs=2)
    np.testing.assert_array_equal(nets[0].predict(x), nets[1].predict(x))


@pytest.mark.parametrize(
    "layer, message",
    [
        (dict(form="batch_norm", momentum=1), r"momentum=1 is not a number in \[0, 1\)"),
        (dict(form="batch_norm", epsilon=-1), "epsilon=-1 is not a number of at least 0"),
        (dict(form="batch_norm", size=4), r"given the shape \(4,\)"),
        (dict(form="layer_norm", epsilon=0), "epsilon=0 is not a positive number"),
        (dict(form="dropout", rate=1), r"rate=1 is not a number in \[0, 1\)"),
        (dict(form="dropout", rate="x"), "rate='x' is not a number"),
        (dict(form="noise", std=-1), "std=-1 is not a number"),
        (dict(form="embedding", size=3), "one of symbols"),
    ],
)
def test_layers_refuse(layer, message):
    with pytest.raises(ConfigurationError, match=message):
        regressor(3, layer)


# ---- embeddings ------------------------------------------------------------------


def sentences(**kwargs):
    return [
        dict(form="symbols", shape=(None,), classes=7, **kwargs),
        dict(form="embedding", size=4),
        dict(form="pool1", pool_size="global", mode="mean"),
        2,
    ]


def test_embedding(rng):
    net = regressor(*sentences())
    x, y = rng.integers(0, 7, size=(6, 5)), rng.normal(size=(6, 2))
    w = net.find("hid1.w").get_value()
    assert w.shape == (7, 4)
    found = net.feed_forward(x)
    np.testing.assert_array_equal(found["hid1:out"], w[x])
    np.testing.assert_array_equal(found["in:out"], x)
    check_gradient(net, x.astype("int32"), y)
    # Symbols that did not occur stay where they are.
    x[x == 3] = 4
    net.train([x, y], epochs=2)
    moved = (net.find("hid1.w").get_value() != w).any(axis=1)
    assert not moved[3] and moved[4]
    again = loaded(net)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.train([x, y], epochs=1)


def test_embedding_of_several_symbols(rng):
    net = regressor(dict(form="symbols", shape=(3,), classes=5), ("embedding", 2), "flat", 1)
    x = rng.integers(0, 5, size=(4, 3))
    w = net.find("hid1.w").get_value()
    np.testing.assert_array_equal(net.feed_forward(x)["hid2:out"], w[x].reshape(4, 6))


def test_symbols_are_checked(rng):
    net = regressor(*sentences())
    for wrong, message in (
        ([[0, 7]], r"7.*\[0, 7\)"),
        ([[-1, 0]], r"-1.*\[0, 7\)"),
        ([[0.5, 1]], "integers"),
        ([0, 1], "shape"),
    ):
        with pytest.raises(DataError, match=message):
            net.predict(np.array(wrong))
    for layer, message in (
        (dict(form="symbols", shape=(None,)), "classes=None is not an integer"),
        (dict(form="symbols", classes=3), "needs a size or a shape"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            regressor(layer)
    for noise, message in (
        (dict(input_noise=0.1), "no such layer"),
        (dict(noise={"in:out": 0.1}), "'in:out' holds integers"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            net.predict(rng.integers(0, 7, size=(6, 5)), **noise)


@pytest.mark.linker
def test_linkers_agree(rng):
    x, y = rng.integers(0, 7, size=(6, 5)).astype("int32"), rng.normal(size=(6, 2))
    layers = sentences()
    layers[3:3] = ["batch_norm", dict(form="layer_norm")]
    net = regressor(*layers)
    loss = net.loss(training=True)
    results = [loss, *pytensor.grad(loss, net.params)]
    # One function: compiling takes its time.
    found = [
        pytensor.function(net.variables, results, mode=mode)(x, y)
        for mode in ("FAST_COMPILE", "NUMBA")
    ]
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
