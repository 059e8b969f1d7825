"""Predictions of a few rows: what is looked up once, what is checked all the same."""

import copy
import pickle

import numpy as np
import pytest

import theanets

MODE = "FAST_COMPILE"


def forward(net, x):
    """Do in NumPy what a classifier with one hidden layer of relu does."""
    w, b, v, c = (param.get_value() for param in net.params)
    z = np.maximum(x @ w + b, 0) @ v + c
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.maximum(x @ w + b, 0), e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def net():
    return theanets.Classifier([4, 6, 3], rng=0, mode=MODE)


# ---- the predictor ---------------------------------------------------------------


def test_a_predictor_gives_what_formulas_say(net, rng):
    classes, both = net.predictor(), net.predictor(["hid1", "out:out"])
    probabilities = net.predictor("out")
    for rows in (1, 2, 7):
        x = rng.normal(size=(rows, 4)).astype("f")
        hidden, expected = forward(net, x)
        np.testing.assert_allclose(probabilities(x), expected, rtol=1e-5)
        np.testing.assert_array_equal(classes(x), expected.argmax(axis=1))
        found = both(x)
        assert list(found) == ["hid1", "out:out"]
        np.testing.assert_allclose(found["hid1"], hidden, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["out:out"], expected, rtol=1e-5)
    assert classes(np.zeros((0, 4), "f")).shape == (0,)
    for given in ([[1, 2, 3, 4]], [[1.0, 2.0, 3.0, 4.0]], np.arange(1, 5)[None], {"in": x[:1]}):
        value = np.asarray(given["in"] if isinstance(given, dict) else given, "f")
        np.testing.assert_allclose(probabilities(given), forward(net, value)[1], rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_batch_has_its_number_of_rows(net, rng, monkeypatch, batch):
    seen = []
    predict = net.predictor("out", batch=batch)
    function = predict._found[1].compiled.function

    def counting(*arrays):
        seen.append(len(arrays[0]))
        return function._function(*arrays)

    monkeypatch.setattr(predict._found[1].compiled, "function", type(function)(
        counting, function._locks, compiles=False))  # fmt: skip
    for rows in (1, 2, 3, 8, 9):
        x = rng.normal(size=(rows, 4)).astype("f")
        found = predict(x)
        np.testing.assert_allclose(found, forward(net, x)[1], rtol=1e-5)
        np.testing.assert_allclose(predict(x.tolist()), found, rtol=1e-5)
    assert set(seen) == {batch} and predict(np.zeros((0, 4))).shape == (0, 3)


def test_it_follows_the_network(net, rng):
    x = rng.normal(size=(2, 4)).astype("f")
    predict, other = net.predictor("out"), net.predictor("hid1")
    net.find("out.b").set_value(np.array([5, 0, 0], "f"))
    np.testing.assert_allclose(predict(x), forward(net, x)[1], rtol=1e-5)
    net.train([x, [0, 1]], epochs=1, progress=False)
    np.testing.assert_allclose(predict(x), forward(net, x)[1], rtol=1e-5)
    before = predict(x)
    net.layers[1]._activation = theanets.activations.build("tanh")
    w, b = (net.find("hid1", key).get_value() for key in "wb")
    np.testing.assert_allclose(other(x), np.tanh(x @ w + b), rtol=1e-5, atol=1e-6)
    assert not np.allclose(predict(x), before)
    for f in (predict, other):
        np.testing.assert_array_equal(f(x), f(x))


def test_a_layer_that_is_added_later_is_the_output():
    net = theanets.Regressor([2, (2, "linear")], rng=0, mode=MODE)
    predict, x = net.predictor(), np.ones((1, 2), "f")
    first = predict(x)
    net.add_layer({"size": 3, "name": "more", "inputs": "out"}, is_output=True)
    assert first.shape == (1, 2) and predict(x).shape == net.predict(x).shape == (1, 3)


def test_copies_of_it_are_of_the_same_kind(net, rng):
    x = rng.normal(size=(2, 4)).astype("f")
    predict = net.predictor(["out"], batch=2)
    for made in (copy.deepcopy(predict), pickle.loads(pickle.dumps(predict))):
        np.testing.assert_array_equal(made(x)["out"], predict(x)["out"])
        assert made._net is not net
    assert "outputs=['out'] batch=2" in repr(predict)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"outputs": "hid2"}, theanets.UnknownNameError, "hid1"),
        ({"outputs": []}, theanets.ConfigurationError, "names none"),
        ({"outputs": 3}, theanets.ConfigurationError, "not the name of an output"),
        ({"batch": 0}, theanets.ConfigurationError, "batch=0"),
        ({"batch": 2.5}, theanets.ConfigurationError, "batch=2.5"),
        ({"mode": "NUMBER"}, theanets.ConfigurationError, "NUMBA"),
    ],
)
def test_misuse_is_said(net, arguments, error, words):
    with pytest.raises(error, match=words):
        net.predictor(**arguments)


def test_what_a_class_overrides_is_asked(rng):
    class Doubled(theanets.Regressor):
        def predict(self, x):
            return 2 * super().predict(x)

    net = Doubled([4, 3], rng=0, mode=MODE)
    x = rng.normal(size=(2, 4)).astype("f")
    np.testing.assert_array_equal(net.predictor()(x), 2 * net.predictor("out")(x))


# ---- all kinds of network --------------------------------------------------------


def kinds():
    lengths = {"form": "lengths", "name": "n"}
    crf = {"form": "crf", "size": 3, "name": "out"}
    series = np.random.default_rng(1).normal(size=(3, 5, 2)).astype("f")
    ragged = [series[0], series[1, :2], series[2, :4]]
    image = np.random.default_rng(2).normal(size=(2, 6, 6, 1)).astype("f")
    conv = {"form": "conv2", "size": 2, "filter_size": (3, 3)}
    symbols = {"form": "symbols", "shape": (None,), "classes": 9}
    r = theanets.recurrent
    two = [2, {"form": "input", "size": 3, "name": "b"},
           {"form": "concatenate", "inputs": ["in", "b"], "size": 5}, 2]  # fmt: skip
    pair = np.ones((2, 2), "f"), np.full((2, 3), 2, "f")
    return {
        "regressor": (theanets.Regressor, [2, 4, 1], [series[:, 0]]),
        "autoencoder": (theanets.Autoencoder, [2, 1, 2], [series[:, 0]]),
        "two inputs": (theanets.Regressor, two, [pair, list(pair), {"b": pair[1], "in": pair[0]}]),
        "convolution": (theanets.convolution.Regressor, [(6, 6, 1), conv, "flat", 2], [image]),
        "series": (r.Regressor, [2, (4, "gru"), 1], [series, ragged, series.tolist()]),
        "labels of series": (r.Classifier, [2, (4, "rnn"), 3], [series, ragged]),
        "lengths": (
            r.Regressor,
            [2, lengths, (4, "lstm"), 1],
            [[series, np.array([5, 2, 4])], {"in": series, "n": np.array([1, 2, 3], "i")}, ragged],
        ),
        "crf": (r.Classifier, [2, lengths, (4, "rnn"), crf], [ragged, [series, [5, 2, 4]]]),
        "plain crf": (r.Classifier, [2, (4, "rnn"), crf], [series, ragged]),
        "symbols": (
            r.Classifier,
            [symbols, {"form": "embedding", "size": 3}, (4, "rnn"), 2],
            [np.array([[1, 8], [0, 3]], "i"), np.array([[1, 8]]), [[1, 2, 3]]],
        ),
    }


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("batch", [None, 2])
def test_it_is_what_predict_gives(kind, batch):
    make, layers, samples = kinds()[kind]
    net = make(layers, rng=0, mode=MODE)
    predict, out = net.predictor(batch=batch), net.predictor([net.output_name], batch=batch)
    for x in samples:
        np.testing.assert_allclose(predict(x), net.predict(x), rtol=1e-5, atol=1e-6)
        expected = net.feed_forward(x)[net.output_name]
        np.testing.assert_allclose(out(x)[net.output_name], expected, rtol=1e-5, atol=1e-6)


# ---- what protects the process ---------------------------------------------------


@pytest.mark.parametrize(
    "x, words",
    [
        (np.ones((1, 5), "f"), r"shape \(1, 5\)"),
        (np.ones(4, "f"), r"x\[None\]"),
        (np.ones((1, 4, 1, 1), "f"), "expected"),
        (np.array([[1, np.nan, 0, 0]], "f"), "NaN"),
        (np.array([[1, np.inf, 0, 0]]), "infinite"),
        (np.array([[1, 1e300, 0, 0]]), "infinite"),
        (np.array([["a", "b", "c", "d"]]), "dtype"),
        (np.ones((1, 4), complex), "complex"),
        ([[1.0, 2.0, 3.0]], "expected"),
        ([[1.0, 2.0, 3.0, None]], "object"),
        ([[1.0, 2.0, 3.0, float("nan")]], "NaN"),
        ([[1, 2], [3]], "not one array"),
        ([], "expected"),
        ({"inn": np.ones((1, 4), "f")}, "unknown array 'inn'"),
        (np.ma.masked_array(np.ones((1, 4), "f")), "masked"),
    ],
)
def test_bad_rows_are_refused(net, x, words):
    predict = net.predictor()
    for f in (net.predict, net.predict_proba, predict):
        with pytest.raises(theanets.DataError, match=words):
            f(x)


@pytest.mark.parametrize("linker", [MODE, pytest.param("NUMBA", marks=pytest.mark.linker)])
def test_what_would_be_out_of_range_is_refused(linker):
    symbols = {"form": "symbols", "shape": (None,), "classes": 9}
    layers = [symbols, {"form": "embedding", "size": 3}, (4, "rnn"), 2]
    net = theanets.recurrent.Classifier(layers, rng=0, mode=linker)
    predict = net.predictor()
    for dtype in ("int32", "int64", "int8"):
        for wrong in (-1, 9, 100):
            x = np.array([[0, wrong, 8]], dtype)
            for f in (net.predict, predict):
                with pytest.raises(theanets.DataError, match="out of range"):
                    f(x)
                with pytest.raises(theanets.DataError, match="out of range"):
                    f(x.tolist())
    for wrong in ([[0.5, 1.0]], np.array([[0.0, 1.0]])):
        with pytest.raises(theanets.DataError, match="dtype float64"):
            predict(wrong)
    with pytest.raises(theanets.DataError):
        predict([[0, 2**80]])

    series = {"form": "lengths", "name": "n"}
    last = {"form": "rnn", "size": 4, "last": True}
    net = theanets.recurrent.Regressor([2, series, last, 1], rng=0, mode=linker)
    predict, x = net.predictor(), np.ones((2, 3, 2), "f")
    for wrong in ([4, 1], [-1, 3], [3, 1000000]):
        for dtype in ("int32", "int64"):
            for f in (net.predict, predict):
                with pytest.raises(theanets.DataError, match="lengths from"):
                    f([x, np.array(wrong, dtype)])


def test_a_list_of_one_row_is_a_row(net, rng):
    row = rng.normal(size=4)
    expected = net.predict_proba(row[None].astype("f"))
    for given in ([row], [row.tolist()], [tuple(row)], (row.tolist(),), [row[None]]):
        np.testing.assert_allclose(net.predict_proba(given), expected, rtol=1e-6)
    one = theanets.Regressor([1, 1], rng=0, mode=MODE)
    column = one.predict(np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(one.predict([[1.0, 2.0, 3.0]]), column)  # one array, of one variable
    np.testing.assert_allclose(one.predict([[1.0]]), column[:1])
