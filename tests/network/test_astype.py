"""``net.astype``: the same network in another type."""

import importlib.util
from pathlib import Path

import numpy as np
import pytensor
import pytest

import theanets
from theanets.errors import ConfigurationError

MODE = "FAST_COMPILE"
ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("cases", ROOT / "docs" / "make_linker_table.py")
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)
LAYERS = {name: rest for name, *rest in cases.layers()}
for *_, options, _ in LAYERS.values():
    options.pop("train", None)
#: Layers with parameters, state, a loop and a search.
TRAINED = ("feedforward", "batch_norm", "lstm", "crf")


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name):
    kind, layers, options, data = LAYERS[name]
    net = kind(layers, rng=1, mode=MODE, **options)
    x = data[:2] if name == "lengths" else data[0]
    double = net.astype("float64")
    assert type(double) is kind
    assert (net.dtype, double.dtype, double.mode) == ("float32", "float64", MODE)
    for one, other in zip([*net.params, *net.state], [*double.params, *double.state], strict=True):
        assert (one.name, other.dtype) == (other.name, "float64")
        np.testing.assert_array_equal(one.get_value(), other.get_value())
    output = double.output_layer.output_name
    expected, found = (n.feed_forward(x)[output] for n in (net, double))
    assert found.dtype == "float64"
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    back = double.astype(np.float32)
    np.testing.assert_array_equal(back.predict(x), net.predict(x))
    if name not in TRAINED:
        return
    # It has parameters of its own, and trains in its type.
    before = [p.get_value() for p in net.params]
    double.train(data, algo="sgd", epochs=1)
    assert {p.get_value().dtype for p in double.params} <= {np.dtype("float64")}
    for old, p in zip(before, net.params, strict=True):
        np.testing.assert_array_equal(old, p.get_value())


def test_losses_metadata_and_attributes_come_along(rng):
    net = theanets.Classifier(
        [3, 2], rng=1, mode=MODE, weighted=True, loss={"form": "xe", "class_weight": [1, 3]}
    )
    net.add_loss(lambda target, output: (output**2).sum(axis=-1), weight=0.5)
    net.metadata["classes"] = ["a", "b"]
    net.mine = [net.layers[1], "x"]
    data = [
        rng.normal(size=(8, 3)),
        rng.integers(0, 2, 8),
        rng.uniform(size=8),
        rng.integers(0, 2, 8),
        np.ones(8),
    ]
    data = data[: len(net.variables)]
    net.train(data, algo="sgd", epochs=1)
    double = net.astype("float64")
    one, other = net.evaluate(data), double.evaluate(data)
    assert one == pytest.approx(other, rel=1e-5)
    assert one.keys() == other.keys()
    assert double.metadata == net.metadata
    assert double.mine[0] is double.layers[1]
    assert double.seed == net.seed
    assert len(double.history) == 1


def test_types(monkeypatch):
    net = theanets.Regressor([3, 2], rng=1, dtype="float64")
    same = net.astype("float64")
    assert same is not net
    assert same.params[0] is not net.params[0]
    with pytensor.config.change_flags(floatX="float32"):
        assert net.astype("floatX").dtype == "float32"
    for wrong in ("float16", int, None):
        with pytest.raises(ConfigurationError, match="is not 'float32', 'float64' or 'floatX'"):
            net.astype(wrong)
    w = net.find("out", "w")
    w.set_value(np.full((3, 2), 1e300))
    with pytest.raises(
        ConfigurationError, match=r"parameter 'out.w' has the value 1e\+300, beyond"
    ):
        net.astype("float32")
    # What is infinite already stays so.
    w.set_value(np.full((3, 2), np.inf))
    assert np.isinf(net.astype("float32").find("out", "w").get_value()).all()


def test_estimators(rng):
    sklearn = pytest.importorskip("theanets.sklearn")
    x = rng.normal(size=(20, 3))
    estimator = sklearn.NetClassifier((4,), epochs=2, patience=None, random_state=1, mode=MODE)
    estimator.fit(x, x[:, 0] > 0)
    assert estimator.network_.dtype == "float64"
    single = estimator.astype("float32")
    assert (single.network_.dtype, single.get_params()["dtype"]) == ("float32", "float32")
    assert single.predict_proba(x).dtype == "float32"
    np.testing.assert_allclose(single.predict_proba(x), estimator.predict_proba(x), rtol=1e-4)
    assert estimator.network_.dtype == "float64"
    single.partial_fit(x, x[:, 0] > 0)
    with pytest.raises(ValueError, match="not fitted"):
        sklearn.NetClassifier().astype("float32")
