"""Networks that share what another one has: on other layers, or with other losses."""

import pickle

import numpy as np
import pytest

import theanets
from theanets.layers import Feedforward
from theanets.losses import Loss

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X[:, :2].copy()


class Scaled(theanets.Regressor):
    """With arguments of its own, and an overridden loss."""

    def __init__(self, width):
        self.factor = 2.0
        super().__init__([4, width, 2], rng=3, mode="FAST_COMPILE")

    def loss(self, *args, **kwargs):
        return self.factor * super().loss(*args, **kwargs)


def on_first(net, losses=None, **kwargs):
    """Get a network of the first hidden layer and another output."""
    return net.sharing([*net.layers[:2], Feedforward("out", size=2)], losses, **kwargs)


def test_layers_are_shared_and_training_one_trains_the_other():
    net = Scaled(3)
    made = on_first(net, [Loss.build("mae")])
    assert type(made) is Scaled and made.factor == 2.0
    assert made.layers[1] is net.layers[1] and made.find("out.w") is not net.find("out.w")
    assert (made.dtype, made.seed, made.graph.seed) == (net.dtype, net.seed, net.seed)
    before = net.predict(X)
    made.train([X, Y], algo="sgd", epochs=1)
    assert not np.array_equal(net.predict(X), before)


def test_other_losses_have_targets_and_functions_of_their_own():
    net = Scaled(3)
    net.predict(X)
    variables, kept = net.variables, dict(net._cache)
    made = on_first(net, [Loss.build("mae", target="z")])
    assert made.variables[-1].name == "z" and not made._cache
    made.predict(X)
    assert all(a is b for a, b in zip(net.variables, variables, strict=True))
    assert net._cache == kept and [loss.name for loss in net.losses] == ["mse"]


def test_the_same_losses_share_targets_and_functions():
    net = Scaled(3)
    made = net.sharing(net.layers)
    assert made.losses is net.losses and made._cache is net._cache
    assert all(a is b for a, b in zip(made.variables, net.variables, strict=True))
    net.predict(X)
    functions = len(net._cache)
    made.predict(X)
    assert len(net._cache) == functions


def test_one_of_them_is_trained_at_a_time():
    net = Scaled(3)
    made = on_first(net, [Loss.build("mae")])
    assert made._trainer is net._trainer


@pytest.mark.parametrize("own", [True, False])
def test_methods_that_a_class_overrides(own):
    net = Scaled(3)
    made = net.sharing(net.layers, net.losses, own_methods=own)
    factor = net.factor if own else 1
    loss = theanets.Regressor.loss(net).eval({net.inputs[0]: X, net.variables[1]: Y})
    found = made.train([X, Y], algo="sgd", learning_rate=1e-30, epochs=1)[0]["loss"]
    np.testing.assert_allclose(found, loss * factor if own else loss, rtol=1e-5)
    assert net._asks_methods


def test_going_on_from_another_network():
    net = theanets.Autoencoder([4, 3, 4], rng=1)
    other = theanets.Autoencoder([4, 3, 4], rng=2)
    other.train([X], algo="sgd", epochs=1)
    net.go_on_from(other)
    assert (net.seed, net.graph.seed) == (2, 2) and net.history is other.history
    kwargs = dict(algo="sgd", epochs=1, batch_size=2)
    assert net.train([X], **kwargs) == other.train([X], **kwargs)
    net.find("out.b").set_value(np.ones(4, "float32"))
    assert not np.array_equal(net.find("out.b").get_value(), other.find("out.b").get_value())


def test_what_is_not_of_the_package_is_the_user_s():
    """No attribute of the package's is taken for one of the user's."""
    for make in (theanets.Regressor, theanets.recurrent.Classifier, theanets.Autoencoder):
        net = make([4, 3, 4], mode="FAST_COMPILE")
        data = np.zeros((2, 3, 4)) if net.INPUT_NDIM == 3 else X
        net.predict(data)
        net.train([data] if make is theanets.Autoencoder else [data, net.predict(data)], epochs=1)
        assert set(vars(net)) <= net._own
        assert net.__getstate__()["attributes"] == {}


def test_pickles_of_earlier_versions_name_what_has_moved():
    conv = {"form": "conv2", "size": 2, "filter_size": (2, 2)}
    window = theanets.convolution.Classifier([(4, 4, 1), conv, "flat", 2]).layers[1].window
    for value, now, then in (
        (theanets.History(), b"theanets.history", b"theanets.training.history"),
        (window, b"theanets.ops.windows.window", b"theanets.ops.window"),
    ):
        old = pickle.dumps(value, 0)
        assert now in old
        assert type(pickle.loads(old.replace(now, then))) is type(value)


def test_the_usual_loss_is_asked_for_by_name_or_by_saying_nothing():
    for given in ({}, {"loss": "auto"}):
        assert theanets.Network([4, 2], **given).losses[0].name == "mse"
        assert theanets.Classifier([4, 2], **given).losses[0].name == "xe"
        crf = theanets.recurrent.Classifier([4, dict(form="crf", size=2)], **given)
        assert crf.losses[0].name == "crf"
