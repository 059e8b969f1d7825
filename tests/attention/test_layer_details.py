"""What layers that attend do by default, and the share of weights that they drop."""

import numpy as np

import theanets

OPTIONS = dict(rng=1, dtype="float64", mode="FAST_COMPILE")


def test_share_of_dropped_weights():
    """Values are 1 for each step: the mean of weights that are left says how many there are."""
    layer = dict(form="attention", heads=1, dropout=0.25, bias=False, name="att")
    net = theanets.recurrent.Regressor([2, layer, 1], **OPTIONS)
    w = np.zeros((2, 6))
    w[0, 4] = w[1, 5] = 1
    net.find("att", "w").set_value(w)
    net.find("att", "wo").set_value(np.eye(2))
    # The second step has no weight in the first unit: what is left of one weight of two.
    x = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]]), (1000, 1, 1))
    found = net.feed_forward(x, training=True)["att:out"]
    values, counts = np.unique(np.round(found, 12), return_counts=True)
    np.testing.assert_allclose(values, [0, 0.5 / 0.75])
    assert 0.22 < counts[0] / found.size < 0.28


def test_hidden_units_by_default():
    net = theanets.recurrent.Regressor([6, dict(form="transformer", heads=2), 1], **OPTIONS)
    assert net.graph.shape("hid1/hidden:out") == (None, 24)
    assert {layer.epsilon for layer in net.layers if "norm" in layer.name} == {1e-5}


def test_learned_positions_go_on_where_a_series_does(rng):
    layers = [3, (4, "linear"), dict(form="position", kind="learned", steps=9), 2]
    net = theanets.recurrent.Regressor(layers, rng=1, dtype="float64", mode="FAST_COMPILE")
    x = rng.normal(size=(1, 9, 3))
    stream, whole = net.stream(), net.predict(x)
    for t in range(9):
        np.testing.assert_allclose(stream.step(x[0, t]), whole[0, t], rtol=1e-9)
