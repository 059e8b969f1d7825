"""Expressions with other variables in the place of a network's own."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def net():
    return theanets.Regressor([3, (4, "tanh"), 2], dtype="float64", rng=1)


def test_parameters_and_inputs(net, rng):
    w, b = rng.normal(size=(3, 4)), rng.normal(size=4)
    x = rng.normal(size=(5, 3))
    symbol = pt.matrix("w", dtype="float64")
    outputs = net.outputs(replace={"hid1.w": 2 * symbol, net.find("hid1.b"): b, "in": x})
    function = pytensor.function([symbol], [outputs["hid1:out"], outputs["out:out"]])
    hidden = np.tanh(x @ (2 * w) + b)
    expected = hidden @ net.find("out.w").get_value() + net.find("out.b").get_value()
    for found, right in zip(function(w), (hidden, expected), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)
    # The network itself is as it was.
    np.testing.assert_allclose(
        net.predict(x), pytensor.function(net.inputs, net.outputs()["out:out"])(x), rtol=1e-12
    )


def test_logits_are_replaced_too(rng):
    net = theanets.Classifier([3, 2], dtype="float64")
    w = rng.normal(size=(3, 2))
    outputs = net.outputs(replace={"out.w": w, "out.b": np.zeros(2)})
    x = rng.normal(size=(5, 3))
    found = pytensor.function(net.inputs, outputs.logits["out:out"])(x)
    np.testing.assert_allclose(found, x @ w, rtol=1e-12)


def test_the_loss_is_a_term_of_another_problem(net, rng):
    """Its gradient with respect to an input, against finite differences."""
    x, y = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    point = pt.vector("point", dtype="float64")
    loss = net.loss(replace={"in": point[None, :], "target": y}, weight_l2=0.1)
    total = loss + pt.sqr(point).sum()
    value = pytensor.function([point], total)
    slope = pytensor.function([point], pytensor.grad(total, point))(x[0])
    for i, e in enumerate(np.eye(3) * 1e-5):
        assert slope[i] == pytest.approx((value(x[0] + e) - value(x[0] - e)) / 2e-5, rel=1e-6)


def test_bad_replacements(net):
    with pytest.raises(theanets.UnknownNameError, match=r"'hid1.v'.*hid1.w"):
        net.outputs(replace={"hid1.v": 0})
    with pytest.raises(theanets.UnknownNameError):
        net.outputs(replace={pt.matrix("hid1.w"): np.zeros((3, 4))})
    single = pt.matrix("w", dtype="float32")
    with pytest.raises(theanets.ConfigurationError, match=r"astype\('float64'\).*dtype='float32'"):
        net.outputs(replace={"hid1.w": single})
    for value in (np.zeros((4, 4)), np.zeros(3), pt.vector("v", dtype="float64")):
        with pytest.raises(theanets.ConfigurationError, match=r"replace\['hid1.w'\].*fit"):
            net.outputs(replace={"hid1.w": value})
    with pytest.raises(theanets.ConfigurationError, match="expected an expression"):
        net.outputs(replace={"hid1.w": "nothing"})
    wide = pt.matrix("w", dtype="float64")
    function = pytensor.function(
        [*net.inputs, wide], net.outputs(replace={"hid1.w": wide})["hid1:out"]
    )
    with pytest.raises((AssertionError, ValueError)):
        function(np.zeros((2, 3)), np.zeros((3, 5)))
