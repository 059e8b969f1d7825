"""The network's output: the last layer's, whatever its name, or what the first loss is about."""

import copy

import numpy as np
import pytest

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 3))
LABELS = RNG.integers(0, 3, 20)
SERIES, MARKS = RNG.normal(size=(6, 5, 4)), RNG.integers(0, 3, (6, 5))
HEADS = [
    dict(size=3, name="mean", inputs="hid1", activation="linear"),
    dict(size=3, name="covar", inputs="hid1", activation="softplus"),
]


def alike(make, data, use, **train):
    """Check that a network does the same, whatever its last layer is called."""
    found = []
    for name in ("out", "foo"):
        net = make(name)
        assert net.output_name == f"{name}:out" and net.output_layer is net.layers[-1]
        # Of layers by their names, the weights differ.
        for param, values in zip(net.params, found[0][0] if found else []):
            param.set_value(values)
        start = [param.get_value() for param in net.params]
        net.train(data, epochs=2, batch_size=5, rng=1, **train)
        params = [param.get_value() for param in net.params]
        found.append((start, params, list(net.history.rows[-1])[3:], *use(net)))
    for one, other in zip(*(f[1] for f in found), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][2] == found[1][2]
    for one, other in zip(*(f[3:] for f in found), strict=True):
        np.testing.assert_array_equal(one, other)


def last(name, size=3, **options):
    return dict(size=size, name=name, **options)


def test_regressor():
    alike(
        lambda name: theanets.Regressor([4, 5, last(name)]),
        [X, Y],
        lambda net: (net.predict(X), net.score(X, Y), net.evaluate([X, Y], metrics="r2")["r2"]),
        metrics=["r2"],
        monitors={"hid1": 0.1},
    )


def test_classifier():
    def use(net):
        proba, logits = net.predict_proba(X), net.predict_logit(X)
        assert proba.sum(axis=1) == pytest.approx(np.ones(20))
        return net.predict(X), proba, logits, net.score(X, LABELS), net.evaluate([X, LABELS])["acc"]

    alike(
        lambda name: theanets.Classifier([4, (5, "tanh"), last(name)]),
        [X, LABELS],
        use,
        metrics=["f1", "auc"],
    )


@pytest.mark.parametrize("tied", [False, True])
def test_autoencoder(tied):
    layer = dict(form="tied") if tied else dict(size=4)
    alike(
        lambda name: theanets.Autoencoder([4, (2, "tanh"), {**layer, "name": name}]),
        [X],
        lambda net: (net.encode(X), net.decode(net.encode(X)), net.predict(X), net.score(X)),
    )


def test_labels_of_series():
    def use(net):
        assert net.losses[0].name == "crf"
        proba = net.predict_proba(SERIES[:, :2], mask=np.ones((6, 2)))
        return net.predict(SERIES), proba, net.score(SERIES, MARKS)

    alike(
        lambda name: theanets.recurrent.Classifier([4, last(name, form="crf")]),
        [SERIES, MARKS],
        use,
    )


def test_recurrent_models():
    def use(net):
        whole, state = net.predict(SERIES, return_state=True)
        stream = net.stream(6)
        steps = [stream.step(SERIES[:, t]) for t in range(5)]
        np.testing.assert_allclose(np.argmax(steps[-1], 1), whole[:, -1])
        ragged = net.predict([SERIES[0], SERIES[1, :3]])
        sequence = list(net.predict_sequence([1, 2], 3, greedy=True))
        return whole, state["hid1"]["h"], ragged, sequence

    def make(name):
        return recurrent.Classifier([4, (5, "rnn"), last(name, 4)])

    alike(make, [SERIES, MARKS], use)
    alike(
        lambda name: recurrent.Predictor([4, (5, "rnn"), last(name, 4)]),
        [SERIES],
        lambda net: (net.generate(SERIES, 3),),
    )


def test_layerwise():
    """The output layers of the stages are drawn anew, by their names."""
    net = theanets.Classifier([4, 6, 5, last("foo")])
    before = net.evaluate([X, LABELS])["loss"]
    train, _ = net.train([X, LABELS], algo="layerwise", epochs=5)
    assert train["loss"] < before and "acc" in train


@pytest.mark.parametrize("algo", ["pretrain", "sample"])
def test_pretraining(algo):
    alike(
        lambda name: theanets.Classifier([4, 6, 5, last(name)]),
        [X, LABELS],
        lambda net: (net.predict_proba(X),),
        algo=[algo, "sgd"],
    )


def test_other_users_of_the_output():
    plot = theanets.plot
    pytest.importorskip("matplotlib")
    net = theanets.Classifier([4, 5, last("foo")])
    counts = plot.tables.confusion_counts(net, X, LABELS)
    assert counts.sum() == 20
    assert "foo" in net.summary() and "foo" in net._repr_html_()


@pytest.mark.parametrize("loss", [None, "mse"])
def test_the_last_layer_has_the_activation_of_outputs(loss):
    for kind, expected in ((theanets.Regressor, "linear"), (theanets.Classifier, "softmax")):
        for end in (last("foo"), theanets.layers.Feedforward("foo", size=3), (3, "relu"), 3):
            net = kind([4, 5, end], loss=loss)
            given = "relu" if isinstance(end, tuple) else expected
            assert net.layers[-1].activation.name == given
            assert net.layers[1].activation.name == "relu"
            if loss is None:
                net.add_loss("mse")
            assert net.losses[0].output_name == net.layers[-1].output_name


def test_two_heads_of_a_likelihood(tmp_path):
    net = theanets.Regressor([4, 5, *HEADS], loss="gll", rng=1)
    assert net.output_name == "mean:out"
    before = net.evaluate([X, Y])["loss"]
    net.train([X, Y], epochs=5, metrics="r2")
    assert net.evaluate([X, Y])["loss"] < before
    assert "valid_r2" in net.history.columns
    np.testing.assert_array_equal(net.predict(X), net.feed_forward(X)["mean:out"])
    residual = ((Y - net.predict(X)) ** 2).sum(axis=0) / ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
    assert net.score(X, Y) == pytest.approx(1 - residual.mean(), rel=1e-5)
    assert net.add_loss("mae").output_name == "mean:out"
    net.save(tmp_path / "net")
    for twin in (theanets.Network.load(tmp_path / "net"), copy.deepcopy(net)):
        np.testing.assert_array_equal(twin.predict(X), net.predict(X))


def test_it_stays_when_heads_are_added(tmp_path):
    for end in ("out", "foo"):
        net = theanets.Regressor([4, 5, last(end)], loss=None)
        net.add_layer(2, name="more", inputs="hid1")
        net.add_layer(2, name="most")  # on top of the one before
        assert net.output_name == f"{end}:out"
        assert net.add_loss("mse").output_name == f"{end}:out"
        net.losses.clear()
        net.save(tmp_path / "net")
        assert theanets.Network.load(tmp_path / "net").output_name == f"{end}:out"
    net.add_loss("mse", output_name="more", target="z")
    assert net.output_name == "more:out"


def test_a_hidden_layer_may_be_called_out():
    net = theanets.Regressor([4, dict(size=5, name="out"), 3])
    assert [layer.name for layer in net.layers] == ["in", "out", "hid2"]
    assert net.predict(X).shape == (20, 3)
    assert net.losses[0].output_name == net.output_name == "hid2:out"
    assert net.layers[1].activation.name == "linear"
    net.train([X, Y], epochs=1)


def test_layers_that_come_later():
    net = theanets.Regressor()
    net.add_layer(4)
    net.add_layer(5)
    assert net.output_name == "hid1:out"
    net.add_layer(3, name="foo", activation="linear")
    assert net.output_name == net.bound_losses()[0].output_name == "foo:out"
    net.train([X, Y], epochs=1)
    assert net.predict(X).shape == (20, 3)


def test_the_output_of_a_loss_may_be_changed():
    net = theanets.Regressor([4, 5, last("foo")])
    shared = net.losses[0]
    other = theanets.Regressor([4, last("bar")], loss=shared)
    assert other.losses[0].output_name == "bar:out"
    assert net.bound_losses()[0].output_name == "foo:out"
    shared.output_name = "hid1"
    assert net.bound_losses()[0].output_name == "hid1:out"
    assert net.output_name == "hid1:out"


@pytest.mark.parametrize("layers", [[], [6], [6, dict(form="input", size=2)]])
def test_without_a_layer_that_computes(layers):
    for kind in (theanets.Regressor, theanets.Classifier, theanets.Autoencoder):
        net = kind(layers)
        x = np.zeros((3, 6))
        for call in (
            lambda net=net, x=x: net.train([x]),
            lambda net=net, x=x: net.evaluate([x]),
            lambda net=net, x=x: net.predict(x),
            lambda net=net, x=x: net.loss(),
        ):
            with pytest.raises(ConfigurationError, match="no layer that computes"):
                call()


# ---- weights, which losses leave to the network too -----------------------------------------


def test_a_loss_is_weighted_as_its_network_is(tmp_path):
    w = RNG.uniform(size=Y.shape)
    for made in ("mse", {"form": "mse"}, theanets.Loss.build("mse"), lambda t, o: (t - o) ** 2):
        net = theanets.Regressor([4, 5, 3], loss=made, weighted=True, dtype="float64")
        assert [v.name for v in net.variables] == ["in", "target", "weights"]
        error = (w * (net.predict(X) - Y) ** 2).sum() / w.sum()
        assert net.evaluate([X, Y, w])["loss"] == pytest.approx(error)
        twin = copy.deepcopy(net)
        assert twin.evaluate([X, Y, w])["loss"] == pytest.approx(error)
    net.set_loss(theanets.Loss.build("mae", weighted=False))
    assert [v.name for v in net.variables] == ["in", "target"]
    net.set_loss(theanets.Loss.build("mae"), weighted=False)
    assert [v.name for v in net.variables] == ["in", "target"]


def test_networks_that_share_a_loss_may_differ(tmp_path):
    loss = theanets.Loss.build("mse")
    net = theanets.Regressor([4, last("foo")], loss=loss, weighted=True)
    other = theanets.Regressor([4, last("bar")], loss=loss)
    for one, name in ((net, "foo"), (other, "bar"), (net, "foo")):
        assert len(one.variables) == 2 + one.weighted
        one.save(tmp_path / "net")
        for twin in (theanets.Network.load(tmp_path / "net"), copy.deepcopy(one)):
            assert twin.losses[0].weighted == one.weighted
            assert twin.losses[0].output_name == f"{name}:out"
        other.bound_losses()
