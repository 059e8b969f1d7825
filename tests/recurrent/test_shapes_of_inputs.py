"""A shape of an input is that of an example; a size is its last axis, in models of series too."""

import numpy as np
import pytest

import theanets
from theanets import convolution, recurrent
from theanets.errors import ConfigurationError, DataError
from theanets.layers import Input


@pytest.mark.parametrize(
    "model, spec, shape",
    [
        (recurrent.Regressor, 6, (None, 6)),
        (recurrent.Regressor, dict(size=6), (None, 6)),
        (recurrent.Regressor, dict(shape=6), (None, 6)),
        (recurrent.Regressor, Input(size=6), (None, 6)),
        (recurrent.Regressor, dict(shape=(6,)), (6,)),
        (recurrent.Regressor, dict(form="input", shape=[6]), (6,)),
        (recurrent.Regressor, Input(shape=(6,)), (6,)),
        (recurrent.Regressor, dict(shape=(6,), ndim=3), (None, 6)),
        (recurrent.Regressor, dict(shape=(None, 6)), (None, 6)),
        (convolution.Regressor, dict(size=3), (None, None, 3)),
        (convolution.Regressor, dict(shape=(8, 3)), (8, 3)),
        (convolution.Regressor, dict(shape=(8, 8, 3)), (8, 8, 3)),
        (theanets.Regressor, dict(shape=(6,)), (6,)),
    ],
    ids=str,
)
def test_what_an_example_is(model, spec, shape, tmp_path):
    net = model([spec, 2])
    assert net.layers[0].output_shape == shape
    net.save(tmp_path / "net")
    again = model.load(tmp_path / "net")
    assert again.layers[0].output_shape == shape == net.clone().layers[0].output_shape


def test_keywords_of_a_layer_say_it_too():
    net = recurrent.Regressor([], loss=None)
    net.add_layer(form="input", name="in", shape=(6,))
    net.add_layer(6, form="input", name="series")
    net.add_layer(6, form="input", name="vectors", shape=(4,))
    assert [layer.output_shape for layer in net.layers] == [(6,), (None, 6), (4,)]


def test_vectors_go_along_with_series(rng):
    layers = [
        dict(name="series", size=3),
        dict(form="input", name="about", shape=(2,)),
        dict(form="gru", name="end", size=4, inputs="series", last=True),
        dict(form="concatenate", inputs=["end", "about"]),
        1,
    ]
    net = recurrent.Regressor(layers, rng=1)
    series, about, y = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    net.train([series, about, y], epochs=2)
    found = net.predict([series, about])
    assert found.shape == (6, 1)
    assert not np.allclose(found, net.predict([series, about + 1]))
    with pytest.raises(DataError, match=r"expected 'about' \(n, 2\)"):
        net.predict([series, series[..., :2]])


def test_a_recurrent_layer_after_vectors_is_refused():
    with pytest.raises(ConfigurationError, match=r"'hid1' needs series.*'in:out' has shape \(6,\)"):
        recurrent.Regressor([dict(shape=(6,)), (4, "gru"), 2])
