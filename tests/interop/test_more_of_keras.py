"""Layers of Keras: attention, convolutions of each channel, activations with numbers."""

import numpy as np
import pytest

import theanets

keras = pytest.importorskip("keras")
layers = keras.layers

# What Keras does to its own arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def check(model, *shapes):
    """Compare a model, whose weights are none of those it starts with, with its network."""
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) * 0.6 for w in model.get_weights()])
    net = theanets.from_keras(model, mode="FAST_COMPILE")
    x = [rng.normal(size=(3, *shape)).astype("f") for shape in shapes]
    x = x if len(x) > 1 else x[0]
    expected = np.asarray(keras.ops.convert_to_numpy(model(x)))
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-5)
    return net


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: layers.DepthwiseConv2D((3, 2), depth_multiplier=2, activation="relu"), (6, 5, 3)),
        (lambda: layers.DepthwiseConv1D(3, padding="same", use_bias=False), (7, 3)),
        (lambda: layers.SeparableConv2D(4, (3, 2), strides=2), (6, 5, 3)),
        (lambda: layers.SeparableConv2D(4, 3, depth_multiplier=2, padding="same"), (6, 5, 3)),
        (lambda: layers.SeparableConv1D(4, 3, activation="tanh"), (7, 3)),
        (lambda: layers.UpSampling2D((2, 3), interpolation="bilinear"), (3, 2, 2)),
        (lambda: layers.LeakyReLU(), (9,)),
        (lambda: layers.ReLU(negative_slope=0.2), (9,)),
        (lambda: layers.ReLU(max_value=0.5), (9,)),
        (lambda: layers.ELU(0.3), (9,)),
        (lambda: layers.Dense(9, "leaky_relu"), (9,)),
        (lambda: layers.Dense(9, "relu6"), (9,)),
    ],
)
def test_layers(make, shape):
    check(keras.Sequential([keras.Input(shape), make()]), shape)


def attended(*shapes, call, **options):
    inputs = [keras.Input(shape) for shape in shapes]
    layer = layers.MultiHeadAttention(**{"num_heads": 2, "key_dim": 3, **options})
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], call(layer, *inputs))


def test_attention():
    check(attended((5, 6), call=lambda a, x: a(x, x)), (5, 6))
    model = attended((5, 6), use_bias=False, call=lambda a, x: a(x, x, use_causal_mask=True))
    net = check(model, (5, 6))
    assert net.layers[-1].causal and not net.layers[-1].bias
    other = attended((5, 6), (7, 4), call=lambda a, x, y: a(query=x, key=y, value=y), dropout=0.1)
    assert check(other, (5, 6), (7, 4)).layers[-1].dropout == 0.1


REFUSED = {
    "key_dim=2, value_dim=2 with outputs of 6": dict(call=lambda a, x, y: a(x, y), key_dim=2),
    "value_dim=2": dict(call=lambda a, x, y: a(x, y), value_dim=2),
    "of one series both have": dict(call=lambda a, x, y: a(x, y, x)),
    "has inputs by keyword": dict(call=lambda a, x, y: a(x, x, attention_mask=y)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_attention_that_is_refused(message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.from_keras(attended((5, 6), (5, 6), **REFUSED[message]))


def test_calls_that_are_refused():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dropout(0.5, name="drop")(x, training=True))
    with pytest.raises(theanets.ConfigurationError, match=r"'drop' .* called with training=True"):
        theanets.from_keras(model)
    with pytest.raises(theanets.ConfigurationError, match=r"\(GetItem\): an operation has no"):
        theanets.from_keras(keras.Model(x, layers.Dense(2)(x[:, :2])))
