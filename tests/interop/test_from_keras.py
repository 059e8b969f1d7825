"""Networks of models of Keras: the same outputs."""

import numpy as np
import pytest

import theanets

keras = pytest.importorskip("keras")
layers = keras.layers

# What Keras does to its own arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLOSE = dict(rtol=1e-5, atol=1e-5)


def shaken(model):
    """Get a model whose weights are none of those it starts with."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if "seed" not in weight.path:
            value = rng.uniform(-0.5, 0.7, weight.shape)
            weight.assign(value + 0.8 if "variance" in weight.path else value)
    return model


def outputs(model, *arrays):
    found = model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)
    return keras.ops.convert_to_numpy(found)


def check(model, *shapes, symbols=0, **options):
    """Compare outputs; shapes are of batches."""
    shaken(model)
    net = theanets.from_keras(model, **options)
    rng = np.random.default_rng(1)
    if symbols:
        arrays = [rng.integers(symbols, size=shape) for shape in shapes]
    else:
        arrays = [rng.normal(size=shape).astype("f") for shape in shapes]
    names = [layer.name for layer in net.layers if layer.is_input]
    given = arrays[0] if len(arrays) == 1 else dict(zip(names, arrays, strict=True))
    np.testing.assert_allclose(net.predict(given), outputs(model, *arrays), **CLOSE)
    return net


def sequential(shape, *parts, **options):
    return keras.Sequential([keras.Input(shape, **options), *parts])


@pytest.mark.parametrize(
    "activation",
    [
        *("relu", "sigmoid", "tanh", "softmax", "log_softmax", "softplus", "softsign", "selu"),
        *("elu", "celu", "gelu", "silu", "mish", "hard_sigmoid", "hard_tanh", "linear"),
    ],
)
def test_dense_layers(activation):
    net = check(sequential((3,), layers.Dense(4, activation, name="first")), (6, 3))
    assert [layer.name for layer in net.layers] == ["in", "first"]


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: layers.Conv2D(3, (3, 2), strides=(2, 1), activation="relu"), (9, 8, 2)),
        (lambda: layers.Conv2D(3, 3, padding="same", use_bias=False), (9, 8, 2)),
        (lambda: layers.Conv2D(3, (4, 3), strides=2, padding="same"), (9, 8, 2)),
        (lambda: layers.Conv2D(3, 3, dilation_rate=(1, 2)), (9, 8, 2)),
        (lambda: layers.Conv2DTranspose(3, (3, 2), strides=2), (5, 4, 2)),
        (lambda: layers.Conv2DTranspose(3, 3, padding="same"), (5, 4, 2)),
        (lambda: layers.Conv1D(3, 4, strides=2, padding="same"), (9, 2)),
        (lambda: layers.Conv1D(3, 4, padding="causal", dilation_rate=2), (9, 2)),
        (lambda: layers.Conv1DTranspose(3, 4, strides=2), (5, 2)),
        (lambda: layers.MaxPooling2D((3, 2), strides=2, padding="same"), (9, 8, 2)),
        # Of an even padding: of an odd one, Keras on PyTorch averages what it pads with, too.
        (lambda: layers.AveragePooling2D(3, strides=2, padding="same"), (9, 7, 2)),
        (lambda: layers.Conv2D(4, 3, groups=2), (8, 8, 2)),
        (lambda: layers.ZeroPadding2D(((0, 1), (2, 3))), (4, 5, 2)),
        (lambda: layers.ZeroPadding1D((0, 1)), (4, 2)),
        (lambda: layers.MaxPooling1D(2), (9, 2)),
        (lambda: layers.AveragePooling1D(3), (9, 2)),
        (lambda: layers.GlobalAveragePooling2D(), (9, 8, 2)),
        (lambda: layers.GlobalMaxPooling1D(), (9, 2)),
        (lambda: layers.UpSampling2D((2, 3)), (3, 2, 2)),
        (lambda: layers.BatchNormalization(momentum=0.7), (3, 4, 2)),
        (lambda: layers.BatchNormalization(center=False, scale=False), (3, 4, 2)),
        (lambda: layers.LayerNormalization(), (3, 2)),
        (lambda: layers.LayerNormalization(scale=False), (2,)),
        (lambda: layers.GroupNormalization(2), (3, 5, 4)),
        (lambda: layers.RMSNormalization(), (3, 4)),
        (lambda: layers.PReLU(shared_axes=[1, 2]), (3, 4, 2)),
        (lambda: layers.PReLU(), (2,)),
        (lambda: layers.SpatialDropout2D(0.3), (3, 4, 2)),
        (lambda: layers.GaussianNoise(0.3), (3, 4, 2)),
        (lambda: layers.Reshape((-1, 6)), (3, 4, 2)),
        (lambda: layers.TimeDistributed(layers.Dense(3, "tanh")), (5, 2)),
        (lambda: layers.ELU(), (3,)),
        (lambda: layers.ReLU(max_value=1.0), (3,)),
        (lambda: layers.Softmax(), (3,)),
        (lambda: layers.Activation("tanh"), (3,)),
    ],
)
def test_layers(make, shape):
    check(sequential(shape, make()), (4, *shape))


@pytest.mark.parametrize("series", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda **k: layers.SimpleRNN(4, activation="relu", **k),
        lambda **k: layers.LSTM(4, **k),
        lambda **k: layers.LSTM(4, use_bias=False, dropout=0.2, **k),
        lambda **k: layers.LSTM(4, go_backwards=True, **k),
        lambda **k: layers.GRU(4, **k),
        lambda **k: layers.GRU(4, reset_after=False, **k),
        lambda **k: layers.Bidirectional(layers.GRU(4, **k)),
        lambda **k: layers.Bidirectional(layers.LSTM(4, **k)),
    ],
)
def test_recurrences(make, series):
    model = sequential((None, 3), make(return_sequences=series), layers.Dense(2))
    net = check(model, (5, 6, 3))
    assert type(net) is theanets.recurrent.Regressor


def test_an_image_classifier_trains_on(rng):
    model = sequential(
        (8, 8, 1),
        layers.Conv2D(3, 3),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(3),
        layers.Softmax(),
    )
    net = theanets.from_keras(shaken(model), model=theanets.convolution.Classifier, rng=1)
    x = rng.normal(size=(6, 8, 8, 1)).astype("f")
    np.testing.assert_allclose(net.predict_proba(x), outputs(model, x), **CLOSE)
    logits = net.predict_logit(x)
    assert abs(np.exp(logits).sum(1) - 1).max() > 0.01
    y = np.arange(6) % 3
    before = net.evaluate([x, y])["loss"]
    net.train([x, y], epochs=20)
    assert net.evaluate([x, y])["loss"] < before


def test_symbols_of_several_kinds_of_reading():
    model = sequential(
        (None,), layers.Embedding(7, 3), layers.LSTM(4), layers.Dense(2), dtype="int32"
    )
    net = check(model, (5, 6), symbols=7)
    assert net.layers[0].classes == 7


def test_functional_models():
    """Branches, what joins them, models within models, and what is not to be changed by others."""
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    x = layers.Dense(5, name="x")(a)
    active = layers.Activation("relu", name="active")(x)
    inner = keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(5)], name="inner")
    same = layers.Identity()(inner(active))
    deep_in = keras.Input((5,))
    deep = keras.Model(deep_in, layers.Multiply()([deep_in, layers.Dense(5)(deep_in)]), name="deep")
    y = layers.Concatenate()([layers.Add()([x, same]), layers.Dense(2)(b), deep(same)])
    z = layers.Activation("tanh")(same)
    model = keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([y, z])))
    net = check(model, (6, 4), (6, 3))
    assert {"a", "b", "x", "active", "inner/dense", "deep/multiply"} <= {
        "deep/multiply"
        if layer.name.startswith("deep/multiply")
        else "inner/dense"
        if layer.name.startswith("inner/dense")
        else layer.name
        for layer in net.layers
    }


def test_networks_of_models_are_saved(tmp_path, rng):
    model = shaken(
        sequential((3,), keras.Sequential([layers.Dense(4), layers.ReLU()]), layers.Dense(2))
    )
    net = theanets.from_keras(model, loss="mae")
    net.save(tmp_path / "net")
    x = rng.normal(size=(5, 3)).astype("f")
    loaded = theanets.Network.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    state = net.to_torch_state()
    np.testing.assert_array_equal(
        state[f"{model.layers[-1].name}.weight"].T, model.layers[-1].get_weights()[0]
    )


class Own(layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    "make, shape, message",
    [
        (lambda: Own(name="own"), (3,), r"no counterpart here: 'own' \(Own\)"),
        (lambda: layers.Permute((2, 1), name="turn"), (3, 2), r"'turn' \(Permute\)"),
        (lambda: layers.Dense(2, keras.ops.sin), (3,), "activation=sin has no counterpart"),
        (lambda: layers.Dense(2, "tanh_shrink"), (3,), "activation=tanh_shrink has no counterpart"),
        (lambda: layers.BatchNormalization(axis=1), (8, 2), "axis=1 is not the last one"),
        (lambda: layers.Embedding(3, 2, mask_zero=True), (4,), "mask_zero=True has no"),
        (lambda: layers.LSTM(2, recurrent_dropout=0.1), (4, 3), "recurrent_dropout=0.1 has no"),
        (lambda: layers.LSTM(2, activation="relu"), (4, 3), "activation=relu has no counterpart"),
        (
            lambda: layers.GRU(2, recurrent_activation="tanh"),
            (4, 3),
            "recurrent_activation=tanh has no counterpart",
        ),
        (
            lambda: layers.Bidirectional(layers.GRU(2), merge_mode="sum"),
            (4, 3),
            "merge_mode='sum' has no counterpart, 'concat' has",
        ),
        (lambda: layers.PReLU(), (3, 2), r"alpha of shape \(3, 2\) is of each place"),
        (lambda: layers.ReLU(6, negative_slope=0.1), (3,), "=0.1 with max_value=6"),
        (lambda: layers.Softmax(axis=1), (3, 2), "axis=1 is not the last one"),
        (lambda: layers.GlobalMaxPooling1D(keepdims=True), (3, 2), "keepdims=True"),
        (lambda: layers.TimeDistributed(layers.LSTM(2)), (5, 3, 2), "it is of LSTM"),
    ],
)
def test_refused(make, shape, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.from_keras(sequential(shape, make()))


def test_models_that_are_refused():
    dense = layers.Dense(3)
    x = keras.Input((3,))
    twice = keras.Model(x, dense(dense(x)))
    with pytest.raises(theanets.ConfigurationError, match="it is used 2 times"):
        theanets.from_keras(twice)
    two = keras.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)])
    with pytest.raises(theanets.ConfigurationError, match="has 2 outputs"):
        theanets.from_keras(two)
    with pytest.raises(theanets.ConfigurationError, match="does not know its input yet"):
        theanets.from_keras(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(theanets.ConfigurationError, match="is not a Sequential or functional"):
        theanets.from_keras(layers.Dense(2))
