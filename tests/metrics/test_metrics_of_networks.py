"""Metrics of networks: several outputs, in the course of training, as criterion, own ones."""

import importlib
import itertools

import numpy as np
import pytest
from metric_cases import LABELS, OF_VALUES, VALUES, WEIGHTS, X, quiet

import theanets
from theanets.errors import ConfigurationError, DataError, UnknownNameError

reference = pytest.importorskip("sklearn.metrics")


def two_tasks():
    layers = [4, (6, "tanh"), {"size": 3, "name": "b", "activation": "softmax"}]
    net = theanets.Regressor([*layers, {"size": 3, "name": "out", "inputs": "hid1"}], loss="huber")
    net.add_loss("xe", output_name="b", target="kind", weighted=True)
    net.add_loss("hinge", output_name="b", target="kind")
    net.add_loss("mae", target="y2")
    return net


TWO = [X, VALUES, np.minimum(LABELS, 2), WEIGHTS, VALUES + 1]


def test_several_outputs_and_targets():
    net = two_tasks()
    outputs = net.feed_forward(X)
    found = net.evaluate(TWO, metrics=["accuracy", "rmse"], batch_size=8)
    # Of two losses on the same target, the weights of the first.
    expected = quiet(
        reference.accuracy_score, TWO[2], outputs["b:out"].argmax(axis=1), weights=WEIGHTS
    )
    assert found["accuracy:b"] == pytest.approx(expected)
    rmse = OF_VALUES["rmse"]
    assert found["rmse"] == pytest.approx(rmse(VALUES, outputs["out:out"]), rel=1e-5)
    assert found["rmse:y2"] == pytest.approx(rmse(VALUES + 1, outputs["out:out"]), rel=1e-5)
    found = net.evaluate(TWO, metrics={"b": ["f1", "top_2"], "out": "r2"})
    names = ["f1:b", "top_2:b", "r2", "r2:y2"]
    assert list(found)[-4:] == names
    with pytest.raises(UnknownNameError, match=r"output of metrics 'c:out'.*b:out"):
        net.evaluate(TWO, metrics={"c": "f1"})
    with pytest.raises(ConfigurationError, match=r"'f1' compares class labels.*out:out: values"):
        net.evaluate(TWO, metrics={"out": "f1"})


def test_in_the_course_of_training():
    net = theanets.Classifier([4, (6, "tanh"), 5])
    wanted = ["f1", "top_2", "accuracy"]
    data, valid = [X, LABELS], [X[:9], LABELS[:9]]
    kwargs = dict(algo="sgd", learning_rate=1e-30, batch_size=8, epochs=2)
    train, validated = net.train(data, valid, metrics=wanted, **kwargs)
    for found, columns in ((train, "train"), (validated, "valid")):
        expected = net.evaluate(data if columns == "train" else valid, metrics=wanted)
        assert list(found)[-3:] == wanted
        assert found == pytest.approx(expected, rel=1e-6)
        for name in wanted:
            assert net.history[f"{columns}_{name}"] == pytest.approx([expected[name]] * 2)
    # Of the network with its noise.
    net.train(data, valid, metrics=wanted, hidden_dropout=0.9, **kwargs)
    assert net.history["train_top_2"] != pytest.approx([train["top_2"]] * 2)


def test_callbacks_may_evaluate_the_same():
    net = theanets.Classifier([4, (6, "tanh"), 5], rng=13)
    data, valid = [X, LABELS], [X[:9], LABELS[:9]]
    seen = []

    class Look(theanets.Callback):
        def batch(self, run):
            net.evaluate([X[:3], LABELS[:3]], metrics=["f1"])
            seen.append(net.evaluate(valid, metrics=["accuracy"])["accuracy"])

    kwargs = dict(algo="sgd", learning_rate=0.1, batch_size=8, epochs=3, metrics=["f1"])
    net.train(data, valid, callbacks=Look(), **kwargs)
    watched = [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]
    net = theanets.Classifier([4, (6, "tanh"), 5], rng=13)
    net.train(data, valid, **kwargs)
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in net.history] == watched
    assert len(seen) == 15


@pytest.mark.parametrize("algo", ["sgd", "l-bfgs"])
def test_as_criterion(algo):
    net = theanets.Regressor([4, (6, "tanh"), 3])
    data, valid = [X, VALUES], [X[:9], VALUES[:9]]
    for name, best in (("rmse", min), ("r2", max)):
        _, found = net.train(data, valid, algo, metrics=["rmse", "r2"], criterion=name, epochs=5)
        column = net.history[f"valid_{name}"]
        assert found[name] == best(column) or net.history.best_epoch == 0
        assert net.evaluate(valid, metrics=name)[name] == pytest.approx(found[name], rel=1e-6)
    net = theanets.Classifier([4, 5])
    with pytest.raises(DataError, match="criterion='auc' is nan"):
        net.train([X, LABELS], algo=algo, metrics=["auc"], criterion="auc", epochs=1)
    with pytest.raises(UnknownNameError, match="unknown criterion 'f1'"):
        net.train([X, LABELS], algo=algo, metrics=["auc"], criterion="f1", epochs=1)


def test_batches_that_come_in():
    net = theanets.Classifier([4, 5])
    parts = [[X[i : i + 8], LABELS[i : i + 8]] for i in range(0, 37, 8)]
    whole = net.evaluate([X, LABELS], metrics=["f1", "auc"])
    found = net.evaluate(iter(parts), metrics=["f1", "auc"])
    assert found == pytest.approx(whole, rel=1e-6, nan_ok=True)
    batches = itertools.cycle(parts)
    kwargs = dict(algo="sgd", learning_rate=1e-30, epochs=2, train_batches=5)
    _, valid = net.train(lambda: next(batches), metrics=["f1"], **kwargs)
    assert valid["f1"] == pytest.approx(whole["f1"])


def test_an_autoencoder():
    net = theanets.Autoencoder([4, 2, 4], dtype="float64")
    found = net.evaluate([X], metrics=["r2"], batch_size=8)
    assert found["r2"] == pytest.approx(net.score(X), rel=1e-12)


class MeanLevel(theanets.metrics.Metric, names=("mean_level",)):
    """The mean output, which is neither good nor bad."""

    kinds = ("values",)
    better = None
    options = {"factor": 1.0}  # noqa: RUF012

    def start(self, kind, size):
        self.outputs = []

    def add(self, part):
        self.outputs.append(part.output)

    def value(self):
        return self.factor * np.concatenate(self.outputs).mean()


def test_metrics_of_ones_own():
    net = theanets.Regressor([4, 3])
    mean = net.predict(X).mean()
    found = net.evaluate([X, VALUES], metrics="mean_level", batch_size=8)
    assert found["mean_level"] == pytest.approx(mean, rel=1e-5)
    for spec in ({"form": "mean_level", "factor": 3}, MeanLevel(factor=3)):
        found = net.evaluate([X, VALUES], metrics=spec)
        assert found["mean_level"] == pytest.approx(3 * mean, rel=1e-5)
    with pytest.raises(ConfigurationError, match=r"criterion=.'mean_level', 'min'"):
        net.train([X, VALUES], metrics=MeanLevel, criterion="mean_level")


WRONG = [
    ("acuracy", UnknownNameError, "unknown metric 'acuracy'.*did you mean 'accuracy'"),
    ("top_x", UnknownNameError, "top_x"),
    ("top_0", ConfigurationError, "k=0 is not an integer of at least 1"),
    ("top_5", ConfigurationError, "'top_5' of 5 classes is always 1.*less than 5"),
    ({"form": "top_k", "k": 1.5}, ConfigurationError, "k=1.5"),
    ({"form": "f1", "averge": "macro"}, ConfigurationError, "'averge'.*'average'"),
    ("f1_mean", ConfigurationError, "average='mean' is not one of 'auto', 'binary'"),
    ("f1_binary", ConfigurationError, "'f1_binary' is for two classes.*there are 5.*macro"),
    ("r2", ConfigurationError, "'r2' compares values.*out:out: class labels"),
    (3, ConfigurationError, "metrics: 3 is not a metric"),
    ([{"k": 3}], ConfigurationError, "metrics: None is not a metric"),
]


@pytest.mark.parametrize(("spec", "error", "message"), WRONG)
def test_what_is_no_metric(spec, error, message):
    net = theanets.Classifier([4, 5])
    for call in (net.evaluate, net.train):
        with pytest.raises(error, match=message):
            call([X, LABELS], metrics=spec)


def test_without_scikit_learn(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    net = theanets.Classifier([4, 5])
    with pytest.raises(ConfigurationError, match=r"needs scikit-learn.*pip install"):
        net.evaluate([X, LABELS], metrics="auc")
    assert "f1" in net.evaluate([X, LABELS], metrics="f1")
