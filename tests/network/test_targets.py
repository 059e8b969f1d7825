"""Targets of networks: their names, and the losses on them."""

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets.errors import ConfigurationError


@pytest.mark.parametrize("name", ["target", "weights"])
def test_inputs_named_like_targets(name, rng):
    """Arrays are told apart by what they are, and each has a name of its own."""
    net = theanets.Regressor([dict(size=3, name=name), 4, 2], weighted=True)
    names = [v.name for v in net.variables]
    assert names[0] == name
    assert len(set(names)) == 3
    x, y, w = rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), rng.random((8, 2))
    expected = (w * (net.predict(x) - y) ** 2).sum() / w.sum()
    assert net.evaluate([x, y, w])["loss"] == pytest.approx(expected, rel=1e-5)
    by_name = dict(zip(names, [x, y, w]))
    assert net.evaluate(by_name)["loss"] == pytest.approx(expected, rel=1e-5)


def test_an_input_that_takes_the_name_of_a_target(rng):
    net = theanets.Regressor([3, 2])
    assert [v.name for v in net.variables] == ["in", "target"]
    net.add_layer(form="input", size=4, name="target")
    assert len({v.name for v in net.variables}) == 3


def test_names_that_clash():
    net = theanets.Regressor([3, 2])
    for target in ("in", pt.matrix("in", dtype="float32")):
        with pytest.raises(ConfigurationError, match="would be called 'in'"):
            net.add_loss("mae", target=target)
    with pytest.raises(ConfigurationError, match="would be called 'target'"):
        net.add_loss("mae", target=pt.matrix("target", dtype="float32"))
    with pytest.raises(ConfigurationError, match="has no name"):
        net.add_loss("mae", target=pt.matrix(dtype="float32"))
    assert len(net.losses) == 1


def test_one_variable_for_losses_on_one_target():
    net = theanets.Regressor([3, 2])
    net.add_loss("mae", weighted=True)
    net.add_loss("mse", target="y2", weighted=True)
    net.add_loss("mae", target="y2")
    names = [v.name for v in net.variables]
    assert names == ["in", "target", "weights", "y2", "y2_weights"]
    assert net.losses[0]._target is net.losses[1]._target
    assert net.losses[2]._target is net.losses[3]._target


def test_unweighted_losses_see_everything():
    """NaN under weight 0 is harmless only if no loss looks at the entry all the same."""
    net = theanets.Regressor([3, 2], weighted=True)
    assert net.fields[1].weighted_by == "weights"
    net.add_loss("mae", weighted=False)
    assert net.fields[1].weighted_by is None
    assert [f.role for f in net.fields] == ["input", "target", "weights"]
    net = theanets.Autoencoder([3, 2, 3], weighted=True)
    assert net.fields[0].impute
    net.add_loss("mae", weighted=False)
    assert not net.fields[0].impute


def test_the_list_of_losses_says_all():
    """Nothing remains of losses that are no longer in the list."""
    net = theanets.Network([3, (4, "softmax")], loss="mse")
    assert net.variables[1].type.shape == (None, 4)
    net.losses.clear()
    net.add_loss("xe")
    assert (net.variables[1].dtype, net.variables[1].type.shape) == ("int32", (None,))
    net.add_loss("mse")
    assert len(net.variables) == 2
    net.losses.pop(0)
    assert (net.variables[1].dtype, net.variables[1].type.shape) == ("float32", (None, 4))
    assert [f.name for f in net.fields] == ["in", "target"]


def test_set_loss_keeps_what_was_there_if_it_fails():
    net = theanets.Regressor([3, 2])
    before = list(net.losses)
    for wrong in ("msee", dict(form="mse", output_name="hid7"), dict(form="mse", q=1), 3):
        with pytest.raises(ConfigurationError):
            net.set_loss(wrong)
        with pytest.raises(ConfigurationError):
            net.add_loss(wrong)
        assert net.losses == before
    net.set_loss("mae", weight=2)
    assert [loss.weight for loss in net.losses] == [2]


def test_a_loss_in_two_networks(rng):
    loss = theanets.losses.MeanSquaredError()
    nets = [theanets.Regressor([3, n], loss=loss) for n in (2, 4)]
    for net in nets * 2:
        x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, net.layers[-1].size))
        expected = np.mean((net.predict(x) - y) ** 2)
        assert net.evaluate([x, y])["loss"] == pytest.approx(expected, rel=1e-5)


def test_what_is_not_a_loss():
    net = theanets.Regressor([3, 2])
    net.losses.append("mae")
    with pytest.raises(ConfigurationError, match="'mae', which is not a Loss"):
        net.evaluate([np.ones((2, 3)), np.ones((2, 2))])


def test_labels():
    net = theanets.Classifier([3, 4, 5])
    assert (net.fields[1].classes, net.fields[1].shape, net.fields[1].dtype) == (5, (), "int32")
    net.add_layer((6, "softmax"), inputs="hid1", name="b")
    with pytest.raises(ConfigurationError, match="out:out has 5, b:out has 6"):
        net.add_loss("xe", output_name="b")
        _ = net.fields
