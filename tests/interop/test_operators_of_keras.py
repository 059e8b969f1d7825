"""Models of Keras whose tensors are added and multiplied by operators."""

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError

keras = pytest.importorskip("keras")
layers = keras.layers

# What Keras does to its own arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def made(combine):
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(combine(layers.Dense(3, "relu")(x), layers.Dense(3)(x))))


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: keras.ops.add(a, b) * a,
        lambda a, b: a + a,
        lambda a, b: layers.Activation("tanh")(a + b) * keras.ops.multiply(x1=b, x2=a),
    ],
)
def test_tensors_of_one_shape(combine, rng):
    model = made(combine)
    net = theanets.from_keras(model, mode="FAST_COMPILE")
    x = rng.normal(size=(5, 4)).astype("f")
    expected = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "combine, said",
    [
        (lambda a, b: a * 2.0, "(Multiply): an operation of two outputs of one shape"),
        (lambda a, b: a + np.ones(3, "f"), "(Add): an operation of two outputs of one shape"),
        (lambda a, b: a + layers.Dense(1)(b), "(Add): an operation of two outputs of one shape"),
        (lambda a, b: a - b, "(Subtract): an operation has no counterpart"),
        (lambda a, b: keras.ops.reshape(a, (-1, 3)), "(Reshape): an operation has no counterpart"),
    ],
)
def test_other_operations_are_refused(combine, said):
    with pytest.raises(ConfigurationError) as error:
        theanets.from_keras(made(combine))
    assert said in str(error.value)
