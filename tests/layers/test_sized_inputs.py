"""Inputs with their sizes, as theanets 0.7 has them."""

from __future__ import annotations

import numpy as np
import pytest

import theanets


def net(inputs):
    return theanets.Regressor(
        [4, (3, "tanh"), dict(size=2, inputs=inputs, name="out")], mode="FAST_COMPILE", rng=1
    )


@pytest.mark.parametrize(
    ("sized", "plain"),
    [
        ({"in:out": 4}, "in"),
        ({"hid1": 3}, "hid1:out"),
        ({"hid1:pre": 3, "in": 4}, ["hid1:pre", "in"]),
    ],
)
def test_they_are_those_of_the_names(sized, plain, rng, tmp_path):
    x, made = rng.normal(size=(5, 4)), net(sized)
    np.testing.assert_array_equal(made.predict(x), net(plain).predict(x))
    made.save(tmp_path / "net.st")
    again = theanets.Network.load(tmp_path / "net.st")
    np.testing.assert_array_equal(again.predict(x, mode="FAST_COMPILE"), made.predict(x))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"in:out": 3}, r"but 'in:out' has the size 4; names alone will do: inputs=\['in:out'\]"),
        ({"in": "4"}, "has the size 4"),
        ({"inn": 4}, r"unknown input of layer 'out' 'inn:out'.*did you mean 'in:out'"),
        ({3: 4}, "expected the name of an output"),
        ({}, "has no inputs"),
        (10, "inputs=10; expected the name of an output, .* sizes are those of the layers"),
    ],
)
def test_what_has_no_meaning(inputs, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        net(inputs)
