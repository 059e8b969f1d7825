"""What needs second derivatives trains networks of recurrent layers, as it does others."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets

RNG = np.random.default_rng(2)
X = RNG.normal(size=(4, 4, 3))
DATA = [X, np.tanh(X[..., :2].cumsum(axis=1))]
BOTH = dict(form="bidirectional", size=4, worker="gru", name="both")


@pytest.mark.parametrize(
    "layers, options",
    [
        ([3, (4, "rnn"), (4, "rnn", "tanh"), 2], dict(algo="esgd", learning_rate=0.02)),
        ([3, BOTH, 2], dict(algo="adam", learning_rate=0.03, contractive=0.01)),
        ([3, (4, "rnn"), 2], dict(algo="l-bfgs", contractive=0.01)),
    ],
)
def test_recurrent_networks_train(layers, options):
    net = theanets.recurrent.Regressor(layers, rng=1)
    before = net.evaluate(DATA)["loss"]
    net.train(DATA, epochs=8, **options)
    assert net.evaluate(DATA)["loss"] < 0.97 * before


def test_gradient_of_the_contractive_penalty_through_a_recurrence():
    """That of differences, with the signs of the estimate held."""
    net = theanets.recurrent.Regressor([3, (4, "gru"), 2], rng=1, dtype="float64")
    outputs = net.outputs()
    h = outputs["hid1:out"]
    signs = np.where(RNG.random((4, 4, 4)) < 0.5, -1.0, 1.0)
    penalty = pt.sqr(pytensor.grad((h * signs).sum(), outputs["in:out"])).sum()
    params = [p for p in net.params if p.name.startswith("hid1")]
    value = pytensor.function(net.inputs, penalty)
    gradient = pytensor.function(net.inputs, pytensor.grad(penalty, params))
    for p, g in zip(params, gradient(X)):
        direction, start = RNG.normal(size=g.shape), p.get_value()
        ends = []
        for step in (1e-5, -1e-5):
            p.set_value(start + step * direction)
            ends.append(value(X))
        p.set_value(start)
        np.testing.assert_allclose((g * direction).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


def test_a_loss_of_the_users_own_with_a_derivative_in_it():
    class Slope(theanets.Loss, names=()):
        def __call__(self, outputs):
            y = outputs[self.output_name]
            return pt.sqr(pytensor.grad(y.sum(), outputs["in:out"])).mean()

    net = theanets.recurrent.Regressor([3, (4, "rnn"), 2], loss=Slope(), rng=1)
    before = net.evaluate(DATA)["loss"]
    net.train(DATA, epochs=5)
    assert net.evaluate(DATA)["loss"] < before
