"""Losses in networks: their targets, the logits they are given, what is saved."""

import numpy as np
import pytest

import theanets
from theanets.losses import Loss


def test_ignored_labels_in_a_network(rng):
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, size=9)
    y[[0, 4, 5]] = -100
    loss = {"form": "xe", "ignore_index": -100}
    net = theanets.Classifier([4, 8, 3], loss=loss, rng=1, dtype="float64")
    found = net.evaluate([x, y], batch_size=4)
    kept = y != -100
    other = theanets.Classifier([4, 8, 3], rng=1, dtype="float64")
    expected = other.evaluate([x[kept], y[kept]])
    assert found == pytest.approx(expected, rel=1e-12)
    net.train([x, y], epochs=2)
    y[1] = -1
    with pytest.raises(theanets.DataError, match=r"valid is \[0, 3\) or -100"):
        net.evaluate([x, y])


def test_a_mixture_has_a_target_of_its_own_shape(rng):
    heads = [
        {"name": "weights", "size": 3, "activation": "softmax", "inputs": "hid1"},
        {"name": "means", "size": 6, "activation": "linear", "inputs": "hid1"},
        {"name": "scales", "size": 6, "activation": "softplus", "inputs": "hid1"},
    ]
    net = theanets.Regressor([4, 5, *heads], loss="mixture_density", dtype="float64")
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    found = net.feed_forward(x)
    names = {"weights": "weights:pre", "means": "means:out", "scales": "scales:out"}
    arrays = {key: found[name] for key, name in names.items()}
    expected = net.losses[0].value(arrays, y)
    assert net.evaluate([x, y], batch_size=3)["loss"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(theanets.ConfigurationError, match="3, 6 and 4 units"):
        heads[2]["size"] = 4
        theanets.Regressor([4, 5, *heads], loss="mixture_density")


def test_quantiles_in_a_network(rng):
    loss = {"form": "quantile", "quantile": [0.1, 0.5, 0.9]}
    net = theanets.Regressor([4, 6], loss=loss, dtype="float64")
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    expected = net.losses[0].value(net.predict(x), y)
    assert net.evaluate([x, y], batch_size=3)["loss"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(theanets.ConfigurationError, match="divides the 7 variables"):
        theanets.Regressor([4, 7], loss=loss)


@pytest.mark.parametrize("activation", ["sigmoid", "logistic"])
@pytest.mark.parametrize("form", ["bce", "bce_logits", "binary_focal"])
def test_a_sigmoid_layer_gives_its_logits_to_binary_losses(form, activation, rng):
    net = theanets.Regressor([4, (2, activation)], loss=form)
    net.find("out.w").set_value(np.full((4, 2), 1e4, "float32"))
    x = np.array([[1, 1, 1, 1], [-1, -1, -1, -1]], "float32")
    y = np.array([[0, 1], [1, 0]])
    # Half of the decisions are right, half are wrong by 4e4.
    assert net.evaluate([x, y])["loss"] == pytest.approx(2e4)


def test_a_sigmoid_layer_does_not_give_its_logits_to_losses_over_classes(rng):
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 3, size=6)
    for form in ("xe", "hinge", "square"):
        net = theanets.Classifier([4, (3, "sigmoid")], loss=form, dtype="float64")
        found = net.feed_forward(x)
        expected = Loss.build(form).value(found["out:out"], y)
        assert net.evaluate([x, y])["loss"] == pytest.approx(expected, rel=1e-12)


def test_a_softmax_layer_does_not_give_its_logits_to_binary_losses(rng):
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 3, size=6)
    net = theanets.Classifier([4, 3], loss="bce", dtype="float64")
    expected = Loss.build("bce").value(net.predict_proba(x), y)
    assert net.evaluate([x, y])["loss"] == pytest.approx(expected, rel=1e-12)


def test_noise_on_the_output_ends_its_logits(rng):
    x = np.full((500, 1), 50.0)
    net = theanets.Regressor([1, (1, "sigmoid")], loss="bce")
    net.find("out.w").set_value(np.ones((1, 1), "float32"))
    clean = net.evaluate([x, np.ones((500, 1))])["loss"]
    noisy = net.evaluate([x, np.ones((500, 1))], noise={"out:out": 0.3})["loss"]
    assert clean < 1e-10
    assert noisy > 0.01


@pytest.mark.parametrize("form", ["softmax", "feedforward"])
def test_l_softmax_sees_the_layer(form, rng):
    x, y = rng.normal(size=(6, 4)), rng.integers(0, 3, size=6)
    out = {"form": form, "size": 3, "name": "out"}
    if form == "feedforward":
        out["activation"] = "linear"
    loss = {"form": "l_softmax", "margin": 3}
    net = theanets.Classifier([4, (5, "tanh"), out], loss=loss, dtype="float64")
    hidden = net.feed_forward(x)["hid1:out"]
    w = net.find("out.w")
    expected = net.losses[0].value((hidden, w.get_value()), y)
    assert net.evaluate([x, y], batch_size=4)["loss"] == pytest.approx(expected, rel=1e-12)
    # Biases are added after the margin.
    net.find("out.b").set_value(np.array([0.0, 0.0, 50.0]))
    assert net.evaluate([x, np.full(6, 2)])["loss"] < 1e-10
    net.train([x, y], epochs=2)


def test_l_softmax_needs_a_layer_with_weights(rng):
    net = theanets.Classifier([4, (3, "tanh")], loss="l_softmax")
    with pytest.raises(theanets.ConfigurationError, match="needs a softmax or linear"):
        net.evaluate([np.zeros((2, 4)), [0, 1]])


@pytest.mark.parametrize(
    "form", ["gll", "laplace", "kl", "mmd", "cosine", "quantile", "poisson", "gamma"]
)
def test_losses_on_values_refuse_labels(form, rng):
    heads = [(3, "softmax")]
    if form in ("gll", "laplace"):
        other = "covar" if form == "gll" else "scale"
        heads = [{"name": name, "size": 3, "inputs": "hid1"} for name in ("mean", other)]
    hint = rf"{form!r} compares values.*write theanets.Regressor\(layers, loss={form!r}\)"
    with pytest.raises(theanets.ConfigurationError, match=hint):
        theanets.Classifier([4, 5, *heads], loss=form)
    theanets.Regressor([4, 5, *heads], loss=form)


def test_saved_with_their_parameters(tmp_path, rng):
    loss = {
        "form": "xe",
        "class_weight": [1.0, 2.0, 0.5],
        "temperature": 2.0,
        "label_smoothing": 0.1,
        "ignore_index": -1,
        "reduction": "batch",
    }
    net = theanets.Classifier([4, 3], loss=loss)
    x, y = rng.normal(size=(6, 4)), rng.integers(-1, 3, size=6)
    net.save(tmp_path / "net.safetensors")
    again = theanets.Network.load(tmp_path / "net.safetensors")
    assert again.evaluate([x, y]) == net.evaluate([x, y])
    assert again.losses[0].to_spec() == net.losses[0].to_spec()
