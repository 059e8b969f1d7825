"""Models at work: prediction, what is compiled for it, encoding, finding."""

import numpy as np
import pytest
import scipy.sparse as sp
from model_cases import LABELS, RNG, X, Y, autoencoder, classifier, regressor

import theanets
from theanets import backends, prediction
from theanets.names import match


def two_inputs():
    b = {"form": "input", "size": 2, "name": "b"}
    return theanets.Regressor([4, b, {"size": 5, "inputs": ("in", "b")}, 3], dtype="float64")


def value(net, name):
    return net.find(name).get_value()


def by_hand(net, x=X):
    hidden = np.tanh(x @ value(net, "hid1.w") + value(net, "hid1.b"))
    return hidden, hidden @ value(net, "out.w") + value(net, "out.b")


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- prediction ------------------------------------------------------------------------------


def test_outputs_of_a_regressor():
    net = regressor()
    hidden, out = by_hand(net)
    np.testing.assert_allclose(net.predict(X), out, rtol=1e-12)
    found = net.feed_forward(X)
    assert set(found) == {"in:out", "hid1:pre", "hid1:out", "out:pre", "out:out"}
    np.testing.assert_allclose(found["hid1:out"], hidden, rtol=1e-12)
    np.testing.assert_allclose(found["hid1:pre"], np.arctanh(hidden), rtol=1e-9)


def test_outputs_of_a_classifier():
    net = classifier()
    _, logits = by_hand(net)
    np.testing.assert_allclose(net.predict_logit(X), logits, rtol=1e-12)
    np.testing.assert_allclose(net.predict_proba(X), softmax(logits), rtol=1e-12)
    predicted = net.predict(X)
    assert predicted.dtype.kind == "i"
    np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    with pytest.warns(DeprecationWarning, match="predict"):
        np.testing.assert_array_equal(net.classify(X), predicted)


def test_the_class_is_clear_where_probabilities_are_equal():
    net = theanets.Classifier([1, 3])
    net.find("out.w").set_value(np.array([[1, 0, -1]], "float32"))
    net.find("out.b").set_value(np.array([1000, 1000.125, 0], "float32"))
    assert (net.predict_proba(np.zeros((1, 1)))[0, 2] == 0).all()
    assert net.predict(np.zeros((1, 1))) == [1]


def test_noise_on_the_output_of_a_classifier_changes_the_class():
    net = classifier()
    found = net.predict(np.repeat(X, 50, axis=0), output_noise=10).reshape(30, 50)
    assert (found.min(axis=1) < found.max(axis=1)).all()


def test_a_classifier_without_logits():
    net = theanets.Classifier([4, (3, "sigmoid")])
    np.testing.assert_array_equal(net.predict(X), net.predict_proba(X).argmax(axis=1))


@pytest.mark.parametrize("size", [1, 7, 29, 30, 31, None])
def test_prediction_in_batches(size):
    for net in (regressor(), classifier(), two_inputs()):
        x = [X, X[:, :2]] if len(net.inputs) == 2 else X
        whole, parts = net.feed_forward(x), net.feed_forward(x, batch_size=size)
        for name, array in whole.items():
            np.testing.assert_allclose(parts[name], array, rtol=1e-9, atol=1e-12)


def test_large_data():
    net = theanets.Regressor([4, 2])
    x = RNG.normal(size=(100_000, 4)).astype("float32")
    expected = x @ value(net, "out.w") + value(net, "out.b")
    found = net.predict(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(x) > 20 * prediction.BATCH_SIZE


def test_one_row_and_none():
    for net in (regressor(), classifier(), autoencoder()):
        one, none = net.feed_forward(X[:1]), net.feed_forward(X[:0])
        assert {n: a.shape for n, a in one.items()} == {
            n: (1, *a.shape[1:]) for n, a in none.items()
        }
        assert all(len(a) == 0 and a.dtype == one[n].dtype for n, a in none.items())
    assert classifier().predict(X[:0]).shape == (0,)
    assert classifier().predict_proba(X[:0]).shape == (0, 3)
    assert autoencoder().encode(X[:0], sample=True).shape == (0, 2)
    assert autoencoder().decode(np.empty((0, 2))).shape == (0, 4)
    empty = [X[:0], X[:0, :2]]
    assert two_inputs().predict(empty).shape == (0, 3)
    assert two_inputs().predict(dict(zip(["in", "b"], empty, strict=True))).shape == (0, 3)


class Frame:
    """What a data frame looks like from outside."""

    def __init__(self, values):
        self.values, self.shape, self.columns = values, values.shape, list(range(values.shape[1]))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def __len__(self):
        return len(self.values)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype("float32"),
        lambda x: x.astype(int),
        lambda x: x.astype(bool),
        lambda x: x.astype(">f8"),
        lambda x: x.tolist(),
        lambda x: tuple(map(tuple, x)),
        np.asfortranarray,
        lambda x: x[:, ::-1][:, ::-1],
        Frame,
        sp.csr_array,
        lambda x: [x],
        lambda x: {"in": x},
    ],
)
def test_forms_of_data(form):
    net = theanets.Regressor([4, 3])
    whole = np.round(X)
    bools = getattr(form(whole), "dtype", None) == np.dtype("bool")
    expected = (whole.astype(bool) if bools else whole) @ value(net, "out.w")
    np.testing.assert_allclose(net.predict(form(whole)), expected, atol=1e-5)


def test_several_inputs():
    net, b = two_inputs(), X[:, 2:]
    found = net.predict([X, b])
    np.testing.assert_array_equal(net.predict((X, b)), found)
    np.testing.assert_array_equal(net.predict({"b": b, "in": X}), found)
    x = X @ value(net, "hid1.w_in:out") + b @ value(net, "hid1.w_b:out")
    hidden = np.maximum(x + value(net, "hid1.b"), 0)
    np.testing.assert_allclose(found, hidden @ value(net, "out.w") + value(net, "out.b"))
    assert net.score([X, b], found) == 1


# ---- what is compiled ------------------------------------------------------------------------


@pytest.fixture
def compiled(monkeypatch):
    """The names of the outputs of each function that is compiled."""
    found = []
    function = backends.function

    def spy(inputs, outputs, *args, **kwargs):
        found.append([o.name for o in outputs])
        return function(inputs, outputs, *args, **kwargs)

    monkeypatch.setattr(backends, "function", spy)
    return found


def test_only_what_is_asked_is_compiled(compiled):
    net = autoencoder()
    net.predict(X)
    net.encode(X)
    net.encode(X, "hid1")
    net.decode(X[:, :2])
    assert compiled == [["out:out"], ["hid2:out"], ["hid1:out"], ["out:out"]]
    for _ in range(2):
        net.predict(X)
        net.predict(X[:3], batch_size=2)
        net.encode(X, sample=True)
        net.decode(X[:, :2])
        net.score(X)
    assert len(compiled) == 4
    classes = classifier()
    classes.predict(X)
    classes.predict_logit(X)
    classes.score(X, LABELS)
    assert compiled[4:] == [["out:pre"]]
    classes.predict_proba(X)
    assert compiled[5:] == [["out:out"]]


def test_layers_that_are_not_needed_are_left_out(compiled, monkeypatch):
    net = regressor()
    monkeypatch.setattr(net.layers[-1], "transform", lambda inputs: 1 / 0)
    assert prediction.compute(net, X, ["hid1"]).keys() == {"hid1:out"}
    assert compiled == [["hid1:out"]]


def test_new_values_of_parameters_compile_nothing(compiled):
    net = regressor()
    net.predict(X)
    net.find("out.b").set_value(np.ones(3))
    np.testing.assert_allclose(net.predict(X), by_hand(net)[1])
    assert len(compiled) == 1


def test_a_layer_that_is_added_is_used():
    net = theanets.Regressor([4, (5, "tanh")], loss=None)
    net.add_layer(3, name="top")
    assert match("top*", net.feed_forward(X)) == ["top:out", "top:pre"]


# ---- encoding --------------------------------------------------------------------------------


def test_encode_and_decode():
    net = autoencoder()
    outputs = net.feed_forward(X)
    for layer, name in [
        (None, "hid2:out"),
        ("hid1", "hid1:out"),
        ("hid3:out", "hid3:out"),
        (1, "hid1:out"),
        (-2, "hid3:out"),
        (net.layers[3], "hid3:out"),
        ("in", "in:out"),
    ]:
        code = net.encode(X, layer)
        np.testing.assert_array_equal(code, outputs[name])
        np.testing.assert_allclose(net.decode(code, layer), net.predict(X), rtol=1e-12)
    np.testing.assert_array_equal(net.encode(X, "hid2:pre"), outputs["hid2:pre"])


@pytest.mark.parametrize(
    "sizes, code", [([3], 1), ([3, 5], 2), ([5, 3], 2), ([3, 5, 2], 2), ([2, 5, 3, 6], 3)]
)
def test_the_code_is_the_middle_layer(sizes, code):
    """That of the position len(layers) // 2, as in earlier versions."""
    net = theanets.Autoencoder([4, *sizes, 4], dtype="float64")
    assert code == len(net.layers) // 2
    outputs = net.feed_forward(X)
    z = net.encode(X)
    np.testing.assert_array_equal(z, outputs[f"hid{code}:out"])
    np.testing.assert_allclose(net.decode(z), outputs["out:out"], rtol=1e-12)


def test_further_inputs_are_no_layers_of_the_middle():
    b = {"form": "input", "size": 1, "name": "b"}
    net = theanets.Autoencoder([4, b, {"size": 3, "inputs": ("in", "b")}, 2, 2, 4])
    code = net.encode([X, X[:, :1]])
    np.testing.assert_array_equal(code, net.feed_forward([X, X[:, :1]])["hid2:out"])


def test_samples_of_a_code():
    net = autoencoder()
    x = np.repeat(X[:2], 2000, axis=0)
    samples = net.encode(x, sample=True)
    assert set(np.unique(samples)) == {0, 1}
    p = net.encode(X[:2])
    means = samples.reshape(2, 2000, 2).mean(axis=1)
    np.testing.assert_array_less(np.abs(means - p), 5 * np.sqrt(p * (1 - p) / 2000))
    assert (net.encode(x, sample=True) != samples).any()
    one, two = (net.encode(x, sample=True, rng=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert net.encode(x, "hid2", sample=True).shape == (4000, 2)


def test_noise_does_not_stick():
    net = autoencoder()
    z = net.encode(X)
    clean = net.decode(z)
    noisy = [net.decode(z, hidden_dropout=0.5) for _ in range(2)]
    assert (noisy[0] != clean).any()
    assert (noisy[0] != noisy[1]).any()
    np.testing.assert_array_equal(net.decode(z), clean)
    assert (net.encode(X, input_noise=1) != z).any()
    np.testing.assert_array_equal(net.encode(X), z)
    # Neither do other settings.
    np.testing.assert_array_equal(
        net.decode(z, hidden_noise=0.5, rng=1), net.decode(z, hidden_noise=0.5, rng=1)
    )


# ---- looking inside --------------------------------------------------------------------------


def test_find():
    net = regressor()
    w = net.params[0]
    assert w.name == "hid1.w"
    for which in ("hid1", 1, -2, np.int64(1), net.layers[1]):
        for param in ("w", 0, -2, np.int64(0)):
            assert net.find(which, param) is w
    assert net.find("hid1.w") is w
    assert [p.name for p in net.params] == ["hid1.w", "hid1.b", "out.w", "out.b"]
    assert net.num_params == 4 * 5 + 5 + 5 * 3 + 3
    assert net.num_params == sum(p.get_value().size for p in net.params)


def test_tied_weights_are_counted_once():
    net = theanets.Autoencoder([4, 3, "tied"])
    assert net.num_params == 4 * 3 + 3 + 4
    assert [p.name for p in net.params] == ["hid1.w", "hid1.b", "out.b"]


def test_inputs_may_have_any_name():
    """Also those of targets and weights, which then have other names."""
    layer = {"form": "input", "size": 4, "name": "target"}
    net = theanets.Regressor([layer, 3], dtype="float64")
    assert [v.name for v in net.variables] == ["target", "out_target"]
    expected = ((net.predict(X) - Y) ** 2).mean()
    assert net.evaluate([X, Y])["loss"] == pytest.approx(expected)
    assert net.evaluate({"target": X, "out_target": Y})["loss"] == pytest.approx(expected)
    layer = {"form": "input", "size": 4, "name": "weights"}
    net = theanets.Regressor([layer, 3], weighted=True, dtype="float64")
    assert [v.name for v in net.variables] == ["weights", "target", "out_weights"]
    w = RNG.uniform(size=Y.shape)
    expected = (w * (net.predict(X) - Y) ** 2).sum() / w.sum()
    assert net.evaluate([X, Y, w])["loss"] == pytest.approx(expected)
