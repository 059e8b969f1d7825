"""What tests of layers share."""

import numpy as np
import pytensor
import pytest


def values(net):
    return {p.name: p.get_value() for p in net.params}


def randomize(net, rng):
    """Give all parameters values that are neither zero nor equal."""
    for param in net.params:
        value = rng.uniform(-1, 1, param.get_value().shape)
        param.set_value(value.astype(param.dtype))


def check_gradient(net, rng, rows=4, tail=()):
    """Compare the gradient of the loss with central differences, for all parameters."""
    randomize(net, rng)
    with pytensor.config.change_flags(floatX=net.dtype):
        loss = net.loss()
        grads = pytensor.grad(loss, net.params, disconnected_inputs="raise")
        function = pytensor.function(net.variables, [loss, *grads])
    data = []
    for field in net.fields:
        shape = (rows, *(length or 3 for length in field.shape))
        if field.classes is None:
            data.append(rng.normal(size=shape))
        else:
            data.append(rng.integers(0, field.classes, shape).astype("int32"))
    _, *found = function(*data)
    for param, gradient in zip(net.params, found):
        value = param.get_value()
        for index in np.ndindex(*value.shape):
            both = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved[index] += step
                param.set_value(moved)
                both.append(function(*data)[0])
            param.set_value(value)
            expected = (both[0] - both[1]) / 2e-6
            assert gradient[index] == pytest.approx(expected, rel=1e-5, abs=1e-7), param.name
