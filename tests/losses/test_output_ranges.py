"""Outputs that can be numbers which a loss has no meaning for."""

from __future__ import annotations

import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import activations
from theanets.activations import Activation
from theanets.structure import ranges

X = np.linspace(-1, 1, 12).reshape(4, 3)


def last(activation, **options):
    return dict(form="feedforward", size=3, activation=activation, **options)


def warned(net):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ranges.check(net.graph, net.bound_losses())
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("model", "loss", "advice"),
    [
        ("Regressor", "bce", ("logits=True", "'sigmoid'")),
        ("Regressor", "binary_focal", ("logits=True", "'sigmoid'")),
        ("Classifier", "xe", ("logits=True", "'softmax'")),
        ("Classifier", "focal", ("logits=True", "'softmax'")),
        ("Regressor", "kl", ("logits=True", "'softmax'")),
        ("Regressor", {"form": "poisson", "log_input": False}, ("log_input=True", "'softplus'")),
        ("Regressor", {"form": "gamma", "log_input": False}, ("log_input=True", "'softplus'")),
        ("Regressor", "msle", ("activation='softplus'",)),
    ],
)
def test_the_advice_helps(model, loss, advice):
    build = getattr(theanets, model)
    [message] = warned(build([3, last("linear")], loss=loss))
    assert "'out:out', of activation 'linear', gives numbers of any size" in message
    spec = {"form": loss} if isinstance(loss, str) else loss
    for words in advice:
        assert words in message
        if "=True" in words:
            fixed = build([3, last("linear")], loss={**spec, words.removesuffix("=True"): True})
        else:
            fixed = build([3, last(words.split("'")[1])], loss=loss)
        assert not warned(fixed)


@pytest.mark.parametrize(
    ("loss", "spread", "flag"),
    [
        ("gll", "covar", "log_covar"),
        ("laplace", "scale", "log_scale"),
        ("student_t", "scale", "log_scale"),
    ],
)
def test_spreads(loss, spread, flag):
    def net(activation, **options):
        heads = [
            last("linear", name="mean", inputs="hid1"),
            last(activation, name=spread, inputs="hid1"),
        ]
        return theanets.Regressor([3, 4, *heads], loss={"form": loss, **options})

    [message] = warned(net("linear"))
    assert f"the output '{spread}:out'" in message
    assert f"{flag}=True or the layer activation='softplus'" in message
    assert not warned(net("softplus"))
    assert not warned(net("linear", **{flag: True}))


def test_it_is_said_by_train_at_the_line_of_the_caller():
    net = theanets.Regressor([3, 2], loss="bce", mode="FAST_COMPILE")
    with pytest.warns(UserWarning, match="loss 'bce' needs numbers from 0 to 1") as caught:
        net.train([X, np.zeros((4, 2))], epochs=1)
    assert [warning.filename for warning in caught] == [__file__]


class Mine(Activation):
    def __call__(self, x):
        return pt.sigmoid(x)


class Squashed(theanets.layers.Feedforward):
    def transform(self, inputs):
        return pt.sigmoid(super().transform(inputs)["pre"])

    def resolve_outputs(self):
        return {"out": super().resolve_outputs()["out"]}


@pytest.mark.parametrize(
    "layer", [last(lambda z: pt.sigmoid(z)), last(Mine), (3, Squashed), last("relu+tanh")]
)
def test_nothing_is_said_of_what_nobody_knows(layer):
    assert not warned(theanets.Regressor([3, layer], loss="bce"))


OURS = [
    name
    for name in Activation.registry
    if getattr(Activation.registry[name], "__module__", "").startswith("theanets.")
]


@pytest.mark.parametrize("name", OURS)
def test_limits_of_activations(name, rng):
    """Values are within the limits, and come close to them or go on and on."""
    name = "maxout:2" if name == "maxout" else name
    net = theanets.Regressor([4, last(name)], dtype="float64", rng=1)
    low, high = activations.limits(net.layers[-1].activation)
    width = net.layers[-1].pre_width()
    x = pt.dmatrix()
    compute = pytensor.function([x], net.layers[-1].activation(x), mode="FAST_COMPILE")
    scales = 10 ** rng.uniform(-2, 3, size=(3000, 1))
    values = compute(scales * rng.normal(size=(3000, 3 * width)))
    assert np.isfinite(values).all()
    for limit, extreme, sign in ((low, values.min(), -1), (high, values.max(), 1)):
        if limit is None:
            # Those that divide by the standard deviation stop at the number of units.
            assert sign * extreme > (1 if name.startswith("norm") else 100)
        else:
            assert -1e-9 <= sign * (limit - extreme) < 2e-3
