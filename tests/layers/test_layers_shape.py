"""Layers without parameters: merging, changing shapes, functions; and what every layer must do."""

import io

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError


def regressor(*layers, **kwargs):
    return theanets.Regressor(list(layers), dtype="float64", **{"rng": 13, **kwargs})


def roundtrip(net, **kwargs):
    """Save a network, and load it anew."""
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    return type(net)._load(file, **kwargs)


def two_inputs(form, first, second, **kwargs):
    return theanets.Network(
        [
            dict(form="input", shape=first, name="a"),
            dict(form="input", shape=second, name="b"),
            dict(form=form, inputs=["b", "a"], name="m", **kwargs),
        ],
        loss=None,
        dtype="float64",
    )


TWINS = {
    "concatenate": lambda a, b: np.concatenate([b, a], axis=-1),
    "product": lambda a, b: b * a,
    "add": lambda a, b: b + a,
}
ALIASES = {"concat": "concatenate", "prod": "product", "sum": "add"}


@pytest.mark.parametrize(
    "form, first, second, expected",
    [
        ("concatenate", (3,), (2,), (5,)),
        ("concat", (4, 3), (None, 2), (4, 5)),
        ("product", (4, 3), (4, 3), (4, 3)),
        ("prod", (4, 1), (4, 3), (4, 3)),
        ("product", (None, 3), (None, 1), (None, 3)),
        ("add", (3,), (3,), (3,)),
        ("sum", (2, 1, 3), (1, 4, 3), (2, 4, 3)),
        ("add", (None, 3), (4, 3), (4, 3)),
    ],
)
def test_merge(form, first, second, expected, rng):
    net = two_inputs(form, first, second)
    assert net.layers[-1].output_shape == expected
    a, b = (rng.normal(size=(5, *(4 if n is None else n for n in s))) for s in (first, second))
    found = net.feed_forward([a, b])["m:out"]
    np.testing.assert_allclose(found, TWINS[ALIASES.get(form, form)](a, b))


def test_merge_activation_and_repeated_input(rng):
    x = rng.normal(size=(4, 3))
    net = regressor(3, dict(form="add", inputs=["in", "in"], activation="relu", name="out"))
    np.testing.assert_allclose(net.predict(x), np.maximum(2 * x, 0))
    net = regressor(3, dict(form="concat", inputs=["in", "in"], name="out"))
    np.testing.assert_allclose(net.predict(x), np.hstack([x, x]))


@pytest.mark.parametrize(
    "form, first, second, kwargs, message",
    [
        ("concat", (3, 2), (4, 2), {}, "axis 0 of an example the inputs have the lengths 4, 3"),
        ("concat", (3, 2), (2,), {}, r"different ranks: b:out \(2,\), a:out \(3, 2\)"),
        ("prod", (3,), (2,), {}, "lengths 2, 3, which must be equal, or 1"),
        ("add", (3,), (3,), {"size": 4}, r"'m' was given the shape \(4,\).* makes \(3,\)"),
        ("concat", (3,), (3,), {"shape": (2, 3)}, r"given the shape \(2, 3\).* makes \(6,\)"),
    ],
)
def test_merge_refuses(form, first, second, kwargs, message):
    with pytest.raises(ConfigurationError, match=message):
        two_inputs(form, first, second, **kwargs)


@pytest.mark.parametrize("spec", ["flat", "flatten", ("flat", 24), dict(form="flatten")])
def test_flatten(spec, rng):
    x = rng.normal(size=(5, 2, 3, 4))
    net = regressor((2, 3, 4), spec)
    assert net.layers[1].output_shape == (24,)
    np.testing.assert_array_equal(net.predict(x), x.reshape(5, 24))
    assert net.predict(x[:0]).shape == (0, 24)


@pytest.mark.parametrize(
    "given, made",
    [
        ((12, -1), (12, 2)),
        ((-1,), (24,)),
        ((3, None, 2), (3, 4, 2)),
        ((4, 6), (4, 6)),
        ([2, 2, 2, -1], (2, 2, 2, 3)),
    ],
)
def test_reshape(given, made, rng):
    x = rng.normal(size=(5, 2, 3, 4))
    net = regressor((2, 3, 4), dict(form="reshape", shape=given))
    assert net.layers[1].output_shape == made
    np.testing.assert_array_equal(net.predict(x), x.reshape(5, *made))
    assert roundtrip(net).layers[1].output_shape == made


def test_reshape_of_unknown_length(rng):
    x = rng.normal(size=(5, 6, 4))
    net = regressor(dict(shape=(None, 4)), ("reshape", (-1, 8)))
    assert net.layers[1].output_shape == (None, 8)
    np.testing.assert_array_equal(net.predict(x), x.reshape(5, 3, 8))


@pytest.mark.parametrize(
    "shape, spec, message",
    [
        ((2, 3), dict(form="reshape", shape=(4, -1)), r"2 \* 3 = 6 entries, not 4 \* \?"),
        ((2, 3), dict(form="reshape", shape=(5,)), r"2 \* 3 = 6 entries, not 5 = 5"),
        ((2, 3), dict(form="reshape", shape=(12,)), "6 entries, not 12"),
        ((2, 3), dict(form="reshape", shape=(-1, -1)), "more than one unknown"),
        ((2, 3), "reshape", "needs a shape"),
        ((None, 3), "flat", r"'out' cannot flatten 'in:out' of shape \(None, 3\)"),
        ((2, 3), ("flat", 5), r"given the shape \(5,\).* makes \(6,\)"),
        ((2, 3), dict(form="lambda"), "function=None is not a callable"),
        ((2, 3), dict(form="lambda", function=lambda x: "no"), "'out': function returned 'no'"),
        ((2, 3), dict(form="lambda", function=lambda x: x[:, 0]), "has 2 dimensions"),
    ],
)
def test_shape_refuses(shape, spec, message):
    with pytest.raises(ConfigurationError, match=message):
        regressor(dict(shape=shape), spec).outputs()


def halves(x):
    return x[:, ::2] / 2


def test_lambda(rng):
    x, y = rng.normal(size=(8, 6)), rng.normal(size=(8, 2))
    net = regressor(6, dict(form="lambda", function=halves, size=3), 2)
    hidden = net.feed_forward(x)["hid1:out"]
    np.testing.assert_allclose(hidden, x[:, ::2] / 2)
    net.train([x, y], epochs=2)
    again = roundtrip(net, custom={"halves": halves})
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    with pytest.raises(theanets.FileError, match="callable 'halves'"):
        roundtrip(net)


def test_lambda_of_two_inputs(rng):
    a, b = rng.normal(size=(2, 4, 3))
    net = two_inputs("lambda", (3,), (3,), function=lambda b, a: b - 2 * a)
    np.testing.assert_allclose(net.feed_forward([a, b])["m:out"], b - 2 * a)


@pytest.mark.parametrize(
    "layers",
    [
        [6, 4, dict(form="add", inputs=["hid1", "hid1"]), 2],
        [6, 4, dict(form="product", inputs=["hid1", "hid1:pre"]), 2],
        [6, 4, dict(form="concat", inputs=["in", "hid1"]), 2],
        [(2, 3), "flat", (4, "tanh"), 2],
        [6, ("reshape", (3, -1)), "flat", 2],
    ],
)
def test_gradient_training_and_files(layers, rng):
    net = regressor(*layers)
    x = rng.normal(size=(8, *net.layers[0].output_shape))
    y = rng.normal(size=(8, 2))
    before = net.evaluate([x, y])["loss"]
    net.train([x, y], epochs=2, learning_rate=0.01)
    again = roundtrip(net)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.train([x, y], epochs=2, learning_rate=0.01)
    assert again.evaluate([x, y])["loss"] < net.evaluate([x, y])["loss"] < before
