"""The list of losses: several on one output and on several, their weights, targets and data."""

import copy

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import backends
from theanets.losses import CrossEntropy, MeanAbsoluteError, MeanSquaredError

RNG = np.random.default_rng(6)
X = RNG.normal(size=(30, 4))
Y = RNG.normal(size=(30, 3))
B = RNG.normal(size=(30, 2))
LABELS = RNG.integers(0, 3, 30)


def make(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 3], dtype="float64", **{"rng": 13, **kwargs})


def two_heads(head="linear", **kwargs):
    layers = [4, (5, "tanh"), {"size": 2, "name": "b", "activation": head}]
    layers.append({"size": 3, "name": "out", "inputs": "hid1"})
    return theanets.Regressor(layers, dtype="float64", **{"rng": 13, **kwargs})


def mae(target, output):
    return np.abs(target - output).mean()


def mse(target, output):
    return ((target - output) ** 2).mean()


class Watch(theanets.Callback):
    """Keeps the parameters after the first update."""

    def batch(self, run):
        self.values = [p.get_value() for p in run.params]
        run.stop()


def step(net, data, **keywords):
    """The parameters after one update of all data by sgd."""
    watch, start = Watch(), [p.get_value() for p in net.params]
    keywords = {"algo": "sgd", "learning_rate": 0.1, "batch_size": 30, **keywords}
    net.train(data, callbacks=watch, **keywords)
    for param, value in zip(net.params, start, strict=True):
        param.set_value(value)
    return watch.values


# ---- one output ------------------------------------------------------------------------------


def absolute(target, output):
    return pt.abs(target - output)


@pytest.mark.parametrize(
    "form",
    [
        "mae",
        "MAE",
        "MeanAbsoluteError",
        {"form": "mae"},
        {"form": "mae", "weight": 1, "output_name": "out"},
        MeanAbsoluteError,
        MeanAbsoluteError(),
        absolute,
        {"form": absolute},
        lambda target, output: pt.abs(target - output).mean(),
    ],
)
def test_forms_of_a_loss(form):
    net = make(loss=copy.deepcopy(form))
    assert len(net.losses) == 1
    assert net.evaluate([X, Y])["loss"] == pytest.approx(mae(Y, net.predict(X)))
    added = make(loss=None)
    added.add_loss(copy.deepcopy(form), weight=3)
    assert added.evaluate([X, Y])["loss"] == pytest.approx(3 * mae(Y, net.predict(X)))


def test_several_losses_on_one_output_share_their_target():
    net = make()
    added = net.add_loss("mae", weight=2)
    assert net.losses[1] is added
    assert [v.name for v in net.variables] == ["in", "target"]
    out = net.predict(X)
    expected = {"mse": mse(Y, out), "mae": mae(Y, out)}
    expected["err"] = expected["loss"] = expected["mse"] + 2 * expected["mae"]
    for size in (7, 30):
        assert net.evaluate([X, Y], batch_size=size) == pytest.approx(expected)
    ((train, valid),) = net.itertrain([X, Y], epochs=1, algo="sgd", learning_rate=1e-12)
    assert train == pytest.approx(expected)
    assert valid == pytest.approx(expected)
    assert {"train_mse", "train_mae", "valid_mae"} <= set(net.history.columns)


def test_training_follows_the_sum():
    net = make()
    net.add_loss("mae", weight=2)
    out, hidden = net.predict(X), net.feed_forward(X)["hid1:out"]
    slope = (2 * (out - Y) + 2 * np.sign(out - Y)) / Y.size
    expected = net.find("out.w").get_value() - 0.1 * hidden.T @ slope
    np.testing.assert_allclose(step(net, [X, Y])[2], expected, rtol=1e-10)


def test_weights_may_change_between_trainings(monkeypatch):
    """At the next call, and nothing is compiled again."""
    net, other = make(), make()
    net.add_loss("mae")
    step(net, [X, Y])
    net.evaluate([X, Y])
    monkeypatch.setattr(backends, "function", lambda *a, **k: 1 / 0)
    net.losses[1].weight = 2
    net.losses[0].weight = np.float32(0.5)
    changed, total = step(net, [X, Y]), net.evaluate([X, Y])["loss"]
    net.losses[1].weight = 0
    without = step(net, [X, Y])
    monkeypatch.undo()
    out = net.predict(X)
    assert total == pytest.approx(0.5 * mse(Y, out) + 2 * mae(Y, out))
    other.set_loss("mse", weight=0.5)
    for one, two in zip(without, step(other, [X, Y]), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)
    other.add_loss("mae", weight=2)
    for one, two in zip(changed, step(other, [X, Y]), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_the_list_may_be_changed():
    net = make()
    net.train([X, Y], epochs=1)
    net.losses.append(theanets.Loss.build("mae"))
    assert net.evaluate([X, Y])["loss"] == pytest.approx(
        mse(Y, net.predict(X)) + mae(Y, net.predict(X))
    )
    del net.losses[0]
    assert net.evaluate([X, Y])["loss"] == pytest.approx(mae(Y, net.predict(X)))
    net.train([X, Y], epochs=1)


@pytest.mark.parametrize(
    "loss", ["xe", "hinge", "mse", {"form": "xe", "weight": 2}, CrossEntropy()]
)
def test_the_loss_of_a_classifier_may_be_set(loss):
    net = theanets.Classifier([4, (5, "tanh"), 3])
    net.train([X, LABELS], epochs=1)
    net.set_loss(loss)
    assert len(net.losses) == 1
    assert [v.type.ndim for v in net.variables] == [2, 1]
    before = net.evaluate([X, LABELS])
    net.train([X, LABELS], epochs=5, learning_rate=0.02)
    after = net.evaluate([X, LABELS])
    assert after["loss"] < before["loss"]
    assert "acc" in after


def test_a_classifier_compares_labels_as_vectors():
    net = theanets.Classifier([4, 3], loss="mse", dtype="float64")
    expected = mse(np.eye(3)[LABELS], net.predict_proba(X))
    assert net.evaluate([X, LABELS])["loss"] == pytest.approx(expected)


def test_set_loss_replaces_all():
    net = make()
    net.add_loss("mae")
    net.set_loss("mae", weight=3)
    assert [loss.name for loss in net.losses] == ["mae"]
    assert net.evaluate([X, Y])["loss"] == pytest.approx(3 * mae(Y, net.predict(X)))


def test_a_loss_that_cannot_be_leaves_the_others():
    net = make()
    before = list(net.losses)
    for wrong in ("msee", {"form": "mse", "wieght": 2}, {"form": "mse", "output_name": "nope"}):
        for call in (net.set_loss, net.add_loss):
            with pytest.raises(theanets.ConfigurationError):
                call(wrong)
    assert net.losses == before
    assert np.isfinite(net.evaluate([X, Y])["loss"])


def test_a_loss_may_belong_to_two_networks():
    shared = MeanSquaredError()
    one, two = make(loss=shared), make(loss=shared, rng=3)
    for net in (one, two, one):
        assert net.evaluate([X, Y])["loss"] == pytest.approx(mse(Y, net.predict(X)))


def test_attributes_of_a_loss_of_the_user_may_change():
    class Power(theanets.Loss, register=False):
        power = 2

        def errors(self, target, output):
            return pt.abs(target - output) ** self.power

    net = make(loss=Power)
    assert net.evaluate([X, Y])["loss"] == pytest.approx(mse(Y, net.predict(X)))
    net.losses[0].power = 1
    assert net.evaluate([X, Y])["loss"] == pytest.approx(mae(Y, net.predict(X)))


# ---- several outputs -------------------------------------------------------------------------


def test_heads_with_targets_of_their_own():
    net = two_heads()
    net.add_loss("mae", output_name="b", target="yb", weight=0.5)
    assert [v.name for v in net.variables] == ["in", "target", "yb"]
    outputs = net.feed_forward(X)
    expected = {"mse": mse(Y, outputs["out:out"]), "mae:b": mae(B, outputs["b:out"])}
    expected["err"] = expected["loss"] = expected["mse"] + 0.5 * expected["mae:b"]
    assert net.evaluate([X, Y, B], batch_size=7) == pytest.approx(expected)
    assert net.evaluate({"yb": B, "in": X, "target": Y}) == pytest.approx(expected)
    # Both forms train alike, and the head follows its own loss.
    one, two = step(net, [X, Y, B]), step(net, {"yb": B, "in": X, "target": Y})
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    slope = 0.5 * np.sign(outputs["b:out"] - B) / B.size
    expected = net.find("b.w").get_value() - 0.1 * outputs["hid1:out"].T @ slope
    np.testing.assert_allclose(one[2], expected, rtol=1e-10)
    train, valid = net.train([X, Y, B], {"in": X, "target": Y, "yb": B}, epochs=3)
    assert set(train) == set(valid) == {"loss", "err", "mse", "mae:b"}


def test_heads_of_different_kinds():
    """Values and labels; a weighted loss beside one without weights."""
    net = two_heads(head="softmax")
    net.add_loss("xe", output_name="b", target="kind", weighted=True, weight=2)
    assert [v.name for v in net.variables] == ["in", "target", "kind", "kind_weights"]
    kinds, w = (LABELS > 0).astype(int), RNG.uniform(size=30)
    w[:4] = 0
    outputs = net.feed_forward(X)
    cross = -(w * np.log(outputs["b:out"][np.arange(30), kinds])).sum() / w.sum()
    found = net.evaluate({"in": X, "target": Y, "kind": kinds, "kind_weights": w})
    assert found["xe:b"] == pytest.approx(cross)
    assert found["loss"] == pytest.approx(mse(Y, outputs["out:out"]) + 2 * cross)
    met = outputs["b:out"].argmax(axis=1) == kinds
    assert found["acc:b"] == pytest.approx((w * met).sum() / w.sum())


def test_losses_share_a_named_target():
    net = two_heads(loss=None)
    net.add_loss("mse", target="y")
    net.add_loss("mae", target="y")
    net.add_loss("mse", target="b", output_name="b")
    assert [v.name for v in net.variables] == ["in", "y", "b"]
    outputs = net.feed_forward(X)
    out, b = outputs["out:out"], outputs["b:out"]
    assert net.evaluate({"in": X, "y": Y, "b": B}) == pytest.approx(
        {
            "mse:out": mse(Y, out),
            "mae": mae(Y, out),
            "mse:b": mse(B, b),
            "err": mse(Y, out) + mae(Y, out) + mse(B, b),
            "loss": mse(Y, out) + mae(Y, out) + mse(B, b),
        }
    )


def test_a_hidden_output_may_have_a_loss():
    net = make()
    net.add_loss("mse", output_name="hid1:pre", target="z", weight=0.1)
    z = RNG.normal(size=(30, 5))
    outputs = net.feed_forward(X)
    expected = mse(Y, outputs["out:out"]) + 0.1 * mse(z, outputs["hid1:pre"])
    assert net.evaluate([X, Y, z])["loss"] == pytest.approx(expected)


def test_a_second_loss_of_an_autoencoder():
    net = theanets.Autoencoder([4, (3, "tanh"), 4], dtype="float64")
    net.add_loss("mae")
    net.add_loss("mse", output_name="hid1", target="code")
    assert [v.name for v in net.variables] == ["in", "code"]
    code = RNG.normal(size=(30, 3))
    out = net.predict(X)
    expected = mse(X, out) + mae(X, out) + mse(code, net.encode(X))
    assert net.evaluate([X, code])["loss"] == pytest.approx(expected)


def test_targets_as_variables():
    """The user's own symbolic target; it is named like an array of the data."""
    target = pt.dmatrix("mine")
    net = make(loss={"form": "mse", "target": target})
    assert [v.name for v in net.variables] == ["in", "mine"]
    assert net.variables[1] is target
    assert net.evaluate({"in": X, "mine": Y})["loss"] == pytest.approx(mse(Y, net.predict(X)))


def test_a_network_without_a_loss():
    net = make(loss=None)
    assert net.variables == net.inputs
    np.testing.assert_allclose(net.predict(X), make().predict(X))
    found = net.evaluate([X], hidden_l2=2)
    assert found["loss"] == pytest.approx(2 * (net.feed_forward(X)["hid1:out"] ** 2).mean())
    assert found["err"] == 0
    # The penalties are then all that can be validated.
    with pytest.warns(theanets.ZeroGradientWarning, match=r"out\.w, out\.b"):
        _, valid = net.train([X], epochs=1, hidden_l2=2)
    assert valid["loss"] == net.evaluate([X], hidden_l2=2)["loss"] < found["loss"]


def test_the_symbolic_total():
    net = make()
    net.add_loss("mae", weight=2)
    net.losses[1].weight = 3
    function = pytensor.function(net.variables, net.loss(weight_l2=0.5))
    assert function(X, Y) == pytest.approx(net.evaluate([X, Y], weight_l2=0.5)["loss"])


def test_losses_survive_a_copy_and_a_file(tmp_path):
    net = two_heads()
    net.add_loss("mae", output_name="b", target="yb", weight=0.5, weighted=True)
    w = RNG.uniform(size=B.shape)
    expected = net.evaluate([X, Y, B, w])
    net.save(tmp_path / "net")
    for other in (copy.deepcopy(net), theanets.Regressor.load(tmp_path / "net")):
        assert [loss.log() for loss in other.losses] == [loss.log() for loss in net.losses]
        assert other.evaluate([X, Y, B, w]) == pytest.approx(expected)
