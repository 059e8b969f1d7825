"""Classes that override what is trained and measured: loss(), monitors(), updates()."""

import copy

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.errors import ConfigurationError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 4)), RNG.normal(size=(23, 2))
SGD = dict(algo="sgd", learning_rate=0.1, epochs=1, batch_size=23, patience=None)


class Decayed(theanets.Regressor):
    """Adds a penalty of its own."""

    strength = 0.3

    def loss(self, **kwargs):
        return super().loss(**kwargs) + self.strength * pt.sqr(self.find("out.w")).mean()


class Doubled(theanets.Regressor):
    """Has a loss of another kind, of outputs and variables, written as for earlier versions."""

    def loss(self, **kwargs):
        outputs, _ = self.build_graph(kwargs.get("regularizers", ()))
        return 2 * abs(outputs["out:out"] - self.variables[-1]).mean()


class Watched(theanets.Regressor):
    def monitors(self, **kwargs):
        found = super().monitors(**kwargs)
        outputs = self.outputs(**{k: v for k, v in kwargs.items() if k != "monitors"})
        return [*found, ("largest", abs(outputs["hid1:out"]).max()), ("mse", found[0][1] * 3)]


class Counted(theanets.Regressor):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.steps = pytensor.shared(np.int64(0), name="steps")

    def updates(self, **kwargs):
        return [*super().updates(**kwargs), (self.steps, self.steps + 1)]


def make(kind, **kwargs):
    return kind([4, (5, "tanh"), 2], dtype="float64", rng=1, **kwargs)


def values(net):
    return [param.get_value() for param in net.params]


def mse(net):
    return ((net.predict(X) - Y) ** 2).mean()


def decay(net):
    return net.strength * (net.find("out.w").get_value() ** 2).mean()


@pytest.mark.parametrize("algo", ["sgd", "l-bfgs"])
def test_a_term_is_added(algo):
    net, plain = make(Decayed), make(theanets.Regressor)
    w = net.find("out.w").get_value()
    if algo == "sgd":
        net.train([X, Y], **SGD)
        plain.train([X, Y], **SGD)
        expected = plain.find("out.w").get_value() - 0.1 * net.strength * 2 * w / w.size
        np.testing.assert_allclose(net.find("out.w").get_value(), expected, rtol=1e-10)
        np.testing.assert_allclose(*(n.find("hid1.w").get_value() for n in (net, plain)))
    else:
        before = mse(net) + decay(net)
        train, _ = net.train([X, Y], algo=algo, epochs=5)
        assert train["loss"] < before
    for size in (23, 10, 4):
        found = net.evaluate([X, Y], batch_size=size)
        assert found["loss"] == found["err"] == pytest.approx(mse(net) + decay(net), rel=1e-9)
        assert found["mse"] == pytest.approx(mse(net), rel=1e-12)
        assert found["own"] == pytest.approx(decay(net), rel=1e-9)


def test_the_validation_is_clean_and_about_the_same():
    net = make(Decayed)
    options = dict(hidden_dropout=0.5, weight_l2=0.1, rng=3)
    _, valid = net.train([X, Y], [X, Y], **{**SGD, "epochs": 3}, **options)
    assert valid["loss"] == pytest.approx(mse(net) + decay(net), rel=1e-9)
    assert "weight_l2" in net.history.columns[1] or "train_weight_l2" in net.history.columns
    # The loss of training has the noise, which is new in each step, and the penalty.
    rows = net.history["train_loss"]
    assert len(set(rows)) == 3
    parts = [net.history[f"train_{key}"] for key in ("mse", "own", "weight_l2")]
    np.testing.assert_allclose(np.sum(parts, axis=0), rows, rtol=1e-9)


def test_what_is_returned_is_what_is_trained():
    net, twin = make(Doubled), make(theanets.Regressor, loss="mae")
    net.train([X, Y], **SGD)
    twin.train([X, Y], **{**SGD, "learning_rate": 0.2})
    for ours, theirs in zip(values(net), values(twin), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    found = net.evaluate([X, Y], batch_size=5)
    assert found["loss"] == pytest.approx(2 * abs(net.predict(X) - Y).mean(), rel=1e-9)
    assert found["mse"] == pytest.approx(mse(net), rel=1e-12)
    # Noise belongs to the graph that build_graph() gives.
    again = make(Doubled)
    again.train([X, Y], **SGD, hidden_dropout=0.5)
    assert any((a != b).any() for a, b in zip(values(again), values(net), strict=True))


def test_a_clean_loss_may_be_asked_for_and_no_losses_be_there():
    class Clean(theanets.Regressor):
        def loss(self):
            return super().loss()

    net, plain = make(Clean), make(theanets.Regressor)
    net.train([X, Y], **SGD, hidden_dropout=0.5)
    plain.train([X, Y], **SGD)
    for ours, theirs in zip(values(net), values(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)

    class Small(theanets.Network):
        def loss(self, **kwargs):
            return pt.sqr(self.outputs(**kwargs)["out:out"]).mean()

    net = make(Small, loss=None)
    before = net.evaluate([X])["loss"]
    assert before == pytest.approx((net.predict(X) ** 2).mean())
    assert net.train([X], **SGD)[0]["loss"] < before


def test_it_follows_attributes_and_weights():
    net = make(Decayed)
    for strength, weight in ((0.3, 1), (2.0, 1), (0.3, 4)):
        net.strength, net.losses[0].weight = strength, weight
        assert net.evaluate([X, Y])["loss"] == pytest.approx(weight * mse(net) + decay(net))
    twin = copy.deepcopy(net)
    assert twin.evaluate([X, Y])["loss"] == pytest.approx(net.evaluate([X, Y])["loss"])


def test_monitors():
    net = make(Watched)
    found = net.evaluate([X, Y], monitors={"hid1": 0.1})
    assert found["loss"] == found["mse"] == pytest.approx(mse(net))
    assert found["largest"] == pytest.approx(abs(net.feed_forward(X)["hid1:out"]).max())
    assert found["mse:2"] == pytest.approx(3 * mse(net))
    assert "hid1<0.1" in found
    net.train([X, Y], **SGD, hidden_dropout=0.2)
    assert {"train_largest", "valid_largest"} <= set(net.history.columns)
    plain = make(theanets.Regressor)
    plain.train([X, Y], **SGD, hidden_dropout=0.2)
    for ours, theirs in zip(values(net), values(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_monitors_may_leave_out_what_is_not_a_loss():
    class Plain(theanets.Classifier):
        def monitors(self, **kwargs):
            return [pair for pair in super().monitors(**kwargs) if pair[0] != "acc"]

    net = Plain([4, 3])
    assert [*net.evaluate([X, RNG.integers(0, 3, 23)])] == ["loss", "err", "xe"]

    class Wrong(theanets.Regressor):
        def monitors(self, **kwargs):
            return ["mse"]

    with pytest.raises(ConfigurationError, match="pairs"):
        make(Wrong).evaluate([X, Y])


def test_updates():
    net = make(Counted)
    net.train([X, Y], **{**SGD, "batch_size": 8, "epochs": 2})
    assert net.steps.get_value() == 6


def test_pretraining_is_of_the_network_or_of_its_autoencoder():
    class Deep(theanets.Classifier):
        def loss(self, **kwargs):
            return super().loss(**kwargs) + pt.sqr(self.find("hid1.w")).mean()

    labels = RNG.integers(0, 2, 23)
    for algo in ("layerwise", "pretrain", "sample"):
        net = Deep([4, 6, 5, 2])
        train, _ = net.train([X, labels], algo=algo, epochs=1)
        assert ("own" in train) == (algo != "pretrain")


def test_series_of_different_lengths():
    class Decayed(theanets.recurrent.Regressor):
        def loss(self, **kwargs):
            return super().loss(**kwargs) + pt.sqr(self.find("out.w")).mean()

    net = Decayed([4, (3, "rnn"), 2], dtype="float64")
    xs = [X[:5], X[5:7], X[7:16]]
    ys = [Y[:5], Y[5:7], Y[7:16]]
    error = np.concatenate([(net.predict(x[None])[0] - y) ** 2 for x, y in zip(xs, ys)]).mean()
    expected = error + (net.find("out.w").get_value() ** 2).mean()
    assert net.evaluate([xs, ys], batch_size=2)["loss"] == pytest.approx(expected, rel=1e-9)
    net.train([xs, ys], **SGD)


def test_classes_that_override_nothing_of_it_share_functions(monkeypatch):
    class Named(theanets.Regressor):
        def predict(self, x, **kwargs):
            return -super().predict(x, **kwargs)

    net = make(Named)
    assert net.score(X, -net.feed_forward(X)["out:out"]) == pytest.approx(1)
    first = net.evaluate([X, Y])
    net.note = "an attribute"
    monkeypatch.setattr(theanets.backends, "function", lambda *a, **k: 1 / 0)
    assert net.evaluate([X, Y]) == first
